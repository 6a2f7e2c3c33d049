//! The names a pickle may import without making its file suspect: a fixed list, each with what it means to
//! the readers. Everything else is unknown, or dangerous ([`super::danger`]). Asked once a pickle has been run.

use super::arena::{Arena, Ref};
use super::danger;
use super::import::{Import, ImportClass, Known};
use crate::checkpoint::dtype::Dtype;

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
    ("pathlib", "PurePath", Known::Inert),
    ("pathlib._local", "Path", Known::Inert),
    ("pathlib._local", "PosixPath", Known::Inert),
    ("pathlib._local", "WindowsPath", Known::Inert),
    ("io", "BytesIO", Known::Inert),
    ("_io", "BytesIO", Known::Inert),
    ("io", "StringIO", Known::Inert),
    ("_io", "StringIO", Known::Inert),
    ("uuid", "UUID", Known::Inert),
    ("uuid", "SafeUUID", Known::Inert),
    ("http", "HTTPStatus", Known::Inert),
    ("builtins", "long", Known::Inert),
    ("builtins", "unicode", Known::Inert),
    ("builtins", "xrange", Known::Inert),
    // The states of random number generators.
    ("numpy.random._pickle", "__randomstate_ctor", Known::Inert),
    ("numpy.random._pickle", "__generator_ctor", Known::Inert),
    ("numpy.random._pickle", "__bit_generator_ctor", Known::Inert),
    ("numpy.random._mt19937", "MT19937", Known::Inert),
    ("numpy.random._pcg64", "PCG64", Known::Inert),
    ("numpy.random._pcg64", "PCG64DXSM", Known::Inert),
    ("numpy.random._philox", "Philox", Known::Inert),
    ("numpy.random._sfc64", "SFC64", Known::Inert),
    // What `torch.load(weights_only=True)` takes of torch.distributed.
    ("torch.distributed.tensor", "DTensor", Known::Inert),
    ("torch.distributed._tensor.api", "DTensor", Known::Inert),
    ("torch.distributed.tensor._dtensor_spec", "DTensorSpec", Known::Inert),
    ("torch.distributed.tensor._dtensor_spec", "TensorMeta", Known::Inert),
    ("torch.distributed.tensor._dtensor_spec", "ShardOrderEntry", Known::Inert),
    ("torch.distributed.tensor.placement_types", "Partial", Known::Inert),
    ("torch.distributed.tensor.placement_types", "Replicate", Known::Inert),
    ("torch.distributed.tensor.placement_types", "Shard", Known::Inert),
    ("torch.distributed.tensor.placement_types", "_StridedShard", Known::Inert),
    ("torch.distributed.device_mesh", "DeviceMesh", Known::Inert),
    ("torch.distributed._mesh_layout", "_MeshLayout", Known::Inert),
    ("torch.distributed._mesh_layout", "_FlatLayout", Known::Inert),
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

/// Says of every import of an arena what to think of it, and of those that are not known how they are called.
pub(super) fn judge(arena: &mut Arena<'_>) {
    let mut imports = std::mem::take(&mut arena.imports);
    for import in &mut imports {
        let module = modern(&import.module);
        import.known = known(module, &import.name);
        import.danger = danger::find(module, &import.name)
            .filter(|_| matches!(import.known, None | Some(Known::LoadFromBytes)));
        import.verdict = match (import.known, import.danger) {
            // As inert as the file that it is given.
            (Some(Known::LoadFromBytes), _) => ImportClass::Dangerous,
            (Some(_), _) => ImportClass::Known,
            (None, Some(_)) => ImportClass::Dangerous,
            (None, None) => ImportClass::Unknown,
        };
    }
    arena.imports = imports;
    let shown = |(import, args): (&Import, &Option<Ref>)| {
        let args = (*args).filter(|_| import.verdict != ImportClass::Known)?;
        Some(format!("{}{}", import.path(), arena.show(args, MAX_CALL)))
    };
    let calls: Vec<Option<String>> = arena.imports.iter().zip(&arena.first_calls).map(shown).collect();
    arena.imports.iter_mut().zip(calls).for_each(|(import, call)| import.call = call);
}

/// Characters of a call that are shown.
const MAX_CALL: usize = 160;

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
            if module != "torch" {
                return None;
            }
            let inert = NO_DENSE_FORM.contains(&name).then_some(Known::Inert);
            Dtype::from_torch(name).map(Known::Dtype).or(inert)
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
        "numpy.dtypes" => (name.ends_with("DType") && !name.contains('.')).then_some(Known::Inert),
        "torch.sparse" | "torch.cuda.sparse" => {
            (name.ends_with("Tensor") && !name.contains('.')).then_some(Known::Inert)
        }
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

/// Element types and storages of torch that no tensor of ours has: those of quantised tensors, and widths of their own.
const NO_DENSE_FORM: &[&str] = &[
    "QInt8Storage",
    "QUInt8Storage",
    "QInt32Storage",
    "QUInt4x2Storage",
    "QUInt2x4Storage",
    "qint8",
    "quint8",
    "qint32",
    "quint4x2",
    "quint2x4",
    "bits1x8",
    "bits2x4",
    "bits4x2",
    "bits8",
    "bits16",
    "complex32",
    "bcomplex32",
    "int1",
    "int2",
    "int3",
    "int4",
    "int5",
    "int6",
    "int7",
    "uint1",
    "uint2",
    "uint3",
    "uint4",
    "uint5",
    "uint6",
    "uint7",
    "sparse_coo",
    "sparse_csr",
    "sparse_csc",
    "sparse_bsr",
    "sparse_bsc",
    "contiguous_format",
    "preserve_format",
    "channels_last",
    "channels_last_3d",
    "per_channel_affine_float_qparams",
];

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
