//! Access to the content of objects, arrays and enums, and to the names of members.

use std::borrow::Cow;

use serde::{
    Deserialize,
    de::{DeserializeSeed, Deserializer, EnumAccess, Error, MapAccess, SeqAccess, Unexpected, VariantAccess, Visitor},
    forward_to_deserialize_any,
};

use super::{
    deserializer::{RAW_VALUE, visit_string},
    reader::{LIMIT, Reader},
    scan::{behind_plain, behind_space, behind_string},
};

/// The members of an object, or the elements of an array.
pub(in crate::event) struct Inside<'a, 'de, E> {
    reader: &'a mut Reader<'de, E>,
    end: u8,
    is_first: bool,
}

impl<'a, 'de, E: Error> Inside<'a, 'de, E> {
    #[inline]
    pub(super) const fn new(reader: &'a mut Reader<'de, E>, end: u8) -> Self {
        Self { reader, end, is_first: true }
    }

    /// Returns whether there is another member or element, and moves to it.
    #[inline]
    fn has_next(&mut self) -> Result<bool, E> {
        let next = self.reader.next();
        if next == Some(self.end) {
            return Ok(false);
        }
        // A type that ignores errors may request elements until there are no more.
        if self.reader.is_lost {
            return Ok(false);
        }
        if !std::mem::take(&mut self.is_first) {
            self.reader.expect(b',')?;
        }
        // A type may read nothing here, so check that there is an element.
        match self.reader.next() {
            Some(b',' | b']') | None => Err(self.reader.lose()),
            _ => Ok(true),
        }
    }

    /// Moves past the opening quote of the next name. Returns `false` if there is no further member
    /// that is not hidden.
    #[inline]
    fn open_name(&mut self) -> Result<bool, E> {
        let reader = &mut *self.reader;
        // The type has read a name, but not the value after it.
        if reader.member != 0 {
            return Err(reader.lose());
        }
        loop {
            let mut rest = behind_space(reader.rest);
            match rest {
                [b'}', ..] => break,
                [] if reader.is_lost => return Ok(false),
                [b',', next @ ..] if !self.is_first => rest = behind_space(next),
                _ if self.is_first => {}
                _ => return Err(reader.lose()),
            }
            self.is_first = false;
            let member = rest.len();
            match rest {
                [b'"', name @ ..] if member != reader.hidden_at => {
                    reader.member = member;
                    reader.rest = name;
                    return Ok(true);
                }
                [b'"', ..] => reader.pass_hidden(),
                _ => return Err(reader.lose()),
            }
        }
        if reader.depth == LIMIT - 1 {
            reader.forget_failure();
        }
        Ok(false)
    }

    /// Reads the next member's name and the colon; its value comes next.
    pub(in crate::event) fn next_name(&mut self) -> Result<Option<Cow<'de, str>>, E> {
        let name = self.name()?;
        if name.is_some() {
            self.expect_colon()?;
        }
        Ok(name)
    }

    /// Reads the next member's name; the colon comes next.
    #[inline]
    fn name(&mut self) -> Result<Option<Cow<'de, str>>, E> {
        if !self.open_name()? {
            return Ok(None);
        }
        let Ok(name) = self.reader.string_inside() else {
            // After a name that is not Unicode, the position of `serde_json` depends on the type
            // that reads the name.
            return Err(self.reader.lose());
        };
        if self.reader.depth == LIMIT - 1 {
            self.reader.has_repeated_name |= self.reader.names.insert(name.as_bytes());
        }
        Ok(Some(name))
    }

    /// Skips the next member's name, if there is one. The name may be invalid Unicode.
    pub(super) fn skip_name(&mut self) -> Result<bool, E> {
        if !self.open_name()? {
            return Ok(false);
        }
        let reader = &mut *self.reader;
        let name = reader.rest;
        let end = behind_plain(name);
        if let [b'"', rest @ ..] = end {
            let name = name.get(..name.len().wrapping_sub(end.len())).unwrap_or_default();
            reader.has_repeated_name |= reader.names.insert(name);
            reader.rest = rest;
        } else {
            let Some(rest) = behind_string(name) else { return Err(reader.lose()) };
            // An escaped name may be equal to any other name.
            reader.has_repeated_name = true;
            reader.rest = rest;
        }
        self.expect_colon()?;
        Ok(true)
    }

    /// Moves after the colon that follows the name. The value comes next.
    #[inline]
    fn expect_colon(&mut self) -> Result<(), E> {
        self.reader.member = 0;
        self.reader.expect(b':')
    }

    #[inline]
    fn read_name<K: DeserializeSeed<'de>>(&mut self, name: Cow<'de, str>, seed: K) -> Result<K::Value, E> {
        let mut is_read = false;
        let key = seed.deserialize(Name { name, reader: self.reader, is_read: &mut is_read });
        // As with `serde_json`, the reader stays at the name if the type did not read it.
        if !is_read {
            self.reader.go_back_to_name();
        }
        key
    }

    /// Reads the value of a member whose name was read.
    pub(in crate::event) fn value<V: Deserialize<'de>>(&mut self) -> Result<V, E> {
        V::deserialize(&mut *self.reader)
    }

    pub(in crate::event) const fn reader(&mut self) -> &mut Reader<'de, E> {
        self.reader
    }
}

