//! The thread that owns the file.

use std::{
    collections::HashMap,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
};

use redb::{Database, ReadTransaction, ReadableDatabase};
use tokio::sync::{Notify, OwnedSemaphorePermit, mpsc, oneshot};

use super::{
    super::{
        DeadLetter, EventId, InboxError, InboxErrorKind, RecordKey, Stats,
        store::{Bounds, End, Lease, NewEvent, Put, Step, Take, Taken, Which},
    },
    Failure, caught, read,
    tables::Tables,
};
use crate::verify::Timestamp;

/// The maximum number of jobs in a transaction.
pub(super) const BATCH: usize = 1024;

pub(super) type Reply<T> = oneshot::Sender<Result<T, InboxError>>;

/// The source of the database: the file at a path, or a test's backend.
pub(super) trait Source: Send {
    /// Opens the file again after a failure.
    fn open(&mut self) -> Result<Database, InboxError>;

    /// Checks that the path still refers to the file that was opened.
    fn check(&mut self);
}

pub(super) struct Job {
    pub(super) now: Timestamp,
    pub(super) command: Command,
}

pub(super) enum Command {
    /// The permit accounts for the event's bytes while the event waits, even if the caller no
    /// longer waits for the answer.
    Put(NewEvent, OwnedSemaphorePermit, Reply<Put>),
    Begin(Reply<()>),
    Take(Take, Reply<Taken>),
    Maintain(Reply<bool>),
    Redrive(Which, Reply<Step>),
    Purge(Which, Reply<Step>),
    Erase(RecordKey, Reply<u64>),
    // These commands only read, or run in their own transaction.
    Stats(Reply<Stats>),
    DeadLetters(u64, usize, Reply<Vec<(u64, DeadLetter)>>),
    DeadLetter(EventId, Reply<Option<DeadLetter>>),
    Compact(Reply<bool>),
}

impl Command {
    fn is_write(&self) -> bool {
        !matches!(self, Self::Stats(_) | Self::DeadLetters(..) | Self::DeadLetter(..) | Self::Compact(_))
    }

    fn fail(self, error: InboxError) {
        match self {
            Self::Put(.., reply) => drop(reply.send(Err(error))),
            Self::Begin(reply) => drop(reply.send(Err(error))),
            Self::Take(_, reply) => drop(reply.send(Err(error))),
            Self::Maintain(reply) | Self::Compact(reply) => drop(reply.send(Err(error))),
            Self::Redrive(_, reply) | Self::Purge(_, reply) => drop(reply.send(Err(error))),
            Self::Erase(_, reply) => drop(reply.send(Err(error))),
            Self::Stats(reply) => drop(reply.send(Err(error))),
            Self::DeadLetters(.., reply) => drop(reply.send(Err(error))),
            Self::DeadLetter(_, reply) => drop(reply.send(Err(error))),
        }
    }
}

/// An answer that waits for the commit.
struct Answer {
    /// The changes of the leases.
    leases: Leases,
    /// Whether there are more events to take than before the commit.
    is_work: bool,
    /// Sends the answer, or the error of the commit. Returns `false` if the caller no longer waits.
    send: Box<dyn FnOnce(Option<InboxError>) -> bool>,
}

enum Leases {
    Unchanged,
    Taken { granted: Vec<Lease>, ended: Vec<Lease> },
    AllEnded,
}

impl Answer {
    fn new<T: 'static>(reply: Reply<T>, answer: Result<T, InboxError>) -> Self {
        let send = move |error: Option<InboxError>| reply.send(error.map_or(answer, Err)).is_ok();
        Self { leases: Leases::Unchanged, is_work: false, send: Box::new(send) }
    }
}

pub(super) struct Writer {
    /// `None` after a failure. After an I/O error, redb rejects all writes, even if the cause is
    /// gone, so the file is opened again.
    database: Option<Database>,
    source: Box<dyn Source>,
    is_recovered: bool,
    bounds: Bounds,
    /// The tokens of the leases that a worker holds.
    leases: HashMap<u64, u64>,
    work: Arc<Notify>,
}

impl Writer {
    pub(super) fn new(database: Option<Database>, source: Box<dyn Source>, bounds: Bounds, work: Arc<Notify>) -> Self {
        Self { database, source, is_recovered: false, bounds, leases: HashMap::new(), work }
    }

    /// Recovers the events that were running when the previous process ended. If the file is not
    /// open, this happens when it is opened.
    pub(super) fn recover(&mut self) -> Result<(), InboxError> {
        if self.database.is_some() {
            self.guarded(|writer, database| writer.recover_in(database, true))?;
            self.is_recovered = true;
        }
        Ok(())
    }

    fn recover_in(&self, database: &mut Database, is_crash: bool) -> Result<u64, Failure> {
        let transaction = begin(database)?;
        let mut tables = Tables::open(&transaction)?;
        let recovered = tables.recover(&self.leases, is_crash)?;
        let is_changed = tables.close()?;
        finish(transaction, is_changed)?;
        Ok(recovered)
    }

