//! Compares events of many types, read from many records, with what `serde_json` reads: see
//! `support/types.rs` and `support/oracle.rs`.

use std::collections::{BTreeMap, HashMap};

use proptest::{collection::vec, prelude::*, sample::select};
use serde::{
    Deserialize, Deserializer,
    de::{DeserializeOwned, IgnoredAny, MapAccess, SeqAccess, Visitor},
};
use serde_json::Value;
use twenty_webhook::{
    WebhookEvent,
    event::{EventErrorKind, UnexpectedMember, With},
};

use crate::{
    handwritten::{LenientMap, NamedBy, Names, Twice, Unread},
    oracle::{self, ENVELOPES, Envelope},
    scripted,
    support::event::{typed, verified},
    types::{self, Flattened, Lenient, Untagged, lenient},
};

fn body(record: &str) -> String {
    ENVELOPES[0].around(record)
}

fn compare_each(record: &str) {
    compare_each_in(&ENVELOPES[0], record);
}

fn compare_each_in(envelope: &Envelope, record: &str) {
    types::compare_each(record, envelope, &verified(envelope.around(record)));
}

#[track_caller]
fn compare<T: DeserializeOwned + PartialEq + std::fmt::Debug + 'static>(record: &str) {
    oracle::compare::<T>(record, &ENVELOPES[0], &verified(body(record)));
}

const SCALARS: [&str; 44] = [
    "null",
    "true",
    "false",
    "0",
    "-0",
    "1",
    "7",
    "-1",
    "255",
    "256",
    "-129",
    "1.0",
    "1.5",
    "1e3",
    "1E+2",
    "1e-2",
    "1e+21",
    "1e400",
    "-1e400",
    "1e99999999999",
    "18446744073709551615",
    "18446744073709551616",
    "-9223372036854775809",
    "340282366920938463463374607431768211455",
    "340282366920938463463374607431768211456",
    "0.1234567890123456789",
    r#""""#,
    r#""a""#,
    r#""b""#,
    r#""c""#,
    r#""é""#,
    r#""\u0061""#,
    r#""1""#,
    r#""127.0.0.1""#,
    r#""text, \"quoted\" }]""#,
    r#""\ud83e\udd80""#,
    r#""\ud800""#,
    r#""\udc00x""#,
    "[]",
    "{}",
    "[1,2]",
    r#"[1,"x"]"#,
    r#"{"name":"n","a":3}"#,
    r#"{"secs":1,"nanos":2}"#,
];

const NAMES: [&str; 19] = [
    "a",
    "a",
    "a",
    "b",
    "b",
    "c",
    "name",
    "before",
    "required",
    "é",
    "1",
    "-1",
    "-",
    "1e",
    "true",
    r"\u0061",
    r"\ud800",
    r"\ud83e\udd80",
    "Ok",
];

fn space() -> impl Strategy<Value = &'static str> {
    select(vec!["", "", "", " ", "\n\t"])
}

fn object(members: &[(&str, String)], space: &str) -> String {
    let members: Vec<_> =
        members.iter().map(|(name, value)| format!("{space}\"{name}\"{space}:{space}{value}{space}")).collect();
    format!("{{{}}}", members.join(","))
}

fn value() -> impl Strategy<Value = String> {
    select(SCALARS.to_vec()).prop_map(str::to_owned).prop_recursive(4, 24, 4, |inner| {
        prop_oneof![
            (vec((select(NAMES.to_vec()), inner.clone()), 0..4), space())
                .prop_map(|(members, space)| object(&members, space)),
            vec(inner, 0..4).prop_map(|elements| format!("[{}]", elements.join(","))),
        ]
    })
}

fn record() -> impl Strategy<Value = String> {
    (vec((select(NAMES.to_vec()), value()), 0..5), space()).prop_map(|(members, space)| object(&members, space))
}

#[test]
fn scalars_in_each_place_are_read_as_by_serde_json() {
    some_scalars_in_each_place(6);
}

#[test]
fn names_in_each_place_are_read_as_by_serde_json() {
    some_names_in_each_place(4);
}

