use super::{Verifier, VerifyError, VerifyErrorKind, headers::SignatureValues};

impl Verifier {
    /// Rejects a delivery that was signed too long ago, or too far in the future.
    pub(crate) fn check_age(&self, values: &SignatureValues) -> Result<(), VerifyError> {
        let (now, tolerance) = (self.now(), self.tolerance());
        let sent = values.timestamp();
        if now.saturating_since(sent) > tolerance {
            return Err(VerifyErrorKind::TooOld.into());
        }
        if sent.saturating_since(now) > tolerance {
            return Err(VerifyErrorKind::FromTheFuture.into());
        }
        Ok(())
    }
}
