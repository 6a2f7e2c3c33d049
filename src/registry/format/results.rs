//! Results as the format means them, whichever way they are written.
//!
//! In: the view of a model. Out: task, dataset and metrics of each result. `Task` and `Dataset` are a name
//! or a mapping with `name` (Hugging Face's cards: `type` where there is no name); `Metrics` is a mapping,
//! or a list of mappings with `name` and `value`. Results of Hugging Face's `.eval_results` have a `dataset` with `id`
//! and `task_id`, and one `value`.

use crate::registry::tree::{Node, View};

/// One reported result.
#[derive(Clone, Debug)]
pub struct Reported<'a> {
    /// The whole result, for what else it says.
    pub view: View<'a>,
    /// The task's name.
    pub task: Option<View<'a>>,
    /// The dataset's name.
    pub dataset: Option<View<'a>>,
    /// Metric names and values, in the file's order.
    pub metrics: Vec<(&'a str, View<'a>)>,
}

/// The results of a model.
pub fn reported<'a>(model: &View<'a>) -> Vec<Reported<'a>> {
    let results = model.field("Results").map(|r| r.one_or_many()).unwrap_or_default();
    results.into_iter().map(one).collect()
}

/// Whether a result is one of `.eval_results`: a benchmark's id and task, and a value without a name.
pub fn is_eval_result(result: &Node) -> bool {
    result.field("Dataset").is_some_and(|d| d.field("id").is_some() && d.field("task_id").is_some())
        && result.field("Metrics").is_none()
}

fn one(view: View<'_>) -> Reported<'_> {
    if is_eval_result(view.node()) {
        let dataset = view.field("Dataset");
        let of = |key: &str| dataset.as_ref().and_then(|d| d.field(key));
        let metrics = view.field("value").map(|value| ("value", value)).into_iter().collect();
        return Reported { task: of("task_id"), dataset: of("id"), metrics, view };
    }
    let named = |field: &str| {
        let value = view.field(field)?;
        match value.node().mapping() {
            Some(_) => value.field("name").or_else(|| value.field("type")),
            None => Some(value),
        }
    };
    let (task, dataset) = (named("Task"), named("Dataset"));
    let mut metrics = Vec::new();
    if let Some(all) = view.field("Metrics") {
        for part in all.one_or_many() {
            let name = part.field("name").or_else(|| part.field("type"));
            match (name.and_then(|n| n.text()), part.field("value")) {
                (Some(name), Some(value)) => metrics.push((name, value)),
                _ => metrics.extend(part.entries().map(|(key, value)| (key.text(), value))),
            }
        }
    }
    Reported { view, task, dataset, metrics }
}
