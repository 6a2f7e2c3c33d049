//! Element types: safetensors' own, and the few that torch has and safetensors cannot write. Used by every
//! reader (from torch's and numpy's names) and by the writer (to safetensors' names).

use std::fmt;

/// The type of a tensor's elements.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dtype {
    /// One that safetensors writes.
    Safe(safetensors::Dtype),
    /// torch's `complex128`.
    Complex128,
    /// torch's `complex32`.
    Complex32,
    /// torch's `qint8`.
    QInt8,
    /// torch's `quint8`.
    QUInt8,
    /// torch's `qint32`.
    QInt32,
    /// torch's `quint4x2`.
    QUInt4x2,
    /// torch's `quint2x4`.
    QUInt2x4,
    /// One of torch's types without arithmetic (`bits8`, `uint4` …): its name, and the bytes that torch counts an
    /// element as.
    Opaque(&'static str, usize),
}

use safetensors::Dtype as S;

/// torch's dtype name, its legacy storage class, ours.
const TORCH: &[(&str, &str, Dtype)] = &[
    ("float64", "DoubleStorage", Dtype::Safe(S::F64)),
    ("float32", "FloatStorage", Dtype::Safe(S::F32)),
    ("float16", "HalfStorage", Dtype::Safe(S::F16)),
    ("bfloat16", "BFloat16Storage", Dtype::Safe(S::BF16)),
    ("int64", "LongStorage", Dtype::Safe(S::I64)),
    ("int32", "IntStorage", Dtype::Safe(S::I32)),
    ("int16", "ShortStorage", Dtype::Safe(S::I16)),
    ("int8", "CharStorage", Dtype::Safe(S::I8)),
    ("uint8", "ByteStorage", Dtype::Safe(S::U8)),
    ("bool", "BoolStorage", Dtype::Safe(S::BOOL)),
    ("complex64", "ComplexFloatStorage", Dtype::Safe(S::C64)),
    ("complex128", "ComplexDoubleStorage", Dtype::Complex128),
    ("complex32", "", Dtype::Complex32),
    ("uint16", "", Dtype::Safe(S::U16)),
    ("uint32", "", Dtype::Safe(S::U32)),
    ("uint64", "", Dtype::Safe(S::U64)),
    ("float8_e4m3fn", "", Dtype::Safe(S::F8_E4M3)),
    ("float8_e4m3fnuz", "", Dtype::Safe(S::F8_E4M3FNUZ)),
    ("float8_e5m2", "", Dtype::Safe(S::F8_E5M2)),
    ("float8_e5m2fnuz", "", Dtype::Safe(S::F8_E5M2FNUZ)),
    ("float8_e8m0fnu", "", Dtype::Safe(S::F8_E8M0)),
    ("float4_e2m1fn_x2", "", Dtype::Safe(S::F4)),
    ("qint8", "QInt8Storage", Dtype::QInt8),
    ("quint8", "QUInt8Storage", Dtype::QUInt8),
    ("qint32", "QInt32Storage", Dtype::QInt32),
    ("quint4x2", "QUInt4x2Storage", Dtype::QUInt4x2),
    ("quint2x4", "QUInt2x4Storage", Dtype::QUInt2x4),
    ("bits1x8", "", Dtype::Opaque("bits1x8", 1)),
    ("bits2x4", "", Dtype::Opaque("bits2x4", 1)),
    ("bits4x2", "", Dtype::Opaque("bits4x2", 1)),
    ("bits8", "", Dtype::Opaque("bits8", 1)),
    ("bits16", "", Dtype::Opaque("bits16", 2)),
    ("uint1", "", Dtype::Opaque("uint1", 1)),
    ("uint2", "", Dtype::Opaque("uint2", 1)),
    ("uint3", "", Dtype::Opaque("uint3", 1)),
    ("uint4", "", Dtype::Opaque("uint4", 1)),
    ("uint5", "", Dtype::Opaque("uint5", 1)),
    ("uint6", "", Dtype::Opaque("uint6", 1)),
    ("uint7", "", Dtype::Opaque("uint7", 1)),
    ("int1", "", Dtype::Opaque("int1", 1)),
    ("int2", "", Dtype::Opaque("int2", 1)),
    ("int3", "", Dtype::Opaque("int3", 1)),
    ("int4", "", Dtype::Opaque("int4", 1)),
    ("int5", "", Dtype::Opaque("int5", 1)),
    ("int6", "", Dtype::Opaque("int6", 1)),
    ("int7", "", Dtype::Opaque("int7", 1)),
];

