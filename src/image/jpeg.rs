//! JPEG to RGB, bit for bit as Pillow: libjpeg-turbo's decoder (as kept in mozjpeg) with Pillow's settings
//! (`JpegDecode.c`): the accurate integer inverse DCT, fancy upsampling, libjpeg's own guess of the colour
//! space, CMYK taken as Adobe writes it (inverted). Called by [`super::decode`] only.
//!
//! Of a plain file (one scan, Huffman coded, which is what photos of data sets are) only what a crop looks at is
//! transformed, upsampled and converted, with a margin of [`GUARD`] pixels, for upsampling looks at neighbours.
//! Every byte is decoded all the same: a file that is broken or cut short anywhere fails, as it does in Pillow.
//!
//! The one file that talks to the C library. libjpeg reports a fatal error by a callback that must not
//! return; ours unwinds (the library is compiled with unwind tables) and is caught in [`decode`]. The data
//! source is Pillow's suspending one over the whole file: what would need more bytes is `Truncated`.

#![allow(unsafe_code)]

use std::cell::Cell;
use std::ffi::{c_char, c_int, c_long};
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::ptr;

use mozjpeg_sys as c;

use super::Error;
use super::part::{Part, Wanted, Window};
use super::rgb::check_size;

const FORMAT: &str = "JPEG";

/// Scans of a progressive file that are decoded at most. Encoders write about ten; without a bound a small
/// file of many empty scans over a large picture takes hours (libjpeg-turbo's own tools offer the same guard).
const MAX_SCANS: c_int = 500;

/// What libjpeg may allocate at most, mostly the coefficients of a progressive file (6 bytes a pixel at
/// [`super::MAX_PIXELS`]); more is its error `backing store not supported`.
const MAX_MEMORY: c_long = 1 << 31;

/// libjpeg's `JMSG_LENGTH_MAX`.
const MESSAGE_LENGTH: usize = 200;

/// Pixels around the window that are decoded too. Fancy upsampling looks at one chroma sample on each side, which
/// is two pixels; at the edge of what is decoded it makes do without.
const GUARD: usize = 4;

/// What the callbacks unwind with.
enum Fatal {
    /// libjpeg's own words.
    Corrupt(String),
    /// The file ends while rows are skipped, where libjpeg cannot suspend.
    Ended,
}

/// Decodes at least what is `wanted` of a file into `buffer`, whatever that held.
///
/// # Errors
/// [`Error::Truncated`], [`Error::Corrupt`], [`Error::Unsupported`] (12-bit, lossless, two components …),
/// [`Error::TooLarge`].
pub(super) fn decode(bytes: &[u8], buffer: Vec<u8>, wanted: &mut Wanted<'_>) -> Result<Part, Error> {
    // Nothing outlives an unwinding but the decoder, whose drop frees what libjpeg allocated.
    match catch_unwind(AssertUnwindSafe(|| Decoder::new(bytes).decode(buffer, wanted))) {
        Ok(result) => result,
        Err(payload) => match payload.downcast::<Fatal>() {
            Ok(fatal) => Err(match *fatal {
                Fatal::Corrupt(message) => Error::Corrupt { format: FORMAT, message },
                Fatal::Ended => truncated("outside of the crop".into()),
            }),
            Err(other) => resume_unwind(other),
        },
    }
}

fn truncated(place: String) -> Error {
    Error::Truncated { format: FORMAT, place }
}

