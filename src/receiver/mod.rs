//! The policy that every adapter runs: which deliveries are taken, which limits hold, what a refusal answers.
//!
//! | situation | status |
//! |---|---|
//! | no signature headers (the webhook has no secret), stale, from the future, no secret matches, unknown tenant, another workspace or webhook than expected | 401, `WWW-Authenticate: Twenty-Webhook` |
//! | signature or timestamp missing alone, repeated or malformed; body broken off | 400 |
//! | body not finished within its deadline | 408, on HTTP/1 with `Connection: close` |
//! | body longer than the limit | 413 |
//! | `Content-Encoding` other than `identity` | 415, `Accept-Encoding: identity` |
//! | too many unverified bytes at once; too many handlers in the background, or draining; claim store down, under [`StoreFailure::Reject`]; tenant's keys not found out | 503 |
//! | duplicate of a delivery that was handled | 200 |
//! | duplicate of one that is being handled | waits for it; 409 when another one waits already |
//! | handler still running at the deadline of [`acknowledge_within`](Receiver::acknowledge_within) | 202 |
//! | no handler for the event, and no fallback (event router) | 200 |
//! | verified, but no JSON (extractor) | 400 |
//! | verified, but not what the extractor's type asks for, or of another object | 422 |
//! | extractor without the middleware | 500 |
//!
//! `Twenty-Webhook` is a scheme name of this crate's own, since HTTP wants one with each 401; it is not registered.
//!
//! A refusal's body is empty and its reason is told to nobody but you: as [`Refusal`] or [`WebhookRejection`] in the response's
//! extensions, and by `tracing`.

mod acknowledge;
mod budget;
mod deduplicate;
mod deliver;
mod intake;
mod outcome;
mod policy;
mod reading;
mod telemetry;
mod tenants;
mod throttle;

pub use acknowledge::Drained;
pub use deduplicate::{Deduplicate, StoreFailure};
pub(crate) use deliver::{Delivered, Delivery};
pub use deliver::{Outcome, OutcomeKind};
pub use outcome::{Refusal, RefusalKind, RefusalResponse, WebhookRejection};
pub use policy::Receiver;
pub(crate) use reading::Reading;
pub use tenants::TenantRequest;
