//! The vector code against its plain twin: every bit, over random sizes, windows and pixels.

use proptest::prelude::*;

use super::*;

/// Noise that also has the extremes, so that sums overshoot and are clipped.
fn noise(width: usize, height: usize, seed: u64) -> Rgb {
    let mut state = seed | 1;
    let pixels = (0..3 * width * height)
        .map(|_| {
            state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            match state >> 61 {
                0 => 0,
                1 => 255,
                _ => (state >> 40) as u8,
            }
        })
        .collect();
    Rgb::new(width, height, pixels).unwrap()
}

fn agree(image: &Rgb, target: &Target, interpolation: Interpolation) -> Result<(), TestCaseError> {
    let resized = |isa| {
        let mut out = Vec::new();
        Resizer::new(isa).resize(Source::whole(image), target, interpolation, &mut out);
        out
    };
    let plain = resized(SimdLevel::Portable);
    for isa in SimdLevel::available() {
        prop_assert_eq!(&plain, &resized(isa), "{:?} {:?} {:?}", isa, target, interpolation);
    }
    Ok(())
}

fn side() -> impl Strategy<Value = usize> {
    prop_oneof![1..6usize, 1..80usize, 200..400usize]
}

fn window(of: usize) -> impl Strategy<Value = Range<usize>> {
    (0..of).prop_flat_map(move |start| (Just(start), start + 1..=of)).prop_map(|(start, end)| start..end)
}

fn case() -> impl Strategy<Value = (usize, usize, Target, u64)> {
    (side(), side(), side(), side()).prop_flat_map(|(width, height, to_width, to_height)| {
        (window(to_width), window(to_height), any::<u64>()).prop_map(move |(columns, rows, seed)| {
            (width, height, Target { height: to_height, width: to_width, rows, columns }, seed)
        })
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_isa_gives_the_same_bits((width, height, target, seed) in case(), kind in 0..4usize) {
        let interpolation = [
            Interpolation::Bicubic,
            Interpolation::Bilinear,
            Interpolation::Lanczos,
            Interpolation::Nearest,
        ][kind];
        agree(&noise(width, height, seed), &target, interpolation)?;
    }
}

#[test]
fn a_window_is_a_part_of_the_whole() {
    let image = noise(61, 47, 3);
    let whole = Target { height: 33, width: 90, rows: 0..33, columns: 0..90 };
    let part = Target { rows: 5..21, columns: 40..83, ..whole.clone() };
    for isa in SimdLevel::available() {
        let mut resizer = Resizer::new(isa);
        let (mut all, mut some) = (Vec::new(), Vec::new());
        resizer.resize(Source::whole(&image), &whole, Interpolation::Lanczos, &mut all);
        resizer.resize(Source::whole(&image), &part, Interpolation::Lanczos, &mut some);
        let expected: Vec<u8> =
            part.rows.clone().flat_map(|y| all[3 * (90 * y + 40)..3 * (90 * y + 83)].to_vec()).collect();
        assert_eq!(some, expected, "{isa:?}");
    }
}

/// A test that silently leaves out the vector code would prove nothing.
#[test]
fn vector_code_is_tested_where_the_machine_has_it() {
    #[cfg(all(target_arch = "x86_64", not(feature = "portable")))]
    let has_vectors = is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma");
    #[cfg(not(all(target_arch = "x86_64", not(feature = "portable"))))]
    let has_vectors = false;
    assert_eq!(SimdLevel::available().len(), 1 + usize::from(has_vectors));
    assert_eq!(SimdLevel::available().first(), Some(&SimdLevel::Portable));
}
