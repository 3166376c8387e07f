use std::{error::Error, fmt};

use serde_json::error::Category;

/// Why a verified delivery is not the event that was asked for.
///
/// Not a verification error: the delivery is authentic. Keeps where and what kind of trouble, never the offending text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EventError {
    details: Box<Details>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Details {
    NotJson { line: usize, column: usize },
    Mismatch { path: Box<str>, line: usize, column: usize, malformed: bool },
    WrongObject { expected: &'static str, found: Box<str> },
}

/// What was wrong with a verified delivery.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum EventErrorKind {
    /// The body is no JSON.
    NotJson,
    /// The body is JSON, but lacks what the record's type requires.
    Mismatch,
    /// The event is about another object than the record's type.
    WrongObject,
}

impl EventError {
    pub(super) fn not_json(error: &serde_json::Error) -> Self {
        Details::NotJson { line: error.line(), column: error.column() }.into()
    }

    pub(super) fn mismatch(path: impl Into<Box<str>>, error: &serde_json::Error) -> Self {
        let malformed = matches!(error.classify(), Category::Syntax | Category::Eof);
        Details::Mismatch { path: path.into(), line: error.line(), column: error.column(), malformed }.into()
    }

    pub(super) fn wrong_object(expected: &'static str, found: impl Into<Box<str>>) -> Self {
        Details::WrongObject { expected, found: found.into() }.into()
    }

    /// What was wrong.
    #[must_use]
    pub fn kind(&self) -> EventErrorKind {
        match *self.details {
            Details::NotJson { .. } => EventErrorKind::NotJson,
            Details::Mismatch { .. } => EventErrorKind::Mismatch,
            Details::WrongObject { .. } => EventErrorKind::WrongObject,
        }
    }
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
            Details::Mismatch { path, line, column, malformed } => {
                let what = if *malformed { "cannot be read" } else { "does not fit the expected type" };
                write!(f, "`{path}` {what} (line {line}, column {column})")
            }
            Details::WrongObject { expected, found } => write!(f, "expected an event of `{expected}`, found `{found}`"),
        }
    }
}

impl Error for EventError {}
