//! The records inside events: one type for each standard object, and [`Record`] for all of them.
//!
//! # Fields
//!
//! Twenty's name of a field, and the Rust field that it is read into. All are `Option`s. Older and
//! newer versions of Twenty have fewer and more; those that are not here are in [the raw
//! record](super::WebhookEvent::raw_record).
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

/// The one list of standard objects: the enum, and what differs by object in its methods.
macro_rules! standard_objects {
    ($($(#[$doc:meta])* $Name:ident,)*) => {
        /// Any record: what [`WebhookEvent`](super::WebhookEvent) holds by default.
        ///
        /// Non-exhaustive: an object that is [`Custom`](Self::Custom) today may get a type of its
        /// own, in a release that says so.
        #[derive(Clone, Debug, PartialEq)]
        #[non_exhaustive]
        pub enum Record {
            $($(#[$doc])* $Name(Box<$Name>),)*
            /// A change of the workspace's data model or settings.
            Metadata(MetadataEvent),
            /// An object of the workspace's own, or one that has no type here, with its fields as
            /// they were sent. Also a record that is not an object at all.
            Custom(CustomRecord),
        }

        impl Record {
            /// The record's id; of a metadata event, the id of what was changed.
            #[must_use]
            pub fn id(&self) -> Option<Id> {
                match self {
                    $(Self::$Name(record) => record.id.clone(),)*
                    Self::Metadata(event) => event.record_id(),
                    Self::Custom(record) => record.id(),
                }
            }

            /// What people call it: a person's full name, a company's name, a task's title.
            #[must_use]
            pub fn display_name(&self) -> Option<String> {
                match self {
                    $(Self::$Name(record) => record.display_name(),)*
                    Self::Metadata(event) => event.display_name(),
                    Self::Custom(record) => record.display_name(),
                }
            }

            /// Reads a standard object; anything else raw.
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
    /// What a note is attached to.
    NoteTarget,
    /// A task.
    Task,
    /// What a task is attached to.
    TaskTarget,
    /// A file attached to something.
    Attachment,
    /// A member of the workspace.
    WorkspaceMember,
    /// An event in a calendar.
    CalendarEvent,
    /// Somebody who takes part in one.
    CalendarEventParticipant,
    /// An e-mail.
    Message,
    /// A workflow.
    Workflow,
    /// A version of one.
    WorkflowVersion,
    /// A run of one.
    WorkflowRun,
    /// Somebody who sent or received an e-mail.
    MessageParticipant,
    /// E-mails that answer each other.
    MessageThread,
    /// An e-mail to many people.
    MessageCampaign,
    /// The recording of a call.
    CallRecording,
    /// What an event in a calendar is assigned to.
    CalendarEventTarget,
    /// What a thread of e-mails is assigned to.
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
