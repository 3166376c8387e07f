use std::{
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use tokio::{runtime::Handle, time::timeout};

use super::{Deduplication, held::End};
use crate::deduplicate::{ClaimKey, ClaimOutcome, StoreError, StoreFuture};

/// A call that claims a delivery in a remote store.
///
/// If this is dropped before the store has answered, for example because the client disconnected,
/// the store may have recorded the claim nevertheless. Redeliveries would then wait or be rejected
/// until the lease expires. So a task waits for the answer, and releases the claim.
pub(super) struct Claiming {
    deduplication: Arc<Deduplication>,
    /// `None` when the store has answered.
    call: Option<StoreFuture<'static, ClaimOutcome>>,
}

impl Claiming {
    pub(super) fn new(deduplication: &Arc<Deduplication>, key: ClaimKey) -> Self {
        let by = Arc::clone(deduplication);
        let call = async move { by.call(|store| store.claim(key, by.settings.lease)).await };
        Self { deduplication: Arc::clone(deduplication), call: Some(Box::pin(call)) }
    }
}

impl Future for Claiming {
    type Output = Result<ClaimOutcome, StoreError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let Some(call) = &mut self.call else { return Poll::Pending };
        let answer = ready!(call.as_mut().poll(cx));
        self.call = None;
        Poll::Ready(answer)
    }
}

impl Drop for Claiming {
    fn drop(&mut self) {
        let Some(call) = self.call.take() else { return };
        // Without a runtime, the lease expires.
        let Ok(runtime) = Handle::try_current() else { return };
        let deduplication = Arc::clone(&self.deduplication);
        runtime.spawn(async move {
            // The limit is for a store that never answers.
            let claim = match timeout(deduplication.settings.lease, call).await {
                Ok(Ok(ClaimOutcome::Fresh(claim))) => Some(claim),
                // The claim may have been recorded.
                Ok(Err(error)) => error.into_claim(),
                Ok(Ok(_)) | Err(_) => None,
            };
            if let Some(claim) = claim {
                deduplication.settle(&claim, End::NotHandled, Duration::ZERO).await;
            }
        });
    }
}
