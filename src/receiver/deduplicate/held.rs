use std::{
    convert::Infallible,
    future::poll_fn,
    pin::{Pin, pin},
    sync::Arc,
    task::Poll,
    time::Duration,
};

use tokio::{runtime::Handle, task::unconstrained, time::sleep};

use super::{Deduplication, routes::Holder};
use crate::{deduplicate::Claim, receiver::OutcomeKind};

/// A claimed delivery.
///
/// If this is dropped before the delivery ends, by a panic or because the client disconnected, the
/// claim is released. That requires a runtime; without one, the lease expires. If this is dropped
/// while the store is called with the result, the call is repeated.
pub(in crate::receiver) struct Held {
    deduplication: Arc<Deduplication>,
    /// `None` when the store has the result.
    claim: Option<Claim>,
    remember_for: Duration,
    end: End,
    /// Set when the handler may start.
    pub(super) holder: Option<Holder>,
}

/// How a delivery ends.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum End {
    NotHandled,
    Handled,
    /// This process knows that a duplicate was handled. If the store rejects this completion, it
    /// already has the completion of the duplicate.
    HandledBefore,
}

impl Held {
    pub(super) fn new(deduplication: Arc<Deduplication>, claim: Claim, remember_for: Duration) -> Self {
        Self { deduplication, claim: Some(claim), remember_for, end: End::NotHandled, holder: None }
    }

    /// Waits for `handler` and renews the claim while it runs.
    pub(in crate::receiver) async fn renewed_during<R>(
        held: Option<&Self>,
        mut handler: Pin<&mut impl Future<Output = R>>,
    ) -> R {
        let Some(held) = held else { return handler.await };
        // The renewal must not wait, so it is polled even if the handler has used up the task's
        // budget.
        let mut renewal = pin!(unconstrained(held.keep_renewing()));
        poll_fn(|cx| match handler.as_mut().poll(cx) {
            Poll::Ready(answer) => Poll::Ready(answer),
            Poll::Pending => renewal.as_mut().poll(cx).map(|never| match never {}),
        })
        .await
    }

    async fn keep_renewing(&self) -> Infallible {
        let lease = self.deduplication.settings.lease;
        // Two renewals may fail before the lease expires.
        let interval = lease.checked_div(3).unwrap_or(lease);
        loop {
            sleep(interval).await;
            if let Some(claim) = &self.claim
                && let Err(error) = self.deduplication.call(|store| store.renew(claim, lease)).await
            {
                self.deduplication.log_failure("renew", &error);
            }
        }
    }

    /// Records how the handler ended.
    pub(in crate::receiver) fn end(mut self, outcome: OutcomeKind) -> impl Future<Output = ()> {
        match outcome {
            // The router answers with these statuses if it has no handler.
            OutcomeKind::Failed { status: 404 | 405 } => self.not_found(),
            OutcomeKind::Failed { .. } => self.not_handled(),
            _ => self.completed(End::Handled),
        }
        self.settle()
    }

    /// Records again that a duplicate was handled. A store that has just failed may have lost the
    /// first record.
    pub(super) fn complete_again(mut self) -> impl Future<Output = ()> {
        self.completed(End::HandledBefore);
        self.settle()
    }

    /// Records that the delivery was not handled. A duplicate that arrives at this route can be
    /// handled.
    pub(super) fn release(mut self) -> impl Future<Output = ()> {
        self.not_handled();
        self.settle()
    }

    /// Records that no handler was found. A duplicate that arrives at any route can be handled.
    pub(in crate::receiver) fn release_for_every_route(mut self) -> impl Future<Output = ()> {
        self.not_found();
        self.settle()
    }

    fn completed(&mut self, end: End) {
        self.end = end;
        if let Some(holder) = &mut self.holder {
            holder.completed();
        }
    }

    fn not_handled(&mut self) {
        // The failure is recorded for this route before the store frees the key, so that a
        // duplicate at another route is not handled first.
        self.holder = None;
    }

    fn not_found(&mut self) {
        if let Some(holder) = &mut self.holder {
            holder.not_found();
        }
        self.not_handled();
    }

    #[expect(clippy::manual_async_fn, reason = "the future of an `async fn` contains its arguments twice")]
    fn settle(mut self) -> impl Future<Output = ()> {
        async move {
            if let Some(claim) = &self.claim {
                self.deduplication.settle(claim, self.end, self.remember_for).await;
            }
            let _ = self.claim.take();
        }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        let Self { deduplication, claim, remember_for, end, holder } = self;
        let (holder, end, remember_for) = (holder.take(), *end, *remember_for);
        let Some(claim) = claim.take() else { return };
        // As in `not_handled`, the failure is recorded first if the delivery was not handled.
        // Otherwise the route holds the delivery until the store has recorded the completion.
        let holder = holder.filter(|_| end != End::NotHandled);
        if let Ok(runtime) = Handle::try_current() {
            let deduplication = Arc::clone(deduplication);
            runtime.spawn(async move {
                deduplication.settle(&claim, end, remember_for).await;
                drop(holder);
            });
        }
    }
}
