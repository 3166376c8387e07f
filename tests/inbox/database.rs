//! Tests of what an operator of the database uses: warnings and backups.

use tokio::sync::Mutex;
use twenty_webhook::{
    WebhookEvent,
    inbox::{Accepted, HandlerError},
};

use super::*;
use crate::support::{postgres::Server, telemetry::Written};

/// The tests run one after the other. If another thread registers a log line's call site while a
/// subscriber is being installed, the subscriber can miss that line.
static ONE_AT_A_TIME: Mutex<()> = Mutex::const_new(());

/// Returns the log of an inbox that connects to a server with these settings.
fn logged(settings: &[&str]) -> String {
    let server = Server::start(settings);
    let written = Written::default();
    let log = tracing_subscriber::fmt().with_ansi(false).with_writer(written.clone()).finish();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    tracing::subscriber::with_default(log, || {
        runtime.block_on(async { drop(Inbox::connect(&server.url()).await.unwrap()) });
    });
    written.text()
}

#[test]
#[ignore = "starts a private postgres"]
fn a_server_that_can_lose_commits_causes_a_warning() {
    let _guard = ONE_AT_A_TIME.blocking_lock();
    let warning = "the inbox's database can lose accepted events in a power cut: turn this setting on";
    let log = logged(&["fsync=off", "full_page_writes=off"]);
    for setting in ["fsync", "full_page_writes"] {
        assert!(log.contains(&format!("{warning} setting=\"{setting}\"")), "{log}");
    }
    let log = logged(&["fsync=on", "full_page_writes=on"]);
    assert!(!log.contains(warning), "{log}");
}

/// A dump that `pg_dump` writes while the program runs is a complete inbox.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "starts a private postgres"]
async fn a_restored_dump_has_all_events_accepted_before_it() {
    let _guard = ONE_AT_A_TIME.lock().await;
    let server = Server::start(&[]);
    let inbox = Inbox::connect(&server.url()).await.unwrap();
    let handler = async |event: WebhookEvent| match event.raw_record().unwrap().get("position").unwrap().parse() {
        Ok(1) => Err(HandlerError::permanent("dead")),
        Ok(2) => Err(HandlerError::retry_after(SECONDS(3600), "later")),
        _ => Ok(()),
    };
    let worker = inbox.worker(()).fallback(handler).start().unwrap();
    for number in 0..3 {
        inbox.accept(note(number)).await.unwrap();
    }
    until_stats(&inbox, |stats| (stats.remembered_keys, stats.dead, stats.delayed) == (1, 1, 1)).await;
    server.restore("twenty_webhook", "restored");
    _ = worker.shutdown(SECONDS(10)).await;

    let restored = Inbox::connect(&server.url_of("postgres", "restored")).await.unwrap();
    let stats = restored.stats().await.unwrap();
    assert_eq!((stats.remembered_keys, stats.dead, stats.delayed), (1, 1, 1));
    assert_eq!(restored.accept(note(0)).await.unwrap(), Accepted::Duplicate);
    let letter = restored.dead_letters().next().await.unwrap().unwrap();
    assert!(restored.redrive(letter.id()).await.unwrap());
    let worker = restored.worker(()).fallback(async |_: WebhookEvent| {}).start().unwrap();
    until_stats(&restored, |stats| (stats.remembered_keys, stats.dead, stats.delayed) == (2, 0, 1)).await;
    _ = worker.shutdown(SECONDS(10)).await;
}
