//! Tensors as views of storages, and where a storage's bytes are. Filled by the readers, read through
//! [`super::Checkpoint::bytes`] and [`super::Checkpoint::stream`].

use std::borrow::Cow;
use std::io;
use std::sync::OnceLock;

use super::dtype::Dtype;
use super::inflate::Inflated;

/// A tensor: a name, a type, a shape, and where its elements lie.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tensor {
    /// The name, after unwrapping.
    pub name: String,
    /// The type of the elements.
    pub dtype: Dtype,
    /// Dimensions, in elements; empty for a scalar.
    pub shape: Vec<usize>,
    /// Steps between neighbours along each dimension, in units of the storage (an element; a byte for
    /// types packed two to a byte).
    pub strides: Vec<usize>,
    /// The first element, in units from the storage's start.
    pub offset: usize,
    /// The storage, by its index in [`super::Checkpoint::storages`].
    pub storage: usize,
    /// Imaginary parts are to be negated (a lazy `conj()`).
    pub conj: bool,
    /// Values are to be negated (a lazy `imag` of a conjugate).
    pub neg: bool,
}

impl Tensor {
    /// Elements in all. Checked to fit when the tensor was read.
    pub fn elements(&self) -> usize {
        self.shape.iter().product()
    }

    /// Bytes of the contiguous form.
    pub fn nbytes(&self) -> usize {
        self.extents().iter().product::<usize>() * self.dtype.unit()
    }

    /// Dimensions in units of the storage: the shape, with the last one halved for types packed two to a
    /// byte; for types whose elements cross bytes (6 bits) the bytes of the whole, in one dimension.
    pub fn extents(&self) -> Cow<'_, [usize]> {
        let bits = self.dtype.bits().max(1);
        if bits < 8 && 8 % bits != 0 {
            return Cow::Owned(vec![(self.elements() * bits).div_ceil(8)]);
        }
        let packed = self.dtype.unit() * 8 / bits;
        match self.shape.split_last() {
            Some((last, rest)) if packed > 1 => {
                let mut extents = rest.to_vec();
                extents.push(last.div_ceil(packed));
                Cow::Owned(extents)
            }
            _ => Cow::Borrowed(&self.shape),
        }
    }

    /// Whether the elements lie in row-major order without gaps.
    pub fn is_contiguous(&self) -> bool {
        let extents = self.extents();
        if extents.contains(&0) {
            return true;
        }
        let mut expected = 1;
        for (&extent, &stride) in extents.iter().zip(&self.strides).rev() {
            if extent != 1 && stride != expected {
                return false;
            }
            expected *= extent;
        }
        true
    }

    /// Checks everything a file can forge: as many strides as dimensions, no overflow, no element outside
    /// of a storage of `units` units. Shape, strides and offset are in units here.
    pub(super) fn check(
        extents: &[usize],
        strides: &[usize],
        offset: usize,
        unit: usize,
        units: usize,
    ) -> Result<(), String> {
        const DIMENSIONS: usize = 64;
        if extents.len() != strides.len() {
            return Err(format!("{} dimensions but {} strides", extents.len(), strides.len()));
        }
        if extents.len() > DIMENSIONS {
            return Err(format!("{} dimensions, where torch allows {DIMENSIONS}", extents.len()));
        }
        let overflow = || format!("shape {extents:?} with strides {strides:?} overflows");
        let nonzero = extents.iter().filter(|&&e| e > 0).try_fold(unit, |n, &e| n.checked_mul(e));
        if nonzero.is_none_or(|n| n > isize::MAX as usize) {
            return Err(overflow());
        }
        if extents.contains(&0) {
            return Ok(());
        }
        let mut last = offset;
        for (&extent, &stride) in extents.iter().zip(strides) {
            let reach = (extent - 1).checked_mul(stride).ok_or_else(overflow)?;
            last = last.checked_add(reach).ok_or_else(overflow)?;
        }
        if last >= units {
            return Err(format!(
                "shape {extents:?}, strides {strides:?}, offset {offset} reach element {last} of a storage of {units}"
            ));
        }
        Ok(())
    }
}

/// Row-major strides of a shape.
pub(super) fn contiguous_strides(extents: &[usize]) -> Vec<usize> {
    let mut strides = vec![1usize; extents.len()];
    let mut step = 1usize;
    for (stride, &extent) in strides.iter_mut().zip(extents).rev() {
        *stride = step;
        step = step.saturating_mul(extent.max(1));
    }
    strides
}

/// The most tensors, storages, or members of an archive in one checkpoint. The largest public ones have some
/// ten thousand; what is kept of each is a few hundred bytes.
pub(super) const MAX_TENSORS: usize = 1 << 18;

