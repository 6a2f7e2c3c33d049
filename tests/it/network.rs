//! A network as candle sees it: right for any tensor that holds images, refused for any other, and never misread.

use candle_core::{DType, Device, Module, Tensor, Var};
use zoo::Network;
use zoo::model::EngineKind;
use zoo::nn::seeded::{self, Seeded};

const SIZE: [usize; 2] = [64, 48];

fn network(kind: EngineKind) -> Network {
    let graph = zoo::arch::build("mobilenetv3_large_100", 10).unwrap();
    Network::new(kind, &graph, &Seeded::new(&graph, 0), [3, SIZE[0], SIZE[1]]).unwrap()
}

/// `n` different images.
fn images(n: usize) -> Tensor {
    let values = seeded::input(0, [n, 3, SIZE[0], SIZE[1]]);
    Tensor::from_vec(values, (n, 3, SIZE[0], SIZE[1]), &Device::Cpu).unwrap()
}

fn bits(logits: &Tensor) -> Vec<u32> {
    logits.flatten_all().unwrap().to_vec1::<f32>().unwrap().iter().map(|v| v.to_bits()).collect()
}

#[test]
fn an_image_has_the_same_bits_in_any_batch_on_any_threads() {
    for kind in [EngineKind::Plan, EngineKind::Reference] {
        let network = network(kind);
        let images = images(7);
        let alone: Vec<u32> =
            (0..7).flat_map(|i| bits(&network.forward(&images.narrow(0, i, 1).unwrap()).unwrap())).collect();
        assert!(alone.iter().any(|&v| v != alone[0]));
        for threads in [1, 2, 3, 8] {
            let logits = network.clone().with_threads(threads).forward(&images).unwrap();
            assert_eq!(logits.dims(), [7, 10]);
            assert_eq!(bits(&logits), alone, "{kind}, {threads} threads");
        }
        // Several callers of one network at a time.
        std::thread::scope(|scope| {
            for _ in 0..3 {
                scope.spawn(|| assert_eq!(bits(&network.forward(&images).unwrap()), alone));
            }
        });
    }
    let slice = seeded::input(0, [1, 3, SIZE[0], SIZE[1]]);
    let network = network(EngineKind::Plan);
    let logits: Vec<u32> = network.logits(&slice).unwrap().iter().map(|v| v.to_bits()).collect();
    assert_eq!(logits, bits(&network.forward(&images(1)).unwrap()));
}

#[test]
fn any_layout_of_the_same_images_gives_the_same_logits() {
    for kind in [EngineKind::Plan, EngineKind::Reference] {
        let network = network(kind);
        let plain = images(3);
        let expected = bits(&network.forward(&plain).unwrap());
        // Channels last in memory, as most image libraries have them.
        let nhwc = plain.permute((0, 2, 3, 1)).unwrap().contiguous().unwrap().permute((0, 3, 1, 2)).unwrap();
        // Columns before rows in memory.
        let turned = plain.transpose(2, 3).unwrap().contiguous().unwrap().transpose(2, 3).unwrap();
        // A window of larger images, that begins somewhere in the middle.
        let padded = plain.pad_with_zeros(2, 5, 2).unwrap().pad_with_zeros(3, 1, 9).unwrap();
        let window = padded.narrow(2, 5, SIZE[0]).unwrap().narrow(3, 1, SIZE[1]).unwrap();
        // Some images of a larger batch.
        let more = Tensor::cat(&[&images(1), &plain, &images(1)], 0).unwrap();
        let part = more.narrow(0, 1, 3).unwrap();
        for (name, tensor) in [("nhwc", &nhwc), ("turned", &turned), ("window", &window), ("part", &part)] {
            assert_eq!(bits(&network.forward(tensor).unwrap()), expected, "{kind}, {name}");
        }
        assert!(!nhwc.is_contiguous() && !window.is_contiguous() && part.is_contiguous());
        // One image that stands for several, and one channel for three.
        let one = plain.narrow(0, 1, 1).unwrap();
        let repeated = network.forward(&one.expand((4, 3, SIZE[0], SIZE[1])).unwrap()).unwrap();
        assert_eq!(bits(&repeated), bits(&network.forward(&one).unwrap()).repeat(4));
        let grey = one.narrow(1, 0, 1).unwrap().expand((1, 3, SIZE[0], SIZE[1])).unwrap();
        let copied = grey.contiguous().unwrap();
        assert_eq!(bits(&network.forward(&grey).unwrap()), bits(&network.forward(&copied).unwrap()));
    }
}

