//! Findings that are right all the same: the entry says so in its `zoo: {lint: {RULE: reason}}`, or the
//! user on the command line. Without a reason nothing is suppressed.

use super::context::{LintContext, Model};
use super::rule::{Finding, Sink};

/// A rule that the user suppresses everywhere.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Allowed {
    /// The rule's identity.
    pub rule: &'static str,
    /// Why.
    pub reason: String,
}

impl std::str::FromStr for Allowed {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (rule, reason) = text.split_once('=').unwrap_or((text, ""));
        let rule = super::find(rule.trim())?;
        match reason.trim() {
            "" => Err(format!("a reason is needed: `{}=REASON`", rule.id)),
            reason => Ok(Allowed { rule: rule.id, reason: reason.to_owned() }),
        }
    }
}

/// A finding that was suppressed.
#[derive(Clone, Debug)]
pub struct Suppressed {
    /// What was found.
    pub finding: Finding,
    /// Why it is right.
    pub reason: String,
}

/// Sorts findings into those that stand and those that have a reason.
pub(super) fn sort_out(
    all: Vec<Finding>,
    context: &LintContext<'_>,
    allowed: &[Allowed],
) -> (Vec<Finding>, Vec<Suppressed>) {
    let (mut stand, mut suppressed) = (Vec::new(), Vec::new());
    for finding in all {
        match reason(&finding, context, allowed) {
            Some(reason) => suppressed.push(Suppressed { finding, reason }),
            None => stand.push(finding),
        }
    }
    (stand, suppressed)
}

fn reason(finding: &Finding, context: &LintContext<'_>, allowed: &[Allowed]) -> Option<String> {
    let rule = finding.rule;
    let by_user = allowed.iter().find(|a| a.rule == rule.id).map(|a| a.reason.clone());
    let model = finding.at.and_then(|at| context.models.get(at));
    let by_entry = model.and_then(|m| [rule.id, rule.name].into_iter().find_map(|key| m.facts.lint.get(key)));
    by_user.or_else(|| by_entry.filter(|r| !r.trim().is_empty()).cloned())
}

/// Suppressions that suppress nothing: an unknown rule, or no reason.
pub(super) fn idle(model: &Model<'_>, _: &LintContext<'_>, sink: &mut Sink) {
    let Some(lint) = model.view.field("zoo").and_then(|z| z.field("lint")) else { return };
    for (key, reason) in lint.entries() {
        if let Err(message) = super::find(key.text()) {
            sink.at(&reason, model, message).found(key.text());
        } else if reason.text().is_none_or(|t| t.trim().is_empty()) {
            sink.at(&reason, model, format!("`{}` is suppressed without a reason, so it is not", key.text()));
        }
    }
}
