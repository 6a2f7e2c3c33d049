//! What is claimed of a model about a dataset's population, and who says so.
//!
//! In: a model and a dataset. Out: [`Claimed`], or nothing where nothing is claimed for it. Called by
//! `run` and `plan`.

use super::report::{ClaimSource, Claimed as Reported};
use super::stats::{self, Percent};
use super::{Error, Result};
use crate::dataset::Dataset;
use crate::model::ModelSpec;
use crate::registry::Relation;

/// What a claim is worth, and what the page says where that is known to be wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Claimed {
    /// The claim that is judged.
    pub claim: stats::Claim,
    /// Who says so.
    pub source: ClaimSource,
    /// What the page itself says, where a correction differs.
    pub published: Option<stats::Claim>,
}

impl Claimed {
    /// The top-1 accuracy that is claimed of a model for what a dataset's images are of.
    ///
    /// # Errors
    /// A claim with more decimals than any measurement has.
    pub fn of(spec: &ModelSpec, dataset: &Dataset, tolerance: Option<Percent>) -> Result<Option<Self>> {
        let claims = dataset.relation != Relation::Other && dataset.claims.as_deref() == Some("ImageNet");
        let Some(claim) = spec.claim.as_ref().filter(|_| claims) else { return Ok(None) };
        let read = |text: &str| {
            stats::Claim::new(text, tolerance)
                .map_err(|source| Error::BadClaim { model: spec.name.clone(), source })
        };
        let source = match (&claim.published_top1, spec.claimed_by_page) {
            (Some(_), _) => ClaimSource::Correction,
            (None, true) => ClaimSource::Page,
            (None, false) => ClaimSource::Entry,
        };
        let published = claim.published_top1.as_ref().map(|p| read(&p.text)).transpose()?;
        Ok(Some(Claimed { claim: read(&claim.top1.text)?, source, published }))
    }

    /// As reports have it.
    pub fn to_report(self) -> Reported {
        Reported { value: self.claim.value, source: self.source, digits: self.claim.digits }
    }
}
