//! From positioned trees to typed entries. In: a model of an index, or a dataset's file. Out: [`Entry`] and
//! [`DatasetEntry`] values, and every problem found: what cannot be used becomes a problem and nothing, so
//! that one pass finds all of a file. Called by [`super::Registry`], [`super::compiled`] and the linter.

use std::collections::BTreeMap;
use std::str::FromStr;

use super::dataset::{DatasetEntry, DatasetFile, DatasetSource, Population};
use super::entry::{Claim, Config, Entry, Metric, ModelResult, Paper, Today, ZooFacts};
use super::format::{Index, Record, reported};
use super::tree::{Node, Problems, View, same_field};
use super::values::{Accuracy, ImageSize, Source, count};

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

    /// One number, or height and width as a list.
    fn size(&mut self, view: Option<View<'_>>) -> Option<ImageSize> {
        let items: Vec<_> = view.as_ref().map(|v| v.items().collect()).unwrap_or_default();
        if let (Some(view), [Some(height), Some(width)]) =
            (&view, items.iter().map(View::text).collect::<Vec<_>>().as_slice())
        {
            let size = format!("{height}x{width}").parse();
            return size.map_err(|expected| self.0.unexpected(view, "cannot be read", expected)).ok();
        }
        self.parse(view, str::parse)
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
            params: self.parse(meta("Parameters"), str::parse),
            flops: self.parse(meta("FLOPs"), str::parse),
            file_size: self.parse(meta("File Size"), str::parse),
            image_size: self.size(meta("Image Size")),
            crop_pct: self.parse(meta("Crop Pct"), str::parse),
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
            size: self.parse(zoo.field("size"), str::parse),
            sources: self.sources(zoo.field("sources")),
            mean: self.triple(zoo.field("mean")),
            std: self.triple(zoo.field("std")),
            crop_mode: self.parse(zoo.field("crop_mode"), str::parse),
            classifier: self.text(zoo.field("classifier")),
            first_conv: self.text(zoo.field("first_conv")),
            params: self.parse(zoo.field("params"), str::parse),
            names: self.text(zoo.field("names")),
            licence: self.text(zoo.field("licence")),
            hf_id: self.text(zoo.field("hf_id")),
            tag: self.text(zoo.field("tag")),
            config: zoo.field("config").map(|c| Config {
                image_size: self.size(c.field("image_size")),
                crop_pct: self.parse(c.field("crop_pct"), str::parse),
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
pub const TOP1: &[&str] = &["Top 1 Accuracy", "Top-1 Accuracy (%)", "Accuracy@1"];
/// The names of the accuracy of the five best guesses.
pub const TOP5: &[&str] = &["Top 5 Accuracy", "Top-5 Accuracy (%)", "Accuracy@5"];

/// Whether a dataset is ImageNet's 1000 classes, as the name is commonly written.
pub fn is_imagenet(dataset: &str) -> bool {
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
