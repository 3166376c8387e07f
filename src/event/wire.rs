//! Reads the parts of an event from the verified bytes.
//!
//! The fast path is one pass in Twenty's order: the name comes before the record, so the record's
//! type is known when the record is reached. If that pass fails, for any reason, the slow path
//! finds the members first, then reads each one separately, and leaves out and reports members that
//! do not fit.
//!
//! If several members have the same name, which Twenty's `JSON.stringify` cannot write, the first
//! one counts.

use std::collections::HashSet;

use bytes::Bytes;
use serde::{
    Deserialize,
    de::{DeserializeOwned, Error as _},
};

use super::{
    EventError, EventName, JsonType, RawJson, UnexpectedMember,
    envelope::{About, Envelope, Key},
    json::{Inside, Member, Members, NotRead, Reader, check_is_json, odd_names},
    raw::Text,
    record::{FromRecord, Payload, as_sent},
    unexpected::{self, MAX_UNEXPECTED, Object},
};

pub(super) fn event_name(member: &Member<'_>) -> Option<EventName> {
    serde_json::from_str::<Text<'_>>(member.value).ok().map(EventName::from)
}

/// Reads a delivery.
pub(super) fn read<T: FromRecord>(body: &Bytes) -> Result<(Envelope<T>, Vec<UnexpectedMember>), EventError> {
    let text = match std::str::from_utf8(body) {
        Ok(text) => text,
        Err(error) => return Err(EventError::not_utf8(body, &error)),
    };
    match read_fast(body, text) {
        Some(envelope) => Ok((envelope, Vec::new())),
        None => read_slowly(body, text),
    }
}

/// Reads a delivery in which everything fits, no name is repeated, and the event's name comes
/// before the record.
fn read_fast<T: FromRecord>(body: &Bytes, text: &str) -> Option<Envelope<T>> {
    let mut reader = Reader::<NotRead>::of_envelope(text);
    reader.next().filter(|first| *first == b'{')?;
    // Records are large, so they are read into their final place.
    let mut parts = Parts { name: None, record: None, about: About::default(), may_repeat: false };
    reader.enter(b'}', |members| parts.read(body, members)).ok()?;
    if !reader.is_complete() || parts.may_repeat && odd_names(text).any(|odd| odd.is_repeated) {
        return None;
    }
    let name = parts.name.unwrap_or_else(|| EventName::new(""));
    if parts.record.is_none() {
        read_record(&mut parts.record, body, &name, &mut Reader::new("{}")).ok()?;
    }
    Some(Envelope { name, record: parts.record?, about: parts.about })
}

struct Parts<T> {
    name: Option<EventName>,
    record: Option<T>,
    about: About,
    /// Whether an unknown name may be repeated.
    may_repeat: bool,
}

impl<T: FromRecord> Parts<T> {
    fn read(&mut self, body: &Bytes, mut members: Inside<'_, '_, NotRead>) -> Result<(), NotRead> {
        let Self { name, record, about, may_repeat } = self;
        let mut seen = 0_u64;
        while let Some(key) = members.next_name()? {
            let Some(key) = Key::of(&key) else {
                // One bit for each length, because Twenty adds few members.
                let bit = UNKNOWN << (key.len() % 32);
                *may_repeat |= seen & bit != 0;
                seen |= bit;
                members.reader().skip()?;
                continue;
            };
            let bit = 1 << key as u8;
            if seen & bit != 0 {
                return Err(NotRead);
            }
            seen |= bit;
            match key {
                Key::EventName if name.is_none() => *name = members.value::<Option<Text<'_>>>()?.map(EventName::from),
                Key::Event if name.is_none() => match members.reader().next() {
                    Some(b'"' | b'n') => *name = members.value::<Option<Text<'_>>>()?.map(EventName::from),
                    _ => return Err(NotRead),
                },
                Key::Data if record.is_none() => {
                    let name = name.as_ref().ok_or(NotRead)?;
                    let text = members.reader().skip()?;
                    let sent = documented::<T>(name, text);
                    let mut reader = Reader::new(sent.as_deref().unwrap_or(text));
                    read_record(record, body, name, &mut reader)?;
                    if !reader.is_complete() {
                        return Err(NotRead);
                    }
                }
                Key::Record | Key::Event if record.is_none() => match name {
                    Some(name) if key == Key::Record || name.metadata_name().is_some() => {
                        read_record(record, body, name, members.reader())?;
                    }
                    Some(_) => drop(members.reader().skip()?),
                    None => return Err(NotRead),
                },
                Key::ObjectMetadata => {
                    let reader = members.reader();
                    let start = begin_object(reader);
                    about.object_metadata = Deserialize::deserialize(&mut *reader)?;
                    end_object(reader, start)?;
                }
                Key::WorkspaceId => about.workspace_id = members.value()?,
                Key::WebhookId => about.webhook_id = members.value()?,
                Key::EventDate | Key::Timestamp if about.event_date.is_none() => about.event_date = members.value()?,
                Key::UserId => about.user_id = members.value()?,
                Key::WorkspaceMemberId => about.workspace_member_id = members.value()?,
                Key::ApiKeyId => about.api_key_id = members.value()?,
                Key::ApplicationId => about.application_id = members.value()?,
                Key::UpdatedFields => about.updated_fields = members.value()?,
                _ => drop(members.reader().skip()?),
            }
        }
        Ok(())
    }
}

