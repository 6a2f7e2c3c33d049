//! Small pictures for reports: decoded, made small, and encoded anew as PNG, so that nothing of the file but its
//! pixels is passed on.
//!
//! Called by `zoo verify --thumbnails`.

use base64::Engine as _;

use super::{Error, decode};

/// Pixels of the longer side.
const SIDE: u32 = 112;

/// A `data:` URL of an image file's small picture.
///
/// # Errors
/// As [`decode`].
pub fn data_url(bytes: &[u8]) -> Result<String, Error> {
    let decoded = decode(bytes)?;
    let (width, height) = (decoded.width() as u32, decoded.height() as u32);
    let Some(full) = ::image::RgbImage::from_raw(width, height, decoded.into_pixels()) else {
        return Err(Error::Empty);
    };
    let scale = f64::from(SIDE) / f64::from(width.max(height).max(1));
    let side = |n: u32| ((f64::from(n) * scale.min(1.0)).round() as u32).max(1);
    let small = ::image::imageops::thumbnail(&full, side(width), side(height));
    let mut png = Vec::new();
    let mut encoder = png::Encoder::new(&mut png, small.width(), small.height());
    encoder.set_color(png::ColorType::Rgb);
    // A picture of a hundred pixels, into memory: neither can fail.
    let written = encoder.write_header().and_then(|mut writer| writer.write_image_data(small.as_raw()));
    if written.is_err() {
        return Err(Error::Empty);
    }
    Ok(format!("data:image/png;base64,{}", base64::engine::general_purpose::STANDARD.encode(png)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_small_picture_keeps_its_shape() {
        let gif = b"GIF87a\x01\0\x01\0\x80\0\0\xff\xff\xff\0\0\0,\0\0\0\0\x01\0\x01\0\0\x02\x02D\x01\0;";
        let url = data_url(gif).unwrap();
        let png = base64::engine::general_purpose::STANDARD.decode(url.rsplit(',').next().unwrap()).unwrap();
        let small = decode(&png).unwrap();
        assert_eq!((small.width(), small.height()), (1, 1));
        assert_eq!(small.into_pixels(), [255; 3]);
        assert!(data_url(b"no picture").is_err());
    }
}
