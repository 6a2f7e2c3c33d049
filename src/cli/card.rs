//! `zoo card NAME`: a Hugging Face model card, with the verdicts of a report where one is given.

use std::io::Read;
use std::path::{Path, PathBuf};

use super::{Context, Status, page};
use crate::arch::facts::DEFAULT_CLASSES;
use crate::error::{Class, Classify, Result};
use crate::finetune::registry_entry;
use crate::model::ModelSpec;
use crate::registry::format::{self, Index};
use crate::registry::tree::Problems;
use crate::registry::{Registry, pages, typed};
use crate::render::{card, eval_results, safe};

/// The largest report that is read, unpacked.
const MAX_REPORT: u64 = 1 << 30;

/// Arguments of `zoo card`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The model
    name: String,
    /// A report of `zoo verify --report` (.json or .json.gz): its verdicts about the model go onto the card
    #[arg(long, value_name = "R.json")]
    report: Vec<PathBuf>,
    /// Print Hugging Face's `.eval_results/*.yaml` instead of a card: the model's own evaluations and the report's verdicts
    #[arg(long, conflicts_with_all = ["template", "json"])]
    eval_results: bool,
    /// The benchmark's id on the hub [default: ILSVRC/imagenet-1k for ImageNet's validation set]
    #[arg(long, value_name = "ORG/NAME", requires = "eval_results")]
    dataset_id: Option<String>,
    /// The task within the benchmark
    #[arg(long, value_name = "ID", default_value = "default", requires = "eval_results")]
    task_id: String,
    /// The commit of the benchmark's repository
    #[arg(long, value_name = "SHA", requires = "eval_results")]
    dataset_revision: Option<String>,
    /// A link to the evaluation, such as the report's address
    #[arg(long, value_name = "URL", requires = "eval_results")]
    source_url: Option<String>,
    /// The user of the hub who evaluated
    #[arg(long, value_name = "NAME", requires = "source_url")]
    source_user: Option<String>,
    /// The organisation on the hub that evaluated
    #[arg(long, value_name = "NAME", requires = "source_url")]
    source_org: Option<String>,
    /// Your own Jinja template, escaped according to its extension (.md, .html, .xml, else text)
    #[arg(long, value_name = "FILE")]
    template: Option<PathBuf>,
    /// Print the values passed to the template, as JSON
    #[arg(long, conflicts_with = "template")]
    json: bool,
}

/// A model that no page describes.
#[derive(Debug, thiserror::Error)]
#[error("no page describes `{0}`")]
struct NoPage(String);

/// A report that is no JSON.
#[derive(Debug, thiserror::Error)]
#[error("report `{}`: {why}", path.display())]
struct NoReport {
    path: PathBuf,
    why: String,
}

impl Classify for NoPage {
    fn class(&self) -> Class {
        Class::BadInput
    }
}

impl Classify for NoReport {
    fn class(&self) -> Class {
        Class::BadInput
    }
}

/// Prints the card.
pub(super) fn run(args: &Args, context: &mut Context) -> Result<Status> {
    let registry = Registry::open(&context.globals.registry)?;
    let of_file;
    let (entry, index) = match registry.resolve(&args.name) {
        // What the card claims is what is right, where the page is corrected.
        Ok(entry) => (entry, pages::with_corrected(&context.globals.registry)?),
        Err(_) if ModelSpec::is_path(&args.name) => {
            let index = described(Path::new(&args.name))?;
            of_file = typed(&index, &mut Problems::new());
            (of_file.first().ok_or_else(|| NoPage(args.name.clone()))?, index)
        }
        Err(unknown) => return Err(unknown.into()),
    };
    let record = page::record(&index, entry).ok_or_else(|| NoPage(entry.name.clone()))?;
    let mut verified = Vec::new();
    for path in &args.report {
        verified.extend(card::verified(&path.display().to_string(), &report(path)?, &entry.name)?);
    }
    if args.eval_results {
        let options = eval_results::Options {
            dataset_id: args.dataset_id.clone(),
            task_id: args.task_id.clone(),
            dataset_revision: args.dataset_revision.clone(),
            source_url: args.source_url.clone(),
            source_user: args.source_user.clone(),
            source_org: args.source_org.clone(),
        };
        context.print(eval_results::eval_results(record, &verified, &options)?)?;
        return Ok(Status::Success);
    }
    let values = card::values(record, entry, &verified);
    if args.json {
        context.println(safe::json(&values.to_string()).as_bytes())?;
    } else {
        context.print(card::card(&values, args.template.as_deref())?)?;
    }
    Ok(Status::Success)
}

/// What the sidecar of a weights file says, as a page.
fn described(weights: &Path) -> Result<Index> {
    let spec = ModelSpec::open(weights)?;
    let classes = spec.labels.as_ref().map_or(DEFAULT_CLASSES, |labels| labels.len());
    let graph = crate::arch::build(&spec.arch, classes)?;
    let file = crate::fs::sha256(weights)?;
    let sidecar = crate::fs::read(&weights.with_extension("json"), MAX_REPORT)?;
    let sidecar: serde_json::Value = serde_json::from_slice(&sidecar).unwrap_or_default();
    let entry = registry_entry(&spec, &graph, weights, file, sidecar.get("training"));
    Ok(format::page("model.json", entry.to_string().as_bytes()))
}

fn report(path: &Path) -> Result<serde_json::Value> {
    let refuse = |why: String| NoReport { path: path.to_owned(), why };
    let packed = crate::fs::read(path, MAX_REPORT)?;
    let mut bytes = Vec::new();
    if path.extension().is_some_and(|e| e == "gz") {
        let unpacker = flate2::read::GzDecoder::new(packed.as_slice());
        unpacker.take(MAX_REPORT + 1).read_to_end(&mut bytes).map_err(|e| refuse(e.to_string()))?;
        if bytes.len() as u64 > MAX_REPORT {
            return Err(refuse(format!("larger than {MAX_REPORT} bytes")).into());
        }
    } else {
        bytes = packed;
    }
    Ok(serde_json::from_slice(&bytes).map_err(|e| refuse(format!("no JSON: {e}")))?)
}
