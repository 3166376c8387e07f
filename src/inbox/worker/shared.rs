//! The state that all attempts of a worker share.

use std::{
    collections::HashSet,
    future::Future,
    pin::Pin,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use tokio::{
    sync::{Notify, Semaphore},
    task::JoinSet,
    time::{Instant, sleep, timeout},
};

use super::{
    super::{
        DeadReason, InboxError, InboxErrorKind, Inner, RecordKey, StoredEvent,
        accept::DirectHandler,
        store::{End, Lease, TakenEvent},
        telemetry::{self, About, Ended},
    },
    Attempt, HandlerError, RetryPolicy,
    attempt::Kind,
    handler::Boxed,
};
use crate::{
    caught::caught,
    clip::{MESSAGE, clip},
    event::{Routes, check_is_json},
};

pub(super) struct Shared<S> {
    pub(super) inbox: Arc<Inner>,
    state: S,
    routes: Routes<Boxed<S>>,
    pub(super) policy: RetryPolicy,
    timeout: Duration,
    /// The maximum number of taken events. Each has a slot until its end is in the store.
    pub(super) slot_count: usize,
    /// Permits for running handlers, as many as there are slots. An event whose end cannot be
    /// written holds no permit, so that deliveries can be handled directly while the store fails.
    handlers: Semaphore,
    /// The records of running events.
    busy: Mutex<HashSet<RecordKey>>,
    /// Whether the store has events that wait for a busy record.
    pub(super) left_busy: AtomicBool,
    /// Notified when a busy record becomes free and an event waits for it.
    pub(super) wake: Notify,
}

/// How a handler ended.
enum Verdict {
    Handled,
    Unmatched,
    Failed(Kind, String),
}

/// A taken event whose handler has ended, or that has no handler.
pub(super) struct Done {
    pub(super) lease: Lease,
    pub(super) end: End,
    /// Whether a call that was to store the end has failed.
    pub(super) has_failed: bool,
    pub(super) report: Option<Report>,
}

/// The report of an attempt.
pub(super) struct Report {
    event: StoredEvent,
    number: u32,
    took: Duration,
    error: Option<Box<str>>,
    ended: Ended,
}

impl Done {
    pub(super) const fn new(lease: Lease, end: End, report: Option<Report>) -> Self {
        Self { lease, end, has_failed: false, report }
    }

    /// Reports the attempt. Call this when its end is in the store. `is_held` is `false` if its
    /// lease was lost.
    pub(super) fn report(self, is_held: bool) {
        let Some(Report { event, number, took, error, ended }) = self.report else { return };
        // A failed call may have stored the end, which ends the lease.
        let is_held = is_held || self.has_failed;
        let retry_in = if let End::Retry { delay } = self.end { Some(delay) } else { None };
        let about = About {
            id: event.key.into(),
            #[cfg(feature = "tracing")]
            verified: &event.verified,
            number,
            took,
            error: error.as_deref(),
            retry_in,
        };
        telemetry::attempted(if is_held { ended } else { Ended::Lost }, &about);
    }
}

/// Marks a record as busy until it is dropped.
pub(super) struct Busy<S: Send + Sync + 'static> {
    shared: Arc<Shared<S>>,
    record: RecordKey,
}

impl<S: Send + Sync + 'static> Drop for Busy<S> {
    fn drop(&mut self) {
        self.shared.busy().remove(&self.record);
        if self.shared.left_busy.load(Ordering::Acquire) {
            self.shared.wake.notify_one();
        }
    }
}

impl<S> Shared<S> {
    pub(super) fn busy(&self) -> std::sync::MutexGuard<'_, HashSet<RecordKey>> {
        self.busy.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<S: Clone + Send + Sync + 'static> Shared<S> {
    pub(super) fn new(
        inbox: Arc<Inner>,
        state: S,
        routes: Routes<Boxed<S>>,
        policy: RetryPolicy,
        timeout: Duration,
        slot_count: usize,
    ) -> Self {
        Self {
            inbox,
            state,
            routes,
            policy,
            timeout,
            slot_count,
            handlers: Semaphore::new(slot_count),
            busy: Mutex::default(),
            left_busy: AtomicBool::new(false),
            wake: Notify::new(),
        }
    }

    /// Marks a record as busy. Returns `None` if it is busy already.
    pub(super) fn occupy(self: &Arc<Self>, record: RecordKey) -> Option<Busy<S>> {
        (record == RecordKey::NONE || self.busy().insert(record)).then(|| Busy { shared: Arc::clone(self), record })
    }

    /// Runs a taken event. With `alone`, nothing else may run.
    pub(super) async fn run(self: Arc<Self>, taken: TakenEvent, busy: Busy<S>, alone: bool) -> Done {
        let TakenEvent { lease, event, attempts, interruptions } = taken;
        let number = attempts.saturating_add(1);
        if interruptions >= self.policy.interruptions {
            let message: Box<str> = "the process ended each time while this event was handled".into();
            let end = End::Dead { reason: DeadReason::Interrupted, message: message.clone() };
            let report = Report { event, number, took: Duration::ZERO, error: Some(message), ended: Ended::Dead };
            return Done::new(lease, end, Some(report));
        }
        let (verdict, took) = self.handle_taken(&event, number, alone).await;
        drop(busy);
        let (end, ended, error) = self.judge(verdict, number);
        Done::new(lease, end, Some(Report { event, number, took, error, ended }))
    }

