//! Implements serde's `Deserializer` for a [`Reader`].

use std::borrow::Cow;

use serde::de::{Deserializer, Error, Visitor};

use super::{
    access::{RawValue, UnitVariant, Variants},
    reader::Reader,
    scan::behind_space,
};

/// The newtype name by which [`RawJson`](super::RawJson) requests its text.
pub(in crate::event) const RAW_JSON: &str = "$twenty_webhook::RawJson";

/// The newtype name by which `serde_json`'s `RawValue` requests its text, as a map with this key.
pub(super) const RAW_VALUE: &str = "$serde_json::private::RawValue";

#[inline]
pub(super) fn visit_string<'de, V: Visitor<'de>, E: Error>(text: Cow<'de, str>, visitor: V) -> Result<V::Value, E> {
    match text {
        Cow::Borrowed(text) => visitor.visit_borrowed_str(text),
        // `serde_json` never calls `visit_string`, and some types handle it differently.
        Cow::Owned(text) => visitor.visit_str(&text),
    }
}

macro_rules! left_to_serde_json {
    ($($method:ident)*) => {
        $(fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, E> {
            match self.next() {
                Some(b'{' | b'[') => Err(self.mismatch(&visitor)),
                _ => self.hand_over(|json| json.$method(visitor)),
            }
        })*
    };
}

impl<'de, E: Error> Deserializer<'de> for &mut Reader<'de, E> {
    type Error = E;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, E> {
        match self.next() {
            Some(b'"') => self.deserialize_str(visitor),
            Some(b'{') => self.deserialize_map(visitor),
            Some(b'[') => self.deserialize_seq(visitor),
            Some(b't' | b'f') => self.deserialize_bool(visitor),
            Some(b'n') => self.deserialize_unit(visitor),
            _ => self.hand_over(|json| json.deserialize_any(visitor)),
        }
    }

    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, E> {
        match behind_space(self.rest) {
            [b'"', rest @ ..] => {
                self.rest = rest;
                visit_string(self.string_inside()?, visitor)
            }
            _ => Err(self.mismatch(&visitor)),
        }
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, E> {
        match self.next() {
            Some(b'{') => self.enter(b'}', |members| visitor.visit_map(members)),
            _ => Err(self.mismatch(&visitor)),
        }
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, E> {
        match self.next() {
            Some(b'[') => self.enter(b']', |elements| visitor.visit_seq(elements)),
            _ => Err(self.mismatch(&visitor)),
        }
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, E> {
        match self.next() {
            Some(b'{') => self.enter(b'}', |members| visitor.visit_map(members)),
            _ => self.deserialize_seq(visitor),
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, E> {
        match self.next() {
            Some(b'n') => {
                self.word(b"null")?;
                visitor.visit_none()
            }
            _ => visitor.visit_some(self),
        }
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, E> {
        match self.next() {
            Some(b't') => {
                self.word(b"true")?;
                visitor.visit_bool(true)
            }
            Some(b'f') => {
                self.word(b"false")?;
                visitor.visit_bool(false)
            }
            _ => Err(self.mismatch(&visitor)),
        }
    }

    fn deserialize_unit<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, E> {
        match self.next() {
            Some(b'n') => {
                self.word(b"null")?;
                visitor.visit_unit()
            }
            _ => Err(self.mismatch(&visitor)),
        }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, name: &'static str, visitor: V) -> Result<V::Value, E> {
        match name {
            RAW_JSON => visitor.visit_borrowed_bytes(self.raw()?.as_bytes()),
            RAW_VALUE => visitor.visit_map(RawValue::new(name, self.raw()?)),
            _ => visitor.visit_newtype_struct(self),
        }
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, E> {
        match self.next() {
            Some(b'"') => visitor.visit_enum(UnitVariant(self)),
            Some(b'{') => {
                let value = self.enter(b'}', |inside| visitor.visit_enum(Variants(inside)));
                // After an error, `serde_json` does not check the end of the object.
                if value.is_err() {
                    self.stop();
                }
                value
            }
            _ => Err(self.lose()),
        }
    }

    fn deserialize_bytes<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, E> {
        match self.next() {
            Some(b'[') => self.deserialize_seq(visitor),
            Some(b'{') => Err(self.mismatch(&visitor)),
            _ => self.hand_over(|json| json.deserialize_bytes(visitor)),
        }
    }

    fn deserialize_byte_buf<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, E> {
        self.deserialize_bytes(visitor)
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, E> {
        self.deserialize_str(visitor)
    }

    fn deserialize_char<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, E> {
        self.deserialize_str(visitor)
    }

    fn deserialize_identifier<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, E> {
        self.deserialize_str(visitor)
    }

    fn deserialize_unit_struct<V: Visitor<'de>>(self, _: &'static str, visitor: V) -> Result<V::Value, E> {
        self.deserialize_unit(visitor)
    }

    fn deserialize_tuple<V: Visitor<'de>>(self, _: usize, visitor: V) -> Result<V::Value, E> {
        self.deserialize_seq(visitor)
    }

    fn deserialize_tuple_struct<V: Visitor<'de>>(self, _: &'static str, _: usize, visitor: V) -> Result<V::Value, E> {
        self.deserialize_seq(visitor)
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, E> {
        self.raw()?;
        visitor.visit_unit()
    }

    left_to_serde_json! {
        deserialize_i8 deserialize_i16 deserialize_i32 deserialize_i64 deserialize_i128
        deserialize_u8 deserialize_u16 deserialize_u32 deserialize_u64 deserialize_u128
        deserialize_f32 deserialize_f64
    }
}
