//! `zoo lint --online`: addresses asked for their heads, against a server on the loopback that answers each as its name says.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::Value;

use crate::schemas::wrong;
use crate::support::{Home, Ran, Reply, Server};

/// The answer to an address by its last part: `404`, `301-there`, `302-there`, `1234` bytes …
fn answer(path: &str) -> Reply {
    let name = path.rsplit('/').next().unwrap().trim_end_matches("-01234567.pth");
    let file = |bytes: usize| Reply { claim: Some(bytes), ..Reply::new(200, "") };
    match name {
        "there" => file(5000),
        "longer" => file(6000),
        "page" => file(5000).header("Content-Type", "text/html; charset=utf-8"),
        "packed" => file(99).header("Content-Encoding", "gzip"),
        "forever" => Reply::new(301, "").header("Location", "/new/there-01234567.pth"),
        "forever-308" => Reply::new(308, "").header("Location", "/new/there-01234567.pth"),
        "for-now" => Reply::new(302, "").header("Location", "/new/there-01234567.pth"),
        "for-now-then-forever" => Reply::new(307, "").header("Location", "/forever-01234567.pth"),
        "forever-then-gone" => Reply::new(301, "").header("Location", "/404-01234567.pth"),
        "round" => Reply::new(302, "").header("Location", "/round-01234567.pth"),
        status => Reply::new(status.parse().unwrap(), ""),
    }
}

fn page(home: &Home, url: &str, names: &[&str]) -> String {
    let one = |name: &&str| {
        format!(
            "- Name: {name}\n  Metadata: {{File Size: 5000}}\n  Weights: '{url}/{name}-01234567.pth'\n  zoo: {{sha256: {}}}\n",
            "01234567".repeat(8)
        )
    };
    let models: String = names.iter().map(one).collect();
    home.write("page.yaml", format!("Models:\n{models}")).display().to_string()
}

fn lint(home: &Home, page: &str, more: &[&str]) -> Ran {
    home.run(&[&["lint", page, "--online", "--json"], more].concat())
}

/// The findings about what addresses answer: rule, model, expected.
fn online(ran: &Ran) -> Vec<(String, String, String)> {
    let found: Value = serde_json::from_str(&ran.out).unwrap_or_else(|e| panic!("{e}: {ran:?}"));
    assert_eq!(wrong("lint-1.json", &found), [""; 0], "{found}");
    let text = |v: &Value| v.as_str().unwrap_or_default().to_owned();
    let one = |f: &Value| (text(&f["rule"]), text(&f["model"]), text(&f["expected"]));
    found
        .as_array()
        .unwrap()
        .iter()
        .map(one)
        .filter(|(rule, ..)| ["Z027", "Z028", "Z029"].contains(&rule.as_str()))
        .collect()
}

#[test]
fn each_answer_is_told_for_what_it_is() {
    // The most that were being answered at once.
    let (now, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let seen = most.clone();
    let server = Server::start(move |asked| {
        most.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
        std::thread::sleep(std::time::Duration::from_millis(20));
        now.fetch_sub(1, Ordering::SeqCst);
        answer(&asked.path)
    });
    let home = Home::new();
    let there = format!("{}/new/there-01234567.pth", server.url);
    type Found<'a> = &'a [(&'a str, &'a str)];
    let cases: [(&str, Found<'_>, &str); 14] = [
        ("there", &[], ""),
        ("404", &[("Z027", "an address where the file is")], ""),
        ("410", &[("Z027", "an address where the file is")], ""),
        ("longer", &[("Z029", "6000")], ""),
        ("forever", &[("Z028", &there)], ""),
        ("forever-308", &[("Z028", &there)], ""),
        ("for-now", &[], ""),
        ("for-now-then-forever", &[], ""),
        ("forever-then-gone", &[("Z027", "an address where the file is")], ""),
        ("packed", &[], ""),
        ("page", &[], "a web page"),
        ("403", &[], "403"),
        ("405", &[], "without sending it"),
        ("round", &[], "more than 10 times"),
    ];
    let page = page(&home, &server.url, &cases.map(|(name, ..)| name));
    let ran = lint(&home, &page, &[]);
    assert_eq!(ran.code, Some(1), "{ran:?}");
    let found = online(&ran);
    for (name, expected, said) in cases {
        let of: Vec<_> = found.iter().filter(|f| f.1 == name).map(|f| (f.0.as_str(), f.2.as_str())).collect();
        assert_eq!(of, expected, "{name}");
        let note = ran.err.lines().find(|line| line.contains(&format!("/{name}-01234567.pth: ")));
        assert_eq!(note.is_some_and(|line| line.contains(said)), !said.is_empty(), "{name}: {}", ran.err);
    }
    assert!(ran.err.contains("10 addresses answered, 4 did not say"), "{}", ran.err);
    assert!(server.asked().iter().all(|a| a.method == "HEAD"));
    assert_eq!(seen.load(Ordering::SeqCst), 1, "a host is asked one thing at a time");

    // What answered is not asked again on the same day.
    let before = server.asked().len();
    let again = lint(&home, &page, &[]);
    assert_eq!((again.code, online(&again)), (Some(1), found), "{again:?}");
    let asked: Vec<_> = server.asked()[before..].iter().map(|a| a.path.clone()).collect();
    assert_eq!(asked.iter().filter(|p| !p.contains("round")).count(), 3, "{asked:?}");
    // Offline nothing changes: without the flag nobody is asked, with both it is an error.
    let plain = home.run(&["lint", &page, "--json"]);
    assert!(online(&plain).is_empty(), "{plain:?}");
    let ran = lint(&home, &page, &["--offline"]);
    assert_eq!(ran.code, Some(4), "{ran:?}");
    assert!(ran.err.contains("--offline"), "{}", ran.err);
}

#[test]
fn a_host_that_is_busy_is_left_alone() {
    for status in ["429", "503"] {
        let (home, server) = (Home::new(), Server::start(|asked| answer(&asked.path)));
        let page = page(&home, &server.url, &[status, "there", "longer", "404"]);
        // In the order of their addresses: `404` is asked before it says so.
        let ran = lint(&home, &page, &[]);
        assert_eq!(server.asked().len(), 2, "{status}: {:?}", server.asked());
        assert_eq!(online(&ran).len(), 1, "{status}: {ran:?}");
        assert!(ran.err.contains("not asked: it answers"), "{status}: {}", ran.err);
    }
}

#[test]
fn where_nobody_answers_it_is_the_worlds_fault() {
    let home = Home::new();
    let page = page(&home, "http://127.0.0.1:9", &["a", "b"]);
    let ran = lint(&home, &page, &[]);
    assert_eq!(ran.code, Some(4), "{ran:?}");
    assert!(ran.err.contains("none of 2 addresses could be asked"), "{}", ran.err);
    // A page without addresses has nothing to ask.
    let none = home.write("none.yaml", "Models:\n- Name: x\n  Weights: 'file:/nowhere/x-01234567.pth'\n");
    let ran = lint(&home, none.to_str().unwrap(), &[]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
}
