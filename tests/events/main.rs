//! What `WebhookEvent` reads from verified bodies.

#[path = "../support/mod.rs"]
mod support;

mod event;
mod odd;
mod properties;
mod types;
