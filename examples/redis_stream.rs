//! Passes events to workers through a Redis Stream. Responds when Redis has the event on disk, and
//! handles it later.
//!
//!     export TWENTY_WEBHOOK_SECRET=dev-secret REDIS_URL=redis://127.0.0.1:6379
//!     cargo run --features axum,redis --example redis_stream -- receive
//!     cargo run --features axum,redis --example redis_stream -- work worker-1
//!     cargo run --features axum,redis --example redis_stream -- work worker-2
//!
//! It uses the `redis` crate with the features `connection-manager`, `streams` and `tokio-comp`.
//!
//! Twenty does not send a rejected delivery again, so Redis must stay available and must not evict
//! events: run it with a replica and `maxmemory-policy noeviction`. The receiver starts only with
//! `appendonly yes` and `appendfsync always`. Redis then responds when an event is on disk. With
//! `appendfsync everysec`, a power cut would lose the events of the last second. From Redis 7.2 on,
//! the receiver also asks for each event whether it is on disk (`WAITAOF`), so it notices if these
//! settings change.
//!
//! Each event is handled **at least once**. It is handled again if a worker ends after handling it,
//! but before acknowledging it. An event that fails too often is moved to the stream
//! `twenty:dead-letters`, so it is not lost, and delays no other events.

mod common;

use std::{collections::HashMap, env, error::Error, fmt::Display, process::exit, time::Duration};

use axum::{
    Router,
    extract::State,
    http::{HeaderMap, StatusCode},
    routing::{get, post},
};
use redis::{
    AsyncCommands, Client, RedisResult, Value,
    aio::{ConnectionManager, ConnectionManagerConfig},
    streams::{
        StreamAutoClaimOptions, StreamAutoClaimReply, StreamId, StreamPendingCountReply, StreamReadOptions,
        StreamReadReply,
    },
};
use tokio::{net::TcpListener, time::sleep};
use twenty_webhook::{
    Receiver, Verifier, WebhookEvent,
    deduplicate::RedisStore,
    tower::WebhookLayer,
    verify::{ConfigError, Secret, VerifierBuilder},
};

/// The stream of unfinished events. Finished events are deleted, so the stream must not be trimmed.
const STREAM: &str = "twenty:events";
const DEAD_LETTERS: &str = "twenty:dead-letters";
const GROUP: &str = "workers";

/// The number of entries that a worker takes in one call, how long it waits for the first one, and
/// the maximum number of attempts for an entry.
const BATCH: usize = 10;
const WAIT: Duration = Duration::from_secs(1);
const ATTEMPTS: usize = 3;

/// How long the receiver waits for a response of Redis.
const PATIENCE: Duration = Duration::from_secs(2);

type BoxError = Box<dyn Error + Send + Sync>;

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    let arguments: Vec<_> = env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["receive"] => receive().await,
        ["work", name] => work(name).await,
        _ => {
            eprintln!("usage: redis_stream receive | redis_stream work NAME");
            exit(2)
        }
    }
}

fn redis_url() -> String {
    env::var("REDIS_URL").unwrap_or_else(|_| "redis://127.0.0.1:6379".to_owned())
}

/// Opens a connection that reconnects automatically, and waits at most `patience` for a response.
fn connect(patience: Duration) -> RedisResult<ConnectionManager> {
    let config = ConnectionManagerConfig::new().set_response_timeout(Some(patience)).set_number_of_retries(0);
    ConnectionManager::new_lazy_with_config(Client::open(redis_url())?, config)
}

// The receiver.

async fn receive() -> Result<(), BoxError> {
    let mut redis = connect(PATIENCE)?;
    requires_durability(&mut redis).await?;
    let queue = Queue { knows_waitaof: knows_waitaof(&mut redis).await?, redis };
    // `acknowledge_within` is not set, because it would respond with 202 before Redis has the
    // event.
    let receiver =
        Receiver::new(common::verifier_from_env()).deduplicate(RedisStore::builder(&redis_url()).connect_lazy()?);
    let app = Router::new()
        .route("/webhooks/twenty", post(enqueue).layer(WebhookLayer::new(receiver)))
        .route("/health", get(StatusCode::OK))
        .with_state(queue);
    let listener = TcpListener::bind(common::listen_addr()).await?;
    eprintln!("listening on http://{}/webhooks/twenty", listener.local_addr()?);
    common::serve(listener, app).await?;
    Ok(())
}

