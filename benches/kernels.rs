//! One layer at a time, on each instruction set of the machine. `cargo bench --bench kernels [-- FILTER]`.
//!
//! A layer stands behind a 3x3 convolution that makes its input, and in front of nothing: its time is what
//! [`Worker::timed`] gives for it, so that its input lies where a pass would have left it. Throughput is in multiply-adds.

#![allow(missing_docs, clippy::unwrap_used, clippy::panic)]

use std::time::Duration;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use zoo::nn::graph::{Activation, Builder, ConvSpec, Graph, NodeId, Padding, Window};
use zoo::nn::plan::{Isa, Plan, Worker};
use zoo::nn::seeded::{Seeded, input};

/// What is measured.
#[derive(Clone, Copy)]
enum Layer {
    /// A 1x1 convolution to so many channels.
    Point(usize),
    /// A square convolution of side, stride and channels.
    Square(usize, usize, usize),
    /// Of side and stride.
    Depthwise(usize, usize),
    /// A 1x1 convolution to so many channels, SiLU, and a depthwise one of side and stride, panel by panel.
    Expand(usize, usize, usize),
}

const LAYERS: [(&str, usize, usize, Layer); 11] = [
    ("1x1 64 to 256 at 56", 64, 56, Layer::Point(256)),
    ("1x1 480 to 112 at 14", 480, 14, Layer::Point(112)),
    ("1x1 1152 to 192 at 7", 1152, 7, Layer::Point(192)),
    ("3x3 64 to 64 at 56", 64, 56, Layer::Square(3, 1, 64)),
    ("3x3 256 to 256 at 14", 256, 14, Layer::Square(3, 1, 256)),
    ("3x3 512 to 512 at 7", 512, 7, Layer::Square(3, 1, 512)),
    ("3x3/2 128 to 128 at 56", 128, 56, Layer::Square(3, 2, 128)),
    ("depthwise 3x3 at 56, 144 channels", 144, 56, Layer::Depthwise(3, 1)),
    ("depthwise 5x5 at 14, 480 channels", 480, 14, Layer::Depthwise(5, 1)),
    ("expand 24 to 144, depthwise 3x3 at 56", 24, 56, Layer::Expand(144, 3, 1)),
    ("expand 192 to 1152, depthwise 5x5 at 7", 192, 7, Layer::Expand(1152, 5, 1)),
];

fn conv(
    b: &mut Builder,
    name: &str,
    x: NodeId,
    side: usize,
    stride: usize,
    out: usize,
    groups: usize,
) -> NodeId {
    let window = Window::square(side, stride, Padding::symmetric(side, stride, 1));
    let x = b.conv(name, x, ConvSpec { out, groups, bias: true, window });
    b.activation(&format!("{name}.act"), x, Activation::Silu)
}

fn graph(channels: usize, layer: Layer) -> Graph {
    let (mut b, image) = Builder::new("layer", 3, 0);
    let x = conv(&mut b, "input", image, 3, 1, channels, 1);
    match layer {
        Layer::Point(out) => conv(&mut b, "layer", x, 1, 1, out, 1),
        Layer::Square(side, stride, out) => conv(&mut b, "layer", x, side, stride, out, 1),
        Layer::Depthwise(side, stride) => conv(&mut b, "layer", x, side, stride, channels, channels),
        Layer::Expand(out, side, stride) => {
            let x = conv(&mut b, "expand", x, 1, 1, out, 1);
            conv(&mut b, "layer", x, side, stride, out, out)
        }
    };
    b.finish("", "input").unwrap()
}

/// The last layer's time in so many passes.
fn time(worker: &mut Worker, image: &[f32], out: &mut [f32], layers: usize, passes: u64) -> Duration {
    let mut times = vec![Duration::ZERO; layers];
    for _ in 0..passes {
        worker.timed(image, out, &mut times).unwrap();
    }
    times.pop().unwrap()
}

fn kernels(c: &mut Criterion) {
    for isa in Isa::available() {
        let mut group = c.benchmark_group(isa.name());
        for (name, channels, side, layer) in LAYERS {
            let graph = graph(channels, layer);
            let plan = Plan::new(&graph, &Seeded::new(&graph, 0), [3, side, side], isa).unwrap();
            let mut worker = plan.worker().unwrap();
            let (image, mut out) = (input(0, [1, 3, side, side]), vec![0.0; plan.outputs()]);
            let layers = plan.layers();
            group.throughput(Throughput::Elements(layers.last().unwrap().macs));
            group.bench_function(name, |b| {
                b.iter_custom(|passes| time(&mut worker, &image, &mut out, layers.len(), passes));
            });
        }
    }
}

criterion_group! {
    name = benches;
    config = Criterion::default().measurement_time(Duration::from_secs(2)).warm_up_time(Duration::from_millis(500));
    targets = kernels
}
criterion_main!(benches);
