//! Which file of a model's weights is taken: the one that its page names, or the hub's of the same weights.
//!
//! In: a request with the hub's repository, where the registry knows it. Out: what [`Store::fetch`] and
//! [`Store::open_weights`] hand out. The hub's is another file: other bytes, perhaps other tensors. It is taken where the
//! digest of its tensors is that on record of the page's file, where a lock has it, or where the user accepts it; unless its
//! tensors were compared, what is handed out says that the page's own file was not seen.

use super::error::{Error, Result};
use super::expected::Expected;
use super::location::{HubFile, Location};
use super::lock::Pin;
use super::weights::StoredWeights;
use super::{Fetched, Request, Store};
use crate::checkpoint::Checkpoint;
use crate::error::{Class, Classify};
use crate::fs;
use crate::hash::Sha256;
use crate::registry::Source;

/// Which of a model's two files is asked for first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Prefer {
    /// The one that is here; else the page's.
    #[default]
    Either,
    /// The page's, also where the hub's is here.
    Page,
    /// The hub's, also where the page's is here.
    Hub,
}

/// What is known of the page's own file where a file of the same weights is handed out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PageFile {
    /// It is the file handed out.
    #[default]
    Seen,
    /// It was not fetched; the file handed out has the tensors that are on record of it.
    OnRecord,
    /// It was not seen: the hub's file was accepted for it.
    NotSeen,
}

impl PageFile {
    /// As [`PageFile::name`], where there is something to say: of the page's own file nothing is said.
    pub fn remark(self) -> Option<&'static str> {
        (self != PageFile::Seen).then(|| self.name())
    }

    /// As JSON and reports say it.
    pub fn name(self) -> &'static str {
        match self {
            PageFile::Seen => "seen",
            PageFile::OnRecord => "tensors on record",
            PageFile::NotSeen => "not seen",
        }
    }
}

/// The files that timm puts into a repository of the hub, the one it reads first.
const HUB_FILES: [&str; 2] = ["model.safetensors", "pytorch_model.bin"];

/// Where else a model's weights may be.
enum Choice {
    /// The page's file.
    Page,
    /// A file of the hub's that a lock has, or that a mirror's folder says it has.
    Listed {
        source: String,
        pin: Pin,
        /// Whether a lock says so that counts.
        trusted: bool,
    },
    /// What is in a repository of the hub now.
    Repository(String),
}

/// What a choice comes to.
pub(super) trait Taken {
    fn file(&mut self) -> &mut Fetched;
    /// The tensors' digest, where it is at hand.
    fn known_tensors(&self) -> Option<Sha256>;
}

impl Taken for Fetched {
    fn file(&mut self) -> &mut Fetched {
        self
    }

    fn known_tensors(&self) -> Option<Sha256> {
        None
    }
}

impl Taken for (StoredWeights, Checkpoint) {
    fn file(&mut self) -> &mut Fetched {
        &mut self.0.source
    }

    fn known_tensors(&self) -> Option<Sha256> {
        Some(self.0.tensors_sha256)
    }
}

impl Store {
    /// The file in the cache, fetched if it is not there.
    ///
    /// # Errors
    /// What the sources' grammar refuses, digests that disagree, a file that is another than was meant
    /// (class `BadInput`, nothing kept), and every place's failure when none of them has it (class `World`).
    pub fn fetch(&self, request: &Request) -> Result<Fetched> {
        self.choose(request, &|request| self.fetch_one(request))
    }

    /// As [`Store::weights`], and the conversion open for reading: it is read through the descriptor that it was hashed from, so
    /// what is computed with is what was checked.
    ///
    /// # Errors
    /// As [`Store::weights`].
    pub fn open_weights(&self, request: &Request) -> Result<(StoredWeights, Checkpoint)> {
        self.choose(request, &|request| self.open_one(request))
    }

    /// The file if it is in the cache, whole and as pinned; the page's, or else the hub's.
    ///
    /// # Errors
    /// Digests that disagree; with `offline`, a damaged file, which is otherwise fetched anew.
    pub fn cached_file(&self, request: &Request) -> Result<Option<Fetched>> {
        if let Some(found) = self.cached_one(request)? {
            return Ok(Some(found));
        }
        let page = self.expected(request)?.tensors.map(|(digest, _)| digest);
        for (source, pin) in self.listed(request)? {
            if let Some(found) = self.cached_one(&alternate(request, &source, &pin))? {
                self.note(&request.name, &format!("`{source}` was taken for the page's own file"));
                return Ok(Some(Fetched { page_file: standing(page, pin.tensors_sha256), ..found }));
            }
        }
        Ok(None)
    }

