//! The inbox in one file, for one process.
//!
//! One thread owns the file. It runs a batch of jobs in one transaction, and answers when the
//! transaction is on disk. So a thousand deliveries that arrive at the same time share one fsync.

mod file;
mod read;
mod reader;
mod rewrite;
mod rows;
mod tables;
#[cfg(test)]
mod tests;
mod writer;

use std::{
    fmt,
    panic::{AssertUnwindSafe, catch_unwind},
    path::Path,
    sync::Arc,
    time::Duration,
};

use tokio::sync::{Notify, Semaphore, mpsc, oneshot};

use super::{
    DeadLetter, EventId, InboxError, InboxErrorKind, RecordKey, Stats, StoredEvent,
    store::{Bounds, Put, Step, Store, StoreFuture, Take, Taken, Which},
};
use crate::verify::{Clock, Timestamp};
pub(super) use file::FileOptions;
pub(super) use reader::RedbReader;
use writer::{Command, Job, Writer};

pub(super) struct RedbStore {
    jobs: mpsc::Sender<Job>,
    /// Limits the bytes that wait for the writer, in KiB.
    queued: Arc<Semaphore>,
    work: Arc<Notify>,
    clock: Arc<dyn Clock>,
}

impl RedbStore {
    /// The maximum of bytes that wait for the writer. A single event is always allowed.
    const MAX_QUEUED_KIB: u32 = 64 << 10;

    /// The maximum time for which a call waits for the writer.
    const PATIENCE: Duration = Duration::from_secs(30);

    /// Opens or creates the file, and recovers events that a crash interrupted.
    pub(super) fn open(
        path: &Path,
        options: FileOptions,
        bounds: Bounds,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, InboxError> {
        Self::open_watched(path, options, bounds, clock, rewrite::Health::default())
    }

    fn open_watched(
        path: &Path,
        options: FileOptions,
        bounds: Bounds,
        clock: Arc<dyn Clock>,
        health: rewrite::Health,
    ) -> Result<Self, InboxError> {
        let mut place = rewrite::Place::new(path, options, health);
        let database = place.create_or_open()?;
        Self::start(database, Box::new(place), bounds, clock)
    }

    fn start(
        database: Option<::redb::Database>,
        source: Box<dyn writer::Source>,
        bounds: Bounds,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, InboxError> {
        let (jobs, received) = mpsc::channel(writer::BATCH);
        let work = Arc::new(Notify::new());
        let mut writer = Writer::new(database, source, bounds, Arc::clone(&work));
        writer.recover()?;
        std::thread::Builder::new().name("twenty-inbox".to_owned()).spawn(move || writer.run(received)).map_err(
            |error| InboxError::because(InboxErrorKind::Unavailable, "cannot start the inbox's thread", error),
        )?;
        Ok(Self { jobs, queued: Arc::new(Semaphore::new(Self::MAX_QUEUED_KIB as usize)), work, clock })
    }

    fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// Sends a command to the writer and waits for its answer.
    async fn ask<T>(
        &self,
        command: impl FnOnce(oneshot::Sender<Result<T, InboxError>>) -> Command,
    ) -> Result<T, InboxError> {
        let (reply, answer) = oneshot::channel();
        let job = Job { now: self.now(), command: command(reply) };
        self.jobs.send(job).await.map_err(|_| stopped())?;
        answer.await.map_err(|_| stopped())?
    }

    /// Sends a command with a timeout, for callers that have an alternative.
    async fn ask_in_time<T>(
        &self,
        command: impl FnOnce(oneshot::Sender<Result<T, InboxError>>) -> Command,
    ) -> Result<T, InboxError> {
        tokio::time::timeout(Self::PATIENCE, self.ask(command)).await.unwrap_or_else(|_| {
            Err(InboxError::new(InboxErrorKind::Timeout, "the inbox's file did not answer in time"))
        })
    }
}

fn stopped() -> InboxError {
    InboxError::new(InboxErrorKind::Unavailable, "the inbox's thread has ended")
}

impl Store for RedbStore {
    fn put(&self, event: StoredEvent) -> StoreFuture<'_, Put> {
        Box::pin(async move {
            let event = super::store::NewEvent::from(event);
            let kib = u32::try_from(event.bytes.len() >> 10).unwrap_or(u32::MAX).saturating_add(1);
            let room = Arc::clone(&self.queued).acquire_many_owned(kib.min(Self::MAX_QUEUED_KIB)).await;
            let room = room.map_err(|_| stopped())?;
            self.ask(|reply| Command::Put(event, room, reply)).await
        })
    }

    fn begin(&self) -> StoreFuture<'_, ()> {
        Box::pin(self.ask_in_time(Command::Begin))
    }

