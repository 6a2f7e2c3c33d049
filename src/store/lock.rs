//! `zoo.lock`: what files that were fetched and checked are, whole: digests of the file and of its tensors, bytes, places.
//!
//! A file name such as `NAME-0123abcd.pth` promises 32 bits; a lock promises all 256. One lock ships with zoo, others are
//! named with `--lock`, and the store pins what it fetches in the user's own. Two forms are read (`docs/locks.md`): JSON
//! with a line for each file, which is written, and the first one, lines of `SHA256 BYTES SOURCE`, which says nothing of
//! tensors.

use std::collections::BTreeMap;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::error::{Error, Result};
use super::location::Location;
use crate::fs;
use crate::hash::Sha256;

const SHIPPED: &str = include_str!("../../registry/zoo.lock");
/// What locks of this form call themselves.
const SCHEMA: &str = "zoo.lock/2";
/// Larger than a line for every file of the registry a hundred times over.
const MAX_LOCK_LEN: u64 = 16 << 20;

/// What a lock says of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pin {
    /// The whole digest; of a set, of what `sha256sum` prints for its files.
    pub sha256: Sha256,
    /// Bytes; of a set, of all its files.
    pub bytes: u64,
    /// The digest of a checkpoint's tensors, whatever file they are in; nothing where it is not known, or not a checkpoint.
    pub tensors_sha256: Option<Sha256>,
    /// The models that it was fetched for, sorted.
    pub names: Vec<String>,
    /// Further places of the same bytes.
    pub places: Vec<String>,
    /// Where this is another file of the same weights: the source of the one that a model page names.
    pub instead_of: Option<String>,
}

impl Pin {
    /// A pin that says no more than what the file is.
    pub fn new(sha256: Sha256, bytes: u64) -> Self {
        Pin { sha256, bytes, tensors_sha256: None, names: Vec::new(), places: Vec::new(), instead_of: None }
    }

    /// The same, fetched for a model.
    #[must_use]
    pub fn named(mut self, name: &str) -> Self {
        if let Err(at) = self.names.binary_search_by(|n| n.as_str().cmp(name)) {
            self.names.insert(at, name.to_owned());
        }
        self
    }

    /// Takes over what another pin of the same file knows besides.
    fn merge(&mut self, other: Pin) {
        self.tensors_sha256 = self.tensors_sha256.or(other.tensors_sha256);
        self.names.extend(other.names);
        self.names.sort();
        self.names.dedup();
        let new = other.places.into_iter().filter(|p| !self.places.contains(p)).collect::<Vec<_>>();
        self.places.extend(new);
        self.instead_of = self.instead_of.take().or(other.instead_of);
    }
}

/// A line of the file.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    source: String,
    sha256: Sha256,
    bytes: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    tensors_sha256: Option<Sha256>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    names: Vec<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    places: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    instead_of: Option<String>,
}

impl Line {
    fn new(source: &str, pin: Pin) -> Self {
        let Pin { sha256, bytes, tensors_sha256, names, places, instead_of } = pin;
        Line { source: source.to_owned(), sha256, bytes, tensors_sha256, names, places, instead_of }
    }

    fn pin(self) -> (String, Pin) {
        let Line { source, sha256, bytes, tensors_sha256, mut names, places, instead_of } = self;
        names.sort();
        names.dedup();
        (source, Pin { sha256, bytes, tensors_sha256, names, places, instead_of })
    }
}

/// A lock file, read.
#[derive(Clone, Debug, Default)]
pub struct Lock {
    /// How messages call it.
    pub(super) origin: String,
    /// Of its form.
    version: u32,
    pins: BTreeMap<String, Pin>,
}

impl Lock {
    /// The lock inside the binary.
    pub fn shipped() -> Result<Self> {
        Lock::parse("registry/zoo.lock, shipped with zoo", Path::new("registry/zoo.lock"), SHIPPED)
    }

