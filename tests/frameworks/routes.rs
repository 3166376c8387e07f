//! Sends one delivery to several routes behind one receiver. It is handled once, by the first route
//! that it reaches.

use std::{
    collections::VecDeque,
    convert::Infallible,
    future::pending,
    panic::resume_unwind,
    pin::{Pin, pin},
    sync::{Arc, Mutex},
    task::{Context, Poll, Waker},
    time::Duration,
};

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use http_body_util::Full;
use proptest::prelude::*;
use tokio::sync::oneshot;
use tower::{Layer, ServiceExt, service_fn};
use twenty_webhook::{
    Receiver,
    deduplicate::MemoryStore,
    receiver::{Deduplicate, Refusal, RefusalKind},
    tower::{VerifiedBody, WebhookLayer},
};

use crate::support::{bodies, scripted_store::ScriptedStore, verifier};

const BODY: &str = r#"{"eventName":"note.created","record":{}}"#;
const ROUTES: [(&str, &str); 4] = [("POST", "/a"), ("POST", "/b"), ("GET", "/a"), ("POST", "/a/")];

/// The way in which a handler ends if it is called.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Ends {
    With(u16),
    Panics,
    /// The client disconnects.
    IsAborted,
}

fn ends() -> impl Strategy<Value = Ends> {
    let statuses = vec![200, 202, 204, 301, 401, 404, 405, 422, 500, 503];
    prop_oneof![
        8 => proptest::sample::select(statuses).prop_map(Ends::With),
        1 => Just(Ends::Panics),
        1 => Just(Ends::IsAborted),
    ]
}

/// The routes whose handlers were called, and the way in which the next handler ends.
#[derive(Clone, Default)]
struct Handlers {
    next: Arc<Mutex<Option<Ends>>>,
    calls: Arc<Mutex<Vec<usize>>>,
}

impl Handlers {
    async fn handle(self, request: Request<VerifiedBody>) -> Result<Response<Full<Bytes>>, Infallible> {
        let route = (request.method().as_str(), request.uri().path());
        self.calls.lock().unwrap().push(ROUTES.iter().position(|known| *known == route).unwrap());
        let ends = self.next.lock().unwrap().take().expect("one call");
        match ends {
            Ends::With(status) => Ok(Response::builder().status(status).body(Full::default()).unwrap()),
            // Does not run the panic hook, which would print the panic.
            Ends::Panics => resume_unwind(Box::new("the handler panics")),
            Ends::IsAborted => pending().await,
        }
    }
}

fn request((method, path): (&str, &str)) -> Request<Full<Bytes>> {
    let mut request = bodies::delivery(BODY, Full::from(BODY));
    *request.method_mut() = Method::from_bytes(method.as_bytes()).unwrap();
    *request.uri_mut() = path.parse().unwrap();
    request
}

/// The expected behaviour.
#[derive(Default)]
struct Model {
    is_handled: bool,
    /// The route whose handler failed first.
    holder: Option<usize>,
}

#[derive(Debug, PartialEq)]
enum Expected {
    Called,
    Duplicate,
    OtherRoute,
}

impl Model {
    fn step(&mut self, route: usize, ends: Ends) -> Expected {
        if self.is_handled {
            return Expected::Duplicate;
        }
        if self.holder.is_some_and(|holder| holder != route) {
            return Expected::OtherRoute;
        }
        match ends {
            Ends::With(200..=299) => self.is_handled = true,
            Ends::With(404 | 405) => {}
            _ => self.holder = Some(route),
        }
        Expected::Called
    }
}

fn stores() -> [fn() -> Deduplicate; 4] {
    [
        || Deduplicate::new(MemoryStore::new(100)),
        // This store is remote: a claim may be lost, so it is looked up first.
        || {
            let store = ScriptedStore::new();
            store.go_far_away();
            Deduplicate::new(store)
        },
        // This store fails, so nothing is claimed.
        || {
            let store = ScriptedStore::new();
            store.fail_all();
            Deduplicate::new(store)
        },
        // This store is full from the beginning, with the running claim of another delivery.
        || {
            let store = Arc::new(MemoryStore::new(1));
            let key = twenty_webhook::deduplicate::ClaimKey::new("", "", b"another");
            let claiming = twenty_webhook::deduplicate::ClaimStore::claim(&*store, key, Duration::MAX);
            let Poll::Ready(claimed) = pin!(claiming).poll(&mut Context::from_waker(Waker::noop())) else {
                panic!("pending")
            };
            assert!(claimed.is_ok());
            Deduplicate::new(store)
        },
    ]
}

