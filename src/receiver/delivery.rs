use std::{pin::pin, time::Duration};

use tokio::time::Instant;

use super::{
    Outcome, OutcomeKind, Receiver, Refusal, RefusalKind,
    background::Slot,
    deduplicate::{Admitted, Attempt, Held, Route},
    telemetry::{self, Span},
};
use crate::{deduplicate::ClaimKey, verify::Verified};

/// The result of a verified delivery, from which the adapter makes a response.
#[derive(Debug)]
pub(crate) enum Delivered<R> {
    /// The handler's response or error.
    Handled(R),
    /// A duplicate was handled before: 200.
    Duplicate,
    /// The handler is still running: 202.
    Acknowledged,
    /// The delivery was not handled.
    Refused(Refusal),
}

/// A verified delivery. Dropping it reports the outcome, so each delivery has exactly one.
pub(crate) struct Delivery {
    receiver: Receiver,
    verified: Verified,
    /// `None` if nothing reports the duration.
    began: Option<Instant>,
    slot: Option<Slot>,
    /// `None` without deduplication.
    claim: Option<(ClaimKey, Route)>,
    admitted: Option<Admitted>,
    span: Span,
    kind: OutcomeKind,
}

impl Delivery {
    /// Starts a delivery. Only deduplication uses `route`.
    pub(crate) fn begin(receiver: Receiver, verified: Verified, route: Option<Route>) -> Self {
        let span = telemetry::span(&verified, || receiver.verifier().now());
        let began = receiver.has_observers().then(Instant::now);
        let key = receiver.deduplication().map(|by| by.key(&verified, || telemetry::key_by_panicked(&span)));
        let (claim, admitted) = (key.zip(route), None);
        Self { receiver, verified, began, slot: None, claim, admitted, span, kind: OutcomeKind::Aborted }
    }

    /// Counts this delivery as in flight. Returns `false` if too many duplicates are in flight.
    pub(super) fn admit(&mut self) -> bool {
        let (Some(deduplicate), Some((key, _))) = (self.receiver.deduplication(), self.claim) else {
            return true;
        };
        if self.admitted.is_none() {
            self.admitted = deduplicate.admit(key);
        }
        self.admitted.is_some()
    }

    /// Returns whether this process knows, without a remote store, that this is not a duplicate.
    pub(super) fn is_known_first(&self) -> bool {
        match (self.receiver.deduplication(), &self.admitted) {
            (Some(deduplication), Some(admitted)) => deduplication.is_in_process() && !admitted.is_duplicate(),
            _ => true,
        }
    }

    pub(super) fn in_background(mut self, slot: Slot) -> Self {
        self.slot = Some(slot);
        self
    }

    pub(super) fn refuse<R>(mut self, kind: RefusalKind) -> Delivered<R> {
        self.kind = OutcomeKind::Refused(kind);
        Delivered::Refused(kind.into())
    }

    fn duplicate<R>(mut self) -> Delivered<R> {
        self.kind = OutcomeKind::Duplicate;
        Delivered::Duplicate
    }

    /// Returns how long duplicates can verify: twice the tolerance, because a delivery may be
    /// signed ahead of time, plus the body deadline.
    fn fresh_for(&self) -> Duration {
        let tolerance = self.verified.fresh_until().saturating_since(self.verified.timestamp());
        tolerance.saturating_mul(2).saturating_add(self.receiver.deadline())
    }

    fn answered(&mut self, kind: OutcomeKind) -> OutcomeKind {
        self.kind = kind;
        kind
    }

    /// Deduplicates the delivery and runs the handler.
    ///
    /// `call` starts the handler and is called at most once. `outcome` classifies its response.
    pub(crate) fn run<R, F: Future<Output = R>>(
        mut self,
        call: impl FnOnce() -> F,
        outcome: impl FnOnce(&R) -> OutcomeKind,
    ) -> impl Future<Output = Delivered<R>> {
        telemetry::in_span(self.span.clone(), async move {
            if !self.admit() {
                return self.refuse(RefusalKind::BeingHandled);
            }
            let fresh_for = self.fresh_for();
            // After a 202, the sender does not see a rejection.
            let must_handle = || self.slot.as_mut().is_some_and(Slot::was_acknowledged);
            let held = match (self.receiver.deduplication(), self.claim) {
                (Some(deduplicate), Some((key, route))) => {
                    let attempt = Attempt { key, route, fresh_for };
                    match deduplicate.claim(&attempt, must_handle).await {
                        Ok(held) => Some(held),
                        Err(duplicate) => {
                            return match duplicate.refusal() {
                                None => self.duplicate(),
                                Some(kind) => self.refuse(kind),
                            };
                        }
                    }
                }
                _ => None,
            };
            if self.slot.as_mut().is_some_and(|slot| !slot.start()) {
                if let Some(held) = held {
                    held.release_for_every_route().await;
                }
                return self.refuse(RefusalKind::BackgroundFull);
            }
            let answer = Held::renewed_during(held.as_ref(), pin!(call())).await;
            let kind = self.answered(outcome(&answer));
            if let Some(held) = held {
                held.end(kind).await;
            }
            Delivered::Handled(answer)
        })
    }
}

impl Drop for Delivery {
    fn drop(&mut self) {
        // This must be called in any case, because it prevents a later 202.
        let acknowledged = self.slot.as_mut().is_some_and(Slot::was_acknowledged);
        let Some(began) = self.began else { return };
        let outcome =
            Outcome { kind: self.kind, acknowledged, duration: began.elapsed(), verified: self.verified.clone() };
        telemetry::ended(&outcome, &self.span);
        self.receiver.notify(&outcome);
    }
}
