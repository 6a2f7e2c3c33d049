//! The C library: all that talks to it is in this folder.
//!
//! libjpeg reports a fatal error by a callback that must not return; ours unwinds (the library is compiled with unwind
//! tables) and is caught in [`caught`]. The data source is Pillow's suspending one over the whole file: what would need
//! more bytes is `Truncated`. Where the library makes pixels, the inverse DCT is ours (`transform`): its own C code wraps
//! where the vector code in Pillow's wheels saturates.

#![allow(unsafe_code)]

#[cfg(panic = "abort")]
compile_error!(
    "zoo needs `panic = \"unwind\"`: libjpeg's fatal errors unwind through it, and with `abort` a broken JPEG would end the \
    process"
);

mod callbacks;
#[cfg(test)]
pub(super) mod encode;
#[cfg(not(feature = "nasm"))]
mod transform;

use std::ffi::{c_int, c_long};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::ptr::{self, NonNull};

use mozjpeg_sys as c;

use super::idct::{Block, Quantisation};
use super::layout::{Colours, Component, Frame};
use super::{FORMAT, planes, rgb_of_inverted_cmyk};
use crate::image::Error;
use crate::image::part::Part;
use crate::image::rgb::check_size;
use callbacks::Fatal;

/// What libjpeg may allocate at most, mostly the coefficients of a progressive file (6 bytes a pixel at
/// [`crate::image::MAX_PIXELS`]); more is its error `backing store not supported`.
const MAX_MEMORY: c_long = 1 << 31;

const JPEG_SUSPENDED: c_int = 0;
const JPEG_HEADER_OK: c_int = 1;

/// Rows asked for at once: libjpeg gives up to the sampling factor (at most 4).
const ROWS: usize = 4;

/// Runs what calls the library. Nothing may outlive an unwinding but decoders, whose drop frees what libjpeg allocated,
/// and memory whose content does not matter.
///
/// # Errors
/// Those of `work`, and libjpeg's fatal ones.
pub(super) fn caught<T>(work: impl FnOnce() -> Result<T, Error>) -> Result<T, Error> {
    match catch_unwind(AssertUnwindSafe(work)) {
        Ok(result) => result,
        Err(payload) => match payload.downcast::<Fatal>() {
            Ok(fatal) => Err(Error::Corrupt { format: FORMAT, message: fatal.0 }),
            Err(other) => resume_unwind(other),
        },
    }
}

fn truncated(place: String) -> Error {
    Error::Truncated { format: FORMAT, place }
}

/// libjpeg's objects, which point at each other.
struct Objects {
    cinfo: c::jpeg_decompress_struct,
    error: c::jpeg_error_mgr,
    source: c::jpeg_source_mgr,
    progress: c::jpeg_progress_mgr,
}

/// A decompressor whose header has been read.
pub(super) struct Decoder<'a> {
    /// From a box, and held as a pointer: they must not move, and libjpeg has pointers to them that a box would not allow.
    objects: NonNull<Objects>,
    bytes: &'a [u8],
}

impl Drop for Decoder<'_> {
    fn drop(&mut self) {
        // SAFETY: the pointer is that of a box, given up here. `cinfo` was zeroed at first, which the first call takes
        // for 'nothing allocated', and then only changed by libjpeg.
        unsafe {
            c::jpeg_destroy_decompress(&mut (*self.objects.as_ptr()).cinfo);
            drop(Box::from_raw(self.objects.as_ptr()));
        }
    }
}

