//! Features on disk: a `.safetensors` with a tensor a level, or a `.npy` with one level.
//!
//! In: what the levels are, how many images there are, and rows of values in any order. Out: the file, whole or not at
//! all. Rows are written where they belong as they come, so that no more than one of them is in memory. Called by
//! `features`.

use std::collections::{BTreeMap, HashMap};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use safetensors::tensor::{Dtype, Metadata, TensorInfo};

use super::npy;
use crate::error::{Class, Classify};
use crate::fs::{self, AtomicFile};
use crate::model::FeatureInfo;

/// Bytes of a float32.
const F32: usize = 4;

/// A file of features.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FeatureFormat {
    /// A tensor for each level.
    Safetensors,
    /// One level.
    Npy,
}

/// Why features cannot be written.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The extension says no format.
    #[error("`{}` ends in neither .safetensors nor .npy", .0.display())]
    Extension(PathBuf),
    /// More than one level for a file that holds one array.
    #[error("`{}` holds one array, and there are {levels} levels", path.display())]
    OneArray {
        /// The output.
        path: PathBuf,
        /// How many levels there are.
        levels: usize,
    },
    /// More than a file can hold.
    #[error("`{}`: {reason}", path.display())]
    TooLarge {
        /// The output.
        path: PathBuf,
        /// What the format allows.
        reason: String,
    },
    /// The disk.
    #[error(transparent)]
    File(#[from] fs::Error),
}

impl Classify for Error {
    fn class(&self) -> Class {
        match self {
            Error::Extension(_) | Error::OneArray { .. } => Class::Usage,
            Error::TooLarge { .. } => Class::BadInput,
            Error::File(e) => e.class(),
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Error::OneArray { .. } => {
                Some("choose one by `--out-indices`, or write a .safetensors file".into())
            }
            Error::TooLarge { .. } => Some("give fewer images at a time".into()),
            Error::Extension(_) => None,
            Error::File(e) => e.hint(),
        }
    }
}

impl FeatureFormat {
    /// What a file's extension says.
    ///
    /// # Errors
    /// [`Error::Extension`].
    pub fn of(path: &Path) -> Result<Self, Error> {
        match path.extension().and_then(|e| e.to_str()).map(str::to_ascii_lowercase).as_deref() {
            Some("safetensors") => Ok(FeatureFormat::Safetensors),
            Some("npy") => Ok(FeatureFormat::Npy),
            _ => Err(Error::Extension(path.to_owned())),
        }
    }
}

/// What a file's header says.
#[derive(Clone, Debug)]
struct Layout {
    format: FeatureFormat,
    levels: Vec<FeatureInfo>,
    metadata: BTreeMap<String, String>,
}

impl Layout {
    /// The header for so many images, and where each level's values begin.
    fn header(&self, path: &Path, images: &[String]) -> Result<(Vec<u8>, Vec<u64>), Error> {
        let shape = |level: &FeatureInfo| -> Vec<usize> {
            [images.len()].into_iter().chain(level.shape.iter().copied()).collect()
        };
        let too_large = |reason: String| Error::TooLarge { path: path.to_owned(), reason };
        if let (FeatureFormat::Npy, [level]) = (self.format, self.levels.as_slice()) {
            let header = npy::header(&shape(level));
            let at = header.len() as u64;
            return Ok((header, vec![at]));
        }
        let (mut at, mut starts, mut infos) = (0, Vec::new(), Vec::new());
        for level in &self.levels {
            let bytes = level.values().checked_mul(images.len()).and_then(|n| n.checked_mul(F32));
            let end = bytes.and_then(|n| n.checked_add(at));
            let end = end.ok_or_else(|| too_large("more bytes than can be counted".into()))?;
            let data_offsets = (at, end);
            infos.push((
                level.name.clone(),
                TensorInfo { dtype: Dtype::F32, shape: shape(level), data_offsets },
            ));
            starts.push(at as u64);
            at = end;
        }
        let mut metadata: HashMap<String, String> = self.metadata.clone().into_iter().collect();
        metadata.insert("images".into(), serde_json::to_string(images).unwrap_or_default());
        let all = Metadata::new(None, infos).map_err(|e| too_large(e.to_string()))?;
        let mut json = serde_json::to_value(&all).unwrap_or_default();
        if let Some(object) = json.as_object_mut() {
            let sorted: BTreeMap<_, _> = metadata.into_iter().collect();
            object.insert("__metadata__".into(), serde_json::json!(sorted));
        }
        let mut json = json.to_string().into_bytes();
        json.resize(json.len().next_multiple_of(8), b' ');
        if json.len() > MAX_HEADER {
            let reason =
                format!("the names of {} images make a header of {} bytes", images.len(), json.len());
            return Err(too_large(format!("{reason}, and safetensors allows {MAX_HEADER}")));
        }
        let mut header = (json.len() as u64).to_le_bytes().to_vec();
        header.append(&mut json);
        let first = header.len() as u64;
        Ok((header, starts.into_iter().map(|start| first + start).collect()))
    }
}

