//! Reads the deliveries of a real server with the module that `twenty-webhook types` generated from
//! that server's objects. A test of the command-line tool checks that the module is up to date.

use std::collections::BTreeMap;

use serde::{
    Deserialize, Deserializer, Serialize,
    de::{Error, Visitor, value},
    forward_to_deserialize_any,
};
use serde_json::Value;
use twenty_webhook::{
    Verifier, WebhookEvent,
    event::{EventErrorKind, EventName, FromRecord, field::DateTime},
    verify::{FixedClock, Secret, Timestamp},
};

use crate::support::event::unexpected;

mod real {
    include!("../generated/real.rs");
}

/// Generated from objects whose names are hard for a generator. It must compile.
mod odd {
    include!("../generated/odd.rs");
}

#[derive(Deserialize)]
struct Vectors {
    vectors: Vec<Vector>,
}

#[derive(Deserialize)]
struct Vector {
    file: String,
    secret: String,
    timestamp: String,
    signature: String,
    nonce: String,
}

/// Returns the deliveries of an object: file, headers and secret, with the body.
fn deliveries(object: &str) -> Vec<(Vector, Vec<u8>)> {
    let directory = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/real/");
    let read = |file: &str| std::fs::read(format!("{directory}{file}")).unwrap();
    let Vectors { vectors } = serde_json::from_slice(&read("vectors.json")).unwrap();
    let of_object = vectors.into_iter().filter(|vector| vector.file.split('.').next() == Some(object));
    of_object.map(|vector| (read(&vector.file), vector)).map(|(body, vector)| (vector, body)).collect()
}

fn read<T: FromRecord>((vector, body): &(Vector, Vec<u8>)) -> WebhookEvent<T> {
    let headers = [
        ("x-twenty-webhook-timestamp", &vector.timestamp),
        ("x-twenty-webhook-signature", &vector.signature),
        ("x-twenty-webhook-nonce", &vector.nonce),
    ];
    let clock = FixedClock::at(Timestamp::from_millis(vector.timestamp.parse().unwrap()));
    let verifier = Verifier::builder().secret(Secret::new(&*vector.secret).unwrap()).clock(clock).build().unwrap();
    WebhookEvent::from_verified(verifier.verify(headers, body.clone()).unwrap()).unwrap()
}

/// A deserializer that asks a type for the names of its fields.
struct Ask<'a>(&'a mut &'static [&'static str]);

impl<'de> Deserializer<'de> for Ask<'_> {
    type Error = value::Error;

    fn deserialize_any<V: Visitor<'de>>(self, _: V) -> Result<V::Value, value::Error> {
        Err(Error::custom(""))
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        fields: &'static [&'static str],
        _: V,
    ) -> Result<V::Value, value::Error> {
        *self.0 = fields;
        Err(Error::custom(""))
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit unit_struct
        newtype_struct seq tuple tuple_struct map enum identifier ignored_any
    }
}

fn fields<T: for<'de> Deserialize<'de>>() -> &'static [&'static str] {
    let mut fields = &[][..];
    let _ = T::deserialize(Ask(&mut fields));
    fields
}

/// Removes `null`, and writes each number as a float and each time in one form.
fn plain(value: Value) -> Value {
    match value {
        Value::Object(members) => {
            let members = members.into_iter().filter(|(_, value)| !value.is_null());
            let members = members.map(|(name, value)| match (&*name, value) {
                // A server of 2025 sends text.
                ("amountMicros", Value::String(text)) => (name, text.parse::<f64>().unwrap().into()),
                (_, value) => (name, plain(value)),
            });
            Value::Object(members.collect())
        }
        Value::Array(elements) => Value::Array(elements.into_iter().map(plain).collect()),
        Value::Number(number) => number.as_f64().unwrap().into(),
        Value::String(text) => match text.parse::<DateTime>() {
            // A server of 2025 sends a day as its midnight.
            Ok(time) => time.to_string().trim_end_matches("T00:00:00Z").into(),
            Err(_) => text.into(),
        },
        other => other,
    }
}

/// Returns the number of deliveries of an object. Checks that each of them is read completely, with
/// no unexpected members, and written again with the same values.
fn check<T: FromRecord + Serialize + for<'de> Deserialize<'de>>(object: &str) -> usize {
    let deliveries = deliveries(object);
    for delivery in &deliveries {
        let file = &delivery.0.file;
        let event: WebhookEvent<T> = read(delivery);
        assert_eq!(unexpected(&event), [], "{file}");
        for (name, _) in event.raw_record().unwrap().members() {
            // At that time the server had an object `contract`, which was deleted before its
            // objects were queried.
            let is_of_contract = matches!(&*name, "contractId" | "mainContractId");
            assert!(is_of_contract || fields::<T>().contains(&&*name), "{file}: {name}");
        }
        let mut sent: Value = serde_json::from_str(event.raw_record().unwrap().as_str()).unwrap();
        sent.as_object_mut().unwrap().retain(|name, _| fields::<T>().contains(&&**name));
        assert_eq!(plain(serde_json::to_value(&event.record).unwrap()), plain(sent), "{file}");
    }
    deliveries.len()
}

