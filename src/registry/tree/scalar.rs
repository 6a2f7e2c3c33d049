//! Scalars: their text, whether they were quoted, and the type that a YAML version gives a plain one.
//!
//! PyYAML, which wrote and reads most model-index files, follows YAML 1.1, where `yes` is true, `010` is
//! eight and `1e-5` is a string; the 1.2 core schema reads them as a string, ten and a number. zoo writes
//! so that both read the same, and its typed readers go by the text.

use super::yaml11;

/// How a scalar was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Style {
    /// Without quotes: its type follows from its text.
    Plain,
    /// In single or double quotes, or as a block: a string.
    Quoted,
}

/// A single value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scalar {
    /// The text, without quotes and with escapes resolved.
    pub text: String,
    /// How it was written.
    pub style: Style,
}

/// Which rules give a plain scalar its type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Schema {
    /// YAML 1.1 as PyYAML reads it.
    Yaml11,
    /// The core schema of YAML 1.2.
    Core,
}

/// A scalar with its type.
#[derive(Clone, Debug, PartialEq)]
pub enum Typed<'a> {
    /// `null`, `~` or nothing.
    Null,
    /// True or false.
    Bool(bool),
    /// A whole number that fits 128 bits.
    Int(i128),
    /// A number.
    Float(f64),
    /// A date or time of YAML 1.1, or a number that is too large: text that is no string.
    Other(&'a str),
    /// A string.
    Text(&'a str),
}

impl Typed<'_> {
    /// `a string`, `a number` …, for messages.
    pub fn kind(&self) -> &'static str {
        match self {
            Typed::Null => "null",
            Typed::Bool(_) => "a boolean",
            Typed::Int(_) => "an integer",
            Typed::Float(_) => "a number",
            Typed::Other(_) => "a date or number",
            Typed::Text(_) => "a string",
        }
    }
}

impl Scalar {
    /// A string, whatever its text looks like.
    pub fn string(text: impl Into<String>) -> Self {
        Scalar { text: text.into(), style: Style::Quoted }
    }

    /// Whether it is null, or an empty plain scalar, which means the same.
    pub fn is_null(&self) -> bool {
        self.style == Style::Plain && is_null(&self.text)
    }

    /// The same as a key: every way to write null is the one key `null`.
    pub(super) fn into_key(self) -> Self {
        if self.is_null() { Scalar { text: "null".to_owned(), ..self } } else { self }
    }

    /// Its type by a schema.
    pub fn typed(&self, schema: Schema) -> Typed<'_> {
        match (self.style, schema) {
            (Style::Quoted, _) => Typed::Text(&self.text),
            (Style::Plain, Schema::Core) => core(&self.text),
            (Style::Plain, Schema::Yaml11) => yaml11::typed(&self.text),
        }
    }

    /// Whether both state the same: equal texts of equal type, or equal values that are no strings.
    pub fn same(&self, other: &Scalar) -> bool {
        match (self.typed(Schema::Core), other.typed(Schema::Core)) {
            (Typed::Text(a), Typed::Text(b)) | (Typed::Other(a), Typed::Other(b)) => {
                a == b && self.is_string() == other.is_string()
            }
            (Typed::Float(a), Typed::Float(b)) => a == b || (a.is_nan() && b.is_nan()),
            (Typed::Int(a), Typed::Float(b)) | (Typed::Float(b), Typed::Int(a)) => a as f64 == b,
            (a, b) => a == b,
        }
    }

    /// Whether both YAML versions read it as a string.
    pub fn is_string(&self) -> bool {
        let text = |schema| matches!(self.typed(schema), Typed::Text(_));
        text(Schema::Core) && text(Schema::Yaml11)
    }
}

pub(super) fn is_null(text: &str) -> bool {
    matches!(text, "" | "~" | "null" | "Null" | "NULL")
}

/// The core schema, YAML 1.2.2 section 10.3.2.
fn core(text: &str) -> Typed<'_> {
    if is_null(text) {
        return Typed::Null;
    }
    match text {
        "true" | "True" | "TRUE" => return Typed::Bool(true),
        "false" | "False" | "FALSE" => return Typed::Bool(false),
        _ => {}
    }
    if let Some(float) = infinite_or_nan(text) {
        return Typed::Float(float);
    }
    let digits = |s: &str| !s.is_empty() && s.bytes().all(|b| b.is_ascii_digit());
    let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
    if digits(unsigned) {
        return text.parse().map_or(Typed::Other(text), Typed::Int);
    }
    for (prefix, radix) in [("0o", 8), ("0x", 16)] {
        if let Some(rest) = text.strip_prefix(prefix)
            && !rest.is_empty()
            && rest.chars().all(|c| c.is_digit(radix))
        {
            return i128::from_str_radix(rest, radix).map_or(Typed::Other(text), Typed::Int);
        }
    }
    if is_float(unsigned) { text.parse().map_or(Typed::Text(text), Typed::Float) } else { Typed::Text(text) }
}

pub(super) fn infinite_or_nan(text: &str) -> Option<f64> {
    let (sign, rest) = match text.strip_prefix('-') {
        Some(rest) => (-1.0, rest),
        None => (1.0, text.strip_prefix('+').unwrap_or(text)),
    };
    match rest {
        ".inf" | ".Inf" | ".INF" => Some(sign * f64::INFINITY),
        ".nan" | ".NaN" | ".NAN" if rest == text => Some(f64::NAN),
        _ => None,
    }
}

/// `[0-9]*(.[0-9]*)?([eE][-+]?[0-9]+)?` with a digit before the exponent.
fn is_float(unsigned: &str) -> bool {
    let (mantissa, exponent) = match unsigned.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, Some(exponent)),
        None => (unsigned, None),
    };
    let (whole, fraction) = match mantissa.split_once('.') {
        Some((whole, fraction)) => (whole, Some(fraction)),
        None => (mantissa, None),
    };
    let digits = |s: &str| s.bytes().all(|b| b.is_ascii_digit());
    let some = |s: &str| !s.is_empty() && digits(s);
    digits(whole)
        && fraction.is_none_or(digits)
        && (some(whole) || fraction.is_some_and(some))
        && (fraction.is_some() || exponent.is_some())
        && exponent.is_none_or(|e| some(e.strip_prefix(['-', '+']).unwrap_or(e)))
}
