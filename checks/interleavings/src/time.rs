//! A clock that shows a fixed time until it is moved. Each run of a model has its own.

use loom::sync::atomic::{AtomicU64, Ordering::AcqRel};
pub use real::time::Duration;

loom::lazy_static! {
    static ref NANOSECONDS: AtomicU64 = AtomicU64::new(0);
}

#[derive(Clone, Copy, Debug)]
pub struct Instant(u64);

impl Instant {
    pub fn now() -> Self {
        Self(advance(0))
    }

    pub fn elapsed(&self) -> Duration {
        Duration::from_nanos(Self::now().0 - self.0)
    }
}

/// Moves the clock, and returns the earlier time. It also serves to read the clock, because a plain
/// load may see an old value.
pub fn advance(nanoseconds: u64) -> u64 {
    NANOSECONDS.fetch_add(nanoseconds, AcqRel)
}
