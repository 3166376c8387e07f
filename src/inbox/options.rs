use std::{sync::Arc, time::Duration};

#[cfg(feature = "postgres")]
use tokio_postgres::{
    Socket,
    tls::{MakeTlsConnect, TlsConnect},
};

#[cfg(any(feature = "postgres", feature = "redb"))]
use super::InboxError;
use super::{Inbox, memory::MemoryInbox, store::Bounds};
use crate::{
    deduplicate::Naming,
    event::WebhookEvent,
    verify::{Clock, SystemClock},
};

/// What happens to a delivery that cannot be stored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum InboxFailure {
    /// It is handled at once, by a worker of this process, and answered with success if that
    /// succeeds: one attempt, on a task of its own, which Twenty's timeout does not cancel. Without
    /// a worker in this process it is rejected.
    ///
    /// A store can keep an event and lose its answer. If a worker takes that event before this
    /// attempt has ended, the event is handled twice.
    #[default]
    Handle,
    /// It is rejected. Twenty does not send it again.
    Reject,
}

/// Settings of an [`Inbox`]. Each has a default.
///
/// ```no_run
/// use std::time::Duration;
/// use twenty_webhook::inbox::{Inbox, InboxFailure};
///
/// # #[cfg(feature = "redb")] {
/// let inbox = Inbox::builder()
///     .max_pending(100_000)
///     .keep_dead_letters_for(Duration::from_secs(7 * 24 * 60 * 60))
///     .on_failure(InboxFailure::Reject)
///     .open("twenty-inbox.redb")?;
/// # let _ = inbox;
/// # }
/// # Ok::<(), twenty_webhook::inbox::InboxError>(())
/// ```
/// # PostgreSQL
///
/// With the feature `postgres`, several processes on several machines share an inbox in a table.
/// The events of one record do not run at the same time in one process, but may in two.
///
/// Two connections are made, each again when it ends. Connect to the server itself, or through a
/// pool that gives a session to each client: `LISTEN` needs one. With a pool that gives a
/// connection for each transaction (as with `pool_mode = transaction`), others' events are found a
/// second later, and settings of a session may not reach the connection that stores an event: set
/// `synchronous_commit` to `on` for the database or the user, so that what was accepted is on disk.
///
/// The server's clock decides what is due and which lease has ended. [`clock`](Self::clock) gives
/// the time of acceptance only.
///
/// [`max_pending`](Self::max_pending) and [`max_bytes`](Self::max_bytes) can be exceeded by what
/// other processes store within ten seconds. Beyond 100,000, the number of remembered keys in
/// [`Stats`](super::Stats) is the server's estimate.
///
/// A row is written three times in its life, so the table depends on autovacuum, for which it has
/// settings of its own. A transaction that stays open anywhere in the database keeps it from
/// working: set `idle_in_transaction_session_timeout`. After a backlog, or an erasure that has to
/// be on disk, `VACUUM (FULL) twenty_webhook.inbox` gives the space back; nothing is stored while
/// it runs.
#[derive(Debug)]
#[must_use = "call `open` or `connect`"]
pub struct InboxBuilder {
    bounds: Bounds,
    pub(super) naming: Naming,
    pub(super) on_failure: InboxFailure,
    pub(super) clock: Arc<dyn Clock>,
    #[cfg(feature = "redb")]
    file: super::redb::FileOptions,
    #[cfg(feature = "postgres")]
    postgres: super::postgres::PostgresOptions,
}

impl InboxBuilder {
    /// The most pending events, unless [configured](Self::max_pending): a million.
    pub const DEFAULT_MAX_PENDING: u64 = 1_000_000;

    /// The most bytes of pending events and dead letters, unless [configured](Self::max_bytes): 2
    /// GiB.
    pub const DEFAULT_MAX_BYTES: u64 = 2 << 30;

    /// How long the key of a completed event is remembered, unless
    /// [configured](Self::remember_for): a day.
    pub const DEFAULT_REMEMBER_FOR: Duration = Duration::from_secs(24 * 60 * 60);

