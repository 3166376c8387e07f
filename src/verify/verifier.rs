use std::{fmt, sync::Arc, time::Duration};

use bytes::Bytes;

use super::{
    Clock, ConfigError, Keys, Secret, SignatureHeaders, SystemClock, Verification, Verified, VerifyError,
    headers::{HeaderNames, SignatureValues},
};

/// Decides whether a delivery came from your Twenty workspace.
///
/// Clones are cheap and share everything.
///
/// ```
/// use std::time::Duration;
/// use twenty_webhook::verify::{Secret, Verifier};
///
/// let verifier = Verifier::builder()
///     .secret(Secret::new("current")?)
///     .secret(Secret::new("previous")?) // rotation: deliveries already queued are still signed with the old one
///     .tolerance(Duration::from_secs(120))
///     .body_limit(8 << 20)
///     .build()?;
/// # let _ = verifier;
/// # Ok::<(), twenty_webhook::verify::ConfigError>(())
/// ```
#[doc(alias = "hmac")]
#[doc(alias = "webhook signature")]
#[derive(Clone)]
pub struct Verifier {
    inner: Arc<Inner>,
}

struct Inner {
    keys: Keys,
    names: Arc<HeaderNames>,
    tolerance: Duration,
    body_limit: usize,
    clock: Box<dyn Clock>,
}

impl Verifier {
    /// The default [tolerance](VerifierBuilder::tolerance): a timestamp may be 5 minutes in the
    /// past or in the future.
    pub const DEFAULT_TOLERANCE: Duration = Duration::from_secs(5 * 60);

    /// The default [body limit](VerifierBuilder::body_limit) in bytes: 2 MiB. Twenty itself limits
    /// a delivery to 50 MiB (`outbound-http-default-max-payload-size-bytes`); a typical one has 1
    /// to 5 kB.
    pub const DEFAULT_BODY_LIMIT: usize = 2 << 20;

    /// Creates a verifier with one secret and the defaults.
    ///
    /// # Errors
    ///
    /// [`ConfigError::BlankSecret`] if a `&str` or `String` is empty or blank. With a [`Secret`] it
    /// cannot fail.
    pub fn new<S: TryInto<Secret>>(secret: S) -> Result<Self, S::Error> {
        let secret = secret.try_into()?;
        Ok(VerifierBuilder::default().finish(Keys::single(secret), Arc::default()))
    }

    /// Returns a builder, to configure several secrets or other limits.
    pub fn builder() -> VerifierBuilder {
        VerifierBuilder::default()
    }

    /// Verifies a delivery with a complete body.
    ///
    /// `headers` are all (name, value) pairs of the request: `&http::HeaderMap`, actix-web's
    /// `headers().iter()`, or `[("x-twenty-webhook-timestamp", "…"), …]`. `body` must be the raw
    /// bytes as received; parse them afterwards, from [`Verified::body`].
    ///
    /// This does not allocate if the body is `Bytes` or a `Vec<u8>` without spare capacity.
    ///
    /// # Errors
    ///
    /// Any [`VerifyErrorKind`](super::VerifyErrorKind).
    pub fn verify<N, V>(
        &self,
        headers: impl IntoIterator<Item = (N, V)>,
        body: impl Into<Bytes>,
    ) -> Result<Verified, VerifyError>
    where
        N: AsRef<[u8]>,
        V: AsRef<[u8]>,
    {
        let values = self.values(headers)?;
        self.check_age(&values)?;
        let mut verification = self.start(values, None);
        verification.update(body)?;
        verification.finalize()
    }

    /// Finds and parses the signature headers among `headers`. This is the first and cheapest step.
    ///
    /// # Errors
    ///
    /// The kinds from [`Unsigned`](super::VerifyErrorKind::Unsigned) to
    /// [`TimestampInSeconds`](super::VerifyErrorKind::TimestampInSeconds).
    pub fn parse_headers<N, V>(
        &self,
        headers: impl IntoIterator<Item = (N, V)>,
    ) -> Result<SignatureHeaders, VerifyError>
    where
        N: AsRef<[u8]>,
        V: AsRef<[u8]>,
    {
        Ok(SignatureHeaders::named(Arc::clone(&self.inner.names), self.values(headers)?))
    }

    /// Parses the values of the signature headers.
    pub(crate) fn values<N, V>(&self, headers: impl IntoIterator<Item = (N, V)>) -> Result<SignatureValues, VerifyError>
    where
        N: AsRef<[u8]>,
        V: AsRef<[u8]>,
    {
        Ok(SignatureValues::parse(&self.inner.names, headers)?)
    }

    /// Checks the age, and starts to verify a body that arrives in chunks:
    ///
    /// ```
    /// # use twenty_webhook::verify::{Signer, Verifier};
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let verifier = Verifier::new("secret")?;
    /// # let headers = Signer::new("secret")?.sign("{}").pairs();
    /// # let chunks = ["{", "}"];
    /// let mut verification = verifier.begin(verifier.parse_headers(headers)?)?;
    /// for chunk in chunks {
    ///     verification.update(chunk)?; // fails as soon as the body is too long
    /// }
    /// let verified = verification.finalize()?;
    /// # assert_eq!(verified.body(), "{}");
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// [`VerifyErrorKind::TooOld`](super::VerifyErrorKind::TooOld) or
    /// [`VerifyErrorKind::FromTheFuture`](super::VerifyErrorKind::FromTheFuture).
    pub fn begin(&self, headers: SignatureHeaders) -> Result<Verification, VerifyError> {
        self.check_age(headers.values())?;
        Ok(self.start(headers.into_values(), None))
    }

