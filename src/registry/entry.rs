//! One model's entry, typed. Built by the registry's reader; every other module takes these and no YAML.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::format::Record;
use super::values::{
    Accuracy, ByteSize, CropMode, CropPct, Date, Flops, ImageSize, Interpolation, ParamCount, Source,
};
use crate::hash::{HashPrefix, Sha256};

/// A metric of a result.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Metric {
    /// As the page names it, such as `Top 1 Accuracy`.
    pub name: String,
    /// As the page writes it, such as `78.66%`.
    pub text: String,
}

/// One reported result.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ModelResult {
    /// Such as `Image Classification`.
    pub task: String,
    /// Such as `ImageNet`.
    pub dataset: String,
    /// In the page's order.
    pub metrics: Vec<Metric>,
}

/// A claim that can be verified.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Claim {
    /// The claimed accuracy, corrected where `corrections.yaml` has the right value.
    pub top1: Accuracy,
    /// Claimed top-5, likewise.
    pub top5: Option<Accuracy>,
    /// What the page itself says, where a correction differs.
    pub published_top1: Option<Accuracy>,
}

/// How weights are evaluated by their own configuration.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Config {
    /// Size.
    pub image_size: Option<ImageSize>,
    /// Crop.
    pub crop_pct: Option<CropPct>,
    /// Filter.
    pub interpolation: Option<Interpolation>,
}

/// What timm makes of a name now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Today {
    /// `NAME.TAG`.
    pub name: String,
    /// The weights file, where it is not only on the Hugging Face hub.
    pub url: Option<Source>,
}

/// The paper behind a model.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Paper {
    /// Its title.
    pub title: Option<String>,
    /// Its address.
    pub url: Option<String>,
    /// The address on the page, where that leads nowhere and a correction has another.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub published_url: Option<String>,
}

/// Something that a page says wrongly.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Correction {
    /// The model.
    pub model: String,
    /// The field's key path in the model, such as `Metadata.Parameters`.
    pub field: String,
    /// What the page says.
    pub page: String,
    /// The right value; nothing where it is not known.
    pub right: Option<String>,
    /// How that is known.
    pub evidence: String,
    /// When it was established.
    pub date: Date,
}

/// What zoo adds to a page's entry: the `zoo:` section. Every key is optional.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ZooFacts {
    /// The architecture to build, by its timm name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub arch: Option<String>,
    /// Full digest of the weights file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sha256: Option<Sha256>,
    /// Bytes of the weights file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub size: Option<ByteSize>,
    /// Further places of the same file.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub sources: Vec<Source>,
    /// Per channel, of pixels in 0..1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mean: Option<[f32; 3]>,
    /// Per channel, of pixels in 0..1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub std: Option<[f32; 3]>,
    /// How the crop is taken.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub crop_mode: Option<CropMode>,
    /// State-dict prefix of the classifier.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub classifier: Option<String>,
    /// State-dict prefix of the first convolution.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub first_conv: Option<String>,
    /// Exact number of parameters.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub params: Option<ParamCount>,
    /// What its classes are called, where they are not ImageNet's.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub classes: Vec<String>,
    /// Naming scheme of the published file: `timm`, `efficientnet_pytorch`, `torchvision`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub names: Option<String>,
    /// Licence of the weights, where known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub licence: Option<String>,
    /// Hugging Face id of the same file, where known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hf_id: Option<String>,
    /// timm's `NAME.TAG` of the same file, where known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tag: Option<String>,
    /// How timm evaluates exactly these weights.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub config: Option<Config>,
    /// What timm makes of the entry's name now; no evidence about the page.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub today: Option<Today>,
    /// Lint rules that this entry breaks with reason: the rule, and why it is right all the same.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub lint: BTreeMap<String, String>,
    /// Where each fact is from. Hundreds of entries say the same, so they share it; the compiled registry
    /// keeps each text once.
    #[serde(skip)]
    pub evidence: Arc<BTreeMap<String, String>>,
}

/// One model of the registry. Values are the corrected ones.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Entry {
    /// `tf_efficientnet_b7_ns`.
    pub name: String,
    /// The collection it is in.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub collection: Option<String>,
    /// The page's count of parameters.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub params: Option<ParamCount>,
    /// The page's count of floating point operations.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub flops: Option<Flops>,
    /// The page's size of the weights file in bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub file_size: Option<ByteSize>,
    /// Evaluation size.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub image_size: Option<ImageSize>,
    /// Evaluation crop.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub crop_pct: Option<CropPct>,
    /// Evaluation filter.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub interpolation: Option<Interpolation>,
    /// Places of the weights file: the page's `Weights` first, then `zoo.sources`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub sources: Vec<Source>,
    /// What it was trained on, as the page names it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub training_data: Vec<String>,
    /// Where its code is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// Its own paper or its collection's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub paper: Option<Paper>,
    /// Every reported result, in the page's order.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub results: Vec<ModelResult>,
    /// The ImageNet claim, where there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub claim: Option<Claim>,
    /// What zoo adds.
    pub zoo: ZooFacts,
    /// Where the entry is from: the file, for messages.
    pub origin: String,
    /// Whether the user's own pages brought it, and not this binary.
    #[serde(skip)]
    pub added: bool,
    /// The byte of the user's page at which it begins, which tells two of one name apart; 0 where the page
    /// is in this binary.
    #[serde(skip)]
    pub at: u32,
    /// What was corrected.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub corrections: Vec<Correction>,
    /// The entry as its page has it, where something was corrected.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub published: Option<Box<Entry>>,
}

impl Entry {
    /// The entry as its page has it.
    pub fn as_published(&self) -> &Entry {
        self.published.as_deref().unwrap_or(self)
    }

    /// Whether this is the entry of a page's model.
    pub fn is_of(&self, record: &Record) -> bool {
        if self.added {
            return *record.own.file == *self.origin && record.own.span.start == self.at;
        }
        record.name() == Some(&self.name) && *record.own.file == *self.origin
    }

    /// The digits of the weights' file name that promise its SHA-256.
    pub fn hash_prefix(&self) -> Option<HashPrefix> {
        self.sources.first().and_then(Source::hash_prefix)
    }
}
