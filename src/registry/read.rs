//! From positioned trees to typed entries. In: a model of an index, or a dataset's file. Out: [`Entry`] and
//! [`DatasetEntry`] values, and every problem found: what cannot be used becomes a problem and nothing, so
//! that one pass finds all of a file. Called by [`super::Registry`], [`super::compiled`] and the linter.

use std::collections::BTreeMap;
use std::str::FromStr;

use super::dataset::{DatasetEntry, DatasetFile, DatasetSource, Population};
use super::entry::{
    Accuracy, Claim, Config, CropMode, Entry, ImageSize, Metric, ModelResult, Paper, Source, Today, ZooFacts,
};
use super::format::{Index, Record, reported};
use super::tree::{Node, Problems, View, same_field};

/// Takes typed values out of views, and notes what is not as it should be.
pub(super) struct Reader<'p>(pub(super) &'p mut Problems);

impl Reader<'_> {
    /// A value parsed from its text; the parser's error says what is expected.
    fn parse<T, E: ToString>(
        &mut self,
        view: Option<View<'_>>,
        parse: impl Fn(&str) -> Result<T, E>,
    ) -> Option<T> {
        let view = view?;
        let Some(text) = view.text() else {
            self.0.unexpected(&view, "not a single value", "a text or a number");
            return None;
        };
        match parse(text) {
            Ok(value) => Some(value),
            Err(expected) => {
                self.0.unexpected(&view, "cannot be read", &expected.to_string());
                None
            }
        }
    }

    fn text(&mut self, view: Option<View<'_>>) -> Option<String> {
        self.parse(view, |t| Ok::<_, String>(t.to_owned()))
    }

    /// One text or several; nothing is none.
    fn texts(&mut self, view: Option<View<'_>>) -> Vec<String> {
        let items = view.map(|v| v.one_or_many()).unwrap_or_default();
        items.into_iter().filter_map(|i| self.text(Some(i))).collect()
    }

    fn sources(&mut self, view: Option<View<'_>>) -> Vec<Source> {
        self.texts(view).into_iter().map(Source).collect()
    }

    fn triple(&mut self, view: Option<View<'_>>) -> Option<[f32; 3]> {
        let view = view?;
        let numbers: Vec<f32> = view.items().filter_map(|v| v.text()?.parse().ok()).collect();
        let triple = numbers.try_into().ok().filter(|t: &[f32; 3]| t.iter().all(|x| x.is_finite()));
        if triple.is_none() {
            self.0.unexpected(&view, "cannot be read", "three numbers, one a channel");
        }
        triple
    }

    /// A key that must be there.
    fn need<'v>(&mut self, of: &View<'v>, key: &str) -> Option<View<'v>> {
        let value = of.field(key);
        if value.is_none() {
            self.0.error(of, format!("no `{key}`"));
        }
        value
    }

    /// A model, with what its collections add.
    pub(super) fn model(&mut self, index: &Index, record: &Record) -> Option<Entry> {
        let full = record.full();
        let name = self.need(&full, "Name")?;
        let meta = full.field("Metadata");
        let meta = |key: &str| meta.as_ref().and_then(|m| m.field(key));
        let zoo = full.field("zoo").map(|z| self.facts(&z)).unwrap_or_default();
        let mut sources = self.sources(full.field("Weights"));
        sources.extend(zoo.sources.iter().cloned());
        let results = self.results(&full);
        let collections: Vec<_> = record.collections().collect();
        let paper = full.field("Paper").or_else(|| {
            let of = |name: &&str| Some(View::root(&index.collection(name)?.own).field("Paper")).flatten();
            collections.iter().find_map(of)
        });
        Some(Entry {
            added: false,
            origin: name.node().file.to_string(),
            name: self.text(Some(name))?,
            collection: collections.first().map(|c| (*c).to_owned()),
            params: self.parse(meta("Parameters"), count),
            flops: self.parse(meta("FLOPs"), count),
            file_size: self.parse(meta("File Size"), count),
            image_size: self.parse(meta("Image Size"), image_size),
            crop_pct: self.parse(meta("Crop Pct"), crop_pct),
            interpolation: self.parse(meta("Interpolation"), str::parse),
            training_data: self.texts(meta("Training Data")),
            code: full.field("Code").and_then(|c| Some(self.paper(&c)?.url)).flatten(),
            paper: paper.and_then(|p| self.paper(&p)),
            sources,
            claim: claim(&results),
            results,
            zoo,
            corrections: Vec::new(),
            published: None,
        })
    }

    /// A URL, or a mapping with `Title` and `URL` (of `Code`: only the latter).
    fn paper(&mut self, view: &View<'_>) -> Option<Paper> {
        let view = view.one_or_many().into_iter().next()?;
        if view.node().mapping().is_none() {
            return self.text(Some(view)).map(|url| Paper { title: None, url: Some(url) });
        }
        Some(Paper { title: self.text(view.field("Title")), url: self.text(view.field("URL")) })
    }

    fn facts(&mut self, zoo: &View<'_>) -> ZooFacts {
        ZooFacts {
            arch: self.text(zoo.field("arch")),
            sha256: self.parse(zoo.field("sha256"), digest),
            size: self.parse(zoo.field("size"), count),
            sources: self.sources(zoo.field("sources")),
            mean: self.triple(zoo.field("mean")),
            std: self.triple(zoo.field("std")),
            crop_mode: self.parse(zoo.field("crop_mode"), crop_mode),
            classifier: self.text(zoo.field("classifier")),
            first_conv: self.text(zoo.field("first_conv")),
            params: self.parse(zoo.field("params"), count),
            names: self.text(zoo.field("names")),
            licence: self.text(zoo.field("licence")),
            hf_id: self.text(zoo.field("hf_id")),
            tag: self.text(zoo.field("tag")),
            config: zoo.field("config").map(|c| Config {
                image_size: self.parse(c.field("image_size"), image_size),
                crop_pct: self.parse(c.field("crop_pct"), crop_pct),
                interpolation: self.parse(c.field("interpolation"), str::parse),
            }),
            today: zoo.field("today").and_then(|t| {
                let name = self.need(&t, "name");
                let url = self.text(t.field("url")).map(Source);
                Some(Today { name: self.text(name)?, url })
            }),
            lint: self.words(zoo.field("lint")),
            evidence: self.words(zoo.field("evidence")).into(),
        }
    }

    /// A mapping of texts.
    fn words(&mut self, view: Option<View<'_>>) -> BTreeMap<String, String> {
        let view = view.as_ref();
        let pairs = view.into_iter().flat_map(|v| v.entries().collect::<Vec<_>>());
        pairs.filter_map(|(key, v)| Some((key.text().to_owned(), self.text(Some(v))?))).collect()
    }

    fn results(&mut self, model: &View<'_>) -> Vec<ModelResult> {
        let mut results = Vec::new();
        for result in reported(model) {
            let metric = |(name, value): (&str, View<'_>)| {
                Some(Metric { name: name.to_owned(), text: self.text(Some(value))? })
            };
            let metrics = result.metrics.into_iter().filter(|(_, v)| !v.node().is_null());
            let metrics = metrics.filter_map(metric).collect();
            let (task, dataset) = (self.text(result.task), self.text(result.dataset));
            results.push(ModelResult {
                task: task.unwrap_or_default(),
                dataset: dataset.unwrap_or_default(),
                metrics,
            });
        }
        results
    }

    /// A dataset's file.
    pub(super) fn dataset(&mut self, root: &Node) -> Option<DatasetEntry> {
        let root = View::root(root);
        let mut need = |key: &str| self.need(&root, key);
        let (name, task, classes) = (need("name"), need("task"), need("classes"));
        let (relation, labels, how_to_get) = (need("relation"), need("labels"), need("how_to_get"));
        let sources = root.field("sources").map(|v| v.one_or_many()).unwrap_or_default();
        let population = root.field("population").and_then(|p| {
            let (name, n) = (self.need(&p, "name"), self.need(&p, "n"));
            Some(Population { name: self.text(name)?, n: self.parse(n, count)? })
        });
        Some(DatasetEntry {
            name: self.text(name)?,
            task: self.text(task)?,
            classes: self.parse(classes, usize::from_str)?,
            population,
            relation: self.parse(relation, str::parse)?,
            labels: self.parse(labels, str::parse)?,
            mask: self.text(root.field("mask")),
            label_set: self.text(root.field("label_set")),
            licence: self.text(root.field("licence")),
            sources: sources.iter().filter_map(|s| self.dataset_source(s)).collect(),
            layouts: self.texts(root.field("layouts")),
            how_to_get: self.text(how_to_get)?,
        })
    }

    fn dataset_source(&mut self, view: &View<'_>) -> Option<DatasetSource> {
        let url = self.need(view, "url");
        let files = view.field("files").map(|v| v.one_or_many()).unwrap_or_default();
        let mut read = Vec::with_capacity(files.len());
        for file in &files {
            let path = self.need(file, "path");
            if let Some(path) = self.text(path) {
                let size = self.parse(file.field("size"), count);
                read.push(DatasetFile { path, size, sha256: self.parse(file.field("sha256"), digest) });
            }
        }
        Some(DatasetSource {
            url: Source(self.text(url)?),
            sha256: self.parse(view.field("sha256"), digest),
            files: read,
        })
    }
}

