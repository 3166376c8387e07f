//! Tests of defects that were found by running other receivers of webhooks, in the named versions.
//! This crate must not have them, in any framework in which they are possible.
//!
//! | receiver and input | its result | test |
//! |---|---|---|
//! | axum-standardwebhooks 1.0.0: body of 3 MiB, signed or not, limit disabled | panic | `everywhere::a_body_of_3_mib_does_not_panic`, `in_axum::a_body_of_3_mib_does_not_panic` |
//! | standardwebhooks 1.0.1, webhook-verify 0.1.0, tower-github-webhook 0.2.0: empty secret | accepted | `an_empty_secret_is_rejected` |
//! | standardwebhooks 1.0.1, webhooksmith 0.2.1: smallest timestamp | overflow | `everywhere::the_smallest_timestamp_does_not_overflow` |
//! | standardwebhooks 1.0.1: body that is not UTF-8 | rejected | `a_body_need_not_be_utf_8`, `everywhere::a_body_need_not_be_utf_8` |
//! | webhook-verify 0.1.0: genuine delivery of Twenty's, with a custom scheme | rejected as outside the tolerance | `everywhere::milliseconds_are_within_the_tolerance` |
//! | webhook-verify 0.1.0: 64 MiB unsigned | buffered, then 400 | `everywhere::an_unsigned_body_is_rejected_without_being_buffered` |
//! | webhook-verify 0.1.0: `ConcurrencyLimit` inside | panic | `in_tower::an_inner_service_is_called_when_it_is_ready`, `in_axum::an_inner_service_is_called_when_it_is_ready` |
//! | webhook-verify 0.1.0: around an axum `Router`, as in its README | does not compile | `in_axum::the_layer_wraps_a_router` |
//! | tower-github-webhook 0.2.0: slow body | busy loop | `everywhere::a_slow_body_is_awaited` |
//! | tower-github-webhook 0.2.0: any prefix before the signature | accepted | `everywhere::a_signature_with_a_prefix_is_rejected` |
//! | tower-github-webhook 0.2.0: declared length of 2^64 - 4 | capacity overflow | `in_tower::a_declared_length_is_not_reserved`, `everywhere::a_declared_length_is_not_reserved` |
//! | tower-github-webhook 0.2.0: truncated body | handled | `everywhere::half_a_body_does_not_reach_the_handler` |
//! | axum-github-webhook-extract 0.3.0, octocrab 0.54.9: `Debug` | prints the secret | `debug_does_not_print_the_secret` |
//! | actix-web-lab 0.29.5, webhooksmith-actix 0.2.1: forged body that is not JSON | parsed before it is verified | `everywhere::a_forged_body_is_not_parsed`, `in_actix_web::a_forged_body_is_not_parsed` |
//! | actix-web-lab 0.29.5: extractor that does not read the body | hangs | `everywhere::a_handler_need_not_read_the_body`, `in_actix_web::a_handler_need_not_read_the_body` |
//! | webhook-verify 0.1.0: body longer than actix's limit | 400 | `everywhere::a_body_over_the_limit_is_not_a_bad_request` |

use std::{convert::Infallible, iter, sync::atomic::Ordering::Relaxed};

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use tower::{Layer, ServiceBuilder, ServiceExt, service_fn};
use twenty_webhook::{
    Verifier, WebhookEvent,
    tower::{VerifiedBody, WebhookLayer},
    verify::{ConfigError, Secret, VerifyErrorKind},
};

use crate::support::{
    SIGNATURE, TIMESTAMP,
    bodies::{Step, chunk, delivery, scripted, unsigned},
    builder, data, event_of, frameworks, signed, vector, verifier,
};

#[test]
fn an_empty_secret_is_rejected() {
    for text in ["", " ", "\n"] {
        assert_eq!(Secret::new(text).unwrap_err(), ConfigError::BlankSecret);
        assert_eq!(Verifier::new(text).unwrap_err(), ConfigError::BlankSecret);
    }
}

