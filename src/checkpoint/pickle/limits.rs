//! What a pickle may use, and what it has used. Called by [`super::machine`] and [`super::vm`].

/// What one pickle may use. Every bound is on what is kept, so memory is bounded whatever the file says.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Opcodes executed.
    pub opcodes: u64,
    /// Values kept (24 bytes each).
    pub values: usize,
    /// Elements of containers and items on the stack and in the memo (8 bytes each).
    pub links: usize,
    /// Distinct imports.
    pub imports: usize,
    /// Bytes decoded from escaped text.
    pub decoded: usize,
}

impl Default for Limits {
    /// A training checkpoint of the largest models has some 100,000 values; these leave a factor of twenty
    /// and hold a pickle under 100 MB of memory.
    fn default() -> Self {
        Limits { opcodes: 1 << 25, values: 1 << 21, links: 1 << 22, imports: 4096, decoded: 1 << 24 }
    }
}

/// What was done, for tests that assert bounds without a clock.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Work {
    /// Opcodes executed.
    pub opcodes: u64,
    /// Values kept.
    pub values: usize,
    /// Elements of containers kept.
    pub links: usize,
    /// Bytes decoded from escaped text.
    pub decoded: usize,
}
