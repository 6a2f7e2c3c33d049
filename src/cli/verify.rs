//! `zoo verify [NAME…] --dataset D`: the main job. Runs models over labelled images and judges their published
//! claims.

use std::collections::HashSet;
use std::path::PathBuf;
use std::time::{Instant, SystemTime};

use super::existing::refuse_existing;
use super::reports::{Outputs, print, status};
use super::verify_progress::Shown;
use super::{Context, Status, golden};
use crate::dataset::{self, Classes, Dataset, Homes, Item, Places, Subset};
use crate::error::{Class, Error, Result};
use crate::fs;
use crate::image::thumbnail::data_url;
use crate::lint::macs;
use crate::model::{EngineKind, Loader, Prepared};
use crate::registry::query::{Lookups, Query, Row};
use crate::registry::{DatasetEntry, Entry, Registry, Relation};
use crate::render::verdict;
use crate::render::verdict_html::Thumbnails;
use crate::store::{Kind, Store};
use crate::verify::diagnose::{Diagnosis, Patient, diagnose};
use crate::verify::gates::{Baseline, board};
use crate::verify::insight::Insight;
use crate::verify::plan::Plan;
use crate::verify::report::{Failed, Host, ModelResult, ModelTiming, SCHEMA, Timing};
use crate::verify::stats::{Level, Percent, Verdict};
use crate::verify::{
    Claimed, Gates, How, Images, OnBadImage, Outcome, Report, Settings, Shard, run as verify,
};

/// The dataset that is none: timm's logits on record.
const GOLDEN: &str = "golden";

/// Arguments of `zoo verify`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Models, as `zoo list` names them; without one, every model whose weights are here
    names: Vec<String>,
    /// Every model that zoo can run
    #[arg(long, conflicts_with = "names")]
    all: bool,
    /// Only models of which this is true, as in `zoo list --where`
    #[arg(long = "where", value_name = "QUERY")]
    query: Option<String>,
    /// The labelled images: `sample`, `imagenet-val` … (`zoo dataset list`); `golden` compares logits with timm's
    #[arg(long, value_name = "NAME")]
    dataset: String,
    /// Where the images are: a folder or an archive
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// Weights to use instead of the entry's: a .pth, .npz or .safetensors file
    #[arg(long, value_name = "FILE")]
    weights: Option<PathBuf>,
    /// Only the first N images of the order that the seed gives
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    subset: Option<u64>,
    /// Of the order that subsets, shards and `--until decided` follow
    #[arg(long, default_value_t = 0, value_name = "S")]
    seed: u64,
    /// Only the images whose ids are in this file, one a line
    #[arg(long, value_name = "FILE", conflicts_with = "subset")]
    subset_file: Option<PathBuf>,
    /// Stop as soon as the verdict is reproduced or contradicted; the intervals are about twice as wide
    #[arg(long, value_name = "WHEN")]
    until: Option<Until>,
    /// Only part I of N; `zoo merge` joins the parts
    #[arg(long, value_name = "I/N")]
    shard: Option<Shard>,
    /// Write a report: .json, .json.gz, .html, .md, .xml (JUnit) or .sarif; repeatable
    #[arg(long, value_name = "FILE")]
    report: Vec<PathBuf>,
    /// Put small pictures of the worst mistakes into the HTML report
    #[arg(long, requires = "report")]
    thumbnails: bool,
    /// Write every image's guesses as CSV; with several models, the model's name is put before the extension
    #[arg(long, value_name = "P.csv")]
    predictions: Option<PathBuf>,
    /// Percent points from the claim that still are the claim [default: 0.1 and half a unit of its last digit]
    #[arg(long, value_name = "POINTS")]
    tolerance: Option<Percent>,
    /// Confidence of intervals, a fraction
    #[arg(long, default_value = "0.95", value_name = "C", value_parser = level)]
    confidence: Level,
    /// Fail unless the interval's lower end is at least this, percent
    #[arg(long, value_name = "PERCENT")]
    min_top1: Option<Percent>,
    /// Fail unless the verdict is this
    #[arg(long, value_name = "VERDICT")]
    require: Option<Required>,
    /// An earlier report of the same images, for the next two
    #[arg(long, value_name = "OLD.json")]
    baseline: Option<PathBuf>,
    /// Fail when accuracy has surely dropped by more than this since the baseline, percent points
    #[arg(long, value_name = "POINTS", requires = "baseline")]
    max_drop: Option<Percent>,
    /// Fail unless accuracy has surely dropped by less than this since the baseline, percent points
    #[arg(long, value_name = "POINTS", requires = "baseline")]
    prove_no_drop: Option<Percent>,
    /// What becomes of images that cannot be read
    #[arg(long, value_enum, default_value_t = BadImage::Fail, value_name = "WHAT")]
    on_bad_image: BadImage,
    /// Find out why a number does not match; done by itself when a claim is contradicted
    #[arg(long)]
    diagnose: bool,
    /// Exit 5 where the verdict is `consistent` or `no-claim`
    #[arg(long)]
    strict: bool,
    /// Go on with the other models when one cannot be judged
    #[arg(long)]
    keep_going: bool,
    /// Say what the run could tell, and run nothing
    #[arg(long)]
    plan: bool,
    /// Fix the bar: write the plan before the first image; where the file exists it must be the same plan
    #[arg(long, value_name = "P.json")]
    plan_out: Option<PathBuf>,
    /// Workers [default: one a core]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    threads: Option<u16>,
    /// Images that a worker takes at a time; the result is the same
    #[arg(long, default_value_t = 1, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    batch: u16,
    /// What computes the network
    #[arg(long, default_value_t = EngineKind::default(), value_name = "ENGINE")]
    engine: EngineKind,
    /// Run again what is on record, and overwrite outputs that exist
    #[arg(long)]
    force: bool,
    /// Print the report as JSON
    #[arg(long)]
    json: bool,
}

