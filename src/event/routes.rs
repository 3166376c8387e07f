use std::{error::Error, fmt};

use super::{
    EventPattern, Heading,
    pattern::PatternMap,
};
use crate::verify::Verified;

/// Handlers by event pattern, and one for the rest: what every framework's event router is made of.
pub(crate) struct Routes<T> {
    by_pattern: PatternMap<T>,
    fallback: Option<T>,
    invalid: Option<InvalidRoute>,
}

impl<T> Routes<T> {
    /// Adds a handler. What is wrong with the pattern is told by [`build`](Self::build).
    pub(crate) fn on(&mut self, pattern: &str, handler: T) {
        let inserted = match pattern.parse::<EventPattern>() {
            Ok(parsed) => self.by_pattern.insert(parsed, handler).map_err(|_| Reason::Repeated),
            Err(_) => Err(Reason::Malformed),
        };
        if let Err(reason) = inserted {
            self.invalid.get_or_insert_with(|| InvalidRoute { pattern: pattern.into(), reason });
        }
    }

    /// Sets the handler for events that no pattern matches. The last one counts.
    pub(crate) fn fallback(&mut self, handler: T) {
        self.fallback = Some(handler);
    }

    pub(crate) fn build(self) -> Result<Self, InvalidRoute> {
        match self.invalid {
            Some(invalid) => Err(invalid),
            None => Ok(self),
        }
    }

    /// The handler for a delivery. Its name is read, its record is not.
    pub(crate) fn find(&self, verified: &Verified) -> Option<&T> {
        let name = Heading::read_name(verified.body());
        let found = name.as_ref().and_then(|name| self.by_pattern.get(name)).or(self.fallback.as_ref());
        #[cfg(feature = "tracing")]
        if found.is_none() {
            tracing::debug!(event.name = name.as_ref().map(super::EventName::as_str), "no handler and no fallback");
        }
        found
    }
}

impl<T> Default for Routes<T> {
    fn default() -> Self {
        Self { by_pattern: PatternMap::default(), fallback: None, invalid: None }
    }
}

/// Shows the number of handlers.
impl<T> fmt::Debug for Routes<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Routes")
            .field("handlers", &self.by_pattern.len())
            .field("fallback", &self.fallback.is_some())
            .finish_non_exhaustive()
    }
}

/// Why an event router could not be built: a pattern that is malformed or was given twice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InvalidRoute {
    pattern: Box<str>,
    reason: Reason,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reason {
    Malformed,
    Repeated,
}

impl InvalidRoute {
    /// The pattern.
    #[must_use]
    pub fn pattern(&self) -> &str {
        &self.pattern
    }
}

impl fmt::Display for InvalidRoute {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.reason {
            Reason::Malformed => write!(f, "`{}` is no event pattern such as `person.created` or `*.deleted`", self.pattern),
            Reason::Repeated => write!(f, "the event pattern `{}` was given twice", self.pattern),
        }
    }
}

impl Error for InvalidRoute {}
