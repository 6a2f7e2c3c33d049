//! The values of a pickle, addressed by index. Filled by the machine; read by whoever looks for tensors.
//!
//! Nothing owns anything else: lists, tuples and dicts are chains of links in one vector, text and bytes
//! are spans of the input. A list nested three million deep is three million flat entries, so printing,
//! comparing and dropping are loops. A value is 24 bytes, an element of a container 8.

use std::fmt::Write;

use super::import::{Import, Known};

/// The index of a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ref(pub(super) u32);

impl Ref {
    /// The index: below [`Arena::len`].
    pub(in crate::checkpoint) fn index(self) -> usize {
        self.0 as usize
    }
}

/// A run of bytes: of the input, or beyond its end of [`Arena`]'s own decoded bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    pub(super) start: u64,
    pub(super) len: u64,
}

/// The elements of a container, in order. A dict's are key, value, key, value …
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Chain {
    pub(super) head: u32,
    pub(super) tail: u32,
    /// How many elements.
    pub len: u32,
}

pub(super) const END: u32 = u32::MAX;

impl Chain {
    pub(super) const EMPTY: Chain = Chain { head: END, tail: END, len: 0 };
}

/// One value.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Value {
    /// `None`.
    None,
    /// `True` or `False`.
    Bool(bool),
    /// An integer of at most 64 bits.
    Int(i64),
    /// A larger one: little-endian two's complement.
    Long(Span),
    /// A larger one in protocol 0: decimal digits.
    Digits(Span),
    /// A float.
    Float(f64),
    /// Text: UTF-8, perhaps with surrogates; checked when it is used.
    Text(Span),
    /// Bytes.
    Bytes(Span),
    /// A list.
    List(Chain),
    /// A tuple.
    Tuple(Chain),
    /// A set or frozenset.
    Set(Chain),
    /// A dict.
    Dict(Chain),
    /// A name that Python would import: an index into the imports.
    Global(u32),
    /// What a call would have made: an index into the objects.
    Object(u32),
    /// Something that lives outside of the pickle, by its id.
    Persistent(Ref),
}

/// What a call would have made.
#[derive(Clone, Copy, Debug)]
pub struct Object {
    /// What would have been called.
    pub callee: Ref,
    /// With which arguments.
    pub args: Ref,
    /// What `BUILD` would have given to `__setstate__`; `None`'s reference where there was no `BUILD`.
    pub state: Ref,
    /// What would have been appended.
    pub items: Chain,
    /// What would have been set as key, value …
    pub entries: Chain,
}

/// All values of one pickle.
#[derive(Debug)]
pub struct Arena<'a> {
    pub(super) data: &'a [u8],
    pub(super) owned: Vec<u8>,
    pub(super) values: Vec<Value>,
    pub(super) links: Vec<(Ref, u32)>,
    pub(super) objects: Vec<Object>,
    pub(super) imports: Vec<Import>,
    /// The arguments of each import's first call.
    pub(super) first_calls: Vec<Option<Ref>>,
}

impl<'a> Arena<'a> {
    /// `None`.
    pub const NONE: Ref = Ref(0);
    pub(super) const TRUE: Ref = Ref(1);
    pub(super) const FALSE: Ref = Ref(2);
    pub(super) const UNIT: Ref = Ref(3);

    pub(super) fn new(data: &'a [u8]) -> Self {
        let values = vec![Value::None, Value::Bool(true), Value::Bool(false), Value::Tuple(Chain::EMPTY)];
        Arena {
            data,
            owned: Vec::new(),
            values,
            links: Vec::new(),
            objects: Vec::new(),
            imports: Vec::new(),
            first_calls: Vec::new(),
        }
    }

    /// How many values there are.
    pub(in crate::checkpoint) fn len(&self) -> usize {
        self.values.len()
    }

    /// The value at a reference.
    pub fn get(&self, at: Ref) -> Value {
        self.values.get(at.0 as usize).copied().unwrap_or(Value::None)
    }

    /// A span's bytes.
    pub fn bytes(&self, span: Span) -> &[u8] {
        let input = self.data.len() as u64;
        let (from, start) = match span.start.checked_sub(input) {
            None => (self.data, span.start),
            Some(start) => (self.owned.as_slice(), start),
        };
        let range = start as usize..start.saturating_add(span.len) as usize;
        from.get(range).unwrap_or_default()
    }

    /// Where in the input a span lies; `None` for decoded bytes.
    pub fn place(&self, span: Span) -> Option<std::ops::Range<u64>> {
        (span.start < self.data.len() as u64).then(|| span.start..span.start.saturating_add(span.len))
    }

