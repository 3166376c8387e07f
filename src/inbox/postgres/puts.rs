//! Stores deliveries. Deliveries that arrive at the same time share a statement.

use std::{
    collections::HashSet,
    sync::{Arc, atomic::Ordering::Relaxed},
    time::Duration,
};

use tokio::{
    sync::{OwnedSemaphorePermit, mpsc, oneshot},
    task::yield_now,
    time::{Instant, timeout},
};
use tokio_postgres::types::Type;

use super::{
    super::{
        InboxError, InboxErrorKind,
        store::{Bounds, NewEvent, Put},
    },
    Shared,
    link::{Link, Parameter, unreadable},
};
use crate::deduplicate::ClaimKey;

/// The maximum number of events that share a statement.
pub(super) const BATCH: usize = 1024;

/// The maximum number of bytes that share a statement. A larger event has its own statement.
const BATCH_BYTES: usize = 8 << 20;

/// The time limit for a statement. The request that delivered the event waits for 3 seconds in
/// total.
const WITHIN: Duration = Duration::from_secs(2);

/// The time limit for the first count. Nothing can be stored before it has succeeded.
const FIRST_COUNT_WITHIN: Duration = Duration::from_secs(10);

pub(super) struct PutJob {
    pub(super) event: NewEvent,
    /// Until when a duplicate of the delivery verifies, in milliseconds.
    pub(super) fresh_until: i64,
    /// The event's share of the limit on waiting bytes, even after the caller has stopped waiting.
    pub(super) _room: OwnedSemaphorePermit,
    pub(super) reply: oneshot::Sender<Result<Put, InboxError>>,
}

pub(super) struct Puts {
    pub(super) link: Link,
    pub(super) shared: Arc<Shared>,
    pub(super) room: Room,
}

impl Puts {
    /// The maximum time for which a batch waits for the callers of the last batch. It waits for a
    /// quarter of the time that the last batch took, and no longer than this.
    const LONGEST_PAUSE: Duration = Duration::from_millis(2);

    pub(super) async fn run(mut self, mut jobs: mpsc::Receiver<PutJob>) {
        let mut received = Vec::new();
        let mut pause = Duration::ZERO;
        // The number of callers that are waiting or were just answered.
        let mut expected = 0;
        while !received.is_empty() || jobs.recv_many(&mut received, BATCH).await > 0 {
            // A caller that was just answered usually sends its next event immediately. Without
            // this wait, two halves of the callers would take turns, and each half would need its
            // own fsync.
            let others = async {
                while received.len() < expected {
                    let missing = expected.saturating_sub(received.len());
                    if jobs.recv_many(&mut received, missing).await == 0 {
                        return;
                    }
                }
            };
            _ = timeout(pause, others).await;
            yield_now().await;
            receive_more(&mut jobs, &mut received);
            let (begun, count) = (Instant::now(), received.len());
            let mut waiting = std::mem::take(&mut received).into_iter().peekable();
            while waiting.peek().is_some() {
                let mut bytes = 0_usize;
                let mut batch = Vec::new();
                while let Some(job) = waiting.next_if(|job| {
                    bytes = bytes.saturating_add(job.event.bytes.len());
                    bytes <= BATCH_BYTES || batch.is_empty()
                }) {
                    batch.push(job);
                }
                // A caller that has stopped waiting has handled or rejected the event.
                batch.retain(|job| !job.reply.is_closed());
                self.put(batch).await;
            }
            pause = begun.elapsed().checked_div(4).unwrap_or_default().min(Self::LONGEST_PAUSE);
            receive_more(&mut jobs, &mut received);
            expected = count.saturating_add(received.len()).min(BATCH);
        }
    }

