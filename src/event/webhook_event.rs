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

/// A verified event of Twenty's, and the extractor that yields it.
///
/// By default the record is a [`Record`], which takes every authentic delivery. Name a type to take
/// one object only: `WebhookEvent<Person>`, or a type of your own; see [the module](super).
///
/// There is no way to make one from bytes that were not verified. In a handler it answers for you
/// when the delivery is not what was asked for: 400 when the body is no JSON, 422 when it does not
/// fit `T` or is about another object, 500 when the middleware is missing.
///
/// Cloning copies what was read, and shares the body. `Debug` shows name and ids, not the record.
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
/// let intro = event.raw_record().and_then(|record| record.get("intro")?.to_text()); // a field of your own
/// assert_eq!(intro.as_deref(), Some("Hello"));
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
#[non_exhaustive]
pub struct WebhookEvent<T = Record> {
    /// What happened to what: `person.created`.
    pub name: EventName,
    /// The record as it is now; as it was before, when it was destroyed. Deleted records may have
    /// nothing but their id.
    pub record: T,
    /// The names of the fields that an update touched. `None` when the delivery does not say, as
    /// for a created record.
    ///
    /// Of a relation, current versions list both names (`company`, `companyId`), those of 2025 only
    /// the second: ask with [`changed`](Self::changed).
    pub updated_fields: Option<Vec<String>>,
    /// The record's object. Metadata events have none.
    pub object_metadata: Option<ObjectMetadata>,
    /// The workspace that sent it.
    pub workspace_id: Option<Id>,
    /// The webhook that it was sent for.
    pub webhook_id: Option<Id>,
    /// When the event was put up for delivery. All events of one batch share it; it says nothing
    /// about the order of changes. Order by the record's `updated_at`.
    pub event_date: Option<jiff::Timestamp>,
    /// The user who caused it, if a logged-in user did (since autumn 2025).
    pub user_id: Option<Id>,
    /// The same user, as a member of the workspace.
    pub workspace_member_id: Option<Id>,
    /// The API key that caused it. Sent with metadata events only.
    pub api_key_id: Option<Id>,
    /// The application that caused it. Twenty has the name for it but was not yet seen to send it.
    pub application_id: Option<Id>,
    unexpected: Vec<UnexpectedMember>,
    verified: Verified,
}

impl<T: FromRecord> WebhookEvent<T> {
    /// Reads the event in a verified delivery.
    ///
    /// In a handler the extractor does this. Call it where deliveries are verified in one place and
    /// handled in another.
    ///
    /// # Errors
    ///
    /// [`EventErrorKind`](super::EventErrorKind). With the default type only when the body is no
    /// JSON at all.
    pub fn from_verified(verified: Verified) -> Result<Self, EventError> {
        let event = Self::read(verified)?;
        #[cfg(feature = "tracing")]
        if !event.unexpected.is_empty() {
            use crate::clip::{NAME, clip};

            // One line, for there may be thousands.
            let first = event.unexpected.iter().take(5);
            let first: Vec<_> =
                first.map(|member| format!("{} ({})", clip(&member.path, NAME), member.found)).collect();
            tracing::warn!(
                event.name = &*clip(event.name.as_str(), NAME),
                count = event.unexpected.len(),
                first = first.join(", "),
                "event has members of unexpected types"
            );
        }
        Ok(event)
    }

    /// The same, without a word to the log.
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
    /// [`EventErrorKind`](super::EventErrorKind). With the default type only when the body is no
    /// JSON at all.
    pub fn into_event<T: FromRecord>(self) -> Result<WebhookEvent<T>, EventError> {
        WebhookEvent::from_verified(self)
    }
}

impl<T> WebhookEvent<T> {
    /// Whether an update touched `field`, by Twenty's name for it. Of a relation, either name will
    /// do, `company` or `companyId`, whichever is listed: a record never holds the first, so two
    /// fields that are only named like that are told apart.
    ///
    /// `true` may be wrong for a bulk update: servers of autumn 2025 compared some of its records
    /// with each other and listed fields that did not change, `id` and `createdAt` among them.
    /// Compare with what you stored where that matters.
    ///
    /// `false` when the delivery lists no fields. A metadata event lists its own:
    /// [`MetadataEvent::updated_fields`](super::record::MetadataEvent::updated_fields).
    #[must_use]
    pub fn changed(&self, field: &str) -> bool {
        let relation = field.strip_suffix("Id").unwrap_or(field);
        let mut listed = self.updated_fields.iter().flatten();
        listed.clone().any(|listed| listed == field)
            || listed.any(|listed| listed.strip_suffix("Id").unwrap_or(listed) == relation)
                && self.raw_record().is_none_or(|record| record.get(relation).is_none())
    }

    /// Whether a record was taken out of the trash, also where the event says the opposite: some
    /// servers, such as those of October 2025 and January 2026, send a restoration as `deleted`,
    /// with a record in which `deletedAt` is `null`.
    ///
    /// What such a record holds follows the selection of the client that made the change, so this
    /// has limits:
    ///
    /// - If the client selected no `deletedAt`, as `{id}`, a restoration looks like a deletion:
    ///   `false`.
    /// - Servers of early 2025 send a deleted record as it was before, with `deletedAt: null`:
    ///   `true` for each deletion. Servers of autumn 2025 may do so when records are merged.
    ///
    /// Where a mistake is costly, ask Twenty's API whether the record exists.
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

    /// The members that were left out, because they are not of the expected type or repeat a name.
    /// They read as absent.
    ///
    /// The record is what `serde_json` reads from the record's text without exactly these members.
    /// A record with more than 64 of them is not taken apart: the default type keeps it raw, any
    /// other rejects it. A record that is raw has its whole text, these members included.
    #[must_use]
    pub fn unexpected(&self) -> &[UnexpectedMember] {
        &self.unexpected
    }

    /// The record as it was sent, custom fields included: `event.raw_record()?.get("intro")`.
    /// Shares the body's memory.
    ///
    /// `None` for a metadata event, which has its own:
    /// [`MetadataEvent::raw`](super::record::MetadataEvent::raw).
    #[must_use]
    pub fn raw_record(&self) -> Option<RawJson> {
        RawJson::of_body(self.body().clone()).find(|name| matches!(name, b"record" | b"data"))
    }

    /// The whole delivery as it was sent.
    #[must_use]
    pub const fn body(&self) -> &Bytes {
        self.verified.body()
    }

    /// The evidence that this delivery is authentic.
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
