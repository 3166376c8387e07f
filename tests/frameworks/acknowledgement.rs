//! Tests of `acknowledge_within` and `drain` over real sockets: deliveries are acknowledged in time
//! and handled completely, in the same way in axum and actix-web.

use std::{convert::Infallible, time::Duration};

use bytes::Bytes;
use http_body_util::Full;
use tokio::time::{Instant, sleep, timeout};
use tower::{Layer, ServiceExt, service_fn};
use twenty_webhook::{
    Receiver,
    deduplicate::MemoryStore,
    receiver::{Deduplicate, OutcomeKind, RefusalKind, StoreFailure},
    tower::{VerifiedBody, WebhookLayer},
};

use crate::support::{
    bodies,
    http1::{Connection, delivery, soon},
    scripted_store,
    stack::{Leave, Leaving, Outcomes, Running, Server, Stack, event, post, signed_anew},
    verifier,
};

/// Too short for a handler that waits.
const SHORT: Duration = Duration::from_millis(100);
/// Long enough for every handler that does not hang.
const LONG: Duration = Duration::from_secs(300);

/// Returns a receiver that also deduplicates, because acknowledgement must neither lose a delivery
/// nor cause it to be handled twice.
fn receiver(within: Duration) -> Receiver {
    Receiver::new(verifier())
        .deduplicate(Deduplicate::new(MemoryStore::new(1000)).lease(LONG))
        .acknowledge_within(within)
}

/// Runs a scenario on each stack, each with its own receiver.
async fn everywhere(receiver: impl Fn() -> Receiver, scenario: impl AsyncFn(&mut Server, &mut Outcomes, &Receiver)) {
    Stack::each(async |stack| {
        let (receiver, mut outcomes) = Outcomes::of(receiver());
        let mut server = stack.serve(receiver.clone()).await;
        scenario(&mut server, &mut outcomes, &receiver).await;
        server.calls.assert_none();
        outcomes.assert_none();
        server.stop().await;
    })
    .await;
}

async fn expect(outcomes: &mut Outcomes, kind: OutcomeKind, acknowledged: bool) {
    let outcome = outcomes.next().await;
    assert_eq!((outcome.kind, outcome.acknowledged), (kind, acknowledged));
}

#[tokio::test]
async fn a_slow_delivery_is_acknowledged_at_the_deadline_and_handled() {
    for within in [SHORT, Duration::ZERO] {
        everywhere(
            || receiver(within),
            async |server, outcomes, _| {
                let sent = Instant::now();
                let answer = server.post(delivery(event("long"))).await;
                assert_eq!((answer.status, answer.body.len()), (202, 0));
                assert!(sent.elapsed() >= within);
                let call = server.calls.next().await;
                assert!(call.is_running());
                outcomes.assert_none();
                call.answer(200);
                expect(outcomes, OutcomeKind::Handled, true).await;
                // A delivery that failed after its 202 is handled again.
                assert_eq!(server.post(signed_anew(event("fails"))).await.status, 202);
                server.calls.next().await.answer(500);
                expect(outcomes, OutcomeKind::Failed { status: 500 }, true).await;
                assert_eq!(server.post(signed_anew(event("fails"))).await.status, 202);
                server.calls.next().await.answer(200);
                expect(outcomes, OutcomeKind::Handled, true).await;
            },
        )
        .await;
    }
}

#[tokio::test]
async fn a_handler_that_finishes_in_time_determines_the_response() {
    for within in [LONG, Duration::MAX] {
        everywhere(
            || receiver(within),
            async |server, outcomes, _| {
                for status in [201, 500, 404] {
                    let body = event(&status.to_string());
                    assert_eq!(server.post_handled(delivery(body), status).await, status);
                    let kind = if status == 201 { OutcomeKind::Handled } else { OutcomeKind::Failed { status } };
                    expect(outcomes, kind, false).await;
                }
                assert_eq!(server.post(signed_anew(event("201"))).await.status, 200);
                expect(outcomes, OutcomeKind::Duplicate, false).await;
            },
        )
        .await;
    }
}

