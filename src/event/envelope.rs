//! The envelope: everything in a delivery except the record.

use serde::Deserialize;

use super::{
    EventName, JsonType,
    field::{Id, Time},
};

/// The parts of a delivery.
pub(super) struct Envelope<T> {
    pub(super) name: EventName,
    pub(super) record: T,
    pub(super) about: About,
}

/// The members of a delivery besides its name and record.
#[derive(Default)]
pub(super) struct About {
    pub(super) updated_fields: Option<Vec<String>>,
    pub(super) object_metadata: Option<ObjectMetadata>,
    pub(super) workspace_id: Option<Id>,
    pub(super) webhook_id: Option<Id>,
    pub(super) event_date: Option<Time>,
    pub(super) user_id: Option<Id>,
    pub(super) workspace_member_id: Option<Id>,
    pub(super) api_key_id: Option<Id>,
    pub(super) application_id: Option<Id>,
}

/// The object that an event is about, from Twenty's data model.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct ObjectMetadata {
    /// The object's id in the data model.
    pub id: Option<Id>,
    /// The object's name in the singular.
    pub name_singular: Option<String>,
}

/// A member that was left out, because it has an unexpected type or the name of an earlier member.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct UnexpectedMember {
    /// Its path from the body's root: `record.emails.primaryEmail`. A name that no field can have
    /// is replaced by a question mark, because it may be data.
    pub path: String,
    /// The type that was found there.
    pub found: JsonType,
    /// Whether it was left out because an earlier member has the same name. The first counts.
    pub is_repeated: bool,
}

/// Defines the enum of the envelope's members.
macro_rules! keys {
    ($($(#[doc = $doc:literal])* $Key:ident = $name:literal,)*) => {
        #[derive(Clone, Copy, PartialEq, Eq)]
        pub(super) enum Key {
            $($(#[doc = $doc])* $Key,)*
        }

        impl Key {
            #[inline]
            pub(super) fn of(name: &str) -> Option<Self> {
                match name {
                    $($name => Some(Self::$Key),)*
                    _ => None,
                }
            }

            pub(super) const fn name(self) -> &'static str {
                match self {
                    $(Self::$Key => $name,)*
                }
            }

            #[cfg(test)]
            pub(super) const NAMES: &'static [&'static str] = &[$($name),*];
        }
    };
}

keys! {
    TargetUrl = "targetUrl",
    EventName = "eventName",
    /// The event's name in the documented body. In a metadata event, the description of the change.
    Event = "event",
    ObjectMetadata = "objectMetadata",
    WorkspaceId = "workspaceId",
    WebhookId = "webhookId",
    EventDate = "eventDate",
    /// The event's date in the documented body.
    Timestamp = "timestamp",
    UserId = "userId",
    WorkspaceMemberId = "workspaceMemberId",
    ApiKeyId = "apiKeyId",
    ApplicationId = "applicationId",
    Record = "record",
    /// The record in the documented body.
    Data = "data",
    UpdatedFields = "updatedFields",
}
