//! The stack machine. In: bytes and limits. Out: an arena with the pickle's value, every import it names, and
//! counters of the work done. Nothing here imports, calls, recurses or allocates by a count the file claims.

use std::collections::HashMap;

use super::arena::{Arena, Chain, END, Object, Ref, Span, Value};
use super::globals::{self, Known, Verdict};
use super::{opcode, text};
use crate::checkpoint::error::{Fault, Place};

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

/// A name that unpickling would import.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Import {
    /// The module, as the pickle has it.
    pub module: String,
    /// The name inside it, dots included.
    pub name: String,
    /// Byte of the input where it is first named.
    pub offset: u64,
    /// What zoo thinks of it.
    pub verdict: Verdict,
    /// What it is, when it is known.
    pub known: Option<Known>,
    /// The first call of it, as Python would write it.
    pub call: Option<String>,
}

impl Import {
    /// `module.name`.
    pub fn path(&self) -> String {
        format!("{}.{}", self.module, self.name)
    }

    /// What loading the file would have done with it.
    pub fn effect(&self) -> String {
        globals::effect(self)
    }
}

/// The machine at work.
pub struct Machine<'a> {
    arena: Arena<'a>,
    at: usize,
    end: usize,
    limits: Limits,
    stack: Vec<Ref>,
    marks: Vec<usize>,
    memo: Vec<Ref>,
    sparse: HashMap<u32, Ref>,
    frame: Option<usize>,
    globals: HashMap<(String, String), u32>,
    opcodes: u64,
    hungry: bool,
}

type Step = Result<(), Fault>;

impl<'a> Machine<'a> {
    /// A machine that will read one pickle of `data` from byte `at` on.
    pub fn new(data: &'a [u8], at: usize, limits: Limits) -> Self {
        Machine {
            arena: Arena::new(data),
            at,
            end: data.len(),
            limits,
            stack: Vec::new(),
            marks: Vec::new(),
            memo: Vec::new(),
            sparse: HashMap::new(),
            frame: None,
            globals: HashMap::new(),
            opcodes: 0,
            hungry: false,
        }
    }

    /// Runs to `STOP`; the pickle's value.
    ///
    /// # Errors
    /// The first byte that cannot be right, or the limit that was reached; [`Machine::hungry`] says whether
    /// only the input's end stood in the way.
    pub fn run(&mut self) -> Result<Ref, Fault> {
        loop {
            let start = self.at;
            let code = self.byte()?;
            self.opcodes += 1;
            if self.opcodes > self.limits.opcodes {
                return Err(Fault::excessive(
                    Place::byte(start as u64),
                    format!("more than {} opcodes", self.limits.opcodes),
                ));
            }
            if code == b'.' {
                let value = self.pop(start)?;
                if !self.stack.is_empty() || !self.marks.is_empty() {
                    return Err(bad(start, "the pickle stops with values left on its stack"));
                }
                if self.frame.is_some_and(|end| end != self.at) {
                    return Err(bad(start, "the pickle stops inside a frame"));
                }
                return Ok(value);
            }
            self.step(code, start)?;
            if let Some(end) = self.frame {
                if self.at > end {
                    return Err(bad(start, "an opcode crosses the end of its frame"));
                }
                if self.at == end {
                    self.frame = None;
                }
            }
            // A mark is twice a value's size, an entry of the sparse memo thrice.
            let kept = self.stack.len() + 2 * self.marks.len() + self.memo.len() + 3 * self.sparse.len();
            if kept > self.limits.links {
                return Err(Fault::excessive(
                    Place::byte(start as u64),
                    format!("more than {} values and marks on the stack and in the memo", self.limits.links),
                ));
            }
        }
    }

    /// Whether the input ended before the pickle did: with more bytes it might go on.
    pub fn hungry(&self) -> bool {
        self.hungry
    }

    /// The byte after the last one read.
    pub fn position(&self) -> usize {
        self.at
    }

    /// Counters.
    pub fn work(&self) -> Work {
        Work {
            opcodes: self.opcodes,
            values: self.arena.values.len(),
            links: self.arena.links.len(),
            decoded: self.arena.owned.len(),
        }
    }

