//! Twenty's standard objects. Fields and types: the workspace entities of Twenty's server, early 2025 to autumn 2026.

use super::standard::standard_object;
use crate::event::{
    field::{Actor, Address, Currency, Decimal, Emails, FileRef, FullName, Id, Links, Phones, RichText, select},
    json::find_member,
};

standard_object! {
    /// A person.
    Person = "person" {
        /// First and last name.
        name: FullName,
        /// E-mail addresses.
        emails: Emails,
        /// LinkedIn profile.
        linkedin_link: Links,
        /// Job title.
        job_title: String,
        /// Telephone numbers.
        phones: Phones,
        /// Address of a picture (superseded by `avatar_file`).
        avatar_url: String,
        /// Picture.
        avatar_file: Vec<FileRef>,
        /// The company they work for.
        company_id: Id,
        /// X profile (older versions).
        x_link: Links,
        /// City (older versions).
        city: String,
    }
    display_name: |person| person.name.as_ref()?.display_name()
}

/// A person as servers send it, from one as the official documentation shows it: with a flat name and e-mail address. `None` when
/// there is nothing to change.
pub(in crate::event) fn as_sent(person: &str) -> Option<String> {
    let is_text = |json: &&str| serde_json::from_str::<String>(json).is_ok();
    let flat = |name| find_member(person, name).filter(is_text).map(|value| format!("\"{name}\":{value}"));
    let names: Vec<_> = [flat("firstName"), flat("lastName")].into_iter().flatten().collect();
    let mut sent = person.trim_ascii_end().strip_suffix('}')?.to_owned();
    if !names.is_empty() && find_member(person, "name").is_none() {
        sent += &format!(",\"name\":{{{}}}", names.join(","));
    }
    if let Some(email) = find_member(person, "email").filter(is_text)
        && find_member(person, "emails").is_none()
    {
        sent += &format!(",\"emails\":{{\"primaryEmail\":{email}}}");
    }
    sent.push('}');
    (sent.len() > person.len()).then_some(sent)
}

standard_object! {
    /// A company.
    Company = "company" {
        /// Name.
        name: String,
        /// Web site.
        domain_name: Links,
        /// Postal address.
        address: Address,
        /// LinkedIn page.
        linkedin_link: Links,
        /// The workspace member in charge.
        account_owner_id: Id,
        /// Number of employees (until about 2026).
        employees: Decimal,
        /// X profile (until about 2026).
        x_link: Links,
        /// Revenue a year (newest versions).
        annual_revenue: Currency,
        /// Recurring revenue a year (until about 2026).
        annual_recurring_revenue: Currency,
        /// Whether it fits the ideal customer's profile (until about 2026).
        ideal_customer_profile: bool,
    }
    display_name: |company| company.name.clone()
}

select! {
    /// How far an opportunity has come. These are the defaults; admins edit them.
    OpportunityStage {
        /// Not looked at yet.
        New = "NEW",
        /// Being looked at.
        Screening = "SCREENING",
        /// A meeting is arranged.
        Meeting = "MEETING",
        /// A proposal was made.
        Proposal = "PROPOSAL",
        /// Won.
        Customer = "CUSTOMER",
    }
}

standard_object! {
    /// An opportunity: a sale that may come about.
    Opportunity = "opportunity" {
        /// Name.
        name: String,
        /// What it is worth.
        amount: Currency,
        /// When it should be closed.
        close_date: jiff::Timestamp,
        /// How far it has come.
        stage: OpportunityStage,
        /// The person to talk to.
        point_of_contact_id: Id,
        /// The company.
        company_id: Id,
        /// The workspace member in charge (newer versions).
        owner_id: Id,
        /// How likely it is (older versions, as text).
        probability: Decimal,
    }
    display_name: |opportunity| opportunity.name.clone()
}

standard_object! {
    /// A note.
    Note = "note" {
        /// Title.
        title: String,
        /// Text.
        body_v2: RichText,
    }
    display_name: |note| note.title.clone()
}

standard_object! {
    /// What a note is attached to.
    NoteTarget = "noteTarget" {
        /// The note.
        note_id: Id,
        /// The person it is attached to.
        target_person_id: Id,
        /// The company it is attached to.
        target_company_id: Id,
        /// The opportunity it is attached to.
        target_opportunity_id: Id,
        /// The person (older versions).
        person_id: Id,
        /// The company (older versions).
        company_id: Id,
        /// The opportunity (older versions).
        opportunity_id: Id,
    }
    display_name: |_| None
}

select! {
    /// How far a task has come.
    TaskStatus {
        /// To do.
        Todo = "TODO",
        /// In progress.
        InProgress = "IN_PROGRESS",
        /// Done.
        Done = "DONE",
    }
}

standard_object! {
    /// A task.
    Task = "task" {
        /// Title.
        title: String,
        /// Text.
        body_v2: RichText,
        /// When it is due.
        due_at: jiff::Timestamp,
        /// How far it has come.
        status: TaskStatus,
        /// The workspace member who has to do it.
        assignee_id: Id,
    }
    display_name: |task| task.title.clone()
}

