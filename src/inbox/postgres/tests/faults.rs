//! Accepted events are handled under any fault of the server, of a connection or of a worker.

use std::{
    collections::BTreeMap,
    process::{Child, Command, Stdio},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use tokio::{
    task::JoinSet,
    time::{Instant, sleep, timeout},
};

use super::{
    super::super::{
        Accepted, Attempt, Handler, Inbox, InboxFailure, Stats, Worker,
        model::{self, EndOne as _, Outcome},
        store::End,
    },
    *,
};
use crate::WebhookEvent;

const SECOND: Duration = Duration::from_secs(1);

/// A time limit that is long enough for a busy machine.
const PATIENCE: Duration = Duration::from_secs(120);

/// How often each event was handled.
type Handled = Arc<Mutex<BTreeMap<u64, u32>>>;

/// Returns an inbox that does not handle events directly, so that losses of the store are visible.
async fn connect(server: &Server) -> Inbox {
    // PostgreSQL reserves connections for superusers, so the inbox connects as another user.
    server.sql(
        "DO 'BEGIN IF to_regrole(''receiver'') IS NULL THEN CREATE ROLE receiver LOGIN;
        GRANT CREATE ON DATABASE postgres TO receiver; END IF; END'",
    );
    let url = server.url_of("receiver", "postgres");
    Inbox::builder().on_failure(InboxFailure::Reject).lease(2 * SECOND).connect(&url).await.unwrap()
}

fn number(event: &WebhookEvent) -> u64 {
    event.raw_record().unwrap().get("n").unwrap().parse().unwrap()
}

fn work(inbox: &Inbox, handled: &Handled) -> Worker {
    let handler = async |handled: Handled, event: WebhookEvent| {
        sleep(Duration::from_millis(5)).await;
        *handled.lock().unwrap().entry(number(&event)).or_default() += 1;
    };
    inbox.worker(Arc::clone(handled)).fallback(handler).start().unwrap()
}

/// Accepts events until `stop` is set. Returns the number of sent events, and the accepted ones.
fn accept(inbox: &Inbox, stop: &Arc<AtomicBool>) -> tokio::task::JoinHandle<(u64, Vec<u64>)> {
    let (inbox, stop) = (inbox.clone(), Arc::clone(stop));
    tokio::spawn(async move {
        let mut accepted = Vec::new();
        let mut number = 0;
        while !stop.load(Ordering::SeqCst) {
            let accepting = timeout(PATIENCE, inbox.accept(model::event(number).verified));
            if accepting.await.expect("each call has a bound").is_ok() {
                accepted.push(number);
            }
            number += 1;
            sleep(Duration::from_millis(2)).await;
        }
        (number, accepted)
    })
}

async fn until_stats(inbox: &Inbox, are_so: impl Fn(&Stats) -> bool) -> Stats {
    let begun = Instant::now();
    loop {
        let stats = inbox.stats().await;
        if let Ok(stats) = stats
            && are_so(&stats)
        {
            return stats;
        }
        assert!(begun.elapsed() < PATIENCE, "{stats:?}");
        sleep(Duration::from_millis(20)).await;
    }
}

async fn until_empty(inbox: &Inbox) -> Stats {
    until_stats(inbox, |stats| stats.ready + stats.delayed + stats.running == 0).await
}

/// Accepts and handles events during a fault. Afterwards, all accepted events are handled, and new
/// events are accepted and handled. Returns how many events were handled more than once.
async fn survives(server: &mut Server, fault: &str, happens: impl AsyncFnOnce(&mut Server)) -> usize {
    let inbox = connect(server).await;
    let handled = Handled::default();
    let worker = work(&inbox, &handled);
    let stop = Arc::new(AtomicBool::new(false));
    let accepting = accept(&inbox, &stop);
    until_stats(&inbox, |stats| stats.remembered_keys > 20).await;
    happens(server).await;
    let before = until_stats(&inbox, |_| true).await.remembered_keys;
    until_stats(&inbox, |stats| stats.remembered_keys > before + 20).await;
    stop.store(true, Ordering::SeqCst);
    let (sent, accepted) = accepting.await.unwrap();
    let stats = until_empty(&inbox).await;
    _ = worker.shutdown(10 * SECOND).await;
    let outcome = Outcome::new(sent, &accepted, &handled.lock().unwrap(), stats.dead);
    outcome.report(&format!("PostgreSQL, {fault}"));
    assert_eq!((outcome.lost, outcome.dead), (0, 0));
    outcome.doubled
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "starts a private postgres"]
async fn a_server_that_is_killed_or_stopped_and_started_again_loses_nothing() {
    // With this setting, a committed transaction is on disk.
    let mut server = Server::start(&["fsync=on"]);
    for is_killed in [true, false] {
        let fault = if is_killed { "killed and restarted" } else { "stopped at once and restarted" };
        survives(&mut server, fault, async |server| {
            if is_killed {
                server.kill();
            } else {
                server.stop_at_once();
            }
            sleep(SECOND).await;
            server.restart();
        })
        .await;
        server.sql("DROP SCHEMA twenty_webhook CASCADE");
    }
}

/// The server is frozen for longer than a lease, and for longer than any call takes.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "starts a private postgres"]
async fn a_server_that_is_frozen_and_resumed_loses_nothing() {
    let mut server = Server::start(&[]);
    survives(&mut server, "frozen for 15 s", async |server| {
        server.freeze();
        sleep(15 * SECOND).await;
        server.thaw();
    })
    .await;
}

/// The server does not answer, although the connections are open.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "starts a private postgres"]
async fn each_call_has_a_time_limit() {
    let server = Server::start(&[]);
    let inner = connect(&server).await.inner;
    let store = &inner.store;
    store.put(model::event(1)).await.unwrap();
    let lease = store.take(model::take(1)).await.unwrap().events.remove(0).lease;
    server.freeze();
    for _ in 0..2 {
        let calls = async {
            tokio::join!(
                store.put(model::event(2)),
                store.take(model::take(1)),
                store.end(lease, End::Release),
                store.renew(lease),
                store.stats(),
                store.maintain(),
            )
        };
        let (put, taken, ended, renewed, stats, maintained) = timeout(PATIENCE, calls).await.unwrap();
        let errors = [put.err(), taken.err(), ended.err(), renewed.err(), stats.err(), maintained.err()];
        let is_transient = |error: &Option<InboxError>| error.as_ref().is_some_and(InboxError::is_transient);
        assert!(errors.iter().all(is_transient), "{errors:?}");
    }
    server.thaw();
    until_stats(&Inbox { inner }, |_| true).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "starts a private postgres"]
async fn ended_and_refused_connections_are_opened_again() {
    let mut server = Server::start(&["max_connections=8", "superuser_reserved_connections=1"]);
    let end = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'twenty-webhook'";
    for _ in 0..3 {
        let doubled = survives(&mut server, "connections ended", async |server| {
            for _ in 0..5 {
                server.sql(end);
                sleep(Duration::from_millis(50)).await;
            }
        })
        .await;
        assert_eq!(doubled, 0, "the process continues, so it knows which events it runs");
        server.sql("DROP SCHEMA twenty_webhook CASCADE");
    }
    // First all other connections are taken, and then the inbox's own connections, too.
    survives(&mut server, "out of connections", async |server| {
        let config: tokio_postgres::Config = server.url_of("receiver", "postgres").parse().unwrap();
        let (admin, connection) =
            server.url().parse::<tokio_postgres::Config>().unwrap().connect(tokio_postgres::NoTls).await.unwrap();
        tokio::spawn(connection);
        let mut taken = Vec::new();
        for _ in 0..20 {
            admin.batch_execute(end).await.unwrap();
            while let Ok((client, connection)) = config.connect(tokio_postgres::NoTls).await {
                tokio::spawn(connection);
                taken.push(client);
            }
        }
        // All connections, except that of `admin` and a reserved one.
        assert_eq!(taken.len(), 8 - 2);
        sleep(SECOND).await;
    })
    .await;
}

/// A connection that was opened while the database accepted no changes, or to a standby, stays like
/// that.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "starts a private postgres"]
async fn a_connection_that_is_read_only_is_opened_again() {
    let mut server = Server::start(&[]);
    survives(&mut server, "read-only for a second", async |server| {
        let end = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'twenty-webhook'";
        server.sql("ALTER ROLE receiver SET default_transaction_read_only = on");
        server.sql(end);
        sleep(SECOND).await;
        server.sql("ALTER ROLE receiver RESET default_transaction_read_only");
    })
    .await;
}

/// The same deliveries reach both in different orders, for example from two webhooks whose filters
/// overlap.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "starts a private postgres"]
async fn processes_that_store_the_same_events_do_not_deadlock() {
    let server = Server::start(&[]);
    let inboxes = [connect(&server).await, connect(&server).await];
    for round in 0..20 {
        let mut puts = JoinSet::new();
        for (inbox, is_reversed) in inboxes.iter().zip([false, true]) {
            let mut numbers: Vec<_> = (0..500).map(|number| round * 500 + number).collect();
            if is_reversed {
                numbers.reverse();
            }
            for number in numbers {
                let inbox = inbox.clone();
                puts.spawn(async move { inbox.accept(model::event(number).verified).await.unwrap() });
            }
        }
        let accepted = puts.join_all().await;
        assert_eq!(accepted.into_iter().filter(|put| *put == Accepted::Stored).count(), 500);
    }
    // The server counts with a delay.
    sleep(2 * SECOND).await;
    assert_eq!(server.sql("SELECT deadlocks FROM pg_stat_database WHERE datname = 'postgres'"), ["0"]);
}

/// Of several hosts, the first one can be a machine that no longer answers.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "starts a private postgres"]
async fn a_host_that_does_not_answer_does_not_hide_the_next_one() {
    let server = Server::start(&[]);
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let silent = socket.listen(1).unwrap();
    let address = silent.local_addr().unwrap();
    // While its queue is full, the listener answers no further connection.
    let mut queue = Vec::new();
    while let Ok(connected) = timeout(SECOND / 2, tokio::net::TcpStream::connect(address)).await {
        queue.push(connected.unwrap());
    }
    let url = server.url().replace('@', &format!("@{address},"));
    for setting in ["", "&connect_timeout=60"] {
        let url = format!("{url}?target_session_attrs=read-write{setting}");
        let inbox = Inbox::connect(&url).await.unwrap();
        assert!(inbox.accept(model::event(1).verified).await.is_ok());
    }
    drop(queue);
}

/// The store notices that an idle connection has ended, before something is stored and while a
/// worker waits.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "starts a private postgres"]
async fn events_of_another_process_are_found_after_the_listening_connection_ended() {
    let server = Server::start(&[]);
    let (receiver, inbox) = (connect(&server).await, connect(&server).await);
    let handled = Handled::default();
    let worker = work(&inbox, &handled);
    for number in 0..5 {
        server.sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'twenty-webhook'");
        assert_eq!(receiver.accept(model::event(number).verified).await.unwrap(), Accepted::Stored);
        until_empty(&inbox).await;
    }
    assert_eq!(handled.lock().unwrap().len(), 5);
    drop(worker);
}

/// No worker runs, so nothing polls the store.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "starts a private postgres"]
async fn another_process_is_notified_of_stored_events() {
    let server = Server::start(&[]);
    let [receiver, other] = [connect(&server).await, connect(&server).await].map(|inbox| inbox.inner);
    // Ignore earlier notifications.
    let work = other.store.work();
    while timeout(SECOND, work.notified()).await.is_ok() {}
    for number in 0..3 {
        receiver.store.put(model::event(number)).await.unwrap();
        timeout(PATIENCE, work.notified()).await.unwrap();
    }
    // The listening connection reconnects although nothing queries it. It then notifies, because it
    // may have missed a notification.
    server.sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'twenty-webhook'");
    timeout(PATIENCE, work.notified()).await.unwrap();
    while timeout(SECOND, work.notified()).await.is_ok() {}
    receiver.store.put(model::event(3)).await.unwrap();
    timeout(PATIENCE, work.notified()).await.unwrap();
}

const CHILD: &str = "TWENTY_WEBHOOK_TEST_POSTGRES_CHILD";

/// Not a test: a worker in a separate process, whose handler takes longer than its lease. Another
/// test runs it.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "run by another test"]
async fn child_that_works() {
    work_in_child(SECOND, async |_: WebhookEvent| sleep(3 * SECOND).await).await;
}

/// Not a test: the same, with a handler that blocks its thread.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
#[ignore = "run by another test"]
async fn child_that_blocks() {
    work_in_child(3 * SECOND, async |_: WebhookEvent| std::thread::sleep(12 * SECOND)).await;
}

async fn work_in_child<Args>(lease: Duration, handler: impl Handler<(), Args>) {
    let Ok(url) = std::env::var(CHILD) else { return };
    let inbox = Inbox::builder().lease(lease).connect(&url).await.unwrap();
    let _worker = inbox.worker(()).fallback(handler).start().unwrap();
    sleep(PATIENCE).await;
}

struct Process(Child);

impl Process {
    fn start(child: &str, url: &str) -> Self {
        let mut command = Command::new(std::env::current_exe().unwrap());
        let test = format!("inbox::postgres::tests::faults::{child}");
        command.args(["--ignored", "--exact", &test]).env(CHILD, url);
        Self(command.stdout(Stdio::null()).spawn().unwrap())
    }

    fn signal(&self, signal: &str) {
        assert!(Command::new("kill").args([signal, &self.0.id().to_string()]).status().unwrap().success());
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        _ = self.0.kill();
        _ = self.0.wait();
    }
}

/// A worker is stopped for longer than its lease, and another worker takes its event. Then the
/// first worker continues and ends the event, which changes nothing.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "starts a private postgres"]
async fn a_worker_that_was_stopped_beyond_its_lease_changes_nothing() {
    let server = Server::start(&[]);
    let inbox = connect(&server).await;
    let stopped = Process::start("child_that_works", &server.url_of("receiver", "postgres"));
    inbox.accept(model::event(1).verified).await.unwrap();
    until_stats(&inbox, |stats| stats.running == 1).await;
    stopped.signal("-STOP");
    let handled = Arc::new(Mutex::new(Vec::new()));
    let handler = async |handled: Arc<Mutex<Vec<u32>>>, _: WebhookEvent, attempt: Attempt| {
        handled.lock().unwrap().push(attempt.number);
        Err("not this time")
    };
    let worker = inbox.worker(Arc::clone(&handled)).fallback(handler).retry(once_an_hour()).start().unwrap();
    let before = until_stats(&inbox, |stats| stats.delayed == 1).await;
    stopped.signal("-CONT");
    // The first worker's handler ends, and the worker tries to complete the event.
    sleep(5 * SECOND).await;
    assert_eq!(inbox.stats().await.unwrap(), before);
    assert_eq!(*handled.lock().unwrap(), [1]);
    drop(worker);
}

/// The lease is renewed several times, and the event is not handled a second time.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "starts a private postgres"]
async fn the_lease_of_a_handler_that_takes_longer_is_renewed() {
    let server = Arc::new(Server::start(&[]));
    let inbox = connect(&server).await;
    let due = "SELECT due FROM twenty_webhook.inbox WHERE state = 2";
    let handler = async move |(server, runs): (Arc<Server>, Arc<Mutex<u32>>), _: WebhookEvent| {
        *runs.lock().unwrap() += 1;
        let lease_ends = || -> u64 { server.sql(due)[0].parse().unwrap() };
        let begun = Instant::now();
        let first = lease_ends();
        // Wait until the lease was extended by two leases.
        while lease_ends() < first + 4_000 {
            assert!(begun.elapsed() < PATIENCE, "it is renewed");
            sleep(Duration::from_millis(100)).await;
        }
    };
    let runs = Arc::new(Mutex::new(0));
    let worker = inbox.worker((Arc::clone(&server), Arc::clone(&runs))).fallback(handler).start().unwrap();
    inbox.accept(model::event(1).verified).await.unwrap();
    let stats = until_stats(&inbox, |stats| stats.running + stats.ready == 0).await;
    assert_eq!((stats.remembered_keys, stats.delayed, *runs.lock().unwrap()), (1, 0, 1));
    assert_eq!(server.sql("SELECT token FROM twenty_webhook.inbox"), ["1"], "it was taken once");
    drop(worker);
}

/// The lease is also renewed while a handler blocks its thread.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "starts a private postgres"]
async fn no_other_process_takes_an_event_whose_handler_blocks_its_thread() {
    let server = Server::start(&[]);
    let inbox = connect(&server).await;
    let _blocked = Process::start("child_that_blocks", &server.url_of("receiver", "postgres"));
    inbox.accept(model::event(1).verified).await.unwrap();
    until_stats(&inbox, |stats| stats.running == 1).await;
    let handled = Handled::default();
    let worker = work(&inbox, &handled);
    let stats = until_empty(&inbox).await;
    assert_eq!((stats.remembered_keys, handled.lock().unwrap().len()), (1, 0));
    drop(worker);
}

fn once_an_hour() -> super::super::super::RetryPolicy {
    super::super::super::RetryPolicy::exponential(3600 * SECOND..=3600 * SECOND)
}
