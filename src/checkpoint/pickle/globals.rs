//! The names a pickle may import without making its file suspect: a fixed list, each with what it means to
//! the readers. Everything else is unknown, or dangerous ([`super::danger`]). Called by the machine.

use super::danger;
use super::machine::Import;
use crate::checkpoint::dtype::Dtype;

/// What zoo thinks of an import.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verdict {
    /// On the list of inert names.
    Known,
    /// Not on it.
    Unknown,
    /// Known to run code, or to reach what does.
    Dangerous,
}

impl Verdict {
    /// As printed.
    pub const fn name(self) -> &'static str {
        match self {
            Verdict::Known => "known",
            Verdict::Unknown => "unknown",
            Verdict::Dangerous => "dangerous",
        }
    }
}

/// The meaning of a known import.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Known {
    /// `OrderedDict` and `dict` by another name: entries count.
    Mapping,
    /// A storage class with its element type; `None` for untyped ones.
    Storage(Option<Dtype>),
    /// `torch._utils._rebuild_tensor`.
    Tensor,
    /// `_rebuild_tensor_v2`.
    TensorV2,
    /// `_rebuild_tensor_v3`.
    TensorV3,
    /// `_rebuild_parameter`, with or without state.
    Parameter,
    /// `_rebuild_from_type_v2`.
    FromType,
    /// `torch.Tensor`, `torch.FloatTensor` …: a class, and in very old files a constructor.
    TensorClass,
    /// `torch.nn.Parameter` and `Buffer`.
    ParameterClass,
    /// `_rebuild_device_tensor_from_numpy` and `_rebuild_xla_tensor`.
    FromNumpy,
    /// `_rebuild_device_tensor_from_cpu_tensor`.
    FromCpu,
    /// A kind of tensor that no dense format can hold, by its name.
    NotDense(&'static str),
    /// `torch.float32` …
    Dtype(Dtype),
    /// `torch.Size`.
    Size,
    /// `numpy.ndarray`, as a class.
    NumpyArray,
    /// `numpy.core.multiarray._reconstruct`.
    NumpyReconstruct,
    /// `numpy._core.numeric._frombuffer`.
    NumpyFromBuffer,
    /// `numpy.dtype`.
    NumpyDtype,
    /// `numpy.core.multiarray.scalar`.
    NumpyScalar,
    /// `list`, `tuple` and `set` by another name: their argument's items, and what is appended.
    Sequence,
    /// A call that returns its first argument.
    Transparent,
    /// `torch.storage._load_from_bytes`: a storage in a file inside the pickle. Inert only as far as that file is.
    LoadFromBytes,
    /// `_codecs.encode`: text to bytes.
    Encode,
    /// `bytearray` and `bytes`.
    ByteArray,
    /// Anything else that only holds values.
    Inert,
}