/// When to stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Until {
    /// At the first look at which the verdict is reproduced or contradicted
    Decided,
}

/// What becomes of an image that cannot be decoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum BadImage {
    /// The run fails and names it
    Fail,
    /// It counts as answered wrongly: the population stays what it is
    Wrong,
    /// It is left out of n, and the interval allows for it to be either
    Skip,
}

impl From<BadImage> for OnBadImage {
    fn from(what: BadImage) -> Self {
        match what {
            BadImage::Fail => OnBadImage::Fail,
            BadImage::Wrong => OnBadImage::Wrong,
            BadImage::Skip => OnBadImage::Skip,
        }
    }
}

/// Verdicts that can be asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Required {
    /// The interval lies within the claim and its tolerance
    Reproduced,
}

fn level(text: &str) -> std::result::Result<Level, String> {
    let fraction = text.parse().ok().and_then(Level::new);
    fraction.ok_or_else(|| "a fraction from 0.5 to below 1, such as 0.95".into())
}

/// Runs and judges.
pub(super) fn run(args: &Args, context: &mut Context) -> Result<Status> {
    let (begun, started) = (Instant::now(), SystemTime::now());
    let outputs = Outputs::new(&args.report, args.force)?;
    args.predictions.iter().try_for_each(|path| refuse_existing(path, args.force))?;
    check(args)?;
    let query = args.query.as_deref().map(str::parse::<Query>).transpose()?;
    let registry = Registry::open(&context.globals.registry)?;
    context.warn(registry.warnings());
    // A name that means nothing is told before anything is fetched.
    let named = args.names.iter().map(|n| Ok(registry.resolve(n)?)).collect::<Result<Vec<_>>>()?;
    let store = context.store()?;
    let levels = context.levels()?;
    let golden = |e: &Entry| Some(levels.of(e).name());
    let lookups = Lookups { macs, golden: &golden };
    if args.dataset == GOLDEN {
        let mut entries = chosen(args, named, &registry, &store, context)?;
        entries.retain(|entry| query.as_ref().is_none_or(|q| q.chooses(&Row { entry, lookups })));
        golden::refuse(&[
            ("--report", !args.report.is_empty()),
            ("--subset", args.subset.is_some()),
            ("--subset-file", args.subset_file.is_some()),
            ("--shard", args.shard.is_some()),
            ("--until", args.until.is_some()),
            ("--data-dir", args.data_dir.is_some()),
            ("--predictions", args.predictions.is_some()),
        ])?;
        return golden::verify(&entries, args.engine, args.weights.as_deref(), &store, args.json, context);
    }
    let mut settings = settings(args)?;
    let baseline = baseline(args, &mut settings)?;
    let dataset = open(args, registry.dataset(&args.dataset)?, &settings, &store)?;
    let mut entries = chosen(args, named, &registry, &store, context)?;
    entries.retain(|entry| query.as_ref().is_none_or(|q| q.chooses(&Row { entry, lookups })));
    if entries.is_empty() {
        return Err(Error::usage("no model is left by `--where`"));
    }
    let loader = Loader { store: &store, engine: args.engine, weights: args.weights.as_deref() };
    let mut prepared = Vec::new();
    if args.plan || args.plan_out.is_some() {
        let plan;
        (plan, prepared) = plan_of(&entries, &loader, &settings, &dataset)?;
        if let Some(path) = &args.plan_out {
            settings.plan_sha256 = Some(plan.fix(path)?);
        }
        if args.plan {
            match args.json {
                true => context.print(plan.to_json())?,
                false => context.print(verdict::plan(&plan, context.width, context.color))?,
            }
            return Ok(Status::Success);
        }
    }
    let shown = Shown::new(&context.globals);
    let how = How {
        engine: args.engine,
        threads: threads(args),
        batch: usize::from(args.batch),
        shard: args.shard,
        home: Some(store.home()),
        force: args.force,
    };
    let (mut results, mut timings, mut failed, mut errors) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    let images = Images::of(&dataset)?;
    let mut prepared = prepared.into_iter();
    for entry in &entries {
        // Those of a plan are here already.
        let judged = prepared.next().map_or_else(|| loader.prepare(entry), Ok).map_err(Error::from);
        match judged.and_then(|model| Ok(verify(model, &images, &settings, how, &shown)?)) {
            Ok(outcome) => {
                timings.push(timing(&outcome));
                results.push(outcome.result);
            }
            Err(error) if args.keep_going && error.class() != Class::Interrupted => {
                context.note(&format!("{}: {error}", entry.name));
                failed.push(Failed {
                    model: entry.name.clone(),
                    error: error.to_string(),
                    exit_code: error.class().exit_code(),
                });
                errors.push(error);
            }
            Err(error) => return Err(error),
        }
    }
    if args.shard.is_none() {
        board(&mut results, settings.until_decided);
        let alone = results.len() == 1;
        for result in &mut results {
            result.gates = settings.gates.check(result, baseline.as_ref(), alone)?;
        }
    }
    let diagnoses = diagnoses(args, &entries, &results, &registry, &loader, &dataset, context)?;
    let report = Report {
        schema: SCHEMA.to_owned(),
        run: settings.to_run(&dataset.name),
        results,
        failed,
        diagnoses,
        timing: Timing { started: utc(started), seconds: begun.elapsed().as_secs_f64(), models: timings },
        host: Host {
            command: std::env::args().skip(1).collect(),
            threads: how.threads,
            batch: how.batch,
            shard: args.shard,
            layout: dataset.layout.to_owned(),
            engine: args.engine.name().to_owned(),
            merged_isas: Vec::new(),
        },
    };
    let pictures = args.thumbnails && outputs.has_pictures();
    let thumbnails = if pictures { thumbnails(&dataset, &report) } else { Thumbnails::new() };
    outputs.write(&report, &thumbnails)?;
    write_predictions(args, &report)?;
    print(&report, args.json, context)?;
    context.flush()?;
    match errors.len() {
        0 => Ok(status(&report, args.strict)),
        1 => Err(errors.swap_remove(0)),
        _ => Err(Error::several(errors)),
    }
}

