//! A pickle's values as a tree: what is a tensor, what holds others under which names, and how many tensors lie
//! below. In: an arena. Out: nodes, entries and counts. Called by the other files of this folder.
//!
//! Every container is looked at once, however many share it, so the work is bounded by what the file holds.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};

use super::super::error::{FilePosition, FormatError};
use super::super::pickle::{Arena, Known, Object, Ref, Value};
use super::super::torch::rebuild::{self, Storages};

/// What a value is to the search for weights.
#[derive(Clone, Copy, Debug)]
pub(super) enum Node {
    /// A tensor: this value.
    Tensor(Ref),
    /// A dict, `OrderedDict` or the like.
    Mapping,
    /// A list or tuple.
    Sequence,
    /// A pickled `torch.nn.Module`.
    Module(Tables),
    /// What another call would have made.
    Object,
    /// Anything else.
    Leaf,
}

/// Where a module keeps what `state_dict()` lists.
#[derive(Clone, Copy, Debug)]
pub(super) struct Tables {
    /// All of its attributes.
    pub(super) attributes: Ref,
    pub(super) parameters: Ref,
    pub(super) buffers: Option<Ref>,
    pub(super) modules: Ref,
    /// `_non_persistent_buffers_set`.
    pub(super) transient: Option<Ref>,
    /// `_state_dict_hooks`.
    pub(super) hooks: Option<Ref>,
}

/// What a container holds.
#[derive(Clone, Debug)]
pub(super) struct NamedValue<'a> {
    /// The key, an index, or an attribute's name; what Python would print of any other key.
    pub(super) name: Cow<'a, str>,
    pub(super) kind: Key,
    pub(super) value: Ref,
}

/// What kind of key an entry has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Key {
    Text,
    /// A whole number, or a place in a list.
    Number,
    /// Anything else: nothing that a tensor's name can be made of.
    Other(Ref),
}

/// The values of one pickle.
pub(in crate::checkpoint) struct Tree<'a, 'i> {
    pub(super) arena: &'a Arena<'i>,
    /// The numbers of the tensors of a tar archive, whose pickle names them so.
    numbers: HashSet<i64>,
    /// Tensors below each value; [`UNKNOWN`] where nobody asked yet.
    counts: Vec<u32>,
    /// By a module's attributes.
    tables: HashMap<Ref, Option<Tables>>,
    /// Entries that may still be looked at in search of the weights.
    left: usize,
    /// Values looked at by [`Tree::not_dense`].
    searched: usize,
}

const UNKNOWN: u32 = u32::MAX;
/// Deeper than this nothing is counted: a list may hold itself, and no training script nests so deep.
const MAX_DEPTH: usize = 100;
/// More attributes than any module has.
const MAX_ATTRIBUTES: u32 = 1 << 12;
/// Entries looked at in search of the weights: a million dicts can share a million entries.
pub(super) const MAX_ENTRIES: usize = 1 << 21;
/// Values that are looked at for a tensor without a dense form.
const MAX_SEARCHED: usize = 1 << 22;

impl<'a, 'i> Tree<'a, 'i> {
    pub(in crate::checkpoint) fn new(arena: &'a Arena<'i>, storages: &Storages) -> Self {
        let numbers = storages.tensors.keys().copied().collect();
        Tree {
            arena,
            numbers,
            counts: vec![UNKNOWN; arena.len()],
            tables: HashMap::new(),
            left: MAX_ENTRIES,
            searched: 0,
        }
    }

    /// What a value is, past calls that only return their argument.
    pub(super) fn node(&mut self, at: Ref) -> Node {
        let at = through(self.arena, at);
        if rebuild::is_tensor(self.arena, at, &self.numbers) {
            return Node::Tensor(at);
        }
        match self.arena.get(at) {
            Value::Dict(_) => Node::Mapping,
            // Paddle's tensors: a pair of name and array.
            Value::List(chain) | Value::Tuple(chain) => {
                let mut items = self.arena.items(chain);
                match (chain.len, items.next(), items.next()) {
                    (2, Some(name), Some(array))
                        if self.arena.text(name).is_some()
                            && rebuild::is_tensor(self.arena, array, &self.numbers) =>
                    {
                        Node::Tensor(array)
                    }
                    _ => Node::Sequence,
                }
            }
            Value::Object(index) => match self.arena.object(index).copied() {
                Some(object) => match self.arena.known(object.callee) {
                    Some(Known::Mapping) => Node::Mapping,
                    Some(Known::Sequence) => Node::Sequence,
                    _ => self.tables(&object).map_or(Node::Object, Node::Module),
                },
                None => Node::Leaf,
            },
            _ => Node::Leaf,
        }
    }

