use bytes::Bytes;

use super::{Receiver, Refusal, RefusalKind, budget::Share};
use crate::verify::{Keys, SignatureValues, Verification, Verified};

/// A delivery whose head was accepted and whose body is arriving.
pub(super) struct Intake {
    verification: Verification,
    share: Share,
    is_of_unknown_tenant: bool,
    #[cfg(feature = "metrics")]
    hashing: std::time::Duration,
}

impl Intake {
    /// Starts to verify with the verifier's own keys.
    pub(super) fn new(receiver: &Receiver, signature: SignatureValues) -> Self {
        Self::verifying(receiver, receiver.verifier().start(signature, None))
    }

    /// Starts to verify with the tenant's keys. For an unknown tenant this does the same work, and
    /// finally rejects the delivery.
    pub(super) fn for_tenant(receiver: &Receiver, signature: SignatureValues, keys: Option<Keys>) -> Self {
        let is_of_unknown_tenant = keys.is_none();
        #[cfg(feature = "tracing")]
        if let Some(keys) = &keys {
            // The resolver may create the keys for each request.
            keys.warn_of_odd_secrets(|| receiver.warnings().is_odd_secret_due());
        }
        Self { is_of_unknown_tenant, ..Self::verifying(receiver, receiver.verifier().start(signature, keys)) }
    }

    fn verifying(receiver: &Receiver, verification: Verification) -> Self {
        Self {
            verification,
            share: receiver.share(),
            is_of_unknown_tenant: false,
            #[cfg(feature = "metrics")]
            hashing: std::time::Duration::ZERO,
        }
    }

    /// Adds the next chunk of the body.
    pub(super) fn push(&mut self, chunk: Bytes) -> Result<(), Refusal> {
        // This check comes first, so that a body that is too long is not reported as a full budget.
        self.verification.check_limit(chunk.len())?;
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

    /// Ends verification, and checks the workspace and webhook that the receiver expects.
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
