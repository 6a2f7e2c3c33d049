//! `zoo lint` as users run it, and its findings on the pages as they came, every one explained in
//! `docs/lint-findings.md`. After a change that is meant: `ZOO_BLESS=1 cargo test --release --test it lint`.

use std::path::Path;

use serde_json::Value;

use crate::support::{Home, Ran};

fn findings(ran: &Ran) -> Vec<Value> {
    serde_json::from_str(&ran.out).unwrap_or_else(|e| panic!("{e}: {ran:?}"))
}

/// A page with one error, one warning, one note, and strings that would act on every sink.
const PAGE: &str = "Models:\n- Name: \"a\\e[31m]|</script>\\n::error::x\"\n  Metadata: {Parameters: 5290000, My Key: '=cmd'}\n  \
    Weights: http://example.org/a-01234567.pth\n  Results:\n  - Task: Image Classification\n    Dataset: ImageNet\n    \
    Metrics: {Top 1 Accuracy: 0.98%, Top 5 Accuracy: 18.58%}\n";

#[test]
fn a_bare_run_finds_no_error_and_as_published_does() {
    let home = Home::new();
    let corrected = home.run(&["lint"]);
    assert_eq!(corrected.code, Some(0), "{corrected:?}");
    assert!(corrected.err.contains("262 models: 0 errors, "), "{}", corrected.err);
    let published = home.run(&["lint", "--as-published", "--json"]);
    assert_eq!(published.code, Some(1), "{}", published.err);
    let found = findings(&published);
    let of = |rule: &str| found.iter().filter(|f| f["rule"] == rule).count();
    assert_eq!([of("Z011"), of("Z020"), of("Z040")], [4, 3, 17]);
    let b2a = found.iter().find(|f| f["rule"] == "Z020" && f["model"] == "efficientnet_b2a").unwrap();
    assert_eq!(
        (b2a["severity"].as_str(), b2a["path"].as_str().unwrap().ends_with(".Weights")),
        (Some("error"), true)
    );
    assert!(b2a["file"].as_str().unwrap().ends_with("efficientnet.yaml") && b2a["line"].as_u64() > Some(1));
}

#[test]
fn every_form_says_the_same_and_nothing_acts() {
    let home = Home::new();
    home.write("p.yaml", PAGE);
    let run = |more: &[&str]| {
        let ran = home.run(&[&["lint", "p.yaml"], more].concat());
        assert_eq!(ran.code, Some(1), "{more:?}: {ran:?}");
        let acts = |c: char| c.is_control() && c != '\n';
        assert!(!ran.out.contains(acts) && !ran.err.contains(acts), "{more:?}: {ran:?}");
        ran
    };
    let json = findings(&run(&["--json"]));
    let rules: Vec<_> = json.iter().map(|f| f["rule"].as_str().unwrap()).collect();
    for rule in ["Z005", "Z006", "Z011", "Z025"] {
        assert!(rules.contains(&rule), "{rules:?}");
    }
    assert_eq!(findings(&run(&["--format", "json"])), json);
    let errors = findings(&run(&["--json", "--severity", "error"]));
    assert_eq!(errors.len(), 1);
    let place = errors[0].as_object().unwrap();
    let keys: Vec<_> = place.keys().map(String::as_str).collect();
    assert_eq!(
        keys,
        ["rule", "severity", "file", "line", "column", "path", "model", "message", "found", "expected"]
    );
    assert_eq!((place["line"].as_u64(), place["column"].as_u64()), (Some(8), Some(31)));
    assert_eq!(place["path"], "Models[0].Results[0].Metrics.Top 1 Accuracy");
    let text = run(&[]);
    assert!(text.out.lines().any(|l| l.starts_with("p.yaml:8:31: error Z011: a\\u{1b}[31m")), "{}", text.out);
    assert!(!text.out.contains("info") && run(&["--severity", "info"]).out.contains("info"));
    let github = run(&["--format", "github"]);
    assert_eq!(github.out.lines().count(), json.len());
    for (line, finding) in github.out.lines().zip(&json) {
        let command = match finding["severity"].as_str().unwrap() {
            "info" => "notice",
            other => other,
        };
        assert!(line.starts_with(&format!("::{command} file=p.yaml,line=")), "{line}");
    }
    let sarif: Value = serde_json::from_str(&run(&["--format", "sarif"]).out).unwrap();
    assert_eq!(sarif["version"], "2.1.0");
    let results = sarif["runs"][0]["results"].as_array().unwrap();
    assert_eq!(results.len(), json.len());
    for (result, finding) in results.iter().zip(&json) {
        let index = result["ruleIndex"].as_u64().unwrap() as usize;
        assert_eq!(sarif["runs"][0]["tool"]["driver"]["rules"][index]["id"], finding["rule"]);
        let region = &result["locations"][0]["physicalLocation"]["region"];
        assert_eq!(region["startLine"], finding["line"]);
        assert!(!result["message"]["text"].as_str().unwrap().contains("[31m]|"), "a link could be made");
    }
}

