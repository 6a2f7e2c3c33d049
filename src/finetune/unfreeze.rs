//! Training the last stage too, by candle's autograd on the reference engine. Slow: a plain convolution forwards and
//! backwards for every image and epoch, on one kind of kernel.
//!
//! The last stage is what comes after the last level but one of timm's `features_only`: `layer4` of a ResNet, `blocks.5`,
//! `blocks.6` and `conv_head` of an EfficientNet, `s4` of a RegNet, `features.transition3` and `features.denseblock4` of a
//! DenseNet, `stages.3` of a BiT. It must read nothing but that level.
//!
//! In: the maps before the last stage (from the fast engine, on record), a classifier that was trained on the frozen
//! network. Out: the tensors of the last stage and the classifier after the best epoch. Norms stay as they are. Called by
//! `run`.

use std::collections::BTreeMap;

use candle_core::{D, Device, Tensor, Var};

use super::augment::Random;
use super::logistic::Answers;
use super::matrix::Features;
use super::train::{Point, images, percent};
use super::{Error, Result, TrainingProgress};
use crate::hash::Sha256;
use crate::model::Prepared;
use crate::nn::graph::{Graph, NodeId, Op, Transform};
use crate::nn::reference::Reference;

/// Images of a step: few, because the activations of all of them are kept for the way back.
const BATCH: usize = 16;

/// The part of the last step that the next one keeps.
const MOMENTUM: f64 = 0.9;

/// The decay of the weights, as timm's recipes for the last stages have it.
const WEIGHT_DECAY: f64 = 1e-4;

/// How the last stage is trained.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize)]
pub struct Unfreeze {
    /// Passes over the images.
    pub epochs: usize,
    /// The first learning rate; it falls to nothing by half a cosine.
    pub rate: f64,
}

/// The last stage of a network, to be trained.
pub(super) struct Stage<'a> {
    pub(super) model: &'a Prepared,
    /// The network with as many classes as are trained.
    pub(super) graph: &'a Graph,
    /// The map that it begins with.
    pub(super) cut: NodeId,
    /// `[channels, height, width]` of that map.
    pub(super) shape: &'a [usize],
    pub(super) how: Unfreeze,
    pub(super) seed: u64,
}

/// What came of it.
#[derive(Clone, Debug, Default)]
pub(super) struct Stepped {
    /// The trained tensors by state-dict name, row-major.
    pub(super) tensors: BTreeMap<String, Vec<f32>>,
    pub(super) curve: Vec<Point>,
    /// On what is trained on and measured with.
    pub(super) train: Option<Answers>,
    pub(super) val: Option<Answers>,
}

/// The state dict of the network with a classifier: what the reference is made from.
pub(super) struct WithClassifier<'a> {
    pub(super) model: &'a Prepared,
    pub(super) classifier: BTreeMap<String, (Vec<usize>, Vec<f32>)>,
}

impl crate::nn::weights::Weights for WithClassifier<'_> {
    fn get(&self, name: &str) -> Option<crate::nn::weights::View<'_>> {
        match self.classifier.get(name) {
            Some((shape, values)) => {
                Some(crate::nn::weights::View { shape: shape.into(), values: values.as_slice().into() })
            }
            None => self.model.weights().get(name),
        }
    }

    fn names(&self) -> Vec<(String, Vec<usize>)> {
        let own = |(name, shape): (String, Vec<usize>)| match self.classifier.get(&name) {
            Some((shape, _)) => (name, shape.clone()),
            None => (name, shape),
        };
        self.model.weights().names().into_iter().map(own).collect()
    }
}

/// The tensors of the convolutions and linear layers after `cut`: what is trained.
fn trainable(graph: &Graph, cut: NodeId) -> Vec<String> {
    let mut names = Vec::new();
    for node in graph.nodes.iter().skip(cut.0 + 1) {
        let (weight, bias) = match &node.op {
            Op::Conv { weight, bias, .. } | Op::Linear { weight, bias, .. } => (weight, bias.as_ref()),
            Op::CondConv { weight, .. } | Op::ChannelConv { weight, .. } => (weight, None),
            Op::Input { .. }
            | Op::BatchNorm { .. }
            | Op::GroupNorm { .. }
            | Op::Activation(_)
            | Op::Add
            | Op::Mul
            | Op::Concat
            | Op::Slice { .. }
            | Op::Pool(..)
            | Op::GlobalAveragePool
            | Op::Scale(_)
            | Op::Upsample { .. }
            | Op::Softmax { .. }
            | Op::Pad { .. }
            | Op::Crop { .. }
            | Op::Blur { .. }
            | Op::SpaceToDepth { .. } => continue,
        };
        let gain = match graph.weight(*weight).map(|weight| weight.transform) {
            Some(Transform::Scaled { gain, .. }) => Some(gain),
            Some(Transform::None | Transform::Standardise { .. }) | None => None,
        };
        let ids = [Some(*weight), gain, bias.copied()];
        names.extend(ids.into_iter().flatten().filter_map(|id| Some(graph.weight(id)?.name.clone())));
    }
    names
}