    /// A container's elements.
    pub fn items(&self, chain: Chain) -> impl Iterator<Item = Ref> + '_ {
        let mut next = chain.head;
        std::iter::from_fn(move || {
            let &(value, after) = self.links.get(next as usize)?;
            next = after;
            Some(value)
        })
        .take(chain.len as usize)
    }

    /// A dict's entries, later ones of the same key included.
    pub fn entries(&self, chain: Chain) -> impl Iterator<Item = (Ref, Ref)> + '_ {
        let mut items = self.items(chain);
        std::iter::from_fn(move || Some((items.next()?, items.next()?)))
    }

    /// The elements of a tuple or list.
    pub fn sequence(&self, at: Ref) -> Option<Vec<Ref>> {
        match self.get(at) {
            Value::Tuple(chain) | Value::List(chain) => Some(self.items(chain).collect()),
            _ => None,
        }
    }

    /// The arguments of a call: the elements of a tuple or list that has at most [`Arena::ARGUMENTS`]. A
    /// longer one is none that a known constructor takes, and could be shared by a million calls.
    pub fn arguments(&self, at: Ref) -> Option<Vec<Ref>> {
        match self.get(at) {
            Value::Tuple(chain) | Value::List(chain) if chain.len <= Self::ARGUMENTS => {
                Some(self.items(chain).collect())
            }
            _ => None,
        }
    }

    /// The most that [`Arena::arguments`] returns: as many as a tensor may have dimensions.
    pub const ARGUMENTS: u32 = 64;

    /// Text of at most 255 bytes: a key, a codec, a type. Longer text is not looked at, for it could be shared
    /// by a million values.
    pub fn word(&self, at: Ref) -> Option<&str> {
        match self.get(at) {
            Value::Text(span) | Value::Bytes(span) if span.len < 256 => {
                std::str::from_utf8(self.bytes(span)).ok()
            }
            _ => None,
        }
    }

    /// An object.
    pub fn object(&self, index: u32) -> Option<&Object> {
        self.objects.get(index as usize)
    }

    /// Every value that stands for something outside of the pickle.
    pub fn persistents(&self) -> impl Iterator<Item = Ref> + '_ {
        let at = |(i, value): (usize, &Value)| matches!(value, Value::Persistent(_)).then_some(Ref(i as u32));
        self.values.iter().enumerate().filter_map(at)
    }

    /// Every value.
    pub fn refs(&self) -> impl Iterator<Item = Ref> + '_ {
        (0..self.values.len() as u32).map(Ref)
    }

    /// Whether anything was called.
    pub fn calls_anything(&self) -> bool {
        !self.objects.is_empty()
    }

    /// Whether the import `module.name` is used for nothing but calls with one argument that `fits`: not kept in a
    /// container, not handed to another call, not named in vain.
    pub fn is_only_called(&self, (module, name): (&str, &str), fits: impl Fn(Ref) -> bool) -> bool {
        let is_it = |at: Ref| self.import(at).is_some_and(|i| i.module == module && i.name == name);
        let called: Vec<&Object> = self.objects.iter().filter(|o| is_it(o.callee)).collect();
        let fits =
            |object: &&Object| matches!(self.arguments(object.args).as_deref(), Some([one]) if fits(*one));
        !called.is_empty()
            && called.iter().all(fits)
            && !self.links.iter().any(|&(value, _)| is_it(value))
            && !self.objects.iter().any(|o| is_it(o.args) || is_it(o.state))
    }

    /// Every import, in the order of first use.
    pub fn imports(&self) -> &[Import] {
        &self.imports
    }

    /// The import a value names.
    pub fn import(&self, at: Ref) -> Option<&Import> {
        match self.get(at) {
            Value::Global(index) => self.imports.get(index as usize),
            _ => None,
        }
    }

    /// What zoo knows of the import a value names.
    pub fn known(&self, at: Ref) -> Option<Known> {
        self.import(at)?.known
    }

    /// A call of something known: what, and the object.
    pub fn call(&self, at: Ref) -> Option<(Known, &Object)> {
        match self.get(at) {
            Value::Object(index) => {
                let object = self.object(index)?;
                Some((self.known(object.callee)?, object))
            }
            _ => None,
        }
    }

    /// Text that is valid UTF-8.
    pub fn text(&self, at: Ref) -> Option<&str> {
        match self.get(at) {
            Value::Text(span) => std::str::from_utf8(self.bytes(span)).ok(),
            _ => None,
        }
    }

    /// A whole number that fits.
    pub fn int(&self, at: Ref) -> Option<i64> {
        match self.get(at) {
            Value::Int(value) => Some(value),
            Value::Bool(value) => Some(i64::from(value)),
            _ => None,
        }
    }

    /// A size or offset: a whole number that is not negative.
    pub fn size(&self, at: Ref) -> Option<usize> {
        usize::try_from(self.int(at)?).ok()
    }

    /// What kind of value it is, in Python's words.
    pub fn kind(&self, at: Ref) -> String {
        match self.get(at) {
            Value::None => "None".into(),
            Value::Bool(_) => "bool".into(),
            Value::Int(_) | Value::Long(_) | Value::Digits(_) => "int".into(),
            Value::Float(_) => "float".into(),
            Value::Text(_) => "str".into(),
            Value::Bytes(_) => "bytes".into(),
            Value::List(_) => "list".into(),
            Value::Tuple(_) => "tuple".into(),
            Value::Set(_) => "set".into(),
            Value::Dict(_) => "dict".into(),
            Value::Persistent(_) => "persistent id".into(),
            Value::Global(index) => self.imports.get(index as usize).map_or("?".into(), Import::path),
            Value::Object(index) => match self.object(index).and_then(|o| self.import(o.callee)) {
                Some(import) => import.path(),
                None => "object".into(),
            },
        }
    }

    /// At most about `limit` characters of what Python would print. A loop, whatever the nesting.
    pub fn show(&self, at: Ref, limit: usize) -> String {
        enum Step {
            Value(Ref, u32),
            Text(&'static str),
        }
        const DEPTH: u32 = 6;
        const MAX_ITEMS: usize = 64;
        let mut out = String::new();
        let mut steps = vec![Step::Value(at, 0)];
        while let Some(step) = steps.pop() {
            if out.len() > limit {
                out.truncate(out.char_indices().nth(limit).map_or(out.len(), |(at, _)| at));
                out.push('…');
                break;
            }
            let (at, depth) = match step {
                Step::Text(text) => {
                    out.push_str(text);
                    continue;
                }
                Step::Value(at, depth) => (at, depth),
            };
            let (open, close, chain) = match self.get(at) {
                Value::None => ("None", "", None),
                Value::Bool(true) => ("True", "", None),
                Value::Bool(false) => ("False", "", None),
                Value::Int(value) => {
                    let _ = write!(out, "{value}");
                    continue;
                }
                Value::Float(value) => {
                    let _ = write!(out, "{value:?}");
                    continue;
                }
                Value::Digits(span) => {
                    let digits = self.bytes(span);
                    out.push_str(&String::from_utf8_lossy(
                        digits.get(..MAX_ITEMS.min(digits.len())).unwrap_or_default(),
                    ));
                    continue;
                }
                Value::Long(span) => {
                    let _ = write!(out, "<int of {} bytes>", span.len);
                    continue;
                }
                Value::Text(span) | Value::Bytes(span) => {
                    let bytes = self.bytes(span);
                    let head = bytes.get(..limit.min(bytes.len())).unwrap_or_default();
                    let _ = write!(out, "{:?}", String::from_utf8_lossy(head));
                    if head.len() < bytes.len() {
                        out.push('…');
                    }
                    continue;
                }
                Value::Global(_) => {
                    out.push_str(&self.kind(at));
                    continue;
                }
                Value::Object(index) => {
                    out.push_str(&self.kind(at));
                    match self.object(index) {
                        Some(object) if depth < DEPTH => steps.push(Step::Value(object.args, depth + 1)),
                        _ => out.push_str("(…)"),
                    }
                    continue;
                }
                Value::Persistent(id) => {
                    out.push_str("<persistent ");
                    steps.push(Step::Text(">"));
                    steps.push(Step::Value(id, depth + 1));
                    continue;
                }
                Value::List(chain) => ("[", "]", Some(chain)),
                Value::Tuple(chain) => ("(", if chain.len == 1 { ",)" } else { ")" }, Some(chain)),
                Value::Set(chain) => ("{", "}", Some(chain)),
                Value::Dict(chain) => ("{", "}", Some(chain)),
            };
            out.push_str(open);
            let Some(chain) = chain else { continue };
            if depth >= DEPTH {
                out.push('…');
                out.push_str(close);
                continue;
            }
            let pairs = matches!(self.get(at), Value::Dict(_));
            let items: Vec<_> = self.items(chain).take(MAX_ITEMS).collect();
            steps.push(Step::Text(close));
            for (i, item) in items.iter().enumerate().rev() {
                steps.push(Step::Value(*item, depth + 1));
                if i > 0 {
                    steps.push(Step::Text(if pairs && i % 2 == 1 { ": " } else { ", " }));
                }
            }
        }
        // One long name or text may have overshot.
        if let Some((at, _)) = out.char_indices().nth(limit + 1) {
            out.truncate(at);
            out.push('…');
        }
        out
    }
}
