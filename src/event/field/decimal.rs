use std::{
    fmt,
    hash::{Hash, Hasher},
};

use serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{Error, MapAccess, Unexpected, Visitor, value::MapAccessDeserializer},
};
use serde_json::Number;

/// A number that Twenty sends as text or as a number (`NUMERIC`): PostgreSQL's exact decimals
/// arrive as text.
///
/// A number that was sent as text keeps this text, so it is not rounded. A JSON number keeps its
/// text only with `serde_json`'s feature `arbitrary_precision`. It is serialized as it was sent, as
/// text or as a number; the two forms compare as equal.
///
/// ```
/// use twenty_webhook::event::field::Decimal;
///
/// let latitude: Decimal = serde_json::from_str(r#""40.7322000000000001""#)?;
/// assert_eq!(latitude.as_str(), "40.7322000000000001");
/// assert_eq!(latitude.to_f64(), 40.7322);
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Clone)]
pub struct Decimal {
    text: Box<str>,
    /// Whether it was sent as a number.
    is_number: bool,
}

impl Decimal {
    /// Returns the digits as they were sent. A JSON number has its shortest form, or the form in
    /// which it was sent if `serde_json`'s feature `arbitrary_precision` is on.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    fn of_number(number: &impl ToString) -> Self {
        Self { text: number.to_string().into(), is_number: true }
    }

    /// Returns the nearest floating-point number.
    #[must_use]
    pub fn to_f64(&self) -> f64 {
        self.text.parse().unwrap_or(f64::NAN)
    }
}

impl PartialEq for Decimal {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for Decimal {}

impl Hash for Decimal {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.text.hash(state);
    }
}

impl fmt::Display for Decimal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.text.fmt(f)
    }
}

super::no_content_in_debug!(Decimal);

impl<'de> Deserialize<'de> for Decimal {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct DecimalVisitor;

        impl<'de> Visitor<'de> for DecimalVisitor {
            type Value = Decimal;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a number, or a number as text")
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Decimal, E> {
                if !text.parse::<f64>().is_ok_and(f64::is_finite) {
                    return Err(E::invalid_value(Unexpected::Other("text"), &self));
                }
                Ok(Decimal { text: text.into(), is_number: false })
            }

            fn visit_u64<E: Error>(self, number: u64) -> Result<Decimal, E> {
                Ok(Decimal::of_number(&number))
            }

            fn visit_i64<E: Error>(self, number: i64) -> Result<Decimal, E> {
                Ok(Decimal::of_number(&number))
            }

            fn visit_f64<E: Error>(self, number: f64) -> Result<Decimal, E> {
                Ok(Decimal::of_number(&number))
            }

            /// Numbers arrive in this form if any crate enables `serde_json`'s feature
            /// `arbitrary_precision`.
            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Decimal, A::Error> {
                let number = Number::deserialize(MapAccessDeserializer::new(map))?;
                Ok(Decimal::of_number(&number))
            }
        }

        deserializer.deserialize_any(DecimalVisitor)
    }
}

impl Serialize for Decimal {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.text.parse::<Number>() {
            Ok(number) if self.is_number => number.serialize(serializer),
            _ => serializer.serialize_str(&self.text),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_text_and_numbers() {
        for (json, text) in [(r#""0.3333333333""#, "0.3333333333"), ("-2.5", "-2.5"), ("7", "7"), ("-7", "-7")] {
            let decimal: Decimal = serde_json::from_str(json).unwrap();
            assert_eq!((decimal.as_str(), decimal.to_string().as_str()), (text, text));
            assert_eq!(serde_json::to_string(&decimal).unwrap(), json);
        }
        assert!((serde_json::from_str::<Decimal>(r#""2.5""#).unwrap().to_f64() - 2.5).abs() < f64::EPSILON);
        for json in [r#""""#, r#""abc""#, r#""NaN""#, "true", "[]", "{}", r#"{"a":1}"#] {
            assert!(serde_json::from_str::<Decimal>(json).is_err(), "{json}");
        }
    }
}
