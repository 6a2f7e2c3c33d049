//! The formats that torch writes. Each reader finds the pickle and the storages; [`rebuild`] turns pickled
//! calls into tensors without making them.

pub(super) mod jit;
pub(super) mod legacy;
pub(super) mod loaded;
pub(super) mod rebuild;
pub(super) mod tar;
pub(super) mod zipped;
