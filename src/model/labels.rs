//! What a model's outputs are called. They belong to the model: ImageNet's thousand are one case of many.
//!
//! In: names in the order of the class index. Out: [`Labels`], shared by whoever holds the model. Called by
//! [`super::ModelSpec`], `predict`, reports and diagnoses.

use std::sync::{Arc, OnceLock};

use crate::registry::labels;

/// What a class is called.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Label {
    /// Its WordNet id, such as `n01440764`.
    pub id: Option<String>,
    /// Its name, or several with commas between them: `tench, Tinca tinca`.
    pub text: String,
}

/// The classes of a model, by index.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Labels {
    labels: Vec<Label>,
    count: usize,
}

impl Labels {
    /// ImageNet-1k's thousand, in timm's order.
    pub fn imagenet() -> Arc<Self> {
        static LABELS: OnceLock<Arc<Labels>> = OnceLock::new();
        let label = |l: &labels::Label| Label { id: Some(l.wnid.to_owned()), text: l.words.to_owned() };
        let all = || Labels::new(labels::imagenet().iter().map(label).collect());
        Arc::clone(LABELS.get_or_init(|| Arc::new(all())))
    }

    /// Classes by name, and WordNet id where they have one.
    pub fn new(labels: Vec<Label>) -> Self {
        Labels { count: labels.len(), labels }
    }

    /// Classes known by their name only.
    pub fn named(names: impl IntoIterator<Item = String>) -> Self {
        Labels::new(names.into_iter().map(|text| Label { id: None, text }).collect())
    }

    /// So many classes whose names nobody knows.
    pub fn numbered(count: usize) -> Self {
        Labels { labels: Vec::new(), count }
    }

    /// Those of a network with so many outputs, where nobody says what they are: a thousand are ImageNet's.
    pub fn of_outputs(count: usize) -> Arc<Self> {
        let imagenet = Labels::imagenet();
        if imagenet.len() == count { imagenet } else { Arc::new(Labels::numbered(count)) }
    }

    /// How many classes there are.
    pub fn len(&self) -> usize {
        self.count
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// What a class is called, where that is known.
    pub fn get(&self, class: usize) -> Option<&Label> {
        self.labels.get(class)
    }

    /// Every class that has a name, in order.
    pub fn iter(&self) -> impl Iterator<Item = &Label> {
        self.labels.iter()
    }

    /// Whether these are ImageNet-1k's.
    pub fn is_imagenet(&self) -> bool {
        *self == *Labels::imagenet()
    }

    /// A class's name, or `class 7` where it has none.
    pub fn name(&self, class: usize) -> String {
        self.get(class).map_or_else(|| format!("class {class}"), |l| l.text.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thousand_outputs_are_imagenets_and_others_are_numbered() {
        let imagenet = Labels::of_outputs(1000);
        assert!(imagenet.is_imagenet());
        assert_eq!(imagenet.get(0).and_then(|l| l.id.as_deref()), Some("n01440764"));
        let others = Labels::of_outputs(21_843);
        assert_eq!((others.len(), others.get(7), others.name(7)), (21_843, None, "class 7".to_owned()));
        let named = Labels::named(["cat".to_owned(), "dog".to_owned()]);
        assert!(!named.is_imagenet());
        assert_eq!((named.len(), named.name(1)), (2, "dog".to_owned()));
    }
}
