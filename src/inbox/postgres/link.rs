//! A connection that reconnects automatically.

use std::{
    error::Error as _,
    fmt::Write as _,
    future::{Future, poll_fn},
    pin::Pin,
    sync::Arc,
    time::Duration,
};

use tokio::{
    runtime::Handle,
    sync::{Mutex, watch},
    task::AbortHandle,
    time::{Instant, timeout},
};
use tokio_postgres::{
    AsyncMessage, Client, Config, Error, NoTls, Row, Socket,
    config::SslMode,
    error::SqlState,
    tls::{MakeTlsConnect, TlsConnect},
    types::{ToSql, Type},
};

use super::super::{InboxError, InboxErrorKind};

type Boxed<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// A parameter of a statement, and its type.
pub(super) type Parameter<'a> = (&'a (dyn ToSql + Sync), Type);

/// A callback for the payload of each notification.
pub(super) type Listener = Arc<dyn Fn(&str) + Send + Sync>;

type Connect = dyn Fn(Listener) -> Boxed<Result<(Client, Boxed<()>), Error>> + Send + Sync;

/// How to connect: the server's address and the TLS connector.
#[derive(Clone)]
pub(in crate::inbox) struct Connector(Arc<Connect>);

impl Connector {
    /// The time limit for connecting.
    const CONNECT: Duration = Duration::from_secs(5);

    /// How long a connection is idle before it is probed. Also the time limit for the answer to a
    /// probe.
    const KEEP_ALIVE: Duration = Duration::from_secs(30);

    pub(in crate::inbox) fn without_tls(url: &str) -> Result<Self, InboxError> {
        if parse(url)?.get_ssl_mode() == SslMode::Require {
            let message = "the database's URL requires TLS: use `connect_with_tls`";
            return Err(InboxError::new(InboxErrorKind::Settings, message));
        }
        Self::new(url, NoTls)
    }

    pub(in crate::inbox) fn new<T>(url: &str, tls: T) -> Result<Self, InboxError>
    where
        T: MakeTlsConnect<Socket, Stream: Send, TlsConnect: Send> + Clone + Send + Sync + 'static,
        <T::TlsConnect as TlsConnect<Socket>>::Future: Send,
    {
        let mut config = parse(url)?;
        if config.get_application_name().is_none() {
            config.application_name("twenty-webhook");
        }
        // This limits the TCP connection to each address. Otherwise an unreachable machine would
        // use up the time for the next address. Twice, because a name can have an IPv6 and an IPv4
        // address.
        let hosts = config.get_hosts().len().max(config.get_hostaddrs().len());
        let parts = u32::try_from(hosts).unwrap_or(u32::MAX).saturating_mul(2);
        let limit = Self::CONNECT.checked_div(parts).unwrap_or(Self::CONNECT);
        config.connect_timeout(config.get_connect_timeout().map_or(limit, |wanted| limit.min(*wanted)));
        // With the default settings, it takes two hours to detect that the server is gone.
        if config.get_keepalives_idle() > Self::KEEP_ALIVE {
            config.keepalives_idle(Self::KEEP_ALIVE);
        }
        if config.get_tcp_user_timeout().is_none() {
            config.tcp_user_timeout(Self::KEEP_ALIVE);
        }
        let connect = move |listener: Listener| {
            let (config, tls) = (config.clone(), tls.clone());
            let connected = async move {
                let (client, mut connection) = config.connect(tls).await?;
                let driver: Boxed<()> = Box::pin(async move {
                    while let Some(Ok(message)) = poll_fn(|cx| connection.poll_message(cx)).await {
                        if let AsyncMessage::Notification(notification) = message {
                            listener(notification.payload());
                        }
                    }
                });
                Ok((client, driver))
            };
            Box::pin(connected) as Boxed<_>
        };
        Ok(Self(Arc::new(connect)))
    }
}

