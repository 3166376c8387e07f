use std::fmt;

use super::{EventPattern, Heading, PatternError, pattern::PatternMap};
use crate::verify::Verified;

/// Handlers by event pattern, and one for the rest: what every framework's event router is made of.
pub(crate) struct Routes<T> {
    by_pattern: PatternMap<T>,
    fallback: Option<T>,
    /// The first pattern that was refused.
    invalid: Option<PatternError>,
}

impl<T> Routes<T> {
    /// Adds a handler. What is wrong with the pattern is told by [`build`](Self::build).
    pub(crate) fn on(&mut self, pattern: &str, handler: T) {
        let inserted = pattern.parse::<EventPattern>().and_then(|pattern| self.by_pattern.insert(&pattern, handler));
        if let Err(invalid) = inserted {
            self.invalid.get_or_insert(invalid);
        }
    }

    /// Sets the handler for events that no pattern matches. The last one counts.
    pub(crate) fn fallback(&mut self, handler: T) {
        self.fallback = Some(handler);
    }

    pub(crate) fn build(mut self) -> Result<Self, PatternError> {
        self.invalid.take().map_or(Ok(self), Err)
    }

    /// The handler for a delivery. Its name is read, its record is not.
    pub(crate) fn find(&self, verified: &Verified) -> Option<&T> {
        let name = Heading::read_name(verified.body());
        let found = name.as_ref().and_then(|name| self.by_pattern.get(name)).or(self.fallback.as_ref());
        #[cfg(feature = "tracing")]
        if found.is_none() {
            tracing::debug!(event.name = ?name, "no handler and no fallback");
        }
        found
    }
}

impl<T> Default for Routes<T> {
    fn default() -> Self {
        Self { by_pattern: PatternMap::new(), fallback: None, invalid: None }
    }
}

impl<T> fmt::Debug for Routes<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Routes").field("has_fallback", &self.fallback.is_some()).finish_non_exhaustive()
    }
}
