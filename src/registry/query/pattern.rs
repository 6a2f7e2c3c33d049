//! What a text must be like: a part of it, or all of it by a glob. In: what a user typed. Out: a [`Pattern`].
//! Called by `zoo list PATTERN` and by `~` in queries.

use crate::registry::glob::Glob;

/// A part of a text, or a glob for the whole of it, whatever the case.
#[derive(Clone, Debug)]
pub struct Pattern {
    typed: String,
    kind: PatternSyntax,
}

#[derive(Clone, Debug)]
enum PatternSyntax {
    /// In lower case.
    Part(String),
    /// The same.
    Glob(Glob),
}

impl PartialEq for Pattern {
    fn eq(&self, other: &Self) -> bool {
        self.typed == other.typed
    }
}

impl std::str::FromStr for Pattern {
    type Err = String;

    /// A glob where it has a glob's signs `*`, `?` or `[`.
    fn from_str(text: &str) -> Result<Self, String> {
        if !text.contains(['*', '?', '[']) {
            return Ok(Pattern { typed: text.to_owned(), kind: PatternSyntax::Part(text.to_lowercase()) });
        }
        // A class of letters is one in lower case too; one that is empty or runs backwards is a slip.
        let is_slip = text.matches('[').count() > text.matches(']').count() || runs_backwards(text);
        match Glob::new(&text.to_lowercase()) {
            Ok(glob) if !is_slip => Ok(Pattern { typed: text.to_owned(), kind: PatternSyntax::Glob(glob) }),
            _ => Err(format!("`{text}` is not a pattern such as `*_b?_ns`")),
        }
    }
}

/// Whether a class has a range such as `z-a`.
fn runs_backwards(text: &str) -> bool {
    let chars: Vec<char> = text.chars().collect();
    let mut inside = false;
    chars.array_windows().any(|&[low, dash, high]| {
        inside = (inside || low == '[') && low != ']';
        inside && dash == '-' && high != ']' && low != '[' && low > high
    })
}

impl Pattern {
    /// Whether a text is like that.
    pub fn matches(&self, text: &str) -> bool {
        match &self.kind {
            PatternSyntax::Part(part) => text.to_lowercase().contains(part),
            PatternSyntax::Glob(glob) => glob.matches(&text.to_lowercase()),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn patterns_are_parts_or_globs() {
        let fits = |p: &str, name: &str| p.parse::<Pattern>().unwrap().matches(name);
        assert!(fits("b0", "tf_efficientnet_b0_ns") && fits("B0", "tf_efficientnet_b0_ns"));
        assert!(fits("*_b[0-3]_NS", "tf_efficientnet_b0_ns"));
        assert!(
            !fits("*_b[0-3]_ns", "tf_efficientnet_b4_ns") && fits("*_b[!0-3]_ns", "tf_efficientnet_b4_ns")
        );
        assert!(fits("resnet?8", "resnet18") && !fits("resnet?8", "resnet18d"));
        assert!(!fits("a.c", "abc") && !fits("*.c", "abc") && fits("", "abc"));
        assert!("[".parse::<Pattern>().is_err() && "[z-a]".parse::<Pattern>().is_err());
    }

    proptest! {
        #[test]
        fn any_pattern_is_one_or_refused(pattern in "\\PC{0,20}|[-*?a-c\\[\\]!^\\\\.(){}+|&~]{0,12}", text in "\\PC{0,20}") {
            if let Ok(pattern) = pattern.parse::<Pattern>() {
                let _ = pattern.matches(&text);
            }
            let star = format!("*{}*", text.replace(['*', '?', '['], ""));
            prop_assert!(star.replace([']', '!'], "?").parse::<Pattern>().unwrap().matches(&text.replace(['*', '?', '['], "")));
        }
    }
}
