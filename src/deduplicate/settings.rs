use std::{fmt, sync::Arc, time::Duration};

use super::{ClaimStore, Naming};
use crate::event::WebhookEvent;

/// Settings for [`Receiver::deduplicate`](crate::receiver::Receiver::deduplicate). A store converts
/// into the default settings with that store.
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
/// of error, or panics.
///
/// A [`MemoryStore`](super::MemoryStore) fails only with [`Full`](super::StoreErrorKind::Full), if
/// deliveries that are being handled occupy all of its entries. If it is full of handled
/// deliveries, it does not fail: it forgets the oldest one, so a duplicate of that delivery is
/// handled again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum StoreFailure {
    /// Handle the delivery without a claim, because Twenty does not send it again.
    ///
    /// A fallback store in this process remembers the deliveries that are being handled, and the
    /// last 100,000 handled deliveries. So this process still detects duplicates, but other
    /// machines do not.
    #[default]
    Handle,
    /// Reject the delivery with 503. It is lost unless its sender retries, and Twenty does not.
    ///
    /// A delivery that was answered 202 before the store failed is handled all the same, because
    /// its sender can no longer learn about a rejection. There is one exception: if a duplicate of
    /// this delivery was already waiting, the duplicate takes its place. The duplicate is then
    /// rejected, unless it was answered 202 as well.
    Reject,
}

impl Deduplicate {
    /// The default [lease](Self::lease): 30 seconds.
    pub const DEFAULT_LEASE: Duration = Duration::from_secs(30);

    /// The default time for which handled deliveries are [remembered](Self::remember_for): a day.
    pub const DEFAULT_REMEMBER_FOR: Duration = Duration::from_secs(24 * 60 * 60);

    /// The shortest [lease](Self::lease): 200 ms.
    ///
    /// With a shorter lease, a claim could expire between two renewals on a busy machine, and a
    /// duplicate could run at the same time.
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

    /// Sets a namespace, which separates receivers that share a store. Default: the empty
    /// namespace.
    ///
    /// Use it for receivers that do different things with the same delivery, and for receivers with
    /// different secrets whose keys have the same id. The keys of all verifiers that
    /// [`Verifier::new`](crate::Verifier::new) creates have the same id.
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
    /// Choose at least ten times the time that the store may take to answer. For `RedisStore` this
    /// time is its deadline, half a second by default. The default lease suits a store that answers
    /// within three seconds.
    ///
    /// The lease begins when the store records it, so a part of it has passed when the answer
    /// arrives. If the lease is shorter than the time until the answer, the claim has already
    /// expired when its handler starts. A second machine that receives a duplicate then handles it
    /// at the same time. With a lease of ten times the store's time, a claim stays valid even if
    /// one renewal fails at its deadline. Add the longest time for which a process may be
    /// suspended or a handler may block its thread.
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

    /// Identifies deliveries by the values that `key_by` returns, instead of the body. If it
    /// returns `None` or an empty list, the body is used. If it panics, the body is used and the
    /// panic is logged.
    ///
    /// Replays have the same body, and so do deliveries that Twenty sends again after a crash. If
    /// Twenty enqueues an event twice, the bodies differ in `eventDate`. The following key also
    /// detects such duplicates, for events with an `updatedAt`:
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
