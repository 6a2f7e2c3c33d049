//! From pictures to logits, one after another, with buffers that all of them share. Made by [`Model::predictor`]; called
//! by `predict`.

use super::{Error, InputBuffer, Model};
use crate::image::{self, Preparer, Rgb};

/// Answers one picture after another.
pub struct Predictor<'a> {
    model: &'a Model,
    preparer: Preparer,
    buffer: InputBuffer,
}

impl Model {
    /// What predicts pictures one by one, on the model's threads.
    ///
    /// # Errors
    /// No memory for the activations.
    pub fn predictor(&self) -> Result<Predictor<'_>, Error> {
        self.network().reserve(1)?;
        let buffer = self.network().buffer()?;
        Ok(Predictor { model: self, preparer: Preparer::new(self.preprocess()), buffer })
    }
}

impl<'a> Predictor<'a> {
    /// Whose answers they are.
    pub fn model(&self) -> &'a Model {
        self.model
    }

    /// The logits of an image file's bytes, of which no more is decoded than the network sees.
    ///
    /// # Errors
    /// [`Error::Image`] for bytes that are no image, or one that cannot be prepared.
    pub fn file(&mut self, bytes: &[u8]) -> Result<Vec<f32>, Error> {
        let preparer = &mut self.preparer;
        let prepared = self.buffer.write(|tensor| preparer.file(bytes, tensor))?;
        self.run(prepared)
    }

    /// The logits of an image.
    ///
    /// # Errors
    /// [`Error::Image`] for one that cannot be prepared.
    pub fn image(&mut self, image: &Rgb) -> Result<Vec<f32>, Error> {
        let preparer = &mut self.preparer;
        let prepared = self.buffer.write(|tensor| preparer.tensor(image, tensor))?;
        self.run(prepared)
    }

    fn run(&mut self, prepared: Result<(), image::Error>) -> Result<Vec<f32>, Error> {
        prepared.map_err(|e| Error::Image(Box::new(e)))?;
        self.model.network().values(&self.buffer)
    }
}
