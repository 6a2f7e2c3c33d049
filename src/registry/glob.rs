//! Names by a pattern of `*`, `?` and `[…]`, as Python's `fnmatch` and a shell have them. In: a pattern that a page or a
//! user wrote. Out: whether a name matches it. Called by the model-index format's imports, by `zoo list` and queries,
//! and by the store for the members of wheels. The `glob` crate matches; what differs from `fnmatch` is evened out here:
//! `**` is a `*`, and a `[` without its end is itself.

use glob::{MatchOptions, Pattern};

/// The longest pattern that is tried: a match goes as deep as a pattern has stars.
const MAX_PATTERN_CHARS: usize = 4096;

/// A pattern for whole names.
#[derive(Clone, Debug)]
pub struct Glob {
    pattern: Pattern,
    /// Whether a `/` is matched by itself only.
    is_path: bool,
}

impl Glob {
    /// A pattern for names or texts: `/` is a character like another.
    ///
    /// # Errors
    /// Why it is none.
    pub fn new(pattern: &str) -> Result<Self, String> {
        if pattern.chars().nth(MAX_PATTERN_CHARS).is_some() {
            return Err(format!("a pattern of more than {MAX_PATTERN_CHARS} characters"));
        }
        let mut plain = String::with_capacity(pattern.len());
        let mut rest = pattern;
        while let Some(c) = rest.chars().next() {
            rest = rest.get(c.len_utf8()..).unwrap_or_default();
            match c {
                '*' if plain.ends_with('*') => {}
                '[' => match class_len(rest) {
                    Some(len) => {
                        plain.push('[');
                        plain.push_str(rest.get(..len).unwrap_or_default());
                        rest = rest.get(len..).unwrap_or_default();
                    }
                    None => plain.push_str("[[]"),
                },
                _ => plain.push(c),
            }
        }
        let pattern = Pattern::new(&plain).map_err(|e| e.msg.to_owned())?;
        Ok(Glob { pattern, is_path: false })
    }

    /// A pattern for paths: `*` and `?` stay within one folder.
    ///
    /// # Errors
    /// As [`Glob::new`].
    pub fn of_paths(pattern: &str) -> Result<Self, String> {
        Ok(Glob { is_path: true, ..Glob::new(pattern)? })
    }

    /// Whether all of a name is like that.
    pub fn matches(&self, name: &str) -> bool {
        let options = MatchOptions {
            case_sensitive: true,
            require_literal_separator: self.is_path,
            require_literal_leading_dot: false,
        };
        self.pattern.matches_with(name, options)
    }
}

/// The length of a class whose inside `rest` begins with, its `]` included; a first `]` belongs to it.
fn class_len(rest: &str) -> Option<usize> {
    let negated = usize::from(rest.starts_with('!'));
    let first = rest.get(negated..)?.chars().next()?.len_utf8();
    let start = negated + first;
    Some(start + rest.get(start..)?.find(']')? + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_as_fnmatch_does() {
        for (pattern, name, expected) in [
            ("*.yml", "a.yml", true),
            ("*.yml", "a.yaml", false),
            ("m?.md", "m1.md", true),
            ("m?.md", "mé.md", true),
            ("*a*b", "xxaybzb", true),
            ("*a*b", "xxaybzc", false),
            ("[a-c]*", "beta", true),
            ("[!a-c]*", "beta", false),
            ("[]x]*", "]", true),
            ("[!]x]*", "]", false),
            ("[[]*", "[a", true),
            ("[x", "[x", true),
            ("[x*", "[xy", true),
            ("x[", "x[", true),
            ("", "", true),
            ("**", "anything", true),
            ("a**b", "a--b", true),
            ("*", "a/b", true),
            ("{a,b}", "{a,b}", true),
            ("{a,b}", "a", false),
            ("a\\*", "a\\b", true),
            ("*", ".hidden", true),
        ] {
            assert_eq!(Glob::new(pattern).unwrap().matches(name), expected, "{pattern} {name}");
        }
        assert!(!Glob::of_paths("a/*").unwrap().matches("a/b/c"));
        assert!(Glob::of_paths("a/*").unwrap().matches("a/b"));
        assert!(Glob::new(&"*a".repeat(4000)).is_err());
        assert!(!Glob::new(&"*a".repeat(2000)).unwrap().matches(&"a".repeat(1999)));
    }
}
