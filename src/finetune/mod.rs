//! Fine-tuning: a new classifier on a frozen network, trained on its features.
//!
//! In: a model whose weights are here ([`Prepared`]), labelled images ([`Data`]), a [`Recipe`]. Out: a [`FineTuned`] model,
//! which [`FineTuned::write`] puts on disk as a `.safetensors` with timm's names and a sidecar that makes it a model of its
//! own. Batch norms stay as they are. Called by `zoo finetune`.
//!
//! | file | what it does |
//! | --- | --- |
//! | `data` | which images are trained on, which are measured with, what their classes are called |
//! | `augment` | timm's random resized crops and flips |
//! | `extract`, `cache`, `matrix` | features by the fast engine, on record for the next run |
//! | `logistic`, `lbfgs`, `sgd` | the loss, and what minimises it |
//! | `train` | the weight decay is chosen, the classifier fitted and measured |
//! | `unfreeze` | the last stage trained too, by autograd |
//! | `output` | the new weights, their sidecar, their registry entry |

pub mod augment;
mod cache;
mod data;
mod error;
mod extract;
mod lbfgs;
mod logistic;
mod matrix;
mod output;
mod sgd;
mod train;
mod unfreeze;

use std::collections::{BTreeMap, HashSet};
use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

pub use data::{Data, Holdout, ImageIndex};
pub use error::{Error, Result};
pub use matrix::Features;
pub use output::{Outputs, registry_entry};
pub use train::{Point, Recipe, Solver};
pub use unfreeze::Unfreeze;

use cache::Key;
use extract::{Extracted, Extraction};
use logistic::Answers;
use train::{Trained, Training};
use unfreeze::{Stage, Stepped};

use crate::model::{EngineKind, FeatureInfo, FeatureLevel, Prepared, feature_info};
use crate::nn::graph::Graph;
pub use crate::verify::NullProgress;
use crate::verify::stats::{ConfidenceLevel, Percent, Relation, interval};

/// The part of the images to train on by which the weight decay is chosen.
const INNER_FRACTION: f64 = 0.2;

/// What becomes of images that cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnBadImage {
    /// Nothing is trained.
    Fail,
    /// They are left out, and named.
    Skip,
}

/// How it is carried out; nothing here decides the result but the engine.
#[derive(Clone, Copy, Debug)]
pub struct Options<'a> {
    /// What computes the features.
    pub engine: EngineKind,
    /// Threads.
    pub threads: usize,
    /// Images that are computed together; none leaves it to the engine.
    pub batch: Option<usize>,
    /// Where features are kept; none keeps none.
    pub home: Option<&'a Path>,
    /// What becomes of images that cannot be read.
    pub on_bad_image: OnBadImage,
}

/// Follows a training while it runs.
pub trait TrainingProgress {
    /// Features begin: `done` of `total` views are on record.
    fn extracting(&self, done: usize, total: usize);
    /// So many are done.
    fn extracted(&self, done: usize);
    /// A weight decay was tried, the `at`th of at most `of`, with this loss on images held out of training.
    fn choosing(&self, at: usize, of: usize, weight_decay: f64, loss: f64);
    /// A step or an epoch of the training is over.
    fn trained(&self, point: &Point);
    /// Whether the user wants it to stop.
    fn cancelled(&self) -> bool {
        false
    }
}

impl TrainingProgress for NullProgress {
    fn extracting(&self, _: usize, _: usize) {}
    fn extracted(&self, _: usize) {}
    fn choosing(&self, _: usize, _: usize, _: f64, _: f64) {}
    fn trained(&self, _: &Point) {}
}

/// A model with a new classifier.
#[derive(Debug)]
pub struct FineTuned<'a> {
    model: &'a Prepared,
    classes: Vec<String>,
    recipe: Recipe,
    trained: Trained,
    /// What is written in place of the model's own: the classifier, and the last stage where it was trained.
    tensors: BTreeMap<String, Vec<f32>>,
    unfrozen: Option<Stepped>,
    images_sha256: Option<crate::Sha256>,
    train_images: usize,
    val_images: usize,
    /// Images that cannot be read, with the reason.
    pub skipped: Vec<(String, String)>,
    /// Views whose features were on record, and were computed.
    pub cached: usize,
    /// Likewise.
    pub computed: usize,
    /// How long the features took, and the training.
    pub extracting: Duration,
    /// Likewise.
    pub training: Duration,
}

