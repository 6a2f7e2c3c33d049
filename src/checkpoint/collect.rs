//! From a pickle's value to a state dict: finds the part that holds tensors inside a training checkpoint,
//! and says what was left out. Called by [`super::open`] for every format that is a pickle.

use std::collections::HashMap;

use super::error::{Fault, Place};
use super::pickle::{Arena, Chain, Known, Ref, Value};
use super::tensor::Tensor;
use super::torch::rebuild::{self, Found, Storages};

/// Under these keys training scripts keep the weights; the first that is there is taken. Averaged weights
/// come first, as in timm's `load_state_dict`.
const WRAPPERS: &[&str] = &[
    "state_dict_ema",
    "model_ema",
    "ema_state_dict",
    "params_ema",
    "state_dict",
    "model_state_dict",
    "model_state",
    "model",
    "module",
    "net",
    "network",
    "weights",
    "params",
];

/// What was found in a pickle.
#[derive(Debug, Default)]
pub(super) struct Collected {
    pub(super) tensors: Vec<Tensor>,
    /// The keys that were followed, outermost first.
    pub(super) path: Vec<String>,
    /// What all names began with, and was cut off: `module.`.
    pub(super) stripped: Option<String>,
    /// Tensors that cannot be written densely: name and kind.
    pub(super) refused: Vec<(String, String)>,
    /// Everything else beside the tensors: where, and what.
    pub(super) left_out: Vec<(String, String)>,
}

/// Failed to choose.
pub(super) enum Failure {
    Fault(Fault),
    NoSuchKey { key: String, found: Vec<String> },
}

impl From<Fault> for Failure {
    fn from(fault: Fault) -> Self {
        Failure::Fault(fault)
    }
}

/// Finds the state dict, below `key` (dots between the levels) if one is given.
pub(super) fn collect(
    arena: &Arena<'_>,
    root: Ref,
    key: Option<&str>,
    storages: &mut Storages,
) -> Result<Collected, Failure> {
    let mut collected = Collected::default();
    let mut at = root;
    if let Some(key) = key {
        at = follow(arena, root, key, &mut collected)?;
    }
    for _ in 0..4 {
        let Some(entries) = mapping(arena, at) else {
            return Err(no_dict(arena, at, storages).into());
        };
        let entries = unique(arena, &entries)?;
        if entries.is_empty() || entries.iter().any(|&(_, v)| rebuild::is_tensor(arena, v, storages)) {
            take(arena, &entries, storages, &mut collected)?;
            strip_module(&mut collected);
            return Ok(collected);
        }
        let (name, inner) = inside(arena, &entries, storages)?;
        for &(other, value) in entries.iter().filter(|(k, _)| *k != name.as_str()) {
            collected.left_out.push((other.to_owned(), arena.show(value, 60)));
        }
        collected.path.push(name);
        at = inner;
    }
    Err(Fault::no_tensors("state dicts wrapped in dicts, more than three deep").into())
}

fn follow(arena: &Arena<'_>, root: Ref, key: &str, collected: &mut Collected) -> Result<Ref, Failure> {
    let mut at = root;
    let mut rest = key;
    loop {
        let entries = mapping(arena, at).map(|e| unique(arena, &e)).transpose()?.unwrap_or_default();
        // A key may itself have dots in it: the whole rest is tried first.
        let whole = entries.iter().find(|(k, _)| *k == rest).map(|&(_, v)| (rest, "", v));
        let part = rest
            .split_once('.')
            .and_then(|(head, tail)| entries.iter().find(|(k, _)| *k == head).map(|&(_, v)| (head, tail, v)));
        let Some((name, tail, value)) = whole.or(part) else {
            let found =
                entries.iter().take(20).map(|(k, _)| format!("`{}`", super::error::shortened(k))).collect();
            return Err(Failure::NoSuchKey { key: key.to_owned(), found });
        };
        collected.path.push(name.to_owned());
        at = value;
        rest = tail;
        if rest.is_empty() {
            return Ok(at);
        }
    }
}

