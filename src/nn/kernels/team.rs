//! Threads that run one pass together: parked between passes, spinning for a moment at each barrier.
//!
//! In: a job that every member runs with its own number. Out: the job done by all. A pass has some eighty
//! barriers in a few milliseconds, and to wake a thread that sleeps takes as long as a small layer, so a member that
//! arrives early spins ([`MAX_SPINS`]) before it asks the kernel to sleep; on a machine that is busy with other things
//! it does sleep. Nothing is allocated after [`Team::new`]. Called by `nn::plan`.

#![allow(unsafe_code)]

use std::hint::spin_loop;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::JoinHandle;

/// Looks at a counter before a thread sleeps: about 250 µs, what the members of a team may differ by in a large layer.
const MAX_SPINS: usize = 6000;

/// A counter that threads wait for.
#[derive(Default)]
struct Gate {
    count: AtomicUsize,
    asleep: AtomicUsize,
    lock: Mutex<()>,
    bell: Condvar,
}

impl Gate {
    /// Moves the counter on and wakes who sleeps.
    fn open(&self) {
        self.count.fetch_add(1, SeqCst);
        // Either this sees the sleeper, or the sleeper, which says so first, sees the new count.
        if self.asleep.load(SeqCst) > 0 {
            drop(self.lock.lock().unwrap_or_else(PoisonError::into_inner));
            self.bell.notify_all();
        }
    }

    /// Waits until the counter is not `seen`.
    fn pass(&self, seen: usize) {
        for _ in 0..MAX_SPINS {
            if self.count.load(SeqCst) != seen {
                return;
            }
            spin_loop();
        }
        let mut guard = self.lock.lock().unwrap_or_else(PoisonError::into_inner);
        self.asleep.fetch_add(1, SeqCst);
        while self.count.load(SeqCst) == seen {
            guard = self.bell.wait(guard).unwrap_or_else(PoisonError::into_inner);
        }
        self.asleep.fetch_sub(1, SeqCst);
    }
}

/// Where the members of a team wait for each other.
pub struct Barrier {
    members: usize,
    arrived: AtomicUsize,
    gate: Gate,
    /// A member panicked: nobody may wait for it.
    broken: AtomicBool,
}

impl Barrier {
    /// Returns when every member has called it.
    ///
    /// # Panics
    /// Where another member has panicked.
    pub fn wait(&self) {
        let seen = self.gate.count.load(SeqCst);
        // Looked at only now: who breaks up says so before it moves the counter on, so a member either sees that
        // here or sees the counter move; with the look after the wait alone it could wait for ever.
        self.assert_whole();
        if self.arrived.fetch_add(1, SeqCst) + 1 == self.members {
            self.arrived.store(0, SeqCst);
            self.gate.open();
        } else {
            self.gate.pass(seen);
        }
        self.assert_whole();
    }

    fn assert_whole(&self) {
        assert!(!self.broken.load(SeqCst), "another thread of the pass has panicked");
    }

    fn break_up(&self) {
        self.broken.store(true, SeqCst);
        self.gate.open();
    }
}

/// A job as the helpers see it; it lives until the caller of [`Team::run`] has seen them all finish.
#[derive(Clone, Copy)]
struct Job(*const (dyn Fn(usize, &Barrier) + Sync));

// SAFETY: what it points to is `Sync`, and is not used beyond `Team::run`.
unsafe impl Send for Job {}

struct Shared {
    job: Mutex<Option<Job>>,
    start: Gate,
    finished: AtomicUsize,
    end: Gate,
    barrier: Barrier,
}

/// Some threads, the caller's the first of them.
pub struct Team {
    shared: Arc<Shared>,
    helpers: Vec<JoinHandle<()>>,
}

impl Team {
    /// A team of `members` with the caller; `None` where the system has no more threads.
    pub fn new(members: usize) -> Option<Self> {
        let barrier = Barrier {
            members: members.max(1),
            arrived: AtomicUsize::new(0),
            gate: Gate::default(),
            broken: AtomicBool::new(false),
        };
        let shared = Arc::new(Shared {
            job: Mutex::new(None),
            start: Gate::default(),
            finished: AtomicUsize::new(0),
            end: Gate::default(),
            barrier,
        });
        let mut team = Team { shared: Arc::clone(&shared), helpers: Vec::new() };
        for member in 1..members {
            let shared = Arc::clone(&shared);
            let helper = std::thread::Builder::new().spawn(move || help(&shared, member));
            // Dropping the team ends those that did start.
            team.helpers.push(helper.ok()?);
        }
        Some(team)
    }

