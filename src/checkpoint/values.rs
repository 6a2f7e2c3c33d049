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
}

impl Number {
    /// `None` for types whose elements are no plain numbers of whole bytes (complex, 8-bit floats …).
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
            _ => return None,
        })
    }

    /// Bytes of an element.
    pub(super) fn size(self) -> usize {
        match self {
            Number::F64 | Number::I64 | Number::U64 => 8,
            Number::F32 | Number::I32 | Number::U32 => 4,
            Number::F16 | Number::BF16 | Number::I16 | Number::U16 => 2,
            Number::I8 | Number::U8 => 1,
        }
    }

    pub(super) fn is_float(self) -> bool {
        matches!(self, Number::F64 | Number::F32 | Number::F16 | Number::BF16)
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
        }
    }

    /// The element's place among all values of its type, so that neighbours differ by one: a difference of
    /// places is a distance in units in the last place. Both zeros have one place; NaNs have none.
    pub(super) fn place(self, bytes: &[u8]) -> Option<i128> {
        let raw = bits(bytes);
        let width = 8 * self.size() as u32;
        if self.is_float() {
            if self.value(bytes).is_nan() {
                return None;
            }
            let sign = 1_u64 << (width - 1);
            let magnitude = i128::from(raw & (sign - 1));
            return Some(if raw & sign == 0 { magnitude } else { -magnitude });
        }
        Some(match self {
            Number::U64 | Number::U32 | Number::U16 | Number::U8 => raw.into(),
            // Sign-extended from its own width.
            _ => i128::from((raw << (64 - width)) as i64 >> (64 - width)),
        })
    }
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

    #[test]
    fn values_are_what_was_written() {
        assert_eq!(Number::BF16.value(&half::bf16::from_f32(1.5).to_le_bytes()), 1.5);
        assert_eq!(Number::F16.value(&half::f16::from_f32(-0.25).to_le_bytes()), -0.25);
        assert_eq!(Number::I16.value(&(-7i16).to_le_bytes()), -7.0);
    }
}
