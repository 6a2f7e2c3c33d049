//! safetensors in several files: an index that says which file has which tensor. Called by [`super::open`].

use std::collections::{HashMap, HashSet};
use std::path::Path;

use super::error::{Error, Fault, Place, ReadError, Result};
use super::format::Format;
use super::open::{Opened, Options};
use super::source::{LocalFile, Source};
use super::{Details, safe};

/// The largest index that is read.
const LARGEST: u64 = 100_000_000;
/// The most files that are opened.
const FILES: usize = 10_000;

#[derive(serde::Deserialize)]
struct Index {
    weight_map: safe::Texts,
}

/// Opens every file of the index at `path`, whose bytes are `source`'s. They must lie beside it.
pub(super) fn open(
    path: &Path,
    source: &dyn Source,
    options: &Options,
) -> Result<(Vec<Box<dyn Source>>, Opened)> {
    let fault = |fault: Fault| Error::Fault { path: path.to_owned(), fault };
    let malformed = |problem: String| fault(Fault::malformed(Place::whole(), problem));
    if source.len() > LARGEST {
        return Err(malformed(format!(
            "an index of {} bytes, where at most {LARGEST} are read",
            source.len()
        )));
    }
    let bytes = source.bytes(0, source.len() as usize).map_err(|e| ReadError::Io(e).at(path))?;
    let index: Index = match serde_json::from_slice(&bytes) {
        Ok(index) => index,
        Err(e) => {
            let what =
                format!("it is JSON, but no safetensors index: {}", super::error::shortened(&e.to_string()));
            return Err(Error::NotACheckpoint { path: path.to_owned(), what, hint: None });
        }
    };
    let map = index.weight_map.0;
    let mut files: Vec<&str> = map.values().map(String::as_str).collect();
    files.sort_unstable();
    files.dedup();
    if files.len() > FILES {
        return Err(malformed(format!("{} files, where at most {FILES} are opened", files.len())));
    }
    let folder = path.parent().unwrap_or(Path::new(""));
    let mut sources: Vec<Box<dyn Source>> = Vec::new();
    let (mut tensors, mut storages) = (Vec::new(), Vec::new());
    let mut seen = HashSet::new();
    for file in files {
        let plain = !file.is_empty() && !file.contains(['/', '\\', '\0', ':']) && file != "." && file != "..";
        if !plain || !file.ends_with(".safetensors") {
            return Err(fault(Fault::malformed(
                Place::member(file),
                "a file name that is not one beside the index",
            )));
        }
        let shard = folder.join(file);
        let source = LocalFile::open(&shard, options.mmap).map_err(|e| match e.source.kind() {
            std::io::ErrorKind::NotFound => {
                fault(Fault::malformed(Place::member(file), "a file of the index that is not beside it"))
            }
            _ => e.into(),
        })?;
        let contents = safe::read(&source, sources.len())
            .map_err(|e| ReadError::Io(e).at(&shard))?
            .map_err(|fault| Error::Fault { path: shard.clone(), fault })?;
        let base = storages.len();
        for mut tensor in contents.tensors {
            if map.get(&tensor.name).map(String::as_str) != Some(file) {
                let problem = "a tensor that the index does not place in this file";
                let fault = Fault::ambiguous(Place::tensor(&tensor.name), problem);
                return Err(Error::Fault { path: shard, fault });
            }
            seen.insert(tensor.name.clone());
            tensor.storage += base;
            tensors.push(tensor);
        }
        storages.extend(contents.storages);
        sources.push(Box::new(source));
    }
    if let Some((name, file)) = map.iter().find(|(name, _)| !seen.contains(name.as_str())) {
        return Err(fault(Fault::malformed(
            Place::tensor(name),
            format!("is not in `{file}`, where the index places it"),
        )));
    }
    let order: HashMap<&str, usize> = map.keys().enumerate().map(|(i, n)| (n.as_str(), i)).collect();
    tensors.sort_by_key(|t| order.get(t.name.as_str()).copied());
    let details = Details::default();
    Ok((sources, Opened { format: Format::ShardedSafetensors, tensors, storages, details }))
}
