//! The reference against direct loops: padding, pools, grouped convolutions, activations.

use super::*;
use crate::graph::{Activation, Builder, ConvSpec, Padding, PoolKind, Window};
use crate::seeded::{self, Seeded};

/// A convolution as its definition says, one output at a time.
fn naive_conv(
    x: &[f32],
    [_, c, h, w]: Shape,
    k: &[f32],
    out: usize,
    groups: usize,
    win: &Window,
) -> Vec<f32> {
    let [top, _, left, _] = win.pads([h, w]);
    let [oh, ow] = win.output([h, w]).unwrap();
    let ([kh, kw], per) = (win.kernel, c / groups);
    let mut y = Vec::new();
    for o in 0..out {
        let g = o / (out / groups);
        for i in 0..oh {
            for j in 0..ow {
                let mut sum = 0f64;
                for (p, a, b) in
                    (0..per).flat_map(|p| (0..kh).flat_map(move |a| (0..kw).map(move |b| (p, a, b))))
                {
                    let r = (i * win.stride[0] + a * win.dilation[0]).wrapping_sub(top);
                    let s = (j * win.stride[1] + b * win.dilation[1]).wrapping_sub(left);
                    if r < h && s < w {
                        let xi = ((g * per + p) * h + r) * w + s;
                        sum += f64::from(x[xi]) * f64::from(k[((o * per + p) * kh + a) * kw + b]);
                    }
                }
                y.push(sum as f32);
            }
        }
    }
    y
}

#[test]
fn convolutions_equal_their_definition() {
    let cases = [
        (Window::square(3, 2, Padding::Same), 1, 6),
        (Window::square(5, 2, Padding::Same), 4, 4),
        (Window::square(3, 1, Padding::all(1)), 2, 6),
        (Window::square(1, 2, Padding::all(0)), 1, 6),
        (Window { dilation: [2, 2], ..Window::square(3, 1, Padding::all(2)) }, 1, 3),
        (Window { kernel: [1, 7], ..Window::square(1, 1, Padding::Explicit([0, 0, 3, 3])) }, 1, 3),
    ];
    for (h, w) in [(8, 8), (7, 10), (5, 5)] {
        for (window, groups, out) in cases {
            let (mut b, x) = Builder::new("t", 4, out);
            b.conv("c", x, ConvSpec { out, groups, bias: false, window });
            let graph = b.finish("c", "c").unwrap();
            let weights = Seeded::new(&graph, 3);
            let shape = [1, 4, h, w];
            let image = seeded::input(3, shape);
            let got = Reference::new(&graph, &weights, &Device::Cpu).unwrap().logits(&image, shape).unwrap();
            let kernel = weights.get("c.weight").unwrap();
            let want = naive_conv(&image, shape, &kernel.values, out, groups, &window);
            assert_eq!(got.len(), want.len());
            let worst = got.iter().zip(&want).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
            assert!(worst < 1e-5, "{window:?} groups {groups}: {worst}");
        }
    }
}

fn pooled(kind: PoolKind, window: Window, h: usize, w: usize, x: &[f32]) -> Vec<f32> {
    let (mut b, input) = Builder::new("t", 1, 0);
    b.pool("p", input, kind, window);
    let graph = b.finish("p", "p").unwrap();
    let reference = Reference::new(&graph, &crate::weights::StateDict::new(), &Device::Cpu).unwrap();
    reference.logits(x, [1, 1, h, w]).unwrap()
}

