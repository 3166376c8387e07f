//! Tests of the layer as a tower service: readiness, all kinds of bodies, rejections and the
//! budget.

use std::{
    convert::Infallible,
    fmt,
    future::{Future, Ready, poll_fn, ready},
    iter,
    pin::{Pin, pin},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed},
    },
    task::{Context, Poll, Waker},
    time::Duration,
};

use bytes::{Buf, Bytes};
use http::{Request, Response, StatusCode, Version, header};
use http_body::Body;
use http_body_util::{BodyExt, Full};
use tokio::{
    sync::oneshot,
    task::yield_now,
    time::{Instant, advance},
};
use tower::{Layer, Service, ServiceExt, service_fn};
use twenty_webhook::{
    Receiver, Verified,
    deduplicate::MemoryStore,
    receiver::{Deduplicate, Refusal, RefusalKind, RefusalResponse},
    tower::{ResponseBody, VerifiedBody, WebhookLayer},
    verify::{ConfigError, Verifier, VerifyErrorKind},
};

use crate::support::{
    self, NOW, SECRET,
    bodies::{Scripted, Sent, Step, channel, chunk, delivery, scripted, unsigned},
    builder, data, event_of, verifier,
};

/// Returns a body in one frame.
fn whole(bytes: impl Into<Bytes>) -> Full<Bytes> {
    Full::new(bytes.into())
}

type Answer = Response<ResponseBody<Full<Bytes>>>;

fn receiver() -> Receiver {
    Receiver::new(verifier())
}

/// Responds with the body of the request.
async fn echo(request: Request<VerifiedBody>) -> Result<Response<Full<Bytes>>, Infallible> {
    let verified = request.extensions().get::<Verified>().cloned().expect("verified");
    let collected = request.into_body().collect().await.unwrap();
    assert!(collected.trailers().is_none());
    let body = collected.to_bytes();
    assert_eq!(*verified.body(), body);
    Ok(Response::new(body.into()))
}

/// Returns the response of a receiver around [`echo`].
async fn answer<B: Body + Send>(receiver: Receiver, request: Request<B>) -> Answer {
    WebhookLayer::new(receiver).layer(service_fn(echo)).oneshot(request).await.unwrap()
}

/// Returns the reason for the rejection.
#[track_caller]
fn refusal(answer: &Answer) -> RefusalKind {
    let refusal = answer.extensions().get::<Refusal>().expect("refused");
    assert_eq!(answer.status().as_u16(), refusal.status());
    assert!(answer.body().is_end_stream());
    refusal.kind()
}

async fn text<R>(answer: Response<R>) -> Bytes
where
    R: Body<Data = Bytes, Error: fmt::Debug>,
{
    answer.into_body().collect().await.unwrap().to_bytes()
}

/// Polls a future once.
fn poll_once<F: Future>(future: Pin<&mut F>) -> Poll<F::Output> {
    future.poll(&mut Context::from_waker(Waker::noop()))
}

mod readiness {
    use tower::{BoxError, ServiceBuilder, load_shed, timeout};
    use tower_test::mock;

    use super::*;

    #[tokio::test]
    async fn the_inner_service_is_not_polled_before_a_delivery_is_verified() {
        let (mut service, mut inner) =
            mock::spawn_layer::<Request<VerifiedBody>, Response<Full<Bytes>>, _>(WebhookLayer::new(receiver()));
        inner.allow(0);
        assert!(service.poll_ready::<Request<Full<Bytes>>>().is_ready(), "although the inner service is not");
        let refused = service.call(unsigned(whole("{}"))).await.unwrap();
        assert_eq!(refusal(&refused), RefusalKind::Verify(VerifyErrorKind::Unsigned));

        let mut accepted = pin!(service.call(delivery("{}", whole("{}"))));
        assert!(poll_once(accepted.as_mut()).is_pending());
        inner.allow(1);
        let ((), answer) = tokio::join!(
            async {
                let (request, respond) = inner.next_request().await.unwrap();
                assert_eq!(text(Response::new(request.into_body())).await, "{}");
                respond.send_response(Response::new(whole("done")));
            },
            accepted
        );
        assert_eq!(text(answer.unwrap()).await, "done");
    }

    /// A service that panics if it is called before it is ready, as tower permits. A clone is not
    /// ready.
    #[derive(Default)]
    struct Strict {
        is_ready: bool,
    }

    impl Clone for Strict {
        fn clone(&self) -> Self {
            Self::default()
        }
    }

    impl Service<Request<VerifiedBody>> for Strict {
        type Response = Response<Full<Bytes>>;
        type Error = Infallible;
        type Future = Ready<Result<Self::Response, Infallible>>;

        fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
            self.is_ready = true;
            Poll::Ready(Ok(()))
        }

