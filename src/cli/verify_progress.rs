//! How a verification's progress is shown on stderr: a bar with running accuracy and interval on a terminal, a
//! line now and then elsewhere, JSON for programs, or nothing.

use std::cell::{Cell, RefCell};
use std::io::Write;
use std::time::{Duration, Instant};

use indicatif::ProgressBar;

use super::context::{Globals, ProgressMode};
use super::counter::{JSON_INTERVAL, PLAIN_INTERVAL, bar_of};
use super::interrupt;
use crate::render::safe;
use crate::verify::RunProgress;
use crate::verify::judge::Counts;
use crate::verify::stats::{Interval, Percent};

/// The sink that the options ask for.
pub(super) struct Shown {
    kind: ProgressMode,
    quiet: bool,
    model: RefCell<String>,
    /// Images of the run, and those on record when it began.
    total: Cell<usize>,
    before: Cell<usize>,
    begun: Cell<Instant>,
    last: Cell<Instant>,
    bar: RefCell<Option<ProgressBar>>,
}

impl Shown {
    pub(super) fn new(globals: &Globals) -> Self {
        interrupt::watch();
        let now = Cell::new(Instant::now());
        Shown {
            kind: globals.shown_progress(),
            quiet: globals.quiet,
            model: RefCell::default(),
            total: Cell::new(0),
            before: Cell::new(0),
            begun: now.clone(),
            last: now,
            bar: RefCell::default(),
        }
    }

    /// Whether it is time for another line.
    fn is_due(&self, pause: Duration) -> bool {
        let due = self.last.get().elapsed() >= pause;
        if due {
            self.last.set(Instant::now());
        }
        due
    }

    /// Seconds that the rest will take at the pace so far.
    fn eta(&self, done: usize) -> Option<u64> {
        let computed = done.checked_sub(self.before.get()).filter(|&n| n > 0)?;
        let left = self.total.get().saturating_sub(done);
        Some((self.begun.get().elapsed().as_secs_f64() * left as f64 / computed as f64).ceil() as u64)
    }

    fn line(&self, text: &str) {
        let _ = writeln!(std::io::stderr(), "{}", safe::terminal(text));
    }
}

/// `90.00 % right, 68.30 to 98.77`.
fn standing(counts: Counts, interval: Interval) -> String {
    let right = Percent::of(counts.top1, counts.n);
    format!("{right:.2} % right, {:.2} to {:.2}", interval.low, interval.high)
}

impl RunProgress for Shown {
    fn started(&self, model: &str, done: usize, total: usize) {
        *self.model.borrow_mut() = model.to_owned();
        self.total.set(total);
        self.before.set(done);
        self.begun.set(Instant::now());
        self.last.set(Instant::now());
        let resumed = if done > 0 { format!(", {done} of them on record") } else { String::new() };
        match self.kind {
            ProgressMode::None => {}
            ProgressMode::Json => {
                let value =
                    serde_json::json!({"event": "started", "model": model, "done": done, "total": total});
                let _ = writeln!(std::io::stderr(), "{value}");
            }
            ProgressMode::Plain => self.line(&format!("{model}: {total} images{resumed}")),
            ProgressMode::Auto => *self.bar.borrow_mut() = Some(bar_of(model, done, total)),
        }
    }

    fn advanced(&self, done: usize, counts: Counts, interval: Interval) {
        let total = self.total.get();
        match self.kind {
            ProgressMode::None => {}
            ProgressMode::Json if self.is_due(JSON_INTERVAL) => {
                let value = serde_json::json!({
                    "event": "advanced", "model": *self.model.borrow(), "done": done, "total": total,
                    "top1": Percent::of(counts.top1, counts.n), "interval": [interval.low, interval.high],
                    "eta_seconds": self.eta(done),
                });
                let _ = writeln!(std::io::stderr(), "{value}");
            }
            ProgressMode::Plain if self.is_due(PLAIN_INTERVAL) => {
                let eta = self.eta(done).map_or(String::new(), |s| format!(", {s} s to go"));
                let model = self.model.borrow();
                self.line(&format!("{model}: {done} of {total}, {}{eta}", standing(counts, interval)));
            }
            ProgressMode::Json | ProgressMode::Plain => {}
            ProgressMode::Auto => {
                if let Some(bar) = &*self.bar.borrow() {
                    bar.set_message(standing(counts, interval));
                    bar.set_position(done as u64);
                }
            }
        }
    }

    fn finished(&self) {
        if let Some(bar) = self.bar.borrow_mut().take() {
            bar.finish_and_clear();
        }
    }

    fn note(&self, text: &str) {
        match &*self.bar.borrow() {
            _ if self.quiet => {}
            Some(bar) => bar.println(safe::terminal(text)),
            None => self.line(text),
        }
    }

    fn cancelled(&self) -> bool {
        interrupt::asked()
    }
}
