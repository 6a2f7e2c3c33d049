//! Features of many pictures: which files are meant, and the network run over them on all cores.
//!
//! In: paths, folders and globs; a [`Network`] of features. Out: every picture's values, handed over as they come.
//! Called by `zoo features`.

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use super::{Error, Job, Network, Share, run_images};
use crate::fs;
use crate::image::{self, Preprocess, has_image_extension};
use crate::registry::query::Pattern;

/// The largest image file that is read.
const MAX_IMAGE: u64 = 1 << 30;

/// Folders within folders that are gone into; more is a loop of links.
const MAX_DEPTH: usize = 32;

/// A picture, and what it is called in outputs and messages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Picture {
    /// Its path as it was found, or `-`.
    pub name: String,
    source: Source,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Source {
    File(PathBuf),
    Bytes(Vec<u8>),
}

impl Picture {
    /// A file's bytes that are here already.
    pub fn of_bytes(name: &str, bytes: Vec<u8>) -> Self {
        Picture { name: name.to_owned(), source: Source::Bytes(bytes) }
    }

    fn of_file(path: PathBuf) -> Self {
        Picture { name: path.display().to_string(), source: Source::File(path) }
    }

    /// The pictures that a path means: a file; of a folder, every image in it and in the folders inside, by path; of a
    /// glob (`*`, `?` and `[…]` in names, where no file has that very name), whatever it matches, by path.
    ///
    /// # Errors
    /// A path that is not there, a folder without images, a glob that nothing matches.
    pub fn find(path: &Path) -> Result<Vec<Self>, Error> {
        let none = |what| Error::NoPictures { path: path.to_owned(), what };
        let is_glob = path.to_string_lossy().contains(['*', '?', '[']);
        if is_glob && !path.exists() {
            let mut found = Vec::new();
            for path in matches(path)? {
                if path.is_dir() {
                    collect(&path, 0, &mut found)?;
                } else {
                    found.push(path);
                }
            }
            return if found.is_empty() { Err(none("nothing matches it")) } else { Ok(files(found)) };
        }
        if !fs::metadata(path)?.is_dir() {
            return Ok(vec![Picture::of_file(path.to_owned())]);
        }
        let mut found = Vec::new();
        collect(path, 0, &mut found)?;
        if found.is_empty() { Err(none("no image is in it")) } else { Ok(files(found)) }
    }

    fn bytes(&self) -> Result<Vec<u8>, fs::Error> {
        match &self.source {
            Source::File(path) => fs::read(path, MAX_IMAGE),
            Source::Bytes(bytes) => Ok(bytes.clone()),
        }
    }
}

fn files(paths: Vec<PathBuf>) -> Vec<Picture> {
    paths.into_iter().map(Picture::of_file).collect()
}

/// The images in a folder and in those inside, sorted by path.
fn collect(folder: &Path, depth: usize, into: &mut Vec<PathBuf>) -> Result<(), Error> {
    for path in fs::list(folder)? {
        let hidden = path.file_name().is_some_and(|name| name.to_string_lossy().starts_with('.'));
        if path.is_dir() {
            if depth < MAX_DEPTH && !hidden {
                collect(&path, depth + 1, into)?;
            }
        } else if has_image_extension(&path) && !hidden {
            into.push(path);
        }
    }
    Ok(())
}

/// What a glob matches, name by name.
fn matches(glob: &Path) -> Result<Vec<PathBuf>, Error> {
    let mut found = vec![PathBuf::new()];
    for part in glob.components() {
        let part = part.as_os_str();
        let text = part.to_string_lossy();
        if !text.contains(['*', '?', '[']) {
            found.iter_mut().for_each(|path| path.push(part));
            found.retain(|path| path.exists());
            continue;
        }
        let refuse = |_| Error::NoPictures { path: glob.to_owned(), what: "it is not a glob" };
        let pattern: Pattern = text.parse().map_err(refuse)?;
        let mut next = Vec::new();
        for folder in found.iter().filter(|path| path.is_dir() || path.as_os_str().is_empty()) {
            let listed = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
            for path in fs::list(listed)? {
                let Some(name) = path.file_name() else { continue };
                let shown = name.to_string_lossy();
                // As in a shell, a star does not mean what is hidden.
                if pattern.matches(&shown) && (!shown.starts_with('.') || text.starts_with('.')) {
                    next.push(folder.join(name));
                }
            }
        }
        found = next;
    }
    Ok(found)
}