/// Extracts features and trains a classifier on them.
///
/// # Errors
/// Images that cannot be read, fewer than two classes, a loss that is not a number, an interruption.
pub fn run<'a>(
    model: &'a Prepared,
    data: &Data,
    recipe: &Recipe,
    options: Options<'_>,
    progress: &dyn TrainingProgress,
) -> Result<FineTuned<'a>> {
    let begun = Instant::now();
    let graph = crate::arch::build(&model.spec().arch, data.classes.len());
    let unknown =
        |e| crate::model::Error::Architecture { name: model.spec().name.clone(), source: Box::new(e) };
    let graph = graph.map_err(unknown)?;
    // What cannot be done is said before anything is computed.
    let stage = recipe.unfreeze.map(|how| Ok::<_, Error>((how, cut(model)?))).transpose()?;
    let (found, _) = features(model, data, recipe, options, &FeatureLevel::Pool, progress)?;
    let Extracted { train, val, skipped, mut cached, mut computed, digest } = found;
    let (mut extracting, begun) = (begun.elapsed(), Instant::now());

    // Another seed than that of the images that are measured with: the two choices have nothing to do with each other.
    let (_, held) = data.split(&data.train, INNER_FRACTION, recipe.seed.wrapping_add(1));
    let held: HashSet<ImageIndex> = held.into_iter().collect();
    let inner = |image: usize| data.train.get(image).is_some_and(|place| held.contains(place));
    let training = Training {
        train: &train,
        val: &val,
        classes: data.classes.len(),
        inner: &inner,
        recipe,
        threads: options.threads.max(1),
    };
    let trained = train::train(training, progress)?;
    let mut training = begun.elapsed();
    let mut tensors = classifier(&graph, &trained)?;
    let mut unfrozen = None;
    if let Some((how, cut)) = stage {
        let begun = Instant::now();
        let (maps, _) = features(model, data, recipe, options, &FeatureLevel::LastStageInput, progress)?;
        extracting += begun.elapsed();
        cached += maps.cached;
        computed += maps.computed;
        let begun = Instant::now();
        let stage = Stage { model, graph: &graph, cut: cut.node, shape: &cut.shape, how, seed: recipe.seed };
        let shaped = |(name, values): (&String, &Vec<f32>)| {
            let shape = graph.weights.iter().find(|weight| weight.name == *name).map(|w| w.shape.clone());
            (name.clone(), (shape.unwrap_or_default(), values.clone()))
        };
        let begin = tensors.iter().map(shaped).collect();
        let stepped = stage.train(begin, &maps.train, &maps.val, &inner, progress)?;
        tensors.extend(stepped.tensors.clone());
        unfrozen = Some(stepped);
        training += begun.elapsed();
    }
    Ok(FineTuned {
        model,
        classes: data.classes.clone(),
        recipe: recipe.clone(),
        trained,
        tensors,
        unfrozen,
        images_sha256: digest,
        train_images: train::images(&train),
        val_images: train::images(&val),
        skipped,
        cached,
        computed,
        extracting,
        training,
    })
}

/// The map that the last stage begins with.
fn cut(model: &Prepared) -> Result<FeatureInfo> {
    let level = FeatureLevel::LastStageInput;
    let found = feature_info(model.graph(), &level, model.spec().image_shape())?.into_iter().next();
    let none =
        || crate::model::Error::NoLevel { arch: model.spec().arch.clone(), level: "last stage's input" };
    Ok(found.ok_or_else(none)?)
}

/// The features of a level, and how wide they are.
fn features(
    model: &Prepared,
    data: &Data,
    recipe: &Recipe,
    options: Options<'_>,
    level: &FeatureLevel,
    progress: &dyn TrainingProgress,
) -> Result<(Extracted, usize)> {
    let network = model.features_only(options.engine, level)?;
    let width = network.feature_info().iter().map(FeatureInfo::values).sum();
    let name: Vec<&str> = network.feature_info().iter().map(|level| level.module.as_str()).collect();
    let extraction = Extraction {
        network: &network,
        preprocess: model.preprocess(),
        data,
        augment: recipe.augment,
        seed: recipe.seed,
        on_bad_image: options.on_bad_image,
        threads: options.threads.max(1),
        batch: options.batch,
    };
    let key = Key {
        arch: &model.spec().arch,
        tensors_sha256: model.provenance().tensors_sha256,
        level: &name.join(" "),
        preprocess: model.preprocess(),
        engine: options.engine.info(model.graph())?,
        seed: recipe.seed,
        width,
    };
    Ok((extract::extract(&extraction, &key, options.home, progress)?, width))
}

