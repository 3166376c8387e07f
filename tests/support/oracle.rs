//! Compares what a `WebhookEvent` of a type reads with what `serde_json` reads from the same
//! record.
//!
//! For each type, record and envelope:
//!
//! 1. An accepted event equals what `serde_json` reads from the record without the reported
//!    members. If any of these members, except those of rule 2, is put back, `serde_json` rejects
//!    the record.
//! 2. Each member with the name of an earlier member is reported as repeated. Each member whose
//!    name is not Unicode is reported.
//! 3. If `serde_json` accepts the record without the members of rule 2, the event is accepted and
//!    reports no others. More than 64 are an error.
//! 4. The members of the envelope do not depend on the record.
//! 5. A body that is not JSON is rejected as such.

use std::{collections::HashSet, fmt, ops::Range};

use serde::{
    Deserialize,
    de::{DeserializeOwned, IgnoredAny, Visitor},
};
use twenty_webhook::{
    WebhookEvent,
    event::{EventErrorKind, FromRecord, JsonType, UnexpectedMember, With},
    verify::Verified,
};

/// The maximum number of members that an event reports from a record, as documented at
/// `WebhookEvent::unexpected`.
const MAX_UNEXPECTED: usize = 64;

/// The text around a record, which is `$` in `body`.
pub(crate) struct Envelope {
    body: &'static str,
    /// The members of the envelope that the event reports.
    unexpected: &'static [&'static str],
}

/// Envelopes of `rocket.created`, each with the user `u` and the webhook `w`.
pub(crate) const ENVELOPES: [Envelope; 5] = [
    Envelope { body: r#"{"userId":"u","eventName":"rocket.created","record":$,"webhookId":"w"}"#, unexpected: &[] },
    // The name follows the record.
    Envelope {
        body: r#"{ "record" : $ , "webhookId":"w","userId":"u","eventName":"rocket.created"}"#,
        unexpected: &[],
    },
    // The form of the documentation, with the same text in an unknown member.
    Envelope {
        body: r#"{"x":$,"event":"rocket.created","userId":"u","webhookId":"w","data":$,"record":{"b":"other"}}"#,
        unexpected: &[],
    },
    Envelope {
        body: r#"{"eventDate":[],"eventName":"rocket.created","userId":"u","record":$,"webhookId":"w"}"#,
        unexpected: &["eventDate"],
    },
    Envelope {
        body: r#"{"eventName":"rocket.created","userId":"u","webhookId":"w","record":$,"record":{"a":1},"userId":"x"}"#,
        unexpected: &["record", "userId"],
    },
];

impl Envelope {
    /// Returns a body with this record.
    pub(crate) fn around(&self, record: &str) -> String {
        self.body.replace('$', record)
    }
}

/// Compares what an event of `T` reads from the body that `envelope` makes of `record`. `delivery`
/// has that body.
#[track_caller]
pub(crate) fn compare<T: DeserializeOwned + PartialEq + 'static>(
    record: &str,
    envelope: &Envelope,
    delivery: &Verified,
) {
    let is_read_from = |text: &str, record: &T| serde_json::from_str(text).is_ok_and(|read: T| read == *record);
    compare_record(record, envelope, delivery, &is_read_from, &|text| serde_json::from_str::<T>(text).is_ok());
}

/// Compares two types that are read side by side. Each must equal what `serde_json` reads.
#[track_caller]
pub(crate) fn compare_with<T: DeserializeOwned + PartialEq + 'static, C: DeserializeOwned + PartialEq + 'static>(
    record: &str,
    envelope: &Envelope,
    delivery: &Verified,
) {
    let is_read_from = |text: &str, record: &With<T, C>| {
        serde_json::from_str(text).is_ok_and(|read: T| read == record.standard)
            && serde_json::from_str(text).is_ok_and(|read: C| read == record.custom)
    };
    let accepts = |text: &str| serde_json::from_str::<T>(text).is_ok() && serde_json::from_str::<C>(text).is_ok();
    compare_record(record, envelope, delivery, &is_read_from, &accepts);
}

