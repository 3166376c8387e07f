mod held;
mod in_flight;
mod lookups;
mod routes;
mod verdict;
mod waiting;

use std::{
    collections::HashSet,
    fmt,
    sync::{Arc, Mutex},
    time::Duration,
};

use tokio::time::sleep;

use held::{End, Held};
pub(super) use in_flight::Admitted;
use in_flight::InFlight;
use lookups::Lookups;
use routes::Holders;
pub(crate) use routes::Route;
use verdict::Duplicate;
use waiting::Listed;

use super::telemetry;
use crate::{
    deduplicate::{Claim, ClaimKey, ClaimOutcome, ClaimStore, MemoryStore, Naming, StoreError},
    event::WebhookEvent,
    verify::Verified,
};

/// How deliveries are handled once only; see [`Receiver::deduplicate`](super::Receiver::deduplicate).
///
/// A store alone makes one with the defaults.
///
/// ```
/// use std::time::Duration;
/// use twenty_webhook::{deduplicate::MemoryStore, receiver::{Deduplicate, StoreFailure}};
///
/// let deduplicate = Deduplicate::new(MemoryStore::new(100_000))
///     .lease(Duration::from_secs(60))
///     .remember_for(Duration::from_secs(7 * 24 * 60 * 60))
///     .on_store_failure(StoreFailure::Reject);
/// # let _ = deduplicate;
/// ```
#[derive(Clone)]
#[must_use]
pub struct Deduplicate {
    store: Arc<dyn ClaimStore>,
    /// What was handled in this process and the store failed to remember. Asked before the store.
    stand_in: Arc<MemoryStore>,
    /// What the store remembers, as far as this process knows. It answers only while the store fails: what the store forgot since, or was
    /// told to forget, it knows best. Otherwise it only tells copies from first deliveries.
    told: Arc<MemoryStore>,
    /// What is being handled in this process, and by which route. Asked before the store, so a
    /// failure that comes while a handler runs does not let a copy through.
    holders: Holders,
    in_flight: InFlight,
    /// The keys that a duplicate waits for in this process; with `true`, one that came to another
    /// route than the one that handles it.
    waited_for: Arc<Mutex<HashSet<(ClaimKey, bool)>>>,
    /// The keys that the store is being asked about: perhaps handled long ago.
    lookups: Lookups,
    naming: Naming,
    lease: Duration,
    remember_for: Duration,
    on_failure: StoreFailure,
}

/// What to do with a delivery when the [`ClaimStore`] fails, of whatever [kind](crate::deduplicate::StoreErrorKind).
///
/// A [`MemoryStore`] fails in one way, [`Full`](crate::deduplicate::StoreErrorKind::Full): each of its entries is a delivery that is being
/// handled. When it is full of handled ones it does not fail, but forgets the oldest: a copy of that is handled again, under either choice.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum StoreFailure {
    /// Handle it without a claim: Twenty does not send it again. This process remembers what it is
    /// handling and what it handled, so that what arrives twice here is still handled once, even
    /// when the first came before the failure. Other machines do not know of it, and 100,000
    /// handled deliveries are remembered: beyond that the oldest is forgotten.
    #[default]
    Handle,
    /// Refuse it with 503. It is lost, unless the sender is not Twenty itself but something that repeats.
    Reject,
}

impl Deduplicate {
    /// How long a claim lasts without renewal, unless [configured](Self::lease): 30 seconds.
    pub const DEFAULT_LEASE: Duration = Duration::from_secs(30);

    /// How long a handled delivery is remembered, unless [configured](Self::remember_for): a day.
    pub const DEFAULT_REMEMBER_FOR: Duration = Duration::from_secs(24 * 60 * 60);

    /// How many entries the stand-in holds: about 8 MB once it is full.
    const STAND_IN_CAPACITY: usize = 100_000;

    /// The shortest [lease](Self::lease): 200 ms.
    ///
    /// A shorter one could run out between two renewals on a busy machine, and let a copy run
    /// beside the first delivery.
    pub const MIN_LEASE: Duration = Duration::from_millis(200);

    /// How often a duplicate that waits asks again.
    const ASK_AGAIN: Duration = Duration::from_millis(100);

