//! The ids of events and records.

use std::{fmt, str::FromStr};

use bytes::Bytes;
use sha2::{Digest, Sha256};

use super::{InboxError, InboxErrorKind};
use crate::{
    deduplicate::ClaimKey,
    event::{RawJson, find_member},
    lower_hex,
};

/// Identifies an event in the inbox. It is the same on each attempt, after a restart, and for each
/// duplicate.
///
/// If your handler's work must happen only once, use the id as an idempotency key or in a unique
/// column. It is the beginning of the event's [`ClaimKey`], written as 32 lower-case hexadecimal
/// digits.
///
/// ```
/// use twenty_webhook::inbox::EventId;
///
/// let id: EventId = "c29b14b4e7a1bd0a5d2c61ad9f4e9d3a".parse()?;
/// assert_eq!(id.to_string(), "c29b14b4e7a1bd0a5d2c61ad9f4e9d3a");
/// # Ok::<(), twenty_webhook::inbox::InboxError>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EventId([u8; 16]);

impl EventId {
    /// Returns the bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }
}

impl From<ClaimKey> for EventId {
    fn from(key: ClaimKey) -> Self {
        Self(first_half(key.as_bytes()))
    }
}

impl FromStr for EventId {
    type Err = InboxError;

    fn from_str(text: &str) -> Result<Self, InboxError> {
        let invalid =
            || InboxError::new(InboxErrorKind::Settings, "invalid event id: expected 32 lower-case hexadecimal digits");
        let (digits, []) = text.as_bytes().as_chunks::<2>() else { return Err(invalid()) };
        let digits = digits.try_into().map_err(|_| invalid())?;
        lower_hex::decode(digits).map(Self).ok_or_else(invalid)
    }
}

impl fmt::Display for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "EventId({self})")
    }
}

/// Identifies the record of an event, by a digest of the record's id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct RecordKey([u8; 16]);

impl RecordKey {
    /// The key of events without a record's id, which are unrelated to each other.
    pub(crate) const NONE: Self = Self([0; 16]);

    pub(crate) fn of_id(id: &str) -> Self {
        Self(first_half(&Sha256::digest(id.as_bytes()).into()))
    }

    /// Returns the key of a delivery's record: from `record.id`, or for a metadata event from
    /// `event.recordId`.
    pub(crate) fn of_body(body: &Bytes) -> Self {
        let Ok(text) = std::str::from_utf8(body) else { return Self::NONE };
        let id = ["record", "data"].iter().find_map(|name| find_member(text, name));
        let id = match id {
            Some(record) => find_member(record, "id"),
            None => find_member(text, "event").and_then(|event| find_member(event, "recordId")),
        };
        let id = id.and_then(|id| id.parse::<RawJson>().ok()).and_then(|id| id.to_text());
        id.map_or(Self::NONE, |id| Self::of_id(&id))
    }

    pub(crate) const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    pub(crate) const fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }
}

fn first_half(digest: &[u8; 32]) -> [u8; 16] {
    let (halves, _) = digest.as_chunks::<16>();
    halves.first().copied().unwrap_or_default()
}
