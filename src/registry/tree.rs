//! A tree of values that knows where each of them stands in its file.
//!
//! In: the bytes of a YAML or JSON file ([`yaml`], [`json`]), bounded by [`Limits`]. Out: [`Node`]s with
//! line, column and byte offsets, from which the typed readers take values and collect every problem of a
//! file, each with its key path; and [`to_yaml`], which writes a tree in one style. Scalars keep the text
//! and whether it was quoted; what type it is (YAML 1.1 or the 1.2 core schema) is decided by who takes it.
//! Called by `registry::format` (the model-index format) and by every reader of a file people write.

mod json;
mod prepare;
mod problem;
mod scalar;
mod view;
mod workflow;
mod write;
mod yaml;
mod yaml11;

#[cfg(test)]
mod tests;

use std::sync::Arc;

pub use json::json;
pub use problem::{Malformed, Problem, ProblemKind, Problems, Severity};
pub use scalar::{Scalar, Schema, Style, Typed};
pub use view::{View, join};
pub use workflow::Commands;
pub use write::{to_comment, to_yaml};
pub use yaml::yaml;

/// Where something stands: lines and columns count from 1 (columns in characters), offsets are bytes of
/// the whole file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Span {
    /// Line of the first character.
    pub line: u32,
    /// Column of the first character.
    pub column: u32,
    /// Offset of the first byte.
    pub start: u32,
    /// Offset behind the last byte.
    pub end: u32,
}

/// One value and where it is from.
#[derive(Clone, Debug)]
pub struct Node {
    /// The file, for messages.
    pub file: Arc<str>,
    /// Where in the file.
    pub span: Span,
    /// What it is.
    pub value: Value,
}

/// What a node is.
#[derive(Clone, Debug)]
pub enum Value {
    /// A single value.
    Scalar(Scalar),
    /// A list.
    Sequence(Vec<Node>),
    /// Keys and values.
    Mapping(Mapping),
}

/// The key of a pair. Only scalars can be keys.
#[derive(Clone, Debug)]
pub struct Key {
    /// The text and whether it was quoted.
    pub scalar: Scalar,
    /// Where it stands.
    pub span: Span,
}

impl Key {
    /// Its text.
    pub fn text(&self) -> &str {
        &self.scalar.text
    }
}

/// Keys and values in the order of the file. No key is there twice: the reader keeps the last value, at
/// the first one's place, as Python's readers do, and reports the other.
#[derive(Clone, Debug, Default)]
pub struct Mapping {
    pairs: Vec<(Key, Node)>,
}

impl Mapping {
    /// The value of exactly this key.
    pub fn get(&self, key: &str) -> Option<&Node> {
        self.pairs.iter().find(|(k, _)| k.text() == key).map(|(_, v)| v)
    }

    /// The pairs, in order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&Key, &Node)> {
        self.pairs.iter().map(|(k, v)| (k, v))
    }

    /// The number of pairs.
    pub fn len(&self) -> usize {
        self.pairs.len()
    }

    /// Whether there is no pair.
    pub fn is_empty(&self) -> bool {
        self.pairs.is_empty()
    }

    /// Sets a value: in place where the key is there, else at the end.
    pub fn set(&mut self, key: &str, value: Node) {
        match self.pairs.iter_mut().find(|(k, _)| k.text() == key) {
            Some((_, old)) => *old = value,
            None => {
                let span = value.span;
                self.pairs.push((Key { scalar: Scalar::string(key), span }, value));
            }
        }
    }

    /// Takes a pair out.
    pub fn remove(&mut self, key: &str) -> Option<Node> {
        let at = self.pairs.iter().position(|(k, _)| k.text() == key)?;
        Some(self.pairs.remove(at).1)
    }

    /// The pairs themselves, to rename or reorder keys; the taker keeps them unique.
    pub fn pairs_mut(&mut self) -> &mut Vec<(Key, Node)> {
        &mut self.pairs
    }
}

impl Node {
    /// A string that is in no file: a fact added by zoo.
    pub fn string(text: impl Into<String>) -> Self {
        Node::of(Value::Scalar(Scalar::string(text)))
    }

    /// A plain scalar that is in no file, such as a number in the digits it should be written with.
    pub fn plain(text: impl Into<String>) -> Self {
        Node::of(Value::Scalar(Scalar { text: text.into(), style: Style::Plain }))
    }

    /// A value that is in no file.
    pub fn of(value: Value) -> Self {
        Node { file: Arc::from(""), span: Span::default(), value }
    }

    /// The keys and values, where it is a mapping.
    pub fn mapping(&self) -> Option<&Mapping> {
        match &self.value {
            Value::Mapping(m) => Some(m),
            _ => None,
        }
    }

    /// The same, to change it.
    pub fn mapping_mut(&mut self) -> Option<&mut Mapping> {
        match &mut self.value {
            Value::Mapping(m) => Some(m),
            _ => None,
        }
    }

    /// The items, where it is a list.
    pub fn sequence(&self) -> Option<&[Node]> {
        match &self.value {
            Value::Sequence(items) => Some(items),
            _ => None,
        }
    }

    /// The scalar, where it is one.
    pub fn scalar(&self) -> Option<&Scalar> {
        match &self.value {
            Value::Scalar(s) => Some(s),
            _ => None,
        }
    }

    /// The text of a scalar that is not null, whatever its type.
    pub fn text(&self) -> Option<&str> {
        self.scalar().filter(|s| !s.is_null()).map(|s| s.text.as_str())
    }

    /// Whether it is null, or an empty plain scalar, which means the same.
    pub fn is_null(&self) -> bool {
        self.scalar().is_some_and(Scalar::is_null)
    }

