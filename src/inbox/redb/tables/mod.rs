//! The tables in the file, and the operations that change them inside a transaction.
//!
//! Keys and values are integers and bytes in this crate's own encoding, so every version of redb
//! reads them in the same way.

mod take;

use std::collections::HashMap;

use redb::{ReadableTable, ReadableTableMetadata, Table, TableDefinition, WriteTransaction};

use super::{
    super::{
        DeadReason, InboxError, InboxErrorKind, RecordKey, StoredEvent,
        store::{ALONE_FROM, Bounds, End, KEY_MARGIN, Lease, NewEvent, Put, Step, Which},
    },
    Failure,
    read::dead_place,
    rows::{Dead, KeyState, Progress, place_of, time_key},
};
use crate::{deduplicate::ClaimKey, verify::Timestamp};

/// The number of this layout. A file with a higher number is rejected.
pub(super) const SCHEMA: u64 = 1;

type Result<T> = std::result::Result<T, Failure>;
type Numbered<'a> = TableDefinition<'a, u64, &'static [u8]>;

/// Numbers by name.
pub(super) const META: TableDefinition<'_, &str, u64> = TableDefinition::new("meta");
/// Pending events, by their place in the order of acceptance; see [`StoredEvent`].
pub(super) const EVENTS: Numbered<'_> = TableDefinition::new("events");
/// [`Progress`] of the events that can be taken.
pub(super) const READY: Numbered<'_> = TableDefinition::new("ready");
/// [`Progress`] of the events that run alone.
pub(super) const SUSPECT: Numbered<'_> = TableDefinition::new("suspect");
/// [`Progress`] of the events that were taken.
pub(super) const RUNNING: Numbered<'_> = TableDefinition::new("running");
/// [`Progress`] of delayed events, by due time and place.
pub(super) const DELAYED: TableDefinition<'_, u128, &[u8]> = TableDefinition::new("delayed");
/// [`Dead`], by place.
pub(super) const DEAD: Numbered<'_> = TableDefinition::new("dead");
/// The events of dead letters, by place.
pub(super) const DEAD_EVENTS: Numbered<'_> = TableDefinition::new("dead_events");
/// The places of dead letters, by time of death and place.
const DEAD_TIMES: TableDefinition<'_, u128, &[u8]> = TableDefinition::new("dead_times");
/// [`KeyState`] by claim key.
pub(super) const KEYS: TableDefinition<'_, &[u8], &[u8]> = TableDefinition::new("keys");
/// Completed keys, by their time of expiry.
pub(super) const EXPIRY: TableDefinition<'_, &[u8], &[u8]> = TableDefinition::new("expiry");

pub(super) const META_SCHEMA: &str = "schema";
/// The next event's place.
const META_NEXT: &str = "next";
/// The next lease's token.
const META_TOKEN: &str = "token";
/// Bytes of pending events and dead letters.
pub(super) const META_BYTES: &str = "bytes";

/// The maximum number of keys and dead letters that one step forgets.
const FORGET: usize = 500;

/// The maximum number of dead letters that one step redrives or purges.
const STEP: usize = 100;

/// The numbers in [`META`] that change. They are read and written once per transaction.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Numbers {
    /// The next event's place, from 1 on.
    next: u64,
    /// The last lease's token.
    token: u64,
    /// Bytes of pending events and dead letters.
    bytes: u64,
}

pub(super) struct Tables<'t> {
    meta: Table<'t, &'static str, u64>,
    events: Table<'t, u64, &'static [u8]>,
    ready: Table<'t, u64, &'static [u8]>,
    suspect: Table<'t, u64, &'static [u8]>,
    running: Table<'t, u64, &'static [u8]>,
    delayed: Table<'t, u128, &'static [u8]>,
    dead: Table<'t, u64, &'static [u8]>,
    dead_events: Table<'t, u64, &'static [u8]>,
    dead_times: Table<'t, u128, &'static [u8]>,
    keys: Table<'t, &'static [u8], &'static [u8]>,
    expiry: Table<'t, &'static [u8], &'static [u8]>,
    /// The numbers as read from [`META`].
    before: Numbers,
    numbers: Numbers,
    /// Whether there is anything to commit.
    is_changed: bool,
}

