//! From positioned trees to typed entries. In: a model of an index. Out: [`Entry`] values, and every problem found: what
//! cannot be used becomes a problem and nothing, so that one pass finds all of a file. Called by [`super::Registry`],
//! [`super::compiled`] and the linter.

use std::collections::BTreeMap;

use super::entry::{Claim, Config, Entry, Metric, ModelResult, Paper, Today, ZooFacts};
use super::format::{Index, Record, reported};
use super::tree::{Problems, Value, View};
use super::values::{Accuracy, ImageSize, Source};

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
    /// The `at`th of its index, from 0; one without a name is called by its number, `#1` the first.
    pub(super) fn model(&mut self, index: &Index, record: &Record, at: usize) -> Entry {
        let full = record.full();
        let name = record.name().map_or_else(|| format!("#{}", at + 1), str::to_owned);
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
        Entry {
            added: false,
            at: 0,
            origin: record.own.field("Name").map_or(&record.own, |name| name).file.to_string(),
            name,
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
        }
    }

    /// A URL, or a mapping with `Title` and `URL` (of `Code`: only the latter).
    fn paper(&mut self, view: &View<'_>) -> Option<Paper> {
        let view = view.one_or_many().into_iter().next()?;
        if view.node().mapping().is_none() {
            let url = self.text(Some(view))?;
            return Some(Paper { url: Some(url), ..Paper::default() });
        }
        let (title, url) = (self.text(view.field("Title")), self.text(view.field("URL")));
        Some(Paper { title, url, published_url: None })
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
            classes: self.texts(zoo.field("classes")),
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
            let mut metrics = Vec::new();
            for (name, value) in result.metrics {
                scalars(name, &value, &mut metrics);
            }
            let (task, dataset) = (self.text(result.task), self.text(result.dataset));
            results.push(ModelResult {
                task: task.unwrap_or_default(),
                dataset: dataset.unwrap_or_default(),
                metrics,
            });
        }
        results
    }
}

/// The values of a metric: itself, or those of a mapping or list, named by their way there (`bbox.AP`, `AUC[0]`).
fn scalars(name: &str, value: &View<'_>, out: &mut Vec<Metric>) {
    match &value.node().value {
        Value::Scalar(_) => {
            out.extend(value.text().map(|text| Metric { name: name.to_owned(), text: text.to_owned() }));
        }
        Value::Mapping(_) => {
            value.entries().for_each(|(key, part)| scalars(&format!("{name}.{}", key.text()), &part, out));
        }
        Value::Sequence(_) => {
            value.items().enumerate().for_each(|(i, part)| scalars(&format!("{name}[{i}]"), &part, out));
        }
    }
}

/// A name without case and signs: `Top-1 Accuracy (%)` and `top1_accuracy` are one.
fn letters(name: &str) -> String {
    name.chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase).collect()
}

/// Whether a metric is the accuracy of the best guess, by name: timm's pages', the format's examples', cards'.
pub fn is_top1(name: &str) -> bool {
    matches!(
        letters(name).as_str(),
        "top1accuracy" | "top1acc" | "top1" | "accuracytop1" | "acctop1" | "accuracy1" | "acc1"
    )
}

/// Whether a metric is the accuracy of the five best guesses.
pub fn is_top5(name: &str) -> bool {
    matches!(
        letters(name).as_str(),
        "top5accuracy" | "top5acc" | "top5" | "accuracytop5" | "acctop5" | "accuracy5" | "acc5"
    )
}

/// Whether a metric is the hub's `accuracy`, which its library computes as a fraction, or the value of one of its
/// `.eval_results`, which has no name: ImageNet's is top-1.
fn is_accuracy(name: &str) -> bool {
    matches!(letters(name).as_str(), "accuracy" | "acc" | "value")
}

/// Whether a task is the classification of images: unnamed, a benchmark's only one, or one of its names.
fn is_classification(task: &str) -> bool {
    matches!(
        letters(task).as_str(),
        "" | "default" | "imageclassification" | "classification" | "imageclassificationtask"
    )
}

/// Whether a dataset is ImageNet's 1000 classes, as the name is commonly written; on the hub with its owner before it.
pub fn is_imagenet(dataset: &str) -> bool {
    let name = letters(dataset.rsplit_once('/').map_or(dataset, |(_, name)| name));
    matches!(name.as_str(), "imagenet" | "imagenet1k" | "imagenet2012" | "ilsvrc2012" | "imagenetilsvrc2012")
}

/// The ImageNet accuracy among the results.
pub(super) fn claim(results: &[ModelResult]) -> Option<Claim> {
    let on_imagenet = |r: &&ModelResult| is_classification(&r.task) && is_imagenet(&r.dataset);
    results.iter().filter(on_imagenet).find_map(|r| {
        let metric = |is: fn(&str) -> bool| r.metrics.iter().find(|m| is(&m.name));
        let read = |m: &Metric| m.text.parse::<Accuracy>().ok();
        let top1 = match metric(is_top1) {
            Some(named) => read(named)?,
            None => percent(&metric(is_accuracy)?.text)?,
        };
        Some(Claim { top1, top5: metric(is_top5).and_then(read), published_top1: None })
    })
}

/// An accuracy as the hub's metric gives it, a fraction, or as people write it there all the same.
fn percent(text: &str) -> Option<Accuracy> {
    let accuracy: Accuracy = text.parse().ok()?;
    let fraction = text.trim();
    if accuracy.value > 1.0 || !fraction.bytes().all(|b| b.is_ascii_digit() || b == b'.') {
        return Some(accuracy);
    }
    // Two places to the right, so that no digit is added or lost.
    let (whole, places) = fraction.split_once('.').unwrap_or((fraction, ""));
    let padded = format!("{places:0<2}");
    let (hundredths, rest) = padded.split_at_checked(2)?;
    let digits = format!("{whole}{hundredths}");
    let digits = digits.trim_start_matches('0');
    let whole = if digits.is_empty() { "0" } else { digits };
    if rest.is_empty() { whole.parse().ok() } else { format!("{whole}.{rest}").parse().ok() }
}

fn digest(text: &str) -> Result<crate::hash::Sha256, &'static str> {
    text.parse().map_err(|_| "a SHA-256 (64 hex digits)")
}
