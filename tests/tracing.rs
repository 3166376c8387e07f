//! What is logged, how loudly, and what never is.
#![cfg(all(feature = "axum", feature = "tracing"))]

mod support;

use std::{
    fmt::{self, Write as _},
    sync::{Arc, Mutex},
};

use axum::{Router, body::Body, extract::Request, http::StatusCode, routing::post};
use support::{
    SECRET, SIGNATURE,
    bodies::{delivery, unsigned},
    builder, data, event_of, signed,
};
use tower::ServiceExt;
use tracing::{
    Event, Metadata, Subscriber,
    field::{Field, Visit},
    span::{Attributes, Id, Record},
    subscriber::set_default,
};
use twenty_webhook::{WebhookEvent, event::record::Person, tower::WebhookLayer};

/// Keeps what is logged, a line an event: level, then fields.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<String>>>);

struct Line(String);

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        write!(self.0, " {}={value:?}", field.name()).unwrap();
    }
}

impl Subscriber for Log {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target().starts_with("twenty_webhook")
    }

    fn event(&self, event: &Event<'_>) {
        let mut line = Line(event.metadata().level().to_string());
        event.record(&mut line);
        self.0.lock().unwrap().push(line.0);
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}
    fn record_follows_from(&self, _: &Id, _: &Id) {}
    fn enter(&self, _: &Id) {}
    fn exit(&self, _: &Id) {}
}

fn app() -> Router {
    let layer = WebhookLayer::new(builder().body_limit(4000).build().unwrap());
    Router::new()
        .route("/webhooks/twenty", post(|_: WebhookEvent<Person>| async {}).layer(layer))
        .route("/bare", post(|_: WebhookEvent| async {}))
}

/// What is logged while these are answered, and the last status.
async fn logged(requests: impl IntoIterator<Item = Request>) -> (Vec<String>, StatusCode) {
    let log = Log::default();
    let _guard = set_default(log.clone());
    let (app, mut status) = (app(), StatusCode::OK);
    for request in requests {
        status = app.clone().oneshot(request).await.unwrap().status();
    }
    let lines = log.0.lock().unwrap().clone();
    (lines, status)
}

#[tokio::test]
async fn a_handled_delivery_is_for_debugging() {
    let event = data("person.created.json");
    let (lines, status) = logged([delivery(&event, Body::from(event.clone()))]).await;
    assert_eq!(status, StatusCode::OK);
    assert_eq!(lines, ["DEBUG message=handled"]);
}

/// Strangers can cause it at will.
#[tokio::test]
async fn a_refusal_is_for_debugging() {
    let (lines, _) = logged([unsigned(Body::from("{}"))]).await;
    let [line] = &lines[..] else { panic!("{lines:?}") };
    assert!(line.starts_with("DEBUG") && line.contains("status=401") && line.contains("unsigned"), "{line}");
}

/// An authentic event may be lost for it, but strangers can cause it, too: loud once, then not for a while.
#[tokio::test]
async fn a_body_that_is_too_long_is_a_warning_now_and_then() {
    let long = event_of(5000);
    let (lines, status) = logged((0..3).map(|_| delivery(&long, Body::from(long.clone())))).await;
    assert_eq!(status, StatusCode::PAYLOAD_TOO_LARGE);
    let levels: Vec<_> = lines.iter().map(|line| line.split(' ').next().unwrap()).collect();
    assert_eq!(levels, ["WARN", "DEBUG", "DEBUG"]);
    assert!(lines[0].contains("status=413"), "{}", lines[0]);
}

#[tokio::test]
async fn a_verified_delivery_that_no_handler_takes_is_a_warning() {
    let company = data("company.deleted.json");
    let (lines, status) = logged([delivery(&company, Body::from(company.clone()))]).await;
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY);
    let [why, outcome] = &lines[..] else { panic!("{lines:?}") };
    assert!(why.starts_with("WARN") && why.contains("status=422"), "{why}");
    assert!(outcome.starts_with("WARN") && outcome.contains("not handled"), "{outcome}");
}

#[tokio::test]
async fn a_missing_middleware_is_an_error() {
    let (lines, status) = logged([Request::post("/bare").body(Body::from("{}")).unwrap()]).await;
    assert_eq!(status, StatusCode::INTERNAL_SERVER_ERROR);
    let [line] = &lines[..] else { panic!("{lines:?}") };
    assert!(line.starts_with("ERROR") && line.contains("middleware"), "{line}");
}

#[tokio::test]
async fn neither_secret_nor_signature_nor_body_is_logged() {
    let marker = "p3rs0nal-mark3r";
    let bodies = [
        format!(r#"{{"eventName":"person.created","record":{{"jobTitle":5,"city":"{marker}"}}}}"#),
        format!(r#"{{"eventName":"person.created","record":{{"name":"{marker}"}}}}"#),
        format!(r#"{{"eventName":"company.created","record":"{marker}"}}"#),
        format!(r#"{{"eventName":"person.created","record":{marker}}}"#),
        marker.to_owned(),
    ];
    let requests = bodies.iter().flat_map(|body| {
        let forged = delivery("something else", Body::from(body.clone()));
        let mut encoded = delivery(body, Body::from(body.clone()));
        encoded.headers_mut().insert("content-encoding", "gzip".parse().unwrap());
        [delivery(body, Body::from(body.clone())), forged, encoded, unsigned(Body::from(body.clone()))]
    });
    let (lines, _) = logged(requests).await;
    assert!(lines.len() >= 15, "{lines:?}");
    let signatures = bodies.iter().map(|body| signed(body).into_iter().find(|(name, _)| name == SIGNATURE).unwrap().1);
    let signatures: Vec<_> = signatures.collect();
    for line in lines {
        for secret in signatures.iter().map(String::as_str).chain([marker, SECRET]) {
            assert!(!line.contains(secret), "{line}");
        }
    }
}
