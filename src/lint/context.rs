//! What is checked: models as their pages have them, and the facts that are known beside the pages.
//!
//! In: an index, the prose of Markdown pages, and the built-in registry. Out: a [`LintContext`]. A page of
//! others has no `zoo:` section; what the built-in registry knows of a model of that name then counts: its
//! architecture and exact parameters, and, where the weights have the same address, what timm makes of them.

use std::cell::RefCell;
use std::collections::{HashMap, HashSet};

use super::computed::Architectures;
use super::online::Addresses;
use crate::arch::Facts;
use crate::registry::format::{Index, Record};
use crate::registry::tree::{Problems, View};
use crate::registry::{Entry, Registry, Result, ZooFacts, is_imagenet};

/// A Markdown page, for the rules that read prose.
#[derive(Clone, Debug)]
pub struct Page {
    /// Its path.
    pub file: String,
    /// All of it.
    pub text: String,
}

/// One model.
#[derive(Debug)]
pub(super) struct Model<'a> {
    /// Its place among the index's.
    pub(super) at: usize,
    pub(super) name: &'a str,
    pub(super) record: &'a Record,
    /// With what its collections add.
    pub(super) view: View<'a>,
    pub(super) entry: Entry,
    /// What could not be read as its type.
    pub(super) problems: Problems,
    /// What is known of it: the page's own `zoo:` section before the built-in registry's.
    pub(super) facts: ZooFacts,
}

impl<'a> Model<'a> {
    /// A field of the metadata.
    pub(super) fn metadata(&self, key: &str) -> Option<View<'a>> {
        self.view.field("Metadata")?.field(key)
    }

    /// The address of the weights.
    pub(super) fn weights(&self) -> Option<View<'a>> {
        self.view.field("Weights")?.one_or_many().into_iter().next()
    }

    /// Exact parameters: those of the weights, else those of the architecture.
    pub(super) fn params(&self, context: &LintContext<'_>) -> Option<u64> {
        self.facts.params.map(|n| n.0).or_else(|| Some(context.architecture(self)?.params))
    }
}

/// Everything that is checked together.
#[derive(Debug)]
pub struct LintContext<'a> {
    pub(super) index: &'a Index,
    pub(super) models: Vec<Model<'a>>,
    pub(super) pages: &'a [Page],
    /// The built-in entries that are not themselves checked.
    pub(super) beside: Vec<&'a Entry>,
    pub(super) architectures: RefCell<Architectures>,
    /// What addresses answer, where they were asked.
    pub(super) addresses: Addresses,
}

/// The built-in registry, whose facts [`LintContext::new`] takes.
///
/// # Errors
/// As [`Registry::builtin`].
pub fn known() -> Result<Registry> {
    Registry::builtin()
}

impl<'a> LintContext<'a> {
    /// The models of `index`, and the prose of the pages they are from.
    pub fn new(index: &'a Index, pages: &'a [Page], known: &'a Registry) -> Self {
        let by_name: HashMap<&str, &Entry> = known.models().iter().map(|e| (e.name.as_str(), e)).collect();
        let architectures: HashSet<&str> = crate::arch::names().into_iter().collect();
        let mut models = Vec::with_capacity(index.models.len());
        for (at, record) in index.models.iter().enumerate() {
            let (entry, problems) = crate::registry::entry(index, record, at);
            let name = record.name().unwrap_or_default();
            let facts = facts(&entry, by_name.get(name).copied(), &architectures);
            let (at, view) = (models.len(), record.full());
            models.push(Model { at, name, record, view, entry, problems, facts });
        }
        let own: HashSet<&str> = models.iter().map(|m| m.name).collect();
        let beside = known.models().iter().filter(|e| !own.contains(e.name.as_str())).collect();
        LintContext {
            index,
            models,
            pages,
            beside,
            architectures: RefCell::default(),
            addresses: Addresses::new(),
        }
    }

    /// The same, with what its addresses answer.
    #[must_use]
    pub fn with_addresses(self, addresses: Addresses) -> Self {
        LintContext { addresses, ..self }
    }

    /// What the architecture of a model says, at the model's size where it has one.
    pub(super) fn architecture(&self, model: &Model<'_>) -> Option<Facts> {
        let side = model.entry.image_size.map_or([224, 224], |s| [s.height, s.width]);
        self.architectures.borrow_mut().get(model.facts.arch.as_deref()?, side)
    }

    /// The model that a reader's problem is about.
    pub(super) fn model_at(&self, file: &str, path: &str) -> Option<&Model<'a>> {
        let of = |m: &&Model<'_>| {
            !m.record.path.is_empty()
                && path
                    .strip_prefix(m.record.path.as_str())
                    .is_some_and(|rest| !rest.starts_with(char::is_alphanumeric))
                && *m.record.own.file == *file
        };
        self.models.iter().find(of)
    }
}

/// The page's own facts, then the built-in ones.
fn facts(entry: &Entry, known: Option<&Entry>, architectures: &HashSet<&str>) -> ZooFacts {
    let mut facts = entry.zoo.clone();
    let address = |e: &Entry| e.sources.first().cloned();
    let of_weights = known.into_iter().flat_map(|k| [k, k.as_published()]);
    let mut of_weights = of_weights.filter(|k| address(k).is_some() && address(k) == address(entry));
    if let Some(known) = known {
        facts.arch = facts.arch.or_else(|| known.zoo.arch.clone());
        facts.params = facts.params.or(known.zoo.params);
    }
    if let Some(known) = of_weights.next() {
        facts.tag = facts.tag.or_else(|| known.zoo.tag.clone());
        facts.config = facts.config.or_else(|| known.zoo.config.clone());
        facts.today = facts.today.or_else(|| known.zoo.today.clone());
        facts.sha256 = facts.sha256.or(known.zoo.sha256);
        for (rule, reason) in &known.zoo.lint {
            facts.lint.entry(rule.clone()).or_insert_with(|| reason.clone());
        }
    }
    // A model of an architecture's own name that claims an ImageNet accuracy is that architecture.
    if facts.arch.is_none()
        && architectures.contains(entry.name.as_str())
        && entry.results.iter().any(|r| is_imagenet(&r.dataset))
    {
        facts.arch = Some(entry.name.clone());
    }
    facts
}
