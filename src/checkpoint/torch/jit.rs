//! torch.jit archives: `data.pkl` is a module object whose state has parameters, buffers, submodules and
//! plain attributes side by side; the archive's source says which are which. Only the parameters and
//! persistent tensors are read; no code is. Called by `super::super::open`.

use std::collections::{HashMap, HashSet};

use crate::checkpoint::archive::{Archive, sound};
use crate::checkpoint::error::{FilePosition, FormatError};
use crate::checkpoint::pickle::{Arena, Ref, Value};
use crate::checkpoint::source::Source;
use crate::checkpoint::state_dict::{Collected, Tree, tensors};
use crate::checkpoint::tensor::MAX_TENSORS;
use crate::checkpoint::torch::rebuild::{self, Found, Storages};

/// Modules visited at most, counted once for every path that leads to one: shared submodules could
/// otherwise name exponentially many tensors.
const MAX_VISITS: usize = 1 << 17;
/// Levels of modules in modules.
const MAX_DEPTH: usize = 64;
/// Attributes looked at and bytes of names made at most, likewise.
const ATTRIBUTES: usize = 1 << 20;
const MAX_NAME_BYTES: usize = 64 << 20;
/// The most source looked at, and the most names taken from it.
const MAX_SOURCE: u64 = 32 << 20;
const MAX_LISTED: usize = MAX_TENSORS;

/// Whether an import is one of the archive's own classes, which only its own source defines.
pub(in crate::checkpoint) fn is_own_class(module: &str) -> bool {
    module == "__torch__" || module.starts_with("__torch__.")
}

/// For every class of the archive, the attributes that are parameters or buffers.
pub(in crate::checkpoint) struct Classes(HashMap<String, HashSet<String>>);

impl Classes {
    /// Reads the lists `__parameters__` and `__buffers__` out of the archive's source files.
    pub(in crate::checkpoint) fn read(
        source: &dyn Source,
        archive: &Archive,
        prefix: &str,
    ) -> std::io::Result<Result<Self, FormatError>> {
        let mut classes = HashMap::new();
        let (mut left, mut count) = (MAX_SOURCE, 0usize);
        let folder = format!("{prefix}code/");
        for member in &archive.members {
            let Some(file) = member.name.strip_prefix(&folder).and_then(|n| n.strip_suffix(".py")) else {
                continue;
            };
            let text = sound!(archive.read(source, member, left)?);
            left -= text.len() as u64;
            let module = file.replace('/', ".");
            let mut class = None;
            for line in String::from_utf8_lossy(&text).lines() {
                if let Some(rest) = line.strip_prefix("class ") {
                    let name = rest.split(['(', ':']).next().unwrap_or("");
                    class = Some(format!("{module}.{name}"));
                    continue;
                }
                let line = line.trim_start();
                let list =
                    line.strip_prefix("__parameters__ = [").or_else(|| line.strip_prefix("__buffers__ = ["));
                let (Some(list), Some(class)) = (list, &class) else { continue };
                let list = list.split(']').next().unwrap_or("").split(',');
                let names = list.map(|n| n.trim().trim_matches('"')).filter(|n| !n.is_empty());
                let known = classes.entry(class.clone()).or_insert_with(HashSet::new);
                for name in names {
                    known.insert(name.to_owned());
                    count += 1;
                    if count > MAX_LISTED {
                        let problem = format!("more than {MAX_LISTED} parameters and buffers");
                        return Ok(Err(FormatError::excessive(FilePosition::member(&member.name), problem)));
                    }
                }
            }
        }
        Ok(Ok(Classes(classes)))
    }
}

