//! The values that pages state, each a type of its own, so that bytes are never taken for parameters. Every one
//! is read from text by [`FromStr`], whose error says what would have been allowed, and prints as pages write it.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::hash::HashPrefix;

/// Whole numbers that people also write `24.3M`.
macro_rules! counts {
    ($($(#[$doc:meta])* $name:ident;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub u64);

        impl FromStr for $name {
            type Err = &'static str;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                count(text).map($name)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    )*};
}

counts! {
    /// Parameters of a network.
    ParamCount;
    /// Floating point operations for one image, as pages count them.
    Flops;
    /// Bytes of a file.
    ByteSize;
}

/// A count as a whole number, or as people write it: `24.3M`, `33G`, `5,330,896`.
pub(super) fn count(text: &str) -> Result<u64, &'static str> {
    const EXPECTED: &str = "a count such as `24300000`, `24.3M` or `33G`";
    let text = text.trim().replace([',', '_'], "");
    if let Ok(exact) = text.parse() {
        return Ok(exact);
    }
    let split = text.find(|c: char| c.is_ascii_alphabetic() && c != 'e').unwrap_or(text.len());
    let (digits, unit) = text.split_at_checked(split).ok_or(EXPECTED)?;
    let scale = match unit.trim() {
        "" => 1.0,
        letter => prefix(letter).ok_or(EXPECTED)?,
    };
    let value = digits.trim().parse::<f64>().map_err(|_| EXPECTED)? * scale;
    // Above 2^53 a double no longer counts by ones.
    if !(0.0..=9.007_199_254_740_992e15).contains(&value) {
        return Err(EXPECTED);
    }
    Ok(value.round() as u64)
}

/// What a letter behind a number multiplies it by, in either case. `B` is a billion, as people count parameters.
pub(super) fn prefix(letter: &str) -> Option<f64> {
    Some(match letter {
        "k" | "K" => 1e3,
        "m" | "M" => 1e6,
        "g" | "G" | "b" | "B" => 1e9,
        "t" | "T" => 1e12,
        _ => return None,
    })
}

/// The share of the resized image that the crop keeps.
#[derive(Clone, Copy, Debug, PartialEq, PartialOrd, Serialize, Deserialize)]
#[serde(transparent)]
pub struct CropPct(f64);

impl CropPct {
    /// The share, above 0 and at most 1.5.
    pub fn get(self) -> f64 {
        self.0
    }
}

impl FromStr for CropPct {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.trim().parse::<f64>() {
            Ok(share) if share > 0.0 && share <= 1.5 => Ok(CropPct(share)),
            _ => Err("a share of the resized image such as `0.875`"),
        }
    }
}

impl fmt::Display for CropPct {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A day: `2026-11-24`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(transparent)]
pub struct Date(String);

impl<'de> Deserialize<'de> for Date {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(|expected| serde::de::Error::custom(format!("`{text}`: expected {expected}")))
    }
}

impl FromStr for Date {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const EXPECTED: &str = "a day such as `2026-11-24`";
        let parts: Vec<_> = text.split('-').collect();
        let [year, month, day] = parts.as_slice() else { return Err(EXPECTED) };
        let number = |part: &str, digits: usize| {
            let plain = part.len() == digits && part.bytes().all(|b| b.is_ascii_digit());
            part.parse::<u32>().ok().filter(|_| plain).ok_or(EXPECTED)
        };
        let (year, month, day) = (number(year, 4)?, number(month, 2)?, number(day, 2)?);
        let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
        let days = match month {
            2 => 28 + u32::from(leap),
            4 | 6 | 9 | 11 => 30,
            1..=12 => 31,
            _ => return Err(EXPECTED),
        };
        match (1..=days).contains(&day) {
            true => Ok(Date(text.to_owned())),
            false => Err(EXPECTED),
        }
    }
}

impl fmt::Display for Date {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// An accuracy in percent, printed as published (`78.66%` stays `78.66`).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Accuracy {
    /// Percent.
    pub value: f64,
    /// The digits as the page prints them, without the percent sign.
    pub text: String,
}

impl Accuracy {
    /// Digits after the decimal point as published: what half a unit of the last digit means.
    pub fn digits(&self) -> u32 {
        self.text.split_once('.').map_or(0, |(_, d)| d.len() as u32)
    }
}

impl FromStr for Accuracy {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let text = text.trim();
        let text = text.strip_suffix('%').unwrap_or(text).trim();
        match text.parse::<f64>() {
            Ok(value) if (0.0..=100.0).contains(&value) => Ok(Accuracy { value, text: text.to_owned() }),
            _ => Err("a percentage such as `78.66%`".into()),
        }
    }
}

impl TryFrom<String> for Accuracy {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<Accuracy> for String {
    fn from(accuracy: Accuracy) -> Self {
        accuracy.text
    }
}

impl fmt::Display for Accuracy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// Height and width in pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImageSize {
    /// Pixels.
    pub height: usize,
    /// Pixels.
    pub width: usize,
}

impl fmt::Display for ImageSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.height == self.width {
            true => write!(f, "{}", self.height),
            false => write!(f, "{}x{}", self.height, self.width),
        }
    }
}

