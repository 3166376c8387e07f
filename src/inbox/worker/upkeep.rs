//! Maintenance, which runs concurrently with the handlers.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use tokio::time::sleep;

use super::super::{Inner, telemetry};

/// The interval at which expired keys and dead letters are forgotten, and gauges are set.
const MAINTAIN: Duration = Duration::from_secs(10);

/// The place of an inbox's only worker in a process.
pub(super) struct Place(pub(super) Arc<Inner>);

impl Drop for Place {
    fn drop(&mut self) {
        self.0.direct.set_worker(None);
        self.0.has_worker.store(false, Ordering::Release);
    }
}

/// Forgets expired keys and dead letters, and sets gauges, in a loop.
pub(super) async fn maintain(inbox: Arc<Inner>) {
    loop {
        loop {
            match inbox.store.maintain().await {
                // The steps are small, so that other calls get their turn in between.
                Ok(true) => sleep(Duration::from_millis(20)).await,
                Ok(false) => break,
                Err(error) => {
                    telemetry::worker_failed("maintain", &error);
                    break;
                }
            }
        }
        if let Ok(stats) = inbox.store.stats().await {
            telemetry::holds(&stats, inbox.clock.now());
        }
        sleep(MAINTAIN).await;
    }
}
