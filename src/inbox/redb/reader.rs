//! Reads the file while another process writes it.

use std::{
    fmt,
    panic::{AssertUnwindSafe, catch_unwind},
    path::Path,
};

use redb::{ReadOnlyDatabase, ReadTransaction, ReadableDatabase};
use tokio::sync::Notify;

use super::{
    super::{
        DeadLetter, EventId, InboxError, InboxErrorKind, RecordKey, Stats, StoredEvent,
        store::{Put, Step, Store, StoreFuture, Take, Taken, Which},
    },
    Failure, caught, damaged, file, read,
};

pub(in crate::inbox) struct RedbReader {
    database: ReadOnlyDatabase,
    work: Notify,
}

impl RedbReader {
    pub(in crate::inbox) fn open(path: &Path, cache: usize) -> Result<Self, InboxError> {
        // This check gives a clearer error for a missing or empty file.
        if !file::is_there(path)? {
            return Err(file::missing());
        }
        let opened = catch_unwind(AssertUnwindSafe(|| -> Result<_, Failure> {
            let database = file::builder(cache).open_read_only(path)?;
            let schema = read::schema(&database.begin_read()?)?;
            Ok((database, schema))
        }));
        match opened {
            Ok(Ok((database, schema))) => {
                file::check_schema(schema)?;
                Ok(Self { database, work: Notify::new() })
            }
            Ok(Err(Failure(redb::Error::RepairAborted))) => Err(InboxError::new(
                InboxErrorKind::Unavailable,
                "the process that wrote the inbox's file was killed: start it again, or open the file for writing",
            )),
            Ok(Err(failure)) => Err(failure.into()),
            Err(_) => Err(damaged("redb panicked")),
        }
    }

    fn read<T: Send + 'static>(&self, read: impl FnOnce(&ReadTransaction) -> Result<T, Failure>) -> StoreFuture<'_, T> {
        Box::pin(std::future::ready(caught(|| read(&self.database.begin_read()?))))
    }
}

fn refused<'a, T: Send + 'static>() -> StoreFuture<'a, T> {
    let error = InboxError::new(InboxErrorKind::Settings, "the inbox was opened for reading only");
    Box::pin(std::future::ready(Err(error)))
}

impl Store for RedbReader {
    fn put(&self, _: StoredEvent) -> StoreFuture<'_, Put> {
        refused()
    }

    fn begin(&self) -> StoreFuture<'_, ()> {
        refused()
    }

    fn take(&self, _: Take) -> StoreFuture<'_, Taken> {
        refused()
    }

    fn work(&self) -> &Notify {
        &self.work
    }

    fn maintain(&self) -> StoreFuture<'_, bool> {
        refused()
    }

    fn stats(&self) -> StoreFuture<'_, Stats> {
        self.read(read::stats)
    }

    fn dead_letters(&self, after: u64, limit: usize) -> StoreFuture<'_, Vec<(u64, DeadLetter)>> {
        self.read(|transaction| read::dead_letters(transaction, after, limit))
    }

    fn dead_letter(&self, id: EventId) -> StoreFuture<'_, Option<DeadLetter>> {
        self.read(|transaction| read::dead_letter(transaction, id))
    }

    fn redrive(&self, _: Which) -> StoreFuture<'_, Step> {
        refused()
    }

    fn purge(&self, _: Which) -> StoreFuture<'_, Step> {
        refused()
    }

    fn erase(&self, _: RecordKey) -> StoreFuture<'_, u64> {
        refused()
    }

    fn compact(&self) -> StoreFuture<'_, bool> {
        refused()
    }
}

impl fmt::Debug for RedbReader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedbReader").finish_non_exhaustive()
    }
}
