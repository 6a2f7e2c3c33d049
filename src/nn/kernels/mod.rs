//! The arithmetic of networks, by hand: convolutions, pools and what is fused into them.
//!
//! In: views of memory in the layout of this page, checked against a geometry. Out: maps. Called by
//! `nn::plan` only. Maps are NHWC float32; a pixel's channels are filled up to whole vectors, and what
//! the lanes beyond the last channel hold is of no interest to anyone. Kernels are written once over
//! `simd::Simd` and compiled for each [`Isa`]; every one is tested against a naive twin on every
//! instance that the machine has.
//!
//! The order of the sum behind an output depends on the layer's shape and the [`Isa`] only: not on
//! threads, tiles or time. [`ALGORITHMS_VERSION`] changes when a shape gets another order.

#![allow(clippy::needless_range_loop)] // Tiles are indexed by constants: iterators would hide which.

mod avx2;
mod avx512;
mod portable;

pub(crate) mod conv;
pub(crate) mod depthwise;
pub(crate) mod exp;
pub(crate) mod math;
pub(crate) mod memory;
pub(crate) mod pack;
pub(crate) mod pointwise;
pub(crate) mod pool;
pub(crate) mod ring;
pub mod roofline;
pub(crate) mod simd;
pub(crate) mod stem;
mod strip;
pub(crate) mod team;
pub(crate) mod tile;
pub(crate) mod vector;
mod window;
pub(crate) mod winograd;

#[cfg(test)]
mod tests;
#[cfg(test)]
pub(crate) mod twins;

use std::fmt;
use std::str::FromStr;

pub use avx2::Avx2;
pub use avx512::Avx512;
pub use portable::Portable;

use crate::error::{Class, Classify};
use simd::{Kernel, Simd};

/// Changes with every change that can change the bits of a result on some instruction set.
pub const ALGORITHMS_VERSION: u32 = 5;

/// An instruction set that this processor has, and that kernels are compiled for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Isa {
    /// 512-bit vectors.
    Avx512(Avx512),
    /// 256-bit vectors with fused multiply-add.
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

impl Isa {
    /// All that this processor has, best first; the last is always portable.
    pub fn available() -> Vec<Isa> {
        let avx512 = Avx512::new().map(Isa::Avx512);
        let avx2 = Avx2::new().map(Isa::Avx2);
        [avx512, avx2, Some(Isa::Portable(Portable))].into_iter().flatten().collect()
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
    pub const fn name(self) -> &'static str {
        match self {
            Isa::Avx512(_) => "avx512",
            Isa::Avx2(_) => "avx2",
            Isa::Portable(_) => "portable",
        }
    }

    /// Float32 values in a vector.
    pub(crate) const fn lanes(self) -> usize {
        match self {
            Isa::Avx512(_) => Avx512::LANES,
            Isa::Avx2(_) => Avx2::LANES,
            Isa::Portable(_) => Portable::LANES,
        }
    }

    /// Vectors in a panel of packed weights.
    pub(crate) const fn panel(self) -> usize {
        match self {
            Isa::Avx512(_) => Avx512::PANEL,
            Isa::Avx2(_) => Avx2::PANEL,
            Isa::Portable(_) => Portable::PANEL,
        }
    }

    /// Runs a kernel.
    pub(crate) fn run<K: Kernel>(self, kernel: K) {
        match self {
            Isa::Avx512(simd) => simd.run(kernel),
            Isa::Avx2(simd) => simd.run(kernel),
            Isa::Portable(simd) => simd.run(kernel),
        }
    }
}

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