    /// Remembers in this store, which must answer within a time of its own: a delivery waits for it as long as it takes.
    pub fn new(store: impl ClaimStore) -> Self {
        Self {
            store: Arc::new(store),
            stand_in: Arc::new(MemoryStore::silent(Self::STAND_IN_CAPACITY)),
            told: Arc::new(MemoryStore::silent(Self::STAND_IN_CAPACITY)),
            holders: Holders::default(),
            in_flight: InFlight::default(),
            waited_for: Arc::default(),
            lookups: Lookups::default(),
            naming: Naming::default(),
            lease: Self::DEFAULT_LEASE,
            remember_for: Self::DEFAULT_REMEMBER_FOR,
            on_failure: StoreFailure::default(),
        }
    }

    /// Keeps apart receivers that share a store: those that do different things with the same delivery, and those whose secrets differ but
    /// whose keys have the same id, as all have that [`Verifier::new`](crate::Verifier::new) makes. Default: the empty one.
    pub fn namespace(mut self, namespace: impl Into<Arc<str>>) -> Self {
        self.naming.namespace = namespace.into();
        self
    }

    /// How long a claim lasts without renewal. Default: [`Self::DEFAULT_LEASE`]. A lease below
    /// [`Self::MIN_LEASE`] counts as that.
    ///
    /// While the handler runs, the claim is renewed each third of the lease. After a crash the next
    /// copy has to wait for its end.
    pub fn lease(mut self, lease: Duration) -> Self {
        self.lease = lease.max(Self::MIN_LEASE);
        self
    }

    /// How long a handled delivery is remembered, but never less than copies of it can be taken for fresh: twice the verifier's tolerance, as it may
    /// be signed ahead of time, and the time that a body has to arrive. Default: [`Self::DEFAULT_REMEMBER_FOR`].
    pub fn remember_for(mut self, time: Duration) -> Self {
        self.remember_for = time;
        self
    }

    /// What to do with a delivery when the store fails. By default it is handled.
    pub fn on_store_failure(mut self, failure: StoreFailure) -> Self {
        self.on_failure = failure;
        self
    }

    /// What makes two deliveries the same, instead of the body. An empty list means: the body after
    /// all. So does a panic in `key_by`, which is logged.
    ///
    /// The body is the same in a replay and when Twenty sends a delivery again after a crash of its own. It differs, in `eventDate`, when
    /// Twenty enqueued the event twice. This sees that too, for events that have an `updatedAt`:
    ///
    /// ```
    /// # use twenty_webhook::{deduplicate::MemoryStore, event::WebhookEvent, receiver::Deduplicate};
    /// # let store = MemoryStore::new(1);
    /// let deduplicate = Deduplicate::new(store).key_by(|event: &WebhookEvent| {
    ///     let record = event.raw_record();
    ///     let text = |field| record.as_ref()?.get(field)?.to_text();
    ///     match (&event.webhook_id, text("id"), text("updatedAt")) {
    ///         (Some(webhook), Some(id), Some(updated_at)) => {
    ///             vec![webhook.to_string(), event.name.to_string(), id, updated_at]
    ///         }
    ///         _ => Vec::new(),
    ///     }
    /// });
    /// # let _ = deduplicate;
    /// ```
    pub fn key_by(mut self, key_by: impl Fn(&WebhookEvent) -> Vec<String> + Send + Sync + 'static) -> Self {
        self.naming.key_by(key_by);
        self
    }

    /// Names the delivery. A panic in the user's function must not lose it, so the body decides
    /// then, too.
    pub(super) fn key(&self, verified: &Verified, on_panic: impl FnOnce()) -> ClaimKey {
        self.naming.key(verified, on_panic)
    }

    /// Admits a delivery, or one of a bounded number of copies; `None` when it is one copy too
    /// many.
    pub(super) fn admit(&self, key: ClaimKey) -> Option<Admitted> {
        let is_handled = self.store.is_completed_here(key)
            || self.stand_in.is_completed_here(key)
            || self.told.is_completed_here(key);
        self.in_flight.admit(key, is_handled)
    }

