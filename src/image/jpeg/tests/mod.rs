//! Our way against the library's: the same result, and the same pixels, whatever the file and the window.

mod changed;
mod fuzz;
mod parts;
mod pictures;

use super::super::part::all;
use super::*;

/// The files under `tests/golden/images` that are JPEGs by content.
fn goldens() -> Vec<(String, Vec<u8>)> {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/golden/images");
    let files = crate::fs::list(&folder).unwrap();
    let jpegs = files.into_iter().filter(|f| f.extension().is_some_and(|e| e == "jpg"));
    let read = |f: std::path::PathBuf| (f.display().to_string(), crate::fs::read(&f, 1 << 20).unwrap());
    // One is a PNG by content.
    let jpegs: Vec<_> = jpegs.map(read).filter(|(_, bytes)| bytes.starts_with(&[0xff, 0xd8])).collect();
    assert!(jpegs.len() > 10, "{}", jpegs.len());
    jpegs
}

fn whole(bytes: &[u8]) -> Result<Part, Error> {
    Reader::new(SimdLevel::best()).read(bytes, Vec::new(), &mut all)
}

fn part(bytes: &[u8], window: &Window) -> Result<Part, Error> {
    Reader::new(SimdLevel::best()).read(bytes, vec![7; 100], &mut |_, _| window.clone())
}

/// All of a picture, by the library's own code.
fn by_the_library(bytes: &[u8]) -> Result<Part, Error> {
    library::caught(|| Decoder::open(bytes)?.whole(Vec::new()))
}

/// Whether a file's pixels are made here.
fn is_ours(bytes: &[u8]) -> bool {
    let ours = library::caught(|| {
        let mut decoder = Decoder::open(bytes)?;
        Ok(Layout::of(&decoder.frame()).is_some() && decoder.coefficients().is_some())
    });
    ours.unwrap_or(false)
}

/// What must be equal: the pixels, or the error's words.
fn outcome(result: Result<Part, Error>) -> Result<Part, String> {
    result.map_err(|e| e.to_string())
}

/// The whole picture on every ISA is the library's, and every window is a part of it.
fn agrees(name: &str, bytes: &[u8], reader: &mut [Reader], windows: &[Window]) {
    let expected = outcome(by_the_library(bytes));
    for reader in reader {
        let isa = reader.isa;
        let found = outcome(reader.read(bytes, Vec::new(), &mut all));
        match (&expected, &found) {
            (Ok(expected), Ok(found)) => {
                assert_eq!(expected.whole, found.whole, "{name} {isa:?}");
                let differ = expected.pixels.iter().zip(&found.pixels).position(|(a, b)| a != b);
                let place = differ.map(|at| (at / 3 % expected.width, at / 3 / expected.width, at % 3));
                assert_eq!(place, None, "{name} {isa:?}: column, row, channel");
                assert_eq!(expected.pixels.len(), found.pixels.len(), "{name} {isa:?}");
            }
            _ => assert_eq!(expected.as_ref().err(), found.as_ref().err(), "{name} {isa:?}"),
        }
        for window in windows {
            let found = outcome(reader.read(bytes, Vec::new(), &mut |_, _| window.clone()));
            match (&expected, &found) {
                (Ok(expected), Ok(found)) => is_part(name, expected, found, window),
                _ => assert_eq!(expected.as_ref().err(), found.as_ref().err(), "{name} {isa:?} {window:?}"),
            }
        }
    }
}

fn readers() -> Vec<Reader> {
    SimdLevel::available().into_iter().map(Reader::new).collect()
}

/// Whether what a window asks for has the pixels of the whole.
fn is_part(name: &str, whole: &Part, part: &Part, window: &Window) {
    assert_eq!(part.whole, whole.whole);
    let columns = window.columns.clone();
    for row in window.rows.clone() {
        let line = |image: &Part| {
            let at = 3 * ((row - image.top) * image.width + columns.start - image.left);
            image.pixels[at..at + 3 * columns.len()].to_vec()
        };
        assert_eq!(line(part), line(whole), "{name} {window:?} row {row}");
    }
}