impl<'de, E: Error> MapAccess<'de> for Inside<'_, 'de, E> {
    type Error = E;

    #[inline]
    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, E> {
        match self.name()? {
            Some(name) => self.read_name(name, seed).map(Some),
            None => Ok(None),
        }
    }

    #[inline]
    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, E> {
        let member = std::mem::take(&mut self.reader.member);
        match behind_space(self.reader.rest) {
            [b':', rest @ ..] if member != 0 => self.reader.rest = rest,
            rest => return Err(self.reader.no_value(member != 0 || rest.first() == Some(&b':'))),
        }
        self.reader.expect_value()?;
        let value = seed.deserialize(&mut *self.reader);
        if value.is_err() || self.reader.is_lost {
            self.reader.fail_at(member);
        }
        value
    }
}

impl<'de, E: Error> SeqAccess<'de> for Inside<'_, 'de, E> {
    type Error = E;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, E> {
        if !self.has_next()? {
            return Ok(None);
        }
        seed.deserialize(&mut *self.reader).map(Some)
    }
}

/// A member's name as a map's key. `serde_json` can read numbers and booleans from it.
struct Name<'a, 'de, E> {
    name: Cow<'de, str>,
    /// The reader, which is after the name.
    reader: &'a mut Reader<'de, E>,
    is_read: &'a mut bool,
}

impl<'a, 'de, E: Error> Name<'a, 'de, E> {
    /// Moves the reader back to the start of the name and returns it. The name is then read like
    /// any other value.
    #[cold]
    fn reread(self) -> &'a mut Reader<'de, E> {
        *self.is_read = true;
        self.reader.go_back_to_name();
        self.reader
    }
}

macro_rules! numbers {
    ($($method:ident)*) => {
        $(fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, E> {
            *self.is_read = true;
            if let Cow::Borrowed(name) = self.name
                && name.starts_with(|first: char| first.is_ascii_digit() || first == '-')
                && name.ends_with(|last: char| last.is_ascii_digit())
            {
                let mut json = serde_json::Deserializer::from_str(name);
                let value = json.$method(visitor);
                if value.is_ok() && json.end().is_ok() {
                    return value.map_err(E::custom);
                }
            }
            Err(self.reader.lose())
        })*
    };
}

impl<'de, E: Error> Deserializer<'de> for Name<'_, 'de, E> {
    type Error = E;