    /// Reads a lock file.
    ///
    /// # Errors
    /// The file cannot be read, or [`Error::Lock`] with its line.
    pub fn open(path: &Path) -> Result<Self> {
        let bytes = fs::read(path, MAX_LOCK_LEN)?;
        let text = String::from_utf8(bytes).map_err(|e| {
            let before = e.as_bytes().iter().take(e.utf8_error().valid_up_to());
            let line = before.filter(|&&b| b == b'\n').count() + 1;
            Error::Lock { file: path.to_owned(), line, reason: "it is not UTF-8".into() }
        })?;
        Lock::parse(&path.display().to_string(), path, &text)
    }

    /// Reads a lock that may not exist yet.
    pub(super) fn open_or_empty(path: &Path) -> Result<Self> {
        if path.exists() {
            Lock::open(path)
        } else {
            Ok(Lock { origin: path.display().to_string(), version: 2, pins: BTreeMap::new() })
        }
    }

    fn parse(origin: &str, file: &Path, text: &str) -> Result<Self> {
        let json = text.trim_start_matches('\u{feff}').trim_start().starts_with('{');
        let pins = if json { lines_of_json(file, text)? } else { lines_of_text(file, text)? };
        Ok(Lock { origin: origin.to_owned(), version: if json { 2 } else { 1 }, pins })
    }

    /// Of the form it was read in: 1 or 2.
    pub fn version(&self) -> u32 {
        self.version
    }

    /// What it says of a source.
    pub fn get(&self, source: &str) -> Option<&Pin> {
        self.pins.get(source)
    }

    /// The other files of the same weights as a source's, by their own sources.
    pub fn instead_of<'a>(&'a self, source: &'a str) -> impl Iterator<Item = (&'a str, &'a Pin)> {
        self.pins().filter(move |(_, pin)| pin.instead_of.as_deref() == Some(source))
    }

    /// Every source and its pin, sorted by source.
    pub fn pins(&self) -> impl Iterator<Item = (&str, &Pin)> {
        self.pins.iter().map(|(source, pin)| (source.as_str(), pin))
    }

    /// Adds a pin. One of another file is replaced; one of the same file is added to.
    pub fn insert(&mut self, source: &str, pin: Pin) {
        match self.pins.get_mut(source) {
            Some(known) if known.sha256 == pin.sha256 && known.bytes == pin.bytes => known.merge(pin),
            _ => {
                self.pins.insert(source.to_owned(), pin);
            }
        }
    }

    /// Adds a pin to the lock file at `path`, which may not exist yet; one process at a time.
    ///
    /// # Errors
    /// The file cannot be read or written.
    pub fn pin(path: &Path, source: &str, pin: Pin) -> Result<()> {
        let guard = path.with_file_name(".zoo.lock.claim");
        super::exclusive::with(
            &guard,
            |_| Ok(()),
            || {
                let mut lock = Lock::open_or_empty(path)?;
                let known = lock.get(source).cloned();
                lock.insert(source, pin);
                if known.as_ref() == lock.get(source) {
                    return Ok(());
                }
                Ok(fs::write_atomic(path, lock.text().as_bytes())?)
            },
        )
    }

    /// The file's text, sorted by source; a line for each, so that two versions merge and differ by lines.
    pub fn text(&self) -> String {
        let line = |(source, pin): (&str, &Pin)| {
            serde_json::to_string(&Line::new(source, pin.clone())).unwrap_or_default()
        };
        let lines: Vec<_> = self.pins().map(line).collect();
        let files = if lines.is_empty() { String::new() } else { format!("\n{}\n", lines.join(",\n")) };
        format!("{{\n\"schema\": \"{SCHEMA}\",\n\"files\": [{files}]\n}}\n")
    }
}