#[tokio::test]
async fn a_disconnecting_client_does_not_abort_the_handler() {
    for leave in [Leave::Fin, Leave::Reset] {
        everywhere(
            || receiver(LONG),
            async |server, outcomes, _| {
                let client = Leaving::send(server.address, delivery(event("leaves")).bytes()).await;
                let call = server.calls.next().await;
                client.leave(leave);
                // The server notices the disconnect within this time: see
                // `a_cancelled_delivery_is_handled_again`.
                sleep(Duration::from_millis(50)).await;
                assert!(call.is_running());
                call.answer(200);
                expect(outcomes, OutcomeKind::Handled, false).await;
                assert_eq!(server.post(signed_anew(event("leaves"))).await.status, 200);
                expect(outcomes, OutcomeKind::Duplicate, false).await;
            },
        )
        .await;
    }
}

#[tokio::test]
async fn the_deadline_counts_from_arrival() {
    const WITHIN: Duration = Duration::from_secs(2);
    everywhere(
        || receiver(WITHIN),
        async |server, outcomes, _| {
            let request = delivery(event("slow body")).bytes();
            let (most, rest) = request.split_at(request.len() - 1);
            let mut connection = Connection::open(server.address).await;
            connection.send(most).await;
            sleep(WITHIN).await;
            // Waiting for the body has used up all of the time.
            connection.send(rest).await;
            let answered = timeout(WITHIN / 2, connection.answer()).await.expect("at once");
            assert_eq!(answered.unwrap().status, 202);
            server.calls.next().await.answer(200);
            expect(outcomes, OutcomeKind::Handled, true).await;
        },
    )
    .await;
}

#[tokio::test]
async fn a_waiting_duplicate_is_acknowledged_and_handled_later() {
    everywhere(
        || receiver(SHORT),
        async |server, outcomes, _| {
            let body = event("waits");
            assert_eq!(server.post(delivery(&body)).await.status, 202);
            let call = server.calls.next().await;
            assert_eq!(server.post(signed_anew(&body)).await.status, 202, "it waits");
            let third = server.post(signed_anew(&body)).await;
            assert_eq!(third.status, 409);
            expect(outcomes, OutcomeKind::Refused(RefusalKind::BeingHandled), false).await;
            server.calls.assert_none();
            call.answer(500);
            expect(outcomes, OutcomeKind::Failed { status: 500 }, true).await;
            server.calls.next().await.answer(200);
            expect(outcomes, OutcomeKind::Handled, true).await;
        },
    )
    .await;
}

#[tokio::test]
async fn a_full_background_rejects_more() {
    let limited = [
        (|| receiver(SHORT).background_limit(2)) as fn() -> Receiver,
        // The settings can be made in any order.
        || Receiver::new(verifier()).background_limit(2).acknowledge_within(SHORT),
    ];
    for limited in limited {
        everywhere(limited, async |server, outcomes, _| {
            let mut calls = Vec::new();
            for title in ["1", "2"] {
                assert_eq!(server.post(delivery(event(title))).await.status, 202);
                calls.push(server.calls.next().await);
            }
            for _ in 0..3 {
                let answer = server.post(delivery(event("3"))).await;
                assert_eq!((answer.status, answer.body.len()), (503, 0));
                expect(outcomes, OutcomeKind::Refused(RefusalKind::BackgroundFull), false).await;
            }
            for call in calls {
                call.answer(200);
                expect(outcomes, OutcomeKind::Handled, true).await;
            }
            room_again(server, outcomes).await;
        })
        .await;
    }
}

/// Returns a function that posts an event with this title to a handler that answers directly. It
/// resolves to the status.
fn poster(receiver: &Receiver) -> impl Fn(String) -> tokio::task::JoinHandle<u16> {
    slow_poster(receiver, Duration::ZERO)
}

