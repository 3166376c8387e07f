//! A store inside the process.

use std::fmt;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::store::clamp;
use super::table::{Full, State, Table};
use super::{Claim, ClaimKey, ClaimOutcome, ClaimStore, StoreError, StoreErrorKind, StoreFuture};

/// A [`ClaimStore`] in the memory of one process, bounded in entries.
///
/// It serves one process: every worker, thread and task must use the same one, by way of an [`Arc`](std::sync::Arc). One
/// store for each worker would remember a delivery in the worker that happened to receive it only. What several processes
/// share is a `RedisStore`. A restart forgets everything.
///
/// ```
/// use std::sync::Arc;
/// use twenty_webhook::deduplicate::{ClaimStore, MemoryStore};
///
/// let store: Arc<dyn ClaimStore> = Arc::new(MemoryStore::new(100_000));
/// let for_another_worker = Arc::clone(&store);
/// # let _ = for_another_worker;
/// ```
///
/// # When it is full
///
/// `capacity` should cover the deliveries of one time to live. A claim that finds no room left takes the place of an entry
/// that has expired, else of the one that was **completed first**, whose delivery would then be handled again if it came
/// again. [`forgotten`](Self::forgotten) counts those, and with the feature `tracing` a warning says so, once a minute at
/// most. A running claim never loses its place to another. If every entry is running, the claim fails with
/// [`StoreErrorKind::Full`], and so does the completion of a claim that lost its entry by expiry.
///
/// # Cost
///
/// At most 80 bytes an entry. The address range is reserved at once; the system backs it with memory as entries are
/// added, and does not get it back. Afterwards the table is never enlarged, moved or walked through: an operation looks at
/// the entries of one hash bucket, one on average and hardly ever more than ten, and at most 20 more to give up expired
/// ones, no matter how many entries there are. One lock guards the table, held for that long and never across an `await`;
/// that there is only one makes the capacity exact, and the entry that is forgotten the first of all.
///
/// Expired entries are given up in the order in which they were filed. If leases or times to live within one store differ
/// a lot, one that expired early can keep its place until those before it are gone; it is free all the same.
///
/// # Time
///
/// Leases and times to live run on the monotonic clock ([`Instant`]): setting the wall clock neither frees a key nor holds
/// one longer. No runtime is needed.
pub struct MemoryStore {
    start: Instant,
    table: Mutex<Table>,
    /// `None` when it never warns.
    #[cfg(feature = "tracing")]
    next_warning: Option<std::sync::atomic::AtomicU64>,
}

impl MemoryStore {
    /// An empty store for at most `capacity` entries, running and completed ones together.
    ///
    /// Zero counts as one, and more than 2²⁸ as 2²⁸ (2²² where pointers have 32 bits).
    #[must_use]
    pub fn new(capacity: usize) -> Self {
        Self {
            start: Instant::now(),
            table: Mutex::new(Table::new(capacity)),
            #[cfg(feature = "tracing")]
            next_warning: Some(std::sync::atomic::AtomicU64::new(0)),
        }
    }

    /// The same, for what nobody can give more capacity: says nothing when it forgets.
    #[cfg(feature = "receiver")]
    pub(crate) fn silent(capacity: usize) -> Self {
        Self {
            #[cfg(feature = "tracing")]
            next_warning: None,
            ..Self::new(capacity)
        }
    }

    /// How many completed entries were forgotten before their time, because the store was full.
    ///
    /// Each was a delivery that would be handled again if it came again: if this grows, the capacity is too small.
    #[must_use]
    pub fn forgotten(&self) -> u64 {
        self.table.lock().unwrap_or_else(PoisonError::into_inner).forgotten()
    }

    /// Runs `operation` with the table and the time.
    fn with<T>(&self, operation: impl FnOnce(&mut Table, u64) -> T) -> T {
        // nothing in the table panics; if something did, an entry might be lost, which is no reason to lose all
        let mut table = self.table.lock().unwrap_or_else(PoisonError::into_inner);
        // read under the lock, so that time never runs backwards for the table
        let now = nanoseconds(self.start.elapsed());
        #[cfg(feature = "tracing")]
        let before = table.forgotten();
        let result = operation(&mut table, now);
        #[cfg(feature = "tracing")]
        {
            let (forgotten, capacity) = (table.forgotten(), table.capacity());
            drop(table);
            if forgotten > before {
                self.warn(now, forgotten, capacity);
            }
        }
        result
    }

