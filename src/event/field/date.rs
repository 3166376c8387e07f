use std::fmt;

use jiff::{civil, tz::TimeZone};
use serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{Error, Unexpected},
};

use crate::event::raw::Text;

/// A day (`DATE`). Twenty sends `2027-01-01`. Versions of early 2025 send midnight of that day,
/// `2027-01-01T00:00:00.000Z`.
///
/// `Debug` does not show it, because it may be someone's birthday; `Display` does.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Date(civil::Date);

impl Date {
    /// The day.
    #[must_use]
    pub const fn get(self) -> civil::Date {
        self.0
    }
}

super::no_content_in_debug!(Date);

impl fmt::Display for Date {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl<'de> Deserialize<'de> for Date {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let Text(text) = Text::deserialize(deserializer)?;
        let midnight = || text.parse::<jiff::Timestamp>().map(|time| TimeZone::UTC.to_datetime(time).date());
        let day = if text.len() == "2027-01-01".len() { text.parse() } else { midnight() };
        day.map(Self).map_err(|_| D::Error::invalid_value(Unexpected::Other("text"), &"a date"))
    }
}

/// Writes the form `2027-01-01`.
impl Serialize for Date {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms_are_the_same_day() {
        for json in [r#""2027-01-01""#, r#""2027-01-01T00:00:00.000Z""#] {
            assert_eq!(serde_json::from_str::<Date>(json).unwrap().to_string(), "2027-01-01");
        }
        for json in [r#""""#, r#""soon""#, r#""2027-13-01""#, "2027"] {
            assert!(serde_json::from_str::<Date>(json).is_err(), "{json}");
        }
    }
}
