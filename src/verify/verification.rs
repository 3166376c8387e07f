use std::fmt;

use bytes::{Bytes, BytesMut};
use hmac::Mac;

use super::{Keys, Timestamp, Verified, VerifyError, VerifyErrorKind, headers::SignatureValues, secret::HmacSha256};

/// A verification in progress, of a body that arrives in chunks.
///
/// [`Verifier::begin`](super::Verifier::begin) starts it. Pass it each chunk with
/// [`update`](Self::update), then call [`finalize`](Self::finalize). The sizes of the chunks do not
/// matter.
#[must_use = "nothing is verified before `finalize`"]
pub struct Verification {
    values: SignatureValues,
    fresh_until: Timestamp,
    keys: Keys,
    body: Body,
    body_limit: usize,
}

/// The received part of the body. Its memory grows with the received bytes, not with a declared
/// length.
enum Body {
    /// At most one chunk, as for nearly every body. The chunk is stored as received, and hashed
    /// when the body has ended, so that no hash state moves with it.
    One(Bytes),
    /// Several chunks, which are hashed as they arrive.
    Many(Box<Many>),
}

struct Many {
    /// The MAC with the first secret.
    mac: Option<HmacSha256>,
    /// Copies of the chunks. Slices would keep the server's buffers in memory, with everything that
    /// a client put between the chunks.
    bytes: BytesMut,
}

impl Many {
    fn push(&mut self, chunk: &[u8]) {
        if let Some(mac) = &mut self.mac {
            mac.update(chunk);
        }
        self.bytes.extend_from_slice(chunk);
    }
}

impl Verification {
    // This is inlined, here and in the caller, so that the state is created in place.
    #[inline]
    pub(super) const fn new(values: SignatureValues, fresh_until: Timestamp, keys: Keys, body_limit: usize) -> Self {
        Self { values, fresh_until, keys, body: Body::One(Bytes::new()), body_limit }
    }

    /// Adds the next chunk of the body.
    ///
    /// A body that arrives in one piece is never copied. Several chunks are copied into one buffer
    /// and hashed as they arrive.
    ///
    /// # Errors
    ///
    /// [`VerifyErrorKind::BodyTooLong`] if the chunks exceed the verifier's body limit. The last
    /// chunk is then discarded.
    pub fn update(&mut self, chunk: impl Into<Bytes>) -> Result<(), VerifyError> {
        let chunk = chunk.into();
        self.check_limit(chunk.len())?;
        match &mut self.body {
            Body::Many(many) => many.push(&chunk),
            Body::One(first) if first.is_empty() => *first = chunk,
            Body::One(_) if chunk.is_empty() => {}
            Body::One(first) => {
                let mac = self.keys.secrets().first().map(|secret| secret.begin(self.values.timestamp_header()));
                let bytes = BytesMut::with_capacity(first.len().saturating_add(chunk.len()));
                let mut many = Box::new(Many { mac, bytes });
                many.push(first);
                many.push(&chunk);
                self.body = Body::Many(many);
            }
        }
        Ok(())
    }

    /// Checks that the body stays within its limit with `more` bytes.
    pub(crate) fn check_limit(&self, more: usize) -> Result<(), VerifyError> {
        if more > self.body_limit.saturating_sub(self.received()) {
            return Err(VerifyErrorKind::BodyTooLong.into());
        }
        Ok(())
    }

    /// Returns the number of received bytes.
    #[must_use]
    pub fn received(&self) -> usize {
        match &self.body {
            Body::One(bytes) => bytes.len(),
            Body::Many(many) => many.bytes.len(),
        }
    }

    /// Compares the signature, in constant time.
    ///
    /// If the first secret's MAC does not match, the other secrets are tried on the stored body.
    ///
    /// # Errors
    ///
    /// [`VerifyErrorKind::SignatureMismatch`] if no secret gives the signature.
    pub fn finalize(self) -> Result<Verified, VerifyError> {
        let Self { values, fresh_until, keys, body, .. } = self;
        let (mac, body) = match body {
            Body::One(body) => (None, body),
            Body::Many(many) => (many.mac, many.bytes.freeze()),
        };
        let secret_index = keys.find_signer(&values, mac, &body)?;
        Ok(Verified::new(body, &values, fresh_until, keys.into_id(), secret_index))
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