    /// Waits for a permit and calls the handler of a taken event. Returns how long the handler
    /// took.
    async fn handle_taken(&self, event: &StoredEvent, number: u32, alone: bool) -> (Verdict, Duration) {
        self.inbox.direct.ended(event.key).await;
        let places = if alone { self.slot_count } else { 1 };
        let running = self.handlers.acquire_many(u32::try_from(places).unwrap_or(u32::MAX)).await;
        let begun = Instant::now();
        let verdict = if self.inbox.direct.is_handled(event.key) {
            // The event was handled directly, and was stored too late.
            Verdict::Handled
        } else {
            self.attempt(event, number, self.policy.is_last(number)).await
        };
        drop(running);
        (verdict, begun.elapsed())
    }

    /// Calls the event's handler.
    async fn attempt(&self, event: &StoredEvent, number: u32, is_last: bool) -> Verdict {
        let StoredEvent { key, accepted_at, verified, .. } = event;
        let Some(handler) = self.routes.find(verified) else {
            let body = std::str::from_utf8(verified.body());
            return match body.map(check_is_json) {
                Ok(Ok(())) => Verdict::Unmatched,
                _ => Verdict::Failed(Kind::Mismatch, "the verified body is not JSON".to_owned()),
            };
        };
        let attempt = Attempt::new((*key).into(), number, is_last, *accepted_at);
        // All code of the user runs inside `caught`, including destructors when the timeout drops
        // the handler, and the formatting of the error.
        let verdict = caught(async {
            let handled = async { handler(self.state.clone(), verified.clone(), attempt).await };
            match timeout(self.timeout, handled).await {
                Ok(Ok(())) => Verdict::Handled,
                Ok(Err(error)) => Verdict::Failed(error.kind, HandlerError::message(&error)),
                Err(_) => Verdict::Failed(Kind::Transient, format!("the handler took longer than {:?}", self.timeout)),
            }
        });
        verdict.await.unwrap_or_else(|panic| Verdict::Failed(Kind::Transient, format!("the handler panicked: {panic}")))
    }

    fn judge(&self, verdict: Verdict, number: u32) -> (End, Ended, Option<Box<str>>) {
        let (kind, message) = match verdict {
            Verdict::Handled => return (End::Complete, Ended::Handled, None),
            Verdict::Unmatched => return (End::Complete, Ended::Unmatched, None),
            Verdict::Failed(kind, message) => (kind, message),
        };
        let message: Box<str> = clip(&message, MESSAGE).escape_debug().to_string().into();
        let reason = match kind {
            Kind::Permanent => DeadReason::Permanent,
            Kind::Mismatch => DeadReason::Mismatch,
            Kind::Transient | Kind::RetryAfter(_) if self.policy.is_last(number) => DeadReason::Exhausted,
            Kind::Transient | Kind::RetryAfter(_) => {
                let delay = self.policy.pause(number, kind);
                return (End::Retry { delay }, Ended::Retried, Some(message));
            }
        };
        (End::Dead { reason, message: message.clone() }, Ended::Dead, Some(message))
    }

    /// If the store has leases, renews the event's lease until the returned set is dropped. This
    /// happens on a separate task, because a handler may block its thread.
    pub(super) fn renew(&self, lease: Lease) -> JoinSet<()> {
        let mut renewal = JoinSet::new();
        let Some(time) = self.inbox.store.lease() else { return renewal };
        // Before the lease ends, two renewals may fail, or one may time out.
        let interval = time.checked_div(3).unwrap_or(time);
        let inbox = Arc::clone(&self.inbox);
        renewal.spawn(async move {
            loop {
                sleep(interval).await;
                let renewed = caught(async { inbox.store.renew(lease).await }).await.unwrap_or_else(|panic| {
                    Err(InboxError::because(InboxErrorKind::Unavailable, "renewing the lease panicked", panic))
                });
                match renewed {
                    Ok(true) => {}
                    // The handler continues, because its work cannot be undone, but its result
                    // changes nothing in the store.
                    Ok(false) => return,
                    Err(error) => telemetry::worker_failed("renew", &error),
                }
            }
        });
        renewal
    }
}

impl<S: Clone + Send + Sync + 'static> DirectHandler for Shared<S> {
    fn handle(self: Arc<Self>, event: StoredEvent) -> Pin<Box<dyn Future<Output = bool> + Send>> {
        /// The time limit for a free slot. Twenty waits for 5 seconds, and storing may have taken 3
        /// of them.
        const PATIENCE: Duration = Duration::from_millis(1_500);

        Box::pin(async move {
            let admitted = timeout(PATIENCE, async {
                let running = self.handlers.acquire().await.ok()?;
                loop {
                    match self.occupy(event.record) {
                        Some(busy) => return Some((running, busy)),
                        None => sleep(Duration::from_millis(10)).await,
                    }
                }
            });
            let Ok(Some(_admitted)) = admitted.await else { return false };
            matches!(self.attempt(&event, 1, true).await, Verdict::Handled | Verdict::Unmatched)
        })
    }
}