impl<'a> Decoder<'a> {
    /// Reads a file's header. This and all else here is called within [`caught`].
    ///
    /// # Errors
    /// [`Error::Truncated`], [`Error::TooLarge`], [`Error::Unsupported`].
    pub(super) fn open(bytes: &'a [u8]) -> Result<Self, Error> {
        let mut decoder = Decoder::new(bytes);
        loop {
            // SAFETY: a live decompressor with a source.
            match unsafe { c::jpeg_read_header(decoder.cinfo_mut(), 0) } {
                JPEG_SUSPENDED => return Err(truncated("in its header".into())),
                JPEG_HEADER_OK => break,
                // Tables only: the picture follows. Each turn consumes bytes, so it ends.
                _ => {}
            }
        }
        let cinfo = decoder.cinfo_mut();
        check_size(FORMAT, cinfo.image_width.into(), cinfo.image_height.into())?;
        cinfo.out_color_space = match cinfo.num_components {
            1 | 3 => c::J_COLOR_SPACE::JCS_RGB,
            4 => c::J_COLOR_SPACE::JCS_CMYK,
            n => return Err(Error::Unsupported { format: FORMAT, what: format!("{n} components") }),
        };
        cinfo.dct_method = c::J_DCT_METHOD::JDCT_ISLOW;
        cinfo.do_fancy_upsampling = 1;
        cinfo.do_block_smoothing = 1;
        Ok(decoder)
    }

    fn new(bytes: &'a [u8]) -> Self {
        // SAFETY: all are plain C structs of integers, pointers and nullable function pointers, for which zeros are valid
        // and mean 'none'.
        let (cinfo, error, progress) =
            unsafe { (std::mem::zeroed(), std::mem::zeroed(), std::mem::zeroed()) };
        let objects = Box::new(Objects { cinfo, error, source: callbacks::source(bytes), progress });
        let decoder = Decoder { objects: NonNull::from(Box::leak(objects)), bytes };
        // SAFETY: the objects stay where they are until `drop`, after libjpeg's last use of them; the version
        // and size that `jpeg_create_decompress` passes are those the library was built with.
        unsafe {
            let objects = decoder.objects.as_ptr();
            c::jpeg_std_error(&mut (*objects).error);
            (*objects).error.error_exit = Some(callbacks::fatal);
            (*objects).error.emit_message = Some(callbacks::ignore);
            (*objects).progress.progress_monitor = Some(callbacks::watch);
            (*objects).cinfo.common.err = &raw mut (*objects).error;
            c::jpeg_create_decompress(&mut (*objects).cinfo);
            (*objects).cinfo.common.progress = &raw mut (*objects).progress;
            (*objects).cinfo.src = &raw mut (*objects).source;
            (*(*objects).cinfo.common.mem).max_memory_to_use = MAX_MEMORY;
            #[cfg(not(feature = "nasm"))]
            transform::install(&mut (*objects).cinfo);
        }
        decoder
    }

    fn cinfo(&self) -> &c::jpeg_decompress_struct {
        // SAFETY: a live object that nothing else touches outside of calls that take this decoder.
        unsafe { &(*self.objects.as_ptr()).cinfo }
    }

    fn cinfo_mut(&mut self) -> &mut c::jpeg_decompress_struct {
        // SAFETY: as in `cinfo`, and the decoder is borrowed alone.
        unsafe { &mut (*self.objects.as_ptr()).cinfo }
    }

    /// What the header says.
    pub(super) fn frame(&self) -> Frame {
        let size = |n: c_int| usize::try_from(n).unwrap_or(0);
        let components = self.components().iter().map(|component| Component {
            factors: (size(component.h_samp_factor), size(component.v_samp_factor)),
            blocks: (component.width_in_blocks as usize, component.height_in_blocks as usize),
        });
        Frame {
            width: self.cinfo().image_width as usize,
            height: self.cinfo().image_height as usize,
            colours: match self.cinfo().jpeg_color_space {
                c::J_COLOR_SPACE::JCS_GRAYSCALE => Colours::Grey,
                c::J_COLOR_SPACE::JCS_YCbCr => Colours::Ycc,
                _ => Colours::Other,
            },
            is_sequential: is_sequential(self.bytes),
            components: components.collect(),
        }
    }

    fn components(&self) -> &[c::jpeg_component_info] {
        let count = usize::try_from(self.cinfo().num_components).unwrap_or(0);
        // SAFETY: the header has been read, so there are as many, which live as long as the decompressor.
        unsafe { std::slice::from_raw_parts(self.cinfo().comp_info, count) }
    }

