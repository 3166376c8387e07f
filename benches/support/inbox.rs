//! Functions that both benchmarks of the inbox use.
#![allow(dead_code, unreachable_pub, reason = "each benchmark uses a part of it")]

use std::{
    fs,
    path::PathBuf,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use bytes::Bytes;
use serde::Deserialize;
use tokio::sync::Notify;
use twenty_webhook::{
    Verified, Verifier, WebhookEvent,
    inbox::{Accepted, Inbox},
};

pub const IN_FLIGHT: usize = 64;
pub const ROUNDS: usize = 7;

/// Returns a body of 1.5 kB, like most bodies that Twenty sends.
pub fn body(number: usize) -> Bytes {
    let filler = "x".repeat(1_400);
    format!(r#"{{"eventName":"note.created","record":{{"id":"{number}","title":"{filler}"}}}}"#).into()
}

pub fn verified(verifier: &Verifier, number: usize) -> Verified {
    let body = body(number);
    verifier.verify(crate::support::headers(&body), body).unwrap()
}

/// Runs `run` for each event, with [`IN_FLIGHT`] calls at a time, and returns the calls per second.
/// The events were verified before.
pub async fn rate<F: Future<Output = ()> + Send>(
    events: Vec<Verified>,
    run: impl Fn(usize, Verified) -> F + Clone + Send + Sync + 'static,
) -> f64 {
    let count = events.len();
    let events = Arc::new(Mutex::new(events));
    let begun = Instant::now();
    let tasks: Vec<_> = (0..IN_FLIGHT)
        .map(|task| {
            let (run, events) = (run.clone(), Arc::clone(&events));
            tokio::spawn(async move {
                loop {
                    let Some(event) = events.lock().unwrap().pop() else { return };
                    run(task, event).await;
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    count as f64 / begun.elapsed().as_secs_f64()
}

/// Stores each event in an inbox, and returns the events per second.
pub async fn accept_rate(inbox: &Inbox, events: Vec<Verified>) -> f64 {
    let inbox = inbox.clone();
    rate(events, move |_, event| {
        let inbox = inbox.clone();
        async move { assert_eq!(inbox.accept(event).await.unwrap(), Accepted::Stored) }
    })
    .await
}

/// A record type without members, so that reading the record costs as little as possible.
#[derive(Deserialize)]
#[serde(rename = "note")]
struct Nothing {}

/// Returns how long a worker takes for this number of events. Its handler does nothing. Stops the
/// worker afterwards.
pub async fn work(inbox: &Inbox, concurrency: usize, count: usize) -> Duration {
    let state = Arc::new((AtomicUsize::new(0), Notify::new(), count));
    let handler = async |state: Arc<(AtomicUsize, Notify, usize)>, _: WebhookEvent<Nothing>| {
        if state.0.fetch_add(1, Ordering::Relaxed) + 1 == state.2 {
            state.1.notify_one();
        }
    };
    let begun = Instant::now();
    let worker = inbox.worker(Arc::clone(&state)).concurrency(concurrency).fallback(handler).start().unwrap();
    state.1.notified().await;
    let took = begun.elapsed();
    worker.shutdown(Duration::from_secs(60)).await;
    took
}

/// Compares the CPU time of a worker with that of an accept in each round.
pub async fn compare_cpu_of_accept_and_worker(inbox: &Inbox, numbers: &mut impl Iterator<Item = usize>) {
    const WORKED_ON: usize = 4_000;

    let verifier = crate::support::verifier(&[crate::support::SECRET]);
    let mut ratios = Vec::new();
    for round in 0..ROUNDS {
        let events = numbers.by_ref().take(WORKED_ON).map(|number| verified(&verifier, number)).collect();
        let [accept, worker] = cpu_of_accept_and_worker(inbox, events).await;
        println!("round {round}: CPU time of an accept {accept:?}, of the worker {worker:?}");
        ratios.push(worker.as_secs_f64() / accept.as_secs_f64());
    }
    println!("CPU time of the worker ÷ CPU time of an accept: {:.2} (target: at most 1.5)", median(ratios));
}

/// Returns the CPU time of this process per event, for an accept and for the worker.
async fn cpu_of_accept_and_worker(inbox: &Inbox, events: Vec<Verified>) -> [Duration; 2] {
    let count = events.len();
    let per_event = |cpu: Duration| cpu / u32::try_from(count).unwrap();
    let before = cpu();
    accept_rate(inbox, events).await;
    let accepted = cpu();
    work(inbox, 16, count).await;
    [per_event(accepted - before), per_event(cpu() - accepted)]
}

/// Returns the CPU time of this process's threads. No thread may have ended since the last call.
fn cpu() -> Duration {
    let tasks = fs::read_dir("/proc/self/task").unwrap().map(|task| task.unwrap().path().join("schedstat"));
    let nanos = tasks.map(|path| fs::read_to_string(path).unwrap().split(' ').next().unwrap().parse::<u64>().unwrap());
    Duration::from_nanos(nanos.sum())
}

/// Returns the resident memory of this process, in KiB.
pub fn resident_memory() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

pub fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// Compares how long an event takes to handle with few and with many pending events. Handles one
/// and 16 events at a time, and prints the medians and their ratios.
pub async fn compare_takes(few: &Inbox, many: &Inbox, mut next: impl FnMut() -> Verified) {
    const FEW: usize = 1_000;
    const TAKEN: usize = 400;

    for concurrency in [1, 16] {
        let mut times = [Vec::new(), Vec::new()];
        for _ in 0..7 {
            let missing = FEW - usize::try_from(few.stats().await.unwrap().ready).unwrap().min(FEW);
            accept_rate(few, (0..missing).map(|_| next()).collect()).await;
            for (times, inbox) in times.iter_mut().zip([few, many]) {
                times.push(work(inbox, concurrency, TAKEN).await.as_secs_f64() * 1e6 / TAKEN as f64);
            }
        }
        let [few, many] = times.map(median);
        println!(
            "handling an event, {concurrency} at once: {few:.0} µs with 1,000 pending, {many:.0} µs with 1,000,000, \
             ratio {:.2} (target: at most 2)",
            many / few
        );
    }
}

/// A directory for files, which is deleted on drop.
pub struct Directory(pub PathBuf);

impl Directory {
    pub fn new() -> Self {
        let directory = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("bench-{}", std::process::id()));
        fs::create_dir_all(&directory).unwrap();
        Self(directory)
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        _ = fs::remove_dir_all(&self.0);
    }
}
