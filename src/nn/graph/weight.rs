//! The tensors of a graph: name, shape, what each is for, and what is done to it before it is used.
//!
//! In: declarations of a [`super::Builder`]. Out: [`Weight`]s, which `load` checks, `seeded` draws and
//! [`super::Graph::value`] gives to whoever runs the graph.

/// Index of a weight in [`super::Graph::weights`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct WeightId(pub usize);

/// What a weight is for. Decides how *seeded* stand-in weights are drawn, and nothing else.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Convolution or linear weight; `fan_in` is the number of elements of one output's filter.
    Filter {
        /// Elements of one output's filter; for CondConv those of a quarter of the experts'.
        fan_in: usize,
    },
    /// Scale of a normalisation.
    NormWeight {
        /// The last norm of the branch of a block that has a shortcut (timm's `zero_init_last` starts it at
        /// zero): seeded smaller, so that deep networks stay well conditioned.
        zero_init_last: bool,
    },
    /// Shift of a normalisation, or the bias of a convolution or linear layer.
    Bias,
    /// Batch norm's running mean.
    RunningMean,
    /// Batch norm's running variance.
    RunningVar,
    /// Batch norm's step counter (int64, 0-d): converted and listed, never required and never read.
    BatchesTracked,
    /// Any other vector or scalar.
    Other,
}

/// What becomes of a weight between the state dict and the operation that reads it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Transform {
    /// It is used as it is stored.
    None,
    /// Weight standardisation (arXiv:1903.10520): each output's filter minus its mean, over its standard
    /// deviation; timm's `StdConv2d`.
    Standardise {
        /// Added to the filter's variance.
        eps: f32,
    },
    /// Scaled weight standardisation (arXiv:2101.08692): standardised, times a learned gain an output, times
    /// `gamma / √fan_in`; timm's `ScaledStdConv2d`.
    Scaled {
        /// The gains, one value an output.
        gain: WeightId,
        /// The activation's gain.
        gamma: f32,
        /// Added to the filter's variance.
        eps: f32,
    },
}

/// A tensor the architecture needs, under its state-dict name.
#[derive(Clone, Debug, PartialEq)]
pub struct Weight {
    /// Name in timm's state dict, such as `blocks.0.0.conv_dw.weight`.
    pub name: String,
    /// Shape in torch's order: `[out, in / groups, kh, kw]` for a convolution.
    pub shape: Vec<usize>,
    /// What it is for.
    pub role: Role,
    /// What is done to it before it is used.
    pub transform: Transform,
}

impl Weight {
    /// Elements of the tensor.
    pub fn elements(&self) -> u64 {
        self.shape.iter().map(|&d| d as u64).product()
    }

    /// Whether timm counts it as a parameter (buffers such as running statistics are not).
    pub fn is_parameter(&self) -> bool {
        match self.role {
            Role::RunningMean | Role::RunningVar | Role::BatchesTracked => false,
            Role::Filter { .. } | Role::NormWeight { .. } | Role::Bias | Role::Other => true,
        }
    }

    /// Whether loading must find it.
    pub fn is_required(&self) -> bool {
        self.role != Role::BatchesTracked
    }
}

impl Transform {
    /// `values`, the rows of a tensor of `outputs` filters, transformed; `gain` is that of [`Transform::Scaled`].
    ///
    /// Worked out in double precision and rounded once.
    pub(super) fn apply(self, values: &mut [f32], outputs: usize, gain: Option<&[f32]>) {
        let (eps, factor) = match self {
            Transform::None => return,
            Transform::Standardise { eps } => (eps, 1.0),
            Transform::Scaled { gamma, eps, .. } => (eps, gamma),
        };
        let fan_in = values.len() / outputs.max(1);
        for (output, filter) in values.chunks_exact_mut(fan_in.max(1)).enumerate() {
            let count = filter.len() as f64;
            let mean = filter.iter().map(|&w| f64::from(w)).sum::<f64>() / count;
            let variance = filter.iter().map(|&w| (f64::from(w) - mean).powi(2)).sum::<f64>() / count;
            let scale = match self {
                Transform::None | Transform::Standardise { .. } => 1.0,
                Transform::Scaled { .. } => {
                    let gain = gain.and_then(|g| g.get(output)).copied().unwrap_or(1.0);
                    f64::from(gain) * f64::from(factor) / count.sqrt()
                }
            };
            let scale = scale / (variance + f64::from(eps)).sqrt();
            for w in filter {
                *w = ((f64::from(*w) - mean) * scale) as f32;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn standardised_filters_have_mean_zero_and_variance_one() {
        // torch 2.15: F.batch_norm(torch.tensor([[1., 2., 3., 6.], [0., 0., 0., 8.]])[None], None, None,
        // training=True, eps=1e-6)
        let mut values = [1.0, 2.0, 3.0, 6.0, 0.0, 0.0, 0.0, 8.0];
        Transform::Standardise { eps: 1e-6 }.apply(&mut values, 2, None);
        let truth = [
            -1.069_044_8,
            -0.534_522_4,
            0.0,
            1.603_567_2,
            -0.577_350_2,
            -0.577_350_2,
            -0.577_350_2,
            1.732_050_7,
        ];
        for (value, truth) in values.iter().zip(truth) {
            assert!((value - truth).abs() < 1e-6, "{values:?}");
        }
    }

    #[test]
    fn scaled_filters_have_their_gain() {
        let transform = Transform::Scaled { gain: WeightId(0), gamma: 2.0, eps: 0.0 };
        let mut values = [-1.0, 1.0, -1.0, 1.0];
        transform.apply(&mut values, 1, Some(&[3.0]));
        // 3 · 2 / √4, of values that are standardised as they are.
        assert_eq!(values, [-3.0, 3.0, -3.0, 3.0]);
        let mut same = [5.0, 7.0];
        Transform::None.apply(&mut same, 1, None);
        assert_eq!(same, [5.0, 7.0]);
    }
}
