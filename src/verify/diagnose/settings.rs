//! Preprocessing that is not the weights': channels swapped, mean and deviation, crop, filter.
//!
//! Other settings are tried on the same images, and the log-probability of the label compared image by image: far more
//! sensitive than counting right ones. Where the images cannot tell, the registry may: it knows some files by their
//! hash, and its claims were made with its settings.

use super::super::Result;
use super::effort::Allowance;
use super::probe::{Probe, Seen, compare};
use super::{DiagnosisInput, Finding, Tried, has_weights};
use crate::hash::Sha256;
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

/// Of the hypotheses that a few images speak for, so many are tried on more.
const FINALISTS: usize = 2;

/// What came of the settings.
pub(super) struct Explained {
    /// The run's own settings on the images that were tried.
    pub(super) seen: Vec<Seen>,
    /// The setting that explains the numbers.
    pub(super) finding: Option<Finding>,
    /// Every setting was tried on all images.
    pub(super) complete: bool,
}

/// A change, and what the images say to it so far.
struct Trial {
    change: Change,
    seen: Vec<Seen>,
    gain: f64,
    /// Tried on as many images as any.
    is_finalist: bool,
}

/// Tries other settings; the one that gains most, if it gains enough, is the finding. Else one in which the entry
/// differs from the registry's own of the same weights, whatever it gains: claims were made with that one's settings.
/// Where the allowance is short all are tried on a few images, and the most promising on the rest.
pub(super) fn explain(
    input: &DiagnosisInput<'_>,
    probe: &Probe<'_>,
    now: &Preprocess,
    allowance: Allowance,
    tried: &mut Vec<Tried>,
) -> Result<Explained> {
    // What the registry says of the same weights, where it is not this entry that says it.
    let sha256 = probe.model.provenance().file_sha256;
    let same = |e: &&Entry| !e.added && has_weights(e, sha256);
    let known = input.known.iter().find(same).and_then(|e| Some((e, Preprocess::of(e).ok()?)));
    let changes = changes(now, known.as_ref().map(|(_, k)| k));
    let (hypotheses, sample) = (changes.len(), probe.places.len());
    let mut explained = Explained { seen: Vec::new(), finding: None, complete: false };
    let Some(screened) = allowance.screened(hypotheses, sample) else { return Ok(explained) };
    let Some(seen) = probe.run(0..screened, now, false)? else { return Ok(explained) };
    explained.seen = seen;
    let mut trials = Vec::new();
    for change in changes {
        let Some(seen) = probe.run(0..screened, &change.preprocess, change.swapped)? else {
            return Ok(explained);
        };
        let gain = compare(change.hypothesis, String::new(), &explained.seen, &seen).gain;
        trials.push(Trial { change, seen, gain, is_finalist: screened == sample });
    }
    if screened < sample {
        trials.sort_by(|a, b| b.gain.total_cmp(&a.gain));
        for (place, trial) in trials.iter_mut().enumerate() {
            trial.is_finalist =
                (place < FINALISTS && trial.gain > 0.0) || trial.change.registry == RegistrySays::So;
        }
        let finalists = trials.iter().filter(|t| t.is_finalist).count();
        let last = allowance.finally(hypotheses, screened, finalists, sample);
        let Some(more) = probe.run(screened..last, now, false)? else { return Ok(explained) };
        explained.seen.extend(more);
        for trial in trials.iter_mut().filter(|t| t.is_finalist) {
            let Change { preprocess, swapped, .. } = &trial.change;
            let Some(more) = probe.run(screened..last, preprocess, *swapped)? else { return Ok(explained) };
            trial.seen.extend(more);
        }
    }
    explained.complete = screened == sample;
    explained.finding = judge(trials, &explained.seen, known.as_ref().map(|(e, _)| *e), sha256, tried);
    Ok(explained)
}

/// The finding, if a setting that was tried on all images explains the numbers.
fn judge(
    trials: Vec<Trial>,
    seen: &[Seen],
    known: Option<&Entry>,
    sha256: Sha256,
    tried: &mut Vec<Tried>,
) -> Option<Finding> {
    let mut best: Option<(f64, Finding)> = None;
    let mut recorded: Option<(f64, Finding)> = None;
    let right = seen.iter().filter(|s| s.guess == s.label).count() as f64 / seen.len().max(1) as f64;
    for Trial { change, seen: after, is_finalist, .. } in trials {
        let outcome = compare(change.hypothesis, change.says.clone(), seen, &after);
        tried.push(outcome.clone());
        if !is_finalist {
            continue;
        }
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
        if let (RegistrySays::So, Some(entry)) = (change.registry, known) {
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
    }
    best.or(recorded).map(|(_, finding)| finding)
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