/// Combinations that cannot mean anything.
fn check(args: &Args) -> Result<()> {
    if args.weights.is_some() && args.names.len() != 1 {
        return Err(Error::usage("`--weights` needs exactly one NAME: whose weights they are"));
    }
    if args.until.is_some() && args.shard.is_some() {
        return Err(Error::usage(
            "`--until decided` looks at all images in their order, so not with `--shard`",
        ));
    }
    if args.until.is_some() && args.subset_file.is_some() {
        return Err(Error::usage(
            "`--until decided` needs images in random order, so not with `--subset-file`",
        ));
    }
    if args.baseline.is_some() && args.max_drop.is_none() && args.prove_no_drop.is_none() {
        return Err(Error::usage("`--baseline` needs `--max-drop` or `--prove-no-drop`: what to ask of it"));
    }
    Ok(())
}

fn settings(args: &Args) -> Result<Settings> {
    let drawn = args.subset.map(|n| Subset::Drawn { n, seed: args.seed });
    let subset = match &args.subset_file {
        Some(path) => Some(Subset::read(path)?),
        None => drawn,
    };
    Ok(Settings {
        subset,
        seed: args.seed,
        until_decided: args.until.is_some(),
        tolerance: args.tolerance,
        level: args.confidence,
        gates: Gates {
            min_top1: args.min_top1,
            require: args.require.map(|Required::Reproduced| Verdict::Reproduced),
            baseline_sha256: None,
            max_drop: args.max_drop,
            prove_no_drop: args.prove_no_drop,
        },
        on_bad_image: args.on_bad_image.into(),
        plan_sha256: None,
    })
}

