//! What `list`, `show`, `compare`, `lint`, `cite` and `help` print: at 80 and 160 columns, with and without
//! colour, and into a pipe. The snapshots are in `tests/it/snapshots/`; after a change that is meant:
//! `INSTA_UPDATE=always cargo test --release --test it snapshots`, and read the difference.

use crate::support::{Home, ran};

/// Runs a command in each way and puts all it said into one snapshot. Ways that say the same are told once.
fn snapshot(name: &str, args: &[&str]) {
    let home = Home::new();
    home.write("page.yaml", PAGE);
    let ways: [(&str, &[(&str, &str)]); 5] = [
        ("80 columns", &[("COLUMNS", "80")]),
        ("80 columns, colour", &[("COLUMNS", "80"), ("CLICOLOR_FORCE", "1")]),
        ("160 columns", &[("COLUMNS", "160")]),
        ("160 columns, colour", &[("COLUMNS", "160"), ("CLICOLOR_FORCE", "1")]),
        ("piped", &[]),
    ];
    let mut told: Vec<(String, String)> = Vec::new();
    for (way, environment) in ways {
        let mut command = home.command(args);
        command.envs(environment.iter().copied());
        let ran = ran(command.output().unwrap());
        // Colours are shown as what they are; nothing else of the kind may be there.
        let out = ran.out.replace('\u{1b}', "␛");
        assert!(!out.contains(|c: char| c.is_control() && c != '\n'), "{out:?}");
        let text = format!("{out}---- stderr, exit {}\n{}", ran.code.unwrap(), ran.err);
        let columns = environment
            .first()
            .filter(|(name, _)| *name == "COLUMNS")
            .map(|(_, n)| n.parse::<usize>().unwrap());
        if let (Some(columns), false) = (columns, way.contains("colour")) {
            let widest = ran.out.lines().map(|l| l.chars().count()).max().unwrap_or(0);
            // What is made for programs, or is whole by intent, is not fitted.
            // Addresses are whole, so that they can be copied.
            let fitted = ["list", "lint", "compare"].contains(&args[0])
                && !args.iter().any(|a| ["--csv", "--md", "--format", "--json"].contains(a));
            // Words are never cut, and an address is one.
            let longest = ran.out.split_whitespace().map(|w| w.chars().count()).max().unwrap_or(0) + 4;
            let most = if args[0] == "lint" { columns.max(longest) } else { columns };
            assert!(widest <= most || !fitted, "{name}, {way}: {widest}");
        }
        match told.iter_mut().find(|(_, other)| *other == text) {
            Some((ways, _)) => *ways += &format!("; {way}"),
            None => told.push((way.to_owned(), text)),
        }
    }
    let all: Vec<_> = told.into_iter().map(|(ways, text)| format!("==== {ways}\n{text}")).collect();
    let shown = format!("$ zoo {}\n{}", args.join(" "), all.join("\n"));
    insta::with_settings!({ omit_expression => true, prepend_module_to_snapshot => false }, {
        insta::assert_snapshot!(name, shown);
    });
}

/// A page whose strings would act on a terminal, in Markdown, in CSV and as a workflow command.
const PAGE: &str = "Models:\n- Name: \"x\\e[2J|</script>=\"\n  In Collection: \"::error::c\"\n  Weights: https://example.org/x-01234567.pth\n  \
    Metadata: {Parameters: 5290000, FLOPs: 488688572, Image Size: 224}\n  Results: [{Task: Image Classification, Dataset: ImageNet, \
    Metrics: {Top 1 Accuracy: 0.5%, Top 5 Accuracy: 94.37%}}]\nCollections: [{Name: \"::error::c\", Paper: {Title: \"=cmd|' /C calc'!A0\"}}]\n";

#[test]
fn list() {
    snapshot("list-noisy", &["list", "_ns"]);
    snapshot(
        "list-where",
        &["list", "--where", "params < 5M and top1 > 75", "--sort", "-top1", "--limit", "5"],
    );
    snapshot("list-corrected", &["list", "pnasnet5large", "--columns", "name,top1,top5"]);
    snapshot(
        "list-as-published",
        &["list", "pnasnet5large", "--columns", "name,top1,top5", "--as-published"],
    );
    snapshot("list-csv", &["list", "tresnet", "--csv", "--columns", "name,params,top1"]);
    snapshot("list-md", &["list", "tresnet", "--md", "--columns", "name,params,top1"]);
    snapshot("list-hostile", &["list", "script", "--registry", "page.yaml"]);
    snapshot("list-hostile-csv", &["list", "script", "--registry", "page.yaml", "--csv"]);
    snapshot("list-hostile-md", &["list", "script", "--registry", "page.yaml", "--md"]);
    snapshot("list-nothing", &["list", "nothing is called this"]);
    snapshot("list-typo", &["list", "--where", "parms < 10M"]);
    snapshot("list-near", &["list", "eficientnet_b2a"]);
    snapshot(
        "list-glob",
        &["list", "--where", "name ~ *_b?_ns and file_size < 40 MB", "--columns", "name,file-size"],
    );
    snapshot("list-no-column", &["list", "--columns", "name,top"]);
}

#[test]
fn show() {
    snapshot("show", &["show", "tf_efficientnet_b0_ns"]);
    snapshot("show-corrected", &["show", "efficientnet_b2a"]);
    snapshot("show-hostile", &["show", "::error::c/x\u{1b}[2J|</script>=", "--registry", "page.yaml"]);
    snapshot("show-unknown", &["show", "tf_eficientnet_b0_ns"]);
    snapshot("show-collection", &["show", "noisy student"]);
    snapshot("cite", &["cite", "tf_efficientnet_b0_ns", "tf_efficientnet_b1_ns", "efficientnet_lite0_pypi"]);
}

#[test]
fn compare() {
    snapshot("compare", &["compare", "tf_efficientnet_b0", "tf_efficientnet_b0_ns"]);
    snapshot("compare-three", &["compare", "resnet18", "efficientnet_b2a", "pnasnet5large"]);
    snapshot(
        "compare-hostile",
        &["compare", "resnet18", "::error::c/x\u{1b}[2J|</script>=", "--registry", "page.yaml"],
    );
}

#[test]
fn lint() {
    snapshot("lint-hostile", &["lint", "page.yaml"]);
    snapshot("lint-hostile-github", &["lint", "page.yaml", "--format", "github"]);
    snapshot("lint-errors", &["lint", "--as-published", "--severity", "error"]);
    snapshot("lint-json", &["lint", "page.yaml", "--json"]);
    snapshot("lint-explain", &["lint", "--explain", "Z012"]);
    snapshot("help-env", &["help", "env"]);
}