macro_rules! any {
    ($cases:literal, $scripts:literal $(, #[$attribute:meta])*) => {
        proptest! {
            #![proptest_config(ProptestConfig { cases: $cases, failure_persistence: None, ..ProptestConfig::default() })]

            $(#[$attribute])*
            #[test]
            fn any_record_is_read_as_by_serde_json(record in record(), envelope in 0..ENVELOPES.len()) {
                compare_each_in(&ENVELOPES[envelope], &record);
            }

            $(#[$attribute])*
            #[test]
            fn any_value_is_read_as_by_serde_json(value in value(), envelope in 0..ENVELOPES.len()) {
                compare_each_in(&ENVELOPES[envelope], &value);
            }
        }

        proptest! {
            #![proptest_config(ProptestConfig { cases: $scripts, failure_persistence: None, ..ProptestConfig::default() })]

            $(#[$attribute])*
            #[test]
            fn any_type_reads_as_with_serde_json(
                record in record(),
                script in vec(any::<u8>(), 1..60),
                envelope in 0..ENVELOPES.len(),
            ) {
                let envelope = &ENVELOPES[envelope];
                scripted::compare(&record, &script, envelope, &verified(envelope.around(&record)));
            }
        }
    };
}

any!(25, 2_000);

mod at_length {
    use super::*;

    #[test]
    #[ignore = "long: the gate runs it"]
    fn scalars_in_each_place_are_read_as_by_serde_json() {
        some_scalars_in_each_place(1);
    }

    #[test]
    #[ignore = "long: the gate runs it"]
    fn names_in_each_place_are_read_as_by_serde_json() {
        some_names_in_each_place(1);
    }

    any!(200, 100_000, #[ignore = "long: the gate runs it"]);
}

/// Compares every `every`th scalar.
fn some_scalars_in_each_place(every: usize) {
    for scalar in SCALARS.iter().step_by(every) {
        compare_each(scalar);
        compare_each(&format!(r#"{{"a":{scalar}}}"#));
        compare_each(&format!(r#"{{"a":{scalar},"b":"x"}}"#));
        compare_each(&format!(r#"{{"before":1,"a":[{scalar}],"b":"x"}}"#));
        compare_each(&format!(r#"{{"a":{{"a":{scalar},"b":{scalar}}},"b":"x"}}"#));
        compare_each(&format!(r#"{{"a":{{"b":{{"a":1,"name":{scalar}}},"a":2}},"c":{scalar}}}"#));
        compare_each(&format!(r#"{{"a":[{{"name":"n","a":{scalar}}},1],"b":null}}"#));
    }
}

/// Compares every `every`th name.
fn some_names_in_each_place(every: usize) {
    for name in NAMES.iter().step_by(every) {
        for value in ["1", r#""x""#, r#"{"a":"x"}"#] {
            compare_each(&format!(r#"{{"{name}":{value},"b":"x"}}"#));
            compare_each(&format!(r#"{{"a":{{"{name}":{value},"a":1}},"b":"x"}}"#));
            compare_each(&format!(r#"{{"a":{{"a":1,"{name}":{value}}}}}"#));
            compare_each(&format!(r#"{{"a":{{"{name}":1,"b":2,"{name}":{value}}},"b":"x"}}"#));
            compare_each(&format!(r#"{{"{name}":{value},"{name}":1,"b":"x","b":"y"}}"#));
        }
    }
}

#[test]
fn depths_around_the_limit_are_read_as_by_serde_json() {
    #[derive(Debug, Deserialize, PartialEq)]
    #[serde(rename = "*")]
    struct Tree {
        a: Option<Box<Tree>>,
        b: Option<Vec<Tree>>,
    }

    for depth in [1, 100, 124, 125, 126, 127, 128, 129, 130, 300] {
        let objects = format!("{}{{}}{}", r#"{"a":"#.repeat(depth), "}".repeat(depth));
        let mixed = format!("{}{{}}{}", r#"{"b":[{"a":"#.repeat(depth), "}]}".repeat(depth));
        for record in [objects.clone(), mixed, format!(r#"{{"x":{objects},"a":{{}}}}"#)] {
            compare::<Tree>(&record);
            compare::<Value>(&record);
            compare::<IgnoredAny>(&record);
            compare::<HashMap<String, Value>>(&record);
            compare::<Flattened>(&record);
            compare::<Lenient<Tree>>(&record);
            compare::<Untagged>(&record);
        }
    }
}

/// `serde_json` reads such a type from these texts, because it relies on the type to require a
/// value.
#[test]
fn invalid_json_is_rejected_even_if_the_type_reads_nothing() {
    #[derive(Debug, Deserialize, PartialEq)]
    #[serde(rename_all = "lowercase")]
    enum Variant {
        A(Unread),
        B { a: Unread },
        Name(Unread, Unread),
    }

    for unread in [
        "",
        " ",
        r#"{"a":}"#,
        r#"{"a": }"#,
        r#"{"a":,"b":1}"#,
        r#"{"b":"x","a":}"#,
        r#"{"a":{"a":}}"#,
        "[,]",
        "[1,]",
        r#"{"a"}"#,
        r#"{"a","b":1}"#,
        r#"{"b":{"a"}}"#,
        r#"{"a":[]"#,
        r#"{"b":{"a":}}"#,
        r#"{"name":[,]}"#,
        r#"{"a":{"b":{"a":},"name":1}}"#,
    ] {
        for envelope in &ENVELOPES {
            compare_each_in(envelope, unread);
            let delivery = verified(envelope.around(unread));
            oracle::compare::<Unread>(unread, envelope, &delivery);
            oracle::compare::<HashMap<String, Unread>>(unread, envelope, &delivery);
            oracle::compare::<Vec<Unread>>(unread, envelope, &delivery);
            oracle::compare::<(Unread, Unread)>(unread, envelope, &delivery);
            oracle::compare::<Variant>(unread, envelope, &delivery);
            oracle::compare::<Lenient<Unread>>(unread, envelope, &delivery);
            oracle::compare::<Lenient<Variant>>(unread, envelope, &delivery);
            oracle::compare::<Names>(unread, envelope, &delivery);
            oracle::compare::<BTreeMap<String, Names>>(unread, envelope, &delivery);
        }
    }
}

#[test]
fn a_type_may_skip_objects_with_odd_names() {
    for record in [
        r#"{"\ud800":1}"#,
        r#"{ "\ud800" : 1 , "\udc00":[2] }"#,
        r#"{"\ud800":1,"b":2}"#,
        r#"{"a":{},"\ud800":1}"#,
        r#"{"a":{"name":5},"b":"x"}"#,
        r#"{"a":{"firstName":5,"lastName":6},"b":[]}"#,
    ] {
        compare_each(record);
    }
}

/// A type may continue for as long as it gets errors.
#[test]
fn a_type_that_continues_after_every_error_ends() {
    #[derive(Debug, PartialEq)]
    struct Tireless(usize);

    impl<'de> Deserialize<'de> for Tireless {
        fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
            struct TirelessVisitor;

            impl<'de> Visitor<'de> for TirelessVisitor {
                type Value = Tireless;

                fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                    f.write_str("an object or array")
                }

                fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Tireless, A::Error> {
                    let mut members = 0;
                    loop {
                        match map.next_key::<String>() {
                            Ok(None) => return Ok(Tireless(members)),
                            Ok(Some(_)) | Err(_) => members += usize::from(map.next_value::<IgnoredAny>().is_ok()),
                        }
                    }
                }

                fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Tireless, A::Error> {
                    let mut elements = 0;
                    loop {
                        match seq.next_element::<Vec<bool>>() {
                            Ok(None) => return Ok(Tireless(elements)),
                            Ok(Some(_)) => elements += 1,
                            Err(_) => {}
                        }
                    }
                }
            }

            deserializer.deserialize_any(TirelessVisitor)
        }
    }

    for record in
        [r#"{"\ud800":1,"b":2}"#, r#"{"a":{"\ud800":1,"b":2},"c":{"b":2}}"#, r#"{"a":[[true],[1],[]],"b":[[]]}"#]
    {
        let _ = WebhookEvent::<Tireless>::from_verified(verified(body(record)));
        let _ = typed::<HashMap<String, Tireless>>(body(record));
    }
}

/// A type may read the rest of an object before it reports an error. The work is bounded even so.
#[test]
fn a_type_that_continues_after_an_error_costs_a_few_passes() {
    thread_local!(static READ: std::cell::Cell<usize> = const { std::cell::Cell::new(0) });

    #[derive(Debug)]
    struct Draining;

    impl<'de> Deserialize<'de> for Draining {
        fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
            struct DrainingVisitor;

            impl<'de> Visitor<'de> for DrainingVisitor {
                type Value = Draining;

                fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                    f.write_str("an object")
                }

                fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Draining, A::Error> {
                    let mut failed = None;
                    while let Some(key) = map.next_key::<String>()? {
                        READ.set(READ.get() + key.len());
                        if key.starts_with('z') {
                            READ.set(READ.get() + map.next_value::<String>()?.len());
                        } else if let Err(error) = map.next_value::<u8>() {
                            failed.get_or_insert(error);
                        }
                    }
                    failed.map_or(Ok(Draining), Err)
                }
            }

            deserializer.deserialize_map(DrainingVisitor)
        }
    }

    let long = format!(r#""z":"{}""#, "z".repeat(100_000));
    let repeated = vec![r#""name":"x""#; 63].join(",");
    let distinct = (0..63).map(|n| format!(r#""k{n}":"x""#)).collect::<Vec<_>>().join(",");
    for inner in [format!("{{{repeated},{long}}}"), format!("{{{distinct},{long}}}")] {
        for record in [format!(r#"{{"a":{inner}}}"#), inner.clone()] {
            READ.set(0);
            let _ = WebhookEvent::<HashMap<String, Draining>>::from_verified(verified(body(&record)));
            let _ = WebhookEvent::<Draining>::from_verified(verified(body(&record)));
            assert!(READ.get() < 20 * record.len(), "{} of {}", READ.get(), record.len());

            READ.set(0);
            let _ = WebhookEvent::<With<Draining, Draining>>::from_verified(verified(body(&record)));
            assert!(READ.get() < 20 * record.len(), "{} of {}", READ.get(), record.len());
        }
    }
}

#[test]
fn raw_json_reads_the_first_member_of_each_name() {
    let record = r#"{"a":1,"b":3,"a":2}"#;
    let event = typed::<HashMap<String, u8>>(body(record));
    let raw = event.raw_record().unwrap();
    assert_eq!(raw.parse::<HashMap<String, u8>>().unwrap(), event.record);
    assert_eq!(raw.parse::<Value>().unwrap(), serde_json::json!({"a": 1, "b": 3}));
    assert_eq!(raw.get("a").unwrap().as_str(), "1");
    assert_eq!(raw.parse::<Required>().unwrap().a, 1);

    // Enums do not look for the repeated member.
    #[derive(Debug, Deserialize, PartialEq)]
    enum Variant {
        #[serde(rename = "a")]
        A(u8),
    }
    let event = typed::<Variant>(body(r#"{"a":1, "a":2 }"#));
    assert_eq!((&event.record, event.unexpected().len()), (&Variant::A(1), 1));

    #[derive(Deserialize)]
    struct Required {
        a: u8,
    }
}

#[test]
fn invalid_json_is_rejected_for_every_type() {
    #[derive(Debug, Deserialize)]
    enum Any {}

    for record in [
        r#"{1:2}"#,
        r#"{[1]:2}"#,
        r#"{"a":01}"#,
        r#"{"a" 1}"#,
        r#"{"a"}"#,
        r#"{"a","b":1}"#,
        r#"{"a":"x":2}"#,
        r#"{"a":1,}"#,
        "{,}",
        r#"{"a":[1,]}"#,
        r#"{"a":[,]}"#,
        r#"{"a":"\u00g0"}"#,
    ] {
        assert!(WebhookEvent::<HashMap<String, (u8, Unread)>>::from_verified(verified(body(record))).is_err());
        for kind in [
            WebhookEvent::<LenientMap<String, u8>>::from_verified(verified(body(record))).unwrap_err().kind(),
            WebhookEvent::<Twice>::from_verified(verified(body(record))).unwrap_err().kind(),
            WebhookEvent::<NamedBy<Value>>::from_verified(verified(body(record))).unwrap_err().kind(),
            WebhookEvent::<NamedBy<IgnoredAny>>::from_verified(verified(body(record))).unwrap_err().kind(),
            WebhookEvent::<IgnoredAny>::from_verified(verified(body(record))).unwrap_err().kind(),
            WebhookEvent::<Any>::from_verified(verified(body(record))).unwrap_err().kind(),
        ] {
            assert_eq!(kind, EventErrorKind::NotJson, "{record}");
        }
    }
}

#[test]
fn nested_members_are_not_read_as_outer_members() {
    #[derive(Debug, Deserialize, PartialEq)]
    #[serde(rename = "*", rename_all = "camelCase")]
    struct Contract {
        #[serde(default, deserialize_with = "lenient")]
        terms: Option<Terms>,
        approved_by: Option<String>,
        amount: Option<u32>,
    }

    #[derive(Debug, Deserialize, PartialEq)]
    struct Terms {
        days: u32,
    }

    let record = r#"{"terms":{"days":"30","approvedBy":"mallory","amount":1},"userId":"forged","approvedBy":null,"amount":5000}"#;
    compare::<Contract>(record);
    let event = typed::<Contract>(format!(r#"{{"eventName":"contract.updated","userId":"u","record":{record}}}"#));
    assert_eq!(event.record, Contract { terms: None, approved_by: None, amount: Some(5000) });
    assert_eq!(event.unexpected().iter().map(|member| member.path.as_str()).collect::<Vec<_>>(), ["record.terms"]);
}

/// Tests each combination of unexpected values in structs that require some of their members.
#[test]
fn a_whole_member_is_left_out_only_if_its_type_requires_it() {
    #[derive(Debug, Deserialize, PartialEq)]
    #[serde(rename = "*")]
    struct Order {
        number: u8,
        buyer: Option<Loose>,
        seller: Option<Strict>,
        agent: Option<Loose>,
    }

    #[derive(Debug, Deserialize, PartialEq)]
    struct Loose {
        name: Option<u8>,
        context: Option<LooseContext>,
        other: Option<u8>,
    }

    #[derive(Debug, Deserialize, PartialEq)]
    struct Strict {
        name: u8,
        context: Option<StrictContext>,
        other: Option<u8>,
    }

    #[derive(Debug, Deserialize, PartialEq)]
    struct LooseContext {
        provider: Option<u8>,
    }

    #[derive(Debug, Deserialize, PartialEq)]
    struct StrictContext {
        provider: u8,
    }

    let left_out = |field: &str, [name, provider, other]: [bool; 3]| -> Vec<String> {
        let is_strict = field == "seller";
        // `other` is not a member of any composite field.
        if other || is_strict && name {
            return vec![format!("record.{field}")];
        }
        let context = if is_strict { "context" } else { "context.provider" };
        let inner = [(name, "name"), (provider, context)].into_iter().filter(|(is_odd, _)| *is_odd);
        inner.map(|(_, path)| format!("record.{field}.{path}")).collect()
    };
    let paths = |unexpected: &[UnexpectedMember]| unexpected.iter().map(|m| m.path.clone()).collect::<Vec<_>>();
    for bits in 0..1_usize << 9 {
        let fields: Vec<(&str, [bool; 3])> = ["buyer", "seller", "agent"]
            .into_iter()
            .enumerate()
            .map(|(at, field)| (field, [0, 1, 2].map(|bit| bits >> (3 * at + bit) & 1 == 1)))
            .collect();
        let members = fields.iter().map(|(field, odd)| {
            let [name, provider, other] = odd.map(|is_odd| if is_odd { r#""odd""# } else { "1" });
            format!(r#""{field}":{{"name":{name},"context":{{"provider":{provider}}},"other":{other}}}"#)
        });
        let mut members: Vec<_> = members.collect();
        members.insert(bits % 4, r#""number":1"#.to_owned());
        let record = format!("{{{}}}", members.join(","));
        let expected: Vec<_> = fields.iter().flat_map(|(field, odd)| left_out(field, *odd)).collect();
        assert_eq!(paths(typed::<Order>(body(&record)).unexpected()), expected, "{record}");
        assert_eq!(paths(typed::<With<Order, Order>>(body(&record)).unexpected()), expected, "{record}");
        compare::<Order>(&record);
    }
}

/// Each of two types requires a member of another field.
#[test]
fn each_of_two_types_leaves_out_what_it_requires() {
    #[derive(Debug, Deserialize, PartialEq)]
    #[serde(rename = "*")]
    struct First {
        a: Option<Named>,
    }

    #[derive(Debug, Deserialize, PartialEq)]
    #[serde(rename = "*")]
    struct Last {
        z: Option<Named>,
    }

    #[derive(Debug, Deserialize, PartialEq)]
    struct Named {
        name: u8,
    }

    let record = r#"{"a":{"name":"odd"},"z":{"name":"odd"}}"#;
    let delivery = verified(body(record));
    oracle::compare_with::<First, Last>(record, &ENVELOPES[0], &delivery);
    oracle::compare_with::<Last, First>(record, &ENVELOPES[0], &delivery);
    for unexpected in [
        typed::<With<First, Last>>(body(record)).unexpected().to_vec(),
        typed::<With<Last, First>>(body(record)).unexpected().to_vec(),
    ] {
        assert_eq!(unexpected.iter().map(|m| m.path.as_str()).collect::<Vec<_>>(), ["record.a", "record.z"]);
    }
}

/// A field whose types require members at two levels is read several times. Its length does not
/// change what is left out of other fields.
#[test]
fn a_long_field_leaves_others_as_they_are() {
    #[derive(Debug, Deserialize, PartialEq)]
    #[serde(rename = "*")]
    struct Order {
        a: Option<Outer>,
        b: Option<HashMap<String, u8>>,
    }

    #[derive(Debug, Deserialize, PartialEq)]
    struct Outer {
        context: Inner,
    }

    #[derive(Debug, Deserialize, PartialEq)]
    struct Inner {
        provider: u8,
    }

    for length in [10, 100_000] {
        let long = "x".repeat(length);
        let record = format!(r#"{{"b":{{"name":"odd"}},"a":{{"long":"{long}","context":{{"provider":"odd"}}}}}}"#);
        let event = typed::<Order>(body(&record));
        let paths: Vec<_> = event.unexpected().iter().map(|m| m.path.as_str()).collect();
        assert_eq!(paths, ["record.b.name", "record.a"], "{length}");
        compare::<Order>(&record);
    }
}

/// A record may require what is odd inside one of its members. In this case no inner member is left
/// out alone.
#[test]
fn a_record_may_require_what_is_inside_its_members() {
    #[derive(Debug, Deserialize, PartialEq)]
    #[serde(rename = "*")]
    struct Order {
        a: Option<HashMap<String, u8>>,
        b: Option<HashMap<String, u8>>,
    }

    #[derive(Debug, Deserialize, PartialEq)]
    #[serde(try_from = "Order")]
    struct Valid(Order);

    impl TryFrom<Order> for Valid {
        type Error = &'static str;

        fn try_from(order: Order) -> Result<Self, &'static str> {
            let is_valid = order.a.as_ref().is_none_or(|a| a.contains_key("name"));
            if is_valid { Ok(Self(order)) } else { Err("no name") }
        }
    }

    let record = r#"{"a":{"name":"odd","source":"odd"},"b":{"name":"odd"}}"#;
    compare::<Valid>(record);
    let event = typed::<Valid>(body(record));
    let paths: Vec<_> = event.unexpected().iter().map(|m| m.path.as_str()).collect();
    assert_eq!(paths, ["record.a", "record.b"]);
    compare::<Valid>(r#"{"a":{"source":1},"b":{"name":"odd"}}"#);
    assert!(WebhookEvent::<Valid>::from_verified(verified(body(r#"{"a":{"source":1},"b":{"name":"odd"}}"#))).is_err());
}
