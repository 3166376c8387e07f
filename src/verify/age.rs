use super::{Verifier, VerifyError, VerifyErrorKind, headers::SignatureValues};

impl Verifier {
    /// Refuses what was signed too long ago, or too far ahead.
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
