//! Which entries of a registry are meant where none is named. Called by `zoo verify`.

use std::collections::HashSet;

use super::Error;
use crate::arch;
use crate::registry::{Entry, Registry};
use crate::store::{ItemKind, Store};

/// Every entry whose architecture zoo can build, by name.
pub fn buildable(registry: &Registry) -> Vec<&Entry> {
    let known: HashSet<&str> = arch::names().into_iter().collect();
    let mut models = by_name(registry);
    models.retain(|m| m.zoo.arch.as_deref().is_some_and(|a| known.contains(a)));
    models
}

/// Every entry whose weights are in the store, by name.
///
/// # Errors
/// A cache that cannot be read.
pub fn stored<'a>(registry: &'a Registry, store: &Store) -> Result<Vec<&'a Entry>, Error> {
    let inventory = store.inventory()?;
    let records: Vec<_> =
        inventory.iter().filter(|i| i.kind == ItemKind::File).filter_map(|i| i.record.as_ref()).collect();
    // Two entries may share a file, and whoever fetched it gave it its name: the source tells as well.
    let names: HashSet<&str> = records.iter().flat_map(|r| &r.names).map(String::as_str).collect();
    let sources: HashSet<&str> = records.iter().map(|r| r.source.as_str()).collect();
    let mut models = by_name(registry);
    models.retain(|m| {
        names.contains(m.name.as_str()) || m.sources.first().is_some_and(|s| sources.contains(s.0.as_str()))
    });
    Ok(models)
}

fn by_name(registry: &Registry) -> Vec<&Entry> {
    let mut models: Vec<&Entry> = registry.models().iter().collect();
    models.sort_by(|a, b| a.name.cmp(&b.name));
    models
}
