use std::time::Duration;

use super::RefusalKind;
use crate::verify::Verified;

/// The outcome of a verified delivery, as reported to
/// [`Receiver::on_outcome`](super::Receiver::on_outcome).
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Outcome {
    /// What happened to the delivery.
    pub kind: OutcomeKind,
    /// Whether the sender had already received a 202.
    pub acknowledged: bool,
    /// The time from verification to the end, including the wait for a duplicate that was being
    /// handled.
    pub duration: Duration,
    /// The delivery.
    pub verified: Verified,
}

/// What happened to a verified delivery.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum OutcomeKind {
    /// The handler succeeded: it answered with a 2xx status.
    Handled,
    /// The handler responded with this status, which is not 2xx. An error of the inner service
    /// counts as 500.
    Failed {
        /// The status.
        status: u16,
    },
    /// The handler panicked, or was cancelled because the client disconnected.
    Aborted,
    /// No pattern of the event router matched, and the router has no fallback. No handler ran, and
    /// the response was 200.
    Unmatched,
    /// The delivery is in the [inbox](crate::inbox), whose worker handles it.
    Stored,
    /// A duplicate was handled before, or is in the inbox, so this delivery was not handled.
    Duplicate,
    /// The delivery was rejected after verification, because a duplicate [is being
    /// handled](RefusalKind::BeingHandled) or arrived at [another route](RefusalKind::OtherRoute)
    /// first, the store [failed](RefusalKind::StoreFailed), too many handlers [run in the
    /// background](RefusalKind::BackgroundFull), or the receiver [is
    /// draining](RefusalKind::Draining).
    Refused(RefusalKind),
}

/// What happened to a delivery for which no handler ran. It is in the extensions of the successful
/// response.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Became(pub(crate) OutcomeKind);

impl OutcomeKind {
    /// Returns the outcome of a delivery that was answered with this status.
    pub(crate) fn of_answer(status: u16, became: Option<&Became>) -> Self {
        match status {
            200..=299 => became.map_or(Self::Handled, |became| became.0),
            _ => Self::Failed { status },
        }
    }

    /// Returns why the delivery was not handled: a status, or a short name.
    #[cfg(feature = "tracing")]
    pub(super) fn error(self) -> Option<std::borrow::Cow<'static, str>> {
        match self {
            Self::Failed { status } => Some(status.to_string().into()),
            Self::Aborted => Some(self.label().into()),
            Self::Refused(kind) => Some(kind.label().into()),
            Self::Handled | Self::Unmatched | Self::Stored | Self::Duplicate => None,
        }
    }

    /// The short names of all kinds.
    #[cfg(feature = "metrics")]
    pub(super) const LABELS: [&str; 7] =
        ["handled", "failed", "aborted", "unmatched", "stored", "duplicate", "refused"];

    /// Returns a short name, for logs and metrics.
    #[cfg(any(feature = "metrics", feature = "tracing"))]
    pub(super) const fn label(self) -> &'static str {
        match self {
            Self::Handled => "handled",
            Self::Failed { .. } => "failed",
            Self::Aborted => "aborted",
            Self::Unmatched => "unmatched",
            Self::Stored => "stored",
            Self::Duplicate => "duplicate",
            Self::Refused(_) => "refused",
        }
    }
}
