//! A fuzz target, with bolero: files changed at random give by our way what they give by the library's, to the last
//! pixel or the last word of the error. Runs for a moment in every test run; `fuzz/README.md` says how to run it for
//! hours.

#![cfg(not(feature = "nasm"))]

use bolero::check;

use super::changed::seeds;
use super::*;

/// A seed's number, and edits: what, where, with what.
type Input = (u16, Vec<(u8, u32, u8)>);

fn changed(seeds: &[Vec<u8>], (seed, edits): &Input) -> Vec<u8> {
    let mut bytes = seeds[usize::from(*seed) % seeds.len()].clone();
    for &(what, place, with) in edits.iter().take(12) {
        let at = place as usize % bytes.len().max(1);
        match what % 8 {
            0 | 1 => bytes[at] = with,
            2 | 3 => bytes[at] ^= 1 << (with % 8),
            // A marker, of all kinds.
            4 => bytes.splice(at..at, [0xff, with | 0xc0]).for_each(drop),
            5 => bytes.truncate(at.max(2)),
            6 => {
                let end = (at + usize::from(with)).min(bytes.len());
                bytes.drain(at..end);
            }
            _ => {
                let end = (at + usize::from(with)).min(bytes.len());
                let piece = bytes[at..end].to_vec();
                bytes.splice(at..at, piece).for_each(drop);
            }
        }
        if bytes.is_empty() {
            bytes.push(with);
        }
    }
    bytes
}

/// Sizes are in the header, and a large one takes long to compare.
fn is_small(bytes: &[u8]) -> bool {
    let size = library::caught(|| {
        let frame = Decoder::open(bytes)?.frame();
        Ok(frame.width * frame.height)
    });
    size.is_ok_and(|pixels| pixels <= 1 << 18)
}

#[test]
fn jpeg_files() {
    let seeds = seeds();
    check!().with_type::<Input>().for_each(|input| {
        let bytes = changed(&seeds, input);
        if is_small(&bytes) {
            agrees("changed", &bytes, &mut readers(), &[]);
        }
    });
}
