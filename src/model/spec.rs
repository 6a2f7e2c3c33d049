//! What a model is, before anything of it is loaded: architecture, classes, preprocessing, weights, claims.
//!
//! In: a registry entry, a `.safetensors` with its sidecar, a folder as timm saves it, or whatever a caller puts together. Out: a [`ModelSpec`],
//! which [`super::Loader`] takes.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::Deserialize;
use serde_json::Value;

use super::{Error, Labels, hub_folder};
use crate::arch::facts::DEFAULT_CLASSES;
use crate::fs;
use crate::image::Preprocess;
use crate::registry::{Accuracy, Claim, CropMode, Entry, ImageSize, Interpolation};
use crate::store::Request;

/// Where the entries of the built-in registry are that come from no page.
const OWN_PAGE: &str = "models/zoo-pypi.yaml";

/// The sidecar's schema.
pub const SIDECAR_SCHEMA: &str = "zoo.model/1";

/// The largest sidecar that is read: some ten thousand classes take a megabyte.
const MAX_SIDECAR: u64 = 16 << 20;

/// The side of the largest image that a sidecar may ask for, in pixels.
const MAX_SIDE: usize = 4096;

/// Everything that makes a model, as data.
#[derive(Clone, Debug, PartialEq)]
pub struct ModelSpec {
    /// How reports and messages call it.
    pub name: String,
    /// Where this is written: a page, a sidecar, `caller`.
    pub origin: String,
    /// The architecture, by timm's name.
    pub arch: String,
    /// What its outputs are called. Without any, a thousand outputs are ImageNet's and others have numbers.
    pub labels: Option<Arc<Labels>>,
    /// How it wants its images.
    pub preprocess: Preprocess,
    /// Its weights.
    pub weights: WeightsSource,
    /// The naming scheme that its weights file is known to have: `timm`, `efficientnet_pytorch`, `torchvision`.
    pub naming_scheme: Option<String>,
    /// The accuracy that is claimed for it.
    pub claim: Option<Claim>,
    /// Whether a published page makes the claim, and not only the entry itself.
    pub claimed_by_page: bool,
}

/// Where weights come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WeightsSource {
    /// From the store, which fetches and converts them where that has not been done.
    Store(Request),
    /// A file of the user's: `.pth`, `.npz`, `.safetensors`.
    File(PathBuf),
}

impl ModelSpec {
    /// The model of a registry entry, with the entry's own weights.
    ///
    /// # Errors
    /// [`Error::NoArchitecture`]; [`Error::Preprocess`] where the entry leaves out what cannot be guessed.
    pub fn of(entry: &Entry) -> Result<Self, Error> {
        let preprocess = Preprocess::of(entry)
            .map_err(|e| Error::Preprocess { name: entry.name.clone(), source: Box::new(e) })?;
        let Some(arch) = entry.zoo.arch.clone() else {
            return Err(Error::NoArchitecture { name: entry.name.clone(), origin: entry.origin.clone() });
        };
        Ok(ModelSpec {
            name: entry.name.clone(),
            origin: entry.origin.clone(),
            arch,
            labels: (!entry.zoo.classes.is_empty())
                .then(|| Arc::new(Labels::named(entry.zoo.classes.iter().cloned()))),
            preprocess,
            weights: WeightsSource::Store(Request::of(entry)),
            naming_scheme: entry.zoo.names.clone(),
            claim: entry.claim.clone(),
            claimed_by_page: !entry.added && entry.origin != OWN_PAGE,
        })
    }

    /// `[channels, height, width]` of the images that it takes.
    pub fn image_shape(&self) -> [usize; 3] {
        [self.preprocess.mean.len(), self.preprocess.size.height, self.preprocess.size.width]
    }

    /// The same model with other weights.
    #[must_use]
    pub fn with_weights(self, path: &Path) -> Self {
        ModelSpec { weights: WeightsSource::File(path.to_owned()), ..self }
    }

