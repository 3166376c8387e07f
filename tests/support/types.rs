//! Types of every kind. `oracle.rs` compares what a `WebhookEvent` of each reads with what
//! `serde_json` reads.

#![allow(dead_code, reason = "each program uses a part")]

use std::{
    borrow::Cow,
    collections::{BTreeMap, BTreeSet, HashMap},
    net::IpAddr,
    num::NonZeroU8,
    ops::Range,
    path::PathBuf,
    time::Duration,
};

use serde::{
    Deserialize, Deserializer,
    de::{DeserializeOwned, IgnoredAny},
};
use serde_json::Value;
use twenty_webhook::{
    event::field::{Actor, Currency, Emails, Phones},
    verify::Verified,
};

use super::{
    handwritten::{AnyVariant, Bytes, First, LenientMap, NamedBy, Names, Twice, Unopened, Unread, Visited},
    oracle::{Envelope, compare, compare_with},
};

// --- The types
// -------------------------------------------------------------------------------------------------------

/// A field of a type, between other fields.
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

/// A type that ignores errors as many programs do. An error can leave the deserializer at any
/// position.
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

/// A lenient type that contains another type.
#[derive(Debug, Deserialize, PartialEq)]
struct LenientInner {
    #[serde(default, deserialize_with = "lenient")]
    a: Option<Inner>,
    #[serde(default, deserialize_with = "lenient")]
    b: Option<u8>,
    name: Option<u8>,
}

/// All types that are written as one value.
#[derive(Debug, Deserialize, PartialEq)]
#[serde(rename = "*")]
struct Scalars {
    a: Option<u8>,
    b: Option<i8>,
    c: Option<i64>,
    d: Option<u64>,
    e: Option<i128>,
    f: Option<u128>,
    g: Option<f32>,
    h: Option<f64>,
    i: Option<bool>,
    j: Option<char>,
    k: Option<String>,
    #[serde(default)]
    l: (),
    m: Option<NonZeroU8>,
    n: Option<Option<u16>>,
    o: Option<Box<str>>,
    p: Option<Cow<'static, str>>,
}

#[derive(Debug, Deserialize, PartialEq)]
#[serde(rename = "*")]
struct Collections {
    a: Option<Vec<i128>>,
    b: Option<[u8; 2]>,
    c: Option<(u8, String)>,
    d: Option<BTreeSet<u8>>,
    e: Option<PathBuf>,
    f: Option<Duration>,
    g: Option<IpAddr>,
    h: Option<Range<u8>>,
    i: Option<Result<u8, String>>,
    j: Option<Bytes>,
    k: Option<Value>,
    l: Option<IgnoredAny>,
    m: Option<Unit>,
    n: Option<Pair>,
    o: Option<Newtype>,
    p: Option<Vec<Unread>>,
}

/// Maps with all kinds of keys except `bool`.
#[derive(Debug, Deserialize, PartialEq)]
#[serde(rename = "*")]
struct Maps {
    a: Option<BTreeMap<String, u8>>,
    b: Option<BTreeMap<char, u8>>,
    c: Option<BTreeMap<i8, u8>>,
    d: Option<BTreeMap<u128, Value>>,
    e: Option<BTreeMap<i128, u8>>,
    f: Option<BTreeMap<Option<u8>, u8>>,
    g: Option<BTreeMap<External, u8>>,
    h: Option<BTreeMap<Bytes, u8>>,
    i: Option<BTreeMap<NamedBy<u8>, u8>>,
    j: Option<BTreeMap<NamedBy<Option<String>>, u8>>,
    k: Option<LenientMap<u8, Inner>>,
    l: Option<LenientMap<Unread, u8>>,
    m: Option<LenientMap<String, Unread>>,
}

#[derive(Debug, Deserialize, PartialEq)]
#[serde(rename = "*")]
struct BoolMaps {
    a: Option<BTreeMap<bool, u8>>,
    b: Option<LenientMap<bool, u8>>,
    c: Option<NamedBy<bool>>,
}

#[derive(Debug, Deserialize, PartialEq)]
#[serde(rename = "*")]
struct Enums {
    a: Option<External>,
    b: Option<Internal>,
    c: Option<Adjacent>,
    d: Option<Untagged>,
    e: Option<NamedBy<String>>,
    f: Option<NamedBy<Value>>,
    g: Option<NamedBy<IgnoredAny>>,
    h: Option<EvenNumber>,
}

/// Fields with more than one column in Twenty, whose members can be left out separately, and types
/// that continue after errors.
#[derive(Debug, Deserialize, PartialEq)]
#[serde(rename = "*")]
struct Composites {
    a: Option<Emails>,
    b: Option<Phones>,
    c: Option<Actor>,
    d: Option<Currency>,
    e: Option<Box<Inner>>,
    f: Option<First>,
    g: Option<Twice>,
    h: Option<InnerRequired>,
}

/// Ignores the errors of each field separately.
#[derive(Debug, Default, Deserialize, PartialEq)]
#[serde(rename = "*", default)]
struct Tolerant {
    #[serde(deserialize_with = "lenient")]
    a: Option<i128>,
    #[serde(deserialize_with = "lenient")]
    b: Option<External>,
    #[serde(deserialize_with = "lenient")]
    c: Option<Untagged>,
    #[serde(deserialize_with = "lenient")]
    d: Option<Inner>,
    #[serde(deserialize_with = "lenient")]
    e: Option<Vec<u8>>,
    #[serde(deserialize_with = "lenient")]
    f: Option<BTreeMap<i8, String>>,
    #[serde(deserialize_with = "lenient")]
    g: Option<Strict>,
    #[serde(deserialize_with = "lenient")]
    h: Option<Twice>,
    name: Option<Value>,
}

