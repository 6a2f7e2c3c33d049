//! Broken pickles and the tensors in them: truncation, forged counts, bombs, and sharing that multiplies work.

use super::build::*;
use super::{Case, case};

pub(super) fn cases() -> Vec<Case> {
    [truncated(), stack(), lengths(), bombs(), tensors(), legacy_files(), sharing(), dicts()]
        .into_iter()
        .flatten()
        .collect()
}

fn raw(kind: &'static str, says: &'static str, bytes: &[u8]) -> Case {
    case(kind, says, bytes.to_vec())
}

fn truncated() -> Vec<Case> {
    let file = good_legacy();
    let cut = |i: usize| case("legacy cut short", "byte", file[..file.len() * i / 11].to_vec());
    (1..=10).map(cut).collect()
}

fn stack() -> Vec<Case> {
    let mut cases = Vec::new();
    let empty: [&[u8]; 8] =
        [b".", b"\x80\x020.", b"\x80\x02e.", b"N\x86.", b"]a.", b"}Ns.", b"Q.", b"\x80\x02R."];
    cases.extend(empty.map(|b| raw("stack underflow", "byte", b)));
    let marks: [&[u8]; 5] = [b"Nt.", b"(].", b"N(0t.", b"(((l.", b"](N(Nea."];
    cases.extend(marks.map(|b| raw("marks that do not match", "byte", b)));
    let memo: [&[u8]; 6] =
        [b"h\x00.", b"j\xff\xff\xff\xff.", b"g-1\n.", b"gx\n.", b"g99999999999\n.", b"Np0\ng1\n."];
    cases.extend(memo.map(|b| raw("memo never put", "memo", b)));
    let opcodes: [&[u8]; 8] = [
        b"\x80\x02\xff.",
        b"\x82\x01.",
        b"\x83\x01\x00.",
        b"\x84\x01\x00\x00\x00.",
        b"\x80\x05\x97.",
        b"\x80\x06N.",
        b"\x80\xffN.",
        b"\x99.",
    ];
    cases.extend(opcodes.map(|b| raw("opcodes that are none or reach out", "byte", b)));
    let frames: [&[u8]; 5] = [
        b"\x80\x04\x95\xff\xff\xff\xff\xff\xff\xff\xffN.",
        b"\x80\x04\x95\x20\x00\x00\x00\x00\x00\x00\x00N.",
        b"\x80\x04\x95\x0b\x00\x00\x00\x00\x00\x00\x00\x95\x02\x00\x00\x00\x00\x00\x00\x00N.",
        b"\x80\x04\x95\x03\x00\x00\x00\x00\x00\x00\x00K\x01.N.",
        b"\x80\x04\x95\x01\x00\x00\x00\x00\x00\x00\x00K\x01.",
    ];
    cases.extend(frames.map(|b| raw("frames forged", "byte", b)));
    let calls: [&[u8]; 6] =
        [b"N)R.", b"K\x01)\x81.", b"ccollections\nOrderedDict\nNR.", b"]Nb.", b"NNNb.", b"(Nb."];
    cases.extend(calls.map(|b| raw("calls of what nothing can call", "byte", b)));
    cases
}

fn lengths() -> Vec<Case> {
    let mut cases = Vec::new();
    let texts: [&[u8]; 9] = [
        b"X\xff\xff\xff\xffabc.",
        b"T\xff\xff\xff\xffabc.",
        b"T\xff\xff\xff\x7fabc.",
        b"U\xffabc.",
        b"\x8c\xffabc.",
        b"\x8d\xff\xff\xff\xff\xff\xff\xff\xffabc.",
        b"\x8e\xff\xff\xff\xff\xff\xff\xff\x7fabc.",
        b"\x96\x00\x00\x00\x00\x01\x00\x00\x00abc.",
        b"B\xff\xff\xff\xffabc.",
    ];
    cases.extend(texts.map(|b| raw("text longer than the file", "byte", b)));
    let longs: [&[u8]; 7] = [
        b"\x8b\xff\xff\xff\x7f\x01.",
        b"\x8b\xff\xff\xff\xff\x01.",
        b"\x8a\xff\x01.",
        b"Lnan\n.",
        b"I1__000\n.",
        b"L010L\n.",
        b"F1e\n.",
    ];
    cases.extend(longs.map(|b| raw("numbers that are none, or of 2 GiB", "byte", b)));
    let escapes: [&[u8]; 6] = [b"S'a\n.", b"Sa\n.", b"S'\\x1'\n.", b"V\\u12\n.", b"V\\U00110000\n.", b"Vabc"];
    cases.extend(escapes.map(|b| raw("protocol 0 text broken", "byte", b)));
    cases
}

