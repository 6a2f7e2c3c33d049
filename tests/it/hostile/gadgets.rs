//! Pickles that name code: what published scanners (picklescan, fickling, modelscan) test for, by every opcode
//! that can name or call, in every place where a pickle can be. Each would make a file if it were run.

use super::build::*;
use super::{Case, case};

const CANARY: &str = "touch executed";
const SAYS: &str = "names code";

/// `module.name(*args)` by GLOBAL and REDUCE.
fn call(module: &str, name: &str, args: &[u8]) -> Vec<u8> {
    [global(module, name).as_slice(), args, b"R"].concat()
}

fn system() -> Vec<u8> {
    call("os", "system", &[text(CANARY).as_slice(), b"\x85"].concat())
}

pub(super) fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    let command = text(CANARY);
    let ways: [(&str, Vec<u8>); 10] = [
        ("REDUCE", pickle(&system())),
        (
            "STACK_GLOBAL",
            [b"\x80\x04".as_slice(), &text("os"), &text("system"), b"\x93", &command, b"\x85R."].concat(),
        ),
        ("INST", [b"(".as_slice(), &command, b"ios\nsystem\n."].concat()),
        ("OBJ", [b"(".as_slice(), &global("os", "system"), &command, b"o."].concat()),
        ("NEWOBJ", [b"\x80\x02".as_slice(), &global("os", "system"), &command, b"\x85\x81."].concat()),
        ("NEWOBJ_EX", [b"\x80\x04".as_slice(), &global("os", "system"), &command, b"\x85}\x92."].concat()),
        (
            "BUILD",
            [
                b"\x80\x02".as_slice(),
                &global("collections", "OrderedDict"),
                b")R}",
                &text("__setstate__"),
                &global("os", "system"),
                b"sb0",
                &system(),
                b".",
            ]
            .concat(),
        ),
        ("named only", pickle(&global("os", "system"))),
        ("popped", pickle(&[system().as_slice(), b"0}"].concat())),
        ("protocol 0", [b"cos\nsystem\n(S'".as_slice(), CANARY.as_bytes(), b"'\ntR."].concat()),
    ];
    cases.extend(ways.into_iter().map(|(_, bytes)| case("gadget by every opcode", SAYS, bytes)));

    let named = |kind: &'static str, list: &[(&str, &str)]| -> Vec<Case> {
        let args = [text(CANARY).as_slice(), b"\x85"].concat();
        list.iter().map(|(module, name)| case(kind, SAYS, pickle(&call(module, name, &args)))).collect()
    };
    cases.extend(named(
        "gadget of builtins",
        &[
            ("builtins", "eval"),
            ("builtins", "exec"),
            ("builtins", "compile"),
            ("builtins", "__import__"),
            ("builtins", "getattr"),
            ("builtins", "open"),
            ("builtins", "breakpoint"),
            ("__builtin__", "eval"),
            ("__builtin__", "execfile"),
            ("builtins", "globals"),
        ],
    ));
    cases.extend(named(
        "gadget of the operating system",
        &[
            ("os", "system"),
            ("posix", "system"),
            ("nt", "system"),
            ("os", "execv"),
            ("os", "popen"),
            ("os", "spawnlp"),
            ("os", "remove"),
            ("posix", "fork_exec"),
            ("shutil", "rmtree"),
            ("pty", "spawn"),
        ],
    ));
    cases.extend(named(
        "gadget of processes",
        &[
            ("subprocess", "Popen"),
            ("subprocess", "check_output"),
            ("subprocess", "run"),
            ("subprocess", "getoutput"),
            ("commands", "getoutput"),
            ("multiprocessing.util", "spawnv_passfds"),
            ("asyncio.unix_events", "_UnixSubprocessTransport._start"),
            ("_posixsubprocess", "fork_exec"),
            ("_aix_support", "_read_cmd_output"),
            ("distutils.spawn", "spawn"),
        ],
    ));
    cases.extend(named(
        "gadget of the interpreter",
        &[
            ("runpy", "_run_code"),
            ("runpy", "run_path"),
            ("code", "InteractiveInterpreter.runcode"),
            ("pdb", "run"),
            ("bdb", "Bdb.run"),
            ("cProfile", "run"),
            ("timeit", "timeit"),
            ("doctest", "debug_script"),
            ("trace", "Trace.run"),
            ("idlelib.pyshell", "ModifiedInterpreter.runcode"),
        ],
    ));
    cases.extend(named(
        "gadget of imports and packages",
        &[
            ("importlib", "import_module"),
            ("imp", "load_source"),
            ("pkgutil", "resolve_name"),
            ("zipimport", "zipimporter"),
            ("pip", "main"),
            ("pip._internal", "main"),
            ("ensurepip", "_run_pip"),
            ("venv", "create"),
            ("pydoc", "pipepager"),
            ("lib2to3.pgen2.grammar", "Grammar.loads"),
        ],
    ));
    cases.extend(named(
        "gadget of serialisers",
        &[
            ("pickle", "loads"),
            ("_pickle", "loads"),
            ("cPickle", "loads"),
            ("dill", "loads"),
            ("cloudpickle", "loads"),
            ("joblib", "load"),
            ("marshal", "loads"),
            ("shelve", "open"),
            ("yaml", "unsafe_load"),
            ("jsonpickle", "decode"),
        ],
    ));
    cases.extend(named(
        "gadget of torch and numpy",
        &[
            ("torch", "load"),
            ("torch.hub", "load"),
            ("torch.jit", "load"),
            ("torch.storage", "_load_from_bytes"),
            ("torch.utils.collect_env", "run"),
            ("torch.fx.graph_module", "reduce_graph_module"),
            ("torch.serialization", "load"),
            ("numpy.testing._private.utils", "runstring"),
            ("numpy.f2py.crackfortran", "myeval"),
            ("numpy", "load"),
        ],
    ));
    cases.extend(named(
        "gadget of the network",
        &[
            ("urllib.request", "urlopen"),
            ("urllib2", "urlopen"),
            ("requests.api", "get"),
            ("socket", "create_connection"),
            ("http.client", "HTTPSConnection"),
            ("httplib", "HTTPConnection"),
            ("webbrowser", "open"),
            ("smtplib", "SMTP"),
            ("ftplib", "FTP"),
            ("aiohttp.client", "ClientSession"),
        ],
    ));
    cases.extend(named(
        "gadget reached through another",
        &[
            ("functools", "partial"),
            ("operator", "attrgetter"),
            ("operator", "methodcaller"),
            ("_operator", "itemgetter"),
            ("types", "FunctionType"),
            ("types", "CodeType"),
            ("ctypes", "CDLL"),
            ("builtins", "map"),
            ("collections", "OrderedDict.__init__.__globals__"),
            ("my.model", "Net.__reduce__"),
        ],
    ));
    cases.extend(named(
        "unknown code",
        &[
            ("my.model", "Net"),
            ("numpy.core.multiarray", "set_string_function"),
            ("torch._utils", "_rebuild_everything"),
            ("collections", "UserDict"),
            ("my_package.layers", "Linear"),
            ("Torch", "FloatStorage"),
        ],
    ));

    // A tensor whose argument is a gadget, in each of the places where a pickle can be.
    let hidden = tensor("0", 6, &int(0), &dims(&[6]), &system());
    let placed = |bytes: Vec<u8>| case("gadget in every place", "code", bytes);
    let object = state(&[("w", vector("0", 6)), ("v", system())]);
    cases.extend([
        placed(legacy(&object, &keys(&["0"]), &[(6, 24)])),
        placed(one(hidden.clone())),
        placed(zip(&members(&object))),
        placed(zip(&members(&state(&[("w", hidden)])))),
        placed(tar(&{
            let mut members = tar_members();
            members[2].1 = pickle(&[b"}".as_slice(), &text("w"), &system(), b"s"].concat());
            members
        })),
        placed(zip(&{
            let mut all = members(&pickle(&call("__torch__", "Net", b")")));
            all.push(member("a/constants.pkl", &pickle(&system())));
            all
        })),
    ]);
    // Before, between and after the pickles that hold the state dict.
    let mixed = |says, bytes: Vec<u8>| case("gadget beside the state dict", says, bytes);
    let gadget = pickle(&system());
    let legacy_parts = [magic(), b"\x80\x02M\xe9\x03.".to_vec(), b"\x80\x02}.".to_vec()];
    cases.extend([
        mixed("bytes after", [pickle(b"}"), gadget.clone()].concat()),
        mixed("bytes after", [gadget.clone(), good_legacy()].concat()),
        mixed("1001", [legacy_parts[0].clone(), gadget.clone()].concat()),
        mixed(
            "system information",
            [&legacy_parts[0], &legacy_parts[1], &gadget].into_iter().flatten().copied().collect(),
        ),
        mixed("keys", legacy(&state(&[("w", vector("0", 6))]), &gadget, &[(6, 24)])),
        mixed(
            "class",
            tar(&{
                let mut members = tar_members();
                let gadget = pickle(&[b"(".as_slice(), &int(7), &text("cpu"), &system(), b"t"].concat());
                members[0].1 = [pickle(&int(1)), gadget].concat();
                members
            }),
        ),
        mixed(
            "names code",
            tar(&{
                let mut members = tar_members();
                let class = global("os", "system");
                let data = &mut members[1].1;
                let known = global("torch", "FloatTensor");
                let at = data.windows(known.len()).position(|w| w == known).unwrap();
                data.splice(at..at + known.len(), class);
                members
            }),
        ),
        mixed("bytes after the pickle", zip(&members(&[state(&[("w", vector("0", 6))]), gadget].concat()))),
    ]);
    cases
}
