//! The seam between preparing images and running them: room for prepared images, and what computes them.
//!
//! In: prepared images, each in an [`InputBuffer`]. Out: a network's values. A device that wants many images at a time is
//! another [`Runner`] with another preferred batch; nothing that prepares images knows which it is.

use std::cell::Cell;

use candle_core::{CpuStorage, DType, Device, InplaceOp1, Layout, Tensor};

use super::{Error, Network};
use crate::nn::cuda;

/// A card's batch has as many pixels as so many images of 224×224: enough to keep a large one busy, and three such batches
/// are in memory at a time.
const BATCH_PIXELS: usize = 128 * 224 * 224;

/// What computes batches, one at a time.
pub trait Runner: Send {
    /// How many images it likes to get at a time.
    fn preferred_batch(&self) -> usize;

    /// Whether a device of its own computes: who waits for it does not use a processor.
    fn is_device(&self) -> bool {
        false
    }

    /// Room for an image of `[channels, height, width]`, where it reads it fastest.
    ///
    /// # Errors
    /// No memory.
    fn buffer(&self, image: [usize; 3]) -> Result<InputBuffer, Error> {
        InputBuffer::new(image)
    }

    /// The network's values of each image, one image after another. Each has the bits that it has alone.
    ///
    /// # Errors
    /// What the engine says.
    fn run(&mut self, images: &[InputBuffer]) -> Result<Vec<f32>, Error>;
}

/// A network on the CPU: one image at a time keeps its activations in the cache.
#[derive(Debug)]
pub(super) struct CpuRunner(pub(super) Network);

impl Runner for CpuRunner {
    fn preferred_batch(&self) -> usize {
        1
    }

    fn run(&mut self, images: &[InputBuffer]) -> Result<Vec<f32>, Error> {
        let mut all = Vec::new();
        for image in images {
            let values = self.0.values(image)?;
            if images.len() == 1 {
                return Ok(values);
            }
            all.extend(values);
        }
        Ok(all)
    }
}

/// A network on a card; several share it, so that one's images are copied while another's are computed.
#[derive(Debug)]
pub(super) struct CudaRunner(pub(super) cuda::Plan);

impl Runner for CudaRunner {
    fn preferred_batch(&self) -> usize {
        let pixels: usize = self.0.image_shape()[1..].iter().product();
        (BATCH_PIXELS / pixels.max(1)).clamp(1, self.0.batch())
    }

    fn is_device(&self) -> bool {
        true
    }

    fn buffer(&self, _: [usize; 3]) -> Result<InputBuffer, Error> {
        Ok(InputBuffer::pinned(self.0.image()?))
    }

    fn run(&mut self, images: &[InputBuffer]) -> Result<Vec<f32>, Error> {
        let values = images.iter().map(InputBuffer::host).collect::<Result<Vec<_>, _>>()?;
        Ok(self.0.run(&values)?)
    }
}

/// Room for one image, used again and again.
#[derive(Debug)]
pub struct InputBuffer(Room);

#[derive(Debug)]
enum Room {
    /// `[1, channels, height, width]`.
    Tensor(Tensor),
    Pinned(cuda::PinnedImage),
}

impl InputBuffer {
    /// Room for an image of `[channels, height, width]`.
    ///
    /// # Errors
    /// What candle says.
    pub fn new([channels, height, width]: [usize; 3]) -> Result<Self, Error> {
        let image = Tensor::zeros((1, channels, height, width), DType::F32, &Device::Cpu)?;
        Ok(InputBuffer(Room::Tensor(image)))
    }

    /// Has `fill` write the image, row-major.
    ///
    /// # Errors
    /// What candle says.
    pub fn write<T>(&mut self, fill: impl FnOnce(&mut [f32]) -> T) -> Result<T, Error> {
        match &mut self.0 {
            Room::Pinned(image) => Ok(fill(image.values_mut())),
            Room::Tensor(image) => {
                let op = Write { fill: Cell::new(Some(fill)), result: Cell::new(None) };
                image.inplace_op1(&op)?;
                let none = || candle_core::Error::Msg("nothing was written".into()).into();
                op.result.into_inner().ok_or_else(none)
            }
        }
    }

    /// The image, `[1, channels, height, width]`.
    ///
    /// # Errors
    /// An image in a card's memory.
    pub fn tensor(&self) -> Result<Tensor, Error> {
        match &self.0 {
            Room::Tensor(image) => Ok(image.clone()),
            Room::Pinned(_) => Err(candle_core::Error::Msg("an image for a card".into()).into()),
        }
    }

    pub(super) fn pinned(image: cuda::PinnedImage) -> Self {
        InputBuffer(Room::Pinned(image))
    }

    /// The values of an image that a card reads.
    pub(super) fn host(&self) -> Result<&[f32], Error> {
        match &self.0 {
            Room::Pinned(image) => Ok(image.values()),
            Room::Tensor(_) => Err(candle_core::Error::Msg("an image for the CPU".into()).into()),
        }
    }
}

/// Writing one image, as an operation in place: candle lets nothing else into a tensor's values.
struct Write<F, T> {
    fill: Cell<Option<F>>,
    result: Cell<Option<T>>,
}

impl<T, F: FnOnce(&mut [f32]) -> T> InplaceOp1 for Write<F, T> {
    fn name(&self) -> &'static str {
        "zoo-write-image"
    }

    fn cpu_fwd(&self, storage: &mut CpuStorage, _: &Layout) -> candle_core::Result<()> {
        let refuse = |what: &str| Err(candle_core::Error::Msg(what.to_owned()));
        let CpuStorage::F32(values) = storage else { return refuse("an image that is not float32") };
        self.result.set(self.fill.take().map(|fill| fill(values)));
        Ok(())
    }
}
