use std::{error::Error, fmt, sync::Arc};

/// Why the inbox could not do what it was asked to do.
///
/// The text never contains what is stored. What lies beneath, if anything, is its
/// [`source`](Error::source).
#[derive(Clone)]
pub struct InboxError(Arc<Inner>);

struct Inner {
    kind: InboxErrorKind,
    message: Box<str>,
    source: Option<Box<dyn Error + Send + Sync>>,
}

/// What went wrong, to decide by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum InboxErrorKind {
    /// A setting or an argument cannot be used. Trying again does not help.
    Settings,
    /// Another process has the file open, and did not close it in time.
    Locked,
    /// A newer version of this crate wrote the store. Use that version or a later one.
    NewerVersion,
    /// The store is damaged, or is not an inbox.
    Damaged,
    /// The store cannot be reached, read or written: no space, no permission, no connection. What
    /// was asked may have happened.
    Unavailable,
    /// As many events, or bytes, as the inbox may hold are in it. Nothing happened.
    Full,
    /// No answer in time. What was asked may have happened, or may still happen.
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

    /// What went wrong.
    #[must_use]
    pub fn kind(&self) -> InboxErrorKind {
        self.0.kind
    }

    /// Whether it may go well a moment later.
    pub(crate) fn is_transient(&self) -> bool {
        matches!(self.kind(), InboxErrorKind::Unavailable | InboxErrorKind::Timeout | InboxErrorKind::Full)
    }
}

impl InboxErrorKind {
    #[cfg(feature = "metrics")]
    pub(crate) const ALL: [Self; 7] =
        [Self::Settings, Self::Locked, Self::NewerVersion, Self::Damaged, Self::Unavailable, Self::Full, Self::Timeout];

    /// As a label of a metric.
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
