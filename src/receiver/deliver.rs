use std::time::Duration;

use tokio::time::Instant;

use super::{Receiver, Refusal, RefusalKind, acknowledge::Slot, telemetry};
use crate::verify::Verified;

/// How a verified delivery ended, to be turned into a response.
#[derive(Debug)]
pub(crate) enum Delivered<R> {
    /// The handler ran. What it answered, or failed with.
    Handled(R),
    /// A copy was handled before: 200.
    Duplicate,
    /// The handler is still running: 202.
    Acknowledged,
    /// It was not handled.
    Refused(Refusal),
}

/// What became of a verified delivery: what [`Receiver::on_outcome`] is told.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Outcome {
    /// What became of it.
    pub kind: OutcomeKind,
    /// Whether the sender was answered 202 before.
    pub acknowledged: bool,
    /// From verification to the end, the wait for a copy that was being handled included.
    pub duration: Duration,
    /// The delivery.
    pub verified: Verified,
}

/// What became of a verified delivery.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum OutcomeKind {
    /// The handler succeeded: it answered with a 2xx status.
    Handled,
    /// The handler answered with this status, which is none of success. An error of the inner service counts as 500.
    Failed {
        /// The status.
        status: u16,
    },
    /// The handler panicked, or was dropped because the client left.
    Aborted,
    /// A copy was handled before, so this one was not.
    Duplicate,
    /// It was refused after it was verified.
    Refused(RefusalKind),
}

impl OutcomeKind {
    /// A short name, for logs and metrics.
    #[cfg(any(feature = "metrics", feature = "tracing"))]
    pub(super) const fn label(self) -> &'static str {
        match self {
            Self::Handled => "handled",
            Self::Failed { .. } => "failed",
            Self::Aborted => "aborted",
            Self::Duplicate => "duplicate",
            Self::Refused(_) => "refused",
        }
    }
}

impl Receiver {
    /// Takes a verified delivery through deduplication to its handler.
    ///
    /// `call` begins the handler, and is called at most once. `status` tells the status of what it answered.
    pub(crate) fn deliver<R, F: Future<Output = R>>(
        self,
        verified: Verified,
        slot: Option<Slot>,
        call: impl FnOnce() -> F,
        status: impl FnOnce(&R) -> u16,
    ) -> impl Future<Output = Delivered<R>> {
        let receiver = self;
        let span = telemetry::span(&verified, receiver.verifier().now());
        telemetry::in_span(span, async move {
            let mut report = Report {
                receiver: receiver.clone(),
                verified: verified.clone(),
                began: Instant::now(),
                slot,
                kind: OutcomeKind::Aborted,
            };
            let held = match receiver.deduplication() {
                None => None,
                Some(deduplicate) => match deduplicate.claim(&verified, receiver.verifier().now()).await {
                    Ok(held) => Some(held),
                    Err(duplicate) => {
                        let refusal = duplicate.refusal();
                        report.kind = refusal.map_or(OutcomeKind::Duplicate, OutcomeKind::Refused);
                        return refusal.map_or(Delivered::Duplicate, |kind| Delivered::Refused(kind.into()));
                    }
                },
            };
            let answer = match &held {
                Some(held) => held.renewed_during(call()).await,
                None => call().await,
            };
            let status = status(&answer);
            let has_succeeded = matches!(status, 200..=299);
            report.kind = if has_succeeded { OutcomeKind::Handled } else { OutcomeKind::Failed { status } };
            match held {
                Some(held) if has_succeeded => held.complete().await,
                Some(held) => held.release().await,
                None => {}
            }
            Delivered::Handled(answer)
        })
    }
}

/// Tells the outcome once, however it came about.
struct Report {
    receiver: Receiver,
    verified: Verified,
    began: Instant,
    slot: Option<Slot>,
    kind: OutcomeKind,
}

impl Drop for Report {
    fn drop(&mut self) {
        let outcome = Outcome {
            kind: self.kind,
            acknowledged: self.slot.as_ref().is_some_and(Slot::was_acknowledged),
            duration: self.began.elapsed(),
            verified: self.verified.clone(),
        };
        telemetry::ended(&outcome);
        self.receiver.tell(&outcome);
    }
}
