//! Preprocessing that is not the weights': channels swapped, mean and deviation, crop, filter.
//!
//! Other settings are tried on the same images, and the log-probability of the label compared image by image: far more
//! sensitive than counting right ones.

use super::super::Result;
use super::look::{Look, Seen, compare};
use super::{Finding, Patient, Tried, has_weights};
use crate::image::Preprocess;
use crate::registry::{CropMode, Entry, Interpolation};

/// Standard errors by which a gain must differ from none; with a dozen hypotheses a false one is named once in some
/// two thousand diagnoses.
const Z: f64 = 4.0;

/// Nats an image that a gain must have: less does not explain a wrong number.
const GAIN: f64 = 0.02;

/// Nats an image where the setting is the registry's own, which has been looked at.
const GAIN_AGAINST_REGISTRY: f64 = 0.5;

/// Means and deviations in use: what timm calls default, inception, unit, DPN and CLIP.
const MEAN_STD: [(&str, [f32; 3], [f32; 3]); 5] = [
    ("ImageNet's", [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]),
    ("Inception's", [0.5; 3], [0.5; 3]),
    ("none", [0.0; 3], [1.0; 3]),
    ("DPN's", [0.486_274_5, 0.458_823_53, 0.407_843_14], [0.234_817_35; 3]),
    ("CLIP's", [0.481_454_66, 0.457_827_5, 0.408_210_73], [0.268_629_55, 0.261_302_6, 0.275_777_1]),
];

const CROPS: [f64; 5] = [0.875, 0.9, 0.94, 0.95, 1.0];

/// A change of settings.
struct Change {
    hypothesis: &'static str,
    says: String,
    fix: String,
    preprocess: Preprocess,
    swapped: bool,
    /// Whether the registry's own entry of these weights says otherwise than this.
    doubted: bool,
}

/// Tries other settings; the one that gains most, if it gains enough, is the finding.
pub(super) fn explain(
    patient: &Patient<'_>,
    look: &Look<'_>,
    now: &Preprocess,
    seen: &[Seen],
    tried: &mut Vec<Tried>,
) -> Result<Option<Finding>> {
    // What the registry says of the same weights, where it is not this entry that says it.
    let sha256 = look.model.provenance().file_sha256;
    let same = |e: &&Entry| !e.added && has_weights(e, sha256);
    let known = patient.others.iter().find(same).and_then(|e| Preprocess::of(e).ok());
    let mut best: Option<(f64, Finding)> = None;
    for change in changes(now, known.as_ref()) {
        let after = look.with(&change.preprocess, change.swapped)?;
        let outcome = compare(change.hypothesis, change.says.clone(), seen, &after);
        let least = if change.doubted { GAIN_AGAINST_REGISTRY } else { GAIN };
        let explains = outcome.z >= Z && outcome.gain >= least;
        if explains && best.as_ref().is_none_or(|(gain, _)| outcome.gain > *gain) {
            let right = seen.iter().filter(|s| s.guess == s.label).count() as f64 / seen.len().max(1) as f64;
            let finding = Finding {
                hypothesis: change.hypothesis.into(),
                says: change.says,
                evidence: format!(
                    "on {} images the label's log-probability rises by {} nats ({} standard errors), and top-1 goes from \
                     {:.1} to {:.1} %",
                    seen.len(),
                    outcome.gain,
                    outcome.z,
                    100.0 * right,
                    outcome.top1
                ),
                fix: change.fix,
            };
            best = Some((outcome.gain, finding));
        }
        tried.push(outcome);
    }
    Ok(best.map(|(_, finding)| finding))
}

fn changes(now: &Preprocess, known: Option<&Preprocess>) -> Vec<Change> {
    let mut changes = vec![Change {
        hypothesis: "bgr",
        says: "the channels are in the order blue, green, red".into(),
        fix: "store images as RGB: OpenCV reads and writes BGR".into(),
        preprocess: now.clone(),
        swapped: true,
        doubted: false,
    }];
    let mut add = |hypothesis, says: String, key: &str, preprocess: Preprocess, doubted: bool| {
        let fix = format!("set `{key}` in the entry to what the weights were trained with");
        changes.push(Change { hypothesis, says, fix, preprocess, swapped: false, doubted });
    };
    for (name, mean, std) in
        MEAN_STD.into_iter().filter(|(_, mean, std)| (*mean, *std) != (now.mean, now.std))
    {
        let doubted = known.is_some_and(|k| (k.mean, k.std) != (mean, std));
        let says = format!("the weights want {name} mean and deviation: {mean:?}, {std:?}");
        add("mean-std", says, "zoo.mean` and `zoo.std", Preprocess { mean, std, ..now.clone() }, doubted);
    }
    for crop_pct in CROPS.into_iter().filter(|&c| c != now.crop_pct) {
        let doubted = known.is_some_and(|k| k.crop_pct != crop_pct);
        let preprocess = Preprocess { crop_pct, ..now.clone() };
        add(
            "crop",
            format!("the weights want a crop of {crop_pct}, not {}", now.crop_pct),
            "Crop Pct",
            preprocess,
            doubted,
        );
    }
    for crop_mode in [CropMode::Center, CropMode::Squash].into_iter().filter(|&m| m != now.crop_mode) {
        let doubted = known.is_some_and(|k| k.crop_mode != crop_mode);
        let preprocess = Preprocess { crop_mode, ..now.clone() };
        let says = format!("the weights want the crop mode {crop_mode:?}, not {:?}", now.crop_mode);
        add("crop", says, "zoo.crop_mode", preprocess, doubted);
    }
    let filters =
        [Interpolation::Bicubic, Interpolation::Bilinear, Interpolation::Nearest, Interpolation::Lanczos];
    for interpolation in filters.into_iter().filter(|&f| f != now.interpolation) {
        let doubted = known.is_some_and(|k| k.interpolation != interpolation);
        let preprocess = Preprocess { interpolation, ..now.clone() };
        let says =
            format!("the weights want {} resizing, not {}", interpolation.name(), now.interpolation.name());
        add("interpolation", says, "Interpolation", preprocess, doubted);
    }
    changes
}
