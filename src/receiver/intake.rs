use bytes::Bytes;

use super::{Receiver, Refusal, RefusalKind, budget::Share};
use crate::verify::{Verification, Verified};

/// A delivery on its way in: its head was accepted, its body is arriving.
pub(super) struct Intake {
    verification: Verification,
    share: Share,
    is_of_unknown_tenant: bool,
    #[cfg(feature = "metrics")]
    hashing: std::time::Duration,
}

impl Intake {
    pub(super) const fn new(verification: Verification, share: Share) -> Self {
        Self {
            verification,
            share,
            is_of_unknown_tenant: false,
            #[cfg(feature = "metrics")]
            hashing: std::time::Duration::ZERO,
        }
    }

    /// Does the same work, and rejects it in the end.
    pub(super) const fn of_unknown_tenant(mut self) -> Self {
        self.is_of_unknown_tenant = true;
        self
    }

    /// Takes the next chunk of the body.
    pub(super) fn push(&mut self, chunk: Bytes) -> Result<(), Refusal> {
        if !self.share.grow(chunk.len()) {
            return Err(RefusalKind::Overloaded.into());
        }
        #[cfg(feature = "metrics")]
        let began = std::time::Instant::now();
        self.verification.update(chunk)?;
        #[cfg(feature = "metrics")]
        {
            self.hashing = self.hashing.saturating_add(began.elapsed());
        }
        Ok(())
    }

    /// Ends it, as the receiver expects.
    pub(super) fn finish(self, receiver: &Receiver) -> Result<Verified, Refusal> {
        #[cfg(feature = "metrics")]
        let began = std::time::Instant::now();
        let verdict = self.verification.finalize();
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
