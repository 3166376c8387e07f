use crate::receiver::RefusalKind;

/// Why a delivery need not, or cannot, be handled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::receiver) enum Duplicate {
    /// It was handled.
    Handled,
    /// It is being handled, and another copy waits already.
    Running,
    /// It came to another route first, whose handler failed.
    OtherRoute,
    /// The store failed, and unknown is not good enough.
    Unknown,
}

impl Duplicate {
    /// The refusal; `None` where the answer is that all is well.
    pub(in crate::receiver) const fn refusal(self) -> Option<RefusalKind> {
        match self {
            Self::Handled => None,
            Self::Running => Some(RefusalKind::BeingHandled),
            Self::OtherRoute => Some(RefusalKind::OtherRoute),
            Self::Unknown => Some(RefusalKind::StoreFailed),
        }
    }
}
