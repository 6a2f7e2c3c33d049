//! From pickled calls to tensors. In: an arena and a value in it. Out: dtype, shape, strides and storage,
//! everything checked. Called for each value of a state dict, by all readers of pickles.

use std::collections::HashSet;

use super::loaded::{self, Loaded};
use crate::checkpoint::dtype::Dtype;
use crate::checkpoint::error::{FilePosition, FormatError};
use crate::checkpoint::numpy;
use crate::checkpoint::pickle::{Arena, Known, Object, Ref, Value};
use crate::checkpoint::tensor::{At, Storage, Tensor, contiguous_strides};

pub(in crate::checkpoint) use crate::checkpoint::storages::{Found, Inline, Storages};

/// A storage as a tensor sees it.
struct View {
    storage: usize,
    /// `None` for untyped storages.
    dtype: Option<Dtype>,
    /// First unit of the view, and how many there are, in units of `dtype` (bytes for untyped).
    base: usize,
    units: usize,
}

/// Looks at one value. Wrappers around tensors (parameters, subclasses) are followed [`MAX_WRAPPERS`] levels.
pub(in crate::checkpoint) fn value(
    arena: &Arena<'_>,
    at: Ref,
    storages: &mut Storages,
) -> Result<Found, FormatError> {
    let mut at = at;
    for _ in 0..MAX_WRAPPERS {
        if let Value::Persistent(id) = arena.get(at) {
            let number = arena.int(id).or_else(|| arena.word(id)?.parse().ok());
            return Ok(match number.and_then(|n| storages.tensors.get(&n)) {
                Some(tensor) => Found::Tensor(tensor.clone()),
                None => Found::Other,
            });
        }
        let Some((known, object)) = arena.call(at) else { return Ok(Found::Other) };
        let args = arena.arguments(object.args).unwrap_or_default();
        let first = args.first().copied();
        let inner = match known {
            Known::Tensor | Known::TensorV2 | Known::TensorV3 => {
                return rebuilt(arena, known, &args, storages);
            }
            Known::TensorClass => return old_style(arena, object, &args, storages),
            Known::NotDense(kind) => return Ok(Found::Refused(format!("a {kind} tensor"))),
            Known::Parameter | Known::FromCpu => first,
            // A parameter as `Parameter.__reduce__` of torch 0.x wrote it, or `NEWOBJ` with a state.
            Known::ParameterClass => first.or_else(|| arena.arguments(object.state)?.first().copied()),
            Known::FromNumpy => first,
            Known::FromType => match from_type(arena, &args, storages)? {
                Inner::Found(found) => return Ok(found),
                Inner::Wrapped(inner) => Some(inner),
            },
            Known::NumpyReconstruct | Known::NumpyFromBuffer => {
                return numpy::pickled::array(arena, known, object, storages);
            }
            _ => return Ok(Found::Other),
        };
        match inner {
            Some(inner) => at = inner,
            None => return Err(malformed("a parameter without a tensor")),
        }
    }
    Err(malformed(format!("parameters wrapped in parameters, {MAX_WRAPPERS} deep")))
}

/// How deep a tensor may be wrapped; two is the most that torch writes.
const MAX_WRAPPERS: usize = 8;

enum Inner {
    Found(Found),
    Wrapped(Ref),
}

/// Whether a value is a tensor of any kind, without looking into it.
/// `numbers` are those that a tar archive's pickle names its tensors by.
pub(in crate::checkpoint) fn is_tensor(arena: &Arena<'_>, at: Ref, numbers: &HashSet<i64>) -> bool {
    if let Value::Persistent(id) = arena.get(at) {
        let number = arena.int(id).or_else(|| arena.word(id)?.parse().ok());
        return number.is_some_and(|n| numbers.contains(&n));
    }
    matches!(
        arena.call(at),
        Some((
            Known::Tensor
                | Known::TensorV2
                | Known::TensorV3
                | Known::TensorClass
                | Known::NotDense(_)
                | Known::Parameter
                | Known::ParameterClass
                | Known::FromCpu
                | Known::FromNumpy
                | Known::FromType
                | Known::NumpyReconstruct
                | Known::NumpyFromBuffer,
            _
        ))
    )
}

