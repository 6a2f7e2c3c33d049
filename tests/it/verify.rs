//! `zoo verify` on a folder of pictures whose right answers are known: counts, the report, and that nothing but
//! weights, images and settings decides it.

use std::path::PathBuf;

use serde_json::Value;

use crate::lite0::{MODEL, golden, lite0, weights};
use crate::support::{Home, Ran};

/// Pictures, and which of the network's five guesses each is labelled with: five is none of them.
const PICTURES: [(&str, usize); 12] = [
    ("411.jpg", 0),
    ("420.jpg", 0),
    ("422.jpg", 0),
    ("440.jpg", 0),
    ("444.jpg", 0),
    ("cmyk.jpg", 0),
    ("grey.jpg", 0),
    ("photo.jpg", 0),
    ("square.jpg", 0),
    ("tall.jpg", 1),
    ("wide.jpg", 4),
    ("progressive-420.jpg", 5),
];

/// A home with weights and a folder of labelled pictures.
pub(crate) struct Case {
    pub(crate) home: Home,
}

impl Case {
    pub(crate) fn new() -> Self {
        let case = Case { home: Home::new() };
        case.home.write("w.safetensors", weights(&lite0(), |_, _| {}));
        let pictures: Vec<String> =
            PICTURES.iter().map(|(name, _)| golden(name).to_str().unwrap().to_owned()).collect();
        let mut args = vec!["predict", MODEL, "--weights", "w.safetensors", "--json"];
        args.extend(pictures.iter().map(String::as_str));
        let ran = case.home.run(&args);
        assert_eq!(ran.code, Some(0), "{}", ran.err);
        let answers: Value = serde_json::from_str(&ran.out).unwrap();
        let labels = zoo::registry::labels::imagenet();
        for (at, (name, guess)) in PICTURES.iter().enumerate() {
            let top = answers[at]["top"].as_array().unwrap();
            let said: Vec<usize> = top.iter().map(|g| g["index"].as_u64().unwrap() as usize).collect();
            let class =
                said.get(*guess).copied().unwrap_or_else(|| (0..).find(|c| !said.contains(c)).unwrap());
            let folder = format!("val/{}", labels[class].wnid);
            // Three of each, under names of their own: enough to be killed in the middle of.
            for copy in 0..3 {
                let bytes = std::fs::read(golden(name)).unwrap();
                case.home.write(&format!("{folder}/{copy}-{name}"), bytes);
            }
        }
        case
    }

    pub(crate) fn verify(&self, more: &[&str]) -> Ran {
        self.home.run(&self.args(more))
    }

    pub(crate) fn args<'a>(&self, more: &[&'a str]) -> Vec<&'a str> {
        let mut args = vec!["verify", MODEL, "--weights", "w.safetensors", "--dataset", "imagenet-val"];
        if !more.contains(&"--data-dir") {
            args.extend(["--data-dir", "val"]);
        }
        args.extend(more);
        args
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.home.path(name)
    }

    /// What two equal runs have in common.
    pub(crate) fn canonical(&self, report: &str) -> String {
        let ran = self.home.run(&["report", report, "--canonical"]);
        assert_eq!(ran.code, Some(0), "{}", ran.err);
        ran.out
    }

    pub(crate) fn json(&self, name: &str) -> Value {
        serde_json::from_slice(&std::fs::read(self.path(name)).unwrap()).unwrap()
    }
}

