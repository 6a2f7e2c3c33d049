//! From bytes to floats: torchvision's `ToTensor` and `Normalize`, `(level / 255 - mean) / std` with each step
//! rounded to float32, from interleaved pixels to one plane a channel. Called by [`super::Preparer`].
//!
//! There are 256 levels, so the truth is a table of 3 × 256 floats. The vector code computes instead of looking
//! up, dividing by a product with the reciprocal and one correction; that it gives the table's bits is checked
//! for all 768 when it is made, and where it does not, the table is used.

#![allow(unsafe_code)]

use super::isa::SimdLevel;

/// The arithmetic for one mean and deviation.
#[derive(Clone, Debug)]
pub(super) struct Normalizer {
    levels: Box<[[f32; 256]; 3]>,
    #[cfg(all(target_arch = "x86_64", not(feature = "portable")))]
    vector: Option<avx2::Constants>,
}

impl Normalizer {
    /// For means and deviations of red, green and blue.
    pub(super) fn new(mean: [f32; 3], std: [f32; 3], isa: SimdLevel) -> Self {
        let mut levels = Box::new([[0.0; 256]; 3]);
        for ((table, mean), std) in levels.iter_mut().zip(mean).zip(std) {
            for (level, value) in (0u8..=255).zip(table) {
                *value = (f32::from(level) / 255.0 - mean) / std;
            }
        }
        #[cfg(all(target_arch = "x86_64", not(feature = "portable")))]
        let vector = match isa {
            SimdLevel::Avx2(token) => avx2::Constants::new(token, mean, std, &levels),
            SimdLevel::Portable => None,
        };
        #[cfg(not(all(target_arch = "x86_64", not(feature = "portable"))))]
        let SimdLevel::Portable = isa;
        Normalizer {
            levels,
            #[cfg(all(target_arch = "x86_64", not(feature = "portable")))]
            vector,
        }
    }

    /// The floats of one colour.
    pub(super) fn color(&self, color: [u8; 3]) -> [f32; 3] {
        let mut out = [0.0; 3];
        for ((out, table), level) in out.iter_mut().zip(self.levels.iter()).zip(color) {
            *out = table.get(usize::from(level)).copied().unwrap_or_default();
        }
        out
    }

    /// A run of pixels into the same run of each plane. What is longer than the shortest is left out.
    pub(super) fn run(&self, pixels: &[u8], planes: [&mut [f32]; 3]) {
        #[cfg(all(target_arch = "x86_64", not(feature = "portable")))]
        if let Some(vector) = &self.vector {
            let [red, green, blue] = planes;
            let done = vector.run(pixels, [&mut *red, &mut *green, &mut *blue]);
            let rest = |plane| <[f32]>::get_mut(plane, done..).unwrap_or_default();
            let pixels = pixels.get(3 * done..).unwrap_or_default();
            return self.look_up(pixels, [rest(red), rest(green), rest(blue)]);
        }
        self.look_up(pixels, planes);
    }

    fn look_up(&self, pixels: &[u8], planes: [&mut [f32]; 3]) {
        let [red, green, blue] = planes;
        let (pixels, _) = pixels.as_chunks::<3>();
        for (((pixel, r), g), b) in pixels.iter().zip(red).zip(green).zip(blue) {
            [*r, *g, *b] = self.color(*pixel);
        }
    }
}

#[cfg(all(target_arch = "x86_64", not(feature = "portable")))]
mod avx2 {
    use std::arch::x86_64::*;

    use super::super::isa::Avx2;

    /// Means, deviations and reciprocals of the deviations.
    #[derive(Clone, Debug)]
    pub(super) struct Constants {
        mean: [f32; 3],
        std: [f32; 3],
        reciprocal: [f32; 3],
    }

    impl Constants {
        /// `None` when the vector arithmetic gives another bit than the table anywhere.
        pub(super) fn new(_: Avx2, mean: [f32; 3], std: [f32; 3], levels: &[[f32; 256]; 3]) -> Option<Self> {
            let constants = Constants { mean, std, reciprocal: std.map(f32::recip) };
            let every: Vec<u8> = (0u8..=255).flat_map(|level| [level; 3]).collect();
            let mut found = [[0.0; 256]; 3];
            let [red, green, blue] = &mut found;
            constants.run(&every, [red, green, blue]);
            let bits = |tables: &[[f32; 256]; 3]| tables.map(|t| t.map(f32::to_bits));
            (bits(&found) == bits(levels)).then_some(constants)
        }

        /// As many pixels as go in eights; how many those are.
        pub(super) fn run(&self, pixels: &[u8], planes: [&mut [f32]; 3]) -> usize {
            let shortest = planes.iter().map(|p| p.len()).min().unwrap_or(0);
            let count = (pixels.len() / 3).min(shortest) / 8 * 8;
            // SAFETY: made only with the proof that the machine has AVX2 and FMA.
            unsafe { self.eights(pixels, planes, count) }
            count
        }