    /// How long dead letters are kept, unless [configured](Self::keep_dead_letters_for): 30 days.
    pub const DEFAULT_KEEP_DEAD_LETTERS_FOR: Duration = Duration::from_secs(30 * 24 * 60 * 60);

    /// The cache of the embedded store in bytes, unless [configured](Self::cache_size): 16 MiB.
    #[cfg(feature = "redb")]
    pub const DEFAULT_CACHE_SIZE: usize = 16 << 20;

    /// How long [`open`](Self::open) waits for another process, unless
    /// [configured](Self::lock_timeout): 30 seconds.
    #[cfg(feature = "redb")]
    pub const DEFAULT_LOCK_TIMEOUT: Duration = Duration::from_secs(30);

    /// The schema of the table in PostgreSQL, unless [configured](Self::schema).
    #[cfg(feature = "postgres")]
    pub const DEFAULT_SCHEMA: &str = "twenty_webhook";

    /// The table in PostgreSQL, unless [configured](Self::table).
    #[cfg(feature = "postgres")]
    pub const DEFAULT_TABLE: &str = "inbox";

    /// How long a lease lasts, unless [configured](Self::lease): a minute.
    #[cfg(feature = "postgres")]
    pub const DEFAULT_LEASE: Duration = Duration::from_secs(60);

    pub(super) fn new() -> Self {
        Self {
            bounds: Bounds {
                max_pending: Self::DEFAULT_MAX_PENDING,
                max_bytes: Self::DEFAULT_MAX_BYTES,
                remember_for: Self::DEFAULT_REMEMBER_FOR,
                keep_dead_for: Self::DEFAULT_KEEP_DEAD_LETTERS_FOR,
            },
            naming: Naming::default(),
            on_failure: InboxFailure::default(),
            clock: Arc::new(SystemClock),
            #[cfg(feature = "redb")]
            file: super::redb::FileOptions {
                cache: Self::DEFAULT_CACHE_SIZE,
                lock_timeout: Self::DEFAULT_LOCK_TIMEOUT,
                create_if_missing: true,
            },
            #[cfg(feature = "postgres")]
            postgres: super::postgres::PostgresOptions {
                names: super::postgres::Names {
                    schema: Self::DEFAULT_SCHEMA.into(),
                    table: Self::DEFAULT_TABLE.into(),
                },
                lease: Self::DEFAULT_LEASE,
                create_if_missing: true,
            },
        }
    }

    /// How many events may be pending: ready, delayed or running. Beyond that, storing fails; see
    /// [`on_failure`](Self::on_failure). Default: [`Self::DEFAULT_MAX_PENDING`].
    pub const fn max_pending(mut self, events: u64) -> Self {
        self.bounds.max_pending = events;
        self
    }

    /// How many bytes pending events and dead letters may have together. Beyond that, storing
    /// fails. A file is larger, by up to two times. Default: [`Self::DEFAULT_MAX_BYTES`].
    pub const fn max_bytes(mut self, bytes: u64) -> Self {
        self.bounds.max_bytes = bytes;
        self
    }

    /// How long the key of a completed event is remembered, so that a copy is not handled again;
    /// but never less than until the copy is too old to verify, and a minute. Default:
    /// [`Self::DEFAULT_REMEMBER_FOR`].
    pub const fn remember_for(mut self, time: Duration) -> Self {
        self.bounds.remember_for = time;
        self
    }

    /// How long dead letters are kept. Afterwards they are deleted. Default:
    /// [`Self::DEFAULT_KEEP_DEAD_LETTERS_FOR`].
    pub const fn keep_dead_letters_for(mut self, time: Duration) -> Self {
        self.bounds.keep_dead_for = time;
        self
    }

    /// What happens to a delivery that cannot be stored within 1.5 seconds. By default it is
    /// handled at once.
    pub const fn on_failure(mut self, failure: InboxFailure) -> Self {
        self.on_failure = failure;
        self
    }

    /// Keeps apart webhooks whose secrets differ but whose keys have the same id. Default: the
    /// empty one.
    pub fn namespace(mut self, namespace: impl Into<Arc<str>>) -> Self {
        self.naming.namespace = namespace.into();
        self
    }

