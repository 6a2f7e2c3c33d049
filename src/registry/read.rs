//! From a parsed document to typed entries. In: a page in model-index form, or a dataset's file. Out:
//! [`Entry`] and [`DatasetEntry`] values, and every problem of the file. Called by [`super::Registry`].

use serde_yaml::Value;

use super::dataset::{DatasetEntry, DatasetFile, DatasetSource, Population};
use super::entry::{Accuracy, Claim, CropMode, Entry, ImageSize, Metric, ModelResult, Source, ZooFacts};
use super::view::{Problems, View, same_field};

/// The models of a page, in the page's order.
pub(super) fn models(document: &Value, problems: &mut Problems) -> Vec<Entry> {
    let root = View::root(document);
    let Some(models) = root.get("Models") else {
        root.problem("a mapping with `Models`", problems);
        return Vec::new();
    };
    models.items().iter().filter_map(|m| model(m, problems)).collect()
}

fn model(view: &View<'_>, problems: &mut Problems) -> Option<Entry> {
    let Some(name) = view.get("Name") else {
        view.problem("a mapping with `Name`", problems);
        return None;
    };
    let name = name.text(problems)?;
    let metadata = view.get("Metadata");
    let meta = |key: &str| metadata.as_ref().and_then(|m| m.get(key));
    let zoo = view.get("zoo").map(|z| facts(&z, problems)).unwrap_or_default();
    let texts = |key: &str, problems: &mut Problems| -> Vec<String> {
        let items = view.get(key).map(|v| v.items()).unwrap_or_default();
        items.iter().filter_map(|i| i.text(problems)).collect()
    };
    let mut sources: Vec<Source> = texts("Weights", problems).into_iter().map(Source).collect();
    sources.extend(zoo.sources.iter().cloned());
    let results = view.get("Results").map(|r| results(&r, problems)).unwrap_or_default();
    Some(Entry {
        collection: view.get("In Collection").and_then(|c| c.text(problems)),
        params: meta("Parameters").and_then(|v| v.parse(count, problems)),
        flops: meta("FLOPs").and_then(|v| v.parse(count, problems)),
        file_size: meta("File Size").and_then(|v| v.parse(count, problems)),
        image_size: meta("Image Size").and_then(|v| v.parse(image_size, problems)),
        crop_pct: meta("Crop Pct").and_then(|v| v.parse(crop_pct, problems)),
        interpolation: meta("Interpolation").and_then(|v| v.parse(str::parse, problems)),
        sources,
        claim: claim(&results),
        results,
        zoo,
        origin: problems.file.clone(),
        name,
    })
}

fn facts(view: &View<'_>, problems: &mut Problems) -> ZooFacts {
    let sources = view.get("sources").map(|v| v.items()).unwrap_or_default();
    let evidence = view.get("evidence").map(|v| v.mapping(problems)).unwrap_or_default();
    let mut text = |key: &str| view.get(key).and_then(|v| v.text(problems));
    let (arch, classifier, first_conv) = (text("arch"), text("classifier"), text("first_conv"));
    let (names, licence, hf_id, tag) = (text("names"), text("licence"), text("hf_id"), text("tag"));
    ZooFacts {
        arch,
        classifier,
        first_conv,
        names,
        licence,
        hf_id,
        tag,
        sha256: view
            .get("sha256")
            .and_then(|v| v.parse(|t| t.parse().map_err(|_| "a SHA-256 (64 hex digits)"), problems)),
        size: view.get("size").and_then(|v| v.parse(count, problems)),
        sources: sources.iter().filter_map(|s| s.text(problems)).map(Source).collect(),
        mean: view.get("mean").and_then(|v| triple(&v, problems)),
        std: view.get("std").and_then(|v| triple(&v, problems)),
        crop_mode: view.get("crop_mode").and_then(|v| v.parse(crop_mode, problems)),
        params: view.get("params").and_then(|v| v.parse(count, problems)),
        evidence: evidence
            .into_iter()
            .filter_map(|(key, v)| Some((key.to_owned(), v.text(problems)?)))
            .collect(),
    }
}

