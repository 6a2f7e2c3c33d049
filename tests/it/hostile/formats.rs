//! safetensors, numpy and tar files that lie; files of two formats at once; files that are no checkpoint.

use super::build::*;
use super::{Case, case};

pub(super) fn cases() -> Vec<Case> {
    [safetensors(), numpy(), pickled_arrays(), tars(), polyglots(), others(), indexes()]
        .into_iter()
        .flatten()
        .collect()
}

fn named(kind: &'static str, extension: &'static str, says: &'static str, bytes: Vec<u8>) -> Case {
    Case { kind, bytes, says, extension }
}

fn safetensors() -> Vec<Case> {
    let one = |dtype: &str, shape: &str, offsets: &str| {
        format!("{{\"w\":{{\"dtype\":\"{dtype}\",\"shape\":{shape},\"data_offsets\":{offsets}}}}}")
    };
    let good = safe(&one("F32", "[6]", "[0,24]"), 24);
    let of = |kind, says, bytes| named(kind, "safetensors", says, bytes);
    let mut cases: Vec<Case> = (1..=10)
        // Whatever is left of the header is no pickle either.
        .map(|i| of("safetensors cut short", "", good[..good.len() * i / 11].to_vec()))
        .collect();
    let length = |n: u64, header: &str| [n.to_le_bytes().as_slice(), header.as_bytes()].concat();
    let text = one("F32", "[0]", "[0,0]");
    for n in [0, 1, text.len() as u64 + 1, 100_000_001, u64::MAX, 1 << 63] {
        cases.push(of("safetensors header length forged", "byte", length(n, &text)));
    }
    let broken = |says, header: &str| of("safetensors header broken", says, safe(header, 24));
    let deep = format!("{{\"w\":{}", "[".repeat(1 << 20));
    let twice = "{\"w\":{\"dtype\":\"F32\",\"shape\":[3],\"data_offsets\":[0,12]},\"w\":{\"dtype\":\"F32\",\"shape\":[3],\"data_offsets\":[12,24]}}";
    cases.extend([
        broken("byte", "{"),
        broken("header", &format!("{}x", one("F32", "[6]", "[0,24]"))),
        broken("header", "{\"w\":[]}"),
        broken("header", &deep),
        broken("twice", twice),
        broken("header", "{\"w\":{\"dtype\":\"F32\",\"shape\":[6],\"data_offsets\":[0,24],\"extra\":1}}"),
        broken("header", "{\"w\":{\"dtype\":\"F32\",\"shape\":[6]}}"),
        broken("header", "{\"__metadata__\":{\"a\":1}}"),
        broken("twice", "{\"__metadata__\":{\"a\":\"1\",\"a\":\"2\"}}"),
        of("safetensors header broken", "UTF-8", {
            let mut bytes = safe(&one("F32", "[6]", "[0,24]"), 24);
            bytes[11] = 0xff;
            bytes
        }),
    ]);
    let offsets = |header: String, data: usize| of("safetensors offsets forged", "byte", safe(&header, data));
    let two = |a: &str, b: &str| {
        format!(
            "{{\"a\":{{\"dtype\":\"U8\",\"shape\":[12],\"data_offsets\":{a}}},\"b\":{{\"dtype\":\"U8\",\"shape\":[12],\"data_offsets\":{b}}}}}"
        )
    };
    cases.extend(
        [
            offsets(one("F32", "[6]", "[24,0]"), 24),
            offsets(one("F32", "[6]", "[0,24]"), 23),
            offsets(one("F32", "[6]", "[0,24]"), 25),
            offsets(one("F32", "[6]", "[1,25]"), 25),
            offsets(one("F32", "[6]", "[0,18446744073709551615]"), 24),
            offsets(two("[0,12]", "[0,12]"), 12),
            offsets(two("[0,12]", "[11,23]"), 23),
            offsets(two("[0,12]", "[13,25]"), 25),
        ]
        .map(|c| Case { says: "", ..c }),
    );
    let shapes = |says, dtype: &str, shape: &str| {
        of("safetensors types and shapes forged", says, safe(&one(dtype, shape, "[0,24]"), 24))
    };
    cases.extend([
        shapes("tensor `w`", "F33", "[6]"),
        shapes("tensor `w`", &"F".repeat(1 << 20), "[6]"),
        shapes("tensor `w`", "F32", "[7]"),
        shapes("tensor `w`", "F32", "[18446744073709551615,18446744073709551615]"),
        shapes("tensor `w`", "F32", "[4294967296,4294967296,0]"),
        shapes("header", "F32", "[-6]"),
        shapes("header", "F32", "[6.0]"),
        shapes("tensor `w`", "F4", "[3]"),
        shapes("64 dimensions", "F32", &format!("[6{}]", ",1".repeat(1 << 20))),
        shapes("header", "F32", &format!("\"{}\"", "A".repeat(8 << 20))),
    ]);
    let many = |says, header: String| of("safetensors of too many entries", says, safe(&header, 0));
    let entries = |each: &dyn Fn(usize) -> String| (0..400_000).map(each).collect::<Vec<_>>().join(",");
    cases.extend([
        many(
            "tensors",
            format!(
                "{{{}}}",
                entries(&|i| format!("\"{i}\":{{\"dtype\":\"U8\",\"shape\":[0],\"data_offsets\":[0,0]}}"))
            ),
        ),
        many("entries", format!("{{\"__metadata__\":{{{}}}}}", entries(&|i| format!("\"{i}\":\"\"")))),
    ]);
    cases
}

