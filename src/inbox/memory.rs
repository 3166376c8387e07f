//! A store in memory, for tests of users and of this crate. It implements
//! [`Store`](super::store::Store) in the simplest way, so tests compare the other stores with it.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::sync::Notify;

use super::{
    DeadLetter, DeadReason, EventId, InboxError, InboxErrorKind, RecordKey, Stats, StoredEvent,
    store::{
        ALONE_FROM, Bounds, End, KEY_MARGIN, Lease, Put, Step, Store, StoreFuture, Take, Taken, TakenEvent, Which,
    },
};
use crate::{
    deduplicate::ClaimKey,
    verify::{Clock, Timestamp},
};

pub(super) struct MemoryInbox {
    rows: Mutex<Rows>,
    bounds: Bounds,
    clock: Arc<dyn Clock>,
    work: Notify,
}

#[derive(Default)]
struct Rows {
    next: u64,
    token: u64,
    /// The events by their positions in the order of acceptance.
    events: BTreeMap<u64, Row>,
    /// The completed keys and the times at which they expire.
    completed: HashMap<ClaimKey, Timestamp>,
}

struct Row {
    event: StoredEvent,
    len: u64,
    state: State,
    attempts: u32,
    interruptions: u32,
}

enum State {
    Ready,
    Delayed(Timestamp),
    Running { token: u64 },
    Dead { at: Timestamp, reason: DeadReason, message: Box<str> },
}

impl Row {
    const fn is_dead(&self) -> bool {
        matches!(self.state, State::Dead { .. })
    }

    const fn is_suspect(&self) -> bool {
        self.interruptions >= ALONE_FROM
    }

    fn reset(&mut self) {
        self.state = State::Ready;
        self.attempts = 0;
        self.interruptions = 0;
    }

    fn dead_letter(&self) -> Option<DeadLetter> {
        let State::Dead { at, reason, message } = &self.state else { return None };
        Some(DeadLetter {
            event: self.event.clone(),
            attempts: self.attempts,
            interruptions: self.interruptions,
            died_at: *at,
            reason: *reason,
            message: message.clone(),
        })
    }
}

impl MemoryInbox {
    pub(super) fn new(bounds: Bounds, clock: Arc<dyn Clock>) -> Self {
        let rows = Rows { next: 1, ..Rows::default() };
        Self { rows: Mutex::new(rows), bounds, clock, work: Notify::new() }
    }

    fn rows(&self) -> MutexGuard<'_, Rows> {
        self.rows.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Does what a crash does to running events.
    #[cfg(all(test, any(feature = "postgres", feature = "redb")))]
    pub(super) fn interrupt(&self) {
        for row in self.rows().events.values_mut() {
            if matches!(row.state, State::Running { .. }) {
                row.state = State::Ready;
                row.interruptions += 1;
            }
        }
    }

    /// Ends a run. Returns `false` if the lease was lost.
    fn end(&self, rows: &mut Rows, lease: Lease, end: End, now: Timestamp) -> bool {
        let row = rows.events.get_mut(&lease.event);
        let is_held = |row: &&mut Row| matches!(row.state, State::Running { token } if token == lease.token);
        let Some(row) = row.filter(is_held) else { return false };
        match end {
            End::Complete => self.forget(rows, lease.event),
            End::Release => {
                row.state = State::Ready;
                self.work.notify_one();
            }
            End::Retry { delay } => {
                row.attempts = row.attempts.saturating_add(1);
                row.interruptions = 0;
                row.state = State::Delayed(now.saturating_add(delay));
            }
            End::Dead { reason, message } => {
                if reason != DeadReason::Interrupted {
                    row.attempts = row.attempts.saturating_add(1);
                }
                row.state = State::Dead { at: now, reason, message };
            }
        }
        true
    }

    /// Forgets an event, but keeps its key.
    fn forget(&self, rows: &mut Rows, place: u64) {
        if let Some(row) = rows.events.remove(&place) {
            let fresh_until = row.event.verified.fresh_until().saturating_add(KEY_MARGIN);
            let expires = self.clock.now().saturating_add(self.bounds.remember_for).max(fresh_until);
            rows.completed.insert(row.event.key, expires);
        }
    }

