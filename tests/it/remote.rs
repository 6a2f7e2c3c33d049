//! Checkpoints where they lie: `inspect`, `scan` and `diff` of addresses and of whole repositories of a hub on the loopback.
//! What is said of a file from afar is what is said of it here, for a small part of its bytes.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use serde_json::Value;

use crate::hostile::build;
use crate::schemas::wrong;
use crate::support::{Asked, Home, Ran, Reply, Server, ran};

const COMMIT: &str = "89abcdef0123456789abcdef0123456789abcdef";

/// A legacy `.pth` with so many float32 in each of two tensors.
fn legacy(elements: usize, names: [&str; 2]) -> Vec<u8> {
    let count = elements as i64;
    let object =
        build::state(&[(names[0], build::vector("0", count)), (names[1], build::vector("1", count))]);
    build::legacy(&object, &build::keys(&["0", "1"]), &[(count, 4 * elements), (count, 4 * elements)])
}

/// The same tensors as safetensors.
fn safe(elements: usize, names: [&str; 2]) -> Vec<u8> {
    let bytes = 4 * elements;
    let one = |name: &str, at: usize| {
        format!(
            "\"{name}\":{{\"dtype\":\"F32\",\"shape\":[{elements}],\"data_offsets\":[{at},{}]}}",
            at + bytes
        )
    };
    let mut header = format!("{{{},{}}}", one(names[0], 0), one(names[1], bytes));
    header += &" ".repeat(header.len().next_multiple_of(8) - header.len());
    build::safe(&header, 2 * bytes)
}

/// A pickle that would call `os.system`.
fn dangerous() -> Vec<u8> {
    build::pickle(
        &[build::global("os", "system"), b"(".to_vec(), build::text("true"), b"tR".to_vec()].concat(),
    )
}

/// The files of a repository.
fn files() -> BTreeMap<&'static str, Vec<u8>> {
    BTreeMap::from([
        ("README.md", b"---\nlicence: mit\n---\n# A model\n".to_vec()),
        ("config.json", b"{\"architecture\": \"resnet18\"}".to_vec()),
        ("empty", Vec::new()),
        ("pytorch_model.bin", legacy(500_000, ["a.weight", "b.weight"])),
        ("model.safetensors", safe(500_000, ["a.weight", "b.weight"])),
        ("sub/zip.pth", build::zip(&build::good_members())),
    ])
}

/// A hub with one repository, `org/repo`; `bytes` counts what bodies it sends. Its listing comes in pages of four.
struct Repo {
    server: Server,
    sent: Arc<AtomicUsize>,
}

impl Repo {
    fn new(files: BTreeMap<&'static str, Vec<u8>>) -> Self {
        Repo::with(files, |_, reply| reply)
    }

    fn with(
        files: BTreeMap<&'static str, Vec<u8>>,
        fault: impl Fn(&Asked, Reply) -> Reply + Send + Sync + 'static,
    ) -> Self {
        let sent = Arc::new(AtomicUsize::new(0));
        let count = sent.clone();
        let server = Server::start(move |asked| {
            let reply = fault(asked, answer(asked, &files));
            count.fetch_add(reply.body.len(), Ordering::SeqCst);
            reply
        });
        Repo { server, sent }
    }

    fn run(&self, home: &Home, args: &[&str]) -> Ran {
        let mut command = home.command(args);
        command.env("HF_ENDPOINT", &self.server.url).env("HF_TOKEN", "hf_secret");
        ran(command.output().unwrap())
    }
}

fn answer(asked: &Asked, files: &BTreeMap<&'static str, Vec<u8>>) -> Reply {
    if asked.path == "/api/models/org/repo/revision/main" || asked.path == "/api/models/org/repo/revision/v1"
    {
        return Reply::new(200, format!("{{\"sha\": \"{COMMIT}\"}}"));
    }
    let tree = format!("/api/models/org/repo/tree/{COMMIT}?recursive=true");
    if let Some(rest) = asked.path.strip_prefix(&tree) {
        let from = rest.strip_prefix("&cursor=").map_or(0, |n| n.parse().unwrap());
        let mut rows = vec![serde_json::json!({"type": "directory", "path": "sub", "oid": "x", "size": 0})];
        for (path, bytes) in files.iter().skip(from).take(4) {
            let mut row =
                serde_json::json!({"type": "file", "path": path, "size": bytes.len(), "oid": "git"});
            if bytes.len() > 100_000 {
                let sha256 = zoo::Sha256::of(bytes).to_string();
                row["lfs"] = serde_json::json!({"oid": sha256, "size": bytes.len(), "pointerSize": 134});
            }
            rows.push(row);
        }
        let reply = Reply::new(200, Value::from(rows).to_string());
        if from + 4 >= files.len() {
            return reply;
        }
        return reply.header("Link", &format!("<{tree}&cursor={}>; rel=\"next\"", from + 4));
    }
    let file = asked.path.strip_prefix(&format!("/org/repo/resolve/{COMMIT}/")).and_then(|p| files.get(p));
    match file {
        Some(bytes) => Reply::file(asked, bytes, "\"v\""),
        None => Reply::new(404, "Entry not found"),
    }
}

