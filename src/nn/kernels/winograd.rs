//! 3×3 convolutions of stride 1 with fewer products: Winograd's F(2×2, 3×3) and F(4×4, 3×3).
//!
//! In: an NHWC map, filters that were transformed when the plan was made. Out: the NHWC map that a direct
//! convolution gives, up to rounding. An output tile of `M`×`M` pixels comes from an input tile of side
//! `N = M + 2`: [`Scatter`] transforms input tiles into N² matrices (tiles by channels), each is multiplied by
//! its matrix of filters (an ordinary 1×1 convolution, [`super::conv`]), and [`Gather`] transforms the products
//! back. F(4×4) needs a quarter of the products and loses about a decimal digit, F(2×2) four ninths of them.
//! [`Tile::of`] says which shape gets which. The order of every sum depends on `M` only. (Lavin and Gray,
//! "Fast algorithms for convolutional neural networks", 2015.)

#![allow(unsafe_code)]

use crate::activation::Activation;

use super::groups::Groups;
use super::math::{activate, apply_activation_in_place, is_transcendental};
use super::memory::{Dst, LINE, Src};
use super::simd::{Kernel, Simd};
use super::tile::Epilogue;

/// The output tiles that there are transforms for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tile {
    /// 2×2 outputs from 4×4 inputs.
    Two,
    /// 4×4 outputs from 6×6 inputs.
    Four,
}

impl Tile {
    /// The tiles that a 3×3 convolution of stride 1 gets, or each group of one; none for a direct one. Measured, with vectors
    /// of 8 and of 16 lanes: few channels make the transforms dear; few pixels the transformed filters, which are read once
    /// for all of them.
    pub fn of(groups: &Groups, size: [usize; 2]) -> Option<Tile> {
        let fewest = if groups.count > 1 { MIN_CHANNELS_OF_GROUP } else { MIN_CHANNELS };
        if groups.inputs.min(groups.outputs) < fewest {
            None
        } else if size[0] * size[1] >= 144 {
            Some(Tile::Four)
        } else {
            Some(Tile::Two)
        }
    }

    /// Side of an output tile.
    pub const fn side(self) -> usize {
        match self {
            Tile::Two => 2,
            Tile::Four => 4,
        }
    }

    /// Matrices: values of an input tile.
    pub const fn matrices(self) -> usize {
        (self.side() + 2) * (self.side() + 2)
    }
}

/// Fewest channels of a convolution of one group, and of a group, whose direct form has shorter loops.
const MIN_CHANNELS: usize = 32;
const MIN_CHANNELS_OF_GROUP: usize = 24;

/// Matrices of the largest tile.
pub const MAX_MATRICES: usize = Tile::Four.matrices();

/// How an output of some size is cut into tiles.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tiling {
    /// The output's tiles.
    pub tile: Tile,
    /// `[height, width]` of the input.
    pub input: [usize; 2],
    /// `[height, width]` of the output.
    pub output: [usize; 2],
    /// `[top, left]`.
    pub pad: [usize; 2],
}

impl Tiling {
    /// Matrices: values of an input tile.
    pub fn matrices(&self) -> usize {
        self.tile.matrices()
    }

    fn columns(&self) -> usize {
        self.output[1].div_ceil(self.tile.side())
    }

    /// Tiles in all.
    pub fn tiles(&self) -> usize {
        self.output[0].div_ceil(self.tile.side()) * self.columns()
    }
}

/// Values from a matrix to the next, of `rows` rows of `pitch` values: not a multiple of a page, or the lines of
/// one tile would all want the same place in the caches.
pub fn batch_stride(rows: usize, pitch: usize) -> usize {
    rows * pitch + LINE
}

