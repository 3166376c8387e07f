use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, Instant},
};

/// Lets one warning through in each period: strangers can cause it, and must not flood the log.
#[derive(Debug)]
pub(super) struct Throttle {
    start: Instant,
    /// Milliseconds after the start.
    next: AtomicU64,
}

impl Throttle {
    const PERIOD: Duration = Duration::from_secs(10);

    pub(super) fn new() -> Self {
        Self { start: Instant::now(), next: AtomicU64::new(0) }
    }

    pub(super) fn lets_through(&self) -> bool {
        let millis = |duration: Duration| u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
        let now = millis(self.start.elapsed());
        let after = |next: u64| (next <= now).then(|| now.saturating_add(millis(Self::PERIOD)));
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
