//! Models as a command line names them: entries of the registry, perhaps with other weights, and files with a sidecar.
//! Shared by `zoo predict`, `zoo verify` and `zoo golden`.

use std::path::Path;

use crate::error::Result;
use crate::model::{self, ModelSpec};
use crate::registry::{Entry, Registry};
use crate::verify::Candidate;

/// A model as it was chosen: an entry, perhaps with other weights, or a file with its sidecar.
pub(super) enum Chosen<'a> {
    Entry(&'a Entry, Option<&'a Path>),
    File(Box<ModelSpec>),
}

impl<'a> Chosen<'a> {
    /// What a name means; `weights` replace its own.
    ///
    /// # Errors
    /// A name that is neither an entry's nor that of a file with a sidecar.
    pub(super) fn find(name: &str, weights: Option<&'a Path>, registry: &'a Registry) -> Result<Self> {
        match registry.resolve(name) {
            Ok(entry) => Ok(Chosen::Entry(entry, weights)),
            Err(_) if ModelSpec::is_path(name) => {
                let spec = ModelSpec::open(Path::new(name))?;
                let spec = weights.iter().fold(spec, |spec, path| spec.with_weights(path));
                Ok(Chosen::File(Box::new(spec)))
            }
            Err(unknown) => Err(unknown.into()),
        }
    }

    /// What it is.
    ///
    /// # Errors
    /// An entry that is not a model that can be run.
    pub(super) fn spec(&self) -> std::result::Result<ModelSpec, model::Error> {
        match self {
            Chosen::Entry(entry, None) => ModelSpec::of(entry),
            Chosen::Entry(entry, Some(path)) => Ok(ModelSpec::of(entry)?.with_weights(path)),
            Chosen::File(spec) => Ok(ModelSpec::clone(spec)),
        }
    }

    pub(super) fn name(&self) -> &str {
        match self {
            Chosen::Entry(entry, _) => &entry.name,
            Chosen::File(spec) => &spec.name,
        }
    }
}

impl From<Chosen<'_>> for Candidate {
    fn from(chosen: Chosen<'_>) -> Self {
        Candidate { name: chosen.name().to_owned(), spec: chosen.spec() }
    }
}
