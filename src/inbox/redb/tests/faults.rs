//! A full disk, damaged files, and files of other programs.

use redb::ReadableTable as _;

use super::{
    super::super::{
        Accepted, DeadReason, Inbox, InboxBuilder, InboxErrorKind, StoredEvent,
        store::{End, Put, Store, Which},
    },
    *,
};

#[test]
fn a_full_disk_fails_and_recovers_once_there_is_space() {
    block_on(async {
        let disk = created();
        let store = open(&disk, BOUNDS, &clock()).unwrap();
        assert_eq!(store.put(event(0)).await.unwrap(), Put::Stored);
        let taken = store.take(take(1)).await.unwrap().events.pop().unwrap();
        disk.set_full(true);
        for number in 1..4 {
            assert_eq!(store.put(event(number)).await.unwrap_err().kind(), InboxErrorKind::Unavailable);
        }
        assert_eq!(store.end(taken.lease, End::Complete).await.unwrap_err().kind(), InboxErrorKind::Unavailable);
        disk.set_full(false);
        assert_eq!(store.put(event(1)).await.unwrap(), Put::Stored);
        // The lease is still valid, because the process did not end.
        assert!(store.end(taken.lease, End::Complete).await.unwrap());
        assert_eq!(store.put(event(0)).await.unwrap(), Put::Duplicate);
        let stats = store.stats().await.unwrap();
        assert_eq!((stats.ready, stats.running), (1, 0));
    });
}

/// A worker that was replaced may still end its events.
#[test]
fn an_end_with_an_old_lease_does_not_free_the_event_when_the_file_is_opened_again() {
    block_on(async {
        let disk = created();
        let store = open(&disk, BOUNDS, &clock()).unwrap();
        store.put(event(0)).await.unwrap();
        let old = store.take(take(1)).await.unwrap().events.pop().unwrap();
        store.begin().await.unwrap();
        let taken = store.take(take(1)).await.unwrap().events.pop().unwrap();
        assert!(!store.end(old.lease, End::Complete).await.unwrap());
        disk.set_full(true);
        store.put(event(1)).await.unwrap_err();
        disk.set_full(false);
        assert_eq!(store.put(event(1)).await.unwrap(), Put::Stored);
        let others = store.take(take(2)).await.unwrap().events;
        assert_eq!(others.iter().map(|other| other.event.key).collect::<Vec<_>>(), [key(1)]);
        assert!(store.end(taken.lease, End::Complete).await.unwrap());
    });
}

/// After it is purged, only its own key is forgotten.
#[test]
fn an_event_that_cannot_be_read_becomes_a_dead_letter() {
    block_on(async {
        let disk = created();
        let store = open(&disk, BOUNDS, &clock()).unwrap();
        for number in 0..3 {
            store.put(event(number)).await.unwrap();
        }
        // The store's thread still has the first disk open.
        let disk = Disk::with_content(disk.content());
        {
            let database = file::open_backend(disk.clone(), CACHE).unwrap();
            let transaction = database.begin_write().unwrap();
            {
                let mut events = transaction.open_table(super::super::tables::EVENTS).unwrap();
                let places: Vec<_> = events.iter().unwrap().map(|entry| entry.unwrap().0.value()).collect();
                events.insert(places[1], &[0xff; 40][..]).unwrap();
            }
            transaction.commit().unwrap();
        }
        let store = open(&disk, BOUNDS, &clock()).unwrap();
        let taken = store.take(take(3)).await.unwrap();
        let keys: Vec<_> = taken.events.iter().map(|taken| taken.event.key).collect();
        assert_eq!((keys, taken.unreadable.len()), (vec![key(0), key(2)], 1));
        for taken in taken.events {
            assert!(store.end(taken.lease, End::Complete).await.unwrap());
        }
        let end = End::Dead { reason: DeadReason::Unreadable, message: "the stored event cannot be read".into() };
        assert!(store.end(taken.unreadable[0], end).await.unwrap());
        assert_eq!(store.stats().await.unwrap().dead, 1);
        assert_eq!(store.put(event(1)).await.unwrap(), Put::Duplicate);
        assert_eq!(store.purge(Which::SomeAfter(0)).await.unwrap().count, 1);
        for (number, put) in [(0, Put::Duplicate), (2, Put::Duplicate), (1, Put::Stored)] {
            assert_eq!(store.put(event(number)).await.unwrap(), put, "{number}");
        }
    });
}

