//! Where the weights are today: a page whose address fails, and the hub's file of the same weights. The page's file is a
//! real `.pth` that torch wrote, the hub a server on the loopback that answers as the hub does.

use std::sync::{Arc, Mutex};

use serde_json::Value;
use zoo::Sha256;

use crate::schemas::wrong;
use crate::support::{Home, Ran, Reply, Server};

/// The commit that the hub's branch stands for.
const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";

/// A `.pth` of torch's, with two tensors.
pub(crate) fn tiny() -> Vec<u8> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/compat/cache/files");
    let digest = "9c2dd27b96418d946d2affe03d9a1d6e8a3947ce1adffee4627bcfe120a50e62";
    std::fs::read(std::path::Path::new(folder).join(digest)).unwrap()
}

/// The same tensors as a safetensors file, as a repository of the hub has them; `change` spoils a value.
pub(crate) fn tiny_of_the_hub(change: bool) -> Vec<u8> {
    let home = Home::new();
    home.write("tiny.pth", tiny());
    let ran = home.run(&["convert", "tiny.pth", "-o", "tiny.safetensors"]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let mut bytes = std::fs::read(home.path("tiny.safetensors")).unwrap();
    if change {
        *bytes.last_mut().unwrap() ^= 1;
    }
    bytes
}

/// The digest of the tensors, whatever file they are in.
pub(crate) fn tensors() -> String {
    let manifest = include_str!("../golden/compat/manifest.json");
    let manifest: Value = serde_json::from_str(manifest).unwrap();
    manifest["fetched"]["tensors_sha256"].as_str().unwrap().to_owned()
}

/// How the page's address fails, if it does; the name of the hub's file and its bytes.
pub(crate) struct World {
    pub(crate) page: Option<Reply>,
    pub(crate) hub_file: &'static str,
    pub(crate) hub: Vec<u8>,
}

/// A server that is both: the page's host and the hub.
pub(crate) struct Both {
    pub(crate) server: Server,
    pub(crate) world: Arc<Mutex<World>>,
}

impl Both {
    pub(crate) fn new(page: Option<Reply>, hub_file: &'static str, hub: Vec<u8>) -> Self {
        let world = Arc::new(Mutex::new(World { page, hub_file, hub }));
        let shared = world.clone();
        let server = Server::start(move |asked| {
            let world = shared.lock().unwrap();
            if asked.path.starts_with("/page/") {
                return world.page.clone().unwrap_or_else(|| Reply::file(asked, &tiny(), "\"page\""));
            }
            if asked.path == "/api/models/timm/tiny/revision/main" {
                return Reply::new(200, format!("{{\"sha\": \"{COMMIT}\"}}"));
            }
            if asked.path == format!("/timm/tiny/resolve/{COMMIT}/{}", world.hub_file) {
                return Reply::file(asked, &world.hub, "\"hub\"");
            }
            Reply::new(404, "Entry not found")
        });
        Both { server, world }
    }

    /// A page whose one model the hub has too.
    pub(crate) fn page(&self, home: &Home) -> String {
        let text = format!(
            "Models:\n- Name: tiny\n  In Collection: Ours\n  Metadata: {{}}\n  Weights: '{}/page/tiny-9c2dd27b.pth'\n  zoo: {{hf_id: timm/tiny}}\n\
             Collections:\n- Name: Ours\n",
            self.server.url
        );
        home.write("page.yaml", text).display().to_string()
    }

    pub(crate) fn run(&self, home: &Home, args: &[&str]) -> Ran {
        let mut command = home.command(args);
        command.env("HF_ENDPOINT", &self.server.url);
        crate::support::ran(command.output().unwrap())
    }

    pub(crate) fn fetch(&self, home: &Home, more: &[&str]) -> Ran {
        let page = self.page(home);
        self.run(home, &[&["fetch", "tiny", "--registry", &page, "--json"], more].concat())
    }

    /// Paths asked for since the last time.
    pub(crate) fn asked(&self, from: usize) -> Vec<String> {
        self.server.asked()[from..].iter().map(|a| a.path.clone()).collect()
    }
}

pub(crate) fn row(ran: &Ran) -> Value {
    let rows: Value = serde_json::from_str(&ran.out).unwrap_or_else(|e| panic!("{e}: {ran:?}"));
    assert_eq!(wrong("fetch-1.json", &rows), [""; 0], "{rows}");
    rows[0].clone()
}

/// A lock that has the page's file and its tensors.
fn lock_of_the_page(both: &Both, home: &Home, tensors: &str) -> String {
    let (url, bytes) = (format!("{}/page/tiny-9c2dd27b.pth", both.server.url), tiny());
    let text = serde_json::json!({"schema": "zoo.lock/2", "files": [
        {"source": url, "sha256": Sha256::of(&bytes).to_string(), "bytes": bytes.len(), "tensors_sha256": tensors},
    ]});
    home.write("page.lock", text.to_string()).display().to_string()
}

/// The ways in which a page's address fails, and the exit code where nothing else can be had.
fn failures() -> [(&'static str, Reply, i32); 5] {
    [
        ("gone", Reply::new(404, "no such file"), 4),
        ("forbidden", Reply::new(403, "blocked"), 4),
        ("a login page", Reply::new(200, "<!DOCTYPE html><title>Log in</title>"), 3),
        ("another file", Reply::new(200, vec![7; 5000]), 3),
        ("off into the clear", Reply::new(302, "").header("Location", "http://192.0.2.1/x"), 4),
    ]
}

#[test]
fn without_a_record_the_hubs_file_is_offered_and_not_taken() {
    for (what, reply, code) in failures() {
        let (home, both) = (Home::new(), Both::new(Some(reply), "model.safetensors", tiny_of_the_hub(false)));
        let ran = both.fetch(&home, &[]);
        assert_eq!(ran.code, Some(code), "{what}: {ran:?}");
        assert!(ran.err.contains("hf:timm/tiny") && ran.err.contains("--accept-hub"), "{what}: {}", ran.err);
        assert!(both.asked(0).iter().all(|path| path.starts_with("/page/")), "{what}: the hub is not asked");
        assert!(home.cached("files", None).is_empty(), "{what}");
    }
}

#[test]
fn accepted_it_is_said_of_it_that_the_pages_file_was_not_seen() {
    for (what, reply, _) in failures() {
        let (home, both) = (Home::new(), Both::new(Some(reply), "model.safetensors", tiny_of_the_hub(false)));
        let ran = both.fetch(&home, &["--accept-hub"]);
        assert_eq!(ran.code, Some(0), "{what}: {ran:?}");
        let got = row(&ran);
        assert_eq!(got["page_file"], "not seen", "{what}");
        assert!(got["url"].as_str().unwrap().contains(COMMIT), "{what}: {got}");
        assert_eq!(got["sha256"], Sha256::of(&tiny_of_the_hub(false)).to_string());
        assert_eq!(got["tensors_sha256"], tensors());
        assert!(ran.err.contains("not seen"), "{what}: {}", ran.err);
        assert!(
            ran.err.contains("/page/tiny-9c2dd27b.pth"),
            "{what}: why the page's was not taken: {}",
            ran.err
        );
        // What was accepted once is on record: it is there offline, and still says so.
        let before = both.server.asked().len();
        for more in [&["--offline"][..], &[], &["--format", "pth"]] {
            let again = both.fetch(&home, more);
            assert_eq!(again.code, Some(0), "{what} {more:?}: {again:?}");
            assert_eq!(
                (&row(&again)["page_file"], &row(&again)["status"]),
                (&"not seen".into(), &"cached".into())
            );
            assert!(again.err.contains("not seen"), "{what}: {}", again.err);
        }
        assert_eq!(both.server.asked().len(), before, "{what}");
        // The page's own is asked for where it is preferred, and then seen.
        both.world.lock().unwrap().page = None;
        let page = both.fetch(&home, &["--prefer", "page"]);
        assert_eq!((page.code, &row(&page)["page_file"]), (Some(0), &"seen".into()), "{what}: {page:?}");
        assert_eq!(row(&both.fetch(&home, &["--offline"]))["page_file"], "seen");
    }
}

#[test]
fn with_its_tensors_on_record_it_is_taken_as_it_is() {
    for (what, reply, _) in failures() {
        let (home, both) = (Home::new(), Both::new(Some(reply), "model.safetensors", tiny_of_the_hub(false)));
        let lock = lock_of_the_page(&both, &home, &tensors());
        let ran = both.fetch(&home, &["--lock", &lock]);
        assert_eq!(
            (ran.code, &row(&ran)["page_file"]),
            (Some(0), &"tensors on record".into()),
            "{what}: {ran:?}"
        );
        assert!(ran.err.contains("tensors that are on record"), "{what}: {}", ran.err);
        let as_it_came = both.fetch(&home, &["--lock", &lock, "--format", "pth", "--offline"]);
        assert_eq!(row(&as_it_came)["page_file"], "tensors on record", "{what}: {as_it_came:?}");
    }
    // A first fetch of the page's file puts them on record.
    let (home, both) = (Home::new(), Both::new(None, "model.safetensors", tiny_of_the_hub(false)));
    assert_eq!(row(&both.fetch(&home, &[]))["page_file"], "seen");
    let digest = Sha256::of(&tiny()).to_string();
    assert_eq!(home.run(&["cache", "rm", &digest]).code, Some(0));
    both.world.lock().unwrap().page = Some(Reply::new(410, "gone"));
    let ran = both.fetch(&home, &[]);
    assert_eq!((ran.code, &row(&ran)["page_file"]), (Some(0), &"tensors on record".into()), "{ran:?}");
}

#[test]
fn other_tensors_than_those_on_record_are_refused_and_nothing_is_kept() {
    let gone = || Some(Reply::new(404, "no such file"));
    for (format, more) in [
        ("pth", &[][..]),
        ("safetensors", &[]),
        ("pth", &["--accept-hub"]),
        ("safetensors", &["--accept-hub"]),
    ] {
        let (home, both) = (Home::new(), Both::new(gone(), "model.safetensors", tiny_of_the_hub(true)));
        let lock = lock_of_the_page(&both, &home, &tensors());
        let ran = both.fetch(&home, &[&["--lock", &lock, "--format", format], more].concat());
        assert_eq!(ran.code, Some(3), "{format} {more:?}: {ran:?}");
        assert!(ran.err.contains(&tensors()) && ran.err.contains("page.lock"), "{}", ran.err);
        assert!(
            home.cached("files", None).is_empty() && home.cached("derived", Some("safetensors")).is_empty()
        );
    }
    // What is no checkpoint has no tensors to compare.
    let (home, both) =
        (Home::new(), Both::new(gone(), "model.safetensors", b"not a checkpoint at all".to_vec()));
    for more in [&["--format", "pth"][..], &[]] {
        let ran = both.fetch(&home, &[&["--accept-hub"], more].concat());
        assert_eq!(ran.code, Some(3), "{more:?}: {ran:?}");
    }
}

#[test]
fn the_place_that_is_preferred_is_asked_first() {
    let of_hub = |path: &String| path.contains("/timm/tiny/");
    for (more, page, first_is_hub, page_file) in [
        (&["--accept-hub"][..], None, false, "seen"),
        (&["--accept-hub", "--prefer", "page"], None, false, "seen"),
        (&["--accept-hub", "--prefer", "hub"], None, true, "not seen"),
        // Preferred and not accepted: the page's.
        (&["--prefer", "hub"], None, false, "seen"),
        (&["--accept-hub", "--prefer", "page"], Some(Reply::new(404, "gone")), false, "not seen"),
    ] {
        let (home, both) = (Home::new(), Both::new(page, "model.safetensors", tiny_of_the_hub(false)));
        let ran = both.fetch(&home, more);
        assert_eq!((ran.code, &row(&ran)["page_file"]), (Some(0), &page_file.into()), "{more:?}: {ran:?}");
        assert_eq!(both.asked(0).first().is_some_and(of_hub), first_is_hub, "{more:?}: {:?}", both.asked(0));
    }
}

#[test]
fn older_repositories_have_only_a_bin_file() {
    let gone = Some(Reply::new(404, "no such file"));
    let (home, both) = (Home::new(), Both::new(gone.clone(), "pytorch_model.bin", tiny()));
    let ran = both.fetch(&home, &["--accept-hub"]);
    assert_eq!((ran.code, &row(&ran)["page_file"]), (Some(0), &"not seen".into()), "{ran:?}");
    assert!(row(&ran)["url"].as_str().unwrap().ends_with("pytorch_model.bin"));
    // A repository with neither says what it was asked for.
    let (home, both) = (Home::new(), Both::new(gone, "weights.npz", tiny()));
    let ran = both.fetch(&home, &["--accept-hub"]);
    assert_eq!(ran.code, Some(4), "{ran:?}");
    assert!(ran.err.contains("model.safetensors") && ran.err.contains("404"), "{}", ran.err);
}

#[test]
fn a_pin_of_the_hubs_file_holds_when_its_branch_moves_on() {
    let gone = Some(Reply::new(404, "no such file"));
    let (home, both) = (Home::new(), Both::new(gone, "model.safetensors", tiny_of_the_hub(false)));
    assert_eq!(both.fetch(&home, &["--accept-hub"]).code, Some(0));
    let digest = Sha256::of(&tiny_of_the_hub(false)).to_string();
    assert_eq!(home.run(&["cache", "rm", &digest]).code, Some(0));
    // The same commit, by its pin: no branch is asked about.
    let before = both.server.asked().len();
    let again = both.fetch(&home, &[]);
    assert_eq!((again.code, &row(&again)["page_file"]), (Some(0), &"not seen".into()), "{again:?}");
    assert!(!both.asked(before).iter().any(|path| path.contains("/revision/")), "{:?}", both.asked(before));
    // Other bytes at that commit are refused.
    assert_eq!(home.run(&["cache", "rm", &digest]).code, Some(0));
    both.world.lock().unwrap().hub = tiny_of_the_hub(true);
    let other = both.fetch(&home, &[]);
    assert_eq!(other.code, Some(3), "{other:?}");
    assert!(other.err.contains(&digest), "{}", other.err);
}
