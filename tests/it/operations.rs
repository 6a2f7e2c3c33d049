//! Each operation against torch's values, by every engine: the reference, the plan, the plan without fusions, and (run by `cuda`) that of a card.

use candle_core::Device;
use proptest::prelude::*;
use zoo::nn::graph::{Activation, Builder, ConvSpec, Graph, NodeId, PadMode, Padding, PoolKind, Window};
use zoo::nn::plan::{Isa, Plan};
use zoo::nn::reference::Reference;
use zoo::nn::seeded::{self, Seeded};
use zoo::nn::weights::{StateDict, Weights};

/// Weights, the image's `[channels, height, width]`, its values, what is wired to it, and what torch 2.15 makes of it.
struct Case<'a> {
    weights: &'a [(&'a str, &'a [usize], &'a [f32])],
    image: [usize; 3],
    values: Vec<f32>,
    wire: fn(&mut Builder, NodeId) -> NodeId,
    torch: &'a [f32],
}

impl Case<'_> {
    fn holds(self, what: &str) {
        let (mut b, x) = Builder::for_image("one", self.image, 0);
        (self.wire)(&mut b, x);
        let graph = b.finish("op", "op").unwrap();
        let weights: StateDict = self
            .weights
            .iter()
            .map(|(name, shape, values)| ((*name).to_owned(), (shape.to_vec(), values.to_vec())))
            .collect();
        let [c, h, w] = self.image;
        let close = |found: &[f32], engine: &str| {
            assert_eq!(found.len(), self.torch.len(), "{what}, {engine}");
            let near = |(a, b): (&f32, &f32)| (a - b).abs() <= 2e-6 * b.abs().max(1.0);
            assert!(found.iter().zip(self.torch).all(near), "{what}, {engine}: {found:?}");
        };
        let reference = Reference::new(&graph, &weights, &Device::Cpu).unwrap();
        close(&reference.logits(&self.values, [1, c, h, w]).unwrap(), "reference");
        if let Some(found) = on_card(&graph, &weights, self.image, &self.values) {
            return close(&found, "cuda");
        }
        for isa in Isa::available() {
            let plans = [
                Plan::new(&graph, &weights, self.image, isa).unwrap(),
                Plan::unfused(&graph, &weights, self.image, isa, &[graph.output()]).unwrap(),
            ];
            for (plan, threads) in plans.iter().flat_map(|plan| [(plan, 1), (plan, 3)]) {
                let mut out = vec![f32::NAN; plan.outputs()];
                plan.worker_on(threads).unwrap().logits(&self.values, &mut out).unwrap();
                close(&out, &format!("{plan:?}, {threads} threads"));
            }
        }
    }
}

/// What a card makes of it, where these tests are of the card's engine (`cuda` runs them so).
pub(crate) fn on_card(
    graph: &Graph,
    weights: &dyn Weights,
    image: [usize; 3],
    values: &[f32],
) -> Option<Vec<f32>> {
    std::env::var_os("ZOO_TEST_CUDA")?;
    let device = zoo::nn::cuda::Device::open(0).unwrap();
    let plan = zoo::nn::cuda::Plan::new(&device, graph, weights, image, &[graph.output()], Some(1)).unwrap();
    Some(plan.run(&[values]).unwrap())
}

fn count(to: usize) -> Vec<f32> {
    (0..to).map(|i| i as f32).collect()
}

