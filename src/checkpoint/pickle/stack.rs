//! The pickle machine's stack with its marks, and its memo. Called by [`super::vm`].

use std::collections::HashMap;

use super::arena::Ref;

/// Values, and where marks stand between them.
#[derive(Default)]
pub(super) struct Stack {
    items: Vec<Ref>,
    marks: Vec<usize>,
}

impl Stack {
    pub(super) fn is_empty(&self) -> bool {
        self.items.is_empty() && self.marks.is_empty()
    }

    /// What is kept, in units of a value; a mark is twice its size.
    pub(super) fn kept(&self) -> usize {
        self.items.len() + 2 * self.marks.len()
    }

    pub(super) fn push(&mut self, value: Ref) {
        self.items.push(value);
    }

    pub(super) fn push_mark(&mut self) {
        self.marks.push(self.items.len());
    }

    /// Takes the last mark away: where what lies above it begins.
    pub(super) fn pop_mark(&mut self) -> Option<usize> {
        self.marks.pop()
    }

    /// Whether a mark is on top.
    pub(super) fn mark_is_on_top(&self) -> bool {
        self.marks.last() == Some(&self.items.len())
    }

    /// Whether a mark stands at `at` or above.
    pub(super) fn has_mark_from(&self, at: usize) -> bool {
        self.marks.last().is_some_and(|&mark| mark >= at)
    }

    /// Where the topmost `count` values begin; `None` where a mark stands between them, or there are fewer.
    pub(super) fn top(&self, count: usize) -> Option<usize> {
        let floor = self.marks.last().copied().unwrap_or(0);
        self.items.len().checked_sub(count).filter(|&from| from >= floor)
    }

    pub(super) fn pop(&mut self) -> Option<Ref> {
        self.top(1)?;
        self.items.pop()
    }

    pub(super) fn last(&self) -> Option<Ref> {
        self.get(self.top(1)?)
    }

    pub(super) fn get(&self, at: usize) -> Option<Ref> {
        self.items.get(at).copied()
    }

    /// How many values lie at `from` and above.
    pub(super) fn count_from(&self, from: usize) -> usize {
        self.items.len().saturating_sub(from)
    }

    pub(super) fn truncate(&mut self, len: usize) {
        self.items.truncate(len);
    }

    /// Takes the values at `from` and above.
    pub(super) fn drain(&mut self, from: usize) -> impl Iterator<Item = Ref> + '_ {
        self.items.drain(from.min(self.items.len())..)
    }
}

/// Values by number: in a row as far as they are put in a row, the others by number.
#[derive(Default)]
pub(super) struct Memo {
    dense: Vec<Ref>,
    sparse: HashMap<u32, Ref>,
}

impl Memo {
    /// What is kept, in units of a value; an entry by number is three times its size.
    pub(super) fn kept(&self) -> usize {
        self.dense.len() + 3 * self.sparse.len()
    }

    /// The number that `MEMOIZE` puts at.
    pub(super) fn next_index(&self) -> u32 {
        u32::try_from(self.dense.len() + self.sparse.len()).unwrap_or(u32::MAX)
    }

    pub(super) fn get(&self, index: u32) -> Option<Ref> {
        self.dense.get(index as usize).or_else(|| self.sparse.get(&index)).copied()
    }

    pub(super) fn put(&mut self, index: u32, value: Ref) {
        match (index as usize).cmp(&self.dense.len()) {
            std::cmp::Ordering::Less => {
                if let Some(slot) = self.dense.get_mut(index as usize) {
                    *slot = value;
                }
            }
            std::cmp::Ordering::Equal => {
                self.dense.push(value);
                self.sparse.remove(&index);
            }
            std::cmp::Ordering::Greater => drop(self.sparse.insert(index, value)),
        }
    }
}
