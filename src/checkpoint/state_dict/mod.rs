//! From a pickle's value to a state dict. In: an arena and its root. Out: the tensors with their names, and what was
//! left out. Called by [`super::open`] for every format that is a pickle.
//!
//! | file | what it does |
//! | --- | --- |
//! | `tree` | what is a tensor, what holds others, how many lie below |
//! | `choose` | which part of a file is the state dict: the one rule |
//! | `key` | the part that the user names |
//! | `module` | a pickled module as its `state_dict()` lists it |
//! | `prefix` | what wrappers put before every name |
//! | `deepspeed` | parts of DeepSpeed's checkpoints, whose weights lie elsewhere |

mod choose;
mod deepspeed;
mod key;
mod module;
mod prefix;
mod tree;

use super::error::{FilePosition, FormatError, ReadError, shortened};
use super::pickle::{Arena, Ref};
use super::tensor::{MAX_TENSORS, Tensor};
use super::torch::rebuild::{self, Found, Storages};
use choose::Chosen;
pub(super) use key::follow;
use tree::{Key, NamedValue, Node};
pub(super) use tree::{Tree, tensors};

/// What was found in a pickle.
#[derive(Debug, Default)]
pub(super) struct Collected {
    pub(super) tensors: Vec<Tensor>,
    /// The keys that were followed, outermost first.
    pub(super) path: Vec<String>,
    /// Averaged weights were taken, and these weights left out for them.
    pub(super) averaged_before: Option<String>,
    /// What wrappers had put before all names, and was cut off: `module.`.
    pub(super) stripped: Option<String>,
    /// Tensors that cannot be written densely: name and kind.
    pub(super) refused: Vec<(String, String)>,
    /// What else holds tensors: under which keys, and how many.
    pub(super) left_out_tensors: Vec<(String, u64)>,
    /// Everything else: where, and what.
    pub(super) left_out: Vec<(String, String)>,
    /// How many of the last two there are, listed or not, and the tensors of those not listed.
    others: usize,
    holders: usize,
    unlisted: u64,
}

/// A tensor's name and the value that it is.
pub(super) struct Named {
    name: String,
    at: Ref,
}

/// The most values beside the tensors that are listed one by one.
const MAX_LISTED: usize = 1000;
/// Where Paddle says which arrays it has split.
const PADDLE_SLICES: &str = "UnpackBigParamInfor@@";
/// Dicts in dicts that an explicit key takes together.
const MAX_DEPTH: usize = 32;

impl Collected {
    /// Notes a value that holds no tensors. Beyond a thousand only how many there are.
    pub(super) fn leave_out(&mut self, name: &str, what: String) {
        self.others += 1;
        if self.left_out.len() < MAX_LISTED {
            self.left_out.push((shortened(name), what));
        }
    }

    /// Notes a value that holds tensors.
    pub(super) fn leave_tensors(&mut self, name: &str, count: u64) {
        self.holders += 1;
        if self.left_out_tensors.len() < MAX_LISTED {
            self.left_out_tensors.push((shortened(name), count));
        } else {
            self.unlisted = self.unlisted.saturating_add(count);
        }
    }

    /// Notes a tensor that cannot be written.
    pub(super) fn refuse(&mut self, name: &str, kind: String) {
        if self.refused.len() < MAX_LISTED {
            self.refused.push((name.to_owned(), kind));
        }
    }

    /// Says how many were left out beyond those listed.
    pub(super) fn close(&mut self) {
        if self.others > self.left_out.len() {
            let more = self.others - self.left_out.len();
            self.left_out.push(("…".to_owned(), format!("and {more} more")));
        }
        if self.holders > self.left_out_tensors.len() {
            self.left_out_tensors.push(("…".to_owned(), self.unlisted));
        }
    }

    /// Reads tensors whose values are known.
    pub(super) fn take(
        &mut self,
        arena: &Arena<'_>,
        named: Vec<Named>,
        storages: &mut Storages,
    ) -> Result<(), FormatError> {
        for Named { name, at } in named {
            match rebuild::value(arena, at, storages).map_err(|f| f.of_tensor(&name))? {
                Found::Tensor(_) if self.tensors.len() >= MAX_TENSORS => {
                    return Err(FormatError::excessive(
                        FilePosition::whole(),
                        format!("more than {MAX_TENSORS} tensors"),
                    ));
                }
                Found::Tensor(mut tensor) => {
                    tensor.name = name;
                    self.tensors.push(tensor);
                }
                Found::Refused(kind) => self.refuse(&name, kind),
                Found::Other => self.leave_out(&name, arena.show(at, 60)),
            }
        }
        Ok(())
    }
}

