//! Receives Twenty's webhooks in several processes behind a load balancer. They share a Redis, so
//! an event that one process has handled is not handled again by another. While Redis is down, each
//! process remembers its own events.
//!
//!     export TWENTY_WEBHOOK_SECRET=dev-secret REDIS_URL=redis://127.0.0.1:6379
//!     LISTEN_ADDR=127.0.0.1:3000 cargo run --features axum,redis --example redis_receiver
//!     LISTEN_ADDR=127.0.0.1:3001 cargo run --features axum,redis --example redis_receiver

mod common;

use std::{error::Error, time::Duration};

use axum::{
    Router,
    http::StatusCode,
    routing::{get, post},
};
use tokio::net::TcpListener;
use twenty_webhook::{
    Receiver, WebhookEvent,
    deduplicate::RedisStore,
    receiver::{Outcome, OutcomeKind},
    tower::WebhookLayer,
};

async fn on_event(event: WebhookEvent) -> StatusCode {
    common::print(&event);
    StatusCode::OK
}

/// Logs the failure of a handler whose event was already acknowledged with 202.
fn on_outcome(outcome: &Outcome) {
    if let OutcomeKind::Failed { .. } | OutcomeKind::Aborted = outcome.kind {
        eprintln!("not handled: {outcome:?}");
    }
}

fn app(receiver: Receiver) -> Router {
    Router::new()
        .route("/webhooks/twenty", post(on_event).layer(WebhookLayer::new(receiver)))
        .route("/health", get(StatusCode::OK))
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let redis_url = std::env::var("REDIS_URL").unwrap_or_else(|_| "redis://127.0.0.1:6379".to_owned());
    // The store connects on first use. A receiver that cannot start without Redis would lose
    // events; a receiver that starts without it can at worst handle some of them twice.
    let store = RedisStore::builder(&redis_url).connect_lazy()?;
    let receiver = Receiver::new(common::verifier_from_env())
        .deduplicate(store)
        .acknowledge_within(Duration::from_millis(250))
        .on_outcome(on_outcome);
    let listener = TcpListener::bind(common::listen_addr()).await?;
    eprintln!("listening on http://{}/webhooks/twenty", listener.local_addr()?);
    common::serve(listener, app(receiver.clone())).await?;
    common::drain(&receiver).await;
    Ok(())
}
