//! The CUDA engine without a card: the binary with a driver that runs the same kernels on the CPU (tests/emulate).

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use serde_json::{Value, json};

use crate::support::{Home, Ran, ran, until};
use crate::verify::{Case, on_record};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The folder with the emulated `libcuda.so.1`, built by the machine's C++ compiler.
fn driver() -> &'static Path {
    static DRIVER: OnceLock<PathBuf> = OnceLock::new();
    DRIVER.get_or_init(|| {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("emulated-driver");
        std::fs::create_dir_all(&folder).unwrap();
        let compiler = std::env::var("CXX").unwrap_or_else(|_| "c++".into());
        let ran = Command::new(&compiler)
            .args(["-O3", "-march=x86-64-v3", "-std=c++17", "-shared", "-fPIC", "-ffp-contract=off"])
            .arg("-I")
            .arg(root().join("src/nn/cuda/kernels"))
            .arg("-o")
            .arg(folder.join("libcuda.so.1"))
            .arg(root().join("tests/emulate/libcuda.cpp"))
            .output();
        let ran = ran.unwrap_or_else(|e| panic!("{compiler}: {e}: these tests need a C++ compiler"));
        assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
        folder
    })
}

/// The binary on an emulated card.
fn command(home: &Home, args: &[&str], settings: &[(&str, &str)]) -> Command {
    let mut command = home.command(args);
    command.env("LD_LIBRARY_PATH", driver()).envs(settings.iter().copied());
    command
}

fn run(home: &Home, args: &[&str], settings: &[(&str, &str)]) -> Ran {
    ran(command(home, args, settings).output().unwrap())
}

/// A model of each architecture that has logits of at most so many pixels a side on record.
fn models(largest: usize) -> BTreeMap<String, String> {
    let registry = zoo::registry::Registry::builtin().unwrap();
    let mut models = BTreeMap::new();
    for entry in registry.models() {
        let Some(arch) = entry.zoo.arch.as_deref() else { continue };
        let Ok(Some(golden)) = zoo::verify::logits_record::of(arch) else { continue };
        if golden.rows.iter().any(|row| row.size <= largest) {
            models.entry(arch.to_owned()).or_insert_with(|| entry.name.clone());
        }
    }
    models
}

/// Where the bits of every record's smallest row are, as the emulator gives them and as a card did.
fn bits() -> PathBuf {
    root().join("tests/golden/cuda.json")
}

/// Networks of more parameters take half as long as all others together.
const LARGE: u64 = 180_000_000;

#[test]
fn every_architecture_agrees_with_timm_and_has_the_bits_on_record() {
    agree_and_have_the_bits_on_record(|params| params <= LARGE);
}

#[test]
#[ignore = "a minute and a half of seven networks, the largest of 3.7 GB: a step of `.ci/run`"]
fn the_largest_architectures_agree_with_timm_and_have_the_bits_on_record() {
    agree_and_have_the_bits_on_record(|params| params > LARGE);
}

