//! Files made to cost or to act: refused in bounded time and memory, or printed harmlessly in every form.

use std::process::Command;
use std::time::{Duration, Instant};

use crate::support::{Home, Ran, ran};

/// Address space that a refusal may take: the binary, its libraries and a file of the largest kind allowed.
const KILOBYTES: u32 = 900_000;

/// Runs the binary with bounded memory and says how long it took.
fn bounded(home: &Home, args: &[&str]) -> (Ran, Duration) {
    let inside = home.command(args);
    let mut shell = Command::new("sh");
    shell.arg("-c").arg(format!("ulimit -v {KILOBYTES}; exec \"$0\" \"$@\"")).arg(inside.get_program());
    shell.args(inside.get_args()).env_clear().current_dir(inside.get_current_dir().unwrap());
    shell.envs(inside.get_envs().filter_map(|(k, v)| Some((k, v?))));
    let started = Instant::now();
    let output = shell.output().unwrap();
    (ran(output), started.elapsed())
}

#[test]
fn files_that_would_cost_too_much_are_refused() {
    let home = Home::new();
    let mut bomb = String::from("Models:\n- Name: a\n  Code: c\n  x0: &a0 [x, x, x, x, x, x, x, x, x, x]\n");
    for i in 1..30 {
        let list = vec![format!("*a{}", i - 1); 10].join(", ");
        bomb += &format!("  x{i}: &a{i} [{list}]\n");
    }
    home.write("bomb.yaml", &bomb);
    home.write("merge.yaml", format!("{}{}", "a: &a {k: v}\n", "b: {<<: *a}\n".repeat(1_000_000)));
    home.write("deep.yaml", "- ".repeat(2_000_000));
    home.write("deep.json", "[".repeat(8_000_000));
    home.write("wide.yaml", "Models:\n".to_owned() + &"- {Name: a}\n".repeat(1_300_000));
    home.write("bytes.yaml", b"Models:\n- Name: \xc3\x28\n");
    home.write("page.md", format!("<!--\n{bomb}-->\n"));
    home.write("open.md", "<!--".repeat(4_000_000));
    home.write("fences.md", "```\n~~~\n".repeat(2_000_000));
    let huge = std::fs::File::create(home.path("huge.yaml")).unwrap();
    huge.set_len(100_000_000).unwrap();
    for (file, why) in [
        ("bomb.yaml", "anchors and aliases"),
        ("merge.yaml", "anchors and aliases"),
        ("deep.yaml", "nested deeper than 64"),
        ("deep.json", "nested deeper than 64"),
        ("wide.yaml", "more than 2097152 values"),
        ("bytes.yaml", "not UTF-8"),
        ("page.md", ""),
        ("open.md", ""),
        ("fences.md", ""),
        ("huge.yaml", "huge.yaml"),
    ] {
        for verb in ["import", "lint"] {
            let (ran, took) = bounded(&home, &[verb, file]);
            let refused = if verb == "lint" { [Some(1), Some(3)] } else { [Some(3), Some(3)] };
            assert!(refused.contains(&ran.code), "{verb} {file}: {:?} {}", ran.code, ran.err);
            assert!(ran.err.contains(why) || ran.out.contains(why), "{verb} {file}: {} {}", ran.out, ran.err);
            assert!(took < Duration::from_secs(20), "{verb} {file}: {took:?}");
            assert!(ran.err.len() + ran.out.len() < 1 << 20, "{verb} {file} talks too much");
        }
    }
}

/// Strings that would act on a terminal, in a table of Markdown, in HTML, in a spreadsheet, as a workflow
/// command, in a path, or on a template.
const HOSTILE: [&str; 11] = [
    "\u{1b}[2Jgone\u{7}\u{9b}31m",
    "a|b\n| x | y |",
    "</script><script>alert(1)</script>",
    "::error file=x::y\n::set-output name=a::b",
    "=cmd|' /C calc'!A0",
    "{{ 7 * 7 }}{% for x in y %}",
    "-->\n# heading\n<!--",
    "right\u{202e}left\u{200b}\u{feff}",
    "`$(touch x)` \"quoted\" 'single' \\ end",
    "a ##[add-mask]b ##vso[task.complete]c",
    "  ::warning::indented",
];

/// Nothing in a text is a command of a workflow's log, which may be indented, or stand anywhere in a line.
fn no_command(text: &str, what: &dyn std::fmt::Debug) {
    let begins = |l: &str| l.trim_start().starts_with("::");
    assert!(!text.split(['\n', '\r']).any(begins), "{what:?}: {text}");
    assert!(!text.contains("##[") && !text.contains("##vso["), "{what:?}: {text}");
}

/// One page with every hostile string in every field that takes text.
/// A text in double quotes, as JSON and YAML write it; of control characters YAML takes no other form.
fn quoted(text: &str) -> String {
    serde_json::to_string(text).unwrap().replace('\u{9b}', "\\u009b").replace('\u{7f}', "\\u007f")
}

fn page() -> String {
    let mut text = String::from("Models:\n");
    for (i, hostile) in HOSTILE.iter().enumerate() {
        let quoted = quoted(hostile);
        text += &format!(
            "- Name: {quoted}\n  In Collection: {quoted}\n  Code: {quoted}\n  {quoted}: {quoted}\n  Weights: [{quoted}, 'https://example.org/x-012345{i:02}.pth']\n  \
             Metadata: {{Parameters: 5290000, FLOPs: 9{i}, Training Data: [{quoted}], Training Techniques: [{quoted}], {quoted}: {quoted}}}\n  \
             Results:\n  - Task: Image Classification\n    Dataset: ImageNet\n    Metrics: {{Top 1 Accuracy: 78.{i}%, {quoted}: {quoted}}}\n  \
             - {{Task: {quoted}, Dataset: {quoted}, Metrics: {{{quoted}: {quoted}}}}}\n  \
             zoo: {{arch: {quoted}, licence: {quoted}, tag: {quoted}, hf_id: {quoted}, lint: {{{quoted}: {quoted}}}}}\n"
        );
    }
    text += "Collections:\n";
    for hostile in HOSTILE {
        let quoted = quoted(hostile);
        text += &format!("- {{Name: {quoted}, Paper: {{Title: {quoted}, URL: {quoted}}}}}\n");
    }
    text
}

