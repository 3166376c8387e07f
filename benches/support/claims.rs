//! A [`MemoryStore`] that remembers as much as it can.

use std::{
    pin::pin,
    task::{Context, Poll, Waker},
    time::Duration,
};

use twenty_webhook::deduplicate::{ClaimKey, ClaimOutcome, ClaimStore, MemoryStore};

const LEASE: Duration = Duration::from_secs(30);
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// Creates a store that remembers the deliveries from 0 on. Each of them was handled.
pub fn full_store(remembered: usize) -> MemoryStore {
    let store = MemoryStore::new(remembered);
    (0..remembered as u64).for_each(|number| handle(&store, key(number)));
    store
}

pub fn key(number: u64) -> ClaimKey {
    ClaimKey::new("", "default", &number.to_be_bytes())
}

pub fn handle(store: &MemoryStore, key: ClaimKey) {
    let Ok(ClaimOutcome::Fresh(claim)) = now(store.claim(key, LEASE)) else { panic!("not fresh") };
    assert!(now(store.complete(&claim, DAY)).unwrap());
}

pub fn claim_duplicate(store: &MemoryStore, key: ClaimKey) {
    assert_eq!(now(store.claim(key, LEASE)).unwrap(), ClaimOutcome::Completed);
}

/// Returns the result of a future that is ready immediately, because the store never waits.
fn now<T>(future: impl Future<Output = T>) -> T {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => value,
        Poll::Pending => panic!("a store in memory never waits"),
    }
}