#[track_caller]
fn compare_record<T: FromRecord + 'static>(
    record: &str,
    envelope: &Envelope,
    delivery: &Verified,
    is_read_from: &dyn Fn(&str, &T) -> bool,
    accepts: &dyn Fn(&str) -> bool,
) {
    let name = std::any::type_name::<T>();
    let event = WebhookEvent::<T>::from_verified(delivery.clone());
    // `serde_json` panics on names of such types that are not ASCII.
    let has_bool_names = ["Map<bool", "BoolMaps", "NamedBy<bool"].iter().any(|part| name.contains(part));
    if has_bool_names && !record.is_ascii() {
        return;
    }
    let is_json = |text: &[u8]| serde_json::from_slice::<IgnoredAny>(text).is_ok();
    if !is_json(delivery.body()) {
        assert_eq!(event.err().map(|error| error.kind()), Some(EventErrorKind::NotJson), "{name} from {record}");
        return;
    }
    if !is_json(record.as_bytes()) {
        return; // The record ends early, and the rest belongs to the envelope.
    }
    // The position of `serde_json` after an invalid name such as `tr` or `1e` depends on its
    // letters. The reader does not continue there, and reports more.
    let reads_by = |types: &[&str]| types.iter().any(|part| name.contains(part));
    let goes_on = reads_by(&["LenientMap<bool", "BoolMaps", "Scripted<true"])
        || reads_by(&["LenientMap<", "Maps"]) && has_unfinished_number(record);
    let accepts = |text: &str| !goes_on && accepts(text);
    match event {
        Ok(event) => {
            let ids = [event.user_id.as_ref(), event.webhook_id.as_ref()].map(|id| id.map(ToString::to_string));
            assert_eq!(ids, [Some("u".to_owned()), Some("w".to_owned())], "{name} from {record}");
            assert_eq!(event.name, "rocket.created");
            let is_read_from = |text: &str| is_read_from(text, &event.record);
            check_accepted(name, record, envelope, event.unexpected(), &is_read_from, &accepts);
        }
        Err(error) => check_rejected(name, record, error.kind(), &accepts),
    }
}

/// Returns whether a string begins like a number and ends before its digits. `serde_json` takes the
/// quote that ends such a name for a digit.
fn has_unfinished_number(record: &str) -> bool {
    record.split('"').any(|text| {
        let is_number = text.starts_with(|first: char| first == '-' || first.is_ascii_digit());
        is_number && (text == "-" || text.trim_end_matches(['+', '-']).ends_with(['e', 'E']))
    })
}

/// A member of an object.
struct Member<'a> {
    /// The name's bytes, which are UTF-8 except for lone surrogates.
    name: Vec<u8>,
    /// Its position, from name to value.
    place: Range<usize>,
    value: &'a str,
    /// Whether an earlier member has the same name.
    is_repeated: bool,
}

impl Member<'_> {
    /// Returns whether no type reads it because of its name.
    fn has_odd_name(&self) -> bool {
        self.is_repeated || str::from_utf8(&self.name).is_err()
    }

    fn found(&self) -> JsonType {
        match self.value.as_bytes() {
            [b'n', ..] => JsonType::Null,
            [b't' | b'f', ..] => JsonType::Bool,
            [b'"', ..] => JsonType::String,
            [b'[', ..] => JsonType::Array,
            [b'{', ..] => JsonType::Object,
            _ => JsonType::Number,
        }
    }

    /// Returns the name as a path shows it.
    fn shown(&self) -> &str {
        let is_word = self.name.iter().all(|byte| byte.is_ascii_alphanumeric() || *byte == b'_');
        str::from_utf8(&self.name).ok().filter(|name| is_word && (1..=64).contains(&name.len())).unwrap_or("?")
    }
}

/// A member's name as bytes: `serde_json` reads a string with lone surrogates in this way.
struct Name(Vec<u8>);

impl<'de> Deserialize<'de> for Name {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct NameVisitor;