/// The classifier's tensors by name, of the network's shapes.
fn classifier(graph: &Graph, trained: &Trained) -> Result<BTreeMap<String, Vec<f32>>> {
    let named = [("weight", &trained.weights), ("bias", &trained.biases)];
    let tensor = |(leaf, values): (&str, &Vec<f32>)| {
        let name = format!("{}.{leaf}", graph.classifier);
        let own = graph.weights.iter().find(|weight| weight.name == name);
        let fits = own
            .is_some_and(|w| w.elements() == values.len() as u64 && w.shape.first() == Some(&graph.classes));
        let none = || Error::NoClassifier {
            arch: graph.name.clone(),
            name: name.clone(),
            classes: graph.classes,
            features: trained.weights.len() / graph.classes.max(1),
        };
        if fits { Ok((name, values.clone())) } else { Err(none()) }
    };
    named.into_iter().map(tensor).collect()
}

impl FineTuned<'_> {
    /// What the classes are called, by index.
    pub fn classes(&self) -> &[String] {
        &self.classes
    }

    /// How the training went.
    pub fn curve(&self) -> &[Point] {
        self.unfrozen.as_ref().map_or(&self.trained.curve, |stage| &stage.curve)
    }

    /// What the network makes of the images trained on, and of those measured with.
    fn answers(&self) -> [Option<&Answers>; 2] {
        match &self.unfrozen {
            Some(stage) => [stage.train.as_ref(), stage.val.as_ref()],
            None => [Some(&self.trained.train), self.trained.val.as_ref()],
        }
    }

    /// Right first guesses, and images, of those that were measured with.
    pub fn val(&self) -> Option<(u64, usize)> {
        self.answers()[1].map(|answers| (answers.top1, self.val_images))
    }

    /// How it was made and what came of it, as the sidecar keeps it: nothing of this machine, no clock, no path.
    pub fn summary(&self) -> Value {
        let Trained { weight_decay, chosen, .. } = &self.trained;
        let [train, val] = self.answers();
        let provenance = self.model.provenance();
        json!({
            "base": {
                "model": self.model.spec().name,
                "tensors_sha256": provenance.tensors_sha256.to_string(),
                "page_file": provenance.page_file.name(),
            },
            "recipe": {
                "solver": self.recipe.solver,
                "weight_decay": weight_decay,
                "weight_decay_chosen": chosen,
                "label_smoothing": self.recipe.label_smoothing,
                "class_weights": if self.recipe.balanced { "balanced" } else { "equal" },
                "augment": self.recipe.augment,
                "unfreeze": self.recipe.unfreeze,
                "seed": self.recipe.seed,
            },
            "data": {
                "images_sha256": self.images_sha256.map(|digest| digest.to_string()),
                "train": self.train_images,
                "val": self.val_images,
                "skipped": self.skipped.len(),
            },
            "train": train.map(|answers| measured(answers, self.train_images)),
            "val": val.map(|answers| measured(answers, self.val_images)),
            // Before the last stage was trained, where it was.
            "frozen_val": self.unfrozen.as_ref().and(self.trained.val.as_ref()).map(|a| measured(a, self.val_images)),
            "curve": self.curve(),
        })
    }

    /// Writes the weights, their sidecar and whatever else is asked for.
    ///
    /// # Errors
    /// A network without a classifier of the usual form; what the disk says.
    pub fn write(&self, outputs: &Outputs<'_>) -> Result<()> {
        output::write(self, outputs)
    }
}

/// Answers as JSON: percent, with the interval of Clopper and Pearson at 95 %.
fn measured(answers: &Answers, images: usize) -> Value {
    let n = images as u64;
    let bounds = interval(Relation::Given, answers.top1, n, n, ConfidenceLevel::P95);
    let six = |x: f64| (x * 1e6).round() / 1e6;
    json!({
        "images": images,
        "top1_correct": answers.top1,
        "top1": Percent::of(answers.top1, n),
        "interval": [bounds.low, bounds.high],
        "top5": Percent::of(answers.top5, n),
        "loss": six(answers.loss),
        "of_classes": answers.of_classes,
    })
}