#[test]
fn norms_and_gates_are_torchs() {
    // F.group_norm(x, 2, weight, bias, 1e-5)
    Case {
        weights: &[("op.weight", &[4], &[1.0, 2.0, 3.0, 4.0]), ("op.bias", &[4], &[0.0, 1.0, 2.0, 3.0])],
        image: [4, 2, 2],
        values: count(16).into_iter().map(|i| i.powf(1.5) / 8.0).collect(),
        wire: |b, x| b.group_norm("op", x, 2, 1e-5, false),
        torch: &[
            -1.228_598, -1.068_578, -0.775_993, -0.397_108, 1.103_128, 2.120_966, 3.246_421, 4.470_039,
            -2.372_66, -1.244_922, -0.052_656, 1.200_816, 3.683_522, 5.507_108, 7.402_251, 9.366_346,
        ],
    }
    .holds("group norm");
    // timm's RadixSoftmax(2, 2)
    Case {
        weights: &[],
        image: [8, 1, 1],
        values: vec![0.0, 1.0, 2.0, -1.0, 0.5, 3.0, 1.0, -2.0],
        wire: |b, x| b.softmax("op", x, 2, 2),
        torch: &[0.119_203, 0.880_797, 0.377_541, 0.993_307, 0.880_797, 0.119_203, 0.622_459, 0.006_693],
    }
    .holds("softmax");
    // F.conv1d over channels, padding 1
    Case {
        weights: &[("op.weight", &[1, 1, 3], &[0.5, 1.0, -0.25])],
        image: [8, 1, 1],
        values: vec![0.0, 1.0, 2.0, -1.0, 0.5, 3.0, 1.0, -2.0],
        wire: |b, x| b.channel_conv("op", x, 3),
        torch: &[-0.25, 0.5, 2.75, -0.125, -0.75, 3.0, 3.0, -1.5],
    }
    .holds("convolution over channels");
    Case {
        weights: &[],
        image: [1, 1, 3],
        values: vec![-1.0, 0.5, 8.0],
        wire: |b, x| b.scale("op", x, 0.25),
        torch: &[-0.25, 0.125, 2.0],
    }
    .holds("scale");
}

#[test]
fn what_moves_pixels_is_torchs() {
    // timm's BlurPool2d(1, 3, 2) and (1, 4, 2)
    let blur = |size, torch: &[f32]| {
        let wire: fn(&mut Builder, NodeId) -> NodeId =
            if size == 3 { |b, x| b.blur_pool("op", x, 3, 2) } else { |b, x| b.blur_pool("op", x, 4, 2) };
        Case { weights: &[], image: [1, 4, 4], values: count(16), wire, torch }.holds("blur");
    };
    blur(3, &[2.5, 4.0, 8.5, 10.0]);
    blur(4, &[3.75, 4.5, 5.25, 6.75, 7.5, 8.25, 9.75, 10.5, 11.25]);
    // F.pad(x, (1, 2, 2, 0), mode='reflect')
    Case {
        weights: &[],
        image: [1, 3, 3],
        values: vec![0.0, 1.0, 2.0, 4.0, 5.0, 6.0, 8.0, 9.0, 10.0],
        wire: |b, x| b.pad("op", x, [2, 0, 1, 2], PadMode::Reflect),
        torch: &[
            9.0, 8.0, 9.0, 10.0, 9.0, 8.0, 5.0, 4.0, 5.0, 6.0, 5.0, 4.0, 1.0, 0.0, 1.0, 2.0, 1.0, 0.0, 5.0,
            4.0, 5.0, 6.0, 5.0, 4.0, 9.0, 8.0, 9.0, 10.0, 9.0, 8.0,
        ],
    }
    .holds("reflection");
    Case {
        weights: &[],
        image: [1, 1, 2],
        values: vec![3.0, 4.0],
        wire: |b, x| b.pad("op", x, [1, 0, 0, 1], PadMode::Zero),
        torch: &[0.0, 0.0, 0.0, 3.0, 4.0, 0.0],
    }
    .holds("zeros");
    Case {
        weights: &[],
        image: [1, 3, 3],
        values: count(9),
        wire: |b, x| b.crop("op", x, [1, 0, 0, 1]),
        torch: &[3.0, 4.0, 6.0, 7.0],
    }
    .holds("crop");
    // timm's SpaceToDepth(4)
    let pairs: Vec<f32> = (0..16).flat_map(|i| [i as f32, (i + 16) as f32]).collect();
    Case {
        weights: &[],
        image: [2, 4, 4],
        values: count(32),
        wire: |b, x| b.space_to_depth("op", x, 4),
        torch: &pairs,
    }
    .holds("space to depth");
    // F.interpolate(x, scale_factor=2, mode='nearest')
    Case {
        weights: &[],
        image: [1, 2, 2],
        values: vec![0.0, 1.0, 4.0, 5.0],
        wire: |b, x| b.upsample("op", x, 2),
        torch: &[0.0, 0.0, 1.0, 1.0, 0.0, 0.0, 1.0, 1.0, 4.0, 4.0, 5.0, 5.0, 4.0, 4.0, 5.0, 5.0],
    }
    .holds("nearest neighbour");
}

