//! A name that unpickling would import, with what was found out about it. Filled in by the machine (what, where, how it
//! is first called) and afterwards by [`super::globals`] (what to think of it).

use crate::checkpoint::dtype::Dtype;

/// What zoo thinks of an import.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ImportClass {
    /// On the list of inert names.
    Known,
    /// Not on it.
    Unknown,
    /// Known to run code, or to reach what does.
    Dangerous,
}

impl ImportClass {
    /// As printed.
    pub const fn name(self) -> &'static str {
        match self {
            ImportClass::Known => "known",
            ImportClass::Unknown => "unknown",
            ImportClass::Dangerous => "dangerous",
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

/// A name that unpickling would import.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Import {
    /// The module, as the pickle has it.
    pub module: String,
    /// The name inside it, dots included.
    pub name: String,
    /// Byte of the input where it is first named.
    pub offset: u64,
    /// What zoo thinks of it: unknown until it has been judged.
    pub verdict: ImportClass,
    /// What it is, when it is known.
    pub known: Option<Known>,
    /// The first call of it, as Python would write it; none of what is known.
    pub call: Option<String>,
    /// What calling it does, where it is known to do something.
    pub(super) danger: Option<&'static str>,
}

impl Import {
    /// `module.name`.
    pub fn path(&self) -> String {
        format!("{}.{}", self.module, self.name)
    }

    /// What loading the file would have done with it.
    pub fn effect(&self) -> String {
        let module = &self.module;
        match (self.verdict, self.danger, &self.call) {
            (ImportClass::Known, ..) => "builds data".into(),
            (_, Some(what), Some(call)) => format!("would {what}: {call}"),
            (_, Some(what), None) => format!("could {what}; it is named, not called"),
            (_, None, Some(call)) if module == "__main__" => {
                format!("would call {call} of the program that loads it")
            }
            (_, None, None) if module == "__main__" => {
                format!("would use `{}` of the program that loads it", self.name)
            }
            (_, None, Some(call)) => format!("would import `{module}` and call {call}"),
            (_, None, None) => format!("would import `{module}`"),
        }
    }

    /// One that has not been judged.
    pub(super) fn new(module: String, name: String, offset: u64) -> Self {
        Import { module, name, offset, verdict: ImportClass::Unknown, known: None, call: None, danger: None }
    }
}
