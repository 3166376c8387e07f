//! Reads JSON for serde, in about half of `serde_json`'s time: takes nothing that `serde_json` refuses, and gives the same values.
//!
//! It reads deliveries whose text is UTF-8 already, borrows every string that has no escapes, and keeps no account of what was wrong:
//! [`wire`](super::wire) reads what this refuses once more, by `serde_json`, to find out. So numbers, enums and other rare things are left to
//! `serde_json` here, too.

mod scan;

use std::{borrow::Cow, fmt};

use serde::{
    de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor},
    forward_to_deserialize_any,
};
use serde_json::de::StrRead;

use scan::{after, behind_plain, behind_space, behind_value};

/// Not read, for whatever reason.
#[derive(Debug)]
pub(super) struct NotRead;

impl Error for NotRead {
    fn custom<T: fmt::Display>(_: T) -> Self {
        Self
    }
}

impl std::error::Error for NotRead {}

impl fmt::Display for NotRead {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not read")
    }
}

type Result<T> = std::result::Result<T, NotRead>;

/// A JSON text, and what of it was not read yet.
pub(super) struct Reader<'de> {
    text: &'de str,
    rest: &'de [u8],
    /// One more than the levels of objects and arrays that may still be entered; `serde_json`'s limit.
    depth: usize,
}

impl<'de> Reader<'de> {
    pub(super) const fn new(text: &'de str) -> Self {
        Self { text, rest: text.as_bytes(), depth: 128 }
    }

    /// Whether nothing is left.
    pub(super) fn is_at_end(&mut self) -> bool {
        self.next().is_none()
    }

    /// The next byte that is no white space. It is still there.
    #[inline]
    fn next(&mut self) -> Option<u8> {
        self.rest = behind_space(self.rest);
        self.rest.first().copied()
    }

    #[inline]
    fn expect(&mut self, byte: u8) -> Result<()> {
        self.rest = after(byte, self.rest)?;
        Ok(())
    }

    /// `null`, `true` or `false`, which comes next.
    #[inline]
    fn word(&mut self, word: &[u8]) -> Result<()> {
        self.rest = self.rest.strip_prefix(word).ok_or(NotRead)?;
        Ok(())
    }

