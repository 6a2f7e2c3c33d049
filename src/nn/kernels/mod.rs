//! The arithmetic of networks, by hand: convolutions, pools and what is fused into them.
//!
//! In: views of memory in the layout of this page, checked against a geometry. Out: maps. Called by
//! `nn::plan` only. Maps are NHWC float32; a pixel's channels are filled up to whole vectors, and what
//! the lanes beyond the last channel hold is of no interest to anyone. Kernels are written once over
//! `simd::Simd` and compiled for each [`Isa`]; every one is tested against a naive reference on every
//! instance that the machine has.
//!
//! The order of the sum behind an output depends on the layer's shape and the [`Isa`] only: not on
//! threads, tiles or time. [`ALGORITHMS_VERSION`] changes when a shape gets another order.
//!
#![doc = include_str!("README.md")]
#![deny(
    clippy::wildcard_enum_match_arm,
    reason = "the compiler names every reader that a new activation needs"
)]
#![allow(clippy::len_without_is_empty, reason = "a view's length is a bound: nobody asks whether it is zero")]
#![allow(clippy::needless_range_loop)] // Tiles are indexed by constants: iterators would hide which.

pub mod activation;
#[cfg(all(target_arch = "x86_64", not(feature = "portable")))]
mod avx2;
#[cfg(all(target_arch = "x86_64", not(feature = "portable")))]
mod avx512;
mod portable;

pub mod blur;
pub mod conv;
pub mod depthwise;
mod exp;
pub mod group_norm;
pub mod grouped;
pub mod groups;
mod math;
pub mod memory;
pub mod mix;
pub mod moves;
pub mod pack;
pub mod plain;
pub mod pointwise;
pub mod pool;
pub mod ring;
pub mod roofline;
mod row_block;
mod simd;
mod split;
pub mod stem;
pub mod team;
pub mod tile;
pub mod vector;
mod window;
pub mod winograd;

#[cfg(test)]
pub(crate) mod reference;
#[cfg(test)]
mod tests;

use std::fmt;
use std::str::FromStr;

#[cfg(all(target_arch = "x86_64", not(feature = "portable")))]
pub use avx2::Avx2;
#[cfg(all(target_arch = "x86_64", not(feature = "portable")))]
pub use avx512::Avx512;
pub use portable::Portable;
pub use split::split_even;

use simd::{Kernel, Simd};
use zoo_common::error::{Class, Classify};

/// Changes with every change that can change the bits of every network's result on some instruction set; where only some
/// operations' bits change, theirs do in `nn::plan`.
pub const ALGORITHMS_VERSION: u32 = 5;

/// An instruction set that this processor has, and that kernels are compiled for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Isa {
    /// 512-bit vectors.
    #[cfg(all(target_arch = "x86_64", not(feature = "portable")))]
    Avx512(Avx512),
    /// 256-bit vectors with fused multiply-add.
    #[cfg(all(target_arch = "x86_64", not(feature = "portable")))]
    Avx2(Avx2),
    /// No vectors that the compiler does not find by itself.
    Portable(Portable),
}

/// `ZOO_ISA` names an instruction set that is unknown, or that this processor has not.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{found}` is not an instruction set of this machine: it has {}", names(.has))]
pub struct IsaError {
    /// What was asked for.
    pub found: String,
    /// What there is.
    pub has: Vec<Isa>,
}

fn names(isas: &[Isa]) -> String {
    isas.iter().map(|isa| format!("`{isa}`")).collect::<Vec<_>>().join(", ")
}

impl Classify for IsaError {
    fn class(&self) -> Class {
        Class::Usage
    }

    fn hint(&self) -> Option<String> {
        Some("leave `ZOO_ISA` unset to use the best".into())
    }
}

/// The instruction sets with vectors that this processor has, best first.
#[cfg(all(target_arch = "x86_64", not(feature = "portable")))]
fn vector_isas() -> Vec<Isa> {
    [Avx512::new().map(Isa::Avx512), Avx2::new().map(Isa::Avx2)].into_iter().flatten().collect()
}

