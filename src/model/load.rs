//! From an entry to a [`Model`]: fetch, check, name, fit, prepare.
//!
//! In: an [`Entry`] and a [`Store`], or a weights file of the user's. Out: a network that runs, and where
//! its weights are from. Called by `predict`, `verify` and `bench`.

use std::path::{Path, PathBuf};

use super::mapped::Mapped;
use super::{CLASSES, Engine, EngineKind, Error, Renamed, Runner, name_as};
use crate::arch;
use crate::checkpoint::Checkpoint;
use crate::fs;
use crate::hash::Sha256;
use crate::image::Preprocess;
use crate::nn::graph::Graph;
use crate::nn::load;
use crate::registry::Entry;
use crate::registry::labels::{self, Label};
use crate::store::Store;

/// How models are loaded.
#[derive(Clone, Copy)]
pub struct Loader<'a> {
    /// Where weights are kept.
    pub store: &'a Store,
    /// What computes.
    pub engine: EngineKind,
    /// Weights to use instead of the entry's.
    pub weights: Option<&'a Path>,
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
}

/// A model whose weights are here, checked, and fit its architecture; nothing is computed yet.
#[derive(Debug)]
pub struct Prepared {
    entry: Entry,
    preprocess: Preprocess,
    provenance: Provenance,
    fit: Fit,
}

/// A network ready to run, with its preprocessing.
#[derive(Clone, Debug)]
pub struct Model {
    entry: Entry,
    graph: Graph,
    engine: Engine,
    preprocess: Preprocess,
    provenance: Provenance,
    ignored: Vec<String>,
    renamed: Option<Renamed>,
}

impl Loader<'_> {
    /// Loads an entry's model, fetching its weights if they are not here.
    ///
    /// # Errors
    /// As [`Loader::prepare`] and [`Prepared::start`].
    pub fn load(&self, entry: &Entry) -> Result<Model, Error> {
        self.prepare(entry)?.start(self.engine)
    }

    /// Has an entry's weights here, under the architecture's names, and checks that they fit it.
    ///
    /// # Errors
    /// An entry without architecture or preprocessing, weights that cannot be had, read or do not fit.
    pub fn prepare(&self, entry: &Entry) -> Result<Prepared, Error> {
        let (graph, preprocess) = buildable(entry)?;
        let (checkpoint, provenance) = match self.weights {
            Some(path) => given(path)?,
            None => self.published(entry)?,
        };
        fitted(entry, graph, preprocess, checkpoint, provenance)
    }

    /// The same with an open checkpoint, such as another state dict of the file at `path`.
    ///
    /// # Errors
    /// As [`Loader::prepare`].
    pub fn prepare_with(
        &self,
        entry: &Entry,
        checkpoint: Checkpoint,
        path: &Path,
    ) -> Result<Prepared, Error> {
        let (graph, preprocess) = buildable(entry)?;
        let provenance = hashed(&checkpoint, path)?;
        fitted(entry, graph, preprocess, checkpoint, provenance)
    }

    /// The entry's own weights, from the store.
    fn published(&self, entry: &Entry) -> Result<(Checkpoint, Provenance), Error> {
        let weights = self.store.weights(entry)?;
        let checkpoint = Checkpoint::open(&weights.safetensors)?;
        let provenance = Provenance {
            path: weights.source.path,
            file_sha256: weights.source.sha256,
            tensors_sha256: weights.tensors_sha256,
        };
        Ok((checkpoint, provenance))
    }
}

/// A weights file of the user's: hashed, whatever its format.
fn given(path: &Path) -> Result<(Checkpoint, Provenance), Error> {
    let checkpoint = Checkpoint::open(path)?;
    let provenance = hashed(&checkpoint, path)?;
    Ok((checkpoint, provenance))
}

fn hashed(checkpoint: &Checkpoint, path: &Path) -> Result<Provenance, Error> {
    let (file_sha256, tensors_sha256) = (fs::sha256(path)?.0, checkpoint.tensors_sha256()?);
    Ok(Provenance { path: path.to_owned(), file_sha256, tensors_sha256 })
}

fn build(entry: &Entry, classes: usize) -> Result<Graph, Error> {
    let Some(arch) = entry.zoo.arch.as_deref() else {
        return Err(Error::NoArchitecture { name: entry.name.clone(), origin: entry.origin.clone() });
    };
    arch::build(arch, classes)
        .map_err(|e| Error::Architecture { name: entry.name.clone(), source: Box::new(e) })
}