fn parse(url: &str) -> Result<Config, InboxError> {
    let message = "the database's URL is invalid: expected postgres://user:password@host/database";
    match url.parse::<Config>() {
        Ok(config) if config.get_hosts().is_empty() && config.get_hostaddrs().is_empty() => {
            Err(InboxError::because(InboxErrorKind::Settings, message, "it has no host"))
        }
        Ok(config) => Ok(config),
        Err(error) => Err(match error.source().map(ToString::to_string) {
            Some(source) if source.starts_with("invalid value for option `") => {
                InboxError::because(InboxErrorKind::Settings, message, source)
            }
            // Other messages can quote a part of a password that contains an unescaped character.
            _ => InboxError::new(InboxErrorKind::Settings, message),
        }),
    }
}

/// A connection.
pub(super) struct Session {
    client: Client,
    opened: Instant,
    driver: AbortHandle,
    closed: watch::Receiver<()>,
}

impl Session {
    /// The minimum age of a read-only connection before it is replaced, so that not every statement
    /// reconnects.
    const MIN_AGE: Duration = Duration::from_secs(1);

    /// Runs a statement. A connection that does not answer in time is closed. So is one that is
    /// read-only: it may lead to a standby, and a new one to the primary.
    pub(super) async fn query(
        &self,
        sql: &str,
        parameters: &[Parameter<'_>],
        within: Duration,
    ) -> Result<Vec<Row>, InboxError> {
        self.in_time(self.client.query_typed(sql, parameters), within).await
    }

    /// Runs statements without parameters.
    pub(super) async fn execute(&self, sql: &str, within: Duration) -> Result<(), InboxError> {
        self.in_time(self.client.batch_execute(sql), within).await
    }

    async fn in_time<T>(
        &self,
        answer: impl Future<Output = Result<T, Error>>,
        within: Duration,
    ) -> Result<T, InboxError> {
        match timeout(within, answer).await {
            Ok(Ok(value)) => Ok(value),
            Ok(Err(error)) => {
                let is_read_only = error.code() == Some(&SqlState::READ_ONLY_SQL_TRANSACTION);
                if is_read_only && self.opened.elapsed() >= Self::MIN_AGE {
                    self.driver.abort();
                }
                Err(failure(&error))
            }
            Err(_) => {
                self.driver.abort();
                Err(InboxError::new(InboxErrorKind::Timeout, "the inbox's database did not answer in time"))
            }
        }
    }

    fn is_closed(&self) -> bool {
        self.client.is_closed() || self.driver.is_finished()
    }

    /// Waits until the connection ends.
    pub(super) async fn closed(&self) {
        // Nothing is sent on this channel, so this waits until the sender is dropped.
        _ = self.closed.clone().changed().await;
    }
}

/// Prepares a new connection before it is used.
pub(super) type SetUp =
    Box<dyn for<'a> Fn(&'a Session) -> Pin<Box<dyn Future<Output = Result<(), InboxError>> + Send + 'a>> + Send + Sync>;

/// A connection that is opened again after it has ended.
#[derive(Clone)]
pub(super) struct Link(Arc<Inner>);

struct Inner {
    connector: Connector,
    listener: Listener,
    set_up: SetUp,
    /// The runtime that makes and drives the connections. Any runtime can query them.
    runtime: Handle,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    session: Option<Arc<Session>>,
    failed: Option<Failed>,
}

/// The last failure to connect.
struct Failed {
    error: InboxError,
    pause: Duration,
    until: Instant,
}

impl Link {
    const SHORTEST_PAUSE: Duration = Duration::from_millis(25);

    /// The longest pause between attempts to connect. Storing is retried for 1.5 seconds, so a
    /// server that is available again should be noticed within that time.
    pub(super) const LONGEST_PAUSE: Duration = Duration::from_secs(1);

    pub(super) fn new(connector: Connector, listener: Listener, set_up: SetUp) -> Self {
        let runtime = Handle::current();
        Self(Arc::new(Inner { connector, listener, set_up, runtime, state: Mutex::default() }))
    }