    /// The text from `from` to where `to` begins: both are what was left at some time.
    #[inline]
    fn between(&self, from: &[u8], to: &[u8]) -> Result<&'de str> {
        let place = |rest: &[u8]| self.text.len().wrapping_sub(rest.len());
        self.text.get(place(from)..place(to)).ok_or(NotRead)
    }

    #[inline(always)]
    fn string(&mut self) -> Result<Cow<'de, str>> {
        let start = after(b'"', self.rest)?;
        let end = behind_plain(start);
        let text = self.between(start, end)?;
        match end {
            [b'"', rest @ ..] => {
                self.rest = rest;
                Ok(Cow::Borrowed(text))
            }
            _ => {
                self.rest = end;
                self.unescaped(text).map(Cow::Owned)
            }
        }
    }

    /// The whole string that begins with `text` and goes on with an escape.
    #[cold]
    fn unescaped(&mut self, text: &'de str) -> Result<String> {
        let mut whole = String::from(text);
        loop {
            match self.rest {
                [b'"', rest @ ..] => {
                    self.rest = rest;
                    whole.shrink_to_fit();
                    return Ok(whole);
                }
                [b'\\', escape, rest @ ..] => {
                    self.rest = rest;
                    whole.push(self.escape(*escape)?);
                }
                _ => return Err(NotRead),
            }
            let end = behind_plain(self.rest);
            whole.push_str(self.between(self.rest, end)?);
            self.rest = end;
        }
    }

    /// What a backslash and this mean, with what follows.
    fn escape(&mut self, byte: u8) -> Result<char> {
        Ok(match byte {
            b'"' | b'\\' | b'/' => char::from(byte),
            b'b' => '\u{8}',
            b'f' => '\u{c}',
            b'n' => '\n',
            b'r' => '\r',
            b't' => '\t',
            b'u' => {
                let unit = self.unit()?;
                if !(0xd800..0xdc00).contains(&unit) {
                    // `None` for the second half of a pair, alone.
                    return char::from_u32(unit.into()).ok_or(NotRead);
                }
                self.word(br"\u")?;
                let pair = char::decode_utf16([unit, self.unit()?]).next();
                pair.and_then(std::result::Result::ok).ok_or(NotRead)?
            }
            _ => return Err(NotRead),
        })
    }

    /// Four hexadecimal digits.
    fn unit(&mut self) -> Result<u16> {
        let (digits, rest) = self.rest.split_first_chunk::<4>().ok_or(NotRead)?;
        let mut bytes = [0; 2];
        hex::decode_to_slice(digits, &mut bytes).map_err(|_| NotRead)?;
        self.rest = rest;
        Ok(u16::from_be_bytes(bytes))
    }

    /// Passes over a value: its text, and how deep it is nested, 0 when it is no object or array.
    fn skip(&mut self) -> Result<(&'de str, usize)> {
        let start = behind_space(self.rest);
        let (end, depth) = behind_value(start)?;
        self.rest = end;
        Ok((self.between(start, end)?, depth))
    }

    /// Leaves a value to `serde_json`.
    fn hand_over<T>(
        &mut self,
        read: impl FnOnce(&mut serde_json::Deserializer<StrRead<'de>>) -> serde_json::Result<T>,
    ) -> Result<T> {
        let (piece, depth) = self.skip()?;
        if depth >= self.depth {
            return Err(NotRead);
        }
        read(&mut serde_json::Deserializer::from_str(piece)).map_err(|_| NotRead)
    }

    /// Reads an object or array, which begins with `start`.
    #[inline]
    fn enter<T>(&mut self, start: u8, end: u8, read: impl FnOnce(Inside<'_, 'de>) -> Result<T>) -> Result<T> {
        self.expect(start)?;
        self.depth = self.depth.wrapping_sub(1);
        if self.depth == 0 {
            return Err(NotRead);
        }
        // Not taken out of its `Result`, since records are large and moved often enough.
        let value = read(Inside { reader: self, end, is_first: true });
        if value.is_ok() {
            self.depth = self.depth.wrapping_add(1);
            self.expect(end)?;
        }
        value
    }
}

#[inline]
fn visit_string<'de, V: Visitor<'de>>(text: Cow<'de, str>, visitor: V) -> Result<V::Value> {
    match text {
        Cow::Borrowed(text) => visitor.visit_borrowed_str(text),
        Cow::Owned(text) => visitor.visit_string(text),
    }
}

macro_rules! left_to_serde_json {
    ($($method:ident)*) => {
        $(fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
            self.hand_over(|json| json.$method(visitor))
        })*
    };
}