/// Known to be buildable, and to take the image size, before the weights are downloaded.
fn buildable(entry: &Entry) -> Result<(Graph, Preprocess), Error> {
    let preprocess = Preprocess::of(entry)
        .map_err(|e| Error::Preprocess { name: entry.name.clone(), source: Box::new(e) })?;
    let graph = build(entry, CLASSES)?;
    graph.shapes([1, 3, preprocess.size.height, preprocess.size.width])?;
    Ok((graph, preprocess))
}

fn fitted(
    entry: &Entry,
    graph: Graph,
    preprocess: Preprocess,
    checkpoint: Checkpoint,
    provenance: Provenance,
) -> Result<Prepared, Error> {
    let again = |classes| build(entry, classes);
    let fit = fit(graph, checkpoint, &provenance.path, entry.zoo.names.as_deref(), again)?;
    Ok(Prepared { entry: entry.clone(), preprocess, provenance, fit })
}

/// A checkpoint under its network's names.
#[derive(Debug)]
pub struct Fit {
    /// The architecture, with as many classes as the weights have.
    pub graph: Graph,
    /// The weights.
    pub weights: Mapped,
    /// Tensors of the file that timm drops as well, such as an auxiliary head.
    pub ignored: Vec<String>,
    /// That the file had other names.
    pub renamed: Option<Renamed>,
}

/// Names a checkpoint's tensors as `graph` does, and checks them against it both ways. Weights of other than a
/// thousand classes are held against what `build` makes for as many; `path` is the file for messages, `told` the
/// naming scheme that a registry's entry says.
///
/// # Errors
/// Names that cannot be placed; tensors that do not fit; what `build` says.
pub fn fit<E: From<Error>>(
    graph: Graph,
    mut checkpoint: Checkpoint,
    path: &Path,
    told: Option<&str>,
    build: impl FnOnce(usize) -> Result<Graph, E>,
) -> Result<Fit, E> {
    let renamed = name_as(&mut checkpoint, &graph, told)?;
    let weights = Mapped::new(checkpoint);
    let graph = match classes(&graph, &weights) {
        Some(classes) if classes != CLASSES => build(classes)?,
        _ => graph,
    };
    let misfit = |e| Error::Weights { path: path.to_owned(), source: Box::new(e) };
    let ignored = load::check(&graph, &weights).map_err(misfit)?.ignored;
    Ok(Fit { graph, weights, ignored, renamed })
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
    /// `ZOO_ISA` naming an instruction set that this processor has not; an image size that does not fit.
    pub fn start(self, engine: EngineKind) -> Result<Model, Error> {
        let Prepared { entry, preprocess, provenance, fit } = self;
        let Fit { graph, weights, ignored, renamed } = fit;
        let image = [3, preprocess.size.height, preprocess.size.width];
        let engine = Engine::new(engine, &graph, &weights, image)?;
        Ok(Model { entry, graph, engine, preprocess, provenance, ignored, renamed })
    }

    /// The entry it was prepared for.
    pub fn entry(&self) -> &Entry {
        &self.entry
    }

    /// How it wants its images.
    pub fn preprocess(&self) -> &Preprocess {
        &self.preprocess
    }

    /// Where its weights are from.
    pub fn provenance(&self) -> &Provenance {
        &self.provenance
    }

    /// Number of classes.
    pub fn classes(&self) -> usize {
        self.fit.graph.classes
    }

    /// Its weights, under the architecture's names.
    pub fn weights(&self) -> &Mapped {
        &self.fit.weights
    }
}

impl Model {
    /// The entry it was loaded for.
    pub fn entry(&self) -> &Entry {
        &self.entry
    }

    /// The architecture, with as many classes as the weights have.
    pub fn graph(&self) -> &Graph {
        &self.graph
    }

    /// How it wants its images.
    pub fn preprocess(&self) -> &Preprocess {
        &self.preprocess
    }

    /// Where its weights are from.
    pub fn provenance(&self) -> &Provenance {
        &self.provenance
    }

    /// What computes.
    pub fn engine(&self) -> &Engine {
        &self.engine
    }

    /// Tensors of the file that timm drops as well, such as an auxiliary head.
    pub fn ignored(&self) -> &[String] {
        &self.ignored
    }

    /// That the file's tensors had other names than timm's.
    pub fn renamed(&self) -> Option<&Renamed> {
        self.renamed.as_ref()
    }

    /// Number of classes.
    pub fn classes(&self) -> usize {
        self.graph.classes
    }

    /// What a class is called; known for ImageNet's thousand.
    pub fn label(&self, class: usize) -> Option<&'static Label> {
        let labels = labels::imagenet();
        if self.classes() == labels.len() { labels.get(class) } else { None }
    }

    /// What one thread computes with.
    ///
    /// # Errors
    /// No memory for the activations.
    pub fn runner(&self) -> Result<Runner, Error> {
        self.engine.runner()
    }
}
