use std::{error::Error, fmt, str::Utf8Error};

use crate::clip::{NAME, clip};

/// Why a verified delivery is not the event that was requested.
///
/// This is not a verification error: the delivery is verified. It contains the place and the kind
/// of the problem, but never the value. Names and paths are truncated after 100 bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EventError {
    details: Box<Details>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Details {
    NotJson {
        line: usize,
        column: usize,
    },
    /// The path is empty if the body as a whole does not fit.
    Mismatch {
        path: Box<str>,
        is_missing: bool,
        line: usize,
        column: usize,
    },
    WrongObject {
        expected: Box<str>,
        found: Box<str>,
    },
    EndlessType,
}

/// The kind of an [`EventError`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum EventErrorKind {
    /// The body is not JSON.
    NotJson,
    /// The body is JSON, but does not fit the record's type.
    Mismatch,
    /// The event is about another object than the record's type.
    WrongObject,
}

impl EventError {
    pub(super) fn not_json(error: &serde_json::Error) -> Self {
        Details::NotJson { line: error.line(), column: error.column() }.into()
    }

    /// Creates the error for a body that is not UTF-8, as JSON must be.
    pub(super) fn not_utf8(body: &[u8], error: &Utf8Error) -> Self {
        let (line, column) = position(body.get(..error.valid_up_to()).unwrap_or_default());
        Details::NotJson { line, column: column.saturating_add(1) }.into()
    }

    /// Creates the error for a member at `path`, which ends at `offset` in `body`.
    pub(super) fn mismatch(path: &str, is_missing: bool, body: &str, offset: usize) -> Self {
        let (line, column) = position(body.as_bytes().get(..offset).unwrap_or_default());
        Details::Mismatch { path: clip(path, NAME).into(), is_missing, line, column }.into()
    }

    pub(super) fn wrong_object(expected: &str, found: &str) -> Self {
        Details::WrongObject { expected: expected.into(), found: clip(found, NAME).into() }.into()
    }

    pub(super) fn endless_type() -> Self {
        Details::EndlessType.into()
    }

    /// Returns what was wrong.
    #[must_use]
    pub fn kind(&self) -> EventErrorKind {
        match *self.details {
            Details::NotJson { .. } => EventErrorKind::NotJson,
            Details::Mismatch { .. } | Details::EndlessType => EventErrorKind::Mismatch,
            Details::WrongObject { .. } => EventErrorKind::WrongObject,
        }
    }
}

/// Returns the number of the text's last line, from 1, and the length of that line in bytes.
fn position(text: &[u8]) -> (usize, usize) {
    let line = text.iter().filter(|&&byte| byte == b'\n').count().saturating_add(1);
    (line, text.iter().rev().take_while(|&&byte| byte != b'\n').count())
}

impl From<Details> for EventError {
    fn from(details: Details) -> Self {
        Self { details: Box::new(details) }
    }
}

impl fmt::Display for EventError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &*self.details {
            Details::NotJson { line, column } => write!(f, "verified body is not JSON (line {line}, column {column})"),
            Details::Mismatch { path, is_missing, line, column } => {
                let what = if *is_missing { "is missing" } else { "does not fit the expected type" };
                match &**path {
                    "" => write!(f, "verified body {what} (line {line}, column {column})"),
                    path => write!(f, "`{path}` {what} (line {line}, column {column})"),
                }
            }
            Details::EndlessType => f.write_str("the record's type contains itself infinitely"),
            Details::WrongObject { expected, found } => {
                write!(f, "expected an event of `{expected}`, found `{}`", found.escape_debug())
            }
        }
    }
}

impl Error for EventError {}
