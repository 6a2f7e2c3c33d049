//! What is everybody's: the class of an error, from which a command's exit code follows, and digests.

pub mod beside;
pub mod error;
pub mod hash;
