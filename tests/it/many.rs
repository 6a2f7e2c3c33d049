//! `zoo fetch` of many: what is chosen, what would be done, how several run at once, and what becomes of the others when
//! one fails. A real server on the loopback holds and refuses files as each test says.

use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use serde_json::Value;
use zoo::Sha256;

use crate::schemas::wrong;
use crate::support::{Home, Ran, Reply, Server};

/// Bytes of a file, another for each number.
fn file(n: usize) -> Vec<u8> {
    (0..20_000).map(|i| (i * 31 + n * 7) as u8).collect()
}

/// The name of a file whose SHA-256 begins with the digits in it.
fn named(n: usize) -> String {
    format!("m{n}-{}.pth", &Sha256::of(&file(n)).to_string()[..8])
}

/// A page of `count` models, `m0` and so on, in the collections `Even` and `Odd`; their files are at `url`.
fn page(home: &Home, url: &str, count: usize) -> String {
    let one = |n: usize| {
        let (collection, name) = (["Even", "Odd"][n % 2], named(n));
        format!(
            "- Name: m{n}\n  In Collection: {collection}\n  Metadata: {{Parameters: {}, File Size: 20000}}\n  Weights: '{url}/{name}'\n",
            (n + 1) * 1000
        )
    };
    let models: String = (0..count).map(one).collect();
    let text = format!("Models:\n{models}Collections:\n- Name: Even\n- Name: Odd\n");
    home.write("page.yaml", text).display().to_string()
}

fn fetch(home: &Home, page: &str, more: &[&str]) -> Ran {
    let mut args = vec!["fetch", "--format", "pth", "--registry", page, "--progress", "plain"];
    args.extend(more);
    home.run(&args)
}

fn json(ran: &Ran) -> Value {
    serde_json::from_str(&ran.out).unwrap_or_else(|e| panic!("{e}: {ran:?}"))
}

fn names(rows: &Value) -> Vec<&str> {
    rows.as_array().unwrap().iter().map(|row| row["name"].as_str().unwrap()).collect()
}

/// Every file of [`file`] under its name, but those for which `fault` has another answer.
fn server(fault: impl Fn(usize) -> Option<Reply> + Send + Sync + 'static) -> Server {
    Server::start(move |asked| {
        let digits: String =
            asked.path.trim_start_matches("/m").chars().take_while(char::is_ascii_digit).collect();
        let n = digits.parse().unwrap();
        fault(n).unwrap_or_else(|| Reply::file(asked, &file(n), "\"one\""))
    })
}

#[test]
fn names_patterns_collections_and_queries_choose() {
    let home = Home::new();
    let page = page(&home, "https://weights.invalid", 6);
    for (chosen, expected) in [
        (&["m1"][..], &["m1"][..]),
        (&["m3", "m1", "M3"], &["m3", "m1"]),
        (&["m[1-3]"], &["m1", "m2", "m3"]),
        (&["odd"], &["m1", "m3", "m5"]),
        (&["Odd/m?", "m0"], &["m1", "m3", "m5", "m0"]),
        (&["m?", "--where", "params < 3k"], &["m0", "m1"]),
        (&["even", "--where", "params > 1k and collection = even"], &["m2", "m4"]),
        (&["--all", "--where", "collection = Odd and file_size = 20kB"], &["m1", "m3", "m5"]),
    ] {
        let ran = fetch(&home, &page, &[chosen, &["--dry-run", "--json"]].concat());
        assert_eq!(ran.code, Some(0), "{chosen:?}: {ran:?}");
        assert_eq!(names(&json(&ran)["files"]), expected, "{chosen:?}");
    }
    for (chosen, code, said) in [
        (&[][..], 2, "no model is named"),
        (&["--where", "params < 3k"], 2, "no model is named"),
        (&["m?", "--where", "params > 1M"], 2, "no model is left"),
        (&["m?", "--where", "parms > 1M"], 2, "did you mean"),
        (&["m1", "--all"], 2, "cannot be used with"),
        (&["[z-a]*"], 2, "is not a pattern"),
        (&["mm*"], 3, "no model is called `mm*`"),
        (&["m1", "m9"], 3, "no model is called `m9`"),
        (&["m1", "--jobs", "0"], 2, "--jobs"),
    ] {
        let ran = fetch(&home, &page, &[chosen, &["--dry-run"]].concat());
        assert_eq!(ran.code, Some(code), "{chosen:?}: {ran:?}");
        assert!(ran.err.contains(said), "{chosen:?}: {}", ran.err);
    }
    assert!(home.cached("files", None).is_empty());
}