/// The resampling filter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Interpolation {
    /// Pillow's `BILINEAR`.
    Bilinear,
    /// Pillow's `BICUBIC`.
    Bicubic,
    /// Pillow's `NEAREST`.
    Nearest,
    /// Pillow's `LANCZOS`.
    Lanczos,
}

impl Interpolation {
    /// timm's name.
    pub const fn name(self) -> &'static str {
        match self {
            Interpolation::Bilinear => "bilinear",
            Interpolation::Bicubic => "bicubic",
            Interpolation::Nearest => "nearest",
            Interpolation::Lanczos => "lanczos",
        }
    }
}

impl FromStr for ImageSize {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const EXPECTED: &str = "pixels such as `224` or `224x224`, at most 65536";
        let side = |t: &str| match t.trim().parse::<usize>() {
            Ok(pixels @ 1..=65536) => Ok(pixels),
            _ => Err(EXPECTED),
        };
        let (height, width) = text.split_once(['x', 'X', '×']).unwrap_or((text, text));
        Ok(ImageSize { height: side(height)?, width: side(width)? })
    }
}

impl FromStr for Interpolation {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Ok(match text {
            "bilinear" => Interpolation::Bilinear,
            "bicubic" => Interpolation::Bicubic,
            "nearest" => Interpolation::Nearest,
            "lanczos" => Interpolation::Lanczos,
            _ => return Err("one of bilinear, bicubic, nearest, lanczos".into()),
        })
    }
}

/// How the crop is taken (timm's `crop_mode`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CropMode {
    /// Resize the shorter side to `size / crop_pct`, then cut the centre.
    #[default]
    Center,
    /// Resize both sides to `size / crop_pct`, ignoring the aspect ratio, then cut the centre.
    Squash,
    /// Resize the longer side, pad to square.
    Border,
}

impl CropMode {
    /// timm's name of it.
    pub const fn name(self) -> &'static str {
        match self {
            CropMode::Center => "center",
            CropMode::Squash => "squash",
            CropMode::Border => "border",
        }
    }
}

impl FromStr for CropMode {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "center" => Ok(CropMode::Center),
            "squash" => Ok(CropMode::Squash),
            "border" => Ok(CropMode::Border),
            _ => Err("one of center, squash, border"),
        }
    }
}

/// Where a file can be had, as the registry writes it; of a page's `Weights`, with the hash that its name promises.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Source(pub String);

impl Source {
    /// The last part of its path: the file's name.
    pub fn file_name(&self) -> &str {
        let path = self.0.split(['?', '#']).next().unwrap_or(&self.0);
        path.rsplit('/').next().unwrap_or(path)
    }

    /// The digits of its file name that promise the file's SHA-256.
    pub fn hash_prefix(&self) -> Option<HashPrefix> {
        HashPrefix::from_file_name(self.file_name())
    }

    /// Whether it is an address of a kind that zoo knows: `https:`, `http:`, `file:`, `hf:`, `pypi:`. Whether
    /// anything is there, and the grammar of each kind, is the store's business.
    pub fn is_address(&self) -> bool {
        let Some((scheme, rest)) = self.0.split_once(':') else { return false };
        let known = ["https", "http", "file", "hf", "pypi"].iter().any(|s| scheme.eq_ignore_ascii_case(s));
        let on_the_web = scheme.to_ascii_lowercase().starts_with("http");
        let host = || rest.strip_prefix("//").is_some_and(|r| !r.is_empty() && !r.starts_with('/'));
        known
            && !rest.is_empty()
            && (!on_the_web || host())
            && !self.0.contains(|c: char| c.is_control() || c == ' ')
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_as_people_write_them() {
        assert_eq!(count("5290000"), Ok(5_290_000));
        assert_eq!("24.3M".parse(), Ok(ParamCount(24_300_000)));
        assert_eq!("33 G".parse(), Ok(Flops(33_000_000_000)));
        assert_eq!("5,330,896".parse(), Ok(ByteSize(5_330_896)));
        assert!(count("-1").is_err() && count("many").is_err() && count("1e300").is_err());
    }

    #[test]
    fn days_are_those_of_the_calendar() {
        let is_day = |text: &str| text.parse::<Date>().is_ok();
        assert!(is_day("2026-11-24") && is_day("2024-02-29"));
        for wrong in [
            "2026-02-29",
            "2026-13-01",
            "2026-11-31",
            "2026-1-2",
            "26-01-02",
            "2026-11-24T",
            "+026-01-01",
            "",
        ] {
            assert!(!is_day(wrong), "{wrong}");
        }
    }

    #[test]
    fn addresses_are_of_a_kind_that_is_known() {
        let is = |text: &str| Source(text.to_owned()).is_address();
        for right in
            ["https://x.org/a.pth", "HTTP://x/a", "hf:org/repo@main/file", "pypi:a==1!/b.pth", "file:a.pth"]
        {
            assert!(is(right), "{right}");
        }
        for wrong in
            ["", "a.pth", "not a url", "https:a.pth", "https:///a", "ftp://x.org/a", "https://x.org/a b"]
        {
            assert!(!is(wrong), "{wrong}");
        }
    }
}
