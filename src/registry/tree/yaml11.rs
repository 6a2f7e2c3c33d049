//! The type of a plain scalar in YAML 1.1, as PyYAML's resolver and safe constructor have it.
//!
//! In: the text of a plain scalar. Out: [`Typed`]. The patterns are those of PyYAML 6 (`resolver.py`); where its
//! constructor fails on what a pattern took (`0b_`, the 45th of a month), zoo keeps the text. Called by
//! [`super::Scalar::typed`].

use std::sync::LazyLock;

use regex::Regex;

use super::scalar::{Typed, infinite_or_nan, is_null};

/// A number with a point, or in base 60 (`1:30.5`).
const FLOAT: &str = r"^(?:[-+]?[0-9][0-9_]*\.[0-9_]*(?:[eE][-+][0-9]+)?|\.[0-9][0-9_]*(?:[eE][-+][0-9]+)?|[-+]?[0-9][0-9_]*(?::[0-5]?[0-9])+\.[0-9_]*)$";

/// Binary, octal (`010`), decimal, hexadecimal, or in base 60 (`1:30`).
const INT: &str = r"^(?:[-+]?0b[0-1_]+|[-+]?0[0-7_]+|[-+]?(?:0|[1-9][0-9_]*)|[-+]?0x[0-9a-fA-F_]+|[-+]?[1-9][0-9_]*(?::[0-5]?[0-9])+)$";

/// A day, or a day and a time.
const TIMESTAMP: &str = r"^(?:[0-9]{4}-[0-9]{2}-[0-9]{2}|[0-9]{4}-[0-9][0-9]?-[0-9][0-9]?(?:[Tt]|[ \t]+)[0-9][0-9]?:[0-9]{2}:[0-9]{2}(?:\.[0-9]*)?(?:[ \t]*(?:Z|[-+][0-9][0-9]?(?::[0-9]{2})?))?)$";

/// The three, compiled once; `None` where one is no pattern, which the tests rule out.
static PATTERNS: LazyLock<Option<[Regex; 3]>> =
    LazyLock::new(|| Some([Regex::new(FLOAT).ok()?, Regex::new(INT).ok()?, Regex::new(TIMESTAMP).ok()?]));

/// The type that PyYAML gives a plain scalar.
pub(super) fn typed(text: &str) -> Typed<'_> {
    if is_null(text) {
        return Typed::Null;
    }
    match text {
        "yes" | "Yes" | "YES" | "true" | "True" | "TRUE" | "on" | "On" | "ON" => return Typed::Bool(true),
        "no" | "No" | "NO" | "false" | "False" | "FALSE" | "off" | "Off" | "OFF" => {
            return Typed::Bool(false);
        }
        // PyYAML gives these types of their own.
        "=" | "<<" => return Typed::Other(text),
        _ => {}
    }
    let may_be_number = text.starts_with(|c: char| c.is_ascii_digit() || matches!(c, '-' | '+' | '.'));
    let Some([float, int, timestamp]) = PATTERNS.as_ref().filter(|_| may_be_number) else {
        return Typed::Text(text);
    };
    if let Some(float) = infinite_or_nan(text) {
        Typed::Float(float)
    } else if float.is_match(text) {
        base_sixty(&text.replace('_', "")).map_or(Typed::Text(text), Typed::Float)
    } else if int.is_match(text) {
        integer(text).map_or(Typed::Other(text), Typed::Int)
    } else if timestamp.is_match(text) {
        Typed::Other(text)
    } else {
        Typed::Text(text)
    }
}

/// `None` where it does not fit 128 bits, or has no digit.
fn integer(text: &str) -> Option<i128> {
    let text = text.replace('_', "");
    let (sign, unsigned) = match text.strip_prefix('-') {
        Some(rest) => (-1, rest),
        None => (1, text.strip_prefix('+').unwrap_or(&text)),
    };
    let (digits, radix) = if unsigned == "0" {
        (unsigned, 10)
    } else if let Some(rest) = unsigned.strip_prefix("0b") {
        (rest, 2)
    } else if let Some(rest) = unsigned.strip_prefix("0x") {
        (rest, 16)
    } else if unsigned.starts_with('0') {
        (unsigned, 8)
    } else {
        let mut whole: i128 = 0;
        for part in unsigned.split(':') {
            whole = whole.checked_mul(60)?.checked_add(part.parse().ok()?)?;
        }
        return Some(sign * whole);
    };
    Some(sign * i128::from_str_radix(digits, radix).ok()?)
}

/// A number in base 60, or a plain one: it has a single part then.
fn base_sixty(text: &str) -> Option<f64> {
    let (sign, unsigned) = match text.strip_prefix('-') {
        Some(rest) => (-1.0, rest),
        None => (1.0, text.strip_prefix('+').unwrap_or(text)),
    };
    let mut whole = 0.0;
    for part in unsigned.split(':') {
        whole = whole * 60.0 + part.parse::<f64>().ok()?;
    }
    Some(sign * whole)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_patterns_compile() {
        assert!(PATTERNS.is_some());
    }
}
