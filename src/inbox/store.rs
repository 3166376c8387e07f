//! The interface of a store and its invariants. There are two durable stores: one file (redb), and
//! PostgreSQL.
//!
//! # States
//!
//! ```text
//! put ─► ready ─► running ─┬─ complete ─► deleted; its key stays until it expires
//!          ▲  ▲            ├─ retry ────► delayed ─► (when it is due) running
//!          │  │            ├─ dead ─────► dead ─┬─ redrive ─► ready
//!          │  └─ release ──┤                    └─ purge, retention ─► deleted; its key stays
//!          └── interrupted ┘ (the process died, or its lease expired)
//! ```
//!
//! # Requirements
//!
//! - **`put` answers only after the event is on disk.** If the key is in the store, in any state,
//!   the answer is [`Put::Duplicate`]. Puts of many callers share one transaction.
//! - **A lease has a token** that no other take of the same event had. If an end or a
//!   [`Store::renew`] has another token than the event's current one, it changes nothing and
//!   returns `false`.
//! - **A take also ends handled events**: both happen or neither does. It chooses from the events
//!   that were in the store before it ended any.
//! - **`take` returns an event to one caller.** With several processes this requires `SKIP LOCKED`,
//!   and leases that end ([`Store::lease`]). A take never returns an event whose record is in
//!   [`Take::busy`], nor two events of the same record ([`RecordKey::NONE`] is not a record).
//! - **Order and fairness**: ready events are taken in the order of acceptance, delayed ones by due
//!   time. Each fourth slot ([`Take::prefers_delayed`]) takes a delayed event first, the other
//!   slots a ready one.
//! - **An event whose process died** (it is running when the file is opened, or its lease has
//!   ended) gets `interruptions + 1` and is ready again, before younger events. From [`ALONE_FROM`]
//!   interruptions on it is *suspect*: only a take with [`Take::alone`] returns it, one at a time,
//!   events with the fewest interruptions first. Other takes report suspects in
//!   [`Taken::suspects`]. Attempts are counted when they end ([`End::Retry`], [`End::Dead`]), so an
//!   interruption is not an attempt. [`End::Retry`] sets `interruptions` to 0.
//! - **A due time further away than [`Take::longest_delay`]** is corrected to that delay, because
//!   the clock was set back. The correction is stored; otherwise the due time would stay out of
//!   reach while the clock advances. If several processes share the store, a process must not
//!   shorten the longer delays of another one.
//! - **Dead letters keep their whole body and their key.** A redrive resets the same row.
//! - **[`Store::maintain`]** forgets expired keys and dead letters in small steps, and `take` never
//!   waits for it.
//! - A failure returns an [`InboxError`], of kind `Unavailable` or `Timeout` if a retry may
//!   succeed. Each call has its own time limit.
//!
//! # Adding a store
//!
//! A store is a type that implements [`Store`], and a function of
//! [`InboxBuilder`](super::InboxBuilder) that calls `Inbox::new(Arc::new(store), self)`. For a
//! database that several processes share:
//!
//! - [`StoredEvent::encode`] returns an event as bytes. Its key and record must also be columns.
//! - Each caller puts one event. Gather puts in a task of the store and insert a batch, as
//!   `redb/writer.rs` does, and answer after the commit. Limit the bytes that wait.
//! - [`Store::lease`] returns the lease's duration, and the worker renews after each third of it.
//!   `take` finds running events whose lease has ended, and counts an interruption for each.
//! - [`Store::begin`] releases the earlier leases of this process, so remember them. Leases of
//!   other processes stay.
//! - If the caller of `take` no longer waits for the answer, give the events back.
//! - Use the database's time, so that machines need not agree. The model test sets it through the
//!   clock in the settings.
//! - `src/inbox/model.rs` compares the store with the store in memory. Its `kill` ends all leases.
//! - In `lib.rs`, `claim.rs`, `headers.rs` and `verified.rs`, add the new feature to
//!   `cfg_attr(not(any(… feature = "redb")), allow(dead_code, …))`.

use std::{collections::HashSet, fmt, future::Future, pin::Pin, time::Duration};

use bytes::Bytes;
use tokio::sync::Notify;

use super::{DeadLetter, DeadReason, EventId, InboxError, RecordKey, Stats, StoredEvent};

pub(crate) type StoreFuture<'a, T> = Pin<Box<dyn Future<Output = Result<T, InboxError>> + Send + 'a>>;

/// The number of interruptions from which an event runs alone.
pub(crate) const ALONE_FROM: u32 = 2;

/// The number of bytes from which a page of dead letters has no further letter. Bodies can be long,
/// and a page is in memory.
pub(crate) const PAGE_BYTES: usize = 8 << 20;

/// How long a key is kept after a duplicate no longer verifies: the time in which the body may
/// arrive, and a margin for clocks.
pub(crate) const KEY_MARGIN: Duration = Duration::from_secs(60);

