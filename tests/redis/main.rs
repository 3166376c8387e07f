//! Tests of deduplication in Redis, with real servers.

#[path = "../support/mod.rs"]
mod support;

mod store;
#[cfg(feature = "axum")]
mod two_receivers;