    fn forget_if(&self, mut is_meant: impl FnMut(u64, &Row) -> bool) -> u64 {
        let mut rows = self.rows();
        let places: Vec<_> =
            rows.events.iter().filter(|(place, row)| is_meant(**place, row)).map(|(place, _)| *place).collect();
        for &place in &places {
            self.forget(&mut rows, place);
        }
        u64::try_from(places.len()).unwrap_or(u64::MAX)
    }
}

fn is_meant(which: Which, place: u64, row: &Row) -> bool {
    row.is_dead()
        && match which {
            Which::One(id) => EventId::from(row.event.key) == id,
            Which::SomeAfter(after) => place > after,
        }
}

impl Rows {
    fn take(&mut self, take: &Take, now: Timestamp) -> Taken {
        let longest = now.saturating_add(take.longest_delay);
        for row in self.events.values_mut() {
            if let State::Delayed(due) = &mut row.state {
                *due = longest.min(*due);
            }
        }
        let is_ready = |row: &Row| matches!(row.state, State::Ready);
        let suspects: Vec<_> = self.events.iter().filter(|(_, row)| is_ready(row) && row.is_suspect()).collect();
        let mut taken = Taken { suspects: !take.alone && !suspects.is_empty(), ..Taken::default() };
        let chosen: Vec<u64> = if take.alone {
            let first = suspects.iter().min_by_key(|(place, row)| (row.interruptions, **place));
            first.map(|(place, _)| **place).into_iter().collect()
        } else {
            self.choose(take, now, &mut taken.left_busy)
        };
        for place in chosen {
            let Some(row) = self.events.get_mut(&place) else { continue };
            self.token = self.token.saturating_add(1);
            row.state = State::Running { token: self.token };
            taken.events.push(TakenEvent {
                lease: Lease { event: place, token: self.token },
                event: row.event.clone(),
                attempts: row.attempts,
                interruptions: row.interruptions,
            });
        }
        taken
    }

    fn next_due(&self, now: Timestamp) -> Option<Duration> {
        let due = self.events.values().filter_map(|row| match row.state {
            State::Delayed(due) if due > now => Some(due.saturating_since(now)),
            _ => None,
        });
        due.min()
    }

    fn choose(&self, take: &Take, now: Timestamp, left_busy: &mut bool) -> Vec<u64> {
        let ready = self.events.iter().filter(|(_, row)| matches!(row.state, State::Ready) && !row.is_suspect());
        let mut ready = ready.map(|(place, row)| (*place, row.event.record));
        let mut delayed: Vec<_> = self
            .events
            .iter()
            .filter_map(|(place, row)| match row.state {
                State::Delayed(due) if due <= now => Some((due, *place, row.event.record)),
                _ => None,
            })
            .collect();
        delayed.sort_by_key(|(due, place, _)| (*due, *place));
        let mut delayed = delayed.into_iter().map(|(_, place, record)| (place, record));
        let mut busy: HashSet<_> = take.busy.clone();
        let mut next = |mut queue: &mut dyn Iterator<Item = (u64, RecordKey)>| {
            let found = Iterator::find(&mut queue, |(_, record)| {
                let is_free = *record == RecordKey::NONE || busy.insert(*record);
                *left_busy |= !is_free;
                is_free
            });
            found.map(|(place, _)| place)
        };
        let mut chosen = Vec::new();
        for slot in (0..).take(take.limit) {
            let found = if take.prefers_delayed(slot) {
                next(&mut delayed).or_else(|| next(&mut ready))
            } else {
                next(&mut ready).or_else(|| next(&mut delayed))
            };
            let Some(place) = found else { break };
            chosen.push(place);
        }
        chosen
    }
}

impl fmt::Debug for MemoryInbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryInbox").field("bounds", &self.bounds).finish_non_exhaustive()
    }
}