/// Returns a function like that of [`poster`], with a handler that takes this long.
fn slow_poster(receiver: &Receiver, takes: Duration) -> impl Fn(String) -> tokio::task::JoinHandle<u16> {
    let service =
        WebhookLayer::new(receiver.clone()).layer(service_fn(move |_: http::Request<VerifiedBody>| async move {
            sleep(takes).await;
            Ok::<_, Infallible>(http::Response::new(Full::<Bytes>::default()))
        }));
    move |title| {
        let body = event(&title);
        let request = bodies::delivery(&body, Full::<Bytes>::from(body.clone()));
        let answering = service.clone().oneshot(request);
        tokio::spawn(async move { answering.await.unwrap().status().as_u16() })
    }
}

/// Both receivers are in one process and share a store in memory.
#[tokio::test(start_paused = true)]
async fn replays_of_deliveries_that_another_receiver_handles_take_no_slots() {
    const LIMIT: usize = 3;

    let store = std::sync::Arc::new(MemoryStore::new(100));
    let receiver = || {
        Receiver::new(verifier())
            .deduplicate(std::sync::Arc::clone(&store))
            .acknowledge_within(SHORT)
            .background_limit(LIMIT)
    };
    let (this, another) = (receiver(), receiver());
    let (post, post_to_another) = (slow_poster(&this, LONG / 10), slow_poster(&another, LONG / 10));
    for number in 0..LIMIT {
        assert_eq!(post_to_another(format!("captured {number}")).await.unwrap(), 202);
        assert_eq!(post(format!("captured {number}")).await.unwrap(), 202, "it waits");
    }
    for number in 0..LIMIT {
        assert_eq!(post(format!("genuine {number}")).await.unwrap(), 202);
    }
    assert_eq!(post("one too many".to_owned()).await.unwrap(), 503);
    for receiver in [&this, &another] {
        assert_eq!(receiver.drain(LONG).await.abandoned, 0);
    }
}

/// Twenty would not learn of a rejection after a 202.
#[tokio::test(start_paused = true)]
async fn an_acknowledged_delivery_is_handled_although_the_store_fails_and_rejects() {
    let store = scripted_store::ScriptedStore::new();
    store.answer_after(SHORT * 5);
    store.fail_all();
    let (receiver, mut outcomes) = Outcomes::of(
        Receiver::new(verifier())
            .deduplicate(Deduplicate::new(store).on_store_failure(StoreFailure::Reject))
            .acknowledge_within(SHORT),
    );
    assert_eq!(poster(&receiver)("late".to_owned()).await.unwrap(), 202);
    expect(&mut outcomes, OutcomeKind::Handled, true).await;
}

/// The duplicate that queries the store arrived later, so its own response is not due yet, and it
/// is rejected.
#[tokio::test(start_paused = true)]
async fn an_acknowledged_delivery_is_handled_although_its_duplicate_is_rejected() {
    let store = scripted_store::ScriptedStore::new();
    store.answer_after(SHORT * 2);
    store.fail_all();
    let (receiver, mut outcomes) = Outcomes::of(
        Receiver::new(verifier())
            .deduplicate(Deduplicate::new(store).on_store_failure(StoreFailure::Reject))
            .acknowledge_within(SHORT * 3),
    );
    let service = WebhookLayer::new(receiver).layer(service_fn(|_: http::Request<VerifiedBody>| async {
        Ok::<_, Infallible>(http::Response::new(Full::<Bytes>::default()))
    }));
    let body = event("shared");
    let (chunks, slow) = bodies::channel();
    let early = tokio::spawn(service.clone().oneshot(bodies::delivery(&body, slow)));
    sleep(SHORT * 3 / 2).await;
    let late = tokio::spawn(service.oneshot(bodies::delivery(&body, Full::<Bytes>::from(body.clone()))));
    sleep(SHORT / 10).await;
    chunks.send(body.into()).unwrap();
    drop(chunks);
    assert_eq!(early.await.unwrap().unwrap().status(), 202);
    assert_eq!(late.await.unwrap().unwrap().status(), 503);
    expect(&mut outcomes, OutcomeKind::Refused(RefusalKind::StoreFailed), false).await;
    expect(&mut outcomes, OutcomeKind::Handled, true).await;
}

