//! From a pickle's value to a state dict: finds the part that holds tensors inside a training checkpoint,
//! and says what was left out. Called by [`super::open`] for every format that is a pickle.

use std::collections::HashMap;

use super::error::{Fault, Place};
use super::pickle::{Arena, Chain, Known, Ref, Value};
use super::tensor::{MOST, Tensor};
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
    /// How many those are, listed or not.
    others: usize,
}

/// The most values beside the tensors that are listed one by one.
const LISTED: usize = 1000;

impl Collected {
    /// Notes a value that is no tensor. Beyond a thousand only how many there are.
    pub(super) fn leave_out(&mut self, name: &str, what: String) {
        self.others += 1;
        if self.left_out.len() < LISTED {
            self.left_out.push((super::error::shortened(name), what));
        }
    }

    /// Notes a tensor that cannot be written.
    pub(super) fn refuse(&mut self, name: &str, kind: String) {
        if self.refused.len() < LISTED {
            self.refused.push((name.to_owned(), kind));
        }
    }

    /// Says how many were left out beyond those listed.
    pub(super) fn close(&mut self) {
        if self.others > self.left_out.len() {
            let more = self.others - self.left_out.len();
            self.left_out.push(("…".to_owned(), format!("and {more} more")));
        }
    }
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
    let mut search = Search { arena, seen: HashMap::new(), looked_at: 0 };
    for _ in 0..4 {
        let Some(entries) = mapping(arena, at) else {
            return Err(no_dict(arena, at, storages).into());
        };
        let entries = unique(arena, &entries)?;
        // Training scripts also keep figures as tensors (`best_acc1`): a wrapper goes before they do.
        let wrapper = search.wrapper(&entries, storages)?;
        let has_tensors = entries.iter().any(|&(_, v)| rebuild::is_tensor(arena, v, storages));
        if wrapper.is_none() && (entries.is_empty() || has_tensors) {
            take(arena, &entries, storages, &mut collected)?;
            strip_module(&mut collected);
            collected.close();
            return Ok(collected);
        }
        let (name, inner) = match wrapper {
            Some(found) => found,
            None => search.only(&entries, storages)?,
        };
        for &(other, value) in entries.iter().filter(|(k, _)| *k != name.as_str()) {
            collected.leave_out(other, arena.show(value, 60));
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
        // A key may itself have dots in it: the longest that fits is taken.
        let fits = |&(name, value): &(&'_ str, Ref)| match rest.strip_prefix(name)? {
            "" => Some((name.len(), "", value)),
            tail => Some((name.len(), tail.strip_prefix('.')?, value)),
        };
        let Some((len, tail, value)) = entries.iter().filter_map(fits).max_by_key(|(len, ..)| *len) else {
            let found =
                entries.iter().take(20).map(|(k, _)| format!("`{}`", super::error::shortened(k))).collect();
            return Err(Failure::NoSuchKey { key: key.to_owned(), found });
        };
        collected.path.push(rest.get(..len).unwrap_or_default().to_owned());
        at = value;
        rest = tail;
        if rest.is_empty() {
            return Ok(at);
        }
    }
}

/// Looks into the values of a dict for the one that holds the weights.
struct Search<'a, 'i> {
    arena: &'a Arena<'i>,
    seen: HashMap<Ref, bool>,
    looked_at: usize,
}

/// The most entries that are looked at in search of the weights: a million dicts can share a million entries.
const LOOKED_AT: usize = 1 << 23;

impl Search<'_, '_> {
    /// Whether a value is a dict with tensors in it, or with another wrapper.
    fn holds(&mut self, at: Ref, storages: &Storages) -> Result<bool, Fault> {
        if let Some(&known) = self.seen.get(&at) {
            return Ok(known);
        }
        let arena = self.arena;
        let holds = match mapping(arena, at) {
            Some(inner) => {
                self.looked_at += inner.len();
                if self.looked_at > LOOKED_AT {
                    let problem = format!("more than {LOOKED_AT} entries in dicts inside dicts");
                    return Err(Fault::excessive(Place::whole(), problem));
                }
                inner.iter().any(|&(_, v)| rebuild::is_tensor(arena, v, storages))
                    || inner.iter().any(|&(k, v)| {
                        arena.word(k).is_some_and(|k| WRAPPERS.contains(&k)) && is_mapping(arena, v)
                    })
            }
            None => false,
        };
        self.seen.insert(at, holds);
        Ok(holds)
    }

    /// The entry under one of the usual keys.
    fn wrapper(
        &mut self,
        entries: &[(&str, Ref)],
        storages: &Storages,
    ) -> Result<Option<(String, Ref)>, Fault> {
        for wrapper in WRAPPERS {
            if let Some(&(name, value)) = entries.iter().find(|(k, _)| k == wrapper)
                && self.holds(value, storages)?
            {
                return Ok(Some((name.to_owned(), value)));
            }
        }
        Ok(None)
    }

    /// The only entry that holds tensors.
    fn only(&mut self, entries: &[(&str, Ref)], storages: &Storages) -> Result<(String, Ref), Fault> {
        let mut candidates = Vec::new();
        for &(name, value) in entries {
            if self.holds(value, storages)? {
                candidates.push((name, value));
            }
        }
        match candidates.as_slice() {
            [(name, value)] => Ok(((*name).to_owned(), *value)),
            [] => Err(Fault::no_tensors("holds no tensors")),
            several => {
                let names = several.iter().take(10).map(|(k, _)| format!("`{}`", super::error::shortened(k)));
                let names = names.collect::<Vec<_>>().join(", ");
                Err(Fault::no_tensors(format!("holds several state dicts: choose one of {names} with --key")))
            }
        }
    }
}

fn is_mapping(arena: &Arena<'_>, at: Ref) -> bool {
    matches!(arena.get(at), Value::Dict(_)) || matches!(arena.call(at), Some((Known::Mapping, _)))
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
            if let Some(&list) = arena.arguments(object.args)?.first() {
                for pair in arena.sequence(list).unwrap_or_default() {
                    match arena.arguments(pair).as_deref() {
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
    // A key that is the same value again is not read again: it may be long, and repeated a million times.
    let mut long: HashMap<Ref, usize> = HashMap::new();
    for &(key, value) in entries {
        if let Some(entry) = long.get(&key).and_then(|&i| list.get_mut(i)) {
            entry.1 = value;
            continue;
        }
        let at = key;
        let Some(key) = arena.text(key) else {
            let shown = arena.show(key, 40);
            return Err(Fault::malformed(
                Place::whole(),
                format!("a key {shown} that is a {}, not text", arena.kind(key)),
            ));
        };
        let place = match places.get(key) {
            Some(&place) => place,
            None => {
                places.insert(key, list.len());
                list.push((key, value));
                list.len() - 1
            }
        };
        if let Some(entry) = list.get_mut(place) {
            entry.1 = value;
        }
        if key.len() > 256 {
            long.insert(at, place);
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
            Found::Tensor(_) if out.tensors.len() >= MOST => {
                let problem = format!("more than {MOST} tensors");
                return Err(Fault::excessive(Place::whole(), problem));
            }
            Found::Tensor(mut tensor) => {
                tensor.name = name.to_owned();
                out.tensors.push(tensor);
            }
            Found::Refused(kind) => out.refuse(name, kind),
            Found::Other => out.leave_out(name, arena.show(value, 60)),
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
