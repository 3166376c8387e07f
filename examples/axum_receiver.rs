//! Receives Twenty's webhooks with axum: each event once, acknowledged in time, a line for each.
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
    // No request is open any more; handlers that were acknowledged early may still run.
    common::drain(&receiver).await;
    Ok(())
}