#[test]
fn a_body_need_not_be_utf_8() {
    let body = b"\xff\xfe\0".to_vec();
    assert_eq!(verifier().verify(signed(&body), body.clone()).unwrap().body(), &body);
}

#[test]
fn debug_does_not_print_the_secret() {
    let shown = format!("{:?} {:?}", Secret::new("mark3r").unwrap(), Verifier::new("mark3r").unwrap());
    assert!(!shown.contains("mark3r") && !shown.contains("109, 97, 114"), "{shown}");
}

mod everywhere {
    use std::{
        cell::RefCell,
        sync::{Arc, atomic::AtomicUsize},
    };

    use crate::support::bodies::channel;
    use twenty_webhook::Receiver;

    use super::*;

    /// Checks that every framework answers with this status. [`frameworks`] checks whether the
    /// handler was called.
    async fn answer<B>(expected: u16, receiver: impl Into<Receiver>, request: impl Fn() -> Request<B>)
    where
        B: http_body::Body<Data = Bytes, Error: std::error::Error + Send + Sync> + Send + Unpin + 'static,
    {
        for played in frameworks::everywhere(&receiver.into(), request).await {
            assert_eq!(played.status, expected, "{}", played.framework);
        }
    }

    fn whole(body: impl Into<Bytes>) -> Full<Bytes> {
        Full::new(body.into())
    }

    fn with(mut request: Request<Full<Bytes>>, name: &'static str, value: &str) -> Request<Full<Bytes>> {
        request.headers_mut().insert(name, value.parse().unwrap());
        request
    }

    #[actix_web::test]
    async fn a_body_of_3_mib_does_not_panic() {
        let body = event_of(3 << 20);
        let signed = || delivery(&body, whole(body.clone()));
        let raised = builder().body_limit(3 << 20).build().unwrap();
        answer(413, verifier(), signed).await;
        answer(200, raised.clone(), signed).await;
        answer(401, raised, || unsigned(whole(body.clone()))).await;
    }

    #[actix_web::test]
    async fn the_smallest_timestamp_does_not_overflow() {
        for timestamp in [i64::MIN.to_string(), i128::MIN.to_string(), u128::MAX.to_string()] {
            let headers = [(TIMESTAMP, timestamp.clone()), (SIGNATURE, "0".repeat(64))];
            assert_eq!(verifier().verify(headers, "{}").unwrap_err().kind(), VerifyErrorKind::MalformedTimestamp);
            answer(400, verifier(), || with(delivery("{}", whole("{}")), TIMESTAMP, &timestamp)).await;
        }
        let headers = [(TIMESTAMP, u64::MAX.to_string()), (SIGNATURE, "0".repeat(64))];
        assert_eq!(verifier().verify(headers, "{}").unwrap_err().kind(), VerifyErrorKind::FromTheFuture);
        answer(401, verifier(), || with(delivery("{}", whole("{}")), TIMESTAMP, &u64::MAX.to_string())).await;
    }

    /// The body verifies, and is then rejected because it is not JSON.
    #[actix_web::test]
    async fn a_body_need_not_be_utf_8() {
        answer(400, verifier(), || delivery(b"\xff\xfe\0", whole(&b"\xff\xfe\0"[..]))).await;
        answer(401, verifier(), || delivery(b"\xff\xfe", whole(&b"\xff\xfe\0"[..]))).await;
    }

    #[actix_web::test]
    async fn milliseconds_are_within_the_tolerance() {
        let vector = vector("person.created");
        answer(200, verifier(), || {
            let mut request = unsigned(whole(vector.body()));
            for (name, value) in vector.headers() {
                request = with(request, name, value);
            }
            request
        })
        .await;
    }

    #[actix_web::test]
    async fn an_unsigned_body_is_rejected_without_being_buffered() {
        let taken: RefCell<Vec<Arc<AtomicUsize>>> = RefCell::default();
        answer(401, verifier(), || {
            let body = scripted(iter::repeat_n(chunk(vec![b' '; 64 << 10]), 1024));
            taken.borrow_mut().push(body.taken());
            unsigned(body)
        })
        .await;
        let taken: Vec<_> = taken.borrow().iter().map(|taken| taken.load(Relaxed)).collect();
        assert_eq!(taken, [1, 1, 1], "at most 64 KiB are discarded");
    }

