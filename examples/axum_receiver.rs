//! Receives Twenty's webhooks with axum, and prints a line for each event.
//!
//!     TWENTY_WEBHOOK_SECRET=dev-secret cargo run --features axum --example axum_receiver

mod common;

use axum::{
    Router,
    http::StatusCode,
    routing::{get, post},
};
use tokio::net::TcpListener;
use twenty_webhook::{Receiver, WebhookEvent, tower::WebhookLayer};

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
    let receiver = Receiver::new(common::verifier_from_env());
    let listener = TcpListener::bind(common::listen_addr()).await?;
    eprintln!("listening on http://{}/webhooks/twenty", listener.local_addr()?);
    axum::serve(listener, app(receiver)).with_graceful_shutdown(common::shutdown_signal()).await
}