/// `_rebuild_from_type_v2(function, type, args, state)`: the tensor that `function(*args)` would give.
fn from_type(arena: &Arena<'_>, args: &[Ref], storages: &mut Storages) -> Result<Inner, FormatError> {
    let [function, class, inner, ..] = args else {
        return Err(malformed("a tensor subclass without arguments"));
    };
    if arena.import(*class).is_none() {
        return Err(malformed(format!("a tensor whose class is a {}", arena.kind(*class))));
    }
    if !matches!(arena.known(*class), Some(Known::TensorClass | Known::ParameterClass)) {
        return Ok(Inner::Found(Found::Refused(format!("a tensor of class {}", arena.kind(*class)))));
    }
    let inner = arena.arguments(*inner).unwrap_or_default();
    match (arena.known(*function), inner.first()) {
        (Some(known @ (Known::Tensor | Known::TensorV2 | Known::TensorV3)), _) => {
            rebuilt(arena, known, &inner, storages).map(Inner::Found)
        }
        (Some(Known::Parameter), Some(&data)) => Ok(Inner::Wrapped(data)),
        (Some(Known::NotDense(kind)), _) => Ok(Inner::Found(Found::Refused(format!("a {kind} tensor")))),
        _ => Err(malformed("a tensor subclass made by something that makes no tensors")),
    }
}

/// `_rebuild_tensor*(storage, offset, size, stride, …)`.
fn rebuilt(
    arena: &Arena<'_>,
    known: Known,
    args: &[Ref],
    storages: &mut Storages,
) -> Result<Found, FormatError> {
    let [storage, offset, size, stride, rest @ ..] = args else {
        return Err(malformed(format!("a tensor rebuilt from {} arguments, where 4 are needed", args.len())));
    };
    let Some(view) = view(arena, *storage, storages)? else {
        let problem = format!("a tensor whose storage is a {}", arena.kind(*storage));
        return Err(match arena.get(*storage) {
            Value::Object(_) => FormatError::unsupported(FilePosition::whole(), problem),
            _ => malformed(problem),
        });
    };
    let offset = arena.size(*offset).ok_or_else(|| malformed("a storage offset that is not a count"))?;
    let extents = sizes(arena, *size, "shape")?;
    let strides = sizes(arena, *stride, "stride")?;
    let (dtype, metadata) = match known {
        Known::TensorV3 => {
            let dtype = rest.get(2).and_then(|&at| arena.known(at));
            let Some(Known::Dtype(dtype)) = dtype else {
                return match rest.get(2).and_then(|&at| arena.import(at)) {
                    Some(import) => Ok(Found::Refused(format!("a tensor of type {}", import.path()))),
                    None => Err(malformed("a tensor without a type")),
                };
            };
            (dtype, rest.get(3))
        }
        _ => {
            let dtype = view.dtype.ok_or_else(|| malformed("a tensor of an untyped storage"))?;
            (dtype, rest.get(2))
        }
    };
    let (mut conj, mut neg) = (false, false);
    if let Some(Value::Dict(chain)) = metadata.map(|&at| arena.get(at)) {
        if chain.len > 2 * Arena::ARGUMENTS {
            return Err(malformed(format!("a tensor with {} notes", chain.len / 2)));
        }
        // torch looks for the keys alone, and takes `{"neg": False}` for a negated tensor too.
        for (key, _) in arena.entries(chain) {
            match arena.word(key) {
                Some("conj") => conj = true,
                Some("neg") => neg = true,
                _ => {}
            }
        }
    }
    finish(view, dtype, extents, strides, offset, conj, neg, storages)
}

/// Turns extents in units into a tensor, once everything has been checked.
#[allow(clippy::too_many_arguments)]
fn finish(
    view: View,
    dtype: Dtype,
    extents: Vec<usize>,
    strides: Vec<usize>,
    offset: usize,
    conj: bool,
    neg: bool,
    storages: &Storages,
) -> Result<Found, FormatError> {
    let unit = dtype.unit();
    let viewed = view.dtype.map_or(1, Dtype::unit);
    let overflow = || malformed("a storage whose size overflows");
    let start = view.base.checked_mul(viewed).ok_or_else(overflow)?;
    let bytes = view.units.checked_mul(viewed).ok_or_else(overflow)?;
    if start % unit != 0 {
        return Err(malformed("a view of a storage that starts inside an element"));
    }
    Tensor::check(&extents, &strides, offset, unit, bytes / unit).map_err(malformed)?;
    if storages.list.get(view.storage).is_none_or(|s| (start + bytes) as u64 > s.len) {
        return Err(malformed("a view that is larger than its storage"));
    }
    let mut shape = extents;
    // torch counts pairs of 4-bit values, safetensors the values.
    if dtype.bits() == 4 {
        let Some(last) = shape.last_mut() else {
            return Ok(Found::Refused(
                "a scalar of two 4-bit values, which safetensors cannot write,".into(),
            ));
        };
        *last = last.checked_mul(2).ok_or_else(overflow)?;
    }
    // Only checked above where there are elements.
    let offset = (start / unit).checked_add(offset).ok_or_else(overflow)?;
    Ok(Found::Tensor(Tensor {
        name: String::new(),
        dtype,
        shape,
        strides,
        offset,
        storage: view.storage,
        conj: conj && dtype.is_complex(),
        neg,
    }))
}

