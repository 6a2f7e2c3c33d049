//! Findings as SARIF 2.1.0, which code hosts and editors read.
//!
//! In: a [`Report`]. Out: one document with the whole rule table; suppressed findings are in it, marked, with
//! their reason. Called by `zoo lint --format sarif`.

use serde_json::{Value, json};

use super::lint::said;
use crate::lint::{Finding, RULES, Report, Severity};

const SCHEMA: &str = "https://json.schemastore.org/sarif-2.1.0.json";

/// The document that a tool's rules and results make.
pub(super) fn document(tool: &str, version: &str, rules: Vec<Value>, results: Vec<Value>) -> Value {
    json!({
        "$schema": SCHEMA,
        "version": "2.1.0",
        "runs": [{
            "tool": { "driver": { "name": tool, "version": version, "rules": rules } },
            "columnKind": "unicodeCodePoints",
            "results": results,
        }],
    })
}

fn level(severity: Severity) -> &'static str {
    match severity {
        Severity::Error => "error",
        Severity::Warning => "warning",
        Severity::Info => "note",
    }
}

/// In a message brackets make links.
pub(super) fn message(text: &str) -> String {
    text.chars().flat_map(|c| matches!(c, '[' | ']' | '\\').then_some('\\').into_iter().chain([c])).collect()
}

/// A path as a relative reference of a URI.
pub(super) fn uri(path: &str) -> String {
    let path = path.replace('\\', "/");
    let mut out = String::new();
    for byte in path.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b'/' => {
                out.push(char::from(byte))
            }
            _ => out += &format!("%{byte:02X}"),
        }
    }
    out
}

fn result(finding: &Finding) -> Value {
    let index = RULES.iter().position(|r| r.id == finding.rule.id);
    let mut physical = json!({ "artifactLocation": { "uri": uri(&finding.file) } });
    if finding.line > 0
        && let Some(physical) = physical.as_object_mut()
    {
        physical.insert(
            "region".into(),
            json!({ "startLine": finding.line, "startColumn": finding.column.max(1) }),
        );
    }
    let mut location = json!({ "physicalLocation": physical });
    if !finding.path.is_empty()
        && let Some(location) = location.as_object_mut()
    {
        location.insert(
            "logicalLocations".into(),
            json!([{ "fullyQualifiedName": finding.path, "kind": "property" }]),
        );
    }
    json!({
        "ruleId": finding.rule.id,
        "ruleIndex": index,
        "level": level(finding.rule.severity),
        "message": { "text": message(&said(finding)) },
        "locations": if finding.file.is_empty() { json!([]) } else { json!([location]) },
    })
}

/// The document.
pub fn sarif(report: &Report, findings: &[&Finding]) -> Value {
    let rules: Vec<_> = RULES
        .iter()
        .map(|r| {
            json!({
                "id": r.id,
                "name": r.name,
                "shortDescription": { "text": r.summary },
                "fullDescription": { "text": r.explanation },
                "defaultConfiguration": { "level": level(r.severity) },
            })
        })
        .collect();
    let mut results: Vec<_> = findings.iter().map(|f| result(f)).collect();
    for suppressed in &report.suppressed {
        let mut one = result(&suppressed.finding);
        if let Some(one) = one.as_object_mut() {
            let mark = json!([{ "kind": "inSource", "justification": suppressed.reason }]);
            one.insert("suppressions".into(), mark);
        }
        results.push(one);
    }
    document("zoo", env!("CARGO_PKG_VERSION"), rules, results)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_pages_say_makes_no_links_and_no_other_addresses() {
        assert_eq!(message("[x](https://evil)"), "\\[x\\](https://evil)");
        assert_eq!(uri("a b/javascript:x?#é.yaml"), "a%20b/javascript%3Ax%3F%23%C3%A9.yaml");
    }
}
