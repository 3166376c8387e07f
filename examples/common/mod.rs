//! What the example receivers share: reading the secret from the environment, printing events, and
//! graceful shutdown.
#![allow(dead_code, reason = "each example uses a part")]

use std::{
    future::{Future, IntoFuture as _, pending},
    io,
    net::SocketAddr,
    process::exit,
    time::Duration,
};

use axum::{
    http::{HeaderValue, header::CONNECTION},
    middleware::map_response,
    response::Response,
    serve::Listener,
};
use listenfd::ListenFd;
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{oneshot, watch},
    time::sleep,
};
use twenty_webhook::{Receiver, Verifier, WebhookEvent, verify::Secret};

/// Creates a verifier with the secrets of `TWENTY_WEBHOOK_SECRET` and, during a rotation,
/// `TWENTY_WEBHOOK_PREVIOUS_SECRET`.
///
/// Exits if a secret is invalid, because a receiver without the right secrets would reject
/// deliveries.
pub(crate) fn verifier_from_env() -> Verifier {
    let mut builder = Verifier::builder().secret(secret("TWENTY_WEBHOOK_SECRET"));
    if std::env::var_os("TWENTY_WEBHOOK_PREVIOUS_SECRET").is_some_and(|value| !value.is_empty()) {
        builder = builder.secret(secret("TWENTY_WEBHOOK_PREVIOUS_SECRET"));
    }
    builder.build().unwrap_or_else(|error| {
        eprintln!("{error}");
        exit(2)
    })
}

/// Reads a secret from the environment, or exits.
fn secret(name: &str) -> Secret {
    Secret::new(std::env::var(name).unwrap_or_default()).unwrap_or_else(|error| {
        eprintln!("{name}: {error}. Twenty shows the secret under Settings > APIs & Webhooks, on the webhook's page.");
        exit(2)
    })
}

pub(crate) fn listen_addr() -> String {
    std::env::var("LISTEN_ADDR").unwrap_or_else(|_| "127.0.0.1:3000".to_owned())
}

/// Returns the listening socket: the one that systemd has passed, or a new one at [`listen_addr`].
/// For a new socket, also returns a second handle, which the actix-web examples shut down.
///
/// A socket that systemd has passed stays open while the program restarts, and connections wait in
/// it.
pub(crate) fn listener() -> io::Result<(std::net::TcpListener, Option<std::net::TcpListener>)> {
    let (listener, own) = match ListenFd::from_env().take_tcp_listener(0)? {
        Some(listener) => (listener, None),
        None => {
            let listener = std::net::TcpListener::bind(listen_addr())?;
            let own = listener.try_clone()?;
            (listener, Some(own))
        }
    };
    listener.set_nonblocking(true)?;
    Ok((listener, own))
}

/// Prints `<event name> <record id or -> <display name or ->`.
pub(crate) fn print(event: &WebhookEvent) {
    let id = event.record.id().map_or("-".to_owned(), |id| id.to_string());
    let display_name = event.record.display_name().unwrap_or_else(|| "-".to_owned());
    println!("{}", escaped(&format!("{} {id} {display_name}", event.name)));
}

/// Prints `<who> <what or ->`.
pub(crate) fn say(who: &str, what: Option<String>) {
    println!("{}", escaped(&format!("{who} {}", what.unwrap_or_else(|| "-".to_owned()))));
}

/// Escapes control characters, so that a record cannot forge a line of the output.
pub(crate) fn escaped(text: &str) -> String {
    text.chars().flat_map(|c| if c.is_control() { c.escape_unicode().collect::<Vec<_>>() } else { vec![c] }).collect()
}

/// Waits for Ctrl-C or SIGTERM.
pub(crate) async fn shutdown_signal() {
    let ctrl_c = tokio::signal::ctrl_c();
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        let mut terminate = signal(SignalKind::terminate()).expect("SIGTERM can be listened to");
        tokio::select! {
            _ = ctrl_c => {}
            _ = terminate.recv() => {}
        }
    }
    #[cfg(not(unix))]
    let _ = ctrl_c.await;
}

/// How long open requests may take after the shutdown signal: a little longer than Twenty waits for
/// an answer.
pub(crate) const GRACE: Duration = Duration::from_secs(6);

