//! Which class each of ImageNet's validation images has, from what people have beside them: the devkit
//! (packed or unpacked), or a text of one synset a line. Called by the flat and the tar layouts.
//!
//! The devkit's `ILSVRC2012_validation_ground_truth.txt` has a number from 1 to 1000 a line, image by image.
//! These are ILSVRC's own numbers, *not* positions among the sorted synsets: `meta.mat`, in the same devkit,
//! says which synset each is. A text of numbers without it is refused rather than guessed at.

use std::collections::HashMap;
use std::io::Read;
use std::path::{Path, PathBuf};

use super::matlab;
use crate::dataset::error::{Error, Result};
use crate::dataset::label::{RawLabel, clean, is_synset, validation_number};

const DEVKIT: &str = "ILSVRC2012_devkit_t12";
const GROUND_TRUTH: &str = "ILSVRC2012_validation_ground_truth.txt";

/// Texts of a synset a line, by the names they are passed around under: TensorFlow Datasets', TensorFlow's.
const SYNSET_TEXTS: [&str; 2] = ["validation_labels.txt", "imagenet_2012_validation_synset_labels.txt"];

/// Images in the validation set.
const VALIDATION_IMAGES: usize = 50_000;

/// The largest of these files that is read, unpacked; the real ones are under 3 MB.
const MAX_FILE: u64 = 64 << 20;

/// Whether a file is a devkit, whose tar holds no images.
pub(super) fn is_devkit(path: &Path) -> bool {
    path.file_name().is_some_and(|name| name.to_string_lossy().to_ascii_lowercase().contains("devkit"))
}

/// The label of each image, by its number less one.
pub(super) struct Truth {
    synsets: Vec<String>,
    path: String,
}

impl Truth {
    /// Looks in a folder and those above it, up to the one above `top`. `None` where there is nothing.
    pub(super) fn near(folder: &Path, top: &Path) -> Result<Option<Self>> {
        let last = top.parent();
        let above = folder.ancestors().skip_while(|f| f.as_os_str().is_empty());
        let mut folders: Vec<&Path> = Vec::new();
        for folder in above {
            folders.push(folder);
            if Some(folder) == last {
                break;
            }
        }
        if folders.last().copied() != last {
            // It is not below `top`: only what is next to it.
            folders.truncate(2);
        }
        for folder in folders {
            let packed = folder.join(format!("{DEVKIT}.tar.gz"));
            if packed.is_file() {
                return packed_devkit(&packed).map(Some);
            }
            for data in [folder.join(DEVKIT).join("data"), folder.join("data"), folder.to_owned()] {
                let (truth, meta) = (data.join(GROUND_TRUTH), data.join("meta.mat"));
                if truth.is_file() && meta.is_file() {
                    let (truth_bytes, meta_bytes) =
                        (crate::fs::read(&truth, MAX_FILE)?, crate::fs::read(&meta, MAX_FILE)?);
                    let names = matlab::synsets(&meta_bytes, &meta.display().to_string())?;
                    return numbered(&truth_bytes, &truth, &names).map(Some);
                }
            }
            for name in SYNSET_TEXTS.iter().chain([&GROUND_TRUTH]) {
                let path = folder.join(name);
                if path.is_file() {
                    return synset_lines(&crate::fs::read(&path, MAX_FILE)?, &path).map(Some);
                }
            }
        }
        Ok(None)
    }

    /// Why images without labels cannot be used.
    pub(super) fn missing(place: &str) -> Error {
        Error::NoLayout {
            place: place.to_owned(),
            found: format!(
                "validation images without labels: put `{DEVKIT}.tar.gz` (or a `{}` of one synset a line, or a \
                `labels.csv` of name and label) beside them",
                SYNSET_TEXTS[0]
            ),
        }
    }

    /// The label of an image by its file's name.
    pub(super) fn label(&self, file_name: &str) -> Result<RawLabel> {
        let number = validation_number(file_name).and_then(|digits| digits.parse::<usize>().ok());
        let synset = number.and_then(|n| self.synsets.get(n.checked_sub(1)?));
        match synset {
            Some(synset) => Ok(RawLabel::Text(synset.clone())),
            None if self.synsets.len() == VALIDATION_IMAGES => Ok(RawLabel::Missing(format!(
                "`{}` has {VALIDATION_IMAGES} lines and none for it",
                self.path
            ))),
            None => Err(Error::BadLabels {
                path: self.path.clone(),
                line: self.synsets.len() + 1,
                found: "the end".into(),
                expected: format!("a line for `{file_name}`"),
            }),
        }
    }
}

/// Reads `ILSVRC2012_devkit_t12.tar.gz`.
fn packed_devkit(path: &Path) -> Result<Truth> {
    let file = crate::fs::open(path)?;
    let broken =
        |e: std::io::Error| Error::BadArchive { path: path.display().to_string(), reason: e.to_string() };
    // Bounded before unpacking: what decompresses to more is not the devkit.
    let unpacked = flate2::read::GzDecoder::new(file).take(MAX_FILE);
    let (mut truth, mut meta) = (None, None);
    let mut archive = tar::Archive::new(unpacked);
    for entry in archive.entries().map_err(broken)? {
        let mut entry = entry.map_err(broken)?;
        let name = PathBuf::from(String::from_utf8_lossy(&entry.path_bytes()).into_owned());
        let wanted = match name.file_name().and_then(|n| n.to_str()) {
            Some(GROUND_TRUTH) => &mut truth,
            Some("meta.mat") => &mut meta,
            _ => continue,
        };
        let mut bytes = Vec::new();
        entry.read_to_end(&mut bytes).map_err(broken)?;
        *wanted = Some(bytes);
    }
    let missing = |what: &str| Error::BadArchive {
        path: path.display().to_string(),
        reason: format!("there is no `{what}` in it"),
    };
    let truth = truth.ok_or_else(|| missing(GROUND_TRUTH))?;
    let meta = meta.ok_or_else(|| missing("meta.mat"))?;
    let names = matlab::synsets(&meta, &path.join("meta.mat").display().to_string())?;
    numbered(&truth, &path.join(GROUND_TRUTH), &names)
}

/// One of ILSVRC's numbers a line.
fn numbered(bytes: &[u8], path: &Path, names: &HashMap<u32, String>) -> Result<Truth> {
    lines(bytes, path, "a class number of the devkit's `meta.mat`", |line| {
        names.get(&line.parse().ok()?).cloned()
    })
}

/// One synset a line.
fn synset_lines(bytes: &[u8], path: &Path) -> Result<Truth> {
    let expected = "a synset such as `n01440764` (numbers mean nothing without the devkit's `meta.mat`)";
    lines(bytes, path, expected, |line| is_synset(line).then(|| line.to_owned()))
}

fn lines(bytes: &[u8], path: &Path, expected: &str, read: impl Fn(&str) -> Option<String>) -> Result<Truth> {
    let place = path.display().to_string();
    let bad = |line: usize, found: String| Error::BadLabels {
        path: place.clone(),
        line,
        found,
        expected: expected.to_owned(),
    };
    let text = std::str::from_utf8(bytes).map_err(|_| bad(1, "bytes that are not UTF-8".into()))?;
    // Editors leave a byte-order mark before the first line and blank lines after the last.
    let text = text.trim_start_matches('\u{feff}').trim_end();
    let mut synsets = Vec::new();
    for (i, line) in text.lines().map(clean).enumerate() {
        synsets.push(read(line).ok_or_else(|| bad(i + 1, format!("`{line}`")))?);
    }
    Ok(Truth { synsets, path: place })
}
