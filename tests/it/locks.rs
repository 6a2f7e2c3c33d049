//! Lock files: what `zoo lock` writes, what `--locked` takes and refuses, what `--check` finds, and a mirror carried to a
//! machine without a network.

use serde_json::{Value, json};
use zoo::Sha256;

use crate::hub::{Both, row, tensors, tiny, tiny_of_the_hub};
use crate::lite0::{golden, lite0, weights};
use crate::schemas::wrong;
use crate::support::{Home, Reply, Server};

fn source(both: &Both) -> String {
    format!("{}/page/tiny-9c2dd27b.pth", both.server.url)
}

fn whole() -> Both {
    Both::new(None, "model.safetensors", tiny_of_the_hub(false))
}

/// A lock of one file, as [`whole`] has it, with changes.
fn lock(home: &Home, both: &Both, change: impl Fn(&mut Value)) -> String {
    let bytes = tiny();
    let mut line = json!({"source": source(both), "sha256": Sha256::of(&bytes).to_string(), "bytes": bytes.len(),
        "tensors_sha256": tensors(), "names": ["tiny"]});
    change(&mut line);
    let text = json!({"schema": "zoo.lock/2", "files": [line]}).to_string();
    home.write("some.lock", text).display().to_string()
}

#[test]
fn a_lock_is_written_from_the_files_and_then_from_the_record() {
    let (home, both) = (Home::new(), whole());
    let page = both.page(&home);
    let run = |more: &[&str]| both.run(&home, &[&["lock", "tiny", "--registry", &page], more].concat());
    let printed = run(&[]);
    assert_eq!(printed.code, Some(0), "{printed:?}");
    let document: Value = serde_json::from_str(&printed.out).unwrap();
    assert_eq!(wrong("lock-2.json", &document), [""; 0], "{document}");
    let line = &document["files"][0];
    assert_eq!(line["source"], source(&both));
    assert_eq!(line["sha256"], Sha256::of(&tiny()).to_string());
    assert_eq!((&line["bytes"], &line["tensors_sha256"]), (&tiny().len().into(), &tensors().into()));
    assert_eq!(line["names"], json!(["tiny"]));
    // Nothing more is asked for, and the bytes are the same.
    let written = run(&["-o", "zoo.lock", "--offline"]);
    assert_eq!((written.code, written.out.trim()), (Some(0), "zoo.lock"), "{written:?}");
    assert_eq!(std::fs::read_to_string(home.path("zoo.lock")).unwrap(), printed.out);
    assert_eq!(both.server.asked().len(), 1);
    assert_eq!(run(&["-o", "zoo.lock"]).code, Some(2), "it is not written over");
    assert_eq!(run(&["-o", "zoo.lock", "--force"]).code, Some(0));
    // The user's own lock has the same form.
    let own: Value = serde_json::from_slice(&std::fs::read(home.cache("zoo.lock")).unwrap()).unwrap();
    assert_eq!(wrong("lock-2.json", &own), [""; 0], "{own}");
    assert_eq!(own, document);
    // With the hub's file, which has the same tensors; without it where it has others.
    let hub = run(&["--with-hub", "-o", "hub.lock", "--json"]);
    assert_eq!(hub.code, Some(0), "{hub:?}");
    let document: Value = serde_json::from_str(&hub.out).unwrap();
    assert_eq!(wrong("lock-2.json", &document), [""; 0], "{document}");
    let of_hub =
        &document["files"].as_array().unwrap().iter().find(|f| f["instead_of"] != Value::Null).unwrap();
    assert_eq!(
        (&of_hub["instead_of"], &of_hub["tensors_sha256"]),
        (&source(&both).into(), &tensors().into())
    );
    assert!(of_hub["source"].as_str().unwrap().starts_with("hf:timm/tiny@0123456789abcdef"), "{of_hub}");

    let other = Home::new();
    let both = Both::new(None, "model.safetensors", tiny_of_the_hub(true));
    let page = both.page(&other);
    let ran = both.run(&other, &["lock", "tiny", "--registry", &page, "--with-hub"]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert!(ran.err.contains("is not pinned") && !ran.out.contains("instead_of"), "{ran:?}");
    // What cannot be had is not locked.
    let ran = Home::new().run(&["lock", "tiny", "--registry", &page, "--offline", "-o", "no.lock"]);
    assert_eq!(ran.code, Some(4), "{ran:?}");
}

#[test]
fn locked_takes_what_is_pinned_and_nothing_else() {
    let other = Sha256::of(b"other").to_string();
    type Change<'a> = &'a dyn Fn(&mut Value);
    let cases: [(&str, Change<'_>, i32, &str); 7] = [
        ("as it is", &|_| {}, 0, ""),
        ("without its tensors", &|line| drop(line.as_object_mut().unwrap().remove("tensors_sha256")), 0, ""),
        ("other bytes", &|line| line["sha256"] = other.clone().into(), 3, "two digests are on record"),
        ("other tensors", &|line| line["tensors_sha256"] = other.clone().into(), 3, "the tensors of `tiny`"),
        ("another length", &|line| line["bytes"] = 12.into(), 3, "another size"),
        (
            "another model",
            &|line| line["source"] = "https://example.org/x.pth".into(),
            3,
            "says nothing of `tiny`",
        ),
        ("a key of its own", &|line| line["sha265"] = "x".into(), 3, "unknown field `sha265`"),
    ];
    for (what, change, code, said) in cases {
        let (home, both) = (Home::new(), whole());
        let lock = lock(&home, &both, change);
        let ran = both.fetch(&home, &["--locked", "--lock", &lock, "--accept-hub"]);
        assert_eq!(ran.code, Some(code), "{what}: {ran:?}");
        assert!(ran.err.contains(said), "{what}: {}", ran.err);
        if code == 0 {
            assert_eq!(row(&ran)["strength"], "256 bits, pinned", "{what}");
        }
        // The hub is no way around what a lock says.
        assert!(both.asked(0).iter().all(|path| path.starts_with("/page/")), "{what}: {:?}", both.asked(0));
    }
    // The digits in the name disagree with the lock before anything is asked for.
    let (home, both) = (Home::new(), whole());
    let page = both.page(&home);
    assert_eq!(both.fetch(&home, &["--locked"]).code, Some(2), "no lock is named");
    let first = lock(&home, &both, |_| {});
    // Without a name: all that the lock pins.
    let all = |more: &[&str]| {
        both.run(
            &home,
            &[&["fetch", "--registry", &page, "--json", "--locked", "--lock", &first], more].concat(),
        )
    };
    assert_eq!(row(&all(&[]))["name"], "tiny");
    assert_eq!(all(&["--where", "params > 1M"]).code, Some(2));
    let moved = lock(&home, &both, |line| line["source"] = "https://example.org/x.pth".into());
    let ran = both.run(&home, &["fetch", "--registry", &page, "--locked", "--lock", &moved]);
    assert_eq!(ran.code, Some(3), "{ran:?}");
    assert!(ran.err.contains("no model of the registry is there"), "{}", ran.err);
    // What is here and not pinned is not taken either, whatever the verb.
    home.write("dog.jpg", std::fs::read(golden("420.jpg")).unwrap());
    for args in [
        &["fetch", "tiny"][..],
        &["fetch", "tiny", "--dry-run"],
        &["lock", "tiny"],
        &["predict", "efficientnet_lite0_pypi", "dog.jpg"],
    ] {
        let ran = both
            .run(&home, &[args, &["--registry", &page, "--locked", "--lock", &moved, "--offline"]].concat());
        assert_eq!(ran.code, Some(3), "{args:?}: {ran:?}");
        assert!(ran.err.contains("says nothing of"), "{args:?}: {}", ran.err);
    }
    let own = [
        "predict",
        "efficientnet_lite0_pypi",
        "dog.jpg",
        "--weights",
        "dog.jpg",
        "--locked",
        "--lock",
        &moved,
    ];
    let ran = both.run(&home, &own);
    assert_eq!(ran.code, Some(3), "{ran:?}");
    assert!(ran.err.contains("--locked"), "{}", ran.err);
}

#[test]
fn locked_takes_the_hubs_file_only_where_it_is_pinned_itself() {
    let gone = || Some(Reply::new(404, "no such file"));
    let (home, both) = (Home::new(), whole());
    let page = both.page(&home);
    let ran = both.run(&home, &["lock", "tiny", "--registry", &page, "--with-hub", "-o", "both.lock"]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let of_page = lock(&home, &both, |_| {});
    both.world.lock().unwrap().page = gone();
    for (lock, code) in [(home.path("both.lock").display().to_string(), 0), (of_page, 4)] {
        let other = Home::new();
        let ran = both.fetch(&other, &["--locked", "--lock", &lock, "--accept-hub"]);
        assert_eq!(ran.code, Some(code), "{lock}: {ran:?}");
        if code == 0 {
            assert_eq!(row(&ran)["page_file"], "tensors on record");
        }
    }
}

#[test]
fn the_first_form_of_locks_is_read_everywhere() {
    let (home, both) = (Home::new(), whole());
    let bytes = tiny();
    let line = |digest: Sha256| format!("# zoo.lock 1: x\n{digest} {} {}\n", bytes.len(), source(&both));
    let first = home.write("1.lock", line(Sha256::of(&bytes))).display().to_string();
    let ran = both.fetch(&home, &["--locked", "--lock", &first]);
    assert_eq!((ran.code, &row(&ran)["strength"]), (Some(0), &"256 bits, pinned".into()), "{ran:?}");
    let page = both.page(&home);
    let all =
        both.run(&home, &["fetch", "--registry", &page, "--json", "--locked", "--lock", &first, "--offline"]);
    assert_eq!(row(&all)["name"], "tiny", "{all:?}");
    let check = both.run(&home, &["lock", "--check", "--registry", &page, "-o", &first, "--json"]);
    let found: Value = serde_json::from_str(&check.out).unwrap();
    assert_eq!(
        (check.code, &found["version"], &found["problems"][0]["kind"]),
        (Some(1), &1.into(), &"incomplete".into())
    );
    // A user's own lock of the first form is added to, and is of the second then.
    let other = Home::new();
    std::fs::create_dir_all(other.cache("")).unwrap();
    std::fs::write(other.cache("zoo.lock"), line(Sha256::of(&bytes))).unwrap();
    assert_eq!(both.fetch(&other, &[]).code, Some(0));
    let own = std::fs::read_to_string(other.cache("zoo.lock")).unwrap();
    assert!(own.contains("zoo.lock/2") && own.contains(&tensors()), "{own}");
}

#[test]
fn a_check_says_how_a_lock_differs_from_the_registry() {
    let other = Sha256::of(b"other").to_string();
    type Change<'a> = &'a dyn Fn(&mut Value);
    let cases: [(&str, Change<'_>, &[&str], &[&str]); 8] = [
        ("as it is", &|_| {}, &[], &[]),
        ("as named", &|_| {}, &["tiny"], &[]),
        ("more is named", &|_| {}, &["tiny", "resnet18"], &["missing"]),
        ("another is named", &|_| {}, &["resnet18"], &["extra", "missing"]),
        ("other bytes", &|line| line["sha256"] = other.clone().into(), &[], &["differs"]),
        (
            "no tensors",
            &|line| drop(line.as_object_mut().unwrap().remove("tensors_sha256")),
            &[],
            &["incomplete"],
        ),
        ("elsewhere", &|line| line["source"] = "https://example.org/x.pth".into(), &[], &["moved"]),
        ("renamed", &|line| line["names"] = json!(["tiny", "small"]), &[], &["moved"]),
    ];
    for (what, change, names, kinds) in cases {
        let (home, both) = (Home::new(), whole());
        let (page, lock) = (both.page(&home), lock(&home, &both, change));
        let args = [&["lock", "--check", "--registry", &page, "-o", &lock, "--json"], names].concat();
        let ran = both.run(&home, &args);
        let found: Value = serde_json::from_str(&ran.out).unwrap_or_else(|e| panic!("{what}: {e}: {ran:?}"));
        assert_eq!(wrong("lock.check-1.json", &found), [""; 0], "{what}: {found}");
        let told: Vec<_> =
            found["problems"].as_array().unwrap().iter().map(|p| p["kind"].as_str().unwrap()).collect();
        assert_eq!(told, kinds, "{what}: {found}");
        assert_eq!(ran.code, Some(i32::from(!kinds.is_empty())), "{what}");
        let text = both.run(&home, &args.iter().filter(|a| **a != "--json").copied().collect::<Vec<_>>());
        assert_eq!(text.out.lines().count(), kinds.len(), "{what}: {}", text.out);
        let by_lock: Vec<_> = args.iter().map(|a| if *a == "-o" { "--lock" } else { *a }).collect();
        let again = both.run(&home, &by_lock);
        assert_eq!((again.out, again.code), (ran.out, ran.code), "{what}, by `--lock`");
        assert!(both.server.asked().is_empty(), "{what}: nobody is asked");
    }
    // Another lock's word, the user's own, counts too; a file that is none, and none at all.
    let (home, both) = (Home::new(), whole());
    let page = both.page(&home);
    assert_eq!(both.fetch(&home, &[]).code, Some(0));
    let lock = lock(&home, &both, |line| line["tensors_sha256"] = other.clone().into());
    let check = |lock: &str| both.run(&home, &["lock", "--check", "--registry", &page, "-o", lock]);
    let ran = check(&lock);
    assert_eq!(ran.code, Some(1), "{ran:?}");
    assert!(ran.out.contains(&other) && ran.out.contains(&tensors()), "{}", ran.out);
    home.write("zoo.lock", "{\"schema\": \"zoo.lock/2\",\n\"files\": [{}]}");
    let ran = both.run(&home, &["lock", "--check", "--registry", &page]);
    assert_eq!(ran.code, Some(3), "{ran:?}");
    assert!(ran.err.contains("`zoo.lock` line 2") && ran.err.contains("missing field"), "{}", ran.err);
    assert_eq!(check("none.lock").code, Some(3));
}

/// A page with a network that can be run, whose weights are at `url`, and the tiny file that the hub has too.
fn page(home: &Home, both: &Both, url: &str) -> String {
    let text = format!(
        "Models:\n- Name: net\n  Metadata: {{Crop Pct: '0.875', Image Size: '224', Interpolation: bicubic}}\n  Weights: '{url}'\n  \
         Results: [{{Task: Image Classification, Dataset: ImageNet, Metrics: {{Top 1 Accuracy: 70%}}}}]\n  \
         zoo: {{arch: tf_efficientnet_lite0, mean: [0.5, 0.5, 0.5], std: [0.5, 0.5, 0.5]}}\n\
         - Name: tiny\n  Metadata: {{}}\n  Weights: '{}'\n  zoo: {{hf_id: timm/tiny}}\n",
        source(both)
    );
    home.write("page.yaml", text).display().to_string()
}

#[test]
fn every_output_says_where_the_pages_own_file_was_not_seen() {
    let (home, commit) = (Home::new(), "f".repeat(40));
    let bytes = weights(&lite0(), |_, _| {});
    let (served, at) = (bytes.clone(), commit.clone());
    let hub = Server::start(move |asked| match asked.path.as_str() {
        "/api/models/timm/net/revision/main" => Reply::new(200, format!("{{\"sha\": \"{at}\"}}")),
        path if path == format!("/timm/net/resolve/{at}/model.safetensors") => {
            Reply::file(asked, &served, "\"w\"")
        }
        _ => Reply::new(404, "no such file"),
    });
    let url = format!("{}/net-01234567.pth", hub.url);
    let text = format!(
        "Models:\n- Name: net\n  Metadata: {{Crop Pct: '0.875', Image Size: '224', Interpolation: bicubic}}\n  Weights: '{url}'\n  \
         zoo: {{arch: tf_efficientnet_lite0, mean: [0.5, 0.5, 0.5], std: [0.5, 0.5, 0.5], hf_id: timm/net}}\n"
    );
    home.write("page.yaml", text);
    home.write("val/n01440764/420.jpg", std::fs::read(golden("420.jpg")).unwrap());
    let run = |home: &Home, args: &[&str]| {
        let mut command = home.command(&[args, &["--registry", "page.yaml"]].concat());
        crate::support::ran(command.env("HF_ENDPOINT", &hub.url).output().unwrap())
    };
    let verify = ["verify", "net", "--dataset", "imagenet-val", "--data-dir", "val"];
    let refused = run(&home, &verify);
    assert_eq!(refused.code, Some(4), "{refused:?}");
    assert!(refused.err.contains("--accept-hub"), "{}", refused.err);
    assert_eq!(run(&home, &["fetch", "net", "--accept-hub"]).code, Some(0));
    let check = |home: &Home, expected: &str, said: &str| {
        let reports = ["--report", "r.json", "--report", "r.html", "--report", "r.md", "--force"];
        let verified = run(home, &[&verify[..], &reports].concat());
        assert_eq!(verified.code, Some(0), "{verified:?}");
        let report: Value = serde_json::from_slice(&std::fs::read(home.path("r.json")).unwrap()).unwrap();
        assert_eq!(wrong("verify-1.json", &report), [""; 0]);
        assert_eq!(report["results"][0]["weights"]["page_file"], expected);
        for text in ["r.html", "r.md"].map(|name| std::fs::read_to_string(home.path(name)).unwrap()) {
            assert!(text.contains(said), "{text}");
        }
        assert!(verified.out.contains(said) && verified.err.contains(&commit), "{verified:?}");
        let predicted = run(home, &["predict", "net", "val/n01440764/420.jpg", "--json"]);
        let answers: Value = serde_json::from_str(&predicted.out).unwrap();
        assert_eq!(wrong("predict-1.json", &answers), [""; 0]);
        assert_eq!(answers[0]["page_file"], expected);
        assert!(predicted.err.contains(&commit), "{predicted:?}");
        let features =
            ["features", "net", "val/n01440764/420.jpg", "-o", "f.safetensors", "--force", "--json"];
        let features: Value = serde_json::from_str(&run(home, &features).out).unwrap();
        assert_eq!(wrong("features-1.json", &features), [""; 0]);
        assert_eq!(features["page_file"], expected);
    };
    check(&home, "not seen", "file was not seen");
    // With the tensors of the page's file on record: the same, without a question.
    let other = Home::new();
    other.write("page.yaml", std::fs::read(home.path("page.yaml")).unwrap());
    other.write("val/n01440764/420.jpg", std::fs::read(golden("420.jpg")).unwrap());
    let own: Value = serde_json::from_slice(&std::fs::read(home.cache("zoo.lock")).unwrap()).unwrap();
    let tensors = own["files"][0]["tensors_sha256"].as_str().unwrap();
    std::fs::create_dir_all(other.cache("")).unwrap();
    let digest = "01234567".repeat(8);
    let line = json!({"source": url, "sha256": digest, "bytes": 5, "tensors_sha256": tensors});
    std::fs::write(other.cache("zoo.lock"), json!({"schema": "zoo.lock/2", "files": [line]}).to_string())
        .unwrap();
    check(&other, "tensors on record", "tensors on record");
}

#[test]
fn a_mirror_is_carried_to_a_machine_without_a_network_and_verified_there() {
    let (home, both) =
        (Home::new(), Both::new(Some(Reply::new(404, "gone")), "model.safetensors", tiny_of_the_hub(false)));
    let bytes = weights(&lite0(), |_, _| {});
    let server = Server::of(bytes.clone());
    let registry = page(
        &home,
        &both,
        &format!("{}/net-{}.safetensors", server.url, &Sha256::of(&bytes).to_string()[..8]),
    );
    let out = [
        "fetch",
        "net",
        "tiny",
        "--registry",
        &registry,
        "--accept-hub",
        "--to",
        "usb",
        "--mirror-layout",
        "--json",
    ];
    let ran = both.run(&home, &out);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let rows: Value = serde_json::from_str(&ran.out).unwrap();
    assert_eq!((&rows[0]["page_file"], &rows[1]["page_file"]), (&"seen".into(), &"not seen".into()));
    assert!(!home.path("usb/tiny-9c2dd27b.pth").exists(), "the hub's file does not go by the page's name");

    // The folder is moved, and nothing else goes along but the page.
    let far = Home::new();
    std::fs::rename(home.path("usb"), far.path("stick")).unwrap();
    let registry = far.write("page.yaml", std::fs::read(&registry).unwrap()).display().to_string();
    drop((home, server));
    let (stick, lock) =
        (format!("file:{}", far.path("stick").display()), far.path("stick/zoo.lock").display().to_string());
    let document: Value = serde_json::from_slice(&std::fs::read(&lock).unwrap()).unwrap();
    assert_eq!(wrong("lock-2.json", &document), [""; 0], "{document}");
    let common = ["--registry", &registry, "--mirror", &stick, "--locked", "--lock", &lock, "--offline"];
    let run = |args: &[&str]| far.run(&[args, &common].concat());

    let check = far.run(&["lock", "--check", "net", "tiny", "--registry", &registry, "-o", &lock]);
    assert_eq!(check.code, Some(0), "{check:?}");
    let fetched = run(&["fetch", "--json"]);
    assert_eq!(fetched.code, Some(0), "{fetched:?}");
    let rows: Value = serde_json::from_str(&fetched.out).unwrap();
    assert_eq!(wrong("fetch-1.json", &rows), [""; 0], "{rows}");
    let of = |name: &str| rows.as_array().unwrap().iter().find(|r| r["name"] == name).unwrap().clone();
    assert_eq!((&of("net")["page_file"], &of("tiny")["page_file"]), (&"seen".into(), &"not seen".into()));
    for (folder, picture) in [("n01440764", "420.jpg"), ("n01440764", "444.jpg"), ("n02108422", "wide.jpg")] {
        far.write(&format!("val/{folder}/{picture}"), std::fs::read(golden(picture)).unwrap());
    }
    let verify = ["verify", "net", "--dataset", "imagenet-val", "--data-dir", "val", "--report", "r.json"];
    let ran = run(&verify);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let report: Value = serde_json::from_slice(&std::fs::read(far.path("r.json")).unwrap()).unwrap();
    assert_eq!(report["results"][0]["weights"]["tensors_sha256"], of("net")["tensors_sha256"]);
    assert_eq!(report["results"][0]["n"], 3);

    // Without a name: all that the lock pins; of it, those that the query chooses.
    let all = [
        "verify",
        "--dataset",
        "imagenet-val",
        "--data-dir",
        "val",
        "--json",
        "--where",
        "arch = tf_efficientnet_lite0",
    ];
    let report: Value = serde_json::from_str(&run(&all).out).unwrap();
    let models: Vec<_> = report["results"].as_array().unwrap().iter().map(|r| r["model"].clone()).collect();
    assert_eq!(models, ["net"]);

    // A file that was changed on the way, a lock that was, and a model that is not on it.
    let spoilt = Home::new();
    let run = |args: &[&str], lock: &str| {
        spoilt.run(
            &[args, &["--registry", &registry, "--mirror", &stick, "--locked", "--lock", lock, "--offline"]]
                .concat(),
        )
    };
    let file = far.path("stick/files").join(Sha256::of(&tiny_of_the_hub(false)).to_string());
    std::fs::write(&file, tiny_of_the_hub(true)).unwrap();
    let ran = run(&["fetch", "tiny"], &lock);
    assert_eq!(ran.code, Some(3), "{ran:?}");
    let changed = std::fs::read_to_string(&lock)
        .unwrap()
        .replace(of("net")["tensors_sha256"].as_str().unwrap(), &tensors());
    let changed = spoilt.write("changed.lock", changed).display().to_string();
    let val = far.path("val").display().to_string();
    let ran = run(&["verify", "net", "--dataset", "imagenet-val", "--data-dir", &val], &changed);
    assert_eq!(ran.code, Some(3), "{ran:?}");
    assert!(ran.err.contains("the tensors of `net`"), "{}", ran.err);
    let ran = run(&["fetch", "resnet18"], &lock);
    assert_eq!(ran.code, Some(3), "{ran:?}");
}
