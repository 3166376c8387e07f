use std::{
    collections::HashSet,
    convert::Infallible,
    fmt,
    future::poll_fn,
    pin::{Pin, pin},
    sync::{Arc, Mutex, PoisonError},
    task::Poll,
    time::Duration,
};

use tokio::{runtime::Handle, task::unconstrained, time::sleep};

use super::{RefusalKind, lookups::Lookups};
use crate::{
    deduplicate::{Claim, ClaimKey, ClaimOutcome, ClaimStore, MemoryStore, StoreError},
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
    /// What is being handled in this process, and what the store failed to remember. Asked before the store, so a failure that comes
    /// while a handler runs does not let a copy through.
    stand_in: Arc<MemoryStore>,
    /// What was handled in this process and the store was told of. Asked when the store fails, and only then: what the store forgot since, or
    /// was told to forget, it knows best.
    told: Arc<MemoryStore>,
    /// The keys that a duplicate waits for in this process.
    waited_for: Arc<Mutex<HashSet<ClaimKey>>>,
    /// The keys that the store is being asked about: perhaps handled long ago.
    lookups: Lookups,
    namespace: Arc<str>,
    key_by: Option<Arc<KeyBy>>,
    lease: Duration,
    remember_for: Duration,
    on_failure: StoreFailure,
}

type KeyBy = dyn Fn(&WebhookEvent) -> Vec<String> + Send + Sync;

