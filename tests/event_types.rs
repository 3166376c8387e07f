//! Events of types of every kind, from records of every form: see `support/types.rs`.

mod support {
    pub(super) mod event;
    pub(super) mod types;
}

use std::collections::HashMap;

use proptest::{collection::vec, prelude::*, sample::select};
use serde::{
    Deserialize,
    de::{DeserializeOwned, IgnoredAny},
};
use serde_json::Value;
use support::{
    event::{typed, verified},
    types::{self, Flattened, Lenient, Untagged, lenient},
};

fn compare_each(record: &str) {
    types::compare_each(record, &verified(types::body(record)));
}

#[track_caller]
fn compare<T: DeserializeOwned + PartialEq + std::fmt::Debug + 'static>(record: &str) {
    types::compare::<T>(record, &verified(types::body(record)));
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

const NAMES: [&str; 16] =
    ["a", "a", "a", "b", "b", "c", "name", "before", "required", "é", "1", "-1", "true", r"\u0061", r"\ud800", "Ok"];

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
fn scalars_in_each_place() {
    for scalar in SCALARS {
        compare_each(scalar);
        compare_each(&format!(r#"{{"a":{scalar}}}"#));
        compare_each(&format!(r#"{{"a":{scalar},"b":"x"}}"#));
        compare_each(&format!(r#"{{"before":1,"a":[{scalar}],"b":"x"}}"#));
        compare_each(&format!(r#"{{"a":{{"a":{scalar},"b":{scalar}}},"b":"x"}}"#));
        compare_each(&format!(r#"{{"a":{{"b":{{"a":1,"name":{scalar}}},"a":2}},"c":{scalar}}}"#));
        compare_each(&format!(r#"{{"a":[{{"name":"n","a":{scalar}}},1],"b":null}}"#));
    }
}

#[test]
fn names_in_each_place() {
    for name in NAMES {
        for value in ["1", r#""x""#, r#"{"a":"x"}"#] {
            compare_each(&format!(r#"{{"{name}":{value},"b":"x"}}"#));
            compare_each(&format!(r#"{{"a":{{"{name}":{value},"a":1}},"b":"x"}}"#));
            compare_each(&format!(r#"{{"a":{{"a":1,"{name}":{value}}}}}"#));
            compare_each(&format!(r#"{{"{name}":{value},"{name}":1,"b":"x","b":"y"}}"#));
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_record(record in record()) {
        compare_each(&record);
    }

    #[test]
    fn any_value(value in value()) {
        compare_each(&value);
    }
}

#[test]
fn depths_around_the_limit_of_serde_json() {
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

#[test]
fn members_of_a_nested_object_stay_there() {
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
