//! The table behaves like the store in memory.

use std::time::Duration;

use proptest::{
    prelude::*,
    test_runner::{TestCaseError, TestRunner},
};
use tokio::{runtime::Runtime, sync::Notify};

use super::{
    super::super::{
        DeadLetter, EventId, RecordKey, Stats, StoredEvent,
        model::{Subject, bounds, compare, operations},
        store::{Put, Step, Store, StoreFuture, Take, Taken, Which},
    },
    *,
};

/// A store whose server has the time of the test's clock.
#[derive(Debug)]
struct Timed {
    store: PgStore,
    hand: std::sync::Arc<ClockHand>,
    clock: FixedClock,
}

impl std::fmt::Debug for ClockHand {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ClockHand").finish_non_exhaustive()
    }
}

impl Timed {
    fn now<'a, T: 'a>(
        &'a self,
        call: impl FnOnce(&'a PgStore) -> StoreFuture<'a, T> + Send + 'a,
    ) -> StoreFuture<'a, T> {
        Box::pin(async move {
            self.hand.follow(&self.clock).await;
            call(&self.store).await
        })
    }
}

impl Store for Timed {
    fn put(&self, event: StoredEvent) -> StoreFuture<'_, Put> {
        self.now(|store| store.put(event))
    }
    fn begin(&self) -> StoreFuture<'_, ()> {
        self.now(Store::begin)
    }
    fn take(&self, take: Take) -> StoreFuture<'_, Taken> {
        self.now(|store| store.take(take))
    }
    fn work(&self) -> &Notify {
        self.store.work()
    }
    fn maintain(&self) -> StoreFuture<'_, bool> {
        self.now(Store::maintain)
    }
    fn stats(&self) -> StoreFuture<'_, Stats> {
        self.now(Store::stats)
    }
    fn dead_letters(&self, after: u64, limit: usize) -> StoreFuture<'_, Vec<(u64, DeadLetter)>> {
        self.now(move |store| store.dead_letters(after, limit))
    }
    fn dead_letter(&self, id: EventId) -> StoreFuture<'_, Option<DeadLetter>> {
        self.now(move |store| store.dead_letter(id))
    }
    fn redrive(&self, which: Which) -> StoreFuture<'_, Step> {
        self.now(move |store| store.redrive(which))
    }
    fn purge(&self, which: Which) -> StoreFuture<'_, Step> {
        self.now(move |store| store.purge(which))
    }
    fn erase(&self, record: RecordKey) -> StoreFuture<'_, u64> {
        self.now(move |store| store.erase(record))
    }
    fn compact(&self) -> StoreFuture<'_, bool> {
        self.now(Store::compact)
    }
}

struct Table<'s> {
    server: &'s Server,
    options: PostgresOptions,
    bounds: Bounds,
    timed: Timed,
}

impl Subject for Table<'_> {
    fn store(&self) -> &dyn Store {
        &self.timed
    }

    /// Lets the leases expire, and lets another process recover the events.
    async fn kill(&mut self) {
        self.timed.store = open(self.server, &self.options, self.bounds).await.unwrap();
        let table = &self.timed.store.shared.table;
        self.timed.hand.client.execute(&format!("UPDATE {table} SET due = 0 WHERE state = 2"), &[]).await.unwrap();
        // Each take does this, too.
        super::super::take::recover(&self.timed.store.shared).await.unwrap();
    }
}

#[test]
#[ignore = "starts a private postgres"]
fn the_table_does_what_the_store_in_memory_does() {
    let server = Server::start(&[]);
    start_clock(&server);
    let runtime = Runtime::new().unwrap();
    let hand = std::sync::Arc::new(runtime.block_on(ClockHand::new(&server)));
    // The time jumps by months, so the leases are long enough that none expires by itself.
    let options = PostgresOptions { lease: Duration::from_secs(100 * 365 * 86_400), ..options() };
    let table =
        runtime.block_on(open(&server, &options, super::super::super::model::BOUNDS)).unwrap().shared.table.clone();
    let case = |(operations, bounds)| -> Result<(), TestCaseError> {
        runtime.block_on(async {
            let truncate = format!("TRUNCATE {table} RESTART IDENTITY");
            hand.client.batch_execute(&truncate).await.unwrap();
            let open = async |bounds, clock: FixedClock| {
                let store = open(&server, &options, bounds).await.unwrap();
                let timed = Timed { store, hand: std::sync::Arc::clone(&hand), clock };
                Table { server: &server, options: options.clone(), bounds, timed }
            };
            compare(open, bounds, operations).await
        })
    };
    let mut runner = TestRunner::new(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(150) });
    runner.run(&(operations(), bounds()), case).unwrap();
}
