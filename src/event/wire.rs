//! From the verified bytes to the event's parts.
//!
//! One pass in the order in which Twenty writes: the name comes before the record, so the record is typed as it is met. When
//! that pass fails, for whatever reason, the slow path finds out why: it looks the name up first, then takes out one
//! unreadable member after the other, and reports them.

use std::{borrow::Cow, fmt, marker::PhantomData};

use bytes::Bytes;
use serde::{
    Deserialize, Deserializer,
    de::{DeserializeSeed, Error as _, IgnoredAny, MapAccess, Visitor},
};
use serde_json::value::RawValue;
use serde_path_to_error::Segment;

use super::{
    EventError, EventName, JsonType,
    field::Id,
    raw::{Text, check_is_json, without_member},
    record::{FromRecord, Payload},
};

/// How many members the slow path takes out before it gives up on typing.
const MAX_REPAIRS: usize = 64;

/// A delivery, taken apart.
pub(super) struct Envelope<T> {
    pub(super) name: EventName,
    pub(super) record: T,
    pub(super) about: About,
}

/// What a delivery says besides its name and record.
#[derive(Default)]
pub(super) struct About {
    pub(super) updated_fields: Option<Vec<String>>,
    pub(super) object_metadata: Option<ObjectMetadata>,
    pub(super) workspace_id: Option<Id>,
    pub(super) webhook_id: Option<Id>,
    pub(super) event_date: Option<jiff::Timestamp>,
    pub(super) user_id: Option<Id>,
    pub(super) workspace_member_id: Option<Id>,
    pub(super) api_key_id: Option<Id>,
    pub(super) application_id: Option<Id>,
}

/// The object that an event is about, as Twenty's data model has it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct ObjectMetadata {
    /// The object's id in the data model.
    pub id: Option<Id>,
    /// The object's name in the singular.
    pub name_singular: Option<String>,
}

/// A member that was not of the type that was expected there, and reads as absent.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct UnexpectedMember {
    /// Where it is, from the body's root: `record.emails.primaryEmail`.
    pub path: String,
    /// What was found there.
    pub found: JsonType,
}

/// What can be said of a delivery without reading its record.
#[derive(Debug, Default)]
pub(crate) struct Heading {
    pub(crate) name: Option<EventName>,
    pub(crate) workspace_id: Option<Id>,
    pub(crate) webhook_id: Option<Id>,
}

impl Heading {
    /// Reads no further than it must. Of a body that is no JSON object, what was found until then.
    #[cfg(any(feature = "actix-web", feature = "tower"))]
    pub(crate) fn read(body: &[u8]) -> Self {
        let mut heading = Self::default();
        let _ = HeadingVisitor { heading: &mut heading, all: true }
            .deserialize(&mut serde_json::Deserializer::from_slice(body));
        heading
    }

    /// The name alone: two or three members into the body that Twenty sends.
    pub(crate) fn read_name(body: &[u8]) -> Option<EventName> {
        let mut heading = Self::default();
        let _ = HeadingVisitor { heading: &mut heading, all: false }
            .deserialize(&mut serde_json::Deserializer::from_slice(body));
        heading.name
    }
}

struct HeadingVisitor<'a> {
    heading: &'a mut Heading,
    all: bool,
}

impl<'de> DeserializeSeed<'de> for HeadingVisitor<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for HeadingVisitor<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a delivery")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let Self { heading, all } = self;
        while let Some(key) = map.next_key()? {
            match key {
                Key::EventName | Key::Event | Key::EventType => {
                    let text = map.next_value::<&'de RawValue>()?;
                    if let (None, Ok(text)) = (&heading.name, serde_json::from_str::<Text<'_>>(text.get())) {
                        heading.name = Some(name_at(&key, &text.0));
                    }
                }
                Key::WorkspaceId => heading.workspace_id = id(map.next_value()?),
                Key::WebhookId => heading.webhook_id = id(map.next_value()?),
                _ => drop(map.next_value::<IgnoredAny>()?),
            }
            let complete = !all || heading.workspace_id.is_some() && heading.webhook_id.is_some();
            if heading.name.is_some() && complete {
                return Err(A::Error::custom("read enough"));
            }
        }
        Ok(())
    }
}

