use std::{
    collections::{HashMap, hash_map::Entry},
    error::Error,
    fmt,
    str::FromStr,
};

use super::EventName;

/// A pattern of event names: `person.created`, `company.*`, `*.deleted`, `metadata.view.*`, `*.*`.
///
/// These are the patterns of Twenty's own webhook settings, with the same meaning:
///
/// | pattern | matches |
/// |---|---|
/// | `person.created`, `metadata.view.created` | events with that name |
/// | `person.*`, `metadata.view.*` | all events of an object, or of a kind of metadata |
/// | `*.created` | that action on any record; **no** metadata events |
/// | `metadata.*.created` | that action on any kind of metadata |
/// | `metadata.*.*` | all metadata events |
/// | `*.*` | all events, metadata events too |
///
/// If several patterns match, the one that is highest in this table is the most specific. Three
/// rules are this crate's own:
///
/// - Patterns with two parts that begin with `metadata`, such as `metadata.*`, are errors, because
///   they would match no metadata event.
/// - The name of an object, or of a kind of metadata, must start with a lower-case letter and
///   consist of ASCII letters and digits, as Twenty's names do. A pattern such as `Person.created`
///   is an error, because it would never match. Any action is allowed, but the event routers log a
///   warning if no known version of Twenty sends it.
/// - Twenty sends `workflowRun.updated` only to webhooks that name it exactly, but here all
///   patterns match it like any other event.
///
/// An event whose name has no object or no action matches no pattern.
///
/// ```
/// use twenty_webhook::event::{EventName, EventPattern};
///
/// let pattern: EventPattern = "company.*".parse()?;
/// assert!(pattern.matches(&EventName::new("company.updated")));
/// assert!(!pattern.matches(&EventName::new("person.updated")));
///
/// let refused = "company".parse::<EventPattern>().unwrap_err();
/// assert_eq!(refused.to_string(), "malformed event pattern `company`: expected `object.action` or `metadata.kind.action`");
/// # Ok::<(), twenty_webhook::event::PatternError>(())
/// ```
// Source: `call-webhook-jobs.job.ts` and `call-webhook-jobs-for-metadata.job.ts` of Twenty's
// server, 2026.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct EventPattern {
    scope: Scope,
    /// `None` matches any object.
    object: Option<Box<str>>,
    action: Option<Box<str>>,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum Scope {
    Records,
    Metadata,
}

impl EventPattern {
    /// Returns whether it matches events with this name.
    #[must_use]
    pub fn matches(&self, name: &EventName) -> bool {
        let Some((scope, object, action)) = parts(name) else { return false };
        let fits = |wanted: &Option<Box<str>>, found| wanted.as_deref().is_none_or(|wanted| wanted == found);
        self.is_all() || self.scope == scope && fits(&self.object, object) && fits(&self.action, action)
    }

    /// Returns whether the action is `*`, or one that some version of Twenty sends.
    #[cfg(all(feature = "tracing", feature = "receiver"))]
    pub(super) fn has_known_action(&self) -> bool {
        let known: &[&str] = match self.scope {
            Scope::Records => &["created", "updated", "deleted", "destroyed", "restored"],
            Scope::Metadata => &["created", "updated", "deleted"],
        };
        self.action.as_deref().is_none_or(|action| known.contains(&action))
    }

    /// Returns the name of a matching event, if the pattern is for one object or one kind of
    /// metadata.
    #[cfg(feature = "inbox")]
    pub(crate) fn event_of_its_object(&self) -> Option<EventName> {
        self.object.as_ref()?;
        let action = self.action.as_deref().unwrap_or("created");
        let any = Self { action: Some(action.into()), ..self.clone() };
        Some(EventName::new(any.to_string()))
    }

    fn is_all(&self) -> bool {
        *self == Self { scope: Scope::Records, object: None, action: None }
    }
}

/// Returns `None` for a name that Twenty never sends, which patterns do not match.
fn parts(name: &EventName) -> Option<(Scope, &str, &str)> {
    let (scope, object) = match name.metadata_name() {
        Some(kind) => (Scope::Metadata, kind),
        None => (Scope::Records, name.object()),
    };
    let action = name.action().as_str();
    (!object.is_empty() && !action.is_empty()).then_some((scope, object, action))
}

impl FromStr for EventPattern {
    type Err = PatternError;

    fn from_str(text: &str) -> Result<Self, PatternError> {
        let error = |problem| PatternError { pattern: text.into(), problem };
        let malformed = || error(Problem::Malformed);
        let part = |part: &str| match part {
            "*" => Ok(None),
            _ if !part.is_empty() && part.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_') => {
                Ok(Some(part.into()))
            }
            _ => Err(malformed()),
        };
        let (scope, object, action) = match *text.split('.').collect::<Vec<_>>() {
            ["metadata", kind, action] => (Scope::Metadata, kind, action),
            [object, action] if object != "metadata" => (Scope::Records, object, action),
            _ => return Err(malformed()),
        };
        let pattern = Self { scope, object: part(object)?, action: part(action)? };
        if !pattern.object.as_deref().is_none_or(is_object_name) {
            return Err(error(Problem::ObjectName));
        }
        Ok(pattern)
    }
}