#[test]
fn nothing_a_page_says_acts_in_any_form() {
    let home = Home::new();
    home.write("h.yaml", page());
    let registry = ["--registry", "h.yaml"];
    let run = |args: &[&str]| {
        let ran = home.run(&[&registry[..], args].concat());
        for text in [&ran.out, &ran.err] {
            if !args.contains(&"github") {
                no_command(text, &args);
            }
            let acts = |c: char| (c.is_control() && c != '\n') || "\u{202e}\u{200b}\u{feff}".contains(c);
            assert!(
                !text.contains(acts),
                "{args:?}: {:?}",
                text.find(acts).map(|at| &text[at.saturating_sub(60)..])
            );
        }
        ran
    };
    let ours = |text: &str| text.lines().filter(|l| l.contains("78.")).map(str::to_owned).collect::<Vec<_>>();
    for args in
        [&["list"][..], &["list", "--columns", "all"], &["compare", HOSTILE[0], HOSTILE[1], HOSTILE[4]]]
    {
        let ran = run(args);
        assert_eq!(ran.code, Some(0), "{args:?}: {}", ran.err);
        // Folded cells begin lines that their text does not.
        let narrow =
            ran_with(&home, &[&registry[..], args].concat(), &[("COLUMNS", "40"), ("CLICOLOR_FORCE", "1")]);
        no_command(&narrow.out, &args);
    }
    // Each model is one line of the table, whatever its name.
    assert_eq!(
        ours(&run(&["list", "--columns", "name,top1", "--sort", "-params"]).out).len() - others(&home),
        HOSTILE.len()
    );
    let csv = run(&["list", "--csv", "--columns", "name,training_data,top1"]).out;
    let mut reader = csv::ReaderBuilder::new().from_reader(csv.as_bytes());
    for record in reader.records() {
        let record = record.unwrap();
        assert!(record.iter().all(|cell| !cell.starts_with(['=', '+', '-', '@'])), "{record:?}");
    }
    let markdown = run(&["list", "--md", "--columns", "name,top1"]).out;
    for line in markdown.lines() {
        let bars = line.replace("\\\\", "").replace("\\|", "").matches('|').count();
        assert_eq!(bars, 3, "{line}");
        assert!(!line.contains("<script"), "{line}");
    }
    let json: serde_json::Value = serde_json::from_str(&run(&["list", "--json"]).out).unwrap();
    let names: Vec<_> = json.as_array().unwrap().iter().map(|m| m["name"].as_str().unwrap()).collect();
    assert!(HOSTILE.iter().all(|h| names.contains(h)), "JSON keeps what is said");
    run(&["list", "--plot", "p.svg"]);
    let picture = std::fs::read_to_string(home.path("p.svg")).unwrap();
    assert!(!picture.contains("<script") && !picture.contains('\u{1b}'));
    for hostile in HOSTILE {
        for args in [&["show"][..], &["show", "--json"], &["cite"], &["page"], &["card"]] {
            let mut all = vec![args[0]];
            if args.len() > 1 {
                all.push(args[1]);
            }
            all.extend(["--", hostile]);
            let ran = run(&all);
            assert_eq!(ran.code, Some(0), "{all:?}: {}", ran.err);
        }
        // YAML says exactly what was said.
        let yaml = home.run(&["show", "--yaml", "--registry", "h.yaml", "--", hostile]);
        assert_eq!(yaml.code, Some(0), "{}", yaml.err);
        assert!(!yaml.out.contains('\u{1b}'), "{}", yaml.out);
        no_command(&yaml.out, &hostile);
        let back = zoo::registry::import::read_bytes("b.yaml", yaml.out.as_bytes()).unwrap();
        assert_eq!(back.models[0].name(), Some(hostile));
    }
    for args in [
        &["import", "h.yaml", "--json"][..],
        &["import", "h.yaml"],
        &["import", "h.yaml", "--check", "--json"],
    ] {
        let ran = run(args);
        assert!(ran.code < Some(2), "{args:?}: {}", ran.err);
    }
    let narrow = ran_with(&home, &["lint", "h.yaml", "--severity", "info"], &[("COLUMNS", "40")]);
    no_command(&narrow.out, &"lint");
    for format in ["text", "json", "sarif", "github"] {
        let ran = run(&["lint", "--format", format, "--severity", "info"]);
        assert_eq!(ran.code, Some(1), "{format}: {}", ran.err);
        if format == "github" {
            let known = ["::error file=h.yaml,", "::warning file=h.yaml,", "::notice file=h.yaml,"];
            assert!(ran.out.lines().all(|l| known.iter().any(|k| l.starts_with(k))), "{}", ran.out);
        }
    }
    assert!(!home.path("x").exists());
}

fn ran_with(home: &Home, args: &[&str], environment: &[(&str, &str)]) -> Ran {
    ran(home.command(args).envs(environment.iter().copied()).output().unwrap())
}

/// Built-in models whose top-1 begins with `78.`.
fn others(home: &Home) -> usize {
    let ran = home.run(&["list", "--columns", "name,top1"]);
    ran.out.lines().filter(|l| l.contains("78.")).count()
}
