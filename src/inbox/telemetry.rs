//! Logs and metrics of the inbox: numbers, times, names of events and handlers' errors, but no
//! secret, signature or body.

#![cfg_attr(
    not(all(feature = "metrics", feature = "tracing")),
    expect(unused_variables, reason = "used by these features only")
)]

use std::time::Duration;

#[cfg(feature = "metrics")]
use super::InboxErrorKind;
use super::{EventId, InboxError, Stats, store::Put};
#[cfg(feature = "tracing")]
use crate::{
    clip::{NAME, clip},
    event::Heading,
    verify::Verified,
};
use crate::{report::report, verify::Timestamp};

/// Gives the installed recorder the help text and the unit of each metric.
pub(super) fn describe() {
    #[cfg(feature = "metrics")]
    {
        use metrics::{
            Unit::{Bytes, Seconds},
            describe_counter, describe_gauge, describe_histogram,
        };

        describe_counter!("twenty_webhook_inbox_accepted_total", "verified deliveries to the inbox, by outcome");
        describe_counter!("twenty_webhook_inbox_store_failures_total", "failures of the inbox's store, by kind");
        describe_histogram!("twenty_webhook_inbox_store_seconds", Seconds, "time to store a delivery");
        describe_counter!("twenty_webhook_inbox_attempts_total", "attempts to handle an event, by outcome");
        describe_histogram!("twenty_webhook_inbox_handler_seconds", Seconds, "time of an attempt");
        describe_gauge!("twenty_webhook_inbox_events", "events in the inbox, by state");
        describe_gauge!(
            "twenty_webhook_inbox_oldest_pending_seconds",
            Seconds,
            "age of the oldest event that is neither completed nor dead"
        );
        describe_gauge!("twenty_webhook_inbox_bytes", Bytes, "bytes of pending events and dead letters");

        // Counters start at zero, so that Prometheus' `increase` sees the first event after the
        // first scrape.
        for outcome in ["stored", "duplicate", "handled", "failed", "rejected"] {
            metrics::counter!("twenty_webhook_inbox_accepted_total", "outcome" => outcome).increment(0);
        }
        for ended in [Ended::Handled, Ended::Unmatched, Ended::Retried, Ended::Dead, Ended::Lost] {
            metrics::counter!("twenty_webhook_inbox_attempts_total", "outcome" => ended.label()).increment(0);
        }
        for kind in InboxErrorKind::ALL {
            metrics::counter!("twenty_webhook_inbox_store_failures_total", "kind" => kind.label()).increment(0);
        }
    }
}

/// Warns that a setting of the database can lose accepted events in a power cut.
#[cfg(feature = "postgres")]
pub(super) fn loses_on_power_cut(setting: &str) {
    #[cfg(feature = "tracing")]
    tracing::warn!(setting, "the inbox's database can lose accepted events in a power cut: turn this setting on");
}

/// Reports that an event was stored, or found in the store.
pub(super) fn accepted(put: Put, took: Duration) {
    report(|| {
        #[cfg(feature = "metrics")]
        {
            let outcome = match put {
                Put::Stored => "stored",
                Put::Duplicate => "duplicate",
            };
            metrics::counter!("twenty_webhook_inbox_accepted_total", "outcome" => outcome).increment(1);
            metrics::histogram!("twenty_webhook_inbox_store_seconds").record(took);
        }
    });
}

/// Reports that an event could not be stored. `then` is `handled`, `failed` or `rejected`.
pub(super) fn not_stored(error: &InboxError, then: &'static str) {
    report(|| {
        #[cfg(feature = "metrics")]
        {
            metrics::counter!("twenty_webhook_inbox_accepted_total", "outcome" => then).increment(1);
            metrics::counter!("twenty_webhook_inbox_store_failures_total", "kind" => error.kind().label()).increment(1);
        }
        #[cfg(feature = "tracing")]
        {
            let source = std::error::Error::source(error).map(ToString::to_string);
            tracing::error!(then, source, "an event could not be stored in the inbox: {error}");
        }
    });
}

/// Reports that the store failed for the worker, which retries.
pub(super) fn worker_failed(call: &'static str, error: &InboxError) {
    report(|| {
        #[cfg(feature = "metrics")]
        metrics::counter!("twenty_webhook_inbox_store_failures_total", "kind" => error.kind().label()).increment(1);
        #[cfg(feature = "tracing")]
        {
            let source = std::error::Error::source(error).map(ToString::to_string);
            tracing::error!(call, source, "the inbox's store failed, and the worker retries: {error}");
        }
    });
}

