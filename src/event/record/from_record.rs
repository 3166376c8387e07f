use bytes::Bytes;
use serde::{
    Deserialize, Deserializer,
    de::{DeserializeOwned, Error, Visitor, value},
    forward_to_deserialize_any,
};
use serde_json::value::RawValue;

use super::{MetadataEvent, Record};
use crate::event::{EventError, EventName, RawJson};

/// What a [`WebhookEvent`](crate::WebhookEvent) can hold: [`Record`], [`MetadataEvent`], and any type that implements
/// [`serde::Deserialize`].
///
/// A struct whose serde name begins with a lower-case letter names its object so: `#[serde(rename = "subscription")]`. It takes
/// that object's events only. A struct without such a name takes the records of any object, but no metadata events. All other
/// types take any event: maps, enums, `serde_json::Value`, also a struct with `#[serde(flatten)]`, of which serde tells no name.
///
/// Sealed: implement `Deserialize`.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be the record of a `WebhookEvent`",
    note = "derive `serde::Deserialize` for it, without borrowed fields"
)]
pub trait FromRecord: sealed::Sealed + Sized {
    /// Refuses an event of another object.
    #[doc(hidden)]
    fn check_object(name: &EventName) -> Result<(), EventError>;

    /// Reads the record.
    #[doc(hidden)]
    fn read<'de, D: Deserializer<'de>>(payload: Payload<'_>, from: D) -> Result<Self, D::Error>;

    /// Keeps a record as it is, whatever it is. `None` for a type that cannot.
    #[doc(hidden)]
    fn keep_raw(_name: &EventName, _raw: RawJson) -> Option<Self> {
        None
    }
}

/// What is known when a record is read.
#[doc(hidden)]
#[derive(Clone, Copy, Debug)]
pub struct Payload<'a> {
    pub(in crate::event) name: &'a EventName,
    /// The delivery, and its text as it is read: see [`RawJson::piece_of`].
    pub(in crate::event) body: &'a Bytes,
    pub(in crate::event) text: &'a str,
}

impl Payload<'_> {
    /// Reads the record as a raw piece of the delivery.
    pub(in crate::event) fn read_raw<'de, D: Deserializer<'de>>(self, from: D) -> Result<RawJson, D::Error> {
        Ok(RawJson::piece_of(self.body, self.text, <&'de RawValue>::deserialize(from)?))
    }
}

mod sealed {
    use super::{DeserializeOwned, MetadataEvent, Record};

    pub trait Sealed {}
    impl<T: DeserializeOwned> Sealed for T {}
    impl Sealed for Record {}
    impl Sealed for MetadataEvent {}
}

impl<T: DeserializeOwned> FromRecord for T {
    fn check_object(name: &EventName) -> Result<(), EventError> {
        let Some((expected, _)) = struct_shape::<T>() else { return Ok(()) };
        let names_its_object = expected.starts_with(|c: char| c.is_ascii_lowercase());
        let fits = if names_its_object { name.object() == expected } else { name.metadata_name().is_none() };
        if fits { Ok(()) } else { Err(EventError::wrong_object(expected, name.as_str())) }
    }

    fn read<'de, D: Deserializer<'de>>(payload: Payload<'_>, from: D) -> Result<Self, D::Error> {
        // Why exactly is found out on the slow path.
        Self::check_object(payload.name).map_err(|_| D::Error::custom("another object"))?;
        T::deserialize(from)
    }
}

/// The name and the fields with which `T` asks serde for a struct, also inside of an `Option` or a newtype. `None` when it asks for
/// something else.
pub(super) fn struct_shape<T: DeserializeOwned>() -> Option<StructShape> {
    /// Answers every question with an error, but remembers a struct's shape.
    struct Ask<'a>(&'a mut Option<StructShape>);

    impl<'de> Deserializer<'de> for Ask<'_> {
        type Error = value::Error;

        fn deserialize_any<V: Visitor<'de>>(self, _: V) -> Result<V::Value, value::Error> {
            Err(Error::custom(""))
        }

        fn deserialize_struct<V: Visitor<'de>>(
            self,
            name: &'static str,
            fields: &'static [&'static str],
            visitor: V,
        ) -> Result<V::Value, value::Error> {
            *self.0 = Some((name, fields));
            self.deserialize_any(visitor)
        }

        fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, value::Error> {
            visitor.visit_some(self)
        }

        fn deserialize_newtype_struct<V: Visitor<'de>>(
            self,
            _: &'static str,
            visitor: V,
        ) -> Result<V::Value, value::Error> {
            visitor.visit_newtype_struct(self)
        }

        forward_to_deserialize_any! {
            bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit unit_struct seq tuple
            tuple_struct map enum identifier ignored_any
        }
    }

    let mut shape = None;
    let _ = T::deserialize(Ask(&mut shape));
    shape
}

type StructShape = (&'static str, &'static [&'static str]);

#[cfg(test)]
mod tests {
    use serde::Deserialize;
    use serde_json::Value;

    use super::{super::Person, *};

    #[derive(Deserialize)]
    #[serde(rename = "subscription")]
    struct Named {}

    #[derive(Deserialize)]
    struct Unnamed {}

    #[derive(Deserialize)]
    struct Newtype(#[expect(dead_code, reason = "asked for its name only")] Box<Named>);

    fn struct_name<T: DeserializeOwned>() -> Option<&'static str> {
        struct_shape::<T>().map(|(name, _)| name)
    }

    #[test]
    fn structs_tell_their_name() {
        assert_eq!(struct_name::<Person>(), Some("person"));
        assert_eq!(struct_name::<Named>(), Some("subscription"));
        assert_eq!(struct_name::<Option<Box<Named>>>(), Some("subscription"));
        assert_eq!(struct_name::<Newtype>(), Some("subscription"));
        assert_eq!(struct_name::<Unnamed>(), Some("Unnamed"));
        assert_eq!(struct_name::<Value>(), None);
        assert_eq!(struct_name::<Vec<Named>>(), None);
    }

    #[test]
    fn a_struct_refuses_what_it_cannot_be() {
        let subscription = EventName::new("subscription.created");
        let company = EventName::new("company.created");
        let metadata = EventName::new("metadata.view.created");
        assert!(Named::check_object(&subscription).is_ok());
        assert!(Named::check_object(&company).is_err());
        assert!(Named::check_object(&metadata).is_err());
        assert!(Unnamed::check_object(&company).is_ok());
        assert!(Unnamed::check_object(&metadata).is_err());
        assert!(Value::check_object(&metadata).is_ok());
        assert!(MetadataEvent::check_object(&metadata).is_ok());
        assert!(MetadataEvent::check_object(&company).is_err());
    }
}