impl Stage<'_> {
    /// Trains on `train` but for the images that `inner` says: the epoch with the least loss on those is kept.
    pub(super) fn train(
        &self,
        classifier: BTreeMap<String, (Vec<usize>, Vec<f32>)>,
        train: &Features,
        val: &Features,
        inner: &dyn Fn(usize) -> bool,
        progress: &dyn TrainingProgress,
    ) -> Result<Stepped> {
        let names = trainable(self.graph, self.cut);
        let weights = WithClassifier { model: self.model, classifier };
        let trainable = Reference::trainable(self.graph, &weights, &names);
        let (reference, vars) = trainable.map_err(crate::model::Error::from)?;
        let mut velocity: Vec<Tensor> =
            vars.iter().map(|(_, var)| var.zeros_like()).collect::<candle_core::Result<_>>()?;
        let held = train.filtered(inner);
        let own = train.filtered(|image| !inner(image));
        // Without images to hold out the last epoch is as good as any.
        let judged = |reference: &Reference| Ok::<f64, Error>(self.answers(reference, &held)?.loss);
        let mut best = (judged(&reference)?, values_of(&vars)?);
        let mut stepped = Stepped::default();
        let steps = own.len().div_ceil(BATCH) * self.how.epochs;
        let mut step = 0;
        for epoch in 1..=self.how.epochs {
            let mut total = 0.0;
            for batch in self.order(own.len(), epoch).chunks(BATCH) {
                if progress.cancelled() {
                    return Err(Error::Stopped);
                }
                let (maps, classes) = self.batch(&own, batch)?;
                let loss = cross_entropy(&self.logits(&reference, &maps)?, &classes)?;
                total += f64::from(loss.to_scalar::<f32>()?) * batch.len() as f64;
                let gradients = loss.backward()?;
                let part = step as f64 / steps.max(1) as f64;
                let rate = self.how.rate * 0.5 * (1.0 + (std::f64::consts::PI * part).cos());
                step += 1;
                for ((_, var), v) in vars.iter().zip(&mut velocity) {
                    let Some(gradient) = gradients.get(var) else { continue };
                    let decayed = (gradient + (var.as_tensor() * WEIGHT_DECAY)?)?;
                    *v = ((&*v * MOMENTUM)? + decayed)?.detach();
                    var.set(&(var.as_tensor() - (&*v * rate)?)?.detach())?;
                }
            }
            let loss = total / own.len().max(1) as f64;
            let top1 = |features: &Features| -> Result<f64> {
                Ok(percent(self.answers(&reference, features)?.top1, images(features)))
            };
            let val_top1 = if val.is_empty() { None } else { Some(top1(val)?) };
            let train_top1 = top1(&own)?;
            let point = Point { step: epoch, loss, train_top1, val_top1 };
            progress.trained(&point);
            stepped.curve.push(point);
            if !loss.is_finite() {
                return Err(Error::Diverged { loss, steps: epoch });
            }
            let held = judged(&reference)?;
            if held <= best.0 {
                best = (held, values_of(&vars)?);
            }
        }
        for ((name, var), values) in vars.iter().zip(&best.1) {
            var.set(&Tensor::from_slice(values, var.shape(), &Device::Cpu)?)?;
            stepped.tensors.insert(name.clone(), values.clone());
        }
        stepped.train = Some(self.answers(&reference, train)?);
        stepped.val = if val.is_empty() { None } else { Some(self.answers(&reference, val)?) };
        Ok(stepped)
    }

    /// Some maps as a tensor, and their classes.
    fn batch(&self, features: &Features, rows: &[usize]) -> Result<(Tensor, Tensor)> {
        let values: Vec<f32> = rows.iter().flat_map(|&at| features.row(at)).copied().collect();
        let classes: Vec<u32> =
            rows.iter().filter_map(|&at| u32::try_from(*features.classes.get(at)?).ok()).collect();
        let shape: Vec<usize> = [rows.len()].into_iter().chain(self.shape.iter().copied()).collect();
        let images = Tensor::from_vec(values, shape, &Device::Cpu)?;
        Ok((images, Tensor::new(classes, &Device::Cpu)?))
    }

    fn logits(&self, reference: &Reference, images: &Tensor) -> Result<Tensor> {
        let [_, height, width] = self.model.spec().image_shape();
        let run = reference.run_from(self.cut, images, [height, width]).map_err(crate::model::Error::from)?;
        Ok(run.flatten_from(1)?)
    }

    /// What the network makes of some images, of several rows of one image the first.
    fn answers(&self, reference: &Reference, features: &Features) -> Result<Answers> {
        let mut rows: Vec<usize> = (0..features.len()).collect();
        rows.dedup_by_key(|at| features.images.get(*at).copied());
        let mut answers = Answers::none(self.graph.classes);
        for batch in rows.chunks(BATCH) {
            let (maps, _) = self.batch(features, batch)?;
            let logits = self.logits(reference, &maps)?.detach().to_vec2::<f32>()?;
            for (at, logits) in batch.iter().zip(logits) {
                let scores: Vec<f64> = logits.into_iter().map(f64::from).collect();
                answers.add(&scores, features.classes.get(*at).copied().unwrap_or_default());
            }
        }
        Ok(answers.mean())
    }

    /// The order of an epoch.
    fn order(&self, n: usize, epoch: usize) -> Vec<usize> {
        let mut order: Vec<usize> = (0..n).collect();
        let mut random = Random::of(self.seed, &Sha256::of(b"last stage"), epoch as u64);
        for last in (1..n).rev() {
            order.swap(last, random.below(last + 1));
        }
        order
    }
}

/// The values of the trained tensors.
fn values_of(vars: &[(String, Var)]) -> Result<Vec<Vec<f32>>> {
    let values = vars.iter().map(|(_, var)| var.flatten_all()?.to_vec1());
    Ok(values.collect::<candle_core::Result<_>>()?)
}

/// The mean of minus the logarithm of the right class's probability.
fn cross_entropy(logits: &Tensor, classes: &Tensor) -> candle_core::Result<Tensor> {
    let shifted = logits.broadcast_sub(&logits.max_keepdim(D::Minus1)?.detach())?;
    let normaliser = shifted.exp()?.sum_keepdim(D::Minus1)?.log()?;
    let own = shifted.broadcast_sub(&normaliser)?.gather(&classes.unsqueeze(1)?, 1)?;
    own.mean_all()?.neg()
}

#[cfg(test)]
mod tests;
