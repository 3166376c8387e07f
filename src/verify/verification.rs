use std::fmt;

use bytes::{Bytes, BytesMut};
use hmac::Mac;
use subtle::ConstantTimeEq;

use super::{Keys, SignatureHeaders, Timestamp, Verified, VerifyError, VerifyErrorKind, secret::HmacSha256};

/// A verification under way: hashes the body while it arrives.
///
/// Started by [`Verifier::begin`](super::Verifier::begin); feed it with [`update`](Self::update), end it with
/// [`finalize`](Self::finalize). How the body is cut into chunks makes no difference.
#[must_use = "nothing is verified before `finalize`"]
pub struct Verification {
    headers: SignatureHeaders,
    fresh_until: Timestamp,
    keys: Keys,
    mac: HmacSha256,
    body: ReceivedBody,
    body_limit: usize,
}

impl Verification {
    pub(super) fn begin(
        headers: SignatureHeaders,
        fresh_until: Timestamp,
        keys: Keys,
        body_limit: usize,
    ) -> Result<Self, VerifyErrorKind> {
        // `Keys` has at least one secret; without any, nothing could match.
        let first = keys.secrets().first().ok_or(VerifyErrorKind::SignatureMismatch)?;
        let mac = first.begin(headers.timestamp_text());
        Ok(Self { headers, fresh_until, keys, mac, body: ReceivedBody::default(), body_limit })
    }

    /// Takes the next chunk of the body.
    ///
    /// The first chunk is kept as it is, without a copy; so a body that arrives in one piece is never copied.
    ///
    /// # Errors
    ///
    /// [`VerifyErrorKind::BodyTooLong`] once the chunks exceed the verifier's body limit. The chunk is then not kept.
    pub fn update(&mut self, chunk: impl Into<Bytes>) -> Result<(), VerifyError> {
        let chunk = chunk.into();
        if chunk.len() > self.body_limit.saturating_sub(self.body.len()) {
            return Err(VerifyErrorKind::BodyTooLong.into());
        }
        self.mac.update(&chunk);
        self.body.push(chunk);
        Ok(())
    }

    /// How many bytes of the body are held.
    #[must_use]
    pub fn received(&self) -> usize {
        self.body.len()
    }

    /// Compares the signature, in constant time.
    ///
    /// The first secret's MAC is ready by now. Only when it does not match are the others tried, over the kept body.
    ///
    /// # Errors
    ///
    /// [`VerifyErrorKind::SignatureMismatch`] when no secret gives the signature.
    pub fn finalize(self) -> Result<Verified, VerifyError> {
        let Self { headers, fresh_until, keys, mac, body, .. } = self;
        let body = body.into_bytes();
        let matches = |mac: HmacSha256| -> bool { mac.finalize().into_bytes().ct_eq(headers.signature()).into() };
        let secret_index = if matches(mac) {
            0
        } else {
            let mut others = keys.secrets().iter().enumerate().skip(1);
            others
                .find(|(_, secret)| matches(secret.begin(headers.timestamp_text()).chain_update(&body)))
                .map(|(index, _)| index)
                .ok_or(VerifyErrorKind::SignatureMismatch)?
        };
        Ok(Verified::new(body, headers.timestamp(), fresh_until, keys.shared_id(), secret_index, headers.nonce()))
    }
}

impl fmt::Debug for Verification {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Verification")
            .field("headers", &self.headers)
            .field("keys", &self.keys)
            .field("received", &self.received())
            .field("body_limit", &self.body_limit)
            .finish_non_exhaustive()
    }
}

/// The body so far. Memory follows the bytes that came, never a length that somebody claimed: one chunk is kept as it is,
/// several are gathered in a buffer that doubles.
#[derive(Default)]
struct ReceivedBody {
    only: Bytes,
    gathered: BytesMut,
}

impl ReceivedBody {
    fn len(&self) -> usize {
        self.only.len().max(self.gathered.len())
    }

    fn push(&mut self, chunk: Bytes) {
        if chunk.is_empty() {
            return;
        }
        if self.len() == 0 {
            self.only = chunk;
            return;
        }
        if self.gathered.is_empty() {
            self.gathered.reserve(self.only.len().saturating_add(chunk.len()));
            self.gathered.extend_from_slice(&std::mem::take(&mut self.only));
        }
        self.gathered.extend_from_slice(&chunk);
    }

    fn into_bytes(self) -> Bytes {
        if self.gathered.is_empty() { self.only } else { self.gathered.freeze() }
    }
}

#[cfg(test)]
mod tests;
