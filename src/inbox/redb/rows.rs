//! The rows of the tables.

use bytes::{Buf, BufMut};
use redb::StorageError;

use super::{
    super::{DeadReason, RecordKey},
    Failure,
};
use crate::verify::Timestamp;

type Result<T> = std::result::Result<T, Failure>;

/// Returns a key that sorts by time, then by place.
pub(super) const fn time_key(millis: u64, place: u64) -> u128 {
    (millis as u128) << 64 | place as u128
}

#[expect(clippy::cast_possible_truncation, reason = "the lower half")]
pub(super) const fn place_of(key: u128) -> u64 {
    key as u64
}

pub(super) const fn time_of(key: u128) -> u64 {
    (key >> 64) as u64
}

/// The state of an event, without its bytes.
#[derive(Clone, Copy)]
pub(super) struct Progress {
    pub(super) record: RecordKey,
    pub(super) attempts: u32,
    pub(super) interruptions: u32,
    pub(super) token: u64,
}

impl Progress {
    const LEN: usize = 16 + 4 + 4 + 8;

    pub(super) const fn new(record: RecordKey) -> Self {
        Self { record, attempts: 0, interruptions: 0, token: 0 }
    }

    pub(super) fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(Self::LEN);
        bytes.put_slice(self.record.as_bytes());
        bytes.put_u32(self.attempts);
        bytes.put_u32(self.interruptions);
        bytes.put_u64(self.token);
        bytes
    }

    pub(super) fn decode(mut bytes: &[u8]) -> Result<Self> {
        Self::read(&mut bytes).ok_or_else(damaged)
    }

    fn read(bytes: &mut &[u8]) -> Option<Self> {
        let mut record = [0; 16];
        bytes.try_copy_to_slice(&mut record).ok()?;
        Some(Self {
            record: RecordKey::from_bytes(record),
            attempts: bytes.try_get_u32().ok()?,
            interruptions: bytes.try_get_u32().ok()?,
            token: bytes.try_get_u64().ok()?,
        })
    }
}

pub(super) struct Dead {
    pub(super) progress: Progress,
    pub(super) died_at: Timestamp,
    pub(super) reason: DeadReason,
    pub(super) message: Box<str>,
}

impl Dead {
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut bytes = self.progress.encode();
        bytes.put_u64(self.died_at.as_millis());
        bytes.put_u8(self.reason.to_byte());
        bytes.put_slice(self.message.as_bytes());
        bytes
    }

    pub(super) fn decode(mut bytes: &[u8]) -> Result<Self> {
        let mut read = || {
            Some(Self {
                progress: Progress::read(&mut bytes)?,
                died_at: Timestamp::from_millis(bytes.try_get_u64().ok()?),
                reason: DeadReason::from_byte(bytes.try_get_u8().ok()?)?,
                message: std::str::from_utf8(bytes).ok()?.into(),
            })
        };
        read().ok_or_else(damaged)
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum KeyState {
    /// The event is pending or dead, at this place.
    Open(u64),
    /// The event is completed. The key expires at this time.
    Completed(u64),
}

impl KeyState {
    pub(super) fn encode(self) -> [u8; 9] {
        let (kind, number) = match self {
            Self::Open(place) => (0, place),
            Self::Completed(expires) => (1, expires),
        };
        let mut bytes = [kind; 9];
        bytes.iter_mut().skip(1).zip(number.to_be_bytes()).for_each(|(to, byte)| *to = byte);
        bytes
    }

    pub(super) fn decode(mut bytes: &[u8]) -> Option<Self> {
        match bytes.try_get_u8().ok()? {
            0 => Some(Self::Open(bytes.try_get_u64().ok()?)),
            1 => Some(Self::Completed(bytes.try_get_u64().ok()?)),
            _ => None,
        }
    }
}

fn damaged() -> Failure {
    Failure(redb::Error::from(StorageError::Corrupted("a row of the inbox cannot be read".to_owned())))
}
