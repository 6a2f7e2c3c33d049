//! A launch: a kernel, its argument, and how many threads a batch takes.
//!
//! Made by `schedule`, once a plan; run by `Plan`, once a batch.

use super::arguments::{
    Blocks, Blur, ChannelConv, Conv, Copy, Depthwise, Elementwise, Frame, GroupNorm, Image, Linear, Mean,
    Mix, Pool, Softmax, Sums, Traced,
};
use super::driver::{Argument, Function, Stream};
use super::error::CallError;
use super::tile::Tile;

/// Threads of a block of the kernels that have a thread a value.
const THREADS: u32 = 256;

/// A kernel's work, for any number of images. Counts are of one image.
#[derive(Clone, Copy, Debug)]
pub(super) enum Work {
    Image(Image, usize),
    /// With the output's pixels, and blocks of groups.
    Conv(Conv, Tile, usize, usize),
    /// The same with filters of each image's own: values from an image to the next of input, filters and output.
    OwnConv(Conv, Tile, usize, usize, [usize; 3]),
    Linear(Linear),
    Mix(Mix),
    /// With blocks of an image and threads of a block.
    Depthwise(Depthwise, usize, u32),
    OwnDepthwise(Depthwise, usize, u32, [usize; 3]),
    Mean(Mean),
    Elementwise(Elementwise, usize),
    Sums(Sums),
    GroupNorm(GroupNorm),
    Pool(Pool, usize),
    Blur(Blur, usize),
    Copy(Copy, usize),
    Frame(Frame, usize),
    Blocks(Blocks, usize),
    Softmax(Softmax, usize),
    ChannelConv(ChannelConv, usize),
}

/// A step of a pass.
#[derive(Clone, Copy, Debug)]
pub(super) struct Step {
    /// Its layer's place.
    pub(super) layer: usize,
    pub(super) function: Function,
    pub(super) work: Work,
}

/// How many of a size it takes for `count` values. Sizes are checked as steps are made.
fn up(count: usize, size: usize) -> u32 {
    u32::try_from(count.div_ceil(size)).unwrap_or(u32::MAX)
}

fn line(count: usize) -> [u32; 3] {
    [up(count, THREADS as usize), 1, 1]
}

/// The address `values` behind another.
fn behind(address: u64, values: usize) -> u64 {
    address + values as u64 * 4
}

impl Step {
    /// What its kernel writes when it begins: its layer's number, from 1.
    pub(super) fn number(&self) -> u32 {
        u32::try_from(self.layer + 1).unwrap_or(u32::MAX)
    }

    /// Begins it for `images` images, of which the input is at `input`; the kernel writes to `begun` that it has begun.
    ///
    /// # Safety
    /// Every address of the argument must hold what the kernel reads and writes for so many images, until the stream has
    /// come to its end.
    #[allow(unsafe_code)]
    pub(super) unsafe fn launch(
        &self,
        images: usize,
        input: u64,
        begun: u64,
        stream: &Stream,
    ) -> Result<(), CallError> {
        let n = i32::try_from(images).unwrap_or(i32::MAX);
        // SAFETY: the function is the kernel that takes this argument (`schedule`), and the caller answers for the rest.
        let run = |argument: &dyn Launch, grid, threads| unsafe {
            argument.launch(self.function, grid, threads, (begun, self.number()), stream)
        };
        // Of kernels with a thread a value, or four, which an argument counts for the whole batch.
        macro_rules! each {
            ($argument:ident { $field:ident: $int:ty }, $a:expr, $of_image:expr) => {{
                let count = $of_image * images;
                run(&$argument { $field: count as $int, ..$a }, line(count), THREADS)
            }};
        }
        match self.work {
            Work::Image(a, values) => each!(Image { count: i64 }, Image { input, ..a }, values),
            Work::Conv(a, tile, pixels, blocks) => {
                let rows = pixels * images;
                run(&Conv { rows: rows as i32, ..a }, conv_grid(&a, &tile, rows, blocks), tile.threads)
            }
            Work::OwnConv(a, tile, pixels, blocks, [of_input, of_weight, of_output]) => {
                let grid = conv_grid(&a, &tile, pixels, blocks);
                (0..images).try_for_each(|i| {
                    let a = Conv {
                        rows: pixels as i32,
                        input: behind(a.input, i * of_input),
                        weight: behind(a.weight, i * of_weight),
                        output: behind(a.output, i * of_output),
                        ..a
                    };
                    run(&a, grid, tile.threads)
                })
            }
            Work::Linear(a) => {
                run(&Linear { images: n, ..a }, [up(a.outputs as usize, 8), up(images, 4), 1], THREADS)
            }
            Work::Mix(a) => run(&a, [up(a.quads as usize, THREADS as usize), n as u32, 1], THREADS),
            Work::Depthwise(a, blocks, threads) => run(&a, depthwise_grid(&a, blocks, images), threads),
            Work::OwnDepthwise(a, blocks, threads, [of_input, of_weight, of_output]) => (0..images)
                .try_for_each(|i| {
                    let a = Depthwise {
                        input: behind(a.input, i * of_input),
                        weight: behind(a.weight, i * of_weight),
                        output: behind(a.output, i * of_output),
                        ..a
                    };
                    run(&a, depthwise_grid(&a, blocks, 1), threads)
                }),
            Work::Mean(a) => run(&Mean { images: n, ..a }, line(a.channels as usize * images), THREADS),
            Work::Elementwise(a, quads) => each!(Elementwise { quads: i64 }, a, quads),
            Work::Sums(a) => run(&a, [a.parts as u32, up(a.channels as usize, 128), n as u32], THREADS),
            Work::GroupNorm(a) => run(&a, [a.groups as u32, n as u32, 1], 32),
            Work::Pool(a, quads) => each!(Pool { quads: i64 }, a, quads),
            Work::Blur(a, quads) => each!(Blur { quads: i64 }, a, quads),
            Work::Copy(a, count) => each!(Copy { count: i64 }, a, count),
            Work::Frame(a, quads) => each!(Frame { quads: i64 }, a, quads),
            Work::Blocks(a, count) => each!(Blocks { count: i64 }, a, count),
            Work::Softmax(a, count) => each!(Softmax { count: i32 }, a, count),
            Work::ChannelConv(a, count) => each!(ChannelConv { count: i32 }, a, count),
        }
    }
}

fn conv_grid(a: &Conv, tile: &Tile, rows: usize, blocks: usize) -> [u32; 3] {
    [up(rows, tile.rows).saturating_mul(a.tiles_x as u32), 1, blocks as u32]
}

fn depthwise_grid(a: &Depthwise, blocks: usize, images: usize) -> [u32; 3] {
    [blocks as u32, up(a.channels as usize / 4, a.lanes.max(1) as usize), images as u32]
}

/// An argument of any kernel.
trait Launch {
    /// # Safety
    /// As for [`Stream::launch`].
    #[allow(unsafe_code)]
    unsafe fn launch(
        &self,
        function: Function,
        grid: [u32; 3],
        threads: u32,
        trace: (u64, u32),
        stream: &Stream,
    ) -> Result<(), CallError>;
}

impl<T: Argument + Traced + Clone> Launch for T {
    #[allow(unsafe_code)]
    unsafe fn launch(
        &self,
        function: Function,
        grid: [u32; 3],
        threads: u32,
        trace: (u64, u32),
        stream: &Stream,
    ) -> Result<(), CallError> {
        // SAFETY: the caller's.
        unsafe { stream.launch(function, grid, threads, &self.clone().traced(trace)) }
    }
}
