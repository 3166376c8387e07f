//! Types with their own `Deserialize`, which use more of serde's interface than derived types do.

use std::marker::PhantomData;

use serde::{
    Deserialize, Deserializer,
    de::{EnumAccess, IgnoredAny, MapAccess, SeqAccess, VariantAccess, Visitor},
};

/// Reads only the first member of an object.
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

/// Ignores the errors of single members and continues.
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

/// Reads nothing.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Unread;

impl<'de> Deserialize<'de> for Unread {
    fn deserialize<D: Deserializer<'de>>(_: D) -> Result<Self, D::Error> {
        Ok(Self)
    }
}

/// Reads all names of an object's members, and no values.
#[derive(Debug, PartialEq)]
pub(crate) struct Names(Vec<String>);

impl<'de> Deserialize<'de> for Names {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct NamesVisitor;

        impl<'de> Visitor<'de> for NamesVisitor {
            type Value = Names;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Names, A::Error> {
                let mut names = Vec::new();
                while let Some(name) = map.next_key()? {
                    names.push(name);
                }
                Ok(Names(names))
            }
        }

        deserializer.deserialize_map(NamesVisitor)
    }
}

/// An enum whose variants have names of any type and contain a number.
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

/// Requests a value again if the first attempt fails.
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

/// Records the visitor's method that is called for each value and name. Requests bytes if
/// `AS_BYTES`, and any type otherwise.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Visited<const AS_BYTES: bool>(Vec<String>);

impl<'de, const AS_BYTES: bool> Deserialize<'de> for Visited<AS_BYTES> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct CallVisitor<const AS_BYTES: bool>;

        macro_rules! calls {
            ($($method:ident($Type:ty))*) => {
                $(fn $method<E>(self, value: $Type) -> Result<Self::Value, E> {
                    Ok(Visited(vec![format!("{} {value:?}", stringify!($method))]))
                })*
            };
        }

        impl<'de, const AS_BYTES: bool> Visitor<'de> for CallVisitor<AS_BYTES> {
            type Value = Visited<AS_BYTES>;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("any value")
            }

            calls! {
                visit_bool(bool) visit_i64(i64) visit_u64(u64) visit_f64(f64)
                visit_str(&str) visit_borrowed_str(&'de str) visit_string(String)
                visit_bytes(&[u8]) visit_borrowed_bytes(&'de [u8]) visit_byte_buf(Vec<u8>)
            }

            fn visit_unit<E>(self) -> Result<Self::Value, E> {
                Ok(Visited(vec!["visit_unit".to_owned()]))
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut calls = Vec::new();
                while let Some((name, value)) = map.next_entry::<Self::Value, Self::Value>()? {
                    calls.extend(name.0.into_iter().chain(value.0));
                }
                Ok(Visited(calls))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
                let mut calls = Vec::new();
                while let Some(element) = seq.next_element::<Self::Value>()? {
                    calls.extend(element.0);
                }
                Ok(Visited(calls))
            }
        }

        if AS_BYTES {
            deserializer.deserialize_byte_buf(CallVisitor)
        } else {
            deserializer.deserialize_any(CallVisitor)
        }
    }
}

/// An enum that ignores the content of its variant.
#[derive(Debug, PartialEq)]
pub(crate) struct AnyVariant(bool);

impl<'de> Deserialize<'de> for AnyVariant {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct AnyVisitor;

        impl<'de> Visitor<'de> for AnyVisitor {
            type Value = AnyVariant;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a variant")
            }

            fn visit_enum<A: EnumAccess<'de>>(self, data: A) -> Result<AnyVariant, A::Error> {
                Ok(AnyVariant(data.variant::<u8>().is_ok()))
            }
        }

        deserializer.deserialize_enum("AnyVariant", &[], AnyVisitor)
    }
}

/// Accepts an object or array without reading it.
#[derive(Debug, PartialEq)]
pub(crate) struct Unopened;

impl<'de> Deserialize<'de> for Unopened {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct UnopenedVisitor;

        impl<'de> Visitor<'de> for UnopenedVisitor {
            type Value = Unopened;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("an object or array")
            }

            fn visit_map<A: MapAccess<'de>>(self, _: A) -> Result<Unopened, A::Error> {
                Ok(Unopened)
            }

            fn visit_seq<A: SeqAccess<'de>>(self, _: A) -> Result<Unopened, A::Error> {
                Ok(Unopened)
            }
        }

        deserializer.deserialize_any(UnopenedVisitor)
    }
}
