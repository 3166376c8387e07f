//! Measures the inbox in PostgreSQL:
//!
//! - `accepts`: 64 deliveries in flight, compared with a pool of 16 connections that insert one row
//!   for each delivery.
//! - `worker`: the CPU time of a worker.
//! - `million`: an inbox with a million pending events, also with the server's own statistics.
//!
//! The benchmark starts its own server, which syncs each commit to disk.
//!
//! ```sh
//! cargo bench --bench inbox_postgres --features postgres          # everything
//! cargo bench --bench inbox_postgres --features postgres -- accepts worker million
//! ```

#[path = "support/inbox.rs"]
mod inbox;
#[path = "../tests/support/postgres.rs"]
mod server;
mod support;

use std::sync::Arc;

use inbox::{ROUNDS, accept_rate, compare_cpu_of_accept_and_worker, compare_takes, median, rate, verified};
use server::Server;
use tokio_postgres::{
    Client, NoTls, Statement,
    types::{ToSql, Type},
};
use twenty_webhook::{deduplicate::ClaimKey, inbox::Inbox};

const SETTINGS: [&str; 2] = ["fsync=on", "shared_buffers=128MB"];

/// The number of connections in the pool.
const POOL: usize = 16;
/// The number of events in each round, for the inbox and for the pool.
const EVENTS: usize = 20_000;

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

async fn accepts(numbers: &mut impl Iterator<Item = usize>) {
    let server = Server::start(&SETTINGS);
    let inbox = Inbox::connect(&server.url()).await.unwrap();
    let pool: Arc<Vec<_>> = Arc::new(pool(&server).await.into_iter().map(tokio::sync::Mutex::new).collect());
    let verifier = support::verifier(&[support::SECRET]);
    let mut ratios = Vec::new();
    for round in 0..ROUNDS {
        let events = numbers.by_ref().take(EVENTS).map(|number| verified(&verifier, number)).collect();
        let accepts = accept_rate(&inbox, events).await;
        let events = numbers.by_ref().take(EVENTS).map(|number| verified(&verifier, number)).collect();
        let pool = Arc::clone(&pool);
        let inserts = rate(events, move |task, event| {
            let pool = Arc::clone(&pool);
            async move {
                let key = ClaimKey::new("", event.keys_id(), event.body());
                let connection = pool[task % POOL].lock().await;
                let parameters: [&(dyn ToSql + Sync); 2] = [&&key.as_bytes()[..], &&event.body()[..]];
                connection.0.query_one(&connection.1, &parameters).await.unwrap();
            }
        })
        .await;
        println!("round {round}: inbox {accepts:.0}/s, pool of {POOL} {inserts:.0}/s, ratio {:.2}", accepts / inserts);
        ratios.push(accepts / inserts);
    }
    println!("accepts ÷ inserts through a pool: {:.2} (target: at least 2)", median(ratios));
}

async fn worker(numbers: &mut impl Iterator<Item = usize>) {
    let server = Server::start(&SETTINGS);
    let inbox = Inbox::connect(&server.url()).await.unwrap();
    compare_cpu_of_accept_and_worker(&inbox, numbers).await;
}

async fn million(numbers: &mut impl Iterator<Item = usize>) {
    let server = Server::start(&[&SETTINGS[..], &["shared_preload_libraries=pg_stat_statements"]].concat());
    server.sql("CREATE EXTENSION pg_stat_statements");
    let url = server.url();
    let open = async |schema| {
        Inbox::builder().schema(schema).max_bytes(8 << 30).max_pending(2_000_000).connect(&url).await.unwrap()
    };
    let (few, many) = (open("few").await, open("many").await);
    let verifier = support::verifier(&[support::SECRET]);
    for _ in 0..1_000 {
        let events = numbers.by_ref().take(1_000).map(|number| verified(&verifier, number)).collect();
        let many = many.clone();
        // On a slow disk, a put may time out. Then it is repeated.
        rate(events, move |_, event| {
            let many = many.clone();
            async move { while many.accept(event.clone()).await.is_err() {} }
        })
        .await;
    }
    server.sql("SELECT pg_stat_statements_reset()");
    compare_takes(&few, &many, || verified(&verifier, numbers.next().unwrap())).await;
    println!("the server's time for a statement without the commit, and the bytes of its log:");
    for (what, text) in [("reads candidates", "ORDER BY interruptions, id"), ("takes events", "free AS MATERIALIZED")] {
        for schema in ["few", "many"] {
            let row = server.sql(&format!(
                "SELECT round(mean_exec_time::numeric, 3) || ' ms, ' || round(wal_bytes / calls) || ' bytes, ' || \
                 calls || ' calls' FROM pg_stat_statements WHERE query LIKE '%\"{schema}\".%' AND query LIKE '%{text}%'"
            ));
            println!("{what}, {schema}: {}", row.join("; "));
        }
    }
}

#[tokio::main]
async fn main() {
    let wanted: Vec<_> = std::env::args().skip(1).filter(|argument| !argument.starts_with("--")).collect();
    let is_wanted = |name: &str| wanted.is_empty() || wanted.iter().any(|wanted| wanted == name);
    // Each event gets a new number, so no event is a duplicate.
    let mut numbers = 0..;
    if is_wanted("accepts") {
        accepts(&mut numbers).await;
    }
    if is_wanted("worker") {
        worker(&mut numbers).await;
    }
    if is_wanted("million") {
        million(&mut numbers).await;
    }
}
