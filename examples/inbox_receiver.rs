//! Receives Twenty's webhooks with axum, and stores each event in an inbox before it responds. A
//! worker handles the events, and retries until it succeeds.
//!
//!     TWENTY_WEBHOOK_SECRET=dev-secret cargo run --features axum,redb --example inbox_receiver
//!
//! `INBOX` is the path of the file (default `twenty-inbox.redb`) or, with the feature `postgres`, a
//! `postgres://` URL. To see what the inbox does, let the handler fail. With `FAIL=2`, the first
//! two attempts of each event fail. With `FAIL_ALWAYS=person.created`, these events fail
//! permanently. With `HANDLER_MS=500`, each attempt takes half a second.

mod common;
#[path = "common/inbox.rs"]
mod inbox;

use std::error::Error;

use axum::{
    Router,
    http::StatusCode,
    routing::{get, post},
};
use common::escaped;
use twenty_webhook::{inbox::Inbox, tower::WebhookLayer};

fn app(inbox: Inbox) -> Router {
    Router::new()
        .route("/webhooks/twenty", post(inbox).layer(WebhookLayer::new(common::verifier_from_env())))
        .route("/health", get(StatusCode::OK))
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let inbox = inbox::open().await?;
    let worker = inbox::start(&inbox)?;
    inbox::serve(worker, app(inbox)).await
}
