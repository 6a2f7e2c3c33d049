//! The fields of the format: how they are spelled, and the order zoo writes them in.
//!
//! In: trees whose keys are in any case and with `_` for a space. Out: the same with the format's own
//! spelling where the format knows the field; other keys are custom and stay as they are.

use crate::registry::tree::{Mapping, Node, Problem, Problems, Scalar, Value, View, join, same_field};

/// Fields of a model or a collection, in writing order. `zoo` is zoo's own section.
pub const MODEL: &[&str] = &[
    "Name",
    "In Collection",
    "Description",
    "Metadata",
    "Paper",
    "Citation",
    "Code",
    "Weights",
    "Config",
    "README",
    "Image",
    "Results",
    "zoo",
];

/// Fields of the metadata that the format itself names.
pub(super) const METADATA: &[&str] = &[
    "FLOPs",
    "Parameters",
    "Epochs",
    "Batch Size",
    "Training Data",
    "Training Techniques",
    "Training Resources",
    "Architecture",
];

/// Fields of a result, in writing order.
pub const RESULT: &[&str] = &["Task", "Dataset", "Metrics"];

/// Keys of a result of Hugging Face's `.eval_results`, in writing order.
pub const EVAL_RESULT: &[&str] = &["Dataset", "value", "verifyToken", "date", "source", "notes"];

/// Keys of the dataset of such a result.
pub const EVAL_DATASET: &[&str] = &["id", "task_id", "revision"];

/// Keys of the source of such a result.
pub const EVAL_SOURCE: &[&str] = &["url", "name", "user", "org"];

/// Fields of the library.
pub(super) const LIBRARY: &[&str] = &["Name", "Repository", "Headline", "Website", "Docs", "README", "Image"];

/// Fields of the root, in writing order.
pub const ROOT: &[&str] = &["Type", "Import", "Library", "Collections", "Models"];

/// The order of metadata in timm's pages, which zoo keeps; others follow by name.
pub const METADATA_ORDER: &[&str] = &[
    "FLOPs",
    "Parameters",
    "File Size",
    "Architecture",
    "Tasks",
    "Training Techniques",
    "Training Data",
    "Training Resources",
    "Training Time",
    "ID",
    "LR",
    "Epochs",
    "Layers",
    "Dropout",
    "Crop Pct",
    "LR Gamma",
    "Momentum",
    "Batch Size",
    "Image Size",
    "LR Step Size",
    "Warmup Steps",
    "Weight Decay",
    "Interpolation",
    "Minibatch Size",
    "Training Steps",
    "RMSProp Decay",
    "Label Smoothing",
    "BatchNorm Momentum",
    "Stochastic Depth Survival",
];

/// Metadata that every entry has as a value of its own type; the ID is its name again.
pub const TYPED: &[&str] =
    &["FLOPs", "Parameters", "File Size", "Crop Pct", "Image Size", "Interpolation", "Training Data", "ID"];

/// Keys of a paper, in the order in which they are written.
pub const PAPER_ORDER: &[&str] = &["Title", "URL"];

/// Keys of zoo's own facts, in the order in which they are written.
pub const ZOO_ORDER: &[&str] = &[
    "arch",
    "sha256",
    "size",
    "sources",
    "mean",
    "std",
    "crop_mode",
    "classifier",
    "first_conv",
    "params",
    "classes",
    "names",
    "licence",
    "hf_id",
    "tag",
    "config",
    "today",
    "lint",
    "evidence",
];

/// Gives the fields of a mapping the format's own spelling. Of two keys that are the same field the last
/// counts, as in Python, and a warning names the other.
pub(super) fn spell(node: &mut Node, known: &[&str], path: &str, problems: &mut Problems) {
    let file = node.file.clone();
    let Some(mapping) = node.mapping_mut() else { return };
    let pairs = mapping.pairs_mut();
    for field in known {
        let same: Vec<usize> = pairs
            .iter()
            .enumerate()
            .filter(|(_, (key, _))| same_field(key.text(), field))
            .map(|(at, _)| at)
            .collect();
        let Some((&last, others)) = same.split_last() else { continue };
        if let Some((key, _)) = pairs.get_mut(last) {
            key.scalar = Scalar::string(*field);
        }
        for &at in others.iter().rev() {
            let (key, _) = pairs.remove(at);
            let message = format!("`{}` is a second `{field}` and is not used", key.text());
            problems.push(Problem::at(&file, key.span, message).path(path).warning());
        }
    }
}

/// Puts a model or a collection into the format's spelling, its metadata and results too.
pub fn normalise(node: &mut Node, path: &str, problems: &mut Problems) {
    spell(node, MODEL, path, problems);
    let Some(mapping) = node.mapping_mut() else { return };
    for (key, value) in mapping.pairs_mut() {
        let path = join(path, key.text());
        match key.text() {
            "Metadata" => metadata(value, &path, problems),
            "Results" => each(value, |result| spell(result, RESULT, &path, problems)),
            "Paper" => spell(value, PAPER_ORDER, &path, problems),
            _ => {}
        }
    }
}

/// Metadata in the format's spelling. A list of mappings counts as one mapping, and metadata twice within
/// each other as once: both are common slips that Python's reader forgives.
fn metadata(node: &mut Node, path: &str, problems: &mut Problems) {
    if let Value::Sequence(items) = &node.value {
        let mut merged = Mapping::default();
        for (i, item) in items.iter().enumerate() {
            match item.mapping() {
                Some(mapping) => mapping.iter().for_each(|(k, v)| merged.set(k.text(), v.clone())),
                None => {
                    problems.unexpected(&View::at(item, format!("{path}[{i}]")), "no metadata", "a mapping")
                }
            }
        }
        node.value = Value::Mapping(merged);
    }
    let inner = node.mapping().filter(|m| m.len() == 1).and_then(|m| m.iter().next());
    if let Some((key, inner)) = inner
        && same_field(key.text(), "Metadata")
        && inner.mapping().is_some()
    {
        *node = inner.clone();
    }
    spell(node, METADATA, path, problems);
}

fn each(node: &mut Node, mut change: impl FnMut(&mut Node)) {
    match &mut node.value {
        Value::Sequence(items) => items.iter_mut().for_each(change),
        _ => change(node),
    }
}

/// A model or a collection with its keys in zoo's order: known fields first, in the order of timm's pages,
/// then the others by name. Results and metrics keep the order they have.
pub fn ordered(mut node: Node) -> Node {
    sort(&mut node, MODEL);
    let Some(mapping) = node.mapping_mut() else { return node };
    for (key, value) in mapping.pairs_mut() {
        match key.text() {
            "Metadata" => sort(value, METADATA_ORDER),
            "Results" => each(value, |result| sort(result, RESULT)),
            "Paper" => sort(value, PAPER_ORDER),
            "zoo" => {
                sort(value, ZOO_ORDER);
                let pairs = value.mapping_mut().into_iter().flat_map(|m| m.pairs_mut());
                pairs.filter(|(key, _)| key.text() == "evidence").for_each(|(_, e)| sort(e, ZOO_ORDER));
            }
            _ => {}
        }
    }
    node
}

fn sort(node: &mut Node, order: &[&str]) {
    let place = |name: &str| order.iter().position(|known| *known == name).unwrap_or(order.len());
    if let Some(mapping) = node.mapping_mut() {
        let rank = |name: &str| {
            (place(name), if place(name) < order.len() { String::new() } else { name.to_owned() })
        };
        mapping.pairs_mut().sort_by_cached_key(|(key, _)| rank(key.text()));
    }
}
