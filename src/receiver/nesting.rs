//! Middleware that wraps a route twice.

use super::{Receiver, Refusal, RefusalKind, telemetry};
use crate::verify::Verified;

impl Receiver {
    /// Decides about a request that may have passed another middleware of this crate, which
    /// verified `outer`.
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

/// What a middleware does inside another one.
pub(crate) enum Nesting {
    /// There is no outer middleware, or it belongs to another receiver, whose verification is not
    /// trusted, because it may have used other keys.
    Verify { is_inside_managed: bool },
    /// The outer middleware belongs to the same receiver and has done everything. Doing it again
    /// would treat the delivery as a duplicate of itself.
    PassThrough(Verified),
    /// Both deduplicate or acknowledge. If they share a store, the delivery would be a duplicate of
    /// itself, and the inner 202 would complete the outer claim before the handler has ended.
    Refuse(Refusal),
}
