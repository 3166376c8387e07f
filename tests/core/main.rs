//! Tests that require neither a framework nor a server: verification, diagnosis, the testing
//! module, the store in memory, and properties of all public types.

#[path = "../support/mod.rs"]
mod support;

#[cfg(all(feature = "actix-web", feature = "axum", feature = "inbox", feature = "redis"))]
mod auto_traits;
mod defaults;
mod diagnosis;
#[cfg(all(feature = "inbox", feature = "tower"))]
mod errors;
mod examples_readme;
mod guarantee;
mod memory_store;
mod observing;
#[cfg(all(feature = "actix-web", feature = "axum", feature = "inbox", feature = "redis"))]
mod redaction;
mod second_opinion;
mod security_md;
mod testing;
mod verify;
