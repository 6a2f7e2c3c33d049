//! Rules over the registry.

mod computed;

pub use computed::{Computed, computed, macs};
