//! What `zoo verify` refuses, what its gates ask, and which exit code each is.

use crate::lite0::{MODEL, golden};
use crate::support::{Home, Ran};
use crate::verify::Case;

fn says(ran: &Ran, code: i32, parts: &[&str]) {
    assert_eq!(ran.code, Some(code), "{} {}", ran.out, ran.err);
    let text = format!("{}{}", ran.out, ran.err);
    parts.iter().for_each(|part| assert!(text.contains(part), "no `{part}` in: {text}"));
}

#[test]
fn without_images_it_says_how_to_get_them() {
    let home = Home::new();
    let ran = home.run(&["verify", "--dataset", "imagenet-val"]);
    says(&ran, 3, &["imagenet-val", "image-net.org", "zoo dataset add imagenet-val DIR", "--dataset sample"]);
    assert!(ran.out.is_empty());
    says(&home.run(&["verify", "--dataset", "imagenet_val"]), 3, &["imagenet-val"]);
    says(&home.run(&["verify", "efficientnet_lite0_pipy", "--dataset", "sample", "--offline"]), 3, &[MODEL]);
    says(&home.run(&["verify", MODEL, "--dataset", "sample", "--offline"]), 4, &["offline"]);
}

#[test]
fn without_a_name_it_takes_what_is_in_the_store() {
    let case = Case::new();
    let ran = case.home.run(&["verify", "--dataset", "imagenet-val", "--data-dir", "val"]);
    says(&ran, 3, &["no model's weights are here", "zoo fetch"]);
}

#[test]
fn what_cannot_be_asked_is_usage() {
    let case = Case::new();
    let cases: [(&[&str], &[&str]); 9] = [
        (&["--report", "r.docx"], &["r.docx", ".json"]),
        (&["--until", "decided", "--shard", "1/2"], &["--shard"]),
        (&["--until", "decided", "--subset-file", "ids.txt"], &["--subset-file"]),
        (&["--until", "decided"], &["given"]),
        (&["--shard", "3/2"], &["1/4"]),
        (&["--confidence", "95"], &["0.95"]),
        (&["--max-drop", "1"], &["--baseline"]),
        (&["--tolerance", "a lot"], &["78.66"]),
        (&["--threads", "0"], &["threads"]),
    ];
    case.home.write("ids.txt", "n01440764/x\n");
    for (args, parts) in cases {
        let ran = case.verify(args);
        says(&ran, 2, parts);
        assert!(ran.out.is_empty());
    }
    assert!(!case.home.cache("runs").exists(), "something was run");
}

#[test]
fn an_unreadable_image_fails_counts_wrong_or_is_left_out() {
    let case = Case::new();
    let half = std::fs::read(golden("photo.jpg")).unwrap();
    case.home.write("val/n01440764/half.jpg", &half[..half.len() / 2]);
    says(&case.verify(&["--report", "r.json"]), 3, &["half.jpg", "--on-bad-image"]);
    assert!(!case.path("r.json").exists());
    says(&case.verify(&["--on-bad-image", "wrong", "--report", "wrong.json"]), 0, &["n01440764/half"]);
    says(&case.verify(&["--on-bad-image", "skip", "--report", "skip.json"]), 0, &["n01440764/half"]);
    let of = |name: &str| case.json(name)["results"][0].clone();
    let (wrong, skip) = (of("wrong.json"), of("skip.json"));
    assert_eq!((&wrong["n"], &wrong["top1_correct"]), (&37.into(), &27.into()));
    assert_eq!((&skip["n"], &skip["top1_correct"]), (&36.into(), &27.into()));
    assert_eq!(skip["skipped"][0]["id"], "n01440764/half");
    let end = |r: &serde_json::Value, at: usize| r["interval"][at].as_f64().unwrap();
    // It may have been right or wrong: the interval reaches from the one to the other.
    assert_eq!(end(&skip, 0), end(&wrong, 0));
    assert!(end(&skip, 1) > end(&wrong, 1));
}

