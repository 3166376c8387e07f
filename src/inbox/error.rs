use std::{error::Error, fmt, sync::Arc};

/// The error of an inbox.
///
/// Its text never contains stored data. The cause, if there is one, is its
/// [`source`](Error::source).
#[derive(Clone)]
pub struct InboxError(Arc<Inner>);

struct Inner {
    kind: InboxErrorKind,
    message: Box<str>,
    source: Option<Box<dyn Error + Send + Sync>>,
}

/// The kind of an [`InboxError`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum InboxErrorKind {
    /// A setting or an argument is invalid. Retrying does not help.
    Settings,
    /// Another process has the file open and did not close it in time.
    Locked,
    /// A newer version of this crate wrote the store. Use that version or a later one.
    NewerVersion,
    /// The store is damaged, or is not an inbox.
    Damaged,
    /// The store cannot be reached, read or written: no space, no permission, no connection. The
    /// operation may have happened.
    Unavailable,
    /// The inbox has reached its limit of events or bytes. Nothing changed.
    Full,
    /// The store did not answer in time. The operation may have happened, or may still happen.
    Timeout,
}

impl InboxError {
    pub(crate) fn new(kind: InboxErrorKind, message: impl Into<Box<str>>) -> Self {
        Self(Arc::new(Inner { kind, message: message.into(), source: None }))
    }

    pub(crate) fn because(
        kind: InboxErrorKind,
        message: impl Into<Box<str>>,
        source: impl Into<Box<dyn Error + Send + Sync>>,
    ) -> Self {
        Self(Arc::new(Inner { kind, message: message.into(), source: Some(source.into()) }))
    }

    /// Returns the kind.
    #[must_use]
    pub fn kind(&self) -> InboxErrorKind {
        self.0.kind
    }

    /// Returns whether a retry may succeed.
    pub(crate) fn is_transient(&self) -> bool {
        matches!(self.kind(), InboxErrorKind::Unavailable | InboxErrorKind::Timeout | InboxErrorKind::Full)
    }
}

impl InboxErrorKind {
    #[cfg(feature = "metrics")]
    pub(crate) const ALL: [Self; 7] =
        [Self::Settings, Self::Locked, Self::NewerVersion, Self::Damaged, Self::Unavailable, Self::Full, Self::Timeout];

    /// Returns the name in metrics.
    #[cfg(feature = "metrics")]
    pub(crate) const fn label(self) -> &'static str {
        match self {
            Self::Settings => "settings",
            Self::Locked => "locked",
            Self::NewerVersion => "newer_version",
            Self::Damaged => "damaged",
            Self::Unavailable => "unavailable",
            Self::Full => "full",
            Self::Timeout => "timeout",
        }
    }
}

impl fmt::Debug for InboxError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Inner { kind, message, source } = &*self.0;
        let mut debug = f.debug_struct("InboxError");
        debug.field("kind", kind).field("message", message);
        if let Some(source) = source {
            debug.field("source", source);
        }
        debug.finish()
    }
}

impl fmt::Display for InboxError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.message)
    }
}

impl Error for InboxError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.0.source.as_deref().map(|source| source as _)
    }
}
