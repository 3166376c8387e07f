//! Measures the claim stores: `RedisStore`, compared with a bare client, and `MemoryStore` with
//! increasing numbers of entries.

use std::hint::black_box;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use redis::aio::MultiplexedConnection;
use serde_json::{Value, json};
use tokio::{runtime, task::JoinSet};
use twenty_webhook::deduplicate::{ClaimKey, ClaimOutcome, ClaimStore, MemoryStore, RedisStore};

use crate::process::{self, Redis, own_rss};

const LEASE: Duration = Duration::from_secs(30);
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

pub fn run() -> Value {
    process::pin(process::SENDER);
    let runtime = runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    // This is measured first, because the memory of a process only grows.
    let memory = runtime.block_on(memory());
    let redis = runtime.block_on(redis());
    json!({ "memory": memory, "redis": redis })
}

/// Returns a key that was not used before.
fn new_key() -> ClaimKey {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    ClaimKey::from_parts("peers", "default", [COUNT.fetch_add(1, Ordering::Relaxed).to_be_bytes()])
}

/// Claims and completes a key, as a receiver does for each delivery.
async fn claim_and_complete(store: &dyn ClaimStore, key: ClaimKey) {
    let Ok(ClaimOutcome::Fresh(claim)) = store.claim(key, LEASE).await else { panic!("a new key is free") };
    assert!(store.complete(&claim, DAY).await.expect("completed"));
}

async fn memory() -> Value {
    const REMEMBERED: [usize; 6] = [10, 100, 1_000, 10_000, 100_000, 1_000_000];
    const ROUNDS: usize = 30;
    /// The number of claims that are timed together. It is not larger than the smallest store.
    const BATCH: usize = 10;
    /// The number of batches per round.
    const BATCHES: usize = 200;

    eprintln!("claims: memory");
    let before = own_rss();
    let million = filled(1_000_000, 1_000_000).await;
    let bytes_an_entry = (own_rss() - before) as f64 / 1e6;
    drop(million);

    let mut nanoseconds = vec![Vec::new(); REMEMBERED.len()];
    let mut stores = Vec::new();
    for remembered in REMEMBERED {
        // The store is full, so each new entry replaces the oldest, and the number does not change.
        stores.push(filled(remembered, remembered).await);
    }
    for _ in 0..ROUNDS {
        for (store, nanoseconds) in stores.iter().zip(&mut nanoseconds) {
            let mut taken = Duration::ZERO;
            for _ in 0..BATCHES {
                let keys: [ClaimKey; BATCH] = std::array::from_fn(|_| new_key());
                let start = Instant::now();
                for key in keys {
                    black_box(claim_and_complete(store, key)).await;
                }
                taken += start.elapsed();
            }
            nanoseconds.push(taken.as_nanos() as f64 / (BATCH * BATCHES) as f64);
        }
    }
    let cases = REMEMBERED.into_iter().zip(nanoseconds);
    let cases: Vec<_> = cases.map(|(count, times)| json!({ "remembered": count, "nanoseconds": times })).collect();
    json!({ "bytes_an_entry": bytes_an_entry, "cases": cases })
}

async fn filled(capacity: usize, count: usize) -> MemoryStore {
    let store = MemoryStore::new(capacity);
    for _ in 0..count {
        claim_and_complete(&store, new_key()).await;
    }
    store
}