        #[target_feature(enable = "avx2,fma")]
        fn eights(&self, pixels: &[u8], planes: [&mut [f32]; 3], count: usize) {
            assert!(3 * count <= pixels.len() && planes.iter().all(|p| count <= p.len()));
            let planes = planes.map(<[f32]>::as_mut_ptr);
            // Byte `3 i + channel` of 24: the first six are in the load at 0, the last ones in that at 8.
            let masks: [(__m128i, __m128i); 3] = std::array::from_fn(|channel| {
                let at = |i: usize, base: i8, from: std::ops::Range<i8>| {
                    let byte = (3 * i + channel) as i8;
                    if from.contains(&byte) { byte - base } else { -1 }
                };
                let mask = |base, from: std::ops::Range<i8>| {
                    let [a, b, c, d, e, f, g, h] = std::array::from_fn(|i| at(i, base, from.clone()));
                    _mm_setr_epi8(a, b, c, d, e, f, g, h, -1, -1, -1, -1, -1, -1, -1, -1)
                };
                (mask(0, 0..16), mask(8, 16..24))
            });
            let (all, inverse) = (_mm256_set1_ps(255.0), _mm256_set1_ps(1.0 / 255.0));
            for i in (0..count).step_by(8) {
                // SAFETY: 24 bytes from `3 * i` on are within the first `3 * count`.
                let (low, high) = unsafe {
                    let from = pixels.as_ptr().add(3 * i);
                    (_mm_loadu_si128(from.cast()), _mm_loadu_si128(from.add(8).cast()))
                };
                for channel in 0..3 {
                    let (low_mask, high_mask) = masks[channel];
                    let bytes =
                        _mm_or_si128(_mm_shuffle_epi8(low, low_mask), _mm_shuffle_epi8(high, high_mask));
                    let level = _mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(bytes));
                    let unit = divide(level, all, inverse);
                    let centred = _mm256_sub_ps(unit, _mm256_set1_ps(self.mean[channel]));
                    let std = _mm256_set1_ps(self.std[channel]);
                    let value = divide(centred, std, _mm256_set1_ps(self.reciprocal[channel]));
                    // SAFETY: eight floats from `i` on are within the plane's first `count`.
                    unsafe { _mm256_storeu_ps(planes[channel].add(i), value) }
                }
            }
        }
    }

    /// `a / b` with `b`'s rounded reciprocal: a quotient, its remainder, and the remainder's share added.
    #[target_feature(enable = "avx2,fma")]
    fn divide(a: __m256, b: __m256, reciprocal: __m256) -> __m256 {
        let quotient = _mm256_mul_ps(a, reciprocal);
        let remainder = _mm256_fnmadd_ps(quotient, b, a);
        _mm256_fmadd_ps(remainder, reciprocal, quotient)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The mean and deviation of every model of the index but one kind are among these.
    const USUAL: [([f32; 3], [f32; 3]); 4] = [
        ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]),
        ([0.5; 3], [0.5; 3]),
        ([0.0; 3], [1.0; 3]),
        ([0.485, 0.456, 0.406], [1.0 / (0.0167 * 255.0); 3]),
    ];

    #[test]
    fn every_isa_gives_the_tables_bits() {
        let pixels: Vec<u8> = (0..3 * 1003u32).map(|i| (i.wrapping_mul(2654435761) >> 13) as u8).collect();
        let odd = ([0.3, -7.5, 1e-3], [3e-3, 123.0, -0.7]);
        for (mean, std) in USUAL.into_iter().chain([odd]) {
            for isa in SimdLevel::available() {
                let normalizer = Normalizer::new(mean, std, isa);
                let mut planes = [[0.0; 1003]; 3];
                let [red, green, blue] = &mut planes;
                normalizer.run(&pixels, [red, green, blue]);
                for (i, pixel) in pixels.as_chunks::<3>().0.iter().enumerate() {
                    for channel in 0..3 {
                        let expected = (f32::from(pixel[channel]) / 255.0 - mean[channel]) / std[channel];
                        assert_eq!(planes[channel][i].to_bits(), expected.to_bits(), "{isa:?}");
                    }
                }
            }
        }
    }

    #[test]
    fn usual_settings_need_no_table() {
        #[cfg(all(target_arch = "x86_64", not(feature = "portable")))]
        for isa in SimdLevel::available().into_iter().filter(|isa| *isa != SimdLevel::Portable) {
            for (mean, std) in USUAL {
                assert!(Normalizer::new(mean, std, isa).vector.is_some(), "{mean:?} {std:?}");
            }
        }
    }
}
