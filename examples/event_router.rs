//! Receives events with axum on one route, and handles each kind of event with its own handler.
//!
//!     TWENTY_WEBHOOK_SECRET=dev-secret cargo run --features axum --example event_router

mod common;

use std::error::Error;

use axum::{
    Router,
    http::StatusCode,
    routing::{get, post},
};
use tokio::net::TcpListener;
use twenty_webhook::{
    Receiver, WebhookEvent,
    axum::EventRouter,
    event::record::{Company, MetadataEvent, Person},
    tower::WebhookLayer,
};

async fn person_created(event: WebhookEvent<Person>) {
    common::say("person_created", event.record.display_name());
}

async fn company_changed(event: WebhookEvent<Company>) {
    common::say("company_changed", event.record.display_name());
}

async fn gone(event: WebhookEvent) {
    common::say("gone", event.record.display_name());
}

async fn schema_changed(event: WebhookEvent<MetadataEvent>) {
    common::say("schema_changed", event.record.display_name());
}

async fn anything_else(event: WebhookEvent) {
    common::say("anything_else", Some(event.name.to_string()));
}

fn app(receiver: Receiver) -> Result<Router, Box<dyn Error>> {
    let on_event = EventRouter::new()
        .on("person.created", person_created)
        .on("company.*", company_changed)
        .on("*.deleted", gone)
        .on("*.destroyed", gone)
        .on("metadata.*.*", schema_changed)
        .fallback(anything_else)
        .build()?;
    Ok(Router::new()
        .route("/webhooks/twenty", post(on_event).layer(WebhookLayer::new(receiver)))
        .route("/health", get(StatusCode::OK)))
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let receiver = Receiver::new(common::verifier_from_env());
    let listener = TcpListener::bind(common::listen_addr()).await?;
    eprintln!("listening on http://{}/webhooks/twenty", listener.local_addr()?);
    common::serve(listener, app(receiver)?).await?;
    Ok(())
}
