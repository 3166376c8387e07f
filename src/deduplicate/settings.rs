use std::{fmt, sync::Arc, time::Duration};

use super::{ClaimStore, Naming};
use crate::event::WebhookEvent;

/// Settings for [`Receiver::deduplicate`](crate::receiver::Receiver::deduplicate). A store converts
/// into the default ones.
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
    pub(crate) naming: Naming,
    pub(crate) lease: Duration,
    pub(crate) remember_for: Duration,
    pub(crate) on_failure: StoreFailure,
}

/// What to do with a delivery when the [`ClaimStore`] fails with any [kind](super::StoreErrorKind)
/// of error.
///
/// A [`MemoryStore`](super::MemoryStore) only fails with [`Full`](super::StoreErrorKind::Full),
/// when all of its entries are deliveries that are being handled. When it is full of handled ones
/// it forgets the oldest, whose duplicates are handled again, with either choice.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum StoreFailure {
    /// Handle it without a claim, because Twenty does not send it again. A fallback store of this
    /// process remembers what is being handled and the last 100,000 handled deliveries, so
    /// duplicates that arrive at this process are still detected. Other machines do not know of
    /// them.
    #[default]
    Handle,
    /// Reject it with 503. It is lost, unless the sender is not Twenty itself but something that
    /// repeats. A delivery that was answered 202 before the store failed is handled, because the
    /// sender does not see a rejection. The exception is a delivery that was acknowledged while a
    /// duplicate of it was waiting: the duplicate takes its place, and is rejected if it was not
    /// acknowledged.
    Reject,
}

impl Deduplicate {
    /// The default [lease](Self::lease): 30 seconds.
    pub const DEFAULT_LEASE: Duration = Duration::from_secs(30);

    /// The default time for which handled deliveries are [remembered](Self::remember_for): a day.
    pub const DEFAULT_REMEMBER_FOR: Duration = Duration::from_secs(24 * 60 * 60);

    /// The shortest [lease](Self::lease): 200 ms.
    ///
    /// A shorter one could expire between two renewals on a busy machine, and a duplicate could run
    /// at the same time.
    pub const MIN_LEASE: Duration = Duration::from_millis(200);

    /// Uses this store. The store must bound its own response time, because deliveries wait for it.
    pub fn new(store: impl ClaimStore) -> Self {
        Self {
            store: Arc::new(store),
            naming: Naming::default(),
            lease: Self::DEFAULT_LEASE,
            remember_for: Self::DEFAULT_REMEMBER_FOR,
            on_failure: StoreFailure::default(),
        }
    }

    /// Separates receivers that share a store: receivers that do different things with the same
    /// delivery, and receivers with different secrets whose keys have the same id, such as all that
    /// [`Verifier::new`](crate::Verifier::new) makes. Default: the empty namespace.
    pub fn namespace(mut self, namespace: impl Into<Arc<str>>) -> Self {
        self.naming.namespace = namespace.into();
        self
    }

    /// Sets how long a claim lasts without renewal. Default: [`Self::DEFAULT_LEASE`]; minimum:
    /// [`Self::MIN_LEASE`].
    ///
    /// While the handler runs, the claim is renewed after each third of the lease. After a crash,
    /// duplicates wait until the lease ends.
    ///
    /// Choose at least ten times what the store may take for an answer: for `RedisStore` its deadline,
    /// half a second by default. The lease begins when the store records it, so it runs while the
    /// answer is on its way. With a lease shorter than that, a claim has expired when its handler
    /// starts, and a second machine that receives a duplicate handles it at the same time. At ten
    /// times, the lease holds even when one renewal fails at its deadline. Add the longest time for
    /// which a process may stand still. The default suits a store that answers within three seconds.
    pub fn lease(mut self, lease: Duration) -> Self {
        self.lease = lease.max(Self::MIN_LEASE);
        self
    }

    /// Sets how long a handled delivery is remembered. Default: [`Self::DEFAULT_REMEMBER_FOR`]. It
    /// is never shorter than the time in which duplicates can verify: twice the verifier's
    /// tolerance, because a delivery may be signed ahead of time, plus the body deadline.
    pub fn remember_for(mut self, time: Duration) -> Self {
        self.remember_for = time;
        self
    }

    /// Sets what to do with a delivery when the store fails. By default it is handled.
    pub fn on_store_failure(mut self, failure: StoreFailure) -> Self {
        self.on_failure = failure;
        self
    }

    /// Identifies deliveries by these values instead of the body. The body is used if `key_by`
    /// returns `None` or an empty list, or if it panics, which is logged.
    ///
    /// Replays have the same body, and so do deliveries that Twenty sends again after a crash. If
    /// Twenty enqueues an event twice, the bodies differ in `eventDate`. This also detects such
    /// duplicates, for events with an `updatedAt`:
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
