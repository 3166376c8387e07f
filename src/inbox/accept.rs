//! Accepts verified deliveries and stores them.

use std::{
    collections::HashSet,
    future::Future,
    pin::Pin,
    sync::{Mutex, MutexGuard, PoisonError, Weak},
    time::Duration,
};

use tokio::time::{Instant, sleep, timeout_at};

use super::{Inbox, InboxError, InboxErrorKind, InboxFailure, RecordKey, StoredEvent, store::Put, telemetry};
use crate::{
    deduplicate::{ClaimKey, ClaimOutcome, ClaimStore, MemoryStore},
    verify::Verified,
};

/// What happened to a delivery that [`Inbox::accept`] accepted. Answer each with 200.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Accepted {
    /// The delivery is on disk, and a worker will handle it.
    Stored,
    /// A duplicate is in the inbox, or was handled before.
    Duplicate,
    /// The delivery could not be stored, and was handled directly; see [`InboxFailure::Handle`].
    Handled,
}

/// A worker of this process, which handles events that could not be stored.
pub(super) trait DirectHandler: Send + Sync {
    /// Makes one attempt, if there is a free slot.
    fn handle(self: std::sync::Arc<Self>, event: StoredEvent) -> Pin<Box<dyn Future<Output = bool> + Send>>;
}

/// The state for handling events while the store fails.
pub(super) struct Direct {
    worker: Mutex<Option<Weak<dyn DirectHandler>>>,
    /// The events that were handled without the store.
    handled: MemoryStore,
    /// The events that are being handled without the store.
    running: Mutex<HashSet<ClaimKey>>,
}

/// An event that is being handled without the store. It counts as running until this is dropped.
struct Running<'d> {
    direct: &'d Direct,
    key: ClaimKey,
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.direct.running().remove(&self.key);
    }
}

impl Direct {
    /// The maximum number of remembered events that were handled without the store.
    const CAPACITY: usize = 10_000;

    pub(super) fn new() -> Self {
        Self { worker: Mutex::new(None), handled: MemoryStore::silent(Self::CAPACITY), running: Mutex::default() }
    }

    fn running(&self) -> MutexGuard<'_, HashSet<ClaimKey>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn started(&self, key: ClaimKey) -> Running<'_> {
        self.running().insert(key);
        Running { direct: self, key }
    }

    /// Waits while the event is being handled directly, because it may have been stored too late.
    pub(super) async fn ended(&self, key: ClaimKey) {
        while self.running().contains(&key) {
            sleep(Duration::from_millis(10)).await;
        }
    }

    pub(super) fn set_worker(&self, worker: Option<Weak<dyn DirectHandler>>) {
        *self.worker.lock().unwrap_or_else(PoisonError::into_inner) = worker;
    }

    /// Returns whether the event was handled directly, because it could not be stored in time.
    pub(super) fn is_handled(&self, key: ClaimKey) -> bool {
        self.handled.is_completed_here(key)
    }

    fn worker(&self) -> Option<std::sync::Arc<dyn DirectHandler>> {
        self.worker.lock().unwrap_or_else(PoisonError::into_inner).as_ref()?.upgrade()
    }
}

impl Inbox {
    /// How long storing is retried. During this time, callers do not notice that the file is
    /// reopened or that a database restarts.
    const TRY_AGAIN_FOR: Duration = Duration::from_millis(1_500);

    /// How long storing may take in total. Twenty waits for 5 seconds, and the remaining time must
    /// suffice for one attempt to handle the event.
    const STORE_WITHIN: Duration = Duration::from_secs(3);

    const PAUSE: Duration = Duration::from_millis(50);

