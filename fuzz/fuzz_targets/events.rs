//! Reads events from any signed bytes. The default event accepts all JSON and keeps it, and typed
//! events equal what `serde_json` reads.
#![no_main]

use std::{
    collections::{HashMap, HashSet},
    sync::LazyLock,
};

use libfuzzer_sys::fuzz_target;
use serde::{
    Deserialize,
    de::{DeserializeOwned, IgnoredAny},
};
use serde_json::Value;
use twenty_webhook::{
    WebhookEvent,
    event::{
        EventErrorKind, EventName, FromRecord, JsonType, RawJson, Record,
        field::Currency,
        record::{Company, MetadataEvent, Person},
    },
    verify::Verified,
};
use twenty_webhook_fuzz::{json, pattern::most_exact, route::Router, verified};

const PATTERNS: [&str; 9] = [
    "person.created",
    "person.*",
    "*.created",
    "company.deleted",
    "metadata.view.created",
    "metadata.view.*",
    "metadata.*.created",
    "metadata.*.*",
    "*.*",
];

static ROUTER: LazyLock<Router> = LazyLock::new(|| Router::new(PATTERNS).expect("valid"));

#[derive(Deserialize, PartialEq)]
#[serde(rename = "subscription", rename_all = "camelCase")]
struct Subscription {
    plan: Option<String>,
    mrr: Option<Currency>,
    seats: u32,
    raw: Option<Value>,
}

/// A type that uses most methods of a deserializer.
#[derive(Deserialize, PartialEq)]
#[serde(rename = "*", rename_all = "camelCase")]
struct Anything {
    id: Option<Box<str>>,
    name: Option<Value>,
    position: Option<f64>,
    #[serde(default)]
    created_at: Option<Kind>,
    #[serde(default)]
    plan: Option<char>,
    #[serde(default)]
    mrr: HashMap<String, Option<i64>>,
    #[serde(default)]
    emails: Vec<(u8, bool, Box<[Kind]>)>,
    #[serde(default)]
    raw: Option<Newtype>,
    #[serde(default)]
    seats: (),
}

#[derive(Deserialize, PartialEq)]
struct Newtype(i128);

#[derive(Deserialize, PartialEq)]
#[serde(rename_all = "camelCase")]
enum Kind {
    Created,
    Name(String),
    Before { id: f32, after: Option<Box<Self>> },
    Data(u64, ()),
}