/// Genuine deliveries find free slots for any number of replays, any delay of the store, and
/// whichever receiver handled the captured deliveries.
#[tokio::test(start_paused = true)]
async fn replays_take_no_slots_from_others() {
    const CAPTURED: usize = 60;
    const COPIES: usize = 17;
    const GENUINE: usize = 50;

    #[derive(Clone, Copy, Debug, PartialEq)]
    enum HandledBy {
        Nobody,
        This,
        Another,
    }

    for handled_by in [HandledBy::Nobody, HandledBy::This, HandledBy::Another] {
        let store = scripted_store::ScriptedStore::new();
        let first_copies = if handled_by == HandledBy::Nobody { CAPTURED } else { 0 };
        let receiver = || {
            Receiver::new(verifier())
                .deduplicate(Deduplicate::new(store.clone()).lease(LONG))
                .acknowledge_within(Duration::from_secs(4))
                .background_limit(first_copies + GENUINE)
        };
        let (this, another) = (receiver(), receiver());
        let post = poster(&this);
        let captured = |number| format!("captured {number}");
        let handle_before = match handled_by {
            HandledBy::Nobody => None,
            HandledBy::This => Some(&this),
            HandledBy::Another => Some(&another),
        };
        if let Some(receiver) = handle_before {
            let post = poster(receiver);
            for number in 0..CAPTURED {
                assert_eq!(post(captured(number)).await.unwrap(), 200);
            }
        }
        store.answer_after(Duration::from_millis(300));
        // In the second round, this receiver knows what the other one handled.
        for round in 0..2 {
            let replays: Vec<_> = (0..CAPTURED * COPIES).map(|number| post(captured(number % CAPTURED))).collect();
            tokio::time::sleep(Duration::from_millis(100)).await;
            let genuine: Vec<_> = (0..GENUINE).map(|number| post(format!("genuine {round} {number}"))).collect();
            for answering in genuine {
                assert_eq!(answering.await.unwrap(), 200, "{handled_by:?}, round {round}");
            }
            let mut statuses = std::collections::BTreeMap::<u16, usize>::new();
            for answering in replays {
                *statuses.entry(answering.await.unwrap()).or_default() += 1;
            }
            assert!(statuses.keys().all(|status| matches!(status, 200 | 409)), "{statuses:?}");
            if handled_by != HandledBy::Nobody {
                let is_known = handled_by == HandledBy::This || round > 0;
                let first_lookups = if is_known { 0 } else { CAPTURED };
                assert_eq!(statuses[&200], 100 + first_lookups, "{handled_by:?}, round {round}");
            }
        }
        assert_eq!(this.drain(Duration::ZERO).await.abandoned, 0);
    }
}

/// Each delivery was captured once, so no two of them run at the same time, and there are more of
/// them than slots.
#[tokio::test]
async fn replays_of_completed_deliveries_take_no_slots() {
    const LIMIT: usize = 20;
    const CAPTURED: usize = 50 * LIMIT;

    let receiver = Receiver::new(verifier())
        .deduplicate(MemoryStore::new(10_000))
        .acknowledge_within(Duration::from_secs(4))
        .background_limit(LIMIT);
    let post = poster(&receiver);
    for number in 0..CAPTURED {
        assert_eq!(post(format!("captured {number}")).await.unwrap(), 200);
    }
    let mut genuine = Vec::new();
    let mut replays = Vec::new();
    for number in 0..CAPTURED {
        replays.push(post(format!("captured {number}")));
        if number % (CAPTURED / LIMIT) == 0 {
            genuine.push(post(format!("genuine {number}")));
        }
    }
    for answering in genuine {
        assert_eq!(answering.await.unwrap(), 200);
    }
    for answering in replays {
        let status = answering.await.unwrap();
        assert!(matches!(status, 200 | 409), "{status}");
    }
}

