//! Findings of the linter: for people, as JSON, and as GitHub's workflow commands. SARIF is in
//! [`super::sarif`].
//!
//! In: a [`Report`]. Out: text whose every word of a page went through the sink's function of
//! [`super::safe`]. Called by `zoo lint`.

use serde_json::{Value, json};

use super::{fold, safe};
use crate::lint::{Finding, Report, Rule, Severity};

/// Where a folded line goes on.
const INDENT: usize = 4;

/// One finding in a line, as compilers write it: place, severity, rule, model, what is wrong.
fn line(finding: &Finding, color: bool) -> String {
    let severity = finding.rule.severity;
    let (on, off) = match (color, severity) {
        (false, _) => ("", ""),
        (true, Severity::Error) => ("\u{1b}[1;31m", "\u{1b}[0m"),
        (true, Severity::Warning) => ("\u{1b}[1;33m", "\u{1b}[0m"),
        (true, Severity::Info) => ("\u{1b}[1;36m", "\u{1b}[0m"),
    };
    let place = safe::terminal(&place(finding)).into_owned();
    let said = safe::terminal(&said(finding)).into_owned();
    format!("{place}: {on}{}{off} {}: {said}", severity.name(), finding.rule.id)
}

/// `file:line:column`, as much of it as is known.
fn place(finding: &Finding) -> String {
    match (finding.file.is_empty(), finding.line) {
        (true, _) => "-".to_owned(),
        (false, 0) => finding.file.clone(),
        (false, line) => format!("{}:{line}:{}", finding.file, finding.column),
    }
}

/// Model, message, what was found and what was expected.
pub(super) fn said(finding: &Finding) -> String {
    let mut text = String::new();
    if let Some(model) = &finding.model {
        text += &format!("{model}: ");
    }
    text += &finding.message;
    match (&finding.found, &finding.expected) {
        (Some(found), Some(expected)) => text += &format!(": found `{found}`, expected {expected}"),
        (Some(found), None) => text += &format!(": `{found}`"),
        (None, Some(expected)) => text += &format!(": expected {expected}"),
        (None, None) => {}
    }
    text
}

/// The findings for people: a line each, folded at `width` where output is read on a terminal.
pub fn text(findings: &[&Finding], width: Option<usize>, color: bool) -> String {
    let mut out = String::new();
    for finding in findings {
        fold::words(&line(finding, color), width, 0, INDENT, &mut out);
    }
    out
}

/// `[{rule, severity, file, line, column, path, model, message, found, expected}]`; null where nothing is
/// known.
pub fn to_json(findings: &[&Finding]) -> Value {
    let known = |n: u32| (n > 0).then_some(n);
    let one = |f: &&Finding| {
        json!({
            "rule": f.rule.id,
            "severity": f.rule.severity.name(),
            "file": (!f.file.is_empty()).then_some(&f.file),
            "line": known(f.line),
            "column": known(f.column),
            "path": f.path,
            "model": f.model,
            "message": f.message,
            "found": f.found,
            "expected": f.expected,
        })
    };
    findings.iter().map(one).collect()
}

/// GitHub's workflow commands, which annotate the lines of a pull request.
pub fn github(findings: &[&Finding]) -> String {
    let mut out = String::new();
    for finding in findings {
        let command = match finding.rule.severity {
            Severity::Error => "error",
            Severity::Warning => "warning",
            Severity::Info => "notice",
        };
        let file = safe::github_property(&finding.file);
        let title = safe::github_property(finding.rule.name);
        let message = said(finding);
        let message = safe::github(&message);
        let place = match finding.line {
            0 => String::new(),
            line => format!(",line={line},col={}", finding.column),
        };
        out += &format!("::{command} file={file}{place},title={} {title}::{message}\n", finding.rule.id);
    }
    out
}

/// What a rule looks for, at length.
pub fn explanation(rule: &Rule, width: Option<usize>) -> String {
    let mut out = format!("{} {} ({})\n\n", rule.id, rule.name, rule.severity.name());
    let summary = format!("{}.", capital(rule.summary));
    let key = format!("zoo: {{lint: {{{}: why it is right here}}}}", rule.id);
    let how = format!("Suppress it in an entry by `{key}`, or for a run by `--allow {}=REASON`.", rule.id);
    for paragraph in [summary.as_str(), rule.explanation, &how] {
        let mut lines = String::new();
        fold::words(paragraph, Some(width.unwrap_or(80).min(100)), 0, INDENT, &mut lines);
        out.extend(lines.lines().map(|line| format!("{}\n", line.trim_start())));
        out.push('\n');
    }
    out.pop();
    out
}

fn capital(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map(|first| first.to_uppercase().chain(chars).collect()).unwrap_or_default()
}

/// How much was found, in a sentence.
pub fn summary(report: &Report) -> String {
    let count = |n: usize, what: &str| format!("{n} {what}{}", if n == 1 { "" } else { "s" });
    let mut parts = vec![
        count(report.count(Severity::Error), "error"),
        count(report.count(Severity::Warning), "warning"),
        count(report.count(Severity::Info), "note"),
    ];
    if !report.suppressed.is_empty() {
        parts.push(format!("{} suppressed with a reason", report.suppressed.len()));
    }
    if report.left_out > 0 {
        parts.push(format!("{} more not kept", report.left_out));
    }
    format!("{}: {}", count(report.models, "model"), parts.join(", "))
}
