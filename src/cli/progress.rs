//! How the store's work is shown on stderr: bars on a terminal, a line now and then elsewhere, JSON for
//! programs, or nothing.

use std::collections::HashMap;
use std::io::Write;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

use super::context::{Globals, ProgressMode};
use super::interrupt;
use super::totals::Totals;
use crate::render::safe;
use crate::store::{Event, FetchProgress, NullProgress};

/// The sink that the options ask for.
pub(super) fn sink(globals: &Globals) -> Arc<dyn FetchProgress> {
    interrupt::watch();
    match globals.shown_progress() {
        ProgressMode::None => Arc::new(Hidden),
        ProgressMode::Json => Arc::new(Json::default()),
        ProgressMode::Auto => Arc::new(Bars::default()),
        ProgressMode::Plain => Arc::new(Plain::default()),
    }
}

/// Shows nothing and still listens for Ctrl-C.
struct Hidden;

impl FetchProgress for Hidden {
    fn event(&self, event: Event<'_>) {
        NullProgress.event(event);
    }

    fn cancelled(&self) -> bool {
        interrupt::asked()
    }
}

/// One JSON object per line.
#[derive(Default)]
struct Json {
    last: Mutex<HashMap<String, Instant>>,
    totals: Mutex<Totals>,
}

/// Between two JSON lines about the same file's bytes.
const JSON_INTERVAL: Duration = Duration::from_millis(250);

impl Json {
    /// Whether this event is worth a line: of a file's bytes, four a second are.
    fn is_due(&self, event: &Event<'_>) -> bool {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        match event {
            Event::Advanced { name, .. } => match last.get_mut(*name) {
                Some(last) if last.elapsed() < JSON_INTERVAL => false,
                Some(last) => {
                    *last = Instant::now();
                    true
                }
                None => true,
            },
            Event::Started { name, .. } => {
                last.insert((*name).to_owned(), Instant::now());
                true
            }
            Event::Finished { .. } | Event::Note { .. } | Event::Planned { .. } | Event::Settled { .. } => {
                true
            }
        }
    }
}

impl FetchProgress for Json {
    fn event(&self, event: Event<'_>) {
        let mut totals = self.totals.lock().unwrap_or_else(PoisonError::into_inner);
        totals.count(&event);
        if !self.is_due(&event) {
            return;
        }
        let value = match event {
            Event::Started { name, done, total } => {
                serde_json::json!({"event": "started", "name": name, "done": done, "total": total})
            }
            Event::Advanced { name, done } => {
                serde_json::json!({"event": "advanced", "name": name, "done": done})
            }
            Event::Finished { name } => serde_json::json!({"event": "finished", "name": name}),
            Event::Note { name, text } => serde_json::json!({"event": "note", "name": name, "text": text}),
            Event::Planned { files, bytes } => {
                serde_json::json!({"event": "planned", "files": files, "bytes": bytes})
            }
            Event::Settled { name, ok } => serde_json::json!({
                "event": "settled", "name": name, "ok": ok, "settled": totals.settled, "failed": totals.failed,
                "files": totals.files, "arrived": totals.arrived(), "bytes": totals.bytes,
            }),
        };
        let _ = writeln!(std::io::stderr(), "{value}");
    }

    fn cancelled(&self) -> bool {
        interrupt::asked()
    }
}

/// Lines for logs.
#[derive(Default)]
struct Plain {
    running: Mutex<HashMap<String, (Option<u64>, Instant)>>,
    totals: Mutex<Totals>,
}

/// Between two lines about the same file.
const PLAIN_INTERVAL: Duration = Duration::from_secs(5);

