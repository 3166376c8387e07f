//! Logs and metrics. They contain no secret, signature, body or personal data, and unauthenticated
//! clients cannot flood them.

#![cfg_attr(
    not(all(feature = "metrics", feature = "tracing")),
    expect(unused_variables, reason = "used by these features only")
)]

#[cfg(feature = "metrics")]
use std::time::Duration;

#[cfg(feature = "metrics")]
use super::RefusalKind;
use super::{Outcome, OutcomeKind, Refusal, StoreFailure};
#[cfg(feature = "tracing")]
use crate::{
    clip::{MESSAGE, clip},
    verify::whole_millis,
};
use crate::{
    deduplicate::StoreError,
    report::report,
    verify::{Timestamp, Verified},
};

#[cfg(not(feature = "tracing"))]
#[derive(Clone)]
pub(super) struct Span;
#[cfg(feature = "tracing")]
pub(super) use tracing::Span;

/// Creates a delivery's span, which lasts from its verification to the end of its handler.
pub(super) fn span(verified: &Verified, now: impl FnOnce() -> Timestamp) -> Span {
    #[cfg(feature = "tracing")]
    {
        use tracing::field::{Empty, debug};

        let mut span = Span::none();
        report(|| {
            span = tracing::info_span!(
                "delivery",
                twenty.event.name = Empty,
                keys.id = verified.keys_id(),
                secret.index = verified.secret_index(),
                body.len = verified.body().len(),
                age_ms = whole_millis(now().saturating_since(verified.timestamp())),
                outcome = Empty,
                status = Empty,
                duration_ms = Empty,
                error.type = Empty,
                otel.status_code = Empty,
            );
            let name = (!span.is_disabled()).then(|| crate::event::Heading::read_name(verified.body())).flatten();
            // `Debug` quotes the name, so that it cannot forge a line, and truncates it.
            span.record("twenty.event.name", name.map(debug));
        });
        span
    }
    #[cfg(not(feature = "tracing"))]
    Span
}

#[cfg(feature = "tracing")]
pub(super) fn in_span<F: Future>(span: Span, future: F) -> impl Future<Output = F::Output> {
    tracing::Instrument::instrument(future, span)
}

#[cfg(not(feature = "tracing"))]
pub(super) fn in_span<F: Future>(_: Span, future: F) -> F {
    future
}

/// Logs and counts a rejection, before or after verification. `due` is called for rejections that
/// unauthenticated clients can cause. It returns the number of suppressed rejections if a warning
/// is due.
pub(super) fn refused(refusal: &Refusal, due: impl FnOnce() -> Option<u64>) {
    #[cfg(feature = "metrics")]
    report(|| metrics::counter!("twenty_webhook_refusals_total", "kind" => refusal.kind().label()).increment(1));
    #[cfg(feature = "tracing")]
    report(|| {
        let status = refusal.status();
        if refusal.kind() == super::RefusalKind::Nested {
            // This is a mistake in the program, and all deliveries are lost.
            tracing::error!(status, "rejected a verified delivery: {refusal}");
        } else if refusal.is_of_authentic() {
            tracing::warn!(status, "rejected a verified delivery: {refusal}");
        } else if let Some(suppressed) = due() {
            tracing::warn!(status, suppressed, hint = refusal.hint(), "rejected a delivery: {refusal}");
        } else {
            // Unauthenticated clients can cause these at any time.
            tracing::debug!(status, "rejected a delivery: {refusal}");
        }
    });
}

/// Records a verified delivery and the time that hashing it took.
#[cfg(feature = "metrics")]
pub(super) fn verified(verified: &Verified, now: Timestamp, hashing: Duration) {
    report(|| {
        let bytes = u32::try_from(verified.body().len()).unwrap_or(u32::MAX);
        metrics::histogram!("twenty_webhook_body_bytes").record(bytes);
        metrics::histogram!("twenty_webhook_age_seconds").record(now.saturating_since(verified.timestamp()));
        metrics::histogram!("twenty_webhook_verification_seconds").record(hashing);
        if verified.secret_index() > 0 {
            metrics::counter!("twenty_webhook_previous_secret_total").increment(1);
        }
    });
}

/// Reports the outcome of a verified delivery. This runs on drop, possibly during a panic, and a
/// second panic would abort the process.
pub(super) fn ended(outcome: &Outcome, span: &Span) {
    #[cfg(feature = "metrics")]
    report(|| {
        metrics::counter!("twenty_webhook_deliveries_total", "outcome" => outcome.kind.label()).increment(1);
        if matches!(outcome.kind, OutcomeKind::Handled | OutcomeKind::Failed { .. } | OutcomeKind::Aborted) {
            metrics::histogram!("twenty_webhook_handler_seconds").record(outcome.duration);
        }
    });
    report(|| log_end(outcome, span));
}

