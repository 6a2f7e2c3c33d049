//! Checkpoints in the forms that people have, as tests/oracle/checkpoint_forms.py wrote them: the binary writes the
//! tensors that torch, numpy or the tool itself reads, and says what it chose and left out; or refuses in words.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::Value;
use zoo::Sha256;

use crate::checkpoints::unpacked;
use crate::support::Home;

fn rows() -> Vec<Value> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/checkpoints/forms.json");
    let golden: Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    golden["files"].as_array().unwrap().clone()
}

fn texts(value: &Value) -> Vec<&str> {
    value.as_array().map(|list| list.iter().map(|v| v.as_str().unwrap()).collect()).unwrap_or_default()
}

/// A form's file, or the files of its folder, in a home.
fn place(home: &Home, name: &str, files: &BTreeMap<String, Vec<u8>>) {
    let folder = format!("{name}/");
    for (path, bytes) in files.iter().filter(|(path, _)| *path == name || path.starts_with(&folder)) {
        home.write(path, bytes);
    }
}

#[test]
fn every_form_converts_to_the_tensors_that_its_own_tool_reads() {
    let files = unpacked("forms.tar.gz");
    let mut wrong = Vec::new();
    let rows = rows();
    for row in &rows {
        let name = row["file"].as_str().unwrap();
        let home = Home::new();
        place(&home, name, &files);
        let mut args = vec!["convert", name, "-o", "out.safetensors"];
        args.extend(texts(&row["args"]));
        let ran = home.run(&args);
        let written = std::fs::read(home.path("out.safetensors")).ok().map(|b| Sha256::of(&b).to_string());
        let (code, words) = match row["refused"].is_null() {
            true => (0, texts(&row["says"])),
            false => (3, texts(&row["refused"])),
        };
        let missing: Vec<_> = words.iter().filter(|word| !ran.err.contains(**word)).collect();
        if ran.code != Some(code) || written.as_deref() != row["sha256"].as_str() || !missing.is_empty() {
            wrong.push(format!("{name}: exit {:?}, not said: {missing:?}: {:.600}", ran.code, ran.err));
        }
    }
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), rows.len(), wrong.join("\n"));
    assert!(rows.len() >= 100, "only {}", rows.len());
}

#[test]
fn no_form_is_called_malformed_and_each_has_its_verdict() {
    let files = unpacked("forms.tar.gz");
    let mut wrong = Vec::new();
    for row in rows() {
        let name = row["file"].as_str().unwrap();
        let home = Home::new();
        place(&home, name, &files);
        if home.path(name).is_dir() {
            continue;
        }
        let ran = home.run(&["scan", name, "--json"]);
        let said: Value = serde_json::from_str(&ran.out).unwrap_or_default();
        if said["verdict"] != row["scan"] {
            wrong.push(format!("{name}: exit {:?}, {}: {:.400}", ran.code, said["verdict"], ran.out));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn inspect_names_in_json_what_was_chosen_and_left_out() {
    let files = unpacked("forms.tar.gz");
    let home = Home::new();
    place(&home, "ema-of-timm.pth", &files);
    place(&home, "lists-as-values.pth", &files);
    let json = |name: &str| -> Value {
        let ran = home.run(&["inspect", name, "--json"]);
        assert_eq!(ran.code, Some(0), "{ran:?}");
        serde_json::from_str(&ran.out).unwrap()
    };
    let ema = json("ema-of-timm.pth");
    assert_eq!(
        (&ema["unwrapped"][0], &ema["averaged_before"]),
        (&"state_dict_ema".into(), &"state_dict".into())
    );
    assert_eq!(ema["left_out_tensors"], serde_json::json!([{"name": "state_dict", "tensors": 6}]));
    let lists = json("lists-as-values.pth");
    let left: Vec<_> = lists["left_out_tensors"].as_array().unwrap().iter().map(|l| &l["name"]).collect();
    assert_eq!(left, ["parts", "pair", "deeper"]);
}

/// Parts of a folder of torch.distributed.checkpoint: a tensor alone, several in a row, and what says where they are.
#[test]
fn parts_of_a_distributed_checkpoint_are_named_for_what_they_are() {
    let files = unpacked("forms.tar.gz");
    let home = Home::new();
    let one = &files["distributed/__0_0.distcp"];
    home.write("dcp/__0_0.distcp", one);
    home.write("dcp/__0_1.distcp", [one.as_slice(), one].concat());
    home.write("dcp/.metadata", &files["distributed/.metadata"]);
    for (name, scanned) in [("dcp/__0_0.distcp", 0), ("dcp/__0_1.distcp", 1), ("dcp/.metadata", 0)] {
        for verb in [["convert", name, "-o", "x.safetensors"].as_slice(), &["inspect", name]] {
            let ran = home.run(verb);
            assert_eq!(ran.code, Some(3), "{ran:?}");
            assert!(ran.err.contains("one part of a folder of torch.distributed.checkpoint"), "{ran:?}");
            assert!(ran.err.contains("dcp_to_torch"), "{ran:?}");
        }
        let ran = home.run(&["scan", name]);
        assert_eq!(ran.code, Some(scanned), "{ran:?}");
        assert!(scanned == 0 || ran.out.contains("not looked into"), "{ran:?}");
    }
}