#[test]
fn folders_that_are_no_dataset_say_what_is_wrong() {
    let case = Case::new();
    let at = |folder: &str| case.verify(&["--data-dir", folder]);
    std::fs::create_dir(case.path("empty")).unwrap();
    says(&at("empty"), 3, &["empty", "no images"]);
    says(&at("no-such"), 3, &["no-such"]);
    case.home.write("cats/tabby_or_not/1.jpg", std::fs::read(golden("420.jpg")).unwrap());
    says(&at("cats"), 3, &["tabby_or_not", "ImageNet's thousand classes"]);
    case.home.write("labels/x.csv", "path,label\nmissing.jpg,7\n");
    says(&at("labels"), 3, &["missing.jpg"]);
}

#[test]
fn gates_decide_the_exit_code() {
    let case = Case::new();
    says(&case.verify(&["--report", "old.json", "--min-top1", "50"]), 0, &["gate min_top1 passed"]);
    says(&case.verify(&["--min-top1", "60"]), 1, &["gate min_top1 FAILED", "57.797042"]);
    says(&case.verify(&["--require", "reproduced"]), 1, &["gate require FAILED"]);
    says(&case.verify(&["--strict"]), 5, &["consistent"]);
    // A claim that is far off is contradicted: the answer is no.
    says(&case.verify(&["--tolerance", "30"]), 0, &["reproduced"]);
    let baseline = ["--baseline", "old.json"];
    let drop = |more: &[&str]| case.verify(&[&baseline[..], more].concat());
    says(&drop(&["--max-drop", "0"]), 0, &["gate max_drop passed"]);
    says(&drop(&["--prove-no-drop", "50"]), 0, &["gate prove_no_drop passed"]);
    says(&drop(&["--prove-no-drop", "1"]), 1, &["gate prove_no_drop FAILED"]);
    says(&drop(&["--max-drop", "0", "--subset", "9"]), 3, &["old.json", "its images or labels are others"]);
    case.home.write("no.json", "{\"schema\": \"zoo.verify/9\"}");
    says(&case.verify(&["--baseline", "no.json", "--max-drop", "0"]), 3, &["no.json", "zoo.verify/9"]);
}

#[test]
fn a_contradicted_claim_is_exit_1_and_several_models_are_judged_apart() {
    let case = Case::new();
    case.home.write(
        "mine/mine.yaml",
        format!(
            "\
Models:
- Name: honest
  Metadata: {{Image Size: '224', Crop Pct: '0.875', Interpolation: bicubic}}
  Weights: file://{w}
  Results: [{{Task: Image Classification, Dataset: ImageNet, Metrics: {{Top 1 Accuracy: 75.0%}}}}]
  zoo: {{arch: tf_efficientnet_lite0, mean: [0.5, 0.5, 0.5], std: [0.5, 0.5, 0.5]}}
- Name: proud
  Metadata: {{Image Size: '224', Crop Pct: '0.875', Interpolation: bicubic}}
  Weights: file://{w}
  Results: [{{Task: Image Classification, Dataset: ImageNet, Metrics: {{Top 1 Accuracy: 99.1%}}}}]
  zoo: {{arch: tf_efficientnet_lite0, mean: [0.5, 0.5, 0.5], std: [0.5, 0.5, 0.5]}}
- Name: silent
  Metadata: {{Image Size: '224', Crop Pct: '0.875', Interpolation: bicubic}}
  Weights: file://{w}
  zoo: {{arch: tf_efficientnet_lite0, mean: [0.5, 0.5, 0.5], std: [0.5, 0.5, 0.5]}}
- Name: broken
  Metadata: {{Image Size: '224'}}
  Weights: file:///no/such/file.pth
  zoo: {{arch: tf_efficientnet_lite0, mean: [0.5, 0.5, 0.5], std: [0.5, 0.5, 0.5]}}
",
            w = case.path("w.safetensors").display()
        ),
    );
    let verify = |names: &[&str], more: &[&str]| {
        let rest = ["--registry", "mine", "--dataset", "imagenet-val", "--data-dir", "val"];
        case.home.run(&[&["verify"], names, &rest, more].concat())
    };
    says(&verify(&["honest"], &[]), 0, &["consistent"]);
    says(&verify(&["proud"], &[]), 1, &["contradicted"]);
    says(&verify(&["silent"], &[]), 0, &["no-claim"]);
    says(&verify(&["silent"], &["--strict"]), 5, &["no-claim"]);
    says(&verify(&["honest", "proud"], &["--report", "board.json"]), 1, &["consistent", "contradicted"]);
    let board = case.json("board.json");
    let p = |at: usize| board["results"][at]["holm_p"].as_f64().unwrap();
    assert!(p(0) > 0.5 && p(1) < 1e-6, "{} {}", p(0), p(1));
    says(&verify(&["broken", "honest"], &[]), 3, &["/no/such/file.pth"]);
    let kept = verify(&["broken", "proud", "honest"], &["--keep-going", "--report", "kept.json"]);
    says(&kept, 3, &["/no/such/file.pth", "contradicted", "consistent"]);
    assert_eq!(case.json("kept.json")["failed"][0]["model"], "broken");
    for report in ["board.json", "kept.json"] {
        assert_eq!(
            crate::schemas::wrong("verify-1.json", &case.json(report)),
            Vec::<String>::new(),
            "{report}"
        );
    }
    assert_eq!(case.json("kept.json")["results"].as_array().unwrap().len(), 2);
    // Without a name, those in the store are meant, in the order of their names.
    let here = verify(&[], &["--report", "here.json"]);
    says(&here, 1, &["proud", "honest", "silent"]);
    let models: Vec<_> =
        case.json("here.json")["results"].as_array().unwrap().iter().map(|r| r["model"].clone()).collect();
    assert_eq!(models, ["honest", "proud", "silent"]);
}

