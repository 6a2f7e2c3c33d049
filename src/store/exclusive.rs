//! One writer a file, across threads, processes and the machines of a cluster: a claim, which is a file that one of them
//! can create, with a counter in it that its holder keeps raising. In: the claim's path and the work. Out: the work's
//! result. Called by all that write into the cache.
//!
//! Claims spare work and nothing more. What is written is right without them (files under names of their own, digests,
//! renames), since neither locks nor clocks nor process numbers can be trusted on a file system that many machines share.
//! Hence a holder is held for dead when its counter has stood still for [`DEAD_AFTER`] *on the watcher's own clock*; a
//! process number is looked at only where it is of this machine, this boot and this namespace.

use std::fs::{File, OpenOptions};
use std::hash::{BuildHasher, Hasher};
use std::io::{ErrorKind, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use super::error::{Error, Result};
use super::progress::{Event, FetchProgress};
use crate::fs;

/// Between two beats of a holder.
const BEAT: Duration = Duration::from_secs(1);
/// So long without a beat, and the holder is held for dead.
const DEAD_AFTER: Duration = Duration::from_secs(6);
/// Between two looks at another's claim, at first and later.
const POLL_INTERVALS: [Duration; 2] = [Duration::from_millis(50), Duration::from_millis(250)];
/// Between two notes about who is waited for.
const NOTE_INTERVAL: Duration = Duration::from_secs(10);
/// Bytes of a claim, whatever is in it: on a full disk it can still be overwritten.
const CLAIM_LEN: usize = 2048;

/// What a claim's holder says of itself.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Holder {
    /// Random: no two claims have the same.
    identity: String,
    /// The machine's name.
    host: String,
    pid: u32,
    /// What tells whether that number means anything here.
    process: Process,
    /// What it is fetching.
    name: String,
    /// Raised with every beat.
    beat: u64,
    done: u64,
    /// 0 where it is not known.
    total: u64,
}

/// Where a process number counts, and since when it is this process's.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Process {
    boot: String,
    namespace: String,
    started: String,
}

/// What is known while another has the claim.
pub(super) struct Waiting {
    /// Whether it is time to say so: at first, and every few seconds.
    pub(super) is_due: bool,
    /// Who has it; nothing while that cannot be read.
    holder: Option<Holder>,
    /// For how long it has been waited.
    pub(super) waited: Duration,
}

/// A claim that is held; dropped, it is free.
pub(super) struct Claim {
    path: PathBuf,
    identity: String,
    progress: Arc<[AtomicU64; 2]>,
    stop: Option<Sender<()>>,
    beating: Option<JoinHandle<()>>,
}

/// Runs `work` while holding the claim at `path`. While another holds it, `waiting` is called several times a second; its
/// error ends the wait.
pub(super) fn with<T>(
    path: &Path,
    waiting: impl FnMut(&Waiting) -> Result<()>,
    work: impl FnOnce() -> Result<T>,
) -> Result<T> {
    claimed(path, "", waiting, |_| work())
}

/// The same for work that takes long: `name` and its progress are shown to those who wait.
pub(super) fn claimed<T>(
    path: &Path,
    name: &str,
    mut waiting: impl FnMut(&Waiting) -> Result<()>,
    work: impl FnOnce(&Claim) -> Result<T>,
) -> Result<T> {
    let (started, mut said) = (Instant::now(), None);
    let mut watch = Watch::default();
    loop {
        if let Some(claim) = Claim::take(path, name)? {
            return work(&claim);
        }
        let seen = read(path);
        if watch.is_dead(&seen) {
            take_over(path, &seen);
            continue;
        }
        let waited = started.elapsed();
        let is_due = said.is_none_or(|at: Instant| at.elapsed() >= NOTE_INTERVAL);
        if is_due {
            said = Some(Instant::now());
        }
        waiting(&Waiting { is_due, holder: holder(&seen), waited })?;
        let [soon, later] = POLL_INTERVALS;
        std::thread::sleep(if waited < Duration::from_secs(2) { soon } else { later });
    }
}

