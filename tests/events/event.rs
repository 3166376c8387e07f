//! Reads every body that Twenty sends, sent in the past or documents, field by field.

use twenty_webhook::{
    WebhookEvent,
    event::{
        Action, EventErrorKind, FromRecord, JsonType, Record,
        field::{Actor, ActorSource, Currency, Date, Decimal, Id},
        record::*,
    },
};

use crate::support::{
    data_names, data_text,
    event::{event, record, refusal, typed, unexpected},
};

const WORKSPACE: &str = "3b8e6458-5fc1-4e63-8563-008ccddaa6db";
const WEBHOOK: &str = "90056586-1228-4e03-a507-70140aa85c05";
const USER: &str = "7393600e-8c1f-4d86-8f0a-0f5f9d3e2b11";
const MEMBER: &str = "20202020-0687-4c41-b707-ed1bfca972a7";
const ADA: &str = "2e6f6a2f-2f7e-4b0d-9a3b-5b6d1d2c9f01";
const ACME: &str = "8a2d0b61-7c44-4a9a-9f6e-1f0f6c1b2a33";

fn id(text: &str) -> Option<Id> {
    Some(text.into())
}

#[track_caller]
fn time(text: &str) -> Option<jiff::Timestamp> {
    Some(text.parse().unwrap())
}

fn text(text: &str) -> Option<String> {
    Some(text.to_owned())
}

#[track_caller]
fn assert_made_by(actor: Option<&Actor>, source: &ActorSource, member: Option<&str>, name: &str) {
    let actor = actor.unwrap();
    assert_eq!(actor.source.as_ref(), Some(source));
    assert_eq!(actor.workspace_member_id, member.map(Id::from));
    assert_eq!(actor.name.as_deref(), Some(name));
    assert!(actor.context.is_some());
}

/// Checks the envelope, which is the same in most bodies.
#[track_caller]
fn assert_sent(event: &WebhookEvent, name: &str, event_date: &str, user: Option<&str>, member: Option<&str>) {
    assert_eq!(event.name.as_str(), name);
    assert_eq!(event.event_date, time(event_date));
    assert_eq!(event.workspace_id, id(WORKSPACE));
    assert_eq!(event.webhook_id, id(WEBHOOK));
    assert_eq!(event.user_id, user.map(Id::from));
    assert_eq!(event.workspace_member_id, member.map(Id::from));
    assert_eq!(event.api_key_id, None);
    assert_eq!(event.application_id, None);
    assert_eq!(unexpected(event), []);
    if let Record::Metadata(_) = event.record {
        assert_eq!(event.object_metadata, None);
        assert!(event.raw_record().is_none());
    } else {
        let object = event.object_metadata.as_ref().unwrap();
        assert_eq!(object.name_singular.as_deref(), Some(event.name.object()));
        assert!(object.id.as_ref().unwrap().as_uuid().is_some());
    }
}

#[track_caller]
fn assert_is_ada(person: &Person) {
    assert_eq!(person.id, id(ADA));
    assert_eq!(person.created_at, time("2026-10-02T09:14:31.512Z"));
    assert_made_by(person.created_by.as_ref(), &ActorSource::Manual, Some(MEMBER), "Tim Apple");
    assert_made_by(person.updated_by.as_ref(), &ActorSource::Manual, Some(MEMBER), "Tim Apple");
    assert_eq!(person.position, Some(-12.5));
    assert_eq!(person.display_name(), text("Ada Lovelace"));
    let name = person.name.as_ref().unwrap();
    assert_eq!((&name.first_name, &name.last_name), (&text("Ada"), &text("Lovelace")));
    let emails = person.emails.as_ref().unwrap();
    assert_eq!(emails.primary_email, text("ada@analytical.engine"));
    assert_eq!(emails.additional_emails, Some(vec!["ada.l@example.org".to_owned()]));
    let link = person.linkedin_link.as_ref().unwrap();
    assert_eq!(link.primary_link_label, text("Ada"));
    assert_eq!(link.primary_link_url, text("https://www.linkedin.com/in/ada"));
    let [blog] = &link.secondary_links.as_ref().unwrap()[..] else { panic!("one secondary link") };
    assert_eq!((&blog.label, &blog.url), (&text("blog"), &text("https://ada.example.org")));
    let phones = person.phones.as_ref().unwrap();
    assert_eq!(phones.primary_phone_number, text("612345678"));
    assert_eq!(phones.primary_phone_country_code, text("FR"));
    assert_eq!(phones.primary_phone_calling_code, text("+33"));
    let [phone] = &phones.additional_phones.as_ref().unwrap()[..] else { panic!("one additional number") };
    assert_eq!(phone.number, text("2025550147"));
    assert_eq!((&phone.country_code, &phone.calling_code), (&text("US"), &text("+1")));
    assert_eq!(person.avatar_url, text(""));
    let [picture] = &person.avatar_file.as_ref().unwrap()[..] else { panic!("one picture") };
    assert_eq!(picture.file_id, id("7c0b1c8e-4a51-4b1c-8a31-2b6f4c1d0e99"));
    assert_eq!((&picture.label, &picture.extension), (&text("ada.png"), &text(".png")));
    assert_eq!((&person.x_link, &person.city), (&None, &None));
}