        impl Visitor<'_> for NameVisitor {
            type Value = Name;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string")
            }

            fn visit_bytes<E>(self, bytes: &[u8]) -> Result<Name, E> {
                Ok(Name(bytes.to_vec()))
            }
        }

        deserializer.deserialize_bytes(NameVisitor)
    }
}

/// Splits an object with another parser than the crate's. Positions count from `base`. Other values
/// have no members.
fn members(object: &str, base: usize) -> Vec<Member<'_>> {
    let mut members = Vec::new();
    let mut names = HashSet::new();
    let mut at = object.len() - object.trim_start().len();
    if !object[at..].starts_with('{') {
        return members;
    }
    at += 1;
    let value_len = |text: &str| {
        let mut values = serde_json::Deserializer::from_str(text).into_iter::<IgnoredAny>();
        values.next().unwrap().unwrap();
        values.byte_offset()
    };
    loop {
        at += object[at..].len() - object[at..].trim_start_matches([' ', '\n', '\t', '\r', ',']).len();
        if object[at..].starts_with('}') {
            return members;
        }
        let start = at;
        at += value_len(&object[at..]);
        let Name(name) = serde_json::from_str(&object[start..at]).unwrap();
        at += object[at..].find(':').unwrap() + 1;
        at += object[at..].len() - object[at..].trim_start().len();
        let value = &object[at..at + value_len(&object[at..])];
        at += value.len();
        let is_repeated = !names.insert(name.clone());
        members.push(Member { name, place: base + start..base + at, value, is_repeated });
    }
}

/// Returns the object without the members at these positions, at any depth.
fn without(object: &str, base: usize, places: &[Range<usize>]) -> String {
    if places.is_empty() {
        return object.to_owned();
    }
    let is_inside = |place: &Range<usize>, outer: &Range<usize>| outer.start <= place.start && place.end <= outer.end;
    let mut kept = Vec::new();
    for member in members(object, base) {
        if places.contains(&member.place) {
            continue;
        }
        let text = &object[member.place.start - base..member.place.end - base];
        if places.iter().any(|place| is_inside(place, &member.place)) {
            let value = without(member.value, member.place.end - member.value.len(), places);
            kept.push(format!("{}{value}", &text[..text.len() - member.value.len()]));
        } else {
            kept.push(text.to_owned());
        }
    }
    format!("{{{}}}", kept.join(","))
}

