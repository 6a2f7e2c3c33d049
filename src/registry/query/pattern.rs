//! What a text must be like: a part of it, or all of it by a glob. In: what a user typed. Out: a [`Pattern`].
//! Called by `zoo list PATTERN` and by `~` in queries.

/// A part of a text, or a glob for the whole of it, whatever the case.
#[derive(Clone, Debug)]
pub struct Pattern {
    typed: String,
    kind: Kind,
}

#[derive(Clone, Debug)]
enum Kind {
    /// In lower case.
    Part(String),
    Glob(regex::Regex),
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
            return Ok(Pattern { typed: text.to_owned(), kind: Kind::Part(text.to_lowercase()) });
        }
        let mut body = String::new();
        for c in text.chars() {
            match c {
                '*' => body.push_str(".*"),
                '?' => body.push('.'),
                '[' | ']' | '-' => body.push(c),
                '!' if body.ends_with('[') => body.push('^'),
                _ => body.push_str(&regex::escape(&c.to_string())),
            }
        }
        match regex::Regex::new(&format!("(?is)^{body}$")) {
            Ok(glob) => Ok(Pattern { typed: text.to_owned(), kind: Kind::Glob(glob) }),
            Err(_) => Err(format!("`{text}` is no pattern such as `*_b?_ns`")),
        }
    }
}

impl Pattern {
    /// Whether a text is like that.
    pub fn matches(&self, text: &str) -> bool {
        match &self.kind {
            Kind::Part(part) => text.to_lowercase().contains(part),
            Kind::Glob(glob) => glob.is_match(text),
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