    /// A module's tables, where an object's state has them.
    fn tables(&mut self, object: &Object) -> Option<Tables> {
        let attributes = attributes(self.arena, object)?;
        if let Some(&known) = self.tables.get(&attributes) {
            return known;
        }
        let Value::Dict(chain) = self.arena.get(attributes) else { return None };
        let mut found: HashMap<&str, Ref> = HashMap::new();
        if chain.len <= 2 * MAX_ATTRIBUTES {
            let named = |(key, value)| Some((self.arena.word(key)?, value));
            found.extend(self.arena.entries(chain).filter_map(named));
        }
        let table = |name: &str| found.get(name).copied();
        let tables = table("_parameters").zip(table("_modules")).map(|(parameters, modules)| Tables {
            attributes,
            parameters,
            modules,
            buffers: table("_buffers"),
            transient: table("_non_persistent_buffers_set"),
            hooks: table("_state_dict_hooks"),
        });
        self.tables.insert(attributes, tables);
        tables
    }

    /// Counts entries that are about to be looked at.
    ///
    /// # Errors
    /// More than any training checkpoint has.
    pub(super) fn spend(&mut self, entries: usize) -> Result<(), FormatError> {
        match self.left.checked_sub(entries) {
            Some(left) => self.left = left,
            None => {
                let problem = format!("more than {MAX_ENTRIES} entries in dicts inside dicts");
                return Err(FormatError::excessive(FilePosition::whole(), problem));
            }
        }
        Ok(())
    }

    /// How many entries a container has, before each key is counted once.
    pub(super) fn len(&self, at: Ref) -> usize {
        let chain = match self.arena.get(through(self.arena, at)) {
            Value::Dict(chain) | Value::List(chain) | Value::Tuple(chain) => chain,
            Value::Object(index) => match self.arena.object(index) {
                Some(object) => object.entries,
                None => return 0,
            },
            _ => return 0,
        };
        chain.len as usize
    }

