//! The model-index format, whole: what the Python package `model-index` reads, and what it means to read.
//!
//! In: a root file or folder ([`load`]), or the text of one page ([`page`]). Out: an [`Index`] of models
//! and collections as positioned trees with the format's own spelling of its fields, and every problem
//! found on the way. The registry makes typed entries of it; `import` writes it back.
//!
//! | file | what it knows |
//! | --- | --- |
//! | `fields` | the format's fields, their spelling and their order |
//! | `files` | which files may be read: inside the root's folder, within limits, globs, cycles |
//! | `markdown` | where a Markdown page has YAML: front matter and HTML comments |
//! | `read` | what a file holds, and what its parts in other files are |
//! | `inherit` | what a model takes from its collections |
//! | `results` | results, whichever of the allowed ways they are written in |
//! | `document` | an index as one tree again |

mod document;
pub mod fields;
mod files;
mod inherit;
pub mod markdown;
mod read;
mod results;

#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::path::{Path, PathBuf};

pub use document::{document, to_json};
pub use fields::{normalise, ordered};
pub use results::{Reported, is_eval_result, reported};

use super::tree::{Malformed, Node, Problem, ProblemKind, Problems, View};
use crate::error::Result;

/// A model or a collection.
#[derive(Clone, Debug)]
pub struct Record {
    /// What its file says, under the format's own field names.
    pub own: Node,
    /// The same with what its collections add; equal to `own` for a collection.
    pub full: Node,
    /// Its key path, such as `Models[2]`.
    pub path: String,
}

impl Record {
    /// Its `Name`, where it has one that is not empty.
    pub fn name(&self) -> Option<&str> {
        self.own.field("Name")?.text().filter(|name| !name.is_empty())
    }

    /// The names of its collections, one or several.
    pub fn collections(&self) -> impl Iterator<Item = &str> {
        let collections = self.own.field("In Collection");
        collections.into_iter().flat_map(|c| c.one_or_many()).filter_map(Node::text)
    }

    /// What its file says, with its key path.
    pub fn own(&self) -> View<'_> {
        View::at(&self.own, self.path.as_str())
    }

    /// The same with what its collections add.
    pub fn full(&self) -> View<'_> {
        View::at(&self.full, self.path.as_str())
    }
}

/// All that a model-index says.
#[derive(Clone, Debug, Default)]
pub struct Index {
    /// The models, in the order the files name them.
    pub models: Vec<Record>,
    /// The collections, likewise.
    pub collections: Vec<Record>,
    /// What the root says about the library as a whole.
    pub library: Option<Node>,
    /// Keys of the root that the format does not know, such as `Type`.
    pub others: Vec<(String, Node)>,
    /// What is wrong. The index is what could be read all the same.
    pub problems: Problems,
}

impl Index {
    /// The collection of that name; of several the last, as in Python.
    pub fn collection(&self, name: &str) -> Option<&Record> {
        self.collections.iter().rev().find(|c| c.name() == Some(name))
    }

    /// The index with its warnings, or the error of all that is wrong.
    ///
    /// # Errors
    /// [`Malformed`], when something cannot be used.
    pub fn checked(self) -> std::result::Result<Self, Malformed> {
        if self.problems.has_errors() {
            return Err(Malformed { problems: self.problems });
        }
        Ok(self)
    }

    /// The index with whatever is wrong in it, as long as there is something in it.
    ///
    /// # Errors
    /// [`Malformed`], when something cannot be used and there is neither a model nor a collection.
    pub fn usable(self) -> std::result::Result<Self, Malformed> {
        if self.models.is_empty() && self.collections.is_empty() { self.checked() } else { Ok(self) }
    }
}

/// The root file of a folder, where it has one.
fn root_of(folder: &Path) -> Option<PathBuf> {
    ["model-index.yml", "model-index.yaml"].map(|name| folder.join(name)).into_iter().find(|p| p.exists())
}

/// Whether a folder has a root file.
pub fn has_root(folder: &Path) -> bool {
    root_of(folder).is_some()
}

/// Reads a model-index from the disk: a file, or a folder with `model-index.yml` (or `.yaml`) in it.
/// Whatever it refers to must lie in the folder of that first file.
///
/// # Errors
/// The first file cannot be read. What is wrong inside the files is in [`Index::problems`].
pub fn load(path: &Path) -> Result<Index> {
    let root = match crate::fs::metadata(path)?.is_dir() {
        true => root_of(path),
        false => Some(path.to_owned()),
    };
    let Some(root) = root else {
        let message = "no `model-index.yml` or `model-index.yaml` in this folder";
        return Err(Malformed::one(Problem::of(&path.display().to_string(), message)).into());
    };
    let mut files = files::Files::below(&root)?;
    Ok(finished(read::root_file(&mut files, &root)))
}

/// Reads one page from its bytes; `name` decides between YAML, JSON and Markdown as a file's would.
/// References to other files are refused.
pub fn page(name: &str, bytes: &[u8]) -> Index {
    let mut files = files::Files::none();
    finished(read::root_bytes(&mut files, name, bytes))
}

/// The index of a list of models, whatever fields they have.
pub fn models(list: &Node) -> Index {
    finished(read::list(&mut files::Files::none(), list))
}

/// Inheritance and what only the whole index shows.
fn finished(mut index: Index) -> Index {
    inherit::apply(&mut index);
    let mut first: HashMap<(String, Vec<String>), String> = HashMap::new();
    for model in &index.models {
        let Some(name) = model.own.field("Name").filter(|_| model.name().is_some()) else { continue };
        let place = format!("{}:{}", name.file, name.span.line);
        let key =
            (name.text().unwrap_or_default().to_owned(), model.collections().map(str::to_owned).collect());
        if let Some(other) = first.get(&key) {
            let message = format!("a second model of the name `{}`; the first is at {other}", key.0);
            let view = View::at(name, format!("{}.Name", model.path));
            index.problems.push(Problem::here(&view, message).warning().kind(ProblemKind::DuplicateName));
        }
        first.entry(key).or_insert(place);
    }
    index
}
