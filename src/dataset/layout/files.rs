//! Images that are files of their own.
//!
//! In: their paths. Out: [`Images`]. Used by the layouts of folders and tables, and for what a package brings.

use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256 as Hasher};

use super::{Found, Images, Listing, MAX_IMAGE};
use crate::dataset::error::{Error, Result};
use crate::dataset::label::RawLabel;
use crate::hash::Sha256;

/// Single files as a listing.
pub(in crate::dataset) fn listing(
    layout: &'static str,
    place: String,
    files: Vec<(PathBuf, RawLabel)>,
) -> Listing {
    let (paths, labels): (Vec<_>, Vec<_>) = files.into_iter().unzip();
    let found = |(path, label): (&PathBuf, RawLabel)| Found { path: path.display().to_string(), label };
    let found = paths.iter().zip(labels).map(found).collect();
    Listing::new(layout, place, found, Files(paths))
}

struct Files(Vec<PathBuf>);

impl Images for Files {
    fn bytes(&self, index: usize) -> Result<Vec<u8>> {
        let path = self.0.get(index).map_or(Path::new(""), PathBuf::as_path);
        let seen = crate::fs::metadata(path)?;
        let refused = |reason: String| Error::NoImage { path: path.display().to_string(), reason };
        // A pipe of this name would be waited for.
        if !seen.is_file() {
            return Err(refused("it is not a file".into()));
        }
        if seen.len() > MAX_IMAGE {
            return Err(refused(format!("it has {} bytes; at most {MAX_IMAGE} are read", seen.len())));
        }
        Ok(crate::fs::read(path, MAX_IMAGE)?)
    }

    fn size(&self, index: usize) -> Result<u64> {
        let path = self.0.get(index).map_or(Path::new(""), PathBuf::as_path);
        Ok(crate::fs::metadata(path)?.len())
    }

    fn fingerprint(&self) -> Result<Sha256> {
        fingerprint(self.0.iter().map(PathBuf::as_path))
    }
}

/// Changes when one of the files does.
pub(super) fn fingerprint<'a>(paths: impl Iterator<Item = &'a Path>) -> Result<Sha256> {
    let mut hasher = Hasher::new();
    for path in paths {
        stamp(&mut hasher, path)?;
    }
    Ok(Sha256::from_hasher(hasher))
}

/// Takes a file's name, size and time of change into a fingerprint. One that is not there is one bad image, and another
/// one when it comes.
fn stamp(hasher: &mut Hasher, path: &Path) -> Result<()> {
    let seen = match crate::fs::metadata(path) {
        Ok(seen) => seen,
        Err(error) if Error::is_absence(&error) => {
            hasher.update(format!("{}\0{}\n", path.display(), error.source.kind()));
            return Ok(());
        }
        Err(error) => return Err(error.into()),
    };
    let since = seen.modified().ok().and_then(|t| t.duration_since(std::time::UNIX_EPOCH).ok());
    let since = since.map_or(0, |d| d.as_nanos());
    hasher.update(format!("{}\0{}\0{since}\n", path.display(), seen.len()));
    Ok(())
}