fn agree_and_have_the_bits_on_record(is_wanted: impl Fn(u64) -> bool) {
    let models: BTreeMap<String, String> = models(128)
        .into_iter()
        .filter(|(arch, _)| is_wanted(zoo::arch::build(arch, 1000).unwrap().params()))
        .collect();
    let names: Vec<&String> = models.values().collect();
    // The emulator uses one core.
    let halves: Vec<Vec<&str>> =
        (0..2).map(|half| names.iter().skip(half).step_by(2).map(|n| n.as_str()).collect()).collect();
    let home = Home::new();
    let check = |names: &[&str]| {
        let args = [&["verify", "--dataset", "golden", "--device", "cuda", "--json"], names].concat();
        let ran = run(&home, &args, &[]);
        assert_eq!(ran.code, Some(0), "{}", ran.err);
        serde_json::from_str::<Value>(&ran.out).unwrap()["results"].as_array().unwrap().clone()
    };
    let results: Vec<Value> = std::thread::scope(|scope| {
        let running: Vec<_> = halves.iter().map(|names| scope.spawn(|| check(names))).collect();
        running.into_iter().flat_map(|t| t.join().unwrap()).collect()
    });
    assert!(models.len() > 5);
    assert_eq!(results.len(), models.len());
    let mut found = BTreeMap::new();
    for result in &results {
        let (model, arch) = (result["model"].as_str().unwrap(), result["arch"].as_str().unwrap());
        assert_eq!(result["level"], "architecture", "{model}");
        assert_eq!(result["isa"], zoo::nn::cuda::KERNELS, "{model}");
        assert_eq!(result["agrees"], true, "{model}: {result}");
        found.insert(arch.to_owned(), json!({"model": model, "sha256": result["logits_sha256"]}));
    }
    let mut recorded: Value = serde_json::from_slice(&std::fs::read(bits()).unwrap()).unwrap();
    if std::env::var_os("ZOO_UPDATE").is_some() {
        recorded["kernels"] = zoo::nn::cuda::KERNELS.into();
        for (arch, bits) in &found {
            recorded["logits_sha256"][arch] = bits.clone();
        }
        std::fs::write(bits(), serde_json::to_string_pretty(&recorded).unwrap() + "\n").unwrap();
    }
    assert_eq!(recorded["kernels"], zoo::nn::cuda::KERNELS);
    for (arch, bits) in &found {
        assert_eq!(
            recorded["logits_sha256"][arch], *bits,
            "{arch}: other bits than on record (ZOO_UPDATE=1)"
        );
    }
}

#[test]
fn threads_that_take_turns_backwards_change_no_bit() {
    let home = Home::new();
    let args =
        ["verify", "--dataset", "golden", "--device", "cuda", "--json", "tf_efficientnet_b0", "resnet50"];
    let forward = run(&home, &args, &[]);
    let backward = run(&home, &args, &[("ZOO_EMULATE_ORDER", "reverse")]);
    assert_eq!((forward.code, &forward.out), (Some(0), &backward.out), "{}", forward.err);
}

/// Operations that no network of the index has, each by itself, and small networks of any geometry: tests of other modules
/// with this variable set.
#[test]
fn every_operation_has_torchs_values() {
    let ran = Command::new(std::env::current_exe().unwrap())
        .args([
            "operations::",
            "plan::small_networks",
            "cuda::batches",
            "--include-ignored",
            "--test-threads",
            "2",
        ])
        .env("LD_LIBRARY_PATH", driver())
        .env("ZOO_TEST_CUDA", "1")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&ran.stdout);
    assert!(ran.status.success(), "{said}{}", String::from_utf8_lossy(&ran.stderr));
    for test in [
        "batches_of_any_size_have_the_same_bits",
        "small_networks_agree_with_the_reference",
        "what_vector_code_does_is_its_definition",
    ] {
        assert!(said.contains(&format!("{test} ... ok")), "{said}");
    }
}

/// Run by the test above, in a process that has the emulated driver.
#[test]
#[ignore = "needs a card or the emulated driver: run by `every_operation_has_torchs_values`"]
fn batches_of_any_size_have_the_same_bits() {
    use zoo::nn::cuda::{Device, Plan};
    use zoo::nn::seeded::{self, Seeded};
    let device = Device::open(0).unwrap();
    for arch in
        ["tf_efficientnet_b0", "resnest14d", "tf_efficientnet_cc_b0_4e", "resnetv2_50x1_bit", "regnetx_002"]
    {
        let Ok(graph) = zoo::arch::build(arch, 10) else { panic!("{arch}") };
        let weights = Seeded::new(&graph, 0);
        let images: Vec<Vec<f32>> = (0..7).map(|seed| seeded::input(seed, [1, 3, 64, 64])).collect();
        let images: Vec<&[f32]> = images.iter().map(Vec::as_slice).collect();
        let plan = |batch| Plan::new(&device, &graph, &weights, [3, 64, 64], &[graph.output()], Some(batch));
        let all = plan(7).unwrap().run(&images).unwrap();
        assert!(all.iter().all(|v| v.is_finite()), "{arch}");
        for batch in [1, 2, 3] {
            let plan = plan(batch).unwrap();
            assert_eq!(plan.batch(), batch);
            assert_eq!(plan.run(&images).unwrap(), all, "{arch}, batches of {batch}");
            assert_eq!(plan.run(&images[6..]).unwrap(), all[60..], "{arch}, one image");
        }
    }
}

