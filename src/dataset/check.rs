//! Whether what is there is the dataset: count, names, labels, bytes, and which images are missing or extra.
//!
//! In: a [`Dataset`] as it was found. Out: a [`Check`]. Called by `zoo dataset check`. It rests on facts that
//! exist: the numbers of ImageNet's validation images are 1 to 50,000, their labels are published (tensorflow-datasets
//! 4.9.10), and so is the size of the official archive, to which all sizes together must add up.

use std::collections::BTreeSet;

use serde::Serialize;

use super::{Dataset, Item};
use crate::error::Result;
use crate::hash::Sha256;
use crate::registry::{Relation, labels};

/// Images that are named one by one.
const NAMED: usize = 20;

/// Bytes of `ILSVRC2012_img_val.tar`, by tensorflow-datasets 4.9.10: `datasets/imagenet2012/checksums.tsv`.
const OFFICIAL_TAR: u64 = 6_744_924_160;

/// A tar's header and the unit its members are padded to; and the unit of the whole (POSIX.1 ustar).
const BLOCK: u64 = 512;
const RECORD: u64 = 20 * BLOCK;

/// What can be said of the images' bytes without reading them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Bytes {
    /// All sizes together are those of the official archive.
    Official,
    /// They are not: these are other files under the same names.
    Wrong,
    /// Nothing is published that would tell.
    Unknown,
}

/// Some images, the first few by name.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Some20 {
    /// How many.
    pub count: u64,
    /// The first few.
    pub first: Vec<String>,
}

impl Some20 {
    fn add(&mut self, name: impl FnOnce() -> String) {
        self.count += 1;
        if self.first.len() < NAMED {
            self.first.push(name());
        }
    }
}

/// What was found.
#[derive(Clone, Debug, Serialize)]
pub struct Check {
    /// `zoo.dataset-check/1`.
    pub schema: &'static str,
    /// The dataset.
    pub name: String,
    /// How it was read.
    pub layout: String,
    /// Images found.
    pub images: u64,
    /// Images that there should be.
    pub population: u64,
    /// What these are of it.
    pub relation: Relation,
    /// Of ids and labels.
    pub labels_sha256: Sha256,
    /// Whether ids are numbers of the population at all: files under other names cannot be told.
    pub numbered: bool,
    /// Numbers of the population that are not there.
    pub missing: Some20,
    /// Images that are not of the population.
    pub extra: Some20,
    /// Images whose label is not the published one.
    pub mislabelled: Some20,
    /// What can be said of their bytes.
    pub bytes: Bytes,
}

/// Compares.
///
/// # Errors
/// A file whose size cannot be had.
pub fn check(dataset: &Dataset) -> Result<Check> {
    let population = dataset.population;
    let published = labels::validation();
    let of_imagenet = dataset.name.starts_with("imagenet-") && population == published.len() as u64;
    let numbered = of_imagenet && dataset.items.iter().any(|i| number(i).is_some());
    let mut check = Check {
        schema: "zoo.dataset-check/1",
        name: dataset.name.clone(),
        layout: dataset.layout.to_owned(),
        images: dataset.items.len() as u64,
        population,
        relation: dataset.relation,
        labels_sha256: dataset.labels_sha256(),
        numbered,
        missing: Some20::default(),
        extra: Some20::default(),
        mislabelled: Some20::default(),
        bytes: Bytes::Unknown,
    };
    if !numbered {
        return Ok(check);
    }
    let there: BTreeSet<usize> = dataset.items.iter().filter_map(number).collect();
    for number in (1..=published.len()).filter(|n| !there.contains(n)) {
        check.missing.add(|| format!("{number:08}"));
    }
    for item in &dataset.items {
        let Some(label) = number(item).and_then(|n| published.get(n.checked_sub(1)?)) else {
            check.extra.add(|| item.path.clone());
            continue;
        };
        if dataset.claims.as_deref() == Some("ImageNet") && item.labels != [*label] {
            let found: Vec<_> = item.labels.iter().map(usize::to_string).collect();
            check.mislabelled.add(|| format!("{} is {}, published {label}", item.id, found.join(",")));
        }
    }
    if check.missing.count == 0 && check.extra.count == 0 {
        let mut packed = 2 * BLOCK;
        for item in &dataset.items {
            packed += BLOCK + dataset.size(item)?.next_multiple_of(BLOCK);
        }
        let official = packed.next_multiple_of(RECORD) == OFFICIAL_TAR;
        check.bytes = if official { Bytes::Official } else { Bytes::Wrong };
    }
    Ok(check)
}

/// The number of a validation image.
fn number(item: &Item) -> Option<usize> {
    let digits = item.id.len() == 8 && item.id.bytes().all(|b| b.is_ascii_digit());
    if digits { item.id.parse().ok() } else { None }
}

impl Check {
    /// Whether nothing speaks against it. A part of the population is legitimate, and said to be one.
    pub fn is_the_dataset(&self) -> bool {
        self.extra.count == 0 && self.mislabelled.count == 0 && self.bytes != Bytes::Wrong
    }

    /// For people.
    pub fn lines(&self) -> Vec<String> {
        let mut lines = vec![
            format!("{}: {} images, {}", self.name, self.images, self.layout),
            format!("labels_sha256 {}", self.labels_sha256),
        ];
        let mut list = |what: &str, some: &Some20| {
            if some.count > 0 {
                let more = if some.count > some.first.len() as u64 { ", …" } else { "" };
                lines.push(format!("{what}: {} ({}{more})", some.count, some.first.join(", ")));
            }
        };
        list("not here", &self.missing);
        list("not of the dataset", &self.extra);
        list("labels that are not the published ones", &self.mislabelled);
        lines.push(match (self.numbered, self.missing.count, self.bytes) {
            (false, ..) => "the names do not number the images: which are missing or extra cannot be told".into(),
            (true, 0, Bytes::Official) => "complete; names and sizes are those of the official archive".into(),
            (true, 0, Bytes::Wrong) => {
                "all names are there, but these are the wrong bytes: their sizes do not add up to the official archive's"
                    .into()
            }
            (true, 0, Bytes::Unknown) => "all names are there".into(),
            (true, ..) => format!("a part of the population of {}: a run on it is `given`", self.population),
        });
        lines
    }
}