fn results(view: &View<'_>, problems: &mut Problems) -> Vec<ModelResult> {
    let result = |r: &View<'_>, problems: &mut Problems| {
        let mut text = |key: &str| r.get(key).and_then(|v| v.text(problems)).unwrap_or_default();
        let (task, dataset) = (text("Task"), text("Dataset"));
        let metrics = r.get("Metrics").map(|m| m.mapping(problems)).unwrap_or_default();
        let metric =
            |(name, v): (&str, View<'_>)| Some(Metric { name: name.to_owned(), text: v.text(problems)? });
        ModelResult { task, dataset, metrics: metrics.into_iter().filter_map(metric).collect() }
    };
    view.items().iter().map(|r| result(r, problems)).collect()
}

/// The ImageNet accuracy among the results.
fn claim(results: &[ModelResult]) -> Option<Claim> {
    let on_imagenet = |r: &&ModelResult| {
        same_field(&r.task, "Image Classification")
            && ["imagenet", "imagenet-1k"].contains(&r.dataset.to_ascii_lowercase().as_str())
    };
    results.iter().filter(on_imagenet).find_map(|r| {
        let metric = |name: &str| {
            let metric = r.metrics.iter().find(|m| same_field(&m.name, name))?;
            metric.text.parse::<Accuracy>().ok()
        };
        Some(Claim { top1: metric("Top 1 Accuracy")?, top5: metric("Top 5 Accuracy"), published_top1: None })
    })
}

/// A dataset's file.
pub(super) fn dataset(document: &Value, problems: &mut Problems) -> Option<DatasetEntry> {
    let root = View::root(document);
    let need = |key: &str, problems: &mut Problems| {
        let value = root.get(key);
        if value.is_none() {
            root.problem(format!("a mapping with `{key}`"), problems);
        }
        value
    };
    let items = |key: &str| root.get(key).map(|v| v.items()).unwrap_or_default();
    Some(DatasetEntry {
        name: need("name", problems)?.text(problems)?,
        task: need("task", problems)?.text(problems)?,
        classes: usize::try_from(need("classes", problems)?.parse(count, problems)?).ok()?,
        population: root.get("population").and_then(|p| {
            let (name, n) = (p.get("name")?.text(problems)?, p.get("n")?.parse(count, problems)?);
            Some(Population { name, n })
        }),
        relation: need("relation", problems)?.parse(str::parse, problems)?,
        labels: need("labels", problems)?.parse(str::parse, problems)?,
        licence: root.get("licence").and_then(|v| v.text(problems)),
        sources: items("sources").iter().filter_map(|s| dataset_source(s, problems)).collect(),
        layouts: items("layouts").iter().filter_map(|v| v.text(problems)).collect(),
        how_to_get: need("how_to_get", problems)?.text(problems)?,
    })
}

fn dataset_source(view: &View<'_>, problems: &mut Problems) -> Option<DatasetSource> {
    let digest = |v: View<'_>, problems: &mut Problems| {
        v.parse(|t| t.parse().map_err(|_| "a SHA-256 (64 hex digits)"), problems)
    };
    let file = |f: &View<'_>, problems: &mut Problems| {
        Some(DatasetFile {
            path: f.get("path")?.text(problems)?,
            size: f.get("size").and_then(|v| v.parse(count, problems)),
            sha256: f.get("sha256").and_then(|v| digest(v, problems)),
        })
    };
    let files = view.get("files").map(|v| v.items()).unwrap_or_default();
    Some(DatasetSource {
        url: Source(view.get("url")?.text(problems)?),
        sha256: view.get("sha256").and_then(|v| digest(v, problems)),
        files: files.iter().filter_map(|f| file(f, problems)).collect(),
    })
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

fn image_size(text: &str) -> Result<ImageSize, &'static str> {
    const EXPECTED: &str = "pixels such as `224` or `224x224`, at most 65536";
    let side = |t: &str| match t.trim().parse::<usize>() {
        Ok(pixels @ 1..=65536) => Ok(pixels),
        _ => Err(EXPECTED),
    };
    let (height, width) = text.split_once(['x', 'X', '×']).unwrap_or((text, text));
    Ok(ImageSize { height: side(height)?, width: side(width)? })
}

fn crop_pct(text: &str) -> Result<f64, &'static str> {
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

fn triple(view: &View<'_>, problems: &mut Problems) -> Option<[f32; 3]> {
    let numbers: Vec<_> = view.items().iter().filter_map(|v| v.number(problems)).map(|x| x as f32).collect();
    let triple = numbers.try_into().ok();
    if triple.is_none() {
        view.problem("three numbers, one a channel", problems);
    }
    triple
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
