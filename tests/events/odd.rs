//! Reads bodies that no server sends, or not yet. The default type loses nothing of any valid JSON,
//! and no content reaches a log.

use std::collections::HashMap;

use serde::{Deserialize, de::DeserializeOwned};
use serde_json::Value;
use twenty_webhook::event::{
    Action, EventErrorKind, EventName, JsonType, RawJson, Record, WebhookEvent, With,
    field::{Actor, ActorSource, Currency, Decimal, Id},
    record::*,
};

use crate::support::{
    data_names, data_text,
    event::{event, raw_record, record, refusal, typed, unexpected, verified},
};

/// Returns the body of an event with this record.
fn person(record: &str) -> String {
    format!(r#"{{"eventName":"person.updated","record":{record}}}"#)
}

fn nested(depth: usize) -> String {
    format!("{}{}", "[".repeat(depth), "]".repeat(depth))
}

fn nested_objects(depth: usize) -> String {
    format!("{}1{}", r#"{"a":"#.repeat(depth), "}".repeat(depth))
}

#[test]
fn odd_members_read_as_absent() {
    let event = event(
        r#"{"record":{"id":"x","name":{"firstName":7,"lastName":"Lovelace"},"emails":"none","updatedAt":"yesterday",
        "phones":{"additionalPhones":[{"number":"1"},{"number":2}],"primaryPhoneNumber":"3"},"jobTitle":"\ud800",
        "createdBy":{"source":[],"context":{"provider":{}}},"avatarFile":{},"position":"1","companyId":5,"intro":7},
        "userId":5,"eventDate":false,"eventName":"person.archived","updatedFields":["name",null],"objectMetadata":[1]}"#,
    );
    assert_eq!(event.name.action(), &Action::Other("archived".into()));
    let string = || "a string".to_owned();
    let number = || "a number".to_owned();
    assert_eq!(
        unexpected(&event),
        [
            ("record.name.firstName", number()),
            ("record.emails", string()),
            ("record.updatedAt", string()),
            ("record.phones.additionalPhones", "an array".to_owned()),
            ("record.jobTitle", string()),
            ("record.createdBy.source", "an array".to_owned()),
            ("record.createdBy.context.provider", "an object".to_owned()),
            ("record.avatarFile", "an object".to_owned()),
            ("record.position", string()),
            ("record.companyId", number()),
            ("userId", number()),
            ("eventDate", "a boolean".to_owned()),
            ("updatedFields", "an array".to_owned()),
            ("objectMetadata", "an array".to_owned()),
        ]
    );
    let person = record!(event, Record::Person);
    assert_eq!(person.display_name().unwrap(), "Lovelace");
    assert_eq!(person.id, Some("x".into()));
    assert_eq!(person.phones.as_ref().unwrap().primary_phone_number.as_deref(), Some("3"));
    assert!(person.created_by.as_ref().unwrap().context.is_some());
    assert_eq!((&event.user_id, event.event_date, &event.updated_fields), (&None, None, &None));
    let raw = event.raw_record().unwrap();
    assert_eq!(raw.get("jobTitle").unwrap().as_str(), r#""\ud800""#);
    assert_eq!(raw.get("jobTitle").unwrap().to_text(), None);
    assert_eq!(raw.get("intro").unwrap().as_str(), "7");
}

#[test]
fn a_body_without_record_or_name_is_read() {
    for (body, object, kept) in [
        ("null", "", "null"),
        ("5", "", "5"),
        (r#""text""#, "", r#""text""#),
        (" [1 , 2] ", "", " [1 , 2] "),
        ("{}", "", "{}"),
        (r#"{"record":{"a":1}}"#, "", r#"{"a":1}"#),
        (r#"{"eventName":null,"record":{"a":1}}"#, "", r#"{"a":1}"#),
        (r#"{"eventName":"person.created","record":[ ]}"#, "person", "[ ]"),
        (r#"{"eventName":"person.created","record":null}"#, "person", "null"),
        (r#"{"eventName":"rocket.archived","record":"x"}"#, "rocket", r#""x""#),
        (r#"{"eventName":"person","record":"x"}"#, "person", r#""x""#),
    ] {
        let event = event(body);
        let record = record!(event, Record::Custom);
        assert_eq!((record.object(), record.raw().as_str()), (object, kept), "{body}");
        assert_eq!(unexpected(&event), [], "{body}");
    }
    assert_eq!(**record!(event(r#"{"eventName":"person.created"}"#), Record::Person), Person::default());
}

#[test]
fn invalid_json_is_an_error_with_its_position() {
    for (body, position) in [
        ("", "line 1, column 0"),
        ("{", "line 1, column 1"),
        ("{\n\"record\":x", "line 2, column 10"),
        (r#"{"eventName":"person.created","record":{}} x"#, "line 1, column 44"),
        ("{}{}", "line 1, column 3"),
        ("\u{feff}{}", "line 1, column 1"),
        (r#"{"a":01}"#, "line 1, column 7"),
        ("{\"a\":\"\n\"}", "line 1, column 6"),
    ] {
        for refused in [refusal::<Record>(body), refusal::<Person>(body), refusal::<Value>(body)] {
            assert_eq!(refused.kind(), EventErrorKind::NotJson, "{body}");
            assert_eq!(refused.to_string(), format!("verified body is not JSON ({position})"), "{body}");
        }
    }
    let refused = refusal::<Record>(b"{\n\"a\":\"\xff\"}".as_slice());
    assert_eq!(refused.to_string(), "verified body is not JSON (line 2, column 6)");
}

#[test]
fn odd_event_names_are_read_and_reported() {
    let name_of = |body: &str| {
        let event = event(body);
        (event.name.to_string(), unexpected(&event).iter().map(|(path, _)| (*path).to_owned()).collect::<Vec<_>>())
    };
    for (body, name, odd) in [
        (r#"{"eventName":5,"record":{}}"#, "", &["eventName"][..]),
        (r#"{"eventName":"\ud800"}"#, "", &["eventName"]),
        (r#"{"eventName":5,"event":"person.created"}"#, "person.created", &["eventName"]),
        (r#"{"event":5,"eventName":"person.created","record":{}}"#, "person.created", &["event"]),
        (r#"{"event":{},"eventName":"person.created","record":{}}"#, "person.created", &["event"]),
        (r#"{"eventName":"person.created","event":5}"#, "person.created", &[]),
        (r#"{"event":{"a":1}}"#, "", &["event"]),
        (r#"{"event":null}"#, "", &[]),
        (r#"{"record":{},"eventName":"person.created"}"#, "person.created", &[]),
        (r#"{"eventName":"a.b","eventName":"c.d"}"#, "a.b", &["eventName"]),
        (r#"{"eventName":5,"eventName":"c.d"}"#, "", &["eventName", "eventName"]),
        (r#"{"eventName":"a.b","x":1,"record":{},"x":2}"#, "a.b", &["x"]),
        (r#"{"event\u004eame":"person.created"}"#, "person.created", &[]),
        (r#"{"eventName":"person\u002ecreated"}"#, "person.created", &[]),
        (r#"{"__proto__":{"eventName":"x.y"},"eventName":"a.b","record":{"__proto__":1}}"#, "a.b", &[]),
    ] {
        assert_eq!(name_of(body), (name.to_owned(), odd.iter().map(|odd| (*odd).to_owned()).collect()), "{body}");
    }
}

#[test]
fn metadata_events_in_odd_forms_are_read() {
    for (body, kept) in [
        (r#"{"eventName":"metadata.view.created","event":[1]}"#, "[1]"),
        (r#"{"eventName":"metadata.view.created","event":"text"}"#, r#""text""#),
        (r#"{"eventName":"metadata.view.created","event":null}"#, "null"),
        (r#"{"event":{"a":1e+21},"eventName":"metadata.view.created"}"#, r#"{"a":1e+21}"#),
        (r#"{"event":[],"userId":5,"eventName":"metadata.view.created"}"#, "[]"),
        (r#"{"event":"metadata.view.created","userId":5,"data":{"a":1}}"#, r#"{"a":1}"#),
        (r#"{"eventName":"metadata.view.created","record":{"a":1}}"#, r#"{"a":1}"#),
        (r#"{"eventName":"metadata.view.created"}"#, "{}"),
    ] {
        let event = event(body);
        let change = record!(event, Record::Metadata);
        assert_eq!((change.metadata_name(), change.raw().as_str()), ("view", kept), "{body}");
        assert_eq!(typed::<MetadataEvent>(body).record, *change);
        assert!(change.diff().is_empty() && change.updated_fields().is_empty() && change.record_id().is_none());
    }
}

#[test]
fn the_first_of_repeated_members_counts() {
    let twice = event(
        r#"{"eventName":"person.created","record":{"jobTitle":"CEO"},"record":{"jobTitle":"CTO"},"userId":"a","userId":"b"}"#,
    );
    assert_eq!(record!(twice, Record::Person).job_title.as_deref(), Some("CEO"));
    assert_eq!(raw_record(&twice), r#"{"jobTitle":"CEO"}"#);
    assert_eq!(twice.user_id, Some("a".into()));

    let both = event(r#"{"eventName":"person.created","data":{"jobTitle":"CEO"},"record":{"jobTitle":"CTO"}}"#);
    assert_eq!(record!(both, Record::Person).job_title.as_deref(), Some("CEO"));
    assert_eq!(raw_record(&both), r#"{"jobTitle":"CEO"}"#);

    let in_the_record = event(person(r#"{"emails":5,"jobTitle":"CEO","jobTitle":"CTO","x":1,"\u0078":[]}"#));
    assert_eq!(record!(in_the_record, Record::Person).job_title.as_deref(), Some("CEO"));
    let reported: Vec<_> =
        in_the_record.unexpected().iter().map(|member| (member.path.as_str(), member.is_repeated)).collect();
    assert_eq!(reported, [("record.emails", false), ("record.jobTitle", true), ("record.x", true)]);

    let first_odd = event(person(r#"{"jobTitle":5,"jobTitle":"CTO"}"#));
    assert_eq!(record!(first_odd, Record::Person).job_title, None);
    assert_eq!(
        unexpected(&first_odd),
        [("record.jobTitle", "a number".to_owned()), ("record.jobTitle", "a string".to_owned())]
    );

    // The first member counts in every type of record.
    let body = r#"{"eventName":"rocket.created","record":{"a":1,"b":2,"a":"x"}}"#;
    assert_eq!(typed::<HashMap<String, u8>>(body).record, HashMap::from([("a".to_owned(), 1), ("b".to_owned(), 2)]));
    assert_eq!(typed::<Value>(body).record, serde_json::json!({"a": 1, "b": 2}));
    assert_eq!(event(body).raw_record().unwrap().get("a").unwrap().as_str(), "1");
    for reported in [
        unexpected(&typed::<HashMap<String, u8>>(body)),
        unexpected(&typed::<Value>(body)),
        unexpected(&typed::<RawJson>(body)),
        unexpected(&event(body)),
    ] {
        assert_eq!(reported, [("record.a", "a string".to_owned())]);
    }
}

#[test]
fn names_that_are_not_unicode_do_not_disturb_others() {
    // The names are in an untyped field, in a typed field, in the record, and in the envelope.
    let untyped = event(person(r#"{"custom":{"\ud800":1,"b":2},"jobTitle":"CTO"}"#));
    assert_eq!(record!(untyped, Record::Person).job_title.as_deref(), Some("CTO"));
    let custom = untyped.raw_record().unwrap().get("custom").unwrap();
    assert_eq!(custom.get("b").unwrap().as_str(), "2");
    let [(odd, one), (b, _)] = &custom.members()[..] else { panic!("two members") };
    assert_eq!((odd.as_str(), one.as_str(), b.as_str()), ("\u{fffd}\u{fffd}\u{fffd}", "1", "b"));

    let in_a_composite = event(person(r#"{"createdBy":{"name":"A","context":{"\ud800":1}},"jobTitle":"CTO"}"#));
    assert_eq!(unexpected(&in_a_composite), [("record.createdBy.context", "an object".to_owned())]);
    let actor = record!(in_a_composite, Record::Person).created_by.clone().unwrap();
    assert_eq!((actor.name.as_deref(), actor.context), (Some("A"), None));

    let in_the_record = event(person(r#"{"\ud800":1,"jobTitle":"CTO"}"#));
    assert_eq!(record!(in_the_record, Record::Person).job_title.as_deref(), Some("CTO"));
    assert_eq!(unexpected(&in_the_record), [("record.?", "a number".to_owned())]);
    assert_eq!(raw_record(&in_the_record), r#"{"\ud800":1,"jobTitle":"CTO"}"#);

    for around_it in [
        r#"{"eventName":"person.created","\ud800":1,"record":{"jobTitle":"CTO"}}"#,
        r#"{"\ud800":1, "\"\udfff\"" : {"\ud800":"\ud800"},"record":{"jobTitle":"CTO"},"eventName":"person.created"}"#,
        r#"{"eventName":"person.created","record":{"jobTitle":"CTO"},"Ada\ud800":"}"}"#,
    ] {
        let default = event(around_it);
        assert_eq!(record!(default, Record::Person).job_title.as_deref(), Some("CTO"), "{around_it}");
        assert_eq!((default.name.as_str(), raw_record(&default).as_str()), ("person.created", r#"{"jobTitle":"CTO"}"#));
        let typed = typed::<Person>(around_it);
        assert_eq!((typed.record.job_title.as_deref(), unexpected(&typed)), (Some("CTO"), vec![]), "{around_it}");
    }
}

#[test]
fn deep_nesting_is_read_without_overflow() {
    let deep = nested(5_000);
    let untyped = event(person(&format!(r#"{{"custom":{deep},"jobTitle":"CTO"}}"#)));
    assert_eq!(record!(untyped, Record::Person).job_title.as_deref(), Some("CTO"));
    assert_eq!(untyped.raw_record().unwrap().get("custom").unwrap().as_str(), deep);
    assert_eq!(unexpected(&untyped), []);

    let in_place_of_text = event(person(&format!(r#"{{"jobTitle":{deep}}}"#)));
    assert_eq!(unexpected(&in_place_of_text), [("record.jobTitle", "an array".to_owned())]);

    let whole = format!(r#"{{"eventName":"rocket.created","record":{deep}}}"#);
    assert_eq!(record!(event(whole.clone()), Record::Custom).raw().as_str(), deep);
    assert_eq!(refusal::<Value>(whole).kind(), EventErrorKind::Mismatch);
    assert_eq!(record!(event(deep.clone()), Record::Custom).raw().as_str(), deep);

    // `Value` limits the depth. Deeper members read as absent.
    let body = format!(r#"{{"eventName":"rocket.created","record":{{"a":{},"b":{deep},"c":7}}}}"#, nested_objects(200));
    let value = typed::<Value>(body.clone());
    assert_eq!(value.record["c"], 7);
    assert_eq!(value.record.get("b"), None);
    assert_eq!(value.record.get("a"), None);
    assert_eq!(unexpected(&value), [("record.a", "an object".to_owned()), ("record.b", "an array".to_owned())]);
    assert!(body.contains(value.raw_record().unwrap().as_str()));
}

#[test]
fn raw_values_share_the_bodys_memory() {
    #[track_caller]
    fn shares(event: &WebhookEvent, piece: &RawJson) {
        assert!(event.body().as_ptr_range().contains(&piece.as_str().as_ptr()));
    }

    for body in [
        r#"{"eventName":"rocket.created","record":{"a":1}}"#,
        r#"{"userId":5,"record":{"a":1},"eventName":"rocket.created"}"#,
        r#"{"eventName":"person.created","record":[5]}"#,
        "[5]",
    ] {
        let event = event(body);
        shares(&event, record!(event, Record::Custom).raw());
    }
    let event = event(data_text("metadata.fieldMetadata.updated.json"));
    shares(&event, record!(event, Record::Metadata).diff()[0].before.as_ref().unwrap());
}

/// One half of a record reads a field that the other half keeps raw.
#[test]
fn a_raw_field_contains_what_the_other_half_leaves_out() {
    #[derive(Deserialize)]
    struct RawName {
        name: Option<RawJson>,
    }

    let name = r#"{"firstName":5,"lastName":"Lovelace"}"#;
    let event = typed::<With<Person, RawName>>(person(&format!(r#"{{"name":{name}}}"#)));
    assert_eq!(unexpected(&event), [("record.name.firstName", "a number".to_owned())]);
    assert_eq!(event.record.name.as_ref().and_then(|name| name.last_name.as_deref()), Some("Lovelace"));
    assert_eq!(event.record.custom.name.as_ref().map(RawJson::as_str), Some(name));
}

#[test]
fn numbers_are_kept_as_sent() {
    let numbers = r#"{"position":1e+21,"big":123456789012345678901234567890,"small":-0.0,"exponent":1E400,"employees":9007199254740993,
        "annualRevenue":{"amountMicros":9007199254740993},"annualRecurringRevenue":{"amountMicros":1e+21,"currencyCode":"EUR"},
        "address":{"addressLat":"1.10000000000000000000000001","addressLng":1e+21}}"#;
    let event = event(format!(r#"{{"eventName":"company.updated","record":{numbers}}}"#));
    assert_eq!(raw_record(&event), numbers);
    let company = record!(event, Record::Company);
    assert_eq!(company.position, Some(1e21));
    assert_eq!(company.employees.as_ref().map(Decimal::as_str), Some("9007199254740993"));
    assert_eq!(company.annual_revenue.as_ref().unwrap().amount_micros, Some(9_007_199_254_740_993));
    let odd = company.annual_recurring_revenue.as_ref().unwrap();
    assert_eq!((odd.amount_micros, odd.currency_code.as_deref()), (None, Some("EUR")));
    let address = company.address.as_ref().unwrap();
    assert_eq!(address.address_lat.as_ref().map(Decimal::as_str), Some("1.10000000000000000000000001"));
    assert_eq!(address.address_lng.as_ref().map(Decimal::as_str), Some("1000000000000000000000"));
    assert_eq!(unexpected(&event), [("record.annualRecurringRevenue.amountMicros", "a number".to_owned())]);
}

#[test]
fn many_odd_members_are_read_quickly() {
    let array = format!("[{}]", vec!["5"; 100_000].join(","));
    let one = event(person(&format!(r#"{{"emails":{{"additionalEmails":{array}}},"jobTitle":"CTO"}}"#)));
    assert_eq!(unexpected(&one), [("record.emails.additionalEmails", "an array".to_owned())]);
    assert_eq!(record!(one, Record::Person).job_title.as_deref(), Some("CTO"));

    // `HashMap` requires text in each member: up to 64 odd members are left out, and more are an
    // error.
    let members = |count: usize| (0..count).map(|n| format!(r#""k{n}":{n}"#)).collect::<Vec<_>>().join(",");
    let body = |count| format!(r#"{{"eventName":"rocket.created","record":{{"x":"y",{}}}}}"#, members(count));
    let taken_out = typed::<HashMap<String, String>>(body(64));
    assert_eq!((taken_out.unexpected().len(), taken_out.record.len()), (64, 1));
    let refused = refusal::<HashMap<String, String>>(body(65));
    assert!(refused.to_string().starts_with("`record.k64` does not fit the expected type (line 1, column "));
    assert_eq!(event(body(65)).raw_record().unwrap().members().len(), 66);

    // A record with too many repeated names is kept raw, and 64 of them are reported.
    let repeated = event(person(&format!("{{{}}}", vec![r#""x":1"#; 100].join(","))));
    assert_eq!((repeated.unexpected().len(), record!(repeated, Record::Custom).object()), (64, "person"));

    // The number of repeated members in the envelope is not limited.
    let again = |member: &str| [member; 1_000].join(",");
    let odd = format!(r#"{},{}"#, again(r#""userId":5"#), again(r#""workspaceId":"w","event":[]"#));
    let body = format!(r#"{{{odd},"workspaceId":"x","eventName":"person.created","record":{{"jobTitle":"CTO"}}}}"#);
    let person = typed::<Person>(body);
    assert_eq!((person.record.job_title.as_deref(), person.workspace_id.clone()), (Some("CTO"), Some("w".into())));
    assert_eq!(person.unexpected().len(), 64);
    assert!(person.unexpected().iter().all(|member| member.path == "userId"));
}

/// Names of members of composite fields.
const INNER_NAMES: [&str; 12] = [
    "firstName",
    "lastName",
    "primaryEmail",
    "additionalEmails",
    "addressCity",
    "addressState",
    "amountMicros",
    "currencyCode",
    "markdown",
    "blocknote",
    "source",
    "workspaceMemberId",
];

/// Returns five composite fields whose members are all numbers. `space` has the text after an
/// opening brace, a comma, a name and a value.
fn odd_composites(name: &str, space: [&str; 4]) -> String {
    let [brace, comma, behind_name, behind_value] = space;
    let object = |members: Vec<String>| format!("{{{brace}{}}}", members.join(&format!(",{comma}")));
    let member = |name: &str, value: &str| format!("\"{name}\"{behind_name}:{value}{behind_value}");
    let inner = object(INNER_NAMES.iter().map(|name| member(name, "5")).collect());
    object((0..5).map(|n| member(&format!("{name}{n}"), &inner)).collect())
}

#[test]
fn up_to_64_odd_members_inside_composite_fields_are_left_out() {
    let read = |record: &str| {
        WebhookEvent::<HashMap<String, HashMap<String, String>>>::from_verified(verified(format!(
            r#"{{"eventName":"rocket.created","record":{record}}}"#
        )))
    };
    for space in [[""; 4], ["\n        "; 4]] {
        let event = read(&odd_composites("aNameAsLongAsTheyComeInPractice", space)).unwrap();
        assert_eq!((event.record.len(), event.unexpected().len()), (5, 60));
    }

    // Each search for another odd member reads the surrounding text again. The event is rejected if
    // that text is too long.
    let wide = " ".repeat(20_000);
    for space in [["", &wide, "", ""], ["", "", &wide, ""], ["", "", "", &wide]] {
        assert_eq!(read(&odd_composites("name", space)).unwrap().unexpected().len(), 60);
    }
    let long_name = "x".repeat(20_000);
    for record in [odd_composites("name", [&wide, "", "", ""]), odd_composites(&long_name, [""; 4])] {
        assert_eq!(read(&record).unwrap_err().kind(), EventErrorKind::Mismatch);
    }
}

/// Counts the bytes of strings and the numbers that a type reads. Repeated reading increases the
/// count.
mod counted {
    use std::cell::Cell;

    use serde::{
        Deserialize, Deserializer,
        de::{IgnoredAny, MapAccess, SeqAccess, Visitor},
    };

    thread_local! {
        pub(super) static VISITED: Cell<usize> = const { Cell::new(0) };
    }

    fn count(bytes: usize) {
        VISITED.set(VISITED.get() + bytes + 1);
    }

    /// A type that reads text only, in objects and arrays of any depth, and ignores all errors
    /// inside.
    #[derive(Debug, Default, PartialEq)]
    pub(super) struct Counted;

    impl<'de> Deserialize<'de> for Counted {
        fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
            struct CountedVisitor;

            impl<'de> Visitor<'de> for CountedVisitor {
                type Value = Counted;

                fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                    f.write_str("text")
                }

                fn visit_str<E>(self, text: &str) -> Result<Counted, E> {
                    count(text.len());
                    Ok(Counted)
                }

                fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Counted, A::Error> {
                    while seq.next_element::<Counted>()?.is_some() {}
                    Ok(Counted)
                }

                fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Counted, A::Error> {
                    while let Some(key) = map.next_key::<String>()? {
                        count(key.len());
                        if map.next_value::<Counted>().is_err() && map.next_key::<IgnoredAny>().is_err() {
                            break;
                        }
                    }
                    Ok(Counted)
                }
            }

            deserializer.deserialize_any(CountedVisitor)
        }
    }
}

/// A type reads a small multiple of the body, for any odd value at any depth, even if the type
/// ignores errors.
#[test]
fn reading_takes_linear_work() {
    use counted::{Counted, VISITED};

    let text = format!("\"{}\"", "x".repeat(300));
    let wide = |value: &str| {
        let members: Vec<_> =
            (0..64).map(|n| format!("\"k{n}\":{{\"a\":{text},\"b\":{value},\"c\":{text}}}")).collect();
        format!("{{{}}}", members.join(","))
    };
    let composite = |value: &str| {
        let inner: Vec<_> = ["firstName", "lastName", "primaryEmail", "name", "markdown", "provider", "context"]
            .map(|name| format!("\"{name}\":{text},\"{name}\":{value},\"x{name}\":{text}"))
            .into();
        let members: Vec<_> = (0..9).map(|n| format!("\"k{n}\":{{{}}}", inner.join(","))).collect();
        format!("{{{}}}", members.join(","))
    };
    let deep = |value: &str| {
        let inner = format!("{{\"a\":{text},\"b\":{value},\"c\":{text}}}");
        let nested = format!("{}{inner}{}", "{\"a\":".repeat(110), "}".repeat(110));
        let members: Vec<_> = (0..64).map(|n| format!("\"k{n}\":{nested}")).collect();
        format!("{{{}}}", members.join(","))
    };
    let repeated = |value: &str| format!("{{\"a\":{text},{}\"b\":{value}}}", format!("\"a\":{text},").repeat(60));
    for odd in ["5", "1e400", "[5]", "{\"a\":5}", r#""\ud800""#, "true"] {
        for record in [wide(odd), composite(odd), deep(odd), repeated(odd)] {
            let body = format!(r#"{{"eventName":"rocket.created","record":{record}}}"#);
            let delivery = verified(body.clone());
            VISITED.set(0);
            let _ = WebhookEvent::<HashMap<String, Counted>>::from_verified(delivery.clone());
            let _ = WebhookEvent::<Counted>::from_verified(delivery.clone());
            let _ = WebhookEvent::<HashMap<String, HashMap<String, Counted>>>::from_verified(delivery);
            let visited = VISITED.get();
            assert!(visited <= 3 * 5 * body.len(), "{visited} of {}: {}", body.len(), &record[..100]);
        }
    }
}

#[derive(Debug, PartialEq, Deserialize)]
#[serde(rename = "subscription", rename_all = "camelCase")]
struct Subscription {
    plan: String,
    mrr: Option<Currency>,
    seats: Option<u32>,
    terms: Option<Terms>,
}

#[derive(Debug, PartialEq, Deserialize)]
struct Terms {
    days: u32,
}

#[test]
fn a_custom_type_is_read() {
    let event = typed::<Subscription>(data_text("subscription.created.json"));
    assert_eq!((event.record.plan.as_str(), event.record.seats), ("PRO", Some(25)));
    assert_eq!(unexpected(&event), []);

    let lenient =
        typed::<Subscription>(r#"{"eventName":"subscription.created","record":{"plan":"PRO","seats":-1,"mrr":"x"}}"#);
    assert_eq!(lenient.record, Subscription { plan: "PRO".to_owned(), mrr: None, seats: None, terms: None });
    assert_eq!(unexpected(&lenient), [("record.seats", "a number".to_owned()), ("record.mrr", "a string".to_owned())]);

    let refused = refusal::<Subscription>(data_text("company.deleted.json"));
    assert_eq!(refused.kind(), EventErrorKind::WrongObject);
    assert_eq!(refused.to_string(), "expected an event of `subscription`, found `company.deleted`");
}

#[test]
fn required_members_are_reported() {
    for (body, says) in [
        (r#"{"eventName":"subscription.deleted","record":{"id":"x"}}"#, "`record.plan` is missing (line 1, column 55)"),
        (r#"{"eventName":"subscription.deleted","data":{}}"#, "`data.plan` is missing (line 1, column 45)"),
        (r#"{"eventName":"subscription.deleted"}"#, "`record.plan` is missing (line 1, column 36)"),
        ("{\"eventName\":\"subscription.deleted\",\n \"userId\":5}", "`record.plan` is missing (line 2, column 12)"),
        (
            r#"{"eventName":"subscription.deleted","record":{"plan":5}}"#,
            "`record.plan` does not fit the expected type (line 1, column 55)",
        ),
        (
            r#"{"eventName":"subscription.deleted","record":{"seats":"x"}}"#,
            "`record.plan` is missing (line 1, column 58)",
        ),
        (
            r#"{"eventName":"subscription.deleted","record":[1]}"#,
            "`record` does not fit the expected type (line 1, column 48)",
        ),
    ] {
        let refused = refusal::<Subscription>(body);
        assert_eq!(refused.kind(), EventErrorKind::Mismatch, "{body}");
        assert_eq!(refused.to_string(), says, "{body}");
    }
    // A payload before the name is read only when the name is known. The position is that of its
    // end.
    let refused = refusal::<Vec<u32>>("{\n\"event\":{\"a\":1},\"eventName\":\"metadata.view.created\"}");
    assert_eq!(refused.to_string(), "`event` does not fit the expected type (line 2, column 15)");
    // If a member of the record lacks a required member, only that member is left out.
    let partial = typed::<Subscription>(r#"{"eventName":"subscription.x","record":{"plan":"","terms":{}}}"#);
    assert_eq!((&partial.record.terms, unexpected(&partial)), (&None, vec![("record.terms", "an object".to_owned())]));
    assert_eq!(refusal::<Value>("[1]").to_string(), "verified body does not fit the expected type (line 1, column 0)");
}

#[test]
fn other_types_are_read() {
    #[derive(Deserialize)]
    #[serde(rename = "*")]
    struct Nothing {}

    #[derive(Deserialize)]
    struct Wrapped(Option<Box<Subscription>>);

    let subscription = data_text("subscription.created.json");
    let metadata = data_text("metadata.fieldMetadata.updated.json");
    typed::<Nothing>(subscription.clone());
    assert_eq!(refusal::<Nothing>(metadata.clone()).kind(), EventErrorKind::WrongObject);
    assert_eq!(typed::<Wrapped>(subscription.clone()).record.0.unwrap().plan, "PRO");
    assert_eq!(refusal::<Wrapped>(metadata.clone()).kind(), EventErrorKind::WrongObject);
    assert_eq!(typed::<Value>(subscription.clone()).record["plan"], "PRO");
    assert_eq!(typed::<Value>(metadata.clone()).record["type"], "updated");
    assert_eq!(typed::<RawJson>(subscription.clone()).record, event(subscription.clone()).raw_record().unwrap());
    assert_eq!(typed::<HashMap<String, RawJson>>(subscription.clone()).record["seats"].as_str(), "25");
    typed::<serde::de::IgnoredAny>(metadata);
    assert_eq!(refusal::<()>(subscription).kind(), EventErrorKind::Mismatch);
}

#[test]
fn errors_state_what_was_expected() {
    fn message<T: DeserializeOwned>(odd: &str) -> String {
        serde_json::from_str::<T>(odd).err().expect("an error").to_string()
    }

    for (message, expected) in [
        (message::<Actor>("5"), "an actor"),
        (message::<Currency>(r#"{"amountMicros":[]}"#), "a whole number of millionths, or one as text"),
        (message::<Decimal>("[]"), "a number, or a number as text"),
        (message::<Id>("5"), "an id"),
        (message::<Person>(r#"{"createdAt":"soon"}"#), "a time"),
    ] {
        assert!(message.contains(&format!(", expected {expected} at line 1 column ")), "{message}");
    }
}

#[test]
fn a_custom_record_has_a_display_name() {
    for (record, called) in [
        (r#"{"name":"Pro","title":"Plan"}"#, Some("Pro")),
        (r#"{"name":"","title":"Plan"}"#, Some("Plan")),
        (r#"{"name":{"firstName":"Ada","lastName":""},"title":"Plan"}"#, Some("Ada")),
        (r#"{"name":5,"title":"Plan"}"#, Some("Plan")),
        (r#"{"name":null,"title":""}"#, None),
        ("[]", None),
    ] {
        let event = event(format!(r#"{{"eventName":"rocket.created","record":{record}}}"#));
        assert_eq!(event.record.display_name().as_deref(), called, "{record}");
    }
}

#[test]
fn relations_have_two_names() {
    let changed = |listed: &str, asked| {
        event(format!(r#"{{"eventName":"person.updated","record":{{}},"updatedFields":{listed}}}"#)).changed(asked)
    };
    assert!(changed(r#"["companyId"]"#, "company") && changed(r#"["companyId"]"#, "companyId"));
    assert!(changed(r#"["company"]"#, "company") && changed(r#"["company"]"#, "companyId"));
    // These are two custom fields, not a relation.
    let taxed = |listed, asked| {
        event(format!(
            r#"{{"eventName":"company.updated","record":{{"tax":5,"taxId":"DE1"}},"updatedFields":["{listed}"]}}"#
        ))
        .changed(asked)
    };
    assert!(taxed("tax", "tax") && taxed("taxId", "taxId") && !taxed("tax", "taxId") && !taxed("taxId", "tax"));
    assert!(!changed(r#"["companyName"]"#, "company") && !changed("[]", "company") && !changed("null", "company"));
}

/// Stands for content that must not reach a log.
const PRIVATE: &str = "s3cr3t";

#[track_caller]
fn assert_private(shown: &str) {
    assert!(!shown.is_empty() && !shown.contains(PRIVATE), "{shown}");
}

#[test]
fn debug_shows_nothing_private() {
    let files = data_names().into_iter().filter(|file| file != "vectors.json");
    let bodies: Vec<String> = files.map(|file| data_text(&file)).collect();
    for body in bodies {
        // All texts are replaced, except for names of events and fields.
        let mut value: Value = serde_json::from_str(&body).unwrap();
        let name = event(body).name.to_string();
        mark(&mut value);
        let key = if value.get("data").is_some() { "event" } else { "eventName" };
        value[key] = name.into();
        value.as_object_mut().unwrap().remove("updatedFields");
        value.as_object_mut().unwrap().remove("objectMetadata");
        let event = event(value.to_string());
        assert_private(&format!("{event:?} {event:#?} {:?} {:?}", event.record, event.unexpected()));
        assert_private(&format!("{:?} {:?}", event.raw_record(), event.verified()));
        match &event.record {
            Record::Person(person) => assert_private(&format!(
                "{:?} {:?} {:?} {:?} {:?} {:?} {:?}",
                person,
                person.name,
                person.emails,
                person.phones,
                person.linkedin_link,
                person.avatar_file,
                person.created_by
            )),
            Record::Company(company) => {
                assert_private(&format!("{:?} {:?}", company.address, company.annual_recurring_revenue));
            }
            Record::Note(note) => assert_private(&format!("{:?}", note.body_v2)),
            Record::Metadata(change) => assert_private(&format!("{:?} {:?}", change.diff(), change.before())),
            Record::Opportunity(deal) => assert_private(&format!("{:?} {:?}", deal.stage, deal.company_id)),
            _ => {}
        }
    }
    assert_private(&format!("{:?} {:?}", ActorSource::from(PRIVATE), Id::from(PRIVATE)));
    let number: Decimal = serde_json::from_str(r#""1234567""#).unwrap();
    assert!(!format!("{number:?}").contains("123"));
}

fn mark(value: &mut Value) {
    match value {
        Value::String(text) => *text = PRIVATE.to_owned(),
        Value::Array(items) => items.iter_mut().for_each(mark),
        Value::Object(members) => members.values_mut().for_each(mark),
        _ => {}
    }
}

#[test]
fn errors_and_paths_contain_nothing_private() {
    #[derive(Debug, Deserialize)]
    #[serde(rename = "person")]
    struct Keyed {
        #[allow(dead_code)]
        by_key: Option<HashMap<String, u32>>,
    }

    #[derive(Debug, Deserialize)]
    #[serde(rename = "person")]
    struct Select {
        #[allow(dead_code)]
        select: Kind,
    }

    #[derive(Debug, Deserialize)]
    enum Kind {}

    let keyed = typed::<Keyed>(person(&format!(r#"{{"by_key":{{"{PRIVATE}":"x","a@b.c":7}}}}"#)));
    assert_eq!(unexpected(&keyed), [("record.by_key", "an object".to_owned())]);

    let select = refusal::<Select>(person(&format!(r#"{{"select":"{PRIVATE}"}}"#)));
    assert_eq!(select.to_string(), "`record.select` does not fit the expected type (line 1, column 58)");
    assert_private(&format!("{select:?}"));

    let keys = typed::<HashMap<String, u32>>(person(&format!(r#"{{"{PRIVATE}@example.com":"x"}}"#)));
    assert_eq!(unexpected(&keys), [("record.?", "a string".to_owned())]);
}

#[test]
fn displayed_names_are_escaped() {
    assert_eq!(format!("{:?}", EventName::new("a\n.b")), r#""a\n.b""#);
    let refused = refusal::<Person>("{\"eventName\":\"a\\nb.c\"}");
    assert_eq!(refused.to_string(), r"expected an event of `person`, found `a\nb.c`");
    assert_eq!(JsonType::Null.to_string(), "null");
}

/// Each odd member costs a pass over the body, so the number of reported ones is limited.
#[test]
fn at_most_64_odd_members_are_reported() {
    let body = format!(r#"{{"eventName":"person.created","record":{{"id":"a"}}{}}}"#, r#","userId":1"#.repeat(1000));
    let event = event(body.as_str());
    assert_eq!(event.name, "person.created");
    assert_eq!(event.body(), body.as_bytes());
    assert!(event.unexpected().len() <= 64, "{}", event.unexpected().len());
}

#[test]
fn an_odd_repeated_member_does_not_count() {
    let event = event(r#"{"eventName":"person.created","userId":"a","userId":5,"record":{}}"#);
    assert_eq!(event.user_id.as_ref().map(ToString::to_string).as_deref(), Some("a"));
    assert_eq!(unexpected(&event), [("userId", "a number".to_owned())]);
}
