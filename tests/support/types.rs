//! Types of every kind, and the comparison of what a `WebhookEvent` of each reads with what `serde_json` reads.
//!
//! For each type and record:
//!
//! 1. An accepted event holds what `serde_json` reads from the record without exactly the members that the event reports.
//! 2. What `serde_json` accepts is accepted, and if no name is repeated, and all are Unicode, nothing is reported.
//! 3. A repeated member is always reported.

#![allow(dead_code, reason = "each program uses a part")]

use std::{
    borrow::Cow,
    collections::{BTreeMap, BTreeSet, HashMap},
    marker::PhantomData,
    net::IpAddr,
    num::NonZeroU8,
    ops::Range,
    path::PathBuf,
    time::Duration,
};

use serde::{
    Deserialize, Deserializer,
    de::{DeserializeOwned, EnumAccess, IgnoredAny, MapAccess, SeqAccess, VariantAccess, Visitor},
};
use serde_json::Value;
use twenty_webhook::{
    WebhookEvent,
    event::{
        UnexpectedMember,
        field::{Actor, Currency, Emails, Phones},
    },
    verify::Verified,
};

// --- The types -------------------------------------------------------------------------------------------------------

/// A field of a type, with others around it.
#[derive(Debug, Deserialize, PartialEq)]
#[serde(rename = "*")]
struct Between<T> {
    before: Option<u8>,
    a: Option<T>,
    b: Option<String>,
}

#[derive(Debug, Deserialize, PartialEq)]
#[serde(rename = "*")]
struct Required<T> {
    a: T,
    b: Option<u8>,
}

#[derive(Debug, Default, Deserialize, PartialEq)]
#[serde(rename = "*", default)]
struct Defaults {
    a: u8,
    b: String,
    c: Vec<i128>,
    name: Option<Inner>,
}

#[derive(Debug, Deserialize, PartialEq)]
#[serde(rename = "*", deny_unknown_fields)]
struct Strict {
    a: Option<u8>,
    b: Option<Inner>,
}

#[derive(Debug, Deserialize, PartialEq)]
#[serde(rename = "*")]
struct Aliased {
    #[serde(alias = "b", alias = "c")]
    a: Option<u8>,
}

#[derive(Debug, Deserialize, PartialEq)]
pub(crate) struct Flattened {
    a: Option<u8>,
    #[serde(flatten)]
    rest: HashMap<String, Value>,
}

#[derive(Debug, Deserialize, PartialEq)]
struct FlattenedStruct {
    a: Option<u8>,
    #[serde(flatten)]
    inner: Option<Strict>,
}

#[derive(Debug, Default, Deserialize, PartialEq)]
#[serde(rename = "*")]
struct Inner {
    a: Option<u8>,
    b: Option<Box<Inner>>,
    name: Option<String>,
    required: Option<i128>,
}

#[derive(Debug, Deserialize, PartialEq)]
pub(crate) struct InnerRequired {
    name: String,
    a: u8,
}

#[derive(Debug, Deserialize, PartialEq)]
#[serde(transparent)]
struct Transparent {
    inner: Between<i64>,
}

#[derive(Debug, Deserialize, PartialEq)]
struct Newtype(i128);

#[derive(Debug, Deserialize, PartialEq)]
#[serde(rename = "*")]
struct NewRecord(Between<Newtype>);

#[derive(Debug, Deserialize, PartialEq)]
struct Pair(u8, Option<String>);

#[derive(Debug, Deserialize, PartialEq)]
struct Unit;

#[derive(Debug, Deserialize, PartialEq, Eq, PartialOrd, Ord)]
#[serde(rename_all = "lowercase")]
enum External {
    A,
    B(u8),
    C {
        a: Option<i64>,
        b: Option<Box<External>>,
    },
    Name(Option<Box<External>>, u8),
    #[serde(other)]
    Other,
}

#[derive(Debug, Deserialize, PartialEq)]
#[serde(tag = "a", rename_all = "lowercase")]
enum Internal {
    A { b: Option<u8> },
    B(Inner),
}

#[derive(Debug, Deserialize, PartialEq)]
#[serde(rename = "*", tag = "a", content = "b", rename_all = "lowercase")]
enum Adjacent {
    A(Inner),
    B,
}

#[derive(Debug, Deserialize, PartialEq)]
#[serde(untagged)]
pub(crate) enum Untagged {
    Inner(InnerRequired),
    Number(i64),
    Float(f64),
    Text(String),
    List(Vec<Untagged>),
    Unit,
}

#[derive(Debug, Deserialize, PartialEq)]
#[serde(rename = "*", try_from = "Between<u8>")]
struct Even(Option<u8>);

impl TryFrom<Between<u8>> for Even {
    type Error = &'static str;

