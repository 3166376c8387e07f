//! From the verified bytes to the event's parts.
//!
//! One pass in the order in which Twenty writes: the name comes before the record, so the record is typed as it is met. When
//! that pass fails, for whatever reason, the slow path finds out why: it looks the name up first, blanks the names of the envelope's
//! members that nobody asks for, then blanks out one unreadable member after the other, and reports them. Blanks keep every offset:
//! pieces that are kept raw are pieces of the body itself, and an error's line and column are those of the body.
//!
//! Of members that are there twice, which Twenty's `JSON.stringify` cannot write, the first counts.

use std::{fmt, marker::PhantomData};

use bytes::Bytes;
use serde::{
    Deserialize, Deserializer,
    de::{
        DeserializeSeed, Error as _, IgnoredAny, MapAccess, Visitor,
        value::{self, StrDeserializer},
    },
};
use serde_json::value::RawValue;
use serde_path_to_error::Segment;

use super::{
    EventError, EventName, JsonType, RawJson,
    field::{self, Id, Time},
    json,
    raw::{MemberName, Text, blank_names, blank_out, check_is_json},
    record::{FromRecord, Payload},
};

/// How many members the slow path takes out before it gives up on typing: more than any standard object and its envelope have.
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
    pub(super) event_date: Option<Time>,
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
    /// Where it is, from the body's root: `record.emails.primaryEmail`. Ends in a question mark below a field that is no composite of
    /// Twenty's, since keys may be data there.
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
        while let Some(MemberName(name)) = map.next_key()? {
            let key = Key::of(&name);
            match key {
                Key::EventName | Key::Event | Key::EventType => {
                    let text = map.next_value::<&'de RawValue>()?;
                    if let (None, Ok(text)) = (&heading.name, serde_json::from_str::<Text<'_>>(text.get())) {
                        heading.name = Some(name_at(&key, &text.0));
                    }
                }
                Key::WorkspaceId if heading.workspace_id.is_none() => heading.workspace_id = id(map.next_value()?),
                Key::WebhookId if heading.webhook_id.is_none() => heading.webhook_id = id(map.next_value()?),
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
    let text = match std::str::from_utf8(body) {
        Ok(text) => text,
        Err(error) => return Err(EventError::not_utf8(body, &error)),
    };
    let reader = Reader::<T> { body, text, name_ahead: None, keep_raw: false, record: PhantomData };
    let mut json = json::Reader::new(text);
    match reader.deserialize(&mut json) {
        Ok(envelope) if json.is_at_end() => Ok((envelope, Vec::new())),
        _ => read_slowly(body, text),
    }
}

/// Reads what [`read`] could not: typed but without the members that are in the way; else with the record kept raw; else as one
/// raw piece. Only a type that keeps anything goes beyond the first.
#[cold]
fn read_slowly<T: FromRecord>(body: &Bytes, text: &str) -> Result<(Envelope<T>, Vec<UnexpectedMember>), EventError> {
    check_is_json(text).map_err(|error| EventError::not_json(&error))?;
    let name = Heading::read_name(body).unwrap_or_else(|| EventName::new(""));
    T::check_object(&name)?;
    read_repaired(body, text, &name, false)
        .or_else(|error| read_repaired(body, text, &name, true).map_err(|_| error))
        .or_else(|error| {
            let record = T::keep_raw(&name, RawJson::of_body(body.clone())).ok_or(error)?;
            Ok((Envelope { name, record, about: About::default() }, Vec::new()))
        })
}

/// Reads `text`, blanking out one unreadable member after the other.
fn read_repaired<T: FromRecord>(
    body: &Bytes,
    text: &str,
    name: &EventName,
    keep_raw: bool,
) -> Result<(Envelope<T>, Vec<UnexpectedMember>), EventError> {
    let mut text = known_members(text);
    let mut unexpected = Vec::new();
    // The record as a whole is never taken out, it is what was asked for.
    let is_payload = |key: &str| match key {
        "record" | "data" => true,
        "event" => name.metadata_name().is_some(),
        _ => false,
    };
    loop {
        let reader = Reader::<T> { body, text: &text, name_ahead: Some(name), keep_raw, record: PhantomData };
        let mut track = serde_path_to_error::Track::new();
        let mut deserializer = serde_json::Deserializer::from_str(&text);
        let tracked = serde_path_to_error::Deserializer::new(&mut deserializer, &mut track);
        let error = match reader.deserialize(tracked) {
            Ok(envelope) => return Ok((envelope, unexpected)),
            Err(error) => error,
        };
        let path = member_path(&track.path());
        let can_go = !matches!(&*path, [key] if is_payload(key));
        match if can_go && unexpected.len() < MAX_REPAIRS { blank_out(&mut text, &path) } else { None } {
            Some(found) => unexpected.push(UnexpectedMember { path: printable(&path), found }),
            None => return Err(mismatch(path, &error, &unexpected)),
        }
    }
}

/// The envelope with each member that is known, once: a name can be such as no reader takes, and there can be any number of odd members.
fn known_members(text: &str) -> String {
    let mut seen = Vec::new();
    blank_names(text, |name, value| {
        let key = Key::of(name);
        let is_wanted = key != Key::Other && !seen.contains(&key);
        // `null` says nothing, so the next one counts.
        if is_wanted && value.get() != "null" {
            seen.push(key);
        }
        is_wanted
    })
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

/// Says where the error is: for a missing field, which field that is, and whether it is missing because it was taken out.
fn mismatch(mut path: Vec<String>, error: &serde_json::Error, unexpected: &[UnexpectedMember]) -> EventError {
    let words = error.to_string();
    // serde has no other way to tell. The name comes from the type that was asked for.
    let missing = words.strip_prefix("missing field `").and_then(|rest| rest.split_once('`')).map(|(field, _)| field);
    if let Some(field) = missing {
        if path.is_empty() {
            path.push("record".to_owned());
        }
        path.push(field.to_owned());
    }
    let path = printable(&path);
    let is_missing = missing.is_some() && !unexpected.iter().any(|member| member.path == path);
    EventError::mismatch(path, error, is_missing)
}

/// A path for logs: the envelope's member, the record's field, and below that what the composite fields consist of. Other keys
/// may be data (a JSON field keyed by e-mail address), so the path ends there with a question mark.
fn printable(path: &[String]) -> String {
    let is_plain = |key: &str| key.len() <= 64 && key.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
    let is_known = |depth, key: &str| depth < 2 && is_plain(key) || field::COMPOSITE_MEMBERS.contains(&key);
    let known = path.iter().enumerate().take_while(|(depth, key)| is_known(*depth, key)).map(|(_, key)| &**key);
    let mut keys: Vec<_> = known.collect();
    if keys.len() < path.len() {
        keys.push("?");
    }
    keys.join(".")
}

#[derive(PartialEq, Deserialize)]
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

impl Key {
    /// Also of a name that is no Unicode text.
    fn of(name: &[u8]) -> Self {
        let name = std::str::from_utf8(name).unwrap_or_default();
        Self::deserialize(StrDeserializer::<value::Error>::new(name)).unwrap_or(Self::Other)
    }
}

/// Reads an envelope and the record in it.
struct Reader<'a, T> {
    /// The delivery, for pieces to be kept without a copy.
    body: &'a Bytes,
    /// The text that is read: the body, perhaps with blanks.
    text: &'a str,
    /// Looked up beforehand on the slow path, for a record that comes before the name.
    name_ahead: Option<&'a EventName>,
    /// Keeps the record raw, whatever it is.
    keep_raw: bool,
    record: PhantomData<T>,
}

impl<T: FromRecord> Reader<'_, T> {
    fn read<'de, D: Deserializer<'de>>(&self, name: &EventName, from: D) -> Result<T, D::Error> {
        let payload = Payload { name, body: self.body, text: self.text };
        if !self.keep_raw {
            return T::read(payload, from);
        }
        T::keep_raw(name, payload.read_raw(from)?).ok_or_else(|| D::Error::custom("a type that keeps no raw record"))
    }

    /// Reads `piece` apart from the pass over the body. An error is told without its position, which is one in the piece: the pass adds its
    /// own.
    fn read_piece<E: serde::de::Error>(&self, name: &EventName, piece: &str) -> Result<T, E> {
        self.read(name, &mut serde_json::Deserializer::from_str(piece)).map_err(|error| {
            let position = format!(" at line {} column {}", error.line(), error.column());
            let error = error.to_string();
            E::custom(error.strip_suffix(&position).unwrap_or(&error))
        })
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
                Key::Event if name.is_none() => {
                    let event = map.next_value_seed(EventSeed { reader: &self })?;
                    name = event.name;
                    record = record.or(event.payload);
                }
                Key::Record | Key::Data | Key::Event if record.is_none() => match name.as_ref().or(self.name_ahead) {
                    Some(name) if !matches!(key, Key::Event) || name.metadata_name().is_some() => {
                        record = Some(map.next_value_seed(RecordSeed { reader: &self, name })?);
                    }
                    Some(_) => drop(map.next_value::<IgnoredAny>()?),
                    None => return Err(no_name_yet()),
                },
                Key::ObjectMetadata => first(&mut about.object_metadata, &mut map)?,
                Key::WorkspaceId => first(&mut about.workspace_id, &mut map)?,
                Key::WebhookId => first(&mut about.webhook_id, &mut map)?,
                Key::EventDate | Key::Timestamp => first(&mut about.event_date, &mut map)?,
                Key::UserId => first(&mut about.user_id, &mut map)?,
                Key::WorkspaceMemberId => first(&mut about.workspace_member_id, &mut map)?,
                Key::ApiKeyId => first(&mut about.api_key_id, &mut map)?,
                Key::ApplicationId => first(&mut about.application_id, &mut map)?,
                Key::UpdatedFields => first(&mut about.updated_fields, &mut map)?,
                _ => drop(map.next_value::<IgnoredAny>()?),
            }
        }
        let name = name.or_else(|| self.name_ahead.cloned()).unwrap_or_else(|| EventName::new(""));
        let record = match record {
            Some(record) => record,
            None => self.read_piece(&name, "{}")?,
        };
        Ok(Envelope { name, record, about })
    }
}

