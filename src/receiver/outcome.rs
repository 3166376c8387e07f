use std::time::Duration;

use super::RefusalKind;
use crate::verify::Verified;

/// What became of a verified delivery, as reported to
/// [`Receiver::on_outcome`](super::Receiver::on_outcome).
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Outcome {
    /// What became of it.
    pub kind: OutcomeKind,
    /// Whether the sender was answered 202 before.
    pub acknowledged: bool,
    /// From verification to the end, including the wait for a duplicate that was being handled.
    pub duration: Duration,
    /// The delivery.
    pub verified: Verified,
}

/// What became of a verified delivery.
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
    /// No pattern of the event router matched, and it has no fallback: no handler ran, and the
    /// sender was answered 200.
    Unmatched,
    /// It is in the [inbox](crate::inbox), whose worker handles it.
    Stored,
    /// A copy was handled before, or is in the inbox, so this one was not handled.
    Duplicate,
    /// It was refused after it was verified, because a copy [is being
    /// handled](RefusalKind::BeingHandled) or came to [another route](RefusalKind::OtherRoute)
    /// first, the store [failed](RefusalKind::StoreFailed), the background [is
    /// full](RefusalKind::BackgroundFull) or the receiver [is draining](RefusalKind::Draining).
    Refused(RefusalKind),
}

/// In the extensions of a successful response: what became of the delivery, when no handler ran.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Became(pub(crate) OutcomeKind);

impl OutcomeKind {
    /// Of a delivery that was answered with this status.
    pub(crate) fn of_answer(status: u16, became: Option<&Became>) -> Self {
        match status {
            200..=299 => became.map_or(Self::Handled, |became| became.0),
            _ => Self::Failed { status },
        }
    }

    /// Why the delivery was not handled, in few words: a status, or what became of it.
    #[cfg(feature = "tracing")]
    pub(super) fn error(self) -> Option<std::borrow::Cow<'static, str>> {
        match self {
            Self::Failed { status } => Some(status.to_string().into()),
            Self::Aborted => Some(self.label().into()),
            Self::Refused(kind) => Some(kind.label().into()),
            Self::Handled | Self::Unmatched | Self::Stored | Self::Duplicate => None,
        }
    }

    /// All short names.
    #[cfg(feature = "metrics")]
    pub(super) const LABELS: [&str; 7] =
        ["handled", "failed", "aborted", "unmatched", "stored", "duplicate", "refused"];

    /// A short name, for logs and metrics.
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
