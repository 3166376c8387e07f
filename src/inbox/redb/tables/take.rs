//! Chooses the events that a worker takes.

use std::collections::HashSet;

use bytes::Bytes;
use redb::{ReadableTable, ReadableTableMetadata};

use super::{
    super::{
        super::{
            RecordKey, StoredEvent,
            store::{Bounds, Lease, Take, Taken, TakenEvent},
        },
        read::next_due,
        rows::{Progress, place_of, time_key},
    },
    Result, Tables,
};
use crate::verify::Timestamp;

/// The maximum number of ready events that are checked to find an event whose record is not busy.
const LOOK_AT: usize = 10_000;

/// The maximum number of due times that one take corrects after the clock was set back.
const CORRECT: usize = 1_000;

/// The table that contains a chosen event.
#[derive(Clone, Copy)]
enum From {
    Ready(u64),
    Suspect(u64),
    Delayed(u128),
}

impl Tables<'_> {
    pub(in crate::inbox::redb) fn take(&mut self, take: &Take, now: Timestamp, bounds: &Bounds) -> Result<Taken> {
        let mut taken = Taken::default();
        if take.limit > 0 {
            self.correct_due_times(take, now)?;
            taken.suspects = !take.alone && !self.suspect.is_empty()?;
            let chosen =
                if take.alone { self.choose_suspect()? } else { self.choose(take, now, &mut taken.left_busy)? };
            for (from, progress) in chosen {
                self.start(from, progress, &mut taken)?;
            }
        }
        for (lease, end) in &take.ends {
            taken.ended.push(self.end(*lease, end, now, bounds)?);
        }
        taken.next_due = next_due(&self.delayed, now)?;
        Ok(taken)
    }

    /// Corrects due times beyond the longest delay. They were stored before the clock was set back.
    fn correct_due_times(&mut self, take: &Take, now: Timestamp) -> Result<()> {
        let longest = now.saturating_add(take.longest_delay).as_millis();
        let beyond = time_key(longest.saturating_add(1), 0);
        let mut moved = Vec::new();
        for entry in self.delayed.range(beyond..)?.take(CORRECT) {
            let (key, value) = entry?;
            moved.push((key.value(), value.value().to_vec()));
        }
        for (key, value) in moved {
            self.delayed.remove(key)?;
            self.delayed.insert(time_key(longest, place_of(key)), &*value)?;
            self.is_changed = true;
        }
        Ok(())
    }

    fn choose_suspect(&self) -> Result<Vec<(From, Progress)>> {
        let mut best: Option<(u64, Progress)> = None;
        for entry in self.suspect.iter()? {
            let (place, value) = entry?;
            let progress = Progress::decode(value.value())?;
            if best.as_ref().is_none_or(|(_, best)| progress.interruptions < best.interruptions) {
                best = Some((place.value(), progress));
            }
        }
        Ok(best.map(|(place, progress)| (From::Suspect(place), progress)).into_iter().collect())
    }

    fn choose(&self, take: &Take, now: Timestamp, left_busy: &mut bool) -> Result<Vec<(From, Progress)>> {
        let mut busy = take.busy.clone();
        let mut ready = self.ready.iter()?.take(LOOK_AT);
        let due = time_key(now.as_millis().saturating_add(1), 0);
        let mut delayed = self.delayed.range(..due)?.take(LOOK_AT);
        let mut next_ready = |busy: &mut HashSet<RecordKey>| -> Result<Option<(From, Progress)>> {
            for entry in ready.by_ref() {
                let (place, value) = entry?;
                let progress = Progress::decode(value.value())?;
                if is_free(busy, progress.record) {
                    return Ok(Some((From::Ready(place.value()), progress)));
                }
                *left_busy = true;
            }
            Ok(None)
        };
        let mut left_busy_delayed = false;
        let mut next_delayed = |busy: &mut HashSet<RecordKey>| -> Result<Option<(From, Progress)>> {
            for entry in delayed.by_ref() {
                let (key, value) = entry?;
                let progress = Progress::decode(value.value())?;
                if is_free(busy, progress.record) {
                    return Ok(Some((From::Delayed(key.value()), progress)));
                }
                left_busy_delayed = true;
            }
            Ok(None)
        };
        let mut chosen = Vec::new();
        for slot in (0..).take(take.limit) {
            let next = if take.prefers_delayed(slot) {
                next_delayed(&mut busy)?.map_or_else(|| next_ready(&mut busy), |found| Ok(Some(found)))?
            } else {
                next_ready(&mut busy)?.map_or_else(|| next_delayed(&mut busy), |found| Ok(Some(found)))?
            };
            let Some(next) = next else { break };
            chosen.push(next);
        }
        *left_busy |= left_busy_delayed;
        Ok(chosen)
    }

    /// Moves a chosen event to the running events.
    fn start(&mut self, from: From, mut progress: Progress, taken: &mut Taken) -> Result<()> {
        let place = match from {
            From::Ready(place) => self.ready.remove(place)?.map(|_| place),
            From::Suspect(place) => self.suspect.remove(place)?.map(|_| place),
            From::Delayed(key) => self.delayed.remove(key)?.map(|_| place_of(key)),
        };
        let Some(place) = place else { return Ok(()) };
        progress.token = self.next_token();
        self.running.insert(place, &*progress.encode())?;
        self.is_changed = true;
        let lease = Lease { event: place, token: progress.token };
        let bytes = self.events.get(place)?.map(|bytes| Bytes::copy_from_slice(bytes.value()));
        match bytes.and_then(StoredEvent::decode) {
            Some(event) => taken.events.push(TakenEvent {
                lease,
                event,
                attempts: progress.attempts,
                interruptions: progress.interruptions,
            }),
            None => taken.unreadable.push(lease),
        }
        Ok(())
    }
}

fn is_free(busy: &mut HashSet<RecordKey>, record: RecordKey) -> bool {
    record == RecordKey::NONE || busy.insert(record)
}
