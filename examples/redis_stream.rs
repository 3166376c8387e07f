//! Hands events over to workers by way of a Redis Stream: answers when Redis has the event on disk,
//! works on it later.
//!
//!     export TWENTY_WEBHOOK_SECRET=dev-secret REDIS_URL=redis://127.0.0.1:6379
//!     cargo run --features axum,redis --example redis_stream -- receive
//!     cargo run --features axum,redis --example redis_stream -- work worker-1
//!     cargo run --features axum,redis --example redis_stream -- work worker-2
//!
//! It speaks to Redis with the `redis` crate, features `connection-manager`, `streams` and
//! `tokio-comp`.
//!
//! Twenty does not send a rejected delivery again, so Redis must neither be down nor forget: run it
//! with `maxmemory-policy noeviction` and a replica, and with `appendonly yes` and `appendfsync
//! always`, without which the receiver does not start. Redis then answers when an event is on disk;
//! with `appendfsync everysec`, a power cut takes the events of the last second. From Redis 7.2 on,
//! the receiver also asks for each event whether it is on disk (`WAITAOF`), so that a change of the
//! settings is noticed. Each event is worked on **at least once**: again if a worker dies after the
//! work and before it said so. An event that nobody manages to work on is moved to the stream
//! `twenty:gave-up`, so that it is neither lost nor in the way.

mod common;

use std::{collections::HashMap, env, error::Error, fmt::Display, process::exit, time::Duration};

use axum::{
    Router,
    extract::State,
    http::{HeaderMap, StatusCode},
    routing::{get, post},
};
use redis::{
    AsyncCommands, Client, RedisError, RedisResult, Value,
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

/// What is not done yet. What is done is deleted, so it need not be trimmed, and must not.
const STREAM: &str = "twenty:events";
const GAVE_UP: &str = "twenty:gave-up";
const GROUP: &str = "workers";

/// How many entries a worker takes at once, how long it waits for one, and how often one is tried.
const BATCH: usize = 10;
const WAIT: Duration = Duration::from_secs(1);
const ATTEMPTS: usize = 3;

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

/// Made again when it breaks. An answer is waited for no longer than `patience`.
fn connect(patience: Duration) -> RedisResult<ConnectionManager> {
    let config = ConnectionManagerConfig::new().set_response_timeout(Some(patience)).set_number_of_retries(0);
    ConnectionManager::new_lazy_with_config(Client::open(redis_url())?, config)
}

// The receiver.

async fn receive() -> Result<(), BoxError> {
    let mut redis = connect(Duration::from_secs(2))?;
    requires_durability(&mut redis).await?;
    let queue = Queue { knows_waitaof: knows_waitaof(&mut redis).await?, redis };
    // No `acknowledge_within`: it would answer 202 before Redis has the event.
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
    /// Returns when the event is on Redis's disk.
    async fn add(&mut self, fields: &[(&str, &[u8])]) -> Result<(), BoxError> {
        let mut add = redis::pipe();
        add.xadd(STREAM, "*", fields).ignore();
        if self.knows_waitaof {
            // Redis's own disk, no replica's; waits for a second at most.
            add.cmd("WAITAOF").arg(1).arg(0).arg(1_000);
        }
        let mut added = add.query_async(&mut self.redis).await;
        if added.as_ref().is_err_and(RedisError::is_connection_dropped) {
            // Since the last event, maybe long ago. It is being made again.
            added = add.query_async(&mut self.redis).await;
        }
        let on_disk: Vec<(u64, u64)> = added?;
        if on_disk.iter().any(|(here, _)| *here == 0) {
            Err("Redis has not written it to its disk".into())
        } else {
            Ok(())
        }
    }
}

/// Puts the body into the stream, and the headers that sign it: with them the worker verifies it
/// once more. The name and the keys' id are for who looks into the stream.
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
            // Anything but 2xx lets a copy of the delivery through, if one comes.
            eprintln!("{} could not be enqueued: {error}", event.name);
            StatusCode::SERVICE_UNAVAILABLE
        }
    }
}

// The workers.

/// What a worker does with an event.
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
        }
    }
    // The consumer stays in the group: with it would go what it has not done.
    Ok(())
}

/// Whoever can write to Redis could write an event of their own, and a `WebhookEvent` is made of
/// verified bytes only: so the signature is verified again, with the same secrets; keep a previous
/// one until nothing that it signed is left. Not the age: the receiver looked at it, and in the
/// stream events may grow as old as they like.
fn verifier_of_any_age() -> Result<Verifier, ConfigError> {
    let variables = ["TWENTY_WEBHOOK_SECRET", "TWENTY_WEBHOOK_PREVIOUS_SECRET"];
    let secrets = variables.iter().filter_map(|name| Secret::new(env::var(name).ok()?).ok());
    secrets.fold(Verifier::builder().tolerance(Duration::MAX), VerifierBuilder::secret).build()
}

struct Worker<'a> {
    name: &'a str,
    verifier: Verifier,
    redis: ConnectionManager,
    /// After how many milliseconds an entry counts as abandoned. Longer than a batch takes.
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

    /// Entries that nobody has tried before. Waits for one.
    async fn new_ones(&mut self) -> RedisResult<Vec<StreamId>> {
        let wait = usize::try_from(WAIT.as_millis()).unwrap_or(usize::MAX);
        let options = StreamReadOptions::default().group(GROUP, self.name).count(BATCH).block(wait);
        let reply: Option<StreamReadReply> = self.redis.xread_options(&[STREAM], &[">"], &options).await?;
        Ok(reply.into_iter().flat_map(|reply| reply.keys).flat_map(|key| key.ids).collect())
    }

    /// An entry that a worker took long ago and did not get done: it failed, or died. It is ours
    /// now.
    ///
    /// Only one, for taking it counts as an attempt: one that kills its worker must not use up the
    /// attempts of others.
    async fn abandoned(&mut self) -> RedisResult<Option<StreamId>> {
        let options = StreamAutoClaimOptions::default().count(1);
        let reply: StreamAutoClaimReply =
            self.redis.xautoclaim_options(STREAM, GROUP, self.name, self.reclaim_after, "0", options).await?;
        Ok(reply.claimed.into_iter().next())
    }

    /// How often an entry was taken, this time included, and also by workers that it killed.
    async fn attempts(&mut self, entry: &StreamId) -> RedisResult<usize> {
        let reply: StreamPendingCountReply = self.redis.xpending_count(STREAM, GROUP, &entry.id, &entry.id, 1).await?;
        Ok(reply.ids.first().map_or(0, |pending| pending.times_delivered))
    }

    /// One that fails stays with us until it counts as abandoned, and the others go on.
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
            .xadd(GAVE_UP, "*", &fields(entry).collect::<Vec<_>>())
            .xack(STREAM, GROUP, &[&entry.id])
            .xdel(STREAM, &[&entry.id])
            .exec_async(&mut self.redis)
            .await?;
        self.say(entry, format!("gave up after {ATTEMPTS} attempts, moved to {GAVE_UP}"));
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
