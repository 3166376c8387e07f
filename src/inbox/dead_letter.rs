use std::{collections::VecDeque, fmt, sync::Arc};

use bytes::Bytes;

use super::{EventId, InboxError, StoredEvent, store::Store};
use crate::{
    event::{EventName, Heading},
    verify::{SignatureHeaders, Timestamp, Verified},
};

/// An event without further attempts. The inbox keeps its whole body until you
/// [redrive](super::Inbox::redrive) or [purge](super::Inbox::purge) it, or its retention ends.
///
/// `Debug` shows no content.
#[derive(Clone)]
pub struct DeadLetter {
    pub(crate) event: StoredEvent,
    pub(crate) attempts: u32,
    pub(crate) interruptions: u32,
    pub(crate) died_at: Timestamp,
    pub(crate) reason: DeadReason,
    pub(crate) message: Box<str>,
}

/// Why an event is a dead letter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum DeadReason {
    /// The handler reported a permanent failure.
    Permanent,
    /// The handler failed in all attempts of the [`RetryPolicy`](super::RetryPolicy).
    Exhausted,
    /// The process ended during several consecutive attempts, possibly because of this event.
    Interrupted,
    /// The verified body does not fit the handler's type, or is not JSON.
    Mismatch,
    /// The stored event cannot be read.
    Unreadable,
}

impl DeadReason {
    /// Returns the name in lower case, as in metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Permanent => "permanent",
            Self::Exhausted => "exhausted",
            Self::Interrupted => "interrupted",
            Self::Mismatch => "mismatch",
            Self::Unreadable => "unreadable",
        }
    }

    pub(crate) const fn to_byte(self) -> u8 {
        match self {
            Self::Permanent => 1,
            Self::Exhausted => 2,
            Self::Interrupted => 3,
            Self::Mismatch => 4,
            Self::Unreadable => 5,
        }
    }

    pub(crate) const fn from_byte(byte: u8) -> Option<Self> {
        Some(match byte {
            1 => Self::Permanent,
            2 => Self::Exhausted,
            3 => Self::Interrupted,
            4 => Self::Mismatch,
            5 => Self::Unreadable,
            _ => return None,
        })
    }
}

impl fmt::Display for DeadReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl DeadLetter {
    /// Returns the event's id.
    #[must_use]
    pub fn id(&self) -> EventId {
        self.event.key.into()
    }

    /// Returns the event's name; empty if the body has none.
    #[must_use]
    pub fn name(&self) -> EventName {
        Heading::read_name(self.body()).unwrap_or_else(|| EventName::new(""))
    }

    /// Returns when the event was accepted.
    #[must_use]
    pub const fn received_at(&self) -> Timestamp {
        self.event.accepted_at
    }

    /// Returns when the event became a dead letter.
    #[must_use]
    pub const fn died_at(&self) -> Timestamp {
        self.died_at
    }

    /// Returns the number of attempts that ended.
    #[must_use]
    pub const fn attempts(&self) -> u32 {
        self.attempts
    }

    /// Returns the number of consecutive attempts during which the process ended.
    #[must_use]
    pub const fn interruptions(&self) -> u32 {
        self.interruptions
    }

    /// Returns why the event is a dead letter.
    #[must_use]
    pub const fn reason(&self) -> DeadReason {
        self.reason
    }

    /// Returns the text of the handler's last error, with its sources, escaped and truncated to 500
    /// bytes.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.message
    }

    /// Returns the body, byte for byte as it was signed.
    #[must_use]
    pub const fn body(&self) -> &Bytes {
        self.event.verified.body()
    }

    /// Returns the signature headers. Together with the body they are a capture that
    /// `twenty-webhook verify` and `replay` can read.
    #[must_use]
    pub fn signature_headers(&self) -> SignatureHeaders {
        self.event.verified.signature_headers()
    }

    /// Returns the verified delivery, for example to read its event.
    #[must_use]
    pub const fn verified(&self) -> &Verified {
        &self.event.verified
    }
}

impl fmt::Debug for DeadLetter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DeadLetter")
            .field("id", &self.id())
            .field("reason", &self.reason)
            .field("attempts", &self.attempts)
            .field("received_at", &self.received_at())
            .field("died_at", &self.died_at)
            .finish_non_exhaustive()
    }
}

/// The dead letters of an inbox, in the order in which they were accepted. They are read a few at a
/// time.
#[derive(Debug)]
pub struct DeadLetters {
    store: Arc<dyn Store>,
    page: VecDeque<DeadLetter>,
    after: Option<u64>,
}

impl DeadLetters {
    /// The maximum number of dead letters in memory at a time. If they are long, there are fewer.
    const PAGE: usize = 16;

    pub(super) fn new(store: Arc<dyn Store>) -> Self {
        Self { store, page: VecDeque::new(), after: Some(0) }
    }

    /// Returns the next dead letter.
    ///
    /// # Errors
    /// Fails if the store cannot be read.
    pub async fn next(&mut self) -> Result<Option<DeadLetter>, InboxError> {
        if self.page.is_empty()
            && let Some(after) = self.after
        {
            let page = self.store.dead_letters(after, Self::PAGE).await?;
            self.after = page.last().map(|(position, _)| *position);
            self.page.extend(page.into_iter().map(|(_, letter)| letter));
        }
        Ok(self.page.pop_front())
    }
}
