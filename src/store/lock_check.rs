//! Whether a project's lock is what the registry makes of it: `zoo lock --check`. In: a lock, the registry, perhaps the
//! models it should hold. Out: what differs. Nothing is fetched and nothing is hashed.

use serde::Serialize;

use super::error::Result;
use super::lock::{Lock, Pin};
use super::{Error, Request, Store};
use crate::registry::{Entry, Registry};

/// What can be wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum LockProblemKind {
    /// A model that should be pinned is not.
    #[serde(rename = "missing")]
    Missing,
    /// A model is pinned that was not named.
    #[serde(rename = "extra")]
    Extra,
    /// The registry has the model's file at another place, or no such model.
    #[serde(rename = "moved")]
    Moved,
    /// The registry or another lock says that it is another file.
    #[serde(rename = "differs")]
    Differs,
    /// Nothing is said of the tensors.
    #[serde(rename = "incomplete")]
    Incomplete,
}

/// One thing that is wrong with a lock.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LockProblem {
    /// Which kind of thing.
    pub kind: LockProblemKind,
    /// The model, where one is known.
    pub name: Option<String>,
    /// The pinned source.
    pub source: Option<String>,
    /// In words.
    pub message: String,
}

/// Holds a lock against the registry, the store's own locks and, where given, the models that it should hold and no others.
///
/// # Errors
/// A lock of the store's that cannot be read.
pub fn check_lock(
    store: &Store,
    lock: &Lock,
    registry: &Registry,
    named: Option<&[&Entry]>,
) -> Result<Vec<LockProblem>> {
    let mut problems = Vec::new();
    for (source, pin) in lock.pins() {
        let page = pin.instead_of.as_deref().unwrap_or(source);
        let entries: Vec<_> =
            registry.models().iter().filter(|e| e.sources.iter().any(|s| s.0 == page)).collect();
        let is_data = registry.datasets().iter().any(|d| d.sources.iter().any(|s| s.url.0 == page));
        if is_data {
            continue;
        }
        let name = pin.names.first().cloned().or_else(|| entries.first().map(|e| e.name.clone()));
        let shown = name.clone().unwrap_or_else(|| source.to_owned());
        let mut tell = |kind, message: String| {
            problems.push(LockProblem { kind, name: name.clone(), source: Some(source.to_owned()), message });
        };
        if pin.tensors_sha256.is_none() {
            tell(
                LockProblemKind::Incomplete,
                format!("`{shown}` is pinned without the digest of its tensors"),
            );
        }
        if entries.is_empty() {
            tell(
                LockProblemKind::Moved,
                format!("`{shown}` is pinned at {page}, and no model of the registry is there"),
            );
        }
        for lost in pin.names.iter().filter(|n| !entries.is_empty() && !entries.iter().any(|e| e.name == **n))
        {
            tell(
                LockProblemKind::Moved,
                format!("`{lost}` is pinned at {page}, and the registry has it elsewhere"),
            );
        }
        if let Some(entry) = entries.first()
            && let Some(message) = differs(store, entry, source, pin)?
        {
            tell(LockProblemKind::Differs, message);
        }
        let is_named = |named: &&[&Entry]| entries.iter().any(|e| named.iter().any(|n| std::ptr::eq(*n, *e)));
        if named.is_some_and(|named| !is_named(&named)) && !entries.is_empty() {
            tell(LockProblemKind::Extra, format!("`{shown}` is pinned and was not named"));
        }
    }
    for entry in named.into_iter().flatten() {
        let of = |(source, pin): (&str, &Pin)| {
            let page = pin.instead_of.as_deref().unwrap_or(source);
            entry.sources.iter().any(|s| s.0 == page)
        };
        if !lock.pins().any(of) {
            let (name, kind) = (entry.name.clone(), LockProblemKind::Missing);
            let message = format!("`{name}` is not pinned");
            problems.push(LockProblem { kind, name: Some(name), source: None, message });
        }
    }
    Ok(problems)
}

/// How a pin contradicts what the registry and the other locks say of the file.
fn differs(store: &Store, entry: &Entry, source: &str, pin: &Pin) -> Result<Option<String>> {
    let own = Request::of(entry);
    let request = match &pin.instead_of {
        None => own,
        Some(_) => Request {
            name: own.name,
            sources: vec![crate::registry::Source(source.to_owned())],
            ..Request::default()
        },
    };
    let checked = store.expected(&request).and_then(|expected| {
        expected.check(source, pin.sha256, pin.bytes)?;
        pin.tensors_sha256.map_or(Ok(()), |tensors| expected.check_tensors(source, tensors))
    });
    match checked {
        Ok(()) => Ok(None),
        Err(
            error @ (Error::Mismatch { .. }
            | Error::Size { .. }
            | Error::Tensors { .. }
            | Error::Disagree { .. }),
        ) => Ok(Some(error.to_string())),
        Err(error) => Err(error),
    }
}