fn repeated(head: &[u8], body: &[u8], times: usize, tail: &[u8]) -> Vec<u8> {
    [head, &body.repeat(times), tail].concat()
}

fn bombs() -> Vec<Case> {
    const DEEP: usize = 3_000_000;
    let mut cases = vec![
        case(
            "nested three million deep",
            "more than",
            repeated(b"", b"]", DEEP, &[b"a".repeat(DEEP - 1), b".".into()].concat()),
        ),
        case("nested three million deep", "more than", repeated(b"N", b"\x85", DEEP, b".")),
        case("nested three million deep", "more than", repeated(b"", b"(", DEEP, b".")),
        case(
            "nested three million deep",
            "list",
            repeated(b"", b"]", 1_000_000, &[b"a".repeat(999_999), b".".into()].concat()),
        ),
        case("nested three million deep", "tuple", repeated(b"N", b"\x85", 1_000_000, b".")),
        case("nested three million deep", "holds no tensors", {
            let open = [b"}".as_slice(), &text("k")].concat();
            repeated(b"", &open, 300_000, &[b"}".to_vec(), b"s".repeat(300_000), b".".into()].concat())
        }),
    ];
    // Each level holds the one below twice: 2 to the 64th leaves in 300 bytes.
    let laughs = |open: &[u8], first: &[u8], second: &[u8], close: &[u8], last: &[u8]| {
        let levels = (0..64u8).flat_map(|level| {
            [open, first, &[b'h', level], second, &[b'h', level], close, &[b'q', level + 1]].concat()
        });
        [b"\x80\x02(}q\x00".as_slice(), &levels.collect::<Vec<_>>(), b"1", last].concat()
    };
    let (a, b) = (text("a"), text("b"));
    let inside = |key: &str| [b"}".as_slice(), &text(key), b"h\x40s."].concat();
    cases.extend([
        case("billion laughs", "list", laughs(b"](", b"", b"", b"e", b"h\x40.")),
        case("billion laughs", "tuple", laughs(b"(", b"", b"", b"t", b"h\x40.")),
        case("billion laughs", "holds no tensors", laughs(b"](", b"", b"", b"e", &inside("k"))),
        case("billion laughs", "holds no tensors", laughs(b"}(", &a, &b, b"u", &inside("k"))),
        case("billion laughs", "holds no tensors", laughs(b"}(", &text("model"), &b, b"u", &inside("model"))),
    ]);
    let sparse = |times: u32| -> Vec<u8> {
        let puts = (0..times).flat_map(|i| [b"r".as_slice(), &(i * 7 + 9).to_le_bytes()].concat());
        [b"N".as_slice(), &puts.collect::<Vec<_>>(), b"."].concat()
    };
    cases.extend([
        case("memo bombs", "more than", sparse(1_500_000)),
        case("memo bombs", "more than", repeated(b"N", b"\x94", 5_000_000, b".")),
        case("memo bombs", "more than", repeated(b"N", b"2", 5_000_000, b".")),
        case("memo bombs", "more than", repeated(b"", b"N0", 20_000_000, b"")),
    ]);
    let imports: Vec<u8> =
        (0..5000).flat_map(|i| [global("m", &format!("n{i}")).as_slice(), b"0"].concat()).collect();
    cases.extend([
        case("many imports or objects", "more than 4096", [imports.as_slice(), b"N."].concat()),
        case("many imports or objects", "more than", {
            let call = b"h\x00)R0";
            repeated(
                &[global("collections", "OrderedDict").as_slice(), b"q\x00"].concat(),
                call,
                3_000_000,
                b".",
            )
        }),
    ]);
    let own = |body: &[u8], kind: &'static str| raw("containing themselves", kind, body);
    cases.extend([
        own(b"]q\x00h\x00a.", "list"),
        own(b"}q\x00X\x01\x00\x00\x00ah\x00s.", "holds"),
        own(b"]q\x00(h\x00te.", "byte"),
        own(b"}q\x00(X\x05\x00\x00\x00modelh\x00u.", "holds no tensors"),
        own(b"}q\x00(X\x0a\x00\x00\x00state_dicth\x00X\x05\x00\x00\x00modelh\x00u.", "holds no tensors"),
        own(b"ccollections\nOrderedDict\n)Rq\x00X\x01\x00\x00\x00ah\x00s.", "holds"),
    ]);
    cases
}

