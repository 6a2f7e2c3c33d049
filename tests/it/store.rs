//! `zoo fetch` and `zoo cache` against a real server on the loopback: what arrives is checked, what is
//! wrong leaves nothing, what breaks off is resumed.

use std::time::{Duration, Instant};

use zoo::Sha256;

use crate::support::{Home, Ran, Reply, Server, ran};

/// Bytes that look like nothing in particular.
pub(crate) fn noise(n: usize, seed: u32) -> Vec<u8> {
    let mut state = seed * 2 + 1;
    let step = |_| {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        state as u8
    };
    (0..n).map(step).collect()
}

/// A page with one model, `m`, whose weights are at `url`.
pub(crate) fn page(home: &Home, url: &str, zoo: &str) -> String {
    let text = format!(
        "Models:\n- Name: m\n  In Collection: Ours\n  Metadata: {{}}\n  Weights: '{url}'\n{zoo}\
         Collections:\n- Name: Ours\n"
    );
    home.write("page.yaml", text).display().to_string()
}

pub(crate) fn fetch(home: &Home, page: &str, more: &[&str]) -> Ran {
    let mut args = vec!["fetch", "m", "--format", "pth", "--registry", page, "--progress", "plain"];
    args.extend(more);
    home.run(&args)
}

/// The name of a file whose SHA-256 begins with the digits in it.
pub(crate) fn named(bytes: &[u8]) -> String {
    format!("m-{}.pth", &Sha256::of(bytes).to_string()[..8])
}

fn assert_nothing_kept(home: &Home) {
    assert_eq!(home.cached("files", None), [""; 0]);
    assert_eq!(home.cached("partial", Some("part")), [""; 0]);
    assert!(!home.cache("zoo.lock").exists(), "nothing is pinned");
}

#[test]
fn a_file_is_fetched_checked_pinned_and_then_cached() {
    let (home, bytes) = (Home::new(), noise(300_000, 1));
    let server = Server::of(bytes.clone());
    let url = format!("{}/{}", server.url, named(&bytes));
    let page = page(&home, &url, "");
    let first = fetch(&home, &page, &["--json"]);
    assert_eq!(first.code, Some(0), "{first:?}");
    let rows: serde_json::Value = serde_json::from_str(&first.out).unwrap();
    let row = &rows[0];
    assert_eq!(row["name"], "m");
    assert_eq!(row["url"], url);
    assert_eq!(row["bytes"], 300_000);
    assert_eq!(row["sha256"], Sha256::of(&bytes).to_string());
    assert_eq!(row["strength"], "32 bits, from the file name");
    assert_eq!(row["status"], "fetched");
    assert_eq!(std::fs::read(row["path"].as_str().unwrap()).unwrap(), bytes);

    let again = fetch(&home, &page, &["--json", "--offline"]);
    let rows: serde_json::Value = serde_json::from_str(&again.out).unwrap();
    assert_eq!((&rows[0]["strength"], &rows[0]["status"]), (&"256 bits, pinned".into(), &"cached".into()));
    assert_eq!(server.asked().len(), 1);
}

#[test]
fn one_flipped_byte_keeps_nothing_and_says_both_digests() {
    let (home, bytes) = (Home::new(), noise(50_000, 2));
    let mut wrong = bytes.clone();
    wrong[25_000] ^= 1;
    let server = Server::of(wrong.clone());
    let ran = fetch(&home, &page(&home, &format!("{}/{}", server.url, named(&bytes)), ""), &[]);
    assert_eq!(ran.code, Some(3), "{ran:?}");
    assert!(ran.err.contains(&Sha256::of(&bytes).to_string()[..8]), "{}", ran.err);
    assert!(ran.err.contains(&Sha256::of(&wrong).to_string()), "{}", ran.err);
    assert!(ran.out.is_empty());
    assert_nothing_kept(&home);
}

