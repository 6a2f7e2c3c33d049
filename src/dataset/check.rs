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

/// Images of a kind that are named one by one.
const MAX_LISTED: usize = 20;

/// Bytes of `ILSVRC2012_img_val.tar`, by tensorflow-datasets 4.9.10: `datasets/imagenet2012/checksums.tsv`.
const OFFICIAL_TAR: u64 = 6_744_924_160;

/// A tar's header and the unit its members are padded to; and the unit of the whole (POSIX.1 ustar).
const TAR_BLOCK: u64 = 512;
const TAR_RECORD: u64 = 20 * TAR_BLOCK;

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
pub struct Listed {
    /// How many.
    pub count: u64,
    /// The first few.
    pub first: Vec<String>,
}

impl Listed {
    fn add(&mut self, name: impl FnOnce() -> String) {
        self.count += 1;
        if self.first.len() < MAX_LISTED {
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
    /// Whether ids are numbers of the population at all: files under other names cannot be checked.
    pub numbered: bool,
    /// Numbers of the population that are not there.
    pub missing: Listed,
    /// Images that are not of the population.
    pub extra: Listed,
    /// Images whose label is not the published one.
    pub mislabelled: Listed,
    /// Images without a label, and files that are not there.
    pub unusable: Listed,
    /// What is missing, and what was left out, while it was read.
    pub notes: Vec<String>,
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
        missing: Listed::default(),
        extra: Listed::default(),
        mislabelled: Listed::default(),
        unusable: Listed::default(),
        notes: dataset.notes.clone(),
        bytes: Bytes::Unknown,
    };
    let mut sizes = Vec::with_capacity(dataset.items.len());
    for item in &dataset.items {
        let reason = match (&item.defect, dataset.size(item)) {
            (Some(reason), _) => reason.clone(),
            (None, Ok(size)) => {
                sizes.push(size);
                continue;
            }
            (None, Err(error)) if error.is_of_one_image() => error.to_string(),
            (None, Err(error)) => return Err(error.into()),
        };
        check.unusable.add(|| format!("{}: {reason}", item.path));
    }
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
        if of_published_labels(dataset) && item.defect.is_none() && item.labels != [*label] {
            let found: Vec<_> = item.labels.iter().map(usize::to_string).collect();
            check.mislabelled.add(|| format!("{} is {}, published {label}", item.id, found.join(",")));
        }
    }
    if check.missing.count == 0 && check.extra.count == 0 && sizes.len() == dataset.items.len() {
        let packed: u64 = 2 * TAR_BLOCK
            + sizes.iter().map(|size| TAR_BLOCK + size.next_multiple_of(TAR_BLOCK)).sum::<u64>();
        let official = packed.next_multiple_of(TAR_RECORD) == OFFICIAL_TAR;
        check.bytes = if official { Bytes::Official } else { Bytes::Wrong };
    }
    Ok(check)
}

/// Whether the labels of a dataset are ImageNet's own, so that the published ones can be held against them.
fn of_published_labels(dataset: &Dataset) -> bool {
    dataset.claims.as_deref() == Some("ImageNet")
}

/// Of images that are numbered as ImageNet's validation images are: how many there are, and those whose label is not
/// the published one, with it.
pub fn against_published(dataset: &Dataset) -> (usize, Vec<(&Item, usize)>) {
    if !of_published_labels(dataset) {
        return (0, Vec::new());
    }
    let published = labels::validation();
    let known = |item: &'_ Item| number(item).and_then(|n| published.get(n.checked_sub(1)?)).copied();
    let numbered = dataset.items.iter().filter(|i| i.defect.is_none()).filter_map(|i| Some((i, known(i)?)));
    let wrong = numbered.clone().filter(|(item, label)| item.labels != [*label]).collect();
    (numbered.count(), wrong)
}

/// The number of a validation image.
fn number(item: &Item) -> Option<usize> {
    let digits = item.id.len() == 8 && item.id.bytes().all(|b| b.is_ascii_digit());
    if digits { item.id.parse().ok() } else { None }
}

impl Check {
    /// Whether nothing speaks against it. A part of the population is legitimate, and said to be one.
    pub fn is_the_dataset(&self) -> bool {
        let wrong = self.extra.count + self.mislabelled.count + self.unusable.count;
        wrong == 0 && self.bytes != Bytes::Wrong
    }

    /// For people.
    pub fn lines(&self) -> Vec<String> {
        let mut lines = vec![
            format!("{}: {} images, {}", self.name, self.images, self.layout),
            format!("labels_sha256 {}", self.labels_sha256),
        ];
        let mut list = |what: &str, some: &Listed| {
            if some.count > 0 {
                let more = if some.count > some.first.len() as u64 { ", …" } else { "" };
                lines.push(format!("{what}: {} ({}{more})", some.count, some.first.join(", ")));
            }
        };
        list("not here", &self.missing);
        list("not of the dataset", &self.extra);
        list("labels that are not the published ones", &self.mislabelled);
        list("cannot be used", &self.unusable);
        lines.extend(self.notes.iter().cloned());
        lines.push(match (self.numbered, self.missing.count, self.bytes) {
            (false, ..) => "the names do not number the images: so it is not known which are missing or extra".into(),
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