/// Walks the modules from `root`, a loop with its own stack.
///
/// # Errors
/// A root that is no module, more than any network has.
pub(in crate::checkpoint) fn collect(
    tree: &mut Tree<'_, '_>,
    root: Ref,
    classes: &Classes,
    storages: &mut Storages,
) -> Result<Collected, FormatError> {
    let arena = tree.arena();
    let mut out = Collected::default();
    let mut stack = vec![(root, String::new(), 0usize)];
    let (mut visits, mut attributes, mut named) = (0, 0, 0);
    while let Some((at, path, depth)) = stack.pop() {
        visits += 1;
        if visits > MAX_VISITS || depth > MAX_DEPTH {
            let problem = format!("more than {MAX_VISITS} modules, or more than {MAX_DEPTH} deep");
            return Err(FormatError::excessive(FilePosition::whole(), problem));
        }
        let Some((class, state)) = module(arena, at) else {
            let problem = format!("holds a {}, where a module is expected", arena.kind(at));
            return Err(FormatError::no_tensors(problem));
        };
        let Value::Dict(chain) = arena.get(state) else {
            // What `__getstate__` returned: only the module's own code knows which is which.
            match tree.count(state) {
                0 => {}
                count => {
                    let class = class.rsplit('.').next().unwrap_or(&class);
                    let what = format!("the state that `{class}.__getstate__` made ({})", tensors(count));
                    out.refuse(if path.is_empty() { "the module" } else { &path }, what);
                }
            }
            continue;
        };
        attributes += chain.len as usize;
        if attributes > ATTRIBUTES {
            let problem = format!("more than {ATTRIBUTES} attributes of modules");
            return Err(FormatError::excessive(FilePosition::whole(), problem));
        }
        let listed = classes.0.get(&class);
        let mut inner = Vec::new();
        for (key, value) in arena.entries(chain) {
            let Some(key) = arena.word(key) else { continue };
            let name = if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") };
            named += name.len();
            if named > MAX_NAME_BYTES || out.tensors.len() >= MAX_TENSORS {
                let problem =
                    format!("more than {MAX_TENSORS} tensors, or {MAX_NAME_BYTES} bytes of their names");
                return Err(FormatError::excessive(FilePosition::whole(), problem));
            }
            if rebuild::is_tensor(arena, value, &HashSet::new()) {
                // Other attributes are not in a state dict.
                if !listed.is_some_and(|l| l.contains(key)) {
                    out.leave_tensors(&name, 1);
                    continue;
                }
                match rebuild::value(arena, value, storages).map_err(|f| f.of_tensor(&name))? {
                    Found::Tensor(mut tensor) => {
                        tensor.name = name;
                        out.tensors.push(tensor);
                    }
                    Found::Refused(kind) => out.refuse(&name, kind),
                    Found::Other => {}
                }
            } else if module(arena, value).is_some() {
                inner.push((value, name, depth + 1));
            } else {
                match tree.count(value) {
                    0 => {}
                    count => out.leave_tensors(&name, count.into()),
                }
            }
        }
        stack.extend(inner.into_iter().rev());
    }
    Ok(out)
}

/// The tensors of `constants.pkl`, under the names that the archive's code has for them: `c0`, `c1`, …
///
/// # Errors
/// As [`rebuild::value`].
pub(in crate::checkpoint) fn constants(
    arena: &Arena<'_>,
    root: Ref,
    storages: &mut Storages,
) -> Result<Collected, FormatError> {
    let mut out = Collected::default();
    for (i, at) in arena.sequence(root).unwrap_or_default().into_iter().enumerate() {
        let name = format!("c{i}");
        match rebuild::value(arena, at, storages).map_err(|f| f.of_tensor(&name))? {
            Found::Tensor(mut tensor) => {
                tensor.name = name;
                out.tensors.push(tensor);
            }
            Found::Refused(kind) => out.refuse(&name, kind),
            Found::Other => out.leave_out(&name, arena.show(at, 60)),
        }
    }
    out.path = vec![CONSTANTS.to_owned()];
    out.close();
    Ok(out)
}

/// The key that takes an archive's constants.
pub(in crate::checkpoint) const CONSTANTS: &str = "constants";

/// A module object: its class and its state.
fn module(arena: &Arena<'_>, at: Ref) -> Option<(String, Ref)> {
    let Value::Object(index) = arena.get(at) else { return None };
    let object = arena.object(index)?;
    let import = arena.import(object.callee)?;
    is_own_class(&import.module).then(|| (import.path(), object.state))
}