#[test]
fn the_bar_is_fixed_before_the_run() {
    let case = Case::new();
    let planned = case.verify(&["--plan", "--plan-out", "p.json"]);
    says(&planned, 0, &["images to decide", "36 images of `imagenet-val`"]);
    assert!(!case.home.cache("runs").exists(), "a plan runs nothing");
    says(&case.verify(&["--plan-out", "p.json", "--report", "r.json"]), 0, &["consistent"]);
    let sha256 = zoo::Sha256::of(&std::fs::read(case.path("p.json")).unwrap()).to_string();
    let report = case.json("r.json");
    assert_eq!(report["run"]["plan_sha256"], sha256);
    assert_eq!(crate::schemas::wrong("verify-1.json", &report), Vec::<String>::new());
    assert_eq!(crate::schemas::wrong("plan-1.json", &case.json("p.json")), Vec::<String>::new());
    // What is no plan is told so, whatever else it may be.
    for (text, says_too) in
        [("not even JSON", "expected"), ("{}", "zoo.plan/1"), ("{\"schema\": \"zoo.plan/9\"}", "zoo.plan/9")]
    {
        case.home.write("no.json", text);
        says(
            &case.verify(&["--plan-out", "no.json"]),
            3,
            &["`no.json` is not a plan of `zoo verify`", says_too],
        );
    }
    // Nor is an empty report overwritten, as nothing that exists is.
    case.home.write("empty.json", "");
    says(&case.verify(&["--report", "empty.json"]), 2, &["`empty.json` exists", "--force"]);
    says(
        &case.verify(&["--plan-out", "p.json", "--tolerance", "3"]),
        2,
        &["p.json", "`run.tolerance` is null", "3"],
    );
}