    #[actix_web::test]
    async fn a_slow_body_is_awaited() {
        answer(200, verifier(), || {
            let (sender, body) = channel();
            // There is only one thread, so the body is sent when the request waits.
            tokio::spawn(async move {
                tokio::task::yield_now().await;
                sender.send("{}".into()).unwrap();
            });
            delivery("{}", body)
        })
        .await;
    }

    #[actix_web::test]
    async fn a_signature_with_a_prefix_is_rejected() {
        let signature = signed("{}").into_iter().find(|(name, _)| name == SIGNATURE).unwrap().1;
        for prefix in ["anything=", "sha256=", "v1,", "="] {
            answer(400, verifier(), || with(delivery("{}", whole("{}")), SIGNATURE, &format!("{prefix}{signature}")))
                .await;
        }
    }

    #[actix_web::test]
    async fn a_declared_length_is_not_reserved() {
        for declared in [u64::MAX - 4, u64::MAX] {
            let declared = declared.to_string();
            answer(413, verifier(), || with(delivery("{}", whole("{}")), "content-length", &declared)).await;
            answer(401, verifier(), || with(unsigned(whole("{}")), "content-length", &declared)).await;
        }
    }

    #[actix_web::test]
    async fn half_a_body_does_not_reach_the_handler() {
        answer(400, verifier(), || delivery("{", scripted([chunk("{"), Step::Break]))).await;
        answer(400, verifier(), || delivery("{}", scripted([chunk("{}"), Step::Break]))).await;
    }

    #[actix_web::test]
    async fn a_forged_body_is_not_parsed() {
        answer(401, verifier(), || delivery("{}", whole("not JSON"))).await;
        answer(400, verifier(), || delivery("not JSON", whole("not JSON"))).await;
    }

    #[actix_web::test]
    async fn a_handler_need_not_read_the_body() {
        let body = event_of(1 << 20);
        let parts: Vec<_> = body.chunks(1000).map(|part| chunk(part.to_vec())).collect();
        answer(200, verifier(), || delivery(&body, scripted(parts.clone()))).await;
    }

    #[actix_web::test]
    async fn a_body_over_the_limit_is_not_a_bad_request() {
        let body = event_of((2 << 20) + 1);
        answer(413, verifier(), || delivery(&body, whole(body.clone()))).await;
    }
}

mod in_tower {
    use super::*;

    /// Returns the status of the layer's response.
    async fn status<B: http_body::Body>(request: Request<B>) -> StatusCode {
        let handler = service_fn(|_: Request<VerifiedBody>| async {
            Ok::<_, Infallible>(Response::new(Full::<Bytes>::default()))
        });
        WebhookLayer::new(verifier()).layer(handler).oneshot(request).await.unwrap().status()
    }

    #[tokio::test]
    async fn an_inner_service_is_called_when_it_is_ready() {
        let inner = service_fn(|_: Request<VerifiedBody>| async {
            Ok::<_, Infallible>(Response::new(Full::<Bytes>::default()))
        });
        let service = ServiceBuilder::new().layer(WebhookLayer::new(verifier())).concurrency_limit(1).service(inner);
        for _ in 0..2 {
            let answer = service.clone().oneshot(delivery("{}", Full::<Bytes>::from("{}"))).await.unwrap();
            assert_eq!(answer.status(), StatusCode::OK);
        }
    }

    /// The body itself declares the length, without a header.
    #[tokio::test]
    async fn a_declared_length_is_not_reserved() {
        for lower in [u64::MAX - 4, u64::MAX] {
            let body = || scripted([chunk("{}")]).claiming(lower, None);
            assert_eq!(status(unsigned(body())).await, StatusCode::UNAUTHORIZED);
            assert_eq!(status(delivery("{}", body())).await, StatusCode::PAYLOAD_TOO_LARGE);
        }
    }
}

