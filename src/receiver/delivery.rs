use std::{pin::pin, time::Duration};

use tokio::time::Instant;

use super::{
    Outcome, OutcomeKind, Receiver, Refusal, RefusalKind,
    background::Slot,
    deduplicate::{Admitted, Route},
    telemetry::{self, Span},
};
use crate::{deduplicate::ClaimKey, verify::Verified};

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

/// A verified delivery on its way to its handler. What became of it is told when this is dropped: once, however that came about.
pub(crate) struct Delivery {
    receiver: Receiver,
    verified: Verified,
    /// `None` when nobody will ask how long it took.
    began: Option<Instant>,
    slot: Option<Slot>,
    /// With deduplication only.
    claim: Option<(ClaimKey, Route)>,
    admitted: Option<Admitted>,
    span: Span,
    kind: OutcomeKind,
}

impl Delivery {
    /// `route`: where it came to, which counts with deduplication only.
    pub(crate) fn begin(receiver: Receiver, verified: Verified, route: Option<Route>) -> Self {
        let span = telemetry::span(&verified, || receiver.verifier().now());
        let began = receiver.is_told().then(Instant::now);
        let key = receiver.deduplication().map(|by| by.key(&verified, || telemetry::key_by_panicked(&span)));
        let (claim, admitted) = (key.zip(route), None);
        Self { receiver, verified, began, slot: None, claim, admitted, span, kind: OutcomeKind::Aborted }
    }

    /// Counts this among the deliveries under way; false when it is one copy too many.
    pub(super) fn admit(&mut self) -> bool {
        let (Some(deduplicate), Some((key, _))) = (self.receiver.deduplication(), self.claim) else {
            return true;
        };
        if self.admitted.is_none() {
            self.admitted = deduplicate.admit(key);
        }
        self.admitted.is_some()
    }

    /// Whether this process knows, without asking a store elsewhere, that this is no copy.
    pub(super) fn is_known_first(&self) -> bool {
        match (self.receiver.deduplication(), &self.admitted) {
            (Some(deduplication), Some(admitted)) => deduplication.is_in_process() && !admitted.is_copy(),
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

    /// How long copies can be taken for fresh: one that is as far ahead as it may be until it is as old as it may be, and then for as long as
    /// its body may take.
    fn fresh_for(&self) -> Duration {
        let tolerance = self.verified.fresh_until().saturating_since(self.verified.timestamp());
        tolerance.saturating_mul(2).saturating_add(self.receiver.deadline())
    }

    fn answered(&mut self, kind: OutcomeKind) -> OutcomeKind {
        self.kind = kind;
        kind
    }

    /// Takes it through deduplication to its handler.
    ///
    /// `call` begins the handler, and is called at most once. `outcome` tells what its answer
    /// means.
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
            // After a 202 nobody would learn of a rejection.
            let must_handle = || self.slot.as_mut().is_some_and(Slot::was_acknowledged);
            let held = match (self.receiver.deduplication(), self.claim) {
                (Some(deduplicate), Some((key, route))) => {
                    match deduplicate.claim(key, route, fresh_for, must_handle).await {
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
            let handler = pin!(call());
            let answer = match &held {
                Some(held) => held.renewed_during(handler).await,
                None => handler.await,
            };
            match (self.answered(outcome(&answer)), held) {
                // The router's own answers: there is no handler here.
                (OutcomeKind::Failed { status: 404 | 405 }, Some(held)) => held.release_for_every_route().await,
                (OutcomeKind::Failed { .. }, Some(held)) => held.release().await,
                (_, Some(held)) => held.complete().await,
                (_, None) => {}
            }
            Delivered::Handled(answer)
        })
    }
}

impl Drop for Delivery {
    fn drop(&mut self) {
        // Asked in any case: from now on no 202 is sent.
        let acknowledged = self.slot.as_mut().is_some_and(Slot::was_acknowledged);
        let Some(began) = self.began else { return };
        let outcome =
            Outcome { kind: self.kind, acknowledged, duration: began.elapsed(), verified: self.verified.clone() };
        telemetry::ended(&outcome, &self.span);
        self.receiver.tell(&outcome);
    }
}
