//! Tests of dead letters: their content, listing, redriving, purging and erasing.

use twenty_webhook::{
    Verifier, WebhookEvent,
    inbox::{Accepted, Attempt, DeadReason, EventId, HandlerError},
    verify::{FixedClock, Secret},
};

use super::*;

/// Returns an inbox on disk with this number of dead letters.
async fn with_dead_letters(name: &str, count: usize) -> Inbox {
    let inbox = Inbox::open(path(name)).unwrap();
    for number in 0..count {
        inbox.accept(note(number)).await.unwrap();
    }
    let handler = async |_: WebhookEvent| Err::<(), _>(HandlerError::permanent("no"));
    let worker = inbox.worker(()).fallback(handler).start().unwrap();
    until_stats(&inbox, |stats| stats.dead == count as u64).await;
    _ = worker.shutdown(SECONDS(10)).await;
    inbox
}

async fn ids(inbox: &Inbox) -> Vec<EventId> {
    let mut letters = inbox.dead_letters();
    let mut ids = Vec::new();
    while let Some(letter) = letters.next().await.unwrap() {
        ids.push(letter.id());
    }
    ids
}

#[tokio::test]
async fn a_dead_letter_keeps_its_whole_body_and_its_evidence() {
    let inbox = with_dead_letters("whole", 1).await;
    let letter = inbox.dead_letters().next().await.unwrap().unwrap();
    assert_eq!(letter.body(), note(0).body());
    assert_eq!((letter.name().as_str(), letter.reason()), ("note.created", DeadReason::Permanent));
    // The capture of a dead letter verifies again.
    let clock = FixedClock::at(letter.verified().timestamp());
    let verifier = Verifier::builder().secret(Secret::new("secret").unwrap()).clock(clock).build().unwrap();
    let again = verifier.verify(letter.signature_headers().pairs(), letter.body().clone()).unwrap();
    assert_eq!(again.keys_id(), letter.verified().keys_id());
    let shown = format!("{letter:?}");
    assert!(!shown.contains("record-0") && !shown.contains("signature"), "{shown}");
}

#[tokio::test]
async fn any_number_of_dead_letters_is_listed_in_order() {
    let inbox = with_dead_letters("listed", 40).await;
    let listed = ids(&inbox).await;
    assert_eq!(listed.len(), 40);
    let mut letters = inbox.dead_letters();
    for number in 0..40 {
        assert_eq!(letters.next().await.unwrap().unwrap().body(), note(number).body());
    }
    for id in listed {
        assert_eq!(inbox.dead_letter(id).await.unwrap().unwrap().id(), id);
        assert_eq!(id.to_string().parse::<EventId>().unwrap(), id);
    }
}

/// The event keeps its key, so it is not a duplicate of itself.
#[tokio::test]
async fn a_redriven_event_starts_again_at_its_first_attempt() {
    let inbox = with_dead_letters("redriven", 3).await;
    let first = ids(&inbox).await[0];
    assert!(inbox.redrive(first).await.unwrap());
    assert!(!inbox.redrive(first).await.unwrap(), "it is no longer a dead letter");
    assert_eq!(inbox.accept(note(0)).await.unwrap(), Accepted::Duplicate);
    assert_eq!(inbox.redrive_all().await.unwrap(), 2);
    let log = Log::default();
    let worker = inbox
        .worker(log.clone())
        .fallback(async |log: Log<_>, _: WebhookEvent, attempt: Attempt| log.push((attempt.id, attempt.number)))
        .start()
        .unwrap();
    until_empty(&inbox).await;
    _ = worker.shutdown(SECONDS(10)).await;
    let stats = inbox.stats().await.unwrap();
    assert_eq!((stats.dead, stats.bytes, stats.remembered_keys), (0, 0, 3));
    assert_eq!(log.entries().len(), 3);
    assert!(log.entries().contains(&(first, 1)));
}

#[tokio::test]
async fn a_purged_dead_letter_is_gone_and_its_duplicate_counts_as_handled() {
    let inbox = with_dead_letters("purged", 3).await;
    let first = ids(&inbox).await[0];
    assert!(inbox.purge(first).await.unwrap() && !inbox.purge(first).await.unwrap());
    assert!(inbox.dead_letter(first).await.unwrap().is_none());
    assert_eq!(inbox.purge_all().await.unwrap(), 2);
    assert_eq!(inbox.accept(note(0)).await.unwrap(), Accepted::Duplicate);
    let stats = inbox.stats().await.unwrap();
    assert_eq!((stats.ready, stats.dead, stats.bytes), (0, 0, 0));
}

#[tokio::test]
async fn all_events_of_a_record_can_be_erased() {
    let inbox = with_dead_letters("erased", 2).await;
    for number in 0..3 {
        inbox.accept(verified(body("note.updated", "record-0", number))).await.unwrap();
    }
    inbox.accept(verified(body("note.updated", "record-9", 9))).await.unwrap();
    assert_eq!(inbox.erase_record("record-0").await.unwrap(), 4);
    assert_eq!(inbox.erase_record("record-0").await.unwrap(), 0);
    let stats = inbox.stats().await.unwrap();
    assert_eq!((stats.ready, stats.dead), (1, 1));
    inbox.compact().await.unwrap();
    assert_eq!(inbox.stats().await.unwrap(), stats);
}

#[tokio::test(start_paused = true)]
async fn dead_letters_are_deleted_when_their_retention_ends() {
    let inbox = in_memory_with(|builder| builder.keep_dead_letters_for(SECONDS(3600)));
    inbox.accept(note(1)).await.unwrap();
    let handler = async |_: WebhookEvent| Err::<(), _>(HandlerError::permanent("no"));
    let worker = inbox.worker(()).fallback(handler).start().unwrap();
    tokio::time::sleep(SECONDS(3590)).await;
    assert_eq!(inbox.stats().await.unwrap().dead, 1);
    tokio::time::sleep(SECONDS(30)).await;
    assert_eq!(inbox.stats().await.unwrap().dead, 0);
    drop(worker);
}