/// The entry that holds the weights.
fn inside(arena: &Arena<'_>, entries: &[(&str, Ref)], storages: &Storages) -> Result<(String, Ref), Failure> {
    let holds = |at: Ref| {
        mapping(arena, at).is_some_and(|inner| {
            inner.iter().any(|&(_, v)| rebuild::is_tensor(arena, v, storages))
                || inner.iter().any(|&(k, v)| {
                    arena.text(k).is_some_and(|k| WRAPPERS.contains(&k)) && mapping(arena, v).is_some()
                })
        })
    };
    for wrapper in WRAPPERS {
        if let Some(&(name, value)) = entries.iter().find(|(k, v)| k == wrapper && holds(*v)) {
            return Ok((name.to_owned(), value));
        }
    }
    let candidates: Vec<_> = entries.iter().filter(|(_, v)| holds(*v)).collect();
    match candidates.as_slice() {
        [(name, value)] => Ok(((*name).to_owned(), *value)),
        [] => Err(Fault::no_tensors("holds no tensors").into()),
        several => {
            let names: Vec<_> =
                several.iter().take(10).map(|(k, _)| format!("`{}`", super::error::shortened(k))).collect();
            let problem = format!("holds several state dicts: choose one of {} with --key", names.join(", "));
            Err(Fault::no_tensors(problem).into())
        }
    }
}

/// The entries of a dict, an `OrderedDict` or another mapping.
pub(super) fn mapping(arena: &Arena<'_>, at: Ref) -> Option<Vec<(Ref, Ref)>> {
    match arena.get(at) {
        Value::Dict(chain) => Some(arena.entries(chain).collect()),
        Value::Object(_) => {
            let (known, object) = arena.call(at)?;
            if known != Known::Mapping {
                return None;
            }
            let mut entries = Vec::new();
            // `OrderedDict([[key, value], …])`, as protocols 0 and 1 have it.
            if let Some(&list) = arena.sequence(object.args)?.first() {
                for pair in arena.sequence(list).unwrap_or_default() {
                    match arena.sequence(pair).as_deref() {
                        Some([key, value]) => entries.push((*key, *value)),
                        _ => break,
                    }
                }
            }
            let chain: Chain = object.entries;
            entries.extend(arena.entries(chain));
            Some(entries)
        }
        _ => None,
    }
}

/// Entries with text for keys, each key once: the last value at the first place, as in Python.
fn unique<'a>(arena: &'a Arena<'_>, entries: &[(Ref, Ref)]) -> Result<Vec<(&'a str, Ref)>, Fault> {
    let mut list: Vec<(&str, Ref)> = Vec::with_capacity(entries.len());
    let mut places: HashMap<&str, usize> = HashMap::with_capacity(entries.len());
    for &(key, value) in entries {
        let Some(key) = arena.text(key) else {
            let shown = arena.show(key, 40);
            return Err(Fault::malformed(
                Place::whole(),
                format!("a key {shown} that is a {}, not text", arena.kind(key)),
            ));
        };
        match places.get(key).and_then(|&i| list.get_mut(i)) {
            Some(entry) => entry.1 = value,
            None => {
                places.insert(key, list.len());
                list.push((key, value));
            }
        }
    }
    Ok(list)
}

fn take(
    arena: &Arena<'_>,
    entries: &[(&str, Ref)],
    storages: &mut Storages,
    out: &mut Collected,
) -> Result<(), Fault> {
    for &(name, value) in entries {
        match rebuild::value(arena, value, storages).map_err(|f| f.of_tensor(name))? {
            Found::Tensor(mut tensor) => {
                tensor.name = name.to_owned();
                out.tensors.push(tensor);
            }
            Found::Refused(kind) => out.refused.push((name.to_owned(), kind)),
            Found::Other => out.left_out.push((name.to_owned(), arena.show(value, 60))),
        }
    }
    Ok(())
}

/// Cuts off the `module.` that `DataParallel` puts before every name.
fn strip_module(collected: &mut Collected) {
    const PREFIX: &str = "module.";
    let all = !collected.tensors.is_empty() && collected.tensors.iter().all(|t| t.name.starts_with(PREFIX));
    if all && collected.refused.iter().all(|(name, _)| name.starts_with(PREFIX)) {
        for tensor in &mut collected.tensors {
            tensor.name.drain(..PREFIX.len());
        }
        collected.stripped = Some(PREFIX.to_owned());
    }
}

fn no_dict(arena: &Arena<'_>, at: Ref, storages: &Storages) -> Fault {
    let what = match rebuild::is_tensor(arena, at, storages) {
        true => "a single tensor without a name".to_owned(),
        false => format!("a {}", arena.kind(at)),
    };
    Fault::no_tensors(format!("holds {what}, where a dict of tensors is expected"))
}
