//! `--key`: the part of a file that the user names. In: a path of keys with dots between them. Out: where it leads.
//! Called by [`super::collect`] and for torch.jit archives.

use super::super::error::{ReadError, shortened};
use super::super::pickle::Ref;
use super::choose::{Chosen, joined};
use super::tree::{Node, Tree, tensors, through};

/// Keys that an error lists.
const MAX_SHOWN: usize = 20;

/// Follows a key from the top level, which itself is `.`: keys of dicts (text or whole numbers), places in lists and
/// tuples, attributes of objects. A key may have dots in it: the longest that fits is taken.
///
/// # Errors
/// A key that is not there, with those that are.
pub(in crate::checkpoint) fn follow(
    tree: &mut Tree<'_, '_>,
    root: Ref,
    key: &str,
) -> Result<Chosen, ReadError> {
    let mut chosen = Chosen {
        at: through(tree.arena, root),
        path: Vec::new(),
        beside: Vec::new(),
        averaged_before: None,
        explicit: true,
    };
    let mut rest = if key == "." { "" } else { key };
    while !rest.is_empty() {
        let entries = tree.entries(chosen.at);
        let fits = |name: &str| match rest.strip_prefix(name)? {
            "" => Some((name.len(), "")),
            tail => Some((name.len(), tail.strip_prefix('.')?)),
        };
        let fitting = entries.iter().filter(|e| !e.name.is_empty());
        let longest = fitting.filter_map(|e| Some((fits(&e.name)?, e))).max_by_key(|((len, _), _)| *len);
        let Some(((len, tail), entry)) = longest else {
            let mut found = Vec::new();
            for entry in entries.iter().take(MAX_SHOWN) {
                let name = shortened(&joined(&chosen.path, &entry.name));
                found.push(match tree.count(entry.value) {
                    0 => format!("`{name}`"),
                    count => format!("`{name}` ({})", tensors(count)),
                });
            }
            return Err(ReadError::NoSuchKey { key: key.to_owned(), found });
        };
        if matches!(tree.node(chosen.at), Node::Mapping | Node::Sequence) {
            let others = entries.iter().filter(|e| e.value != entry.value);
            chosen.beside.extend(others.map(|e| (joined(&chosen.path, &e.name), e.value)));
        }
        chosen.path.push(rest.get(..len).unwrap_or_default().to_owned());
        chosen.at = through(tree.arena, entry.value);
        rest = tail;
    }
    Ok(chosen)
}
