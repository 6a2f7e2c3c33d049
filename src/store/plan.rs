//! What a fetch would do: which files are here, how many bytes are missing, and whether there is room. Nothing is asked
//! for and nothing is hashed. Called by `zoo fetch --dry-run`, and before several files are fetched.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use super::choice::alternate;
use super::error::{Error, Result};
use super::{Request, Store, partial};
use crate::fs;

/// What is here of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
pub enum Here {
    /// All of it, in zoo's cache.
    #[serde(rename = "cached")]
    Cached,
    /// Its beginning, from an earlier run.
    #[serde(rename = "partial")]
    Partial,
    /// A file of its name, in torch's or Hugging Face's cache, which will be copied if it is the same.
    #[serde(rename = "other cache")]
    OtherCache,
    /// Nothing.
    #[serde(rename = "no")]
    No,
}

/// One file that would be fetched.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct PlannedFile {
    /// What was asked for.
    pub name: String,
    /// Its first place.
    pub url: String,
    /// Bytes, where the registry or a lock says so.
    pub bytes: Option<u64>,
    /// What is here already.
    pub here: Here,
    /// Bytes still to be downloaded or copied, where known.
    pub missing: Option<u64>,
}

/// A folder that the files need room in.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Room {
    /// The folder.
    pub folder: PathBuf,
    /// Bytes that will be written on its file system, of the files whose size is known.
    pub needed: u64,
    /// Bytes that the file system has for this user; nothing where it does not say.
    pub free: Option<u64>,
}

/// What a fetch would do.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct DownloadPlan {
    /// In the order of the requests; a file that several requests share is missing only once.
    pub files: Vec<PlannedFile>,
    /// Bytes of all files whose size is known.
    pub bytes: u64,
    /// Bytes still to be downloaded or copied.
    pub missing: u64,
    /// Files of unknown size.
    pub unknown: usize,
    /// The cache's file system, and that of the folder for copies where it is another one.
    pub rooms: Vec<Room>,
}

/// What becomes of the files, which decides how much room they need.
#[derive(Clone, Copy, Debug, Default)]
pub struct Use<'a> {
    /// They are converted: about as many bytes again.
    pub converted: bool,
    /// A folder that they are also copied to.
    pub copied_to: Option<&'a Path>,
}

impl DownloadPlan {
    /// Whether what is missing fits.
    ///
    /// # Errors
    /// [`Error::NoRoom`].
    pub fn fits(&self) -> Result<()> {
        match self.rooms.iter().find(|r| r.free.is_some_and(|free| free < r.needed)) {
            Some(Room { folder, needed, free }) => {
                Err(Error::NoRoom { folder: folder.clone(), needed: *needed, free: free.unwrap_or(0) })
            }
            None => Ok(()),
        }
    }
}

impl Store {
    /// What fetching `requests` would do.
    ///
    /// # Errors
    /// A source that the grammar does not allow, digests that disagree.
    pub fn plan(&self, requests: &[Request], purpose: Use<'_>) -> Result<DownloadPlan> {
        let mut counted = BTreeSet::new();
        let (mut files, mut home, mut copies) = (Vec::new(), 0_u64, 0_u64);
        for request in requests {
            self.allowed(request)?;
            let expected = self.expected(request)?;
            let url = request.sources.first().map(|s| s.0.clone()).unwrap_or_default();
            let file = expected.pinned().map(|sha256| (self.cache.file(sha256), self.derived(sha256)));
            let is_file = |path: Option<&PathBuf>| path.is_some_and(|p| p.is_file());
            let source = is_file(file.as_ref().map(|(source, _)| source));
            let derived = is_file(file.as_ref().map(|(_, derived)| derived));
            let begun = || {
                let places = self.places(request, &expected);
                let folder = self.cache.folder("partial");
                let len = |place: &String| partial::left(&folder, &self.cache.partial_key(&url, place));
                places.iter().map(len).max().unwrap_or(0)
            };
            let is_here = |(source, pin): &(String, super::Pin)| {
                self.is_here(&alternate(request, source, pin)).unwrap_or(false)
            };
            let hub = self.listed(request)?.iter().any(is_here);
            let (here, done) = if source || hub || (derived && purpose.converted) {
                (Here::Cached, u64::MAX)
            } else {
                match begun() {
                    0 if self.options.other_caches.candidates(request, &expected).is_empty() => (Here::No, 0),
                    0 => (Here::OtherCache, 0),
                    done => (Here::Partial, done),
                }
            };
            let again = !counted.insert(url.clone());
            let missing = expected.size.map(|bytes| if again { 0 } else { bytes.saturating_sub(done) });
            let conversion =
                if again || derived || !purpose.converted { 0 } else { expected.size.unwrap_or(0) };
            home = home.saturating_add(missing.unwrap_or(0)).saturating_add(conversion);
            copies = copies.saturating_add(expected.size.unwrap_or(0));
            files.push(PlannedFile { name: request.name.clone(), url, bytes: expected.size, here, missing });
        }
        let sum =
            |of: fn(&PlannedFile) -> Option<u64>| files.iter().filter_map(of).fold(0, u64::saturating_add);
        let (bytes, missing) = (sum(|f| f.bytes), sum(|f| f.missing));
        let unknown = files.iter().filter(|f| f.bytes.is_none()).count();
        let mut rooms =
            vec![Room { folder: self.home().to_owned(), needed: home, free: fs::free_space(self.home()) }];
        if let Some(folder) = purpose.copied_to {
            match rooms.first_mut().filter(|room| fs::same_file_system(&room.folder, folder)) {
                Some(room) => room.needed = room.needed.saturating_add(copies),
                None => rooms.push(Room {
                    folder: folder.to_owned(),
                    needed: copies,
                    free: fs::free_space(folder),
                }),
            }
        }
        Ok(DownloadPlan { files, bytes, missing, unknown, rooms })
    }
}
