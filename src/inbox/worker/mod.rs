//! Handles what is in the inbox.

mod attempt;
#[cfg(test)]
mod faulty;
mod handler;
mod retry;
mod run;
mod shared;
#[cfg(test)]
mod tests;
mod upkeep;

use std::{
    error::Error,
    fmt,
    sync::{
        Arc, Weak,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio::{
    runtime::Handle,
    sync::{Semaphore, watch},
    task::JoinHandle,
    time::timeout,
};

use super::{Inner, accept::DirectHandler};
use crate::event::{EventError, EventPattern, PatternError, Routes};
pub use attempt::{Attempt, HandlerError, HandlerResult, PermanentExt};
pub use handler::Handler;
use handler::{Boxed, boxed};
pub use retry::RetryPolicy;
use run::{Order, Supervisor};
use shared::Shared;

/// Sets up a [`Worker`].
///
/// Handlers are functions or closures of `(state, WebhookEvent<T>, Attempt)`,
/// `(state, WebhookEvent<T>)` or `(WebhookEvent<T>)`, async, that return `()` or `Result<(), E>`,
/// with any error type `E`, [`HandlerError`] among them. The most exact pattern wins, whatever the
/// order; see [`EventPattern`].
///
/// ```
/// use std::{io, time::Duration};
/// use twenty_webhook::{WebhookEvent, event::record::Company, inbox::{Attempt, Inbox, RetryPolicy}};
///
/// async fn sync(event: WebhookEvent<Company>) -> Result<(), io::Error> {
///     Ok(())
/// }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let inbox = Inbox::builder().in_memory();
/// let worker = inbox
///     .worker("state")
///     .on("company.*", sync)
///     .on("*.deleted", async |state: &'static str, event: WebhookEvent, attempt: Attempt| {
///         println!("{state}: {} for the {}. time", event.name, attempt.number);
///     })
///     .concurrency(4)
///     .timeout(Duration::from_secs(60))
///     .retry(RetryPolicy::exponential(Duration::from_secs(1)..=Duration::from_secs(600)).attempts(10))
///     .start()?;
/// # worker.shutdown(Duration::from_secs(1)).await;
/// # Ok(())
/// # }
/// ```
#[must_use = "call `start`"]
pub struct WorkerBuilder<S> {
    inbox: Arc<Inner>,
    state: S,
    routes: Routes<Boxed<S>>,
    wrong_type: Option<StartError>,
    concurrency: usize,
    timeout: Duration,
    policy: RetryPolicy,
}

impl<S: Clone + Send + Sync + 'static> WorkerBuilder<S> {
    /// How many events are handled at once, unless [configured](Self::concurrency): 16.
    pub const DEFAULT_CONCURRENCY: usize = 16;

    /// How long a handler may take, unless [configured](Self::timeout): 5 minutes.
    pub const DEFAULT_TIMEOUT: Duration = Duration::from_secs(5 * 60);

    pub(super) fn new(inbox: Arc<Inner>, state: S) -> Self {
        Self {
            inbox,
            state,
            routes: Routes::default(),
            wrong_type: None,
            concurrency: Self::DEFAULT_CONCURRENCY,
            timeout: Self::DEFAULT_TIMEOUT,
            policy: RetryPolicy::default(),
        }
    }

    /// Calls `handler` for the events that `pattern` matches.
    pub fn on<Args, H: Handler<S, Args>>(mut self, pattern: &str, handler: H) -> Self {
        if self.wrong_type.is_none()
            && let Ok(parsed) = pattern.parse::<EventPattern>()
            && let Some(name) = parsed.event_of_its_object()
            && let Err(error) = H::check_object(&name)
        {
            self.wrong_type = Some(StartError::WrongType { pattern: pattern.into(), error });
        }
        self.routes.on(pattern, boxed(handler));
        self
    }

    /// Calls `handler` for the events that no pattern matches. Without a fallback they are
    /// completed, and the first of each name is logged.
    pub fn fallback<Args, H: Handler<S, Args>>(mut self, handler: H) -> Self {
        self.routes.fallback(boxed(handler));
        self
    }

    /// How many events are handled at once, at least 1. Default: [`Self::DEFAULT_CONCURRENCY`].
    pub const fn concurrency(mut self, events: usize) -> Self {
        self.concurrency = events;
        self
    }

    /// How long a handler may take. Then it is dropped, and that was an attempt that failed.
    /// Default: [`Self::DEFAULT_TIMEOUT`].
    pub const fn timeout(mut self, time: Duration) -> Self {
        self.timeout = time;
        self
    }

    /// How often, and when, an event is tried again. Default: [`RetryPolicy::default`].
    pub const fn retry(mut self, policy: RetryPolicy) -> Self {
        self.policy = policy;
        self
    }

    /// Starts the worker on the current tokio runtime.
    ///
    /// # Errors
    ///
    /// [`StartError`]: a pattern is malformed or given twice; a handler's type is of another object
    /// than its pattern; there is no runtime; the inbox has a worker in this process.
    pub fn start(self) -> Result<Worker, StartError> {
        let Self { inbox, state, routes, wrong_type, concurrency, timeout, policy } = self;
        let routes = routes.build().map_err(StartError::Pattern)?;
        if let Some(wrong_type) = wrong_type {
            return Err(wrong_type);
        }
        let runtime = Handle::try_current().map_err(|_| StartError::NoRuntime)?;
        if inbox.has_worker.swap(true, Ordering::AcqRel) {
            return Err(StartError::HasWorker);
        }
        // No more than can be acquired at once, for an event that runs alone.
        let slots = concurrency.clamp(1, Semaphore::MAX_PERMITS.min(u32::MAX as usize));
        let shared = Arc::new(Shared::new(inbox, state, routes, policy, timeout, slots));
        let direct: Weak<Shared<S>> = Arc::downgrade(&shared);
        shared.inbox.direct.set_worker(Some(direct as Weak<dyn DirectHandler>));
        let (order, orders) = watch::channel(Order::Run);
        let cancelled = Arc::default();
        let supervisor = runtime.spawn(Supervisor::new(shared, orders, Arc::clone(&cancelled)).run());
        Ok(Worker { order, supervisor: Some(supervisor), cancelled })
    }
}

impl<S> fmt::Debug for WorkerBuilder<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WorkerBuilder")
            .field("routes", &self.routes)
            .field("concurrency", &self.concurrency)
            .field("timeout", &self.timeout)
            .field("policy", &self.policy)
            .finish_non_exhaustive()
    }
}

