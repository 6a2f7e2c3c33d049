//! The digits in file names, over every address at hand: OpenMMLab's metafiles by their publishing scripts' rule,
//! timm's pages, the lock, and fetching a file that is or is not what its name promises.

use std::path::Path;

use serde_json::Value;
use zoo::Sha256;
use zoo::hash::HashPrefix;
use zoo::registry::{Registry, Source};

use super::support::Home;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

#[test]
fn open_mmlab_s_names_are_read_by_the_rule_that_made_them() {
    let golden = std::fs::read(root().join("tests/golden/file_names.json")).unwrap();
    let golden: Value = serde_json::from_slice(&golden).unwrap();
    let names = golden["names"].as_object().unwrap();
    assert!(names.len() > 300);
    for (name, digits) in names {
        let found = HashPrefix::from_file_name(name);
        assert_eq!(found.as_ref().map(HashPrefix::as_str), digits.as_str(), "{name}");
    }
}

#[test]
fn timm_s_names_all_have_their_digits_but_big_transfer_s() {
    let registry = Registry::builtin().unwrap();
    let mut with = 0;
    for entry in registry.models() {
        let Some(source) = entry.sources.first() else { continue };
        match source.hash_prefix() {
            Some(prefix) => {
                with += 1;
                let stem = source.file_name().trim_end_matches(".pth");
                assert!(stem.ends_with(prefix.as_str()), "{source}");
                assert!(entry.zoo.sha256.is_none_or(|digest| prefix.matches(&digest)), "{source}");
            }
            None => assert!(source.file_name().starts_with("BiT-M-"), "{source}"),
        }
    }
    assert!(with > 250, "{with}");
    for (source, pin) in zoo::store::Lock::shipped().unwrap().pins() {
        let prefix = Source(source.to_owned()).hash_prefix();
        assert!(prefix.is_none_or(|p| p.matches(&pin.sha256)), "{source}");
    }
}

/// A file under each form of name: taken with the right digits and refused with wrong ones.
#[test]
fn a_file_is_held_to_the_digits_wherever_the_name_has_them() {
    let bytes = b"what a file holds is not asked here";
    let hash = Sha256::of(bytes).to_string()[..8].to_owned();
    let forms = [
        "net-H_20230206.pth",
        "net_H-20230206.pth",
        "net_20211213-H.pth",
        "net-1.6gf_20211213-H.pth",
        "net-1.6gf-H_20211213.pth",
        "net.v1-H.pth.tar",
    ];
    for form in forms {
        for (digits, code) in [(hash.as_str(), 0), ("0badc0de", 3)] {
            let home = Home::new();
            let file = home.write(&form.replace('H', digits), bytes);
            let page = format!("Models: [{{Name: n, Weights: 'file:{}'}}]\n", file.display());
            home.write("page.yml", page);
            let ran = home.run(&["fetch", "n", "--format", "pth", "--registry", "page.yml"]);
            assert_eq!(ran.code, Some(code), "{form}: {}", ran.err);
            assert!(code == 0 || ran.err.contains("0badc0de"), "{}", ran.err);
        }
    }
}
