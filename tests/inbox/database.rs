//! What is said when an inbox connects to a database.

use super::*;
use crate::support::{postgres::Server, telemetry::Written};

/// What the log says while an inbox connects to a server with these settings.
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
fn a_server_that_loses_commits_in_a_power_cut_is_warned_of() {
    let warning = "the inbox's database can lose accepted events in a power cut: turn this setting on";
    let log = logged(&["fsync=off", "full_page_writes=off"]);
    for setting in ["fsync", "full_page_writes"] {
        assert!(log.contains(&format!("{warning} setting=\"{setting}\"")), "{log}");
    }
    let log = logged(&["fsync=on", "full_page_writes=on"]);
    assert!(!log.contains(warning), "{log}");
}
