use std::fmt;

use bytes::Bytes;

use super::{
    Action, EventError, EventName, FromRecord, JsonType, RawJson, Record,
    envelope::{About, Envelope},
    field::{Id, Time},
    wire,
};
use crate::verify::Verified;

pub use super::envelope::{ObjectMetadata, UnexpectedMember};

/// A verified event, and the extractor for it.
///
/// By default the record is a [`Record`], which accepts every verified delivery. To accept only one
/// object, use `WebhookEvent<Person>` or a type of your own; see [the module](super).
///
/// You cannot create one from unverified bytes. As an extractor, it rejects deliveries that the
/// handler does not expect: with 400 if the body is not JSON, with 422 if it does not fit `T` or is
/// about another object, and with 500 if the middleware is missing.
///
/// Clones copy the record and share the body. `Debug` shows name and ids, but not the record.
///
/// ```
/// use twenty_webhook::{Verifier, WebhookEvent, event::record::Person, verify::Signer};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let body = r#"{"eventName":"person.updated","record":{"name":{"firstName":"Ada"},"intro":"Hello"},"updatedFields":["intro"]}"#;
/// # let headers = Signer::new("secret")?.sign(body).pairs();
/// # let verified = Verifier::new("secret")?.verify(headers, body)?;
/// let event: WebhookEvent<Person> = WebhookEvent::from_verified(verified)?;
/// assert_eq!(event.name, "person.updated");
/// assert_eq!(event.record.display_name().as_deref(), Some("Ada"));
/// assert!(event.changed("intro"));
/// let intro = event.raw_record().and_then(|record| record.get("intro")?.to_text()); // a custom field
/// assert_eq!(intro.as_deref(), Some("Hello"));
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
#[non_exhaustive]
pub struct WebhookEvent<T = Record> {
    /// The event's name: `person.created`.
    pub name: EventName,
    /// The record after the change, or before it if the record was destroyed. A deleted record may
    /// have only its id.
    pub record: T,
    /// The names of the fields that an update touched. `None` if the delivery has none, as for a
    /// created record.
    ///
    /// For a relation, current versions list two names (`company`, `companyId`), and versions of
    /// 2025 only the second. [`changed`](Self::changed) checks both.
    pub updated_fields: Option<Vec<String>>,
    /// The record's object. Metadata events have none.
    pub object_metadata: Option<ObjectMetadata>,
    /// The workspace that sent it.
    pub workspace_id: Option<Id>,
    /// The webhook for which it was sent.
    pub webhook_id: Option<Id>,
    /// When the event was enqueued for delivery. It can be late, and all events of a batch share
    /// it, so it does not show the order of changes. To order them, see
    /// [mirroring](crate::guide::mirroring).
    pub event_date: Option<jiff::Timestamp>,
    /// The user who caused the event, if it was a logged-in user (since autumn 2025).
    pub user_id: Option<Id>,
    /// The same user, as a member of the workspace.
    pub workspace_member_id: Option<Id>,
    /// The API key that caused the event. Only metadata events have it.
    pub api_key_id: Option<Id>,
    /// The application that caused the event. Twenty's code has this member, but no version is
    /// known to send it.
    pub application_id: Option<Id>,
    unexpected: Vec<UnexpectedMember>,
    verified: Verified,
}

impl<T: FromRecord> WebhookEvent<T> {
    /// Reads the event in a verified delivery.
    ///
    /// In a handler, the extractor does this. Call it if you verify deliveries in one place and
    /// handle them in another.
    ///
    /// # Errors
    ///
    /// [`EventError`], with one of the kinds in [`EventErrorKind`](super::EventErrorKind). With the
    /// default type it fails only if the body is not JSON.
    pub fn from_verified(verified: Verified) -> Result<Self, EventError> {
        let event = Self::read(verified)?;
        #[cfg(feature = "tracing")]
        if !event.unexpected.is_empty() {
            use crate::clip::{NAME, clip};

            // One line reports all members, because there may be thousands.
            let first = event.unexpected.iter().take(5);
            let first: Vec<_> =
                first.map(|member| format!("{} ({})", clip(&member.path, NAME), member.found)).collect();
            crate::report::report(|| {
                tracing::warn!(
                    twenty.event.name = &*clip(event.name.as_str(), NAME),
                    count = event.unexpected.len(),
                    first = first.join(", "),
                    "event has members of unexpected types"
                );
            });
        }
        Ok(event)
    }

    /// Reads the event without logging.
    pub(crate) fn read(verified: Verified) -> Result<Self, EventError> {
        let (Envelope { name, record, about }, unexpected) = wire::read(verified.body())?;
        let About { updated_fields, object_metadata, workspace_id, webhook_id, event_date, .. } = about;
        let About { user_id, workspace_member_id, api_key_id, application_id, .. } = about;
        Ok(Self {
            name,
            record,
            updated_fields,
            object_metadata,
            workspace_id,
            webhook_id,
            event_date: event_date.map(|Time(time)| time),
            user_id,
            workspace_member_id,
            api_key_id,
            application_id,
            unexpected,
            verified,
        })
    }
}

