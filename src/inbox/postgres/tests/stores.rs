//! Several stores on one table, as in processes on several machines.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use tokio::time::sleep;

use super::{
    super::{
        super::{
            DeadReason, RecordKey,
            model::{self, BOUNDS, EndOne as _, clock, event, take},
            store::{End, Lease, Put, Store, Take, Which},
        },
        LONGEST_LEASE, PLANS,
    },
    *,
};

const SECOND: Duration = Duration::from_secs(1);

/// The server and the clock. The tests share them, because a server is expensive.
struct Setting {
    server: Server,
    hand: ClockHand,
    clock: FixedClock,
}

impl Setting {
    async fn new() -> Self {
        let server = Server::start(&[]);
        start_clock(&server);
        let hand = ClockHand::new(&server).await;
        Self { server, hand, clock: clock() }
    }

    async fn open(&self, options: &PostgresOptions) -> PgStore {
        open(&self.server, options, BOUNDS).await.unwrap()
    }

    async fn advance(&self, by: Duration) {
        self.clock.advance(by);
        self.hand.follow(&self.clock).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "starts a private postgres"]
async fn several_stores_share_a_table() {
    let setting = Setting::new().await;
    an_expired_lease_cannot_end_an_event(&setting).await;
    a_renewed_lease_stays_valid(&setting).await;
    a_process_does_not_take_events_that_it_runs(&setting).await;
    events_of_a_failed_take_are_released(&setting).await;
    a_cancelled_take_loses_no_event(&setting).await;
    an_event_is_taken_by_one_process(&setting).await;
    events_of_busy_records_are_skipped(&setting).await;
    a_clock_that_is_set_back_keeps_no_lease_alive(&setting).await;
    the_pauses_of_one_process_do_not_shorten_anothers(&setting).await;
    the_limits_apply_to_the_counted_events(&setting).await;
    redriven_events_use_up_capacity(&setting).await;
    duplicates_within_a_batch_are_found(&setting).await;
    a_nul_in_a_message_does_not_prevent_its_end(&setting).await;
    a_message_in_any_encoding_does_not_prevent_its_end(&setting).await;
    model::pages_of_long_dead_letters_are_short(&setting.open(&options()).await).await;
    a_locked_row_delays_no_other_event(&setting).await;
}

fn ends() -> Vec<End> {
    let dead = End::Dead { reason: DeadReason::Permanent, message: "why".into() };
    vec![End::Complete, End::Retry { delay: SECOND }, dead, End::Release]
}

async fn an_expired_lease_cannot_end_an_event(setting: &Setting) {
    for end in ends() {
        let options = options();
        let (stopped, other) = (setting.open(&options).await, setting.open(&options).await);
        stopped.put(event(1)).await.unwrap();
        let lost = stopped.take(take(5)).await.unwrap().events.remove(0).lease;
        assert!(other.take(take(5)).await.unwrap().events.is_empty(), "the lease is still valid");
        setting.advance(options.lease + SECOND).await;
        let taken = other.take(take(5)).await.unwrap().events.remove(0);
        assert_eq!((taken.attempts, taken.interruptions), (0, 1), "{end:?}");
        let before = other.stats().await.unwrap();
        assert!(!stopped.end(lost, end.clone()).await.unwrap(), "{end:?}");
        assert!(!stopped.renew(lost).await.unwrap(), "{end:?}");
        assert_eq!(other.stats().await.unwrap(), before, "{end:?}");
        assert!(other.end(taken.lease, End::Complete).await.unwrap(), "{end:?}");
    }
}

async fn a_renewed_lease_stays_valid(setting: &Setting) {
    let options = options();
    let (one, other) = (setting.open(&options).await, setting.open(&options).await);
    one.put(event(1)).await.unwrap();
    let lease = one.take(take(5)).await.unwrap().events.remove(0).lease;
    for _ in 0..5 {
        setting.advance(options.lease - SECOND).await;
        assert!(one.renew(lease).await.unwrap());
        assert!(other.take(take(5)).await.unwrap().events.is_empty());
    }
    assert!(one.end(lease, End::Complete).await.unwrap());
}

/// For example, after the server was frozen for longer than a lease.
async fn a_process_does_not_take_events_that_it_runs(setting: &Setting) {
    let options = options();
    let (store, killed) = (setting.open(&options).await, setting.open(&options).await);
    store.put(event(1)).await.unwrap();
    let lease = store.take(take(5)).await.unwrap().events.remove(0).lease;
    store.put(event(2)).await.unwrap();
    assert_eq!(killed.take(take(5)).await.unwrap().events.len(), 1);
    drop(killed);
    setting.advance(options.lease + SECOND).await;
    let taken = store.take(take(5)).await.unwrap().events;
    assert_eq!(taken.iter().map(|taken| taken.event.key).collect::<Vec<_>>(), [event(2).key]);
    assert!(store.end(lease, End::Complete).await.unwrap());
}

/// The answer to the take did not arrive.
async fn events_of_a_failed_take_are_released(setting: &Setting) {
    let options = options();
    let store = setting.open(&options).await;
    for number in 0..3 {
        store.put(event(number)).await.unwrap();
    }
    assert_eq!(store.take(take(5)).await.unwrap().events.len(), 3);
    store.shared.held().clear();
    let again = store.take(take(5)).await.unwrap().events;
    let counts: Vec<_> = again.iter().map(|taken| (taken.attempts, taken.interruptions)).collect();
    assert_eq!(counts, [(0, 0); 3]);
}

/// The take is dropped after any number of polls.
async fn a_cancelled_take_loses_no_event(setting: &Setting) {
    let store = setting.open(&options()).await;
    store.put(event(4)).await.unwrap();
    for polls in 1.. {
        let mut taking = store.take(take(1));
        let mut left = polls;
        let taken = std::future::poll_fn(|cx| {
            let taken = taking.as_mut().poll(cx).map(Some);
            left -= 1;
            if left == 0 && taken.is_pending() { std::task::Poll::Ready(None) } else { taken }
        })
        .await;
        drop(taking);
        let was_answered = taken.is_some();
        let taken = match taken {
            Some(taken) => taken.unwrap(),
            // The statement may still be on its way to the server.
            None => {
                sleep(Duration::from_millis(20)).await;
                store.take(take(1)).await.unwrap()
            }
        };
        let counts: Vec<_> = taken.events.iter().map(|taken| (taken.attempts, taken.interruptions)).collect();
        assert_eq!(counts, [(0, 0)], "after {polls} polls");
        assert!(store.end(taken.events[0].lease, End::Release).await.unwrap());
        if was_answered {
            assert!(polls > 2, "it waited for two statements");
            break;
        }
    }
}

async fn an_event_is_taken_by_one_process(setting: &Setting) {
    const EVENTS: u64 = 300;

    let options = options();
    let mut stores = Vec::new();
    for _ in 0..4 {
        stores.push(Arc::new(setting.open(&options).await));
    }
    let puts = (0..EVENTS).map(|number| {
        let store = Arc::clone(&stores[0]);
        // Each event is about a different record.
        let event = super::super::super::StoredEvent { record: RecordKey::of_id(&number.to_string()), ..event(number) };
        tokio::spawn(async move { store.put(event).await.unwrap() })
    });
    for put in puts.collect::<Vec<_>>() {
        assert_eq!(put.await.unwrap(), Put::Stored);
    }
    let takers = stores.iter().cloned().map(|store| {
        tokio::spawn(async move {
            let mut taken = Vec::new();
            loop {
                let some = store.take(take(7)).await.unwrap().events;
                if some.is_empty() {
                    return taken;
                }
                taken.extend(some.iter().map(|taken| taken.lease.event));
            }
        })
    });
    let mut all = Vec::new();
    for taker in takers.collect::<Vec<_>>() {
        all.extend(taker.await.unwrap());
    }
    let different: BTreeSet<_> = all.iter().collect();
    assert_eq!((all.len() as u64, different.len() as u64), (EVENTS, EVENTS));
}

/// There are more such events than one take reads first.
async fn events_of_busy_records_are_skipped(setting: &Setting) {
    let store = Arc::new(setting.open(&options()).await);
    let busy = RecordKey::of_id("busy");
    let record = |number| if number == 200 { RecordKey::of_id("free") } else { busy };
    let mut puts = Vec::new();
    for number in 0..=200 {
        let event = super::super::super::StoredEvent { record: record(number), ..event(number) };
        let store = Arc::clone(&store);
        puts.push(tokio::spawn(async move { store.put(event).await.unwrap() }));
    }
    for put in puts {
        put.await.unwrap();
    }
    let taken = store.take(Take { busy: [busy].into(), ..take(3) }).await.unwrap();
    assert_eq!(taken.events.iter().map(|taken| taken.event.record).collect::<Vec<_>>(), [record(200)]);
    assert!(taken.left_busy);
    // The record is not busy now, but only one of its events is taken at a time.
    let taken = store.take(take(3)).await.unwrap();
    assert_eq!(taken.events.iter().map(|taken| taken.event.record).collect::<Vec<_>>(), [busy]);
    assert!(taken.left_busy);
}

async fn a_clock_that_is_set_back_keeps_no_lease_alive(setting: &Setting) {
    let options = options();
    let (killed, other) = (setting.open(&options).await, setting.open(&options).await);
    killed.put(event(1)).await.unwrap();
    assert_eq!(killed.take(take(5)).await.unwrap().events.len(), 1);
    drop(killed);
    setting.clock.set(setting.clock.now().saturating_sub(Duration::from_secs(86_400)));
    setting.hand.follow(&setting.clock).await;
    assert!(other.take(take(5)).await.unwrap().events.is_empty());
    setting.advance(LONGEST_LEASE + SECOND).await;
    assert_eq!(other.take(take(5)).await.unwrap().events.len(), 1);
}

/// The processes have different retry policies, as while a new version replaces an old one.
async fn the_pauses_of_one_process_do_not_shorten_anothers(setting: &Setting) {
    const HOUR: Duration = Duration::from_secs(3600);
    let options = options();
    let (patient, hasty) = (setting.open(&options).await, setting.open(&options).await);
    let with_short_pauses = || Take { longest_delay: SECOND, ..take(5) };
    patient.put(event(1)).await.unwrap();
    let lease = patient.take(take(5)).await.unwrap().events[0].lease;
    assert!(patient.end(lease, End::Retry { delay: HOUR }).await.unwrap());
    for _ in 0..2 {
        assert!(hasty.take(with_short_pauses()).await.unwrap().events.is_empty());
        setting.advance(HOUR / 2 - SECOND).await;
    }
    assert_eq!(hasty.take(with_short_pauses()).await.unwrap().next_due, Some(2 * SECOND));
    // A clock that was set back makes the event wait for no longer than its own pause.
    setting.clock.set(setting.clock.now().saturating_sub(24 * HOUR));
    setting.hand.follow(&setting.clock).await;
    assert_eq!(hasty.take(with_short_pauses()).await.unwrap().next_due, Some(HOUR));
    setting.advance(HOUR).await;
    assert_eq!(hasty.take(with_short_pauses()).await.unwrap().events.len(), 1);
}

async fn the_limits_apply_to_the_counted_events(setting: &Setting) {
    let options = options();
    let bounds = Bounds { max_pending: 10, ..BOUNDS };
    let store = Arc::new(open(&setting.server, &options, bounds).await.unwrap());
    let puts = (0..40).map(|number| {
        let store = Arc::clone(&store);
        // Each event is put twice.
        tokio::spawn(async move { store.put(event(number / 2)).await.map_err(|error| error.kind()) })
    });
    let mut stored = 0;
    for put in puts.collect::<Vec<_>>() {
        stored += u64::from(put.await.unwrap() == Ok(Put::Stored));
    }
    assert_eq!((stored, store.stats().await.unwrap().ready), (10, 10));
    // Another process has not counted yet.
    let other = open(&setting.server, &options, bounds).await.unwrap();
    assert_eq!(other.put(event(100)).await.unwrap_err().kind(), super::super::InboxErrorKind::Full);
}

async fn redriven_events_use_up_capacity(setting: &Setting) {
    let (options, bounds) = (options(), Bounds { max_pending: 3, ..BOUNDS });
    let store = open(&setting.server, &options, bounds).await.unwrap();
    for number in 0..2 {
        store.put(event(number)).await.unwrap();
        let lease = store.take(take(1)).await.unwrap().events[0].lease;
        let dead = End::Dead { reason: DeadReason::Permanent, message: "why".into() };
        assert!(store.end(lease, dead).await.unwrap());
    }
    // This process counts while they are dead.
    let store = open(&setting.server, &options, bounds).await.unwrap();
    assert_eq!(store.put(event(2)).await.unwrap(), Put::Stored);
    assert_eq!(store.redrive(Which::SomeAfter(0)).await.unwrap().count, 2);
    assert_eq!(store.put(event(3)).await.unwrap_err().kind(), super::super::InboxErrorKind::Full);
}

async fn duplicates_within_a_batch_are_found(setting: &Setting) {
    let store = Arc::new(setting.open(&options()).await);
    let puts = (0..200).map(|number| {
        let store = Arc::clone(&store);
        tokio::spawn(async move { store.put(event(number % 10)).await.unwrap() })
    });
    let mut stored = 0;
    for put in puts.collect::<Vec<_>>() {
        stored += usize::from(put.await.unwrap() == Put::Stored);
    }
    assert_eq!((stored, store.stats().await.unwrap().ready), (10, 10));
}

async fn a_message_in_any_encoding_does_not_prevent_its_end(setting: &Setting) {
    let text = "Müller, 日本, \u{1f980}";
    let escaped = r"M\u{fc}ller, \u{65e5}\u{672c}, \u{1f980}";
    for (encoding, expected) in [("UTF8", text), ("SQL_ASCII", text), ("LATIN1", escaped), ("EUC_JP", escaped)] {
        let database = format!("encoding_{}", encoding.to_lowercase());
        setting.server.sql(&format!("CREATE DATABASE {database} ENCODING '{encoding}' TEMPLATE template0"));
        let connector = Connector::without_tls(&setting.server.url_of("postgres", &database)).unwrap();
        let store = PgStore::connect(connector, &options(), BOUNDS).await.unwrap();
        store.put(event(1)).await.unwrap();
        let lease = store.take(take(1)).await.unwrap().events[0].lease;
        let dead = End::Dead { reason: DeadReason::Permanent, message: text.into() };
        assert!(store.end(lease, dead).await.unwrap(), "{encoding}");
        let letters = store.dead_letters(0, 10).await.unwrap();
        assert_eq!(letters[0].1.message(), expected, "{encoding}");
    }
}

async fn a_nul_in_a_message_does_not_prevent_its_end(setting: &Setting) {
    let store = setting.open(&options()).await;
    store.put(event(1)).await.unwrap();
    let Lease { event, token } = store.take(take(1)).await.unwrap().events.remove(0).lease;
    let end = End::Dead { reason: DeadReason::Permanent, message: "a\0b".into() };
    assert!(store.end(Lease { event, token }, end).await.unwrap());
    assert_eq!(&*store.dead_letters(0, 1).await.unwrap()[0].1.message, "a\u{fffd}b");
}

/// A locked row is changed later, for each kind of change.
async fn a_locked_row_delays_no_other_event(setting: &Setting) {
    let now = setting.clock.now().as_millis();
    let config: tokio_postgres::Config = setting.server.url().parse().unwrap();
    let (client, connection) = config.connect(tokio_postgres::NoTls).await.unwrap();
    tokio::spawn(connection);
    let far = now + 1_000_000_000_000;
    let mine = |store: &PgStore| store.shared.owner;
    for what in
        ["nothing", "its lease ran out", "its lease is too long", "it is due too late", "this process does not know it"]
    {
        let store = setting.open(&options()).await;
        let table = &store.shared.table;
        for number in [4, 9] {
            store.put(event(number)).await.unwrap();
        }
        let to = match what {
            "nothing" => "state = 0".to_owned(),
            "its lease ran out" => "state = 2, due = 1, owner = 7, token = 1".to_owned(),
            "its lease is too long" => format!("state = 2, due = {far}, owner = 7, token = 1"),
            "it is due too late" => format!("state = 1, due = {far}"),
            _ => format!("state = 2, due = {}, owner = {}, token = 1", now + 1_000, mine(&store)),
        };
        let lock = "FOR UPDATE";
        let locked = format!("UPDATE {table} SET {to} WHERE id = 1; BEGIN; SELECT FROM {table} WHERE id = 1 {lock}");
        client.batch_execute(&locked).await.unwrap();
        let taken = store.take(take(5)).await.unwrap().events;
        assert_eq!(taken.iter().map(|taken| taken.event.key).collect::<Vec<_>>(), [event(9).key], "{what}");
        client.batch_execute("COMMIT").await.unwrap();
        assert!(store.end(taken[0].lease, End::Complete).await.unwrap(), "{what}");
    }
    // The same for ends and renewals.
    for end in ends() {
        let store = setting.open(&options()).await;
        let table = &store.shared.table;
        for number in [4, 9, 14] {
            store.put(event(number)).await.unwrap();
        }
        let leases: Vec<_> = store.take(take(2)).await.unwrap().events.iter().map(|taken| taken.lease).collect();
        client.batch_execute(&format!("BEGIN; SELECT FROM {table} WHERE id = 1 FOR UPDATE")).await.unwrap();
        assert!(store.renew(leases[0]).await.unwrap() && store.renew(leases[1]).await.unwrap(), "{end:?}");
        for limit in [1, 0] {
            let ends: Vec<_> = leases.iter().map(|lease| (*lease, end.clone())).collect();
            let taken = store.take(Take { ends, ..take(limit) }).await.unwrap();
            let expected = if limit == 1 { [false, true] } else { [false, false] };
            assert_eq!((taken.ended, taken.events.len()), (expected.to_vec(), limit), "{end:?}");
            assert_eq!(taken.locked, [leases[0]].into(), "{end:?}");
        }
        client.batch_execute("COMMIT").await.unwrap();
        let ends = vec![(leases[0], end.clone())];
        let taken = store.take(Take::only_to_end(ends)).await.unwrap();
        assert_eq!((taken.ended, taken.locked.len()), (vec![true], 0), "{end:?}");
    }
}

/// With any content, and before the table was ever analyzed. A plan that reads the whole table
/// would make each take slower with each waiting event, and each page of dead letters slower with
/// each row.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "starts a private postgres"]
async fn takes_and_pages_read_indexes_only() {
    let server = Server::start(&["autovacuum=off"]);
    let options = options();
    let store = PgStore::connect(Connector::without_tls(&server.url()).unwrap(), &options, BOUNDS).await.unwrap();
    let table = &store.shared.table;
    let fill = |state: u8, rows: u64| {
        server.sql(&format!(
            "INSERT INTO {table} (claim_key, record, state, due, fresh_until, size, event) \
             SELECT decode(md5(n || 'a{state} {rows}') || md5(n || 'b'), 'hex'), decode(md5(n::text), 'hex'), {state}, \
             CASE {state} WHEN 0 THEN 0 ELSE 4000000000000 + n END, 0, 100, repeat('x', 100)::bytea \
             FROM generate_series(1, {rows}) AS n"
        ));
    };
    fill(0, 1_000);
    for (state, rows) in [(1, 20_000), (0, 20_000), (5, 20_000), (4, 20_000)] {
        fill(state, rows);
        let sql = &store.shared.sql;
        let plan = |prepared: &str, types: &str, arguments: &str| {
            let statement = format!("PREPARE p ({types}) AS {prepared}; EXPLAIN EXECUTE p ({arguments})");
            server.sql(&format!("SET plan_cache_mode = force_custom_plan; {PLANS}; {statement}")).join("\n")
        };
        let plans = [
            plan(&sql.candidates, "bigint, bigint, bigint[], bigint, bigint", "64, 7, '{1,2}', 3600000, 600000"),
            plan(&sql.recover, "bigint, bigint[]", "7, '{1,2}'"),
            plan(
                &sql.take,
                "bigint, bigint[], bigint[], smallint[], bigint[], smallint[], text[], bigint[], bigint, bigint",
                "0, '{1,2}', '{1,1}', '{0,0}', '{0,0}', '{NULL,NULL}', '{NULL,NULL}', '{3,4,5}', 60000, 7",
            ),
            plan(&sql.dead_letters, "bigint, bigint", "7, 16"),
        ];
        assert!(plans[3].contains("_dead"), "{rows} of {state}: {}", plans[3]);
        for plan in plans {
            assert!(!plan.contains("Seq Scan"), "{rows} of {state}: {plan}");
            // The plan may sort suspects, because there are few of them.
            let mut sorted = plan.lines().filter(|line| line.contains("Sort Key"));
            assert!(sorted.all(|line| line.contains("interruptions")), "{rows} of {state}: {plan}");
        }
    }
}