/// The lowest bit for unknown names, above the bits of [`Key`].
const UNKNOWN: u64 = 1 << 32;

/// Converts a record in the form of the official documentation to the form that Twenty sends.
#[cold]
fn documented<T: FromRecord>(name: &EventName, record: &str) -> Option<String> {
    if T::is_person(name) { as_sent(record) } else { None }
}

/// Reads the record into its place.
fn read_record<T: FromRecord>(
    place: &mut Option<T>,
    body: &Bytes,
    name: &EventName,
    reader: &mut Reader<'_, NotRead>,
) -> Result<(), NotRead> {
    T::check_object(name).map_err(NotRead::custom)?;
    reader.expect_value()?;
    let start = begin_object(reader);
    *place = Some(T::read(Payload { name, body }, reader)?);
    end_object(reader, start)
}

/// Returns the start of an object whose names are checked.
fn begin_object(reader: &mut Reader<'_, NotRead>) -> usize {
    reader.forget_names();
    reader.position()
}

/// Checks the end of an object, in which no name may be repeated and all names must be Unicode.
fn end_object(reader: &Reader<'_, NotRead>, start: usize) -> Result<(), NotRead> {
    let is_odd = reader.has_repeated_name() && odd_names(reader.text_since(start)).next().is_some();
    if is_odd { Err(NotRead) } else { Ok(()) }
}

impl From<Text<'_>> for EventName {
    fn from(text: Text<'_>) -> Self {
        Self::new(text.0)
    }
}

/// Reads deliveries that [`read_fast`] cannot read: each member separately, and the record without
/// the members that do not fit. A record that `T` rejects is kept raw if `T` supports that, and so
/// is a body that is not an object.
#[cold]
fn read_slowly<T: FromRecord>(body: &Bytes, text: &str) -> Result<(Envelope<T>, Vec<UnexpectedMember>), EventError> {
    check_is_json(text).map_err(|error| EventError::not_json(&error))?;
    let mut unexpected = Vec::new();
    let members = known_members(text, &mut unexpected);
    let named = members.iter().find_map(|(key, member)| match *key {
        Key::EventName | Key::Event => Some((member.start, event_name(member)?)),
        _ => None,
    });
    let (name_at, name) = named.unwrap_or_else(|| (usize::MAX, EventName::new("")));
    T::check_object(&name)?;
    let payload = Payload { name: &name, body };
    if JsonType::of(text) != JsonType::Object {
        let record = T::keep_raw(&name, RawJson::of_body(body.clone()));
        let record = record.ok_or_else(|| EventError::mismatch("", false, text, 0))?;
        return Ok((Envelope { name, record, about: About::default() }, unexpected));
    }

    let mut record = None;
    let mut about = About::default();
    for &(key, member) in &members {
        let mut odd = |is_odd: bool| {
            if is_odd {
                report(&mut unexpected, key.name(), &member, false);
            }
        };
        // The member `event` is the name, or the payload of a metadata event.
        let is_payload = name.metadata_name().is_some() && member.start != name_at;
        match key {
            Key::Record | Key::Data | Key::Event if record.is_none() && (key != Key::Event || is_payload) => {
                let object = Object { body: text, text: member.value, end: member.end, path: key.name() };
                let (read, left_out) = read_object_or_keep::<T>(payload, object)?;
                unexpected.extend(left_out);
                record = Some(read);
            }
            // After the name, these members have no meaning, so their types do not matter.
            Key::EventName | Key::Event => odd(member.start < name_at && member.value != "null"),
            Key::ObjectMetadata if member.value != "null" => {
                let object = Object { body: text, text: member.value, end: member.end, path: key.name() };
                match unexpected::read(payload, object) {
                    Ok((metadata, left_out)) => {
                        about.object_metadata = Some(metadata);
                        unexpected.extend(left_out);
                    }
                    Err(_) => odd(true),
                }
            }
            Key::WorkspaceId => odd(!read_into(&mut about.workspace_id, &member)),
            Key::WebhookId => odd(!read_into(&mut about.webhook_id, &member)),
            Key::EventDate | Key::Timestamp if about.event_date.is_none() => {
                odd(!read_into(&mut about.event_date, &member));
            }
            Key::UserId => odd(!read_into(&mut about.user_id, &member)),
            Key::WorkspaceMemberId => odd(!read_into(&mut about.workspace_member_id, &member)),
            Key::ApiKeyId => odd(!read_into(&mut about.api_key_id, &member)),
            Key::ApplicationId => odd(!read_into(&mut about.application_id, &member)),
            Key::UpdatedFields => odd(!read_into(&mut about.updated_fields, &member)),
            _ => {}
        }
    }
    let record = match record {
        Some(record) => record,
        None => {
            let object = Object { body: text, text: "{}", end: text.trim_ascii_end().len(), path: "record" };
            read_object_or_keep(payload, object)?.0
        }
    };
    Ok((Envelope { name, record, about }, unexpected))
}

