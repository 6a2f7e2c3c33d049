//! Some of a dataset's images: the first N of the order that a seed gives, or those of a file.
//!
//! Called by `verify` before a run.

use std::collections::{HashMap, HashSet};
use std::path::Path;

use super::Item;
use super::error::{Error, Result};
use super::id::order;
use super::label::clean;
use crate::hash::Sha256;

/// The largest file of ids that is read.
const MAX_LIST: u64 = 64 << 20;

/// What such a file should have.
const ONE_PER_LINE: &str = "one id per line";

/// Which images of a dataset.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Subset {
    /// The first `n` in the order of `seed`.
    Drawn {
        /// How many.
        n: u64,
        /// Of the order.
        seed: u64,
    },
    /// The ids that someone wrote down.
    Listed(Vec<String>),
}

impl Subset {
    /// Reads ids, one a line; `#` begins a comment.
    ///
    /// # Errors
    /// A file that cannot be read, is not text, or names nothing.
    pub fn read(path: &Path) -> Result<Self> {
        let bytes = crate::fs::read(path, MAX_LIST)?;
        let place = || path.display().to_string();
        let bad = |line, found: &str, expected: &str| Error::BadLabels {
            path: place(),
            line,
            found: found.into(),
            expected: expected.into(),
        };
        let text = String::from_utf8(bytes).map_err(|_| bad(1, "bytes that are not UTF-8", ONE_PER_LINE))?;
        let ids = text.lines().map(|l| clean(l).to_owned()).filter(|l| !l.is_empty() && !l.starts_with('#'));
        let ids: Vec<_> = ids.collect();
        if ids.is_empty() {
            return Err(bad(1, "no id", ONE_PER_LINE));
        }
        Ok(Subset::Listed(ids))
    }

    /// Keeps only the subset's images, in the order of their ids.
    pub(super) fn apply(&self, dataset: &str, items: &mut Vec<Item>) -> Result<()> {
        match self {
            Subset::Drawn { n, seed } => {
                let there = items.len() as u64;
                if *n > there {
                    return Err(Error::SubsetTooLarge { name: dataset.into(), asked: *n, there });
                }
                sort_by_order(*seed, dataset, items);
                items.truncate(usize::try_from(*n).unwrap_or(usize::MAX));
            }
            Subset::Listed(ids) => {
                let there: HashMap<&str, ()> = items.iter().map(|i| (i.id.as_str(), ())).collect();
                if let Some(id) = ids.iter().find(|id| !there.contains_key(id.as_str())) {
                    return Err(Error::NotInDataset { name: dataset.into(), id: id.clone() });
                }
                let wanted: HashSet<&str> = ids.iter().map(String::as_str).collect();
                items.retain(|i| wanted.contains(i.id.as_str()));
            }
        }
        items.sort_by(|a, b| a.id.as_bytes().cmp(b.id.as_bytes()));
        Ok(())
    }
}

/// Sorts images by the order of a seed. Its prefixes are the random samples.
pub(super) fn sort_by_order(seed: u64, dataset: &str, items: &mut Vec<Item>) {
    let mut keyed: Vec<(Sha256, Item)> =
        items.drain(..).map(|item| (order(seed, dataset, &item.id), item)).collect();
    keyed.sort_by(|a, b| (&a.0, &a.1.id).cmp(&(&b.0, &b.1.id)));
    items.extend(keyed.into_iter().map(|(_, item)| item));
}
