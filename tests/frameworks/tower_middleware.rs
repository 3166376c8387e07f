//! Tests of tower's middleware outside the layer, and inside and outside the event router. The
//! module `readiness` in `tests/frameworks/tower.rs` tests it inside the layer.

use std::{
    convert::Infallible,
    future::{Future, pending},
    pin::{Pin, pin},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    task::{Context, Poll, Waker},
    time::Duration,
};

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::Full;
use tower::{BoxError, Layer, Service, ServiceBuilder, ServiceExt, load_shed, service_fn, timeout};
use twenty_webhook::{
    Receiver,
    tower::{EventRouter, EventService, VerifiedBody, WebhookLayer},
};

use crate::support::{
    self,
    bodies::{Step, chunk, delivery, scripted},
    verifier,
};

type Verified = Request<VerifiedBody>;
type Answer = Response<Full<Bytes>>;

const PERSON: &str = r#"{"eventName":"person.created","record":{}}"#;
const COMPANY: &str = r#"{"eventName":"company.created","record":{}}"#;

fn whole(body: &'static str) -> Request<Full<Bytes>> {
    delivery(body, Full::from(body))
}

/// Returns a request whose body begins and never continues.
fn stalled() -> Request<support::bodies::Scripted> {
    delivery(PERSON, scripted([chunk(&PERSON[..5]), Step::Stall]))
}

async fn done(_: Verified) -> Result<Answer, Infallible> {
    Ok(Response::default())
}

async fn never(_: Verified) -> Result<Answer, Infallible> {
    pending().await
}

fn poll_once<F: Future>(future: Pin<&mut F>) -> Poll<F::Output> {
    future.poll(&mut Context::from_waker(Waker::noop()))
}

#[track_caller]
fn assert_ok<B, E: std::fmt::Debug>(answer: Result<Response<B>, E>) {
    assert_eq!(answer.unwrap().status(), StatusCode::OK);
}

#[track_caller]
fn assert_is<E: std::error::Error + 'static, R>(answer: Result<R, BoxError>) {
    let error = answer.err().expect("an error");
    assert!(error.is::<E>(), "{error}");
}

mod outside_of_the_layer {
    use twenty_webhook::deduplicate::MemoryStore;

    use super::*;

    fn layer() -> WebhookLayer {
        WebhookLayer::new(verifier())
    }

    #[tokio::test]
    async fn a_concurrency_limit_counts_unverified_requests() {
        let service = ServiceBuilder::new().concurrency_limit(1).layer(layer()).service(service_fn(done));
        let mut reading = Box::pin(service.clone().oneshot(stalled()));
        assert!(poll_once(reading.as_mut()).is_pending());
        let mut waiting = pin!(service.oneshot(stalled().map(|_| scripted([chunk(PERSON)]))));
        assert!(poll_once(waiting.as_mut()).is_pending());
        drop(reading);
        assert_ok(waiting.await);
    }

    #[tokio::test]
    async fn load_shed_sheds_at_the_limit() {
        let service = ServiceBuilder::new().load_shed().concurrency_limit(1).layer(layer()).service(service_fn(done));
        let mut reading = Box::pin(service.clone().oneshot(stalled()));
        assert!(poll_once(reading.as_mut()).is_pending());
        assert_is::<load_shed::error::Overloaded, _>(service.clone().oneshot(stalled()).await);
        drop(reading);
        assert_ok(service.oneshot(stalled().map(|_| scripted([chunk(PERSON)]))).await);
    }

    /// The layer alone is always ready, so no request is shed.
    #[tokio::test]
    async fn load_shed_sheds_nothing_for_an_inner_limit() {
        let inner = ServiceBuilder::new().concurrency_limit(1).service(service_fn(never));
        let service = ServiceBuilder::new().load_shed().layer(layer()).service(inner);
        let mut requests = [(); 3].map(|()| Box::pin(service.clone().oneshot(whole(PERSON))));
        for request in &mut requests {
            assert!(poll_once(request.as_mut()).is_pending());
        }
    }

