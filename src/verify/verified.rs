use std::{fmt, sync::Arc};

use bytes::Bytes;

use super::{SignatureHeaders, Signer, Timestamp, Verifier, headers::SignatureValues};

/// A verified delivery: proof that exactly these bytes were recently signed with one of your
/// secrets.
///
/// Only a successful verification creates one, so code that has one needs no checks. There are two
/// exceptions: an inbox restores it from its store, without verifying again, and
/// `testing::Delivery::into_event` creates one for tests. The middleware puts it into the request's
/// extensions, and it is an extractor.
///
/// Clones share the body. `Debug` shows lengths and ids, but no content.
///
/// ```
/// use twenty_webhook::{Verified, Verifier, verify::Signer};
///
/// /// Needs no check, because it cannot be called with unverified bytes.
/// fn enqueue(verified: Verified) -> (String, bytes::Bytes) {
///     (verified.keys_id().to_owned(), verified.into_body())
/// }
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let headers = Signer::new("secret")?.sign("{}").pairs();
/// let verified = Verifier::new("secret")?.verify(headers, "{}")?;
/// assert_eq!(verified.secret_index(), 0);
/// assert_eq!(enqueue(verified), ("default".to_owned(), "{}".into()));
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Verified {
    body: Bytes,
    values: SignatureValues,
    fresh_until: Timestamp,
    keys_id: Arc<str>,
    secret_index: usize,
    /// The receiver whose middleware verified the delivery, if one did; see `VerifiedBy`.
    #[cfg_attr(not(feature = "receiver"), expect(dead_code, reason = "there is no middleware"))]
    by: Option<(u64, bool)>,
}

/// The middleware that verified a delivery.
#[cfg(feature = "receiver")]
pub(crate) struct VerifiedBy {
    pub(crate) receiver_id: u64,
    /// Whether this middleware, or an outer one, deduplicates or acknowledges.
    pub(crate) is_managed: bool,
}

#[cfg(feature = "receiver")]
impl Verified {
    pub(crate) fn by(&self) -> Option<VerifiedBy> {
        self.by.map(|(receiver_id, is_managed)| VerifiedBy { receiver_id, is_managed })
    }

    pub(crate) const fn verified_by(mut self, VerifiedBy { receiver_id, is_managed }: VerifiedBy) -> Self {
        self.by = Some((receiver_id, is_managed));
        self
    }
}

impl Verified {
    pub(super) fn new(
        body: Bytes,
        values: &SignatureValues,
        fresh_until: Timestamp,
        keys_id: Arc<str>,
        secret_index: usize,
    ) -> Self {
        Self { body, values: values.clone(), fresh_until, keys_id, secret_index, by: None }
    }

    /// Creates a delivery that this crate signed with a secret that no webhook has, for tests of
    /// handlers.
    pub(crate) fn for_tests(body: Bytes) -> Self {
        let signed = Signer::nobodys().sign(&body);
        let fresh_until = signed.timestamp().saturating_add(Verifier::DEFAULT_TOLERANCE);
        Self::new(body, signed.values(), fresh_until, "default".into(), 0)
    }

    /// Restores a verified delivery from a store. This verifies nothing, so it trusts everyone who
    /// can write to the store.
    #[cfg(feature = "inbox")]
    #[cfg_attr(
        not(any(feature = "postgres", feature = "redb")),
        allow(dead_code, reason = "only durable stores use it")
    )]
    pub(crate) fn restore(
        body: Bytes,
        values: SignatureValues,
        fresh_until: Timestamp,
        keys_id: Arc<str>,
        secret_index: usize,
    ) -> Self {
        Self { body, values, fresh_until, keys_id, secret_index, by: None }
    }

    #[cfg(feature = "inbox")]
    pub(crate) const fn values(&self) -> &SignatureValues {
        &self.values
    }

    /// Returns the delivery's signature headers, under Twenty's own names. Together with the body
    /// they are a complete delivery, which verifies again with the same secret and a clock that
    /// shows the time of the delivery.
    ///
    /// Store the body as bytes or text: PostgreSQL's `jsonb` reorders keys, and the signature
    /// covers every byte. To verify stored deliveries again, you must keep the secret that signed
    /// them.
    ///
    /// The signature of a fresh delivery is a credential: anyone who has it and the body can replay
    /// the delivery.
    ///
    /// ```
    /// use twenty_webhook::verify::{Signer, Verifier};
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let verifier = Verifier::new("secret")?;
    /// let verified = verifier.verify(Signer::new("secret")?.sign("{}").pairs(), "{}")?;
    /// let again = verifier.verify(verified.signature_headers().pairs(), verified.body().clone())?;
    /// assert_eq!(again.timestamp(), verified.timestamp());
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn signature_headers(&self) -> SignatureHeaders {
        SignatureHeaders::named(Arc::default(), self.values.clone())
    }

    /// Returns the body, byte for byte as it was signed.
    #[must_use]
    pub const fn body(&self) -> &Bytes {
        &self.body
    }

    /// Returns the body, for example to put it into a queue.
    #[must_use]
    pub fn into_body(self) -> Bytes {
        self.body
    }

    /// Returns the time at which Twenty sent the delivery, by Twenty's clock.
    #[must_use]
    pub const fn timestamp(&self) -> Timestamp {
        self.values.timestamp()
    }

    /// Returns the time until which a replay of this delivery verifies: the timestamp plus the
    /// tolerance.
    #[must_use]
    pub const fn fresh_until(&self) -> Timestamp {
        self.fresh_until
    }

    /// Returns the id of the [`Keys`](super::Keys) that signed the delivery.
    #[must_use]
    pub fn keys_id(&self) -> &str {
        &self.keys_id
    }

    /// Returns the index of the secret that signed the delivery, in the order of the configured
    /// secrets. If it is above 0, an older secret is still in use.
    #[must_use]
    pub const fn secret_index(&self) -> usize {
        self.secret_index
    }

    /// Returns the nonce header, if there was a well-formed one. It is **not signed**: someone who
    /// replays a delivery can change it, so it neither proves nor identifies anything.
    #[must_use]
    pub const fn unsigned_nonce(&self) -> Option<[u8; 16]> {
        self.values.nonce()
    }
}

impl fmt::Debug for Verified {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Verified")
            .field("body_len", &self.body.len())
            .field("timestamp", &self.timestamp())
            .field("fresh_until", &self.fresh_until)
            .field("keys_id", &self.keys_id)
            .field("secret_index", &self.secret_index)
            .finish_non_exhaustive()
    }
}
