//! The fast engine against the reference: whole networks, and random small ones over every kind of layer
//! and edge, on every instruction set of the machine; and with any number of threads.

use candle_core::Device;
use proptest::prelude::*;
use zoo::nn::graph::{Activation, BuildError, Builder, ConvSpec, Graph, NodeId, Padding, PoolKind, Window};
use zoo::nn::plan::{Isa, Plan};
use zoo::nn::reference::Reference;
use zoo::nn::seeded::{self, Seeded};
use zoo::verify::logits_record as golden;

/// Largest difference, in standard deviations of the reference's logits.
fn distance(found: &[f32], truth: &[f32]) -> f64 {
    let n = truth.len() as f64;
    let mean = truth.iter().map(|&x| f64::from(x)).sum::<f64>() / n;
    let sigma = (truth.iter().map(|&x| (f64::from(x) - mean).powi(2)).sum::<f64>() / n).sqrt();
    max_abs_diff(found, truth) / sigma
}

/// Largest difference; infinite where one is not a number.
fn max_abs_diff(found: &[f32], truth: &[f32]) -> f64 {
    assert_eq!(found.len(), truth.len());
    let diff = |(a, b): (&f32, &f32)| (f64::from(*a) - f64::from(*b)).abs();
    let worse = |a: f64, b: f64| if b.is_nan() { f64::INFINITY } else { a.max(b) };
    found.iter().zip(truth).map(diff).fold(0.0, worse)
}

/// The design's bound for direct kernels.
const BOUND: f64 = 2e-5;

/// What this machine has; says what it has not.
#[allow(clippy::print_stdout, reason = "CI must show what was not run")]
fn isas() -> Vec<Isa> {
    let has = Isa::available();
    if !has.iter().any(|isa| isa.name() == "avx512") {
        println!("not run here: avx512");
    }
    has
}

fn run(plan: &Plan, image: &[f32], threads: usize) -> Vec<f32> {
    let mut out = vec![f32::NAN; plan.outputs()];
    let mut worker = plan.worker_on(threads).unwrap();
    // Twice: the second pass finds the memory as the first left it.
    worker.logits(image, &mut out).unwrap();
    let first = out.clone();
    worker.logits(image, &mut out).unwrap();
    assert!(
        first.iter().zip(&out).all(|(a, b)| a.to_bits() == b.to_bits()),
        "{plan:?}: a pass leaves traces"
    );
    out
}

fn agrees(name: &str, side: usize) {
    let graph = zoo::arch::build(name, 1000).unwrap();
    let weights = Seeded::new(&graph, 0);
    let image = seeded::input(0, [1, 3, side, side]);
    let reference = Reference::new(&graph, &weights, &Device::Cpu).unwrap();
    let truth = reference.logits(&image, [1, 3, side, side]).unwrap();
    for isa in isas() {
        let plan = Plan::new(&graph, &weights, [3, side, side], isa).unwrap();
        let far = distance(&run(&plan, &image, 1), &truth);
        assert!(far <= BOUND, "{name} at {side} on {isa}: {far:e}");
    }
}

#[test]
fn efficientnets_agree_with_the_reference() {
    agrees("tf_efficientnet_b0", 224);
    agrees("tf_efficientnet_b0", 97);
    agrees("tf_efficientnet_lite0", 128);
}

#[test]
fn mobilenetv3_and_resnets_agree_with_the_reference() {
    agrees("mobilenetv3_large_100", 224);
    agrees("resnet50", 96);
    agrees("resnet50", 75);
    agrees("seresnext26d_32x4d", 64);
}

/// The plan against timm's own record: within five times torch's noise, and no less than 2e-5 σ.
fn agrees_with_timm(arch: &str, isa: Isa, largest: usize) {
    let golden = golden::of(arch).unwrap().unwrap();
    let graph = zoo::arch::build(arch, 1000).unwrap();
    let weights = golden.weights(&graph);
    let rows: Vec<_> = golden.rows.iter().filter(|r| r.size <= largest).collect();
    assert!(!rows.is_empty(), "{arch}: no record of {largest} pixels or less");
    for row in rows {
        let image = seeded::input(golden.seed, [1, 3, row.size, row.size]);
        let plan = Plan::new(&graph, &weights, [3, row.size, row.size], isa).unwrap();
        let mut out = vec![f32::NAN; plan.outputs()];
        plan.worker().unwrap().logits(&image, &mut out).unwrap();
        let (far, bound) = (row.distance(&out), (5.0 * row.noise).clamp(BOUND, golden::TOLERANCE));
        assert!(far <= bound, "{arch} at {} on {isa}: {far:e}", row.size);
    }
}

