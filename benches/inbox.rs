//! Measures the inbox in a file:
//!
//! - `accepts`: many deliveries at a time, compared with commits of redb.
//! - `connections`: the rates over 1 to 1,000 connections.
//! - `one-connection`: the latency of one delivery at a time, compared with commits of redb.
//! - `worker`: the CPU time of a worker.
//! - `million`: an inbox with a million pending events, whose file has more than 2 GB.
//!
//! ```sh
//! cargo bench --bench inbox --features axum,redb                  # everything
//! cargo bench --bench inbox --features axum,redb -- accepts connections one-connection worker million
//! ```

#[path = "support/inbox.rs"]
mod inbox;
mod support;

use std::{
    collections::BTreeMap,
    fs,
    io::{BufRead as _, BufReader},
    net::SocketAddr,
    path::Path,
    process::{Command, Stdio},
    time::Instant,
};

use axum::{Router, routing::post};
use bytes::Bytes;
use inbox::{
    Directory, IN_FLIGHT, ROUNDS, accept_rate, body, compare_cpu_of_accept_and_worker, compare_takes, median,
    resident_memory, verified,
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
};
use twenty_webhook::{
    inbox::{Inbox, InboxBuilder},
    tower::WebhookLayer,
};

/// The variable that is set for the process that fills a file. Its value is the path of the file.
const FILL: &str = "INBOX_BENCH_FILL";

const MILLION: usize = 1_000_000;

/// A database of redb without an inbox. Each commit stores one row on disk.
struct Bare(redb::Database);

impl Bare {
    const EVENTS: redb::TableDefinition<'_, u64, &[u8]> = redb::TableDefinition::new("events");

    fn create(path: &Path) -> Self {
        let mut builder = redb::Builder::new();
        builder.set_concurrency_mode(redb::ConcurrencyMode::SingleWriter);
        Self(builder.set_cache_size(InboxBuilder::DEFAULT_CACHE_SIZE).create(path).unwrap())
    }

    fn commit(&self, number: usize, body: &[u8]) {
        let mut transaction = self.0.begin_write().unwrap();
        transaction.set_quick_repair(true);
        transaction.open_table(Self::EVENTS).unwrap().insert(number as u64, body).unwrap();
        transaction.commit().unwrap();
    }
}

const PATH: &str = "/webhooks/twenty";

/// The path of a route that only reads the body.
const BARE_PATH: &str = "/bare";

/// Starts a receiver on loopback, without a worker.
async fn serve(inbox: Inbox) -> SocketAddr {
    let layer = WebhookLayer::new(support::verifier(&[support::SECRET]));
    let app = Router::new().route(PATH, post(inbox).layer(layer)).route(BARE_PATH, post(async |_: Bytes| ()));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async { axum::serve(listener, app).await });
    address
}

/// Returns the bytes of a signed request.
fn request(path: &str, number: usize) -> Bytes {
    let body = body(number);
    let headers = support::headers(&body);
    let headers: String = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    let head = format!("POST {path} HTTP/1.1\r\n{headers}content-length: {}\r\n\r\n", body.len());
    [head.as_bytes(), &body].concat().into()
}

async fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).await.unwrap();
    stream.set_nodelay(true).unwrap();
    stream
}

/// Sends a request and waits for the response, which must be 200.
async fn deliver(stream: &mut TcpStream, request: &[u8]) {
    stream.write_all(request).await.unwrap();
    let mut answer = [0; 1_024];
    let mut len = 0;
    // The inbox's response has no body.
    while !answer[..len].ends_with(b"\r\n\r\n") {
        let read = stream.read(&mut answer[len..]).await.unwrap();
        assert!(read > 0, "{}", String::from_utf8_lossy(&answer[..len]));
        len += read;
    }
    assert!(answer.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&answer[..len]));
}

