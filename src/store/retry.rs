//! When a request is made again: how often, after what pause, and what counts as silence. In: a server's answers and the
//! options. Out: pauses. Called by downloads and by files read from afar.

use std::time::{Duration, Instant};

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::fmt::rfc2822;
use jiff::tz::TimeZone;
use reqwest::StatusCode;
use reqwest::header::{self, HeaderMap};

use super::transport::header_text;

/// When a download is tried again, and when it is given up.
#[derive(Clone, Copy, Debug)]
pub struct RetryPolicy {
    /// Failures in a row, without progress between them, before giving up.
    pub max_attempts: u32,
    /// The pause after the first failure; each further one doubles it.
    pub backoff: Duration,
    /// Silence that counts as a failure.
    pub stall_timeout: Duration,
}

impl Default for RetryPolicy {
    fn default() -> Self {
        RetryPolicy {
            max_attempts: 4,
            backoff: Duration::from_millis(500),
            stall_timeout: Duration::from_secs(20),
        }
    }
}

/// The longest pause that zoo chooses itself.
const MAX_BACKOFF: Duration = Duration::from_secs(60);
/// The longest that a server may ask to be left alone before zoo gives up instead of waiting.
pub(super) const MAX_RETRY_AFTER: Duration = Duration::from_secs(300);
/// Fewer bytes than these within the time are silence, and no progress.
pub(super) const MIN_PROGRESS: u64 = 1024;

impl RetryPolicy {
    /// The pause after so many failures in a row, at least one.
    pub(super) fn pause(&self, failures: u32) -> Duration {
        self.backoff.saturating_mul(1 << failures.saturating_sub(1).min(6)).min(MAX_BACKOFF)
    }
}

/// Whether the same request may be answered otherwise later.
pub(super) fn is_transient(status: StatusCode) -> bool {
    status.is_server_error() || matches!(status, StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_MANY_REQUESTS)
}

/// `Retry-After`: seconds, or a date, which counts from the server's own `Date` where it says one, so that the clocks of
/// the two need not agree. A date that has passed is no pause.
pub(super) fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let text = |name| header_text(headers, name).map(str::trim);
    let after = text(header::RETRY_AFTER)?;
    if let Ok(seconds) = after.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let now = text(header::DATE).and_then(http_date).unwrap_or_else(Timestamp::now);
    let seconds = http_date(after)?.as_second() - now.as_second();
    Some(Duration::from_secs(u64::try_from(seconds).unwrap_or(0)))
}

/// The three forms of a date in HTTP (RFC 9110, 5.6.7): `Sun, 06 Nov 1994 08:49:37 GMT`, `Sunday, 06-Nov-94 08:49:37 GMT`
/// and `Sun Nov  6 08:49:37 1994`.
fn http_date(text: &str) -> Option<Timestamp> {
    if let Ok(date) = rfc2822::DateTimeParser::new().parse_timestamp(text) {
        return Some(date);
    }
    let date = DateTime::strptime("%A, %d-%b-%y %H:%M:%S GMT", text)
        .or_else(|_| DateTime::strptime("%a %b %e %H:%M:%S %Y", text));
    TimeZone::UTC.to_timestamp(date.ok()?).ok()
}

/// Notices when too little arrives.
pub(super) struct Stall {
    since: Instant,
    got: u64,
    limit: Duration,
}

impl Stall {
    /// Begins to count.
    pub(super) fn new(limit: Duration) -> Self {
        Stall { since: Instant::now(), got: 0, limit }
    }

    /// So many bytes have come.
    pub(super) fn got(&mut self, bytes: usize) {
        self.got = self.got.saturating_add(bytes as u64);
        if self.got >= MIN_PROGRESS {
            *self = Stall::new(self.limit);
        }
    }

    /// What to say when it is stalled.
    pub(super) fn reason(&self) -> Option<String> {
        let seconds = self.limit.as_secs_f64();
        match self.got {
            _ if self.since.elapsed() < self.limit => None,
            0 => Some(format!("silent for {seconds} s")),
            got => Some(format!("only {got} bytes in {seconds} s")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect()
    }

    #[test]
    fn retry_after_is_seconds_or_any_of_the_three_dates() {
        for (after, date, expected) in [
            ("7", None, Some(7)),
            ("Sun, 06 Nov 1994 08:49:37 GMT", Some("Sun, 06 Nov 1994 08:49:30 GMT"), Some(7)),
            ("Sunday, 06-Nov-94 08:49:37 GMT", Some("Sun, 06 Nov 1994 08:49:30 GMT"), Some(7)),
            ("Sun Nov  6 08:49:37 1994", Some("Sun, 06 Nov 1994 08:49:30 GMT"), Some(7)),
            ("Sun, 06 Nov 1994 08:49:37 GMT", Some("Sun Nov  6 08:49:36 1994"), Some(1)),
            // Long ago by the server's clock, or by ours where it says none.
            ("Sun, 06 Nov 1994 08:49:37 GMT", Some("Sun, 06 Nov 1994 08:50:00 GMT"), Some(0)),
            ("Sun, 06 Nov 1994 08:49:37 GMT", None, Some(0)),
            ("soon", None, None),
            ("-1", None, None),
        ] {
            let mut pairs = vec![("retry-after", after)];
            pairs.extend(date.map(|d| ("date", d)));
            assert_eq!(retry_after(&headers(&pairs)).map(|d| d.as_secs()), expected, "{after} at {date:?}");
        }
    }

    #[test]
    fn pauses_double_up_to_a_limit() {
        let policy = RetryPolicy::default();
        let pauses = [1, 2, 3, 40].map(|n| policy.pause(n).as_secs_f64());
        assert_eq!(pauses, [0.5, 1.0, 2.0, 32.0]);
    }

    #[test]
    fn a_trickle_is_a_stall() {
        let mut stall = Stall::new(Duration::ZERO);
        assert_eq!(stall.reason().as_deref(), Some("silent for 0 s"));
        stall.got(10);
        assert_eq!(stall.reason().as_deref(), Some("only 10 bytes in 0 s"));
        let mut patient = Stall::new(Duration::from_secs(3600));
        patient.got(10);
        assert_eq!(patient.reason(), None);
    }
}
