//! NumPy's `.npy`, version 1.0: a magic, a header that says dtype and shape, then the elements.
//!
//! In: float32 rows. Out: bytes that `numpy.load` reads. Called by `predict --logits` and `features`.
//! Format: `numpy/lib/format.py`.

/// The header of a C-ordered little-endian float32 array, padded so that the data is 64-byte aligned.
pub fn header(shape: &[usize]) -> Vec<u8> {
    let dims: String = shape.iter().map(|d| format!("{d}, ")).collect();
    let dims = match shape.len() {
        // `(3,)`: a tuple of one keeps its comma.
        0 | 1 => dims.trim_end().to_owned(),
        _ => dims.trim_end_matches(", ").to_owned(),
    };
    let mut dict = format!("{{'descr': '<f4', 'fortran_order': False, 'shape': ({dims}), }}");
    let used = MAGIC.len() + 2 + dict.len() + 1;
    dict.extend(std::iter::repeat_n(' ', used.next_multiple_of(64) - used));
    dict.push('\n');
    let mut out = MAGIC.to_vec();
    // At most 32 dimensions of 20 digits: far below 64 KiB.
    out.extend((dict.len() as u16).to_le_bytes());
    out.extend(dict.as_bytes());
    out
}

const MAGIC: &[u8] = b"\x93NUMPY\x01\x00";

/// A whole file.
pub fn float32(shape: &[usize], values: impl IntoIterator<Item = f32>) -> Vec<u8> {
    let mut out = header(shape);
    out.extend(values.into_iter().flat_map(f32::to_le_bytes));
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_header_is_what_numpy_writes() {
        let bytes = float32(&[2, 3], [0.0; 6]);
        assert_eq!(bytes.len(), 128 + 24);
        assert!(bytes.starts_with(
            b"\x93NUMPY\x01\x00\x76\x00{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }"
        ));
        assert_eq!(bytes[127], b'\n');
        assert!(String::from_utf8_lossy(&header(&[5])).contains("'shape': (5,), }"));
        assert!(String::from_utf8_lossy(&header(&[])).contains("'shape': (), }"));
    }
}
