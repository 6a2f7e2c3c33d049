//! The vector code against its plain twin, and that against the sentences of `jdsample.c`.

use proptest::prelude::*;

use super::*;

fn row() -> impl Strategy<Value = (Vec<u8>, Vec<u8>)> {
    let extremes = || prop_oneof![any::<u8>(), Just(0), Just(255)];
    (3..200usize).prop_flat_map(move |n| {
        (proptest::collection::vec(extremes(), n), proptest::collection::vec(extremes(), n))
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_isa_gives_the_same_bits((near, far) in row(), is_upper in any::<bool>()) {
        let samples = near.len() - 2;
        for isa in SimdLevel::available() {
            let (mut plain, mut found) = (vec![0; 2 * samples + 3], vec![0; 2 * samples + 3]);
            across(SimdLevel::Portable, &near, &mut plain);
            across(isa, &near, &mut found);
            prop_assert_eq!(&plain, &found, "{:?} across", isa);
            both(SimdLevel::Portable, &near, &far, &mut plain);
            both(isa, &near, &far, &mut found);
            prop_assert_eq!(&plain, &found, "{:?} both", isa);
            down(SimdLevel::Portable, &near, &far, is_upper, &mut plain[..near.len()]);
            down(isa, &near, &far, is_upper, &mut found[..near.len()]);
            prop_assert_eq!(&plain, &found, "{:?} down", isa);
        }
    }
}

/// Every pair of samples, in every place a vector has for it.
#[test]
fn every_pair_of_samples() {
    for isa in SimdLevel::available() {
        for a in 0..=255u8 {
            let near: Vec<u8> = (0..=255).flat_map(|b| [a, b]).collect();
            let mut out = vec![0; 2 * (near.len() - 2)];
            across(isa, &near, &mut out);
            for (i, found) in out.iter().enumerate() {
                let at = 1 + i / 2;
                let (this, other) =
                    (u32::from(near[at]), u32::from(near[if i % 2 == 0 { at - 1 } else { at + 1 }]));
                let expected = (3 * this + other + 1 + (i % 2) as u32) / 4;
                assert_eq!(u32::from(*found), expected, "{isa:?} {this} {other}");
            }
        }
    }
}
