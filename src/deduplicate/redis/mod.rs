//! A store in Redis.

mod builder;
mod connection;

use std::{fmt, sync::LazyLock, time::Duration};

use ::redis::{Cmd, ErrorKind, FromRedisValue, RedisError, RedisResult, ServerErrorKind};
use tokio::time::timeout;

pub use self::builder::RedisStoreBuilder;
use self::{
    builder::Address,
    connection::{CONNECT_WITHIN, Connection},
};
use super::{Claim, ClaimKey, ClaimOutcome, ClaimStore, StoreError, StoreErrorKind, StoreFuture, store::clamp};

/// A [`ClaimStore`] in Redis or Valkey, for receivers in several processes or on several machines.
///
/// ```no_run
/// use std::time::Duration;
/// use twenty_webhook::deduplicate::{RedisStore, StoreError};
///
/// # async fn example() -> Result<(), StoreError> {
/// let store = RedisStore::connect("redis://:password@redis.internal:6379/0").await?;
///
/// let store = RedisStore::cluster(["redis://node-1.internal", "redis://node-2.internal"])
///     .prefix("staging:twenty-webhook:")
///     .deadline(Duration::from_millis(200))
///     .connect()
///     .await?;
/// # let _ = store;
/// # Ok(())
/// # }
/// ```
///
/// # Requirements
///
/// - **Redis 7.0 or later, or Valkey 7.2 or later.** A claim is one `SET … NX GET PX`, which
///   distinguishes free, running and completed keys in one round trip. Older servers reject it.
/// - **`maxmemory-policy noeviction`.** Any other policy silently removes keys when memory runs
///   out, so deliveries would be handled twice. With `noeviction`, a claim fails instead.
/// - Permission to run `SET`, `GET`, `DEL`, `PEXPIRE`, `EVAL` and `EVALSHA` on keys with the
///   prefix.
///
/// # Limits
///
/// Redis replicates after it has responded. A **failover can lose a new claim**, and a restarted
/// server loses what it had not written to disk. A duplicate of such a delivery counts as new. A
/// handler that is still running completes the delivery nevertheless; see [`ClaimStore`].
///
/// # Connection
///
/// Each tokio runtime has one connection for all of its commands: usually there is one runtime, and
/// with actix-web one for each worker. In a cluster, all runtimes share one connection to each
/// node. Connections reconnect automatically. A command that fails because the connection broke is
/// sent once more, and the token shows whether the first one took effect. Each call ends within the
/// deadline, which includes connecting. After a timeout the command may have been executed, or may
/// still be executed by a stalled server. The lease of such a claim expires. A connection to a
/// server that rejects writes as a replica is replaced, at most once a second, because after a
/// failover the address may lead to another server.
///
/// The store requires a tokio runtime with time and I/O enabled. In a cluster, the runtime in which
/// the store was connected must keep running.
///
/// `rediss://` addresses require TLS, which is a feature of the `redis` crate that you choose. For
/// example, add this to your `Cargo.toml`: `redis = { version = "1", default-features = false,
/// features = ["tokio-native-tls-comp"] }`.
///
/// # Storage
///
/// Each key is one string that expires. Its name is the prefix and 64 hexadecimal digits, its value
/// is `r` (running) or `c` (completed) and the 16 bytes of the token. Leases and times to live are
/// rounded up to whole milliseconds and start when the server executes the command. An entry takes
/// about 230 bytes of the server's memory with the default prefix (measured with Redis 7.0).
pub struct RedisStore {
    connection: Connection,
    prefix: String,
    deadline: Duration,
}

impl RedisStore {
    /// Connects to the server at `url`, with the defaults of [`builder`](Self::builder).
    ///
    /// The URL has the form `redis://[user][:password]@host[:port][/database]`, or
    /// `unix:///path/to/socket`.
    ///
    /// # Errors
    ///
    /// Returns the same errors as [`RedisStoreBuilder::connect`].
    ///
    /// # Panics
    ///
    /// Panics outside of a tokio runtime.
    pub async fn connect(url: &str) -> Result<Self, StoreError> {
        Self::builder(url).connect().await
    }

    /// Returns a builder for a store on the server at `url`.
    pub fn builder(url: &str) -> RedisStoreBuilder {
        RedisStoreBuilder::new(Address::Server(url.to_owned()))
    }

