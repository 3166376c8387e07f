//! The values inside records: ids, composite fields, open selects.
//!
//! All types accept what different versions of Twenty send: every member is optional, `null` reads
//! as `None`, and numbers may be text. They are serialized as Twenty writes them, without members
//! that are absent or `null`, so your own types that contain them can derive `Serialize`. The names
//! are Twenty's, in Rust's case. They come from `composite-types` in Twenty's shared package.

mod actor;
mod address;
mod currency;
mod date;
mod decimal;
mod id;
mod people;
mod rich_text;
mod select;
mod time;
mod web;

pub use actor::{Actor, ActorContext, ActorSource};
pub use address::Address;
pub use currency::Currency;
pub use date::Date;
pub use decimal::Decimal;
pub use id::Id;
/// A point in time (`DATE_TIME`). This is [`jiff::Timestamp`], re-exported so that your types need
/// no `jiff` in their `Cargo.toml`.
pub use jiff::Timestamp as DateTime;
pub use people::{Emails, FullName, PhoneNumber, Phones};
pub use rich_text::RichText;
pub(in crate::event) use select::select;
pub(super) use time::{Time, time, write_number, write_time};
pub use web::{FileRef, Link, Links};

/// The names of the members of composite fields, in contrast to keys that may be data.
pub(super) const COMPOSITE_MEMBERS: &[&str] = &[
    "additionalEmails",
    "additionalPhones",
    "addressCity",
    "addressCountry",
    "addressLat",
    "addressLng",
    "addressPostcode",
    "addressState",
    "addressStreet1",
    "addressStreet2",
    "addressStreet3",
    "agentId",
    "amountMicros",
    "applicationId",
    "blocknote",
    "context",
    "currencyCode",
    "firstName",
    "lastName",
    "markdown",
    "name",
    "primaryEmail",
    "primaryLinkLabel",
    "primaryLinkUrl",
    "primaryPhoneCallingCode",
    "primaryPhoneCountryCode",
    "primaryPhoneNumber",
    "provider",
    "secondaryLinks",
    "source",
    "workspaceMemberId",
];

/// Implements `Debug` without content, because records contain personal data, which must not be in
/// logs.
macro_rules! no_content_in_debug {
    ($($Name:ident),*) => {
        $(impl ::std::fmt::Debug for $Name {
            fn fmt(&self, f: &mut ::std::fmt::Formatter<'_>) -> ::std::fmt::Result {
                f.debug_struct(stringify!($Name)).finish_non_exhaustive()
            }
        })*
    };
}
use no_content_in_debug;
