//! Sends JSON, invalid JSON and texts that parsers may accept or reject, signed, forged and
//! unsigned, through tower, axum and actix-web.

#[path = "../support/json_texts.rs"]
mod json_texts;

use bytes::Bytes;
use http::Request;
use http_body_util::Full;
use twenty_webhook::{Receiver, WebhookEvent, event::Record};

use crate::support::{
    self,
    bodies::{delivery, unsigned},
    frameworks::everywhere,
    verifier,
};

fn texts() -> impl Iterator<Item = (char, &'static str, Vec<u8>)> {
    let of = |class: char, texts: &'static [(&str, &[u8])]| {
        texts.iter().map(move |(name, text)| (class, *name, text.to_vec()))
    };
    of('y', json_texts::Y).chain(of('n', json_texts::N)).chain(of('i', json_texts::I)).chain(json_texts::long())
}

/// Returns the text as a body, as a whole record, and as a field of a typed record. Invalid JSON is
/// invalid in each of them.
fn bodies(text: &[u8]) -> [Vec<u8>; 3] {
    [
        text.to_vec(),
        [br#"{"eventName":"person.created","record":"#, text, br#"}"#].concat(),
        [br#"{"eventName":"person.created","record":{"jobTitle":"#, text, br#","city":"Paris"}}"#].concat(),
    ]
}

/// A handler for the default type gets every JSON text. Other texts are answered with 400.
#[actix_web::test]
async fn signed_json_reaches_the_handler_and_other_text_is_400() {
    let receiver = Receiver::new(verifier());
    let mut counted = [0; 3];
    for (class, name, text) in texts() {
        let mut accepted = Vec::new();
        for body in bodies(&text) {
            for played in everywhere(&receiver, || delivery(&body, Full::new(Bytes::from(body.clone())))).await {
                let shown = String::from_utf8_lossy(&body[..body.len().min(200)]);
                let what = format!("{class}_{name} in {}: {shown:?}", played.framework);
                match class {
                    'y' => assert_eq!(played.status, 200, "{what}"),
                    'n' => assert_eq!(played.status, 400, "{what}"),
                    _ => assert!(matches!(played.status, 200 | 400), "{what}: {}", played.status),
                }
                if let Some(seen) = played.seen {
                    assert_eq!(seen, body, "{what}");
                }
                accepted.push(played.status);
            }
        }
        // All frameworks answer alike.
        assert!(
            accepted.chunks(3).all(|statuses| statuses.iter().all(|status| *status == statuses[0])),
            "{class}_{name}"
        );
        counted["yni".find(class).unwrap()] += 1;
    }
    assert_eq!(counted, [68, 149, 23]);
}

/// The signature is checked before the body is read, so the rejection is always the same.
#[actix_web::test]
async fn forged_and_unsigned_bodies_are_rejected_alike() {
    let receiver = Receiver::new(verifier());
    for (class, name, text) in texts() {
        let body = || Full::new(Bytes::from(text.clone()));
        let forged = || delivery([&text[..], b" "].concat(), body());
        let unsigned = || unsigned(body());
        let requests: [&dyn Fn() -> Request<Full<Bytes>>; 2] = [&forged, &unsigned];
        for request in requests {
            for played in everywhere(&receiver, request).await {
                assert_eq!((played.status, played.seen), (401, None), "{class}_{name} in {}", played.framework);
            }
        }
    }
}

/// The event keeps valid JSON exactly as it was sent, and the other members are read.
#[test]
fn accepted_json_is_kept_as_sent() {
    for (class, name, text) in texts().filter(|(class, ..)| *class == 'y') {
        for (body, is_typed) in bodies(&text).into_iter().zip([false, false, true]) {
            let verified = verifier().verify(support::signed(&body), body.clone()).unwrap();
            let event: WebhookEvent = WebhookEvent::from_verified(verified).unwrap();
            assert_eq!(event.body(), &body, "{class}_{name}");
            if is_typed {
                let Record::Person(person) = &event.record else { panic!("{class}_{name}: {event:?}") };
                assert_eq!(person.city.as_deref(), Some("Paris"), "{class}_{name}");
                let sent = event.raw_record().and_then(|record| record.get("jobTitle")).unwrap();
                assert_eq!(
                    sent.as_str(),
                    std::str::from_utf8(&text).unwrap().trim_matches([' ', '\t', '\r', '\n']),
                    "{name}"
                );
            }
        }
    }
}