/// Whether somebody holds the claim at `path`: known at once for a process of this machine, else after watching it for a
/// few seconds.
pub(super) fn is_held(path: &Path) -> bool {
    let mut watch = Watch::default();
    loop {
        let seen = read(path);
        if seen.is_empty() && !path.exists() || watch.is_dead(&seen) {
            return false;
        }
        if watch.beats > 0 || holder(&seen).is_some_and(|h| is_here(&h.process)) {
            return true;
        }
        std::thread::sleep(POLL_INTERVALS[1]);
    }
}

impl Claim {
    /// Creates the claim, which one process can; `None` when it is another's.
    fn take(path: &Path, name: &str) -> Result<Option<Self>> {
        let mut file = match OpenOptions::new().write(true).create_new(true).open(path) {
            Ok(file) => file,
            Err(e) if e.kind() == ErrorKind::AlreadyExists => return Ok(None),
            Err(e) => return Err(fs::at("create", path)(e).into()),
        };
        let pid = std::process::id();
        let mut own = Holder {
            identity: identity(),
            host: host(),
            pid,
            process: Process { boot: boot(), namespace: namespace(), started: start_of(pid) },
            name: name.chars().take(80).collect(),
            ..Holder::default()
        };
        let identity = own.identity.clone();
        let progress = Arc::new([AtomicU64::new(0), AtomicU64::new(0)]);
        let (stop, stopped) = channel();
        let mut claim = Claim {
            path: path.to_owned(),
            identity,
            progress: progress.clone(),
            stop: Some(stop),
            beating: None,
        };
        // From here on dropping the claim removes its file.
        write(&mut file, &own).map_err(fs::at("write", path))?;
        drop(file);
        let at = path.to_owned();
        claim.beating = Some(std::thread::spawn(move || {
            while stopped.recv_timeout(BEAT) == Err(RecvTimeoutError::Timeout) {
                own.beat += 1;
                let [done, total] = &*progress;
                (own.done, own.total) = (done.load(Ordering::Relaxed), total.load(Ordering::Relaxed));
                if !beat(&at, &own) {
                    return;
                }
            }
        }));
        Ok(Some(claim))
    }

