//! Checks that metrics and logs are documented, and contain no content of a delivery.

use std::collections::{BTreeMap, BTreeSet};

use twenty_webhook::{
    WebhookEvent,
    event::record::Person,
    inbox::{HandlerError, InboxFailure},
};

use super::*;
use crate::support::telemetry::{Descriptions, Recorded, Written};
use metrics::Unit;

/// Returns the metrics of the table in the documentation, with the values of their labels.
fn documented() -> BTreeSet<(String, String)> {
    let source = include_str!("../../src/inbox/mod.rs");
    let rows = source.lines().filter_map(|line| line.strip_prefix("//! | `twenty_webhook_inbox_"));
    rows.flat_map(|row| {
        let cells: Vec<_> = row.split('|').collect();
        let name = format!("twenty_webhook_inbox_{}", cells[0].trim().trim_end_matches('`'));
        let values: Vec<_> = cells[3].split('`').skip(1).step_by(2).map(str::to_owned).collect();
        // The kinds of errors are in another table.
        let values = match values.as_slice() {
            [] => vec![String::new()],
            _ if name.ends_with("failures_total") => {
                let kinds = ["damaged", "full", "locked", "newer_version", "settings", "timeout", "unavailable"];
                kinds.map(str::to_owned).to_vec()
            }
            _ => values,
        };
        values.into_iter().map(move |value| (name.clone(), value))
    })
    .collect()
}

async fn everything() {
    let handler = async |event: WebhookEvent| match event.raw_record().unwrap().get("id").unwrap().to_text().as_deref()
    {
        Some("retried") => Err(HandlerError::retry_after(SECONDS(60), "a line\nforged")),
        Some("dead") => Err(HandlerError::permanent("dead")),
        _ => Ok(()),
    };
    let inbox = in_memory();
    let worker = inbox.worker(()).on("note.*", handler).retry(policy()).start().unwrap();
    for name in ["handled", "retried", "dead"] {
        inbox.accept(verified(body("note.created", name, 1))).await.unwrap();
    }
    inbox.accept(verified(body("task.created", "unmatched", 1))).await.unwrap();
    inbox.accept(verified(body("note.created", "handled", 1))).await.unwrap();
    tokio::time::sleep(SECONDS(30)).await;
    let running = inbox.stats().await.unwrap().running;
    assert_eq!(running, 0);
    _ = worker.shutdown(SECONDS(1)).await;

    // This event is erased while it runs, so its end is not recorded.
    let erased = in_memory();
    let worker =
        erased.worker(()).fallback(async |_: WebhookEvent| tokio::time::sleep(SECONDS(2)).await).start().unwrap();
    erased.accept(verified(body("note.created", "lost", 1))).await.unwrap();
    tokio::time::sleep(SECONDS(1)).await;
    assert_eq!(erased.erase_record("lost").await.unwrap(), 1);
    tokio::time::sleep(SECONDS(10)).await;
    _ = worker.shutdown(SECONDS(1)).await;

    let full = in_memory_with(|builder| builder.max_pending(0));
    let worker =
        full.worker(()).on("note.*", handler).on("person.*", async |_: WebhookEvent<Person>| {}).start().unwrap();
    full.accept(verified(body("person.created", "handled", 1))).await.unwrap();
    full.accept(verified(body("note.created", "dead", 1))).await.unwrap_err();
    _ = worker.shutdown(SECONDS(1)).await;
    let rejecting = in_memory_with(|builder| builder.max_pending(0).on_failure(InboxFailure::Reject));
    rejecting.accept(note(1)).await.unwrap_err();
}

fn record() -> (BTreeMap<(String, String), f64>, Descriptions, String) {
    let (recorded, written) = (Recorded::default(), Written::default());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
    let log = tracing_subscriber::fmt().with_ansi(false).with_max_level(tracing::Level::TRACE);
    let log = log.with_writer(written.clone()).finish();
    tracing::subscriber::with_default(log, || {
        metrics::with_local_recorder(&recorded, || runtime.block_on(everything()));
    });
    let series = recorded.series().into_iter().map(|((_, name, labels), value)| {
        let label = labels.into_iter().map(|(_, value)| value).next().unwrap_or_default();
        ((name, label), value)
    });
    (series.collect(), recorded.descriptions(), written.text())
}

