//! What a store has to do. There are two that keep something: one file (redb), and PostgreSQL.
//!
//! # States
//!
//! ```text
//! put ─► ready ─► running ─┬─ complete ─► forgotten, but for its key, until the key expires
//!          ▲  ▲            ├─ retry ────► delayed ─► (when it is due) running
//!          │  │            ├─ dead ─────► dead ─┬─ redrive ─► ready
//!          │  └─ release ──┤                    └─ purge, retention ─► forgotten, but for its key
//!          └── interrupted ┘ (the process died, or its lease ran out)
//! ```
//!
//! # What an implementation must keep
//!
//! - **`put` answers only after the event is on disk.** A key that is in the store, in whatever
//!   state, is a [`Put::Duplicate`]. Puts of many callers share one transaction.
//! - **A lease has a token** that no other take of the same event had. An end and a
//!   [`Store::renew`] with another token than the event's current one change nothing: `false`.
//! - **A take ends what is done, too**: both happen or neither does. It chooses from what was there
//!   before it ended anything.
//! - **`take` returns an event to one caller.** With several processes: `SKIP LOCKED`, and a lease
//!   that ends ([`Store::lease`]). It never returns an event whose record is in
//!   [`Take::busy`], nor two of the same record ([`RecordKey::NONE`] is not a record).
//! - **Order and fairness**: ready ones by acceptance, delayed ones by due time; each fourth slot
//!   ([`Take::prefers_delayed`]) takes a delayed one first, the others a ready one first.
//! - **An event whose process died** (found running when the file is opened; lease at its end) gets
//!   `interruptions + 1` and is ready again, before younger ones. From [`ALONE_FROM`] interruptions
//!   on it is *suspect*: only a take with [`Take::alone`] returns it, one at a time, those with the
//!   fewest interruptions first. Other takes say in [`Taken::suspects`] that there is one.
//!   Attempts are counted at their end ([`End::Retry`], [`End::Dead`]), so an interruption is none;
//!   [`End::Retry`] sets `interruptions` to 0.
//! - **A due time further away than [`Take::longest_delay`]** counts as that far: the clock was set
//!   back. It is written down, or the time would move away with the clock.
//! - **Dead events keep their whole body and their key.** A redrive resets the same row.
//! - **[`Store::maintain`]** forgets what is due in small steps, and nothing in `take` waits for
//!   it.
//! - A failure says so, with an [`InboxError`] of kind `Unavailable` or `Timeout` when it may go
//!   well later. Each call has a bound in time of its own.
//!
//! # Adding a store
//!
//! A store is a type that implements [`Store`], and a function of
//! [`InboxBuilder`](super::InboxBuilder) that calls `Inbox::new(Arc::new(store), self)`. For a
//! database that several processes share:
//!
//! - [`StoredEvent::encode`] gives one event as bytes; its key and record are wanted as columns,
//!   too.
//! - Callers put one event each. Gather them in a task of the store's own and insert a batch, as
//!   `redb/writer.rs` does: the answer is sent after the commit. Bound what waits, in bytes.
//! - [`Store::lease`] returns a time, and the worker renews each third of it. `take` finds running
//!   events whose lease has ended, and counts an interruption for each.
//! - [`Store::begin`] concerns the leases that this process was given before: remember them. Those
//!   of other processes stay.
//! - An answer to `take` that nobody waits for any more gives its events back.
//! - The time is the database's, so that machines need not agree; the model test sets it, by the
//!   clock of the settings.
//! - `src/inbox/model.rs` compares the store with the plain one; `kill` lets all leases end.
//! - The `cfg_attr(not(any(… feature = "redb")), allow(dead_code, …))` in `lib.rs`, `claim.rs`,
//!   `headers.rs` and `verified.rs` name the new feature, too.

use std::{collections::HashSet, fmt, future::Future, pin::Pin, time::Duration};

use bytes::Bytes;
use tokio::sync::Notify;

use super::{DeadLetter, DeadReason, EventId, InboxError, RecordKey, Stats, StoredEvent};

pub(crate) type StoreFuture<'a, T> = Pin<Box<dyn Future<Output = Result<T, InboxError>> + Send + 'a>>;

/// From how many interruptions on an event runs alone.
pub(crate) const ALONE_FROM: u32 = 2;

/// How long a key is kept beyond the time until which a copy verifies: the time in which its body
/// may arrive, and some for clocks.
pub(crate) const KEY_MARGIN: Duration = Duration::from_secs(60);

