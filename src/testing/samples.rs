//! Samples of what Twenty sends for each kind of event. The files have one line for each member and
//! no white space except indentation, so joining their lines gives the sent text.

use serde_json::Value;

use crate::event::{Action, EventName, record::*};

/// An object of the data model, and a record of it after an update.
struct Object {
    name: &'static str,
    id: &'static str,
    record: &'static str,
    /// The fields that the update changed.
    updated: &'static str,
}

macro_rules! object {
    ($name:expr, $file:literal, $id:literal, $updated:literal) => {
        Object { name: $name, id: $id, record: include_str!(concat!("samples/", $file)), updated: $updated }
    };
}

#[rustfmt::skip]
const STANDARD_OBJECTS: [Object; 22] = [
    object!(Person::OBJECT, "person.json", "b5c8cb50-9e14-4fa7-baaa-a9b8970a81d8", r#"["jobTitle"]"#),
    object!(Company::OBJECT, "company.json", "067547a3-d9e7-47b2-beae-47e8d8bc63cd", r#"["domainName","annualRevenue"]"#),
    object!(Opportunity::OBJECT, "opportunity.json", "afdbcc7a-95bc-4e30-917d-ba583448b405", r#"["amount","stage"]"#),
    object!(Note::OBJECT, "note.json", "f8022881-1190-4760-8107-309648f32024", r#"["bodyV2"]"#),
    object!(NoteTarget::OBJECT, "noteTarget.json", "17c0a2f4-6b0e-4b0f-9c55-0e7ad9f2c301", r#"["targetPerson","targetPersonId"]"#),
    object!(Task::OBJECT, "task.json", "4a45f524-b8cb-40e8-8450-28e402b442cf", r#"["status"]"#),
    object!(TaskTarget::OBJECT, "taskTarget.json", "28d1b305-7c1f-4c10-8d66-1f8be0a3d412", r#"["targetOpportunity","targetOpportunityId"]"#),
    object!(Attachment::OBJECT, "attachment.json", "0d19453d-8e8d-4bda-8ca3-74700d194531", r#"["name"]"#),
    object!(WorkspaceMember::OBJECT, "workspaceMember.json", "39e2c416-8d20-4d21-9e77-209cf1b4e523", r#"["timeZone"]"#),
    object!(CalendarEvent::OBJECT, "calendarEvent.json", "4af3d527-9e31-4e32-8f88-31ad02c5f634", r#"["startsAt","endsAt"]"#),
    object!(CalendarEventParticipant::OBJECT, "calendarEventParticipant.json", "5b04e638-af42-4f43-9099-42be13d60745", r#"["responseStatus"]"#),
    object!(Message::OBJECT, "message.json", "6c15f749-b053-4054-81aa-53cf24e71856", r#"["subject"]"#),
    object!(Workflow::OBJECT, "workflow.json", "7d26085a-c164-4165-92bb-64d035f82967", r#"["lastPublishedVersionId","statuses"]"#),
    object!(WorkflowVersion::OBJECT, "workflowVersion.json", "8e37196b-d275-4276-83cc-75e146093a78", r#"["status"]"#),
    object!(WorkflowRun::OBJECT, "workflowRun.json", "9f482a7c-e386-4387-94dd-86f257104b89", r#"["endedAt","status","state"]"#),
    object!(MessageParticipant::OBJECT, "messageParticipant.json", "a0593b8d-c1a4-4165-92bb-64d035f82960", r#"["person","personId"]"#),
    object!(MessageThread::OBJECT, "messageThread.json", "b16a4c9e-d2b5-4276-83cc-75e146093a71", r#"["subject"]"#),
    object!(MessageCampaign::OBJECT, "messageCampaign.json", "c27b5daf-e3c6-4387-94dd-86f257104b82", r#"["status","sentAt"]"#),
    object!(CallRecording::OBJECT, "callRecording.json", "d38c6eb0-f4d7-4498-85ee-970368215c93", r#"["status","endedAt","summary"]"#),
    object!(CalendarEventTarget::OBJECT, "calendarEventTarget.json", "e49d7fc1-05e8-45a9-96ff-a81479326da4", r#"["targetPerson","targetPersonId"]"#),
    object!(MessageThreadTarget::OBJECT, "messageThreadTarget.json", "f5ae80d2-16f9-46ba-8700-b9258a437eb5", r#"["targetPerson","targetPersonId"]"#),
    object!(Dashboard::OBJECT, "dashboard.json", "06bf91e3-270a-47cb-9811-ca369b548fc6", r#"["title"]"#),
];

const CUSTOM_OBJECT: Object =
    object!("subscription", "custom.json", "c3a5f7d2-1b0e-4a55-8f1f-6a4a55d0c9aa", r#"["plan","mrr"]"#);

/// A row of the data model, and what an update changed in it.
struct Row {
    kind: &'static str,
    id: &'static str,
    row: &'static str,
    field: &'static str,
    before: &'static str,
    after: &'static str,
}

const ROWS: [Row; 2] = [
    Row {
        kind: "objectMetadata",
        id: "c3a5f7d2-1b0e-4a55-8f1f-6a4a55d0c9aa",
        row: include_str!("samples/objectMetadata.json"),
        field: "description",
        before: "null",
        after: r#""A paid subscription""#,
    },
    Row {
        kind: "fieldMetadata",
        id: "5d7a9c11-0b2c-4d3e-8f4a-6b5c7d8e9f02",
        row: include_str!("samples/fieldMetadata.json"),
        field: "label",
        before: r#""Plan""#,
        after: r#""Tier""#,
    },
];

const OTHER_ROW: Row = Row {
    kind: "",
    id: "7d1e2f3a-4b5c-4d6e-8f70-8192a3b4c5d6",
    row: include_str!("samples/otherMetadata.json"),
    field: "name",
    before: r#""Clients""#,
    after: r#""Customers""#,
};

const TARGET_URL: &str = "https://hooks.example.com/twenty";
const WORKSPACE: &str = "3b8e6458-5fc1-4e63-8563-008ccddaa6db";
const WEBHOOK: &str = "90056586-1228-4e03-a507-70140aa85c05";
const USER: &str = "7393600e-8c1f-4d86-8f0a-0f5f9d3e2b11";
const MEMBER: &str = "20202020-0687-4c41-b707-ed1bfca972a7";

/// When the records in the files were created and updated, and when Twenty sent the events.
const CREATED_AT: &str = "2026-10-02T09:14:31.512Z";
const CREATION_TOLD_AT: &str = "2026-10-02T09:14:31.733Z";
const UPDATED_AT: &str = "2026-10-02T09:20:02.204Z";
const UPDATE_TOLD_AT: &str = "2026-10-02T09:20:02.411Z";

/// Returns the names of the events that have samples.
pub(super) fn names() -> impl Iterator<Item = EventName> {
    let of = |object: &str, actions: &[&str]| -> Vec<_> {
        actions.iter().map(|action| EventName::new(format!("{object}.{action}"))).collect()
    };
    let objects = STANDARD_OBJECTS.into_iter().chain([CUSTOM_OBJECT]);
    objects.flat_map(move |object| of(object.name, &["created", "updated", "deleted", "restored", "destroyed"])).chain(
        ROWS.into_iter().flat_map(move |row| of(&format!("metadata.{}", row.kind), &["created", "updated", "deleted"])),
    )
}

/// Returns the delivery's body.
pub(super) fn body(name: &EventName) -> String {
    match name.metadata_name() {
        Some(kind) => metadata_event(name, kind),
        None => record_event(name),
    }
}

fn record_event(name: &EventName) -> String {
    let object = STANDARD_OBJECTS.into_iter().find(|object| object.name == name.object()).unwrap_or(CUSTOM_OBJECT);
    let record = compact(object.record);
    let as_created =
        || record.replace(&format!(r#""updatedAt":"{UPDATED_AT}""#), &format!(r#""updatedAt":"{CREATED_AT}""#));
    let in_trash = || record.replace(r#""deletedAt":null"#, &format!(r#""deletedAt":"{UPDATED_AT}""#));
    let is_by_user = record.contains(r#""source":"MANUAL""#);

    const DELETED_AT: &str = r#"["deletedAt"]"#;
    let (told_at, record, updated) = match name.action() {
        Action::Updated => (UPDATE_TOLD_AT, record, Some(object.updated)),
        Action::Deleted => (UPDATE_TOLD_AT, in_trash(), Some(DELETED_AT)),
        Action::Restored => (UPDATE_TOLD_AT, record, Some(DELETED_AT)),
        Action::Destroyed => (UPDATE_TOLD_AT, in_trash(), None),
        _ => (CREATION_TOLD_AT, as_created(), None),
    };

    let user = if is_by_user { format!(r#","userId":"{USER}","workspaceMemberId":"{MEMBER}""#) } else { String::new() };
    let updated = updated.map(|fields| format!(r#","updatedFields":{fields}"#)).unwrap_or_default();
    format!(
        r#"{{"targetUrl":"{TARGET_URL}","eventName":{},"objectMetadata":{{"id":"{}","nameSingular":{}}},"workspaceId":"{WORKSPACE}","webhookId":"{WEBHOOK}","eventDate":"{told_at}"{user},"record":{record}{updated}}}"#,
        quoted(name.as_str()),
        object.id,
        quoted(name.object()),
    )
}

fn metadata_event(name: &EventName, kind: &str) -> String {
    let Row { id, row, field, before, after, .. } = ROWS.into_iter().find(|row| row.kind == kind).unwrap_or(OTHER_ROW);
    let row = compact(row);
    let properties = match name.action() {
        Action::Updated => {
            let member = |value| format!(r#""{field}":{value}"#);
            let row_before = row.replace(&member(after), &member(before));
            format!(
                r#"{{"updatedFields":["{field}"],"diff":{{"{field}":{{"before":{before},"after":{after}}}}},"before":{row_before},"after":{row}}}"#
            )
        }
        Action::Deleted => format!(r#"{{"before":{row}}}"#),
        _ => format!(r#"{{"after":{row}}}"#),
    };
    format!(
        r#"{{"targetUrl":"{TARGET_URL}","eventName":{},"workspaceId":"{WORKSPACE}","webhookId":"{WEBHOOK}","eventDate":"{UPDATE_TOLD_AT}","userId":"{USER}","event":{{"type":{},"recordId":"{id}","metadataName":{},"properties":{properties}}}}}"#,
        quoted(name.as_str()),
        quoted(name.action().as_str()),
        quoted(kind),
    )
}

fn compact(file: &str) -> String {
    file.lines().map(str::trim_start).collect()
}

/// Returns a text as a JSON string.
fn quoted(text: &str) -> Value {
    text.into()
}
