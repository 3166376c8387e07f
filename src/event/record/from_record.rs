use std::borrow::Cow;

use bytes::Bytes;
use serde::{
    Deserializer,
    de::{DeserializeOwned, Error, Visitor, value},
    forward_to_deserialize_any,
};

use super::{MetadataEvent, Person, Record, With};
use crate::event::{EventError, EventName, RawJson, json::Reader, unexpected::Search};

/// A type that a [`WebhookEvent`](crate::WebhookEvent) can contain: [`Record`], [`MetadataEvent`],
/// any type that implements [`serde::Deserialize`], and [`With`], which combines two types.
///
/// # The object of a type
///
/// A struct accepts only events of its own object, whose name is the struct's name with a
/// lower-case first letter: `struct Subscription` accepts events of `subscription`, and
/// `struct NoteTarget` accepts events of `noteTarget`.
///
/// - `#[serde(rename = "subscription")]` on the struct names another object. A name that begins
///   with a lower-case letter is used as it is.
/// - `#[serde(rename = "*")]` accepts the records of any object. Metadata events are still
///   rejected.
/// - `Option<T>`, `Box<T>` and a newtype of `T` accept the object of `T`. A newtype with its own
///   `rename` accepts the object that the `rename` names. If `T` has no name, a newtype of it
///   accepts the object that the newtype is named after.
/// - With `#[serde(transparent)]`, `#[serde(from)]` or `#[serde(try_from)]`, serde deserializes the
///   inner type, so the name of the inner type decides. To select another object, rename the inner
///   type.
/// - Some types have no name and accept any event: structs with `#[serde(flatten)]`, unit structs,
///   maps, tuples, enums, [`serde_json::Value`], [`RawJson`], and types with a handwritten
///   `Deserialize` that does not deserialize a struct. For such a type, check
///   `event.name.object()`, or use an event router.
/// - An adjacently tagged enum does have a name, because serde reads it like a struct with the
///   enum's name.
///
/// # Types that handle errors
///
/// A type may ignore the errors of its fields. It then reads the same values as with `serde_json`,
/// but the texts of these errors differ.
///
/// This trait is sealed: implement `Deserialize` instead.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be the record of a `WebhookEvent`",
    note = "derive `serde::Deserialize` for it, without borrowed fields"
)]
pub trait FromRecord: sealed::Sealed + Sized {
    /// Rejects an event of another object.
    #[doc(hidden)]
    fn check_object(name: &EventName) -> Result<(), EventError>;

    /// Reads the record.
    #[doc(hidden)]
    fn read<E: Error>(payload: Payload<'_>, reader: &mut Reader<'_, E>) -> Result<Self, E>;

    /// Returns whether it reads a person from events with this name. For people, the flat members
    /// of the official documentation are supported.
    #[doc(hidden)]
    fn is_person(name: &EventName) -> bool;

    /// Keeps any record as raw JSON. Returns `None` for a type that cannot keep it.
    #[doc(hidden)]
    fn keep_raw(_name: &EventName, _raw: RawJson) -> Option<Self> {
        None
    }

    /// Finds the members that do not fit.
    #[doc(hidden)]
    fn search(search: &mut Search<'_>) -> Result<(), EventError> {
        search.find::<Self>()
    }
}

/// The context in which a record is read.
#[doc(hidden)]
#[derive(Clone, Copy, Debug)]
pub struct Payload<'a> {
    pub(in crate::event) name: &'a EventName,
    /// The delivery, from which parts are kept without a copy.
    pub(in crate::event) body: &'a Bytes,
}

impl Payload<'_> {
    /// Reads the record as a raw part of the delivery.
    pub(in crate::event) fn read_raw<E: Error>(self, reader: &mut Reader<'_, E>) -> Result<RawJson, E> {
        Ok(RawJson::piece_of(self.body, reader.raw()?))
    }
}

mod sealed {
    use super::{DeserializeOwned, FromRecord, MetadataEvent, Record, With};

    pub trait Sealed {}
    impl<T: DeserializeOwned> Sealed for T {}
    impl Sealed for Record {}
    impl Sealed for MetadataEvent {}
    impl<T: FromRecord, C: DeserializeOwned> Sealed for With<T, C> {}
}

impl<T: DeserializeOwned> FromRecord for T {
    fn check_object(name: &EventName) -> Result<(), EventError> {
        let shape = Shape::of::<T>();
        shape.check_ends()?;
        if shape.accepts(name) { Ok(()) } else { Err(EventError::wrong_object(&shape.object(), name.as_str())) }
    }

    fn read<E: Error>(_: Payload<'_>, reader: &mut Reader<'_, E>) -> Result<Self, E> {
        T::deserialize(reader)
    }