#[test]
fn the_default_type_and_the_objects_type_read_every_body_alike() {
    let mut seen = 0;
    for file in data_names() {
        if file == "vectors.json" {
            continue;
        }
        let event = event(data_text(&file));
        assert_eq!(unexpected(&event), [], "{file}");
        assert_eq!(event.body(), data_text(&file).as_bytes());
        match &event.record {
            Record::Person(person) => assert_eq!(typed::<Person>(data_text(&file)).record, **person),
            Record::Company(company) => assert_eq!(typed::<Company>(data_text(&file)).record, **company),
            Record::Opportunity(deal) => assert_eq!(typed::<Opportunity>(data_text(&file)).record, **deal),
            Record::Note(note) => assert_eq!(typed::<Note>(data_text(&file)).record, **note),
            Record::Task(task) => assert_eq!(typed::<Task>(data_text(&file)).record, **task),
            Record::Attachment(attachment) => assert_eq!(typed::<Attachment>(data_text(&file)).record, **attachment),
            Record::Metadata(change) => assert_eq!(typed::<MetadataEvent>(data_text(&file)).record, *change),
            Record::Custom(_) if file == "legacy-2024-04.eventType.json" => assert_eq!(event.name, ""),
            Record::Custom(custom) => assert_eq!(custom.object(), "subscription", "{file}"),
            other => panic!("{file}: {other:?}"),
        }
        seen += 1;
    }
    assert_eq!(seen, 16);
}

#[test]
fn person_created_is_read() {
    let event = event(data_text("person.created.json"));
    assert_sent(&event, "person.created", "2026-10-02T09:14:31.733Z", Some(USER), Some(MEMBER));
    assert_eq!(event.updated_fields, None);
    let person = record!(event, Record::Person);
    assert_is_ada(person);
    assert_eq!(person.updated_at, time("2026-10-02T09:14:31.512Z"));
    assert_eq!(person.deleted_at, None);
    assert_eq!(person.job_title, text("VP of Engineering"));
    assert_eq!(person.company_id, id(ACME));
    assert_eq!((event.record.id(), event.record.display_name()), (id(ADA), text("Ada Lovelace")));
}

#[test]
fn person_updated_is_read() {
    let event = event(data_text("person.updated.json"));
    assert_sent(&event, "person.updated", "2026-10-02T09:20:02.411Z", Some(USER), Some(MEMBER));
    let person = record!(event, Record::Person);
    assert_is_ada(person);
    assert_eq!(person.updated_at, time("2026-10-02T09:20:02.204Z"));
    assert_eq!(person.job_title, text("CTO"));
    assert_eq!(person.company_id, None);
    assert_eq!(event.updated_fields.as_ref().unwrap(), &["jobTitle", "company", "companyId"]);
    for field in ["jobTitle", "company", "companyId"] {
        assert!(event.changed(field), "{field}");
    }
    for field in ["name", "JobTitle", "jobTitl", "comp", "Id", ""] {
        assert!(!event.changed(field), "{field}");
    }
}

#[test]
fn person_restored_is_read() {
    let event = event(data_text("person.restored.json"));
    assert_sent(&event, "person.restored", "2026-10-02T12:00:00.500Z", Some(USER), Some(MEMBER));
    assert_eq!(event.name.action(), &Action::Restored);
    let person = record!(event, Record::Person);
    assert_is_ada(person);
    assert_eq!(person.deleted_at, None);
    assert!(event.changed("deletedAt"));
}

