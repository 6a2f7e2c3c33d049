//! How many connections a file is worth: what the user says, or as many as are faster, by measuring. In: bytes and the
//! clock. Out: when to change. Asked by downloads.

use std::time::{Duration, Instant};

/// Connections where several are faster: with more, servers begin to refuse.
const SEVERAL: usize = 4;
/// Less left than this is not worth another connection.
const MIN_SPLIT_LEN: u64 = 32 << 20;
/// One connection is watched for so long before several are tried, and they for so long again.
const SAMPLE_INTERVAL: Duration = Duration::from_secs(2);
/// A download that ends within this time anyway is left alone.
const MIN_TIME_LEFT: Duration = Duration::from_secs(4);
/// Several must be so many times as fast as one to be kept.
const MIN_GAIN: f64 = 1.15;

/// The number of connections, and the reason for it.
#[derive(Debug)]
pub(super) struct Pace {
    state: State,
    since: Instant,
    /// Bytes that were here then.
    from: u64,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum State {
    /// One connection, watched.
    One,
    /// Several are tried; one brought so many bytes a second.
    Trying(f64),
    /// So many for good.
    Settled(usize),
    /// So many are asked for, once it is known that the file can be had in parts.
    Asked(usize),
}

impl Pace {
    /// `asked`: the user's number.
    pub(super) fn new(asked: Option<usize>) -> Self {
        let state = match asked {
            None => State::One,
            Some(0 | 1) => State::Settled(1),
            Some(n) => State::Asked(n),
        };
        Pace { state, since: Instant::now(), from: 0 }
    }

    /// How many, where it is more than one.
    pub(super) fn several(&self) -> Option<usize> {
        match self.state {
            State::Trying(_) => Some(SEVERAL),
            State::Settled(n) if n > 1 => Some(n),
            _ => None,
        }
    }

    /// Bytes begin to arrive, after `done`.
    pub(super) fn begin(&mut self, done: u64) {
        (self.since, self.from) = (Instant::now(), done);
    }

    fn rate(&self, done: u64) -> f64 {
        done.saturating_sub(self.from) as f64 / self.since.elapsed().as_secs_f64().max(1e-3)
    }

    /// Asked while one connection brings bytes: whether to go over to several.
    pub(super) fn wants_several(&mut self, done: u64, total: u64) -> bool {
        let left = total.saturating_sub(done);
        match self.state {
            State::Asked(n) => {
                self.state = State::Settled(n);
                left > 0
            }
            State::One if left >= MIN_SPLIT_LEN && self.since.elapsed() >= SAMPLE_INTERVAL => {
                let rate = self.rate(done);
                let worth = left as f64 > rate * MIN_TIME_LEFT.as_secs_f64();
                if worth {
                    self.state = State::Trying(rate);
                }
                worth
            }
            _ => false,
        }
    }

    /// Asked while several connections bring bytes: whether to go back to one. Counts from the first byte on.
    pub(super) fn wants_one(&mut self, done: u64) -> bool {
        let State::Trying(one) = self.state else { return false };
        if self.since.elapsed() < SAMPLE_INTERVAL {
            return false;
        }
        let faster = self.rate(done) >= one * MIN_GAIN;
        self.state = State::Settled(if faster { SEVERAL } else { 1 });
        !faster
    }

    /// The server does not take several.
    pub(super) fn refuse_several(&mut self) {
        self.state = State::Settled(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As if `seconds` had passed since the last beginning.
    fn later(pace: &mut Pace, seconds: u64) {
        pace.since = pace.since.checked_sub(Duration::from_secs(seconds)).unwrap();
    }

    #[test]
    fn several_are_tried_when_one_is_slow_and_kept_when_they_are_faster() {
        for (rate, kept) in [(12 << 20, Some(SEVERAL)), (10 << 20, None)] {
            let mut pace = Pace::new(None);
            let total = 1 << 30;
            pace.begin(0);
            assert!(!pace.wants_several(1 << 20, total) && pace.several().is_none());
            later(&mut pace, 3);
            assert!(pace.wants_several(30 << 20, total), "10 MB a second, and 100 s to go");
            assert_eq!(pace.several(), Some(SEVERAL));
            pace.begin(30 << 20);
            assert!(!pace.wants_one(31 << 20), "not yet");
            later(&mut pace, 3);
            assert_eq!(pace.wants_one((30 << 20) + 3 * rate), kept.is_none());
            assert_eq!(pace.several(), kept);
            later(&mut pace, 60);
            assert!(!pace.wants_several(50 << 20, total), "it is settled");
        }
    }

    #[test]
    fn a_file_that_is_nearly_here_is_left_alone() {
        let mut pace = Pace::new(None);
        pace.begin(0);
        later(&mut pace, 3);
        assert!(!pace.wants_several(300 << 20, 310 << 20), "10 MB left");
        assert!(!pace.wants_several(300 << 20, 400 << 20), "one second left");
    }

    #[test]
    fn what_the_user_says_holds() {
        let mut pace = Pace::new(Some(3));
        assert_eq!(pace.several(), None, "first the head of the file says whether it can be had in parts");
        assert!(pace.wants_several(1, 100));
        assert_eq!(pace.several(), Some(3));
        pace.refuse_several();
        assert_eq!(pace.several(), None);
        let mut one = Pace::new(Some(1));
        later(&mut one, 3);
        assert!(!one.wants_several(1 << 20, 1 << 40));
    }
}
