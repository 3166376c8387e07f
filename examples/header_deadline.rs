//! A receiver in axum that slow clients cannot exhaust. The crate limits the time for each *body*.
//! The server must limit the time for the *head* of a request and the number of connections.
//! `axum::serve` limits neither, so this example serves with hyper. You do not need it behind a
//! proxy that reads a whole request before it forwards it.
//!
//!     export TWENTY_WEBHOOK_SECRET=dev-secret
//!     cargo run --features axum --example header_deadline
//!
//! actix-web has both limits: `HttpServer::client_request_timeout` (5 seconds by default) and
//! `max_connections` (25,000 per worker by default).

mod common;

use std::{env, error::Error, io, sync::Arc, time::Duration};

use axum::{Router, routing::post};
use common::Accepting;
use hyper::server::conn::http1;
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    server::graceful::GracefulShutdown,
    service::TowerToHyperService,
};
use tokio::{
    net::TcpListener,
    sync::{Semaphore, watch},
    time::{sleep, timeout},
};
use twenty_webhook::{Receiver, WebhookEvent, tower::WebhookLayer};

/// Each connection takes a file descriptor. A process can usually have 1,024.
const CONNECTIONS: usize = 500;

async fn on_event(event: WebhookEvent) {
    common::print(&event);
}

/// Serves until `shutdown` completes. Closes a connection after its response, or if the head of its
/// request does not arrive in time.
async fn serve(
    listener: TcpListener,
    app: Router,
    head_within: Duration,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> io::Result<()> {
    // Twenty uses only HTTP/1. `hyper_util::server::conn::auto` would wait for the first bytes
    // without a time limit.
    let mut server = http1::Builder::new();
    server.timer(TokioTimer::new()).header_read_timeout(head_within).keep_alive(false);
    // A client that closes its half of the connection after the request still gets a response.
    server.half_close(true);
    let places = Arc::new(Semaphore::new(CONNECTIONS));
    let graceful = GracefulShutdown::new();
    let (accepting, ended) = watch::channel(());
    let mut is_ended = ended.clone();
    let mut listener = Accepting::new(listener, ended)?;
    tokio::spawn(async move {
        shutdown.await;
        drop(accepting);
    });
    let accept_all = async {
        loop {
            let place = Arc::clone(&places).acquire_owned().await;
            let Some((stream, _)) = listener.next().await else { break };
            let service = TowerToHyperService::new(app.clone());
            let connection = graceful.watch(server.serve_connection(TokioIo::new(stream), service));
            tokio::spawn(async move {
                // It does not matter how a connection ends.
                let _ = connection.await;
                drop(place);
            });
        }
    };
    // Clients that keep their connections open may hold all permits.
    let too_late = async {
        let _ = is_ended.changed().await;
        sleep(common::GRACE).await;
    };
    tokio::select! {
        () = accept_all => sleep(common::FIRST_REQUEST).await,
        () = too_late => {}
    }
    let _ = timeout(common::GRACE, graceful.shutdown()).await;
    Ok(())
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let head_within = env::var("HEAD_WITHIN_MS").map_or(Ok(5_000), |text| text.parse())?;
    let receiver = Receiver::new(common::verifier_from_env()).acknowledge_within(Duration::from_millis(250));
    let layer = WebhookLayer::new(receiver.clone());
    let app = Router::new().route("/webhooks/twenty", post(on_event).layer(layer));
    let listener = TcpListener::bind(common::listen_addr()).await?;
    eprintln!("listening on http://{}/webhooks/twenty", listener.local_addr()?);
    serve(listener, app, Duration::from_millis(head_within), common::shutdown_signal()).await?;
    common::drain(&receiver).await;
    Ok(())
}
