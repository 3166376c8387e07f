use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, Instant},
};

use super::RefusalKind;
use crate::verify::{VerifyErrorKind, whole_millis};

/// The warnings that strangers can cause, each with a throttle of its own, so that one cannot hide another.
#[derive(Debug)]
pub(super) struct Warnings {
    body_too_long: Throttle,
    overloaded: Throttle,
    resolver_failed: Throttle,
}

impl Warnings {
    pub(super) fn new() -> Self {
        Self { body_too_long: Throttle::new(), overloaded: Throttle::new(), resolver_failed: Throttle::new() }
    }

    /// Whether a warning is due: an event may be lost for a reason that lies with us.
    pub(super) fn is_due(&self, kind: RefusalKind) -> bool {
        match kind {
            RefusalKind::Verify(VerifyErrorKind::BodyTooLong) => self.body_too_long.lets_through(),
            RefusalKind::Overloaded => self.overloaded.lets_through(),
            RefusalKind::ResolverFailed => self.resolver_failed.lets_through(),
            _ => false,
        }
    }
}

/// Lets one warning through in each period: strangers can cause it, and must not flood the log.
#[derive(Debug)]
struct Throttle {
    start: Instant,
    /// Milliseconds after the start.
    next: AtomicU64,
}

impl Throttle {
    const PERIOD: Duration = Duration::from_secs(10);

    fn new() -> Self {
        Self { start: Instant::now(), next: AtomicU64::new(0) }
    }

    fn lets_through(&self) -> bool {
        let now = whole_millis(self.start.elapsed());
        let after = |next: u64| (next <= now).then(|| now.saturating_add(whole_millis(Self::PERIOD)));
        self.next.fetch_update(Ordering::Relaxed, Ordering::Relaxed, after).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_in_a_period() {
        let throttle = Throttle::new();
        assert!(throttle.lets_through());
        assert!(!throttle.lets_through());
    }
}
