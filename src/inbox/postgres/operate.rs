//! The commands of operators, and the removal of expired rows.

use std::{sync::atomic::Ordering::Relaxed, time::Duration};

use bytes::Bytes;
use tokio_postgres::{Row, types::Type};

use super::{
    super::{
        DeadLetter, DeadReason, EventId, InboxError, RecordKey, Stats, StoredEvent,
        store::{Step, Which},
    },
    Shared, count_of,
    link::{Parameter, unreadable},
    millis, signed,
    sql::{COUNTED, FORGET, STEP},
    take::count,
    unsigned,
};
use crate::verify::Timestamp;

/// The time limit for a statement.
const WITHIN: Duration = Duration::from_secs(30);

/// The number of rows in which one step searches for a record's events.
const WINDOW: i64 = 20_000;

pub(super) async fn maintain(shared: &Shared) -> Result<bool, InboxError> {
    let expired = shared.link.query(&shared.sql.expire, &[], WITHIN).await?;
    let (remember_for, keep_for) = (millis(shared.bounds.remember_for), millis(shared.bounds.keep_dead_for));
    let parameters: [Parameter<'_>; 2] = [(&remember_for, Type::INT8), (&keep_for, Type::INT8)];
    let retired = shared.link.query(&shared.sql.retire, &parameters, WITHIN).await?;
    Ok(expired.len() == FORGET || retired.len() == FORGET)
}

pub(super) async fn stats(shared: &Shared) -> Result<Stats, InboxError> {
    let rows = shared.link.query(&shared.sql.stats, &[], WITHIN).await?;
    let mut stats = Stats::default();
    for row in &rows {
        let (state, count, bytes, head) = read_count(row).map_err(|error| unreadable(&error))?;
        match state {
            // The states ready and suspect.
            0 | 3 => stats.ready = stats.ready.saturating_add(count),
            1 => stats.delayed = count,
            2 => stats.running = count,
            4 => stats.dead = count,
            5 => stats.remembered_keys = count,
            _ => stats.oldest_pending = head.and_then(StoredEvent::accepted_at),
        }
        stats.bytes = stats.bytes.saturating_add(bytes);
    }
    if stats.remembered_keys > COUNTED {
        let rows = shared.link.query(&shared.sql.estimate, &[(&shared.table, Type::TEXT)], WITHIN).await?;
        // The count is NULL if the table was deleted.
        let all: Option<i64> = rows.first().and_then(|row| row.try_get(0).ok().flatten());
        let others = [stats.ready, stats.delayed, stats.running, stats.dead];
        let others = others.into_iter().fold(0, u64::saturating_add);
        stats.remembered_keys = all.map_or(0, unsigned).saturating_sub(others).max(stats.remembered_keys);
    }
    Ok(stats)
}

/// State, number, bytes, and the first bytes of the oldest pending event.
type Count<'r> = (i16, u64, u64, Option<&'r [u8]>);

fn read_count(row: &Row) -> Result<Count<'_>, tokio_postgres::Error> {
    Ok((row.try_get(0)?, unsigned(row.try_get(1)?), unsigned(row.try_get(2)?), row.try_get(3)?))
}

