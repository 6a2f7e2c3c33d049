//! A model's entry as JSON and as text. In: an [`Entry`] with the corrected values. Out: the object of
//! `zoo list --json` and `zoo show --json`, and counts as people read them. Called by those verbs.

use serde_json::{Map, Value, json};

use crate::registry::{Accuracy, Entry, ModelResult};

/// `zoo list --json`'s object: every key there is, null where nothing is known.
pub fn to_json(entry: &Entry) -> Value {
    let percent = |a: Option<&Accuracy>| a.map(|a| a.value);
    let claim = entry.claim.as_ref();
    let side = entry.image_size.map(|s| match s.height == s.width {
        true => json!(s.height),
        false => json!([s.height, s.width]),
    });
    let zoo = &entry.zoo;
    json!({
        "name": entry.name,
        "collection": entry.collection,
        "arch": zoo.arch,
        "params": entry.params,
        "params_exact": zoo.params,
        "flops": entry.flops,
        "file_size": zoo.size.or(entry.file_size),
        "image_size": side,
        "crop_pct": entry.crop_pct,
        "interpolation": entry.interpolation.map(|i| i.name()),
        "mean": zoo.mean.map(exact),
        "std": zoo.std.map(exact),
        "top1": percent(claim.map(|c| &c.top1)),
        "top5": percent(claim.and_then(|c| c.top5.as_ref())),
        "url": entry.sources.first().map(|s| &s.0),
        "urls": entry.sources.iter().map(|s| &s.0).collect::<Vec<_>>(),
        "hash_prefix": entry.hash_prefix().map(|p| p.as_str().to_owned()),
        "sha256": zoo.sha256,
        "licence": zoo.licence,
        "hf_id": zoo.hf_id,
        "results": entry.results.iter().map(result).collect::<Vec<_>>(),
        "as_published": {},
        "origin": entry.origin,
    })
}

/// The decimal that a page wrote, not the nearest double of the nearest float.
fn exact(triple: [f32; 3]) -> [f64; 3] {
    triple.map(|x| x.to_string().parse().unwrap_or(f64::from(x)))
}

fn result(result: &ModelResult) -> Value {
    let metric = |m: &crate::registry::Metric| {
        let number = m.text.trim().trim_end_matches('%').trim().parse::<f64>().ok();
        (m.name.clone(), number.map_or_else(|| json!(m.text), |n| json!(n)))
    };
    let metrics: Map<String, Value> = result.metrics.iter().map(metric).collect();
    json!({ "task": result.task, "dataset": result.dataset, "metrics": metrics })
}

/// A count as people read it: three digits and a unit, `5.29M`.
pub fn short_count(n: u64) -> String {
    let units = [(1_000_000_000_000, "T"), (1_000_000_000, "G"), (1_000_000, "M"), (1_000, "k")];
    let Some((scale, unit)) = units.into_iter().find(|(scale, _)| n >= *scale) else { return n.to_string() };
    let value = n as f64 / scale as f64;
    let digits = if value < 9.995 { 2 } else { usize::from(value < 99.95) };
    format!("{value:.digits$}{unit}")
}

/// Bytes as people read them: `21.4 MB`, by thousands, as file managers and download pages do.
pub fn short_bytes(n: u64) -> String {
    match short_count(n).strip_suffix(char::is_alphabetic) {
        None => format!("{n} B"),
        Some(digits) => format!("{digits} {}B", short_count(n).trim_start_matches(digits).to_uppercase()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_have_three_digits() {
        let shown = [999, 5_290_000, 9_996_000, 99_960_000, 488_688_572, 1_000_000_000].map(short_count);
        assert_eq!(shown, ["999", "5.29M", "10.0M", "100M", "489M", "1.00G"]);
        assert_eq!(short_bytes(21_386_709), "21.4 MB");
        assert_eq!(short_bytes(12), "12 B");
    }
}
