//! `zoo finetune NAME --data DIR -o OUT.safetensors`: a new classifier on a frozen network.

use std::cell::RefCell;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use serde_json::json;

use super::chosen::Chosen;
use super::compute::Compute;
use super::counter::Counter;
use super::existing::{refuse_existing, refuse_unwritable};
use super::{Context, Status, interrupt};
use crate::error::{Error, Result};
use crate::finetune::{
    Data, FineTuned, Holdout, OnBadImage, Options, Outputs, Point, Recipe, Solver, TrainingProgress, Unfreeze,
};
use crate::fs;
use crate::model::Loader;
use crate::registry::Registry;
use crate::render::{learning_curve, safe};

/// Arguments of `zoo finetune`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The model, as `zoo list` names it, or a .safetensors file with its sidecar .json
    name: String,
    /// The labelled images: a folder for each class, or `train` and `val` with these; any layout that `verify` reads
    #[arg(long, value_name = "DIR")]
    data: PathBuf,
    /// Images to measure the result with, in folders of the same classes [default: DIR/val, else a part of DIR]
    #[arg(long, value_name = "DIR", conflicts_with = "val_split")]
    val: Option<PathBuf>,
    /// The part of each class that is not trained on and measured with [default: 0.2]
    #[arg(long, value_name = "FRACTION")]
    val_split: Option<f64>,
    /// Of the split, the augmentations and the order of batches
    #[arg(long, default_value_t = 0, value_name = "S")]
    seed: u64,
    /// Weights to use instead of the entry's: a .pth, .npz or .safetensors file
    #[arg(long, value_name = "FILE")]
    weights: Option<PathBuf>,
    /// The new model's weights, under timm's names; OUT.json beside it says what they are of
    #[arg(short, long, value_name = "OUT.safetensors")]
    output: PathBuf,
    /// Replace outputs that exist
    #[arg(long)]
    force: bool,
    /// What minimises the loss
    #[arg(long, value_enum, default_value_t = SolverName::Lbfgs, value_name = "SOLVER")]
    solver: SolverName,
    /// Passes over the images of `--solver sgd` [default: 100]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=100_000))]
    epochs: Option<u32>,
    /// First learning rate of `--solver sgd`; it falls to nothing by half a cosine [default: 0.05]
    #[arg(long, value_name = "RATE")]
    lr: Option<f64>,
    /// On standardised features [default: chosen on a fifth of the images to train on]
    #[arg(long, value_name = "DECAY")]
    weight_decay: Option<f64>,
    /// The part of a target that is spread over all classes
    #[arg(long, default_value_t = 0.0, value_name = "PART")]
    label_smoothing: f64,
    /// How much the images of each class count
    #[arg(long, value_enum, default_value_t = ClassWeights::Equal, value_name = "HOW")]
    class_weights: ClassWeights,
    /// Also train on N random resized crops, perhaps mirrored, of each image
    #[arg(long, default_value_t = 0, value_name = "N", value_parser = clap::value_parser!(u64).range(0..=1000))]
    augment: u64,
    /// Also train part of the network, by plain convolutions forwards and backwards: slow. `--epochs` [5] and `--lr` [0.002]
    /// are then of this
    #[arg(long, value_enum, value_name = "WHAT")]
    unfreeze: Option<Part>,
    /// Write the learning curve
    #[arg(long, value_name = "FILE.svg")]
    curve: Option<PathBuf>,
    /// Also write a page with the model's entry into this folder, which `--registry` takes
    #[arg(long, value_name = "FOLDER")]
    register: Option<PathBuf>,
    /// What becomes of images that cannot be read
    #[arg(long, value_enum, default_value_t = BadImage::Fail, value_name = "WHAT")]
    on_bad_image: BadImage,
    #[command(flatten)]
    compute: Compute,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// What minimises the loss.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum SolverName {
    /// L-BFGS on all images at once, to the minimum
    Lbfgs,
    /// Batches of 64, momentum 0.9, a cosine schedule, early stopping
    Sgd,
}

/// How much the images of each class count.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum ClassWeights {
    /// All images count alike
    Equal,
    /// All classes count alike
    Balanced,
}

/// What of the network is trained too.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Part {
    /// The stage before the classifier
    Last,
}

/// What becomes of an image that cannot be decoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum BadImage {
    /// Nothing is trained
    Fail,
    /// It is left out, and named
    Skip,
}

