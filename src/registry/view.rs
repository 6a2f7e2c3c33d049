//! Taking typed values out of a document: a [`View`] is a value and where it stands, and whatever is not
//! as it should be becomes a [`Problem`] and `None`, so that one pass finds every error of a file.
//!
//! Used by [`super::read`] for models and datasets.

use serde_yaml::Value;

use super::error::Problem;

/// The problems found so far in one file.
#[derive(Debug, Default)]
pub(super) struct Problems {
    pub(super) file: String,
    pub(super) list: Vec<Problem>,
}

/// A value, and its key path in the document.
#[derive(Clone, Debug)]
pub(super) struct View<'a> {
    value: &'a Value,
    path: String,
}

/// Whether two field names mean the same: case and `_` for a space do not matter.
pub(super) fn same_field(a: &str, b: &str) -> bool {
    let fold = |c: char| if c == '_' { ' ' } else { c.to_ascii_lowercase() };
    a.chars().map(fold).eq(b.chars().map(fold))
}

impl<'a> View<'a> {
    pub(super) fn root(value: &'a Value) -> Self {
        View { value, path: String::new() }
    }

    /// Records that what stands here is not what is expected.
    pub(super) fn problem(&self, expected: impl Into<String>, problems: &mut Problems) {
        problems.list.push(Problem {
            file: problems.file.clone(),
            line: 0,
            column: 0,
            path: self.path.clone(),
            found: self.describe(),
            expected: expected.into(),
        });
    }

    fn describe(&self) -> String {
        match self.value {
            Value::Null => "nothing".into(),
            Value::Sequence(s) => format!("a list of {}", s.len()),
            Value::Mapping(m) => format!("a mapping of {} keys", m.len()),
            _ => format!("`{}`", self.scalar().unwrap_or_default()),
        }
    }

    /// A scalar's text.
    fn scalar(&self) -> Option<String> {
        match self.value {
            Value::String(s) => Some(s.clone()),
            Value::Number(n) => Some(n.to_string()),
            Value::Bool(b) => Some(b.to_string()),
            _ => None,
        }
    }

    /// The value of a key, unless it is missing or null.
    pub(super) fn get(&self, key: &str) -> Option<View<'a>> {
        let (name, value) = self.entries().find(|(name, _)| same_field(name, key))?;
        (!value.is_null()).then(|| self.child(name, value))
    }

    fn child(&self, name: &str, value: &'a Value) -> View<'a> {
        let path = if self.path.is_empty() { name.to_owned() } else { format!("{}.{name}", self.path) };
        View { value, path }
    }

    fn entries(&self) -> impl Iterator<Item = (&'a str, &'a Value)> + use<'a> {
        let mapping = self.value.as_mapping();
        mapping.into_iter().flatten().filter_map(|(k, v)| Some((k.as_str()?, v)))
    }

    /// The keys and values of a mapping.
    pub(super) fn mapping(&self, problems: &mut Problems) -> Vec<(&'a str, View<'a>)> {
        if !self.value.is_mapping() {
            self.problem("a mapping", problems);
        }
        self.entries().map(|(k, v)| (k, self.child(k, v))).collect()
    }

    /// The items of a list; a single value is a list of one.
    pub(super) fn items(&self) -> Vec<View<'a>> {
        match self.value {
            Value::Null => Vec::new(),
            Value::Sequence(items) => {
                let item = |(i, value)| View { value, path: format!("{}[{i}]", self.path) };
                items.iter().enumerate().map(item).collect()
            }
            _ => vec![self.clone()],
        }
    }

    /// A text; numbers are given as written.
    pub(super) fn text(&self, problems: &mut Problems) -> Option<String> {
        let text = self.scalar();
        if text.is_none() {
            self.problem("a text", problems);
        }
        text
    }

    /// A value parsed from its text; the parser's error is what is expected.
    pub(super) fn parse<T, E: ToString>(
        &self,
        parse: impl Fn(&str) -> Result<T, E>,
        problems: &mut Problems,
    ) -> Option<T> {
        match parse(&self.text(problems)?) {
            Ok(value) => Some(value),
            Err(expected) => {
                self.problem(expected.to_string(), problems);
                None
            }
        }
    }

    /// A finite number.
    pub(super) fn number(&self, problems: &mut Problems) -> Option<f64> {
        let parse = |t: &str| match t.parse::<f64>() {
            Ok(x) if x.is_finite() => Ok(x),
            _ => Err("a number"),
        };
        self.parse(parse, problems)
    }
}