#[test]
fn counts_interval_and_verdict_are_those_of_the_labels() {
    let case = Case::new();
    let ran = case.verify(&[
        "--report",
        "r.json",
        "--report",
        "r.json.gz",
        "--report",
        "r.md",
        "--predictions",
        "p.csv",
    ]);
    assert_eq!(ran.code, Some(0), "{}", ran.err);
    let report = case.json("r.json");
    assert_eq!(crate::schemas::wrong("verify-1.json", &report), Vec::<String>::new());
    let run = &report["run"];
    assert_eq!(
        (&run["dataset"], &run["seed"], &run["subset"]),
        (&"imagenet-val".into(), &0.into(), &Value::Null)
    );
    assert_eq!((&run["confidence"], &run["on_bad_image"]), (&0.95.into(), &"fail".into()));
    let result = &report["results"][0];
    assert_eq!(result["model"], MODEL);
    assert_eq!(
        (&result["n"], &result["top1_correct"], &result["top5_correct"]),
        (&36.into(), &27.into(), &33.into())
    );
    assert_eq!((&result["top1"], &result["top5"]), (&75.0.into(), &91.666667.into()));
    // Clopper and Pearson for 27 of 36, by scipy 1.17: beta.ppf(0.025, 27, 10), beta.ppf(0.975, 28, 9).
    assert_eq!(result["interval"], serde_json::json!([57.797042, 87.879671]));
    assert_eq!(result["claim"], serde_json::json!({"value": 75.1, "source": "entry", "digits": 1}));
    assert_eq!((&result["tolerance"], &result["verdict"]), (&0.15.into(), &"consistent".into()));
    assert_eq!(result["dataset"]["relation"], "given");
    assert_eq!(result["per_image"].as_array().unwrap().len(), 36);
    let ids: Vec<_> =
        result["per_image"].as_array().unwrap().iter().map(|r| r[0].as_str().unwrap()).collect();
    assert!(ids.is_sorted() && ids.iter().all(|id| id.starts_with('n') && id.contains('/')), "{ids:?}");
    assert!(ran.out.contains("75.00") && ran.out.contains("consistent"), "{}", ran.out);
    assert!(ran.out.contains("valid only if these images are a random sample"), "{}", ran.out);

    let markdown = std::fs::read_to_string(case.path("r.md")).unwrap();
    assert!(markdown.contains("| consistent ") && markdown.contains("75.1"), "{markdown}");
    let csv = std::fs::read_to_string(case.path("p.csv")).unwrap();
    assert_eq!(csv.lines().count(), 37);
    let head = "image,labels,pred1,pred2,pred3,pred4,pred5,prob1,prob2,prob3,prob4,prob5";
    assert_eq!(csv.lines().next(), Some(head));
    assert_eq!(case.canonical("r.json"), case.canonical("r.json.gz"));

    // Outputs that exist are not touched, and nothing is run for it.
    let again = case.verify(&["--report", "r.json"]);
    assert_eq!(again.code, Some(2), "{}", again.err);
    assert!(again.err.contains("r.json") && again.err.contains("--force"), "{}", again.err);
}

#[test]
fn every_kind_of_report_is_harmless_and_complete() {
    let case = Case::new();
    let bytes = std::fs::read(golden("tall.jpg")).unwrap();
    case.home.write("val/n01440764/<script>alert(1)<|script>.jpg", &bytes);
    let kinds = ["html", "xml", "sarif", "md"];
    let reports: Vec<String> = kinds.iter().map(|k| format!("r.{k}")).collect();
    let mut args: Vec<&str> = reports.iter().flat_map(|r| ["--report", r.as_str()]).collect();
    args.extend(["--thumbnails", "--min-top1", "99"]);
    let ran = case.verify(&args);
    assert_eq!(ran.code, Some(1), "{}", ran.err);
    let text = |kind: &str| std::fs::read_to_string(case.path(&format!("r.{kind}"))).unwrap();
    let html = text("html");
    assert!(html.contains("default-src 'none'") && !html.contains("<script"), "{html}");
    assert!(html.contains("data:image/png;base64,") && html.contains("&lt;script&gt;alert(1)"), "{html}");
    assert!(html.contains(MODEL) && html.contains("gate min_top1 failed"), "{html}");
    let xml = text("xml");
    assert!(
        xml.contains("tests=\"1\" failures=\"1\" errors=\"0\"") && xml.contains("<failure type=\"gate\""),
        "{xml}"
    );
    let sarif: Value = serde_json::from_str(&text("sarif")).unwrap();
    assert_eq!(
        (&sarif["version"], &sarif["runs"][0]["results"][0]["ruleId"]),
        (&"2.1.0".into(), &"gate".into())
    );
    assert!(text("md").contains("gate min\\_top1 FAILED") || text("md").contains("gate min_top1 FAILED"));
}