#[test]
fn pools_count_as_torch_counts() {
    // torch.nn.AvgPool2d(3, 2, 1, ceil_mode, count_include_pad) and MaxPool2d on arange(16) as 4x4,
    // torch 2.15.
    let x: Vec<f32> = (0..16).map(|i| i as f32).collect();
    let window = |ceil| Window { ceil, ..Window::square(3, 2, Padding::all(1)) };
    let average = |count_padding| PoolKind::Average { count_padding };
    assert_eq!(pooled(PoolKind::Max, window(false), 4, 4, &x), [5.0, 7.0, 13.0, 15.0]);
    assert_eq!(
        pooled(PoolKind::Max, window(true), 4, 4, &x),
        [5.0, 7.0, 7.0, 13.0, 15.0, 15.0, 13.0, 15.0, 15.0]
    );
    assert_eq!(pooled(average(false), window(false), 4, 4, &x), [2.5, 4.0, 8.5, 10.0]);
    let close = |got: Vec<f32>, want: &[f32]| {
        assert_eq!(got.len(), want.len());
        got.iter().zip(want).for_each(|(g, w)| assert!((g - w).abs() < 1e-5, "{got:?}"));
    };
    close(pooled(average(true), window(false), 4, 4, &x), &[1.111_111, 2.666_667, 5.666_667, 10.0]);
    // Even kernel, ceil: the windows that hang over count only what is inside the padded border.
    let even = Window { ceil: true, ..Window::square(2, 2, Padding::all(0)) };
    close(pooled(average(true), even, 3, 3, &x[..9]), &[2.0, 3.5, 6.5, 8.0]);
}

#[test]
fn activations_equal_their_definition() {
    let x: Vec<f32> = (-80..=80).map(|i| i as f32 / 8.0).chain([-100.0, 100.0]).collect();
    let kinds = [
        Activation::Relu,
        Activation::Relu6,
        Activation::Silu,
        Activation::Sigmoid,
        Activation::HardSigmoid,
        Activation::HardSwish,
        Activation::LeakyRelu(0.01),
        Activation::Mish,
    ];
    for kind in kinds {
        let define = |x: f64| match kind {
            Activation::Relu => x.max(0.0),
            Activation::Relu6 => x.clamp(0.0, 6.0),
            Activation::Silu => x / (1.0 + (-x).exp()),
            Activation::Sigmoid => 1.0 / (1.0 + (-x).exp()),
            Activation::HardSigmoid => (x + 3.0).clamp(0.0, 6.0) / 6.0,
            Activation::HardSwish => x * (x + 3.0).clamp(0.0, 6.0) / 6.0,
            Activation::LeakyRelu(s) => {
                if x > 0.0 {
                    x
                } else {
                    x * f64::from(s)
                }
            }
            Activation::Mish => x * (1.0 + x.exp()).ln().tanh(),
            Activation::Gelu => unreachable!(),
        };
        let tensor = Tensor::from_slice(&x, x.len(), &Device::Cpu).unwrap();
        for mode in [Mode::Inference, Mode::Training] {
            let got: Vec<f32> = activate(&tensor, kind, mode).unwrap().to_vec1().unwrap();
            for (&x, got) in x.iter().zip(got) {
                let want = define(f64::from(x)) as f32;
                assert!(
                    (got - want).abs() <= 2e-6 * want.abs().max(1.0),
                    "{kind} {x}, {mode:?}: {got} {want}"
                );
            }
        }
    }
}

#[test]
fn a_batch_is_run_image_by_image_and_taps_are_found() {
    let (mut b, x) = Builder::new("t", 2, 3);
    let x = b.activation("act", x, Activation::Relu);
    b.tap(x, "map");
    let x = b.global_average_pool("pool", x);
    b.linear("fc", x, 3, true);
    let graph = b.finish("fc", "act").unwrap();
    let weights = Seeded::new(&graph, 1);
    let reference = Reference::new(&graph, &weights, &Device::Cpu).unwrap();
    let images = seeded::input(1, [2, 2, 4, 4]);
    let both = reference.logits(&images, [2, 2, 4, 4]).unwrap();
    assert_eq!(both[..3], reference.logits(&images[..32], [1, 2, 4, 4]).unwrap());
    let map = reference.features(&images, [2, 2, 4, 4], &["map"]).unwrap();
    assert_eq!(map[0].dims(), [2, 2, 4, 4]);
    let error = reference.features(&images, [2, 2, 4, 4], &["mop"]).unwrap_err();
    assert_eq!(error.to_string(), "`t` has no features named `mop`; it has map");
    assert!(matches!(reference.logits(&images, [1, 2, 4, 4]), Err(Error::Values { .. })));
}