/// What to do with a delivery when the [`ClaimStore`] fails, of whatever [kind](crate::deduplicate::StoreErrorKind).
///
/// A [`MemoryStore`] fails in one way, [`Full`](crate::deduplicate::StoreErrorKind::Full): each of its entries is a delivery that is being
/// handled. When it is full of handled ones it does not fail, but forgets the oldest: a copy of that is handled again, under either choice.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum StoreFailure {
    /// Handle it: Twenty does not send it again. A [`MemoryStore`] in this process stands in, also for one that is full, so that what arrives
    /// twice here is still handled once, even when the first came before the failure. Other machines do not know of it, and it holds 100,000
    /// deliveries: beyond that it forgets the oldest.
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

    /// How often a duplicate that waits asks again.
    const ASK_AGAIN: Duration = Duration::from_millis(100);

    /// Remembers in this store, which must answer within a time of its own: a delivery waits for it as long as it takes.
    pub fn new(store: impl ClaimStore) -> Self {
        Self {
            store: Arc::new(store),
            stand_in: Arc::new(MemoryStore::silent(Self::STAND_IN_CAPACITY)),
            told: Arc::new(MemoryStore::silent(Self::STAND_IN_CAPACITY)),
            waited_for: Arc::default(),
            lookups: Lookups::default(),
            namespace: Arc::default(),
            key_by: None,
            lease: Self::DEFAULT_LEASE,
            remember_for: Self::DEFAULT_REMEMBER_FOR,
            on_failure: StoreFailure::default(),
        }
    }

    /// Keeps apart receivers that share a store: those that do different things with the same delivery, and those whose secrets differ but
    /// whose keys have the same id, as all have that [`Verifier::new`](crate::Verifier::new) makes. Default: the empty one.
    pub fn namespace(mut self, namespace: impl Into<Arc<str>>) -> Self {
        self.namespace = namespace.into();
        self
    }

    /// How long a claim lasts without renewal. Default: [`Self::DEFAULT_LEASE`].
    ///
    /// It is renewed each third of it, and at most every 10 ms, while the handler runs. After a crash the next copy has to wait for its
    /// end.
    pub fn lease(mut self, lease: Duration) -> Self {
        self.lease = lease;
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

    /// What makes two deliveries the same, instead of the body. An empty list means: the body after all.
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
        self.key_by = Some(Arc::new(key_by));
        self
    }

    fn key(&self, verified: &Verified) -> ClaimKey {
        let parts = self.key_by.as_ref().and_then(|key_by| Some(key_by(&WebhookEvent::read(verified.clone()).ok()?)));
        match parts {
            Some(parts) if !parts.is_empty() => ClaimKey::from_parts(&self.namespace, verified.keys_id(), parts),
            _ => ClaimKey::new(&self.namespace, verified.keys_id(), verified.body()),
        }
    }

    /// Claims a delivery, and waits for a copy that is being handled: it may fail, and then this may be the only one left.
    ///
    /// `fresh_for`: how long a copy can be taken for fresh from now on, the time in which it arrives included.
    pub(super) async fn claim(self: &Arc<Self>, verified: &Verified, fresh_for: Duration) -> Result<Held, Duplicate> {
        let key = self.key(verified);
        let remember_for = self.remember_for.max(fresh_for);
        let mut waiting = None;
        loop {
            let claimed = match self.try_in_process(key, remember_for).await {
                Some(claimed) => claimed,
                // While one copy asks, nothing is known to run, so there is nothing to wait for, nor to refuse: all learn what it finds.
                None => self.lookups.share(key, || self.try_claim(key, remember_for)).await,
            };
            match claimed {
                Err(Duplicate::Running) if waiting.is_none() => {
                    waiting = Some(Listed::enter(&self.waited_for, key).ok_or(Duplicate::Running)?);
                }
                Err(Duplicate::Running) => {}
                ended => return ended,
            }
            sleep(Self::ASK_AGAIN).await;
        }
    }

    /// Asks a store in this process alone. `None` when the store is elsewhere or failed, or when the stand-in has to be asked since it holds
    /// what the store once failed to take.
    async fn try_in_process(
        self: &Arc<Self>,
        key: ClaimKey,
        remember_for: Duration,
    ) -> Option<Result<Held, Duplicate>> {
        if !self.store.is_in_process() || !self.stand_in.is_empty() {
            return None;
        }
        match self.store.claim(key, self.lease).await.ok()? {
            ClaimOutcome::Fresh(claim) => {
                let mut held = Held::new(Arc::clone(self), None, remember_for);
                held.claims.in_store = Some(claim);
                // Looked at once more after claiming: a copy for which the store has no room goes to the stand-in first and then asks the store
                // once more, so that one of the two sees the other.
                if !self.stand_in.is_empty() {
                    held.release().await;
                    return None;
                }
                Some(Ok(held))
            }
            ClaimOutcome::Running => Some(Err(Duplicate::Running)),
            ClaimOutcome::Completed => Some(Err(Duplicate::Handled)),
        }
    }

    async fn try_claim(self: &Arc<Self>, key: ClaimKey, remember_for: Duration) -> Result<Held, Duplicate> {
        let in_stand_in = match self.stand_in.claim(key, self.lease).await {
            Ok(ClaimOutcome::Fresh(claim)) => Some(claim),
            Ok(ClaimOutcome::Running) => return Err(Duplicate::Running),
            Ok(ClaimOutcome::Completed) => return Err(Duplicate::Handled),
            // Full of running claims is the one way in which it fails; then it does not count.
            Err(_) => None,
        };
        // From here on it is given back, should this be cancelled.
        let mut held = Held::new(Arc::clone(self), in_stand_in, remember_for);
        let duplicate = match self.store.claim(key, self.lease).await {
            Ok(ClaimOutcome::Fresh(claim)) => {
                held.claims.in_store = Some(claim);
                return Ok(held);
            }
            Ok(ClaimOutcome::Running) => Duplicate::Running,
            Ok(ClaimOutcome::Completed) => Duplicate::Handled,
            Err(error) => {
                self.say_failure("claim", &error);
                // It may have landed. And if not, the store may be back when the handler is done, and takes the completion of a free key.
                held.claims.in_store = Some(error.into_claim().unwrap_or_else(|| Claim::new(key)));
                if self.was_told(key).await {
                    held.complete_again().await;
                    return Err(Duplicate::Handled);
                }
                if self.on_failure == StoreFailure::Handle {
                    return Ok(held);
                }
                Duplicate::Unknown
            }
        };
        held.release().await;
        Err(duplicate)
    }

    /// Whether this process told the store that it handled this.
    async fn was_told(&self, key: ClaimKey) -> bool {
        match self.told.claim(key, self.lease).await {
            Ok(ClaimOutcome::Completed) => true,
            Ok(ClaimOutcome::Fresh(claim)) => {
                // Only asked.
                let _ = self.told.release(&claim).await;
                false
            }
            Ok(ClaimOutcome::Running) | Err(_) => false,
        }
    }

    /// Ends what was claimed: completes it when the delivery was handled, to be remembered for so long, else releases it.
    async fn settle(&self, claims: &Claims, end: End, remember_for: Duration) {
        let Claims { in_store, in_stand_in } = claims;
        if let (End::Handled | End::HandledBefore, Some(claim)) = (end, in_store) {
            let told = self.store.complete(claim, remember_for).await;
            if let Err(error) = &told {
                self.say_failure("complete", error);
            }
            let is_handled_now = end == End::Handled;
            if told.is_err() || is_handled_now && matches!(told, Ok(false)) {
                // Or the claim was lost, and another copy taken up, whose end nobody knows. At least this process will remember.
                let claim = in_stand_in.as_ref().unwrap_or(claim);
                let here = self.stand_in.complete(claim, remember_for).await;
                if is_handled_now && (matches!(told, Ok(false)) || matches!(here, Ok(false))) {
                    super::telemetry::handled_twice();
                }
                return;
            }
            if !self.store.is_in_process() && matches!(told, Ok(true)) {
                let _ = self.told.complete(claim, remember_for).await;
            }
        } else if let Some(claim) = in_store
            && let Err(error) = self.store.release(claim).await
        {
            self.say_failure("release", &error);
        }
        if let Some(claim) = in_stand_in {
            // Never fails.
            let _ = self.stand_in.release(claim).await;
        }
    }

    fn say_failure(&self, call: &'static str, error: &StoreError) {
        super::telemetry::store_failed(call, error, self.on_failure);
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
            .field("namespace", &self.namespace)
            .field("lease", &self.lease)
            .field("remember_for", &self.remember_for)
            .field("on_failure", &self.on_failure)
            .finish_non_exhaustive()
    }
}

