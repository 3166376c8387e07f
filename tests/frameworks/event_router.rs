//! Tests of the event router in each framework: the event's name selects the handler.

use std::sync::{Arc, Mutex};

use twenty_webhook::{Verifier, verify::Signer};

const BODIES: [(&str, &str); 9] = [
    (r#"{"eventName":"person.created","record":{"name":{"firstName":"Ada"},"tier":"GOLD"}}"#, "exact"),
    (r#"{"eventName":"person.updated","record":{}}"#, "object"),
    (r#"{"eventName":"company.created","record":{}}"#, "action"),
    (r#"{"eventName":"rocket.archived","record":{}}"#, "all"),
    (r#"{"eventName":"metadata.view.created","event":{}}"#, "all"),
    (r#"{"eventName":"metadata.fieldMetadata.created","event":{}}"#, "metadata"),
    (r#"{"event":"person.created","data":{},"timestamp":"2025-02-10T15:30:50Z"}"#, "exact"),
    (r#"{"record":{}}"#, "fallback"),
    (r#"{"eventName":"","record":{}}"#, "fallback"),
];

/// Custom fields of a person.
#[derive(serde::Deserialize)]
struct CustomFields {
    tier: Option<String>,
}

/// Patterns with names that no object in Twenty can have.
const IMPOSSIBLE: [&str; 6] = [
    "Person.created",
    "NoteTarget.*",
    "note_target.created",
    "2fa.created",
    "_person.*",
    "metadata.FieldMetadata.updated",
];

fn verifier() -> Verifier {
    Verifier::new("secret").unwrap()
}

fn headers(body: &str) -> Vec<(String, String)> {
    Signer::new("secret").unwrap().sign(body).pairs()
}

/// The names of the called handlers, in order.
#[derive(Clone, Default)]
struct Calls(Arc<Mutex<Vec<&'static str>>>);

impl Calls {
    fn note(&self, who: &'static str) {
        self.0.lock().unwrap().push(who);
    }

    #[track_caller]
    fn assert(&self, expected: &[&str]) {
        assert_eq!(*self.0.lock().unwrap(), expected);
    }
}

#[track_caller]
fn assert_refused(refused: Result<(), twenty_webhook::event::PatternError>, pattern: &str) {
    let error = refused.unwrap_err();
    assert_eq!(error.pattern(), pattern);
    assert!(error.to_string().contains(pattern), "{error}");
}

mod in_axum {
    use axum::{
        Router,
        body::Body,
        extract::{Path, State},
        http::{Request, StatusCode},
        routing::post,
    };
    use tower::ServiceExt as _;
    use twenty_webhook::{
        WebhookEvent,
        axum::{EventHandler, EventRouter},
        event::{
            With,
            record::{MetadataEvent, Person},
        },
        tower::WebhookLayer,
    };

    use super::*;

    async fn exact(
        State(calls): State<Calls>,
        Path(tenant): Path<String>,
        event: WebhookEvent<With<Person, CustomFields>>,
    ) {
        assert_eq!((tenant.as_str(), event.name.object()), ("acme", "person"));
        assert_eq!(event.record.custom.tier.is_some(), event.record.name.is_some(), "the first body has both");
        calls.note("exact");
    }

    async fn object(State(calls): State<Calls>, _: WebhookEvent<Person>, body: String) {
        assert_eq!(body, BODIES[1].0, "the body is still there");
        calls.note("object");
    }

    async fn action(State(calls): State<Calls>) {
        calls.note("action");
    }

    async fn all(State(calls): State<Calls>) {
        calls.note("all");
    }

    async fn metadata(State(calls): State<Calls>, _: WebhookEvent<MetadataEvent>) {
        calls.note("metadata");
    }

    async fn fallback(State(calls): State<Calls>) {
        calls.note("fallback");
    }

    fn app(handler: EventHandler<Calls>, calls: &Calls) -> Router {
        let layer = WebhookLayer::new(verifier());
        Router::new().route("/{tenant}", post(handler).layer(layer)).with_state(calls.clone())
    }

    async fn post_to(app: &Router, body: &str) -> StatusCode {
        let mut request = Request::post("/acme");
        for (name, value) in headers(body) {
            request = request.header(name, value);
        }
        app.clone().oneshot(request.body(Body::from(body.to_owned())).unwrap()).await.unwrap().status()
    }

    #[tokio::test]
    async fn the_most_specific_pattern_wins() {
        let calls = Calls::default();
        let handler = EventRouter::new()
            .on("*.*", all)
            .on("*.created", action)
            .on("person.*", object)
            .on("person.created", exact)
            .on("metadata.fieldMetadata.*", metadata)
            .fallback(fallback)
            .build()
            .unwrap();
        let app = app(handler, &calls);
        for (body, _) in BODIES {
            assert_eq!(post_to(&app, body).await, StatusCode::OK, "{body}");
        }
        calls.assert(&BODIES.map(|(_, who)| who));
    }

    #[tokio::test]
    async fn unmatched_events_are_answered_200() {
        let calls = Calls::default();
        let app = app(EventRouter::new().on("person.created", exact).build().unwrap(), &calls);
        assert_eq!(post_to(&app, BODIES[2].0).await, StatusCode::OK);
        calls.assert(&[]);
    }

    #[tokio::test]
    async fn a_missing_layer_is_an_error() {
        let handler = EventRouter::<()>::new().fallback(async || ()).build().unwrap();
        let app: Router = Router::new().route("/{tenant}", post(handler));
        assert_eq!(post_to(&app, BODIES[0].0).await, StatusCode::INTERNAL_SERVER_ERROR);
    }

    #[test]
    fn debug_shows_whether_there_is_a_fallback() {
        let router = || EventRouter::<Calls>::new().on("person.created", action);
        let handler = router().fallback(fallback).build().unwrap();
        assert_eq!(format!("{:?}", router()), "EventRouter { routes: Routes { has_fallback: false, .. } }");
        assert_eq!(format!("{handler:?}"), "EventHandler { routes: Routes { has_fallback: true, .. } }");
    }

    #[test]
    fn invalid_patterns_are_rejected_by_name() {
        let router = || EventRouter::<Calls>::new().on("person.created", action);
        assert_refused(router().on("person", action).build().map(drop), "person");
        assert_refused(router().on("person.created", all).on("person", all).build().map(drop), "person.created");
        for pattern in IMPOSSIBLE {
            assert_refused(router().on(pattern, all).build().map(drop), pattern);
        }
    }
}

mod in_actix {
    use actix_web::{
        App, HttpResponse, Responder,
        http::StatusCode,
        test::{TestRequest, call_service, init_service},
        web,
    };
    use twenty_webhook::{
        WebhookEvent,
        actix_web::{EventHandler, EventRouter, WebhookMiddleware},
        event::{
            With,
            record::{MetadataEvent, Person},
        },
    };

    use super::*;

    async fn exact(
        calls: web::Data<Calls>,
        tenant: web::Path<String>,
        event: WebhookEvent<With<Person, CustomFields>>,
    ) -> HttpResponse {
        assert_eq!((tenant.as_str(), event.name.object()), ("acme", "person"));
        assert_eq!(event.record.custom.tier.is_some(), event.record.name.is_some(), "the first body has both");
        calls.note("exact");
        HttpResponse::Ok().finish()
    }

    async fn object(calls: web::Data<Calls>, _: WebhookEvent<Person>, body: String) -> impl Responder {
        assert_eq!(body, BODIES[1].0, "the body is still there");
        calls.note("object");
        "text will do, too"
    }

    async fn action(calls: web::Data<Calls>) -> HttpResponse {
        calls.note("action");
        HttpResponse::Ok().finish()
    }

    async fn all(calls: web::Data<Calls>) -> HttpResponse {
        calls.note("all");
        HttpResponse::Ok().finish()
    }

    async fn metadata(calls: web::Data<Calls>, _: WebhookEvent<MetadataEvent>) -> HttpResponse {
        calls.note("metadata");
        HttpResponse::Ok().finish()
    }

    async fn fallback(calls: web::Data<Calls>) -> HttpResponse {
        calls.note("fallback");
        HttpResponse::Ok().finish()
    }

    async fn statuses(handler: EventHandler, calls: &Calls, bodies: &[&'static str]) -> Vec<StatusCode> {
        let resource = web::resource("/{tenant}").wrap(WebhookMiddleware::new(verifier()));
        let resource = resource.route(web::post().to(handler));
        let app = init_service(App::new().app_data(web::Data::new(calls.clone())).service(resource)).await;
        let mut statuses = Vec::new();
        for body in bodies {
            let mut request = TestRequest::post().uri("/acme").set_payload(*body);
            for header in headers(body) {
                request = request.insert_header(header);
            }
            statuses.push(call_service(&app, request.to_request()).await.status());
        }
        statuses
    }

    #[actix_web::test]
    async fn the_most_specific_pattern_wins() {
        let calls = Calls::default();
        let handler = EventRouter::new()
            .on("*.*", all)
            .on("*.created", action)
            .on("person.*", object)
            .on("person.created", exact)
            .on("metadata.fieldMetadata.*", metadata)
            .fallback(fallback)
            .build()
            .unwrap();
        assert_eq!(statuses(handler, &calls, &BODIES.map(|(body, _)| body)).await, [StatusCode::OK; 9]);
        calls.assert(&BODIES.map(|(_, who)| who));
    }

    #[actix_web::test]
    async fn unmatched_events_are_answered_200() {
        let calls = Calls::default();
        let handler = EventRouter::new().on("person.created", exact).build().unwrap();
        assert_eq!(statuses(handler, &calls, &[BODIES[2].0]).await, [StatusCode::OK]);
        calls.assert(&[]);
    }

    #[actix_web::test]
    async fn a_rejecting_extractor_determines_the_response() {
        let calls = Calls::default();
        let handler = EventRouter::new().on("*.*", exact).build().unwrap();
        assert_eq!(statuses(handler, &calls, &[BODIES[2].0]).await, [StatusCode::UNPROCESSABLE_ENTITY]);
        calls.assert(&[]);
    }

    #[actix_web::test]
    async fn a_missing_middleware_is_an_error() {
        let handler = EventRouter::new().fallback(fallback).build().unwrap();
        let app = init_service(App::new().route("/", web::post().to(handler))).await;
        let response = call_service(&app, TestRequest::post().to_request()).await;
        assert_eq!(response.status(), StatusCode::INTERNAL_SERVER_ERROR);
    }

    #[test]
    fn invalid_patterns_are_rejected_by_name() {
        let router = || EventRouter::new().on("person.created", action);
        assert_refused(router().on("*", action).build().map(drop), "*");
        assert_refused(router().on("person.created", all).build().map(drop), "person.created");
        for pattern in IMPOSSIBLE {
            assert_refused(router().on(pattern, all).build().map(drop), pattern);
        }
    }
}

mod in_tower {
    use std::convert::Infallible;

    use bytes::Bytes;
    use http::{Request, Response, StatusCode};
    use http_body_util::Full;
    use tower::{Layer as _, ServiceExt as _, limit::ConcurrencyLimit, service_fn};
    use twenty_webhook::tower::{EventRouter, EventService, VerifiedBody, WebhookLayer};

    use super::*;

    type Service = EventService<VerifiedBody, Full<Bytes>, Infallible>;

    /// Returns a service that records its name, and panics if it is called before it is ready.
    fn service(
        calls: &Calls,
        who: &'static str,
    ) -> impl tower::Service<Request<VerifiedBody>, Response = Response<Full<Bytes>>, Error = Infallible, Future: Send>
    + Clone
    + Send
    + Sync
    + use<> {
        let calls = calls.clone();
        let inner = service_fn(move |_| {
            calls.note(who);
            async { Ok(Response::default()) }
        });
        ConcurrencyLimit::new(inner, 1)
    }

    async fn post_to(service: &Service, body: &'static str) -> StatusCode {
        let mut request = Request::post("/");
        for (name, value) in headers(body) {
            request = request.header(name, value);
        }
        let request = request.body(Full::<Bytes>::from(body)).unwrap();
        WebhookLayer::new(verifier()).layer(service.clone()).oneshot(request).await.unwrap().status()
    }

    #[tokio::test]
    async fn the_most_specific_pattern_wins() {
        let calls = Calls::default();
        let handler = EventRouter::new()
            .on("*.*", service(&calls, "all"))
            .on("*.created", service(&calls, "action"))
            .on("person.*", service(&calls, "object"))
            .on("person.created", service(&calls, "exact"))
            .on("metadata.fieldMetadata.*", service(&calls, "metadata"))
            .fallback(service(&calls, "fallback"))
            .build()
            .unwrap();
        for (body, _) in BODIES {
            assert_eq!(post_to(&handler, body).await, StatusCode::OK, "{body}");
        }
        calls.assert(&BODIES.map(|(_, who)| who));
    }

    #[test]
    fn invalid_patterns_are_rejected_by_name() {
        let calls = Calls::default();
        for pattern in IMPOSSIBLE {
            let built: Result<Service, _> = EventRouter::new().on(pattern, service(&calls, "never")).build();
            assert_refused(built.map(drop), pattern);
        }
    }

    #[tokio::test]
    async fn an_unmatched_event_is_200_and_an_unverified_request_is_500() {
        let calls = Calls::default();
        let handler: Service = EventRouter::new().on("person.created", service(&calls, "exact")).build().unwrap();
        assert_eq!(post_to(&handler, BODIES[2].0).await, StatusCode::OK);
        let handler: EventService<(), Full<Bytes>, Infallible> = EventRouter::new().build().unwrap();
        let response = handler.oneshot(Request::new(())).await.unwrap();
        assert_eq!(response.status(), StatusCode::INTERNAL_SERVER_ERROR);
        calls.assert(&[]);
    }
}