/// A network with every operation that no rule joins, between some that rules join.
fn mixed(image: [usize; 3]) -> Graph {
    let (mut b, x) = Builder::for_image("mixed", image, 5);
    let spec = |out, groups| ConvSpec { out, groups, bias: false, window: Window::POINT };
    let x = b.conv("stem", x, spec(8, 1));
    let x = b.group_norm("gn", x, 4, 1e-5, false);
    let x = b.activation("act", x, Activation::Silu);
    let y = b.blur_pool("blur", x, 3, 2);
    let y = b.upsample("up", y, 2);
    let y = b.crop("crop", y, [0, 0, 1, 0]);
    let y = b.pad("pad", y, [0, 0, 0, 1], PadMode::Zero);
    let y = b.scale("scale", y, 0.5);
    let x = b.add("add", &[x, y]);
    let pooled = b.global_average_pool("mean", x);
    let gate = b.channel_conv("eca", pooled, 3);
    let gate = b.softmax("softmax", gate, 2, 2);
    let x = b.mul("gate", x, gate);
    let pooled = b.global_average_pool("route", x);
    let shares = b.linear("routing", pooled, 3, true);
    let shares = b.activation("shares", shares, Activation::Sigmoid);
    let x = b.cond_conv("cond", [x, shares], 3, spec(12, 2));
    let x = b.space_to_depth("s2d", x, 2);
    let x = b.global_average_pool("gap", x);
    b.linear("fc", x, 5, true);
    b.finish("fc", "stem").unwrap()
}

#[test]
fn operations_of_both_kinds_run_in_one_network() {
    let image = [3, 6, 8];
    let graph = mixed(image);
    let weights = Seeded::new(&graph, 4);
    let values = seeded::input(4, [1, 3, 6, 8]);
    let reference = Reference::new(&graph, &weights, &Device::Cpu).unwrap();
    let truth = reference.logits(&values, [1, 3, 6, 8]).unwrap();
    let close =
        |found: &[f32]| found.iter().zip(&truth).all(|(a, b)| (a - b).abs() <= 1e-5 * b.abs().max(1.0));
    if let Some(found) = on_card(&graph, &weights, image, &values) {
        assert!(close(&found), "cuda: {found:?} {truth:?}");
        return;
    }
    for isa in Isa::available() {
        let plan = Plan::new(&graph, &weights, image, isa).unwrap();
        let bits = |threads: usize| {
            let mut out = vec![f32::NAN; 5];
            let mut worker = plan.worker_on(threads).unwrap();
            worker.logits(&values, &mut out).unwrap();
            worker.logits(&values, &mut out).unwrap();
            out
        };
        let one = bits(1);
        assert!(close(&one), "{isa}: {one:?} {truth:?}");
        assert_eq!(one, bits(4), "{isa}");
    }
}

/// An operation that no rule joins with others, and its settings.
#[derive(Clone, Debug)]
enum Alone {
    GroupNorm(usize),
    Blur(usize, usize),
    Pad([usize; 4], PadMode),
    Crop([usize; 4]),
    Upsample(usize),
    SpaceToDepth(usize),
    Scale,
    Pool(PoolKind, Window),
    /// Experts, outputs (as many as inputs, depthwise, where 0), kernel, stride.
    Mixed(usize, usize, usize, usize),
}

fn alone() -> impl Strategy<Value = Alone> {
    let border = || [0usize..4, 0usize..4, 0usize..4, 0usize..4];
    prop_oneof![
        prop::sample::select(vec![1usize, 2, 4, 8]).prop_map(Alone::GroupNorm),
        (1usize..6, 1usize..4).prop_map(|(size, stride)| Alone::Blur(size, stride)),
        (border(), any::<bool>()).prop_map(|(pads, zero)| {
            Alone::Pad(pads, if zero { PadMode::Zero } else { PadMode::Reflect })
        }),
        border().prop_map(Alone::Crop),
        (1usize..4).prop_map(Alone::Upsample),
        (1usize..5).prop_map(Alone::SpaceToDepth),
        Just(Alone::Scale),
        (any::<[bool; 3]>(), 1usize..4, 1usize..4, 0usize..2).prop_map(
            |([average, count_padding, ceil], kernel, stride, pad)| {
                let kind = if average { PoolKind::Average { count_padding } } else { PoolKind::Max };
                let padding = Padding::all(pad.min(kernel / 2));
                Alone::Pool(kind, Window { ceil, ..Window::square(kernel, stride, padding) })
            }
        ),
        (1usize..6, 0usize..60, prop::sample::select(vec![1usize, 3, 5]), 1usize..3)
            .prop_map(|(experts, out, kernel, stride)| Alone::Mixed(experts, out, kernel, stride)),
    ]
}