    /// The values and imports so far, also after a failure.
    pub fn arena(&self) -> &Arena<'a> {
        &self.arena
    }

    /// The values and imports.
    pub fn into_arena(self) -> Arena<'a> {
        self.arena
    }

    fn step(&mut self, code: u8, start: usize) -> Step {
        match code {
            b'(' => self.marks.push(self.stack.len()),
            b'0' => {
                // Python's POP takes a mark when nothing lies above it.
                match self.marks.last() {
                    Some(&mark) if mark == self.stack.len() => drop(self.marks.pop()),
                    _ => drop(self.pop(start)?),
                }
            }
            b'1' => {
                let mark = self.mark(start)?;
                self.stack.truncate(mark);
            }
            b'2' => {
                let top = self.top(start)?;
                self.stack.push(top);
            }
            b'N' => self.stack.push(Arena::NONE),
            0x88 => self.stack.push(Arena::TRUE),
            0x89 => self.stack.push(Arena::FALSE),
            b')' => self.stack.push(Arena::UNIT),
            b'I' | b'L' => self.integer_line(code == b'L', start)?,
            b'F' => {
                let line = self.line(start)?;
                let value = std::str::from_utf8(line).ok().and_then(|t| t.trim().parse().ok());
                self.push(
                    Value::Float(value.ok_or_else(|| bad(start, "a float that is no number"))?),
                    start,
                )?;
            }
            b'J' => {
                let value = i32::from_le_bytes(self.array()?);
                self.push(Value::Int(value.into()), start)?;
            }
            b'K' => {
                let value = self.byte()?;
                self.push(Value::Int(value.into()), start)?;
            }
            b'M' => {
                let value = u16::from_le_bytes(self.array()?);
                self.push(Value::Int(value.into()), start)?;
            }
            b'G' => {
                let value = f64::from_be_bytes(self.array()?);
                self.push(Value::Float(value), start)?;
            }
            0x8a => {
                let len = self.byte()?;
                self.long(len.into(), start)?;
            }
            0x8b => {
                let len = u32::from_le_bytes(self.array()?);
                if len > i32::MAX as u32 {
                    return Err(bad(start, "an integer of negative length"));
                }
                self.long(len.into(), start)?;
            }
            b'S' => {
                let line = self.line(start)?;
                let value =
                    text::quoted(line).ok_or_else(|| bad(start, "a string that is not properly quoted"))?;
                let span = self.keep(&value, start)?;
                self.push(Value::Text(span), start)?;
            }
            b'V' => {
                let line = self.line(start)?;
                let value = text::raw_unicode(line).ok_or_else(|| bad(start, "text with a broken escape"))?;
                let span = self.keep(&value, start)?;
                self.push(Value::Text(span), start)?;
            }
            b'T' => {
                let len = u32::from_le_bytes(self.array()?);
                if len > i32::MAX as u32 {
                    return Err(bad(start, "a string of negative length"));
                }
                self.span(len.into(), start, Value::Text)?;
            }
            b'U' | 0x8c => {
                let len = self.byte()?;
                self.span(len.into(), start, Value::Text)?;
            }
            b'X' => {
                let len = u32::from_le_bytes(self.array()?);
                self.span(len.into(), start, Value::Text)?;
            }
            0x8d => {
                let len = u64::from_le_bytes(self.array()?);
                self.span(len, start, Value::Text)?;
            }
            b'C' => {
                let len = self.byte()?;
                self.span(len.into(), start, Value::Bytes)?;
            }
            b'B' => {
                let len = u32::from_le_bytes(self.array()?);
                self.span(len.into(), start, Value::Bytes)?;
            }
            0x8e | 0x96 => {
                let len = u64::from_le_bytes(self.array()?);
                self.span(len, start, Value::Bytes)?;
            }
            b']' => self.push(Value::List(Chain::EMPTY), start)?,
            b'}' => self.push(Value::Dict(Chain::EMPTY), start)?,
            0x8f => self.push(Value::Set(Chain::EMPTY), start)?,
            b'l' => {
                let chain = self.gather(start)?;
                self.push(Value::List(chain), start)?;
            }
            b't' => {
                let chain = self.gather(start)?;
                self.push(Value::Tuple(chain), start)?;
            }
            0x91 => {
                let chain = self.gather(start)?;
                self.push(Value::Set(chain), start)?;
            }
            b'd' => {
                let chain = self.gather(start)?;
                if chain.len % 2 != 0 {
                    return Err(bad(start, "a dict with a key but no value"));
                }
                self.push(Value::Dict(chain), start)?;
            }
            0x85..=0x87 => {
                let count = usize::from(code - 0x84);
                let from = self.floor_checked(count, start)?;
                let chain = self.chain(from, start)?;
                self.push(Value::Tuple(chain), start)?;
            }
            b'a' => {
                let from = self.floor_checked(1, start)?;
                self.extend(from, false, start)?;
            }
            b'e' | 0x90 => {
                let mark = self.mark(start)?;
                self.extend(mark, false, start)?;
            }
            b's' => {
                let from = self.floor_checked(2, start)?;
                self.extend(from, true, start)?;
            }
            b'u' => {
                let mark = self.mark(start)?;
                self.extend(mark, true, start)?;
            }
            b'g' => {
                let index = self.index_line(start)?;
                self.recall(index, start)?;
            }
            b'h' => {
                let index = self.byte()?;
                self.recall(index.into(), start)?;
            }
            b'j' => {
                let index = u32::from_le_bytes(self.array()?);
                self.recall(index, start)?;
            }
            b'p' => {
                let index = self.index_line(start)?;
                self.memorise(index, start)?;
            }
            b'q' => {
                let index = self.byte()?;
                self.memorise(index.into(), start)?;
            }
            b'r' => {
                let index = u32::from_le_bytes(self.array()?);
                self.memorise(index, start)?;
            }
            0x94 => {
                let index = self.memo.len() + self.sparse.len();
                self.memorise(u32::try_from(index).unwrap_or(u32::MAX), start)?;
            }
            b'c' => {
                let (module, name) = (self.line(start)?, self.line(start)?);
                let global = self.global(module, name, start)?;
                self.push(global, start)?;
            }
            0x93 => {
                let name = self.pop(start)?;
                let module = self.pop(start)?;
                let (Value::Text(module), Value::Text(name)) = (self.arena.get(module), self.arena.get(name))
                else {
                    return Err(bad(start, "an import whose module and name are not both text"));
                };
                let (module, name) = (self.arena.bytes(module).to_vec(), self.arena.bytes(name).to_vec());
                let global = self.global(&module, &name, start)?;
                self.push(global, start)?;
            }
            b'R' | 0x81 => {
                let args = self.pop(start)?;
                let callee = self.pop(start)?;
                self.call(callee, args, start)?;
            }
            0x92 => {
                // Keyword arguments: kept out of the arguments, since no known constructor takes any.
                let _keywords = self.pop(start)?;
                let args = self.pop(start)?;
                let callee = self.pop(start)?;
                self.call(callee, args, start)?;
            }
            b'i' => {
                let (module, name) = (self.line(start)?, self.line(start)?);
                let global = self.global(module, name, start)?;
                let callee = self.value(global, start)?;
                let chain = self.gather(start)?;
                let args = self.value(Value::Tuple(chain), start)?;
                self.call(callee, args, start)?;
            }
            b'o' => {
                let mark = self.mark(start)?;
                let callee =
                    self.stack.get(mark).copied().ok_or_else(|| bad(start, "an object without a class"))?;
                let chain = self.chain(mark + 1, start)?;
                self.stack.truncate(mark);
                let args = self.value(Value::Tuple(chain), start)?;
                self.call(callee, args, start)?;
            }
            b'b' => self.build(start)?,
            b'P' => {
                let line = self.line(start)?;
                let span = Span { start: (self.at - line.len() - 1) as u64, len: line.len() as u64 };
                let id = self.value(Value::Text(span), start)?;
                self.push(Value::Persistent(id), start)?;
            }
            b'Q' => {
                let id = self.pop(start)?;
                self.push(Value::Persistent(id), start)?;
            }
            0x80 => {
                let protocol = self.byte()?;
                if protocol > 5 {
                    return Err(bad(start, format!("pickle protocol {protocol}, where 0 to 5 exist")));
                }
            }
            0x95 => {
                let len = u64::from_le_bytes(self.array()?);
                if self.frame.is_some() {
                    return Err(bad(start, "a frame inside a frame"));
                }
                let end = usize::try_from(len).ok().and_then(|len| self.at.checked_add(len));
                match end {
                    Some(end) if end <= self.end => self.frame = (len > 0).then_some(end),
                    _ => {
                        self.hungry = end.is_some();
                        return Err(bad(start, format!("a frame of {len} bytes, beyond the end")));
                    }
                }
            }
            0x98 => {}
            0x82..=0x84 => {
                return Err(bad(start, "an import by a number of the writer's own registry (an EXT opcode)"));
            }
            0x97 => {
                return Err(bad(start, "a buffer that was kept outside of the pickle (NEXT_BUFFER)"));
            }
            other => {
                debug_assert!(opcode::of(other).is_none(), "{other:#04x} is in the table");
                return Err(bad(start, format!("0x{other:02x} is no pickle opcode")));
            }
        }
        Ok(())
    }

    fn integer_line(&mut self, long: bool, start: usize) -> Step {
        let line = self.line(start)?;
        let value = match text::integer(line, long) {
            Some(Ok(value)) => value,
            Some(Err(digits)) => {
                let from = (start + 1) as u64;
                Value::Digits(Span { start: from, len: digits.len() as u64 })
            }
            None => return Err(bad(start, "an integer that is no number")),
        };
        match value {
            Value::Bool(true) => self.stack.push(Arena::TRUE),
            Value::Bool(false) => self.stack.push(Arena::FALSE),
            value => self.push(value, start)?,
        }
        Ok(())
    }

    fn long(&mut self, len: u64, start: usize) -> Step {
        let span = self.take(len, start)?;
        let bytes = self.arena.bytes(span);
        let value = match bytes.len() {
            0 => Value::Int(0),
            n if n <= 8 => {
                let sign = if bytes.last().is_some_and(|b| b & 0x80 != 0) { 0xff } else { 0 };
                let mut word = [sign; 8];
                word.iter_mut().zip(bytes).for_each(|(w, b)| *w = *b);
                Value::Int(i64::from_le_bytes(word))
            }
            _ => Value::Long(span),
        };
        self.push(value, start)
    }

    fn build(&mut self, start: usize) -> Step {
        let state = self.pop(start)?;
        let top = self.top(start)?;
        match self.arena.get(top) {
            Value::Object(index) => {
                if let Some(object) = self.arena.objects.get_mut(index as usize) {
                    object.state = state;
                }
                Ok(())
            }
            _ => Err(bad(start, format!("a state for a {}, which has none", self.arena.kind(top)))),
        }
    }

    fn call(&mut self, callee: Ref, args: Ref, start: usize) -> Step {
        match self.arena.get(callee) {
            Value::Global(index) => {
                let call = match self.arena.imports.get(index as usize) {
                    Some(import) if import.call.is_none() && import.verdict != Verdict::Known => {
                        Some(format!("{}{}", import.path(), self.arena.show(args, 160)))
                    }
                    _ => None,
                };
                if let (Some(call), Some(import)) = (call, self.arena.imports.get_mut(index as usize)) {
                    import.call = Some(call);
                }
            }
            // What another call would have returned: `getattr(…)(…)`. The import behind it is listed. Legacy
            // files of whole modules call classes that they name, with their source, by a persistent id.
            Value::Object(_) | Value::Persistent(_) => {}
            _ => {
                return Err(bad(
                    start,
                    format!("a call of a {}, which nothing can call", self.arena.kind(callee)),
                ));
            }
        }
        if !matches!(self.arena.get(args), Value::Tuple(_) | Value::Object(_)) {
            return Err(bad(start, format!("a call whose arguments are a {}", self.arena.kind(args))));
        }
        let index = u32::try_from(self.arena.objects.len()).unwrap_or(u32::MAX);
        self.push(Value::Object(index), start)?;
        let object = Object { callee, args, state: Arena::NONE, items: Chain::EMPTY, entries: Chain::EMPTY };
        self.arena.objects.push(object);
        Ok(())
    }

    fn global(&mut self, module: &[u8], name: &[u8], start: usize) -> Result<Value, Fault> {
        const LONGEST: usize = 1024;
        let text = |bytes: &[u8]| match std::str::from_utf8(bytes) {
            Ok(text) if !text.is_empty() && text.len() <= LONGEST => Ok(text.to_owned()),
            _ => Err(bad(start, "an import whose name is empty, over-long or no text")),
        };
        let key = (text(module)?, text(name)?);
        if let Some(&index) = self.globals.get(&key) {
            return Ok(Value::Global(index));
        }
        if self.arena.imports.len() >= self.limits.imports {
            return Err(Fault::excessive(
                Place::byte(start as u64),
                format!("more than {} different imports", self.limits.imports),
            ));
        }
        let index = self.arena.imports.len() as u32;
        let (verdict, known) = globals::judge(&key.0, &key.1);
        self.arena.imports.push(Import {
            module: key.0.clone(),
            name: key.1.clone(),
            offset: start as u64,
            verdict,
            known,
            call: None,
        });
        self.globals.insert(key, index);
        Ok(Value::Global(index))
    }

    // ---- the memo ----

    fn memorise(&mut self, index: u32, start: usize) -> Step {
        let top = self.top(start)?;
        match (index as usize).cmp(&self.memo.len()) {
            std::cmp::Ordering::Less => {
                if let Some(slot) = self.memo.get_mut(index as usize) {
                    *slot = top;
                }
            }
            std::cmp::Ordering::Equal => {
                self.memo.push(top);
                self.sparse.remove(&index);
            }
            std::cmp::Ordering::Greater => drop(self.sparse.insert(index, top)),
        }
        Ok(())
    }

    fn recall(&mut self, index: u32, start: usize) -> Step {
        let value = self.memo.get(index as usize).or_else(|| self.sparse.get(&index)).copied();
        let value = value.ok_or_else(|| bad(start, format!("memo entry {index}, which was never put")))?;
        self.stack.push(value);
        Ok(())
    }

    fn index_line(&mut self, start: usize) -> Result<u32, Fault> {
        let line = self.line(start)?;
        let digits = !line.is_empty() && line.iter().all(u8::is_ascii_digit);
        let index = std::str::from_utf8(line).ok().and_then(|t| t.parse().ok()).filter(|_| digits);
        index.ok_or_else(|| bad(start, "a memo index that is no number"))
    }

    // ---- containers ----

    /// Takes what lies above the last mark as a chain.
    fn gather(&mut self, start: usize) -> Result<Chain, Fault> {
        let mark = self.mark(start)?;
        self.chain(mark, start)
    }

    /// Takes what lies at `from` and above as a chain.
    fn chain(&mut self, from: usize, start: usize) -> Result<Chain, Fault> {
        let mut chain = Chain::EMPTY;
        self.link(&mut chain, from, start)?;
        Ok(chain)
    }

    /// Moves what lies at `from` and above to the end of a chain.
    fn link(&mut self, chain: &mut Chain, from: usize, start: usize) -> Step {
        let count = self.stack.len().saturating_sub(from);
        if self.arena.links.len() + count > self.limits.links {
            return Err(Fault::excessive(
                Place::byte(start as u64),
                format!("more than {} elements of lists, tuples and dicts", self.limits.links),
            ));
        }
        for value in self.stack.drain(from..) {
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
    fn extend(&mut self, from: usize, pairs: bool, start: usize) -> Step {
        let below = from.checked_sub(1).and_then(|at| self.stack.get(at).copied());
        let container = below.ok_or_else(|| bad(start, "elements for no container"))?;
        if self.marks.last().is_some_and(|&mark| mark >= from) {
            return Err(bad(start, "elements for a container below a mark"));
        }
        if pairs && !(self.stack.len() - from).is_multiple_of(2) {
            return Err(bad(start, "a dict with a key but no value"));
        }
        let value = self.arena.get(container);
        let mut chain = match (value, pairs) {
            (Value::List(chain) | Value::Set(chain), false) | (Value::Dict(chain), true) => chain,
            (Value::Object(index), _) => match (self.arena.object(index), pairs) {
                (Some(object), true) => object.entries,
                (Some(object), false) => object.items,
                (None, _) => Chain::EMPTY,
            },
            _ => return Err(bad(start, format!("elements for a {}", self.arena.kind(container)))),
        };
        self.link(&mut chain, from, start)?;
        match value {
            Value::Object(index) => {
                if let Some(object) = self.arena.objects.get_mut(index as usize) {
                    *if pairs { &mut object.entries } else { &mut object.items } = chain;
                }
            }
            _ => {
                let changed = match value {
                    Value::List(_) => Value::List(chain),
                    Value::Set(_) => Value::Set(chain),
                    _ => Value::Dict(chain),
                };
                if let Some(slot) = self.arena.values.get_mut(container.0 as usize) {
                    *slot = changed;
                }
            }
        }
        Ok(())
    }

    // ---- the stack ----

    fn push(&mut self, value: Value, start: usize) -> Step {
        let at = self.value(value, start)?;
        self.stack.push(at);
        Ok(())
    }

    fn value(&mut self, value: Value, start: usize) -> Result<Ref, Fault> {
        if self.arena.values.len() >= self.limits.values {
            return Err(Fault::excessive(
                Place::byte(start as u64),
                format!("more than {} values in one pickle", self.limits.values),
            ));
        }
        let at = Ref(self.arena.values.len() as u32);
        self.arena.values.push(value);
        Ok(at)
    }

    fn pop(&mut self, start: usize) -> Result<Ref, Fault> {
        let from = self.floor_checked(1, start)?;
        let value = self.stack.get(from).copied();
        self.stack.truncate(from);
        value.ok_or_else(|| bad(start, EMPTY))
    }

    fn top(&self, start: usize) -> Result<Ref, Fault> {
        let from = self.floor_checked(1, start)?;
        self.stack.get(from).copied().ok_or_else(|| bad(start, EMPTY))
    }

    /// Where the topmost `count` values begin, none of them below a mark.
    fn floor_checked(&self, count: usize, start: usize) -> Result<usize, Fault> {
        let floor = self.marks.last().copied().unwrap_or(0);
        match self.stack.len().checked_sub(count) {
            Some(from) if from >= floor => Ok(from),
            _ => Err(bad(start, EMPTY)),
        }
    }

    fn mark(&mut self, start: usize) -> Result<usize, Fault> {
        self.marks.pop().ok_or_else(|| bad(start, "no mark on the stack"))
    }

    // ---- the input ----

    fn byte(&mut self) -> Result<u8, Fault> {
        let [byte] = self.array::<1>()?;
        Ok(byte)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Fault> {
        let found = self.arena.data.get(self.at..self.at.saturating_add(N)).and_then(|s| s.try_into().ok());
        match found {
            Some(bytes) => {
                self.at += N;
                Ok(bytes)
            }
            None => {
                self.hungry = true;
                Err(ended(self.end))
            }
        }
    }

    fn take(&mut self, len: u64, start: usize) -> Result<Span, Fault> {
        let end = usize::try_from(len).ok().and_then(|len| self.at.checked_add(len));
        match end {
            Some(end) if end <= self.end => {
                let span = Span { start: self.at as u64, len };
                self.at = end;
                Ok(span)
            }
            _ => {
                self.hungry = end.is_some();
                let left = self.end - self.at;
                Err(bad(start, format!("claims {len} bytes, with {left} left in the file")))
            }
        }
    }

    fn span(&mut self, len: u64, start: usize, kind: fn(Span) -> Value) -> Step {
        let span = self.take(len, start)?;
        self.push(kind(span), start)
    }

    /// A line without its end.
    fn line(&mut self, start: usize) -> Result<&'a [u8], Fault> {
        let rest = self.arena.data.get(self.at..).unwrap_or_default();
        match rest.iter().position(|&b| b == b'\n') {
            Some(len) => {
                self.at += len + 1;
                Ok(rest.get(..len).unwrap_or_default())
            }
            None => {
                self.hungry = true;
                Err(bad(start, "a line without an end"))
            }
        }
    }

    fn keep(&mut self, bytes: &[u8], start: usize) -> Result<Span, Fault> {
        if self.arena.owned.len() + bytes.len() > self.limits.decoded {
            return Err(Fault::excessive(
                Place::byte(start as u64),
                format!("more than {} bytes of escaped text", self.limits.decoded),
            ));
        }
        let start = (self.arena.data.len() + self.arena.owned.len()) as u64;
        self.arena.owned.extend_from_slice(bytes);
        Ok(Span { start, len: bytes.len() as u64 })
    }
}

const EMPTY: &str = "takes a value from an empty stack";

fn bad(at: usize, problem: impl Into<String>) -> Fault {
    Fault::malformed(Place::byte(at as u64), problem)
}

fn ended(at: usize) -> Fault {
    bad(at, "the file ends inside a pickle")
}
