//! The storages that a pickle's tensors are views of, as readers meet them: by key, by number, inside of the pickle. Filled
//! by [`super::torch`] and [`super::numpy`]; the list becomes the checkpoint's.

use std::collections::HashMap;

use super::error::{FilePosition, FormatError};
use super::pickle::Ref;
use super::tensor::{At, MAX_TENSORS, Storage, Tensor};

/// What a value turned out to be.
#[derive(Debug)]
pub(super) enum Found {
    /// A tensor, still without a name.
    Tensor(Tensor),
    /// A tensor of a kind that no dense format holds, in words.
    Refused(String),
    /// No tensor.
    Other,
}

/// The storages met so far, by the key their file gives them.
#[derive(Default)]
pub(super) struct Storages {
    pub(super) list: Vec<Storage>,
    pub(super) keys: HashMap<String, usize>,
    /// Bytes of one element of each, as its class says: what legacy files count in.
    pub(super) units: HashMap<String, u64>,
    /// Which file of the checkpoint the pickle lies in, and where in it the pickle's input begins: where
    /// arrays inside the pickle are. `None` when the pickle itself had to be inflated or swapped.
    pub(super) pickle_at: Option<(usize, u64)>,
    /// Elements of a storage whose bytes are big-endian.
    pub(super) big_endian: bool,
    /// The very old tar form: tensors and storages named by number, read before the pickle.
    pub(super) tensors: HashMap<i64, Tensor>,
    /// The storages of arrays inside the pickle, by the value that holds their bytes.
    pub(super) inline: HashMap<Ref, usize>,
    /// The same bytes in another byte order: storage and width.
    pub(super) turned: HashMap<(usize, usize), usize>,
}

impl Storages {
    /// Adds a storage.
    ///
    /// # Errors
    /// One too many.
    pub(super) fn add(&mut self, storage: Storage) -> Result<usize, FormatError> {
        if self.list.len() >= MAX_TENSORS {
            let problem = format!("more than {MAX_TENSORS} storages");
            return Err(FormatError::excessive(FilePosition::whole(), problem));
        }
        self.list.push(storage);
        Ok(self.list.len() - 1)
    }

    /// Adds bytes that are part of the pickle, or were decoded from it.
    pub(super) fn add_inline(&mut self, bytes: Inline<'_>) -> Result<usize, FormatError> {
        let (len, at) = match (bytes, self.pickle_at) {
            (Inline::Input(range, _), Some((file, base))) => {
                (range.end - range.start, At::File { file, start: base + range.start })
            }
            (Inline::Input(_, bytes), None) => (bytes.len() as u64, At::Memory(bytes.into())),
            (Inline::Decoded(bytes), _) => (bytes.len() as u64, At::Memory(bytes.into())),
        };
        self.add(Storage { len, swap: None, crc: None, at })
    }

    /// An inline storage as one of numbers of `swap` big-endian bytes.
    pub(super) fn turned(&mut self, storage: usize, swap: Option<usize>) -> Result<usize, FormatError> {
        let Some(width) = swap else { return Ok(storage) };
        if let Some(&known) = self.turned.get(&(storage, width)) {
            return Ok(known);
        }
        let Some(Storage { len, at, .. }) = self.list.get(storage) else { return Ok(storage) };
        let at = match at {
            At::File { file, start } => At::File { file: *file, start: *start },
            At::Memory(bytes) => At::Memory(bytes.clone()),
            _ => return Ok(storage),
        };
        let turned = Storage { len: *len, swap, crc: None, at };
        let turned = self.add(turned)?;
        self.turned.insert((storage, width), turned);
        Ok(turned)
    }
}

/// Bytes of an array inside a pickle.
pub(super) enum Inline<'a> {
    /// As they lie in the input.
    Input(std::ops::Range<u64>, &'a [u8]),
    /// Decoded from text.
    Decoded(Vec<u8>),
}
