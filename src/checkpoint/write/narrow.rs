//! Floating values in 16 bits, bit for bit as `tensor.to(dtype)` makes them. In: pieces of whole elements. Out:
//! little-endian float16 or bfloat16. Called by `copy`.
//!
//! Whole-number arithmetic only, so that the bits do not depend on the processor's conversion instructions.
//! float64 goes through float32 and is rounded twice, as in torch (`c10::Half` and `c10::BFloat16` are made from a
//! float). Of NaNs torch keeps sign and leading payload in float16. In bfloat16 its own answer depends on the
//! processor; here it is that of its vector code, which every x86-64 wheel runs on contiguous float32: `0xffff`.

use safetensors::Dtype as S;

use crate::checkpoint::values::Number;

/// A 16-bit floating type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Narrow {
    /// IEEE half precision: 11 significant bits, up to 65504.
    F16,
    /// bfloat16: 8 significant bits, float32's range.
    BF16,
}

impl Narrow {
    pub(super) fn dtype(self) -> S {
        match self {
            Narrow::F16 => S::F16,
            Narrow::BF16 => S::BF16,
        }
    }

    /// Whether values of this type are converted: 16 bits and wider. 8-bit floats stay as they are.
    pub(super) fn takes(number: Number) -> bool {
        matches!(number, Number::F64 | Number::F32 | Number::F16 | Number::BF16)
    }

    /// Appends a piece of whole elements in this type; returns how many finite values became infinite.
    pub(super) fn append(self, number: Number, piece: &[u8], out: &mut Vec<u8>) -> u64 {
        if number == self.number() {
            out.extend_from_slice(piece);
            return 0;
        }
        let mut overflowed = 0;
        for element in piece.chunks_exact(number.size()) {
            let (wide, finite) = match (number, element) {
                (Number::F64, &[a, b, c, d, e, f, g, h]) => {
                    let value = f64::from_le_bytes([a, b, c, d, e, f, g, h]);
                    (f32_of_f64(value), value.is_finite())
                }
                (Number::F16, &[a, b]) => finite(f32_of_f16(u16::from_le_bytes([a, b]))),
                (Number::BF16, &[a, b]) => finite(u32::from(u16::from_le_bytes([a, b])) << 16),
                (_, &[a, b, c, d]) => finite(u32::from_le_bytes([a, b, c, d])),
                _ => continue,
            };
            let (narrow, infinity) = match self {
                Narrow::F16 => (f16_of_f32(wide), 0x7c00),
                // A NaN from float16 goes through torch's scalar code.
                Narrow::BF16 if number == Number::F16 && is_nan(wide) => (0x7fc0, 0x7f80),
                Narrow::BF16 => (bf16_of_f32(wide), 0x7f80),
            };
            overflowed += u64::from(finite && narrow & 0x7fff == infinity);
            out.extend_from_slice(&narrow.to_le_bytes());
        }
        overflowed
    }

    fn number(self) -> Number {
        match self {
            Narrow::F16 => Number::F16,
            Narrow::BF16 => Number::BF16,
        }
    }
}

/// The bits of a float32, and whether they are of a finite value.
fn finite(bits: u32) -> (u32, bool) {
    (bits, bits & 0x7f80_0000 != 0x7f80_0000)
}

fn is_nan(bits: u32) -> bool {
    bits & 0x7fff_ffff > 0x7f80_0000
}

/// The nearest float32's bits; a NaN keeps its sign and the head of its payload, made quiet.
fn f32_of_f64(value: f64) -> u32 {
    if value.is_nan() {
        let bits = value.to_bits();
        return (bits >> 32) as u32 & 0x8000_0000 | 0x7fc0_0000 | (bits >> 29) as u32 & 0x003f_ffff;
    }
    (value as f32).to_bits()
}

/// Exactly the value of a float16, as float32's bits.
fn f32_of_f16(half: u16) -> u32 {
    let sign = u32::from(half & 0x8000) << 16;
    let (exponent, mantissa) = (u32::from(half >> 10 & 0x1f), u32::from(half & 0x03ff));
    sign | match (exponent, mantissa) {
        (0, 0) => 0,
        // Subnormal: the leading bit becomes the implicit one.
        (0, _) => {
            let shift = mantissa.leading_zeros() - 21;
            (113 - shift) << 23 | (mantissa << shift & 0x03ff) << 13
        }
        (0x1f, _) => 0x7f80_0000 | mantissa << 13,
        _ => (exponent + 112) << 23 | mantissa << 13,
    }
}

