//! The one rule about outputs that exist, for every verb that writes a file that the user names.

use std::path::Path;

use crate::error::{Error, Result};

/// An output that exists, empty or not, is not touched without `--force`. Asked before any work is done; the
/// writing itself refuses again where it can.
///
/// # Errors
/// Class `Usage`.
pub(super) fn refuse_existing(path: &Path, force: bool) -> Result<()> {
    // A link that leads nowhere is there all the same: the file would be put in its place.
    let exists = path.is_symlink() || path.exists();
    match exists && !force {
        true => Err(Error::usage(format!("`{}` exists: `--force` replaces it", path.display()))),
        false => Ok(()),
    }
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
        for there in ["empty", "link", "."] {
            assert!(refuse_existing(&at(there), false).is_err(), "{there}");
            assert!(refuse_existing(&at(there), true).is_ok(), "{there}");
        }
        assert!(refuse_existing(&at("new"), false).is_ok());
    }
}
