//! One model over one dataset: what is on record is taken from there, the rest is measured, and the rows are
//! judged. The result is the same whatever the threads, the batch, the order things finished in, and however
//! often the run was broken off.
//!
//! In: a [`Prepared`] model, a [`Dataset`], [`Settings`]. Out: an [`Outcome`]. Called by `zoo verify`.

use std::collections::HashMap;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use super::claim::Claimed;
use super::journal::{Journal, Key, Known};
use super::judge::{Counts, Evaluation};
use super::measure::{Measured, Measuring, measure};
use super::report::{ImagesOf, ModelResult, Row, Skipped, Status, WeightsOf};
use super::settings::{OnBadImage, Settings, Shard};
use super::stats::{Interval, Verdict, sequence};
use super::{Error, Result};
use crate::dataset::{self, Dataset};
use crate::hash::Sha256;
use crate::model::{EngineInfo, EngineKind, Labels, Prepared, ThreadTime};
use crate::registry::Relation;
pub use crate::store::NullProgress;

/// A dataset with its digests, which are the same for every model that is run over it.
#[derive(Debug)]
pub struct Images<'a> {
    dataset: &'a Dataset,
    labels: Arc<Labels>,
    labels_sha256: Sha256,
    fingerprint: Sha256,
}

impl<'a> Images<'a> {
    /// Looks at every image's label, size and time of change; `labels` say what the class indices mean.
    ///
    /// # Errors
    /// A file that is gone.
    pub fn of(dataset: &'a Dataset, labels: Arc<Labels>) -> Result<Self> {
        let fingerprint = dataset.fingerprint()?;
        Ok(Images { dataset, labels, labels_sha256: dataset.labels_sha256(), fingerprint })
    }
}

/// How a run is carried out: nothing here decides its result.
#[derive(Clone, Copy, Debug)]
pub struct RunOptions<'a> {
    /// What computes.
    pub engine: EngineKind,
    /// Threads that prepare images and compute.
    pub threads: usize,
    /// Images that are prepared and computed together; none leaves it to the engine.
    pub batch: Option<usize>,
    /// Only this part.
    pub shard: Option<Shard>,
    /// Where records are kept; none keeps none.
    pub home: Option<&'a Path>,
    /// Measure again what is on record.
    pub force: bool,
}

/// Follows a run while it runs.
pub trait RunProgress {
    /// A model's images begin: `done` of `total` are on record.
    fn started(&self, model: &str, done: usize, total: usize);
    /// Where it stands.
    fn advanced(&self, done: usize, counts: Counts, interval: Interval);
    /// It is over, one way or the other.
    fn finished(&self);
    /// Something worth a line.
    fn note(&self, text: &str);
    /// Whether the user wants it to stop.
    fn cancelled(&self) -> bool {
        false
    }
}

impl RunProgress for NullProgress {
    fn started(&self, _: &str, _: usize, _: usize) {}
    fn advanced(&self, _: usize, _: Counts, _: Interval) {}
    fn finished(&self) {}
    fn note(&self, _: &str) {}
}

/// A model's result, and what it took.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// What was found.
    pub result: ModelResult,
    /// Images that were measured now.
    pub computed: usize,
    /// How long that took.
    pub took: Duration,
    /// Where each thread's time went.
    pub threads: Vec<ThreadTime>,
    /// Where nothing had to be measured: when the last of it was.
    pub unchanged_since: Option<SystemTime>,
}

/// Between two reports of progress.
const PROGRESS_INTERVAL: Duration = Duration::from_millis(100);

/// Runs a model over a dataset.
///
/// # Errors
/// A dataset of other classes, an unreadable image under [`OnBadImage::Fail`], an output that is not a number,
/// [`Error::Interrupted`], and what reading images and writing records brings.
pub fn run(
    model: Prepared,
    images: &Images<'_>,
    settings: &Settings,
    options: RunOptions<'_>,
    progress: &dyn RunProgress,
) -> Result<Outcome> {
    let dataset = images.dataset;
    if dataset.classes != model.labels().len() {
        let (name, there, expected) = (dataset.name.clone(), dataset.classes, model.labels().len());
        return Err(dataset::Error::WrongClasses { name, there, expected }.into());
    }
    if images.labels != *model.labels() {
        let (dataset, model) = (dataset.name.clone(), model.spec().name.clone());
        return Err(Error::OtherClasses { dataset, model });
    }
    let order = order(dataset, settings, options.shard);
    let engine = options.engine.info(model.graph())?;
    let evaluation = evaluation(&model, images, settings, options, engine)?;
    let (journal, known) = match options.home {
        None => (None, Known::default()),
        Some(home) => {
            let key = Key {
                arch: &model.spec().arch,
                tensors_sha256: evaluation.weights.tensors_sha256,
                dataset: &dataset.name,
                images: images.fingerprint,
                mask: dataset.mask.as_deref(),
                preprocess: model.preprocess(),
                engine: engine.name,
                isa: engine.isa,
                algorithms_version: engine.algorithms_version,
            };
            let (journal, known) = Journal::open(home, &key, options.shard, options.force)?;
            if journal.is_taken() {
                progress
                    .note("another zoo measures the same images with this model; this one keeps no record");
            }
            (Some(journal), known)
        }
    };
    let mut state = State::new(dataset, settings, &evaluation, &order, known.guesses, journal);
    let Completed { computed, took, threads } = state.complete(model, options, progress)?;
    let (rows, skipped) = state.rows()?;
    let unchanged_since = if computed == 0 { known.since } else { None };
    Ok(Outcome { result: evaluation.judge(rows, skipped)?, computed, took, threads, unchanged_since })
}

