//! The durable inbox: each delivery is on disk before Twenty gets an answer, and a worker handles
//! it at least once.
//!
//! Twenty sends each delivery once. If the handler fails or the process is killed, the event is
//! lost, unless it was stored first.
//!
//! # The guarantee
//!
//! A 2xx to Twenty means that the delivery is on disk or, if it could not be stored, that its
//! handler has succeeded. Once a delivery is on disk, the worker calls its handler at least once.
//! After a crash, an error or a panic, the worker calls it again, with growing pauses, until it
//! succeeds or the event becomes a dead letter. An event becomes a dead letter if its handler
//! reports a permanent failure, if its attempts are used up, or if the process has ended five times
//! in a row while its handler ran. A dead letter keeps the whole body until you redrive or purge
//! it, or until its retention (30 days by default) ends.
//!
//! A duplicate is a delivery with the same claim key, by default a hash of the body. It is answered
//! 200, and is not handled again for as long as the inbox remembers the keys of completed events.
//! It remembers them for 24 hours by default, and always for at least as long as a replayed
//! delivery verifies. If a delivery could not be stored, only the process that handled it remembers
//! its key.
//!
//! Two events of the same record are not handled at the same time in one process, but no order is
//! guaranteed. The guarantee does not cover deliveries that Twenty never sends, disks that lie
//! about fsync, or network file systems.
//!
//! Make your handlers idempotent: if the process ends before the inbox has stored that a handler
//! has finished, its event is handled again. This also happens on a graceful shutdown while the
//! store fails. [`Attempt::id`] is the same each time.
//!
//! ```
//! # #[cfg(feature = "redb")]
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use std::time::Duration;
//! use twenty_webhook::{
//!     WebhookEvent,
//!     event::record::Person,
//!     inbox::{HandlerError, Inbox, PermanentExt},
//! };
//!
//! #[derive(Clone)]
//! struct Db;
//! # impl Db { async fn greet(&self, _: &str) -> Result<(), std::io::Error> { Ok(()) } }
//!
//! async fn welcome(db: Db, event: WebhookEvent<Person>) -> Result<(), HandlerError> {
//!     let id = event.record.id.as_ref().ok_or("a person without an id").permanent()?; // no further attempt
//!     db.greet(&id.to_string()).await?; // another attempt later
//!     Ok(())
//! }
//!
//! # let directory = std::env::temp_dir().join(format!("twenty-webhook-doc-{}", std::process::id()));
//! # std::fs::create_dir_all(&directory)?;
//! # let path = directory.join("twenty-inbox.redb");
//! let inbox = Inbox::open(&path)?;
//! let worker = inbox
//!     .worker(Db)
//!     .on("person.created", welcome)
//!     .fallback(async |_: Db, event: WebhookEvent| println!("{}", event.name))
//!     .start()?;
//!
//! // For each delivery: `inbox.accept(verified).await`, then answer 200.
//!
//! worker.shutdown(Duration::from_secs(10)).await; // unfinished events stay in the inbox
//! # std::fs::remove_dir_all(directory)?;
//! # Ok(())
//! # }
//! # #[cfg(not(feature = "redb"))]
//! # fn main() {}
//! ```
//!
//! # What happens to an event
//!
//! | situation | what happens to the event |
//! |---|---|
//! | its handler succeeds | it is deleted, and its key is remembered |
//! | its handler returns an error, panics, or takes longer than [its timeout](WorkerBuilder::timeout) | it waits for its next attempt, longer each time |
//! | its last attempt fails, or the error is [permanent](PermanentExt) | it becomes a dead letter |
//! | it does not fit the handler's type, or is not JSON | it becomes a dead letter ([`DeadReason::Mismatch`]) |
//! | there is neither a handler nor a fallback for it | it is completed and counted as `unmatched`, and the first event of each name is logged |
//! | the process is killed while its handler runs | it is ready again (in PostgreSQL after its [lease](InboxBuilder#postgresql) ends), and the attempt does not count |
//! | the process is killed twice in a row while its handler runs | from then on it runs alone, so that an event that crashes the process affects no other events |
//! | the process is killed [five times](RetryPolicy::interruptions) in a row while its handler runs | it becomes a dead letter ([`DeadReason::Interrupted`]) |
//! | the worker is [shut down](Worker::shutdown) | it stays in the inbox, and the attempt does not count |
//!
//! # Stores
//!
//! | feature | store | for |
//! |---|---|---|
//! | `redb` | `Inbox::open`: one file | one process at a time |
//! | `postgres` | `Inbox::connect`: a table in PostgreSQL, see [the settings](InboxBuilder#postgresql) | several processes on several machines; receivers and workers can be separate programs |
//! | | [`InboxBuilder::in_memory`] | tests of your handlers |
//!
//! # Trust
//!
//! A stored delivery is not verified again, because its secret may have changed. Anyone who can
//! write to the file (which is created with mode 0600) or to the table in PostgreSQL can forge
//! events.
//!
//! # Metrics
//!
//! With the feature `metrics`:
//!
//! | name | kind | labels | what |
//! |---|---|---|---|
//! | `twenty_webhook_inbox_accepted_total` | counter | `outcome` | deliveries: `stored`, `duplicate`; if they could not be stored: `handled`, `failed`, `rejected` |
//! | `twenty_webhook_inbox_store_failures_total` | counter | `kind` | failures of the store, by [`InboxErrorKind`] |
//! | `twenty_webhook_inbox_store_seconds` | histogram | | time to store a delivery |
//! | `twenty_webhook_inbox_attempts_total` | counter | `outcome` | attempts: `handled`, `unmatched`, `retried`, `dead`, `lost` (the event was erased, or another worker took it, before its handler ended) |
//! | `twenty_webhook_inbox_handler_seconds` | histogram | | time of an attempt |
//! | `twenty_webhook_inbox_events` | gauge | `state` | events in the inbox: `ready`, `delayed`, `running`, `dead` |
//! | `twenty_webhook_inbox_oldest_pending_seconds` | gauge | | age of the oldest event that is neither completed nor dead |
//! | `twenty_webhook_inbox_bytes` | gauge | | bytes of pending events and dead letters |
//!
//! The worker sets the gauges every ten seconds.
//!
//! # Logs
//!
//! With the feature `tracing`, these are logged:
//!
//! | level | what |
//! |---|---|
//! | error | a dead letter, a failure of the store, a failed sync of the file, a panic in `key_by` |
//! | warn | a failed attempt, an unmatched event, an event that another worker took or that was erased, a file that was moved, replaced or deleted |
//! | warn, at the start | a file that other users can read, a database with `fsync` or `full_page_writes` off |
//! | info | waiting for another process, a file that was rewritten |
//! | debug | everything else |
//!
//! The text of your handler's errors is logged, quoted and truncated after 500 bytes.

