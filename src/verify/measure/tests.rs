//! The seam holds for a device that wants many images at a time, and for one that fails.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use super::*;
use crate::dataset::{Classes, layout};
use crate::model::{Error as ModelError, InputBuffer};
use crate::registry::{CropMode, ImageSize, Interpolation, Registry};

/// A device: its logits are the image's mean in each class's place, scaled by the class.
struct Device {
    preferred: usize,
    sizes: Arc<Mutex<Vec<usize>>>,
    fails_at: Option<usize>,
    calls: Arc<AtomicUsize>,
}

impl Runner for Device {
    fn preferred_batch(&self) -> usize {
        self.preferred
    }

    fn run(&mut self, images: &[InputBuffer]) -> std::result::Result<Vec<f32>, ModelError> {
        let n = images.len();
        self.sizes.lock().unwrap().push(n);
        if Some(self.calls.fetch_add(1, Ordering::Relaxed)) == self.fails_at {
            return Err(candle_core::Error::Msg("the device has gone".into()).into());
        }
        let mut logits = Vec::new();
        for image in images {
            let mean = image.tensor()?.mean_all()?.to_scalar::<f32>()?;
            logits.extend((0..7).map(|class| mean * class as f32));
        }
        Ok(logits)
    }
}

fn preprocess() -> Preprocess {
    let size = ImageSize { height: 8, width: 8 };
    let (crop_mode, interpolation) = (CropMode::Center, Interpolation::Bilinear);
    Preprocess { size, crop_pct: 1.0, crop_mode, interpolation, mean: [0.0; 3], std: [1.0; 3] }
}

/// Grey pictures of so many brightnesses, and one that is none.
fn dataset(folder: &std::path::Path, images: usize) -> Dataset {
    for at in 0..images {
        let mut png = std::io::Cursor::new(Vec::new());
        let picture = ::image::RgbImage::from_pixel(8, 8, ::image::Rgb([(at * 5) as u8; 3]));
        picture.write_to(&mut png, ::image::ImageFormat::Png).unwrap();
        let path = folder.join("n01440764").join(format!("{at:02}.png"));
        crate::fs::create_dir_all(path.parent().unwrap()).unwrap();
        crate::fs::write_atomic(&path, &png.into_inner()).unwrap();
    }
    crate::fs::write_atomic(&folder.join("n01440764/zz.png"), b"no picture").unwrap();
    let registry = Registry::builtin().unwrap();
    let entry = registry.dataset("folder").unwrap();
    Dataset::new(entry, layout::list(folder, entry).unwrap(), &Classes::imagenet()).unwrap()
}

/// What is reported, and the sizes of the batches that the devices got.
fn run(
    dataset: &Dataset,
    (devices, preferred): (usize, usize),
    threads: usize,
    fails_at: Option<usize>,
) -> (Result<()>, BTreeMap<usize, Measured>, Vec<usize>) {
    let todo: Vec<usize> = (0..dataset.items.len()).collect();
    let (sizes, calls) = (Arc::default(), Arc::default());
    let device = || Device { preferred, sizes: Arc::clone(&sizes), fails_at, calls: Arc::clone(&calls) };
    let runners = (0..devices).map(|_| Box::new(device()) as Box<dyn Runner>).collect();
    let preprocess = preprocess();
    let job = Measuring { model: "net", preprocess: &preprocess, dataset, todo: &todo, threads, batch: None };
    let mut reported = BTreeMap::new();
    let result = measure(&job, runners, &|| false, &mut |place, measured| {
        assert_eq!(reported.insert(place, measured), None, "image {place} is reported once");
        ControlFlow::Continue(())
    });
    let sizes = sizes.lock().unwrap().clone();
    (result.map(drop), reported, sizes)
}

#[test]
fn batches_threads_and_devices_do_not_show() {
    let folder = tempfile::tempdir().unwrap();
    let dataset = dataset(folder.path(), 40);
    let (result, expected, sizes) = run(&dataset, (1, 1), 1, None);
    result.unwrap();
    assert_eq!((expected.len(), sizes), (41, vec![1; 40]));
    assert!(matches!(expected[&40], Measured::Unreadable(_)));
    for (devices, preferred, threads) in [(1, 8, 1), (1, 8, 3), (2, 16, 3), (4, 1, 4), (3, 1000, 2)] {
        let (result, reported, sizes) = run(&dataset, (devices, preferred), threads, None);
        result.unwrap();
        assert_eq!(reported, expected, "{devices} devices of {preferred}, {threads} threads");
        assert_eq!(sizes.iter().sum::<usize>(), 40);
        assert!(sizes.iter().all(|&n| n <= preferred));
        assert_eq!(sizes.iter().max().copied(), Some(preferred.min(41_usize.div_ceil(devices)).min(40)));
    }
}

#[test]
fn a_device_that_fails_ends_the_run_with_its_reason() {
    let folder = tempfile::tempdir().unwrap();
    let dataset = dataset(folder.path(), 12);
    let (result, reported, _) = run(&dataset, (1, 4), 2, Some(1));
    let error = result.unwrap_err();
    assert!(error.to_string().contains("the device has gone"), "{error}");
    assert!(reported.len() < 13);
}