#[test]
fn a_dry_run_says_what_is_here_and_asks_nobody() {
    let (home, server) = (Home::new(), server(|_| None));
    let page = page(&home, &server.url, 4);
    assert_eq!(fetch(&home, &page, &["m0"]).code, Some(0));
    // The beginning of one, as an interrupted run leaves it, and another in torch's cache.
    let url = format!("{}/{}", server.url, named(1));
    let key = &Sha256::of(url.as_bytes()).to_string()[..32];
    std::fs::write(home.cache(&format!("partial/{key}.part")), &file(1)[..5_000]).unwrap();
    home.write(&format!("torch/hub/checkpoints/{}", named(2)), file(2));
    let before = server.asked().len();
    let args = ["fetch", "m?", "--format", "pth", "--registry", &page, "--dry-run", "--json", "--to", "out"];
    let mut command = home.command(&args);
    let ran = crate::support::ran(command.env("TORCH_HOME", home.path("torch")).output().unwrap());
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let plan = json(&ran);
    assert_eq!(wrong("fetch.plan-1.json", &plan), [""; 0], "{plan}");
    let here: Vec<_> = plan["files"]
        .as_array()
        .unwrap()
        .iter()
        .map(|f| (f["here"].as_str().unwrap(), f["missing"].as_u64().unwrap()))
        .collect();
    let expected = [("cached", 0), ("partial", 15_000), ("other cache", 20_000), ("no", 20_000)];
    assert_eq!(here, expected);
    assert_eq!((&plan["bytes"], &plan["missing"]), (&80_000.into(), &55_000.into()));
    // Both folders are on one file system: the copies need room beside what is fetched.
    assert_eq!(plan["rooms"][0]["needed"], 55_000 + 80_000);
    assert_eq!(server.asked().len(), before);
    assert!(!home.path("out").exists());
}

#[test]
fn without_room_a_dry_run_is_the_worlds_fault() {
    let home = Home::new();
    let entry = |n: usize| {
        format!(
            "- Name: m{n}\n  Metadata: {{}}\n  Weights: https://weights.invalid/m{n}-0123456{n}.pth\n  zoo: {{size: 4000000000000000}}\n"
        )
    };
    let unknown = "- Name: u\n  Metadata: {}\n  Weights: https://weights.invalid/u-01234567.pth\n";
    let page = home.write("page.yaml", format!("Models:\n{}{}{unknown}", entry(0), entry(1)));
    let page = page.display().to_string();
    let ran = fetch(&home, &page, &["m?", "u", "--dry-run", "--json"]);
    assert_eq!(ran.code, Some(4), "{ran:?}");
    let plan = json(&ran);
    assert_eq!(wrong("fetch.plan-1.json", &plan), [""; 0], "{plan}");
    assert_eq!((&plan["fits"], &plan["unknown"]), (&false.into(), &1.into()));
    assert!(ran.err.contains("no room") && ran.err.contains("8000000000000000 bytes needed"), "{}", ran.err);
    let table = fetch(&home, &page, &["m?", "u", "--dry-run"]);
    assert_eq!(table.code, Some(4), "{table:?}");
    assert!(table.out.contains("unknown") && table.out.contains("4000.0 TB"), "{}", table.out);
    // What is fetched all the same is warned of, and fails as the world does.
    let ran = fetch(&home, &page, &["m?", "--offline"]);
    assert_eq!(ran.code, Some(4), "{ran:?}");
    assert!(ran.err.contains("warning: there is no room"), "{}", ran.err);
}