/// Why a delivery need not, or cannot, be handled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Duplicate {
    /// It was handled.
    Handled,
    /// It is being handled, and another copy waits already.
    Running,
    /// The store failed, and unknown is not good enough.
    Unknown,
}

impl Duplicate {
    /// The refusal; `None` where the answer is that all is well.
    pub(super) const fn refusal(self) -> Option<RefusalKind> {
        match self {
            Self::Handled => None,
            Self::Running => Some(RefusalKind::BeingHandled),
            Self::Unknown => Some(RefusalKind::StoreFailed),
        }
    }
}

/// The one copy a key that is on a list of this process, until it is dropped.
struct Listed<'a> {
    list: &'a Mutex<HashSet<ClaimKey>>,
    key: ClaimKey,
}

impl<'a> Listed<'a> {
    fn enter(list: &'a Mutex<HashSet<ClaimKey>>, key: ClaimKey) -> Option<Self> {
        let is_first = list.lock().unwrap_or_else(PoisonError::into_inner).insert(key);
        // Not `then_some`: what that made for nothing, it would drop, and with it the first one's entry.
        is_first.then(|| Self { list, key })
    }
}

impl Drop for Listed<'_> {
    fn drop(&mut self) {
        self.list.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.key);
    }
}

/// A delivery that is ours to handle, for as long as this is held.
///
/// Dropped without an end, by a panic or because the client left, it is released: best effort, since that takes a runtime; else the
/// lease runs out. Dropped while the end is being told to the store, it is told again.
pub(super) struct Held {
    deduplicate: Arc<Deduplicate>,
    claims: Claims,
    remember_for: Duration,
    end: End,
}

/// How a delivery ends.
#[derive(Clone, Copy, PartialEq)]
enum End {
    NotHandled,
    Handled,
    /// By an earlier copy, as this process knows. A store that does not take the claim has that one's.
    HandledBefore,
}

#[derive(Default)]
struct Claims {
    in_store: Option<Claim>,
    in_stand_in: Option<Claim>,
}

impl Held {
    fn new(deduplicate: Arc<Deduplicate>, in_stand_in: Option<Claim>, remember_for: Duration) -> Self {
        let claims = Claims { in_store: None, in_stand_in };
        Self { deduplicate, claims, remember_for, end: End::NotHandled }
    }

    /// Waits for `handler`, and renews the claims meanwhile.
    pub(super) async fn renewed_during<R>(&self, mut handler: Pin<&mut impl Future<Output = R>>) -> R {
        // Polled after the handler, which may have used up the task's budget; the renewal has to go on all the same.
        let mut renewal = pin!(unconstrained(self.keep_renewing()));
        poll_fn(|cx| match handler.as_mut().poll(cx) {
            Poll::Ready(answer) => Poll::Ready(answer),
            Poll::Pending => renewal.as_mut().poll(cx).map(|never| match never {}),
        })
        .await
    }

    async fn keep_renewing(&self) -> Infallible {
        let Deduplicate { store, stand_in, lease, .. } = &*self.deduplicate;
        // Two may fail before the lease ends.
        let interval = lease.checked_div(3).unwrap_or(*lease).max(Duration::from_millis(10));
        loop {
            sleep(interval).await;
            if let Some(claim) = &self.claims.in_stand_in {
                // Never fails.
                let _ = stand_in.renew(claim, *lease).await;
            }
            if let Some(claim) = &self.claims.in_store
                && let Err(error) = store.renew(claim, *lease).await
            {
                self.deduplicate.say_failure("renew", &error);
            }
        }
    }

    /// The delivery was handled: no copy of it is, from now on.
    pub(super) async fn complete(mut self) {
        self.end = End::Handled;
        self.settle().await;
    }

    /// It was handled before. The store that failed just now may have lost it, so it is told again.
    async fn complete_again(mut self) {
        self.end = End::HandledBefore;
        self.settle().await;
    }

    /// The delivery was not handled: the next copy may be.
    pub(super) async fn release(mut self) {
        self.settle().await;
    }

    async fn settle(&mut self) {
        self.deduplicate.settle(&self.claims, self.end, self.remember_for).await;
        self.claims = Claims::default();
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        let Self { deduplicate, claims, remember_for, end } = self;
        let (claims, remember_for, end) = (std::mem::take(claims), *remember_for, *end);
        if claims.in_store.is_none() && claims.in_stand_in.is_none() {
            return;
        }
        if let Ok(runtime) = Handle::try_current() {
            let deduplicate = Arc::clone(deduplicate);
            runtime.spawn(async move { deduplicate.settle(&claims, end, remember_for).await });
        }
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
