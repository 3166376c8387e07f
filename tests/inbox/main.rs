//! Tests of the durable inbox.

#[path = "../support/mod.rs"]
mod support;

mod accepting;
#[cfg(all(feature = "metrics", feature = "postgres", feature = "tracing"))]
mod database;
mod dead_letters;
mod file;
mod mirror;
#[cfg(all(feature = "actix-web", feature = "axum"))]
mod mounted;
mod panics;
mod restarts;
mod setup;
#[cfg(all(feature = "metrics", feature = "tracing"))]
mod telemetry;
mod worker;

use std::{
    path::PathBuf,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::time::Instant;
use twenty_webhook::{
    Verified, Verifier,
    inbox::{Inbox, InboxBuilder, RetryPolicy, Stats},
    verify::{Clock, Signer, SystemClock, Timestamp},
};

const SECONDS: fn(u64) -> Duration = Duration::from_secs;

/// A policy with short pauses.
fn policy() -> RetryPolicy {
    RetryPolicy::exponential(SECONDS(1)..=SECONDS(60)).attempts(4)
}

/// A wall clock for tests with paused time. It advances with tokio's clock.
#[derive(Clone, Debug)]
struct PausedClock {
    began: Instant,
    /// The time at the beginning in milliseconds. Tests can change it.
    base: Arc<AtomicU64>,
}

impl PausedClock {
    fn new() -> Self {
        // The verifier of these tests uses the system's clock.
        Self { began: Instant::now(), base: Arc::new(AtomicU64::new(SystemClock.now().as_millis())) }
    }

    fn set_back(&self, by: Duration) {
        self.base.fetch_sub(u64::try_from(by.as_millis()).unwrap(), Ordering::Relaxed);
    }
}

impl Clock for PausedClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(self.base.load(Ordering::Relaxed)).saturating_add(self.began.elapsed())
    }
}

/// Returns an inbox in memory that uses tokio's time.
fn in_memory() -> Inbox {
    in_memory_with(|builder| builder)
}

fn in_memory_with(settings: impl FnOnce(InboxBuilder) -> InboxBuilder) -> Inbox {
    settings(Inbox::builder().clock(PausedClock::new())).in_memory()
}

/// Returns a path that no other test uses, where no file exists.
fn path(name: &str) -> PathBuf {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let unique = format!("inbox-{}-{}-{name}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
    let directory = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(unique);
    std::fs::create_dir_all(&directory).unwrap();
    directory.join("inbox.redb")
}

/// Returns the body of an event about a record.
fn body(name: &str, record: &str, number: usize) -> String {
    format!(r#"{{"eventName":"{name}","record":{{"id":"{record}","position":{number}}}}}"#)
}

fn verified(body: impl Into<String>) -> Verified {
    let body = body.into();
    let headers = Signer::new("secret").unwrap().sign(&body).pairs();
    Verifier::new("secret").unwrap().verify(headers, body).unwrap()
}

/// Returns event `number`, about a record of its own.
fn note(number: usize) -> Verified {
    verified(body("note.created", &format!("record-{number}"), number))
}

/// A log that handlers write.
#[derive(Clone, Debug)]
struct Log<T>(Arc<Mutex<Vec<T>>>);

impl<T> Default for Log<T> {
    fn default() -> Self {
        Self(Arc::default())
    }
}

impl<T: Clone> Log<T> {
    fn push(&self, entry: T) {
        self.0.lock().unwrap().push(entry);
    }

    fn entries(&self) -> Vec<T> {
        self.0.lock().unwrap().clone()
    }
}

/// Waits until a condition is true. With paused time, this does not take real time.
async fn until(mut is_so: impl AsyncFnMut() -> bool) {
    // The number is limited, so that a hanging test fails here.
    for _ in 0..2_000_000 {
        if is_so().await {
            return;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    panic!("the condition never became true");
}

async fn until_stats(inbox: &Inbox, mut are_so: impl FnMut(Stats) -> bool) -> Stats {
    let mut last = Stats::default();
    until(async || {
        last = inbox.stats().await.unwrap();
        are_so(last)
    })
    .await;
    last
}

async fn until_empty(inbox: &Inbox) {
    until_stats(inbox, |stats| stats.ready + stats.delayed + stats.running == 0).await;
}