/// A run of bytes that tensors are views of.
#[derive(Debug)]
pub struct Storage {
    /// Bytes.
    pub len: u64,
    /// The byte order is not little-endian: numbers of this many bytes are to be turned round.
    pub swap: Option<usize>,
    /// The CRC-32 that an archive claims for it, where there is one.
    pub crc: Option<u32>,
    pub(super) at: At,
}

/// Where a storage's bytes are.
#[derive(Debug)]
pub(super) enum At {
    /// In a file of the checkpoint, as they are.
    File { file: usize, start: u64 },
    /// In memory: decoded from text, or of a tiny array.
    Memory(std::sync::Arc<[u8]>),
    /// Deflated in an archive; inflated when first needed and then kept ([`super::inflate`]).
    Deflated {
        file: usize,
        start: u64,
        compressed: u64,
        crc: u32,
        member: String,
        inflated: OnceLock<Inflated>,
    },
    /// Named, and not placed yet. No finished checkpoint has one.
    Pending,
}

impl Storage {
    /// The range of a file where the bytes lie as they are: which file, first byte.
    pub fn in_file(&self) -> Option<(usize, u64)> {
        match self.at {
            At::File { file, start } if self.swap.is_none() => Some((file, start)),
            _ => None,
        }
    }
}

/// Visits a strided view as runs of units that lie next to each other: `visit(first, count)` in row-major
/// order.
pub(super) fn runs(
    extents: &[usize],
    strides: &[usize],
    offset: usize,
    mut visit: impl FnMut(usize, usize) -> io::Result<()>,
) -> io::Result<()> {
    if extents.contains(&0) {
        return Ok(());
    }
    // The longest tail of dimensions that is one run.
    let (mut outer, mut run) = (extents.len(), 1);
    while let Some(last) = outer.checked_sub(1) {
        let (Some(&extent), Some(&stride)) = (extents.get(last), strides.get(last)) else { break };
        if extent != 1 && stride != run {
            break;
        }
        run *= extent;
        outer = last;
    }
    let extents = extents.get(..outer).unwrap_or_default();
    let strides = strides.get(..outer).unwrap_or_default();
    let mut index = vec![0usize; outer];
    let mut at = offset;
    loop {
        visit(at, run)?;
        let mut dimension = outer;
        loop {
            let Some(next) = dimension.checked_sub(1) else { return Ok(()) };
            dimension = next;
            let (Some(i), Some(&extent), Some(&stride)) =
                (index.get_mut(next), extents.get(next), strides.get(next))
            else {
                return Ok(());
            };
            *i += 1;
            at += stride;
            if *i < extent {
                break;
            }
            at -= stride * extent;
            *i = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tensor(shape: &[usize], strides: &[usize]) -> Tensor {
        Tensor {
            name: "t".into(),
            dtype: Dtype::Safe(safetensors::Dtype::F32),
            shape: shape.into(),
            strides: strides.into(),
            offset: 0,
            storage: 0,
            conj: false,
            neg: false,
        }
    }

    #[test]
    fn contiguity_ignores_dimensions_of_one_and_empty_tensors() {
        assert!(tensor(&[2, 3], &[3, 1]).is_contiguous());
        assert!(tensor(&[2, 1, 3], &[3, 77, 1]).is_contiguous());
        assert!(tensor(&[0, 3], &[9, 9]).is_contiguous());
        assert!(!tensor(&[3, 2], &[1, 3]).is_contiguous());
    }

    #[test]
    fn a_view_may_not_leave_its_storage_nor_overflow() {
        assert!(Tensor::check(&[2, 3], &[3, 1], 0, 4, 6).is_ok());
        assert!(Tensor::check(&[2, 3], &[3, 1], 1, 4, 6).is_err());
        assert!(Tensor::check(&[2, 3], &[3], 0, 4, 6).is_err());
        assert!(Tensor::check(&[usize::MAX, 2], &[0, 0], 0, 4, 6).is_err());
        assert!(Tensor::check(&[0, usize::MAX, usize::MAX], &[1, 1, 1], 0, 4, 0).is_err());
        assert!(Tensor::check(&[2, 2], &[usize::MAX, 1], 0, 4, 6).is_err());
        assert!(Tensor::check(&[], &[], 6, 4, 6).is_err());
    }

    #[test]
    fn runs_cover_a_transpose_element_by_element() {
        let all = |extents: &[usize], strides: &[usize], offset| {
            let mut seen = Vec::new();
            let visit = |at, count| {
                seen.push((at, count));
                Ok(())
            };
            runs(extents, strides, offset, visit).unwrap();
            seen
        };
        assert_eq!(all(&[3, 2], &[1, 3], 0), [(0, 1), (3, 1), (1, 1), (4, 1), (2, 1), (5, 1)]);
        assert_eq!(all(&[2, 2, 3], &[100, 3, 1], 5), [(5, 6), (105, 6)]);
        assert_eq!(all(&[], &[], 7), [(7, 1)]);
    }
}