/// The second form.
fn lines_of_json(file: &Path, text: &str) -> Result<BTreeMap<String, Pin>> {
    #[derive(Deserialize)]
    struct Head {
        schema: String,
    }
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Document {
        #[serde(rename = "schema")]
        _schema: String,
        files: Vec<Line>,
    }
    let text = text.trim_start_matches('\u{feff}');
    let error = |line: usize, reason: String| Error::Lock { file: file.to_owned(), line, reason };
    let at = |e: &serde_json::Error| error(e.line().max(1), without_place(e));
    // What a later version says differently is not reported as a mistake in this one.
    let head: Head = serde_json::from_str(text).map_err(|e| at(&e))?;
    if head.schema != SCHEMA {
        let reason = format!(
            "its `schema` is `{}`: this zoo reads `{SCHEMA}`, and lines of the first form",
            head.schema
        );
        return Err(error(1, reason));
    }
    let document: Document = serde_json::from_str(text).map_err(|e| at(&e))?;
    let mut pins = BTreeMap::new();
    for (source, pin) in document.files.into_iter().map(Line::pin) {
        let place = |text_of: &str, reason: String| {
            let quoted = serde_json::Value::from(text_of).to_string();
            let line = text
                .find(&quoted)
                .and_then(|at| text.get(..at))
                .map_or(1, |before| before.matches('\n').count() + 1);
            error(line, reason)
        };
        for address in [&source].into_iter().chain(&pin.places).chain(&pin.instead_of) {
            Location::parse(address).map_err(|e| place(address, e.to_string()))?;
        }
        if pin.instead_of.as_ref() == Some(&source) {
            return Err(place(&source, format!("`{source}` cannot be there instead of itself")));
        }
        add(&mut pins, &source, pin).map_err(|reason| place(&source, reason))?;
    }
    Ok(pins)
}

/// The first form.
fn lines_of_text(file: &Path, text: &str) -> Result<BTreeMap<String, Pin>> {
    let mut pins = BTreeMap::new();
    for (at, line) in text.lines().enumerate() {
        let error = |reason: String| Error::Lock { file: file.to_owned(), line: at + 1, reason };
        if line.trim().is_empty() || line.starts_with('#') {
            continue;
        }
        let mut parts = line.splitn(3, ' ');
        let (Some(sha256), Some(bytes), Some(source)) = (parts.next(), parts.next(), parts.next()) else {
            return Err(error("a line is `SHA256 BYTES SOURCE`".into()));
        };
        let sha256 = sha256.parse().map_err(|e| error(format!("{e}")))?;
        let bytes = bytes.parse().map_err(|_| error(format!("`{bytes}` is not a number of bytes")))?;
        add(&mut pins, source, Pin::new(sha256, bytes)).map_err(error)?;
    }
    Ok(pins)
}

/// A source may be there twice, as merging leaves it, but only for one file.
fn add(pins: &mut BTreeMap<String, Pin>, source: &str, pin: Pin) -> std::result::Result<(), String> {
    match pins.get_mut(source) {
        None => {
            pins.insert(source.to_owned(), pin);
            Ok(())
        }
        Some(known) if known.sha256 == pin.sha256 && known.bytes == pin.bytes && agree(known, &pin) => {
            known.merge(pin);
            Ok(())
        }
        Some(_) => Err(format!("`{source}` is pinned a second time, to something else")),
    }
}

fn agree(a: &Pin, b: &Pin) -> bool {
    a.tensors_sha256.zip(b.tensors_sha256).is_none_or(|(a, b)| a == b)
        && a.instead_of.as_ref().zip(b.instead_of.as_ref()).is_none_or(|(a, b)| a == b)
}

