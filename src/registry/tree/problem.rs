//! What is wrong with a file: every problem of it, each with its place, collected rather than thrown.
//!
//! In: the nodes and views that a reader found wanting. Out: [`Problems`], which the caller prints, turns
//! into lint findings, or into a [`Malformed`] error.

use std::fmt;
use std::sync::Arc;

use super::{Span, View};
use crate::error::{Class, Classify};

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// Read all the same.
    Warning,
    /// The value cannot be used.
    Error,
}

/// What sort of problem it is, for whoever sorts them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ProblemKind {
    /// Something is not written as the format has it.
    #[default]
    Form,
    /// A name stands for two things.
    DuplicateName,
    /// A file is named that is not there.
    MissingFile,
    /// A file has no model-index at all.
    NoMetadata,
}

/// One problem of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// How bad it is.
    pub severity: Severity,
    /// What sort it is.
    pub kind: ProblemKind,
    /// The file, as the user named it.
    pub file: Arc<str>,
    /// From 1; 0 when it is about the file as a whole.
    pub line: u32,
    /// From 1, in characters; 0 when it is about the file as a whole.
    pub column: u32,
    /// Where in the tree, such as `Models[0].Metadata.FLOPs`; empty when unknown.
    pub path: String,
    /// What is wrong.
    pub message: String,
    /// What stands there.
    pub found: Option<String>,
    /// What may stand there.
    pub expected: Option<String>,
}

impl Problem {
    /// An error at a place of a file.
    pub fn at(file: &Arc<str>, span: Span, message: impl Into<String>) -> Self {
        Problem {
            severity: Severity::Error,
            kind: ProblemKind::Form,
            file: file.clone(),
            line: span.line,
            column: span.column,
            path: String::new(),
            message: message.into(),
            found: None,
            expected: None,
        }
    }

    /// An error about a file as a whole.
    pub fn of(file: &str, message: impl Into<String>) -> Self {
        Problem::at(&Arc::from(file), Span::default(), message)
    }

    /// An error at a value.
    pub fn here(view: &View<'_>, message: impl Into<String>) -> Self {
        let mut problem = Problem::at(&view.node().file, view.node().span, message);
        problem.path = view.path().to_owned();
        problem
    }

    /// The same as a warning.
    pub fn warning(mut self) -> Self {
        self.severity = Severity::Warning;
        self
    }

    /// Says what sort it is.
    pub fn kind(mut self, kind: ProblemKind) -> Self {
        self.kind = kind;
        self
    }

    /// Says where in the tree.
    pub fn path(mut self, path: impl Into<String>) -> Self {
        self.path = path.into();
        self
    }

    /// Says what was found and what is allowed.
    pub fn expected(mut self, found: impl Into<String>, expected: impl Into<String>) -> Self {
        self.found = Some(shortened(&found.into()));
        self.expected = Some(expected.into());
        self
    }
}

/// `file:line:column: path: message: found x, expected y`.
impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.file.is_empty() {
            true => {}
            false if self.line == 0 => write!(f, "{}: ", self.file)?,
            false => write!(f, "{}:{}:{}: ", self.file, self.line, self.column)?,
        }
        if !self.path.is_empty() {
            write!(f, "{}: ", self.path)?;
        }
        f.write_str(&self.message)?;
        match (&self.found, &self.expected) {
            (Some(found), Some(expected)) => write!(f, ": found `{found}`, expected {expected}"),
            (Some(found), None) => write!(f, ": found `{found}`"),
            (None, Some(expected)) => write!(f, ": expected {expected}"),
            (None, None) => Ok(()),
        }
    }
}

/// At most this many problems are kept: a hostile file must not turn into gigabytes of messages.
const MAX_PROBLEMS: usize = 1_000;

/// The problems found so far.
#[derive(Clone, Debug, Default)]
pub struct Problems {
    list: Vec<Problem>,
    errors: usize,
    left_out: usize,
}

