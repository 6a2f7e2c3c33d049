//! A part of a golden file has the pixels of the whole, and what is wrong outside of it is wrong.

use std::ops::Range;

use super::*;

/// Ranges of an axis: at its ends, in the middle, narrow and wide, on the edges of blocks and beside them.
fn ranges(length: usize) -> Vec<Range<usize>> {
    let ends = [0, 1, 5, 8, 15, 16, 17, 33, length / 2, length.saturating_sub(20), length - 1, length];
    let pairs = ends.iter().flat_map(|&a| ends.iter().map(move |&b| a..b));
    pairs.filter(|r| r.start < r.end && r.end <= length).collect()
}

#[test]
fn a_part_has_the_pixels_of_the_whole_first_half() {
    a_part_has_the_pixels_of_the_whole(0);
}

#[test]
fn a_part_has_the_pixels_of_the_whole_second_half() {
    a_part_has_the_pixels_of_the_whole(1);
}

/// Of every other golden.
fn a_part_has_the_pixels_of_the_whole(first: usize) {
    for (name, bytes) in goldens().into_iter().skip(first).step_by(2) {
        let library = by_the_library(&bytes).unwrap();
        let ours = whole(&bytes).unwrap();
        assert!(library.pixels == ours.pixels && library.whole == ours.whole, "{name}");
        let (width, height) = library.whole;
        let mut smaller = 0;
        for rows in ranges(height) {
            for columns in ranges(width) {
                let window = Window { rows: rows.clone(), columns: columns.clone() };
                let part = part(&bytes, &window).unwrap();
                smaller += usize::from(part.pixels.len() < library.pixels.len());
                is_part(&name, &library, &part, &window);
            }
        }
        let whole_by_intent = ["cmyk", "ycck", "progressive", "stored-rgb", "411"];
        match (whole_by_intent.iter().any(|kind| name.contains(kind)), width > 2 || height > 2) {
            (true, _) => assert_eq!(smaller, 0, "{name}"),
            (false, large) => assert!(smaller > 0 || !large || width <= 4, "{name}"),
        }
    }
}

#[test]
fn which_goldens_are_ours() {
    let theirs = ["cmyk", "ycck", "progressive", "stored-rgb", "411", "/1x1", "/1x90", "/2x3", "/3x200"];
    for (name, bytes) in goldens() {
        assert_eq!(is_ours(&bytes), !theirs.iter().any(|kind| name.contains(kind)), "{name}");
    }
}

#[test]
fn what_is_wrong_outside_of_the_part_is_wrong() {
    for (name, bytes) in goldens() {
        let (width, height) = whole(&bytes).unwrap().whole;
        let window = Window { rows: height / 3..height / 2, columns: width / 3..width / 2 };
        let said = |r: Result<Part, Error>| r.map(|_| ()).map_err(|e| e.to_string());
        for cut in (0..60).map(|i| bytes.len() * i / 60).chain(bytes.len() - 20..=bytes.len()) {
            let cut = &bytes[..cut];
            let expected = said(by_the_library(cut));
            assert_eq!(said(whole(cut)), expected, "{name} cut at {} of {}", cut.len(), bytes.len());
            assert_eq!(said(part(cut, &window)), expected, "{name} cut at {} of {}", cut.len(), bytes.len());
        }
        // A byte changed is no error to libjpeg, mostly, and where it is it is in both.
        for at in (200..bytes.len()).step_by(bytes.len() / 40 + 1) {
            let mut broken = bytes.clone();
            broken[at] ^= 0x55;
            let expected = said(by_the_library(&broken));
            assert_eq!(said(whole(&broken)), expected, "{name} changed at {at}");
            assert_eq!(said(part(&broken, &window)), expected, "{name} changed at {at}");
        }
    }
}
