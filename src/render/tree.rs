//! A network as a tree of modules, for people (`zoo show NAME --tree`) and as JSON.
//!
//! In: a [`Description`]. Out: text of which every line is one module, or a JSON value. Called by
//! `cli::show`.

use std::fmt::Write as _;

use serde_json::{Value, json};

use super::safe;
use crate::nn::describe::{Description, Module};

/// The tree, one module a line: name, what it does, output, parameters, multiply-adds. Ends in a line
/// with the totals.
///
/// `depth` cuts it: 1 is the top-level modules, `None` everything.
pub fn text(description: &Description, depth: Option<usize>) -> String {
    let tree = description.tree();
    let mut lines = Vec::new();
    collect(&tree, "", depth.unwrap_or(usize::MAX), &mut lines);
    let width = |f: fn(&Line) -> &str| lines.iter().map(|l| f(l).chars().count()).max().unwrap_or(0);
    let (name, kind, output) = (width(|l| &l.name), width(|l| &l.kind), width(|l| &l.output));
    let (params, macs) = (width(|l| &l.params), width(|l| &l.macs));
    let mut out = String::new();
    for l in &lines {
        let line = format!(
            "{:name$}  {:kind$}  {:>output$}  {:>params$}  {:>macs$}",
            l.name, l.kind, l.output, l.params, l.macs
        );
        out.push_str(line.trim_end());
        out.push('\n');
    }
    let [_, c, h, w] = description.input;
    let _ = writeln!(
        out,
        "{}: {} parameters in {} tensors, {} multiply-adds at {c}x{h}x{w}",
        safe::terminal(&description.arch),
        thousands(description.params),
        description.tensors,
        thousands(description.macs),
    );
    out
}

struct Line {
    name: String,
    kind: String,
    output: String,
    params: String,
    macs: String,
}

fn collect(module: &Module, indent: &str, depth: usize, lines: &mut Vec<Line>) {
    let [_, c, h, w] = module.output;
    let kind = module.layer.as_ref().map_or(String::new(), |l| {
        [l.kind.as_str(), l.detail.as_str()]
            .iter()
            .filter(|p| !p.is_empty())
            .copied()
            .collect::<Vec<_>>()
            .join(" ")
    });
    let number = |n: u64| if n == 0 { String::new() } else { thousands(n) };
    lines.push(Line {
        name: format!("{indent}{}", safe::terminal(&module.name)),
        kind,
        output: if (h, w) == (1, 1) { c.to_string() } else { format!("{c}x{h}x{w}") },
        params: number(module.params),
        macs: number(module.macs),
    });
    if depth > 0 {
        let indent = format!("{indent}  ");
        module.children.iter().for_each(|m| collect(m, &indent, depth - 1, lines));
    }
}

/// `5288548` as `5,288,548`.
fn thousands(n: u64) -> String {
    let digits = n.to_string();
    let mut out = String::with_capacity(digits.len() * 4 / 3);
    for (i, c) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(c);
    }
    out
}

/// The layers in topological order with their totals, as JSON (`zoo.show.tree/1`).
pub fn json(description: &Description) -> Value {
    let layers: Vec<Value> = description
        .layers
        .iter()
        .map(|l| {
            json!({
                "name": l.name, "kind": l.kind, "detail": l.detail, "output": l.output,
                "params": l.params, "macs": l.macs, "taps": l.taps,
            })
        })
        .collect();
    json!({
        "schema": "zoo.show.tree/1",
        "arch": description.arch,
        "input": description.input,
        "params": description.params,
        "macs": description.macs,
        "tensors": description.tensors,
        "layers": layers,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn described() -> Description {
        let graph = crate::arch::build("tf_efficientnet_lite0", 1000).unwrap();
        crate::nn::describe::describe(&graph, [1, 3, 224, 224]).unwrap()
    }

    #[test]
    fn modules_are_lines() {
        let text = text(&described(), Some(1));
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(
            lines,
            [
                "tf_efficientnet_lite0                         1000  4,652,008  385,187,552",
                "  input                input             3x224x224",
                "  conv_stem            conv 3x3 /2      32x112x112        864   10,838,016",
                "  bn1                  batch_norm       32x112x112         64",
                "  blocks                                   320x7x7  2,957,920  352,999,136",
                "  conv_head            conv 1x1           1280x7x7    409,600   20,070,400",
                "  bn2                  batch_norm         1280x7x7      2,560",
                "  global_pool          global_avg_pool        1280",
                "  classifier           linear                 1000  1,281,000    1,280,000",
                "tf_efficientnet_lite0: 4,652,008 parameters in 296 tensors, 385,187,552 multiply-adds at 3x224x224",
            ]
        );
    }

    #[test]
    fn json_has_every_layer() {
        let d = described();
        let json = json(&d);
        assert_eq!(json["layers"].as_array().unwrap().len(), d.layers.len());
        assert_eq!((&json["params"], &json["tensors"]), (&json!(4_652_008), &json!(296)));
        assert_eq!(thousands(0), "0");
        assert_eq!([999, 1000, 1_234_567].map(thousands), ["999", "1,000", "1,234,567"]);
    }
}
