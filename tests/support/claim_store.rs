//! The contract of claim stores: a test suite that runs on each of them.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use tokio::time::sleep;
use twenty_webhook::deduplicate::{Claim, ClaimKey, ClaimOutcome, ClaimStore};

type Store = Arc<dyn ClaimStore>;

/// A lease that outlasts a test.
const LONG: Duration = Duration::from_secs(300);
/// A lease that has ended when [`run_out`] returns.
const SHORT: Duration = Duration::from_millis(40);

async fn run_out() {
    sleep(SHORT * 2).await;
}

pub(crate) fn key() -> ClaimKey {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let next = NEXT.fetch_add(1, Ordering::Relaxed);
    ClaimKey::from_parts("test", "keys", [next.to_be_bytes()])
}

#[track_caller]
pub(crate) fn fresh(outcome: ClaimOutcome) -> Claim {
    match outcome {
        ClaimOutcome::Fresh(claim) => claim,
        other => panic!("expected a fresh claim, found {other:?}"),
    }
}

/// Runs all tests. `one` and `other` are the same store, or two views of the same entries.
pub(crate) async fn suite(one: Store, other: Store) {
    states(&*one, &*other).await;
    release_frees(&*one, &*other).await;
    lost_lease(&*one, &*other).await;
    renewal(&*one, &*other).await;
    completion_of_a_free_key(&*one, &*other).await;
    completion_again(&*one, &*other).await;
    strangers(&*one, &*other).await;
    time_to_live(&*one, &*other).await;
    forgetting(&*one, &*other).await;
    extreme_durations(&*one, &*other).await;
    unpolled_futures(&*one, &*other).await;
    one_of_many_is_fresh(&one, &other).await;
    one_of_many_takes_over(&one, &other).await;
    never_two_holders(&one, &other).await;
    shared(one).await;
}

async fn states(one: &dyn ClaimStore, other: &dyn ClaimStore) {
    let (key, unrelated) = (key(), key());
    let claim = fresh(one.claim(key, LONG).await.unwrap());
    assert_eq!(claim.key(), key);
    assert_eq!(one.claim(key, LONG).await.unwrap(), ClaimOutcome::Running);
    assert_eq!(other.claim(key, LONG).await.unwrap(), ClaimOutcome::Running);
    assert!(one.renew(&claim, LONG).await.unwrap());
    assert!(one.complete(&claim, LONG).await.unwrap());
    assert_eq!(one.claim(key, LONG).await.unwrap(), ClaimOutcome::Completed);
    assert_eq!(other.claim(key, LONG).await.unwrap(), ClaimOutcome::Completed);
    let _ = fresh(other.claim(unrelated, LONG).await.unwrap());
}

async fn release_frees(one: &dyn ClaimStore, other: &dyn ClaimStore) {
    let key = key();
    let claim = fresh(one.claim(key, LONG).await.unwrap());
    assert!(one.release(&claim).await.unwrap());
    assert!(!one.release(&claim).await.unwrap());
    assert!(!one.renew(&claim, LONG).await.unwrap(), "a late renewal must not claim again");
    let next = fresh(other.claim(key, LONG).await.unwrap());
    assert_ne!(claim.token(), next.token());
    assert!(!one.release(&claim).await.unwrap());
    assert_eq!(one.claim(key, LONG).await.unwrap(), ClaimOutcome::Running);
}

async fn lost_lease(one: &dyn ClaimStore, other: &dyn ClaimStore) {
    let key = key();
    let lost = fresh(one.claim(key, SHORT).await.unwrap());
    run_out().await;
    let claim = fresh(other.claim(key, LONG).await.unwrap());
    assert!(!one.renew(&lost, LONG).await.unwrap());
    assert!(!one.release(&lost).await.unwrap());
    assert!(!one.complete(&lost, LONG).await.unwrap());
    assert_eq!(one.claim(key, LONG).await.unwrap(), ClaimOutcome::Running);
    assert!(other.complete(&claim, LONG).await.unwrap());
    assert!(!one.renew(&lost, LONG).await.unwrap());
    assert!(!one.release(&lost).await.unwrap());
    assert!(!one.complete(&lost, SHORT).await.unwrap());
    run_out().await;
    assert_eq!(one.claim(key, LONG).await.unwrap(), ClaimOutcome::Completed);
}

