//! A recorder or a subscriber of the user that panics loses no delivery.

use std::{
    cell::Cell,
    convert::Infallible,
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderName, Request, Response, StatusCode};
use http_body_util::Full;
use metrics::{Counter, Gauge, Histogram, Key, KeyName, Metadata, Recorder, SharedString, Unit};
use tower::{Layer as _, ServiceExt as _, service_fn};
use tracing::span::{Attributes, Id, Record};
use twenty_webhook::{
    Receiver, WebhookEvent,
    event::record::Person,
    receiver::{Deduplicate, StoreFailure},
    tower::{VerifiedBody, WebhookLayer},
};

use crate::support::{
    scripted_store::{Fault, Op, ScriptedStore},
    signed, verifier,
};

thread_local! {
    static PANICS: Cell<usize> = const { Cell::new(0) };
}

/// Panics, and counts it.
fn observe(what: &str) -> ! {
    PANICS.set(PANICS.get() + 1);
    panic!("{what}")
}

struct Panics;

impl Recorder for Panics {
    fn describe_counter(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_gauge(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_histogram(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn register_counter(&self, _: &Key, _: &Metadata<'_>) -> Counter {
        observe("a counter")
    }
    fn register_gauge(&self, _: &Key, _: &Metadata<'_>) -> Gauge {
        observe("a gauge")
    }
    fn register_histogram(&self, _: &Key, _: &Metadata<'_>) -> Histogram {
        observe("a histogram")
    }
}

/// Panics at each event, as `tracing_subscriber::fmt` does when its output and the standard error
/// are closed pipes.
#[derive(Default)]
struct ClosedPipe(AtomicU64);

impl tracing::Subscriber for ClosedPipe {
    fn enabled(&self, metadata: &tracing::Metadata<'_>) -> bool {
        metadata.target().starts_with("twenty_webhook")
    }
    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(self.0.fetch_add(1, Ordering::Relaxed) + 1)
    }
    fn record(&self, _: &Id, _: &Record<'_>) {}
    fn record_follows_from(&self, _: &Id, _: &Id) {}
    fn event(&self, _: &tracing::Event<'_>) {
        observe("failed printing to stderr: Broken pipe")
    }
    fn enter(&self, _: &Id) {}
    fn exit(&self, _: &Id) {}
}

/// A body whose `name` has an unexpected type, about which reading it warns.
const BODY: &str = r#"{"eventName":"person.created","record":{"id":"a","name":7}}"#;

fn request(is_signed: bool) -> Request<Full<Bytes>> {
    let mut request = Request::post("/webhooks/twenty").body(Full::from(BODY)).unwrap();
    for (name, value) in signed(BODY).into_iter().filter(|_| is_signed) {
        request.headers_mut().insert(HeaderName::try_from(name).unwrap(), value.try_into().unwrap());
    }
    request
}

/// Sends a delivery to a receiver whose handler returns, or panics. Returns the status, or `None`
/// after a panic, and how many handlers ran.
async fn send(receiver: Receiver, is_signed: bool, panics: bool) -> (Option<StatusCode>, usize) {
    let runs = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&runs);
    let handler = move |request: Request<VerifiedBody>| {
        let verified = request.extensions().get::<twenty_webhook::Verified>().unwrap().clone();
        let event = WebhookEvent::<Person>::from_verified(verified).unwrap();
        assert_eq!(event.unexpected().len(), 1);
        counted.fetch_add(1, Ordering::Relaxed);
        async move {
            assert!(!panics, "the handler panics");
            Ok::<_, Infallible>(Response::new(Full::<Bytes>::default()))
        }
    };
    let service = WebhookLayer::new(receiver).layer(service_fn(handler));
    let answered = tokio::task::LocalSet::new();
    let answered = answered.run_until(async {
        tokio::task::spawn_local(async move { service.oneshot(request(is_signed)).await.unwrap().status() }).await
    });
    (answered.await.ok(), runs.load(Ordering::Relaxed))
}

async fn no_delivery_is_lost<G>(install: impl Fn() -> G) {
    // The observer is not installed while a receiver is built, because a panic would then be
    // visible when the program starts.
    let send = async |receiver, is_signed, panics| {
        let _guard = install();
        send(receiver, is_signed, panics).await
    };
    let plain = || Receiver::new(verifier());
    let background = || plain().acknowledge_within(Duration::from_secs(5));
    let key_by = |_: &WebhookEvent| panic!("key_by");
    let failing = |op| {
        let store = ScriptedStore::new();
        store.fail(op, Fault::Refuse);
        Deduplicate::new(store).on_store_failure(StoreFailure::Handle)
    };
    let receivers: [(&str, &dyn Fn() -> Receiver); 6] = [
        ("plain", &plain),
        ("background", &background),
        ("key_by", &|| plain().deduplicate(Deduplicate::new(ScriptedStore::new()).key_by(key_by))),
        ("claim", &|| plain().deduplicate(failing(Op::Claim))),
        ("complete", &|| plain().deduplicate(failing(Op::Complete))),
        ("release", &|| background().deduplicate(failing(Op::Release))),
    ];
    for (name, receiver) in receivers {
        let before = PANICS.get();
        assert_eq!(send(receiver(), true, false).await, (Some(StatusCode::OK), 1), "{name}");
        assert_eq!(send(receiver(), false, false).await, (Some(StatusCode::UNAUTHORIZED), 0), "{name}");
        // A second panic while the first one unwinds would end the process.
        assert_eq!(send(receiver(), true, true).await, (None, 1), "{name}");
        assert!(PANICS.get() >= before + 3, "{name}: each request is observed");
    }
    let receiver = background();
    assert_eq!(send(receiver.clone(), true, false).await, (Some(StatusCode::OK), 1));
    assert_eq!(receiver.drain(Duration::from_secs(5)).await.abandoned, 0);
    assert_eq!(send(receiver, true, false).await, (Some(StatusCode::SERVICE_UNAVAILABLE), 0));
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap()
}

#[test]
fn a_panicking_recorder_loses_no_delivery() {
    runtime().block_on(no_delivery_is_lost(|| metrics::set_default_local_recorder(&Panics)));
}

#[test]
fn a_panicking_subscriber_loses_no_delivery() {
    runtime().block_on(no_delivery_is_lost(|| tracing::subscriber::set_default(ClosedPipe::default())));
}
