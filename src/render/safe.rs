//! Escaping: one function a sink. Tensor names, pickle globals, file and class names and page strings
//! come from strangers; nothing they contain may act on a terminal or in a document.
//!
//! Called by everything that prints, at the last moment and once: text is kept as it is until then.

mod code;

use std::borrow::Cow;
use std::fmt::Write;

pub use code::{bibtex, link, python, rust, shell};

use crate::registry::tree::Commands;

/// For a terminal: control characters (ESC among them), bidirectional overrides and other invisible
/// format characters become `\u{…}`. The result is one line, and none that the log of a GitHub workflow
/// would take for a command.
pub fn terminal(text: &str) -> Cow<'_, str> {
    // Nearly every text is of letters and digits alone, and tables have thousands of them.
    if text.bytes().all(|b| matches!(b, b' '..=b'~') && b != b':' && b != b'#') {
        return Cow::Borrowed(text);
    }
    let mut commands = Commands::of(text);
    escaped(text, move |c, out| {
        let acts = commands.begins(c) || is_unprintable(c);
        if acts {
            out.extend(c.escape_unicode());
        }
        acts
    })
}

/// For the text or a quoted attribute of HTML. Lines stay; other unprintable characters are spelt out.
pub fn html(text: &str) -> Cow<'_, str> {
    let mut commands = Commands::of(text);
    escaped(text, move |c, out| match c {
        _ if commands.begins(c) => reference(c, out),
        '\n' | '\t' => false,
        _ => entity(c, out) || spelt(c, out),
    })
}

/// For the text or a quoted attribute of XML 1.0, whose documents may not contain control characters at
/// all. Lines stay; other unprintable characters are spelt out.
pub fn xml(text: &str) -> Cow<'_, str> {
    let mut commands = Commands::of(text);
    escaped(text, move |c, out| match c {
        _ if commands.begins(c) => reference(c, out),
        '\n' | '\t' => false,
        '\u{fffe}' | '\u{ffff}' => {
            out.extend(c.escape_unicode());
            true
        }
        _ => entity(c, out) || spelt(c, out),
    })
}

/// For a line of Markdown or a cell of its tables, as plain text: no markup, no HTML, no other line.
pub fn markdown(text: &str) -> Cow<'_, str> {
    let mut previous = None;
    let mut rest = text.chars();
    let mut commands = Commands::of(text);
    escaped(text, move |c, out| {
        rest.next();
        let command = commands.begins(c);
        let before = previous.replace(c);
        let between_words = before.is_some_and(char::is_alphanumeric)
            && rest.clone().next().is_some_and(char::is_alphanumeric);
        let acts = match c {
            _ if command => true,
            '\\' | '`' | '*' | '[' | ']' | '|' | '~' | '$' => true,
            // Inside a word it is a letter, and names are full of it.
            '_' => !between_words,
            // What begins a heading, a list, a quotation or a rule.
            '#' | '+' | '-' | '=' | '!' => before.is_none_or(char::is_whitespace) || c == '!',
            '.' | ')' => before.is_some_and(|b| b.is_ascii_digit()) && !between_words,
            _ => false,
        };
        if acts {
            out.push('\\');
            out.push(c);
            return true;
        }
        entity(c, out) || spelt(c, out)
    })
}

/// A field of CSV, quoted where it must be. A text that a spreadsheet would run as a formula gets an
/// apostrophe in front, which shows it as text; numbers stay numbers.
pub fn csv(text: &str) -> Cow<'_, str> {
    let formula = text.starts_with(['=', '+', '-', '@', '\t', '\r']) && text.parse::<f64>().is_err();
    // Behind a quote nothing begins a line; on a later line of the field it does.
    let command = text.starts_with("::");
    let quote = formula
        || command
        || text.contains(['"', ',', '\n', '\r', ';'])
        || text.starts_with(char::is_whitespace);
    let mut commands = Commands::inside(text);
    let plain = escaped(text, move |c, out| match c {
        _ if commands.begins(c) => spelt_out(c, out),
        '\n' | '\r' | '\t' => false,
        '"' => {
            out.push_str("\"\"");
            true
        }
        _ => spelt(c, out),
    });
    match quote {
        true => Cow::Owned(format!("\"{}{plain}\"", if formula { "'" } else { "" })),
        false => plain,
    }
}

/// The message of a GitHub workflow command (`::error …::MESSAGE`): one line, nothing that begins another.
pub fn github(text: &str) -> Cow<'_, str> {
    escaped(text, |c, out| match c {
        '%' | '\r' | '\n' => {
            let _ = write!(out, "%{:02X}", c as u32);
            true
        }
        _ => spelt(c, out),
    })
}

/// A property of a GitHub workflow command (`file=PROPERTY`), which also ends at `,` and `:`.
pub fn github_property(text: &str) -> Cow<'_, str> {
    escaped(text, |c, out| match c {
        '%' | '\r' | '\n' | ',' | ':' => {
            let _ = write!(out, "%{:02X}", c as u32);
            true
        }
        _ => spelt(c, out),
    })
}

/// JSON as `serde_json` writes it, with the unprintable characters beyond ASCII escaped too, so that it
/// may be looked at in a terminal. The document means the same.
pub fn json(document: &str) -> Cow<'_, str> {
    if document.bytes().all(|b| b < 0x7f && b != b'#') {
        return Cow::Borrowed(document);
    }
    // No line of JSON begins with a text, but `##[` acts anywhere.
    let mut commands = Commands::inside(document);
    escaped(document, move |c, out| {
        let acts = (commands.begins(c) && c == '#') || !c.is_ascii() && is_unprintable(c) || c == '\u{7f}';
        if acts {
            for unit in c.encode_utf16(&mut [0; 2]) {
                let _ = write!(out, "\\u{unit:04x}");
            }
        }
        acts
    })
}

/// A document as it is printed: indented, and escaped as [`json`] does.
pub fn pretty(document: &serde_json::Value) -> String {
    let text = serde_json::to_string_pretty(document).unwrap_or_default();
    match json(&text) {
        Cow::Borrowed(_) => text,
        Cow::Owned(escaped) => escaped,
    }
}

/// Copies a text through `escape`, which writes what stands for a character and says so, or leaves it.
fn escaped(text: &str, mut escape: impl FnMut(char, &mut String) -> bool) -> Cow<'_, str> {
    let mut out = String::new();
    let mut changed = false;
    for (at, c) in text.char_indices() {
        let length = out.len();
        match escape(c, &mut out) {
            true if !changed => {
                out.insert_str(length, text.get(..at).unwrap_or_default());
                changed = true;
            }
            false if changed => out.push(c),
            _ => {}
        }
    }
    if changed { Cow::Owned(out) } else { Cow::Borrowed(text) }
}

fn entity(c: char, out: &mut String) -> bool {
    out.push_str(match c {
        '&' => "&amp;",
        '<' => "&lt;",
        '>' => "&gt;",
        '"' => "&quot;",
        '\'' => "&#39;",
        _ => return false,
    });
    true
}

fn spelt(c: char, out: &mut String) -> bool {
    is_unprintable(c) && spelt_out(c, out)
}

fn spelt_out(c: char, out: &mut String) -> bool {
    out.extend(c.escape_unicode());
    true
}

/// A character by its number, which reads as itself.
fn reference(c: char, out: &mut String) -> bool {
    let _ = write!(out, "&#{};", u32::from(c));
    true
}

/// Control characters, and the format characters that hide or reorder text.
fn is_unprintable(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

#[cfg(test)]
mod tests;