impl Store for MemoryInbox {
    fn put(&self, event: StoredEvent) -> StoreFuture<'_, Put> {
        Box::pin(async move {
            let mut rows = self.rows();
            if rows.completed.contains_key(&event.key) || rows.events.values().any(|row| row.event.key == event.key) {
                return Ok(Put::Duplicate);
            }
            let len = u64::try_from(event.encode().len()).unwrap_or(u64::MAX);
            let pending = rows.events.values().filter(|row| !row.is_dead()).count();
            let bytes = rows.events.values().map(|row| row.len).fold(len, u64::saturating_add);
            if u64::try_from(pending).unwrap_or(u64::MAX) >= self.bounds.max_pending || bytes > self.bounds.max_bytes {
                return Err(InboxError::new(InboxErrorKind::Full, "the inbox is full"));
            }
            let place = rows.next;
            rows.next = place.saturating_add(1);
            rows.events.insert(place, Row { event, len, state: State::Ready, attempts: 0, interruptions: 0 });
            drop(rows);
            self.work.notify_one();
            Ok(Put::Stored)
        })
    }

    fn begin(&self) -> StoreFuture<'_, ()> {
        Box::pin(async {
            for row in self.rows().events.values_mut() {
                if matches!(row.state, State::Running { .. }) {
                    row.state = State::Ready;
                }
            }
            self.work.notify_one();
            Ok(())
        })
    }

    fn take(&self, take: Take) -> StoreFuture<'_, Taken> {
        Box::pin(async move {
            let mut rows = self.rows();
            let now = self.clock.now();
            let mut taken = if take.limit == 0 { Taken::default() } else { rows.take(&take, now) };
            for (lease, end) in take.ends {
                taken.ended.push(self.end(&mut rows, lease, end, now));
            }
            taken.next_due = rows.next_due(now);
            Ok(taken)
        })
    }

    fn work(&self) -> &Notify {
        &self.work
    }

    fn maintain(&self) -> StoreFuture<'_, bool> {
        Box::pin(async {
            let now = self.clock.now();
            self.rows().completed.retain(|_, expires| *expires > now);
            let kept_since = now.saturating_sub(self.bounds.keep_dead_for);
            self.forget_if(|_, row| matches!(row.state, State::Dead { at, .. } if at < kept_since));
            Ok(false)
        })
    }

    fn stats(&self) -> StoreFuture<'_, Stats> {
        Box::pin(async {
            let rows = self.rows();
            let count = |is_meant: fn(&State) -> bool| {
                u64::try_from(rows.events.values().filter(|row| is_meant(&row.state)).count()).unwrap_or(u64::MAX)
            };
            let pending = rows.events.values().filter(|row| !row.is_dead());
            Ok(Stats {
                ready: count(|state| matches!(state, State::Ready)),
                delayed: count(|state| matches!(state, State::Delayed(_))),
                running: count(|state| matches!(state, State::Running { .. })),
                dead: count(|state| matches!(state, State::Dead { .. })),
                bytes: rows.events.values().map(|row| row.len).fold(0, u64::saturating_add),
                remembered_keys: u64::try_from(rows.completed.len()).unwrap_or(u64::MAX),
                oldest_pending: pending.map(|row| row.event.accepted_at).next(),
            })
        })
    }

    fn dead_letters(&self, after: u64, limit: usize) -> StoreFuture<'_, Vec<(u64, DeadLetter)>> {
        Box::pin(async move {
            let rows = self.rows();
            let behind = rows.events.range(after.saturating_add(1)..);
            let letters = behind.filter_map(|(place, row)| Some((*place, row.dead_letter()?)));
            Ok(letters.take(limit).collect())
        })
    }

    fn dead_letter(&self, id: EventId) -> StoreFuture<'_, Option<DeadLetter>> {
        Box::pin(async move {
            let rows = self.rows();
            let mut found = rows.events.iter().filter(|(place, row)| is_meant(Which::One(id), **place, row));
            Ok(found.find_map(|(_, row)| row.dead_letter()))
        })
    }

    fn redrive(&self, which: Which) -> StoreFuture<'_, Step> {
        Box::pin(async move {
            let mut rows = self.rows();
            let dead = rows.events.iter_mut().filter(|(place, row)| is_meant(which, **place, row));
            let count = dead.map(|(_, row)| row.reset()).count();
            drop(rows);
            self.work.notify_one();
            Ok(Step { count: u64::try_from(count).unwrap_or(u64::MAX), last: None })
        })
    }

    fn purge(&self, which: Which) -> StoreFuture<'_, Step> {
        Box::pin(
            async move { Ok(Step { count: self.forget_if(|place, row| is_meant(which, place, row)), last: None }) },
        )
    }

    fn erase(&self, record: RecordKey) -> StoreFuture<'_, u64> {
        Box::pin(async move { Ok(self.forget_if(|_, row| row.event.record == record)) })
    }

    fn compact(&self) -> StoreFuture<'_, bool> {
        Box::pin(async { Ok(false) })
    }
}