fn id(raw: &RawValue) -> Option<Id> {
    serde_json::from_str(raw.get()).ok()
}

fn name_at(key: &Key, text: &str) -> EventName {
    if matches!(key, Key::EventType) { EventName::from_event_type(text) } else { EventName::new(text) }
}

/// Reads a delivery.
pub(super) fn read<T: FromRecord>(body: &Bytes) -> Result<(Envelope<T>, Vec<UnexpectedMember>), EventError> {
    let Ok(text) = std::str::from_utf8(body) else {
        return Err(EventError::not_json(&serde_json::Error::custom("not UTF-8")));
    };
    let reader = Reader::<T> { base: body, name_ahead: None, keep_raw: false, record: PhantomData };
    let mut deserializer = serde_json::Deserializer::from_str(text);
    match reader.deserialize(&mut deserializer).and_then(|envelope| deserializer.end().map(|()| envelope)) {
        Ok(envelope) => Ok((envelope, Vec::new())),
        Err(_) => read_slowly(body, text),
    }
}

/// Reads what [`read`] could not, without the members that are in the way.
#[cold]
fn read_slowly<T: FromRecord>(body: &Bytes, text: &str) -> Result<(Envelope<T>, Vec<UnexpectedMember>), EventError> {
    check_is_json(text).map_err(|error| EventError::not_json(&error))?;
    let name = Heading::read_name(body).unwrap_or_else(|| EventName::new(""));
    T::check_object(&name)?;
    if T::CAN_BE_RAW && JsonType::of(text) != JsonType::Object {
        let payload = Payload { name: &name, base: body };
        let record = T::keep_raw(payload, &mut serde_json::Deserializer::from_str(text));
        let record = record.map_err(|error| EventError::mismatch(printable(&[]), &error))?;
        return Ok((Envelope { name, record, about: About::default() }, Vec::new()));
    }

    let mut base = body.clone();
    let mut text = Cow::Borrowed(text);
    let mut unexpected = Vec::new();
    let mut keep_raw = false;
    loop {
        let reader = Reader::<T> { base: &base, name_ahead: Some(&name), keep_raw, record: PhantomData };
        let mut track = serde_path_to_error::Track::new();
        let mut deserializer = serde_json::Deserializer::from_str(&text);
        let tracked = serde_path_to_error::Deserializer::new(&mut deserializer, &mut track);
        let error = match reader.deserialize(tracked) {
            Ok(envelope) => return Ok((envelope, unexpected)),
            Err(error) => error,
        };
        let path = member_path(&track.path());
        // The record as a whole is never taken out, it is what was asked for: the default type keeps it raw instead.
        let can_go = match &*path {
            [] => false,
            [key] => !is_payload(key),
            _ => unexpected.len() < MAX_REPAIRS,
        };
        match if can_go { without_member(&text, &path) } else { None } {
            Some((without, found)) => {
                unexpected.push(UnexpectedMember { path: printable(&path), found });
                // Pieces that are kept raw must lie in the text that is read.
                base = Bytes::from(without.clone());
                text = Cow::Owned(without);
            }
            None if T::CAN_BE_RAW && !keep_raw => keep_raw = true,
            None => return Err(EventError::mismatch(printable(&path), &error)),
        }
    }
}

fn is_payload(key: &str) -> bool {
    matches!(key, "record" | "data" | "event")
}

/// The object members on the way to an error, no further than the first array: an array with one odd element is odd as a whole.
fn member_path(path: &serde_path_to_error::Path) -> Vec<String> {
    path.iter()
        .map_while(|segment| match segment {
            Segment::Map { key } => Some(key.clone()),
            _ => None,
        })
        .collect()
}

/// A path for logs. A key that is no plain name may hold data (a JSON field keyed by e-mail address), so it is not shown.
fn printable(path: &[String]) -> String {
    let is_plain = |key: &str| key.len() <= 64 && key.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
    let keys: Vec<_> = path.iter().map(|key| if is_plain(key) { key } else { "?" }).collect();
    if keys.is_empty() { "the body".to_owned() } else { keys.join(".") }
}