    /// What makes two deliveries the same, instead of the body. For `None` and an empty list it is
    /// the body. So it is when `key_by` panics, which is logged.
    ///
    /// ```no_run
    /// # use twenty_webhook::{event::WebhookEvent, inbox::Inbox};
    /// let builder = Inbox::builder().key_by(|event: &WebhookEvent| {
    ///     let record = event.raw_record();
    ///     let text = |field| record.as_ref()?.get(field)?.to_text();
    ///     Some(vec![event.name.to_string(), text("id")?, text("updatedAt")?])
    /// });
    /// # let _ = builder;
    /// ```
    pub fn key_by(mut self, key_by: impl Fn(&WebhookEvent) -> Option<Vec<String>> + Send + Sync + 'static) -> Self {
        self.naming.key_by(key_by);
        self
    }

    /// Where the present time comes from. Default: [`SystemClock`].
    pub fn clock(mut self, clock: impl Clock) -> Self {
        self.clock = Arc::new(clock);
        self
    }

    /// How much of the file is cached in memory, in bytes. Default: [`Self::DEFAULT_CACHE_SIZE`].
    #[cfg(feature = "redb")]
    pub const fn cache_size(mut self, bytes: usize) -> Self {
        self.file.cache = bytes;
        self
    }

    /// How long [`open`](Self::open) waits while another process has the file open, as in a rolling
    /// restart. Default: [`Self::DEFAULT_LOCK_TIMEOUT`].
    #[cfg(feature = "redb")]
    pub const fn lock_timeout(mut self, time: Duration) -> Self {
        self.file.lock_timeout = time;
        self
    }

    /// Whether [`open`](Self::open) and [`connect`](Self::connect) create an inbox where there is
    /// none. By default they do. `false` is for programs that only look into one, and for a user of
    /// the database who may create nothing.
    #[cfg(any(feature = "postgres", feature = "redb"))]
    pub const fn create_if_missing(mut self, create: bool) -> Self {
        #[cfg(feature = "redb")]
        {
            self.file.create_if_missing = create;
        }
        #[cfg(feature = "postgres")]
        {
            self.postgres.create_if_missing = create;
        }
        self
    }

    /// Opens the inbox in this file, or creates it, with mode 0600.
    ///
    /// Blocks the thread while it waits for another process to close the file. Events that were
    /// running when the process before this one ended are ready again.
    ///
    /// # Errors
    ///
    /// [`Locked`](super::InboxErrorKind::Locked),
    /// [`NewerVersion`](super::InboxErrorKind::NewerVersion),
    /// [`Damaged`](super::InboxErrorKind::Damaged), or
    /// [`Unavailable`](super::InboxErrorKind::Unavailable) when the file cannot be created or read.
    #[cfg(feature = "redb")]
    pub fn open(self, path: impl AsRef<std::path::Path>) -> Result<Inbox, InboxError> {
        let store = super::redb::RedbStore::open(path.as_ref(), self.file, self.bounds, Arc::clone(&self.clock))?;
        Ok(Inbox::new(Arc::new(store), self))
    }

    /// Opens the inbox in this file for reading, beside the process that writes it: its numbers and
    /// its dead letters. Everything else is refused.
    ///
    /// # Errors
    ///
    /// As [`open`](Self::open); and [`Unavailable`](super::InboxErrorKind::Unavailable) when there
    /// is no file, or when the process that wrote it was killed and none has opened it since.
    #[cfg(feature = "redb")]
    pub fn open_read_only(self, path: impl AsRef<std::path::Path>) -> Result<Inbox, InboxError> {
        let store = super::redb::RedbReader::open(path.as_ref(), self.file.cache)?;
        Ok(Inbox::new(Arc::new(store), self))
    }

    /// The schema of the table in PostgreSQL. It is created if it is missing. Default:
    /// [`Self::DEFAULT_SCHEMA`].
    #[cfg(feature = "postgres")]
    pub fn schema(mut self, name: &str) -> Self {
        self.postgres.names.schema = name.into();
        self
    }

