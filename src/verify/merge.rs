//! The reports of shards to the report of the whole: every image once, none missing, nothing that differs.
//!
//! In: named reports. Out: the report that one run would have written, in its canonical part byte for byte
//! (on one instruction set; parts of several are allowed, and noted). Called by `zoo merge`.

use std::collections::{BTreeSet, HashMap};

use super::claim::Claimed;
use super::gates::{Baseline, board};
use super::judge::Evaluation;
use super::report::{Host, ModelResult, Report, Row, SCHEMA, Timing};
use super::settings::OnBadImage;
use super::stats::{self, ConfidenceLevel, Percent};
use super::{Error, Result};
use crate::dataset::digest_of_labels;

/// A report and what to call it.
pub struct Part {
    /// Its file.
    pub name: String,
    /// What it says.
    pub report: Report,
}

/// Joins parts.
///
/// # Errors
/// Parts of different runs, weights or settings; an image in two parts; images in none.
pub fn merge(parts: &[Part], baseline: Option<&Baseline>) -> Result<Report> {
    let [first, rest @ ..] = parts else {
        return Err(Error::BadReport { path: "-".into(), reason: "no part was given".into() });
    };
    for part in rest {
        same_run(first, part)?;
    }
    let mut results = Vec::with_capacity(first.report.results.len());
    for (at, whole) in first.report.results.iter().enumerate() {
        results.push(one(parts, at, whole)?);
    }
    board(&mut results, false);
    let run = first.report.run.clone();
    let alone = results.len() == 1;
    for result in &mut results {
        result.gates = run.gates.check(result, baseline, alone)?;
    }
    let isas: BTreeSet<&str> = parts.iter().flat_map(|p| &p.report.results).map(|r| r.isa.as_str()).collect();
    let isas = if isas.len() > 1 { isas.into_iter().map(str::to_owned).collect() } else { Vec::new() };
    let host = Host { shard: None, merged_isas: isas, ..first.report.host.clone() };
    let started = parts.iter().map(|p| p.report.timing.started.clone()).min().unwrap_or_default();
    let seconds = parts.iter().map(|p| p.report.timing.seconds).sum();
    let timing = Timing { started, seconds, models: Vec::new() };
    Ok(Report {
        schema: SCHEMA.to_owned(),
        run,
        results,
        failed: Vec::new(),
        diagnoses: Vec::new(),
        timing,
        host,
    })
}

fn same_run(first: &Part, part: &Part) -> Result<()> {
    let differ = |what: String| Error::PartsDiffer { a: first.name.clone(), b: part.name.clone(), what };
    if first.report.run != part.report.run {
        let (a, b) = (serde_json::to_value(&first.report.run), serde_json::to_value(&part.report.run));
        let (a, b) = (a.unwrap_or_default(), b.unwrap_or_default());
        let keys = a.as_object().into_iter().flat_map(|o| o.keys());
        let key =
            keys.into_iter().find(|k| a.get(k.as_str()) != b.get(k.as_str())).cloned().unwrap_or_default();
        let value = |v: &serde_json::Value| v.get(&key).map(ToString::to_string).unwrap_or_default();
        return Err(differ(format!("`run.{key}` is {} and {}", value(&a), value(&b))));
    }
    let models = |p: &Part| p.report.results.iter().map(|r| r.model.clone()).collect::<Vec<_>>();
    if models(first) != models(part) {
        return Err(differ(format!("their models are {:?} and {:?}", models(first), models(part))));
    }
    for (a, b) in first.report.results.iter().zip(&part.report.results) {
        let name = &a.model;
        if a.weights != b.weights {
            let (a, b) = (a.weights.tensors_sha256, b.weights.tensors_sha256);
            return Err(differ(format!("the weights of `{name}` are {a} and {b}")));
        }
        if a.dataset != b.dataset {
            return Err(differ(format!("the images of `{name}` are others, or are labelled otherwise")));
        }
        if a.claim != b.claim || a.tolerance != b.tolerance || a.confidence != b.confidence {
            return Err(differ(format!("the claim of `{name}` is another")));
        }
        if a.engine != b.engine {
            return Err(differ(format!("`{name}` was computed by `{}` and `{}`", a.engine, b.engine)));
        }
        if a.class_names != b.class_names {
            return Err(differ(format!("the classes of `{name}` have other names")));
        }
        // A card's kernels count versions of their own: parts of a card and of a processor merge, and that is noted.
        if a.is_of_card() == b.is_of_card() && a.algorithms_version != b.algorithms_version {
            let (a, b) = (a.algorithms_version, b.algorithms_version);
            return Err(differ(format!("algorithms_version is {a} and {b}")));
        }
    }
    Ok(())
}

