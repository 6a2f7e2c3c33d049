//! Runs one pickle and says what to think of every import it names. In: bytes and limits. Out: an arena with the pickle's
//! value, the imports, and counters of the work done. Called by every reader of pickles and by `scan`.

use super::arena::{Arena, Ref};
use super::globals;
use super::limits::{Limits, Work};
use super::vm::Vm;
use crate::checkpoint::error::FormatError;

/// The machine at work.
pub struct Machine<'a>(Vm<'a>);

impl<'a> Machine<'a> {
    /// A machine that will read one pickle of `data` from byte `at` on.
    pub fn new(data: &'a [u8], at: usize, limits: Limits) -> Self {
        Machine(Vm::new(data, at, limits))
    }

    /// Runs to `STOP`; the pickle's value.
    ///
    /// # Errors
    /// The first byte that cannot be right, or the limit that was reached; [`Machine::needs_more_input`] says whether
    /// only the input's end stood in the way.
    pub fn run(&mut self) -> Result<Ref, FormatError> {
        let result = self.0.run();
        globals::judge(&mut self.0.arena);
        result
    }

    /// Whether the input ended before the pickle did: with more bytes it might go on.
    pub fn needs_more_input(&self) -> bool {
        self.0.input.needs_more()
    }

    /// The byte after the last one read.
    pub fn position(&self) -> usize {
        self.0.input.position()
    }

    /// Counters.
    pub fn work(&self) -> Work {
        let arena = &self.0.arena;
        Work {
            opcodes: self.0.opcodes,
            values: arena.values.len(),
            links: arena.links.len(),
            decoded: arena.owned.len(),
        }
    }

    /// The values and imports so far, also after a failure.
    pub fn arena(&self) -> &Arena<'a> {
        &self.0.arena
    }

    /// The values and imports.
    pub fn into_arena(self) -> Arena<'a> {
        self.0.arena
    }
}
