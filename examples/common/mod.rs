//! What the example receivers share: the secret from the environment, the line that they print, and
//! their end.
#![allow(dead_code, reason = "each example uses a part")]

use std::{
    future::{Future, IntoFuture as _, pending},
    io,
    net::SocketAddr,
    process::exit,
    time::Duration,
};

use actix_web::dev::ServerHandle;
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
use twenty_webhook::{
    Receiver, Verifier, WebhookEvent,
    verify::{ConfigError, Secret},
};

/// A verifier with the secrets of `TWENTY_WEBHOOK_SECRET` and, during a rotation,
/// `TWENTY_WEBHOOK_PREVIOUS_SECRET`.
///
/// Ends the program when there is none: a receiver without a secret would have to refuse
/// everything.
pub(crate) fn verifier_from_env() -> Verifier {
    let variable = |name| std::env::var(name).unwrap_or_default();
    let build = || -> Result<Verifier, ConfigError> {
        let mut builder = Verifier::builder().secret(Secret::new(variable("TWENTY_WEBHOOK_SECRET"))?);
        if let Ok(previous) = Secret::new(variable("TWENTY_WEBHOOK_PREVIOUS_SECRET")) {
            builder = builder.secret(previous);
        }
        builder.build()
    };
    build().unwrap_or_else(|error| {
        eprintln!(
            "TWENTY_WEBHOOK_SECRET: {error}. Twenty shows the secret under Settings > APIs & Webhooks, on the webhook's page."
        );
        exit(2)
    })
}

pub(crate) fn listen_addr() -> String {
    std::env::var("LISTEN_ADDR").unwrap_or_else(|_| "127.0.0.1:3000".to_owned())
}

/// The socket that systemd has handed over, or a new one at [`listen_addr`]. A new one is returned
/// once more, for [`stop_accepting`].
///
/// A socket that was handed over stays open while the program is restarted: connections wait in it.
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

/// `<event name> <record id or -> <display name or ->`
pub(crate) fn print(event: &WebhookEvent) {
    let id = event.record.id().map_or("-".to_owned(), |id| id.to_string());
    let display_name = event.record.display_name().unwrap_or_else(|| "-".to_owned());
    println!("{}", escaped(&format!("{} {id} {display_name}", event.name)));
}

/// `<who> <what or ->`
pub(crate) fn say(who: &str, what: Option<String>) {
    println!("{}", escaped(&format!("{who} {}", what.unwrap_or_else(|| "-".to_owned()))));
}

/// Without control characters, so that no record can forge a line of its own.
pub(crate) fn escaped(text: &str) -> String {
    text.chars().flat_map(|c| if c.is_control() { c.escape_unicode().collect::<Vec<_>>() } else { vec![c] }).collect()
}

/// Until the program is asked to end, by Ctrl-C or by SIGTERM.
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

/// How long open requests may take after the program was asked to end: as long as Twenty waits, and
/// a little more.
pub(crate) const GRACE: Duration = Duration::from_secs(6);

/// How long connections are served after no more are accepted. A request that arrives on a
/// connection that hyper or actix-web closes is lost, so each connection has time to send its
/// first.
pub(crate) const FIRST_REQUEST: Duration = Duration::from_secs(1);

/// Serves until the program is asked to end, and finishes the requests that have begun.
pub(crate) async fn serve(listener: TcpListener, app: axum::Router) -> io::Result<()> {
    serve_until(shutdown_signal(), GRACE, listener, app).await
}

/// Serves until `end`, and finishes the requests that have begun, within [`FIRST_REQUEST`] and
/// `grace`. No connection is kept alive.
///
/// axum waits for every open connection, and a client that sends half a request head and then
/// nothing keeps one open for as long as it likes. So the wait is bounded.
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

/// No connection is kept alive: a request on an idle one, at the moment when the program's end
/// closes it, would be lost. hyper takes this header out of an HTTP/2 response.
async fn close(mut response: Response) -> Response {
    response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    response
}

/// Accepts connections until the channel is closed, then those that already wait, and then closes
/// the socket.
///
/// The system would go on to take connections for an open socket, with requests that nobody
/// answers. Refused, a load balancer tries the next instance. A socket of systemd's stays open:
/// this program has only a copy of it.
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

    /// The next connection; `None` when there is none any more.
    pub(crate) async fn next(&mut self) -> Option<(TcpStream, SocketAddr)> {
        if let Some(listener) = &mut self.listener {
            tokio::select! {
                accepted = Listener::accept(listener) => return Some(accepted),
                _ = self.ended.changed() => self.close(),
            }
        }
        self.waiting.pop()
    }

    /// Asks the system itself for what waits: tokio may not have heard of it yet.
    fn close(&mut self) {
        /// As many as may wait.
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

/// Ends the first part of an actix-web server's life: no more connections are accepted. Those that
/// were have [`FIRST_REQUEST`] to send their request.
///
/// A server that is paused leaves its socket open until it stops, and the system goes on to take
/// connections for it, which are reset then. So the program stops the socket itself, on Linux. One
/// of systemd's it does not: connections wait there for the next process.
pub(crate) async fn stop_accepting(handle: &ServerHandle, own: Option<std::net::TcpListener>) {
    #[cfg(target_os = "linux")]
    if let Some(own) = own {
        refuse_connections(&own).await;
    }
    handle.pause().await;
    sleep(FIRST_REQUEST).await;
}

/// Waits until actix-web has accepted what waits, since stopping the socket resets it. Then the
/// system refuses connections. actix-web may log that it cannot accept.
#[cfg(target_os = "linux")]
async fn refuse_connections(socket: &std::net::TcpListener) {
    use rustix::{
        event::{PollFd, PollFlags, Timespec, poll},
        net::{Shutdown, shutdown},
    };

    // Not without end: actix-web accepts nothing while it serves as many connections as it may.
    for _ in 0..1_000 {
        if let Ok(0) = poll(&mut [PollFd::new(socket, PollFlags::IN)], Some(&Timespec::default())) {
            break;
        }
        sleep(Duration::from_millis(1)).await;
    }
    let _ = shutdown(socket, Shutdown::Read);
}

/// Waits for the handlers in the background. With [`GRACE`] before it, the program ends within 20
/// seconds.
pub(crate) async fn drain(receiver: &Receiver) {
    let drained = receiver.drain(Duration::from_secs(10)).await;
    if drained.abandoned > 0 {
        eprintln!("{} handlers did not end in time", drained.abandoned);
    }
}