/// Returns whether an object in Twenty can have this name: a lower-case letter, then letters and
/// digits.
fn is_object_name(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_lowercase()) && name.bytes().all(|b| b.is_ascii_alphanumeric())
}

impl fmt::Display for EventPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scope = match self.scope {
            Scope::Records => "",
            Scope::Metadata => "metadata.",
        };
        let [object, action] = [&self.object, &self.action].map(|part| part.as_deref().unwrap_or("*"));
        write!(f, "{scope}{object}.{action}")
    }
}

impl fmt::Debug for EventPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{self}\"")
    }
}

/// An [`EventPattern`] that is malformed, that can never match, or that was added twice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PatternError {
    pattern: Box<str>,
    problem: Problem,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Problem {
    Malformed,
    ObjectName,
    GivenTwice,
}

impl PatternError {
    /// Returns the pattern.
    #[must_use]
    pub fn pattern(&self) -> &str {
        &self.pattern
    }
}

impl fmt::Display for PatternError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let pattern = self.pattern.escape_debug();
        match self.problem {
            Problem::Malformed => {
                write!(f, "malformed event pattern `{pattern}`: expected `object.action` or `metadata.kind.action`")
            }
            Problem::ObjectName => write!(
                f,
                "event pattern `{pattern}` never matches: an object's name begins with a lower-case letter and has \
                 letters and digits only"
            ),
            Problem::GivenTwice => write!(f, "event pattern `{pattern}` was added twice"),
        }
    }
}

impl Error for PatternError {}

/// Values by pattern. The most specific pattern wins, regardless of the order in which they were
/// added.
#[derive(Clone, Debug)]
pub(crate) struct PatternMap<T> {
    /// The patterns for records, and `*.*`, which also matches metadata events.
    records: ScopeMap<T>,
    metadata: ScopeMap<T>,
}

#[derive(Clone, Debug)]
struct ScopeMap<T> {
    /// Values by the event's whole name.
    exact: HashMap<Box<str>, T>,
    objects: HashMap<Box<str>, T>,
    actions: HashMap<Box<str>, T>,
    all: Option<T>,
}

#[cfg_attr(not(any(feature = "receiver", test)), expect(dead_code, reason = "for the event routers"))]
impl<T> PatternMap<T> {
    pub(crate) fn new() -> Self {
        Self { records: ScopeMap::new(), metadata: ScopeMap::new() }
    }

    /// # Errors
    ///
    /// Fails if the pattern already has a value, and keeps that value.
    pub(crate) fn insert(&mut self, pattern: &EventPattern, value: T) -> Result<(), PatternError> {
        let text = pattern.to_string();
        let scope = match pattern.scope {
            Scope::Records => &mut self.records,
            Scope::Metadata => &mut self.metadata,
        };
        let before = match (&pattern.object, &pattern.action) {
            (Some(_), Some(_)) => insert_new(&mut scope.exact, &text, value),
            (Some(object), None) => insert_new(&mut scope.objects, object, value),
            (None, Some(action)) => insert_new(&mut scope.actions, action, value),
            (None, None) if scope.all.is_none() => scope.all.replace(value),
            (None, None) => Some(value),
        };
        match before {
            None => Ok(()),
            Some(_) => Err(PatternError { pattern: text.into(), problem: Problem::GivenTwice }),
        }
    }

    /// Returns the value of the most specific pattern that matches.
    pub(crate) fn get(&self, name: &EventName) -> Option<&T> {
        let (scope, object, action) = parts(name)?;
        let map = match scope {
            Scope::Records => &self.records,
            Scope::Metadata => &self.metadata,
        };
        map.exact
            .get(name.as_str())
            .or_else(|| map.objects.get(object))
            .or_else(|| map.actions.get(action))
            .or(map.all.as_ref())
            .or(self.records.all.as_ref())
    }
}

impl<T> ScopeMap<T> {
    fn new() -> Self {
        Self { exact: HashMap::new(), objects: HashMap::new(), actions: HashMap::new(), all: None }
    }
}

/// Returns the value if the key already exists.
fn insert_new<T>(map: &mut HashMap<Box<str>, T>, key: &str, value: T) -> Option<T> {
    match map.entry(key.into()) {
        Entry::Vacant(free) => {
            free.insert(value);
            None
        }
        Entry::Occupied(_) => Some(value),
    }
}

#[cfg(test)]
mod tests;