#[test]
fn a_suppression_needs_a_reason_and_is_counted() {
    let home = Home::new();
    home.write("p.yaml", PAGE);
    let refused = home.run(&["lint", "p.yaml", "--allow", "Z011"]);
    assert!(refused.code == Some(2) && refused.err.contains("a reason is needed"), "{refused:?}");
    let unknown = home.run(&["lint", "p.yaml", "--allow", "near-chanse=x"]);
    assert!(unknown.code == Some(2) && unknown.err.contains("near-chance"), "{unknown:?}");
    let allowed = home.run(&["lint", "p.yaml", "--allow", "near-chance=a test", "--suppressed"]);
    assert_eq!(allowed.code, Some(0), "{allowed:?}");
    assert!(
        allowed.out.contains("suppressed: a test") && allowed.err.contains("1 suppressed"),
        "{allowed:?}"
    );
}

#[test]
fn files_that_cannot_be_read_are_findings_and_the_others_are_checked() {
    let home = Home::new();
    home.write("bad.yaml", "a: [\n");
    home.write("bytes.yaml", b"Models:\n- Name: \xff\n");
    home.write("p.yaml", PAGE);
    home.write("page.md", "# x\n\n```bibtex\n@misc{k, title = {a}\n```\n[z](gone.md)\n");
    let ran = home.run(&["lint", "bad.yaml", "bytes.yaml", "p.yaml", "page.md", "--json"]);
    assert_eq!(ran.code, Some(1), "{ran:?}");
    let found = findings(&ran);
    let at = |file: &str, rule: &str| found.iter().any(|f| f["file"] == file && f["rule"] == rule);
    for (file, rule) in [
        ("bad.yaml", "Z001"),
        ("bytes.yaml", "Z001"),
        ("p.yaml", "Z011"),
        ("page.md", "Z050"),
        ("page.md", "Z052"),
    ] {
        assert!(at(file, rule), "{file} {rule}: {found:#?}");
    }
    let missing = home.run(&["lint", "nowhere.yaml"]);
    assert!(missing.code != Some(0) && missing.err.contains("nowhere.yaml"), "{missing:?}");
}

#[test]
fn every_rule_is_listed_and_explained() {
    let home = Home::new();
    let listed = home.run(&["lint", "--rules", "--json"]);
    let rules: Vec<Value> = serde_json::from_str(&listed.out).unwrap();
    assert!(rules.len() > 30);
    for rule in &rules {
        let (id, name) = (rule["id"].as_str().unwrap(), rule["name"].as_str().unwrap());
        let explained = home.run(&["lint", "--explain", id]);
        assert!(
            explained.code == Some(0) && explained.out.starts_with(&format!("{id} {name} ")),
            "{explained:?}"
        );
        assert!(explained.out.lines().all(|l| l.chars().count() <= 80) && explained.out.len() > 200, "{id}");
    }
    assert_eq!(
        home.run(&["lint", "--explain", "Z012"]).out,
        home.run(&["lint", "--explain", "top5-below-top1"]).out
    );
    let unknown = home.run(&["lint", "--explain", "Z999"]);
    assert!(unknown.code == Some(2) && unknown.err.contains("--rules"), "{unknown:?}");
}

/// The document has for each rule that finds something a section with prose, and a list that is made here.
#[test]
fn the_findings_on_the_pages_as_published_are_those_explained() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/lint-findings.md");
    let page = std::fs::read_to_string(&path).unwrap();
    let found = findings(&Home::new().run(&["lint", "--as-published", "--json"]));
    let text = |v: &Value| v.as_str().map(str::to_owned);
    let mut rules: Vec<_> = found.iter().map(|f| f["rule"].as_str().unwrap().to_owned()).collect();
    rules.sort();
    rules.dedup();
    let mut made = page.clone();
    for rule in &rules {
        let mut lines = String::new();
        for finding in found.iter().filter(|f| f["rule"] == rule.as_str()) {
            let place = format!("{}:{}", finding["file"].as_str().unwrap(), finding["line"]);
            let found = text(&finding["found"]).map(|t| format!(": `{t}`")).unwrap_or_default();
            let expected = text(&finding["expected"]).map(|t| format!(", expected {t}")).unwrap_or_default();
            lines += &format!(
                "{} ({place}){found}{expected}\n",
                finding["model"].as_str().unwrap_or("collection")
            );
        }
        let heading = format!("## {rule} ");
        let at = page.find(&heading).unwrap_or_else(|| panic!("no section `{heading}`"));
        let section = page[at..].split_once("\n## ").map_or(&page[at..], |(s, _)| s);
        let (prose, rest) = section.split_once("```text\n").unwrap_or_else(|| panic!("no list in {rule}"));
        assert!(prose.len() > 150, "{rule} is not explained");
        let old = rest.split_once("```").unwrap().0;
        made = made.replacen(&format!("{prose}```text\n{old}```"), &format!("{prose}```text\n{lines}```"), 1);
    }
    let headings = page.lines().filter(|l| l.starts_with("## Z")).count();
    assert_eq!(headings, rules.len(), "a section of a rule that finds nothing");
    if std::env::var_os("ZOO_BLESS").is_some() {
        std::fs::write(&path, &made).unwrap();
    }
    assert!(page == made || std::env::var_os("ZOO_BLESS").is_some(), "docs/lint-findings.md is stale");
}

#[test]
fn all_the_pages_are_linted_in_well_under_a_second() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("registry/models");
    let started = std::time::Instant::now();
    let ran = Home::new().run(&["lint", folder.to_str().unwrap(), "--json"]);
    let took = started.elapsed();
    assert_eq!(ran.code, Some(1), "{}", ran.err);
    // Ten times what it takes on an idle machine: tests share theirs.
    assert!(took.as_secs() < 5, "{took:?}");
}
