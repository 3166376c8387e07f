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
    /// A worker of this process handles it directly. It makes one attempt on a separate task, which
    /// Twenty's timeout does not cancel. If the attempt succeeds, the delivery is answered with
    /// success. Without a worker in this process, the delivery is rejected.
    ///
    /// If the store's answer was lost, the event may be stored nevertheless. If a worker takes it
    /// before this attempt has ended, the event is handled twice.
    #[default]
    Handle,
    /// The delivery is rejected, and lost, because Twenty does not retry.
    Reject,
}

/// Settings for an [`Inbox`]. Each has a default.
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
/// One process never handles two events of the same record at the same time, but two processes may.
///
/// The inbox opens two connections, and reconnects when one ends or is read-only. If the URL names
/// several hosts, add `target_session_attrs=read-write`, so that it finds the primary. Connecting
/// takes at most 5 seconds in total. The TCP connection to each address takes at most 5 seconds
/// divided by twice the number of hosts, even if `connect_timeout` is longer. A host that accepts
/// the connection but does not answer can use up the 5 seconds.
///
/// Connect to the server itself, or through a pool in session mode, because `LISTEN` requires a
/// session. With a pool in transaction mode (`pool_mode = transaction`), events of other processes
/// are found up to a second later, and session settings may not apply to the connection that stores
/// an event. Then set `synchronous_commit` to `on` for the database or the user, so that accepted
/// events are on disk.
///
/// The server's clock decides which events are due and which leases have ended.
/// [`clock`](Self::clock) is used only for the time of acceptance.
///
/// [`max_pending`](Self::max_pending) and [`max_bytes`](Self::max_bytes) can be exceeded by the
/// events that other processes store or redrive within ten seconds. Above 100,000, the number of
/// remembered keys in [`Stats`](super::Stats) is the server's estimate.
///
/// Each row is written three times, so the table depends on autovacuum and has its own settings for
/// it. A transaction that stays open anywhere in the database blocks autovacuum: set
/// `idle_in_transaction_session_timeout`. After a backlog, or if erased events must also disappear
/// from the table's file, `VACUUM (FULL) twenty_webhook.inbox` releases the space; nothing is
/// stored while it runs.
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
    /// The default [maximum of pending events](Self::max_pending): a million.
    pub const DEFAULT_MAX_PENDING: u64 = 1_000_000;

    /// The default [maximum of bytes](Self::max_bytes) of pending events and dead letters: 2 GiB.
    pub const DEFAULT_MAX_BYTES: u64 = 2 << 30;

    /// The default time for which keys of completed events are [remembered](Self::remember_for): a
    /// day.
    pub const DEFAULT_REMEMBER_FOR: Duration = Duration::from_secs(24 * 60 * 60);

    /// The default time for which dead letters are [kept](Self::keep_dead_letters_for): 30 days.
    pub const DEFAULT_KEEP_DEAD_LETTERS_FOR: Duration = Duration::from_secs(30 * 24 * 60 * 60);

    /// The default [size of the file's cache](Self::cache_size), in bytes: 16 MiB.
    #[cfg(feature = "redb")]
    pub const DEFAULT_CACHE_SIZE: usize = 16 << 20;

    /// The default time for which [`open`](Self::open) [waits](Self::lock_timeout) for another
    /// process: 30 seconds.
    #[cfg(feature = "redb")]
    pub const DEFAULT_LOCK_TIMEOUT: Duration = Duration::from_secs(30);

    /// The default [schema](Self::schema) in PostgreSQL.
    #[cfg(feature = "postgres")]
    pub const DEFAULT_SCHEMA: &str = "twenty_webhook";

    /// The default [table](Self::table) in PostgreSQL.
    #[cfg(feature = "postgres")]
    pub const DEFAULT_TABLE: &str = "inbox";

    /// The default [lease](Self::lease): a minute.
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

    /// Sets how many events may be pending: ready, delayed or running. Beyond that, storing fails;
    /// see [`on_failure`](Self::on_failure). Default: [`Self::DEFAULT_MAX_PENDING`].
    pub const fn max_pending(mut self, events: u64) -> Self {
        self.bounds.max_pending = events;
        self
    }

    /// Sets how many bytes pending events and dead letters may have together. Beyond that, storing
    /// fails. A file can be twice as large. Default: [`Self::DEFAULT_MAX_BYTES`].
    pub const fn max_bytes(mut self, bytes: u64) -> Self {
        self.bounds.max_bytes = bytes;
        self
    }

    /// Sets how long the key of a completed event is remembered, so that duplicates are not handled
    /// again. A key is always remembered for at least a minute longer than the delivery verifies.
    /// Default: [`Self::DEFAULT_REMEMBER_FOR`].
    pub const fn remember_for(mut self, time: Duration) -> Self {
        self.bounds.remember_for = time;
        self
    }

    /// Sets how long dead letters are kept before they are deleted. Default:
    /// [`Self::DEFAULT_KEEP_DEAD_LETTERS_FOR`].
    pub const fn keep_dead_letters_for(mut self, time: Duration) -> Self {
        self.bounds.keep_dead_for = time;
        self
    }

    /// Sets what happens to a delivery that cannot be stored. Before that, the inbox repeats failed
    /// attempts for 1.5 seconds if a retry may succeed, and waits for the store for at most 3
    /// seconds in total. By default a worker handles the delivery directly.
    pub const fn on_failure(mut self, failure: InboxFailure) -> Self {
        self.on_failure = failure;
        self
    }

    /// Sets a namespace, which separates webhooks whose secrets differ but whose keys have the same
    /// id. Default: the empty namespace.
    pub fn namespace(mut self, namespace: impl Into<Arc<str>>) -> Self {
        self.naming.namespace = namespace.into();
        self
    }

    /// Identifies deliveries by the values that `key_by` returns, instead of the body. If it
    /// returns `None` or an empty list, the body is used. If it panics, the body is used and the
    /// panic is logged.
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

    /// Sets the source of the current time. Default: [`SystemClock`].
    pub fn clock(mut self, clock: impl Clock) -> Self {
        self.clock = Arc::new(clock);
        self
    }

    /// Sets the size of the file's cache in memory, in bytes. Default:
    /// [`Self::DEFAULT_CACHE_SIZE`].
    #[cfg(feature = "redb")]
    pub const fn cache_size(mut self, bytes: usize) -> Self {
        self.file.cache = bytes;
        self
    }

    /// Sets how long [`open`](Self::open) waits while another process has the file open, as in a
    /// rolling restart. Default: [`Self::DEFAULT_LOCK_TIMEOUT`].
    #[cfg(feature = "redb")]
    pub const fn lock_timeout(mut self, time: Duration) -> Self {
        self.file.lock_timeout = time;
        self
    }

    /// Sets whether [`open`](Self::open) and [`connect`](Self::connect) create a missing inbox. By
    /// default they do. Use `false` in programs that only inspect an inbox, and for a database user
    /// without the right to create tables.
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

    /// Opens the inbox in this file, or creates the file, with mode 0600.
    ///
    /// It blocks the thread while it waits for another process to close the file. Events that were
    /// running when the previous process ended are ready again.
    ///
    /// # Errors
    ///
    /// [`Locked`](super::InboxErrorKind::Locked),
    /// [`NewerVersion`](super::InboxErrorKind::NewerVersion),
    /// [`Damaged`](super::InboxErrorKind::Damaged), or
    /// [`Unavailable`](super::InboxErrorKind::Unavailable) if the file cannot be created or read.
    #[cfg(feature = "redb")]
    pub fn open(self, path: impl AsRef<std::path::Path>) -> Result<Inbox, InboxError> {
        let store = super::redb::RedbStore::open(path.as_ref(), self.file, self.bounds, Arc::clone(&self.clock))?;
        Ok(Inbox::new(Arc::new(store), self))
    }

    /// Opens the inbox in this file for reading, while another process writes it. You can read its
    /// statistics and its dead letters; all other operations fail.
    ///
    /// # Errors
    ///
    /// Returns the same errors as [`open`](Self::open). Also
    /// [`Unavailable`](super::InboxErrorKind::Unavailable) if there is no file, or if the process
    /// that wrote it was killed and no other process has opened it since.
    #[cfg(feature = "redb")]
    pub fn open_read_only(self, path: impl AsRef<std::path::Path>) -> Result<Inbox, InboxError> {
        let store = super::redb::RedbReader::open(path.as_ref(), self.file.cache)?;
        Ok(Inbox::new(Arc::new(store), self))
    }

    /// Sets the schema of the table in PostgreSQL. It is created if it is missing. Default:
    /// [`Self::DEFAULT_SCHEMA`].
    #[cfg(feature = "postgres")]
    pub fn schema(mut self, name: &str) -> Self {
        self.postgres.names.schema = name.into();
        self
    }

    /// Sets the name of the table in PostgreSQL. The names of its version table and its indexes
    /// begin with this name. Default: [`Self::DEFAULT_TABLE`].
    #[cfg(feature = "postgres")]
    pub fn table(mut self, name: &str) -> Self {
        self.postgres.names.table = name.into();
        self
    }

    /// Sets the lease in PostgreSQL: how long an event belongs to a process that does not renew the
    /// lease. A worker renews it while a handler runs, unless handlers block all threads of the
    /// runtime. After the lease ends, another process handles the event, and the first process can
    /// no longer change it. From a second to ten minutes. Default: [`Self::DEFAULT_LEASE`].
    #[cfg(feature = "postgres")]
    pub fn lease(mut self, time: Duration) -> Self {
        self.postgres.lease = time.clamp(Duration::from_secs(1), super::postgres::LONGEST_LEASE);
        self
    }

    /// Returns the SQL that creates the table, if you want to create it by hand.
    /// [`connect`](Self::connect) then requires no right to create anything. Run the SQL in one
    /// transaction.
    ///
    /// # Errors
    ///
    /// [`Settings`](super::InboxErrorKind::Settings) if a name is empty, too long, or has a zero
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
    /// [`Settings`](super::InboxErrorKind::Settings) if the URL or a name is invalid, the URL
    /// requires TLS, or the database rejects the user.
    /// [`NewerVersion`](super::InboxErrorKind::NewerVersion) or
    /// [`Damaged`](super::InboxErrorKind::Damaged) if this version cannot use the table.
    /// [`Unavailable`](super::InboxErrorKind::Unavailable) or
    /// [`Timeout`](super::InboxErrorKind::Timeout) if the database cannot be reached.
    #[cfg(feature = "postgres")]
    pub async fn connect(self, url: &str) -> Result<Inbox, InboxError> {
        let connector = super::postgres::Connector::without_tls(url)?;
        self.connect_by(connector).await
    }

    /// Connects with TLS, through a connector for tokio-postgres, such as that of
    /// `tokio-postgres-rustls`. Set `sslmode=require` in the URL; otherwise a connection without
    /// TLS is possible, too.
    ///
    /// # Errors
    ///
    /// Returns the same errors as [`connect`](Self::connect).
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

    /// Creates an inbox in memory, for tests of your handlers. Its events are lost when the process
    /// ends.
    #[must_use]
    pub fn in_memory(self) -> Inbox {
        let store = MemoryInbox::new(self.bounds, Arc::clone(&self.clock));
        Inbox::new(Arc::new(store), self)
    }
}
