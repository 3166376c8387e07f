//! What the inbox in PostgreSQL accepts with 64 deliveries in flight, beside a pool of 16 connections that
//! insert a row for each. The server is a private one, which waits for its disk.
//!
//! ```sh
//! cargo bench --bench inbox_postgres --features postgres      # a line for each round, and the median ratio
//! ```

#[path = "../tests/support/postgres.rs"]
mod server;
mod support;

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use bytes::Bytes;
use server::Server;
use tokio_postgres::{Client, NoTls, Statement, types::Type};
use twenty_webhook::{
    Verified,
    inbox::{Accepted, Inbox},
};

const IN_FLIGHT: usize = 64;
const POOL: usize = 16;
const ROUNDS: usize = 7;
const ROUND: Duration = Duration::from_secs(2);

/// Of 1.5 kB, like most that Twenty sends.
fn body(number: usize) -> Bytes {
    let filler = "x".repeat(1_400);
    format!(r#"{{"eventName":"note.created","record":{{"id":"{number}","title":"{filler}"}}}}"#).into()
}

/// As many per second as 64 tasks do one after another.
async fn rate<F: Future<Output = ()> + Send>(run: impl Fn(usize) -> F + Clone + Send + Sync + 'static) -> f64 {
    let done = Arc::new(AtomicUsize::new(0));
    let begun = Instant::now();
    let tasks: Vec<_> = (0..IN_FLIGHT)
        .map(|task| {
            let (run, done) = (run.clone(), Arc::clone(&done));
            tokio::spawn(async move {
                while begun.elapsed() < ROUND {
                    run(task).await;
                    done.fetch_add(1, Ordering::Relaxed);
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    done.load(Ordering::Relaxed) as f64 / begun.elapsed().as_secs_f64()
}

fn next(count: &AtomicUsize) -> (usize, Verified) {
    let number = count.fetch_add(1, Ordering::Relaxed);
    (number, support::verified(body(number)))
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
    let count = Arc::new(AtomicUsize::new(0));
    let mut ratios = Vec::new();
    for round in 0..ROUNDS {
        let accepts = {
            let (inbox, count) = (inbox.clone(), Arc::clone(&count));
            rate(move |_| {
                let (inbox, count) = (inbox.clone(), Arc::clone(&count));
                async move { assert_eq!(inbox.accept(next(&count).1).await.unwrap(), Accepted::Stored) }
            })
            .await
        };
        let inserts = {
            let (pool, count) = (Arc::clone(&pool), Arc::clone(&count));
            rate(move |task| {
                let (pool, count) = (Arc::clone(&pool), Arc::clone(&count));
                async move {
                    // The delivery is verified here, too.
                    let (number, verified) = next(&count);
                    let key = twenty_webhook::deduplicate::ClaimKey::new("", "", &number.to_be_bytes());
                    let connection = pool[task % POOL].lock().await;
                    let parameters: [&(dyn tokio_postgres::types::ToSql + Sync); 2] =
                        [&&key.as_bytes()[..], &&verified.body()[..]];
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
