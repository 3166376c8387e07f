//! Generates records of every standard object with odd members. The rest is read, and nothing is
//! lost.

use proptest::{prelude::*, sample::select};

use crate::support::event::{event, objects, raw_record, unexpected};

/// A member of a record, as it is sent and as it should be read.
#[derive(Clone, Debug)]
struct Member {
    name: String,
    sent: String,
    /// The value without its odd parts. `None` if the member should read as absent.
    read: Option<String>,
    /// The paths of odd parts below the record, with their types.
    odd: Vec<(String, String)>,
}

/// Returns the members of a composite field, and none for any other type.
fn composite(r#type: &str) -> &'static [(&'static str, &'static str)] {
    match r#type {
        "FullName" => &[("firstName", "String"), ("lastName", "String")],
        "Emails" => &[("primaryEmail", "String"), ("additionalEmails", "Vec<String>")],
        "Phones" => &[
            ("primaryPhoneNumber", "String"),
            ("primaryPhoneCountryCode", "String"),
            ("primaryPhoneCallingCode", "String"),
            ("additionalPhones", "Vec<PhoneNumber>"),
        ],
        "Links" => &[("primaryLinkLabel", "String"), ("primaryLinkUrl", "String"), ("secondaryLinks", "Vec<Link>")],
        "Currency" => &[("amountMicros", "Micros"), ("currencyCode", "String")],
        "Address" => &[
            ("addressStreet1", "String"),
            ("addressStreet2", "String"),
            ("addressStreet3", "String"),
            ("addressCity", "String"),
            ("addressPostcode", "String"),
            ("addressState", "String"),
            ("addressCountry", "String"),
            ("addressLat", "Decimal"),
            ("addressLng", "Decimal"),
        ],
        "Actor" => {
            &[("source", "String"), ("workspaceMemberId", "Id"), ("name", "String"), ("context", "ActorContext")]
        }
        "ActorContext" => &[("provider", "String"), ("applicationId", "Id"), ("agentId", "Id")],
        "RichText" => &[("blocknote", "String"), ("markdown", "String")],
        _ => &[],
    }
}