    /// The model of a `.safetensors` file whose sidecar lies beside it (the same name, ending in `.json`), or of a folder
    /// with timm's `config.json` and weights, or of the weights in one.
    ///
    /// # Errors
    /// [`Error::Sidecar`] where the sidecar or config is missing or does not say what it must.
    pub fn open(weights: &Path) -> Result<Self, Error> {
        if weights.is_dir() {
            return hub_folder::open(weights, None);
        }
        let path = weights.with_extension("json");
        let folder = weights.parent().map(|f| if f.as_os_str().is_empty() { Path::new(".") } else { f });
        if let Some(folder) = folder.filter(|folder| !path.is_file() && hub_folder::is_one(folder)) {
            return hub_folder::open(folder, Some(weights));
        }
        let bad = |reason: String| Error::Sidecar { path: path.clone(), reason };
        if !path.is_file() {
            return Err(bad("there is no such file, and it says what the weights are of".into()));
        }
        let text = fs::read(&path, MAX_SIDECAR)?;
        let sidecar: Sidecar = serde_json::from_slice(&text).map_err(|e| bad(e.to_string()))?;
        if sidecar.schema != SIDECAR_SCHEMA {
            return Err(bad(format!("its schema is `{}`, expected `{SIDECAR_SCHEMA}`", sidecar.schema)));
        }
        let labels = match sidecar.classes {
            Classes::Count(0) => return Err(bad("`classes` is 0".into())),
            Classes::Count(count) => Labels::of_outputs(count),
            Classes::Names(names) if names.is_empty() => return Err(bad("`classes` is empty".into())),
            Classes::Names(names) => Arc::new(Labels::named(names)),
        };
        let claim = sidecar.top1.map(|text| {
            let top1 = text.parse::<Accuracy>().map_err(|e| bad(format!("`top1` is `{text}`: {e}")))?;
            Ok::<_, Error>(Claim { top1, top5: None, published_top1: None })
        });
        let name = weights.file_stem().map(|s| s.to_string_lossy().into_owned());
        Ok(ModelSpec {
            name: sidecar.name.or(name).unwrap_or_default(),
            origin: path.display().to_string(),
            arch: sidecar.arch,
            labels: Some(labels),
            preprocess: sidecar.preprocess.check().map_err(bad)?,
            weights: WeightsSource::File(weights.to_owned()),
            naming_scheme: None,
            claim: claim.transpose()?,
            claimed_by_page: false,
        })
    }

    /// What stands in a sidecar for this model; `training` says how it was made, in the words of whoever made it.
    pub fn to_sidecar(&self, training: Option<&Value>) -> Value {
        let Preprocess { size, crop_pct, crop_mode, interpolation, mean, std } = &self.preprocess;
        // As they are written: 0.485 and not the float32 nearest to it in all its digits.
        let number = |v: &f32| serde_json::from_str::<Value>(&v.to_string()).unwrap_or_default();
        let numbers = |values: &[f32; 3]| values.iter().map(number).collect::<Vec<_>>();
        let classes = match &self.labels {
            None => Value::from(DEFAULT_CLASSES),
            Some(labels) if labels.get(0).is_none() => Value::from(labels.len()),
            Some(labels) => labels.iter().map(|label| Value::from(label.text.as_str())).collect(),
        };
        let mut sidecar = serde_json::json!({
            "schema": SIDECAR_SCHEMA,
            "name": self.name,
            "arch": self.arch,
            "classes": classes,
            "preprocess": {
                "size": [size.height, size.width],
                "crop_pct": crop_pct,
                "crop_mode": crop_mode.name(),
                "interpolation": interpolation.name(),
                "mean": numbers(mean),
                "std": numbers(std),
            },
        });
        if let (Some(object), Some(training)) = (sidecar.as_object_mut(), training) {
            object.insert("training".into(), training.clone());
        }
        sidecar
    }

    /// Whether a name on the command line means a file with a sidecar or a folder with a config, and not an entry of the
    /// registry.
    pub fn is_path(name: &str) -> bool {
        let path = Path::new(name);
        path.extension().is_some_and(|e| e.eq_ignore_ascii_case("safetensors")) || hub_folder::is_one(path)
    }
}

/// The sidecar as it is written.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Sidecar {
    schema: String,
    name: Option<String>,
    arch: String,
    classes: Classes,
    preprocess: SidecarPreprocess,
    /// Percent, as a page would print it: its digits say how exact the claim is.
    top1: Option<String>,
    /// How it was made: kept for people and cards, decides nothing.
    #[serde(default)]
    #[expect(dead_code, reason = "a sidecar may have it; nothing is read from it")]
    training: Option<serde::de::IgnoredAny>,
}