    /// These layers create their response bodies with `Default`.
    mod layers_of_tower_http {
        use http::{Method, header};
        use http_body::Body as _;
        use tower_http::{cors::CorsLayer, timeout::TimeoutLayer};
        use twenty_webhook::tower::ResponseBody;

        use super::*;

        const LIMIT: Duration = Duration::from_secs(1);

        fn timeout() -> TimeoutLayer {
            TimeoutLayer::with_status_code(StatusCode::GATEWAY_TIMEOUT, LIMIT)
        }

        #[tokio::test(start_paused = true)]
        async fn cors_and_timeout_wrap_the_layer() {
            let stack = || ServiceBuilder::new().layer(CorsLayer::permissive()).layer(timeout()).layer(layer());
            let service = stack().service(service_fn(done));
            let preflight = Request::builder()
                .method(Method::OPTIONS)
                .header(header::ORIGIN, "https://example.com")
                .header(header::ACCESS_CONTROL_REQUEST_METHOD, "POST")
                .body(scripted([]))
                .unwrap();
            let forged = delivery("{}", scripted([chunk(PERSON)]));
            let genuine = delivery(PERSON, scripted([chunk(PERSON)]));
            for (request, status) in [
                (preflight, StatusCode::OK),
                (forged, StatusCode::UNAUTHORIZED),
                (genuine, StatusCode::OK),
                (stalled(), StatusCode::GATEWAY_TIMEOUT),
            ] {
                let answer = service.clone().oneshot(request).await.unwrap();
                assert_eq!(answer.status(), status);
                assert_eq!(answer.headers()[header::ACCESS_CONTROL_ALLOW_ORIGIN], "*", "{status}");
                let body: ResponseBody<Full<Bytes>> = answer.into_body();
                assert!(body.is_end_stream(), "{status}");
                assert_eq!(body.size_hint().exact(), Some(0), "{status}");
            }
            let slow = stack().service(service_fn(never));
            assert_eq!(slow.oneshot(stalled()).await.unwrap().status(), StatusCode::GATEWAY_TIMEOUT);
        }

        #[cfg(feature = "axum")]
        #[tokio::test]
        async fn cors_and_timeout_wrap_the_layer_in_axum() {
            let layers = ServiceBuilder::new().layer(CorsLayer::permissive()).layer(timeout()).layer(layer());
            let route = axum::routing::post(async || ()).layer(layers);
            let app: axum::Router = axum::Router::new().route("/webhooks/twenty", route);
            let answer = app.oneshot(whole(PERSON).map(axum::body::Body::new)).await.unwrap();
            assert_eq!(answer.status(), StatusCode::OK);
            assert_eq!(answer.headers()[header::ACCESS_CONTROL_ALLOW_ORIGIN], "*");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_timeout_ends_a_stalled_body_and_frees_its_budget() {
        let receiver = Receiver::new(verifier()).unverified_budget(PERSON.len());
        let service = ServiceBuilder::new()
            .timeout(Duration::from_secs(1))
            .layer(WebhookLayer::new(receiver))
            .service(service_fn(done));
        for _ in 0..3 {
            let begun = tokio::time::Instant::now();
            assert_is::<timeout::error::Elapsed, _>(service.clone().oneshot(stalled()).await);
            assert_eq!(begun.elapsed().as_secs(), 1);
        }
        assert_ok(service.oneshot(stalled().map(|_| scripted([chunk(PERSON)]))).await);
    }

    /// The aborted delivery is not handled, so its duplicate is.
    #[tokio::test(start_paused = true)]
    async fn a_timeout_ends_a_handler_and_its_claim() {
        let calls = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&calls);
        let first_hangs = service_fn(move |request| {
            let is_first = counted.fetch_add(1, Relaxed) == 0;
            async move { if is_first { never(request).await } else { done(request).await } }
        });
        let receiver = Receiver::new(verifier()).deduplicate(MemoryStore::new(10));
        let service = ServiceBuilder::new()
            .timeout(Duration::from_secs(1))
            .layer(WebhookLayer::new(receiver))
            .service(first_hangs);
        assert_is::<timeout::error::Elapsed, _>(service.clone().oneshot(whole(PERSON)).await);
        for _ in 0..2 {
            assert_ok(service.clone().oneshot(whole(PERSON)).await);
        }
        assert_eq!(calls.load(Relaxed), 2, "the first one, which was aborted, and one duplicate");
    }

