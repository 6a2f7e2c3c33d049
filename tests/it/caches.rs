//! `zoo cache` and `zoo doctor`: what takes how much, what goes by age and size, what is damaged and had again, and what to do
//! about what is missing.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime};

use serde_json::Value;
use zoo::Sha256;

use crate::hub::tiny;
use crate::schemas::wrong;
use crate::store::{named, noise};
use crate::support::{Home, Ran, Reply, Server, ran};

/// A server of files by name; `gone` makes it answer 404.
fn server(files: Vec<(String, Vec<u8>)>) -> (Server, Arc<AtomicBool>) {
    let gone = Arc::new(AtomicBool::new(false));
    let is_gone = gone.clone();
    let server = Server::start(move |asked| {
        let file = files.iter().find(|(name, _)| asked.path.ends_with(name.as_str()));
        match file.filter(|_| !is_gone.load(Ordering::SeqCst)) {
            Some((_, bytes)) => Reply::file(asked, bytes, "\"a\""),
            None => Reply::new(404, ""),
        }
    });
    (server, gone)
}

/// A page with models of those names and files.
fn page(home: &Home, url: &str, models: &[(&str, String)]) -> String {
    let entry = |(name, file): &(&str, String)| {
        format!("- {{Name: {name}, In Collection: O, Metadata: {{}}, Weights: '{url}/{file}'}}\n")
    };
    let models: String = models.iter().map(entry).collect();
    home.write("page.yaml", format!("Models:\n{models}Collections:\n- Name: O\n")).display().to_string()
}

fn json(ran: &Ran) -> Value {
    serde_json::from_str(&ran.out).unwrap_or_else(|e| panic!("{e}: {ran:?}"))
}

/// The home of three models that were used so many days ago: `tiny` (with its conversion), `b` of 40 kB, `c` of 60 kB.
struct Cache {
    home: Home,
    gone: Arc<AtomicBool>,
    server: Server,
    page: String,
    files: Vec<(&'static str, Vec<u8>)>,
}

impl Cache {
    fn new() -> Self {
        let files = vec![("tiny", tiny()), ("b", noise(40_000, 1)), ("c", noise(60_000, 2))];
        let (server, gone) = server(files.iter().map(|(_, bytes)| (named(bytes), bytes.clone())).collect());
        let home = Home::new();
        let models: Vec<_> = files.iter().map(|(name, bytes)| (*name, named(bytes))).collect();
        let page = page(&home, &server.url, &models);
        let cache = Cache { home, gone, server, page, files };
        assert_eq!(cache.run(&["fetch", "tiny"]).code, Some(0));
        assert_eq!(cache.run(&["fetch", "b", "c", "--format", "pth"]).code, Some(0));
        cache
    }

    fn run(&self, args: &[&str]) -> Ran {
        self.home.run(&[args, &["--registry", &self.page]].concat())
    }

    fn path(&self, name: &str) -> PathBuf {
        let bytes = &self.files.iter().find(|(n, _)| *n == name).unwrap().1;
        self.home.cache("files").join(Sha256::of(bytes).to_string())
    }

    fn derived(&self) -> PathBuf {
        let digest = self.path("tiny").file_name().unwrap().to_str().unwrap().to_owned();
        self.home.cache("derived").join(format!("{digest}.safetensors"))
    }

    /// As if a model's files had come and been used last so many days ago.
    fn age(&self, name: &str, days: u64) {
        let path = self.path(name);
        let mut paths = vec![path.clone(), PathBuf::from(format!("{}.json", path.display()))];
        if name == "tiny" {
            paths.extend([self.derived(), self.derived().with_extension("json")]);
        }
        paths.iter().for_each(|path| aged(path, days));
    }