    /// What a container holds, each key once: the last value at the first place, as in Python. Of an object its
    /// attributes; of a module also what is in its tables.
    pub(super) fn entries(&mut self, at: Ref) -> Vec<NamedValue<'a>> {
        let at = through(self.arena, at);
        let arena = self.arena;
        match self.node(at) {
            Node::Mapping => unique(arena, mapping(arena, at).unwrap_or_default()),
            Node::Sequence => {
                let items = sequence(arena, at).unwrap_or_default();
                let entry = |(i, value): (usize, Ref)| NamedValue {
                    name: Cow::Owned(i.to_string()),
                    kind: Key::Number,
                    value,
                };
                items.into_iter().enumerate().map(entry).collect()
            }
            Node::Module(tables) => {
                let mut list = Vec::new();
                for table in
                    [Some(tables.parameters), tables.buffers, Some(tables.modules), Some(tables.attributes)]
                {
                    list.extend(table.and_then(|t| mapping(arena, t)).unwrap_or_default());
                }
                unique(arena, list)
            }
            Node::Object => {
                let Value::Object(index) = arena.get(at) else { return Vec::new() };
                let Some(object) = arena.object(index) else { return Vec::new() };
                let mut list: Vec<_> = arena.entries(object.entries).collect();
                list.extend(
                    attributes(arena, object).and_then(|state| mapping(arena, state)).unwrap_or_default(),
                );
                unique(arena, list)
            }
            Node::Tensor(_) | Node::Leaf => Vec::new(),
        }
    }

    /// The values.
    pub(in crate::checkpoint) fn arena(&self) -> &'a Arena<'i> {
        self.arena
    }

    /// How many tensors a value is or holds, at any depth.
    pub(in crate::checkpoint) fn count(&mut self, at: Ref) -> u32 {
        if let Some(known) = self.known(at) {
            return known;
        }
        let mut stack = vec![Frame { at, children: None, sum: 0 }];
        loop {
            let depth = stack.len();
            let Some(top) = stack.last_mut() else { return 0 };
            let next = match &mut top.children {
                Some(children) => children.next(),
                None => {
                    let at = top.at;
                    let children = self.children(at);
                    if let Some(top) = stack.last_mut() {
                        top.sum = if children.is_none() { 1 } else { 0 };
                        top.children = Some(children.unwrap_or_default().into_iter());
                    }
                    // A list that holds itself finds nothing there a second time.
                    self.remember(at, 0);
                    continue;
                }
            };
            match next.map(|child| (child, self.known(child))) {
                Some((_, Some(count))) => top.sum = top.sum.saturating_add(count).min(UNKNOWN - 1),
                Some((_, None)) if depth >= MAX_DEPTH => {}
                Some((child, None)) => stack.push(Frame { at: child, children: None, sum: 0 }),
                None => {
                    let (at, sum) = (top.at, top.sum);
                    self.remember(at, sum);
                    stack.pop();
                    match stack.last_mut() {
                        Some(parent) => parent.sum = parent.sum.saturating_add(sum).min(UNKNOWN - 1),
                        None => return sum,
                    }
                }
            }
        }
    }

    fn known(&self, at: Ref) -> Option<u32> {
        self.counts.get(at.index()).copied().filter(|&count| count != UNKNOWN)
    }

    fn remember(&mut self, at: Ref, count: u32) {
        if let Some(slot) = self.counts.get_mut(at.index()) {
            *slot = count;
        }
    }

    /// What is to be counted of a value; `None` for a tensor.
    fn children(&mut self, at: Ref) -> Option<Vec<Ref>> {
        let arena = self.arena;
        match (self.node(at), arena.get(at)) {
            (Node::Tensor(_), _) => None,
            // Other attributes repeat what is in the tables.
            (Node::Module(tables), _) => Some(
                [Some(tables.parameters), tables.buffers, Some(tables.modules)]
                    .into_iter()
                    .flatten()
                    .collect(),
            ),
            (_, Value::Dict(chain)) => Some(arena.entries(chain).map(|(_, value)| value).collect()),
            (_, Value::List(chain) | Value::Tuple(chain) | Value::Set(chain)) => {
                Some(arena.items(chain).collect())
            }
            (_, Value::Object(index)) => {
                let Some(object) = arena.object(index) else { return Some(Vec::new()) };
                let values = arena.entries(object.entries).map(|(_, value)| value);
                Some(
                    [object.args, object.state]
                        .into_iter()
                        .chain(arena.items(object.items))
                        .chain(values)
                        .collect(),
                )
            }
            _ => Some(Vec::new()),
        }
    }

    /// The kind of the first tensor in a container that no dense format holds: `quantised`.
    pub(super) fn not_dense(&mut self, at: Ref) -> Option<&'static str> {
        let (mut waiting, mut seen) = (vec![at], HashSet::new());
        while let Some(at) = waiting.pop() {
            if self.searched >= MAX_SEARCHED || !seen.insert(at) {
                continue;
            }
            self.searched += 1;
            match (self.arena.call(at), self.children(at)) {
                (Some((Known::NotDense(kind), _)), _) => return Some(kind),
                (_, Some(children)) => waiting.extend(children.into_iter().rev()),
                (_, None) => {}
            }
        }
        None
    }
}

/// A container being counted.
struct Frame {
    at: Ref,
    children: Option<std::vec::IntoIter<Ref>>,
    sum: u32,
}

/// `1 tensor`, `7 tensors`.
pub(in crate::checkpoint) fn tensors(count: impl Into<u64>) -> String {
    match count.into() {
        1 => "1 tensor".to_owned(),
        n => format!("{n} tensors"),
    }
}

/// The value that calls which return their argument lead to (`restore_type_tag(value, type)`, `tuple(value)`).
pub(super) fn through(arena: &Arena<'_>, at: Ref) -> Ref {
    const MAX_CALLS: usize = 8;
    let mut at = at;
    for _ in 0..MAX_CALLS {
        let inner = match arena.call(at) {
            Some((Known::Transparent, object)) => arena.arguments(object.args),
            Some((Known::Sequence, object)) if object.items.len == 0 => arena.arguments(object.args),
            _ => return at,
        };
        match inner.as_deref() {
            Some([inner, ..]) => at = *inner,
            _ => return at,
        }
    }
    at
}