/// Compares a field of each type in every place.
macro_rules! in_every_place {
    ($record:expr, $envelope:expr, $delivery:expr; $($Type:ty),* $(,)?) => {
        $(
            compare::<Between<$Type>>($record, $envelope, $delivery);
            compare::<Required<$Type>>($record, $envelope, $delivery);
            compare::<Lenient<$Type>>($record, $envelope, $delivery);
            compare::<LenientMap<String, $Type>>($record, $envelope, $delivery);
        )*
    };
}

/// Compares each type as the record.
macro_rules! as_the_record {
    ($record:expr, $envelope:expr, $delivery:expr; $($Type:ty),* $(,)?) => {
        $(compare::<$Type>($record, $envelope, $delivery);)*
    };
}

macro_rules! each_field {
    ($compare:ident, $record:expr, $envelope:expr, $delivery:expr) => {
        $compare! {
            $record, $envelope, $delivery;
            u8, u16, u32, u64, u128, i8, i16, i32, i64, i128, f32, f64, bool, char, String, (), NonZeroU8,
            Option<Option<u8>>, Box<str>, Cow<'static, str>, Vec<i128>, Vec<Inner>, [u8; 2], (u8, String), Pair, Unit,
            Newtype, BTreeMap<String, u8>, BTreeMap<bool, u8>, BTreeMap<char, u8>, BTreeMap<i8, u8>,
            BTreeMap<u128, Value>, BTreeMap<i128, u8>, BTreeMap<Option<u8>, u8>, BTreeMap<External, u8>,
            BTreeMap<Bytes, u8>, BTreeSet<u8>, Value, IgnoredAny, PathBuf, Duration, IpAddr, Range<u8>,
            Result<u8, String>, Bytes, External, Internal, Adjacent, Untagged, Inner, InnerRequired, LenientInner,
            EvenNumber, First, Names, LenientMap<String, u8>, LenientMap<u8, Inner>, LenientMap<bool, u8>,
            LenientMap<Unread, u8>, LenientMap<String, Unread>, NamedBy<String>, NamedBy<u8>, NamedBy<bool>,
            NamedBy<Value>, NamedBy<IgnoredAny>, BTreeMap<NamedBy<u8>, u8>, BTreeMap<NamedBy<String>, u8>,
            BTreeMap<NamedBy<Option<String>>, u8>, BTreeMap<NamedBy<Unread>, u8>, Vec<Unread>, Twice,
            Emails, Phones, Actor, Currency, Visited<false>, Visited<true>, AnyVariant, Unopened,
        }
    };
}

/// Compares every type in every place.
pub(crate) fn compare_each(record: &str, envelope: &Envelope, delivery: &Verified) {
    each_field!(in_every_place, record, envelope, delivery);
    compare_records(record, envelope, delivery);
    for compare in KINDS {
        compare(record, envelope, delivery);
    }
}

fn compare_records(record: &str, envelope: &Envelope, delivery: &Verified) {
    as_the_record! {
        record, envelope, delivery;
        Defaults, Strict, Aliased, Flattened, FlattenedStruct, Transparent, NewRecord, Even, First,
        HashMap<String, u8>, BTreeMap<String, Value>, BTreeMap<bool, u8>, BTreeMap<i64, Value>,
        BTreeMap<External, Value>, Value, IgnoredAny, Vec<u8>, Option<Inner>, External, Internal, Adjacent, Untagged,
        (), String, i128, Option<Box<Between<Inner>>>, (u8, u8), Unit, Pair, Visited<false>, LenientMap<Visited<true>, u8>,
        AnyVariant, Unopened,
    }
}

/// Compares one type.
pub(crate) type Compare = fn(&str, &Envelope, &Verified);

/// Types that contain all others, few enough to be compiled for a fuzz target. Its seeds use
/// positions in this list, so new types must be added at the end.
pub(crate) const KINDS: &[Compare] = &[
    compare::<Scalars>,
    compare::<Collections>,
    compare::<Maps>,
    compare::<BoolMaps>,
    compare::<Enums>,
    compare::<Composites>,
    compare::<Tolerant>,
    compare::<Between<Required<Defaults>>>,
    compare::<Strict>,
    compare::<Aliased>,
    compare::<Flattened>,
    compare::<FlattenedStruct>,
    compare::<Transparent>,
    compare::<Even>,
    compare::<First>,
    compare::<BTreeMap<String, Value>>,
    compare::<BTreeMap<External, i128>>,
    compare::<Value>,
    compare::<IgnoredAny>,
    compare::<External>,
    compare::<Internal>,
    compare::<Adjacent>,
    compare::<Untagged>,
    compare::<Lenient<Enums>>,
    compare::<Lenient<Maps>>,
    compare::<LenientMap<String, Scalars>>,
    compare::<Option<Vec<LenientInner>>>,
    compare::<Twice>,
    compare::<LenientMap<Visited<true>, Visited<false>>>,
    compare::<Lenient<AnyVariant>>,
    compare_with::<Scalars, Composites>,
    compare_with::<Composites, Between<Inner>>,
    compare_with::<Required<u8>, Required<Inner>>,
    compare_with::<Inner, Flattened>,
    compare_with::<Strict, Defaults>,
    compare_with::<Tolerant, LenientMap<String, Scalars>>,
    compare_with::<BTreeMap<String, Value>, Enums>,
    compare_with::<Twice, Unopened>,
    compare_with::<IgnoredAny, Value>,
];
