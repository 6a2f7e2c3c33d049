//! Tests of the tree: positions, limits, and that what is written reads back.

use proptest::prelude::*;

use super::*;

fn read(text: &str) -> (Node, Problems) {
    let (mut documents, problems) =
        yaml(text.as_bytes(), Origin::file("a.yaml"), &Limits::default()).unwrap_or_else(|e| panic!("{e}"));
    assert_eq!(documents.len(), 1, "{text}");
    (documents.remove(0), problems)
}

fn refused(bytes: &[u8]) -> String {
    yaml(bytes, Origin::file("a.yaml"), &Limits::default()).unwrap_err().to_string()
}

#[test]
fn a_value_knows_where_it_stands() {
    let text = "Models:\n- Name: é\n  Metadata:\n    FLOPs: x488\n";
    let (root, _) = read(text);
    let view = View::root(&root);
    let flops = view.get("Models").unwrap().items().next().unwrap().get("Metadata").unwrap();
    let flops = flops.get("FLOPs").unwrap();
    let span = flops.node().span;
    assert_eq!(flops.path(), "Models[0].Metadata.FLOPs");
    assert_eq!((span.line, span.column), (4, 12));
    assert_eq!(&text[span.start as usize..span.end as usize], "x488");
    let mut problems = Problems::new();
    problems.unexpected(&flops, "not a count", "an integer");
    let message = problems.iter().next().unwrap().to_string();
    assert_eq!(
        message,
        "a.yaml:4:12: Models[0].Metadata.FLOPs: not a count: found `x488`, expected an integer"
    );
}

#[test]
fn a_block_inside_a_page_has_the_page_s_places() {
    let page = "# Title\n<!-- a: 1\nb: é2 -->";
    let start = page.find("a:").unwrap();
    let origin = Origin { file: "p.md".into(), line: 1, column: 5, offset: start };
    let (documents, _) = yaml(&page.as_bytes()[start..page.len() - 4], origin, &Limits::default()).unwrap();
    let place = |key: &str| documents[0].get(key).unwrap().span;
    assert_eq!((place("a").line, place("a").column), (2, 9));
    assert_eq!((place("b").line, place("b").column), (3, 4));
    assert_eq!(&page[place("b").start as usize..place("b").end as usize], "é2");
}

#[test]
fn of_two_equal_keys_the_last_counts_and_a_warning_names_both() {
    let (root, problems) = read("a:\n  k: 1\n  l: 3\n  k: 2\n");
    assert_eq!(root.get("a").unwrap().get("k").unwrap().text(), Some("2"));
    let problem = problems.iter().next().unwrap();
    assert_eq!(problem.severity, Severity::Warning);
    assert!(problem.to_string().contains("a.yaml:4:3: a: duplicate key; the value of line 2, column 3"));
    let (node, problems) =
        json(b"{\"k\": 1,\n \"k\": 2}", Origin::file("a.json"), &Limits::default()).unwrap();
    assert_eq!(node.get("k").unwrap().text(), Some("2"));
    assert!(problems.iter().next().unwrap().to_string().starts_with("a.json:2:2: k: duplicate key"));
}

#[test]
fn aliases_and_merge_keys_are_resolved() {
    let (root, _) = read("base: &b {x: 1, y: 2}\nown: {<<: *b, y: 3}\nsame: *b\n");
    assert_eq!(to_yaml(&root), "base:\n  x: 1\n  y: 2\nown:\n  x: 1\n  y: 3\nsame:\n  x: 1\n  y: 2\n");
}