/// How long open connections are served after the program has stopped accepting new ones. A request
/// that arrives while hyper or actix-web closes its connection is lost, so each connection gets
/// this time to send its first request.
pub(crate) const FIRST_REQUEST: Duration = Duration::from_secs(1);

/// Serves until the shutdown signal, and completes the requests that have begun.
pub(crate) async fn serve(listener: TcpListener, app: axum::Router) -> io::Result<()> {
    serve_until(shutdown_signal(), GRACE, listener, app).await
}

/// Serves until `end`, and completes the requests that have begun, within [`FIRST_REQUEST`] and
/// `grace`. No connection is kept alive.
///
/// axum waits for every open connection, and a client can keep one open for any time by sending
/// only half a request head. The time limit ends this wait.
pub(crate) async fn serve_until(
    end: impl Future<Output = ()> + Send + 'static,
    grace: Duration,
    listener: TcpListener,
    app: axum::Router,
) -> io::Result<()> {
    let (accepting, ended) = watch::channel(());
    let (closing, closed) = oneshot::channel();
    let signal = async move {
        end.await;
        drop(accepting);
        sleep(FIRST_REQUEST).await;
        let _ = closing.send(());
    };
    let too_late = async {
        let _ = closed.await;
        sleep(grace).await;
    };
    let listener = Accepting::new(listener, ended)?;
    let app = app.layer(map_response(close));
    tokio::select! {
        served = axum::serve(listener, app).with_graceful_shutdown(signal).into_future() => served,
        () = too_late => Ok(()),
    }
}

/// Adds `Connection: close` to a response, so that no connection is kept alive. Otherwise a request
/// that arrives on an idle connection during shutdown would be lost. hyper removes this header from
/// HTTP/2 responses.
async fn close(mut response: Response) -> Response {
    response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    response
}

/// Accepts connections until the channel is closed. Then it accepts the connections that are
/// already waiting, and closes the socket.
///
/// If the socket stayed open, the kernel would accept further connections, whose requests would get
/// no answer. If connections are refused, a load balancer tries the next instance. A socket that
/// systemd has passed stays open, because this program closes only its own copy.
pub(crate) struct Accepting {
    listener: Option<TcpListener>,
    waiting: Vec<(TcpStream, SocketAddr)>,
    address: SocketAddr,
    ended: watch::Receiver<()>,
}

impl Accepting {
    pub(crate) fn new(listener: TcpListener, ended: watch::Receiver<()>) -> io::Result<Self> {
        Ok(Self { address: listener.local_addr()?, listener: Some(listener), waiting: Vec::new(), ended })
    }

    /// Returns the next connection, or `None` if the socket is closed and no connection is waiting.
    pub(crate) async fn next(&mut self) -> Option<(TcpStream, SocketAddr)> {
        if let Some(listener) = &mut self.listener {
            tokio::select! {
                accepted = Listener::accept(listener) => return Some(accepted),
                _ = self.ended.changed() => self.close(),
            }
        }
        self.waiting.pop()
    }

    /// Accepts the waiting connections directly from the kernel, because tokio may not have been
    /// notified of them yet.
    fn close(&mut self) {
        /// The maximum number of connections that can be waiting.
        const BACKLOG: usize = 4096;

        let Some(Ok(listener)) = self.listener.take().map(TcpListener::into_std) else { return };
        let accept = || listener.accept().ok();
        let into_tokio = |(stream, address): (std::net::TcpStream, _)| {
            stream.set_nonblocking(true).and_then(|()| TcpStream::from_std(stream)).ok().map(|stream| (stream, address))
        };
        self.waiting = std::iter::from_fn(accept).take(BACKLOG).filter_map(into_tokio).collect();
    }
}

impl Listener for Accepting {
    type Io = TcpStream;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (TcpStream, SocketAddr) {
        match self.next().await {
            Some(accepted) => accepted,
            None => pending().await,
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        Ok(self.address)
    }
}

/// Waits for the background handlers. Together with [`GRACE`], the program ends within 20 seconds.
pub(crate) async fn drain(receiver: &Receiver) {
    let drained = receiver.drain(Duration::from_secs(10)).await;
    if drained.abandoned > 0 {
        eprintln!("{} handlers did not end in time", drained.abandoned);
    }
}
