//! Floating values in half the bytes: rounded to nearest, ties to even, as `tensor.to(dtype)` does.

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

    /// Appends a piece of whole elements in this type; returns how many finite values became infinite.
    pub(super) fn append(self, number: Number, piece: &[u8], out: &mut Vec<u8>) -> u64 {
        let mut overflowed = 0;
        for element in piece.chunks_exact(number.size()) {
            let value = number.value(element);
            let (bits, infinite) = match self {
                Narrow::F16 => {
                    let narrow = half::f16::from_f64(value);
                    (narrow.to_bits(), narrow.is_infinite())
                }
                Narrow::BF16 => {
                    let narrow = half::bf16::from_f64(value);
                    (narrow.to_bits(), narrow.is_infinite())
                }
            };
            overflowed += u64::from(infinite && value.is_finite());
            out.extend_from_slice(&bits.to_le_bytes());
        }
        overflowed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn narrowed(narrow: Narrow, value: f32) -> (u16, u64) {
        let mut out = Vec::new();
        let overflowed = narrow.append(Number::F32, &value.to_le_bytes(), &mut out);
        (u16::from_le_bytes([out[0], out[1]]), overflowed)
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
