use std::{fmt, time::Duration};

use tokio::time::timeout;

use super::{
    RedisStore, StoreError, StoreErrorKind,
    connection::{CONNECT_WITHIN, Connection},
    store_error,
};

const DEFAULT_PREFIX: &str = "twenty-webhook:";
const DEFAULT_DEADLINE: Duration = Duration::from_millis(500);

/// Settings of a [`RedisStore`]; see [`RedisStore::builder`] and [`RedisStore::cluster`].
///
/// [`Debug`](fmt::Debug) does not show the address, which may hold a password.
#[must_use = "call `connect`"]
#[derive(Clone)]
pub struct RedisStoreBuilder {
    address: Address,
    prefix: String,
    deadline: Duration,
}

#[derive(Clone)]
pub(super) enum Address {
    Server(String),
    Cluster(Vec<String>),
}

impl RedisStoreBuilder {
    pub(super) fn new(address: Address) -> Self {
        Self { address, prefix: DEFAULT_PREFIX.to_owned(), deadline: DEFAULT_DEADLINE }
    }

    /// Sets the prefix of every key in Redis. Default: `twenty-webhook:`.
    ///
    /// Receivers that use the same server, database and prefix share their claims. In a cluster, a
    /// prefix with a `{tag}` would place all keys on the same node.
    pub fn prefix(mut self, prefix: impl Into<String>) -> Self {
        self.prefix = prefix.into();
        self
    }

    /// Sets how long a call may take, including the time to connect. Default: half a second.
    pub fn deadline(mut self, deadline: Duration) -> Self {
        self.deadline = deadline;
        self
    }

    /// Connects within five seconds. Runs every command and script that the store needs on a
    /// temporary key, so that a wrong server or a missing permission is reported now.
    ///
    /// # Errors
    ///
    /// [`Settings`](StoreErrorKind::Settings) if an address is invalid, or requires a feature of
    /// the `redis` crate that is not enabled; also [`Timeout`](StoreErrorKind::Timeout),
    /// [`Connection`](StoreErrorKind::Connection) and [`Refused`](StoreErrorKind::Refused), which
    /// every call can return.
    ///
    /// # Panics
    ///
    /// Panics outside of a tokio runtime.
    pub async fn connect(self) -> Result<RedisStore, StoreError> {
        let deadline = self.deadline;
        let mut store = self.deadline(CONNECT_WITHIN).connect_lazy()?;
        match timeout(CONNECT_WITHIN, store.try_everything()).await {
            Ok(tried) => tried?,
            Err(_) => return Err(StoreErrorKind::Timeout.into()),
        }
        store.deadline = deadline;
        Ok(store)
    }

    /// Creates a store that connects on first use, for a receiver that must start while Redis is
    /// down.
    ///
    /// # Errors
    ///
    /// [`Settings`](StoreErrorKind::Settings) if an address is invalid, or requires a feature of
    /// the `redis` crate that is not enabled.
    ///
    /// # Panics
    ///
    /// Panics outside of a tokio runtime.
    pub fn connect_lazy(self) -> Result<RedisStore, StoreError> {
        let Self { address, prefix, deadline } = self;
        let connection = Connection::open(address).map_err(store_error)?;
        Ok(RedisStore { connection, prefix, deadline })
    }
}

impl fmt::Debug for RedisStoreBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisStoreBuilder")
            .field("prefix", &self.prefix)
            .field("deadline", &self.deadline)
            .finish_non_exhaustive()
    }
}
