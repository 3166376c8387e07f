//! Runs every kind of request in axum and in actix-web, and checks the logs and metrics.
#![cfg(all(feature = "actix-web", feature = "axum", feature = "inbox", feature = "metrics", feature = "tracing"))]

mod support;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, LazyLock, Mutex},
    time::Duration,
};

use axum::{Router, routing::post as post_to};
use metrics::Unit;
use serde_json::Value;
use support::scripted_store::{Fault, Op, ScriptedStore};
use support::stack::{Leave, Leaving, Server, Stack, event, post};
use support::telemetry::{Recorded, Series, Written};
use support::{
    NONCE, NOW, SIGNATURE, TIMESTAMP, clock,
    http1::{Connection, Request, soon, unsigned},
};
use tokio::{net::TcpListener, sync::Notify, time::sleep};
use tracing_subscriber::{
    Layer as _,
    filter::{LevelFilter, Targets},
    fmt::{self, format::FmtSpan},
    layer::SubscriberExt as _,
};
use twenty_webhook::{
    Receiver,
    deduplicate::{ClaimOutcome, ClaimStore},
    inbox::Inbox,
    receiver::{Deduplicate, OutcomeKind, RefusalKind, StoreFailure},
    tower::WebhookLayer,
    verify::{Keys, Secret, Signer, Verifier, VerifierBuilder},
};

/// Texts that must never be logged. Each occurs in what is sent, or is configured.
const SECRET: &str = "marker-secret";
const OTHER_SECRET: &str = "marker-other-secret";
const TITLE: &str = "marker-title Ada Lovelace ada@example.com";
const FIELD: &str = "marker-field";
const TOKEN: &str = "marker-token";
const HEADER: &str = "marker-header";

/// A text with which an event's name, or a resolver's error, may try to forge a line.
const FORGERY: &str = "\nERROR forged: all is lost\u{1b}[2J\r";

/// Everything that was reported.
struct Reported {
    /// The lines of the JSON log by the name of the act.
    logs: BTreeMap<&'static str, Vec<Value>>,
    plain: String,
    metrics: BTreeMap<Series, f64>,
    descriptions: BTreeMap<String, (Option<Unit>, String)>,
    signatures: BTreeSet<String>,
}

static REPORTED: LazyLock<Reported> = LazyLock::new(|| {
    let (recorded, json, plain) = (Recorded::default(), Written::default(), Written::default());
    metrics::set_global_recorder(recorded.clone()).map_err(|_| "a recorder").unwrap();
    let ours = || {
        Targets::new().with_target("twenty_webhook", LevelFilter::TRACE).with_target("telemetry", LevelFilter::TRACE)
    };
    let subscriber = tracing_subscriber::registry()
        .with(fmt::layer().json().with_span_events(FmtSpan::FULL).with_writer(json.clone()).with_filter(ours()))
        .with(
            fmt::layer()
                .with_ansi(false)
                .with_span_events(FmtSpan::FULL)
                .with_writer(plain.clone())
                .with_filter(ours()),
        );
    tracing::subscriber::set_global_default(subscriber).unwrap();

    let mut run = Run { json, logs: BTreeMap::new() };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        for stack in [Stack::Axum, Stack::ActixApp] {
            run.everything(stack).await;
        }
        run.in_the_background().await;
    });
    let signatures = std::mem::take(&mut *SIGNATURES.lock().unwrap());
    Reported {
        logs: run.logs,
        plain: plain.text(),
        descriptions: recorded.descriptions(),
        metrics: recorded.series(),
        signatures,
    }
});

static SIGNATURES: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());

fn builder() -> VerifierBuilder {
    Verifier::builder().clock(clock()).body_limit(4 << 10)
}

fn receiver() -> Receiver {
    let keys = Keys::new("the keys", [OTHER_SECRET, SECRET].map(|text| Secret::new(text).unwrap())).unwrap();
    Receiver::new(builder().keys(keys).build().unwrap())
}