/// The names of the best-guess accuracy: timm's pages', the format's examples', Hugging Face's.
pub(crate) const TOP1: &[&str] = &["Top 1 Accuracy", "Top-1 Accuracy (%)", "Accuracy@1"];
/// The names of the accuracy of the five best guesses.
pub(crate) const TOP5: &[&str] = &["Top 5 Accuracy", "Top-5 Accuracy (%)", "Accuracy@5"];

/// Whether a dataset is ImageNet's 1000 classes, as the name is commonly written.
pub(crate) fn is_imagenet(dataset: &str) -> bool {
    ["imagenet", "imagenet1k"].iter().any(|name| same_field(dataset, name))
}

/// The ImageNet accuracy among the results.
pub(super) fn claim(results: &[ModelResult]) -> Option<Claim> {
    let on_imagenet =
        |r: &&ModelResult| same_field(&r.task, "Image Classification") && is_imagenet(&r.dataset);
    results.iter().filter(on_imagenet).find_map(|r| {
        let metric = |names: &[&str]| {
            let named = |m: &&Metric| names.iter().any(|n| same_field(&m.name, n));
            r.metrics.iter().find(named)?.text.parse::<Accuracy>().ok()
        };
        let top1 = metric(TOP1)?;
        let top5 = metric(TOP5);
        Some(Claim { top1, top5, published_top1: None })
    })
}