/// The transformed filter for one output and input: `G g Gᵀ` of a 3×3 window `g`, row by row.
pub fn filter(tile: Tile, g: &[f32], to: &mut [f64; MAX_MATRICES]) {
    const TWO: [[f64; 3]; 4] = [[1.0, 0.0, 0.0], [0.5, 0.5, 0.5], [0.5, -0.5, 0.5], [0.0, 0.0, 1.0]];
    const FOUR: [[f64; 3]; 6] = [
        [1.0 / 4.0, 0.0, 0.0],
        [-1.0 / 6.0, -1.0 / 6.0, -1.0 / 6.0],
        [-1.0 / 6.0, 1.0 / 6.0, -1.0 / 6.0],
        [1.0 / 24.0, 1.0 / 12.0, 1.0 / 6.0],
        [1.0 / 24.0, -1.0 / 12.0, 1.0 / 6.0],
        [0.0, 0.0, 1.0],
    ];
    match tile {
        Tile::Two => both_sides(&TWO, g, to),
        Tile::Four => both_sides(&FOUR, g, to),
    }
}

/// `G g Gᵀ`: `g Gᵀ` once, then each row of `G` with it.
fn both_sides<const N: usize>(rows: &[[f64; 3]; N], g: &[f32], to: &mut [f64; MAX_MATRICES]) {
    let dot = |a: &[f64; 3], b: [f64; 3]| a[0] * b[0] + a[1] * b[1] + a[2] * b[2];
    let mut right = [[0.0; 3]; N];
    for (i, g) in g.chunks_exact(3).take(3).enumerate() {
        let g = [f64::from(g[0]), f64::from(g[1]), f64::from(g[2])];
        for (column, row) in right.iter_mut().zip(rows) {
            column[i] = dot(row, g);
        }
    }
    for (to, row) in to.chunks_exact_mut(N).zip(rows) {
        for (to, column) in to.iter_mut().zip(&right) {
            *to = dot(row, *column);
        }
    }
}

/// Input tiles into matrices.
#[derive(Clone, Copy)]
pub struct Scatter<'a> {
    /// Which tiles there are.
    pub tiling: Tiling,
    /// First tile, and how many.
    pub tiles: [usize; 2],
    /// The map.
    pub input: Src<'a>,
    /// Values from a pixel to the next.
    pub pitch: usize,
    /// The matrices: rows of `pitch` values, [`batch_stride`] from each other.
    pub output: Dst<'a>,
    /// At least `pitch` zeros.
    pub zeros: Src<'a>,
}

impl Kernel for Scatter<'_> {
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let [h, w] = self.tiling.input;
        let ([first, count], batch_stride) = (self.tiles, batch_stride(self.tiles[1], self.pitch));
        assert!(self.pitch.is_multiple_of(S::LANES) && first + count <= self.tiling.tiles());
        assert!(self.input.len() >= h * w * self.pitch && self.zeros.len() >= self.pitch);
        assert!(self.output.len() >= self.tiling.matrices() * batch_stride);
        for tile in 0..count {
            // SAFETY: the views were just checked for every pixel of the map and every row of a matrix.
            unsafe {
                match self.tiling.tile {
                    Tile::Two => self.tile::<S, 4>(
                        s,
                        first + tile,
                        self.output.ptr().add(tile * self.pitch),
                        batch_stride,
                    ),
                    Tile::Four => self.tile::<S, 6>(
                        s,
                        first + tile,
                        self.output.ptr().add(tile * self.pitch),
                        batch_stride,
                    ),
                }
            }
        }
    }
}

