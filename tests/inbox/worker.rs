//! Tests of how events are handled, with paused time and without a file.

use std::sync::atomic::AtomicUsize;

use tokio::{sync::Semaphore, time::sleep};
use twenty_webhook::{
    WebhookEvent,
    event::record::Person,
    inbox::{Accepted, Attempt, DeadReason, EventId, Handler, HandlerError, PermanentExt},
};

use super::*;

type Attempts = Log<(Duration, u32, bool)>;

/// Fails the first attempts. Returns the time and the number of each attempt.
async fn failing(inbox: &Inbox, fail: u32) -> Attempts {
    let log = Attempts::default();
    let began = Instant::now();
    let state = log.clone();
    let worker = inbox
        .worker(state)
        .fallback(move |log: Attempts, _: WebhookEvent, attempt: Attempt| async move {
            log.push((began.elapsed(), attempt.number, attempt.is_last));
            if attempt.number <= fail { Err("not yet") } else { Ok(()) }
        })
        .retry(policy())
        .start()
        .unwrap();
    until_empty(inbox).await;
    _ = worker.shutdown(SECONDS(1)).await;
    log
}

#[tokio::test(start_paused = true)]
async fn an_event_is_retried_after_growing_pauses_until_it_succeeds() {
    let inbox = in_memory();
    inbox.accept(note(1)).await.unwrap();
    let attempts = failing(&inbox, 2).await.entries();
    let numbers: Vec<_> = attempts.iter().map(|(_, number, is_last)| (*number, *is_last)).collect();
    assert_eq!(numbers, [(1, false), (2, false), (3, false)]);
    let pauses: Vec<_> = attempts.windows(2).map(|pair| pair[1].0 - pair[0].0).collect();
    // Half of a pause is random, and the store counts in milliseconds.
    let slack = Duration::from_millis(10);
    assert!((SECONDS(1) / 2..=SECONDS(1) + slack).contains(&pauses[0]), "{pauses:?}");
    assert!((SECONDS(1)..=SECONDS(2) + slack).contains(&pauses[1]), "{pauses:?}");
    assert_eq!(inbox.stats().await.unwrap().dead, 0);
}

