//! A folder as timm writes it for the hub (`save_for_hf`, `local-dir:` to timm): `config.json` beside the weights.
//!
//! In: the folder, or a weights file in it. Out: a [`ModelSpec`]. The config is read as timm's `_parse_model_cfg` reads
//! it, the older form with one dict too, and preprocessing as `resolve_data_config` resolves it without test sizes, which is
//! what a page's example does. Arguments that build another network than the name says are refused. Called by
//! [`ModelSpec::open`].

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::Deserialize;
use serde_json::Value;

use super::spec::WeightsSource;
use super::{Error, Labels, ModelSpec};
use crate::fs;
use crate::image::Preprocess;
use crate::registry::hub::repository_name;
use crate::registry::{CropMode, ImageSize, Interpolation};

/// The config's name.
pub(super) const CONFIG: &str = "config.json";

/// The weights that timm looks for, in its order.
const WEIGHTS: [&str; 3] = ["model.safetensors", "pytorch_model.bin", "open_clip_model.safetensors"];

/// The largest config: some ten thousand classes with descriptions take a megabyte.
const MAX_CONFIG: u64 = 16 << 20;

/// The side of the largest image that a config may ask for, in pixels.
const MAX_SIDE: usize = 4096;

/// The most classes that it may name.
const MAX_CLASSES: usize = 1 << 20;

/// timm's `IMAGENET_DEFAULT_MEAN` and `IMAGENET_DEFAULT_STD`.
const DEFAULT_MEAN: [f32; 3] = [0.485, 0.456, 0.406];
const DEFAULT_STD: [f32; 3] = [0.229, 0.224, 0.225];

/// Poolings before the classifier that are the mean of all pixels.
const MEANS: [&str; 2] = ["avg", "fast"];

/// Arguments of `create_model` that do not change the network as zoo builds it.
const HARMLESS_ARGS: [&str; 5] =
    ["num_classes", "drop_rate", "drop_path_rate", "drop_block_rate", "scriptable"];

/// Whether a folder has a config of a model.
pub(super) fn is_one(folder: &Path) -> bool {
    folder.join(CONFIG).is_file()
}

#[derive(Deserialize)]
struct Config {
    architecture: String,
    pretrained_cfg: Option<Pretrained>,
    num_classes: Option<usize>,
    label_names: Option<Names>,
    label_descriptions: Option<BTreeMap<String, String>>,
    model_args: Option<BTreeMap<String, Value>>,
    global_pool: Option<String>,
}

#[derive(Default, Deserialize)]
struct Pretrained {
    input_size: Option<[usize; 3]>,
    interpolation: Option<String>,
    mean: Option<Vec<f32>>,
    std: Option<Vec<f32>>,
    crop_pct: Option<f64>,
    crop_mode: Option<String>,
    num_classes: Option<usize>,
    #[serde(alias = "labels")]
    label_names: Option<Names>,
    label_descriptions: Option<BTreeMap<String, String>>,
    label_offset: Option<u64>,
}

/// Of every class, or of those that have one.
#[derive(Deserialize)]
#[serde(untagged)]
enum Names {
    All(Vec<String>),
    Some(BTreeMap<String, String>),
}

/// The model of a folder; `weights` are a file in it, where they are not those that timm takes.
///
/// # Errors
/// [`Error::Sidecar`] where the config does not say what it must, or describes what zoo cannot build.
pub(super) fn open(folder: &Path, weights: Option<&Path>) -> Result<ModelSpec, Error> {
    let path = folder.join(CONFIG);
    let bad = |reason: String| Error::Sidecar { path: path.clone(), reason };
    let text = fs::read(&path, MAX_CONFIG)?;
    let mut config: Config = serde_json::from_slice(&text).map_err(|e| bad(e.to_string()))?;
    let pretrained = match config.pretrained_cfg.take() {
        Some(pretrained) => pretrained,
        // The older form: all in one dict.
        None => serde_json::from_slice(&text).map_err(|e| bad(e.to_string()))?,
    };
    config.refuse_other_networks().map_err(bad)?;
    if pretrained.label_offset.is_some_and(|offset| offset > 0) {
        return Err(bad(
            "`label_offset`: weights with a class more than they are used with are not read".into()
        ));
    }
    let labels = config.labels(&pretrained).map_err(bad)?;
    let weights = match weights {
        Some(weights) => weights.to_owned(),
        None => weights_in(folder).ok_or_else(|| {
            bad(format!("there are no weights beside it: expected one of `{}`", WEIGHTS.join("`, `")))
        })?,
    };
    let arch = config.architecture.split('.').next().unwrap_or(&config.architecture).to_owned();
    Ok(ModelSpec {
        name: repository_name(folder).unwrap_or_else(|| arch.clone()),
        origin: path.display().to_string(),
        arch,
        labels: Some(labels),
        preprocess: pretrained.preprocess().map_err(bad)?,
        weights: WeightsSource::File(weights),
        naming_scheme: None,
        claim: None,
        claimed_by_page: false,
    })
}