#[test]
fn person_destroyed_is_read() {
    let event = event(data_text("person.destroyed.json"));
    assert_sent(&event, "person.destroyed", "2026-10-02T12:10:00.500Z", Some(USER), Some(MEMBER));
    assert_eq!(event.name.action(), &Action::Destroyed);
    let person = record!(event, Record::Person);
    assert_is_ada(person);
    assert_eq!(person.deleted_at, time("2026-10-02T12:05:00.310Z"));
    assert!(!event.changed("deletedAt"));
}

#[test]
fn company_deleted_is_read() {
    let event = event(data_text("company.deleted.json"));
    assert_sent(&event, "company.deleted", "2026-10-02T10:00:00.301Z", Some(USER), Some(MEMBER));
    assert!(event.changed("deletedAt"));
    let company = record!(event, Record::Company);
    assert_eq!(company.id, id(ACME));
    assert_eq!(company.created_at, time("2026-09-01T08:00:00.000Z"));
    assert_eq!(company.updated_at, time("2026-10-02T10:00:00.123Z"));
    assert_eq!(company.deleted_at, time("2026-10-02T10:00:00.120Z"));
    assert_made_by(company.created_by.as_ref(), &ActorSource::Email, Some(MEMBER), "Tim Apple");
    let context = company.created_by.as_ref().unwrap().context.as_ref().unwrap();
    assert_eq!(context.provider, text("google"));
    assert_eq!((&context.application_id, &context.agent_id), (&None, &None));
    assert_eq!(company.position, Some(3.0));
    assert_eq!(company.name, text("Acme"));
    assert_eq!(company.display_name(), text("Acme"));
    assert_eq!(company.domain_name.as_ref().unwrap().primary_link_url, text("https://acme.com"));
    let address = company.address.as_ref().unwrap();
    assert_eq!(address.address_street1, text("495 Grove Street"));
    assert_eq!((&address.address_street2, &address.address_street3), (&text(""), &None));
    assert_eq!((&address.address_city, &address.address_postcode), (&text("New York"), &text("10014")));
    assert_eq!((&address.address_state, &address.address_country), (&text("NY"), &text("United States")));
    assert_eq!(address.address_lat.as_ref().map(Decimal::as_str), Some("40.7322"));
    assert_eq!(address.address_lng.as_ref().map(Decimal::as_str), Some("-74.0052"));
    assert_eq!(company.employees.as_ref().map(Decimal::as_str), Some("42"));
    for link in [&company.linkedin_link, &company.x_link] {
        assert_eq!(link.as_ref().unwrap().primary_link_url, text(""));
        assert_eq!(link.as_ref().unwrap().secondary_links, Some(Vec::new()));
    }
    let revenue = company.annual_recurring_revenue.as_ref().unwrap();
    assert_eq!((revenue.amount_micros, &revenue.currency_code), (Some(1_200_000_000_000), &text("USD")));
    assert_eq!(revenue.in_units(2), Some(120_000_000));
    assert_eq!(company.annual_revenue, None);
    assert_eq!(company.ideal_customer_profile, Some(true));
    assert_eq!(company.account_owner_id, id(MEMBER));
}

#[test]
fn company_deleted_of_2025_has_an_id_and_a_time() {
    let event = event(data_text("company.deleted.2025-partial.json"));
    assert_sent(&event, "company.deleted", "2025-10-15T10:00:00.301Z", None, None);
    assert_eq!(event.updated_fields, None);
    let company = record!(event, Record::Company);
    let mut partial = Company::default();
    partial.id = id(ACME);
    partial.deleted_at = time("2025-10-15T10:00:00.120Z");
    assert_eq!(**company, partial);
    assert_eq!(event.record.display_name(), None);
}