impl Problems {
    /// Nothing is wrong yet.
    pub fn new() -> Self {
        Problems::default()
    }

    /// Adds one. Beyond a thousand they are counted, not kept.
    pub fn push(&mut self, problem: Problem) {
        self.errors += usize::from(problem.severity == Severity::Error);
        match self.list.len() < MAX_PROBLEMS {
            true => self.list.push(problem),
            false => self.left_out += 1,
        }
    }

    /// Adds an error at a value.
    pub fn error(&mut self, view: &View<'_>, message: impl Into<String>) {
        self.push(Problem::here(view, message));
    }

    /// Adds a warning at a value.
    pub fn warn(&mut self, view: &View<'_>, message: impl Into<String>) {
        self.push(Problem::here(view, message).warning());
    }

    /// Adds an error that says what stands at a value and what may.
    pub fn unexpected(&mut self, view: &View<'_>, message: impl Into<String>, expected: &str) {
        let node = view.node();
        let found = node.scalar().map_or(node.kind(), |s| &s.text);
        self.push(Problem::here(view, message).expected(found, expected));
    }

    /// Takes in those of another file or step.
    pub fn extend(&mut self, other: Problems) {
        self.left_out += other.left_out;
        // Errors that were only counted stay counted.
        let kept = other.list.iter().filter(|p| p.severity == Severity::Error).count();
        self.errors += other.errors.saturating_sub(kept);
        other.list.into_iter().for_each(|p| self.push(p));
    }

    /// Those that were kept, in the order they were found.
    pub fn iter(&self) -> std::slice::Iter<'_, Problem> {
        self.list.iter()
    }

    /// Whether nothing is wrong.
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// Whether something cannot be used.
    pub fn has_errors(&self) -> bool {
        self.errors > 0
    }

    /// How many there were beyond those kept.
    pub fn left_out(&self) -> usize {
        self.left_out
    }

    /// An error with all that is wrong, where something cannot be used.
    ///
    /// # Errors
    /// [`Malformed`], when there is a problem of severity error.
    pub fn into_result(self) -> Result<(), Malformed> {
        if self.has_errors() { Err(Malformed { problems: self }) } else { Ok(()) }
    }
}

impl FromIterator<Problem> for Problems {
    fn from_iter<I: IntoIterator<Item = Problem>>(list: I) -> Self {
        let mut problems = Problems::new();
        list.into_iter().for_each(|p| problems.push(p));
        problems
    }
}

impl<'a> IntoIterator for &'a Problems {
    type Item = &'a Problem;
    type IntoIter = std::slice::Iter<'a, Problem>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

/// A file that cannot be used, with every reason.
#[derive(Clone, Debug)]
pub struct Malformed {
    /// All that is wrong, warnings too.
    pub problems: Problems,
}

impl Malformed {
    /// A single reason.
    pub fn one(problem: Problem) -> Self {
        let mut problems = Problems::new();
        problems.push(problem);
        Malformed { problems }
    }
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let errors = self.problems.iter().filter(|p| p.severity == Severity::Error);
        for (i, problem) in errors.enumerate() {
            write!(f, "{}{problem}", if i == 0 { "" } else { "\n" })?;
        }
        match self.problems.left_out() {
            0 => Ok(()),
            n => write!(f, "\nand {n} more"),
        }
    }
}

impl std::error::Error for Malformed {}

impl Classify for Malformed {
    fn class(&self) -> Class {
        Class::BadInput
    }
}

/// A value as it is quoted in a message: its first line, at most 80 characters.
fn shortened(text: &str) -> String {
    let line = text.lines().next().unwrap_or_default();
    match line.char_indices().nth(80) {
        Some((at, _)) => format!("{}…", line.get(..at).unwrap_or_default()),
        None if line.len() < text.len() => format!("{line}…"),
        None => line.to_owned(),
    }
}
