//! From a [`ModelSpec`] to a [`Model`]: fetch, check, name, bind, prepare.
//!
//! In: what a model is, and a [`Store`]. Out: a network that runs, and where its weights are from. Called by `predict`,
//! `verify` and `golden`. Weights are hashed from the descriptor that they are then read from.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::mapped::Mapped;
use super::runner::Runner;
use super::{EngineKind, Error, FeatureLevel, Labels, ModelSpec, Network, Renamed, WeightsSource, name_as};
use crate::arch;
use crate::arch::facts::DEFAULT_CLASSES;
use crate::checkpoint::{Checkpoint, LocalFile, Options, Source};
use crate::fs;
use crate::hash::Sha256;
use crate::image::Preprocess;
use crate::nn::graph::Graph;
use crate::nn::load;
use crate::store::{PageFile, Store};

/// How models are loaded.
#[derive(Clone, Copy)]
pub struct Loader<'a> {
    /// Where weights are kept.
    pub store: &'a Store,
    /// What computes.
    pub engine: EngineKind,
}

/// Where a model's weights are from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Provenance {
    /// The weights file: the published one, or the user's.
    pub path: PathBuf,
    /// SHA-256 of that file.
    pub file_sha256: Sha256,
    /// Digest of its tensors under the file's own names, whatever the format.
    pub tensors_sha256: Sha256,
    /// What the file says of the one that the model's page names; a file that the user gave stands for itself.
    pub page_file: PageFile,
}

/// A model whose weights are here, checked, and fit its architecture; nothing is computed yet.
#[derive(Debug)]
pub struct Prepared {
    spec: ModelSpec,
    labels: Arc<Labels>,
    provenance: Provenance,
    bound: BoundWeights,
}

/// A network ready to run, with its preprocessing.
#[derive(Clone, Debug)]
pub struct Model {
    spec: ModelSpec,
    labels: Arc<Labels>,
    graph: Graph,
    network: Network,
    provenance: Provenance,
    ignored: Vec<String>,
    renamed: Option<Renamed>,
}

impl Loader<'_> {
    /// Loads a model, fetching its weights if they are not here.
    ///
    /// # Errors
    /// As [`Loader::prepare`] and [`Prepared::start`].
    pub fn load(&self, spec: &ModelSpec) -> Result<Model, Error> {
        self.prepare(spec)?.start(self.engine)
    }

    /// Has a model's weights here, under the architecture's names, and checks that they fit it.
    ///
    /// # Errors
    /// An unknown architecture, an image size that it cannot take, weights that cannot be had, read or do not fit.
    pub fn prepare(&self, spec: &ModelSpec) -> Result<Prepared, Error> {
        let graph = buildable(spec)?;
        let (checkpoint, provenance) = match &spec.weights {
            WeightsSource::File(path) => {
                self.store.refuse_unlocked(&spec.name, path)?;
                given(path, &Options::default())?
            }
            WeightsSource::Store(request) => {
                let (weights, checkpoint) = self.store.open_weights(request)?;
                let provenance = Provenance {
                    path: weights.source.path,
                    file_sha256: weights.source.sha256,
                    tensors_sha256: weights.tensors_sha256,
                    page_file: weights.source.page_file,
                };
                (checkpoint, provenance)
            }
        };
        bind(spec, graph, checkpoint, provenance)
    }

    /// The same with a file's state dict that `options` choose.
    ///
    /// # Errors
    /// As [`Loader::prepare`].
    pub fn prepare_file(&self, spec: &ModelSpec, path: &Path, options: &Options) -> Result<Prepared, Error> {
        let graph = buildable(spec)?;
        let (checkpoint, provenance) = given(path, options)?;
        bind(spec, graph, checkpoint, provenance)
    }
}