/// Where accepted events are kept. All methods can be called from any task; a future that is
/// dropped may have happened.
pub(crate) trait Store: Send + Sync + fmt::Debug + 'static {
    /// Puts an event onto the disk.
    fn put(&self, event: StoredEvent) -> StoreFuture<'_, Put>;

    /// A worker of this process starts. Another one of this process has ended: what it left running
    /// is ready again, and not counted as interrupted.
    fn begin(&self) -> StoreFuture<'_, ()>;

    /// Takes events to run, and ends what was taken before. The caller awaits it to the end.
    fn take(&self, take: Take) -> StoreFuture<'_, Taken>;

    /// How long a lease lasts without [`renew`](Self::renew). `None` in a store of this process
    /// alone, which needs none.
    fn lease(&self) -> Option<Duration> {
        None
    }

    /// Makes a lease last from now on; `false` when it was lost.
    fn renew(&self, _: Lease) -> StoreFuture<'_, bool> {
        Box::pin(async { Ok(true) })
    }

    /// Notified when there may be something to take: after a put, a redrive, or a release. With
    /// several processes best effort, since the worker also asks each second.
    fn work(&self) -> &Notify;

    /// Forgets some of the keys and dead letters whose time has come. `true` when there are more.
    fn maintain(&self) -> StoreFuture<'_, bool>;

    /// How much there is.
    fn stats(&self) -> StoreFuture<'_, Stats>;

    /// At most `limit` dead letters behind this position, in the order of acceptance, each with its
    /// position.
    fn dead_letters(&self, after: u64, limit: usize) -> StoreFuture<'_, Vec<(u64, DeadLetter)>>;

    /// One dead letter.
    fn dead_letter(&self, id: EventId) -> StoreFuture<'_, Option<DeadLetter>>;

    /// Makes dead letters ready again, with no attempts and no interruptions.
    fn redrive(&self, which: Which) -> StoreFuture<'_, Step>;

    /// Forgets dead letters. Their keys count as completed from now on.
    fn purge(&self, which: Which) -> StoreFuture<'_, Step>;

    /// Forgets all events of a record, in whatever state. Their keys count as completed from now
    /// on. How many.
    fn erase(&self, record: RecordKey) -> StoreFuture<'_, u64>;

    /// Gives space back to the system, where that takes an action; `false` when there was none to
    /// give back.
    fn compact(&self) -> StoreFuture<'_, bool>;
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Put {
    Stored,
    /// The key was there.
    Duplicate,
}

/// What a worker asks for.
#[derive(Clone, Debug)]
pub(crate) struct Take {
    /// What is done.
    pub(crate) ends: Vec<(Lease, End)>,
    /// How many events to take at most; with `alone`, 1.
    pub(crate) limit: usize,
    /// Counts slots, so that each fourth prefers a delayed event over any number of takes.
    pub(crate) turn: u64,
    /// The records of which an event runs in this process.
    pub(crate) busy: HashSet<RecordKey>,
    /// Nothing runs in this process: take a suspect.
    pub(crate) alone: bool,
    pub(crate) longest_delay: Duration,
}

impl Take {
    /// Takes nothing.
    #[cfg(any(feature = "redb", all(test, feature = "postgres")))]
    pub(crate) fn only_to_end(ends: Vec<(Lease, End)>) -> Self {
        Self { ends, limit: 0, turn: 0, busy: HashSet::new(), alone: false, longest_delay: Duration::MAX }
    }

    /// Whether this slot, counted from 0, takes a delayed event first.
    pub(crate) const fn prefers_delayed(&self, slot: u64) -> bool {
        self.turn.wrapping_add(slot).is_multiple_of(4)
    }
}

#[derive(Debug, Default)]
pub(crate) struct Taken {
    /// For each of [`Take::ends`], whether its lease was held.
    pub(crate) ended: Vec<bool>,
    /// Of [`Take::ends`], what has not ended yet, because somebody else has locked it: the worker
    /// ends it later.
    pub(crate) locked: HashSet<Lease>,
    pub(crate) events: Vec<TakenEvent>,
    /// What was taken, but cannot be read: the worker ends it as dead.
    pub(crate) unreadable: Vec<Lease>,
    /// Whether suspects wait for a take with `alone`.
    pub(crate) suspects: bool,
    /// Whether events were left because their records are busy.
    pub(crate) left_busy: bool,
    /// In how long the next delayed event is due.
    pub(crate) next_due: Option<Duration>,
}

#[derive(Debug)]
pub(crate) struct TakenEvent {
    pub(crate) lease: Lease,
    pub(crate) event: StoredEvent,
    /// How many attempts have ended.
    pub(crate) attempts: u32,
    /// How many were interrupted since the last one that ended.
    pub(crate) interruptions: u32,
}

/// The right to end an event's run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Lease {
    /// The event's place in the order of acceptance.
    pub(crate) event: u64,
    pub(crate) token: u64,
}

/// How a run ended.
#[derive(Clone, Debug)]
pub(crate) enum End {
    Complete,
    /// One more attempt after this time.
    Retry {
        delay: Duration,
    },
    Dead {
        reason: DeadReason,
        message: Box<str>,
    },
    /// It was not run, or not to its end: nothing is counted.
    Release,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Which {
    One(EventId),
    /// Some of those behind this position, so that nobody waits long for them.
    SomeAfter(u64),
}

/// What was done to dead letters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Step {
    pub(crate) count: u64,
    /// The position of the last one, where there may be more behind it.
    pub(crate) last: Option<u64>,
}

/// An event that is to be stored, as the writer of a store gets it.
#[derive(Debug)]
pub(crate) struct NewEvent {
    pub(crate) key: crate::deduplicate::ClaimKey,
    pub(crate) record: RecordKey,
    /// See [`StoredEvent::encode`].
    pub(crate) bytes: Bytes,
}

impl From<StoredEvent> for NewEvent {
    fn from(event: StoredEvent) -> Self {
        Self { key: event.key, record: event.record, bytes: event.encode().into() }
    }
}

/// The bounds of a store.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    /// Pending events: ready, delayed or running.
    pub(crate) max_pending: u64,
    /// Bytes of pending events and dead letters.
    pub(crate) max_bytes: u64,
    pub(crate) remember_for: Duration,
    pub(crate) keep_dead_for: Duration,
}