        fn call(&mut self, _: Request<VerifiedBody>) -> Self::Future {
            assert!(std::mem::take(&mut self.is_ready), "called without having been ready");
            ready(Ok(Response::default()))
        }
    }

    #[tokio::test]
    async fn only_a_ready_service_is_called() {
        let mut service = WebhookLayer::new(receiver()).layer(Strict::default());
        for _ in 0..3 {
            let ready = ServiceExt::<Request<Full<Bytes>>>::ready(&mut service).await.unwrap();
            let answer = ready.call(delivery("{}", whole("{}"))).await.unwrap();
            assert_eq!(answer.status(), StatusCode::OK);
        }
    }

    #[tokio::test]
    async fn stalled_clients_do_not_use_up_an_inner_limit() {
        let service =
            ServiceBuilder::new().layer(WebhookLayer::new(receiver())).concurrency_limit(4).service(service_fn(echo));
        let mut stalled = Vec::new();
        for _ in 0..4 {
            let request = delivery("{}", scripted([chunk("{"), Step::Stall]));
            let mut future = Box::pin(service.clone().oneshot(request));
            assert!(poll_once(future.as_mut()).is_pending());
            stalled.push(future);
        }
        let honest = delivery("{}", scripted([chunk("{}")]));
        assert_eq!(service.oneshot(honest).await.unwrap().status(), StatusCode::OK);
    }

    #[tokio::test]
    async fn an_inner_limit_applies_to_verified_deliveries() {
        let (release, released) = oneshot::channel::<()>();
        let released = std::sync::Mutex::new(Some(released));
        let first_waits = service_fn(move |request| {
            let released = released.lock().unwrap().take();
            async move {
                if let Some(released) = released {
                    released.await.unwrap();
                }
                echo(request).await
            }
        });
        let first_waits = tower::util::BoxCloneService::new(ServiceBuilder::new().buffer(8).service(first_waits));
        let service =
            ServiceBuilder::new().layer(WebhookLayer::new(receiver())).concurrency_limit(1).service(first_waits);
        let request = || delivery("{}", whole("{}"));
        let mut first = pin!(service.clone().oneshot(request()));
        let mut second = pin!(service.oneshot(request()));
        assert!(poll_once(first.as_mut()).is_pending());
        yield_now().await;
        assert!(poll_once(second.as_mut()).is_pending(), "there is room for one");
        release.send(()).unwrap();
        assert_eq!(first.await.unwrap().status(), StatusCode::OK);
        assert_eq!(second.await.unwrap().status(), StatusCode::OK);
    }

    #[tokio::test]
    async fn buffers_work_inside_and_outside() {
        let service = ServiceBuilder::new()
            .buffer(4)
            .layer(WebhookLayer::new(receiver()))
            .buffer::<Request<VerifiedBody>>(4)
            .service(service_fn(echo));
        let answer = service.clone().oneshot(delivery("{}", whole("{}"))).await.unwrap();
        assert_eq!(text(answer).await, "{}");
        let answer = service.oneshot(unsigned(whole("{}"))).await.unwrap();
        assert_eq!(refusal(&answer), RefusalKind::Verify(VerifyErrorKind::Unsigned));
    }

    #[tokio::test]
    async fn an_error_of_an_inner_load_shed_is_returned() {
        let never =
            service_fn(|_: Request<VerifiedBody>| std::future::pending::<Result<Response<Full<Bytes>>, Infallible>>());
        let layer = WebhookLayer::new(receiver());
        let service = ServiceBuilder::new().layer(layer).load_shed().concurrency_limit(1).service(never);
        let request = || delivery("{}", whole("{}"));
        let mut busy = pin!(service.clone().oneshot(request()));
        assert!(poll_once(busy.as_mut()).is_pending());
        let error: BoxError = service.clone().oneshot(request()).await.unwrap_err();
        assert!(error.is::<load_shed::error::Overloaded>(), "{error}");
        let refused = service.oneshot(unsigned(whole("{}"))).await.unwrap();
        assert_eq!(refusal(&refused), RefusalKind::Verify(VerifyErrorKind::Unsigned), "which is not shed");
    }

    #[tokio::test(start_paused = true)]
    async fn an_error_of_an_inner_timeout_is_returned() {
        let never =
            service_fn(|_: Request<VerifiedBody>| std::future::pending::<Result<Response<Full<Bytes>>, Infallible>>());
        let layer = WebhookLayer::new(receiver());
        let service = ServiceBuilder::new().layer(layer).timeout(Duration::from_secs(1)).service(never);
        let error: BoxError = service.oneshot(delivery("{}", whole("{}"))).await.unwrap_err();
        assert!(error.is::<timeout::error::Elapsed>(), "{error}");
    }

    #[tokio::test]
    async fn the_inner_services_error_keeps_its_type() {
        #[derive(Debug, PartialEq)]
        enum InnerError {
            NotReady,
            Failed,
        }

        #[derive(Clone)]
        struct Failing {
            ready: bool,
        }

        impl Service<Request<VerifiedBody>> for Failing {
            type Response = Response<Full<Bytes>>;
            type Error = InnerError;
            type Future = Ready<Result<Self::Response, InnerError>>;

            fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), InnerError>> {
                Poll::Ready(if self.ready { Ok(()) } else { Err(InnerError::NotReady) })
            }

            fn call(&mut self, _: Request<VerifiedBody>) -> Self::Future {
                ready(Err(InnerError::Failed))
            }
        }

        for (ready, expected) in [(false, InnerError::NotReady), (true, InnerError::Failed)] {
            let mut service = WebhookLayer::new(receiver()).layer(Failing { ready });
            poll_fn(|cx| Service::<Request<Full<Bytes>>>::poll_ready(&mut service, cx)).await.unwrap();
            let error: InnerError = service.call(delivery("{}", whole("{}"))).await.unwrap_err();
            assert_eq!(error, expected);
        }
    }
}

mod bodies {
    use super::*;

    #[track_caller]
    fn accepts(body: Scripted) -> impl Future<Output = ()> {
        let caller = std::panic::Location::caller();
        async move {
            let answer = answer(receiver(), delivery("abcdef", body)).await;
            assert_eq!(answer.status(), StatusCode::OK, "{caller}");
            assert_eq!(text(answer).await, "abcdef", "{caller}");
        }
    }

    #[tokio::test]
    async fn any_frames_are_accepted() {
        accepts(scripted([chunk("abcdef")])).await;
        accepts(scripted([chunk("abc"), chunk("def")])).await;
        accepts(scripted([chunk(""), chunk("abcdef"), chunk("")])).await;
        accepts(scripted("abcdef".chars().map(|c| chunk(c.to_string())))).await;
        accepts(scripted(iter::repeat_n(chunk(""), 1_000).chain([chunk("abcdef")]))).await;
    }

    /// Empty chunks do not count towards the length, and some servers collect them without a limit.
    #[tokio::test]
    async fn too_many_empty_chunks_are_rejected() {
        for many in [1_001, usize::MAX] {
            let body = scripted(iter::repeat_n(chunk(""), many).chain([chunk("abcdef")]));
            let taken = body.taken();
            let answer = answer(receiver(), delivery("abcdef", body)).await;
            assert_eq!(refusal(&answer), RefusalKind::BodyTruncated);
            assert_eq!(taken.load(Relaxed), 1_001);
        }
    }

    #[tokio::test]
    async fn trailers_are_ignored() {
        accepts(scripted([chunk("abcdef"), Step::Trailers])).await;
        accepts(scripted([Step::Trailers, chunk("abc"), Step::Trailers, chunk("def")])).await;
    }

    #[tokio::test]
    async fn a_body_without_a_frame_is_read() {
        assert_eq!(text(answer(receiver(), delivery("", scripted([]))).await).await, "");
        assert_eq!(text(answer(receiver(), delivery("", scripted([Step::Trailers]))).await).await, "");
        let lost = answer(receiver(), delivery("abcdef", scripted([]))).await;
        assert_eq!(refusal(&lost), RefusalKind::Verify(VerifyErrorKind::SignatureMismatch));
    }

