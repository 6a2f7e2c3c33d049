//! What a vector instruction set offers, as a trait that kernels are written over once.
//!
//! In: raw vectors and pointers that a kernel has checked. Out: the same arithmetic on every instance.
//! A value of a type that implements [`Simd`] is the proof that the processor has the instructions; the
//! only way from a kernel to its `target_feature` code is [`Simd::run`]. Used by every kernel file.

#![allow(unsafe_code)]

use super::memory::LINE;

/// Work that is compiled once for each instruction set.
///
/// `run` must be `#[inline(always)]`, and so must all it calls with `simd`: only then does the compiler
/// see it inside the function that enables the instructions. Going through [`Simd::run`] again ends the
/// inlining, which is how large kernels share code.
pub(crate) trait Kernel {
    /// Does the work.
    fn run<S: Simd>(self, simd: S);
}

/// A vector of float32 and what can be done with it.
///
/// `max` and `min` are x86's: where either operand is NaN the *second* is returned, so a value put
/// second survives as NaN through clamps with a constant.
pub(crate) trait Simd: Copy + Send + Sync + 'static {
    /// As `ZOO_ISA` and reports have it.
    const NAME: &'static str;
    /// Values in a vector.
    const LANES: usize;
    /// Vectors in a panel of packed weights; a layer's last panels may hold one less ([`super::pack::panel`]).
    const PANEL: usize;
    /// Rows of the register tile that is one, two, three vectors wide.
    const ROWS: [usize; MAX_PANEL_VECTORS];
    /// Whether [`Simd::lookup32`] is what exponentials are made of.
    const HAS_TABLE_LOOKUP: bool;
    /// Whether depthwise convolutions make two rows of output at a time.
    const TWO_ROWS: bool;
    /// Outputs side by side in the widest tile of a depthwise convolution: of one row, of two.
    const TILE_WIDTHS: [usize; 2];
    /// Whether the usual strides of a depthwise convolution have code of their own.
    const CONSTANT_STRIDES: bool;
    /// Outputs side by side in the tiles of a grouped convolution that are one and two vectors wide, ascending.
    const GROUPED_TILES: [&'static [usize]; 2];
    /// A vector.
    type V: Copy;

    /// Runs `kernel` with the instructions enabled.
    fn run<K: Kernel>(self, kernel: K);

    /// Every lane `x`.
    fn splat(self, x: f32) -> Self::V;
    /// Reads [`Simd::LANES`] values.
    ///
    /// # Safety
    /// `from` must be readable for that many values; any alignment.
    unsafe fn load(self, from: *const f32) -> Self::V;
    /// Writes [`Simd::LANES`] values.
    ///
    /// # Safety
    /// `to` must be writable for that many values; any alignment.
    unsafe fn store(self, to: *mut f32, v: Self::V);
    /// The first `WAYS` values over and over: lane `l` has `from[l % WAYS]`.
    ///
    /// # Safety
    /// `from` must be readable for that many values; any alignment.
    #[inline(always)]
    unsafe fn repeat<const WAYS: usize>(self, from: *const f32) -> Self::V {
        // SAFETY: as the caller vouches.
        from_array(self, &std::array::from_fn(|l| unsafe { *from.add(l % WAYS) }))
    }
    /// Runs of values, `distance` from each other, interleaved: lane `l` has `from[l % WAYS * distance + l / WAYS]`.
    ///
    /// # Safety
    /// `from` must be readable for a run of `LANES / WAYS` values at each distance; any alignment.
    #[inline(always)]
    unsafe fn load_interleaved<const WAYS: usize>(self, from: *const f32, distance: usize) -> Self::V {
        // SAFETY: as the caller vouches.
        unsafe { interleaved::<Self, WAYS>(self, from, distance) }
    }
    /// Writes the first `count` runs that [`Simd::load_interleaved`] would read.
    ///
    /// # Safety
    /// `to` must be writable for a run of `LANES / WAYS` values at each of the first `count` distances (for a vector where
    /// there is one way); any alignment.
    #[inline(always)]
    unsafe fn store_interleaved<const WAYS: usize>(
        self,
        to: *mut f32,
        distance: usize,
        count: usize,
        v: Self::V,
    ) {
        // SAFETY: as the caller vouches.
        unsafe { deinterleave::<Self, WAYS>(self, to, distance, count, v) }
    }
    /// `a + b`.
    fn add(self, a: Self::V, b: Self::V) -> Self::V;
    /// `a - b`.
    fn sub(self, a: Self::V, b: Self::V) -> Self::V;
    /// `a · b`.
    fn mul(self, a: Self::V, b: Self::V) -> Self::V;
    /// `a / b`.
    fn div(self, a: Self::V, b: Self::V) -> Self::V;
    /// `a · b + c`, rounded once.
    fn fma(self, a: Self::V, b: Self::V, c: Self::V) -> Self::V;
    /// The larger; `b` where either is NaN.
    fn max(self, a: Self::V, b: Self::V) -> Self::V;
    /// The smaller; `b` where either is NaN.
    fn min(self, a: Self::V, b: Self::V) -> Self::V;
    /// `a / b`, off by two units in the last place at most; `b` between 1 and 1e38.
    #[inline(always)]
    fn quotient(self, a: Self::V, b: Self::V) -> Self::V {
        self.div(a, b)
    }
    /// The bits of `p` and those of `t` shifted to the left by `SHIFT`, added as integers. With `SHIFT` 23 and `t` the sum
    /// of an integer n and 1.5·2²³ that is `p · 2ⁿ`, which must be a normal number.
    fn add_shifted<const SHIFT: u32>(self, p: Self::V, t: Self::V) -> Self::V;
    /// The entry of `table` that the five low bits of each lane say, as a float's bits.
    #[inline(always)]
    fn lookup32(self, table: &[u32; 32], t: Self::V) -> Self::V {
        let mut lanes = [0f32; 16];
        to_array(self, t, &mut lanes);
        for lane in &mut lanes {
            *lane = f32::from_bits(table[lane.to_bits() as usize % table.len()]);
        }
        from_array(self, &lanes)
    }
    /// `at` itself, which the compiler can't know: what is loaded through it is not kept in a register for
    /// an earlier or later load of the same address.
    fn black_box_ptr(self, at: *const f32) -> *const f32;
    /// Asks for the cache line at `at`, which need not be readable.
    fn prefetch(self, at: *const f32);
    /// Asks for every cache line of `values` values from `at` on, which need not be readable.
    #[inline(always)]
    fn prefetch_all(self, at: *const f32, values: usize) {
        for line in (0..values).step_by(LINE) {
            self.prefetch(at.wrapping_add(line));
        }
    }
}

