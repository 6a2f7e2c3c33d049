//! Conversion against the reference: every file of the corpus that torch and numpy wrote becomes, byte for
//! byte, what safetensors' own `save_file` made of the same tensors.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};

use serde_json::Value;
use zoo::Sha256;
use zoo::checkpoint::pickle::opcode::OPCODES;
use zoo::checkpoint::scan::{self, Answer};
use zoo::checkpoint::write::{self, Narrow, Output};
use zoo::checkpoint::{Checkpoint, Format, Options};
use zoo::error::{Class, Classify};
use zoo::nn::seeded::Seeded;
use zoo::nn::weights::Weights;

use crate::support::Home;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests")
}

fn golden(name: &str) -> Value {
    let path = root().join("golden/checkpoints").join(name);
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

/// The files of a packed golden.
pub(crate) fn unpacked(name: &str) -> BTreeMap<String, Vec<u8>> {
    crate::support::unpacked(&root().join("golden/checkpoints").join(name))
}

/// The whole corpus in a folder.
fn corpus() -> (tempfile::TempDir, Vec<Value>) {
    let folder = tempfile::tempdir().unwrap();
    for (name, bytes) in unpacked("corpus.tar.gz") {
        std::fs::write(folder.path().join(name), bytes).unwrap();
    }
    (folder, golden("golden.json")["files"].as_array().unwrap().clone())
}

fn options(row: &Value, mmap: bool) -> Options {
    Options { key: row["key"].as_str().map(str::to_owned), mmap, ..Options::default() }
}

fn converted(checkpoint: &Checkpoint, options: &write::Options) -> Sha256 {
    let mut bytes = Vec::new();
    write::safetensors(checkpoint, Path::new("out"), Output::Stream(&mut bytes), options).unwrap();
    Sha256::of(&bytes)
}

#[test]
fn every_checkpoint_converts_to_the_references_bytes() {
    let (folder, rows) = corpus();
    let mut wrong = Vec::new();
    let mut compared = 0;
    // Without tensors there is nothing to write, whatever `save_file` makes of it.
    for row in rows.iter().filter(|r| r["refused"].is_null() && r["tensors"] != 0) {
        let name = row["file"].as_str().unwrap();
        for mmap in [true, false] {
            let opened = Checkpoint::open_with(&folder.path().join(name), &options(row, mmap));
            let checkpoint = match opened {
                Ok(checkpoint) => checkpoint,
                Err(e) => {
                    wrong.push(format!("{name}: {e}"));
                    continue;
                }
            };
            let expected = match name {
                n if n.contains("jit") => Format::TorchScript,
                n if n.ends_with("-legacy.pth") => Format::TorchLegacy,
                n if n.starts_with("tar-") => Format::TorchTar,
                n if n.ends_with(".pth") => Format::TorchZip,
                n if n.ends_with(".pkl") => Format::Pickle,
                n if n.ends_with(".npz") => Format::Npz,
                n if n.ends_with(".npy") => Format::Npy,
                _ => Format::Safetensors,
            };
            assert_eq!(checkpoint.format(), expected, "{name}");
            // Neither what safetensors' file said of itself nor the order of tensors comes into it.
            let now = converted(&checkpoint, &write::Options::default()).to_string();
            if row["sha256"] != now || row["tensors"] != checkpoint.tensors().len() {
                let (tensors, details) = (checkpoint.tensors().len(), checkpoint.details());
                wrong.push(format!("{name}: {now}, {tensors} tensors, {details:?}"));
            }
            compared += 1;
        }
    }
    assert!(wrong.is_empty(), "{} of {compared} differ:\n{}", wrong.len(), wrong.join("\n"));
    assert!(compared >= 2 * 150, "only {compared}");
}

#[test]
fn what_no_dense_format_holds_is_refused_by_name() {
    let (folder, rows) = corpus();
    let mut refused = 0;
    // A pickled module of torch's own is what its state dict is: in tests/it/forms.rs.
    let is_module = |row: &Value| row["file"].as_str().unwrap().contains("whole-module");
    for row in rows.iter().filter(|r| (!r["refused"].is_null() || r["tensors"] == 0) && !is_module(r)) {
        let name = row["file"].as_str().unwrap();
        let word = row["refused"].as_str().unwrap_or("no tensors");
        let path = folder.path().join(name);
        let opened = Checkpoint::open(&path);
        let written = opened.and_then(|c| {
            let stream = &mut Vec::new();
            write::safetensors(&c, Path::new("out"), Output::Stream(stream), &write::Options::default())
        });
        let error = written.err().unwrap_or_else(|| panic!("{name} was converted"));
        assert_eq!(error.class(), Class::BadInput, "{name}: {error}");
        assert!(error.to_string().contains(word), "{name}: {error}");
        refused += 1;
    }
    assert!(refused >= 20, "only {refused}");
}

#[test]
fn narrower_and_tied_forms_are_the_references_too() {
    let (folder, rows) = corpus();
    let mut compared = 0;
    for row in &rows {
        let path = folder.path().join(row["file"].as_str().unwrap());
        let plain = write::Options::default();
        let forms = [
            ("f16", write::Options { narrow: Some(Narrow::F16), ..plain.clone() }),
            ("bf16", write::Options { narrow: Some(Narrow::BF16), ..plain.clone() }),
            ("deduped", write::Options { dedupe: true, metadata: BTreeMap::new(), ..plain.clone() }),
        ];
        for (form, options) in forms.iter().filter(|(form, _)| !row[form].is_null()) {
            let checkpoint = Checkpoint::open(&path).unwrap();
            let now = converted(&checkpoint, options).to_string();
            assert_eq!(row[form], now, "{}: {form}", path.display());
            compared += 1;
        }
    }
    assert!(compared >= 6, "only {compared}");
}

#[test]
fn nothing_torch_writes_is_called_dangerous() {
    let (folder, rows) = corpus();
    for row in &rows {
        let name = row["file"].as_str().unwrap();
        let found = scan::scan(&folder.path().join(name)).unwrap();
        assert_eq!(found.answer, Answer::Known, "{name}: {found:?}");
    }
}

#[test]
fn the_machine_knows_every_opcode_of_the_corpus() {
    let golden = golden("golden.json");
    let seen: Vec<&str> = golden["opcodes"].as_array().unwrap().iter().map(|o| o.as_str().unwrap()).collect();
    let unknown: Vec<_> = seen.iter().filter(|name| !OPCODES.iter().any(|o| o.name == **name)).collect();
    assert!(unknown.is_empty(), "{unknown:?}");
    // All protocols are there, so nearly all opcodes are: what is left are forms no pickler of today writes.
    assert!(seen.len() >= 50, "only {seen:?}");
}

#[test]
fn the_corpus_is_what_its_scripts_make() {
    let golden = golden("golden.json");
    for (script, sha256) in golden["helpers_sha256"].as_object().unwrap() {
        let now = Sha256::of(&std::fs::read(root().join("oracle").join(script)).unwrap());
        assert_eq!(sha256.as_str().unwrap(), now.to_string(), "{script} changed: make the corpus again");
    }
    let names: Vec<_> =
        golden["files"].as_array().unwrap().iter().map(|r| r["file"].as_str().unwrap()).collect();
    for (kind, least) in [("torch113-", 10), ("tar-", 6), ("jit-", 4), ("numpy", 20), ("protocol", 20)] {
        let count = names.iter().filter(|n| n.starts_with(kind)).count();
        assert!(count >= least, "{kind}: {count}");
    }
}

#[test]
fn the_binary_writes_the_same_and_leaves_nothing_beside_it() {
    let (folder, rows) = corpus();
    for name in
        ["fifty-kilobytes-legacy.pth", "fifty-kilobytes-zip.pth", "tar-protocol2.pth", "numpy-deflated.npz"]
    {
        let row = rows.iter().find(|r| r["file"] == name).unwrap();
        let home = Home::new();
        home.write(name, std::fs::read(folder.path().join(name)).unwrap());
        let ran = home.run(&["convert", name, "-o", "out.safetensors", "--sha256", "--json"]);
        assert_eq!(ran.code, Some(0), "{name}: {ran:?}");
        let written = Sha256::of(&std::fs::read(home.path("out.safetensors")).unwrap()).to_string();
        assert_eq!(row["sha256"], written, "{name}");
        let said: Value = serde_json::from_str(&ran.out).unwrap();
        assert_eq!(said["sha256"], written, "{name}");
        assert_eq!(std::fs::read_dir(home.path("")).unwrap().count(), 2);
    }
}

/// A file of the seeded golden, whole: its frame with the stand-in weights put in where they belong.
fn assemble(row: &Value, frame: &[u8], to: &Path) {
    let graph = zoo::arch::build(row["arch"].as_str().unwrap(), 1000).unwrap();
    let seeded = Seeded::new(&graph, 0);
    let mut out = std::io::BufWriter::new(std::fs::File::create(to).unwrap());
    let (mut rest, mut at) = (frame, 0u64);
    for place in row["storages"].as_str().unwrap().split(' ') {
        let (name, start) = place.split_once('@').unwrap();
        let (head, tail) = rest.split_at((start.parse::<u64>().unwrap() - at) as usize);
        out.write_all(head).unwrap();
        let view = seeded.get(name).unwrap();
        let bytes: Vec<u8> = match name.ends_with("num_batches_tracked") {
            true => 0i64.to_le_bytes().to_vec(),
            false => view.values.iter().flat_map(|v| v.to_le_bytes()).collect(),
        };
        out.write_all(&bytes).unwrap();
        at += (head.len() + bytes.len()) as u64;
        rest = tail;
    }
    out.write_all(rest).unwrap();
    out.into_inner().unwrap();
    assert_eq!(
        row["file_sha256"],
        zoo::fs::sha256(to).unwrap().0.to_string(),
        "{}: not torch's file",
        row["frame"]
    );
}

#[test]
fn whole_noisy_student_checkpoints_convert_to_the_references_bytes() {
    let golden = golden("seeded.json");
    let frames = unpacked("seeded.tar.gz");
    for row in golden["files"].as_array().unwrap() {
        let home = Home::new();
        let frame = row["frame"].as_str().unwrap();
        assemble(row, &frames[frame], &home.path("x.pth"));
        let ran = home.run(&["convert", "x.pth"]);
        assert_eq!(ran.code, Some(0), "{frame}: {ran:?}");
        let converted = zoo::fs::sha256(&home.path("x.safetensors")).unwrap().0;
        assert_eq!(row["sha256"], converted.to_string(), "{frame}");
    }
    assert_eq!(golden["files"].as_array().unwrap().len(), 4);
}

#[test]
fn a_real_checkpoint_of_another_network_or_cut_short_is_refused() {
    let golden = golden("seeded.json");
    let frames = unpacked("seeded.tar.gz");
    for row in golden["files"].as_array().unwrap().iter().take(2) {
        let home = Home::new();
        let frame = row["frame"].as_str().unwrap();
        assemble(row, &frames[frame], &home.path("x.pth"));
        let fits = home.run(&["convert", "x.pth", "-o", "y.safetensors", "--arch", "tf_efficientnet_b0"]);
        assert_eq!(fits.code, Some(0), "{frame}: {fits:?}");
        let other = home.run(&["convert", "x.pth", "-o", "z.safetensors", "--arch", "tf_efficientnet_b4"]);
        assert_eq!(other.code, Some(3), "{frame}: {other:?}");
        assert!(
            other.err.contains("`conv_stem.weight` has shape [32, 3, 3, 3], expected [48, 3, 3, 3]"),
            "{}",
            other.err
        );
        let file = std::fs::OpenOptions::new().write(true).open(home.path("x.pth")).unwrap();
        let len = file.metadata().unwrap().len();
        for cut in [len - 1, len / 2, 4096] {
            file.set_len(cut).unwrap();
            let ran = home.run(&["convert", "x.pth", "-o", "z.safetensors"]);
            assert_eq!(ran.code, Some(3), "{frame}: {ran:?}");
            assert!(ran.err.contains("x.pth`, byte"), "{frame}: {}", ran.err);
        }
        assert!(!home.path("z.safetensors").exists());
    }
}

/// torch takes a tensor's `{"neg": False}` for a negated one: it looks for the key alone.
#[test]
fn a_tensor_is_negated_wherever_the_key_is() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/regressions/neg-flag-that-is-false.pth");
    let checkpoint = Checkpoint::open(&path).unwrap();
    let values = |name: &str| -> Vec<f32> {
        let tensor = checkpoint.tensors().iter().find(|t| t.name == name).unwrap();
        let mut bytes = Vec::new();
        checkpoint
            .stream(tensor, &mut |some| {
                bytes.extend_from_slice(some);
                Ok(())
            })
            .unwrap();
        bytes.chunks_exact(4).map(|b| f32::from_le_bytes(b.try_into().unwrap())).collect()
    };
    // torch.load(FILE, weights_only=True)["negated"].resolve_neg().flatten()[:2], and "imag", which it is a view of.
    assert_eq!(values("negated")[..2], [-1.169_928_9, -0.040_966_984]);
    assert_eq!(values("imag"), values("negated").iter().map(|v| -v).collect::<Vec<_>>());
}

/// torch leaves the memory of such a member as it was, so that each `torch.load` gives other values.
#[test]
fn a_member_with_bytes_that_is_marked_as_a_folder_is_refused() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/regressions/member-marked-as-a-folder.pth");
    let error = Checkpoint::open(&path).map(drop).unwrap_err();
    assert_eq!(error.class(), Class::BadInput);
    assert!(error.to_string().contains("16 bytes that is marked as a folder"), "{error}");
}