/// Trains and writes.
pub(super) fn run(args: &Args, context: &mut Context) -> Result<Status> {
    let recipe = recipe(args)?;
    let outputs = outputs(args)?;
    let registry = Registry::open(&context.globals.registry)?;
    let chosen = Chosen::find(&args.name, args.weights.as_deref(), &registry)?.spec()?;
    let holdout = match (&args.val, args.val_split) {
        (Some(folder), _) => Some(Holdout::Folder(folder.clone())),
        (None, Some(fraction)) => Some(Holdout::Fraction(fraction)),
        (None, None) => None,
    };
    // The images are looked at before any weights are downloaded.
    let data = Data::open(&args.data, holdout.as_ref(), args.seed, registry.dataset("folder")?)?;
    let store = context.store()?;
    let engine = args.compute.engine(context)?;
    let model = Loader { store: &store, engine }.prepare(&chosen)?;
    if let Some(renamed) = model.renamed() {
        context.note(&format!("note: {renamed}"));
    }
    let how = args.compute.options();
    let options = Options {
        engine,
        threads: how.threads,
        batch: how.batch,
        home: Some(store.home()),
        on_bad_image: match args.on_bad_image {
            BadImage::Fail => OnBadImage::Fail,
            BadImage::Skip => OnBadImage::Skip,
        },
    };
    let shown = Shown { context, counter: RefCell::default() };
    let tuned = crate::finetune::run(&model, &data, &recipe, options, &shown)?;
    drop(shown);
    for (path, reason) in &tuned.skipped {
        context.note(&format!("left out: `{path}`: {reason}"));
    }
    tuned.write(&outputs)?;
    if let Some(path) = &args.curve {
        let steps = match recipe.solver {
            _ if recipe.unfreeze.is_some() => "epochs of the last stage",
            Solver::Lbfgs => "steps of L-BFGS",
            Solver::Sgd { .. } => "epochs",
        };
        let title = format!("{} on {} classes", chosen.name, tuned.classes().len());
        fs::write_atomic(path, learning_curve::svg(tuned.curve(), &title, steps).as_bytes())?;
    }
    if args.json {
        context.print_json(&report(args, &outputs, &tuned))?;
    } else {
        context.print(text(args, &outputs, &tuned))?;
    }
    Ok(Status::Success)
}

/// The recipe, refused where its numbers make none.
fn recipe(args: &Args) -> Result<Recipe> {
    let refuse = |what: &str| Err(Error::usage(what));
    if args.val_split.is_some_and(|fraction| !(fraction > 0.0 && fraction < 1.0)) {
        return refuse("`--val-split` takes a fraction between 0 and 1");
    }
    if !(0.0..1.0).contains(&args.label_smoothing) {
        return refuse("`--label-smoothing` takes 0 up to 1");
    }
    if args.weight_decay.is_some_and(|decay| !(decay >= 0.0 && decay.is_finite())) {
        return refuse("`--weight-decay` takes a number from 0");
    }
    if args.lr.is_some_and(|rate| !(rate > 0.0 && rate.is_finite())) {
        return refuse("`--lr` takes a number above 0");
    }
    let solver = match args.solver {
        SolverName::Lbfgs if args.unfreeze.is_none() && (args.epochs.is_some() || args.lr.is_some()) => {
            return refuse("`--epochs` and `--lr` are of `--solver sgd` and `--unfreeze last`");
        }
        SolverName::Lbfgs => Solver::Lbfgs,
        SolverName::Sgd => Solver::Sgd {
            epochs: args.epochs.map_or(100, |epochs| epochs as usize),
            rate: args.lr.unwrap_or(0.05),
        },
    };
    Ok(Recipe {
        solver,
        weight_decay: args.weight_decay,
        label_smoothing: args.label_smoothing,
        balanced: args.class_weights == ClassWeights::Balanced,
        augment: args.augment,
        unfreeze: args.unfreeze.map(|Part::Last| Unfreeze {
            epochs: args.epochs.map_or(5, |epochs| epochs as usize),
            rate: args.lr.unwrap_or(0.002),
        }),
        seed: args.seed,
    })
}

/// Where everything goes, where nothing is yet.
fn outputs(args: &Args) -> Result<Outputs<'_>> {
    let is_safetensors = args.output.extension().is_some_and(|e| e.eq_ignore_ascii_case("safetensors"));
    if !is_safetensors {
        return Err(Error::usage(format!("`{}` does not end in .safetensors", args.output.display())));
    }
    if args.curve.as_ref().is_some_and(|path| path.extension().is_none_or(|e| e != "svg")) {
        return Err(Error::usage("`--curve` writes an .svg file"));
    }
    let outputs =
        Outputs { weights: &args.output, register: args.register.as_deref(), overwrite: args.force };
    let own = [outputs.weights.to_owned(), outputs.sidecar()];
    let entry = outputs.entry();
    for path in own.iter().chain(&entry).chain(&args.curve) {
        refuse_existing(path, args.force)?;
    }
    // After an hour of training it is late to find out.
    for path in own.iter().chain(&args.curve) {
        refuse_unwritable(path, false)?;
    }
    entry.iter().try_for_each(|path| refuse_unwritable(path, true))?;
    Ok(outputs)
}