/// Fails unless Redis writes each event to its disk before it answers.
async fn requires_durability(redis: &mut ConnectionManager) -> Result<(), BoxError> {
    let settings: HashMap<String, String> = redis::cmd("CONFIG").arg("GET").arg("append*").query_async(redis).await?;
    for (name, value) in [("appendonly", "yes"), ("appendfsync", "always")] {
        if settings.get(name).map(String::as_str) != Some(value) {
            return Err(format!("Redis would forget accepted events in a power cut: set `{name} {value}`").into());
        }
    }
    Ok(())
}

async fn knows_waitaof(redis: &mut ConnectionManager) -> RedisResult<bool> {
    let known: Vec<Value> = redis::cmd("COMMAND").arg("INFO").arg("WAITAOF").query_async(redis).await?;
    Ok(known.iter().any(|command| *command != Value::Nil))
}

#[derive(Clone)]
struct Queue {
    redis: ConnectionManager,
    knows_waitaof: bool,
}

impl Queue {
    /// Adds an entry. Returns when the event is on Redis's disk.
    async fn add(&mut self, fields: &[(&str, &[u8])]) -> Result<(), BoxError> {
        let mut add = redis::pipe();
        add.xadd(STREAM, "*", fields).ignore();
        if self.knows_waitaof {
            // Waits, for at most one second, until the event is on the disk of this Redis, not of a
            // replica.
            add.cmd("WAITAOF").arg(1).arg(0).arg(1_000);
        }
        let mut added = add.query_async(&mut self.redis).await;
        if added.as_ref().is_err_and(|error| error.is_connection_dropped() || error.code() == Some("READONLY")) {
            // The connection may have broken long ago, after the last event, or it may lead to a
            // server that has become a replica in a failover.
            added = add.query_async(&mut connect(PATIENCE)?).await;
        }
        let on_disk: Vec<(u64, u64)> = added?;
        if on_disk.iter().any(|(here, _)| *here == 0) {
            Err("Redis has not written it to its disk".into())
        } else {
            Ok(())
        }
    }
}

/// Adds the body to the stream, together with the headers of its signature, so that the worker can
/// verify it again. The name and the keys' id are only for people who read the stream.
async fn enqueue(State(mut queue): State<Queue>, headers: HeaderMap, event: WebhookEvent) -> StatusCode {
    let mut fields: Vec<(&str, &[u8])> = vec![
        ("event", event.name.as_str().as_bytes()),
        ("keys", event.verified().keys_id().as_bytes()),
        ("body", event.body()),
    ];
    let signing = headers.iter().filter(|(name, _)| name.as_str().starts_with("x-twenty-webhook-"));
    fields.extend(signing.map(|(name, value)| (name.as_str(), value.as_bytes())));
    match queue.add(&fields).await {
        Ok(()) => StatusCode::OK,
        Err(error) => {
            // Without a 2xx, a duplicate of this delivery is handled if it arrives.
            eprintln!("{} could not be enqueued: {error}", event.name);
            StatusCode::SERVICE_UNAVAILABLE
        }
    }
}

// The workers.

/// Handles an event.
async fn handle(event: &WebhookEvent) -> Result<(), BoxError> {
    common::print(event);
    Ok(())
}

async fn work(name: &str) -> Result<(), BoxError> {
    let reclaim_after = env::var("RECLAIM_AFTER_MS").unwrap_or_else(|_| "30000".to_owned()).parse()?;
    let mut worker = Worker { name, verifier: verifier_of_any_age()?, redis: connect(2 * WAIT)?, reclaim_after };
    let stop = tokio::spawn(common::shutdown_signal());
    while !stop.is_finished() {
        if let Err(error) = worker.work_until(|| stop.is_finished()).await {
            eprintln!("{name}: {error}");
            sleep(WAIT).await;
            // After a failover, the old connection may lead to a server that is now a replica.
            worker.redis = connect(2 * WAIT)?;
        }
    }
    // The consumer stays in the group, because deleting it would delete its unfinished entries.
    Ok(())
}

/// Verifies the signature again, with the same secrets, because a `WebhookEvent` is only read from
/// verified bytes, and because anyone with access to Redis could add an event. Keep a previous
/// secret until no event in the stream is signed with it. The age is not checked: the receiver has
/// checked it, and events may wait in the stream for any time.
fn verifier_of_any_age() -> Result<Verifier, ConfigError> {
    let variables = ["TWENTY_WEBHOOK_SECRET", "TWENTY_WEBHOOK_PREVIOUS_SECRET"];
    let secrets = variables.iter().filter_map(|name| Secret::new(env::var(name).ok()?).ok());
    secrets.fold(Verifier::builder().tolerance(Duration::MAX), VerifierBuilder::secret).build()
}

