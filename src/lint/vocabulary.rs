//! Words that pages commonly use: keys, datasets, metrics. What is not here is not wrong, only unusual.

use crate::registry::tree::same_field;

/// Metadata of timm's pages beyond those with a place in zoo's order.
pub(super) const METADATA: &[&str] =
    &["FPS (GPU RTX 2070)", "RMSProp \\\\( \\epsilon \\\\)", "RMSProp \\( \\epsilon \\)"];

/// Datasets that vision models are trained and measured on.
pub(super) const DATASETS: &[&str] = &[
    "ImageNet",
    "ImageNet-1k",
    "ImageNet-21k",
    "ImageNet-22k",
    "ImageNet-A",
    "ImageNet-R",
    "ImageNet-C",
    "ImageNet-O",
    "ImageNet-ReaL",
    "ImageNet ReaL",
    "ImageNetV2",
    "ImageNet V2",
    "ImageNet-V2",
    "ImageNetV2 Matched Frequency",
    "ImageNet-Sketch",
    "ImageNet Sketch",
    "JFT-300M",
    "IG-1B-Targeted",
    "IG-3.5B-17k",
    "YFCC-100M",
    "CIFAR-10",
    "CIFAR-100",
    "MNIST",
    "Places365",
    "Oxford Flowers",
    "Oxford 102 Flowers",
    "Stanford Cars",
    "COCO",
    "COCO test-dev",
    "COCO minival",
    "COCO val2017",
    "Cityscapes",
    "ADE20K",
    "PASCAL VOC",
    "PASCAL VOC 2007",
    "PASCAL VOC 2012",
    "LVIS",
    "Objects365",
    "OpenImages",
    "Kinetics-400",
    "Kinetics-600",
    "Something-Something V2",
    "UCF101",
];

/// Metrics of those.
pub(super) const METRICS: &[&str] = &[
    "Top 1 Accuracy",
    "Top 5 Accuracy",
    "Top-1 Accuracy (%)",
    "Top-5 Accuracy (%)",
    "Accuracy@1",
    "Accuracy@5",
    "Accuracy",
    "box AP",
    "mask AP",
    "keypoint AP",
    "AP",
    "AP50",
    "AP75",
    "mAP",
    "mIoU",
    "mIoU(ms+flip)",
    "PQ",
    "F1",
    "Recall",
    "Precision",
];

/// The known word that another is probably meant to be: one letter off, or a tenth of them.
pub(super) fn meant<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    const MAX_WORD_LEN: usize = 64;
    let folded = word.to_lowercase();
    let length = folded.chars().count();
    if !(4..=MAX_WORD_LEN).contains(&length) {
        return None;
    }
    let allowed = 1.max(length / 10);
    let near = |k: &&str| {
        let other = k.to_lowercase();
        // Digits are never a slip of the pen: CIFAR-10 is not CIFAR-100.
        let digits = |s: &str| s.chars().filter(char::is_ascii_digit).collect::<String>();
        other.chars().count().abs_diff(length) <= allowed
            && digits(&other) == digits(&folded)
            && strsim::damerau_levenshtein(&folded, &other) <= allowed
    };
    known.into_iter().find(near)
}

/// Whether a list has a word, as forgiving readers compare.
pub(super) fn has(known: &[&str], word: &str) -> bool {
    known.iter().any(|k| same_field(k, word))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slips_are_told_from_other_words() {
        assert_eq!(meant("ImgeNet", DATASETS.iter().copied()), Some("ImageNet"));
        assert_eq!(meant("Top 1 Acuracy", METRICS.iter().copied()), Some("Top 1 Accuracy"));
        assert_eq!(meant("Top 3 Accuracy", METRICS.iter().copied()), None);
        assert_eq!(meant("CIFAR-11", DATASETS.iter().copied()), None);
        assert_eq!(meant("LR", ["ID"]), None);
        assert!(has(DATASETS, "imagenet_1k"));
    }
}
