//! The text forms of protocol 0: integers, quoted strings, escaped Unicode. Called by the machine.

use super::arena::Value;

/// `INT` and `LONG`, as CPython reads them: C's and Python's literals, `00` and `01` booleans for `INT`; `None` when it
/// is no number. Numbers beyond 64 bits come back as `Err` with their digits, which are kept and never computed.
pub(super) fn integer(line: &[u8], long: bool) -> Option<Result<Value, &[u8]>> {
    let line = if long { line.strip_suffix(b"L").unwrap_or(line) } else { line };
    match (line, long) {
        (b"00", false) => return Some(Ok(Value::Bool(false))),
        (b"01", false) => return Some(Ok(Value::Bool(true))),
        _ => {}
    }
    let text = std::str::from_utf8(line).ok()?.trim_matches(|c: char| c.is_ascii_whitespace() || c == '\x0b');
    let (sign, digits) = match text.strip_prefix(['-', '+']) {
        Some(digits) => (text.get(..1)?, digits),
        None => ("", text),
    };
    let (radix, digits) = match digits.as_bytes() {
        [b'0', b'x' | b'X', ..] => (16, digits.get(2..)?),
        [b'0', b'o' | b'O', ..] => (8, digits.get(2..)?),
        [b'0', b'b' | b'B', ..] => (2, digits.get(2..)?),
        // C's octal numbers, which only `INT` takes.
        [b'0', rest @ ..] if !rest.iter().all(|b| matches!(b, b'0' | b'_')) => {
            if long || digits.contains('_') {
                return None;
            }
            (8, digits.get(1..)?)
        }
        _ => (10, digits),
    };
    // After a prefix one underscore may stand, as between digits.
    let digits = if radix == 10 { digits } else { digits.strip_prefix('_').unwrap_or(digits) };
    let plain = without_underscores(digits)?;
    if !plain.chars().all(|c| c.is_digit(radix)) {
        return None;
    }
    match i64::from_str_radix(&format!("{sign}{plain}"), radix) {
        Ok(value) => Some(Ok(Value::Int(value))),
        Err(_) if radix == 10 && plain == digits && text.len() == line.len() => Some(Err(line)),
        Err(_) => None,
    }
}

/// `GET` and `PUT`: a whole number that is not negative, with what Python's `int` allows around it.
pub(super) fn index(line: &[u8]) -> Option<u32> {
    let text = std::str::from_utf8(line).ok()?.trim_matches(|c: char| c.is_ascii_whitespace() || c == '\x0b');
    let plain = without_underscores(text.strip_prefix('+').unwrap_or(text))?;
    if plain.bytes().all(|b| b.is_ascii_digit()) { plain.parse().ok() } else { None }
}

/// Digits without the single underscores that may stand between them.
fn without_underscores(digits: &str) -> Option<String> {
    let misplaced =
        digits.is_empty() || digits.starts_with('_') || digits.ends_with('_') || digits.contains("__");
    (!misplaced).then(|| digits.replace('_', ""))
}

/// `STRING`: what Python 2's `repr` wrote, quotes included.
pub(super) fn quoted(line: &[u8]) -> Option<Vec<u8>> {
    let (&quote, rest) = line.split_first()?;
    let (&last, body) = rest.split_last()?;
    if !matches!(quote, b'\'' | b'"') || quote != last {
        return None;
    }
    let mut out = Vec::with_capacity(body.len());
    let mut bytes = body.iter().copied().peekable();
    while let Some(byte) = bytes.next() {
        if byte != b'\\' {
            out.push(byte);
            continue;
        }
        match bytes.next()? {
            b'n' => out.push(b'\n'),
            b'r' => out.push(b'\r'),
            b't' => out.push(b'\t'),
            b'a' => out.push(7),
            b'b' => out.push(8),
            b'f' => out.push(12),
            b'v' => out.push(11),
            b'x' => {
                let high = char::from(bytes.next()?).to_digit(16)?;
                let low = char::from(bytes.next()?).to_digit(16)?;
                out.push((high * 16 + low) as u8);
            }
            first @ b'0'..=b'7' => {
                let mut value = u32::from(first - b'0');
                for _ in 0..2 {
                    match bytes.peek().and_then(|b| char::from(*b).to_digit(8)) {
                        Some(digit) => value = value * 8 + digit,
                        None => break,
                    }
                    bytes.next();
                }
                out.push(value as u8);
            }
            same @ (b'\\' | b'\'' | b'"') => out.push(same),
            other => out.extend([b'\\', other]),
        }
    }
    Some(out)
}

