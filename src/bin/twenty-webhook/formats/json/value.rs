//! Reads the parts of JSON texts as they are written.

use std::{
    borrow::Cow,
    hash::{Hash, Hasher},
};

use serde::de::{DeserializeSeed, Deserializer as _, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::super::squash;

/// The maximum number of members of an object that are read.
const MAX_MEMBERS: usize = 20_000;

pub(super) type Members<'a> = Vec<(Cow<'a, str>, &'a RawValue)>;

/// An object that is searched for bodies.
pub(super) struct Object<'a> {
    pub(super) members: Members<'a>,
    /// The squashed names of all members. A long name is empty, because no known name is long.
    squashed: Vec<String>,
}

impl<'a> Object<'a> {
    pub(super) fn new(members: Members<'a>) -> Self {
        const LONGEST_NAME: usize = 200;
        let squashed = |name: &str| if name.len() > LONGEST_NAME { String::new() } else { squash(name) };
        let squashed = members.iter().map(|(name, _)| squashed(name)).collect();
        Self { members, squashed }
    }

    /// Iterates over the members with their squashed names.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&str, &'a RawValue)> {
        self.squashed.iter().map(String::as_str).zip(self.members.iter().map(|(_, value)| *value))
    }
}

/// Returns the text of a string, or a number as it is written.
pub(super) fn text_of(raw: &RawValue) -> Option<Cow<'_, str>> {
    match raw.get().as_bytes().first()? {
        b'"' => serde_json::from_str(raw.get()).ok().map(Cow::Owned),
        b'-' | b'0'..=b'9' => Some(raw.get().into()),
        _ => None,
    }
}

pub(super) fn members(raw: &RawValue) -> Option<Members<'_>> {
    struct Object;

    impl<'de> Visitor<'de> for Object {
        type Value = Members<'de>;

        fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("an object")
        }

        fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
            let mut members = Members::new();
            while members.len() < MAX_MEMBERS
                && let Some((name, value)) = map.next_entry::<String, &RawValue>()?
            {
                members.push((Cow::Owned(name), value));
            }
            while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
            Ok(members)
        }
    }

    let raw = raw.get();
    raw.starts_with('{').then(|| serde_json::Deserializer::from_str(raw).deserialize_map(Object).ok())?
}

/// Calls a function with each item of an array, until it returns `false`.
pub(in super::super) fn each<'a>(raw: &'a RawValue, call: &mut dyn FnMut(&'a RawValue) -> bool) {
    struct Items<'f, 'de>(&'f mut dyn FnMut(&'de RawValue) -> bool);

    impl<'de> Visitor<'de> for Items<'_, 'de> {
        type Value = ();

        fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("an array")
        }

        fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
            while let Some(item) = items.next_element::<&RawValue>()? {
                if !(self.0)(item) {
                    return Err(serde::de::Error::custom("enough"));
                }
            }
            Ok(())
        }
    }

    impl<'de> DeserializeSeed<'de> for Items<'_, 'de> {
        type Value = ();

        fn deserialize<D: serde::Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
            deserializer.deserialize_seq(self)
        }
    }

    if raw.get().starts_with('[') {
        // A raw value is valid JSON, so the only possible error is the one above.
        let _ = Items(call).deserialize(&mut serde_json::Deserializer::from_str(raw.get()));
    }
}

pub(super) fn child<'a>(object: &Object<'a>, wanted: &str) -> Option<Object<'a>> {
    let (_, value) = object.iter().find(|(name, _)| *name == wanted)?;
    members(value).map(Object::new)
}

/// The position of a value in the current text.
#[derive(Clone, Copy, Eq)]
pub(super) struct Origin(usize);

impl Origin {
    pub(super) fn of(raw: &RawValue) -> Self {
        Self(raw.get().as_ptr().addr())
    }
}

impl PartialEq for Origin {
    fn eq(&self, other: &Self) -> bool {
        #[cfg(test)]
        super::super::tests::COMPARED.set(super::super::tests::COMPARED.get().saturating_add(1));
        self.0 == other.0
    }
}

impl Hash for Origin {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.hash(state);
    }
}
