//! One thread's way from pictures to logits: what it computes with, and buffers that all its pictures share. Made
//! by [`Model::predictor`]; called by `predict` and `verify`.

use super::{Error, Model, Runner};
use crate::image::{self, Preparer, Rgb};

/// Answers one picture after another.
pub struct Predictor<'a> {
    model: &'a Model,
    runner: Runner,
    preparer: Preparer,
    tensor: Vec<f32>,
}

impl Model {
    /// What one thread predicts with.
    ///
    /// # Errors
    /// No memory for the activations.
    pub fn predictor(&self) -> Result<Predictor<'_>, Error> {
        let preparer = Preparer::new(self.preprocess());
        let tensor = vec![0.0; self.preprocess().len()];
        Ok(Predictor { model: self, runner: self.runner()?, preparer, tensor })
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
        let prepared = self.preparer.file(bytes, &mut self.tensor);
        self.run(prepared)
    }

    /// The logits of an image.
    ///
    /// # Errors
    /// [`Error::Image`] for one that cannot be prepared.
    pub fn image(&mut self, image: &Rgb) -> Result<Vec<f32>, Error> {
        let prepared = self.preparer.tensor(image, &mut self.tensor);
        self.run(prepared)
    }

    fn run(&mut self, prepared: Result<(), image::Error>) -> Result<Vec<f32>, Error> {
        prepared.map_err(|e| Error::Image(Box::new(e)))?;
        self.runner.logits(&self.tensor)
    }
}
