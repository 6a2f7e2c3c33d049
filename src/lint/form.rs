//! How a page is written: what its readers could not take, keys that are missing or unusual, units.

use std::collections::{HashMap, HashSet};

use super::context::{LintContext, Model};
use super::rule::Sink;
use super::vocabulary::{self, has, meant};
use crate::registry::format::{fields, is_eval_result, reported};
use crate::registry::tree::{Problem, ProblemKind, Severity, View, same_field};

/// What the readers of the files said, of one sort.
fn read(context: &LintContext<'_>, sink: &mut Sink, wanted: impl Fn(&Problem) -> bool) {
    for problem in context.index.problems.iter().filter(|p| wanted(p)) {
        sink.problem(problem, context.model_at(&problem.file, &problem.path));
    }
    sink.left_out += match context.index.problems.iter().any(&wanted) {
        true => context.index.problems.left_out(),
        false => 0,
    };
}

pub(super) fn unreadable(context: &LintContext<'_>, sink: &mut Sink) {
    read(context, sink, |p| p.severity == Severity::Error && p.kind != ProblemKind::MissingFile);
}

pub(super) fn odd(context: &LintContext<'_>, sink: &mut Sink) {
    // Two of one name are reported by the rule about names.
    read(context, sink, |p| p.severity == Severity::Warning && p.kind == ProblemKind::Form);
}

/// READMEs that may be missing before they are reported together.
const MAX_READMES_TOLD: usize = 3;

pub(super) fn missing_file(context: &LintContext<'_>, sink: &mut Sink) {
    let is_readme = |p: &Problem| p.kind == ProblemKind::MissingFile && p.path.ends_with("README");
    let missing: Vec<_> = context.index.problems.iter().filter(|p| is_readme(p)).collect();
    let records = context.index.models.iter().chain(&context.index.collections);
    let named = records.filter(|r| r.own.field("README").is_some()).count();
    let [first, .., _] = missing.as_slice() else {
        return read(context, sink, |p| p.kind == ProblemKind::MissingFile);
    };
    if missing.len() <= MAX_READMES_TOLD || missing.len() < named {
        return read(context, sink, |p| p.kind == ProblemKind::MissingFile);
    }
    // An index that came without its documentation, as packages ship theirs: one fact, and not one a page.
    let message = format!("{}, nor is any other of the {named} READMEs that the index names", first.message);
    let together = Problem { message, ..(*first).clone() };
    sink.problem(&together, context.model_at(&first.file, &first.path));
    read(context, sink, |p| p.kind == ProblemKind::MissingFile && !is_readme(p));
}

pub(super) fn values(model: &Model<'_>, _: &LintContext<'_>, sink: &mut Sink) {
    // A crop in percent is reported by the rule about units, which says what is meant.
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

pub(super) fn missing_key(model: &Model<'_>, _: &LintContext<'_>, sink: &mut Sink) {
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

pub(super) fn missing_detail(model: &Model<'_>, _: &LintContext<'_>, sink: &mut Sink) {
    // A detector, or a network of other classes, is not measured by a crop of its images.
    if model.entry.claim.is_none() && model.facts.arch.is_none() {
        return;
    }
    let keys = ["Parameters", "Image Size", "Crop Pct", "Interpolation"];
    let metadata = model.view.field("Metadata");
    let keys = metadata.as_ref().map_or_else(|| keys.to_vec(), |m| absent(m, &keys));
    let of = metadata.unwrap_or_else(|| model.view.clone());
    tell_absent(&of, &keys, "how the claim was measured, or of what, is not said", model, sink);
}

/// A key of a model that the format and timm's pages do not have.
struct UnknownKey<'a> {
    view: View<'a>,
    key: String,
    /// The known key that it probably is.
    meant: Option<&'static str>,
    /// It is a key of the metadata, and stands beside them.
    of_metadata: bool,
}

fn unusual<'a>(model: &Model<'a>) -> Vec<UnknownKey<'a>> {
    let metadata: Vec<_> = fields::METADATA_ORDER.iter().chain(vocabulary::METADATA).copied().collect();
    let mut found = Vec::new();
    let mut look = |part: &str, of: &View<'a>, known: &[&'static str]| {
        for (key, view) in of.entries() {
            let key = key.text();
            if !has(known, key) {
                let there: HashSet<&str> = of.entries().map(|(k, _)| k.text()).collect();
                let free = known.iter().copied().filter(|k| !there.contains(k));
                let of_metadata = part.is_empty() && has(&metadata, key);
                found.push(UnknownKey { view, key: key.to_owned(), meant: meant(key, free), of_metadata });
            }
        }
    };
    // What a card says beside its model-index is kept under a key of its own.
    let model_fields: Vec<_> = fields::MODEL.iter().copied().chain(["Card"]).collect();
    look("", &model.view, &model_fields);
    for (field, known) in
        [("Metadata", metadata.as_slice()), ("Paper", fields::PAPER_ORDER), ("zoo", fields::ZOO_ORDER)]
    {
        if let Some(part) = model.view.field(field) {
            look(field, &part, known);
        }
    }
    for result in reported(&model.view).iter().filter(|r| is_eval_result(r.view.node())) {
        look("Results", &result.view, fields::EVAL_RESULT);
        for (field, known) in [("Dataset", fields::EVAL_DATASET), ("source", fields::EVAL_SOURCE)] {
            if let Some(part) = result.view.field(field) {
                look(field, &part, known);
            }
        }
    }
    found
}

