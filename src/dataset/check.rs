//! Whether what is there is the dataset: count, names, labels, and which images are missing or extra.
//!
//! In: a [`Dataset`] as it was found. Out: a [`Check`]. Called by `zoo dataset check`. It rests on facts that
//! exist: the numbers of ImageNet's validation images are 1 to 50,000, and every class has fifty of them.

use std::collections::BTreeSet;

use serde::Serialize;

use super::Dataset;
use super::error::Result;
use crate::hash::Sha256;
use crate::registry::Relation;

/// Images that are named one by one.
const NAMED: usize = 20;

/// What was found.
#[derive(Clone, Debug, Serialize)]
pub struct Check {
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
    /// Numbers of the population that are not there; the first few.
    pub missing: Vec<String>,
    /// How many are not there.
    pub missing_count: u64,
    /// Images that are not of the population; the first few.
    pub extra: Vec<String>,
    /// How many are not of it.
    pub extra_count: u64,
    /// Classes whose number of images is not the fifty that each has, when all are there.
    pub uneven: Vec<String>,
    /// Whether ids are numbers of the population at all: files under other names cannot be told.
    pub numbered: bool,
}

/// Compares.
///
/// # Errors
/// None as yet: what cannot be read was refused when the dataset was opened.
pub fn check(dataset: &Dataset) -> Result<Check> {
    let numbered = |id: &str| id.len() == 8 && id.bytes().all(|b| b.is_ascii_digit());
    let population = dataset.population;
    let is_of_it = |id: &str| numbered(id) && id.parse().is_ok_and(|n: u64| (1..=population).contains(&n));
    let there: BTreeSet<&str> = dataset.items.iter().map(|i| i.id.as_str()).collect();
    let any_numbered = dataset.items.iter().any(|i| numbered(&i.id));
    let named = any_numbered && dataset.claims.is_some() && dataset.relation != Relation::Other;
    let (mut missing, mut missing_count, mut extra) = (Vec::new(), 0, Vec::new());
    if named {
        for number in 1..=population {
            let id = format!("{number:08}");
            if !there.contains(id.as_str()) {
                missing_count += 1;
                if missing.len() < NAMED {
                    missing.push(id);
                }
            }
        }
        extra = dataset.items.iter().filter(|i| !is_of_it(&i.id)).map(|i| i.path.clone()).collect();
    }
    let extra_count = extra.len() as u64;
    extra.truncate(NAMED);
    let mut uneven = Vec::new();
    if named && missing_count == 0 {
        let mut per_class = vec![0_u64; dataset.classes];
        for slot in dataset.items.iter().flat_map(|i| &i.labels) {
            if let Some(count) = per_class.get_mut(*slot) {
                *count += 1;
            }
        }
        let each = population / (dataset.classes.max(1) as u64);
        let odd = per_class.iter().enumerate().filter(|(_, n)| **n != each);
        uneven =
            odd.map(|(class, n)| format!("class {class}: {n} images, expected {each}")).take(NAMED).collect();
    }
    Ok(Check {
        name: dataset.name.clone(),
        layout: dataset.layout.to_owned(),
        images: dataset.items.len() as u64,
        population,
        relation: dataset.relation,
        labels_sha256: dataset.labels_sha256(),
        missing,
        missing_count,
        extra,
        extra_count,
        uneven,
        numbered: named,
    })
}

impl Check {
    /// Whether nothing speaks against it. A part of the population is legitimate, and said to be one.
    pub fn is_the_dataset(&self) -> bool {
        self.extra_count == 0 && self.uneven.is_empty()
    }

    /// For people.
    pub fn lines(&self) -> Vec<String> {
        let mut lines = vec![
            format!("{}: {} images, {}", self.name, self.images, self.layout),
            format!("labels_sha256 {}", self.labels_sha256),
            format!("of the population of {}: {}", self.population, self.relation.name()),
        ];
        let list = |what: &str, count: u64, names: &[String]| {
            let more = if count > names.len() as u64 { ", …" } else { "" };
            format!("{what}: {count} ({}{more})", names.join(", "))
        };
        if !self.numbered {
            lines.push(
                "the images' names are not those of the population: missing and extra ones cannot be told"
                    .into(),
            );
        }
        if self.missing_count > 0 {
            lines.push(list("not here", self.missing_count, &self.missing));
        }
        if self.extra_count > 0 {
            lines.push(list("not of the dataset", self.extra_count, &self.extra));
        }
        lines.extend(self.uneven.iter().map(|u| format!("labels that cannot be right: {u}")));
        lines
    }
}
