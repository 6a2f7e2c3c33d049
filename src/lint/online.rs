//! What addresses answer today, where somebody asked them: `zoo lint --online`. The answers come with the context; without
//! them these rules find nothing.

use std::collections::BTreeMap;

use super::context::{LintContext, Model};
use super::rule::Sink;
use crate::registry::Source;
use crate::registry::tree::View;

/// What an address answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AddressState {
    /// There is a file.
    Found {
        /// Its length, where the server says so.
        bytes: Option<u64>,
        /// Where it has moved for good.
        moved_to: Option<String>,
    },
    /// There is none any more: the server's words.
    Gone(String),
}

/// What is known of addresses, by what the page says.
pub type Addresses = BTreeMap<String, AddressState>;

/// The addresses of the models of a context, each once: what there is to ask about.
pub fn addresses<'a>(context: &'a LintContext<'_>) -> Vec<&'a Source> {
    let mut all: Vec<&Source> = context.models.iter().flat_map(|m| &m.entry.sources).collect();
    all.sort_by(|a, b| a.0.cmp(&b.0));
    all.dedup();
    all
}

/// A model's addresses where they stand on its page, with what they answer.
fn answers<'a>(model: &'a Model<'_>, context: &'a LintContext<'_>) -> Vec<(View<'a>, &'a AddressState)> {
    let weights = model.view.field("Weights");
    let further = model.view.field("zoo").and_then(|zoo| zoo.field("sources"));
    let views = [weights, further].into_iter().flatten().flat_map(|v| v.one_or_many());
    views.filter_map(|view| context.addresses.get(view.text()?).map(|state| (view, state))).collect()
}

pub(super) fn dead(model: &Model<'_>, context: &LintContext<'_>, sink: &mut Sink) {
    for (view, state) in answers(model, context) {
        if let AddressState::Gone(words) = state {
            let message = format!("it answers {words}");
            sink.at(&view, model, message)
                .expected(view.text().unwrap_or_default(), "an address where the file is");
        }
    }
}

pub(super) fn moved(model: &Model<'_>, context: &LintContext<'_>, sink: &mut Sink) {
    for (view, state) in answers(model, context) {
        if let AddressState::Found { moved_to: Some(to), .. } = state {
            sink.at(&view, model, "it has moved for good").expected(view.text().unwrap_or_default(), to);
        }
    }
}

pub(super) fn length(model: &Model<'_>, context: &LintContext<'_>, sink: &mut Sink) {
    let Some(said) = model.entry.zoo.size.or(model.entry.file_size).map(|n| n.0) else { return };
    for (view, state) in answers(model, context) {
        if let AddressState::Found { bytes: Some(bytes), .. } = state
            && *bytes != said
        {
            let message = format!("the file there has {bytes} bytes, and the page says {said}");
            sink.at(&view, model, message).expected(said, bytes);
        }
    }
}