    fn try_from(between: Between<u8>) -> Result<Self, &'static str> {
        if between.a.is_none_or(|a| a.is_multiple_of(2)) { Ok(Self(between.a)) } else { Err("odd") }
    }
}

#[derive(Debug, Deserialize, PartialEq)]
#[serde(try_from = "u8")]
struct EvenNumber(u8);

impl TryFrom<u8> for EvenNumber {
    type Error = &'static str;

    fn try_from(number: u8) -> Result<Self, &'static str> {
        if number.is_multiple_of(2) { Ok(Self(number)) } else { Err("odd") }
    }
}

/// Tolerance as many write it: it ignores the error, wherever the deserializer stands by then.
#[derive(Debug, Deserialize, PartialEq)]
#[serde(rename = "*", bound = "T: DeserializeOwned")]
pub(crate) struct Lenient<T> {
    #[serde(default, deserialize_with = "lenient")]
    a: Option<T>,
    b: Option<String>,
    #[serde(default, deserialize_with = "lenient")]
    c: Option<T>,
    name: Option<Value>,
}

pub(crate) fn lenient<'de, D: Deserializer<'de>, T: Deserialize<'de>>(deserializer: D) -> Result<Option<T>, D::Error> {
    Ok(T::deserialize(deserializer).ok())
}

/// The same, with a nested one.
#[derive(Debug, Deserialize, PartialEq)]
struct LenientInner {
    #[serde(default, deserialize_with = "lenient")]
    a: Option<Inner>,
    #[serde(default, deserialize_with = "lenient")]
    b: Option<u8>,
    name: Option<u8>,
}

/// Reads a map's first member only.
#[derive(Debug, PartialEq)]
struct First(Option<String>);

impl<'de> Deserialize<'de> for First {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct FirstVisitor;

        impl<'de> Visitor<'de> for FirstVisitor {
            type Value = First;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("an object or array")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<First, A::Error> {
                Ok(First(map.next_entry::<String, IgnoredAny>()?.map(|(key, _)| key)))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<First, A::Error> {
                Ok(First(seq.next_element()?))
            }
        }

        deserializer.deserialize_any(FirstVisitor)
    }
}

/// Ignores the errors of single members, and goes on.
#[derive(Debug, PartialEq)]
struct LenientMap<K, V>(Vec<(Option<K>, Option<V>)>);

impl<'de, K: Deserialize<'de>, V: Deserialize<'de>> Deserialize<'de> for LenientMap<K, V> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct MapVisitor<K, V>(PhantomData<(K, V)>);

        impl<'de, K: Deserialize<'de>, V: Deserialize<'de>> Visitor<'de> for MapVisitor<K, V> {
            type Value = LenientMap<K, V>;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut members = Vec::new();
                loop {
                    match map.next_key() {
                        Ok(Some(key)) => members.push((Some(key), map.next_value().ok())),
                        Ok(None) => return Ok(LenientMap(members)),
                        Err(_) if members.len() < 100 => members.push((None, map.next_value().ok())),
                        Err(error) => return Err(error),
                    }
                }
            }
        }

        deserializer.deserialize_map(MapVisitor(PhantomData))
    }
}

/// Reads nothing, wherever it is.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Unread;

impl<'de> Deserialize<'de> for Unread {
    fn deserialize<D: Deserializer<'de>>(_: D) -> Result<Self, D::Error> {
        Ok(Self)
    }
}

/// An enum whose variants are named by a type of any kind, and hold a number.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct NamedBy<N>(N, Option<u8>);

impl<'de, N: Deserialize<'de>> Deserialize<'de> for NamedBy<N> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct NamedVisitor<N>(PhantomData<N>);

        impl<'de, N: Deserialize<'de>> Visitor<'de> for NamedVisitor<N> {
            type Value = NamedBy<N>;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a variant")
            }

            fn visit_enum<A: EnumAccess<'de>>(self, data: A) -> Result<Self::Value, A::Error> {
                let (name, variant) = data.variant::<N>()?;
                Ok(NamedBy(name, variant.newtype_variant::<u8>().ok()))
            }
        }

        deserializer.deserialize_enum("NamedBy", &[], NamedVisitor(PhantomData))
    }
}

/// Asks for a value again when the first one fails.
#[derive(Debug, PartialEq)]
struct Twice(Vec<(String, Option<u8>, Option<String>)>);

impl<'de> Deserialize<'de> for Twice {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct TwiceVisitor;

        impl<'de> Visitor<'de> for TwiceVisitor {
            type Value = Twice;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Twice, A::Error> {
                let mut members = Vec::new();
                while let Some(key) = map.next_key()? {
                    let number = map.next_value().ok();
                    let text = if number.is_none() { map.next_value().ok() } else { None };
                    members.push((key, number, text));
                }
                Ok(Twice(members))
            }
        }

