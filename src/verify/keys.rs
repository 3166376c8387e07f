use std::{fmt, sync::Arc};

use hmac::Mac;
use subtle::ConstantTimeEq;

use super::{ConfigError, Secret, VerifyErrorKind, headers::SignatureValues, secret::HmacSha256};

/// The secrets of one webhook or tenant, under a stable id.
///
/// Usually there is one secret. Several allow a rotation: after a change, Twenty still signs queued
/// deliveries with the *old* secret, which is stored in the queued job. So keep the previous secret
/// for a while. Secrets are tried in their order; put the current one first.
///
/// The id names the webhook or tenant in logs and in
/// [`Verified::keys_id`](super::Verified::keys_id). Choose any id, and keep it when secrets change.
/// It must not contain a secret.
///
/// ```
/// use twenty_webhook::verify::{Keys, Secret};
///
/// let keys = Keys::new("acme", [Secret::new("current")?, Secret::new("previous")?])?;
/// assert_eq!(keys.id(), "acme");
/// # Ok::<(), twenty_webhook::verify::ConfigError>(())
/// ```
#[derive(Clone)]
pub struct Keys {
    id: Arc<str>,
    secrets: Arc<[Secret]>,
}

impl Keys {
    /// The maximum number of secrets under one id. Each secret after the first costs another hash
    /// over the whole body if the secrets before it do not match. This is the case for every
    /// forgery, so list only the secrets that you need.
    pub const MAX_SECRETS: usize = 8;

    /// Creates keys from an id and 1 to [`Keys::MAX_SECRETS`] secrets.
    ///
    /// # Errors
    ///
    /// [`ConfigError::NoSecret`] or [`ConfigError::TooManySecrets`].
    pub fn new(id: impl Into<Arc<str>>, secrets: impl IntoIterator<Item = Secret>) -> Result<Self, ConfigError> {
        let secrets: Arc<[Secret]> = secrets.into_iter().take(Self::MAX_SECRETS + 1).collect();
        match secrets.len() {
            0 => Err(ConfigError::NoSecret),
            1..=Self::MAX_SECRETS => Ok(Self { id: id.into(), secrets }),
            _ => Err(ConfigError::TooManySecrets),
        }
    }

    /// Returns the id.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    pub(super) const DEFAULT_ID: &str = "default";

    pub(super) fn single(secret: Secret) -> Self {
        Self { id: Self::DEFAULT_ID.into(), secrets: [secret].into() }
    }

    pub(crate) fn shared_id(&self) -> Arc<str> {
        Arc::clone(&self.id)
    }

    pub(super) fn into_id(self) -> Arc<str> {
        self.id
    }

    pub(crate) fn secrets(&self) -> &[Secret] {
        &self.secrets
    }
}

impl Keys {
    /// Returns the index of the secret that gives the signature, in constant time. `first` is the
    /// MAC of the first secret, if it has been computed. The others are tried only if it does not
    /// match.
    pub(super) fn find_signer(
        &self,
        values: &SignatureValues,
        first: Option<HmacSha256>,
        body: &[u8],
    ) -> Result<usize, VerifyErrorKind> {
        let signature = words(values.signature());
        let matches = |mac: HmacSha256| -> bool { words(&mac.finalize().into_bytes().into()).ct_eq(&signature).into() };
        let tried = usize::from(first.is_some());
        if first.is_some_and(matches) {
            return Ok(0);
        }
        let mut others = self.secrets.iter().enumerate().skip(tried);
        let signer = others.find(|(_, secret)| matches(secret.begin(values.timestamp_header()).chain_update(body)));
        signer.map(|(index, _)| index).ok_or(VerifyErrorKind::SignatureMismatch)
    }
}

#[cfg(feature = "tracing")]
impl Keys {
    /// Warns about secrets that look misconfigured. They are legal, because a webhook can have any
    /// secret. `is_due` is called only if there is such a secret.
    pub(crate) fn warn_of_odd_secrets(&self, mut is_due: impl FnMut() -> bool) {
        for (index, secret) in self.secrets.iter().enumerate() {
            let found = secret.oddities();
            if !found.is_empty() && is_due() {
                crate::report::report(|| {
                    tracing::warn!(
                        keys.id = self.id(),
                        secret.index = index,
                        found,
                        "the webhook secret looks misconfigured: compare it with the secret in Twenty"
                    );
                });
            }
        }
    }
}

/// Splits a MAC into words of eight bytes, to reduce the number of comparisons. `subtle` hides the
/// result of each comparison from the compiler, which takes longer than the comparison itself.
fn words(bytes: &[u8; 32]) -> [u64; 4] {
    let (words, _) = bytes.as_chunks::<8>();
    std::array::from_fn(|index| words.get(index).copied().map(u64::from_ne_bytes).unwrap_or_default())
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keys").field("id", &self.id).field("secrets", &self.secrets.len()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accepts_one_to_eight_secrets() {
        let secrets = |n: usize| (0..n).map(|i| Secret::new(format!("secret {i}")).unwrap());
        assert_eq!(Keys::new("a", secrets(0)).unwrap_err(), ConfigError::NoSecret);
        assert_eq!(Keys::new("a", secrets(9)).unwrap_err(), ConfigError::TooManySecrets);
        let keys = Keys::new("a", secrets(8)).unwrap();
        assert_eq!((keys.id(), keys.secrets().len()), ("a", 8));
        assert_eq!(format!("{:?}", Keys::new("a", secrets(1)).unwrap()), r#"Keys { id: "a", secrets: 1 }"#);
    }
}