impl Scatter<'_> {
    /// # Safety
    /// The tile is one of the tiling's; `to` is writable for a row in each of N² matrices `batch_stride` values apart.
    #[inline(always)]
    unsafe fn tile<S: Simd, const N: usize>(&self, s: S, tile: usize, to: *mut f32, batch_stride: usize) {
        let t = &self.tiling;
        let [y, x] = [tile / t.columns() * t.tile.side(), tile % t.columns() * t.tile.side()];
        let mut from = [[self.zeros.ptr(); N]; N];
        for i in 0..N {
            for j in 0..N {
                // A row or column above the border wraps round to a huge number.
                let (iy, ix) = ((y + i).wrapping_sub(t.pad[0]), (x + j).wrapping_sub(t.pad[1]));
                if iy < t.input[0] && ix < t.input[1] {
                    // SAFETY: a pixel of the map.
                    from[i][j] = unsafe { self.input.ptr().add((iy * t.input[1] + ix) * self.pitch) };
                }
            }
        }
        for channel in (0..self.pitch).step_by(S::LANES) {
            let mut d = [[s.splat(0.0); N]; N];
            for i in 0..N {
                let mut row = [s.splat(0.0); N];
                for j in 0..N {
                    // SAFETY: each of `from` has a pixel's values.
                    row[j] = unsafe { s.load(from[i][j].add(channel)) };
                }
                d[i] = into(s, row);
            }
            for j in 0..N {
                let mut column = [s.splat(0.0); N];
                for i in 0..N {
                    column[i] = d[i][j];
                }
                let column = into(s, column);
                for i in 0..N {
                    // SAFETY: as the caller vouches.
                    unsafe { s.store(to.add((i * N + j) * batch_stride + channel), column[i]) }
                }
            }
        }
    }
}

/// `Bᵀ d`.
#[inline(always)]
fn into<S: Simd, const N: usize>(s: S, d: [S::V; N]) -> [S::V; N] {
    let mut t = d;
    if N == 4 {
        t[0] = s.sub(d[0], d[2]);
        t[1] = s.add(d[1], d[2]);
        t[2] = s.sub(d[2], d[1]);
        t[3] = s.sub(d[1], d[3]);
        return t;
    }
    let (two, four, five) = (s.splat(2.0), s.splat(4.0), s.splat(-5.0));
    let minus_four = s.splat(-4.0);
    t[0] = s.fma(four, d[0], s.fma(five, d[2], d[4]));
    let (a, b) = (s.fma(minus_four, d[2], d[4]), s.fma(minus_four, d[1], d[3]));
    t[1] = s.add(a, b);
    t[2] = s.sub(a, b);
    let (c, e) = (s.sub(d[4], d[2]), s.mul(two, s.sub(d[3], d[1])));
    t[3] = s.add(c, e);
    t[4] = s.sub(c, e);
    t[5] = s.fma(four, d[1], s.fma(five, d[3], d[5]));
    t
}

/// Products back into output tiles.
#[derive(Clone, Copy)]
pub struct Gather<'a> {
    /// Which tiles there are.
    pub tiling: Tiling,
    /// First tile, and how many.
    pub tiles: [usize; 2],
    /// The matrices: rows of `pitch` values, [`batch_stride`] from each other.
    pub input: Src<'a>,
    /// One value an output channel, whole vectors.
    pub bias: Src<'a>,
    /// The map.
    pub output: Dst<'a>,
    /// Values from a pixel to the next.
    pub pitch: usize,
    /// First vector of a pixel, and how many: the others' products are another thread's.
    pub vectors: [usize; 2],
    /// What is done to the sums on their way there.
    pub epilogue: Epilogue<'a>,
}

impl Kernel for Gather<'_> {
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let [h, w] = self.tiling.output;
        let ([first, count], batch_stride) = (self.tiles, batch_stride(self.tiles[1], self.pitch));
        let values = h * w * self.pitch;
        assert!(self.pitch.is_multiple_of(S::LANES) && first + count <= self.tiling.tiles());
        assert!(self.output.len() >= values && self.bias.len() >= self.pitch);
        assert!((self.vectors[0] + self.vectors[1]) * S::LANES <= self.pitch);
        assert!(self.epilogue.residual.is_none_or(|r| r.len() >= values));
        assert!(self.input.len() >= self.tiling.matrices() * batch_stride);
        for tile in 0..count {
            // SAFETY: the views were just checked for every pixel of the map and every row of a matrix.
            unsafe {
                match self.tiling.tile {
                    Tile::Two => self.tile::<S, 2, 4>(
                        s,
                        first + tile,
                        self.input.ptr().add(tile * self.pitch),
                        batch_stride,
                    ),
                    Tile::Four => self.tile::<S, 4, 6>(
                        s,
                        first + tile,
                        self.input.ptr().add(tile * self.pitch),
                        batch_stride,
                    ),
                }
            }
        }
    }
}

