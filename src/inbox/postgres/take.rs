//! Takes the events that run next.
//!
//! The first statement reads candidates without a lock, and this module chooses among them. The
//! second statement takes the chosen events, except events that another process has taken
//! meanwhile. It also ends handled events, so that both changes share an fsync.

use std::{collections::HashSet, time::Duration};

use bytes::Bytes;
use tokio_postgres::{Row, types::Type};

use super::{
    super::{
        InboxError, RecordKey, StoredEvent,
        store::{End, Lease, Take, Taken, TakenEvent},
    },
    Shared,
    changes::{self, Changed, Changes},
    link::{Parameter, unreadable},
    millis, signed,
    sql::candidate,
    unsigned,
};

/// The time limit for a statement.
const WITHIN: Duration = Duration::from_secs(10);

/// The maximum number of candidates that are read to find events whose records are not busy.
const LOOK_AT: usize = 10_000;

/// The minimum number of candidates that are read.
const FEWEST: usize = 8;

/// The factor by which more candidates are read if too many candidates belong to busy records.
const WIDER: usize = 16;

/// The maximum number of times that one take starts over, because leases were recovered, times were
/// corrected, or another process took the chosen events.
const ROUNDS: usize = 20;

/// The events that a worker can choose from.
#[derive(Default)]
struct Candidates {
    ready: Vec<(u64, RecordKey)>,
    due: Vec<(u64, RecordKey)>,
    suspect: Option<u64>,
    next_due: Option<Duration>,
    leaked: Vec<Lease>,
    is_lost: bool,
    is_far: bool,
}

/// The leases of a take that has not returned yet. If the take fails or is dropped, this process
/// forgets the leases. The next take finds them in the table and releases them.
struct Granted<'a> {
    shared: &'a Shared,
    leases: Vec<Lease>,
}

impl Granted<'_> {
    fn extend(&mut self, leases: impl Iterator<Item = Lease> + Clone) {
        self.shared.held().extend(leases.clone().map(|lease| (lease.event, lease.token)));
        self.leases.extend(leases);
    }
}

impl Drop for Granted<'_> {
    fn drop(&mut self) {
        let mut held = self.shared.held();
        for lease in &self.leases {
            held.remove(&lease.event);
        }
    }
}

pub(super) async fn take(shared: &Shared, mut take: Take) -> Result<Taken, InboxError> {
    let mut granted = Granted { shared, leases: Vec::new() };
    let taken = take_some(shared, &mut take, &mut granted).await?;
    granted.leases.clear();
    Ok(taken)
}

async fn take_some(shared: &Shared, take: &mut Take, all: &mut Granted<'_>) -> Result<Taken, InboxError> {
    let mut taken = Taken::default();
    if take.limit == 0 {
        let changed = changes::end(shared, &take.ends).await?;
        note_ends(take, &mut taken, changed);
        return Ok(taken);
    }
    let mut busy = take.busy.clone();
    // The events that another process took after they were chosen here.
    let mut gone = HashSet::new();
    let mut window = take.limit.saturating_mul(2).max(FEWEST);
    for _ in 0..ROUNDS {
        let found = candidates(shared, take, window).await?;
        if repair(shared, take, &found).await? {
            continue;
        }
        let slots = u64::try_from(taken.events.len()).unwrap_or(u64::MAX);
        let missing = take.limit.saturating_sub(taken.events.len());
        let mut left_busy = false;
        let is_seen_whole = found.ready.len() < window && found.due.len() < window;
        let chosen = if take.alone {
            found.suspect.into_iter().collect()
        } else {
            choose(take, slots, missing, &found, &gone, &mut busy, &mut left_busy)
        };
        if chosen.len() < missing && !take.alone && !is_seen_whole && window < LOOK_AT {
            // The next round chooses again from the beginning.
            busy.clone_from(&take.busy);
            busy.extend(
                taken.events.iter().map(|taken| taken.event.record).filter(|record| *record != RecordKey::NONE),
            );
            window = window.saturating_mul(WIDER).min(LOOK_AT);
            continue;
        }
        taken.next_due = found.next_due;
        taken.suspects = !take.alone && found.suspect.is_some();
        taken.left_busy |= left_busy;
        let is_any = !chosen.is_empty();
        let granted = end_and_grant(shared, take, &chosen, &mut taken, all).await?;
        if granted == chosen.len() || take.alone || !is_any {
            break;
        }
        let ours: HashSet<_> = all.leases.iter().map(|lease| lease.event).collect();
        gone.extend(chosen.into_iter().filter(|event| !ours.contains(event)));
        window = window.saturating_add(gone.len()).min(LOOK_AT);
    }
    if !take.ends.is_empty() {
        // Every round had something to repair, so no round has ended these events.
        let changed = changes::end(shared, &take.ends).await?;
        note_ends(take, &mut taken, changed);
    }
    Ok(taken)
}

