//! A type that uses serde's interface as a script says. It calls any method of a deserializer for
//! values and names, continues after errors or not, reads everything or a part, and records
//! everything that it sees.

use std::{cell::RefCell, fmt, sync::LazyLock};

use serde::{
    Deserialize, Deserializer,
    de::{EnumAccess, Error, MapAccess, SeqAccess, VariantAccess, Visitor},
};
use twenty_webhook::verify::Verified;

use super::oracle::{self, Envelope};

/// The number of calls after which a type stops.
const MAX_CALLS: usize = 300;

thread_local! {
    static SCRIPT: RefCell<Script> = const { RefCell::new(Script { bytes: Vec::new(), calls: 0 }) };
}

struct Script {
    bytes: Vec<u8>,
    calls: usize,
}

/// Compares the types that follow this script, see [`oracle`].
pub(crate) fn compare(record: &str, script: &[u8], envelope: &Envelope, delivery: &Verified) {
    SCRIPT.with_borrow_mut(|of_thread| of_thread.bytes = script.to_vec());
    oracle::compare::<Scripted<false>>(record, envelope, delivery);
    oracle::compare::<Scripted<true>>(record, envelope, delivery);
}

/// Returns whether the feature `arbitrary_precision` of `serde_json` is on. Its numbers are then
/// maps, and `serde_json` panics if a type reads their value twice, as serde's contract permits.
fn has_number_maps() -> bool {
    serde_json::from_str::<serde_json::Number>("1.00").is_ok_and(|number| number.to_string() == "1.00")
}

/// Returns the next byte of the script, which repeats.
fn next_byte() -> u8 {
    SCRIPT.with_borrow_mut(|script| {
        let byte = script.bytes.get(script.calls % script.bytes.len().max(1)).copied().unwrap_or_default();
        script.calls += 1;
        byte
    })
}

/// A record that runs the script from its start. It may continue after errors if `IS_LENIENT`.
#[derive(Debug, PartialEq)]
struct Scripted<const IS_LENIENT: bool>(Vec<String>);

impl<'de, const IS_LENIENT: bool> Deserialize<'de> for Scripted<IS_LENIENT> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        SCRIPT.with_borrow_mut(|script| script.calls = 0);
        let visitor = PartVisitor::<IS_LENIENT, false>;
        // It is not read as raw JSON, which also contains the repeated members that an event
        // reports.
        let part = match next_byte() % 4 {
            0 => deserializer.deserialize_any(visitor),
            1 => deserializer.deserialize_struct("", &["a", "b"], visitor),
            2 => deserializer.deserialize_enum("", &["a", "b"], visitor),
            _ => deserializer.deserialize_map(visitor),
        };
        part.map(|Part(seen)| Self(seen))
    }
}

/// A value in a [`Scripted`] record, or a name.
struct Part<const IS_LENIENT: bool, const IS_NAME: bool>(Vec<String>);

impl<'de, const IS_LENIENT: bool, const IS_NAME: bool> Deserialize<'de> for Part<IS_LENIENT, IS_NAME> {
    fn deserialize<D: Deserializer<'de>>(json: D) -> Result<Self, D::Error> {
        let calls = SCRIPT.with_borrow(|script| script.calls);
        if calls > MAX_CALLS {
            return Err(D::Error::custom("enough"));
        }
        let visitor = PartVisitor;
        match next_byte() % 37 {
            // `serde_json` panics on names that are not ASCII.
            0 if !IS_NAME => json.deserialize_bool(visitor),
            1 => json.deserialize_i8(visitor),
            2 => json.deserialize_i64(visitor),
            3 => json.deserialize_i128(visitor),
            4 => json.deserialize_u8(visitor),
            5 => json.deserialize_u64(visitor),
            6 => json.deserialize_u128(visitor),
            7 => json.deserialize_f32(visitor),
            8 => json.deserialize_f64(visitor),
            9 => json.deserialize_char(visitor),
            10 => json.deserialize_str(visitor),
            11 => json.deserialize_string(visitor),
            12 => json.deserialize_bytes(visitor),
            13 => json.deserialize_byte_buf(visitor),
            14 => json.deserialize_option(visitor),
            15 => json.deserialize_unit(visitor),
            16 => json.deserialize_unit_struct("", visitor),
            17 => json.deserialize_newtype_struct("", visitor),
            18 if *HAS_RAW_VALUES => Raw::deserialize(json).map(|Raw(text)| Self(vec![format!("raw {text}")])),
            19 => json.deserialize_seq(visitor),
            20 => json.deserialize_tuple(2, visitor),
            21 => json.deserialize_tuple_struct("", 2, visitor),
            22 | 23 => json.deserialize_map(visitor),
            24 | 25 => json.deserialize_struct("", &["a", "b"], visitor),
            26 | 27 => json.deserialize_enum("", &["a", "b"], visitor),
            28 => json.deserialize_identifier(visitor),
            29 => json.deserialize_ignored_any(visitor),
            30 if IS_LENIENT => Ok(Self(vec!["unread".to_owned()])),
            31 => Err(D::Error::custom("unread")),
            32 => Ok(Self(vec![format!("is_human_readable {}", json.is_human_readable())])),
            _ => json.deserialize_any(visitor),
        }
    }
}

