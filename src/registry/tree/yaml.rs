//! YAML into a tree, from the events of libyaml's scanner.
//!
//! In: bytes and [`Limits`]. Out: the documents of the file and the warnings about them. What PyYAML takes is
//! taken: libyaml-safer is libyaml's own grammar (YAML 1.1) in Rust without `unsafe`. Anchors, aliases and merge
//! keys (`<<`) are resolved by copying within a budget; tags other than the standard ones are refused, as
//! PyYAML's safe loader does. Nothing here is recursive but what [`Limits::depth`] bounds.

use std::collections::{HashMap, HashSet};
use std::io::BufReader;

use libyaml_safer::{Encoding, Event, EventData, Mark, Parser, ScalarStyle};

use super::prepare::Prepared;
use super::{
    Key, Limits, Malformed, Mapping, Node, Origin, Problem, Problems, Scalar, Schema, Span, Style, Typed,
    Value, text,
};

/// Reads every document of a YAML text.
///
/// # Errors
/// [`Malformed`] at the first place where the text is no YAML, breaks a limit, or uses an unknown tag.
pub fn yaml(bytes: &[u8], mut origin: Origin, limits: &Limits) -> Result<(Vec<Node>, Problems), Malformed> {
    let text = text(bytes, &mut origin, limits)?;
    if let Some((at, c)) = text.char_indices().find(|(_, c)| !is_allowed(*c)) {
        let (line, column) = LineIndex::new(text).line_column(at);
        let message = format!("not YAML: the character U+{:04X} is not allowed", u32::from(c));
        return Err(Malformed::one(Problem::at(&origin.file, origin.span(line, column, at..at), message)));
    }
    let Some(prepared) = Prepared::new(text) else {
        let message = "every character of the private use area occurs here, and zoo needs one that does not";
        return Err(Malformed::one(Problem::of(&origin.file, message)));
    };
    let mut reader = Reader {
        places: LineIndex::new(text),
        prepared: &prepared,
        origin: &origin,
        limits,
        frames: Vec::new(),
        anchors: HashMap::new(),
        documents: Vec::new(),
        problems: Problems::new(),
        nodes: 0,
        aliased: 0,
        aliased_bytes: 0,
    };
    let mut parser = Parser::new();
    parser.set_encoding(Encoding::Utf8);
    // The scanner takes in whole what its source has ready; a buffer keeps that small.
    parser.set_input(BufReader::new(prepared.text().as_bytes()));
    loop {
        match parser.parse() {
            Ok(Event { data: EventData::StreamEnd, .. }) => return Ok((reader.documents, reader.problems)),
            Ok(event) => reader.take(event).map_err(|problem| Malformed::one(*problem))?,
            Err(error) => return Err(Malformed::one(reader.scan_error(&error))),
        }
    }
}

/// The characters of YAML 1.1, less the byte order marks that are no character there.
fn is_allowed(c: char) -> bool {
    matches!(c, '\t' | '\n' | '\r' | ' '..='~' | '\u{85}' | '\u{a0}'..='\u{fffd}' | '\u{10000}'..)
}

/// Turns byte offsets into lines and columns. They come nearly in order, so a cursor that moves by single
/// characters is as good as free. Lines end with a line feed, as editors, git and the rest of zoo count them;
/// the parser counts a lone carriage return as a line too.
struct LineIndex<'a> {
    text: &'a str,
    /// The offset of each line's first byte.
    lines: Vec<usize>,
    /// A byte, and the number of characters between it and the beginning of its line.
    column: (usize, usize),
}

impl<'a> LineIndex<'a> {
    fn new(text: &'a str) -> Self {
        let ends = text.bytes().enumerate().filter(|(_, b)| *b == b'\n').map(|(at, _)| at + 1);
        LineIndex { text, lines: std::iter::once(0).chain(ends).collect(), column: (0, 0) }
    }

    /// Line and column of a byte, both from 0.
    fn line_column(&mut self, byte: usize) -> (usize, usize) {
        let line = self.lines.partition_point(|&first| first <= byte).saturating_sub(1);
        let first = self.lines.get(line).copied().unwrap_or(0);
        let (at, before) = self.column;
        let (from, before) = if (first..=byte).contains(&at) { (at, before) } else { (first, 0) };
        let column = before + self.text.get(from..byte).map_or(0, |t| t.chars().count());
        self.column = (byte, column);
        (line, column)
    }
}

/// A list or mapping whose end has not come yet.
struct Frame {
    anchor: Option<String>,
    span: Span,
    open: Open,
}

enum Open {
    Sequence(Vec<Node>),
    Mapping { pairs: Vec<(Key, Node)>, seen: HashSet<String>, key: Option<Key> },
}

/// What an anchor names, with its cost.
struct Anchored {
    node: Node,
    nodes: usize,
    bytes: usize,
    depth: usize,
}

