//! A pickled `torch.nn.Module` as its `state_dict()` lists it: parameters, buffers that persist, then the same of
//! every submodule, under names with dots. Read from the tables that every module pickles (`_parameters`, `_buffers`,
//! `_modules`); no object is made and nothing of its class is called. Called by [`super::collect`].

use std::collections::HashSet;

use super::super::error::{FilePosition, FormatError};
use super::super::pickle::{Arena, Ref, Value};
use super::super::tensor::MAX_TENSORS;
use super::tree::{Node, Tables, Tree, mapping, tensors, through};
use super::{Collected, Named};

/// Modules visited at most, counted once for every path that leads to one: shared submodules could otherwise name
/// exponentially many tensors.
const MAX_VISITS: usize = 1 << 17;
/// Levels of modules in modules.
const MAX_DEPTH: usize = 64;
/// Entries of tables looked at, and bytes of names made at most, likewise.
const MAX_ENTRIES: usize = 1 << 20;
const MAX_NAME_BYTES: usize = 64 << 20;

/// Attributes that repeat what the tables hold.
const REPEATED: &[&str] = &["_parameters", "_buffers", "_modules", "_flat_weights", "_all_weights"];

/// Work done so far.
#[derive(Default)]
struct Work {
    visits: usize,
    entries: usize,
    bytes: usize,
}

/// Lists a module's tensors, each name after `prefix`.
pub(super) fn list(
    tree: &mut Tree<'_, '_>,
    root: Ref,
    prefix: String,
    out: &mut Collected,
    named: &mut Vec<Named>,
) -> Result<(), FormatError> {
    let mut work = Work::default();
    let mut stack = vec![(root, prefix, 0usize)];
    while let Some((at, prefix, depth)) = stack.pop() {
        work.visits += 1;
        if work.visits > MAX_VISITS || depth > MAX_DEPTH {
            let problem = format!("more than {MAX_VISITS} modules, or more than {MAX_DEPTH} deep");
            return Err(FormatError::excessive(FilePosition::whole(), problem));
        }
        let Node::Module(tables) = tree.node(at) else {
            let count = tree.count(at);
            let name = prefix.trim_end_matches('.');
            if count > 0 {
                let class = tree.arena.kind(at);
                out.refuse(
                    name,
                    match tree.not_dense(at) {
                        Some(kind) => format!("a {class} with a {kind} tensor in it"),
                        None => format!("a {class} that keeps {} in its own way", tensors(count)),
                    },
                );
            }
            continue;
        };
        own(tree, &tables, &prefix, &mut work, out, named)?;
        let mut inner = Vec::new();
        for (key, value) in mapping(tree.arena, tables.modules).unwrap_or_default() {
            work.step(&prefix, 1)?;
            let (Some(key), false) = (tree.arena.word(key), value == Arena::NONE) else { continue };
            work.step(key, 0)?;
            inner.push((value, format!("{prefix}{key}."), depth + 1));
        }
        stack.extend(inner.into_iter().rev());
    }
    Ok(())
}

impl Work {
    fn step(&mut self, name: &str, entries: usize) -> Result<(), FormatError> {
        self.entries += entries;
        self.bytes += name.len();
        if self.entries > MAX_ENTRIES || self.bytes > MAX_NAME_BYTES {
            let problem =
                format!("more than {MAX_ENTRIES} entries of modules, or {MAX_NAME_BYTES} bytes of names");
            return Err(FormatError::excessive(FilePosition::whole(), problem));
        }
        Ok(())
    }
}

/// What one module holds itself.
fn own(
    tree: &mut Tree<'_, '_>,
    tables: &Tables,
    prefix: &str,
    work: &mut Work,
    out: &mut Collected,
    named: &mut Vec<Named>,
) -> Result<(), FormatError> {
    let arena = tree.arena;
    let transient = tables.transient.map(|set| words(arena, set)).unwrap_or_default();
    for (table, is_buffer) in [(Some(tables.parameters), false), (tables.buffers, true)] {
        for (key, value) in table.and_then(|t| mapping(arena, t)).unwrap_or_default() {
            work.step(prefix, 1)?;
            let (Some(key), false) = (arena.word(key), value == Arena::NONE) else { continue };
            work.step(key, 0)?;
            let name = format!("{prefix}{key}");
            match tree.node(value) {
                _ if is_buffer && transient.contains(key) => {
                    out.leave_tensors(&name, tree.count(value).max(1).into());
                }
                Node::Tensor(at) if named.len() < MAX_TENSORS => named.push(Named { name, at }),
                Node::Tensor(_) => {
                    return Err(FormatError::excessive(
                        FilePosition::whole(),
                        format!("more than {MAX_TENSORS} tensors"),
                    ));
                }
                _ => out.refuse(&name, format!("a parameter or buffer that is a {}", arena.kind(value))),
            }
        }
    }
    // torch leaves other attributes out of a state dict; those that hold tensors are named.
    for (key, value) in mapping(arena, tables.attributes).unwrap_or_default() {
        work.step("", 1)?;
        let Some(key) = arena.word(key).filter(|key| !REPEATED.contains(key)) else { continue };
        let count = tree.count(value);
        if count > 0 {
            out.leave_tensors(&format!("{prefix}{key}"), count.into());
        }
    }
    let hooks = tables.hooks.and_then(|hooks| mapping(arena, hooks)).map_or(0, |hooks| hooks.len());
    if hooks > 0 {
        let what = format!("{hooks} hooks, which are not run: state_dict() may give other names");
        out.leave_out(&format!("{prefix}_state_dict_hooks"), what);
    }
    Ok(())
}

/// The texts in a set, however it was pickled.
fn words<'a>(arena: &'a Arena<'_>, at: Ref) -> HashSet<&'a str> {
    let at = through(arena, at);
    match arena.get(at) {
        Value::Set(chain) | Value::List(chain) | Value::Tuple(chain) => {
            arena.items(chain).filter_map(|item| arena.word(item)).collect()
        }
        _ => HashSet::new(),
    }
}
