//! What an operation reads of a weight: the state dict's values, checked, and transformed as the weight declares.
//!
//! In: a weight's number, a state dict. Out: float32 values. Called by every reader that computes (`nn::reference`,
//! `nn::plan`), so that a transform is applied in one place.

use std::borrow::Cow;

use super::Graph;
use super::weight::{Transform, Weight, WeightId};
use crate::weights::Weights;

/// Why a weight's values cannot be had.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ValueError {
    /// The state dict does not have it.
    #[error("tensor `{0}` is missing or cannot be read")]
    Missing(String),
    /// It has another shape.
    #[error("tensor `{name}` has shape {found:?}, not {expected:?}")]
    Shape {
        /// Its state-dict name.
        name: String,
        /// The architecture's shape.
        expected: Vec<usize>,
        /// The state dict's.
        found: Vec<usize>,
    },
}

impl Graph {
    /// The values of a weight as its operation reads them: row-major, of the shape that the graph says, transformed
    /// as the weight declares ([`Transform`]). Borrowed wherever nothing is done to them.
    ///
    /// # Errors
    /// A tensor that is not there or has another shape.
    pub fn value<'a>(&self, id: WeightId, weights: &'a dyn Weights) -> Result<Cow<'a, [f32]>, ValueError> {
        let values = self.stored(id, weights)?;
        let Some(weight) = self.weight(id) else { return Ok(values) };
        let gain = match weight.transform {
            Transform::None => return Ok(values),
            Transform::Standardise { .. } => None,
            Transform::Scaled { gain, .. } => Some(self.value(gain, weights)?),
        };
        let mut values = values.into_owned();
        let outputs = weight.shape.first().copied().unwrap_or(0);
        weight.transform.apply(&mut values, outputs, gain.as_deref());
        Ok(Cow::Owned(values))
    }

    /// The values of a weight as the state dict has them, before anything is done to them.
    ///
    /// # Errors
    /// A tensor that is not there or has another shape.
    pub fn stored<'a>(&self, id: WeightId, weights: &'a dyn Weights) -> Result<Cow<'a, [f32]>, ValueError> {
        let weight = self.weight(id).ok_or_else(|| ValueError::Missing(format!("weight {}", id.0)))?;
        stored(weight, weights)
    }
}

/// A tensor as it is stored.
fn stored<'a>(weight: &Weight, weights: &'a dyn Weights) -> Result<Cow<'a, [f32]>, ValueError> {
    let view = weights.get(&weight.name).ok_or_else(|| ValueError::Missing(weight.name.clone()))?;
    if *view.shape != *weight.shape || view.values.len() as u64 != weight.elements() {
        return Err(ValueError::Shape {
            name: weight.name.clone(),
            expected: weight.shape.clone(),
            found: view.shape.to_vec(),
        });
    }
    Ok(view.values)
}
