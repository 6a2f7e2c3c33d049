//! Weights that are not what the entry's name says: another model's, half of a network, or the other state dict of a
//! training checkpoint.

use super::super::Result;
use super::probe::{Probe, Seen, compare};
use super::{DiagnosisInput, Finding, Tried, has_weights};
use crate::checkpoint::Options;
use crate::model::Prepared;
use crate::nn::weights::Weights;

/// Where training scripts put state dicts: raw and averaged.
const KEYS: [&str; 6] = ["state_dict_ema", "model_ema", "ema_state_dict", "ema", "state_dict", "model"];

/// Points of top-1 that another state dict must gain on a few hundred images.
const MIN_POINTS: f64 = 10.0;

/// What the file itself tells.
pub(super) fn of(prepared: &Prepared, input: &DiagnosisInput<'_>) -> Option<Finding> {
    another_model(prepared, input).or_else(|| untouched(prepared))
}

/// The file is known, as that of another model.
fn another_model(prepared: &Prepared, input: &DiagnosisInput<'_>) -> Option<Finding> {
    let spec = input.spec;
    let known = |e: &&crate::registry::Entry| !e.added && has_weights(e, prepared.provenance().file_sha256);
    let owners: Vec<_> = input.known.iter().filter(known).collect();
    let owner = owners.first()?;
    let same = |e: &&crate::registry::Entry| e.name == spec.name || e.claim == spec.claim;
    if owners.iter().any(same) {
        return None;
    }
    let claims =
        |claim: Option<&crate::registry::Claim>| claim.map_or("nothing".into(), |c| c.top1.to_string());
    Some(Finding {
        hypothesis: "another-model".into(),
        says: format!("these are the weights of `{}`", owner.name),
        evidence: format!(
            "the file's SHA-256 is {}; `{}` claims {}, `{}` claims {}",
            prepared.provenance().file_sha256,
            owner.name,
            claims(owner.claim.as_ref()),
            spec.name,
            claims(spec.claim.as_ref())
        ),
        fix: "correct the entry's `Weights`, or its name and claim".into(),
    })
}

/// Norms whose statistics are as a network is born with them, among others that have been trained.
fn untouched(prepared: &Prepared) -> Option<Finding> {
    let weights = prepared.weights();
    let all =
        |name: &str, value: f32| weights.get(name).is_some_and(|v| v.values.iter().all(|x| *x == value));
    let norms: Vec<String> = weights
        .names()
        .into_iter()
        .filter_map(|(name, _)| name.strip_suffix(".running_mean").map(str::to_owned))
        .collect();
    let born = |norm: &&String| {
        all(&format!("{norm}.running_mean"), 0.0) && all(&format!("{norm}.running_var"), 1.0)
    };
    let fresh: Vec<&String> = norms.iter().filter(born).collect();
    let first = fresh.first()?;
    (fresh.len() < norms.len()).then(|| Finding {
        hypothesis: "half-loaded".into(),
        says: format!("{} of {} batch norms were never trained or never loaded", fresh.len(), norms.len()),
        evidence: format!("the running mean of `{first}` is all 0 and its variance all 1, as it is made"),
        fix: "save the checkpoint again from a model that was loaded strictly; `zoo convert --arch` checks every name".into(),
    })
}

/// Other state dicts of the same file, run on the same images.
pub(super) fn other_keys(
    input: &DiagnosisInput<'_>,
    probe: &Probe<'_>,
    images: usize,
    tried: &mut Vec<Tried>,
) -> Result<Option<Finding>> {
    let path = &probe.model.provenance().path;
    let own = probe.model.provenance().tensors_sha256;
    let right = |seen: &[Seen]| seen.iter().filter(|s| s.guess == s.label).count() as f64;
    let mut before = None;
    for key in KEYS {
        let options = Options { key: Some(key.to_owned()), ..Options::default() };
        // A file without that key, or one that has gone since it was converted, tells nothing.
        let Ok(prepared) = input.loader.prepare_file(input.spec, path, &options) else { continue };
        if prepared.provenance().tensors_sha256 == own {
            continue;
        }
        let preprocess = prepared.preprocess().clone();
        if before.is_none() {
            before = probe.run(0..images, &preprocess, false)?;
        }
        let Some(seen) = &before else { return Ok(None) };
        let model = prepared.start(input.loader.engine)?;
        let Some(after) = (Probe { model: &model, ..*probe }).run(0..images, &preprocess, false)? else {
            return Ok(None);
        };
        let outcome = compare("other-state-dict", format!("the file's `{key}`"), seen, &after);
        let points = 100.0 * (right(&after) - right(seen)) / seen.len().max(1) as f64;
        tried.push(outcome.clone());
        if points >= MIN_POINTS && outcome.z >= 4.0 {
            return Ok(Some(Finding {
                hypothesis: "other-state-dict".into(),
                says: format!(
                    "the file holds a second state dict, `{key}`, and that is the one that was published"
                ),
                evidence: format!(
                    "with it {:.1} % are right, with the one that was read {points:.1} points less",
                    outcome.top1
                ),
                fix: format!(
                    "`zoo convert FILE --key {key} -o OUT.safetensors`, and verify with `--weights OUT.safetensors`"
                ),
            }));
        }
    }
    Ok(None)
}