    #[tokio::test]
    async fn a_truncated_body_is_rejected() {
        for steps in [vec![Step::Break], vec![chunk("abc"), Step::Break], vec![chunk("abcdef"), Step::Break]] {
            let answer = answer(receiver(), delivery("abcdef", scripted(steps))).await;
            assert_eq!(refusal(&answer), RefusalKind::BodyTruncated);
        }
    }

    #[tokio::test]
    async fn a_wrong_size_hint_is_not_trusted() {
        accepts(scripted([chunk("abcdef")]).claiming(0, Some(0))).await;
        accepts(scripted([chunk("abcdef")]).claiming(3, Some(3))).await;
        accepts(scripted([chunk("abcdef")]).claiming(1 << 20, None)).await;
        accepts(scripted([chunk("abcdef")]).claiming(0, Some(u64::MAX))).await;
        for lower in [(2 << 20) + 1, u64::MAX] {
            let body = scripted([chunk("abcdef")]).claiming(lower, None);
            let answer = answer(receiver(), delivery("abcdef", body)).await;
            assert_eq!(refusal(&answer), RefusalKind::Verify(VerifyErrorKind::BodyTooLong));
        }
        let short = receiver_with_limit(5);
        let answer = answer(short, delivery("abcdef", scripted([chunk("abcdef")]).claiming(1, Some(1)))).await;
        assert_eq!(refusal(&answer), RefusalKind::Verify(VerifyErrorKind::BodyTooLong));
    }

    fn receiver_with_limit(limit: usize) -> Receiver {
        Receiver::new(builder().body_limit(limit).build().unwrap())
    }

    #[tokio::test]
    async fn bodies_up_to_the_limit_are_accepted() {
        for cut in [1, 7, 10] {
            let body =
                |len: usize| scripted(vec![b'x'; len].chunks(cut).map(|part| chunk(part.to_vec())).collect::<Vec<_>>());
            let accepted = answer(receiver_with_limit(10), delivery("xxxxxxxxxx", body(10))).await;
            assert_eq!(text(accepted).await, "xxxxxxxxxx");
            let refused = answer(receiver_with_limit(10), delivery("xxxxxxxxxxx", body(11))).await;
            assert_eq!(refusal(&refused), RefusalKind::Verify(VerifyErrorKind::BodyTooLong));
        }
        // The length of this body is known beforehand.
        let accepted = answer(receiver_with_limit(10), delivery("xxxxxxxxxx", whole("xxxxxxxxxx"))).await;
        assert_eq!(text(accepted).await, "xxxxxxxxxx");
    }

    #[tokio::test]
    async fn data_that_is_not_contiguous_is_accepted() {
        let parts = Bytes::from("abc").chain(Bytes::from("def"));
        let answer = answer(receiver(), delivery("abcdef", Full::new(parts))).await;
        assert_eq!(text(answer).await, "abcdef");
    }

    #[tokio::test]
    async fn a_body_in_one_frame_is_not_copied() {
        let body = data("person.created.json");
        let request = delivery(&body, whole(body.clone()));
        let pointer = |request: Request<VerifiedBody>| async move {
            let verified = request.extensions().get::<Verified>().unwrap().body().as_ptr() as usize;
            let body = request.into_body();
            assert_eq!(body.size_hint().exact(), Some(1577));
            assert!(!body.is_end_stream());
            let frame = body.collect().await.unwrap().to_bytes().as_ptr() as usize;
            let pointers = whole(format!("{verified} {frame}"));
            Ok::<_, Infallible>(Response::new(pointers))
        };
        let answer = WebhookLayer::new(receiver()).layer(service_fn(pointer)).oneshot(request).await.unwrap();
        let at = body.as_ptr() as usize;
        assert_eq!(text(answer).await, format!("{at} {at}"));
    }

    #[tokio::test]
    async fn the_inner_services_response_body_passes_unchanged() {
        let inner = service_fn(|_| async {
            Ok::<_, Infallible>(Response::new(scripted([chunk("a"), Step::Trailers, Step::Break]).claiming(7, Some(9))))
        });
        let answer = WebhookLayer::new(receiver()).layer(inner).oneshot(delivery("{}", whole("{}"))).await.unwrap();
        let mut body = pin!(answer.into_body());
        assert_eq!((body.size_hint().lower(), body.size_hint().upper()), (7, Some(9)));
        assert!(!body.is_end_stream());
        assert_eq!(body.frame().await.unwrap().unwrap().into_data().unwrap(), "a");
        assert!(body.frame().await.unwrap().unwrap().is_trailers());
        assert!(body.frame().await.unwrap().is_err());
        assert!(body.frame().await.is_none());
    }

    #[test]
    fn an_available_body_needs_neither_timer_nor_runtime() {
        let mut answer = pin!(answer(receiver(), delivery("abcdef", scripted([chunk("abc"), chunk("def")]))));
        let Poll::Ready(answer) = poll_once(answer.as_mut()) else { panic!("pending") };
        assert_eq!(answer.status(), StatusCode::OK);
    }
}

mod deadline {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[tokio::test(start_paused = true)]
    async fn a_stalled_body_times_out() {
        let start = tokio::time::Instant::now();
        let answer = answer(receiver(), delivery("{}", scripted([chunk("{"), Step::Stall]))).await;
        assert_eq!(refusal(&answer), RefusalKind::BodyTimeout);
        assert_eq!(answer.headers()[header::CONNECTION], "close");
        assert_eq!(start.elapsed().as_secs(), Receiver::DEFAULT_BODY_DEADLINE.as_secs());
    }

    #[tokio::test(start_paused = true)]
    async fn a_dripping_body_times_out_at_the_same_deadline() {
        let (sender, body) = channel();
        let request = tokio::spawn(answer(receiver(), delivery("{}", body)));
        for _ in 0..4 {
            sender.send(Bytes::from(" ")).unwrap();
            yield_now().await;
            advance(SECOND).await;
        }
        assert!(!request.is_finished());
        sender.send(Bytes::from(" ")).unwrap();
        advance(SECOND).await;
        assert_eq!(refusal(&request.await.unwrap()), RefusalKind::BodyTimeout);
    }

