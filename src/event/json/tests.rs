//! Compares the reader with `serde_json`.

use std::{borrow::Cow, collections::BTreeMap, path::Path};

use proptest::{collection::vec, prelude::*, sample::select};
use serde::{Deserialize, de::IgnoredAny};
use serde_json::Value;

use super::{NotRead, Reader, scan::behind_plain};
use crate::event::RawJson;

fn read<'a, T: Deserialize<'a>>(text: &'a str) -> Option<T> {
    let mut reader = Reader::<NotRead>::new(text);
    T::deserialize(&mut reader).ok().filter(|_| reader.is_complete())
}

fn read_by_serde_json<'a, T: Deserialize<'a>>(text: &'a str) -> Option<T> {
    serde_json::from_str(text).ok()
}

/// A type with a field of each kind.
#[derive(Debug, Deserialize, PartialEq)]
struct Everything<'a> {
    text: Option<String>,
    borrowed: Option<&'a str>,
    number: Option<f64>,
    whole: Option<i8>,
    letter: Option<char>,
    is: Option<bool>,
    unit: Option<()>,
    pair: Option<(u64, String)>,
    list: Option<Vec<Newtype>>,
    kind: Option<Kind>,
    by_name: Option<BTreeMap<String, i64>>,
    bytes: Option<Cow<'a, [u8]>>,
    #[serde(default)]
    any: Value,
}

#[derive(Debug, Deserialize, PartialEq)]
struct Newtype(String);

#[derive(Debug, Deserialize, PartialEq)]
#[serde(rename_all = "lowercase")]
enum Kind {
    Plain,
    Of(Box<Nested>),
    Two(u8, u8),
    Named { a: Option<String> },
}

#[derive(Debug, Deserialize, PartialEq)]
struct Nested {
    text: Option<String>,
    kind: Option<Kind>,
}

fn check(text: &str) -> Result<(), TestCaseError> {
    prop_assert_eq!(read::<Value>(text), read_by_serde_json(text));
    prop_assert_eq!(read::<IgnoredAny>(text).is_some(), read_by_serde_json::<IgnoredAny>(text).is_some());
    let raw = read::<RawJson>(text);
    let expected = read_by_serde_json::<IgnoredAny>(text).map(|_| text.trim_ascii());
    prop_assert_eq!(raw.as_ref().map(RawJson::as_str), expected);
    prop_assert_eq!(read::<Everything>(text), read_by_serde_json(text));
    Ok(())
}

fn json() -> impl Strategy<Value = String> {
    let text = "[ a-z\"\\\\/\u{8}\u{c}\n\r\t\u{1}\u{7f}é€🦀\u{ffff}]{0,80}";
    let scalar = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        text.prop_map(Value::from),
    ];
    let value = scalar.prop_recursive(4, 40, 6, move |inner| {
        prop_oneof![
            vec(inner.clone(), 0..6).prop_map(Value::from),
            vec((text, inner), 0..6).prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    });
    (value, any::<bool>()).prop_map(|(value, pretty)| if pretty { format!("{value:#}") } else { value.to_string() })
}

/// Values for each member of [`Everything`], and some values that fit no member.
fn everything() -> impl Strategy<Value = String> {
    let names = [
        "text", "borrowed", "number", "whole", "letter", "is", "unit", "pair", "list", "kind", "by_name", "bytes",
        "any", "x",
    ];
    let values = [
        "null",
        "true",
        "false",
        "0",
        "-0",
        "7",
        "-128",
        "300",
        "1.5",
        "1e3",
        "-2.5E-3",
        "1e400",
        "01",
        "1.",
        r#""""#,
        r#""é""#,
        r#""text""#,
        r#""\u00e9\n\/""#,
        r#""\ud83e\udd80""#,
        r#""\ud83e""#,
        r#""\udd80""#,
        r#""\ud83e\u0041""#,
        r#""\u00g0""#,
        r#""\x""#,
        "[]",
        "{}",
        r#"[1,"two"]"#,
        r#"["a", "b" ]"#,
        r#"["a",]"#,
        r#"{"a":1,"b":-2}"#,
        r#"{"a":1,}"#,
        r#""plain""#,
        r#"{"plain":null}"#,
        r#"{"of":{"text":"t","kind":"plain"}}"#,
        r#"{"two":[1,2]}"#,
        r#"{"named":{"a":"b"}}"#,
        r#"{"of":[null,{"of":{}}]}"#,
        "tru",
        "nul",
        "-",
        "+1",
        "[1 2]",
        "[,]",
        "\u{c}1",
        "\"\u{1}\"",
        "\"",
        "[1}",
        "{]",
    ];
    let member =
        (select(names.to_vec()), select(values.to_vec())).prop_map(|(name, value)| format!("{name:?}:{value}"));
    (vec(member, 0..4), any::<bool>()).prop_map(|(members, spaced)| {
        let comma = if spaced { " ,\n\t" } else { "," };
        format!("{{{}}}", members.join(comma))
    })
}

