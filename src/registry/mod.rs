//! The typed registry: what pages claim about models.
//!
//! In: `registry/models/*.yaml` and `registry/datasets/*.yaml` (embedded), and the user's own pages. Out:
//! [`Entry`] and [`DatasetEntry`] values that the store, the model loader, the linter and the renderers
//! read. [`Registry::builtin`] and [`Registry::open`] make it; [`Registry::resolve`] answers names.

mod dataset;
mod entry;
mod error;
pub mod format;
pub mod import;
pub mod labels;
mod names;
pub mod pages;
mod read;
pub mod tree;
mod view;

use std::path::{Path, PathBuf};

use include_dir::{Dir, include_dir};

pub use dataset::{DatasetEntry, DatasetFile, DatasetSource, LabelRule, Population, Relation};
pub use entry::{
    Accuracy, Claim, CropMode, Entry, ImageSize, Interpolation, Metric, ModelResult, Source, ZooFacts,
};
pub use error::{Error, Problem, Result};

/// The pages and dataset files that this binary carries.
static EMBEDDED: Dir<'static> = include_dir!("$CARGO_MANIFEST_DIR/registry");

/// The largest page that is read.
const MAX_PAGE: u64 = 16 << 20;

/// Every model and dataset known here: the built-in ones and the user's.
#[derive(Clone, Debug, Default)]
pub struct Registry {
    models: Vec<Entry>,
    datasets: Vec<DatasetEntry>,
}

impl Registry {
    /// The entries that this binary carries.
    ///
    /// # Errors
    /// [`Error::Malformed`], which a test keeps from happening.
    pub fn builtin() -> Result<Self> {
        let mut registry = Registry::default();
        for file in EMBEDDED.get_dir("models").into_iter().flat_map(|d| d.files()) {
            registry.models.extend(page(&file.path().to_string_lossy(), file.contents())?);
        }
        for file in EMBEDDED.get_dir("datasets").into_iter().flat_map(|d| d.files()) {
            let name = file.path().to_string_lossy();
            registry.datasets.extend(parsed(&name, file.contents(), read::dataset)?);
        }
        Ok(registry)
    }

    /// The built-in entries and those of `extra`, each a folder of pages or one page. A later source
    /// shadows the names of an earlier one; two of one name inside one source stay, and are ambiguous.
    ///
    /// # Errors
    /// A file that cannot be read, or [`Error::Malformed`] with every problem of one.
    pub fn open(extra: &[PathBuf]) -> Result<Self> {
        let mut registry = Registry::builtin()?;
        for path in extra {
            let added = source(path)?;
            registry.models.retain(|old| added.iter().all(|new| new.name != old.name));
            registry.models.extend(added);
        }
        Ok(registry)
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

/// The models of one `--registry`.
fn source(path: &Path) -> Result<Vec<Entry>> {
    let read = |file: &Path| page(&file.display().to_string(), &crate::fs::read(file, MAX_PAGE)?);
    if !crate::fs::metadata(path)?.is_dir() {
        return read(path);
    }
    let is_page = |p: &PathBuf| p.extension().is_some_and(|e| e == "yaml" || e == "yml");
    let mut entries = Vec::new();
    for file in crate::fs::list(path)?.iter().filter(|p| is_page(p)) {
        entries.extend(read(file)?);
    }
    Ok(entries)
}

/// The models of one page, or all that is wrong with it.
fn page(file: &str, bytes: &[u8]) -> Result<Vec<Entry>> {
    parsed(file, bytes, read::models)
}

fn parsed<T>(
    file: &str,
    bytes: &[u8],
    typed: impl Fn(&serde_yaml::Value, &mut view::Problems) -> T,
) -> Result<T> {
    let document = serde_yaml::from_slice(bytes).map_err(|e| {
        let place = e.location();
        Error::Malformed(vec![Problem {
            file: file.to_owned(),
            line: place.as_ref().map_or(0, |p| p.line()),
            column: place.as_ref().map_or(0, |p| p.column()),
            path: String::new(),
            found: e.to_string(),
            expected: "YAML".into(),
        }])
    })?;
    let mut problems = view::Problems { file: file.to_owned(), list: Vec::new() };
    let value = typed(&document, &mut problems);
    match problems.list.is_empty() {
        true => Ok(value),
        false => Err(Error::Malformed(problems.list)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_embedded_registry_reads() {
        let registry = Registry::builtin().unwrap();
        let b0 = registry.resolve("tf_efficientnet_b0_ns").unwrap();
        assert_eq!(b0.zoo.params, Some(5_288_548));
        assert_eq!(b0.claim.as_ref().unwrap().top1.text, "78.66");
        assert_eq!(b0.hash_prefix().unwrap().as_str(), "c0e6a31c");
        let sample = registry.dataset("sample").unwrap();
        assert_eq!(sample.sources[0].files.len(), 20);
        let first = &sample.sources[0].files[0];
        assert_eq!(sample.sources[0].of(first).0, "pypi:foolbox==3.3.4!/foolbox/data/imagenet_00_243.jpg");
        assert!(registry.dataset("sampl").unwrap_err().to_string().contains("sampl"));
    }

    #[test]
    fn every_problem_of_a_page_is_told() {
        let text = b"Models:\n- Name: a\n  Metadata: {FLOPs: x, Crop Pct: '9'}\n- {}\n";
        let Err(Error::Malformed(problems)) = page("p.yaml", text) else { panic!() };
        let paths: Vec<_> = problems.iter().map(|p| p.path.as_str()).collect();
        assert_eq!(paths, ["Models[0].Metadata.FLOPs", "Models[0].Metadata.Crop Pct", "Models[1]"]);
    }
}
