//! Several processes, perhaps on several machines, and one cache: one fetches, the others see who and wait; one that dies is
//! noticed, one that was only asleep does no harm. Nothing here rests on locks, on clocks or on process numbers alone.

use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rustix::process::Signal;
use zoo::Sha256;

use crate::store::{fetch, named, noise, page};
use crate::support::{Home, Reply, Server, ran, until};

/// A server that sends the first half and then holds on until it is told; later requests get what they ask for.
fn held(bytes: &[u8]) -> (Server, Arc<AtomicBool>) {
    let go = Arc::new(AtomicBool::new(false));
    let (bytes, gate) = (bytes.to_vec(), go.clone());
    let server = Server::start(move |asked| {
        let reply = Reply::file(asked, &bytes, "\"a\"");
        if asked.before > 0 || gate.load(Ordering::SeqCst) {
            return reply;
        }
        let half = reply.body.len() / 2;
        let gate = gate.clone();
        reply.hold(half, move || until("the server may go on", || gate.load(Ordering::SeqCst)))
    });
    (server, go)
}

fn start(home: &Home, page: &str, more: &[&str]) -> Child {
    let args = ["fetch", "m", "--format", "pth", "--registry", page, "--progress", "plain"];
    home.command(&[&args, more].concat()).spawn().unwrap()
}

/// The only file in `partial` with that ending, once it is there.
fn only(home: &Home, extension: &str) -> PathBuf {
    until(&format!("a .{extension}"), || home.cached("partial", Some(extension)).len() == 1);
    home.cache("partial").join(&home.cached("partial", Some(extension))[0])
}

/// Waits until half of the file is here.
fn half_came(home: &Home, bytes: &[u8]) {
    until("half of it is here", || {
        let parts = home.cached("partial", Some("part"));
        parts.iter().any(|p| {
            std::fs::metadata(home.cache("partial").join(p)).is_ok_and(|m| m.len() == bytes.len() as u64 / 2)
        })
    });
}

fn signal(child: &Child, signal: Signal) {
    let pid = rustix::process::Pid::from_raw(child.id().try_into().unwrap()).unwrap();
    rustix::process::kill_process(pid, signal).unwrap();
}

fn assert_right(home: &Home, bytes: &[u8]) {
    let path = home.cache("files").join(Sha256::of(bytes).to_string());
    assert!(std::fs::read(path).unwrap() == bytes);
    assert_eq!(home.cached("partial", Some("claim")), [""; 0], "no claim is left");
    assert_eq!(home.cached("partial", Some("part")), [""; 0], "no partial file is left");
}

#[test]
fn those_who_wait_see_who_fetches_and_how_far_it_is_and_wait_no_longer_than_they_want() {
    let (home, bytes) = (Home::new(), noise(4_000_000, 1));
    let (server, go) = held(&bytes);
    let page = page(&home, &format!("{}/{}", server.url, named(&bytes)), "");
    let first = start(&home, &page, &[]);
    half_came(&home, &bytes);
    // The holder says every second how far it is.
    let claim = only(&home, "claim");
    until("the claim says so", || {
        std::fs::read_to_string(&claim).unwrap_or_default().contains("\"done\":2000000")
    });
    let impatient = fetch(&home, &page, &["--wait", "0.3s"]);
    assert_eq!(impatient.code, Some(4), "{impatient:?}");
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap();
    let who = format!("process {} on {}, which has 2.0 of 4.0 MB", first.id(), host.trim());
    assert!(impatient.err.contains(&who), "{who}: {}", impatient.err);
    assert!(impatient.err.contains("--wait"), "{}", impatient.err);
    let second = start(&home, &page, &[]);
    std::thread::sleep(Duration::from_millis(200));
    go.store(true, Ordering::SeqCst);
    for child in [first, second] {
        let ran = ran(child.wait_with_output().unwrap());
        assert_eq!(ran.code, Some(0), "{ran:?}");
    }
    assert_eq!(server.asked().len(), 1, "one of them fetched");
    assert_right(&home, &bytes);
}

