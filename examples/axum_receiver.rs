//! Receives Twenty's webhooks with axum. Handles each event once, acknowledges it in time, and
//! prints a line for it.
//!
//!     TWENTY_WEBHOOK_SECRET=dev-secret cargo run --features axum --example axum_receiver

mod common;

use std::time::Duration;

use axum::{
    Router,
    http::StatusCode,
    routing::{get, post},
};
use tokio::net::TcpListener;
use twenty_webhook::{Receiver, WebhookEvent, deduplicate::MemoryStore, tower::WebhookLayer};

async fn on_event(event: WebhookEvent) -> StatusCode {
    common::print(&event);
    StatusCode::OK
}

fn app(receiver: Receiver) -> Router {
    Router::new()
        .route("/webhooks/twenty", post(on_event).layer(WebhookLayer::new(receiver)))
        .route("/health", get(StatusCode::OK))
}

#[tokio::main]
async fn main() -> std::io::Result<()> {
    let receiver = Receiver::new(common::verifier_from_env())
        .deduplicate(MemoryStore::new(100_000))
        .acknowledge_within(Duration::from_millis(250));
    let listener = TcpListener::bind(common::listen_addr()).await?;
    eprintln!("listening on http://{}/webhooks/twenty", listener.local_addr()?);
    common::serve(listener, app(receiver.clone())).await?;
    // All requests have ended, but handlers whose events were acknowledged may still be running.
    common::drain(&receiver).await;
    Ok(())
}
