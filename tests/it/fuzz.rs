//! A fuzz target a reader, with bolero: files of the corpus and of the hostile set, changed at random, must be read
//! or refused. What is read must convert to a file that safetensors' own code reads back with the same bytes.
//! Containers with checksums are put together again after the change, so that it reaches what is inside.
//!
//! Each runs for a moment in every test run; `fuzz/README.md` says how to run them for hours.

use std::io::Read;
use std::path::Path;

use bolero::check;
use zoo::checkpoint::pickle::{Limits, Machine};
use zoo::checkpoint::write::{self, Output};
use zoo::checkpoint::{Checkpoint, Error, Options, scan};
use zoo::error::{Class, Classify};

use crate::checkpoints::unpacked;
use crate::hostile::{build, files};
use crate::scans::golden_files;

/// A seed's number, and edits: what, where, with what.
type Input = (u16, Vec<(u8, u32, u64)>);

/// The forms that people have (`checkpoint_forms.py`), those of a kind under its name: `form-zip/NAME`.
fn forms() -> impl Iterator<Item = (String, Vec<u8>)> {
    let kind = |bytes: &[u8]| if bytes.starts_with(b"PK") { "zip" } else { "other" };
    let named = move |(name, bytes): (String, Vec<u8>)| (format!("form-{}/{name}", kind(&bytes)), bytes);
    unpacked("forms.tar.gz").into_iter().map(named)
}

/// Files to begin with: small ones whose name fits.
fn seeds(fits: impl Fn(&str) -> bool) -> Vec<Vec<u8>> {
    const LARGEST: usize = 24 << 10;
    let corpus = unpacked("corpus.tar.gz").into_iter().chain(forms()).chain(golden_files());
    let hostile = files().into_iter().map(|(name, bytes)| (name, bytes.to_vec()));
    let all = corpus.chain(hostile).filter(|(name, bytes)| bytes.len() <= LARGEST && fits(name));
    let seeds: Vec<_> = all.map(|(_, bytes)| bytes).collect();
    assert!(seeds.len() >= 4, "{}", seeds.len());
    seeds
}

/// Numbers at which readers go wrong.
const EDGES: [u64; 12] =
    [0, 1, 0x7f, 0x80, 0xff, 0x7fff, 0xffff, 0x7fff_ffff, 0xffff_ffff, 1 << 40, i64::MAX as u64, u64::MAX];

/// Opcodes that move the stack.
const OPCODES: &[u8] = b"(0123tReoubaq\x85\x86\x87\x93\x94}].";

fn changed(seeds: &[Vec<u8>], input: &Input) -> Vec<u8> {
    let mut bytes = seeds[usize::from(input.0) % seeds.len()].clone();
    for &(what, place, with) in input.1.iter().take(16) {
        let at = place as usize % (bytes.len() + 1);
        let edge = EDGES[with as usize % EDGES.len()].to_le_bytes();
        let len = bytes.len();
        let mut put = |from: &[u8]| {
            for (i, byte) in from.iter().enumerate() {
                if let Some(slot) = bytes.get_mut(at + i) {
                    *slot = *byte;
                }
            }
        };
        match what % 12 {
            0 => put(&[with as u8]),
            1 => {
                if let Some(byte) = bytes.get_mut(at) {
                    *byte ^= 1 << (with % 8);
                }
            }
            2 => put(&edge[..2]),
            3 => put(&edge[..4]),
            4 => put(&edge),
            5 => drop(bytes.splice(at..at, with.to_le_bytes())),
            6 => drop(bytes.drain(at..(at + with as usize % 64).min(len))),
            7 => bytes.truncate(at),
            8 => {
                let copy = bytes[at..(at + with as usize % 256).min(len)].to_vec();
                bytes.splice(at..at, copy);
            }
            9 => {
                // A piece of another seed.
                let other = &seeds[with as usize % seeds.len()];
                let from = (with >> 16) as usize % (other.len() + 1);
                let piece = &other[from..(from + (with >> 40) as usize % 512).min(other.len())];
                bytes.splice(at..at, piece.iter().copied());
            }
            10 => drop(bytes.splice(at..at, [OPCODES[with as usize % OPCODES.len()]])),
            _ => {
                // Exchange of two pieces.
                let other = (with as usize) % (len + 1);
                let n = 16.min(len - at.max(other));
                for i in 0..n {
                    bytes.swap(at + i, other + i);
                }
            }
        }
    }
    bytes
}

