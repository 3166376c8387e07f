//! Receive Twenty CRM's webhooks.

#![cfg_attr(docsrs, feature(doc_cfg))]
// Nothing on a request's path may panic.
#![cfg_attr(
    not(test),
    warn(
        clippy::arithmetic_side_effects,
        clippy::expect_used,
        clippy::indexing_slicing,
        clippy::panic,
        clippy::unreachable,
        clippy::unwrap_used
    )
)]

pub mod event;
pub mod verify;

pub use event::WebhookEvent;
pub use verify::{Verified, Verifier};
