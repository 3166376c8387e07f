#[path = "../../../../tests/support/error.rs"]
mod error;
#[path = "../../../../tests/support/postgres.rs"]
mod server;

mod faults;
mod model;
mod stores;
mod tables;

use std::sync::atomic::{AtomicU32, Ordering};

use error::texts;
use server::Server;

use super::{
    super::{InboxBuilder, model::NOW, store::Bounds},
    Connector, InboxError, Names, PgStore, PostgresOptions,
};
use crate::verify::{Clock, FixedClock};

/// Returns options with a schema that no other test uses.
fn options() -> PostgresOptions {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let schema = format!("test {}", COUNT.fetch_add(1, Ordering::Relaxed));
    let names = Names { schema: schema.into(), table: "inbox".into() };
    PostgresOptions { names, lease: InboxBuilder::DEFAULT_LEASE, create_if_missing: true }
}

/// An SQL expression for the present time, which a test sets.
const TEST_CLOCK: &str = "(SELECT millis FROM test_clock)";

fn start_clock(server: &Server) {
    server.sql(&format!("CREATE TABLE test_clock AS SELECT {}::bigint AS millis", NOW.as_millis()));
}

async fn open(server: &Server, options: &PostgresOptions, bounds: Bounds) -> Result<PgStore, InboxError> {
    PgStore::start(Connector::without_tls(&server.url())?, options, bounds, TEST_CLOCK).await
}

/// Sets the server's clock.
struct ClockHand {
    client: tokio_postgres::Client,
    set_to: AtomicMillis,
}

type AtomicMillis = std::sync::atomic::AtomicU64;

impl ClockHand {
    async fn new(server: &Server) -> Self {
        let config: tokio_postgres::Config = server.url().parse().unwrap();
        let (client, connection) = config.connect(tokio_postgres::NoTls).await.unwrap();
        tokio::spawn(connection);
        let hand = Self { client, set_to: AtomicMillis::new(0) };
        hand.follow(&FixedClock::at(NOW)).await;
        hand
    }

    async fn follow(&self, clock: &FixedClock) {
        let now = clock.now().as_millis();
        if self.set_to.swap(now, Ordering::SeqCst) != now {
            self.client.batch_execute(&format!("UPDATE test_clock SET millis = {now}")).await.unwrap();
        }
    }
}