    async fn put(&mut self, batch: Vec<PutJob>) {
        let batch = match self.admit(batch).await {
            Ok(batch) if batch.is_empty() => return,
            // Without an order, two processes that store the same keys could deadlock.
            Ok(mut batch) => {
                batch.sort_by_key(|job| job.event.key);
                batch
            }
            Err((error, batch)) => {
                answer(batch, |_| Err(error.clone()));
                return;
            }
        };
        match self.insert(&batch).await {
            Ok(mut stored) => {
                if !stored.is_empty() {
                    self.shared.work.notify_one();
                    self.shared.announce.notify_one();
                }
                // If several events have the same key, the first one is stored.
                answer(batch, |job| Ok(if stored.remove(&job.event.key) { Put::Stored } else { Put::Duplicate }));
            }
            Err(error) => answer(batch, |_| Err(error.clone())),
        }
    }

    async fn insert(&mut self, batch: &[PutJob]) -> Result<HashSet<ClaimKey>, InboxError> {
        let keys: Vec<_> = batch.iter().map(|job| job.event.key.as_bytes().as_slice()).collect();
        let records: Vec<_> = batch.iter().map(|job| job.event.record.as_bytes().as_slice()).collect();
        let fresh_until: Vec<_> = batch.iter().map(|job| job.fresh_until).collect();
        let events: Vec<_> = batch.iter().map(|job| &*job.event.bytes).collect();
        let parameters: [Parameter<'_>; 4] = [
            (&keys, Type::BYTEA_ARRAY),
            (&records, Type::BYTEA_ARRAY),
            (&fresh_until, Type::INT8_ARRAY),
            (&events, Type::BYTEA_ARRAY),
        ];
        // The capacity is used in any case, because a statement that fails may still have been
        // committed.
        batch.iter().for_each(|job| self.room.use_up_for(job));
        let rows = self.link.query(&self.shared.sql.put, &parameters, WITHIN).await?;
        keys_of(&rows)
    }

    /// Rejects events for which there is no capacity. Duplicates require none.
    async fn admit(&mut self, batch: Vec<PutJob>) -> Result<Vec<PutJob>, (InboxError, Vec<PutJob>)> {
        self.room.use_up(self.shared.redriven.swap(0, Relaxed), 0);
        if self.room.is_for(&batch) {
            return Ok(batch);
        }
        if let Err(error) = self.count().await {
            // Counting is slow while many dead rows wait for vacuum. In this case the last count
            // remains valid.
            self.room.renew();
            return if self.room.is_for(&batch) { Ok(batch) } else { Err((error, batch)) };
        }
        if self.room.is_for(&batch) {
            return Ok(batch);
        }
        let keys: Vec<_> = batch.iter().map(|job| job.event.key.as_bytes().as_slice()).collect();
        let known = self.link.query(&self.shared.sql.known, &[(&keys, Type::BYTEA_ARRAY)], WITHIN).await;
        let known = match known.and_then(|rows| keys_of(&rows)) {
            Ok(known) => known,
            Err(error) => return Err((error, batch)),
        };
        let mut left = self.room;
        let mut admitted = known;
        let (fits, refused) = batch.into_iter().partition(|job| {
            if admitted.contains(&job.event.key) {
                return true;
            }
            let is_room = left.is_for(std::slice::from_ref(job));
            if is_room {
                left.use_up_for(job);
                admitted.insert(job.event.key);
            }
            is_room
        });
        answer(refused, |_| Err(full()));
        Ok(fits)
    }

    /// Counts the events and bytes in the table.
    async fn count(&mut self) -> Result<(), InboxError> {
        let within = if self.room.counted_at.is_some() { WITHIN } else { FIRST_COUNT_WITHIN };
        let rows = self.link.query(&self.shared.sql.held, &[], within).await?;
        let row = rows.first().ok_or_else(super::no_row)?;
        let pending: i64 = row.try_get(0).map_err(|error| unreadable(&error))?;
        let bytes: i64 = row.try_get(1).map_err(|error| unreadable(&error))?;
        self.room.counted(&self.shared.bounds, super::unsigned(pending), super::unsigned(bytes));
        Ok(())
    }
}

/// Receives the jobs that have already arrived.
fn receive_more(jobs: &mut mpsc::Receiver<PutJob>, received: &mut Vec<PutJob>) {
    while let Some(job) = (received.len() < BATCH).then(|| jobs.try_recv().ok()).flatten() {
        received.push(job);
    }
}