fn numpy() -> Vec<Case> {
    let good = good_npy();
    let cut = |i: usize| named("npy cut short", "npy", "", good[..good.len() * i / 11].to_vec());
    let mut cases: Vec<Case> = (1..=10).map(cut).collect();
    let header = |says, text: &str| named("npy header forged", "npy", says, npy(text, 24));
    cases.extend([
        header("header", "__import__('os').system('touch executed')"),
        header("header", "{'descr': '<f4', 'fortran_order': False, 'shape': (6,), 'x': __import__('os')}"),
        header("header", "{'descr': '<f4', 'fortran_order': False, 'shape': (-6,), }"),
        header("byte", "{'descr': '<f4', 'fortran_order': False, 'shape': (7,), }"),
        header("byte", "{'descr': '<f4', 'fortran_order': False, 'shape': (4294967296, 4294967296, 0), }"),
        header("numpy type", "{'descr': '|O', 'fortran_order': False, 'shape': (6,), }"),
        header("numpy type", "{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (6,), }"),
        header("numpy type", "{'descr': '<U3', 'fortran_order': False, 'shape': (2,), }"),
        named("npy header forged", "npy", "version", [b"\x93NUMPY\x04\x00".as_slice(), &good[8..]].concat()),
        named("npy header forged", "npy", "header", b"\x93NUMPY\x02\x00\xff\xff\xff\xff{}".to_vec()),
    ]);
    let npz = |says, members: &[Member]| named("npz members forged", "npz", says, zip(members));
    let mut bad = deflated("w.npy", &good);
    bad.data.truncate(20);
    cases.extend([
        npz("w.npy", &[member("w.npy", b"no array")]),
        npz("w.npy", &[member("w.npy", &good[..90])]),
        npz("w.npy", &[bad]),
        npz(
            "which are pickled objects",
            &[member("w.npy", &npy("{'descr': '|O', 'fortran_order': False, 'shape': (6,), }", 24))],
        ),
        npz("two members", &[member("w.npy", &good), member("w.npy", &good)]),
        npz("leaves", &[member("../w.npy", &good)]),
    ]);
    cases
}

/// Arrays that numpy pickled, in a plain pickle.
fn pickled_arrays() -> Vec<Case> {
    let dtype = |kind: &str| [global("numpy", "dtype").as_slice(), &text(kind), b"\x89\x88\x87R"].concat();
    let array = |shape: &[u8], dtype: &[u8], data: &[u8]| {
        let head = [global("numpy.core.multiarray", "_reconstruct"), global("numpy", "ndarray")].concat();
        [head.as_slice(), b"K\x00\x85C\x01b\x87R(K\x01", shape, dtype, b"\x89", data, b"tb"].concat()
    };
    let file = |says, value: Vec<u8>| case("arrays in a pickle forged", says, state(&[("w", value)]));
    let (six, float) = (dims(&[6]), dtype("f4"));
    let bytes = |n: u8| [b"C".as_slice(), &[n], &vec![1; n.into()]].concat();
    let encode = |codec: &str, data: &str| {
        [global("_codecs", "encode").as_slice(), &text(data), &text(codec), b"\x86R"].concat()
    };
    vec![
        file("tensor `w`", array(&dims(&[7]), &float, &bytes(24))),
        file("tensor `w`", array(&dims(&[-6]), &float, &bytes(24))),
        file("tensor `w`", array(&dims(&[i64::MAX, 3]), &float, &bytes(24))),
        file("tensor `w`", array(&six, &float, b"N")),
        file("tensor `w`", array(&six, &float, b"]")),
        file("cannot be written", array(&six, &dtype("O8"), &bytes(24))),
        file("tensor `w`", array(&six, &float, &encode("utf-7", "x"))),
        file("tensor `w`", array(&six, &float, &encode("latin1", "日本語"))),
        file("tensor `w`", array(&six, &float, &encode("latin1", "short"))),
        file("tensor `w`", [global("numpy.core.multiarray", "_reconstruct").as_slice(), b")R"].concat()),
    ]
}