    fn take(&self, take: Take) -> StoreFuture<'_, Taken> {
        // A take has no timeout, because the worker must receive the taken events.
        Box::pin(self.ask(|reply| Command::Take(take, reply)))
    }

    fn work(&self) -> &Notify {
        &self.work
    }

    fn maintain(&self) -> StoreFuture<'_, bool> {
        Box::pin(self.ask_in_time(Command::Maintain))
    }

    fn stats(&self) -> StoreFuture<'_, Stats> {
        Box::pin(self.ask_in_time(Command::Stats))
    }

    fn dead_letters(&self, after: u64, limit: usize) -> StoreFuture<'_, Vec<(u64, DeadLetter)>> {
        Box::pin(self.ask_in_time(move |reply| Command::DeadLetters(after, limit, reply)))
    }

    fn dead_letter(&self, id: EventId) -> StoreFuture<'_, Option<DeadLetter>> {
        Box::pin(self.ask_in_time(move |reply| Command::DeadLetter(id, reply)))
    }

    fn redrive(&self, which: Which) -> StoreFuture<'_, Step> {
        Box::pin(self.ask_in_time(move |reply| Command::Redrive(which, reply)))
    }

    fn purge(&self, which: Which) -> StoreFuture<'_, Step> {
        Box::pin(self.ask_in_time(move |reply| Command::Purge(which, reply)))
    }

    fn erase(&self, record: RecordKey) -> StoreFuture<'_, u64> {
        Box::pin(self.ask_in_time(move |reply| Command::Erase(record, reply)))
    }

    fn compact(&self) -> StoreFuture<'_, bool> {
        Box::pin(self.ask(Command::Compact))
    }
}

impl fmt::Debug for RedbStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedbStore").finish_non_exhaustive()
    }
}

/// An operation on the file failed.
#[derive(Debug)]
struct Failure(::redb::Error);

macro_rules! failures {
    ($($Error:ident)*) => {
        $(impl From<::redb::$Error> for Failure {
            fn from(error: ::redb::$Error) -> Self {
                Self(error.into())
            }
        })*
    };
}

failures!(CommitError CompactionError DatabaseError StorageError TableError TransactionError);

impl From<Failure> for InboxError {
    fn from(Failure(error): Failure) -> Self {
        use std::io::ErrorKind;

        use ::redb::Error;

        match error {
            Error::DatabaseAlreadyOpen => Self::new(
                InboxErrorKind::Locked,
                "another process has the inbox's file open: stop it, or give each process its own file",
            ),
            Error::UpgradeRequired(_) | Error::LockProtocolMismatch => {
                Self::because(InboxErrorKind::NewerVersion, "another version of redb wrote the inbox's file", error)
            }
            Error::Corrupted(_)
            | Error::TableTypeMismatch { .. }
            | Error::TableIsMultimap(_)
            | Error::TableDoesNotExist(_)
            | Error::TypeDefinitionChanged { .. }
            | Error::RepairAborted => damaged(error),
            Error::Io(ref io) if matches!(io.kind(), ErrorKind::InvalidData | ErrorKind::UnexpectedEof) => {
                damaged(error)
            }
            error => Self::because(InboxErrorKind::Unavailable, "cannot read or write the inbox's file", error),
        }
    }
}

/// Runs a redb operation, which can panic on a damaged file.
fn caught<T>(operation: impl FnOnce() -> Result<T, Failure>) -> Result<T, InboxError> {
    match catch_unwind(AssertUnwindSafe(operation)) {
        Ok(result) => result.map_err(InboxError::from),
        Err(_) => Err(damaged("redb panicked")),
    }
}

fn damaged(source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> InboxError {
    InboxError::because(
        InboxErrorKind::Damaged,
        "the file is damaged, or is not an inbox: check its path, or move it away to begin with a new one",
        source,
    )
}
