//! What locks say of a model's files, and what a project's lock is to say. In: a request, and a file that is here. Out: pins.
//! Called by `choice`, by `zoo lock` and for mirrors.

use std::path::Path;

use super::choice::alternate;
use super::error::{Error, Result};
use super::lock::{Lock, Pin};
use super::{Fetched, PageFile, Request, Status, Store};
use crate::checkpoint::Checkpoint;
use crate::hash::Sha256;

impl Store {
    /// The digest of a fetched file's tensors.
    ///
    /// # Errors
    /// A file that is not a checkpoint that can be read.
    pub(super) fn tensors_in(&self, name: &str, file: &Fetched) -> Result<Sha256> {
        let unreadable = |e| Error::Unreadable { name: name.to_owned(), reason: Box::new(e) };
        Checkpoint::open(&file.path).and_then(|c| c.tensors_sha256()).map_err(unreadable)
    }

    /// Adds a pin to the user's lock. What was here is used also where the cache cannot be written.
    pub(super) fn put_on_record(&self, source: &str, pin: Pin, status: Status) -> Result<()> {
        let pinned = Lock::pin(&self.cache.user_lock(), source, pin);
        if status == Status::Cached { Ok(()) } else { pinned }
    }

    /// What a project's lock says of a file that is here: its tensors are read where no lock has their digest.
    ///
    /// # Errors
    /// Digests that disagree; a file that is not a checkpoint that can be read.
    pub fn pin(&self, request: &Request, file: &Fetched) -> Result<Pin> {
        let own = match file.page_file {
            PageFile::Seen => request.clone(),
            _ => alternate(request, &file.source, &Pin::new(file.sha256, file.bytes)),
        };
        let expected = self.expected(&own)?;
        let tensors = match expected.tensors {
            Some((tensors, _)) => tensors,
            None => {
                let tensors = self.tensors_in(&request.name, file)?;
                let pin = Pin { tensors_sha256: Some(tensors), ..Pin::new(file.sha256, file.bytes) };
                self.put_on_record(&file.source, pin.named(&request.name), file.status)?;
                tensors
            }
        };
        let mut pin =
            Pin { tensors_sha256: Some(tensors), ..Pin::new(file.sha256, file.bytes) }.named(&request.name);
        if file.page_file == PageFile::Seen {
            pin.places = request.sources.iter().skip(1).map(|s| s.0.clone()).collect();
        } else {
            pin.instead_of = request.sources.first().map(|s| s.0.clone());
        }
        Ok(pin)
    }

    /// The pins of a model that are on record with their tensors' digest, so that nothing need be read: of the page's file,
    /// and of the hub's files.
    ///
    /// # Errors
    /// Digests that disagree.
    pub fn pins_on_record(&self, request: &Request) -> Result<Vec<(String, Pin)>> {
        let expected = self.expected(request)?;
        let mut pins = Vec::new();
        if let (Some((sha256, _)), Some(bytes), Some((tensors, _)), Some(source)) =
            (&expected.sha256, expected.size, &expected.tensors, request.sources.first())
        {
            let places = request.sources.iter().skip(1).map(|s| s.0.clone()).collect();
            let pin = Pin { tensors_sha256: Some(*tensors), places, ..Pin::new(*sha256, bytes) };
            pins.push((source.0.clone(), pin.named(&request.name)));
        }
        let listed = self.listed(request)?.into_iter().filter(|(_, pin)| pin.tensors_sha256.is_some());
        pins.extend(listed.map(|(source, pin)| (source, pin.named(&request.name))));
        Ok(pins)
    }

    /// Refuses what is no file of the store's where only what a lock pins is taken.
    ///
    /// # Errors
    /// [`Error::NotLocked`].
    pub fn refuse_unlocked(&self, name: &str, path: &Path) -> Result<()> {
        if self.options.locked { Err(self.not_locked(name, path.display().to_string())) } else { Ok(()) }
    }

    pub(super) fn not_locked(&self, name: &str, place: String) -> Error {
        let locks = self.named_locks().map(|lock| format!("`{}`", lock.origin)).collect();
        Error::NotLocked { name: name.to_owned(), place, locks }
    }

    /// The locks that the user named.
    pub(super) fn named_locks(&self) -> impl Iterator<Item = &Lock> {
        self.locks.iter().skip(1)
    }

    /// The pins of the locks that the user named: with `locked`, all that may be fetched.
    pub fn named_pins(&self) -> impl Iterator<Item = (&str, &Pin)> {
        self.named_locks().flat_map(Lock::pins)
    }

    /// The hub's files that locks have in the place of a request's.
    pub(super) fn listed(&self, request: &Request) -> Result<Vec<(String, Pin)>> {
        let user = Lock::open_or_empty(&self.cache.user_lock())?;
        let (all, named): (Vec<&Lock>, Vec<&Lock>) =
            (self.locks.iter().chain([&user]).collect(), self.named_locks().collect());
        let mut found = Lock::default();
        for lock in if self.options.locked { named } else { all } {
            for source in &request.sources {
                for (other, pin) in lock.instead_of(&source.0) {
                    found.insert(other, pin.clone());
                }
            }
        }
        Ok(found.pins().map(|(source, pin)| (source.to_owned(), pin.clone())).collect())
    }
}
