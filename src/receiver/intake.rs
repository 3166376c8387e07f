use bytes::Bytes;

use super::{Receiver, Refusal, RefusalKind, budget::Share};
use crate::verify::{Verification, Verified};

/// A delivery on its way in: its head was not refused, its body is being hashed.
#[derive(Debug)]
pub(super) struct Intake {
    receiver: Receiver,
    verification: Verification,
    share: Share,
}

impl Intake {
    pub(super) const fn new(receiver: Receiver, verification: Verification, share: Share) -> Self {
        Self { receiver, verification, share }
    }

    /// Takes the next chunk of the body.
    pub(super) fn push(&mut self, chunk: Bytes) -> Result<(), Refusal> {
        if !self.share.grow(chunk.len()) {
            return Err(RefusalKind::Overloaded.into());
        }
        Ok(self.verification.update(chunk)?)
    }

    /// Ends it.
    pub(super) fn finish(self) -> Result<Verified, Refusal> {
        let verified = self.verification.finalize()?;
        self.receiver.check_expected(&verified)?;
        Ok(verified)
    }
}