    /// Random, and nobody else's.
    pub(super) fn identity(&self) -> &str {
        &self.identity
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(beating) = self.beating.take() {
            let _ = beating.join();
        }
        // Not another's, who held this process for dead. An empty one is of a full disk, and ours.
        let seen = read(&self.path);
        if seen.is_empty() || holder(&seen).is_some_and(|h| h.identity == self.identity) {
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// Hands progress on, and to those who wait for the claim.
pub(super) struct ForwardedProgress<'a> {
    pub(super) progress: &'a dyn FetchProgress,
    pub(super) claim: &'a Claim,
}

impl FetchProgress for ForwardedProgress<'_> {
    fn event(&self, event: Event<'_>) {
        let [done, total] = &*self.claim.progress;
        match event {
            Event::Started { done: bytes, total: all, .. } => {
                done.store(bytes, Ordering::Relaxed);
                total.store(all.unwrap_or(0), Ordering::Relaxed);
            }
            Event::Advanced { done: bytes, .. } => done.store(bytes, Ordering::Relaxed),
            _ => {}
        }
        self.progress.event(event);
    }

    fn cancelled(&self) -> bool {
        self.progress.cancelled()
    }
}

/// Watches a claim's bytes change.
#[derive(Default)]
struct Watch {
    last: Option<(Vec<u8>, Instant)>,
    beats: u32,
}

impl Watch {
    /// Whether the holder of a claim that reads so now is dead.
    fn is_dead(&mut self, seen: &[u8]) -> bool {
        match &self.last {
            Some((last, since)) if last == seen => {
                if since.elapsed() >= DEAD_AFTER {
                    return true;
                }
            }
            last => {
                self.beats += u32::from(last.is_some());
                self.last = Some((seen.to_owned(), Instant::now()));
            }
        }
        holder(seen).is_some_and(|h| is_gone(&h))
    }
}

/// Removes the claim that reads `seen`, and no other: what another watcher has made in its place meanwhile is put back.
fn take_over(path: &Path, seen: &[u8]) {
    let aside = path.with_extension(format!("{}.dead", identity()));
    if fs::rename(path, &aside).is_err() {
        return;
    }
    let moved = holder(&read(&aside)).map(|h| h.identity);
    if moved != holder(seen).map(|h| h.identity) {
        let _ = std::fs::hard_link(&aside, path);
    }
    let _ = fs::remove_file(&aside);
}

/// Writes a beat into the claim if it is still the holder's own: through one descriptor, so that a claim put in its place
/// is not written over. Closing the file is what makes network file systems show it to others.
fn beat(path: &Path, own: &Holder) -> bool {
    let Ok(mut file) = OpenOptions::new().read(true).write(true).open(path) else { return false };
    let mut seen = Vec::new();
    let is_own = Read::by_ref(&mut file).take(CLAIM_LEN as u64).read_to_end(&mut seen).is_ok()
        && holder(&seen).is_some_and(|h| h.identity == own.identity);
    if is_own {
        // A beat that fails is made up for by the next.
        let _ = write(&mut file, own);
    }
    is_own
}

fn write(file: &mut File, holder: &Holder) -> std::io::Result<()> {
    file.seek(SeekFrom::Start(0))?;
    file.write_all(&content(holder))
}

/// A claim's bytes, of the same length always.
fn content(holder: &Holder) -> Vec<u8> {
    let mut text = serde_json::to_vec(holder).unwrap_or_default();
    text.resize(CLAIM_LEN, b' ');
    text
}

/// A claim's bytes; none where it cannot be read just now.
fn read(path: &Path) -> Vec<u8> {
    fs::read(path, CLAIM_LEN as u64).unwrap_or_default()
}

fn holder(bytes: &[u8]) -> Option<Holder> {
    serde_json::from_slice(bytes).ok()
}

fn identity() -> String {
    // Seeded by the system, differently each time.
    let random = || std::collections::hash_map::RandomState::new().build_hasher().finish();
    format!("{:016x}", random())
}

/// The machine's name, for people.
fn host() -> String {
    let name = ["/proc/sys/kernel/hostname", "/etc/hostname"].iter().find_map(|path| text(path));
    name.unwrap_or_else(|| "another machine".to_owned())
}

fn boot() -> String {
    text("/proc/sys/kernel/random/boot_id").unwrap_or_default()
}

fn namespace() -> String {
    std::fs::read_link("/proc/self/ns/pid").map(|p| p.display().to_string()).unwrap_or_default()
}

fn text(path: &str) -> Option<String> {
    let text = String::from_utf8(fs::read(Path::new(path), 4096).ok()?).ok()?;
    let text: String = text.trim().chars().take(64).collect();
    (!text.is_empty()).then_some(text)
}

/// When a process began, in ticks since boot: its number alone may be another's by now. Empty where that is not known, and
/// for one that has ended and only waits to be asked how.
fn start_of(pid: u32) -> String {
    let stat = fs::read(Path::new(&format!("/proc/{pid}/stat")), 4096).unwrap_or_default();
    let stat = String::from_utf8_lossy(&stat).into_owned();
    // The name before it may hold anything.
    let fields: Vec<_> = stat.rsplit_once(") ").map_or("", |(_, rest)| rest).split(' ').collect();
    match (fields.first(), fields.get(19)) {
        (Some(&("Z" | "X")), _) | (_, None) => String::new(),
        (_, Some(started)) => (*started).to_owned(),
    }
}

/// Whether a process number of `process` means anything here.
fn is_here(process: &Process) -> bool {
    let known = !process.boot.is_empty() && !process.namespace.is_empty() && !process.started.is_empty();
    known && process.boot == boot() && process.namespace == namespace()
}

/// Whether it is sure that the holder has ended.
#[cfg(unix)]
fn is_gone(holder: &Holder) -> bool {
    let pid = i32::try_from(holder.pid).ok().and_then(rustix::process::Pid::from_raw);
    let Some(pid) = pid.filter(|_| is_here(&holder.process)) else { return false };
    let started = start_of(holder.pid);
    match rustix::process::test_kill_process(pid) {
        Err(rustix::io::Errno::SRCH) => true,
        // What other users' processes are may be hidden.
        Err(_) => false,
        Ok(()) => started != holder.process.started,
    }
}

#[cfg(not(unix))]
fn is_gone(_: &Holder) -> bool {
    false
}

/// While another process fetches the same file: who and how far, and when that is enough.
pub(super) fn busy(name: &str, waiting: &Waiting) -> Error {
    Error::Busy { name: name.to_owned(), holder: waiting.holder(), waited: waiting.waited }
}

impl Waiting {
    /// Who has it, and how far it is.
    pub(super) fn holder(&self) -> String {
        self.holder.as_ref().map_or_else(|| "an unknown process".to_owned(), Holder::to_string)
    }
}

impl std::fmt::Display for Holder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mb = |n: u64| n as f64 / 1e6;
        write!(f, "process {} on {}", self.pid, self.host)?;
        match (self.done, self.total) {
            (0, 0) => Ok(()),
            (done, 0) => write!(f, ", which has {:.1} MB", mb(done)),
            (done, total) => write!(f, ", which has {:.1} of {:.1} MB", mb(done), mb(total)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_works_at_a_time_and_the_claim_goes() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x.claim");
        let (inside, most) = (AtomicU64::new(0), AtomicU64::new(0));
        std::thread::scope(|scope| {
            for _ in 0..6 {
                scope.spawn(|| {
                    with(
                        &path,
                        |_| Ok(()),
                        || {
                            most.fetch_max(inside.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                            std::thread::sleep(Duration::from_millis(20));
                            inside.fetch_sub(1, Ordering::SeqCst);
                            Ok(())
                        },
                    )
                    .unwrap();
                });
            }
        });
        assert_eq!(most.into_inner(), 1);
        assert!(fs::list(dir.path()).unwrap().is_empty());
    }

    fn left(path: &Path, change: impl FnOnce(&mut Holder)) -> Holder {
        let pid = std::process::id();
        let process = Process { boot: boot(), namespace: namespace(), started: start_of(pid) };
        let mut holder = Holder { identity: "i".into(), host: "h".into(), pid, process, ..Holder::default() };
        change(&mut holder);
        fs::write_atomic_unsynced(path, &content(&holder)).unwrap();
        holder
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn a_process_that_ended_here_is_dead_at_once_and_one_elsewhere_is_watched() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x.claim");
        let mut ended = std::process::Command::new("true").spawn().unwrap();
        let pid = ended.id();
        ended.wait().unwrap();
        assert!(is_gone(&left(&path, |h| h.pid = pid)));
        assert!(is_gone(&left(&path, |h| h.process.started = "1".into())), "its number is another's now");
        assert!(!is_gone(&left(&path, |_| {})));
        // Of another machine or namespace the number says nothing.
        assert!(!is_gone(&left(&path, |h| (h.pid, h.process.boot) = (pid, "other".into()))));
        assert!(!is_gone(&left(&path, |h| (h.pid, h.process.namespace) = (pid, "other".into()))));
        let mut waits = 0;
        let result = with(
            &path,
            |_| {
                waits += 1;
                Err(Error::NoHome)
            },
            || Ok(()),
        );
        assert!(result.is_err() && waits == 1);
        left(&path, |h| h.pid = pid);
        with(&path, |_| Err(Error::NoHome), || Ok(())).unwrap();
    }

    #[test]
    fn a_claim_made_anew_meanwhile_is_put_back() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x.claim");
        left(&path, |_| {});
        let seen = read(&path);
        let fresh = left(&path, |h| h.identity = "fresh".into());
        take_over(&path, &seen);
        assert_eq!(holder(&read(&path)), Some(fresh));
        take_over(&path, &read(&path));
        assert!(fs::list(dir.path()).unwrap().is_empty());
    }

    #[test]
    fn a_holder_whose_claim_is_anothers_leaves_it_alone() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x.claim");
        let claim = Claim::take(&path, "m").unwrap().unwrap();
        let other = left(&path, |_| {});
        let own = Holder { identity: claim.identity().into(), ..Holder::default() };
        assert!(!beat(&path, &own));
        drop(claim);
        assert_eq!(holder(&read(&path)), Some(other));
    }
}