standard_object! {
    /// What a task is attached to.
    TaskTarget = "taskTarget" {
        /// The task.
        task_id: Id,
        /// The person it is attached to.
        target_person_id: Id,
        /// The company it is attached to.
        target_company_id: Id,
        /// The opportunity it is attached to.
        target_opportunity_id: Id,
        /// The person (older versions).
        person_id: Id,
        /// The company (older versions).
        company_id: Id,
        /// The opportunity (older versions).
        opportunity_id: Id,
    }
    display_name: |_| None
}

standard_object! {
    /// A file attached to something.
    Attachment = "attachment" {
        /// File name.
        name: String,
        /// The file.
        file: Vec<FileRef>,
        /// Where it is stored (superseded by `file`).
        full_path: String,
        /// What kind of file it is.
        file_category: String,
        /// The task it is attached to.
        target_task_id: Id,
        /// The note it is attached to.
        target_note_id: Id,
        /// The person it is attached to.
        target_person_id: Id,
        /// The company it is attached to.
        target_company_id: Id,
        /// The opportunity it is attached to.
        target_opportunity_id: Id,
        /// The dashboard it is attached to.
        target_dashboard_id: Id,
        /// The workflow it is attached to.
        target_workflow_id: Id,
        /// What kind of file it is (until January 2026).
        r#type: String,
        /// The workspace member who attached it (until January 2026).
        author_id: Id,
        /// The task (until January 2026).
        task_id: Id,
        /// The note (until January 2026).
        note_id: Id,
        /// The person (until January 2026).
        person_id: Id,
        /// The company (until January 2026).
        company_id: Id,
        /// The opportunity (until January 2026).
        opportunity_id: Id,
    }
    display_name: |attachment| attachment.name.clone()
}

standard_object! {
    /// A member of the workspace.
    WorkspaceMember = "workspaceMember" {
        /// First and last name.
        name: FullName,
        /// Light, dark or the system's.
        color_scheme: String,
        /// Language and region.
        locale: String,
        /// Address of a picture.
        avatar_url: String,
        /// E-mail address.
        user_email: String,
        /// The day that a week starts with.
        calendar_start_day: Decimal,
        /// The user behind it.
        user_id: Id,
        /// Time zone.
        time_zone: String,
        /// How dates are written.
        date_format: String,
        /// How times are written.
        time_format: String,
    }
    display_name: |member| member.name.as_ref()?.display_name()
}

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
        starts_at: jiff::Timestamp,
        /// When it ends.
        ends_at: jiff::Timestamp,
        /// When it was created in the calendar it comes from.
        external_created_at: jiff::Timestamp,
        /// When it was changed there.
        external_updated_at: jiff::Timestamp,
        /// Description.
        description: String,
        /// Where it takes place.
        location: String,
        /// Its id in iCalendar.
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
    display_name: |participant| participant.display_name.clone()
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
        received_at: jiff::Timestamp,
        /// Whether it is a draft (newer versions).
        is_draft: bool,
        /// The thread that it belongs to.
        message_thread_id: Id,
    }
    display_name: |message| message.subject.clone()
}

select! {
    /// Whether a workflow, or a version of one, is in use.
    WorkflowStatus {
        /// Being written.
        Draft = "DRAFT",
        /// In use.
        Active = "ACTIVE",
        /// Switched off.
        Deactivated = "DEACTIVATED",
        /// Replaced by a newer version.
        Archived = "ARCHIVED",
    }
}

standard_object! {
    /// A workflow.
    Workflow = "workflow" {
        /// Name.
        name: String,
        /// The version that was published last. Text, empty when there is none.
        last_published_version_id: Id,
        /// The statuses of its versions.
        statuses: Vec<WorkflowStatus>,
    }
    display_name: |workflow| workflow.name.clone()
}

standard_object! {
    /// A version of a workflow. Its `trigger` and `steps` are JSON of any form: see the raw record.
    WorkflowVersion = "workflowVersion" {
        /// Name.
        name: String,
        /// Whether it is in use.
        status: WorkflowStatus,
        /// The workflow.
        workflow_id: Id,
    }
    display_name: |version| version.name.clone()
}

select! {
    /// How far a workflow's run has come.
    WorkflowRunStatus {
        /// Not started.
        NotStarted = "NOT_STARTED",
        /// Waiting in the queue.
        Enqueued = "ENQUEUED",
        /// Running.
        Running = "RUNNING",
        /// Ended well.
        Completed = "COMPLETED",
        /// Failed.
        Failed = "FAILED",
    }
}

standard_object! {
    /// A run of a workflow: sent only to a webhook that subscribes to `workflowRun.updated` by name. Its `output`, `state` and
    /// `context` are JSON of any form: see the raw record.
    WorkflowRun = "workflowRun" {
        /// Name.
        name: String,
        /// When it started.
        started_at: jiff::Timestamp,
        /// When it ended.
        ended_at: jiff::Timestamp,
        /// How far it has come.
        status: WorkflowRunStatus,
        /// The workflow.
        workflow_id: Id,
        /// The version that ran.
        workflow_version_id: Id,
    }
    display_name: |run| run.name.clone()
}