struct Worker<'a> {
    name: &'a str,
    verifier: Verifier,
    redis: ConnectionManager,
    /// The time in milliseconds after which an entry counts as abandoned. It must be longer than a
    /// batch takes.
    reclaim_after: usize,
}

impl Worker<'_> {
    async fn work_until(&mut self, is_over: impl Fn() -> bool) -> RedisResult<()> {
        let created: RedisResult<()> = self.redis.xgroup_create_mkstream(STREAM, GROUP, "0").await;
        created.or_else(|error| if error.code() == Some("BUSYGROUP") { Ok(()) } else { Err(error) })?;
        while !is_over() {
            while let Some(entry) = self.abandoned().await? {
                match self.attempts(&entry).await? {
                    attempts if attempts > ATTEMPTS => self.give_up(&entry).await?,
                    _ => self.attempt(&entry).await?,
                }
            }
            for entry in self.new_ones().await? {
                self.attempt(&entry).await?;
            }
        }
        Ok(())
    }

    /// Takes entries without earlier attempts, and waits for the first one.
    async fn new_ones(&mut self) -> RedisResult<Vec<StreamId>> {
        let wait = usize::try_from(WAIT.as_millis()).unwrap_or(usize::MAX);
        let options = StreamReadOptions::default().group(GROUP, self.name).count(BATCH).block(wait);
        let reply: Option<StreamReadReply> = self.redis.xread_options(&[STREAM], &[">"], &options).await?;
        Ok(reply.into_iter().flat_map(|reply| reply.keys).flat_map(|key| key.ids).collect())
    }

    /// Takes over an entry that another worker took long ago but did not finish, because the
    /// attempt failed or the worker ended.
    ///
    /// Takes only one entry, because taking counts as an attempt. Otherwise an entry that crashes
    /// its worker would use up the attempts of others.
    async fn abandoned(&mut self) -> RedisResult<Option<StreamId>> {
        let options = StreamAutoClaimOptions::default().count(1);
        let reply: StreamAutoClaimReply =
            self.redis.xautoclaim_options(STREAM, GROUP, self.name, self.reclaim_after, "0", options).await?;
        Ok(reply.claimed.into_iter().next())
    }

    /// Returns how often an entry was taken, including this time and by workers that crashed.
    async fn attempts(&mut self, entry: &StreamId) -> RedisResult<usize> {
        let reply: StreamPendingCountReply = self.redis.xpending_count(STREAM, GROUP, &entry.id, &entry.id, 1).await?;
        Ok(reply.ids.first().map_or(0, |pending| pending.times_delivered))
    }

    /// Handles the entries. A failed entry stays with this consumer until it counts as abandoned.
    async fn attempt(&mut self, entry: &StreamId) -> RedisResult<()> {
        let done = match self.event(entry) {
            Ok(event) => handle(&event).await,
            Err(error) => Err(error),
        };
        match done {
            Ok(()) => {
                let mut forget = redis::pipe();
                forget.atomic().xack(STREAM, GROUP, &[&entry.id]).xdel(STREAM, &[&entry.id]);
                forget.exec_async(&mut self.redis).await
            }
            Err(error) => {
                self.say(entry, error);
                Ok(())
            }
        }
    }

    fn event(&self, entry: &StreamId) -> Result<WebhookEvent, BoxError> {
        let (_, body) = fields(entry).find(|(name, _)| *name == "body").ok_or("no body")?;
        Ok(WebhookEvent::from_verified(self.verifier.verify(fields(entry), body.to_vec())?)?)
    }

    async fn give_up(&mut self, entry: &StreamId) -> RedisResult<()> {
        redis::pipe()
            .atomic()
            .xadd(DEAD_LETTERS, "*", &fields(entry).collect::<Vec<_>>())
            .xack(STREAM, GROUP, &[&entry.id])
            .xdel(STREAM, &[&entry.id])
            .exec_async(&mut self.redis)
            .await?;
        self.say(entry, format!("dead letter after {ATTEMPTS} attempts, moved to {DEAD_LETTERS}"));
        Ok(())
    }

    fn say(&self, entry: &StreamId, what: impl Display) {
        eprintln!("{}: entry {}: {what}", self.name, entry.id);
    }
}

fn fields(entry: &StreamId) -> impl Iterator<Item = (&str, &[u8])> {
    entry.map.iter().filter_map(|(name, value)| match value {
        Value::BulkString(bytes) => Some((name.as_str(), bytes.as_slice())),
        _ => None,
    })
}