/// Returns a delivery that contains all markers.
fn delivery(body: impl AsRef<[u8]>) -> Request {
    let headers = Signer::new(SECRET).unwrap().sign_at(NOW, &body).pairs();
    let request = unsigned(body)
        .line(&format!("POST /webhooks/twenty?token={TOKEN} HTTP/1.1"))
        .with("authorization", HEADER)
        .with("user-agent", HEADER);
    headers.into_iter().fold(request, |request, (name, value)| {
        if name == SIGNATURE {
            SIGNATURES.lock().unwrap().insert(value.clone());
        }
        request.with(&name, value)
    })
}

fn titled(note: &str) -> String {
    event(&format!("{TITLE} {note}"))
}

struct Run {
    json: Written,
    logs: BTreeMap<&'static str, Vec<Value>>,
}

impl Run {
    /// Adds what was logged since the last act.
    fn end_of(&mut self, act: &'static str) {
        let lines = self.json.take_json();
        self.logs.entry(act).or_default().extend(lines);
    }

    async fn everything(&mut self, stack: Stack) {
        let mut server = stack.serve(receiver()).await;
        self.good_and_bad(&mut server).await;
        server.stop().await;
        self.strangers(stack).await;
        self.duplicates(stack).await;
        self.store_failures(stack).await;
        self.tenants(stack).await;
        self.authentic_refusals(stack).await;
        self.extractors(stack).await;
        self.acknowledged(stack).await;
        self.unmatched(stack).await;
        self.stored().await;
    }

    async fn good_and_bad(&mut self, server: &mut Server) {
        assert_eq!(server.post_handled(delivery(titled("good")), 200).await, 200);
        let odd = format!(
            r#"{{"eventName":"person.created","eventDate":"{TITLE}","record":{{"{FIELD}":{{"a":"{TITLE}"}},"name":"{TITLE}"}}}}"#
        );
        assert_eq!(server.post_handled(delivery(odd), 200).await, 200);
        assert_eq!(server.post_handled(delivery(TITLE), 200).await, 200);
        let forging = serde_json::json!({ "eventName": format!("note.created{FORGERY}"), "record": {} });
        assert_eq!(server.post_handled(delivery(forging.to_string()), 200).await, 200);
        self.end_of("good");
        assert_eq!(server.post_handled(delivery(titled("bad")), 500).await, 500);
        let client = Leaving::send(server.address, delivery(titled("leaves")).bytes()).await;
        let call = server.calls.next().await;
        client.leave(Leave::Reset);
        call.aborted().await;
        let panics = post(server.address, delivery(titled("panics")));
        server.calls.next().await.panic();
        soon(panics).await.unwrap();
        self.end_of("failed");
    }

    async fn strangers(&mut self, stack: Stack) {
        let server = stack.serve(receiver().body_deadline(Duration::from_millis(200))).await;
        let signed = || delivery(titled("strange"));
        let forged = "f".repeat(64);
        let refused = [
            (unsigned(titled("unsigned")), 401),
            (signed().without(SIGNATURE), 400),
            (signed().without(TIMESTAMP), 400),
            (signed().with(SIGNATURE, HEADER), 400),
            (signed().with(TIMESTAMP, HEADER), 400),
            (signed().signature(HEADER), 400),
            (signed().timestamp(HEADER), 400),
            (signed().timestamp("1790932471"), 400),
            (signed().timestamp("1000000000000"), 401),
            (signed().timestamp("9999999999999"), 401),
            (signed().with("content-encoding", HEADER), 415),
        ];
        for (request, status) in refused {
            assert_eq!(server.post(request).await.status, status);
        }
        let mut truncated = Connection::open(server.address).await;
        truncated.send(&signed().bytes()[..signed().bytes().len() - 1]).await;
        truncated.finish().await;
        let _ = truncated.answer().await;
        let mut stalls = Connection::open(server.address).await;
        stalls.send(signed().head_bytes()).await;
        assert_eq!(stalls.answer().await.unwrap().status, 408);
        self.end_of("strangers");
        let mismatches = [
            signed().signature(&forged),
            signed().body(titled("another")),
            signed().changed(NONCE, HEADER).signature(&forged),
        ];
        for request in mismatches {
            // The server must not wait for the rest of a body that is shorter than declared.
            let len = request.bytes().len() - request.head_bytes().len();
            assert_eq!(server.post(request.changed("content-length", len.to_string())).await.status, 401);
        }
        self.end_of("wrong secret");
        for _ in 0..5 {
            assert_eq!(server.post(delivery(titled(&"x".repeat(5000)))).await.status, 413);
        }
        server.stop().await;
        self.end_of("too long");
        let server = stack.serve(receiver().unverified_budget(10)).await;
        for _ in 0..5 {
            assert_eq!(server.post(signed()).await.status, 503);
        }
        server.stop().await;
        self.end_of("overloaded");
    }