/// Module, name, meaning. Modules renamed over the years are all there.
const LIST: &[(&str, &str, Known)] = &[
    ("collections", "OrderedDict", Known::Mapping),
    ("collections", "Counter", Known::Inert),
    ("collections", "defaultdict", Known::Mapping),
    ("collections", "deque", Known::Sequence),
    ("builtins", "dict", Known::Mapping),
    ("builtins", "list", Known::Sequence),
    ("builtins", "tuple", Known::Sequence),
    ("builtins", "set", Known::Sequence),
    ("builtins", "frozenset", Known::Sequence),
    ("builtins", "complex", Known::Inert),
    ("builtins", "slice", Known::Inert),
    ("builtins", "range", Known::Inert),
    ("builtins", "int", Known::Inert),
    ("builtins", "float", Known::Inert),
    ("builtins", "str", Known::Inert),
    ("builtins", "bool", Known::Inert),
    ("builtins", "object", Known::Inert),
    ("builtins", "bytes", Known::ByteArray),
    ("builtins", "bytearray", Known::ByteArray),
    ("copyreg", "_reconstructor", Known::Inert),
    ("_codecs", "encode", Known::Encode),
    ("argparse", "Namespace", Known::Inert),
    ("types", "SimpleNamespace", Known::Inert),
    ("pathlib", "Path", Known::Inert),
    ("pathlib", "PosixPath", Known::Inert),
    ("pathlib", "WindowsPath", Known::Inert),
    ("pathlib", "PurePosixPath", Known::Inert),
    ("pathlib", "PureWindowsPath", Known::Inert),
    ("datetime", "datetime", Known::Inert),
    ("datetime", "date", Known::Inert),
    ("datetime", "time", Known::Inert),
    ("datetime", "timedelta", Known::Inert),
    ("datetime", "timezone", Known::Inert),
    ("decimal", "Decimal", Known::Inert),
    ("fractions", "Fraction", Known::Inert),
    ("torch", "Size", Known::Size),
    ("torch", "device", Known::Inert),
    ("torch", "Tensor", Known::TensorClass),
    ("torch._tensor", "Tensor", Known::TensorClass),
    ("torch.tensor", "Tensor", Known::TensorClass),
    ("torch.serialization", "_get_layout", Known::Inert),
    ("torch", "strided", Known::Inert),
    ("torch", "per_tensor_affine", Known::Inert),
    ("torch", "per_tensor_symmetric", Known::Inert),
    ("torch", "per_channel_affine", Known::Inert),
    ("torch", "per_channel_symmetric", Known::Inert),
    ("torch", "per_channel_affine_float_qparams", Known::Inert),
    ("torch.nn.parameter", "Parameter", Known::ParameterClass),
    ("torch.nn.parameter", "Buffer", Known::ParameterClass),
    ("torch.nn.parameter", "UninitializedParameter", Known::Inert),
    ("torch.nn.parallel.data_parallel", "DataParallel", Known::Inert),
    ("torch.nn.modules.module", "_WrappedHook", Known::Inert),
    ("torch.nn.utils.weight_norm", "WeightNorm", Known::Inert),
    ("torch.nn.utils.spectral_norm", "SpectralNorm", Known::Inert),
    ("torch.nn.utils.spectral_norm", "SpectralNormStateDictHook", Known::Inert),
    ("torch.nn.utils.spectral_norm", "SpectralNormLoadStateDictPreHook", Known::Inert),
    ("torch.nn.functional", "relu", Known::Inert),
    ("torch.nn.functional", "gelu", Known::Inert),
    ("torch._C._nn", "gelu", Known::Inert),
    ("torch.nn.backends.thnn", "_get_thnn_function_backend", Known::Inert),
    ("torch._utils", "_rebuild_tensor", Known::Tensor),
    ("torch._utils", "_rebuild_tensor_v2", Known::TensorV2),
    ("torch._utils", "_rebuild_tensor_v3", Known::TensorV3),
    ("torch._utils", "_rebuild_parameter", Known::Parameter),
    ("torch._utils", "_rebuild_parameter_with_state", Known::Parameter),
    ("torch._tensor", "_rebuild_from_type_v2", Known::FromType),
    ("torch._tensor", "_rebuild_from_type", Known::FromType),
    ("torch.tensor", "_rebuild_from_type", Known::FromType),
    ("torch._utils", "_rebuild_device_tensor_from_numpy", Known::FromNumpy),
    ("torch._utils", "_rebuild_xla_tensor", Known::FromNumpy),
    ("torch._utils", "_rebuild_device_tensor_from_cpu_tensor", Known::FromCpu),
    ("torch._utils", "_rebuild_qtensor", Known::NotDense("quantised")),
    ("torch._utils", "_rebuild_sparse_tensor", Known::NotDense("sparse")),
    ("torch._utils", "_rebuild_sparse_csr_tensor", Known::NotDense("sparse")),
    ("torch._utils", "_rebuild_mkldnn_tensor", Known::NotDense("MKL-DNN")),
    ("torch._utils", "_rebuild_nested_tensor", Known::NotDense("nested")),
    ("torch._utils", "_rebuild_meta_tensor_no_storage", Known::NotDense("meta (it has no data)")),
    ("torch._utils", "_rebuild_wrapper_subclass", Known::NotDense("wrapped")),
    ("torch.storage", "_load_from_bytes", Known::LoadFromBytes),
    ("torch.storage", "TypedStorage", Known::Storage(None)),
    ("torch.storage", "_TypedStorage", Known::Storage(None)),
    ("torch.storage", "UntypedStorage", Known::Storage(Some(BYTES))),
    ("torch.storage", "_UntypedStorage", Known::Storage(Some(BYTES))),
    ("torch", "UntypedStorage", Known::Storage(Some(BYTES))),
    ("numpy", "ndarray", Known::NumpyArray),
    ("numpy", "dtype", Known::NumpyDtype),
];

