//! What happened: the typed event inside a verified delivery.
//!
//! [`WebhookEvent`] is the type that handlers take. It takes any event by default and reads well in
//! a `match`:
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
//!         // an object of your own, or one that this crate does not type yet
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
//! `WebhookEvent<Person>` takes a person's events and refuses all others by name; it never turns a
//! company into an empty person.
//!
//! # Your own objects
//!
//! Any type that implements [`serde::Deserialize`] can be the record. The name of a struct is the
//! name of its object, with a lower-case first letter, and events of other objects are rejected as
//! with the standard types. `#[serde(rename = "…")]` names another object, `#[serde(rename = "*")]`
//! accepts any. Types without a name, such as maps and structs with `#[serde(flatten)]`, accept any
//! event: [`FromRecord`] has the rules. Make fields `Option`: Twenty sends `null` for what is
//! empty, leaves fields out of deleted records, and admins remove fields.
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
//! [`With<Person, PersonFields>`](With) reads a standard record and a struct of yours from the same
//! object. Do not use `#[serde(flatten)]` for it: [`With`] shows why not.
//!
//! # Times
//!
//! Times are [`jiff::Timestamp`]s. With the crate `chrono`, convert them:
//! `chrono::DateTime::from_timestamp_millis(time.as_millisecond())`. The other way,
//! `jiff::Timestamp::from_millisecond` takes `timestamp_millis()`.
//!
//! # As JSON
//!
//! The standard records, the types in [`field`], [`EventName`], [`Action`] and [`RawJson`]
//! implement `Serialize`, so types of your own that hold them can derive it. They are written as
//! Twenty writes them, without members that are absent or `null`. So what is read again is equal,
//! but a field that was `null` and one that was not sent look alike: keep [`WebhookEvent::body`] to
//! tell them apart. An [`Actor`](field::Actor) is written as an object and an amount as a number,
//! whichever form was sent.
//!
//! # Members of unexpected types
//!
//! A member of an unexpected type never loses the event. It reads as absent,
//! [`WebhookEvent::unexpected`] says where and what it was, and [`WebhookEvent::raw_record`] still
//! has it. The record is then what `serde_json` reads from the record without exactly these
//! members. Unknown members are ignored. Of members with the same name the first counts, and the
//! others are reported.
//!
//! In a type of your own, an unexpected value anywhere inside of a field leaves out that whole
//! field, unless it is a member of one of Twenty's composite fields. Make such fields `Option`.
//! These reject the event instead: a required field that is missing,
//! `#[serde(deny_unknown_fields)]`, and whatever fails below a `#[serde(flatten)]` or in an
//! untagged enum, where serde does not say which member it was.

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
