//! A claim store in memory.

use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::store::clamp;
use super::table::{Full, State, Table};
use super::{Claim, ClaimKey, ClaimOutcome, ClaimStore, StoreError, StoreErrorKind, StoreFuture};

/// A [`ClaimStore`] in the memory of one process, with a bounded number of entries.
///
/// All workers, threads and tasks of the process must share one store through an
/// [`Arc`](std::sync::Arc). With a store for each worker, a duplicate that reaches another worker
/// is not detected. Several processes can share a `RedisStore`. A restart loses all entries.
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
/// `capacity` should cover the deliveries that arrive within one time to live. In a full store a
/// claim replaces an expired entry, or else the entry that was **completed first**. A duplicate of
/// that delivery would be handled again. [`forgotten`](Self::forgotten) counts these entries, and
/// with the feature `tracing` a warning is logged, at most once a minute. A running claim is never
/// replaced. If every entry is running, the claim fails with [`StoreErrorKind::Full`], and so does
/// the completion of a claim whose entry expired.
///
/// # Cost
///
/// An entry takes at most 80 bytes. The address range is reserved when the store is created, and
/// the system provides the memory as entries are added. The table never grows or moves. Regardless
/// of the number of entries, an operation visits the entries of one hash bucket (one on average,
/// rarely more than ten) and at most 20 more to remove expired ones. One lock guards the table for
/// that time, and is never held across an `await`. With a single lock the capacity is exact, and a
/// full store always replaces the entry that was completed first.
///
/// Expired entries are removed in the order in which they were added. If leases or times to live
/// differ a lot, an entry that expired early can occupy its place until older entries are removed.
/// Its key is free nevertheless.
///
/// # Time
///
/// Leases and times to live use the monotonic clock ([`Instant`]), so a change of the wall clock
/// has no effect. No runtime is required.
pub struct MemoryStore {
    start: Instant,
    table: Mutex<Table>,
    /// `None` if the store never logs this warning.
    #[cfg(feature = "tracing")]
    next_warning: Option<std::sync::atomic::AtomicU64>,
}

impl MemoryStore {
    /// Creates an empty store for at most `capacity` running and completed entries.
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

    /// Creates a store that logs no warning when it is full, because its capacity cannot be
    /// configured.
    #[cfg(feature = "receiver")]
    pub(crate) fn silent(capacity: usize) -> Self {
        Self {
            #[cfg(feature = "tracing")]
            next_warning: None,
            ..Self::new(capacity)
        }
    }

    /// Returns how many completed entries were replaced before they expired because the store was
    /// full.
    ///
    /// A duplicate of such a delivery would be handled again. If this number grows, the capacity is
    /// too small.
    #[must_use]
    pub fn forgotten(&self) -> u64 {
        self.lock().forgotten()
    }

    fn lock(&self) -> MutexGuard<'_, Table> {
        // The code of the table does not panic. If it did, losing one entry would be better than
        // losing all, so a poisoned lock is used as it is.
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Must be called under the lock, so that the table never sees time run backwards.
    fn now(&self) -> u64 {
        nanoseconds(self.start.elapsed())
    }

    /// Calls `question` with the table and the time. An empty table has no key, so the result is
    /// `false`.
    fn has(&self, question: impl FnOnce(&mut Table, u64) -> bool) -> bool {
        let mut table = self.lock();
        // The receiver's fallback stores are empty while the user's store works. This avoids
        // reading the clock and hashing the key for them.
        table.len() > 0 && question(&mut table, self.now())
    }

    /// Calls `operation` with the table and the time.
    fn with<T>(&self, operation: impl FnOnce(&mut Table, u64) -> T) -> T {
        let mut table = self.lock();
        let now = self.now();
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
            crate::report::report(|| {
                tracing::warn!(
                    forgotten,
                    capacity,
                    "the claim store is full and forgets handled deliveries: increase its capacity"
                );
            });
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
        self.has(|table, now| table.is_completed(key, now))
    }

    fn is_claimed_here(&self, key: ClaimKey) -> bool {
        self.has(|table, now| table.is_claimed(key, now))
    }
}

impl fmt::Debug for MemoryStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let table = self.lock();
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
    async fn a_lookup_in_a_full_store_forgets_nothing() {
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
