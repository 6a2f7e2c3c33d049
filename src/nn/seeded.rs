//! Stand-in weights for networks whose real ones can't be had, bit-equal in Rust and numpy.
//!
//! In: a graph and a seed. Out: [`Weights`], each tensor made when it is asked for. Called by the golden
//! tests, `zoo bench` and `zoo verify --dataset golden`; `tests/oracle/logits.py` is the same recipe in
//! numpy. Element `i` of tensor `name` is drawn from splitmix64 started at the first eight bytes of
//! SHA-256 of `SEED/name`, so no tensor depends on another or on the order of drawing. The recipe and why
//! it has these gains are in the design: with them torch's own noise is 1e-6 of the logits' spread, and
//! exchanging any tensor moves it by 1e-3 or more.

use std::borrow::Cow;
use std::collections::BTreeMap;

use super::graph::{Graph, Role, Shape};
use super::weights::{View, Weights};
use zoo_common::hash::Sha256;

/// The state dict of a graph, drawn from a seed.
#[derive(Clone, Debug)]
pub struct Seeded {
    seed: u64,
    gain: f64,
    tensors: BTreeMap<String, (Vec<usize>, Role)>,
}

impl Seeded {
    /// Stand-ins for every tensor of `graph`. Nothing is drawn yet.
    pub fn new(graph: &Graph, seed: u64) -> Self {
        Self::with_gain(graph, seed, 1.0)
    }

    /// The same with every norm's weights multiplied by `gain`: below one for networks whose activations would grow
    /// with depth until what a single tensor adds is noise in them.
    pub fn with_gain(graph: &Graph, seed: u64, gain: f64) -> Self {
        let tensors = graph.weights.iter().map(|w| (w.name.clone(), (w.shape.clone(), w.role))).collect();
        Seeded { seed, gain, tensors }
    }

    fn gain_of(&self, role: Role) -> f64 {
        match role {
            Role::NormWeight { .. } => self.gain,
            Role::Filter { .. }
            | Role::Bias
            | Role::RunningMean
            | Role::RunningVar
            | Role::BatchesTracked
            | Role::Other => 1.0,
        }
    }
}

impl Weights for Seeded {
    fn get(&self, name: &str) -> Option<View<'_>> {
        let (shape, role) = self.tensors.get(name)?;
        let draws = uniform(self.seed, name, shape.iter().product());
        let (range, gain) = (Range::of(*role), self.gain_of(*role));
        let values = match range {
            Range::Around(reach) => draws.map(|u| ((2.0 * u - 1.0) * reach * gain) as f32).collect(),
            Range::From(least, width) => draws.map(|u| ((least + width * u) * gain) as f32).collect(),
            Range::Damped(least, width, by) => {
                draws.map(|u| ((least + width * u) * by * gain) as f32).collect()
            }
        };
        Some(View { shape: Cow::Borrowed(shape), values: Cow::Owned(values) })
    }

    fn names(&self) -> Vec<(String, Vec<usize>)> {
        self.tensors.iter().map(|(n, (s, _))| (n.clone(), s.clone())).collect()
    }
}

/// The stand-in image batch: `6u - 3` of the tensor `input`, wide enough to saturate ReLU6.
pub fn input(seed: u64, shape: Shape) -> Vec<f32> {
    uniform(seed, "input", shape.iter().product()).map(|u| (6.0 * u - 3.0) as f32).collect()
}

/// The first `count` numbers of a name's stream: in [0, 1), multiples of 2⁻²⁴.
pub fn uniform(seed: u64, name: &str, count: usize) -> impl Iterator<Item = f64> + use<> {
    let digest = Sha256::of(format!("{seed}/{name}").as_bytes());
    let mut head = [0; 8];
    head.copy_from_slice(&digest.0[..8]);
    let mut state = u64::from_le_bytes(head);
    (0..count).map(move |_| (splitmix64(&mut state) >> 40) as f64 / f64::from(1 << 24))
}

/// The next output of splitmix64 (Steele, Lea and Flood, 2014; public domain code by Vigna).
fn splitmix64(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let z = (*state ^ (*state >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

/// What a tensor's draws `u` become, in double precision.
#[derive(Clone, Copy)]
enum Range {
    /// `(2u − 1) · reach`.
    Around(f64),
    /// `least + width · u`.
    From(f64, f64),
    /// The same times a factor.
    Damped(f64, f64, f64),
}

impl Range {
    fn of(role: Role) -> Self {
        match role {
            Role::Filter { fan_in } => Range::Around((3.0 * 2.0 / fan_in as f64).sqrt()),
            Role::NormWeight { zero_init_last: false } | Role::Other => Range::From(0.75, 0.5),
            Role::NormWeight { zero_init_last: true } => Range::Damped(0.75, 0.5, 0.2),
            Role::Bias => Range::Around(0.2),
            Role::RunningMean => Range::From(-0.2, 0.4),
            Role::RunningVar => Range::From(0.5, 1.0),
            Role::BatchesTracked => Range::From(0.0, 0.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn splitmix_is_the_published_one() {
        // Reference: the first outputs of splitmix64 from the state 0 are e220a8397b1dcdaf, 6e789e6aa1b965f4.
        let mut state = 0u64;
        assert_eq!(
            (splitmix64(&mut state), splitmix64(&mut state)),
            (0xe220_a839_7b1d_cdaf, 0x6e78_9e6a_a1b9_65f4)
        );
    }

    #[test]
    fn draws_depend_on_seed_and_name_only() {
        let draw = |seed, name: &str| uniform(seed, name, 4).collect::<Vec<_>>();
        assert_eq!(draw(0, "a"), draw(0, "a"));
        assert_ne!(draw(0, "a"), draw(1, "a"));
        assert_ne!(draw(0, "a"), draw(0, "b"));
        assert!(draw(0, "a").iter().all(|u| (0.0..1.0).contains(u)));
    }
}
