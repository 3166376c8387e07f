use std::{
    fmt,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

/// A point in time in milliseconds since 1970-01-01T00:00:00Z, the unit of Twenty's timestamp
/// header.
///
/// ```
/// use std::time::Duration;
/// use twenty_webhook::verify::Timestamp;
///
/// let sent = Timestamp::from_millis(1_790_932_471_733);
/// let now = sent.saturating_add(Duration::from_secs(2));
/// assert_eq!(now.saturating_since(sent), Duration::from_secs(2));
/// assert_eq!(sent.saturating_since(now), Duration::ZERO);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(u64);

impl Timestamp {
    /// Creates a timestamp from milliseconds since 1970.
    #[must_use]
    pub const fn from_millis(millis: u64) -> Self {
        Self(millis)
    }

    /// Returns the milliseconds since 1970.
    #[must_use]
    pub const fn as_millis(self) -> u64 {
        self.0
    }

    /// Returns the time since `earlier`, or zero if `earlier` is later.
    #[must_use]
    pub const fn saturating_since(self, earlier: Self) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0))
    }

    /// Adds a duration; the result is at most the last representable time.
    #[must_use]
    pub fn saturating_add(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(whole_millis(duration)))
    }

    /// Subtracts a duration; the result is at least 1970.
    #[must_use]
    pub fn saturating_sub(self, duration: Duration) -> Self {
        Self(self.0.saturating_sub(whole_millis(duration)))
    }
}

/// Returns whole milliseconds, or the largest number if they do not fit.
pub(crate) fn whole_millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// A time before 1970 becomes 1970. On a machine with such a clock, every delivery is rejected as
/// signed in the future.
impl From<SystemTime> for Timestamp {
    fn from(time: SystemTime) -> Self {
        Self(time.duration_since(UNIX_EPOCH).map_or(0, whole_millis))
    }
}

/// A time before 1970 becomes 1970, as for [`SystemTime`]. Fractions of a millisecond are dropped.
impl From<jiff::Timestamp> for Timestamp {
    fn from(time: jiff::Timestamp) -> Self {
        Self(u64::try_from(time.as_millisecond()).unwrap_or(0))
    }
}

/// Fails for times after the year 9999.
impl TryFrom<Timestamp> for jiff::Timestamp {
    type Error = jiff::Error;

    fn try_from(time: Timestamp) -> Result<Self, jiff::Error> {
        Self::from_millisecond(i64::try_from(time.0).unwrap_or(i64::MAX))
    }
}

/// Writes the decimal milliseconds, as in the header.
impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn converts_to_jiff_and_back() {
        for millis in [0, 1, 1_790_932_471_733, 253_402_207_200_000] {
            let time = Timestamp::from_millis(millis);
            let in_jiff = jiff::Timestamp::try_from(time).unwrap();
            assert_eq!(in_jiff.as_millisecond(), i64::try_from(millis).unwrap());
            assert_eq!(Timestamp::from(in_jiff), time);
        }
        assert!(jiff::Timestamp::try_from(Timestamp::from_millis(u64::MAX)).is_err());
        assert_eq!(Timestamp::from(jiff::Timestamp::MIN), Timestamp::from_millis(0));
    }

    #[test]
    fn arithmetic_saturates() {
        let now = Timestamp::from_millis(1_000);
        assert_eq!(now.saturating_add(Duration::MAX), Timestamp::from_millis(u64::MAX));
        assert_eq!(now.saturating_sub(Duration::MAX), Timestamp::from_millis(0));
        assert_eq!(now.saturating_since(Timestamp::from_millis(2_000)), Duration::ZERO);
        assert_eq!(Timestamp::from(UNIX_EPOCH - Duration::from_secs(1)), Timestamp::from_millis(0));
        assert_eq!(Timestamp::from(UNIX_EPOCH + Duration::from_micros(1_999)), Timestamp::from_millis(1));
    }
}