/// A third of all records at 96 pixels, but those of the largest networks: `zoo verify --all --dataset golden`
/// runs them all, on the instruction set that `ZOO_ISA` names.
fn records_of_timm_agree(third: usize) {
    let archs = golden::archs();
    assert_eq!(archs.len(), 211);
    let small = |arch: &&str| zoo::arch::build(arch, 1000).unwrap().params() < 100_000_000;
    for arch in archs.into_iter().skip(third).step_by(3).filter(small) {
        agrees_with_timm(arch, Isa::best(), 100);
    }
}

#[test]
fn records_of_timm_agree_first_third() {
    records_of_timm_agree(0);
}

#[test]
fn records_of_timm_agree_second_third() {
    records_of_timm_agree(1);
}

#[test]
fn records_of_timm_agree_last_third() {
    records_of_timm_agree(2);
}

#[test]
fn records_of_timm_agree_on_every_instruction_set() {
    for isa in isas().into_iter().filter(|isa| *isa != Isa::best()) {
        for arch in [
            "dla46x_c",
            "ecaresnetlight",
            "hrnet_w18_small",
            "resnest14d",
            "resnet50",
            "resnetv2_50x1_bit",
            "skresnet18",
            "tf_efficientnet_b0",
            "tf_efficientnet_cc_b0_4e",
            "tf_mixnet_m",
            "tf_mobilenetv3_small_100",
            "tresnet_m",
        ] {
            agrees_with_timm(arch, isa, 100);
        }
    }
}

#[test]
#[ignore = "two gigabytes of weights, a minute"]
fn efficientnet_l2_runs_at_800_pixels_within_six_gigabytes() {
    let graph = zoo::arch::build("tf_efficientnet_l2", 1000).unwrap();
    let plan = Plan::new(&graph, &Seeded::new(&graph, 0), [3, 800, 800], Isa::best()).unwrap();
    let mut out = vec![f32::NAN; plan.outputs()];
    plan.worker().unwrap().logits(&seeded::input(0, [1, 3, 800, 800]), &mut out).unwrap();
    assert!(out.iter().all(|logit| logit.is_finite()));
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let peak =
        status.lines().find_map(|l| l.strip_prefix("VmHWM:")?.trim().strip_suffix("kB")?.trim().parse().ok());
    assert!(peak.is_none_or(|kb: u64| kb <= 6_000_000), "{peak:?} kB");
}

#[test]
fn threads_do_not_change_a_bit() {
    for name in ["tf_efficientnet_b0", "resnet50", "regnety_008", "resnest14d"] {
        let graph = zoo::arch::build(name, 1000).unwrap();
        let image = seeded::input(0, [1, 3, 65, 65]);
        for isa in isas() {
            let plan = Plan::new(&graph, &Seeded::new(&graph, 0), [3, 65, 65], isa).unwrap();
            let bits =
                |threads| run(&plan, &image, threads).into_iter().map(f32::to_bits).collect::<Vec<_>>();
            let one = bits(1);
            for threads in [2, 3, 7] {
                assert_eq!(bits(threads), one, "{name} on {isa} with {threads} threads");
            }
        }
    }
}

#[test]
fn every_tap_is_what_the_reference_has_there() {
    for (name, side) in [("resnet18", 64), ("mobilenetv3_large_100", 65), ("densenet121", 64), ("dla34", 64)]
    {
        let graph = zoo::arch::build(name, 1000).unwrap();
        let weights = Seeded::new(&graph, 0);
        let (shape, image) = ([1, 3, side, side], seeded::input(0, [1, 3, side, side]));
        let (taps, nodes): (Vec<_>, Vec<_>) = graph.taps().unzip();
        let reference = Reference::new(&graph, &weights, &Device::Cpu).unwrap();
        let truth = reference.features(&image, shape, &taps).unwrap();
        for isa in isas() {
            let plan = Plan::with_outputs(&graph, &weights, [3, side, side], isa, &nodes).unwrap();
            let mut worker = plan.worker_on(2).unwrap();
            worker.forward(&image).unwrap();
            for (i, (tap, truth)) in taps.iter().zip(&truth).enumerate() {
                assert_eq!(plan.output_shapes()[i].as_slice(), truth.dims(), "{name} {tap}");
                let truth: Vec<f32> = truth.flatten_all().unwrap().to_vec1().unwrap();
                let mut found = vec![f32::NAN; truth.len()];
                worker.output(i, &mut found).unwrap();
                let far = distance(&found, &truth);
                assert!(far <= BOUND, "{name} {tap} on {isa}: {far:e}");
            }
            // What is wanted besides does not change the logits.
            let mut logits = vec![f32::NAN; 1000];
            worker.logits(&image, &mut logits).unwrap();
            let plan = Plan::new(&graph, &weights, [3, side, side], isa).unwrap();
            assert!(distance(&run(&plan, &image, 1), &logits) <= BOUND, "{name} on {isa}");
        }
    }
}