/// A weights file of the user's, hashed from the descriptor that its tensors are read from.
fn given(path: &Path, options: &Options) -> Result<(Checkpoint, Provenance), Error> {
    let file = LocalFile::open(path, options.mmap)?;
    let opened = file.file().map(|f| fs::sha256_of(f, path)).transpose()?;
    let checkpoint = Checkpoint::from_source(path, Box::new(file), options)?;
    let file_sha256 = match opened {
        Some((sha256, _)) => sha256,
        None => fs::sha256(path)?.0,
    };
    let tensors_sha256 = checkpoint.tensors_sha256()?;
    let (path, page_file) = (path.to_owned(), PageFile::Seen);
    Ok((checkpoint, Provenance { path, file_sha256, tensors_sha256, page_file }))
}

fn build(spec: &ModelSpec, classes: usize) -> Result<Graph, Error> {
    arch::build(&spec.arch, classes)
        .map_err(|e| Error::Architecture { name: spec.name.clone(), source: Box::new(e) })
}

/// Known to be buildable, and to take the image size, before the weights are downloaded.
fn buildable(spec: &ModelSpec) -> Result<Graph, Error> {
    let graph = build(spec, spec.labels.as_ref().map_or(DEFAULT_CLASSES, |l| l.len()))?;
    let [channels, height, width] = spec.image_shape();
    graph.shapes([1, channels, height, width])?;
    Ok(graph)
}

fn bind(
    spec: &ModelSpec,
    graph: Graph,
    checkpoint: Checkpoint,
    provenance: Provenance,
) -> Result<Prepared, Error> {
    let rebuild = |classes| build(spec, classes);
    let scheme = spec.naming_scheme.as_deref();
    let bound = bind_weights(graph, checkpoint, &provenance.path, scheme, rebuild)?;
    let found = bound.graph.classes;
    let labels = match &spec.labels {
        Some(labels) if labels.len() == found => Arc::clone(labels),
        Some(labels) => {
            let (name, origin, expected) = (spec.name.clone(), spec.origin.clone(), labels.len());
            return Err(Error::Labels { name, origin, expected, path: provenance.path, found });
        }
        None => Labels::of_outputs(found),
    };
    Ok(Prepared { spec: spec.clone(), labels, provenance, bound })
}

/// A checkpoint under its network's names.
#[derive(Debug)]
pub struct BoundWeights {
    /// The architecture, with as many classes as the weights have.
    pub graph: Graph,
    /// The weights.
    pub weights: Mapped,
    /// Tensors of the file that timm drops as well, such as an auxiliary head.
    pub ignored: Vec<String>,
    /// That the file had other names.
    pub renamed: Option<Renamed>,
}

/// Names a checkpoint's tensors as `graph` does, and checks them against it both ways. Weights of another number of
/// classes are held against what `rebuild` makes for as many; `path` is the file for messages, `scheme` the naming
/// scheme that the file is declared to have.
///
/// # Errors
/// Names that cannot be placed; tensors that do not fit; what `rebuild` says.
pub fn bind_weights<E: From<Error>>(
    graph: Graph,
    mut checkpoint: Checkpoint,
    path: &Path,
    scheme: Option<&str>,
    rebuild: impl FnOnce(usize) -> Result<Graph, E>,
) -> Result<BoundWeights, E> {
    let renamed = name_as(&mut checkpoint, &graph, scheme)?;
    let background = drop_background(&graph, &mut checkpoint);
    let weights = Mapped::new(checkpoint);
    let graph = match classes(&graph, &weights) {
        Some(classes) if classes != graph.classes => rebuild(classes)?,
        _ => graph,
    };
    let misfit = |e| Error::Weights { path: path.to_owned(), source: Box::new(e) };
    let mut ignored = load::check(&graph, &weights).map_err(misfit)?.ignored;
    ignored.extend(background);
    Ok(BoundWeights { graph, weights, ignored, renamed })
}

/// Leaves out what a published classifier has in front of the network's classes, where it has just that; says what it
/// left out.
fn drop_background(graph: &Graph, checkpoint: &mut Checkpoint) -> Vec<String> {
    let offset = arch::label_offset(&graph.name);
    let tensors = ["weight", "bias"].map(|leaf| format!("{}.{leaf}", graph.classifier));
    let rows = |name: &String| checkpoint.tensor(name).and_then(|t| t.shape.first().copied());
    if offset == 0 || !tensors.iter().all(|name| rows(name) == Some(graph.classes + offset)) {
        return Vec::new();
    }
    let dropped = tensors.iter().filter(|name| checkpoint.skip_rows(name, offset));
    dropped.map(|name| format!("row 0 of {name} (the background class)")).collect()
}

