//! Tests how the inbox accepts verified deliveries, and what it does if it cannot store them.

use tokio::time::sleep;
use twenty_webhook::{
    WebhookEvent,
    inbox::{Accepted, InboxErrorKind, InboxFailure},
};

use super::*;

#[tokio::test(start_paused = true)]
async fn a_duplicate_is_accepted_and_not_handled_again() {
    let inbox = in_memory();
    assert_eq!(inbox.accept(note(1)).await.unwrap(), Accepted::Stored);
    assert_eq!(inbox.accept(note(1)).await.unwrap(), Accepted::Duplicate, "while it is pending");
    let log = Log::default();
    let worker =
        inbox.worker(log.clone()).fallback(async |log: Log<()>, _: WebhookEvent| log.push(())).start().unwrap();
    until_empty(&inbox).await;
    sleep(SECONDS(23 * 60 * 60)).await;
    assert_eq!(inbox.accept(note(1)).await.unwrap(), Accepted::Duplicate, "when it was handled");
    until_empty(&inbox).await;
    assert_eq!(log.entries().len(), 1);
    // Afterwards the key is forgotten. By then a replayed delivery no longer verifies.
    sleep(SECONDS(2 * 60 * 60)).await;
    assert_eq!(inbox.stats().await.unwrap().remembered_keys, 0);
    drop(worker);
}

/// For any setting, a key is remembered for at least five minutes and one more minute.
#[tokio::test(start_paused = true)]
async fn a_key_is_remembered_while_a_duplicate_verifies() {
    let inbox = in_memory_with(|builder| builder.remember_for(Duration::ZERO));
    assert_eq!(inbox.accept(note(1)).await.unwrap(), Accepted::Stored);
    let worker = inbox.worker(()).fallback(async |_: WebhookEvent| {}).start().unwrap();
    until_empty(&inbox).await;
    sleep(SECONDS(5 * 60)).await;
    assert_eq!(inbox.accept(note(1)).await.unwrap(), Accepted::Duplicate);
    sleep(SECONDS(5 * 60)).await;
    assert_eq!(inbox.stats().await.unwrap().remembered_keys, 0);
    drop(worker);
}

#[tokio::test(start_paused = true)]
async fn namespaces_and_custom_keys_distinguish_deliveries() {
    let by_name = in_memory_with(|builder| builder.key_by(|event: &WebhookEvent| Some(vec![event.name.to_string()])));
    assert_eq!(by_name.accept(note(1)).await.unwrap(), Accepted::Stored);
    assert_eq!(by_name.accept(note(2)).await.unwrap(), Accepted::Duplicate);
    // The body is the key if `key_by` panics.
    let panics = in_memory_with(|builder| builder.key_by(|_: &WebhookEvent| panic!("in key_by")));
    assert_eq!(panics.accept(note(1)).await.unwrap(), Accepted::Stored);
    assert_eq!(panics.accept(note(2)).await.unwrap(), Accepted::Stored);
    assert_eq!(panics.accept(note(1)).await.unwrap(), Accepted::Duplicate);
}

#[tokio::test(start_paused = true)]
async fn limits_of_events_and_bytes_apply() {
    let reject = |builder: InboxBuilder| builder.on_failure(InboxFailure::Reject);
    let few = in_memory_with(|builder| reject(builder).max_pending(2));
    let small = in_memory_with(|builder| reject(builder).max_bytes(500));
    for inbox in [few, small] {
        for number in 0..2 {
            assert_eq!(inbox.accept(note(number)).await.unwrap(), Accepted::Stored);
        }
        assert_eq!(inbox.accept(note(2)).await.unwrap_err().kind(), InboxErrorKind::Full);
        assert_eq!(inbox.accept(note(1)).await.unwrap(), Accepted::Duplicate, "which takes no room");
        let stats = inbox.stats().await.unwrap();
        assert_eq!(stats.ready, 2);
    }
}

/// A delivery is stored if an event is completed while storing is retried.
#[tokio::test(start_paused = true)]
async fn storing_is_retried_for_a_while() {
    let inbox = in_memory_with(|builder| builder.max_pending(1).on_failure(InboxFailure::Reject));
    inbox.accept(note(1)).await.unwrap();
    let accepting = tokio::spawn({
        let inbox = inbox.clone();
        async move { inbox.accept(note(2)).await }
    });
    sleep(SECONDS(1)).await;
    assert!(!accepting.is_finished());
    let worker = inbox.worker(()).start().unwrap();
    assert_eq!(accepting.await.unwrap().unwrap(), Accepted::Stored);
    drop(worker);
}

