use std::fmt;

use bytes::{Bytes, BytesMut};
use hmac::Mac;

use super::{Keys, Timestamp, Verified, VerifyError, VerifyErrorKind, headers::SignatureValues, secret::HmacSha256};

/// A verification under way, of a body that arrives in chunks.
///
/// Started by [`Verifier::begin`](super::Verifier::begin); feed it with [`update`](Self::update),
/// end it with [`finalize`](Self::finalize). How the body is cut into chunks makes no difference.
#[must_use = "nothing is verified before `finalize`"]
pub struct Verification {
    values: SignatureValues,
    fresh_until: Timestamp,
    keys: Keys,
    body: Body,
    body_limit: usize,
}

/// The body so far. Memory follows the bytes that arrived, never a declared length.
enum Body {
    /// At most one chunk, as nearly every body is. It is kept as it is, and hashed once the body is
    /// known to be whole, so that no hash state is moved about with it.
    One(Bytes),
    /// Several chunks: hashed as they arrive.
    Many(Box<Many>),
}

struct Many {
    /// With the first secret.
    mac: Option<HmacSha256>,
    /// Copies. To keep the chunks would keep the buffers that they lie in, with whatever a client
    /// put between them.
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
    // Inlined, here and where it is called, so that the state is made where it stays.
    #[inline]
    pub(super) const fn new(values: SignatureValues, fresh_until: Timestamp, keys: Keys, body_limit: usize) -> Self {
        Self { values, fresh_until, keys, body: Body::One(Bytes::new()), body_limit }
    }

    /// Takes the next chunk of the body.
    ///
    /// A body that arrives in one piece is never copied. Several chunks are copied into one buffer
    /// and hashed as they arrive.
    ///
    /// # Errors
    ///
    /// [`VerifyErrorKind::BodyTooLong`] once the chunks exceed the verifier's body limit. The chunk
    /// is then not kept.
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

    /// Whether the body stays within its limit with this many bytes more.
    pub(crate) fn check_limit(&self, more: usize) -> Result<(), VerifyError> {
        if more > self.body_limit.saturating_sub(self.received()) {
            return Err(VerifyErrorKind::BodyTooLong.into());
        }
        Ok(())
    }

    /// How many bytes of the body are held.
    #[must_use]
    pub fn received(&self) -> usize {
        match &self.body {
            Body::One(bytes) => bytes.len(),
            Body::Many(many) => many.bytes.len(),
        }
    }

    /// Compares the signature, in constant time.
    ///
    /// Only when the first secret's MAC does not match are the others tried, over the kept body.
    ///
    /// # Errors
    ///
    /// [`VerifyErrorKind::SignatureMismatch`] when no secret gives the signature.
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