/// Reads, scans and converts.
fn survives(bytes: &[u8], allow_opaque: bool) {
    let name = Path::new("fuzzed");
    let options = Options { allow_opaque, ..Options::default() };
    let opened = Checkpoint::from_source(name, Box::new(bytes.to_vec()), &options);
    let scanned = scan::scan_source(name, Box::new(bytes.to_vec()));
    let known = matches!(&scanned, Ok(found) if found.answer == scan::Answer::Known);
    let checkpoint = match opened {
        Ok(checkpoint) => checkpoint,
        Err(e) => {
            assert!(matches!(e.class(), Class::BadInput), "{e:?}");
            assert!(e.to_string().len() < 20_000, "{} characters", e.to_string().len());
            // One file has one verdict.
            let of_code = matches!(e, Error::Code { .. } | Error::Unscanned { .. });
            assert!(!(of_code && known), "known to `scan`: {e}");
            return;
        }
    };
    let found = scanned.expect("what opens can be scanned");
    if !allow_opaque {
        assert_eq!(found.answer, scan::Answer::Known, "{found:?}");
    }
    // Larger ones are allowed by what the file holds, and only slow here.
    if checkpoint.tensors().iter().map(|t| t.nbytes()).sum::<usize>() > 4 << 20 {
        return;
    }
    let mut out = Vec::new();
    match write::safetensors(&checkpoint, name, Output::Stream(&mut out), &write::Options::default()) {
        Err(e) => assert!(matches!(e.class(), Class::BadInput), "{e:?}"),
        Ok(written) => {
            let read =
                safetensors::SafeTensors::deserialize(&out).expect("the reference reads what was written");
            assert_eq!(read.len(), checkpoint.tensors().len());
            for tensor in checkpoint.tensors() {
                let view = read.tensor(&tensor.name).unwrap();
                assert_eq!(view.shape(), tensor.shape);
                assert_eq!(view.data(), checkpoint.bytes(tensor).unwrap().as_ref(), "{}", tensor.name);
            }
            assert_eq!(written.bytes, out.len() as u64);
        }
    }
}

fn fuzz(seeds: &[Vec<u8>], whole: impl Fn(Vec<u8>) -> Vec<u8> + std::panic::RefUnwindSafe) {
    check!().with_type::<Input>().for_each(|input| {
        survives(&whole(changed(seeds, input)), input.0 & 0x8000 != 0);
    });
}

#[test]
fn legacy() {
    fuzz(&seeds(|n| n.ends_with("-legacy.pth")), |bytes| bytes);
}

#[test]
fn pickles() {
    let seeds = seeds(|n| {
        [".pkl", ".pdparams"].iter().any(|e| n.ends_with(e))
            || (n.ends_with(".pth") && !n.contains("zip") && !n.starts_with("tar"))
    });
    check!().with_type::<Input>().for_each(|input| {
        let bytes = changed(&seeds, input);
        let mut machine = Machine::new(&bytes, 0, Limits::default());
        let root = machine.run();
        let work = machine.work();
        assert!(work.opcodes as usize <= bytes.len() && work.values <= 2 * bytes.len() + 4, "{work:?}");
        assert!(work.links <= 3 * bytes.len(), "{work:?}");
        if let Ok(root) = root {
            let shown = machine.arena().show(root, 200);
            assert!(shown.len() < 2000, "{shown}");
        }
        survives(&bytes, input.0 & 0x8000 != 0);
    });
}

#[test]
fn zip_structure() {
    fuzz(&seeds(|n| n.starts_with("form-zip") || (n.contains("zip") && n.ends_with(".pth"))), |bytes| bytes);
}

/// The members of an archive, for those who put it together again.
fn members(bytes: &[u8]) -> Vec<(String, Vec<u8>)> {
    let Ok(mut archive) = zip::ZipArchive::new(std::io::Cursor::new(bytes)) else { return Vec::new() };
    let count = archive.len();
    let read = |i: usize| {
        let mut file = archive.by_index(i).ok()?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes).ok()?;
        Some((file.name().ok()?.into_owned(), bytes))
    };
    (0..count).filter_map(read).collect()
}

/// Archives whose first member that fits is what is changed; the rest of each goes around it again.
fn inside(suffix: &str, corpus: impl Fn(&str) -> bool, deflate: bool) {
    let archives: Vec<Vec<(String, Vec<u8>)>> = unpacked("corpus.tar.gz")
        .into_iter()
        .chain(forms())
        .chain(golden_files())
        .filter(|(name, bytes)| corpus(name) && bytes.len() <= 24 << 10)
        .map(|(_, bytes)| members(&bytes))
        .filter(|members| members.iter().any(|(name, _)| name.ends_with(suffix)))
        .collect();
    let index =
        |members: &[(String, Vec<u8>)]| members.iter().position(|(n, _)| n.ends_with(suffix)).unwrap();
    let seeds: Vec<Vec<u8>> = archives.iter().map(|members| members[index(members)].1.clone()).collect();
    assert!(seeds.len() >= 2, "{}", seeds.len());
    check!().with_type::<Input>().for_each(|input| {
        let members = &archives[usize::from(input.0) % archives.len()];
        let (at, changed) = (index(members), changed(&seeds, input));
        let member = |(i, (name, bytes)): (usize, &(String, Vec<u8>))| match (i == at, deflate) {
            (true, true) => build::deflated(name, &changed),
            (true, false) => build::member(name, &changed),
            (false, _) => build::member(name, bytes),
        };
        let all: Vec<_> = members.iter().enumerate().map(member).collect();
        survives(&build::zip(&all), input.0 & 0x8000 != 0);
    });
}