/// Stores accepted events. All methods can be called from any task. If a future is dropped, the
/// operation may have happened.
pub(crate) trait Store: Send + Sync + fmt::Debug + 'static {
    /// Stores an event durably.
    fn put(&self, event: StoredEvent) -> StoreFuture<'_, Put>;

    /// Called when a worker of this process starts. Any earlier worker has ended: its running
    /// events are ready again, without counting an interruption.
    fn begin(&self) -> StoreFuture<'_, ()>;

    /// Takes events to run, and ends events that were taken before. The caller must not drop the
    /// future.
    fn take(&self, take: Take) -> StoreFuture<'_, Taken>;

    /// Returns how long a lease lasts without [`renew`](Self::renew). Returns `None` in a store for
    /// a single process, which has no leases.
    fn lease(&self) -> Option<Duration> {
        None
    }

    /// Extends a lease, counted from now. Returns `false` if the lease was lost.
    fn renew(&self, _: Lease) -> StoreFuture<'_, bool> {
        Box::pin(async { Ok(true) })
    }

    /// Returns a notifier, which is notified when there may be events to take: after a put, a
    /// redrive, or a release. With several processes this is best effort, because the worker also
    /// polls each second.
    fn work(&self) -> &Notify;

    /// Forgets some of the expired keys and dead letters. Returns `true` if there are more.
    fn maintain(&self) -> StoreFuture<'_, bool>;

    /// Returns the statistics of the store.
    fn stats(&self) -> StoreFuture<'_, Stats>;

    /// Returns at most `limit` dead letters after this position, in the order of acceptance, each
    /// with its position. May return fewer; only an empty page is the end. A page ends with the letter
    /// that reaches [`PAGE_BYTES`].
    fn dead_letters(&self, after: u64, limit: usize) -> StoreFuture<'_, Vec<(u64, DeadLetter)>>;

    /// Returns a dead letter.
    fn dead_letter(&self, id: EventId) -> StoreFuture<'_, Option<DeadLetter>>;

    /// Makes dead letters ready again, with no attempts and no interruptions.
    fn redrive(&self, which: Which) -> StoreFuture<'_, Step>;

    /// Forgets dead letters. Their keys count as completed from now on.
    fn purge(&self, which: Which) -> StoreFuture<'_, Step>;

    /// Forgets all events of a record, in any state, and returns their number. Their keys count as
    /// completed from now on.
    fn erase(&self, record: RecordKey) -> StoreFuture<'_, u64>;

    /// Returns space to the system, if that requires an action. Returns `false` if no space was
    /// returned.
    fn compact(&self) -> StoreFuture<'_, bool>;
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Put {
    Stored,
    /// The key exists already.
    Duplicate,
}

/// The request of a worker.
#[derive(Clone, Debug)]
pub(crate) struct Take {
    /// The events that have ended.
    pub(crate) ends: Vec<(Lease, End)>,
    /// The maximum number of events to take; 1 with `alone`.
    pub(crate) limit: usize,
    /// Counts slots, so that each fourth slot prefers a delayed event, over any number of takes.
    pub(crate) turn: u64,
    /// The records of the events that run in this process.
    pub(crate) busy: HashSet<RecordKey>,
    /// Takes a suspect. Nothing runs in this process.
    pub(crate) alone: bool,
    pub(crate) longest_delay: Duration,
}

impl Take {
    /// Creates a request that takes nothing.
    #[cfg(any(feature = "redb", all(test, feature = "postgres")))]
    pub(crate) fn only_to_end(ends: Vec<(Lease, End)>) -> Self {
        Self { ends, limit: 0, turn: 0, busy: HashSet::new(), alone: false, longest_delay: Duration::MAX }
    }

    /// Returns whether this slot, counted from 0, takes a delayed event first.
    pub(crate) const fn prefers_delayed(&self, slot: u64) -> bool {
        self.turn.wrapping_add(slot).is_multiple_of(4)
    }
}

#[derive(Debug, Default)]
pub(crate) struct Taken {
    /// Whether the lease was held, for each of [`Take::ends`].
    pub(crate) ended: Vec<bool>,
    /// The leases in [`Take::ends`] whose rows another transaction has locked. The worker ends them
    /// later.
    pub(crate) locked: HashSet<Lease>,
    pub(crate) events: Vec<TakenEvent>,
    /// Taken events that cannot be read. The worker makes them dead letters.
    pub(crate) unreadable: Vec<Lease>,
    /// Whether suspects wait for a take with `alone`.
    pub(crate) suspects: bool,
    /// Whether events were skipped because their records are busy.
    pub(crate) left_busy: bool,
    /// The time until the next delayed event is due.
    pub(crate) next_due: Option<Duration>,
}

#[derive(Debug)]
pub(crate) struct TakenEvent {
    pub(crate) lease: Lease,
    pub(crate) event: StoredEvent,
    /// How many attempts have ended.
    pub(crate) attempts: u32,
    /// How many attempts were interrupted since the last attempt that ended.
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
    /// The event gets another attempt after this time.
    Retry {
        delay: Duration,
    },
    Dead {
        reason: DeadReason,
        message: Box<str>,
    },
    /// The handler did not run, or did not end. Nothing is counted.
    Release,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Which {
    One(EventId),
    /// Some of the dead letters after this position, so that each call is short.
    SomeAfter(u64),
}

/// The result of a step of [`Store::redrive`] or [`Store::purge`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Step {
    pub(crate) count: u64,
    /// The position of the last processed dead letter, if there may be more after it.
    pub(crate) last: Option<u64>,
}

/// A new event in the form in which the writer of a store receives it.
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

/// The limits of a store.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    /// Pending events: ready, delayed or running.
    pub(crate) max_pending: u64,
    /// Bytes of pending events and dead letters.
    pub(crate) max_bytes: u64,
    pub(crate) remember_for: Duration,
    pub(crate) keep_dead_for: Duration,
}
