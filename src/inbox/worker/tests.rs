//! What the worker makes of a store that fails.

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicBool, AtomicUsize, Ordering},
};

use tokio::{
    sync::Notify,
    time::{Duration, sleep},
};

use super::super::{
    Accepted, DeadLetter, EventId, Inbox, InboxBuilder, InboxError, InboxErrorKind, RecordKey, Stats, StoredEvent,
    store::{End, Lease, Put, Step, Store, StoreFuture, Take, Taken, TakenEvent, Which},
};
use crate::{
    deduplicate::ClaimKey,
    verify::{Signer, Timestamp, Verified, Verifier},
};

/// Which of the worker's calls go wrong, and how.
#[derive(Clone, Copy, Debug)]
enum Fault {
    /// There is a suspect, and it cannot be taken: another one has locked its row.
    SuspectIsLocked,
    /// There was a suspect, and the store fails since.
    TakesFail,
    /// Everything that the worker asks for fails.
    EverythingFails,
    /// Events can be taken, and then nothing can be written any more.
    FailsWhileTheyRun,
    /// There is one event, and the renewal of its lease panics.
    RenewalPanics,
}

#[derive(Debug)]
struct Faulty {
    fault: Fault,
    calls: AtomicUsize,
    has_taken: AtomicBool,
    work: Notify,
    ends: Mutex<Vec<(Lease, End)>>,
}

impl Faulty {
    fn new(fault: Fault) -> Self {
        Self {
            fault,
            calls: AtomicUsize::new(0),
            has_taken: AtomicBool::new(false),
            work: Notify::new(),
            ends: Mutex::default(),
        }
    }

    fn answer<T: Send + 'static>(&self, value: T) -> StoreFuture<'_, T> {
        let is_failure = matches!(self.fault, Fault::EverythingFails | Fault::FailsWhileTheyRun);
        Box::pin(async move { if is_failure { Err(unavailable()) } else { Ok(value) } })
    }
}

fn verified(record: usize) -> Verified {
    let body = format!(r#"{{"eventName":"note.created","record":{{"id":"{record}"}}}}"#);
    let headers = Signer::new("secret").unwrap().sign(&body).pairs();
    Verifier::new("secret").unwrap().verify(headers, body).unwrap()
}

fn taken(number: usize) -> TakenEvent {
    let verified = verified(number);
    let key = ClaimKey::new("", verified.keys_id(), verified.body());
    let record = RecordKey::of_body(verified.body());
    let event = StoredEvent { key, record, accepted_at: Timestamp::from_millis(0), verified };
    let lease = Lease { event: u64::try_from(number).unwrap(), token: 1 };
    TakenEvent { lease, event, attempts: 0, interruptions: 0 }
}

fn unavailable() -> InboxError {
    InboxError::new(InboxErrorKind::Unavailable, "out of order")
}

impl Store for Faulty {
    fn put(&self, _: StoredEvent) -> StoreFuture<'_, Put> {
        self.answer(Put::Stored)
    }

    fn begin(&self) -> StoreFuture<'_, ()> {
        self.calls.fetch_add(1, Ordering::Relaxed);
        let is_failure = matches!(self.fault, Fault::EverythingFails);
        Box::pin(async move { if is_failure { Err(unavailable()) } else { Ok(()) } })
    }

    fn take(&self, take: Take) -> StoreFuture<'_, Taken> {
        let calls = self.calls.fetch_add(1, Ordering::Relaxed);
        let had_taken = self.has_taken.swap(true, Ordering::Relaxed);
        let suspects = !take.alone;
        let ended = vec![true; take.ends.len()];
        self.ends.lock().unwrap().extend(take.ends);
        Box::pin(async move {
            if calls > 10_000 {
                // Lets the time go on, so that a loop without a pause ends the test.
                std::future::pending::<()>().await;
            }
            match self.fault {
                Fault::SuspectIsLocked => Ok(Taken { suspects, ..Taken::default() }),
                Fault::TakesFail if !had_taken => Ok(Taken { suspects, ..Taken::default() }),
                Fault::FailsWhileTheyRun if !had_taken => {
                    Ok(Taken { events: (0..take.limit).map(taken).collect(), ..Taken::default() })
                }
                Fault::RenewalPanics if !had_taken => Ok(Taken { events: vec![taken(0)], ..Taken::default() }),
                Fault::RenewalPanics => Ok(Taken { ended, ..Taken::default() }),
                Fault::TakesFail | Fault::EverythingFails | Fault::FailsWhileTheyRun => Err(unavailable()),
            }
        })
    }

    fn lease(&self) -> Option<Duration> {
        matches!(self.fault, Fault::RenewalPanics).then_some(Duration::from_secs(3))
    }

    fn renew(&self, _: Lease) -> StoreFuture<'_, bool> {
        Box::pin(async { panic!("as a recorder of the user's could") })
    }

    fn work(&self) -> &Notify {
        &self.work
    }

    fn maintain(&self) -> StoreFuture<'_, bool> {
        self.calls.fetch_add(1, Ordering::Relaxed);
        self.answer(false)
    }

    fn stats(&self) -> StoreFuture<'_, Stats> {
        self.answer(Stats::default())
    }

    fn dead_letters(&self, _: u64, _: usize) -> StoreFuture<'_, Vec<(u64, DeadLetter)>> {
        self.answer(Vec::new())
    }

    fn dead_letter(&self, _: EventId) -> StoreFuture<'_, Option<DeadLetter>> {
        self.answer(None)
    }

    fn redrive(&self, _: Which) -> StoreFuture<'_, Step> {
        self.answer(Step { count: 0, last: None })
    }

    fn purge(&self, _: Which) -> StoreFuture<'_, Step> {
        self.answer(Step { count: 0, last: None })
    }

    fn erase(&self, _: RecordKey) -> StoreFuture<'_, u64> {
        self.answer(0)
    }

    fn compact(&self) -> StoreFuture<'_, bool> {
        self.answer(false)
    }
}

