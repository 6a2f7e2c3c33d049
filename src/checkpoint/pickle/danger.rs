//! Imports that are known to run code, reach what does, or touch the machine: what published scanners test for. Only
//! how loud the report is depends on it: what is on no list at all is refused just the same. An effect is stated only
//! where it is that name's own: `uuid.UUID` starts nothing, `uuid._get_command_stdout` does.

/// Module (`*` at the end: and everything below), names (`*`: any; several with `|` between), and what calling one does.
const TABLE: &[(&str, &str, &str)] = &[
    ("builtins", "eval", "evaluate Python source"),
    ("builtins", "exec", "run Python source"),
    ("builtins", "execfile", "run a Python file"),
    ("builtins", "compile", "compile Python source"),
    ("builtins", "__import__", "import a module"),
    ("builtins", "open|file", "open a file"),
    ("builtins", "getattr", "reach into any object"),
    ("builtins", "setattr|delattr", "change any object"),
    ("builtins", "globals|locals", "reach the program's variables"),
    ("builtins", "vars|dir", "reach an object's variables"),
    ("builtins", "breakpoint", "start a debugger"),
    ("builtins", "input|raw_input", "read from the terminal"),
    ("builtins", "map|filter|sorted|max|min", "call a function on values"),
    ("builtins", "apply", "call a function"),
    ("builtins", "memoryview|buffer", "reach memory"),
    ("builtins", "type", "make a class"),
    ("builtins", "print", "print"),
    ("builtins", "exit|quit", "end the program"),
    ("builtins", "super|classmethod|staticmethod|property", "wrap a function"),
    ("os", "*", "call the operating system"),
    ("posix", "*", "call the operating system"),
    ("nt", "*", "call the operating system"),
    ("os.path", PATH_NAMES, "look at files"),
    ("posixpath", PATH_NAMES, "look at files"),
    ("ntpath", PATH_NAMES, "look at files"),
    ("genericpath", PATH_NAMES, "look at files"),
    (
        "subprocess",
        "Popen|run|call|check_call|check_output|getoutput|getstatusoutput|_args_from_interpreter_flags",
        "start a program",
    ),
    ("_posixsubprocess", "*", "start a program"),
    ("pty", "*", "start a program in a terminal"),
    ("popen2", "*", "start a program"),
    ("asyncio.unix_events", "*", "start a program"),
    ("asyncio.windows_utils", "*", "start a program"),
    ("asyncio.base_subprocess", "*", "start a program"),
    ("asyncio*", "create_subprocess_exec|create_subprocess_shell", "start a program"),
    (
        "asyncio*",
        "open_connection|open_unix_connection|start_server|start_unix_server",
        "open a network connection",
    ),
    (
        "asyncio*",
        "run|gather|ensure_future|create_task|to_thread|run_coroutine_threadsafe",
        "call a function",
    ),
    (
        "multiprocessing*",
        "Process|Pool|Manager|SyncManager|BaseManager|spawnv_passfds|Popen|ThreadPool",
        "start a process",
    ),
    (
        "multiprocessing.connection",
        "Client|Listener|SocketClient|SocketListener",
        "open a network connection",
    ),
    ("concurrent.futures*", "ThreadPoolExecutor|ProcessPoolExecutor", "start threads or processes"),
    ("_aix_support", "*", "start a program"),
    ("_osx_support", "*", "start a program"),
    ("_pyrepl*", "*", "start a program"),
    ("distutils.spawn", "spawn", "start a program"),
    ("distutils.file_util", "*", "write or delete files"),
    ("distutils.dir_util", "*", "write or delete files"),
    ("distutils.core", "setup|run_setup", "run a setup script"),
    ("setuptools", "setup", "run a setup script"),
    ("setuptools.sandbox", "*", "run a setup script"),
    ("setuptools._distutils.spawn", "spawn", "start a program"),
    ("runpy", "*", "run a Python file or module"),
    ("code", "interact|InteractiveInterpreter|InteractiveConsole|compile_command", "run Python source"),
    ("codeop", "*", "compile Python source"),
    ("timeit*", "timeit|repeat|Timer|main", "run Python source"),
    ("trace", "Trace|main", "run Python source"),
    ("profile", "run|runctx|Profile", "run Python source"),
    ("cProfile", "run|runctx|Profile", "run Python source"),
    ("_lsprof", "Profiler", "call a function"),
    ("pdb", "*", "run Python source"),
    ("bdb", "Bdb", "run Python source"),
    (
        "doctest",
        "debug_script|debug_src|debug|testfile|testmod|DocTestRunner|DebugRunner",
        "run Python source",
    ),
    ("test.support*", "*", "start a program"),
    ("idlelib*", "*", "run Python source"),
    ("lib2to3.pgen2*", "*", "load a pickle or a file"),
    ("imp", "*", "import a module"),
    ("importlib", "import_module|reload|__import__", "import a module"),
    ("importlib._bootstrap*", "*", "import a module"),
    (
        "importlib.machinery",
        "SourceFileLoader|SourcelessFileLoader|ExtensionFileLoader|FileFinder",
        "import a module",
    ),
    (
        "importlib.util",
        "module_from_spec|spec_from_file_location|spec_from_loader|find_spec",
        "import a module",
    ),
    ("pkgutil", "resolve_name|get_data|get_loader|find_loader|walk_packages|importlib", "import a module"),
    ("zipimport", "zipimporter", "import a module"),
    ("pydoc", "*", "import a module or start a pager"),
    ("ensurepip*", "*", "install packages"),
    ("pip*", "*", "install packages, which runs their code"),
    ("venv*", "*", "start a program"),
    ("sys", "*", "reach into the interpreter"),
    (
        "inspect",
        "currentframe|stack|trace|getframeinfo|getmodule|getmembers|getattr_static",
        "reach the program's variables",
    ),
    ("gc", "*", "reach any object"),
    ("weakref", "finalize", "call a function at the end"),
    (
        "ctypes",
        "CDLL|PyDLL|WinDLL|OleDLL|LibraryLoader|cdll|pydll|windll|pythonapi|CFUNCTYPE|PYFUNCTYPE|WINFUNCTYPE",
        "call machine code",
    ),
    ("ctypes", "cast|memmove|memset|string_at|wstring_at|POINTER|pointer|py_object", "reach memory"),
    ("ctypes.util", "*", "start a program"),
    (
        "_ctypes",
        "dlopen|dlsym|CFuncPtr|call_function|call_cdeclfunction|PyObj_FromPtr|LoadLibrary",
        "call machine code",
    ),
    ("cffi*", "FFI|ffi", "call machine code"),
    ("types", "CodeType|FunctionType|LambdaType|ModuleType", "make a function or module out of bytes"),
    ("types", "MethodType|BuiltinFunctionType|new_class|prepare_class", "make a method or class"),
    (
        "functools",
        "partial|partialmethod|reduce|lru_cache|cache|cached_property|singledispatch|wraps|update_wrapper",
        "wrap a call of another function",
    ),
    ("_functools", "partial|reduce|_lru_cache_wrapper", "wrap a call of another function"),
    ("operator", OPERATOR_NAMES, "reach into or call another object"),
    ("_operator", OPERATOR_NAMES, "reach into or call another object"),
    (
        "itertools",
        "accumulate|starmap|takewhile|dropwhile|filterfalse|groupby|imap|ifilter",
        "call a function on values",
    ),
    ("site", "*", "run start-up files"),
    ("atexit", "*", "call a function at the end"),
    ("threading", "Thread|Timer|_DummyThread|settrace|setprofile|excepthook", "start a thread"),
    ("_thread", "start_new_thread|start_new|start_joinable_thread", "start a thread"),
    ("thread", "start_new_thread|start_new", "start a thread"),
    ("sched", "scheduler", "call a function later"),
    ("signal", "signal|raise_signal|pthread_kill|alarm|setitimer|siginterrupt", "change signal handling"),
    ("pickle", PICKLE_NAMES, "load another pickle"),
    ("_pickle", PICKLE_NAMES, "load another pickle"),
    ("cPickle", PICKLE_NAMES, "load another pickle"),
    ("pickletools", "*", "load another pickle"),
    ("dill", "load|loads|load_session|load_module|load_module_asdict|Unpickler", "load another pickle"),
    (
        "dill._dill",
        "_create_function|_create_code|_create_type|_import_module|_get_attr|_eval_repr|_load_type|_getattribute",
        "make functions and classes out of bytes",
    ),
    ("cloudpickle*", "load|loads", "load another pickle"),
    (
        "cloudpickle*",
        "_make_function|_builtin_type|_make_skeleton_class|_make_skeleton_enum|subimport|dynamic_subimport|_rebuild_tornado_coroutine|_function_setstate|_class_setstate",
        "make functions and classes out of bytes",
    ),
    ("joblib*", "load|load_temporary_memmap|read_zfile", "load another pickle"),
    ("joblib._utils", "eval_expr", "evaluate Python source"),
    ("marshal", "*", "make code out of bytes"),
    ("shelve", "*", "load another pickle"),
    ("copyreg", "add_extension|pickle|constructor", "change what pickles call"),
    ("copy", "replace", "call a method"),
    ("shutil", "*", "copy or delete files"),
    (
        "tempfile",
        "NamedTemporaryFile|TemporaryFile|SpooledTemporaryFile|TemporaryDirectory|mkstemp|mkdtemp|mktemp",
        "create files",
    ),
    ("io", "open|open_code|FileIO|OpenWrapper", "open a file"),
    ("_io", "open|open_code|FileIO|OpenWrapper|_WindowsConsoleIO", "open a file"),
    ("_pyio", "open|open_code|FileIO", "open a file"),
    ("codecs", "open|EncodedFile", "open a file"),
    ("gzip", "open|GzipFile", "open a file"),
    ("bz2", "open|BZ2File", "open a file"),
    ("lzma", "open|LZMAFile", "open a file"),
    ("zipfile", "ZipFile|PyZipFile|Path|main", "open a file"),
    ("tarfile", "open|TarFile|main", "open a file"),
    ("mmap", "mmap", "reach memory or a file"),
    ("linecache", "*", "read a file"),
    ("fileinput", "*", "read files"),
    ("glob", "*", "list files"),
    ("logging", "FileHandler|basicConfig", "write files"),
    ("logging.handlers", "*", "write files or open a network connection"),
    ("logging.config", "*", "run what a configuration names"),
    ("sqlite3*", "connect|Connection", "open a database, which can load code"),
    ("_sqlite3", "connect|Connection", "open a database, which can load code"),
    ("dbm*", "open", "open a file"),
    ("socket", SOCKET_NAMES, "open a network connection"),
    ("_socket", SOCKET_NAMES, "open a network connection"),
    ("socketserver", "*", "open a network port"),
    ("ssl", "get_server_certificate|wrap_socket|SSLSocket", "open a network connection"),
    ("http.client", "HTTPConnection|HTTPSConnection", "open a network connection"),
    ("http.server", "*", "open a network port"),
    ("httplib", "*", "open a network connection"),
    ("urllib", "urlopen|urlretrieve|URLopener|FancyURLopener", "open a network connection"),
    ("urllib.request", "*", "open a network connection"),
    ("urllib2", "*", "open a network connection"),
    (
        "urllib3*",
        "PoolManager|request|HTTPConnectionPool|HTTPSConnectionPool|ProxyManager",
        "open a network connection",
    ),
    ("requests", REQUESTS_NAMES, "open a network connection"),
    ("requests.api", "*", "open a network connection"),
    ("httpx*", REQUESTS_NAMES, "open a network connection"),
    ("aiohttp*", "ClientSession|request", "open a network connection"),
    ("ftplib", "FTP|FTP_TLS", "open a network connection"),
    ("smtplib", "SMTP|SMTP_SSL|LMTP", "open a network connection"),
    ("smtpd", "*", "open a network port"),
    ("telnetlib", "Telnet", "open a network connection"),
    ("nntplib", "NNTP|NNTP_SSL", "open a network connection"),
    ("poplib", "POP3|POP3_SSL", "open a network connection"),
    ("imaplib", "IMAP4_stream", "start a program"),
    ("imaplib", "IMAP4|IMAP4_SSL", "open a network connection"),
    ("xmlrpc.client", "ServerProxy|Server|Transport|SafeTransport", "open a network connection"),
    ("xmlrpc.server", "*", "open a network port"),
    ("xmlrpclib", "ServerProxy|Server", "open a network connection"),
    ("webbrowser", "*", "open a web page"),
    ("antigravity", "*", "open a web page"),
    (
        "uuid",
        "_get_command_stdout|_ip_getter|_ifconfig_getter|_arp_getter|_lanscan_getter|_netstat_getter|getnode|uuid1",
        "start a program",
    ),
    ("platform", "popen|_syscmd_ver|_syscmd_file|architecture", "start a program"),
    (
        "numpy.testing*",
        "runstring|measure|rundocs|assert_raises|assert_no_leak_cycles|break_cycles",
        "run Python source or call a function",
    ),
    ("numpy.f2py.crackfortran", "*", "evaluate Python source"),
    ("numpy.f2py*", "compile|run_main|run_compile|main", "start a compiler"),
    (
        "numpy.distutils*",
        "exec_command|_exec_command|filepath_from_subprocess_output|get_lib_source_files|forward_bytes_to_stdout",
        "start a program",
    ),
    ("numpy*", "load|loads", "load another pickle"),
    ("numpy*", "fromfile|genfromtxt|loadtxt|fromregex", "read a file"),
    ("numpy*", "save|savez|savez_compressed|savetxt|tofile", "write a file"),
    ("numpy*", "memmap|open_memmap|DataSource", "open a file"),
    (
        "numpy*",
        "vectorize|apply_along_axis|apply_over_axes|fromfunction|piecewise|frompyfunc|nditer",
        "call a function on values",
    ),
    ("scipy.io*", "loadmat|savemat|netcdf_file", "open a file"),
    ("pandas*", "read_pickle|to_pickle", "load another pickle"),
    ("pandas*", "eval|query|_eval_single", "evaluate Python source"),
    (
        "pandas*",
        "read_csv|read_table|read_parquet|read_hdf|read_sql|read_excel|read_json|read_html|read_xml|read_feather",
        "open a file or a network connection",
    ),
    ("torch", "load", "load another pickle"),
    ("torch", "save", "write a file"),
    ("torch", "from_file", "open a file"),
    ("torch", "compile", "compile a function"),
    ("torch", "vmap|func", "call a function"),
    ("torch.hub*", "*", "download and run a repository"),
    ("torch.serialization", "load|_load|_legacy_load|_unsafe_load", "load another pickle"),
    ("torch.serialization", "save|_save|_legacy_save", "write a file"),
    (
        "torch.serialization",
        "add_safe_globals|safe_globals|register_package|set_default_load_endianness",
        "change what torch loads",
    ),
    ("torch.storage", "_load_from_bytes", "load another pickle"),
    (
        "torch.jit*",
        "load|jit_module_from_flatbuffer|_load_for_lite_interpreter|script|script_method|trace|trace_module|CompilationUnit|_create_script_module",
        "load or compile code",
    ),
    ("torch.jit.unsupported_tensor_ops", "execWrapper", "run Python source"),
    ("torch.jit._script", "unpackage_script_module", "load or compile code"),
    (
        "torch.package*",
        "PackageImporter|PackageExporter|_import_module|import_module",
        "load and run Python source",
    ),
    (
        "torch.fx.graph_module",
        "reduce_graph_module|reduce_package_graph_module|reduce_deploy_graph_module|_forward_from_src|_exec_with_source|_deserialize_graph_module",
        "make a function out of source",
    ),
    ("torch.fx*", "symbolic_trace|Interpreter|Tracer", "call a module"),
    ("torch.fx.experimental.symbolic_shapes", "ShapeEnv", "evaluate Python source"),
    ("torch.utils.collect_env", "*", "start a program"),
    ("torch.utils.bottleneck*", "*", "run Python source"),
    ("torch.utils.benchmark*", "Timer|timer", "run Python source"),
    (
        "torch.utils.cpp_extension",
        "load|load_inline|_jit_compile|_import_module_from_library|_run_ninja_build|BuildExtension",
        "compile and run C++",
    ),
    ("torch.utils.model_zoo", "load_url", "download and load a pickle"),
    ("torch.utils._config_module", "*", "load another pickle"),
    ("torch.utils.data.datapipes.utils.decoder", "*", "load another pickle"),
    ("torch.utils._pytree", "treespec_loads|register_pytree_node|_register_pytree_node", "call a function"),
    ("torch.utils.checkpoint", "checkpoint|checkpoint_sequential", "call a function"),
    ("torch._inductor.codecache", "*", "compile and run C++"),
    ("torch._inductor.cpp_builder", "*", "compile and run C++"),
    ("torch._inductor.runtime.compile_tasks", "*", "run Python source"),
    ("torch._dynamo.guards", "GuardBuilder", "evaluate Python source"),
    ("torch._dynamo*", "optimize|run|explain|export", "compile a function"),
    ("torch.distributed.rpc*", "*", "call a function on another machine"),
    (
        "torch.distributed*",
        "init_process_group|TCPStore|FileStore|HashStore|PrefixStore|init_device_mesh",
        "open a network connection",
    ),
    ("torch.distributed*", "_tensor_to_object", "load another pickle"),
    ("torch.multiprocessing*", "spawn|start_processes|Process|Pool", "start a process"),
    ("torch.multiprocessing.reductions", "*", "open shared memory"),
    ("torch.onnx*", "export|dynamo_export", "write a file"),
    ("torch.ops*", "load_library|import_module", "load machine code"),
    ("torch._ops", "load_library|_Ops|_Classes", "load machine code"),
    ("torch.classes*", "load_library|loaded_libraries", "load machine code"),
    (
        "torch._C",
        "import_ir_module|import_ir_module_from_buffer|_import_ir_module_from_package|PyTorchFileReader|PyTorchFileWriter|_load_for_lite_interpreter|_load_jit_module_from_file",
        "load or compile code",
    ),
    ("torchvision.datasets.utils", "*", "download files"),
    ("transformers.dynamic_module_utils", "*", "download and run a repository"),
    ("transformers.pipelines*", "pipeline", "download and run a repository"),
    ("transformers", "pipeline", "download and run a repository"),
    (
        "huggingface_hub*",
        "hf_hub_download|snapshot_download|cached_download|hf_hub_url|HfApi|login",
        "download files",
    ),
    (
        "tensorflow*",
        "read_file|write_file|load_model|load_library|load_op_library|py_function|numpy_function|get_file",
        "load a model, a file or code",
    ),
    (
        "keras*",
        "load_model|model_from_json|model_from_config|deserialize_keras_object|func_load|get_file|Lambda",
        "load a model or code",
    ),
    (
        "IPython*",
        "system|getoutput|get_ipython|embed|start_ipython|run_cell|InteractiveShell|code_ctor",
        "run Python source",
    ),
    ("paramiko*", "SSHClient|Transport|ProxyCommand", "open a network connection"),
    ("fabric*", "Connection|run|local|sudo", "start a program"),
    ("sh", "*", "start a program"),
    ("plumbum*", "*", "start a program"),
    ("pexpect*", "spawn|run|popen_spawn", "start a program"),
    ("psutil*", "Popen|Process", "start or look at processes"),
    (
        "yaml*",
        "load|load_all|unsafe_load|unsafe_load_all|full_load|full_load_all|UnsafeLoader|FullLoader|Loader",
        "load objects from YAML",
    ),
    ("ruamel.yaml*", "load|YAML", "load objects from YAML"),
    ("jsonpickle*", "decode|loads|Unpickler|loadclass", "load objects from JSON"),
    ("jinja2*", "Template|Environment|from_string", "run a template"),
    ("getpass", "getpass", "read from the terminal"),
    ("cgitb", "*", "write files"),
    ("wsgiref*", "*", "open a network port"),
    ("tkinter*", "Tk|Tcl", "open a window and run Tcl"),
    ("turtledemo*", "*", "open a window"),
    ("code_ast", "*", "run Python source"),
    ("fickling*", "*", "change how pickles are scanned"),
    ("picklescan*", "*", "change how pickles are scanned"),
    ("modelscan*", "*", "change how pickles are scanned"),
];

const PATH_NAMES: &str = "exists|lexists|isfile|isdir|islink|ismount|getsize|getmtime|getatime|getctime|realpath|expanduser|samefile|os|genericpath";
const OPERATOR_NAMES: &str = "attrgetter|itemgetter|methodcaller|call|getitem|setitem|delitem|concat|iconcat|isCallable|sequenceIncludes";
const PICKLE_NAMES: &str = "load|loads|_load|_loads|Unpickler|_Unpickler|dump|_dump";
const SOCKET_NAMES: &str = "socket|create_connection|create_server|socketpair|fromfd|fromshare|gethostbyname|gethostbyname_ex|getaddrinfo|getfqdn|gethostbyaddr";
const REQUESTS_NAMES: &str =
    "get|post|put|delete|head|patch|options|request|stream|Session|session|Client|AsyncClient";

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