/// A pause of any length is observed, even if no other event wakes the worker.
#[tokio::test(start_paused = true)]
async fn a_pause_shorter_than_a_second_is_respected() {
    for pause in [0, 1, 10, 300].map(Duration::from_millis) {
        let inbox = in_memory();
        inbox.accept(note(1)).await.unwrap();
        let log = Log::default();
        let worker = inbox
            .worker(log.clone())
            .fallback(move |log: Log<Instant>, _: WebhookEvent, attempt: Attempt| async move {
                log.push(Instant::now());
                if attempt.is_last { Ok(()) } else { Err(HandlerError::retry_after(pause, "not yet")) }
            })
            .retry(policy())
            .start()
            .unwrap();
        until_empty(&inbox).await;
        _ = worker.shutdown(SECONDS(1)).await;
        let times = log.entries();
        let pauses: Vec<_> = times.windows(2).map(|pair| pair[1] - pair[0]).collect();
        // The store counts in milliseconds.
        let slack = Duration::from_millis(10);
        assert!(pauses.len() == 3 && pauses.iter().all(|p| (pause..=pause + slack).contains(p)), "{pauses:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_event_without_attempts_left_becomes_a_dead_letter() {
    let inbox = in_memory();
    inbox.accept(note(1)).await.unwrap();
    let attempts = failing(&inbox, u32::MAX).await.entries();
    let numbers: Vec<_> = attempts.iter().map(|(_, number, is_last)| (*number, *is_last)).collect();
    assert_eq!(numbers, [(1, false), (2, false), (3, false), (4, true)]);
    let letter = inbox.dead_letters().next().await.unwrap().unwrap();
    assert_eq!((letter.reason(), letter.attempts(), letter.message()), (DeadReason::Exhausted, 4, "not yet"));
    assert_eq!(letter.body(), note(1).body());
}

/// Returns what a handler logs until it has completed one event.
async fn written_down<T, Args, H>(handler: H) -> Vec<T>
where
    T: Clone + Send + Sync + 'static,
    H: Handler<Log<T>, Args>,
{
    let inbox = in_memory();
    let log = Log::default();
    let worker = inbox.worker(log.clone()).fallback(handler).retry(policy()).start().unwrap();
    inbox.accept(note(1)).await.unwrap();
    until_empty(&inbox).await;
    drop(worker);
    log.entries()
}

#[tokio::test(start_paused = true)]
async fn the_event_and_its_id_are_the_same_on_each_attempt() {
    let entries = written_down(async |log: Log<(EventId, bytes::Bytes)>, event: WebhookEvent, attempt: Attempt| {
        log.push((attempt.id, event.body().clone()));
        if attempt.is_last { Ok(()) } else { Err("again") }
    })
    .await;
    assert_eq!(entries.len(), 4);
    assert!(entries.iter().all(|entry| *entry == entries[0]) && entries[0].1 == note(1).body());
}

/// Runs one attempt of a handler. Returns the resulting state of the event.
pub(crate) async fn fate<R>(
    handler: impl Fn(WebhookEvent) -> R + Send + Sync + 'static,
) -> (Stats, Option<(DeadReason, String)>)
where
    R: Future<Output = Result<(), HandlerError>> + Send + 'static,
{
    let inbox = in_memory();
    let worker = inbox.worker(()).on("note.created", handler).timeout(SECONDS(30)).retry(policy()).start().unwrap();
    inbox.accept(note(1)).await.unwrap();
    let stats = until_stats(&inbox, |stats| stats.ready + stats.running == 0).await;
    let letter = inbox.dead_letters().next().await.unwrap();
    drop(worker);
    (stats, letter.map(|letter| (letter.reason(), letter.message().to_owned())))
}

#[tokio::test(start_paused = true)]
async fn a_permanent_error_makes_a_dead_letter_immediately() {
    async fn parse(_: WebhookEvent) -> Result<(), HandlerError> {
        "x".parse::<u32>().permanent()?;
        Ok(())
    }
    let (stats, letter) = fate(parse).await;
    assert_eq!((stats.dead, stats.delayed), (1, 0));
    assert_eq!(letter, Some((DeadReason::Permanent, "invalid digit found in string".to_owned())));
}

#[tokio::test(start_paused = true)]
async fn an_event_is_retried_after_a_panic() {
    let (stats, _) = fate(async |_| panic!("in the handler")).await;
    assert_eq!((stats.dead, stats.delayed), (0, 1));
}

#[tokio::test(start_paused = true)]
async fn an_event_is_retried_after_a_timeout() {
    let (stats, _) = fate(async |_| {
        std::future::pending::<()>().await;
        Ok(())
    })
    .await;
    assert_eq!((stats.dead, stats.delayed), (0, 1));
}

#[tokio::test(start_paused = true)]
async fn a_pause_that_the_handler_requests_is_respected() {
    let times = written_down(async |log: Log<Instant>, _: WebhookEvent, attempt: Attempt| {
        log.push(Instant::now());
        if attempt.number == 1 { Err(HandlerError::retry_after(SECONDS(42), "busy")) } else { Ok(()) }
    })
    .await;
    let pause = times[1] - times[0];
    assert!((SECONDS(42)..SECONDS(43)).contains(&pause), "{pause:?}");
}

#[tokio::test(start_paused = true)]
async fn an_event_that_its_handler_cannot_read_becomes_a_dead_letter() {
    async fn person(_: WebhookEvent<Person>) {}

    let inbox = in_memory();
    let worker = inbox.worker(()).on("*.created", person).start().unwrap();
    inbox.accept(verified(body("company.created", "1", 1))).await.unwrap();
    until_stats(&inbox, |stats| stats.dead == 1).await;
    let letter = inbox.dead_letters().next().await.unwrap().unwrap();
    assert_eq!((letter.reason(), letter.attempts()), (DeadReason::Mismatch, 1));
    assert_eq!(letter.message(), "expected an event of `person`, found `company.created`");
    drop(worker);
}

#[tokio::test(start_paused = true)]
async fn a_verified_body_that_is_not_json_becomes_a_dead_letter() {
    async fn any(_: WebhookEvent) {}

    for has_fallback in [true, false] {
        let inbox = in_memory();
        let worker = inbox.worker(());
        let worker = if has_fallback { worker.fallback(any) } else { worker };
        let worker = worker.start().unwrap();
        assert_eq!(inbox.accept(verified("no JSON")).await.unwrap(), Accepted::Stored);
        until_stats(&inbox, |stats| stats.dead == 1).await;
        let letter = inbox.dead_letters().next().await.unwrap().unwrap();
        assert_eq!((letter.reason(), &**letter.body()), (DeadReason::Mismatch, b"no JSON".as_slice()));
        drop(worker);
    }
}

#[tokio::test(start_paused = true)]
async fn an_unmatched_event_is_completed() {
    async fn person(_: WebhookEvent<Person>) {}

    let inbox = in_memory();
    let worker = inbox.worker(()).on("person.created", person).start().unwrap();
    inbox.accept(note(1)).await.unwrap();
    until_empty(&inbox).await;
    let stats = inbox.stats().await.unwrap();
    assert_eq!((stats.dead, stats.remembered_keys), (0, 1));
    drop(worker);
}

#[tokio::test(start_paused = true)]
async fn as_many_events_run_as_there_are_slots() {
    let inbox = in_memory();
    let running = Arc::new((AtomicUsize::new(0), AtomicUsize::new(0)));
    for number in 0..50 {
        inbox.accept(note(number)).await.unwrap();
    }
    let worker = inbox
        .worker(Arc::clone(&running))
        .fallback(async |running: Arc<(AtomicUsize, AtomicUsize)>, _: WebhookEvent| {
            let now = running.0.fetch_add(1, Ordering::SeqCst) + 1;
            running.1.fetch_max(now, Ordering::SeqCst);
            sleep(SECONDS(1)).await;
            running.0.fetch_sub(1, Ordering::SeqCst);
        })
        .concurrency(7)
        .start()
        .unwrap();
    let began = Instant::now();
    until_empty(&inbox).await;
    assert_eq!(running.1.load(Ordering::SeqCst), 7);
    assert!(began.elapsed() < SECONDS(12), "50 events of 1 s in 7 slots took {:?}", began.elapsed());
    drop(worker);
}

#[tokio::test(start_paused = true)]
async fn events_of_one_record_do_not_run_at_the_same_time() {
    let inbox = in_memory();
    for number in 0..40 {
        let record = format!("record-{}", number % 3);
        inbox.accept(verified(body("note.updated", &record, number))).await.unwrap();
    }
    let log = Log::<(String, bool)>::default();
    let worker = inbox
        .worker(log.clone())
        .fallback(async |log: Log<_>, event: WebhookEvent, attempt: Attempt| {
            let record = event.raw_record().unwrap().get("id").unwrap().to_text().unwrap();
            log.push((record.clone(), true));
            sleep(Duration::from_millis(300)).await;
            log.push((record, false));
            if attempt.number == 1 { Err("once") } else { Ok(()) }
        })
        .retry(policy())
        .start()
        .unwrap();
    until_empty(&inbox).await;
    drop(worker);
    let mut running = std::collections::HashSet::new();
    let mut together = 0;
    for (record, begins) in log.entries() {
        if begins {
            assert!(running.insert(record.clone()), "two events of {record} at once");
        } else {
            running.remove(&record);
        }
        together = together.max(running.len());
    }
    assert_eq!((log.entries().len(), together), (2 * 2 * 40, 3));
}

/// Many new events leave slots for delayed events, and many delayed events leave slots for new
/// ones.
#[tokio::test(start_paused = true)]
async fn ready_and_delayed_events_get_a_quarter_of_the_slots_each() {
    for many_are_delayed in [false, true] {
        let inbox = in_memory();
        let log = Log::<bool>::default();
        let gate = Arc::new(Semaphore::new(0));
        let (delayed, ready) = if many_are_delayed { (400, 40) } else { (40, 400) };
        for number in 0..delayed {
            inbox.accept(note(number)).await.unwrap();
        }
        let state = (log.clone(), Arc::clone(&gate));
        let handler = async |(log, gate): (Log<bool>, Arc<Semaphore>), _: WebhookEvent, attempt: Attempt| {
            if attempt.number == 1 && gate.available_permits() == 0 {
                return Err(HandlerError::retry_after(SECONDS(10), "later"));
            }
            log.push(attempt.number > 1);
            sleep(Duration::from_millis(10)).await;
            Ok(())
        };
        let worker = inbox.worker(state).fallback(handler).concurrency(1).retry(policy()).start().unwrap();
        until_stats(&inbox, |stats| stats.delayed == delayed as u64).await;
        _ = worker.shutdown(SECONDS(1)).await;
        sleep(SECONDS(60)).await;
        gate.add_permits(1);
        for number in 0..ready {
            inbox.accept(note(1_000 + number)).await.unwrap();
        }
        let worker = inbox.worker((log.clone(), gate)).fallback(handler).concurrency(1).start().unwrap();
        until_empty(&inbox).await;
        drop(worker);
        // During these attempts there are events of both kinds.
        let first: Vec<_> = log.entries().into_iter().take(48).collect();
        let of_few = first.iter().filter(|was_delayed| **was_delayed != many_are_delayed).count();
        assert!(of_few >= 48 / 4, "{of_few} of 48, {many_are_delayed}");
    }
}

/// If the clock is set back by a day, an event waits no longer than the longest pause.
#[tokio::test(start_paused = true)]
async fn a_clock_that_is_set_back_stalls_no_event() {
    let clock = PausedClock::new();
    let inbox = Inbox::builder().clock(clock.clone()).in_memory();
    let log = Log::default();
    let worker = inbox
        .worker(log.clone())
        .fallback(async |log: Log<u32>, _: WebhookEvent, attempt: Attempt| {
            log.push(attempt.number);
            if attempt.number == 1 { Err("once") } else { Ok(()) }
        })
        .retry(policy())
        .start()
        .unwrap();
    inbox.accept(note(1)).await.unwrap();
    until_stats(&inbox, |stats| stats.delayed == 1).await;
    clock.set_back(SECONDS(24 * 60 * 60));
    let began = Instant::now();
    until_empty(&inbox).await;
    assert!(began.elapsed() < SECONDS(60 + 5), "{:?}", began.elapsed());
    assert_eq!(log.entries(), [1, 2]);
    drop(worker);
}

#[tokio::test(start_paused = true)]
async fn a_shutdown_waits_for_handlers_and_keeps_the_rest() {
    let inbox = in_memory();
    for number in 0..10 {
        inbox.accept(note(number)).await.unwrap();
    }
    let log = Log::default();
    let worker = inbox
        .worker(log.clone())
        .fallback(async |log: Log<()>, _: WebhookEvent| {
            sleep(SECONDS(5)).await;
            log.push(());
        })
        .concurrency(3)
        .start()
        .unwrap();
    sleep(SECONDS(1)).await;
    assert_eq!(worker.shutdown(SECONDS(10)).await.cancelled, 0);
    let stats = inbox.stats().await.unwrap();
    assert_eq!((log.entries().len(), stats.ready, stats.running), (3, 7, 0));
}

/// Dropping the worker has the same effect.
#[tokio::test(start_paused = true)]
async fn an_event_that_a_shutdown_cancels_stays_and_uses_up_no_attempt() {
    for is_dropped in [false, true] {
        let inbox = in_memory();
        inbox.accept(note(1)).await.unwrap();
        let log = Log::default();
        let handler = async |log: Log<(u32, bool)>, _: WebhookEvent, attempt: Attempt| {
            log.push((attempt.number, attempt.is_last));
            sleep(SECONDS(100)).await;
        };
        let policy = policy().attempts(1).interruptions(1);
        let start = || inbox.worker(log.clone()).fallback(handler).retry(policy).start();
        // This is more often than there are attempts or interruptions.
        for _ in 0..7 {
            let mut worker = start();
            until(async || {
                if worker.is_err() {
                    worker = start();
                }
                worker.is_ok()
            })
            .await;
            until_stats(&inbox, |stats| stats.running == 1).await;
            sleep(Duration::from_millis(1)).await;
            let worker = worker.unwrap();
            if is_dropped {
                drop(worker);
            } else {
                assert_eq!(worker.shutdown(SECONDS(1)).await.cancelled, 1);
            }
            until_stats(&inbox, |stats| stats.ready == 1).await;
        }
        assert_eq!(log.entries(), [(1, true); 7]);
    }
}
