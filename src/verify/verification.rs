use std::fmt;

use bytes::Bytes;
use hmac::Mac;

use super::{
    Keys, Timestamp, Verified, VerifyError, VerifyErrorKind, headers::SignatureValues, received::Received,
    secret::HmacSha256,
};

/// A verification under way: hashes the body while it arrives.
///
/// Started by [`Verifier::begin`](super::Verifier::begin); feed it with [`update`](Self::update), end it with
/// [`finalize`](Self::finalize). How the body is cut into chunks makes no difference.
#[must_use = "nothing is verified before `finalize`"]
pub struct Verification {
    values: SignatureValues,
    fresh_until: Timestamp,
    keys: Keys,
    mac: HmacSha256,
    body: Received,
    body_limit: usize,
}

impl Verification {
    // Inlined, here and where it is called, so that the state is made where it stays.
    #[inline]
    pub(super) fn begin(
        values: SignatureValues,
        fresh_until: Timestamp,
        keys: Keys,
        body_limit: usize,
    ) -> Result<Self, VerifyErrorKind> {
        // `Keys` has at least one secret; without any, nothing could match.
        let first = keys.secrets().first().ok_or(VerifyErrorKind::SignatureMismatch)?;
        let mac = first.begin(values.timestamp_header());
        Ok(Self { values, fresh_until, keys, mac, body: Received::default(), body_limit })
    }

    /// Takes the next chunk of the body.
    ///
    /// The first chunk is kept as it is, so a body that arrives in one piece is never copied. Several are copied into one buffer as they come:
    /// nothing is kept of the buffers that they lie in.
    ///
    /// # Errors
    ///
    /// [`VerifyErrorKind::BodyTooLong`] once the chunks exceed the verifier's body limit. The chunk is then not kept.
    pub fn update(&mut self, chunk: impl Into<Bytes>) -> Result<(), VerifyError> {
        let chunk = chunk.into();
        if chunk.len() > self.body_limit.saturating_sub(self.received()) {
            return Err(VerifyErrorKind::BodyTooLong.into());
        }
        self.mac.update(&chunk);
        self.body.push(chunk);
        Ok(())
    }

    /// How many bytes of the body are held.
    #[must_use]
    pub fn received(&self) -> usize {
        self.body.as_slice().len()
    }

    /// Compares the signature, in constant time.
    ///
    /// The first secret's MAC is ready by now. Only when it does not match are the others tried, over the kept body.
    ///
    /// # Errors
    ///
    /// [`VerifyErrorKind::SignatureMismatch`] when no secret gives the signature.
    pub fn finalize(self) -> Result<Verified, VerifyError> {
        let Self { values, fresh_until, keys, mac, body, .. } = self;
        let secret_index = keys.find_signer(&values, Some(mac), body.as_slice())?;
        Ok(Verified::new(body.into_bytes(), &values, fresh_until, keys.into_id(), secret_index))
    }
}

impl fmt::Debug for Verification {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Verification")
            .field("timestamp", &self.values.timestamp())
            .field("keys", &self.keys)
            .field("received", &self.received())
            .field("body_limit", &self.body_limit)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