#[test]
fn what_a_plan_is_not_made_for_is_refused() {
    let graph = zoo::arch::build("resnet18", 1000).unwrap();
    let weights = Seeded::new(&graph, 0);
    let isa = Isa::Portable(zoo::nn::kernels::Portable);
    let plan = |image, outputs: &[NodeId]| Plan::with_outputs(&graph, &weights, image, isa, outputs);
    let error = plan([3, 64, 64], &[NodeId(9999)]).unwrap_err();
    assert_eq!(error.to_string(), "`resnet18` has no node 9999");
    let plan = plan([3, 64, 64], &[graph.output()]).unwrap();
    let mut worker = plan.worker().unwrap();
    assert!(worker.forward(&[0.0; 7]).is_err());
    assert!(worker.output(1, &mut []).is_err(), "there is one output");
    assert!(worker.output(0, &mut [0.0; 999]).is_err());
}

/// A window, and how it meets the border.
fn window(side: usize) -> impl Strategy<Value = Window> {
    let sides = [prop::sample::select(vec![1usize, 2, 3, 5, 7]), prop::sample::select(vec![side, 1, 3, 3])];
    let [kernel, other] = sides;
    (kernel, other, 1usize..4, 1usize..3, 0usize..3).prop_map(|(k, other, stride, dilation, padding)| {
        Window {
            kernel: if padding == 2 { [k, other] } else { [k; 2] },
            stride: [stride; 2],
            dilation: [dilation; 2],
            padding: match padding {
                0 => Padding::Same,
                1 => Padding::symmetric(k, stride, dilation),
                _ => Padding::Explicit([k / 2, other, 1, 2]),
            },
            ceil: false,
        }
    })
}

fn activation() -> impl Strategy<Value = Option<Activation>> {
    prop::sample::select(vec![
        None,
        Some(Activation::Relu),
        Some(Activation::Relu6),
        Some(Activation::Silu),
        Some(Activation::HardSwish),
        Some(Activation::Sigmoid),
        Some(Activation::HardSigmoid),
        Some(Activation::LeakyRelu(0.1)),
        Some(Activation::Gelu),
        Some(Activation::Mish),
    ])
}

/// What a small network is made of.
#[derive(Clone, Debug)]
struct Small {
    image: [usize; 3],
    stem: (usize, Window),
    middle: Middle,
    activations: [Option<Activation>; 3],
    residual: bool,
    classes: usize,
}

#[derive(Clone, Debug)]
enum Middle {
    /// Expand, depthwise, squeeze-excite, project.
    Inverted {
        expand: Option<usize>,
        window: Window,
        squeeze: Option<usize>,
    },
    /// Enough channels for Winograd's algorithm: those of its input and its output.
    Wide(usize, usize, Window),
    /// A grouped convolution: groups, outputs of a group, window.
    Grouped(usize, usize, Window),
    Pool(PoolKind, Window),
    /// Two slices, one of them convolved, joined again.
    Split(usize, Window),
}

fn small() -> impl Strategy<Value = Small> {
    let middle = prop_oneof![
        (prop::option::of(1usize..40), window(3), prop::option::of(1usize..9))
            .prop_map(|(expand, window, squeeze)| Middle::Inverted { expand, window, squeeze }),
        (32usize..50, 32usize..50, 0usize..3, 0usize..3).prop_map(|(i, o, a, b)| {
            let padding = if a == b { Padding::Same } else { Padding::Explicit([a, b, b, a]) };
            Middle::Wide(i, o, Window { padding, ..Window::square(3, 1, Padding::Same) })
        }),
        (1usize..5, 1usize..14, window(3)).prop_map(|(g, o, w)| Middle::Grouped(g, o, w)),
        (any::<bool>(), any::<bool>(), window(3)).prop_map(|(average, count_padding, w)| {
            let kind = if average { PoolKind::Average { count_padding } } else { PoolKind::Max };
            Middle::Pool(kind, w)
        }),
        (1usize..20, window(1)).prop_map(|(o, w)| Middle::Split(o, w)),
    ];
    let image = (1usize..4, 1usize..20, 1usize..20).prop_map(|(c, h, w)| [c, h, w]);
    let stem = (1usize..40, window(2));
    (image, stem, middle, [activation(), activation(), activation()], any::<bool>(), 1usize..20).prop_map(
        |(image, stem, middle, activations, residual, classes)| Small {
            image,
            stem,
            middle,
            activations,
            residual,
            classes,
        },
    )
}