        deserializer.deserialize_map(TwiceVisitor)
    }
}

/// Bytes, as `serde_bytes` reads them.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Bytes(Vec<u8>);

impl<'de> Deserialize<'de> for Bytes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct BytesVisitor;

        impl<'de> Visitor<'de> for BytesVisitor {
            type Value = Bytes;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("bytes")
            }

            fn visit_bytes<E>(self, bytes: &[u8]) -> Result<Bytes, E> {
                Ok(Bytes(bytes.to_vec()))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Bytes, A::Error> {
                let mut bytes = Vec::new();
                while let Some(byte) = seq.next_element()? {
                    bytes.push(byte);
                }
                Ok(Bytes(bytes))
            }
        }

        deserializer.deserialize_byte_buf(BytesVisitor)
    }
}

// --- The comparison --------------------------------------------------------------------------------------------------

/// An object's members: name as JSON, decoded name, place from name to value, value.
struct Member<'a> {
    name: Option<String>,
    place: Range<usize>,
    value: &'a str,
}

/// Splits an object by another parser than the crate's.
fn members(object: &str) -> Vec<Member<'_>> {
    let mut members = Vec::new();
    let mut at = object.len() - object.trim_start().len() + 1;
    let value_len = |text: &str| {
        let mut values = serde_json::Deserializer::from_str(text).into_iter::<IgnoredAny>();
        values.next().unwrap().unwrap();
        values.byte_offset()
    };
    loop {
        at += object[at..].len() - object[at..].trim_start_matches([' ', '\n', '\t', '\r', ',']).len();
        if object[at..].starts_with('}') {
            return members;
        }
        let start = at;
        let name_len = value_len(&object[at..]);
        let name = serde_json::from_str(&object[at..at + name_len]).ok();
        at += name_len;
        at += object[at..].find(':').unwrap() + 1;
        at += object[at..].len() - object[at..].trim_start().len();
        let value_len = value_len(&object[at..]);
        members.push(Member { name, place: start..at + value_len, value: &object[at..at + value_len] });
        at += value_len;
    }
}

/// The object without the member at `path`: the first of its name, or the second.
fn without(object: &str, path: &[&str], is_repeated: bool) -> String {
    let mut members = members(object);
    let (name, below) = path.split_first().unwrap();
    let is_it = |member: &Member<'_>| match *name {
        "?" => member.name.is_none(),
        name => member.name.as_deref() == Some(name),
    };
    let nth = usize::from(is_repeated && *name != "?");
    let index = members
        .iter()
        .enumerate()
        .filter(|(_, m)| is_it(m))
        .nth(nth)
        .unwrap_or_else(|| panic!("{path:?} {is_repeated} in {object}"))
        .0;
    let replaced = (!below.is_empty()).then(|| without(members[index].value, below, false));
    let member = members.remove(index);
    let mut kept: Vec<String> = members.iter().map(|member| object[member.place.clone()].to_owned()).collect();
    if let Some(replaced) = replaced {
        let name = &object[member.place.start..member.place.end - member.value.len()];
        kept.insert(index, format!("{name}{replaced}"));
    }
    format!("{{{}}}", kept.join(","))
}

/// A delivery with that record.
pub(crate) fn body(record: &str) -> String {
    format!(r#"{{"userId":"u","eventName":"rocket.created","record":{record},"webhookId":"w"}}"#)
}

/// Compares what an event of `T` has from a delivery with that record.
#[track_caller]
pub(crate) fn compare<T: DeserializeOwned + PartialEq + 'static>(record: &str, delivery: &Verified) {
    let name = std::any::type_name::<T>();
    let event = WebhookEvent::<T>::from_verified(delivery.clone());
    // `serde_json` panics on such a key.
    let has_bool_names = ["Map<bool", "NamedBy<bool"].iter().any(|part| name.contains(part));
    if has_bool_names && !record.is_ascii() {
        return;
    }
    let accepts = || serde_json::from_str::<T>(record).is_ok();
    match event {
        Ok(event) => {
            assert_eq!(event.user_id.as_ref().map(ToString::to_string).as_deref(), Some("u"));
            assert_eq!(event.webhook_id.as_ref().map(ToString::to_string).as_deref(), Some("w"));
            let is_read_from = |text: &str| serde_json::from_str(text).is_ok_and(|read: T| read == event.record);
            check_accepted(name, record, event.unexpected(), &is_read_from, &accepts);
        }
        Err(error) => {
            let is_right = !has_only_unicode_names(record) || !accepts();
            assert!(is_right, "{error}: {name} from {record}");
        }
    }
}