#[test]
fn opportunity_updated_is_read() {
    let event = event(data_text("opportunity.updated.json"));
    assert_sent(&event, "opportunity.updated", "2026-10-02T11:30:45.207Z", None, None);
    let deal = record!(event, Record::Opportunity);
    assert_eq!(deal.id, id("d1b4c7c0-52aa-4b56-8e55-7f2e9b0a1c44"));
    assert_eq!(deal.created_at, time("2026-09-15T12:00:00.000Z"));
    assert_eq!(deal.updated_at, time("2026-10-02T11:30:45.006Z"));
    assert_made_by(deal.updated_by.as_ref(), &ActorSource::Api, None, "Billing sync");
    assert_eq!(deal.name, text("Renewal 2027 — Zoë & Søns 🚀"));
    let amount = deal.amount.as_ref().unwrap();
    assert_eq!((amount.amount_micros, amount.in_units(2)), (Some(5_000_000_000), Some(500_000)));
    assert_eq!((amount.to_decimal_string(), &amount.currency_code), (text("5000"), &text("EUR")));
    assert_eq!(deal.close_date, time("2026-12-31T00:00:00.000Z"));
    assert_eq!(deal.stage, Some(OpportunityStage::Proposal));
    assert_eq!(deal.stage.as_ref().map(ToString::to_string).as_deref(), Some("PROPOSAL"));
    assert_eq!(OpportunityStage::from("LOST").to_string(), "LOST");
    assert_eq!(event.clone().record, event.record);
    assert_eq!(deal.point_of_contact_id, id(ADA));
    assert_eq!(deal.company_id, id(ACME));
    assert_eq!(deal.owner_id, id(MEMBER));
    assert_eq!(deal.probability, None);
    for field in ["amount", "stage", "owner", "ownerId", "updatedBy"] {
        assert!(event.changed(field), "{field}");
    }
}

