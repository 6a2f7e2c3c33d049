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

impl HashPrefix {
    /// The prefix that a file name ends in before its extension: `-` or `_`, then 8 or 9 hex digits.
    pub fn from_file_name(name: &str) -> Option<Self> {
        let stem = name.split_once('.').map_or(name, |(stem, _)| stem);
        let at = stem.rfind(['-', '_'])?;
        let digits = stem.get(at + 1..)?;
        let hex = digits.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
        (hex && matches!(digits.len(), 8 | 9)).then(|| HashPrefix(digits.to_owned()))
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
    fn prefixes_of_published_file_names() {
        let of = |n: &str| HashPrefix::from_file_name(n).map(|p| p.as_str().to_owned());
        assert_eq!(of("tf_efficientnet_b0_ns-c0e6a31c.pth").as_deref(), Some("c0e6a31c"));
        assert_eq!(of("hrnetv2_w18_56789abc.pth").as_deref(), Some("56789abc"));
        assert_eq!(of("dpn68-66bebafa7.pth").as_deref(), Some("66bebafa7"));
        assert_eq!(of("BiT-M-R50x1.npz"), None);
        assert_eq!(of("resnet50-0676ba6.pth"), None);
    }

    #[test]
    fn a_digest_reads_back_what_it_prints() {
        let digest = Sha256::of(b"abc");
        assert_eq!(digest.to_string(), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
        assert_eq!(digest.to_string().parse(), Ok(digest));
        assert!("xyz".parse::<Sha256>().is_err());
    }
}
