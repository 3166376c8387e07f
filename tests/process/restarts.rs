//! Restarts the inbox examples under load, with a socket that stays open as with systemd. Tests
//! what happens to the connections of all example receivers when the program gets the signal to
//! stop.
//!
//! To run this file alone, build the examples first: `cargo build --all-features --examples`.

use std::{
    collections::BTreeSet,
    net::{SocketAddr, TcpListener},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use tokio::time::sleep;
use twenty_webhook::verify::Signer;

use crate::support::{
    data_text,
    http1::{Answer, Connection, Request, unsigned},
    program::Program,
};

const SECRET: &str = "dev-secret";

/// The receivers that require only a secret.
const RECEIVERS: [&str; 8] = [
    "axum_receiver",
    "event_router",
    "header_deadline",
    "metrics",
    "inbox_receiver",
    "actix_receiver",
    "actix_event_router",
    "actix_inbox",
];

/// Starts a receiver with its own socket.
fn start(example: &str) -> Program {
    static COUNT: AtomicUsize = AtomicUsize::new(0);
    let (id, count) = (std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
    let inbox = format!("{}/alone-{example}-{id}-{count}.redb", env!("CARGO_TARGET_TMPDIR"));
    Program::start(example, &[], &[("TWENTY_WEBHOOK_SECRET", SECRET), ("INBOX", &inbox)])
}

/// With `acknowledge_within`, a receiver may answer before its handler has completed.
fn is_accepted(answer: &Answer) -> bool {
    matches!(answer.status, 200 | 202)
}

fn delivery(number: usize) -> Request {
    let template = data_text("person.created.json");
    let body = template.replace("2e6f6a2f-2f7e-4b0d-9a3b-5b6d1d2c9f01", &id(number));
    let headers = Signer::new(SECRET).unwrap().sign(&body).pairs();
    unsigned(body).with_all(headers)
}

fn id(number: usize) -> String {
    format!("{number:08x}-0000-4000-8000-000000000000")
}

/// A socket that outlives the programs, and its address.
struct Socket {
    listener: TcpListener,
    address: SocketAddr,
    inbox: String,
}

impl Socket {
    fn new(example: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let directory = format!("{}/restarts-{example}-{}", env!("CARGO_TARGET_TMPDIR"), std::process::id());
        std::fs::create_dir_all(&directory).unwrap();
        Self { listener, address, inbox: format!("{directory}/inbox.redb") }
    }

    fn start(&self, example: &str) -> Program {
        let variables = [("TWENTY_WEBHOOK_SECRET", SECRET), ("INBOX", self.inbox.as_str())];
        Program::start_with_socket(example, &self.listener, &variables)
    }
}

async fn post(address: SocketAddr, number: usize) -> Answer {
    let mut connection = Connection::open(address).await;
    connection.send(delivery(number).bytes()).await;
    connection.answer().await.expect("an answer")
}

/// Posts deliveries one after the other until the load is over. Keeps a connection as long as the
/// responses allow it, as axios does. Each delivery must be answered 200.
async fn send(address: SocketAddr, numbers: Arc<AtomicUsize>, is_over: Arc<AtomicBool>) {
    let mut kept = None;
    while !is_over.load(Ordering::Relaxed) {
        let number = numbers.fetch_add(1, Ordering::Relaxed);
        let mut connection = match kept.take() {
            Some(connection) => connection,
            None => Connection::open(address).await,
        };
        connection.send(delivery(number).bytes()).await;
        let answer = connection.answer().await.unwrap_or_else(|| panic!("{number} was not answered"));
        assert_eq!(answer.status, 200, "{number}");
        if answer.header("connection") != Some("close") {
            kept = Some(connection);
        }
    }
}

async fn restarts_lose_nothing(example: &str) {
    const SENDERS: usize = 8;
    const RESTARTS: usize = 4;
    const EVENTS_EACH: usize = 200;

    let socket = Socket::new(example);
    let (numbers, is_over) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicBool::new(false)));
    let senders: Vec<_> =
        (0..SENDERS).map(|_| tokio::spawn(send(socket.address, Arc::clone(&numbers), Arc::clone(&is_over)))).collect();
    let mut handled = Vec::new();
    for restart in 0..=RESTARTS {
        // This delivery is sent while no program runs, as those of the senders may be.
        let mut early = Connection::open(socket.address).await;
        early.send(delivery(numbers.fetch_add(1, Ordering::Relaxed)).bytes()).await;
        let mut program = socket.start(example);
        assert_eq!(early.answer().await.expect("an answer").status, 200);
        program.until("it is under load", |program| program.lines().len() > EVENTS_EACH);
        if restart == RESTARTS {
            is_over.store(true, Ordering::Relaxed);
            for sender in &senders {
                program.until("the senders are done", |_| sender.is_finished());
            }
            let sent = numbers.load(Ordering::Relaxed);
            program.until("all is handled", |program| handled.len() + program.lines().len() >= sent);
        }
        assert!(program.terminate().success());
        handled.extend(program.lines());
        assert_eq!(program.log().lines().count(), 1, "{}", program.log());
    }
    for sender in senders {
        sender.await.unwrap();
    }
    let sent = numbers.load(Ordering::Relaxed);
    let expected: BTreeSet<_> =
        (0..sent).map(|number| format!("handled person.created {} attempt 1", id(number))).collect();
    // All processes together have handled each event exactly once.
    assert_eq!(handled.len(), sent);
    assert_eq!(handled.into_iter().collect::<BTreeSet<_>>(), expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn restarts_of_axum_lose_nothing() {
    restarts_lose_nothing("inbox_receiver").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn restarts_of_actix_web_lose_nothing() {
    restarts_lose_nothing("actix_inbox").await;
}

/// Checks that a request is answered if its connection was accepted before the signal and the
/// request arrives after it.
async fn is_answered_after_the_signal(example: &str) {
    let socket = Socket::new(&format!("{example}-late"));
    for number in 0..20 {
        let mut program = socket.start(example);
        let mut late = Connection::open(socket.address).await;
        // An incomplete head does not prevent the program from stopping.
        let mut half = Connection::open(socket.address).await;
        half.send("POST / HTTP/1.1\r\n").await;
        // When a later connection has been answered, the earlier ones have been accepted.
        let mut later = Connection::open(socket.address).await;
        later.send(delivery(2 * number).bytes()).await;
        assert!(is_accepted(&later.answer().await.unwrap()));

        program.signal("-TERM");
        let signalled = Instant::now();
        sleep(Duration::from_millis(50)).await;
        late.send(delivery(2 * number + 1).bytes()).await;
        let was_in_time = signalled.elapsed() < Duration::from_millis(500);
        let answer = late.answer().await;
        assert!(program.wait().success());
        // Otherwise the machine is busy, and the request may have arrived too late.
        if was_in_time {
            assert!(is_accepted(&answer.expect("an answer")));
            return;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_was_accepted_is_answered_after_the_signal() {
    for example in ["inbox_receiver", "actix_inbox", "actix_receiver"] {
        is_answered_after_the_signal(example).await;
    }
}

/// Checks the behaviour without systemd: the program refuses new connections instead of resetting
/// them, so a load balancer tries the next instance. A connection that was accepted before is still
/// answered.
async fn refuses_connections_after_the_signal(example: &str) {
    for number in 0..5 {
        let mut program = start(example);
        let address = program.address();
        let mut late = Connection::open(address).await;
        // When a later connection has been answered, this one has been accepted.
        let mut later = Connection::open(address).await;
        later.send(delivery(2 * number).bytes()).await;
        assert!(is_accepted(&later.answer().await.unwrap()));

        program.signal("-TERM");
        let signalled = Instant::now();
        while Connection::try_open(address).await.is_ok() {
            sleep(Duration::from_millis(1)).await;
        }
        late.send(delivery(2 * number + 1).bytes()).await;
        let is_answered = late.answer().await.is_some_and(|answer| is_accepted(&answer));
        assert!(program.wait().success());
        if is_answered {
            return;
        }
        // Otherwise the machine may be busy, and the request may have arrived too late.
        eprintln!("{example}: refused {:?} after the signal", signalled.elapsed());
    }
    panic!("{example} refuses connections only when it closes those that it has");
}

#[tokio::test(flavor = "multi_thread")]
async fn receivers_refuse_connections_after_the_signal() {
    for example in RECEIVERS {
        refuses_connections_after_the_signal(example).await;
    }
}

/// Connections wait in the socket when the program gets the signal, because a frozen program sees
/// both at the same time. Which one it sees first is random, so this is repeated.
#[tokio::test(flavor = "multi_thread")]
async fn receivers_answer_connections_that_wait_in_the_socket_at_the_signal() {
    const CONNECTIONS: usize = 32;

    for _ in 0..6 {
        let mut programs: Vec<_> = RECEIVERS.into_iter().map(|example| (example, start(example))).collect();
        let mut waiting = Vec::new();
        for (example, program) in &mut programs {
            let address = program.address();
            // A program that has answered also handles signals.
            assert!(is_accepted(&post(address, CONNECTIONS).await));
            program.signal("-STOP");
            for number in 0..CONNECTIONS {
                let mut connection = Connection::open(address).await;
                connection.send(delivery(number).bytes()).await;
                waiting.push((*example, connection));
            }
            program.signal("-TERM");
            program.signal("-CONT");
        }
        for (example, connection) in &mut waiting {
            let answer = connection.answer().await;
            assert!(answer.as_ref().is_some_and(is_accepted), "{example}: {answer:?}");
        }
        for (_, program) in &mut programs {
            assert!(program.wait().success());
        }
    }
}

/// For every kind of response, the client does not reuse the connection.
#[tokio::test(flavor = "multi_thread")]
async fn no_connection_is_kept_alive() {
    for example in RECEIVERS {
        let mut program = start(example);
        let address = program.address();
        let requests = [
            delivery(1),
            delivery(1),
            delivery(2).body("{}").changed("content-length", "2"),
            unsigned("").line("GET /health HTTP/1.1"),
            unsigned("").line("GET /nowhere HTTP/1.1"),
        ];
        let mut statuses = Vec::new();
        for request in requests {
            let mut connection = Connection::open(address).await;
            connection.send(request.bytes()).await;
            let answer = connection.answer().await.unwrap();
            assert_eq!(answer.header("connection"), Some("close"), "{example}: {answer:?}");
            assert!(connection.is_closed().await);
            statuses.push(answer.status);
        }
        assert!(matches!(statuses[..], [200 | 202, 200 | 202, 401, 200 | 404, 404]), "{example}: {statuses:?}");
        assert!(program.terminate().success());
    }
}
