//! What wrappers put before the names of a state dict, in any order: `module.` (`DataParallel`, `AveragedModel`) and
//! `_orig_mod.` (`torch.compile`, of the whole or of parts). Cut off as timm's `clean_state_dict` does. Called by
//! [`super::collect`].

use std::collections::HashSet;

use super::super::tensor::Tensor;
use super::Collected;

const PREFIXES: [&str; 2] = ["module.", "_orig_mod."];
const COMPILED: &str = "._orig_mod.";

/// Cuts off prefixes that all names have. A count that a wrapper keeps beside them (`n_averaged`) does not matter.
pub(super) fn strip(collected: &mut Collected) {
    let mut cut = String::new();
    while let Some(prefix) = PREFIXES.iter().find(|p| all_have(collected, p)) {
        for tensor in collected.tensors.iter_mut().filter(|t| t.name.starts_with(prefix)) {
            tensor.name.drain(..prefix.len());
        }
        for (name, _) in &mut collected.refused {
            name.drain(..prefix.len());
        }
        cut.push_str(prefix);
    }
    if parts(&mut collected.tensors) && !cut.contains("_orig_mod.") {
        cut.push_str("_orig_mod.");
    }
    if !cut.is_empty() {
        collected.stripped = Some(cut);
    }
}

fn all_have(collected: &Collected, prefix: &str) -> bool {
    let counts = |t: &&Tensor| t.shape.is_empty() && !t.name.contains('.');
    let others = || collected.tensors.iter().filter(|t| !counts(t));
    let cut = |name: &str| name.strip_prefix(prefix).unwrap_or(name).to_owned();
    let mut names = HashSet::new();
    others().next().is_some()
        && others().all(|t| t.name.starts_with(prefix))
        && collected.refused.iter().all(|(name, _)| name.starts_with(prefix))
        && collected.tensors.iter().all(|t| names.insert(cut(&t.name)))
}

/// `backbone._orig_mod.conv` is `backbone.conv`, compiled on its own; where no other tensor has that name.
fn parts(tensors: &mut [Tensor]) -> bool {
    if !tensors.iter().any(|t| t.name.contains(COMPILED)) {
        return false;
    }
    let mut names = HashSet::new();
    let new: Vec<String> = tensors.iter().map(|t| t.name.replace(COMPILED, ".")).collect();
    if !new.iter().all(|name| names.insert(name.as_str())) {
        return false;
    }
    tensors.iter_mut().zip(new).for_each(|(tensor, name)| tensor.name = name);
    true
}