/// What is found of a picture: its values, or why it has none.
pub type Extracted = Result<Vec<f32>, String>;

/// How pictures are run.
#[derive(Clone, Copy, Debug)]
pub struct ExtractOptions {
    /// Threads that prepare and compute.
    pub threads: usize,
    /// Pictures that are computed together; none leaves it to the engine.
    pub batch: Option<usize>,
}

/// The features of an image; a value that is not a number ends the run.
///
/// # Errors
/// [`Error::NotFinite`], which names the image.
pub(crate) fn finite(
    network: &Network,
    values: &[f32],
    image: impl FnOnce() -> String,
) -> Result<Vec<f32>, Error> {
    if values.iter().all(|value| value.is_finite()) {
        Ok(values.to_vec())
    } else {
        Err(Error::NotFinite { arch: network.name().to_owned(), image: image() })
    }
}

/// Runs a network over pictures, and tells `sink` of each with its place. It ends early when the sink breaks or
/// `cancelled` says so.
///
/// # Errors
/// A value that is not a number, no memory.
pub fn extract(
    network: &Network,
    preprocess: &Preprocess,
    pictures: &[Picture],
    options: ExtractOptions,
    cancelled: &dyn Fn() -> bool,
    sink: &mut dyn FnMut(usize, Extracted) -> ControlFlow<()>,
) -> Result<(), Error> {
    let todo: Vec<usize> = (0..pictures.len()).collect();
    let threads = options.threads.clamp(1, pictures.len().max(1));
    let share = Share { preprocess, todo: &todo, threads, batch: options.batch };
    run_images(&Pictures { network, pictures }, share, network.runners(threads)?, cancelled, sink).map(drop)
}

struct Pictures<'a> {
    network: &'a Network,
    pictures: &'a [Picture],
}

impl Job for Pictures<'_> {
    type Found = Extracted;
    type Error = Error;

    fn bytes(&self, place: usize) -> Result<Result<Vec<u8>, Extracted>, Error> {
        let Some(picture) = self.pictures.get(place) else { return Ok(Err(Err("no such picture".into()))) };
        Ok(picture.bytes().map_err(|error| Err(error.to_string())))
    }

    fn unreadable(&self, _: usize, error: &image::Error) -> Extracted {
        Err(error.to_string())
    }

    fn found(&self, place: usize, values: &[f32]) -> Result<Extracted, Error> {
        let image = || self.pictures.get(place).map_or_else(String::new, |p| p.name.clone());
        Ok(Ok(finite(self.network, values, image)?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(found: Result<Vec<Picture>, Error>, root: &Path) -> Vec<String> {
        let cut = |p: Picture| p.name.replace(&format!("{}/", root.display()), "");
        found.unwrap().into_iter().map(cut).collect()
    }

    #[test]
    fn files_folders_and_globs_are_found_in_order() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path();
        for name in
            ["b/2.jpg", "b/1.png", "a/x.JPEG", "a/notes.txt", "c/d/3.webp", ".hid/4.jpg", "e/odd[1].jpg"]
        {
            let path = root.join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write_atomic(&path, b"").unwrap();
        }
        let find = |path: &str| Picture::find(&root.join(path));
        assert_eq!(names(find(""), root), ["a/x.JPEG", "b/1.png", "b/2.jpg", "c/d/3.webp", "e/odd[1].jpg"]);
        assert_eq!(names(find("a/notes.txt"), root), ["a/notes.txt"], "a file that is named is meant");
        assert_eq!(names(find("*/*.jpg"), root), ["b/2.jpg", "e/odd[1].jpg"]);
        assert_eq!(names(find("[bc]"), root), ["b/1.png", "b/2.jpg", "c/d/3.webp"]);
        assert_eq!(names(find("e/odd[1].jpg"), root), ["e/odd[1].jpg"], "a file of that very name");
        for (wrong, said) in
            [("*.gif", "nothing matches"), ("none.jpg", "none.jpg"), ("[z-a]*", "not a glob")]
        {
            let error = find(wrong).unwrap_err().to_string();
            assert!(error.contains(said), "{wrong}: {error}");
        }
        fs::create_dir_all(&root.join("empty")).unwrap();
        assert!(find("empty").unwrap_err().to_string().contains("no image"));
    }
}