fn log_end(outcome: &Outcome, span: &Span) {
    #[cfg(feature = "tracing")]
    let _in_span = {
        span.record("outcome", outcome.kind.label());
        span.record("duration_ms", whole_millis(outcome.duration));
        if let OutcomeKind::Failed { status } = outcome.kind {
            span.record("status", status);
        }
        if let Some(error) = outcome.kind.error() {
            span.record("error.type", &*error);
            span.record("otel.status_code", "ERROR");
        }
        span.enter()
    };
    match outcome.kind {
        OutcomeKind::Refused(kind) => refused(&kind.into(), || None),
        // Logged by the event router.
        OutcomeKind::Unmatched => {}
        #[cfg(feature = "tracing")]
        OutcomeKind::Handled | OutcomeKind::Stored | OutcomeKind::Duplicate => {
            tracing::debug!("{}", outcome.kind.label());
        }
        // The delivery is lost, unless it is redelivered.
        #[cfg(feature = "tracing")]
        OutcomeKind::Failed { .. } | OutcomeKind::Aborted => {
            tracing::warn!(acknowledged = outcome.acknowledged, "a verified delivery was not handled");
        }
        #[cfg(not(feature = "tracing"))]
        _ => {}
    }
}

/// Logs that the tenant's keys could not be resolved. The error is quoted and truncated, so that it
/// can neither forge a line nor flood the log.
pub(super) fn resolver_failed(error: &(dyn std::error::Error + Send + Sync), due: impl FnOnce() -> Option<u64>) {
    #[cfg(feature = "tracing")]
    report(|| {
        let error = error.to_string();
        let error = &*clip(&error, MESSAGE);
        match due() {
            Some(suppressed) => tracing::warn!(suppressed, error, "failed to resolve the tenant's keys"),
            None => tracing::debug!(error, "failed to resolve the tenant's keys"),
        }
    });
}

/// Logs that the user's function for claim keys panicked.
pub(super) fn key_by_panicked(span: &Span) {
    #[cfg(feature = "tracing")]
    report(|| span.in_scope(|| tracing::error!("key_by panicked: the delivery is deduplicated by its body")));
}

/// Reports a failure of the claim store.
pub(super) fn store_failed(call: &'static str, error: &StoreError, then: StoreFailure) {
    #[cfg(feature = "metrics")]
    report(|| metrics::counter!("twenty_webhook_store_failures_total", "call" => call).increment(1));
    #[cfg(feature = "tracing")]
    report(|| {
        // Text is quoted and truncated, so that it can neither forge a line nor flood the log.
        let source = std::error::Error::source(error).map(ToString::to_string);
        let source = source.as_deref().map(|source| clip(source, MESSAGE));
        tracing::error!(call, source = source.as_deref(), ?then, "{error}");
    });
}

/// Reports that a handler succeeded after its claim had expired and a duplicate had been claimed.
pub(super) fn handled_twice() {
    #[cfg(feature = "metrics")]
    report(|| metrics::counter!("twenty_webhook_handled_twice_total").increment(1));
    #[cfg(feature = "tracing")]
    report(|| {
        tracing::warn!("the claim's lease expired before the handler ended: a duplicate may have been handled, too");
    });
}

/// Gives the installed recorder the help text and the unit of each metric.
pub(super) fn describe() {
    #[cfg(feature = "metrics")]
    {
        use metrics::{
            Unit::{Bytes, Seconds},
            describe_counter, describe_gauge, describe_histogram,
        };

        describe_counter!("twenty_webhook_refusals_total", "rejected requests, by kind");
        describe_counter!("twenty_webhook_deliveries_total", "verified deliveries, by outcome");
        describe_counter!(
            "twenty_webhook_handled_twice_total",
            "handlers that succeeded although a duplicate had been claimed elsewhere"
        );
        describe_counter!(
            "twenty_webhook_previous_secret_total",
            "deliveries that were verified with a secret other than the first one"
        );
        describe_counter!("twenty_webhook_store_failures_total", "failures of the claim store, by call");
        describe_histogram!("twenty_webhook_body_bytes", Bytes, "size of verified bodies");
        describe_histogram!("twenty_webhook_age_seconds", Seconds, "time from signature to verification");
        describe_histogram!("twenty_webhook_verification_seconds", Seconds, "time spent hashing and comparing");
        describe_histogram!("twenty_webhook_handler_seconds", Seconds, "time from verification to the handler's end");
        describe_gauge!("twenty_webhook_background_handlers", "handlers running in the background");

        // Counters start at zero, because Prometheus' `increase` ignores the increment with which a
        // series begins. Without the zero, the first increment would cause no alert.
        for kind in RefusalKind::ALL {
            metrics::counter!("twenty_webhook_refusals_total", "kind" => kind.label()).increment(0);
        }
        for outcome in OutcomeKind::LABELS {
            metrics::counter!("twenty_webhook_deliveries_total", "outcome" => outcome).increment(0);
        }
        for call in ["claim", "renew", "complete", "release"] {
            metrics::counter!("twenty_webhook_store_failures_total", "call" => call).increment(0);
        }
        metrics::counter!("twenty_webhook_handled_twice_total").increment(0);
        metrics::counter!("twenty_webhook_previous_secret_total").increment(0);
    }
}

/// Adds to the number of handlers in the background, or subtracts from it.
pub(super) fn in_background(more: i8) {
    // `set` could leave an outdated number, because two concurrent calls may run in either order.
    #[cfg(feature = "metrics")]
    report(|| metrics::gauge!("twenty_webhook_background_handlers").increment(more));
}