/// Vectors of the widest panel that any instance has.
pub(crate) const MAX_PANEL_VECTORS: usize = 3;

/// The lanes of a vector as an array.
#[inline(always)]
pub(crate) fn to_array<S: Simd>(s: S, v: S::V, lanes: &mut [f32; 16]) {
    const { assert!(S::LANES <= 16) };
    // SAFETY: at most 16 values are written.
    unsafe { s.store(lanes.as_mut_ptr(), v) }
}

/// [`Simd::load_interleaved`] value by value.
///
/// # Safety
/// As there.
#[inline(always)]
pub(crate) unsafe fn interleaved<S: Simd, const WAYS: usize>(
    s: S,
    from: *const f32,
    distance: usize,
) -> S::V {
    let mut lanes = [0f32; 16];
    for (l, lane) in lanes.iter_mut().enumerate().take(S::LANES) {
        // SAFETY: as the caller vouches.
        *lane = unsafe { *from.add(l % WAYS * distance + l / WAYS) };
    }
    from_array(s, &lanes)
}

/// [`Simd::store_interleaved`] value by value.
///
/// # Safety
/// As there.
#[inline(always)]
pub(crate) unsafe fn deinterleave<S: Simd, const WAYS: usize>(
    s: S,
    to: *mut f32,
    distance: usize,
    count: usize,
    v: S::V,
) {
    let mut lanes = [0f32; 16];
    to_array(s, v, &mut lanes);
    for (l, lane) in lanes.iter().enumerate().take(S::LANES).filter(|(l, _)| l % WAYS < count) {
        // SAFETY: as the caller vouches.
        unsafe { *to.add(l % WAYS * distance + l / WAYS) = *lane }
    }
}

/// The vector of an array's first lanes.
#[inline(always)]
pub(crate) fn from_array<S: Simd>(s: S, lanes: &[f32; 16]) -> S::V {
    const { assert!(S::LANES <= 16) };
    // SAFETY: at most 16 values are read.
    unsafe { s.load(lanes.as_ptr()) }
}
