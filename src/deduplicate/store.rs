//! What every store does.

use std::fmt::Debug;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use super::{Claim, ClaimKey, ClaimOutcome, StoreError};

/// The future that a [`ClaimStore`] returns: boxed, so that a store can be used as `dyn ClaimStore`.
pub type StoreFuture<'a, T> = Pin<Box<dyn Future<Output = Result<T, StoreError>> + Send + 'a>>;

/// Remembers which deliveries are being handled and which were.
///
/// A key is in one of three states. It is *free* when nobody claimed it, and again once it was released or forgotten or
/// its time has run out; *running* from a claim until its lease runs out; *completed* until its time to live runs out.
///
/// | state of the key           | `claim`     | `renew` | `complete` | `release` | `forget` |
/// |----------------------------|-------------|---------|------------|-----------|----------|
/// | free                       | `Fresh`     | `false` | **`true`** | `false`   | `false`  |
/// | running, this claim        | `Running`   | `true`  | `true`     | `true`    | `true`   |
/// | running, another claim     | `Running`   | `false` | `false`    | `false`   | `true`   |
/// | completed, by this claim   | `Completed` | `false` | **`true`** | `false`   | `true`   |
/// | completed, by another      | `Completed` | `false` | `false`    | `false`   | `true`   |
///
/// What returns `false` changed nothing. So a handler whose lease ran out can do nothing to the claim of the one that took
/// over. `complete` takes a free key too: the handler did its work, whether its lease ran out in the meantime, the store
/// lost the claim, or the claim could not be filed; and it may be repeated, since an answer can get lost.
///
/// Each call is atomic, against calls from every task, thread and process that shares the store: of any number of claims
/// of a free key, exactly one is `Fresh`.
///
/// **Durations** have a resolution of a millisecond: a store may round up to whole ones. Less than one counts as one, more
/// than a hundred years as a hundred.
///
/// **Cancellation.** A future does nothing until polled. Dropping one before it is ready leaves open whether the call
/// happened: a claim that did lasts until its lease runs out.
///
/// To share a store, put it in an [`Arc`], which is a store itself.
///
/// ```
/// use std::time::Duration;
/// use twenty_webhook::deduplicate::{ClaimKey, ClaimOutcome, ClaimStore, StoreError};
///
/// /// Does `work` unless it was done, or is being done elsewhere.
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
    /// Claims `key` for as long as `lease`, if it is free.
    ///
    /// # Errors
    ///
    /// After [`Timeout`](super::StoreErrorKind::Timeout) and [`Connection`](super::StoreErrorKind::Connection) the key may
    /// be claimed nevertheless, and is running until the lease ends; see [`StoreError::into_claim`] for what to do then.
    /// After any other kind it is as it was.
    fn claim(&self, key: ClaimKey, lease: Duration) -> StoreFuture<'_, ClaimOutcome>;

    /// Lets the lease of a running claim end in `lease` from now. Whether the claim is still running.
    ///
    /// # Errors
    ///
    /// As [`claim`](Self::claim): whether the lease was renewed is open.
    fn renew<'a>(&'a self, claim: &'a Claim, lease: Duration) -> StoreFuture<'a, bool>;

    /// Marks the key as completed for as long as `ttl` from now. Whether that could be done, which it cannot once somebody
    /// else has claimed the key.
    ///
    /// # Errors
    ///
    /// As [`claim`](Self::claim): whether the key is completed is open. It is safe to call this again.
    fn complete<'a>(&'a self, claim: &'a Claim, ttl: Duration) -> StoreFuture<'a, bool>;

    /// Frees the key of a running claim. Whether it was running.
    ///
    /// # Errors
    ///
    /// As [`claim`](Self::claim): whether the key was freed is open. It is safe to call this again, though the answer may
    /// then be `false` because of the first call.
    fn release<'a>(&'a self, claim: &'a Claim) -> StoreFuture<'a, bool>;

    /// Frees a key in any state, for an operator who wants a delivery handled again. Whether it was not free before.
    ///
    /// A handler that is running goes on and may still complete.
    ///
    /// # Errors
    ///
    /// As [`claim`](Self::claim): whether the key was freed is open. It is safe to call this again.
    fn forget(&self, key: ClaimKey) -> StoreFuture<'_, bool>;

    /// Whether claims lie in this process's memory, so that none is lost to a failure: a call that fails has changed nothing, and what was
    /// claimed or completed before it still is. Then nothing need be remembered beside the store.
    ///
    /// A store that says so wrongly loses that safety, so this is for the stores of this crate.
    #[doc(hidden)]
    fn is_in_process(&self) -> bool {
        false
    }

    /// Whether this process remembers by itself that the key is completed. Must not wait, and changes nothing, also when the store
    /// is full.
    #[doc(hidden)]
    fn is_completed_here(&self, _: ClaimKey) -> bool {
        false
    }

    /// Whether this process knows by itself that the key is running or completed. As above.
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

/// Brings a lease or time to live into the range that the trait documents.
pub(super) fn clamp(duration: Duration) -> Duration {
    const CENTURY: Duration = Duration::from_secs(100 * 365 * 24 * 60 * 60);
    duration.clamp(Duration::from_millis(1), CENTURY)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_millisecond_to_a_hundred_years() {
        assert_eq!(clamp(Duration::ZERO), Duration::from_millis(1));
        assert_eq!(clamp(Duration::from_micros(1_500)), Duration::from_micros(1_500));
        assert_eq!(clamp(Duration::MAX), Duration::from_secs(3_153_600_000));
    }
}
