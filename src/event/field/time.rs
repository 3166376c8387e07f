use std::fmt;

use jiff::Timestamp;
use serde::{
    Deserialize, Deserializer, Serializer,
    de::{Error, Unexpected, Visitor},
};

/// A point in time (`DATE_TIME`). Accepts what jiff accepts, and reads the form that Twenty sends,
/// `2026-10-02T09:14:31.733Z`, in a quarter of the time.
pub(in crate::event) struct Time(pub(in crate::event) Timestamp);

/// Reads a field.
pub(in crate::event) fn time<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Timestamp>, D::Error> {
    Ok(Option::deserialize(deserializer)?.map(|Time(time)| time))
}

/// Writes a field as Twenty does: with milliseconds. A time that is more precise keeps its digits.
pub(in crate::event) fn write_time<S: Serializer>(time: &Option<Timestamp>, serializer: S) -> Result<S::Ok, S::Error> {
    match time {
        Some(time) if time.subsec_nanosecond() % 1_000_000 == 0 => serializer.collect_str(&format_args!("{time:.3}")),
        Some(time) => serializer.collect_str(time),
        None => serializer.serialize_none(),
    }
}

/// Writes a field as JavaScript does: a whole number without a fraction.
pub(in crate::event) fn write_number<S: Serializer>(number: &Option<f64>, serializer: S) -> Result<S::Ok, S::Error> {
    match number {
        Some(number) if number.fract() == 0.0 && number.abs() < 9.0e15 =>
        {
            #[expect(clippy::cast_possible_truncation, reason = "whole, and in range")]
            serializer.serialize_i64(*number as i64)
        }
        Some(number) => serializer.serialize_f64(*number),
        None => serializer.serialize_none(),
    }
}

impl<'de> Deserialize<'de> for Time {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct TimeVisitor;

        impl Visitor<'_> for TimeVisitor {
            type Value = Time;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a time")
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Time, E> {
                let time = plain(text).or_else(|| text.parse().ok());
                time.map(Time).ok_or_else(|| E::invalid_value(Unexpected::Other("text"), &self))
            }
        }

        deserializer.deserialize_str(TimeVisitor)
    }
}

/// Parses the form that Twenty sends.
fn plain(text: &str) -> Option<Timestamp> {
    let text: &[u8; 24] = text.as_bytes().try_into().ok()?;
    let [_, _, _, _, b'-', _, _, b'-', _, _, b'T', _, _, b':', _, _, b':', _, _, b'.', _, _, _, b'Z'] = text else {
        return None;
    };
    if text.iter().filter(|byte| byte.is_ascii_digit()).count() != 17 {
        return None;
    }
    let number = |digits: &[u8]| {
        digits.iter().fold(0_i64, |number, digit| number.wrapping_mul(10).wrapping_add((digit & 0xf).into()))
    };
    let (year, month, day) = (number(&text[..4]), number(&text[5..7]), number(&text[8..10]));
    let (hour, minute, second) = (number(&text[11..13]), number(&text[14..16]), number(&text[17..19]));
    let millis = number(&text[20..23]);
    // jiff reads the last days of months, and leap seconds.
    let is_plain = (1..=12).contains(&month) && (1..=28).contains(&day) && hour < 24 && minute < 60 && second < 60;
    if !is_plain {
        return None;
    }
    // In a year that begins in March, the leap day is the last day. The five months from March on
    // have 153 days, and so have the five months from August on.
    let (year, month) =
        if month > 2 { (year, month.wrapping_sub(3)) } else { (year.wrapping_sub(1), month.wrapping_add(9)) };
    let leap_days = year.div_euclid(4).wrapping_sub(year.div_euclid(100)).wrapping_add(year.div_euclid(400));
    let in_year = month.wrapping_mul(153).wrapping_add(2).div_euclid(5).wrapping_add(day);
    let since_year_0 = year.wrapping_mul(365).wrapping_add(leap_days).wrapping_add(in_year);
    let days = since_year_0.wrapping_sub(719_469);
    let seconds = [(24, hour), (60, minute), (60, second)];
    let seconds = seconds.iter().fold(days, |all, (units, more)| all.wrapping_mul(*units).wrapping_add(*more));
    Timestamp::from_millisecond(seconds.wrapping_mul(1000).wrapping_add(millis)).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(text: &str) -> Option<Timestamp> {
        serde_json::from_value::<Time>(text.into()).ok().map(|Time(time)| time)
    }

    #[test]
    fn the_plain_form_is_read_without_jiff() {
        for day in 0..366 * 24 {
            let time = Timestamp::from_second(day * 8 * 86_400 + 36_271).unwrap();
            let text = format!("{time:.3}");
            let last_days = text.get(8..10).unwrap() > "28";
            assert_eq!(plain(&text), (!last_days).then_some(time), "{text}");
        }
        assert_eq!(plain("0000-03-01T00:00:00.000Z"), "0000-03-01T00:00:00.000Z".parse().ok());
        assert_eq!(plain("0000-01-01T00:00:00.000Z"), "0000-01-01T00:00:00.000Z".parse().ok());
        assert_eq!(plain("9999-12-28T23:59:59.999Z"), "9999-12-28T23:59:59.999Z".parse().ok());
    }

    #[test]
    fn other_forms_are_read_by_jiff() {
        for text in ["2024-02-29T12:00:00Z", "2026-12-31T23:59:60.000Z", "2026-10-02t09:14:31.733+02:00", "2026-10-02"]
        {
            assert_eq!(read(text), text.parse().ok(), "{text}");
        }
        assert_eq!(read("2026-02-30T00:00:00.000Z"), None);
    }

    proptest! {
        #[test]
        fn reads_the_same_time_as_jiff(
            text in "[0-9]{4}-(0[0-9]|1[0-3])-[0-3][0-9]T[0-2][0-9]:[0-6][0-9]:[0-6][0-9][.][0-9]{3}Z",
            at in 0..24_usize,
            other in "[0-9TZ:./a -]",
        ) {
            prop_assert_eq!(read(&text), text.parse().ok());
            let mut odd = text;
            odd.replace_range(at..=at, &other);
            prop_assert_eq!(read(&odd), odd.parse().ok());
        }
    }
}
