//! `zoo inspect` for people: a table of tensors, or sizes by module.

use std::collections::BTreeMap;

use super::super::Context;
use super::super::progress::bytes;
use super::{Report, Row};
use crate::error::Result;
use crate::render::safe;

/// One line a tensor, then the sum.
pub(super) fn table(report: &Report<'_>, context: &mut Context) -> Result<()> {
    let has = |column: fn(&Row<'_>) -> bool| report.rows.iter().any(column);
    let (digests, stats) = (has(|r| r.sha256.is_some()), has(|r| r.stats.is_some()));
    let histograms = has(|r| r.histogram.is_some());
    let mut builder = tabled::builder::Builder::default();
    let mut head = vec!["NAME", "DTYPE", "SHAPE", "BYTES"];
    head.extend(stats.then_some(["MIN", "MAX", "MEAN", "NAN", "INF"]).into_iter().flatten());
    head.extend(histograms.then_some("SPREAD"));
    head.extend(digests.then_some("SHA-256"));
    builder.push_record(head);
    for row in &report.rows {
        let tensor = row.tensor;
        let mut cells = vec![
            safe::terminal(&tensor.name).into_owned(),
            tensor.dtype.to_string(),
            format!("{:?}", tensor.shape),
            tensor.nbytes().to_string(),
        ];
        if stats {
            let number = |v: Option<f64>| v.map_or_else(|| "-".to_owned(), |v| format!("{v:.6}"));
            let count = |n: Option<u64>| n.map_or_else(|| "-".to_owned(), |n| n.to_string());
            let s = row.stats.as_ref();
            cells.extend([s.and_then(|s| s.min), s.and_then(|s| s.max), s.and_then(|s| s.mean)].map(number));
            cells.extend([s.map(|s| s.nan), s.map(|s| s.infinite)].map(count));
        }
        if histograms {
            cells.push(row.histogram.as_deref().map(bars).unwrap_or_default());
        }
        cells.extend(row.sha256.map(|d| d.to_string()));
        builder.push_record(cells);
    }
    let mut table = builder.build();
    table.with(tabled::settings::Style::blank());
    for line in table.to_string().lines() {
        context.println(line.trim_end())?;
    }
    sum(report, context)
}

/// Sizes by module: every level as an indented tree, or with `depth` the first parts of the names only.
pub(super) fn sizes(report: &Report<'_>, depth: Option<usize>, context: &mut Context) -> Result<()> {
    // In the order of first appearance, which is that of the network.
    let mut order: Vec<&str> = Vec::new();
    let mut totals: BTreeMap<&str, (usize, usize, usize)> = BTreeMap::new();
    for row in &report.rows {
        let tensor = row.tensor;
        for prefix in prefixes(&tensor.name) {
            let level = prefix.matches('.').count() + 1;
            let shown = match depth {
                Some(depth) => level == depth || (level < depth && prefix == tensor.name),
                None => true,
            };
            if shown {
                let total = totals.entry(prefix).or_insert_with(|| {
                    order.push(prefix);
                    (0, 0, 0)
                });
                total.0 += 1;
                total.1 += tensor.elements();
                total.2 += tensor.nbytes();
            }
        }
    }
    let shapes: BTreeMap<&str, &Row<'_>> = report.rows.iter().map(|r| (r.tensor.name.as_str(), r)).collect();
    for name in order {
        let Some((tensors, elements, size)) = totals.get(name) else { continue };
        let (indent, label) = match depth {
            Some(_) => (0, name),
            None => (name.matches('.').count(), name.rsplit('.').next().unwrap_or(name)),
        };
        let label = safe::terminal(label);
        let facts = match shapes.get(name) {
            Some(row) => format!("{} {:?}", row.tensor.dtype, row.tensor.shape),
            None => format!("{tensors} tensors, {elements} elements, {}", bytes(*size as u64)),
        };
        context.println(format!("{:indent$}{label}  {facts}", "", indent = 2 * indent))?;
    }
    sum(report, context)
}

/// `a.b.c` → `a`, `a.b`, `a.b.c`.
fn prefixes(name: &str) -> impl Iterator<Item = &str> {
    name.match_indices('.').map(|(at, _)| at).chain([name.len()]).filter_map(|end| name.get(..end))
}

fn sum(report: &Report<'_>, context: &mut Context) -> Result<()> {
    context.println(format!(
        "\n{}: {} tensors, {} elements, {} bytes",
        report.checkpoint.format(),
        report.rows.len(),
        report.elements,
        report.bytes
    ))?;
    if let Some(all) = report.tensors_sha256 {
        context.println(format!("tensors_sha256 {all}"))?;
    }
    Ok(())
}

/// Counts as bars of eight heights; a bin that is not empty shows.
fn bars(counts: &[u64]) -> String {
    const BARS: [char; 9] = [' ', '▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
    let most = counts.iter().copied().max().unwrap_or(0).max(1);
    let height = |&n: &u64| (n as f64 / most as f64 * 8.0).ceil() as usize;
    counts.iter().map(|n| BARS.get(height(n)).copied().unwrap_or('█')).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bars_have_eight_heights() {
        assert_eq!(bars(&[0, 1, 50, 100]), " ▁▄█");
        assert_eq!(bars(&[0, 0]), "  ");
    }

    #[test]
    fn prefixes_end_with_the_name() {
        assert_eq!(prefixes("a.b.c").collect::<Vec<_>>(), ["a", "a.b", "a.b.c"]);
        assert_eq!(prefixes("a").collect::<Vec<_>>(), ["a"]);
    }
}
