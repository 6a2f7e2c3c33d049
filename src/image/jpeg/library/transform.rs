//! The inverse DCT of files whose pixels the library makes: ours instead of the library's C code, by mozjpeg's own way to
//! choose another. Installed where a decompressor is made.

use std::ffi::c_int;
use std::slice;

use mozjpeg_sys as c;

use crate::image::isa::SimdLevel;
use crate::image::jpeg::idct::{self, Block};

/// `jpeg_idct_method` of mozjpeg's `jpeglib.h`.
type Method = unsafe extern "C-unwind" fn(
    *mut c::jpeg_decompress_struct,
    *mut c::jpeg_component_info,
    *mut i16,
    *mut *mut u8,
    c::JDIMENSION,
);

/// `jpeg_idct_method_selector`.
type Selector = unsafe extern "C-unwind" fn(
    *mut c::jpeg_decompress_struct,
    *mut c::jpeg_component_info,
    *mut Method,
    *mut c_int,
);

unsafe extern "C-unwind" {
    // The binding's own declaration takes a compressor.
    fn jpeg_set_idct_method_selector(cinfo: *mut c::jpeg_decompress_struct, selector: Selector);
}

/// Samples of a side of a block.
const SIDE: usize = 8;

/// Has a decompressor use the transform.
///
/// # Safety
/// It has been created, and asks for no scaling: every block is of eight by eight samples.
pub(super) unsafe fn install(cinfo: *mut c::jpeg_decompress_struct) {
    // SAFETY: a live decompressor, as the caller says.
    unsafe { jpeg_set_idct_method_selector(cinfo, choose) }
}

/// Called by libjpeg for each component before a pass; the tables stay those of the accurate integer transform.
unsafe extern "C-unwind" fn choose(
    _: *mut c::jpeg_decompress_struct,
    _: *mut c::jpeg_component_info,
    method: *mut Method,
    _: *mut c_int,
) {
    // SAFETY: libjpeg's own variable.
    unsafe { *method = transform }
}

unsafe extern "C-unwind" fn transform(
    _: *mut c::jpeg_decompress_struct,
    component: *mut c::jpeg_component_info,
    coefficients: *mut i16,
    rows: *mut *mut u8,
    column: c::JDIMENSION,
) {
    // SAFETY: the component is the decompressor's; its table, once there, lives as long. One that is not there yet has no
    // coefficients either. A block is 64 coefficients in rows.
    let (by, block) = unsafe {
        let table = (*component).quant_table;
        let by = if table.is_null() { [0; 64] } else { (*table).quantval };
        (by, &*coefficients.cast_const().cast::<Block>())
    };
    let mut samples = [0; SIDE * SIDE];
    idct::blocks(SimdLevel::best(), slice::from_ref(block), &by, &mut samples, SIDE);
    for (i, from) in samples.chunks_exact(SIDE).enumerate() {
        // SAFETY: libjpeg gives eight rows with room for eight samples from the column on.
        unsafe {
            let to = (*rows.add(i)).add(column as usize);
            to.copy_from_nonoverlapping(from.as_ptr(), SIDE);
        }
    }
}
