//! The two passes of the resize with AVX2, equal to `scalar` in every bit. Called by the dispatch in `mod`.
//!
//! A sum is exact in 32-bit integers, wherever it is split: each 23-bit weight is two 16-bit factors
//! ([`Pair`]), and `vpmaddwd` multiplies two pixels by two of them and adds. That is two multiplications for
//! two taps of eight sums, where `vpmulld` would need as many of the slower kind and four times the unpacking.

#![allow(unsafe_code)]

use std::arch::x86_64::*;
use std::ops::Range;

use super::super::isa::Avx2;
use super::Plane;
use super::scalar::HALF;
use super::taps::{FilterTaps, LOW_BITS, PRECISION_BITS, Pair};

impl Avx2 {
    /// As [`super::scalar::horizontal`]. `spare` holds rows that have no bytes to read beyond them.
    pub(super) fn horizontal(
        self,
        source: Plane<'_>,
        rows: Range<usize>,
        weights: &FilterTaps,
        spare: &mut Vec<u8>,
        out: &mut [u8],
    ) {
        let stride = 3 * weights.len();
        if stride == 0 || out.len() != stride * rows.len() {
            return;
        }
        // What a row must have, from the plane's first column on: four pixels are read as sixteen bytes.
        let needed = 3 * (weights.padded_end() - source.left) + 4;
        for (group, block) in out.chunks_mut(ROWS * stride).enumerate() {
            let y = rows.start + group * ROWS;
            let count = block.len() / stride;
            // A last group of fewer rows does its last row more than once.
            let row = |i: usize| (y + i.min(count - 1), i.min(count - 1) * stride);
            let tails: [&[u8]; ROWS] = std::array::from_fn(|i| source.starting_at(source.left, row(i).0));
            let targets: [usize; ROWS] = std::array::from_fn(|i| row(i).1);
            if tails.iter().all(|tail| tail.len() >= needed) {
                // SAFETY: the token says that the machine has the features.
                unsafe { horizontal_rows(tails, needed, source.left, weights, block, targets) }
                continue;
            }
            spare.clear();
            spare.resize(ROWS * needed, 0);
            for (copy, tail) in spare.chunks_exact_mut(needed).zip(tails) {
                for (to, from) in copy.iter_mut().zip(tail) {
                    *to = *from;
                }
            }
            let copies: [&[u8]; ROWS] =
                std::array::from_fn(|i| spare.get(i * needed..(i + 1) * needed).unwrap_or_default());
            // SAFETY: as above.
            unsafe { horizontal_rows(copies, needed, source.left, weights, block, targets) }
        }
    }

    /// As [`super::scalar::vertical`].
    pub(super) fn vertical(
        self,
        source: Plane<'_>,
        columns: Range<usize>,
        weights: &FilterTaps,
        out: &mut [u8],
    ) {
        let length = 3 * columns.len();
        if length < 16 {
            return super::scalar::vertical(source, columns, weights, out);
        }
        for ((first, count, pairs), to) in weights.paired().zip(out.chunks_exact_mut(length)) {
            let rows = source.starting_at(columns.start, first);
            // SAFETY: the token says that the machine has the features.
            unsafe { vertical_row(rows, 3 * source.width, count, pairs, to) }
        }
    }
}

/// Rows that the horizontal pass does at a time: two a register, two registers.
const ROWS: usize = 4;

/// Does the outputs of four rows. `rows` begin at the plane's first column `left` and have at least `needed`
/// bytes, where `needed >= 3 * (weights.padded_end() - left) + 4`; `targets` are where their outputs begin in
/// `out`.
#[target_feature(enable = "avx2,fma")]
fn horizontal_rows(
    rows: [&[u8]; ROWS],
    needed: usize,
    left: usize,
    weights: &FilterTaps,
    out: &mut [u8],
    targets: [usize; ROWS],
) {
    let outputs = weights.len();
    assert!(rows.iter().all(|row| row.len() >= needed));
    assert!(targets.iter().all(|&at| at + 3 * outputs <= out.len()));
    let [row0, row1, row2, row3] = rows.map(<[u8]>::as_ptr);
    // Sixteen bytes of two rows, from byte `at` on.
    let load = |a: *const u8, b: *const u8, at: usize| {
        // SAFETY: `at + 16 <= needed` for every `at` below, and each row has that many bytes.
        unsafe {
            let a = _mm_loadu_si128(a.add(at).cast());
            let b = _mm_loadu_si128(b.add(at).cast());
            _mm256_inserti128_si256::<1>(_mm256_castsi128_si256(a), b)
        }
    };
    let (first_two, last_two) = (pixel_pairs(0), pixel_pairs(6));
    let zero = _mm256_setzero_si256();
    for (i, (first, _, pairs)) in weights.paired().enumerate() {
        let mut at = 3 * (first - left);
        let (mut high_a, mut low_a, mut high_b, mut low_b) = (zero, zero, zero, zero);
        for four in pairs.as_chunks::<2>().0 {
            let (a, b) = (load(row0, row1, at), load(row2, row3, at));
            for (pair, mask) in four.iter().zip([first_two, last_two]) {
                let (high, low) = factors(pair);
                let (a, b) = (_mm256_shuffle_epi8(a, mask), _mm256_shuffle_epi8(b, mask));
                high_a = _mm256_add_epi32(high_a, _mm256_madd_epi16(a, high));
                low_a = _mm256_add_epi32(low_a, _mm256_madd_epi16(a, low));
                high_b = _mm256_add_epi32(high_b, _mm256_madd_epi16(b, high));
                low_b = _mm256_add_epi32(low_b, _mm256_madd_epi16(b, low));
            }
            at += 12;
        }
        let words = _mm256_packs_epi32(rounded(high_a, low_a), rounded(high_b, low_b));
        let bytes = _mm256_packus_epi16(words, words);
        // Lane 0 has rows 0 and 2, lane 1 rows 1 and 3, as red, green, blue, 0.
        let even = _mm_cvtsi128_si64(_mm256_castsi256_si128(bytes)) as u64;
        let odd = _mm_cvtsi128_si64(_mm256_extracti128_si256::<1>(bytes)) as u64;
        let pixels = [even as u32, odd as u32, (even >> 32) as u32, (odd >> 32) as u32];
        for (pixel, target) in pixels.into_iter().zip(targets) {
            let at = target + 3 * i;
            if i + 1 < outputs {
                // SAFETY: another pixel of the row follows, so `at + 4 <= target + 3 * outputs`, which is
                // within `out`; that pixel overwrites the fourth byte.
                unsafe { out.as_mut_ptr().add(at).cast::<u32>().write_unaligned(pixel) }
            } else if let Some(to) = out.get_mut(at..at + 3) {
                let [r, g, b, _] = pixel.to_le_bytes();
                to.copy_from_slice(&[r, g, b]);
            }
        }
    }
}

