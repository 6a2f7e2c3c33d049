//! Opcodes whose argument is a number, text, bytes or a number of the memo. Called by [`super`].

use super::{Step, Vm};
use crate::checkpoint::error::FormatError;
use crate::checkpoint::pickle::arena::{Arena, Span, Value};
use crate::checkpoint::pickle::opcode as op;
use crate::checkpoint::pickle::text;

impl Vm<'_> {
    pub(super) fn number(&mut self, code: u8) -> Step {
        let value = match code {
            op::INT | op::LONG => {
                let line = self.input.line()?;
                match text::integer(line, code == op::LONG) {
                    Some(Ok(Value::Bool(value))) => {
                        self.stack.push(if value { Arena::TRUE } else { Arena::FALSE });
                        return Ok(());
                    }
                    Some(Ok(value)) => value,
                    Some(Err(digits)) => {
                        let start = self.input.opcode_at() + 1;
                        Value::Digits(Span { start: start as u64, len: digits.len() as u64 })
                    }
                    None => return Err(self.input.bad("an integer that is not a number")),
                }
            }
            op::FLOAT => {
                let line = self.input.line()?;
                let value = std::str::from_utf8(line).ok().and_then(|t| t.trim().parse().ok());
                Value::Float(value.ok_or_else(|| self.input.bad("a float that is not a number"))?)
            }
            op::BININT => Value::Int(i32::from_le_bytes(self.input.array()?).into()),
            op::BININT1 => Value::Int(self.input.byte()?.into()),
            op::BININT2 => Value::Int(u16::from_le_bytes(self.input.array()?).into()),
            op::BINFLOAT => Value::Float(f64::from_be_bytes(self.input.array()?)),
            op::LONG1 => {
                let len = self.input.byte()?;
                self.long(len.into())?
            }
            _ => {
                let len = self.length_of_32_bits("an integer")?;
                self.long(len)?
            }
        };
        self.push(value)
    }

    /// Little-endian two's complement.
    pub(super) fn long(&mut self, len: u64) -> Result<Value, FormatError> {
        let span = self.input.take(len)?;
        let bytes = self.arena.bytes(span);
        Ok(match bytes.len() {
            0 => Value::Int(0),
            n if n <= 8 => {
                let sign = if bytes.last().is_some_and(|b| b & 0x80 != 0) { 0xff } else { 0 };
                let mut word = [sign; 8];
                word.iter_mut().zip(bytes).for_each(|(w, b)| *w = *b);
                Value::Int(i64::from_le_bytes(word))
            }
            _ => Value::Long(span),
        })
    }

    pub(super) fn string(&mut self, code: u8) -> Step {
        let len = match code {
            op::STRING | op::UNICODE => return self.escaped(code),
            op::SHORT_BINSTRING | op::SHORT_BINUNICODE | op::SHORT_BINBYTES => self.input.byte()?.into(),
            op::BINSTRING => self.length_of_32_bits("a string")?,
            op::BINUNICODE | op::BINBYTES => u32::from_le_bytes(self.input.array()?).into(),
            _ => u64::from_le_bytes(self.input.array()?),
        };
        let span = self.input.take(len)?;
        self.push(match code {
            op::SHORT_BINBYTES | op::BINBYTES | op::BINBYTES8 | op::BYTEARRAY8 => Value::Bytes(span),
            _ => Value::Text(span),
        })
    }

    /// Text of protocol 0.
    pub(super) fn escaped(&mut self, code: u8) -> Step {
        let line = self.input.line()?;
        let decoded = if code == op::STRING {
            text::quoted(line).ok_or_else(|| self.input.bad("a string that is not properly quoted"))?
        } else {
            text::raw_unicode(line).ok_or_else(|| self.input.bad("text with a broken escape"))?
        };
        if self.arena.owned.len() + decoded.len() > self.limits.decoded {
            return Err(self.excessive(format!("more than {} bytes of escaped text", self.limits.decoded)));
        }
        let start = (self.arena.data.len() + self.arena.owned.len()) as u64;
        self.arena.owned.extend_from_slice(&decoded);
        self.push(Value::Text(Span { start, len: decoded.len() as u64 }))
    }

    /// A signed length.
    pub(super) fn length_of_32_bits(&mut self, what: &str) -> Result<u64, FormatError> {
        let len = i32::from_le_bytes(self.input.array()?);
        u64::try_from(len).map_err(|_| self.input.bad(format!("{what} of negative length")))
    }

    pub(super) fn memo_index(&mut self, code: u8) -> Result<u32, FormatError> {
        match code {
            op::GET | op::PUT => {
                let line = self.input.line()?;
                text::index(line).ok_or_else(|| self.input.bad("a memo index that is not a number"))
            }
            op::BINGET | op::BINPUT => self.input.byte().map(u32::from),
            _ => self.input.array().map(u32::from_le_bytes),
        }
    }
}
