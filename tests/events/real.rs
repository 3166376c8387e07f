//! Reads the deliveries of a real server, in `tests/real`. Each verifies, is read without
//! unexpected members, and is written again with the same values.

use std::{collections::BTreeMap, fs, path::Path};

use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::{Map, Value};
use twenty_webhook::{
    WebhookEvent,
    event::{
        Action, EventErrorKind, FromRecord, RawJson, Record, With,
        field::{Actor, Address, Currency, Date, Decimal, Emails, FullName, Id, Links, Phones, RichText},
        record::*,
    },
    testing::Delivery,
    verify::{FixedClock, Secret, Timestamp, Verified, Verifier},
};

fn folder() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/real"))
}

/// Returns a verifier whose clock shows the time at which the delivery was signed.
fn verifier(vector: &Value) -> Verifier {
    let millis = vector["timestamp"].as_str().unwrap().parse().unwrap();
    let secret = Secret::new(vector["secret"].as_str().unwrap()).unwrap();
    Verifier::builder().secret(secret).clock(FixedClock::at(Timestamp::from_millis(millis))).build().unwrap()
}

/// Returns the verified deliveries with the names of their files.
fn deliveries() -> Vec<(String, Verified)> {
    let vectors: Value = serde_json::from_slice(&fs::read(folder().join("vectors.json")).unwrap()).unwrap();
    let vectors = vectors["vectors"].as_array().unwrap().iter().map(|vector| {
        let file = vector["file"].as_str().unwrap();
        let header = |name: &str| (format!("x-twenty-webhook-{name}"), vector[name].as_str().unwrap().to_owned());
        let headers = ["timestamp", "signature", "nonce"].map(header);
        let body = fs::read(folder().join(file)).unwrap();
        let verified = verifier(vector).verify(headers, body.clone()).unwrap_or_else(|error| panic!("{file}: {error}"));

        // A stored delivery can be verified again with these headers.
        let again = verifier(vector).verify(verified.signature_headers().pairs(), body).unwrap();
        assert_eq!(again.timestamp(), verified.timestamp(), "{file}");
        (file.to_owned(), verified)
    });
    vectors.collect()
}

#[track_caller]
fn read<T: FromRecord>(file: &str, delivery: &Verified) -> WebhookEvent<T> {
    let event = delivery.clone().into_event::<T>().unwrap_or_else(|error| panic!("{file}: {error}"));
    assert_eq!(event.unexpected(), [], "{file}");
    event
}

/// Removes members that are `null`, at any depth, and writes numbers in one form.
fn plain(value: Value) -> Value {
    match value {
        Value::Object(members) => {
            let members = members.into_iter().filter(|(_, value)| !value.is_null());
            Value::Object(
                members
                    .map(|(name, value)| match (&*name, value) {
                        // A server of 2025 sends text.
                        ("amountMicros", Value::String(text)) => (name, text.parse::<i64>().unwrap().into()),
                        (_, value) => (name, plain(value)),
                    })
                    .collect(),
            )
        }
        Value::Array(elements) => Value::Array(elements.into_iter().map(plain).collect()),
        other => other,
    }
}

/// Returns the record's members that are in the table of fields or in `more`.
fn known(record: &Value, fields: &[(String, String)], more: &[&str]) -> Value {
    let is_known = |name: &str| fields.iter().any(|(field, _)| field == name) || more.contains(&name);
    let members = record.as_object().unwrap().iter().map(|(name, value)| match &**name {
        "iCalUID" => ("iCalUid".to_owned(), value.clone()),
        _ => (name.clone(), value.clone()),
    });
    plain(Value::Object(members.filter(|(name, _)| is_known(name)).collect::<Map<_, _>>()))
}

fn record(delivery: &Verified) -> Value {
    serde_json::from_slice::<Value>(delivery.body()).unwrap()["record"].take()
}

/// Reads a record as its type, alone and with custom fields, and writes it again.
fn check<T>(file: &str, delivery: &Verified)
where
    T: DeserializeOwned + Serialize + PartialEq + std::fmt::Debug,
{
    let event = read::<T>(file, delivery);
    let fields = crate::support::event::objects().into_iter().find(|(name, _)| name == event.name.object()).unwrap().1;
    let sent = record(delivery);
    let written = serde_json::to_value(&event.record).unwrap();
    assert_eq!(written, known(&sent, &fields, &[]), "{file}");
    let again = serde_json::from_value::<T>(written.clone()).unwrap();
    assert_eq!(serde_json::to_value(&again).unwrap(), written, "{file}");

    let with = read::<With<T, CustomFields>>(file, delivery);
    assert_eq!(with.record.standard, event.record, "{file}");
    assert_eq!(with.record.custom, serde_json::from_value(sent.clone()).unwrap(), "{file}");
    let written = serde_json::to_value(&with.record).unwrap();
    assert_eq!(written, known(&sent, &fields, CUSTOM_FIELDS), "{file}");

    // A map as the custom fields contains the whole record as it was sent.
    let with = read::<With<T, BTreeMap<String, RawJson>>>(file, delivery);
    let custom: Value = serde_json::to_value(&with.record.custom).unwrap();
    assert_eq!(custom, sent, "{file}");
}

