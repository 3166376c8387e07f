//! Reads JSON for serde, in about half of `serde_json`'s time: accepts nothing that `serde_json`
//! rejects, and reads the same values.
//!
//! The text is UTF-8 already, and strings without escapes are borrowed. Numbers are left to
//! `serde_json`.
//!
//! Some types swallow errors: `Ok(T::deserialize(deserializer).ok())`. What is read behind such an
//! error depends on where the reader stands by then, so [`Reader`] goes where `serde_json` would
//! go. Where `serde_json` could not read on, as in the middle of an object, the reader is lost, and
//! its read counts as failed, whatever the type makes of it.

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
