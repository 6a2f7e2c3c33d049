//! Accuracy against size as an SVG picture, the Pareto front drawn and named.
//!
//! In: points of any verb. Out: one SVG document without scripts or references, every text escaped.
//! Called by `zoo list --plot`.

use std::fmt::Write;

use super::entry::short_count;
use super::safe;

/// One model.
#[derive(Clone, Debug, PartialEq)]
pub struct Point {
    /// Its name.
    pub name: String,
    /// Its cost: parameters or operations, above zero.
    pub x: f64,
    /// Its accuracy in percent.
    pub y: f64,
}

const WIDTH: f64 = 960.0;
const HEIGHT: f64 = 600.0;
const LEFT: f64 = 64.0;
const RIGHT: f64 = 180.0;
const TOP: f64 = 40.0;
const BOTTOM: f64 = 56.0;

/// The points that no other beats: none is both smaller (or equal) and better, from left to right.
pub fn pareto(points: &[Point]) -> Vec<&Point> {
    let mut sorted: Vec<_> = points.iter().collect();
    sorted.sort_by(|a, b| a.x.total_cmp(&b.x).then(b.y.total_cmp(&a.y)));
    let mut best = f64::NEG_INFINITY;
    sorted.retain(|p| {
        let better = p.y > best;
        best = best.max(p.y);
        better
    });
    sorted
}

/// What a picture begins with: its size, a white ground, and its title.
pub(super) fn svg_head([width, height]: [f64; 2], left: f64, title: &str) -> String {
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" font-family=\"sans-serif\" \
         font-size=\"12\">\n<rect width=\"100%\" height=\"100%\" fill=\"#fff\"/>\n\
         <text x=\"{left}\" y=\"24\" font-size=\"16\">{}</text>\n",
        safe::xml(title),
    )
}

/// The picture. The x axis is logarithmic; `x_title` names it.
pub fn svg(points: &[Point], x_title: &str) -> String {
    let bounds = |f: fn(&Point) -> f64| {
        let all = points.iter().map(f);
        (all.clone().fold(f64::INFINITY, f64::min), all.fold(f64::NEG_INFINITY, f64::max))
    };
    let (x0, x1) = bounds(|p| p.x.log10());
    let (y0, y1) = bounds(|p| p.y);
    let (x0, x1) = if x0 < x1 { (x0, x1) } else { (x0 - 0.5, x0 + 0.5) };
    let (y0, y1) = if y0 < y1 { (y0.floor(), y1.ceil()) } else { (y0 - 1.0, y0 + 1.0) };
    let at_x = |x: f64| LEFT + (x.log10() - x0) / (x1 - x0) * (WIDTH - LEFT - RIGHT);
    let at_y = |y: f64| HEIGHT - BOTTOM - (y - y0) / (y1 - y0) * (HEIGHT - TOP - BOTTOM);
    let mut out = svg_head([WIDTH, HEIGHT], LEFT, &format!("Top-1 accuracy (%) against {x_title}"));
    if points.is_empty() {
        let _ = writeln!(out, "<text x=\"{LEFT}\" y=\"80\">no model has both values</text>\n</svg>");
        return out;
    }
    let (right, bottom) = (WIDTH - RIGHT, HEIGHT - BOTTOM);
    for tick in ticks(y0, y1) {
        let y = at_y(tick);
        let _ = writeln!(
            out,
            "<path d=\"M{LEFT} {y:.1}H{right}\" stroke=\"#ddd\"/>\
             <text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{tick}</text>",
            LEFT - 8.0,
            y + 4.0
        );
    }
    for tick in decades(x0, x1) {
        let x = at_x(tick);
        let _ = writeln!(
            out,
            "<path d=\"M{x:.1} {TOP}V{bottom}\" stroke=\"#ddd\"/>\
             <text x=\"{x:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{}</text>",
            bottom + 18.0,
            short_count(tick as u64)
        );
    }
    let front = pareto(points);
    for point in points {
        let (x, y, name) = (at_x(point.x), at_y(point.y), safe::xml(&point.name));
        let fill = if front.contains(&point) { "#c00" } else { "#69c" };
        let _ = writeln!(
            out,
            "<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"4\" fill=\"{fill}\" fill-opacity=\"0.8\">\
             <title>{name}: {} %, {}</title></circle>",
            point.y,
            short_count(point.x as u64)
        );
    }
    let line: Vec<_> = front.iter().map(|p| format!("{:.1},{:.1}", at_x(p.x), at_y(p.y))).collect();
    let _ = writeln!(out, "<polyline points=\"{}\" fill=\"none\" stroke=\"#c00\"/>", line.join(" "));
    // Above and left of the front is nothing: names stand there, where there is room for them, and each needs a
    // line of its own: one too close above the one before is moved up.
    const LETTER_WIDTH: f64 = 7.0;
    let mut free = f64::INFINITY;
    for point in &front {
        let y = (at_y(point.y) + 4.0).min(free);
        free = y - 13.0;
        let (x, name) = (at_x(point.x), safe::xml(&point.name));
        let fits = x - 8.0 - LETTER_WIDTH * name.chars().count() as f64 >= LEFT;
        let (x, anchor) = if fits { (x - 8.0, "end") } else { (x + 8.0, "start") };
        let _ = writeln!(
            out,
            "<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\" stroke=\"#fff\" stroke-width=\"3\" \
             paint-order=\"stroke\">{name}</text>"
        );
    }
    out.push_str("</svg>\n");
    out
}

/// Some five round values between the two.
fn ticks(from: f64, to: f64) -> Vec<f64> {
    let step = [0.5, 1.0, 2.0, 5.0, 10.0, 20.0].into_iter().find(|s| (to - from) / s <= 10.0).unwrap_or(50.0);
    let first = (from / step).ceil() as i64;
    (first..).map(|i| i as f64 * step).take_while(|t| *t <= to).collect()
}

/// 1, 2 and 5 times the powers of ten between two logarithms.
fn decades(from: f64, to: f64) -> Vec<f64> {
    let powers = (from.floor() as i32)..=(to.ceil() as i32);
    let all = powers.flat_map(|p| [1.0, 2.0, 5.0].map(|m| m * 10f64.powi(p)));
    all.filter(|x| (from..=to).contains(&x.log10())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn point(name: &str, x: f64, y: f64) -> Point {
        Point { name: name.into(), x, y }
    }

    #[test]
    fn the_front_is_what_nothing_beats() {
        let points =
            [point("a", 5.0, 70.0), point("b", 10.0, 69.0), point("c", 20.0, 80.0), point("d", 20.0, 75.0)];
        let front: Vec<_> = pareto(&points).iter().map(|p| p.name.as_str()).collect();
        assert_eq!(front, ["a", "c"]);
    }

    #[test]
    fn hostile_names_and_odd_ranges_are_harmless() {
        let picture = svg(&[point("</text><script>", 1e6, 50.0)], "<x>");
        assert!(!picture.contains("<script") && picture.contains("&lt;script&gt;"));
        assert!(!picture.contains("NaN") && !picture.contains("inf"));
        assert!(svg(&[], "parameters").contains("no model"));
        let two = svg(&[point("small", 1e6, 50.0), point("large", 1e8, 90.0)], "parameters");
        let anchor = |name: &str| two.lines().find(|l| l.ends_with(&format!(">{name}</text>"))).unwrap();
        assert!(anchor("small").contains("\"start\"") && anchor("large").contains("\"end\""), "{two}");
    }
}