    /// The value of exactly this key.
    pub fn get(&self, key: &str) -> Option<&Node> {
        self.mapping()?.get(key)
    }

    /// The value of a key in any case and with `_`, `-` or nothing for a space; null counts as absent.
    /// An exact key goes before a forgiven one.
    pub fn field(&self, name: &str) -> Option<&Node> {
        let mapping = self.mapping()?;
        let found = mapping.get(name).or_else(|| {
            let found = mapping.iter().filter(|(k, _)| same_field(k.text(), name)).last();
            found.map(|(_, v)| v)
        })?;
        (!found.is_null()).then_some(found)
    }

    /// The items of a list, or the one value as a list of one; null is the empty list.
    pub fn one_or_many(&self) -> &[Node] {
        match &self.value {
            Value::Sequence(items) => items,
            _ if self.is_null() => &[],
            _ => std::slice::from_ref(self),
        }
    }

    /// `a string`, `a list` …: what was found, for a message.
    pub fn kind(&self) -> &'static str {
        match &self.value {
            Value::Mapping(_) => "a mapping",
            Value::Sequence(_) => "a list",
            Value::Scalar(s) => s.typed(Schema::Core).kind(),
        }
    }

    /// Whether two trees state the same: spans, quoting style and the order of keys do not matter; the
    /// order of lists and whether a scalar is a string do.
    pub fn same_facts(&self, other: &Node) -> bool {
        match (&self.value, &other.value) {
            (Value::Scalar(a), Value::Scalar(b)) => a.same(b),
            (Value::Sequence(a), Value::Sequence(b)) => {
                a.len() == b.len() && a.iter().zip(b).all(|(a, b)| a.same_facts(b))
            }
            (Value::Mapping(a), Value::Mapping(b)) => {
                a.len() == b.len()
                    && a.iter().all(|(k, v)| b.get(k.text()).is_some_and(|other| v.same_facts(other)))
            }
            _ => false,
        }
    }

    /// The number of nodes in it, itself and keys included.
    pub fn count(&self) -> usize {
        match &self.value {
            Value::Scalar(_) => 1,
            Value::Sequence(items) => 1 + items.iter().map(Node::count).sum::<usize>(),
            Value::Mapping(m) => 1 + m.iter().map(|(_, v)| 1 + v.count()).sum::<usize>(),
        }
    }
}

/// Whether two names of a field are the same to a forgiving reader: letters in any case, and `_`, `-` or
/// nothing where the other has a space.
pub fn same_field(a: &str, b: &str) -> bool {
    fn letters(s: &str) -> impl Iterator<Item = char> {
        s.chars().filter(|c| !matches!(c, ' ' | '_' | '-')).flat_map(char::to_lowercase)
    }
    letters(a).eq(letters(b))
}

/// What a file may cost. Work and memory of reading are bounded by these whatever the bytes are.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Bytes of the file.
    pub bytes: usize,
    /// Lists and mappings within each other.
    pub depth: usize,
    /// Values and keys, those that aliases stand for included.
    pub nodes: usize,
    /// Of which copies made for anchors and aliases; their texts may take sixteen bytes each on average.
    pub aliased: usize,
}

impl Default for Limits {
    /// Five hundred times the largest of timm's pages.
    fn default() -> Self {
        Limits { bytes: 16 << 20, depth: 64, nodes: 1 << 20, aliased: 1 << 16 }
    }
}

/// Where a text begins in its file, for a block inside a Markdown page.
#[derive(Clone, Debug)]
pub struct Origin {
    /// The file, for messages.
    pub file: Arc<str>,
    /// Lines before the one that the text begins in.
    pub line: usize,
    /// Characters before it in that line.
    pub column: usize,
    /// Bytes before it.
    pub offset: usize,
}

impl Origin {
    /// The beginning of a file.
    pub fn file(name: &str) -> Self {
        Origin { file: Arc::from(name), line: 0, column: 0, offset: 0 }
    }

    /// The place of a byte range whose first character is in line `line` and column `column` (from 0) of
    /// the text.
    fn span(&self, line: usize, column: usize, bytes: std::ops::Range<usize>) -> Span {
        let narrow = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        let column = if line == 0 { column + self.column } else { column };
        Span {
            line: narrow(line + self.line + 1),
            column: narrow(column + 1),
            start: narrow(bytes.start + self.offset),
            end: narrow(bytes.end + self.offset),
        }
    }
}

/// Checks what YAML and JSON have in common: size and encoding. A byte order mark is skipped.
fn text<'a>(bytes: &'a [u8], origin: &mut Origin, limits: &Limits) -> Result<&'a str, Malformed> {
    let refuse = |message: String, offset: usize| {
        let span = origin.span(0, 0, offset..offset);
        Malformed::one(Problem::at(&origin.file, span, message))
    };
    if bytes.len() > limits.bytes {
        let message = format!("{} bytes, more than the {} allowed here", bytes.len(), limits.bytes);
        return Err(refuse(message, 0));
    }
    let text = std::str::from_utf8(bytes).map_err(|e| {
        let valid = bytes.get(..e.valid_up_to()).unwrap_or_default();
        let line = valid.iter().filter(|&&b| b == b'\n').count();
        let start = valid.iter().rposition(|&b| b == b'\n').map_or(0, |at| at + 1);
        let column = String::from_utf8_lossy(valid.get(start..).unwrap_or_default()).chars().count();
        let span = origin.span(line, column, e.valid_up_to()..e.valid_up_to() + 1);
        Malformed::one(Problem::at(&origin.file, span, "not UTF-8"))
    })?;
    match text.strip_prefix('\u{feff}') {
        Some(rest) => {
            origin.offset += '\u{feff}'.len_utf8();
            Ok(rest)
        }
        None => Ok(text),
    }
}
