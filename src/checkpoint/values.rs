//! Elements as numbers: what statistics and comparisons need of a tensor's bytes.

use safetensors::Dtype as S;

use super::dtype::Dtype;

/// How to read elements of a type as numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Number {
    F64,
    F32,
    F16,
    BF16,
    I64,
    U64,
    I32,
    U32,
    I16,
    U16,
    I8,
    U8,
    F8E4M3,
    F8E4M3Fnuz,
    F8E5M2,
    F8E5M2Fnuz,
    F8E8M0,
}

impl Number {
    /// A type's numbers, and how many of them an element has: two for complex types. `None` for types of less
    /// than a byte.
    pub(super) fn parts(dtype: Dtype) -> Option<(Self, usize)> {
        match dtype {
            Dtype::Safe(S::C64) => Some((Number::F32, 2)),
            Dtype::Complex128 => Some((Number::F64, 2)),
            Dtype::Complex32 => Some((Number::F16, 2)),
            other => Some((Number::of(other)?, 1)),
        }
    }

    /// `None` for types whose elements are no plain numbers of whole bytes (complex, 4- and 6-bit floats).
    pub(super) fn of(dtype: Dtype) -> Option<Self> {
        Some(match dtype.safetensors()? {
            S::F64 => Number::F64,
            S::F32 => Number::F32,
            S::F16 => Number::F16,
            S::BF16 => Number::BF16,
            S::I64 => Number::I64,
            S::U64 => Number::U64,
            S::I32 => Number::I32,
            S::U32 => Number::U32,
            S::I16 => Number::I16,
            S::U16 => Number::U16,
            S::I8 => Number::I8,
            S::U8 | S::BOOL => Number::U8,
            S::F8_E4M3 => Number::F8E4M3,
            S::F8_E4M3FNUZ => Number::F8E4M3Fnuz,
            S::F8_E5M2 => Number::F8E5M2,
            S::F8_E5M2FNUZ => Number::F8E5M2Fnuz,
            S::F8_E8M0 => Number::F8E8M0,
            _ => return None,
        })
    }

    /// Bytes of an element.
    pub(super) fn size(self) -> usize {
        match self {
            Number::F64 | Number::I64 | Number::U64 => 8,
            Number::F32 | Number::I32 | Number::U32 => 4,
            Number::F16 | Number::BF16 | Number::I16 | Number::U16 => 2,
            _ => 1,
        }
    }

    /// Whether the first bit is a sign and the others, as a whole number, order the magnitudes.
    fn is_sign_and_magnitude(self) -> bool {
        match self {
            Number::F64 | Number::F32 | Number::F16 | Number::BF16 => true,
            Number::F8E4M3 | Number::F8E4M3Fnuz | Number::F8E5M2 | Number::F8E5M2Fnuz => true,
            Number::I64 | Number::I32 | Number::I16 | Number::I8 => false,
            Number::U64 | Number::U32 | Number::U16 | Number::U8 | Number::F8E8M0 => false,
        }
    }

    /// Little-endian bytes of one element, as a float64; 64-bit integers are rounded to it.
    pub(super) fn value(self, bytes: &[u8]) -> f64 {
        let bits = bits(bytes);
        match self {
            Number::F64 => f64::from_bits(bits),
            Number::F32 => f32::from_bits(bits as u32).into(),
            Number::F16 => half::f16::from_bits(bits as u16).to_f64(),
            Number::BF16 => half::bf16::from_bits(bits as u16).to_f64(),
            Number::I64 => bits as i64 as f64,
            Number::U64 => bits as f64,
            Number::I32 => (bits as i32).into(),
            Number::U32 => (bits as u32).into(),
            Number::I16 => (bits as i16).into(),
            Number::U16 => (bits as u16).into(),
            Number::I8 => (bits as i8).into(),
            Number::U8 => (bits as u8).into(),
            Number::F8E4M3 if bits & 0x7f == 0x7f => f64::NAN,
            Number::F8E5M2 if bits & 0x7f > 0x7c => f64::NAN,
            Number::F8E5M2 if bits & 0x7f == 0x7c => {
                if bits & 0x80 == 0 {
                    f64::INFINITY
                } else {
                    f64::NEG_INFINITY
                }
            }
            Number::F8E4M3Fnuz | Number::F8E5M2Fnuz if bits == 0x80 => f64::NAN,
            Number::F8E4M3 => small(bits, 3, 7),
            Number::F8E4M3Fnuz => small(bits, 3, 8),
            Number::F8E5M2 => small(bits, 2, 15),
            Number::F8E5M2Fnuz => small(bits, 2, 16),
            Number::F8E8M0 if bits == 0xff => f64::NAN,
            Number::F8E8M0 => 2f64.powi(bits as i32 - 127),
        }
    }

