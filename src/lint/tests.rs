//! Every rule finds what it is for, on a page that has nothing else wrong; the bands are the pages' own; and
//! the built-in registry has what the rules must find in it.

use std::collections::BTreeSet;

use super::*;
use crate::registry::{Registry, format, pages};

/// A page that no rule finds anything on.
const CLEAN: &str = "\
Type: model-index
Collections:
- Name: C
Models:
- Name: m
  In Collection: C
  Metadata:
    FLOPs: 488688572
    Parameters: 5290000
    File Size: 21385973
    ID: m
    Crop Pct: '0.875'
    Image Size: '224'
    Interpolation: bicubic
  Weights: https://example.org/m-0123abcd.pth
  Results:
  - Task: Image Classification
    Dataset: ImageNet
    Metrics:
      Top 1 Accuracy: 77.1%
      Top 5 Accuracy: 93.26%
  zoo:
    arch: tf_efficientnet_b0
    params: 5288548
";

fn report(index: &format::Index, prose: &[Page]) -> Report {
    let known = Registry::builtin().unwrap();
    lint(&LintContext::new(index, prose, &known), &[])
}

fn rules_of(report: &Report) -> Vec<&'static str> {
    report.findings.iter().map(|f| f.rule.id).collect()
}

/// A second model, of another architecture.
const SECOND: &str = "\
- Name: other
  Metadata: {Parameters: 7790000, File Size: 21385973, Image Size: '240', Crop Pct: '0.882', Interpolation: bicubic}
  Weights: https://example.org/m-0123abcd.pth
  Results: [{Task: Image Classification, Dataset: ImageNet, Metrics: {Top 1 Accuracy: 79.2%}}]
  zoo: {arch: tf_efficientnet_b1, params: 7794184}
";

