//! Checks that a delivery causes only a small constant amount of logging, whatever its content and
//! its length are.

use std::{collections::BTreeMap, fmt::Write as _};

use serde_json::{Value, json};
use tracing_subscriber::{
    filter::{LevelFilter, Targets},
    fmt::{self, format::FmtSpan},
    layer::{Layer as _, SubscriberExt as _},
};
use twenty_webhook::{
    Receiver, WebhookEvent,
    deduplicate::{Claim, ClaimKey, ClaimOutcome, ClaimStore, MemoryStore, StoreError, StoreErrorKind, StoreFuture},
    event::record::{MetadataEvent, Person},
};

use crate::support::{self, builder, signed, telemetry::Written};

/// The limit for one delivery, in bytes.
const MOST: usize = 8 << 10;

/// The length of a hostile text in characters, and the number of hostile members.
const LONG: usize = 9_000;
const MANY: usize = 400;

/// A log at the level `trace`: as text with the beginning and the end of spans, and as JSON.
struct Log {
    texts: [Written; 2],
    _guard: tracing::subscriber::DefaultGuard,
}

impl Log {
    fn new() -> Self {
        let [plain, json] = [Written::default(), Written::default()];
        let ours = || Targets::new().with_target("twenty_webhook", LevelFilter::TRACE);
        let plain_layer = fmt::layer().with_ansi(false).with_span_events(FmtSpan::NEW | FmtSpan::CLOSE);
        let subscriber = tracing_subscriber::registry()
            .with(plain_layer.with_writer(plain.clone()).with_filter(ours()))
            .with(fmt::layer().json().with_writer(json.clone()).with_filter(ours()));
        Self { texts: [plain, json], _guard: tracing::subscriber::set_default(subscriber) }
    }

    /// Checks that little was logged since the last call.
    #[track_caller]
    fn assert_little(&self, of: &str) {
        for written in &self.texts {
            let text = written.take();
            let shown: String = text.chars().take(2_000).collect();
            assert!(text.len() <= MOST, "{of}: {} bytes, such as {shown}", text.len());
        }
    }
}

/// Returns long texts, including those that are longest when they are escaped once or twice.
fn texts() -> Vec<String> {
    ["x", "\u{1b}", "\"\\", "\u{10ffff}", "a.\u{1f600}"].map(|text| text.repeat(LONG)).into()
}

