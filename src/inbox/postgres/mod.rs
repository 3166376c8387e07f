//! The inbox in a table of PostgreSQL, for several machines.
//!
//! The store has two connections, and each reconnects automatically. One stores deliveries as they
//! arrive. The other one does everything else, and listens for notifications of other processes.
//! Requests that arrive at the same time share a statement, and therefore a transaction and an
//! fsync.
//!
//! Due times, leases and the expiry of keys follow the server's clock. A client's clock provides
//! only the time at which an event was accepted, and no decision depends on it.

mod changes;
mod link;
mod operate;
mod puts;
mod setup;
mod sql;
mod take;
#[cfg(test)]
mod tests;

use std::{
    collections::HashMap,
    fmt,
    hash::{BuildHasher, RandomState},
    sync::{Arc, Mutex, MutexGuard, PoisonError, atomic::AtomicU64},
    time::Duration,
};

use tokio::{
    sync::{Mutex as AsyncMutex, Notify, Semaphore, mpsc, oneshot},
    task::AbortHandle,
    time::{sleep, timeout},
};
use tokio_postgres::types::Type;

use super::{
    DeadLetter, EventId, InboxError, InboxErrorKind, RecordKey, Stats, StoredEvent,
    store::{Bounds, Lease, NewEvent, Put, Step, Store, StoreFuture, Take, Taken, Which},
};
use crate::verify::whole_millis;
use changes::Renewal;
pub(super) use link::Connector;
use link::{Link, Listener};
use puts::{PutJob, Puts, Room};
use setup::{PLANS, SET_UP, SET_UP_PUTS, SET_UP_WORK, migrate, set_up, stores_any_text, warn_of_its_settings};
pub(super) use sql::Names;
use sql::{SERVER_CLOCK, Sql};

/// The longest lease. If a lease ends later, it was granted before the server's clock was set back.
pub(super) const LONGEST_LEASE: Duration = Duration::from_secs(10 * 60);

#[derive(Clone, Debug)]
pub(super) struct PostgresOptions {
    pub(super) names: Names,
    pub(super) lease: Duration,
    pub(super) create_if_missing: bool,
}

pub(super) struct PgStore {
    shared: Arc<Shared>,
    puts: mpsc::Sender<PutJob>,
    /// Limits the size of deliveries that wait to be stored, in KiB.
    queued: Arc<Semaphore>,
    renewals: mpsc::Sender<Renewal>,
    /// Ensures that only one take runs at a time.
    taking: AsyncMutex<()>,
    tasks: [AbortHandle; 2],
}

/// The state that all tasks of a store share.
struct Shared {
    sql: Sql,
    /// The table's name, quoted.
    table: String,
    channel: String,
    /// The connection for everything except puts.
    link: Link,
    /// Identifies this process's leases.
    owner: i64,
    bounds: Bounds,
    lease: Duration,
    /// Whether a text in the database can contain any character.
    stores_any_text: bool,
    work: Arc<Notify>,
    /// Notifies the task [`announce`], which notifies other processes.
    announce: Notify,
    /// The number of events that this process has redriven and that no [`Room`] has counted yet.
    redriven: AtomicU64,
    /// The tokens of the leases that this process holds.
    held: Mutex<HashMap<u64, u64>>,
}

impl Shared {
    fn held(&self) -> MutexGuard<'_, HashMap<u64, u64>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl PgStore {
    /// The maximum of KiB that wait to be stored. A single event is always allowed.
    const MAX_QUEUED_KIB: u32 = 64 << 10;

    /// The time limit for a call that shares a statement with other calls.
    const PATIENCE: Duration = Duration::from_secs(30);

    pub(super) async fn connect(
        connector: Connector,
        options: &PostgresOptions,
        bounds: Bounds,
    ) -> Result<Self, InboxError> {
        Self::start(connector, options, bounds, SERVER_CLOCK).await
    }