/// `serde_json` reads other names as bytes, and goes on behind some of them that it rejects.
fn has_only_unicode_names(record: &str) -> bool {
    !record.replace([' ', '\n', '\t'], "").contains(r#"\ud800":"#)
}

/// Not generic, as this is compiled for hundreds of types.
#[track_caller]
fn check_accepted(
    name: &str,
    record: &str,
    left_out: &[UnexpectedMember],
    is_read_from: &dyn Fn(&str) -> bool,
    serde_json_accepts: &dyn Fn() -> bool,
) {
    let members = if record.trim_start().starts_with('{') { members(record) } else { Vec::new() };
    let mut distinct = BTreeSet::new();
    let repeated = members.iter().filter(|member| !distinct.insert(&member.name)).count();
    let mut expected = record.to_owned();
    // From the last on, so that a first that is left out too is still the first.
    for member in left_out.iter().rev() {
        let path: Vec<_> = member.path.split('.').skip(1).collect();
        if path.contains(&"?") && members.iter().any(|member| matches!(member.name.as_deref(), Some("é" | "-1"))) {
            return; // a path shows these names as question marks, too
        }
        expected = without(&expected, &path, member.is_repeated);
    }
    assert!(is_read_from(&expected), "{name} from {record} without {left_out:?}: {expected}");
    assert_eq!(left_out.iter().filter(|member| member.is_repeated).count(), repeated, "{name} from {record}");
    if repeated == 0 && has_only_unicode_names(record) && serde_json_accepts() {
        assert_eq!(left_out, [], "{name} from {record}");
    }
}

/// A field of each type, in every place.
macro_rules! in_every_place {
    ($record:expr, $delivery:expr; $($Type:ty),* $(,)?) => {
        $(
            compare::<Between<$Type>>($record, $delivery);
            compare::<Required<$Type>>($record, $delivery);
            compare::<Lenient<$Type>>($record, $delivery);
            compare::<LenientMap<String, $Type>>($record, $delivery);
        )*
    };
}

/// Each type by itself.
macro_rules! as_the_record {
    ($record:expr, $delivery:expr; $($Type:ty),* $(,)?) => {
        $(compare::<$Type>($record, $delivery);)*
    };
}

macro_rules! each_field {
    ($compare:ident, $record:expr, $delivery:expr) => {
        $compare! {
            $record, $delivery;
            u8, u16, u32, u64, u128, i8, i16, i32, i64, i128, f32, f64, bool, char, String, (), NonZeroU8,
            Option<Option<u8>>, Box<str>, Cow<'static, str>, Vec<i128>, Vec<Inner>, [u8; 2], (u8, String), Pair, Unit,
            Newtype, BTreeMap<String, u8>, BTreeMap<bool, u8>, BTreeMap<char, u8>, BTreeMap<i8, u8>,
            BTreeMap<u128, Value>, BTreeMap<i128, u8>, BTreeMap<Option<u8>, u8>, BTreeMap<External, u8>,
            BTreeMap<Bytes, u8>, BTreeSet<u8>, Value, IgnoredAny, PathBuf, Duration, IpAddr, Range<u8>,
            Result<u8, String>, Bytes, External, Internal, Adjacent, Untagged, Inner, InnerRequired, LenientInner,
            EvenNumber, First, LenientMap<String, u8>, LenientMap<u8, Inner>, LenientMap<bool, u8>,
            LenientMap<Unread, u8>, LenientMap<String, Unread>, NamedBy<String>, NamedBy<u8>, NamedBy<bool>,
            NamedBy<Value>, NamedBy<IgnoredAny>, BTreeMap<NamedBy<u8>, u8>, BTreeMap<NamedBy<String>, u8>,
            BTreeMap<NamedBy<Option<String>>, u8>, BTreeMap<NamedBy<Unread>, u8>, Vec<Unread>, Twice,
            Emails, Phones, Actor, Currency,
        }
    };
}

/// Compares every type in every place.
pub(crate) fn compare_each(record: &str, delivery: &Verified) {
    each_field!(in_every_place, record, delivery);
    compare_records(record, delivery);
}

fn compare_records(record: &str, delivery: &Verified) {
    as_the_record! {
        record, delivery;
        Defaults, Strict, Aliased, Flattened, FlattenedStruct, Transparent, NewRecord, Even, First,
        HashMap<String, u8>, BTreeMap<String, Value>, BTreeMap<bool, u8>, BTreeMap<i64, Value>,
        BTreeMap<External, Value>, Value, IgnoredAny, Vec<u8>, Option<Inner>, External, Internal, Adjacent, Untagged,
        (), String, i128, Option<Box<Between<Inner>>>, (u8, u8), Unit, Pair,
    }
}