    /// The table in PostgreSQL. Its version and its indexes have names that begin with this one.
    /// Default: [`Self::DEFAULT_TABLE`].
    #[cfg(feature = "postgres")]
    pub fn table(mut self, name: &str) -> Self {
        self.postgres.names.table = name.into();
        self
    }

    /// How long an event in PostgreSQL belongs to a process that does not renew its lease, which a
    /// worker does while a handler runs. Afterwards another process handles the event, and what the
    /// first one says of it changes nothing. From a second to ten minutes. Default:
    /// [`Self::DEFAULT_LEASE`].
    #[cfg(feature = "postgres")]
    pub fn lease(mut self, time: Duration) -> Self {
        self.postgres.lease = time.clamp(Duration::from_secs(1), super::postgres::LONGEST_LEASE);
        self
    }

    /// The SQL that creates the table, for those who do it by hand: [`connect`](Self::connect) then
    /// needs no right to create anything. Run it in one transaction.
    ///
    /// # Errors
    ///
    /// [`Settings`](super::InboxErrorKind::Settings): a name is empty, too long, or has a zero
    /// byte.
    #[cfg(feature = "postgres")]
    pub fn migration_sql(&self) -> Result<String, InboxError> {
        self.postgres.names.by_hand()
    }

    /// Connects to the inbox in this PostgreSQL database, without TLS, and creates the table if it
    /// is missing. Tasks for its two connections are spawned onto the current tokio runtime.
    ///
    /// `url` is a URL such as `postgres://user:password@host/database`, with the parameters of
    /// [libpq](https://www.postgresql.org/docs/current/libpq-connect.html#LIBPQ-CONNSTRING) that
    /// tokio-postgres knows, or `key=value` pairs.
    ///
    /// ```no_run
    /// use twenty_webhook::inbox::Inbox;
    ///
    /// # async fn connect() -> Result<(), Box<dyn std::error::Error>> {
    /// let inbox = Inbox::builder().schema("crm").connect(&std::env::var("DATABASE_URL")?).await?;
    /// # let _ = inbox;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// [`Settings`](super::InboxErrorKind::Settings): the URL or a name cannot be used, the URL
    /// requires TLS, or the database refuses the user.
    /// [`NewerVersion`](super::InboxErrorKind::NewerVersion) and
    /// [`Damaged`](super::InboxErrorKind::Damaged): the table is not one that this version uses.
    /// [`Unavailable`](super::InboxErrorKind::Unavailable) or
    /// [`Timeout`](super::InboxErrorKind::Timeout): the database cannot be reached.
    #[cfg(feature = "postgres")]
    pub async fn connect(self, url: &str) -> Result<Inbox, InboxError> {
        let connector = super::postgres::Connector::without_tls(url)?;
        self.connect_by(connector).await
    }

    /// The same with TLS, by a connector for tokio-postgres, such as that of
    /// `tokio-postgres-rustls`. Say `sslmode=require` in the URL: otherwise a server without TLS is
    /// used, too.
    ///
    /// # Errors
    ///
    /// As [`connect`](Self::connect).
    #[cfg(feature = "postgres")]
    pub async fn connect_with_tls<T>(self, url: &str, tls: T) -> Result<Inbox, InboxError>
    where
        T: MakeTlsConnect<Socket, Stream: Send, TlsConnect: Send> + Clone + Send + Sync + 'static,
        <T::TlsConnect as TlsConnect<Socket>>::Future: Send,
    {
        let connector = super::postgres::Connector::new(url, tls)?;
        self.connect_by(connector).await
    }

    #[cfg(feature = "postgres")]
    async fn connect_by(self, connector: super::postgres::Connector) -> Result<Inbox, InboxError> {
        let store = super::postgres::PgStore::connect(connector, &self.postgres, self.bounds).await?;
        Ok(Inbox::new(Arc::new(store), self))
    }

    /// An inbox in memory, for tests of your handlers: it keeps nothing beyond the process.
    #[must_use]
    pub fn in_memory(self) -> Inbox {
        let store = MemoryInbox::new(self.bounds, Arc::clone(&self.clock));
        Inbox::new(Arc::new(store), self)
    }
}