    pub(super) fn run(mut self, mut jobs: mpsc::Receiver<Job>) {
        let mut batch = Vec::new();
        while jobs.blocking_recv_many(&mut batch, BATCH) > 0 {
            let mut undelivered = self.process(std::mem::take(&mut batch));
            while !undelivered.is_empty() {
                undelivered = self.process(undelivered);
            }
        }
    }

    /// Runs a batch. Returns jobs that release events whose taker no longer waits.
    fn process(&mut self, batch: Vec<Job>) -> Vec<Job> {
        let (writes, reads): (Vec<_>, Vec<_>) = batch.into_iter().partition(|job| job.command.is_write());
        if writes.iter().any(|job| matches!(job.command, Command::Maintain(_))) {
            self.source.check();
        }
        let undelivered = self.write(writes);
        for job in reads {
            self.read(job.command);
        }
        undelivered
    }

    /// Runs an operation on the open file. If the operation succeeds, the file stays open.
    fn guarded<T>(
        &mut self,
        operation: impl FnOnce(&Self, &mut Database) -> Result<T, Failure>,
    ) -> Result<T, InboxError> {
        let database = self.open()?;
        let (value, database) = attempt(database, |database| operation(self, database))?;
        self.database = Some(database);
        Ok(value)
    }

    /// Returns the open file, and opens it again if necessary.
    fn open(&mut self) -> Result<Database, InboxError> {
        if let Some(database) = self.database.take() {
            return Ok(database);
        }
        // The failed transaction may have been committed.
        let is_crash = !self.is_recovered;
        let (recovered, database) = attempt(self.source.open()?, |database| self.recover_in(database, is_crash))?;
        self.is_recovered = true;
        if recovered > 0 {
            self.work.notify_one();
        }
        Ok(database)
    }

    fn write(&mut self, jobs: Vec<Job>) -> Vec<Job> {
        if jobs.is_empty() {
            return Vec::new();
        }
        let now = jobs.iter().map(|job| job.now).max();
        let mut waiting: Vec<Option<Job>> = jobs.into_iter().map(Some).collect();
        let mut answers = Vec::with_capacity(waiting.len());
        let result = self.guarded(|writer, database| writer.transact(database, &mut waiting, &mut answers));
        for job in waiting.into_iter().flatten() {
            // The transaction did not begin.
            let error = result.clone().err().unwrap_or_else(super::stopped);
            job.command.fail(error);
        }
        let error = result.err();
        let mut undelivered = Vec::new();
        for Answer { leases, is_work, send } in answers {
            if error.is_none() && is_work {
                self.work.notify_one();
            }
            let is_delivered = send(error.clone());
            if error.is_some() {
                continue;
            }
            match leases {
                Leases::Unchanged => {}
                Leases::AllEnded => self.leases.clear(),
                Leases::Taken { granted, ended } => {
                    for lease in ended {
                        if self.leases.get(&lease.event) == Some(&lease.token) {
                            self.leases.remove(&lease.event);
                        }
                    }
                    self.leases.extend(granted.iter().map(|lease| (lease.event, lease.token)));
                    if !is_delivered {
                        undelivered.extend(granted);
                    }
                }
            }
        }
        if undelivered.is_empty() {
            return Vec::new();
        }
        let give_back = Take::only_to_end(undelivered.into_iter().map(|lease| (lease, End::Release)).collect());
        let command = Command::Take(give_back, oneshot::channel().0);
        vec![Job { now: now.unwrap_or(Timestamp::from_millis(0)), command }]
    }

    fn transact(
        &self,
        database: &Database,
        jobs: &mut [Option<Job>],
        answers: &mut Vec<Answer>,
    ) -> Result<(), Failure> {
        let is_take = |job: &Job| matches!(&job.command, Command::Take(take, _) if take.ends.is_empty());
        let is_only_takes = jobs.iter().flatten().all(is_take);
        if is_only_takes {
            // An empty transaction would cost an fsync.
            let reading = database.begin_read()?;
            for slot in &mut *jobs {
                if let Some(Job { now, command: Command::Take(take, _) }) = slot
                    && !read::is_there_work(&reading, take, *now)?
                {
                    let taken = read::nothing_to_take(&reading, take, *now)?;
                    if let Some(Job { command: Command::Take(_, reply), .. }) = slot.take() {
                        answers.push(Answer::new(reply, Ok(taken)));
                    }
                }
            }
            if jobs.iter().all(Option::is_none) {
                return Ok(());
            }
        }
        let transaction = begin(database)?;
        let mut tables = Tables::open(&transaction)?;
        for slot in jobs {
            let Some(Job { now, command }) = slot.take() else { continue };
            self.apply(&mut tables, now, command, answers)?;
        }
        let is_changed = tables.close()?;
        finish(transaction, is_changed)?;
        Ok(())
    }