const CUSTOM_FIELDS: &[&str] = &["tier", "budget", "wonDealId", "segment", "creditLine", "keyContactId", "intro"];

/// The custom fields of `person` and `company` in this workspace.
#[derive(Debug, Deserialize, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
struct CustomFields {
    #[serde(skip_serializing_if = "Option::is_none")]
    tier: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    budget: Option<Currency>,
    #[serde(skip_serializing_if = "Option::is_none")]
    won_deal_id: Option<Id>,
    #[serde(skip_serializing_if = "Option::is_none")]
    segment: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    credit_line: Option<Currency>,
    #[serde(skip_serializing_if = "Option::is_none")]
    key_contact_id: Option<Id>,
    #[serde(skip_serializing_if = "Option::is_none")]
    intro: Option<String>,
}

macro_rules! check_each {
    ($($Name:ident)*) => {
        #[test]
        fn each_delivery_is_read_and_written_again() {
            let mut standard = 0;
            for (file, delivery) in deliveries() {
                let event = read::<Record>(&file, &delivery);
                assert_eq!(event.record.id().unwrap(), *record(&delivery)["id"].as_str().unwrap(), "{file}");
                match &event.record {
                    $(Record::$Name(of_record) => {
                        assert_eq!(**of_record, read::<$Name>(&file, &delivery).record);
                        check::<$Name>(&file, &delivery);
                        standard += 1;
                    })*
                    Record::Custom(custom) => {
                        assert!(["pet", "rocket"].contains(&custom.object()), "{file}");
                        let written = serde_json::to_value(custom.raw()).unwrap();
                        assert_eq!(written, record(&delivery), "{file}");
                    }
                    other => panic!("{file}: {other:?}"),
                }
            }
            assert!(standard > 25, "{standard}");
        }
    };
}

check_each! {
    Person Company Opportunity Note NoteTarget Task TaskTarget Attachment WorkspaceMember CalendarEvent
    CalendarEventParticipant Message Workflow WorkflowVersion WorkflowRun MessageParticipant MessageThread MessageCampaign
    CallRecording CalendarEventTarget MessageThreadTarget Dashboard
}

#[test]
fn each_body_is_a_vector() {
    let mut files: Vec<_> = deliveries().into_iter().map(|(file, _)| file).collect();
    let mut bodies: Vec<_> =
        fs::read_dir(folder()).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    bodies.retain(|file| file.ends_with(".json") && file != "vectors.json");
    files.sort();
    bodies.sort();
    assert_eq!(files, bodies);
}

fn delivery(file: &str) -> Verified {
    deliveries().into_iter().find(|(name, _)| name == file).unwrap().1
}

/// A custom object with a field of each type.
#[derive(Debug, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
struct Pet {
    id: Option<Id>,
    name: Option<String>,
    created_by: Option<Actor>,
    species: Option<String>,
    traits: Option<Vec<String>>,
    comments: Option<String>,
    age: Option<Decimal>,
    location: Option<Address>,
    vet_phone: Option<Phones>,
    vet_email: Option<Emails>,
    birthday: Option<Date>,
    is_good_with_kids: Option<bool>,
    pictures: Option<Links>,
    average_cost_of_kibble_per_month: Option<Currency>,
    makes_owner_think_of: Option<FullName>,
    sound_swag: Option<String>,
    bio: Option<RichText>,
    interesting_facts: Option<Vec<String>>,
    extra_data: Option<RawJson>,
}

#[test]
fn a_custom_object_is_read_and_written_again() {
    let mut written = Vec::new();
    for file in ["pet.created.full-custom-object.json", "pet.created.empty-custom-object.json"] {
        let delivery = delivery(file);
        let event = read::<Pet>(file, &delivery);
        let value = plain(serde_json::to_value(&event.record).unwrap());
        let mut sent = plain(record(&delivery));
        let names =
            ["createdAt", "updatedAt", "deletedAt", "position", "searchVector", "ownerSurveyResultId", "ownerRocketId"];
        sent.as_object_mut().unwrap().retain(|name, _| !names.contains(&&**name));
        if let Some(birthday) = sent.get_mut("birthday") {
            // A server of 2025 sends midnight.
            *birthday = birthday.as_str().unwrap()[..10].into();
        }
        assert_eq!(value, sent, "{file}");
        written.push(value);
    }
    assert!(written[0].as_object().unwrap().len() > 15);
}