fn weights_in(folder: &Path) -> Option<PathBuf> {
    WEIGHTS.iter().map(|name| folder.join(name)).find(|path| path.is_file())
}

impl Config {
    /// What would make another network of the architecture's name.
    fn refuse_other_networks(&self) -> Result<(), String> {
        if let Some(pool) = self.global_pool.as_deref().filter(|pool| !MEANS.contains(pool)) {
            return Err(format!("`global_pool` is `{pool}`; zoo builds networks with `avg`"));
        }
        for (key, value) in self.model_args.iter().flatten() {
            let is_usual = HARMLESS_ARGS.contains(&key.as_str())
                || value.is_null()
                || (key == "in_chans" && *value == 3)
                || (key == "global_pool" && value.as_str().is_some_and(|pool| MEANS.contains(&pool)))
                // The size of the images, which a convolutional network does not depend on.
                || key == "img_size";
            if !is_usual {
                return Err(format!("`model_args` has `{key}`: {value}, which zoo does not build"));
            }
        }
        Ok(())
    }

    fn labels(&self, pretrained: &Pretrained) -> Result<Arc<Labels>, String> {
        let count = self.num_classes.or(pretrained.num_classes).unwrap_or_else(|| Labels::imagenet().len());
        if count == 0 || count > MAX_CLASSES {
            return Err(format!("`num_classes` is {count}, expected 1 to {MAX_CLASSES}"));
        }
        let names = match self.label_names.as_ref().or(pretrained.label_names.as_ref()) {
            None => return Ok(Labels::of_outputs(count)),
            Some(Names::All(names)) => names.clone(),
            Some(Names::Some(by_index)) => (0..count)
                .map(|i| by_index.get(&i.to_string()).cloned().unwrap_or_else(|| format!("class {i}")))
                .collect(),
        };
        if names.len() != count {
            return Err(format!("`label_names` has {} names, and there are {count} classes", names.len()));
        }
        let imagenet = Labels::imagenet();
        if imagenet.iter().map(|l| l.id.as_deref()).eq(names.iter().map(|name| Some(name.as_str()))) {
            return Ok(imagenet);
        }
        let described = self.label_descriptions.as_ref().or(pretrained.label_descriptions.as_ref());
        let of = |name: String| described.and_then(|d| d.get(&name)).cloned().unwrap_or(name);
        Ok(Arc::new(Labels::named(names.into_iter().map(of))))
    }
}

impl Pretrained {
    fn preprocess(&self) -> Result<Preprocess, String> {
        let [channels, height, width] = self.input_size.unwrap_or([3, 224, 224]);
        if channels != 3 || !(1..=MAX_SIDE).contains(&height) || !(1..=MAX_SIDE).contains(&width) {
            return Err(format!(
                "`input_size` is [{channels}, {height}, {width}], expected 3 channels and sides of 1 to {MAX_SIDE} pixels"
            ));
        }
        let three = |key: &str, given: &Option<Vec<f32>>, default: [f32; 3]| match given.as_deref() {
            None | Some([]) => Ok(default),
            Some([one]) => Ok([*one; 3]),
            Some(&[r, g, b]) if [r, g, b].iter().all(|v| v.is_finite()) => Ok([r, g, b]),
            Some(other) => Err(format!("`{key}` has {} numbers, expected three", other.len())),
        };
        let (mean, std) = (three("mean", &self.mean, DEFAULT_MEAN)?, three("std", &self.std, DEFAULT_STD)?);
        if std.contains(&0.0) {
            return Err("`std` has a zero".into());
        }
        // As in Python, zero is as good as nothing.
        let crop_pct = self.crop_pct.filter(|crop| *crop != 0.0).unwrap_or(0.875);
        if !(0.1..=1.0).contains(&crop_pct) {
            return Err(format!("`crop_pct` is {crop_pct}, expected a fraction from 0.1 to 1"));
        }
        let crop_mode = self.crop_mode.as_deref().map(str::parse::<CropMode>).transpose();
        let interpolation = self.interpolation.as_deref().map(str::parse::<Interpolation>).transpose();
        Ok(Preprocess {
            size: ImageSize { height, width },
            crop_pct,
            crop_mode: crop_mode.map_err(|e| format!("`crop_mode` is not {e}"))?.unwrap_or_default(),
            interpolation: interpolation
                .map_err(|e| format!("`interpolation` is not {e}"))?
                .unwrap_or(Interpolation::Bicubic),
            mean,
            std,
        })
    }
}