/// Returns the deliveries per second over this number of connections.
async fn delivery_rate(address: SocketAddr, connections: usize, requests: Vec<Bytes>) -> f64 {
    let count = requests.len();
    let mut streams = Vec::new();
    for chunk in requests.chunks(count.div_ceil(connections)) {
        streams.push((connect(address).await, chunk.to_vec()));
    }
    let begun = Instant::now();
    let tasks: Vec<_> = streams
        .into_iter()
        .map(|(mut stream, requests)| {
            tokio::spawn(async move {
                for request in requests {
                    deliver(&mut stream, &request).await;
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    count as f64 / begun.elapsed().as_secs_f64()
}

async fn accepts(numbers: &mut impl Iterator<Item = usize>) {
    const EVENTS: usize = 20_000;
    const COMMITS: usize = 1_000;

    let directory = Directory::new();
    let inbox = Inbox::open(directory.0.join("inbox.redb")).unwrap();
    let bare = Bare::create(&directory.0.join("bare.redb"));
    let verifier = support::verifier(&[support::SECRET]);
    let address = serve(inbox.clone()).await;
    let (mut end_to_end, mut over_commits) = (Vec::new(), Vec::new());
    for round in 0..ROUNDS {
        let events = numbers.by_ref().take(EVENTS).map(|number| verified(&verifier, number)).collect();
        let accepts = accept_rate(&inbox, events).await;
        let requests = numbers.by_ref().take(EVENTS).map(|number| request(PATH, number)).collect();
        let delivered = delivery_rate(address, IN_FLIGHT, requests).await;
        let begun = Instant::now();
        numbers.by_ref().take(COMMITS).for_each(|number| bare.commit(number, &body(number)));
        let commits = COMMITS as f64 / begun.elapsed().as_secs_f64();
        println!("round {round}: axum {delivered:.0}/s, accepts {accepts:.0}/s, commits of one event {commits:.0}/s");
        end_to_end.push(delivered / accepts);
        over_commits.push(accepts / commits);
    }
    println!("axum over 64 connections ÷ accepts alone: {:.2} (target: at least 0.7)", median(end_to_end));
    println!("accepts ÷ commits of one event each: {:.1} (target: at least 5)", median(over_commits));
}

/// Measures the rates over 1 to 1,000 connections, and those of a route that only reads the body.
/// Prints one line of JSON: for each round, a map from the number of connections to the rates.
async fn connections(numbers: &mut impl Iterator<Item = usize>) {
    const COUNTS: [usize; 6] = [1, 4, 16, 64, 256, 1_000];
    const EVENTS_EACH: usize = 400;
    const EVENTS: usize = 20_000;

    let directory = Directory::new();
    let inbox = Inbox::builder().max_pending(2 * MILLION as u64).open(directory.0.join("inbox.redb")).unwrap();
    let address = serve(inbox).await;
    let mut rounds = Vec::new();
    for round in 0..ROUNDS {
        let mut rates = BTreeMap::new();
        for connections in COUNTS {
            let events = EVENTS.min(EVENTS_EACH * connections);
            let mut of_path = BTreeMap::new();
            for path in [BARE_PATH, PATH] {
                let requests = numbers.by_ref().take(events).map(|number| request(path, number)).collect();
                of_path.insert(path, delivery_rate(address, connections, requests).await);
            }
            eprintln!("round {round}, {connections} connections: {of_path:.0?}");
            rates.insert(connections, of_path);
        }
        rounds.push(rates);
    }
    println!("{}", serde_json::json!(rounds));
}

async fn one_connection(numbers: &mut impl Iterator<Item = usize>) {
    const DELIVERIES: usize = 200;

    let directory = Directory::new();
    let inbox = Inbox::open(directory.0.join("inbox.redb")).unwrap();
    let bare = Bare::create(&directory.0.join("bare.redb"));
    let mut stream = connect(serve(inbox).await).await;
    let (mut answered, mut committed) = (Vec::new(), Vec::new());
    for _ in 0..2 * ROUNDS {
        for number in numbers.by_ref().take(DELIVERIES) {
            let request = request(PATH, number);
            let begun = Instant::now();
            deliver(&mut stream, &request).await;
            answered.push(begun.elapsed().as_secs_f64() * 1e6);
        }
        for number in numbers.by_ref().take(DELIVERIES) {
            let body = body(number);
            let begun = Instant::now();
            bare.commit(number, &body);
            committed.push(begun.elapsed().as_secs_f64() * 1e6);
        }
    }
    let [answered, committed] = [answered, committed].map(median);
    println!(
        "one connection: {answered:.0} µs to a 200, {committed:.0} µs for a commit of redb, ratio {:.2} (target: at most 2)",
        answered / committed
    );
}

async fn worker(numbers: &mut impl Iterator<Item = usize>) {
    let directory = Directory::new();
    let inbox = Inbox::open(directory.0.join("inbox.redb")).unwrap();
    compare_cpu_of_accept_and_worker(&inbox, numbers).await;
}

/// Fills a file, prints how much memory this process used for it, and waits until it is killed.
async fn fill(path: &str) {
    let verifier = support::verifier(&[support::SECRET]);
    let before = resident_memory();
    let inbox = Inbox::builder().max_bytes(8 << 30).max_pending(2 * MILLION as u64).open(path).unwrap();
    for first in (0..MILLION).step_by(1_000) {
        accept_rate(&inbox, (first..first + 1_000).map(|number| verified(&verifier, number)).collect()).await;
    }
    println!("filled {} KiB", resident_memory() - before);
    std::future::pending::<()>().await;
}

async fn million(numbers: &mut impl Iterator<Item = usize>) {
    let directory = Directory::new();
    let path = directory.0.join("many.redb");
    let mut child =
        Command::new(std::env::current_exe().unwrap()).env(FILL, &path).stdout(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    child.kill().unwrap();
    child.wait().unwrap();
    let filled: u64 = line.trim().trim_start_matches("filled ").trim_end_matches(" KiB").parse().unwrap();
    println!("memory used to store a million events: {:.1} MB (target: at most 64)", filled as f64 / 1024.0);

    let size = fs::metadata(&path).unwrap().len() as f64 / 1e9;
    let before = resident_memory();
    let begun = Instant::now();
    let many = Inbox::builder().max_bytes(8 << 30).max_pending(2 * MILLION as u64).open(&path).unwrap();
    println!("opening {size:.2} GB after SIGKILL: {:.3} s (target: at most 1)", begun.elapsed().as_secs_f64());
    println!("pending: {}", many.stats().await.unwrap().ready);
    let few = Inbox::open(directory.0.join("few.redb")).unwrap();
    let verifier = support::verifier(&[support::SECRET]);
    compare_takes(&few, &many, || verified(&verifier, numbers.next().unwrap())).await;
    let grown = resident_memory().saturating_sub(before) as f64 / 1024.0;
    println!("memory used by both inboxes to handle events with a million pending: {grown:.1} MB");
}

#[tokio::main]
async fn main() {
    if let Ok(path) = std::env::var(FILL) {
        return fill(&path).await;
    }
    let wanted: Vec<_> = std::env::args().skip(1).filter(|argument| !argument.starts_with("--")).collect();
    let is_wanted = |name: &str| wanted.is_empty() || wanted.iter().any(|wanted| wanted == name);
    // Each event gets a new number, so no event is a duplicate.
    let mut numbers = 2 * MILLION..;
    if is_wanted("accepts") {
        accepts(&mut numbers).await;
    }
    if is_wanted("connections") {
        connections(&mut numbers).await;
    }
    if is_wanted("one-connection") {
        one_connection(&mut numbers).await;
    }
    if is_wanted("worker") {
        worker(&mut numbers).await;
    }
    if is_wanted("million") {
        million(&mut numbers).await;
    }
}