struct Reader<'a> {
    places: LineIndex<'a>,
    prepared: &'a Prepared<'a>,
    origin: &'a Origin,
    limits: &'a Limits,
    frames: Vec<Frame>,
    anchors: HashMap<String, Anchored>,
    documents: Vec<Node>,
    problems: Problems,
    nodes: usize,
    aliased: usize,
    aliased_bytes: usize,
}

impl Reader<'_> {
    fn span(&mut self, start: usize, end: usize) -> Span {
        let (line, column) = self.places.line_column(start);
        self.origin.span(line, column, start..end.max(start))
    }

    fn offset(&self, mark: Mark) -> usize {
        self.prepared.offset(byte(mark))
    }

    fn marked(&mut self, event: &Event) -> Span {
        self.span(self.offset(event.start_mark), self.offset(event.end_mark))
    }

    /// What the scanner refuses, with what it was reading and where that began.
    fn scan_error(&mut self, error: &libyaml_safer::Error) -> Problem {
        let at = error.problem_mark().map_or(0, |mark| self.offset(mark));
        let span = self.span(at, at);
        let mut message = format!("not YAML: {}", error.problem());
        if let (Some(context), Some(mark)) = (error.context(), error.context_mark()) {
            let at = self.offset(mark);
            let begins = self.span(at, at);
            message.push_str(&format!(" {context}"));
            if begins.line != span.line {
                message.push_str(&format!(" that begins in line {}", begins.line));
            }
        }
        Problem::at(&self.origin.file, span, message)
    }

    fn node(&self, span: Span, value: Value) -> Node {
        Node { file: self.origin.file.clone(), span, value }
    }

    fn refuse(&self, span: Span, message: impl Into<String>) -> Box<Problem> {
        Box::new(Problem::at(&self.origin.file, span, message).path(self.path()))
    }

    /// The key path of what is being read.
    fn path(&self) -> String {
        let mut path = String::new();
        for frame in &self.frames {
            match &frame.open {
                Open::Sequence(items) => path.push_str(&format!("[{}]", items.len())),
                Open::Mapping { key: Some(key), .. } => {
                    if !path.is_empty() {
                        path.push('.');
                    }
                    path.push_str(key.text());
                }
                Open::Mapping { key: None, .. } => {}
            }
        }
        path
    }

    fn take(&mut self, event: Event) -> Result<(), Box<Problem>> {
        let span = self.marked(&event);
        match event.data {
            EventData::StreamStart { .. } | EventData::StreamEnd | EventData::DocumentEnd { .. } => Ok(()),
            EventData::DocumentStart { .. } => {
                self.anchors.clear();
                Ok(())
            }
            EventData::Scalar { anchor, tag, value, plain_implicit, style, .. } => {
                self.count(span, 1)?;
                let text = self.value(value, style, span, (event.start_mark, event.end_mark))?;
                // A lone `!` leaves the type to the text, quoted or not.
                let is_plain = plain_implicit || tag.as_deref() == Some("!");
                let style = if is_plain { Style::Plain } else { Style::Quoted };
                let scalar = self.tagged(tag.as_deref(), Scalar { text, style }, span)?;
                let node = self.node(span, Value::Scalar(scalar));
                self.finished(node, anchor)
            }
            EventData::SequenceStart { anchor, tag, .. } => {
                self.collection_tag(tag.as_deref(), &["seq", "omap", "pairs"], span)?;
                self.open(anchor, span, Open::Sequence(Vec::new()))
            }
            EventData::MappingStart { anchor, tag, .. } => {
                self.collection_tag(tag.as_deref(), &["map", "set"], span)?;
                self.open(anchor, span, Open::Mapping { pairs: Vec::new(), seen: HashSet::new(), key: None })
            }
            EventData::SequenceEnd | EventData::MappingEnd => self.close(span),
            EventData::Alias { anchor } => {
                let node = self.alias(&anchor, span)?;
                self.place(node)
            }
        }
    }

    /// The value of a scalar as the file means it.
    fn value(
        &mut self,
        scanned: String,
        style: ScalarStyle,
        span: Span,
        (start, end): (Mark, Mark),
    ) -> Result<String, Box<Problem>> {
        let start = self.offset(start);
        let scanned = match style {
            ScalarStyle::Plain if self.prepared.is_broken_tag(&scanned) => {
                return Err(self.refuse(span, "not YAML: a comma right after a tag"));
            }
            ScalarStyle::Literal | ScalarStyle::Folded => self.prepared.block(scanned, byte(end)),
            _ => scanned,
        };
        let (text, lost) = self.prepared.value(scanned, style == ScalarStyle::DoubleQuoted, start);
        if lost {
            let message = "half a surrogate pair, which no text can hold; read as U+FFFD";
            let problem = Problem::at(&self.origin.file, span, message).path(self.path());
            self.problems.push(problem.warning());
        }
        Ok(text)
    }

    fn count(&mut self, span: Span, nodes: usize) -> Result<(), Box<Problem>> {
        self.nodes += nodes;
        if self.nodes > self.limits.nodes {
            return Err(self.refuse(span, format!("more than {} values", self.limits.nodes)));
        }
        Ok(())
    }

    fn open(&mut self, anchor: Option<String>, span: Span, open: Open) -> Result<(), Box<Problem>> {
        self.count(span, 1)?;
        if self.frames.len() >= self.limits.depth {
            let message = format!("lists and mappings nested deeper than {}", self.limits.depth);
            return Err(Box::new(Problem::at(&self.origin.file, span, message)));
        }
        self.frames.push(Frame { anchor, span, open });
        Ok(())
    }

    fn close(&mut self, end: Span) -> Result<(), Box<Problem>> {
        // The parser closes only what it has opened.
        let Some(frame) = self.frames.pop() else { return Ok(()) };
        let span = Span { end: end.end.max(frame.span.end), ..frame.span };
        let value = match frame.open {
            Open::Sequence(items) => Value::Sequence(items),
            Open::Mapping { pairs, .. } => Value::Mapping(self.merged(pairs)?),
        };
        let node = self.node(span, value);
        self.finished(node, frame.anchor)
    }

    /// A value is whole: remember it where it is anchored, and put it where it belongs.
    fn finished(&mut self, node: Node, anchor: Option<String>) -> Result<(), Box<Problem>> {
        if let Some(anchor) = anchor {
            let (nodes, bytes, depth) = cost(&node);
            self.spend(node.span, nodes, bytes)?;
            self.anchors.insert(anchor, Anchored { node: node.clone(), nodes, bytes, depth });
        }
        self.place(node)
    }

    /// Pays for a copy.
    fn spend(&mut self, span: Span, nodes: usize, bytes: usize) -> Result<(), Box<Problem>> {
        self.aliased = self.aliased.saturating_add(nodes);
        self.aliased_bytes = self.aliased_bytes.saturating_add(bytes);
        if self.aliased > self.limits.aliased || self.aliased_bytes / 16 > self.limits.aliased {
            let message = format!("anchors and aliases stand for more than {} values", self.limits.aliased);
            return Err(self.refuse(span, message));
        }
        self.count(span, nodes)
    }

    fn alias(&mut self, anchor: &str, span: Span) -> Result<Node, Box<Problem>> {
        let Some(anchored) = self.anchors.get(anchor) else {
            return Err(self.refuse(
                span,
                format!("alias `*{anchor}` to nothing before it in this document, or to what contains it"),
            ));
        };
        let (nodes, bytes, depth) = (anchored.nodes, anchored.bytes, anchored.depth);
        if self.frames.len() + depth > self.limits.depth {
            let message = format!("lists and mappings nested deeper than {}", self.limits.depth);
            return Err(self.refuse(span, message));
        }
        self.spend(span, nodes, bytes)?;
        match self.anchors.get(anchor) {
            // The copy stands where the alias does: that is where a reader looks.
            Some(anchored) => Ok(Node { span, ..anchored.node.clone() }),
            None => Err(self.refuse(span, "unknown alias")),
        }
    }

    /// Puts a value into the list or mapping it belongs to, or makes it a document.
    fn place(&mut self, node: Node) -> Result<(), Box<Problem>> {
        let Some(frame) = self.frames.last_mut() else {
            self.documents.push(node);
            return Ok(());
        };
        match &mut frame.open {
            Open::Sequence(items) => items.push(node),
            Open::Mapping { key: slot @ None, .. } => {
                let Value::Scalar(scalar) = node.value else {
                    return Err(self.refuse(node.span, format!("{} as a key", node.kind())));
                };
                *slot = Some(Key { scalar: scalar.into_key(), span: node.span });
            }
            Open::Mapping { pairs, seen, key } => {
                let Some(key) = key.take() else { return Ok(()) };
                if is_merge(&key) || seen.insert(key.text().to_owned()) {
                    pairs.push((key, node));
                } else if let Some((old, value)) = pairs.iter_mut().find(|(k, _)| k.text() == key.text()) {
                    let first = (old.span.line, old.span.column);
                    let place = key.span;
                    *old = key;
                    *value = node;
                    self.duplicate(place, first);
                }
            }
        }
        Ok(())
    }

    fn duplicate(&mut self, place: Span, (line, column): (u32, u32)) {
        // `place` has taken the key already: the path is that of the mapping, the key is in the message.
        let path = self.path();
        let message = format!("duplicate key; the value of line {line}, column {column} is not used");
        self.problems.push(Problem::at(&self.origin.file, place, message).path(path).warning());
    }

    /// Resolves `<<`: the keys of the mappings it names come first, and a mapping's own keys win.
    fn merged(&mut self, pairs: Vec<(Key, Node)>) -> Result<Mapping, Box<Problem>> {
        if !pairs.iter().any(|(k, _)| is_merge(k)) {
            return Ok(Mapping { pairs });
        }
        let mut merged = Mapping::default();
        let mut own = Vec::new();
        for (key, node) in pairs {
            if !is_merge(&key) {
                own.push((key, node));
                continue;
            }
            // Of several mappings the first wins.
            for source in node.one_or_many().iter().rev() {
                let Some(mapping) = source.mapping() else {
                    return Err(
                        self.refuse(source.span, format!("{} to merge, not a mapping", source.kind()))
                    );
                };
                for (key, value) in mapping.iter() {
                    merged.set(key.text(), value.clone());
                }
            }
        }
        for (key, node) in own {
            merged.set(key.text(), node);
        }
        Ok(merged)
    }

    /// What a tag makes of a scalar.
    fn tagged(&self, tag: Option<&str>, scalar: Scalar, span: Span) -> Result<Scalar, Box<Problem>> {
        let Some(tag) = tag.filter(|tag| *tag != "!") else { return Ok(scalar) };
        let tag_name = standard_tag(tag);
        let text = match tag_name {
            // As Python's `int` and `float` do.
            Some("int" | "float") => scalar.text.trim().to_owned(),
            Some("null") => "null".to_owned(),
            _ => scalar.text,
        };
        let plain = Scalar { text, style: Style::Plain };
        let types = [plain.typed(Schema::Core), plain.typed(Schema::Yaml11)];
        let is = |fits: fn(&Typed<'_>) -> bool| types.iter().any(fits);
        let fits = match tag_name {
            // Base64 stays as it is written: no field of a model-index holds bytes.
            Some("str" | "binary") => return Ok(Scalar { style: Style::Quoted, ..plain }),
            Some("bool") => is(|t| matches!(t, Typed::Bool(_))),
            Some("int") => is(|t| matches!(t, Typed::Int(_))),
            Some("float") => is(|t| matches!(t, Typed::Int(_) | Typed::Float(_))),
            Some("timestamp" | "null") => true,
            _ => return Err(self.unknown_tag(tag, span)),
        };
        match types {
            _ if !fits => {
                let message =
                    format!("`{}` is not of the type that its tag `{}` says", plain.text, short(tag));
                Err(self.refuse(span, message))
            }
            // `!!float 1e5` has no point, without which YAML 1.1 sees a string.
            [Typed::Float(number), Typed::Text(_)] => Ok(Scalar { text: format!("{number:?}"), ..plain }),
            _ => Ok(plain),
        }
    }

    fn collection_tag(&self, tag: Option<&str>, known: &[&str], span: Span) -> Result<(), Box<Problem>> {
        match tag.filter(|tag| *tag != "!") {
            Some(tag) if !standard_tag(tag).is_some_and(|name| known.contains(&name)) => {
                Err(self.unknown_tag(tag, span))
            }
            _ => Ok(()),
        }
    }

    fn unknown_tag(&self, tag: &str, span: Span) -> Box<Problem> {
        self.refuse(span, format!("the tag `{}` is not allowed here", short(tag)))
    }
}