impl<'t> Tables<'t> {
    pub(super) fn open(transaction: &'t WriteTransaction) -> Result<Self> {
        let meta = transaction.open_table(META)?;
        let number = |name| -> Result<u64> { Ok(meta.get(name)?.map(|number| number.value()).unwrap_or_default()) };
        let numbers =
            Numbers { next: number(META_NEXT)?.max(1), token: number(META_TOKEN)?, bytes: number(META_BYTES)? };
        Ok(Self {
            meta,
            events: transaction.open_table(EVENTS)?,
            ready: transaction.open_table(READY)?,
            suspect: transaction.open_table(SUSPECT)?,
            running: transaction.open_table(RUNNING)?,
            delayed: transaction.open_table(DELAYED)?,
            dead: transaction.open_table(DEAD)?,
            dead_events: transaction.open_table(DEAD_EVENTS)?,
            dead_times: transaction.open_table(DEAD_TIMES)?,
            keys: transaction.open_table(KEYS)?,
            expiry: transaction.open_table(EXPIRY)?,
            before: numbers,
            numbers,
            is_changed: false,
        })
    }

    /// Writes the numbers if they changed, and returns whether there is anything to commit.
    pub(super) fn close(mut self) -> Result<bool> {
        let Numbers { next, token, bytes } = self.numbers;
        for (name, number, before) in [
            (META_NEXT, next, self.before.next),
            (META_TOKEN, token, self.before.token),
            (META_BYTES, bytes, self.before.bytes),
        ] {
            if number != before {
                self.meta.insert(name, number)?;
            }
        }
        Ok(self.is_changed || self.numbers != self.before)
    }

    /// Creates the tables in a new file.
    pub(super) fn initialise(&mut self) -> Result<()> {
        self.meta.insert(META_SCHEMA, SCHEMA)?;
        self.is_changed = true;
        Ok(())
    }

    pub(super) fn put(&mut self, event: &NewEvent, bounds: &Bounds) -> Result<std::result::Result<Put, InboxError>> {
        let key = event.key.as_bytes().as_slice();
        if self.keys.get(key)?.is_some() {
            return Ok(Ok(Put::Duplicate));
        }
        let len = u64::try_from(event.bytes.len()).unwrap_or(u64::MAX);
        let bytes = self.numbers.bytes.saturating_add(len);
        if self.events.len()? >= bounds.max_pending || bytes > bounds.max_bytes {
            return Ok(Err(full()));
        }
        let place = self.numbers.next;
        self.numbers.next = place.saturating_add(1);
        self.numbers.bytes = bytes;
        self.events.insert(place, &*event.bytes)?;
        self.ready.insert(place, &*Progress::new(event.record).encode())?;
        self.keys.insert(key, KeyState::Open(place).encode().as_slice())?;
        self.is_changed = true;
        Ok(Ok(Put::Stored))
    }

    pub(super) fn end(&mut self, lease: Lease, end: &End, now: Timestamp, bounds: &Bounds) -> Result<bool> {
        let place = lease.event;
        let progress = self.running.get(place)?.map(|value| Progress::decode(value.value())).transpose()?;
        let Some(mut progress) = progress.filter(|progress| progress.token == lease.token) else { return Ok(false) };
        self.running.remove(place)?;
        self.is_changed = true;
        match end {
            End::Complete => self.forget_pending(place, now, bounds)?,
            End::Retry { delay } => {
                progress.attempts = progress.attempts.saturating_add(1);
                progress.interruptions = 0;
                let due = now.saturating_add(*delay).as_millis();
                self.delayed.insert(time_key(due, place), &*progress.encode())?;
            }
            End::Release => self.make_ready(place, &progress)?,
            End::Dead { reason, message } => {
                if *reason != DeadReason::Interrupted {
                    progress.attempts = progress.attempts.saturating_add(1);
                }
                let bytes = self.events.remove(place)?.map(|bytes| bytes.value().to_vec());
                self.dead_events.insert(place, &*bytes.unwrap_or_default())?;
                let dead = Dead { progress, died_at: now, reason: *reason, message: message.clone() };
                self.dead.insert(place, &*dead.encode())?;
                self.dead_times.insert(time_key(now.as_millis(), place), &[][..])?;
            }
        }
        Ok(true)
    }