mod accept;
mod dead_letter;
mod error;
mod id;
mod memory;
#[cfg(all(test, any(feature = "postgres", feature = "redb")))]
mod model;
#[cfg(any(feature = "actix-web", feature = "tower"))]
mod mount;
mod options;
#[cfg(feature = "postgres")]
mod postgres;
#[cfg(feature = "redb")]
mod redb;
mod store;
mod stored;
mod telemetry;
mod worker;

use std::{
    fmt,
    sync::{Arc, atomic::AtomicBool},
};

pub use accept::Accepted;
pub use dead_letter::{DeadLetter, DeadLetters, DeadReason};
pub use error::{InboxError, InboxErrorKind};
pub use id::EventId;
pub use options::{InboxBuilder, InboxFailure};
pub use worker::{
    Attempt, Handler, HandlerError, HandlerResult, PermanentExt, RetryPolicy, Shutdown, StartError, Worker,
    WorkerBuilder,
};

use crate::{
    deduplicate::Naming,
    verify::{Clock, Timestamp},
};
use accept::Direct;
use id::RecordKey;
use store::{Step, Store, StoreFuture, Which};
use stored::StoredEvent;

/// Stores accepted deliveries until they are handled; see [the module](self).
///
/// Clones are cheap and share everything. `Debug` shows no content.
#[doc(alias = "queue")]
#[doc(alias = "outbox")]
#[derive(Clone)]
pub struct Inbox {
    inner: Arc<Inner>,
}

struct Inner {
    store: Arc<dyn Store>,
    naming: Naming,
    on_failure: InboxFailure,
    clock: Arc<dyn Clock>,
    direct: Direct,
    has_worker: AtomicBool,
}

/// Statistics of an inbox.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// Events that can be handled now.
    pub ready: u64,
    /// Events that failed and wait for their next attempt.
    pub delayed: u64,
    /// Events that are being handled.
    pub running: u64,
    /// Dead letters.
    pub dead: u64,
    /// The stored bytes of all of these.
    pub bytes: u64,
    /// Keys of completed events that are remembered.
    pub remembered_keys: u64,
    /// When the oldest event that is neither completed nor dead was accepted.
    pub oldest_pending: Option<Timestamp>,
}

impl Inbox {
    fn new(store: Arc<dyn Store>, options: InboxBuilder) -> Self {
        telemetry::describe();
        let InboxBuilder { naming, on_failure, clock, .. } = options;
        let has_worker = AtomicBool::new(false);
        Self { inner: Arc::new(Inner { store, naming, on_failure, clock, direct: Direct::new(), has_worker }) }
    }

    /// Opens or creates the inbox in this file, with the default settings; see
    /// [`InboxBuilder::open`].
    ///
    /// # Errors
    ///
    /// See [`InboxBuilder::open`].
    #[cfg(feature = "redb")]
    pub fn open(path: impl AsRef<std::path::Path>) -> Result<Self, InboxError> {
        Self::builder().open(path)
    }

