//! What this processor can do at most, measured: fused multiply-adds, and reads from each level of memory.
//!
//! In: an [`Isa`]. Out: a [`Roofline`] of one thread, against which `zoo bench --layers` holds each layer.
//! Takes some tens of milliseconds.

#![allow(unsafe_code)]

use std::time::Instant;

use super::Isa;
use super::memory::Buffer;
use super::simd::{Kernel, Simd};

/// Limits of one thread.
#[derive(Clone, Debug, PartialEq)]
pub struct Roofline {
    /// Floating-point operations a second: two for each multiply-add.
    pub flops: f64,
    /// Bytes a second that can be read, by the size of what is read over and over, smallest first.
    pub reads: Vec<(usize, f64)>,
}

/// Sizes of what is read: the second-level cache, the third, and memory.
const SIZES: [usize; 3] = [192 << 10, 6 << 20, 96 << 20];

impl Roofline {
    /// Measures, each the best of a few turns.
    pub fn measure(isa: Isa) -> Roofline {
        let best = |turns: usize, work: f64, mut run: Box<dyn FnMut() + '_>| {
            run();
            let rate = |_| {
                let start = Instant::now();
                run();
                work / start.elapsed().as_secs_f64()
            };
            (0..turns).map(rate).fold(0.0, f64::max)
        };
        let chains = CHAINS * isa.lanes();
        let flops =
            best(10, (2 * ROUNDS * chains) as f64, Box::new(|| isa.dispatch(Peak { out: &mut [0.0; 16] })));
        let reads = SIZES.iter().filter_map(|&bytes| {
            let mut buffer = Buffer::zeroed(bytes / 4)?;
            // Pages that nobody has written to are all one page of zeros, which is always near.
            buffer.values_mut().fill(1.0);
            let times = (SIZES[1] / bytes).max(1);
            let run = || isa.dispatch(Sweep { values: buffer.values(), times, out: &mut [0.0; 16] });
            Some((bytes, best(6, (bytes * times) as f64, Box::new(run))))
        });
        let reads = reads.collect();
        Roofline { flops, reads }
    }

    /// The least seconds for some work that touches `bytes` of memory, which may all be in a cache that
    /// can hold them.
    pub fn seconds(&self, flops: f64, bytes: usize) -> f64 {
        let rate = self.reads.iter().find(|(size, _)| bytes <= *size).or(self.reads.last());
        let reading = rate.map_or(0.0, |(_, rate)| bytes as f64 / rate);
        reading.max(flops / self.flops)
    }
}

const CHAINS: usize = 12;
const ROUNDS: usize = 200_000;

/// Multiply-adds in as many chains as hide their latency.
struct Peak<'a> {
    out: &'a mut [f32; 16],
}

impl Kernel for Peak<'_> {
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let mut sums = [s.splat(1.0); CHAINS];
        let (a, b) = (s.splat(std::hint::black_box(0.5)), s.splat(std::hint::black_box(0.25)));
        for _ in 0..ROUNDS {
            for sum in &mut sums {
                *sum = s.fma(*sum, a, b);
            }
        }
        let total = sums.into_iter().fold(s.splat(0.0), |x, y| s.add(x, y));
        super::simd::to_array(s, total, self.out);
        std::hint::black_box(self.out);
    }
}

/// Reads all values, some times.
struct Sweep<'a> {
    values: &'a [f32],
    times: usize,
    out: &'a mut [f32; 16],
}

impl Kernel for Sweep<'_> {
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let mut sums = [s.splat(0.0); 8];
        for _ in 0..self.times {
            for chunk in std::hint::black_box(self.values).chunks_exact(8 * S::LANES) {
                for (j, sum) in sums.iter_mut().enumerate() {
                    // SAFETY: the chunk has eight vectors' values.
                    *sum = s.add(*sum, unsafe { s.load(chunk.as_ptr().add(j * S::LANES)) });
                }
            }
        }
        let total = sums.into_iter().fold(s.splat(0.0), |x, y| s.add(x, y));
        super::simd::to_array(s, total, self.out);
        std::hint::black_box(self.out);
    }
}
