//! Standard objects: calendars, e-mails and calls.

use super::standard::{non_empty, standard_object};
use crate::event::field::{Actor, Emails, FileRef, Id, Links, RichText, select, write_time};

standard_object! {
    /// An event in a calendar.
    CalendarEvent = "calendarEvent" {
        /// Title.
        title: String,
        /// Whether it was cancelled.
        is_canceled: bool,
        /// Whether it lasts whole days.
        is_full_day: bool,
        /// When it begins.
        #[serde(serialize_with = "write_time")]
        starts_at: jiff::Timestamp,
        /// When it ends.
        #[serde(serialize_with = "write_time")]
        ends_at: jiff::Timestamp,
        /// When it was created in the original calendar.
        #[serde(serialize_with = "write_time")]
        external_created_at: jiff::Timestamp,
        /// When it was changed in the original calendar.
        #[serde(serialize_with = "write_time")]
        external_updated_at: jiff::Timestamp,
        /// Description.
        description: String,
        /// Where it takes place.
        location: String,
        /// Its id in iCalendar. Also read under its name of 2025, `iCalUID`.
        #[serde(alias = "iCalUID")]
        i_cal_uid: String,
        /// The conferencing service.
        conference_solution: String,
        /// The link to join.
        conference_link: Links,
    }
    display_name: |event| event.title.clone()
}

select! {
    /// An answer to an invitation.
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
    /// A participant of a calendar event.
    CalendarEventParticipant = "calendarEventParticipant" {
        /// E-mail address.
        handle: String,
        /// Name in the invitation.
        display_name: String,
        /// Whether they are the organizer.
        is_organizer: bool,
        /// Their answer.
        response_status: ResponseStatus,
        /// The event.
        calendar_event_id: Id,
        /// The participant's person.
        person_id: Id,
        /// The participant's workspace member.
        workspace_member_id: Id,
    }
    display_name: |participant| {
        non_empty(participant.display_name.as_ref()).or_else(|| participant.handle.clone())
    }
}

select! {
    /// The direction of an e-mail.
    MessageDirection {
        /// Received.
        Incoming = "INCOMING",
        /// Sent.
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
        /// When it was received.
        #[serde(serialize_with = "write_time")]
        received_at: jiff::Timestamp,
        /// Whether it is a draft (newer versions).
        is_draft: bool,
        /// The thread that it belongs to.
        message_thread_id: Id,
        /// Its direction.
        direction: MessageDirection,
        /// The campaign that it was sent for (since 2026).
        message_campaign_id: Id,
    }
    display_name: |message| message.subject.clone()
}

select! {
    /// The role of a participant in an e-mail. Versions until autumn 2025 sent it in lower case,
    /// which reads as `Other`.
    MessageParticipantRole {
        /// The sender.
        From = "FROM",
        /// A recipient.
        To = "TO",
        /// A recipient of a copy.
        Cc = "CC",
        /// A hidden recipient.
        Bcc = "BCC",
        /// The recipient of replies.
        ReplyTo = "REPLY_TO",
    }
}

standard_object! {
    /// The sender or a recipient of an e-mail.
    MessageParticipant = "messageParticipant" {
        /// Their role.
        role: MessageParticipantRole,
        /// E-mail address.
        handle: String,
        /// Name in the e-mail.
        display_name: String,
        /// The e-mail.
        message_id: Id,
        /// The participant's person.
        person_id: Id,
        /// The participant's workspace member.
        workspace_member_id: Id,
        /// The campaign that the e-mail was sent for.
        message_campaign_id: Id,
    }
    display_name: |participant| {
        non_empty(participant.display_name.as_ref()).or_else(|| participant.handle.clone())
    }
}

standard_object! {
    /// A thread of e-mails.
    MessageThread = "messageThread" {
        /// Subject.
        subject: String,
    }
    display_name: |thread| thread.subject.clone()
}

select! {
    /// The status of a campaign.
    MessageCampaignStatus {
        /// Being written.
        Draft = "DRAFT",
        /// To be sent later.
        Scheduled = "SCHEDULED",
        /// Being sent.
        Sending = "SENDING",
        /// Sent.
        Sent = "SENT",
        /// Sent, but not to all recipients.
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
        /// Its status.
        status: MessageCampaignStatus,
        /// When it will be sent.
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
    /// The status of a recording of a call.
    CallRecordingStatus {
        /// Not started yet.
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
    /// The recording of a call (since 2026). Its `transcript` can be any JSON: read it from the raw
    /// record.
    CallRecording = "callRecording" {
        /// Title.
        title: String,
        /// Its status.
        status: CallRecordingStatus,
        /// The status of the request to record.
        recording_request_status: String,
        /// The application that records.
        application_id: Id,
        /// The provider's id of the recorder.
        external_bot_id: String,
        /// The provider's id of the recording.
        external_recording_id: String,
        /// When it began.
        #[serde(serialize_with = "write_time")]
        started_at: jiff::Timestamp,
        /// When it ended.
        #[serde(serialize_with = "write_time")]
        ended_at: jiff::Timestamp,
        /// The video.
        video: Vec<FileRef>,
        /// The audio.
        audio: Vec<FileRef>,
        /// Summary.
        summary: RichText,
        /// The calendar event.
        calendar_event_id: Id,
    }
    display_name: |recording| recording.title.clone()
}

standard_object! {
    /// A record to which a calendar event is assigned (since 2026).
    CalendarEventTarget = "calendarEventTarget" {
        /// The person.
        target_person_id: Id,
        /// The company.
        target_company_id: Id,
        /// The opportunity.
        target_opportunity_id: Id,
        /// Whether Twenty assigned it.
        is_automatically_assigned: bool,
        /// Whether a user assigned it.
        is_manually_assigned: bool,
    }
    display_name: |_| None
}

standard_object! {
    /// A record to which a thread of e-mails is assigned (since 2026).
    MessageThreadTarget = "messageThreadTarget" {
        /// The person.
        target_person_id: Id,
        /// The company.
        target_company_id: Id,
        /// The opportunity.
        target_opportunity_id: Id,
        /// Whether Twenty assigned it.
        is_automatically_assigned: bool,
        /// Whether a user assigned it.
        is_manually_assigned: bool,
    }
    display_name: |_| None
}