pub(super) async fn dead_letters(
    shared: &Shared,
    mut after: u64,
    limit: usize,
) -> Result<Vec<(u64, DeadLetter)>, InboxError> {
    let mut letters = Vec::new();
    loop {
        let (position, most) = (signed(after), i64::try_from(limit).unwrap_or(i64::MAX));
        let parameters: [Parameter<'_>; 2] = [(&position, Type::INT8), (&most, Type::INT8)];
        let rows = shared.link.query(&shared.sql.dead_letters, &parameters, WITHIN).await?;
        for row in &rows {
            let (position, letter) = read_letter(row).map_err(|error| unreadable(&error))?;
            after = position;
            letters.extend(letter.map(|letter| (position, letter)));
        }
        // Unreadable rows are left out. A page without any letter would be the last one.
        if rows.is_empty() || !letters.is_empty() {
            return Ok(letters);
        }
    }
}

pub(super) async fn dead_letter(shared: &Shared, id: EventId) -> Result<Option<DeadLetter>, InboxError> {
    let (first, last) = keys_of(id);
    let parameters: [Parameter<'_>; 2] = [(&&first[..], Type::BYTEA), (&&last[..], Type::BYTEA)];
    let rows = shared.link.query(&shared.sql.dead_letter, &parameters, WITHIN).await?;
    let letter = rows.first().map(read_letter).transpose().map_err(|error| unreadable(&error))?;
    Ok(letter.and_then(|(_, letter)| letter))
}

fn read_letter(row: &Row) -> Result<(u64, Option<DeadLetter>), tokio_postgres::Error> {
    let event: Option<&[u8]> = row.try_get(1)?;
    let reason = row.try_get::<_, Option<i16>>(5)?.and_then(|reason| DeadReason::from_byte(u8::try_from(reason).ok()?));
    let message: Option<&str> = row.try_get(6)?;
    let (attempts, interruptions, died_at) = (count(row, 2)?, count(row, 3)?, unsigned(row.try_get(4)?));
    let letter = event.map(Bytes::copy_from_slice).and_then(StoredEvent::decode).map(|event| DeadLetter {
        event,
        attempts,
        interruptions,
        died_at: Timestamp::from_millis(died_at),
        reason: reason.unwrap_or(DeadReason::Unreadable),
        message: message.unwrap_or_default().into(),
    });
    Ok((unsigned(row.try_get(0)?), letter))
}

/// Returns the first and the last claim key that an event with this id can have.
fn keys_of(id: EventId) -> ([u8; 32], [u8; 32]) {
    let key = |end: u8| {
        let mut key = [end; 32];
        key.iter_mut().zip(id.as_bytes()).for_each(|(to, byte)| *to = *byte);
        key
    };
    (key(0), key(u8::MAX))
}

pub(super) async fn redrive(shared: &Shared, which: Which) -> Result<Step, InboxError> {
    let rows = match which {
        Which::One(id) => {
            let (first, last) = keys_of(id);
            let parameters: [Parameter<'_>; 2] = [(&&first[..], Type::BYTEA), (&&last[..], Type::BYTEA)];
            shared.link.query(&shared.sql.redrive_one, &parameters, WITHIN).await?
        }
        Which::SomeAfter(after) => {
            let after = signed(after);
            shared.link.query(&shared.sql.redrive_some, &[(&after, Type::INT8)], WITHIN).await?
        }
    };
    if !rows.is_empty() {
        shared.redriven.fetch_add(u64::try_from(rows.len()).unwrap_or(u64::MAX), Relaxed);
        shared.work.notify_one();
        shared.announce.notify_one();
    }
    step(&rows)
}

pub(super) async fn purge(shared: &Shared, which: Which) -> Result<Step, InboxError> {
    let remember_for = millis(shared.bounds.remember_for);
    let rows = match which {
        Which::One(id) => {
            let (first, last) = keys_of(id);
            let parameters: [Parameter<'_>; 3] =
                [(&remember_for, Type::INT8), (&&first[..], Type::BYTEA), (&&last[..], Type::BYTEA)];
            shared.link.query(&shared.sql.purge_one, &parameters, WITHIN).await?
        }
        Which::SomeAfter(after) => {
            let after = signed(after);
            let parameters: [Parameter<'_>; 2] = [(&remember_for, Type::INT8), (&after, Type::INT8)];
            shared.link.query(&shared.sql.purge_some, &parameters, WITHIN).await?
        }
    };
    step(&rows)
}

fn step(rows: &[Row]) -> Result<Step, InboxError> {
    let positions = rows.iter().map(|row| row.try_get(0).map(unsigned).map_err(|error| unreadable(&error)));
    let positions: Vec<u64> = positions.collect::<Result<_, _>>()?;
    let last = if positions.len() == STEP { positions.iter().max().copied() } else { None };
    Ok(Step { count: count_of(&positions), last })
}

pub(super) async fn erase(shared: &Shared, record: RecordKey) -> Result<u64, InboxError> {
    let rows = shared.link.query(&shared.sql.range, &[], WITHIN).await?;
    let range = rows.first().and_then(|row| Some((row.try_get(0).ok().flatten()?, row.try_get(1).ok().flatten()?)));
    // An empty table has no range.
    let Some((first, last)): Option<(i64, i64)> = range else { return Ok(0) };
    let remember_for = millis(shared.bounds.remember_for);
    let mut from = first;
    let mut sum = 0_u64;
    while from <= last {
        let to = from.saturating_add(WINDOW);
        let record = record.as_bytes().as_slice();
        let parameters: [Parameter<'_>; 4] =
            [(&remember_for, Type::INT8), (&from, Type::INT8), (&to, Type::INT8), (&record, Type::BYTEA)];
        let rows = shared.link.query(&shared.sql.erase, &parameters, WITHIN).await?;
        sum = sum.saturating_add(count_of(&rows));
        from = to;
    }
    Ok(sum)
}