    /// One request is handled, one waits for it, and one is in the buffer. There is no capacity for
    /// another one.
    #[tokio::test]
    async fn a_full_buffer_makes_requests_wait() {
        let service = ServiceBuilder::new()
            .buffer::<Request<Full<Bytes>>>(1)
            .concurrency_limit(1)
            .layer(layer())
            .service(service_fn(never));
        let mut requests = Vec::new();
        for _ in 0..3 {
            let mut one_more = service.clone();
            assert!(poll_once(pin!(one_more.ready())).is_ready());
            let mut request = Box::pin(one_more.oneshot(whole(PERSON)));
            assert!(poll_once(request.as_mut()).is_pending());
            requests.push(request);
            tokio::task::yield_now().await;
        }
        assert!(poll_once(pin!(service.clone().ready())).is_pending());
    }
}

mod event_router {
    use tower_test::mock;

    use super::*;

    type Routed = EventService<VerifiedBody, Full<Bytes>, BoxError>;

    fn boxed<F, R>(
        handler: F,
    ) -> impl Service<Verified, Response = Answer, Error = BoxError, Future: Send> + Clone + Send + Sync
    where
        F: Fn(Verified) -> R + Clone + Send + Sync,
        R: Future<Output = Result<Answer, Infallible>> + Send,
    {
        service_fn(handler).map_err(BoxError::from)
    }

    async fn post(
        routed: impl Service<Verified, Response = Answer, Error = BoxError, Future: Send> + Clone + Send + 'static,
        body: &'static str,
    ) -> Result<StatusCode, BoxError> {
        let answer = WebhookLayer::new(verifier()).layer(routed).oneshot(whole(body)).await?;
        Ok(answer.status())
    }

    /// A route that is not ready delays only its own events.
    #[tokio::test]
    async fn a_route_is_polled_for_readiness_only_for_its_events() {
        let (person, mut handle) = mock::pair::<Verified, Answer>();
        handle.allow(0);
        let routed: Routed = EventRouter::new().on("person.*", person).on("company.*", boxed(done)).build().unwrap();
        let mut ready = routed.clone();
        assert!(poll_once(pin!(std::future::poll_fn(|cx| ready.poll_ready(cx)))).is_ready());
        let mut waiting = pin!(post(routed.clone(), PERSON));
        assert!(poll_once(waiting.as_mut()).is_pending());
        assert_eq!(post(routed, COMPANY).await.unwrap(), StatusCode::OK);

        handle.allow(1);
        let ((), answer) = tokio::join!(
            async {
                let (_, respond) = handle.next_request().await.unwrap();
                let mut answer = Answer::default();
                *answer.status_mut() = StatusCode::ACCEPTED;
                respond.send_response(answer);
            },
            waiting
        );
        assert_eq!(answer.unwrap(), StatusCode::ACCEPTED);
    }

    #[tokio::test]
    async fn an_error_of_a_route_is_returned() {
        let (route, mut handle) = mock::pair::<Verified, Answer>();
        let routed: Routed = EventRouter::new().fallback(route).build().unwrap();
        let ((), answer) = tokio::join!(
            async {
                let (_, respond) = handle.next_request().await.unwrap();
                respond.send_error("the handler failed");
            },
            post(routed.clone(), PERSON)
        );
        assert_eq!(answer.unwrap_err().to_string(), "the handler failed");
        handle.send_error("never ready again");
        assert_eq!(post(routed, PERSON).await.unwrap_err().to_string(), "never ready again");
    }

    mod with_middleware_inside {
        use super::*;

        #[tokio::test]
        async fn a_concurrency_limit_applies_to_its_route() {
            let limited = ServiceBuilder::new().concurrency_limit(1).service(boxed(never));
            let routed: Routed = EventRouter::new().on("person.*", limited).on("*.*", boxed(done)).build().unwrap();
            let mut first = Box::pin(post(routed.clone(), PERSON));
            let mut second = Box::pin(post(routed.clone(), PERSON));
            assert!(poll_once(first.as_mut()).is_pending());
            assert!(poll_once(second.as_mut()).is_pending());
            assert_eq!(post(routed, COMPANY).await.unwrap(), StatusCode::OK);
        }