    async fn duplicates(&mut self, stack: Stack) {
        let mut server = stack.serve(receiver().deduplicate(ScriptedStore::new())).await;
        let duplicate = || delivery(titled("duplicate"));
        let first = post(server.address, duplicate());
        let call = server.calls.next().await;
        let duplicates = [post(server.address, duplicate()), post(server.address, duplicate())];
        soon(async {
            while !duplicates.iter().any(tokio::task::JoinHandle::is_finished) {
                sleep(Duration::from_millis(1)).await;
            }
        })
        .await;
        call.answer(200);
        assert_eq!(soon(first).await.unwrap().unwrap().status, 200);
        for duplicate in duplicates {
            assert!(matches!(soon(duplicate).await.unwrap().unwrap().status, 200 | 409));
        }
        server.stop().await;
        self.end_of("duplicates");
    }

    async fn store_failures(&mut self, stack: Stack) {
        let store = ScriptedStore::new();
        let deduplicate = Deduplicate::new(store.clone()).lease(Duration::from_millis(30));
        let mut server = stack.serve(receiver().deduplicate(deduplicate)).await;
        store.fail_all();
        let failing = post(server.address, delivery(titled("store fails")));
        let call = server.calls.next().await;
        soon(async {
            while store.asked(Op::Renew) == 0 {
                sleep(Duration::from_millis(1)).await;
            }
        })
        .await;
        call.answer(500);
        soon(failing).await.unwrap();
        assert_eq!(server.post_handled(delivery(titled("store fails")), 200).await, 200);
        server.stop().await;

        let rejecting = Deduplicate::new(store.clone()).on_store_failure(StoreFailure::Reject);
        let server = stack.serve(receiver().deduplicate(rejecting)).await;
        store.fail(Op::Claim, Fault::LoseAnswer);
        assert_eq!(server.post(delivery(titled("rejected"))).await.status, 503);
        server.stop().await;
        self.end_of("store failures");

        let store = ScriptedStore::new();
        let mut server = stack.serve(receiver().deduplicate(store.clone())).await;
        let twice = post(server.address, delivery(titled("twice")));
        let call = server.calls.next().await;
        store.forget(store.last_key()).await.unwrap();
        let other = store.claim_elsewhere(store.last_key(), Duration::from_secs(60)).await;
        assert!(matches!(other, ClaimOutcome::Fresh(_)));
        call.answer(200);
        assert_eq!(soon(twice).await.unwrap().unwrap().status, 200);
        server.stop().await;
        self.end_of("twice");

        let store = ScriptedStore::new();
        let mut server = stack.serve(receiver().deduplicate(store.clone())).await;
        assert_eq!(server.post_handled(delivery(titled("handled before")), 200).await, 200);
        store.fail(Op::Claim, Fault::Refuse);
        assert_eq!(server.post(delivery(titled("handled before"))).await.status, 200);
        server.stop().await;
        self.end_of("handled before");
    }

    async fn tenants(&mut self, stack: Stack) {
        let resolve = |request: twenty_webhook::receiver::TenantRequest| async move {
            if request.header("x-fails").is_some() {
                Err(format!("the database said {FORGERY}").into())
            } else {
                Ok(None)
            }
        };
        let server = stack.serve(Receiver::for_tenants(builder(), resolve).unwrap()).await;
        assert_eq!(server.post(delivery(titled("nobody's"))).await.status, 401);
        self.end_of("strangers");
        for _ in 0..5 {
            assert_eq!(server.post(delivery(titled("nobody's")).with("x-fails", "")).await.status, 503);
        }
        server.stop().await;
        self.end_of("resolver");
    }

