//! What other receivers of webhooks were measured to do wrong, and this one must not: each once.
#![cfg(all(feature = "actix-web", feature = "axum"))]

mod support;

use std::{convert::Infallible, iter, sync::atomic::Ordering::Relaxed};

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use support::{
    SIGNATURE, TIMESTAMP,
    bodies::{Step, chunk, delivery, scripted, unsigned},
    builder, data, event_of, signed, vector, verifier,
};
use tower::{Layer, ServiceBuilder, ServiceExt, service_fn};
use twenty_webhook::{
    Verifier, WebhookEvent,
    tower::{VerifiedBody, WebhookLayer},
    verify::{ConfigError, Secret, VerifyErrorKind},
};

/// What the layer around a handler answers.
async fn status<B>(request: Request<B>) -> StatusCode
where
    B: http_body::Body,
{
    async fn handler(_: Request<VerifiedBody>) -> Result<Response<Full<Bytes>>, Infallible> {
        Ok(Response::default())
    }
    WebhookLayer::new(verifier()).layer(service_fn(handler)).oneshot(request).await.unwrap().status()
}

mod verifying {
    use super::*;

    #[test]
    fn an_empty_secret_is_refused() {
        for text in ["", " ", "\n"] {
            assert_eq!(Secret::new(text).unwrap_err(), ConfigError::BlankSecret);
            assert_eq!(Verifier::new(text).unwrap_err(), ConfigError::BlankSecret);
        }
    }

    #[test]
    fn the_smallest_timestamp_does_not_overflow() {
        for timestamp in [i64::MIN.to_string(), i128::MIN.to_string(), u128::MAX.to_string()] {
            let headers = [(TIMESTAMP, timestamp), (SIGNATURE, "0".repeat(64))];
            assert_eq!(verifier().verify(headers, "{}").unwrap_err().kind(), VerifyErrorKind::MalformedTimestamp);
        }
    }

    #[test]
    fn a_body_need_not_be_utf_8() {
        let body = b"\xff\xfe\0".to_vec();
        assert_eq!(verifier().verify(signed(&body), body.clone()).unwrap().body(), &body);
    }

    #[test]
    fn milliseconds_are_within_the_tolerance() {
        let vector = vector("person.created");
        assert!(verifier().verify(vector.headers(), vector.body()).is_ok());
    }

    #[test]
    fn a_signature_has_no_prefix() {
        let mut vector = vector("person.created");
        for prefix in ["anything=", "sha256=", "v1,", "="] {
            vector.signature = format!("{prefix}{}", vector.signature);
            let error = verifier().verify(vector.headers(), vector.body()).unwrap_err();
            assert_eq!(error.kind(), VerifyErrorKind::MalformedSignature);
        }
    }

    #[test]
    fn debug_does_not_print_the_secret() {
        let shown = format!("{:?} {:?}", Secret::new("mark3r").unwrap(), Verifier::new("mark3r").unwrap());
        assert!(!shown.contains("mark3r") && !shown.contains("109, 97, 114"), "{shown}");
    }
}

mod in_tower {
    use super::*;

    #[tokio::test]
    async fn an_unsigned_body_is_refused_without_being_buffered() {
        let body = scripted(iter::repeat_n(chunk(vec![b' '; 64 << 10]), 1024));
        let taken = body.taken();
        assert_eq!(status(unsigned(body)).await, StatusCode::UNAUTHORIZED);
        assert_eq!(taken.load(Relaxed), 1, "64 KiB are thrown away, no more");
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

    #[tokio::test]
    async fn a_body_that_lets_wait_is_waited_for() {
        let (sender, body) = support::bodies::channel();
        let waiting = tokio::spawn(status(delivery("{}", body)));
        // On this one thread, the next line runs only when the request waits.
        tokio::task::yield_now().await;
        sender.send("{}".into()).unwrap();
        drop(sender);
        assert_eq!(waiting.await.unwrap(), StatusCode::OK);
    }

    #[tokio::test]
    async fn a_declared_length_is_not_reserved() {
        for lower in [u64::MAX - 4, u64::MAX] {
            let body = || scripted([chunk("{}")]).claiming(lower, None);
            assert_eq!(status(unsigned(body())).await, StatusCode::UNAUTHORIZED);
            assert_eq!(status(delivery("{}", body())).await, StatusCode::PAYLOAD_TOO_LARGE);
        }
    }

    #[tokio::test]
    async fn half_a_body_does_not_reach_the_handler() {
        let half = scripted([chunk("{"), Step::Break]);
        assert_eq!(status(delivery("{", half)).await, StatusCode::BAD_REQUEST);
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
    async fn the_layer_goes_around_a_router() {
        let request = delivery(data("person.created.json"), Body::from(data("person.created.json")));
        assert_eq!(status(verifier(), request).await, StatusCode::OK);
    }
}

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

    #[actix_web::test]
    async fn a_body_that_is_too_long_is_no_bad_request() {
        let body = event_of((2 << 20) + 1);
        assert_eq!(status(delivery(&body, body.clone())).await, StatusCode::PAYLOAD_TOO_LARGE);
    }
}