    /// Returns the connection, and connects if there is none. After a failure, calls return the
    /// same error for a while, which doubles with each failure.
    pub(super) async fn session(&self) -> Result<Arc<Session>, InboxError> {
        let mut state = self.0.state.lock().await;
        if let Some(session) = &state.session {
            if !session.is_closed() {
                return Ok(Arc::clone(session));
            }
            state.session = None;
        }
        if let Some(failed) = &state.failed
            && Instant::now() < failed.until
        {
            return Err(failed.error.clone());
        }
        let inner = Arc::clone(&self.0);
        let connecting = self.0.runtime.spawn(async move { inner.connect().await });
        let connected = connecting.await.unwrap_or_else(|_| {
            Err(InboxError::new(InboxErrorKind::Unavailable, "the runtime of the inbox's connections has ended"))
        });
        match connected {
            Ok(session) => {
                let session = Arc::new(session);
                *state = State { session: Some(Arc::clone(&session)), failed: None };
                Ok(session)
            }
            Err(error) => {
                let pause = state
                    .failed
                    .as_ref()
                    .map_or(Self::SHORTEST_PAUSE, |failed| failed.pause.saturating_mul(2).min(Self::LONGEST_PAUSE));
                let now = Instant::now();
                let until = now.checked_add(pause).unwrap_or(now);
                state.failed = Some(Failed { error: error.clone(), pause, until });
                Err(error)
            }
        }
    }

    /// Runs a statement on the connection.
    pub(super) async fn query(
        &self,
        sql: &str,
        parameters: &[Parameter<'_>],
        within: Duration,
    ) -> Result<Vec<Row>, InboxError> {
        self.session().await?.query(sql, parameters, within).await
    }
}

impl Inner {
    async fn connect(&self) -> Result<Session, InboxError> {
        let connecting = (self.connector.0)(Arc::clone(&self.listener));
        let (client, driver) = match timeout(Connector::CONNECT, connecting).await {
            Ok(connected) => connected.map_err(|error| failure(&error))?,
            Err(_) => {
                return Err(InboxError::new(InboxErrorKind::Timeout, "cannot connect to the inbox's database in time"));
            }
        };
        let (is_open, closed) = watch::channel(());
        let driver = self.runtime.spawn(async move {
            driver.await;
            drop(is_open);
        });
        let session = Session { client, opened: Instant::now(), driver: driver.abort_handle(), closed };
        (self.set_up)(&session).await?;
        Ok(session)
    }
}

/// Classifies an error. The server's detail is left out, because it can contain stored data.
pub(super) fn failure(error: &Error) -> InboxError {
    let Some(refused) = error.as_db_error() else {
        let mut text = error.to_string();
        let mut source = error.source();
        while let Some(beneath) = source {
            _ = write!(text, ": {beneath}");
            source = beneath.source();
        }
        return InboxError::because(InboxErrorKind::Unavailable, "cannot reach the inbox's database", text);
    };
    let code = refused.code().code();
    let (kind, message) = match code {
        // the statement was cancelled, for example by `statement_timeout`
        "57014" => (InboxErrorKind::Timeout, "the inbox's database did not answer in time"),
        // no such schema, table or column
        "3F000" | "42P01" | "42703" => (
            InboxErrorKind::Damaged,
            "the inbox's table is missing, or is not an inbox: create it, or choose another name",
        ),
        // wrong password, no such database, no permission
        "28000" | "28P01" | "3D000" | "42501" => {
            (InboxErrorKind::Settings, "the inbox's database rejects this user, or does not exist")
        }
        _ => (InboxErrorKind::Unavailable, "the inbox's database failed"),
    };
    InboxError::because(kind, message, format!("{} (SQLSTATE {code})", refused.message()))
}

/// The error for a row that this crate did not write.
pub(super) fn unreadable(error: &Error) -> InboxError {
    InboxError::because(InboxErrorKind::Damaged, "a row of the inbox's table cannot be read", error.to_string())
}
