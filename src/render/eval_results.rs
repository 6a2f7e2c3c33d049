//! Hugging Face's `.eval_results/*.yaml`: verdicts where people look for them.
//!
//! In: the verdicts of a report about one model, and the evaluations that its repository has already. Out: the YAML, in
//! the form of `_eval_results.py` of huggingface_hub 2.4; `registry::import::eval_results` reads it. Called by
//! `zoo card --eval-results`.

use super::card::Verified;
use crate::error::{Class, Classify};
use crate::registry::format::{Record, is_eval_result};
use crate::registry::import::eval_results::{is_link, is_repository, is_revision};
use crate::registry::tree::{Mapping, Node, Value, to_yaml};

/// What the hub calls the dataset, and where the evaluation can be looked at.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Id of the benchmark on the hub; without it that of ImageNet for its validation set.
    pub dataset_id: Option<String>,
    /// The task within the benchmark.
    pub task_id: String,
    /// Commit of the benchmark's repository, 40 hex digits.
    pub dataset_revision: Option<String>,
    /// A link to the evaluation; zoo's name goes with it, which the hub takes only with a link.
    pub source_url: Option<String>,
    /// Who evaluated, a user of the hub.
    pub source_user: Option<String>,
    /// Who evaluated, an organisation on the hub.
    pub source_org: Option<String>,
}

/// What the hub would not take.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// No id is known for a dataset.
    #[error("zoo does not know what the hub calls the dataset `{0}`; name it with `--dataset-id ORG/NAME`")]
    NoDatasetId(String),
    /// A value that is not of its option's form.
    #[error("`{option}`: found `{found}`, expected {expected}")]
    Form {
        /// The option.
        option: &'static str,
        /// Its value.
        found: String,
        /// What it may be.
        expected: &'static str,
    },
    /// There is nothing to write.
    #[error("`{0}` has no evaluations to write; give a report with `--report R.json`")]
    Nothing(String),
}

impl Classify for Error {
    fn class(&self) -> Class {
        Class::Usage
    }
}

/// The file: a list of the entries that the model has, then of one for each verdict. The value of these is top-1 in
/// percent.
///
/// # Errors
/// [`Error`].
pub fn eval_results(record: &Record, verified: &[Verified], options: &Options) -> Result<String, Error> {
    options.check()?;
    let mut items = recorded(record);
    for v in verified {
        items.push(entry(v, options)?);
    }
    if items.is_empty() {
        return Err(Error::Nothing(record.name().unwrap_or_default().to_owned()));
    }
    Ok(to_yaml(&Node::of(Value::Sequence(items))))
}

impl Options {
    fn check(&self) -> Result<(), Error> {
        type Is = fn(&str) -> bool;
        let checks: [(&'static str, &Option<String>, Is, &'static str); 5] = [
            ("--dataset-id", &self.dataset_id, is_repository, "`ORG/NAME`"),
            ("--dataset-revision", &self.dataset_revision, is_revision, "a git commit of 40 hex digits"),
            ("--source-url", &self.source_url, is_link, "an address that begins with `https://`"),
            ("--source-user", &self.source_user, is_repository, "the name of a user"),
            ("--source-org", &self.source_org, is_repository, "the name of an organisation"),
        ];
        for (option, value, is, expected) in checks {
            if let Some(found) = value.as_ref().filter(|v| !is(v)) {
                return Err(Error::Form { option, found: found.clone(), expected });
            }
        }
        Ok(())
    }
}

/// The evaluations that came from the repository, under the hub's own keys.
fn recorded(record: &Record) -> Vec<Node> {
    let results = record.own.field("Results").map(Node::one_or_many).unwrap_or_default();
    let mut found: Vec<_> = results.iter().filter(|r| is_eval_result(r)).cloned().collect();
    for (key, _) in found.iter_mut().filter_map(Node::mapping_mut).flat_map(|m| m.pairs_mut()) {
        if key.text() == "Dataset" {
            key.scalar.text.make_ascii_lowercase();
        }
    }
    found
}

fn entry(v: &Verified, options: &Options) -> Result<Node, Error> {
    let id = match (&options.dataset_id, v.dataset.as_str()) {
        (Some(id), _) => id.clone(),
        (None, "imagenet-val") => "ILSVRC/imagenet-1k".to_owned(),
        (None, other) => return Err(Error::NoDatasetId(other.to_owned())),
    };
    let mut dataset = Mapping::default();
    dataset.set("id", Node::string(id));
    dataset.set("task_id", Node::string(&options.task_id));
    if let Some(revision) = &options.dataset_revision {
        dataset.set("revision", Node::string(revision));
    }
    let mut entry = Mapping::default();
    entry.set("dataset", Node::of(Value::Mapping(dataset)));
    entry.set("value", Node::plain(v.top1.to_string()));
    if let Some(date) = &v.date {
        entry.set("date", Node::string(date));
    }
    if let Some(url) = &options.source_url {
        let mut source = Mapping::default();
        source.set("url", Node::string(url));
        source.set("name", Node::string("zoo verify"));
        for (key, value) in [("user", &options.source_user), ("org", &options.source_org)] {
            if let Some(value) = value {
                source.set(key, Node::string(value));
            }
        }
        entry.set("source", Node::of(Value::Mapping(source)));
    }
    entry.set("notes", Node::string(notes(v)));
    Ok(Node::of(Value::Mapping(entry)))
}

/// What the number alone does not say.
fn notes(v: &Verified) -> String {
    let mut notes = format!("top-1 in percent, on {} images ({})", v.n, v.relation);
    if let Some(top5) = v.top5 {
        notes.push_str(&format!("; top-5 {top5}"));
    }
    if let (Some([low, high]), Some(confidence)) = (v.interval, v.confidence) {
        notes.push_str(&format!("; {} % interval {low} to {high}", (confidence * 1e6).round() / 1e4));
    }
    match v.claim {
        Some(claim) => notes.push_str(&format!("; claimed {claim}: {}", v.verdict)),
        None => notes.push_str(&format!("; {}", v.verdict)),
    }
    if let Some(sha256) = &v.file_sha256 {
        notes.push_str(&format!("; weights file SHA-256 {sha256}"));
    }
    notes
}
