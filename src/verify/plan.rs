//! What a run will be able to tell, said before it is run: `--plan`, and the file that fixes the bar.
//!
//! In: models with their claims, a dataset, settings. Out: a [`RunPlan`], whose bytes have a digest that the
//! report cites. Called by `zoo verify`.

use std::path::Path;

use serde::{Deserialize, Serialize};

use super::claim::Claimed;
use super::report::{Claimed as Reported, Run};
use super::settings::Settings;
use super::stats::{Percent, detectable_drop, images_to_decide, interval};
use super::{Error, Result};
use crate::dataset::Dataset;
use crate::hash::Sha256;
use crate::registry::Relation;

/// The schema's name and version.
pub const SCHEMA: &str = "zoo.plan/1";

/// The largest plan that is read.
const MAX_PLAN: u64 = 16 << 20;

/// A run that has not been run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RunPlan {
    /// [`SCHEMA`].
    pub schema: String,
    /// What decides the results; its `plan_sha256` is null.
    pub run: Run,
    /// Which images.
    pub dataset: PlannedImages,
    /// Which models.
    pub models: Vec<PlannedModel>,
}

/// The images of a plan.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlannedImages {
    /// The dataset.
    pub name: String,
    /// What they are of the claim's population.
    pub relation: Relation,
    /// Images in that population.
    pub population: u64,
    /// How many.
    pub images: u64,
    /// Of ids and labels.
    pub labels_sha256: Sha256,
    /// How a subset and the order of `--until decided` come about.
    pub order: String,
}

/// A model of a plan, and what its run could tell.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PlannedModel {
    /// The entry's name.
    pub model: String,
    /// Digest of its weights.
    pub tensors_sha256: Sha256,
    /// What is claimed.
    pub claim: Option<Reported>,
    /// Percent points.
    pub tolerance: Option<Percent>,
    /// The interval, if the claim is met exactly.
    pub interval_at_claim: Option<[Percent; 2]>,
    /// Percent points below the claim that would be noticed.
    pub detectable_drop: Option<Percent>,
    /// How many random images would decide, if the claim is met exactly.
    pub images_to_decide: Option<u64>,
}

impl RunPlan {
    /// A plan for models that are known by name, weights and claim.
    pub fn new(
        settings: &Settings,
        dataset: &Dataset,
        models: impl IntoIterator<Item = (String, Sha256, Option<Claimed>)>,
    ) -> Self {
        let mut run = Run::of(settings, &dataset.name);
        run.plan_sha256 = None;
        let n = dataset.items.iter().filter(|i| !i.is_unlabelled()).count() as u64;
        let (relation, population) = (dataset.relation, dataset.population);
        let planned = |(model, tensors_sha256, claimed): (String, Sha256, Option<Claimed>)| {
            let claim = claimed.map(|c| c.claim);
            let right = |value: Percent| (value.fraction() * n as f64).round() as u64;
            let at = claim.map(|c| interval(relation, right(c.value), n, population, settings.level));
            let drop = claim.filter(|_| !settings.until_decided);
            PlannedModel {
                model,
                tensors_sha256,
                claim: claimed.map(Claimed::to_report),
                tolerance: claim.map(|c| c.tolerance),
                interval_at_claim: at.map(|i| [i.low, i.high]),
                detectable_drop: drop
                    .and_then(|c| detectable_drop(relation, n, population, &c, settings.level)),
                images_to_decide: claim.and_then(|c| {
                    // As if the whole population had been seen and the claim were true.
                    let right = (c.value.fraction() * population as f64).round() as u64;
                    images_to_decide(right, population, population, &c, settings.level)
                }),
            }
        };
        RunPlan {
            schema: SCHEMA.to_owned(),
            run,
            dataset: PlannedImages {
                name: dataset.name.clone(),
                relation,
                population,
                images: dataset.items.len() as u64,
                labels_sha256: dataset.labels_sha256(),
                order: "ascending SHA-256 of seed, dataset and id".to_owned(),
            },
            models: models.into_iter().map(planned).collect(),
        }
    }

    /// The bytes of its file.
    pub fn to_json(&self) -> String {
        serde_json::to_string_pretty(self).unwrap_or_default() + "\n"
    }

    /// Fixes the bar: writes the plan where there is none, and where there is one it must be this one.
    /// Returns the digest that the report cites.
    ///
    /// # Errors
    /// [`Error::OtherPlan`]; a file that cannot be read, written, or is not a plan.
    pub fn fix(&self, path: &Path) -> Result<Sha256> {
        let text = self.to_json();
        if !path.exists() {
            crate::fs::write_atomic(path, text.as_bytes())?;
            return Ok(Sha256::of(text.as_bytes()));
        }
        let bytes = crate::fs::read(path, MAX_PLAN)?;
        let bad = |reason: String| Error::BadPlan { path: path.to_owned(), reason };
        let old: serde_json::Value = serde_json::from_slice(&bytes).map_err(|e| bad(e.to_string()))?;
        // Another document is not a plan that differs; a plan of another version is one that cannot be compared.
        match old.get("schema").and_then(serde_json::Value::as_str) {
            Some(SCHEMA) => {}
            Some(other) => return Err(bad(format!("its schema is `{other}`, expected `{SCHEMA}`"))),
            None => return Err(bad(format!("it has no schema, expected `{SCHEMA}`"))),
        }
        let new: serde_json::Value = serde_json::from_str(&text).map_err(|e| bad(e.to_string()))?;
        match difference("", &old, &new) {
            None => Ok(Sha256::of(&bytes)),
            Some((key, theirs, ours)) => Err(Error::OtherPlan { path: path.to_owned(), key, theirs, ours }),
        }
    }
}

/// The first place where two documents differ.
fn difference(at: &str, a: &serde_json::Value, b: &serde_json::Value) -> Option<(String, String, String)> {
    use serde_json::Value;
    if a == b {
        return None;
    }
    let below = |key: &str| if at.is_empty() { key.to_owned() } else { format!("{at}.{key}") };
    let nothing = Value::Null;
    let found = match (a, b) {
        (Value::Object(x), Value::Object(y)) => {
            let keys = x.keys().chain(y.keys().filter(|k| !x.contains_key(*k)));
            let get =
                |o: &'_ serde_json::Map<String, Value>, k: &str| o.get(k).cloned().unwrap_or(Value::Null);
            keys.into_iter().find_map(|k| difference(&below(k), &get(x, k), &get(y, k)))
        }
        (Value::Array(x), Value::Array(y)) => (0..x.len().max(y.len())).find_map(|i| {
            let (a, b) = (x.get(i).unwrap_or(&nothing), y.get(i).unwrap_or(&nothing));
            difference(&below(&i.to_string()), a, b)
        }),
        _ => None,
    };
    found.or_else(|| Some((at.to_owned(), a.to_string(), b.to_string())))
}
