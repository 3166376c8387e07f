//! What the example receivers share: the secret from the environment, the line that they print, and their end.
#![allow(dead_code, reason = "each example uses a part")]

use std::{
    future::{Future, IntoFuture as _, pending},
    io,
    net::SocketAddr,
    process::exit,
    time::Duration,
};

use axum::serve::Listener;
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

/// A verifier with the secrets of `TWENTY_WEBHOOK_SECRET` and, during a rotation, `TWENTY_WEBHOOK_PREVIOUS_SECRET`.
///
/// Ends the program when there is none: a receiver without a secret would have to refuse everything.
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

/// The socket that systemd has handed over, or a new one at [`listen_addr`].
///
/// A socket that was handed over stays open while the program is restarted: connections wait in it.
pub(crate) fn listener() -> io::Result<std::net::TcpListener> {
    let listener = match ListenFd::from_env().take_tcp_listener(0)? {
        Some(listener) => listener,
        None => std::net::TcpListener::bind(listen_addr())?,
    };
    listener.set_nonblocking(true)?;
    Ok(listener)
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
/// connection that hyper or actix-web closes is lost, so each connection has time to send its first.
pub(crate) const FIRST_REQUEST: Duration = Duration::from_secs(1);

/// Serves until the program is asked to end, and finishes the requests that have begun.
pub(crate) async fn serve(listener: TcpListener, app: axum::Router) -> io::Result<()> {
    serve_until(shutdown_signal(), GRACE, listener, app).await
}

/// Serves until `end`, and finishes the requests that have begun, within [`FIRST_REQUEST`] and `grace`.
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
    let listener = Accepting { address: listener.local_addr()?, listener: Some(listener), ended };
    tokio::select! {
        served = axum::serve(listener, app).with_graceful_shutdown(signal).into_future() => served,
        () = too_late => Ok(()),
    }
}

/// Accepts connections until the channel is closed, and then closes the socket.
///
/// The system would go on to take connections for an open socket, with requests that nobody
/// answers. Refused, a load balancer tries the next instance. A socket of systemd's stays open: this
/// program has only a copy of it.
struct Accepting {
    listener: Option<TcpListener>,
    address: SocketAddr,
    ended: watch::Receiver<()>,
}

impl Listener for Accepting {
    type Io = TcpStream;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (TcpStream, SocketAddr) {
        if let Some(listener) = &mut self.listener {
            tokio::select! {
                biased;
                // First, so that those that already wait are not cut off.
                accepted = Listener::accept(listener) => return accepted,
                _ = self.ended.changed() => {}
            }
            self.listener = None;
        }
        pending().await
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        Ok(self.address)
    }
}

/// Waits for the handlers in the background. With [`GRACE`] before it, the program ends within 20
/// seconds.
pub(crate) async fn drain(receiver: &Receiver) {
    let drained = receiver.drain(Duration::from_secs(10)).await;
    if drained.abandoned > 0 {
        eprintln!("{} handlers did not end in time", drained.abandoned);
    }
}
