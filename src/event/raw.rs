use std::{borrow::Cow, fmt, ops::Range, str::FromStr};

use bytes::Bytes;
use serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{DeserializeOwned, Error, Visitor},
    ser,
};
use serde_json::Value;

use super::json::{Members, RAW_JSON, Reader, check_is_json, odd_names};

/// A part of the delivery's JSON, as it was sent, including the forms of numbers, escapes, the
/// order of keys and unknown members.
///
/// If it comes from an event, for example from
/// [`WebhookEvent::raw_record`](super::WebhookEvent::raw_record), it shares the body's memory.
/// Clones copy nothing. `Debug` shows its type and length, but no content.
///
/// As a field of your own type, it contains the value as it was sent. Deserializers other than this
/// crate's do not provide the sent text. With these, it contains the text that
/// [`serde_json::Value`] writes.
///
/// ```
/// use twenty_webhook::event::{JsonType, RawJson};
///
/// # fn main() -> Result<(), serde_json::Error> {
/// let record: RawJson = r#"{"plan":"PRO","seats":25,"price":1.50}"#.parse()?; // as from `event.raw_record()`
/// assert_eq!(record.get("plan").and_then(|plan| plan.to_text()).as_deref(), Some("PRO"));
/// assert_eq!(record.get("seats").map(|seats| seats.parse::<u32>()).transpose()?, Some(25));
/// assert_eq!(record.get("price").as_ref().map(RawJson::as_str), Some("1.50")); // as it was sent
/// assert!(record.members().iter().skip(1).all(|(_, value)| value.json_type() == JsonType::Number));
/// # Ok(())
/// # }
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct RawJson(Bytes);

impl RawJson {
    /// Creates it from a body that has been read as JSON before.
    pub(super) const fn of_body(body: Bytes) -> Self {
        Self(body)
    }

    /// Creates it from `piece`, which is a part of `body`. A `piece` from elsewhere is copied.
    pub(super) fn piece_of(body: &Bytes, piece: &str) -> Self {
        Self(match range_in(body, piece.as_bytes()) {
            Some(range) => body.slice(range),
            None => Bytes::copy_from_slice(piece.as_bytes()),
        })
    }

    /// Returns the JSON text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        // The bytes are always UTF-8, because they were parsed. They are checked again, because
        // `unsafe` is forbidden and the check is cheap.
        std::str::from_utf8(&self.0).unwrap_or("null")
    }

    /// Returns the type of the JSON value.
    #[must_use]
    pub fn json_type(&self) -> JsonType {
        JsonType::of(self.as_str())
    }

    /// Parses it into a type of your own. If several members of an object have the same name, it
    /// reads the first one.
    ///
    /// # Errors
    ///
    /// Returns an error if the JSON does not fit `T`. The error's text can quote the value, so take
    /// care where you log it.
    pub fn parse<T: DeserializeOwned>(&self) -> Result<T, serde_json::Error> {
        let mut reader = Reader::<serde_json::Error>::new(self.as_str());
        match T::deserialize(&mut reader) {
            Ok(value) if reader.is_complete() && !reader.has_repeated_name() => Ok(value),
            _ => self.parse_first_of_each_name(),
        }
    }

    #[cold]
    fn parse_first_of_each_name<T: DeserializeOwned>(&self) -> Result<T, serde_json::Error> {
        let repeated = odd_names(self.as_str()).filter(|odd| odd.is_repeated);
        let hidden: Vec<_> = repeated.map(|odd| odd.member.start..odd.member.end).collect();
        let mut reader = Reader::<serde_json::Error>::hiding(self.as_str(), &hidden);
        let value = T::deserialize(&mut reader)?;
        if !reader.is_complete() {
            return Err(serde_json::Error::custom("a value inside does not fit the type"));
        }
        Ok(value)
    }

    /// Returns the text of a JSON string.
    ///
    /// Returns `None` for another type, and for a string that is not valid Unicode (because of a
    /// lone surrogate escape).
    #[must_use]
    pub fn to_text(&self) -> Option<String> {
        self.parse().ok()
    }

    /// Returns the member with this name, or the first one if there are several. Returns `None` if
    /// there is no such member, or if this is not an object.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<Self> {
        self.find(|name| name == key.as_bytes())
    }

    /// Returns the members of an object, in the order in which they were sent; empty for another
    /// type.
    ///
    /// Names that are not valid Unicode (because of a lone surrogate escape) have replacement
    /// characters.
    #[must_use]
    pub fn members(&self) -> Vec<(String, Self)> {
        Members::of(self.as_str())
            .map(|member| (String::from_utf8_lossy(&member.name()).into_owned(), self.piece(member.value)))
            .collect()
    }

    /// Returns the first member with such a name.
    pub(super) fn find(&self, is_name: impl Fn(&[u8]) -> bool) -> Option<Self> {
        Members::of(self.as_str()).find(|member| is_name(&member.name())).map(|member| self.piece(member.value))
    }

    fn piece(&self, piece: &str) -> Self {
        Self::piece_of(&self.0, piece)
    }
}

