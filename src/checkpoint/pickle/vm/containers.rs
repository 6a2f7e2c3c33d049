//! Lists, tuples, sets, dicts, and what is appended to objects. Called by [`super`].

use super::{Step, Vm};
use crate::checkpoint::error::FormatError;
use crate::checkpoint::pickle::arena::{Chain, END, Value};

impl Vm<'_> {
    /// Takes what lies above the last mark as a chain.
    pub(super) fn chain_above_mark(&mut self) -> Result<Chain, FormatError> {
        let mark = self.pop_mark()?;
        self.chain(mark)
    }

    /// Takes what lies at `from` and above as a chain.
    pub(super) fn chain(&mut self, from: usize) -> Result<Chain, FormatError> {
        let mut chain = Chain::EMPTY;
        self.append(&mut chain, from)?;
        Ok(chain)
    }

    /// Moves what lies at `from` and above to the end of a chain.
    pub(super) fn append(&mut self, chain: &mut Chain, from: usize) -> Step {
        if self.arena.links.len() + self.stack.count_from(from) > self.limits.links {
            let most = self.limits.links;
            return Err(self.excessive(format!("more than {most} elements of lists, tuples and dicts")));
        }
        for value in self.stack.drain(from) {
            let index = self.arena.links.len() as u32;
            self.arena.links.push((value, END));
            match self.arena.links.get_mut(chain.tail as usize) {
                Some(last) if chain.tail != END => last.1 = index,
                _ => chain.head = index,
            }
            chain.tail = index;
            chain.len += 1;
        }
        Ok(())
    }

    /// Appends (or sets, in pairs) what lies at `from` and above to the container right below.
    pub(super) fn extend(&mut self, from: usize, pairs: bool) -> Step {
        let below = from.checked_sub(1).and_then(|at| self.stack.get(at));
        let container = below.ok_or_else(|| self.input.bad("elements for no container"))?;
        if self.stack.has_mark_from(from) {
            return Err(self.input.bad("elements for a container below a mark"));
        }
        if pairs && !self.stack.count_from(from).is_multiple_of(2) {
            return Err(self.input.bad("a dict with a key but no value"));
        }
        let value = self.arena.get(container);
        let mut chain = match (value, pairs) {
            (Value::List(chain) | Value::Set(chain), false) | (Value::Dict(chain), true) => chain,
            (Value::Object(index), _) => match (self.arena.object(index), pairs) {
                (Some(object), true) => object.entries,
                (Some(object), false) => object.items,
                (None, _) => Chain::EMPTY,
            },
            // Python sets elements of a list by their index, and appends to a bytearray.
            (Value::List(_), true) | (Value::Bytes(_), _) => {
                let problem = format!("elements set in a {}", self.arena.kind(container));
                self.defer(FormatError::unsupported(self.input.place(), problem));
                self.stack.truncate(from);
                return Ok(());
            }
            _ => return Err(self.input.bad(format!("elements for a {}", self.arena.kind(container)))),
        };
        self.append(&mut chain, from)?;
        let changed = match value {
            Value::Object(index) => {
                if let Some(object) = self.arena.objects.get_mut(index as usize) {
                    *if pairs { &mut object.entries } else { &mut object.items } = chain;
                }
                return Ok(());
            }
            Value::List(_) => Value::List(chain),
            Value::Set(_) => Value::Set(chain),
            _ => Value::Dict(chain),
        };
        if let Some(slot) = self.arena.values.get_mut(container.0 as usize) {
            *slot = changed;
        }
        Ok(())
    }
}
