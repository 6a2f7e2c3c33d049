//! Which part of a file is the state dict: the one rule, for every format that is a pickle. In: the tree of values.
//! Out: the chosen container, the keys that lead to it, and what lies beside it. Called by [`super::collect`].
//!
//! Going down from the top level, at each dict:
//!
//! 1. A dict whose own tensors have parameters' names (`conv.weight`) is the state dict, whatever the keys in it are
//!    called. Where another dict inside it holds more tensors, that is in doubt.
//! 2. Own tensors of other names (`best_acc1`, `rng_state`) are figures of a training script as long as a dict
//!    beside them holds more tensors; where none does, they are the state dict.
//! 3. A dict without tensors of its own is a wrapper. Of the usual keys ([`WRAPPERS`], timm's order, averaged
//!    weights first) the first that holds tensors is followed; of other keys, the only one. Where a dict beside
//!    the first holds more tensors, or several could be meant, that is in doubt.
//! 4. A pickled module is what its `state_dict()` would give.
//! 5. What lies below an optimizer, scheduler or scaler is never weights.
//!
//! In doubt the file is refused, and every candidate is named with its `--key`.

use super::super::error::{FormatError, shortened};
use super::super::pickle::Ref;
use super::tree::{NamedValue, Node, Tree, tensors, through};

/// Under these keys training scripts keep the weights: averaged ones first, then the two that timm's
/// `load_state_dict` knows, in its order, then others.
const WRAPPERS: &[&str] = &[
    "state_dict_ema",
    "model_ema",
    "ema_state_dict",
    "params_ema",
    "ema_model",
    "ema",
    "state_dict",
    "model",
    "model_state_dict",
    "model_state",
    "module",
    "net",
    "network",
    "weights",
    "params",
    "blobs",
];
/// How many of them are averaged weights.
const AVERAGED_WRAPPERS: usize = 6;
/// Up to here the order alone decides between two.
const ORDERED_WRAPPERS: usize = 8;
/// Wrappers in wrappers that are followed.
const MAX_LEVELS: usize = 8;
/// Candidates that are kept.
const MAX_CANDIDATES: usize = 64;
/// Candidates that a message names.
const MAX_SHOWN: usize = 10;

/// Where the state dict is.
#[derive(Debug)]
pub(in crate::checkpoint) struct Chosen {
    pub(in crate::checkpoint) at: Ref,
    /// The keys that lead there, outermost first.
    pub(in crate::checkpoint) path: Vec<String>,
    /// What lies beside it and its wrappers, under the keys that lead there.
    pub(super) beside: Vec<(String, Ref)>,
    /// Averaged weights were taken and others are there: which.
    pub(super) averaged_before: Option<String>,
    /// An explicit key led here.
    pub(super) explicit: bool,
}

/// A dict or module that could be the state dict.
#[derive(Clone, Debug)]
struct Candidate {
    path: Vec<String>,
    tensors: u32,
}

impl Candidate {
    fn shown(&self) -> String {
        let key = shortened(&self.path.join("."));
        format!("`--key {key}` ({})", tensors(self.tensors))
    }
}

/// A child of a dict, with what in it could be weights.
struct Child<'a> {
    entry: NamedValue<'a>,
    tensors: u32,
    candidates: Vec<Candidate>,
}

/// Applies the rule from `root` down.
///
/// # Errors
/// Nothing that could be a state dict, or several.
pub(super) fn choose(tree: &mut Tree<'_, '_>, root: Ref) -> Result<Chosen, FormatError> {
    let at = through(tree.arena, root);
    let mut chosen =
        Chosen { at, path: Vec::new(), beside: Vec::new(), averaged_before: None, explicit: false };
    for _ in 0..MAX_LEVELS {
        match tree.node(chosen.at) {
            Node::Module(_) => return Ok(chosen),
            Node::Mapping | Node::Sequence => {}
            _ => return Err(not_a_dict(tree, &chosen)),
        }
        tree.spend(tree.len(chosen.at))?;
        let entries = tree.entries(chosen.at);
        if entries.is_empty() && matches!(tree.node(chosen.at), Node::Mapping) {
            return Ok(chosen);
        }
        let Some((key, inner)) = step(tree, &mut chosen, &entries)? else { return Ok(chosen) };
        let prefix = chosen.path.clone();
        let others = entries.iter().filter(|e| e.name != key.as_str());
        chosen.beside.extend(others.map(|e| (joined(&prefix, &e.name), e.value)));
        chosen.path.push(key);
        chosen.at = through(tree.arena, inner);
    }
    Err(FormatError::no_tensors(format!("state dicts wrapped in dicts, more than {MAX_LEVELS} deep")))
}

