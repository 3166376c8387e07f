//! Receive Twenty CRM's webhooks: wrap a route with the middleware, and your handler receives a
//! typed event.
//!
//! Forged and stale deliveries never reach the handler. In production, mount an [`inbox`] (features
//! `redb` and `postgres`): it stores each delivery on disk before it answers, drops duplicates, and
//! retries. Without an inbox, [`Receiver::deduplicate`] drops duplicates, and
//! [`Receiver::acknowledge_within`] answers Twenty in time while a slow handler runs, but a crash
//! loses events. Do not combine these two with an inbox, which then answers 500.
//!
//! | you have | you use | feature |
//! |---|---|---|
//! | axum | [`tower::WebhookLayer`], and [`WebhookEvent`] as a handler argument: see [`axum`] | `axum` |
//! | actix-web | [`actix_web::WebhookMiddleware`], and [`WebhookEvent`] as a handler argument | `actix-web` |
//! | tower, hyper | [`tower::WebhookLayer`] | `tower` |
//! | anything else | [`Verifier::verify`], then [`WebhookEvent::from_verified`] | |
//!
//! No feature is on by default. `redis` adds `RedisStore` to [`deduplicate`], for several
//! receivers. `tracing` and `metrics` report what happens, without the content of deliveries. `cli`
//! builds the command-line tool `twenty-webhook`; libraries do not need it.
//!
//! ```
//! # #[cfg(all(feature = "axum", feature = "redb"))]
//! # async fn receiver() -> Result<(), Box<dyn std::error::Error>> {
//! use std::time::Duration;
//! use axum::{Router, routing::post};
//! use twenty_webhook::{Verifier, WebhookEvent, inbox::Inbox, tower::WebhookLayer};
//!
//! async fn on_event(event: WebhookEvent) {
//!     println!("{}: {}", event.name, event.record.display_name().unwrap_or_default());
//! }
//!
//! let inbox = Inbox::open("twenty-inbox.redb")?;
//! let worker = inbox.worker(()).fallback(on_event).start()?;
//! let layer = WebhookLayer::new(Verifier::new("the secret from Twenty's settings")?);
//! let app: Router = Router::new().route("/webhooks/twenty", post(inbox).layer(layer));
//! // … `axum::serve` the app …
//! worker.shutdown(Duration::from_secs(10)).await; // unfinished events stay in the inbox
//! # let _ = app;
//! # Ok(())
//! # }
//! ```
//!
//! This requires `features = ["axum", "redb", "tracing"]`. With `tracing`, the crate logs what it
//! rejects and which handlers fail.
//!
//! The module of each framework has an `EventRouter`, which dispatches each kind of event to its
//! own handler. [`testing`] creates deliveries for your tests. [`Verifier::diagnose`] explains why
//! a captured delivery does not verify, and [`troubleshooting`] lists symptoms and solutions.
//!
//! # Architecture
//!
//! The crate consists of three rings. Each ring depends only on the rings inside it.
//!
//! 1. [`verify`] works with bytes, time and keys. It creates [`Verified`], which everything else
//!    requires.
//! 2. [`event`] reads typed events from verified bytes, [`deduplicate`] has claims and their
//!    stores, and [`receiver`] has the settings and statuses of all adapters.
//! 3. [`tower`], [`axum`] and [`actix_web`] are adapters between requests, handlers and responses.
//!
//! [`testing`] and [`diagnose`] are outside the rings. The module `inbox` builds on the first two
//! rings, and the adapters mount it.
//!
//! # Types of other crates
//!
//! If you use types of these crates, add them to your `Cargo.toml` with the same major version:
//!
//! | crate | where |
//! |---|---|
//! | `bytes` 1 | bodies |
//! | `jiff` 1 | times and days in records and events |
//! | `uuid` 1 | [`event::field::Id`] |
//! | `serde` 1, `serde_json` 1 | custom objects; errors of invalid JSON |
//! | `http` 1, `http-body` 1, `tower-layer` 0.3, `tower-service` 0.3 | feature `tower` |
//! | `axum` 0.8 | feature `axum` |
//! | `actix-web` 4 | feature `actix-web` |
//! | `tokio-postgres` 0.7 | TLS for the [`inbox`] in PostgreSQL, through a connector for that crate |
//! | `redis` 1 | TLS for [`deduplicate::RedisStore`], through features of that crate |
//!
//! A new major version of one of these crates is a breaking change of this crate. The API contains
//! no types of `tracing` and `metrics`.
//!
//! # What it does not do
//!
//! The library neither calls Twenty's API nor orders events.

#![cfg_attr(docsrs, feature(doc_cfg))]
// Some links lead to items that require a feature.
#![cfg_attr(not(all(feature = "actix-web", feature = "axum")), allow(rustdoc::broken_intra_doc_links))]
// Without a framework, items that only the adapters use are unused.
#![cfg_attr(
    all(feature = "receiver", not(any(feature = "actix-web", feature = "tower"))),
    allow(dead_code, unused_imports)
)]
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
#[cfg(feature = "receiver")]
mod caught;
mod clip;
pub mod deduplicate;
pub mod diagnose;
pub mod event;
// The guide's examples are tests.
#[cfg(any(doc, all(doctest, feature = "actix-web", feature = "axum", feature = "redb", feature = "redis")))]
pub mod guide;
#[cfg(feature = "inbox")]
#[cfg_attr(not(any(feature = "postgres", feature = "redb")), allow(dead_code, reason = "only durable stores use it"))]
pub mod inbox;
mod lower_hex;
#[cfg(feature = "receiver")]
pub mod receiver;
#[cfg(any(feature = "receiver", feature = "tracing"))]
mod report;
pub mod testing;
#[cfg(feature = "tower")]
pub mod tower;
#[cfg(any(doc, test))]
pub mod troubleshooting;
pub mod verify;

pub use event::WebhookEvent;
#[cfg(feature = "receiver")]
pub use receiver::Receiver;
pub use verify::{Verified, Verifier};

// The examples in these documents are tests.
#[cfg(all(doctest, feature = "axum", feature = "inbox"))]
#[doc = include_str!("../docs/queues.md")]
mod queues {}

#[cfg(all(doctest, feature = "actix-web", feature = "axum", feature = "redb"))]
#[doc = include_str!("../README.md")]
mod readme {}