#[test]
fn zip_pickles() {
    inside("data.pkl", |n| n.ends_with("-zip.pth") || n.starts_with("form-zip"), false);
}

#[test]
fn zip_pickles_deflated() {
    inside("data.pkl", |n| n.ends_with("-zip.pth") || n.starts_with("form-zip"), true);
}

#[test]
fn torch_jit() {
    inside("data.pkl", |n| n.contains("jit"), false);
}

/// Source that is looked through for what runs on loading.
#[test]
fn torch_jit_source() {
    inside(".py", |n| n.contains("jit"), false);
}

/// Files inside of a checkpoint: pickles, arrays of objects, archives, text. What is planted after them, and after
/// anything that Python reads over, is found.
#[test]
fn scan_members() {
    let object = |descr: &str, data: &[u8]| {
        let header = format!("{{'descr': {descr}, 'fortran_order': False, 'shape': (), }}\n");
        [b"\x93NUMPY\x01\0".as_slice(), &(header.len() as u16).to_le_bytes(), header.as_bytes(), data]
            .concat()
    };
    let gadget =
        build::pickle(&[build::global("posix", "system").as_slice(), &build::text("x"), b"\x85R"].concat());
    let inner = build::zip(&[build::member("m/x.pkl", &gadget)]);
    let mut seeds: Vec<Vec<u8>> =
        golden_files().into_values().filter(|bytes| bytes.len() < 8 << 10).collect();
    seeds.extend([
        gadget.clone(),
        object("'|O'", &gadget),
        object("[('a', '<f4'), ('b', 'O')]", &gadget),
        inner.clone(),
        build::tar(&[("x", gadget.clone()), ("y.zip", inner)]),
        build::good_legacy(),
        b"cat\ndog\n".to_vec(),
        b"class A:\n  def __setstate__(self):\n    torch.save(self, 'x')\n".to_vec(),
    ]);
    check!().with_type::<Input>().for_each(|input| {
        let member = changed(&seeds, input);
        let deflate = input.0 & 0x4000 != 0;
        let name = ["a/x", "a/data/1", "a/code/__torch__.py", "a/x.npy"][usize::from(input.0 >> 12) % 4];
        let mut all = build::good_members();
        all.push(if deflate { build::deflated(name, &member) } else { build::member(name, &member) });
        survives(&build::zip(&all), input.0 & 0x8000 != 0);
    });
}

/// Plain archives of other files.
#[test]
fn scan_archives() {
    let gadget = build::pickle(&build::global("posix", "system"));
    let seeds = vec![
        build::tar(&[("a/readme", b"text".to_vec()), ("evil.p", gadget.clone())]),
        build::zip(&[build::member("a.txt", b"text"), build::member("b/evil.p", &gadget)]),
        build::zip(&[
            build::member("config.json", b"{}"),
            build::member("model.weights.h5", b"\x89HDF\r\n\x1a\n"),
        ]),
        build::zip(&[build::deflated("x.tar", &build::tar(&[("evil", gadget)]))]),
    ];
    fuzz(&seeds, |bytes| bytes);
}

#[test]
fn npz() {
    inside(".npy", |n| n.ends_with(".npz"), false);
}

#[test]
fn npz_deflated() {
    inside(".npy", |n| n.ends_with(".npz"), true);
}

#[test]
fn npy() {
    fuzz(&seeds(|n| n.ends_with(".npy")), |bytes| bytes);
}

#[test]
fn tar_structure() {
    fuzz(&seeds(|n| n.starts_with("tar-")), |bytes| bytes);
}