    fn is_person(_: &EventName) -> bool {
        Shape::of::<T>().fields == Shape::of::<Person>().fields
    }
}

/// The names that a type passes to serde.
#[derive(Debug, Default)]
pub(super) struct Shape {
    /// The outermost name that starts like an object's name; `*` for any object.
    explicit: Option<&'static str>,
    structure: Option<&'static str>,
    /// The outermost newtype.
    newtype: Option<&'static str>,
    /// The names of a struct's fields.
    pub(super) fields: &'static [&'static str],
    /// Whether it contains itself directly, as `struct Chain(Option<Box<Chain>>)` does.
    is_endless: bool,
}

impl Shape {
    /// The maximum nesting of `Option`s and newtypes in a type that is not infinite.
    const MOST_LAYERS: usize = 64;

    pub(super) fn of<T: DeserializeOwned>() -> Self {
        let mut shape = Self::default();
        let _ = T::deserialize(Ask { shape: &mut shape, layers: 0 });
        shape
    }

    /// # Errors
    ///
    /// Fails if the type contains itself directly.
    pub(super) fn check_ends(&self) -> Result<(), EventError> {
        if self.is_endless { Err(EventError::endless_type()) } else { Ok(()) }
    }

    fn name(&mut self, name: &'static str) {
        if self.explicit.is_none() && (name == "*" || name.starts_with(|first: char| first.is_lowercase())) {
            self.explicit = Some(name);
        }
    }

    fn accepts(&self, name: &EventName) -> bool {
        match (self.explicit, self.structure.or(self.newtype)) {
            (Some("*"), _) => name.metadata_name().is_none(),
            (Some(object), _) => name.object() == object,
            (None, Some(type_name)) => is_lower_camel(name.object(), type_name),
            (None, None) => true,
        }
    }

    fn object(&self) -> Cow<'static, str> {
        match (self.explicit, self.structure.or(self.newtype)) {
            (Some("*"), _) => "any object".into(),
            (Some(object), _) => object.into(),
            (None, type_name) => {
                let mut letters = type_name.unwrap_or_default().chars();
                letters.next().into_iter().flat_map(char::to_lowercase).chain(letters).collect::<String>().into()
            }
        }
    }
}

/// Returns whether `object` is the type's name with a lower-case first letter.
fn is_lower_camel(object: &str, type_name: &str) -> bool {
    let (mut object, mut type_name) = (object.chars(), type_name.chars());
    let first = type_name.next().into_iter().flat_map(char::to_lowercase);
    first.into_iter().all(|letter| object.next() == Some(letter)) && object.as_str() == type_name.as_str()
}

/// A deserializer that fails at every call, and remembers the names that a type passes.
struct Ask<'a> {
    shape: &'a mut Shape,
    layers: usize,
}

impl Ask<'_> {
    fn enter(&mut self) -> Result<(), value::Error> {
        self.layers = self.layers.saturating_add(1);
        self.shape.is_endless |= self.layers > Shape::MOST_LAYERS;
        if self.shape.is_endless { Err(Error::custom("")) } else { Ok(()) }
    }
}