    /// An endless body must not block other tasks on the thread.
    #[tokio::test(start_paused = true)]
    async fn an_endless_body_does_not_block_the_thread() {
        for request in [delivery("{}", ()), unsigned(())] {
            let is_signed = request.headers().len() > 1;
            let is_exhausted = Arc::new(AtomicBool::new(false));
            let exhausted = Arc::clone(&is_exhausted);
            // The body is finite, so that a failing test ends.
            let body = iter::repeat_n(chunk(" "), 10_000_000).chain(iter::from_fn(move || {
                exhausted.store(true, Relaxed);
                None
            }));
            let request = tokio::spawn(answer(receiver(), request.map(|()| scripted(body))));
            for _ in 0..3 {
                yield_now().await;
            }
            assert!(!request.is_finished());
            advance(Receiver::DEFAULT_BODY_DEADLINE).await;
            let kind = refusal(&request.await.unwrap());
            let expected =
                if is_signed { RefusalKind::BodyTimeout } else { RefusalKind::Verify(VerifyErrorKind::Unsigned) };
            assert_eq!(kind, expected);
            assert!(!is_exhausted.load(Relaxed));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn any_deadline_is_allowed() {
        let never = delivery("{}", scripted([Step::Stall]));
        let answer = answer(receiver().body_deadline(Duration::ZERO), never).await;
        assert_eq!(refusal(&answer), RefusalKind::BodyTimeout);

        let (sender, body) = channel();
        let request = tokio::spawn(super::answer(receiver().body_deadline(Duration::MAX), delivery("{}", body)));
        yield_now().await;
        advance(Duration::from_secs(86_400)).await;
        sender.send(Bytes::from("{}")).unwrap();
        drop(sender);
        assert_eq!(request.await.unwrap().status(), StatusCode::OK);
    }

    #[tokio::test(start_paused = true)]
    async fn the_deadline_does_not_apply_to_the_handler() {
        let slow = service_fn(|request| async {
            tokio::time::sleep(10 * Receiver::DEFAULT_BODY_DEADLINE).await;
            echo(request).await
        });
        let (sender, body) = channel();
        let request = tokio::spawn(WebhookLayer::new(receiver()).layer(slow).oneshot(delivery("{}", body)));
        yield_now().await;
        sender.send(Bytes::from("{}")).unwrap();
        drop(sender);
        assert_eq!(request.await.unwrap().unwrap().status(), StatusCode::OK);
    }
}

mod refusals {
    use super::*;

    #[tokio::test]
    async fn rejections_have_their_reason_in_the_extensions() {
        use RefusalKind::{ContentEncoding, OtherWebhook, OtherWorkspace, Overloaded, Verify};
        let event = data("person.created.json");
        let plain = || delivery(&event, whole(event.clone()));
        let with = |name: &'static str, value: &str| {
            let mut request = plain();
            request.headers_mut().append(name, value.parse().unwrap());
            request
        };
        for (receiver, request, kind) in [
            (receiver(), unsigned(whole(event.clone())), Verify(VerifyErrorKind::Unsigned)),
            (receiver(), with(support::TIMESTAMP, "1"), Verify(VerifyErrorKind::RepeatedTimestamp)),
            (receiver(), delivery("other", whole(event.clone())), Verify(VerifyErrorKind::SignatureMismatch)),
            (receiver(), with("content-encoding", "gzip"), ContentEncoding),
            (receiver(), with("content-length", "99999999"), Verify(VerifyErrorKind::BodyTooLong)),
            (receiver().expect_workspace("another").unwrap(), plain(), OtherWorkspace),
            (receiver().expect_webhook("another").unwrap(), plain(), OtherWebhook),
            (receiver().unverified_budget(1000), plain(), Overloaded),
        ] {
            assert_eq!(refusal(&answer(receiver, request).await), kind);
        }
    }

    /// The required headers belong to the status that is sent, not to the status in the table.
    #[tokio::test(start_paused = true)]
    async fn custom_responses_answer_rejections() {
        let answered_with =
            |status| receiver().respond_with(move |_| RefusalResponse::new(status).body("text/plain", "no"));
        let forged = || unsigned(scripted([chunk("{}")]));
        for (status, demanded) in [
            (200, None),
            (401, Some(("www-authenticate", "Twenty-Webhook"))),
            (404, None),
            (408, Some(("connection", "close"))),
            (415, Some(("accept-encoding", "identity"))),
            (599, None),
        ] {
            let answer = answer(answered_with(status), forged()).await;
            assert_eq!(answer.status().as_u16(), status);
            let refusal = answer.extensions().get::<Refusal>().unwrap();
            assert_eq!(refusal.kind(), RefusalKind::Verify(VerifyErrorKind::Unsigned));
            let headers: Vec<_> =
                answer.headers().iter().map(|(name, value)| (name.as_str(), value.to_str().unwrap())).collect();
            let expected: Vec<_> = demanded.into_iter().chain([("content-type", "text/plain")]).collect();
            assert_eq!(headers, expected);
            assert_eq!((answer.body().size_hint().exact(), answer.body().is_end_stream()), (Some(2), false));
            assert_eq!(text(answer).await, "no");
        }
        for status in [204, 205, 304] {
            let answer = answer(answered_with(status), forged()).await;
            assert_eq!(answer.status().as_u16(), status);
            assert!(answer.headers().is_empty() && answer.body().is_end_stream(), "{answer:?}");
        }
        for status in [0, 100, 101, 199, 600, u16::MAX] {
            assert_eq!(answer(answered_with(status), forged()).await.status(), StatusCode::INTERNAL_SERVER_ERROR);
        }
        let stalled = delivery("{}", scripted([Step::Stall]));
        let answer = answer(answered_with(503), stalled).await;
        assert_eq!(answer.headers()[header::CONNECTION], "close", "some of the body was not read");
    }

    /// The server cannot keep a connection open on which unread body is left, so it announces that
    /// to the client.
    #[tokio::test(start_paused = true)]
    async fn rejections_have_connection_close_only_if_unread_body_is_left() {
        let long = || iter::repeat_n(chunk(vec![b' '; 1 << 10]), 65);
        type Change = fn(&mut Request<()>);
        let changes: [(Change, u16); 6] = [
            (|_| {}, 401),
            (|request| drop(request.headers_mut().remove(support::SIGNATURE)), 400),
            (|request| drop(request.headers_mut().insert("content-encoding", "gzip".parse().unwrap())), 415),
            (|request| drop(request.headers_mut().insert("content-length", "99999999".parse().unwrap())), 413),
            (|request| request.headers_mut().clear(), 401),
            (
                |request| {
                    request.headers_mut().clear();
                    request.headers_mut().insert(header::EXPECT, "100-continue".parse().unwrap());
                },
                401,
            ),
        ];
        for version in [Version::HTTP_10, Version::HTTP_11, Version::HTTP_2] {
            for (change, status) in changes {
                let receiver = || Receiver::new(builder().body_limit(128 << 10).build().unwrap());
                let request = || {
                    let mut request = delivery("signs something else", ());
                    *request.version_mut() = version;
                    change(&mut request);
                    request
                };
                let left_over = [
                    scripted(long()),
                    scripted([chunk(" "), Step::Stall]),
                    scripted([chunk(" "), Step::Break]),
                    scripted([Step::Stall]),
                ];
                for (place, body) in left_over.into_iter().enumerate() {
                    let is_mismatch = status == 401 && request().headers().contains_key(support::SIGNATURE);
                    if is_mismatch && place == 0 {
                        // The body is read to its end, because it is within the limit.
                        continue;
                    }
                    let answer = answer(receiver(), request().map(|()| body)).await;
                    if !is_mismatch {
                        assert_eq!(answer.status(), status);
                    }
                    let says_close = answer.headers().get(header::CONNECTION).is_some_and(|value| value == "close");
                    assert_eq!(says_close, version < Version::HTTP_2, "{version:?} {status} {place}");
                }
                if request().headers().contains_key(header::EXPECT) {
                    continue;
                }
                for body in [scripted([]), scripted([chunk(" ")]), scripted(long().take(63))] {
                    let answer = answer(receiver(), request().map(|()| body)).await;
                    assert_eq!(answer.status(), status);
                    assert!(!answer.headers().contains_key(header::CONNECTION), "{version:?} {status}");
                }
            }
        }
        // This budget is used up in the middle of a body.
        let poor = receiver().unverified_budget(1000);
        let answer = answer(poor, delivery("", scripted(long().chain([Step::Stall])))).await;
        assert_eq!(refusal(&answer), RefusalKind::Overloaded);
        assert_eq!(answer.headers()[header::CONNECTION], "close");
    }

    #[tokio::test(start_paused = true)]
    async fn rejections_have_connection_close_only_on_http_1() {
        for (version, says_close) in
            [(Version::HTTP_10, true), (Version::HTTP_11, true), (Version::HTTP_2, false), (Version::HTTP_3, false)]
        {
            let mut request = delivery("{}", scripted([Step::Stall]));
            *request.version_mut() = version;
            let answer = answer(receiver(), request).await;
            assert_eq!(refusal(&answer), RefusalKind::BodyTimeout);
            assert_eq!(answer.headers().contains_key(header::CONNECTION), says_close, "{version:?}");
        }
    }
}

mod draining {
    use super::*;