/// Reads a value into its place, unless an earlier member was there first.
fn first<'de, V: Deserialize<'de>, A: MapAccess<'de>>(place: &mut Option<V>, map: &mut A) -> Result<(), A::Error> {
    match place {
        None => *place = map.next_value()?,
        Some(_) => drop(map.next_value::<IgnoredAny>()?),
    }
    Ok(())
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

/// The member `event` where the name is not known yet: the name itself, or a metadata event's payload.
struct EventSeed<'a, 'b, T> {
    reader: &'a Reader<'b, T>,
}

struct EventMember<T> {
    name: Option<EventName>,
    payload: Option<T>,
}

impl<'de, T: FromRecord> DeserializeSeed<'de> for EventSeed<'_, '_, T> {
    type Value = EventMember<T>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<EventMember<T>, D::Error> {
        let raw = <&'de RawValue>::deserialize(deserializer)?;
        match JsonType::of(raw.get()) {
            JsonType::String | JsonType::Null => {
                let text: Option<Text<'_>> = serde_json::from_str(raw.get()).map_err(D::Error::custom)?;
                Ok(EventMember { name: text.map(|text| EventName::new(&*text.0)), payload: None })
            }
            _ => match self.reader.name_ahead {
                Some(name) if name.metadata_name().is_some() => {
                    Ok(EventMember { name: None, payload: Some(self.reader.read_piece(name, raw.get())?) })
                }
                _ => Err(D::Error::custom("neither a name nor the payload of a metadata event")),
            },
        }
    }
}
