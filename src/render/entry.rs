//! A model's entry as JSON and as text. In: an [`Entry`] with the corrected values. Out: the object of
//! `zoo list --json` and `zoo show --json`, and counts as people read them. Called by those verbs.

use serde_json::{Map, Value, json};

use crate::registry::query::Lookups;
use crate::registry::{Accuracy, Entry, ModelResult};

/// `zoo list --json`'s object: every key there is, null where nothing is known.
pub fn to_json(entry: &Entry, lookups: Lookups<'_>) -> Value {
    let (macs, golden) = ((lookups.macs)(entry), (lookups.golden)(entry));
    let mut object = values(entry, macs);
    let mut as_published = Map::new();
    if let Some(page) = entry.published.as_deref() {
        let (page, own) = (values(page, macs), &object);
        as_published.extend(page.into_iter().filter(|(key, value)| own.get(key) != Some(value)));
    }
    object.insert("golden".into(), json!(golden));
    object.insert("as_published".into(), Value::Object(as_published));
    Value::Object(object)
}

fn values(entry: &Entry, macs: Option<u64>) -> Map<String, Value> {
    let percent = |a: Option<&Accuracy>| a.map(|a| a.value);
    let claim = entry.claim.as_ref();
    let side = entry.image_size.map(|s| match s.height == s.width {
        true => json!(s.height),
        false => json!([s.height, s.width]),
    });
    let zoo = &entry.zoo;
    let pairs = [
        ("name", json!(entry.name)),
        ("collection", json!(entry.collection)),
        ("arch", json!(zoo.arch)),
        ("params", json!(entry.params)),
        ("params_exact", json!(zoo.params)),
        ("flops", json!(entry.flops)),
        ("macs", json!(macs)),
        ("file_size", json!(zoo.size.or(entry.file_size))),
        ("image_size", json!(side)),
        ("crop_pct", json!(entry.crop_pct)),
        ("interpolation", json!(entry.interpolation.map(|i| i.name()))),
        ("mean", json!(zoo.mean.map(exact))),
        ("std", json!(zoo.std.map(exact))),
        ("top1", json!(percent(claim.map(|c| &c.top1)))),
        ("top5", json!(percent(claim.and_then(|c| c.top5.as_ref())))),
        ("url", json!(entry.sources.first().map(|s| &s.0))),
        ("urls", json!(entry.sources.iter().map(|s| &s.0).collect::<Vec<_>>())),
        ("hash_prefix", json!(entry.hash_prefix().map(|p| p.as_str().to_owned()))),
        ("sha256", json!(zoo.sha256)),
        ("licence", json!(zoo.licence)),
        ("hf_id", json!(zoo.hf_id)),
        ("training_data", json!(entry.training_data)),
        ("paper", json!(entry.paper)),
        ("code", json!(entry.code)),
        ("results", json!(entry.results.iter().map(result).collect::<Vec<_>>())),
        ("origin", json!(entry.origin)),
    ];
    pairs.into_iter().map(|(key, value)| (key.to_owned(), value)).collect()
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
    let (mut digits, unit) = short(n);
    digits.push_str(unit);
    digits
}

/// Bytes as people read them: `21.4 MB`, by thousands, as file managers and download pages do.
pub fn short_bytes(n: u64) -> String {
    let (digits, unit) = short(n);
    format!("{digits} {}B", if unit == "k" { "K" } else { unit })
}

/// Three digits, and what they count.
fn short(n: u64) -> (String, &'static str) {
    let units = [(1_000_000_000_000, "T"), (1_000_000_000, "G"), (1_000_000, "M"), (1_000, "k")];
    let Some((scale, unit)) = units.into_iter().find(|(scale, _)| n >= *scale) else {
        return (n.to_string(), "");
    };
    let value = n as f64 / scale as f64;
    let digits = if value < 9.995 { 2 } else { usize::from(value < 99.95) };
    (format!("{value:.digits$}"), unit)
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
