//! YAML into a tree, from saphyr-parser's events.
//!
//! In: bytes and [`Limits`]. Out: the documents of the file and the warnings about them. Anchors, aliases
//! and merge keys (`<<`) are resolved by copying within a budget; tags other than the core ones are
//! refused, as PyYAML's safe loader does. Nothing here is recursive but what [`Limits::depth`] bounds.

use std::collections::{HashMap, HashSet};

use saphyr_parser::{Event, Parser, ScalarStyle, ScanError, StrInput, Tag};

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
    let mut reader = Reader {
        places: Places::new(text),
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
    let mut parser = Parser::new_from_str(text);
    while let Some(event) = next(&mut parser, &reader)? {
        reader.take(event.0, event.1).map_err(|problem| Malformed::one(*problem))?;
    }
    Ok((reader.documents, reader.problems))
}

type Spanned<'a> = (Event<'a>, saphyr_parser::Span);

fn next<'a>(
    parser: &mut Parser<'a, StrInput<'a>>,
    reader: &Reader<'a>,
) -> Result<Option<Spanned<'a>>, Malformed> {
    let refuse = |e: ScanError| {
        let at = e.marker().index();
        let (line, column) = reader.places.line_column(at);
        let place = reader.origin.span(line, column, at..at);
        Malformed::one(Problem::at(&reader.origin.file, place, format!("not YAML: {}", e.info())))
    };
    parser.next_event().transpose().map_err(refuse)
}

/// Turns the parser's character indexes into byte offsets, lines and columns. Indexes come nearly in order, so
/// a cursor that moves by single characters is as good as free. Lines end with a line feed, as editors, git and
/// the rest of zoo count them; the parser counts a lone carriage return, and the end of a file, as lines too.
struct Places<'a> {
    text: &'a str,
    ascii: bool,
    chars: usize,
    bytes: usize,
    /// The index of each line's first character.
    lines: Vec<usize>,
}

impl<'a> Places<'a> {
    fn new(text: &'a str) -> Self {
        let ends = text.chars().enumerate().filter(|(_, c)| *c == '\n').map(|(at, _)| at + 1);
        let lines = std::iter::once(0).chain(ends).collect();
        Places { text, ascii: text.is_ascii(), chars: 0, bytes: 0, lines }
    }

    /// Line and column of a character, both from 0.
    fn line_column(&self, index: usize) -> (usize, usize) {
        let line = self.lines.partition_point(|&first| first <= index).saturating_sub(1);
        (line, index - self.lines.get(line).copied().unwrap_or(0))
    }

    fn byte(&mut self, index: usize) -> usize {
        if self.ascii {
            return index.min(self.text.len());
        }
        while self.chars < index {
            let Some(c) = self.text.get(self.bytes..).and_then(|t| t.chars().next()) else { break };
            self.chars += 1;
            self.bytes += c.len_utf8();
        }
        while self.chars > index {
            let Some(c) = self.text.get(..self.bytes).and_then(|t| t.chars().next_back()) else { break };
            self.chars -= 1;
            self.bytes -= c.len_utf8();
        }
        self.bytes
    }
}

/// A list or mapping whose end has not come yet.
struct Frame {
    anchor: usize,
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
    places: Places<'a>,
    origin: &'a Origin,
    limits: &'a Limits,
    frames: Vec<Frame>,
    anchors: HashMap<usize, Anchored>,
    documents: Vec<Node>,
    problems: Problems,
    nodes: usize,
    aliased: usize,
    aliased_bytes: usize,
}

