//! What can go wrong between a name and a checked file on disk.

use std::fmt::Write;
use std::path::PathBuf;
use std::time::Duration;

use super::transport;
use crate::error::{Class, Classify};
use crate::hash::Sha256;

/// What the store's operations return.
pub type Result<T> = std::result::Result<T, Error>;

/// A file that could not be had, or is not the file that was meant.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A source that the grammar does not allow.
    #[error("`{text}` is not a source: {reason}")]
    Source {
        /// As written.
        text: String,
        /// What is wrong, and what is allowed.
        reason: String,
    },
    /// A mirror that the grammar does not allow.
    #[error("`{text}` is not a mirror: {reason}")]
    Mirror {
        /// As written.
        text: String,
        /// What is wrong, and what is allowed.
        reason: String,
    },
    /// Plain HTTP with nothing that would catch a changed file.
    #[error(
        "`{url}` is plain http: allowed only to this machine, or where the whole SHA-256 is known beforehand"
    )]
    Insecure {
        /// The address.
        url: String,
    },
    /// The bytes are other bytes.
    #[error("`{name}` from {url} is another file: expected SHA-256 {expected} ({origin}), found {found}")]
    Mismatch {
        /// What was asked for.
        name: String,
        /// Where the bytes are from.
        url: String,
        /// The digest, or its first digits.
        expected: String,
        /// Who says so.
        origin: String,
        /// What the bytes hash to.
        found: String,
    },
    /// The tensors are other tensors.
    #[error(
        "the tensors of `{name}` from {url} are others: expected tensors_sha256 {expected} ({origin}), found {found}"
    )]
    Tensors {
        /// What was asked for.
        name: String,
        /// Where the file is from.
        url: String,
        /// The digest on record.
        expected: String,
        /// Who says so.
        origin: String,
        /// What the file's tensors hash to.
        found: String,
    },
    /// A file of the hub's that may not be taken for the page's.
    #[error(
        "the hub has a file of the weights of `{name}`, `{place}`, but nothing is on record of its tensors"
    )]
    NotAccepted {
        /// What was asked for.
        name: String,
        /// The repository or file.
        place: String,
    },
    /// A file that `--locked` rules out.
    #[error("`--locked`: {} says nothing of `{name}` at `{place}`", locks.join(", "))]
    NotLocked {
        /// What was asked for.
        name: String,
        /// Where it is.
        place: String,
        /// The lock files that were named.
        locks: Vec<String>,
    },
    /// The number of bytes is another one.
    #[error("`{name}` from {url} has another size: expected {expected} bytes, found {found}")]
    Size {
        /// What was asked for.
        name: String,
        /// Where the bytes are from.
        url: String,
        /// Bytes that the registry or a lock says.
        expected: u64,
        /// Bytes that came or were announced.
        found: String,
    },
    /// Two authorities on one file contradict each other.
    #[error(
        "two digests are on record for `{name}`: {first} ({first_origin}) and {second} ({second_origin})"
    )]
    Disagree {
        /// What was asked for.
        name: String,
        /// The word that counts more.
        first: String,
        /// Who says so.
        first_origin: String,
        /// The other word.
        second: String,
        /// Who says so.
        second_origin: String,
    },
    /// A page where a file should be.
    #[error("{url} answers with a web page instead of `{name}`")]
    WebPage {
        /// What was asked for.
        name: String,
        /// The address.
        url: String,
    },
    /// A server's refusal.
    #[error("{url} answers {status}")]
    Status {
        /// The address.
        url: String,
        /// Code and reason.
        status: String,
        /// Whether the file itself is what the server does not have.
        gone: bool,
    },
    /// No answer, or one that broke off.
    #[error("{url}: {reason}")]
    Transport {
        /// The address.
        url: String,
        /// What happened, innermost cause last.
        reason: String,
    },
    /// Certificates that the user named and that are none.
    #[error("SSL_CERT_FILE names `{}`, which has no certificates: {reason}", path.display())]
    Certificates {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// Another process fetches the same file, and takes longer than one is willing to wait.
    #[error("`{name}` is being fetched by {holder}; waited {:.0} s for it", waited.as_secs_f64())]
    Busy {
        /// What was asked for.
        name: String,
        /// Which process, where, and how far it is.
        holder: String,
        /// For how long.
        waited: Duration,
    },
    /// pip was asked and failed.
    #[error("pip could not download `{package}`: {said}")]
    Pip {
        /// `NAME==VERSION`.
        package: String,
        /// pip's own words.
        said: String,
        /// Whether the index was reached and does not have that wheel.
        absent: bool,
    },
    /// pip took longer than allowed.
    #[error("pip did not finish downloading `{package}` within {} s", limit.as_secs())]
    PipTimeout {
        /// `NAME==VERSION`.
        package: String,
        /// The limit.
        limit: Duration,
    },
    /// There is no python3 to ask.
    #[error("`{package}` needs `python3` with pip, and running it failed: {reason}")]
    NoPython {
        /// `NAME==VERSION`.
        package: String,
        /// What the system said.
        reason: String,
    },
    /// A wheel without that file.
    #[error("`{package}` has no file `{member}`{near}")]
    Member {
        /// `NAME==VERSION`.
        package: String,
        /// The path in the wheel.
        member: String,
        /// Similar ones.
        near: String,
    },
    /// A wheel that is not a zip archive, or a damaged one.
    #[error("the wheel of `{package}` cannot be read: {reason}")]
    Wheel {
        /// `NAME==VERSION`.
        package: String,
        /// What is wrong.
        reason: String,
    },
    /// The network is needed and was ruled out.
    #[error("`{name}` is not here, and `--offline` rules out fetching it from {}", needed.join(", "))]
    Offline {
        /// What was asked for.
        name: String,
        /// The places that were not asked.
        needed: Vec<String>,
    },
    /// Every place failed.
    #[error("`{name}` could not be fetched; tried{}", listed(tried))]
    Nowhere {
        /// What was asked for.
        name: String,
        /// Each place's failure, in the order tried.
        tried: Vec<Error>,
    },
    /// An entry without a place to get it from.
    #[error("`{name}` names no place to fetch it from")]
    NoSource {
        /// What was asked for.
        name: String,
    },
    /// A file that cannot be read from afar: it is inside a package.
    #[error("`{name}` is on no server that could be asked for parts of it")]
    NotRemote {
        /// What was asked for.
        name: String,
    },
    /// A repository of which no one file can be meant.
    #[error(
        "`{repository}` has {}", if candidates.is_empty() { "no checkpoint in it".to_owned() } else {
            format!("several checkpoints: {}", candidates.join(", "))
        }
    )]
    NoCheckpoint {
        /// `hf:org/repo@revision`.
        repository: String,
        /// The files that could be meant.
        candidates: Vec<String>,
    },
    /// A lock file with a line that says nothing.
    #[error("`{}` line {line}: {reason}", file.display())]
    Lock {
        /// The lock file.
        file: PathBuf,
        /// Counted from 1.
        line: usize,
        /// What is wrong, and what is allowed.
        reason: String,
    },
    /// A cached file that is no longer the file it was.
    #[error("`{}` in the cache is damaged: expected SHA-256 {expected}, found {found}", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// The digest it is kept under.
        expected: Sha256,
        /// What it hashes to now.
        found: Sha256,
    },
    /// More bytes than the file system has.
    #[error("there is no room for them in `{}`: {needed} bytes needed, {free} free", folder.display())]
    NoRoom {
        /// Where they would be written.
        folder: PathBuf,
        /// Bytes that would be written.
        needed: u64,
        /// Bytes that there are.
        free: u64,
    },
    /// Neither `ZOO_HOME` nor a home directory is set.
    #[error("no place for the cache: neither `ZOO_HOME` nor a home directory is set")]
    NoHome,
    /// Nothing in the cache answers to this.
    #[error("nothing in the cache is called `{wanted}`")]
    NotCached {
        /// A name, file name or digest.
        wanted: String,
    },
    /// The file is the one that was meant, and no checkpoint that can be converted.
    #[error("`{name}` came whole, and cannot be converted: {reason}")]
    Unreadable {
        /// What was asked for.
        name: String,
        /// What is wrong with it.
        reason: Box<crate::checkpoint::Error>,
    },
    /// Ctrl-C.
    #[error("interrupted while fetching `{name}`; what has arrived is kept, run the same again to resume")]
    Interrupted {
        /// What was asked for.
        name: String,
    },
    /// The disk.
    #[error(transparent)]
    File(#[from] crate::fs::Error),
}

