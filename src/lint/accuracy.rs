//! Claims that cannot be: each pair of top-1 and top-5 gets one verdict, the most telling one.
//!
//! The relation that a pair must have comes from the pages themselves: over the 257 models with a plausible
//! top-1, ln(top-5 error) = 2.0245 ln(top-1 error) − 4.4616, and none is further than 0.217 from that line.
//! A pair further than [`MAX_DISTANCE`], over twice that, is not one network's on one set of images. A test holds
//! the figures to the pages.

use super::context::{LintContext, Model};
use super::rule::Sink;
use crate::registry::format::reported;
use crate::registry::tree::View;
use crate::registry::{Accuracy, is_imagenet, is_top1, is_top5};

/// Slope of the line.
pub(super) const SLOPE: f64 = 2.0245;
/// Where the line begins.
pub(super) const INTERCEPT: f64 = -4.4616;
/// How far from the line a pair may lie, in natural logarithms of the top-5 error.
pub(super) const MAX_DISTANCE: f64 = 0.5;
/// The line is that of models above this top-1; of others it says nothing.
const MIN_FITTED_TOP1: f64 = 50.0;
/// Under this a network of 1000 classes has hardly been trained, or the number is another one. The lowest
/// plausible top-1 on the pages is 62.91 %.
const NEAR_CHANCE: f64 = 5.0;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Anomaly {
    NotAPercentage,
    Fraction,
    NearChance,
    ErrorRate,
    Shifted,
    Below,
    Unlike,
}

struct Pair<'a> {
    top1: Option<(View<'a>, Option<Accuracy>)>,
    top5: Option<(View<'a>, Option<Accuracy>)>,
    imagenet: bool,
}

fn pairs<'a>(model: &Model<'a>) -> Vec<Pair<'a>> {
    let pair = |result: crate::registry::format::Reported<'a>| {
        let metric = |is: fn(&str) -> bool| {
            let named = result.metrics.iter().find(|(name, _)| is(name));
            named
                .filter(|(_, v)| !v.node().is_null())
                .map(|(_, v)| (v.clone(), v.text().and_then(|t| t.parse().ok())))
        };
        let imagenet = result.dataset.as_ref().and_then(|d| d.text()).is_some_and(is_imagenet);
        Pair { top1: metric(is_top1), top5: metric(is_top5), imagenet }
    };
    reported(&model.view).into_iter().map(pair).collect()
}

/// How far a pair lies from the line, where that is known.
pub(super) fn distance(top1: f64, top5: f64) -> Option<f64> {
    let (e1, e5) = (100.0 - top1, 100.0 - top5);
    (e1 > 0.0 && e5 > 0.0).then(|| e5.ln() - (SLOPE * e1.ln() + INTERCEPT))
}

fn plausible(top1: f64, top5: f64) -> bool {
    top1 >= MIN_FITTED_TOP1 && top5 >= top1 && distance(top1, top5).is_some_and(|d| d.abs() <= MAX_DISTANCE)
}

