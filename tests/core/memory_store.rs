//! Tests of the public interface of `MemoryStore`.

use std::sync::{Arc, Barrier};
use std::task::{Context, Poll, Waker};
use std::thread;
use std::time::Duration;

use twenty_webhook::deduplicate::{ClaimOutcome, ClaimStore, MemoryStore, StoreErrorKind, StoreFuture};

use crate::support::claim_store::{self, fresh, key};

const LONG: Duration = Duration::from_secs(300);

#[tokio::test(flavor = "multi_thread")]
async fn meets_the_contract_of_claim_stores() {
    let store = Arc::new(MemoryStore::new(10_000));
    assert!(store.is_in_process());
    claim_store::suite(store.clone(), store).await;
}

#[tokio::test]
async fn a_full_store_forgets_the_entry_that_completed_first() {
    let store = MemoryStore::new(3);
    let keys = [key(), key(), key()];
    let mut claims = Vec::new();
    for key in keys {
        claims.push(fresh(store.claim(key, LONG).await.unwrap()));
    }
    for claim in claims.iter().rev() {
        assert!(store.complete(claim, LONG).await.unwrap());
    }
    assert_eq!(store.forgotten(), 0);
    let _running = fresh(store.claim(key(), LONG).await.unwrap());
    assert_eq!(store.forgotten(), 1);
    assert_eq!(store.claim(keys[0], LONG).await.unwrap(), ClaimOutcome::Completed);
    assert_eq!(store.claim(keys[1], LONG).await.unwrap(), ClaimOutcome::Completed);
    let _ = fresh(store.claim(keys[2], LONG).await.unwrap());
    assert_eq!(store.forgotten(), 2);
    assert_eq!(format!("{store:?}"), "MemoryStore { entries: 3, capacity: 3, forgotten: 2 }");
}

#[tokio::test]
async fn a_store_full_of_running_claims_rejects_claims_and_forgets_nothing() {
    for capacity in [0, 1, 2, 100] {
        let store = MemoryStore::new(capacity);
        let mut claims = Vec::new();
        for _ in 0..capacity.max(1) {
            claims.push(fresh(store.claim(key(), LONG).await.unwrap()));
        }
        let error = store.claim(key(), LONG).await.unwrap_err();
        assert_eq!(error.kind(), StoreErrorKind::Full);
        let unfiled = error.into_claim().unwrap();
        assert_eq!(store.complete(&unfiled, LONG).await.unwrap_err().kind(), StoreErrorKind::Full);
        for claim in &claims {
            assert_eq!(store.claim(claim.key(), LONG).await.unwrap(), ClaimOutcome::Running);
        }
        assert!(store.release(&claims[0]).await.unwrap());
        assert!(store.complete(&unfiled, LONG).await.unwrap());
        assert_eq!(store.forgotten(), 0);
    }
}

/// Every future is ready when it is first polled, without tokio or another runtime.
#[test]
fn requires_no_runtime() {
    fn now<T>(mut future: StoreFuture<'_, T>) -> T {
        match future.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(result) => result.unwrap(),
            Poll::Pending => panic!("pending"),
        }
    }
    let store = MemoryStore::new(10);
    let claim = fresh(now(store.claim(key(), LONG)));
    assert!(now(store.renew(&claim, LONG)));
    assert!(now(store.complete(&claim, LONG)));
    assert!(!now(store.release(&claim)));
    assert!(now(store.forget(claim.key())));
}

/// Several threads fill one small store beyond its capacity.
#[test]
fn many_threads_share_a_store() {
    let store = Arc::new(MemoryStore::new(64));
    let start = Arc::new(Barrier::new(8));
    let threads: Vec<_> = (0..8)
        .map(|_| {
            let (store, start) = (Arc::clone(&store), Arc::clone(&start));
            thread::spawn(move || {
                let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
                start.wait();
                runtime.block_on(async {
                    for _ in 0..20_000 {
                        let claim = fresh(store.claim(key(), LONG).await.unwrap());
                        assert_eq!(store.claim(claim.key(), LONG).await.unwrap(), ClaimOutcome::Running);
                        assert!(store.complete(&claim, LONG).await.unwrap());
                    }
                });
            })
        })
        .collect();
    for thread in threads {
        thread.join().unwrap();
    }
    assert_eq!(store.forgotten(), 8 * 20_000 - 64);
}

#[cfg(feature = "tracing")]
#[test]
fn warns_once_a_minute() {
    use std::sync::Mutex;
    use tracing::field::{Field, Visit};
    use tracing::{Event, Level, Metadata, Subscriber, span};

    #[derive(Clone, Default)]
    struct Events(Arc<Mutex<Vec<String>>>);

    impl Subscriber for Events {
        fn enabled(&self, _: &Metadata<'_>) -> bool {
            true
        }
        fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
            span::Id::from_u64(1)
        }
        fn record(&self, _: &span::Id, _: &span::Record<'_>) {}
        fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}
        fn event(&self, event: &Event<'_>) {
            struct Line(String);
            impl Visit for Line {
                fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
                    self.0 += &format!(" {field}={value:?}");
                }
            }
            assert_eq!(*event.metadata().level(), Level::WARN);
            let mut line = Line(String::new());
            event.record(&mut line);
            self.0.lock().unwrap().push(line.0);
        }
        fn enter(&self, _: &span::Id) {}
        fn exit(&self, _: &span::Id) {}
    }

    let events = Events::default();
    tracing::subscriber::with_default(events.clone(), || {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let store = MemoryStore::new(2);
            for _ in 0..100 {
                let claim = fresh(store.claim(key(), LONG).await.unwrap());
                assert!(store.complete(&claim, LONG).await.unwrap());
            }
            assert_eq!(store.forgotten(), 98);
        });
    });
    let events = events.0.lock().unwrap();
    assert_eq!(events.len(), 1, "{events:?}");
    assert!(events[0].contains(" forgotten=1 capacity=2"), "{events:?}");
}
