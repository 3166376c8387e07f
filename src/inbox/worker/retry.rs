use std::{
    hash::{BuildHasher, RandomState},
    ops::RangeInclusive,
    time::Duration,
};

use super::attempt::Kind;

/// How many attempts an event gets, and how long the pauses between them are.
///
/// ```
/// use std::time::Duration;
/// use twenty_webhook::inbox::RetryPolicy;
///
/// // Ten attempts, with pauses of at most 1, 2, 4, 8, 16 and then always 30 seconds.
/// let policy = RetryPolicy::exponential(Duration::from_secs(1)..=Duration::from_secs(30)).attempts(10);
/// # let _ = policy;
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub struct RetryPolicy {
    shortest: Duration,
    pub(super) longest: Duration,
    attempts: u32,
    pub(super) interruptions: u32,
}

impl RetryPolicy {
    /// Creates a policy with pauses that double, from the start of the range to its end. Each pause
    /// is shortened at random, to at least half of it, so that events that failed together are not
    /// retried together.
    ///
    /// The end of the range also limits the time of
    /// [`HandlerError::retry_after`](super::HandlerError::retry_after). If the end of the range is
    /// less than its start, both are the start.
    pub const fn exponential(pauses: RangeInclusive<Duration>) -> Self {
        let (shortest, longest) = (*pauses.start(), *pauses.end());
        let longest = if longest.as_nanos() < shortest.as_nanos() { shortest } else { longest };
        Self { shortest, longest, attempts: 20, interruptions: 5 }
    }

    /// Sets the number of attempts, at least 1. Default: 20. With the default pauses, 20 attempts
    /// take four to eight hours.
    pub const fn attempts(mut self, attempts: u32) -> Self {
        self.attempts = if attempts == 0 { 1 } else { attempts };
        self
    }

    /// Sets how many times in a row the process may end while an event is handled before the event
    /// becomes a dead letter, at least 1. Default: 5. A [graceful
    /// shutdown](super::Worker::shutdown) does not count.
    pub const fn interruptions(mut self, interruptions: u32) -> Self {
        self.interruptions = if interruptions == 0 { 1 } else { interruptions };
        self
    }

    /// Returns whether this attempt, counted from 1, is the last one.
    pub(super) const fn is_last(&self, attempt: u32) -> bool {
        attempt >= self.attempts
    }

    /// Returns the pause after this attempt, counted from 1, has failed.
    pub(super) fn pause(&self, attempt: u32, kind: Kind) -> Duration {
        if let Kind::RetryAfter(time) = kind {
            return time.min(self.longest);
        }
        let doubled = 1_u32.checked_shl(attempt.saturating_sub(1)).unwrap_or(u32::MAX);
        let pause = self.shortest.saturating_mul(doubled).min(self.longest);
        let half = pause.checked_div(2).unwrap_or_default();
        half.saturating_add(half.mul_f64(chance()))
    }
}

/// Creates the default policy: pauses from 1 second to 1 hour, and 20 attempts.
impl Default for RetryPolicy {
    fn default() -> Self {
        Self::exponential(Duration::from_secs(1)..=Duration::from_secs(60 * 60))
    }
}

/// Returns a random number from 0 to 1.
fn chance() -> f64 {
    // 32 bits are exact in an `f64`.
    let bits = RandomState::new().hash_one(0_u8) >> 32;
    f64::from(u32::try_from(bits).unwrap_or_default()) / f64::from(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_a_limit_with_jitter() {
        let seconds = Duration::from_secs;
        let policy = RetryPolicy::exponential(seconds(1)..=seconds(30));
        for (attempt, longest) in [(1, 1), (2, 2), (3, 4), (5, 16), (6, 30), (7, 30), (33, 30), (u32::MAX, 30)] {
            let pauses: Vec<_> = (0..100).map(|_| policy.pause(attempt, Kind::Transient)).collect();
            assert!(pauses.iter().all(|pause| (seconds(longest) / 2..=seconds(longest)).contains(pause)), "{attempt}");
            assert!(pauses.iter().any(|pause| *pause != pauses[0]), "{attempt}");
        }
    }

    #[test]
    fn a_requested_pause_is_limited() {
        let policy = RetryPolicy::exponential(Duration::from_secs(1)..=Duration::from_secs(30));
        for (asked, expected) in [(0, 0), (7, 7), (30, 30), (31, 30)] {
            let asked = Kind::RetryAfter(Duration::from_secs(asked));
            assert_eq!(policy.pause(1, asked), Duration::from_secs(expected));
        }
    }

    #[test]
    fn the_defaults_are_the_documented_ones() {
        let policy = RetryPolicy::default();
        let total: Duration = (1..20).map(|attempt| policy.pause(attempt, Kind::Transient)).sum();
        assert!((4..10).contains(&(total.as_secs() / 3600)), "{total:?}");
        assert!(!policy.is_last(19) && policy.is_last(20));
        assert_eq!(policy.interruptions, 5);
        assert!(RetryPolicy::default().attempts(0).is_last(1));
    }
}
