//! Rules over the registry: what pages say that cannot be, contradicts the architecture, or no longer holds.
//!
//! In: a [`LintContext`] (pages as positioned trees, with what is known of their weights). Out: a [`Report`]:
//! findings in the order of the files, each with its rule, place, what was found and what was expected.
//! Called by `zoo lint`.
//!
//! | file | what it knows |
//! | --- | --- |
//! | `rules` | the one table of rules: identity, severity, explanation, check |
//! | `rule` | what a rule and a finding are |
//! | `context` | what is checked, and the facts known beside it |
//! | `form` | how a page is written: values, keys, units, names |
//! | `accuracy` | claims that cannot be |
//! | `weights` | addresses, hashes, file names and sizes |
//! | `figures` | parameters, operations, evaluation against architecture and weights |
//! | `online` | what addresses answer, where they were asked |
//! | `names` | what names mean, here and to timm today |
//! | `text` | what only a page's prose has: BibTeX, links |
//! | `suppress` | findings that are right, with the reason |

mod accuracy;
mod computed;
mod context;
mod figures;
mod form;
mod names;
mod online;
mod rule;
mod rules;
mod suppress;
mod text;
mod vocabulary;
mod weights;

#[cfg(test)]
mod tests;

pub use context::{LintContext, Page, known};
pub use online::{AddressState, Addresses, addresses};
pub use rule::{Finding, Rule, Severity};
pub use rules::{RULES, find};
pub use suppress::{Allowed, Suppressed};

use rule::{Check, Sink};

/// What the rules found.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// What stands, by file and place.
    pub findings: Vec<Finding>,
    /// What was found and is right all the same, with the reason.
    pub suppressed: Vec<Suppressed>,
    /// Models that were looked at.
    pub models: usize,
    /// Findings beyond the most that are kept of one rule.
    pub left_out: usize,
}

impl Report {
    /// How many findings there are of a severity.
    pub fn count(&self, severity: Severity) -> usize {
        self.findings.iter().filter(|f| f.rule.severity == severity).count()
    }
}

/// Runs every rule. `allowed` are rules that the user suppresses everywhere, with the reason.
pub fn lint(context: &LintContext<'_>, allowed: &[Allowed]) -> Report {
    let mut report = Report { models: context.models.len(), ..Report::default() };
    let mut all = Vec::new();
    for rule in RULES {
        let mut sink = Sink::new(rule);
        match rule.check {
            Check::Index(check) => check(context, &mut sink),
            Check::Model(check) => {
                for model in &context.models {
                    check(model, context, &mut sink);
                }
            }
            Check::Page(check) => context.pages.iter().for_each(|page| check(page, &mut sink)),
        }
        report.left_out += sink.left_out;
        all.append(&mut sink.findings);
    }
    (report.findings, report.suppressed) = suppress::sort_out(all, context, allowed);
    report.findings.sort_by(|a, b| {
        let place = |f: &Finding| (f.file.clone(), f.line, f.column);
        place(a).cmp(&place(b)).then(a.rule.id.cmp(b.rule.id))
    });
    report
}
