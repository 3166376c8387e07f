//! Reads JSON for serde, in about half of `serde_json`'s time. It accepts only what `serde_json`
//! accepts, and reads the same values.
//!
//! The text has been checked to be UTF-8, and strings without escapes are borrowed. `serde_json`
//! reads the numbers.
//!
//! Some types ignore errors: `Ok(T::deserialize(deserializer).ok())`. What they read after an error
//! depends on the reader's position, so [`Reader`] moves to the position of `serde_json`. Where
//! `serde_json` could not continue, as in the middle of an object, the reader is lost, and its read
//! counts as failed, whatever the type returns.

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
pub(super) use reader::{Failure, NotRead, Reader};

#[cfg(test)]
mod tests;
