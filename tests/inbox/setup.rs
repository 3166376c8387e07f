//! Tests of building a worker: which handlers are accepted, and what is rejected.

use std::io;

use serde::Deserialize;
use twenty_webhook::{
    WebhookEvent,
    event::{
        With,
        record::{Company, MetadataEvent, Person},
    },
    inbox::{Attempt, HandlerError, StartError},
};

use super::*;

#[derive(Clone)]
struct Db;

type BoxError = Box<dyn std::error::Error + Send + Sync>;

async fn nothing(_: Db, _: WebhookEvent) {}
async fn io_error(_: Db, _: WebhookEvent<Person>) -> Result<(), io::Error> {
    Ok(())
}
async fn handler_error(_: Db, _: WebhookEvent<Company>, _: Attempt) -> Result<(), HandlerError> {
    Err(io::Error::other("x"))?;
    Ok(())
}
async fn boxed(_: WebhookEvent) -> Result<(), BoxError> {
    Ok(())
}
async fn text(_: WebhookEvent) -> Result<(), &'static str> {
    Ok(())
}
async fn metadata(_: WebhookEvent<MetadataEvent>) {}

#[tokio::test]
async fn functions_and_closures_of_every_form_are_handlers() {
    let captured = String::from("captured");
    let worker = in_memory()
        .worker(Db)
        .on("note.created", nothing)
        .on("person.created", io_error)
        .on("company.*", handler_error)
        .on("*.deleted", boxed)
        .on("*.restored", text)
        .on("metadata.view.*", metadata)
        .on("task.created", async |_: Db, _: WebhookEvent| {})
        .on("task.updated", move |_: Db, event: WebhookEvent, _: Attempt| {
            let captured = captured.clone();
            async move {
                assert!(captured != event.name.as_str());
                Ok::<_, BoxError>(())
            }
        })
        .fallback(|_: WebhookEvent| async {})
        .start()
        .unwrap();
    assert_eq!(worker.shutdown(SECONDS(1)).await.cancelled, 0);
}

#[derive(Deserialize)]
struct Subscription {}

#[tokio::test]
async fn a_handler_for_another_object_than_its_pattern_is_rejected() {
    async fn person(_: WebhookEvent<Person>) {}
    async fn with_fields(_: WebhookEvent<With<Person, Subscription>>) {}
    async fn subscription(_: WebhookEvent<Subscription>) {}
    async fn view(_: WebhookEvent<MetadataEvent>) {}

    let worker = || in_memory().worker(());
    for (refused, pattern) in [
        (worker().on("company.created", person).start(), "company.created"),
        (worker().on("company.*", person).start(), "company.*"),
        (worker().on("subscription.created", with_fields).start(), "subscription.created"),
        (worker().on("person.created", subscription).start(), "person.created"),
        (worker().on("person.created", view).start(), "person.created"),
        (worker().on("metadata.view.created", person).start(), "metadata.view.created"),
    ] {
        let Err(StartError::WrongType { pattern: found, .. }) = refused else { panic!("{refused:?}") };
        assert_eq!(&*found, pattern);
    }
    for taken in [
        worker().on("person.*", person).start(),
        worker().on("person.created", with_fields).start(),
        worker().on("subscription.created", subscription).start(),
        worker().on("metadata.view.created", view).start(),
        // These patterns match any object. An event of another object becomes a dead letter.
        worker().on("*.created", person).start(),
        worker().fallback(person).start(),
    ] {
        _ = taken.unwrap().shutdown(SECONDS(1)).await;
    }
}

#[tokio::test]
async fn unusable_patterns_are_rejected() {
    async fn any(_: WebhookEvent) {}

    for twice_or_malformed in ["person", "person.created"] {
        let worker = in_memory().worker(()).on("person.created", any).on(twice_or_malformed, any);
        assert!(matches!(worker.start(), Err(StartError::Pattern(_))), "{twice_or_malformed}");
    }
}

#[tokio::test]
async fn an_inbox_has_one_worker_in_a_process() {
    let inbox = in_memory();
    let first = inbox.worker(()).start().unwrap();
    assert!(matches!(inbox.clone().worker(()).start(), Err(StartError::HasWorker)));
    _ = first.shutdown(SECONDS(1)).await;
    let second = inbox.worker(()).start().unwrap();
    drop(second);
    // A dropped worker ends by itself.
    until(async || inbox.worker(()).start().is_ok()).await;
}

#[test]
fn a_worker_needs_a_runtime() {
    let refused = Inbox::builder().in_memory().worker(()).start();
    assert!(matches!(refused, Err(StartError::NoRuntime)));
}
