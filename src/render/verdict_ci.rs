//! A report for the programs of CI: JUnit's XML and SARIF 2.1.0.
//!
//! In: a [`Report`]. Out: text; every value went through its sink's function. Called by `zoo verify`, `merge` and
//! `report`.

use std::fmt::Write as _;

use serde_json::{Value, json};

use super::{safe, sarif};
use crate::verify::Report;
use crate::verify::report::ModelResult;
use crate::verify::stats::Verdict;

/// What is wrong with a result: the rule it breaks, and how.
fn faults(result: &ModelResult) -> Vec<(&'static str, String)> {
    let mut faults = Vec::new();
    if result.verdict == Verdict::Contradicted {
        let claim = result.claim.as_ref().map(|c| c.value.to_string()).unwrap_or_default();
        let [low, high] = result.interval;
        faults.push((
            "contradicted",
            format!(
                "{}: {} % top-1 on {} images ({low} to {high}) contradicts the claim of {claim} %",
                result.model, result.top1, result.n
            ),
        ));
    }
    for gate in result.gates.iter().filter(|g| !g.passed) {
        faults.push((
            "gate",
            format!("{}: gate {}: {}, found {}", result.model, gate.gate, gate.asked, gate.found),
        ));
    }
    faults
}

/// One line on a result that is in order.
fn said(result: &ModelResult) -> String {
    let [low, high] = result.interval;
    format!("{}: {} % top-1 on {} images, {low} to {high}", result.verdict.name(), result.top1, result.n)
}

/// JUnit's XML: a test case a model; a contradiction or a failed gate is a failure, a model that could not be
/// judged an error.
pub fn junit(report: &Report) -> String {
    let suite = safe::xml(&report.run.dataset).into_owned();
    let failures = report.results.iter().filter(|r| !faults(r).is_empty()).count();
    let (tests, errors) = (report.results.len() + report.failed.len(), report.failed.len());
    let seconds = report.timing.seconds;
    let mut out = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n");
    // Writing to a String cannot fail.
    let counts =
        format!("tests=\"{tests}\" failures=\"{failures}\" errors=\"{errors}\" time=\"{seconds:.3}\"");
    let _ = writeln!(out, "<testsuites name=\"zoo verify\" {counts}>\n<testsuite name=\"{suite}\" {counts}>");
    for result in &report.results {
        let clock = report.timing.models.iter().find(|t| t.model == result.model);
        let (name, seconds) = (safe::xml(&result.model), clock.map_or(0.0, |t| t.seconds));
        let _ = writeln!(out, "<testcase classname=\"{suite}\" name=\"{name}\" time=\"{seconds:.3}\">");
        for (kind, text) in faults(result) {
            let _ = writeln!(out, "<failure type=\"{kind}\" message=\"{}\"></failure>", safe::xml(&text));
        }
        let _ = writeln!(out, "<system-out>{}</system-out>\n</testcase>", safe::xml(&said(result)));
    }
    for failed in &report.failed {
        let (name, text) = (safe::xml(&failed.model), safe::xml(&failed.error));
        let _ = writeln!(out, "<testcase classname=\"{suite}\" name=\"{name}\">");
        let _ = writeln!(
            out,
            "<error type=\"exit {}\" message=\"{text}\"></error>\n</testcase>",
            failed.exit_code
        );
    }
    out.push_str("</testsuite>\n</testsuites>\n");
    out
}

/// SARIF 2.1.0: an error for each contradiction, failed gate and model that could not be judged; a note for each
/// claim that is not decided.
pub fn sarif(report: &Report) -> String {
    let rule = |id: &str, text: &str| json!({"id": id, "shortDescription": {"text": text}});
    let finding = |rule: &str, level: &str, model: &str, text: String| {
        json!({
            "ruleId": rule,
            "level": level,
            "message": {"text": sarif::message(&text)},
            "locations": [{"logicalLocations": [{"name": model, "kind": "module"}]}],
        })
    };
    let mut results: Vec<Value> = Vec::new();
    for result in &report.results {
        for (kind, text) in faults(result) {
            results.push(finding(kind, "error", &result.model, text));
        }
        if matches!(result.verdict, Verdict::Consistent | Verdict::NoClaim) {
            let text = format!("{}: {}", result.model, said(result));
            results.push(finding("undecided", "note", &result.model, text));
        }
    }
    for failed in &report.failed {
        let text = format!("{}: {}", failed.model, failed.error);
        results.push(finding("not-judged", "error", &failed.model, text));
    }
    let rules = vec![
        rule("contradicted", "the measured accuracy contradicts the published claim"),
        rule("gate", "a gate that CI asked for is not met"),
        rule("undecided", "the images do not decide whether the claim is met"),
        rule("not-judged", "the model could not be run"),
    ];
    let document = sarif::document("zoo verify", &report.run.zoo, rules, results);
    let text = serde_json::to_string_pretty(&document).unwrap_or_default() + "\n";
    safe::json(&text).into_owned()
}