/// Tells each word once, where it first stands, and then how often it stands elsewhere: a library has its own words
/// on every page. Of a model that suppresses the rule it is reported by itself.
#[derive(Default)]
struct Once {
    /// Where a word's finding is among the sink's, and in how many more places the word stands.
    reported: HashMap<(String, String), (usize, usize)>,
}

impl Once {
    fn tell(&mut self, view: &View<'_>, model: &Model<'_>, message: &str, word: &str, sink: &mut Sink) {
        if model.facts.lint.is_empty()
            && let Some((_, more)) = self.reported.get_mut(&(message.to_owned(), word.to_owned()))
        {
            *more += 1;
            return;
        }
        let at = sink.findings.len();
        sink.at(view, model, message).found(word);
        if model.facts.lint.is_empty() {
            self.reported.insert((message.to_owned(), word.to_owned()), (at, 0));
        }
    }

    fn finish(self, sink: &mut Sink) {
        for (at, more) in self.reported.into_values().filter(|(_, more)| *more > 0) {
            if let Some(finding) = sink.findings.get_mut(at) {
                let places = if more == 1 { "place" } else { "places" };
                finding.message.push_str(&format!(", here and in {more} more {places}"));
            }
        }
    }
}

pub(super) fn unknown_key(context: &LintContext<'_>, sink: &mut Sink) {
    let mut once = Once::default();
    for model in &context.models {
        for unknown in unusual(model).iter().filter(|u| u.meant.is_none()) {
            let message = if unknown.of_metadata {
                "a key that belongs under `Metadata`; here it is kept and not read"
            } else {
                "a key that the format does not know; it is kept"
            };
            once.tell(&unknown.view, model, message, &unknown.key, sink);
        }
    }
    once.finish(sink);
}

/// Dataset and metric names with what they are probably meant to be.
fn words<'a>(model: &Model<'a>) -> Vec<(View<'a>, &'a str, &'static str, Option<&'static str>)> {
    let mut found = Vec::new();
    for result in reported(&model.view) {
        // The hub's ids are not names, and its values have none.
        if is_eval_result(result.view.node()) {
            continue;
        }
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

pub(super) fn misspelt(model: &Model<'_>, _: &LintContext<'_>, sink: &mut Sink) {
    for unknown in unusual(model) {
        if let Some(near) = unknown.meant {
            sink.at(&unknown.view, model, "an unknown key that is nearly a known one")
                .expected(unknown.key, format!("`{near}`"));
        }
    }
    for (view, word, what, near) in words(model) {
        if let Some(near) = near {
            let message = format!("an unknown {what} that is nearly a known one");
            sink.at(&view, model, message).expected(word, format!("`{near}`"));
        }
    }
}

pub(super) fn unknown_word(context: &LintContext<'_>, sink: &mut Sink) {
    let mut once = Once::default();
    for model in &context.models {
        for (view, word, what, _) in words(model).into_iter().filter(|(.., near)| near.is_none()) {
            once.tell(&view, model, &format!("a {what} that zoo knows nothing about"), word, sink);
        }
    }
    once.finish(sink);
}

/// Least values that are not in thousands, millions or megabytes by mistake, and largest shares.
const MIN_VALUES: &[(&str, f64, &str)] = &[
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

pub(super) fn unit(model: &Model<'_>, _: &LintContext<'_>, sink: &mut Sink) {
    let entry = &model.entry;
    let typed = [
        ("Parameters", entry.params.map(|n| n.0)),
        ("FLOPs", entry.flops.map(|n| n.0)),
        ("File Size", entry.file_size.map(|n| n.0)),
    ];
    for (key, least, expected) in MIN_VALUES {
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
            sink.at(&view, model, "not between 0 and 1").expected(value, "0 to 1");
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
pub(super) fn identity(model: &Model<'_>, _: &LintContext<'_>, sink: &mut Sink) {
    let Some(view) = model.metadata("ID") else { return };
    if let Some(id) = view.text().filter(|id| !same_field(id, model.name)) {
        sink.at(&view, model, "the ID is not the model's name").expected(id, model.name);
    }
}
