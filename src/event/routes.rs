use std::fmt;

use super::{EventPattern, Heading, PatternError, pattern::PatternMap};
use crate::verify::Verified;

/// Handlers by event pattern, and a fallback. The event routers of all frameworks use it.
pub(crate) struct Routes<T> {
    by_pattern: PatternMap<T>,
    fallback: Option<T>,
    /// The first invalid pattern.
    invalid: Option<PatternError>,
    #[cfg(feature = "tracing")]
    log: log::Log,
}

impl<T> Routes<T> {
    /// Adds a handler. [`build`](Self::build) reports an invalid pattern.
    pub(crate) fn on(&mut self, pattern: &str, handler: T) {
        let inserted = pattern.parse::<EventPattern>().and_then(|pattern| {
            self.by_pattern.insert(&pattern, handler)?;
            Ok(pattern)
        });
        match inserted {
            #[cfg(feature = "tracing")]
            Ok(pattern) => self.log.add(pattern),
            #[cfg(not(feature = "tracing"))]
            Ok(_) => {}
            Err(invalid) => {
                self.invalid.get_or_insert(invalid);
            }
        }
    }

    /// Sets the handler for unmatched events. A second call replaces it.
    pub(crate) fn fallback(&mut self, handler: T) {
        self.fallback = Some(handler);
    }

    pub(crate) fn build(mut self) -> Result<Self, PatternError> {
        if let Some(invalid) = self.invalid.take() {
            return Err(invalid);
        }
        #[cfg(feature = "tracing")]
        self.log.warn_of_unknown_actions();
        Ok(self)
    }

    /// Returns the handler for a delivery. Reads its name, but not its record.
    pub(crate) fn find(&self, verified: &Verified) -> Option<&T> {
        let name = Heading::read_name(verified.body());
        let found = name.as_ref().and_then(|name| self.by_pattern.get(name)).or(self.fallback.as_ref());
        #[cfg(feature = "tracing")]
        if found.is_none() {
            self.log.unmatched(name.as_ref());
        }
        found
    }
}

/// The warnings of a router, each of which is logged once.
#[cfg(feature = "tracing")]
mod log {
    use std::{
        collections::HashSet,
        sync::{Mutex, PoisonError},
    };

    use crate::{
        clip::{NAME, clip},
        event::{EventName, EventPattern},
        report::report,
    };

    /// The maximum number of remembered names of unmatched events, each of at most [`NAME`] bytes.
    /// Anyone with a secret can invent any number of names.
    const MAX_NAMES: usize = 1_000;

    #[derive(Default)]
    pub(super) struct Log {
        /// Patterns with an action that no known version of Twenty sends.
        unknown: Vec<EventPattern>,
        /// The names of unmatched events that were logged.
        unmatched: Mutex<HashSet<Box<str>>>,
    }

    impl Log {
        pub(super) fn add(&mut self, pattern: EventPattern) {
            if !pattern.has_known_action() {
                self.unknown.push(pattern);
            }
        }

        pub(super) fn warn_of_unknown_actions(&self) {
            for pattern in &self.unknown {
                tracing::warn!(
                    %pattern,
                    "no known version of Twenty sends the action in this event pattern: check its spelling"
                );
            }
        }

        /// Logs a warning for the first event of each name, until [`MAX_NAMES`] are remembered.
        pub(super) fn unmatched(&self, name: Option<&EventName>) {
            let text = clip(name.map(EventName::as_str).unwrap_or_default(), NAME);
            let is_first = {
                let mut names = self.unmatched.lock().unwrap_or_else(PoisonError::into_inner);
                names.len() < MAX_NAMES && !names.contains(&*text) && names.insert((&*text).into())
            };
            report(|| {
                if is_first {
                    tracing::warn!(
                        twenty.event.name = &*text,
                        "unmatched event: no pattern matches its name, and there is no fallback"
                    );
                } else {
                    tracing::debug!(
                        twenty.event.name = &*text,
                        "unmatched event: no pattern matches its name, and there is no fallback"
                    );
                }
            });
        }
    }
}

impl<T> Default for Routes<T> {
    fn default() -> Self {
        Self {
            by_pattern: PatternMap::new(),
            fallback: None,
            invalid: None,
            #[cfg(feature = "tracing")]
            log: log::Log::default(),
        }
    }
}

impl<T> fmt::Debug for Routes<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Routes").field("has_fallback", &self.fallback.is_some()).finish_non_exhaustive()
    }
}
