//! How work is divided: into consecutive parts whose sizes differ by one at most.

use std::ops::Range;

/// The `index`th of `parts` nearly equal consecutive parts of `0..total`.
pub fn split_even(total: usize, parts: usize, index: usize) -> Range<usize> {
    let (each, more) = (total / parts.max(1), total % parts.max(1));
    let start = index * each + index.min(more);
    start..start + each + usize::from(index < more)
}