    /// Which of the models' files are here.
    fn here(&self) -> Vec<&str> {
        self.files.iter().map(|(name, _)| *name).filter(|name| self.path(name).exists()).collect()
    }
}

fn aged(path: &Path, days: u64) {
    let time = SystemTime::now() - Duration::from_secs(86_400 * days);
    std::fs::File::options().append(true).open(path).unwrap().set_modified(time).unwrap();
}

#[test]
fn gc_removes_what_was_not_used_for_long_and_what_exceeds_a_size() {
    for (args, left, derived) in [
        (&["--older-than", "30d"][..], &["tiny", "b"][..], true),
        (&["--older-than", "9d"], &["tiny"], true),
        (&["--older-than", "0"], &[], false),
        (&["--max-size", "1GB"], &["tiny", "b", "c"], true),
        (&["--max-size", "60kB"], &["tiny", "b"], true),
        (&["--max-size", "20kB"], &["tiny"], true),
        (&["--max-size", "0"], &[], false),
        (&["--sources"], &["b", "c"], true),
        (&["--sources", "--older-than", "30d", "--max-size", "20kB"], &[], true),
    ] {
        let cache = Cache::new();
        cache.age("c", 40);
        cache.age("b", 10);
        cache.age("tiny", 50);
        // Using it is what counts, not when it came.
        assert_eq!(cache.run(&["fetch", "tiny"]).code, Some(0));
        let dry = cache.run(&[&["cache", "gc", "--dry-run"], args].concat());
        assert_eq!((dry.code, cache.here().len()), (Some(0), 3), "{dry:?}");
        let gc = cache.run(&[&["cache", "gc", "--json"], args].concat());
        assert_eq!(gc.code, Some(0), "{gc:?}");
        assert_eq!(wrong("cache-1.json", &json(&gc)), [""; 0]);
        assert_eq!(cache.here(), left, "{args:?}: {}", gc.out);
        assert_eq!(cache.derived().exists(), derived, "{args:?}");
        // Pins stay: what comes again must be the same.
        assert_eq!(cache.run(&["fetch", "b", "--format", "pth"]).code, Some(0));
    }
    for wrong in [["--older-than", "soon"], ["--max-size", "big"], ["--max-size", "-1"]] {
        assert_eq!(Home::new().run(&["cache", "gc", wrong[0], wrong[1]]).code, Some(2), "{wrong:?}");
    }
}

#[test]
fn gc_removes_what_killed_processes_left_and_keeps_young_downloads_where_an_age_is_given() {
    let cache = Cache::new();
    let left = [
        "partial/x.part",
        "partial/y.claim",
        "partial/y.0123.dead",
        "partial/old.guard",
        "files/.zoo-a.part",
    ];
    let left = [&left[..], &["derived/.zoo-b.part", "partial/.zoo-c.part", "scratch/pip-x"]].concat();
    let make = || {
        // A claim of a process of this machine that has ended.
        let mut claim = serde_json::json!({"identity": "i", "host": "h", "pid": 1, "name": "m", "beat": 1, "done": 0,
            "total": 0, "process": {"boot": "", "namespace": "", "started": "7"}});
        claim["process"]["boot"] =
            std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap().trim().into();
        claim["process"]["namespace"] =
            std::fs::read_link("/proc/self/ns/pid").unwrap().display().to_string().into();
        for name in &left {
            let content = if name.ends_with(".claim") { claim.to_string() } else { "left".to_owned() };
            std::fs::write(cache.home.cache(name), content).unwrap();
        }
    };
    make();
    let young = cache.run(&["cache", "gc", "--older-than", "1d"]);
    assert_eq!((young.code, young.out.as_str()), (Some(0), ""), "{young:?}");
    left.iter().for_each(|name| aged(&cache.home.cache(name), 2));
    for args in [&["cache", "gc", "--older-than", "1d"][..], &["cache", "gc"]] {
        make();
        if args.len() > 2 {
            left.iter().for_each(|name| aged(&cache.home.cache(name), 2));
        }
        let gc = cache.run(args);
        assert_eq!(gc.out.lines().count(), left.len(), "{gc:?}");
        assert!(left.iter().all(|name| !cache.home.cache(name).exists()), "{gc:?}");
    }
    assert_eq!(cache.here(), ["tiny", "b", "c"]);
}

#[test]
fn du_says_what_takes_how_much() {
    let cache = Cache::new();
    cache.age("c", 40);
    std::fs::create_dir_all(cache.home.cache("runs")).unwrap();
    std::fs::write(cache.home.cache("runs/x"), [0; 500]).unwrap();
    let du = json(&cache.run(&["cache", "du", "--json"]));
    assert_eq!(wrong("cache.du-1.json", &du), [""; 0], "{du}");
    let models = du["models"].as_array().unwrap();
    let names: Vec<_> = models.iter().map(|m| m["names"][0].as_str().unwrap()).collect();
    assert_eq!(names, ["c", "b", "tiny"], "the largest first");
    assert_eq!((&models[0]["source"], &models[0]["derived"]), (&60_000.into(), &0.into()));
    assert!(models[2]["derived"].as_u64().unwrap() > 0);
    assert!(models[0]["unused_for"].as_u64().unwrap() >= 40 * 86_400, "{du}");
    let of_kinds: u64 = du["kinds"].as_array().unwrap().iter().map(|k| k["bytes"].as_u64().unwrap()).sum();
    assert_eq!(du["bytes"], of_kinds);
    let others = du["others"].as_array().unwrap();
    assert!(
        others.iter().any(|o| o["path"].as_str().unwrap().ends_with("runs") && o["bytes"] == 500),
        "{du}"
    );
    let text = cache.run(&["cache", "du"]).out;
    assert!(text.contains("60.0 kB") && text.contains("40 d") && text.contains("runs"), "{text}");
}

#[test]
fn what_is_damaged_is_found_and_had_again() {
    let cache = Cache::new();
    let check = |what: &str, args: &[&str], code: i32, says: &[(PathBuf, &str)]| {
        let verify = cache.run(&[&["cache", "verify", "--json"], args].concat());
        assert_eq!(verify.code, Some(code), "{what}: {verify:?}");
        let rows = json(&verify);
        assert_eq!(wrong("cache-1.json", &rows), [""; 0], "{rows}");
        assert_eq!(rows.as_array().unwrap().len(), says.len(), "{what}: {rows}");
        for (path, outcome) in says {
            let row = rows.as_array().unwrap().iter().find(|r| r["path"] == path.display().to_string());
            assert_eq!(row.unwrap()["repaired"].as_str().unwrap_or(""), *outcome, "{what}: {rows}");
        }
    };
    check("whole", &[], 0, &[]);
    let (b, tiny, derived) = (cache.path("b"), cache.path("tiny"), cache.derived());
    let spoil = |path: &Path| {
        let mut bytes = std::fs::read(path).unwrap();
        *bytes.last_mut().unwrap() ^= 1;
        std::fs::write(path, bytes).unwrap();
    };
    spoil(&b);
    spoil(&derived);
    check("found", &[], 1, &[(b.clone(), ""), (derived.clone(), "")]);
    let before = cache.server.asked().len();
    check("again", &["--repair"], 0, &[(b.clone(), "fetched again"), (derived.clone(), "converted again")]);
    assert_eq!(cache.server.asked().len(), before + 1, "a conversion is made from what is here");
    check("whole again", &[], 0, &[]);
    // Its names are as before.
    assert_eq!(cache.run(&["cache", "path", "b"]).out.trim(), b.display().to_string());
    // Without its record a conversion is nothing that can be trusted.
    std::fs::remove_file(derived.with_extension("json")).unwrap();
    check("no record", &["--repair"], 0, &[(derived.clone(), "converted again")]);
    // Both the file and what was made of it: the file first, then from it the other.
    spoil(&tiny);
    spoil(&derived);
    check("both", &["--repair"], 0, &[(tiny.clone(), "fetched again"), (derived.clone(), "converted again")]);
    // Where it came from no longer has it, or may not be asked.
    for (gone, more) in [(true, &["--repair"][..]), (false, &["--repair", "--offline"])] {
        assert_eq!(cache.run(&["fetch", "b", "--format", "pth"]).code, Some(0));
        cache.gone.store(gone, Ordering::SeqCst);
        spoil(&b);
        check("gone", more, 1, &[(b.clone(), "removed")]);
        assert!(!b.exists());
        cache.gone.store(false, Ordering::SeqCst);
    }
    // What the server has now is another file: it is not taken for the damaged one.
    assert_eq!(cache.run(&["fetch", "b", "--format", "pth"]).code, Some(0));
}

#[test]
fn doctor_says_what_to_do_about_each_thing_it_finds() {
    type Fault = fn(&Home, &mut std::process::Command);
    fn env(command: &mut std::process::Command, name: &str, value: impl AsRef<std::ffi::OsStr>) {
        command.env(name, value);
    }
    let table: [(&str, Fault); 7] = [
        ("cache", |home, command| env(command, "ZOO_HOME", home.write("a-file", ""))),
        ("pins", |home, _| drop(home.write("../zoo/zoo.lock", "what is this\n"))),
        ("registry", |home, command| {
            command.arg("--registry").arg(home.path("none"));
        }),
        ("pip", |home, command| env(command, "PATH", home.path(""))),
        ("processor", |_, command| env(command, "ZOO_ISA", "abacus")),
        ("certificates", |home, command| env(command, "SSL_CERT_FILE", home.path("none.pem"))),
        ("certificates", |home, command| env(command, "SSL_CERT_FILE", home.write("empty.pem", ""))),
    ];
    for (name, fault) in table {
        let home = Home::new();
        let mut command = home.command(&["doctor", "--json"]);
        fault(&home, &mut command);
        let doctor = ran(command.output().unwrap());
        assert_eq!(doctor.code, Some(1), "{name}: {doctor:?}");
        let checks = json(&doctor);
        assert_eq!(wrong("doctor-1.json", &checks), [""; 0], "{checks}");
        let bad: Vec<_> = checks.as_array().unwrap().iter().filter(|c| c["ok"] == false).collect();
        let this = bad.iter().find(|c| c["name"] == name).unwrap_or_else(|| panic!("{name}: {checks}"));
        assert!(this["advice"].as_str().is_some_and(|a| a.len() > 10), "{name}: {this}");
        // A machine may lack other things, each with its advice.
        assert!(bad.iter().all(|c| c["advice"].is_string()), "{checks}");
    }
}

#[test]
fn doctor_says_what_tidying_would_free() {
    let cache = Cache::new();
    std::fs::write(cache.home.cache("partial/x.part"), [0; 3000]).unwrap();
    let text = cache.run(&["doctor"]).out;
    assert!(text.contains("1 leftovers, 3.0 kB") && text.contains("`zoo cache gc` frees 3.0 kB"), "{text}");
    assert!(text.contains("`zoo cache gc --sources` frees"), "{text}");
}