/// The places of the images of this run, or of its shard, in the order they are measured in.
fn order(dataset: &Dataset, settings: &Settings, shard: Option<Shard>) -> Vec<usize> {
    let mut order: Vec<usize> = (0..dataset.items.len()).collect();
    // Reading in the order of ids is kinder to disks; where the order matters it is the seed's.
    if settings.until_decided || shard.is_some() {
        order.sort_by_cached_key(|&at| {
            dataset.items.get(at).map(|i| (dataset::order(settings.seed, &dataset.name, &i.id), i.id.clone()))
        });
    }
    let Some(shard) = shard else { return order };
    order.into_iter().enumerate().filter(|(place, _)| shard.has(*place)).map(|(_, at)| at).collect()
}

fn evaluation(
    model: &Prepared,
    images: &Images<'_>,
    settings: &Settings,
    options: RunOptions<'_>,
    engine: EngineInfo,
) -> Result<Evaluation> {
    let dataset = images.dataset;
    let provenance = model.provenance();
    let relation = match (dataset.relation, options.shard, settings.until_decided) {
        (Relation::Census, Some(shard), _) if shard.of > 1 => Relation::Random,
        // It may stop before it has seen all.
        (Relation::Census, _, true) => Relation::Random,
        (relation, ..) => relation,
    };
    let labels = model.labels();
    let class_names =
        if labels.is_imagenet() { Vec::new() } else { labels.iter().map(|l| l.text.clone()).collect() };
    Ok(Evaluation {
        model: model.spec().name.clone(),
        weights: WeightsOf {
            file_sha256: provenance.file_sha256,
            tensors_sha256: provenance.tensors_sha256,
            page_file: provenance.page_file.remark().map(str::to_owned),
        },
        dataset: ImagesOf {
            name: dataset.name.clone(),
            relation: dataset.relation,
            population: dataset.population,
            images: dataset.items.len() as u64,
            labels_sha256: images.labels_sha256,
        },
        relation,
        claimed: Claimed::of(model.spec(), dataset, settings.tolerance)?,
        level: settings.level,
        on_bad_image: settings.on_bad_image,
        until_decided: settings.until_decided,
        engine: engine.name.to_owned(),
        isa: engine.isa.to_owned(),
        algorithms_version: engine.algorithms_version,
        class_names,
    })
}

/// What was measured now, and where the time went.
#[derive(Default)]
struct Completed {
    computed: usize,
    took: Duration,
    threads: Vec<ThreadTime>,
}

/// A run under way: what is known of each image, and how far the order is known without a gap.
struct State<'a> {
    dataset: &'a Dataset,
    settings: &'a Settings,
    evaluation: &'a Evaluation,
    order: &'a [usize],
    journal: Option<Journal>,
    known: HashMap<String, Measured>,
    counts: Counts,
    /// Images at the head of the order that are known.
    head: usize,
    /// Counts at the head: what a look of `--until decided` sees.
    at_head: Counts,
    /// Where the order ends: all of it, or where it was decided.
    end: usize,
}

impl<'a> State<'a> {
    fn new(
        dataset: &'a Dataset,
        settings: &'a Settings,
        evaluation: &'a Evaluation,
        order: &'a [usize],
        mut known: HashMap<String, Measured>,
        journal: Option<Journal>,
    ) -> Self {
        let end = order.len();
        // One whose label is missing is bad whatever is on record of its pixels.
        for item in order.iter().filter_map(|&place| dataset.items.get(place)) {
            if let Some(reason) = &item.defect {
                known.insert(item.id.clone(), Measured::Absent(reason.clone()));
            }
        }
        let (counts, at_head) = (Counts::default(), Counts::default());
        let mut state =
            State { dataset, settings, evaluation, order, journal, known, counts, head: 0, at_head, end };
        for &place in order {
            if let Some(row) = state.row(place) {
                state.counts.add(&row, settings.on_bad_image);
            }
        }
        state.advance();
        state
    }

    /// An image's row, where it is known.
    fn row(&self, place: usize) -> Option<Row> {
        let item = self.dataset.items.get(place)?;
        let (id, labels) = (item.id.clone(), item.labels.clone());
        let none =
            |status| Row { id: id.clone(), labels: labels.clone(), classes: vec![], probs: vec![], status };
        if item.is_unlabelled() {
            return Some(none(Status::Unlabelled));
        }
        Some(match self.known.get(&item.id)? {
            Measured::Unreadable(_) | Measured::Absent(_) => none(Status::Unreadable),
            Measured::Guessed { classes, probs } => {
                let (classes, probs) = (classes.clone(), probs.clone());
                Row { id, labels, classes, probs, status: Status::Ok }
            }
        })
    }

