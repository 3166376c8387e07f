//! Every body that Twenty sends, sent or documents, read as an event.

use std::path::Path;

use twenty_webhook::{
    WebhookEvent,
    event::{Action, FromRecord, Record},
    verify::{Signer, Verifier},
};

fn body(name: &str) -> Vec<u8> {
    std::fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data").join(name)).unwrap()
}

fn read<T: FromRecord>(body: impl Into<Vec<u8>>) -> Result<WebhookEvent<T>, twenty_webhook::event::EventError> {
    let body = body.into();
    let headers = Signer::new("secret").unwrap().sign(&body).pairs();
    WebhookEvent::from_verified(Verifier::new("secret").unwrap().verify(headers, body).unwrap())
}

#[test]
fn every_body_is_read_by_the_default_type() {
    let mut seen = 0;
    for entry in std::fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data")).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        if name == "vectors.json" {
            continue;
        }
        let event: WebhookEvent = read(body(&name)).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert!(event.unexpected().is_empty(), "{name}: {:?}", event.unexpected());
        assert!(event.record.id().is_some(), "{name}");
        eprintln!("{name}: {} {:?} {:?}", event.name, event.record.id(), event.record.display_name());
        seen += 1;
    }
    assert_eq!(seen, 16);
}

#[test]
fn odd_members_read_as_absent() {
    let event: WebhookEvent = read(
        r#"{"record":{"id":"x","name":{"firstName":7,"lastName":"Lovelace"},"emails":"none","updatedAt":"yesterday",
            "phones":{"additionalPhones":[{"number":"1"},{"number":2}],"primaryPhoneNumber":"3"},"jobTitle":"\ud800"},
            "userId":5,"eventName":"person.archived"}"#,
    )
    .unwrap();
    assert_eq!(*event.name.action(), Action::Other("archived".into()));
    let paths: Vec<_> = event.unexpected().iter().map(|m| (m.path.as_str(), m.found.to_string())).collect();
    eprintln!("{paths:?}");
    let Record::Person(person) = &event.record else { panic!("{:?}", event.record) };
    assert_eq!(person.display_name().unwrap(), "Lovelace");
    assert_eq!(event.raw_record().unwrap().get("jobTitle").unwrap().as_str(), r#""\ud800""#);
    assert_eq!(person.phones.as_ref().unwrap().primary_phone_number.as_deref(), Some("3"));
}

#[test]
fn odd_bodies() {
    for (json, ok) in [
        ("[1]", true),
        ("5", true),
        ("{}", true),
        ("{", false),
        (r#"{"eventName":"person.created","record":[]}"#, true),
        (r#"{"eventName":"metadata.view.created","event":[]}"#, true),
        (r#"{"event":{"a":1}}"#, true),
        (r#"{"record":{"a":1}}"#, true),
    ] {
        let event = read::<Record>(json);
        assert_eq!(event.is_ok(), ok, "{json}");
        if let Ok(e) = event {
            eprintln!("{json} {e:?} {:?} {:?}", e.record, e.unexpected());
        }
    }
}
