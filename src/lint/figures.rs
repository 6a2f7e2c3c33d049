//! Figures of a page against its architecture and the weights' own configuration.

use super::context::{LintContext, Model};
use super::rule::Sink;

/// Pages round to three digits: half a percent at most. Beyond one they count something else.
const PARAMS: f64 = 0.01;

/// Operations on a page for each multiply-add of a convolution or linear layer, as computed. The ends are
/// those of all pages, one percent further out; a test computes them anew. Of 186 pages DLA's twelve count the
/// multiply-adds alone (1.00 to 1.02), the others something more that is nearly the same for all of them
/// (1.12 to 1.34, half of them 1.29).
pub(super) const FLOPS: std::ops::RangeInclusive<f64> = 0.99..=1.36;

/// The pages cut crops to three digits: 0.897 is 0.8975.
const CROP: f64 = 0.001;

pub(super) fn parameters(model: &Model<'_>, context: &LintContext<'_>, sink: &mut Sink) {
    // A classifier of other classes has other parameters than the architecture's own.
    if !model.facts.classes.is_empty() {
        return;
    }
    let computed = context.architecture(model).map(|c| c.params);
    if let Some(view) = model.metadata("Parameters")
        && let Some((page, exact)) =
            model.entry.params.map(|n| n.0).zip(computed.or(model.facts.params.map(|n| n.0)))
        && (page as f64 / exact as f64 - 1.0).abs() > PARAMS
    {
        let off = (page as f64 / exact as f64 - 1.0) * 100.0;
        let arch = model.facts.arch.as_deref().unwrap_or(model.name);
        let message = format!("{off:+.1} % of what `{arch}` with 1000 classes has");
        sink.at(&view, model, message).expected(page, exact);
    }
    let exact = model.view.field("zoo").and_then(|z| z.field("params"));
    if let Some(view) = exact
        && let Some((stated, computed)) = model.entry.zoo.params.map(|n| n.0).zip(computed)
        && stated != computed
    {
        sink.at(&view, model, "not what the architecture has").expected(stated, computed);
    }
}

pub(super) fn operations(model: &Model<'_>, context: &LintContext<'_>, sink: &mut Sink) {
    let (Some(view), Some(flops)) = (model.metadata("FLOPs"), model.entry.flops.map(|n| n.0)) else { return };
    if let Some(computed) = context.architecture(model).filter(|c| c.macs > 0) {
        let ratio = flops as f64 / computed.macs as f64;
        if !FLOPS.contains(&ratio) {
            let size = model.entry.image_size.map(|s| format!(" at {s} pixels")).unwrap_or_default();
            let message = format!("{ratio:.2} for each of the {} multiply-adds{size}", computed.macs);
            let expected = format!("{} to {}, as on the other pages", FLOPS.start(), FLOPS.end());
            sink.at(&view, model, message).expected(flops, expected);
        }
        return;
    }
    // Every weight of a convolution or a linear layer is used once at least.
    if let Some(params) = model.facts.params.or(model.entry.params).filter(|p| flops < p.0) {
        let message =
            format!("fewer operations than the {params} parameters, each of which is used at least once");
        sink.at(&view, model, message).expected(flops, format!("more than {params}"));
    }
}

pub(super) fn configuration(model: &Model<'_>, _: &LintContext<'_>, sink: &mut Sink) {
    let Some(config) = &model.facts.config else { return };
    let entry = &model.entry;
    let mut tell = |key: &str, page: String, own: String| {
        if let Some(view) = model.metadata(key) {
            let message = "the weights' own configuration evaluates otherwise; the claim is about the page's";
            sink.at(&view, model, message).expected(page, own);
        }
    };
    if let Some((page, own)) = entry.image_size.zip(config.image_size).filter(|(a, b)| a != b) {
        tell("Image Size", page.to_string(), own.to_string());
    }
    if let Some((page, own)) =
        entry.crop_pct.zip(config.crop_pct).filter(|(a, b)| (a.get() - b.get()).abs() > CROP)
    {
        tell("Crop Pct", page.to_string(), own.to_string());
    }
    if let Some((page, own)) = entry.interpolation.zip(config.interpolation).filter(|(a, b)| a != b) {
        tell("Interpolation", page.name().to_owned(), own.name().to_owned());
    }
}
