//! Imports that are known to run code, reach what does, or touch the machine: what published scanners test for. Only
//! how loud the report is depends on it: what is on no list at all is refused just the same. An effect is stated only
//! where it is that name's own: `uuid.UUID` starts nothing, `uuid._get_command_stdout` does.

mod table;

use table::TABLE;

/// Modules that a dotted name reaches through another module's variables.
const REACHED: &[&str] =
    &["os", "sys", "subprocess", "builtins", "importlib", "ctypes", "socket", "shutil", "pickle"];

/// What calling `module.name` does, when it is on the list. A dotted name (`system.__call__`, protocol 4) counts by its
/// first part.
pub(super) fn find(module: &str, name: &str) -> Option<&'static str> {
    let head = name.split('.').next().unwrap_or(name);
    // An exception is an object like another.
    let exception = ["Error", "Exception", "Warning"].iter().any(|end| head.ends_with(end)) && head == name;
    let below = |pattern: &str| match pattern.strip_suffix('*') {
        Some(root) => module == root || module.strip_prefix(root).is_some_and(|rest| rest.starts_with('.')),
        None => module == pattern,
    };
    let named = |names: &str| (names == "*" && !exception) || names.split('|').any(|one| one == head);
    let listed = TABLE.iter().find(|(m, n, _)| below(m) && named(n)).map(|&(.., what)| what);
    listed
        // A dotted path walks through attributes, and every object's attributes lead to `__globals__`.
        .or_else(|| {
            let special = |part: &str| part.starts_with("__") && part.ends_with("__");
            name.split('.').any(special).then_some("reach the program's variables")
        })
        .or_else(|| {
            let (_, path) = name.split_once('.')?;
            let reached = path.split('.').chain([head]).any(|part| REACHED.contains(&part));
            reached.then_some("reach another module")
        })
        .or_else(|| {
            let file =
                module == "pathlib" && name.split_once('.').is_some_and(|(_, m)| FILE_METHODS.contains(&m));
            file.then_some("read or change files")
        })
}

/// Methods of paths that touch the file system.
const FILE_METHODS: &[&str] = &[
    "open",
    "read_text",
    "read_bytes",
    "write_text",
    "write_bytes",
    "unlink",
    "rename",
    "replace",
    "rmdir",
    "mkdir",
    "touch",
    "symlink_to",
    "hardlink_to",
    "chmod",
    "glob",
    "rglob",
    "iterdir",
    "exists",
    "stat",
];

#[cfg(test)]
mod tests {
    use super::find;

    #[test]
    fn below_a_module_and_not_beside_it() {
        assert!(find("os", "system").is_some());
        assert!(find("os.path", "exists").is_some());
        assert!(find("oslo", "thing").is_none());
        assert!(find("builtins", "eval").is_some());
        assert!(find("my.model", "Net").is_none());
        assert!(find("my.model", "Net.__init__.__globals__").is_some());
        assert!(find("my.model", "helpers.os.system").is_some());
        assert!(find("pathlib", "Path.write_text").is_some());
    }

    /// What these do is build a value: no effect is stated.
    #[test]
    fn no_effect_is_stated_of_what_has_none() {
        for (module, name) in [
            ("uuid", "UUID"),
            ("http", "HTTPStatus"),
            ("io", "BytesIO"),
            ("_io", "BytesIO"),
            ("io", "StringIO"),
            ("torch.distributed.tensor", "DTensor"),
            ("torch.distributed.device_mesh", "DeviceMesh"),
            ("torch.distributed.fsdp", "ShardingStrategy"),
            ("torch.utils.data.dataset", "TensorDataset"),
            ("torch.cuda.amp.grad_scaler", "GradScaler"),
            ("torch._dynamo.eval_frame", "OptimizedModule"),
            ("torch.fx.node", "Node"),
            ("torch._C", "Generator"),
            ("torch.onnx", "TensorProtoDataType"),
            ("pandas.core.frame", "DataFrame"),
            ("scipy.sparse._csr", "csr_matrix"),
            ("transformers.training_args", "TrainingArguments"),
            ("transformers.models.bert.configuration_bert", "BertConfig"),
            ("keras.src.engine.sequential", "Sequential"),
            ("urllib.parse", "ParseResult"),
            ("requests.structures", "CaseInsensitiveDict"),
            ("requests.exceptions", "HTTPError"),
            ("logging", "getLogger"),
            ("logging", "Logger"),
            ("asyncio.locks", "Lock"),
            ("multiprocessing.queues", "SimpleQueue"),
            ("threading", "Lock"),
            ("signal", "Signals"),
            ("socket", "AddressFamily"),
            ("inspect", "Signature"),
            ("inspect", "Parameter"),
            ("operator", "add"),
            ("itertools", "count"),
            ("ctypes", "c_float"),
            ("pickle", "PickleBuffer"),
            ("subprocess", "CompletedProcess"),
            ("subprocess", "CalledProcessError"),
            ("distutils.version", "LooseVersion"),
            ("test.models", "Net"),
            ("code.models", "Net"),
            ("profile", "UserProfile"),
            ("platform", "uname_result"),
            ("concurrent.futures._base", "Future"),
            ("joblib.numpy_pickle", "NumpyArrayWrapper"),
            ("tempfile", "_TemporaryFileWrapper"),
            ("os.path", "join"),
            ("torchvision.datasets.folder", "ImageFolder"),
            ("torch.testing._internal.common_utils", "TestCase"),
            ("email.message", "Message"),
            ("numpy.random._pickle", "__randomstate_ctor"),
        ] {
            assert_eq!(find(module, name), None, "{module}.{name}");
        }
    }
}
