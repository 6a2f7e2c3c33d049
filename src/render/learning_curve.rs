//! How a training went, as an SVG picture: accuracy on the images trained on and on those held out, and the loss.
//!
//! In: points of `finetune`. Out: one SVG document without scripts or references, every text escaped. Called by
//! `zoo finetune --curve`.

use std::fmt::Write;

use super::plot::svg_head;
use super::safe;
use crate::finetune::Point;

const WIDTH: f64 = 720.0;
const HEIGHT: f64 = 400.0;
const LEFT: f64 = 56.0;
const RIGHT: f64 = 64.0;
const TOP: f64 = 44.0;
const BOTTOM: f64 = 64.0;

/// Colours of the three lines.
const TRAIN: &str = "#69c";
const VAL: &str = "#c00";
const LOSS: &str = "#888";

/// The picture; `steps` names the x axis.
pub fn svg(points: &[Point], title: &str, steps: &str) -> String {
    let mut out = svg_head([WIDTH, HEIGHT], LEFT, title);
    let Some(last) = points.last() else {
        let _ = writeln!(out, "<text x=\"{LEFT}\" y=\"80\">no step was made</text>\n</svg>");
        return out;
    };
    let (right, bottom) = (WIDTH - RIGHT, HEIGHT - BOTTOM);
    let first = points.first().map_or(1, |point| point.step) as f64;
    let span = (last.step as f64 - first).max(1.0);
    let at_x = |step: usize| LEFT + (step as f64 - first) / span * (right - LEFT);
    let accuracies = points.iter().flat_map(|p| [Some(p.train_top1), p.val_top1]).flatten();
    let lowest = accuracies.fold(100.0_f64, f64::min).max(0.0);
    let floor = (lowest / 10.0).floor().min(9.0) * 10.0;
    let at_y = |percent: f64| bottom - (percent - floor) / (100.0 - floor) * (bottom - TOP);
    let highest =
        points.iter().map(|p| p.loss).filter(|loss| loss.is_finite()).fold(f64::MIN_POSITIVE, f64::max);
    let at_loss = |loss: f64| bottom - (loss / highest).clamp(0.0, 1.0) * (bottom - TOP);
    for tick in 0..=5 {
        let percent = floor + (100.0 - floor) * f64::from(tick) / 5.0;
        let (y, loss) = (at_y(percent), highest * f64::from(tick) / 5.0);
        let _ = writeln!(
            out,
            "<path d=\"M{LEFT} {y:.1}H{right}\" stroke=\"#ddd\"/>\
             <text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{percent}</text>\
             <text x=\"{:.1}\" y=\"{:.1}\" fill=\"{LOSS}\">{loss:.3}</text>",
            LEFT - 8.0,
            y + 4.0,
            right + 8.0,
            y + 4.0
        );
    }
    for tick in 0..=4 {
        let step = first + span * f64::from(tick) / 4.0;
        let x = LEFT + (right - LEFT) * f64::from(tick) / 4.0;
        let _ = writeln!(
            out,
            "<text x=\"{x:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{}</text>",
            bottom + 18.0,
            step.round()
        );
    }
    let mut line = |colour: &str, name: &str, at: f64, points: Vec<String>| {
        if points.is_empty() {
            return;
        }
        let _ = writeln!(
            out,
            "<polyline points=\"{}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"1.5\"/>\
             <text x=\"{at}\" y=\"{:.1}\" fill=\"{colour}\">{name}</text>",
            points.join(" "),
            HEIGHT - 16.0,
        );
    };
    let place = |point: &Point, y: f64| format!("{:.1},{y:.1}", at_x(point.step));
    line(LOSS, "loss", LEFT + 300.0, points.iter().map(|p| place(p, at_loss(p.loss))).collect());
    line(
        TRAIN,
        "% of the images trained on",
        LEFT,
        points.iter().map(|p| place(p, at_y(p.train_top1))).collect(),
    );
    let val = points.iter().filter_map(|p| Some(place(p, at_y(p.val_top1?)))).collect();
    line(VAL, "% held out", LEFT + 180.0, val);
    let _ = writeln!(
        out,
        "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{}</text>\n</svg>",
        (LEFT + right) / 2.0,
        bottom + 34.0,
        safe::xml(steps)
    );
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_within_and_names_are_harmless() {
        let point = |step, loss, train_top1, val_top1| Point { step, loss, train_top1, val_top1 };
        let points = [
            point(1, 2.3, 10.0, Some(12.5)),
            point(2, 0.5, 90.0, Some(88.0)),
            point(3, f64::NAN, 99.0, None),
        ];
        let picture = svg(&points, "</text><script>", "steps of L-BFGS");
        assert!(!picture.contains("<script") && picture.contains("&lt;script&gt;"));
        assert!(!picture.contains("inf"), "{picture}");
        assert_eq!(picture.matches("<polyline").count(), 3);
        assert!(svg(&[], "x", "y").contains("no step"));
        assert!(svg(&points[..1], "x", "y").contains("polyline"));
    }
}