#[test]
fn threads_batch_and_shards_do_not_show() {
    let case = Case::new();
    let one = case.verify(&["--report", "one.json", "--threads", "1", "--force"]);
    assert_eq!(one.code, Some(0), "{}", one.err);
    let many = case.verify(&["--report", "many.json", "--threads", "5", "--batch", "4", "--force"]);
    assert_eq!(many.code, Some(0), "{}", many.err);
    let whole = case.canonical("one.json");
    assert_eq!(whole, case.canonical("many.json"));
    for of in [2, 7] {
        let mut merge = vec!["merge".to_owned()];
        for index in 1..=of {
            let (shard, part) = (format!("{index}/{of}"), format!("{of}-{index}.json"));
            let ran = case.verify(&["--shard", &shard, "--report", &part, "--force"]);
            assert_eq!(ran.code, Some(0), "{}", ran.err);
            assert!(ran.out.contains(&format!("part {shard} of a run")), "{}", ran.out);
            merge.push(part);
        }
        let out = format!("{of}.json");
        merge.extend(["--report".to_owned(), out.clone()]);
        let ran = case.home.run(&merge.iter().map(String::as_str).collect::<Vec<_>>());
        assert_eq!(ran.code, Some(0), "{}", ran.err);
        assert_eq!(case.canonical(&out), whole, "{of} shards");
    }
    let merge = |parts: &[&str]| case.home.run(&[&["merge"], parts].concat());
    let gap = merge(&["7-1.json", "7-3.json"]);
    assert_eq!(gap.code, Some(3));
    assert!(gap.err.contains("missing: 2/7, 4/7, 5/7, 6/7, 7/7"), "{}", gap.err);
    let twice = merge(&["2-1.json", "2-2.json", "2-1.json"]);
    assert_eq!(twice.code, Some(3));
    assert!(twice.err.contains("is in both `2-1.json` and `2-1.json`"), "{}", twice.err);
    let ran = case.verify(&["--shard", "2/2", "--report", "other.json", "--seed", "1", "--force"]);
    assert_eq!(ran.code, Some(0), "{}", ran.err);
    let mixed = merge(&["2-1.json", "other.json"]);
    assert_eq!(mixed.code, Some(3));
    assert!(mixed.err.contains("`run.seed` is 0 and 1"), "{}", mixed.err);
}