/// `UNICODE`: raw-unicode-escape, where every byte but `\u` and `\U` escapes is a Latin-1 character. Comes
/// back as UTF-8 (surrogates as three bytes, as Python's `surrogatepass` has them).
pub(super) fn raw_unicode(line: &[u8]) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(line.len());
    let mut at = 0;
    while let Some(&byte) = line.get(at) {
        // A backslash before anything else stands for itself, and so does what follows it: also a second one.
        if let (b'\\', Some(&next)) = (byte, line.get(at + 1))
            && !matches!(next, b'u' | b'U')
        {
            push_scalar(&mut out, u32::from(byte));
            push_scalar(&mut out, u32::from(next));
            at += 2;
            continue;
        }
        let width = match (byte, line.get(at + 1)) {
            (b'\\', Some(b'u')) => 4,
            (b'\\', Some(b'U')) => 8,
            _ => 0,
        };
        if width == 0 {
            push_scalar(&mut out, u32::from(byte));
            at += 1;
            continue;
        }
        let digits = std::str::from_utf8(line.get(at + 2..at + 2 + width)?).ok()?;
        if !digits.bytes().all(|b| b.is_ascii_hexdigit()) {
            return None;
        }
        let value = u32::from_str_radix(digits, 16).ok()?;
        if value > 0x10_ffff {
            return None;
        }
        push_scalar(&mut out, value);
        at += 2 + width;
    }
    Some(out)
}

fn push_scalar(out: &mut Vec<u8>, value: u32) {
    match char::from_u32(value) {
        Some(c) => out.extend(c.encode_utf8(&mut [0; 4]).bytes()),
        None => {
            out.extend([
                0xe0 | (value >> 12) as u8,
                0x80 | (value >> 6 & 0x3f) as u8,
                0x80 | (value & 0x3f) as u8,
            ]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers() {
        assert_eq!(integer(b"01", false), Some(Ok(Value::Bool(true))));
        assert_eq!(integer(b"01", true), None);
        assert_eq!(integer(b"-12L", true), Some(Ok(Value::Int(-12))));
        let magic = b"119547037146038801333356";
        assert_eq!(integer(b"119547037146038801333356L", true), Some(Err(&magic[..])));
        assert_eq!(integer(b"", false), None);
        // As CPython 3.11's `pickle.loads` has them.
        let int = |line: &'static str, long| match integer(line.as_bytes(), long) {
            Some(Ok(Value::Int(n))) => Some(n),
            _ => None,
        };
        for (line, as_int, as_long) in [
            ("1_0", Some(10), Some(10)),
            ("0x10", Some(16), Some(16)),
            (" 5 ", Some(5), Some(5)),
            ("+5", Some(5), Some(5)),
            ("010", Some(8), None),
            ("-010", Some(-8), None),
            ("0_0", Some(0), Some(0)),
            ("0b11", Some(3), Some(3)),
            ("0o17", Some(15), Some(15)),
            ("0x_f", Some(15), Some(15)),
            ("08", None, None),
            ("1__0", None, None),
            ("_1", None, None),
            ("1_", None, None),
            ("0x", None, None),
            ("1e3", None, None),
            ("--1", None, None),
        ] {
            assert_eq!((int(line, false), int(line, true)), (as_int, as_long), "{line}");
        }
        assert_eq!(index(b" +1_0 "), Some(10));
        assert_eq!(index(b"-1"), None);
        assert_eq!(index(b"0x1"), None);
    }

    #[test]
    fn strings() {
        assert_eq!(quoted(br"'a\x41\n\101\\\q'").unwrap(), b"aA\nA\\\\q");
        assert_eq!(quoted(b"'a\""), None);
        assert_eq!(quoted(br"'\x4'"), None);
        assert_eq!(raw_unicode(b"\xe9\\u20ac\\U0001F600").unwrap(), "é€😀".as_bytes());
        assert_eq!(raw_unicode(br"\u12"), None);
        assert_eq!(raw_unicode(br"\\u0041\n").unwrap(), br"\\u0041\n");
        assert_eq!(raw_unicode(br"\ud800").unwrap(), [0xed, 0xa0, 0x80]);
    }
}