/// What the driver may say, the exit code, and what the message must have.
#[test]
fn what_is_missing_is_named() {
    let home = Home::new();
    let args = ["verify", "--dataset", "golden", "--device", "cuda", "mobilenetv3_large_100"];
    let mut without = home.command(&args);
    let without = without.output().unwrap();
    assert_eq!(without.status.code(), Some(4));
    assert!(String::from_utf8_lossy(&without.stderr).contains("no NVIDIA driver"));
    let cases: &[(&[(&str, &str)], &str)] = &[
        (&[("ZOO_EMULATE_DRIVER", "11040")], "is for CUDA 11.4, and the kernels need 11.8"),
        (&[("ZOO_EMULATE_DEVICES", "0")], "no CUDA device 0: the driver sees 0"),
        (&[("ZOO_EMULATE_MAJOR", "5")], "has compute capability 5.0"),
        (&[("ZOO_EMULATE_MEMORY", "1000000")], "has no memory for `mobilenetv3_large_100`"),
        (&[("ZOO_EMULATE_FAIL", "cuInit:1:100")], "no CUDA-capable device is detected"),
        (&[("ZOO_EMULATE_FAIL", "cuModuleLoadData:2:218")], "cuModuleLoadData"),
        (&[("ZOO_EMULATE_FAIL", "cuMemAlloc_v2:1:2")], "has no memory"),
        (&[("ZOO_EMULATE_FAIL", "cuLaunchKernel:3:1")], "layer `blocks.0.0."),
        (&[("ZOO_EMULATE_FAIL", "async:4:700")], "an illegal memory access was encountered"),
        (&[("ZOO_EMULATE_FAIL", "async:4:700")], "layer `blocks."),
        (&[("ZOO_EMULATE_FAIL", "cuEventSynchronize:1:46")], "busy or unavailable"),
        (&[("ZOO_EMULATE_FAIL", "cuMemcpyHtoDAsync_v2:1:719")], "unspecified launch failure"),
    ];
    for (settings, text) in cases {
        let ran = run(&home, &args, settings);
        assert_eq!(ran.code, Some(4), "{settings:?}: {}{}", ran.out, ran.err);
        assert!(ran.err.contains(text), "{settings:?}: {}", ran.err);
        assert!(ran.err.contains("hint: "), "{settings:?}: {}", ran.err);
    }
    // `auto` does with what there is.
    for (settings, text) in cases.iter().take(3) {
        let args = [&args[..4], &["auto", args[5]]].concat();
        let ran = run(&home, &args, settings);
        assert_eq!(ran.code, Some(0), "{settings:?}: {}", ran.err);
        assert!(!ran.out.contains("cuda/"), "{text}: {}", ran.out);
    }
    let ran = run(&home, &["verify", "--dataset", "golden", "--device", "gpu", "resnet50"], &[]);
    assert_eq!(ran.code, Some(2), "{}", ran.err);
    let ran = run(
        &home,
        &["verify", "--dataset", "golden", "--engine", "reference", "--device", "cuda", "resnet50"],
        &[],
    );
    assert_eq!(ran.code, Some(2), "{}", ran.err);
}