#[test]
fn each_rule_finds_what_it_is_for() {
    let today = "  zoo:\n    today: {name: tf_efficientnet_b0.ns_jft_in1k}\n";
    let cases: &[(&str, &str, &[&str])] = &[
        ("Type: model-index", "Type: model-index", &[]),
        ("488688572", "[", &["Z001"]),
        ("- Name: m\n", "- Nom: m\n", &["Z003", "Z006", "Z033"]),
        ("488688572", "many", &["Z002"]),
        ("    ID: m\n", "    ID: x\n    ID: m\n", &["Z003"]),
        ("- Name: C\n", "- Name: D\n", &["Z003"]),
        ("  Weights: https://example.org/m-0123abcd.pth\n", "", &["Z004"]),
        ("    Image Size: '224'\n", "", &["Z005"]),
        ("    ID: m\n", "    ID: m\n    House Number: 7\n", &["Z006"]),
        ("    Interpolation: bicubic", "    Interpolation: bicubic\n    Epoch: 3", &["Z007"]),
        ("Dataset: ImageNet", "Dataset: ImgeNet", &["Z007"]),
        ("Top 5 Accuracy", "Top 5 Acuracy", &["Z007"]),
        ("488688572", "488.7", &["Z009", "Z031"]),
        ("'0.875'", "'87.5'", &["Z009"]),
        ("'0.875'", "87.5%", &["Z009"]),
        ("'224'", "[224, 224]", &[]),
        ("'224'", "[224, 224, 3]", &["Z002"]),
        ("    ID: m\n", "    ID: m\n    Dropout: 20\n", &["Z009"]),
        ("77.1%", "0.98%", &["Z011"]),
        ("93.26%", "70.1%", &["Z012"]),
        ("77.1%\n      Top 5 Accuracy: 93.26%", "22.9%\n      Top 5 Accuracy: 6.74%", &["Z013"]),
        ("93.26%", "22.9%", &["Z013"]),
        ("77.1%\n      Top 5 Accuracy: 93.26%", "0.771\n      Top 5 Accuracy: 0.9326", &["Z014"]),
        ("77.1%", "0.771", &["Z014"]),
        ("93.26%", "0.9326", &["Z014"]),
        ("93.26%", "78.0%", &["Z015"]),
        ("77.1%", "771%", &["Z016"]),
        ("Dataset: ImageNet", "Dataset: Streets of Paris", &["Z017"]),
        ("m-0123abcd.pth", "m.pth", &["Z022"]),
        ("m-0123abcd.pth", "m-0123abcd_v2.pth", &["Z022"]),
        ("m-0123abcd.pth", "tf_efficientnet_b7_ns-0123abcd.pth", &["Z023"]),
        ("21385973", "42771946", &["Z024"]),
        ("https://example.org", "http://example.org", &["Z025"]),
        ("https://example.org/m-", "checkpoints/m-", &["Z026"]),
        ("https://example.org/m-0123abcd.pth", "<>", &["Z026"]),
        ("https://example.org/m-0123abcd.pth", "https://example.org/m/", &["Z026"]),
        ("5290000", "5390000", &["Z030"]),
        ("params: 5288548", "params: 5288549", &["Z030"]),
        ("488688572", "977377144", &["Z031"]),
        ("  zoo:\n", "  zoo:\n    config: {image_size: 256, crop_pct: 0.875}\n", &["Z032"]),
        ("ID: m", "ID: n", &["Z033"]),
        ("  zoo:\n", &format!("{today}    tag: tf_efficientnet_b0.aa_in1k\n"), &["Z040"]),
        ("  zoo:\n", today, &["Z041"]),
        ("- Name: C\n", "- Name: C\n  Citation: '@misc{k, title = {x}'\n", &["Z051"]),
        (
            "- Name: C\n",
            "- Name: C\n  Citation: '@misc{k, title = {x}, year = 2018, eprint = {1911.04252}}'\n",
            &["Z053"],
        ),
        ("- Name: C\n", "- Name: C\n  Paper: https://paperswithcode.com/paper/x\n", &["Z054"]),
        ("  zoo:\n", "  zoo:\n    lint: {Z999: why}\n", &["Z060"]),
        ("  zoo:\n", "  zoo:\n    lint: {Z025: ''}\n", &["Z060"]),
    ];
    let mut seen = BTreeSet::new();
    for (from, to, expected) in cases {
        let text = CLEAN.replacen(from, to, 1);
        let report = report(&format::page("p.yaml", text.as_bytes()), &[]);
        let mut found = rules_of(&report);
        found.sort_unstable();
        let mut expected = expected.to_vec();
        expected.sort_unstable();
        assert_eq!(found, expected, "`{from}` -> `{to}`: {:#?}", report.findings);
        seen.extend(found);
    }
    // Those that need several models, files or prose.
    for (add, expected) in [
        (SECOND.to_owned(), vec!["Z024", "Z020", "Z023"]),
        (
            SECOND
                .replace("tf_efficientnet_b1, params: 7794184", "tf_efficientnet_b0, params: 5288548")
                .replace("7790000, File Size: 21385973", "5290000"),
            vec!["Z021", "Z021"],
        ),
        (
            SECOND
                .replace("Name: other", "Name: m")
                .replace("0123abcd", "4567cdef")
                .replace("File Size: 21385973", "x: 1"),
            vec!["Z010", "Z006"],
        ),
    ] {
        let text = CLEAN.to_owned() + &add;
        let report = report(&format::page("p.yaml", text.as_bytes()), &[]);
        assert_eq!(rules_of(&report), expected, "{:#?}", report.findings);
        seen.extend(expected);
    }
    let folder = tempfile::tempdir().unwrap();
    let page = folder.path().join("page.md");
    let text = "[a](gone.md) [b](page.md#x) [c](https://x.org/y.md) [d](../route)\n\
                ```BibTeX\n@misc{k,\n title={x},\n```\n```bibtex\n@misc{k}\n```\n```py\n@decorator\n```\n";
    crate::fs::write_atomic(&page, text.as_bytes()).unwrap();
    let prose = [Page { file: page.display().to_string(), text: text.into() }];
    let found = report(&format::Index::default(), &prose);
    assert_eq!(rules_of(&found), ["Z052", "Z050"]);
    assert_eq!((found.findings[1].line, found.findings[1].column), (5, 1));
    seen.extend(rules_of(&found));
    crate::fs::write_atomic(&folder.path().join("i.yml"), b"Import: gone.yml\nModels: []\n").unwrap();
    let found = report(&format::load(&folder.path().join("i.yml")).unwrap(), &[]);
    assert_eq!(rules_of(&found), ["Z008"]);
    seen.extend(rules_of(&found));
    seen.extend(of_addresses());
    let all: BTreeSet<_> = RULES.iter().map(|r| r.id).collect();
    assert_eq!(all.difference(&seen).collect::<Vec<_>>(), Vec::<&&str>::new(), "a rule that no case needs");
}

