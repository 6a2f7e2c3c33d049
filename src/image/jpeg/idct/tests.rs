//! The vector code against the scalar reference, over blocks of every kind; that one is held against Pillow's own pixels
//! by `tests/it/images.rs`.

use proptest::prelude::*;

use super::*;

fn quantiser() -> impl Strategy<Value = u16> {
    prop_oneof![4 => 1..40u16, 2 => 1..256u16, 1 => any::<u16>(), 1 => Just(65535u16), 1 => Just(32768u16)]
}

fn coefficient() -> impl Strategy<Value = i16> {
    prop_oneof![
        8 => Just(0i16),
        8 => -3..4i16,
        3 => -60..61i16,
        1 => -1024..1025i16,
        1 => any::<i16>(),
        1 => Just(i16::MIN),
        1 => Just(i16::MAX)
    ]
}

/// Few coefficients or many, small or extreme.
fn block() -> impl Strategy<Value = Vec<i16>> {
    prop_oneof![
        proptest::collection::vec(coefficient(), 64),
        proptest::collection::vec(-8..9i16, 64),
        proptest::collection::vec(prop_oneof![20 => Just(0i16), 1 => -300..301i16], 64),
        (any::<i16>(), 0..64usize, any::<i16>()).prop_map(|(first, at, other)| {
            let mut block = vec![0; 64];
            block[at] = other;
            block[0] = first;
            block
        }),
        any::<i16>().prop_map(|first| {
            let mut block = vec![0; 64];
            block[0] = first;
            block
        }),
    ]
}

fn table() -> impl Strategy<Value = Vec<u16>> {
    prop_oneof![
        proptest::collection::vec(quantiser(), 64),
        proptest::collection::vec(1..100u16, 64),
        Just(vec![1; 64])
    ]
}

/// The samples of blocks side by side, between rows that are not theirs.
fn samples(isa: SimdLevel, list: &[Block], by: &Quantisation) -> Vec<u8> {
    let stride = 8 * list.len() + 5;
    let mut out = vec![77; 8 * stride];
    blocks(isa, list, by, &mut out, stride);
    out
}

fn agree(list: &[Block], by: &Quantisation) -> Result<(), TestCaseError> {
    let plain = samples(SimdLevel::Portable, list, by);
    for isa in SimdLevel::available() {
        prop_assert_eq!(&plain, &samples(isa, list, by), "{:?} {:?} {:?}", isa, list, by);
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 20_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_isa_gives_the_same_bits(list in proptest::collection::vec(block(), 1..4), by in table()) {
        let list: Vec<Block> = list.iter().map(|b| b.as_slice().try_into().unwrap()).collect();
        agree(&list, by.as_slice().try_into().unwrap())?;
    }

    /// Columns that add up to 4,096 or about that, with the signs that make the sums of both passes largest, and any: the
    /// largest that a picture's own coefficients give.
    #[test]
    fn at_the_edge_of_what_pictures_have(shares in proptest::collection::vec(0..100u32, 64), signs in any::<[u64; 2]>(), over in 0..3usize) {
        let mut block: Block = [0; 64];
        for column in 0..8 {
            let total: u32 = (0..8).map(|row| shares[8 * row + column]).sum::<u32>().max(1);
            let mut left = 4096 + i32::from(over == 1 && column == 3) - i32::from(over == 2);
            for row in (0..8).rev() {
                let part = (4096 * shares[8 * row + column] / total) as i32;
                let part = if row == 0 { left } else { part.min(left) };
                left -= part;
                let sign = if signs[0] >> (8 * row + column) & 1 == 0 { 1 } else { -1 };
                block[8 * row + column] = (sign * part) as i16;
            }
        }
        agree(&[block], &[1; 64])?;
        // One frequency alone in each column, all of the same row.
        let row = (signs[1] % 8) as usize;
        let mut block: Block = [0; 64];
        for column in 0..8 {
            let sign = if signs[1] >> (8 + column) & 1 == 0 { 1 } else { -1 };
            block[8 * row + column] = sign * (4096 + i16::from(over == 1 && column == 3));
        }
        agree(&[block], &[1; 64])?;
    }
}

#[test]
fn every_first_coefficient() {
    for by in [1u16, 2, 16, 255, 256, 32767, 32768, 65535] {
        for first in i16::MIN..=i16::MAX {
            let mut block = [0; 64];
            block[0] = first;
            let constant = scalar::constant(first, by);
            assert_eq!(scalar::block(&block, &[by; 64]), [[constant; 8]; 8], "{first} {by}");
        }
    }
}

#[test]
fn what_has_no_place_is_left_out() {
    for isa in SimdLevel::available() {
        for (length, stride) in [(0, 0), (7, 1), (63, 8), (64, 8), (72, 8), (64, 7), (135, 16), (136, 16)] {
            let mut out = vec![1; length];
            blocks(isa, &[[100; 64]; 3], &[1; 64], &mut out, stride);
        }
    }
}
