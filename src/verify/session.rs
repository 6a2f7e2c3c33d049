//! A verification as a whole: models, a dataset, settings, options in; a report out. What `zoo verify` does, for any
//! program.
//!
//! In: [`Candidate`]s (models, or why they are none), a [`Dataset`], [`Settings`], [`SessionOptions`]. Out: a [`RunPlan`]
//! beforehand where that is wanted, and a [`Finished`] session. Called by `zoo verify`.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use super::diagnose::{Diagnosis, DiagnosisInput, Effort, diagnose};
use super::gates::{Baseline, board};
use super::plan::RunPlan;
use super::report::{Failed, Host, ModelResult, ModelTiming, Report, Run, SCHEMA, ThreadTiming, Timing};
use super::run::{Images, Outcome, RunOptions, RunProgress, run};
use super::settings::Settings;
use super::stats::Verdict;
use super::{Claimed, Error, Result};
use crate::dataset::Dataset;
use crate::error::{Class, Classify};
use crate::model::{self, Labels, Loader, ModelSpec, Prepared, ThreadTime};
use crate::registry::Entry;
use crate::store::Store;

/// A model that is to be verified: what it is, or why that cannot be said.
#[derive(Debug)]
pub struct Candidate {
    /// How reports and messages call it.
    pub name: String,
    /// What it is.
    pub spec: std::result::Result<ModelSpec, model::Error>,
}

impl From<ModelSpec> for Candidate {
    fn from(spec: ModelSpec) -> Self {
        Candidate { name: spec.name.clone(), spec: Ok(spec) }
    }
}

impl From<&Entry> for Candidate {
    fn from(entry: &Entry) -> Self {
        Candidate { name: entry.name.clone(), spec: ModelSpec::of(entry) }
    }
}

/// How a session is carried out: nothing here decides a result.
#[derive(Clone, Debug)]
pub struct SessionOptions<'a> {
    /// How each model is run.
    pub run: RunOptions<'a>,
    /// Go on with the other models when one cannot be judged.
    pub keep_going: bool,
    /// Look for the reason of every number, and not only of those that contradict a claim.
    pub diagnose: bool,
    /// Entries that a diagnosis may recognise weights by.
    pub known: &'a [Entry],
    /// What was typed, for the report.
    pub command: Vec<String>,
}

/// What is verified, and how.
pub struct Session<'a> {
    models: Vec<(String, Loading)>,
    dataset: &'a Dataset,
    labels: Arc<Labels>,
    settings: Settings,
    baseline: Option<Baseline>,
    store: &'a Store,
    options: SessionOptions<'a>,
}

/// How far a model is loaded: after a plan, its weights are hashed and need not be again.
enum Loading {
    Spec(std::result::Result<Box<ModelSpec>, model::Error>),
    Prepared(Box<Prepared>),
}

impl Loading {
    fn prepare(self, loader: &Loader<'_>) -> Result<Prepared> {
        match self {
            Loading::Spec(spec) => Ok(loader.prepare(&*spec?)?),
            Loading::Prepared(prepared) => Ok(*prepared),
        }
    }
}

/// What came of a session.
#[derive(Debug)]
pub struct Finished {
    /// What was measured and judged.
    pub report: Report,
    /// Why models could not be judged, in the order of [`Report::failed`].
    pub errors: Vec<Error>,
}

impl<'a> Session<'a> {
    /// A session that has not begun. `labels` say what the dataset's class indices mean; a baseline is what the gates of
    /// the settings measure drops from.
    pub fn new(
        models: Vec<Candidate>,
        dataset: &'a Dataset,
        labels: Arc<Labels>,
        settings: Settings,
        baseline: Option<Baseline>,
        store: &'a Store,
        options: SessionOptions<'a>,
    ) -> Self {
        let models = models.into_iter().map(|c| (c.name, Loading::Spec(c.spec.map(Box::new)))).collect();
        Session { models, dataset, labels, settings, baseline, store, options }
    }

