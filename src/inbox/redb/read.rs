//! Reads, which change nothing.

use std::time::Duration;

use bytes::Bytes;
use redb::{ReadTransaction, ReadableTable, ReadableTableMetadata};

use super::{
    super::{
        DeadLetter, EventId, Stats, StoredEvent,
        store::{PAGE_BYTES, Take, Taken},
    },
    Failure,
    rows::{Dead, KeyState, Progress, time_key, time_of},
    tables::{
        DEAD, DEAD_EVENTS, DELAYED, EVENTS, EXPIRY, KEYS, META, META_BYTES, META_SCHEMA, READY, RUNNING, SUSPECT,
    },
};
use crate::verify::Timestamp;

type Result<T> = std::result::Result<T, Failure>;

/// Returns whether a take may find events, or has to correct due times.
pub(super) fn is_there_work(transaction: &ReadTransaction, take: &Take, now: Timestamp) -> Result<bool> {
    let delayed = transaction.open_table(DELAYED)?;
    let longest = now.saturating_add(take.longest_delay).as_millis();
    if delayed.last()?.is_some_and(|(key, _)| time_of(key.value()) > longest) {
        return Ok(true);
    }
    if take.alone {
        return Ok(!transaction.open_table(SUSPECT)?.is_empty()?);
    }
    let is_due = delayed.first()?.is_some_and(|(key, _)| time_of(key.value()) <= now.as_millis());
    Ok(is_due || !transaction.open_table(READY)?.is_empty()?)
}

/// Returns the result of a take that finds nothing.
pub(super) fn nothing_to_take(transaction: &ReadTransaction, take: &Take, now: Timestamp) -> Result<Taken> {
    Ok(Taken {
        suspects: !take.alone && !transaction.open_table(SUSPECT)?.is_empty()?,
        next_due: next_due(&transaction.open_table(DELAYED)?, now)?,
        ..Taken::default()
    })
}

/// Returns the time until the next delayed event is due.
pub(super) fn next_due(delayed: &impl ReadableTable<u128, &'static [u8]>, now: Timestamp) -> Result<Option<Duration>> {
    let from = time_key(now.as_millis().saturating_add(1), 0);
    let next = delayed.range(from..)?.next().transpose()?;
    Ok(next.map(|(key, _)| Timestamp::from_millis(time_of(key.value())).saturating_since(now)))
}

pub(super) fn schema(transaction: &ReadTransaction) -> Result<Option<u64>> {
    match transaction.open_table(META) {
        Ok(meta) => Ok(meta.get(META_SCHEMA)?.map(|schema| schema.value())),
        Err(redb::TableError::TableDoesNotExist(_)) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

pub(super) fn stats(transaction: &ReadTransaction) -> Result<Stats> {
    let len = |table| -> Result<u64> { Ok(transaction.open_table::<u64, &[u8]>(table)?.len()?) };
    let events = transaction.open_table(EVENTS)?;
    let oldest = events.first()?.map(|(_, bytes)| StoredEvent::accepted_at(bytes.value()));
    Ok(Stats {
        ready: len(READY)?.saturating_add(len(SUSPECT)?),
        delayed: transaction.open_table(DELAYED)?.len()?,
        running: len(RUNNING)?,
        dead: len(DEAD)?,
        bytes: transaction.open_table(META)?.get(META_BYTES)?.map(|bytes| bytes.value()).unwrap_or_default(),
        remembered_keys: transaction.open_table(EXPIRY)?.len()?,
        oldest_pending: oldest.flatten(),
    })
}

pub(super) fn dead_letters(transaction: &ReadTransaction, after: u64, limit: usize) -> Result<Vec<(u64, DeadLetter)>> {
    let dead = transaction.open_table(DEAD)?;
    let events = transaction.open_table(DEAD_EVENTS)?;
    let mut letters = Vec::new();
    let mut bytes = 0_usize;
    for entry in dead.range(after.saturating_add(1)..)? {
        let (place, value) = entry?;
        let place = place.value();
        let Some(letter) = dead_letter_at(&events, place, value.value())? else { continue };
        bytes = bytes.saturating_add(letter.body().len());
        letters.push((place, letter));
        if letters.len() == limit || bytes >= PAGE_BYTES {
            break;
        }
    }
    Ok(letters)
}

pub(super) fn dead_letter(transaction: &ReadTransaction, id: EventId) -> Result<Option<DeadLetter>> {
    let dead = transaction.open_table(DEAD)?;
    let Some(place) = dead_place(&transaction.open_table(KEYS)?, &dead, id)? else { return Ok(None) };
    let Some(value) = dead.get(place)? else { return Ok(None) };
    dead_letter_at(&transaction.open_table(DEAD_EVENTS)?, place, value.value())
}

fn dead_letter_at(
    events: &impl ReadableTable<u64, &'static [u8]>,
    place: u64,
    value: &[u8],
) -> Result<Option<DeadLetter>> {
    let Dead { progress, died_at, reason, message } = Dead::decode(value)?;
    let event = events.get(place)?.and_then(|bytes| StoredEvent::decode(Bytes::copy_from_slice(bytes.value())));
    let Progress { attempts, interruptions, .. } = progress;
    Ok(event.map(|event| DeadLetter { event, attempts, interruptions, died_at, reason, message }))
}

/// Returns the place of the dead letter whose key begins with this id.
pub(super) fn dead_place(
    keys: &impl ReadableTable<&'static [u8], &'static [u8]>,
    dead: &impl ReadableTable<u64, &'static [u8]>,
    id: EventId,
) -> Result<Option<u64>> {
    for entry in keys.range(id.as_bytes().as_slice()..)? {
        let (key, state) = entry?;
        if !key.value().starts_with(id.as_bytes()) {
            break;
        }
        if let Some(KeyState::Open(place)) = KeyState::decode(state.value())
            && dead.get(place)?.is_some()
        {
            return Ok(Some(place));
        }
    }
    Ok(None)
}