#[test]
fn every_real_delivery_is_read_completely() {
    macro_rules! counts {
        ($($object:literal $Type:ident,)*) => {
            BTreeMap::from([$(($object, check::<real::$Type>($object))),*])
        };
    }
    let counts = counts! {
        "attachment" Attachment,
        "calendarEvent" CalendarEvent,
        "company" Company,
        "message" Message,
        "messageParticipant" MessageParticipant,
        "note" Note,
        "noteTarget" NoteTarget,
        "opportunity" Opportunity,
        "person" Person,
        "pet" Pet,
        "rocket" Rocket,
        "task" Task,
        "workflowVersion" WorkflowVersion,
        "workspaceMember" WorkspaceMember,
    };
    assert!(counts.values().all(|count| *count > 0), "{counts:?}");
    assert_eq!(counts.values().sum::<usize>(), deliveries_in_all(), "{counts:?}");
}

fn deliveries_in_all() -> usize {
    let vectors = include_str!("../real/vectors.json");
    serde_json::from_str::<Vectors>(vectors).unwrap().vectors.len()
}

#[test]
fn each_kind_of_field_has_its_value() {
    let full = deliveries("pet").into_iter().find(|(vector, _)| vector.file == "pet.created.full-custom-object.json");
    let WebhookEvent { record: pet, .. } = read::<real::Pet>(&full.unwrap());
    assert_eq!(pet.name.as_deref(), Some("Rex 🦕"));
    assert_eq!(pet.species.as_deref(), Some("DOG"));
    assert_eq!(pet.traits, Some(vec!["PLAYFUL".to_owned(), "BRAVE".to_owned()]));
    assert_eq!(pet.age.unwrap().as_str(), "3");
    assert_eq!(pet.location.unwrap().address_lat.unwrap().as_str(), "48.85");
    assert_eq!(pet.vet_phone.unwrap().primary_phone_country_code.as_deref(), Some("FR"));
    assert_eq!(pet.vet_email.unwrap().primary_email.as_deref(), Some("vet@example.com"));
    assert_eq!(pet.birthday.unwrap().to_string(), "2020-02-29");
    assert_eq!(pet.is_good_with_kids, Some(true));
    assert_eq!(pet.pictures.unwrap().primary_link_url.as_deref(), Some("https://example.com"));
    assert_eq!(pet.average_cost_of_kibble_per_month.unwrap().amount_micros, Some(12_345_678));
    assert_eq!(pet.makes_owner_think_of.unwrap().display_name().as_deref(), Some("A B"));
    assert_eq!(pet.sound_swag.as_deref(), Some("RATING_3"));
    assert_eq!(pet.bio, None);
    assert_eq!(pet.interesting_facts.unwrap().len(), 3);
    assert_eq!(pet.extra_data.unwrap().get("big").unwrap().as_str(), "12345678901234568");
    assert_eq!(pet.created_at.unwrap().to_string(), "2026-11-26T07:55:44.446Z");
    assert_eq!((pet.owner_rocket_id, pet.owner_survey_result_id), (None, None));

    let WebhookEvent { record: event, .. } = read::<real::CalendarEvent>(&deliveries("calendarEvent")[0]);
    assert!(event.i_cal_uid.is_some(), "renamed to iCalUID");
}

#[test]
fn a_type_accepts_only_its_object_and_shows_no_content() {
    let pet = &deliveries("pet")[0];
    let shown = format!("{:?}", read::<real::Pet>(pet).record);
    assert!(shown.starts_with("Pet { id: Some(") && shown.ends_with("), .. }"), "{shown}");
    let verified = read::<serde_json::Value>(pet).verified().clone();
    let error = WebhookEvent::<real::Rocket>::from_verified(verified).unwrap_err();
    assert_eq!(error.kind(), EventErrorKind::WrongObject);
}

#[test]
fn odd_names_are_read() {
    let json = r#"{
        "id":"1","type":"a","self":true,"Self":false,"crate":"1.5","gen":2,"iCalUID":"A","iCalUid":"b","i_cal_uid":"c",
        "HTTPServer":{"primaryLinkUrl":"x"},"a__b_":["d"],"option":{"e":1},"string":[],"select":"NEW","ownerId":"o"
    }"#;
    let record: odd::OptionRecord = serde_json::from_str(json).unwrap();
    assert_eq!(record.type_.as_deref(), Some("a"));
    assert_eq!((record.self_, record.self_2), (Some(false), Some(true)), "`Self` comes first");
    assert_eq!(record.crate_.unwrap().as_str(), "1.5");
    assert_eq!(record.gen_.unwrap().as_str(), "2");
    let uids = [record.i_cal_uid, record.i_cal_uid_2, record.i_cal_uid_3];
    assert_eq!(uids.map(Option::unwrap), ["b", "A", "c"], "the one that needs no renaming has the name");
    assert!(record.http_server.is_some() && record.a_b.is_some() && record.option.is_some() && record.string.is_some());
    assert_eq!(record.owner_id.unwrap(), "o");
    assert_eq!(fields::<odd::SelfRecord>(), ["id"]);
    for (object, is_taken) in [("box", true), ("boxRecord", false)] {
        let name = EventName::new(format!("{object}.created"));
        assert_eq!(odd::BoxRecord2::check_object(&name).is_ok(), is_taken, "{object}");
    }
}
