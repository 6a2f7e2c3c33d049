//! What CI asks beyond the verdict: a least accuracy, a verdict, and no drop against an earlier report.
//!
//! In: [`Gates`], a result and the earlier one. Out: which gates hold. A gate that fails is exit code 1.

use std::collections::HashMap;
use std::path::Path;

use super::report::{GateResult, ModelResult, Row, Status};
use super::settings::Gates;
use super::stats::Claim;
use super::stats::holm::{adjust, p_value};
use super::stats::paired::Paired;
use super::{Error, Report, Result};
use crate::hash::Sha256;
use crate::registry::Relation;

/// The one-sided error that the bounds of a drop allow.
const ALPHA: f64 = 0.05;

/// The earlier report that drops are measured from.
#[derive(Clone, Debug)]
pub struct Baseline {
    path: std::path::PathBuf,
    report: Report,
}

impl Baseline {
    /// Reads it, and says the digest of what was read.
    ///
    /// # Errors
    /// As [`Report::open`].
    pub fn open(path: &Path) -> Result<(Self, Sha256)> {
        let (report, sha256) = Report::open_hashed(path)?;
        Ok((Baseline { path: path.to_owned(), report }, sha256))
    }

    /// The earlier result of a model: by name, or the only one where both reports have one.
    fn of(&self, result: &ModelResult, alone: bool) -> Result<&ModelResult> {
        let by_name = self.report.results.iter().find(|old| old.model == result.model);
        let only = match self.report.results.as_slice() {
            [old] if alone => Some(old),
            _ => None,
        };
        let error =
            |reason: String| Error::Baseline { path: self.path.clone(), model: result.model.clone(), reason };
        let old = by_name.or(only).ok_or_else(|| error("it has no result of that model".into()))?;
        if old.dataset.labels_sha256 != result.dataset.labels_sha256 {
            return Err(error(format!(
                "its images or labels are others ({} of `{}`, here {} of `{}`)",
                old.dataset.images, old.dataset.name, result.dataset.images, result.dataset.name
            )));
        }
        Ok(old)
    }
}

/// Counts the images on which two results differ. Images that either could not read tell nothing.
pub fn pair(old: &ModelResult, new: &ModelResult) -> Paired {
    let counts = |row: &&Row| row.status == Status::Ok;
    let before: HashMap<&str, bool> =
        old.per_image.iter().filter(counts).map(|r| (r.id.as_str(), r.is_right(1))).collect();
    let mut paired = Paired { lost: 0, won: 0, n: 0 };
    for row in new.per_image.iter().filter(counts) {
        let Some(&was) = before.get(row.id.as_str()) else { continue };
        paired.n += 1;
        match (was, row.is_right(1)) {
            (true, false) => paired.lost += 1,
            (false, true) => paired.won += 1,
            _ => {}
        }
    }
    paired
}

impl Gates {
    /// Which gates hold for a result; `alone` where it is the only one of its report.
    ///
    /// # Errors
    /// A baseline of other images, or without the model.
    pub fn check(
        &self,
        result: &ModelResult,
        baseline: Option<&Baseline>,
        alone: bool,
    ) -> Result<Vec<GateResult>> {
        let mut results = Vec::new();
        let mut add = |gate: &str, asked: String, found: String, passed: bool| {
            results.push(GateResult { gate: gate.into(), asked, found, passed });
        };
        if let Some(least) = self.min_top1 {
            let [low, _] = result.interval;
            add("min_top1", format!("at least {least}"), format!("surely {low}"), low >= least);
        }
        if let Some(required) = self.require {
            let found = result.verdict;
            add("require", required.name().into(), found.name().into(), found == required);
        }
        let Some(baseline) = baseline else { return Ok(results) };
        let old = baseline.of(result, alone)?;
        let paired = pair(old, result);
        if paired.n == 0 {
            let reason = "no image was read in both".to_owned();
            return Err(Error::Baseline { path: baseline.path.clone(), model: result.model.clone(), reason });
        }
        let drop = paired.drop(ALPHA, result.dataset.relation == Relation::Census);
        if let Some(most) = self.max_drop {
            let found = format!("{} measured, at least {}", drop.measured, drop.at_least);
            add("max_drop", format!("a drop of {most} at most"), found, drop.at_least <= most);
        }
        if let Some(most) = self.prove_no_drop {
            let found = format!("{} measured, at most {}", drop.measured, drop.at_most);
            add("prove_no_drop", format!("a drop of less than {most}"), found, drop.at_most < most);
        }
        Ok(results)
    }
}

/// On a board of several models: Holm's adjusted p-values, beside verdicts that they do not change. A run that
/// stopped when it was decided has no p-value of a fixed n.
pub fn board(results: &mut [ModelResult], until_decided: bool) {
    if results.len() < 2 || until_decided {
        return;
    }
    let p: Vec<(usize, f64)> = results
        .iter()
        .enumerate()
        .filter_map(|(at, result)| {
            let claim = result.claim.as_ref()?;
            let claim = Claim { value: claim.value, digits: claim.digits, tolerance: result.tolerance? };
            let (n, population) = (result.n, result.dataset.population);
            let p = p_value(result.dataset.relation, result.top1_correct, n, population, &claim)?;
            Some((at, p))
        })
        .collect();
    let adjusted = adjust(&p.iter().map(|(_, p)| *p).collect::<Vec<_>>());
    for ((at, _), adjusted) in p.into_iter().zip(adjusted) {
        if let Some(result) = results.get_mut(at) {
            // Twelve digits: what the sums of probabilities can tell on every machine.
            result.holm_p = Some(format!("{adjusted:.12e}").parse().unwrap_or(adjusted));
        }
    }
}
