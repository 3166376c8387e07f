use std::{borrow::Cow, fmt, ops::Range};

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
///
/// ```
/// use twenty_webhook::event::{JsonType, RawJson};
///
/// # fn main() -> Result<(), serde_json::Error> {
/// let record: RawJson = serde_json::from_str(r#"{"plan":"PRO","seats":25,"price":1.50}"#)?; // as of `event.raw_record()`
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
    /// A body that was read as JSON before.
    pub(super) const fn of_body(body: Bytes) -> Self {
        Self(body)
    }

    /// The piece of `body` that `raw` is in `text`, which is `body` or a copy of it with other members blanked out. A `raw` from
    /// elsewhere is copied.
    pub(super) fn piece_of(body: &Bytes, text: &str, raw: &RawValue) -> Self {
        Self(match range_in(text, raw.get()) {
            Some(range) if range.end <= body.len() => body.slice(range),
            _ => Bytes::copy_from_slice(raw.get().as_bytes()),
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
    pub fn to_text(&self) -> Option<String> {
        self.parse().ok()
    }

    /// A member of an object; `None` when there is none of that name, or this is no object.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<Self> {
        self.find(|name| name == key.as_bytes())
    }

    /// The members of an object, in the order they were sent; empty for another type.
    ///
    /// Names that are no Unicode text (a lone surrogate escape) are given with replacement characters.
    #[must_use]
    pub fn members(&self) -> Vec<(String, Self)> {
        let mut members = Vec::new();
        each_member(self.as_str(), |name, value| {
            members.push((String::from_utf8_lossy(name).into_owned(), self.piece(value)));
            true
        });
        members
    }

    /// The first member of such a name.
    pub(super) fn find(&self, is_name: impl Fn(&[u8]) -> bool) -> Option<Self> {
        let mut found = None;
        each_member(self.as_str(), |name, value| {
            if is_name(name) {
                found = Some(self.piece(value));
            }
            found.is_none()
        });
        found
    }

    fn piece(&self, raw: &RawValue) -> Self {
        Self::piece_of(&self.0, self.as_str(), raw)
    }
}

/// Calls `with` for each member of an object, until it answers `false`. A text that is no object has no members.
fn each_member<'a>(text: &'a str, with: impl FnMut(&[u8], &'a RawValue) -> bool) {
    // An error is the early end, or no object: what was found until then is all there is.
    let _ = Members(with).deserialize(&mut serde_json::Deserializer::from_str(text));
}

struct Members<F>(F);

impl<'de, F: FnMut(&[u8], &'de RawValue) -> bool> DeserializeSeed<'de> for Members<F> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de, F: FnMut(&[u8], &'de RawValue) -> bool> Visitor<'de> for Members<F> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut map: A) -> Result<(), A::Error> {
        while let Some(key) = map.next_key::<MemberName<'de>>()? {
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

/// A member's name, also one that is no Unicode text.
#[derive(Deserialize)]
pub(super) struct MemberName<'a>(#[serde(borrow)] pub(super) Cow<'a, [u8]>);

/// Where `piece` lies in `text`; `None` when it lies elsewhere.
pub(crate) fn range_in(text: &str, piece: &str) -> Option<Range<usize>> {
    let start = (piece.as_ptr() as usize).checked_sub(text.as_ptr() as usize)?;
    let end = start.checked_add(piece.len())?;
    (end <= text.len()).then_some(start..end)
}

/// Overwrites the first member at `path` with blanks, so that all else stays where it is. Says what the member was; `None` when
/// there is no such member.
pub(super) fn blank_out(text: &mut String, path: &[String]) -> Option<JsonType> {
    let (last, parents) = path.split_last()?;
    let mut object = text.trim_ascii_start();
    for key in parents {
        object = find_member(object, key)?.1.get();
    }
    let (before, value) = find_member(object, last)?;
    let json_type = JsonType::of(value.get());
    let end = range_in(text, value.get())?.end;
    // With the comma that is no longer needed: the one before it, or the one after the first member.
    let range = match before {
        Some(before) => range_in(text, before.get())?.end..end,
        None => {
            let rest = text.get(end..)?.trim_ascii_start();
            let comma = rest.strip_prefix(',').and_then(|rest| range_in(text, rest));
            range_in(text, object)?.start.checked_add("{".len())?..comma.map_or(end, |rest| rest.start)
        }
    };
    blank(text, range)?;
    Some(json_type)
}

/// Overwrites a piece with blanks. Line breaks stay, for the line numbers in errors.
fn blank(text: &mut String, range: Range<usize>) -> Option<()> {
    let blanks: String = text.get(range.clone())?.bytes().map(|b| if b == b'\n' { '\n' } else { ' ' }).collect();
    text.replace_range(range, &blanks);
    Some(())
}

/// An object's text with blanks for the names of members that are not wanted. All else is, and stays, where it was.
pub(super) fn blank_names<'a>(text: &'a str, mut is_wanted: impl FnMut(&[u8], &'a RawValue) -> bool) -> String {
    let mut before_values = Vec::new();
    let mut behind = 0;
    each_member(text, |name, value| {
        if let Some(Range { start, end }) = range_in(text, value.get()) {
            if !is_wanted(name, value) {
                before_values.push(behind..start);
            }
            behind = end;
        }
        true
    });
    let mut blanked = text.to_owned();
    for range in before_values {
        let name = text.get(range).and_then(|text| Some(text.split_once('"')?.1.rsplit_once('"')?.0));
        if let Some(range) = name.and_then(|name| range_in(text, name)) {
            blank(&mut blanked, range);
        }
    }
    blanked
}

/// The first member of that name, and the value of the member before it.
pub(crate) fn find_member<'a>(object: &'a str, key: &str) -> Option<(Option<&'a RawValue>, &'a RawValue)> {
    let mut before = None;
    let mut found = None;
    each_member(object, |name, value| {
        if name == key.as_bytes() {
            found = Some(value);
        } else {
            before = Some(value);
        }
        found.is_none()
    });
    Some((before, found?))
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

/// The six types of JSON values. JSON has no others.
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

/// Whether a text is JSON at all: any depth, and lone surrogate escapes allowed.
pub(crate) fn check_is_json(text: &str) -> Result<(), serde_json::Error> {
    serde_json::from_str::<IgnoredAny>(text).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_piece_from_elsewhere_is_copied() {
        let body = Bytes::from_static(br#"{"a":[1]}"#);
        let shorter = r#"{"a":[1]}"#;
        let longer = &*format!("   {shorter}");
        for (text, raw) in [(longer, &longer[3..]), (longer, &longer[8..11]), (shorter, &longer[8..11])] {
            let raw = serde_json::from_str(raw).unwrap();
            let piece = RawJson::piece_of(&body, text, raw);
            assert_eq!(piece.as_str(), raw.get());
            assert!(range_in(std::str::from_utf8(&body).unwrap(), piece.as_str()).is_none());
        }
        let shared = RawJson::piece_of(&body, shorter, serde_json::from_str(&shorter[5..8]).unwrap());
        assert_eq!(shared.as_str().as_ptr(), body[5..].as_ptr());
    }
}
