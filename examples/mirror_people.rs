//! Keeps a table of people in PostgreSQL in step with Twenty, for any order and number of the
//! events. An inbox keeps the events while the database is down.
//!
//!     TWENTY_WEBHOOK_SECRET=dev-secret DATABASE_URL=postgres://me@localhost/crm \
//!         cargo run --features axum,redb --example mirror_people
//!
//! The handler and the SQL are in `common/people.rs`, and `docs/guide/mirroring.md` explains them.
//! `INBOX` names the inbox's file (`twenty-inbox.redb`).

mod common;
#[path = "common/inbox.rs"]
mod inbox;
#[path = "common/people.rs"]
mod people;

use std::{error::Error, time::Duration};

use axum::{
    Router,
    http::StatusCode,
    routing::{get, post},
};
use common::escaped;
use people::People;
use twenty_webhook::{
    WebhookEvent,
    event::record::Person,
    inbox::{HandlerError, Inbox, RetryPolicy, StartError, Worker},
    tower::WebhookLayer,
};

async fn on_person(people: People, event: WebhookEvent<Person>) -> Result<(), HandlerError> {
    let id = event.record.id.as_ref().map_or("-".to_owned(), ToString::to_string);
    let what = format!("{} {id}", event.name);
    let result = people::sync(people, event).await;
    match &result {
        Ok(()) => println!("{}", escaped(&format!("mirrored {what}"))),
        Err(error) => eprintln!("{}", escaped(&format!("failed {what}: {error}"))),
    }
    result
}

fn start(inbox: &Inbox, people: People) -> Result<Worker, StartError> {
    inbox
        .worker(people)
        .on("person.*", on_person)
        // If the database is down for a weekend, no event becomes a dead letter: the pauses are at
        // most 5 minutes, and the attempts suffice for more than three days.
        .retry(RetryPolicy::exponential(Duration::from_secs(1)..=Duration::from_secs(300)).attempts(2_000))
        .timeout(Duration::from_secs(30))
        .start()
}

fn app(inbox: Inbox) -> Router {
    Router::new()
        .route("/webhooks/twenty", post(inbox).layer(WebhookLayer::new(common::verifier_from_env())))
        .route("/health", get(StatusCode::OK))
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let people = People::new(&std::env::var("DATABASE_URL").map_err(|_| "set DATABASE_URL")?)?;
    let inbox = inbox::open().await?;
    let worker = start(&inbox, people)?;
    inbox::serve(worker, app(inbox)).await
}
