use std::{borrow::Cow, fmt};

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::clip::{NAME, clip};

/// The name of an event, such as `person.created` or `metadata.fieldMetadata.updated`.
///
/// Unknown objects and actions are not errors; they are kept as text. `Debug` shows the first 100
/// bytes.
///
/// ```
/// use twenty_webhook::event::{Action, EventName};
///
/// let name = EventName::new("rocket.archived");
/// assert_eq!(name.object(), "rocket");
/// assert_eq!(name.action(), &Action::Other("archived".into()));
/// assert!(name == "rocket.archived");
/// ```
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct EventName {
    text: Box<str>,
    /// The position of the last dot, or the end if there is none.
    dot: usize,
    action: Action,
}

impl EventName {
    /// Splits a name at its last dot: the object before it, the action after it.
    #[must_use]
    pub fn new(text: impl Into<Box<str>>) -> Self {
        let text = text.into();
        let (dot, action) = match text.rsplit_once('.') {
            Some((object, action)) => (object.len(), Action::from(action)),
            None => (text.len(), Action::from("")),
        };
        Self { text, dot, action }
    }

    /// Returns the whole name. It is empty if the delivery had none, which no released version of
    /// Twenty sends.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Returns the object's name in the singular: `person`. For a metadata event, returns
    /// `metadata.` and its kind: `metadata.fieldMetadata`.
    #[must_use]
    pub fn object(&self) -> &str {
        self.text.get(..self.dot).unwrap_or_default()
    }

    /// Returns what happened to the object.
    #[must_use]
    pub const fn action(&self) -> &Action {
        &self.action
    }

    /// Returns the kind of a metadata event, such as `fieldMetadata`, or `None` for a record's
    /// event.
    #[must_use]
    pub fn metadata_name(&self) -> Option<&str> {
        self.object().strip_prefix("metadata.")
    }
}

impl From<&str> for EventName {
    fn from(text: &str) -> Self {
        Self::new(text)
    }
}

impl From<String> for EventName {
    fn from(text: String) -> Self {
        Self::new(text)
    }
}

impl fmt::Display for EventName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.text.fmt(f)
    }
}

impl fmt::Debug for EventName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        clip(&self.text, NAME).fmt(f)
    }
}

/// Writes the name as text.
impl Serialize for EventName {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.text)
    }
}

/// Reads the name from text.
impl<'de> Deserialize<'de> for EventName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Cow::<str>::deserialize(deserializer).map(Self::new)
    }
}

impl PartialEq<str> for EventName {
    fn eq(&self, other: &str) -> bool {
        *self.text == *other
    }
}

impl PartialEq<&str> for EventName {
    fn eq(&self, other: &&str) -> bool {
        *self.text == **other
    }
}

/// What happened to a record.
///
/// ```
/// use twenty_webhook::event::Action;
///
/// assert_eq!(Action::from("created"), Action::Created);
/// assert_eq!(Action::from("archived").as_str(), "archived");
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Action {
    /// It was created.
    Created,
    /// It was changed; [`WebhookEvent::updated_fields`](super::WebhookEvent::updated_fields) lists
    /// the changed fields.
    Updated,
    /// It was put into the trash (soft delete).
    Deleted,
    /// It was removed permanently. The record has its last state.
    Destroyed,
    /// It was taken out of the trash.
    Restored,
    /// Any other action, as text; empty if the name had no action. A later version may add a
    /// variant for it, so to match such an action, compare [`as_str`](Self::as_str).
    Other(Box<str>),
}

impl Action {
    /// Returns the action as in the event's name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        match self {
            Self::Created => "created",
            Self::Updated => "updated",
            Self::Deleted => "deleted",
            Self::Destroyed => "destroyed",
            Self::Restored => "restored",
            Self::Other(text) => text,
        }
    }
}

impl From<&str> for Action {
    fn from(text: &str) -> Self {
        match text {
            "created" => Self::Created,
            "updated" => Self::Updated,
            "deleted" => Self::Deleted,
            "destroyed" => Self::Destroyed,
            "restored" => Self::Restored,
            other => Self::Other(other.into()),
        }
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.as_str().fmt(f)
    }
}

/// Writes the action as text.
impl Serialize for Action {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

/// Reads the action from text.
impl<'de> Deserialize<'de> for Action {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Cow::<str>::deserialize(deserializer).map(|text| (&*text).into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_split_at_the_last_dot() {
        for (text, object, action) in [
            ("person.created", "person", "created"),
            ("metadata.fieldMetadata.updated", "metadata.fieldMetadata", "updated"),
            ("rocket.archived", "rocket", "archived"),
            ("person", "person", ""),
            (".", "", ""),
            ("", "", ""),
        ] {
            let name = EventName::new(text);
            assert_eq!((name.object(), name.action().as_str()), (object, action), "{text:?}");
            assert_eq!(name.to_string(), text);
            assert_eq!(*name.action(), Action::from(action));
            assert_eq!(format!("{:>9}", name.action()), format!("{action:>9}"));
        }
        assert_eq!(EventName::new("metadata.view.created").metadata_name(), Some("view"));
        assert_eq!(EventName::new("person.created").metadata_name(), None);
    }

    #[test]
    fn names_are_compared_with_text() {
        let name = EventName::new("person.created");
        assert!(name == "person.created" && name == *"person.created");
        assert!(name != "person.updated" && name != *"person.updated");
    }
}