/// Finds the state dict by the rule of [`choose`], or takes what lies at `key`.
pub(super) fn collect(
    arena: &Arena<'_>,
    root: Ref,
    key: Option<&str>,
    storages: &mut Storages,
) -> Result<Collected, ReadError> {
    let mut out = Collected::default();
    let mut named = Vec::new();
    let mut tree = Tree::new(arena, storages);
    let part = if key.is_none() { deepspeed::part(&mut tree, root) } else { None };
    if part == Some(deepspeed::Part::Optimizer) {
        return Err(deepspeed::optimizer());
    }
    let chosen = match key {
        Some(key) => key::follow(&mut tree, root, key)?,
        None => choose::choose(&mut tree, root)?,
    };
    list(&mut tree, &chosen, &mut out, &mut named)?;
    // What is left out is named as `--key` would have it.
    let inside = out.left_out.iter_mut().map(|(name, _)| name);
    for name in inside.chain(out.left_out_tensors.iter_mut().map(|(name, _)| name)) {
        *name = shortened(&choose::joined(&chosen.path, name));
    }
    for (name, value) in &chosen.beside {
        match tree.count(*value) {
            0 => out.leave_out(name, arena.show(*value, 60)),
            count => out.leave_tensors(name, count.into()),
        }
    }
    drop(tree);
    if named.is_empty() && out.refused.is_empty() && chosen.explicit {
        let problem = format!(
            "has no tensors at `{}`, which is a {}",
            shortened(key.unwrap_or(".")),
            arena.kind(chosen.at)
        );
        return Err(FormatError::no_tensors(problem).into());
    }
    out.take(arena, named, storages)?;
    if part.is_some()
        && let Some(error) = deepspeed::placeholders(&out.tensors)
    {
        return Err(error);
    }
    out.path = chosen.path;
    out.averaged_before = chosen.averaged_before;
    prefix::strip(&mut out);
    out.close();
    Ok(out)
}

/// The tensors at the chosen place.
fn list(
    tree: &mut Tree<'_, '_>,
    chosen: &Chosen,
    out: &mut Collected,
    named: &mut Vec<Named>,
) -> Result<(), FormatError> {
    match tree.node(chosen.at) {
        Node::Tensor(at) => {
            let name = chosen.path.last().cloned().unwrap_or_default();
            named.push(Named { name, at });
            Ok(())
        }
        Node::Module(_) => module::list(tree, chosen.at, String::new(), out, named),
        _ => {
            let entries = tree.entries(chosen.at);
            let has_own = entries.iter().any(|e| matches!(tree.node(e.value), Node::Tensor(_)));
            if chosen.explicit && !has_own {
                return all_below(tree, entries, "", MAX_DEPTH, out, named);
            }
            // Paddle splits arrays of more than a gigabyte; the slices are no tensors of the network.
            let is_split = entries.iter().any(|e| e.name == PADDLE_SLICES && tree.len(e.value) > 0);
            for entry in &entries {
                if is_split && entry.name.contains("@@.") {
                    out.refuse(&entry.name, "a slice of an array that Paddle split up".to_owned());
                    continue;
                }
                one(tree, entry, entry.name.clone().into_owned(), out, named)?;
            }
            Ok(())
        }
    }
}

/// One entry of a state dict.
fn one(
    tree: &mut Tree<'_, '_>,
    entry: &NamedValue<'_>,
    name: String,
    out: &mut Collected,
    named: &mut Vec<Named>,
) -> Result<(), FormatError> {
    match tree.node(entry.value) {
        Node::Tensor(_) if matches!(entry.kind, Key::Other(_)) => out.leave_tensors(&name, 1),
        Node::Tensor(_) if named.len() >= MAX_TENSORS => {
            return Err(FormatError::excessive(
                FilePosition::whole(),
                format!("more than {MAX_TENSORS} tensors"),
            ));
        }
        Node::Tensor(at) => named.push(Named { name, at }),
        _ => match tree.count(entry.value) {
            0 => out.leave_out(&name, tree.arena.show(entry.value, 60)),
            count => match tree.not_dense(entry.value) {
                Some(kind) => {
                    out.refuse(
                        &name,
                        format!("a {} with a {kind} tensor in it", tree.arena.kind(entry.value)),
                    );
                }
                None => out.leave_tensors(&name, count.into()),
            },
        },
    }
    Ok(())
}

/// Everything below a container that has no tensors of its own, under its full name.
fn all_below(
    tree: &mut Tree<'_, '_>,
    entries: Vec<NamedValue<'_>>,
    prefix: &str,
    depth: usize,
    out: &mut Collected,
    named: &mut Vec<Named>,
) -> Result<(), FormatError> {
    tree.spend(entries.len())?;
    for entry in entries {
        let name = format!("{prefix}{}", entry.name);
        match tree.node(entry.value) {
            Node::Module(_) => module::list(tree, entry.value, format!("{name}."), out, named)?,
            Node::Mapping | Node::Sequence if depth > 0 && tree.count(entry.value) > 0 => {
                let inner = tree.entries(entry.value);
                all_below(tree, inner, &format!("{name}."), depth - 1, out, named)?;
            }
            _ => one(tree, &entry, name, out, named)?,
        }
    }
    Ok(())
}