#[test]
fn memory_that_fails_at_any_allocation_halves_the_batch_or_is_told() {
    let home = Home::new();
    let args = ["verify", "--dataset", "golden", "--device", "cuda", "--json", "mobilenetv3_large_100"];
    let whole: Value = serde_json::from_str(&run(&home, &args, &[]).out).unwrap();
    let whole = &whole["results"][0]["logits_sha256"];
    let mut held = 0;
    for n in [1, 2, 50, 100, 129, 130, 131, 132, 133, 134, 135, 200] {
        let ran = run(&home, &args, &[("ZOO_EMULATE_FAIL", &format!("cuMemAlloc_v2:{n}:2"))]);
        match ran.code {
            Some(0) => {
                let result: Value = serde_json::from_str(&ran.out).unwrap();
                assert_eq!(result["results"][0]["logits_sha256"], *whole, "allocation {n}");
                held += 1;
            }
            code => {
                assert_eq!(code, Some(4), "allocation {n}: {}", ran.err);
                assert!(ran.err.contains("no memory"), "allocation {n}: {}", ran.err);
            }
        }
    }
    assert!(held > 0, "no run got by with a smaller batch");
}

/// A network of 64 pixels a side and 36 pictures, on cards of that number.
const SMALL: [&str; 13] = [
    "verify",
    "small",
    "--registry",
    "small.yaml",
    "--weights",
    "w.safetensors",
    "--dataset",
    "imagenet-val",
    "--data-dir",
    "val",
    "--tolerance",
    "100",
    "--device",
];

fn small() -> Case {
    let case = Case::new();
    let page = "Models:\n- Name: small\n  Metadata: {Image Size: '64', Crop Pct: '0.875', Interpolation: bicubic}\n  \
                Results: [{Task: Image Classification, Dataset: ImageNet, Metrics: {Top 1 Accuracy: 50%}}]\n  \
                zoo: {arch: tf_efficientnet_lite0, mean: [0.5, 0.5, 0.5], std: [0.5, 0.5, 0.5], names: timm}\n";
    case.home.write("small.yaml", page);
    case
}

#[test]
fn a_shard_a_card_merges_to_the_report_of_one_run() {
    let case = small();
    let cards = [("ZOO_EMULATE_DEVICES", "2")];
    let on = |device: &'static str, more: &[&'static str]| {
        command(&case.home, &[&SMALL[..], &[device], more].concat(), &cards)
    };
    let whole = ran(on("cuda:1", &["--report", "whole.json"]).output().unwrap());
    assert_eq!(whole.code, Some(0), "{}", whole.err);
    assert!(whole.err.contains("on emulated card 1"), "{}", whole.err);
    let report = case.json("whole.json");
    assert_eq!(report["results"][0]["isa"], zoo::nn::cuda::KERNELS);
    let threads = report["timing"]["models"][0]["threads"].as_array().unwrap();
    assert!(threads.iter().any(|t| t["network"].as_f64().unwrap() > 0.0), "{threads:?}");
    std::fs::remove_dir_all(case.home.cache("runs")).unwrap();
    // At the same time, as a machine with two cards would.
    let parts = [("cuda:0", "1/2", "part-1.json"), ("cuda:1", "2/2", "part-2.json")];
    let running = parts
        .map(|(device, shard, report)| on(device, &["--shard", shard, "--report", report]).spawn().unwrap());
    for child in running {
        let ran = ran(child.wait_with_output().unwrap());
        assert_eq!(ran.code, Some(0), "{}", ran.err);
    }
    let merged = case.home.run(&["merge", "part-1.json", "part-2.json", "--report", "merged.json"]);
    assert_eq!(merged.code, Some(0), "{}", merged.err);
    assert_eq!(case.canonical("merged.json"), case.canonical("whole.json"));
    // A part that the CPU made is merged too, and that is said.
    let cpu = ran(on("cpu", &["--shard", "2/2", "--report", "cpu.json"]).output().unwrap());
    assert_eq!(cpu.code, Some(0), "{}", cpu.err);
    let mixed = case.home.run(&["merge", "part-1.json", "cpu.json", "--report", "mixed.json"]);
    assert_eq!(mixed.code, Some(0), "{}", mixed.err);
    let said = format!("{}{}", mixed.out, mixed.err);
    assert!(said.contains("parts of several instruction sets (") && said.contains("cuda/"), "{said}");
}

