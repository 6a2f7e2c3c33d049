//! DeepSpeed's ZeRO checkpoints, whose files each hold a part: with stage 3 the state dict has placeholders without
//! elements, and every stage keeps full-precision weights flattened, in the optimizers' files. In: the root of a pickle,
//! and the tensors that were taken. Out: what the file is, where it is such a part. Called by [`super::collect`].

use super::super::error::ReadError;
use super::super::pickle::Ref;
use super::super::tensor::Tensor;
use super::tree::{Node, Tree};

/// What only DeepSpeed writes at the top level.
const OWN_KEYS: [&str; 3] = ["ds_version", "ds_config", "param_shapes"];
/// What only ZeRO writes of an optimizer: its stage, and the flat groups of each stage and type.
const OF_ZERO: [&str; 4] =
    ["zero_stage", "partition_count", "fp32_flat_groups", "single_partition_of_fp32_groups"];

/// Where in DeepSpeed's folder a file is from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    /// `*_model_states.pt`.
    Model,
    /// `*_optim_states.pt`.
    Optimizer,
}

/// Which part of a DeepSpeed checkpoint a file is, if it is one.
pub(super) fn part(tree: &mut Tree<'_, '_>, root: Ref) -> Option<Part> {
    if !matches!(tree.node(root), Node::Mapping) {
        return None;
    }
    let entries = tree.entries(root);
    if !entries.iter().any(|e| OWN_KEYS.contains(&e.name.as_ref())) {
        return None;
    }
    let has_module = entries.iter().any(|e| e.name == "module");
    let optimizer = entries.iter().find(|e| e.name == "optimizer_state_dict").map(|e| e.value);
    let of_zero = optimizer.filter(|_| !has_module).is_some_and(|optimizer| {
        matches!(tree.node(optimizer), Node::Mapping)
            && tree.entries(optimizer).iter().any(|e| OF_ZERO.contains(&e.name.as_ref()))
    });
    match (has_module, of_zero) {
        (true, _) => Some(Part::Model),
        (false, true) => Some(Part::Optimizer),
        (false, false) => None,
    }
}

const JOIN: &str =
    "join the parts with `python zero_to_fp32.py FOLDER OUT`, which DeepSpeed writes beside them";

/// A file of flattened weights.
pub(super) fn optimizer() -> ReadError {
    let what =
        "it is the optimizer's part of a DeepSpeed ZeRO checkpoint: its weights are flattened, without names";
    ReadError::NotACheckpoint(what.to_owned(), Some(JOIN.to_owned()))
}

/// A file whose parameters lie elsewhere.
pub(super) fn placeholders(tensors: &[Tensor]) -> Option<ReadError> {
    let empty = tensors.iter().filter(|t| t.shape == [0]).count();
    (empty > 0).then(|| {
        let what = format!(
            "it is one part of a DeepSpeed ZeRO-3 checkpoint: {empty} of its {} tensors are placeholders without \
             elements, whose weights lie in the `*_optim_states.pt` beside it",
            tensors.len()
        );
        ReadError::NotACheckpoint(what, Some(JOIN.to_owned()))
    })
}