    /// Returns how many chunks of 1 KiB are read of a rejected body.
    async fn taken(receiver: Receiver, request: Request<()>, chunks: usize) -> (RefusalKind, usize) {
        let body = scripted(iter::repeat_n(chunk(vec![b' '; 1 << 10]), chunks));
        let taken = body.taken();
        let answer = answer(receiver, request.map(|()| body)).await;
        (refusal(&answer), taken.load(Relaxed))
    }

    const UNSIGNED: RefusalKind = RefusalKind::Verify(VerifyErrorKind::Unsigned);
    const TOO_LONG: RefusalKind = RefusalKind::Verify(VerifyErrorKind::BodyTooLong);

    #[tokio::test]
    async fn a_rejected_body_is_read_to_its_end_up_to_64_kib() {
        assert_eq!(taken(receiver(), unsigned(()), 0).await, (UNSIGNED, 1));
        assert_eq!(taken(receiver(), unsigned(()), 63).await, (UNSIGNED, 64));
        assert_eq!(taken(receiver(), unsigned(()), 64).await, (UNSIGNED, 64));
        assert_eq!(taken(receiver(), unsigned(()), 100_000).await, (UNSIGNED, 64));
    }

    #[tokio::test]
    async fn a_body_that_turns_out_too_long_is_read_to_its_end() {
        let receiver = || Receiver::new(builder().body_limit(10 << 10).build().unwrap());
        assert_eq!(taken(receiver(), delivery("", ()), 11).await, (TOO_LONG, 12));
        assert_eq!(taken(receiver(), delivery("", ()), 100_000).await, (TOO_LONG, 11 + 64));
    }

    #[tokio::test]
    async fn nothing_is_read_while_the_client_waits_for_100_continue() {
        let mut request = unsigned(());
        request.headers_mut().insert(header::EXPECT, "100-continue".parse().unwrap());
        assert_eq!(taken(receiver(), request, 10).await, (UNSIGNED, 0));
    }

    #[tokio::test(start_paused = true)]
    async fn draining_ends_at_the_deadline() {
        let start = Instant::now();
        let hasty = receiver().body_deadline(Duration::ZERO);
        let answer = answer(hasty, unsigned(scripted([chunk("{"), Step::Stall]))).await;
        assert_eq!(refusal(&answer), UNSIGNED, "not the timeout");
        assert!(start.elapsed() < BRIEFLY, "{:?}", start.elapsed());
    }

    /// Tens of milliseconds.
    const BRIEFLY: Duration = Duration::from_millis(99);

    /// The response is known, so it must not wait for a body that may never arrive.
    #[tokio::test(start_paused = true)]
    async fn draining_waits_only_briefly() {
        for request in [unsigned as fn(()) -> Request<()>, too_long, encoded] {
            for steps in [vec![Step::Stall], vec![chunk("{"), Step::Stall], vec![chunk(vec![b' '; 70_000])]] {
                let start = Instant::now();
                let answer = answer(receiver(), request(()).map(|()| scripted(steps))).await;
                assert_ne!(refusal(&answer), RefusalKind::BodyTimeout);
                assert!(start.elapsed() < BRIEFLY, "{:?}", start.elapsed());
            }
            // A byte now and then does not extend the time.
            let start = Instant::now();
            let (sender, body) = channel();
            let request = tokio::spawn(answer(receiver(), request(()).map(|()| body)));
            for _ in 0..100 {
                let _ = sender.send(Bytes::from(" "));
                yield_now().await;
                if request.is_finished() {
                    break;
                }
                advance(Duration::from_millis(10)).await;
            }
            assert_ne!(refusal(&request.await.unwrap()), RefusalKind::BodyTimeout);
            assert!(start.elapsed() < BRIEFLY, "{:?}", start.elapsed());
        }
        // The rejection may also come in the middle of a body that exceeds the limit or the budget.
        let short = Receiver::new(builder().body_limit(10).build().unwrap());
        for (receiver, kind) in [(short, TOO_LONG), (receiver().unverified_budget(10), RefusalKind::Overloaded)] {
            let (sender, body) = channel();
            let request = tokio::spawn(answer(receiver, delivery("", body)));
            sender.send(Bytes::from("0123456789")).unwrap();
            yield_now().await;
            advance(Duration::from_secs(2)).await;
            assert!(!request.is_finished());
            let start = Instant::now();
            sender.send(Bytes::from("0")).unwrap();
            assert_eq!(refusal(&request.await.unwrap()), kind);
            assert!(start.elapsed() < BRIEFLY, "{:?}", start.elapsed());
        }
    }

