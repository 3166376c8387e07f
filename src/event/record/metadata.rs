use serde::de::Error;

use super::{FromRecord, Payload, custom};
use crate::event::{Action, EventError, EventName, RawJson, field::Id, json::Reader};

/// A change of the workspace's data model or settings, such as an object, a field, a view or a
/// role.
///
/// Twenty sends these since 2026, also to webhooks that subscribe to everything (`*.*`). The values
/// are rows of Twenty's own configuration, which differ by kind and release, so they are kept as
/// they were sent.
///
/// ```
/// # use twenty_webhook::{WebhookEvent, event::record::MetadataEvent, testing::Delivery, verify::{Signer, Verifier}};
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let signed = Delivery::sample("metadata.fieldMetadata.updated").sign(&Signer::new("s")?);
/// # let verified = Verifier::new("s")?.verify(signed.headers(), signed.body().clone())?;
/// # let event: WebhookEvent<MetadataEvent> = WebhookEvent::from_verified(verified)?;
/// let change = &event.record;
/// assert_eq!(change.metadata_name(), "fieldMetadata");
/// for changed in change.diff() {
///     let (before, after) = (changed.before.map(|raw| raw.to_text()), changed.after.map(|raw| raw.to_text()));
///     println!("{}: {before:?}, now {after:?}", changed.field);
/// }
/// # assert!(!change.diff().is_empty());
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MetadataEvent {
    metadata_name: Box<str>,
    action: Action,
    raw: RawJson,
}

/// One field that a metadata update changed.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct FieldChange {
    /// The field's name.
    pub field: String,
    /// Its value before the change.
    pub before: Option<RawJson>,
    /// Its value after the change.
    pub after: Option<RawJson>,
}

impl MetadataEvent {
    pub(super) fn new(metadata_name: &str, action: &Action, raw: RawJson) -> Self {
        Self { metadata_name: metadata_name.into(), action: action.clone(), raw }
    }

    /// Returns the kind of metadata that changed: `fieldMetadata`, `view`, `role`.
    #[must_use]
    pub fn metadata_name(&self) -> &str {
        &self.metadata_name
    }

    /// Returns whether it was created, updated or deleted.
    #[must_use]
    pub const fn action(&self) -> &Action {
        &self.action
    }

    /// Returns the id of the changed row.
    #[must_use]
    pub fn record_id(&self) -> Option<Id> {
        self.raw.get("recordId")?.parse().ok()
    }

    /// Returns the row before an update or deletion.
    #[must_use]
    pub fn before(&self) -> Option<RawJson> {
        self.property("before")
    }

    /// Returns the row after a creation or update.
    #[must_use]
    pub fn after(&self) -> Option<RawJson> {
        self.property("after")
    }

    /// Returns the fields that an update changed, each with its values before and after.
    #[must_use]
    pub fn diff(&self) -> Vec<FieldChange> {
        let members = self.property("diff").map(|diff| diff.members()).unwrap_or_default();
        members
            .into_iter()
            .map(|(field, change)| FieldChange { field, before: change.get("before"), after: change.get("after") })
            .collect()
    }

    /// Returns the names of the fields that an update changed.
    #[must_use]
    pub fn updated_fields(&self) -> Vec<String> {
        self.property("updatedFields").and_then(|fields| fields.parse().ok()).unwrap_or_default()
    }

    /// Returns the whole `event` member as it was sent.
    #[must_use]
    pub const fn raw(&self) -> &RawJson {
        &self.raw
    }

    /// Returns a name for display: its label in the singular, its label or its name.
    #[must_use]
    pub fn display_name(&self) -> Option<String> {
        let row = self.after().or_else(|| self.before())?;
        let label = ["labelSingular", "label"].into_iter().find_map(|key| row.get(key)?.to_text());
        label.or_else(|| custom::display_name(&row))
    }

    fn property(&self, key: &str) -> Option<RawJson> {
        self.raw.get("properties")?.get(key)
    }
}

impl FromRecord for MetadataEvent {
    fn check_object(name: &EventName) -> Result<(), EventError> {
        match name.metadata_name() {
            Some(_) => Ok(()),
            None => Err(EventError::wrong_object("metadata", name.as_str())),
        }
    }

    fn read<E: Error>(payload: Payload<'_>, reader: &mut Reader<'_, E>) -> Result<Self, E> {
        Self::keep_raw(payload.name, payload.read_raw(reader)?).ok_or_else(|| E::custom("another object"))
    }

    fn is_person(_: &EventName) -> bool {
        false
    }

    fn keep_raw(name: &EventName, raw: RawJson) -> Option<Self> {
        Some(Self::new(name.metadata_name()?, name.action(), raw))
    }
}