/// libjpeg's objects, which point at each other and so must not move: they live in boxes.
struct Decoder<'a> {
    cinfo: Box<c::jpeg_decompress_struct>,
    _error: Box<c::jpeg_error_mgr>,
    _source: Box<c::jpeg_source_mgr>,
    _progress: Box<c::jpeg_progress_mgr>,
    /// Whether libjpeg is skipping rows.
    skipping: Box<Cell<bool>>,
    bytes: &'a [u8],
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
            skipping: Box::new(Cell::new(false)),
            bytes,
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
            decoder.cinfo.common.client_data = ptr::from_mut(&mut *decoder.skipping).cast();
            decoder.cinfo.src = ptr::from_mut(&mut *decoder._source);
            (*decoder.cinfo.common.mem).max_memory_to_use = MAX_MEMORY;
        }
        decoder
    }

    fn decode(mut self, mut pixels: Vec<u8>, wanted: &mut Wanted<'_>) -> Result<Part, Error> {
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
        let Window { rows, columns } = match self.is_plain() {
            true => wanted(width, height),
            false => super::part::all(width, height),
        };
        let columns = self.cut(&columns);
        let top = self.skip_to(rows.start);
        let stride = columns.len() * channels;
        pixels.resize(stride * (rows.end.clamp(top, height) - top), 0);
        self.read(&mut pixels, stride)?;
        // The rest, for its errors: by skipping what can be skipped, and reading what is left.
        let below = self.skip_to(height.saturating_sub(self.block_rows()));
        let mut row = vec![0; stride];
        for _ in below..height {
            self.read(&mut row, stride)?;
        }
        // Pillow looks for the end of the image too: a broken marker there fails, a missing one does not.
        // SAFETY: all rows have been read.
        unsafe { c::jpeg_finish_decompress(&mut self.cinfo) };
        if channels == 4 {
            pixels = rgb_of_inverted_cmyk(&pixels);
        }
        Ok(Part { pixels, width: columns.len(), left: columns.start, top, whole: (width, height) })
    }

    /// Reads as many rows as `pixels` has.
    fn read(&mut self, pixels: &mut [u8], stride: usize) -> Result<(), Error> {
        let mut at = 0;
        while let Some(rest) = pixels.get_mut(at..).filter(|r| !r.is_empty()) {
            let mut rows = [ptr::null_mut(); ROWS];
            let mut lines = 0;
            for (pointer, line) in rows.iter_mut().zip(rest.chunks_exact_mut(stride)) {
                *pointer = line.as_mut_ptr();
                lines += 1;
            }
            // SAFETY: `lines` pointers to disjoint rows of `output_width * output_components` bytes each: no
            // scaling is asked for, so `output_width` is that of the columns that were cut, and the colour space
            // that was set has as many components as `stride` allows for.
            let read = unsafe { c::jpeg_read_scanlines(&mut self.cinfo, rows.as_mut_ptr(), lines) };
            if read == 0 {
                let (row, height) = (self.cinfo.output_scanline, self.cinfo.output_height);
                return Err(truncated(format!("before row {row} of {height}")));
            }
            at += read as usize * stride;
        }
        Ok(())
    }

    /// Whether rows and columns may be left out: one scan, Huffman coded, not CMYK.
    fn is_plain(&self) -> bool {
        // SAFETY: decompression has started.
        let scans = unsafe { c::jpeg_has_multiple_scans(&self.cinfo) };
        scans == 0 && self.cinfo.num_components < 4 && is_sequential(self.bytes)
    }

    /// Rows of a block of all components together.
    fn block_rows(&self) -> usize {
        8 * usize::try_from(self.cinfo.max_v_samp_factor).unwrap_or(1)
    }

    /// Leaves out columns on both sides: which are left, from the edge of a block on.
    fn cut(&mut self, columns: &Range<usize>) -> Range<usize> {
        let whole = self.cinfo.output_width as usize;
        let start = columns.start.saturating_sub(GUARD).min(whole);
        let end = columns.end.saturating_add(GUARD).min(whole);
        // Few columns are no gain, and libjpeg changes the upsampler for the fewest.
        if end.saturating_sub(start) < LEAST_COLUMNS {
            return 0..whole;
        }
        let (mut left, mut width) = (start as c::JDIMENSION, (end - start) as c::JDIMENSION);
        // SAFETY: decompression has started and no row has been read; the columns are within the image.
        unsafe { c::jpeg_crop_scanline(&mut self.cinfo, &mut left, &mut width) }
        left as usize..left as usize + width as usize
    }

    /// Skips rows that are not wanted, up to a whole number of blocks; the next row.
    fn skip_to(&mut self, row: usize) -> usize {
        let now = self.cinfo.output_scanline as usize;
        let blocks = row.saturating_sub(GUARD) / self.block_rows() * self.block_rows();
        if blocks > now && self.is_plain() {
            self.skipping.set(true);
            // SAFETY: decompression has started; the source does not suspend while `skipping` is set, which is
            // what the call asks for; fewer rows are skipped than there are.
            unsafe { c::jpeg_skip_scanlines(&mut self.cinfo, (blocks - now) as c::JDIMENSION) };
            self.skipping.set(false);
        }
        self.cinfo.output_scanline as usize
    }
}

/// Columns below which all are decoded.
const LEAST_COLUMNS: usize = 64;

