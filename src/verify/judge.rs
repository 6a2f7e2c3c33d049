//! From rows to a result: counts, interval, verdict, and what the run could and could not tell.
//!
//! In: a row an image and what is claimed. Out: a [`ModelResult`]. Called by `run` and `merge`, so that the
//! whole and its merged parts are judged by the same code.

use super::claim::Claimed;
use super::report::{ImagesOf, ModelResult, Published, Row, Skipped, Status, WeightsOf};
use super::settings::OnBadImage;
use super::stats::{
    self, ConfidenceLevel, Interval, Percent, Verdict, detectable_drop, images_to_decide, interval, judge,
    sequence,
};
use super::{Error, Result};
use crate::registry::Relation;

/// An evaluation of one model: what is known before a row is counted.
#[derive(Clone, Debug)]
pub struct Evaluation {
    /// The entry's name.
    pub model: String,
    /// Which weights.
    pub weights: WeightsOf,
    /// Which images.
    pub dataset: ImagesOf,
    /// What they are of the population: of a shard, less than the whole run's images are.
    pub relation: Relation,
    /// What is claimed.
    pub claimed: Option<Claimed>,
    /// Of the interval.
    pub level: ConfidenceLevel,
    /// Whether unreadable images are wrong or left out.
    pub on_bad_image: OnBadImage,
    /// Whether the run stopped when it was decided, so that its interval must hold at every stop.
    pub until_decided: bool,
    /// What computed.
    pub engine: String,
    /// The engine's instruction set.
    pub isa: String,
    /// The engine's own.
    pub algorithms_version: u32,
    /// What the model calls its classes, where they are not ImageNet's.
    pub class_names: Vec<String>,
}

/// Images, and right ones.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Images that count.
    pub n: u64,
    /// Right at first guess.
    pub top1: u64,
    /// Right within five.
    pub top5: u64,
    /// Left out because they could not be read.
    pub skipped: u64,
}

impl Counts {
    /// Takes a row in.
    pub fn add(&mut self, row: &Row, on_bad_image: OnBadImage) {
        match row.status {
            Status::Unlabelled => {}
            Status::Unreadable if on_bad_image == OnBadImage::Skip => self.skipped += 1,
            Status::Unreadable | Status::Ok => {
                self.n += 1;
                self.top1 += u64::from(row.is_right(1));
                self.top5 += u64::from(row.is_right(5));
            }
        }
    }
}

impl Evaluation {
    /// The interval of what has been counted. Skipped images may all have been wrong, or all right.
    pub fn interval(&self, counts: Counts) -> Interval {
        let Counts { n, top1, skipped, .. } = counts;
        let population = self.dataset.population;
        let of = |right| {
            if self.until_decided {
                sequence::interval(right, n + skipped, population, self.level)
            } else {
                interval(self.relation, right, n + skipped, population, self.level)
            }
        };
        Interval { low: of(top1).low, high: of(top1 + skipped).high }
    }

    /// The verdict on a claim.
    pub fn verdict(&self, interval: Interval, claim: Option<&stats::Claim>) -> Verdict {
        claim.map_or(Verdict::NoClaim, |claim| judge(interval, claim))
    }

    /// The verdict so far: what `--until decided` looks at.
    pub fn verdict_so_far(&self, counts: Counts) -> Verdict {
        self.verdict(self.interval(counts), self.claimed.as_ref().map(|c| &c.claim))
    }

    /// Counts and judges.
    ///
    /// # Errors
    /// [`Error::NothingCounts`].
    pub fn judge(self, mut rows: Vec<Row>, skipped: Vec<Skipped>) -> Result<ModelResult> {
        rows.sort_by(|a, b| a.id.as_bytes().cmp(b.id.as_bytes()));
        let mut counts = Counts::default();
        rows.iter().for_each(|row| counts.add(row, self.on_bad_image));
        if counts.n == 0 {
            let unlabelled = rows.iter().filter(|r| r.status == Status::Unlabelled).count();
            let (dataset, images) = (self.dataset.name, rows.len());
            return Err(Error::NothingCounts { dataset, images, skipped: skipped.len(), unlabelled });
        }
        let interval = self.interval(counts);
        let claim = self.claimed.map(|c| c.claim);
        let verdict = self.verdict(interval, claim.as_ref());
        let published = self.claimed.and_then(|c| c.published).map(|claim| Published {
            value: claim.value,
            digits: claim.digits,
            verdict: judge(interval, &claim),
        });
        let Counts { n, top1, top5, .. } = counts;
        let population = self.dataset.population;
        let decide = claim.filter(|_| verdict == Verdict::Consistent);
        let drop = claim.filter(|_| !self.until_decided);
        Ok(ModelResult {
            n,
            top1_correct: top1,
            top5_correct: top5,
            top1: Percent::of(top1, n),
            top5: Percent::of(top5, n),
            interval: [interval.low, interval.high],
            confidence: self.level.confidence(),
            claim: self.claimed.map(Claimed::to_report),
            published,
            tolerance: claim.map(|c| c.tolerance),
            verdict,
            detectable_drop: drop.and_then(|c| detectable_drop(self.relation, n, population, &c, self.level)),
            images_to_decide: decide.and_then(|c| images_to_decide(top1, n, population, &c, self.level)),
            holm_p: None,
            gates: Vec::new(),
            skipped,
            model: self.model,
            weights: self.weights,
            dataset: self.dataset,
            engine: self.engine,
            isa: self.isa,
            algorithms_version: self.algorithms_version,
            class_names: self.class_names,
            per_image: rows,
        })
    }
}
