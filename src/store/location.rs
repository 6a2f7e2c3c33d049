//! Where a file is: the grammar of sources, checked before anything is asked.
//!
//! In: a registry's source as text. Out: a typed [`Location`] that the fetchers take. Called by the store
//! when a request comes in, and by the mirrors for what they rewrite.

use std::fmt;
use std::path::PathBuf;

use reqwest::Url;

use super::error::{Error, Result};

/// A parsed source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Location {
    /// `https:`, or `http:` under conditions.
    Web(Url),
    /// `file:` and an absolute path.
    File(PathBuf),
    /// A file inside a wheel of the package index.
    Wheel(WheelFile),
    /// A file of a Hugging Face repository.
    Hub(HubFile),
}

/// `pypi:package==version!/path/in/wheel`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WheelFile {
    /// The distribution's name.
    pub package: String,
    /// The exact version.
    pub version: String,
    /// Path inside the wheel, without a leading slash; in a set its last part may hold `*`.
    pub member: String,
}

/// `hf:org/repo@revision/path`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HubFile {
    /// `org/repo`.
    pub repo: String,
    /// Branch, tag or commit.
    pub revision: String,
    /// Path inside the repository.
    pub file: String,
}

/// `hf:org/repo` or `hf:org/repo@revision`: all files of a repository.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HubRepo {
    /// `org/repo`.
    pub repo: String,
    /// Branch, tag or commit; `main` where none is given.
    pub revision: String,
}

impl HubRepo {
    /// Reads it; `None` where the text is something else, such as a file in a repository.
    pub fn parse(text: &str) -> Option<Self> {
        let rest = text.strip_prefix("hf:")?.trim_end_matches('/');
        let (repo, revision) = rest.split_once('@').unwrap_or((rest, DEFAULT_REVISION));
        let (org, name) = repo.split_once('/')?;
        let all = is_plain(org) && is_plain(name) && is_plain(revision);
        all.then(|| HubRepo { repo: repo.to_owned(), revision: revision.to_owned() })
    }

    /// The source of a file in it.
    pub fn file(&self, path: &str) -> String {
        format!("hf:{}@{}/{path}", self.repo, self.revision)
    }
}

impl fmt::Display for HubRepo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "hf:{}@{}", self.repo, self.revision)
    }
}

/// What the hub itself takes where no revision is given.
const DEFAULT_REVISION: &str = "main";

/// A part of a hub address.
fn is_plain(text: &str) -> bool {
    !text.is_empty()
        && !text.starts_with('.')
        && text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.'))
}

impl WheelFile {
    /// `NAME==VERSION`, as pip takes it.
    pub fn requirement(&self) -> String {
        format!("{}=={}", self.package, self.version)
    }
}

impl Location {
    /// Reads a source.
    ///
    /// # Errors
    /// [`Error::Source`], saying what is allowed.
    pub fn parse(text: &str) -> Result<Self> {
        let error = |reason: &str| Error::Source { text: text.to_owned(), reason: reason.to_owned() };
        let Some((scheme, rest)) = text.split_once(':') else {
            return Err(error("it begins with none of `https:`, `file:`, `pypi:`, `hf:`"));
        };
        match scheme {
            "https" | "http" => {
                let url = Url::parse(text).map_err(|e| error(&e.to_string()))?;
                // Browsers forgive a host that is left out and take the path's first part for it.
                let said = rest.strip_prefix("//").is_some_and(|r| !r.starts_with(['/', '\\']));
                match url.host_str() {
                    Some(host) if said && !host.is_empty() => Ok(Location::Web(url)),
                    _ => Err(error("it has no host")),
                }
            }
            "file" => file(rest).map(Location::File).map_err(error),
            "pypi" => wheel(rest).map(Location::Wheel).map_err(error),
            "hf" => hub(rest).map(Location::Hub).map_err(error),
            _ => Err(error("it begins with none of `https:`, `file:`, `pypi:`, `hf:`")),
        }
    }

    /// Whether having it takes more than this machine's disk.
    pub fn needs_network(&self) -> bool {
        !matches!(self, Location::File(_))
    }
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Location::Web(url) => f.write_str(url.as_str()),
            Location::File(path) => write!(f, "file:{}", path.display()),
            Location::Wheel(w) => write!(f, "pypi:{}!/{}", w.requirement(), w.member),
            Location::Hub(h) => write!(f, "hf:{}@{}/{}", h.repo, h.revision, h.file),
        }
    }
}

/// Whether an address leads to this machine: plain HTTP to it cannot be tampered with on the way.
pub(super) fn is_loopback(url: &Url) -> bool {
    match url.host_str() {
        Some("localhost") => true,
        Some(host) => {
            let host = host.trim_start_matches('[').trim_end_matches(']');
            host.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback())
        }
        None => false,
    }
}

