use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Visitor};
use uuid::Uuid;

use crate::lower_hex;

/// The id of a record, workspace, webhook or user.
///
/// Twenty's ids are UUIDs, which are stored inline. Any other text is stored as it is. Ids are
/// shown and compared as the text that was sent.
///
/// ```
/// use twenty_webhook::event::field::Id;
///
/// let id = Id::from("2e6f6a2f-2f7e-4b0d-9a3b-5b6d1d2c9f01");
/// assert!(id.as_uuid().is_some());
/// assert!(id == "2e6f6a2f-2f7e-4b0d-9a3b-5b6d1d2c9f01");
/// assert_eq!(Id::from("abc12345").to_string(), "abc12345");
/// ```
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Id(Repr);

#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Repr {
    /// It was sent as 36 characters in lower case, so it is shown as it was sent.
    Uuid(Uuid),
    Text(Box<str>),
}

impl Id {
    /// Returns the UUID, or `None` if the id is another text.
    #[must_use]
    pub const fn as_uuid(&self) -> Option<Uuid> {
        match self.0 {
            Repr::Uuid(uuid) => Some(uuid),
            Repr::Text(_) => None,
        }
    }
}

impl From<&str> for Id {
    fn from(text: &str) -> Self {
        Self(canonical_uuid(text).map_or_else(|| Repr::Text(text.into()), Repr::Uuid))
    }
}

impl From<String> for Id {
    fn from(text: String) -> Self {
        Self(canonical_uuid(&text).map_or_else(|| Repr::Text(text.into()), Repr::Uuid))
    }
}

/// Parses a UUID in the form of its `Display`: five groups of digits in lower case. `uuid` also
/// accepts upper case and three other forms, and is slower.
fn canonical_uuid(text: &str) -> Option<Uuid> {
    let text: &[u8; 36] = text.as_bytes().try_into().ok()?;
    let [.., b'-', _, _, _, _, b'-', _, _, _, _, b'-', _, _, _, _, b'-', _, _, _, _, _, _, _, _, _, _, _, _] = text
    else {
        return None;
    };
    let mut digits = [0; 32];
    digits[..8].copy_from_slice(&text[..8]);
    digits[8..12].copy_from_slice(&text[9..13]);
    digits[12..16].copy_from_slice(&text[14..18]);
    digits[16..20].copy_from_slice(&text[19..23]);
    digits[20..].copy_from_slice(&text[24..]);
    let (pairs, _) = digits.as_chunks();
    lower_hex::decode(pairs.try_into().ok()?).map(Uuid::from_bytes)
}

impl From<Uuid> for Id {
    fn from(uuid: Uuid) -> Self {
        Self(Repr::Uuid(uuid))
    }
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Repr::Uuid(uuid) => uuid.fmt(f),
            Repr::Text(text) => text.fmt(f),
        }
    }
}

/// Shows a UUID. Any other text, which Twenty never sends, is not shown.
impl fmt::Debug for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Repr::Uuid(uuid) => uuid.fmt(f),
            Repr::Text(_) => f.write_str("(not a UUID)"),
        }
    }
}

impl PartialEq<str> for Id {
    fn eq(&self, other: &str) -> bool {
        match &self.0 {
            Repr::Uuid(uuid) => *uuid.hyphenated().encode_lower(&mut Uuid::encode_buffer()) == *other,
            Repr::Text(text) => **text == *other,
        }
    }
}

impl PartialEq<&str> for Id {
    fn eq(&self, other: &&str) -> bool {
        *self == **other
    }
}

impl<'de> Deserialize<'de> for Id {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct IdVisitor;

        impl Visitor<'_> for IdVisitor {
            type Value = Id;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an id")
            }

            fn visit_str<E>(self, text: &str) -> Result<Id, E> {
                Ok(text.into())
            }
        }

        deserializer.deserialize_str(IdVisitor)
    }
}

impl Serialize for Id {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match &self.0 {
            Repr::Uuid(uuid) => serializer.serialize_str(uuid.hyphenated().encode_lower(&mut Uuid::encode_buffer())),
            Repr::Text(text) => serializer.serialize_str(text),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_show_as_they_were_sent() {
        for text in [
            "2e6f6a2f-2f7e-4b0d-9a3b-5b6d1d2c9f01",
            "2E6F6A2F-2F7E-4B0D-9A3B-5B6D1D2C9F01",
            "2e6f6a2f2f7e4b0d9a3b5b6d1d2c9f01",
            "{2e6f6a2f-2f7e-4b0d-9a3b-5b6d1d2c9f}",
            "2e6f6a2f-2f7e-4b0d-9a3b-5b6d1d2c9f0g",
            "2e6f6a2f-2f7e-4b0d9-a3b-5b6d1d2c9f01",
            "2e6f6a2f-2f7e-4b0d-9a3b-5b6d1d2c9f0\u{e9}",
            "abc12345",
            "",
        ] {
            let id = Id::from(text);
            assert_eq!(id.to_string(), text);
            assert!(id == text && id == *text);
            assert!(id != "another" && id != *"another");
            assert_eq!(id, Id::from(text.to_owned()));
            let is_canonical = Uuid::try_parse(text).is_ok_and(|uuid| uuid.to_string() == text);
            assert_eq!(id.as_uuid().is_some(), is_canonical, "{text}");
        }
        assert_eq!(size_of::<Option<Id>>(), 24, "a UUID is kept inline");
    }
}