fn baseline(args: &Args, settings: &mut Settings) -> Result<Option<Baseline>> {
    let Some(path) = &args.baseline else { return Ok(None) };
    let (baseline, sha256) = Baseline::open(path)?;
    settings.gates.baseline_sha256 = Some(sha256);
    Ok(Some(baseline))
}

/// The images of the run.
fn open(args: &Args, entry: &DatasetEntry, settings: &Settings, store: &Store) -> Result<Dataset> {
    let homes = Homes::open(store.home())?;
    let places = Places { given: args.data_dir.as_deref(), homes: &homes, store };
    let mut dataset = dataset::open(entry, &places, &Classes::imagenet())?;
    if let Some(subset) = &settings.subset {
        dataset.select(subset)?;
    }
    if settings.until_decided && matches!(dataset.relation, Relation::Given) {
        return Err(Error::usage(format!(
            "`--until decided` needs all of a population's images, and these of `{}` are given ones",
            dataset.name
        )));
    }
    Ok(dataset)
}

/// Which models: those named, all that can be run, or those whose weights are here.
fn chosen<'a>(
    args: &Args,
    named: Vec<&'a Entry>,
    registry: &'a Registry,
    store: &Store,
    context: &Context,
) -> Result<Vec<&'a Entry>> {
    if !named.is_empty() {
        return Ok(named);
    }
    let mut models: Vec<&Entry> = registry.models().iter().collect();
    models.sort_by(|a, b| a.name.cmp(&b.name));
    if args.all {
        let known: HashSet<&str> = crate::arch::names().into_iter().collect();
        let before = models.len();
        models.retain(|m| m.zoo.arch.as_deref().is_some_and(|a| known.contains(a)));
        if models.len() < before {
            context.note(&format!(
                "{} models are left out: zoo cannot build their architecture",
                before - models.len()
            ));
        }
        return Ok(models);
    }
    let inventory = store.inventory()?;
    let records: Vec<_> =
        inventory.iter().filter(|i| i.kind == Kind::File).filter_map(|i| i.record.as_ref()).collect();
    // Two entries may share a file, and whoever fetched it gave it its name: the source tells as well.
    let names: HashSet<&str> = records.iter().flat_map(|r| &r.names).map(String::as_str).collect();
    let sources: HashSet<&str> = records.iter().map(|r| r.source.as_str()).collect();
    models.retain(|m| {
        names.contains(m.name.as_str()) || m.sources.first().is_some_and(|s| sources.contains(s.0.as_str()))
    });
    match models.is_empty() {
        false => Ok(models),
        true => Err(NothingFetched.into()),
    }
}