/// Whether the feature `raw_value` of `serde_json` is enabled.
static HAS_RAW_VALUES: LazyLock<bool> = LazyLock::new(|| serde_json::from_str::<Raw>("1").is_ok());

/// Reads text as `serde_json`'s `RawValue`, which exists only with a feature.
struct Raw(String);

impl<'de> Deserialize<'de> for Raw {
    fn deserialize<D: Deserializer<'de>>(json: D) -> Result<Self, D::Error> {
        struct RawVisitor;

        impl<'de> Visitor<'de> for RawVisitor {
            type Value = Raw;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("any value")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Raw, A::Error> {
                let Some((_, text)) = map.next_entry::<String, String>()? else {
                    return Err(A::Error::custom("empty"));
                };
                Ok(Raw(text))
            }
        }

        json.deserialize_newtype_struct("$serde_json::private::RawValue", RawVisitor)
    }
}

struct PartVisitor<const IS_LENIENT: bool, const IS_NAME: bool>;

macro_rules! visits {
    ($($method:ident($Type:ty))*) => {
        $(fn $method<E: Error>(self, value: $Type) -> Result<Self::Value, E> {
            if next_byte().is_multiple_of(16) {
                return Err(E::custom("unwanted"));
            }
            Ok(Part(vec![format!("{} {value:?}", stringify!($method))]))
        })*
    };
}

/// Adds what a part has seen. Returns its error if the script ends there.
fn add<E, const IS_LENIENT: bool, const IS_NAME: bool>(
    seen: &mut Vec<String>,
    part: Result<Part<IS_LENIENT, IS_NAME>, E>,
) -> Result<(), E> {
    match part {
        Ok(Part(part)) => seen.extend(part),
        Err(error) if !IS_LENIENT || next_byte().is_multiple_of(4) => return Err(error),
        Err(_) => seen.push("error".to_owned()),
    }
    Ok(())
}

/// Returns whether the script ends an object or array here. Types that are not lenient read to the
/// end.
fn ends_here<const IS_LENIENT: bool>() -> bool {
    IS_LENIENT && next_byte().is_multiple_of(8)
}

impl<'de, const IS_LENIENT: bool, const IS_NAME: bool> Visitor<'de> for PartVisitor<IS_LENIENT, IS_NAME> {
    type Value = Part<IS_LENIENT, IS_NAME>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("whatever the script says")
    }

    visits! {
        visit_bool(bool) visit_i64(i64) visit_i128(i128) visit_u64(u64) visit_u128(u128) visit_f64(f64)
        visit_str(&str) visit_borrowed_str(&'de str) visit_string(String)
        visit_bytes(&[u8]) visit_borrowed_bytes(&'de [u8]) visit_byte_buf(Vec<u8>)
    }

    fn visit_unit<E: Error>(self) -> Result<Self::Value, E> {
        Ok(Part(vec!["visit_unit".to_owned()]))
    }

    fn visit_none<E: Error>(self) -> Result<Self::Value, E> {
        Ok(Part(vec!["visit_none".to_owned()]))
    }

    fn visit_some<D: Deserializer<'de>>(self, json: D) -> Result<Self::Value, D::Error> {
        Deserialize::deserialize(json)
    }

    fn visit_newtype_struct<D: Deserializer<'de>>(self, json: D) -> Result<Self::Value, D::Error> {
        Deserialize::deserialize(json)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
        let mut seen = vec![format!("visit_seq {:?}", seq.size_hint())];
        while !ends_here::<IS_LENIENT>() && seen.len() < MAX_CALLS {
            let Some(element) = seq.next_element::<Self::Value>().transpose() else { break };
            add(&mut seen, element)?;
        }
        Ok(Part(seen))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut seen = vec![format!("visit_map {:?}", map.size_hint())];
        while !ends_here::<IS_LENIENT>() && seen.len() < MAX_CALLS {
            let Some(name) = map.next_key::<Part<IS_LENIENT, true>>().transpose() else { break };
            add(&mut seen, name)?;
            // A lenient type may request no value, or more than one.
            let values = if IS_LENIENT { [1, 1, 1, 1, 1, 1, 0, 2][usize::from(next_byte() % 8)] } else { 1 };
            let values = if values == 2 && has_number_maps() { 1 } else { values };
            for _ in 0..values {
                add(&mut seen, map.next_value::<Part<IS_LENIENT, false>>())?;
            }
        }
        Ok(Part(seen))
    }

    fn visit_enum<A: EnumAccess<'de>>(self, data: A) -> Result<Self::Value, A::Error> {
        let (Part(mut seen), variant) = data.variant::<Part<IS_LENIENT, true>>()?;
        seen.push("visit_enum".to_owned());
        let content = match next_byte() % 5 {
            0 => variant.unit_variant().map(|()| Part(vec!["unit_variant".to_owned()])),
            1 => variant.tuple_variant(2, self),
            2 => variant.struct_variant(&["a", "b"], self),
            3 if IS_LENIENT => return Ok(Part(seen)),
            _ => variant.newtype_variant::<Self::Value>(),
        };
        add(&mut seen, content)?;
        Ok(Part(seen))
    }
}
