//! Typed events in verified deliveries.
//!
//! Handlers take a [`WebhookEvent`]. By default it accepts any event, and you can `match` on its
//! record:
//!
//! ```
//! use twenty_webhook::event::{Action, Record, WebhookEvent};
//!
//! fn on_event(event: WebhookEvent) -> String {
//!     match &event.record {
//!         Record::Person(person) if *event.name.action() == Action::Created => {
//!             format!("a new person: {}", person.display_name().unwrap_or_default())
//!         }
//!         Record::Company(company) if event.changed("domainName") => {
//!             format!("{} has moved", company.name.as_deref().unwrap_or("a company"))
//!         }
//!         // a custom object, or one that this crate has no type for
//!         Record::Custom(record) if record.object() == "subscription" => {
//!             format!("plan: {}", record.get("plan").and_then(|plan| plan.to_text()).unwrap_or_default())
//!         }
//!         Record::Metadata(change) => format!("the data model changed: {}", change.metadata_name()),
//!         _ => format!("nothing to do for {}", event.name),
//!     }
//! }
//! # let signed = |body: &'static str| {
//! #     use twenty_webhook::verify::*;
//! #     let headers = Signer::new("s").unwrap().sign(body).pairs();
//! #     WebhookEvent::from_verified(Verifier::new("s").unwrap().verify(headers, body).unwrap()).unwrap()
//! # };
//! # assert_eq!(
//! #     on_event(signed(r#"{"eventName":"person.created","record":{"name":{"firstName":"Ada","lastName":"Lovelace"}}}"#)),
//! #     "a new person: Ada Lovelace"
//! # );
//! # assert_eq!(
//! #     on_event(signed(r#"{"eventName":"company.updated","record":{"name":"Acme"},"updatedFields":["domainName"]}"#)),
//! #     "Acme has moved"
//! # );
//! # assert_eq!(on_event(signed(r#"{"eventName":"subscription.created","record":{"plan":"PRO"}}"#)), "plan: PRO");
//! # assert_eq!(on_event(signed(r#"{"eventName":"rocket.archived","record":{}}"#)), "nothing to do for rocket.archived");
//! # assert_eq!(
//! #     on_event(signed(r#"{"eventName":"metadata.view.created","event":{"metadataName":"view"}}"#)),
//! #     "the data model changed: view"
//! # );
//! ```
//!
//! # One object only
//!
//! `WebhookEvent<Person>` accepts only events of people. It rejects all other events by their
//! names, so a company never becomes an empty person.
//!
//! # Your own objects
//!
//! Any type that implements [`serde::Deserialize`] can be the record. The name of a struct is the
//! name of its object, with a lower-case first letter, and events of other objects are rejected as
//! with the standard types. `#[serde(rename = "…")]` names another object, `#[serde(rename = "*")]`
//! accepts any. Types without a name, such as maps and structs with `#[serde(flatten)]`, accept any
//! event: [`FromRecord`] has the rules. Make fields `Option`: Twenty sends `null` for empty fields
//! and leaves fields out of deleted records, and admins remove fields.
//!
//! ```
//! use serde::Deserialize;
//! use twenty_webhook::event::{EventErrorKind, WebhookEvent, field::Currency};
//!
//! #[derive(Deserialize)]
//! #[serde(rename_all = "camelCase")] // Twenty's field names
//! struct Subscription {
//!     plan: Option<String>,
//!     mrr: Option<Currency>,
//! }
//! # let signed = |body: &'static str| {
//! #     use twenty_webhook::verify::*;
//! #     let headers = Signer::new("s").unwrap().sign(body).pairs();
//! #     Verifier::new("s").unwrap().verify(headers, body).unwrap()
//! # };
//! # let subscription_created = signed(r#"{"eventName":"subscription.created","record":{"plan":"PRO","mrr":null}}"#);
//! # let company_created = signed(r#"{"eventName":"company.created","record":{"name":"Acme"}}"#);
//!
//! let event = WebhookEvent::<Subscription>::from_verified(subscription_created)?;
//! assert_eq!(event.record.plan.as_deref(), Some("PRO"));
//!
//! let refused = WebhookEvent::<Subscription>::from_verified(company_created).unwrap_err();
//! assert_eq!(refused.kind(), EventErrorKind::WrongObject);
//! # Ok::<(), twenty_webhook::event::EventError>(())
//! ```
//!
//! # Custom fields of standard objects
//!
//! [`With<Person, PersonFields>`](With) reads a standard record and your own struct from the same
//! object. Do not use `#[serde(flatten)]` for this; the documentation of [`With`] shows why.
//!
//! # Times
//!
//! Times are [`jiff::Timestamp`]s. To convert one for the crate `chrono`, use
//! `chrono::DateTime::from_timestamp_millis(time.as_millisecond())`. To convert back, pass
//! `timestamp_millis()` to `jiff::Timestamp::from_millisecond`.
//!
//! # As JSON
//!
//! The standard records, the types in [`field`], [`EventName`], [`Action`] and [`RawJson`]
//! implement `Serialize`, so your own types that contain them can derive it. They are written as
//! Twenty writes them, without members that are absent or `null`. Reading them again gives an equal
//! value. However, a field that was `null` and a field that was not sent look the same: to
//! distinguish them, keep [`WebhookEvent::body`]. An [`Actor`](field::Actor) is always written as
//! an object, and an amount as a number.
//!
//! # Members of unexpected types
//!
//! A member of an unexpected type does not make reading fail. Its field is `None`,
//! [`WebhookEvent::unexpected`] reports its path and type, and [`WebhookEvent::raw_record`] still
//! contains it. The record is exactly what `serde_json` would read if these members were missing.
//! Unknown members are ignored. If several members have the same name, the first one counts and the
//! others are reported.
//!
//! In your own type, an unexpected value anywhere inside a field leaves out the whole field. In one
//! of Twenty's composite fields, only the inner member is left out. If the composite's type
//! requires this member, the whole composite is left out. So make all fields of your types
//! `Option`. The event is rejected if a required field is missing, if
//! `#[serde(deny_unknown_fields)]` applies, or if a name does not fit the keys of a map. It is also
//! rejected if a value below a `#[serde(flatten)]` or in an untagged or internally tagged enum has
//! an unexpected type, because serde does not report which member failed there.

mod envelope;
mod error;
pub mod field;
mod heading;
mod json;
mod name;
mod pattern;
mod raw;
pub mod record;
#[cfg(feature = "receiver")]
mod routes;
mod unexpected;
mod webhook_event;
mod wire;

pub use error::{EventError, EventErrorKind};
pub(crate) use heading::Heading;
pub(crate) use json::{Members, check_is_json, find_member};
pub use name::{Action, EventName};
pub use pattern::{EventPattern, PatternError};
pub(crate) use raw::range_in;
pub use raw::{JsonType, RawJson};
pub use record::{FromRecord, Record, With};
#[cfg(feature = "receiver")]
pub(crate) use routes::Routes;
pub use webhook_event::{ObjectMetadata, UnexpectedMember, WebhookEvent};
