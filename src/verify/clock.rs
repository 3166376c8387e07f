use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, SystemTime},
};

use super::Timestamp;

/// The verifier's source of the current time.
///
/// [`SystemClock`] is the default. Tests use [`FixedClock`]; a target without a system clock
/// implements this trait.
///
/// ```
/// use std::time::{Duration, Instant};
/// use twenty_webhook::verify::{Clock, Timestamp};
///
/// /// Continues from the answer of a time server.
/// #[derive(Debug)]
/// struct Synchronised {
///     said: Timestamp,
///     at: Instant,
/// }
///
/// impl Clock for Synchronised {
///     fn now(&self) -> Timestamp {
///         self.said.saturating_add(self.at.elapsed())
///     }
/// }
///
/// let clock = Synchronised { said: Timestamp::from_millis(1_790_932_471_733), at: Instant::now() };
/// assert!(clock.now().saturating_since(clock.said) < Duration::from_secs(60));
/// ```
pub trait Clock: fmt::Debug + Send + Sync + 'static {
    /// Returns the current time.
    fn now(&self) -> Timestamp;
}

/// The operating system's wall clock.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        SystemTime::now().into()
    }
}

/// A clock that shows a fixed time until you change it, for tests and for verifying old captures.
///
/// Clones share their time, so keep a clone to change it.
///
/// ```
/// use std::time::Duration;
/// use twenty_webhook::verify::{FixedClock, Timestamp, Verifier, Secret};
///
/// let clock = FixedClock::at(Timestamp::from_millis(1_790_932_471_733));
/// let verifier = Verifier::builder().secret(Secret::new("secret")?).clock(clock.clone()).build()?;
/// clock.advance(Duration::from_secs(60));
/// # let _ = verifier;
/// # Ok::<(), twenty_webhook::verify::ConfigError>(())
/// ```
#[derive(Clone, Debug)]
pub struct FixedClock(Arc<AtomicU64>);

impl FixedClock {
    /// Creates a clock that shows `time`.
    #[must_use]
    pub fn at(time: Timestamp) -> Self {
        Self(Arc::new(AtomicU64::new(time.as_millis())))
    }

    /// Sets the clock to `time`.
    pub fn set(&self, time: Timestamp) {
        self.0.store(time.as_millis(), Ordering::Relaxed);
    }

    /// Advances the clock.
    pub fn advance(&self, by: Duration) {
        self.set(self.now().saturating_add(by));
    }
}

impl Clock for FixedClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(self.0.load(Ordering::Relaxed))
    }
}
