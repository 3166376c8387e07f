//! Checks over real sockets that each delivery is handled once, and again after a failure, in the
//! same way in axum and actix-web.

use std::{convert::Infallible, time::Duration};

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::Full;
use tokio::{task::JoinHandle, time::sleep};
use tower::{Layer, ServiceExt, service_fn};
use twenty_webhook::{
    Receiver, WebhookEvent,
    deduplicate::{ClaimOutcome, ClaimStore, MemoryStore},
    receiver::{Deduplicate, OutcomeKind, RefusalKind, StoreFailure},
    tower::{VerifiedBody, WebhookLayer},
};

use crate::support::{
    self, NOW, bodies,
    http1::{Answer, Connection, delivery, soon},
    scripted_store::{Fault, Op, ScriptedStore},
    stack::{Leave, Leaving, Outcomes, Server, Stack, delivery_at, event, post, signed_anew},
    verifier,
};

fn receiver(deduplicate: impl Into<Deduplicate>) -> Receiver {
    Receiver::new(verifier()).deduplicate(deduplicate)
}

/// Returns a lease that outlasts a test, so that only a release can free a key.
fn never_expiring(store: impl ClaimStore) -> Deduplicate {
    Deduplicate::new(store).lease(Duration::from_secs(300))
}

/// Runs a scenario on each stack, each with its own receiver.
async fn everywhere(receiver: impl Fn() -> Receiver, scenario: impl AsyncFn(&mut Server, &mut Outcomes)) {
    Stack::each(async |stack| {
        let (receiver, mut outcomes) = Outcomes::of(receiver());
        let mut server = stack.serve(receiver).await;
        scenario(&mut server, &mut outcomes).await;
        server.calls.assert_none();
        outcomes.assert_none();
        server.stop().await;
    })
    .await;
}