    /// Starts a verification for headers whose age has been checked, with the verifier's keys or
    /// others.
    #[inline]
    pub(crate) fn start(&self, values: SignatureValues, others: Option<Keys>) -> Verification {
        let Inner { keys, tolerance, body_limit, .. } = &*self.inner;
        let fresh_until = values.timestamp().saturating_add(*tolerance);
        Verification::new(values, fresh_until, others.unwrap_or_else(|| keys.clone()), *body_limit)
    }

    /// Returns the current time, by this verifier's clock.
    pub(crate) fn now(&self) -> super::Timestamp {
        self.inner.clock.now()
    }

    pub(crate) fn keys(&self) -> &Keys {
        &self.inner.keys
    }

    pub(crate) fn names(&self) -> &HeaderNames {
        &self.inner.names
    }

    pub(crate) fn tolerance(&self) -> Duration {
        self.inner.tolerance
    }

    /// Returns the maximum length of a body, in bytes.
    #[must_use]
    pub fn body_limit(&self) -> usize {
        self.inner.body_limit
    }
}

impl fmt::Debug for Verifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Inner { keys, names: _, tolerance, body_limit, clock } = &*self.inner;
        f.debug_struct("Verifier")
            .field("keys", keys)
            .field("tolerance", tolerance)
            .field("body_limit", body_limit)
            .field("clock", clock)
            .finish_non_exhaustive()
    }
}

/// Builds a [`Verifier`].
///
/// ```
/// use std::time::Duration;
/// use twenty_webhook::verify::{Secret, Verifier};
///
/// let verifier = Verifier::builder()
///     .secret(Secret::new("the current secret")?)
///     .secret(Secret::new("the previous one")?)
///     .tolerance(Duration::from_secs(60))
///     .body_limit(8 << 20)
///     .build()?;
/// assert_eq!(verifier.body_limit(), 8 << 20);
/// # Ok::<(), twenty_webhook::verify::ConfigError>(())
/// ```
#[derive(Debug)]
#[must_use = "call `build`"]
pub struct VerifierBuilder {
    keys: Option<Keys>,
    secrets: Vec<Secret>,
    tolerance: Duration,
    body_limit: usize,
    clock: Box<dyn Clock>,
    header_prefix: Option<String>,
}

impl Default for VerifierBuilder {
    fn default() -> Self {
        Self {
            keys: None,
            secrets: Vec::new(),
            tolerance: Verifier::DEFAULT_TOLERANCE,
            body_limit: Verifier::DEFAULT_BODY_LIMIT,
            clock: Box::new(SystemClock),
            header_prefix: None,
        }
    }
}

impl VerifierBuilder {
    /// Sets secrets under an id of your own. Use it instead of [`secret`](Self::secret), whose
    /// secrets get the id `default`. A second call replaces the keys of the first.
    pub fn keys(mut self, keys: Keys) -> Self {
        self.keys = Some(keys);
        self
    }

    /// Adds a secret. For a rotation, call it several times, with the current secret first.
    pub fn secret(mut self, secret: Secret) -> Self {
        self.secrets.push(secret);
        self
    }

    /// Sets how far in the past or in the future a timestamp may be. Default:
    /// [`Verifier::DEFAULT_TOLERANCE`].
    pub const fn tolerance(mut self, tolerance: Duration) -> Self {
        self.tolerance = tolerance;
        self
    }

    /// Sets the maximum length of a body, in bytes. Default: [`Verifier::DEFAULT_BODY_LIMIT`]. A
    /// longer delivery is rejected, and lost, because Twenty does not retry.
    pub const fn body_limit(mut self, bytes: usize) -> Self {
        self.body_limit = bytes;
        self
    }

    /// Sets the source of the current time. Default: [`SystemClock`].
    pub fn clock(mut self, clock: impl Clock) -> Self {
        self.clock = Box::new(clock);
        self
    }

    /// Sets the prefix of the three header names, without its last hyphen, in at most 1,024 bytes.
    /// Default: `X-Twenty-Webhook`. Use it for forks of Twenty that send
    /// `X-Their-Brand-Webhook-Signature` and so on.
    pub fn header_prefix(mut self, prefix: impl Into<String>) -> Self {
        self.header_prefix = Some(prefix.into());
        self
    }

    /// Returns whether it has keys or secrets.
    #[cfg(feature = "receiver")]
    pub(crate) fn has_secrets(&self) -> bool {
        self.keys.is_some() || !self.secrets.is_empty()
    }

    /// Builds the verifier.
    ///
    /// # Errors
    ///
    /// [`ConfigError`] if there is no secret, if there are too many, if both `keys` and `secret`
    /// were called, or if the prefix is invalid.
    pub fn build(mut self) -> Result<Verifier, ConfigError> {
        let secrets = std::mem::take(&mut self.secrets);
        let keys = match (self.keys.take(), secrets.is_empty()) {
            (Some(keys), true) => keys,
            (Some(_), false) => return Err(ConfigError::KeysAndSecrets),
            (None, _) => Keys::new(Keys::DEFAULT_ID, secrets)?,
        };
        let names = self.header_prefix.take().map(|prefix| HeaderNames::new(&prefix)).transpose()?;
        Ok(self.finish(keys, names.map(Arc::new).unwrap_or_default()))
    }

    fn finish(self, keys: Keys, names: Arc<HeaderNames>) -> Verifier {
        #[cfg(feature = "tracing")]
        keys.warn_of_odd_secrets(|| true);
        let Self { tolerance, body_limit, clock, .. } = self;
        Verifier { inner: Arc::new(Inner { keys, names, tolerance, body_limit, clock }) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_are_the_documented_ones() {
        assert_eq!(Verifier::DEFAULT_TOLERANCE.as_secs(), 300);
        assert_eq!(Verifier::DEFAULT_BODY_LIMIT, 2_097_152);
    }
}
