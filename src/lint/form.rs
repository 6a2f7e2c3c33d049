//! How a page is written: what its readers could not take, keys that are missing or unusual, units.

use std::collections::HashSet;

use super::rule::Sink;
use super::subject::{Model, Subject};
use super::vocabulary::{self, has, meant};
use crate::registry::format::{fields, reported};
use crate::registry::tree::{Kind, Problem, Severity, View, same_field};

/// What the readers of the files said, of one sort.
fn read(subject: &Subject<'_>, sink: &mut Sink, wanted: impl Fn(&Problem) -> bool) {
    for problem in subject.index.problems.iter().filter(|p| wanted(p)) {
        sink.problem(problem, subject.model_at(&problem.file, &problem.path));
    }
    sink.left_out += match subject.index.problems.iter().any(&wanted) {
        true => subject.index.problems.left_out(),
        false => 0,
    };
}

pub(super) fn unreadable(subject: &Subject<'_>, sink: &mut Sink) {
    read(subject, sink, |p| p.severity == Severity::Error && p.kind != Kind::MissingFile);
}

pub(super) fn odd(subject: &Subject<'_>, sink: &mut Sink) {
    // Two of one name are told by the rule about names.
    read(subject, sink, |p| p.severity == Severity::Warning && p.kind == Kind::Form);
}

pub(super) fn missing_file(subject: &Subject<'_>, sink: &mut Sink) {
    read(subject, sink, |p| p.kind == Kind::MissingFile);
}

pub(super) fn values(model: &Model<'_>, _: &Subject<'_>, sink: &mut Sink) {
    // A crop in percent is told by the rule about units, which says what is meant.
    let percent = crop_in_percent(model).map(|(view, _)| view.path().to_owned());
    let others = model.problems.iter().filter(|p| Some(&p.path) != percent.as_ref());
    others.for_each(|p| sink.problem(p, Some(model)));
}

fn absent<'k>(of: &View<'_>, keys: &'k [&str]) -> Vec<&'k str> {
    keys.iter().copied().filter(|key| of.field(key).is_none()).collect()
}

fn tell_absent(of: &View<'_>, keys: &[&str], why: &str, model: &Model<'_>, sink: &mut Sink) {
    if let [first, rest @ ..] = keys {
        let rest: String = rest.iter().map(|key| format!(", `{key}`")).collect();
        sink.at(of, model, format!("no `{first}`{rest}: {why}"));
    }
}

pub(super) fn missing_key(model: &Model<'_>, _: &Subject<'_>, sink: &mut Sink) {
    // A card has its weights in the repository that it stands in.
    let wanted: &[&str] =
        if model.view.field("Card").is_some() { &["Results"] } else { &["Weights", "Results"] };
    let keys = absent(&model.view, wanted);
    tell_absent(
        &model.view,
        &keys,
        "without them there is no claim, or nothing to check it with",
        model,
        sink,
    );
}

pub(super) fn missing_detail(model: &Model<'_>, _: &Subject<'_>, sink: &mut Sink) {
    let keys = ["Parameters", "Image Size", "Crop Pct", "Interpolation"];
    let metadata = model.view.field("Metadata");
    let keys = metadata.as_ref().map_or_else(|| keys.to_vec(), |m| absent(m, &keys));
    let of = metadata.unwrap_or_else(|| model.view.clone());
    tell_absent(&of, &keys, "how the claim was measured, or of what, is not said", model, sink);
}

/// Every key of a model that the format and timm's pages do not have, with the list it was looked up in.
fn unusual<'a>(model: &Model<'a>) -> Vec<(View<'a>, String, Option<String>)> {
    let mut found = Vec::new();
    let mut look = |of: &View<'a>, known: &[&'static str]| {
        for (key, value) in of.entries() {
            let key = key.text();
            if !has(known, key) {
                let there: HashSet<&str> = of.entries().map(|(k, _)| k.text()).collect();
                let free = known.iter().copied().filter(|k| !there.contains(k));
                found.push((value, key.to_owned(), meant(key, free).map(str::to_owned)));
            }
        }
    };
    // What a card says beside its model-index is kept under a key of its own.
    let model_fields: Vec<_> = fields::MODEL.iter().copied().chain(["Card"]).collect();
    look(&model.view, &model_fields);
    let metadata: Vec<_> = fields::METADATA_ORDER.iter().chain(vocabulary::METADATA).copied().collect();
    for (field, known) in
        [("Metadata", metadata.as_slice()), ("Paper", fields::PAPER_ORDER), ("zoo", fields::ZOO_ORDER)]
    {
        if let Some(part) = model.view.field(field) {
            look(&part, known);
        }
    }
    found
}

