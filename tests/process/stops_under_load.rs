//! Stops the example receivers under load: directly, and behind nginx with an upstream that keeps
//! connections alive.
//!
//! `ROUNDS=20 cargo test --all-features --test process stops_under_load:: -- --ignored --nocapture`
//! prints the results of the requests, with each program stopped 20 times in each way.
//! `EXAMPLES=axum_receiver` selects the programs. Build the examples first: `cargo build
//! --all-features --examples`. Without `ROUNDS`, the test does nothing: on a busy machine, a sender
//! can open a connection and then be suspended for longer than the program waits for its request.

use std::{
    collections::BTreeMap,
    fs,
    io::ErrorKind,
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio::{task::block_in_place, time::sleep};
use twenty_webhook::verify::Signer;

use crate::{
    behind_nginx::Nginx,
    support::{
        data_text,
        http1::{Connection, unsigned},
        program::Program,
    },
};

const SECRET: &str = "dev-secret";
const SENDERS: usize = 16;

/// The number of requests for each result.
type Counts = BTreeMap<String, usize>;

/// The state that the senders share.
#[derive(Default)]
struct Load {
    sent: AtomicUsize,
    is_over: AtomicBool,
    counts: Mutex<Counts>,
}

impl Load {
    fn count(&self, what: impl Into<String>) {
        *self.counts.lock().unwrap().entry(what.into()).or_default() += 1;
    }

    /// Posts deliveries one after the other until the load is over or the connection is refused.
    /// Keeps a connection as long as the responses allow it.
    async fn send(self: Arc<Self>, address: SocketAddr) {
        let template = data_text("person.created.json");
        let mut kept = None;
        while !self.is_over.load(Ordering::Relaxed) {
            let number = self.sent.fetch_add(1, Ordering::Relaxed);
            let id = format!("{number:08x}-0000-4000-8000-000000000000");
            let body = template.replace("2e6f6a2f-2f7e-4b0d-9a3b-5b6d1d2c9f01", &id);
            let headers = Signer::new(SECRET).unwrap().sign(&body).pairs();
            let is_kept = kept.is_some();
            let mut connection = match kept.take() {
                Some(connection) => connection,
                None => match Connection::try_open(address).await {
                    Ok(connection) => connection,
                    Err(error) if error.kind() == ErrorKind::ConnectionRefused => return self.count("refused"),
                    Err(error) => {
                        self.count(format!("not connected: {error}"));
                        continue;
                    }
                },
            };
            connection.send(unsigned(body).with_all(headers).bytes()).await;
            match connection.answer().await {
                Some(answer) => {
                    self.count(answer.status.to_string());
                    if answer.header("connection") != Some("close") {
                        kept = Some(connection);
                    }
                    if answer.status == 502 {
                        sleep(Duration::from_millis(20)).await;
                    }
                }
                None if is_kept => self.count("lost on a kept connection"),
                None => self.count("lost on a new connection"),
            }
        }
    }
}

/// The way from the senders to the program.
#[derive(Clone, Copy, Debug)]
enum Path {
    Direct,
    /// Through nginx with one upstream.
    Nginx,
    /// Through nginx with two upstreams, of which one stops.
    NginxOfTwo,
}

fn upstreams(port: u16, upstreams: &[SocketAddr]) -> String {
    let servers: String = upstreams.iter().map(|address| format!("server {address};")).collect();
    format!(
        "upstream receivers {{ {servers} keepalive 16; }}\n\
         server {{ listen 127.0.0.1:{port}; location / {{ proxy_pass http://receivers; proxy_http_version 1.1;\n\
         proxy_set_header Connection \"\"; proxy_connect_timeout 1s; }} }}\n"
    )
}

/// Stops a program under load. Returns `None` if nginx is not installed.
async fn round(example: &str, path: Path, number: usize) -> Option<Counts> {
    let inbox = |name| format!("{}/stops-{example}-{name}-{}.redb", env!("CARGO_TARGET_TMPDIR"), std::process::id());
    let start = |name| Program::start(example, &[], &[("TWENTY_WEBHOOK_SECRET", SECRET), ("INBOX", &inbox(name))]);
    let mut program = start("ends");
    let mut other = matches!(path, Path::NginxOfTwo).then(|| start("stays"));
    let address = program.address();
    let nginx = match path {
        Path::Direct => None,
        Path::Nginx | Path::NginxOfTwo => {
            let addresses: Vec<_> = [address].into_iter().chain(other.as_mut().map(Program::address)).collect();
            Some(Nginx::start(|port| upstreams(port, &addresses)).await?)
        }
    };
    let load = Arc::new(Load::default());
    let entry = nginx.as_ref().map_or(address, |nginx| nginx.address);
    let senders: Vec<_> = (0..SENDERS).map(|_| tokio::spawn(Arc::clone(&load).send(entry))).collect();
    program.until("it is under load", |_| load.sent.load(Ordering::Relaxed) > 300 + 17 * number);
    assert!(block_in_place(|| program.terminate()).success());
    load.is_over.store(true, Ordering::Relaxed);
    for sender in senders {
        sender.await.unwrap();
    }
    let counts = load.counts.lock().unwrap().clone();
    if let Some(other) = &mut other {
        assert!(block_in_place(|| other.terminate()).success());
    }
    // The next process may handle the events that an inbox has accepted.
    if !example.contains("inbox") {
        let accepted: usize = ["200", "202"].iter().filter_map(|status| counts.get(*status)).sum();
        let handled = program.lines().len() + other.as_ref().map_or(0, |other| other.lines().len());
        assert_eq!(handled, accepted, "{example}, {path:?}: {counts:?}");
    }
    // nginx answers 502 without sending the request if it cannot connect to a server.
    let log = nginx.as_ref().map(Nginx::log).unwrap_or_default();
    let refused = log.lines().filter(|line| line.contains("Connection refused")).count();
    let is_allowed = |what: &str, count: usize| match (path, what) {
        (_, "200" | "202") | (Path::Direct, "refused") => true,
        (Path::Nginx, "502") => count == refused,
        _ => false,
    };
    assert!(counts.iter().all(|(what, count)| is_allowed(what, *count)), "{example}, {path:?}: {counts:?}\n{log}");
    for name in ["ends", "stays"] {
        _ = fs::remove_file(inbox(name));
    }
    Some(counts)
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "takes minutes: set ROUNDS"]
async fn no_request_is_lost() {
    let rounds = std::env::var("ROUNDS").map_or(0, |rounds| rounds.parse().unwrap());
    let examples = std::env::var("EXAMPLES");
    let examples = examples.as_deref().unwrap_or("axum_receiver actix_receiver inbox_receiver actix_inbox");
    for example in examples.split(' ') {
        for path in [Path::Direct, Path::Nginx, Path::NginxOfTwo] {
            let mut total = Counts::new();
            for number in 0..rounds {
                let Some(counts) = round(example, path, number).await else {
                    println!("nginx is not installed");
                    break;
                };
                for (what, count) in counts {
                    *total.entry(what).or_default() += count;
                }
            }
            println!("{example}, {rounds} times, {path:?}: {total:?}");
        }
    }
}
