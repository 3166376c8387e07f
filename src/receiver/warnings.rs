use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, Instant},
};

use super::RefusalKind;
use crate::verify::{VerifyErrorKind, whole_millis};

/// The warnings that unauthenticated clients can cause. Each has its own throttle, so that one
/// cannot hide another.
#[derive(Debug)]
pub(super) struct Warnings {
    signature_mismatch: Throttle,
    body_too_long: Throttle,
    overloaded: Throttle,
    resolver_failed: Throttle,
    #[cfg(feature = "tracing")]
    odd_secret: Throttle,
}

impl Warnings {
    pub(super) fn new() -> Self {
        Self {
            signature_mismatch: Throttle::new(),
            body_too_long: Throttle::new(),
            overloaded: Throttle::new(),
            resolver_failed: Throttle::new(),
            #[cfg(feature = "tracing")]
            odd_secret: Throttle::new(),
        }
    }

    /// Returns the number of rejections that were suppressed since the last warning, if a warning
    /// is due. A warning can be due only if the rejection may be caused by the configuration, so
    /// that an event may be lost. If no warning is due, this rejection counts as suppressed, so
    /// call this once for each rejection.
    pub(super) fn due_or_suppressed(&self, kind: RefusalKind) -> Option<u64> {
        self.throttle(kind)?.due_or_suppressed()
    }

    /// Returns whether a warning about a tenant's odd secret is due.
    #[cfg(feature = "tracing")]
    pub(super) fn is_odd_secret_due(&self) -> bool {
        self.odd_secret.due().is_some()
    }

    /// Returns how many rejections were suppressed since the last warning.
    #[cfg(all(test, feature = "tracing"))]
    pub(super) fn suppressed(&self, kind: RefusalKind) -> Option<u64> {
        Some(self.throttle(kind)?.suppressed.load(Ordering::Relaxed))
    }

    const fn throttle(&self, kind: RefusalKind) -> Option<&Throttle> {
        match kind {
            RefusalKind::Verify(VerifyErrorKind::SignatureMismatch) => Some(&self.signature_mismatch),
            RefusalKind::Verify(VerifyErrorKind::BodyTooLong) => Some(&self.body_too_long),
            RefusalKind::Overloaded => Some(&self.overloaded),
            RefusalKind::ResolverFailed => Some(&self.resolver_failed),
            _ => None,
        }
    }
}

/// A throttle that lets one warning through in each period, because unauthenticated clients can
/// cause the warning and must not flood the log.
#[derive(Debug)]
struct Throttle {
    start: Instant,
    /// When the next warning may be logged, in milliseconds since the start.
    next: AtomicU64,
    suppressed: AtomicU64,
}

impl Throttle {
    const PERIOD: Duration = Duration::from_secs(10);

    fn new() -> Self {
        Self { start: Instant::now(), next: AtomicU64::new(0), suppressed: AtomicU64::new(0) }
    }

    fn due(&self) -> Option<u64> {
        self.due_at(self.start.elapsed())
    }

    fn due_or_suppressed(&self) -> Option<u64> {
        let due = self.due();
        if due.is_none() {
            self.suppressed.fetch_add(1, Ordering::Relaxed);
        }
        due
    }

    fn due_at(&self, elapsed: Duration) -> Option<u64> {
        let now = whole_millis(elapsed);
        let after = |next: u64| (next <= now).then(|| now.saturating_add(whole_millis(Self::PERIOD)));
        self.next.fetch_update(Ordering::Relaxed, Ordering::Relaxed, after).ok()?;
        Some(self.suppressed.swap(0, Ordering::Relaxed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn allows_one_warning_per_period_and_counts_the_rest() {
        let throttle = Throttle::new();
        assert_eq!(throttle.due_or_suppressed(), Some(0));
        for _ in 0..3 {
            assert_eq!(throttle.due_or_suppressed(), None);
        }
        assert_eq!(throttle.due_at(Throttle::PERIOD - Duration::from_millis(1)), None);
        assert_eq!(throttle.due_at(Throttle::PERIOD * 2), Some(3));
        assert_eq!(throttle.due_at(Throttle::PERIOD * 2), None);
        assert_eq!(throttle.due_at(Throttle::PERIOD * 3), Some(0));
    }
}