/// A store that answers at once, whatever it answers, is asked a few times a second at most.
#[tokio::test(start_paused = true)]
async fn a_store_that_gives_nothing_is_not_asked_without_a_pause() {
    for fault in [Fault::SuspectIsLocked, Fault::TakesFail, Fault::EverythingFails] {
        let store = Arc::new(Faulty::new(fault));
        let inbox = Inbox::new(Arc::clone(&store) as Arc<dyn Store>, InboxBuilder::new());
        let worker = inbox.worker(()).start().unwrap();
        sleep(Duration::from_secs(60)).await;
        let calls = store.calls.load(Ordering::Relaxed);
        assert!((50..=400).contains(&calls), "{fault:?}: {calls} calls in a minute");
        drop(worker);
    }
}

/// Handlers that are done, and whose ends cannot be written, take no slot from what cannot be stored:
/// it is handled at once, also where it is about the same record.
#[tokio::test(start_paused = true)]
async fn ends_that_cannot_be_written_keep_nothing_from_being_handled_at_once() {
    for fault in [Fault::FailsWhileTheyRun, Fault::EverythingFails] {
        let store = Arc::new(Faulty::new(fault));
        let inbox = Inbox::new(Arc::clone(&store) as Arc<dyn Store>, InboxBuilder::new());
        let handler = async |_: crate::WebhookEvent| {};
        let worker = inbox.worker(()).fallback(handler).concurrency(4).start().unwrap();
        sleep(Duration::from_secs(10)).await;
        for record in 0..8 {
            assert_eq!(inbox.accept(verified(record)).await.unwrap(), Accepted::Handled, "{fault:?} {record}");
        }
        drop(worker);
    }
}

/// The event's slot is free again, and the event is tried again later.
#[tokio::test(start_paused = true)]
async fn a_panic_beside_the_handler_leaves_no_event_running_and_takes_no_slot() {
    let store = Arc::new(Faulty::new(Fault::RenewalPanics));
    let inbox = Inbox::new(Arc::clone(&store) as Arc<dyn Store>, InboxBuilder::new());
    let handler = async |_: crate::WebhookEvent| sleep(Duration::from_secs(60)).await;
    let worker = inbox.worker(()).fallback(handler).concurrency(1).start().unwrap();
    sleep(Duration::from_secs(10)).await;
    let ends = std::mem::take(&mut *store.ends.lock().unwrap());
    assert!(matches!(ends[..], [(lease, End::Retry { .. })] if lease == taken(0).lease), "{ends:?}");
    let calls = store.calls.load(Ordering::Relaxed);
    sleep(Duration::from_secs(10)).await;
    assert!(store.calls.load(Ordering::Relaxed) >= calls + 10, "it takes no more");
    drop(worker);
}

/// No more handlers run at once than there are slots, whether their events were taken or could not be
/// stored.
#[tokio::test(start_paused = true)]
async fn handlers_that_run_at_once_are_bounded_by_the_slots() {
    let store = Arc::new(Faulty::new(Fault::FailsWhileTheyRun));
    let inbox = Inbox::new(Arc::clone(&store) as Arc<dyn Store>, InboxBuilder::new());
    let running = Arc::new((AtomicUsize::new(0), AtomicUsize::new(0)));
    let handler = async |running: Arc<(AtomicUsize, AtomicUsize)>, _: crate::WebhookEvent| {
        let now = running.0.fetch_add(1, Ordering::Relaxed) + 1;
        running.1.fetch_max(now, Ordering::Relaxed);
        sleep(Duration::from_millis(500)).await;
        running.0.fetch_sub(1, Ordering::Relaxed);
    };
    let worker = inbox.worker(Arc::clone(&running)).fallback(handler).concurrency(4).start().unwrap();
    let accepting: Vec<_> = (10..30)
        .map(|record| {
            let inbox = inbox.clone();
            tokio::spawn(async move { inbox.accept(verified(record)).await.is_ok() })
        })
        .collect();
    let mut handled = 0;
    for accepted in accepting {
        handled += usize::from(accepted.await.unwrap());
    }
    assert!(handled >= 8, "{handled}");
    assert_eq!(running.1.load(Ordering::Relaxed), 4);
    drop(worker);
}
