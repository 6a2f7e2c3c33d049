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

/// The class of each of ImageNet's 50,000 validation images, by its number less one.
///
/// From tensorflow-datasets 4.9.10: `datasets/imagenet2012/validation_labels.txt`.
pub fn validation() -> &'static [usize] {
    static LABELS: OnceLock<Vec<usize>> = OnceLock::new();
    LABELS.get_or_init(|| {
        let lines = include_str!("../../registry/labels/imagenet-val.txt").lines();
        lines.filter_map(|l| l.parse().ok()).collect()
    })
}

/// The ReaL labels of a validation image by its number, from 1; none where nobody could tell.
///
/// Beyer et al., "Are we done with ImageNet?" (2020), as in timm 1.0.31: `data/_info/imagenet_real_labels.json`.
pub fn real(number: usize) -> Option<Vec<usize>> {
    static LINES: OnceLock<Vec<&'static str>> = OnceLock::new();
    let lines =
        LINES.get_or_init(|| include_str!("../../registry/labels/imagenet-real.txt").lines().collect());
    let line = lines.get(number.checked_sub(1)?)?;
    Some(line.split_whitespace().filter_map(|l| l.parse().ok()).collect())
}

/// The classes that a set of fewer than the thousand has, ascending.
pub fn mask(name: &str) -> Option<Vec<usize>> {
    let text = match name {
        "imagenet-a" => include_str!("../../registry/labels/imagenet-a.txt"),
        "imagenet-r" => include_str!("../../registry/labels/imagenet-r.txt"),
        "imagenette" => include_str!("../../registry/labels/imagenette.txt"),
        _ => return None,
    };
    let mut classes: Vec<usize> = text.lines().filter_map(index_of).collect();
    classes.sort_unstable();
    Some(classes)
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

    #[test]
    fn label_sets_are_whole() {
        assert_eq!(validation().len(), 50_000);
        let mut per_class = [0; 1000];
        validation().iter().for_each(|&class| per_class[class] += 1);
        assert!(per_class.iter().all(|&n| n == 50));
        assert_eq!(
            (real(1), real(2), real(50_001), real(0)),
            (Some(vec![]), Some(vec![795, 970]), None, None)
        );
        assert_eq!((1..=50_000).filter(|&n| real(n).unwrap().is_empty()).count(), 3163);
        let sizes = ["imagenet-a", "imagenet-r", "imagenette"].map(|name| mask(name).unwrap().len());
        assert_eq!(sizes, [200, 200, 10]);
        assert_eq!(mask("imagenet-val"), None);
    }
}
