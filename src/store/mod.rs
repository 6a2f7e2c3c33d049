//! Where files are: sources, hashes, the cache.
//!
//! In: a [`Request`] made from a registry entry. Out: a checked file on disk, and for weights the
//! safetensors converted from it. A file is known by its SHA-256; whoever gives the bytes, mirror, server,
//! package index or another program's cache, is trusted with nothing.
//!
//! | file | what it does |
//! | --- | --- |
//! | `location` | the grammar of sources |
//! | `mirror` | other places of the same files |
//! | `expected`, `lock`, `pins`, `lock_check` | what a file must be, and who says so |
//! | `choice` | the page's file of a model's weights, or the hub's |
//! | `fetch`, `set` | from a request to a checked file, or several that belong together |
//! | `many`, `plan` | many requests at once, and what they would do |
//! | `http`, `segments`, `pip`, `hub`, `reuse` | the kinds of places |
//! | `transport`, `retry`, `pace` | requests, when they are made again, over how many connections |
//! | `partial` | a file that is arriving |
//! | `weights` | the safetensors made from a checked file |
//! | `remote`, `repository`, `heads` | a file on a server, in parts; what is in a repository of the hub; what addresses answer |
//! | `inventory`, `gc` | what is in the cache, what of it is worth keeping |
//! | `cache`, `exclusive` | folders, records, one writer a file in a cluster |

mod cache;
mod choice;
mod error;
mod exclusive;
mod expected;
mod fetch;
mod gc;
mod heads;
mod http;
mod hub;
mod inventory;
mod location;
mod lock;
mod lock_check;
mod many;
mod mirror;
mod pace;
mod partial;
mod pins;
mod pip;
mod plan;
mod progress;
mod remote;
mod repository;
mod retry;
mod reuse;
mod segments;
mod set;
mod transport;
mod weights;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use etcetera::BaseStrategy;

pub use cache::CacheRecord;
pub use choice::{PageFile, Prefer};
pub use error::{Error, Result};
pub use gc::{Tidy, UsedBy};
pub use heads::Head;
pub use hub::Hub;
pub use inventory::{Item, ItemKind, Repaired};
pub use location::{HubFile, HubRepo, Location, WheelFile};
pub use lock::{Lock, Pin};
pub use lock_check::{LockProblem, LockProblemKind, check_lock};
pub use many::Batch;
pub use mirror::Mirror;
pub use plan::{DownloadPlan, Here, PlannedFile, Room, Use};
pub use progress::{Event, FetchProgress, NullProgress};
pub use remote::RemoteFile;
pub use repository::{Repository, RepositoryFile};
pub use retry::RetryPolicy;
pub use reuse::OtherCaches;
pub use set::{FetchedSet, SetFile};
pub use transport::check_certificates;
pub use weights::StoredWeights;

use crate::hash::{HashPrefix, Sha256};
use crate::registry::{DatasetSource, Entry, Source};

/// How a store is set up.
pub struct Options {
    /// The cache's folder; `ZOO_HOME`, else `zoo` in the user's cache folder.
    pub home: Option<PathBuf>,
    /// Ask no network.
    pub offline: bool,
    /// Places to ask first.
    pub mirrors: Vec<Mirror>,
    /// Lock files whose word counts after the shipped one.
    pub locks: Vec<PathBuf>,
    /// Who follows the work.
    pub progress: Arc<dyn FetchProgress>,
    /// When a download is tried again, and when it is given up.
    pub retry: RetryPolicy,
    /// Connections at once for a large file; nothing: as many as make it faster.
    pub connections: Option<usize>,
    /// How long to wait for another process that fetches the same file.
    pub wait: Duration,
    /// How long pip may take for a wheel.
    pub pip_limit: Duration,
    /// torch's and Hugging Face's caches.
    pub other_caches: OtherCaches,
    /// Where `hf:` sources are asked.
    pub hub: Hub,
    /// Take only files that one of `locks` pins.
    pub locked: bool,
    /// Which of a model's two files is asked for first: its page's or the hub's.
    pub prefer: Prefer,
    /// Take the hub's file also where nothing is on record of its tensors.
    pub accept_hub: bool,
}

/// How long to wait for another process, where nothing else is said: the largest file over a slow line.
const DEFAULT_WAIT: Duration = Duration::from_secs(3600);

impl Default for Options {
    fn default() -> Self {
        Options {
            home: None,
            offline: false,
            mirrors: Vec::new(),
            locks: Vec::new(),
            progress: Arc::new(NullProgress),
            retry: RetryPolicy::default(),
            connections: None,
            wait: DEFAULT_WAIT,
            pip_limit: Duration::from_secs(15 * 60),
            other_caches: OtherCaches::default(),
            hub: Hub::default(),
            locked: false,
            prefer: Prefer::default(),
            accept_hub: false,
        }
    }
}

