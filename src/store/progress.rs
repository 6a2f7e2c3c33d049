//! What the store tells of its work while it works. The library prints nothing: the command line draws
//! these as bars, lines or JSON.

/// Something that happened.
#[derive(Clone, Copy, Debug)]
pub enum Event<'a> {
    /// Bytes of `name` begin to arrive, after `done` that were here already.
    Started {
        /// What was asked for.
        name: &'a str,
        /// Bytes that are here from an earlier run.
        done: u64,
        /// Bytes in all, where known.
        total: Option<u64>,
    },
    /// `done` bytes are here.
    Advanced {
        /// What was asked for.
        name: &'a str,
        /// Bytes here.
        done: u64,
    },
    /// It is over, one way or the other.
    Finished {
        /// What was asked for.
        name: &'a str,
    },
    /// Several files are wanted.
    Planned {
        /// How many.
        files: usize,
        /// Bytes of those that are not here and whose size is known.
        bytes: u64,
    },
    /// One of several is done.
    Settled {
        /// What was asked for.
        name: &'a str,
        /// Whether it is here; otherwise it could not be had.
        ok: bool,
    },
    /// Something worth a line: a retry, a wait for another process.
    Note {
        /// What was asked for.
        name: &'a str,
        /// The line.
        text: &'a str,
    },
}

/// Who follows the work.
pub trait FetchProgress: Send + Sync {
    /// Called from the thread that works; several may call at once.
    fn event(&self, event: Event<'_>);

    /// Asked between two pieces of work: whether the user wants it to stop.
    fn cancelled(&self) -> bool {
        false
    }
}

/// Tells nobody.
#[derive(Clone, Copy, Debug, Default)]
pub struct NullProgress;

impl FetchProgress for NullProgress {
    fn event(&self, _: Event<'_>) {}
}