    async fn authentic_refusals(&mut self, stack: Stack) {
        let id = "3b8e6458-5fc1-4e63-8563-008ccddaa6db";
        for receiver in [receiver().expect_workspace(id).unwrap(), receiver().expect_webhook(id).unwrap()] {
            let server = stack.serve(receiver).await;
            assert_eq!(server.post(delivery(titled("another's"))).await.status, 401);
            server.stop().await;
        }
        let server = stack.serve(receiver().acknowledge_within(Duration::ZERO).background_limit(0)).await;
        assert_eq!(server.post(delivery(titled("full"))).await.status, 503);
        server.stop().await;
        // The rejection comes long before the deadline. After an acknowledgement, the delivery
        // would be handled.
        let store = ScriptedStore::new();
        store.fail(Op::Claim, Fault::Refuse);
        let (sender, mut outcomes) = tokio::sync::mpsc::unbounded_channel();
        let refusing = receiver()
            .deduplicate(Deduplicate::new(store).on_store_failure(StoreFailure::Reject))
            .acknowledge_within(Duration::from_secs(60 * 60))
            .on_outcome(move |outcome| sender.send(outcome.kind).unwrap());
        let server = stack.serve(refusing).await;
        assert_eq!(server.post(delivery(titled("late"))).await.status, 503);
        assert_eq!(soon(outcomes.recv()).await, Some(OutcomeKind::Refused(RefusalKind::StoreFailed)));
        server.stop().await;
        self.end_of("authentic refusals");
    }

