//! Features on record, so that a second run begins to train at once and one that was stopped goes on.
//!
//! In: what the features are of ([`Key`]). Out: rows by digest of the image's bytes and the view of it. A file holds rows
//! of one key, each with its own digits; whatever was cut off or damaged is computed again. Called by `extract`.

use std::collections::HashMap;
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{BufReader, BufWriter, Read, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::Result;
use crate::fs;
use crate::hash::Sha256;
use crate::image::Preprocess;
use crate::model::EngineInfo;

/// Bytes of a digest, and of the digits that a row ends with.
const DIGEST_LEN: usize = 32;
const CHECK: usize = 8;

/// Between two hand-overs to the system.
const FLUSH_INTERVAL: Duration = Duration::from_secs(2);

/// What features depend on, beside the image.
#[derive(Clone, Debug)]
pub(super) struct Key<'a> {
    pub(super) arch: &'a str,
    /// Of the weights.
    pub(super) tensors_sha256: Sha256,
    /// Which map: `pool`, or the name of the layer before the last stage.
    pub(super) level: &'a str,
    pub(super) preprocess: &'a Preprocess,
    pub(super) engine: EngineInfo,
    /// Of the augmentations.
    pub(super) seed: u64,
    /// Values of a row.
    pub(super) width: usize,
}

impl Key<'_> {
    fn text(&self) -> String {
        let Key { arch, tensors_sha256, level, preprocess, engine, seed, width } = self;
        format!("{arch} {tensors_sha256} {level} {preprocess:?} {engine:?} augmented by seed {seed} {width}")
    }
}

/// The digest of an image and a view of it: 0 is the image as it is evaluated.
pub(super) fn row_id(image: &Sha256, view: u64) -> Sha256 {
    Sha256::of(format!("{image}/{view}").as_bytes())
}

/// A file of rows.
pub(super) struct Cache {
    path: PathBuf,
    /// None where another process writes it, or nothing is kept.
    file: Option<BufWriter<File>>,
    flushed: Instant,
    width: usize,
}

impl Cache {
    /// Opens the file of a key below a store's home; without a home nothing is kept.
    pub(super) fn open(home: Option<&Path>, key: &Key<'_>) -> Result<Self> {
        let (flushed, width) = (Instant::now(), key.width);
        let Some(home) = home else {
            return Ok(Cache { path: PathBuf::new(), file: None, flushed, width });
        };
        let folder = home.join("features");
        fs::create_dir_all(&folder)?;
        let name = Sha256::of(key.text().as_bytes()).to_string();
        let path = folder.join(format!("{}.rows", name.get(..32).unwrap_or(&name)));
        let mut options = OpenOptions::new();
        let file = options.create(true).append(true).read(true).open(&path).map_err(fs::at("open", &path))?;
        let file = match file.try_lock() {
            Ok(()) | Err(TryLockError::Error(_)) => {
                // A row that was cut off would push the next one out of step.
                let row = (DIGEST_LEN + 4 * width + CHECK) as u64;
                let len = file.metadata().map_err(fs::at("look at", &path))?.len();
                if len % row != 0 {
                    file.set_len(len - len % row).map_err(fs::at("write", &path))?;
                }
                Some(BufWriter::new(file))
            }
            Err(TryLockError::WouldBlock) => None,
        };
        Ok(Cache { path, file, flushed, width })
    }

    /// Hands over the rows that are wanted and on record: each with its place among the wanted.
    pub(super) fn read(
        &self,
        wanted: &HashMap<Sha256, Vec<usize>>,
        mut take: impl FnMut(&[usize], Vec<f32>),
    ) -> Result<()> {
        if self.path.as_os_str().is_empty() {
            return Ok(());
        }
        let mut reader = BufReader::new(fs::open(&self.path)?);
        let mut row = vec![0; DIGEST_LEN + 4 * self.width + CHECK];
        while reader.read_exact(&mut row).is_ok() {
            let (body, check) = row.split_at(row.len() - CHECK);
            let (digest, values) = body.split_at(DIGEST_LEN);
            let Ok(digest) = <[u8; DIGEST_LEN]>::try_from(digest) else { continue };
            let Some(places) = wanted.get(&Sha256(digest)) else { continue };
            if Sha256::of(body).0.get(..CHECK) == Some(check) {
                let (values, _) = values.as_chunks::<4>();
                take(places, values.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect());
            }
        }
        Ok(())
    }