#[test]
fn a_repository_is_listed() {
    let (home, repo) = (Home::new(), Repo::new(files()));
    for what in ["hf:org/repo", "hf:org/repo@v1", "hf:org/repo@main"] {
        let text = repo.run(&home, &["inspect", what]);
        assert_eq!(text.code, Some(0), "{text:?}");
        for (name, bytes) in files() {
            assert!(text.out.contains(name), "{name}: {}", text.out);
            if bytes.len() > 100_000 {
                assert!(
                    text.out.contains(&zoo::Sha256::of(&bytes).to_string()[..12]),
                    "{name}: {}",
                    text.out
                );
            }
        }
        assert!(text.out.contains("6 files") && text.out.contains(COMMIT), "{}", text.out);
        assert!(text.err.contains(&format!("hf:org/repo@{COMMIT}/model.safetensors")), "{}", text.err);
    }
    let json = repo.run(&home, &["inspect", "hf:org/repo", "--json"]);
    let value: Value = serde_json::from_str(&json.out).unwrap();
    assert_eq!(wrong("inspect.repository-1.json", &value), [""; 0], "{value}");
    assert_eq!(value["files"].as_array().unwrap().len(), 6);
    assert_eq!(value["bytes"], files().values().map(Vec::len).sum::<usize>());
    assert!(repo.server.asked().iter().all(|a| a.header("authorization") == Some("Bearer hf_secret")));

    let unknown = repo.run(&home, &["inspect", "hf:org/other"]);
    assert_eq!(unknown.code, Some(4), "{unknown:?}");
    assert!(unknown.err.contains("404") && unknown.err.contains("org/other"), "{}", unknown.err);
    let offline = repo.run(&home, &["inspect", "hf:org/repo", "--offline"]);
    assert_eq!(offline.code, Some(4), "{offline:?}");
}

#[test]
fn a_file_of_a_repository_is_inspected_as_it_is_here() {
    let (home, repo) = (Home::new(), Repo::new(files()));
    for (what, name) in [
        ("hf:org/repo/pytorch_model.bin", "pytorch_model.bin"),
        ("hf:org/repo@v1/model.safetensors", "model.safetensors"),
        ("hf:org/repo/sub/zip.pth", "sub/zip.pth"),
    ] {
        home.write(name, &files()[name]);
        let before = repo.sent.load(Ordering::SeqCst);
        let (far, local) = (repo.run(&home, &["inspect", what]), home.run(&["inspect", name]));
        assert_eq!((far.code, local.code), (Some(0), Some(0)), "{far:?}");
        assert_eq!(far.out, local.out, "{what}");
        let sent = repo.sent.load(Ordering::SeqCst) - before;
        assert!(sent < 400_000, "{what}: {sent} bytes of 4 MB");
    }
    // The checkpoint in the repository, where a tree of it is asked for.
    let tree = repo.run(&home, &["inspect", "hf:org/repo", "--tree"]);
    assert_eq!(tree.out, home.run(&["inspect", "model.safetensors", "--tree"]).out, "{tree:?}");
    let values = repo.run(&home, &["inspect", "hf:org/repo", "--stats"]);
    assert_eq!(values.code, Some(2), "{values:?}");
}