/// An event that matches no pattern of a router is not counted as handled. A duplicate of it is
/// counted as a duplicate.
#[tokio::test]
async fn an_unmatched_event_has_its_own_outcome() {
    Stack::each(async |stack| {
        let acknowledged = async |receiver: Receiver| {
            let (receiver, mut outcomes) = Outcomes::of(receiver);
            let server = stack.serve_routed(receiver).await;
            let person = r#"{"eventName":"person.created","record":{}}"#;
            for (body, kind) in [
                (event("unmatched").as_str(), OutcomeKind::Unmatched),
                (person, OutcomeKind::Handled),
                (r#"{"record":{}}"#, OutcomeKind::Unmatched),
                ("not JSON", OutcomeKind::Unmatched),
            ] {
                assert_eq!(server.post(delivery(body)).await.status, 200);
                expect(&mut outcomes, [kind]).await;
            }
            assert_eq!(server.post(delivery(event("unmatched"))).await.status, 200);
            let duplicate = outcomes.next().await.kind;
            server.stop().await;
            duplicate
        };
        assert_eq!(acknowledged(Receiver::new(verifier())).await, OutcomeKind::Unmatched);
        let deduplicating = Receiver::new(verifier()).deduplicate(MemoryStore::new(100));
        assert_eq!(acknowledged(deduplicating).await, OutcomeKind::Duplicate);
        let in_background = Receiver::new(verifier()).acknowledge_within(Duration::from_secs(60));
        assert_eq!(acknowledged(in_background).await, OutcomeKind::Unmatched);
    })
    .await;
}

/// Checks the outcomes of deliveries that were answered one after the other.
async fn expect(outcomes: &mut Outcomes, kinds: impl IntoIterator<Item = OutcomeKind>) {
    for kind in kinds {
        let outcome = outcomes.next().await;
        assert_eq!((outcome.kind, outcome.acknowledged), (kind, false));
    }
}

/// Sends one delivery through the layer alone. Returns the status of the response.
async fn deliver<F: Future<Output = StatusCode> + Send>(
    receiver: Receiver,
    handler: impl Fn() -> F + Clone + Send + 'static,
) -> StatusCode {
    let service = service_fn(move |_: Request<VerifiedBody>| {
        let handled = handler();
        async { Ok::<_, Infallible>(Response::builder().status(handled.await).body(Full::<Bytes>::default()).unwrap()) }
    });
    let body = event("alone");
    let request = bodies::delivery(&body, Full::<Bytes>::from(body.clone()));
    WebhookLayer::new(receiver).layer(service).oneshot(request).await.unwrap().status()
}

const FAILED: OutcomeKind = OutcomeKind::Failed { status: 500 };

#[tokio::test]
async fn a_handled_delivery_is_not_handled_again() {
    everywhere(
        || receiver(MemoryStore::new(1000)),
        async |server, outcomes| {
            let body = event("once");
            assert_eq!(server.post_handled(delivery(&body), 201).await, 201);
            // A replay has the same bytes. A duplicate from Twenty has a new signature.
            for duplicate in [delivery(&body), signed_anew(&body), signed_anew(&body).chunked(7)] {
                let answer = server.post(duplicate).await;
                assert_eq!((answer.status, answer.body.len()), (200, 0));
            }
            assert_eq!(server.post_handled(delivery(event("another")), 204).await, 204);
            let [handled, duplicate] = [OutcomeKind::Handled, OutcomeKind::Duplicate];
            expect(outcomes, [handled, duplicate, duplicate, duplicate, handled]).await;
        },
    )
    .await;
}

#[tokio::test]
async fn a_failed_delivery_is_handled_again() {
    everywhere(
        || receiver(never_expiring(MemoryStore::new(1000))),
        async |server, outcomes| {
            let body = event("fails");
            for status in [500, 503, 404, 422, 302, 307] {
                assert_eq!(server.post_handled(delivery(&body), status).await, status);
                expect(outcomes, [OutcomeKind::Failed { status }]).await;
            }
            assert_eq!(server.post_handled(delivery(&body), 200).await, 200);
            assert_eq!(server.post(delivery(&body)).await.status, 200);
            expect(outcomes, [OutcomeKind::Handled, OutcomeKind::Duplicate]).await;
        },
    )
    .await;
}

/// A client that sees the failure may send the delivery again directly.
#[tokio::test]
async fn a_failed_delivery_is_released_before_the_response() {
    let store = ScriptedStore::new();
    store.go_far_away();
    let failing = || async { StatusCode::INTERNAL_SERVER_ERROR };
    assert_eq!(deliver(receiver(never_expiring(store.clone())), failing).await, 500);
    let found = store.claim_elsewhere(store.last_key(), Duration::from_secs(1)).await;
    assert!(matches!(found, ClaimOutcome::Fresh(_)), "{found:?}");
}

#[tokio::test]
async fn a_panicked_delivery_is_handled_again() {
    everywhere(
        || receiver(never_expiring(MemoryStore::new(1000))),
        async |server, outcomes| {
            let body = event("panics");
            let first = post(server.address, delivery(&body));
            server.calls.next().await.panic();
            assert!(soon(first).await.unwrap().is_none(), "the connection is closed, as without the middleware");
            assert_eq!(server.post_handled(delivery(&body), 200).await, 200);
            expect(outcomes, [OutcomeKind::Aborted, OutcomeKind::Handled]).await;
        },
    )
    .await;
}

#[tokio::test]
async fn a_cancelled_delivery_is_handled_again() {
    for (stack, leave) in Stack::ALL.into_iter().flat_map(|stack| [(stack, Leave::Fin), (stack, Leave::Reset)]) {
        let (receiver, mut outcomes) = Outcomes::of(receiver(never_expiring(MemoryStore::new(1000))));
        let mut server = stack.serve(receiver).await;
        let body = event("aborted");
        let client = Leaving::send(server.address, delivery(&body).bytes()).await;
        let call = server.calls.next().await;
        client.leave(leave);
        if stack.is_actix() && matches!(leave, Leave::Fin) {
            // For actix-web, the client has only closed its half of the connection, so the handler
            // continues.
            call.answer(200);
            expect(&mut outcomes, [OutcomeKind::Handled]).await;
            assert_eq!(server.post(signed_anew(&body)).await.status, 200);
            expect(&mut outcomes, [OutcomeKind::Duplicate]).await;
        } else {
            call.aborted().await;
            expect(&mut outcomes, [OutcomeKind::Aborted]).await;
            assert_eq!(server.post_handled(signed_anew(&body), 200).await, 200);
            expect(&mut outcomes, [OutcomeKind::Handled]).await;
        }
        server.stop().await;
    }
}

/// The client disconnects after the store has recorded the claim, and before it has answered.
#[tokio::test]
async fn a_delivery_that_is_cancelled_during_its_claim_is_handled_again() {
    Stack::each(async |stack| {
        let store = ScriptedStore::new();
        store.fail(Op::Claim, Fault::AnswerLate);
        let (receiver, mut outcomes) = Outcomes::of(receiver(never_expiring(store.clone())));
        let mut server = stack.serve(receiver).await;
        let body = event("cancelled");
        let client = Leaving::send(server.address, delivery(&body).bytes()).await;
        soon(async {
            while store.asked(Op::Claim) == 0 {
                sleep(Duration::from_millis(1)).await;
            }
        })
        .await;
        client.leave(Leave::Reset);
        expect(&mut outcomes, [OutcomeKind::Aborted]).await;
        server.calls.assert_none();
        store.mend();
        assert_eq!(server.post_handled(signed_anew(&body), 200).await, 200);
        expect(&mut outcomes, [OutcomeKind::Handled]).await;
        server.stop().await;
    })
    .await;
}

#[tokio::test]
async fn one_duplicate_waits_and_further_ones_do_not() {
    everywhere(
        || receiver(never_expiring(MemoryStore::new(1000))),
        async |server, outcomes| {
            let body = event("waits");
            let first = post(server.address, delivery(&body));
            let call = server.calls.next().await;
            let second = waiting(server, &body, outcomes).await;
            server.calls.assert_none();
            assert!(call.is_running());
            call.answer(200);
            assert_eq!(soon(first).await.unwrap().unwrap().status, 200);
            let answer = soon(second).await.unwrap().unwrap();
            assert_eq!((answer.status, answer.body.len()), (200, 0));
            expect(outcomes, [OutcomeKind::Handled, OutcomeKind::Duplicate]).await;
        },
    )
    .await;
}

/// Returns a duplicate that waits: two other duplicates have been rejected because of it.
async fn waiting(server: &Server, body: &str, outcomes: &mut Outcomes) -> JoinHandle<Option<Answer>> {
    let mut duplicates: Vec<_> = (0..3).map(|_| post(server.address, signed_anew(body))).collect();
    for _ in 0..2 {
        expect(outcomes, [OutcomeKind::Refused(RefusalKind::BeingHandled)]).await;
        let refused = soon(async {
            loop {
                match duplicates.iter().position(JoinHandle::is_finished) {
                    Some(refused) => break refused,
                    None => sleep(Duration::from_millis(1)).await,
                }
            }
        });
        let refused = refused.await;
        let answer = duplicates.remove(refused).await.unwrap().unwrap();
        assert_eq!((answer.status, answer.body.len()), (409, 0));
    }
    duplicates.remove(0)
}

#[tokio::test]
async fn a_duplicate_that_waits_for_a_failing_delivery_is_handled() {
    everywhere(
        || receiver(never_expiring(MemoryStore::new(1000))),
        async |server, outcomes| {
            let body = event("waits");
            for is_panic in [false, true] {
                let first = post(server.address, delivery(&body));
                let call = server.calls.next().await;
                let second = waiting(server, &body, outcomes).await;
                if is_panic {
                    call.panic();
                } else {
                    call.answer(500);
                }
                soon(first).await.unwrap();
                expect(outcomes, [if is_panic { OutcomeKind::Aborted } else { FAILED }]).await;
                server.calls.next().await.answer(if is_panic { 200 } else { 404 });
                let status = soon(second).await.unwrap().unwrap().status;
                assert_eq!(status, if is_panic { 200 } else { 404 });
                expect(outcomes, [if is_panic { OutcomeKind::Handled } else { OutcomeKind::Failed { status: 404 } }])
                    .await;
            }
            assert_eq!(server.post(delivery(&body)).await.status, 200);
            expect(outcomes, [OutcomeKind::Duplicate]).await;
        },
    )
    .await;
}

#[tokio::test]
async fn a_waiting_duplicate_whose_client_leaves_makes_room_for_another() {
    everywhere(
        || receiver(never_expiring(MemoryStore::new(1000))),
        async |server, outcomes| {
            let body = event("waits");
            let first = post(server.address, delivery(&body));
            let call = server.calls.next().await;
            let duplicates = [
                Leaving::send(server.address, signed_anew(&body).bytes()).await,
                Leaving::send(server.address, delivery(&body).bytes()).await,
            ];
            // The rejection shows that the other one waits.
            expect(outcomes, [OutcomeKind::Refused(RefusalKind::BeingHandled)]).await;
            for duplicate in duplicates {
                duplicate.leave(Leave::Reset);
            }
            expect(outcomes, [OutcomeKind::Aborted]).await;
            // Then another one waits.
            let waits = waiting(server, &body, outcomes).await;
            call.answer(200);
            for answer in [first, waits] {
                assert_eq!(soon(answer).await.unwrap().unwrap().status, 200);
            }
            expect(outcomes, [OutcomeKind::Handled, OutcomeKind::Duplicate]).await;
        },
    )
    .await;
}

/// The fallback store handles deliveries for which the store in this process has no capacity. Its
/// entries count even when the store has capacity again.
#[tokio::test]
async fn the_fallback_store_replaces_a_full_store() {
    everywhere(
        || receiver(never_expiring(MemoryStore::new(1))),
        async |server, outcomes| {
            let (fits, does_not) = (event("fits"), event("does not"));
            let first = post(server.address, delivery(&fits));
            let first_call = server.calls.next().await;
            let second = post(server.address, delivery(&does_not));
            let second_call = server.calls.next().await;
            first_call.answer(200);
            assert_eq!(soon(first).await.unwrap().unwrap().status, 200);
            expect(outcomes, [OutcomeKind::Handled]).await;
            let duplicate = waiting(server, &does_not, outcomes).await;
            server.calls.assert_none();
            second_call.answer(200);
            for answer in [second, duplicate] {
                assert_eq!(soon(answer).await.unwrap().unwrap().status, 200);
            }
            expect(outcomes, [OutcomeKind::Handled, OutcomeKind::Duplicate]).await;
        },
    )
    .await;
}

#[tokio::test]
async fn a_long_handler_keeps_its_claim() {
    const LEASE: Duration = Duration::from_millis(1500);
    Stack::each(async |stack| {
        let store = ScriptedStore::new();
        let mut server = stack.serve(receiver(Deduplicate::new(store.clone()).lease(LEASE))).await;
        let first = post(server.address, delivery(event("long")));
        let call = server.calls.next().await;
        sleep(LEASE * 3 / 2).await;
        assert_eq!(store.claim_elsewhere(store.last_key(), LEASE).await, ClaimOutcome::Running);
        assert!(store.asked(Op::Renew) >= 3, "three times a lease");
        call.answer(200);
        assert_eq!(soon(first).await.unwrap().unwrap().status, 200);
        assert_eq!(store.claim_elsewhere(store.last_key(), LEASE).await, ClaimOutcome::Completed);
        server.stop().await;
    })
    .await;
}

/// An operator frees the key of a running handler, or the store loses it, and a receiver elsewhere
/// claims it.
#[tokio::test]
async fn a_lost_claim_does_not_end_another_claim() {
    for (stack, status) in Stack::ALL.into_iter().zip([200, 500].into_iter().cycle()) {
        let store = ScriptedStore::new();
        let (receiver, mut outcomes) = Outcomes::of(receiver(never_expiring(store.clone())));
        let mut server = stack.serve(receiver).await;
        let first = post(server.address, delivery(event("lost")));
        let call = server.calls.next().await;
        let key = store.last_key();
        assert!(store.forget(key).await.unwrap());
        let ClaimOutcome::Fresh(other) = store.claim_elsewhere(key, Duration::from_secs(300)).await else {
            panic!("not free")
        };
        call.answer(status);
        assert_eq!(soon(first).await.unwrap().unwrap().status, status);
        assert_eq!(store.claim_elsewhere(key, Duration::from_secs(1)).await, ClaimOutcome::Running);
        assert!(store.inner().complete(&other, Duration::from_secs(300)).await.unwrap(), "still the other's");
        let kind = if status == 200 { OutcomeKind::Handled } else { FAILED };
        expect(&mut outcomes, [kind]).await;
        // The completion elsewhere counts.
        assert_eq!(server.post(delivery(event("lost"))).await.status, 200);
        expect(&mut outcomes, [OutcomeKind::Duplicate]).await;
        server.stop().await;
    }
}

#[tokio::test]
async fn a_delivery_is_remembered_at_least_while_it_verifies() {
    const MINUTES: Duration = Duration::from_secs(60);
    let body = Receiver::DEFAULT_BODY_DEADLINE;
    // The columns are `remember_for`, the time of the signature, how long a duplicate's head stays
    // fresh, and how long the key is remembered.
    let cases = [
        (Duration::ZERO, NOW, MINUTES * 5, MINUTES * 10 + body),
        (Duration::ZERO, NOW.saturating_add(MINUTES * 5), MINUTES * 10, MINUTES * 10 + body),
        (MINUTES * 60, NOW, MINUTES * 5, MINUTES * 60),
    ];
    for (remember_for, signed_at, fresh_for, ttl) in cases {
        let store = ScriptedStore::new();
        let deduplicate = Deduplicate::new(store.clone()).remember_for(remember_for);
        let mut server = Stack::Axum.serve(receiver(deduplicate)).await;
        server.post_handled(delivery_at(signed_at, event("remembered")), 200).await;
        assert_eq!(store.ttls(), [ttl]);
        assert!(ttl >= fresh_for + body);
        server.stop().await;
    }
    let store = ScriptedStore::new();
    let mut server = Stack::ActixApp.serve(receiver(store.clone())).await;
    server.post_handled(delivery(event("remembered")), 200).await;
    assert_eq!(store.ttls(), [Duration::from_secs(24 * 60 * 60)], "a day by default");
    server.stop().await;
}

fn record_key(event: &WebhookEvent) -> Option<Vec<String>> {
    let id = event.raw_record()?.get("id")?.to_text()?;
    Some(vec![event.name.to_string(), id])
}

#[tokio::test]
async fn custom_keys_identify_duplicates() {
    everywhere(
        || receiver(Deduplicate::new(MemoryStore::new(1000)).key_by(record_key)),
        async |server, outcomes| {
            let at = |date: &str, name: &str| {
                format!(r#"{{"eventName":"{name}","eventDate":"{date}","record":{{"id":"2e6f6a2f-2f7e-4b0d-9a3b-5b6d1d2c9f01"}}}}"#)
            };
            server.post_handled(delivery(at("2026-10-01T00:00:00Z", "note.created")), 200).await;
            assert_eq!(server.post(delivery(at("2026-10-01T00:00:01Z", "note.created"))).await.status, 200);
            server.post_handled(delivery(at("2026-10-01T00:00:00Z", "note.updated")), 200).await;
            // `key_by` returns no key for these, so the body is the key.
            for body in [event("a"), event("b"), "no JSON".to_owned()] {
                server.post_handled(delivery(&body), 200).await;
                assert_eq!(server.post(signed_anew(&body)).await.status, 200);
            }
            let [handled, duplicate] = [OutcomeKind::Handled, OutcomeKind::Duplicate];
            expect(outcomes, [handled, duplicate, handled]).await;
            expect(outcomes, [handled, duplicate].repeat(3)).await;
        },
    )
    .await;
}

#[tokio::test]
async fn namespaces_separate_receivers_that_share_a_store() {
    let store = std::sync::Arc::new(MemoryStore::new(1000));
    let within = |namespace: &str| receiver(Deduplicate::new(std::sync::Arc::clone(&store)).namespace(namespace));
    let mut billing = Stack::Axum.serve(within("billing")).await;
    let mut search = Stack::ActixResource.serve(within("search")).await;
    let billing_too = Stack::ActixApp.serve(within("billing")).await;
    let body = event("for both");
    assert_eq!(billing.post_handled(delivery(&body), 200).await, 200);
    assert_eq!(search.post_handled(delivery(&body), 200).await, 200);
    assert_eq!(billing_too.post(delivery(&body)).await.status, 200);
    for server in [billing, search, billing_too] {
        server.stop().await;
    }
}

/// Each of two workers knows the deliveries of the other one.
#[tokio::test]
async fn workers_of_actix_share_a_store() {
    for stack in [Stack::ActixApp, Stack::ActixScope, Stack::ActixResource] {
        let (receiver, mut outcomes) = Outcomes::of(receiver(never_expiring(MemoryStore::new(1000))));
        let mut server = stack.serve_with(receiver, 2).await;
        // New connections are distributed to the workers in turn, so each worker gets two of them.
        let mut connections = Vec::new();
        for _ in 0..4 {
            connections.push(Connection::open(server.address).await);
        }
        let body = event("for all workers");
        for connection in &mut connections {
            connection.send(delivery(&body).bytes()).await;
        }
        // One delivery is handled, one waits, and two are rejected directly.
        expect(&mut outcomes, [OutcomeKind::Refused(RefusalKind::BeingHandled); 2]).await;
        server.calls.next().await.answer(200);
        let mut statuses = Vec::new();
        for connection in &mut connections {
            statuses.push(connection.answer().await.unwrap().status);
        }
        statuses.sort_unstable();
        assert_eq!(statuses, [200, 200, 409, 409]);
        for connection in &mut connections {
            connection.send(signed_anew(&body).bytes()).await;
            assert_eq!(connection.answer().await.unwrap().status, 200);
        }
        server.calls.assert_none();
        server.stop().await;
    }
}

/// The middleware is on a router and on its route, or on an app and on its resource. Each event is
/// handled once, whether the receiver deduplicates, acknowledges early or does both.
#[tokio::test]
async fn nested_middleware_handles_each_event_once() {
    use std::sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    };

    use twenty_webhook::{actix_web::WebhookMiddleware, testing::Delivery, verify::Signer};

    let deduplicating = || receiver(never_expiring(MemoryStore::new(1000)));
    let acknowledging = || Receiver::new(verifier()).acknowledge_within(Duration::from_secs(4));
    let both = || deduplicating().acknowledge_within(Duration::from_secs(4));
    for receiver in [deduplicating(), acknowledging(), both()] {
        let handled = Arc::new(AtomicUsize::new(0));
        let signer = Signer::new(support::SECRET).unwrap();
        let sign = |title: &str| Delivery::from_body(event(title)).sign_at(&signer, NOW);
        {
            use axum::{Router, body::Body, routing::post};
            let (layer, counted) = (WebhookLayer::new(receiver.clone()), Arc::clone(&handled));
            let on_event = async move |_: WebhookEvent| {
                counted.fetch_add(1, Ordering::Relaxed);
            };
            let app = Router::new().route("/", post(on_event).layer(layer.clone())).layer(layer);
            for number in 0..20 {
                let request = sign(&format!("axum {number}")).into_http_request::<Body>("/").unwrap();
                let status = soon(app.clone().oneshot(request)).await.unwrap().status();
                assert_eq!((status.as_u16(), handled.load(Ordering::Relaxed)), (200, number + 1), "{receiver:?}");
            }
        }
        {
            use actix_web::{App, HttpResponse, rt::System, test, web};
            handled.store(0, Ordering::Relaxed);
            let counted = Arc::clone(&handled);
            let (receiver, requests) = (receiver.clone(), (0..20).map(|number| sign(&format!("actix {number}"))));
            let requests: Vec<_> = requests.collect();
            std::thread::spawn(move || {
                System::new().block_on(async move {
                    let on_event = move |_: WebhookEvent| {
                        counted.fetch_add(1, Ordering::Relaxed);
                        async { HttpResponse::Ok().finish() }
                    };
                    let middleware = WebhookMiddleware::new(receiver);
                    let resource = web::resource("/").wrap(middleware.clone()).route(web::post().to(on_event));
                    let app = test::init_service(App::new().wrap(middleware).service(resource)).await;
                    for request in requests {
                        let answer = test::call_service(&app, request.into_test_request().to_request()).await;
                        assert_eq!(answer.status().as_u16(), 200);
                    }
                });
            })
            .join()
            .unwrap();
            assert_eq!(handled.load(Ordering::Relaxed), 20);
        }
    }
}

/// A panic must not lose the event. The body is the key then, so duplicates are still recognised.
#[tokio::test]
async fn a_panic_in_a_custom_key_falls_back_to_the_body() {
    let panics = |event: &WebhookEvent| -> Option<Vec<String>> {
        if event.name == "note.created" {
            std::panic::resume_unwind(Box::new("the key panics"));
        }
        None
    };
    for acknowledges in [false, true] {
        everywhere(
            || {
                let receiver = receiver(never_expiring(MemoryStore::new(1000)).key_by(panics));
                if acknowledges { receiver.acknowledge_within(Duration::from_secs(300)) } else { receiver }
            },
            async |server, outcomes| {
                let (body, other) = (event("panics"), event("another"));
                assert_eq!(server.post_handled(delivery(&body), 500).await, 500);
                assert_eq!(server.post_handled(delivery(&body), 200).await, 200);
                assert_eq!(server.post(signed_anew(&body)).await.status, 200);
                assert_eq!(server.post_handled(delivery(&other), 200).await, 200);
                let handled = OutcomeKind::Handled;
                expect(outcomes, [FAILED, handled, OutcomeKind::Duplicate, handled]).await;
            },
        )
        .await;
    }
}

/// A shorter lease would end between two renewals.
#[tokio::test]
async fn no_lease_is_shorter_than_the_minimum() {
    for lease in [Duration::ZERO, Duration::from_millis(1), Deduplicate::MIN_LEASE] {
        let shown = format!("{:?}", Deduplicate::new(MemoryStore::new(1)).lease(lease));
        assert!(shown.contains(&format!("lease: {:?}", Deduplicate::MIN_LEASE)), "{shown}");
    }
    let longer = Deduplicate::MIN_LEASE * 2;
    assert!(format!("{:?}", Deduplicate::new(MemoryStore::new(1)).lease(longer)).contains(&format!("{longer:?}")));
}

mod store_failures {
    use super::*;

    /// Runs a scenario on each stack, with a store that fails on request.
    async fn everywhere(
        deduplicate: impl Fn(ScriptedStore) -> Deduplicate,
        scenario: impl AsyncFn(&ScriptedStore, &mut Server, &mut Outcomes),
    ) {
        Stack::each(async |stack| {
            let store = ScriptedStore::new();
            let (receiver, mut outcomes) = Outcomes::of(receiver(deduplicate(store.clone())));
            let mut server = stack.serve(receiver).await;
            scenario(&store, &mut server, &mut outcomes).await;
            server.calls.assert_none();
            outcomes.assert_none();
            server.stop().await;
        })
        .await;
    }

    #[tokio::test]
    async fn deliveries_are_handled_and_remembered_in_this_process_by_default() {
        everywhere(never_expiring, async |store, server, outcomes| {
            store.fail_all();
            let body = event("store is down");
            // A failed delivery can be handled again, although the store cannot be informed.
            for status in [500, 200] {
                assert_eq!(server.post_handled(delivery(&body), status).await, status);
            }
            assert_eq!(server.post(signed_anew(&body)).await.status, 200);
            store.mend();
            assert_eq!(server.post(delivery(&body)).await.status, 200);
            expect(outcomes, [FAILED, OutcomeKind::Handled, OutcomeKind::Duplicate, OutcomeKind::Duplicate]).await;
        })
        .await;
    }

    #[tokio::test]
    async fn deliveries_handled_before_the_failure_are_not_handled_again() {
        everywhere(never_expiring, async |store, server, outcomes| {
            let body = event("handled before");
            assert_eq!(server.post_handled(delivery(&body), 200).await, 200);
            store.fail_all();
            for _ in 0..2 {
                assert_eq!(server.post(signed_anew(&body)).await.status, 200);
            }
            expect(outcomes, [OutcomeKind::Handled, OutcomeKind::Duplicate, OutcomeKind::Duplicate]).await;
        })
        .await;
    }

    /// An operator has made the store forget the key, and the store's answer counts.
    #[tokio::test]
    async fn a_duplicate_during_a_failure_leaves_nothing_behind() {
        everywhere(never_expiring, async |store, server, outcomes| {
            let body = event("forgotten");
            assert_eq!(server.post_handled(delivery(&body), 200).await, 200);
            store.fail(Op::Claim, Fault::Refuse);
            assert_eq!(server.post(signed_anew(&body)).await.status, 200);
            store.mend();
            assert!(store.forget(store.last_key()).await.unwrap());
            assert_eq!(server.post_handled(signed_anew(&body), 200).await, 200);
            expect(outcomes, [OutcomeKind::Handled, OutcomeKind::Duplicate, OutcomeKind::Handled]).await;
        })
        .await;
    }

    /// Redis can lose a completion in a failover.
    #[tokio::test]
    async fn a_store_that_lost_a_completion_gets_it_again() {
        everywhere(never_expiring, async |store, server, outcomes| {
            let body = event("lost");
            assert_eq!(server.post_handled(delivery(&body), 200).await, 200);
            assert!(store.forget(store.last_key()).await.unwrap());
            store.fail(Op::Claim, Fault::LoseAnswer);
            assert_eq!(server.post(signed_anew(&body)).await.status, 200);
            store.mend();
            assert_eq!(server.post(signed_anew(&body)).await.status, 200);
            expect(outcomes, [OutcomeKind::Handled, OutcomeKind::Duplicate, OutcomeKind::Duplicate]).await;
        })
        .await;
    }

    /// A Redis without free memory rejects claims, but still knows who holds a claim: in this case
    /// a receiver elsewhere that died.
    #[tokio::test]
    async fn a_delivery_claimed_elsewhere_and_handled_here_is_remembered_here() {
        everywhere(never_expiring, async |store, server, outcomes| {
            let body = event("claimed elsewhere");
            assert_eq!(server.post_handled(delivery(&body), 500).await, 500);
            let lease = Duration::from_millis(300);
            let elsewhere = store.claim_elsewhere(store.last_key(), lease).await;
            assert!(matches!(elsewhere, ClaimOutcome::Fresh(_)));
            store.fail(Op::Claim, Fault::Refuse);
            assert_eq!(server.post_handled(delivery(&body), 200).await, 200);
            // The duplicate is recognised while the store rejects claims, and after the lease has
            // ended.
            assert_eq!(server.post(signed_anew(&body)).await.status, 200);
            store.mend();
            sleep(2 * lease).await;
            assert_eq!(server.post(signed_anew(&body)).await.status, 200);
            expect(outcomes, [FAILED, OutcomeKind::Handled, OutcomeKind::Duplicate, OutcomeKind::Duplicate]).await;
        })
        .await;
    }

    /// No duplicate is rejected because another one is being looked up at the same time.
    #[tokio::test]
    async fn concurrent_duplicates_of_a_handled_delivery_are_all_recognised() {
        everywhere(never_expiring, async |store, server, outcomes| {
            store.go_far_away();
            let body = event("duplicates at once");
            assert_eq!(server.post_handled(delivery(&body), 200).await, 200);
            let duplicates: Vec<_> = (0..60).map(|_| post(server.address, signed_anew(&body))).collect();
            for duplicate in duplicates {
                assert_eq!(soon(duplicate).await.unwrap().unwrap().status, 200);
            }
            let duplicates = [OutcomeKind::Duplicate; 60];
            expect(outcomes, [OutcomeKind::Handled].into_iter().chain(duplicates).collect::<Vec<_>>()).await;
        })
        .await;
    }

    /// While the store answers, its answer counts, because an operator may have made it forget the
    /// key.
    #[tokio::test]
    async fn a_delivery_that_the_store_forgot_is_handled_again() {
        everywhere(never_expiring, async |store, server, outcomes| {
            let body = event("forgotten");
            assert_eq!(server.post_handled(delivery(&body), 200).await, 200);
            assert!(store.forget(store.last_key()).await.unwrap());
            assert_eq!(server.post_handled(signed_anew(&body), 200).await, 200);
            expect(outcomes, [OutcomeKind::Handled, OutcomeKind::Handled]).await;
        })
        .await;
    }

    #[tokio::test]
    async fn a_recovered_store_learns_what_was_handled_meanwhile() {
        everywhere(never_expiring, async |store, server, outcomes| {
            store.fail_all();
            let first = post(server.address, delivery(event("store is back")));
            let call = server.calls.next().await;
            store.mend();
            call.answer(200);
            assert_eq!(soon(first).await.unwrap().unwrap().status, 200);
            let elsewhere = store.claim_elsewhere(store.last_key(), Duration::from_secs(1)).await;
            assert_eq!(elsewhere, ClaimOutcome::Completed);
            expect(outcomes, [OutcomeKind::Handled]).await;
        })
        .await;
    }

    #[tokio::test]
    async fn a_failure_while_a_handler_runs_lets_no_duplicate_through() {
        everywhere(never_expiring, async |store, server, outcomes| {
            let body = event("store goes down");
            let first = post(server.address, delivery(&body));
            let call = server.calls.next().await;
            store.fail_all();
            let second = waiting(server, &body, outcomes).await;
            call.answer(200);
            for answer in [first, second] {
                assert_eq!(soon(answer).await.unwrap().unwrap().status, 200);
            }
            expect(outcomes, [OutcomeKind::Handled, OutcomeKind::Duplicate]).await;
        })
        .await;
    }

    #[tokio::test]
    async fn a_claim_whose_response_was_lost_is_ended() {
        everywhere(never_expiring, async |store, server, outcomes| {
            for (status, then) in [(500, "free"), (200, "completed")] {
                store.fail(Op::Claim, Fault::LoseAnswer);
                let answered = server.post_handled(delivery(event("landed")), status).await;
                assert_eq!(answered, status);
                store.mend();
                let found = match store.claim_elsewhere(store.last_key(), Duration::from_secs(300)).await {
                    ClaimOutcome::Fresh(claim) => {
                        assert!(store.release(&claim).await.unwrap());
                        "free"
                    }
                    ClaimOutcome::Completed => "completed",
                    ClaimOutcome::Running => "running",
                };
                assert_eq!(found, then);
            }
            expect(outcomes, [FAILED, OutcomeKind::Handled]).await;
        })
        .await;
    }

    #[tokio::test]
    async fn reject_frees_a_claim_whose_response_was_lost() {
        let rejecting = |store| never_expiring(store).on_store_failure(StoreFailure::Reject);
        everywhere(rejecting, async |store, server, outcomes| {
            let body = event("rejected");
            for fault in [Fault::Refuse, Fault::LoseAnswer] {
                store.fail(Op::Claim, fault);
                let answer = server.post(delivery(&body)).await;
                assert_eq!((answer.status, answer.body.len()), (503, 0));
                expect(outcomes, [OutcomeKind::Refused(RefusalKind::StoreFailed)]).await;
            }
            store.mend();
            assert_eq!(server.post_handled(delivery(&body), 200).await, 200);
            store.fail(Op::Claim, Fault::Refuse);
            assert_eq!(server.post(delivery(&body)).await.status, 200, "this process knows");
            assert_eq!(server.post(delivery(event("another"))).await.status, 503, "the store does not know");
            let unknown = OutcomeKind::Refused(RefusalKind::StoreFailed);
            expect(outcomes, [OutcomeKind::Handled, OutcomeKind::Duplicate, unknown]).await;
        })
        .await;
    }

    #[tokio::test]
    async fn failing_renewals_do_not_disturb_the_handler() {
        let short = |store| Deduplicate::new(store).lease(Duration::from_millis(60));
        everywhere(short, async |store, server, outcomes| {
            store.fail(Op::Renew, Fault::Refuse);
            let first = post(server.address, delivery(event("renewal fails")));
            let call = server.calls.next().await;
            soon(async {
                while store.asked(Op::Renew) < 5 {
                    sleep(Duration::from_millis(5)).await;
                }
            })
            .await;
            call.answer(200);
            assert_eq!(soon(first).await.unwrap().unwrap().status, 200);
            let elsewhere = store.claim_elsewhere(store.last_key(), Duration::from_secs(1)).await;
            assert_eq!(elsewhere, ClaimOutcome::Completed, "no other claim existed");
            expect(outcomes, [OutcomeKind::Handled]).await;
        })
        .await;
    }

    /// The store is the user's code, so its panic counts as a failure.
    #[tokio::test]
    async fn a_store_that_panics_neither_loses_nor_repeats_a_delivery() {
        let short = |store| Deduplicate::new(store).lease(Duration::from_millis(200));
        everywhere(short, async |store, server, outcomes| {
            for op in [Op::Claim, Op::Renew, Op::Complete] {
                let body = event(&format!("{op:?} panics"));
                store.fail(op, Fault::Panic);
                let first = post(server.address, delivery(&body));
                let call = server.calls.next().await;
                let before = store.asked(Op::Renew);
                soon(async {
                    while op == Op::Renew && store.asked(Op::Renew) < before + 3 {
                        sleep(Duration::from_millis(5)).await;
                    }
                })
                .await;
                call.answer(200);
                let answer = soon(first).await.unwrap();
                assert_eq!(answer.map(|answer| answer.status), Some(200), "{op:?}");
                store.mend();
                // The claim of a panicked completion has expired.
                sleep(Duration::from_millis(250)).await;
                assert_eq!(server.post(signed_anew(&body)).await.status, 200, "{op:?}");
                expect(outcomes, [OutcomeKind::Handled, OutcomeKind::Duplicate]).await;
            }
        })
        .await;
    }

    #[tokio::test]
    async fn a_failed_completion_is_remembered_in_this_process() {
        everywhere(never_expiring, async |store, server, outcomes| {
            let body = event("completion fails");
            store.fail(Op::Complete, Fault::Refuse);
            assert_eq!(server.post_handled(delivery(&body), 200).await, 200);
            store.mend();
            assert_eq!(server.post(signed_anew(&body)).await.status, 200);
            expect(outcomes, [OutcomeKind::Handled, OutcomeKind::Duplicate]).await;
        })
        .await;
    }

    #[tokio::test]
    async fn a_failed_release_waits_for_the_end_of_the_lease() {
        let short = |store| Deduplicate::new(store).lease(Duration::from_millis(200));
        everywhere(short, async |store, server, outcomes| {
            for (fault, title) in [(Fault::Refuse, "release fails"), (Fault::Panic, "release panics")] {
                let body = event(title);
                store.fail(Op::Release, fault);
                assert_eq!(server.post_handled(delivery(&body), 500).await, 500);
                store.mend();
                // The delivery waits until the lease ends, and then is handled.
                assert_eq!(server.post_handled(delivery(&body), 200).await, 200);
                expect(outcomes, [FAILED, OutcomeKind::Handled]).await;
            }
        })
        .await;
    }

    /// The handler has completed, and the client disconnects while the store is slow.
    #[tokio::test]
    async fn a_client_that_disconnects_during_the_completion_does_not_undo_it() {
        everywhere(never_expiring, async |store, server, outcomes| {
            store.fail(Op::Complete, Fault::Hang);
            let client = Leaving::send(server.address, delivery(event("leaves late")).bytes()).await;
            server.calls.next().await.answer(200);
            soon(async {
                while store.asked(Op::Complete) == 0 {
                    sleep(Duration::from_millis(1)).await;
                }
            })
            .await;
            store.mend();
            client.leave(Leave::Reset);
            expect(outcomes, [OutcomeKind::Handled]).await;
            assert_eq!(server.post(delivery(event("leaves late"))).await.status, 200);
            expect(outcomes, [OutcomeKind::Duplicate]).await;
        })
        .await;
    }
}

/// Tests of deliveries that end with a runtime, or outside of one: nothing panics, the outcome is
/// reported, and the claim ends with its lease.
mod without_a_runtime {
    use std::{future::pending, pin::pin, task::Context};

    use tokio::runtime::{Builder, Runtime};

    use super::*;

    fn runtime() -> Runtime {
        Builder::new_current_thread().enable_all().build().unwrap()
    }

    #[test]
    fn a_request_dropped_outside_a_runtime_leaves_the_lease() {
        let store = ScriptedStore::new();
        let (receiver, mut outcomes) = Outcomes::of(receiver(never_expiring(store.clone())));
        {
            let mut future = pin!(deliver(receiver, pending));
            let entered = runtime();
            let guard = entered.enter();
            assert!(future.as_mut().poll(&mut Context::from_waker(std::task::Waker::noop())).is_pending());
            drop(guard);
            drop(entered);
        }
        runtime().block_on(async {
            expect(&mut outcomes, [OutcomeKind::Aborted]).await;
            let found = store.claim_elsewhere(store.last_key(), Duration::from_secs(1)).await;
            assert_eq!(found, ClaimOutcome::Running, "until the lease ends");
        });
    }

    #[test]
    fn a_background_handler_ends_with_its_runtime() {
        let receiver = receiver(never_expiring(ScriptedStore::new())).acknowledge_within(Duration::ZERO);
        let (receiver, mut outcomes) = Outcomes::of(receiver);
        let ends = runtime();
        assert_eq!(ends.block_on(deliver(receiver.clone(), pending)), 202);
        drop(ends);
        runtime().block_on(async {
            let outcome = outcomes.next().await;
            assert_eq!((outcome.kind, outcome.acknowledged), (OutcomeKind::Aborted, true));
            assert_eq!(receiver.drain(Duration::MAX).await.abandoned, 0);
        });
    }
}
