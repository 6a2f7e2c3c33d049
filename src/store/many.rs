//! Several files at once. In: requests, and how many are worked on at a time. Out: each one's result, in the order of the
//! requests. Called by `zoo fetch` and `zoo lock`.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use super::progress::Event;
use super::{Request, Store};
use crate::error::{Class, Error};

/// How several requests are worked on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Batch {
    /// How many at a time; at least one.
    pub jobs: usize,
    /// Begin the next ones also after one has failed.
    pub keep_going: bool,
}

impl Default for Batch {
    /// Enough at once to hide a server's latency, few enough to be polite.
    fn default() -> Self {
        Batch { jobs: 4, keep_going: false }
    }
}

impl Store {
    /// Runs `work` on every request, a few at a time, and tells the progress of each that is done. `None` is the result of
    /// what was not begun because another had failed; what is under way then is finished. Ctrl-C ends it, whatever `batch` says.
    pub fn each<T: Send>(
        &self,
        requests: &[Request],
        batch: Batch,
        work: impl Fn(usize, &Request) -> Result<T, Error> + Sync,
    ) -> Vec<Option<Result<T, Error>>> {
        let (next, stopped) = (AtomicUsize::new(0), AtomicBool::new(false));
        let worker = || {
            let mut done = Vec::new();
            while !stopped.load(Ordering::Relaxed) {
                let at = next.fetch_add(1, Ordering::Relaxed);
                let Some(request) = requests.get(at) else { break };
                let result = work(at, request);
                if let Err(error) = &result
                    && (!batch.keep_going || error.class() == Class::Interrupted)
                {
                    stopped.store(true, Ordering::Relaxed);
                }
                self.options.progress.event(Event::Settled { name: &request.name, ok: result.is_ok() });
                done.push((at, result));
            }
            done
        };
        let mut results: Vec<_> = requests.iter().map(|_| None).collect();
        let finished = std::thread::scope(|scope| {
            let threads = batch.jobs.clamp(1, requests.len().max(1));
            let threads: Vec<_> = (0..threads).map(|_| scope.spawn(worker)).collect();
            let joined =
                threads.into_iter().map(|t| t.join().unwrap_or_else(|p| std::panic::resume_unwind(p)));
            joined.flatten().collect::<Vec<_>>()
        });
        for (at, result) in finished {
            if let Some(slot) = results.get_mut(at) {
                *slot = Some(result);
            }
        }
        results
    }
}