fn report(args: &Args, outputs: &Outputs<'_>, tuned: &FineTuned<'_>) -> serde_json::Value {
    let skipped: Vec<_> =
        tuned.skipped.iter().map(|(image, reason)| json!({"image": image, "reason": reason})).collect();
    let shown = |path: &Path| path.display().to_string();
    json!({
        "schema": "zoo.finetune/1",
        "output": shown(outputs.weights),
        "sidecar": shown(&outputs.sidecar()),
        "entry": outputs.entry().map(|path| shown(&path)),
        "curve": args.curve.as_deref().map(shown),
        "classes": tuned.classes(),
        "training": tuned.summary(),
        "skipped": skipped,
        "features": {"cached": tuned.cached, "computed": tuned.computed},
        "seconds": {
            "features": tuned.extracting.as_secs_f64(),
            "training": tuned.training.as_secs_f64(),
        },
    })
}

/// A few lines for people.
fn text(args: &Args, outputs: &Outputs<'_>, tuned: &FineTuned<'_>) -> String {
    let summary = tuned.summary();
    let number =
        |pointer: &str| summary.pointer(pointer).and_then(serde_json::Value::as_f64).unwrap_or(f64::NAN);
    let mut out = String::new();
    // Writing to a String cannot fail.
    let _ = writeln!(
        out,
        "trained    {} images of {} classes: {:.2} % right, loss {:.4}",
        number("/train/images"),
        tuned.classes().len(),
        number("/train/top1"),
        number("/train/loss"),
    );
    match tuned.val() {
        Some((right, images)) if images > 0 => {
            let _ = writeln!(
                out,
                "held out   {right} of {images} images right: {:.2} % (95 %: {:.2} to {:.2}), loss {:.4}",
                number("/val/top1"),
                number("/val/interval/0"),
                number("/val/interval/1"),
                number("/val/loss"),
            );
        }
        _ => out.push_str("held out   no image: every class has one\n"),
    }
    let chosen = summary.pointer("/recipe/weight_decay_chosen") == Some(&serde_json::Value::Bool(true));
    let how = if chosen { ", chosen on a fifth of the images trained on" } else { "" };
    let _ = writeln!(out, "decay      {}{how}", number("/recipe/weight_decay"));
    let _ = writeln!(
        out,
        "features   {} computed, {} on record, {:.1} s; training {:.1} s",
        tuned.computed,
        tuned.cached,
        tuned.extracting.as_secs_f64(),
        tuned.training.as_secs_f64(),
    );
    let mut files = vec![outputs.weights.to_owned(), outputs.sidecar()];
    files.extend(outputs.entry());
    files.extend(args.curve.clone());
    let files: Vec<_> = files.iter().map(|path| path.display().to_string()).collect();
    let _ = writeln!(out, "written    {}", safe::terminal(&files.join(", ")));
    out
}

/// Progress on stderr.
struct Shown<'a> {
    context: &'a Context,
    counter: RefCell<Option<Counter>>,
}

/// Most steps that a bar is made for.
const BAR_STEPS: usize = 1000;

impl Shown<'_> {
    fn begin(&self, label: &str, done: usize, total: usize) {
        // The one before is put away first.
        self.counter.replace(None);
        self.counter.replace(Some(Counter::new(&self.context.globals, label, done, total)));
    }

    fn advance(&self, done: usize, standing: &str) {
        if let Some(counter) = self.counter.borrow_mut().as_mut() {
            counter.advanced(done, standing);
        }
    }
}

impl TrainingProgress for Shown<'_> {
    fn extracting(&self, done: usize, total: usize) {
        self.begin("features", done, total);
    }

    fn extracted(&self, done: usize) {
        self.advance(done, "");
    }

    fn choosing(&self, at: usize, of: usize, weight_decay: f64, loss: f64) {
        if at == 1 {
            self.begin("weight decay", 0, of);
        }
        self.advance(at, &format!("{weight_decay}: loss {loss:.4}"));
    }

    fn trained(&self, point: &Point) {
        if point.step == 1 {
            self.begin("training", 0, BAR_STEPS);
        }
        let val = point.val_top1.map(|val| format!(", {val:.2} % held out")).unwrap_or_default();
        self.advance(point.step, &format!("loss {:.4}, {:.2} % right{val}", point.loss, point.train_top1));
    }

    fn cancelled(&self) -> bool {
        interrupt::asked()
    }
}
