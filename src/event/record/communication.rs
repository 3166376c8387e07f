//! Standard objects: calendars, e-mails and calls.

use super::standard::{non_empty, standard_object};
use crate::event::field::{Actor, Emails, FileRef, Id, Links, RichText, select, write_time};

standard_object! {
    /// An event in a calendar.
    CalendarEvent = "calendarEvent" {
        /// Title.
        title: String,
        /// Whether it was called off.
        is_canceled: bool,
        /// Whether it takes whole days.
        is_full_day: bool,
        /// When it begins.
        #[serde(serialize_with = "write_time")]
        starts_at: jiff::Timestamp,
        /// When it ends.
        #[serde(serialize_with = "write_time")]
        ends_at: jiff::Timestamp,
        /// When it was created in the calendar it comes from.
        #[serde(serialize_with = "write_time")]
        external_created_at: jiff::Timestamp,
        /// When it was changed there.
        #[serde(serialize_with = "write_time")]
        external_updated_at: jiff::Timestamp,
        /// Description.
        description: String,
        /// Where it takes place.
        location: String,
        /// Its id in iCalendar. Also read under its name of 2025, `iCalUID`.
        #[serde(alias = "iCalUID")]
        i_cal_uid: String,
        /// What it is held over.
        conference_solution: String,
        /// Where to join.
        conference_link: Links,
    }
    display_name: |event| event.title.clone()
}

select! {
    /// What somebody answered to an invitation.
    ResponseStatus {
        /// No answer yet.
        NeedsAction = "NEEDS_ACTION",
        /// No.
        Declined = "DECLINED",
        /// Perhaps.
        Tentative = "TENTATIVE",
        /// Yes.
        Accepted = "ACCEPTED",
    }
}

standard_object! {
    /// Somebody who takes part in an event.
    CalendarEventParticipant = "calendarEventParticipant" {
        /// E-mail address.
        handle: String,
        /// Name in the invitation.
        display_name: String,
        /// Whether they invited.
        is_organizer: bool,
        /// What they answered.
        response_status: ResponseStatus,
        /// The event.
        calendar_event_id: Id,
        /// The person they are.
        person_id: Id,
        /// The workspace member they are.
        workspace_member_id: Id,
    }
    display_name: |participant| {
        non_empty(participant.display_name.as_ref()).or_else(|| participant.handle.clone())
    }
}

select! {
    /// Whether an e-mail came in or went out.
    MessageDirection {
        /// It came in.
        Incoming = "INCOMING",
        /// It went out.
        Outgoing = "OUTGOING",
    }
}

standard_object! {
    /// An e-mail.
    Message = "message" {
        /// `Message-ID` of the e-mail.
        header_message_id: String,
        /// Subject.
        subject: String,
        /// Text.
        text: String,
        /// When it came.
        #[serde(serialize_with = "write_time")]
        received_at: jiff::Timestamp,
        /// Whether it is a draft (newer versions).
        is_draft: bool,
        /// The thread that it belongs to.
        message_thread_id: Id,
        /// Whether it came in or went out.
        direction: MessageDirection,
        /// The campaign that it was sent for (since 2026).
        message_campaign_id: Id,
    }
    display_name: |message| message.subject.clone()
}

select! {
    /// The part that somebody has in an e-mail. Servers until autumn 2025 sent it in lower case,
    /// which reads as `Other`.
    MessageParticipantRole {
        /// The sender.
        From = "FROM",
        /// A recipient.
        To = "TO",
        /// A recipient of a copy.
        Cc = "CC",
        /// A recipient whom the others do not see.
        Bcc = "BCC",
        /// Who gets the answers.
        ReplyTo = "REPLY_TO",
    }
}

standard_object! {
    /// Somebody who sent or received an e-mail.
    MessageParticipant = "messageParticipant" {
        /// Which part they have.
        role: MessageParticipantRole,
        /// E-mail address.
        handle: String,
        /// Name in the e-mail.
        display_name: String,
        /// The e-mail.
        message_id: Id,
        /// The person they are.
        person_id: Id,
        /// The workspace member they are.
        workspace_member_id: Id,
        /// The campaign that the e-mail was sent for.
        message_campaign_id: Id,
    }
    display_name: |participant| {
        non_empty(participant.display_name.as_ref()).or_else(|| participant.handle.clone())
    }
}

