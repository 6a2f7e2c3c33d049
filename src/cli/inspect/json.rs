//! `zoo inspect --json`, schema `zoo.inspect/1`.

use serde_json::{Value, json};

use super::{Report, Row};

pub(super) fn value(report: &Report<'_>) -> Value {
    let details = report.checkpoint.details();
    let pairs = |pairs: &[(String, String)]| -> Vec<Value> {
        pairs.iter().map(|(name, value)| json!({"name": name, "value": value})).collect()
    };
    json!({
        "schema": "zoo.inspect/1",
        "file": report.what,
        "format": report.checkpoint.format().name(),
        "tensors": report.rows.iter().map(tensor).collect::<Vec<_>>(),
        "tensors_sha256": report.tensors_sha256,
        "elements": report.elements,
        "bytes": report.bytes,
        "metadata": details.metadata,
        "unwrapped": details.unwrapped,
        "averaged_before": details.averaged_before,
        "stripped": details.stripped,
        "left_out_tensors": details.left_out_tensors.iter().map(|(name, n)| json!({"name": name, "tensors": n})).collect::<Vec<_>>(),
        "refused": pairs(&details.refused),
        "left_out": pairs(&details.left_out),
        "opaque": details.opaque,
    })
}

fn tensor(row: &Row<'_>) -> Value {
    let mut value = json!({
        "name": row.tensor.name,
        "dtype": row.tensor.dtype.to_string(),
        "shape": row.tensor.shape,
        "bytes": row.tensor.nbytes(),
        "sha256": row.sha256,
    });
    if let Value::Object(map) = &mut value {
        // Only where asked for: figures of types that have none are null.
        if let Some(stats) = &row.stats {
            map.insert("stats".into(), json!(stats));
        }
        if let Some(histogram) = &row.histogram {
            map.insert("histogram".into(), json!(histogram));
        }
    }
    value
}
