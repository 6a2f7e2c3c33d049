//! Rules over the registry.