    #[cfg(feature = "tracing")]
    fn warn(&self, now: u64, forgotten: u64, capacity: usize) {
        use std::sync::atomic::Ordering::Relaxed;

        let Some(next_warning) = &self.next_warning else { return };
        let due = next_warning.load(Relaxed);
        let next = now.saturating_add(nanoseconds(Duration::from_secs(60)));
        if now >= due && next_warning.compare_exchange(due, next, Relaxed, Relaxed).is_ok() {
            tracing::warn!(
                forgotten,
                capacity,
                "the claim store is full and forgets deliveries that were handled; give it more capacity"
            );
        }
    }
}

impl ClaimStore for MemoryStore {
    fn claim(&self, key: ClaimKey, lease: Duration) -> StoreFuture<'_, ClaimOutcome> {
        Box::pin(async move {
            let claim = Claim::new(key);
            match self.with(|table, now| table.claim(key, *claim.token(), now, end(now, lease))) {
                Ok(None) => Ok(ClaimOutcome::Fresh(claim)),
                Ok(Some(State::Running)) => Ok(ClaimOutcome::Running),
                Ok(Some(State::Completed)) => Ok(ClaimOutcome::Completed),
                Err(Full) => Err(StoreError::from(StoreErrorKind::Full).with_claim(claim)),
            }
        })
    }

    fn renew<'a>(&'a self, claim: &'a Claim, lease: Duration) -> StoreFuture<'a, bool> {
        Box::pin(
            async move { Ok(self.with(|table, now| table.renew(claim.key(), *claim.token(), now, end(now, lease)))) },
        )
    }

    fn complete<'a>(&'a self, claim: &'a Claim, ttl: Duration) -> StoreFuture<'a, bool> {
        Box::pin(async move {
            self.with(|table, now| table.complete(claim.key(), *claim.token(), now, end(now, ttl)))
                .map_err(|Full| StoreErrorKind::Full.into())
        })
    }

    fn release<'a>(&'a self, claim: &'a Claim) -> StoreFuture<'a, bool> {
        Box::pin(async move { Ok(self.with(|table, now| table.release(claim.key(), *claim.token(), now))) })
    }

    fn forget(&self, key: ClaimKey) -> StoreFuture<'_, bool> {
        Box::pin(async move { Ok(self.with(|table, now| table.forget(key, now))) })
    }

    fn is_in_process(&self) -> bool {
        true
    }

    fn is_completed_here(&self, key: ClaimKey) -> bool {
        self.with(|table, now| table.is_completed(key, now))
    }

    fn is_claimed_here(&self, key: ClaimKey) -> bool {
        self.with(|table, now| table.is_claimed(key, now))
    }
}

impl fmt::Debug for MemoryStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let table = self.table.lock().unwrap_or_else(PoisonError::into_inner);
        f.debug_struct("MemoryStore")
            .field("entries", &table.len())
            .field("capacity", &table.capacity())
            .field("forgotten", &table.forgotten())
            .finish()
    }
}

fn end(now: u64, duration: Duration) -> u64 {
    now.saturating_add(nanoseconds(clamp(duration)))
}

fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind};

    use super::*;

    #[tokio::test]
    async fn asking_a_full_store_forgets_nothing() {
        const CAPACITY: usize = 5;
        let key = |number: usize| ClaimKey::new("", "", &number.to_be_bytes());
        for completed in 0..=CAPACITY {
            let store = MemoryStore::new(CAPACITY);
            for number in 0..CAPACITY {
                let ClaimOutcome::Fresh(claim) = store.claim(key(number), Duration::MAX).await.unwrap() else {
                    panic!("not free")
                };
                assert!(number >= completed || store.complete(&claim, Duration::MAX).await.unwrap());
            }
            for _ in 0..2 {
                for number in 0..3 * CAPACITY {
                    assert_eq!(store.is_completed_here(key(number)), number < completed);
                }
            }
            assert_eq!(store.forgotten(), 0);
        }
    }

    #[test]
    fn a_panic_under_the_lock_is_survived() {
        let store = MemoryStore::new(10);
        let panicked = catch_unwind(AssertUnwindSafe(|| store.with(|_, _| panic!("poisons the lock"))));
        assert!(panicked.is_err());
        assert!(store.table.is_poisoned());
        let claim = Claim::new(ClaimKey::new("", "", &[0; 32]));
        assert!(!store.with(|table, now| table.renew(claim.key(), *claim.token(), now, now)));
        assert_eq!(store.forgotten(), 0);
        assert_eq!(format!("{store:?}"), "MemoryStore { entries: 0, capacity: 10, forgotten: 0 }");
    }
}