fn judge(pair: &Pair<'_>) -> Option<Anomaly> {
    let read =
        |side: &Option<(View<'_>, Option<Accuracy>)>| side.as_ref().map(|(_, a)| a.as_ref().map(|a| a.value));
    let (top1, top5) = (read(&pair.top1), read(&pair.top5));
    if top1 == Some(None) || top5 == Some(None) {
        return Some(Anomaly::NotAPercentage);
    }
    let (top1, top5) = (top1.flatten(), top5.flatten());
    let share = |x: f64| x > 0.0 && x <= 1.0;
    // One of the two alone, where a hundred times as much would be right.
    if let Some((a, b)) = top1.zip(top5).filter(|_| pair.imagenet)
        && ((share(a) && plausible(100.0 * a, b)) || (share(b) && plausible(a, 100.0 * b)))
    {
        return Some(Anomaly::Fraction);
    }
    if top1.is_some_and(share) && top5.is_none_or(share) && (top5.is_some() || pair.imagenet) {
        return Some(Anomaly::Fraction);
    }
    let top1 = top1?;
    if pair.imagenet && top1 < NEAR_CHANCE {
        return Some(Anomaly::NearChance);
    }
    let top5 = top5?;
    if pair.imagenet && (top1 + top5 - 100.0).abs() < 0.015 && top5 != top1 {
        return Some(Anomaly::Shifted);
    }
    if top5 < top1 {
        return Some(match pair.imagenet && plausible(100.0 - top1, 100.0 - top5) {
            true => Anomaly::ErrorRate,
            false => Anomaly::Below,
        });
    }
    (pair.imagenet && (MIN_FITTED_TOP1..100.0).contains(&top1) && !plausible(top1, top5))
        .then_some(Anomaly::Unlike)
}

/// The pairs of a model with a verdict, the value it is about first.
fn judged<'a>(model: &Model<'a>, wanted: &[Anomaly]) -> Vec<(View<'a>, String, Anomaly)> {
    let mut found = Vec::new();
    for pair in pairs(model) {
        let Some(verdict) = judge(&pair).filter(|v| wanted.contains(v)) else { continue };
        let unread = |side: &Option<(View<'a>, Option<Accuracy>)>| {
            side.as_ref()
                .filter(|(_, a)| verdict != Anomaly::NotAPercentage || a.is_none())
                .map(|(v, _)| v.clone())
        };
        let Some(view) = unread(&pair.top1).or_else(|| unread(&pair.top5)) else { continue };
        let text = |side: &Option<(View<'a>, Option<Accuracy>)>| side.as_ref().and_then(|(v, _)| v.text());
        let shown = match (verdict, text(&pair.top1), text(&pair.top5)) {
            (Anomaly::NotAPercentage, ..) => view.text().unwrap_or("a list or mapping").to_owned(),
            (_, Some(top1), Some(top5)) => format!("top-1 {top1}, top-5 {top5}"),
            (_, top1, top5) => top1.or(top5).unwrap_or_default().to_owned(),
        };
        found.push((view, shown, verdict));
    }
    found
}

pub(super) fn not_a_percentage(model: &Model<'_>, _: &LintContext<'_>, sink: &mut Sink) {
    for (view, shown, _) in judged(model, &[Anomaly::NotAPercentage]) {
        sink.at(&view, model, "not an accuracy").expected(shown, "a percentage such as `78.66%`");
    }
}

pub(super) fn fraction(model: &Model<'_>, _: &LintContext<'_>, sink: &mut Sink) {
    for (view, shown, _) in judged(model, &[Anomaly::Fraction]) {
        sink.at(&view, model, "a fraction where percent is meant")
            .expected(shown, "percent such as `78.66%`");
    }
}

pub(super) fn near_chance(model: &Model<'_>, _: &LintContext<'_>, sink: &mut Sink) {
    for (view, shown, _) in judged(model, &[Anomaly::NearChance]) {
        let message = "a trained network of 1000 classes does not score this little";
        sink.at(&view, model, message).expected(shown, format!("a top-1 of {NEAR_CHANCE} % at least"));
    }
}

pub(super) fn error_rate(model: &Model<'_>, _: &LintContext<'_>, sink: &mut Sink) {
    for (view, shown, verdict) in judged(model, &[Anomaly::ErrorRate, Anomaly::Shifted]) {
        let message = match verdict {
            Anomaly::Shifted => {
                "the two add up to 100: one column is an error rate, as in a table read one column off"
            }
            _ => "these look like error rates: 100 minus each would be a plausible pair",
        };
        sink.at(&view, model, message).expected(shown, "accuracies");
    }
}

pub(super) fn below(model: &Model<'_>, _: &LintContext<'_>, sink: &mut Sink) {
    for (view, shown, _) in judged(model, &[Anomaly::Below]) {
        let message = "top-5 is below top-1, though it counts every image that top-1 counts";
        sink.at(&view, model, message).expected(shown, "top-5 at least top-1");
    }
}

pub(super) fn unlike(model: &Model<'_>, _: &LintContext<'_>, sink: &mut Sink) {
    for (view, shown, _) in judged(model, &[Anomaly::Unlike]) {
        let message = "no network on these pages has a top-5 so far from what its top-1 leads to";
        sink.at(&view, model, message)
            .expected(shown, "two accuracies of the same network on the same images");
    }
}
