//! `zoo predict NAME IMAGE…`: the page's own example, on any model.

use std::fmt::Write as _;
use std::io::Read;
use std::path::{Path, PathBuf};

use super::chosen::Chosen;
use super::device::DeviceArgs;
use super::existing::refuse_output;
use super::{Context, Status};
use crate::error::{Error, Result};
use crate::fs;
use crate::model::{self, EngineKind, Guess, Loader, Model, guesses};
use crate::registry::Registry;
use crate::render::{npy, safe};

/// Arguments of `zoo predict`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The model, as `zoo list` names it, a .safetensors file with its sidecar .json, or a folder with timm's config.json
    name: String,
    /// Image files; `-` reads one from standard input
    #[arg(required = true, value_name = "IMAGE")]
    images: Vec<PathBuf>,
    /// Weights to use instead of the entry's: a .pth, .npz or .safetensors file
    #[arg(long, value_name = "FILE")]
    weights: Option<PathBuf>,
    /// How many guesses to print
    #[arg(long, default_value_t = 5, value_name = "K")]
    top: usize,
    /// Also write the raw outputs, float32 [images, classes]
    #[arg(long, value_name = "OUT.npy")]
    logits: Option<PathBuf>,
    /// Overwrite OUT.npy
    #[arg(long, requires = "logits")]
    force: bool,
    /// What computes the network
    #[arg(long, default_value_t = EngineKind::default(), value_name = "ENGINE")]
    engine: EngineKind,
    #[command(flatten)]
    device: DeviceArgs,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, serde::Serialize)]
struct Answer {
    image: String,
    model: String,
    /// Where the weights are the hub's file: what it says of the page's.
    #[serde(skip_serializing_if = "Option::is_none")]
    page_file: Option<&'static str>,
    top: Vec<Named>,
}

#[derive(Debug, serde::Serialize)]
struct Named {
    index: usize,
    label: Option<String>,
    wnid: Option<String>,
    prob: f64,
    logit: f32,
}

/// The largest image file that is read.
const MAX_IMAGE: u64 = 1 << 30;

/// Loads the model, then answers image by image.
pub(super) fn run(args: &Args, context: &mut Context) -> Result<Status> {
    if let Some(path) = &args.logits {
        refuse_output(path, args.force)?;
    }
    if args.images.iter().filter(|p| is_stdin(p)).count() > 1 {
        return Err(Error::usage("standard input (`-`) can be read once"));
    }
    // What the command line alone shows to be wrong is an error before anything is downloaded.
    for path in args.images.iter().filter(|p| !is_stdin(p)) {
        fs::metadata(path)?;
    }
    let registry = Registry::open(&context.globals.registry)?;
    let spec = Chosen::find(&args.name, args.weights.as_deref(), &registry)?.spec()?;
    let store = context.store()?;
    let engine = args.device.engine(args.engine, context)?;
    let model = Loader { store: &store, engine }.load(&spec)?;
    // One picture after another, each on all cores.
    let model = model.with_threads(std::thread::available_parallelism().map_or(1, usize::from));
    if let Some(renamed) = model.renamed() {
        context.note(&format!("note: {renamed}"));
    }

    let mut predictor = model.predictor()?;
    let mut answers = Vec::with_capacity(args.images.len());
    let mut rows = Vec::with_capacity(args.images.len());
    for path in &args.images {
        let name = if is_stdin(path) { "-".to_owned() } else { path.display().to_string() };
        let logits = predictor.file(&bytes(path)?).map_err(|e| match e {
            model::Error::Image(e) => Error::from(e.of(&name)),
            other => other.into(),
        })?;
        answers.push(Answer {
            image: name,
            model: spec.name.clone(),
            page_file: model.provenance().page_file.remark(),
            top: guesses(&logits, args.top).iter().map(|g| named(&model, g)).collect(),
        });
        rows.push(logits);
    }
    if let Some(path) = &args.logits {
        let shape = [rows.len(), model.labels().len()];
        fs::write_atomic(path, &npy::float32(&shape, rows.into_iter().flatten()))?;
    }
    if args.json {
        context.print_json(&answers)?;
    } else {
        context.print(text(&answers))?;
    }
    Ok(Status::Success)
}

fn is_stdin(path: &Path) -> bool {
    path.as_os_str() == "-"
}

fn bytes(path: &Path) -> Result<Vec<u8>> {
    if !is_stdin(path) {
        return Ok(fs::read(path, MAX_IMAGE)?);
    }
    let mut bytes = Vec::new();
    let limit = MAX_IMAGE.saturating_add(1);
    std::io::stdin().lock().take(limit).read_to_end(&mut bytes).map_err(fs::at("read", Path::new("-")))?;
    Ok(bytes)
}

fn named(model: &Model, guess: &Guess) -> Named {
    let label = model.labels().get(guess.index);
    Named {
        index: guess.index,
        label: label.map(|l| l.text.clone()),
        wnid: label.and_then(|l| l.id.clone()),
        prob: guess.prob,
        logit: guess.logit,
    }
}

/// An image a paragraph, a guess a line.
fn text(answers: &[Answer]) -> String {
    let mut out = String::new();
    for answer in answers {
        // Writing to a String cannot fail.
        let _ = writeln!(out, "{}", safe::terminal(&answer.image));
        for named in &answer.top {
            let label = named.label.clone().unwrap_or_else(|| format!("class {}", named.index));
            let (label, wnid) = (safe::terminal(&label), named.wnid.as_deref().unwrap_or(""));
            let _ = writeln!(out, "  {:6.2} %  {:>4}  {wnid}  {label}", named.prob * 100.0, named.index);
        }
    }
    out
}