    /// Extractors for a person, with and without the middleware.
    async fn extractors(&mut self, stack: Stack) {
        let typed = stack.serve_persons(receiver()).await;
        let wrong = [
            (titled("no person"), 422),
            (TITLE.to_owned(), 400),
            (format!(r#"{{"eventName":"person.created","record":"{TITLE}"}}"#), 422),
            (format!(r#"{{"eventName":"person.created","record":{{"emails":"{TITLE}","{FIELD}":1}}}}"#), 200),
        ];
        for (body, status) in wrong {
            assert_eq!(soon(post(typed.address, delivery(body))).await.unwrap().unwrap().status, status);
        }
        let bare = delivery(titled("bare")).line("POST /bare HTTP/1.1");
        assert_eq!(soon(post(typed.address, bare)).await.unwrap().unwrap().status, 500);
        typed.stop().await;
        self.end_of("extractors");
    }

    async fn unmatched(&mut self, stack: Stack) {
        let server = stack.serve_routed(receiver()).await;
        for number in 0..3 {
            assert_eq!(server.post(delivery(titled(&number.to_string()))).await.status, 200);
        }
        server.stop().await;
        self.end_of("unmatched");
    }

    async fn stored(&mut self) {
        let route = post_to(Inbox::builder().in_memory()).layer(WebhookLayer::new(receiver()));
        let app = Router::new().route("/webhooks/twenty", route);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let server = tokio::spawn(async move { axum::serve(listener, app).await });
        let answer = soon(post(address, delivery(titled("stored")))).await.unwrap().unwrap();
        assert_eq!(answer.status, 200);
        server.abort();
        self.end_of("stored");
    }

    async fn acknowledged(&mut self, stack: Stack) {
        let receiver = receiver().acknowledge_within(Duration::from_millis(20));
        let mut server = stack.serve(receiver.clone()).await;
        for status in [200, 500] {
            assert_eq!(server.post(delivery(titled("late"))).await.status, 202);
            server.calls.next().await.answer(status);
        }
        assert_eq!(soon(receiver.drain(Duration::from_secs(20))).await.abandoned, 0);
        server.stop().await;
        self.end_of("acknowledged");
    }

    /// A handler in the background keeps the span in which it was called.
    async fn in_the_background(&mut self) {
        use http::{Request, Response};
        use http_body_util::Full;
        use tower::{Layer, ServiceExt, service_fn};
        use tracing::Instrument;
        use twenty_webhook::tower::{VerifiedBody, WebhookLayer};

        let receiver = receiver().acknowledge_within(Duration::ZERO);
        let answered = Arc::new(Notify::new());
        let gate = Arc::clone(&answered);
        let service = WebhookLayer::new(receiver.clone()).layer(service_fn(move |_: Request<VerifiedBody>| {
            let gate = Arc::clone(&gate);
            async move {
                gate.notified().await;
                tracing::info!(target: "telemetry", "in the handler");
                Ok::<_, std::convert::Infallible>(Response::new(Full::<bytes::Bytes>::default()))
            }
        }));
        let body = titled("spans");
        let mut request = Request::post("/").body(Full::<bytes::Bytes>::from(body.clone())).unwrap();
        for (name, value) in Signer::new(SECRET).unwrap().sign_at(NOW, body).pairs() {
            request.headers_mut().insert(http::HeaderName::try_from(name).unwrap(), value.try_into().unwrap());
        }
        let outer = tracing::info_span!(target: "telemetry", "outer");
        assert_eq!(service.oneshot(request).instrument(outer).await.unwrap().status(), 202);
        answered.notify_one();
        assert_eq!(soon(receiver.drain(Duration::from_secs(20))).await.abandoned, 0);
        self.end_of("in the background");
    }
}

impl Reported {
    /// Returns the events of an act without those of spans.
    fn events(&self, act: &str) -> impl Iterator<Item = (&str, &str)> {
        const OF_SPANS: [&str; 4] = ["new", "enter", "exit", "close"];
        let lines = self.logs[act]
            .iter()
            .map(|line| (line["level"].as_str().unwrap(), line["fields"]["message"].as_str().unwrap_or_default()));
        lines.filter(|(_, message)| !OF_SPANS.contains(message))
    }

    fn levels(&self, act: &str) -> BTreeMap<&str, usize> {
        let mut levels = BTreeMap::new();
        for (level, _) in self.events(act) {
            *levels.entry(level).or_default() += 1;
        }
        levels
    }
}

#[test]
fn no_secret_signature_body_or_query_is_logged() {
    let json = serde_json::to_string(&REPORTED.logs.values().collect::<Vec<_>>()).unwrap();
    assert!(json.len() > 10_000 && REPORTED.plain.len() > 10_000 && REPORTED.signatures.len() > 10);
    let metrics = format!("{:?}", REPORTED.metrics);
    for (what, text) in [("JSON", &json), ("plain", &REPORTED.plain), ("metrics", &metrics)] {
        for marker in
            ["marker", "Lovelace", "example.com"].into_iter().chain(REPORTED.signatures.iter().map(|s| &s[..16]))
        {
            let found = text.find(marker).map(|at| &text[at.saturating_sub(300)..(at + 100).min(text.len())]);
            assert_eq!(found, None, "{marker} in {what}");
        }
    }
}

#[test]
fn names_and_errors_cannot_forge_a_line() {
    assert!(REPORTED.plain.contains("all is lost"), "it was logged");
    for line in REPORTED.plain.lines() {
        let is_one = line.starts_with("20") && line.contains("twenty_webhook") | line.contains("telemetry");
        assert!(is_one, "{line:?}");
        assert!(!line.contains(char::is_control), "{line:?}");
    }
}

#[test]
fn unauthenticated_clients_cannot_flood_the_log() {
    assert_eq!(REPORTED.levels("strangers").into_keys().collect::<Vec<_>>(), ["DEBUG"]);
    // There is one warning for each receiver and period.
    for act in ["wrong secret", "too long", "overloaded", "resolver"] {
        assert_eq!(REPORTED.levels(act).get("WARN"), Some(&2), "{act}: {:?}", REPORTED.events(act).collect::<Vec<_>>());
        assert_eq!(REPORTED.levels(act).get("ERROR"), None);
    }
    let warned = REPORTED.logs["wrong secret"].iter().filter(|line| line["level"] == "WARN");
    for fields in warned.map(|line| &line["fields"]) {
        assert!(fields["hint"].as_str().unwrap().contains("`twenty-webhook verify`"), "{fields}");
        assert_eq!((&fields["status"], &fields["suppressed"]), (&Value::from(401), &Value::from(0)), "{fields}");
    }
    // Each error is logged completely nevertheless.
    let errors = REPORTED.events("resolver").filter(|(_, message)| *message == "failed to resolve the tenant's keys");
    assert_eq!(errors.count(), 2 * 5);
    let said = REPORTED.logs["resolver"].iter().filter_map(|line| line["fields"]["error"].as_str());
    assert_eq!(said.filter(|error| error.starts_with("the database said")).count(), 2 * 5);
    assert_eq!(REPORTED.levels("duplicates").into_keys().collect::<Vec<_>>(), ["DEBUG"]);
    assert_eq!(REPORTED.levels("good").into_keys().collect::<Vec<_>>(), ["DEBUG"]);
}

#[test]
fn lost_deliveries_are_logged_as_errors() {
    // There are two stacks, each with a failed handler, a client that disconnected, and a panic.
    assert_eq!(REPORTED.levels("failed")["WARN"], 2 * 3);
    assert_eq!(REPORTED.levels("twice")["WARN"], 2);
    let twice = ("counter", "twenty_webhook_handled_twice_total".to_owned(), Vec::new());
    assert_eq!(REPORTED.metrics[&twice], 2.0);
    assert_eq!(REPORTED.levels("handled before").get("WARN"), None, "the duplicate was not handled");
    assert_eq!(REPORTED.levels("handled before")["ERROR"], 2, "the failure itself");
    assert_eq!(REPORTED.levels("authentic refusals")["WARN"], 2 * 4);
    assert_eq!(REPORTED.levels("unmatched")["WARN"], 2, "the first of each name");
    assert!(REPORTED.levels("store failures")["ERROR"] >= 2 * 6);
    // Three deliveries were rejected and therefore failed, one has an odd member, and one arrived
    // without the middleware.
    assert_eq!(REPORTED.levels("extractors")["WARN"], 2 * (3 + 3 + 1));
    assert_eq!(REPORTED.levels("extractors")["ERROR"], 2);
    let messages: BTreeSet<_> = REPORTED.events("store failures").map(|(_, message)| message).collect();
    assert!(messages.contains("the claim store rejected the command"), "{messages:?}");
}

#[test]
fn background_handlers_keep_their_span() {
    let lines = &REPORTED.logs["in the background"];
    let said = lines.iter().find(|line| line["fields"]["message"] == "in the handler").expect("logged");
    let names: Vec<_> = said["spans"].as_array().unwrap().iter().map(|span| span["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["outer", "delivery"]);
    let acknowledged = &REPORTED.logs["acknowledged"];
    let ends = acknowledged.iter().filter(|line| line["fields"]["acknowledged"] == true);
    assert_eq!(ends.filter(|line| line["span"]["outcome"] == "failed").count(), 2);
}

/// Returns the rows of a table in the docs of `receiver`, which is found by its head.
fn table(head: &str) -> Vec<Vec<String>> {
    let docs = include_str!("../src/receiver/mod.rs");
    let rows = docs.lines().skip_while(|line| !line.contains(head)).skip(2);
    let rows = rows.map_while(|line| line.strip_prefix("//! | "));
    rows.map(|row| row.split('|').map(|cell| cell.trim().to_owned()).collect()).collect()
}

/// Returns the code spans in a text.
fn codes(cell: &str) -> BTreeSet<&str> {
    cell.split('`').skip(1).step_by(2).collect()
}

#[test]
fn metrics_equal_the_documented_table() {
    let mut documented = BTreeSet::new();
    for row in table("| name | kind | labels | what |") {
        let [name, kind, labels, what, ..] = &row[..] else { panic!("{row:?}") };
        let (name, labels) = (codes(name).into_iter().collect::<String>(), codes(labels));
        documented.insert((name.clone(), kind.clone(), labels.iter().map(ToString::to_string).collect::<Vec<_>>()));
        // The values of a label are documented, too, unless they are those of `RefusalKind`.
        let values: BTreeSet<_> = codes(what).into_iter().filter(|code| !code.contains("Receiver")).collect();
        let series = || REPORTED.metrics.iter().filter(|((_, found, _), _)| *found == name);
        let registered: BTreeSet<_> =
            series().flat_map(|((.., labels), _)| labels).map(|(_, value)| &**value).collect();
        // This is what was counted, not only registered at zero.
        let found = series().filter(|(_, count)| **count > 0.0);
        let found: BTreeSet<_> = found.flat_map(|((.., labels), _)| labels).map(|(_, value)| &**value).collect();
        if labels.contains("kind") {
            assert!(
                values.iter().filter(|value| !value.contains("Kind")).all(|value| found.contains(value)),
                "{found:?}"
            );
            assert_eq!(found.len(), 23, "one for each `RefusalKind` that these requests cause: {found:?}");
            assert_eq!(registered.len(), 26, "one for each `RefusalKind`: {registered:?}");
        } else if !labels.is_empty() {
            assert_eq!(found, values.into_iter().filter(|value| !value.contains("Kind")).collect(), "{name}");
        }
    }
    let is_receivers = |name: &str| !name.starts_with("twenty_webhook_inbox_");
    let emitted: BTreeSet<_> = REPORTED
        .metrics
        .keys()
        .filter(|(_, name, _)| is_receivers(name))
        .map(|(kind, name, labels)| {
            (name.clone(), (*kind).to_owned(), labels.iter().map(|(label, _)| label.clone()).collect::<Vec<_>>())
        })
        .collect();
    assert_eq!(emitted, documented);
    let names: BTreeSet<_> = documented.iter().map(|(name, ..)| name).collect();
    let descriptions: BTreeMap<_, _> = REPORTED.descriptions.iter().filter(|(name, _)| is_receivers(name)).collect();
    assert_eq!(descriptions.keys().copied().collect::<BTreeSet<_>>(), names);
    for (name, (unit, help)) in descriptions {
        let expected = match name.rsplit_once('_').unwrap().1 {
            "seconds" => Some(Unit::Seconds),
            "bytes" => Some(Unit::Bytes),
            _ => None,
        };
        assert_eq!(*unit, expected, "{name}");
        assert!(!help.is_empty() && help.chars().all(|c| c != '.'), "{name}: {help}");
    }
    let background = ("gauge", "twenty_webhook_background_handlers".to_owned(), Vec::new());
    assert_eq!(REPORTED.metrics[&background], 0.0, "all have ended");
}

#[test]
fn fields_of_the_span_equal_the_documented_table() {
    let documented: BTreeSet<_> =
        table("| field | what |").iter().map(|row| codes(&row[0]).into_iter().collect::<String>()).collect();
    let closed = REPORTED.logs.values().flatten().filter(|line| line["fields"]["message"] == "close");
    let closed: Vec<_> = closed.filter(|line| line["span"]["name"] == "delivery").collect();
    let fields = closed.iter().flat_map(|line| line["span"].as_object().unwrap().keys());
    let found: BTreeSet<String> = fields.filter(|field| *field != "name").cloned().collect();
    assert_eq!(found, documented);
    let good = closed.iter().find(|line| line["span"]["outcome"] == "handled").unwrap();
    let span = &good["span"];
    assert_eq!(
        (&span["twenty.event.name"], &span["keys.id"]),
        (&Value::from("\"note.created\""), &Value::from("the keys"))
    );
    assert_eq!((&span["secret.index"], &span["age_ms"]), (&Value::from(1), &Value::from(0)));
    assert_eq!(span["body.len"], titled("good").len());
    let outcomes: BTreeSet<_> = closed.iter().map(|line| line["span"]["outcome"].as_str().unwrap()).collect();
    assert_eq!(
        outcomes,
        BTreeSet::from(["aborted", "duplicate", "failed", "handled", "refused", "stored", "unmatched"])
    );
    assert!(closed.iter().all(|line| line["span"]["duration_ms"].is_u64()));
    assert!(closed.iter().any(|line| line["span"]["status"] == 500));
    for line in closed {
        let span = &line["span"];
        let error = match span["outcome"].as_str().unwrap() {
            "failed" => span["status"].to_string(),
            "aborted" => "aborted".to_owned(),
            "refused" => span["error.type"].as_str().unwrap().to_owned(),
            _ => {
                assert_eq!((&span["error.type"], &span["otel.status_code"]), (&Value::Null, &Value::Null));
                continue;
            }
        };
        assert_eq!((&span["error.type"], &span["otel.status_code"]), (&error.into(), &"ERROR".into()));
    }
}