/// Waits for a free slot: the last slot is freed directly after its outcome was reported, not
/// before.
async fn room_again(server: &mut Server, outcomes: &mut Outcomes) {
    let body = event("room again");
    let status = soon(async {
        loop {
            let status = server.post(delivery(&body)).await.status;
            if status != 503 {
                break status;
            }
            expect(outcomes, OutcomeKind::Refused(RefusalKind::BackgroundFull), false).await;
        }
    })
    .await;
    assert_eq!(status, 202);
    server.calls.next().await.answer(200);
    expect(outcomes, OutcomeKind::Handled, true).await;
}

#[tokio::test]
async fn a_panic_closes_the_connection_before_the_deadline_and_is_only_reported_after_it() {
    everywhere(
        || receiver(LONG),
        async |server, outcomes, _| {
            let body = event("panics");
            let first = post(server.address, delivery(&body));
            server.calls.next().await.panic();
            assert!(soon(first).await.unwrap().is_none(), "closed");
            expect(outcomes, OutcomeKind::Aborted, false).await;
            assert_eq!(server.post_handled(delivery(&body), 200).await, 200);
            expect(outcomes, OutcomeKind::Handled, false).await;
        },
    )
    .await;
    everywhere(
        || receiver(SHORT),
        async |server, outcomes, _| {
            let body = event("panics");
            assert_eq!(server.post(delivery(&body)).await.status, 202);
            server.calls.next().await.panic();
            expect(outcomes, OutcomeKind::Aborted, true).await;
            // The claim was released, and the worker continues to run.
            assert_eq!(server.post(delivery(&body)).await.status, 202);
            server.calls.next().await.answer(200);
            expect(outcomes, OutcomeKind::Handled, true).await;
        },
    )
    .await;
}

/// The hook is called on drop, possibly during another panic.
#[tokio::test]
async fn a_panic_of_the_outcome_hook_is_contained() {
    Stack::each(async |stack| {
        let (sender, mut reported) = tokio::sync::mpsc::unbounded_channel();
        let receiver = receiver(LONG).on_outcome(move |outcome| {
            let _ = sender.send(outcome.kind);
            std::panic::resume_unwind(Box::new("the hook panics"));
        });
        let mut server = stack.serve(receiver).await;
        assert_eq!(server.post_handled(delivery(event("hook")), 200).await, 200);
        assert_eq!(reported.recv().await, Some(OutcomeKind::Handled));
        let first = post(server.address, delivery(event("both")));
        server.calls.next().await.panic();
        assert!(soon(first).await.unwrap().is_none());
        assert_eq!(reported.recv().await, Some(OutcomeKind::Aborted));
        assert_eq!(server.post_handled(delivery(event("both")), 200).await, 200);
        server.stop().await;
    })
    .await;
}

/// The outcome is reported before the response is sent. What it reports about a 202 is true even if
/// the deadline passes in between.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn the_reported_outcome_equals_the_response() {
    let (sender, mut reported) = tokio::sync::mpsc::unbounded_channel();
    let receiver = receiver(SHORT).on_outcome(move |outcome| {
        let _ = sender.send(outcome.acknowledged);
        std::thread::sleep(SHORT * 3);
    });
    let mut server = Stack::Axum.serve(receiver).await;
    let status = server.post_handled(delivery(event("slow to report")), 200).await;
    assert_eq!(soon(reported.recv()).await, Some(status == 202));
    server.stop().await;
}

mod draining {
    use super::*;