    fn too_long((): ()) -> Request<()> {
        let mut request = delivery("", ());
        request.headers_mut().insert("content-length", "99999999".parse().unwrap());
        request
    }

    fn encoded((): ()) -> Request<()> {
        let mut request = delivery("", ());
        request.headers_mut().insert("content-encoding", "gzip".parse().unwrap());
        request
    }

    #[tokio::test]
    async fn a_broken_body_does_not_change_the_rejection() {
        let answer = answer(receiver(), unsigned(scripted([chunk("{"), Step::Break]))).await;
        assert_eq!(refusal(&answer), UNSIGNED);
    }
}

mod budget {
    use proptest::prelude::*;

    use super::*;

    /// The budget is the default for the limit, or only a little larger than the limit.
    #[tokio::test]
    async fn an_idle_receiver_accepts_bodies_up_to_its_limit() {
        const MIB: usize = 1 << 20;
        for (limit, budget) in [(33 * MIB, None), (MIB, Some(MIB)), (MIB, Some(MIB + 1)), (MIB, Some(3 * MIB / 2))] {
            let mut receiver = Receiver::new(builder().body_limit(limit).build().unwrap());
            if let Some(budget) = budget {
                receiver = receiver.unverified_budget(budget);
            }
            let body = Bytes::from(vec![b' '; limit]);
            let answer = answer(receiver, delivery(&body, whole(body.clone()))).await;
            assert_eq!(answer.status(), StatusCode::OK, "{limit} {budget:?}");
        }
    }

    proptest! {
        /// The result does not depend on the division into chunks, nor on the budget beyond the
        /// limit. The length is not declared.
        #[test]
        fn a_body_beyond_the_limit_is_too_long(
            limit in 0..40_000_usize,
            spare in 0..60_000_usize,
            beyond in 1..60_000_usize,
            cut in 500..100_000_usize,
        ) {
            let receiver = Receiver::new(builder().body_limit(limit).build().unwrap()).unverified_budget(limit + spare);
            let body = Bytes::from(vec![b' '; limit + beyond]);
            let chunks: Vec<_> = body.chunks(cut).map(|part| chunk(part.to_vec())).collect();
            let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
            let answer = runtime.block_on(answer(receiver, delivery(&body, scripted(chunks))));
            prop_assert_eq!(refusal(&answer), RefusalKind::Verify(VerifyErrorKind::BodyTooLong));
        }
    }

    const BODY: &str = "0123456789";

    /// Requests that share a budget of 15 bytes: one body of 10 bytes fits, two do not.
    struct Shared {
        receiver: Receiver,
    }

    impl Shared {
        fn new() -> Self {
            Self { receiver: receiver().unverified_budget(15) }
        }

        /// Returns whether another body of 10 bytes fits.
        async fn has_room(&self) -> bool {
            let answer = answer(self.receiver.clone(), delivery(BODY, whole(BODY))).await;
            if answer.status() == StatusCode::OK {
                return true;
            }
            assert_eq!(refusal(&answer), RefusalKind::Overloaded);
            assert_eq!(answer.status(), StatusCode::SERVICE_UNAVAILABLE);
            false
        }

        /// Starts a request of which 10 bytes of the body have arrived.
        async fn under_way(
            &self,
        ) -> (tokio::sync::mpsc::UnboundedSender<Bytes>, Pin<Box<impl Future<Output = Answer>>>) {
            let (sender, body): (_, Sent) = channel();
            let mut request = Box::pin(answer(self.receiver.clone(), delivery(BODY, body)));
            sender.send(Bytes::from(BODY)).unwrap();
            assert!(poll_once(request.as_mut()).is_pending());
            assert!(!self.has_room().await);
            (sender, request)
        }
    }

    #[tokio::test]
    async fn a_dropped_request_frees_its_budget() {
        let shared = Shared::new();
        let (_sender, request) = shared.under_way().await;
        drop(request);
        assert!(shared.has_room().await);
    }

    #[tokio::test]
    async fn a_response_frees_the_budget() {
        let shared = Shared::new();
        let (sender, request) = shared.under_way().await;
        drop(sender);
        assert_eq!(request.await.status(), StatusCode::OK);
        assert!(shared.has_room().await);
    }

    #[tokio::test]
    async fn the_budget_is_free_before_the_handler_runs() {
        let shared = Shared::new();
        let waits = service_fn(|_| std::future::pending::<Result<Response<Full<Bytes>>, Infallible>>());
        let service = WebhookLayer::new(shared.receiver.clone()).layer(waits);
        let mut handled = pin!(service.oneshot(delivery(BODY, whole(BODY))));
        assert!(poll_once(handled.as_mut()).is_pending());
        assert!(shared.has_room().await);
    }

    /// The budget is freed even while the future of the rejected request still exists.
    #[tokio::test(start_paused = true)]
    async fn a_rejection_frees_the_budget() {
        let shared = Shared::new();
        for (steps, kind) in [
            (vec![chunk(BODY), Step::Break], RefusalKind::BodyTruncated),
            (vec![chunk(BODY), Step::Stall], RefusalKind::BodyTimeout),
            (vec![chunk("9876543210")], RefusalKind::Verify(VerifyErrorKind::SignatureMismatch)),
            (vec![chunk(BODY), chunk(BODY)], RefusalKind::Overloaded),
        ] {
            let mut service = WebhookLayer::new(shared.receiver.clone()).layer(service_fn(echo));
            let mut refused = pin!(service.call(delivery(BODY, scripted(steps))));
            let answer = refused.as_mut().await.unwrap();
            assert_eq!(refusal(&answer), kind);
            assert!(shared.has_room().await, "{kind:?}");
        }
    }

