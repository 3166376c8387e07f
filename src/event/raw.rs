use std::{borrow::Cow, fmt};

use bytes::Bytes;
use serde::{
    Deserialize, Deserializer,
    de::{DeserializeOwned, DeserializeSeed, Error as _, IgnoredAny, MapAccess, Visitor},
};
use serde_json::value::RawValue;

/// A piece of the delivery's JSON, as it was sent: number forms, escapes, key order and unknown members included.
///
/// Shares the body's memory when it comes from [`WebhookEvent::raw_record`](super::WebhookEvent::raw_record) and its like; cloning
/// copies nothing. `Debug` shows its type and length, no content.
#[derive(Clone, PartialEq, Eq)]
pub struct RawJson(Bytes);

impl RawJson {
    /// A body that was read as JSON before.
    pub(super) const fn of_body(body: Bytes) -> Self {
        Self(body)
    }

    /// The piece of `base` that `raw` is. Both come from one parse; should `raw` lie elsewhere, it is copied.
    pub(super) fn slice_of(base: &Bytes, raw: &RawValue) -> Self {
        let text = raw.get();
        let start = (text.as_ptr() as usize).wrapping_sub(base.as_ptr() as usize);
        let is_inside = start.checked_add(text.len()).is_some_and(|end| end <= base.len());
        Self(if is_inside {
            base.slice(start..start.saturating_add(text.len()))
        } else {
            Bytes::copy_from_slice(text.as_bytes())
        })
    }

    /// The JSON text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        // Always UTF-8, since it was parsed; checked again because that is cheap and `unsafe` is not wanted.
        std::str::from_utf8(&self.0).unwrap_or("null")
    }

    /// What type of JSON value this is.
    #[must_use]
    pub fn json_type(&self) -> JsonType {
        JsonType::of(self.as_str())
    }

    /// Parses it into a type of your own.
    ///
    /// # Errors
    ///
    /// When the JSON does not fit `T`. The error's text can quote the value: mind where it is logged.
    pub fn parse<T: DeserializeOwned>(&self) -> Result<T, serde_json::Error> {
        serde_json::from_str(self.as_str())
    }

    /// The text of a JSON string.
    ///
    /// `None` for another type, and for a string that is no Unicode text (a lone surrogate escape).
    #[must_use]
    pub fn as_text(&self) -> Option<String> {
        self.parse().ok()
    }

    /// A member of an object; `None` when there is none of that name, or this is no object.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<Self> {
        let mut found = None;
        self.each_member(|name, value| {
            if name == key {
                found = Some(Self::slice_of(&self.0, value));
            }
            found.is_none()
        });
        found
    }

    /// The members of an object, in the order they were sent; empty for another type.
    #[must_use]
    pub fn members(&self) -> Vec<(String, Self)> {
        let mut members = Vec::new();
        self.each_member(|name, value| {
            members.push((name.to_owned(), Self::slice_of(&self.0, value)));
            true
        });
        members
    }

    /// Calls `with` for each member until it answers `false`.
    fn each_member(&self, with: impl FnMut(&str, &RawValue) -> bool) {
        let mut deserializer = serde_json::Deserializer::from_str(self.as_str());
        // An error is the early end, or no object: what was found until then is all there is.
        let _ = Members(with).deserialize(&mut deserializer);
    }
}

struct Members<F>(F);

impl<'de, F: FnMut(&str, &RawValue) -> bool> DeserializeSeed<'de> for Members<F> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de, F: FnMut(&str, &RawValue) -> bool> Visitor<'de> for Members<F> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut map: A) -> Result<(), A::Error> {
        while let Some(key) = map.next_key::<Text<'de>>()? {
            let value = map.next_value::<&'de RawValue>()?;
            if !(self.0)(&key.0, value) {
                return Err(A::Error::custom("found"));
            }
        }
        Ok(())
    }
}

/// A string, borrowed when it has no escapes.
#[derive(Deserialize)]
pub(super) struct Text<'a>(#[serde(borrow)] pub(super) Cow<'a, str>);

/// `text` without the member at `path`, and what that member was; `None` when there is no such member.
pub(super) fn without_member(text: &str, path: &[String]) -> Option<(String, JsonType)> {
    let (key, rest) = path.split_first()?;
    let mut removed = None;
    let mut kept = String::with_capacity(text.len());
    let members = Members(|name: &str, value: &RawValue| {
        let nested = if name != key {
            Some(Cow::Borrowed(value.get()))
        } else if rest.is_empty() {
            removed = Some(JsonType::of(value.get()));
            None
        } else {
            match without_member(value.get(), rest) {
                Some((nested, json_type)) => {
                    removed = Some(json_type);
                    Some(Cow::Owned(nested))
                }
                None => Some(Cow::Borrowed(value.get())),
            }
        };
        if let (Some(value), Ok(name)) = (nested, serde_json::to_string(name)) {
            let separator = if kept.is_empty() { '{' } else { ',' };
            kept.extend([separator.encode_utf8(&mut [0; 4]), &*name, ":", &*value]);
        }
        true
    });
    members.deserialize(&mut serde_json::Deserializer::from_str(text)).ok()?;
    if kept.is_empty() {
        kept.push('{');
    }
    kept.push('}');
    removed.map(|json_type| (kept, json_type))
}

impl fmt::Debug for RawJson {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RawJson").field("type", &self.json_type()).field("len", &self.0.len()).finish()
    }
}

/// Copies the text; as a member of a type of yours it keeps what no type fits.
impl<'de> Deserialize<'de> for RawJson {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let raw = Box::<RawValue>::deserialize(deserializer)?;
        Ok(Self(Box::<str>::from(raw).into_string().into()))
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
    /// Of a valid JSON text, told by its first character.
    pub(super) fn of(text: &str) -> Self {
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

/// Whether a text is JSON at all: any depth, and lone surrogate escapes allowed.
pub(super) fn check_is_json(text: &str) -> Result<(), serde_json::Error> {
    serde_json::from_str::<IgnoredAny>(text).map(drop)
}
