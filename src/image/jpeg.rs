//! JPEG to RGB, bit for bit as Pillow: libjpeg-turbo's decoder (as kept in mozjpeg) with Pillow's settings
//! (`JpegDecode.c`): the accurate integer inverse DCT, fancy upsampling, libjpeg's own guess of the colour
//! space, CMYK taken as Adobe writes it (inverted). Called by [`super::decode`] only.
//!
//! The one file that talks to the C library. libjpeg reports a fatal error by a callback that must not
//! return; ours unwinds (the library is compiled with unwind tables) and is caught in [`decode`]. The data
//! source is Pillow's suspending one over the whole file: what would need more bytes is `Truncated`.

#![allow(unsafe_code)]

use std::ffi::{c_char, c_int, c_long};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::ptr;

use mozjpeg_sys as c;

use super::Error;
use super::rgb::{Rgb, check_size};

const FORMAT: &str = "JPEG";

/// Scans of a progressive file that are decoded at most. Encoders write about ten; without a bound a small
/// file of many empty scans over a large picture takes hours (libjpeg-turbo's own tools offer the same guard).
const MAX_SCANS: c_int = 500;

/// What libjpeg may allocate at most, mostly the coefficients of a progressive file (6 bytes a pixel at
/// [`super::MAX_PIXELS`]); more is its error `backing store not supported`.
const MAX_MEMORY: c_long = 1 << 31;

/// libjpeg's `JMSG_LENGTH_MAX`.
const MESSAGE_LENGTH: usize = 200;

/// What the error callbacks unwind with.
struct Fatal(String);

/// Decodes a whole file into `buffer`, whatever that held.
///
/// # Errors
/// [`Error::Truncated`], [`Error::Corrupt`], [`Error::Unsupported`] (12-bit, lossless, two components …),
/// [`Error::TooLarge`].
pub(super) fn decode(bytes: &[u8], buffer: Vec<u8>) -> Result<Rgb, Error> {
    // Nothing outlives an unwinding but the decoder, whose drop frees what libjpeg allocated.
    match catch_unwind(AssertUnwindSafe(|| Decoder::new(bytes).decode(buffer))) {
        Ok(result) => result,
        Err(payload) => match payload.downcast::<Fatal>() {
            Ok(fatal) => Err(Error::Corrupt { format: FORMAT, message: fatal.0 }),
            Err(other) => resume_unwind(other),
        },
    }
}

/// libjpeg's objects, which point at each other and so must not move: they live in boxes.
struct Decoder<'a> {
    cinfo: Box<c::jpeg_decompress_struct>,
    _error: Box<c::jpeg_error_mgr>,
    _source: Box<c::jpeg_source_mgr>,
    _progress: Box<c::jpeg_progress_mgr>,
    _bytes: &'a [u8],
}

impl Drop for Decoder<'_> {
    fn drop(&mut self) {
        // SAFETY: `cinfo` was zeroed at first, which this call takes for 'nothing allocated', and then only
        // changed by libjpeg.
        unsafe { c::jpeg_destroy_decompress(&mut self.cinfo) }
    }
}

impl<'a> Decoder<'a> {
    fn new(bytes: &'a [u8]) -> Self {
        // SAFETY: all four are plain C structs of integers, pointers and nullable function pointers, for
        // which zeros are valid and mean 'none'.
        let (cinfo, error, progress): (c::jpeg_decompress_struct, c::jpeg_error_mgr, c::jpeg_progress_mgr) =
            unsafe { (std::mem::zeroed(), std::mem::zeroed(), std::mem::zeroed()) };
        let source = c::jpeg_source_mgr {
            next_input_byte: bytes.as_ptr(),
            bytes_in_buffer: bytes.len(),
            init_source: Some(nothing),
            fill_input_buffer: Some(no_more),
            skip_input_data: Some(skip),
            resync_to_restart: Some(c::jpeg_resync_to_restart),
            term_source: Some(nothing),
        };
        let mut decoder = Decoder {
            cinfo: Box::new(cinfo),
            _error: Box::new(error),
            _source: Box::new(source),
            _progress: Box::new(progress),
            _bytes: bytes,
        };
        // SAFETY: the boxes stay where they are until `drop`, after libjpeg's last use of them; the version
        // and size that `jpeg_create_decompress` passes are those the library was built with.
        unsafe {
            c::jpeg_std_error(&mut decoder._error);
            decoder._error.error_exit = Some(fatal);
            decoder._error.emit_message = Some(ignore);
            decoder._progress.progress_monitor = Some(watch);
            decoder.cinfo.common.err = ptr::from_mut(&mut *decoder._error);
            c::jpeg_create_decompress(&mut *decoder.cinfo);
            decoder.cinfo.common.progress = ptr::from_mut(&mut *decoder._progress);
            decoder.cinfo.src = ptr::from_mut(&mut *decoder._source);
            (*decoder.cinfo.common.mem).max_memory_to_use = MAX_MEMORY;
        }
        decoder
    }

