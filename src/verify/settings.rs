//! What decides a run's result, and nothing that does not: threads, paths and clocks are elsewhere.
//!
//! Made by `zoo verify` from its options; read by `run`, `judge` and `plan`.

use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::stats::{ConfidenceLevel, Percent, Verdict};
use crate::dataset::Subset;
use crate::hash::Sha256;

/// What becomes of an image that cannot be decoded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum OnBadImage {
    /// The run fails and names it.
    #[default]
    #[serde(rename = "fail")]
    Fail,
    /// It counts as answered wrongly: the population stays what it is.
    #[serde(rename = "wrong")]
    Wrong,
    /// It is left out of n, and the interval allows for it to be either.
    #[serde(rename = "skip")]
    Skip,
}

/// A part of a run: the images whose place in the order leaves the rest `index - 1` divided by `of`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Shard {
    /// Counted from 1.
    pub index: usize,
    /// How many shards there are.
    pub of: usize,
}

impl Shard {
    /// Whether an image at a place of the order is in this shard.
    pub fn has(self, place: usize) -> bool {
        place % self.of.max(1) == self.index.saturating_sub(1)
    }
}

impl FromStr for Shard {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parts = text.split_once('/').and_then(|(i, n)| Some((i.parse().ok()?, n.parse().ok()?)));
        match parts {
            Some((index, of)) if (1..=of).contains(&index) => Ok(Shard { index, of }),
            _ => Err("a part such as 1/4: the first of four".into()),
        }
    }
}

impl TryFrom<String> for Shard {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl std::fmt::Display for Shard {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.index, self.of)
    }
}

impl From<Shard> for String {
    fn from(shard: Shard) -> Self {
        shard.to_string()
    }
}

/// What CI asks. All of it is part of what decides a run's exit code, so all of it is in the report.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Gates {
    /// The interval's lower end must be at least this.
    pub min_top1: Option<Percent>,
    /// The verdict must be this.
    pub require: Option<Verdict>,
    /// Digest of the earlier report.
    pub baseline_sha256: Option<Sha256>,
    /// Fails when the drop is surely more than this, in percent points.
    pub max_drop: Option<Percent>,
    /// Fails unless the drop is surely less than this, in percent points.
    pub prove_no_drop: Option<Percent>,
}

/// What decides a result.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Which images; all of them where none.
    pub subset: Option<Subset>,
    /// Of the order that subsets, shards and `--until decided` follow.
    pub seed: u64,
    /// Stop as soon as the verdict is more than `consistent`.
    pub until_decided: bool,
    /// How far from the claim still is the claim; none for the usual.
    pub tolerance: Option<Percent>,
    /// Of intervals.
    pub level: ConfidenceLevel,
    /// What CI asks beyond the verdict.
    pub gates: Gates,
    /// What becomes of unreadable images.
    pub on_bad_image: OnBadImage,
    /// Digest of the plan that was written before the run.
    pub plan_sha256: Option<Sha256>,
}

impl Default for Settings {
    fn default() -> Self {
        Settings {
            subset: None,
            seed: 0,
            until_decided: false,
            tolerance: None,
            level: ConfidenceLevel::P95,
            gates: Gates::default(),
            on_bad_image: OnBadImage::default(),
            plan_sha256: None,
        }
    }
}
