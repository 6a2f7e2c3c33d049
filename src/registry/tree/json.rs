//! JSON into a tree, with the same positions and limits as YAML.
//!
//! In: bytes and [`Limits`]. Out: the one value of the file and the warnings about it. RFC 8259, and
//! `NaN` and `Infinity` as Python writes them. Strings are quoted scalars, everything else plain ones.

use std::collections::HashMap;

use super::{
    Key, Limits, Malformed, Mapping, Node, Origin, Problem, Problems, Scalar, Span, Style, Value, text,
};

/// Reads a JSON text.
///
/// # Errors
/// [`Malformed`] at the first place where the text is no JSON or breaks a limit.
pub fn json(bytes: &[u8], mut origin: Origin, limits: &Limits) -> Result<(Node, Problems), Malformed> {
    let text = text(bytes, &mut origin, limits)?;
    let mut reader = Reader {
        text,
        at: 0,
        line: 0,
        line_start: 0,
        column: (0, 0),
        origin: &origin,
        limits,
        nodes: 0,
        problems: Problems::new(),
    };
    let read = |reader: &mut Reader<'_>| {
        let node = reader.value(0)?;
        reader.space();
        match reader.peek() {
            None => Ok(node),
            Some(c) => Err(reader.refuse(format!("`{c}` after the value"))),
        }
    };
    match read(&mut reader) {
        Ok(node) => Ok((node, reader.problems)),
        Err(problem) => Err(Malformed::one(*problem)),
    }
}

struct Reader<'a> {
    text: &'a str,
    at: usize,
    line: usize,
    line_start: usize,
    /// A byte of the current line and its column: long lines are not counted from their start each time.
    column: (usize, usize),
    origin: &'a Origin,
    limits: &'a Limits,
    nodes: usize,
    problems: Problems,
}

