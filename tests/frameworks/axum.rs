//! Tests of axum's own features: extractors, limits, other layers, and disconnecting clients.

use std::sync::{Arc, Mutex};

use axum::{
    Extension, Json, Router,
    body::{Body, Bytes},
    extract::{DefaultBodyLimit, Request, State},
    http::{HeaderMap, Method, StatusCode, Uri},
    middleware::{Next, from_fn},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use http_body_util::BodyExt;
use tokio::{net::TcpListener, sync::mpsc, task::yield_now};
use tower::{ServiceBuilder, ServiceExt};
use tower_http::trace::TraceLayer;
use twenty_webhook::{
    Receiver, Verified, WebhookEvent,
    event::{EventErrorKind, record::Person},
    receiver::{Refusal, RefusalKind, WebhookRejection},
    tower::{VerifiedBody, WebhookLayer},
};

use crate::support::{
    bodies::{channel, delivery, unsigned},
    builder, data, event_of,
    http1::{self, Connection, accepted_at_last, begun_without_room_for, soon},
    verifier,
};

fn layer() -> WebhookLayer {
    WebhookLayer::new(verifier())
}

async fn ask(app: Router, request: Request) -> Response {
    app.oneshot(request).await.unwrap()
}

async fn text(answer: Response) -> String {
    String::from_utf8(answer.into_body().collect().await.unwrap().to_bytes().into()).unwrap()
}

/// Returns a delivery with the body in this file.
fn event(name: &str) -> Request {
    delivery(data(name), Body::from(data(name)))
}

mod extractors {
    use super::*;

    #[tokio::test]
    async fn extractors_combine_with_others_in_any_order() {
        async fn first(event: WebhookEvent, _: State<u8>, _: HeaderMap, verified: Verified, body: Bytes) -> String {
            assert_eq!((event.body(), verified.body()), (&body, &body));
            event.name.to_string()
        }
        async fn last(_: Method, _: Uri, body: Extension<Verified>, event: WebhookEvent<Person>) -> String {
            assert_eq!(body.body(), event.body());
            event.record.display_name().unwrap_or_default()
        }
        async fn twice(one: WebhookEvent, other: WebhookEvent<serde_json::Value>, request: Request) -> String {
            assert_eq!(one.name, other.name);
            request.into_body().collect().await.unwrap().to_bytes().len().to_string()
        }
        for (route, answer) in [(post(first), "person.created"), (post(last), "Ada Lovelace"), (post(twice), "1577")] {
            let app = Router::new().route("/webhooks/twenty", route).layer(layer()).with_state(7);
            assert_eq!(text(ask(app, event("person.created.json")).await).await, answer);
        }
    }

    #[tokio::test]
    async fn extractors_can_be_a_result() {
        async fn on_event(event: Result<WebhookEvent<Person>, WebhookRejection>) -> String {
            match event {
                Ok(event) => event.name.to_string(),
                Err(WebhookRejection::Event(error)) => format!("{:?}", error.kind()),
                Err(other) => format!("{other:?}"),
            }
        }
        let app = || Router::new().route("/webhooks/twenty", post(on_event));
        let with_layer = async |name| text(ask(app().layer(layer()), event(name)).await).await;
        assert_eq!(with_layer("person.created.json").await, "person.created");
        assert_eq!(with_layer("company.deleted.json").await, "WrongObject");
        assert_eq!(text(ask(app(), event("person.created.json")).await).await, "MissingMiddleware");
    }

    #[tokio::test]
    async fn rejections_have_their_reason_in_the_extensions() {
        async fn on_event(_: WebhookEvent<Person>) {}
        let app = Router::new().route("/webhooks/twenty", post(on_event));

        let answer = ask(app.clone(), event("person.created.json")).await;
        assert_eq!(answer.status(), StatusCode::INTERNAL_SERVER_ERROR);
        assert_eq!(answer.extensions().get(), Some(&WebhookRejection::MissingMiddleware));
        assert_eq!(text(answer).await, "");

        for (body, status, kind) in [
            ("not JSON", StatusCode::BAD_REQUEST, EventErrorKind::NotJson),
            (r#"{"eventName":"company.created"}"#, StatusCode::UNPROCESSABLE_ENTITY, EventErrorKind::WrongObject),
        ] {
            let answer = ask(app.clone().layer(layer()), delivery(body, Body::from(body))).await;
            assert_eq!(answer.status(), status);
            let Some(WebhookRejection::Event(error)) = answer.extensions().get() else { panic!("{answer:?}") };
            assert_eq!(error.kind(), kind);
            assert!(!answer.headers().contains_key("content-type"));
            assert_eq!(text(answer).await, "");
        }
    }

    /// Without the layer, the handler gets no evidence, whatever headers the request has.
    #[tokio::test]
    async fn extractors_trust_nothing_in_the_request() {
        async fn on_event(verified: Verified) -> String {
            format!("{verified:?}")
        }
        let app = Router::new().route("/webhooks/twenty", post(on_event));
        assert_eq!(ask(app, event("person.created.json")).await.status(), StatusCode::INTERNAL_SERVER_ERROR);
    }
}

mod limits {
    use super::*;

    const LONG: usize = 3 << 20;

    /// An axum limit that is set outside the layer does not apply inside.
    #[tokio::test]
    async fn the_verifiers_limit_applies() {
        async fn bytes(body: Bytes) -> String {
            body.len().to_string()
        }
        async fn string(body: String) -> String {
            body.len().to_string()
        }
        async fn json(Json(body): Json<serde_json::Value>) -> String {
            body["eventName"].to_string()
        }
        let verifier = builder().body_limit(LONG).build().unwrap();
        for (route, answer) in [
            (post(bytes), LONG.to_string()),
            (post(string), LONG.to_string()),
            (post(json), r#""note.created""#.into()),
        ] {
            for limit in [None, Some(DefaultBodyLimit::max(10))] {
                let app =
                    Router::new().route("/webhooks/twenty", route.clone()).layer(WebhookLayer::new(verifier.clone()));
                let app = match limit {
                    None => app,
                    Some(limit) => app.layer(limit),
                };
                let mut request = delivery(event_of(LONG), Body::from(event_of(LONG)));
                request.headers_mut().insert("content-type", "application/json".parse().unwrap());
                assert_eq!(text(ask(app, request).await).await, answer);
            }
        }
    }
}

mod layers {
    use super::*;

    type Seen = Arc<Mutex<Vec<String>>>;

    /// Returns a router with these layers, from the outside to the inside: trace, `from_fn`, the
    /// layer, a mapping of the body, `from_fn`.
    fn app(seen: &Seen) -> Router {
        let note = |what: &'static str| {
            let seen = Arc::clone(seen);
            move |request: Request, next: Next| {
                let seen = Arc::clone(&seen);
                async move {
                    let is_verified = request.extensions().get::<Verified>().is_some();
                    seen.lock().unwrap().push(format!("{what}, verified: {is_verified}"));
                    let answer = next.run(request).await;
                    let refusal = answer.extensions().get::<Refusal>().map(Refusal::kind);
                    seen.lock().unwrap().push(format!("{what}, refused: {refusal:?}"));
                    answer
                }
            }
        };
        let traced = Arc::clone(seen);
        let trace = TraceLayer::new_for_http().on_response(move |answer: &Response<_>, _, _: &_| {
            traced.lock().unwrap().push(format!("traced {}", answer.status()));
        });
        let layers = ServiceBuilder::new()
            .layer(trace)
            .layer(from_fn(note("outside")))
            .layer(layer())
            .map_request(|request: http::Request<VerifiedBody>| request.map(Body::new))
            .layer(from_fn(note("inside")));
        async fn on_event(event: WebhookEvent, body: Bytes) -> String {
            assert_eq!(event.body(), &body);
            event.name.to_string()
        }
        Router::new().route("/webhooks/twenty", post(on_event)).layer(layers)
    }

    #[tokio::test]
    async fn layers_on_both_sides_run() {
        let seen = Seen::default();
        let answer = ask(app(&seen), event("person.created.json")).await;
        assert_eq!(text(answer).await, "person.created");
        assert_eq!(
            *seen.lock().unwrap(),
            [
                "outside, verified: false",
                "inside, verified: true",
                "inside, refused: None",
                "outside, refused: None",
                "traced 200 OK",
            ]
        );
    }

    #[tokio::test]
    async fn outer_layers_see_the_rejection() {
        let seen = Seen::default();
        let answer = ask(app(&seen), unsigned(Body::from("{}"))).await;
        assert_eq!(answer.status(), StatusCode::UNAUTHORIZED);
        assert_eq!(text(answer).await, "");
        assert_eq!(
            *seen.lock().unwrap(),
            ["outside, verified: false", "outside, refused: Some(Verify(Unsigned))", "traced 401 Unauthorized",]
        );
    }

    #[tokio::test]
    async fn a_layer_around_some_routes_does_not_change_the_others() {
        let app = Router::new()
            .route("/webhooks/twenty", post(|_: WebhookEvent| async {}))
            .route_layer(layer())
            .route("/health", get(|| async { "ok" }));
        let health = Request::get("/health").body(Body::empty()).unwrap();
        assert_eq!(text(ask(app.clone(), health).await).await, "ok");
        let elsewhere = Request::get("/elsewhere").body(Body::empty()).unwrap();
        assert_eq!(ask(app, elsewhere).await.status(), StatusCode::NOT_FOUND);
    }

    #[tokio::test]
    async fn layers_of_a_nested_router_run() {
        let webhooks =
            Router::new().route("/twenty", post(|event: WebhookEvent| async move { event.name.to_string() }));
        let app = Router::new().nest("/webhooks", webhooks.layer(layer()));
        assert_eq!(text(ask(app.clone(), event("person.created.json")).await).await, "person.created");
        assert_eq!(ask(app, unsigned(Body::from("{}"))).await.status(), StatusCode::UNAUTHORIZED);
    }

    #[tokio::test]
    async fn the_handlers_response_passes_unchanged() {
        let app = Router::new().route(
            "/webhooks/twenty",
            post(|_: WebhookEvent| async {
                (StatusCode::IM_A_TEAPOT, [("x-tea", "green")], "no coffee").into_response()
            }),
        );
        let answer = ask(app.layer(layer()), event("person.created.json")).await;
        assert_eq!(answer.status(), StatusCode::IM_A_TEAPOT);
        assert_eq!(answer.headers()["x-tea"], "green");
        assert_eq!(text(answer).await, "no coffee");
    }
}

mod clients_that_leave {
    use super::*;

    /// Starts a server whose receiver can hold one body of 1000 bytes. The channel reports when a
    /// handler starts, and when it ends or is dropped.
    async fn serve(receiver: Receiver) -> (std::net::SocketAddr, mpsc::UnboundedReceiver<&'static str>) {
        struct Dropped(mpsc::UnboundedSender<&'static str>);
        impl Drop for Dropped {
            fn drop(&mut self) {
                let _ = self.0.send("gone");
            }
        }
        let (sender, steps) = mpsc::unbounded_channel();
        let on_event = move |event: WebhookEvent| {
            let dropped = Dropped(sender.clone());
            async move {
                let _ = dropped.0.send("started");
                if event.name == *"note.created" {
                    std::future::pending::<()>().await;
                }
            }
        };
        let app = Router::new().route("/webhooks/twenty", post(on_event)).layer(WebhookLayer::new(receiver));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
        (address, steps)
    }

    #[tokio::test]
    async fn a_client_that_leaves_in_the_body_frees_its_part_of_the_budget() {
        let (address, mut steps) = serve(Receiver::new(verifier()).unverified_budget(1000)).await;
        let body = data("company.deleted.2025-partial.json");
        drop(begun_without_room_for(address, &event_of(1000), &body).await);
        accepted_at_last(address, &body).await;
        assert_eq!(soon(steps.recv()).await, Some("started"));
    }

    /// Without `acknowledge_within`, hyper drops the handler, and nothing is left behind.
    #[tokio::test]
    async fn a_client_that_leaves_in_the_handler_aborts_it() {
        let (address, mut steps) = serve(Receiver::new(verifier())).await;
        let mut leaver = Connection::open(address).await;
        leaver.send(http1::delivery(event_of(1000)).bytes()).await;
        assert_eq!(soon(steps.recv()).await, Some("started"));
        drop(leaver);
        assert_eq!(soon(steps.recv()).await, Some("gone"));
    }
}

/// Hyper sends 100 Continue when the body is read for the first time. A request that is rejected
/// for its head never gets it.
#[tokio::test]
async fn only_a_well_formed_head_gets_100_continue() {
    let app = Router::new().route("/webhooks/twenty", post(|_: WebhookEvent| async {})).layer(layer());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
    let event = data("person.created.json");
    let asking = |request: http1::Request| request.with("expect", "100-continue");

    let mut honest = Connection::open(address).await;
    honest.send(asking(http1::delivery(&event)).head_bytes()).await;
    assert_eq!(honest.answer_or_interim().await.unwrap().status, 100);
    honest.send(&event).await;
    assert_eq!(honest.answer_or_interim().await.unwrap().status, 200);

    let mut stranger = Connection::open(address).await;
    stranger.send(asking(http1::unsigned(&event)).head_bytes()).await;
    assert_eq!(stranger.answer_or_interim().await.unwrap().status, 401);
}

#[tokio::test]
async fn clones_of_a_router_share_the_budget() {
    let app = Router::new().route("/webhooks/twenty", post(|_: WebhookEvent| async {}));
    let app = app.layer(WebhookLayer::new(Receiver::new(verifier()).unverified_budget(2000)));
    let (sender, body) = channel();
    sender.send(data("person.created.json")).unwrap();
    let under_way = tokio::spawn(ask(app.clone(), delivery(data("person.created.json"), Body::new(body))));
    yield_now().await;
    let refused = ask(app, event("person.created.json")).await;
    assert_eq!(refused.extensions().get::<Refusal>().unwrap().kind(), RefusalKind::Overloaded);
    drop(sender);
    assert_eq!(under_way.await.unwrap().status(), StatusCode::OK);
}