#[test]
fn a_record_has_a_display_name_if_a_field_provides_one() {
    let name = |file: &str| read::<Record>(file, &delivery(file)).record.display_name();
    assert_eq!(name("person.created.nameless.json").as_deref(), Some("only.mail@zephyr.example"));
    assert_eq!(name("messageParticipant.created.json").as_deref(), Some("Ylva"));
    assert!(name("workflowVersion.updated.json").is_some());

    let name = |event: &str, record: Value| {
        let body = serde_json::json!({"eventName": event, "record": record});
        Delivery::from_value(&body).unwrap().into_event::<Record>().unwrap().record.display_name()
    };
    let domain = serde_json::json!({"name": "", "domainName": {"primaryLinkUrl": "https://acme.example/"}});
    assert_eq!(name("company.created", domain).as_deref(), Some("acme.example"));
    let both = serde_json::json!({"name": "Acme", "domainName": {"primaryLinkUrl": "https://acme.example/"}});
    assert_eq!(name("company.created", both).as_deref(), Some("Acme"));
    for object in ["calendarEventParticipant", "messageParticipant"] {
        let handle = serde_json::json!({"displayName": "", "handle": "ada@example.com"});
        assert_eq!(name(&format!("{object}.created"), handle).as_deref(), Some("ada@example.com"));
    }
    for object in ["person", "company", "workspaceMember", "messageParticipant"] {
        let empty = serde_json::json!({"name": null, "emails": {"primaryEmail": ""}, "userEmail": "", "handle": ""});
        assert_eq!(name(&format!("{object}.created"), empty), None);
    }
}

#[test]
fn a_restoration_that_arrives_as_deleted_differs_from_a_deletion() {
    for (file, delivery) in deliveries() {
        let event = read::<Record>(&file, &delivery);
        assert_eq!(event.is_restoration(), file.contains("by-a-restore"), "{file}");
    }
    let event = Delivery::sample("person.restored").into_event::<Person>().unwrap();
    assert!(event.is_restoration());
    assert_eq!(*event.name.action(), Action::Restored);
}

#[test]
fn both_names_of_the_id_in_icalendar_are_read() {
    let file = "calendarEvent.created.iCalUID.json";
    assert_eq!(read::<CalendarEvent>(file, &delivery(file)).record.i_cal_uid.as_deref(), Some("ical-1"));
    let event = Delivery::from_body(r#"{"eventName":"calendarEvent.created","record":{"iCalUid":"x"}}"#);
    assert_eq!(event.into_event::<CalendarEvent>().unwrap().record.i_cal_uid.as_deref(), Some("x"));
}

#[test]
fn an_unexpected_member_of_either_half_is_reported_and_the_rest_is_read() {
    let body = r#"{"eventName":"person.updated","record":{"budget":5,"jobTitle":3,"tier":"GOLD","emails":{"primaryEmail":[]},"city":"Ulm","intro":{}}}"#;
    let event = Delivery::from_body(body).into_event::<With<Person, CustomFields>>().unwrap();
    let paths: Vec<_> = event.unexpected().iter().map(|member| &*member.path).collect();
    assert_eq!(paths, ["record.budget", "record.jobTitle", "record.emails.primaryEmail", "record.intro"]);
    assert_eq!(event.record.city.as_deref(), Some("Ulm"));
    assert_eq!(event.record.custom.tier.as_deref(), Some("GOLD"));
    assert_eq!(event.raw_record().unwrap().get("jobTitle").unwrap().as_str(), "3");
    assert!(!format!("{:?}", event.record).contains("GOLD"));

    let company = Delivery::sample("company.created").into_event::<With<Person, CustomFields>>().unwrap_err();
    assert_eq!(company.kind(), EventErrorKind::WrongObject);
    assert_eq!(company.to_string(), "expected an event of `person`, found `company.created`");
}

/// Reading costs as much as two types do, for any number of unexpected members.
#[test]
fn a_member_that_both_halves_reject_is_reported_once() {
    #[derive(Debug, Deserialize)]
    struct Retyped {
        emails: Option<bool>,
        city: Option<u8>,
    }
    let body =
        r#"{"eventName":"person.updated","record":{"emails":{"primaryEmail":5},"city":5,"name":{"lastName":"L"}}}"#;
    let event = Delivery::from_body(body).into_event::<With<Person, Retyped>>().unwrap();
    let paths: Vec<_> = event.unexpected().iter().map(|member| &*member.path).collect();
    assert_eq!(paths, ["record.emails", "record.city"]);
    let Retyped { emails, city } = event.record.custom;
    assert_eq!((emails, city, event.record.standard.city), (None, None, None));
    assert_eq!(event.record.standard.name.unwrap().last_name.as_deref(), Some("L"));
}