    #[inline]
    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, E> {
        *self.is_read = true;
        visit_string(self.name, visitor)
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, E> {
        *self.is_read = true;
        match self.name {
            Cow::Borrowed("true") => visitor.visit_bool(true),
            Cow::Borrowed("false") => visitor.visit_bool(false),
            // `serde_json` skips other strings, but checks the first byte separately. So it cannot
            // read the second half of an escaped surrogate pair.
            Cow::Owned(name) if name.starts_with(|first: char| !first.is_ascii() && first.len_utf16() == 2) => {
                Err(self.reader.lose())
            }
            name if !name.is_empty() && !name.starts_with(['t', 'f', '"', '\\']) => {
                Err(E::invalid_type(Unexpected::Other("string"), &visitor))
            }
            _ => Err(self.reader.lose()),
        }
    }

    fn deserialize_bytes<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, E> {
        *self.is_read = true;
        match self.name {
            Cow::Borrowed(name) => visitor.visit_borrowed_bytes(name.as_bytes()),
            Cow::Owned(name) => visitor.visit_bytes(name.as_bytes()),
        }
    }

    fn deserialize_byte_buf<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, E> {
        self.deserialize_bytes(visitor)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, E> {
        visitor.visit_some(self)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, name: &'static str, visitor: V) -> Result<V::Value, E> {
        match name {
            RAW_VALUE => self.reread().deserialize_newtype_struct(name, visitor),
            _ => visitor.visit_newtype_struct(self),
        }
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, E> {
        self.reread().deserialize_enum(name, variants, visitor)
    }

    numbers! {
        deserialize_i8 deserialize_i16 deserialize_i32 deserialize_i64 deserialize_i128
        deserialize_u8 deserialize_u16 deserialize_u32 deserialize_u64 deserialize_u128
        deserialize_f32 deserialize_f64
    }

    forward_to_deserialize_any! {
        char str string unit unit_struct seq tuple tuple_struct map struct identifier ignored_any
    }
}

/// An enum that is written as an object: `{"variant": …}`.
pub(super) struct Variants<'a, 'de, E>(pub(super) Inside<'a, 'de, E>);

impl<'a, 'de, E: Error> EnumAccess<'de> for Variants<'a, 'de, E> {
    type Error = E;
    type Variant = &'a mut Reader<'de, E>;

    fn variant_seed<V: DeserializeSeed<'de>>(mut self, seed: V) -> Result<(V::Value, Self::Variant), E> {
        // If there is no name, the end of the object comes next, as with `serde_json`.
        let Some(name) = self.0.name()? else { return Err(E::custom("an object without a variant")) };
        let variant = self.0.read_name(name, seed)?;
        self.0.expect_colon()?;
        self.0.reader.expect_value()?;
        Ok((variant, self.0.reader))
    }
}

impl<'de, E: Error> VariantAccess<'de> for &mut Reader<'de, E> {
    type Error = E;

    fn unit_variant(self) -> Result<(), E> {
        serde::Deserialize::deserialize(self)
    }

    fn newtype_variant_seed<T: DeserializeSeed<'de>>(self, seed: T) -> Result<T::Value, E> {
        seed.deserialize(self)
    }

    fn tuple_variant<V: Visitor<'de>>(self, _: usize, visitor: V) -> Result<V::Value, E> {
        self.deserialize_seq(visitor)
    }

    fn struct_variant<V: Visitor<'de>>(self, fields: &'static [&'static str], visitor: V) -> Result<V::Value, E> {
        self.deserialize_struct("", fields, visitor)
    }
}

/// An enum that is written as a string.
pub(super) struct UnitVariant<D>(pub(super) D);

impl<'de, D: Deserializer<'de>> EnumAccess<'de> for UnitVariant<D> {
    type Error = D::Error;
    type Variant = OnlyUnit<D::Error>;

    fn variant_seed<V: DeserializeSeed<'de>>(self, seed: V) -> Result<(V::Value, Self::Variant), D::Error> {
        Ok((seed.deserialize(self.0)?, OnlyUnit(std::marker::PhantomData)))
    }
}

pub(super) struct OnlyUnit<E>(std::marker::PhantomData<E>);

impl<'de, E: Error> VariantAccess<'de> for OnlyUnit<E> {
    type Error = E;

    fn unit_variant(self) -> Result<(), E> {
        Ok(())
    }

    fn newtype_variant_seed<T: DeserializeSeed<'de>>(self, _: T) -> Result<T::Value, E> {
        Err(E::invalid_type(Unexpected::UnitVariant, &"newtype variant"))
    }

    fn tuple_variant<V: Visitor<'de>>(self, _: usize, _: V) -> Result<V::Value, E> {
        Err(E::invalid_type(Unexpected::UnitVariant, &"tuple variant"))
    }

    fn struct_variant<V: Visitor<'de>>(self, _: &'static [&'static str], _: V) -> Result<V::Value, E> {
        Err(E::invalid_type(Unexpected::UnitVariant, &"struct variant"))
    }
}

/// A value's text in the form that `serde_json`'s `RawValue` requests.
pub(super) struct RawValue<'de, E> {
    name: &'static str,
    piece: Option<&'de str>,
    error: std::marker::PhantomData<E>,
}

impl<'de, E> RawValue<'de, E> {
    pub(super) const fn new(name: &'static str, piece: &'de str) -> Self {
        Self { name, piece: Some(piece), error: std::marker::PhantomData }
    }
}

impl<'de, E: Error> MapAccess<'de> for RawValue<'de, E> {
    type Error = E;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, E> {
        match self.piece {
            Some(_) => seed.deserialize(serde::de::value::BorrowedStrDeserializer::new(self.name)).map(Some),
            None => Ok(None),
        }
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, E> {
        let piece = self.piece.take().ok_or_else(|| E::custom("one value"))?;
        seed.deserialize(serde::de::value::BorrowedStrDeserializer::new(piece))
    }
}