#[test]
fn tar_members() {
    let archives: Vec<Vec<(String, Vec<u8>)>> = unpacked("corpus.tar.gz")
        .into_iter()
        .filter(|(name, _)| name.starts_with("tar-"))
        .map(|(_, bytes)| {
            let mut archive = tar::Archive::new(bytes.as_slice());
            let read = |entry: std::io::Result<tar::Entry<'_, &[u8]>>| {
                let mut entry = entry.unwrap();
                let name = entry.path().unwrap().to_str().unwrap().to_owned();
                let mut bytes = Vec::new();
                entry.read_to_end(&mut bytes).unwrap();
                (name, bytes)
            };
            archive.entries().unwrap().map(read).collect()
        })
        .collect();
    let seeds: Vec<Vec<u8>> = archives.iter().flatten().map(|(_, bytes)| bytes.clone()).collect();
    check!().with_type::<Input>().for_each(|input| {
        let number = usize::from(input.0) % seeds.len();
        let (archive, member) = (number / 3, number % 3);
        let mut members: Vec<(&str, Vec<u8>)> =
            archives[archive].iter().map(|(name, bytes)| (name.as_str(), bytes.clone())).collect();
        members[member].1 = changed(&seeds, input);
        survives(&build::tar(&members), input.0 & 0x8000 != 0);
    });
}

#[test]
fn safetensors_files() {
    fuzz(&seeds(|n| n.ends_with(".safetensors")), |bytes| bytes);
}

#[test]
fn safetensors_headers() {
    let files: Vec<Vec<u8>> = seeds(|n| n.ends_with(".safetensors"));
    let split = |bytes: &[u8]| {
        let len = u64::from_le_bytes(bytes.get(..8)?.try_into().ok()?);
        let end = usize::try_from(len).ok()?.checked_add(8)?;
        Some((bytes.get(8..end)?.to_vec(), bytes.get(end..)?.to_vec()))
    };
    let (headers, data): (Vec<_>, Vec<_>) = files.iter().filter_map(|f| split(f)).unzip();
    check!().with_type::<Input>().for_each(|input| {
        let header = changed(&headers, input);
        let data = &data[usize::from(input.0) % data.len()];
        let file = [(header.len() as u64).to_le_bytes().as_slice(), &header, data].concat();
        survives(&file, false);
    });
}

/// The index of torch's shards, and one of the shards, in a folder.
#[test]
fn shards_of_torch() {
    let files = unpacked("forms.tar.gz");
    let file = |name: &str| files[&format!("shards/{name}")].clone();
    let (index, first) = ("pytorch_model.bin.index.json", "pytorch_model-00001-of-00002.bin");
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(
        folder.path().join("pytorch_model-00002-of-00002.bin"),
        file("pytorch_model-00002-of-00002.bin"),
    )
    .unwrap();
    let (indexes, shards) = ([file(index)], [file(first)]);
    check!().with_type::<Input>().for_each(|input| {
        let of_index = input.0 & 1 == 0;
        let written =
            |seeds: &[Vec<u8>], change: bool| if change { changed(seeds, input) } else { seeds[0].clone() };
        std::fs::write(folder.path().join(index), written(&indexes, of_index)).unwrap();
        std::fs::write(folder.path().join(first), written(&shards, !of_index)).unwrap();
        match Checkpoint::open(folder.path()) {
            Err(e) => assert!(matches!(e.class(), Class::BadInput), "{e:?}"),
            Ok(checkpoint) => {
                let mut out = Vec::new();
                let written = write::safetensors(
                    &checkpoint,
                    folder.path(),
                    Output::Stream(&mut out),
                    &write::Options::default(),
                );
                match written {
                    Err(e) => assert!(matches!(e.class(), Class::BadInput), "{e:?}"),
                    Ok(_) => {
                        drop(safetensors::SafeTensors::deserialize(&out).expect("the reference reads it"))
                    }
                }
            }
        }
    });
}

/// Tables of labelled images: what cannot be unpacked is bad input, and an image's damage is its own.
#[test]
fn parquet_files() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/parquet");
    let files = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let tables = files.filter(|path| path.extension().is_some_and(|e| e == "parquet"));
    let mut seeds: Vec<_> = tables.map(|path| std::fs::read(path).unwrap()).collect();
    seeds.sort();
    assert!(seeds.len() > 10);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("validation-00000-of-00001.parquet");
    let registry = zoo::registry::Registry::builtin().unwrap();
    let entry = registry.dataset("imagenet-val").unwrap();
    check!().with_type::<Input>().for_each(|input| {
        std::fs::write(&path, changed(&seeds, input)).unwrap();
        match zoo::dataset::layout::list(&path, entry) {
            Err(e) => assert!(matches!(e.class(), Class::BadInput), "{e:?}"),
            Ok(listing) => {
                for index in 0..listing.found.len().min(20) {
                    if let Err(e) = listing.images.bytes(index) {
                        assert!(matches!(e.class(), Class::BadInput), "{e:?}");
                    }
                }
            }
        }
    });
}

#[test]
fn what_was_found_once_is_not_found_again() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/regressions");
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let bytes = std::fs::read(&path).unwrap();
        if path.extension().is_none_or(|e| e != "md") {
            survives(&bytes, false);
            survives(&bytes, true);
        }
    }
}
