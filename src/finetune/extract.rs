//! The features of a dataset's images, from the record or from the network.
//!
//! In: a network of features, images, how many augmented views of each. Out: a [`Features`] of those to train on and one of
//! those to measure with, whose rows are in the order of the images whatever the threads. Called by `run`.

use std::collections::HashMap;
use std::ops::ControlFlow;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::augment::{Random, RandomCrop, for_crops};
use super::cache::{Cache, Key, row_id};
use super::data::{Data, ImageIndex};
use super::matrix::Features;
use super::{Error, OnBadImage, Result, TrainingProgress};
use crate::hash::Sha256;
use crate::image::{self, Preparer, Preprocess};
use crate::model::{Job, Network, Share, finite, run_images};

/// How features are extracted.
#[derive(Clone, Copy, Debug)]
pub(super) struct Extraction<'a> {
    pub(super) network: &'a Network,
    pub(super) preprocess: &'a Preprocess,
    pub(super) data: &'a Data,
    /// Augmented views of each image to train on, beside the image as it is evaluated.
    pub(super) augment: u64,
    pub(super) seed: u64,
    pub(super) on_bad_image: OnBadImage,
    pub(super) threads: usize,
    pub(super) batch: Option<usize>,
}

/// What was extracted.
#[derive(Debug, Default)]
pub(super) struct Extracted {
    pub(super) train: Features,
    pub(super) val: Features,
    /// Images that cannot be read, with the reason.
    pub(super) skipped: Vec<(String, String)>,
    /// Rows that were on record, and that were computed.
    pub(super) cached: usize,
    pub(super) computed: usize,
    /// A digest of the images and their classes.
    pub(super) digest: Option<Sha256>,
}

/// A row that is wanted: a view of an image.
#[derive(Clone, Copy, Debug)]
struct View {
    place: ImageIndex,
    /// The image's number among those of its part.
    image: usize,
    view: u64,
    train: bool,
}

/// Extracts what is not on record.
pub(super) fn extract(
    extraction: &Extraction<'_>,
    key: &Key<'_>,
    home: Option<&std::path::Path>,
    progress: &dyn TrainingProgress,
) -> Result<Extracted> {
    let data = extraction.data;
    let images: Vec<(ImageIndex, bool)> =
        data.train.iter().map(|p| (*p, true)).chain(data.val.iter().map(|p| (*p, false))).collect();
    let mut extracted = Extracted::default();
    let digests = digests(extraction, &images)?;
    let mut views = Vec::new();
    let mut lines = Vec::new();
    for (number, ((place, train), digest)) in images.iter().zip(&digests).enumerate() {
        let Ok(digest) = digest else { continue };
        let count = if *train { extraction.augment } else { 0 };
        views.extend((0..=count).map(|view| View { place: *place, image: number, view, train: *train }));
        lines.push(format!("{digest} {}", data.class(*place).unwrap_or_default()));
    }
    lines.sort_unstable();
    extracted.digest = Some(Sha256::of(lines.join("\n").as_bytes()));
    for ((place, _), digest) in images.iter().zip(&digests) {
        if let Err(reason) = digest {
            refuse(extraction, *place, reason, &mut extracted)?;
        }
    }

    let mut cache = Cache::open(home, key)?;
    let id =
        |view: &View| digests.get(view.image).and_then(|d| d.as_ref().ok()).map(|d| row_id(d, view.view));
    let mut wanted: HashMap<Sha256, Vec<usize>> = HashMap::new();
    for (at, view) in views.iter().enumerate() {
        if let Some(id) = id(view) {
            wanted.entry(id).or_default().push(at);
        }
    }
    let mut rows: Vec<Option<Vec<f32>>> = vec![None; views.len()];
    let mut cached = 0;
    cache.read(&wanted, |places, values| {
        for &place in places {
            if let Some(row) = rows.get_mut(place).filter(|row| row.is_none()) {
                *row = Some(values.clone());
                cached += 1;
            }
        }
    })?;
    extracted.cached = cached;

    // Of rows with the same bytes one is computed.
    let mut todo: Vec<usize> = wanted
        .values()
        .filter_map(|places| places.first().copied())
        .filter(|&at| rows.get(at).is_some_and(Option::is_none))
        .collect();
    todo.sort_unstable();
    let threads = extraction.threads.clamp(1, todo.len().max(1));
    let share = Share { preprocess: extraction.preprocess, todo: &todo, threads, batch: extraction.batch };
    let job = Views { extraction, views: &views, digests: &digests, crops: Mutex::default() };
    progress.extracting(cached, views.len());
    let mut failed: Option<Error> = None;
    let mut defects: HashMap<usize, String> = HashMap::new();
    let mut done = cached;
    if !todo.is_empty() {
        let runners = extraction.network.runners(threads)?;
        run_images(&job, share, runners, &|| progress.cancelled(), &mut |at, found| {
            let Some(view) = views.get(at) else { return ControlFlow::Continue(()) };
            match found {
                Ok(values) => {
                    let kept = id(view).map_or(Ok(()), |id| cache.add(&id, &values));
                    if let Err(error) = kept {
                        failed = Some(error);
                        return ControlFlow::Break(());
                    }
                    let same = id(view).and_then(|id| wanted.get(&id)).cloned().unwrap_or_default();
                    for place in same {
                        if let Some(row) = rows.get_mut(place) {
                            *row = Some(values.clone());
                        }
                        done += 1;
                    }
                    extracted.computed += 1;
                }
                Err(reason) => {
                    defects.insert(view.image, reason);
                    if extraction.on_bad_image == OnBadImage::Fail {
                        return ControlFlow::Break(());
                    }
                }
            }
            progress.extracted(done);
            ControlFlow::Continue(())
        })?;
    }
    cache.flush()?;
    if let Some(error) = failed {
        return Err(error);
    }
    let mut bad: Vec<usize> = defects.keys().copied().collect();
    bad.sort_unstable();
    for image in &bad {
        if let (Some((place, _)), Some(reason)) = (images.get(*image), defects.get(image)) {
            refuse(extraction, *place, reason, &mut extracted)?;
        }
    }
    let missing =
        views.iter().zip(&rows).any(|(view, row)| row.is_none() && !defects.contains_key(&view.image));
    if missing {
        return Err(Error::Interrupted { done, total: views.len() });
    }
    for (view, row) in views.iter().zip(rows) {
        let Some(row) = row.filter(|_| !defects.contains_key(&view.image)) else { continue };
        let features = if view.train { &mut extracted.train } else { &mut extracted.val };
        features.width = row.len();
        features.values.extend(row);
        features.classes.push(data.class(view.place).unwrap_or_default());
        features.images.push(view.image);
    }
    for (class, name) in data.classes.iter().enumerate() {
        if !extracted.train.classes.contains(&class) {
            return Err(Error::UnreadableClass { class: name.clone() });
        }
    }
    Ok(extracted)
}