    /// Takes the first choice that can be had.
    fn choose<T: Taken>(&self, request: &Request, take: &dyn Fn(&Request) -> Result<T>) -> Result<T> {
        let (mut tried, mut needed) = (Vec::new(), Vec::new());
        for choice in self.choices(request)? {
            let result = match &choice {
                Choice::Page => take(request).and_then(|taken| self.page(request, taken)),
                _ => self.instead(request, &choice, take),
            };
            let error = match result {
                Ok(taken) => {
                    tried.iter().for_each(|error: &Error| self.note(&request.name, &error.to_string()));
                    return Ok(taken);
                }
                // The next place would meet the same user and the same disk.
                Err(error @ (Error::Interrupted { .. } | Error::Busy { .. })) => return Err(error),
                Err(Error::File(error)) if error.class() == Class::World => return Err(error.into()),
                Err(error) if matches!(choice, Choice::Page) && !is_about_places(&error) => {
                    return Err(error);
                }
                Err(error) => error,
            };
            gather(error, &mut tried, &mut needed);
        }
        Err(Error::of_attempts(&request.name, tried, needed))
    }

    /// What may be taken, in the order to try.
    fn choices(&self, request: &Request) -> Result<Vec<Choice>> {
        let listed = self.listed(request)?;
        let locked = self.options.locked;
        let has_page = !locked
            || self.named_locks().any(|lock| request.sources.iter().any(|s| lock.get(&s.0).is_some()));
        if !has_page && listed.is_empty() {
            let place = request.sources.first().map(|s| s.0.clone()).unwrap_or_default();
            return Err(self.not_locked(&request.name, place));
        }
        let page = has_page.then_some(Choice::Page);
        let mut here = Vec::new();
        let mut hub = Vec::new();
        for (source, pin) in listed {
            let found = self.is_here(&alternate(request, &source, &pin))?;
            let to = if found { &mut here } else { &mut hub };
            to.push(Choice::Listed { source, pin, trusted: true });
        }
        if !locked {
            hub.extend(self.in_mirrors(request));
            // Asking for what is there now takes a network.
            hub.extend(request.hub.iter().filter(|_| !self.options.offline).cloned().map(Choice::Repository));
        }
        let page_first = match self.options.prefer {
            Prefer::Page => true,
            Prefer::Hub => false,
            Prefer::Either => here.is_empty() || self.is_here(request)?,
        };
        Ok(match self.options.prefer {
            Prefer::Hub => here.into_iter().chain(hub).chain(page).collect(),
            _ if page_first => page.into_iter().chain(here).chain(hub).collect(),
            _ => here.into_iter().chain(page).chain(hub).collect(),
        })
    }

    /// Whether a request's file may be taken at all.
    ///
    /// # Errors
    /// [`Error::NotLocked`].
    pub(super) fn allowed(&self, request: &Request) -> Result<()> {
        self.choices(request).map(drop)
    }

    /// The page's own file: its tensors are put on record, where they are known now and were not.
    fn page<T: Taken>(&self, request: &Request, mut taken: T) -> Result<T> {
        let Some(found) = taken.known_tensors() else { return Ok(taken) };
        let expected = self.expected(request)?;
        let file = taken.file();
        expected.check_tensors(&file.url, found)?;
        if let (None, Some(source)) = (&expected.tensors, request.sources.first()) {
            let pin =
                Pin { tensors_sha256: Some(found), ..Pin::new(file.sha256, file.bytes) }.named(&request.name);
            self.put_on_record(&source.0, pin, file.status)?;
            for (source, pin) in self.listed(request)? {
                if pin.tensors_sha256.is_some_and(|other| other != found) {
                    let text = format!("`{source}`, which was accepted for it before, holds other tensors");
                    self.note(&request.name, &text);
                }
            }
        }
        Ok(taken)
    }

    /// A file of the hub's in the place of the page's.
    fn instead<T: Taken>(
        &self,
        request: &Request,
        choice: &Choice,
        take: &dyn Fn(&Request) -> Result<T>,
    ) -> Result<T> {
        let expected = self.expected(request)?;
        match choice {
            Choice::Page => take(request),
            Choice::Listed { source, pin, trusted } => {
                self.take(request, &expected, source, Some(pin), *trusted, take)
            }
            Choice::Repository(repository) => {
                self.admit(request, &expected, &format!("hf:{repository}"), false)?;
                let mut failed = None;
                let mut commit = None;
                for file in HUB_FILES {
                    let location = Location::parse(&format!("hf:{repository}@main/{file}"))?;
                    let Location::Hub(file) = location else { continue };
                    let revision = match commit.take() {
                        Some(commit) => commit,
                        None => self.options.hub.commit_of(&file)?,
                    };
                    commit = Some(revision.clone());
                    let source = Location::Hub(HubFile { revision, ..file }).to_string();
                    match self.take(request, &expected, &source, None, false, take) {
                        // Of the two names a repository may have only one.
                        Err(error) if is_gone(&error) && failed.is_none() => failed = Some(error),
                        Err(error) => return Err(failed.unwrap_or(error)),
                        Ok(taken) => return Ok(taken),
                    }
                }
                Err(failed.unwrap_or_else(|| Error::NoSource { name: request.name.clone() }))
            }
        }
    }

    /// Whether a file of the hub's may be taken, before it is fetched.
    fn admit(&self, request: &Request, expected: &Expected, place: &str, trusted: bool) -> Result<()> {
        if trusted || expected.tensors.is_some() || self.options.accept_hub {
            Ok(())
        } else {
            Err(Error::NotAccepted { name: request.name.clone(), place: place.to_owned() })
        }
    }

