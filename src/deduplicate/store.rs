//! The interface of claim stores.

use std::fmt::Debug;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use super::{Claim, ClaimKey, ClaimOutcome, StoreError};

/// The future that a [`ClaimStore`] returns. It is boxed so that `dyn ClaimStore` is possible.
pub type StoreFuture<'a, T> = Pin<Box<dyn Future<Output = Result<T, StoreError>> + Send + 'a>>;

/// Remembers which deliveries are being handled and which were handled.
///
/// A key is in one of three states. It is *running* from a claim until the lease expires,
/// *completed* until the time to live expires, and otherwise *free*. Releasing or forgetting a key
/// frees it.
///
/// | state of the key           | `claim`     | `renew` | `complete` | `release` | `forget` |
/// |----------------------------|-------------|---------|------------|-----------|----------|
/// | free                       | `Fresh`     | `false` | **`true`** | `false`   | `false`  |
/// | running, this claim        | `Running`   | `true`  | `true`     | `true`    | `true`   |
/// | running, another claim     | `Running`   | `false` | `false`    | `false`   | `true`   |
/// | completed, by this claim   | `Completed` | `false` | **`true`** | `false`   | `true`   |
/// | completed, by another      | `Completed` | `false` | `false`    | `false`   | `true`   |
///
/// A call that returns `false` changed nothing, so a handler whose lease expired cannot affect a
/// later claim. `complete` accepts a free key, because the handler did its work even if the lease
/// expired, the store lost the claim, or the claim could not be stored. It can be repeated, because
/// a response can get lost.
///
/// Each call is atomic with respect to calls from all tasks, threads and processes that share the
/// store: of any number of claims on a free key, exactly one is `Fresh`.
///
/// **Durations** have a resolution of a millisecond, and a store may round up. A duration of less
/// than a millisecond counts as a millisecond, and one of more than a hundred years as a hundred
/// years.
///
/// **Cancellation.** A future does nothing until it is polled. If you drop it before it is ready,
/// the call may or may not have happened. A claim that happened lasts until its lease expires.
///
/// To share a store, put it into an [`Arc`], which implements this trait.
///
/// ```
/// use std::time::Duration;
/// use twenty_webhook::deduplicate::{ClaimKey, ClaimOutcome, ClaimStore, StoreError};
///
/// /// Does `work` unless it was done or is being done.
/// async fn once(store: &dyn ClaimStore, key: ClaimKey, work: impl Future<Output = bool>) -> Result<(), StoreError> {
///     let ClaimOutcome::Fresh(claim) = store.claim(key, Duration::from_secs(30)).await? else { return Ok(()) };
///     if work.await {
///         store.complete(&claim, Duration::from_secs(24 * 60 * 60)).await?;
///     } else {
///         store.release(&claim).await?;
///     }
///     Ok(())
/// }
/// ```
#[doc(alias = "idempotency")]
pub trait ClaimStore: Debug + Send + Sync + 'static {
    /// Claims `key` for the duration of `lease` if it is free.
    ///
    /// # Errors
    ///
    /// After [`Timeout`](super::StoreErrorKind::Timeout) and
    /// [`Connection`](super::StoreErrorKind::Connection) the key may be claimed all the same, until
    /// the lease expires; see [`StoreError::into_claim`] for what to do then. After any other kind
    /// of error the key is unchanged.
    fn claim(&self, key: ClaimKey, lease: Duration) -> StoreFuture<'_, ClaimOutcome>;

    /// Extends the lease of a running claim to `lease` from now. Returns whether the claim is still
    /// running.
    ///
    /// # Errors
    ///
    /// The same as for [`claim`](Self::claim): the lease may or may not have been extended.
    fn renew<'a>(&'a self, claim: &'a Claim, lease: Duration) -> StoreFuture<'a, bool>;

    /// Marks the key as completed for `ttl` from now. Returns `false` if another claim holds the
    /// key.
    ///
    /// # Errors
    ///
    /// The same as for [`claim`](Self::claim): the key may or may not be completed. You can call
    /// this again.
    fn complete<'a>(&'a self, claim: &'a Claim, ttl: Duration) -> StoreFuture<'a, bool>;

    /// Frees the key of a running claim. Returns whether the claim was running.
    ///
    /// # Errors
    ///
    /// The same as for [`claim`](Self::claim): the key may or may not be free. You can call this
    /// again; it then returns `false` if the first call succeeded.
    fn release<'a>(&'a self, claim: &'a Claim) -> StoreFuture<'a, bool>;

    /// Frees a key in any state, for an operator who wants a delivery to be handled again. Returns
    /// `false` if the key was free.
    ///
    /// A running handler is not stopped, and may still complete the key.
    ///
    /// # Errors
    ///
    /// The same as for [`claim`](Self::claim): the key may or may not be free. You can call this
    /// again.
    fn forget(&self, key: ClaimKey) -> StoreFuture<'_, bool>;

    /// Returns whether claims are in the memory of this process. A failed call then changes nothing
    /// and loses no earlier claim, so the receiver needs no fallback store. Only the stores of this
    /// crate override this.
    #[doc(hidden)]
    fn is_in_process(&self) -> bool {
        false
    }

    /// Returns whether this process knows, without waiting, that the key is completed. Changes
    /// nothing.
    #[doc(hidden)]
    fn is_completed_here(&self, _: ClaimKey) -> bool {
        false
    }

    /// Returns whether this process knows, without waiting, that the key is running or completed.
    /// Changes nothing.
    #[doc(hidden)]
    fn is_claimed_here(&self, _: ClaimKey) -> bool {
        false
    }
}

impl<S: ClaimStore + ?Sized> ClaimStore for Arc<S> {
    fn claim(&self, key: ClaimKey, lease: Duration) -> StoreFuture<'_, ClaimOutcome> {
        (**self).claim(key, lease)
    }

    fn renew<'a>(&'a self, claim: &'a Claim, lease: Duration) -> StoreFuture<'a, bool> {
        (**self).renew(claim, lease)
    }

    fn complete<'a>(&'a self, claim: &'a Claim, ttl: Duration) -> StoreFuture<'a, bool> {
        (**self).complete(claim, ttl)
    }

    fn release<'a>(&'a self, claim: &'a Claim) -> StoreFuture<'a, bool> {
        (**self).release(claim)
    }

    fn forget(&self, key: ClaimKey) -> StoreFuture<'_, bool> {
        (**self).forget(key)
    }

    fn is_in_process(&self) -> bool {
        (**self).is_in_process()
    }

    fn is_completed_here(&self, key: ClaimKey) -> bool {
        (**self).is_completed_here(key)
    }

    fn is_claimed_here(&self, key: ClaimKey) -> bool {
        (**self).is_claimed_here(key)
    }
}

/// Limits a lease or time to live to the range that the trait documents.
pub(super) fn clamp(duration: Duration) -> Duration {
    const CENTURY: Duration = Duration::from_secs(100 * 365 * 24 * 60 * 60);
    duration.clamp(Duration::from_millis(1), CENTURY)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_limited_to_a_millisecond_and_a_hundred_years() {
        assert_eq!(clamp(Duration::ZERO), Duration::from_millis(1));
        assert_eq!(clamp(Duration::from_micros(1_500)), Duration::from_micros(1_500));
        assert_eq!(clamp(Duration::MAX), Duration::from_secs(3_153_600_000));
    }
}