#[test]
fn as_many_files_come_at_once_as_jobs_are_allowed() {
    let home = Home::new();
    // How many are being answered, and the most that ever were. An answer waits until three are, or it is too late.
    let state = Arc::new((Mutex::new((0_usize, 0_usize)), Condvar::new()));
    let seen = state.clone();
    let server = server(move |_| {
        let (count, changed) = &*state;
        let mut now = count.lock().unwrap();
        now.0 += 1;
        now.1 = now.1.max(now.0);
        changed.notify_all();
        let (mut now, _) = changed.wait_timeout_while(now, Duration::from_secs(20), |n| n.1 < 3).unwrap();
        now.0 -= 1;
        None
    });
    let page = page(&home, &server.url, 8);
    let ran = fetch(&home, &page, &["m?", "--jobs", "3", "--json"]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let rows = json(&ran);
    assert_eq!(wrong("fetch-1.json", &rows), [""; 0], "{rows}");
    assert_eq!(names(&rows), ["m0", "m1", "m2", "m3", "m4", "m5", "m6", "m7"], "in the order asked for");
    for (n, row) in rows.as_array().unwrap().iter().enumerate() {
        assert_eq!(std::fs::read(row["path"].as_str().unwrap()).unwrap(), file(n));
    }
    assert_eq!(seen.0.lock().unwrap().1, 3, "three at once, and never more");
    assert!(
        ran.err.contains("8 files, 160.0 kB") && ran.err.contains("8 of 8 files, 160.0 kB of 160.0 kB"),
        "{}",
        ran.err
    );
}

#[test]
fn one_that_fails_stops_the_next_unless_asked_to_keep_going() {
    let gone = |_| Some(Reply::new(404, "no such file"));
    let other = |_| Some(Reply::new(200, file(99)));
    // Which answer the models get, by their numbers; what is exited with, and how many others come.
    type Faults = [(usize, fn(usize) -> Option<Reply>)];
    let cases: [(&Faults, &[&str], i32, &[&str]); 5] = [
        (&[(1, gone)], &["--jobs", "1"], 4, &["m0"]),
        (&[(1, gone)], &["--jobs", "1", "--keep-going"], 4, &["m0", "m2", "m3", "m4"]),
        (&[(0, gone), (4, gone)], &["--keep-going"], 4, &["m1", "m2", "m3"]),
        (&[(0, gone), (3, other)], &["--keep-going"], 3, &["m1", "m2", "m4"]),
        (&[(2, other)], &["--jobs", "1"], 3, &["m0", "m1"]),
    ];
    for (faults, flags, code, expected) in cases {
        let (home, faults) = (Home::new(), faults.to_vec());
        let failing: Vec<String> = faults.iter().map(|(n, _)| format!("m{n}")).collect();
        let server =
            server(move |n| faults.iter().find(|(at, _)| *at == n).and_then(|(_, answer)| answer(n)));
        let page = page(&home, &server.url, 5);
        let ran = fetch(&home, &page, &[&["m?", "--json"], flags].concat());
        assert_eq!(ran.code, Some(code), "{flags:?}: {ran:?}");
        let rows = json(&ran);
        assert_eq!(wrong("fetch-1.json", &rows), [""; 0], "{rows}");
        let of = |failed: bool| {
            let rows = rows.as_array().unwrap().iter().filter(|row| (row["status"] == "failed") == failed);
            rows.map(|row| row["name"].as_str().unwrap()).collect::<Vec<_>>()
        };
        assert_eq!(of(false), expected, "{flags:?}");
        assert_eq!(home.cached("files", None).len(), expected.len(), "{flags:?}: what is wrong is not kept");
        if flags.contains(&"--keep-going") {
            assert_eq!(of(true), failing, "{flags:?}");
            for name in &failing {
                assert!(ran.err.contains(&format!("/{name}-")), "{flags:?}: {}", ran.err);
            }
        } else {
            let left = 5 - expected.len() - 1;
            assert!(ran.err.contains(&format!("{left} more were not begun")), "{flags:?}: {}", ran.err);
        }
        // The same again, from a server in order: what is here is not asked for again.
        let whole = crate::many::server(|_| None);
        let rule = format!("{} => {}", server.url, whole.url);
        let again = fetch(&home, &page, &["m?", "--json", "--mirror", &rule]);
        assert_eq!(again.code, Some(0), "{again:?}");
        assert_eq!(whole.asked().len(), 5 - expected.len());
    }
}

#[test]
fn programs_follow_all_files_and_each() {
    let (home, server) = (Home::new(), server(|n| (n == 2).then(|| Reply::new(404, "no such file"))));
    let page = page(&home, &server.url, 4);
    let ran = home.run(&[
        "fetch",
        "m?",
        "--format",
        "pth",
        "--registry",
        &page,
        "--progress",
        "json",
        "--keep-going",
    ]);
    assert_eq!(ran.code, Some(4), "{ran:?}");
    let events: Vec<Value> = ran.err.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
    let of = |kind: &str| events.iter().filter(|e| e["event"] == kind).collect::<Vec<_>>();
    assert_eq!(of("planned")[0], &serde_json::json!({"event": "planned", "files": 4, "bytes": 80_000}));
    let settled = of("settled");
    assert_eq!(settled.len(), 4);
    let last = settled.last().unwrap();
    assert_eq!(
        (&last["settled"], &last["failed"], &last["files"], &last["arrived"]),
        (&4.into(), &1.into(), &4.into(), &60_000.into())
    );
    assert_eq!(
        settled.iter().filter(|e| e["ok"] == false).map(|e| e["name"].as_str().unwrap()).collect::<Vec<_>>(),
        ["m2"]
    );
}

#[test]
fn models_that_share_a_file_fetch_it_once() {
    let (home, server) = (Home::new(), server(|_| None));
    let url = format!("{}/{}", server.url, named(0));
    let one = |name: &str| format!("- Name: {name}\n  Metadata: {{File Size: 20000}}\n  Weights: '{url}'\n");
    let page = home.write("page.yaml", format!("Models:\n{}{}", one("a"), one("b"))).display().to_string();
    let plan = json(&fetch(&home, &page, &["a", "b", "--dry-run", "--json"]));
    assert_eq!(plan["missing"], 20_000, "{plan}");
    let ran = fetch(&home, &page, &["a", "b", "--json"]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert_eq!(server.asked().len(), 1);
}
