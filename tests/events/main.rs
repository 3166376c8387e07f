//! Tests of what `WebhookEvent` reads from verified bodies.

#[path = "../support/mod.rs"]
mod support;

mod differential;
mod event;
mod generated;
#[path = "../support/handwritten.rs"]
mod handwritten;
mod odd;
#[path = "../support/oracle.rs"]
mod oracle;
mod properties;
mod real;
#[path = "../support/scripted.rs"]
mod scripted;
#[path = "../support/types.rs"]
mod types;
