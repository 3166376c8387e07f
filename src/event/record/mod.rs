//! The records inside events: one type for each standard object, and [`Record`] for all of them.
//!
//! # Fields
//!
//! The table shows Twenty's name of each field, and the Rust field into which it is read. All
//! fields are `Option`s. Other versions of Twenty have fewer or more fields; fields that are not in
//! the table are in [the raw record](super::WebhookEvent::raw_record).
//!
#![doc = include_str!("FIELDS.md")]

mod communication;
mod custom;
#[cfg(test)]
mod fields;
mod from_record;
mod metadata;
mod objects;
mod standard;
mod with;
mod workflows;

use serde::{Deserialize, de::Error};

pub use communication::*;
pub use custom::CustomRecord;
pub use from_record::FromRecord;
pub(super) use from_record::Payload;
pub use metadata::{FieldChange, MetadataEvent};
pub(super) use objects::as_sent;
pub use objects::*;
pub use with::With;
pub use workflows::*;

use super::{EventError, EventName, RawJson, field::Id, json::Reader};

/// Defines the enum of records, and its methods that depend on the object, from the list of
/// standard objects.
macro_rules! standard_objects {
    ($($(#[$doc:meta])* $Name:ident,)*) => {
        /// Any record. [`WebhookEvent`](super::WebhookEvent) contains it by default.
        ///
        /// It is non-exhaustive, because a later release may add a type for an object that is
        /// [`Custom`](Self::Custom) today. The changelog mentions such a change.
        #[derive(Clone, Debug, PartialEq)]
        #[non_exhaustive]
        pub enum Record {
            $($(#[$doc])* $Name(Box<$Name>),)*
            /// A change of the workspace's data model or settings.
            Metadata(MetadataEvent),
            /// A custom object, or one that this crate has no type for, with its fields as they
            /// were sent. Also a record that is not a JSON object.
            Custom(CustomRecord),
        }

        impl Record {
            /// Returns the record's id. For a metadata event, returns the id of the changed row.
            #[must_use]
            pub fn id(&self) -> Option<Id> {
                match self {
                    $(Self::$Name(record) => record.id.clone(),)*
                    Self::Metadata(event) => event.record_id(),
                    Self::Custom(record) => record.id(),
                }
            }

            /// Returns a name for display: a person's full name, a company's name, a task's title.
            #[must_use]
            pub fn display_name(&self) -> Option<String> {
                match self {
                    $(Self::$Name(record) => record.display_name(),)*
                    Self::Metadata(event) => event.display_name(),
                    Self::Custom(record) => record.display_name(),
                }
            }

            /// Reads a standard object, and keeps anything else raw.
            fn read_object<E: Error>(payload: Payload<'_>, reader: &mut Reader<'_, E>) -> Result<Self, E> {
                match payload.name.object() {
                    $($Name::OBJECT => $Name::deserialize(reader).map(|record| Self::$Name(Box::new(record))),)*
                    _ => Ok(Self::raw(payload.name, payload.read_raw(reader)?)),
                }
            }
        }

        /// Calls a macro with the names of all standard objects.
        #[cfg(test)]
        macro_rules! each_standard_object {
            ($with:ident) => { $with! { $($Name)* } };
        }
        #[cfg(test)]
        use each_standard_object;
    };
}

standard_objects! {
    /// A person.
    Person,
    /// A company.
    Company,
    /// An opportunity.
    Opportunity,
    /// A note.
    Note,
    /// A record to which a note is attached.
    NoteTarget,
    /// A task.
    Task,
    /// A record to which a task is attached.
    TaskTarget,
    /// A file that is attached to a record.
    Attachment,
    /// A member of the workspace.
    WorkspaceMember,
    /// A calendar event.
    CalendarEvent,
    /// A participant of a calendar event.
    CalendarEventParticipant,
    /// An e-mail.
    Message,
    /// A workflow.
    Workflow,
    /// A version of a workflow.
    WorkflowVersion,
    /// A run of a workflow.
    WorkflowRun,
    /// The sender or a recipient of an e-mail.
    MessageParticipant,
    /// A thread of e-mails.
    MessageThread,
    /// An e-mail to many people.
    MessageCampaign,
    /// The recording of a call.
    CallRecording,
    /// A record to which a calendar event is assigned.
    CalendarEventTarget,
    /// A record to which a thread of e-mails is assigned.
    MessageThreadTarget,
    /// A dashboard.
    Dashboard,
}

impl Record {
    fn raw(name: &EventName, raw: RawJson) -> Self {
        match name.metadata_name() {
            Some(metadata_name) => Self::Metadata(MetadataEvent::new(metadata_name, name.action(), raw)),
            None => Self::Custom(CustomRecord::new(name.object(), raw)),
        }
    }
}

impl FromRecord for Record {
    fn check_object(_: &EventName) -> Result<(), EventError> {
        Ok(())
    }

    fn read<E: Error>(payload: Payload<'_>, reader: &mut Reader<'_, E>) -> Result<Self, E> {
        Self::read_object(payload, reader)
    }

    fn is_person(name: &EventName) -> bool {
        name.object() == Person::OBJECT
    }

    fn keep_raw(name: &EventName, raw: RawJson) -> Option<Self> {
        Some(Self::raw(name, raw))
    }
}
