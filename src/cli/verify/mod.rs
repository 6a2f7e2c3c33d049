//! `zoo verify [NAME…] --dataset D`: the main job. Runs models over labelled images and judges their published
//! claims. What is typed is resolved in `args`; the work is [`crate::verify::Session`]'s.

mod args;

use std::path::Path;
use std::sync::Arc;

use super::chosen::Chosen;
use super::existing::refuse_existing;
use super::reports::{print, status};
use super::selection::locked;
use super::verify_progress::Shown;
use super::{Context, Status, golden};
use crate::dataset::{self, Classes, Dataset, DatasetPaths, SearchLocations};
use crate::error::{Error, Result};
use crate::fs;
use crate::model::{self, EngineKind, Labels, macs};
use crate::registry::query::{Lookups, Row};
use crate::registry::{DatasetEntry, Entry, Registry, Relation};
use crate::render::verdict;
use crate::store::Store;
use crate::verify::insight::thumbnails;
use crate::verify::{Candidate, Finished, Report, RunOptions, Session, SessionOptions, Settings};

pub(super) use args::Args;
use args::{Invocation, Models};

/// The dataset that is none: timm's logits on record.
const GOLDEN: &str = "golden";

/// Resolves what was typed, then runs and judges.
pub(super) fn run(args: &Args, context: &mut Context) -> Result<Status> {
    let invocation = args.resolve()?;
    let registry = Registry::open(&context.globals.registry)?;
    context.warn(registry.warnings());
    // A name that means nothing is an error before anything is fetched.
    let named = named(&invocation.models, &registry)?;
    let store = context.store()?;
    // A plan computes nothing.
    let engine = if invocation.plan_only { EngineKind::default() } else { invocation.engine(context)? };
    if invocation.dataset == GOLDEN {
        let models = chosen(&invocation, named, &registry, &store, context)?;
        golden::refuse(&invocation.image_options)?;
        return golden::verify(models, engine, &store, invocation.json, context);
    }
    let (settings, baseline) = invocation.settings()?;
    let entry = registry.dataset(&invocation.dataset)?;
    let labels = labels(entry, &named);
    let dataset = open(entry, &labels, invocation.data_dir.as_deref(), &settings, &store)?;
    dataset.notes.iter().for_each(|note| context.note(note));
    let models = chosen(&invocation, named, &registry, &store, context)?;
    if models.is_empty() {
        return Err(Error::usage("no model is left by `--where`"));
    }
    let options = SessionOptions {
        run: RunOptions {
            engine,
            threads: invocation.threads,
            batch: invocation.batch,
            shard: invocation.shard,
            home: Some(store.home()),
            force: invocation.force,
        },
        keep_going: invocation.keep_going,
        diagnose: invocation.diagnose,
        known: registry.models(),
        command: std::env::args().skip(1).collect(),
    };
    let candidates = models.into_iter().map(Candidate::from).collect();
    let mut session = Session::new(candidates, &dataset, labels, settings, baseline, &store, options);
    let plan = match &invocation.plan_out {
        Some(path) => Some(session.fix_plan(path)?),
        None if invocation.plan_only => Some(session.plan()?),
        None => None,
    };
    if let Some(plan) = plan.filter(|_| invocation.plan_only) {
        if invocation.json {
            context.print(plan.to_json())?;
        } else {
            context.print(verdict::plan(&plan, context.width, context.color))?;
        }
        return Ok(Status::Success);
    }
    let Finished { report, mut errors } = session.run(&Shown::new(&context.globals))?;
    let pictures = invocation.thumbnails && invocation.outputs.has_pictures();
    let pictures = if pictures { thumbnails(&dataset, &report) } else { Default::default() };
    invocation.outputs.write(&report, &pictures)?;
    if let Some(path) = &invocation.predictions {
        write_predictions(path, &report, invocation.force)?;
    }
    print(&report, invocation.json, context)?;
    context.flush()?;
    match errors.len() {
        0 => Ok(status(&report, invocation.strict)),
        1 => Err(errors.swap_remove(0).into()),
        _ => Err(Error::several(errors.into_iter().map(Error::from).collect())),
    }
}

