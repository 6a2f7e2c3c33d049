//! Pickles, read without running them. In: bytes that may come from an attacker. Out: an arena of plain
//! values and the list of every import the pickle names. Called by the readers of [`super::torch`],
//! [`super::numpy`] and by [`super::scan`].
//!
//! Python's unpickler is a stack machine whose `GLOBAL` imports anything and whose `REDUCE` calls it. This
//! one has the same opcodes and calls nothing: an import is a name, a call is a node that says what would
//! have been called with what. Which nodes mean a tensor is decided afterwards, from a fixed list
//! (`globals`), so the machine itself (`vm`) knows of no package.

mod arena;
mod danger;
mod globals;
mod import;
mod input;
mod limits;
mod machine;
pub mod opcode;
mod stack;
mod text;
mod vm;

pub use arena::{Arena, Chain, Object, Ref, Span, Value};
pub use import::{Import, ImportClass, Known};
pub use limits::{Limits, Work};
pub use machine::Machine;