#[test]
fn metrics_equal_the_documented_table() {
    let (series, descriptions, _) = record();
    let found: BTreeSet<_> = series.keys().cloned().collect();
    let documented = documented();
    assert!(documented.len() > 15, "{documented:?}");
    assert_eq!(found, documented);
    let names: BTreeSet<_> = documented.iter().map(|(name, _)| name).collect();
    assert_eq!(descriptions.keys().collect::<BTreeSet<_>>(), names);
    for (name, (unit, help)) in &descriptions {
        let expected = match name.rsplit_once('_').unwrap().1 {
            "seconds" => Some(Unit::Seconds),
            "bytes" => Some(Unit::Bytes),
            _ => None,
        };
        assert!(*unit == expected && !help.is_empty(), "{name}: {unit:?}, {help}");
    }
    let of = |name: &str, label: &str| series[&(format!("twenty_webhook_inbox_{name}"), label.to_owned())];
    assert_eq!(of("accepted_total", "stored"), 5.0);
    assert_eq!(of("accepted_total", "duplicate"), 1.0);
    for outcome in ["handled", "unmatched", "retried", "dead", "lost"] {
        assert_eq!(of("attempts_total", outcome), 1.0, "{outcome}");
    }
    for outcome in ["handled", "failed", "rejected"] {
        assert_eq!(of("accepted_total", outcome), 1.0, "{outcome}");
    }
}

/// The function `increase` of Prometheus does not count the first increment of a series that begins
/// with it.
#[test]
fn counters_begin_at_zero() {
    let recorded = Recorded::default();
    metrics::with_local_recorder(&recorded, || drop(in_memory()));
    let series: BTreeMap<_, _> = recorded
        .series()
        .into_iter()
        .map(|((_, name, labels), value)| {
            ((name, labels.into_iter().map(|(_, value)| value).collect::<String>()), value)
        })
        .collect();
    let counters = documented().into_iter().filter(|(name, _)| name.ends_with("_total"));
    for counter in counters {
        assert_eq!(series.get(&counter), Some(&0.0), "{counter:?}");
    }
}

#[test]
fn no_body_signature_or_record_is_logged_and_no_error_forges_a_line() {
    let (.., text) = record();
    let personal = ["\"position\"", "note.created\",\"", "record\":"];
    let headers = note(1).signature_headers().pairs();
    for shown in personal.into_iter().chain(headers.iter().map(|(_, value)| value.as_str())) {
        assert!(!text.contains(shown), "{shown}: {text}");
    }
    assert!(text.contains("a line") && !text.lines().any(|line| line.starts_with("forged")), "{text}");
    assert!(text.contains("an event of the inbox became a dead letter"));
    assert!(text.contains("an event could not be stored in the inbox"));
}

#[cfg(unix)]
#[test]
fn a_file_that_others_can_open_causes_a_warning() {
    use std::{fs::Permissions, os::unix::fs::PermissionsExt};

    let path = path("looser_mode");
    drop(Inbox::open(&path).unwrap());
    for mode in [0o600, 0o700, 0o640, 0o660, 0o604, 0o606] {
        std::fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
        let written = Written::default();
        let log = tracing_subscriber::fmt().with_ansi(false).with_writer(written.clone()).finish();
        tracing::subscriber::with_default(log, || drop(Inbox::open(&path).unwrap()));
        let warning = format!(
            "WARN twenty_webhook::inbox::redb::file: other users than the owner can open the inbox's file: set its mode to 600 mode=\"{mode:o}\""
        );
        assert_eq!(written.text().contains(&warning), mode & 0o077 != 0, "{}", written.text());
    }
}
