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

#[cfg(feature = "actix-web")]
pub mod actix_web;
#[cfg(feature = "axum")]
pub mod axum;
pub mod event;
#[cfg(any(feature = "actix-web", feature = "tower"))]
pub mod receiver;
#[cfg(feature = "tower")]
pub mod tower;
pub mod verify;

pub use event::WebhookEvent;
#[cfg(any(feature = "actix-web", feature = "tower"))]
pub use receiver::Receiver;
pub use verify::{Verified, Verifier};