    /// Whether nothing has to be measured for an image.
    fn is_known(&self, place: usize) -> bool {
        let item = self.dataset.items.get(place);
        item.is_none_or(|i| i.is_unlabelled() || self.known.contains_key(&i.id))
    }

    /// Moves the head on, and stops at the first look that decides.
    fn advance(&mut self) {
        while self.head < self.end {
            let Some(row) = self.order.get(self.head).and_then(|&place| self.row(place)) else { return };
            self.at_head.add(&row, self.settings.on_bad_image);
            self.head += 1;
            let looks =
                self.settings.until_decided && (self.head as u64).is_multiple_of(sequence::LOOK_INTERVAL);
            if looks && self.evaluation.verdict_so_far(self.at_head) != Verdict::Consistent {
                self.end = self.head;
            }
        }
    }

    /// The first unreadable image of the order, where that is an error.
    fn refused(&self) -> Option<Error> {
        if self.settings.on_bad_image != OnBadImage::Fail {
            return None;
        }
        self.order.iter().take(self.end).find_map(|&place| {
            let item = self.dataset.items.get(place)?;
            let reason = self.known.get(&item.id)?.defect()?;
            Some(Error::BadImage { path: item.path.clone(), reason: reason.to_owned() })
        })
    }

    /// Measures what is not known.
    fn complete(
        &mut self,
        model: Prepared,
        options: RunOptions<'_>,
        progress: &dyn RunProgress,
    ) -> Result<Completed> {
        let total = self.end;
        let todo: Vec<usize> =
            self.order.iter().take(total).copied().filter(|&place| !self.is_known(place)).collect();
        if let Some(error) = self.refused() {
            return Err(error);
        }
        if todo.is_empty() {
            return Ok(Completed::default());
        }
        let name = model.spec().name.clone();
        let model = model.start(options.engine)?;
        let runners = model.runners(options.threads.clamp(1, todo.len()))?;
        let job = Measuring {
            model: &name,
            preprocess: model.preprocess(),
            dataset: self.dataset,
            todo: &todo,
            threads: options.threads.clamp(1, todo.len()),
            batch: options.batch,
        };
        let on_record = total - todo.len();
        progress.started(&name, on_record, total);
        let (begun, mut computed, mut reported) = (Instant::now(), 0, Instant::now());
        let mut failed = None;
        let measured = measure(&job, runners, &|| progress.cancelled(), &mut |place, found| {
            computed += 1;
            let fatal = found.defect().is_some() && self.settings.on_bad_image == OnBadImage::Fail;
            if let Err(error) = self.take(place, found) {
                failed = Some(error);
                return ControlFlow::Break(());
            }
            if reported.elapsed() >= PROGRESS_INTERVAL {
                reported = Instant::now();
                progress.advanced(on_record + computed, self.counts, self.evaluation.interval(self.counts));
            }
            if fatal || self.head == self.end { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        });
        let took = begun.elapsed();
        progress.finished();
        let flushed = self.journal.as_mut().map_or(Ok(()), Journal::flush);
        if let Some(error) = self.refused() {
            return Err(error);
        }
        let threads = measured?;
        failed.map_or(flushed, Err)?;
        if self.head < self.end {
            let done = self.order.iter().filter(|&&place| self.is_known(place)).count();
            return Err(Error::Interrupted { model: name, done, total });
        }
        Ok(Completed { computed, took, threads })
    }

    /// Takes a measurement in and writes it down.
    fn take(&mut self, place: usize, found: Measured) -> Result<()> {
        let Some(item) = self.dataset.items.get(place) else { return Ok(()) };
        if let Some(journal) = &mut self.journal {
            journal.add(&item.id, &found)?;
        }
        self.known.insert(item.id.clone(), found);
        if let Some(row) = self.row(place) {
            self.counts.add(&row, self.settings.on_bad_image);
        }
        self.advance();
        Ok(())
    }

    /// The rows of the run, and what could not be read.
    fn rows(&self) -> Result<(Vec<Row>, Vec<Skipped>)> {
        let mut skipped = Vec::new();
        let mut rows = Vec::with_capacity(self.end);
        for &place in self.order.iter().take(self.end) {
            let (Some(item), Some(row)) = (self.dataset.items.get(place), self.row(place)) else { continue };
            let found = self.known.get(&item.id).filter(|_| !item.is_unlabelled());
            if let Some(reason) = found.and_then(Measured::defect) {
                skipped.push(Skipped { id: item.id.clone(), reason: reason.to_owned() });
            }
            rows.push(row);
        }
        skipped.sort_by(|a, b| a.id.as_bytes().cmp(b.id.as_bytes()));
        Ok((rows, skipped))
    }
}