impl FetchProgress for Plain {
    fn event(&self, event: Event<'_>) {
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        let mut totals = self.totals.lock().unwrap_or_else(PoisonError::into_inner);
        totals.count(&event);
        let line = match event {
            Event::Started { name, done, total } => {
                running.insert(name.to_owned(), (total, Instant::now()));
                let size = total.map(|t| format!(", {}", bytes(t))).unwrap_or_default();
                let from = if done > 0 { format!(", resuming at {}", bytes(done)) } else { String::new() };
                format!("fetching {name}{size}{from}")
            }
            Event::Advanced { name, done } => match running.get_mut(name) {
                Some((total, last)) if last.elapsed() >= PLAIN_INTERVAL => {
                    *last = Instant::now();
                    let of = total.map(|t| format!(" of {}", bytes(t))).unwrap_or_default();
                    format!("fetching {name}: {}{of}", bytes(done))
                }
                _ => return,
            },
            Event::Finished { name } => {
                running.remove(name);
                return;
            }
            Event::Note { name, text } => format!("{name}: {text}"),
            Event::Planned { files, bytes: all } => format!("{files} files, {}", bytes(all)),
            // Of a single file the verb says it all.
            Event::Settled { .. } if totals.files == 0 => return,
            Event::Settled { .. } => totals.standing(),
        };
        let _ = writeln!(std::io::stderr(), "{}", safe::terminal(&line));
    }

    fn cancelled(&self) -> bool {
        interrupt::asked()
    }
}

/// A bar for each file, and one below them for all.
#[derive(Default)]
struct Bars {
    all: MultiProgress,
    running: Mutex<HashMap<String, ProgressBar>>,
    totals: Mutex<(Totals, Option<ProgressBar>)>,
}

impl Bars {
    fn bar(&self, name: &str, total: Option<u64>) -> ProgressBar {
        let template = match total {
            Some(_) => "{prefix} {wide_bar} {bytes}/{total_bytes} {bytes_per_sec} {eta}",
            None => "{prefix} {spinner} {bytes}",
        };
        let style = ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
        let bar = total.map_or_else(ProgressBar::no_length, ProgressBar::new).with_style(style);
        let bar = self.all.insert(0, bar.with_prefix(safe::terminal(name).into_owned()));
        bar.enable_steady_tick(Duration::from_millis(200));
        bar
    }

    /// Brings the bar of all files up to date.
    fn count(&self, event: &Event<'_>) {
        let mut totals = self.totals.lock().unwrap_or_else(PoisonError::into_inner);
        let (totals, bar) = &mut *totals;
        totals.count(event);
        if let Event::Planned { bytes, .. } = event {
            let template = "{msg} {wide_bar} {bytes}/{total_bytes} {bytes_per_sec} {eta}";
            let style =
                ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
            *bar = Some(self.all.add(ProgressBar::new(*bytes).with_style(style)));
        }
        if let Some(bar) = bar {
            bar.set_message(format!("{} of {} files", totals.settled, totals.files));
            bar.set_position(totals.arrived());
            if totals.settled >= totals.files {
                bar.finish_and_clear();
            }
        }
    }
}

impl FetchProgress for Bars {
    fn event(&self, event: Event<'_>) {
        self.count(&event);
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        match event {
            Event::Started { name, done, total } => {
                if let Some(old) = running.remove(name) {
                    old.finish_and_clear();
                }
                let bar = self.bar(name, total);
                bar.set_position(done);
                bar.reset_eta();
                running.insert(name.to_owned(), bar);
            }
            Event::Advanced { name, done } => {
                if let Some(bar) = running.get(name) {
                    bar.set_position(done);
                }
            }
            Event::Finished { name } => {
                if let Some(bar) = running.remove(name) {
                    bar.finish_and_clear();
                }
            }
            Event::Note { name, text } => {
                let _ = self.all.println(safe::terminal(&format!("{name}: {text}")));
            }
            Event::Planned { .. } | Event::Settled { .. } => {}
        }
    }

    fn cancelled(&self) -> bool {
        interrupt::asked()
    }
}

/// `18.8 MB`: powers of a thousand, as file systems and pages count.
pub(super) fn bytes(n: u64) -> String {
    let mut value = n as f64;
    for unit in ["B", "kB", "MB", "GB"] {
        if value < 999.95 {
            return if unit == "B" { format!("{n} B") } else { format!("{value:.1} {unit}") };
        }
        value /= 1000.0;
    }
    format!("{value:.1} TB")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_for_people() {
        let sizes = [0, 999, 1000, 18_826_032, 999_950, 1_930_000_000, 5_000_000_000_000].map(bytes);
        assert_eq!(sizes, ["0 B", "999 B", "1.0 kB", "18.8 MB", "1.0 MB", "1.9 GB", "5.0 TB"]);
    }
}
