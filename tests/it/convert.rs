//! The writer's forms beyond plain safetensors, `diff`, and `inspect` from afar.

use std::path::Path;

use zoo::checkpoint::Checkpoint;

use crate::hostile::build;
use crate::support::{Home, Reply, Server};

/// A safetensors file of float32 tensors.
fn safetensors(path: &Path, tensors: &[(&str, &[usize], Vec<f32>)]) {
    let bytes: Vec<Vec<u8>> =
        tensors.iter().map(|(.., v)| v.iter().flat_map(|x| x.to_le_bytes()).collect()).collect();
    let views = tensors.iter().zip(&bytes).map(|((name, shape, _), bytes)| {
        let view = safetensors::tensor::TensorView::new(safetensors::Dtype::F32, shape.to_vec(), bytes);
        (*name, view.unwrap())
    });
    std::fs::write(path, safetensors::serialize(views, None).unwrap()).unwrap();
}

fn ramp(n: usize) -> Vec<f32> {
    (0..n).map(|i| i as f32 * 0.37 - 3.0).collect()
}

#[test]
fn safetensors_to_pth_and_back_are_the_same_tensors() {
    let home = Home::new();
    let tensors =
        [("a.weight", &[30, 40][..], ramp(1200)), ("b", &[][..], vec![1.5]), ("none", &[0, 3][..], vec![])];
    safetensors(&home.path("x.safetensors"), &tensors);
    let to = home.run(&["convert", "x.safetensors", "y.pth"]);
    assert_eq!(to.code, Some(0), "{to:?}");
    let back = home.run(&["convert", "y.pth", "z.safetensors"]);
    assert_eq!(back.code, Some(0), "{back:?}");
    let diff = home.run(&["diff", "x.safetensors", "y.pth", "--json"]);
    assert_eq!(diff.code, Some(0), "{diff:?}");
    let value: serde_json::Value = serde_json::from_str(&diff.out).unwrap();
    assert_eq!(value["equal"], true);
    let again = home.run(&["convert", "x.safetensors", "y2.pth"]);
    assert_eq!(again.code, Some(0));
    assert_eq!(std::fs::read(home.path("y.pth")).unwrap(), std::fs::read(home.path("y2.pth")).unwrap());
    // Refused before anything is read or written.
    for args in
        [&["convert", "x.safetensors", "y.pth"][..], &["convert", "x.safetensors", "q.pth", "--dedupe"]]
    {
        assert_eq!(home.run(args).code, Some(2), "{args:?}");
    }
}