    /// Writes a row down.
    pub(super) fn add(&mut self, id: &Sha256, values: &[f32]) -> Result<()> {
        let Some(file) = &mut self.file else { return Ok(()) };
        let mut row = id.0.to_vec();
        row.extend(values.iter().flat_map(|value| value.to_le_bytes()));
        let digits = Sha256::of(&row);
        row.extend_from_slice(digits.0.get(..CHECK).unwrap_or_default());
        file.write_all(&row).map_err(fs::at("write", &self.path))?;
        if self.flushed.elapsed() >= FLUSH_INTERVAL {
            self.flush()?;
        }
        Ok(())
    }

    /// Hands what was written to the system.
    pub(super) fn flush(&mut self) -> Result<()> {
        self.flushed = Instant::now();
        let Some(file) = &mut self.file else { return Ok(()) };
        Ok(file.flush().map_err(fs::at("write", &self.path))?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::registry::{CropMode, ImageSize, Interpolation};

    #[test]
    fn rows_are_kept_and_damaged_ones_are_not() {
        let home = tempfile::tempdir().unwrap();
        let preprocess = Preprocess {
            size: ImageSize { height: 8, width: 8 },
            crop_pct: 1.0,
            crop_mode: CropMode::Center,
            interpolation: Interpolation::Bilinear,
            mean: [0.0; 3],
            std: [1.0; 3],
        };
        let key = Key {
            arch: "net",
            tensors_sha256: Sha256::of(b"w"),
            level: "pool",
            preprocess: &preprocess,
            engine: EngineInfo { name: "plan", isa: "portable", algorithms_version: 1 },
            seed: 0,
            width: 3,
        };
        let ids: Vec<Sha256> = (0..3).map(|view| row_id(&Sha256::of(b"image"), view)).collect();
        let read = |key: &Key<'_>| {
            let cache = Cache::open(Some(home.path()), key).unwrap();
            let wanted = ids.iter().enumerate().map(|(at, id)| (*id, vec![at])).collect();
            let mut found = vec![None; 3];
            cache.read(&wanted, |places, values| found[places[0]] = Some(values)).unwrap();
            found
        };
        let mut cache = Cache::open(Some(home.path()), &key).unwrap();
        cache.add(&ids[0], &[1.0, 2.0, 3.0]).unwrap();
        cache.add(&ids[1], &[4.0, 5.0, 6.0]).unwrap();
        cache.flush().unwrap();
        let path = cache.path.clone();
        drop(cache);
        assert_eq!(read(&key), [Some(vec![1.0, 2.0, 3.0]), Some(vec![4.0, 5.0, 6.0]), None]);
        assert_eq!(read(&Key { seed: 1, ..key.clone() }), [None, None, None]);
        // One value changed, the second row cut off: neither is taken, and what comes next is in step.
        let mut bytes = fs::read(&path, 1 << 20).unwrap();
        bytes[DIGEST_LEN] ^= 1;
        bytes.pop();
        fs::write_atomic(&path, &bytes).unwrap();
        let mut cache = Cache::open(Some(home.path()), &key).unwrap();
        cache.add(&ids[2], &[7.0, 8.0, 9.0]).unwrap();
        drop(cache);
        assert_eq!(read(&key), [None, None, Some(vec![7.0, 8.0, 9.0])]);
        assert!(Cache::open(None, &key).unwrap().file.is_none());
    }
}
