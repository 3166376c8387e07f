//! Reads JSON for serde, in about half of `serde_json`'s time. It accepts only what `serde_json`
//! accepts, and reads the same values.
//!
//! The text has been checked to be UTF-8, and strings without escapes are borrowed. `serde_json`
//! reads the numbers.
//!
//! Some types ignore errors: `Ok(T::deserialize(deserializer).ok())`. What such a type reads next
//! depends on the position of the reader after the error, so [`Reader`] moves to the same position
//! as `serde_json`. If `serde_json` could not continue there, for example in the middle of an
//! object, the reader is *lost*. A lost reader's read counts as failed, even if the type returns a
//! value.

mod access;
mod deserializer;
mod members;
mod place;
mod reader;
mod repeated;
mod scan;

pub(super) use access::Inside;
pub(super) use deserializer::RAW_JSON;
pub(super) use members::{Member, OddName, odd_names};
pub(crate) use members::{Members, check_is_json, find_member};
pub(super) use reader::{Failure, LEVELS, NotRead, Reader};

#[cfg(test)]
mod tests;
