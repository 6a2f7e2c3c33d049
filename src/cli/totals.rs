//! Where the whole of several downloads stands, counted from the events of each. In: the store's events. Out: numbers
//! for the total's bar, line or JSON. Called by the sinks in `progress`.

use std::collections::HashMap;

use super::progress::bytes;
use crate::store::Event;

/// What is known of all files together; nothing before [`Event::Planned`].
#[derive(Debug, Default)]
pub(super) struct Totals {
    /// Files that are wanted; zero where only one is.
    pub(super) files: usize,
    /// Files that are here, or could not be had.
    pub(super) settled: usize,
    /// Files that could not be had.
    pub(super) failed: usize,
    /// Bytes of the files that were not here and whose size is known.
    pub(super) bytes: u64,
    /// Bytes of files being fetched, by name.
    under_way: HashMap<String, u64>,
    /// Bytes of files that are done.
    done: u64,
}

impl Totals {
    /// Counts an event in.
    pub(super) fn count(&mut self, event: &Event<'_>) {
        match event {
            Event::Planned { files, bytes } => {
                *self = Totals { files: *files, bytes: *bytes, ..Totals::default() };
            }
            Event::Started { name, done, .. } | Event::Advanced { name, done } => {
                match self.under_way.get_mut(*name) {
                    Some(count) => *count = *done,
                    None => {
                        self.under_way.insert((*name).to_owned(), *done);
                    }
                }
            }
            Event::Settled { name, ok } => {
                self.settled += 1;
                self.failed += usize::from(!ok);
                let arrived = self.under_way.remove(*name).unwrap_or(0);
                self.done += if *ok { arrived } else { 0 };
            }
            Event::Finished { .. } | Event::Note { .. } => {}
        }
    }

    /// Bytes that have arrived.
    pub(super) fn arrived(&self) -> u64 {
        self.under_way.values().fold(self.done, |sum, n| sum.saturating_add(*n))
    }

    /// `3 of 20 files, 1 failed, 120.0 MB of 2.1 GB`.
    pub(super) fn standing(&self) -> String {
        let failed = if self.failed > 0 { format!(", {} failed", self.failed) } else { String::new() };
        let arrived = self.arrived();
        format!(
            "{} of {} files{failed}, {} of {}",
            self.settled,
            self.files,
            bytes(arrived),
            bytes(self.bytes)
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_and_bytes_are_counted_once() {
        let mut totals = Totals::default();
        for event in [
            Event::Planned { files: 3, bytes: 600 },
            Event::Started { name: "a", done: 50, total: Some(100) },
            Event::Advanced { name: "a", done: 100 },
            Event::Finished { name: "a" },
            Event::Started { name: "b", done: 0, total: Some(200) },
            Event::Settled { name: "a", ok: true },
            Event::Advanced { name: "b", done: 150 },
        ] {
            totals.count(&event);
        }
        assert_eq!(totals.standing(), "1 of 3 files, 250 B of 600 B");
        // A second place starts over, and what failed has not arrived.
        totals.count(&Event::Started { name: "b", done: 0, total: Some(200) });
        assert_eq!(totals.arrived(), 100);
        totals.count(&Event::Advanced { name: "b", done: 20 });
        totals.count(&Event::Settled { name: "b", ok: false });
        assert_eq!(totals.standing(), "2 of 3 files, 1 failed, 100 B of 600 B");
    }
}
