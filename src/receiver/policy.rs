use std::{fmt, sync::Arc, time::Duration};

use super::{
    Refusal, RefusalKind, RefusalResponse,
    budget::{Budget, Share},
    intake::Intake,
};
use crate::{
    event::{Heading, field::Id},
    verify::{Verified, Verifier, VerifyErrorKind},
};

/// How deliveries are received: what the middleware of every framework runs.
///
/// Cheap to clone; clones share the budget. In actix-web, make it outside of the closure that makes the `App`s, and clone it
/// into each.
///
/// ```
/// use std::time::Duration;
/// use twenty_webhook::{receiver::Receiver, verify::Verifier};
///
/// let receiver = Receiver::new(Verifier::new("secret")?)
///     .expect_workspace("3b8e6458-5fc1-4e63-8563-008ccddaa6db")
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
    verifier: Verifier,
    workspaces: Vec<Id>,
    webhooks: Vec<Id>,
    body_deadline: Duration,
    budget: Arc<Budget>,
    respond: Arc<dyn Fn(&Refusal) -> RefusalResponse + Send + Sync>,
    #[cfg(feature = "tracing")]
    warnings: Arc<super::throttle::Throttle>,
}

impl Receiver {
    /// How long a body may take, unless [configured](Self::body_deadline): 5 seconds, after which Twenty gives up anyway.
    pub const DEFAULT_BODY_DEADLINE: Duration = Duration::from_secs(5);

    /// How many unverified bytes may be held at once, unless [configured](Self::unverified_budget): 64 MiB.
    pub const DEFAULT_UNVERIFIED_BUDGET: usize = 64 << 20;

    /// Takes what this verifier verifies.
    pub fn new(verifier: Verifier) -> Self {
        let policy = Policy {
            verifier,
            workspaces: Vec::new(),
            webhooks: Vec::new(),
            body_deadline: Self::DEFAULT_BODY_DEADLINE,
            budget: Budget::new(Self::DEFAULT_UNVERIFIED_BUDGET),
            respond: Arc::new(|refusal| RefusalResponse::new(refusal.status())),
            #[cfg(feature = "tracing")]
            warnings: Arc::new(super::throttle::Throttle::new()),
        };
        Self { policy: Arc::new(policy) }
    }

    /// Takes deliveries of this workspace only. Call it again for one more.
    ///
    /// For a secret that several workspaces share. Authentic deliveries of others, and such that name no workspace, are refused
    /// with 401.
    pub fn expect_workspace(mut self, id: impl Into<Id>) -> Self {
        self.policy_mut().workspaces.push(id.into());
        self
    }

    /// Takes deliveries of this webhook only. Call it again for one more.
    ///
    /// For a secret that several webhooks share. Authentic deliveries of others, and such that name no webhook, are refused
    /// with 401.
    pub fn expect_webhook(mut self, id: impl Into<Id>) -> Self {
        self.policy_mut().webhooks.push(id.into());
        self
    }

    /// How long a body may take from the first time it is waited for. Default: [`Self::DEFAULT_BODY_DEADLINE`]. Then 408.
    pub fn body_deadline(mut self, deadline: Duration) -> Self {
        self.policy_mut().body_deadline = deadline;
        self
    }

    /// How many unverified bytes all requests together may hold. Default: [`Self::DEFAULT_UNVERIFIED_BUDGET`]. Beyond it 503.
    ///
    /// It bounds the memory that strangers can fill: without it, each connection could hold a body as long as the limit.
    pub fn unverified_budget(mut self, bytes: usize) -> Self {
        self.policy_mut().budget = Budget::new(bytes);
        self
    }

    /// What to answer to refused requests, instead of a bare status.
    pub fn respond_with(mut self, respond: impl Fn(&Refusal) -> RefusalResponse + Send + Sync + 'static) -> Self {
        self.policy_mut().respond = Arc::new(respond);
        self
    }

    fn policy_mut(&mut self) -> &mut Policy {
        Arc::make_mut(&mut self.policy)
    }

    /// The cheap refusals, in order of cost: header presence and shape, age, content encoding, declared length. Then the hash is
    /// begun.
    ///
    /// `at_least`: how long the body will be at least, as far as the framework knows beyond the headers.
    pub(super) fn begin<N, V, H>(&self, headers: H, at_least: u64) -> Result<Intake, Refusal>
    where
        N: AsRef<[u8]>,
        V: AsRef<[u8]>,
        H: IntoIterator<Item = (N, V)> + Clone,
    {
        let Policy { verifier, budget, .. } = &*self.policy;
        let signature = verifier.headers(headers.clone())?;
        verifier.check_age(&signature)?;
        let mut declared = at_least;
        for (name, value) in headers {
            let (name, value) = (name.as_ref(), value.as_ref());
            if name.eq_ignore_ascii_case(b"content-encoding") && !is_plain(value) {
                return Err(RefusalKind::ContentEncoding.into());
            }
            if name.eq_ignore_ascii_case(b"content-length") {
                declared = declared.max(parse_length(value));
            }
        }
        if usize::try_from(declared).map_or(true, |declared| declared > verifier.body_limit()) {
            return Err(VerifyErrorKind::BodyTooLong.into());
        }
        let verification = verifier.start(signature)?;
        Ok(Intake::new(self.clone(), verification, Share::none_of(Arc::clone(budget))))
    }

    /// Whether an authentic delivery is one that was expected.
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

    /// What to answer to a refused request. Says so in the log.
    pub(crate) fn respond(&self, refusal: &Refusal) -> RefusalResponse {
        #[cfg(feature = "tracing")]
        match refusal.kind() {
            // An event is lost, and only a higher limit helps. But strangers can cause it too, so not each time.
            RefusalKind::Verify(VerifyErrorKind::BodyTooLong) if self.policy.warnings.lets_through() => {
                tracing::warn!(limit = self.policy.verifier.body_limit(), "refused a delivery: {refusal}");
            }
            // Strangers cause these at will.
            _ => tracing::debug!(status = refusal.status(), "refused a delivery: {refusal}"),
        }
        (self.policy.respond)(refusal)
    }

    pub(super) fn deadline(&self) -> Duration {
        self.policy.body_deadline
    }
}

/// A list of codings may have empty members (RFC 9110, 5.6.1), which mean nothing.
fn is_plain(codings: &[u8]) -> bool {
    let mut codings = codings.split(|byte| *byte == b',').map(<[u8]>::trim_ascii);
    codings.all(|coding| coding.is_empty() || coding.eq_ignore_ascii_case(b"identity"))
}

/// What no number is, the body itself will tell.
fn parse_length(value: &[u8]) -> u64 {
    std::str::from_utf8(value).ok().and_then(|text| text.trim().parse().ok()).unwrap_or(0)
}

impl From<Verifier> for Receiver {
    fn from(verifier: Verifier) -> Self {
        Self::new(verifier)
    }
}

impl fmt::Debug for Receiver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Policy { verifier, workspaces, webhooks, body_deadline, budget, .. } = &*self.policy;
        f.debug_struct("Receiver")
            .field("verifier", verifier)
            .field("workspaces", workspaces)
            .field("webhooks", webhooks)
            .field("body_deadline", body_deadline)
            .field("budget", budget)
            .finish_non_exhaustive()
    }
}