/// Finds the members that an event reports with these paths, in the order of the text. A path shows
/// some names as question marks, so there can be several possibilities: `take` is called with each
/// of them until it returns `true`.
fn find<'a>(
    reported: &[(&'a str, JsonType)],
    members: &[Member<'_>],
    places: &mut Vec<Range<usize>>,
    take: &mut dyn FnMut(&[Range<usize>]) -> bool,
) -> bool {
    let Some(((path, found), reported)) = reported.split_first() else { return take(places) };
    let (name, below) = path.split_once('.').unwrap_or((path, ""));
    let end = places.last().map_or(0, |place| place.end);
    for member in members.iter().filter(|member| !member.is_repeated && member.shown() == name) {
        let Some((place, value_type)) = below_member(member, below) else { continue };
        if place.start < end || value_type != *found {
            continue;
        }
        places.push(place);
        if find(reported, members, places, take) {
            return true;
        }
        places.pop();
    }
    false
}

/// Returns the position and the type of the member at a path below another one.
fn below_member(member: &Member<'_>, path: &str) -> Option<(Range<usize>, JsonType)> {
    if path.is_empty() {
        return Some((member.place.clone(), member.found()));
    }
    let (name, below) = path.split_once('.').unwrap_or((path, ""));
    let members = members(member.value, member.place.end - member.value.len());
    below_member(members.iter().find(|member| member.name == name.as_bytes())?, below)
}

/// Returns whether all names at any depth are Unicode. `serde_json` reads other names as bytes for
/// the few types that accept bytes, and continues after some names that it rejects.
fn has_only_unicode_names(text: &str) -> bool {
    let mut rest = text;
    while let Some(start) = rest.find('"') {
        let mut strings = serde_json::Deserializer::from_str(&rest[start..]).into_iter::<IgnoredAny>();
        strings.next().unwrap().unwrap();
        let (string, behind) = rest[start..].split_at(strings.byte_offset());
        if behind.trim_start().starts_with(':') && serde_json::from_str::<String>(string).is_err() {
            return false;
        }
        rest = behind;
    }
    true
}

/// Checks an accepted event. It is not generic, because the generic code is compiled for hundreds
/// of types.
#[track_caller]
fn check_accepted(
    name: &str,
    record: &str,
    envelope: &Envelope,
    unexpected: &[UnexpectedMember],
    is_read_from: &dyn Fn(&str) -> bool,
    accepts: &dyn Fn(&str) -> bool,
) {
    let case = || format!("{name} from {record} with {unexpected:?}");
    let below = |member: &UnexpectedMember| member.path.split_once('.').map(|(_, path)| path.to_owned());
    let outside: Vec<_> = unexpected.iter().filter(|member| below(member).is_none()).map(|m| &*m.path).collect();
    let count = |paths: &[&str]| paths.iter().map(|path| outside.iter().filter(|o| o == &path).count()).sum::<usize>();
    assert_eq!((outside.len(), count(envelope.unexpected)), (envelope.unexpected.len(), outside.len()), "{}", case());

    let members = members(record, 0);
    let inside = |is_repeated: bool| {
        let inside = unexpected.iter().filter(move |member| member.is_repeated == is_repeated);
        inside.filter_map(|member| Some((below(member)?, member.found))).collect::<Vec<_>>()
    };
    let repeated: Vec<_> = members.iter().filter(|member| member.is_repeated).collect();
    let shown: Vec<_> = repeated.iter().map(|member| (member.shown().to_owned(), member.found())).collect();
    assert_eq!(inside(true), shown, "{}", case());

    let odd: Vec<_> = members.iter().filter(|member| member.has_odd_name()).map(|m| m.place.clone()).collect();
    let others = inside(false);
    assert!(repeated.len() + others.len() <= MAX_UNEXPECTED, "{}", case());
    let others: Vec<_> = others.iter().map(|(path, found)| (&**path, *found)).collect();
    let mut possibilities = 0;
    let mut left_out = Vec::new();
    let is_right = find(&others, &members, &mut Vec::new(), &mut |places| {
        possibilities += 1;
        let places: Vec<_> = places.iter().cloned().chain(repeated.iter().map(|m| m.place.clone())).collect();
        if odd.iter().any(|place| !places.contains(place)) {
            return false;
        }
        // Names that are shown alike have many possibilities, not all of which are tried.
        if possibilities <= 100 && !is_read_from(&without(record, 0, &places)) {
            return false;
        }
        left_out = places;
        true
    });
    assert!(is_right, "{}", case());
    // A script's calls depend on everything before, so it may accept a member that is put back.
    if possibilities <= 100 && !name.contains("Scripted") {
        for place in left_out.iter().filter(|place| !odd.contains(place)) {
            let others: Vec<_> = left_out.iter().filter(|other| *other != place).cloned().collect();
            let rest = without(record, 0, &others);
            assert!(!has_only_unicode_names(&rest) || !accepts(&rest), "{} in {}", &record[place.clone()], case());
        }
    }

    let rest = without(record, 0, &odd);
    if repeated.len() + others.len() > odd.len() && has_only_unicode_names(&rest) {
        assert!(!accepts(&rest), "{}", case());
    }
}

/// Checks a rejected event. It is not generic, because the generic code is compiled for hundreds of
/// types.
#[track_caller]
fn check_rejected(name: &str, record: &str, kind: EventErrorKind, accepts: &dyn Fn(&str) -> bool) {
    assert_ne!(kind, EventErrorKind::NotJson, "{name} from {record}");
    let members = members(record, 0);
    let odd: Vec<_> = members.iter().filter(|member| member.has_odd_name()).map(|m| m.place.clone()).collect();
    if odd.len() <= MAX_UNEXPECTED {
        let rest = without(record, 0, &odd);
        assert!(!has_only_unicode_names(&rest) || !accepts(&rest), "{kind:?}: {name} from {record}");
    }
}
