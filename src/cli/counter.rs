//! How counted work is shown on stderr: a bar on a terminal, a line now and then elsewhere, JSON for programs, or
//! nothing. Shared by `zoo features` and `zoo finetune`; its bar and its pauses are also those of `verify_progress`.

use std::io::Write;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

use super::context::{Globals, ProgressMode};
use super::interrupt;
use crate::render::safe;

/// Between two plain lines.
pub(super) const PLAIN_INTERVAL: Duration = Duration::from_secs(5);

/// Between two JSON lines.
pub(super) const JSON_INTERVAL: Duration = Duration::from_millis(500);

/// One piece of work, counted from nothing to its total.
pub(super) struct Counter {
    kind: ProgressMode,
    label: String,
    total: usize,
    begun: Instant,
    last: Instant,
    bar: Option<ProgressBar>,
}

impl Counter {
    /// Begins to count to `total`, of which `done` were done before.
    pub(super) fn new(globals: &Globals, label: &str, done: usize, total: usize) -> Self {
        interrupt::watch();
        let kind = globals.shown_progress();
        let before = if done > 0 { format!(", {done} of them on record") } else { String::new() };
        let mut bar = None;
        match kind {
            ProgressMode::None => {}
            ProgressMode::Json => json(&serde_json::json!({
                "event": "started", "what": label, "done": done, "total": total,
            })),
            ProgressMode::Plain => line(&format!("{label}: {total}{before}")),
            ProgressMode::Auto => bar = Some(bar_of(label, done, total)),
        }
        let now = Instant::now();
        Counter { kind, label: label.to_owned(), total, begun: now, last: now, bar }
    }

    /// Where it stands, and how it goes: `loss 0.31, 92.1 % right`.
    pub(super) fn advanced(&mut self, done: usize, standing: &str) {
        let due = |pause: Duration| self.last.elapsed() >= pause;
        match self.kind {
            ProgressMode::Json if due(JSON_INTERVAL) => {
                self.last = Instant::now();
                json(&serde_json::json!({
                    "event": "advanced", "what": self.label, "done": done, "total": self.total, "standing": standing,
                }));
            }
            ProgressMode::Plain if due(PLAIN_INTERVAL) => {
                self.last = Instant::now();
                let seconds = self.begun.elapsed().as_secs();
                let comma = if standing.is_empty() { "" } else { ", " };
                line(&format!("{}: {done} of {}{comma}{standing}, {seconds} s", self.label, self.total));
            }
            ProgressMode::None | ProgressMode::Json | ProgressMode::Plain => {}
            ProgressMode::Auto => {
                if let Some(bar) = &self.bar {
                    bar.set_message(safe::terminal(standing).into_owned());
                    bar.set_position(done as u64);
                }
            }
        }
    }
}

impl Drop for Counter {
    fn drop(&mut self) {
        if let Some(bar) = self.bar.take() {
            bar.finish_and_clear();
        }
    }
}

/// A bar with a label before it and, by its message, a standing behind it.
pub(super) fn bar_of(label: &str, done: usize, total: usize) -> ProgressBar {
    let template = "{prefix} {wide_bar} {pos}/{len} {msg} {eta}";
    let style = ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
    let bar = ProgressBar::new(total as u64).with_style(style);
    let bar = bar.with_prefix(safe::terminal(label).into_owned()).with_position(done as u64);
    bar.reset_eta();
    bar
}

fn line(text: &str) {
    let _ = writeln!(std::io::stderr(), "{}", safe::terminal(text));
}

fn json(value: &serde_json::Value) {
    let _ = writeln!(std::io::stderr(), "{value}");
}
