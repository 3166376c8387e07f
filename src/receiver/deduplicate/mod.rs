mod claiming;
mod duplicate;
mod held;
mod in_flight;
mod lookups;
mod routes;
mod waiting;

use std::{
    collections::HashSet,
    fmt,
    sync::{Arc, Mutex},
    time::Duration,
};

use claiming::Claiming;
use duplicate::Duplicate;
use held::End;
pub(super) use held::Held;
pub(super) use in_flight::Admitted;
use in_flight::InFlight;
use lookups::Lookups;
use routes::Holders;
pub(crate) use routes::Route;

use super::telemetry;
use crate::{
    caught::caught,
    deduplicate::{
        Claim, ClaimKey, ClaimOutcome, ClaimStore, Deduplicate, MemoryStore, StoreError, StoreErrorKind, StoreFailure,
        StoreFuture,
    },
    verify::Verified,
};

/// A delivery that is to be claimed for a route.
pub(super) struct Attempt {
    pub(super) key: ClaimKey,
    pub(super) route: Route,
    /// How long duplicates can still verify, including the time in which their bodies arrive.
    pub(super) fresh_for: Duration,
}

/// Ensures that each delivery is handled once; configured by [`Deduplicate`].
pub(super) struct Deduplication {
    settings: Deduplicate,
    /// Deliveries that this process handled while the store failed. Checked before the store.
    unrecorded: MemoryStore,
    /// Deliveries that the store has recorded as handled, as far as this process knows. Used for
    /// decisions only while the store fails, because the store may have forgotten a delivery since.
    /// Otherwise it only distinguishes duplicates from first deliveries.
    recorded: MemoryStore,
    /// Deliveries that this process is handling, and their routes. Checked before the store, so a
    /// store failure during a handler does not let a duplicate through.
    holders: Holders,
    in_flight: InFlight,
    /// The keys for which a duplicate is waiting in this process. `true` marks a duplicate that was
    /// sent to another route than the one that handles the delivery.
    waited_for: Mutex<HashSet<(ClaimKey, bool)>>,
    /// Lookups in the store that are running.
    lookups: Lookups,
}

impl Deduplication {
    /// How many entries each fallback store holds: about 8 MB once it is full.
    const FALLBACK_CAPACITY: usize = 100_000;

    pub(super) fn new(settings: Deduplicate) -> Self {
        Self {
            settings,
            unrecorded: MemoryStore::silent(Self::FALLBACK_CAPACITY),
            recorded: MemoryStore::silent(Self::FALLBACK_CAPACITY),
            holders: Holders::default(),
            in_flight: InFlight::default(),
            waited_for: Mutex::default(),
            lookups: Lookups::default(),
        }
    }

    pub(super) fn is_in_process(&self) -> bool {
        self.settings.store.is_in_process()
    }

    /// Returns the delivery's key.
    pub(super) fn key(&self, verified: &Verified, on_panic: impl FnOnce()) -> ClaimKey {
        self.settings.naming.key(verified, on_panic)
    }

    /// Admits a delivery. Returns `None` if it is a duplicate and too many duplicates are in
    /// flight.
    pub(super) fn admit(&self, key: ClaimKey) -> Option<Admitted> {
        // Receivers can share a store.
        let is_duplicate = self.settings.store.is_claimed_here(key)
            || self.unrecorded.is_completed_here(key)
            || self.recorded.is_completed_here(key);
        self.in_flight.admit(key, is_duplicate)
    }