impl Gather<'_> {
    /// # Safety
    /// The tile is one of the tiling's; `from` is readable for a row in each of N² matrices `batch_stride` values apart.
    #[inline(always)]
    unsafe fn tile<S: Simd, const M: usize, const N: usize>(
        &self,
        s: S,
        tile: usize,
        from: *const f32,
        batch_stride: usize,
    ) {
        let t = &self.tiling;
        let [y, x] = [tile / t.columns() * M, tile % t.columns() * M];
        let (rows, columns) = (M.min(t.output[0] - y), M.min(t.output[1] - x));
        let [vector, vectors] = self.vectors;
        for channel in (vector..vector + vectors).map(|vector| vector * S::LANES) {
            let mut half = [[s.splat(0.0); M]; N];
            for i in 0..N {
                let mut row = [s.splat(0.0); N];
                for j in 0..N {
                    // SAFETY: as the caller vouches.
                    row[j] = unsafe { s.load(from.add((i * N + j) * batch_stride + channel)) };
                }
                half[i] = out_of(s, row);
            }
            // SAFETY: the bias has a pixel's values, as `run` checked.
            let bias = unsafe { s.load(self.bias.ptr().add(channel)) };
            for j in 0..columns {
                let mut column = [s.splat(0.0); N];
                for i in 0..N {
                    column[i] = half[i][j];
                }
                let column: [S::V; M] = out_of(s, column);
                for i in 0..rows {
                    let at = ((y + i) * t.output[1] + x + j) * self.pitch + channel;
                    // SAFETY: a pixel of the map.
                    unsafe { self.finish(s, s.add(column[i], bias), at) }
                }
            }
        }
    }

    /// Activation, residual, activation, and the store.
    ///
    /// # Safety
    /// `at` is a vector's place in the output.
    #[inline(always)]
    unsafe fn finish<S: Simd>(&self, s: S, v: S::V, at: usize) {
        let mut v = [[v]];
        // SAFETY: as the caller vouches; the residual is laid out like the output.
        unsafe {
            let to = self.output.ptr().add(at);
            self.apply(s, self.epilogue.activation, &mut v, to);
            if let Some(residual) = self.epilogue.residual {
                v[0][0] = s.add(v[0][0], s.load(residual.ptr().add(at)));
                self.apply(s, self.epilogue.post_activation, &mut v, to);
            }
            s.store(to, v[0][0]);
        }
    }

    /// # Safety
    /// `to` is writable for a vector.
    #[inline(always)]
    unsafe fn apply<S: Simd>(&self, s: S, f: Option<Activation>, v: &mut [[S::V; 1]; 1], to: *mut f32) {
        if !is_transcendental(f) {
            return activate(s, f, v);
        }
        // SAFETY: as the caller vouches.
        unsafe {
            s.store(to, v[0][0]);
            apply_activation_in_place(s, f, &[to], 1);
            v[0][0] = s.load(to);
        }
    }
}

/// `Aᵀ m`.
#[inline(always)]
fn out_of<S: Simd, const M: usize, const N: usize>(s: S, m: [S::V; N]) -> [S::V; M] {
    let mut y = [s.splat(0.0); M];
    if N == 4 {
        y[0] = s.add(s.add(m[0], m[1]), m[2]);
        y[1] = s.sub(s.sub(m[1], m[2]), m[3]);
        return y;
    }
    let (s1, d1) = (s.add(m[1], m[2]), s.sub(m[1], m[2]));
    let (s2, d2) = (s.add(m[3], m[4]), s.sub(m[3], m[4]));
    y[0] = s.add(s.add(m[0], s1), s2);
    y[1] = s.fma(s.splat(2.0), d2, d1);
    y[2] = s.fma(s.splat(4.0), s2, s1);
    y[3] = s.add(s.fma(s.splat(8.0), d2, d1), m[5]);
    y
}
