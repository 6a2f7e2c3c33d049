//! What a rule is, and what it finds.

use super::context::{LintContext, Model, Page};
use crate::registry::tree::{Problem, View};

/// How bad a finding is. Only errors make `zoo lint` answer no.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// Worth knowing; nothing need be done.
    Info,
    /// Probably wrong, or true and unfortunate.
    Warning,
    /// Wrong.
    Error,
}

impl Severity {
    /// `error`, `warning`, `info`.
    pub const fn name(self) -> &'static str {
        match self {
            Severity::Info => "info",
            Severity::Warning => "warning",
            Severity::Error => "error",
        }
    }
}

/// What a rule looks at.
#[derive(Clone, Copy, Debug)]
pub(super) enum Check {
    /// Each model by itself.
    Model(fn(&Model<'_>, &LintContext<'_>, &mut Sink)),
    /// All of them together.
    Index(fn(&LintContext<'_>, &mut Sink)),
    /// The text of each Markdown page.
    Page(fn(&Page, &mut Sink)),
}

/// A rule. Its identity never changes its meaning: a rule that goes leaves its number unused.
#[derive(Debug)]
pub struct Rule {
    /// Such as `Z012`.
    pub id: &'static str,
    /// Such as `top5-below-top1`.
    pub name: &'static str,
    /// How bad a finding of it is.
    pub severity: Severity,
    /// One line.
    pub summary: &'static str,
    /// What is looked at, why it matters, what to do.
    pub explanation: &'static str,
    pub(super) check: Check,
}

/// One finding.
#[derive(Clone, Debug)]
pub struct Finding {
    /// The rule.
    pub rule: &'static Rule,
    /// The file; empty where it is in none.
    pub file: String,
    /// From 1; 0 when it is about the file as a whole.
    pub line: u32,
    /// From 1, in characters; 0 when it is about the file as a whole.
    pub column: u32,
    /// Where in the tree, such as `Models[0].Metadata.FLOPs`.
    pub path: String,
    /// The model, where it is about one.
    pub model: Option<String>,
    /// What is wrong.
    pub message: String,
    /// What stands there.
    pub found: Option<String>,
    /// What should.
    pub expected: Option<String>,
    /// The model's place among those that are checked.
    pub(super) at: Option<usize>,
}

impl Finding {
    /// Says what stands there and what should.
    pub(super) fn expected(&mut self, found: impl ToString, expected: impl ToString) -> &mut Self {
        self.found = Some(found.to_string());
        self.expected = Some(expected.to_string());
        self
    }

    /// Says only what stands there.
    pub(super) fn found(&mut self, found: impl ToString) -> &mut Self {
        self.found = Some(found.to_string());
        self
    }
}

/// At most so many findings of a rule are kept: a hostile page must not turn into gigabytes of messages.
const MAX_FINDINGS: usize = 10_000;

/// Takes the findings of one rule.
pub(super) struct Sink {
    rule: &'static Rule,
    pub(super) findings: Vec<Finding>,
    pub(super) left_out: usize,
    /// Takes what is beyond the number kept.
    spill: Finding,
}

impl Sink {
    pub(super) fn new(rule: &'static Rule) -> Self {
        let spill = Finding {
            rule,
            file: String::new(),
            line: 0,
            column: 0,
            path: String::new(),
            model: None,
            message: String::new(),
            found: None,
            expected: None,
            at: None,
        };
        Sink { rule, findings: Vec::new(), left_out: 0, spill }
    }

    /// A finding at a value of a model.
    pub(super) fn at(
        &mut self,
        view: &View<'_>,
        model: &Model<'_>,
        message: impl Into<String>,
    ) -> &mut Finding {
        let (file, span) = (view.node().file.to_string(), view.node().span);
        self.add(Finding {
            rule: self.rule,
            file,
            line: span.line,
            column: span.column,
            path: view.path().to_owned(),
            model: Some(model.name.to_owned()),
            message: message.into(),
            found: None,
            expected: None,
            at: Some(model.at),
        })
    }

    /// What a reader found, of a model or of a file as a whole.
    pub(super) fn problem(&mut self, problem: &Problem, model: Option<&Model<'_>>) {
        self.add(Finding {
            rule: self.rule,
            file: problem.file.to_string(),
            line: problem.line,
            column: problem.column,
            path: problem.path.clone(),
            model: model.map(|m| m.name.to_owned()),
            message: problem.message.clone(),
            found: problem.found.clone(),
            expected: problem.expected.clone(),
            at: model.map(|m| m.at),
        });
    }

    /// A finding in a page's prose.
    pub(super) fn line(
        &mut self,
        page: &Page,
        line: usize,
        column: usize,
        message: impl Into<String>,
    ) -> &mut Finding {
        let narrow = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        self.add(Finding {
            file: page.file.clone(),
            line: narrow(line),
            column: narrow(column),
            message: message.into(),
            ..self.spill.clone()
        })
    }

    fn add(&mut self, finding: Finding) -> &mut Finding {
        if self.findings.len() < MAX_FINDINGS {
            self.findings.push(finding);
        } else {
            self.left_out += 1;
            self.spill = finding;
        }
        match self.left_out {
            0 => self.findings.last_mut().unwrap_or(&mut self.spill),
            _ => &mut self.spill,
        }
    }
}