/// The attributes that `BUILD` would have given an object: a dict, or the dict of a pair with slots.
fn attributes(arena: &Arena<'_>, object: &Object) -> Option<Ref> {
    match arena.get(object.state) {
        Value::Dict(_) => Some(object.state),
        Value::Tuple(chain) if chain.len == 2 => {
            arena.items(chain).find(|&half| matches!(arena.get(half), Value::Dict(_)))
        }
        _ => None,
    }
}

/// The items of a list or tuple.
fn sequence(arena: &Arena<'_>, at: Ref) -> Option<Vec<Ref>> {
    match (arena.get(at), arena.call(at)) {
        (Value::List(chain) | Value::Tuple(chain), _) => Some(arena.items(chain).collect()),
        (_, Some((Known::Sequence, object))) => Some(arena.items(object.items).collect()),
        _ => None,
    }
}

/// The entries of a dict, an `OrderedDict` or another mapping.
pub(super) fn mapping(arena: &Arena<'_>, at: Ref) -> Option<Vec<(Ref, Ref)>> {
    let at = through(arena, at);
    if let Value::Dict(chain) = arena.get(at) {
        return Some(arena.entries(chain).collect());
    }
    let (Known::Mapping, object) = arena.call(at)? else { return None };
    let mut entries = Vec::new();
    // `OrderedDict([[key, value], …])`, as protocols 0 and 1 have it; `dict({…})`.
    if let Some(&list) = arena.arguments(object.args).unwrap_or_default().first() {
        match arena.get(list) {
            Value::Dict(chain) => entries.extend(arena.entries(chain)),
            _ => {
                for pair in arena.sequence(list).unwrap_or_default() {
                    match arena.arguments(pair).as_deref() {
                        Some([key, value]) => entries.push((*key, *value)),
                        _ => break,
                    }
                }
            }
        }
    }
    entries.extend(arena.entries(object.entries));
    Some(entries)
}

/// Each key once: the last value at the first place.
fn unique<'a>(arena: &'a Arena<'_>, entries: Vec<(Ref, Ref)>) -> Vec<NamedValue<'a>> {
    let mut list: Vec<NamedValue<'a>> = Vec::with_capacity(entries.len());
    // A key that is the same value again is not read again: it may be long, and repeated a million times.
    let mut long: HashMap<Ref, usize> = HashMap::new();
    for (key, value) in entries {
        if let Some(entry) = long.get(&key).and_then(|&i| list.get_mut(i)) {
            entry.value = value;
            continue;
        }
        let (name, kind) = match (arena.text(key), arena.get(key)) {
            (Some(text), _) => (Cow::Borrowed(text), Key::Text),
            (None, Value::Int(n)) => (Cow::Owned(n.to_string()), Key::Number),
            _ => (Cow::Owned(arena.show(key, 60)), Key::Other(key)),
        };
        if name.len() > 256 || matches!(kind, Key::Other(_)) {
            long.insert(key, list.len());
        }
        list.push(NamedValue { name, kind, value });
    }
    let of = |i: u32| list.get(i as usize).map(|e| (e.kind, e.name.as_ref()));
    let mut order: Vec<u32> = (0..list.len() as u32).collect();
    order.sort_by(|&a, &b| of(a).cmp(&of(b)));
    let mut repeated: Vec<(u32, u32)> = Vec::new();
    for group in order.chunk_by(|&a, &b| of(a) == of(b)) {
        if let [first, .., last] = group {
            repeated.push((*first, *last));
            repeated.extend(group.iter().skip(1).map(|&gone| (gone, gone)));
        }
    }
    if repeated.is_empty() {
        return list;
    }
    let mut gone = HashSet::new();
    for (place, last) in repeated {
        match list.get(last as usize).map(|e| e.value) {
            Some(value) if place != last => {
                if let Some(entry) = list.get_mut(place as usize) {
                    entry.value = value;
                }
            }
            _ => drop(gone.insert(place)),
        }
    }
    let mut at = 0;
    list.retain(|_| {
        at += 1;
        !gone.contains(&(at - 1))
    });
    list
}
