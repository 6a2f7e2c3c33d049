//! What a repository of Hugging Face's hub is called on disk.
//!
//! In: its folder. Out: its name. Called by `import` for evaluations and by `model` for folders as timm saves them.

use std::path::Path;

/// The name of the repository that a folder is a copy of: the folder's own, but in the hub's cache
/// (`models--ORG--NAME/snapshots/REVISION`) the repository's, without its organisation.
pub fn repository_name(folder: &Path) -> Option<String> {
    let folder = folder.canonicalize().ok()?;
    let text = |name: Option<&std::ffi::OsStr>| name.map(|n| n.to_string_lossy().into_owned());
    let of_cache = folder.parent().filter(|p| p.file_name().is_some_and(|n| n == "snapshots"));
    let cached = text(of_cache.and_then(|p| p.parent()?.file_name()))
        .and_then(|name| Some(name.strip_prefix("models--")?.rsplit("--").next()?.to_owned()));
    cached.or_else(|| text(folder.file_name()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_snapshot_in_the_cache_has_its_repositorys_name() {
        let dir = tempfile::tempdir().unwrap();
        let name = |folder: &str| {
            let folder = dir.path().join(folder);
            crate::fs::create_dir_all(&folder).unwrap();
            repository_name(&folder)
        };
        assert_eq!(name("models--timm--resnet18/snapshots/abc").as_deref(), Some("resnet18"));
        assert_eq!(name("mine/snapshots/abc").as_deref(), Some("abc"));
        assert_eq!(name("resnet18").as_deref(), Some("resnet18"));
        assert_eq!(repository_name(&dir.path().join("none")), None);
    }
}