fn read_object_or_keep<T: FromRecord>(
    payload: Payload<'_>,
    object: Object<'_>,
) -> Result<(T, Vec<UnexpectedMember>), EventError> {
    let sent = if object.path == Key::Data.name() { documented::<T>(payload.name, object.text) } else { None };
    match unexpected::read::<T>(payload, Object { text: sent.as_deref().unwrap_or(object.text), ..object }) {
        Ok(read) => Ok(read),
        Err(error) => {
            let raw = RawJson::piece_of(payload.body, object.text);
            Ok((T::keep_raw(payload.name, raw).ok_or(error)?, unexpected::odd_names(object)))
        }
    }
}

/// Returns the envelope's known members, each once. Reports members with a repeated name.
fn known_members<'a>(text: &'a str, unexpected: &mut Vec<UnexpectedMember>) -> Vec<(Key, Member<'a>)> {
    let mut names = HashSet::new();
    let mut known = Vec::new();
    for member in Members::of(text) {
        let name = member.name();
        if !names.insert(name.clone()) {
            report(unexpected, &unexpected::printable(&name), &member, true);
        } else if let Some(key) = std::str::from_utf8(&name).ok().and_then(Key::of) {
            known.push((key, member));
        }
    }
    known
}

fn report(unexpected: &mut Vec<UnexpectedMember>, path: &str, member: &Member<'_>, is_repeated: bool) {
    if unexpected.len() < MAX_UNEXPECTED {
        unexpected.push(UnexpectedMember { path: path.to_owned(), found: JsonType::of(member.value), is_repeated });
    }
}

/// Returns whether the member has the expected type or is `null`.
fn read_into<V: DeserializeOwned>(place: &mut Option<V>, member: &Member<'_>) -> bool {
    match serde_json::from_str(member.value) {
        Ok(value) => {
            *place = value;
            true
        }
        Err(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use proptest::{collection::vec, prelude::*, sample::select};
    use serde_json::Value;

    use super::*;
    use crate::event::Heading;
    use crate::event::Record;

    fn envelope() -> impl Strategy<Value = String> {
        let name = select([Key::NAMES, &["x", r"event\u004eame", r"\u0064ata", r"\ud800", "eventname"]].concat());
        let value = select(vec![
            "null",
            "5",
            "[]",
            "{}",
            r#""person.created""#,
            r#""rocket.created""#,
            r#""metadata.view.created""#,
            r#""2026-10-02T09:14:31.512Z""#,
            r#""2e6f6a2f-2f7e-4b0d-9a3b-5b6d1d2c9f01""#,
            r#"["name"]"#,
            r#"{"id":"x","name":{"firstName":"Ada","lastName":5}}"#,
            r#"{"a":1,"a":2}"#,
            r#"{"id":5,"nameSingular":"person"}"#,
        ]);
        (vec((name, value), 0..8), any::<bool>()).prop_map(|(members, is_named)| {
            let first = is_named.then(|| r#""eventName":"person.created""#.to_owned());
            let members = members.into_iter().map(|(name, value)| format!("\"{name}\":{value}"));
            format!("{{{}}}", first.into_iter().chain(members).collect::<Vec<_>>().join(","))
        })
    }

    fn assert_same<T: FromRecord + PartialEq + std::fmt::Debug>(text: &str) -> Result<(), TestCaseError> {
        let body = Bytes::copy_from_slice(text.as_bytes());
        let slow = read_slowly::<T>(&body, text);
        let heading = Heading::read_name(&body);
        if let Ok((slow, _)) = &slow {
            prop_assert_eq!(heading.unwrap_or_else(|| EventName::new("")), slow.name.clone());
        }
        if let Some(fast) = read_fast::<T>(&body, text) {
            let Ok((slow, unexpected)) = slow else {
                return Err(TestCaseError::fail("rejected by the slow path only"));
            };
            prop_assert_eq!(unexpected, []);
            prop_assert_eq!(fast.record, slow.record);
            let parts = |about: About| {
                let ids = [about.workspace_id, about.webhook_id, about.user_id, about.workspace_member_id];
                let others = [about.api_key_id, about.application_id];
                (ids, others, about.event_date.map(|time| time.0), about.updated_fields, about.object_metadata)
            };
            prop_assert_eq!((fast.name, parts(fast.about)), (slow.name, parts(slow.about)));
        }
        Ok(())
    }

    proptest! {
        #[test]
        fn both_paths_read_the_same(text in envelope()) {
            assert_same::<Record>(&text)?;
            assert_same::<Value>(&text)?;
            assert_same::<HashMap<String, Value>>(&text)?;
            assert_same::<RawJson>(&text)?;
        }
    }

    #[test]
    fn the_fast_path_accepts_what_twenty_sends() {
        let body = Bytes::from_static(include_bytes!("../../tests/data/person.created.json"));
        assert!(read_fast::<Record>(&body, std::str::from_utf8(&body).unwrap()).is_some());
    }
}
