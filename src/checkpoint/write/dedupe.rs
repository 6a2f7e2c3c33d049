//! Which names of tied tensors `safetensors.torch.save_model` leaves out, ported from its
//! `_find_shared_tensors`, `_filter_shared_not_shared` and `_remove_duplicate_names`.
//!
//! Where none of a group covers its whole storage, `save_model` gives up; here every name is then written.

use std::collections::BTreeMap;

use crate::checkpoint::Checkpoint;
use crate::checkpoint::tensor::Tensor;

/// Pairs of a name to leave out and the name that holds the same storage, in the order of the kept names.
pub(super) fn removed(checkpoint: &Checkpoint) -> Vec<(String, String)> {
    let mut by_storage: BTreeMap<usize, Vec<Area<'_>>> = BTreeMap::new();
    for tensor in checkpoint.tensors() {
        if checkpoint.storages().get(tensor.storage).is_some_and(|s| s.len > 0) {
            by_storage.entry(tensor.storage).or_default().push(Area::of(tensor));
        }
    }
    let mut pairs = Vec::new();
    for (storage, areas) in by_storage {
        let len = checkpoint.storages().get(storage).map_or(0, |s| s.len);
        for group in overlapping(areas) {
            let complete = |a: &&Area<'_>| a.start == 0 && a.tensor.nbytes() as u64 == len;
            let Some(kept) = group.iter().filter(complete).map(|a| a.tensor.name.as_str()).min() else {
                continue;
            };
            let mut names: Vec<_> = group.iter().map(|a| a.tensor.name.as_str()).collect();
            names.sort_unstable();
            let others = names.into_iter().filter(|&name| name != kept);
            pairs.extend(others.map(|name| (name.to_owned(), kept.to_owned())));
        }
    }
    pairs.sort_by(|a, b| (&a.1, &a.0).cmp(&(&b.1, &b.0)));
    pairs
}

/// The bytes of its storage that a tensor reaches.
#[derive(Clone, Copy)]
struct Area<'a> {
    start: u64,
    end: u64,
    tensor: &'a Tensor,
}

impl<'a> Area<'a> {
    fn of(tensor: &'a Tensor) -> Self {
        let unit = tensor.dtype.unit() as u64;
        let start = tensor.offset as u64 * unit;
        let extents = tensor.extents();
        let end = match extents.contains(&0) {
            true => start,
            false => {
                let last: usize = extents.iter().zip(&tensor.strides).map(|(&e, &s)| (e - 1) * s).sum();
                start + (last as u64 + 1) * unit
            }
        };
        Area { start, end, tensor }
    }
}

/// Splits the tensors of one storage where one begins after the one before it has ended.
fn overlapping(mut areas: Vec<Area<'_>>) -> Vec<Vec<Area<'_>>> {
    areas.sort_by(|a, b| (a.start, a.end, &a.tensor.name).cmp(&(b.start, b.end, &b.tensor.name)));
    let mut groups: Vec<Vec<Area<'_>>> = Vec::new();
    let mut last_end = 0;
    for area in areas {
        match groups.last_mut() {
            Some(group) if area.start < last_end => group.push(area),
            _ => groups.push(vec![area]),
        }
        // Not the furthest end so far but the last one's, as in the original.
        last_end = area.end;
    }
    groups
}
