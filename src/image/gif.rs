//! The first frame of a GIF to RGB, as Pillow has it: on a screen of the transparent colour where the frame has one, else
//! of colour 0. The blocks and codes are read by the `gif` crate. Called by [`super::decode`] only.

use std::io::Cursor;

use ::gif::{ColorOutput, DecodeOptions, DecodingError, MemoryLimit};

use super::Error;
use super::rgb::{Rgb, check_size};

const FORMAT: &str = "GIF";

/// Decodes a file's first frame.
pub(super) fn decode(bytes: &[u8]) -> Result<Rgb, Error> {
    let mut options = DecodeOptions::new();
    options.set_color_output(ColorOutput::Indexed);
    options.check_frame_consistency(false);
    // What a frame takes is bounded below, before it is allocated.
    options.set_memory_limit(MemoryLimit::Unlimited);
    let mut decoder = options.read_info(Cursor::new(bytes)).map_err(corrupt)?;
    let screen = (usize::from(decoder.width()), usize::from(decoder.height()));
    let global = decoder.global_palette().map(<[u8]>::to_vec);
    let frame = match decoder.next_frame_info().map_err(corrupt)? {
        Some(frame) => frame.clone(),
        None => return Err(Error::Corrupt { format: FORMAT, message: "it has no frame".into() }),
    };
    let (left, top) = (usize::from(frame.left), usize::from(frame.top));
    let (width, height) = (usize::from(frame.width), usize::from(frame.height));
    // A screen that is too small for the frame grows.
    let whole = (screen.0.max(left + width), screen.1.max(top + height));
    let whole = check_size(FORMAT, whole.0 as u64, whole.1 as u64)?;
    check_size(FORMAT, width as u64, height as u64)?;
    let mut indices = vec![0; decoder.buffer_size()];
    decoder.read_into_buffer(&mut indices).map_err(corrupt)?;
    let colours = colours(frame.palette.as_deref().or(global.as_deref()));
    let of = |index: u8| colours.get(usize::from(index)).copied().unwrap_or_default();
    let mut pixels = of(frame.transparent.unwrap_or(0)).repeat(whole.0 * whole.1);
    let rows = pixels.chunks_exact_mut(3 * whole.0).skip(top);
    for (to, from) in rows.zip(indices.chunks_exact(width)) {
        for (to, &index) in to.chunks_exact_mut(3).skip(left).zip(from) {
            to.copy_from_slice(&of(index));
        }
    }
    let found = pixels.len();
    Rgb::new(whole.0, whole.1, pixels).ok_or(Error::Buffer { expected: 3 * whole.0 * whole.1, found })
}

/// Colours by index. A palette that is the grey ramp, and none, mean grey by index; past a palette's end all is black.
fn colours(palette: Option<&[u8]>) -> Vec<[u8; 3]> {
    let (entries, _) = palette.unwrap_or_default().as_chunks::<3>();
    let is_ramp = entries.iter().zip(0..=u8::MAX).all(|(entry, grey)| *entry == [grey; 3]);
    if is_ramp { (0..=u8::MAX).map(|grey| [grey; 3]).collect() } else { entries.to_vec() }
}

fn corrupt(error: DecodingError) -> Error {
    match error {
        DecodingError::UnexpectedEof => {
            Error::Truncated { format: FORMAT, place: "in its first frame".into() }
        }
        DecodingError::Io(e) if e.kind() == std::io::ErrorKind::UnexpectedEof => {
            Error::Truncated { format: FORMAT, place: "in its first frame".into() }
        }
        e => Error::Corrupt { format: FORMAT, message: e.to_string() },
    }
}
