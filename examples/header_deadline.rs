//! A receiver in axum that strangers who send slowly cannot use up. The crate gives each *body* a
//! deadline; how long the *head* of a request may take, and how many connections there are at once,
//! is for the server beneath. `axum::serve` bounds neither, so this serves with hyper instead. Not
//! needed behind a proxy that takes in whole requests before it passes them on.
//!
//!     export TWENTY_WEBHOOK_SECRET=dev-secret
//!     cargo run --features axum --example header_deadline
//!
//! actix-web has both: `HttpServer::client_request_timeout`, 5 seconds unless set, and
//! `max_connections`, 25,000 a worker.

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

/// Each takes a file, of which a process has 1,024 unless told otherwise.
const CONNECTIONS: usize = 500;

async fn on_event(event: WebhookEvent) {
    common::print(&event);
}

/// Serves until `shutdown`. A connection is closed when the head of its request is not there in
/// time, and after its response.
async fn serve(
    listener: TcpListener,
    app: Router,
    head_within: Duration,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> io::Result<()> {
    // HTTP/1 only, as Twenty speaks. `hyper_util::server::conn::auto` would wait for the first
    // bytes without a deadline.
    let mut server = http1::Builder::new();
    server.timer(TokioTimer::new()).header_read_timeout(head_within).keep_alive(false);
    // A client that closes its half of the connection after the request still gets the response.
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
                // How connections end is nobody's concern.
                let _ = connection.await;
                drop(place);
            });
        }
    };
    // All places may be taken, by clients who do not leave.
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