/// The rules about what addresses answer, each held to what it is for.
fn of_addresses() -> Vec<&'static str> {
    let known = Registry::builtin().unwrap();
    let two = CLEAN.to_owned() + "    sources: [https://other.example/m-0123abcd.pth]\n";
    let page = format::page("p.yaml", two.as_bytes());
    let (first, second) = ("https://example.org/m-0123abcd.pth", "https://other.example/m-0123abcd.pth");
    let found =
        |bytes, moved_to: Option<&str>| AddressState::Found { bytes, moved_to: moved_to.map(str::to_owned) };
    let right = Some(21_385_973);
    let mut seen = Vec::new();
    for (address, state, expected) in [
        (first, found(right, None), &[][..]),
        (first, found(None, None), &[]),
        ("https://example.org/nobodys.pth", AddressState::Gone("404".into()), &[]),
        (first, AddressState::Gone("404 Not Found".into()), &["Z027"]),
        (second, AddressState::Gone("410 Gone".into()), &["Z027"]),
        (first, found(right, Some("https://new.example/m.pth")), &["Z028"]),
        (first, found(Some(7), None), &["Z029"]),
        (second, found(Some(7), Some("https://new.example/m.pth")), &["Z028", "Z029"]),
    ] {
        let context = LintContext::new(&page, &[], &known);
        assert_eq!(addresses(&context).len(), 2);
        let context = context.with_addresses([(address.to_owned(), state)].into());
        let report = lint(&context, &[]);
        assert_eq!(rules_of(&report), expected, "{:#?}", report.findings);
        assert!(report.findings.iter().all(|f| f.line > 1 && f.expected.is_some()));
        seen.extend(rules_of(&report));
    }
    seen
}

#[test]
fn a_reason_suppresses_and_nothing_else_does() {
    let by_entry = CLEAN
        .replace("21385973", "42771946")
        .replace("  zoo:\n", "  zoo:\n    lint: {bytes-per-parameter: twice}\n");
    let found = report(&format::page("p.yaml", by_entry.as_bytes()), &[]);
    assert!(found.findings.is_empty(), "{:#?}", found.findings);
    assert_eq!(found.suppressed[0].reason, "twice");
    let page = format::page("p.yaml", CLEAN.replace("https:", "http:").as_bytes());
    let known = Registry::builtin().unwrap();
    let context = LintContext::new(&page, &[], &known);
    assert!("Z025".parse::<Allowed>().unwrap_err().contains("reason"));
    let found = lint(&context, &["Z025=no TLS".parse().unwrap()]);
    assert_eq!((found.findings.len(), found.suppressed.len()), (0, 1));
    assert_eq!(lint(&context, &[]).findings.len(), 1);
}

#[test]
fn the_bands_are_those_of_the_pages() {
    let index = pages::builtin().unwrap();
    let known = Registry::builtin().unwrap();
    let context = LintContext::new(&index, &[], &known);
    let mut farthest = 0f64;
    let (mut x, mut y) = (Vec::new(), Vec::new());
    let (mut low, mut high, mut computed) = (f64::INFINITY, 0f64, 0);
    for model in &context.models {
        let claim = model.entry.claim.as_ref();
        if let Some((top1, top5)) = claim.and_then(|c| Some((c.top1.value, c.top5.as_ref()?.value)))
            && top1 > 50.0
        {
            farthest = farthest.max(accuracy::distance(top1, top5).unwrap().abs());
            x.push((100.0 - top1).ln());
            y.push((100.0 - top5).ln());
        }
        if let Some(macs) = context.architecture(model).map(|c| c.macs)
            && let Some(flops) = model.entry.flops.map(|n| n.0)
        {
            let ratio = flops as f64 / macs as f64;
            // What is far off is what the rule is for.
            if (0.9..1.6).contains(&ratio) {
                (low, high, computed) = (low.min(ratio), high.max(ratio), computed + 1);
            }
        }
    }
    let mean = |v: &[f64]| v.iter().sum::<f64>() / v.len() as f64;
    let (mx, my) = (mean(&x), mean(&y));
    let slope = x.iter().zip(&y).map(|(a, b)| (a - mx) * (b - my)).sum::<f64>()
        / x.iter().map(|a| (a - mx).powi(2)).sum::<f64>();
    assert_eq!(x.len(), 257);
    assert!((slope - accuracy::SLOPE).abs() < 1e-3, "{slope}");
    assert!((my - slope * mx - accuracy::INTERCEPT).abs() < 1e-3, "{}", my - slope * mx);
    assert!(farthest < accuracy::MAX_DISTANCE / 2.0, "{farthest}");
    let band = figures::FLOPS;
    assert!(computed > 100, "{computed}");
    assert!(
        (low / band.start() - 1.01).abs() < 0.01 && (band.end() / high - 1.01).abs() < 0.01,
        "{low} {high}"
    );
}

