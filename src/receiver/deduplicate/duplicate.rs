use crate::receiver::RefusalKind;

/// Why a delivery is not handled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::receiver) enum Duplicate {
    /// The delivery was handled.
    Handled,
    /// The delivery is being handled, and another duplicate already waits.
    Running,
    /// The delivery arrived at another route first, and that route's handler failed.
    OtherRoute,
    /// The store failed, and `StoreFailure::Reject` is set.
    Unknown,
}

impl Duplicate {
    /// Returns the refusal, or `None` if the answer is a success.
    pub(in crate::receiver) const fn refusal(self) -> Option<RefusalKind> {
        match self {
            Self::Handled => None,
            Self::Running => Some(RefusalKind::BeingHandled),
            Self::OtherRoute => Some(RefusalKind::OtherRoute),
            Self::Unknown => Some(RefusalKind::StoreFailed),
        }
    }
}