/// Changes some characters.
fn edited(text: impl Strategy<Value = String>) -> impl Strategy<Value = String> {
    let others: Vec<_> = "{}[]\",:\\/ubnx0189aAdD-+.eEtfnl \n\u{c}\u{0}é\u{feff}🦀".chars().map(String::from).collect();
    let edits = vec((any::<prop::sample::Index>(), select(others), 0..3_u8), 0..4);
    (text, edits).prop_map(|(text, edits)| {
        let mut chars: Vec<_> = text.chars().map(String::from).collect();
        for (at, other, how) in edits {
            let at = at.index(chars.len() + 1);
            match how {
                0 => chars.insert(at, other),
                1 if at < chars.len() => chars[at] = other,
                _ if at < chars.len() => drop(chars.remove(at)),
                _ => {}
            }
        }
        chars.concat()
    })
}

fn delivery() -> impl Strategy<Value = String> {
    let files = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data").read_dir().unwrap();
    let bodies: Vec<_> = files.map(|file| std::fs::read_to_string(file.unwrap().path()).unwrap()).collect();
    assert!(bodies.len() > 10);
    select(bodies)
}

proptest! {
    #[test]
    fn accepts_what_serde_json_accepts(text in edited(json())) {
        check(&text)?;
    }

    #[test]
    fn reads_what_serde_json_reads(text in edited(everything())) {
        check(&text)?;
    }

    #[test]
    fn reads_deliveries(text in edited(delivery())) {
        check(&text)?;
    }

    /// The end may be at any position in the blocks that are checked in one step.
    #[test]
    fn finds_the_end_of_a_string(len in 0..200_usize, end in select(&["\"", "\\", "\u{1f}", "\u{0}", ""]), behind in 0..40_usize) {
        let plain = " !#é\u{7f}[]~".chars().cycle().take(len).collect::<String>();
        let text = format!("{plain}{end}{}", "\"".repeat(behind));
        let expected = text.len() - text.bytes().position(|byte| byte < 0x20 || byte == b'"' || byte == b'\\').unwrap_or(text.len());
        prop_assert_eq!(behind_plain(text.as_bytes()).len(), expected);
    }
}

#[test]
fn enters_as_many_levels_as_serde_json() {
    let wrapped =
        |open: &str, inner: &str, close: &str, depth| format!("{}{inner}{}", open.repeat(depth), close.repeat(depth));
    for depth in [1, 126, 127, 128, 129, 1000] {
        let arrays = wrapped("[", "1", "]", depth);
        let objects = wrapped(r#"{"a":"#, "{}", "}", depth);
        let variants = wrapped(r#"{"kind":{"of":"#, r#"{"text":"x"}"#, "}}", depth / 2);
        for text in [arrays, objects, variants] {
            assert_eq!(read::<Value>(&text), read_by_serde_json(&text), "{depth}");
            assert_eq!(read::<Nested>(&text), read_by_serde_json(&text), "{depth}");
        }
    }
    for depth in [127, 128, 129, 255, 256, 257, 100_000] {
        for (open, close) in [("[", "]"), (r#"{"a":"#, "}"), (r#"[{"a":"#, "}]")] {
            let text = wrapped(open, "1", close, depth);
            assert!(read::<IgnoredAny>(&text).is_some(), "{depth}");
            let crossed = text.replace("]}", "}]").replace("]]]", "]}]").replace("}}}", "}]}");
            assert!(crossed == text || read::<IgnoredAny>(&crossed).is_none(), "{depth}");
        }
    }
}

#[test]
fn borrows_strings_without_escapes() {
    assert_eq!(read::<&str>(r#""plain""#), Some("plain"));
    assert_eq!(read::<&str>(r#""a\tb""#), None);
}

#[test]
fn reads_a_struct_from_an_array() {
    for text in [r#"["a","plain"]"#, r#" [ "a" , null ] "#, r#"["a"]"#, r#"["a","plain",1]"#, r#"["a","plain"}"#] {
        assert_eq!(read::<Nested>(text), read_by_serde_json(text), "{text}");
    }
    assert!(read::<Nested>(r#"["a","plain"]"#).is_some());
}
