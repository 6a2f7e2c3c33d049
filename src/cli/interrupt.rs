//! Ctrl-C: the first asks the work to stop where it can be resumed, the second ends the process at once.
//! Either way partial downloads and journals are prefixes of what they would have become.

use std::sync::Once;
use std::sync::atomic::{AtomicBool, Ordering};

static ASKED: AtomicBool = AtomicBool::new(false);
static WATCHING: Once = Once::new();

/// Starts watching for Ctrl-C; calling it again does nothing.
pub(super) fn watch() {
    WATCHING.call_once(|| {
        // Without a handler Ctrl-C still ends the process, only less politely.
        let _ = ctrlc::set_handler(on_signal);
    });
}

/// Whether the user has asked to stop.
pub(super) fn asked() -> bool {
    ASKED.load(Ordering::Relaxed)
}

#[allow(clippy::exit, reason = "the second Ctrl-C is for work that does not look at the first")]
fn on_signal() {
    if ASKED.swap(true, Ordering::Relaxed) {
        std::process::exit(i32::from(crate::Class::Interrupted.exit_code()));
    }
}