    async fn try_claim(
        self: &Arc<Self>,
        attempt: &Attempt,
        must_handle: impl FnOnce() -> bool,
    ) -> Result<Held, Duplicate> {
        let Attempt { key, route, fresh_for } = *attempt;
        if self.unrecorded.is_completed_here(key) {
            return Err(Duplicate::Handled);
        }
        // A store in this process answers immediately.
        let claimed = if self.is_in_process() {
            self.settings.store.claim(key, self.settings.lease).await
        } else {
            Claiming::new(self, key).await
        };
        let (claim, is_known) = match claimed {
            Ok(ClaimOutcome::Fresh(claim)) => (claim, true),
            Ok(ClaimOutcome::Running) => return Err(Duplicate::Running),
            Ok(ClaimOutcome::Completed) => {
                // Another machine handled it. This process detects further duplicates before the
                // lookup.
                if !self.is_in_process() {
                    let _ = self.recorded.complete(&Claim::new(key), fresh_for).await;
                }
                return Err(Duplicate::Handled);
            }
            Err(error) => {
                self.log_failure("claim", &error);
                // The claim may have been stored. If not, the store accepts the completion of a
                // free key when it is available again.
                (error.into_claim().unwrap_or_else(|| Claim::new(key)), false)
            }
        };
        // From here on, the claim is released if this future is cancelled.
        let mut held = Held::new(Arc::clone(self), claim, self.settings.remember_for.max(fresh_for));
        let taken = if is_known || self.settings.on_failure == StoreFailure::Handle || must_handle() {
            self.holders.take(key, route, fresh_for)
        } else {
            Err(Duplicate::Unknown)
        };
        let taken = taken.map(|holder| held.holder = Some(holder));
        // A duplicate may have been handled during the lookup. From here on, no duplicate can be
        // handled. Rare futures are boxed, because their size would be added to every delivery's.
        if self.unrecorded.is_completed_here(key) || !is_known && self.recorded.is_completed_here(key) {
            Box::pin(held.complete_again()).await;
            return Err(Duplicate::Handled);
        }
        match taken {
            Ok(()) => Ok(held),
            Err(duplicate) => {
                Box::pin(held.release()).await;
                Err(duplicate)
            }
        }
    }

    /// Completes the claim if the delivery was handled, and otherwise releases it.
    async fn settle(&self, claim: &Claim, end: End, remember_for: Duration) {
        if end == End::NotHandled {
            if let Err(error) = self.call(|store| store.release(claim)).await {
                self.log_failure("release", &error);
            }
            return;
        }
        let completed = self.call(|store| store.complete(claim, remember_for)).await;
        if let Err(error) = &completed {
            self.log_failure("complete", error);
        }
        let is_handled_now = end == End::Handled;
        if completed.is_err() || is_handled_now && matches!(completed, Ok(false)) {
            // The store failed, or a duplicate has claimed the key since. At least this process
            // remembers that the delivery was handled.
            let here = self.unrecorded.complete(claim, remember_for).await;
            if is_handled_now && (matches!(completed, Ok(false)) || matches!(here, Ok(false))) {
                telemetry::handled_twice();
            }
        } else if !self.is_in_process() && matches!(completed, Ok(true)) {
            let _ = self.recorded.complete(claim, remember_for).await;
        }
    }

    /// Calls the store. A panic counts as a failure of the call. The stores of this crate that are
    /// in this process do not panic.
    async fn call<'a, T>(
        &'a self,
        call: impl FnOnce(&'a dyn ClaimStore) -> StoreFuture<'a, T>,
    ) -> Result<T, StoreError> {
        let store = &*self.settings.store;
        if self.is_in_process() {
            return call(store).await;
        }
        let answer = caught(async move { call(store).await }).await;
        answer.unwrap_or_else(|panic| {
            Err(StoreError::new(StoreErrorKind::Unexpected, format!("the store panicked: {panic}")))
        })
    }

    fn log_failure(&self, call: &'static str, error: &StoreError) {
        telemetry::store_failed(call, error, self.settings.on_failure);
    }
}

impl fmt::Debug for Deduplication {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.settings.fmt(f)
    }
}

#[cfg(all(test, feature = "tracing"))]
mod tests {
    use std::io::{self, Write};

    use super::*;

    #[derive(Clone, Default)]
    struct Log(Arc<Mutex<Vec<u8>>>);

    impl Write for Log {
        fn write(&mut self, line: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(line)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    async fn complete(store: &MemoryStore, count: usize) {
        for number in 0..count {
            let claim = Claim::new(ClaimKey::new("", "", &number.to_be_bytes()));
            store.complete(&claim, Duration::MAX).await.unwrap();
        }
    }

    /// The capacity of the fallback stores cannot be configured.
    #[tokio::test]
    async fn only_the_users_store_warns_about_its_capacity() {
        let log = Log::default();
        let writer = log.clone();
        let subscriber = tracing_subscriber::fmt().with_writer(move || writer.clone()).finish();
        let _guard = tracing::subscriber::set_default(subscriber);
        let lines = || String::from_utf8(log.0.lock().unwrap().clone()).unwrap().lines().count();

        let Deduplication { unrecorded, recorded, .. } = Deduplication::new(MemoryStore::new(1).into());
        for store in [unrecorded, recorded] {
            complete(&store, Deduplication::FALLBACK_CAPACITY + 1).await;
            assert_eq!((store.forgotten(), lines()), (1, 0));
        }
        complete(&MemoryStore::new(1), 10).await;
        assert_eq!(lines(), 1, "one warning in a minute");
    }
}
