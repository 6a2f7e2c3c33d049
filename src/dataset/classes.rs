//! From what a layout says about an image's class to class indices, and back to the names that ids use.
//!
//! In: a [`RawLabel`]. Out: indices. Called while a dataset is put together.

use std::collections::HashMap;

use super::error::{Error, Result};
use super::layout::RawLabel;
use crate::registry::labels;

/// The classes that a dataset's labels may mean.
#[derive(Clone, Debug)]
pub struct Classes {
    /// How messages call them.
    name: String,
    /// What ids call class i: a synset, or nothing.
    synsets: Vec<String>,
    by_name: HashMap<String, usize>,
    count: usize,
}

impl Classes {
    /// ImageNet's thousand, by synset.
    pub fn imagenet() -> Self {
        let synsets: Vec<_> = labels::imagenet().iter().map(|l| l.wnid.to_owned()).collect();
        let mut by_name: HashMap<_, _> = HashMap::new();
        for (index, label) in labels::imagenet().iter().enumerate() {
            by_name.insert(label.wnid.to_owned(), index);
            // `crane` and `maillot` name two classes each; such a word alone means neither.
            for word in label.words.split(',').map(|w| w.trim().to_lowercase()) {
                by_name.entry(word).and_modify(|i| *i = usize::MAX).or_insert(index);
            }
        }
        by_name.retain(|_, i| *i != usize::MAX);
        Classes { name: "ImageNet's thousand classes".into(), count: synsets.len(), synsets, by_name }
    }

    /// Classes known by name only, in the order of their index.
    pub fn named(names: &[String]) -> Self {
        let by_name = names.iter().enumerate().map(|(i, n)| (n.clone(), i)).collect();
        Classes { name: "the model's classes".into(), synsets: Vec::new(), by_name, count: names.len() }
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.count
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// What an id calls a class: its synset, else its index.
    pub fn id_name(&self, index: usize) -> String {
        self.synsets.get(index).cloned().unwrap_or_else(|| index.to_string())
    }

    /// The class indices of a label, ascending.
    ///
    /// # Errors
    /// [`Error::UnknownClass`].
    pub fn indices(&self, label: &RawLabel, path: &str) -> Result<Vec<usize>> {
        let unknown = |found: String| Error::UnknownClass { path: path.into(), found, of: self.name.clone() };
        let known = |index: usize| match index < self.count {
            true => Ok(index),
            false => Err(unknown(format!("class index {index}"))),
        };
        match label {
            RawLabel::Unlabelled => Ok(Vec::new()),
            RawLabel::Index(index) => Ok(vec![known(*index)?]),
            RawLabel::Any(set) => {
                let mut indices = set.iter().map(|&i| known(i)).collect::<Result<Vec<_>>>()?;
                indices.sort_unstable();
                indices.dedup();
                Ok(indices)
            }
            RawLabel::Name(name) => {
                match self.by_name.get(name).or_else(|| self.by_name.get(&name.to_lowercase())) {
                    Some(&index) => Ok(vec![index]),
                    None => Err(unknown(format!("`{name}`"))),
                }
            }
        }
    }
}