/// Returns bodies that have the text in every possible place.
fn hostile(text: &str) -> Vec<String> {
    let name = |name: String, rest: Value| {
        let mut body = json!({ "eventName": name });
        body.as_object_mut().unwrap().extend(rest.as_object().unwrap().clone());
        body.to_string()
    };
    let person = |record: Value| name("person.created".into(), json!({ "record": record }));
    let short: String = text.chars().take(30).collect();
    let many = |value: Value| -> Value {
        (0..MANY).map(|number| (format!("{short}{number}"), value.clone())).collect::<serde_json::Map<_, _>>().into()
    };
    let nested = (0..100).fold(json!(text), |value, _| json!({ "primaryEmail": value }));
    let odd_fields = json!({
        "emails": nested, "name": text, "phones": text, "jobTitle": {}, "companyId": {}, "position": text,
        "createdBy": text, "createdAt": text, "updatedAt": {}, "deletedAt": [], "linkedinLink": text,
        "avatarUrl": {}, "city": {}, "xLink": text,
    });
    let mut repeated = String::from(r#"{"eventName":"person.created","record":{"#);
    for _ in 0..MANY {
        write!(repeated, r#""jobTitle":{},"emails":{},"#, json!([text.get(..1)]), json!(short)).unwrap();
    }
    repeated += r#""id":null}}"#;
    vec![
        text.to_owned(),
        json!(text).to_string(),
        name(text.into(), json!({ "record": {} })),
        name(format!("{text}.created"), json!({ "record": {} })),
        name(format!("person.{text}"), json!({ "record": { "jobTitle": {} } })),
        name(format!("metadata.{text}.created"), json!({ "event": {} })),
        name(
            format!("metadata.view.{text}"),
            json!({ "event": { "metadataName": text, "recordId": text, "type": text } }),
        ),
        json!({ "event": text, "data": {} }).to_string(),
        json!({ "eventType": format!("create.{text}"), "record": {} }).to_string(),
        json!({ "eventType": text, "record": text }).to_string(),
        person(json!(text)),
        person(odd_fields),
        person(many(json!({}))),
        person(many(json!(short))),
        person(json!({ "emails": many(json!([])), "name": many(json!(1)) })),
        repeated,
        json!({ "record": { "jobTitle": {} }, "eventName": format!("person.{text}") }).to_string(),
        name(
            "person.updated".into(),
            json!({
                "record": {}, "eventDate": text, "workspaceId": text, "webhookId": [text], "userId": text,
                "workspaceMemberId": {},
                "apiKeyId": text, "applicationId": text, "objectMetadata": { "id": text, "nameSingular": text },
                "updatedFields": vec![&short; MANY], "targetUrl": text,
            }),
        ),
        name("person.updated".into(), json!({ "record": {}, "updatedFields": many(json!(1)), "objectMetadata": text })),
        name(
            "metadata.view.updated".into(),
            json!({ "event": { "metadataName": text, "properties": {
                "updatedFields": vec![&short; MANY],
                "diff": many(json!({ "before": text.get(..4), "after": 1 })),
                "after": text,
            } } }),
        ),
    ]
}

fn receiver() -> Receiver {
    let receiver = Receiver::new(builder().body_limit(64 << 20).build().unwrap());
    receiver.deduplicate(MemoryStore::new(100_000))
}

/// A map of numbers, in which each member is odd.
type Numbers = BTreeMap<String, u8>;

const ROUTES: [&str; 6] = ["/any", "/person", "/metadata", "/numbers", "/fails", "/router"];

/// Posts each hostile body to this number of routes, in turn.
async fn post_all(routes: usize, post: impl AsyncFn(&'static str, Vec<(String, String)>, String) -> u16) {
    let log = Log::new();
    let mut posted = 0;
    let mut next = ROUTES.into_iter().cycle();
    for text in texts() {
        for (number, body) in hostile(&text).into_iter().enumerate() {
            for route in next.by_ref().take(routes) {
                // The routes must not get duplicates of each other's deliveries.
                let body = format!("{}{body}", " ".repeat(posted % 100));
                let status = post(route, signed(&body), body).await;
                let first: String = text.chars().take(3).collect();
                log.assert_little(&format!("body {number} of {first:?} to {route}, answered {status}"));
                assert!(matches!(status, 200 | 400 | 422 | 500), "{status}");
                posted += 1;
            }
        }
    }
    assert!(posted > 84 * routes);
}

/// Each body is posted to one route.
#[tokio::test]
async fn the_log_of_a_signed_delivery_is_bounded_in_axum() {
    in_axum(1).await;
}

#[actix_web::test]
async fn the_log_of_a_signed_delivery_is_bounded_in_actix_web() {
    in_actix_web(1).await;
}

/// Tests that post each body to each route.
mod at_length {
    use super::*;

    #[tokio::test]
    #[ignore = "long: the gate runs it"]
    async fn the_log_of_a_signed_delivery_is_bounded_in_axum() {
        in_axum(ROUTES.len()).await;
    }

    #[actix_web::test]
    #[ignore = "long: the gate runs it"]
    async fn the_log_of_a_signed_delivery_is_bounded_in_actix_web() {
        in_actix_web(ROUTES.len()).await;
    }
}

async fn in_axum(routes: usize) {
    use axum::{Router, body::Body, http::StatusCode, routing::post};
    use tower::ServiceExt as _;
    use twenty_webhook::{axum::EventRouter, tower::WebhookLayer};

    let router = EventRouter::new().on("note.created", async || ()).build().unwrap();
    let app: Router = Router::new()
        .route("/any", post(|_: WebhookEvent| async {}))
        .route("/person", post(|_: WebhookEvent<Person>| async {}))
        .route("/metadata", post(|_: WebhookEvent<MetadataEvent>| async {}))
        .route("/numbers", post(|_: WebhookEvent<Numbers>| async {}))
        .route("/fails", post(|_: WebhookEvent| async { StatusCode::INTERNAL_SERVER_ERROR }))
        .route("/router", post(router))
        .layer(WebhookLayer::new(receiver()));
    post_all(routes, async |route, headers, body| {
        let mut request = http::Request::post(route);
        for (name, value) in headers {
            request = request.header(name, value);
        }
        app.clone().oneshot(request.body(Body::from(body)).unwrap()).await.unwrap().status().as_u16()
    })
    .await;
}

async fn in_actix_web(routes: usize) {
    use actix_web::{
        App, HttpResponse,
        test::{TestRequest, call_service, init_service},
        web::post,
    };
    use twenty_webhook::actix_web::{EventRouter, WebhookMiddleware};

    async fn ok() -> HttpResponse {
        HttpResponse::Ok().finish()
    }
    let router = EventRouter::new().on("note.created", ok).build().unwrap();
    let app = App::new()
        .wrap(WebhookMiddleware::new(receiver()))
        .route("/any", post().to(|_: WebhookEvent| ok()))
        .route("/person", post().to(|_: WebhookEvent<Person>| ok()))
        .route("/metadata", post().to(|_: WebhookEvent<MetadataEvent>| ok()))
        .route("/numbers", post().to(|_: WebhookEvent<Numbers>| ok()))
        .route("/fails", post().to(|_: WebhookEvent| async { HttpResponse::InternalServerError().finish() }))
        .route("/router", post().to(router));
    let app = init_service(app).await;
    post_all(routes, async |route, headers, body| {
        let request = headers.into_iter().fold(TestRequest::post().uri(route), TestRequest::insert_header);
        call_service(&app, request.set_payload(body).to_request()).await.status().as_u16()
    })
    .await;
}

/// A resolver's error may repeat parts of the request.
#[tokio::test]
async fn the_log_of_an_unverified_delivery_is_bounded() {
    use axum::{Router, body::Body, routing::post};
    use tower::ServiceExt as _;
    use twenty_webhook::tower::WebhookLayer;

    let log = Log::new();
    let verifier = twenty_webhook::Verifier::builder().clock(support::clock());
    let receiver = Receiver::for_tenants(verifier, |tenant| async move {
        let said: String = tenant.header("x-tenant").unwrap_or_default().escape_ascii().to_string();
        Err(format!("no tenant {said} at {:?} {}", tenant.path(), "\u{1b}".repeat(LONG)).into())
    });
    let app = Router::<()>::new().fallback(post(async || ())).layer(WebhookLayer::new(receiver.unwrap()));
    for _ in 0..3 {
        let mut request = http::Request::post(format!("/{}", "x".repeat(LONG)));
        for (name, value) in signed("{}") {
            request = request.header(name, value);
        }
        let request = request.header("x-tenant", [b'\xff'; LONG].as_slice());
        let answer = app.clone().oneshot(request.body(Body::from("{}")).unwrap()).await.unwrap();
        assert_eq!(answer.status(), 503);
        log.assert_little("a resolver's error");
    }
}

/// A claim store that fails with this text.
#[derive(Debug)]
struct Failing(String);

impl Failing {
    fn fail<T: Send + 'static>(&self) -> StoreFuture<'_, T> {
        Box::pin(async { Err(StoreError::new(StoreErrorKind::Refused, &*self.0)) })
    }
}

impl ClaimStore for Failing {
    fn claim(&self, _: ClaimKey, _: std::time::Duration) -> StoreFuture<'_, ClaimOutcome> {
        self.fail()
    }

    fn renew<'a>(&'a self, _: &'a Claim, _: std::time::Duration) -> StoreFuture<'a, bool> {
        self.fail()
    }

    fn complete<'a>(&'a self, _: &'a Claim, _: std::time::Duration) -> StoreFuture<'a, bool> {
        self.fail()
    }

    fn release<'a>(&'a self, _: &'a Claim) -> StoreFuture<'a, bool> {
        self.fail()
    }

    fn forget(&self, _: ClaimKey) -> StoreFuture<'_, bool> {
        self.fail()
    }
}

#[tokio::test]
async fn the_log_of_a_claim_stores_error_is_bounded() {
    use tower::{Layer as _, ServiceExt as _};

    let log = Log::new();
    for text in texts() {
        let handler = tower::service_fn(async |_: http::Request<twenty_webhook::tower::VerifiedBody>| {
            Ok::<_, std::convert::Infallible>(http::Response::new(http_body_util::Full::<bytes::Bytes>::default()))
        });
        let receiver = Receiver::new(support::verifier()).deduplicate(Failing(text));
        let request = support::bodies::delivery("{}", http_body_util::Full::<bytes::Bytes>::from("{}"));
        let response =
            twenty_webhook::tower::WebhookLayer::new(receiver).layer(handler).oneshot(request).await.unwrap();
        assert_eq!(response.status(), 200);
        log.assert_little("the claim store fails");
    }
}
