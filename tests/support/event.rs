//! Functions for the tests of events.

use twenty_webhook::{
    WebhookEvent,
    event::{EventError, FromRecord, Record},
    verify::{Signer, Verified, Verifier},
};

/// Returns the body as a verified delivery.
#[track_caller]
pub(crate) fn verified(body: impl Into<Vec<u8>>) -> Verified {
    let body = body.into();
    let headers = Signer::new("secret").unwrap().sign(&body).pairs();
    Verifier::new("secret").unwrap().verify(headers, body).unwrap()
}

/// Reads a body as the default type.
#[track_caller]
pub(crate) fn event(body: impl Into<Vec<u8>>) -> WebhookEvent {
    WebhookEvent::from_verified(verified(body)).unwrap()
}

/// Reads a body as `T`.
#[track_caller]
pub(crate) fn typed<T: FromRecord>(body: impl Into<Vec<u8>>) -> WebhookEvent<T> {
    WebhookEvent::from_verified(verified(body)).unwrap()
}

/// Returns the error of reading a body as `T`.
#[track_caller]
pub(crate) fn refusal<T: FromRecord>(body: impl Into<Vec<u8>>) -> EventError {
    WebhookEvent::<T>::from_verified(verified(body)).map(|_| ()).unwrap_err()
}

/// Returns the standard object in the variant of this pattern: `record!(event, Record::Person)`.
macro_rules! record {
    ($event:expr, Record::$Object:ident) => {
        match &$event.record {
            Record::$Object(record) => record,
            other => panic!("{other:?}"),
        }
    };
}
pub(crate) use record;

/// Returns the paths and types of unexpected members.
pub(crate) fn unexpected<T>(event: &WebhookEvent<T>) -> Vec<(&str, String)> {
    event.unexpected().iter().map(|member| (member.path.as_str(), member.found.to_string())).collect()
}

/// Returns the record's text.
#[track_caller]
pub(crate) fn raw_record(event: &WebhookEvent<Record>) -> String {
    event.raw_record().unwrap().as_str().to_owned()
}

/// Returns the objects of the table in the docs, each with the names and types of its fields.
pub(crate) fn objects() -> Vec<(String, Vec<(String, String)>)> {
    let table = include_str!("../../src/event/record/FIELDS.md");
    let mut common = Vec::new();
    let mut objects: Vec<(String, Vec<(String, String)>)> = Vec::new();
    for row in table.lines().skip(2) {
        let cells: Vec<_> = row.split('|').map(str::trim).collect();
        let [_, object, name, _, r#type, _] = cells[..] else { panic!("{row}") };
        let field = (name.replace('`', ""), r#type.replace('`', ""));
        let Some(object) = object.strip_prefix("[`").and_then(|object| object.split_once('`')) else {
            common.push(field);
            continue;
        };
        match objects.last_mut() {
            Some((last, fields)) if last == object.0 => fields.push(field),
            _ => objects.push((object.0.to_owned(), common.iter().cloned().chain([field]).collect())),
        }
    }
    objects
}