standard_object! {
    /// E-mails that answer each other.
    MessageThread = "messageThread" {
        /// Subject.
        subject: String,
    }
    display_name: |thread| thread.subject.clone()
}

select! {
    /// How far a campaign has come.
    MessageCampaignStatus {
        /// Being written.
        Draft = "DRAFT",
        /// To be sent later.
        Scheduled = "SCHEDULED",
        /// Being sent.
        Sending = "SENDING",
        /// Sent.
        Sent = "SENT",
        /// Sent, except to some.
        SentWithErrors = "SENT_WITH_ERRORS",
    }
}

standard_object! {
    /// An e-mail to many people (since 2026).
    MessageCampaign = "messageCampaign" {
        /// Name.
        name: String,
        /// Subject of the e-mails.
        subject: String,
        /// Text of the e-mails, with placeholders.
        body_template: String,
        /// The sender.
        from_address: Emails,
        /// How far it has come.
        status: MessageCampaignStatus,
        /// When it is to be sent.
        #[serde(serialize_with = "write_time")]
        scheduled_at: jiff::Timestamp,
        /// When it was sent.
        #[serde(serialize_with = "write_time")]
        sent_at: jiff::Timestamp,
        /// The list of recipients.
        list_id: Id,
        /// The topic that recipients can unsubscribe from.
        unsubscribe_topic_id: Id,
    }
    display_name: |campaign| non_empty(campaign.name.as_ref()).or_else(|| campaign.subject.clone())
}

select! {
    /// How far the recording of a call has come.
    CallRecordingStatus {
        /// To be made.
        Scheduled = "SCHEDULED",
        /// The recorder joins the call.
        Joining = "JOINING",
        /// Being recorded.
        Recording = "RECORDING",
        /// Being processed.
        Processing = "PROCESSING",
        /// Ready.
        Completed = "COMPLETED",
        /// Failed for an unknown reason.
        FailedUnknown = "FAILED_UNKNOWN",
    }
}

standard_object! {
    /// The recording of a call (since 2026). Its `transcript` is JSON of any form: see the raw
    /// record.
    CallRecording = "callRecording" {
        /// Title.
        title: String,
        /// How far it has come.
        status: CallRecordingStatus,
        /// How far the request to record has come.
        recording_request_status: String,
        /// The application that records.
        application_id: Id,
        /// The recorder, at its provider.
        external_bot_id: String,
        /// The recording, at its provider.
        external_recording_id: String,
        /// When it began.
        #[serde(serialize_with = "write_time")]
        started_at: jiff::Timestamp,
        /// When it ended.
        #[serde(serialize_with = "write_time")]
        ended_at: jiff::Timestamp,
        /// Picture and sound.
        video: Vec<FileRef>,
        /// Sound.
        audio: Vec<FileRef>,
        /// Summary.
        summary: RichText,
        /// The event in a calendar.
        calendar_event_id: Id,
    }
    display_name: |recording| recording.title.clone()
}

standard_object! {
    /// What an event in a calendar is assigned to (since 2026).
    CalendarEventTarget = "calendarEventTarget" {
        /// The person.
        target_person_id: Id,
        /// The company.
        target_company_id: Id,
        /// The opportunity.
        target_opportunity_id: Id,
        /// Whether Twenty assigned it.
        is_automatically_assigned: bool,
        /// Whether somebody assigned it by hand.
        is_manually_assigned: bool,
    }
    display_name: |_| None
}

standard_object! {
    /// What a thread of e-mails is assigned to (since 2026).
    MessageThreadTarget = "messageThreadTarget" {
        /// The person.
        target_person_id: Id,
        /// The company.
        target_company_id: Id,
        /// The opportunity.
        target_opportunity_id: Id,
        /// Whether Twenty assigned it.
        is_automatically_assigned: bool,
        /// Whether somebody assigned it by hand.
        is_manually_assigned: bool,
    }
    display_name: |_| None
}