/// A running worker. Dropping it stops it at once: [shut it down](Self::shutdown) instead.
#[derive(Debug)]
#[must_use = "dropping the worker stops it"]
pub struct Worker {
    order: watch::Sender<Order>,
    supervisor: Option<JoinHandle<()>>,
    /// How many handlers were cancelled.
    cancelled: Arc<AtomicUsize>,
}

/// How a worker's shutdown went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Shutdown {
    /// How many handlers were still running at the limit, and were cancelled. Their events are
    /// handled again, and the cancelled attempts do not count.
    pub cancelled: usize,
}

impl Worker {
    /// How long the worker has, beyond the limit, to give back what it took.
    const TO_GIVE_BACK: Duration = Duration::from_secs(5);

    /// Takes no more events, waits for the handlers that run, and cancels those that run longer
    /// than `limit`. What was not handled stays in the inbox.
    ///
    /// Call it after the HTTP server has ended, so that deliveries that cannot be stored are still
    /// handled. But call it first where connections wait for the next process in a socket that
    /// systemd holds: they wait for 5 seconds, and handlers may take longer.
    pub async fn shutdown(mut self, limit: Duration) -> Shutdown {
        let Some(mut supervisor) = self.supervisor.take() else { return Shutdown { cancelled: 0 } };
        self.order.send_replace(Order::Drain);
        if timeout(limit, &mut supervisor).await.is_err() {
            self.order.send_replace(Order::Abort);
            // One that blocks its thread does not end.
            _ = timeout(Self::TO_GIVE_BACK, supervisor).await;
        }
        Shutdown { cancelled: self.cancelled.load(Ordering::Acquire) }
    }
}

/// Why a worker cannot start.
#[derive(Debug)]
#[non_exhaustive]
pub enum StartError {
    /// A pattern is malformed, can never match, or was given twice.
    Pattern(PatternError),
    /// The handler of a pattern takes events of another object.
    #[non_exhaustive]
    WrongType {
        /// The pattern.
        pattern: Box<str>,
        /// What its events would be refused with.
        error: EventError,
    },
    /// It was not started from within a tokio runtime.
    NoRuntime,
    /// The inbox has a worker in this process, which has not ended yet.
    HasWorker,
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Pattern(_) => f.write_str("an event pattern of the worker is invalid"),
            Self::WrongType { pattern, .. } => {
                write!(f, "the handler of `{}` takes events of another object", pattern.escape_debug())
            }
            Self::NoRuntime => f.write_str("no tokio runtime: start the worker within one"),
            Self::HasWorker => f.write_str("the inbox already has a worker: add all handlers to that worker"),
        }
    }
}

impl Error for StartError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Pattern(error) => Some(error),
            Self::WrongType { error, .. } => Some(error),
            Self::NoRuntime | Self::HasWorker => None,
        }
    }
}
