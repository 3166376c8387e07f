//! Measures verified, typed events, compared with an unverified `serde_json::Value`.

#[path = "../../support/deliveries.rs"]
mod deliveries;

use bytes::Bytes;
use deliveries::DELIVERIES;
use http::HeaderMap;
use serde::{
    Deserialize,
    de::{DeserializeOwned, IgnoredAny},
};
use serde_json::{Value, json};
use twenty_webhook::{
    Verifier, WebhookEvent,
    event::record::{Company, Note, Opportunity, Person, Task},
};

use crate::{
    delivery,
    race::{Contender, race},
};

const ROUNDS: usize = 500;

pub fn run() -> Value {
    let bodies = DELIVERIES.map(|name| (name, delivery::recorded(name)));
    let bodies = bodies.into_iter().chain([("note.created, 200 kB", delivery::long_note())]);
    Value::Array(bodies.map(|(name, body)| case(name, body)).collect())
}

/// Five members that every record has.
#[expect(dead_code, reason = "only reading is measured")]
#[derive(Deserialize)]
#[serde(rename = "*", rename_all = "camelCase")] // `*` accepts the records of any object.
struct FiveFields {
    id: Option<String>,
    created_at: Option<String>,
    updated_at: Option<String>,
    position: Option<f64>,
    created_by: Option<Author>,
}

#[expect(dead_code, reason = "only reading is measured")]
#[derive(Deserialize)]
struct Author {
    source: Option<String>,
    name: Option<String>,
}

/// A handwritten envelope.
#[expect(dead_code, reason = "only reading is measured")]
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Plain {
    event_name: String,
    record: Option<FiveFields>,
}

struct Delivery {
    verifier: Verifier,
    headers: HeaderMap,
    body: Bytes,
}

impl Delivery {
    /// Verifies the delivery and reads the event. Returns `None` if the record is not a `T`.
    fn event<T: DeserializeOwned>(&self) -> Option<WebhookEvent<T>> {
        let verified = self.verifier.verify(&self.headers, self.body.clone()).expect("genuine");
        WebhookEvent::from_verified(verified).ok()
    }

    fn contender<'a, T: DeserializeOwned + 'a>(&'a self, name: &str) -> Option<Contender<'a>> {
        let event = self.event::<T>()?;
        assert!(event.unexpected().is_empty(), "{name}: the slow path must not be measured");
        Some(Contender::new(name, || self.event::<T>()))
    }
}

fn case(name: &str, body: Bytes) -> Value {
    eprintln!("events: {name}");
    let headers = delivery::request_headers(&delivery::twenty(delivery::SECRET, &body), &body);
    let delivery = Delivery { verifier: Verifier::new(delivery::SECRET).expect("a secret"), headers, body };
    let Delivery { verifier, headers, body } = &delivery;
    let verify = || verifier.verify(headers, body.clone()).expect("genuine");
    let default = || <WebhookEvent>::from_verified(verify()).expect("JSON");
    assert!(default().unexpected().is_empty(), "{name}: the slow path must not be measured");
    let typed = match name.split('.').next() {
        Some("person") => delivery.contender::<Person>("standard type"),
        Some("company") => delivery.contender::<Company>("standard type"),
        Some("opportunity") => delivery.contender::<Opportunity>("standard type"),
        Some("note") => delivery.contender::<Note>("standard type"),
        Some("task") => delivery.contender::<Task>("standard type"),
        _ => None,
    };
    let contenders = [
        Some(Contender::new("Value, unverified", || serde_json::from_slice::<Value>(body).expect("JSON"))),
        Some(Contender::new("five fields, unverified", || serde_json::from_slice::<Plain>(body).expect("fits"))),
        Some(Contender::new("verify only", verify)),
        delivery.contender::<IgnoredAny>("name only"),
        delivery.contender::<FiveFields>("five fields"),
        typed,
        Some(Contender::new("default", default)),
    ];
    let nanoseconds = race(contenders.into_iter().flatten().collect(), ROUNDS);
    json!({ "body": name, "bytes": body.len(), "nanoseconds": nanoseconds })
}
