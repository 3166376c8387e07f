//! The inbox as a handler, for every framework.

use super::{Accepted, Inbox};
use crate::{
    receiver::{Became, OutcomeKind, WebhookRejection},
    verify::Verified,
};

impl Inbox {
    /// Accepts the delivery of a request. `verified` is what the middleware put into its
    /// extensions.
    pub(crate) async fn receive(&self, verified: Option<Verified>) -> Result<Became, WebhookRejection> {
        let verified = verified.ok_or(WebhookRejection::MissingMiddleware)?;
        if verified.by().is_some_and(|by| by.is_managed) {
            return Err(WebhookRejection::InboxBehindManaged);
        }
        let accepted = self.accept(verified).await.map_err(|_| WebhookRejection::NotStored)?;
        Ok(Became(match accepted {
            Accepted::Stored => OutcomeKind::Stored,
            Accepted::Duplicate => OutcomeKind::Duplicate,
            Accepted::Handled => OutcomeKind::Handled,
        }))
    }
}