fn tensors() -> Vec<Case> {
    let (zero, six, step) = (int(0), dims(&[6]), dims(&[1]));
    let with = |offset: &[u8], shape: &[u8], strides: &[u8]| one(tensor("0", 6, offset, shape, strides));
    let huge = i64::MAX;
    let mut cases = Vec::new();
    for shape in [
        dims(&[7]),
        dims(&[-1]),
        dims(&[huge]),
        text("6"),
        b"N".to_vec(),
        [b"(".as_slice(), &text("6"), b"t"].concat(),
        [b"(G".as_slice(), &6f64.to_be_bytes(), b"t"].concat(),
        b"(\x8a\x09\xff\xff\xff\xff\xff\xff\xff\xff\x00t".to_vec(),
    ] {
        cases.push(case("shape forged", "tensor `w`", with(&zero, &shape, &step)));
    }
    for (shape, strides) in [
        (&[2, 3][..], &[3][..]),
        (&[2, 3], &[4, 1]),
        (&[6], &[-1]),
        (&[2, 3], &[huge, 1]),
        (&[huge, huge], &[0, 0]),
        (&[1 << 32, 1 << 32], &[0, 0]),
        (&[2, 2], &[1 << 62, 1 << 62]),
        (&[1; 65], &[1; 65]),
    ] {
        cases.push(case("strides forged", "tensor `w`", with(&zero, &dims(shape), &dims(strides))));
    }
    for offset in [int(1), int(-1), int(6), int(huge), b"N".to_vec(), text("0")] {
        cases.push(case("offset forged", "tensor `w`", with(&offset, &six, &step)));
    }
    let strange = |says, value: Vec<u8>| case("tensors of what is none", says, one(value));
    let call = |class: Vec<u8>, args: &[u8]| [class.as_slice(), args, b"R"].concat();
    let rebuild = || global("torch._utils", "_rebuild_tensor_v2");
    cases.extend([
        strange("tensor `w`", call(rebuild(), b"(NK\x00)))t")),
        strange("tensor `w`", call(rebuild(), b"(K\x01t")),
        strange("tensor `w`", call(rebuild(), b")")),
        strange("tensor `w`", call(global("torch._utils", "_rebuild_parameter"), b")")),
        strange("tensor `w`", call(global("torch._tensor", "_rebuild_from_type_v2"), b"(NNNNt")),
        strange("tensor `w`", call(global("torch", "FloatTensor"), b"(K\x05t")),
        strange(
            "tensor `w`",
            call(rebuild(), &[b"((".as_slice(), &text("module"), b"NNNNtQK\x00))t"].concat()),
        ),
        strange("tensor `w`", {
            let class = global("collections", "OrderedDict");
            call(
                rebuild(),
                &[b"((".as_slice(), &text("storage"), &class, &text("0"), &text("cpu"), b"K\x06tQK\x00))t"]
                    .concat(),
            )
        }),
        strange("deep", {
            // Ten parameters around each other.
            let wrap = global("torch._utils", "_rebuild_parameter");
            let inner = vector("0", 6);
            let mut value = inner;
            for _ in 0..10 {
                value = [wrap.as_slice(), b"(", &value, b"\x89Nt", b"R"].concat();
            }
            value
        }),
    ]);
    // A few bytes of storage that claim to be terabytes by repeating themselves.
    for (shape, strides) in [
        (&[1 << 40][..], &[0][..]),
        (&[1 << 20, 1 << 20], &[0, 0]),
        (&[1 << 24, 6], &[0, 1]),
        (&[1 << 30, 2], &[0, 3]),
    ] {
        cases.push(case(
            "views that repeat their storage",
            "bytes in a file of",
            with(&zero, &dims(shape), &dims(strides)),
        ));
    }
    cases
}