#[test]
fn what_holds_no_such_images_is_refused() {
    for kind in [EngineKind::Plan, EngineKind::Reference] {
        let network = network(kind);
        let [h, w] = SIZE;
        let zeros = |dims: &[usize], dtype| Tensor::zeros(dims, dtype, &Device::Cpu).unwrap();
        let cases = [
            (zeros(&[1, 3, w, h], DType::F32), "[1, 3, 48, 64]"),
            (zeros(&[1, h, w, 3], DType::F32), "[1, 64, 48, 3]"),
            (zeros(&[1, 1, h, w], DType::F32), "[1, 1, 64, 48]"),
            (zeros(&[3, h, w], DType::F32), "[3, 64, 48]"),
            (zeros(&[1, 1, 3, h, w], DType::F32), "[1, 1, 3, 64, 48]"),
            (zeros(&[1, 3 * h * w], DType::F32), "[1, 9216]"),
            (zeros(&[], DType::F32), "[]"),
            (zeros(&[1, 3, h, w], DType::F64), "f64"),
            (zeros(&[1, 3, h, w], DType::F16), "f16"),
            (zeros(&[1, 3, h, w], DType::BF16), "bf16"),
            (zeros(&[1, 3, h, w], DType::U8), "u8"),
            (zeros(&[1, 3, h, w], DType::I64), "i64"),
        ];
        for (tensor, found) in cases {
            let error = network.forward(&tensor).unwrap_err().to_string();
            assert!(error.contains(found) && error.contains("[n, 3, 64, 48]"), "{kind}: {error}");
        }
        assert!(network.logits(&[0.0; 5]).is_err());
        // No image at all is a batch, of nothing.
        let none = network.forward(&zeros(&[0, 3, h, w], DType::F32)).unwrap();
        assert_eq!((none.dims(), none.dtype()), (&[0, 10][..], DType::F32));
    }
}

#[test]
fn asked_for_a_gradient_the_plan_says_that_it_has_none() {
    // Square: candle's own gradient of a convolution looks at the height only.
    let graph = zoo::arch::build("mobilenetv3_large_100", 10).unwrap();
    let network_of = |kind| Network::new(kind, &graph, &Seeded::new(&graph, 0), [3, 64, 64]).unwrap();
    let square = Tensor::from_vec(seeded::input(0, [2, 3, 64, 64]), (2, 3, 64, 64), &Device::Cpu).unwrap();
    let input = Var::from_tensor(&square).unwrap();
    let loss = |kind| network_of(kind).forward(input.as_tensor()).unwrap().sqr().unwrap().sum_all().unwrap();
    let error = loss(EngineKind::Plan).backward().unwrap_err().to_string();
    assert!(error.contains("no gradient") && error.contains("reference"), "{error}");
    let gradients = loss(EngineKind::Reference).backward().unwrap();
    let gradient = gradients.get(&input).unwrap();
    assert_eq!(gradient.dims(), input.dims());
    assert!(gradient.abs().unwrap().sum_all().unwrap().to_scalar::<f32>().unwrap() > 0.0);
    // Inside a candle program, beside candle's own layers.
    let scaled = |x: &Tensor| network(EngineKind::Plan).forward(&(x * 0.5)?)?.argmax(1);
    assert_eq!(scaled.forward(&images(3)).unwrap().dims(), [3]);
}
