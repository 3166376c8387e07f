//! Twenty's standard objects: people, companies, opportunities, notes, tasks and others. Fields and
//! types come from the workspace entities of Twenty's server, early 2025 to autumn 2026.

use super::standard::{non_empty, standard_object};
use crate::event::{
    field::{
        Actor, Address, Currency, Decimal, Emails, FileRef, FullName, Id, Links, Phones, RichText, select, write_time,
    },
    json::Members,
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
        /// The person's employer.
        company_id: Id,
        /// X profile (older versions).
        x_link: Links,
        /// City (older versions).
        city: String,
    }
    display_name: |person| {
        let name = || person.name.as_ref()?.display_name();
        name().or_else(|| non_empty(person.emails.as_ref()?.primary_email.as_ref()))
    }
}

/// Converts a person from the form of the official documentation, which has a flat name and e-mail
/// address, to the form that servers send. Returns `None` if there is nothing to change.
pub(in crate::event) fn as_sent(person: &str) -> Option<String> {
    let [mut first_name, mut last_name, mut name, mut email, mut emails] = [None; 5];
    for member in Members::of(person) {
        let place = match &*member.name() {
            b"firstName" => &mut first_name,
            b"lastName" => &mut last_name,
            b"name" => &mut name,
            b"email" => &mut email,
            b"emails" => &mut emails,
            _ => continue,
        };
        place.get_or_insert(member.value);
    }
    let is_text = |json: &&str| serde_json::from_str::<String>(json).is_ok();
    let flat = |name, value: Option<&str>| value.filter(is_text).map(|value| format!("\"{name}\":{value}"));
    let names: Vec<_> = [flat("firstName", first_name), flat("lastName", last_name)].into_iter().flatten().collect();
    let mut sent = person.trim_ascii_end().strip_suffix('}')?.to_owned();
    if !names.is_empty() && name.is_none() {
        sent += &format!(",\"name\":{{{}}}", names.join(","));
    }
    if let Some(email) = email.filter(is_text)
        && emails.is_none()
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
        /// Annual revenue (newest versions).
        annual_revenue: Currency,
        /// Annual recurring revenue (until about 2026).
        annual_recurring_revenue: Currency,
        /// Whether it fits the ideal customer's profile (until about 2026).
        ideal_customer_profile: bool,
    }
    display_name: |company| {
        let domain = || non_empty(company.domain_name.as_ref()?.primary_link_url.as_ref());
        let without_scheme = |url: String| url.split_once("://").map_or(&*url, |(_, host)| host).trim_end_matches('/').to_owned();
        non_empty(company.name.as_ref()).or_else(|| domain().map(without_scheme))
    }
}

select! {
    /// The stage of an opportunity. These are the default stages; admins can change them.
    OpportunityStage {
        /// New.
        New = "NEW",
        /// Being screened.
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
    /// An opportunity: a possible sale.
    Opportunity = "opportunity" {
        /// Name.
        name: String,
        /// Its value.
        amount: Currency,
        /// When it is expected to close.
        #[serde(serialize_with = "write_time")]
        close_date: jiff::Timestamp,
        /// Its stage.
        stage: OpportunityStage,
        /// The person to talk to.
        point_of_contact_id: Id,
        /// The company.
        company_id: Id,
        /// The workspace member in charge (newer versions).
        owner_id: Id,
        /// The probability of the sale (older versions, as text).
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
    /// A record to which a note is attached.
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
    /// The status of a task.
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
        #[serde(serialize_with = "write_time")]
        due_at: jiff::Timestamp,
        /// Its status.
        status: TaskStatus,
        /// The workspace member who has to do it.
        assignee_id: Id,
    }
    display_name: |task| task.title.clone()
}

standard_object! {
    /// A record to which a task is attached.
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
    /// A file that is attached to a record.
    Attachment = "attachment" {
        /// File name.
        name: String,
        /// The file.
        file: Vec<FileRef>,
        /// Where it is stored (superseded by `file`).
        full_path: String,
        /// The kind of the file.
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
        /// The chat with an AI agent that it is attached to.
        target_agent_chat_thread_id: Id,
        /// The kind of the file (until January 2026).
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
        /// The dashboard (until January 2026).
        dashboard_id: Id,
        /// The workflow (until January 2026).
        workflow_id: Id,
    }
    display_name: |attachment| attachment.name.clone()
}

standard_object! {
    /// A member of the workspace.
    WorkspaceMember = "workspaceMember" {
        /// First and last name.
        name: FullName,
        /// The color scheme: light, dark or the system's.
        color_scheme: String,
        /// Language and region.
        locale: String,
        /// Address of a picture.
        avatar_url: String,
        /// E-mail address.
        user_email: String,
        /// The day that a week starts with.
        calendar_start_day: Decimal,
        /// The member's user.
        user_id: Id,
        /// Time zone.
        time_zone: String,
        /// How dates are written.
        date_format: String,
        /// How times are written.
        time_format: String,
        /// How numbers are written.
        number_format: String,
        /// Job title (since 2026).
        job_title: String,
        /// Where records are opened (since 2026).
        open_record_in: String,
        /// How large the interface is shown (since 2026).
        ui_scale: String,
    }
    display_name: |member| {
        let name = || member.name.as_ref()?.display_name();
        name().or_else(|| non_empty(member.user_email.as_ref()))
    }
}

standard_object! {
    /// A dashboard.
    Dashboard = "dashboard" {
        /// Title.
        title: String,
        /// The layout of its page.
        page_layout_id: Id,
    }
    display_name: |dashboard| dashboard.title.clone()
}