#[derive(Deserialize)]
#[serde(field_identifier, rename_all = "camelCase")]
enum Key {
    EventName,
    /// The name in the documented body; what changed in a metadata event.
    Event,
    /// The name until autumn 2024.
    EventType,
    ObjectMetadata,
    WorkspaceId,
    WebhookId,
    EventDate,
    /// The event's date in the documented body.
    Timestamp,
    UserId,
    WorkspaceMemberId,
    ApiKeyId,
    ApplicationId,
    Record,
    /// The record in the documented body.
    Data,
    UpdatedFields,
    #[serde(other)]
    Other,
}

/// Reads an envelope and the record in it.
struct Reader<'a, T> {
    /// The bytes that are read, for pieces to be kept without a copy.
    base: &'a Bytes,
    /// Looked up beforehand on the slow path, for a record that comes before the name.
    name_ahead: Option<&'a EventName>,
    /// Keeps the record raw, whatever it is.
    keep_raw: bool,
    record: PhantomData<T>,
}

impl<T: FromRecord> Reader<'_, T> {
    fn read<'de, D: Deserializer<'de>>(&self, name: &EventName, from: D) -> Result<T, D::Error> {
        let payload = Payload { name, base: self.base };
        if self.keep_raw { T::keep_raw(payload, from) } else { T::read(payload, from) }
    }

    /// Reads `text` apart from the pass over the body.
    fn read_text<E: serde::de::Error>(&self, name: &EventName, text: &str) -> Result<T, E> {
        self.read(name, &mut serde_json::Deserializer::from_str(text)).map_err(E::custom)
    }
}

impl<'de, T: FromRecord> DeserializeSeed<'de> for Reader<'_, T> {
    type Value = Envelope<T>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Envelope<T>, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de, T: FromRecord> Visitor<'de> for Reader<'_, T> {
    type Value = Envelope<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a delivery")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Envelope<T>, A::Error> {
        // Sends the fast path to the slow one, which knows the name.
        let no_name_yet = || A::Error::custom("the record comes before the name");
        let mut name = None;
        let mut record = None;
        let mut about = About::default();
        while let Some(key) = map.next_key()? {
            match key {
                Key::EventName | Key::EventType if name.is_none() => {
                    name = map.next_value::<Option<Text<'de>>>()?.map(|text| name_at(&key, &text.0));
                }
                Key::Event => {
                    let raw = map.next_value::<&'de RawValue>()?;
                    match JsonType::of(raw.get()) {
                        JsonType::Object if record.is_none() => {
                            let name = name.as_ref().or(self.name_ahead).ok_or_else(no_name_yet)?;
                            record = Some(self.read_text(name, raw.get())?);
                        }
                        JsonType::String if name.is_none() => {
                            let text = serde_json::from_str::<Text<'_>>(raw.get()).map_err(A::Error::custom)?;
                            name = Some(name_at(&key, &text.0));
                        }
                        _ => {}
                    }
                }
                Key::Record | Key::Data if record.is_none() => {
                    let name = name.as_ref().or(self.name_ahead).ok_or_else(no_name_yet)?;
                    record = Some(map.next_value_seed(RecordSeed { reader: &self, name })?);
                }
                Key::ObjectMetadata => about.object_metadata = map.next_value()?,
                Key::WorkspaceId => about.workspace_id = map.next_value()?,
                Key::WebhookId => about.webhook_id = map.next_value()?,
                Key::EventDate | Key::Timestamp if about.event_date.is_none() => about.event_date = map.next_value()?,
                Key::UserId => about.user_id = map.next_value()?,
                Key::WorkspaceMemberId => about.workspace_member_id = map.next_value()?,
                Key::ApiKeyId => about.api_key_id = map.next_value()?,
                Key::ApplicationId => about.application_id = map.next_value()?,
                Key::UpdatedFields => about.updated_fields = map.next_value()?,
                _ => drop(map.next_value::<IgnoredAny>()?),
            }
        }
        let name = name.unwrap_or_else(|| EventName::new(""));
        let record = match record {
            Some(record) => record,
            None => self.read_text(&name, "{}")?,
        };
        Ok(Envelope { name, record, about })
    }
}

struct RecordSeed<'a, 'b, T> {
    reader: &'a Reader<'b, T>,
    name: &'a EventName,
}

impl<'de, T: FromRecord> DeserializeSeed<'de> for RecordSeed<'_, '_, T> {
    type Value = T;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<T, D::Error> {
        self.reader.read(self.name, deserializer)
    }
}