#[test]
fn bombs_are_refused_with_a_place() {
    let mut bomb = String::from("a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n");
    for i in 1..12 {
        let list = vec![format!("*a{}", i - 1); 10].join(", ");
        bomb.push_str(&format!("a{i}: &a{i} [{list}]\n"));
    }
    assert!(refused(bomb.as_bytes()).contains("anchors and aliases stand for more than 65536 values"));
    let text = format!("a: &a {}\nb: [{}]\n", "x".repeat(1 << 19), ["*a"; 100].join(", "));
    assert!(refused(text.as_bytes()).contains("anchors and aliases"), "long texts cost too");
    assert!(refused("[".repeat(100_000).as_bytes()).contains("nested deeper than 64"));
    assert!(refused("{a: ".repeat(100_000).as_bytes()).contains("nested deeper than 64"));
    assert!(refused("? ".repeat(100_000).as_bytes()).contains("nested deeper than 64"));
    assert!(refused("[\n".repeat(100).as_bytes()).contains("nested deeper than 64"));
    assert!(refused("- ".repeat(100_000).as_bytes()).contains("nested deeper than 64"));
    assert!(refused("a: &a [*a]".as_bytes()).contains("a.yaml:1:"));
    assert!(refused(&vec![b'a'; (16 << 20) + 1]).contains("more than the 16777216 allowed here"));
    assert!(refused(b"a: 1\nb: \xff").contains("a.yaml:2:4: not UTF-8"));
    assert!(refused("- x\n".repeat(1 << 20).as_bytes()).contains("more than 1048576 values"));
    let deep = "[".repeat(100_000);
    let error = json(deep.as_bytes(), Origin::file("a.json"), &Limits::default()).unwrap_err();
    assert!(error.to_string().contains("nested deeper than 64"));
}

#[test]
fn tags_that_would_run_something_are_refused() {
    let message = refused(b"a: !!python/object/apply:os.system [ls]");
    assert!(message.contains("a.yaml:1:") && message.contains("is not allowed"), "{message}");
    let (root, _) = read("a: !!str 12\nb: !!int '12'\n");
    assert_eq!(to_yaml(&root), "a: '12'\nb: 12\n");
}

#[test]
fn json_is_read_as_python_does() {
    let text = "{\"a\": [1, -2.5e3, true, null, NaN], \"b\": \"\\u00e9\\ud83d\\ude00\\n\\/\"}";
    let (node, _) = json(text.as_bytes(), Origin::file("a.json"), &Limits::default()).unwrap();
    assert_eq!(node.get("b").unwrap().text(), Some("é😀\n/"));
    assert_eq!(
        to_yaml(&node),
        "a:\n- 1\n- -2.5e+3\n- true\n- null\n- .nan\nb: |\n  é😀\n  /\n".replace("|\n", "|-\n")
    );
    for wrong in
        ["", "{", "[1,]", "{\"a\" 1}", "[01]", "[1] x", "\"\\ud800\"", "{'a': 1}", "[\"\u{1}\"]", "nul"]
    {
        let error = json(wrong.as_bytes(), Origin::file("a.json"), &Limits::default()).unwrap_err();
        assert!(error.to_string().starts_with("a.json:1:"), "{wrong}: {error}");
    }
}

#[test]
fn plain_scalars_have_the_types_of_both_schemas() {
    let kind = |text: &str, schema| {
        Scalar { text: text.into(), style: Style::Plain }
            .typed(schema)
            .kind()
            .rsplit(' ')
            .next()
            .unwrap()
            .to_owned()
    };
    for (text, core, yaml11) in [
        ("yes", "string", "boolean"),
        ("true", "boolean", "boolean"),
        ("1e-5", "number", "string"),
        ("1.0e-05", "number", "number"),
        ("1_000", "string", "integer"),
        ("010", "integer", "integer"),
        ("09", "integer", "string"),
        ("1:30", "string", "integer"),
        ("1:30.5", "string", "number"),
        ("-.5", "number", "string"),
        ("2020-1-2", "string", "string"),
        ("2020-01-31", "string", "number"),
        ("78.66%", "string", "string"),
        ("24.3M", "string", "string"),
        (".5", "number", "number"),
        ("~", "null", "null"),
        ("0x1F", "integer", "integer"),
        ("-.inf", "number", "number"),
        (".", "string", "string"),
        ("e5", "string", "string"),
        ("99999999999999999999999999999999999999999999", "number", "number"),
    ] {
        assert_eq!(kind(text, Schema::Core), core, "{text} in 1.2");
        assert_eq!(kind(text, Schema::Yaml11), yaml11, "{text} in 1.1");
    }
}

