//! What is named, and that no pickle is: a case a kind.

use super::*;

fn of(bytes: &[u8]) -> Option<&'static str> {
    let source = bytes.to_vec();
    match sniff(&source).unwrap() {
        Content::Foreign(found) => Some(found.what),
        Content::Pickle => guess(&source, Path::new("x")).unwrap().map(|found| found.what),
        _ => None,
    }
}

/// A length-delimited field.
fn field(number: u8, body: &[u8]) -> Vec<u8> {
    [&[number << 3 | 2, body.len() as u8], body].concat()
}

#[test]
fn what_is_no_checkpoint_is_named() {
    let node = [field(1, b"input"), field(2, b"Placeholder")].concat();
    let padded = |head: &[u8]| [head, &[7; 600]].concat();
    let cases: Vec<(&str, Vec<u8>)> = vec![
        ("ONNX", [&[8, 8][..], &field(2, b"pytorch"), &field(7, &node), &field(8, &[16, 13])].concat()),
        ("ONNX", [&[8, 3][..], &field(7, &node)].concat()),
        ("SavedModel", [&[8, 1][..], &field(2, &field(1, b"meta"))].concat()),
        ("TensorFlow graph", [field(1, &node), field(1, &node), field(4, &[8, 27])].concat()),
        ("Core ML", [&[8, 5][..], &field(2, &node), &[0xa2, 0x1f, 2, 8, 1]].concat()),
        ("Caffe", [&field(1, b"net")[..], &[0xa2, 0x06, 3], b"abc"].concat()),
        (
            "PaddlePaddle",
            [field(1, &[&[8, 0, 16, 255, 255, 255, 255, 15][..], &node].concat()), vec![34, 0]].concat(),
        ),
        ("TFLite", padded(b"\x1c\0\0\0TFL3")),
        ("HDF5", padded(b"\x89HDF\r\n\x1a\n")),
        ("Keras", [&padded(b"\x89HDF\r\n\x1a\n")[..], b"keras_version"].concat()),
        ("MATLAB", padded(b"MATLAB 5.0 MAT-file, Platform: GLNXA64")),
        ("HDF5", padded(b"MATLAB 7.3 MAT-file")),
        ("GGUF", padded(b"GGUF\x03\0\0\0")),
        ("MessagePack", b"\x81\xa6params\x81\xa6kernel\xc7\x10\x01".to_vec()),
        ("MessagePack", b"\xde\x00\x20\xa6params\x81".to_vec()),
        ("git-lfs", b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 83\n".to_vec()),
        ("gzip", padded(b"\x1f\x8b\x08\0\0\0\0\0\0\x03")),
        ("bzip2", padded(b"BZh91AY&SY")),
        ("xz", padded(b"\xfd7zXZ\0")),
        ("zstd", padded(b"\x28\xb5\x2f\xfd")),
        ("7z", padded(b"7z\xbc\xaf\x27\x1c")),
        ("RAR", padded(b"Rar!\x1a\x07\x01\0")),
        ("OpenVINO", b"<?xml version=\"1.0\"?>\n<net name=\"x\" version=\"11\">".to_vec()),
        ("XML", b"<?xml version=\"1.0\"?><Error/>".to_vec()),
        ("HTML", b"\n <!DOCTYPE html><html>".to_vec()),
        ("JSON", b"{\"a\": 1}".to_vec()),
        ("JSON", b"[1, 2]".to_vec()),
        ("YAML", b"model: resnet50\nlr: 0.1\n".to_vec()),
        ("Python source", b"import torch\n".to_vec()),
        ("text", b"Read me first.\n".to_vec()),
        ("TensorFlow checkpoints", b"model_checkpoint_path: \"model.ckpt-1\"\n".to_vec()),
        ("TensorFlow checkpoint", [&[0; 9][..], &[1; 60], b"\x57\xfb\x80\x8b\x24\x75\x47\xdb"].concat()),
        ("PDF", padded(b"%PDF-1.7")),
        ("PNG", padded(b"\x89PNG\r\n\x1a\n")),
        ("JPEG", padded(b"\xff\xd8\xff\xe0")),
        ("program", padded(b"\x7fELF\x02\x01\x01")),
        ("script", b"#!/bin/sh\necho\n".to_vec()),
        ("empty", Vec::new()),
        ("zero bytes", vec![0; 4096]),
    ];
    for (says, bytes) in cases {
        let found = of(&bytes).unwrap_or("nothing");
        assert!(found.contains(says), "{says}: {found}");
    }
}

#[test]
fn no_pickle_is_called_something_else() {
    // Without a protocol's opcode the first byte may be any opcode; none of them begins something that is named.
    for opcode in crate::checkpoint::pickle::opcode::OPCODES {
        for tail in [&b"\x06abcdefgh\0\0\0\0"[..], &[0; 700], b"\x02}q\x00."] {
            let bytes = [&[opcode.code], tail].concat();
            let found = sniff(&bytes).unwrap();
            assert!(matches!(found, Content::Pickle), "{}: {found:?}", opcode.name);
        }
    }
}

#[test]
fn archives_of_other_tools_are_known_by_their_members() {
    let named = |names: &[&str]| archive(names.iter().copied()).map(|found| found.what).unwrap_or_default();
    assert!(named(&["metadata.json", "config.json", "model.weights.h5"]).contains("Keras"));
    assert!(named(&["MAR-INF/MANIFEST.json", "model.pt", "handler.py"]).contains("TorchServe"));
    assert!(named(&["m/archive_format", "m/models/model.json"]).contains("torch.export"));
    assert!(named(&["m/.data/extern_modules", "m/a.py"]).contains("torch.package"));
    assert_eq!(named(&["archive/data.pkl", "archive/version", "archive/data/0"]), "");
}

#[test]
fn names_tell_where_bytes_do_not() {
    let unknown = vec![1u8; 64];
    let by =
        |name: &str| guess(&unknown, Path::new(name)).unwrap().map(|found| found.what).unwrap_or_default();
    assert!(by("model.ckpt-1.data-00000-of-00001").contains("TensorFlow"));
    assert!(by("yolov3.weights").contains("Darknet"));
    assert_eq!(by("x.pth"), "");
}