impl Alone {
    /// On a map of so many channels.
    fn graph(&self, channels: usize, [h, w]: [usize; 2]) -> Option<Graph> {
        let (mut b, x) = Builder::for_image("alone", [channels, h, w], 0);
        match *self {
            Alone::GroupNorm(groups) => b.group_norm("op", x, groups, 1e-5, false),
            Alone::Blur(size, stride) => b.blur_pool("op", x, size, stride),
            Alone::Pad(pads, mode) => b.pad("op", x, pads, mode),
            Alone::Crop(crops) => b.crop("op", x, crops),
            Alone::Upsample(factor) => b.upsample("op", x, factor),
            Alone::SpaceToDepth(block) => b.space_to_depth("op", x, block),
            Alone::Scale => b.scale("op", x, 0.3),
            Alone::Pool(kind, window) => b.pool("op", x, kind, window),
            Alone::Mixed(experts, out, kernel, stride) => {
                let pooled = b.global_average_pool("route", x);
                let shares = b.linear("routing", pooled, experts, true);
                let shares = b.activation("shares", shares, Activation::Sigmoid);
                let window = Window::square(kernel, stride, Padding::symmetric(kernel, stride, 1));
                let (out, groups) = if out == 0 { (channels, channels) } else { (out, 1) };
                b.cond_conv("op", [x, shares], experts, ConvSpec { out, groups, bias: false, window })
            }
        };
        let graph = b.finish("op", "op").ok()?;
        graph.shapes([1, channels, h, w]).is_ok().then_some(graph)
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, max_global_rejects: 20_000, ..ProptestConfig::default() })]

    #[test]
    fn what_vector_code_does_is_its_definition(
        op in alone(),
        channels in prop::sample::select(vec![1usize, 2, 3, 8, 16, 24, 40, 64, 72]),
        size in [1usize..20, 1usize..20],
        offset in prop::sample::select(vec![0.0f32, 30.0]),
        seed in 0u64..1000,
    ) {
        let graph = op.graph(channels, size);
        prop_assume!(graph.is_some());
        let graph = graph.unwrap();
        let [h, w] = size;
        let weights = Seeded::new(&graph, seed);
        // A mean far from zero, which a norm must take off without losing what is left.
        let values: Vec<f32> =
            seeded::input(seed, [1, channels, h, w]).into_iter().map(|v| v + offset).collect();
        let run = |plan: &Plan, threads: usize| {
            let mut out = vec![f32::NAN; plan.outputs()];
            let mut worker = plan.worker_on(threads).unwrap();
            worker.logits(&values, &mut out).unwrap();
            worker.logits(&values, &mut out).unwrap();
            out
        };
        let image = [channels, h, w];
        let unfused = |isa| run(&Plan::unfused(&graph, &weights, image, isa, &[graph.output()]).unwrap(), 1);
        let far = |found: &[f32], truth: &[f32]| {
            let largest = truth.iter().fold(1.0f32, |m, x| m.max(x.abs()));
            let far = found.iter().zip(truth).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
            let is_near = far <= 2e-5 * largest.max(offset) && found.iter().all(|v| v.is_finite());
            (!is_near).then(|| format!("{far:e} of {largest}"))
        };
        if let Some(found) = on_card(&graph, &weights, image, &values) {
            prop_assert_eq!(far(&found, &unfused(Isa::best())), None, "cuda");
            return Ok(());
        }
        for isa in Isa::available() {
            let plan = Plan::new(&graph, &weights, image, isa).unwrap();
            let one = run(&plan, 1);
            prop_assert_eq!(far(&one, &unfused(isa)), None, "{}", isa);
            prop_assert_eq!(one, run(&plan, 3), "{}: threads", isa);
        }
    }
}
