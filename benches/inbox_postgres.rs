//! What the inbox in PostgreSQL accepts with 64 deliveries in flight, beside a pool of 16
//! connections that insert a row for each. The server is a private one, which waits for its disk.
//!
//! ```sh
//! cargo bench --bench inbox_postgres --features postgres      # a line for each round, and the
//! median ratio
//! ```

#[path = "../tests/support/postgres.rs"]
mod server;
mod support;

use std::{
    sync::{Arc, Mutex},
    time::Instant,
};

use bytes::Bytes;
use server::Server;
use tokio_postgres::{
    Client, NoTls, Statement,
    types::{ToSql, Type},
};
use twenty_webhook::{
    Verified,
    deduplicate::ClaimKey,
    inbox::{Accepted, Inbox},
};

const IN_FLIGHT: usize = 64;
const POOL: usize = 16;
const ROUNDS: usize = 7;
/// In each round, for each.
const EVENTS: usize = 20_000;

/// Of 1.5 kB, like most that Twenty sends.
fn body(number: usize) -> Bytes {
    let filler = "x".repeat(1_400);
    format!(r#"{{"eventName":"note.created","record":{{"id":"{number}","title":"{filler}"}}}}"#).into()
}

/// How many per second, of events that were verified before.
async fn rate<F: Future<Output = ()> + Send>(
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

async fn pool(server: &Server) -> Vec<(Client, Statement)> {
    server.sql(
        "CREATE TABLE peer (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, claim_key bytea NOT NULL UNIQUE, \
         state smallint NOT NULL DEFAULT 0, due timestamptz NOT NULL DEFAULT now(), event bytea NOT NULL); \
         CREATE INDEX ON peer (due) WHERE state = 0",
    );
    let mut pool = Vec::new();
    for _ in 0..POOL {
        let (client, connection) =
            server.url().parse::<tokio_postgres::Config>().unwrap().connect(NoTls).await.unwrap();
        tokio::spawn(connection);
        let insert = "INSERT INTO peer (claim_key, event) VALUES ($1, $2) ON CONFLICT DO NOTHING RETURNING id";
        let insert = client.prepare_typed(insert, &[Type::BYTEA, Type::BYTEA]).await.unwrap();
        pool.push((client, insert));
    }
    pool
}

#[tokio::main]
async fn main() {
    let server = Server::start(&["fsync=on", "shared_buffers=128MB"]);
    let inbox = Inbox::connect(&server.url()).await.unwrap();
    let pool: Arc<Vec<_>> = Arc::new(pool(&server).await.into_iter().map(tokio::sync::Mutex::new).collect());
    let verifier = support::verifier(&[support::SECRET]);
    let verified = |number| {
        let body = body(number);
        verifier.verify(support::headers(&body), body).unwrap()
    };
    let mut ratios = Vec::new();
    for round in 0..ROUNDS {
        let events = |first: usize| (first..first + EVENTS).map(verified).collect();
        let accepts = {
            let inbox = inbox.clone();
            rate(events(2 * round * EVENTS), move |_, event| {
                let inbox = inbox.clone();
                async move { assert_eq!(inbox.accept(event).await.unwrap(), Accepted::Stored) }
            })
            .await
        };
        let inserts = {
            let pool = Arc::clone(&pool);
            rate(events((2 * round + 1) * EVENTS), move |task, event| {
                let pool = Arc::clone(&pool);
                async move {
                    let key = ClaimKey::new("", event.keys_id(), event.body());
                    let connection = pool[task % POOL].lock().await;
                    let parameters: [&(dyn ToSql + Sync); 2] = [&&key.as_bytes()[..], &&event.body()[..]];
                    connection.0.query_one(&connection.1, &parameters).await.unwrap();
                }
            })
            .await
        };
        println!("round {round}: inbox {accepts:.0}/s, pool of {POOL} {inserts:.0}/s, ratio {:.2}", accepts / inserts);
        ratios.push(accepts / inserts);
    }
    ratios.sort_by(f64::total_cmp);
    println!("median ratio {:.2}", ratios[ROUNDS / 2]);
}