    /// Returns a builder for a store in the Redis Cluster that the nodes at `urls` belong to. They
    /// report the other nodes.
    pub fn cluster<I>(urls: I) -> RedisStoreBuilder
    where
        I: IntoIterator<Item: Into<String>>,
    {
        RedisStoreBuilder::new(Address::Cluster(urls.into_iter().map(Into::into).collect()))
    }

    fn name(&self, key: ClaimKey) -> String {
        self.prefix.clone() + &hex::encode(key.as_bytes())
    }

    /// Runs `script` on the claim. Scripts return 1 or 0.
    async fn run(&self, script: &Script, claim: &Claim, time: Option<u64>) -> Result<bool, StoreError> {
        self.within_deadline(async {
            match self.ask(&self.command(script, How::Hash, claim, time)).await {
                // This is the first use, or the server was restarted. EVAL also caches the script.
                Err(error) if error.kind() == ErrorKind::Server(ServerErrorKind::NoScript) => {
                    self.ask(&self.command(script, How::Code, claim, time)).await
                }
                answer => answer,
            }
        })
        .await
    }

    /// The command that runs `script` on the claim.
    fn command(&self, script: &Script, how: How, claim: &Claim, time: Option<u64>) -> Cmd {
        let (name, script) = match how {
            How::Code => ("EVAL", script.code),
            How::Hash => ("EVALSHA", &*script.hash),
        };
        let mut command = ::redis::cmd(name);
        command.arg(script).arg(1).arg(self.name(claim.key())).arg(claim.token()).arg(time);
        command
    }

    /// Runs every command and script once, on a new key that expires.
    async fn try_everything(&self) -> Result<(), StoreError> {
        // The lease is long enough for the scripts to find the claim.
        const LEASE: Duration = CONNECT_WITHIN;

        let nobodys = Claim::new(ClaimKey::new("", "", &[0; 32]));
        let key = ClaimKey::from_parts("connect", "", [nobodys.token()]);
        for how in [How::Code, How::Hash] {
            let claim = match self.claim(key, LEASE).await? {
                ClaimOutcome::Fresh(claim) => claim,
                // Another program uses this name.
                ClaimOutcome::Running | ClaimOutcome::Completed => return Err(StoreErrorKind::Unexpected.into()),
            };
            let time = Some(milliseconds(LEASE));
            for (script, time) in [(&RENEW, time), (&RELEASE, None), (&COMPLETE, time)] {
                self.within_deadline(self.ask::<bool>(&self.command(script, how, &claim, time))).await?;
            }
            self.forget(key).await?;
        }
        Ok(())
    }

    async fn ask<T: FromRedisValue>(&self, command: &Cmd) -> RedisResult<T> {
        match self.connection.ask(command).await {
            // The connection broke since the last command and is being restored.
            Err(error) if error.is_io_error() => self.connection.ask(command).await,
            answer => answer,
        }
    }

    async fn within_deadline<T>(&self, answer: impl Future<Output = RedisResult<T>>) -> Result<T, StoreError> {
        match timeout(self.deadline, answer).await {
            Ok(answer) => answer.map_err(store_error),
            Err(_) => Err(StoreErrorKind::Timeout.into()),
        }
    }
}

impl fmt::Debug for RedisStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisStore")
            .field("prefix", &self.prefix)
            .field("deadline", &self.deadline)
            .finish_non_exhaustive()
    }
}

impl ClaimStore for RedisStore {
    fn claim(&self, key: ClaimKey, lease: Duration) -> StoreFuture<'_, ClaimOutcome> {
        Box::pin(async move {
            let claim = Claim::new(key);
            let mut command = ::redis::cmd("SET");
            command
                .arg(self.name(key))
                .arg(value(RUNNING, &claim))
                .arg("NX")
                .arg("GET")
                .arg("PX")
                .arg(milliseconds(lease));
            let found: Option<Vec<u8>> = match self.within_deadline(self.ask(&command)).await {
                Ok(found) => found,
                Err(error) => return Err(error.with_claim(claim)),
            };
            match found.as_deref().and_then(<[u8]>::split_first) {
                None if found.is_none() => Ok(ClaimOutcome::Fresh(claim)),
                // The command was sent twice because the connection broke, and the first one took
                // effect.
                Some((&RUNNING, token)) if token == claim.token() => Ok(ClaimOutcome::Fresh(claim)),
                Some((&RUNNING, _)) => Ok(ClaimOutcome::Running),
                Some((&COMPLETED, _)) => Ok(ClaimOutcome::Completed),
                _ => Err(StoreError::from(StoreErrorKind::Unexpected).with_claim(claim)),
            }
        })
    }

    fn renew<'a>(&'a self, claim: &'a Claim, lease: Duration) -> StoreFuture<'a, bool> {
        Box::pin(self.run(&RENEW, claim, Some(milliseconds(lease))))
    }

    fn complete<'a>(&'a self, claim: &'a Claim, ttl: Duration) -> StoreFuture<'a, bool> {
        Box::pin(self.run(&COMPLETE, claim, Some(milliseconds(ttl))))
    }

    fn release<'a>(&'a self, claim: &'a Claim) -> StoreFuture<'a, bool> {
        Box::pin(self.run(&RELEASE, claim, None))
    }

    fn forget(&self, key: ClaimKey) -> StoreFuture<'_, bool> {
        Box::pin(async move {
            let mut command = ::redis::cmd("DEL");
            command.arg(self.name(key));
            self.within_deadline(self.ask(&command)).await
        })
    }
}

