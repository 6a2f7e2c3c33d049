//! The same hostile strings through every sink.

use super::*;
use proptest::prelude::*;

const HOSTILE: &[&str] = &[
    "\u{1b}]0;owned\u{7}\u{1b}[31mred",
    "a|b",
    "</script><script>alert(1)</script>",
    "::error file=x::y",
    "\n::set-output name=a::b",
    "=cmd|' /C calc'!A0",
    "\u{202e}gpj.exe",
    "[x](javascript:alert(1))",
    "`code` **bold** _it_ # h",
    "a,\"b\"\r\nc",
    "]]>&lt;\u{0}",
    "\u{9b}31m",
    "a ##[add-mask]b",
    "##vso[task.setvariable variable=x]y",
    "a\r  ::warning::b",
];

fn hostile() -> impl Strategy<Value = String> {
    let piece =
        prop_oneof![proptest::sample::select(HOSTILE).prop_map(str::to_owned), ".{0,12}", "[\\PC\\pC]{0,8}"];
    proptest::collection::vec(piece, 0..4).prop_map(|v| v.concat())
}

proptest! {
    #[test]
    fn no_line_is_a_workflow_s_command(text in hostile()) {
        let plain = [terminal(&text), html(&text), xml(&text), markdown(&text), csv(&text)];
        let quoted = [python(&text), rust(&text), shell(&text).into_owned(), bibtex(&text)];
        let document = serde_json::to_string(&text).unwrap();
        let all = plain.iter().map(|t| t.as_ref()).chain(quoted.iter().map(String::as_str));
        let document = json(&document);
        for out in all.chain([document.as_ref()]) {
            prop_assert!(!out.contains("##[") && !out.contains("##vso["), "{out}");
            prop_assert!(!out.split(['\n', '\r']).any(|l| l.trim_start().starts_with("::")), "{out}");
        }
    }

    #[test]
    fn a_terminal_gets_one_line_that_does_nothing(text in hostile()) {
        prop_assert!(!terminal(&text).chars().any(is_unprintable));
    }

    #[test]
    fn html_and_xml_get_text(text in hostile()) {
        for out in [html(&text), xml(&text)] {
            prop_assert!(!out.contains(['<', '>', '"', '\'']), "{out}");
            prop_assert!(out.chars().all(|c| c == '\n' || c == '\t' || !is_unprintable(c)), "{out:?}");
            let entities = ["amp;", "lt;", "gt;", "quot;", "#39;", "#58;", "#35;"];
            for (at, _) in out.match_indices('&') {
                prop_assert!(entities.iter().any(|e| out[at + 1..].starts_with(e)), "{out}");
            }
        }
    }

    #[test]
    fn a_markdown_cell_stays_one(text in hostile()) {
        let out = markdown(&text);
        prop_assert!(!out.chars().any(is_unprintable) && !out.contains(['<', '>']), "{out}");
        let mut escape = false;
        for c in out.chars() {
            prop_assert!(escape || !matches!(c, '|' | '`' | '*' | '[' | ']' | '~'), "{out}");
            escape = c == '\\' && !escape;
        }
    }

    #[test]
    fn csv_reads_back_as_one_field(text in hostile()) {
        let line = format!("{},end\n", csv(&text));
        let mut reader = csv_reader(&line);
        let record = reader.records().next().unwrap().unwrap();
        prop_assert_eq!(record.len(), 2);
        prop_assert!(!record[0].starts_with(['=', '+', '-', '@', '\t', '\r']) || text.parse::<f64>().is_ok());
    }

    #[test]
    fn a_github_command_stays_one(text in hostile()) {
        prop_assert!(!github(&text).chars().any(is_unprintable));
        prop_assert!(!github_property(&text).contains([',', ':']));
    }

    #[test]
    fn json_means_the_same(text in hostile()) {
        let document = serde_json::to_string(&text).unwrap();
        let out = json(&document);
        prop_assert!(!out.chars().any(is_unprintable));
        prop_assert_eq!(serde_json::from_str::<String>(&out).unwrap(), text);
    }
}

fn csv_reader(text: &str) -> ::csv::Reader<&[u8]> {
    ::csv::ReaderBuilder::new().has_headers(false).from_reader(text.as_bytes())
}

#[test]
fn what_is_harmless_is_not_touched() {
    for text in ["tf_efficientnet_b0_ns", "blocks.0.0.conv_dw.weight", "78.66", "Noisy Student", "résumé 中"]
    {
        for sink in [terminal, html, xml, markdown, csv, github, github_property, json] {
            assert_eq!(sink(text), text);
        }
    }
    assert_eq!(csv("-0.5"), "-0.5");
}

#[test]
fn each_sink_has_its_own_signs() {
    assert_eq!(terminal("a\u{1b}[31mb\n"), "a\\u{1b}[31mb\\u{a}");
    assert_eq!(terminal("::error::x"), "\\u{3a}:error::x");
    assert_eq!(terminal(" a::b"), " a::b");
    assert_eq!(terminal("\u{202e}gnp"), "\\u{202e}gnp");
    assert_eq!(html("<b>&'\""), "&lt;b&gt;&amp;&#39;&quot;");
    assert_eq!(markdown("a|b_c_ [x](y) `z`"), "a\\|b_c\\_ \\[x\\](y) \\`z\\`");
    assert_eq!(markdown("# h"), "\\# h");
    assert_eq!(markdown("1. x"), "1\\. x");
    assert_eq!(csv("=cmd"), "\"'=cmd\"");
    assert_eq!(csv("::error::x\n ::x"), "\"::error::x\n \\u{3a}:x\"");
    assert_eq!(markdown(" ::a"), " \\::a");
    assert_eq!(html("a\n::b"), "a\n&#58;:b");
    assert_eq!(terminal("a##[b"), "a\\u{23}#[b");
    assert_eq!(json("\"##[x\""), "\"\\u0023#[x\"");
    assert_eq!(shell("##[x"), "'#''#[x'");
    assert_eq!(csv("a,\"b\""), "\"a,\"\"b\"\"\"");
    assert_eq!(github("100%\n::error::x"), "100%25%0A::error::x");
    assert_eq!(github_property("a:b,c"), "a%3Ab%2Cc");
}
