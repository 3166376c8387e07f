//! The entries of a [`MemoryStore`](super::MemoryStore): a hash table of fixed size. Every
//! operation takes a bounded number of steps.
//!
//! Slots and buckets are reserved once and never moved, so no claim pays for a growing table. Each
//! slot is in the chain of its bucket. It is also in one of two queues, for running and for
//! completed entries. Each queue is in the order of the last change. If all leases are equal, and
//! all times to live are equal, entries expire in the same order, so the entry at the front of a
//! queue expires first. Every operation treats expired entries as absent, and frees the slots of a
//! few of them.
//!
//! Times are nanoseconds since an arbitrary fixed instant. The caller reads the clock.

use std::hash::{BuildHasher, RandomState};
use std::num::NonZeroU32;

use super::ClaimKey;

/// The maximum number of expired entries that one operation removes from each queue. An operation
/// adds at most one entry, so a backlog shrinks.
const RECLAIMED: usize = 2;

/// The number of entries at the front of a queue that are searched for an expired one if the table
/// is full.
const LOOK: usize = 8;

pub(super) type Token = [u8; 16];

/// The index of a slot plus one. `None` ends a chain. It is all zeros, because the system provides
/// zeroed memory for the buckets.
type Place = NonZeroU32;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum State {
    Running,
    Completed,
}

/// No entry can be removed, because every entry is running.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Full;

#[derive(Clone, Copy)]
struct Slot {
    key: ClaimKey,
    token: Token,
    expires: u64,
    state: State,
    /// The next slot in the same bucket, or the next unused slot.
    next: Option<Place>,
    older: Option<Place>,
    newer: Option<Place>,
}

#[derive(Default)]
struct Queue {
    oldest: Option<Place>,
    newest: Option<Place>,
}

pub(super) struct Table {
    /// The hash has a random key, so that an attacker who can choose bodies cannot fill one bucket.
    hasher: RandomState,
    buckets: Box<[Option<Place>]>,
    slots: Vec<Slot>,
    unused: Option<Place>,
    running: Queue,
    completed: Queue,
    len: usize,
    capacity: usize,
    forgotten: u64,
    #[cfg(test)]
    steps: usize,
}

impl Table {
    /// The limit ensures that places fit in 32 bits, and that reserving the slots cannot overflow.
    const MAX_CAPACITY: usize = if cfg!(target_pointer_width = "32") { 1 << 22 } else { 1 << 28 };