    fn make_ready(&mut self, place: u64, progress: &Progress) -> Result<()> {
        let table = if progress.interruptions >= ALONE_FROM { &mut self.suspect } else { &mut self.ready };
        table.insert(place, &*progress.encode())?;
        self.is_changed = true;
        Ok(())
    }

    /// Makes running events ready again, except those with a token in `leases`, which a worker
    /// still runs. After a crash this counts as an interruption.
    pub(super) fn recover(&mut self, leases: &HashMap<u64, u64>, is_crash: bool) -> Result<u64> {
        let mut orphans = Vec::new();
        for entry in self.running.iter()? {
            let (place, value) = entry?;
            let (place, progress) = (place.value(), Progress::decode(value.value())?);
            if leases.get(&place) != Some(&progress.token) {
                orphans.push((place, progress));
            }
        }
        let count = u64::try_from(orphans.len()).unwrap_or(u64::MAX);
        for (place, mut progress) in orphans {
            self.running.remove(place)?;
            progress.interruptions = progress.interruptions.saturating_add(u32::from(is_crash));
            self.make_ready(place, &progress)?;
        }
        Ok(count)
    }

    pub(super) fn redrive(&mut self, which: Which) -> Result<Step> {
        let places = self.dead_places(which)?;
        for &place in &places {
            let Some((dead, bytes)) = self.remove_dead(place)? else { continue };
            self.events.insert(place, &*bytes)?;
            self.make_ready(place, &Progress::new(dead.progress.record))?;
        }
        Ok(step(&places))
    }

    pub(super) fn purge(&mut self, which: Which, now: Timestamp, bounds: &Bounds) -> Result<Step> {
        let places = self.dead_places(which)?;
        for &place in &places {
            self.forget_dead(place, now, bounds)?;
        }
        Ok(step(&places))
    }

    pub(super) fn erase(&mut self, record: RecordKey, now: Timestamp, bounds: &Bounds) -> Result<u64> {
        let (mut pending, mut delayed, mut dead) = (Vec::new(), Vec::new(), Vec::new());
        for table in [&self.ready, &self.suspect, &self.running] {
            for entry in table.iter()? {
                let (place, value) = entry?;
                if Progress::decode(value.value())?.record == record {
                    pending.push(place.value());
                }
            }
        }
        for entry in self.delayed.iter()? {
            let (key, value) = entry?;
            if Progress::decode(value.value())?.record == record {
                delayed.push(key.value());
                pending.push(place_of(key.value()));
            }
        }
        for entry in self.dead.iter()? {
            let (place, value) = entry?;
            if Dead::decode(value.value())?.progress.record == record {
                dead.push(place.value());
            }
        }
        for key in delayed {
            self.delayed.remove(key)?;
        }
        for &place in &pending {
            for table in [&mut self.ready, &mut self.suspect, &mut self.running] {
                table.remove(place)?;
            }
            self.forget_pending(place, now, bounds)?;
        }
        for &place in &dead {
            self.forget_dead(place, now, bounds)?;
        }
        Ok(u64::try_from(pending.len().saturating_add(dead.len())).unwrap_or(u64::MAX))
    }