#[test]
fn an_image_that_cannot_be_read_spoils_only_itself_on_a_card_too() {
    let case = small();
    let on = |more: &[&'static str]| {
        ran(command(&case.home, &[&SMALL[..], &["cuda"], more].concat(), &[]).output().unwrap())
    };
    assert_eq!(on(&["--report", "whole.json"]).code, Some(0));
    let rows = |report: &str| case.json(report)["results"][0]["per_image"].as_array().unwrap().clone();
    let whole = rows("whole.json");
    let folder = std::fs::read_dir(case.path("val")).unwrap().next().unwrap().unwrap().path();
    let id = format!("{}/broken", folder.file_name().unwrap().to_str().unwrap());
    std::fs::write(folder.join("broken.jpg"), b"\xff\xd8 no picture").unwrap();
    let refused = on(&["--report", "refused.json"]);
    assert_eq!(refused.code, Some(3), "{}", refused.err);
    assert!(refused.err.contains("broken.jpg"), "{}", refused.err);
    let skipped = on(&["--report", "skipped.json", "--on-bad-image", "skip"]);
    assert_eq!(skipped.code, Some(0), "{}", skipped.err);
    let report = case.json("skipped.json");
    assert!(report["results"][0]["skipped"].to_string().contains(&id), "{report}");
    let others: Vec<Value> = rows("skipped.json").into_iter().filter(|row| row[0] != id.as_str()).collect();
    assert_eq!(others, whole);
}

#[test]
fn a_run_on_a_card_that_is_killed_or_stopped_resumes_to_the_same_report() {
    use rustix::process::{Pid, Signal, kill_process};
    let case = small();
    let on = |more: &[&'static str]| command(&case.home, &[&SMALL[..], &["cuda"], more].concat(), &[]);
    let whole = ran(on(&["--report", "whole.json"]).output().unwrap());
    assert_eq!(whole.code, Some(0), "{}", whole.err);
    std::fs::remove_dir_all(case.home.cache("runs")).unwrap();
    for (signal, code) in [(Signal::KILL, None), (Signal::INT, Some(130))] {
        let least = on_record(&case) + 4;
        let child = on(&["--batch", "2", "--report", "never.json"]).spawn().unwrap();
        until("images on record", || on_record(&case) >= least);
        kill_process(Pid::from_child(&child), signal).unwrap();
        let stopped = ran(child.wait_with_output().unwrap());
        assert_eq!(stopped.code, code, "{}", stopped.err);
        assert!(!case.path("never.json").exists());
    }
    let before = on_record(&case);
    assert!((8..36).contains(&before), "{before} images on record");
    let resumed = ran(on(&["--report", "resumed.json"]).output().unwrap());
    assert_eq!(resumed.code, Some(0), "{}", resumed.err);
    assert_eq!(case.canonical("resumed.json"), case.canonical("whole.json"));
    let computed = case.json("resumed.json")["timing"]["models"][0]["computed"].as_u64().unwrap();
    assert_eq!(computed as usize, 36 - before, "what is on record is not run again");
}

#[test]
fn kernels_that_are_being_compiled_are_told_once() {
    let home = Home::new();
    let args = ["verify", "--dataset", "golden", "--device", "cuda", "mobilenetv3_large_100"];
    let slow = run(&home, &args, &[("ZOO_EMULATE_COMPILE", "120")]);
    assert_eq!(slow.code, Some(0), "{}", slow.err);
    assert_eq!(slow.err.matches("its driver compiles the kernels").count(), 1, "{}", slow.err);
    let quick = run(&home, &args, &[]);
    assert!(!quick.err.contains("compiles the kernels"), "{}", quick.err);
}
