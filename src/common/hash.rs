//! SHA-256 digests and the prefixes of them that timm puts into file names.
//!
//! Used by every module that says which file it means: registry, store, checkpoint, dataset, verify.

use std::fmt;
use std::str::FromStr;

use sha2::{Digest, Sha256 as Hasher};

/// A whole SHA-256 digest.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Sha256(pub [u8; 32]);

impl Sha256 {
    /// The digest of some bytes.
    pub fn of(bytes: &[u8]) -> Self {
        Sha256(Hasher::digest(bytes).into())
    }

    /// The digest a hasher has arrived at.
    pub fn from_hasher(hasher: Hasher) -> Self {
        Sha256(hasher.finalize().into())
    }
}

impl fmt::Display for Sha256 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|b| write!(f, "{b:02x}"))
    }
}

impl fmt::Debug for Sha256 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A text that is no digest.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{found}` is not {expected}")]
pub struct ParseHashError {
    found: String,
    expected: &'static str,
}

impl FromStr for Sha256 {
    type Err = ParseHashError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let error = || ParseHashError { found: text.to_owned(), expected: "a SHA-256 (64 hex digits)" };
        let mut bytes = [0; 32];
        if text.len() != 64 || !text.bytes().all(|b| b.is_ascii_hexdigit()) {
            return Err(error());
        }
        for (byte, pair) in bytes.iter_mut().zip(text.as_bytes().chunks(2)) {
            let pair = std::str::from_utf8(pair).map_err(|_| error())?;
            *byte = u8::from_str_radix(pair, 16).map_err(|_| error())?;
        }
        Ok(Sha256(bytes))
    }
}

impl serde::Serialize for Sha256 {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> serde::Deserialize<'de> for Sha256 {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// The head of a SHA-256 in lower-case hex, as in `tf_efficientnet_b0_ns-c0e6a31c.pth`: 8 digits, or 9.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct HashPrefix(String);

/// A file name taken apart: `NAME-HASH.pth`, `NAME_DATE-HASH.pth` (OpenMMLab) or `NAME-HASH_DATE.pth` (mmpose).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct FileName<'a> {
    /// What stands before the hash, or the whole stem where there is none.
    pub name: &'a str,
    /// The first digits of the file's SHA-256.
    pub hash: Option<HashPrefix>,
}

impl<'a> FileName<'a> {
    /// Reads the digits of a file name. The hash is 8 or 9 lower-case hex digits after `-` or `_` that end the
    /// stem, or stand before a date that ends it (8 decimal digits, after `-` or `_`). A date is never a hash.
    /// Dots inside the stem (`regnetx-1.6gf`) mean nothing.
    pub fn parse(file: &'a str) -> Self {
        let stem = stem(file);
        let Some((head, last)) = last_word(stem) else { return FileName { name: stem, hash: None } };
        let found = if is_date(last) {
            last_word(head)
                .filter(|(_, word)| !is_date(word))
                .and_then(|(name, word)| Some((name, digits(word)?)))
        } else {
            digits(last).map(|hash| (head, hash))
        };
        match found {
            Some((name, hash)) => FileName { name, hash: Some(hash) },
            None => FileName { name: stem, hash: None },
        }
    }
}

/// Extensions that stand before another one, as in `.pth.tar`.
const INNER_EXTENSIONS: [&str; 9] = ["pth", "pt", "tar", "ckpt", "bin", "pkl", "npz", "h5", "safetensors"];

/// A file name without its extension. What follows the last dot is one where it is letters and digits only, so
/// that `regnetx-1.6gf_20211213-6682949b` without any loses nothing.
fn stem(file: &str) -> &str {
    let split = |name: &'_ str| -> Option<usize> {
        let dot = name.rfind('.')?;
        let extension = name.get(dot + 1..)?;
        (!extension.is_empty() && extension.bytes().all(|b| b.is_ascii_alphanumeric())).then_some(dot)
    };
    let Some(mut stem) = split(file).and_then(|dot| file.get(..dot)) else { return file };
    while let Some((rest, inner)) = stem.rsplit_once('.') {
        if !INNER_EXTENSIONS.iter().any(|known| inner.eq_ignore_ascii_case(known)) {
            break;
        }
        stem = rest;
    }
    stem
}

/// What follows the last `-` or `_`, and what stands before it.
fn last_word(stem: &str) -> Option<(&str, &str)> {
    let at = stem.rfind(['-', '_'])?;
    Some((stem.get(..at)?, stem.get(at + 1..)?))
}

fn digits(word: &str) -> Option<HashPrefix> {
    let hex = word.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
    (hex && matches!(word.len(), 8 | 9)).then(|| HashPrefix(word.to_owned()))
}

/// `20230206`: a day of the calendar between 1970 and 2099. Of 85,000 hashes one looks so; with every year
/// that four digits can name it would be one of 1,200.
fn is_date(word: &str) -> bool {
    let number = |range: std::ops::Range<usize>| word.get(range).and_then(|t| t.parse::<i16>().ok());
    let decimal = word.len() == 8 && word.bytes().all(|b| b.is_ascii_digit());
    let (Some(year), Some(month), Some(day)) = (number(0..4), number(4..6), number(6..8)) else {
        return false;
    };
    let (Ok(month), Ok(day)) = (i8::try_from(month), i8::try_from(day)) else { return false };
    decimal && (1970..2100).contains(&year) && jiff::civil::Date::new(year, month, day).is_ok()
}

impl HashPrefix {
    /// The digits in a file name that promise its SHA-256, by the grammar of [`FileName::parse`].
    pub fn from_file_name(name: &str) -> Option<Self> {
        FileName::parse(name).hash
    }

    /// Whether a digest begins with it.
    pub fn matches(&self, digest: &Sha256) -> bool {
        digest.to_string().starts_with(&self.0)
    }

    /// The digits.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// How many bits it fixes.
    pub fn bits(&self) -> usize {
        self.0.len() * 4
    }
}

impl fmt::Display for HashPrefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_of_file_names() {
        let cases = [
            ("tf_efficientnet_b0_ns-c0e6a31c.pth", "tf_efficientnet_b0_ns", "c0e6a31c"),
            ("hrnetv2_w18_56789abc.pth", "hrnetv2_w18", "56789abc"),
            ("dpn68-66bebafa7.pth", "dpn68", "66bebafa7"),
            ("efficientnet-lite0-57934424.pth", "efficientnet-lite0", "57934424"),
            ("net-6682949b_20230206.pth", "net", "6682949b"),
            ("net_42b7e6e6-20230207.pth", "net", "42b7e6e6"),
            ("net_20211213-6682949b.pth", "net_20211213", "6682949b"),
            ("net_20211213_6682949b.pth", "net_20211213", "6682949b"),
            ("net_20200504_174711-4af8e66e.pth", "net_20200504_174711", "4af8e66e"),
            ("net-1.6gf_20211213-6682949b.pth", "net-1.6gf_20211213", "6682949b"),
            ("net-1.6gf-6682949b_20211213.pth", "net-1.6gf", "6682949b"),
            ("acc-0.419__20.5-0.365-4af8e66e.safetensors", "acc-0.419__20.5-0.365", "4af8e66e"),
            ("net-6682949b.pth.tar", "net", "6682949b"),
            ("net.v2-6682949b.PTH.TAR", "net.v2", "6682949b"),
            ("net.v2-6682949b", "net.v2", "6682949b"),
            // No day of any calendar, so a hash of decimal digits.
            ("net-20211332.pth", "net", "20211332"),
            ("net-20230229_20230228.pth", "net", "20230229"),
            ("net-00000101_20240229.pth", "net", "00000101"),
        ];
        for (file, name, hash) in cases {
            let found = FileName::parse(file);
            assert_eq!(
                (found.name, found.hash.as_ref().map(HashPrefix::as_str)),
                (name, Some(hash)),
                "{file}"
            );
        }
        for file in [
            "BiT-M-R50x1.npz",
            "resnet50-0676ba6.pth",
            "net-20231122.pth",
            "net_20240229.pth",
            "net-20230206_20230207.pth",
            "net_20220805_121957.pth",
            "net-6682949b_latest.pth",
            "net-6682949b_v3.pth",
            "net-6682949b-1.pth",
            "net_6682949B.pth",
            "net_f129594342.pkl",
            "net.6682949b.pth",
            "6682949b.pth",
            "net-.pth",
            "-",
            ".pth",
            "",
        ] {
            assert_eq!(HashPrefix::from_file_name(file), None, "{file}");
        }
        assert_eq!(
            HashPrefix::from_file_name("-6682949b_20230206.pth").map(|p| p.to_string()),
            Some("6682949b".into())
        );
    }

    #[test]
    fn names_of_any_characters_are_taken_apart() {
        for file in
            ["é-6682949b_2023020é.pth", "网络_20230206", "a-é6682949b", "a\u{0}-\u{feff}.é", "..", "-_.-_."]
        {
            assert_eq!(HashPrefix::from_file_name(file), None, "{file}");
        }
    }

    #[test]
    fn a_digest_reads_back_what_it_prints() {
        let digest = Sha256::of(b"abc");
        assert_eq!(digest.to_string(), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
        assert_eq!(digest.to_string().parse(), Ok(digest));
        assert!("xyz".parse::<Sha256>().is_err());
    }
}
