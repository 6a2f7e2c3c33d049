//! A tree into YAML, in one style: block form, list items at their key's indentation, short lists of numbers
//! on one line, quotes only where a reader of YAML 1.1 or 1.2 would otherwise see no string. What it writes reads back as the same tree.
//!
//! Called by `zoo import`, `zoo show --yaml` and the page template.

use super::workflow::Commands;
use super::{Node, Scalar, Schema, Style, Typed, Value};

/// The node as a YAML document, its last line ended.
pub fn to_yaml(node: &Node) -> String {
    write(node, false)
}

/// The same for the inside of an HTML comment: nothing in it can end the comment.
pub fn to_comment(node: &Node) -> String {
    write(node, true)
}

fn write(node: &Node, comment: bool) -> String {
    let mut writer = Writer { out: String::new(), comment };
    match &node.value {
        Value::Scalar(s) => {
            writer.scalar(s, 0);
            writer.out.push('\n');
        }
        Value::Sequence(items) if !is_block(node) => {
            writer.numbers(items);
            writer.out.push('\n');
        }
        Value::Mapping(m) if m.is_empty() => writer.out.push_str("{}\n"),
        _ => writer.block(node, 0, false),
    }
    writer.out
}

struct Writer {
    out: String,
    comment: bool,
}

impl Writer {
    fn indent(&mut self, level: usize) {
        self.out.extend(std::iter::repeat_n("  ", level));
    }

    /// A list or mapping that is not empty. `inline`: its first line continues the current one, behind
    /// `- `.
    fn block(&mut self, node: &Node, level: usize, mut inline: bool) {
        match &node.value {
            Value::Scalar(_) => {}
            Value::Sequence(items) => {
                for item in items {
                    if !std::mem::take(&mut inline) {
                        self.indent(level);
                    }
                    self.out.push('-');
                    self.item(item, level);
                }
            }
            Value::Mapping(mapping) => {
                for (key, value) in mapping.iter() {
                    if !std::mem::take(&mut inline) {
                        self.indent(level);
                    }
                    self.key(&key.scalar);
                    self.out.push(':');
                    self.value(value, level);
                }
            }
        }
    }

    /// What follows `-`.
    fn item(&mut self, node: &Node, level: usize) {
        match is_block(node) {
            true => {
                self.out.push(' ');
                self.block(node, level + 1, true);
            }
            false => self.flat(node, level + 1),
        }
    }

    /// What follows `key:`. A list in a mapping is not indented further: its dashes do that.
    fn value(&mut self, node: &Node, level: usize) {
        match (is_block(node), &node.value) {
            (true, Value::Sequence(_)) => {
                self.out.push('\n');
                self.block(node, level, false);
            }
            (true, _) => {
                self.out.push('\n');
                self.block(node, level + 1, false);
            }
            (false, _) => self.flat(node, level + 1),
        }
    }

    /// A scalar or an empty collection, to the end of the line.
    fn flat(&mut self, node: &Node, level: usize) {
        self.out.push(' ');
        match &node.value {
            Value::Scalar(s) => self.scalar(s, level),
            Value::Sequence(items) => self.numbers(items),
            Value::Mapping(_) => self.out.push_str("{}"),
        }
        self.out.push('\n');
    }

    /// A list of numbers, such as a mean, on one line; the empty list is one too.
    fn numbers(&mut self, items: &[Node]) {
        self.out.push('[');
        for (i, scalar) in items.iter().filter_map(Node::scalar).enumerate() {
            self.out.push_str(if i > 0 { ", " } else { "" });
            self.out.push_str(&scalar.text);
        }
        self.out.push(']');
    }

    fn key(&mut self, scalar: &Scalar) {
        // A parser gives up on an implicit key beyond 1024 characters; no such key is written as a block.
        self.quoted_or_plain(scalar);
    }

    fn scalar(&mut self, scalar: &Scalar, level: usize) {
        match scalar.style == Style::Quoted && self.fits_block(&scalar.text) {
            true => self.literal(&scalar.text, level),
            false => self.quoted_or_plain(scalar),
        }
    }

