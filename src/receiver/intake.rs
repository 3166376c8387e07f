use bytes::Bytes;

use super::{Receiver, Refusal, RefusalKind, budget::Share};
use crate::verify::{Keys, SignatureValues, Verification, Verified, VerifyErrorKind};

/// A delivery on its way in: its head was not refused, its body is coming.
pub(super) struct Intake {
    values: SignatureValues,
    /// A tenant's, instead of the verifier's own.
    keys: Option<Keys>,
    body: Body,
    share: Share,
    is_of_unknown_tenant: bool,
    #[cfg(feature = "metrics")]
    hashing: std::time::Duration,
}

enum Body {
    /// At most one chunk, which nearly every body is: hashed once it is known to be whole, so that no state has to wait with it.
    OneChunk(Bytes),
    /// More: hashed as they come.
    Chunks(Box<Verification>),
}

impl Intake {
    pub(super) const fn new(values: SignatureValues, keys: Option<Keys>, share: Share) -> Self {
        Self {
            values,
            keys,
            body: Body::OneChunk(Bytes::new()),
            share,
            is_of_unknown_tenant: false,
            #[cfg(feature = "metrics")]
            hashing: std::time::Duration::ZERO,
        }
    }

    /// Goes through it all the same, and refuses it in the end.
    pub(super) const fn of_unknown_tenant(mut self) -> Self {
        self.is_of_unknown_tenant = true;
        self
    }

    /// Takes the next chunk of the body.
    pub(super) fn push(&mut self, receiver: &Receiver, chunk: Bytes) -> Result<(), Refusal> {
        if !self.share.grow(chunk.len()) {
            return Err(RefusalKind::Overloaded.into());
        }
        #[cfg(feature = "metrics")]
        let began = std::time::Instant::now();
        self.take(receiver, chunk)?;
        #[cfg(feature = "metrics")]
        {
            self.hashing = self.hashing.saturating_add(began.elapsed());
        }
        Ok(())
    }

    fn take(&mut self, receiver: &Receiver, chunk: Bytes) -> Result<(), Refusal> {
        let first = match &mut self.body {
            Body::Chunks(verification) => return Ok(verification.update(chunk)?),
            Body::OneChunk(first) => first,
        };
        if first.is_empty() {
            if chunk.len() > receiver.verifier().body_limit() {
                return Err(VerifyErrorKind::BodyTooLong.into());
            }
            *first = chunk;
        } else if !chunk.is_empty() {
            let first = std::mem::take(first);
            let mut verification = Box::new(receiver.verifier().start(self.values.clone(), self.keys.clone())?);
            verification.update(first)?;
            verification.update(chunk)?;
            self.body = Body::Chunks(verification);
        }
        Ok(())
    }

    /// Ends it, as the receiver expects.
    pub(super) fn finish(self, receiver: &Receiver) -> Result<Verified, Refusal> {
        #[cfg(feature = "metrics")]
        let began = std::time::Instant::now();
        let verdict = match self.body {
            Body::OneChunk(body) => receiver.verifier().verify_checked(&self.values, self.keys.as_ref(), body),
            Body::Chunks(verification) => verification.finalize(),
        };
        if self.is_of_unknown_tenant {
            return Err(RefusalKind::UnknownTenant.into());
        }
        let verified = verdict?;
        #[cfg(feature = "metrics")]
        super::telemetry::verified(&verified, receiver.verifier().now(), self.hashing.saturating_add(began.elapsed()));
        receiver.check_expected(&verified)?;
        Ok(verified)
    }
}