fn digest(text: &str) -> Result<crate::hash::Sha256, &'static str> {
    text.parse().map_err(|_| "a SHA-256 (64 hex digits)")
}

/// A count as a whole number, or as people write it: `24.3M`, `33G`, `5,330,896`.
pub(super) fn count(text: &str) -> Result<u64, &'static str> {
    const EXPECTED: &str = "a count such as `24300000`, `24.3M` or `33G`";
    let text = text.trim().replace([',', '_'], "");
    if let Ok(exact) = text.parse() {
        return Ok(exact);
    }
    let split = text.find(|c: char| c.is_ascii_alphabetic() && c != 'e').unwrap_or(text.len());
    let (digits, unit) = text.split_at_checked(split).ok_or(EXPECTED)?;
    let scale = match unit.trim() {
        "" => 1.0,
        "k" | "K" => 1e3,
        "m" | "M" => 1e6,
        "g" | "G" | "b" | "B" => 1e9,
        "t" | "T" => 1e12,
        _ => return Err(EXPECTED),
    };
    let value = digits.trim().parse::<f64>().map_err(|_| EXPECTED)? * scale;
    // Above 2^53 a double no longer counts by ones.
    if !(0.0..=9.007_199_254_740_992e15).contains(&value) {
        return Err(EXPECTED);
    }
    Ok(value.round() as u64)
}

pub(super) fn image_size(text: &str) -> Result<ImageSize, &'static str> {
    const EXPECTED: &str = "pixels such as `224` or `224x224`, at most 65536";
    let side = |t: &str| match t.trim().parse::<usize>() {
        Ok(pixels @ 1..=65536) => Ok(pixels),
        _ => Err(EXPECTED),
    };
    let (height, width) = text.split_once(['x', 'X', '×']).unwrap_or((text, text));
    Ok(ImageSize { height: side(height)?, width: side(width)? })
}

pub(super) fn crop_pct(text: &str) -> Result<f64, &'static str> {
    match text.trim().parse::<f64>() {
        Ok(share) if share > 0.0 && share <= 1.5 => Ok(share),
        _ => Err("a share of the resized image such as `0.875`"),
    }
}

fn crop_mode(text: &str) -> Result<CropMode, &'static str> {
    match text {
        "center" => Ok(CropMode::Center),
        "squash" => Ok(CropMode::Squash),
        "border" => Ok(CropMode::Border),
        _ => Err("one of center, squash, border"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_as_people_write_them() {
        assert_eq!(count("5290000"), Ok(5_290_000));
        assert_eq!(count("24.3M"), Ok(24_300_000));
        assert_eq!(count("33 G"), Ok(33_000_000_000));
        assert_eq!(count("5,330,896"), Ok(5_330_896));
        assert!(count("-1").is_err() && count("many").is_err() && count("1e300").is_err());
    }
}