#[test]
fn shards_are_found_beside_an_index_from_afar() {
    let shard = |name: &str, at: usize| {
        let header =
            format!("{{\"{name}\":{{\"dtype\":\"F32\",\"shape\":[{at}],\"data_offsets\":[0,{}]}}}}", 4 * at);
        build::safe(&header, 4 * at)
    };
    let index = r#"{"metadata": {}, "weight_map": {"a": "model-1.safetensors", "b": "model-2.safetensors"}}"#;
    let mut files = BTreeMap::from([
        ("model.safetensors.index.json", index.as_bytes().to_vec()),
        ("model-1.safetensors", shard("a", 300_000)),
        ("model-2.safetensors", shard("b", 200_000)),
    ]);
    let (home, repo) = (Home::new(), Repo::new(files.clone()));
    for (name, bytes) in &files {
        home.write(name, bytes);
    }
    let local = home.run(&["inspect", "model.safetensors.index.json"]);
    for what in ["hf:org/repo/model.safetensors.index.json", "hf:org/repo --sizes 1"] {
        let args: Vec<_> = ["inspect"].into_iter().chain(what.split(' ')).collect();
        let far = repo.run(&home, &args);
        assert_eq!(far.code, Some(0), "{far:?}");
        assert_eq!(far.out == local.out, args.len() == 2, "{}", far.out);
        assert!(far.out.contains("500000 elements"), "{}", far.out);
    }
    assert!(repo.sent.load(Ordering::SeqCst) < 1_000_000);
    files.remove("model-2.safetensors");
    let broken = Repo::new(files).run(&home, &["inspect", "hf:org/repo/model.safetensors.index.json"]);
    assert_eq!(broken.code, Some(3), "{broken:?}");
    assert!(broken.err.contains("model-2.safetensors"), "{}", broken.err);
}

#[test]
fn two_files_are_compared_by_their_headers() {
    let home = Home::new();
    let mut files = files();
    files.insert("other.bin", legacy(500_000, ["a.weight", "c.weight"]));
    files.insert("shorter.bin", legacy(400_000, ["a.weight", "b.weight"]));
    let repo = Repo::new(files.clone());
    let bin = "hf:org/repo/pytorch_model.bin";
    let url = format!("{}/org/repo/resolve/{COMMIT}/model.safetensors", repo.server.url);
    home.write("here.bin", &files["pytorch_model.bin"]);
    for (a, b, code, equal) in [
        // The headers are equal, and whether the values are was not looked at.
        (bin, "hf:org/repo/model.safetensors", 5, None),
        (bin, url.as_str(), 5, None),
        ("hf:org/repo", "hf:org/repo@v1", 5, None),
        ("here.bin", bin, 5, None),
        (bin, "hf:org/repo/other.bin", 1, Some(false)),
        ("hf:org/repo", "hf:org/repo/shorter.bin", 1, Some(false)),
    ] {
        let diff = repo.run(&home, &["diff", a, b, "--json"]);
        assert_eq!(diff.code, Some(code), "{a} {b}: {diff:?}");
        let value: Value = serde_json::from_str(&diff.out).unwrap();
        assert_eq!(wrong("diff-1.json", &value), [""; 0], "{value}");
        assert_eq!((value["equal"].as_bool(), &value["compared"]), (equal, &"headers".into()), "{a} {b}");
        assert_eq!(diff.err.contains("values were not compared"), code == 5, "{}", diff.err);
        let headers = repo.run(&home, &["diff", a, b, "--headers"]);
        assert_eq!(headers.code, Some(if code == 5 { 0 } else { 1 }), "{a} {b}: {headers:?}");
    }
    assert!(repo.sent.load(Ordering::SeqCst) < 6_000_000, "24 comparisons of files of 4 MB");
    let text = repo.run(&home, &["diff", bin, "hf:org/repo/other.bin"]).out;
    assert!(text.contains("only in A: b.weight") && text.contains("only in B: c.weight"), "{text}");
    // Files that are here are compared whole, unless only headers are wanted.
    home.write("there.safetensors", &files["model.safetensors"]);
    assert_eq!(home.run(&["diff", "here.bin", "there.safetensors"]).code, Some(1));
    assert_eq!(home.run(&["diff", "here.bin", "there.safetensors", "--headers"]).code, Some(0));
}

