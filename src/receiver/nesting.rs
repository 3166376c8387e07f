//! The middleware around a route twice.

use super::{Receiver, Refusal, RefusalKind, telemetry};
use crate::verify::Verified;

impl Receiver {
    /// What to do with a request that may have come through other middleware of this crate: with
    /// what that one verified.
    pub(crate) fn nesting(&self, outer: Option<&Verified>) -> Nesting {
        let Some((verified, by)) = outer.and_then(|verified| Some((verified, verified.by()?))) else {
            return Nesting::Verify { is_inside_managed: false };
        };
        if by.receiver_id == self.id() {
            Nesting::PassThrough(verified.clone())
        } else if by.is_managed && self.is_managed() {
            let refusal = RefusalKind::Nested.into();
            telemetry::refused(&refusal, || None);
            Nesting::Refuse(refusal)
        } else {
            Nesting::Verify { is_inside_managed: by.is_managed }
        }
    }
}

/// What a middleware does inside of another one.
pub(crate) enum Nesting {
    /// There is none, or that of another receiver: what it verified, perhaps with another tenant's
    /// keys, proves nothing here.
    Verify { is_inside_managed: bool },
    /// That of the same receiver has done everything. To do it again would take the delivery for a
    /// copy of itself.
    PassThrough(Verified),
    /// Both deduplicate or acknowledge. In the same store the delivery would be a copy of itself,
    /// and the 202 of the inner one would complete the claim of the outer one before the handler
    /// has ended.
    Refuse(Refusal),
}