/// Outputs of the classifier in the weights: a fine-tuned or 21k model has other than a thousand.
fn classes(graph: &Graph, weights: &Mapped) -> Option<usize> {
    let name = format!("{}.weight", graph.classifier);
    weights.checkpoint().tensor(&name)?.shape.first().copied().filter(|&c| c > 0)
}

impl Prepared {
    /// Folds, packs and places what the engine computes with.
    ///
    /// # Errors
    /// `ZOO_ISA` naming an instruction set that this processor does not have; an image size that does not fit.
    pub fn start(self, engine: EngineKind) -> Result<Model, Error> {
        let Prepared { spec, labels, provenance, bound } = self;
        let BoundWeights { graph, weights, ignored, renamed } = bound;
        let network = Network::new(engine, &graph, &weights, spec.image_shape())?;
        Ok(Model { spec, labels, graph, network, provenance, ignored, renamed })
    }

    /// The network without its classifier, which gives features.
    ///
    /// # Errors
    /// As [`Prepared::start`]; a level that the network does not have.
    pub fn features_only(&self, engine: EngineKind, level: &FeatureLevel) -> Result<Network, Error> {
        let BoundWeights { graph, weights, .. } = &self.bound;
        Network::features_only(engine, graph, weights, self.spec.image_shape(), level)
    }

    /// What it was prepared from.
    pub fn spec(&self) -> &ModelSpec {
        &self.spec
    }

    /// The architecture, with as many classes as the weights have.
    pub fn graph(&self) -> &Graph {
        &self.bound.graph
    }

    /// That the file's tensors had other names than timm's.
    pub fn renamed(&self) -> Option<&Renamed> {
        self.bound.renamed.as_ref()
    }

    /// How it wants its images.
    pub fn preprocess(&self) -> &Preprocess {
        &self.spec.preprocess
    }

    /// Where its weights are from.
    pub fn provenance(&self) -> &Provenance {
        &self.provenance
    }

    /// What its outputs are called.
    pub fn labels(&self) -> &Arc<Labels> {
        &self.labels
    }

    /// Its weights, under the architecture's names.
    pub fn weights(&self) -> &Mapped {
        &self.bound.weights
    }
}

impl Model {
    /// What it was loaded from.
    pub fn spec(&self) -> &ModelSpec {
        &self.spec
    }

    /// How reports and messages call it.
    pub fn name(&self) -> &str {
        &self.spec.name
    }

    /// The architecture, with as many classes as the weights have.
    pub fn graph(&self) -> &Graph {
        &self.graph
    }

    /// How it wants its images.
    pub fn preprocess(&self) -> &Preprocess {
        &self.spec.preprocess
    }

    /// Where its weights are from.
    pub fn provenance(&self) -> &Provenance {
        &self.provenance
    }

    /// The network, a candle module.
    pub fn network(&self) -> &Network {
        &self.network
    }

    /// Tensors of the file that timm drops as well, such as an auxiliary head.
    pub fn ignored(&self) -> &[String] {
        &self.ignored
    }

    /// That the file's tensors had other names than timm's.
    pub fn renamed(&self) -> Option<&Renamed> {
        self.renamed.as_ref()
    }

    /// What its outputs are called.
    pub fn labels(&self) -> &Arc<Labels> {
        &self.labels
    }

    /// The same model, each call split between so many threads ([`Network::with_threads`]).
    #[must_use]
    pub fn with_threads(self, threads: usize) -> Self {
        Model { network: self.network.with_threads(threads), ..self }
    }

    /// What computes many images on `threads` threads: [`Network::runners`].
    ///
    /// # Errors
    /// No memory for the activations.
    pub fn runners(&self, threads: usize) -> Result<Vec<Box<dyn Runner>>, Error> {
        self.network.runners(threads)
    }
}
