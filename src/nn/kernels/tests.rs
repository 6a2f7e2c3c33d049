//! The exponential against its bound, on every instruction set of the machine.

#![allow(unsafe_code)]

use super::exp::{exp, exp_error};
use super::simd::{Kernel, Simd};
use super::*;

/// Runs a check on every instance; says which the machine has not.
fn everywhere(check: impl Fn(Isa)) {
    let has = Isa::available();
    if !has.iter().any(|isa| matches!(isa, Isa::Avx512(_))) {
        println!("not run here: avx512");
    }
    for isa in has {
        check(isa);
    }
}

/// `exp` of every value, whole vectors.
struct Exp<'a>(&'a mut [f32]);

impl Kernel for Exp<'_> {
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        for chunk in self.0.chunks_exact_mut(S::LANES) {
            // SAFETY: the chunk has a vector's values.
            unsafe {
                let [y] = exp(s, [s.load(chunk.as_ptr())]);
                s.store(chunk.as_mut_ptr(), y);
            }
        }
    }
}

#[test]
fn exp_keeps_its_bound() {
    everywhere(|isa| {
        let inputs: Vec<f32> = (0..1_600_000).map(|i| -87.0 + i as f32 * (174.0 / 1_600_000.0)).collect();
        let mut values = inputs.clone();
        isa.run(Exp(&mut values));
        let fused = !matches!(isa, Isa::Portable(_));
        let relative = |(x, y): (&f32, &f32)| {
            (f64::from(*y) / f64::from(*x).exp() - 1.0).abs() / exp_error(f64::from(*x), fused)
        };
        let worst = inputs.iter().zip(&values).map(relative).fold(0.0, f64::max);
        assert!(worst <= 1.0, "{isa}: {worst} times the bound");
        let mut odd = [0f32; 16];
        odd[..6].copy_from_slice(&[f32::NAN, f32::NEG_INFINITY, f32::INFINITY, -0.0, -1e30, 1e30]);
        isa.run(Exp(&mut odd));
        assert!(odd[0].is_nan() && odd[1] < 1e-37 && odd[2] > 1e38 && odd[3] == 1.0);
    });
}
