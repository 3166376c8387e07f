//! Tests of the receiver in tower, axum and actix-web.

#![cfg(any(feature = "actix-web", feature = "tower"))]

#[path = "../support/mod.rs"]
mod support;

#[cfg(all(feature = "actix-web", feature = "axum"))]
mod acknowledgement;
#[cfg(feature = "actix-web")]
mod actix_web;
#[cfg(all(feature = "actix-web", feature = "axum"))]
mod adapters;
#[cfg(feature = "axum")]
mod axum;
#[cfg(all(feature = "actix-web", feature = "axum"))]
mod deduplication;
#[cfg(all(feature = "actix-web", feature = "axum"))]
mod event_router;
#[cfg(all(feature = "actix-web", feature = "axum"))]
mod http2;
#[cfg(all(feature = "actix-web", feature = "axum"))]
mod json_bodies;
#[cfg(all(feature = "actix-web", feature = "axum"))]
mod known_defects;
#[cfg(all(feature = "actix-web", feature = "axum", feature = "metrics", feature = "tracing"))]
mod log_volume;
#[cfg(all(feature = "actix-web", feature = "axum", feature = "metrics", feature = "tracing"))]
mod observers;
#[cfg(all(feature = "actix-web", feature = "axum"))]
mod refusal_responses;
#[cfg(feature = "tower")]
mod routes;
#[cfg(all(feature = "actix-web", feature = "axum"))]
mod tenants;
#[cfg(feature = "tower")]
mod tower;
#[cfg(feature = "tower")]
mod tower_middleware;
#[cfg(all(feature = "actix-web", feature = "axum", feature = "metrics", feature = "tracing"))]
mod warnings;