impl<'de> Deserializer<'de> for Ask<'_> {
    type Error = value::Error;

    fn deserialize_any<V: Visitor<'de>>(self, _: V) -> Result<V::Value, value::Error> {
        Err(Error::custom(""))
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        fields: &'static [&'static str],
        _: V,
    ) -> Result<V::Value, value::Error> {
        self.shape.name(name);
        if !name.is_empty() {
            self.shape.structure.get_or_insert(name);
        }
        self.shape.fields = fields;
        Err(Error::custom(""))
    }

    fn deserialize_option<V: Visitor<'de>>(mut self, visitor: V) -> Result<V::Value, value::Error> {
        self.enter()?;
        visitor.visit_some(self)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        mut self,
        name: &'static str,
        visitor: V,
    ) -> Result<V::Value, value::Error> {
        self.enter()?;
        // `RawJson` and `RawValue` pass names that no type has.
        if !name.starts_with('$') {
            self.shape.name(name);
            self.shape.newtype.get_or_insert(name);
        }
        visitor.visit_newtype_struct(self)
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit unit_struct seq tuple
        tuple_struct map enum identifier ignored_any
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use serde::Deserialize;
    use serde_json::Value;

    use super::{super::Person, *};

    #[derive(Deserialize)]
    struct NoteTarget {}

    #[derive(Deserialize)]
    #[serde(rename = "subscription")]
    struct Named {}

    #[derive(Deserialize)]
    #[serde(rename = "*")]
    struct AnyObject {}

    #[derive(Deserialize)]
    struct OfNamed(#[expect(dead_code, reason = "only its name is read")] Box<Named>);

    #[derive(Deserialize)]
    #[serde(rename = "plan")]
    struct Renamed(#[expect(dead_code, reason = "only its name is read")] Option<Named>);

    #[derive(Deserialize)]
    struct Untyped(#[expect(dead_code, reason = "only its name is read")] Value);

    #[derive(Deserialize)]
    #[serde(transparent)]
    struct Transparent {
        #[expect(dead_code, reason = "only its name is read")]
        inner: Named,
    }

    #[derive(Deserialize)]
    #[serde(try_from = "Named")]
    struct Tried;

    impl TryFrom<Named> for Tried {
        type Error = String;

        fn try_from(_: Named) -> Result<Self, String> {
            Ok(Self)
        }
    }

    #[derive(Deserialize)]
    struct Flattened {
        #[serde(flatten)]
        #[expect(dead_code, reason = "only its name is read")]
        inner: Named,
    }

    #[derive(Deserialize)]
    enum Choice {}

    #[derive(Deserialize)]
    struct Chain(#[expect(dead_code, reason = "only its name is read")] Option<Box<Chain>>);

    /// Returns the object whose events `T` accepts, or `*` for any. Also checks which events it
    /// rejects.
    #[track_caller]
    fn object<T: FromRecord>() -> String {
        let accepts = |object: &str| T::check_object(&EventName::new(format!("{object}.created"))).is_ok();
        let objects = ["noteTarget", "subscription", "plan", "untyped", "person", "company", "metadata.view", ""];
        let accepted: Vec<_> = objects.into_iter().filter(|object| accepts(object)).collect();
        match accepted.len() {
            8 => "*.*".to_owned(),
            7 if !accepts("metadata.view") => "*".to_owned(),
            _ => accepted.join(" "),
        }
    }

    #[test]
    fn a_type_accepts_the_events_of_its_object() {
        assert_eq!(object::<Person>(), "person");
        assert_eq!(object::<NoteTarget>(), "noteTarget");
        assert_eq!(object::<Named>(), "subscription");
        assert_eq!(object::<Option<Box<Named>>>(), "subscription");
        assert_eq!(object::<OfNamed>(), "subscription");
        assert_eq!(object::<Renamed>(), "plan");
        assert_eq!(object::<Untyped>(), "untyped");
        assert_eq!(object::<Transparent>(), "subscription");
        assert_eq!(object::<Tried>(), "subscription");
        assert_eq!(object::<AnyObject>(), "*");
        assert_eq!(object::<MetadataEvent>(), "metadata.view");
    }

    #[test]
    fn a_record_with_custom_fields_accepts_the_events_of_the_standard_object() {
        assert_eq!(object::<With<Person, Named>>(), "person");
        assert_eq!(object::<With<Named, Person>>(), "subscription");
        assert_eq!(object::<With<Person, HashMap<String, Value>>>(), "person");
        assert_eq!(object::<With<With<Person, Named>, NoteTarget>>(), "person");
        assert_eq!(object::<With<Record, Named>>(), "*.*");
        assert_eq!(object::<With<MetadataEvent, Named>>(), "metadata.view");
        assert_eq!(object::<With<Person, Chain>>(), "", "a type that never ends");
        assert_eq!(object::<With<Chain, Person>>(), "", "a type that never ends");
    }

    #[test]
    fn types_without_a_name_accept_any_event() {
        assert_eq!(object::<Flattened>(), "*.*");
        assert_eq!(object::<HashMap<String, Value>>(), "*.*");
        assert_eq!(object::<Choice>(), "*.*");
        assert_eq!(object::<Vec<Named>>(), "*.*");
        assert_eq!(object::<(String, Named)>(), "*.*");
        assert_eq!(object::<Value>(), "*.*");
        assert_eq!(object::<RawJson>(), "*.*");
        assert_eq!(object::<Record>(), "*.*");
    }

    #[test]
    fn a_rejection_names_both_objects() {
        for (rejected, expected) in [
            (NoteTarget::check_object(&EventName::new("company.created")), "noteTarget"),
            (AnyObject::check_object(&EventName::new("company.created")), ""),
            (Named::check_object(&EventName::new("company.created")), "subscription"),
        ] {
            let text = rejected.map_or_else(|error| error.to_string(), |()| String::new());
            let expected = if expected.is_empty() {
                "".to_owned()
            } else {
                format!("expected an event of `{expected}`, found `company.created`")
            };
            assert_eq!(text, expected);
        }
    }

    #[test]
    fn a_type_that_never_ends_is_rejected() {
        assert_eq!(object::<Chain>(), "");
        assert_eq!(object::<Option<Option<Option<Chain>>>>(), "");
    }
}
