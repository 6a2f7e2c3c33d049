//! The stack machine. In: bytes and limits. Out: an arena of values. Nothing here imports, calls, recurses or allocates by
//! a count the file claims, and nothing knows what any import means. Called by [`super::machine`].

use std::collections::HashMap;

use super::arena::{Arena, Chain, Object, Ref, Span, Value};
use super::import::Import;
use super::input::Input;
use super::limits::Limits;
use super::opcode as op;
use super::stack::{Memo, Stack};
use crate::checkpoint::error::FormatError;

mod containers;
mod literals;

pub(super) struct Vm<'a> {
    pub(super) arena: Arena<'a>,
    pub(super) input: Input<'a>,
    pub(super) opcodes: u64,
    limits: Limits,
    stack: Stack,
    memo: Memo,
    /// Where the frame at hand ends.
    frame: Option<usize>,
    /// What the pickle does that Python goes on from and this machine does not model: it goes on too, so that later
    /// imports are seen, and refuses the pickle at its end.
    deferred: Option<FormatError>,
    globals: HashMap<(String, String), u32>,
}

type Step = Result<(), FormatError>;

impl<'a> Vm<'a> {
    pub(super) fn new(data: &'a [u8], at: usize, limits: Limits) -> Self {
        Vm {
            arena: Arena::new(data),
            input: Input::new(data, at),
            opcodes: 0,
            limits,
            stack: Stack::default(),
            memo: Memo::default(),
            frame: None,
            deferred: None,
            globals: HashMap::new(),
        }
    }

    /// Runs to `STOP`.
    pub(super) fn run(&mut self) -> Result<Ref, FormatError> {
        let result = self.run_on();
        match self.deferred.take() {
            Some(first) => Err(first),
            None => result,
        }
    }

    fn run_on(&mut self) -> Result<Ref, FormatError> {
        loop {
            let code = self.input.opcode()?;
            self.opcodes += 1;
            if self.opcodes > self.limits.opcodes {
                return Err(self.excessive(format!("more than {} opcodes", self.limits.opcodes)));
            }
            if code == op::STOP {
                let value = self.pop()?;
                if !self.stack.is_empty() {
                    return Err(self.input.bad("the pickle stops with values left on its stack"));
                }
                if self.frame.is_some_and(|end| end != self.input.position()) {
                    self.defer(self.forged("the pickle stops inside a frame"));
                }
                return Ok(value);
            }
            self.step(code)?;
            if let Some(end) = self.frame {
                if self.input.position() > end {
                    self.defer(self.forged("an opcode crosses the end of its frame"));
                }
                if self.input.position() >= end {
                    self.frame = None;
                }
            }
            if self.stack.kept() + self.memo.kept() > self.limits.links {
                let most = self.limits.links;
                return Err(
                    self.excessive(format!("more than {most} values and marks on the stack and in the memo"))
                );
            }
        }
    }