/// How many classes there are, or what they are called.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Classes {
    Count(usize),
    Names(Vec<String>),
}

/// Preprocessing in timm's words.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct SidecarPreprocess {
    /// `[height, width]`, pixels.
    size: [usize; 2],
    crop_pct: f64,
    crop_mode: Option<String>,
    interpolation: String,
    mean: [f32; 3],
    std: [f32; 3],
}

impl SidecarPreprocess {
    fn check(self) -> Result<Preprocess, String> {
        let [height, width] = self.size;
        if !(1..=MAX_SIDE).contains(&height) || !(1..=MAX_SIDE).contains(&width) {
            return Err(format!("`size` is {height}×{width}, expected 1 to {MAX_SIDE} pixels a side"));
        }
        if !(0.1..=1.0).contains(&self.crop_pct) {
            return Err(format!("`crop_pct` is {}, expected a fraction from 0.1 to 1", self.crop_pct));
        }
        if !self.mean.iter().chain(&self.std).all(|v| v.is_finite()) || self.std.contains(&0.0) {
            return Err("`mean` and `std` are three finite numbers each, and no `std` is zero".into());
        }
        let crop_mode = self.crop_mode.as_deref().map(str::parse::<CropMode>).transpose();
        let crop_mode = crop_mode.map_err(|e| format!("`crop_mode` is not {e}"))?.unwrap_or_default();
        let interpolation = self.interpolation.parse::<Interpolation>();
        let interpolation = interpolation.map_err(|e| format!("`interpolation` is not {e}"))?;
        let size = ImageSize { height, width };
        let (crop_pct, mean, std) = (self.crop_pct, self.mean, self.std);
        Ok(Preprocess { size, crop_pct, crop_mode, interpolation, mean, std })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = r#"{"schema": "zoo.model/1", "arch": "resnet18", "classes": ["cat", "dog"], "preprocess":
        {"size": [224, 160], "crop_pct": 0.9, "interpolation": "bicubic", "mean": [0.5, 0.5, 0.5], "std": [0.25, 0.25, 0.25]},
        "top1": "91.5"}"#;

    fn open(text: &str) -> Result<ModelSpec, Error> {
        let folder = tempfile::tempdir().unwrap();
        fs::write_atomic(&folder.path().join("pets.json"), text.as_bytes()).unwrap();
        ModelSpec::open(&folder.path().join("pets.safetensors"))
    }

    #[test]
    fn a_sidecar_says_what_its_weights_are_of() {
        let spec = open(GOOD).unwrap();
        assert_eq!((spec.name.as_str(), spec.arch.as_str()), ("pets", "resnet18"));
        assert_eq!(spec.labels.as_ref().map(|l| l.name(1)).as_deref(), Some("dog"));
        assert_eq!((spec.preprocess.size.height, spec.preprocess.size.width), (224, 160));
        assert_eq!(spec.claim.map(|c| c.top1.text).as_deref(), Some("91.5"));
        let counted = open(&GOOD.replace(r#"["cat", "dog"]"#, "21843")).unwrap();
        assert_eq!(counted.labels.map(|l| l.len()), Some(21_843));
    }

    #[test]
    fn what_a_sidecar_says_wrongly_is_named() {
        let missing = ModelSpec::open(Path::new("no/such.safetensors")).unwrap_err();
        assert!(missing.to_string().contains("no/such.json"), "{missing}");
        let cases = [
            ("zoo.model/1", "zoo.model/9", "`zoo.model/9`"),
            (r#""arch""#, r#""architecture""#, "architecture"),
            (r#"["cat", "dog"]"#, "[]", "`classes`"),
            (r#"["cat", "dog"]"#, "0", "`classes`"),
            ("[224, 160]", "[0, 160]", "`size`"),
            ("0.9", "9", "`crop_pct`"),
            ("[0.25, 0.25, 0.25]", "[0.25, 0, 0.25]", "`std`"),
            ("bicubic", "cubic", "`interpolation`"),
            ("91.5", "good", "`top1`"),
        ];
        for (from, to, said) in cases {
            let error = open(&GOOD.replace(from, to)).unwrap_err().to_string();
            assert!(error.contains(said) && error.contains("pets.json"), "{to}: {error}");
        }
    }
}