/// Returns values that a type accepts, and values that it rejects.
fn values(r#type: &str) -> (&'static [&'static str], &'static [&'static str]) {
    const NO_TEXT: &[&str] = &["5", "-0.5", "1e+21", "true", "[]", "{}", r#""\ud800""#, r#""a\udfffb""#, "DEEP"];
    match r#type {
        "bool" => (&["true", "false"], &["0", r#""true""#, "[]", "{}", "DEEP"]),
        "f64" => (&["0", "-12.5", "1e+21", "9007199254740993"], &["true", r#""1""#, "[1]", "{}", "DEEP"]),
        "jiff::Timestamp" => (
            &[r#""2026-10-02T09:14:31.512Z""#, r#""2025-02-10T15:30:45Z""#],
            &["1790932471733", r#""""#, r#""yesterday""#, "[]", "{}", "DEEP"],
        ),
        "Decimal" => (
            &["42", "-2.5", "1e+21", r#""0.3333333333""#, r#""123456789012345678901234567890""#],
            &["true", r#""""#, r#""NaN""#, "[]", "{}", "DEEP"],
        ),
        "Micros" => (
            &["5000000000", "-1", "9007199254740993", r#""5000000000""#, r#""""#],
            &["1e+21", "0.5", "9223372036854775808", "true", r#""1.5""#, "[]", "{}", "DEEP"],
        ),
        "Vec<FileRef>" => (&["[]", r#"[{"label":"a.pdf","extra":1},{}]"#], &["5", "{}", "[5]", r#"[{},{"label":5}]"#]),
        "Vec<Link>" => (&["[]", r#"[{"url":"https://example.com"}]"#], &["5", "{}", "[5]", r#"[{"url":[]}]"#]),
        "Vec<PhoneNumber>" => (&["[]", r#"[{"number":"1","countryCode":null}]"#], &["5", "{}", r#"[{"number":1}]"#]),
        "Vec<String>" | "Vec<WorkflowStatus>" => (&["[]", r#"["a","b"]"#], &["5", "{}", "[null]", "[[]]", "DEEP"]),
        "Actor" => (&["{}", r#""text""#], &["5", "true", "[]", r#""\ud800""#, "DEEP"]),
        "FullName" | "Emails" | "Phones" | "Links" | "Currency" | "Address" | "ActorContext" | "RichText" => {
            (&["{}", r#"{"extra":[1]}"#], &["5", "true", r#""text""#, "DEEP"])
        }
        "RawJson" => (&["5", "true", r#""text""#, "[]", r#"{"a":{"a":1,"a":2}}"#, r#""\ud800""#, "DEEP"], &[]),
        // Texts, ids and selects.
        _ => (&[r#""""#, r#""text""#, r#""\"\u00e9 🚀\n""#, r#""2e6f6a2f-2f7e-4b0d-9a3b-5b6d1d2c9f01""#], NO_TEXT),
    }
}

fn deep() -> String {
    format!("{}{}", r#"[{"a":"#.repeat(100), "}]".repeat(100)).replace(r#":}"#, ":1}")
}

fn json_type(text: &str) -> String {
    let name = match text.as_bytes()[0] {
        b'n' => "null",
        b't' | b'f' => "a boolean",
        b'"' => "a string",
        b'[' => "an array",
        b'{' => "an object",
        _ => "a number",
    };
    name.to_owned()
}

fn member(name: &str, r#type: &str) -> BoxedStrategy<Member> {
    let (name, (good, bad)) = (name.to_owned(), values(r#type));
    let whole = {
        let name = name.clone();
        let plain = good.iter().map(|text| (*text, true)).chain([("null", true)]);
        select(plain.chain(bad.iter().map(|text| (*text, false))).collect::<Vec<_>>()).prop_map(
            move |(text, is_good)| {
                let sent = text.replace("DEEP", &deep());
                let odd = if is_good { Vec::new() } else { vec![(name.clone(), json_type(&sent))] };
                Member { name: name.clone(), read: is_good.then(|| sent.clone()), sent, odd }
            },
        )
    };
    if composite(r#type).is_empty() {
        return whole.boxed();
    }
    let of_members = record(composite(r#type)).prop_map(move |members| Member {
        name: name.clone(),
        sent: object(members.iter().map(|member| (&member.name, &member.sent)), " "),
        read: Some(object(members.iter().filter_map(|member| Some((&member.name, member.read.as_ref()?))), "")),
        odd: members.into_iter().flat_map(|m| m.odd).map(|(path, found)| (format!("{name}.{path}"), found)).collect(),
    });
    prop_oneof![1 => whole, 2 => of_members].boxed()
}

/// Generates records with some of the members, and some unknown members, in any order.
fn record(fields: &[(impl AsRef<str>, impl AsRef<str>)]) -> BoxedStrategy<Vec<Member>> {
    let known: Vec<_> =
        fields.iter().map(|(name, r#type)| prop::option::of(member(name.as_ref(), r#type.as_ref()))).collect();
    (known, prop::collection::vec(unknown(), 0..3))
        .prop_map(|(known, unknown)| known.into_iter().flatten().chain(unknown).collect::<Vec<_>>())
        .prop_shuffle()
        .boxed()
}

fn unknown() -> impl Strategy<Value = Member> {
    let name = select(vec!["custom", "__proto__", "Name", r"c\u00fcstom", "id ", ""]);
    let value = select(vec![
        "null",
        "1e+400",
        "123456789012345678901234567890",
        r#""\ud800""#,
        r#"{"\ud800":[1,{}]}"#,
        "DEEP",
        r#""}]\"{[""#,
    ]);
    (name, value).prop_map(|(name, value)| Member {
        name: name.to_owned(),
        sent: value.replace("DEEP", &deep()),
        read: None,
        odd: Vec::new(),
    })
}

/// Returns the path and the type of a member whose name an earlier member has.
fn repeated(before: &[Member], member: &Member) -> Option<(String, String)> {
    let is_plain =
        member.name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_') && !member.name.is_empty();
    let path = if is_plain { member.name.clone() } else { "?".to_owned() };
    before.iter().any(|other| other.name == member.name).then(|| (path, json_type(&member.sent)))
}

fn object<'a>(members: impl Iterator<Item = (&'a String, &'a String)>, space: &str) -> String {
    let members: Vec<_> = members.map(|(name, value)| format!("\"{name}\"{space}:{space}{value}{space}")).collect();
    format!("{{{space}{}}}", members.join(&format!(",{space}")))
}

fn delivery(object: &str, record: &str, name_first: bool) -> String {
    let name = format!(r#""eventName":"{object}.updated""#);
    if name_first { format!("{{{name},\"record\":{record}}}") } else { format!("{{\"record\":{record},{name}}}") }
}

fn any_delivery() -> impl Strategy<Value = (String, Vec<Member>, bool, &'static str)> {
    select(objects())
        .prop_flat_map(|(name, fields)| (Just(name), record(&fields), any::<bool>(), select(vec!["", " ", "\n\t"])))
}

#[test]
fn the_table_has_all_objects() {
    let objects = objects();
    assert_eq!(objects.len(), 22);
    assert!(objects.iter().all(|(_, fields)| fields.len() > 7));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn odd_members_are_reported_and_the_rest_is_read((name, members, name_first, space) in any_delivery()) {
        let sent = object(members.iter().map(|member| (&member.name, &member.sent)), space);
        let read = object(members.iter().filter_map(|member| Some((&member.name, member.read.as_ref()?))), "");
        let mut odd: Vec<_> = members.iter().enumerate().filter_map(|(at, member)| repeated(&members[..at], member)).collect();
        odd.extend(members.into_iter().flat_map(|member| member.odd));

        let body = delivery(&name, &sent, name_first);
        let event_sent = event(body.clone());
        prop_assert_eq!(event_sent.body(), body.as_bytes());
        prop_assert_eq!(raw_record(&event_sent), sent);

        let event_read = event(delivery(&name, &read, true));
        prop_assert_eq!(unexpected(&event_read), []);
        prop_assert!(event_sent.record == event_read.record, "{:?} {:?}", event_sent.record, event_read.record);

        let mut reported: Vec<_> =
            unexpected(&event_sent).into_iter().map(|(path, found)| (path["record.".len()..].to_owned(), found)).collect();
        odd.sort();
        reported.sort();
        prop_assert_eq!(reported, odd);
    }

    #[test]
    fn any_json_is_kept(text in any_json()) {
        let whole = event(text.clone());
        prop_assert_eq!(whole.body(), text.as_bytes());
        for name in ["person.created", "rocket.created", "metadata.view.created"] {
            let event = event(format!(r#"{{"eventName":"{name}","record":{text}}}"#));
            prop_assert_eq!(raw_record(&event), &*text);
            prop_assert_eq!(event.name.as_str(), name);
        }
    }
}

/// Generates any valid JSON, also in members of the envelope.
fn any_json() -> impl Strategy<Value = String> {
    let leaf = select(vec!["null", "true", "0", "-1.5e+300", "1e+400", r#""""#, r#""\ud800\"""#, r#""record""#]);
    let name =
        select(vec!["eventName", "event", "record", "data", "workspaceId", "updatedFields", "name", r"\udfff", "x"]);
    leaf.prop_map(str::to_owned).prop_recursive(6, 40, 5, move |inner| {
        let members = prop::collection::vec((name.clone().prop_map(str::to_owned), inner.clone()), 0..5);
        prop_oneof![
            prop::collection::vec(inner, 0..5).prop_map(|items| format!("[{}]", items.join(" , "))),
            members.prop_map(|members| object(members.iter().map(|(name, value)| (name, value)), "")),
        ]
    })
}