    /// The element's place among all values of its type, so that neighbours differ by one: a difference of
    /// places is a distance in units in the last place. Both zeros have one place; NaNs have none.
    pub(super) fn place(self, bytes: &[u8]) -> Option<i128> {
        let raw = bits(bytes);
        let width = 8 * self.size() as u32;
        if self.value(bytes).is_nan() {
            return None;
        }
        if self.is_sign_and_magnitude() {
            let sign = 1_u64 << (width - 1);
            let magnitude = i128::from(raw & (sign - 1));
            return Some(if raw & sign == 0 { magnitude } else { -magnitude });
        }
        Some(match self {
            Number::U64 | Number::U32 | Number::U16 | Number::U8 | Number::F8E8M0 => raw.into(),
            // Sign-extended from its own width.
            _ => i128::from((raw << (64 - width)) as i64 >> (64 - width)),
        })
    }
}

/// A finite 8-bit float of sign, exponent and `mantissa` bits.
fn small(bits: u64, mantissa: u32, bias: i32) -> f64 {
    let fraction = (bits & ((1 << mantissa) - 1)) as f64;
    let exponent = ((bits & 0x7f) >> mantissa) as i32;
    let unit = 2f64.powi(exponent.max(1) - bias - mantissa as i32);
    let implicit = if exponent == 0 { 0.0 } else { f64::from(1u32 << mantissa) };
    let magnitude = (implicit + fraction) * unit;
    if bits & 0x80 == 0 { magnitude } else { -magnitude }
}

/// Up to eight little-endian bytes.
fn bits(bytes: &[u8]) -> u64 {
    bytes.iter().rev().fold(0, |n, &b| (n << 8) | u64::from(b))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbours_are_one_apart() {
        let f = |v: f32| Number::F32.place(&v.to_le_bytes());
        assert_eq!(f(f32::from_bits(1)), Some(1));
        assert_eq!(f(-f32::from_bits(1)), Some(-1));
        assert_eq!((f(0.0), f(-0.0)), (Some(0), Some(0)));
        assert_eq!(f(f32::NAN), None);
        assert_eq!(f(1.0f32.next_up()).unwrap() - f(1.0).unwrap(), 1);
        assert_eq!(Number::I8.place(&[0xff]), Some(-1));
        assert_eq!(Number::I64.place(&i64::MIN.to_le_bytes()), Some(i64::MIN.into()));
        assert_eq!(Number::U64.place(&u64::MAX.to_le_bytes()), Some(u64::MAX.into()));
    }

    /// Expected by torch: `torch.arange(256, dtype=torch.uint8).view(torch.float8_e4m3fn).double()` and the others.
    #[test]
    fn eight_bits_are_what_torch_reads() {
        let value = |number: Number, byte: u8| number.value(&[byte]);
        assert_eq!(
            [0x01, 0x08, 0x38, 0x7e, 0xb8].map(|b| value(Number::F8E4M3, b)),
            [2f64.powi(-9), 2f64.powi(-6), 1.0, 448.0, -1.0]
        );
        assert_eq!(
            [0x01, 0x40, 0x7f, 0xff].map(|b| value(Number::F8E4M3Fnuz, b)),
            [2f64.powi(-10), 1.0, 240.0, -240.0]
        );
        assert_eq!(
            [0x01, 0x3c, 0x7b, 0xfc].map(|b| value(Number::F8E5M2, b)),
            [2f64.powi(-16), 1.0, 57344.0, f64::NEG_INFINITY]
        );
        assert_eq!([0x01, 0x40, 0x7f].map(|b| value(Number::F8E5M2Fnuz, b)), [2f64.powi(-17), 1.0, 57344.0]);
        assert_eq!(
            [0x00, 0x7f, 0xfe].map(|b| value(Number::F8E8M0, b)),
            [2f64.powi(-127), 1.0, 2f64.powi(127)]
        );
        for (number, nan) in [
            (Number::F8E4M3, 0x7f),
            (Number::F8E5M2, 0x7d),
            (Number::F8E4M3Fnuz, 0x80),
            (Number::F8E8M0, 0xff),
        ] {
            assert!(value(number, nan).is_nan());
            assert_eq!(number.place(&[nan]), None);
        }
        assert_eq!(Number::F8E4M3.place(&[0x39]).unwrap() - Number::F8E4M3.place(&[0x38]).unwrap(), 1);
    }

    #[test]
    fn values_are_what_was_written() {
        assert_eq!(Number::BF16.value(&half::bf16::from_f32(1.5).to_le_bytes()), 1.5);
        assert_eq!(Number::F16.value(&half::f16::from_f32(-0.25).to_le_bytes()), -0.25);
        assert_eq!(Number::I16.value(&(-7i16).to_le_bytes()), -7.0);
    }
}