/// An image that cannot be read: the end, or left out.
fn refuse(
    extraction: &Extraction<'_>,
    place: ImageIndex,
    reason: &str,
    extracted: &mut Extracted,
) -> Result<()> {
    let path = extraction.data.path(place);
    match extraction.on_bad_image {
        OnBadImage::Fail => Err(Error::BadImage { path, reason: reason.to_owned() }),
        OnBadImage::Skip => {
            extracted.skipped.push((path, reason.to_owned()));
            Ok(())
        }
    }
}

/// The digest of each image's bytes, or why there are none.
fn digests(
    extraction: &Extraction<'_>,
    images: &[(ImageIndex, bool)],
) -> Result<Vec<std::result::Result<Sha256, String>>> {
    let next = AtomicUsize::new(0);
    let work = || -> Result<Vec<(usize, std::result::Result<Sha256, String>)>> {
        let mut found = Vec::new();
        loop {
            let at = next.fetch_add(1, Ordering::Relaxed);
            let Some((place, _)) = images.get(at) else { return Ok(found) };
            found.push((at, bytes(extraction.data, *place)?.map(|bytes| Sha256::of(&bytes))));
        }
    };
    let parts: Vec<_> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..extraction.threads.max(1)).map(|_| scope.spawn(work)).collect();
        let joined = threads.into_iter().map(std::thread::ScopedJoinHandle::join);
        joined.map(|found| found.unwrap_or_else(|p| std::panic::resume_unwind(p))).collect()
    });
    let mut all: Vec<_> = images.iter().map(|_| Err(String::new())).collect();
    for part in parts {
        for (at, digest) in part? {
            if let Some(slot) = all.get_mut(at) {
                *slot = digest;
            }
        }
    }
    Ok(all)
}

fn bytes(data: &Data, place: ImageIndex) -> Result<std::result::Result<Vec<u8>, String>> {
    let Some(set) = data.sets.get(place.set) else { return Ok(Err("no such image".into())) };
    let Some(item) = set.items.get(place.item) else { return Ok(Err("no such image".into())) };
    Ok(set.bytes_or_defect(item)?)
}

/// The views as a job of the pipeline.
struct Views<'a> {
    extraction: &'a Extraction<'a>,
    views: &'a [View],
    digests: &'a [std::result::Result<Sha256, String>],
    /// Preparers of crops that no thread uses at the moment.
    crops: Mutex<Vec<Preparer>>,
}

impl Job for Views<'_> {
    type Found = std::result::Result<Vec<f32>, String>;
    type Error = Error;

    fn bytes(&self, place: usize) -> Result<std::result::Result<Vec<u8>, Self::Found>> {
        let Some(view) = self.views.get(place) else { return Ok(Err(Err("no such image".into()))) };
        Ok(bytes(self.extraction.data, view.place)?.map_err(Err))
    }

    fn prepare(
        &self,
        place: usize,
        preparer: &mut Preparer,
        bytes: &[u8],
        tensor: &mut [f32],
    ) -> std::result::Result<(), image::Error> {
        let view = self.views.get(place);
        let digest =
            view.and_then(|view| self.digests.get(view.image)).and_then(|digest| digest.as_ref().ok());
        let (Some(view), Some(digest)) = (view.filter(|view| view.view > 0), digest) else {
            return preparer.file(bytes, tensor);
        };
        let image = image::decode(bytes)?;
        let mut random = Random::of(self.extraction.seed, digest, view.view);
        let crop = RandomCrop::draw(&mut random, image.width(), image.height());
        let lock = || self.crops.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let idle = lock().pop();
        let mut crops = idle.unwrap_or_else(|| Preparer::new(&for_crops(self.extraction.preprocess)));
        let done = crop.prepare(&image, &mut crops, self.extraction.preprocess.size.width, tensor);
        lock().push(crops);
        done
    }

    fn unreadable(&self, _: usize, error: &image::Error) -> Self::Found {
        Err(error.to_string())
    }

    fn found(&self, place: usize, values: &[f32]) -> Result<Self::Found> {
        let image =
            || self.views.get(place).map_or_else(String::new, |view| self.extraction.data.path(view.place));
        Ok(Ok(finite(self.extraction.network, values, image)?))
    }
}
