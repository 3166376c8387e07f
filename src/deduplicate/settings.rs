use std::{fmt, sync::Arc, time::Duration};

use super::{ClaimKey, ClaimStore, Naming};
use crate::{event::WebhookEvent, verify::Verified};

/// How deliveries are handled once only; see [`Receiver::deduplicate`](crate::receiver::Receiver::deduplicate).
///
/// A store alone makes one with the defaults.
///
/// ```
/// use std::time::Duration;
/// use twenty_webhook::deduplicate::{Deduplicate, MemoryStore, StoreFailure};
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
    pub(crate) store: Arc<dyn ClaimStore>,
    naming: Naming,
    pub(crate) lease: Duration,
    pub(crate) remember_for: Duration,
    pub(crate) on_failure: StoreFailure,
}

/// What to do with a delivery when the [`ClaimStore`] fails, of whatever [kind](super::StoreErrorKind).
///
/// A [`MemoryStore`](super::MemoryStore) fails in one way, [`Full`](super::StoreErrorKind::Full): each of its entries is a delivery that is being
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
    /// Reject it with 503. It is lost, unless the sender is not Twenty itself but something that
    /// repeats. A delivery that was answered 202 before the store failed is handled, because nobody
    /// would learn of the rejection.
    Reject,
}

impl Deduplicate {
    /// How long a claim lasts without renewal, unless [configured](Self::lease): 30 seconds.
    pub const DEFAULT_LEASE: Duration = Duration::from_secs(30);

    /// How long a handled delivery is remembered, unless [configured](Self::remember_for): a day.
    pub const DEFAULT_REMEMBER_FOR: Duration = Duration::from_secs(24 * 60 * 60);

    /// The shortest [lease](Self::lease): 200 ms.
    ///
    /// A shorter one could run out between two renewals on a busy machine, and let a copy run
    /// beside the first delivery.
    pub const MIN_LEASE: Duration = Duration::from_millis(200);

    /// Remembers in this store, which must answer within a time of its own: a delivery waits for it as long as it takes.
    pub fn new(store: impl ClaimStore) -> Self {
        Self {
            store: Arc::new(store),
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

    /// What makes two deliveries the same, instead of the body. For `None` and an empty list it is
    /// the body. So it is when `key_by` panics, which is logged.
    ///
    /// The body is the same in a replay and when Twenty sends a delivery again after a crash of its own. It differs, in `eventDate`, when
    /// Twenty enqueued the event twice. This sees that too, for events that have an `updatedAt`:
    ///
    /// ```
    /// # use twenty_webhook::{deduplicate::{Deduplicate, MemoryStore}, event::WebhookEvent};
    /// # let store = MemoryStore::new(1);
    /// let deduplicate = Deduplicate::new(store).key_by(|event: &WebhookEvent| {
    ///     let record = event.raw_record();
    ///     let text = |field| record.as_ref()?.get(field)?.to_text();
    ///     let webhook = event.webhook_id.as_ref()?;
    ///     Some(vec![webhook.to_string(), event.name.to_string(), text("id")?, text("updatedAt")?])
    /// });
    /// # let _ = deduplicate;
    /// ```
    pub fn key_by(mut self, key_by: impl Fn(&WebhookEvent) -> Option<Vec<String>> + Send + Sync + 'static) -> Self {
        self.naming.key_by(key_by);
        self
    }

    /// Names the delivery. A panic in the user's function must not lose it, so the body decides
    /// then, too.
    pub(crate) fn key(&self, verified: &Verified, on_panic: impl FnOnce()) -> ClaimKey {
        self.naming.key(verified, on_panic)
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