    #[tokio::test]
    async fn discarded_bytes_do_not_count_towards_the_budget() {
        let shared = Shared::new();
        let (sender, body): (_, Sent) = channel();
        let mut refused = pin!(answer(shared.receiver.clone(), unsigned(body)));
        sender.send(Bytes::from("x".repeat(1000))).unwrap();
        assert!(poll_once(refused.as_mut()).is_pending());
        assert!(shared.has_room().await);
    }
}

mod anything {
    use proptest::prelude::*;

    use super::*;

    const BODY: &[u8] = b"{\"eventName\":\"person.created\"}";

    fn header() -> impl Strategy<Value = (&'static str, Vec<u8>)> {
        let names = [
            support::TIMESTAMP,
            support::SIGNATURE,
            support::NONCE,
            "content-length",
            "content-encoding",
            "expect",
            "transfer-encoding",
            "x-other",
        ];
        let value = prop_oneof![
            proptest::collection::vec(any::<u8>(), 0..70),
            any::<u64>().prop_map(|number| number.to_string().into_bytes()),
            "[0-9a-f]{64}".prop_map(String::into_bytes),
            "identity|gzip|100-continue|chunked".prop_map(String::into_bytes),
        ];
        (proptest::sample::select(names.to_vec()), value)
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            4 => proptest::collection::vec(any::<u8>(), 0..20).prop_map(chunk),
            1 => Just(chunk("")),
            1 => Just(Step::Trailers),
            1 => Just(Step::Break),
            1 => Just(Step::Stall),
        ]
    }

    /// Returns a signed body in two chunks, between trailers and empty frames.
    fn honest(cut: usize, steps: usize) -> Vec<Step> {
        let nothing = || [Step::Trailers, chunk("")].into_iter().cycle().take(steps);
        nothing().chain([chunk(&BODY[..cut])]).chain(nothing()).chain([chunk(&BODY[cut..])]).chain(nothing()).collect()
    }

    fn played(request: Request<Scripted>) -> StatusCode {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        let small = Receiver::new(builder().body_limit(100).build().unwrap()).unverified_budget(200);
        runtime.block_on(answer(small, request)).status()
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(500) })]

        /// A request with any headers, any body and any declared length gets a rejection of the
        /// table.
        #[test]
        fn any_unsigned_request_is_rejected_without_a_panic(
            headers in proptest::collection::vec(header(), 0..6),
            steps in proptest::collection::vec(step(), 0..12),
            (lower, length) in (any::<u64>(), any::<Option<u64>>()),
        ) {
            let body = scripted(steps).claiming(length.map_or(0, |upper| lower.min(upper)), length);
            let mut request = unsigned(body);
            for (name, value) in headers {
                if let Ok(value) = http::HeaderValue::from_bytes(&value) {
                    request.headers_mut().append(name, value);
                }
            }
            let status = played(request).as_u16();
            prop_assert!([400, 401, 408, 413, 415, 503].contains(&status), "{}", status);
        }

        /// A genuine delivery is accepted with any division into chunks and any other header.
        #[test]
        fn any_genuine_request_is_accepted(
            cut in 0..=BODY.len(),
            steps in 0_usize..200,
            (name, value) in ("[a-z]{1,10}", proptest::collection::vec(any::<u8>(), 0..70)),
        ) {
            let mut request = delivery(BODY, scripted(honest(cut, steps)));
            if let (Ok(name), Ok(value)) = (http::HeaderName::try_from(format!("x-{name}")), http::HeaderValue::from_bytes(&value)) {
                request.headers_mut().append(name, value);
            }
            prop_assert_eq!(played(request), StatusCode::OK);
        }
    }
}

mod nested {
    use super::*;

    /// Returns the features that a receiver can have besides verification.
    fn settings() -> [fn(Receiver) -> Receiver; 4] {
        const LONG: Duration = Duration::from_secs(300);
        [
            |receiver| receiver,
            |receiver| receiver.deduplicate(Deduplicate::new(MemoryStore::new(100)).lease(LONG)),
            |receiver| receiver.acknowledge_within(Duration::from_secs(4)),
            |receiver| {
                let deduplicate = Deduplicate::new(MemoryStore::new(100)).lease(LONG);
                receiver.deduplicate(deduplicate).acknowledge_within(Duration::from_secs(4))
            },
        ]
    }

    /// Posts three deliveries through three middlewares. A success means that the handler ran
    /// exactly once. Returns whether all were handled.
    async fn success_means_handled([outer, middle, inner]: [Receiver; 3]) -> bool {
        let handled = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&handled);
        let service = WebhookLayer::new(inner).layer(service_fn(move |request| {
            counted.fetch_add(1, Relaxed);
            echo(request)
        }));
        let service = WebhookLayer::new(outer).layer(WebhookLayer::new(middle).layer(service));
        let mut all = true;
        for body in ["{}", "[]", "0"] {
            let answering = service.clone().oneshot(delivery(body, whole(body)));
            let answer = tokio::time::timeout(Duration::from_secs(60), answering).await.expect("an answer").unwrap();
            let count = handled.swap(0, Relaxed);
            if answer.status().is_success() {
                assert_eq!(count, 1);
                assert_eq!(text(answer).await, body);
            } else {
                assert_eq!((answer.status(), count), (StatusCode::INTERNAL_SERVER_ERROR, 0));
                assert_eq!(answer.extensions().get().map(Refusal::kind), Some(RefusalKind::Nested));
                all = false;
            }
        }
        all
    }

    #[tokio::test(start_paused = true)]
    async fn nested_layers_of_one_receiver_handle_each_event_once() {
        for with in settings() {
            let same = with(receiver());
            assert!(success_means_handled([same.clone(), same.clone(), same]).await);
            let same = with(receiver());
            assert!(success_means_handled([same.clone(), same, receiver()]).await);
        }
    }

    /// The test combines all features. If two of the receivers deduplicate or acknowledge, the
    /// response is 500.
    #[tokio::test(start_paused = true)]
    async fn different_receivers_never_report_success_without_handling() {
        let store = Arc::new(MemoryStore::new(100));
        let shared =
            |receiver: Receiver| receiver.deduplicate(Arc::clone(&store)).acknowledge_within(Duration::from_secs(4));
        assert!(!success_means_handled([shared(receiver()), receiver(), shared(receiver())]).await);
        for (first, outer) in settings().into_iter().enumerate() {
            for (second, middle) in settings().into_iter().enumerate() {
                for (third, inner) in settings().into_iter().enumerate() {
                    let receivers = [outer(receiver()), middle(receiver()), inner(receiver())];
                    let managed = [first, second, third].into_iter().filter(|number| *number > 0).count();
                    assert_eq!(success_means_handled(receivers).await, managed < 2, "{first} {second} {third}");
                }
            }
        }
    }

    /// A verification with other keys, by the outer receiver, is no evidence for the inner one.
    #[tokio::test]
    async fn another_receiver_verifies_with_its_own_keys() {
        let other = Verifier::builder().secret(support::secret("another")).clock(support::clock()).build().unwrap();
        let service = WebhookLayer::new(Receiver::new(other)).layer(service_fn(echo));
        let service = WebhookLayer::new(receiver()).layer(service);
        let answer = service.oneshot(delivery("{}", whole("{}"))).await.unwrap();
        assert_eq!(answer.status(), StatusCode::UNAUTHORIZED);
    }

    #[tokio::test]
    async fn two_layers_verify_twice() {
        let both = WebhookLayer::new(receiver()).layer(WebhookLayer::new(receiver()).layer(service_fn(echo)));
        let answer = both.clone().oneshot(delivery("{}", whole("{}"))).await.unwrap();
        assert_eq!(text(answer).await, "{}");
        let refused = both.oneshot(unsigned(whole("{}"))).await.unwrap();
        assert_eq!(refused.status(), StatusCode::UNAUTHORIZED);
    }
}

