use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use ::redis::{
    Client, Cmd, ErrorKind, FromRedisValue, IntoConnectionInfo, RedisError, RedisResult, ServerErrorKind,
    aio::{ConnectionManager, ConnectionManagerConfig},
    cluster::{ClusterClient, ClusterConfig},
    cluster_async::ClusterConnection,
    io::tcp::{TcpSettings, socket2::TcpKeepalive},
};
use tokio::{
    runtime::{Handle, Id},
    time::Instant,
};

use super::builder::Address;

/// The time limit for one attempt to connect. The attempt runs in the background while commands
/// wait for it.
pub(super) const CONNECT_WITHIN: Duration = Duration::from_secs(5);

/// How long a peer may leave data unacknowledged before its connection counts as lost. The system's
/// default is a quarter of an hour.
const SILENCE: Duration = Duration::from_secs(10);

/// Connections that reconnect automatically when they break.
pub(super) enum Connection {
    Server(Box<Server>),
    Cluster(ClusterConnection),
}

/// A server, with a connection for each tokio runtime that uses it: each worker of actix-web has
/// its own runtime. With a single connection, whose task runs on one runtime, each command from
/// another runtime would wake two threads.
pub(super) struct Server {
    client: Client,
    managers: Mutex<HashMap<Option<Id>, Managed>>,
}

/// A connection, and when it was first used.
type Managed = (ConnectionManager, Instant);

/// The minimum age of a connection to a read-only server before it is replaced, so that not every
/// command reconnects.
const MIN_AGE: Duration = Duration::from_secs(1);

/// The maximum number of runtimes with a connection. Nothing reports the end of a runtime, so
/// beyond this number all connections are dropped. Runtimes that still run then connect again.
const MAX_RUNTIMES: usize = 1_000;

impl Server {
    fn new(client: Client) -> Self {
        Self { client, managers: Mutex::default() }
    }

    /// Returns the connection of the current runtime, which connects on first use.
    fn manager(&self) -> RedisResult<ConnectionManager> {
        let runtime = current_runtime();
        let mut managers = self.managers.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((manager, _)) = managers.get(&runtime) {
            return Ok(manager.clone());
        }
        let manager = manager(&self.client)?;
        if managers.len() >= MAX_RUNTIMES {
            managers.clear();
        }
        managers.insert(runtime, (manager.clone(), Instant::now()));
        Ok(manager)
    }

    /// Lets the next command of the current runtime open a new connection, if the present one is at
    /// least this old.
    fn forget_manager(&self, age: Duration) {
        let mut managers = self.managers.lock().unwrap_or_else(PoisonError::into_inner);
        managers.retain(|runtime, (_, since)| *runtime != current_runtime() || since.elapsed() < age);
    }
}

fn current_runtime() -> Option<Id> {
    Handle::try_current().ok().map(|runtime| runtime.id())
}

impl Connection {
    pub(super) fn open(address: Address) -> RedisResult<Self> {
        match address {
            Address::Server(url) => {
                let client = Client::open(url.into_connection_info()?.set_tcp_settings(tcp_settings()))?;
                let server = Server::new(client);
                // Reports invalid settings now.
                server.manager()?;
                Ok(Self::Server(Box::new(server)))
            }
            Address::Cluster(urls) => {
                let client = ClusterClient::builder(urls)
                    .tcp_settings(tcp_settings())
                    .connection_timeout(CONNECT_WITHIN)
                    // The client waits for redirections and elections, within the deadline of the
                    // call.
                    .overall_response_timeout(None)
                    .retries(16)
                    .min_retry_wait(5)
                    .max_retry_wait(100)
                    .build()?;
                Ok(Self::Cluster(client.get_pending_async_connection_with_config(ClusterConfig::new())))
            }
        }
    }

    pub(super) async fn ask<T: FromRedisValue>(&self, command: &Cmd) -> RedisResult<T> {
        match self {
            Self::Server(server) => {
                let answer = command.query_async(&mut server.manager()?).await;
                match answer.as_ref().map_err(RedisError::kind) {
                    // After a failure to connect, the manager retries. After a failure to log in, it
                    // returns the same error forever.
                    Err(ErrorKind::AuthenticationFailed) => server.forget_manager(Duration::ZERO),
                    // After a failover, the address may lead to another server, while the old one,
                    // now a replica, keeps its connections.
                    Err(ErrorKind::Server(ServerErrorKind::ReadOnly)) => server.forget_manager(MIN_AGE),
                    _ => {}
                }
                answer
            }
            Self::Cluster(connection) => command.query_async(&mut connection.clone()).await,
        }
    }
}

/// Creates a connection manager, without connecting yet.
fn manager(client: &Client) -> RedisResult<ConnectionManager> {
    let config = ConnectionManagerConfig::new()
        .set_connection_timeout(Some(CONNECT_WITHIN))
        // A command waits for only one attempt. It therefore fails immediately while the server is
        // down, instead of using up its deadline.
        .set_number_of_retries(0)
        // Each call has its own deadline.
        .set_response_timeout(None);
    ConnectionManager::new_lazy_with_config(client.clone(), config)
}

fn tcp_settings() -> TcpSettings {
    let settings = TcpSettings::default().set_nodelay(true).set_keepalive(TcpKeepalive::new().with_time(SILENCE));
    #[cfg(any(target_os = "android", target_os = "fuchsia", target_os = "linux"))]
    let settings = settings.set_user_timeout(SILENCE);
    settings
}