fn listed(tried: &[Error]) -> String {
    tried.iter().fold(String::new(), |mut text, error| {
        let _ = write!(text, "\n- {error}");
        text
    })
}

impl Error {
    /// What every place's failure comes to; `needed` are those that `--offline` kept from being asked. One
    /// that says it all stands alone.
    pub(super) fn of_attempts(name: &str, mut tried: Vec<Error>, needed: Vec<String>) -> Self {
        if !needed.is_empty() {
            tried.push(Error::Offline { name: name.to_owned(), needed });
        }
        match tried.as_slice() {
            [Error::Offline { .. }] => {}
            [only] if only.class() == Class::BadInput => {}
            _ => return Error::Nowhere { name: name.to_owned(), tried },
        }
        tried.pop().unwrap_or_else(|| Error::NoSource { name: name.to_owned() })
    }

    /// Whether a place answered, and with something that is not the file.
    fn refutes(&self) -> bool {
        !matches!(self, Error::File(_)) && self.class() == Class::BadInput
    }
}

impl Classify for Error {
    fn class(&self) -> Class {
        match self {
            Error::Mirror { .. } => Class::Usage,
            Error::Source { .. }
            | Error::Insecure { .. }
            | Error::Mismatch { .. }
            | Error::Tensors { .. }
            | Error::NotLocked { .. }
            | Error::Size { .. }
            | Error::Disagree { .. }
            | Error::WebPage { .. }
            | Error::Member { .. }
            | Error::Wheel { .. }
            | Error::NoSource { .. }
            | Error::NotRemote { .. }
            | Error::NoCheckpoint { .. }
            | Error::Lock { .. }
            | Error::Damaged { .. }
            | Error::NotCached { .. } => Class::BadInput,
            Error::Pip { absent, .. } if *absent => Class::BadInput,
            Error::Status { .. }
            | Error::Transport { .. }
            | Error::Certificates { .. }
            | Error::Busy { .. }
            | Error::Pip { .. }
            | Error::PipTimeout { .. }
            | Error::NoPython { .. }
            | Error::Offline { .. }
            | Error::NotAccepted { .. }
            | Error::NoRoom { .. }
            | Error::NoHome => Class::World,
            // A file that is not what it says outweighs a server that does not answer; a mirror without the
            // file does not.
            Error::Nowhere { tried, .. } => {
                if tried.iter().any(Error::refutes) {
                    Class::BadInput
                } else {
                    Class::World
                }
            }
            Error::Interrupted { .. } => Class::Interrupted,
            Error::Unreadable { reason, .. } => reason.class(),
            Error::File(error) => error.class(),
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Error::Insecure { .. } => Some("use the https: address, or give the file's `sha256`".into()),
            Error::Mismatch { origin, .. } if origin.contains("zoo.lock") => {
                Some("if the file was changed on purpose, take its line out of that lock file".into())
            }
            Error::Tensors { .. } => Some("one of them is of other weights: find out which is right".into()),
            Error::NotAccepted { name, .. } => Some(format!(
                "`zoo fetch {name} --accept-hub` takes it; every report then says that the page's own file was not seen"
            )),
            Error::NotLocked { name, .. } => {
                Some(format!("`zoo lock {name}` writes what pins it; the registry may have moved since"))
            }
            Error::Mismatch { .. } | Error::Size { .. } => {
                Some("nothing was kept; the place may serve another version, or a damaged one".into())
            }
            Error::Disagree { .. } => Some("find out which is right, and take the other out".into()),
            Error::WebPage { .. } => Some("a login page or proxy may stand in between".into()),
            Error::Transport { reason, .. } if transport::is_certificate(reason) => Some(
                "if your network's own authority signs it, name its certificate (PEM) in SSL_CERT_FILE"
                    .into(),
            ),
            Error::Transport { reason: said, .. } | Error::Status { status: said, .. }
                if transport::is_proxy_password(said) =>
            {
                Some("give the proxy's user and password: HTTPS_PROXY=http://USER:PASSWORD@HOST:PORT".into())
            }
            Error::Certificates { .. } => Some("give a PEM file of certificates, or unset it".into()),
            Error::Busy { .. } => Some("`--wait` says how long to wait, such as `--wait 2h`".into()),
            Error::Pip { said, .. } if said.contains("No space left") => {
                Some("make room where ZOO_HOME is, or set it to a folder on a larger disk".into())
            }
            Error::NoPython { .. } => Some("install python3 and pip (on Debian: python3-pip)".into()),
            Error::Offline { .. } => Some("run it once without `--offline`, or name a `--mirror`".into()),
            Error::Nowhere { tried, .. } => {
                // What can be done at once comes before what may be wrong.
                let offered = tried.iter().find(|e| matches!(e, Error::NotAccepted { .. }));
                let hint = offered.and_then(Classify::hint).or_else(|| tried.iter().find_map(Classify::hint));
                hint.or_else(|| Some("check the network, or name a `--mirror`".into()))
            }
            Error::Damaged { .. } => Some("`zoo cache verify --repair` replaces damaged files".into()),
            Error::NoCheckpoint { repository, candidates } if !candidates.is_empty() => {
                Some(format!("name one of them: `{repository}/FILE`"))
            }
            Error::NotRemote { name } => Some(format!("fetch it first: `zoo fetch {name}`")),
            Error::NoRoom { .. } => Some(
                "free some space, point ZOO_HOME at a larger disk, or choose fewer with `--where`".into(),
            ),
            Error::NoHome => Some("set ZOO_HOME to a folder for downloaded files".into()),
            Error::NotCached { .. } => Some("`zoo cache ls` lists what there is".into()),
            Error::Unreadable { reason, .. } => reason.hint(),
            Error::File(error) => error.hint(),
            _ => None,
        }
    }
}