    /// Forgets some of the expired keys and dead letters, and returns whether there are more.
    pub(super) fn maintain(&mut self, now: Timestamp, bounds: &Bounds) -> Result<bool> {
        let end = now.as_millis().saturating_add(1).to_be_bytes();
        let mut expired = Vec::new();
        for entry in self.expiry.range(..end.as_slice())?.take(FORGET) {
            expired.push(entry?.0.value().to_vec());
        }
        for entry in &expired {
            self.expiry.remove(&**entry)?;
            self.keys.remove(entry.get(8..).unwrap_or_default())?;
            self.is_changed = true;
        }
        let kept_since = now.saturating_sub(bounds.keep_dead_for).as_millis();
        let mut dead = Vec::new();
        for entry in self.dead_times.range(..time_key(kept_since, 0))?.take(FORGET) {
            dead.push(place_of(entry?.0.value()));
        }
        for &place in &dead {
            self.forget_dead(place, now, bounds)?;
        }
        Ok(expired.len() == FORGET || dead.len() == FORGET)
    }

    fn forget_pending(&mut self, place: u64, now: Timestamp, bounds: &Bounds) -> Result<()> {
        let gone = self.events.remove(place)?.map(|bytes| Gone::new(bytes.value()));
        self.forget(place, gone.unwrap_or_default(), now, bounds)
    }

    fn forget_dead(&mut self, place: u64, now: Timestamp, bounds: &Bounds) -> Result<()> {
        match self.remove_dead(place)? {
            Some((_, bytes)) => self.forget(place, Gone::new(&bytes), now, bounds),
            None => Ok(()),
        }
    }

    fn remove_dead(&mut self, place: u64) -> Result<Option<(Dead, Vec<u8>)>> {
        let Some(dead) = self.dead.remove(place)?.map(|value| Dead::decode(value.value())).transpose()? else {
            return Ok(None);
        };
        self.dead_times.remove(time_key(dead.died_at.as_millis(), place))?;
        let bytes = self.dead_events.remove(place)?.map(|bytes| bytes.value().to_vec());
        self.is_changed = true;
        Ok(Some((dead, bytes.unwrap_or_default())))
    }

    /// Removes an event. Its key counts as completed until the key expires.
    fn forget(&mut self, place: u64, gone: Gone, now: Timestamp, bounds: &Bounds) -> Result<()> {
        self.is_changed = true;
        self.numbers.bytes = self.numbers.bytes.saturating_sub(gone.len);
        let Some((key, fresh_until)) = gone.key_and_fresh_until else {
            // The event's key is unreadable, so find the entry of the key by its place.
            return Ok(self.keys.retain(|_, state| KeyState::decode(state) != Some(KeyState::Open(place)))?);
        };
        let fresh_until = fresh_until.saturating_add(KEY_MARGIN);
        let expires = now.saturating_add(bounds.remember_for).max(fresh_until).as_millis();
        let key = key.as_bytes();
        self.keys.insert(key.as_slice(), KeyState::Completed(expires).encode().as_slice())?;
        self.expiry.insert(&*[&expires.to_be_bytes()[..], key].concat(), &[][..])?;
        Ok(())
    }

    fn dead_places(&self, which: Which) -> Result<Vec<u64>> {
        let mut places = Vec::new();
        match which {
            Which::SomeAfter(after) => {
                for entry in self.dead.range(after.saturating_add(1)..)?.take(STEP) {
                    places.push(entry?.0.value());
                }
            }
            Which::One(id) => places.extend(dead_place(&self.keys, &self.dead, id)?),
        }
        Ok(places)
    }

    const fn next_token(&mut self) -> u64 {
        self.numbers.token = self.numbers.token.saturating_add(1);
        self.numbers.token
    }
}

/// The parts of an event that are required to forget it.
#[derive(Clone, Copy, Default)]
struct Gone {
    len: u64,
    key_and_fresh_until: Option<(ClaimKey, Timestamp)>,
}

impl Gone {
    fn new(bytes: &[u8]) -> Self {
        let len = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        Self { len, key_and_fresh_until: StoredEvent::key_and_fresh_until(bytes) }
    }
}

fn step(places: &[u64]) -> Step {
    let last = if places.len() == STEP { places.last().copied() } else { None };
    Step { count: u64::try_from(places.len()).unwrap_or(u64::MAX), last }
}

fn full() -> InboxError {
    InboxError::new(
        InboxErrorKind::Full,
        "the inbox is full: raise `max_pending` or `max_bytes`, or let a worker catch up",
    )
}