    /// Starts the store. `now` is an SQL expression for the present time in milliseconds.
    async fn start(
        connector: Connector,
        options: &PostgresOptions,
        bounds: Bounds,
        now: &str,
    ) -> Result<Self, InboxError> {
        let PostgresOptions { names, lease, create_if_missing } = options;
        names.check()?;
        let version: Arc<str> = Sql::new(names, now).version.into();
        let putting = Link::new(connector.clone(), Arc::new(|_| {}), set_up(SET_UP_PUTS.to_owned(), &version));
        let channel = names.channel();
        // The number is random, so that no two processes have the same.
        let owner = i64::from_be_bytes(RandomState::new().hash_one(std::process::id()).to_be_bytes());
        let work = Arc::new(Notify::new());
        let listener: Listener = {
            let (work, own) = (Arc::clone(&work), owner.to_string());
            Arc::new(move |payload| {
                if payload != own {
                    work.notify_one();
                }
            })
        };
        migrate(&connector, names, &version, *create_if_missing).await?;
        let listen = format!("{SET_UP_WORK}; {PLANS}; LISTEN {channel}");
        let link = Link::new(connector, listener, set_up(listen, &version));
        putting.session().await?;
        let session = link.session().await?;
        warn_of_its_settings(&session).await?;
        let stores_any_text = stores_any_text(&session).await?;
        drop(session);
        let shared = Arc::new(Shared {
            sql: Sql::new(names, now),
            table: format!("{}.{}", sql::quoted(&names.schema), sql::quoted(&names.table)),
            channel,
            link,
            owner,
            bounds,
            lease: *lease,
            stores_any_text,
            work,
            announce: Notify::new(),
            redriven: AtomicU64::new(0),
            held: Mutex::default(),
        });
        let (puts, put_jobs) = mpsc::channel(puts::BATCH);
        tokio::spawn(Puts { link: putting, shared: Arc::clone(&shared), room: Room::unknown() }.run(put_jobs));
        let (renewals, renewal_jobs) = mpsc::channel(changes::BATCH);
        tokio::spawn(changes::renew(Arc::clone(&shared), renewal_jobs));
        let tasks = [
            tokio::spawn(stay_connected(Arc::clone(&shared))).abort_handle(),
            tokio::spawn(announce(Arc::clone(&shared))).abort_handle(),
        ];
        let queued = Arc::new(Semaphore::new(Self::MAX_QUEUED_KIB as usize));
        Ok(Self { shared, puts, queued, renewals, taking: AsyncMutex::default(), tasks })
    }
}

/// Keeps the connection that listens open, even while nothing is queried.
async fn stay_connected(shared: Arc<Shared>) {
    loop {
        match shared.link.session().await {
            Ok(session) => {
                // Notifications sent while there was no connection are lost.
                shared.work.notify_one();
                session.closed().await;
            }
            Err(_) => sleep(Link::LONGEST_PAUSE).await,
        }
    }
}