#[tokio::test]
async fn many_requests_are_handled_at_the_same_time() {
    let handled = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&handled);
    let service = WebhookLayer::new(receiver()).layer(service_fn(move |request| {
        counted.fetch_add(1, Relaxed);
        echo(request)
    }));
    let mut running = tokio::task::JoinSet::new();
    for i in 0..200 {
        let (service, body) = (service.clone(), event_of(100 + i));
        running.spawn(async move {
            let parts: Vec<_> = body.chunks(17).map(|part| chunk(part.to_vec())).collect();
            if i % 2 == 0 {
                let answer = service.oneshot(delivery(&body, scripted(parts))).await.unwrap();
                assert_eq!(text(answer).await, body);
            } else {
                let answer = service.oneshot(delivery(format!("{SECRET}{NOW}"), scripted(parts))).await.unwrap();
                assert_eq!(refusal(&answer), RefusalKind::Verify(VerifyErrorKind::SignatureMismatch));
            }
        });
    }
    running.join_all().await;
    assert_eq!(handled.load(Relaxed), 100);
}

/// Twenty writes UUIDs in lower case. The configuration may contain them in upper case.
#[tokio::test]
async fn an_expected_id_is_the_same_in_upper_case() {
    for blank in ["", " \n"] {
        assert_eq!(receiver().expect_workspace(blank).unwrap_err(), ConfigError::BlankId);
        assert_eq!(receiver().expect_webhook(blank).unwrap_err(), ConfigError::BlankId);
    }
    let receiver = receiver().expect_workspace("3B8E6458-5FC1-4E63-8563-008CCDDAA6DB").unwrap();
    let body = data("person.created.json");
    assert_eq!(answer(receiver, delivery(&body, whole(body.clone()))).await.status(), StatusCode::OK);
}

/// As in the event that the handler gets, the first of repeated members counts.
#[tokio::test]
async fn the_first_of_two_ids_must_be_the_expected_one() {
    let body = r#"{"workspaceId":"a","workspaceId":"b","webhookId":"c","webhookId":"d","eventName":"person.created"}"#;
    let ask = async |receiver| answer(receiver, delivery(body, whole(body))).await;
    let both = receiver().expect_workspace("a").unwrap().expect_webhook("c").unwrap();
    assert_eq!(ask(both).await.status(), StatusCode::OK);
    assert_eq!(refusal(&ask(receiver().expect_workspace("b").unwrap()).await), RefusalKind::OtherWorkspace);
    assert_eq!(refusal(&ask(receiver().expect_webhook("d").unwrap()).await), RefusalKind::OtherWebhook);
}

/// Reading the body would send 100 Continue to a client that waits for it.
#[tokio::test]
async fn a_resolver_that_fails_does_not_request_the_body() {
    let builder = twenty_webhook::Verifier::builder().clock(support::clock());
    let receiver = Receiver::for_tenants(builder, |_| async { Err("down".into()) }).unwrap();
    let body = scripted([chunk("{}")]);
    let taken = body.taken();
    let mut request = delivery("{}", body);
    request.headers_mut().insert(header::EXPECT, "100-continue".parse().unwrap());
    assert_eq!(answer(receiver, request).await.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(taken.load(Relaxed), 0);
}

/// A handler that never waits uses up tokio's budget of its task. Its claim must be renewed
/// nevertheless.
#[tokio::test]
async fn a_handler_that_never_yields_keeps_its_claim() {
    const LEASE: Duration = Duration::from_millis(600);
    let (runs, is_over) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicBool::new(false)));
    let inner = {
        let (runs, is_over) = (Arc::clone(&runs), Arc::clone(&is_over));
        service_fn(move |_: Request<VerifiedBody>| {
            runs.fetch_add(1, Relaxed);
            let is_over = Arc::clone(&is_over);
            async move {
                while !is_over.load(Relaxed) {
                    tokio::task::consume_budget().await;
                }
                Ok::<_, Infallible>(Response::new(Full::<Bytes>::default()))
            }
        })
    };
    let receiver = receiver().deduplicate(Deduplicate::new(MemoryStore::new(10)).lease(LEASE));
    let service = WebhookLayer::new(receiver).layer(inner);
    let send = || tokio::spawn(service.clone().oneshot(delivery("{}", whole("{}"))));
    let first = send();
    tokio::time::sleep(3 * LEASE).await;
    let copy = send();
    tokio::time::sleep(LEASE / 2).await;
    assert_eq!(runs.load(Relaxed), 1);
    is_over.store(true, Relaxed);
    for answered in [first, copy] {
        assert_eq!(answered.await.unwrap().unwrap().status(), StatusCode::OK);
    }
    assert_eq!(runs.load(Relaxed), 1);
}