fn legacy_files() -> Vec<Case> {
    let object = state(&[("w", vector("0", 6))]);
    let file = |keys: &[u8], storages: &[(i64, usize)]| legacy(&object, keys, storages);
    let mut cases = Vec::new();
    for (count, bytes) in [(7, 24), (5, 24), (-1, 24), (i64::MAX, 24), (6, 20), (6, 0)] {
        cases.push(case("storage size forged", "byte", file(&keys(&["0"]), &[(count, bytes)])));
    }
    let strange = |says, keys: &[u8]| case("storage keys forged", says, file(keys, &[(6, 24)]));
    cases.extend([
        strange("listed twice", &keys(&["0", "0"])),
        strange("no tensor uses", &keys(&["1"])),
        strange("not in the file", &keys(&[])),
        strange("not a list", b"\x80\x02}."),
        strange("not a list", b"\x80\x02N."),
        strange("storage key", b"\x80\x02](Ne."),
        strange("storage key", &[b"\x80\x02](".as_slice(), &text(&"9".repeat(1 << 20)), b"e."].concat()),
        // A megabyte of a key, named a million times.
        strange(
            "storage key",
            &[
                b"\x80\x02](".as_slice(),
                &text(&"9".repeat(1 << 20)),
                b"q\x00",
                &b"h\x00".repeat(1_000_000),
                b"e.",
            ]
            .concat(),
        ),
    ]);
    let whole = good_legacy();
    let with = |from: &[u8], to: &[u8]| {
        let at = whole.windows(from.len()).position(|w| w == from).unwrap();
        [&whole[..at], to, &whole[at + from.len()..]].concat()
    };
    cases.extend([
        case("legacy header forged", "1001", with(b"M\xe9\x03.", b"M\xea\x03.")),
        case("legacy header forged", "system", with(b"\x80\x02}.", b"\x80\x02N.")),
        case("legacy header forged", "bytes after", with(b"\x8a\nl\xfc", b"\x8a\nm\xfc")),
        case("bytes after the last storage", "bytes after", [whole.as_slice(), b"\0"].concat()),
        case("bytes after the last storage", "bytes after", [whole.as_slice(), &whole].concat()),
        case("bytes after the last storage", "bytes after", [whole.as_slice(), &[0; 4096]].concat()),
    ]);
    let same = |a: i64, b: i64| {
        let object = state(&[("w", vector("0", a)), ("v", vector("0", b))]);
        case("one storage of two sizes", "elsewhere", legacy(&object, &keys(&["0"]), &[(6, 24)]))
    };
    cases.extend([same(6, 3), same(3, 6), same(6, 1 << 40)]);
    cases
}