    /// Members, the caller included.
    pub fn members(&self) -> usize {
        self.helpers.len() + 1
    }

    /// The helpers run `job` with their numbers from 1 on, the caller runs `own`, all with the barrier where they can
    /// wait for each other; returns when all have. One job at a time: a second caller would overwrite it.
    ///
    /// # Panics
    /// Where a member does.
    pub fn run(&mut self, job: &(dyn Fn(usize, &Barrier) + Sync), own: impl FnOnce(&Barrier)) {
        if self.helpers.is_empty() {
            return own(&self.shared.barrier);
        }
        // SAFETY: only the lifetime changes. Helpers call it between `start` and their step of `finished`,
        // and this function does not return, nor unwind, before all have taken that step.
        let job = unsafe {
            std::mem::transmute::<
                *const (dyn Fn(usize, &Barrier) + Sync + '_),
                *const (dyn Fn(usize, &Barrier) + Sync + 'static),
            >(job)
        };
        *self.shared.job.lock().unwrap_or_else(PoisonError::into_inner) = Some(Job(job));
        self.shared.finished.store(0, SeqCst);
        let seen = self.shared.end.count.load(SeqCst);
        self.shared.start.open();
        let result = catch_unwind(AssertUnwindSafe(|| own(&self.shared.barrier)));
        if result.is_err() {
            self.shared.barrier.break_up();
        }
        self.shared.end.pass(seen);
        if let Err(panic) = result {
            resume_unwind(panic);
        }
        self.shared.barrier.assert_whole();
    }
}

impl Drop for Team {
    fn drop(&mut self) {
        *self.shared.job.lock().unwrap_or_else(PoisonError::into_inner) = None;
        self.shared.start.open();
        for helper in self.helpers.drain(..) {
            // A helper catches its own panics.
            let _ = helper.join();
        }
    }
}

/// A helper's life.
fn help(shared: &Shared, member: usize) {
    let mut seen = 0;
    loop {
        shared.start.pass(seen);
        seen += 1;
        let job = *shared.job.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(Job(job)) = job else { return };
        // SAFETY: `Team::run` keeps the job alive until `finished` has counted this helper.
        let result = catch_unwind(AssertUnwindSafe(|| unsafe { (*job)(member, &shared.barrier) }));
        if result.is_err() {
            shared.barrier.break_up();
        }
        if shared.finished.fetch_add(1, SeqCst) + 2 == shared.barrier.members {
            shared.end.open();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_member_sees_what_the_others_did_before_the_barrier() {
        for members in 1..5 {
            let mut team = Team::new(members).unwrap();
            let counts: Vec<AtomicUsize> = (0..members).map(|_| AtomicUsize::new(0)).collect();
            for _ in 0..50 {
                let work = |member: usize, barrier: &Barrier| {
                    for round in 0..20 {
                        let before = counts[member].fetch_add(1, SeqCst);
                        barrier.wait();
                        assert!(counts.iter().all(|c| c.load(SeqCst) > before), "round {round}");
                        barrier.wait();
                    }
                };
                team.run(&work, |b| work(0, b));
            }
            assert!(counts.iter().all(|c| c.load(SeqCst) == 1000));
        }
    }

    #[test]
    fn a_panic_of_one_ends_the_pass_of_all() {
        for culprit in 0..3 {
            let mut team = Team::new(3).unwrap();
            let work = |member: usize, barrier: &Barrier| {
                assert!(member != culprit, "this one");
                barrier.wait();
                barrier.wait();
            };
            assert!(catch_unwind(AssertUnwindSafe(|| team.run(&work, |b| work(0, b)))).is_err());
        }
    }

    #[test]
    fn a_team_that_slept_wakes() {
        let mut team = Team::new(2).unwrap();
        let done = AtomicUsize::new(0);
        for _ in 0..3 {
            std::thread::sleep(std::time::Duration::from_millis(5));
            let work = |_: usize, _: &Barrier| {
                done.fetch_add(1, SeqCst);
            };
            team.run(&work, |_| ());
        }
        assert_eq!(done.load(SeqCst), 3);
    }
}