/// Kernels are written for x86-64's alone.
#[cfg(not(all(target_arch = "x86_64", not(feature = "portable"))))]
fn vector_isas() -> Vec<Isa> {
    Vec::new()
}

/// The expression for whichever instruction set it is.
macro_rules! on_each {
    ($isa:expr, $simd:ident => $result:expr) => {
        match $isa {
            #[cfg(all(target_arch = "x86_64", not(feature = "portable")))]
            Isa::Avx512($simd) => $result,
            #[cfg(all(target_arch = "x86_64", not(feature = "portable")))]
            Isa::Avx2($simd) => $result,
            Isa::Portable($simd) => $result,
        }
    };
}

impl Isa {
    /// All that this processor has, best first; the last is always portable.
    pub fn available() -> Vec<Isa> {
        vector_isas().into_iter().chain([Isa::Portable(Portable)]).collect()
    }

    /// The best that this processor has.
    pub fn best() -> Isa {
        Isa::available().first().copied().unwrap_or(Isa::Portable(Portable))
    }

    /// The one that the environment variable `ZOO_ISA` names (`avx512`, `avx2`, `portable`), else the best.
    ///
    /// # Errors
    /// Where it names one that is not here.
    pub fn from_env() -> Result<Isa, IsaError> {
        match std::env::var_os("ZOO_ISA") {
            Some(name) if !name.is_empty() => name.to_string_lossy().parse(),
            _ => Ok(Isa::best()),
        }
    }

    /// Its name.
    pub fn name(self) -> &'static str {
        on_each!(self, simd => name(simd))
    }

    /// Float32 values in a vector.
    pub fn lanes(self) -> usize {
        on_each!(self, simd => lanes(simd))
    }

    /// Vectors in a panel of packed weights.
    pub fn panel(self) -> usize {
        on_each!(self, simd => panel(simd))
    }

    /// Outputs side by side in the tiles of a grouped convolution, one and two vectors wide.
    fn grouped_tiles(self) -> [&'static [usize]; 2] {
        on_each!(self, simd => grouped_tiles(simd))
    }

    /// Does some work with the instructions enabled.
    pub fn run(self, work: impl Run) {
        work.run_on(self);
    }

    /// Runs a kernel; it is compiled where this is called, for each instruction set.
    fn dispatch<K: Kernel>(self, kernel: K) {
        on_each!(self, simd => simd.run(kernel));
    }
}

fn name<S: Simd>(_: S) -> &'static str {
    S::NAME
}

fn lanes<S: Simd>(_: S) -> usize {
    S::LANES
}

fn panel<S: Simd>(_: S) -> usize {
    S::PANEL
}

fn grouped_tiles<S: Simd>(_: S) -> [&'static [usize]; 2] {
    S::GROUPED_TILES
}

/// Work that this crate has compiled for every instruction set, so that its callers need not.
pub trait Run {
    /// Does it.
    fn run_on(self, isa: Isa);
}

macro_rules! compiled_here {
    ($($kernel:ty),+ $(,)?) => {$(
        impl Run for $kernel {
            fn run_on(self, isa: Isa) {
                isa.dispatch(self);
            }
        }
    )+};
}

compiled_here!(
    blur::BlurPart<'_>,
    conv::ConvPart<'_>,
    depthwise::Depthwise<'_>,
    group_norm::ChannelSumsPart<'_>,
    grouped::FillRows<'_>,
    grouped::Grouped<'_>,
    mix::MixWeightsPart<'_>,
    pointwise::PointwisePart<'_>,
    pointwise::ScalePart<'_>,
    pool::GlobalAvgPoolFinish<'_>,
    pool::GlobalAvgPoolPart<'_>,
    pool::PoolPart<'_>,
    stem::Stem<'_>,
    vector::VectorPart<'_>,
    winograd::Gather<'_>,
    winograd::Scatter<'_>,
);

impl fmt::Display for Isa {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Isa {
    type Err = IsaError;

    fn from_str(name: &str) -> Result<Self, IsaError> {
        let has = Isa::available();
        match has.iter().find(|isa| isa.name() == name) {
            Some(isa) => Ok(*isa),
            None => Err(IsaError { found: name.to_owned(), has }),
        }
    }
}