impl Reader<'_> {
    fn peek(&self) -> Option<char> {
        self.text.get(self.at..)?.chars().next()
    }

    fn byte(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn space(&mut self) {
        while let Some(b @ (b' ' | b'\t' | b'\r' | b'\n')) = self.byte() {
            self.at += 1;
            if b == b'\n' {
                self.line += 1;
                self.line_start = self.at;
                self.column = (self.at, 0);
            }
        }
    }

    /// The place of what begins here.
    fn here(&mut self) -> Span {
        let (from, before) = self.column;
        let from = from.max(self.line_start);
        let column = before + self.text.get(from..self.at).map_or(0, |t| t.chars().count());
        self.column = (self.at, column);
        self.origin.span(self.line, column, self.at..self.at)
    }

    fn refuse(&mut self, message: impl Into<String>) -> Box<Problem> {
        let span = self.here();
        Box::new(Problem::at(&self.origin.file, span, format!("not JSON: {}", message.into())))
    }

    fn unexpected(&mut self, expected: &str) -> Box<Problem> {
        let found = self.peek().map_or("the end".to_owned(), |c| format!("`{c}`"));
        self.refuse(format!("{found} instead of {expected}"))
    }

    fn count(&mut self) -> Result<(), Box<Problem>> {
        self.nodes += 1;
        match self.nodes > self.limits.nodes {
            true => Err(self.refuse(format!("more than {} values", self.limits.nodes))),
            false => Ok(()),
        }
    }

    fn finish(&self, mut span: Span, value: Value) -> Node {
        span.end = u32::try_from(self.at + self.origin.offset).unwrap_or(u32::MAX);
        Node { file: self.origin.file.clone(), span, value }
    }

    fn value(&mut self, depth: usize) -> Result<Node, Box<Problem>> {
        self.space();
        self.count()?;
        let span = self.here();
        if depth > self.limits.depth {
            return Err(self.refuse(format!("arrays and objects nested deeper than {}", self.limits.depth)));
        }
        let value = match self.byte() {
            Some(b'{') => Value::Mapping(self.object(depth)?),
            Some(b'[') => Value::Sequence(self.array(depth)?),
            Some(b'"') => Value::Scalar(Scalar::string(self.string()?)),
            _ => Value::Scalar(self.plain()?),
        };
        Ok(self.finish(span, value))
    }

    /// After a value inside brackets: whether another one follows.
    fn more(&mut self, close: u8) -> Result<bool, Box<Problem>> {
        self.space();
        match self.byte() {
            Some(b',') => {
                self.at += 1;
                Ok(true)
            }
            Some(b) if b == close => {
                self.at += 1;
                Ok(false)
            }
            _ => Err(self.unexpected(&format!("`,` or `{}`", char::from(close)))),
        }
    }

    fn array(&mut self, depth: usize) -> Result<Vec<Node>, Box<Problem>> {
        self.at += 1;
        self.space();
        if self.byte() == Some(b']') {
            self.at += 1;
            return Ok(Vec::new());
        }
        let mut items = vec![self.value(depth + 1)?];
        while self.more(b']')? {
            items.push(self.value(depth + 1)?);
        }
        Ok(items)
    }

    fn object(&mut self, depth: usize) -> Result<Mapping, Box<Problem>> {
        self.at += 1;
        self.space();
        let mut mapping = Mapping::default();
        let mut places: HashMap<String, usize> = HashMap::new();
        if self.byte() == Some(b'}') {
            self.at += 1;
            return Ok(mapping);
        }
        loop {
            self.space();
            self.count()?;
            let mut span = self.here();
            if self.byte() != Some(b'"') {
                return Err(self.unexpected("a key in double quotes"));
            }
            let scalar = Scalar::string(self.string()?);
            span.end = u32::try_from(self.at + self.origin.offset).unwrap_or(u32::MAX);
            self.space();
            if self.byte() != Some(b':') {
                return Err(self.unexpected("`:`"));
            }
            self.at += 1;
            let node = self.value(depth + 1)?;
            let next = mapping.pairs.len();
            let place = *places.entry(scalar.text.clone()).or_insert(next);
            match mapping.pairs.get_mut(place) {
                Some((old, value)) => {
                    let (line, column) = (old.span.line, old.span.column);
                    let message =
                        format!("duplicate key; the value of line {line}, column {column} is not used");
                    let problem = Problem::at(&self.origin.file, span, message).path(scalar.text);
                    self.problems.push(problem.warning());
                    *value = node;
                }
                None => mapping.pairs.push((Key { scalar, span }, node)),
            }
            if !self.more(b'}')? {
                return Ok(mapping);
            }
        }
    }

    /// A number or one of the words.
    fn plain(&mut self) -> Result<Scalar, Box<Problem>> {
        let rest = self.text.get(self.at..).unwrap_or_default();
        let length = rest.bytes().take_while(|b| b.is_ascii_alphanumeric() || b"+-.".contains(b)).count();
        let word = rest.get(..length).unwrap_or_default();
        let text = match word {
            "null" | "true" | "false" => word,
            "NaN" => ".nan",
            "Infinity" => ".inf",
            "-Infinity" => "-.inf",
            _ if is_number(word) => word,
            _ => return Err(self.unexpected("a value")),
        };
        let text = yaml_number(text);
        self.at += length;
        Ok(Scalar { text, style: Style::Plain })
    }

    fn string(&mut self) -> Result<String, Box<Problem>> {
        self.at += 1;
        let mut out = String::new();
        loop {
            let rest = self.text.get(self.at..).unwrap_or_default();
            let length = rest.bytes().take_while(|&b| b >= 0x20 && b != b'"' && b != b'\\').count();
            out.push_str(rest.get(..length).unwrap_or_default());
            self.at += length;
            match self.byte() {
                Some(b'"') => {
                    self.at += 1;
                    return Ok(out);
                }
                Some(b'\\') => {
                    self.at += 1;
                    out.push(self.escape()?);
                }
                Some(_) => return Err(self.refuse("a control character in a string")),
                None => return Err(self.refuse("a string without an end")),
            }
        }
    }

    fn escape(&mut self) -> Result<char, Box<Problem>> {
        let c = self.byte();
        self.at += usize::from(c.is_some_and(|b| b.is_ascii()));
        Ok(match c {
            Some(b'"') => '"',
            Some(b'\\') => '\\',
            Some(b'/') => '/',
            Some(b'b') => '\u{8}',
            Some(b'f') => '\u{c}',
            Some(b'n') => '\n',
            Some(b'r') => '\r',
            Some(b't') => '\t',
            Some(b'u') => {
                let first = self.hex4()?;
                let code = match first {
                    0xd800..=0xdbff if self.text.get(self.at..).is_some_and(|t| t.starts_with("\\u")) => {
                        self.at += 2;
                        let second = self.hex4()?;
                        match second {
                            0xdc00..=0xdfff => 0x10000 + ((first - 0xd800) << 10) + (second - 0xdc00),
                            _ => return Err(self.refuse("half a surrogate pair")),
                        }
                    }
                    _ => first,
                };
                match char::from_u32(code) {
                    Some(c) => c,
                    None => return Err(self.refuse("half a surrogate pair")),
                }
            }
            _ => return Err(self.refuse("an unknown escape")),
        })
    }

    fn hex4(&mut self) -> Result<u32, Box<Problem>> {
        let digits = self.text.get(self.at..self.at + 4).unwrap_or_default();
        match u32::from_str_radix(digits, 16) {
            Ok(code) if digits.bytes().all(|b| b.is_ascii_hexdigit()) => {
                self.at += 4;
                Ok(code)
            }
            _ => Err(self.refuse("`\\u` without four hex digits")),
        }
    }
}

/// A number as every YAML reader sees one: 1.1 wants a point, and a sign in the exponent.
fn yaml_number(text: &str) -> String {
    match text.split_once(['e', 'E']) {
        Some((mantissa, exponent)) if is_number(text) => {
            let point = if mantissa.contains('.') { "" } else { ".0" };
            let sign = if exponent.starts_with(['-', '+']) { "" } else { "+" };
            format!("{mantissa}{point}e{sign}{exponent}")
        }
        _ => text.to_owned(),
    }
}

fn is_number(word: &str) -> bool {
    let unsigned = word.strip_prefix('-').unwrap_or(word);
    let (mantissa, exponent) = match unsigned.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, Some(exponent)),
        None => (unsigned, None),
    };
    let (whole, fraction) = match mantissa.split_once('.') {
        Some((whole, fraction)) => (whole, Some(fraction)),
        None => (mantissa, None),
    };
    let digits = |s: &str| !s.is_empty() && s.bytes().all(|b| b.is_ascii_digit());
    digits(whole)
        && (whole == "0" || !whole.starts_with('0'))
        && fraction.is_none_or(digits)
        && exponent.is_none_or(|e| digits(e.strip_prefix(['-', '+']).unwrap_or(e)))
}