/// The models that were named.
fn named<'a>(models: &'a Models, registry: &'a Registry) -> Result<Vec<Chosen<'a>>> {
    let Models::Named(names, weights) = models else { return Ok(Vec::new()) };
    names.iter().map(|name| Chosen::find(name, weights.as_deref(), registry)).collect()
}

/// Which models: those named, all that can be run, or those whose weights are here; of them, those that the query chooses.
fn chosen<'a>(
    invocation: &Invocation,
    named: Vec<Chosen<'a>>,
    registry: &'a Registry,
    store: &Store,
    context: &Context,
) -> Result<Vec<Chosen<'a>>> {
    let entries = match invocation.models {
        Models::Named(..) => Vec::new(),
        Models::All => {
            let models = model::buildable(registry);
            let left_out = registry.models().len() - models.len();
            if left_out > 0 {
                context.note(&format!("{left_out} models are left out: zoo cannot build their architecture"));
            }
            models
        }
        Models::Stored if context.globals.locked => locked(registry, store)?,
        Models::Stored => {
            let models = model::stored(registry, store)?;
            if models.is_empty() {
                return Err(NothingFetched.into());
            }
            models
        }
    };
    let mut models = named;
    models.extend(entries.into_iter().map(|entry| Chosen::Entry(entry, None)));
    if let Some(query) = &invocation.query {
        let levels = context.levels()?;
        let golden = |e: &Entry| Some(levels.of(e).name());
        let lookups = Lookups { macs, golden: &golden };
        models.retain(|model| match model {
            Chosen::Entry(entry, _) => query.chooses(&Row { entry, lookups }),
            // A file that was named is meant.
            Chosen::File(_) => true,
        });
    }
    Ok(models)
}

/// No model was named and no weights are here.
#[derive(Debug, thiserror::Error)]
#[error("no model is named, and no model's weights are here")]
struct NothingFetched;

impl crate::error::Classify for NothingFetched {
    fn class(&self) -> crate::error::Class {
        crate::error::Class::BadInput
    }

    fn hint(&self) -> Option<String> {
        Some("`zoo fetch NAME` brings some (`zoo list` has the names); or name one: `zoo verify NAME --dataset D`".into())
    }
}

/// What the dataset's classes are called: a dataset without classes of its own has those of the model.
fn labels(entry: &DatasetEntry, named: &[Chosen<'_>]) -> Arc<Labels> {
    let of_the_model = entry.population.is_none() && entry.mask.is_none() && entry.label_set.is_none();
    let own = named.iter().find_map(|model| match model {
        Chosen::File(spec) => spec.labels.clone(),
        Chosen::Entry(..) => None,
    });
    own.filter(|_| of_the_model).unwrap_or_else(Labels::imagenet)
}

/// The images of the run.
fn open(
    entry: &DatasetEntry,
    labels: &Labels,
    data_dir: Option<&Path>,
    settings: &Settings,
    store: &Store,
) -> Result<Dataset> {
    let paths = DatasetPaths::open(store.home())?;
    let places = SearchLocations { given: data_dir, paths: &paths, store };
    let classes = if labels.is_imagenet() {
        Classes::imagenet()
    } else {
        let class = |class| match labels.get(class) {
            Some(label) => (label.id.clone(), label.text.clone()),
            None => (None, class.to_string()),
        };
        Classes::new("the model's classes", (0..labels.len()).map(class))
    };
    let mut dataset = dataset::open(entry, &places, &classes)?;
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

/// Writes every image's guesses; of several models, each to a file of its own.
fn write_predictions(path: &Path, report: &Report, force: bool) -> Result<()> {
    for result in &report.results {
        let mut path = path.to_owned();
        if report.results.len() > 1 {
            let stem = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
            path.set_file_name(format!("{stem}.{}.csv", result.model.replace(['/', '\\'], "_")));
            refuse_existing(&path, force)?;
        }
        fs::write_atomic(&path, verdict::predictions(result).as_bytes())?;
    }
    Ok(())
}