        #[tokio::test]
        async fn load_shed_sheds_its_routes_events() {
            let shedding = ServiceBuilder::new().load_shed().concurrency_limit(1).service(boxed(never));
            let routed: Routed = EventRouter::new().on("person.*", shedding).on("*.*", boxed(done)).build().unwrap();
            let mut busy = pin!(post(routed.clone(), PERSON));
            assert!(poll_once(busy.as_mut()).is_pending());
            assert_is::<load_shed::error::Overloaded, _>(post(routed.clone(), PERSON).await);
            assert_eq!(post(routed, COMPANY).await.unwrap(), StatusCode::OK);
        }

        #[tokio::test(start_paused = true)]
        async fn a_timeout_ends_its_route() {
            let timed = ServiceBuilder::new().timeout(Duration::from_secs(1)).service(boxed(never));
            let routed: Routed = EventRouter::new().on("person.*", timed).build().unwrap();
            assert_is::<timeout::error::Elapsed, _>(post(routed, PERSON).await);
        }

        #[tokio::test]
        async fn a_buffer_accepts_services_that_cannot_be_cloned() {
            let mut handled = 0;
            let counts = service_fn(move |request| {
                handled += 1;
                async move {
                    let mut answer = done(request).await?;
                    *answer.status_mut() = StatusCode::from_u16(200 + handled).unwrap();
                    Ok::<_, Infallible>(answer)
                }
            });
            let routed: Routed =
                EventRouter::new().on("person.*", ServiceBuilder::new().buffer(4).service(counts)).build().unwrap();
            assert_eq!(post(routed.clone(), PERSON).await.unwrap(), 201);
            assert_eq!(post(routed, PERSON).await.unwrap(), 202);
        }
    }

    mod with_middleware_outside {
        use super::*;

        fn routed() -> Routed {
            EventRouter::new().on("person.*", boxed(never)).on("*.*", boxed(done)).build().unwrap()
        }

        #[tokio::test]
        async fn a_concurrency_limit_applies_to_all_routes() {
            let limited = ServiceBuilder::new().concurrency_limit(1).service(routed());
            let mut first = Box::pin(post(limited.clone(), PERSON));
            assert!(poll_once(first.as_mut()).is_pending());
            let mut second = Box::pin(post(limited, COMPANY));
            assert!(poll_once(second.as_mut()).is_pending());
            drop(first);
            assert_eq!(second.await.unwrap(), StatusCode::OK);
        }

        #[tokio::test]
        async fn load_shed_sheds_the_events_of_all_routes() {
            let shedding = ServiceBuilder::new().load_shed().concurrency_limit(1).service(routed());
            let mut busy = Box::pin(post(shedding.clone(), PERSON));
            assert!(poll_once(busy.as_mut()).is_pending());
            assert_is::<load_shed::error::Overloaded, _>(post(shedding.clone(), COMPANY).await);
            drop(busy);
            assert_eq!(post(shedding, COMPANY).await.unwrap(), StatusCode::OK);
        }

        #[tokio::test(start_paused = true)]
        async fn a_timeout_ends_any_route() {
            let timed = ServiceBuilder::new().timeout(Duration::from_secs(1)).service(routed());
            assert_is::<timeout::error::Elapsed, _>(post(timed.clone(), PERSON).await);
            assert_eq!(post(timed, COMPANY).await.unwrap(), StatusCode::OK);
        }

        #[tokio::test]
        async fn a_buffer_forwards_all_events() {
            let buffered = ServiceBuilder::new().buffer(4).service(routed());
            let mut first = Box::pin(post(buffered.clone(), PERSON));
            assert!(poll_once(first.as_mut()).is_pending());
            assert_eq!(post(buffered, COMPANY).await.unwrap(), StatusCode::OK);
            assert!(poll_once(first.as_mut()).is_pending());
        }
    }
}
