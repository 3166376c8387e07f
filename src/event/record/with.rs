use std::{
    fmt,
    ops::{Deref, DerefMut},
};

use serde::{
    Serialize,
    de::{DeserializeOwned, Error},
};

use super::{FromRecord, Payload, from_record::Shape};
use crate::event::{EventError, EventName, json::Reader, unexpected::Search};

/// A standard record and the custom fields of the same object: `With<Person, PersonFields>`.
///
/// Both halves are read from the whole record, each as if it were read alone. The event must be
/// about the standard type's object; the name of your struct does not matter. The fields of the
/// standard record are reachable directly, through [`Deref`].
///
/// ```
/// use serde::Deserialize;
/// use twenty_webhook::{WebhookEvent, event::{With, field::Currency, record::Person}};
///
/// #[derive(Deserialize)]
/// #[serde(rename_all = "camelCase")] // Twenty's field names
/// struct PersonFields {
///     tier: Option<String>,
///     budget: Option<Currency>,
/// }
///
/// fn on_person(event: WebhookEvent<With<Person, PersonFields>>) -> (Option<String>, Option<String>) {
///     (event.record.display_name(), event.record.custom.tier)
/// }
/// # use twenty_webhook::verify::{Signer, Verifier};
/// # let body = r#"{"eventName":"person.updated","record":{"name":{"firstName":"Ada"},"jobTitle":3,"tier":"GOLD"}}"#;
/// # let headers = Signer::new("s").unwrap().sign(body).pairs();
/// # let event = WebhookEvent::from_verified(Verifier::new("s").unwrap().verify(headers, body).unwrap()).unwrap();
/// # assert_eq!(on_person(event), (Some("Ada".into()), Some("GOLD".into())));
/// ```
///
/// [`unexpected`](crate::WebhookEvent::unexpected) reports the members that do not fit either half,
/// and both halves are read without them. If both halves read the same member, and one of them
/// rejects it, it is left out of both. So declare each field in one half only. A field of type
/// [`RawJson`](crate::event::RawJson) is different: it contains its text as it was sent, including
/// the inner members that the other half rejects.
///
/// # Not `#[serde(flatten)]`
///
/// A struct with a flattened `Person` compiles, but do not use it. serde collects the members into
/// a buffer first and does not say which member failed, so one `"jobTitle": 3` rejects the whole
/// event. Such a struct also has no name, so it accepts the events of every object: a company reads
/// as an empty person.
///
/// ```
/// use serde::Deserialize;
/// use twenty_webhook::{WebhookEvent, event::record::Person};
///
/// #[derive(Deserialize)]
/// struct Wrong {
///     #[serde(flatten)]
///     person: Person,
///     tier: Option<String>,
/// }
/// # use twenty_webhook::verify::{Signer, Verifier};
/// # let read = |body: &'static str| {
/// #     let headers = Signer::new("s").unwrap().sign(body).pairs();
/// #     WebhookEvent::<Wrong>::from_verified(Verifier::new("s").unwrap().verify(headers, body).unwrap())
/// # };
///
/// let odd = read(r#"{"eventName":"person.created","record":{"jobTitle":3,"tier":"GOLD"}}"#);
/// assert!(odd.is_err()); // the event is lost
/// let company = read(r#"{"eventName":"company.created","record":{"name":null,"tier":"GOLD"}}"#)?;
/// assert!(company.record.person.name.is_none()); // not a person at all
/// # let _ = company.record.tier;
/// # Ok::<(), twenty_webhook::event::EventError>(())
/// ```
///
/// # As JSON
///
/// `Serialize` writes the members of both halves into one object. `With` does not implement
/// `Deserialize`. `Debug` shows only the standard record's id.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash, Serialize)]
pub struct With<T, C> {
    /// The record of the standard type.
    #[serde(flatten)]
    pub standard: T,
    /// The fields of your own type.
    #[serde(flatten)]
    pub custom: C,
}

impl<T, C> Deref for With<T, C> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.standard
    }
}

impl<T, C> DerefMut for With<T, C> {
    fn deref_mut(&mut self) -> &mut T {
        &mut self.standard
    }
}

impl<T: fmt::Debug, C> fmt::Debug for With<T, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("With").field("standard", &self.standard).finish_non_exhaustive()
    }
}

impl<T: FromRecord, C: DeserializeOwned> FromRecord for With<T, C> {
    fn check_object(name: &EventName) -> Result<(), EventError> {
        Shape::of::<C>().check_ends()?;
        T::check_object(name)
    }

    fn read<E: Error>(payload: Payload<'_>, reader: &mut Reader<'_, E>) -> Result<Self, E> {
        let start = reader.place();
        let standard = T::read(payload, reader)?;
        let end = reader.place();
        reader.go_back(start);
        let custom = C::deserialize(&mut *reader)?;
        // The type may have read nothing, or ignored an error.
        reader.expect_place(end)?;
        Ok(Self { standard, custom })
    }

    fn is_person(name: &EventName) -> bool {
        T::is_person(name)
    }

    fn search(search: &mut Search<'_>) -> Result<(), EventError> {
        T::search(search)?;
        C::search(search)
    }
}
