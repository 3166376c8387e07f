//! A handler's attempt, and its errors.

use std::{
    error::Error,
    fmt::{self, Write as _},
    time::Duration,
};

use super::super::EventId;
use crate::{clip::MESSAGE, verify::Timestamp};

type BoxError = Box<dyn Error + Send + Sync>;

/// An attempt to handle an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Attempt {
    /// The event's id. It is the same on each attempt, after a restart and after a redrive, so you
    /// can use it as an idempotency key.
    pub id: EventId,
    /// The number of this attempt, from 1. Attempts during which the process ended do not count.
    pub number: u32,
    /// Whether the event becomes a dead letter if this attempt fails.
    pub is_last: bool,
    /// When the event was accepted.
    pub received_at: Timestamp,
}

impl Attempt {
    pub(super) const fn new(id: EventId, number: u32, is_last: bool, received_at: Timestamp) -> Self {
        Self { id, number, is_last, received_at }
    }
}

/// Why a handler failed, and whether to retry.
///
/// `?` converts any error into a `HandlerError`, after which the worker retries. [`PermanentExt`]
/// creates a permanent error, after which the worker does not retry.
///
/// It does not implement [`Error`], because otherwise not every error could be converted into it.
///
/// ```
/// use std::{io, time::Duration};
/// use twenty_webhook::inbox::{HandlerError, PermanentExt};
///
/// fn ask() -> Result<(), io::Error> {
///     Err(io::Error::other("busy for a minute"))
/// }
///
/// fn transient() -> Result<(), HandlerError> {
///     Ok(ask()?)
/// }
/// fn permanent() -> Result<(), HandlerError> {
///     ask().permanent()
/// }
/// fn later() -> Result<(), HandlerError> {
///     ask().map_err(|error| HandlerError::retry_after(Duration::from_secs(60), error))
/// }
/// assert!(!transient().unwrap_err().is_permanent() && permanent().unwrap_err().is_permanent());
/// # assert!(!later().unwrap_err().is_permanent());
/// ```
pub struct HandlerError {
    pub(super) kind: Kind,
    source: BoxError,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Transient,
    RetryAfter(Duration),
    Permanent,
    /// The event does not fit the handler's type.
    Mismatch,
}

impl HandlerError {
    /// Creates an error after which a retry would fail, too. The event becomes a dead letter.
    pub fn permanent(error: impl Into<BoxError>) -> Self {
        Self::new(Kind::Permanent, error)
    }

    /// Creates an error after which the worker waits for this time before it retries. The longest
    /// pause of the [`RetryPolicy`](super::RetryPolicy) limits this time.
    pub fn retry_after(time: Duration, error: impl Into<BoxError>) -> Self {
        Self::new(Kind::RetryAfter(time), error)
    }

    pub(super) fn new(kind: Kind, error: impl Into<BoxError>) -> Self {
        Self { kind, source: error.into() }
    }

    /// Returns whether the worker makes no further attempt.
    #[must_use]
    pub const fn is_permanent(&self) -> bool {
        matches!(self.kind, Kind::Permanent | Kind::Mismatch)
    }

    /// Returns the handler's error.
    #[must_use]
    pub fn error(&self) -> &(dyn Error + Send + Sync + 'static) {
        &*self.source
    }

    /// Returns the error and its sources in one line, truncated if it is long or infinite.
    pub(super) fn message(&self) -> String {
        let mut message = Beginning(String::new());
        let mut written = write!(message, "{}", self.source);
        let mut source = self.source.source();
        while let (Ok(()), Some(error)) = (written, source) {
            written = write!(message, ": {error}");
            source = error.source();
        }
        message.0
    }
}

/// The beginning of a text, long enough to be truncated to [`MESSAGE`] bytes. Writing more fails.
struct Beginning(String);

impl fmt::Write for Beginning {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for c in text.chars() {
            if self.0.len() > MESSAGE {
                return Err(fmt::Error);
            }
            self.0.push(c);
        }
        Ok(())
    }
}

impl<E: Into<BoxError>> From<E> for HandlerError {
    fn from(error: E) -> Self {
        Self::new(Kind::Transient, error)
    }
}

impl fmt::Debug for HandlerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HandlerError").field("kind", &self.kind).field("source", &self.source).finish()
    }
}

impl fmt::Display for HandlerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.source.fmt(f)
    }
}

/// Makes the error of a result permanent: `parse(&event).permanent()?`.
pub trait PermanentExt<T>: sealed::Sealed {
    /// Makes the error permanent: the event becomes a dead letter, and there is no further attempt.
    ///
    /// # Errors
    ///
    /// Returns the same error, as a [`HandlerError`].
    fn permanent(self) -> Result<T, HandlerError>;
}

impl<T, E: Into<BoxError>> PermanentExt<T> for Result<T, E> {
    fn permanent(self) -> Result<T, HandlerError> {
        self.map_err(HandlerError::permanent)
    }
}

/// The result of a handler: `()`, or `Result<(), E>` with [`HandlerError`] or any error that
/// converts into it. This trait is sealed.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be returned by a handler of the inbox",
    note = "return `()` or `Result<(), HandlerError>`"
)]
pub trait HandlerResult: sealed::Outcome {
    #[doc(hidden)]
    fn into_result(self) -> Result<(), HandlerError>;
}

impl HandlerResult for () {
    fn into_result(self) -> Result<(), HandlerError> {
        Ok(())
    }
}

impl<E: Into<HandlerError>> HandlerResult for Result<(), E> {
    fn into_result(self) -> Result<(), HandlerError> {
        self.map_err(Into::into)
    }
}

mod sealed {
    use super::HandlerError;

    pub trait Sealed {}
    impl<T, E> Sealed for Result<T, E> {}

    pub trait Outcome {}
    impl Outcome for () {}
    impl<E: Into<HandlerError>> Outcome for Result<(), E> {}
}
