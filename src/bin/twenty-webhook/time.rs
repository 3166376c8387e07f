//! Parses times from the command line, and formats times.

use std::{str::FromStr, time::Duration};

use twenty_webhook::verify::{Clock, SystemClock, Timestamp};

/// A time on the command line: `now`, milliseconds since 1970, or RFC 3339.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Moment {
    Now,
    At(Timestamp),
}

impl Moment {
    pub(crate) fn timestamp(self) -> Timestamp {
        match self {
            Self::Now => SystemClock.now(),
            Self::At(timestamp) => timestamp,
        }
    }
}

impl FromStr for Moment {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, &'static str> {
        if text == "now" {
            return Ok(Self::Now);
        }
        if text.len() == 10 && text.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err("this is in seconds, but Twenty's timestamps are in milliseconds (13 digits)");
        }
        let time = text.parse().ok().map(Timestamp::from_millis).or_else(|| from_civil(text.parse().ok()?));
        time.map(Self::At).ok_or("it should be `now`, milliseconds since 1970, or a time such as 2026-10-02T09:14:31Z")
    }
}

/// Returns the current time, in whole milliseconds.
pub(crate) fn now() -> jiff::Timestamp {
    to_civil(SystemClock.now()).unwrap_or(jiff::Timestamp::MAX)
}

/// Converts a timestamp. Returns `None` after the year 9999.
pub(crate) fn to_civil(time: Timestamp) -> Option<jiff::Timestamp> {
    jiff::Timestamp::from_millisecond(i64::try_from(time.as_millis()).ok()?).ok()
}

/// Converts a time. Returns `None` before 1970.
pub(crate) fn from_civil(time: jiff::Timestamp) -> Option<Timestamp> {
    u64::try_from(time.as_millisecond()).ok().map(Timestamp::from_millis)
}

/// Formats a time as `2026-10-02T09:14:31.733Z`, or in milliseconds after the year 9999.
pub(crate) fn format(time: Timestamp) -> String {
    to_civil(time)
        .map_or_else(|| format!("{time} ms after 1970"), |civil| civil.strftime("%Y-%m-%dT%H:%M:%S.%3fZ").to_string())
}

/// Formats a duration: `0.8 ms`, `12 ms`, `1.25 s`.
pub(crate) fn format_duration(duration: Duration) -> String {
    let millis = duration.as_secs_f64() * 1000.0;
    match millis {
        ..10.0 => format!("{millis:.1} ms"),
        ..1000.0 => format!("{millis:.0} ms"),
        _ => format!("{:.2} s", duration.as_secs_f64()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_parsed() {
        let at = |millis| Ok(Moment::At(Timestamp::from_millis(millis)));
        assert_eq!("now".parse(), Ok(Moment::Now));
        assert_eq!("1790932471733".parse(), at(1_790_932_471_733));
        assert_eq!("2026-10-02T09:14:31.733Z".parse(), at(1_790_932_471_733));
        assert_eq!("2026-10-02T11:14:31.733+02:00".parse(), at(1_790_932_471_733));
        for text in ["1790932471", "", "yesterday", "-1", "1969-12-31T23:59:59Z", "2026-10-02"] {
            assert!(text.parse::<Moment>().is_err(), "{text:?}");
        }
    }

    #[test]
    fn times_are_formatted() {
        assert_eq!(format(Timestamp::from_millis(1_790_932_471_733)), "2026-10-02T09:14:31.733Z");
        assert_eq!(format(Timestamp::from_millis(u64::MAX)), "18446744073709551615 ms after 1970");
        assert_eq!(format_duration(Duration::from_micros(1_234)), "1.2 ms");
        assert_eq!(format_duration(Duration::from_millis(123)), "123 ms");
        assert_eq!(format_duration(Duration::from_millis(1_250)), "1.25 s");
    }
}