impl Reader<'_> {
    fn span(&mut self, span: saphyr_parser::Span) -> Span {
        let start = self.places.byte(span.start.index());
        let end = self.places.byte(span.end.index()).max(start);
        let (line, column) = self.places.line_column(span.start.index());
        self.origin.span(line, column, start..end)
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

    fn take(&mut self, event: Event<'_>, span: saphyr_parser::Span) -> Result<(), Box<Problem>> {
        match event {
            Event::Nothing | Event::StreamStart | Event::StreamEnd | Event::DocumentEnd => Ok(()),
            Event::DocumentStart(_) => {
                self.anchors.clear();
                Ok(())
            }
            Event::Scalar(text, style, anchor, tag) => {
                let span = self.span(span);
                self.count(span, 1)?;
                let style = match style {
                    ScalarStyle::Plain => Style::Plain,
                    _ => Style::Quoted,
                };
                let style = self.tagged(tag.as_deref(), style, &text, span)?;
                let node = self.node(span, Value::Scalar(Scalar { text: text.into_owned(), style }));
                self.finished(node, anchor)
            }
            Event::SequenceStart(anchor, tag) => {
                let span = self.span(span);
                self.collection_tag(tag.as_deref(), "seq", span)?;
                self.open(anchor, span, Open::Sequence(Vec::new()))
            }
            Event::MappingStart(anchor, tag) => {
                let span = self.span(span);
                self.collection_tag(tag.as_deref(), "map", span)?;
                self.open(anchor, span, Open::Mapping { pairs: Vec::new(), seen: HashSet::new(), key: None })
            }
            Event::SequenceEnd | Event::MappingEnd => {
                let end = self.span(span);
                self.close(end)
            }
            Event::Alias(anchor) => {
                let span = self.span(span);
                let node = self.alias(anchor, span)?;
                self.place(node)
            }
        }
    }

    fn count(&mut self, span: Span, nodes: usize) -> Result<(), Box<Problem>> {
        self.nodes += nodes;
        match self.nodes > self.limits.nodes {
            true => Err(self.refuse(span, format!("more than {} values", self.limits.nodes))),
            false => Ok(()),
        }
    }

    fn open(&mut self, anchor: usize, span: Span, open: Open) -> Result<(), Box<Problem>> {
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
    fn finished(&mut self, node: Node, anchor: usize) -> Result<(), Box<Problem>> {
        if anchor != 0 {
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

    fn alias(&mut self, anchor: usize, span: Span) -> Result<Node, Box<Problem>> {
        let Some(anchored) = self.anchors.get(&anchor) else {
            return Err(self.refuse(span, "alias to a value that contains it, or of another document"));
        };
        let (nodes, bytes, depth) = (anchored.nodes, anchored.bytes, anchored.depth);
        if self.frames.len() + depth > self.limits.depth {
            let message = format!("lists and mappings nested deeper than {}", self.limits.depth);
            return Err(self.refuse(span, message));
        }
        self.spend(span, nodes, bytes)?;
        match self.anchors.get(&anchor) {
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
    fn tagged(&self, tag: Option<&Tag>, style: Style, text: &str, span: Span) -> Result<Style, Box<Problem>> {
        let Some(tag) = tag else { return Ok(style) };
        let plain = Scalar { text: text.to_owned(), style: Style::Plain };
        let typed = plain.typed(Schema::Core);
        let fits = match core_tag(tag) {
            Some("str") => return Ok(Style::Quoted),
            Some("null") => typed == Typed::Null,
            Some("bool") => matches!(plain.typed(Schema::Yaml11), Typed::Bool(_)),
            Some("int") => matches!(typed, Typed::Int(_)),
            Some("float") => matches!(typed, Typed::Int(_) | Typed::Float(_)),
            Some("timestamp") => true,
            _ => return Err(self.refuse(span, format!("tag `{tag}` is not allowed"))),
        };
        match fits {
            true => Ok(Style::Plain),
            false => Err(self.refuse(span, format!("`{text}` is no `{}`", tag.suffix))),
        }
    }

    fn collection_tag(&self, tag: Option<&Tag>, core: &str, span: Span) -> Result<(), Box<Problem>> {
        match tag {
            Some(tag) if core_tag(tag) != Some(core) => {
                Err(self.refuse(span, format!("tag `{tag}` is not allowed")))
            }
            _ => Ok(()),
        }
    }
}

/// The name of a core tag such as `!!str`; `!` alone makes a string.
fn core_tag(tag: &Tag) -> Option<&str> {
    match tag.is_yaml_core_schema() {
        true => Some(&tag.suffix),
        false if tag.suffix.is_empty() || (tag.handle.is_empty() && tag.suffix == "!") => Some("str"),
        false => None,
    }
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