#[test]
fn a_process_that_was_killed_here_is_noticed_at_once_and_gone_on_from() {
    let (home, bytes) = (Home::new(), noise(400_000, 2));
    let (server, go) = held(&bytes);
    let page = page(&home, &format!("{}/{}", server.url, named(&bytes)), "");
    let mut first = start(&home, &page, &[]);
    half_came(&home, &bytes);
    // While it lives `gc` leaves its part alone.
    assert_eq!(home.run(&["cache", "gc"]).out, "");
    signal(&first, Signal::KILL);
    // Not waited for yet: it is a zombie, whose number still counts.
    let next = fetch(&home, &page, &["--json", "--wait", "2s"]);
    assert!(next.out.contains("\"resumed\""), "{next:?}");
    assert_eq!(server.asked()[1].start(), Some(200_000));
    first.wait().unwrap();
    go.store(true, Ordering::SeqCst);
    assert_right(&home, &bytes);
}

/// Rewrites a claim so that it is of another machine: there its process number says nothing.
fn of_another_machine(claim: &str) -> String {
    let mut value: serde_json::Value = serde_json::from_str(claim).unwrap();
    value["host"] = "node7".into();
    value["process"]["boot"] = "another".into();
    format!("{:<2048}", value.to_string())
}

#[test]
fn a_machine_that_died_is_noticed_by_its_silence_and_one_that_lives_is_not() {
    let (home, bytes) = (Home::new(), noise(400_000, 3));
    let (server, _) = held(&bytes);
    let page = page(&home, &format!("{}/{}", server.url, named(&bytes)), "");
    let mut first = start(&home, &page, &[]);
    half_came(&home, &bytes);
    let path = only(&home, "claim");
    let claim = of_another_machine(&std::fs::read_to_string(&path).unwrap());
    signal(&first, Signal::KILL);
    first.wait().unwrap();
    std::fs::write(&path, &claim).unwrap();
    // It lives: its counter rises. Times of files, by clocks that jump, say nothing.
    let (stop, beating) = (Arc::new(AtomicBool::new(false)), path.clone());
    let stopped = stop.clone();
    let beats = std::thread::spawn(move || {
        let mut beat = 100;
        while !stopped.load(Ordering::SeqCst) {
            beat += 1;
            let mut value: serde_json::Value = serde_json::from_str(&claim).unwrap();
            value["beat"] = beat.into();
            std::fs::write(&beating, format!("{:<2048}", value.to_string())).unwrap();
            let years = Duration::from_secs(86_400 * 365 * (beat % 2 * 100));
            let file = std::fs::File::options().write(true).open(&beating).unwrap();
            file.set_modified(std::time::SystemTime::UNIX_EPOCH + years).unwrap();
            std::thread::sleep(Duration::from_millis(500));
        }
    });
    let waited = fetch(&home, &page, &["--wait", "8s"]);
    assert_eq!(waited.code, Some(4), "{waited:?}");
    assert!(waited.err.contains("on node7"), "{}", waited.err);
    assert_eq!(server.asked().len(), 1, "it was not taken for dead");
    // It dies: within seconds another goes on from what it had.
    stop.store(true, Ordering::SeqCst);
    beats.join().unwrap();
    let next = fetch(&home, &page, &["--json", "--wait", "60s"]);
    assert!(next.out.contains("\"resumed\""), "{next:?}");
    assert_eq!(server.asked()[1].start(), Some(200_000));
    assert_right(&home, &bytes);
}

#[test]
fn a_process_that_was_only_asleep_wakes_up_and_harms_nothing() {
    let (home, bytes) = (Home::new(), noise(400_000, 4));
    let (server, go) = held(&bytes);
    let page = page(&home, &format!("{}/{}", server.url, named(&bytes)), "");
    let first = start(&home, &page, &[]);
    half_came(&home, &bytes);
    signal(&first, Signal::STOP);
    let next = fetch(&home, &page, &["--json", "--wait", "60s"]);
    assert!(next.out.contains("\"resumed\""), "{next:?}");
    go.store(true, Ordering::SeqCst);
    signal(&first, Signal::CONT);
    let woken = ran(first.wait_with_output().unwrap());
    assert_eq!(woken.code, Some(0), "{woken:?}");
    assert_right(&home, &bytes);
}

#[test]
fn a_folder_that_vanishes_is_the_worlds_fault_and_is_named() {
    let (home, bytes) = (Home::new(), noise(400_000, 5));
    let (server, go) = held(&bytes);
    let page = page(&home, &format!("{}/{}", server.url, named(&bytes)), "");
    let (first, second) = (start(&home, &page, &[]), {
        half_came(&home, &bytes);
        start(&home, &page, &[])
    });
    std::thread::sleep(Duration::from_millis(300));
    std::fs::remove_dir_all(home.cache("")).unwrap();
    go.store(true, Ordering::SeqCst);
    for child in [first, second] {
        let ran = ran(child.wait_with_output().unwrap());
        assert_eq!(ran.code, Some(4), "{ran:?}");
        assert!(ran.err.contains("/zoo/") && ran.err.contains("folder is gone"), "{}", ran.err);
    }
    assert!(!home.cache("").exists());
    assert_eq!(fetch(&home, &page, &[]).code, Some(0), "the next run makes it anew");
}