async fn renewal(one: &dyn ClaimStore, other: &dyn ClaimStore) {
    let lease = SHORT * 10;
    let (renewed, expired) = (key(), key());
    let claim = fresh(one.claim(renewed, lease).await.unwrap());
    assert!(one.renew(&claim, LONG).await.unwrap());
    let lost = fresh(one.claim(expired, LONG).await.unwrap());
    assert!(one.renew(&lost, SHORT).await.unwrap(), "a lease can be cut short");
    sleep(lease * 2).await;
    assert_eq!(other.claim(renewed, LONG).await.unwrap(), ClaimOutcome::Running);
    assert!(!one.renew(&lost, LONG).await.unwrap(), "what ran out is not revived");
    let _ = fresh(other.claim(expired, LONG).await.unwrap());
}

async fn completion_of_a_free_key(one: &dyn ClaimStore, other: &dyn ClaimStore) {
    let (expired, released, forgotten, unfiled) = (key(), key(), key(), key());
    let claims = [
        fresh(one.claim(expired, SHORT).await.unwrap()),
        fresh(one.claim(released, LONG).await.unwrap()),
        fresh(one.claim(forgotten, LONG).await.unwrap()),
        Claim::new(unfiled),
    ];
    assert!(one.release(&claims[1]).await.unwrap());
    assert!(one.forget(forgotten).await.unwrap());
    run_out().await;
    for claim in &claims {
        assert!(one.complete(claim, LONG).await.unwrap());
        assert_eq!(other.claim(claim.key(), LONG).await.unwrap(), ClaimOutcome::Completed);
    }
}

async fn completion_again(one: &dyn ClaimStore, other: &dyn ClaimStore) {
    let key = key();
    let ttl = SHORT * 10;
    let claim = fresh(one.claim(key, LONG).await.unwrap());
    assert!(one.complete(&claim, ttl).await.unwrap());
    assert!(one.complete(&claim, LONG).await.unwrap());
    sleep(ttl * 2).await;
    assert_eq!(other.claim(key, LONG).await.unwrap(), ClaimOutcome::Completed);
    assert!(!one.renew(&claim, SHORT).await.unwrap());
    assert!(!one.release(&claim).await.unwrap());
    run_out().await;
    assert_eq!(other.claim(key, LONG).await.unwrap(), ClaimOutcome::Completed);
}

async fn strangers(one: &dyn ClaimStore, other: &dyn ClaimStore) {
    let key = key();
    let stranger = Claim::new(key);
    let refused = async || {
        assert!(!other.renew(&stranger, SHORT).await.unwrap());
        assert!(!other.release(&stranger).await.unwrap());
    };
    refused().await;
    let claim = fresh(one.claim(key, LONG).await.unwrap());
    refused().await;
    assert!(!other.complete(&stranger, SHORT).await.unwrap());
    run_out().await;
    assert_eq!(other.claim(key, LONG).await.unwrap(), ClaimOutcome::Running);
    assert!(one.complete(&claim, LONG).await.unwrap());
    refused().await;
    assert!(!other.complete(&stranger, SHORT).await.unwrap());
    run_out().await;
    assert_eq!(other.claim(key, LONG).await.unwrap(), ClaimOutcome::Completed);
}

async fn time_to_live(one: &dyn ClaimStore, other: &dyn ClaimStore) {
    let (brief, lasting) = (key(), key());
    let claim = fresh(one.claim(brief, LONG).await.unwrap());
    assert!(one.complete(&claim, SHORT).await.unwrap());
    let lease = SHORT * 10;
    let claim = fresh(one.claim(lasting, lease).await.unwrap());
    assert!(one.complete(&claim, LONG).await.unwrap());
    sleep(lease * 2).await;
    let _ = fresh(other.claim(brief, LONG).await.unwrap());
    assert_eq!(other.claim(lasting, LONG).await.unwrap(), ClaimOutcome::Completed);
}

async fn forgetting(one: &dyn ClaimStore, other: &dyn ClaimStore) {
    let key = key();
    assert!(!one.forget(key).await.unwrap());
    let lost = fresh(one.claim(key, LONG).await.unwrap());
    assert!(other.forget(key).await.unwrap());
    assert!(!one.renew(&lost, LONG).await.unwrap());
    assert!(!one.release(&lost).await.unwrap());
    let claim = fresh(one.claim(key, LONG).await.unwrap());
    assert!(one.complete(&claim, LONG).await.unwrap());
    assert!(other.forget(key).await.unwrap());
    assert!(!other.forget(key).await.unwrap());
    let _ = fresh(one.claim(key, SHORT).await.unwrap());
    run_out().await;
    assert!(!other.forget(key).await.unwrap(), "it ran out before");
}