/// torch 0.1's `torch.FloatTensor` with a state of (storage, offset, size, stride).
fn old_style(
    arena: &Arena<'_>,
    object: &Object,
    args: &[Ref],
    storages: &mut Storages,
) -> Result<Found, FormatError> {
    let state = arena.arguments(object.state).unwrap_or_default();
    if state.len() >= 4 {
        return rebuilt(arena, Known::Tensor, &state, storages);
    }
    match args.is_empty() && state.is_empty() {
        // An empty tensor needs no state.
        true => {
            let empty = Storage { len: 0, swap: None, crc: None, at: At::Memory(Vec::new().into()) };
            let storage = storages.add(empty)?;
            let name = arena.import(object.callee).map(|i| i.name.clone()).unwrap_or_default();
            let class = name.strip_suffix("Tensor").unwrap_or("");
            let dtype = Dtype::from_storage_class(&format!("{class}Storage"));
            let dtype = dtype.unwrap_or(Dtype::Safe(safetensors::Dtype::F32));
            let view = View { storage, dtype: Some(dtype), base: 0, units: 0 };
            finish(view, dtype, vec![0], vec![1], 0, false, false, storages)
        }
        false => Err(malformed("a tensor made by its class instead of from a storage")),
    }
}

/// A shape or strides: a tuple of counts, or `torch.Size` of one.
fn sizes(arena: &Arena<'_>, at: Ref, what: &str) -> Result<Vec<usize>, FormatError> {
    let at = match arena.call(at) {
        Some((Known::Size, object)) => match arena.arguments(object.args).as_deref() {
            Some([inner]) => *inner,
            _ => object.args,
        },
        _ => at,
    };
    if let Value::Tuple(chain) | Value::List(chain) = arena.get(at)
        && chain.len > Arena::ARGUMENTS
    {
        let most = Arena::ARGUMENTS;
        return Err(malformed(format!("a {what} of {} dimensions, where torch allows {most}", chain.len)));
    }
    let list =
        arena.arguments(at).ok_or_else(|| malformed(format!("a {what} that is a {}", arena.kind(at))))?;
    list.iter()
        .map(|&n| {
            arena.size(n).ok_or_else(|| malformed(format!("a {what} with {} in it", arena.show(n, 40))))
        })
        .collect()
}

/// Registers every storage that a pickle names, also those of tensors that are not taken (an optimizer's):
/// a legacy file has the bytes of all of them one after another.
pub(in crate::checkpoint) fn register(arena: &Arena<'_>, storages: &mut Storages) -> Result<(), FormatError> {
    for at in arena.persistents() {
        let Value::Persistent(id) = arena.get(at) else { continue };
        let parts = arena.arguments(id).unwrap_or_default();
        // The source of a module's class: no storage.
        if parts.first().is_some_and(|&tag| arena.word(tag) == Some("module")) {
            continue;
        }
        view(arena, at, storages)?;
    }
    Ok(())
}