    fn quoted_or_plain(&mut self, scalar: &Scalar) {
        let text = &scalar.text;
        if scalar.style == Style::Plain {
            let text = if scalar.is_null() { "null" } else { text };
            // What was plain once is not always plain on one line: `a\nb` was folded from two.
            if may_be_plain(text) && !self.ends_comment(text) && !Commands::any(text) {
                self.out.push_str(text);
                return;
            }
        }
        let plain = Scalar { text: text.clone(), style: Style::Plain };
        match text {
            _ if !printable(text)
                || text.contains('\n')
                || self.ends_comment(text)
                || Commands::any(text) =>
            {
                self.double(text)
            }
            _ if may_be_plain(text) && plain.is_string() => self.out.push_str(text),
            _ => {
                self.out.push('\'');
                self.out.push_str(&text.replace('\'', "''"));
                self.out.push('\'');
            }
        }
    }

    /// Whether a text has several lines and reads well, and the same, as a literal block.
    fn fits_block(&self, text: &str) -> bool {
        let first = text.lines().next().unwrap_or_default();
        text.contains('\n')
            && printable(text)
            && !first.is_empty()
            && !first.starts_with([' ', '\t'])
            && !text.lines().any(|l| (l.trim().is_empty() && !l.is_empty()) || l.contains('\r'))
            && !text.ends_with("\n\n")
            && !self.ends_comment(text)
            && !Commands::any(text)
    }

    fn literal(&mut self, text: &str, level: usize) {
        self.out.push_str(if text.ends_with('\n') { "|" } else { "|-" });
        for line in text.lines() {
            self.out.push('\n');
            if !line.is_empty() {
                self.indent(level.max(1));
                self.out.push_str(line);
            }
        }
    }

    fn double(&mut self, text: &str) {
        self.out.push('"');
        let mut before = [' ', ' '];
        for c in text.chars() {
            match c {
                '"' => self.out.push_str("\\\""),
                '\\' => self.out.push_str("\\\\"),
                '\n' => self.out.push_str("\\n"),
                '\t' => self.out.push_str("\\t"),
                '\r' => self.out.push_str("\\r"),
                // `-->` and `--!>` end a comment; `<!--` inside one is an error to some parsers.
                '>' | '!' if self.comment && before == ['-', '-'] => self.escape(c),
                '-' if self.comment && before.last() == Some(&'!') => self.escape(c),
                // `##[` and `##vso[` are commands anywhere in a line.
                '#' if before.last() == Some(&'#') => self.escape(c),
                c if is_printable(c) => self.out.push(c),
                c => self.escape(c),
            }
            before = [before[1], c];
        }
        self.out.push('"');
    }

    fn escape(&mut self, c: char) {
        let code = u32::from(c);
        self.out.push_str(&match code {
            0..=0xff => format!("\\x{code:02x}"),
            0x100..=0xffff => format!("\\u{code:04x}"),
            _ => format!("\\U{code:08x}"),
        });
    }

    fn ends_comment(&self, text: &str) -> bool {
        self.comment && ["-->", "--!", "<!-"].iter().any(|end| text.contains(end))
    }
}

fn is_block(node: &Node) -> bool {
    match &node.value {
        Value::Scalar(_) => false,
        Value::Sequence(items) => items.len() > 8 || !items.iter().all(is_number),
        Value::Mapping(m) => !m.is_empty(),
    }
}

fn is_number(node: &Node) -> bool {
    node.scalar().is_some_and(|s| matches!(s.typed(Schema::Core), Typed::Int(_) | Typed::Float(_)))
}

/// Characters that YAML allows as they are, less those that act on a terminal or hide.
fn is_printable(c: char) -> bool {
    !c.is_control()
        && !matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}')
        && !matches!(c, '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{fffe}' | '\u{ffff}' | '\u{e0000}'..='\u{e007f}')
}

fn printable(text: &str) -> bool {
    text.chars().all(|c| c == '\n' || is_printable(c))
}

/// Whether a text reads back as itself when it stands plain on one line.
fn may_be_plain(text: &str) -> bool {
    let mut chars = text.chars();
    let Some(first) = chars.next() else { return false };
    let second = chars.next();
    let starts_well = match first {
        '-' | '?' | ':' => {
            second.is_some_and(|c| !c.is_whitespace() && !matches!(c, '-' | ',' | '[' | ']' | '{' | '}'))
        }
        _ => !",[]{}#&*!|>'\"%@`".contains(first),
    };
    starts_well
        && printable(text)
        && !text.contains('\n')
        && !text.starts_with(char::is_whitespace)
        && !text.ends_with(char::is_whitespace)
        && !text.ends_with(':')
        && !text.contains(": ")
        && !text.contains(" #")
        && !text.contains('\t')
        && !text.starts_with("...")
}
