//! What is said in logs and metrics: no secret, signature, body or personal data, and nothing that strangers could flood.

#![cfg_attr(not(all(feature = "metrics", feature = "tracing")), allow(unused_variables, reason = "said nowhere"))]

#[cfg(any(feature = "metrics", feature = "tracing"))]
use std::time::Duration;

#[cfg(feature = "tracing")]
use super::OutcomeKind;
use super::{Outcome, Refusal, StoreFailure};
use crate::{
    deduplicate::StoreError,
    verify::{Timestamp, Verified},
};

#[cfg(not(feature = "tracing"))]
pub(super) struct Span;
#[cfg(feature = "tracing")]
pub(super) use tracing::Span;

/// One span a delivery, from its verification to the end of its handler.
pub(super) fn span(verified: &Verified, now: Timestamp) -> Span {
    #[cfg(feature = "tracing")]
    {
        use tracing::field::{Empty, debug};

        let span = tracing::info_span!(
            "delivery",
            event.name = Empty,
            keys.id = verified.keys_id(),
            secret.index = verified.secret_index(),
            body.len = verified.body().len(),
            age_ms = millis(now.saturating_since(verified.timestamp())),
            outcome = Empty,
            status = Empty,
            duration_ms = Empty,
        );
        let name = (!span.is_disabled()).then(|| crate::event::Heading::read_name(verified.body())).flatten();
        // Quoted, so that no name can forge a line.
        span.record("event.name", name.map(debug));
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

/// A request was refused before it was verified, or after. `is_loud`: this time a warning is due, where one can be.
pub(super) fn refused(refusal: &Refusal, body_limit: usize, is_loud: impl FnOnce() -> bool) {
    #[cfg(feature = "metrics")]
    metrics::counter!("twenty_webhook_refusals_total", "kind" => refusal.kind().label()).increment(1);
    #[cfg(feature = "tracing")]
    if refusal.is_of_authentic() {
        tracing::warn!(status = refusal.status(), "refused a verified delivery: {refusal}");
    } else if refusal.status() == 413 && is_loud() {
        // An event may be lost, and only a higher limit helps. But strangers can cause it too, so not each time.
        tracing::warn!(body_limit, "refused a delivery: {refusal}");
    } else {
        // Strangers cause these at will.
        tracing::debug!(status = refusal.status(), "refused a delivery: {refusal}");
    }
}

/// A delivery verified, and hashing it took so long.
#[cfg(feature = "metrics")]
pub(super) fn verified(verified: &Verified, now: Timestamp, hashing: Duration) {
    let bytes = u32::try_from(verified.body().len()).unwrap_or(u32::MAX);
    metrics::histogram!("twenty_webhook_body_bytes").record(bytes);
    metrics::histogram!("twenty_webhook_age_seconds").record(now.saturating_since(verified.timestamp()));
    metrics::histogram!("twenty_webhook_verification_seconds").record(hashing);
}

/// A verified delivery came to its end. Called within its span.
pub(super) fn ended(outcome: &Outcome) {
    #[cfg(feature = "metrics")]
    {
        metrics::counter!("twenty_webhook_deliveries_total", "outcome" => outcome.kind.label()).increment(1);
        metrics::histogram!("twenty_webhook_handler_seconds").record(outcome.duration);
    }
    #[cfg(feature = "tracing")]
    {
        let span = tracing::Span::current();
        span.record("outcome", outcome.kind.label());
        span.record("duration_ms", millis(outcome.duration));
        if let OutcomeKind::Failed { status } = outcome.kind {
            span.record("status", status);
        }
        match outcome.kind {
            OutcomeKind::Handled | OutcomeKind::Duplicate | OutcomeKind::Refused(_) => {
                tracing::debug!("{}", outcome.kind.label());
            }
            // Lost, unless a copy comes.
            OutcomeKind::Failed { .. } | OutcomeKind::Aborted => {
                tracing::warn!(acknowledged = outcome.acknowledged, "a verified delivery was not handled");
            }
        }
    }
}

/// The tenant's keys could not be found out.
pub(super) fn resolver_failed(error: &(dyn std::error::Error + Send + Sync)) {
    #[cfg(feature = "tracing")]
    tracing::error!("cannot tell the tenant's keys: {error}");
}

/// The claim store failed.
pub(super) fn store_failed(call: &'static str, error: &StoreError, then: StoreFailure) {
    #[cfg(feature = "metrics")]
    metrics::counter!("twenty_webhook_store_failures_total", "call" => call).increment(1);
    #[cfg(feature = "tracing")]
    {
        let source = std::error::Error::source(error).map(tracing::field::display);
        tracing::error!(call, source, ?then, "{error}");
    }
}

/// A handler was done, but its claim was lost to another in the meantime.
pub(super) fn handled_twice() {
    #[cfg(feature = "metrics")]
    metrics::counter!("twenty_webhook_handled_twice_total").increment(1);
    #[cfg(feature = "tracing")]
    tracing::warn!("the claim's lease ran out before the handler was done: a copy may have been handled too");
}

/// So many handlers are in the background now.
pub(super) fn in_background(running: usize) {
    #[cfg(feature = "metrics")]
    metrics::gauge!("twenty_webhook_background_handlers").set(u32::try_from(running).unwrap_or(u32::MAX));
}

#[cfg(feature = "tracing")]
fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