fn tars() -> Vec<Case> {
    let good = tar(&tar_members());
    // Cut inside of the members; the last blocks are padding.
    let cut = |i: usize| case("tar cut short", "", good[..(good.len() - 1024) * i / 11].to_vec());
    let mut cases: Vec<Case> = (1..=10).map(cut).collect();
    let forged = |says, bytes: Vec<u8>| case("tar members forged", says, bytes);
    type Members = Vec<(&'static str, Vec<u8>)>;
    let with = |change: &dyn Fn(&mut Members)| {
        let mut members = tar_members();
        change(&mut members);
        tar(&members)
    };
    cases.extend([
        forged("pickle", with(&|m| drop(m.pop()))),
        forged("storages", with(&|m| drop(m.remove(0)))),
        forged("two members", with(&|m| m.push(m[0].clone()))),
        forged("leaves its folder", with(&|m| m.push(("../x", vec![1])))),
        forged("leaves its folder", with(&|m| m.push(("/etc/x", vec![1])))),
        forged("two members", with(&|m| m.push(("STORAGES", vec![1])))),
        forged("not a regular file", {
            let mut bytes = good.clone();
            bytes[156] = b'2';
            // The checksum again: type 0 became type 2.
            let sum: u32 = bytes[..512]
                .iter()
                .enumerate()
                .map(|(i, &b)| if (148..156).contains(&i) { 32 } else { u32::from(b) })
                .sum();
            bytes[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
            bytes
        }),
        forged("bytes after", [good.as_slice(), b"x"].concat()),
    ]);
    let inside = |says, index: usize, from: &[u8], to: &[u8]| {
        let mut members = tar_members();
        let data = &mut members[index].1;
        let at = data.windows(from.len()).rposition(|w| w == from).unwrap();
        data.splice(at..at + from.len(), to.iter().copied());
        case("tar numbers forged", says, tar(&members))
    };
    let six = 6i64.to_le_bytes();
    cases.extend([
        inside("storages", 0, &six, &7i64.to_le_bytes()),
        inside("storages", 0, &six, &(-1i64).to_le_bytes()),
        inside("storages", 0, &six, &i64::MAX.to_le_bytes()),
        inside("tensors", 1, &six, &7i64.to_le_bytes()),
        inside("tensors", 1, &six, &i64::MAX.to_le_bytes()),
        inside("tensors", 1, &[1, 0, 0, 0, 0, 0, 0, 0, 6], &[65, 0, 0, 0, 0, 0, 0, 0, 6]),
        inside("tensors", 1, &int(7), &int(8)),
        inside("storages", 0, b"]", &[b"](".as_slice(), &dims(&[9, 7, 5, 2]), b"e"].concat()),
        inside("holds", 2, &text("0"), &text("5")),
    ]);
    cases
}

/// Files that two readers would take for two things.
fn polyglots() -> Vec<Case> {
    let archive = zip(&good_members());
    let both = |says, extension, bytes| named("two formats at once", extension, says, bytes);
    let header = "{\"w\":{\"dtype\":\"U8\",\"shape\":[N],\"data_offsets\":[0,N]}}"
        .replace('N', &archive.len().to_string());
    let mut wrapped = safe(&header, 0);
    wrapped.extend_from_slice(&archive);
    let directory_at = |file: Vec<u8>, by: usize| {
        // The directory's place put right, as a tool that repairs archives would.
        let mut file = file;
        let end = file.len() - 22;
        let offset = u32::from_le_bytes(file[end + 16..end + 20].try_into().unwrap()) + by as u32;
        file[end + 16..end + 20].copy_from_slice(&offset.to_le_bytes());
        file
    };
    let legacy = good_legacy();
    let npy_zip = {
        let header = format!("{{'descr': '|u1', 'fortran_order': False, 'shape': ({},), }}", archive.len());
        let mut bytes = npy(&header, 0);
        bytes.extend_from_slice(&archive);
        bytes
    };
    // A storage whose bytes are an archive: the last thing in a legacy file.
    let padded = [archive.clone(), vec![0; archive.len().next_multiple_of(4) - archive.len()]].concat();
    let aligned: Vec<u8> = [vec![0; padded.len() - archive.len()], archive.clone()].concat();
    let count = aligned.len() as i64 / 4;
    let mut legacy_zip = self::legacy(&state(&[("w", vector("0", count))]), &keys(&["0"]), &[(count, 0)]);
    legacy_zip.extend_from_slice(&aligned);
    let tarred = {
        let mut members = tar_members();
        members.push(("x.zip", archive.clone()));
        tar(&members)
    };
    vec![
        both("zip", "safetensors", wrapped.clone()),
        both("zip", "safetensors", directory_at(wrapped.clone(), wrapped.len() - archive.len())),
        both("zip", "npy", npy_zip),
        both("zip", "pth", legacy_zip.clone()),
        both("zip", "pth", directory_at(legacy_zip.clone(), legacy_zip.len() - archive.len())),
        both("bytes after", "pth", [pickle(b"}"), archive.clone()].concat()),
        both("bytes after", "pth", [pickle(b"}"), legacy].concat()),
        both("bytes after the end", "pth", [tarred.as_slice(), &archive].concat()),
        // Eight bytes that are the length of a header and the beginning of a pickle that ends inside of it.
        both("pickle", "safetensors", {
            let mut header = String::from("{} ");
            let len = 0x2e4e_u64;
            while (header.len() as u64) < len {
                header.push(' ');
            }
            safe(&header, 0)
        }),
        both("tar", "pth", {
            let mut block = vec![0u8; 1024];
            block[..8].copy_from_slice(&900u64.to_le_bytes());
            block[8] = b'{';
            block[124..136].copy_from_slice(b"00000000000\0");
            let sum: u32 = block[..512]
                .iter()
                .enumerate()
                .map(|(i, &b)| if (148..156).contains(&i) { 32 } else { u32::from(b) })
                .sum();
            block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
            block
        }),
    ]
}

fn others() -> Vec<Case> {
    let other = |says, bytes: &[u8]| case("no checkpoint at all", says, bytes.to_vec());
    let gzip = {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        std::io::Write::write_all(&mut encoder, &good_legacy()).unwrap();
        encoder.finish().unwrap()
    };
    vec![
        other("HTML", b"<!DOCTYPE html><html><body>404: Not Found</body></html>"),
        other("git-lfs", b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 83\n"),
        other("gzip", &gzip),
        other("XML", b"<?xml version=\"1.0\"?><Error><Code>AccessDenied</Code></Error>"),
        other("JSON", b"{\"error\": \"not found\"}"),
        other("empty", b""),
        other("zero bytes", &[0; 100_000]),
        other("PNG", b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR"),
        other("program", b"\x7fELF\x02\x01\x01"),
        other("script", b"#!/bin/sh\ntouch executed\n"),
    ]
}

/// An index of sharded files that points where it should not; there is no file beside it.
fn indexes() -> Vec<Case> {
    let index =
        |says, text: &str| named("index of shards forged", "index.json", says, text.as_bytes().to_vec());
    let to = |file: &str| {
        format!("{{\"metadata\": {{}}, \"weight_map\": {{\"w\": {}}}}}", serde_json::json!(file))
    };
    vec![
        index("beside the index", &to("../x.safetensors")),
        index("beside the index", &to("/etc/passwd")),
        index("beside the index", &to("C:x.safetensors")),
        index("beside the index", &to("a/x.safetensors")),
        index("beside the index", &to("x.sh")),
        index("missing.safetensors", &to("missing.safetensors")),
        index("index", "{\"weight_map\": {\"w\": 1}}"),
        index("index", "{\"weight_map\": [\"w\"]}"),
        index("twice", "{\"weight_map\": {\"w\": \"a.safetensors\", \"w\": \"b.safetensors\"}}"),
        index("JSON", "{\n"),
    ]
}