#[test]
fn golden_says_its_level_and_takes_records() {
    let case = Case::new();
    let golden =
        |more: &[&str]| case.home.run(&[&["verify"], more, &["--dataset", "golden", "--offline"]].concat());
    says(&golden(&["tf_efficientnet_b0_ns"]), 0, &["architecture", "timm's: "]);
    let json = golden(&["tf_efficientnet_b0_ns", "--json"]);
    let json: serde_json::Value = serde_json::from_str(&json.out).unwrap();
    assert_eq!(crate::schemas::wrong("golden-1.json", &json), Vec::<String>::new());
    says(&golden(&["tf_efficientnet_b0_ns", "--shard", "1/2"]), 2, &["--shard"]);
    let weights = ["--weights", "w.safetensors"];
    let script = case.home.run(&[&["golden", "record", MODEL][..], &weights].concat());
    says(
        &script,
        0,
        &["timm.create_model('tf_efficientnet_lite0'", "zoo convert", "--arch tf_efficientnet_lite0"],
    );
    assert_eq!(script.out.lines().count(), 10);
    // The seeded weights are those of the embedded record, and so are their logits.
    let record = zoo::verify::logits_record::of("tf_efficientnet_lite0").unwrap().unwrap();
    let row = record.rows.iter().find(|r| r.size == 224).unwrap();
    let sha256 =
        script.out.split("'tensors_sha256': '").nth(1).unwrap().split('\'').next().unwrap().to_owned();
    let put = |name: &str, sha256: &str, spoil: f32| {
        let mut logits = row.logits.clone();
        logits[7] += spoil;
        let bytes: Vec<u8> = logits.iter().flat_map(|v| v.to_le_bytes()).collect();
        let logits = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, bytes);
        let record = serde_json::json!({"schema": "zoo.golden/1", "arch": "tf_efficientnet_lite0",
            "tensors_sha256": sha256, "size": 224, "timm": "1.0.31", "torch": "2", "logits": logits});
        case.home.write(name, record.to_string());
        case.home.run(&[&["golden", "record", MODEL, "--from", name][..], &weights].concat())
    };
    says(&put("other.json", &"0".repeat(64), 0.0), 3, &["other.json", "tensors_sha256"]);
    says(&put("right.json", &sha256, 0.0), 0, &["kept as"]);
    says(&golden(&[&[MODEL][..], &weights].concat()), 0, &["checkpoint", "timm's: "]);
    says(&put("wrong.json", &sha256, 0.5), 0, &["kept as"]);
    says(&golden(&[&[MODEL][..], &weights].concat()), 1, &["checkpoint", "NOT timm's"]);
    // `zoo list` tells the level that would be found: a record counts once the weights it is of are here.
    let w = case.path("w.safetensors").display().to_string();
    let page = format!(
        "Models:\n- {{Name: mine, Weights: 'file://{w}', zoo: {{arch: tf_efficientnet_lite0}}}}\n- {{Name: mine-bare}}\n"
    );
    case.home.write("mine.yaml", page);
    let level =
        || case.home.run(&["list", "mine", "--columns", "golden", "--csv", "--registry", "mine.yaml"]).out;
    assert_eq!(level(), "golden\narchitecture\nunknown\n");
    says(&case.home.run(&["fetch", "mine", "--registry", "mine.yaml"]), 0, &[]);
    assert_eq!(level(), "golden\ncheckpoint\nunknown\n");
    let chosen =
        ["list", "--where", "golden = checkpoint", "--columns", "name", "--csv", "--registry", "mine.yaml"];
    assert_eq!(case.home.run(&chosen).out, "name\nmine\n");
}

#[test]
fn a_subset_is_the_head_of_the_order() {
    let case = Case::new();
    says(&case.verify(&["--subset", "5", "--report", "five.json"]), 0, &["the first 5 by seed 0"]);
    says(&case.verify(&["--subset", "37"]), 3, &["37", "36"]);
    let rows = case.json("five.json")["results"][0]["per_image"].clone();
    let ids: Vec<String> =
        rows.as_array().unwrap().iter().map(|r| r[0].as_str().unwrap().to_owned()).collect();
    case.home.write("ids.txt", format!("# five\n{}\n", ids.join("\n")));
    says(&case.verify(&["--subset-file", "ids.txt", "--report", "listed.json"]), 0, &["those of a list"]);
    let of = |name: &str| case.json(name)["results"][0]["per_image"].clone();
    assert_eq!(of("five.json"), of("listed.json"));
    case.home.write("ids.txt", "n01440764/nowhere\n");
    says(&case.verify(&["--subset-file", "ids.txt"]), 3, &["n01440764/nowhere"]);
}