    /// Takes a file of the hub's and compares its tensors with what is on record of the page's.
    fn take<T: Taken>(
        &self,
        request: &Request,
        expected: &Expected,
        source: &str,
        pin: Option<&Pin>,
        trusted: bool,
        take: &dyn Fn(&Request) -> Result<T>,
    ) -> Result<T> {
        self.admit(request, expected, source, trusted)?;
        let listed = pin.filter(|_| trusted).and_then(|pin| pin.tensors_sha256);
        if let Some(tensors) = listed {
            expected.check_tensors(source, tensors)?;
        }
        let other = match pin {
            Some(pin) => alternate(request, source, pin),
            None => Request {
                sources: vec![Source(source.to_owned())],
                sha256: None,
                prefix: None,
                size: None,
                hub: None,
                ..request.clone()
            },
        };
        let mut taken = take(&other)?;
        let tensors = match taken.known_tensors().or(listed) {
            Some(tensors) => tensors,
            None => self.tensors_in(&request.name, taken.file())?,
        };
        let file = taken.file();
        if let Err(error) = expected.check_tensors(&file.url, tensors) {
            self.drop_file(file.sha256)?;
            return Err(error);
        }
        file.page_file = standing(expected.tensors.as_ref().map(|(digest, _)| *digest), Some(tensors));
        file.source = source.to_owned();
        let pin = Pin {
            tensors_sha256: Some(tensors),
            instead_of: request.sources.first().map(|s| s.0.clone()),
            ..Pin::new(file.sha256, file.bytes)
        };
        self.put_on_record(source, pin.named(&request.name), file.status)?;
        let said = match file.page_file {
            PageFile::Seen => return Ok(taken),
            PageFile::OnRecord => {
                "has the tensors that are on record of the page's file, which was not fetched"
            }
            PageFile::NotSeen => "was accepted for the page's own file, which was not seen",
        };
        self.note(&request.name, &format!("`{source}` {said}"));
        Ok(taken)
    }

    /// The hub's files that folders used as mirrors say they have. Their word is taken for where to look, and for nothing else.
    fn in_mirrors(&self, request: &Request) -> Vec<Choice> {
        let locks = self.options.mirrors.iter().filter_map(super::Mirror::lock);
        let found = locks.flat_map(|lock| {
            let of = |s: &Source| {
                lock.instead_of(&s.0).map(|(o, p)| (o.to_owned(), p.clone())).collect::<Vec<_>>()
            };
            request.sources.iter().flat_map(of).collect::<Vec<_>>()
        });
        found.map(|(source, pin)| Choice::Listed { source, pin, trusted: false }).collect()
    }

    /// Whether a request's file, or what was converted from it, is in the cache; nothing is read.
    pub(super) fn is_here(&self, request: &Request) -> Result<bool> {
        let pinned = self.expected(request)?.pinned();
        Ok(pinned.is_some_and(|sha256| self.cache.file(sha256).is_file() || self.derived(sha256).is_file()))
    }

    /// Takes a file that turned out to be another than was meant out of the cache, and what was converted from it.
    fn drop_file(&self, sha256: Sha256) -> Result<()> {
        let (file, derived) = (self.cache.file(sha256), self.derived(sha256));
        fs::remove_file(&super::cache::record_path(&file))?;
        fs::remove_file(&file)?;
        fs::remove_file(&derived.with_extension("json"))?;
        Ok(fs::remove_file(&derived)?)
    }
}

/// A request for another file of the same weights.
pub(super) fn alternate(request: &Request, source: &str, pin: &Pin) -> Request {
    let sources = [source.to_owned()].into_iter().chain(pin.places.iter().cloned()).map(Source).collect();
    let (sha256, size) = (Some(pin.sha256), Some(pin.bytes));
    Request { name: request.name.clone(), sources, sha256, prefix: None, size, hub: None }
}

/// What a file with these tensors says of the page's, whose tensors may be on record.
fn standing(page: Option<Sha256>, tensors: Option<Sha256>) -> PageFile {
    if page.is_some() && page == tensors { PageFile::OnRecord } else { PageFile::NotSeen }
}

/// Whether an error is about where the page's file is, so that another place may help: not that words about it disagree, or
/// that it is here and cannot be used.
fn is_about_places(error: &Error) -> bool {
    !matches!(
        error,
        Error::Disagree { .. }
            | Error::Lock { .. }
            | Error::Tensors { .. }
            | Error::Unreadable { .. }
            | Error::Damaged { .. }
    )
}

/// Takes an error that lists others apart.
fn gather(error: Error, tried: &mut Vec<Error>, needed: &mut Vec<String>) {
    match error {
        Error::Nowhere { tried: each, .. } => each.into_iter().for_each(|error| gather(error, tried, needed)),
        Error::Offline { needed: places, .. } => needed.extend(places),
        error => tried.push(error),
    }
}

/// Whether all that was wrong is that a server does not have the file.
fn is_gone(error: &Error) -> bool {
    match error {
        Error::Status { gone, .. } => *gone,
        Error::Nowhere { tried, .. } => !tried.is_empty() && tried.iter().all(is_gone),
        _ => false,
    }
}
