//! What `inspect`, `scan` and `diff` are about: a file, a model's file, an address, a repository of the hub. In: the text of
//! an argument. Out: a source of bytes, on this machine or read by Range requests where it lies.

use std::path::{Path, PathBuf};

use super::Context;
use crate::checkpoint::{Checkpoint, LocalFile, Options, Source};
use crate::error::Result;
use crate::hash::HashPrefix;
use crate::registry::{self, Registry};
use crate::store::{HubRepo, Location, Request, Store};

/// What an argument stands for.
pub(super) enum InputSource {
    /// A file or folder of this machine.
    Local(PathBuf),
    /// A file at an address, or a model's.
    Remote(Box<Request>),
    /// All that is in a repository.
    Repository(HubRepo),
}

impl InputSource {
    /// A path that exists is a file; then an address; then a model's name.
    ///
    /// # Errors
    /// A name that the registry does not know, and that does not look like a path.
    pub(super) fn of(text: &str, context: &Context) -> Result<Self> {
        let path = Path::new(text);
        let looks_like_a_path = path.components().count() > 1 || path.extension().is_some();
        if path.exists() {
            return Ok(InputSource::Local(path.to_owned()));
        }
        if text.contains("://") || text.starts_with("hf:") {
            return Ok(match HubRepo::parse(text) {
                Some(repository) => InputSource::Repository(repository),
                None => InputSource::Remote(Box::new(at_address(text))),
            });
        }
        match Registry::open(&context.globals.registry)?.resolve(text) {
            Ok(entry) => Ok(InputSource::Remote(Box::new(Request::of(entry)))),
            // What was meant for a file is answered as one.
            Err(_) if looks_like_a_path => Ok(InputSource::Local(path.to_owned())),
            Err(error) => Err(error.into()),
        }
    }

    /// Opens the checkpoint; of a repository, the one in it.
    ///
    /// # Errors
    /// A file that cannot be had or read; a repository with none or several.
    pub(super) fn checkpoint(&self, context: &Context, options: &Options) -> Result<Checkpoint> {
        match self {
            InputSource::Local(path) => Ok(Checkpoint::open_with(path, options)?),
            InputSource::Remote(request) => {
                let (name, source) = source(&context.store()?, request, options.mmap)?;
                Ok(Checkpoint::from_source(&name, source, options)?)
            }
            InputSource::Repository(repo) => {
                let store = context.store()?;
                let repository = store.repository(repo)?;
                let request = at_address(&repository.source(repository.checkpoint()?));
                let (name, source) = source(&store, &request, options.mmap)?;
                Ok(Checkpoint::from_source(&name, source, options)?)
            }
        }
    }
}

/// As outputs call it.
impl std::fmt::Display for InputSource {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            InputSource::Local(path) => path.display().fmt(f),
            InputSource::Remote(request) => match request.sources.first() {
                Some(source) => f.write_str(&source.0),
                None => f.write_str(&request.name),
            },
            InputSource::Repository(repo) => repo.fmt(f),
        }
    }
}

/// A request for what is at an address.
pub(super) fn at_address(text: &str) -> Request {
    let source = registry::Source(in_main(text));
    let prefix = HashPrefix::from_file_name(source.file_name());
    Request { name: source.file_name().to_owned(), sources: vec![source], prefix, ..Request::default() }
}

/// `hf:org/repo/file` is the file in `main`, as the hub has it.
fn in_main(text: &str) -> String {
    let parts = text.strip_prefix("hf:").filter(|rest| !rest.contains('@')).map(|rest| rest.splitn(3, '/'));
    match parts.map(Iterator::collect::<Vec<_>>).as_deref() {
        Some([org, name, file]) => format!("hf:{org}/{name}@main/{file}"),
        _ => text.to_owned(),
    }
}

/// The bytes that are asked for, and what messages call them: the cache's copy, a local file, or a file on a server.
///
/// # Errors
/// As [`Store::remote`].
pub(super) fn source(store: &Store, request: &Request, mmap: bool) -> Result<(PathBuf, Box<dyn Source>)> {
    let local = |path: PathBuf| -> Result<(PathBuf, Box<dyn Source>)> {
        let file = LocalFile::open(&path, mmap)?;
        Ok((path, Box::new(file)))
    };
    if let Some(fetched) = store.cached_file(request)? {
        return local(fetched.path);
    }
    for source in &request.sources {
        if let Location::File(path) = Location::parse(&source.0)? {
            return local(path);
        }
    }
    let remote = store.remote(request)?;
    Ok((PathBuf::from(remote.url()), Box::new(remote)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_without_a_revision_is_of_main() {
        for (text, expected) in [
            ("hf:a/b/c.bin", "hf:a/b@main/c.bin"),
            ("hf:a/b/c/d.bin", "hf:a/b@main/c/d.bin"),
            ("hf:a/b@v1/c.bin", "hf:a/b@v1/c.bin"),
            ("https://a/b/c", "https://a/b/c"),
        ] {
            assert_eq!(in_main(text), expected);
        }
    }
}