    fn step(&mut self, code: u8) -> Step {
        match code {
            op::MARK => self.stack.push_mark(),
            // Python's POP takes a mark when nothing lies above it.
            op::POP if self.stack.mark_is_on_top() => drop(self.stack.pop_mark()),
            op::POP => drop(self.pop()?),
            op::POP_MARK => {
                let mark = self.pop_mark()?;
                self.stack.truncate(mark);
            }
            op::DUP => {
                let last = self.last()?;
                self.stack.push(last);
            }
            op::NONE => self.stack.push(Arena::NONE),
            op::NEWTRUE => self.stack.push(Arena::TRUE),
            op::NEWFALSE => self.stack.push(Arena::FALSE),
            op::EMPTY_TUPLE => self.stack.push(Arena::UNIT),
            op::INT
            | op::LONG
            | op::FLOAT
            | op::BININT
            | op::BININT1
            | op::BININT2
            | op::BINFLOAT
            | op::LONG1
            | op::LONG4 => return self.number(code),
            op::STRING
            | op::UNICODE
            | op::BINSTRING
            | op::SHORT_BINSTRING
            | op::SHORT_BINUNICODE
            | op::BINUNICODE
            | op::BINUNICODE8
            | op::SHORT_BINBYTES
            | op::BINBYTES
            | op::BINBYTES8
            | op::BYTEARRAY8 => {
                return self.string(code);
            }
            op::EMPTY_LIST => self.push(Value::List(Chain::EMPTY))?,
            op::EMPTY_DICT => self.push(Value::Dict(Chain::EMPTY))?,
            op::EMPTY_SET => self.push(Value::Set(Chain::EMPTY))?,
            op::LIST => {
                let chain = self.chain_above_mark()?;
                self.push(Value::List(chain))?;
            }
            op::TUPLE => {
                let chain = self.chain_above_mark()?;
                self.push(Value::Tuple(chain))?;
            }
            op::FROZENSET => {
                let chain = self.chain_above_mark()?;
                self.push(Value::Set(chain))?;
            }
            op::DICT => {
                let chain = self.chain_above_mark()?;
                if chain.len % 2 != 0 {
                    return Err(self.input.bad("a dict with a key but no value"));
                }
                self.push(Value::Dict(chain))?;
            }
            op::TUPLE1 | op::TUPLE2 | op::TUPLE3 => {
                let from = self.top(usize::from(code - op::TUPLE1) + 1)?;
                let chain = self.chain(from)?;
                self.push(Value::Tuple(chain))?;
            }
            op::APPEND => {
                let from = self.top(1)?;
                self.extend(from, false)?;
            }
            op::APPENDS | op::ADDITEMS => {
                let mark = self.pop_mark()?;
                self.extend(mark, false)?;
            }
            op::SETITEM => {
                let from = self.top(2)?;
                self.extend(from, true)?;
            }
            op::SETITEMS => {
                let mark = self.pop_mark()?;
                self.extend(mark, true)?;
            }
            op::GET | op::BINGET | op::LONG_BINGET => {
                let index = self.memo_index(code)?;
                let value = self.memo.get(index);
                let missing = || self.input.bad(format!("memo entry {index}, which was never put"));
                self.stack.push(value.ok_or_else(missing)?);
            }
            op::PUT | op::BINPUT | op::LONG_BINPUT | op::MEMOIZE => {
                let index = if code == op::MEMOIZE { self.memo.next_index() } else { self.memo_index(code)? };
                let last = self.last()?;
                self.memo.put(index, last);
            }
            op::GLOBAL | op::STACK_GLOBAL | op::EXT1 | op::EXT2 | op::EXT4 => {
                let global = self.named_global(code)?;
                self.push(global)?;
            }
            op::REDUCE | op::NEWOBJ => {
                let args = self.pop()?;
                let callee = self.pop()?;
                self.call(callee, args)?;
            }
            op::NEWOBJ_EX => {
                // No known constructor takes keyword arguments.
                let keywords = self.pop()?;
                if !matches!(self.arena.get(keywords), Value::Dict(chain) if chain.len == 0) {
                    let problem = "keyword arguments for a constructor (NEWOBJ_EX)";
                    self.defer(FormatError::unsupported(self.input.place(), problem));
                }
                let args = self.pop()?;
                let callee = self.pop()?;
                self.call(callee, args)?;
            }
            op::INST => {
                let global = self.named_global(op::GLOBAL)?;
                let callee = self.intern(global)?;
                let chain = self.chain_above_mark()?;
                let args = self.intern(Value::Tuple(chain))?;
                self.call(callee, args)?;
            }
            op::OBJ => {
                let mark = self.pop_mark()?;
                let callee =
                    self.stack.get(mark).ok_or_else(|| self.input.bad("an object without a class"))?;
                let chain = self.chain(mark + 1)?;
                self.stack.truncate(mark);
                let args = self.intern(Value::Tuple(chain))?;
                self.call(callee, args)?;
            }
            op::BUILD => self.build()?,
            op::PERSID => {
                let line = self.input.line()?;
                let start = self.input.position() - line.len() - 1;
                let id = self.intern(Value::Text(Span { start: start as u64, len: line.len() as u64 }))?;
                self.push(Value::Persistent(id))?;
            }
            op::BINPERSID => {
                let id = self.pop()?;
                self.push(Value::Persistent(id))?;
            }
            op::PROTO => {
                let protocol = self.input.byte()?;
                if protocol > 5 {
                    return Err(self.input.bad(format!("pickle protocol {protocol}, where 0 to 5 exist")));
                }
            }
            op::FRAME => self.begin_frame()?,
            op::READONLY_BUFFER => {}
            op::NEXT_BUFFER => {
                let problem = "a buffer that was kept outside of the pickle (NEXT_BUFFER)";
                return Err(FormatError::unsupported(self.input.place(), problem));
            }
            other => {
                debug_assert!(op::of(other).is_none(), "{other:#04x} is in the table");
                return Err(self.input.bad(format!("0x{other:02x} is not a pickle opcode")));
            }
        }
        Ok(())
    }

    fn begin_frame(&mut self) -> Step {
        let len = u64::from_le_bytes(self.input.array()?);
        if self.frame.is_some() {
            self.defer(self.forged("a frame inside a frame"));
        }
        match self.input.end_of(len) {
            Some(end) => self.frame = (len > 0).then_some(end),
            None => {
                self.defer(self.forged(format!("a frame of {len} bytes, beyond the end")));
                self.frame = None;
            }
        }
        Ok(())
    }

    // ---- imports and calls ----

    /// The import that an opcode names.
    fn named_global(&mut self, code: u8) -> Result<Value, FormatError> {
        match code {
            op::GLOBAL => {
                let (module, name) = (self.input.line()?, self.input.line()?);
                self.global(module, name)
            }
            op::STACK_GLOBAL => {
                let name = self.pop()?;
                let module = self.pop()?;
                let (Value::Text(module), Value::Text(name)) = (self.arena.get(module), self.arena.get(name))
                else {
                    return Err(self.input.bad("an import whose module and name are not both text"));
                };
                let (module, name) = (self.arena.bytes(module).to_vec(), self.arena.bytes(name).to_vec());
                self.global(&module, &name)
            }
            // By its number in a registry that the reading program fills.
            _ => {
                let number = match code {
                    op::EXT1 => self.input.byte()?.into(),
                    op::EXT2 => u16::from_le_bytes(self.input.array()?).into(),
                    _ => u32::from_le_bytes(self.input.array()?),
                };
                self.global(b"copyreg", format!("extension {number}").as_bytes())
            }
        }
    }