/// Whether a file's frame is sequential and Huffman coded (SOF0, SOF1; ITU T.81, table B.1), as far as its markers
/// stand one after another as they should.
fn is_sequential(mut bytes: &[u8]) -> bool {
    bytes = bytes.get(2..).unwrap_or_default();
    while let &[0xff, marker, high, low, ..] = bytes {
        match marker {
            0xc0 | 0xc1 => return true,
            // Tables, comments and what applications put there.
            0xc4 | 0xdb | 0xdd | 0xe0..=0xef | 0xfe => {}
            _ => return false,
        }
        let length = usize::from(u16::from_be_bytes([high, low]));
        bytes = bytes.get(2 + length..).unwrap_or_default();
    }
    false
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

/// There is no more data than the file: suspend, or where that is not possible unwind.
unsafe extern "C-unwind" fn no_more(cinfo: &mut c::jpeg_decompress_struct) -> c::boolean {
    // SAFETY: `client_data` is the decoder's own flag, set in `Decoder::new` and alive as long as `cinfo`.
    let skipping = unsafe { &*cinfo.common.client_data.cast::<Cell<bool>>() };
    if skipping.get() {
        resume_unwind(Box::new(Fatal::Ended));
    }
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
        resume_unwind(Box::new(Fatal::Corrupt(format!("more than {MAX_SCANS} scans"))));
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
    resume_unwind(Box::new(Fatal::Corrupt(String::from_utf8_lossy(&text).into_owned())))
}

#[cfg(test)]
mod tests {
    use super::super::part::all;
    use super::*;

    fn goldens() -> Vec<(String, Vec<u8>)> {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/images");
        let files = crate::fs::list(&folder).unwrap();
        let jpegs = files.into_iter().filter(|f| f.extension().is_some_and(|e| e == "jpg"));
        let read = |f: std::path::PathBuf| (f.display().to_string(), crate::fs::read(&f, 1 << 20).unwrap());
        // One is a PNG by content.
        let jpegs: Vec<_> = jpegs.map(read).filter(|(_, bytes)| bytes.starts_with(&[0xff, 0xd8])).collect();
        assert!(jpegs.len() > 10, "{}", jpegs.len());
        jpegs
    }

    fn part(bytes: &[u8], window: &Window) -> Result<Part, Error> {
        decode(bytes, vec![7; 100], &mut |_, _| window.clone())
    }

    /// Ranges of an axis: at its ends, in the middle, narrow and wide, on the edges of blocks and beside them.
    fn ranges(length: usize) -> Vec<Range<usize>> {
        let ends = [0, 1, 5, 8, 15, 16, 17, 33, length / 2, length.saturating_sub(20), length - 1, length];
        let pairs = ends.iter().flat_map(|&a| ends.iter().map(move |&b| a..b));
        pairs.filter(|r| r.start < r.end && r.end <= length).collect()
    }

    #[test]
    fn a_part_has_the_pixels_of_the_whole() {
        for (name, bytes) in goldens() {
            let whole = decode(&bytes, Vec::new(), &mut all).unwrap();
            let (width, height) = whole.whole;
            let mut smaller = 0;
            for rows in ranges(height) {
                for columns in ranges(width) {
                    let window = Window { rows: rows.clone(), columns: columns.clone() };
                    let part = part(&bytes, &window).unwrap();
                    smaller += usize::from(part.pixels.len() < whole.pixels.len());
                    assert_eq!(part.whole, whole.whole);
                    for row in rows.clone() {
                        let line = |image: &Part| {
                            let at = 3 * ((row - image.top) * image.width + columns.start - image.left);
                            image.pixels[at..at + 3 * columns.len()].to_vec()
                        };
                        assert_eq!(line(&part), line(&whole), "{name} {window:?} row {row}");
                    }
                }
            }
            let whole_by_intent = ["cmyk", "ycck", "progressive"].iter().any(|kind| name.contains(kind));
            match (whole_by_intent, width > 100) {
                (true, _) => assert_eq!(smaller, 0, "{name}"),
                (false, large) => assert!(smaller > 0 || !large, "{name}"),
            }
        }
    }

    #[test]
    fn what_is_wrong_outside_of_the_part_is_wrong() {
        for (name, bytes) in goldens() {
            let (width, height) = decode(&bytes, Vec::new(), &mut all).unwrap().whole;
            let window = Window { rows: height / 3..height / 2, columns: width / 3..width / 2 };
            for cut in (0..60).map(|i| bytes.len() * i / 60).chain(bytes.len() - 20..=bytes.len()) {
                let cut = &bytes[..cut];
                let (whole, part) = (decode(cut, Vec::new(), &mut all), part(cut, &window));
                let kind = |r: Result<Part, Error>| r.map(|_| ()).map_err(|e| std::mem::discriminant(&e));
                assert_eq!(kind(whole), kind(part), "{name} cut at {} of {}", cut.len(), bytes.len());
            }
            // A byte changed is no error to libjpeg, mostly, and where it is it is in both.
            for at in (200..bytes.len()).step_by(bytes.len() / 40 + 1) {
                let mut broken = bytes.clone();
                broken[at] ^= 0x55;
                let (whole, part) = (decode(&broken, Vec::new(), &mut all), part(&broken, &window));
                assert_eq!(whole.is_ok(), part.is_ok(), "{name} changed at {at}");
            }
        }
    }
}
