//! Errors of claim stores.

use std::error::Error;
use std::fmt;

use super::Claim;

/// A call to a store failed, or its result is unknown.
///
/// The text never contains a key or a stored value. The cause, if there is one, is the
/// [`source`](Error::source).
///
/// ```
/// use twenty_webhook::deduplicate::{StoreError, StoreErrorKind};
///
/// let error = StoreError::new(StoreErrorKind::Connection, std::io::Error::other("no route to host"));
/// assert_eq!(error.kind(), StoreErrorKind::Connection);
/// assert_eq!(error.to_string(), "no connection to the claim store");
/// ```
#[derive(Debug)]
pub struct StoreError(Box<Inner>);

#[derive(Debug)]
struct Inner {
    kind: StoreErrorKind,
    source: Option<Box<dyn Error + Send + Sync>>,
    claim: Option<Claim>,
}

/// The kind of a [`StoreError`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum StoreErrorKind {
    /// A setting cannot be used, such as an invalid address. A retry does not help.
    Settings,
    /// The store did not respond within the deadline. The call may have taken effect, or may still
    /// take effect.
    Timeout,
    /// There is no connection, or it broke. The call may have taken effect.
    Connection,
    /// The store rejected the call: out of memory, read-only, wrong password, too old. Nothing
    /// changed.
    Refused,
    /// The store has no capacity left, because every entry is a running claim. Nothing changed.
    Full,
    /// The response is not one of a claim store: another program uses the same keys, or the server
    /// is another kind of program.
    Unexpected,
}

impl StoreError {
    /// Creates an error with a cause.
    #[must_use]
    pub fn new(kind: StoreErrorKind, source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self(Box::new(Inner { kind, source: Some(source.into()), claim: None }))
    }

    /// Returns the kind.
    #[must_use]
    pub fn kind(&self) -> StoreErrorKind {
        self.0.kind
    }

    /// Attaches the claim that failed. For implementations of [`ClaimStore`](super::ClaimStore);
    /// see [`into_claim`](Self::into_claim).
    #[must_use]
    pub fn with_claim(mut self, claim: Claim) -> Self {
        self.0.claim = Some(claim);
        self
    }

    /// Returns the claim that [`claim`](super::ClaimStore::claim) tried to store, whether or not
    /// that succeeded.
    ///
    /// - If you handle the delivery without the claim, [`complete`](super::ClaimStore::complete) it
    ///   afterwards: the store may be available by then, and remembers the delivery as handled.
    /// - If you do not handle it, [`release`](super::ClaimStore::release) it: if the claim was
    ///   stored after all, a duplicate does not have to wait for the lease to expire.
    /// - [`renew`](super::ClaimStore::renew) returns `true` if the claim was stored and still runs.
    ///
    /// The stores of this crate return it with every error of `claim`, and with no other error.
    #[must_use]
    pub fn into_claim(self) -> Option<Claim> {
        self.0.claim
    }
}

impl From<StoreErrorKind> for StoreError {
    fn from(kind: StoreErrorKind) -> Self {
        Self(Box::new(Inner { kind, source: None, claim: None }))
    }
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0.kind {
            StoreErrorKind::Settings => "the claim store's settings are invalid",
            StoreErrorKind::Timeout => "the claim store did not answer within the deadline",
            StoreErrorKind::Connection => "no connection to the claim store",
            StoreErrorKind::Refused => "the claim store rejected the command",
            StoreErrorKind::Full => "the claim store is full of running claims",
            StoreErrorKind::Unexpected => "unexpected answer from the claim store",
        })
    }
}

impl Error for StoreError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.0.source.as_deref().map(|source| source as _)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::deduplicate::ClaimKey;

    #[test]
    fn keeps_source_and_claim() {
        let key = ClaimKey::new("", "", &[0; 32]);
        let error = StoreError::new(StoreErrorKind::Timeout, "why").with_claim(Claim::new(key));
        assert_eq!(error.source().map(ToString::to_string).as_deref(), Some("why"));
        assert_eq!(error.into_claim().map(|claim| claim.key()), Some(key));
    }
}