    fn decode(mut self, mut pixels: Vec<u8>) -> Result<Rgb, Error> {
        let truncated = |place: String| Error::Truncated { format: FORMAT, place };
        loop {
            // SAFETY: a live decompressor with a source.
            match unsafe { c::jpeg_read_header(&mut self.cinfo, 0) } {
                JPEG_SUSPENDED => return Err(truncated("in its header".into())),
                JPEG_HEADER_OK => break,
                // Tables only: the picture follows. Each turn consumes bytes, so it ends.
                _ => {}
            }
        }
        let (width, height) =
            check_size(FORMAT, self.cinfo.image_width.into(), self.cinfo.image_height.into())?;
        let channels = match self.cinfo.num_components {
            1 | 3 => {
                self.cinfo.out_color_space = c::J_COLOR_SPACE::JCS_RGB;
                3
            }
            4 => {
                self.cinfo.out_color_space = c::J_COLOR_SPACE::JCS_CMYK;
                4
            }
            n => return Err(Error::Unsupported { format: FORMAT, what: format!("{n} components") }),
        };
        self.cinfo.dct_method = c::J_DCT_METHOD::JDCT_ISLOW;
        self.cinfo.do_fancy_upsampling = 1;
        self.cinfo.do_block_smoothing = 1;
        // SAFETY: the header has been read.
        if unsafe { c::jpeg_start_decompress(&mut self.cinfo) } == 0 {
            return Err(truncated("before its first row".into()));
        }
        let stride = width * channels;
        pixels.resize(stride * height, 0);
        let mut row = 0;
        while let Some(rest) = pixels.get_mut(row * stride..).filter(|r| !r.is_empty()) {
            let mut rows = [ptr::null_mut(); ROWS];
            let mut lines = 0;
            for (pointer, line) in rows.iter_mut().zip(rest.chunks_exact_mut(stride)) {
                *pointer = line.as_mut_ptr();
                lines += 1;
            }
            // SAFETY: `lines` pointers to disjoint rows of `output_width * output_components` bytes each:
            // no scaling is asked for, so `output_width` is `image_width`, and the colour space set above
            // has `channels` components.
            let read = unsafe { c::jpeg_read_scanlines(&mut self.cinfo, rows.as_mut_ptr(), lines) };
            if read == 0 {
                return Err(truncated(format!("before row {row} of {height}")));
            }
            row += read as usize;
        }
        // Pillow looks for the end of the image too: a broken marker there fails, a missing one does not.
        // SAFETY: all rows have been read.
        unsafe { c::jpeg_finish_decompress(&mut self.cinfo) };
        if channels == 4 {
            pixels = rgb_of_inverted_cmyk(&pixels);
        }
        Rgb::new(width, height, pixels)
            .ok_or(Error::Corrupt { format: FORMAT, message: "rows of another length".into() })
    }
}

const JPEG_SUSPENDED: c_int = 0;
const JPEG_HEADER_OK: c_int = 1;

/// Rows asked for at once: libjpeg gives up to the sampling factor (at most 4).
const ROWS: usize = 4;

/// Pillow's `CMYK;I` unpacker, then its `cmyk2rgb`.
fn rgb_of_inverted_cmyk(cmyk: &[u8]) -> Vec<u8> {
    let (pixels, _) = cmyk.as_chunks::<4>();
    pixels
        .iter()
        .flat_map(|&[c, m, y, k]| {
            let white = u32::from(k);
            [c, m, y].map(|ink| {
                // Pillow's MULDIV255 of the un-inverted ink.
                let product = u32::from(255 - ink) * white + 128;
                white.saturating_sub(((product >> 8) + product) >> 8) as u8
            })
        })
        .collect()
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
unsafe extern "C-unwind" fn ignore(_: &mut c::jpeg_common_struct, _: c_int) {}

/// Called by libjpeg while it reads scans ahead.
unsafe extern "C-unwind" fn watch(cinfo: &mut c::jpeg_common_struct) {
    // SAFETY: only decompressors have this monitor, and libjpeg passes the object itself, whose first field
    // is the common one.
    let cinfo = unsafe { &*ptr::from_mut(cinfo).cast::<c::jpeg_decompress_struct>() };
    if cinfo.input_scan_number > MAX_SCANS {
        resume_unwind(Box::new(Fatal(format!("more than {MAX_SCANS} scans"))));
    }
}

/// libjpeg's fatal errors; must not return.
unsafe extern "C-unwind" fn fatal(cinfo: &mut c::jpeg_common_struct) {
    type Format = unsafe extern "C-unwind" fn(*mut c::jpeg_common_struct, *mut c_char);
    let mut buffer = [0 as c_char; MESSAGE_LENGTH];
    // SAFETY: `err` was set in `Decoder::new`.
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
