//! Which entries of the registry a command line means: names, collections, patterns, all, and of them those that a query
//! chooses. Shared by `zoo fetch` and `zoo lock`.

use super::Context;
use crate::error::{Class, Classify, Error, Result};
use crate::model::macs;
use crate::registry::query::{Lookups, Query, Row};
use crate::registry::{Entry, Registry};
use crate::store::Store;

/// The arguments that choose entries.
#[derive(Debug, clap::Args)]
pub(super) struct Selection {
    /// Models, as `zoo list` names them; a collection's name, or a pattern with `*`, `?` or `[…]`, means several
    #[arg(value_name = "NAME")]
    names: Vec<String>,
    /// Every model of the registry
    #[arg(long, conflicts_with = "names")]
    all: bool,
    /// Only models that satisfy this, as in `zoo list --where`
    #[arg(long = "where", value_name = "QUERY")]
    query: Option<String>,
}

impl Selection {
    /// Whether no model was named.
    pub(super) fn is_empty(&self) -> bool {
        self.names.is_empty() && !self.all
    }

    /// The entries, each once, in the order named and, of one name, in the registry's.
    ///
    /// # Errors
    /// Nothing named; a name that means nothing; a query that makes no sense or leaves none.
    pub(super) fn entries<'a>(&self, registry: &'a Registry, context: &Context) -> Result<Vec<&'a Entry>> {
        let found = if self.all {
            registry.models().iter().collect()
        } else if self.names.is_empty() {
            return Err(Error::usage("no model is named: give a NAME, a collection, a pattern, or `--all`"));
        } else {
            let selected = self
                .names
                .iter()
                .map(|name| registry.select(name))
                .collect::<std::result::Result<Vec<_>, _>>()?;
            let mut found: Vec<&Entry> = Vec::new();
            for entry in selected.into_iter().flatten() {
                if !found.iter().any(|other| std::ptr::eq(*other, entry)) {
                    found.push(entry);
                }
            }
            found
        };
        self.chosen(found, context)
    }

    /// The entries that the locks named on the command line pin, as [`Selection::entries`].
    ///
    /// # Errors
    /// As [`Selection::entries`] and [`locked`].
    pub(super) fn locked<'a>(
        &self,
        registry: &'a Registry,
        store: &Store,
        context: &Context,
    ) -> Result<Vec<&'a Entry>> {
        self.chosen(locked(registry, store)?, context)
    }

    /// Those of `entries` that the query chooses.
    fn chosen<'a>(&self, mut entries: Vec<&'a Entry>, context: &Context) -> Result<Vec<&'a Entry>> {
        let Some(query) = self.query.as_deref().map(str::parse::<Query>).transpose()? else {
            return Ok(entries);
        };
        let levels = context.levels()?;
        let golden = |e: &Entry| Some(levels.of(e).name());
        let lookups = Lookups { macs, golden: &golden };
        entries.retain(|entry| query.chooses(&Row { entry, lookups }));
        if entries.is_empty() { Err(Error::usage("no model is left by `--where`")) } else { Ok(entries) }
    }
}

/// The entries whose files the locks named on the command line pin, in the order of the locks. Datasets' files are passed
/// over, and so is what a lock of the first form, which names no models, has of files that no entry has.
///
/// # Errors
/// A lock that pins nothing of the registry; a model whose file the registry has elsewhere.
pub(super) fn locked<'a>(registry: &'a Registry, store: &Store) -> Result<Vec<&'a Entry>> {
    let mut found: Vec<&Entry> = Vec::new();
    for (source, pin) in store.named_pins() {
        let source = pin.instead_of.as_deref().unwrap_or(source);
        let of_source: Vec<_> =
            registry.models().iter().filter(|e| e.sources.iter().any(|s| s.0 == source)).collect();
        let named = of_source.iter().filter(|e| pin.names.contains(&e.name)).count();
        for entry in &of_source {
            let meant = named == 0 || pin.names.contains(&entry.name);
            if meant && !found.iter().any(|other| std::ptr::eq(*other, *entry)) {
                found.push(entry);
            }
        }
        let of_dataset = || registry.datasets().iter().any(|d| d.sources.iter().any(|s| s.url.0 == source));
        if let (true, Some(name)) = (of_source.is_empty() && !of_dataset(), pin.names.first()) {
            return Err(LockError::Elsewhere { name: name.clone(), source_of_it: source.to_owned() }.into());
        }
    }
    if found.is_empty() { Err(LockError::Nothing.into()) } else { Ok(found) }
}

/// A lock that cannot be used with this registry.
#[derive(Debug, thiserror::Error)]
enum LockError {
    #[error("the lock pins `{name}` at {source_of_it}, and no model of the registry is there")]
    Elsewhere { name: String, source_of_it: String },
    #[error("the lock pins no model's weights")]
    Nothing,
}

impl Classify for LockError {
    fn class(&self) -> Class {
        Class::BadInput
    }

    fn hint(&self) -> Option<String> {
        Some(match self {
            LockError::Elsewhere { name, .. } => {
                format!(
                    "name the pages it is on with `--registry`, or write the lock anew: `zoo lock {name}`"
                )
            }
            LockError::Nothing => "`zoo lock NAME -o zoo.lock` pins a model".into(),
        })
    }
}