impl Small {
    fn graph(&self) -> Result<Graph, BuildError> {
        let (mut b, image) = Builder::for_image("small", self.image, self.classes);
        let mut count = 0;
        let mut conv = |b: &mut Builder, x: NodeId, out: usize, groups: usize, window: Window, act| {
            count += 1;
            let x =
                b.conv(&format!("conv{count}"), x, ConvSpec { out, groups, bias: count % 2 == 0, window });
            let x = b.batch_norm(&format!("bn{count}"), x, 1e-3, false);
            match act {
                Some(act) => b.activation(&format!("act{count}"), x, act),
                None => x,
            }
        };
        let point = Window::square(1, 1, Padding::all(0));
        let [first, second, third] = self.activations;
        let stem = conv(&mut b, image, self.stem.0, 1, self.stem.1, first);
        let channels = b.channels(stem);
        let mut x = stem;
        match &self.middle {
            Middle::Inverted { expand, window, squeeze } => {
                if let Some(out) = expand {
                    x = conv(&mut b, x, *out, 1, point, second);
                }
                let wide = b.channels(x);
                x = conv(&mut b, x, wide, wide, *window, second);
                if let Some(squeeze) = squeeze {
                    let g = b.global_average_pool("se.pool", x);
                    let g = conv(&mut b, g, *squeeze, 1, point, Some(Activation::Relu));
                    let g = conv(&mut b, g, wide, 1, point, Some(Activation::Sigmoid));
                    x = b.mul("se.mul", x, g);
                }
                x = conv(&mut b, x, channels, 1, point, None);
            }
            Middle::Wide(inputs, out, window) => {
                x = conv(&mut b, x, *inputs, 1, point, None);
                x = conv(&mut b, x, *out, 1, *window, second);
                x = conv(&mut b, x, channels, 1, point, None);
            }
            Middle::Grouped(groups, out, window) => {
                x = conv(&mut b, x, groups * 3, 1, point, None);
                x = conv(&mut b, x, groups * out, *groups, *window, second);
                x = conv(&mut b, x, channels, 1, point, None);
            }
            Middle::Pool(kind, window) => x = b.pool("pool", x, *kind, *window),
            Middle::Split(out, window) => {
                let left = b.slice("left", x, 0, channels.div_ceil(2));
                let right = b.slice("right", x, channels / 2, channels - channels / 2);
                let left = conv(&mut b, left, *out, 1, *window, second);
                let right = conv(&mut b, right, *out, 1, *window, third);
                x = b.concat("join", &[left, right]);
            }
        }
        if self.residual && b.channels(x) == channels {
            x = b.add("add", &[x, stem]);
        }
        if let Some(act) = third {
            x = b.activation("last", x, act);
        }
        let x = b.global_average_pool("gap", x);
        b.linear("classifier", x, self.classes, true);
        b.finish("classifier", "conv1")
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 192, max_global_rejects: 20_000, ..ProptestConfig::default() })]

    #[test]
    fn small_networks_agree_with_the_reference(small in small(), seed in 0u64..1000) {
        // A window that does not fit, or a sum of unequal sizes, is no network; torch refuses padding of more than
        // half a pool's window.
        let graph = small.graph();
        let fits = graph.is_ok();
        let [c, h, w] = small.image;
        let shape = [1, c, h, w];
        let padded = |w: &Window| match w.padding {
            Padding::Explicit([a, b, c, d]) => {
                a.max(b) > w.kernel[0] / 2 || c.max(d) > w.kernel[1] / 2
            }
            Padding::Same => false,
        };
        prop_assume!(fits && !matches!(&small.middle, Middle::Pool(_, w) if padded(w) || w.dilation != [1; 2]));
        let graph = graph.unwrap();
        let weights = Seeded::new(&graph, seed);
        let image = seeded::input(seed, shape);
        let reference = Reference::new(&graph, &weights, &Device::Cpu).unwrap();
        let truth = reference.logits(&image, shape).unwrap();
        let largest = truth.iter().fold(1.0f32, |m, x| m.max(x.abs()));
        if let Some(found) = crate::operations::on_card(&graph, &weights, small.image, &image) {
            let far = max_abs_diff(&found, &truth);
            prop_assert!(far <= BOUND * f64::from(largest), "cuda: {far:e} of {largest}");
            return Ok(());
        }
        for isa in Isa::available() {
            let plan = Plan::new(&graph, &weights, small.image, isa).unwrap();
            let one = run(&plan, &image, 1);
            let far = max_abs_diff(&one, &truth);
            prop_assert!(far <= BOUND * f64::from(largest), "{isa}: {far:e} of {largest}");
            let three = run(&plan, &image, 3);
            prop_assert!(one.iter().zip(&three).all(|(a, b)| a.to_bits() == b.to_bits()), "{isa}: threads");
            let plain = Plan::unfused(&graph, &weights, small.image, isa, &[graph.output()]).unwrap();
            let far = max_abs_diff(&run(&plain, &image, 2), &truth);
            prop_assert!(far <= BOUND * f64::from(largest), "by definition on {isa}: {far:e} of {largest}");
        }
    }
}
