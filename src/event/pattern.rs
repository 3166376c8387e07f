use std::{
    collections::{HashMap, hash_map::Entry},
    error::Error,
    fmt,
    str::FromStr,
};

use super::EventName;

/// Which events something is for: `person.created`, `company.*`, `*.deleted`, `metadata.view.*`, `*.*`.
///
/// The patterns of Twenty's own webhook settings, with the same meaning:
///
/// | pattern | matches |
/// |---|---|
/// | `person.created`, `metadata.view.created` | events of that name |
/// | `person.*`, `metadata.view.*` | all events of an object, or of a kind of metadata |
/// | `*.created` | that action on any record; **no** metadata events |
/// | `metadata.*.created` | that action on any kind of metadata |
/// | `metadata.*.*` | all metadata events |
/// | `*.*` | all events, metadata events too |
///
/// Where several match, the one nearest to the top of the table is the most exact. Three rules are
/// this crate's own:
///
/// - `metadata.*` and others of `metadata` in two parts are refused, since they would match none of
///   the metadata events.
/// - The name of an object, or of a kind of metadata, begins with a lower-case letter and has ASCII
///   letters and digits only, as Twenty's names do. A pattern such as `Person.created` is refused,
///   since it would never match. Any action is taken: the event routers log a warning when no known
///   version of Twenty sends it.
/// - Twenty sends `workflowRun.updated` only to a webhook that asks for it by name, but once it is
///   sent, all patterns match it like any other event.
///
/// An event without an object or an action in its name matches nothing.
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
// Source: `call-webhook-jobs.job.ts` and `call-webhook-jobs-for-metadata.job.ts` of Twenty's server, 2026.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct EventPattern {
    scope: Scope,
    /// `None` for any.
    object: Option<Box<str>>,
    action: Option<Box<str>>,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum Scope {
    Records,
    Metadata,
}

impl EventPattern {
    /// Whether it matches events of this name.
    #[must_use]
    pub fn matches(&self, name: &EventName) -> bool {
        let Some((scope, object, action)) = parts(name) else { return false };
        let fits = |wanted: &Option<Box<str>>, found| wanted.as_deref().is_none_or(|wanted| wanted == found);
        self.is_all() || self.scope == scope && fits(&self.object, object) && fits(&self.action, action)
    }

    /// Whether some version of Twenty sends the action, or any action will do.
    #[cfg(all(feature = "tracing", any(feature = "actix-web", feature = "inbox", feature = "tower")))]
    pub(super) fn has_known_action(&self) -> bool {
        let known: &[&str] = match self.scope {
            Scope::Records => &["created", "updated", "deleted", "destroyed", "restored"],
            Scope::Metadata => &["created", "updated", "deleted"],
        };
        self.action.as_deref().is_none_or(|action| known.contains(&action))
    }

    /// The name of an event that it matches, when it is for one object or one kind of metadata.
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

/// `None` for a name that no server gives: patterns do not match it.
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

/// Whether Twenty takes this name for an object: a letter in lower case, then letters and digits.
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

/// An [`EventPattern`] that is malformed, that can never match, or that was given twice.
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
    /// The pattern.
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
            Problem::GivenTwice => write!(f, "event pattern `{pattern}` is given twice"),
        }
    }
}

impl Error for PatternError {}

/// Values by pattern; the most exact pattern wins, in whatever order they came.
#[derive(Clone, Debug)]
pub(crate) struct PatternMap<T> {
    /// Its pattern for everything is `*.*`, which is for metadata events too.
    records: ScopeMap<T>,
    metadata: ScopeMap<T>,
}

#[derive(Clone, Debug)]
struct ScopeMap<T> {
    /// By the event's whole name.
    exact: HashMap<Box<str>, T>,
    objects: HashMap<Box<str>, T>,
    actions: HashMap<Box<str>, T>,
    all: Option<T>,
}