/// float32's bits rounded to the nearest float16, ties to even.
fn f16_of_f32(bits: u32) -> u16 {
    let sign = (bits >> 16 & 0x8000) as u16;
    let magnitude = bits & 0x7fff_ffff;
    sign | match magnitude {
        0x7f80_0001.. => 0x7e00 | (magnitude >> 13 & 0x03ff) as u16,
        // From half way between 65504 and what would come after it.
        0x477f_f000.. => 0x7c00,
        0x3880_0000.. => {
            let rebiased = magnitude - (112 << 23);
            ((rebiased + 0x0fff + (rebiased >> 13 & 1)) >> 13) as u16
        }
        // Below 2⁻¹⁴, in units of 2⁻²⁴; half a unit and less is zero.
        0x3300_0001.. => {
            let shift = 126 - (magnitude >> 23);
            let significand = magnitude & 0x007f_ffff | 0x0080_0000;
            let half = (1 << (shift - 1)) - 1;
            ((significand + half + (significand >> shift & 1)) >> shift) as u16
        }
        _ => 0,
    }
}

/// float32's bits rounded to the nearest bfloat16, ties to even.
fn bf16_of_f32(bits: u32) -> u16 {
    if is_nan(bits) {
        return 0xffff;
    }
    ((bits + 0x7fff + (bits >> 16 & 1)) >> 16) as u16
}

#[cfg(test)]
mod tests {
    use super::*;

    fn narrowed(narrow: Narrow, value: f32) -> (u16, u64) {
        let mut out = Vec::new();
        let overflowed = narrow.append(Number::F32, &value.to_le_bytes(), &mut out);
        (u16::from_le_bytes([out[0], out[1]]), overflowed)
    }

    fn of(narrow: Narrow, number: Number, bytes: &[u8]) -> u16 {
        let mut out = Vec::new();
        narrow.append(number, bytes, &mut out);
        u16::from_le_bytes([out[0], out[1]])
    }

    /// All magnitudes of a 16-bit type that are finite, by exact value, in order: the definition to round by.
    fn values(narrow: Narrow) -> Vec<f64> {
        match narrow {
            Narrow::F16 => (0..0x7c00u16)
                .map(|h| {
                    let (e, m) = (i32::from(h >> 10), f64::from(h & 0x3ff));
                    if e == 0 { m * 2f64.powi(-24) } else { (1024.0 + m) * 2f64.powi(e - 25) }
                })
                .collect(),
            Narrow::BF16 => (0..0x7f80u32).map(|b| f64::from(f32::from_bits(b << 16))).collect(),
        }
    }

    /// The bits of the nearest value, the even one of two: from the table and comparisons in float64 alone.
    fn nearest(table: &[f64], bits: u32) -> u16 {
        let sign = (bits >> 16 & 0x8000) as u16;
        let value = f64::from(f32::from_bits(bits & 0x7fff_ffff));
        let above = table.partition_point(|&t| t <= value);
        let below = above - 1;
        // What would come after the largest: one step on.
        let next = table.get(above).copied();
        let top = table[table.len() - 1];
        let next = next.unwrap_or(2.0 * top - table[table.len() - 2]);
        // Sums of two neighbours are exact.
        let (twice, middle) = (2.0 * value, table[below] + next);
        let up = twice > middle || (twice == middle && below % 2 == 1);
        sign | (below + usize::from(up)) as u16
    }

    fn agrees(narrow: Narrow, table: &[f64], bits: u32) {
        let expected = match (is_nan(bits), narrow) {
            (true, Narrow::BF16) => 0xffff,
            (true, Narrow::F16) => (bits >> 16 & 0x8000) as u16 | 0x7e00 | (bits >> 13 & 0x3ff) as u16,
            _ => nearest(table, bits),
        };
        let found = match narrow {
            Narrow::F16 => f16_of_f32(bits),
            Narrow::BF16 => bf16_of_f32(bits),
        };
        assert_eq!(found, expected, "{narrow:?} of {bits:08x}");
    }