/// A string, which is borrowed if it has no escapes.
#[derive(Deserialize)]
pub(super) struct Text<'a>(#[serde(borrow)] pub(super) Cow<'a, str>);

/// Returns the position of `piece` in `text`, or `None` if it is not a part of `text`.
pub(crate) fn range_in(text: impl AsRef<[u8]>, piece: impl AsRef<[u8]>) -> Option<Range<usize>> {
    let (text, piece) = (text.as_ref(), piece.as_ref());
    let start = (piece.as_ptr() as usize).checked_sub(text.as_ptr() as usize)?;
    let end = start.checked_add(piece.len())?;
    (end <= text.len()).then_some(start..end)
}

/// Parses any JSON text.
///
/// # Errors
///
/// Returns an error if the text is not JSON.
impl FromStr for RawJson {
    type Err = serde_json::Error;

    fn from_str(text: &str) -> Result<Self, serde_json::Error> {
        check_is_json(text)?;
        Ok(Self(Bytes::copy_from_slice(text.trim_ascii().as_bytes())))
    }
}

impl fmt::Debug for RawJson {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RawJson").field("type", &self.json_type()).field("len", &self.0.len()).finish()
    }
}

/// Copies the text.
impl<'de> Deserialize<'de> for RawJson {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct TextVisitor;

        impl<'de> Visitor<'de> for TextVisitor {
            type Value = RawJson;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("any JSON value")
            }

            /// This crate's reader passes the text, which it has checked.
            fn visit_borrowed_bytes<E: Error>(self, text: &'de [u8]) -> Result<RawJson, E> {
                Ok(RawJson(Bytes::copy_from_slice(text)))
            }

            /// Any other deserializer passes the value.
            fn visit_newtype_struct<D: Deserializer<'de>>(self, deserializer: D) -> Result<RawJson, D::Error> {
                Ok(RawJson(Value::deserialize(deserializer)?.to_string().into()))
            }
        }

        deserializer.deserialize_newtype_struct(RAW_JSON, TextVisitor)
    }
}

/// Writes the same value, through [`serde_json::Value`]. Its text may differ in white space,
/// escapes, the order of members and the form of numbers. Use [`as_str`](RawJson::as_str) to keep
/// the text.
///
/// # Errors
///
/// Returns an error if the value cannot be a [`serde_json::Value`]: it is nested more than 127
/// levels deep, or has text that is not valid Unicode, or a number beyond the range of `f64`.
impl Serialize for RawJson {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let value: Value =
            self.parse().map_err(|_| ser::Error::custom("the value cannot be a `serde_json::Value`: use its text"))?;
        value.serialize(serializer)
    }
}

/// The six types of JSON values.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum JsonType {
    /// `null`
    Null,
    /// `true` or `false`
    Bool,
    /// A number
    Number,
    /// A string
    String,
    /// An array
    Array,
    /// An object
    Object,
}

impl JsonType {
    /// Returns the type of a valid JSON text, which its first character determines.
    pub(crate) fn of(text: &str) -> Self {
        match text.trim_start().as_bytes().first() {
            Some(b'n') | None => Self::Null,
            Some(b't' | b'f') => Self::Bool,
            Some(b'"') => Self::String,
            Some(b'[') => Self::Array,
            Some(b'{') => Self::Object,
            Some(_) => Self::Number,
        }
    }
}

impl fmt::Display for JsonType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Null => "null",
            Self::Bool => "a boolean",
            Self::Number => "a number",
            Self::String => "a string",
            Self::Array => "an array",
            Self::Object => "an object",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_piece_of_another_text_is_copied() {
        let body = Bytes::from_static(br#"{"a":[1]}"#);
        let text = std::str::from_utf8(&body).unwrap();
        let shared = RawJson::piece_of(&body, &text[5..8]);
        assert_eq!((shared.as_str(), shared.as_str().as_ptr()), ("[1]", body[5..].as_ptr()));
        let elsewhere = text.to_owned();
        for piece in [&elsewhere[5..8], &elsewhere] {
            let copied = RawJson::piece_of(&body, piece);
            assert_eq!(copied.as_str(), piece);
            assert!(range_in(&body, copied.as_str()).is_none());
        }
    }

    #[test]
    fn other_deserializers_give_the_value() {
        let raw: RawJson = serde_json::from_str(r#" {"b": [15, "\u00e9"], "a": null} "#).unwrap();
        assert_eq!(raw.as_str(), r#"{"a":null,"b":[15,"é"]}"#);
        let text = serde::de::value::StrDeserializer::<serde::de::value::Error>::new("text");
        assert!(RawJson::deserialize(text).is_err());
        assert!("[1".parse::<RawJson>().is_err());
        assert_eq!(" [1 ]\n".parse::<RawJson>().unwrap().as_str(), "[1 ]");
    }
}
