//! Times and sizes as people type them: `30d`, `20GB`. In: an argument's text. Out: a duration or a number of bytes.
//! Called by clap for the flags that take them.

use std::time::Duration;

/// `20` (seconds), `1.5h`, `30d`: s, m, h, d and w.
pub(super) fn duration(text: &str) -> Result<Duration, String> {
    let wrong =
        || format!("`{text}` is not a time: a number of seconds, or one with s, m, h, d or w, such as `30d`");
    let (number, unit) = split(text).ok_or_else(wrong)?;
    let seconds = match unit {
        "" | "s" => 1.0,
        "m" | "min" => 60.0,
        "h" => 3600.0,
        "d" => 86_400.0,
        "w" => 604_800.0,
        _ => return Err(wrong()),
    };
    Duration::try_from_secs_f64(number * seconds).map_err(|_| wrong())
}

/// The same, and longer than nothing.
pub(super) fn some_time(text: &str) -> Result<Duration, String> {
    match duration(text)? {
        Duration::ZERO => Err("it must be longer than nothing".to_owned()),
        time => Ok(time),
    }
}

/// `1000`, `20GB` (powers of a thousand), `20GiB` (powers of 1024).
pub(super) fn bytes(text: &str) -> Result<u64, String> {
    let wrong = || {
        format!("`{text}` is not a size: a number of bytes, or one with kB, MB, GB, TB, KiB, MiB, GiB or TiB")
    };
    let (number, unit) = split(text).ok_or_else(wrong)?;
    let unit = unit.to_ascii_lowercase();
    let (base, letter) = match unit.as_bytes() {
        [] | [b'b'] => (1.0_f64, 0),
        [letter] | [letter, b'b'] => (1000.0, *letter),
        [letter, b'i'] | [letter, b'i', b'b'] => (1024.0, *letter),
        _ => return Err(wrong()),
    };
    let power = match letter {
        0 => 0,
        b'k' => 1,
        b'm' => 2,
        b'g' => 3,
        b't' => 4,
        _ => return Err(wrong()),
    };
    let bytes = number * base.powi(power);
    if bytes < u64::MAX as f64 { Ok(bytes as u64) } else { Err(wrong()) }
}

/// A number that is not negative, and what follows it.
fn split(text: &str) -> Option<(f64, &str)> {
    let text = text.trim();
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at_checked(end)?;
    Some((number.parse().ok()?, unit.trim_start()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times() {
        for (text, seconds) in [
            ("20", 20.0),
            ("0", 0.0),
            ("1.5h", 5400.0),
            ("30d", 2_592_000.0),
            ("90 s", 90.0),
            ("2w", 1_209_600.0),
        ] {
            assert_eq!(duration(text).unwrap().as_secs_f64(), seconds, "{text}");
        }
        for text in ["", "d", "-1", "1y", "1e3", "inf", "nan", "1.2.3", "99999999999999999999w", "3 0"] {
            assert!(duration(text).is_err(), "{text}");
        }
        assert!(some_time("0").is_err() && some_time("0.1").is_ok());
    }

    #[test]
    fn sizes() {
        for (text, expected) in [
            ("0", 0),
            ("1000", 1000),
            ("20GB", 20_000_000_000),
            ("20g", 20_000_000_000),
            ("1.5 MiB", 1_572_864),
            ("2KiB", 2048),
            ("3kb", 3000),
            ("7B", 7),
        ] {
            assert_eq!(bytes(text).unwrap(), expected, "{text}");
        }
        for text in ["", "GB", "-1", "1PB", "1GiBB", "nan", "99999999999TB", "20 G B"] {
            assert!(bytes(text).is_err(), "{text}");
        }
    }
}