/// What serde says, without the place, which is printed before it.
fn without_place(error: &serde_json::Error) -> String {
    let text = error.to_string();
    text.split(" at line ").next().unwrap_or(&text).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shipped_lock_reads() {
        let lock = Lock::shipped().unwrap();
        assert!(lock.pins().count() >= 2);
        assert_eq!(lock.text(), SHIPPED, "the shipped lock is sorted and in the form that zoo writes");
    }

    fn json(lines: &[&str]) -> String {
        format!("{{\n\"schema\": \"{SCHEMA}\",\n\"files\": [\n{}\n]}}\n", lines.join(",\n"))
    }

    fn line(source: &str, bytes: u64) -> String {
        format!("{{\"source\": \"{source}\", \"sha256\": \"{}\", \"bytes\": {bytes}}}", Sha256::of(b""))
    }

    fn parsed(text: &str) -> Lock {
        Lock::parse("t", Path::new("t"), text).unwrap()
    }

    #[test]
    fn what_is_written_is_read_back() {
        let mut lock = Lock::default();
        assert_eq!(parsed(&lock.text()).pins().count(), 0);
        let pin = Pin { tensors_sha256: Some(Sha256::of(b"t")), ..Pin::new(Sha256::of(b"a"), 1) };
        lock.insert("https://a/\"b\" c", pin.clone().named("n").named("m").named("n"));
        let hub = "hf:timm/n@main/model.safetensors";
        let other = Pin { instead_of: Some("https://a/b".into()), places: vec!["https://c/d".into()], ..pin };
        lock.insert(hub, other);
        let read = parsed(&lock.text());
        assert!(read.pins().eq(lock.pins()) && read.text() == lock.text());
        assert_eq!(read.get("https://a/\"b\" c").unwrap().names, ["m", "n"]);
        assert_eq!(read.instead_of("https://a/b").map(|(source, _)| source).collect::<Vec<_>>(), [hub]);
        assert_eq!(lock.text().lines().count(), 7, "a line for each file");
    }

    #[test]
    fn pins_of_one_file_add_up_and_of_another_replace() {
        let (a, b, t) = (Sha256::of(b"a"), Sha256::of(b"b"), Sha256::of(b"t"));
        let mut lock = Lock::default();
        lock.insert("https://a/b", Pin::new(a, 1).named("m"));
        lock.insert("https://a/b", Pin { tensors_sha256: Some(t), ..Pin::new(a, 1).named("n") });
        let pin = lock.get("https://a/b").unwrap();
        assert!(pin.tensors_sha256 == Some(t) && pin.names == ["m", "n"], "{pin:?}");
        lock.insert("https://a/b", Pin::new(b, 1));
        assert_eq!(lock.get("https://a/b"), Some(&Pin::new(b, 1)));
        // What two branches of a project added merges into lines of both.
        let twice = parsed(&json(&[&line("https://a/b", 1), &line("https://a/b", 1)]));
        assert_eq!(twice.pins().count(), 1);
    }

    #[test]
    fn the_first_form_is_read_and_the_second_written() {
        let text = format!("# zoo.lock 1: comment\n\n{} 5 https://a/b c\n", Sha256::of(b"a"));
        let lock = parsed(&text);
        assert_eq!((lock.version(), lock.get("https://a/b c")), (1, Some(&Pin::new(Sha256::of(b"a"), 5))));
        assert_eq!((parsed(&lock.text()).version(), parsed(&lock.text()).pins().count()), (2, 1));
    }

    #[test]
    fn a_bad_line_is_named() {
        let digest = Sha256::of(b"");
        for (text, line) in [
            ("# comment\nxyz\n".to_owned(), 2),
            (format!("{digest} twelve https://a/b\n"), 1),
            (format!("{digest} 1 https://a/b\n{digest} 2 https://a/b\n"), 2),
            (json(&[r#"{"source": "https://a/b", "bytes": 1}"#]), 4),
            (
                json(&[&line("https://a/b", 1), r#"{"source": "https://a/c", "sha256": "xyz", "bytes": 1}"#]),
                5,
            ),
            (json(&[&line("https://a/b", 1), &line("https://a/c", 1).replace("bytes", "byte")]), 5),
            (json(&[&line("https://a/b", 1), &line("ftp://a/c", 1)]), 5),
            (json(&[&line("https://a/b", 1), &line("https://a/c", 1), &line("https://a/b", 2)]), 4),
            (json(&[&line("https://a/b", 1)]).replace("lock/2", "lock/3"), 1),
            (json(&[&line("https://a/b", 1)]).replace("files", "file"), 3),
            (json(&[&line("https://a/b", 1)]).trim_end().trim_end_matches('}').to_owned(), 5),
        ] {
            match Lock::parse("t", Path::new("t"), &text) {
                Err(Error::Lock { line: found, .. }) => assert_eq!(found, line, "{text}"),
                other => panic!("{text}: {other:?}"),
            }
        }
    }

    #[test]
    fn pins_accumulate_across_writers() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("zoo.lock");
        std::thread::scope(|scope| {
            for i in 0..8_u64 {
                let path = &path;
                scope.spawn(move || {
                    let source = format!("https://example.org/{i} with space");
                    Lock::pin(path, &source, Pin::new(Sha256::of(&[i as u8]), i)).unwrap();
                });
            }
        });
        assert_eq!(Lock::open(&path).unwrap().pins().count(), 8);
    }
}