fn keys_of(rows: &[tokio_postgres::Row]) -> Result<HashSet<ClaimKey>, InboxError> {
    rows.iter()
        .map(|row| {
            let key: &[u8] = row.try_get(0).map_err(|error| unreadable(&error))?;
            let key = key.try_into().map_err(|_| {
                InboxError::new(InboxErrorKind::Damaged, "a claim key in the table does not have 32 bytes")
            })?;
            Ok(ClaimKey::from_bytes(key))
        })
        .collect()
}

fn answer(batch: Vec<PutJob>, mut answer: impl FnMut(&PutJob) -> Result<Put, InboxError>) {
    for job in batch {
        let put = answer(&job);
        _ = job.reply.send(put);
    }
}

fn full() -> InboxError {
    InboxError::new(
        InboxErrorKind::Full,
        "the inbox is full: raise `max_pending` or `max_bytes`, or let a worker catch up",
    )
}

/// The capacity that may be used before the table is counted again. Counting a large table is slow,
/// and other processes store events, too.
#[derive(Clone, Copy, Debug)]
pub(super) struct Room {
    events: u64,
    bytes: u64,
    counted_at: Option<Instant>,
}

impl Room {
    /// How long a count is valid.
    const GOOD_FOR: Duration = Duration::from_secs(10);

    pub(super) const fn unknown() -> Self {
        Self { events: 0, bytes: 0, counted_at: None }
    }

    fn counted(&mut self, bounds: &Bounds, pending: u64, bytes: u64) {
        *self = Self {
            events: bounds.max_pending.saturating_sub(pending),
            bytes: bounds.max_bytes.saturating_sub(bytes),
            counted_at: Some(Instant::now()),
        };
    }

    /// Extends the validity of an old count.
    fn renew(&mut self) {
        self.counted_at = self.counted_at.map(|_| Instant::now());
    }

    fn is_for(&self, batch: &[PutJob]) -> bool {
        let events = u64::try_from(batch.len()).unwrap_or(u64::MAX);
        let bytes = batch.iter().map(|job| job.event.bytes.len()).fold(0, usize::saturating_add);
        self.counted_at.is_some_and(|at| at.elapsed() < Self::GOOD_FOR)
            && events <= self.events
            && u64::try_from(bytes).unwrap_or(u64::MAX) <= self.bytes
    }

    fn use_up_for(&mut self, job: &PutJob) {
        self.use_up(1, u64::try_from(job.event.bytes.len()).unwrap_or(u64::MAX));
    }

    fn use_up(&mut self, events: u64, bytes: u64) {
        self.events = self.events.saturating_sub(events);
        self.bytes = self.bytes.saturating_sub(bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::{super::super::store::NewEvent, *};

    #[tokio::test(start_paused = true)]
    async fn a_renewed_count_keeps_used_capacity() {
        let bounds = Bounds { max_pending: 3, max_bytes: 1_000, ..crate::inbox::model::BOUNDS };
        let queued = Arc::new(tokio::sync::Semaphore::new(10));
        let job = || {
            let _room = Arc::clone(&queued).try_acquire_owned().unwrap();
            let event = NewEvent::from(crate::inbox::model::event(1));
            PutJob { event, fresh_until: 0, _room, reply: oneshot::channel().0 }
        };
        let mut room = Room::unknown();
        room.renew();
        assert!(!room.is_for(&[job()]), "nothing was counted");
        room.counted(&bounds, 1, 0);
        assert!(room.is_for(&[job(), job()]) && !room.is_for(&[job(), job(), job()]));
        tokio::time::advance(Room::GOOD_FOR).await;
        assert!(!room.is_for(&[job()]));
        room.renew();
        assert!(room.is_for(&[job(), job()]));
        room.use_up_for(&job());
        room.use_up_for(&job());
        assert!(!room.is_for(&[job()]));
    }
}
