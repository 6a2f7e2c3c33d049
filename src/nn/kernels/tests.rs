//! The exponential against its bound, on every instruction set of the machine.

#![allow(unsafe_code)]

use super::exp::{exp, exp_error};
use super::simd::{Kernel, Simd};
use super::*;

/// Runs a check on every instance; says which the machine has not.
fn everywhere(check: impl Fn(Isa)) {
    let has = Isa::available();
    if !has.iter().any(|isa| isa.name() == "avx512") {
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

/// Every value of the second divided by that of the first.
struct Quotient<'a>(&'a [f32], &'a mut [f32]);

impl Kernel for Quotient<'_> {
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        for (b, a) in self.0.chunks_exact(S::LANES).zip(self.1.chunks_exact_mut(S::LANES)) {
            // SAFETY: the chunks have a vector's values.
            unsafe { s.store(a.as_mut_ptr(), s.quotient(s.load(a.as_ptr()), s.load(b.as_ptr()))) }
        }
    }
}

#[test]
fn quotients_are_off_by_two_units_at_most() {
    everywhere(|isa| {
        // Divisors from 1 to 1e38 over all mantissas, dividends of both signs, infinity and NaN among them.
        let divisors: Vec<f32> =
            (0..400_000u32).map(|i| f32::from_bits(0x3f80_0000 + i * 2_640 + i % 7)).collect();
        let dividends: Vec<f32> =
            (0..400_000u32).map(|i| (i as f32 - 200_000.5) * 1e-3 * divisors[i as usize].sqrt()).collect();
        assert!(divisors[0] == 1.0 && divisors[399_999] < 1e38 && divisors[399_999] > 2e37);
        let mut values = dividends.clone();
        isa.dispatch(Quotient(&divisors, &mut values));
        for ((a, b), found) in dividends.iter().zip(&divisors).zip(&values) {
            let truth = f64::from(*a) / f64::from(*b);
            let unit = 2f64.powi(truth.abs().log2().floor() as i32 - 23);
            assert!((f64::from(*found) - truth).abs() <= 2.0 * unit, "{isa}: {a} / {b} is {found}");
        }
        let mut odd = [f32::NAN; 16];
        odd[..3].copy_from_slice(&[f32::INFINITY, f32::NEG_INFINITY, 0.0]);
        isa.dispatch(Quotient(&[1.0; 16], &mut odd));
        assert!(odd[0] == f32::INFINITY && odd[1] == f32::NEG_INFINITY && odd[2] == 0.0 && odd[3].is_nan());
    });
}

#[test]
fn exp_keeps_its_bound() {
    everywhere(|isa| {
        let inputs: Vec<f32> = (0..1_600_000).map(|i| -87.0 + i as f32 * (174.0 / 1_600_000.0)).collect();
        let mut values = inputs.clone();
        isa.dispatch(Exp(&mut values));
        let fused = isa.name() != "portable";
        let relative = |(x, y): (&f32, &f32)| {
            (f64::from(*y) / f64::from(*x).exp() - 1.0).abs() / exp_error(f64::from(*x), fused)
        };
        let worst = inputs.iter().zip(&values).map(relative).fold(0.0, f64::max);
        assert!(worst <= 1.0, "{isa}: {worst} times the bound");
        let mut odd = [0f32; 16];
        odd[..6].copy_from_slice(&[f32::NAN, f32::NEG_INFINITY, f32::INFINITY, -0.0, -1e30, 1e30]);
        isa.dispatch(Exp(&mut odd));
        assert!(odd[0].is_nan() && odd[1] < 1e-37 && odd[2] > 1e38 && odd[3] == 1.0);
    });
}
