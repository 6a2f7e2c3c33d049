//! What libjpeg calls: for bytes, with errors, and while it reads scans.

use std::ffi::{c_char, c_int, c_long};
use std::panic::resume_unwind;

use mozjpeg_sys as c;

/// Scans of a progressive file that are decoded at most. Encoders write about ten; without a bound a small
/// file of many empty scans over a large picture takes hours (libjpeg-turbo's own tools offer the same guard).
const MAX_SCANS: c_int = 500;

/// libjpeg's `JMSG_LENGTH_MAX`.
const MESSAGE_LENGTH: usize = 200;

/// What the callbacks unwind with: libjpeg's own words.
pub(super) struct Fatal(pub(super) String);

/// All of a file.
pub(super) fn source(bytes: &[u8]) -> c::jpeg_source_mgr {
    c::jpeg_source_mgr {
        next_input_byte: bytes.as_ptr(),
        bytes_in_buffer: bytes.len(),
        init_source: Some(nothing),
        fill_input_buffer: Some(no_more),
        skip_input_data: Some(skip),
        resync_to_restart: Some(c::jpeg_resync_to_restart),
        term_source: Some(nothing),
    }
}

unsafe extern "C-unwind" fn nothing(_: &mut c::jpeg_decompress_struct) {}

/// There is no more data than the file: suspend.
unsafe extern "C-unwind" fn no_more(_: &mut c::jpeg_decompress_struct) -> c::boolean {
    0
}

unsafe extern "C-unwind" fn skip(cinfo: &mut c::jpeg_decompress_struct, count: c_long) {
    // SAFETY: `src` is the decoder's own source, set in `Decoder::new`.
    let source = unsafe { &mut *cinfo.src };
    let count = usize::try_from(count).unwrap_or(0).min(source.bytes_in_buffer);
    source.bytes_in_buffer -= count;
    // SAFETY: at most the bytes that are left, so within the file or one past its end.
    source.next_input_byte = unsafe { source.next_input_byte.add(count) };
}

/// Warnings and traces: Pillow prints and counts none.
pub(super) unsafe extern "C-unwind" fn ignore(_: &mut c::jpeg_common_struct, _: c_int) {}

/// Called by libjpeg while it reads scans ahead.
pub(super) unsafe extern "C-unwind" fn watch(cinfo: &mut c::jpeg_common_struct) {
    // SAFETY: only decompressors have this monitor, and libjpeg passes the object itself, whose first field
    // is the common one.
    let cinfo = unsafe { &*std::ptr::from_mut(cinfo).cast::<c::jpeg_decompress_struct>() };
    if cinfo.input_scan_number > MAX_SCANS {
        resume_unwind(Box::new(Fatal(format!("more than {MAX_SCANS} scans"))));
    }
}

/// libjpeg's fatal errors; must not return.
pub(super) unsafe extern "C-unwind" fn fatal(cinfo: &mut c::jpeg_common_struct) {
    type Format = unsafe extern "C-unwind" fn(*mut c::jpeg_common_struct, *mut c_char);
    let mut buffer = [0 as c_char; MESSAGE_LENGTH];
    // SAFETY: `err` was set where the object was made.
    if let Some(format) = unsafe { (*cinfo.err).format_message } {
        // SAFETY: the C signature is `(j_common_ptr, char *)` with a buffer of `JMSG_LENGTH_MAX` bytes; the
        // binding's type, a shared reference to 80, is narrower than what C writes.
        unsafe {
            let format = std::mem::transmute::<*const (), Format>(format as *const ());
            format(cinfo, buffer.as_mut_ptr());
        }
    }
    let text: Vec<u8> = buffer.iter().map(|&b| b as u8).take_while(|&b| b != 0).collect();
    resume_unwind(Box::new(Fatal(String::from_utf8_lossy(&text).into_owned())))
}
