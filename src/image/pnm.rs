//! PBM, PGM and PPM (`P1` to `P6`) to RGB, as Pillow's `PpmImagePlugin` reads them. Called by [`super::decode`] only.

use super::Error;
use super::rgb::{Rgb, check_size};

const FORMAT: &str = "PNM";

/// The longest number that Pillow reads.
const MAX_TOKEN: usize = 10;

/// Whether a file begins as one of the kinds that are read does.
pub(super) fn is_pnm(bytes: &[u8]) -> bool {
    matches!(bytes, [b'P', b'1'..=b'6', space, ..] if is_space(*space))
}

/// Python's white space.
fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t'..=b'\r')
}

/// Decodes a file.
pub(super) fn decode(bytes: &[u8]) -> Result<Rgb, Error> {
    let (Some(&kind), Some(rest)) = (bytes.get(1), bytes.get(3..)) else {
        return Err(truncated("in its header"));
    };
    let mut header = Header { rest };
    let (width, height) = (header.number()?, header.number()?);
    let (width, height) = check_size(FORMAT, width, height)?;
    let channels = if matches!(kind, b'3' | b'6') { 3 } else { 1 };
    let count = width * height * channels;
    let is_bitmap = matches!(kind, b'1' | b'4');
    let most = if is_bitmap { 1 } else { header.number()? };
    if !(1..65536).contains(&most) {
        return Err(corrupt(format!("the largest value is {most}")));
    }
    // Grey of more than eight bits keeps sixteen, which then saturate; colours are brought to eight.
    let scale = Scale { most: most as u16, to: if channels == 1 && most > 255 { 65535.0 } else { 255.0 } };
    let samples = match kind {
        b'1' => plain_bits(header.rest, count)?,
        b'4' => bits(header.rest, width, height)?,
        b'2' | b'3' => plain(header.rest, count, scale)?,
        _ => binary(header.rest, count, scale)?,
    };
    let pixels = if channels == 3 { samples } else { samples.iter().flat_map(|&v| [v; 3]).collect() };
    let found = pixels.len();
    Rgb::new(width, height, pixels).ok_or(Error::Buffer { expected: 3 * width * height, found })
}

/// The numbers before the samples.
struct Header<'a> {
    rest: &'a [u8],
}

impl Header<'_> {
    /// Up to and with the white space after it. A comment goes to the end of its line, and ends no number.
    fn number(&mut self) -> Result<u64, Error> {
        let mut token = Vec::new();
        while let Some((&byte, rest)) = self.rest.split_first() {
            self.rest = rest;
            match byte {
                b'#' => {
                    let end =
                        rest.iter().position(|b| matches!(b, b'\r' | b'\n')).map_or(rest.len(), |at| at + 1);
                    self.rest = rest.get(end..).unwrap_or_default();
                }
                byte if is_space(byte) => {
                    if !token.is_empty() {
                        break;
                    }
                }
                byte => token.push(byte),
            }
            if token.len() > MAX_TOKEN {
                return Err(corrupt("a number of its header is too long".into()));
            }
        }
        if token.is_empty() {
            return Err(truncated("in its header"));
        }
        value(&token)
    }
}

fn value(token: &[u8]) -> Result<u64, Error> {
    let text = std::str::from_utf8(token).ok().filter(|t| t.bytes().all(|b| b.is_ascii_digit()));
    let shown = || String::from_utf8_lossy(token).into_owned();
    text.and_then(|t| t.parse().ok()).ok_or_else(|| corrupt(format!("`{}` is not a number", shown())))
}

/// From values of the file to eight bits.
#[derive(Clone, Copy)]
struct Scale {
    most: u16,
    /// The largest value that Pillow's mode has: of eight bits, or of sixteen for grey.
    to: f64,
}

impl Scale {
    fn sample(self, value: u64) -> u8 {
        let scaled = (value as f64 / f64::from(self.most) * self.to).round_ties_even();
        scaled.min(255.0) as u8
    }
}

/// Rows of eight pixels a byte; a bit that is set is black.
fn bits(bytes: &[u8], width: usize, height: usize) -> Result<Vec<u8>, Error> {
    let stride = width.div_ceil(8);
    let Some(bytes) = bytes.get(..stride * height) else { return Err(short(bytes.len() / stride, height)) };
    let bit = |byte: &u8, at: u32| if byte >> (7 - at) & 1 == 1 { 0 } else { 255 };
    let row = |row: &[u8]| -> Vec<u8> {
        row.iter().flat_map(|b| (0..8).map(move |at| bit(b, at))).take(width).collect()
    };
    Ok(bytes.chunks_exact(stride).flat_map(row).collect())
}

/// One or two bytes a sample.
fn binary(bytes: &[u8], count: usize, scale: Scale) -> Result<Vec<u8>, Error> {
    let each = if scale.most > 255 { 2 } else { 1 };
    let Some(bytes) = bytes.get(..count * each) else { return Err(truncated("among its pixels")) };
    if scale.most == 255 {
        return Ok(bytes.to_vec());
    }
    let value = |sample: &[u8]| sample.iter().fold(0, |value, &byte| value << 8 | u64::from(byte));
    Ok(bytes.chunks_exact(each).map(|sample| scale.sample(value(sample))).collect())
}

/// Without comments, whose ends of lines go with them.
fn without_comments(bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(bytes.len());
    let mut in_comment = false;
    for &byte in bytes {
        match (in_comment, byte) {
            (true, b'\r' | b'\n') => in_comment = false,
            (true, _) => {}
            (false, b'#') => in_comment = true,
            (false, byte) => out.push(byte),
        }
    }
    out
}

/// Decimal numbers.
fn plain(bytes: &[u8], count: usize, scale: Scale) -> Result<Vec<u8>, Error> {
    let text = without_comments(bytes);
    let mut samples = Vec::with_capacity(count.min(text.len()));
    for token in text.split(|&b| is_space(b)).filter(|t| !t.is_empty()).take(count) {
        if token.len() > MAX_TOKEN {
            return Err(corrupt("a number among its pixels is too long".into()));
        }
        let value = value(token)?;
        if value > u64::from(scale.most) {
            return Err(corrupt(format!("a value of {value}, and the largest is {}", scale.most)));
        }
        samples.push(scale.sample(value));
    }
    if samples.len() == count { Ok(samples) } else { Err(truncated("among its pixels")) }
}

/// `0` and `1`, with or without white space between them.
fn plain_bits(bytes: &[u8], count: usize) -> Result<Vec<u8>, Error> {
    let text = without_comments(bytes);
    let mut samples = Vec::with_capacity(count.min(text.len()));
    for &byte in text.iter().filter(|&&b| !is_space(b)).take(count) {
        samples.push(match byte {
            b'0' => 255,
            b'1' => 0,
            other => return Err(corrupt(format!("`{}` is not a bit", char::from(other)))),
        });
    }
    if samples.len() == count { Ok(samples) } else { Err(truncated("among its pixels")) }
}

fn truncated(place: &str) -> Error {
    Error::Truncated { format: FORMAT, place: place.to_owned() }
}

fn short(row: usize, height: usize) -> Error {
    truncated(&format!("before row {row} of {height}"))
}

fn corrupt(message: String) -> Error {
    Error::Corrupt { format: FORMAT, message }
}
