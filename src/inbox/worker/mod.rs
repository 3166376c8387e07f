//! The worker, which handles the events in an inbox.

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

/// Builds a [`Worker`].
///
/// Handlers are async functions or closures of `(state, WebhookEvent<T>, Attempt)`,
/// `(state, WebhookEvent<T>)` or `(WebhookEvent<T>)`. They return `()` or `Result<(), E>`, where
/// `E` is any error type or [`HandlerError`]. The most specific pattern wins, regardless of the
/// order in which you add them; see [`EventPattern`].
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
    /// The default [concurrency](Self::concurrency): 16 events.
    pub const DEFAULT_CONCURRENCY: usize = 16;

    /// The default [timeout](Self::timeout) of a handler: 5 minutes.
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

    /// Calls `handler` for unmatched events. Without a fallback they are completed, and the first
    /// event of each name is logged.
    pub fn fallback<Args, H: Handler<S, Args>>(mut self, handler: H) -> Self {
        self.routes.fallback(boxed(handler));
        self
    }

    /// Sets how many events are handled concurrently, at least 1. Default:
    /// [`Self::DEFAULT_CONCURRENCY`].
    pub const fn concurrency(mut self, events: usize) -> Self {
        self.concurrency = events;
        self
    }

    /// Sets how long a handler may take. After that it is dropped, and the attempt has failed.
    /// Default: [`Self::DEFAULT_TIMEOUT`].
    pub const fn timeout(mut self, time: Duration) -> Self {
        self.timeout = time;
        self
    }

    /// Sets how often and when an event is retried. Default: [`RetryPolicy::default`].
    pub const fn retry(mut self, policy: RetryPolicy) -> Self {
        self.policy = policy;
        self
    }

    /// Starts the worker on the current tokio runtime.
    ///
    /// # Errors
    ///
    /// [`StartError`] if a pattern is malformed or was added twice, if a handler's type is of
    /// another object than its pattern, if there is no runtime, or if the inbox already has a
    /// worker in this process.
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
        // An event that runs alone acquires all slots in one call, which limits the number of
        // slots.
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

/// A running worker. Dropping it stops it immediately; [shut it down](Self::shutdown) instead.
#[derive(Debug)]
#[must_use = "dropping the worker stops it"]
pub struct Worker {
    order: watch::Sender<Order>,
    supervisor: Option<JoinHandle<()>>,
    /// The number of cancelled handlers.
    cancelled: Arc<AtomicUsize>,
}

/// The result of [`Worker::shutdown`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Shutdown {
    /// How many handlers were still running when the time limit passed, and were cancelled. Their
    /// events are handled again, and the cancelled attempts do not count.
    pub cancelled: usize,
}

impl Worker {
    /// How long the worker may take after the limit to release its events.
    const TO_GIVE_BACK: Duration = Duration::from_secs(5);

    /// Takes no more events, waits for running handlers, and cancels those that run longer than
    /// `limit`. Unfinished events stay in the inbox.
    ///
    /// Call it after the HTTP server has stopped, because until then a worker must be able to
    /// handle deliveries that cannot be stored. If systemd holds the listening socket, call it
    /// before you stop the server: connections that wait in the socket for the next process are
    /// lost after 5 seconds, and handlers may take longer.
    pub async fn shutdown(mut self, limit: Duration) -> Shutdown {
        let Some(mut supervisor) = self.supervisor.take() else { return Shutdown { cancelled: 0 } };
        self.order.send_replace(Order::Drain);
        if timeout(limit, &mut supervisor).await.is_err() {
            self.order.send_replace(Order::Abort);
            // A handler that blocks its thread does not end.
            _ = timeout(Self::TO_GIVE_BACK, supervisor).await;
        }
        Shutdown { cancelled: self.cancelled.load(Ordering::Acquire) }
    }
}

/// Why a worker cannot start.
#[derive(Debug)]
#[non_exhaustive]
pub enum StartError {
    /// A pattern is malformed, can never match, or was added twice.
    Pattern(PatternError),
    /// The handler of a pattern accepts events of another object.
    #[non_exhaustive]
    WrongType {
        /// The pattern.
        pattern: Box<str>,
        /// The error with which its events would be rejected.
        error: EventError,
    },
    /// There is no current tokio runtime.
    NoRuntime,
    /// The inbox already has a worker in this process, which has not ended yet.
    HasWorker,
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Pattern(_) => f.write_str("an event pattern of the worker is invalid"),
            Self::WrongType { pattern, .. } => {
                write!(f, "the handler of `{}` accepts events of another object", pattern.escape_debug())
            }
            Self::NoRuntime => f.write_str("no tokio runtime: start the worker inside a runtime"),
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
