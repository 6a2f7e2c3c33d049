//! What timm computes on seeded stand-in weights: the record that every engine is held to.
//!
//! In: an architecture's name. Out: [`Golden`]: seed, sizes, logits, and the two figures that say what a
//! comparison with them is worth. The files are made by `tests/oracle/logits.py` and embedded; called by
//! the tests and by `zoo verify --dataset golden` (level `architecture`).

use base64::Engine as _;
use include_dir::{Dir, include_dir};
use serde::Deserialize;

use crate::error::{Class, Classify};

static FILES: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/../../tests/golden/logits");

/// How far logits may be from timm's, in standard deviations of timm's over the classes. Below it the
/// smallest figure [`Sensitivity::smallest`] of any record by ten, above torch's own noise by ten.
pub const TOLERANCE: f64 = 1e-4;

/// timm's logits for one architecture.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct Golden {
    /// Architecture name.
    pub arch: String,
    /// Seed of weights and image.
    pub seed: u64,
    /// SHA-256 of the bytes of every floating tensor, in the order of the state dict.
    pub weights_sha256: String,
    /// One a size.
    pub rows: Vec<Row>,
}

/// timm's logits at one size.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct Row {
    /// Height and width of the image.
    pub size: usize,
    /// Standard deviation of the logits over the classes.
    pub sigma: f64,
    /// torch's own largest |float32 − float64|, in σ.
    pub noise: f64,
    /// What the row would notice.
    pub sensitivity: Sensitivity,
    /// float32, one a class.
    #[serde(deserialize_with = "floats")]
    pub logits: Vec<f32>,
}

/// What happens to the logits when one tensor is exchanged.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct Sensitivity {
    /// The smallest of the largest changes, in σ, over the tensors tried.
    pub smallest: f64,
    /// The tensor it was.
    pub tensor: String,
    /// Tensors tried.
    pub tried: usize,
    /// Floating tensors in all.
    pub of: usize,
}

impl Row {
    /// The largest difference from timm's logits, in σ; infinite where the lengths differ or a value is
    /// not finite.
    pub fn distance(&self, logits: &[f32]) -> f64 {
        distance(logits, &self.logits, self.sigma)
    }
}

/// The largest difference of `ours` from `theirs`, in units of `sigma`; infinite where the lengths differ or a
/// value of ours is not finite.
pub fn distance(ours: &[f32], theirs: &[f32], sigma: f64) -> f64 {
    if ours.len() != theirs.len() || ours.iter().any(|l| !l.is_finite()) {
        return f64::INFINITY;
    }
    let apart = ours.iter().zip(theirs).map(|(a, b)| (f64::from(*a) - f64::from(*b)).abs());
    apart.fold(0.0, f64::max) / sigma
}

/// An embedded record cannot be read: the file was edited by hand.
#[derive(Debug, thiserror::Error)]
#[error("the golden record of `{arch}`: {source}")]
pub struct Error {
    /// The architecture.
    pub arch: String,
    /// What the JSON reader says.
    pub source: serde_json::Error,
}

impl Classify for Error {
    fn class(&self) -> Class {
        Class::BadInput
    }
}

/// The record of `arch`; `None` where timm was not asked about it.
///
/// # Errors
/// An embedded file that is damaged.
pub fn of(arch: &str) -> Result<Option<Golden>, Error> {
    let Some(file) = FILES.get_file(format!("{arch}.json")) else { return Ok(None) };
    serde_json::from_slice(file.contents())
        .map(Some)
        .map_err(|source| Error { arch: arch.to_owned(), source })
}

/// Architectures on record, sorted.
pub fn archs() -> Vec<&'static str> {
    let mut names: Vec<_> =
        FILES.files().filter_map(|f| f.path().to_str()).filter_map(|p| p.strip_suffix(".json")).collect();
    names.sort_unstable();
    names
}

fn floats<'de, D: serde::Deserializer<'de>>(from: D) -> Result<Vec<f32>, D::Error> {
    let text = String::deserialize(from)?;
    let bytes = base64::engine::general_purpose::STANDARD.decode(text).map_err(serde::de::Error::custom)?;
    match bytes.as_chunks::<4>() {
        (values, []) => Ok(values.iter().map(|v| f32::from_le_bytes(*v)).collect()),
        _ => Err(serde::de::Error::custom("logits are not whole float32 values")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distance_is_in_standard_deviations() {
        let sensitivity = Sensitivity { smallest: 1e-2, tensor: "w".into(), tried: 1, of: 1 };
        let row = Row { size: 8, sigma: 0.5, noise: 1e-6, sensitivity, logits: vec![0.0, 1.0] };
        assert_eq!(row.distance(&[0.25, 1.0]), 0.5);
        assert_eq!(row.distance(&[0.0]), f64::INFINITY);
        assert_eq!(row.distance(&[f32::NAN, 1.0]), f64::INFINITY);
    }

    /// Networks whose seeded activations grow (σ of dla102's logits is 14,000, of pnasnet5large's eight million), so that a
    /// bias of the classifier, at most 0.2, or a branch that is added to many is noise in them: of the tensor named, the
    /// least felt of those tried, and of others like it the record tells nothing. The gain is the recipe's own, 1.
    const INSENSITIVE: &[(&str, &str)] = &[
        ("dla102", "fc.bias"),
        ("efficientnet_b3_pruned", "blocks.0.1.se.conv_reduce.bias"),
        ("gluon_xception65", "mid.block19.rep.bn3.running_mean"),
        ("hrnet_w18", "incre_modules.3.0.bn1.running_mean"),
        ("hrnet_w18_small_v2", "incre_modules.3.0.bn1.running_mean"),
        ("hrnet_w30", "incre_modules.3.0.bn1.running_mean"),
        ("hrnet_w32", "incre_modules.3.0.bn1.running_mean"),
        ("hrnet_w40", "incre_modules.3.0.bn1.running_mean"),
        ("hrnet_w44", "incre_modules.3.0.bn1.running_mean"),
        ("hrnet_w48", "incre_modules.3.0.bn1.running_mean"),
        ("hrnet_w64", "incre_modules.3.0.bn1.running_mean"),
        ("nasnetalarge", "cell_17.comb_iter_0_right.bn_sep_2.bias"),
        ("pnasnet5large", "last_linear.bias"),
        ("resnest200e", "layer3.30.conv2.bn1.running_mean"),
        ("xception65", "blocks.18.stack.conv3.bn_pw.running_mean"),
        ("xception71", "blocks.17.stack.conv2.bn_pw.bias"),
    ];

    #[test]
    fn every_record_is_worth_comparing_with() {
        for arch in archs() {
            let golden = of(arch).unwrap().unwrap();
            assert_eq!(golden.arch, arch);
            for row in &golden.rows {
                assert!(
                    row.noise <= 1e-5,
                    "{arch} at {}: torch differs from itself by {}",
                    row.size,
                    row.noise
                );
                let s = &row.sensitivity;
                if INSENSITIVE.contains(&(arch, s.tensor.as_str())) {
                    continue;
                }
                assert!(
                    s.smallest >= 1e-3,
                    "{arch} at {}: {} moves it by {}",
                    row.size,
                    s.tensor,
                    s.smallest
                );
            }
        }
        assert_eq!(of("none").unwrap(), None);
    }
}