/// Recovers expired leases and corrects times. Skips rows that another transaction has locked.
/// Returns whether anything changed, so that the candidates must be read again.
async fn repair(shared: &Shared, take: &Take, found: &Candidates) -> Result<bool, InboxError> {
    let mut is_any = false;
    if found.is_far {
        let times = [longest(take), longest_lease(shared)];
        let parameters: [Parameter<'_>; 2] = [(&times[0], Type::INT8), (&times[1], Type::INT8)];
        is_any |= !shared.link.query(&shared.sql.correct, &parameters, WITHIN).await?.is_empty();
    }
    if found.is_lost {
        is_any |= recover(shared).await?;
    }
    if !found.leaked.is_empty() {
        is_any |= changes::release(shared, found.leaked.iter().copied()).await?;
    }
    Ok(is_any)
}

/// Makes events with expired leases ready. Returns whether there were any.
pub(super) async fn recover(shared: &Shared) -> Result<bool, InboxError> {
    let held = held(shared);
    let parameters: [Parameter<'_>; 2] = [(&shared.owner, Type::INT8), (&held, Type::INT8_ARRAY)];
    Ok(!shared.link.query(&shared.sql.recover, &parameters, WITHIN).await?.is_empty())
}

fn longest(take: &Take) -> i64 {
    millis(take.longest_delay)
}

/// Returns the longest lease of any process.
fn longest_lease(shared: &Shared) -> i64 {
    millis(shared.lease.max(super::LONGEST_LEASE))
}

fn held(shared: &Shared) -> Vec<i64> {
    shared.held().keys().copied().map(signed).collect()
}

async fn candidates(shared: &Shared, take: &Take, window: usize) -> Result<Candidates, InboxError> {
    let window = i64::try_from(window).unwrap_or(i64::MAX);
    let (held, longest, longest_lease) = (held(shared), longest(take), longest_lease(shared));
    let parameters: [Parameter<'_>; 5] = [
        (&window, Type::INT8),
        (&shared.owner, Type::INT8),
        (&held, Type::INT8_ARRAY),
        (&longest, Type::INT8),
        (&longest_lease, Type::INT8),
    ];
    let rows = shared.link.query(&shared.sql.candidates, &parameters, WITHIN).await?;
    let mut found = Candidates::default();
    let mut due = Vec::new();
    for row in &rows {
        let (kind, id, time, token, record) = read_candidate(row).map_err(|error| unreadable(&error))?;
        match kind {
            candidate::READY => found.ready.push((id, record)),
            candidate::DUE => due.push((time, id, record)),
            candidate::LEAKED => found.leaked.push(Lease { event: id, token }),
            candidate::SUSPECT => found.suspect = Some(id),
            candidate::NEXT => found.next_due = Some(Duration::from_millis(unsigned(time))),
            candidate::LOST => found.is_lost = true,
            candidate::FAR => found.is_far = true,
            _ => {}
        }
    }
    found.ready.sort_unstable_by_key(|(id, _)| *id);
    due.sort_unstable_by_key(|(time, id, _)| (*time, *id));
    found.due = due.into_iter().map(|(_, id, record)| (id, record)).collect();
    Ok(found)
}

fn read_candidate(row: &Row) -> Result<(i16, u64, i64, u64, RecordKey), tokio_postgres::Error> {
    let record: &[u8] = row.try_get(4)?;
    let record = record.try_into().map_or(RecordKey::NONE, RecordKey::from_bytes);
    Ok((row.try_get(0)?, unsigned(row.try_get(1)?), row.try_get(2)?, unsigned(row.try_get(3)?), record))
}

/// Chooses an event for each slot. A slot takes a ready or a delayed event first, depending on its
/// number.
fn choose(
    take: &Take,
    first_slot: u64,
    limit: usize,
    found: &Candidates,
    gone: &HashSet<u64>,
    busy: &mut HashSet<RecordKey>,
    left_busy: &mut bool,
) -> Vec<u64> {
    let is_there = |(event, _): &&(u64, RecordKey)| !gone.contains(event);
    let (mut ready, mut due) = (found.ready.iter().filter(is_there), found.due.iter().filter(is_there));
    let mut next = |queue: &mut dyn Iterator<Item = &(u64, RecordKey)>| {
        for &(event, record) in queue {
            if record == RecordKey::NONE || busy.insert(record) {
                return Some(event);
            }
            *left_busy = true;
        }
        None
    };
    let mut chosen = Vec::new();
    for slot in (first_slot..).take(limit) {
        let event = if take.prefers_delayed(slot) {
            next(&mut due).or_else(|| next(&mut ready))
        } else {
            next(&mut ready).or_else(|| next(&mut due))
        };
        let Some(event) = event else { break };
        chosen.push(event);
    }
    chosen
}

/// Ends handled events, and takes the chosen events that are still free. Returns how many events it
/// took.
async fn end_and_grant(
    shared: &Shared,
    take: &mut Take,
    chosen: &[u64],
    taken: &mut Taken,
    all: &mut Granted<'_>,
) -> Result<usize, InboxError> {
    if chosen.is_empty() {
        let changed = changes::end(shared, &take.ends).await?;
        note_ends(take, taken, changed);
        return Ok(0);
    }
    let ids: Vec<_> = chosen.iter().copied().map(signed).collect();
    let lease = millis(shared.lease);
    let changes = Changes::ends(shared, &take.ends);
    let grant: [Parameter<'_>; 3] = [(&ids, Type::INT8_ARRAY), (&lease, Type::INT8), (&shared.owner, Type::INT8)];
    let parameters: Vec<_> = changes.parameters().into_iter().chain(grant).collect();
    let rows = shared.link.query(&shared.sql.take, &parameters, WITHIN).await?;
    let mut changed = HashSet::new();
    let mut granted = Vec::with_capacity(rows.len());
    for row in &rows {
        match read_row(row).map_err(|error| unreadable(&error))? {
            Read::Ended(lease) => _ = changed.insert(lease),
            Read::Granted(event) => granted.push(event),
        }
    }
    all.extend(granted.iter().map(|(lease, ..)| *lease));
    let changed = Changed::new(shared, take.ends.iter().map(|(lease, _)| *lease), changed).await?;
    changes::note(shared, &take.ends, &changed);
    note_ends(take, taken, changed);
    let count = granted.len();
    // The events start in the order in which they were chosen.
    let place = |event: u64| chosen.iter().position(|chosen| *chosen == event);
    granted.sort_by_key(|(lease, ..)| place(lease.event));
    for (lease, attempts, interruptions, event) in granted {
        match event.and_then(StoredEvent::decode) {
            Some(event) => taken.events.push(TakenEvent { lease, event, attempts, interruptions }),
            None => taken.unreadable.push(lease),
        }
    }
    Ok(count)
}

/// Records which ends changed something. Later rounds of the take have no ends.
fn note_ends(take: &mut Take, taken: &mut Taken, Changed { changed, locked }: Changed) {
    for (lease, end) in take.ends.drain(..) {
        let is_held = changed.contains(&lease);
        if let (End::Retry { delay }, true) = (end, is_held) {
            taken.next_due = Some(taken.next_due.map_or(delay, |due| due.min(delay)));
        }
        taken.ended.push(is_held);
    }
    taken.locked.extend(locked);
}

enum Read {
    Ended(Lease),
    Granted((Lease, u32, u32, Option<Bytes>)),
}

fn read_row(row: &Row) -> Result<Read, tokio_postgres::Error> {
    let lease = changes::read_lease(row)?;
    if row.try_get::<_, Option<i32>>(2)?.is_none() {
        return Ok(Read::Ended(lease));
    }
    let event: Option<&[u8]> = row.try_get(4)?;
    Ok(Read::Granted((lease, count(row, 2)?, count(row, 3)?, event.map(Bytes::copy_from_slice))))
}

/// Reads a count, which is never negative.
pub(super) fn count(row: &Row, index: usize) -> Result<u32, tokio_postgres::Error> {
    Ok(u32::try_from(row.try_get::<_, i32>(index)?).unwrap_or_default())
}