/// Returns a store whose thread is blocked until the sender is dropped, as during a long fsync.
async fn standing_still(disk: &Disk) -> (RedbStore, std::sync::mpsc::Sender<()>) {
    let (go, gate) = std::sync::mpsc::channel::<()>();
    let database = file::open_backend(disk.clone(), CACHE).unwrap();
    let again = disk.clone();
    let reopen = Box::new(move || {
        _ = gate.recv();
        file::open_backend(again.clone(), CACHE)
    });
    let store = RedbStore::start(Some(database), reopen, BOUNDS, Arc::new(clock())).unwrap();
    disk.set_full(true);
    assert_eq!(store.put(event(9)).await.unwrap_err().kind(), InboxErrorKind::Unavailable);
    disk.set_full(false);
    (store, go)
}

/// The event is handled directly, because it is not stored in time. Then it is stored after all.
#[tokio::test(start_paused = true)]
async fn a_directly_handled_event_is_not_handled_again_when_it_is_stored_too_late() {
    let (store, go) = standing_still(&created()).await;
    let inbox = Inbox::new(Arc::new(store), InboxBuilder::new());
    let count = Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let handler = async |count: Arc<std::sync::atomic::AtomicUsize>, _: crate::WebhookEvent| {
        count.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    };
    let worker = inbox.worker(Arc::clone(&count)).fallback(handler).start().unwrap();
    let StoredEvent { verified, .. } = event(0);
    assert_eq!(inbox.accept(verified).await.unwrap(), Accepted::Handled);
    // With paused time, waiting for the thread would time out immediately.
    tokio::time::resume();
    drop(go);
    loop {
        let stats = inbox.stats().await.unwrap();
        if stats.remembered_keys == 1 && stats.ready + stats.running == 0 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(count.load(std::sync::atomic::Ordering::Relaxed), 1);
    drop(worker);
}

/// Bytes that wait for the thread count towards the limit, even if the callers no longer wait for
/// answers.
#[test]
fn puts_of_cancelled_callers_count_towards_the_limit() {
    block_on(async {
        let (store, go) = standing_still(&created()).await;
        let all = RedbStore::MAX_QUEUED_KIB as usize;
        for number in 0..100 {
            let mut put = store.put(event(number));
            std::future::poll_fn(|cx| {
                assert!(put.as_mut().poll(cx).is_pending());
                std::task::Poll::Ready(())
            })
            .await;
            // After this, the next put can acquire its permits immediately.
            tokio::task::yield_now().await;
        }
        assert!(store.queued.available_permits() <= all - 100);
        drop(go);
        while store.stats().await.unwrap().ready < 100 {}
        assert_eq!(store.queued.available_permits(), all);
    });
}

/// If the commit of a take failed, the take may have happened, although no worker has its events.
#[test]
fn events_of_an_ambiguous_take_are_ready_again() {
    block_on(async {
        for operations in 1..60 {
            let disk = created();
            let store = open(&disk, BOUNDS, &clock()).unwrap();
            store.put(event(0)).await.unwrap();
            disk.cut_after(operations);
            let first = store.take(take(1)).await;
            disk.cut_after(u64::MAX >> 1);
            let second = store.take(take(1)).await.unwrap();
            let taken = first.iter().chain([&second]).map(|taken| taken.events.len()).sum::<usize>();
            assert_eq!(taken, 1, "after {operations} operations");
            let taken = first.into_iter().chain([second]).flat_map(|taken| taken.events).next().unwrap();
            assert_eq!(taken.interruptions, 0, "the process did not end");
            if store.end(taken.lease, End::Complete).await.unwrap() {
                continue;
            }
            panic!("the lease was lost after {operations} operations");
        }
    });
}

#[test]
fn events_of_a_cancelled_take_are_ready_again() {
    block_on(async {
        let store = open(&created(), BOUNDS, &clock()).unwrap();
        store.put(event(0)).await.unwrap();
        {
            let mut taking = store.take(take(1));
            // This sends the request, and does not wait for the answer.
            std::future::poll_fn(|cx| {
                _ = taking.as_mut().poll(cx);
                std::task::Poll::Ready(())
            })
            .await;
        }
        // The answer may have arrived before the caller was dropped. In this case, the next worker
        // releases the event by calling `begin`.
        store.begin().await.unwrap();
        assert_eq!(store.take(take(1)).await.unwrap().events.len(), 1);
    });
}

#[test]
fn a_file_of_a_newer_version_is_rejected() {
    let disk = created();
    {
        let database = redb::Builder::new().create_with_backend(disk.clone()).unwrap();
        let transaction = database.begin_write().unwrap();
        let meta = redb::TableDefinition::<&str, u64>::new("meta");
        transaction.open_table(meta).unwrap().insert("schema", super::super::tables::SCHEMA + 1).unwrap();
        transaction.commit().unwrap();
    }
    let refused = open(&disk, BOUNDS, &clock()).unwrap_err();
    assert_eq!(refused.kind(), InboxErrorKind::NewerVersion);
    assert!(refused.to_string().starts_with("a newer version of this crate wrote"), "{refused}");
}

#[test]
fn a_file_of_another_program_is_rejected_and_not_changed() {
    let disk = Disk::default();
    {
        let database = redb::Builder::new().create_with_backend(disk.clone()).unwrap();
        let transaction = database.begin_write().unwrap();
        let theirs = redb::TableDefinition::<&str, u64>::new("theirs");
        transaction.open_table(theirs).unwrap().insert("x", 1).unwrap();
        transaction.commit().unwrap();
    }
    assert_eq!(open(&disk, BOUNDS, &clock()).unwrap_err().kind(), InboxErrorKind::Damaged);
    let text = Disk::with_content(b"A diary.\n".repeat(10_000));
    let before = text.content();
    assert_eq!(open(&text, BOUNDS, &clock()).unwrap_err().kind(), InboxErrorKind::Damaged);
    assert!(text.content() == before);
}

/// A damaged file never causes a panic, and never opens as an empty inbox.
#[test]
fn a_damaged_file_is_an_error_or_still_has_its_events() {
    let disk = created();
    block_on(async {
        let store = open(&disk, BOUNDS, &clock()).unwrap();
        for number in 0..50 {
            store.put(event(number)).await.unwrap();
        }
    });
    let good = disk.content();
    let mut random = disk::Random(7);
    let (mut refused, mut opened) = (0, 0);
    for _ in 0..300 {
        let mut content = good.clone();
        for _ in 0..1 + random.below(20) {
            let at = usize::try_from(random.below(content.len() as u64)).unwrap();
            content[at] ^= 1 << random.below(8);
        }
        if random.below(10) == 0 {
            content.truncate(usize::try_from(random.below(good.len() as u64)).unwrap());
        }
        if content.is_empty() {
            continue;
        }
        block_on(async {
            let stats = match open(&Disk::with_content(content), BOUNDS, &clock()) {
                Ok(store) => store.stats().await,
                Err(error) => Err(error),
            };
            match stats {
                Ok(stats) => {
                    opened += 1;
                    assert_eq!(stats.ready, 50);
                }
                Err(error) => {
                    refused += 1;
                    assert!(
                        matches!(error.kind(), InboxErrorKind::Damaged | InboxErrorKind::NewerVersion),
                        "{error:?}"
                    );
                }
            }
        });
    }
    println!("redb, damaged files: {refused} refused, {opened} opened with all 50 events");
    assert!(refused > 0 && opened > 0, "{refused} {opened}");
}
