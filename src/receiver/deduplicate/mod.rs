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

use duplicate::Duplicate;
use held::{End, Held};
pub(super) use in_flight::Admitted;
use in_flight::InFlight;
use lookups::Lookups;
use routes::Holders;
pub(crate) use routes::Route;

use super::telemetry;
use crate::{
    deduplicate::{Claim, ClaimKey, ClaimOutcome, ClaimStore, Deduplicate, MemoryStore, StoreError, StoreFailure},
    verify::Verified,
};

/// Handles each delivery once: what runs behind [`Deduplicate`].
pub(super) struct Deduplication {
    settings: Deduplicate,
    /// What was handled in this process and the store failed to remember. Asked before the store.
    unrecorded: MemoryStore,
    /// What the store remembers, as far as this process knows. It answers only while the store fails: what the store forgot since, or was
    /// told to forget, it knows best. Otherwise it only tells copies from first deliveries.
    recorded: MemoryStore,
    /// What is being handled in this process, and by which route. Asked before the store, so a
    /// failure that comes while a handler runs does not let a copy through.
    holders: Holders,
    in_flight: InFlight,
    /// The keys that a duplicate waits for in this process; with `true`, one that came to another
    /// route than the one that handles it.
    waited_for: Mutex<HashSet<(ClaimKey, bool)>>,
    /// The keys that the store is being asked about: perhaps handled long ago.
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

    /// Names the delivery.
    pub(super) fn key(&self, verified: &Verified, on_panic: impl FnOnce()) -> ClaimKey {
        self.settings.naming.key(verified, on_panic)
    }

    /// Admits a delivery, or one of a bounded number of copies; `None` when it is one copy too
    /// many.
    pub(super) fn admit(&self, key: ClaimKey) -> Option<Admitted> {
        // The store may be another receiver's, too.
        let is_copy = self.settings.store.is_claimed_here(key)
            || self.unrecorded.is_completed_here(key)
            || self.recorded.is_completed_here(key);
        self.in_flight.admit(key, is_copy)
    }

    async fn try_claim(
        self: &Arc<Self>,
        key: ClaimKey,
        route: Route,
        fresh_for: Duration,
        must_handle: impl FnOnce() -> bool,
    ) -> Result<Held, Duplicate> {
        if self.unrecorded.is_completed_here(key) {
            return Err(Duplicate::Handled);
        }
        let (claim, is_known) = match self.settings.store.claim(key, self.settings.lease).await {
            Ok(ClaimOutcome::Fresh(claim)) => (claim, true),
            Ok(ClaimOutcome::Running) => return Err(Duplicate::Running),
            Ok(ClaimOutcome::Completed) => {
                // Another machine handled it. Further copies are known as such before the lookup.
                if !self.is_in_process() {
                    let _ = self.recorded.complete(&Claim::new(key), fresh_for).await;
                }
                return Err(Duplicate::Handled);
            }
            Err(error) => {
                self.say_failure("claim", &error);
                // It may have landed. And if not, the store may be back when the handler is done, and takes the completion of a free key.
                (error.into_claim().unwrap_or_else(|| Claim::new(key)), false)
            }
        };
        // From here on it is given back, should this be cancelled.
        let mut held = Held::new(Arc::clone(self), claim, self.settings.remember_for.max(fresh_for));
        let taken = if is_known || self.settings.on_failure == StoreFailure::Handle || must_handle() {
            self.holders.take(key, route, fresh_for)
        } else {
            Err(Duplicate::Unknown)
        };
        let taken = taken.map(|holder| held.holder = Some(holder));
        // Another copy may have been handled while this one asked the store, but none is any more from here on.
        if self.unrecorded.is_completed_here(key) || !is_known && self.recorded.is_completed_here(key) {
            held.complete_again().await;
            return Err(Duplicate::Handled);
        }
        match taken {
            Ok(()) => Ok(held),
            Err(duplicate) => {
                held.release().await;
                Err(duplicate)
            }
        }
    }

    /// Ends a claim: completes it when the delivery was handled, to be remembered for so long, else
    /// releases it.
    async fn settle(&self, claim: &Claim, end: End, remember_for: Duration) {
        if end == End::NotHandled {
            if let Err(error) = self.settings.store.release(claim).await {
                self.say_failure("release", &error);
            }
            return;
        }
        let told = self.settings.store.complete(claim, remember_for).await;
        if let Err(error) = &told {
            self.say_failure("complete", error);
        }
        let is_handled_now = end == End::Handled;
        if told.is_err() || is_handled_now && matches!(told, Ok(false)) {
            // Or the claim was lost, and another copy taken up, whose end nobody knows. At least
            // this process will remember.
            let here = self.unrecorded.complete(claim, remember_for).await;
            if is_handled_now && (matches!(told, Ok(false)) || matches!(here, Ok(false))) {
                telemetry::handled_twice();
            }
        } else if !self.is_in_process() && matches!(told, Ok(true)) {
            let _ = self.recorded.complete(claim, remember_for).await;
        }
    }

    fn say_failure(&self, call: &'static str, error: &StoreError) {
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

    /// Unlike the store that the user chose, those inside have no setting for it.
    #[tokio::test]
    async fn only_the_users_store_asks_for_more_capacity() {
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
        assert_eq!(lines(), 1, "in a minute");
    }
}