impl<'de> Deserializer<'de> for &mut Reader<'de> {
    type Error = NotRead;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        match self.next() {
            Some(b'"') => self.deserialize_str(visitor),
            Some(b'{') => self.deserialize_map(visitor),
            Some(b'[') => self.deserialize_seq(visitor),
            Some(b't' | b'f') => self.deserialize_bool(visitor),
            Some(b'n') => self.deserialize_unit(visitor),
            _ => self.hand_over(|json| json.deserialize_any(visitor)),
        }
    }

    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        visit_string(self.string()?, visitor)
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        self.enter(b'{', b'}', |members| visitor.visit_map(members))
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        self.enter(b'[', b']', |elements| visitor.visit_seq(elements))
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value> {
        match self.next() {
            Some(b'[') => self.deserialize_seq(visitor),
            _ => self.deserialize_map(visitor),
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        match self.next() {
            Some(b'n') => {
                self.word(b"null")?;
                visitor.visit_none()
            }
            _ => visitor.visit_some(self),
        }
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        match self.next() {
            Some(b't') => {
                self.word(b"true")?;
                visitor.visit_bool(true)
            }
            _ => {
                self.word(b"false")?;
                visitor.visit_bool(false)
            }
        }
    }

    fn deserialize_unit<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        self.next();
        self.word(b"null")?;
        visitor.visit_unit()
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, name: &'static str, visitor: V) -> Result<V::Value> {
        // serde_json's sign for a `RawValue`: it wants a map with that name for the key.
        if name == "$serde_json::private::RawValue" {
            return visitor.visit_map(Raw { name, piece: Some(self.skip()?.0) });
        }
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value> {
        self.hand_over(|json| json.deserialize_enum(name, variants, visitor))
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        self.deserialize_str(visitor)
    }

    fn deserialize_char<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        self.deserialize_str(visitor)
    }

    fn deserialize_identifier<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        self.deserialize_str(visitor)
    }

    fn deserialize_unit_struct<V: Visitor<'de>>(self, _: &'static str, visitor: V) -> Result<V::Value> {
        self.deserialize_unit(visitor)
    }

    fn deserialize_tuple<V: Visitor<'de>>(self, _: usize, visitor: V) -> Result<V::Value> {
        self.deserialize_seq(visitor)
    }

    fn deserialize_tuple_struct<V: Visitor<'de>>(self, _: &'static str, _: usize, visitor: V) -> Result<V::Value> {
        self.deserialize_seq(visitor)
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        self.skip()?;
        visitor.visit_unit()
    }

    left_to_serde_json! {
        deserialize_i8 deserialize_i16 deserialize_i32 deserialize_i64 deserialize_i128
        deserialize_u8 deserialize_u16 deserialize_u32 deserialize_u64 deserialize_u128
        deserialize_f32 deserialize_f64 deserialize_bytes deserialize_byte_buf
    }
}

/// The members of an object, or the elements of an array.
struct Inside<'a, 'de> {
    reader: &'a mut Reader<'de>,
    end: u8,
    is_first: bool,
}

impl Inside<'_, '_> {
    /// Whether there is another one, which then comes next.
    #[inline]
    fn has_next(&mut self) -> Result<bool> {
        let next = self.reader.next();
        if next == Some(self.end) {
            return Ok(false);
        }
        if !std::mem::take(&mut self.is_first) {
            self.reader.expect(b',')?;
        }
        Ok(true)
    }
}

impl<'de> MapAccess<'de> for Inside<'_, 'de> {
    type Error = NotRead;

    #[inline]
    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>> {
        if !self.has_next()? {
            return Ok(None);
        }
        let name = self.reader.string()?;
        self.reader.expect(b':')?;
        seed.deserialize(Name(name)).map(Some)
    }

    #[inline]
    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value> {
        seed.deserialize(&mut *self.reader)
    }
}

impl<'de> SeqAccess<'de> for Inside<'_, 'de> {
    type Error = NotRead;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>> {
        if !self.has_next()? {
            return Ok(None);
        }
        seed.deserialize(&mut *self.reader).map(Some)
    }
}

/// A member's name. One that stands for a number or the like is left to the slow path.
struct Name<'de>(Cow<'de, str>);

impl<'de> Deserializer<'de> for Name<'de> {
    type Error = NotRead;

    #[inline]
    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        visit_string(self.0, visitor)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, _: &'static str, visitor: V) -> Result<V::Value> {
        visitor.visit_newtype_struct(self)
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit unit_struct seq tuple
        tuple_struct map struct enum identifier ignored_any
    }
}

/// A value as it was sent, in the form that `serde_json`'s `RawValue` asks for.
struct Raw<'de> {
    name: &'static str,
    piece: Option<&'de str>,
}

impl<'de> MapAccess<'de> for Raw<'de> {
    type Error = NotRead;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>> {
        match self.piece {
            Some(_) => seed.deserialize(Name(Cow::Borrowed(self.name))).map(Some),
            None => Ok(None),
        }
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value> {
        seed.deserialize(Name(Cow::Borrowed(self.piece.take().ok_or(NotRead)?)))
    }
}

#[cfg(test)]
mod tests;
