//! What is typed after `zoo verify`, and what it means: an [`Invocation`] of resolved types.

use std::path::PathBuf;

use super::super::existing::refuse_output;
use super::super::reports::Outputs;
use crate::cli::Context;
use crate::cli::device::DeviceArgs;
use crate::dataset::Subset;
use crate::error::{Error, Result};
use crate::model::EngineKind;
use crate::registry::query::Query;
use crate::verify::gates::Baseline;
use crate::verify::stats::{ConfidenceLevel, Percent, Verdict};
use crate::verify::{Gates, OnBadImage, Settings, Shard};

/// Arguments of `zoo verify`.
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Args {
    /// Models, as `zoo list` names them, .safetensors files with their sidecar .json, or folders with timm's config.json;
    /// without one, every model whose
    /// weights are here
    names: Vec<String>,
    /// Every model that zoo can run
    #[arg(long, conflicts_with = "names")]
    all: bool,
    /// Only models that satisfy this, as in `zoo list --where`
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
    /// Use only the first N images in the seed's order
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    subset: Option<u64>,
    /// Seed of the order in which subsets, shards and `--until decided` take the images
    #[arg(long, default_value_t = 0, value_name = "S")]
    seed: u64,
    /// Use only the images whose ids are in this file, one per line
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
    /// How far from the claim still counts as the claim, in percentage points [default: 0.1 and half a unit of its last digit]
    #[arg(long, value_name = "POINTS")]
    tolerance: Option<Percent>,
    /// Confidence level of the intervals, as a fraction
    #[arg(long, default_value = "0.95", value_name = "C", value_parser = level)]
    confidence: ConfidenceLevel,
    /// Fail unless the lower end of the interval is at least this, in percent
    #[arg(long, value_name = "PERCENT")]
    min_top1: Option<Percent>,
    /// Fail unless the verdict is this
    #[arg(long, value_name = "VERDICT")]
    require: Option<Required>,
    /// An earlier report of the same images, for the next two
    #[arg(long, value_name = "OLD.json")]
    baseline: Option<PathBuf>,
    /// Fail if accuracy has demonstrably dropped by more than this since the baseline, in percentage points
    #[arg(long, value_name = "POINTS", requires = "baseline")]
    max_drop: Option<Percent>,
    /// Fail unless accuracy has demonstrably dropped by less than this since the baseline, in percentage points
    #[arg(long, value_name = "POINTS", requires = "baseline")]
    prove_no_drop: Option<Percent>,
    /// What to do about images that cannot be read
    #[arg(long, value_enum, default_value_t = BadImage::Fail, value_name = "WHAT")]
    on_bad_image: BadImage,
    /// Look for the reason why a figure does not match, on up to 256 images a hypothesis; when a claim is contradicted a shorter
    /// search, of about what the run itself computed, happens without asking
    #[arg(long)]
    diagnose: bool,
    /// Exit 5 where the verdict is `consistent` or `no-claim`
    #[arg(long)]
    strict: bool,
    /// Go on with the other models when one cannot be judged
    #[arg(long)]
    keep_going: bool,
    /// Say what the run could show, without running it
    #[arg(long)]
    plan: bool,
    /// Fix the criteria in advance: write the plan before the first image; an existing file must hold the same plan
    #[arg(long, value_name = "P.json")]
    plan_out: Option<PathBuf>,
    /// Worker threads [default: one per core]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    threads: Option<u16>,
    /// Images computed together; the result does not change [default: what the engine prefers]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    batch: Option<u16>,
    /// What computes the network
    #[arg(long, default_value_t = EngineKind::default(), value_name = "ENGINE")]
    engine: EngineKind,
    #[command(flatten)]
    device: DeviceArgs,
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
    /// The run fails and names the image
    Fail,
    /// It counts as wrong, so that the population stays the same
    Wrong,
    /// It is left out of n, and the interval allows for either outcome
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

fn level(text: &str) -> std::result::Result<ConfidenceLevel, String> {
    let fraction = text.parse().ok().and_then(ConfidenceLevel::new);
    fraction.ok_or_else(|| "a fraction from 0.5 to below 1, such as 0.95".into())
}

/// A verification that can be asked for: combinations that mean nothing are refused, outputs that exist too.
pub(super) struct Invocation {
    pub(super) models: Models,
    /// Only those of which this is true.
    pub(super) query: Option<Query>,
    pub(super) dataset: String,
    pub(super) data_dir: Option<PathBuf>,
    engine: EngineKind,
    device: DeviceArgs,
    pub(super) threads: usize,
    pub(super) batch: Option<usize>,
    pub(super) shard: Option<Shard>,
    pub(super) force: bool,
    pub(super) keep_going: bool,
    pub(super) diagnose: bool,
    /// Say what the run could show, without running it.
    pub(super) plan_only: bool,
    pub(super) plan_out: Option<PathBuf>,
    pub(super) outputs: Outputs,
    pub(super) thumbnails: bool,
    pub(super) predictions: Option<PathBuf>,
    pub(super) strict: bool,
    pub(super) json: bool,
    /// Options that were given and mean nothing for `--dataset golden`.
    pub(super) image_options: Vec<&'static str>,
    judged: Judged,
}

/// Which models.
pub(super) enum Models {
    /// Those named, or one of them with other weights.
    Named(Vec<String>, Option<PathBuf>),
    /// All that zoo can run.
    All,
    /// Those whose weights are here.
    Stored,
}

/// What decides a result, before the files that it names are read.
struct Judged {
    settings: Settings,
    subset_file: Option<PathBuf>,
    baseline: Option<PathBuf>,
}

impl Args {
    /// What the arguments mean.
    ///
    /// # Errors
    /// Class `Usage`: what cannot be asked, an output that exists.
    pub(super) fn resolve(&self) -> Result<Invocation> {
        let outputs = Outputs::new(&self.report, self.force)?;
        if let Some(path) = &self.predictions {
            refuse_output(path, self.force)?;
        }
        self.check()?;
        let query = self.query.as_deref().map(str::parse).transpose()?;
        let models = if !self.names.is_empty() {
            Models::Named(self.names.clone(), self.weights.clone())
        } else if self.all {
            Models::All
        } else {
            Models::Stored
        };
        let given = [
            ("--report", !self.report.is_empty()),
            ("--subset", self.subset.is_some()),
            ("--subset-file", self.subset_file.is_some()),
            ("--shard", self.shard.is_some()),
            ("--until", self.until.is_some()),
            ("--data-dir", self.data_dir.is_some()),
            ("--predictions", self.predictions.is_some()),
        ];
        let cores = || std::thread::available_parallelism().map_or(1, usize::from);
        Ok(Invocation {
            models,
            query,
            dataset: self.dataset.clone(),
            data_dir: self.data_dir.clone(),
            engine: self.engine,
            device: self.device,
            threads: self.threads.map_or_else(cores, usize::from),
            batch: self.batch.map(usize::from),
            shard: self.shard,
            force: self.force,
            keep_going: self.keep_going,
            diagnose: self.diagnose,
            plan_only: self.plan,
            plan_out: self.plan_out.clone(),
            outputs,
            thumbnails: self.thumbnails,
            predictions: self.predictions.clone(),
            strict: self.strict,
            json: self.json,
            image_options: given.into_iter().filter_map(|(name, given)| given.then_some(name)).collect(),
            judged: self.judged(),
        })
    }

    fn judged(&self) -> Judged {
        let settings = Settings {
            subset: self.subset.map(|n| Subset::Drawn { n, seed: self.seed }),
            seed: self.seed,
            until_decided: self.until.is_some(),
            tolerance: self.tolerance,
            level: self.confidence,
            gates: Gates {
                min_top1: self.min_top1,
                require: self.require.map(|Required::Reproduced| Verdict::Reproduced),
                baseline_sha256: None,
                max_drop: self.max_drop,
                prove_no_drop: self.prove_no_drop,
            },
            on_bad_image: self.on_bad_image.into(),
            plan_sha256: None,
        };
        Judged { settings, subset_file: self.subset_file.clone(), baseline: self.baseline.clone() }
    }

    /// Combinations that cannot mean anything.
    fn check(&self) -> Result<()> {
        if self.weights.is_some() && self.names.len() != 1 {
            return Err(Error::usage("`--weights` needs exactly one NAME: whose weights they are"));
        }
        if self.until.is_some() && self.shard.is_some() {
            return Err(Error::usage(
                "`--until decided` looks at all images in their order, so not with `--shard`",
            ));
        }
        if self.until.is_some() && self.subset_file.is_some() {
            return Err(Error::usage(
                "`--until decided` needs images in random order, so not with `--subset-file`",
            ));
        }
        if self.baseline.is_some() && self.max_drop.is_none() && self.prove_no_drop.is_none() {
            return Err(Error::usage(
                "`--baseline` needs `--max-drop` or `--prove-no-drop`: what to ask of it",
            ));
        }
        Ok(())
    }
}

impl Invocation {
    /// What computes, on which device.
    ///
    /// # Errors
    /// A device that cannot be used.
    pub(super) fn engine(&self, context: &mut Context) -> Result<EngineKind> {
        self.device.engine(self.engine, context)
    }

    /// What decides the result, with the files that it names read.
    ///
    /// # Errors
    /// A list of ids or a baseline that cannot be read.
    pub(super) fn settings(&self) -> Result<(Settings, Option<Baseline>)> {
        let Judged { settings, subset_file, baseline } = &self.judged;
        let mut settings = settings.clone();
        if let Some(path) = subset_file {
            settings.subset = Some(Subset::read(path)?);
        }
        let Some(path) = baseline else { return Ok((settings, None)) };
        let (baseline, sha256) = Baseline::open(path)?;
        settings.gates.baseline_sha256 = Some(sha256);
        Ok((settings, Some(baseline)))
    }
}
