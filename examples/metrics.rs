//! Stores Twenty's webhooks in an inbox, serves metrics for Prometheus, and writes a log: all that
//! the alerts in `docs/prometheus-alerts.yml` and the runbook in `docs/operations.md` require.
//!
//!     TWENTY_WEBHOOK_SECRET=dev-secret cargo run --features axum,metrics,redb,tracing --example metrics
//!     curl http://127.0.0.1:3000/metrics
//!
//! The inbox and its handler are those of the example `inbox_receiver`. You can use any exporter
//! for the `metrics` crate. This example uses `metrics-exporter-prometheus` with
//! `default-features = false`, which leaves out its HTTP server. In production, allow only
//! Prometheus to access `/metrics`.

mod common;
#[path = "common/inbox.rs"]
mod inbox;

use std::{error::Error, time::Duration};

use axum::{
    Router,
    http::StatusCode,
    routing::{get, post},
};
use common::escaped;
use metrics_exporter_prometheus::{BuildError, Matcher, PrometheusBuilder, PrometheusHandle};
use tokio::time::interval;
use tracing_subscriber::{
    filter::{ParseError, Targets},
    fmt,
    layer::SubscriberExt as _,
    util::SubscriberInitExt as _,
};
use twenty_webhook::{inbox::Inbox, tower::WebhookLayer};

/// Bucket bounds in seconds, both for verification, which takes microseconds, and for handlers.
const SECONDS: [f64; 8] = [0.000_01, 0.000_1, 0.001, 0.01, 0.1, 1.0, 5.0, 30.0];
const BYTES: [f64; 6] = [1e3, 4e3, 16e3, 64e3, 256e3, 1e6];

/// Logs to the standard error, at the levels in `RUST_LOG`, such as `info,twenty_webhook=debug`.
fn install_log() -> Result<(), ParseError> {
    let levels: Targets = std::env::var("RUST_LOG").as_deref().unwrap_or("info").parse()?;
    tracing_subscriber::registry().with(fmt::layer().with_writer(std::io::stderr)).with(levels).init();
    Ok(())
}

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

fn app(inbox: Inbox, metrics: PrometheusHandle) -> Router {
    Router::new()
        .route("/webhooks/twenty", post(inbox).layer(WebhookLayer::new(common::verifier_from_env())))
        .route("/metrics", get(async move || metrics.render()))
        .route("/health", get(StatusCode::OK))
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    install_log()?;
    let metrics = install_recorder()?;
    tokio::spawn(tidy_up(metrics.clone()));
    let inbox = inbox::open().await?;
    let worker = inbox::start(&inbox)?;
    inbox::serve(worker, app(inbox, metrics)).await
}
