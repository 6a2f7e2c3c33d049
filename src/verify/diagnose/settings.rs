//! Preprocessing that is not the weights': channels swapped, mean and deviation, crop, filter.
//!
//! Other settings are tried on the same images, and the log-probability of the label compared image by image: far more
//! sensitive than counting right ones. Where the images cannot tell, the registry may: it knows some files by their
//! hash, and its claims were made with its settings.

use super::super::Result;
use super::probe::{Probe, Seen, compare};
use super::{DiagnosisInput, Finding, Tried, has_weights};
use crate::image::Preprocess;
use crate::registry::{CropMode, Entry, Interpolation};

/// Standard errors by which a gain must differ from none; with a dozen hypotheses a false one is named once in some
/// two thousand diagnoses.
const MIN_Z: f64 = 4.0;

/// Nats an image that a gain must have: less does not explain a wrong number.
const MIN_GAIN: f64 = 0.02;

/// Nats an image where the setting is the registry's own, which has been looked at.
const MIN_GAIN_AGAINST_REGISTRY: f64 = 0.5;

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
    /// What the registry's own entry of these weights says of it.
    registry: RegistrySays,
}

/// What the registry's own entry of the same weights says of a change.
#[derive(Clone, Copy, PartialEq)]
enum RegistrySays {
    /// It has no entry of these weights.
    Nothing,
    /// That this is how it should be.
    So,
    /// Something else.
    Otherwise,
}

impl RegistrySays {
    fn of<T: PartialEq>(
        known: Option<&Preprocess>,
        key: impl Fn(&Preprocess) -> T,
        changed: &Preprocess,
    ) -> RegistrySays {
        match known.map(|k| key(k) == key(changed)) {
            None => RegistrySays::Nothing,
            Some(true) => RegistrySays::So,
            Some(false) => RegistrySays::Otherwise,
        }
    }
}

/// Tries other settings; the one that gains most, if it gains enough, is the finding. Else one in which the entry
/// differs from the registry's own of the same weights, whatever it gains: claims were made with that one's settings.
pub(super) fn explain(
    input: &DiagnosisInput<'_>,
    probe: &Probe<'_>,
    now: &Preprocess,
    seen: &[Seen],
    tried: &mut Vec<Tried>,
) -> Result<Option<Finding>> {
    // What the registry says of the same weights, where it is not this entry that says it.
    let sha256 = probe.model.provenance().file_sha256;
    let same = |e: &&Entry| !e.added && has_weights(e, sha256);
    let known = input.known.iter().find(same).and_then(|e| Some((e, Preprocess::of(e).ok()?)));
    let mut best: Option<(f64, Finding)> = None;
    let mut recorded: Option<(f64, Finding)> = None;
    let right = seen.iter().filter(|s| s.guess == s.label).count() as f64 / seen.len().max(1) as f64;
    for change in changes(now, known.as_ref().map(|(_, k)| k)) {
        let after = probe.run(&change.preprocess, change.swapped)?;
        let outcome = compare(change.hypothesis, change.says.clone(), seen, &after);
        let least =
            if change.registry == RegistrySays::Otherwise { MIN_GAIN_AGAINST_REGISTRY } else { MIN_GAIN };
        let finding = |evidence| Finding {
            hypothesis: change.hypothesis.into(),
            says: change.says.clone(),
            evidence,
            fix: change.fix.clone(),
        };
        if outcome.z >= MIN_Z && outcome.gain >= least {
            let evidence = format!(
                "on {} images the label's log-probability rises by {} nats ({} standard errors), and top-1 goes from \
                 {:.1} to {:.1} %",
                seen.len(),
                outcome.gain,
                outcome.z,
                100.0 * right,
                outcome.top1
            );
            keep(&mut best, outcome.gain, finding(evidence));
        }
        if let (RegistrySays::So, Some((entry, _))) = (change.registry, &known) {
            let evidence = format!(
                "the file's SHA-256 is {sha256}, which the registry has as `{}`, with that setting; on {} images top-1 goes \
                 from {:.1} to {:.1} % with it",
                entry.name,
                seen.len(),
                100.0 * right,
                outcome.top1
            );
            keep(&mut recorded, outcome.gain, finding(evidence));
        }
        tried.push(outcome);
    }
    Ok(best.or(recorded).map(|(_, finding)| finding))
}

/// The finding that gains more.
fn keep(best: &mut Option<(f64, Finding)>, gain: f64, finding: Finding) {
    if best.as_ref().is_none_or(|(most, _)| gain > *most) {
        *best = Some((gain, finding));
    }
}

fn changes(now: &Preprocess, known: Option<&Preprocess>) -> Vec<Change> {
    let mut changes = vec![Change {
        hypothesis: "bgr",
        says: "the channels are in the order blue, green, red".into(),
        fix: "store images as RGB: OpenCV reads and writes BGR".into(),
        preprocess: now.clone(),
        swapped: true,
        registry: RegistrySays::Nothing,
    }];
    let mut add = |hypothesis, says: String, key: &str, preprocess: Preprocess, registry: RegistrySays| {
        let fix = format!("set `{key}` in the entry to what the weights were trained with");
        changes.push(Change { hypothesis, says, fix, preprocess, swapped: false, registry });
    };
    let usual = MEAN_STD.iter().any(|(_, mean, std)| known.is_some_and(|k| (k.mean, k.std) == (*mean, *std)));
    let own = known.filter(|_| !usual).map(|k| ("their own", k.mean, k.std));
    let all = MEAN_STD.into_iter().chain(own);
    for (name, mean, std) in all.filter(|(_, mean, std)| (*mean, *std) != (now.mean, now.std)) {
        let preprocess = Preprocess { mean, std, ..now.clone() };
        let registry = RegistrySays::of(known, |p| (p.mean, p.std), &preprocess);
        let says = format!("the weights want {name} mean and deviation: {mean:?}, {std:?}");
        add("mean-std", says, "zoo.mean` and `zoo.std", preprocess, registry);
    }
    let own = known.map(|k| k.crop_pct).filter(|c| !CROPS.contains(c));
    for crop_pct in CROPS.into_iter().chain(own).filter(|&c| c != now.crop_pct) {
        let preprocess = Preprocess { crop_pct, ..now.clone() };
        let registry = RegistrySays::of(known, |p| p.crop_pct, &preprocess);
        let says = format!("the weights want a crop of {crop_pct}, not {}", now.crop_pct);
        add("crop", says, "Crop Pct", preprocess, registry);
    }
    for crop_mode in [CropMode::Center, CropMode::Squash].into_iter().filter(|&m| m != now.crop_mode) {
        let preprocess = Preprocess { crop_mode, ..now.clone() };
        let registry = RegistrySays::of(known, |p| p.crop_mode, &preprocess);
        let name = |mode| match mode {
            CropMode::Center => "center",
            CropMode::Squash => "squash",
            CropMode::Border => "border",
        };
        let says = format!("the weights want the crop mode {}, not {}", name(crop_mode), name(now.crop_mode));
        add("crop", says, "zoo.crop_mode", preprocess, registry);
    }
    let filters =
        [Interpolation::Bicubic, Interpolation::Bilinear, Interpolation::Nearest, Interpolation::Lanczos];
    for interpolation in filters.into_iter().filter(|&f| f != now.interpolation) {
        let preprocess = Preprocess { interpolation, ..now.clone() };
        let registry = RegistrySays::of(known, |p| p.interpolation, &preprocess);
        let says =
            format!("the weights want {} resizing, not {}", interpolation.name(), now.interpolation.name());
        add("interpolation", says, "Interpolation", preprocess, registry);
    }
    changes
}
