//! Tests the inbox as a handler in axum, actix-web and tower: responses and outcomes are the same.

use std::{sync::mpsc, time::Duration};

use actix_web::{App, test, web};
use axum::{Router, body::Body, routing::post};
use tower::{Layer as _, ServiceExt as _};
use twenty_webhook::{
    Receiver, Verifier,
    actix_web::WebhookMiddleware,
    deduplicate::MemoryStore,
    inbox::{HandlerError, Inbox, InboxFailure, PermanentExt},
    receiver::{OutcomeKind, WebhookRejection},
    testing::{Delivery, SignedDelivery},
    tower::WebhookLayer,
    verify::Signer,
};

use super::{Log, in_memory, in_memory_with, until_stats};

#[derive(Clone, Copy, Debug)]
enum Framework {
    Axum,
    Actix,
    Tower,
}

fn delivery() -> SignedDelivery {
    Delivery::sample("person.created").sign(&Signer::new("secret").unwrap())
}

/// Returns the status and the rejection of a request to an inbox, with or without this receiver.
async fn ask(
    framework: Framework,
    receiver: Option<Receiver>,
    inbox: &Inbox,
    delivery: SignedDelivery,
) -> (u16, Option<WebhookRejection>) {
    let inbox = inbox.clone();
    match framework {
        Framework::Axum => {
            let route = post(inbox);
            let route = match receiver {
                Some(receiver) => route.layer(WebhookLayer::new(receiver)),
                None => route,
            };
            let app = Router::new().route("/", route);
            let response = app.oneshot(delivery.into_http_request::<Body>("/").unwrap()).await.unwrap();
            (response.status().as_u16(), response.extensions().get().cloned())
        }
        Framework::Tower => {
            let request = delivery.into_http_request::<Body>("/").unwrap();
            let (status, rejection) = match receiver {
                Some(receiver) => {
                    let response = WebhookLayer::new(receiver).layer(inbox).oneshot(request).await.unwrap();
                    (response.status(), response.extensions().get().cloned())
                }
                None => {
                    let response = inbox.oneshot(request).await.unwrap();
                    (response.status(), response.extensions().get().cloned())
                }
            };
            (status.as_u16(), rejection)
        }
        Framework::Actix => {
            let resource = web::resource("/").route(web::post().to(inbox));
            let request = delivery.into_test_request();
            match receiver {
                Some(receiver) => {
                    let app = App::new().service(resource.wrap(WebhookMiddleware::new(receiver)));
                    let response = test::call_service(&test::init_service(app).await, request.to_request()).await;
                    (response.status().as_u16(), response.response().extensions().get().cloned())
                }
                None => {
                    let app = App::new().service(resource);
                    let response = test::call_service(&test::init_service(app).await, request.to_request()).await;
                    (response.status().as_u16(), response.response().extensions().get().cloned())
                }
            }
        }
    }
}

fn receiver() -> Receiver {
    Receiver::new(Verifier::new("secret").unwrap())
}

const ALL: [Framework; 3] = [Framework::Axum, Framework::Actix, Framework::Tower];

#[actix_web::test]
async fn a_delivery_is_stored_once_and_handled() {
    for framework in ALL {
        let (sender, outcomes) = mpsc::channel();
        let receiver = receiver().on_outcome(move |outcome| sender.send(outcome.kind).unwrap());
        let inbox = in_memory();
        let delivery = delivery();
        for outcome in [OutcomeKind::Stored, OutcomeKind::Duplicate] {
            let answer = ask(framework, Some(receiver.clone()), &inbox, delivery.clone()).await;
            assert_eq!(answer, (200, None), "{framework:?}");
            assert_eq!(outcomes.try_recv(), Ok(outcome), "{framework:?}");
        }
        assert_eq!(inbox.stats().await.unwrap().ready, 1);
        let handled = Log::default();
        let log = handled.clone();
        let worker = inbox
            .worker(())
            .on("person.created", move |event: twenty_webhook::WebhookEvent| {
                log.push(event.name.to_string());
                async {}
            })
            .start()
            .unwrap();
        until_stats(&inbox, |stats| stats.ready + stats.running == 0).await;
        assert_eq!(handled.entries(), ["person.created"]);
        worker.shutdown(Duration::from_secs(10)).await;
    }
}

/// The inbox itself answers early and deduplicates. A claim before it would be a second memory of
/// handled deliveries, which can contradict the inbox.
#[actix_web::test]
async fn a_receiver_that_deduplicates_or_acknowledges_is_rejected() {
    for framework in ALL {
        for receiver in
            [receiver().deduplicate(MemoryStore::new(10)), receiver().acknowledge_within(Duration::from_secs(4))]
        {
            let inbox = in_memory();
            let answer = ask(framework, Some(receiver), &inbox, delivery()).await;
            assert_eq!(answer, (500, Some(WebhookRejection::InboxBehindManaged)), "{framework:?}");
            assert_eq!(inbox.stats().await.unwrap().ready, 0);
        }
    }
}

#[actix_web::test]
async fn without_the_middleware_nothing_is_stored() {
    for framework in ALL {
        let inbox = in_memory();
        let answer = ask(framework, None, &inbox, delivery()).await;
        assert_eq!(answer, (500, Some(WebhookRejection::MissingMiddleware)), "{framework:?}");
        assert_eq!(inbox.stats().await.unwrap().ready, 0);
    }
}

/// A full inbox fails in the same way as an inbox on a full disk.
fn full(failure: InboxFailure) -> Inbox {
    in_memory_with(|builder| builder.max_pending(0).on_failure(failure))
}

#[actix_web::test]
async fn a_delivery_that_cannot_be_stored_is_handled_or_rejected() {
    // Storing is retried for a while.
    tokio::time::pause();
    for framework in ALL {
        let rejected = (503, Some(WebhookRejection::NotStored));
        for failure in [InboxFailure::Handle, InboxFailure::Reject] {
            let inbox = full(failure);
            // Without a worker, no handler can be called.
            assert_eq!(ask(framework, Some(receiver()), &inbox, delivery()).await, rejected, "{framework:?}");
            let worker = inbox
                .worker(())
                .on("person.created", async |_: twenty_webhook::WebhookEvent| {})
                .on("note.*", async |_: twenty_webhook::WebhookEvent| -> Result<(), HandlerError> {
                    Err("no").permanent()
                })
                .start()
                .unwrap();
            let handled = if failure == InboxFailure::Handle { (200, None) } else { rejected.clone() };
            assert_eq!(ask(framework, Some(receiver()), &inbox, delivery()).await, handled, "{framework:?}");
            let fails = Delivery::sample("note.created").sign(&Signer::new("secret").unwrap());
            assert_eq!(ask(framework, Some(receiver()), &inbox, fails).await, rejected, "{framework:?}");
            worker.shutdown(Duration::from_secs(10)).await;
        }
    }
}