/// The binary as a user who may not write what this one owns.
fn as_nobody(home: &Home, args: &[&str]) -> Command {
    use std::os::unix::fs::PermissionsExt;
    use std::os::unix::process::CommandExt;
    let binary = home.path("zoo-binary");
    if !binary.exists() {
        std::fs::copy(env!("CARGO_BIN_EXE_zoo"), &binary).unwrap();
        std::fs::set_permissions(home.dir.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
    }
    let ours = home.command(args);
    let mut command = Command::new(&binary);
    command.args(args).env_clear().current_dir(home.path("")).stdin(Stdio::null());
    for (key, value) in ours.get_envs() {
        command.env(key, value.unwrap_or_default());
    }
    if rustix::process::getuid().is_root() {
        command.uid(65_534).gid(65_534);
    }
    command
}

#[test]
fn a_cache_that_cannot_be_written_is_used_and_never_written() {
    use std::os::unix::fs::PermissionsExt;
    let (home, bytes) = (Home::new(), noise(20_000, 6));
    let server = Server::of(bytes.clone());
    let url = format!("{}/{}", server.url, named(&bytes));
    let text = page(&home, &url, "");
    assert_eq!(fetch(&home, &text, &[]).code, Some(0));
    // Another name of the same file, which its record does not have yet; and a file that is not here.
    let more = "Models:\n- {Name: n, In Collection: O, Metadata: {}, Weights: 'URL'}\n- {Name: o, In Collection: O, \
                Metadata: {}, Weights: 'URL2'}\nCollections:\n- Name: O\n";
    let more = more.replace("URL2", &format!("{}/other-01234567.pth", server.url)).replace("URL", &url);
    let more = home.write("more.yaml", more).display().to_string();
    let folders: Vec<_> =
        ["", "files", "derived", "sets", "partial", "scratch"].map(|f| home.cache(f)).into();
    let mode = |mode| {
        for folder in &folders {
            std::fs::set_permissions(folder, std::fs::Permissions::from_mode(mode)).unwrap();
        }
    };
    mode(0o555);
    let here =
        ran(as_nobody(&home, &["fetch", "n", "--format", "pth", "--registry", &more]).output().unwrap());
    let list = ran(as_nobody(&home, &["cache", "ls", "--json"]).output().unwrap());
    let missing = ran(as_nobody(&home, &["fetch", "o", "--registry", &more]).output().unwrap());
    mode(0o755);
    assert_eq!(here.code, Some(0), "{here:?}");
    assert_eq!(list.code, Some(0), "{list:?}");
    assert_eq!(missing.code, Some(4), "{missing:?}");
    assert!(missing.err.contains("cannot create") && missing.err.contains("partial"), "{}", missing.err);
    assert_eq!(server.asked().len(), 1);
}

#[test]
fn on_a_full_disk_what_is_here_is_used() {
    let (home, bytes) = (Home::new(), noise(20_000, 7));
    let server = Server::of(bytes.clone());
    let text = page(&home, &format!("{}/{}", server.url, named(&bytes)), "");
    assert_eq!(fetch(&home, &text, &[]).code, Some(0));
    let renamed = std::fs::read_to_string(&text).unwrap().replace("Name: m", "Name: n");
    let renamed = home.write("renamed.yaml", renamed).display().to_string();
    // Not a byte may be written to any file, as on a full disk.
    let script = format!(
        "trap '' XFSZ; ulimit -f 0; exec '{}' fetch n --format pth --registry '{renamed}'",
        env!("CARGO_BIN_EXE_zoo")
    );
    let ours = home.command(&[]);
    let mut shell = Command::new("bash");
    shell.args(["-c", &script]).env_clear().current_dir(home.path(""));
    for (key, value) in ours.get_envs() {
        shell.env(key, value.unwrap_or_default());
    }
    let full = ran(shell.output().unwrap());
    assert_eq!(full.code, Some(0), "{full:?}");
    assert!(home.run(&["cache", "verify"]).code == Some(0));
}