    #[tokio::test]
    async fn drain_waits_for_handlers_and_rejects_new_deliveries() {
        everywhere(
            || receiver(SHORT),
            async |server, outcomes, receiver| {
                assert_eq!(server.post(delivery(event("1"))).await.status, 202);
                let call = server.calls.next().await;
                let draining = tokio::spawn({
                    let receiver = receiver.clone();
                    async move { receiver.drain(LONG).await.abandoned }
                });
                let start = Instant::now();
                let refused = OutcomeKind::Refused(RefusalKind::Draining);
                // Draining begins when its task starts.
                soon(async {
                    let mut title = 2;
                    while server.post(delivery(event(&title.to_string()))).await.status != 503 {
                        server.calls.next().await.answer(200);
                        expect(outcomes, OutcomeKind::Handled, true).await;
                        title += 1;
                    }
                })
                .await;
                expect(outcomes, refused, false).await;
                assert!(!draining.is_finished(), "{:?}", start.elapsed());
                call.answer(200);
                assert_eq!(soon(draining).await.unwrap(), 0);
                // The outcome was reported before the drain ended.
                expect(outcomes, OutcomeKind::Handled, true).await;
                assert_eq!(server.post(delivery(event("late"))).await.status, 503);
                expect(outcomes, refused, false).await;
            },
        )
        .await;
    }

    #[tokio::test]
    async fn drain_returns_how_many_handlers_it_abandoned() {
        everywhere(
            || receiver(SHORT),
            async |server, outcomes, receiver| {
                let mut calls = Vec::new();
                for title in ["1", "2", "3"] {
                    assert_eq!(server.post(delivery(event(title))).await.status, 202);
                    calls.push(server.calls.next().await);
                }
                assert_eq!(receiver.drain(Duration::ZERO).await.abandoned, 3);
                // `drain` can be called again, also at the same time.
                let (one, other) = soon(async { tokio::join!(receiver.drain(SHORT), receiver.drain(SHORT)) }).await;
                assert_eq!((one.abandoned, other.abandoned), (3, 3));
                let ended = async {
                    for call in calls {
                        call.answer(200);
                    }
                };
                let ((), one, other) =
                    soon(async { tokio::join!(ended, receiver.drain(LONG), receiver.drain(LONG)) }).await;
                assert_eq!((one.abandoned, other.abandoned), (0, 0));
                for _ in 0..3 {
                    expect(outcomes, OutcomeKind::Handled, true).await;
                }
            },
        )
        .await;
    }

    #[tokio::test]
    async fn drain_does_not_wait_without_acknowledgement() {
        let receiver = Receiver::new(verifier());
        assert_eq!(soon(receiver.drain(Duration::MAX)).await.abandoned, 0);
        let receiver = receiver.acknowledge_within(LONG);
        assert_eq!(soon(receiver.drain(Duration::MAX)).await.abandoned, 0);
    }

    #[tokio::test]
    async fn axum_drains_after_a_graceful_shutdown() {
        let (receiver, mut outcomes) = Outcomes::of(receiver(SHORT));
        let mut server = Stack::Axum.serve(receiver.clone()).await;
        assert_eq!(server.post(delivery(event("long"))).await.status, 202);
        let call = server.calls.next().await;
        let Running::Axum { shutdown, task } = server.running else { unreachable!() };
        shutdown.send(()).unwrap();
        soon(task).await.unwrap();
        assert!(call.is_running(), "although the server has ended");
        call.answer(200);
        assert_eq!(soon(receiver.drain(LONG)).await.abandoned, 0);
        expect(&mut outcomes, OutcomeKind::Handled, true).await;
    }