#[test]
fn nothing_in_a_comment_ends_it() {
    let mut node = Node::of(Value::Mapping(Mapping::default()));
    for (i, text) in ["a --> b", "--!>", "<!--", "-- >", "->"].iter().enumerate() {
        node.mapping_mut().unwrap().set(&format!("k{i}"), Node::string(*text));
    }
    node.mapping_mut().unwrap().set("--> key", Node::string("v"));
    let text = to_comment(&node);
    assert!(!text.contains("-->") && !text.contains("--!>") && !text.contains("<!--"), "{text}");
    assert!(read(&text).0.same_facts(&node), "{text}");
}

/// Trees of everything that can be said, hostile texts among them.
fn trees() -> impl Strategy<Value = Node> {
    let text = prop_oneof![
        "[ -~]{0,12}",
        "\\PC{0,8}",
        any::<String>(),
        prop::sample::select(vec![
            "yes",
            "null",
            "~",
            "1e5",
            "0x1",
            "1:30",
            "- a",
            "a: b",
            "a #b",
            "#",
            "'",
            "\"",
            "%",
            "@",
            "`",
            "",
            " ",
            "a\nb",
            "a\n\nb\n",
            "\n",
            "\t",
            "a ",
            "|",
            ">",
            "---",
            "...",
            "-->",
            "2020-01-01",
            "<<",
            "=",
            "? x",
            ": x",
            "é",
            "\u{1b}[31m",
            "a:",
            "\u{feff}a",
            "\u{85}",
            "\u{2028}",
            "-",
            "?",
            "key: |",
            "::error::x",
            "a\n  ::error::x\n",
            "a ##[error]x",
            "##vso[x]",
            "[",
            "{}",
        ])
        .prop_map(str::to_owned),
    ];
    let plain =
        prop::sample::select(vec!["1", "0.5", "1.0e-05", "true", "null", "2020-01-01", "1e-5", ".inf"]);
    let leaf = prop_oneof![text.clone().prop_map(Node::string), plain.prop_map(Node::plain)];
    leaf.prop_recursive(4, 40, 5, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(|v| Node::of(Value::Sequence(v))),
            prop::collection::vec((text.clone(), inner), 0..5).prop_map(|pairs| {
                let mut mapping = Mapping::default();
                pairs.into_iter().for_each(|(k, v)| mapping.set(&k, v));
                Node::of(Value::Mapping(mapping))
            }),
        ]
    })
}

proptest! {
    #[test]
    fn what_is_written_reads_back(node in trees()) {
        for text in [to_yaml(&node), to_comment(&node)] {
            let (documents, problems) = yaml(text.as_bytes(), Origin::file("a"), &Limits::default())
                .map_err(|e| TestCaseError::fail(format!("{e}\n{text}")))?;
            prop_assert!(problems.is_empty(), "{}", text);
            prop_assert_eq!(documents.len(), 1, "{}", text);
            prop_assert!(documents[0].same_facts(&node), "{}\n{:?}", text, documents[0]);
            prop_assert!(!text.contains("##[") && !text.contains("##vso["), "{}", text);
            prop_assert!(!text.lines().any(|l| l.trim_start().starts_with("::")), "{}", text);
            prop_assert_eq!(to_yaml(&documents[0]), to_yaml(&node));
        }
    }

    #[test]
    fn no_bytes_make_the_readers_panic(bytes in prop::collection::vec(any::<u8>(), 0..200), text in "[-a:&*!|>'\"{}\\[\\],#?%\n\t 0-9<.]{0,60}") {
        for bytes in [bytes.as_slice(), text.as_bytes()] {
            let _ = yaml(bytes, Origin::file("a"), &Limits::default());
            let _ = json(bytes, Origin::file("a"), &Limits::default());
        }
    }
}