#[cfg_attr(
    not(any(feature = "actix-web", feature = "inbox", feature = "tower", test)),
    expect(dead_code, reason = "for the event routers")
)]
impl<T> PatternMap<T> {
    pub(crate) fn new() -> Self {
        Self { records: ScopeMap::new(), metadata: ScopeMap::new() }
    }

    /// # Errors
    ///
    /// When the pattern has a value already, which stays.
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

    /// The value of the most exact pattern that matches.
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

/// Gives the value back when the key is taken.
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
mod tests {
    use super::*;

    #[track_caller]
    fn pattern(text: &str) -> EventPattern {
        text.parse().unwrap()
    }

    /// From the most exact to the least.
    const RECORD: [&str; 4] = ["person.created", "person.*", "*.created", "*.*"];
    const METADATA: [&str; 5] =
        ["metadata.view.created", "metadata.view.*", "metadata.*.created", "metadata.*.*", "*.*"];

    #[test]
    fn what_matches_what() {
        let all = RECORD.iter().chain(&METADATA);
        for (name, matching) in [
            ("person.created", &RECORD[..]),
            ("person.archived", &["person.*", "*.*"]),
            ("company.created", &["*.created", "*.*"]),
            ("company.archived", &["*.*"]),
            ("workflowRun.updated", &["*.*"]),
            ("metadata.view.created", &METADATA),
            ("metadata.view.deleted", &["metadata.view.*", "metadata.*.*", "*.*"]),
            ("metadata.role.created", &["metadata.*.created", "metadata.*.*", "*.*"]),
            ("metadata.created", &["*.created", "*.*"]),
            ("view.created", &["*.created", "*.*"]),
            ("person", &[]),
            ("person.", &[]),
            (".created", &[]),
            ("metadata.view.", &[]),
            ("metadata..created", &[]),
            ("", &[]),
        ] {
            let name = EventName::new(name);
            for text in all.clone() {
                assert_eq!(pattern(text).matches(&name), matching.contains(text), "{text} {name}");
            }
        }
    }

    #[test]
    fn the_most_exact_pattern_wins_in_any_order() {
        for (name, patterns) in [("person.created", &RECORD[..]), ("metadata.view.created", &METADATA)] {
            let name = EventName::new(name);
            for most_exact in 0..patterns.len() {
                let fewer = &patterns[most_exact..];
                for turned_by in 0..fewer.len() {
                    let mut map = PatternMap::new();
                    let order = fewer[turned_by..].iter().chain(&fewer[..turned_by]).rev();
                    order.for_each(|text| map.insert(&pattern(text), *text).unwrap());
                    assert_eq!(map.get(&name), Some(&fewer[0]));
                }
            }
        }
    }

    #[test]
    fn a_map_finds_what_matches_and_nothing_else() {
        let names = ["person.created", "person.x", "x.created", "metadata.view.created", "metadata.view.x", "x", ""];
        for text in RECORD.iter().chain(&METADATA) {
            let mut map = PatternMap::new();
            map.insert(&pattern(text), ()).unwrap();
            for name in names.map(EventName::new) {
                assert_eq!(map.get(&name).is_some(), pattern(text).matches(&name), "{text} {name}");
            }
        }
    }

    #[test]
    fn a_pattern_is_given_once() {
        for text in RECORD.iter().chain(&METADATA) {
            let mut map = PatternMap::new();
            map.insert(&pattern(text), 1).unwrap();
            let refused = map.insert(&pattern(text), 2).unwrap_err();
            assert_eq!(refused.pattern(), *text);
            assert_eq!(refused.to_string(), format!("event pattern `{text}` is given twice"));
            let name = EventName::new(text.replace("*.*", "*.created").replace('*', "view"));
            assert_eq!(map.get(&name), Some(&1), "{name}");
        }
    }

    #[test]
    fn patterns_are_read_and_shown_alike() {
        for text in RECORD.iter().chain(&METADATA) {
            assert_eq!(pattern(text).to_string(), *text);
            assert_eq!(format!("{:?}", pattern(text)), format!("{text:?}"));
        }
    }

