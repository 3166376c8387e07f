use std::fmt;

use bytes::Bytes;
use serde::Serialize;

use super::{Forgery, SetError, SignedDelivery, edit, samples};
use crate::{
    event::{EventError, EventName, FromRecord, Heading, WebhookEvent},
    verify::{Clock, Signer, SystemClock, Timestamp, Verified},
};

/// An event's JSON, not signed yet: what Twenty posts, without its headers.
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
/// `Debug` shows name and length, no content.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Delivery {
    name: EventName,
    body: Bytes,
}

impl Delivery {
    /// A realistic delivery of this event: the members, their order and their forms are those of
    /// Twenty in autumn 2026, the persons and addresses are made up. The same bytes each time.
    ///
    /// There is one for each name:
    ///
    /// - each standard object, `created`, `updated` (with what changed), `deleted`, `restored` and
    ///   `destroyed`;
    /// - any other object: the record of a custom object, under that object's name;
    /// - metadata, such as `metadata.fieldMetadata.updated`: rows as Twenty has them for objects
    ///   and fields, and a short one for other kinds;
    /// - any other action: the record and nothing else.
    #[must_use]
    pub fn sample(name: impl Into<EventName>) -> Self {
        let name = name.into();
        Self { body: samples::body(&name).into(), name }
    }

    /// A sample of each kind of event that Twenty sends: of each standard object, of a custom one
    /// (`subscription`) and of metadata.
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

    /// Any value of serde's, as JSON.
    ///
    /// # Errors
    ///
    /// When the value has no form in JSON, such as a map with keys that are no text.
    pub fn from_value<T: Serialize + ?Sized>(value: &T) -> Result<Self, serde_json::Error> {
        serde_json::to_vec(value).map(Self::from_body)
    }

    /// Any bytes, as they are: a captured body, or none that Twenty would send.
    #[must_use]
    pub fn from_body(body: impl Into<Bytes>) -> Self {
        let body = body.into();
        Self { name: Heading::read_name(&body).unwrap_or_else(|| EventName::new("")), body }
    }

    /// With another value at a dotted path: `record.name.firstName`. The last member is added if it
    /// is missing; all else stays as it is, to the byte.
    ///
    /// [Deduplication](crate::deduplicate) takes deliveries that differ in anything for different
    /// ones, unless it is told otherwise. A member that all events have is `eventDate`.
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
    /// A [`SetError`] when there is no such place, or the value has no form in JSON.
    pub fn set(self, path: &str, value: impl Serialize) -> Result<Self, SetError> {
        let value = serde_json::to_string(&value).map_err(SetError::Value)?;
        edit::set(&self.body, path, &value).map(Self::from_body)
    }

    /// The event's name; empty when the body has none.
    #[must_use]
    pub const fn name(&self) -> &EventName {
        &self.name
    }

    /// The body, as it will be sent.
    #[must_use]
    pub const fn body(&self) -> &Bytes {
        &self.body
    }

    /// Signs as Twenty does, as of now.
    #[must_use]
    pub fn sign(&self, signer: &Signer) -> SignedDelivery {
        self.sign_at(signer, SystemClock.now())
    }

    /// Signs as Twenty does, as of a time of your choice: for a verifier with a
    /// [`FixedClock`](crate::verify::FixedClock).
    #[must_use]
    pub fn sign_at(&self, signer: &Signer, timestamp: Timestamp) -> SignedDelivery {
        SignedDelivery::new(self.body.clone(), signer.sign_at(timestamp, &self.body).pairs())
    }

    /// The event as a handler takes it, to call the handler without HTTP. It is read like any
    /// delivery, and rejected when it is about another object.
    ///
    /// For tests only: the body is signed on the spot, with a secret that nobody has. So the event
    /// says nothing about where the body comes from, and its signature verifies nowhere.
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
    /// [`EventErrorKind`](crate::event::EventErrorKind), as [`WebhookEvent::from_verified`].
    pub fn into_event<T: FromRecord>(self) -> Result<WebhookEvent<T>, EventError> {
        Verified::for_tests(self.body).into_event()
    }

    /// Makes a delivery that must be refused, as of now.
    #[must_use]
    pub fn forge(&self, forgery: Forgery, signer: &Signer) -> SignedDelivery {
        self.forge_at(forgery, signer, SystemClock.now())
    }

    /// Makes a delivery that must be refused, as of a time of your choice.
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