const BYTES: Dtype = Dtype::Safe(safetensors::Dtype::U8);

/// What to think of `module.name`, and what it means where it is known.
pub(super) fn judge(module: &str, name: &str) -> (Verdict, Option<Known>) {
    let module = modern(module);
    match known(module, name) {
        Some(Known::LoadFromBytes) => (Verdict::Dangerous, Some(Known::LoadFromBytes)),
        Some(known) => (Verdict::Known, Some(known)),
        None if danger::find(module, name).is_some() => (Verdict::Dangerous, None),
        None => (Verdict::Unknown, None),
    }
}

/// What loading would have done with an import.
pub(super) fn effect(import: &Import) -> String {
    let call = import.call.as_deref();
    match (import.verdict, danger::find(modern(&import.module), &import.name), call) {
        (Verdict::Known, ..) => "builds data".into(),
        (_, Some(what), Some(call)) => format!("would {what}: {call}"),
        (_, Some(what), None) => format!("could {what}; it is named, not called"),
        (_, None, Some(call)) => format!("would import `{}` and call {call}", import.module),
        (_, None, None) => format!("would import `{}`", import.module),
    }
}

fn known(module: &str, name: &str) -> Option<Known> {
    if let Some((.., known)) = LIST.iter().find(|(m, n, _)| *m == module && *n == name) {
        return Some(*known);
    }
    if is_module_class(module, name) {
        return Some(Known::Inert);
    }
    match module {
        "torch" | "torch.cuda" | "torch.storage" => {
            if let Some(dtype) = Dtype::from_storage_class(name) {
                return Some(Known::Storage(Some(dtype)));
            }
            if name
                .strip_suffix("Tensor")
                .is_some_and(|t| Dtype::from_storage_class(&format!("{t}Storage")).is_some())
            {
                return Some(Known::TensorClass);
            }
            (module == "torch").then(|| Dtype::from_torch(name)).flatten().map(Known::Dtype)
        }
        "numpy.core.multiarray" | "numpy._core.multiarray" => match name {
            "_reconstruct" => Some(Known::NumpyReconstruct),
            "scalar" => Some(Known::NumpyScalar),
            _ => None,
        },
        "numpy.core.numeric" | "numpy._core.numeric" => {
            (name == "_frombuffer").then_some(Known::NumpyFromBuffer)
        }
        "torch.jit._pickle" => match name {
            "build_tensorlist" | "build_intlist" | "build_doublelist" | "build_boollist"
            | "restore_type_tag" => Some(Known::Transparent),
            "build_tensor_from_id" => Some(Known::Inert),
            _ => None,
        },
        // The classes of element types: `numpy.dtypes.Float32DType`, `numpy.float32`.
        "numpy.dtypes" => name.ends_with("DType").then_some(Known::Inert),
        "numpy" => matches!(
            name,
            "float16"
                | "float32"
                | "float64"
                | "int8"
                | "int16"
                | "int32"
                | "int64"
                | "uint8"
                | "uint16"
                | "uint32"
                | "uint64"
                | "bool_"
                | "bool"
                | "complex64"
                | "complex128"
        )
        .then_some(Known::Inert),
        _ => None,
    }
}

/// torch's own classes of modules, which unpickling makes empty and gives their tables to; not the functions beside
/// them, some of which register hooks.
fn is_module_class(module: &str, name: &str) -> bool {
    let is_class =
        name.starts_with(|c: char| c.is_ascii_uppercase()) && name.bytes().all(|b| b.is_ascii_alphanumeric());
    is_class
        && module
            .strip_prefix("torch.nn.modules")
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
}

/// Python 2's module names in today's form, as unpickling would map them.
fn modern(module: &str) -> &str {
    match module {
        "__builtin__" | "__builtins__" => "builtins",
        "copy_reg" => "copyreg",
        "commands" => "subprocess",
        "urllib2" => "urllib.request",
        "numpy.core._multiarray_umath" => "numpy.core.multiarray",
        module => module,
    }
}