    fn global(&mut self, module: &[u8], name: &[u8]) -> Result<Value, FormatError> {
        // A longer name is an import like another; what is kept of it is on no list.
        const MAX_NAME: usize = 1024;
        let text = |bytes: &[u8]| match std::str::from_utf8(bytes) {
            Ok("") | Err(_) => Err(self.input.bad("an import whose name is empty or no text")),
            Ok(text) if text.len() > MAX_NAME => {
                let end = (0..=MAX_NAME).rev().find(|&at| text.is_char_boundary(at)).unwrap_or(0);
                Ok(format!("{}…", text.get(..end).unwrap_or_default()))
            }
            Ok(text) => Ok(text.to_owned()),
        };
        let key = (text(module)?, text(name)?);
        if let Some(&index) = self.globals.get(&key) {
            return Ok(Value::Global(index));
        }
        if self.arena.imports.len() >= self.limits.imports {
            return Err(self.excessive(format!("more than {} different imports", self.limits.imports)));
        }
        let index = self.arena.imports.len() as u32;
        self.arena.imports.push(Import::new(key.0.clone(), key.1.clone(), self.input.opcode_at() as u64));
        self.arena.first_calls.push(None);
        self.globals.insert(key, index);
        Ok(Value::Global(index))
    }

    fn call(&mut self, callee: Ref, args: Ref) -> Step {
        match self.arena.get(callee) {
            Value::Global(index) => {
                if let Some(first) = self.arena.first_calls.get_mut(index as usize) {
                    first.get_or_insert(args);
                }
            }
            // What another call would have returned: `getattr(…)(…)`. The import behind it is listed. Legacy
            // files of whole modules call classes that they name, with their source, by a persistent id.
            Value::Object(_) | Value::Persistent(_) => {}
            _ => {
                let problem = format!("a call of a {}, which nothing can call", self.arena.kind(callee));
                return Err(self.input.bad(problem));
            }
        }
        if !matches!(self.arena.get(args), Value::Tuple(_) | Value::Object(_)) {
            return Err(self.input.bad(format!("a call whose arguments are a {}", self.arena.kind(args))));
        }
        let index = u32::try_from(self.arena.objects.len()).unwrap_or(u32::MAX);
        self.push(Value::Object(index))?;
        let object = Object { callee, args, state: Arena::NONE, items: Chain::EMPTY, entries: Chain::EMPTY };
        self.arena.objects.push(object);
        Ok(())
    }

    fn build(&mut self) -> Step {
        let state = self.pop()?;
        let last = self.last()?;
        match self.arena.get(last) {
            Value::Object(index) => {
                if let Some(object) = self.arena.objects.get_mut(index as usize) {
                    object.state = state;
                }
                Ok(())
            }
            // Python would set attributes of what was imported.
            Value::Global(_) => {
                let problem = format!("a state for {} itself", self.arena.kind(last));
                self.defer(FormatError::unsupported(self.input.place(), problem));
                Ok(())
            }
            _ => Err(self.input.bad(format!("a state for a {}, which has none", self.arena.kind(last)))),
        }
    }

    // ---- the stack ----

    fn push(&mut self, value: Value) -> Step {
        let at = self.intern(value)?;
        self.stack.push(at);
        Ok(())
    }

    /// Gives a value its place in the arena.
    fn intern(&mut self, value: Value) -> Result<Ref, FormatError> {
        if self.arena.values.len() >= self.limits.values {
            return Err(self.excessive(format!("more than {} values in one pickle", self.limits.values)));
        }
        let at = Ref(self.arena.values.len() as u32);
        self.arena.values.push(value);
        Ok(at)
    }

    fn pop(&mut self) -> Result<Ref, FormatError> {
        self.stack.pop().ok_or_else(|| self.input.bad(EMPTY))
    }

    fn last(&self) -> Result<Ref, FormatError> {
        self.stack.last().ok_or_else(|| self.input.bad(EMPTY))
    }

    /// Where the topmost `count` values begin.
    fn top(&self, count: usize) -> Result<usize, FormatError> {
        self.stack.top(count).ok_or_else(|| self.input.bad(EMPTY))
    }

    fn pop_mark(&mut self) -> Result<usize, FormatError> {
        self.stack.pop_mark().ok_or_else(|| self.input.bad("no mark on the stack"))
    }

    fn excessive(&self, problem: String) -> FormatError {
        FormatError::excessive(self.input.place(), problem)
    }

    fn defer(&mut self, fault: FormatError) {
        self.deferred.get_or_insert(fault);
    }

    /// The reader in C goes on where the one in Python stops.
    fn forged(&self, problem: impl Into<String>) -> FormatError {
        FormatError::ambiguous(self.input.place(), problem)
    }
}

const EMPTY: &str = "takes a value from an empty stack";