/// Sends deliveries of one body one after the other. Fails if the receiver differs from the model.
async fn play(receiver: Receiver, steps: &[(usize, Ends)]) -> Result<(), TestCaseError> {
    let handlers = Handlers::default();
    let for_calls = handlers.clone();
    let service = WebhookLayer::new(receiver).layer(service_fn(move |request| for_calls.clone().handle(request)));
    let mut model = Model::default();
    let mut successes = 0;
    for (number, &(route, ends)) in steps.iter().enumerate() {
        *handlers.next.lock().unwrap() = Some(ends);
        handlers.calls.lock().unwrap().clear();
        let service = service.clone();
        let answering = tokio::spawn(async move {
            let mut answering = pin!(service.oneshot(request(ROUTES[route])));
            if ends == Ends::IsAborted {
                let is_done = tokio::time::timeout(Duration::from_secs(1), answering.as_mut()).await;
                return is_done.ok();
            }
            Some(answering.await)
        });
        let answer = answering.await.ok().flatten().map(Result::unwrap);
        let called = !handlers.calls.lock().unwrap().is_empty();
        let refused = answer.as_ref().and_then(|answer| answer.extensions().get().map(Refusal::kind));
        let found = match (called, refused, answer.as_ref().map(|answer| answer.status())) {
            (true, None, _) => Expected::Called,
            (false, None, Some(StatusCode::OK)) => Expected::Duplicate,
            (false, Some(RefusalKind::OtherRoute), Some(StatusCode::CONFLICT)) => Expected::OtherRoute,
            other => return Err(TestCaseError::fail(format!("step {number}: {other:?}"))),
        };
        prop_assert_eq!(&found, &model.step(route, ends), "step {}", number);
        if found == Expected::Called && matches!(ends, Ends::With(200..=299)) {
            successes += 1;
        }
        // The claim of an aborted delivery is released in another task.
        for _ in 0..5 {
            tokio::task::yield_now().await;
        }
    }
    prop_assert!(successes <= 1);
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn a_delivery_belongs_to_the_route_that_handles_it(
        store in 0..stores().len(),
        acknowledges in any::<bool>(),
        steps in proptest::collection::vec((0..ROUTES.len(), ends()), 1..8),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        let mut receiver = Receiver::new(verifier()).deduplicate(stores()[store]().lease(Duration::from_secs(300)));
        // With acknowledgement, no handler is aborted.
        let is_aborted = steps.iter().any(|(_, ends)| *ends == Ends::IsAborted);
        if acknowledges && !is_aborted {
            receiver = receiver.acknowledge_within(Duration::from_secs(4));
        }
        runtime.block_on(play(receiver, &steps))?;
    }
}

/// A failure is remembered until duplicates no longer verify.
#[tokio::test(start_paused = true)]
async fn a_failure_is_remembered_while_duplicates_verify() {
    let receiver = Receiver::new(verifier()).deduplicate(MemoryStore::new(100));
    let statuses = Arc::new(Mutex::new(VecDeque::from([500, 200])));
    let service = WebhookLayer::new(receiver).layer(service_fn(move |_: Request<VerifiedBody>| {
        let status = statuses.lock().unwrap().pop_front().unwrap();
        async move { Ok::<_, Infallible>(Response::builder().status(status).body(Full::<Bytes>::default()).unwrap()) }
    }));
    let post = async |route| service.clone().oneshot(request(route)).await.unwrap().status().as_u16();
    assert_eq!(post(ROUTES[0]).await, 500);
    // This is twice the tolerance plus the body's deadline. The verifier's clock does not advance.
    tokio::time::advance(Duration::from_secs(604)).await;
    assert_eq!(post(ROUTES[1]).await, 409);
    tokio::time::advance(Duration::from_secs(1)).await;
    assert_eq!(post(ROUTES[1]).await, 200);
}

type Answering = Pin<Box<dyn Future<Output = u16> + Send>>;

/// A duplicate for another route may wait as well, but it does not take the place of a duplicate
/// for the handler's own route.
#[tokio::test(start_paused = true)]
async fn a_duplicate_at_another_route_takes_no_place_from_the_right_route() {
    let (fail, failed) = oneshot::channel::<()>();
    let failed = Arc::new(Mutex::new(Some(failed)));
    let receiver = Receiver::new(verifier()).deduplicate(MemoryStore::new(100));
    let service = WebhookLayer::new(receiver).layer(service_fn(move |request: Request<VerifiedBody>| {
        assert_eq!(request.uri().path(), "/a");
        let failed = failed.lock().unwrap().take();
        async move {
            let status = match failed {
                Some(failed) => {
                    failed.await.unwrap();
                    500
                }
                None => 200,
            };
            Ok::<_, Infallible>(Response::builder().status(status).body(Full::<Bytes>::default()).unwrap())
        }
    }));
    let post = |route| -> Answering {
        let answering = service.clone().oneshot(request(route));
        Box::pin(async { answering.await.unwrap().status().as_u16() })
    };
    let (here, elsewhere) = (ROUTES[0], ROUTES[1]);
    let first = tokio::spawn(post(here));
    tokio::task::yield_now().await;
    let waits_elsewhere = tokio::spawn(post(elsewhere));
    tokio::task::yield_now().await;
    assert_eq!(post(elsewhere).await, 409, "one waits there already");
    let waits_here = tokio::spawn(post(here));
    tokio::task::yield_now().await;
    assert_eq!(post(here).await, 409, "one waits here already");
    fail.send(()).unwrap();
    assert_eq!(first.await.unwrap(), 500);
    assert_eq!(waits_here.await.unwrap(), 200);
    assert!(matches!(waits_elsewhere.await.unwrap(), 200 | 409), "not handled");
}