pub(super) fn unknown_key(model: &Model<'_>, _: &Subject<'_>, sink: &mut Sink) {
    for (view, key, near) in unusual(model) {
        if near.is_none() {
            sink.at(&view, model, "a key that the format does not know; it is kept").found(key);
        }
    }
}

/// Dataset and metric names with what they are probably meant to be.
fn words<'a>(model: &Model<'a>) -> Vec<(View<'a>, &'a str, &'static str, Option<&'static str>)> {
    let mut found = Vec::new();
    for result in reported(&model.view) {
        if let Some((view, word)) = result.dataset.clone().and_then(|d| Some((d.clone(), d.text()?)))
            && !has(vocabulary::DATASETS, word)
        {
            found.push((view, word, "dataset", meant(word, vocabulary::DATASETS.iter().copied())));
        }
        for (name, view) in result.metrics {
            if !has(vocabulary::METRICS, name) {
                found.push((view, name, "metric", meant(name, vocabulary::METRICS.iter().copied())));
            }
        }
    }
    found
}

pub(super) fn misspelt(model: &Model<'_>, _: &Subject<'_>, sink: &mut Sink) {
    for (view, key, near) in unusual(model) {
        if let Some(near) = near {
            sink.at(&view, model, "an unknown key that is nearly a known one")
                .expected(key, format!("`{near}`"));
        }
    }
    for (view, word, what, near) in words(model) {
        if let Some(near) = near {
            let message = format!("an unknown {what} that is nearly a known one");
            sink.at(&view, model, message).expected(word, format!("`{near}`"));
        }
    }
}

pub(super) fn unknown_word(model: &Model<'_>, _: &Subject<'_>, sink: &mut Sink) {
    for (view, word, what, near) in words(model) {
        if near.is_none() {
            sink.at(&view, model, format!("a {what} that zoo knows nothing about")).found(word);
        }
    }
}

/// Least values that are not in thousands, millions or megabytes by mistake, and largest shares.
const LEAST: &[(&str, f64, &str)] = &[
    ("Parameters", 10_000.0, "a count; `5.29M` may be written so"),
    ("FLOPs", 1_000_000.0, "operations for one image; `0.39G` may be written so"),
    ("File Size", 10_000.0, "bytes"),
];
const SHARES: &[&str] = &[
    "Dropout",
    "Momentum",
    "Label Smoothing",
    "RMSProp Decay",
    "BatchNorm Momentum",
    "Stochastic Depth Survival",
];

pub(super) fn unit(model: &Model<'_>, _: &Subject<'_>, sink: &mut Sink) {
    let entry = &model.entry;
    let typed = [
        ("Parameters", entry.params.map(|n| n.0)),
        ("FLOPs", entry.flops.map(|n| n.0)),
        ("File Size", entry.file_size.map(|n| n.0)),
    ];
    for (key, least, expected) in LEAST {
        let value = typed.iter().find(|(k, _)| k == key).and_then(|(_, v)| *v);
        if let Some((view, value)) = model.metadata(key).zip(value)
            && (value as f64) < *least
        {
            sink.at(&view, model, "too little by orders of magnitude: another unit is meant")
                .expected(value, expected);
        }
    }
    for key in SHARES {
        let Some(view) = model.metadata(key) else { continue };
        if let Some(value) = view.text().and_then(|t| t.parse::<f64>().ok())
            && !(0.0..=1.0).contains(&value)
        {
            sink.at(&view, model, "no share of one").expected(value, "0 to 1");
        }
    }
    if let Some((view, percent)) = crop_in_percent(model) {
        let message = "percent where a share of one is meant";
        sink.at(&view, model, message).expected(percent, format!("{}", percent / 100.0));
    }
}

/// A crop such as `87.5%`, where 0.875 is meant.
fn crop_in_percent<'a>(model: &Model<'a>) -> Option<(View<'a>, f64)> {
    let view = model.metadata("Crop Pct")?;
    let percent = view.text()?.trim_end_matches('%').trim().parse::<f64>().ok()?;
    (percent > 1.5 && percent <= 150.0).then_some((view, percent))
}

/// `ID`s that are another model's name.
pub(super) fn identity(model: &Model<'_>, _: &Subject<'_>, sink: &mut Sink) {
    let Some(view) = model.metadata("ID") else { return };
    if let Some(id) = view.text().filter(|id| !same_field(id, model.name)) {
        sink.at(&view, model, "the ID is not the model's name").expected(id, model.name);
    }
}