#[test]
fn narrowing_reports_what_overflowed() {
    let home = Home::new();
    safetensors(
        &home.path("x.safetensors"),
        &[("big", &[3], vec![1e6, 1.0, -1e6]), ("ok", &[2], vec![0.5, 2.0])],
    );
    let ran = home.run(&["convert", "x.safetensors", "h.safetensors", "--dtype", "f16", "--json"]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let value: serde_json::Value = serde_json::from_str(&ran.out).unwrap();
    assert_eq!(value["overflowed"], serde_json::json!([{"name": "big", "values": 2}]));
    let out = Checkpoint::open(&home.path("h.safetensors")).unwrap();
    assert_eq!(out.bytes(out.tensor("ok").unwrap()).unwrap().as_ref(), [0x00, 0x38, 0x00, 0x40]);
}

#[test]
fn shards_hold_the_tensors_of_the_whole_and_an_index() {
    let home = Home::new();
    let names = ["a", "b", "c", "d"];
    let tensors: Vec<_> = names.iter().map(|&n| (n, &[1000][..], ramp(1000))).collect();
    safetensors(&home.path("x.safetensors"), &tensors);
    let ran = home.run(&["convert", "x.safetensors", "y.safetensors", "--shard", "9kB"]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let index = std::fs::read(home.path("y.safetensors.index.json")).unwrap();
    let index: serde_json::Value = serde_json::from_slice(&index).unwrap();
    assert_eq!(index["metadata"]["total_size"], 16_000);
    for (name, file) in [("a", 1), ("b", 1), ("c", 2), ("d", 2)] {
        let file = format!("y-{file:05}-of-00002.safetensors");
        assert_eq!(index["weight_map"][name], file.as_str());
        let shard = Checkpoint::open(&home.path(&file)).unwrap();
        assert!(shard.tensor(name).is_some());
    }
}

#[test]
fn hashes_on_the_way_are_those_of_the_result() {
    let home = Home::new();
    // Large enough that without hashes the kernel would copy it.
    safetensors(&home.path("x.safetensors"), &[("w", &[600, 1000], ramp(600_000)), ("s", &[3], ramp(3))]);
    let hashed = home.run(&["convert", "x.safetensors", "a.safetensors", "--sha256", "--json"]);
    let plain = home.run(&["convert", "x.safetensors", "b.safetensors"]);
    assert_eq!((hashed.code, plain.code), (Some(0), Some(0)), "{hashed:?} {plain:?}");
    let bytes = std::fs::read(home.path("a.safetensors")).unwrap();
    assert_eq!(bytes, std::fs::read(home.path("b.safetensors")).unwrap());
    let value: serde_json::Value = serde_json::from_str(&hashed.out).unwrap();
    assert_eq!(value["sha256"], zoo::Sha256::of(&bytes).to_string());
    let inspect = home.run(&["inspect", "a.safetensors", "--sha256", "--json"]);
    let inspected: serde_json::Value = serde_json::from_str(&inspect.out).unwrap();
    assert_eq!(value["tensors_sha256"], inspected["tensors_sha256"]);
}

#[test]
fn a_flipped_bit_in_a_stored_member_is_caught_by_its_checksum() {
    let home = Home::new();
    safetensors(&home.path("x.safetensors"), &[("w", &[600, 1000], ramp(600_000))]);
    assert_eq!(home.run(&["convert", "x.safetensors", "y.pth"]).code, Some(0));
    let mut bytes = std::fs::read(home.path("y.pth")).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(home.path("y.pth"), bytes).unwrap();
    let ran = home.run(&["convert", "y.pth", "z.safetensors"]);
    assert_eq!(ran.code, Some(3), "{ran:?}");
    assert!(ran.err.contains("CRC-32"), "{}", ran.err);
    assert!(!home.path("z.safetensors").exists());
    let left: Vec<_> = std::fs::read_dir(home.path("")).unwrap().collect();
    assert_eq!(left.len(), 2, "nothing half-written is left");
}

#[test]
fn diff_says_what_differs_and_by_how_much() {
    let home = Home::new();
    let mut moved = ramp(10);
    moved[3] = f32::from_bits(moved[3].to_bits() + 2);
    let a = [
        ("same", &[10][..], ramp(10)),
        ("moved", &[10][..], ramp(10)),
        ("shape", &[6][..], ramp(6)),
        ("gone", &[1][..], ramp(1)),
    ];
    let b = [
        ("same", &[10][..], ramp(10)),
        ("moved", &[10][..], moved),
        ("shape", &[2, 3][..], ramp(6)),
        ("new", &[1][..], ramp(1)),
    ];
    safetensors(&home.path("a.safetensors"), &a);
    safetensors(&home.path("b.safetensors"), &b);
    let ran = home.run(&["diff", "a.safetensors", "b.safetensors", "--json"]);
    assert_eq!(ran.code, Some(1), "{ran:?}");
    let value: serde_json::Value = serde_json::from_str(&ran.out).unwrap();
    assert_eq!(
        (&value["only_a"], &value["only_b"]),
        (&serde_json::json!(["gone"]), &serde_json::json!(["new"]))
    );
    let different = value["different"].as_array().unwrap();
    let moved = different.iter().find(|d| d["name"] == "moved").unwrap();
    assert_eq!((&moved["what"], &moved["max_ulp"]), (&"values".into(), &2.into()));
    assert!(moved["max_abs"].as_f64().unwrap() > 0.0);
    let shape = different.iter().find(|d| d["name"] == "shape").unwrap();
    assert_eq!((&shape["what"], &shape["max_ulp"]), (&"shape".into(), &serde_json::Value::Null));
    assert_eq!(different.len(), 2);
}

#[test]
fn a_table_from_afar_is_that_of_the_local_file_for_little_traffic() {
    let home = Home::new();
    let tensors: Vec<_> = (0..60).map(|i| (format!("blocks.{i}.weight"), ramp(100_000))).collect();
    let views: Vec<_> = tensors.iter().map(|(n, v)| (n.as_str(), &[100, 1000][..], v.clone())).collect();
    safetensors(&home.path("x.safetensors"), &views);
    assert_eq!(home.run(&["convert", "x.safetensors", "x.pth"]).code, Some(0));
    for name in ["x.safetensors", "x.pth"] {
        let bytes = std::fs::read(home.path(name)).unwrap();
        assert!(bytes.len() > 24_000_000);
        let server = Server::start(move |asked| Reply::file(asked, &bytes, "\"v\""));
        let local = home.run(&["inspect", name]);
        let far = home.run(&["inspect", &format!("{}/{name}", server.url)]);
        assert_eq!((local.code, far.code), (Some(0), Some(0)), "{far:?}");
        assert_eq!(local.out, far.out);
        let ranges: Vec<_> = server.asked().iter().map(|a| a.header("range").unwrap().to_owned()).collect();
        let sizes = ranges.iter().map(|r| {
            let (start, end) = r.strip_prefix("bytes=").unwrap().split_once('-').unwrap();
            end.parse::<usize>().unwrap() - start.parse::<usize>().unwrap() + 1
        });
        assert!(sizes.sum::<usize>() < 1_000_000 && ranges.len() <= 6, "{ranges:?}");
        let hashed = home.run(&["inspect", &format!("{}/{name}", server.url), "--sha256"]);
        assert_eq!(hashed.code, Some(2), "{hashed:?}");
    }
    // A server that knows no ranges.
    let server = Server::start(|_| Reply::new(200, vec![0; 9 << 20]));
    let whole = home.run(&["inspect", &format!("{}/x.pth", server.url)]);
    assert_eq!(whole.code, Some(4), "{whole:?}");
}

/// Both of torch's formats at the size of a large network. The legacy file is sparse: its bytes are not asked for.
#[test]
fn a_file_of_270_mb_from_afar_costs_less_than_a_megabyte() {
    use std::io::{Seek, SeekFrom, Write};
    const TENSORS: usize = 60;
    const ELEMENTS: usize = 1_125_000;
    let home = Home::new();
    let name = |i: usize| format!("blocks.{i}.weight");

    let entries: Vec<_> =
        (0..TENSORS).map(|i| (name(i), build::vector(&i.to_string(), ELEMENTS as i64))).collect();
    let entries: Vec<_> = entries.iter().map(|(name, value)| (name.as_str(), value.clone())).collect();
    let keys: Vec<String> = (0..TENSORS).map(|i| i.to_string()).collect();
    let keys = build::keys(&keys.iter().map(String::as_str).collect::<Vec<_>>());
    let front = build::legacy(&build::state(&entries), &keys, &[]);
    let mut file = std::fs::File::create(home.path("legacy.pth")).unwrap();
    file.write_all(&front).unwrap();
    for _ in 0..TENSORS {
        file.write_all(&(ELEMENTS as i64).to_le_bytes()).unwrap();
        file.seek(SeekFrom::Current(4 * ELEMENTS as i64)).unwrap();
    }
    let len = file.stream_position().unwrap();
    file.set_len(len).unwrap();

    let zeros = vec![0u8; 4 * ELEMENTS];
    let views = (0..TENSORS).map(|i| {
        let view = safetensors::tensor::TensorView::new(safetensors::Dtype::F32, vec![ELEMENTS], &zeros);
        (name(i), view.unwrap())
    });
    safetensors::serialize_to_file(views, None, &home.path("x.safetensors")).unwrap();
    assert_eq!(home.run(&["convert", "x.safetensors", "zip.pth"]).code, Some(0));

    for file in ["legacy.pth", "zip.pth"] {
        let bytes = std::fs::read(home.path(file)).unwrap();
        assert!(bytes.len() >= 270_000_000, "{}", bytes.len());
        let server = Server::start(move |asked| Reply::file(asked, &bytes, "\"v\""));
        let local = home.run(&["inspect", file]);
        let far = home.run(&["inspect", &format!("{}/{file}", server.url)]);
        assert_eq!((local.code, far.code), (Some(0), Some(0)), "{far:?}");
        assert_eq!(local.out, far.out, "{file}");
        assert!(far.out.contains("blocks.59.weight") && far.out.contains("1125000"), "{}", far.out);
        let asked = server.asked();
        let sizes = asked.iter().map(|a| {
            let (start, end) =
                a.header("range").unwrap().strip_prefix("bytes=").unwrap().split_once('-').unwrap();
            end.parse::<usize>().unwrap() - start.parse::<usize>().unwrap() + 1
        });
        let total: usize = sizes.sum();
        assert!(total < 1_000_000 && asked.len() <= 6, "{file}: {total} bytes in {} requests", asked.len());
    }
}

#[test]
fn inspect_shows_figures_trees_and_sizes() {
    let home = Home::new();
    safetensors(
        &home.path("x.safetensors"),
        &[("a.b.w", &[4], vec![-1.0, 0.0, f32::NAN, 3.0]), ("a.c", &[2], ramp(2))],
    );
    let stats = home.run(&["inspect", "x.safetensors", "--stats", "--hist", "--json"]);
    let value: serde_json::Value = serde_json::from_str(&stats.out).unwrap();
    let w = value["tensors"].as_array().unwrap().iter().find(|t| t["name"] == "a.b.w").unwrap();
    assert_eq!(
        (&w["stats"]["min"], &w["stats"]["max"], &w["stats"]["nan"]),
        (&(-1.0).into(), &3.0.into(), &1.into())
    );
    assert_eq!(w["histogram"].as_array().unwrap().iter().map(|n| n.as_u64().unwrap()).sum::<u64>(), 3);
    let tree = home.run(&["inspect", "x.safetensors", "--tree"]);
    assert!(
        tree.out.contains("a  2 tensors, 6 elements") && tree.out.contains("    w  F32 [4]"),
        "{}",
        tree.out
    );
    let sizes = home.run(&["inspect", "x.safetensors", "--sizes", "1"]);
    assert!(sizes.out.starts_with("a  2 tensors, 6 elements, 24 B\n"), "{}", sizes.out);
    let missing = home.run(&["inspect", "no/such.pth"]);
    assert_eq!(missing.code, Some(3), "{missing:?}");
}

/// Zeros for every weight of an architecture, as a training framework names them.
fn zeros(home: &Home, file: &str, arch: &str, classes: usize, prefixes: &[&str], more: &[(&str, &[usize])]) {
    let graph = zoo::arch::build(arch, classes).unwrap();
    let own = prefixes
        .iter()
        .flat_map(|p| graph.weights.iter().map(move |w| (format!("{p}{}", w.name), w.shape.clone())));
    let more = more.iter().map(|(name, shape)| ((*name).to_owned(), shape.to_vec()));
    let all: Vec<(String, Vec<usize>)> = own.chain(more).collect();
    let bytes = vec![0u8; 4 * all.iter().map(|(_, s)| s.iter().product::<usize>()).max().unwrap()];
    let views = all.iter().map(|(name, shape)| {
        let bytes = &bytes[..4 * shape.iter().product::<usize>()];
        (
            name.as_str(),
            safetensors::tensor::TensorView::new(safetensors::Dtype::F32, shape.clone(), bytes).unwrap(),
        )
    });
    std::fs::write(home.path(file), safetensors::serialize(views, None).unwrap()).unwrap();
}

#[test]
fn a_frameworks_prefix_is_cut_off_or_the_rules_are_told_that_do_it() {
    let home = Home::new();
    let arch = ["--arch", "dla46x_c", "-o", "out.safetensors", "--force"];
    let convert = |file: &str, more: &[&str]| home.run(&[&["convert", file], &arch[..], more].concat());
    zeros(&home, "model.safetensors", "dla46x_c", 1000, &["model."], &[]);
    let ran = convert("model.safetensors", &[]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert!(ran.err.contains("`model.` cut off every name"), "{}", ran.err);

    // Averaged copies and metrics beside them: the hint's rules, as they are printed, make it convert.
    zeros(
        &home,
        "ema.safetensors",
        "dla46x_c",
        1000,
        &["model.", "ema.module."],
        &[("val.acc", &[2]), ("step", &[])],
    );
    let ran = convert("ema.safetensors", &[]);
    assert_eq!(ran.code, Some(3), "{ran:?}");
    assert!(
        ran.err.contains("under `") && ran.err.contains("`model.`") && ran.err.contains("`ema.module.`"),
        "{}",
        ran.err
    );
    let rules: Vec<&str> =
        ran.err.lines().map(str::trim).filter(|l| l.starts_with('!') || l.starts_with('^')).collect();
    assert!(rules.len() >= 4, "{}", ran.err);
    home.write("rules", rules.join("\n"));
    let ran = convert("ema.safetensors", &["--rename", "rules", "--json"]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let said: serde_json::Value = serde_json::from_str(&ran.out).unwrap();
    let kept = said["tensors"].as_u64().unwrap() as usize;
    assert_eq!(said["dropped"].as_array().unwrap().len(), kept + 2);
}

#[test]
fn another_number_of_classes_is_said() {
    let home = Home::new();
    zeros(&home, "ten.safetensors", "dla46x_c", 10, &[""], &[]);
    let ran = home.run(&["convert", "ten.safetensors", "-o", "out.safetensors", "--arch", "dla46x_c"]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert!(ran.err.contains("with a classifier of 10 classes"), "{}", ran.err);
}

#[test]
fn six_bit_floats_are_counted_in_bits_and_complex_ones_compared() {
    let home = Home::new();
    let file = |name: &str, header: &str, data: &[u8]| {
        let mut bytes = build::safe(header, 0);
        bytes.extend_from_slice(data);
        home.write(name, bytes);
    };
    let six = r#"{"a":{"dtype":"F6_E2M3","shape":[2,4],"data_offsets":[0,6]},"b":{"dtype":"F4","shape":[4],"data_offsets":[6,8]}}"#;
    file("six.safetensors", six, &[1, 2, 3, 4, 5, 6, 7, 8]);
    let ran = home.run(&["inspect", "six.safetensors", "--json"]);
    let said: serde_json::Value = serde_json::from_str(&ran.out).unwrap();
    assert_eq!((&said["tensors"][0]["bytes"], &said["bytes"]), (&6.into(), &8.into()), "{ran:?}");
    assert_eq!(home.run(&["convert", "six.safetensors", "-o", "out.safetensors"]).code, Some(0));
    let diff = home.run(&["diff", "six.safetensors", "out.safetensors"]);
    assert_eq!(diff.code, Some(0), "{diff:?}");

    let complex = |re: f32, im: f32| [re.to_le_bytes(), im.to_le_bytes()].concat();
    let header = r#"{"z":{"dtype":"C64","shape":[1],"data_offsets":[0,8]},"e":{"dtype":"F8_E4M3","shape":[1],"data_offsets":[8,9]}}"#;
    file("one.safetensors", header, &[complex(1.0, 2.0), vec![0x38]].concat());
    file("two.safetensors", header, &[complex(4.0, 6.0), vec![0x39]].concat());
    let diff = home.run(&["diff", "one.safetensors", "two.safetensors", "--json"]);
    let said: serde_json::Value = serde_json::from_str(&diff.out).unwrap();
    let of = |name: &str| {
        said["different"].as_array().unwrap().iter().find(|d| d["name"] == name).unwrap().clone()
    };
    assert_eq!(of("z")["max_abs"], 5.0);
    assert_eq!((&of("e")["max_abs"], &of("e")["max_ulp"]), (&0.125.into(), &1.into()));
}

#[test]
fn man_pages_and_completions_come_from_the_command_table() {
    let home = Home::new();
    let ran = home.run(&["man", "pages"]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    for page in ["zoo.1", "zoo-fetch.1", "zoo-cache-gc.1"] {
        assert!(home.path("pages").join(page).is_file(), "{page}: {}", ran.out);
    }
    let script = home.run(&["completions", "bash"]);
    assert!(script.out.contains("convert") && script.out.contains("--mirror-layout"));
}