    /// Stores a verified delivery. If this returns `Ok`, answer 200.
    ///
    /// If the future is dropped, the delivery may have been stored.
    ///
    /// ```
    /// use twenty_webhook::{Verifier, inbox::{Accepted, Inbox}, verify::Signer};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let inbox = Inbox::builder().in_memory(); // in production: `Inbox::open("twenty-inbox.redb")?`
    /// # let (verifier, body) = (Verifier::new("secret")?, r#"{"eventName":"person.created"}"#);
    /// # let headers = Signer::new("secret")?.sign(body).pairs();
    /// let verified = verifier.verify(headers, body)?;
    /// assert_eq!(inbox.accept(verified.clone()).await?, Accepted::Stored);
    /// assert_eq!(inbox.accept(verified).await?, Accepted::Duplicate);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// Returns an error if the delivery could neither be stored nor handled. Answer 503; Twenty
    /// does not retry.
    pub async fn accept(&self, verified: Verified) -> Result<Accepted, InboxError> {
        let key = self.inner.naming.key(&verified, telemetry::key_by_panicked);
        if self.inner.direct.is_handled(key) {
            return Ok(Accepted::Duplicate);
        }
        let record = RecordKey::of_body(verified.body());
        let event = StoredEvent { key, record, accepted_at: self.inner.clock.now(), verified };
        let error = match self.store(&event).await {
            Ok(Put::Stored) => return Ok(Accepted::Stored),
            Ok(Put::Duplicate) => return Ok(Accepted::Duplicate),
            Err(error) => error,
        };
        match self.inner.on_failure {
            InboxFailure::Reject => {
                telemetry::not_stored(&error, "rejected");
                Err(error)
            }
            InboxFailure::Handle => self.handle_at_once(event, error).await,
        }
    }

    async fn store(&self, event: &StoredEvent) -> Result<Put, InboxError> {
        let begun = Instant::now();
        let after = |time: Duration| begun.checked_add(time).unwrap_or(begun);
        loop {
            let put = timeout_at(after(Self::STORE_WITHIN), self.inner.store.put(event.clone())).await;
            let error = match put {
                Ok(Ok(put)) => {
                    telemetry::accepted(put, begun.elapsed());
                    return Ok(put);
                }
                Ok(Err(error)) => error,
                Err(_) => {
                    return Err(InboxError::new(InboxErrorKind::Timeout, "the inbox's store did not answer in time"));
                }
            };
            if !error.is_transient() || Instant::now() >= after(Self::TRY_AGAIN_FOR) {
                return Err(error);
            }
            sleep(Self::PAUSE).await;
        }
    }

    /// Handles the event without the store. Runs on a separate task, so that it continues after
    /// Twenty has timed out.
    async fn handle_at_once(&self, event: StoredEvent, error: InboxError) -> Result<Accepted, InboxError> {
        let Some(worker) = self.inner.direct.worker() else {
            telemetry::not_stored(&error, "rejected");
            return Err(error);
        };
        let inner = std::sync::Arc::clone(&self.inner);
        let for_task = error.clone();
        let task = tokio::spawn(async move {
            let error = for_task;
            let handled = &inner.direct.handled;
            // The lease is short, because a claim that is never completed rejects duplicates until
            // it expires.
            let claim = match handled.claim(event.key, Duration::from_secs(600)).await {
                Ok(ClaimOutcome::Fresh(claim)) => Some(claim),
                Ok(ClaimOutcome::Completed) => return Ok(Accepted::Duplicate),
                Ok(ClaimOutcome::Running) => return Err(error),
                // The store is full of running claims. Handling a duplicate twice is better than
                // losing it.
                Err(_) => None,
            };
            let _running = inner.direct.started(event.key);
            let is_handled = worker.handle(event).await;
            if let Some(claim) = claim {
                let ended = if is_handled {
                    handled.complete(&claim, super::InboxBuilder::DEFAULT_REMEMBER_FOR).await.map(drop)
                } else {
                    handled.release(&claim).await.map(drop)
                };
                // A store in memory does not fail here. If it did, the claim would expire.
                drop(ended);
            }
            telemetry::not_stored(&error, if is_handled { "handled" } else { "failed" });
            if is_handled { Ok(Accepted::Handled) } else { Err(error) }
        });
        task.await.unwrap_or(Err(error))
    }
}