#[test]
fn note_created_is_read() {
    let event = event(data_text("note.created.json"));
    assert_sent(&event, "note.created", "2026-10-02T11:00:00.214Z", Some(USER), Some(MEMBER));
    let note = record!(event, Record::Note);
    assert_eq!(note.id, id("4b1f0c3d-9e8a-4f77-bb1c-2a3b4c5d6e7f"));
    assert_eq!((&note.title, note.display_name()), (&text("Call notes"), text("Call notes")));
    let body = note.body_v2.as_ref().unwrap();
    assert_eq!(body.markdown, text("Asked for a quote."));
    assert!(body.blocknote.as_ref().unwrap().starts_with(r#"[{"id":"b1","type":"paragraph","#));
}

#[test]
fn task_created_is_read() {
    let event = event(data_text("task.created.json"));
    assert_sent(&event, "task.created", "2026-10-02T11:05:00.190Z", Some(USER), Some(MEMBER));
    let task = record!(event, Record::Task);
    assert_eq!(task.id, id("60606060-0001-4e7c-8001-123456789def"));
    assert_eq!(task.title, text("Follow up"));
    let body = task.body_v2.as_ref().unwrap();
    assert_eq!((&body.blocknote, &body.markdown), (&None, &text("")));
    assert_eq!(task.due_at, time("2026-10-05T09:00:00.000Z"));
    assert_eq!(task.status, Some(TaskStatus::Todo));
    assert_eq!(task.assignee_id, id(MEMBER));
}

#[test]
fn attachment_created_is_read() {
    let event = event(data_text("attachment.created.json"));
    assert_sent(&event, "attachment.created", "2026-10-02T11:01:00.290Z", Some(USER), Some(MEMBER));
    let attachment = record!(event, Record::Attachment);
    assert_eq!(attachment.name, text("quote.pdf"));
    let [file] = &attachment.file.as_ref().unwrap()[..] else { panic!("one file") };
    assert_eq!(file.file_id, id("0a0b0c0d-1111-4222-8333-444455556666"));
    assert_eq!((&file.label, &file.extension), (&text("quote.pdf"), &text(".pdf")));
    assert_eq!((&attachment.full_path, &attachment.file_category), (&None, &text("TEXT_DOCUMENT")));
    assert_eq!(attachment.target_note_id, id("4b1f0c3d-9e8a-4f77-bb1c-2a3b4c5d6e7f"));
    assert_eq!((&attachment.target_task_id, &attachment.target_person_id), (&None, &None));
    assert_eq!((&attachment.note_id, &attachment.r#type), (&None, &None));
}

#[test]
fn custom_fields_with_documented_names_are_read() {
    let body = r#"{"event":"person.created","data":{"firstName":5,"lastName":{"a":[null]},
        "email":{"primaryEmail":"a@example.com"},"jobTitle":"CTO"}}"#;
    let event = event(body);
    assert_eq!(unexpected(&event), []);
    let person = record!(event, Record::Person);
    assert_eq!((&person.name, &person.emails, &person.job_title), (&None, &None, &text("CTO")));
}

#[test]
fn the_documented_body_is_read() {
    let event = event(data_text("documented.person.created.json"));
    assert_eq!(event.name.as_str(), "person.created");
    assert_eq!(event.event_date, time("2025-02-10T15:30:50Z"));
    assert_eq!((&event.workspace_id, &event.webhook_id, &event.object_metadata), (&None, &None, &None));
    let person = record!(event, Record::Person);
    assert_eq!(person.id, id("abc12345"));
    assert_eq!(person.display_name(), text("Alice Doe"));
    let name = person.name.as_ref().unwrap();
    assert_eq!((&name.first_name, &name.last_name), (&text("Alice"), &text("Doe")));
    assert_eq!(person.emails.as_ref().unwrap().primary_email, text("alice@example.com"));
    assert_eq!(person.created_at, time("2025-02-10T15:30:45Z"));
    assert_eq!(person.created_by.as_ref().unwrap().name, text("user_123"));
    assert!(event.raw_record().unwrap().as_str().starts_with(r#"{"id":"abc12345","firstName":"Alice""#));
}

#[test]
fn a_documented_member_does_not_replace_a_sent_one() {
    let body = r#"{"event":"person.created","data":{"name":{"lastName":"Doe"},"firstName":"Al",
        "emails":{"primaryEmail":"a@example.com"},"email":"b@example.com"}}"#;
    let person = typed::<Person>(body).record;
    assert_eq!(person.display_name(), text("Doe"));
    assert_eq!(person.emails.unwrap().primary_email, text("a@example.com"));

    // No server sends these members in a `record`, so there they are custom fields of the
    // workspace.
    let sent = typed::<Person>(r#"{"eventName":"person.created","record":{"firstName":"Al","email":"b@example.com"}}"#);
    assert_eq!((sent.record.name, sent.record.emails), (None, None));
}

#[test]
fn bodies_of_2024_are_read() {
    // Signing began after the name had moved to `eventName`, so no server signed this form, and it
    // is read as an event without a name.
    let created = event(data_text("legacy-2024-04.eventType.json"));
    assert_eq!((&created.name, created.event_date), (&"".into(), time("2024-04-14T11:27:01.779Z")));
    let record = record!(created, Record::Custom);
    assert_eq!((record.object(), record.id()), ("", id(ADA)));

    let updated = event(data_text("legacy-2024-10.updated-partial.json"));
    assert_sent(&updated, "person.updated", "2024-10-20T11:27:01.779Z", None, None);
    let person = record!(updated, Record::Person);
    assert_eq!((&person.id, &person.job_title, &person.name), (&id(ADA), &text("CTO"), &None));
    assert!(!updated.changed("jobTitle"), "there was no list of fields yet");

    // Here `body` is a custom field, because the text of a note moved to `bodyV2` before servers
    // signed.
    let note = typed::<Note>(r#"{"eventName":"note.created","record":{"body":"As *text*"}}"#);
    assert_eq!((note.record.body_v2.as_ref(), note.unexpected()), (None, &[][..]));
}

#[test]
fn a_custom_object_is_read() {
    let event = event(data_text("subscription.created.json"));
    assert_sent(&event, "subscription.created", "2026-10-02T11:10:00.155Z", None, None);
    let subscription = record!(event, Record::Custom);
    assert_eq!(subscription.object(), "subscription");
    assert_eq!(subscription.id(), id("0f9d1c2b-3a4e-4c6d-8e7f-1a2b3c4d5e6f"));
    assert_eq!((event.record.id(), event.record.display_name()), (subscription.id(), text("Pro plan")));
    assert_eq!(subscription.raw(), &event.raw_record().unwrap());
    assert_eq!(subscription.raw().members().len(), 21);
    let field = |name| subscription.get(name).unwrap();
    assert_eq!(field("plan").to_text(), text("PRO"));
    assert_eq!(field("tags").parse::<Vec<String>>().unwrap(), ["ANNUAL", "VIP"]);
    assert_eq!(field("mrr").parse::<Currency>().unwrap().amount_micros, None);
    assert_eq!((field("seats").json_type(), field("seats").as_str()), (JsonType::Number, "25"));
    assert_eq!(field("ratio").parse::<Decimal>().unwrap().as_str(), "0.3333333333");
    assert_eq!(field("renewsOn").parse::<Date>().unwrap().to_string(), "2027-01-01");
    assert_eq!(field("metadata").get("nested").unwrap().as_str(), r#"{"a":[1,2,null]}"#);
    assert_eq!(field("deletedAt").json_type(), JsonType::Null);
    assert!(subscription.get("none").is_none());
    assert!(field("tags").get("ANNUAL").is_none() && field("tags").members().is_empty());
}

#[test]
fn metadata_updated_is_read() {
    let event = event(data_text("metadata.fieldMetadata.updated.json"));
    assert_sent(&event, "metadata.fieldMetadata.updated", "2026-10-02T08:05:00.222Z", Some(USER), None);
    assert_eq!(event.name.metadata_name(), Some("fieldMetadata"));
    let change = record!(event, Record::Metadata);
    assert_eq!((change.metadata_name(), change.action()), ("fieldMetadata", &Action::Updated));
    assert_eq!(change.record_id(), id("5d7a9c11-0b2c-4d3e-8f4a-6b5c7d8e9f02"));
    assert_eq!(change.updated_fields(), ["label"]);
    let [label] = &change.diff()[..] else { panic!("one field") };
    assert_eq!(label.field, "label");
    assert_eq!(label.before.as_ref().unwrap().to_text(), text("Plan"));
    assert_eq!(label.after.as_ref().unwrap().to_text(), text("Tier"));
    assert_eq!(change.before().unwrap().get("label").unwrap().to_text(), text("Plan"));
    assert_eq!(change.after().unwrap().get("label").unwrap().to_text(), text("Tier"));
    assert_eq!(event.record.display_name(), text("Tier"));
    assert!(change.raw().as_str().starts_with(r#"{"type":"updated","recordId":"#));
    assert!(data_text("metadata.fieldMetadata.updated.json").contains(change.raw().as_str()));
}

#[test]
fn metadata_created_is_read() {
    let event = event(data_text("metadata.objectMetadata.created.json"));
    assert_sent(&event, "metadata.objectMetadata.created", "2026-10-02T08:00:00.222Z", Some(USER), None);
    let change = record!(event, Record::Metadata);
    assert_eq!(change.record_id(), id("c3a5f7d2-1b0e-4a55-8f1f-6a4a55d0c9aa"));
    assert!(change.before().is_none() && change.diff().is_empty() && change.updated_fields().is_empty());
    assert_eq!(change.after().unwrap().get("nameSingular").unwrap().to_text(), text("subscription"));
    assert_eq!(event.record.display_name(), text("Subscription"));
}

#[test]
fn events_of_api_keys_and_applications_are_read() {
    let event = event(r#"{"eventName":"metadata.view.created","apiKeyId":"key","applicationId":"app","event":{}}"#);
    assert_eq!((&event.api_key_id, &event.application_id), (&Some("key".into()), &Some("app".into())));
    assert_eq!((&event.user_id, &event.workspace_member_id), (&None, &None));
}

#[test]
fn a_type_rejects_other_objects_by_name() {
    #[track_caller]
    fn refuses<T: FromRecord>(object: &str, body: &str, found: &str) {
        let refused = refusal::<T>(body);
        assert_eq!(refused.kind(), EventErrorKind::WrongObject);
        assert_eq!(refused.to_string(), format!("expected an event of `{object}`, found `{found}`"));
    }

    #[track_caller]
    fn refuses_others<T: FromRecord>(object: &str) {
        let other = if object == "company" { "person.created" } else { "company.deleted" };
        refuses::<T>(object, &data_text(&format!("{other}.json")), other);
        let metadata = "metadata.fieldMetadata.updated";
        refuses::<T>(object, &data_text(&format!("{metadata}.json")), metadata);
        refuses::<T>(object, r#"{"record":{},"eventName":"rocket.archived"}"#, "rocket.archived");
        refuses::<T>(object, r#"{"record":{}}"#, "");
        refuses::<T>(object, "[]", "");
        typed::<T>(format!(r#"{{"eventName":"{object}.archived"}}"#));
    }

    refuses_others::<Person>("person");
    refuses_others::<Company>("company");
    refuses_others::<Opportunity>("opportunity");
    refuses_others::<Note>("note");
    refuses_others::<NoteTarget>("noteTarget");
    refuses_others::<Task>("task");
    refuses_others::<TaskTarget>("taskTarget");
    refuses_others::<Attachment>("attachment");
    refuses_others::<WorkspaceMember>("workspaceMember");
    refuses_others::<CalendarEvent>("calendarEvent");
    refuses_others::<CalendarEventParticipant>("calendarEventParticipant");
    refuses_others::<Message>("message");
    refuses_others::<Workflow>("workflow");
    refuses_others::<WorkflowVersion>("workflowVersion");
    refuses_others::<WorkflowRun>("workflowRun");
    refuses::<MetadataEvent>("metadata", &data_text("person.created.json"), "person.created");
}