/// The result of one model.
fn one(parts: &[Part], at: usize, whole: &ModelResult) -> Result<ModelResult> {
    let mut rows: Vec<Row> = Vec::new();
    let mut skipped = Vec::new();
    let mut seen: HashMap<&str, &str> = HashMap::new();
    for part in parts {
        let Some(result) = part.report.results.get(at) else { continue };
        for row in &result.per_image {
            if let Some(before) = seen.insert(&row.id, &part.name) {
                let (id, model) = (row.id.clone(), whole.model.clone());
                return Err(Error::Overlap { id, model, a: before.to_owned(), b: part.name.clone() });
            }
            rows.push(row.clone());
        }
        skipped.extend(result.skipped.iter().cloned());
    }
    let images = whole.dataset.images;
    let there = rows.len() as u64;
    if there != images {
        let (model, missing) = (whole.model.clone(), images.saturating_sub(there));
        return Err(Error::Gap { model, missing, images, which: missing_shards(parts) });
    }
    skipped.sort_by(|a, b| a.id.as_bytes().cmp(b.id.as_bytes()));
    let found = digest_of_labels(rows.iter().map(|r| (r.id.as_str(), r.labels.as_slice())));
    let expected = whole.dataset.labels_sha256;
    if found != expected {
        return Err(Error::WrongLabels { model: whole.model.clone(), expected, found });
    }
    let run = parts.first().map(|p| &p.report.run);
    let of = |value: Percent, digits: u32| stats::Claim {
        value,
        digits,
        tolerance: run.and_then(|r| r.tolerance).unwrap_or_else(|| stats::Claim::usual_tolerance(digits)),
    };
    let claimed = whole.claim.as_ref().map(|c| Claimed {
        claim: of(c.value, c.digits),
        source: c.source,
        published: whole.published.as_ref().map(|p| of(p.value, p.digits)),
    });
    let evaluation = Evaluation {
        model: whole.model.clone(),
        weights: whole.weights.clone(),
        relation: whole.dataset.relation,
        dataset: whole.dataset.clone(),
        claimed,
        level: ConfidenceLevel::new(whole.confidence).unwrap_or(ConfidenceLevel::P95),
        on_bad_image: run.map_or(OnBadImage::Fail, |r| r.on_bad_image),
        until_decided: false,
        engine: whole.engine.clone(),
        isa: whole.isa.clone(),
        class_names: whole.class_names.clone(),
        algorithms_version: whole.algorithms_version,
    };
    evaluation.judge(rows, skipped)
}

/// Which shards are not among the parts, where they say which they are.
fn missing_shards(parts: &[Part]) -> String {
    let shards: Vec<_> = parts.iter().filter_map(|p| p.report.host.shard).collect();
    let Some(of) = shards.first().map(|s| s.of) else { return String::new() };
    let missing: Vec<_> =
        (1..=of).filter(|i| shards.iter().all(|s| s.index != *i)).map(|i| format!("{i}/{of}")).collect();
    if missing.is_empty() { String::new() } else { format!("; missing: {}", missing.join(", ")) }
}