/// `file:///a/b`, `file://localhost/a/b` and `file:/a/b`; percent signs mean themselves in the last.
fn file(rest: &str) -> std::result::Result<PathBuf, &'static str> {
    const ALLOWED: &str = "a file source is `file:/absolute/path`";
    let path = match rest.strip_prefix("//") {
        Some(_) => Url::parse(&format!("file:{rest}")).ok().and_then(|u| u.to_file_path().ok()),
        None => Some(PathBuf::from(rest)),
    };
    path.filter(|p| p.is_absolute()).ok_or(ALLOWED)
}

fn wheel(rest: &str) -> std::result::Result<WheelFile, &'static str> {
    let (requirement, member) = rest
        .split_once("!/")
        .ok_or("a package source is `pypi:package==version!/path/in/wheel`, and `!/` is missing")?;
    let (package, version) = requirement
        .split_once("==")
        .ok_or("a package source is `pypi:package==version!/path/in/wheel`, and `==` is missing")?;
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    let ends = |s: &str| {
        s.starts_with(|c: char| c.is_ascii_alphanumeric()) && s.ends_with(|c: char| c.is_ascii_alphanumeric())
    };
    if package.len() > 128 || !ends(package) || !package.chars().all(plain) {
        return Err("the package's name may hold letters, digits and `-_.` between letters or digits");
    }
    // PEP 440: epoch `!`, local version `+`.
    if version.len() > 128 || !ends(version) || !version.chars().all(|c| plain(c) || matches!(c, '!' | '+')) {
        return Err("the version may hold letters, digits and `-_.!+` between letters or digits");
    }
    relative(member)?;
    Ok(WheelFile { package: package.into(), version: version.into(), member: member.into() })
}

fn hub(rest: &str) -> std::result::Result<HubFile, &'static str> {
    const ALLOWED: &str = "a hub source is `hf:org/repo@revision/path/to/file`";
    let (repo, tail) = rest.split_once('@').ok_or(ALLOWED)?;
    let (revision, file) = tail.split_once('/').ok_or(ALLOWED)?;
    let (org, name) = repo.split_once('/').ok_or(ALLOWED)?;
    if !is_plain(org) || !is_plain(name) || !is_plain(revision) {
        return Err("organisation, repository and revision may hold letters, digits and `-_.`");
    }
    relative(file)?;
    Ok(HubFile { repo: repo.into(), revision: revision.into(), file: file.into() })
}

/// A path that stays inside its archive.
fn relative(path: &str) -> std::result::Result<(), &'static str> {
    let bad = path.len() > 1024
        || path.split('/').any(|part| part.is_empty() || part == "." || part == "..")
        || path.chars().any(|c| c.is_control() || matches!(c, '\\' | ':'));
    if bad {
        Err("the path inside must be relative, without `.`, `..`, empty parts, `\\`, `:` or control \
                     characters")
    } else {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sources_read_back_as_written() {
        for text in [
            "https://example.org/a/tf_efficientnet_b0_ns-c0e6a31c.pth",
            "file:/tmp/a b.pth",
            "pypi:foolbox==3.3.4!/foolbox/data/imagenet_00_243.jpg",
            "hf:timm/resnet50.a1_in1k@main/model.safetensors",
        ] {
            assert_eq!(Location::parse(text).unwrap().to_string(), text);
        }
        assert_eq!(Location::parse("file:///tmp/a%20b").unwrap(), Location::File("/tmp/a b".into()));
    }

    #[test]
    fn what_the_grammar_refuses() {
        for text in [
            "resnet50.pth",
            "ftp://example.org/x",
            "https:///x",
            "file:relative.pth",
            "pypi:a==1",
            "pypi:a!/b",
            "pypi:--index-url==1!/b",
            "pypi:a==1 --index-url x!/b",
            "pypi:a==1;python_version>'3'!/b",
            "pypi:a @ https://x==1!/b",
            "pypi:a==1!/../b",
            "pypi:a==1!//etc/passwd",
            "pypi:a==1!/b\\c",
            "hf:org/repo/file",
            "hf:org/repo@../x",
            "hf:org/repo@main/../../x",
        ] {
            assert!(matches!(Location::parse(text), Err(Error::Source { .. })), "{text}");
        }
    }

    #[test]
    fn loopback_is_recognised_in_all_its_forms() {
        let is = |u: &str| is_loopback(&Url::parse(u).unwrap());
        assert!(is("http://127.0.0.1:1/") && is("http://localhost/") && is("http://[::1]:9/"));
        assert!(!is("http://127.0.0.1.example.org/") && !is("http://10.0.0.1/"));
    }
}