/// The entry to follow from here; `None` where this is the state dict.
fn step(
    tree: &mut Tree<'_, '_>,
    chosen: &mut Chosen,
    entries: &[NamedValue<'_>],
) -> Result<Option<(String, Ref)>, FormatError> {
    let is_list = matches!(tree.node(chosen.at), Node::Sequence);
    // MMEngine exchanges the two before it saves: its `ema_state_dict` is not the averaged one.
    let is_mmengine = entries.iter().any(|e| e.name == "message_hub");
    let (mut own, mut parameters) = (0u32, 0u32);
    let mut children: Vec<Child<'_>> = Vec::new();
    for entry in entries {
        if matches!(tree.node(entry.value), Node::Tensor(_)) {
            own += 1;
            parameters += u32::from(is_parameter(&entry.name));
            continue;
        }
        let count = tree.count(entry.value);
        if count == 0 {
            continue;
        }
        let mut candidates = Vec::new();
        let is_exchanged = is_mmengine && entry.name == "ema_state_dict";
        if !is_excluded(&entry.name) && !is_exchanged {
            let path = chosen.path.iter().cloned().chain([entry.name.clone().into_owned()]).collect();
            find(tree, entry.value, path, MAX_LEVELS, &mut candidates)?;
        }
        children.push(Child { entry: entry.clone(), tensors: count, candidates });
    }
    let most = children.iter().flat_map(|c| &c.candidates).map(|c| c.tensors).max().unwrap_or(0);
    let here = Candidate { path: top(&chosen.path), tensors: own };
    if own > 0 && is_list {
        return Err(FormatError::no_tensors(format!(
            "holds a list of {} without names; {} takes them, named by their places",
            tensors(own),
            here.shown()
        )));
    }
    if parameters > 0 || most == 0 && own > 0 {
        return if most > own { Err(doubt(&here, &children, own)) } else { Ok(None) };
    }
    let order = |child: &Child<'_>| WRAPPERS.iter().position(|w| *w == child.entry.name);
    let mut wrappers: Vec<(usize, &Child<'_>)> =
        children.iter().filter(|c| !c.candidates.is_empty()).filter_map(|c| Some((order(c)?, c))).collect();
    wrappers.sort_by_key(|(rank, _)| *rank);
    if own > 0 && most <= own {
        // As many figures as weights, under a wrapper's name: either could be meant.
        return if wrappers.is_empty() { Ok(None) } else { Err(doubt(&here, &children, 0)) };
    }
    if let Some(&(first, child)) = wrappers.first() {
        let size = child.candidates.iter().map(|c| c.tensors).max().unwrap_or(0);
        let unordered = |&(rank, _): &(usize, &Child<'_>)| first >= ORDERED_WRAPPERS && rank != first;
        if most > size || wrappers.iter().any(unordered) {
            return Err(several(&chosen.path, &children));
        }
        let weights = wrappers.iter().find(|(rank, _)| *rank >= AVERAGED_WRAPPERS && *rank < WRAPPERS.len());
        if let (true, Some((_, other))) = (first < AVERAGED_WRAPPERS, weights) {
            chosen.averaged_before = Some(joined(&chosen.path, &other.entry.name));
        }
        return Ok(Some((child.entry.name.clone().into_owned(), child.entry.value)));
    }
    let mut holding = children.iter().filter(|c| !c.candidates.is_empty());
    match (holding.next(), holding.next()) {
        (Some(only), None) => Ok(Some((only.entry.name.clone().into_owned(), only.entry.value))),
        (Some(_), Some(_)) => Err(several(&chosen.path, &children)),
        (None, _) => Err(elsewhere(tree, chosen, &children)),
    }
}

/// Every dict with tensors of its own, and every module, at or below a value; dicts inside those are parts of them.
fn find(
    tree: &mut Tree<'_, '_>,
    at: Ref,
    path: Vec<String>,
    levels: usize,
    out: &mut Vec<Candidate>,
) -> Result<(), FormatError> {
    if levels == 0 || out.len() >= MAX_CANDIDATES || tree.count(at) == 0 {
        return Ok(());
    }
    tree.spend(tree.len(at))?;
    let node = tree.node(at);
    let is_dict = matches!(node, Node::Mapping);
    match node {
        Node::Module(_) => {
            out.push(Candidate { path, tensors: tree.count(at) });
            return Ok(());
        }
        Node::Mapping | Node::Sequence => {}
        _ => return Ok(()),
    }
    let entries = tree.entries(at);
    let own = entries.iter().filter(|e| matches!(tree.node(e.value), Node::Tensor(_))).count();
    if own > 0 {
        if is_dict {
            out.push(Candidate { path, tensors: u32::try_from(own).unwrap_or(u32::MAX) });
        }
        return Ok(());
    }
    for entry in entries.iter().filter(|e| !is_excluded(&e.name)) {
        let path = path.iter().cloned().chain([entry.name.clone().into_owned()]).collect();
        find(tree, entry.value, path, levels - 1, out)?;
    }
    Ok(())
}

/// Whether a name is one of a parameter or buffer, rather than of a figure that a training script keeps.
fn is_parameter(name: &str) -> bool {
    const LEAVES: &[&str] =
        &["weight", "bias", "kernel", "gamma", "beta", "running_mean", "running_var", "num_batches_tracked"];
    let ends =
        |leaf: &str| name.strip_suffix(leaf).is_some_and(|head| head.is_empty() || head.ends_with('_'));
    name.contains(['.', '/'])
        || LEAVES.iter().any(|leaf| ends(leaf))
        || name.ends_with("_w")
        || name.ends_with("_b")
}

/// Whether what lies under a key belongs to the training and is never weights.
fn is_excluded(name: &str) -> bool {
    const PARTS: &[&str] = &["optim", "scheduler", "scaler", "rng_state", "random_state"];
    const WHOLE: &[&str] = &["opt", "amp", "callbacks", "loops", "param_schedulers", "message_hub"];
    let name = name.to_ascii_lowercase();
    WHOLE.contains(&name.as_str()) || PARTS.iter().any(|part| name.contains(part))
}

/// A path as it is given to `--key`: the top level is a dot.
fn top(path: &[String]) -> Vec<String> {
    if path.is_empty() { vec![".".to_owned()] } else { path.to_vec() }
}

/// `a.b.c`.
pub(super) fn joined(path: &[String], name: &str) -> String {
    let mut all = path.join(".");
    if !all.is_empty() {
        all.push('.');
    }
    all.push_str(name);
    all
}

/// The candidates of children that hold more than `above` tensors, largest first.
fn largest(children: &[Child<'_>], above: u32) -> Vec<Candidate> {
    let all = children.iter().flat_map(|c| c.candidates.iter().cloned());
    let mut candidates: Vec<_> = all.filter(|c| c.tensors > above).collect();
    candidates.sort_by_key(|c| std::cmp::Reverse(c.tensors));
    candidates
}

fn listed(candidates: &[Candidate]) -> String {
    let shown = candidates.iter().take(MAX_SHOWN).map(Candidate::shown).collect::<Vec<_>>().join(", ");
    match candidates.len().saturating_sub(MAX_SHOWN) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}

/// The dict here has tensors of its own, and so has one inside it.
fn doubt(here: &Candidate, children: &[Child<'_>], above: u32) -> FormatError {
    let inner = listed(&largest(children, above));
    FormatError::no_tensors(format!(
        "could mean two state dicts: the tensors at {}, or {inner}",
        here.shown()
    ))
}

/// Several dicts, and nothing says which.
fn several(path: &[String], children: &[Child<'_>]) -> FormatError {
    let mut candidates: Vec<_> = children.iter().flat_map(|c| c.candidates.iter().cloned()).collect();
    candidates.truncate(MAX_CANDIDATES);
    let all: u64 = candidates.iter().map(|c| u64::from(c.tensors)).sum();
    FormatError::no_tensors(format!(
        "holds several state dicts: choose one of {}; `--key {}` takes all that is there under its full name ({})",
        listed(&candidates),
        shortened(&top(path).join(".")),
        tensors(all)
    ))
}

/// Tensors are there, but nowhere that weights are.
fn elsewhere(tree: &mut Tree<'_, '_>, chosen: &Chosen, children: &[Child<'_>]) -> FormatError {
    let found = children.iter().map(|c| Candidate {
        path: chosen.path.iter().cloned().chain([c.entry.name.clone().into_owned()]).collect(),
        tensors: c.tensors,
    });
    match listed(&found.collect::<Vec<_>>()) {
        none if none.is_empty() && matches!(tree.node(chosen.at), Node::Sequence) => {
            let kind = tree.arena.kind(chosen.at);
            FormatError::no_tensors(format!(
                "holds a {kind} without tensors, where a dict of them is expected"
            ))
        }
        none if none.is_empty() => FormatError::no_tensors("holds no tensors"),
        places => FormatError::no_tensors(format!("holds no state dict; tensors are at {places}")),
    }
}

fn not_a_dict(tree: &mut Tree<'_, '_>, chosen: &Chosen) -> FormatError {
    let what = match tree.node(chosen.at) {
        Node::Tensor(_) => "a single tensor without a name".to_owned(),
        _ => format!("a {}", tree.arena.kind(chosen.at)),
    };
    let count = tree.count(chosen.at);
    let inside = match tree.node(chosen.at) {
        Node::Object if count > 0 => format!(" (with {} in it, which no table names)", tensors(count)),
        _ => String::new(),
    };
    let place =
        if chosen.path.is_empty() { String::new() } else { format!(" at `{}`", chosen.path.join(".")) };
    FormatError::no_tensors(format!("holds {what}{place}{inside}, where a dict of tensors is expected"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_told_from_figures_by_their_names() {
        for name in [
            "conv.weight",
            "weight",
            "bias",
            "res/block/kernel",
            "conv1_w",
            "head_bias",
            "bn.num_batches_tracked",
        ] {
            assert!(is_parameter(name), "{name}");
        }
        for name in ["best_acc1", "rng_state", "losses", "mean", "class_weights", "epoch"] {
            assert!(!is_parameter(name), "{name}");
        }
    }

    #[test]
    fn what_belongs_to_the_training_is_known_by_its_key() {
        for name in
            ["optimizer", "optimizer_state_dict", "d_optim", "lr_schedulers", "scaler", "GradScaler", "amp"]
        {
            assert!(is_excluded(name), "{name}");
        }
        for name in ["model", "generator", "ema", "net", "scale"] {
            assert!(!is_excluded(name), "{name}");
        }
    }
}
