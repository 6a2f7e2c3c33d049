//! A checkpoint in several files: an index that says which file has which tensor, safetensors or torch's. Also the
//! folder that they lie in. Called by [`super::open`].

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};

use super::error::{Error, FilePosition, FormatError, ReadError, Result, shortened};
use super::format::Format;
use super::open::{self, Opened, Options};
use super::source::{LocalFile, Source};
use super::tensor::At;
use super::{safe, sniff};

/// The largest index that is read.
const MAX_INDEX: u64 = 100_000_000;
/// The most files that are opened.
const MAX_FILES: usize = 10_000;
/// The most names of a folder that are looked at.
const MAX_ENTRIES: usize = 100_000;

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
    let fault = |fault: FormatError| Error::Format { path: path.to_owned(), fault };
    let malformed = |problem: String| fault(FormatError::malformed(FilePosition::whole(), problem));
    if source.len() > MAX_INDEX {
        let problem = format!("an index of {} bytes, where at most {MAX_INDEX} are read", source.len());
        return Err(malformed(problem));
    }
    let bytes = source.bytes(0, source.len() as usize).map_err(|e| ReadError::Io(e).at(path))?;
    let index: Index = match serde_json::from_slice(&bytes) {
        Ok(index) => index,
        Err(e) => {
            let what =
                format!("it is JSON, but not the index of a checkpoint: {}", shortened(&e.to_string()));
            return Err(Error::NotACheckpoint { path: path.to_owned(), what, hint: None });
        }
    };
    let map = index.weight_map.0;
    let mut files: Vec<&str> = map.values().map(String::as_str).collect();
    files.sort_unstable();
    files.dedup();
    if files.len() > MAX_FILES {
        return Err(malformed(format!("{} files, where at most {MAX_FILES} are opened", files.len())));
    }
    let folder = path.parent().unwrap_or(Path::new(""));
    let mut sources: Vec<Box<dyn Source>> = Vec::new();
    let mut all = Opened { format: Format::ShardedSafetensors, ..Opened::default() };
    let mut seen = HashSet::new();
    for file in files {
        let plain = !file.is_empty() && !file.contains(['/', '\\', '\0', ':']) && file != "." && file != "..";
        let is_torch = [".bin", ".pth", ".pt"].iter().any(|ending| file.ends_with(ending));
        if !plain || !(is_torch || file.ends_with(".safetensors")) {
            let problem = "a file name that is not one of a shard beside the index";
            return Err(fault(FormatError::malformed(FilePosition::member(file), problem)));
        }
        let shard = folder.join(file);
        let opened: crate::fs::Result<Box<dyn Source>> = match source.sibling(file) {
            Some(opened) => opened.map_err(crate::fs::at("open", &shard)),
            None => LocalFile::open(&shard, options.mmap).map(|file| -> Box<dyn Source> { Box::new(file) }),
        };
        let source = opened.map_err(|e| match e.source.kind() {
            std::io::ErrorKind::NotFound => fault(FormatError::malformed(
                FilePosition::member(file),
                "a file of the index that is not beside it",
            )),
            _ => e.into(),
        })?;
        let opened = if is_torch {
            all.format = Format::ShardedTorch;
            torch(source.as_ref(), sources.len(), options).map_err(|e| e.at(&shard))?
        } else {
            let contents = safe::read(source.as_ref(), sources.len())
                .map_err(|e| ReadError::Io(e).at(&shard))?
                .map_err(|fault| Error::Format { path: shard.clone(), fault })?;
            Opened { tensors: contents.tensors, storages: contents.storages, ..Opened::default() }
        };
        let base = all.storages.len();
        for mut tensor in opened.tensors {
            if map.get(&tensor.name).map(String::as_str) != Some(file) {
                let problem = "a tensor that the index does not place in this file";
                let fault = FormatError::ambiguous(FilePosition::tensor(&tensor.name), problem);
                return Err(Error::Format { path: shard, fault });
            }
            seen.insert(tensor.name.clone());
            tensor.storage += base;
            all.tensors.push(tensor);
        }
        all.storages.extend(opened.storages);
        seen.extend(opened.details.refused.iter().map(|(name, _)| name.clone()));
        all.details.refused.extend(opened.details.refused);
        all.details.left_out.extend(opened.details.left_out);
        all.details.left_out_tensors.extend(opened.details.left_out_tensors);
        all.details.opaque.extend(opened.details.opaque);
        sources.push(source);
    }
    if let Some((name, file)) = map.iter().find(|(name, _)| !seen.contains(name.as_str())) {
        return Err(fault(FormatError::malformed(
            FilePosition::tensor(name),
            format!("is not in `{file}`, where the index places it"),
        )));
    }
    let order: HashMap<&str, usize> = map.keys().enumerate().map(|(i, n)| (n.as_str(), i)).collect();
    all.tensors.sort_by_key(|t| order.get(t.name.as_str()).copied());
    Ok((sources, all))
}

/// A shard that torch wrote: a state dict at its top level, whose names are the index's. It is file `number` of the
/// checkpoint.
fn torch(source: &dyn Source, number: usize, options: &Options) -> std::result::Result<Opened, ReadError> {
    let options = Options { key: Some(".".to_owned()), ..options.clone() };
    let mut opened = open::read(source, &sniff::sniff(source)?, &options)?;
    for storage in &mut opened.storages {
        if let At::File { file, .. } | At::Deflated { file, .. } = &mut storage.at {
            *file = number;
        }
    }
    if let Some(prefix) = opened.details.stripped.take() {
        return Err(FormatError::ambiguous(
            FilePosition::whole(),
            format!("every name begins with `{prefix}`, which a shard listed in an index must not have"),
        )
        .into());
    }
    Ok(opened)
}

/// The index of a checkpoint in a folder.
///
/// # Errors
/// None, several, or a folder of torch.distributed.checkpoint.
pub(super) fn in_folder(folder: &Path) -> Result<PathBuf> {
    let entries = crate::fs::list(folder)?;
    let name = |path: &PathBuf| Some(path.file_name()?.to_str()?.to_owned());
    let names: Vec<String> = entries.iter().take(MAX_ENTRIES).filter_map(name).collect();
    let not = |what: String, hint: Option<String>| {
        Err(Error::NotACheckpoint { path: folder.to_owned(), what, hint })
    };
    if names.iter().any(|name| name.ends_with(".distcp") || name == ".metadata") {
        let what = "it is a folder of torch.distributed.checkpoint, one part a process";
        let hint = "join the parts with `python -m torch.distributed.checkpoint.format_utils dcp_to_torch FOLDER OUT.pth`";
        return not(what.to_owned(), Some(hint.to_owned()));
    }
    let indexes: Vec<&String> = names.iter().filter(|name| name.ends_with(".index.json")).collect();
    match indexes.as_slice() {
        [one] => Ok(folder.join(one)),
        [] => not(
            "it is a folder without the index of a checkpoint".to_owned(),
            Some("name a file in it".to_owned()),
        ),
        several => {
            let shown =
                several.iter().take(10).map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
            not(format!("it is a folder with several indexes: {shown}"), Some("name one of them".to_owned()))
        }
    }
}