    /// Runs one job in the transaction. If it fails, the transaction fails, and so does the job's
    /// answer.
    fn apply(
        &self,
        tables: &mut Tables<'_>,
        now: Timestamp,
        command: Command,
        answers: &mut Vec<Answer>,
    ) -> Result<(), Failure> {
        let bounds = &self.bounds;
        let answer = match command {
            Command::Put(event, _room, reply) => {
                let put = keep(tables.put(&event, bounds), reply)?;
                let is_work = matches!(put.0, Ok(Put::Stored));
                Answer { is_work, ..Answer::new(put.1, put.0) }
            }
            Command::Begin(reply) => {
                let (_, reply) = keep(tables.recover(&HashMap::new(), false), reply)?;
                Answer { leases: Leases::AllEnded, is_work: true, ..Answer::new(reply, Ok(())) }
            }
            Command::Take(take, reply) => {
                let (taken, reply) = keep(tables.take(&take, now, bounds), reply)?;
                let granted = taken.events.iter().map(|taken| taken.lease).chain(taken.unreadable.iter().copied());
                let leases = Leases::Taken {
                    granted: granted.collect(),
                    ended: take.ends.iter().map(|(lease, _)| *lease).collect(),
                };
                let is_work = take.ends.iter().any(|(_, end)| matches!(end, End::Release));
                Answer { leases, is_work, ..Answer::new(reply, Ok(taken)) }
            }
            Command::Maintain(reply) => {
                let (more, reply) = keep(tables.maintain(now, bounds), reply)?;
                Answer::new(reply, Ok(more))
            }
            Command::Redrive(which, reply) => {
                let (count, reply) = keep(tables.redrive(which), reply)?;
                Answer { is_work: true, ..Answer::new(reply, Ok(count)) }
            }
            Command::Purge(which, reply) => {
                let (count, reply) = keep(tables.purge(which, now, bounds), reply)?;
                Answer::new(reply, Ok(count))
            }
            Command::Erase(record, reply) => {
                let (count, reply) = keep(tables.erase(record, now, bounds), reply)?;
                Answer::new(reply, Ok(count))
            }
            Command::Stats(_) | Command::DeadLetters(..) | Command::DeadLetter(..) | Command::Compact(_) => {
                command.fail(super::stopped());
                return Ok(());
            }
        };
        answers.push(answer);
        Ok(())
    }

    fn read(&mut self, command: Command) {
        match command {
            Command::Stats(reply) => {
                drop(reply.send(self.reading(read::stats)));
            }
            Command::DeadLetters(after, limit, reply) => {
                drop(reply.send(self.reading(|transaction| read::dead_letters(transaction, after, limit))));
            }
            Command::DeadLetter(id, reply) => {
                drop(reply.send(self.reading(|transaction| read::dead_letter(transaction, id))));
            }
            Command::Compact(reply) => {
                drop(reply.send(self.guarded(|_, database| Ok(database.compact()?))));
            }
            other => other.fail(super::stopped()),
        }
    }

    fn reading<T>(&mut self, read: impl FnOnce(&ReadTransaction) -> Result<T, Failure>) -> Result<T, InboxError> {
        self.guarded(|_, database| read(&database.begin_read()?))
    }
}

/// Stores a job's result together with its receiver. A failure is sent immediately.
fn keep<T, R>(result: Result<T, Failure>, reply: Reply<R>) -> Result<(T, Reply<R>), Failure> {
    match result {
        Ok(value) => Ok((value, reply)),
        Err(failure) => {
            let error = InboxError::because(
                InboxErrorKind::Unavailable,
                "cannot read or write the inbox's file",
                failure.0.to_string(),
            );
            let _ = reply.send(Err(error));
            Err(failure)
        }
    }
}

fn finish(transaction: redb::WriteTransaction, is_changed: bool) -> Result<(), Failure> {
    // An empty commit would cost an fsync.
    if is_changed {
        transaction.commit()?;
    } else {
        transaction.abort()?;
    }
    Ok(())
}

fn begin(database: &Database) -> Result<redb::WriteTransaction, Failure> {
    let mut transaction = database.begin_write()?;
    // This makes opening a large file after a crash take milliseconds instead of seconds.
    transaction.set_quick_repair(true);
    Ok(transaction)
}

/// Runs an operation on a file, and returns the file if the operation succeeds. After a failure or
/// a panic, which a damaged file can cause in redb, the file is closed. This loses no accepted
/// event, because events are accepted only after their commit.
fn attempt<T>(
    mut database: Database,
    operation: impl FnOnce(&mut Database) -> Result<T, Failure>,
) -> Result<(T, Database), InboxError> {
    match caught(|| operation(&mut database)) {
        Ok(value) => Ok((value, database)),
        Err(error) => {
            let _ = catch_unwind(AssertUnwindSafe(move || drop(database)));
            Err(error)
        }
    }
}
