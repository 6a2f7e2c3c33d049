//! No instruction set at all: 16 lanes as an array, on any processor.
//!
//! It has the lanes of AVX-512 and runs the same code (tiles of fewer rows, since it has no registers to
//! fill), so a machine without that still runs its panels, tails and edges. The fused multiply-add is a product and a sum here, rounded twice: without FMA hardware
//! `f32::mul_add` is a library call.

#![allow(unsafe_code)]

use super::simd::{Kernel, MAX_PANEL_VECTORS, Simd};

/// The portable instance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Portable;

/// Sixteen lanes.
#[derive(Clone, Copy)]
#[repr(C, align(64))]
pub(crate) struct Lanes([f32; 16]);

#[inline(always)]
fn zip(a: Lanes, b: Lanes, f: impl Fn(f32, f32) -> f32) -> Lanes {
    let mut out = a;
    for (o, y) in out.0.iter_mut().zip(b.0) {
        *o = f(*o, y);
    }
    out
}

impl Simd for Portable {
    const NAME: &'static str = "portable";
    const LANES: usize = 16;
    const PANEL: usize = 3;
    // Tiles of as many sums as the sixteen registers of SSE2 hold, which every x86-64 has. Larger ones, and a copy for each
    // stride, were three quarters of the kernels' code and most of the time that it took to compile them.
    const ROWS: [usize; MAX_PANEL_VECTORS] = [3, 1, 1];
    /// Not an instruction, but this instance is to run what the wider ones do.
    const HAS_TABLE_LOOKUP: bool = true;
    const TWO_ROWS: bool = true;
    const TILE_WIDTHS: [usize; 2] = [2, 2];
    const CONSTANT_STRIDES: bool = false;
    const GROUPED_TILES: [&'static [usize]; 2] = [&[2], &[1]];
    type V = Lanes;

    #[inline(never)]
    fn run<K: Kernel>(self, kernel: K) {
        kernel.run(self);
    }

    #[inline(always)]
    fn splat(self, x: f32) -> Lanes {
        Lanes([x; 16])
    }

    #[inline(always)]
    unsafe fn load(self, from: *const f32) -> Lanes {
        // SAFETY: the caller vouches for 16 readable values; an array of f32 needs f32's alignment only.
        Lanes(unsafe { from.cast::<[f32; 16]>().read_unaligned() })
    }

    #[inline(always)]
    unsafe fn store(self, to: *mut f32, v: Lanes) {
        // SAFETY: the caller vouches for 16 writable values.
        unsafe { to.cast::<[f32; 16]>().write_unaligned(v.0) }
    }

    #[inline(always)]
    fn add(self, a: Lanes, b: Lanes) -> Lanes {
        zip(a, b, |x, y| x + y)
    }

    #[inline(always)]
    fn sub(self, a: Lanes, b: Lanes) -> Lanes {
        zip(a, b, |x, y| x - y)
    }

    #[inline(always)]
    fn mul(self, a: Lanes, b: Lanes) -> Lanes {
        zip(a, b, |x, y| x * y)
    }

    #[inline(always)]
    fn div(self, a: Lanes, b: Lanes) -> Lanes {
        zip(a, b, |x, y| x / y)
    }

    #[inline(always)]
    fn fma(self, a: Lanes, b: Lanes, c: Lanes) -> Lanes {
        self.add(self.mul(a, b), c)
    }

    #[inline(always)]
    fn max(self, a: Lanes, b: Lanes) -> Lanes {
        zip(a, b, |x, y| if x > y { x } else { y })
    }

    #[inline(always)]
    fn min(self, a: Lanes, b: Lanes) -> Lanes {
        zip(a, b, |x, y| if x < y { x } else { y })
    }

    #[inline(always)]
    fn add_shifted<const SHIFT: u32>(self, p: Lanes, t: Lanes) -> Lanes {
        zip(p, t, |x, n| f32::from_bits(x.to_bits().wrapping_add(n.to_bits() << SHIFT)))
    }

    #[inline(always)]
    fn black_box_ptr(self, at: *const f32) -> *const f32 {
        at
    }

    #[inline(always)]
    fn prefetch(self, _at: *const f32) {}
}