    /// Claims a delivery, and waits for a copy that is being handled: it may fail, and then this may be the only one left.
    ///
    /// `fresh_for`: how long a copy can be taken for fresh from now on, the time in which it arrives included.
    pub(super) async fn claim(
        self: &Arc<Self>,
        key: ClaimKey,
        route: Route,
        fresh_for: Duration,
    ) -> Result<Held, Duplicate> {
        let mut waiting = None;
        loop {
            let claimed = match self.holders.look(key, route) {
                Some(duplicate) => Err(duplicate),
                None if self.store.is_in_process() => self.try_claim(key, route, fresh_for).await,
                // While one copy asks, nothing is known to run, so there is nothing to wait for, nor to refuse: all learn what it finds.
                None => self.lookups.share(key, || self.try_claim(key, route, fresh_for)).await,
            };
            match claimed {
                Err(Duplicate::Running) if waiting.is_none() => {
                    // A copy that was sent to another route must not take the place of one that the
                    // handler's own route gets.
                    let place = (key, self.holders.is_held_by_another(key, route));
                    waiting = Some(Listed::enter(&self.waited_for, place).ok_or(Duplicate::Running)?);
                }
                Err(Duplicate::Running) => {}
                ended => return ended,
            }
            sleep(Self::ASK_AGAIN).await;
        }
    }

    async fn try_claim(self: &Arc<Self>, key: ClaimKey, route: Route, fresh_for: Duration) -> Result<Held, Duplicate> {
        if self.stand_in.is_completed_here(key) {
            return Err(Duplicate::Handled);
        }
        let (claim, is_known) = match self.store.claim(key, self.lease).await {
            Ok(ClaimOutcome::Fresh(claim)) => (claim, true),
            Ok(ClaimOutcome::Running) => return Err(Duplicate::Running),
            Ok(ClaimOutcome::Completed) => {
                // Another machine handled it. Further copies are known as such before the lookup.
                if !self.store.is_in_process() {
                    let _ = self.told.complete(&Claim::new(key), fresh_for).await;
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
        let mut held = Held::new(Arc::clone(self), claim, self.remember_for.max(fresh_for));
        if !is_known && self.told.is_completed_here(key) {
            held.complete_again().await;
            return Err(Duplicate::Handled);
        }
        let taken = if is_known || self.on_failure == StoreFailure::Handle {
            self.holders.take(key, route, fresh_for)
        } else {
            Err(Duplicate::Unknown)
        };
        match taken {
            Ok(holder) => {
                held.holder = Some(holder);
                Ok(held)
            }
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
            if let Err(error) = self.store.release(claim).await {
                self.say_failure("release", &error);
            }
            return;
        }
        let told = self.store.complete(claim, remember_for).await;
        if let Err(error) = &told {
            self.say_failure("complete", error);
        }
        let is_handled_now = end == End::Handled;
        if told.is_err() || is_handled_now && matches!(told, Ok(false)) {
            // Or the claim was lost, and another copy taken up, whose end nobody knows. At least
            // this process will remember.
            let here = self.stand_in.complete(claim, remember_for).await;
            if is_handled_now && (matches!(told, Ok(false)) || matches!(here, Ok(false))) {
                telemetry::handled_twice();
            }
        } else if !self.store.is_in_process() && matches!(told, Ok(true)) {
            let _ = self.told.complete(claim, remember_for).await;
        }
    }

    fn say_failure(&self, call: &'static str, error: &StoreError) {
        telemetry::store_failed(call, error, self.on_failure);
    }
}

impl<S: ClaimStore> From<S> for Deduplicate {
    fn from(store: S) -> Self {
        Self::new(store)
    }
}

impl fmt::Debug for Deduplicate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Deduplicate")
            .field("store", &self.store)
            .field("namespace", &self.naming.namespace)
            .field("lease", &self.lease)
            .field("remember_for", &self.remember_for)
            .field("on_failure", &self.on_failure)
            .finish_non_exhaustive()
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

        let Deduplicate { stand_in, told, .. } = Deduplicate::new(MemoryStore::new(1));
        for store in [stand_in, told] {
            complete(&store, Deduplicate::STAND_IN_CAPACITY + 1).await;
            assert_eq!((store.forgotten(), lines()), (1, 0));
        }
        complete(&MemoryStore::new(1), 10).await;
        assert_eq!(lines(), 1, "in a minute");
    }
}
