//! Escaping for code that a page shows and readers paste: literals and words of one line each, so that
//! nothing can end the fence they stand in or run when pasted.

use std::borrow::Cow;
use std::fmt::Write;

use super::{escaped, is_unprintable};
use crate::registry::tree::Commands;

/// A character below 256 in the literals of Python, and below 128 in those of Rust.
fn by_number(c: char, out: &mut String) -> bool {
    let _ = write!(out, "\\x{:02x}", u32::from(c));
    true
}

/// A Python string literal.
pub fn python(text: &str) -> String {
    let mut commands = Commands::inside(text);
    let inside = escaped(text, move |c, out| match c {
        _ if commands.begins(c) => by_number(c, out),
        '\\' | '\'' => {
            out.push('\\');
            out.push(c);
            true
        }
        c if is_unprintable(c) => {
            let code = u32::from(c);
            let _ = if code < 0x10000 { write!(out, "\\u{code:04x}") } else { write!(out, "\\U{code:08x}") };
            true
        }
        _ => false,
    });
    format!("'{inside}'")
}

/// A Rust string literal.
pub fn rust(text: &str) -> String {
    let mut commands = Commands::inside(text);
    let inside = escaped(text, move |c, out| match c {
        _ if commands.begins(c) => by_number(c, out),
        '\\' | '"' => {
            out.push('\\');
            out.push(c);
            true
        }
        c if is_unprintable(c) => {
            out.extend(c.escape_unicode());
            true
        }
        _ => false,
    });
    format!("\"{inside}\"")
}

/// A word of a POSIX shell's command line. What is invisible is left out: a shell has no escape for it
/// that a reader would see through.
pub fn shell(text: &str) -> Cow<'_, str> {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./=:@%+,".contains(c);
    // A leading dash would be an option.
    if !text.is_empty() && text.chars().all(plain) && !text.starts_with('-') {
        return Cow::Borrowed(text);
    }
    let visible: String = text.chars().filter(|c| !is_unprintable(*c)).collect();
    let path = if visible.starts_with('-') { "./" } else { "" };
    Cow::Owned(format!("'{path}{}'", visible.replace('\'', "'\\''").replace("##", "#''#")))
}

/// The value of a BibTeX field, in its braces.
pub fn bibtex(text: &str) -> String {
    let inside = escaped(text, |c, out| {
        match c {
            '{' | '}' | '%' | '&' | '#' | '$' | '_' => {
                out.push('\\');
                out.push(c);
            }
            '\\' => out.push_str("\\textbackslash "),
            '~' => out.push_str("\\textasciitilde "),
            '^' => out.push_str("\\textasciicircum "),
            c if c.is_whitespace() && c != ' ' => out.push(' '),
            c if is_unprintable(c) => out.extend(c.escape_unicode()),
            _ => return false,
        }
        true
    });
    format!("{{{inside}}}")
}

/// A web address as the target of a link: only `http:` and `https:`, with what could end it encoded.
pub fn link(url: &str) -> Option<Cow<'_, str>> {
    let head = url.get(..8).unwrap_or(url).to_ascii_lowercase();
    (head.starts_with("https://") || head.starts_with("http://")).then(|| {
        escaped(url, |c, out| {
            let acts = c.is_whitespace() || is_unprintable(c) || "()<>[]\"'`\\|{}^*".contains(c);
            if acts {
                for byte in c.encode_utf8(&mut [0; 4]).bytes() {
                    let _ = write!(out, "%{byte:02X}");
                }
            }
            acts
        })
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn literals_stay_literals() {
        assert_eq!(python("a'b\n\\```"), "'a\\'b\\u000a\\\\```'");
        assert_eq!(rust("a\"b\n"), "\"a\\\"b\\u{a}\"");
        assert_eq!(shell("resnet50.a1_in1k"), "resnet50.a1_in1k");
        assert_eq!(shell("$(x) 'y'"), "'$(x) '\\''y'\\'''");
        assert_eq!(shell("-rf"), "'./-rf'");
        assert_eq!(bibtex("{50%} & _"), "{\\{50\\%\\} \\& \\_}");
        assert_eq!(link("https://x.org/a_(b)#c").as_deref(), Some("https://x.org/a_%28b%29#c"));
        assert_eq!(link("javascript:alert(1)"), None);
        assert_eq!(link("data:text/html,x"), None);
    }

    proptest! {
        #[test]
        fn nothing_leaves_its_line_or_its_quotes(text in any::<String>()) {
            for literal in [python(&text), rust(&text), shell(&text).into_owned(), bibtex(&text)] {
                prop_assert!(!literal.chars().any(is_unprintable), "{:?}", literal);
            }
            let inside = python(&text);
            let inside = &inside[1..inside.len() - 1];
            prop_assert!(!inside.replace("\\\\", "").replace("\\'", "").contains('\''));
            let address = format!("https://{text}");
            let target = link(&address).unwrap();
            prop_assert!(!target.contains([')', '(', ' ', '<', '>', '"', '\n']));
        }
    }
}
