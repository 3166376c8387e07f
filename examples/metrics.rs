//! Receives Twenty's webhooks, and serves metrics for Prometheus.
//!
//!     TWENTY_WEBHOOK_SECRET=dev-secret cargo run --features axum,metrics --example metrics
//!     curl http://127.0.0.1:3000/metrics
//!
//! You can use any exporter for the `metrics` crate. This example uses
//! `metrics-exporter-prometheus` with `default-features = false`, which leaves out its HTTP server.
//! In production, allow only Prometheus to access `/metrics`.

mod common;

use std::{error::Error, time::Duration};

use axum::{
    Router,
    http::StatusCode,
    routing::{get, post},
};
use metrics_exporter_prometheus::{BuildError, Matcher, PrometheusBuilder, PrometheusHandle};
use tokio::{net::TcpListener, time::interval};
use twenty_webhook::{Receiver, WebhookEvent, deduplicate::MemoryStore, tower::WebhookLayer};

/// Bucket bounds in seconds, both for verification, which takes microseconds, and for handlers,
/// which have 5 seconds.
const SECONDS: [f64; 8] = [0.000_01, 0.000_1, 0.001, 0.01, 0.1, 1.0, 5.0, 30.0];
const BYTES: [f64; 6] = [1e3, 4e3, 16e3, 64e3, 256e3, 1e6];

/// Installs the recorder of this process.
fn install_recorder() -> Result<PrometheusHandle, BuildError> {
    PrometheusBuilder::new()
        .set_buckets_for_metric(Matcher::Suffix("_seconds".to_owned()), &SECONDS)?
        .set_buckets_for_metric(Matcher::Suffix("_bytes".to_owned()), &BYTES)?
        .install_recorder()
}

/// Moves recorded values into their buckets regularly. Otherwise they would use memory until the
/// next scrape.
async fn tidy_up(metrics: PrometheusHandle) {
    let mut now_and_then = interval(Duration::from_secs(5));
    loop {
        now_and_then.tick().await;
        metrics.run_upkeep();
    }
}

async fn on_event(event: WebhookEvent) -> StatusCode {
    common::print(&event);
    StatusCode::OK
}

fn app(receiver: Receiver, metrics: PrometheusHandle) -> Router {
    Router::new()
        .route("/webhooks/twenty", post(on_event).layer(WebhookLayer::new(receiver)))
        .route("/metrics", get(async move || metrics.render()))
        .route("/health", get(StatusCode::OK))
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let metrics = install_recorder()?;
    tokio::spawn(tidy_up(metrics.clone()));
    let receiver = Receiver::new(common::verifier_from_env())
        .deduplicate(MemoryStore::new(100_000))
        .acknowledge_within(Duration::from_millis(250));
    let listener = TcpListener::bind(common::listen_addr()).await?;
    eprintln!("listening on http://{}/webhooks/twenty", listener.local_addr()?);
    common::serve(listener, app(receiver.clone(), metrics)).await?;
    common::drain(&receiver).await;
    Ok(())
}