/// Returns an inbox that cannot store anything.
fn full() -> Inbox {
    in_memory_with(|builder| builder.max_pending(0))
}

#[tokio::test(start_paused = true)]
async fn a_delivery_that_cannot_be_stored_is_handled_directly() {
    let inbox = full();
    let log = Log::default();
    let handler = async |log: Log<String>, event: WebhookEvent| log.push(event.name.to_string());
    let worker = inbox.worker(log.clone()).fallback(handler).start().unwrap();
    assert_eq!(inbox.accept(note(1)).await.unwrap(), Accepted::Handled);
    assert_eq!(inbox.accept(note(1)).await.unwrap(), Accepted::Duplicate, "which is remembered without the store");
    assert_eq!(log.entries(), ["note.created"]);
    drop(worker);
}

#[tokio::test(start_paused = true)]
async fn a_delivery_that_can_neither_be_stored_nor_handled_is_rejected() {
    let without_worker = full();
    assert_eq!(without_worker.accept(note(1)).await.unwrap_err().kind(), InboxErrorKind::Full);

    let failing = full();
    let worker = failing.worker(()).fallback(async |_: WebhookEvent| Err("no")).start().unwrap();
    assert_eq!(failing.accept(note(1)).await.unwrap_err().kind(), InboxErrorKind::Full);
    drop(worker);

    let busy = full();
    let worker = busy.worker(()).fallback(async |_: WebhookEvent| sleep(SECONDS(100)).await).concurrency(1);
    let worker = worker.start().unwrap();
    let first = tokio::spawn({
        let busy = busy.clone();
        async move { busy.accept(note(1)).await }
    });
    sleep(SECONDS(2)).await;
    let began = Instant::now();
    assert_eq!(busy.accept(note(2)).await.unwrap_err().kind(), InboxErrorKind::Full);
    assert!(began.elapsed() < SECONDS(4), "Twenty waits for 5 s: {:?}", began.elapsed());
    assert_eq!(first.await.unwrap().unwrap(), Accepted::Handled);
    drop(worker);
}

/// Only this process remembers the key, not the store.
#[tokio::test(start_paused = true)]
async fn a_delivery_handled_directly_is_not_handled_again_when_the_store_recovers() {
    let inbox = in_memory_with(|builder| builder.max_pending(1));
    let log = Log::default();
    let handler = async |log: Log<String>, event: WebhookEvent| {
        if event.name == "note.created" {
            sleep(SECONDS(10)).await;
        }
        log.push(event.name.to_string());
    };
    let worker = inbox.worker(log.clone()).fallback(handler).start().unwrap();
    let task = || verified(body("task.created", "1", 1));
    inbox.accept(note(1)).await.unwrap();
    assert_eq!(inbox.accept(task()).await.unwrap(), Accepted::Handled);
    until_empty(&inbox).await;
    assert_eq!(inbox.accept(task()).await.unwrap(), Accepted::Duplicate);
    until_empty(&inbox).await;
    assert_eq!(log.entries(), ["task.created", "note.created"]);
    drop(worker);
}

/// Twenty disconnects, and the server drops the request. The event is handled nevertheless.
#[tokio::test(start_paused = true)]
async fn direct_handling_continues_when_the_request_is_cancelled() {
    let inbox = full();
    let log = Log::default();
    let handler = async |log: Log<()>, _: WebhookEvent| {
        sleep(SECONDS(10)).await;
        log.push(());
    };
    let worker = inbox.worker(log.clone()).fallback(handler).start().unwrap();
    let cancelled = tokio::time::timeout(SECONDS(5), inbox.accept(note(1))).await;
    assert!(cancelled.is_err() && log.entries().is_empty());
    sleep(SECONDS(10)).await;
    assert_eq!(log.entries().len(), 1);
    drop(worker);
}

#[tokio::test(start_paused = true)]
async fn a_delivery_that_the_inbox_must_reject_is_not_handled() {
    let inbox = in_memory_with(|builder| builder.max_pending(0).on_failure(InboxFailure::Reject));
    let log = Log::default();
    let worker =
        inbox.worker(log.clone()).fallback(async |log: Log<()>, _: WebhookEvent| log.push(())).start().unwrap();
    assert_eq!(inbox.accept(note(1)).await.unwrap_err().kind(), InboxErrorKind::Full);
    assert!(log.entries().is_empty());
    drop(worker);
}
