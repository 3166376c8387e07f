use std::{
    hash::{BuildHasher, RandomState},
    sync::Arc,
};

use hmac::Mac;

use super::{
    Clock, ConfigError, Secret, SignatureHeaders, SystemClock, Timestamp,
    headers::{HeaderNames, TimestampHeader},
};

/// Signs a body as Twenty does, to test or try your receiver without a Twenty server. The module
/// [`testing`](crate::testing) has whole deliveries to sign.
///
/// ```
/// use twenty_webhook::verify::{Signer, Verifier};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let body = r#"{"eventName":"person.created","record":{"id":"2e6f6a2f-2f7e-4b0d-9a3b-5b6d1d2c9f01"}}"#;
/// let headers = Signer::new("secret")?.sign(body);
/// assert!(Verifier::new("secret")?.verify(headers.pairs(), body).is_ok());
/// assert!(Verifier::new("another")?.verify(headers.pairs(), body).is_err());
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Signer {
    secret: Secret,
    names: Arc<HeaderNames>,
}

impl Signer {
    /// Creates a signer with this secret.
    ///
    /// # Errors
    ///
    /// [`ConfigError::BlankSecret`] if the text is empty or blank.
    pub fn new<S: TryInto<Secret>>(secret: S) -> Result<Self, S::Error> {
        Ok(Self { secret: secret.try_into()?, names: Arc::default() })
    }

    /// Sets the prefix of the three header names; see
    /// [`VerifierBuilder::header_prefix`](super::VerifierBuilder::header_prefix).
    ///
    /// # Errors
    ///
    /// [`ConfigError::InvalidHeaderPrefix`].
    pub fn header_prefix(self, prefix: &str) -> Result<Self, ConfigError> {
        Ok(Self { names: Arc::new(HeaderNames::new(prefix)?), ..self })
    }

    /// Returns the same signer with a key that no webhook has, for forgeries.
    pub(crate) fn with_nobodys_secret(&self) -> Self {
        Self { names: Arc::clone(&self.names), ..Self::nobodys() }
    }

    /// Signs with a secret that no webhook has.
    pub(crate) fn nobodys() -> Self {
        Self { secret: Secret::nobodys(), names: Arc::default() }
    }

    /// Signs a body with the current time.
    #[must_use]
    pub fn sign(&self, body: impl AsRef<[u8]>) -> SignatureHeaders {
        self.sign_at(SystemClock.now(), body)
    }

    /// Signs a body with the given time.
    #[must_use]
    pub fn sign_at(&self, timestamp: Timestamp, body: impl AsRef<[u8]>) -> SignatureHeaders {
        let timestamp = TimestampHeader::from(timestamp);
        let signature = self.secret.begin(&timestamp).chain_update(body).finalize().into_bytes().into();
        SignatureHeaders::new(Arc::clone(&self.names), timestamp, signature, nonce())
    }
}

/// Returns 16 bytes that differ each time. Twenty's nonces are random, but nothing checks them, so
/// the seeds of the standard library are good enough.
fn nonce() -> [u8; 16] {
    let half = || u128::from(RandomState::new().hash_one(()));
    (half() << 64 | half()).to_be_bytes()
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn names_begin_with_the_prefix() {
        let signer = Signer::new("secret").unwrap().header_prefix("X-Acme-Webhook").unwrap();
        let pairs = signer.sign("{}").pairs();
        assert_eq!(pairs.len(), 3);
        assert!(pairs.iter().all(|(name, _)| name.starts_with("x-acme-webhook-")), "{pairs:?}");
    }

    #[test]
    fn nonces_differ_in_each_half() {
        let (high, low): (HashSet<_>, HashSet<_>) = (0..1_000)
            .map(|_| {
                let nonce = nonce();
                (nonce[..8].to_vec(), nonce[8..].to_vec())
            })
            .unzip();
        assert_eq!((high.len(), low.len()), (1_000, 1_000));
    }
}
