//! The seam between preparing images and running them: batches of prepared images, and what computes them.
//!
//! In: prepared images in a [`Batch`]. Out: logits. A device that wants many images at a time is another [`Runner`] with
//! another preferred batch; nothing else of `verify` knows which it is.

use std::cell::Cell;

use candle_core::{CpuStorage, DType, Device, InplaceOp1, Layout, Module, Tensor};

use super::{Error, Network};

/// What computes batches, one at a time.
pub trait Runner: Send {
    /// How many images it likes to get at a time.
    fn preferred_batch(&self) -> usize;

    /// Logits `[n, classes]` of images `[n, channels, height, width]`. Each image has the bits that it has alone.
    ///
    /// # Errors
    /// What the engine says.
    fn run(&mut self, images: &Tensor) -> Result<Tensor, Error>;
}

/// A network on the CPU: one image at a time keeps its activations in the cache.
#[derive(Debug)]
pub(super) struct CpuRunner(pub(super) Network);

impl Runner for CpuRunner {
    fn preferred_batch(&self) -> usize {
        1
    }

    fn run(&mut self, images: &Tensor) -> Result<Tensor, Error> {
        Ok(self.0.forward(images)?)
    }
}

/// Room for some images, filled one by one and used again and again.
#[derive(Debug)]
pub struct Batch {
    images: Tensor,
    image_len: usize,
}

impl Batch {
    /// Room for `capacity` images of `[channels, height, width]`.
    ///
    /// # Errors
    /// What candle says.
    pub fn new(capacity: usize, [channels, height, width]: [usize; 3]) -> Result<Self, Error> {
        let images = Tensor::zeros((capacity, channels, height, width), DType::F32, &Device::Cpu)?;
        Ok(Batch { images, image_len: channels * height * width })
    }

    /// Has `fill` write image `at`, row-major.
    ///
    /// # Errors
    /// No room for such an image.
    pub fn write<T>(&mut self, at: usize, fill: impl FnOnce(&mut [f32]) -> T) -> Result<T, Error> {
        let op = Write { at, len: self.image_len, fill: Cell::new(Some(fill)), result: Cell::new(None) };
        self.images.inplace_op1(&op)?;
        op.result.into_inner().ok_or_else(|| candle_core::Error::Msg("nothing was written".into()).into())
    }

    /// The first `n` images.
    ///
    /// # Errors
    /// Fewer images than that.
    pub fn images(&self, n: usize) -> Result<Tensor, Error> {
        Ok(self.images.narrow(0, 0, n)?)
    }
}

/// Writing one image, as an operation in place: candle lets nothing else into a tensor's values.
struct Write<F, T> {
    at: usize,
    len: usize,
    fill: Cell<Option<F>>,
    result: Cell<Option<T>>,
}

impl<T, F: FnOnce(&mut [f32]) -> T> InplaceOp1 for Write<F, T> {
    fn name(&self) -> &'static str {
        "zoo-write-image"
    }

    fn cpu_fwd(&self, storage: &mut CpuStorage, _: &Layout) -> candle_core::Result<()> {
        let refuse = |what: &str| Err(candle_core::Error::Msg(what.to_owned()));
        let CpuStorage::F32(values) = storage else { return refuse("a batch that is not float32") };
        let start = self.at * self.len;
        let Some(image) = values.get_mut(start..start + self.len) else {
            return refuse("a batch without room for this image");
        };
        self.result.set(self.fill.take().map(|fill| fill(image)));
        Ok(())
    }
}