#[test]
fn what_is_on_record_is_not_run_again() {
    let case = Case::new();
    // A part is on record; the whole resumes there.
    assert_eq!(case.verify(&["--subset", "10", "--report", "ten.json"]).code, Some(0));
    let rest = case.verify(&["--report", "all.json", "--progress", "json"]);
    assert_eq!(rest.code, Some(0), "{}", rest.err);
    assert!(rest.err.contains(r#""done":10"#) && rest.err.contains(r#""total":36"#), "{}", rest.err);
    assert_eq!(case.json("all.json")["timing"]["models"][0]["computed"], 26);
    // All of it is: nothing is run, and the result is the same.
    let again = case.verify(&["--report", "again.json"]);
    assert!(again.out.contains("unchanged since 20"), "{}", again.out);
    assert_eq!(case.json("again.json")["timing"]["models"][0]["computed"], 0);
    assert_eq!(case.canonical("all.json"), case.canonical("again.json"));
    // Unless it is asked for, or an image changes.
    case.verify(&["--report", "forced.json", "--force"]);
    assert_eq!(case.json("forced.json")["timing"]["models"][0]["computed"], 36);
    assert_eq!(case.canonical("all.json"), case.canonical("forced.json"));
    let folder = std::fs::read_dir(case.path("val")).unwrap().next().unwrap().unwrap().path();
    let image = std::fs::read_dir(folder).unwrap().next().unwrap().unwrap().path();
    std::fs::write(&image, std::fs::read(golden("stored-rgb.jpg")).unwrap()).unwrap();
    case.verify(&["--report", "changed.json"]);
    assert_eq!(case.json("changed.json")["timing"]["models"][0]["computed"], 36);
}

/// Images whose whole line is in the journal.
pub(crate) fn on_record(case: &Case) -> usize {
    let Ok(mut entries) = std::fs::read_dir(case.home.cache("runs")) else { return 0 };
    let Some(entry) = entries.next() else { return 0 };
    let text = std::fs::read(entry.unwrap().path()).unwrap();
    let whole = |line: &&[u8]| {
        let Some((said, rest)) = std::str::from_utf8(line).ok().and_then(|l| l.split_once(' ')) else {
            return false;
        };
        zoo::Sha256::of(rest.as_bytes()).to_string().starts_with(said) && said.len() == 8
    };
    let mut ids: Vec<&[u8]> = text.split(|b| *b == b'\n').filter(whole).collect();
    ids.sort_unstable();
    ids.dedup();
    ids.len()
}

#[test]
fn a_run_that_is_killed_resumes_to_the_same_report() {
    let case = Case::new();
    case.verify(&["--report", "whole.json", "--force"]);
    let whole = case.canonical("whole.json");
    std::fs::remove_dir_all(case.home.cache("runs")).unwrap();
    for (turn, more) in [0_usize, 1, 3, 6, 9].into_iter().enumerate() {
        let least = on_record(&case) + more;
        let mut child =
            case.home.command(&case.args(&["--threads", "1", "--report", "killed.json"])).spawn().unwrap();
        // Killed once so many images are on record, however fast the machine is; or it has finished.
        while child.try_wait().unwrap().is_none() && on_record(&case) < least {
            std::thread::sleep(std::time::Duration::from_millis(1));
        }
        child.kill().unwrap();
        child.wait().unwrap();
        let before = on_record(&case);
        assert!(before >= least, "it ended with {before} images on record");
        let out = format!("{turn}.json");
        let ran = case.verify(&["--report", &out]);
        assert_eq!(ran.code, Some(0), "{}", ran.err);
        assert_eq!(case.canonical(&out), whole);
        let computed = case.json(&out)["timing"]["models"][0]["computed"].as_u64().unwrap();
        assert_eq!(computed as usize, 36 - before, "what is on record is not run again");
        // A power cut may leave half a line, or less: that image is measured again.
        let rows = std::fs::read_dir(case.home.cache("runs")).unwrap().next().unwrap().unwrap().path();
        let bytes = std::fs::read(&rows).unwrap();
        std::fs::write(&rows, &bytes[..bytes.len() * (turn + 1) / 7]).unwrap();
    }
    let ran = case.verify(&["--report", "last.json"]);
    assert_eq!(ran.code, Some(0), "{}", ran.err);
    let computed = case.json("last.json")["timing"]["models"][0]["computed"].as_u64().unwrap();
    assert!((1..36).contains(&computed), "{computed} were computed again");
    assert_eq!(case.canonical("last.json"), whole);
}

#[test]
fn the_reference_engine_agrees() {
    let case = Case::new();
    let args = ["--subset", "6", "--report"];
    assert_eq!(case.verify(&[&args[..], &["plan.json"]].concat()).code, Some(0));
    assert_eq!(
        case.verify(&[&args[..], &["reference.json", "--engine", "reference"]].concat()).code,
        Some(0)
    );
    let (plan, reference) = (case.json("plan.json"), case.json("reference.json"));
    let rows = |r: &Value| r["results"][0]["per_image"].as_array().unwrap().clone();
    for (a, b) in rows(&plan).iter().zip(rows(&reference)) {
        assert_eq!((&a[0], &a[1], &a[2]), (&b[0], &b[1], &b[2]));
    }
    assert_ne!(plan["results"][0]["isa"], reference["results"][0]["isa"]);
}

/// After a contradiction a reason is looked for without being asked: with about the run's own work, and all of it when asked.
#[test]
fn a_search_that_nobody_asked_for_is_bounded_by_the_run() {
    let case = Case::new();
    let page = "Models:\n- Name: proud\n  Metadata: {Image Size: '224', Crop Pct: '0.875', Interpolation: bicubic}\n  \
                Results: [{Task: Image Classification, Dataset: ImageNet, Metrics: {Top 1 Accuracy: 99.9%}}]\n  \
                zoo: {arch: tf_efficientnet_lite0, mean: [0.5, 0.5, 0.5], std: [0.5, 0.5, 0.5], names: timm}\n";
    case.home.write("proud.yaml", page);
    let search = |more: &[&str]| {
        let mut args = vec!["verify", "proud", "--registry", "proud.yaml", "--weights", "w.safetensors"];
        args.extend(["--dataset", "imagenet-val", "--data-dir", "val", "--report", "r.json", "--force"]);
        args.extend(more);
        let ran = case.home.run(&args);
        assert_eq!(ran.code, Some(1), "{}", ran.err);
        let report = case.json("r.json");
        assert_eq!(crate::schemas::wrong("verify-1.json", &report), Vec::<String>::new());
        let diagnosis = report["diagnoses"][0].clone();
        let tried = diagnosis["tried"].as_array().unwrap().clone();
        let images: Vec<u64> = tried.iter().map(|t| t["images"].as_u64().unwrap()).collect();
        (diagnosis["complete"].as_bool().unwrap(), images, ran.out)
    };
    let (complete, images, said) = search(&[]);
    // Three copies of twelve pictures may speak for a setting by chance; else it says how to have more.
    let found = said.contains("evidence:");
    assert!(found || (!complete && said.contains("`--diagnose` tries each on up to 256 images")), "{said}");
    // 36 images are few: the least that is allowed is some hundred runs of this network.
    let most = images.iter().max().unwrap();
    assert!(images.iter().sum::<u64>() + most <= 120, "{images:?}");
    assert!(*most <= 36 && images.iter().min() < images.iter().max(), "{images:?}");
    let (complete, images, said) = search(&["--diagnose"]);
    assert!(complete && !said.contains("--diagnose"), "{said}");
    assert!(images.len() > 10 && images.iter().all(|&n| n == 36), "{images:?}");
    let timing = &case.json("r.json")["timing"]["models"][0];
    let threads = timing["threads"].as_array().unwrap();
    assert!(!threads.is_empty() || timing["computed"] == 0, "{timing}");
}