/// What the facts about the pages say must be found, found by rule.
#[test]
fn the_errors_of_the_pages_are_found() {
    let index = pages::builtin().unwrap();
    let published = report(&index, &[]);
    let models = |report: &Report, rule: &str| -> Vec<String> {
        report.findings.iter().filter(|f| f.rule.id == rule).filter_map(|f| f.model.clone()).collect()
    };
    let of_another = ["efficientnet_b2a", "resnest200e", "tresnet_xl_448"];
    assert_eq!(
        models(&published, "Z011"),
        ["ens_adv_inception_resnet_v2", "inception_resnet_v2", "inception_v4", "pnasnet5large"]
    );
    for rule in ["Z020", "Z023", "Z024"] {
        assert_eq!(models(&published, rule), of_another, "{rule}");
    }
    assert_eq!(
        models(&published, "Z030"),
        ["tresnet_l", "tresnet_l_448", "tresnet_m", "tresnet_m_448", "tresnet_xl", "tresnet_xl_448"]
    );
    let bit: Vec<_> = models(&published, "Z031").into_iter().filter(|m| m.ends_with("_bitm")).collect();
    assert_eq!(bit.len(), 6);
    let suppressed: Vec<_> =
        published.suppressed.iter().map(|s| (s.finding.rule.id, s.finding.model.as_deref())).collect();
    assert_eq!(suppressed, [("Z024", Some("inception_v3"))]);
    // As corrected nothing is wrong.
    let corrected = report(&pages::corrected().unwrap(), &[]);
    let wrong: Vec<_> = corrected.findings.iter().filter(|f| f.rule.severity == Severity::Error).collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// The table of facts says of each name whether timm means the same file by it today.
#[test]
fn names_mean_what_the_facts_say() {
    let index = pages::builtin().unwrap();
    let known = Registry::builtin().unwrap();
    let context = LintContext::new(&index, &[], &known);
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/golden/registry/facts.csv");
    let table = crate::fs::read(&path, 1 << 20).unwrap();
    let mut reader = csv::Reader::from_reader(table.as_slice());
    let headers = reader.headers().unwrap().clone();
    let at = |name: &str| headers.iter().position(|h| h == name).unwrap();
    let (name, same) = (at("name"), at("today_same"));
    let mut seen = 0;
    for row in reader.records().map(|r| r.unwrap()) {
        let model = context.models.iter().find(|m| m.name == &row[name]).unwrap();
        let expected = match &row[same] {
            "same file" => names::Resolves::SameFile,
            "other weights" => names::Resolves::OtherWeights,
            _ => names::Resolves::CannotTell,
        };
        let today = model.facts.today.as_ref();
        let found = today.map_or(names::Resolves::CannotTell, |today| names::resolves(model, today));
        assert_eq!(found, expected, "{}", model.name);
        seen += 1;
    }
    assert_eq!(seen, 261);
}

/// A page of others has no `zoo:` section, and the same is found on it.
#[test]
fn a_bare_page_is_judged_with_the_facts_that_are_known() {
    let mut index = pages::builtin().unwrap();
    let with_facts = report(&index, &[]);
    for record in &mut index.models {
        for node in [&mut record.own, &mut record.full] {
            node.mapping_mut().unwrap().remove("zoo");
        }
    }
    let bare = report(&index, &[]);
    let all = |r: &Report| {
        r.findings.iter().map(|f| (f.rule.id, f.model.clone(), f.path.clone())).collect::<Vec<_>>()
    };
    let ours =
        |(_, model, _): &(&str, Option<String>, String)| model.as_deref() == Some("efficientnet_lite0_pypi");
    let (with_facts, bare): (Vec<_>, Vec<_>) = (all(&with_facts), all(&bare));
    assert_eq!(
        bare.iter().filter(|f| !ours(f)).collect::<Vec<_>>(),
        with_facts.iter().filter(|f| !ours(f)).collect::<Vec<_>>()
    );
}

/// Work does not grow with the square of what a hostile page holds.
#[test]
fn many_models_of_one_file_are_linted_in_time() {
    let mut text = String::from("Models:\n");
    for i in 0..20_000 {
        text +=
            &format!("- {{Name: m{}, Weights: https://x.org/a-0123abcd.pth, zoo: {{arch: a{i}}}}}\n", i % 3);
    }
    let started = std::time::Instant::now();
    let found = report(&format::page("p.yaml", text.as_bytes()), &[]);
    assert!(found.left_out > 0);
    assert!(started.elapsed().as_secs() < 20, "{:?}", started.elapsed());
}