    /// Each name that Twenty can send is matched by the patterns that are made of it, and no
    /// pattern is made of another.
    mod names {
        use proptest::prelude::*;

        use super::*;

        /// The rule, in other words than the code's.
        const OBJECT: &str = "[a-z][a-zA-Z0-9]{0,62}";

        fn never_matches(text: &str) {
            let refused = text.parse::<EventPattern>().unwrap_err();
            assert_eq!(refused.pattern(), text);
            assert!(refused.to_string().starts_with(&format!("event pattern `{text}` never matches: ")), "{refused}");
        }

        proptest! {
            #[test]
            fn of_objects_are_taken(object in OBJECT, action in "[a-z]{1,10}") {
                for name in [format!("{object}.{action}"), format!("metadata.{object}.{action}")] {
                    prop_assume!(!name.starts_with("metadata.metadata") && object != "metadata");
                    let name = EventName::new(name);
                    let object = name.object();
                    for text in [name.to_string(), format!("{object}.*")] {
                        prop_assert!(pattern(&text).matches(&name), "{text}");
                    }
                }
            }

            #[test]
            fn that_no_object_has_are_refused(object in "[a-zA-Z0-9_]{1,20}", action in "[a-z]{1,10}|\\*") {
                prop_assume!(!object.starts_with(|c: char| c.is_ascii_lowercase()) || object.contains('_'));
                never_matches(&format!("{object}.{action}"));
                never_matches(&format!("metadata.{object}.{action}"));
            }
        }

        #[test]
        fn that_twenty_sends_are_taken() {
            const RECORDS: &str = "person company opportunity note noteTarget task taskTarget attachment \
                                   workspaceMember calendarEvent calendarEventParticipant message messageThread workflow workflowRun \
                                   workflowVersion dashboard callRecording subscription";
            const METADATA: &str = "fieldMetadata objectMetadata view viewField rowLevelPermissionPredicateGroup index \
                                    logicFunction role agent skill pageLayoutWidget commandMenuItem \
                                    searchFieldMetadata serverlessFunction";
            for object in RECORDS.split_whitespace() {
                for action in ["created", "updated", "deleted", "destroyed", "restored", "*"] {
                    pattern(&format!("{object}.{action}"));
                }
            }
            for kind in METADATA.split_whitespace() {
                pattern(&format!("metadata.{kind}.created"));
            }
        }

        #[cfg(all(feature = "tracing", any(feature = "actix-web", feature = "inbox", feature = "tower")))]
        #[test]
        fn of_actions_are_known_if_twenty_sends_them() {
            for text in
                RECORD.iter().chain(&METADATA).chain(&["person.restored", "*.destroyed", "metadata.view.deleted"])
            {
                assert!(pattern(text).has_known_action(), "{text}");
            }
            for text in
                ["person.create", "person.Created", "*.upserted", "metadata.view.destroyed", "metadata.*.restored"]
            {
                assert!(!pattern(text).has_known_action(), "{text}");
            }
        }
    }

    #[test]
    fn malformed_patterns_are_refused_by_name() {
        for text in [
            "",
            ".",
            "*",
            "person",
            "person.",
            ".created",
            "person..created",
            "per*.created",
            "**.created",
            "person.created.",
            "person.created.now",
            "person created",
            " person.created",
            "pers\u{f6}n.created",
            "metadata.*",
            "metadata.created",
            "metadata.view.created.now",
            "*.view.created",
        ] {
            let refused = text.parse::<EventPattern>().unwrap_err();
            assert_eq!(refused.pattern(), text);
            assert!(refused.to_string().starts_with(&format!("malformed event pattern `{text}`: expected")));
        }
        let refused = "a\nb".parse::<EventPattern>().unwrap_err();
        assert!(refused.to_string().starts_with(r"malformed event pattern `a\nb`"));
    }
}
