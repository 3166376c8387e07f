//! Receives Twenty's webhooks with axum and stores each in an inbox before it answers. A worker
//! handles them, again and again until it succeeds.
//!
//!     TWENTY_WEBHOOK_SECRET=dev-secret cargo run --features axum,redb --example inbox_receiver
//!
//! `INBOX` names the file (`twenty-inbox.redb`), or with the feature `postgres` a `postgres://`
//! URL. To see what the inbox does, let the handler fail: `FAIL=2` fails the first two attempts of
//! each event, `FAIL_ALWAYS=person.created` fails these events for good, `HANDLER_MS=500` takes
//! longer.

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
use tokio::net::TcpListener;
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
    let listener = TcpListener::from_std(common::listener()?.0)?;
    eprintln!("listening on http://{}/webhooks/twenty", listener.local_addr()?);
    // First the worker, which takes longer, while deliveries are still accepted. Then the requests.
    let end = async {
        common::shutdown_signal().await;
        inbox::stop(worker).await;
    };
    common::serve_until(end, inbox::GRACE, listener, app(inbox)).await?;
    Ok(())
}