mod in_axum {
    use axum::{Router, body::Body, extract::DefaultBodyLimit, routing::post};

    use super::*;

    async fn status(verifier: Verifier, request: Request<Body>) -> StatusCode {
        let app = Router::new().route("/webhooks/twenty", post(|_: WebhookEvent, _: Bytes| async {}));
        let app = app.layer(WebhookLayer::new(verifier)).layer(DefaultBodyLimit::disable());
        let answer = app.oneshot(request).await.unwrap();
        let status = answer.status();
        assert!(answer.into_body().collect().await.unwrap().to_bytes().is_empty());
        status
    }

    /// Axum's own limit is disabled, and the handler also takes the bytes.
    #[tokio::test]
    async fn a_body_of_3_mib_does_not_panic() {
        let body = event_of(3 << 20);
        let signed = || delivery(&body, Body::from(body.clone()));
        let raised = builder().body_limit(3 << 20).build().unwrap();
        assert_eq!(status(verifier(), signed()).await, StatusCode::PAYLOAD_TOO_LARGE);
        assert_eq!(status(raised.clone(), signed()).await, StatusCode::OK);
        assert_eq!(status(raised, unsigned(Body::from(body.clone()))).await, StatusCode::UNAUTHORIZED);
    }

    #[tokio::test]
    async fn an_inner_service_is_called_when_it_is_ready() {
        let layers = ServiceBuilder::new().layer(WebhookLayer::new(verifier())).concurrency_limit(1);
        let app = Router::new().route("/webhooks/twenty", post(|_: WebhookEvent| async {}).layer(layers));
        for _ in 0..2 {
            let answer = app.clone().oneshot(delivery("{}", Body::from("{}"))).await.unwrap();
            assert_eq!(answer.status(), StatusCode::OK);
        }
    }

    #[tokio::test]
    async fn the_layer_wraps_a_router() {
        let request = delivery(data("person.created.json"), Body::from(data("person.created.json")));
        assert_eq!(status(verifier(), request).await, StatusCode::OK);
    }
}

/// Tests with handlers that take more than the event.
mod in_actix_web {
    use std::time::Duration;

    use actix_web::{
        App, HttpResponse,
        http::StatusCode,
        test::{TestRequest, call_service, init_service},
        web::{self, Json},
    };
    use tokio::time::timeout;
    use twenty_webhook::actix_web::WebhookMiddleware;

    use super::*;

    async fn status(request: TestRequest) -> StatusCode {
        async fn parses(_: Json<serde_json::Value>, _: WebhookEvent) -> HttpResponse {
            HttpResponse::Ok().finish()
        }
        async fn ignores(_: WebhookEvent) -> HttpResponse {
            HttpResponse::Ok().finish()
        }
        let app = App::new()
            .wrap(WebhookMiddleware::new(verifier()))
            .route("/parses", web::post().to(parses))
            .route("/ignores", web::post().to(ignores));
        let app = init_service(app).await;
        let answer = call_service(&app, request.insert_header(("content-type", "application/json")).to_request());
        timeout(Duration::from_secs(20), answer).await.unwrap().status()
    }

    fn delivery(text: impl AsRef<[u8]>, body: impl Into<Bytes>) -> TestRequest {
        let request = signed(text).into_iter().fold(TestRequest::post().uri("/parses"), TestRequest::insert_header);
        request.set_payload(body.into())
    }

    #[actix_web::test]
    async fn a_forged_body_is_not_parsed() {
        assert_eq!(status(delivery("{}", "not JSON")).await, StatusCode::UNAUTHORIZED);
        assert_eq!(status(delivery("not JSON", "not JSON")).await, StatusCode::BAD_REQUEST);
    }

    #[actix_web::test]
    async fn a_handler_need_not_read_the_body() {
        let body = event_of(1 << 20);
        assert_eq!(status(delivery(&body, body.clone()).uri("/ignores")).await, StatusCode::OK);
    }
}
