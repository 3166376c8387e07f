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
use crate::deduplicate::{Claim, Deduplicate};

/// A delivery that is ours to handle, for as long as this is held.
///
/// Dropped without an end, by a panic or because the client left, it is released: best effort, since that takes a runtime; else the
/// lease runs out. Dropped while the end is being told to the store, it is told again.
pub(in crate::receiver) struct Held {
    deduplication: Arc<Deduplication>,
    /// `None` once it was settled.
    claim: Option<Claim>,
    remember_for: Duration,
    end: End,
    /// Of the route whose handler runs; `None` before that is decided.
    pub(super) holder: Option<Holder>,
}

/// How a delivery ends.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum End {
    NotHandled,
    Handled,
    /// By an earlier copy, as this process knows. A store that does not take the claim has that one's.
    HandledBefore,
}

impl Held {
    pub(super) fn new(deduplication: Arc<Deduplication>, claim: Claim, remember_for: Duration) -> Self {
        Self { deduplication, claim: Some(claim), remember_for, end: End::NotHandled, holder: None }
    }

    /// Waits for `handler`, and renews the claim meanwhile.
    pub(in crate::receiver) async fn renewed_during<R>(&self, mut handler: Pin<&mut impl Future<Output = R>>) -> R {
        // Polled after the handler, which may have used up the task's budget; the renewal has to go on all the same.
        let mut renewal = pin!(unconstrained(self.keep_renewing()));
        poll_fn(|cx| match handler.as_mut().poll(cx) {
            Poll::Ready(answer) => Poll::Ready(answer),
            Poll::Pending => renewal.as_mut().poll(cx).map(|never| match never {}),
        })
        .await
    }

    async fn keep_renewing(&self) -> Infallible {
        let Deduplicate { store, lease, .. } = &self.deduplication.settings;
        // Two may fail before the lease ends.
        let interval = lease.checked_div(3).unwrap_or(*lease);
        loop {
            sleep(interval).await;
            if let Some(claim) = &self.claim
                && let Err(error) = store.renew(claim, *lease).await
            {
                self.deduplication.say_failure("renew", &error);
            }
        }
    }

    /// The delivery was handled: no copy of it is, from now on.
    pub(in crate::receiver) async fn complete(self) {
        self.complete_as(End::Handled).await;
    }

    /// It was handled before. The store that failed just now may have lost it, so it is told again.
    pub(super) async fn complete_again(self) {
        self.complete_as(End::HandledBefore).await;
    }

    async fn complete_as(mut self, end: End) {
        self.end = end;
        if let Some(holder) = &mut self.holder {
            holder.completed();
        }
        self.settle().await;
    }

    /// The delivery was not handled: the next copy that comes to this route may be.
    pub(in crate::receiver) async fn release(mut self) {
        // Before the store frees it, or a copy that came to another route could be first.
        self.holder = None;
        self.settle().await;
    }

    /// There was no handler for it: the next copy may be handled, whichever route it comes to.
    pub(in crate::receiver) async fn release_for_every_route(mut self) {
        if let Some(holder) = &mut self.holder {
            holder.not_found();
        }
        self.release().await;
    }

    async fn settle(&mut self) {
        if let Some(claim) = &self.claim {
            self.deduplication.settle(claim, self.end, self.remember_for).await;
        }
        self.claim = None;
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        let Self { deduplication, claim, remember_for, end, holder } = self;
        let (holder, end, remember_for) = (holder.take(), *end, *remember_for);
        let Some(claim) = claim.take() else { return };
        // See `release`; but what is being completed is held until that is done.
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