const RUNNING: u8 = b'r';
const COMPLETED: u8 = b'c';

/// Returns the value of a key: the state, then the token.
fn value(state: u8, claim: &Claim) -> Vec<u8> {
    let mut value = vec![state];
    value.extend_from_slice(claim.token());
    value
}

/// How a script is sent to the server.
#[derive(Clone, Copy)]
enum How {
    /// By its code, which the server then caches.
    Code,
    /// By its hash, which a restarted server does not know.
    Hash,
}

/// A script and its SHA-1 hash, by which the server identifies it.
struct Script {
    code: &'static str,
    hash: String,
}

impl Script {
    fn new(code: &'static str) -> Self {
        Self { code, hash: ::redis::Script::new(code).get_hash().to_owned() }
    }
}

// KEYS[1] is the key's name, ARGV[1] the token, ARGV[2] a time in milliseconds.

static RENEW: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        "if redis.call('GET', KEYS[1]) ~= 'r' .. ARGV[1] then return 0 end \
         return redis.call('PEXPIRE', KEYS[1], ARGV[2])",
    )
});

static COMPLETE: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        "local held = redis.call('GET', KEYS[1]) \
         if held and string.sub(held, 2) ~= ARGV[1] then return 0 end \
         redis.call('SET', KEYS[1], 'c' .. ARGV[1], 'PX', ARGV[2]) \
         return 1",
    )
});

static RELEASE: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        "if redis.call('GET', KEYS[1]) ~= 'r' .. ARGV[1] then return 0 end \
         return redis.call('DEL', KEYS[1])",
    )
});

/// Rounds up, so that a lease is never shorter than requested. Redis rejects zero.
fn milliseconds(duration: Duration) -> u64 {
    let milliseconds = clamp(duration).as_nanos().div_ceil(1_000_000);
    u64::try_from(milliseconds).unwrap_or(u64::MAX)
}

fn store_error(error: RedisError) -> StoreError {
    let kind = match error.kind() {
        ErrorKind::Io if error.is_timeout() => StoreErrorKind::Timeout,
        ErrorKind::Io | ErrorKind::ClusterConnectionNotFound => StoreErrorKind::Connection,
        ErrorKind::Server(_) | ErrorKind::Extension | ErrorKind::AuthenticationFailed => StoreErrorKind::Refused,
        ErrorKind::InvalidClientConfig => StoreErrorKind::Settings,
        _ => StoreErrorKind::Unexpected,
    };
    // A server that does not know a command repeats its arguments, which include the key.
    if error.detail().is_some_and(|detail| detail.contains("with args beginning with")) {
        StoreError::new(kind, "the server does not know the command")
    } else {
        StoreError::new(kind, error)
    }
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;

    #[test]
    fn times_are_whole_milliseconds_rounded_up() {
        assert_eq!(milliseconds(Duration::ZERO), 1);
        assert_eq!(milliseconds(Duration::from_nanos(1)), 1);
        assert_eq!(milliseconds(Duration::from_micros(1_001)), 2);
        assert_eq!(milliseconds(Duration::from_secs(2)), 2_000);
        assert_eq!(milliseconds(Duration::MAX), 3_153_600_000_000);
    }

    /// The operating system reports this error when the server's machine is gone.
    #[test]
    fn a_connection_that_timed_out_is_a_timeout() {
        let kind = |error: io::ErrorKind| store_error(io::Error::from(error).into()).kind();
        assert_eq!(kind(io::ErrorKind::TimedOut), StoreErrorKind::Timeout);
        assert_eq!(kind(io::ErrorKind::ConnectionReset), StoreErrorKind::Connection);
    }
}