/// Every type that safetensors 0.8 knows, for parsing its names.
const SAFE: &[S] = &[
    S::BOOL,
    S::F4,
    S::F6_E2M3,
    S::F6_E3M2,
    S::U8,
    S::I8,
    S::F8_E5M2,
    S::F8_E4M3,
    S::F8_E8M0,
    S::F8_E4M3FNUZ,
    S::F8_E5M2FNUZ,
    S::I16,
    S::U16,
    S::F16,
    S::BF16,
    S::I32,
    S::U32,
    S::F32,
    S::C64,
    S::F64,
    S::I64,
    S::U64,
];

impl Dtype {
    /// By torch's name without `torch.`, aliases (`float`, `half`, `long` …) included.
    pub fn from_torch(name: &str) -> Option<Self> {
        let name = match name {
            "double" => "float64",
            "float" => "float32",
            "half" => "float16",
            "long" => "int64",
            "int" => "int32",
            "short" => "int16",
            "cfloat" => "complex64",
            "cdouble" => "complex128",
            "chalf" => "complex32",
            name => name,
        };
        TORCH.iter().find(|(torch, ..)| *torch == name).map(|&(.., dtype)| dtype)
    }

    /// By the class that torch pickles a typed storage as.
    pub fn from_storage_class(name: &str) -> Option<Self> {
        TORCH.iter().find(|(_, class, _)| !class.is_empty() && *class == name).map(|&(.., dtype)| dtype)
    }

    /// By safetensors' name.
    pub fn from_safetensors(name: &str) -> Option<Self> {
        SAFE.iter().find(|dtype| dtype.to_string() == name).map(|&dtype| Dtype::Safe(dtype))
    }

    /// torch's name without `torch.`, where torch has the type.
    pub fn torch(self) -> Option<&'static str> {
        TORCH.iter().find(|(.., dtype)| *dtype == self).map(|(name, ..)| *name)
    }

    /// The class that torch pickles a storage of this type as; newer types have none.
    pub fn storage_class(self) -> Option<&'static str> {
        let class = TORCH.iter().find(|(.., dtype)| *dtype == self).map(|(_, class, _)| *class);
        class.filter(|class| !class.is_empty())
    }

    /// Bits that one element takes. torch packs `float4_e2m1fn_x2` two to a byte and counts bytes: a shape
    /// read from a `.pth` is already doubled in its last dimension when it carries this type.
    pub fn bits(self) -> usize {
        match self {
            Dtype::Safe(dtype) => dtype.bitsize(),
            Dtype::Complex128 => 128,
            Dtype::Complex32 | Dtype::QInt32 => 32,
            Dtype::Opaque(_, bytes) => 8 * bytes,
            Dtype::QInt8 | Dtype::QUInt8 | Dtype::QUInt4x2 | Dtype::QUInt2x4 => 8,
        }
    }

    /// Bytes of one unit of storage: what a storage counts in. One byte for the packed types.
    pub fn unit(self) -> usize {
        self.bits().div_ceil(8)
    }

    /// Bytes of one number inside an element: half of it for complex types. What byte order is about.
    pub fn word(self) -> usize {
        match self {
            Dtype::Safe(S::C64) | Dtype::Complex128 | Dtype::Complex32 => self.unit() / 2,
            _ => self.unit(),
        }
    }

    /// safetensors' own type, where it has one.
    pub fn safetensors(self) -> Option<S> {
        match self {
            Dtype::Safe(dtype) => Some(dtype),
            _ => None,
        }
    }

    /// Whether values are pairs of real and imaginary part.
    pub fn is_complex(self) -> bool {
        matches!(self, Dtype::Safe(S::C64) | Dtype::Complex128 | Dtype::Complex32)
    }
}

/// safetensors' name, torch's where there is none.
impl fmt::Display for Dtype {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Dtype::Safe(dtype) => f.write_str(&dtype.to_string()),
            other => {
                let name = TORCH.iter().find(|(.., dtype)| dtype == other).map_or("unknown", |(n, ..)| n);
                f.write_str(name)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_round_trip() {
        for dtype in SAFE {
            assert_eq!(Dtype::from_safetensors(&dtype.to_string()), Some(Dtype::Safe(*dtype)));
        }
        assert_eq!(Dtype::from_torch("half"), Dtype::from_storage_class("HalfStorage"));
        assert_eq!(Dtype::Complex128.to_string(), "complex128");
        assert_eq!(Dtype::from_storage_class(""), None);
    }
}