impl Options {
    /// What the environment says: `ZOO_HOME`, `TORCH_HOME`, `HF_HOME`, `HF_ENDPOINT`, `HF_TOKEN`.
    pub fn from_env() -> Self {
        let home = std::env::var_os("ZOO_HOME").filter(|v| !v.is_empty()).map(PathBuf::from);
        Options { home, other_caches: OtherCaches::from_env(), hub: Hub::from_env(), ..Options::default() }
    }
}

impl Options {
    /// The folder that the cache will be in; nothing is made.
    ///
    /// # Errors
    /// No home directory, a working folder that is gone.
    pub fn home(&self) -> Result<PathBuf> {
        match &self.home {
            Some(home) => Ok(std::path::absolute(home).map_err(crate::fs::at("find", home))?),
            None => {
                let strategy = etcetera::choose_base_strategy().map_err(|_| Error::NoHome)?;
                Ok(strategy.cache_dir().join("zoo"))
            }
        }
    }
}

/// A file that is wanted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Request {
    /// How messages call it: the entry's name.
    pub name: String,
    /// Where it may be, the entry's first source first.
    pub sources: Vec<Source>,
    /// The entry's own word on its digest.
    pub sha256: Option<Sha256>,
    /// The first digits of the digest, from the file's name.
    pub prefix: Option<HashPrefix>,
    /// Bytes.
    pub size: Option<u64>,
    /// The hub's repository of the same weights, `ORG/REPO`, whose file is another.
    pub hub: Option<String>,
}

impl Request {
    /// What an entry's weights file must be.
    pub fn of(entry: &Entry) -> Self {
        Request {
            name: entry.name.clone(),
            sources: entry.sources.clone(),
            sha256: entry.zoo.sha256,
            prefix: entry.hash_prefix(),
            size: entry.zoo.size.or(entry.file_size).map(|n| n.0),
            hub: entry.zoo.hf_id.clone(),
        }
    }
}

impl Request {
    /// What the files of a dataset's source must be, for [`Store::fetch_set`].
    pub fn of_set(name: &str, source: &DatasetSource) -> Self {
        let known = source.files.iter().map(|f| Some((f.name(), f.sha256?))).collect::<Option<Vec<_>>>();
        let listed = known.filter(|files| !files.is_empty()).map(set::digest_of);
        let sizes = source.files.iter().map(|f| f.size).collect::<Option<Vec<_>>>();
        Request {
            name: name.to_owned(),
            sources: vec![source.url.clone()],
            sha256: listed.or(source.sha256),
            prefix: None,
            size: sizes.filter(|s| !s.is_empty()).map(|s| s.iter().sum()),
            hub: None,
        }
    }
}

/// How much of a digest was known before the file came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Strength {
    /// All 256 bits.
    Pinned,
    /// As many bits as the file's name has digits for.
    FileName(usize),
    /// None: it is pinned from now on.
    FirstSeen,
}

impl std::fmt::Display for Strength {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Strength::Pinned => f.write_str("256 bits, pinned"),
            Strength::FileName(bits) => write!(f, "{bits} bits, from the file name"),
            Strength::FirstSeen => f.write_str("0 bits, first seen and pinned now"),
        }
    }
}

/// How a file came to be in the cache.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// It was fetched whole.
    Fetched,
    /// It was here.
    Cached,
    /// A part was here from an earlier run.
    Resumed,
}

impl std::fmt::Display for Status {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Status::Fetched => "fetched",
            Status::Cached => "cached",
            Status::Resumed => "resumed",
        })
    }
}

/// A checked file in the cache.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fetched {
    /// Where it is.
    pub path: PathBuf,
    /// Where it came from.
    pub url: String,
    /// The source that it is pinned under: the registry's, or that of the hub's file.
    pub source: String,
    /// What it says of the file that the model's page names.
    pub page_file: PageFile,
    /// How many.
    pub bytes: u64,
    /// Of all bytes, computed from them just now.
    pub sha256: Sha256,
    /// How much of the digest was known beforehand.
    pub strength: Strength,
    /// How it came.
    pub status: Status,
}

/// The cache and the ways to fill it.
pub struct Store {
    options: Options,
    cache: cache::Cache,
    /// In the order their word counts; the user's own comes last and is read anew each time.
    locks: Vec<Lock>,
}

impl Store {
    /// Opens the cache, making its folders, and reads the locks.
    ///
    /// # Errors
    /// No home, a folder that cannot be made, a lock file that cannot be read.
    pub fn open(options: Options) -> Result<Self> {
        let home = options.home()?;
        let mut locks = vec![Lock::shipped()?];
        for path in &options.locks {
            locks.push(Lock::open(path)?);
        }
        Ok(Store { cache: cache::Cache::open(&home)?, options, locks })
    }

    /// The cache's folder.
    pub fn home(&self) -> &Path {
        self.cache.home()
    }
}