/// No model was named and no weights are here.
#[derive(Debug, thiserror::Error)]
#[error("no model is named, and no model's weights are here")]
struct NothingFetched;

impl crate::error::Classify for NothingFetched {
    fn class(&self) -> Class {
        Class::BadInput
    }

    fn hint(&self) -> Option<String> {
        Some("`zoo fetch NAME` brings some (`zoo list` has the names); or name one: `zoo verify NAME --dataset D`".into())
    }
}

/// The plan, and its models: what was hashed for it need not be hashed again.
fn plan_of(
    entries: &[&Entry],
    loader: &Loader<'_>,
    settings: &Settings,
    dataset: &Dataset,
) -> Result<(Plan, Vec<Prepared>)> {
    let mut models = Vec::with_capacity(entries.len());
    let mut prepared = Vec::with_capacity(entries.len());
    for entry in entries {
        let model = loader.prepare(entry)?;
        let tensors_sha256 = model.provenance().tensors_sha256;
        models.push((entry.name.clone(), tensors_sha256, Claimed::of(entry, dataset, settings.tolerance)?));
        prepared.push(model);
    }
    Ok((Plan::new(settings, dataset, models), prepared))
}

fn threads(args: &Args) -> usize {
    let cores = || std::thread::available_parallelism().map_or(1, usize::from);
    args.threads.map_or_else(cores, usize::from)
}

fn timing(outcome: &Outcome) -> ModelTiming {
    let seconds = outcome.took.as_secs_f64();
    let pace = outcome.computed as f64 / seconds;
    ModelTiming {
        model: outcome.result.model.clone(),
        computed: outcome.computed as u64,
        seconds,
        images_per_second: (outcome.computed > 0 && pace.is_finite()).then(|| (pace * 10.0).round() / 10.0),
        unchanged_since: outcome.unchanged_since.map(utc),
    }
}

/// `2026-11-25T10:00:00Z`.
fn utc(time: SystemTime) -> String {
    jiff::Timestamp::try_from(time)
        .map_or_else(|_| String::new(), |t| t.strftime("%Y-%m-%dT%H:%M:%SZ").to_string())
}

/// Why numbers do not match: of the contradicted models, or of all where that is asked.
fn diagnoses(
    args: &Args,
    entries: &[&Entry],
    results: &[ModelResult],
    registry: &Registry,
    loader: &Loader<'_>,
    dataset: &Dataset,
    context: &Context,
) -> Result<Vec<Diagnosis>> {
    let mut found = Vec::new();
    for result in results.iter().filter(|r| args.diagnose || r.verdict == Verdict::Contradicted) {
        let Some(entry) = entries.iter().find(|e| e.name == result.model).filter(|_| args.shard.is_none())
        else {
            continue;
        };
        context.note(&format!("{}: looking for the reason", entry.name));
        let patient = Patient {
            loader: *loader,
            entry,
            dataset,
            others: registry.models(),
            seed: args.seed,
            threads: threads(args),
            engine: args.engine,
        };
        found.push(diagnose(&patient)?);
    }
    Ok(found)
}

/// Small pictures of the worst mistakes; one that cannot be had is left out.
fn thumbnails(dataset: &Dataset, report: &Report) -> Thumbnails {
    let mistakes = report.results.iter().flat_map(|r| Insight::of(&r.per_image).mistakes);
    let wanted: HashSet<String> = mistakes.map(|m| m.id).collect();
    let picture = |item: &Item| Some((item.id.clone(), data_url(&dataset.bytes(item).ok()?).ok()?));
    dataset.items.iter().filter(|i| wanted.contains(&i.id)).filter_map(picture).collect()
}

fn write_predictions(args: &Args, report: &Report) -> Result<()> {
    let Some(path) = &args.predictions else { return Ok(()) };
    for result in &report.results {
        let mut path = path.clone();
        if report.results.len() > 1 {
            let stem = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
            path.set_file_name(format!("{stem}.{}.csv", result.model.replace(['/', '\\'], "_")));
            refuse_existing(&path, args.force)?;
        }
        fs::write_atomic(&path, verdict::predictions(result).as_bytes())?;
    }
    Ok(())
}