    /// Decodes the whole file to coefficients. `None` where the file ends before it says so, or has nothing of a
    /// component: this decoder is of no more use then.
    pub(super) fn coefficients(&mut self) -> Option<Coefficients<'_, 'a>> {
        // SAFETY: the header has been read, and nothing else done.
        let arrays = unsafe { c::jpeg_read_coefficients(self.cinfo_mut()) };
        let components = self.components();
        if arrays.is_null() || components.iter().any(|component| component.quant_table.is_null()) {
            return None;
        }
        // SAFETY: an array for each component.
        let arrays = unsafe { std::slice::from_raw_parts(arrays, components.len()) }.to_vec();
        Some(Coefficients { decoder: self, arrays })
    }

    /// Decodes the whole picture by the library's own code into `pixels`, whatever that held.
    ///
    /// # Errors
    /// [`Error::Truncated`].
    pub(super) fn whole(mut self, mut pixels: Vec<u8>) -> Result<Part, Error> {
        // SAFETY: the header has been read.
        if unsafe { c::jpeg_start_decompress(self.cinfo_mut()) } == 0 {
            return Err(truncated("before its first row".into()));
        }
        let (width, height) = (self.cinfo().output_width as usize, self.cinfo().output_height as usize);
        let channels = if self.cinfo().num_components == 4 { 4 } else { 3 };
        pixels.resize(width * height * channels, 0);
        self.rows(&mut pixels, width * channels)?;
        // Pillow looks for the end of the image too: a broken marker there fails, a missing one does not.
        // SAFETY: all rows have been read.
        unsafe { c::jpeg_finish_decompress(self.cinfo_mut()) };
        if channels == 4 {
            pixels = rgb_of_inverted_cmyk(&pixels);
        }
        Ok(Part { pixels, width, left: 0, top: 0, whole: (width, height) })
    }

    /// Reads as many rows as `pixels` has.
    fn rows(&mut self, pixels: &mut [u8], stride: usize) -> Result<(), Error> {
        let mut at = 0;
        while let Some(rest) = pixels.get_mut(at..).filter(|r| !r.is_empty()) {
            let mut rows = [ptr::null_mut(); ROWS];
            let mut lines = 0;
            for (pointer, line) in rows.iter_mut().zip(rest.chunks_exact_mut(stride)) {
                *pointer = line.as_mut_ptr();
                lines += 1;
            }
            // SAFETY: `lines` pointers to disjoint rows of `output_width * output_components` bytes each: no
            // scaling is asked for, and the colour space that was set has as many components as `stride` allows for.
            let read = unsafe { c::jpeg_read_scanlines(self.cinfo_mut(), rows.as_mut_ptr(), lines) };
            if read == 0 {
                let (row, height) = (self.cinfo().output_scanline, self.cinfo().output_height);
                return Err(truncated(format!("before row {row} of {height}")));
            }
            at += read as usize * stride;
        }
        Ok(())
    }
}

/// All coefficients of a file.
pub(super) struct Coefficients<'a, 'b> {
    decoder: &'a mut Decoder<'b>,
    /// One a component.
    arrays: Vec<*mut c::jvirt_barray_control>,
}

impl planes::Source for Coefficients<'_, '_> {
    fn blocks(&mut self, component: usize, row: usize) -> &[Block] {
        let width = self.decoder.components().get(component).map(|c| c.width_in_blocks as usize);
        let (Some(&array), Some(width)) = (self.arrays.get(component), width) else { return &[] };
        let common = &mut self.decoder.cinfo_mut().common;
        // SAFETY: the memory manager is the decompressor's own.
        let Some(access) = (unsafe { (*common.mem).access_virt_barray }) else { return &[] };
        // SAFETY: an array of this decompressor and one row of it: another than it has is a fatal error of libjpeg's,
        // which unwinds. The row has at least `width` blocks of 64 coefficients, in memory (there is no backing
        // store) until the decompressor, which is borrowed, is told something else.
        unsafe {
            let rows = access(common, array, row as c::JDIMENSION, 1, 0);
            std::slice::from_raw_parts(*rows, width)
        }
    }

    fn quantisation(&self, component: usize) -> Quantisation {
        let component = self.decoder.components().get(component);
        // SAFETY: each component has a table, as was checked when this was made.
        component.map_or([0; 64], |c| unsafe { (*c.quant_table).quantval })
    }
}

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