    pub(super) fn new(capacity: usize) -> Self {
        let capacity = capacity.clamp(1, Self::MAX_CAPACITY);
        Self {
            hasher: RandomState::new(),
            buckets: vec![None; capacity.next_power_of_two()].into_boxed_slice(),
            slots: Vec::with_capacity(capacity),
            unused: None,
            running: Queue::default(),
            completed: Queue::default(),
            len: 0,
            capacity,
            forgotten: 0,
            #[cfg(test)]
            steps: 0,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.len
    }

    pub(super) fn capacity(&self) -> usize {
        self.capacity
    }

    pub(super) fn forgotten(&self) -> u64 {
        self.forgotten
    }

    /// Claims a key. Returns `None` if it was free and is now running.
    pub(super) fn claim(&mut self, key: ClaimKey, token: Token, now: u64, expires: u64) -> Result<Option<State>, Full> {
        self.reclaim(now);
        if let Some((_, slot)) = self.find(key, now) {
            return Ok(Some(slot.state));
        }
        self.insert(key, token, State::Running, now, expires)?;
        Ok(None)
    }

    pub(super) fn is_completed(&mut self, key: ClaimKey, now: u64) -> bool {
        self.find(key, now).is_some_and(|(_, slot)| slot.state == State::Completed)
    }

    pub(super) fn is_claimed(&mut self, key: ClaimKey, now: u64) -> bool {
        self.find(key, now).is_some()
    }

    pub(super) fn renew(&mut self, key: ClaimKey, token: Token, now: u64, expires: u64) -> bool {
        match self.find(key, now) {
            Some((place, slot)) if slot.token == token && slot.state == State::Running => {
                self.change(place, State::Running, expires);
                true
            }
            _ => false,
        }
    }

    pub(super) fn complete(&mut self, key: ClaimKey, token: Token, now: u64, expires: u64) -> Result<bool, Full> {
        match self.find(key, now) {
            Some((place, slot)) if slot.token == token => {
                self.change(place, State::Completed, expires);
            }
            Some(_) => return Ok(false),
            None => self.insert(key, token, State::Completed, now, expires)?,
        }
        Ok(true)
    }

    pub(super) fn release(&mut self, key: ClaimKey, token: Token, now: u64) -> bool {
        match self.find(key, now) {
            Some((place, slot)) if slot.token == token && slot.state == State::Running => {
                self.remove(place);
                true
            }
            _ => false,
        }
    }

    pub(super) fn forget(&mut self, key: ClaimKey, now: u64) -> bool {
        match self.find(key, now) {
            Some((place, _)) => {
                self.remove(place);
                true
            }
            None => false,
        }
    }

    /// Finds the entry of `key`. If the entry has expired, removes it and returns `None`.
    fn find(&mut self, key: ClaimKey, now: u64) -> Option<(Place, Slot)> {
        let mut link = self.bucket(key).and_then(|bucket| *bucket);
        while let Some(place) = link {
            self.step();
            let slot = *self.slot(place)?;
            if slot.key == key {
                if slot.expires <= now {
                    self.remove(place);
                    return None;
                }
                return Some((place, slot));
            }
            link = slot.next;
        }
        None
    }

    fn insert(&mut self, key: ClaimKey, token: Token, state: State, now: u64, expires: u64) -> Result<(), Full> {
        if self.len == self.capacity {
            self.make_room(now)?;
        }
        let slot = Slot { key, token, expires, state, next: None, older: None, newer: None };
        let place = match self.unused {
            Some(place) => {
                let unused = self.slot(place).ok_or(Full)?;
                self.unused = unused.next;
                *self.slot(place).ok_or(Full)? = slot;
                place
            }
            None => {
                // All slots were reserved, so this neither allocates nor moves them.
                self.slots.push(slot);
                u32::try_from(self.slots.len()).ok().and_then(Place::new).ok_or(Full)?
            }
        };
        let next = self.bucket(key).and_then(|bucket| bucket.replace(place));
        if let Some(slot) = self.slot(place) {
            slot.next = next;
        }
        self.enqueue(place, state);
        self.len = self.len.saturating_add(1);
        Ok(())
    }

    /// Moves an entry to the end of the queue for its new state.
    fn change(&mut self, place: Place, state: State, expires: u64) {
        self.dequeue(place);
        if let Some(slot) = self.slot(place) {
            slot.state = state;
            slot.expires = expires;
        }
        self.enqueue(place, state);
    }

    fn remove(&mut self, place: Place) {
        self.dequeue(place);
        self.unchain(place);
        let unused = self.unused.replace(place);
        if let Some(slot) = self.slot(place) {
            slot.next = unused;
        }
        self.len = self.len.saturating_sub(1);
    }

    /// Removes expired entries from the front of both queues.
    fn reclaim(&mut self, now: u64) {
        for state in [State::Running, State::Completed] {
            for _ in 0..RECLAIMED {
                match self.expired(state, now, 1) {
                    Some(place) => self.remove(place),
                    None => break,
                }
            }
        }
    }

    /// Removes one entry: an expired one, or else the one that was completed first.
    fn make_room(&mut self, now: u64) -> Result<(), Full> {
        if let Some(place) =
            self.expired(State::Running, now, LOOK).or_else(|| self.expired(State::Completed, now, LOOK))
        {
            self.remove(place);
        } else {
            let place = self.completed.oldest.ok_or(Full)?;
            self.remove(place);
            self.forgotten = self.forgotten.saturating_add(1);
        }
        Ok(())
    }

    /// Returns the first expired entry among the oldest `look` entries of a queue.
    fn expired(&mut self, state: State, now: u64, look: usize) -> Option<Place> {
        let mut link = self.queue(state).oldest;
        for _ in 0..look {
            let place = link?;
            self.step();
            let slot = self.slot(place)?;
            if slot.expires <= now {
                return Some(place);
            }
            link = slot.newer;
        }
        None
    }

    fn unchain(&mut self, place: Place) {
        let Some(&mut Slot { key, next, .. }) = self.slot(place) else { return };
        let Some(bucket) = self.bucket(key) else { return };
        if *bucket == Some(place) {
            *bucket = next;
            return;
        }
        let mut link = *bucket;
        while let Some(before) = link {
            self.step();
            let Some(slot) = self.slot(before) else { return };
            if slot.next == Some(place) {
                slot.next = next;
                return;
            }
            link = slot.next;
        }
    }

    fn enqueue(&mut self, place: Place, state: State) {
        let queue = self.queue(state);
        let older = queue.newest.replace(place);
        if older.is_none() {
            queue.oldest = Some(place);
        }
        if let Some(slot) = self.slot(place) {
            slot.older = older;
            slot.newer = None;
        }
        if let Some(older) = older.and_then(|older| self.slot(older)) {
            older.newer = Some(place);
        }
    }

    fn dequeue(&mut self, place: Place) {
        let Some(&mut Slot { state, older, newer, .. }) = self.slot(place) else { return };
        match older.and_then(|older| self.slot(older)) {
            Some(older) => older.newer = newer,
            None => self.queue(state).oldest = newer,
        }
        match newer.and_then(|newer| self.slot(newer)) {
            Some(newer) => newer.older = older,
            None => self.queue(state).newest = older,
        }
    }

    fn slot(&mut self, place: Place) -> Option<&mut Slot> {
        self.slots.get_mut((place.get() as usize).checked_sub(1)?)
    }

    fn bucket(&mut self, key: ClaimKey) -> Option<&mut Option<Place>> {
        let mask = self.buckets.len().saturating_sub(1);
        #[expect(clippy::cast_possible_truncation, reason = "the mask takes the low bits")]
        let hash = self.hasher.hash_one(key) as usize;
        self.buckets.get_mut(hash & mask)
    }

    fn queue(&mut self, state: State) -> &mut Queue {
        match state {
            State::Running => &mut self.running,
            State::Completed => &mut self.completed,
        }
    }

    /// Counts, in tests, every entry that an operation visits.
    fn step(&mut self) {
        #[cfg(test)]
        {
            self.steps += 1;
        }
    }
}

#[cfg(test)]
mod tests;
