//! The names of ImageNet's thousand classes, in the order of the class index. Read by prediction and by
//! the datasets whose folders are synsets.

use std::sync::OnceLock;

/// A class of ImageNet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Label {
    /// WordNet id, such as `n01440764`.
    pub wnid: &'static str,
    /// The synset's words, such as `tench, Tinca tinca`.
    pub words: &'static str,
}

/// The thousand classes; the position is the class index.
///
/// From timm 1.0.31: `data/_info/imagenet_synsets.txt` and `imagenet_synset_to_lemma.txt`.
pub fn imagenet() -> &'static [Label] {
    static LABELS: OnceLock<Vec<Label>> = OnceLock::new();
    LABELS.get_or_init(|| {
        let lines = include_str!("../../registry/labels/imagenet.tsv").lines();
        lines.filter_map(|l| l.split_once('\t')).map(|(wnid, words)| Label { wnid, words }).collect()
    })
}

/// The class index of a synset.
pub fn index_of(wnid: &str) -> Option<usize> {
    // timm's order is the sorted order of the ids, which a test below holds.
    imagenet().binary_search_by(|l| l.wnid.cmp(wnid)).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thousand_classes_in_order() {
        let labels = imagenet();
        assert_eq!(labels.len(), 1000);
        assert!(labels.is_sorted_by(|a, b| a.wnid < b.wnid));
        assert_eq!((labels[0].wnid, labels[0].words), ("n01440764", "tench, Tinca tinca"));
        assert_eq!(labels[999].words, "toilet tissue, toilet paper, bathroom tissue");
        assert_eq!(index_of("n15075141"), Some(999));
        assert_eq!(index_of("n00000000"), None);
    }
}