/// Small files whose values share one large part, so that looking at each on its own would take forever.
fn sharing() -> Vec<Case> {
    const MANY: usize = 400_000;
    let names = |many: usize, value: &[u8]| -> Vec<u8> {
        (0..many).flat_map(|i| [text(&format!("{i:x}")).as_slice(), value].concat()).collect()
    };
    // The shared part is put into the memo and taken off again.
    let few = |many: usize, first: Vec<u8>, value: &[u8]| {
        [b"\x80\x02".as_slice(), &first, b"q\x000}(", &names(many, value), b"u."].concat()
    };
    let around = |first: Vec<u8>, value: &[u8]| few(MANY, first, value);
    let tuple = [b"(".as_slice(), &b"N".repeat(MANY), b"t"].concat();
    let list = [b"](".as_slice(), &b"N".repeat(MANY), b"e"].concat();
    let long = text(&"x".repeat(4 << 20));
    let rebuild = [global("torch._utils", "_rebuild_tensor_v2").as_slice(), b"q\x01"].concat();
    let first = |shared: &[u8]| [rebuild.as_slice(), b"0", shared].concat();
    vec![
        // A million dicts that are one dict of many entries.
        case("one part shared by a million values", "holds no tensors", {
            around([b"}(".as_slice(), &names(MANY, b"N"), b"u"].concat(), b"h\x00")
        }),
        case("one part shared by a million values", "holds no tensors", {
            let class = [global("collections", "OrderedDict").as_slice(), b"q\x02"].concat();
            let pairs = [b"](".as_slice(), &b"NN\x86".repeat(100_000), b"e\x85"].concat();
            around([class.as_slice(), b"0", &pairs].concat(), b"h\x02h\x00R")
        }),
        case(
            "one part shared by a million values",
            "more than 262144 tensors",
            around(first(&tuple), b"h\x01h\x00R"),
        ),
        case(
            "one part shared by a million values",
            "more than 262144 tensors",
            around(first(&list), b"h\x01(Nh\x00h\x00h\x00tR"),
        ),
        case("one part shared by a million values", "more than 262144 tensors", {
            let sparse = [global("torch._utils", "_rebuild_sparse_tensor").as_slice(), b"q\x01"].concat();
            around([sparse.as_slice(), b"0", &tuple].concat(), b"h\x01h\x00R")
        }),
        case(
            "one part shared by a million values",
            "storage",
            few(
                100_000,
                first(&long),
                &[
                    b"h\x01((".as_slice(),
                    &text("storage"),
                    &global("torch", "FloatStorage"),
                    b"h\x00",
                    &text("cpu"),
                    b"K\x06tQK\x00)h\x00tR",
                ]
                .concat(),
            ),
        ),
        // One long name as a key again and again.
        case("one part shared by a million values", "holds no tensors", {
            let key = text(&"k".repeat(1 << 20));
            [b"\x80\x02".as_slice(), &key, b"q\x000}(", &b"h\x00N".repeat(MANY), b"u."].concat()
        }),
        case("one part shared by a million values", "holds", {
            let words: Vec<u8> = text(&"w".repeat(1 << 20));
            around(words, b"h\x00")
        }),
        // An array of a megabyte under many names is one storage, and too much to write.
        case("one part shared by a million values", "bytes in a file of", {
            let bytes = [b"B".as_slice(), &(1u32 << 20).to_le_bytes(), &vec![7; 1 << 20]].concat();
            let dtype = [global("numpy", "dtype").as_slice(), &text("f4"), b"\x89\x88\x87R"].concat();
            let array = [
                global("numpy.core.multiarray", "_reconstruct").as_slice(),
                &global("numpy", "ndarray"),
                b"K\x00\x85",
                &text("b"),
                b"\x87R(K\x01",
                &dims(&[1 << 18]),
                &dtype,
                b"\x89",
                &bytes,
                b"tb",
            ]
            .concat();
            few(2000, array, b"h\x00")
        }),
    ]
}

fn dicts() -> Vec<Case> {
    let strange = |says, bytes: Vec<u8>| case("state dicts that are none", says, bytes);
    vec![
        strange("a storage", [b"\x80\x02}K\x01".as_slice(), &vector("0", 6), b"s."].concat()),
        strange("holds no tensors", [b"\x80\x02}N".as_slice(), &vector("0", 6), b"s."].concat()),
        strange(
            "holds no tensors",
            [b"\x80\x02}X\x02\x00\x00\x00\xff\xfe".as_slice(), &vector("0", 6), b"s."].concat(),
        ),
        strange("list", pickle(b"]")),
        strange("int", pickle(b"K\x07")),
        strange("str", pickle(&text("weights"))),
        strange("storage", state(&[("w", vector("0", 6))])),
        strange("several state dicts", {
            let inner = |key| [b"}".as_slice(), &text("w"), &vector(key, 6), b"s"].concat();
            legacy(&state(&[("a", inner("0")), ("b", inner("1"))]), &keys(&["0", "1"]), &[(6, 24), (6, 24)])
        }),
    ]
}