    #[tokio::test]
    async fn actix_drains_between_pause_and_stop() {
        for stack in Stack::ALL.into_iter().filter(|stack| stack.is_actix()) {
            let (receiver, mut outcomes) = Outcomes::of(receiver(SHORT));
            let mut server = stack.serve_with(receiver.clone(), 2).await;
            assert_eq!(server.post(delivery(event("long"))).await.status, 202);
            let call = server.calls.next().await;
            let Running::Actix { handle, task } = server.running else { unreachable!() };
            soon(handle.pause()).await;
            let (drained, ()) = soon(async {
                tokio::join!(receiver.drain(LONG), async {
                    sleep(SHORT).await;
                    assert!(call.is_running(), "although no client is connected");
                    call.answer(200);
                })
            })
            .await;
            assert_eq!(drained.abandoned, 0);
            expect(&mut outcomes, OutcomeKind::Handled, true).await;
            soon(handle.stop(true)).await;
            soon(task).await.unwrap();
        }
    }

    /// As documented, handlers of actix-web are dropped with their worker. This is reported, and
    /// the worker does not panic.
    #[tokio::test]
    async fn actix_reports_aborted_handlers_if_it_stops_without_draining() {
        let (receiver, mut outcomes) = Outcomes::of(receiver(SHORT));
        let mut server = Stack::ActixResource.serve(receiver.clone()).await;
        assert_eq!(server.post(delivery(event("long"))).await.status, 202);
        let call = server.calls.next().await;
        server.stop().await;
        call.aborted().await;
        expect(&mut outcomes, OutcomeKind::Aborted, true).await;
        assert_eq!(soon(receiver.drain(LONG)).await.abandoned, 0);
    }
}

/// Outer middleware sees an ordinary response, with the request that arrived.
#[tokio::test]
async fn middleware_outside_of_actix_sees_the_request() {
    use ::actix_web::{
        App, Error, HttpResponse, HttpServer,
        body::MessageBody,
        dev::{ServiceRequest, ServiceResponse},
        middleware::{Next, from_fn},
        web,
    };
    use twenty_webhook::actix_web::WebhookMiddleware;

    type Seen = tokio::sync::mpsc::UnboundedSender<(u16, String, String, bool)>;

    async fn look(
        request: ServiceRequest,
        next: Next<impl MessageBody>,
    ) -> Result<ServiceResponse<impl MessageBody>, Error> {
        let seen = request.app_data::<web::Data<Seen>>().unwrap().clone();
        let response = next.call(request).await?;
        let request = response.request();
        let is_known = request.peer_addr().is_some();
        let reported = (response.status().as_u16(), request.method().to_string(), request.uri().to_string(), is_known);
        seen.send(reported).unwrap();
        Ok(response)
    }

    let (seen, mut reported): (Seen, _) = tokio::sync::mpsc::unbounded_channel();
    let seen = web::Data::new(seen);
    let (receiver, mut outcomes) = Outcomes::of(receiver(SHORT));
    let server = HttpServer::new(move || {
        App::new()
            .app_data(seen.clone())
            .route(
                "/webhooks/twenty",
                web::post().to(|| async {
                    sleep(SHORT * 3).await;
                    HttpResponse::Ok().finish()
                }),
            )
            .wrap(WebhookMiddleware::new(receiver.clone()))
            .wrap(from_fn(look))
    });
    let server = server.workers(1).disable_signals().bind("127.0.0.1:0").unwrap();
    let address = server.addrs()[0];
    let server = server.run();
    let handle = server.handle();
    let task = tokio::spawn(server);
    let request = || delivery(event("seen")).line("POST /webhooks/twenty?a=b HTTP/1.1");
    for (status, kind, acknowledged) in [(202, OutcomeKind::Handled, true), (200, OutcomeKind::Duplicate, false)] {
        assert_eq!(soon(post(address, request())).await.unwrap().unwrap().status, status);
        let expected = (status, "POST".to_owned(), "/webhooks/twenty?a=b".to_owned(), true);
        assert_eq!(reported.recv().await.unwrap(), expected);
        expect(&mut outcomes, kind, acknowledged).await;
    }
    soon(handle.stop(false)).await;
    soon(task).await.unwrap().unwrap();
}
