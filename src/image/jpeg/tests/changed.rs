//! Files whose tables have been made extreme: our way's result is the library's, to the last pixel.
//!
//! Not with `nasm`, nor is the fuzzing: the library's vectors saturate where its C code, whose twin is ours, wraps, which
//! shows in coefficients that no picture has.

#![cfg(not(feature = "nasm"))]

use super::library::encode::encode;
use super::pictures::{FACTORS, Random, picture};
use super::*;

/// Small files, of goldens and of every sampling.
pub(super) fn seeds() -> Vec<Vec<u8>> {
    let mut random = Random(3);
    let small = goldens().into_iter().map(|(_, bytes)| bytes).filter(|bytes| bytes.len() < 8000);
    let mut seeds: Vec<_> = small.collect();
    for factors in FACTORS {
        for side in [9, 24, 50] {
            seeds.extend(encode(&picture(&mut random, side, side / 2 + 7, factors)));
        }
    }
    assert!(seeds.len() > 40, "{}", seeds.len());
    seeds
}

/// Quantisers and first coefficients as large as can be, where sums wrap.
#[test]
fn extreme_quantisers() {
    let mut random = Random(4);
    let mut readers = readers();
    for seed in seeds() {
        for value in [1u8, 0x20, 0x7f, 0x80, 0xff] {
            let mut bytes = seed.clone();
            // Every byte of every table, from behind its number on.
            for at in 0..bytes.len() - 70 {
                if bytes[at..at + 2] == [0xff, 0xdb] {
                    let length = usize::from(u16::from_be_bytes([bytes[at + 2], bytes[at + 3]]));
                    for byte in bytes[at + 5..].iter_mut().take(length.saturating_sub(3).min(64)) {
                        if random.below(3) > 0 {
                            *byte = value;
                        }
                    }
                }
            }
            agrees(&format!("quantisers {value}"), &bytes, &mut readers, &[]);
        }
    }
}