async fn extreme_durations(one: &dyn ClaimStore, other: &dyn ClaimStore) {
    for longest in [Duration::MAX, Duration::from_millis(u64::MAX), Duration::from_secs(1 << 40)] {
        let key = key();
        let claim = fresh(one.claim(key, longest).await.unwrap());
        assert_eq!(other.claim(key, longest).await.unwrap(), ClaimOutcome::Running);
        assert!(one.renew(&claim, longest).await.unwrap());
        assert_eq!(other.claim(key, longest).await.unwrap(), ClaimOutcome::Running);
        assert!(one.complete(&claim, longest).await.unwrap());
        assert_eq!(other.claim(key, longest).await.unwrap(), ClaimOutcome::Completed);
    }
    for shortest in [Duration::ZERO, Duration::from_nanos(1), Duration::from_micros(999)] {
        let (claimed, renewed, completed) = (key(), key(), key());
        let _ = fresh(one.claim(claimed, shortest).await.unwrap());
        let claim = fresh(one.claim(renewed, LONG).await.unwrap());
        assert!(one.renew(&claim, shortest).await.unwrap());
        let claim = fresh(one.claim(completed, LONG).await.unwrap());
        assert!(one.complete(&claim, shortest).await.unwrap());
        run_out().await;
        for key in [claimed, renewed, completed] {
            let _ = fresh(other.claim(key, shortest).await.unwrap());
        }
    }
}

async fn unpolled_futures(one: &dyn ClaimStore, other: &dyn ClaimStore) {
    let key = key();
    drop(one.claim(key, LONG));
    let claim = fresh(other.claim(key, LONG).await.unwrap());
    drop(one.release(&claim));
    drop(one.complete(&claim, LONG));
    drop(one.forget(key));
    assert_eq!(other.claim(key, LONG).await.unwrap(), ClaimOutcome::Running);
}

/// Claims each of `keys` in many tasks at the same time. Exactly one task must get each claim.
async fn race(one: &Store, other: &Store, keys: &[ClaimKey]) {
    let fresh = Arc::new(AtomicUsize::new(0));
    let mut tasks = Vec::new();
    for &key in keys {
        for task in 0..32 {
            let (store, fresh) = (Arc::clone(if task % 2 == 0 { one } else { other }), Arc::clone(&fresh));
            tasks.push(tokio::spawn(async move {
                match store.claim(key, LONG).await.unwrap() {
                    ClaimOutcome::Fresh(_) => _ = fresh.fetch_add(1, Ordering::Relaxed),
                    outcome => assert_eq!(outcome, ClaimOutcome::Running),
                }
            }));
        }
    }
    for task in tasks {
        task.await.unwrap();
    }
    assert_eq!(fresh.load(Ordering::Relaxed), keys.len());
}

async fn one_of_many_is_fresh(one: &Store, other: &Store) {
    let keys: Vec<_> = (0..50).map(|_| key()).collect();
    race(one, other, &keys).await;
}

async fn one_of_many_takes_over(one: &Store, other: &Store) {
    let keys: Vec<_> = (0..50).map(|_| key()).collect();
    for &key in &keys {
        let _ = fresh(one.claim(key, SHORT).await.unwrap());
    }
    run_out().await;
    race(one, other, &keys).await;
}

async fn never_two_holders(one: &Store, other: &Store) {
    let key = key();
    let held = Arc::new(AtomicBool::new(false));
    let tasks: Vec<_> = (0..16)
        .map(|task| {
            let (store, held) = (Arc::clone(if task % 2 == 0 { one } else { other }), Arc::clone(&held));
            tokio::spawn(async move {
                for _ in 0..100 {
                    if let ClaimOutcome::Fresh(claim) = store.claim(key, LONG).await.unwrap() {
                        assert!(!held.swap(true, Ordering::SeqCst));
                        tokio::task::yield_now().await;
                        assert!(held.swap(false, Ordering::SeqCst));
                        assert!(store.release(&claim).await.unwrap());
                    }
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
}

/// Checks that an `Arc` of a store is a store.
async fn shared(store: Store) {
    fn claim_of<S: ClaimStore>(store: S) -> Box<dyn ClaimStore> {
        Box::new(store)
    }
    let key = key();
    let outer = claim_of(Arc::new(Arc::clone(&store)));
    let claim = fresh(outer.claim(key, LONG).await.unwrap());
    assert_eq!(store.claim(key, LONG).await.unwrap(), ClaimOutcome::Running);
    assert!(outer.renew(&claim, LONG).await.unwrap());
    assert!(outer.release(&claim).await.unwrap());
    assert!(outer.complete(&claim, LONG).await.unwrap());
    assert!(outer.forget(key).await.unwrap());
}
