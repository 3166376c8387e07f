use std::fmt;

use bytes::Bytes;
use serde::Serialize;

use super::{Forgery, SetError, SignedDelivery, edit, samples};
use crate::{
    event::{EventError, EventName, FromRecord, Heading, WebhookEvent},
    verify::{Clock, Signer, SystemClock, Timestamp, Verified},
};

/// The JSON of an event, before it is signed: the body that Twenty posts.
///
/// ```
/// use serde_json::json;
/// use twenty_webhook::testing::Delivery;
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let ada = Delivery::sample("person.created").set("record.emails.primaryEmail", "ada@example.com")?;
/// let of_your_own = Delivery::sample("subscription.created").set("record", json!({"plan": "PRO", "mrr": null}))?;
/// let from_a_capture = Delivery::from_body(r#"{"eventName":"company.deleted","record":{"id":"8a2d0b61"}}"#);
/// assert_eq!(from_a_capture.name(), "company.deleted");
/// # let _ = (ada, of_your_own);
/// # Ok(())
/// # }
/// ```
///
/// `Debug` shows name and length, but no content.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Delivery {
    name: EventName,
    body: Bytes,
}

impl Delivery {
    /// Returns a realistic delivery of this event. It has the same members, in the same order and
    /// form, as the deliveries of Twenty in autumn 2026. People and addresses are invented. The
    /// bytes are the same each time.
    ///
    /// Every name has a sample. Its content depends on the object and the action:
    ///
    /// - a standard object with the action `created`, `updated` (with the changed fields),
    ///   `deleted`, `restored` or `destroyed`: a record of that object;
    /// - any other object: the record of a custom object, with that object's name;
    /// - metadata, such as `metadata.fieldMetadata.updated`: Twenty's rows for objects and fields,
    ///   and a short row for other kinds;
    /// - any other action on a record: only the record.
    #[must_use]
    pub fn sample(name: impl Into<EventName>) -> Self {
        let name = name.into();
        Self { body: samples::body(&name).into(), name }
    }

    /// Returns a sample of each kind of event that Twenty sends: of each standard object, of a
    /// custom object (`subscription`) and of metadata.
    ///
    /// ```
    /// use twenty_webhook::testing::Delivery;
    ///
    /// let names: Vec<_> = Delivery::samples().map(|delivery| delivery.name().to_string()).collect();
    /// assert!(names.contains(&"calendarEvent.restored".to_owned()));
    /// ```
    pub fn samples() -> impl Iterator<Item = Self> {
        samples::names().map(Self::sample)
    }

    /// Creates a delivery from any serializable value.
    ///
    /// # Errors
    ///
    /// Returns an error if the value cannot be written as JSON, such as a map with keys that are
    /// not text.
    pub fn from_value<T: Serialize + ?Sized>(value: &T) -> Result<Self, serde_json::Error> {
        serde_json::to_vec(value).map(Self::from_body)
    }

    /// Creates a delivery from any bytes: a captured body, or one that Twenty would never send.
    #[must_use]
    pub fn from_body(body: impl Into<Bytes>) -> Self {
        let body = body.into();
        Self { name: Heading::read_name(&body).unwrap_or_else(|| EventName::new("")), body }
    }

    /// Sets the value at a dotted path: `record.name.firstName`. The last member is added if it is
    /// missing. All other bytes stay the same.
    ///
    /// By default, [deduplication](crate::deduplicate) treats deliveries as duplicates only if
    /// their bodies are equal. To make a delivery differ, set `eventDate`, which all events have.
    ///
    /// ```
    /// use twenty_webhook::testing::Delivery;
    ///
    /// let deliveries = (0..3).map(|n| Delivery::sample("person.created").set("record.position", n));
    /// # assert_eq!(deliveries.collect::<Result<std::collections::HashSet<_>, _>>()?.len(), 3);
    /// # Ok::<(), twenty_webhook::testing::SetError>(())
    /// ```
    ///
    /// # Errors
    ///
    /// A [`SetError`] if the path does not exist, or the value cannot be written as JSON.
    pub fn set(self, path: &str, value: impl Serialize) -> Result<Self, SetError> {
        let value = serde_json::to_string(&value).map_err(SetError::Value)?;
        edit::set(&self.body, path, &value).map(Self::from_body)
    }

    /// Returns the event's name; empty if the body has none.
    #[must_use]
    pub const fn name(&self) -> &EventName {
        &self.name
    }

    /// Returns the body.
    #[must_use]
    pub const fn body(&self) -> &Bytes {
        &self.body
    }

    /// Signs the delivery as Twenty does, with the current time.
    #[must_use]
    pub fn sign(&self, signer: &Signer) -> SignedDelivery {
        self.sign_at(signer, SystemClock.now())
    }

    /// Signs the delivery as Twenty does, with the given time, for a verifier with a
    /// [`FixedClock`](crate::verify::FixedClock).
    #[must_use]
    pub fn sign_at(&self, signer: &Signer, timestamp: Timestamp) -> SignedDelivery {
        SignedDelivery::new(self.body.clone(), signer.sign_at(timestamp, &self.body).pairs())
    }

    /// Returns the event as a handler gets it, to call the handler without HTTP. It is read like
    /// any delivery, and rejected if it is about another object.
    ///
    /// This is only for tests: the body is signed with a secret that no webhook has, so the event
    /// proves nothing about the body's origin, and its signature verifies nowhere.
    ///
    /// ```
    /// use twenty_webhook::{WebhookEvent, event::record::Person, testing::Delivery};
    ///
    /// fn greet(event: &WebhookEvent<Person>) -> String {
    ///     format!("hello, {}", event.record.display_name().unwrap_or_default())
    /// }
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let grace = Delivery::sample("person.created").set("record.name.firstName", "Grace")?;
    /// assert_eq!(greet(&grace.into_event()?), "hello, Grace Lovelace");
    /// assert!(Delivery::sample("company.created").into_event::<Person>().is_err());
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// Returns the same errors as [`WebhookEvent::from_verified`], with a kind in
    /// [`EventErrorKind`](crate::event::EventErrorKind).
    pub fn into_event<T: FromRecord>(self) -> Result<WebhookEvent<T>, EventError> {
        Verified::for_tests(self.body).into_event()
    }

    /// Creates a delivery that a receiver must reject, with the current time.
    #[must_use]
    pub fn forge(&self, forgery: Forgery, signer: &Signer) -> SignedDelivery {
        self.forge_at(forgery, signer, SystemClock.now())
    }

    /// Creates a delivery that a receiver must reject, with the given time.
    #[must_use]
    pub fn forge_at(&self, forgery: Forgery, signer: &Signer, now: Timestamp) -> SignedDelivery {
        forgery.of(self, signer, now)
    }
}

impl fmt::Debug for Delivery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Delivery").field("name", &self.name).field("len", &self.body.len()).finish()
    }
}
