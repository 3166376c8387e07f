use std::{
    fmt,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use uuid::Uuid;

use super::{
    Deduplicate, Outcome, Refusal, RefusalKind, RefusalResponse,
    background::Acknowledge,
    budget::{Budget, Share},
    deduplicate::Deduplication,
    telemetry,
    tenants::{Resolver, Resolving, TenantRequest},
    warnings::Warnings,
};
use crate::{
    event::{Heading, field::Id},
    verify::{ConfigError, Verified, Verifier},
};

/// Verifies deliveries, and optionally deduplicates and acknowledges them. The middleware of every
/// framework runs one.
///
/// A clone is cheap and shares the store, the background handlers and the budget with the original,
/// so keep one for [`drain`](Self::drain). In actix-web, build the receiver outside the closure
/// that creates the `App`s, and clone it into each. Call all setters before you clone: a setter
/// that you call on a clone makes it a different receiver. If the setter changes the background
/// limit or the budget, this receiver has its own background handlers or its own budget.
///
/// ```
/// use std::time::Duration;
/// use twenty_webhook::{receiver::Receiver, verify::Verifier};
///
/// let receiver = Receiver::new(Verifier::new("secret")?)
///     .expect_workspace("3b8e6458-5fc1-4e63-8563-008ccddaa6db")?
///     .body_deadline(Duration::from_secs(3));
/// # let _ = receiver;
/// # Ok::<(), twenty_webhook::verify::ConfigError>(())
/// ```
#[derive(Clone)]
#[must_use]
pub struct Receiver {
    policy: Arc<Policy>,
}

#[derive(Clone)]
struct Policy {
    /// Differs between receivers with different settings.
    id: u64,
    verifier: Verifier,
    workspaces: Vec<Id>,
    webhooks: Vec<Id>,
    body_deadline: Duration,
    budget: Arc<Budget>,
    respond: Arc<Respond>,
    warnings: Arc<Warnings>,
    deduplicate: Option<Arc<Deduplication>>,
    acknowledge: Option<Acknowledge>,
    background_limit: usize,
    on_outcome: Option<Arc<OnOutcome>>,
    resolver: Option<Resolver>,
}

type Respond = dyn Fn(&Refusal) -> RefusalResponse + Send + Sync;
type OnOutcome = dyn Fn(&Outcome) + Send + Sync;

impl Receiver {
    /// The default [body deadline](Self::body_deadline): 5 seconds, after which Twenty times out.
    pub const DEFAULT_BODY_DEADLINE: Duration = Duration::from_secs(5);

    /// The default [budget for unverified bytes](Self::unverified_budget): 64 MiB, or four times
    /// the verifier's [`body_limit`](crate::verify::VerifierBuilder::body_limit) if that is more.
    pub const DEFAULT_UNVERIFIED_BUDGET: usize = 64 << 20;

    /// The default [limit for background handlers](Self::background_limit): 1,000.
    pub const DEFAULT_BACKGROUND_LIMIT: usize = 1_000;

    /// Creates a receiver that accepts the deliveries that this verifier verifies.
    pub fn new(verifier: Verifier) -> Self {
        telemetry::describe();
        let budget = Budget::new(Self::default_budget(verifier.body_limit()), verifier.body_limit());
        let policy = Policy {
            id: new_id(),
            verifier,
            workspaces: Vec::new(),
            webhooks: Vec::new(),
            body_deadline: Self::DEFAULT_BODY_DEADLINE,
            budget,
            respond: Arc::new(|refusal| RefusalResponse::new(refusal.status())),
            warnings: Arc::new(Warnings::new()),
            deduplicate: None,
            acknowledge: None,
            background_limit: Self::DEFAULT_BACKGROUND_LIMIT,
            on_outcome: None,
            resolver: None,
        };
        Self { policy: Arc::new(policy) }
    }

    /// Handles each delivery once, even if Twenty or an attacker sends it again.
    ///
    /// `deduplicate` is a [`ClaimStore`](crate::deduplicate::ClaimStore), or a [`Deduplicate`] if
    /// you need other settings than the defaults. A
    /// [`MemoryStore`](crate::deduplicate::MemoryStore) serves one process, a `RedisStore` serves
    /// several.
    ///
    /// The receiver claims a delivery before its handler runs. The handler's result decides what
    /// happens to duplicates:
    ///
    /// - After a response with a 2xx status, duplicates are answered with 200 and not handled
    ///   again, for a day.
    /// - After another status, an error, a panic or a cancellation, the next duplicate is handled.
    /// - While the handler runs, a duplicate waits for the result, because Twenty may never send
    ///   another one. A second duplicate that arrives meanwhile is answered with 409.
    ///
    /// # Routes
    ///
    /// The path is not signed, so an attacker can send a captured delivery to another route behind
    /// the same middleware. A route is a method and a path. The delivery belongs to the route that
    /// got it first:
    ///
    /// - If the handler of the first route succeeded, no other route handles the delivery.
    /// - If the handler of the first route failed, only this route may handle the delivery again.
    ///   Another route neither handles nor completes it, and the duplicate is answered with 409,
    ///   for as long as duplicates verify.
    /// - A route that answers 404 or 405 has not handled the delivery, so another route may handle
    ///   it.
    ///
    /// Each receiver tracks routes separately. Receivers that share a store agree on handled and
    /// running deliveries, but not on the routes at which deliveries failed.
    pub fn deduplicate(mut self, deduplicate: impl Into<Deduplicate>) -> Self {
        self.policy_mut().deduplicate = Some(Arc::new(Deduplication::new(deduplicate.into())));
        self
    }

    /// Answers 202 after this time and lets the handler finish in the background. Twenty waits for
    /// each response before it sends the next change, and times out after 5 seconds. So choose a
    /// short time, such as 250 milliseconds.
    ///
    /// The time counts from the request's arrival. If the client disconnects, the handler
    /// continues. At most [`background_limit`](Self::background_limit) handlers run concurrently.
    /// After a 202, the response no longer shows the outcome: [`on_outcome`](Self::on_outcome), the
    /// log and the metrics report it. Call [`drain`](Self::drain) before the program exits, because
    /// accepted events are in memory only.
    ///
    /// Each handler runs on its own task: on the tokio runtime with tower and axum, on the worker
    /// with actix-web.
    pub fn acknowledge_within(mut self, within: Duration) -> Self {
        let policy = self.policy_mut();
        policy.acknowledge = Some(Acknowledge::new(within, policy.background_limit));
        self
    }

    /// Sets how many handlers may run concurrently under
    /// [`acknowledge_within`](Self::acknowledge_within). Further deliveries are answered with 503.
    /// Default: [`Self::DEFAULT_BACKGROUND_LIMIT`].
    ///
    /// Deliveries that wait for a shared claim store, or for the handler of a duplicate, do not
    /// count towards this limit. They have their own limits:
    ///
    /// - At most 10,000 deliveries wait. Further deliveries are answered with 503.
    /// - At most 100 of them are duplicates of deliveries that are in flight, or that this process
    ///   knows to have been handled. Further duplicates are answered with 409.
    ///
    /// A delivery that was answered 202 while it waited is handled even if this limit has been
    /// reached meanwhile, unless a duplicate that already waits takes its place.
    pub fn background_limit(mut self, handlers: usize) -> Self {
        let policy = self.policy_mut();
        policy.background_limit = handlers;
        policy.acknowledge =
            policy.acknowledge.take().map(|acknowledge| Acknowledge::new(acknowledge.within, handlers));
        self
    }

    /// Calls this function once with the outcome of each verified delivery, even after a 202.
    ///
    /// The function runs where the handler ran, so it must be quick and must not block. A panic in
    /// it is caught. It is not called for deliveries of another [workspace](Self::expect_workspace)
    /// or [webhook](Self::expect_webhook) than expected, which are rejected like unverified ones.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use twenty_webhook::{Receiver, Verifier};
    /// use twenty_webhook::receiver::OutcomeKind;
    ///
    /// let receiver = Receiver::new(Verifier::new("secret")?)
    ///     .acknowledge_within(Duration::from_millis(250))
    ///     .on_outcome(|outcome| match outcome.kind {
    ///         OutcomeKind::Handled | OutcomeKind::Duplicate => {}
    ///         kind => eprintln!("{kind:?} after {:?}, acknowledged: {}", outcome.duration, outcome.acknowledged),
    ///     });
    /// # let _ = receiver;
    /// # Ok::<(), twenty_webhook::verify::ConfigError>(())
    /// ```
    pub fn on_outcome(mut self, on_outcome: impl Fn(&Outcome) + Send + Sync + 'static) -> Self {
        self.policy_mut().on_outcome = Some(Arc::new(on_outcome));
        self
    }

    /// Accepts deliveries of this workspace only. Call it again to add another one.
    ///
    /// Use it if several workspaces share a secret. Verified deliveries of other workspaces, or
    /// without a workspace id, are rejected with 401.
    ///
    /// # Errors
    ///
    /// [`ConfigError::BlankId`] if the id is blank, because no delivery could have it. Perhaps an
    /// environment variable is not set.
    pub fn expect_workspace(mut self, id: impl Into<Id>) -> Result<Self, ConfigError> {
        self.policy_mut().workspaces.push(expected(&id.into())?);
        Ok(self)
    }

    /// Accepts deliveries of this webhook only. Call it again to add another one.
    ///
    /// Use it if several webhooks share a secret. Verified deliveries of other webhooks, or without
    /// a webhook id, are rejected with 401.
    ///
    /// # Errors
    ///
    /// [`ConfigError::BlankId`] if the id is blank, because no delivery could have it. Perhaps an
    /// environment variable is not set.
    pub fn expect_webhook(mut self, id: impl Into<Id>) -> Result<Self, ConfigError> {
        self.policy_mut().webhooks.push(expected(&id.into())?);
        Ok(self)
    }

    /// Sets how long a body may take to arrive, from the moment when the middleware first waits for
    /// it. After this time the request is rejected with 408. Default:
    /// [`Self::DEFAULT_BODY_DEADLINE`].
    pub fn body_deadline(mut self, deadline: Duration) -> Self {
        self.policy_mut().body_deadline = deadline;
        self
    }

    /// Sets how many unverified bytes all requests together may hold. Beyond it, requests are
    /// rejected with 503. Default: [`Self::DEFAULT_UNVERIFIED_BUDGET`].
    ///
    /// The budget bounds the memory that unauthenticated clients can fill; without it, each
    /// connection could hold a body as long as the limit. It counts the bytes of bodies, whose
    /// buffers can take up to twice as much. Half of it is reserved for bodies of up to 16 KiB, as
    /// nearly all of Twenty's are, so that a few clients with long bodies cannot keep them out.
    ///
    /// Make it at least twice the verifier's
    /// [`body_limit`](crate::verify::VerifierBuilder::body_limit). With a smaller budget, the part
    /// that is reserved for short bodies shrinks, so that a single body as long as the limit still
    /// fits. No body can be longer than the budget: with a budget below the limit, longer bodies
    /// are always answered with 503.
    pub fn unverified_budget(mut self, bytes: usize) -> Self {
        let body_limit = self.verifier().body_limit();
        self.policy_mut().budget = Budget::new(bytes, body_limit);
        self
    }

    /// Sets the response to requests that the middleware rejects, instead of a bare status.
    ///
    /// It is not used for rejections by an extractor, such as a 422 for an event of another object.
    /// To respond to these, take `Result<WebhookEvent<T>, WebhookRejection>` in the handler.
    pub fn respond_with(mut self, respond: impl Fn(&Refusal) -> RefusalResponse + Send + Sync + 'static) -> Self {
        self.policy_mut().respond = Arc::new(respond);
        self
    }

    fn policy_mut(&mut self) -> &mut Policy {
        let policy = Arc::make_mut(&mut self.policy);
        policy.id = new_id();
        policy
    }

    /// Returns the number of bytes for two bodies as long as the limit, in addition to the half
    /// that is reserved for short bodies.
    pub(super) const fn default_budget(body_limit: usize) -> usize {
        let for_long_ones = body_limit.saturating_mul(4);
        if for_long_ones > Self::DEFAULT_UNVERIFIED_BUDGET { for_long_ones } else { Self::DEFAULT_UNVERIFIED_BUDGET }
    }

    pub(super) fn id(&self) -> u64 {
        self.policy.id
    }

    /// Returns whether the receiver deduplicates or acknowledges.
    pub(super) fn is_managed(&self) -> bool {
        let Policy { deduplicate, acknowledge, .. } = &*self.policy;
        deduplicate.is_some() || acknowledge.is_some()
    }

    pub(super) fn with_resolver(mut self, resolver: Resolver) -> Self {
        self.policy_mut().resolver = Some(resolver);
        self
    }

    /// Starts to look up the tenant's keys, if there are tenants. `target` is path and query.
    pub(super) fn resolve<N, V, H>(&self, target: &str, headers: H) -> Option<Resolving>
    where
        N: AsRef<[u8]>,
        V: AsRef<[u8]>,
        H: IntoIterator<Item = (N, V)>,
    {
        self.policy.resolver.as_ref().map(|resolver| resolver.resolve(TenantRequest::new(target, headers)))
    }

    /// Returns an empty share of the budget.
    pub(super) fn share(&self) -> Share {
        Share::none_of(Arc::clone(&self.policy.budget))
    }

    /// Checks that a verified delivery is from an expected workspace and webhook.
    pub(super) fn check_expected(&self, verified: &Verified) -> Result<(), Refusal> {
        let Policy { workspaces, webhooks, .. } = &*self.policy;
        if workspaces.is_empty() && webhooks.is_empty() {
            return Ok(());
        }
        let heading = Heading::read(verified.body());
        let is_expected = |expected: &[Id], found: Option<Id>| {
            expected.is_empty() || found.is_some_and(|found| expected.contains(&found))
        };
        if !is_expected(workspaces, heading.workspace_id) {
            return Err(RefusalKind::OtherWorkspace.into());
        }
        if !is_expected(webhooks, heading.webhook_id) {
            return Err(RefusalKind::OtherWebhook.into());
        }
        Ok(())
    }

    /// Returns the response to a rejected request.
    pub(crate) fn respond(&self, refusal: &Refusal) -> RefusalResponse {
        (self.policy.respond)(refusal)
    }

    /// The throttles of warnings that unauthenticated clients can cause.
    pub(super) fn warnings(&self) -> &Warnings {
        &self.policy.warnings
    }

    /// Returns whether there is nothing to do besides verification.
    pub(crate) fn only_verifies(&self) -> bool {
        let Policy { deduplicate, acknowledge, .. } = &*self.policy;
        !self.has_observers() && deduplicate.is_none() && acknowledge.is_none()
    }

    /// Returns whether anything receives outcomes.
    pub(super) fn has_observers(&self) -> bool {
        cfg!(any(feature = "metrics", feature = "tracing")) || self.policy.on_outcome.is_some()
    }

    pub(crate) fn deduplicates(&self) -> bool {
        self.policy.deduplicate.is_some()
    }

    pub(super) fn deduplication(&self) -> Option<&Arc<Deduplication>> {
        self.policy.deduplicate.as_ref()
    }

    pub(super) fn acknowledge(&self) -> Option<&Acknowledge> {
        self.policy.acknowledge.as_ref()
    }

    pub(super) fn verifier(&self) -> &Verifier {
        &self.policy.verifier
    }

    pub(super) fn notify(&self, outcome: &Outcome) {
        if let Some(on_outcome) = &self.policy.on_outcome {
            // This runs on drop, possibly during a panic, and a second panic would abort the
            // process. The panic hook has already reported it.
            let _ = catch_unwind(AssertUnwindSafe(|| on_outcome(outcome)));
        }
    }

    pub(super) fn deadline(&self) -> Duration {
        self.policy.body_deadline
    }
}

/// Returns an id that no other receiver in this process has.
fn new_id() -> u64 {
    static COUNTER: AtomicU64 = AtomicU64::new(0);
    COUNTER.fetch_add(1, Ordering::Relaxed)
}

/// Returns the id as Twenty writes it: a UUID in lower case, with hyphens.
fn expected(id: &Id) -> Result<Id, ConfigError> {
    let text = id.to_string();
    if text.trim().is_empty() {
        return Err(ConfigError::BlankId);
    }
    Ok(Uuid::try_parse(&text).map_or_else(|_| id.clone(), Id::from))
}

impl From<Verifier> for Receiver {
    fn from(verifier: Verifier) -> Self {
        Self::new(verifier)
    }
}

impl fmt::Debug for Receiver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Policy {
            verifier, workspaces, webhooks, body_deadline, budget, deduplicate, acknowledge, resolver, ..
        } = &*self.policy;
        f.debug_struct("Receiver")
            .field("verifier", verifier)
            .field("workspaces", workspaces)
            .field("webhooks", webhooks)
            .field("body_deadline", body_deadline)
            .field("budget", budget)
            .field("deduplicate", deduplicate)
            .field("acknowledge", acknowledge)
            .field("resolver", resolver)
            .finish_non_exhaustive()
    }
}