#[test]
fn a_connection_that_breaks_is_resumed_by_range() {
    let (home, bytes) = (Home::new(), noise(400_000, 3));
    let served = bytes.clone();
    let server = Server::start(move |asked| {
        let reply = Reply::file(asked, &served, "\"v1\"");
        if asked.before < 2 { reply.cut(150_000) } else { reply }
    });
    let ran = fetch(&home, &page(&home, &format!("{}/{}", server.url, named(&bytes)), ""), &[]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let asked = server.asked();
    assert_eq!(asked.iter().map(|a| a.start()).collect::<Vec<_>>(), [None, Some(150_000), Some(300_000)]);
    assert_eq!(asked[1].header("if-range"), Some("\"v1\""));
}

#[test]
fn a_file_that_changes_between_two_parts_is_fetched_anew() {
    let (home, old, new) = (Home::new(), noise(200_000, 4), noise(200_000, 5));
    let served = new.clone();
    let server = Server::start(move |asked| match asked.before {
        0 => Reply::file(asked, &old, "\"old\"").cut(90_000),
        _ => Reply::file(asked, &served, "\"new\""),
    });
    let ran = fetch(&home, &page(&home, &format!("{}/{}", server.url, named(&new)), ""), &[]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
}

#[test]
fn a_server_that_sends_another_part_than_asked_is_not_believed() {
    let (home, bytes) = (Home::new(), noise(200_000, 6));
    let served = bytes.clone();
    let server = Server::start(move |asked| match asked.before {
        0 => Reply::file(asked, &served, "\"a\"").cut(90_000),
        1 => Reply::new(206, &served[..100]).header("Content-Range", "bytes 0-99/200000"),
        _ => Reply::file(asked, &served, "\"a\""),
    });
    let ran = fetch(&home, &page(&home, &format!("{}/{}", server.url, named(&bytes)), ""), &[]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert_eq!(server.asked()[2].start(), None, "it starts over");
}

#[test]
fn ctrl_c_leaves_a_part_that_the_next_run_resumes() {
    let (home, bytes) = (Home::new(), noise(400_000, 7));
    let served = bytes.clone();
    let server = Server::start(move |asked| {
        let mut reply = Reply::file(asked, &served, "\"a\"");
        if asked.before == 0 {
            (reply.cut, reply.hang) = (Some(200_000), Duration::from_secs(20));
        }
        reply
    });
    let page = page(&home, &format!("{}/{}", server.url, named(&bytes)), "");
    let child = home.command(&["fetch", "m", "--format", "pth", "--registry", &page]).spawn().unwrap();
    let started = Instant::now();
    while !home
        .cached("partial", Some("part"))
        .iter()
        .any(|name| std::fs::metadata(home.cache("partial").join(name)).is_ok_and(|m| m.len() == 200_000))
    {
        assert!(started.elapsed() < Duration::from_secs(15), "the first half never arrived");
        std::thread::sleep(Duration::from_millis(20));
    }
    let pid = rustix::process::Pid::from_raw(child.id().try_into().unwrap()).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
    let stopped = ran(child.wait_with_output().unwrap());
    assert_eq!(stopped.code, Some(130), "{stopped:?}");
    assert!(stopped.err.contains("run the same again"), "{}", stopped.err);
    assert!(started.elapsed() < Duration::from_secs(10), "it does not wait for the server");

    let again = fetch(&home, &page, &["--json"]);
    let rows: serde_json::Value = serde_json::from_str(&again.out).unwrap();
    assert_eq!(rows[0]["status"], "resumed", "{again:?}");
    assert_eq!(server.asked()[1].start(), Some(200_000));
}

#[test]
fn a_damaged_part_is_noticed_in_the_end_and_fetched_anew() {
    let (home, bytes) = (Home::new(), noise(300_000, 8));
    let server = Server::start({
        let served = bytes.clone();
        move |asked| Reply::file(asked, &served, "\"a\"")
    });
    let url = format!("{}/{}", server.url, named(&bytes));
    let page = page(&home, &url, "");
    // An offline run makes the folders; the part is then as a power cut may leave it.
    assert_eq!(fetch(&home, &page, &["--offline"]).code, Some(4));
    let key = &Sha256::of(url.as_bytes()).to_string()[..32];
    std::fs::write(home.cache(&format!("partial/{key}.part")), noise(100_000, 99)).unwrap();
    let origin = serde_json::json!({"url": url, "validator": "\"a\"", "total": 300_000});
    std::fs::write(home.cache(&format!("partial/{key}.json")), origin.to_string()).unwrap();
    let ran = fetch(&home, &page, &[]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert!(ran.err.contains("starting over"), "{}", ran.err);
}

#[test]
fn a_wrong_length_is_a_mismatch_and_a_short_answer_a_failure() {
    let bytes = noise(50_000, 9);
    let (home, server) = (Home::new(), Server::of(bytes.clone()));
    let url = format!("{}/{}", server.url, named(&bytes));
    let larger = fetch(&home, &page(&home, &url, "  zoo: {size: 60000}\n"), &[]);
    assert_eq!(larger.code, Some(3), "{larger:?}");
    assert!(larger.err.contains("60000") && larger.err.contains("50000"), "{}", larger.err);
    assert_nothing_kept(&home);

    let served = bytes.clone();
    let server = Server::start(move |_| {
        let mut reply = Reply::new(200, &served[..1000]);
        reply.claim = Some(50_000);
        reply
    });
    let short = fetch(&home, &page(&home, &format!("{}/{}", server.url, named(&bytes)), ""), &[]);
    assert_eq!(short.code, Some(4), "{short:?}");
    assert!(server.asked().len() > 1, "it was tried again");
}

#[test]
fn a_busy_server_is_asked_again_and_a_missing_file_is_not() {
    let (home, bytes) = (Home::new(), noise(10_000, 10));
    let served = bytes.clone();
    let server = Server::start(move |asked| match asked.before {
        0 => Reply::new(503, "busy"),
        _ => Reply::file(asked, &served, "\"a\""),
    });
    let ran = fetch(&home, &page(&home, &format!("{}/{}", server.url, named(&bytes)), ""), &[]);
    assert_eq!(ran.code, Some(0), "{ran:?}");

    let (home, server) = (Home::new(), Server::start(|_| Reply::new(404, "no such file")));
    let ran = fetch(&home, &page(&home, &format!("{}/m-01234567.pth", server.url), ""), &[]);
    assert_eq!(ran.code, Some(4), "{ran:?}");
    assert!(ran.err.contains("404") && ran.err.contains(&server.url), "{}", ran.err);
    assert_eq!(server.asked().len(), 1);
}

#[test]
fn redirects_are_followed_and_never_off_into_the_clear() {
    let (home, bytes) = (Home::new(), noise(10_000, 11));
    let target = Server::of(bytes.clone());
    let to = format!("{}/elsewhere", target.url);
    let server = Server::start(move |_| Reply::new(302, "").header("Location", &to));
    let url = format!("{}/{}", server.url, named(&bytes));
    let ran = fetch(&home, &page(&home, &url, ""), &[]);
    assert_eq!(ran.code, Some(0), "{ran:?}");

    let home = Home::new();
    let server = Server::start(|_| Reply::new(302, "").header("Location", "http://192.0.2.1/x"));
    let ran = fetch(&home, &page(&home, &format!("{}/m-01234567.pth", server.url), ""), &[]);
    assert_eq!(ran.code, Some(4), "{ran:?}");
    assert!(ran.err.contains("nothing protects"), "{}", ran.err);

    let ran = fetch(&home, &page(&home, "http://192.0.2.1/m-01234567.pth", ""), &[]);
    assert_eq!(ran.code, Some(3), "{ran:?}");
    assert!(ran.err.contains("plain http"), "{}", ran.err);
}

#[test]
fn a_web_page_instead_of_a_checkpoint_is_called_one() {
    let home = Home::new();
    let server = Server::start(|_| Reply::new(200, "<!DOCTYPE html><title>Log in</title>"));
    let url = format!("{}/m-01234567.pth", server.url);
    let ran = fetch(&home, &page(&home, &url, "  zoo: {size: 50000}\n"), &[]);
    assert_eq!(ran.code, Some(3), "{ran:?}");
    assert!(ran.err.contains("web page"), "{}", ran.err);
    assert_nothing_kept(&home);
}

#[test]
fn digests_that_disagree_are_both_named() {
    let (home, bytes) = (Home::new(), noise(5_000, 12));
    let server = Server::of(bytes.clone());
    let url = format!("{}/{}", server.url, named(&bytes));
    let other = Sha256::of(b"other").to_string();
    let lock = home.write("other.lock", format!("{other} 5000 {url}\n")).display().to_string();
    let own = format!("  zoo: {{sha256: {}}}\n", Sha256::of(&bytes));
    let ran = fetch(&home, &page(&home, &url, &own), &["--lock", &lock]);
    assert_eq!(ran.code, Some(3), "{ran:?}");
    assert!(ran.err.contains(&other) && ran.err.contains(&Sha256::of(&bytes).to_string()), "{}", ran.err);
    assert!(ran.err.contains("other.lock"), "{}", ran.err);
    // A lock lying in the current folder counts only when it is named.
    home.write("zoo.lock", format!("{other} 5000 {url}\n"));
    let ran = fetch(&home, &page(&home, &url, &own), &[]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
}

#[test]
fn a_file_that_changed_since_it_was_pinned_is_refused() {
    let (home, first, second) = (Home::new(), noise(5_000, 13), noise(5_000, 14));
    let old = first.clone();
    let server = Server::start(move |asked| {
        Reply::file(asked, if asked.before == 0 { &old } else { &second }, "\"a\"")
    });
    // No digits in the name: nothing is known beforehand.
    let page = page(&home, &format!("{}/weights.npz", server.url), "");
    let ran = fetch(&home, &page, &["--json"]);
    assert!(ran.out.contains("0 bits, first seen and pinned now"), "{ran:?}");
    assert_eq!(home.run(&["cache", "rm", &Sha256::of(&first).to_string()[..12]]).code, Some(0));
    let ran = fetch(&home, &page, &[]);
    assert_eq!(ran.code, Some(3), "{ran:?}");
    assert!(ran.err.contains("zoo.lock") && ran.err.contains("hint"), "{}", ran.err);
}

#[test]
fn without_a_network_it_says_what_it_tried() {
    let home = Home::new();
    let mut command = home.command(&["fetch", "tf_efficientnet_b7_ns"]);
    // Every address leads to a port where nobody listens.
    command.env("HTTPS_PROXY", "http://127.0.0.1:9").env("https_proxy", "http://127.0.0.1:9");
    let ran = ran(command.output().unwrap());
    assert_eq!(ran.code, Some(4), "{ran:?}");
    assert!(ran.err.contains("tf_efficientnet_b7_ns-1dbc32de.pth"), "{}", ran.err);
    assert!(ran.err.contains("tried") && ran.err.contains("hint:"), "{}", ran.err);

    let offline = home.run(&["fetch", "tf_efficientnet_b7_ns", "--offline"]);
    assert_eq!(offline.code, Some(4), "{offline:?}");
    assert!(offline.err.contains("tf_efficientnet_b7_ns-1dbc32de.pth"), "{}", offline.err);
}

#[test]
fn an_unknown_name_is_answered_with_the_nearest() {
    let home = Home::new();
    let ran = home.run(&["fetch", "tf_eficientnet_b7_ns"]);
    assert_eq!(ran.code, Some(3), "{ran:?}");
    assert!(ran.err.contains("tf_efficientnet_b7_ns"), "{}", ran.err);
}

#[test]
fn mirrors_are_asked_first_and_trusted_with_nothing() {
    let bytes = noise(20_000, 15);
    let name = named(&bytes);
    let origin = format!("https://weights.invalid/v1/{name}");

    let (home, server) = (Home::new(), Server::of(bytes.clone()));
    let ran = fetch(&home, &page(&home, &origin, ""), &["--mirror", &server.url, "--json"]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert_eq!(server.asked()[0].path, format!("/{name}"));

    let home = Home::new();
    let rule = format!("https://weights.invalid => {}/copy", server.url);
    let ran = fetch(&home, &page(&home, &origin, ""), &["--mirror", &rule]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert_eq!(server.asked()[1].path, format!("/copy/v1/{name}"));

    let (home, wrong) = (Home::new(), Server::of(noise(20_000, 16)));
    let mut command =
        home.command(&["fetch", "m", "--format", "pth", "--registry", &page(&home, &origin, "")]);
    command.env("ZOO_MIRROR", &wrong.url).env("HTTPS_PROXY", "http://127.0.0.1:9");
    let ran = crate::support::ran(command.output().unwrap());
    assert_eq!(ran.code, Some(3), "{ran:?}");
    assert_nothing_kept(&home);

    let ran = home.run(&["fetch", "tf_efficientnet_b7_ns", "--mirror", "nonsense"]);
    assert_eq!(ran.code, Some(2), "{ran:?}");
}

#[test]
fn a_mirror_folder_serves_another_machine_offline() {
    let (home, bytes) = (Home::new(), noise(20_000, 17));
    let server = Server::of(bytes.clone());
    let page_text = page(&home, &format!("{}/{}", server.url, named(&bytes)), "");
    let ran = fetch(&home, &page_text, &["--to", "usb", "--mirror-layout"]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let sha256 = Sha256::of(&bytes).to_string();
    assert!(home.path("usb/files").join(&sha256).is_file());
    assert_eq!(std::fs::read(home.path("usb").join(named(&bytes))).unwrap(), bytes);
    assert!(std::fs::read_to_string(home.path("usb/zoo.lock")).unwrap().contains(&sha256));

    let other = Home::new();
    let usb = format!("file:{}", home.path("usb").display());
    let ran = fetch(&other, &page_text, &["--mirror", &usb, "--offline"]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
}

#[test]
fn two_processes_fetch_a_file_once() {
    let (home, bytes) = (Home::new(), noise(100_000, 18));
    let served = bytes.clone();
    let server = Server::start(move |asked| {
        std::thread::sleep(Duration::from_millis(300));
        Reply::file(asked, &served, "\"a\"")
    });
    let page = page(&home, &format!("{}/{}", server.url, named(&bytes)), "");
    let start = || home.command(&["fetch", "m", "--format", "pth", "--registry", &page]).spawn().unwrap();
    let children = [start(), start(), start()];
    for child in children {
        let ran = ran(child.wait_with_output().unwrap());
        assert_eq!(ran.code, Some(0), "{ran:?}");
    }
    assert_eq!(server.asked().len(), 1);
}

#[test]
fn a_full_disk_is_the_worlds_fault_and_what_came_stays() {
    let (home, bytes) = (Home::new(), noise(400_000, 19));
    let server = Server::of(bytes.clone());
    let page = page(&home, &format!("{}/{}", server.url, named(&bytes)), "");
    // A file may grow to 100 KiB only: writing beyond fails as on a full disk.
    let command = home.command(&[]);
    let script = format!(
        "trap '' XFSZ; ulimit -f 100; exec '{}' fetch m --format pth --registry '{page}'",
        env!("CARGO_BIN_EXE_zoo")
    );
    let envs: Vec<_> = command.get_envs().map(|(k, v)| (k.to_owned(), v.map(ToOwned::to_owned))).collect();
    let mut shell = std::process::Command::new("bash");
    shell.args(["-c", &script]).env_clear().current_dir(home.path(""));
    for (key, value) in envs {
        shell.env(key, value.unwrap_or_default());
    }
    let full = ran(shell.output().unwrap());
    assert_eq!(full.code, Some(4), "{full:?}");
    assert!(full.err.contains("cannot write"), "{}", full.err);
    let again = fetch(&home, &page, &["--json"]);
    assert!(again.out.contains("resumed"), "{again:?}");
}

#[test]
fn torchs_cache_is_copied_from_and_checked() {
    let (home, bytes) = (Home::new(), noise(30_000, 20));
    let name = named(&bytes);
    let url = format!("https://weights.invalid/{name}");
    home.write(&format!("torch/hub/checkpoints/{name}"), &bytes);
    let page = page(&home, &url, "");
    let mut command = home.command(&["fetch", "m", "--format", "pth", "--registry", &page, "--offline"]);
    let good = ran(command.env("TORCH_HOME", home.path("torch")).output().unwrap());
    assert_eq!(good.code, Some(0), "{good:?}");

    let other = Home::new();
    other.write(&format!("torch/hub/checkpoints/{name}"), noise(30_000, 21));
    let mut command = other.command(&["fetch", "m", "--format", "pth", "--registry", &page, "--offline"]);
    let bad = ran(command.env("TORCH_HOME", other.path("torch")).output().unwrap());
    assert_eq!(bad.code, Some(4), "{bad:?}");
    assert_nothing_kept(&other);
}

#[test]
fn a_copy_is_put_where_asked_and_never_over_another() {
    let (home, bytes) = (Home::new(), noise(1_000, 22));
    let file = home.write(&named(&bytes), &bytes);
    let page = page(&home, &format!("file:{}", file.display()), "");
    let first = fetch(&home, &page, &["--to", "out"]);
    assert_eq!(first.code, Some(0), "{first:?}");
    let second = fetch(&home, &page, &["--to", "out"]);
    assert_eq!(second.code, Some(2), "{second:?}");
    assert_eq!(fetch(&home, &page, &["--to", "out", "--force"]).code, Some(0));
}

#[test]
fn the_cache_is_listed_verified_and_tidied() {
    let (home, bytes) = (Home::new(), noise(1_000, 23));
    let file = home.write(&named(&bytes), &bytes);
    let page = page(&home, &format!("file:{}", file.display()), "");
    assert_eq!(fetch(&home, &page, &[]).code, Some(0));
    let sha256 = Sha256::of(&bytes).to_string();
    let list = home.run(&["cache", "ls", "--json"]);
    let items: serde_json::Value = serde_json::from_str(&list.out).unwrap();
    assert_eq!((&items[0]["kind"], &items[0]["sha256"]), (&"file".into(), &sha256.as_str().into()));
    assert_eq!(
        home.run(&["cache", "path", "m"]).out.trim(),
        home.cache(&format!("files/{sha256}")).display().to_string()
    );
    assert_eq!(home.run(&["cache", "verify"]).code, Some(0));

    std::fs::write(home.cache(&format!("files/{sha256}")), noise(1_000, 24)).unwrap();
    let verify = home.run(&["cache", "verify"]);
    assert_eq!(verify.code, Some(1), "{verify:?}");
    assert!(verify.out.contains(&sha256));
    // A fetch notices by itself, and gets the file again.
    let ran = fetch(&home, &page, &["--json"]);
    assert!(ran.out.contains("\"fetched\"") && ran.err.contains("damaged"), "{ran:?}");

    std::fs::write(home.cache("partial/abc.part"), "broken off").unwrap();
    let dry = home.run(&["cache", "gc", "--dry-run"]);
    assert!(dry.out.contains("abc.part") && home.cache("partial/abc.part").exists(), "{dry:?}");
    assert_eq!(home.run(&["cache", "gc"]).code, Some(0));
    assert!(!home.cache("partial/abc.part").exists());
    assert_eq!(home.run(&["cache", "rm", "m"]).code, Some(0));
    assert_eq!(home.run(&["cache", "rm", "m"]).code, Some(3));
    assert_eq!(home.run(&["cache", "ls", "--json"]).out.trim(), "[]");
}
