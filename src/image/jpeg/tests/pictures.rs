//! Pictures of every sampling and small size, written by the library's encoder.

use super::library::encode::{Picture, encode};
use super::*;

/// Numbers in a row.
pub(super) struct Random(pub(super) u64);

impl Random {
    pub(super) fn below(&mut self, n: usize) -> usize {
        self.0 = self.0.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (self.0 >> 33) as usize % n
    }
}

/// The factors of files that are done here, and of some that are not.
pub(super) const FACTORS: [&[(i32, i32)]; 11] = [
    &[(1, 1)],
    &[(2, 2)],
    &[(1, 1), (1, 1), (1, 1)],
    &[(2, 1), (1, 1), (1, 1)],
    &[(1, 2), (1, 1), (1, 1)],
    &[(2, 2), (1, 1), (1, 1)],
    &[(2, 2), (1, 2), (1, 2)],
    &[(2, 2), (2, 1), (2, 1)],
    &[(4, 1), (1, 1), (1, 1)],
    &[(1, 4), (1, 2), (1, 2)],
    &[(2, 2), (2, 1), (1, 1)],
];

/// Noise, slopes and edges, in any proportion.
pub(super) fn picture(random: &mut Random, width: usize, height: usize, factors: &[(i32, i32)]) -> Picture {
    let channels = factors.len();
    let (noise, slope) = (1 + random.below(256), random.below(12));
    let (edge, flat) = (1 + random.below(width.max(2)), random.below(256));
    let mut samples = Vec::with_capacity(channels * width * height);
    for y in 0..height {
        for x in 0..width {
            for channel in 0..channels {
                let side = if (x + y / 2) % edge * 2 < edge { 0 } else { 90 * channel };
                samples
                    .push((flat + slope * x * (channel + 1) + slope * y + side + random.below(noise)) as u8);
            }
        }
    }
    Picture {
        width,
        height,
        samples,
        quality: [1, 5, 25, 50, 75, 90, 95, 100][random.below(8)],
        factors: factors.to_vec(),
        restart: [0, 0, 1, 3][random.below(4)],
        is_apart: random.below(3) == 0,
    }
}

fn window(random: &mut Random, width: usize, height: usize) -> Window {
    let mut range = |length| {
        let start = random.below(length);
        start..start + 1 + random.below(length - start)
    };
    Window { rows: range(height), columns: range(width) }
}

#[test]
fn every_sampling_and_small_size() {
    let mut random = Random(1);
    let mut readers = readers();
    let mut ours = 0;
    for factors in FACTORS {
        for side in 1..=40 {
            for other in [1, 2, 3, 5, 8, 15, 16, 17, 31, 32, 33, 40] {
                for (width, height) in [(side, other), (other, side)] {
                    let picture = picture(&mut random, width, height, factors);
                    let Some(bytes) = encode(&picture) else { panic!("{width}×{height} {factors:?}") };
                    let windows: Vec<_> = (0..3).map(|_| window(&mut random, width, height)).collect();
                    let Picture { quality, restart, is_apart, .. } = picture;
                    let name = format!("{width}×{height} {factors:?} {quality} {restart} {is_apart}");
                    agrees(&name, &bytes, &mut readers, &windows);
                    ours += usize::from(is_ours(&bytes));
                }
            }
        }
    }
    assert!(ours > 6000, "{ours}");
}

/// Larger than a band of rows, and than a vector.
#[test]
fn larger_pictures() {
    let mut random = Random(2);
    let mut readers = readers();
    for factors in FACTORS {
        for (width, height) in [(130, 300), (301, 257), (97, 129), (258, 128)] {
            let picture = picture(&mut random, width, height, factors);
            let Some(bytes) = encode(&picture) else { panic!("{width}×{height} {factors:?}") };
            let windows: Vec<_> = (0..12).map(|_| window(&mut random, width, height)).collect();
            agrees(&format!("{width}×{height} {factors:?}"), &bytes, &mut readers, &windows);
        }
    }
}
