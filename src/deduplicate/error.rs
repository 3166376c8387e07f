//! Why a store could not say.

use std::error::Error;
use std::fmt;

use super::Claim;

/// A store could not do what it was asked, or cannot say whether it did.
///
/// The text says what went wrong, never which key or what was stored. What lies beneath, if anything, is its
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

/// What went wrong, to decide by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum StoreErrorKind {
    /// The settings cannot be used, an address that is none for example. Trying again will not help.
    Settings,
    /// No answer before the deadline. What was asked may have happened, or may still happen.
    Timeout,
    /// No connection, or it broke. What was asked may have happened.
    Connection,
    /// The store answered that it will not: out of memory, read-only, wrong password, too old. Nothing happened.
    Refused,
    /// No room, as every entry is a claim that is running. Nothing happened.
    Full,
    /// The answer makes no sense: another program writes under the same names, or this is no such store.
    Unexpected,
}

impl StoreError {
    /// An error of `kind`, caused by `source`.
    #[must_use]
    pub fn new(kind: StoreErrorKind, source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self(Box::new(Inner { kind, source: Some(source.into()), claim: None }))
    }

    /// What went wrong.
    #[must_use]
    pub fn kind(&self) -> StoreErrorKind {
        self.0.kind
    }

    /// Hands back the claim that failed: for those who write a [`ClaimStore`](super::ClaimStore), see
    /// [`into_claim`](Self::into_claim).
    #[must_use]
    pub fn with_claim(mut self, claim: Claim) -> Self {
        self.0.claim = Some(claim);
        self
    }

    /// The claim that [`claim`](super::ClaimStore::claim) tried to file, whether or not it was filed.
    ///
    /// - Who handles the delivery all the same should [`complete`](super::ClaimStore::complete) it afterwards: the store may
    ///   be back by then, and will remember the delivery as handled.
    /// - Who does not should [`release`](super::ClaimStore::release) it: if it was filed after all, the next copy of the
    ///   delivery need not wait for the lease to run out.
    /// - [`renew`](super::ClaimStore::renew) tells whether it was filed.
    ///
    /// The stores of this crate hand it back with every error of `claim`, and never with another.
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
            StoreErrorKind::Settings => "the settings of the claim store cannot be used",
            StoreErrorKind::Timeout => "no answer from the claim store within the deadline",
            StoreErrorKind::Connection => "no connection to the claim store",
            StoreErrorKind::Refused => "refused by the claim store",
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