/// Reports, at each maintenance, that the path of the inbox's file refers to another file or to
/// none.
#[cfg(feature = "redb")]
pub(super) fn file_replaced(is_first: bool) {
    report(|| {
        #[cfg(feature = "metrics")]
        {
            let kind = InboxErrorKind::Unavailable.label();
            metrics::counter!("twenty_webhook_inbox_store_failures_total", "kind" => kind).increment(1);
        }
        #[cfg(feature = "tracing")]
        if is_first {
            tracing::warn!("the inbox's file was moved, replaced or deleted while this process has it open");
        }
    });
}

/// Reports that the user's function for claim keys panicked.
pub(super) fn key_by_panicked() {
    report(|| {
        #[cfg(feature = "tracing")]
        tracing::error!("key_by panicked: the event is deduplicated by its body");
    });
}

/// Reports that a stored event cannot be read, and becomes a dead letter.
pub(super) fn unreadable(position: u64) {
    report(|| {
        #[cfg(feature = "metrics")]
        metrics::counter!("twenty_webhook_inbox_attempts_total", "outcome" => Ended::Dead.label()).increment(1);
        #[cfg(feature = "tracing")]
        tracing::error!(position, "a stored event cannot be read, and becomes a dead letter");
    });
}

/// How an attempt ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ended {
    Handled,
    Unmatched,
    Retried,
    Dead,
    /// Meanwhile the event was erased, or another worker took it.
    Lost,
}

impl Ended {
    #[cfg(feature = "metrics")]
    const fn label(self) -> &'static str {
        match self {
            Self::Handled => "handled",
            Self::Unmatched => "unmatched",
            Self::Retried => "retried",
            Self::Dead => "dead",
            Self::Lost => "lost",
        }
    }
}

/// The report of an attempt.
#[cfg_attr(
    not(all(feature = "metrics", feature = "tracing")),
    allow(dead_code, reason = "used by these features only")
)]
pub(super) struct About<'a> {
    pub(super) id: EventId,
    #[cfg(feature = "tracing")]
    pub(super) verified: &'a Verified,
    pub(super) number: u32,
    pub(super) took: Duration,
    pub(super) error: Option<&'a str>,
    pub(super) retry_in: Option<Duration>,
}

pub(super) fn attempted(ended: Ended, about: &About<'_>) {
    report(|| {
        #[cfg(feature = "metrics")]
        {
            metrics::counter!("twenty_webhook_inbox_attempts_total", "outcome" => ended.label()).increment(1);
            metrics::histogram!("twenty_webhook_inbox_handler_seconds").record(about.took);
        }
        #[cfg(feature = "tracing")]
        {
            let name = || Heading::read_name(about.verified.body()).unwrap_or_else(|| "".into());
            let (id, attempt, error) = (about.id, about.number, about.error);
            match ended {
                Ended::Handled | Ended::Unmatched => tracing::debug!(%id, attempt, "an event of the inbox was handled"),
                Ended::Retried => tracing::warn!(
                    %id,
                    twenty.event.name = &*clip(name().as_str(), NAME),
                    attempt,
                    retry_in = about.retry_in.map(|pause| format!("{pause:.1?}")),
                    error,
                    "an attempt to handle an event of the inbox failed"
                ),
                Ended::Dead => tracing::error!(
                    %id,
                    twenty.event.name = &*clip(name().as_str(), NAME),
                    attempt,
                    error,
                    "an event of the inbox became a dead letter"
                ),
                Ended::Lost => tracing::warn!(
                    %id,
                    attempt,
                    "an event was erased or taken by another worker before its handler ended"
                ),
            }
        }
    });
}

/// Sets the gauges.
pub(super) fn holds(stats: &Stats, now: Timestamp) {
    report(|| {
        #[cfg(feature = "metrics")]
        {
            // Exact below 2^53.
            #[expect(clippy::cast_precision_loss, reason = "exact for any number that fits on a disk")]
            let set = |state: &'static str, count: u64| {
                metrics::gauge!("twenty_webhook_inbox_events", "state" => state).set(count as f64);
            };
            set("ready", stats.ready);
            set("delayed", stats.delayed);
            set("running", stats.running);
            set("dead", stats.dead);
            let age = stats.oldest_pending.map(|oldest| now.saturating_since(oldest)).unwrap_or_default();
            metrics::gauge!("twenty_webhook_inbox_oldest_pending_seconds").set(age.as_secs_f64());
            #[expect(clippy::cast_precision_loss, reason = "as above")]
            metrics::gauge!("twenty_webhook_inbox_bytes").set(stats.bytes as f64);
        }
    });
}
