//! For the tests: files of every sampling, by the library's encoder.

use std::ffi::c_int;
use std::panic::{AssertUnwindSafe, catch_unwind};

use mozjpeg_sys as c;

use super::callbacks;

/// What to write.
#[derive(Clone, Debug)]
pub(in crate::image::jpeg) struct Picture {
    pub(in crate::image::jpeg) width: usize,
    pub(in crate::image::jpeg) height: usize,
    /// One byte a pixel of grey, three of red, green and blue.
    pub(in crate::image::jpeg) samples: Vec<u8>,
    pub(in crate::image::jpeg) quality: c_int,
    /// Sampling factors of each component: one or three.
    pub(in crate::image::jpeg) factors: Vec<(c_int, c_int)>,
    /// Blocks between restart markers, or 0.
    pub(in crate::image::jpeg) restart: u32,
    /// Whether each component has a scan of its own.
    pub(in crate::image::jpeg) is_apart: bool,
}

/// Room for a file.
const INITIAL_CAPACITY: usize = 1 << 20;

unsafe extern "C-unwind" fn begin(_: &mut c::jpeg_compress_struct) {}

unsafe extern "C-unwind" fn full(_: &mut c::jpeg_compress_struct) -> c::boolean {
    0
}

/// A sequential, Huffman coded file; `None` where the library refuses.
pub(in crate::image::jpeg) fn encode(picture: &Picture) -> Option<Vec<u8>> {
    catch_unwind(AssertUnwindSafe(|| write(picture))).ok()
}

fn write(picture: &Picture) -> Vec<u8> {
    let channels = picture.factors.len();
    assert_eq!(picture.samples.len(), channels * picture.width * picture.height);
    let mut out = vec![0; INITIAL_CAPACITY];
    let mut target = c::jpeg_destination_mgr {
        next_output_byte: out.as_mut_ptr(),
        free_in_buffer: INITIAL_CAPACITY,
        init_destination: Some(begin),
        empty_output_buffer: Some(full),
        term_destination: Some(begin),
    };
    let scans: Vec<c::jpeg_scan_info> = (0..3)
        .map(|i| c::jpeg_scan_info {
            comps_in_scan: 1,
            component_index: [i, 0, 0, 0],
            Ss: 0,
            Se: 63,
            ..c::jpeg_scan_info::default()
        })
        .collect();
    // SAFETY: zeros are valid for plain C structs; all that `cinfo` is given lives to the end of the block, where it is
    // destroyed. (After a fatal error it is leaked: this is a test.) There are as many components as factors, as
    // many scans as components, and each row has as many bytes as the library reads.
    unsafe {
        let mut error: c::jpeg_error_mgr = std::mem::zeroed();
        let mut cinfo: c::jpeg_compress_struct = std::mem::zeroed();
        c::jpeg_std_error(&mut error);
        error.error_exit = Some(callbacks::fatal);
        error.emit_message = Some(callbacks::ignore);
        cinfo.common.err = &mut error;
        c::jpeg_create_compress(&mut cinfo);
        cinfo.dest = &mut target;
        cinfo.image_width = picture.width as u32;
        cinfo.image_height = picture.height as u32;
        cinfo.input_components = channels as c_int;
        cinfo.in_color_space = match channels {
            1 => c::J_COLOR_SPACE::JCS_GRAYSCALE,
            _ => c::J_COLOR_SPACE::JCS_RGB,
        };
        let plain = c::JINT_COMPRESS_PROFILE_VALUE::JCP_FASTEST as c_int;
        c::jpeg_c_set_int_param(&mut cinfo, c::J_INT_PARAM::JINT_COMPRESS_PROFILE, plain);
        c::jpeg_set_defaults(&mut cinfo);
        c::jpeg_set_quality(&mut cinfo, picture.quality, 0);
        cinfo.restart_interval = picture.restart;
        let components = std::slice::from_raw_parts_mut(cinfo.comp_info, channels);
        for (component, &(across, down)) in components.iter_mut().zip(&picture.factors) {
            (component.h_samp_factor, component.v_samp_factor) = (across, down);
        }
        if picture.is_apart {
            (cinfo.scan_info, cinfo.num_scans) = (scans.as_ptr(), channels as c_int);
        }
        c::jpeg_start_compress(&mut cinfo, 1);
        for row in picture.samples.chunks_exact(channels * picture.width) {
            assert_eq!(c::jpeg_write_scanlines(&mut cinfo, &row.as_ptr(), 1), 1);
        }
        c::jpeg_finish_compress(&mut cinfo);
        c::jpeg_destroy_compress(&mut cinfo);
    }
    out.truncate(INITIAL_CAPACITY - target.free_in_buffer);
    out
}