#[test]
fn a_repository_is_scanned_file_by_file() {
    let home = Home::new();
    let repo = Repo::new(files());
    let good = repo.run(&home, &["scan", "hf:org/repo"]);
    assert_eq!(good.code, Some(0), "{good:?}");
    for (name, says) in [
        ("README.md", "not a checkpoint"),
        ("config.json", "not a checkpoint"),
        ("empty", "not a checkpoint: empty"),
        ("pytorch_model.bin", "known"),
        ("model.safetensors", "known"),
        ("sub/zip.pth", "known"),
    ] {
        let line = good.out.lines().find(|l| l.contains(&format!("{COMMIT}/{name}: ")));
        assert!(line.is_some_and(|l| l.contains(says)), "{name}: {}", good.out);
    }
    assert!(repo.sent.load(Ordering::SeqCst) < 1_500_000, "of 8 MB");

    let mut files = files();
    files.insert("evil.bin", dangerous());
    let repo = Repo::new(files);
    let evil = repo.run(&home, &["scan", "hf:org/repo", "--json"]);
    assert_eq!(evil.code, Some(1), "{evil:?}");
    let value: Value = serde_json::from_str(&evil.out).unwrap();
    assert_eq!(wrong("scan.files-1.json", &value), [""; 0], "{value}");
    assert!(evil.out.contains("dangerous"), "{}", evil.out);
    for what in ["hf:org/repo/evil.bin", &format!("{}/org/repo/resolve/{COMMIT}/evil.bin", repo.server.url)] {
        let one = repo.run(&home, &["scan", what]);
        assert_eq!(one.code, Some(1), "{one:?}");
        assert!(one.out.contains("os.system") || one.out.contains("os system"), "{}", one.out);
    }
    // An address beside a file that is here.
    home.write("here.bin", legacy(10, ["a", "b"]));
    let both = repo.run(&home, &["scan", "here.bin", "hf:org/repo/evil.bin"]);
    assert_eq!(both.code, Some(1), "{both:?}");
    assert!(both.out.contains("2 files: 1 known, 1 dangerous"), "{}", both.out);
}

#[test]
fn what_a_server_does_between_two_parts_is_noticed() {
    type Fault = fn(&Asked, Reply) -> Reply;
    fn is_file(asked: &Asked) -> bool {
        asked.path.contains("/resolve/")
    }
    let table: [(&str, Fault, i32, &str); 8] = [
        ("busy once", |a, r| if a.before == 2 { Reply::new(503, "") } else { r }, 0, ""),
        (
            "too many, come back now",
            |a, r| {
                if a.before == 2 { Reply::new(429, "").header("Retry-After", "0") } else { r }
            },
            0,
            "",
        ),
        (
            "too many, come back tomorrow",
            |a, r| {
                if is_file(a) { Reply::new(429, "").header("Retry-After", "86400") } else { r }
            },
            4,
            "429",
        ),
        ("breaks off", |a, r| if a.before == 2 { r.cut(1000) } else { r }, 0, ""),
        (
            "silent",
            |a, mut r| {
                if a.before == 2 {
                    (r.cut, r.hang) = (Some(0), Duration::from_secs(20));
                }
                r
            },
            0,
            "",
        ),
        ("forbidden", |a, r| if is_file(a) { Reply::new(403, "") } else { r }, 4, "403"),
        (
            "a page to log in",
            |a, r| {
                if is_file(a) {
                    Reply::new(200, "<!doctype html>").header("Content-Type", "text/html")
                } else {
                    r
                }
            },
            3,
            "web page",
        ),
        (
            "another version",
            |a, r| {
                if is_file(a) && a.start() != Some(0) { Reply::new(200, r.body) } else { r }
            },
            4,
            "changed while it was read",
        ),
    ];
    // Its pickle is in front, its directory at the end: two requests at least.
    let mut members = build::members(&build::state(&[("w", build::vector("0", 6))]));
    members.insert(3, build::member("a/data/1", &vec![7; 300_000]));
    let zip = build::zip(&members);
    for (what, fault, code, says) in table {
        let home = Home::new();
        let repo = Repo::with(BTreeMap::from([("big.pth", zip.clone())]), fault);
        let ran = repo.run(&home, &["inspect", "hf:org/repo/big.pth", "--stall-timeout", "0.5s"]);
        assert_eq!(ran.code, Some(code), "{what}: {ran:?}");
        assert!(ran.err.contains(says), "{what}: {}", ran.err);
    }
}

#[test]
fn a_repository_without_one_checkpoint_says_which_there_are() {
    let home = Home::new();
    for (files, says) in
        [(vec!["README.md"], "no checkpoint"), (vec!["a.pth", "b.pth"], "several checkpoints: a.pth, b.pth")]
    {
        let repo = Repo::new(files.iter().map(|name| (*name, legacy(10, ["a", "b"]))).collect());
        let ran = repo.run(&home, &["diff", "hf:org/repo", "hf:org/repo"]);
        assert_eq!(ran.code, Some(3), "{ran:?}");
        assert!(ran.err.contains(says), "{}", ran.err);
    }
}