/// The storage a persistent id names: `('storage', class, key, location, count[, view])`.
fn view(arena: &Arena<'_>, at: Ref, storages: &mut Storages) -> Result<Option<View>, FormatError> {
    // `TypedStorage` objects of torch 1.13 wrap the id.
    if let Some((Known::LoadFromBytes, object)) = arena.call(at) {
        return inside(arena, object, storages).map(Some);
    }
    let Value::Persistent(id) = arena.get(at) else { return Ok(None) };
    if let Some(number) = arena.int(id).or_else(|| arena.word(id)?.parse().ok()) {
        let Some(&storage) = storages.keys.get(&number.to_string()) else {
            return Err(malformed(format!("storage {number}, which the file does not have")));
        };
        let len = storages.list.get(storage).map_or(0, |s| s.len);
        return Ok(Some(View { storage, dtype: None, base: 0, units: len as usize }));
    }
    let parts = arena.arguments(id).unwrap_or_default();
    let [tag, class, key, _location, count, rest @ ..] = parts.as_slice() else {
        return Err(malformed(format!("a persistent id {}", arena.show(id, 80))));
    };
    if arena.word(*tag) != Some("storage") {
        return Err(malformed(format!("a persistent id of kind {}", arena.show(*tag, 40))));
    }
    let Some(Known::Storage(Some(dtype))) = arena.known(*class) else {
        return Err(malformed(format!("a storage of class {}", arena.kind(*class))));
    };
    let count = arena.size(*count).ok_or_else(|| malformed("a storage whose length is not a count"))?;
    let key = arena
        .word(*key)
        .map(str::to_owned)
        .or_else(|| arena.int(*key).map(|n| n.to_string()))
        .ok_or_else(|| malformed("a storage whose key is not a short string"))?;
    let bytes = count.checked_mul(dtype.unit()).filter(|&b| b <= isize::MAX as usize);
    let bytes = bytes.ok_or_else(|| malformed(format!("storage `{key}` of {count} elements overflows")))?;
    let storage = match storages.keys.get(&key) {
        Some(&storage) => {
            let len = storages.list.get(storage).map_or(0, |s| s.len);
            if len != bytes as u64 {
                return Err(FormatError::ambiguous(
                    FilePosition::whole(),
                    format!("storage `{key}` is {len} bytes long, and {bytes} elsewhere"),
                ));
            }
            storage
        }
        None => {
            let swap = (storages.big_endian && dtype.word() > 1).then(|| dtype.word());
            let storage = storages.add(Storage { len: bytes as u64, swap, crc: None, at: At::Pending })?;
            storages.units.insert(key.clone(), dtype.unit() as u64);
            storages.keys.insert(key, storage);
            storage
        }
    };
    let (base, units) = match rest.first().map(|&at| arena.get(at)) {
        None | Some(Value::None) => (0, count),
        // Files of torch 0.x have storages that are windows of others: (key, offset, length).
        Some(Value::Tuple(chain)) => {
            let parts: Vec<_> = arena.items(chain).collect();
            let window = match parts.as_slice() {
                [_, offset, size] => arena.size(*offset).zip(arena.size(*size)),
                _ => None,
            };
            window
                .filter(|(offset, size)| offset.checked_add(*size).is_some_and(|end| end <= count))
                .ok_or_else(|| malformed("a window that is larger than its storage"))?
        }
        Some(_) => return Err(malformed("a storage with something else than a window")),
    };
    // The tag untyped storages carry is a byte, whatever the tensor's type is.
    let typed = arena.import(*class).is_none_or(|i| !i.name.ends_with("UntypedStorage"));
    Ok(Some(View { storage, dtype: typed.then_some(dtype), base, units }))
}

/// The storage in the file that `_load_from_bytes` is given.
fn inside(arena: &Arena<'_>, object: &Object, storages: &mut Storages) -> Result<View, FormatError> {
    let arguments = arena.arguments(object.args).unwrap_or_default();
    let [argument] = arguments.as_slice() else {
        return Err(malformed("a storage loaded from something else than bytes"));
    };
    let bytes = numpy::pickled::buffer(arena, *argument)?;
    let Loaded { start, dtype, is_typed, units } = match &bytes {
        Inline::Input(_, bytes) => loaded::read(bytes),
        Inline::Decoded(bytes) => loaded::read(bytes),
    }?;
    let storage = match storages.inline.get(argument) {
        Some(&storage) => storage,
        None => {
            let elements = match bytes {
                Inline::Input(range, bytes) => {
                    let elements = bytes.get(start..).unwrap_or_default();
                    Inline::Input(range.start + start as u64..range.end, elements)
                }
                Inline::Decoded(mut bytes) => Inline::Decoded(bytes.split_off(start.min(bytes.len()))),
            };
            let storage = storages.add_inline(elements)?;
            storages.inline.insert(*argument, storage);
            storage
        }
    };
    Ok(View { storage, dtype: is_typed.then_some(dtype), base: 0, units })
}

/// A tensor of consecutive elements, for the formats that say so themselves.
pub(in crate::checkpoint) fn plain(name: &str, dtype: Dtype, shape: Vec<usize>, storage: usize) -> Tensor {
    let mut tensor = Tensor {
        name: name.to_owned(),
        dtype,
        shape,
        strides: Vec::new(),
        offset: 0,
        storage,
        conj: false,
        neg: false,
    };
    tensor.strides = contiguous_strides(&tensor.extents());
    tensor
}

fn malformed(problem: impl Into<String>) -> FormatError {
    FormatError::malformed(FilePosition::whole(), problem)
}