impl Verified {
    /// Reads the event: [`WebhookEvent::from_verified`] as a method.
    ///
    /// # Errors
    ///
    /// [`EventError`], with one of the kinds in [`EventErrorKind`](super::EventErrorKind). With the
    /// default type it fails only if the body is not JSON.
    pub fn into_event<T: FromRecord>(self) -> Result<WebhookEvent<T>, EventError> {
        WebhookEvent::from_verified(self)
    }
}

impl<T> WebhookEvent<T> {
    /// Returns whether an update touched `field`, by Twenty's name for it.
    ///
    /// For a relation, the names `company` and `companyId` give the same result, even if the
    /// delivery lists only one of them. Two independent fields with such names are not mistaken for
    /// a relation: if the record has a member `company`, each name is looked up separately.
    ///
    /// For a bulk update, `true` may be wrong. Versions of autumn 2025 compared some of the updated
    /// records with each other, and listed fields that did not change, such as `id` and
    /// `createdAt`. If this matters, compare with your stored values.
    ///
    /// Returns `false` if the delivery lists no fields. A metadata event lists its own:
    /// [`MetadataEvent::updated_fields`](super::record::MetadataEvent::updated_fields).
    #[must_use]
    pub fn changed(&self, field: &str) -> bool {
        let relation = field.strip_suffix("Id").unwrap_or(field);
        let mut listed = self.updated_fields.iter().flatten();
        listed.clone().any(|listed| listed == field)
            || listed.any(|listed| listed.strip_suffix("Id").unwrap_or(listed) == relation)
                && self.raw_record().is_none_or(|record| record.get(relation).is_none())
    }

    /// Returns whether a record was restored from the trash, even if the event is called `deleted`.
    /// Some versions, such as those of October 2025 and January 2026, send a restoration as
    /// `deleted`, with a record in which `deletedAt` is `null`.
    ///
    /// Such a record has only the fields that the client selected when it made the change, so this
    /// has limits:
    ///
    /// - If the client did not select `deletedAt`, as in `{id}`, a restoration looks like a
    ///   deletion, and this returns `false`.
    /// - Versions of early 2025 send a deleted record as it was before, with `deletedAt: null`, so
    ///   this returns `true` for each deletion. Versions of autumn 2025 may do the same when
    ///   records are merged.
    ///
    /// If a mistake is costly, check through Twenty's API whether the record exists.
    ///
    /// ```
    /// use twenty_webhook::{WebhookEvent, event::Action, testing::Delivery};
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let body = r#"{"eventName":"company.deleted","record":{"id":"61927652","deletedAt":null}}"#;
    /// let event: WebhookEvent = Delivery::from_body(body).into_event()?;
    /// assert_eq!(event.name.action(), &Action::Deleted);
    /// assert!(event.is_restoration());
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn is_restoration(&self) -> bool {
        let is_not_deleted = || self.raw_record()?.get("deletedAt").map(|at| at.json_type() == JsonType::Null);
        match self.name.action() {
            Action::Restored => true,
            Action::Deleted => is_not_deleted().unwrap_or(false),
            _ => false,
        }
    }

    /// Returns the members that were left out, because they have an unexpected type or repeat a
    /// name. Their fields are `None`.
    ///
    /// The record is exactly what `serde_json` would read from its text if these members were
    /// missing. Only raw JSON has its whole text, including these members: a raw record, and a
    /// field of type [`RawJson`]. If more than 64 members would be left out, the default type keeps
    /// the whole record raw, and any other type rejects it.
    #[must_use]
    pub fn unexpected(&self) -> &[UnexpectedMember] {
        &self.unexpected
    }

    /// Returns the record as it was sent, including custom fields:
    /// `event.raw_record()?.get("intro")`. It shares the body's memory.
    ///
    /// Returns `None` if the body has no record, as in a metadata event: see
    /// [`MetadataEvent::raw`](super::record::MetadataEvent::raw).
    #[must_use]
    pub fn raw_record(&self) -> Option<RawJson> {
        RawJson::of_body(self.body().clone()).find(|name| matches!(name, b"record" | b"data"))
    }

    /// Returns the whole body as it was sent.
    #[must_use]
    pub const fn body(&self) -> &Bytes {
        self.verified.body()
    }

    /// Returns the verified delivery.
    #[must_use]
    pub const fn verified(&self) -> &Verified {
        &self.verified
    }
}

impl<T> fmt::Debug for WebhookEvent<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WebhookEvent")
            .field("name", &self.name)
            .field("workspace_id", &self.workspace_id)
            .field("webhook_id", &self.webhook_id)
            .field("event_date", &self.event_date)
            .field("updated_fields", &self.updated_fields)
            .field("verified", &self.verified)
            .finish_non_exhaustive()
    }
}