/// The shuffle that takes the two pixels at byte `from` apart: red, red, green, green, blue, blue, 0, 0 as
/// 16-bit numbers, in both lanes.
#[target_feature(enable = "avx2")]
fn pixel_pairs(from: i8) -> __m256i {
    let z = -1;
    let [r, g, b] = [from, from + 1, from + 2];
    let mask = _mm_setr_epi8(r, z, r + 3, z, g, z, g + 3, z, b, z, b + 3, z, z, z, z, z);
    _mm256_broadcastsi128_si256(mask)
}

/// A pair's high and low factors in every 32 bits.
#[target_feature(enable = "avx2")]
fn factors(pair: &Pair) -> (__m256i, __m256i) {
    let [h0, h1, l0, l1] = pair.map(|v| i32::from(v as u16));
    (_mm256_set1_epi32(h0 | h1 << 16), _mm256_set1_epi32(l0 | l1 << 16))
}

/// From the two partial sums to the rounded value, not yet clipped.
#[target_feature(enable = "avx2")]
fn rounded(high: __m256i, low: __m256i) -> __m256i {
    let sum = _mm256_add_epi32(_mm256_slli_epi32::<{ LOW_BITS as i32 }>(high), low);
    _mm256_srai_epi32::<{ PRECISION_BITS as i32 }>(_mm256_add_epi32(sum, _mm256_set1_epi32(HALF)))
}

/// One output row of at least sixteen bytes from `count` input rows, which begin `stride` bytes apart in
/// `rows`.
#[target_feature(enable = "avx2,fma")]
fn vertical_row(rows: &[u8], stride: usize, count: usize, pairs: &[Pair], to: &mut [u8]) {
    let length = to.len();
    assert!(length >= 16 && count >= 1 && (count - 1) * stride + length <= rows.len());
    let mut at = 0;
    while at + 32 <= length {
        vertical_block::<2>(rows, stride, count, pairs, to, at);
        at += 32;
    }
    while at < length {
        // The last block overlaps what is done already.
        let from = at.min(length - 16);
        vertical_block::<1>(rows, stride, count, pairs, to, from);
        at = from + 16;
    }
}

/// `N` times sixteen outputs from byte `at` on.
#[target_feature(enable = "avx2,fma")]
fn vertical_block<const N: usize>(
    rows: &[u8],
    stride: usize,
    count: usize,
    pairs: &[Pair],
    to: &mut [u8],
    at: usize,
) {
    assert!(at + 16 * N <= to.len());
    let zero = _mm256_setzero_si256();
    let (mut high, mut low) = ([[zero; 2]; N], [[zero; 2]; N]);
    for (i, pair) in pairs.iter().enumerate().take(count.div_ceil(2)) {
        let (high_factor, low_factor) = factors(pair);
        // The second of the last pair may be only padding: its weight is zero, so any row will do.
        let (a, b) = (2 * i, (2 * i + 1).min(count - 1));
        for n in 0..N {
            let load = |row: usize| {
                // SAFETY: checked by the caller, `vertical_row`: `rows` has `count` rows of `to.len()` bytes,
                // `stride` apart; `row < count`, and `at + 16 * N <= to.len()`.
                unsafe { _mm_loadu_si128(rows.as_ptr().add(row * stride + at + 16 * n).cast()) }
            };
            let (a, b) = (load(a), load(b));
            let halves = [_mm_unpacklo_epi8(a, b), _mm_unpackhi_epi8(a, b)];
            for (half, (high, low)) in halves.into_iter().zip(high[n].iter_mut().zip(&mut low[n])) {
                let words = _mm256_cvtepu8_epi16(half);
                *high = _mm256_add_epi32(*high, _mm256_madd_epi16(words, high_factor));
                *low = _mm256_add_epi32(*low, _mm256_madd_epi16(words, low_factor));
            }
        }
    }
    for n in 0..N {
        let words = _mm256_packs_epi32(rounded(high[n][0], low[n][0]), rounded(high[n][1], low[n][1]));
        let words = _mm256_permute4x64_epi64::<0b11_01_10_00>(words);
        let bytes = _mm_packus_epi16(_mm256_castsi256_si128(words), _mm256_extracti128_si256::<1>(words));
        // SAFETY: checked at the top: sixteen bytes from `at + 16 * n` on are within `to`.
        unsafe { _mm_storeu_si128(to.as_mut_ptr().add(at + 16 * n).cast(), bytes) }
    }
}