/// Notifies other processes, once for all events of the last few milliseconds.
async fn announce(shared: Arc<Shared>) {
    const PAUSE: Duration = Duration::from_millis(5);

    let own = shared.owner.to_string();
    loop {
        shared.announce.notified().await;
        let parameters: [link::Parameter<'_>; 2] = [(&shared.channel, Type::TEXT), (&own, Type::TEXT)];
        // On an error, other processes still poll each second.
        _ = shared.link.query("SELECT pg_notify($1, $2)", &parameters, SET_UP).await;
        sleep(PAUSE).await;
    }
}

async fn in_time<T>(future: impl Future<Output = Result<T, InboxError>>) -> Result<T, InboxError> {
    timeout(PgStore::PATIENCE, future).await.unwrap_or_else(|_| {
        Err(InboxError::new(InboxErrorKind::Timeout, "the inbox's database did not answer in time"))
    })
}

fn stopped() -> InboxError {
    InboxError::new(InboxErrorKind::Unavailable, "the runtime of the inbox's connections has ended")
}

fn no_row() -> InboxError {
    InboxError::new(InboxErrorKind::Damaged, "the inbox's database answered without a row")
}

/// Returns milliseconds, limited to some hundred thousand years, so that no sum overflows.
fn millis(duration: Duration) -> i64 {
    signed(whole_millis(duration).min(1 << 53))
}

fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

fn unsigned(number: i64) -> u64 {
    u64::try_from(number).unwrap_or_default()
}

fn count_of<T>(items: &[T]) -> u64 {
    u64::try_from(items.len()).unwrap_or(u64::MAX)
}

impl Store for PgStore {
    fn put(&self, event: StoredEvent) -> StoreFuture<'_, Put> {
        Box::pin(in_time(async move {
            let fresh_until = signed(event.verified.fresh_until().as_millis().min(1 << 53));
            let event = NewEvent::from(event);
            let kib = u32::try_from(event.bytes.len() >> 10).unwrap_or(u32::MAX).saturating_add(1);
            let room = Arc::clone(&self.queued).acquire_many_owned(kib.min(Self::MAX_QUEUED_KIB)).await;
            let room = room.map_err(|_| stopped())?;
            let (reply, answer) = oneshot::channel();
            self.puts.send(PutJob { event, fresh_until, _room: room, reply }).await.map_err(|_| stopped())?;
            answer.await.map_err(|_| stopped())?
        }))
    }

    fn begin(&self) -> StoreFuture<'_, ()> {
        Box::pin(async {
            let own = changes::own_leases(&self.shared).await?;
            changes::release(&self.shared, own).await?;
            self.shared.held().clear();
            self.shared.work.notify_one();
            Ok(())
        })
    }

    fn take(&self, take: Take) -> StoreFuture<'_, Taken> {
        Box::pin(async move {
            let _one = self.taking.lock().await;
            take::take(&self.shared, take).await
        })
    }

    fn lease(&self) -> Option<Duration> {
        Some(self.shared.lease)
    }

    fn renew(&self, lease: Lease) -> StoreFuture<'_, bool> {
        Box::pin(in_time(async move {
            let (reply, answer) = oneshot::channel();
            self.renewals.send(Renewal { lease, reply }).await.map_err(|_| stopped())?;
            answer.await.map_err(|_| stopped())?
        }))
    }

    fn work(&self) -> &Notify {
        &self.shared.work
    }

    fn maintain(&self) -> StoreFuture<'_, bool> {
        Box::pin(operate::maintain(&self.shared))
    }

    fn stats(&self) -> StoreFuture<'_, Stats> {
        Box::pin(operate::stats(&self.shared))
    }

    fn dead_letters(&self, after: u64, limit: usize) -> StoreFuture<'_, Vec<(u64, DeadLetter)>> {
        Box::pin(operate::dead_letters(&self.shared, after, limit))
    }

    fn dead_letter(&self, id: EventId) -> StoreFuture<'_, Option<DeadLetter>> {
        Box::pin(operate::dead_letter(&self.shared, id))
    }

    fn redrive(&self, which: Which) -> StoreFuture<'_, Step> {
        Box::pin(operate::redrive(&self.shared, which))
    }

    fn purge(&self, which: Which) -> StoreFuture<'_, Step> {
        Box::pin(operate::purge(&self.shared, which))
    }

    fn erase(&self, record: RecordKey) -> StoreFuture<'_, u64> {
        Box::pin(operate::erase(&self.shared, record))
    }

    /// Does nothing, because `VACUUM` is the database's task.
    fn compact(&self) -> StoreFuture<'_, bool> {
        Box::pin(async { Ok(false) })
    }
}

impl Drop for PgStore {
    fn drop(&mut self) {
        self.tasks.iter().for_each(AbortHandle::abort);
    }
}

/// Shows neither the URL nor stored data.
impl fmt::Debug for PgStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PgStore").field("table", &self.shared.table).finish_non_exhaustive()
    }
}
