//! Mistakes of other inboxes and queues that concern the store. Other such tests are in
//! `tests/inbox`.

use super::{
    super::super::store::{End, Put, Store},
    super::super::{Inbox, InboxBuilder, model},
    disk::Random,
    *,
};

/// A worker was frozen while another worker took its event. It must not end the other worker's run.
#[test]
fn a_stale_owner_changes_nothing() {
    block_on(async {
        let store = open(&created(), BOUNDS, &clock()).unwrap();
        store.put(event(0)).await.unwrap();
        let stale = store.take(take(1)).await.unwrap().events.pop().unwrap();
        store.begin().await.unwrap();
        let current = store.take(take(1)).await.unwrap().events.pop().unwrap();
        assert_eq!(current.attempts, 0);
        for end in [End::Complete, End::Release, End::Retry { delay: Duration::ZERO }] {
            assert!(!store.end(stale.lease, end).await.unwrap());
        }
        assert_eq!(store.stats().await.unwrap().running, 1);
        assert!(store.end(current.lease, End::Complete).await.unwrap());
        assert!(!store.end(current.lease, End::Complete).await.unwrap(), "once");
    });
}

/// When a put is answered, its event is on disk, not in a buffer.
#[test]
fn an_answered_put_is_on_disk() {
    block_on(async {
        let disk = created();
        let store = open(&disk, BOUNDS, &clock()).unwrap();
        for number in 0..20 {
            assert_eq!(store.put(event(number)).await.unwrap(), Put::Stored);
            let after = open(&disk.after_cut(&mut Random(number)), BOUNDS, &clock()).unwrap();
            assert_eq!(after.stats().await.unwrap().ready, number + 1);
        }
    });
}

#[test]
fn pages_of_long_dead_letters_are_short() {
    block_on(async {
        let store = open(&created(), BOUNDS, &clock()).unwrap();
        model::pages_of_long_dead_letters_are_short(&store).await;
    });
}

/// Expired keys are forgotten in steps, and events are taken in between.
#[test]
fn forgetting_a_lot_delays_no_event() {
    block_on(async {
        let clock = clock();
        let store = open(&created(), Bounds { max_pending: 10_000, ..BOUNDS }, &clock).unwrap();
        const COUNT: u64 = 1_200;
        join_all((0..COUNT).map(|number| store.put(event(number))).collect()).await;
        loop {
            let taken = store.take(take(64)).await.unwrap().events;
            if taken.is_empty() {
                break;
            }
            join_all(taken.iter().map(|taken| store.end(taken.lease, End::Complete)).collect()).await;
        }
        assert_eq!(store.stats().await.unwrap().remembered_keys, COUNT);
        clock.advance(Duration::from_secs(2 * 24 * 60 * 60));
        store.put(event(COUNT)).await.unwrap();
        let mut steps = 0;
        let mut before = COUNT;
        while store.maintain().await.unwrap() {
            steps += 1;
            let left = store.stats().await.unwrap().remembered_keys;
            assert!(before - left <= 500, "a step forgot {}", before - left);
            before = left;
            let taken = store.take(take(1)).await.unwrap().events.pop().unwrap();
            store.end(taken.lease, End::Release).await.unwrap();
        }
        assert!(steps >= 2);
        assert_eq!(store.stats().await.unwrap().remembered_keys, 0);
        assert_eq!(store.put(event(0)).await.unwrap(), Put::Stored, "its key was forgotten");
    });
}

/// Events that arrive at the same time share an fsync.
#[test]
fn a_thousand_concurrent_events_take_few_transactions() {
    block_on(async {
        let disk = created();
        let store = open(&disk, BOUNDS, &clock()).unwrap();
        let before = disk.syncs();
        store.put(event(0)).await.unwrap();
        let one = disk.syncs() - before;
        let before = disk.syncs();
        join_all((1..1_000).map(|number| store.put(event(number))).collect()).await;
        let many = disk.syncs() - before;
        assert!(one > 0 && many <= 100 * one, "{many} for 999, {one} for one");
        assert_eq!(store.stats().await.unwrap().ready, 1_000);
    });
}

/// The transaction that ends an event also takes the next event.
#[tokio::test]
async fn a_worker_commits_once_per_event_and_not_twice() {
    const EVENTS: u64 = 50;

    let disk = created();
    let store = open(&disk, BOUNDS, &clock()).unwrap();
    let before = disk.syncs();
    store.put(event(0)).await.unwrap();
    let one = disk.syncs() - before;
    for number in 1..EVENTS {
        store.put(event(number)).await.unwrap();
    }
    let inbox = Inbox::new(Arc::new(store), InboxBuilder::new());
    let (handled, mut received) = tokio::sync::mpsc::unbounded_channel();
    let handler = async |handled: tokio::sync::mpsc::UnboundedSender<()>, _: crate::WebhookEvent| {
        handled.send(()).unwrap();
    };
    let before = disk.syncs();
    let worker = inbox.worker(handled).fallback(handler).concurrency(1).start().unwrap();
    for _ in 0..EVENTS {
        received.recv().await.unwrap();
    }
    worker.shutdown(Duration::from_secs(60)).await;
    // One sync takes the first event, and another one may forget keys.
    let all = disk.syncs() - before;
    assert!(all <= (EVENTS + 2) * one, "{all} for {EVENTS} events, {one} for a put");
}

/// A worker that has nothing to do writes nothing.
#[test]
fn a_take_without_work_costs_no_fsync() {
    block_on(async {
        let disk = created();
        let store = open(&disk, BOUNDS, &clock()).unwrap();
        store.put(event(0)).await.unwrap();
        let busy = Take { busy: [event(0).record].into(), ..take(1) };
        let before = disk.syncs();
        for _ in 0..10 {
            let taken = store.take(busy.clone()).await.unwrap();
            assert!(taken.events.is_empty() && taken.left_busy);
        }
        for _ in 0..10 {
            assert!(store.take(Take { alone: true, ..take(1) }).await.unwrap().events.is_empty());
            store.maintain().await.unwrap();
            store.stats().await.unwrap();
        }
        assert_eq!(disk.syncs(), before);
    });
}
