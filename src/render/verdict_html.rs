//! The HTML report: one file that needs no network and runs no script.
//!
//! In: a [`Report`] and, where asked for, small pictures of its worst mistakes. Out: HTML by
//! `templates/report.html.j2`, every value escaped there. Called by `zoo verify` and `zoo report`.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::{template, verdict};
use crate::registry::labels;
use crate::verify::Report;
use crate::verify::insight::Insight;
use crate::verify::report::ModelResult;
use crate::verify::stats::Verdict;

/// Classes that are shown, the worst first.
const MAX_CLASSES: usize = 60;

/// Units of the plots' width.
const WIDTH: f64 = 640.0;

/// Small pictures by image id, as `data:` URLs.
pub type Thumbnails = BTreeMap<String, String>;

/// The document.
///
/// # Errors
/// [`template::Error`], which a test keeps from happening.
pub fn html(report: &Report, thumbnails: &Thumbnails) -> Result<String, template::Error> {
    let models: Vec<_> = report.results.iter().map(|r| model(report, r, thumbnails)).collect();
    let values = json!({
        "dataset": report.run.dataset,
        "zoo": report.run.zoo,
        "started": report.timing.started,
        "remarks": verdict::remarks(report),
        "models": models,
        "failed": report.failed,
        "canonical_sha256": crate::Sha256::of(report.canonical().as_bytes()),
    });
    template::render(template::REPORT, None, &values)
}

/// What a class is called: by the model where the report has its names, else by ImageNet where its classes are meant.
fn name(result: &ModelResult, class: usize) -> String {
    let own = result.class_names.get(class).cloned();
    let imagenet = result.class_names.is_empty() && result.dataset.name != "folder";
    let label = || labels::imagenet().get(class).filter(|_| imagenet).map(|l| l.words.to_owned());
    own.or_else(label).unwrap_or_else(|| format!("class {class}"))
}

fn model(report: &Report, result: &ModelResult, thumbnails: &Thumbnails) -> Value {
    let insight = Insight::of(&result.per_image);
    let named = |class: usize| name(result, class);
    let classes: Vec<_> = insight
        .classes
        .iter()
        .take(MAX_CLASSES)
        .map(|c| json!({"name": named(c.class), "n": c.n, "right": c.right, "percent": 100 * c.right / c.n.max(1)}))
        .collect();
    let confusions: Vec<_> = insight
        .confusions
        .iter()
        .map(|c| json!({"label": named(c.label), "guess": named(c.guess), "n": c.n}))
        .collect();
    let mistakes: Vec<_> = insight
        .mistakes
        .iter()
        .map(|m| {
            let percent = format!("{:.1}", m.prob * 100.0);
            json!({"id": m.id, "label": named(m.label), "guess": named(m.guess), "percent": percent,
                "picture": thumbnails.get(&m.id)})
        })
        .collect();
    let calibration: Vec<_> = insight
        .calibration
        .iter()
        .map(|b| {
            let x = |share: f64| (share * 200.0 * 10.0).round() / 10.0;
            json!({"from": format!("{:.0}", b.from * 100.0), "n": b.n, "x": x(b.from),
                "height": x(b.accuracy), "y": 200.0 - x(b.accuracy),
                "confidence": format!("{:.1}", b.confidence * 100.0),
                "accuracy": format!("{:.1}", b.accuracy * 100.0)})
        })
        .collect();
    let clock = report.timing.models.iter().find(|t| t.model == result.model);
    json!({
        "name": result.model,
        "verdict": result.verdict.name(),
        "tone": match result.verdict {
            Verdict::Reproduced => "good",
            Verdict::Contradicted => "bad",
            Verdict::Consistent | Verdict::NoClaim => "open",
        },
        "n": result.n,
        "top1": format!("{:.2}", result.top1),
        "top5": format!("{:.2}", result.top5),
        "interval": [format!("{:.2}", result.interval[0]), format!("{:.2}", result.interval[1])],
        "confidence": format!("{}", result.confidence * 100.0),
        "claim": result.claim.as_ref().map(|c| format!("{:.*}", c.digits as usize, c.value.value())),
        "tolerance": result.tolerance.map(|t| t.to_string()),
        "plot": plot(result),
        "gates": result.gates,
        "weights": result.weights,
        "labels_sha256": result.dataset.labels_sha256,
        "isa": result.isa,
        "algorithms_version": result.algorithms_version,
        "images_per_second": clock.and_then(|t| t.images_per_second),
        "classes": classes,
        "more_classes": insight.classes.len().saturating_sub(MAX_CLASSES),
        "confusions": confusions,
        "mistakes": mistakes,
        "calibration": calibration,
        "calibration_error": format!("{:.1}", insight.calibration_error * 100.0),
    })
}

/// Where interval, measurement and claim lie on a line, in units of [`WIDTH`].
fn plot(result: &ModelResult) -> Value {
    let [low, high] = result.interval.map(|p| p.value());
    let top1 = result.top1.value();
    let band = result.claim.as_ref().map(|c| {
        let t = result.tolerance.map_or(0.0, |t| t.value());
        (c.value.value() - t, c.value.value() + t)
    });
    let (from, to) = band.map_or((low, high), |(a, b)| (low.min(a), high.max(b)));
    let pad = ((to - from) * 0.1).max(0.5);
    let (from, to) = ((from - pad).max(0.0), (to + pad).min(100.0));
    let x = |v: f64| ((v - from) / (to - from).max(1e-9) * WIDTH * 10.0).round() / 10.0;
    // Ticks at whole steps: five to ten of them.
    let step = [0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0]
        .into_iter()
        .find(|s| (to - from) / s <= 10.0)
        .unwrap_or(25.0);
    let first = (from / step).ceil() as i64;
    let ticks: Vec<_> = (first..)
        .map(|i| i as f64 * step)
        .take_while(|v| *v <= to)
        .map(|v| json!({"x": x(v), "label": format!("{:.*}", usize::from(step < 1.0), v)}))
        .collect();
    json!({
        "low": x(low), "high": x(high), "width": (x(high) - x(low)).max(1.0), "top1": x(top1),
        "band": band.map(|(a, b)| json!({"x": x(a), "width": (x(b) - x(a)).max(1.0)})),
        "ticks": ticks,
    })
}