    /// Connects to the inbox in this PostgreSQL database, with the default settings and without
    /// TLS, and creates its table if necessary; see [`InboxBuilder::connect`].
    ///
    /// # Errors
    ///
    /// See [`InboxBuilder::connect`].
    #[cfg(feature = "postgres")]
    pub async fn connect(url: &str) -> Result<Self, InboxError> {
        Self::builder().connect(url).await
    }

    /// Returns a builder, for other settings than the defaults.
    pub fn builder() -> InboxBuilder {
        InboxBuilder::new()
    }

    /// Returns a builder for a worker that handles the events of this inbox. `state` is cloned for
    /// each call of a handler; pass `()` if you need none.
    pub fn worker<S: Clone + Send + Sync + 'static>(&self, state: S) -> WorkerBuilder<S> {
        WorkerBuilder::new(Arc::clone(&self.inner), state)
    }

    /// Returns the statistics of the inbox.
    ///
    /// # Errors
    ///
    /// Fails if the store cannot be read.
    pub async fn stats(&self) -> Result<Stats, InboxError> {
        self.inner.store.stats().await
    }

    /// Returns the dead letters, in the order in which they were accepted.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), twenty_webhook::inbox::InboxError> {
    /// # let inbox = twenty_webhook::inbox::Inbox::builder().in_memory();
    /// let mut letters = inbox.dead_letters();
    /// while let Some(letter) = letters.next().await? {
    ///     println!("{} {} {}: {}", letter.id(), letter.name(), letter.reason(), letter.message());
    /// }
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn dead_letters(&self) -> DeadLetters {
        DeadLetters::new(Arc::clone(&self.inner.store))
    }

    /// Returns the dead letter with this id, or `None` if there is none.
    ///
    /// # Errors
    ///
    /// Fails if the store cannot be read.
    pub async fn dead_letter(&self, id: EventId) -> Result<Option<DeadLetter>, InboxError> {
        self.inner.store.dead_letter(id).await
    }

    /// Makes a dead letter ready again, as if it had just been accepted. Returns `false` if no dead
    /// letter has this id.
    ///
    /// # Errors
    ///
    /// Fails if the store cannot be written.
    pub async fn redrive(&self, id: EventId) -> Result<bool, InboxError> {
        Ok(self.inner.store.redrive(Which::One(id)).await?.count > 0)
    }

    /// Makes all dead letters ready again, and returns their number.
    ///
    /// # Errors
    ///
    /// Fails if the store cannot be written.
    pub async fn redrive_all(&self) -> Result<u64, InboxError> {
        in_steps(|which| self.inner.store.redrive(which)).await
    }

    /// Deletes a dead letter. Returns `false` if no dead letter has this id. Later duplicates of
    /// the deleted event count as handled.
    ///
    /// # Errors
    ///
    /// Fails if the store cannot be written.
    pub async fn purge(&self, id: EventId) -> Result<bool, InboxError> {
        Ok(self.inner.store.purge(Which::One(id)).await?.count > 0)
    }

    /// Deletes all dead letters, and returns their number.
    ///
    /// # Errors
    ///
    /// Fails if the store cannot be written.
    pub async fn purge_all(&self) -> Result<u64, InboxError> {
        in_steps(|which| self.inner.store.purge(which)).await
    }

    /// Deletes all events of a record, pending ones and dead letters, and returns their number, for
    /// example when a person asks to be forgotten. It does not stop a running handler.
    ///
    /// It does not find events of other records that mention this one. Deleted events can be
    /// recovered from the file until their space is used again or [released](Self::compact).
    ///
    /// # Errors
    ///
    /// Fails if the store cannot be written.
    pub async fn erase_record(&self, record_id: &str) -> Result<u64, InboxError> {
        self.inner.store.erase(RecordKey::of_id(record_id)).await
    }

    /// Returns unused space to the file system. Returns `false` if there was none. This can take
    /// seconds for a large file, and nothing is stored meanwhile. In PostgreSQL this does nothing,
    /// because the database reuses free space; see [the settings](InboxBuilder#postgresql).
    ///
    /// # Errors
    ///
    /// Fails if the store cannot be written.
    pub async fn compact(&self) -> Result<bool, InboxError> {
        self.inner.store.compact().await
    }
}

/// Processes all dead letters, a few at a time. A letter that dies again meanwhile is not processed
/// twice.
async fn in_steps<'a>(step: impl Fn(Which) -> StoreFuture<'a, Step>) -> Result<u64, InboxError> {
    let mut sum = 0_u64;
    let mut after = Some(0);
    while let Some(position) = after {
        let Step { count, last } = step(Which::SomeAfter(position)).await?;
        sum = sum.saturating_add(count);
        after = last;
    }
    Ok(sum)
}

impl fmt::Debug for Inbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Inbox")
            .field("store", &self.inner.store)
            .field("naming", &self.inner.naming)
            .field("on_failure", &self.inner.on_failure)
            .finish_non_exhaustive()
    }
}
