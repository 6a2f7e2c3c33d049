//! The rules about outputs, for every verb that writes a file that the user names: what exists is not replaced unasked, and
//! what cannot be written is found before any work is done.

use std::path::{Path, PathBuf};

use crate::error::{Error, Result};
use crate::fs;

/// An output that exists, empty or not, is not touched without `--force`, a folder not even with it. Asked before any work
/// is done; the writing itself refuses again where it can.
///
/// # Errors
/// Class `Usage`.
pub(super) fn refuse_existing(path: &Path, force: bool) -> Result<()> {
    // A link that leads nowhere is there all the same: the file would be put in its place.
    let exists = path.is_symlink() || path.exists();
    if path.is_dir() {
        return Err(Error::usage(format!("`{}` is a folder: a file is to be written", path.display())));
    }
    if exists && !force {
        return Err(Error::usage(format!("`{}` exists: `--force` replaces it", path.display())));
    }
    Ok(())
}

/// Makes sure that an output can be written, by a temporary file where it will be. With `makes_folders` its folder may be
/// made later: the nearest one that is there must then take files.
///
/// # Errors
/// A folder that is not there or takes no files.
pub(super) fn refuse_unwritable(path: &Path, makes_folders: bool) -> Result<()> {
    let here = || PathBuf::from(".");
    let folders = path
        .ancestors()
        .skip(1)
        .map(|folder| if folder.as_os_str().is_empty() { here() } else { folder.to_owned() });
    let folder = folders.clone().find(|folder| !makes_folders || folder.exists());
    let folder = folder.unwrap_or_else(here);
    fs::metadata(&folder)?;
    fs::AtomicFile::create(&folder.join(path.file_name().unwrap_or_default()))?;
    Ok(())
}

/// Both, for a file in a folder that must be there.
///
/// # Errors
/// As [`refuse_existing`] and [`refuse_unwritable`].
pub(super) fn refuse_output(path: &Path, force: bool) -> Result<()> {
    refuse_existing(path, force)?;
    refuse_unwritable(path, false)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_is_there_stays() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        crate::fs::write_atomic(&at("empty"), b"").unwrap();
        crate::fs::symlink(Path::new("nowhere"), &at("link")).unwrap();
        for there in ["empty", "link"] {
            assert!(refuse_existing(&at(there), false).is_err(), "{there}");
            assert!(refuse_existing(&at(there), true).is_ok(), "{there}");
        }
        assert!(refuse_existing(&at("new"), false).is_ok());
        for force in [false, true] {
            let said = refuse_existing(&at("."), force).unwrap_err().to_string();
            assert!(said.contains("is a folder"), "{said}");
        }
    }

    #[test]
    fn a_folder_that_takes_no_file_is_found_before_any_work() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        assert!(refuse_unwritable(&at("new"), false).is_ok());
        assert!(refuse_unwritable(Path::new("in-this-folder"), false).is_ok());
        let said = refuse_unwritable(&at("no/such/new"), false).unwrap_err().to_string();
        assert!(said.contains("no/such"), "{said}");
        assert!(refuse_unwritable(&at("no/such/new"), true).is_ok());
        crate::fs::write_atomic(&at("file"), b"").unwrap();
        assert!(refuse_unwritable(&at("file/new"), true).is_err());
        assert_eq!(crate::fs::list(dir.path()).unwrap(), [at("file")]);
    }
}
