//! Types that read themselves, and hold a reader to more of serde's interface than derived ones do.

use std::marker::PhantomData;

use serde::{
    Deserialize, Deserializer,
    de::{EnumAccess, IgnoredAny, MapAccess, SeqAccess, VariantAccess, Visitor},
};

/// Reads a map's first member only.
#[derive(Debug, PartialEq)]
pub(crate) struct First(Option<String>);

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
pub(crate) struct LenientMap<K, V>(Vec<(Option<K>, Option<V>)>);

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
pub(crate) struct Twice(Vec<(String, Option<u8>, Option<String>)>);

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
pub(crate) struct Bytes(Vec<u8>);

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