fuzz_target!(|body: &[u8]| {
    let delivery = verified(body);
    let routed = ROUTER.route(delivery.clone());
    let event = WebhookEvent::<Record>::from_verified(delivery.clone());

    let text = str::from_utf8(body).ok().filter(|text| serde_json::from_str::<IgnoredAny>(text).is_ok());
    let (text, event) = match (text, event) {
        (Some(text), Ok(event)) => (text, event),
        (None, Err(error)) => {
            assert_eq!(error.kind(), EventErrorKind::NotJson);
            let typed = [
                WebhookEvent::<Person>::from_verified(delivery.clone()).map(drop).unwrap_err(),
                WebhookEvent::<MetadataEvent>::from_verified(delivery.clone()).map(drop).unwrap_err(),
                WebhookEvent::<Value>::from_verified(delivery).map(drop).unwrap_err(),
            ];
            assert_eq!(typed.map(|error| error.kind()), [EventErrorKind::NotJson; 3]);
            return;
        }
        (text, event) => panic!("JSON: {}, accepted: {}", text.is_some(), event.is_ok()),
    };
    assert_eq!(event.body(), body);
    let members = json::members(text);

    // The event has the first name in the body, and is routed to the most exact pattern.
    let is_name = |name: &str| matches!(name, r#""eventName""# | r#""event""#);
    if members.iter().all(|(name, _)| !name.contains('\\'))
        && let Some((r#""eventName""#, value)) = members.iter().find(|(name, _)| is_name(name))
        && let Some(name) = json::string(value)
    {
        assert_eq!(event.name, &*name);
    }
    assert_eq!(routed, most_exact(&PATTERNS, event.name.as_str()), "{:?}", event.name);

    // The raw record is the text of the first member `record` or `data`.
    let is_record = |name: &str| matches!(json::string(name).as_deref(), Some("record" | "data"));
    let record = members.iter().find(|(name, _)| is_record(name)).map(|(_, value)| *value);
    let raw = event.raw_record();
    assert_eq!(raw.as_ref().map(RawJson::as_str), record);
    if let Some((raw, text)) = raw.as_ref().zip(record) {
        check_members(raw, text);
    }
    check_record(&event);
    for member in event.unexpected() {
        assert!(!member.path.is_empty() && member.path.len() < 400);
    }

    // A typed event is accepted only for its object, and equals the default event.
    let person = WebhookEvent::<Person>::from_verified(delivery.clone());
    match (&person, &event.record) {
        (Ok(person), Record::Person(record)) => {
            assert_eq!(person.record, **record);
            assert_eq!(person.unexpected(), event.unexpected());
        }
        (Err(error), _) => assert_ne!(error.kind(), EventErrorKind::NotJson),
        (Ok(_), other) => panic!("a person and {}", variant(other)),
    }
    assert_eq!(person.is_ok(), matches!(event.record, Record::Person(_)));
    if let Ok(company) = WebhookEvent::<Company>::from_verified(delivery.clone()) {
        assert_eq!(Record::Company(Box::new(company.record)), event.record);
    }
    let metadata = WebhookEvent::<MetadataEvent>::from_verified(delivery.clone());
    assert_eq!(metadata.is_ok(), event.name.metadata_name().is_some());
    if let Ok(subscription) = WebhookEvent::<Subscription>::from_verified(delivery.clone()) {
        assert_eq!(subscription.name.object(), "subscription");
    }

    // Typed events also equal what `serde_json` reads: this crate's reader loses and adds nothing.
    let is_object = json_type(text.trim_start()) == JsonType::Object;
    if is_object && event.name.metadata_name().is_none() {
        let record = record.unwrap_or("{}");
        reads_alike::<Value>(&delivery, record, true);
        reads_alike::<HashMap<String, Value>>(&delivery, record, true);
        reads_alike::<Anything>(&delivery, record, true);
        reads_alike::<Option<Vec<Kind>>>(&delivery, record, true);
        reads_alike::<Subscription>(&delivery, record, event.name.object() == "subscription");
        // A person in the form of the official documentation is converted before it is read.
        if members.iter().all(|(name, _)| json::string(name).as_deref() != Some("data")) {
            reads_alike::<Person>(&delivery, record, event.name.object() == "person");
        }
    }
    if let Record::Person(_) = event.record {
        check_envelope(&event, &members);
    }
});

/// Checks that the record equals what `serde_json` reads, unless the event reports unexpected
/// members.
fn reads_alike<T: FromRecord + DeserializeOwned + PartialEq>(delivery: &Verified, record: &str, is_its_object: bool) {
    let expected = serde_json::from_str::<T>(record).ok();
    match (WebhookEvent::<T>::from_verified(delivery.clone()), expected) {
        (Ok(event), Some(expected)) if event.unexpected().is_empty() => assert!(event.record == expected, "{record}"),
        (Ok(event), None) => assert!(!event.unexpected().is_empty(), "{record}"),
        (Ok(_), Some(_)) => {}
        (Err(error), Some(_)) if is_its_object => {
            // With the envelope, the record may have more levels than `serde_json` reads. If more
            // than 64 members have names of earlier ones, it is rejected.
            let has_many_levels = record.bytes().filter(|byte| b"{[".contains(byte)).count() > 100;
            assert!(has_many_levels || repeated_members(record) > 64, "{error}: {record}");
        }
        (Err(error), _) => assert_ne!(error.kind(), EventErrorKind::NotJson),
    }
}

/// Returns how many members of the record have the name of an earlier one.
fn repeated_members(record: &str) -> usize {
    let members = json::members(record);
    let names: HashSet<_> = members.iter().map(|(name, _)| json::string(name)).collect();
    members.len() - names.len()
}

/// Checks the envelope's members. Of several members with a name, the first one that is not `null`
/// counts.
fn check_envelope(event: &WebhookEvent<Record>, members: &[(&str, &str)]) {
    fn first<T: DeserializeOwned>(members: &[(&str, &str)], names: &[&str]) -> Option<T> {
        let is_one = |name: &str| json::string(name).is_some_and(|name| names.contains(&&*name));
        let (_, value) = members.iter().find(|(name, value)| is_one(name) && *value != "null")?;
        Some(serde_json::from_str(value).expect("nothing unexpected"))
    }
    if event.unexpected().is_empty() {
        assert_eq!(event.workspace_id, first(members, &["workspaceId"]));
        assert_eq!(event.webhook_id, first(members, &["webhookId"]));
        assert_eq!(event.user_id, first(members, &["userId"]));
        assert_eq!(event.event_date, first(members, &["eventDate", "timestamp"]));
        assert_eq!(event.updated_fields, first(members, &["updatedFields"]));
        assert_eq!(event.object_metadata, first(members, &["objectMetadata"]));
    }
}

/// Checks that each member of a raw object is the text that was sent.
fn check_members(raw: &RawJson, text: &str) {
    let expected = json::members(text);
    let found = raw.members();
    assert_eq!(found.len(), expected.len());
    for ((name, value), (written, sent)) in found.iter().zip(&expected) {
        assert_eq!(value.as_str(), *sent);
        assert_eq!(value.json_type(), json_type(sent));
        assert_eq!(value.to_text(), json::string(sent));
        if let Some(written) = json::string(written) {
            assert_eq!(*name, written);
            let first = expected.iter().find(|(other, _)| json::string(other).as_deref() == Some(&*written));
            assert_eq!(raw.get(name).as_ref().map(RawJson::as_str), first.map(|(_, value)| *value));
        }
    }
}

fn json_type(text: &str) -> JsonType {
    match text.as_bytes()[0] {
        b'n' => JsonType::Null,
        b't' | b'f' => JsonType::Bool,
        b'"' => JsonType::String,
        b'[' => JsonType::Array,
        b'{' => JsonType::Object,
        _ => JsonType::Number,
    }
}

/// Calls the methods that a handler may call.
fn check_record(event: &WebhookEvent<Record>) {
    let _ = (event.record.id(), event.record.display_name(), format!("{event:?}"), event.changed("name"));
    match &event.record {
        Record::Custom(record) => {
            assert_eq!(record.object(), event.name.object());
            let _ = record.get("name");
        }
        Record::Metadata(change) => {
            assert_eq!(Some(change.metadata_name()), event.name.metadata_name());
            let _ = (change.updated_fields(), change.record_id());
        }
        _ => assert_eq!(EventName::new(format!("{}.x", event.name.object())).object(), event.name.object()),
    }
}

fn variant(record: &Record) -> String {
    format!("{record:?}").chars().take_while(|c| c.is_alphanumeric()).collect()
}