/// What the tags of YAML's own types begin with.
const STANDARD: &str = "tag:yaml.org,2002:";

/// The name of a tag of YAML's own types, such as `str`.
fn standard_tag(tag: &str) -> Option<&str> {
    tag.strip_prefix(STANDARD)
}

/// A tag as a file writes it: `!!str`.
fn short(tag: &str) -> String {
    standard_tag(tag).map_or_else(|| tag.to_owned(), |name| format!("!!{name}"))
}

/// Where the scanner is in its text.
fn byte(mark: Mark) -> usize {
    usize::try_from(mark.index).unwrap_or(usize::MAX)
}

fn is_merge(key: &Key) -> bool {
    key.scalar.style == Style::Plain && key.text() == "<<"
}

/// Values, bytes of text, and levels of a node.
fn cost(node: &Node) -> (usize, usize, usize) {
    match &node.value {
        Value::Scalar(s) => (1, s.text.len(), 0),
        Value::Sequence(items) => items.iter().map(cost).fold((1, 0, 1), add),
        Value::Mapping(m) => m.iter().fold((1, 0, 1), |sum, (key, value)| {
            let (nodes, bytes, depth) = add(sum, cost(value));
            (nodes + 1, bytes + key.text().len(), depth)
        }),
    }
}

fn add(sum: (usize, usize, usize), part: (usize, usize, usize)) -> (usize, usize, usize) {
    (sum.0 + part.0, sum.1 + part.1, sum.2.max(part.2 + 1))
}
