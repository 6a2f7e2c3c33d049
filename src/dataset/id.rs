//! An image's id, which every layout agrees on; the order that subsets are taken in; the digest of labels.
//!
//! Called while a dataset is put together, by subsets and by reports.

use sha2::{Digest, Sha256 as Hasher};

use super::Item;
use super::classes::Classes;
use super::label::validation_number;
use crate::hash::Sha256;

/// The id: the eight digits, else `SYNSET/STEM` by the label.
pub(super) fn of(path: &str, labels: &[usize], classes: &Classes) -> String {
    let file_name = path.rsplit(['/', '\\']).next().unwrap_or(path);
    if let Some(digits) = validation_number(file_name) {
        return digits.to_owned();
    }
    let stem = match file_name.rsplit_once('.') {
        Some((stem, _)) if !stem.is_empty() => stem,
        _ => file_name,
    };
    match labels.first() {
        Some(&index) => format!("{}/{stem}", classes.id_name(index)),
        None => stem.to_owned(),
    }
}

/// Whether these are all `population` validation images: the ids 00000001 … and no other.
pub(super) fn complete(sorted: &[Item], population: u64) -> bool {
    sorted.len() as u64 == population
        && sorted.iter().zip(1_u64..).all(|(item, number)| item.id == format!("{number:08}"))
}

/// What an image is sorted by: SHA-256 of the seed in decimal, the dataset's name and the id, one after
/// the other. The same on every machine, in every layout, for every version.
pub fn order(seed: u64, dataset: &str, id: &str) -> Sha256 {
    let mut hasher = Hasher::new();
    hasher.update(seed.to_string());
    hasher.update(dataset);
    hasher.update(id);
    Sha256::from_hasher(hasher)
}

/// SHA-256 over the lines `id TAB label LF` sorted by the bytes of the id; several labels ascending with
/// commas, nothing where there is none.
pub fn digest_of_labels<'a>(images: impl Iterator<Item = (&'a str, &'a [usize])>) -> Sha256 {
    let mut sorted: Vec<_> = images.collect();
    sorted.sort_by(|a, b| a.0.as_bytes().cmp(b.0.as_bytes()));
    let mut hasher = Hasher::new();
    for (id, labels) in sorted {
        let labels: Vec<_> = labels.iter().map(usize::to_string).collect();
        hasher.update(format!("{id}\t{}\n", labels.join(",")));
    }
    Sha256::from_hasher(hasher)
}
