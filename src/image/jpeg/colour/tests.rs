//! Every pixel there is, on every ISA, against tables made as `jdcolor.c` makes them.

use super::*;

/// libjpeg's `FIX`.
fn fix(x: f64) -> i64 {
    (x * 65536.0 + 0.5) as i64
}

#[test]
fn every_pixel_is_that_of_libjpegs_tables() {
    let half = 1 << 15;
    let table = |of: &dyn Fn(i64) -> i64| -> Vec<i64> { (0..256).map(|i| of(i - 128)).collect() };
    let red_of_cr = table(&|x| (fix(1.402) * x + half) >> 16);
    let blue_of_cb = table(&|x| (fix(1.772) * x + half) >> 16);
    let green_of_cr = table(&|x| -fix(0.71414) * x);
    let green_of_cb = table(&|x| -fix(0.34414) * x + half);
    let limit = |x: i64| x.clamp(0, 255) as u8;
    let y: Vec<u8> = (0..=255).collect();
    for isa in SimdLevel::available() {
        let mut out = vec![0; 3 * 256];
        for (cb, cr) in (0..256).flat_map(|cb| (0..256).map(move |cr| (cb, cr))) {
            ycc(isa, [&y, &[cb as u8; 256], &[cr as u8; 256]], &mut out);
            let green = (green_of_cb[cb] + green_of_cr[cr]) >> 16;
            for (y, pixel) in (0..).zip(out.as_chunks::<3>().0) {
                let expected = [limit(y + red_of_cr[cr]), limit(y + green), limit(y + blue_of_cb[cb])];
                assert_eq!(*pixel, expected, "{isa:?} {y} {cb} {cr}");
            }
        }
    }
}

#[test]
fn every_length_is_done_whole() {
    let bytes: Vec<u8> = (0..400u32).map(|i| (i.wrapping_mul(2654435761) >> 13) as u8).collect();
    for isa in SimdLevel::available() {
        for n in 0..130 {
            let rows = [&bytes[..n], &bytes[130..130 + n], &bytes[260..260 + n]];
            let (mut plain, mut found) = (vec![1; 3 * n + 2], vec![1; 3 * n + 2]);
            scalar::ycc(rows, &mut plain[..3 * n]);
            ycc(isa, rows, &mut found);
            assert_eq!(plain, found, "{isa:?} {n}");
            scalar::grey(rows[0], &mut plain[..3 * n]);
            grey(isa, rows[0], &mut found);
            assert_eq!(plain, found, "{isa:?} {n} grey");
        }
    }
}
