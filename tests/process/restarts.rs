//! The inbox examples, restarted under load, with a socket that stays open meanwhile as systemd's does.
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

fn delivery(number: usize) -> Request {
    let template = data_text("person.created.json");
    let body = template.replace("2e6f6a2f-2f7e-4b0d-9a3b-5b6d1d2c9f01", &id(number));
    let headers = Signer::new(SECRET).unwrap().sign(&body).pairs();
    unsigned(body).with_all(headers)
}

fn id(number: usize) -> String {
    format!("{number:08x}-0000-4000-8000-000000000000")
}

/// A socket that outlives the programs, and where it listens.
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

/// Posts one delivery after the other, until it is over. Keeps a connection for as long as the
/// answers allow it, as axios does. Each must be answered 200.
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
        // Sent while no program runs, like those of the senders, who may be between two.
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
    // In one process after the other, each once.
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

/// A connection that was accepted before the end, whose request comes after it.
async fn is_answered_after_the_signal(example: &str) {
    let socket = Socket::new(&format!("{example}-late"));
    for number in 0..20 {
        let mut program = socket.start(example);
        let mut late = Connection::open(socket.address).await;
        // Keeps no program from ending.
        let mut half = Connection::open(socket.address).await;
        half.send("POST / HTTP/1.1\r\n").await;
        // They are accepted when a later one is answered.
        let mut later = Connection::open(socket.address).await;
        later.send(delivery(2 * number).bytes()).await;
        assert_eq!(later.answer().await.unwrap().status, 200);

        program.signal("-TERM");
        let signalled = Instant::now();
        sleep(Duration::from_millis(50)).await;
        late.send(delivery(2 * number + 1).bytes()).await;
        let was_in_time = signalled.elapsed() < Duration::from_millis(500);
        let answer = late.answer().await;
        assert!(program.wait().success());
        // Otherwise the machine is busy, and the request may have come too late.
        if was_in_time {
            assert_eq!(answer.expect("an answer").status, 200);
            return;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_was_accepted_is_answered_after_the_signal() {
    is_answered_after_the_signal("inbox_receiver").await;
    is_answered_after_the_signal("actix_inbox").await;
}

/// Without systemd: no connection is taken in only to be reset, so a load balancer tries the next
/// instance; and one that was accepted before is still answered.
async fn refuses_connections_after_the_signal(example: &str) {
    for number in 0..5 {
        let inbox = format!("{}/refuses-{example}-{}.redb", env!("CARGO_TARGET_TMPDIR"), std::process::id());
        let variables = [("TWENTY_WEBHOOK_SECRET", SECRET), ("LISTEN_ADDR", "127.0.0.1:0"), ("INBOX", inbox.as_str())];
        let mut program = Program::start(example, &[], &variables);
        let address = program.address();
        let mut late = Connection::open(address).await;
        // It is accepted when a later one is answered.
        let mut later = Connection::open(address).await;
        later.send(delivery(2 * number).bytes()).await;
        assert_eq!(later.answer().await.unwrap().status, 200);

        program.signal("-TERM");
        let signalled = Instant::now();
        while Connection::try_open(address).await.is_ok() {
            sleep(Duration::from_millis(1)).await;
        }
        late.send(delivery(2 * number + 1).bytes()).await;
        let is_answered = late.answer().await.is_some_and(|answer| answer.status == 200);
        assert!(program.wait().success());
        if is_answered {
            return;
        }
        // Otherwise the machine may be busy, and the request have come too late.
        eprintln!("{example}: refused {:?} after the signal", signalled.elapsed());
    }
    panic!("{example} refuses connections only when it closes those that it has");
}

#[tokio::test(flavor = "multi_thread")]
async fn axum_receivers_refuse_connections_after_the_signal() {
    for example in ["axum_receiver", "event_router", "header_deadline", "metrics", "inbox_receiver"] {
        refuses_connections_after_the_signal(example).await;
    }
}

/// Whatever the answer is, a client does not use the connection again.
#[tokio::test(flavor = "multi_thread")]
async fn no_connection_is_kept_alive() {
    let closes = |answer: Answer, status: u16| {
        assert_eq!((answer.status, answer.header("connection")), (status, Some("close")), "{answer:?}");
    };
    for example in ["inbox_receiver", "actix_inbox"] {
        let socket = Socket::new(&format!("{example}-connections"));
        let mut program = socket.start(example);
        let requests = [
            (delivery(1), 200),
            (delivery(1), 200),
            (delivery(2).body("{}").changed("content-length", "2"), 401),
            (unsigned("").line("GET /health HTTP/1.1"), 200),
            (unsigned("").line("GET /nowhere HTTP/1.1"), 404),
        ];
        for (request, status) in requests {
            let mut connection = Connection::open(socket.address).await;
            connection.send(request.bytes()).await;
            closes(connection.answer().await.unwrap(), status);
            assert!(connection.is_closed().await);
        }
        assert!(program.terminate().success());
    }
}
