//! Which entries of the registry a command line means: names, collections, patterns, all, and of them those that a query
//! chooses. Shared by `zoo fetch` and `zoo lock`.

use super::Context;
use crate::error::{Error, Result};
use crate::model::macs;
use crate::registry::query::{Lookups, Query, Row};
use crate::registry::{Entry, Registry};

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

    /// Those of `entries` that the query chooses.
    ///
    /// # Errors
    /// As [`Selection::entries`].
    pub(super) fn chosen<'a>(
        &self,
        mut entries: Vec<&'a Entry>,
        context: &Context,
    ) -> Result<Vec<&'a Entry>> {
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