async fn redis() -> Value {
    const ROUNDS: usize = 15;
    const CLAIMS: usize = 20_000;
    const IN_FLIGHT: [usize; 3] = [1, 32, 256];

    let redis = Redis::start(process::SERVER);
    let client = redis::Client::open(redis.url()).expect("an address");
    let bare = client.get_multiplexed_async_connection().await.expect("connected");
    let store = Arc::new(RedisStore::connect(&redis.url()).await.expect("connected"));
    let mut cases = Vec::new();
    for in_flight in IN_FLIGHT {
        eprintln!("claims: Redis, {in_flight} in flight");
        let mut rounds = Vec::new();
        // One claim at a time is slow.
        let claims = if in_flight == 1 { CLAIMS / 10 } else { CLAIMS };
        for round in 0..ROUNDS {
            let mut figures = serde_json::Map::new();
            for turn in 0..3 {
                let () = redis::cmd("FLUSHALL").query_async(&mut bare.clone()).await.expect("emptied");
                let before = redis.process.cpu();
                let start = Instant::now();
                let name = match (round + turn) % 3 {
                    0 => {
                        let bare = bare.clone();
                        in_parallel(in_flight, claims, move || set_nx(bare.clone())).await;
                        "SET NX PX"
                    }
                    1 => {
                        let store = Arc::clone(&store);
                        in_parallel(in_flight, claims, move || claim(Arc::clone(&store))).await;
                        "claim"
                    }
                    _ => {
                        let store = Arc::clone(&store);
                        let both = move || {
                            let store = Arc::clone(&store);
                            async move { claim_and_complete(&*store, new_key()).await }
                        };
                        in_parallel(in_flight, claims, both).await;
                        "claim and complete"
                    }
                };
                let seconds = start.elapsed().as_secs_f64();
                let server = (redis.process.cpu() - before).as_secs_f64();
                let figure =
                    json!({ "per_second": claims as f64 / seconds, "redis_cpu_us": server * 1e6 / claims as f64 });
                figures.insert(name.to_owned(), figure);
            }
            rounds.push(Value::Object(figures));
        }
        cases.push(json!({ "in_flight": in_flight, "rounds": rounds }));
    }
    json!({ "cases": cases, "memory": redis_memory(&redis, &mut bare.clone(), &store).await })
}

/// Sends the command of a claim with the client alone.
async fn set_nx(mut connection: MultiplexedConnection) {
    let key = new_key();
    let name = format!("bare:{}", hex::encode(key.as_bytes()));
    let mut command = redis::cmd("SET");
    command.arg(name).arg(&key.as_bytes()[..17]).arg("NX").arg("PX").arg(LEASE.as_millis() as u64);
    let set: Option<String> = command.query_async(&mut connection).await.expect("answered");
    assert!(set.is_some(), "a new key is free");
}

async fn claim(store: Arc<RedisStore>) {
    let outcome = store.claim(new_key(), LEASE).await.expect("answered");
    assert!(matches!(outcome, ClaimOutcome::Fresh(_)), "a new key is free");
}

/// Runs `count` operations, `at_a_time` of them concurrently.
async fn in_parallel<F>(at_a_time: usize, count: usize, operation: impl Fn() -> F + Clone + Send + 'static)
where
    F: Future<Output = ()> + Send,
{
    let mut tasks = JoinSet::new();
    for index in 0..at_a_time {
        let operation = operation.clone();
        let share = (count + index) / at_a_time;
        tasks.spawn(async move {
            for _ in 0..share {
                operation().await;
            }
        });
    }
    while let Some(done) = tasks.join_next().await {
        done.expect("no panic");
    }
}

/// Returns how much memory Redis uses for completed deliveries.
async fn redis_memory(redis: &Redis, connection: &mut MultiplexedConnection, store: &Arc<RedisStore>) -> Value {
    let mut points = Vec::new();
    for completed in [100_000, 1_000_000] {
        eprintln!("claims: Redis, memory of {completed}");
        let () = redis::cmd("FLUSHALL").query_async(connection).await.expect("emptied");
        let (before, rss_before) = (used_memory(connection).await, redis.process.rss());
        let filling = Arc::clone(store);
        let both = move || {
            let store = Arc::clone(&filling);
            async move { claim_and_complete(&*store, new_key()).await }
        };
        in_parallel(256, completed, both).await;
        let used = used_memory(connection).await - before;
        let rss = redis.process.rss().saturating_sub(rss_before);
        points.push(json!({ "completed": completed, "used_memory": used, "rss": rss }));
    }
    Value::Array(points)
}

async fn used_memory(connection: &mut MultiplexedConnection) -> u64 {
    let info: String = redis::cmd("INFO").arg("memory").query_async(connection).await.expect("answered");
    let line = info.lines().find_map(|line| line.strip_prefix("used_memory:")).expect("a line");
    line.trim().parse().expect("a number")
}
