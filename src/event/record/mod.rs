//! The records inside events: one type for each standard object, and [`Record`] for all of them.
//!
//! # Fields
//!
//! Twenty's name of a field, and the Rust field that it is read into. All are `Option`s. Older and newer versions of Twenty have
//! fewer and more; those that are not here are in [the raw record](super::WebhookEvent::raw_record).
//!
#![doc = include_str!("FIELDS.md")]

mod custom;
#[cfg(test)]
mod fields;
mod from_record;
mod metadata;
mod objects;
mod standard;

use serde::{Deserialize, Deserializer};

pub use custom::CustomRecord;
pub use from_record::FromRecord;
pub(super) use from_record::Payload;
pub use metadata::{FieldChange, MetadataEvent};
pub use objects::*;

use super::{EventError, EventName, RawJson, field::Id};

/// Any record: what [`WebhookEvent`](super::WebhookEvent) holds by default.
///
/// Non-exhaustive: an object that is [`Custom`](Self::Custom) today may get a type of its own, in a release that says so.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Record {
    /// A person.
    Person(Box<Person>),
    /// A company.
    Company(Box<Company>),
    /// An opportunity.
    Opportunity(Box<Opportunity>),
    /// A note.
    Note(Box<Note>),
    /// What a note is attached to.
    NoteTarget(Box<NoteTarget>),
    /// A task.
    Task(Box<Task>),
    /// What a task is attached to.
    TaskTarget(Box<TaskTarget>),
    /// A file attached to something.
    Attachment(Box<Attachment>),
    /// A member of the workspace.
    WorkspaceMember(Box<WorkspaceMember>),
    /// An event in a calendar.
    CalendarEvent(Box<CalendarEvent>),
    /// Somebody who takes part in one.
    CalendarEventParticipant(Box<CalendarEventParticipant>),
    /// An e-mail.
    Message(Box<Message>),
    /// A workflow.
    Workflow(Box<Workflow>),
    /// A version of one.
    WorkflowVersion(Box<WorkflowVersion>),
    /// A run of one.
    WorkflowRun(Box<WorkflowRun>),
    /// A change of the workspace's data model or settings.
    Metadata(MetadataEvent),
    /// An object of the workspace's own, or one that has no type here, with its fields as they were sent. Also a record that is
    /// no object at all.
    Custom(CustomRecord),
}

/// One arm for each standard object, of all that is the same for each.
macro_rules! each_standard_object {
    ($record:expr, $bound:ident => $answer:expr, metadata $metadata:ident => $metadata_answer:expr, custom $custom:ident => $custom_answer:expr $(,)?) => {
        match $record {
            Record::Person($bound) => $answer,
            Record::Company($bound) => $answer,
            Record::Opportunity($bound) => $answer,
            Record::Note($bound) => $answer,
            Record::NoteTarget($bound) => $answer,
            Record::Task($bound) => $answer,
            Record::TaskTarget($bound) => $answer,
            Record::Attachment($bound) => $answer,
            Record::WorkspaceMember($bound) => $answer,
            Record::CalendarEvent($bound) => $answer,
            Record::CalendarEventParticipant($bound) => $answer,
            Record::Message($bound) => $answer,
            Record::Workflow($bound) => $answer,
            Record::WorkflowVersion($bound) => $answer,
            Record::WorkflowRun($bound) => $answer,
            Record::Metadata($metadata) => $metadata_answer,
            Record::Custom($custom) => $custom_answer,
        }
    };
}

impl Record {
    fn raw(name: &EventName, raw: RawJson) -> Self {
        match name.metadata_name() {
            Some(metadata_name) => Self::Metadata(MetadataEvent::new(metadata_name, name.action(), raw)),
            None => Self::Custom(CustomRecord::new(name.object(), raw)),
        }
    }

    /// The record's id; of a metadata event, the id of what was changed.
    #[must_use]
    pub fn id(&self) -> Option<Id> {
        each_standard_object!(
            self,
            record => record.id.clone(),
            metadata event => event.record_id(),
            custom record => record.id(),
        )
    }

    /// What people call it: a person's full name, a company's name, a task's title.
    #[must_use]
    pub fn display_name(&self) -> Option<String> {
        each_standard_object!(
            self,
            record => record.display_name(),
            metadata event => event.display_name(),
            custom record => record.display_name(),
        )
    }
}

impl FromRecord for Record {
    fn check_object(_: &EventName) -> Result<(), EventError> {
        Ok(())
    }

    fn read<'de, D: Deserializer<'de>>(payload: Payload<'_>, from: D) -> Result<Self, D::Error> {
        fn boxed<'de, T: Deserialize<'de>, D: Deserializer<'de>>(from: D) -> Result<Box<T>, D::Error> {
            T::deserialize(from).map(Box::new)
        }

        match payload.name.object() {
            Person::OBJECT => boxed(from).map(Self::Person),
            Company::OBJECT => boxed(from).map(Self::Company),
            Opportunity::OBJECT => boxed(from).map(Self::Opportunity),
            Note::OBJECT => boxed(from).map(Self::Note),
            NoteTarget::OBJECT => boxed(from).map(Self::NoteTarget),
            Task::OBJECT => boxed(from).map(Self::Task),
            TaskTarget::OBJECT => boxed(from).map(Self::TaskTarget),
            Attachment::OBJECT => boxed(from).map(Self::Attachment),
            WorkspaceMember::OBJECT => boxed(from).map(Self::WorkspaceMember),
            CalendarEvent::OBJECT => boxed(from).map(Self::CalendarEvent),
            CalendarEventParticipant::OBJECT => boxed(from).map(Self::CalendarEventParticipant),
            Message::OBJECT => boxed(from).map(Self::Message),
            Workflow::OBJECT => boxed(from).map(Self::Workflow),
            WorkflowVersion::OBJECT => boxed(from).map(Self::WorkflowVersion),
            WorkflowRun::OBJECT => boxed(from).map(Self::WorkflowRun),
            _ => Ok(Self::raw(payload.name, payload.read_raw(from)?)),
        }
    }

    fn keep_raw(name: &EventName, raw: RawJson) -> Option<Self> {
        Some(Self::raw(name, raw))
    }
}
