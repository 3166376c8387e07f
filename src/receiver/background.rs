use std::{
    panic::resume_unwind,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio::{
    sync::Notify,
    task::{JoinError, JoinHandle},
    time::{Instant, timeout, timeout_at},
};

use super::{Delivered, Delivery, Receiver, RefusalKind, telemetry};

/// Runs handlers on their own tasks, so that they outlive the sender's timeout and connection.
#[derive(Clone, Debug)]
pub(super) struct Acknowledge {
    pub(super) within: Duration,
    background: Arc<Background>,
}

#[derive(Debug)]
struct Background {
    limit: usize,
    /// Running handlers.
    running: AtomicUsize,
    /// Deliveries that wait for the claim store or for the handler of a duplicate.
    waiting: AtomicUsize,
    is_draining: AtomicBool,
    one_ended: Notify,
}

impl Acknowledge {
    pub(super) fn new(within: Duration, limit: usize) -> Self {
        let background = Background {
            limit,
            running: AtomicUsize::new(0),
            waiting: AtomicUsize::new(0),
            is_draining: AtomicBool::new(false),
            one_ended: Notify::new(),
        };
        Self { within, background: Arc::new(background) }
    }
}

/// How many deliveries may wait for the claim store or for a duplicate's handler. The limit for
/// handlers does not apply to them, because replays wait for the store, too.
const WAITING_LIMIT: usize = 10_000;

impl Background {
    /// Returns a slot for a delivery, or the reason why there is none.
    fn slot(self: &Arc<Self>) -> Result<Slot, RefusalKind> {
        let slot = add_one(&self.waiting, WAITING_LIMIT).then(|| Slot {
            background: Arc::clone(self),
            is_running: false,
            is_decided: Arc::default(),
            acknowledged: None,
        });
        // Read after counting, so that either `drain` counts this delivery, or this call sees that
        // the receiver is draining.
        if self.is_draining.load(Ordering::SeqCst) {
            return Err(RefusalKind::Draining);
        }
        slot.ok_or(RefusalKind::BackgroundFull)
    }

    fn total(&self) -> usize {
        // A starting slot is counted as running before it stops being counted as waiting.
        self.waiting.load(Ordering::SeqCst).saturating_add(self.running.load(Ordering::SeqCst))
    }
}

fn add_one(counter: &AtomicUsize, limit: usize) -> bool {
    let one_more = |count: usize| count.checked_add(1).filter(|count| *count <= limit);
    counter.fetch_update(Ordering::SeqCst, Ordering::SeqCst, one_more).is_ok()
}

/// A delivery's slot in the background, returned on drop.
#[derive(Debug)]
pub(crate) struct Slot {
    background: Arc<Background>,
    is_running: bool,
    /// Set by the outcome or by the 202, whichever comes first.
    is_decided: Arc<AtomicBool>,
    /// `None` until the outcome is known.
    acknowledged: Option<bool>,
}

impl Slot {
    /// Counts the handler as running, once. Returns `false` if too many handlers are running. After
    /// a 202 there is no limit, because the sender does not see a rejection.
    pub(super) fn start(&mut self) -> bool {
        if self.is_running {
            return true;
        }
        let limit = self.background.limit;
        let has_room = add_one(&self.background.running, limit)
            || self.was_acknowledged() && add_one(&self.background.running, usize::MAX);
        if has_room {
            self.is_running = true;
            self.background.waiting.fetch_sub(1, Ordering::SeqCst);
            telemetry::in_background(1);
        }
        has_room
    }

    /// Returns whether a 202 was sent before the outcome was known. Also prevents a later 202.
    pub(super) fn was_acknowledged(&mut self) -> bool {
        *self.acknowledged.get_or_insert_with(|| self.is_decided.swap(true, Ordering::Relaxed))
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        let Background { running, waiting, one_ended, .. } = &*self.background;
        if self.is_running {
            running.fetch_sub(1, Ordering::SeqCst);
            telemetry::in_background(-1);
        } else {
            waiting.fetch_sub(1, Ordering::SeqCst);
        }
        one_ended.notify_waiters();
    }
}

/// The result of [`Receiver::drain`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
#[non_exhaustive]
pub struct Drained {
    /// How many deliveries had not ended when the time limit passed: their handlers were running,
    /// or they were waiting for the claim store or for a duplicate's handler. They end with the
    /// process, and Twenty does not retry. Deliveries that were aborted earlier, together with
    /// their worker or runtime, are not included; `on_outcome` received
    /// [`Aborted`](super::OutcomeKind::Aborted) for each of them.
    pub abandoned: usize,
}

impl Receiver {
    /// Waits until no handler runs in the background, for at most `limit`. From now on, a receiver
    /// with [`acknowledge_within`](Self::acknowledge_within) rejects new deliveries with 503.
    ///
    /// Use it for a graceful shutdown: stop accepting requests, drain, exit. Only
    /// [`acknowledge_within`](Self::acknowledge_within) lets handlers outlive their requests;
    /// without it there is nothing to wait for.
    ///
    /// - axum: wait for `axum::serve(…).with_graceful_shutdown(signal)` with a timeout, then drain.
    ///   The timeout is necessary because axum waits for every open connection, and a client can
    ///   keep one open by sending only half a request head.
    /// - actix-web: stop accepting, drain, `handle.stop(true).await`. The order matters, because
    ///   handlers run on the server's workers and end with them. The module `actix_web` shows the
    ///   whole pattern.
    ///
    /// A request on a connection that the server closes is lost, and neither Twenty nor a proxy
    /// repeats it. To avoid that, answer each request with `Connection: close`, and close
    /// connections a second after you stop accepting new ones. The examples do this.
    ///
    /// ```no_run
    /// use std::{future::IntoFuture, time::Duration};
    /// use tokio::{select, sync::oneshot, time::sleep};
    /// # use twenty_webhook::Receiver;
    /// # #[cfg(feature = "axum")]
    /// # async fn serve(
    /// #     receiver: Receiver,
    /// #     listener: tokio::net::TcpListener,
    /// #     app: axum::Router,
    /// #     signal: impl Future<Output = ()> + Send + 'static,
    /// # ) -> std::io::Result<()> {
    ///
    /// let (stopping, stopped) = oneshot::channel();
    /// let signal = async move {
    ///     signal.await;
    ///     let _ = stopping.send(());
    /// };
    /// let too_late = async {
    ///     let _ = stopped.await;
    ///     sleep(Duration::from_secs(6)).await; // a little longer than Twenty waits for an answer
    /// };
    /// select! {
    ///     served = axum::serve(listener, app).with_graceful_shutdown(signal).into_future() => served?,
    ///     () = too_late => {} // a connection is still open
    /// }
    /// let drained = receiver.drain(Duration::from_secs(10)).await;
    /// if drained.abandoned > 0 {
    ///     eprintln!("{} handlers did not end in time", drained.abandoned);
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Panics
    ///
    /// Panics outside of a tokio runtime with an enabled timer, if there is something to wait for.
    pub async fn drain(&self, limit: Duration) -> Drained {
        let Some(Acknowledge { background, .. }) = self.acknowledge() else { return Drained { abandoned: 0 } };
        background.is_draining.store(true, Ordering::SeqCst);
        let idle = async {
            loop {
                let one_ended = background.one_ended.notified();
                if background.total() == 0 {
                    return;
                }
                one_ended.await;
            }
        };
        // `timeout` requires a timer even if there is nothing to wait for.
        if background.total() > 0 {
            // The result does not matter, because the count below shows how many are left.
            let _ = timeout(limit, idle).await;
        }
        Drained { abandoned: background.total() }
    }

    /// Records the arrival of a request. Returns `None` without `acknowledge_within`.
    pub(crate) fn arrival(&self) -> Option<Arrival> {
        let Acknowledge { within, background } = self.acknowledge()?;
        Some(Arrival { deadline: Instant::now().checked_add(*within), background: Arc::clone(background) })
    }
}

/// The arrival of a request, under [`Receiver::acknowledge_within`].
pub(crate) struct Arrival {
    /// When the request must be answered. `None` if that time cannot be represented.
    deadline: Option<Instant>,
    background: Arc<Background>,
}

impl Arrival {
    /// Runs `work`, which calls the handler, on a separate task that `spawn` creates. Waits for the
    /// task until the deadline.
    pub(crate) async fn deliver<W, R>(
        self,
        mut delivery: Delivery,
        work: impl FnOnce(Delivery) -> W,
        spawn: impl FnOnce(W) -> JoinHandle<Delivered<R>>,
    ) -> Delivered<R>
    where
        W: Future<Output = Delivered<R>>,
    {
        if !delivery.admit() {
            return delivery.refuse(RefusalKind::BeingHandled);
        }
        let mut slot = match self.background.slot() {
            Ok(slot) => slot,
            Err(kind) => return delivery.refuse(kind),
        };
        // A delivery that requires no lookup is counted now, before its deadline can pass.
        if delivery.is_known_first() && !slot.start() {
            return delivery.refuse(RefusalKind::BackgroundFull);
        }
        let is_decided = Arc::clone(&slot.is_decided);
        let mut task = spawn(work(delivery.in_background(slot)));
        let Some(deadline) = self.deadline else { return joined(task.await) };
        match timeout_at(deadline, &mut task).await {
            Ok(ended) => joined(ended),
            // The task ended at the same moment.
            Err(_) if is_decided.swap(true, Ordering::Relaxed) => joined(task.await),
            Err(_) => Delivered::Acknowledged,
        }
    }
}

/// Returns the result of a task. A handler's panic continues here, as it would without the task.
fn joined<R>(ended: Result<Delivered<R>, JoinError>) -> Delivered<R> {
    match ended.map_err(JoinError::try_into_panic) {
        Ok(delivered) => delivered,
        Err(Ok(panic)) => resume_unwind(panic),
        // Cancelled: the runtime is being shut down.
        Err(Err(_)) => Delivered::Refused(RefusalKind::Draining.into()),
    }
}

#[cfg(test)]
mod tests {
    use std::{
        pin::pin,
        task::{Context, Poll, Waker},
    };

    use super::*;
    use crate::Verifier;

    /// For example after the runtime has ended.
    #[test]
    fn an_idle_receiver_drains_without_a_runtime() {
        let receiver = Receiver::new(Verifier::new("secret").unwrap()).acknowledge_within(Duration::ZERO);
        let drained = pin!(receiver.drain(Duration::from_secs(1))).poll(&mut Context::from_waker(Waker::noop()));
        assert_eq!(drained, Poll::Ready(Drained { abandoned: 0 }));
        assert_eq!(receiver.acknowledge().unwrap().background.slot().unwrap_err(), RefusalKind::Draining);
    }

    fn slot(background: &Arc<Background>) -> Slot {
        background.slot().unwrap()
    }

    #[test]
    fn only_handlers_count_and_acknowledged_deliveries_always_start() {
        let Acknowledge { background, .. } = Acknowledge::new(Duration::ZERO, 1);
        let mut running = slot(&background);
        let mut waiting: Vec<_> = (1..WAITING_LIMIT).map(|_| slot(&background)).collect();
        assert!(running.start(), "waiting deliveries do not count as handlers");
        let [mut refused, mut acknowledged] = [waiting.pop().unwrap(), waiting.pop().unwrap()];
        assert!(!refused.start());
        assert!(refused.is_decided.load(Ordering::Relaxed), "no 202 follows a rejection");
        assert!(!refused.was_acknowledged());
        acknowledged.is_decided.store(true, Ordering::Relaxed);
        assert!(acknowledged.start());
        assert!(acknowledged.was_acknowledged());
        drop((refused, running));
        assert!(!waiting.pop().unwrap().start(), "the acknowledged handler still runs");
        drop((acknowledged, waiting));
        assert_eq!(background.total(), 0);
        assert!(slot(&background).start());
    }

    #[test]
    fn waiting_deliveries_are_limited() {
        let Acknowledge { background, .. } = Acknowledge::new(Duration::ZERO, 1);
        let waiting: Vec<_> = (0..WAITING_LIMIT).map(|_| slot(&background)).collect();
        assert_eq!(background.slot().unwrap_err(), RefusalKind::BackgroundFull);
        drop(waiting);
        assert!(slot(&background).start());
    }
}
