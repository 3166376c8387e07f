//! Deduplication in Redis, against real servers.

#[path = "../support/mod.rs"]
mod support;

mod store;
#[cfg(feature = "axum")]
mod two_receivers;