/// The longest header that safetensors' own readers take.
const MAX_HEADER: usize = 100_000_000;

/// A file of features that is being written.
#[derive(Debug)]
pub struct FeatureFile {
    layout: Layout,
    target: PathBuf,
    images: Vec<String>,
    file: AtomicFile,
    starts: Vec<u64>,
    written: Vec<bool>,
}

impl FeatureFile {
    /// Begins a file for the features of some images; nothing is at `path` before [`FeatureFile::commit`].
    ///
    /// # Errors
    /// [`Error::Extension`], [`Error::OneArray`], [`Error::TooLarge`], and what the disk says.
    pub fn create(
        path: &Path,
        levels: &[FeatureInfo],
        images: Vec<String>,
        metadata: BTreeMap<String, String>,
    ) -> Result<Self, Error> {
        let format = FeatureFormat::of(path)?;
        if format == FeatureFormat::Npy && levels.len() != 1 {
            return Err(Error::OneArray { path: path.to_owned(), levels: levels.len() });
        }
        let layout = Layout { format, levels: levels.to_vec(), metadata };
        let (header, starts) = layout.header(path, &images)?;
        let mut file = AtomicFile::create(path)?;
        file.file().write_all(&header).map_err(fs::at("write", path))?;
        let written = vec![false; images.len()];
        Ok(FeatureFile { layout, target: path.to_owned(), images, file, starts, written })
    }

    /// Writes an image's values, those of every level one after another.
    ///
    /// # Errors
    /// What the disk says.
    pub fn write(&mut self, image: usize, values: &[f32]) -> Result<(), Error> {
        let mut rest = values;
        for (level, start) in self.layout.levels.iter().zip(&self.starts) {
            let count = level.values().min(rest.len());
            let (own, others) = rest.split_at(count);
            let bytes: Vec<u8> = own.iter().flat_map(|value| value.to_le_bytes()).collect();
            let at = start + (image * level.values() * F32) as u64;
            let file = self.file.file();
            let done = file.seek(SeekFrom::Start(at)).and_then(|_| file.write_all(&bytes));
            done.map_err(fs::at("write", &self.target))?;
            rest = others;
        }
        if let Some(written) = self.written.get_mut(image) {
            *written = true;
        }
        Ok(())
    }

    /// Puts the file in place. Images without values are left out of it. Says how many are in it.
    ///
    /// # Errors
    /// What the disk says; a file that is there, without `overwrite`.
    pub fn commit(mut self, overwrite: bool) -> Result<usize, Error> {
        let kept: Vec<usize> =
            (0..self.images.len()).filter(|&i| self.written.get(i) == Some(&true)).collect();
        if kept.len() == self.images.len() {
            self.file.commit(overwrite)?;
            return Ok(kept.len());
        }
        let target = self.target.as_path();
        let names: Vec<String> = kept.iter().filter_map(|&i| self.images.get(i).cloned()).collect();
        let (header, _) = self.layout.header(target, &names)?;
        let mut to = AtomicFile::create(target)?;
        to.file().write_all(&header).map_err(fs::at("write", target))?;
        for (level, start) in self.layout.levels.iter().zip(&self.starts) {
            let mut row = vec![0; level.values() * F32];
            for &image in &kept {
                let from = self.file.file();
                let read = from.seek(SeekFrom::Start(start + (image * row.len()) as u64));
                read.and_then(|_| from.read_exact(&mut row)).map_err(fs::at("read", target))?;
                to.file().write_all(&row).map_err(fs::at("write", target))?;
            }
        }
        to.commit(overwrite)?;
        Ok(kept.len())
    }
}
