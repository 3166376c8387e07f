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
    task::{JoinError, JoinHandle, yield_now},
    time::{Instant, timeout, timeout_at},
};

use super::{Delivered, Delivery, Receiver, RefusalKind, telemetry};

/// Handlers on tasks of their own, so that neither the sender's deadline nor its leaving ends them.
#[derive(Clone, Debug)]
pub(super) struct Acknowledge {
    pub(super) within: Duration,
    background: Arc<Background>,
}

#[derive(Debug)]
struct Background {
    limit: usize,
    running: AtomicUsize,
    /// Copies of deliveries that are under way or were handled. They are bounded by deduplication
    /// and take no room from others.
    copies: AtomicUsize,
    is_draining: AtomicBool,
    one_ended: Notify,
}

impl Acknowledge {
    pub(super) fn new(within: Duration, limit: usize) -> Self {
        let background = Background {
            limit,
            running: AtomicUsize::new(0),
            copies: AtomicUsize::new(0),
            is_draining: AtomicBool::new(false),
            one_ended: Notify::new(),
        };
        Self { within, background: Arc::new(background) }
    }
}

impl Background {
    /// A place for one more handler, or why there is none.
    fn slot(self: &Arc<Self>, is_copy: bool) -> Result<Slot, RefusalKind> {
        let Self { limit, is_draining, .. } = &**self;
        let limit = if is_copy { usize::MAX } else { *limit };
        let one_more = |running: usize| running.checked_add(1).filter(|running| *running <= limit);
        let counted = self.counter(is_copy).fetch_update(Ordering::SeqCst, Ordering::SeqCst, one_more);
        let slot = counted.map(|_| {
            telemetry::in_background(1);
            Slot { background: Arc::clone(self), is_copy, is_decided: Arc::default() }
        });
        // Looked at after counting, so that `drain` either sees this one, or is seen.
        if is_draining.load(Ordering::SeqCst) {
            return Err(RefusalKind::Draining);
        }
        slot.map_err(|_| RefusalKind::BackgroundFull)
    }

    fn counter(&self, is_copy: bool) -> &AtomicUsize {
        if is_copy { &self.copies } else { &self.running }
    }

    /// How many handlers there are, copies included.
    fn all(&self) -> usize {
        self.running.load(Ordering::SeqCst).saturating_add(self.copies.load(Ordering::SeqCst))
    }
}

/// A handler's place in the background, given back on drop.
#[derive(Debug)]
pub(crate) struct Slot {
    background: Arc<Background>,
    is_copy: bool,
    /// Whether one has come already of the two that race: the outcome and the 202.
    is_decided: Arc<AtomicBool>,
}

impl Slot {
    /// Whether the sender was answered before the handler was done. Asked once, when it is done: no 202 follows.
    pub(super) fn was_acknowledged(&self) -> bool {
        self.is_decided.swap(true, Ordering::Relaxed)
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.background.counter(self.is_copy).fetch_sub(1, Ordering::SeqCst);
        telemetry::in_background(-1);
        self.background.one_ended.notify_waiters();
    }
}

/// What [`Receiver::drain`] left behind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
#[non_exhaustive]
pub struct Drained {
    /// How many handlers were still running when the limit was reached. They end with the process, and Twenty does not send their
    /// deliveries again. Those that were cut off before, with their worker or runtime, do not count: `on_outcome` was told `Aborted` of
    /// each.
    pub abandoned: usize,
}

impl Receiver {
    /// Waits until no handler is running in the background, but no longer than `limit`. From now on, new deliveries are refused with
    /// 503, under [`acknowledge_within`](Self::acknowledge_within).
    ///
    /// For the end of a program: stop taking requests, drain, exit. Only [`acknowledge_within`](Self::acknowledge_within) lets handlers
    /// outlive their requests; without it there is nothing to wait for.
    ///
    /// - axum: bound the wait for `axum::serve(…).with_graceful_shutdown(signal)`, then drain. It
    ///   waits for every open connection, and a client that sends half a request head and then
    ///   nothing keeps one open for as long as it likes.
    /// - actix-web: `handle.pause().await`, drain, `handle.stop(true).await`. In this order, since
    ///   handlers live on the workers and die with them. Switch actix's own signals off with
    ///   `disable_signals()`, and bound the stop with `shutdown_timeout(5)`.
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
    ///     sleep(Duration::from_secs(6)).await; // as long as Twenty waits for an answer, and a little more
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
    /// Outside of a tokio runtime with its timer on, where there is something to wait for.
    pub async fn drain(&self, limit: Duration) -> Drained {
        let Some(Acknowledge { background, .. }) = self.acknowledge() else { return Drained { abandoned: 0 } };
        background.is_draining.store(true, Ordering::SeqCst);
        let idle = async {
            loop {
                let one_ended = background.one_ended.notified();
                if background.all() == 0 {
                    return;
                }
                one_ended.await;
            }
        };
        // What is left is told by the count, however the wait ended.
        let _ = timeout(limit, idle).await;
        Drained { abandoned: background.all() }
    }

    /// A request arrives: now. `None` when its answer may take as long as its handler.
    pub(crate) fn arrival(&self) -> Option<Arrival> {
        let Acknowledge { within, background } = self.acknowledge()?;
        Some(Arrival { deadline: Instant::now().checked_add(*within), background: Arc::clone(background) })
    }
}

/// A request that came under [`Receiver::acknowledge_within`].
pub(crate) struct Arrival {
    /// When it has to be answered. A time too far ahead to be told is no deadline.
    deadline: Option<Instant>,
    background: Arc<Background>,
}

impl Arrival {
    /// Takes a delivery to its handler: `work` does, on a task of its own that `spawn` makes. The wait for it ends in time.
    pub(crate) async fn deliver<W, R>(
        self,
        mut delivery: Delivery,
        work: impl FnOnce(Delivery) -> W,
        spawn: impl FnOnce(W) -> JoinHandle<Delivered<R>>,
    ) -> Delivered<R>
    where
        W: Future<Output = Delivered<R>>,
    {
        let Some(is_copy) = delivery.admit() else { return delivery.refuse(RefusalKind::BeingHandled) };
        let mut slot = self.background.slot(is_copy);
        if slot.is_err() {
            // Replays that only a store in this process knows of leave at their first turn, which
            // they may not have had yet.
            yield_now().await;
            slot = self.background.slot(is_copy);
        }
        let slot = match slot {
            Ok(slot) => slot,
            Err(kind) => return delivery.refuse(kind),
        };
        let is_decided = Arc::clone(&slot.is_decided);
        let mut task = spawn(work(delivery.in_background(slot)));
        let Some(deadline) = self.deadline else { return joined(task.await) };
        match timeout_at(deadline, &mut task).await {
            Ok(ended) => joined(ended),
            // It ended at this very moment.
            Err(_) if is_decided.swap(true, Ordering::Relaxed) => joined(task.await),
            Err(_) => Delivered::Acknowledged,
        }
    }
}

/// A handler's panic goes on where it would have without the task.
fn joined<R>(ended: Result<Delivered<R>, JoinError>) -> Delivered<R> {
    match ended.map_err(JoinError::try_into_panic) {
        Ok(delivered) => delivered,
        Err(Ok(panic)) => resume_unwind(panic),
        // Cancelled: the runtime is being shut down.
        Err(Err(_)) => Delivered::Refused(RefusalKind::Draining.into()),
    }
}