    #[test]
    fn around_every_value_and_every_tie_the_nearest_is_taken() {
        for narrow in [Narrow::F16, Narrow::BF16] {
            let table = values(narrow);
            for pair in table.windows(2) {
                // Values and ties of both types are float32s.
                for centre in [pair[0], (pair[0] + pair[1]) / 2.0] {
                    let bits = (centre as f32).to_bits();
                    for near in bits.saturating_sub(3)..=bits + 3 {
                        agrees(narrow, &table, near);
                        agrees(narrow, &table, near | 0x8000_0000);
                    }
                }
            }
            for bits in [0x477f_efff, 0x477f_f000, 0x7f7f_7fff, 0x7f7f_8000, 0x7f7f_ffff, 0x7f80_0000] {
                agrees(narrow, &table, bits);
            }
            (0x7f80_0001..0x7f80_0100)
                .chain(0x7fff_ff00..=0x7fff_ffff)
                .for_each(|b| agrees(narrow, &table, b));
        }
    }

    /// Some minutes; run by tests/long.sh.
    #[test]
    #[ignore = "long: all 2³² patterns"]
    fn every_float32_is_rounded_to_the_nearest() {
        for narrow in [Narrow::F16, Narrow::BF16] {
            let table = values(narrow);
            std::thread::scope(|scope| {
                for part in 0..4u32 {
                    let table = &table;
                    scope.spawn(move || {
                        (part << 30..=part << 30 | 0x3fff_ffff).for_each(|b| agrees(narrow, table, b))
                    });
                }
            });
        }
    }

    #[test]
    fn halves_widen_exactly() {
        for half in 0..=u16::MAX {
            let (own, other) = (f32_of_f16(half), half::f16::from_bits(half));
            let same = if other.is_nan() { is_nan(own) } else { own == other.to_f32().to_bits() };
            assert!(same, "{half:04x}");
        }
    }

    /// Expected by torch 2.15: `torch.tensor([x], dtype=torch.float64).to(torch.float16)`, and of float16.
    #[test]
    fn from_float64_torch_rounds_twice_and_between_the_halves_once() {
        let f64s = |narrow, value: f64| of(narrow, Number::F64, &value.to_le_bytes());
        // Just above a tie: float32 drops what is above it, and the tie goes to even.
        assert_eq!(f64s(Narrow::F16, 1.0 + 2f64.powi(-11) + 2f64.powi(-40)), 0x3c00);
        assert_eq!(f64s(Narrow::BF16, 1.0 + 2f64.powi(-8) + 2f64.powi(-40)), 0x3f80);
        assert_eq!(f64s(Narrow::F16, 65_519.999_999_999), 0x7c00);
        assert_eq!(f64s(Narrow::F16, f64::from_bits(0xfff0_2468_a000_0000)), 0xfe09);
        let halves = |narrow, number, bits: u16| of(narrow, number, &bits.to_le_bytes());
        assert_eq!(halves(Narrow::BF16, Number::F16, 0x7c01), 0x7fc0);
        assert_eq!(halves(Narrow::BF16, Number::F16, 0xfc00), 0xff80);
        assert_eq!(halves(Narrow::BF16, Number::F16, 0x3c04), 0x3f80, "1 + 2⁻⁸, a tie");
        assert_eq!(halves(Narrow::F16, Number::BF16, 0x7f81), 0x7e08);
        assert_eq!(halves(Narrow::F16, Number::BF16, 0x4780), 0x7c00, "65536");
        // Nothing happens to values that have the type already.
        assert_eq!(halves(Narrow::F16, Number::F16, 0x7c01), 0x7c01);
        assert_eq!(halves(Narrow::BF16, Number::BF16, 0x7f81), 0x7f81);
    }

    #[test]
    fn ties_go_to_even_and_overflow_is_counted() {
        // Half way between 1 and 1 + 2⁻¹⁰, and between that and the next.
        assert_eq!(narrowed(Narrow::F16, 1.0 + 2f32.powi(-11)), (0x3c00, 0));
        assert_eq!(narrowed(Narrow::F16, 1.0 + 3.0 * 2f32.powi(-11)), (0x3c02, 0));
        assert_eq!(narrowed(Narrow::F16, 65519.0), (0x7bff, 0));
        assert_eq!(narrowed(Narrow::F16, 65520.0), (0x7c00, 1));
        assert_eq!(narrowed(Narrow::F16, f32::INFINITY), (0x7c00, 0));
        assert_eq!(narrowed(Narrow::BF16, 1.0 + 2f32.powi(-8)), (0x3f80, 0));
        assert_eq!(narrowed(Narrow::BF16, f32::MAX), (0x7f80, 1));
        assert_eq!(narrowed(Narrow::F16, -0.0), (0x8000, 0));
        assert_eq!(narrowed(Narrow::F16, 2f32.powi(-24)), (1, 0), "the smallest subnormal");
    }
}