    fn loader(&self) -> Loader<'a> {
        Loader { store: self.store, engine: self.options.run.engine }
    }

    /// What the session will be able to tell. Weights are fetched for it; nothing is computed.
    ///
    /// # Errors
    /// A model that cannot be loaded, a claim that cannot be compared.
    pub fn plan(&mut self) -> Result<RunPlan> {
        let loader = self.loader();
        let (mut claims, mut prepared) = (Vec::new(), Vec::new());
        for (name, loading) in std::mem::take(&mut self.models) {
            let model = loading.prepare(&loader)?;
            let claimed = Claimed::of(model.spec(), self.dataset, self.settings.tolerance)?;
            claims.push((name.clone(), model.provenance().tensors_sha256, claimed));
            prepared.push((name, Loading::Prepared(Box::new(model))));
        }
        self.models = prepared;
        Ok(RunPlan::new(&self.settings, self.dataset, claims))
    }

    /// Fixes the bar: the plan is written where there is none, and must be the one that is there. The report cites it.
    ///
    /// # Errors
    /// As [`Session::plan`] and [`RunPlan::fix`].
    pub fn fix_plan(&mut self, path: &Path) -> Result<RunPlan> {
        let plan = self.plan()?;
        self.settings.plan_sha256 = Some(plan.fix(path)?);
        Ok(plan)
    }

    /// Runs and judges every model, then checks gates and looks for reasons.
    ///
    /// # Errors
    /// What a model cannot be judged for, unless the session keeps going; [`Error::Interrupted`] always.
    pub fn run(mut self, progress: &dyn RunProgress) -> Result<Finished> {
        let (begun, started) = (Instant::now(), SystemTime::now());
        let loader = self.loader();
        let images = Images::of(self.dataset, Arc::clone(&self.labels))?;
        let (mut results, mut timings, mut failed, mut errors) = (vec![], vec![], vec![], vec![]);
        // Specs of what was run, for diagnoses: a model is loaded again for it.
        let mut specs = Vec::new();
        for (name, loading) in std::mem::take(&mut self.models) {
            let outcome = loading.prepare(&loader).and_then(|prepared| {
                let spec = prepared.spec().clone();
                Ok((spec, run(prepared, &images, &self.settings, self.options.run, progress)?))
            });
            match outcome {
                Ok((spec, outcome)) => {
                    timings.push(timing(&outcome));
                    results.push(outcome.result);
                    specs.push(spec);
                }
                Err(error) if self.options.keep_going && error.class() != Class::Interrupted => {
                    progress.note(&format!("{name}: {error}"));
                    let exit_code = error.class().exit_code();
                    failed.push(Failed { model: name, error: error.to_string(), exit_code });
                    errors.push(error);
                }
                Err(error) => return Err(error),
            }
        }
        // A part is judged when it is merged.
        let whole = self.options.run.shard.is_none();
        if whole {
            board(&mut results, self.settings.until_decided);
            let alone = results.len() == 1;
            for result in &mut results {
                result.gates = self.settings.gates.check(result, self.baseline.as_ref(), alone)?;
            }
        }
        let diagnoses = if whole { self.diagnoses(&specs, &results, progress)? } else { Vec::new() };
        let timing =
            Timing { started: utc(started), seconds: begun.elapsed().as_secs_f64(), models: timings };
        let report = Report {
            schema: SCHEMA.to_owned(),
            run: Run::of(&self.settings, &self.dataset.name),
            results,
            failed,
            diagnoses,
            timing,
            host: self.host(),
        };
        Ok(Finished { report, errors })
    }

    /// Why numbers do not match: of contradicted models, or of all where that is asked.
    fn diagnoses(
        &self,
        specs: &[ModelSpec],
        results: &[ModelResult],
        progress: &dyn RunProgress,
    ) -> Result<Vec<Diagnosis>> {
        let asked = |result: &ModelResult| self.options.diagnose || result.verdict == Verdict::Contradicted;
        let mut found = Vec::new();
        for (spec, result) in specs.iter().zip(results).filter(|(_, result)| asked(result)) {
            progress.note(&format!("{}: looking for the reason", spec.name));
            let images = result.per_image.len();
            let rows = result.per_image.iter();
            let guesses: Vec<_> =
                rows.filter_map(|row| Some((*row.labels.first()?, *row.classes.first()?))).collect();
            found.push(diagnose(&DiagnosisInput {
                loader: self.loader(),
                spec,
                dataset: self.dataset,
                guesses: &guesses,
                effort: if self.options.diagnose { Effort::Whole } else { Effort::AsRun { images } },
                known: self.options.known,
                seed: self.settings.seed,
                threads: self.options.run.threads,
            })?);
        }
        Ok(found)
    }

    fn host(&self) -> Host {
        let run = &self.options.run;
        Host {
            command: self.options.command.clone(),
            threads: run.threads,
            batch: run.batch.unwrap_or(1),
            shard: run.shard,
            layout: self.dataset.layout.to_owned(),
            engine: run.engine.name().to_owned(),
            merged_isas: Vec::new(),
        }
    }
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
        threads: outcome.threads.iter().map(thread_timing).collect(),
    }
}

/// In seconds, to the millisecond.
fn thread_timing(time: &ThreadTime) -> ThreadTiming {
    let seconds = |time: Duration| (time.as_secs_f64() * 1e3).round() / 1e3;
    ThreadTiming {
        read: seconds(time.read),
        decode: seconds(time.decode),
        resize: seconds(time.resize),
        network: seconds(time.network),
        waiting: seconds(time.waiting),
    }
}

/// `2026-11-25T10:00:00Z`.
fn utc(time: SystemTime) -> String {
    jiff::Timestamp::try_from(time)
        .map_or_else(|_| String::new(), |t| t.strftime("%Y-%m-%dT%H:%M:%SZ").to_string())
}
