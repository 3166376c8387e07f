//! Measures how much memory unauthenticated clients can occupy. Each connection declares 2 MiB,
//! sends 16 KiB, and stalls.

use std::io::Write;
use std::net::TcpStream;
use std::time::Duration;

use serde_json::{Value, json};

use crate::{
    delivery::{self, SECRET},
    load::{Requests, status_of},
    process::{self, Server},
    serve::PATH,
};

const ROUTES: [&str; 4] = ["axum-bytes", "axum-layer", "actix-bytes", "actix-layer"];
const CONNECTIONS: usize = 1_000;
const DECLARED: usize = 2 << 20;
const SENT: usize = 16 << 10;
const ROUNDS: usize = 5;

pub fn run() -> Value {
    process::pin(process::SENDER);
    process::allow_connections();
    let mut rounds = Vec::new();
    for round in 0..ROUNDS {
        eprintln!("stalled: round {} of {ROUNDS}", round + 1);
        rounds.push(
            ROUTES.into_iter().map(|route| (route.to_owned(), json!(bytes_a_connection(route)))).collect::<Value>(),
        );
    }
    json!({ "connections": CONNECTIONS, "declared": DECLARED, "sent": SENT, "rounds": rounds })
}

/// Returns how much a stalled connection adds to the server's peak memory, in bytes.
fn bytes_a_connection(route: &str) -> f64 {
    let server = Server::start(route, "");
    // The memory that the first request of any kind takes is not counted.
    let first = Requests::signed(0, 1, |body| delivery::twenty(SECRET, body));
    assert_eq!(status_of(first.get(0), server.address), 200);
    std::thread::sleep(Duration::from_millis(300));
    let before = server.process.rss();
    let signature = delivery::twenty(SECRET, b"").into_iter().map(|(name, value)| format!("{name}: {value}\r\n"));
    let head = format!(
        "POST {PATH} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: {DECLARED}\r\n{}\r\n",
        signature.collect::<String>()
    );
    let files = server.process.open_files();
    let mut stalled = Vec::with_capacity(CONNECTIONS);
    for index in 0..CONNECTIONS {
        // The queue of connections that are not accepted yet holds 128, and drops further ones.
        while server.process.open_files() + 64 < files + index {
            std::thread::yield_now();
        }
        let mut stream = TcpStream::connect(server.address).expect("connected");
        stream.write_all(head.as_bytes()).expect("written");
        stream.write_all(&[b' '; SENT]).expect("written");
        stalled.push(stream);
    }
    // Waits until the server has read everything, long before its deadline for the rest.
    let mut peak = 0;
    loop {
        std::thread::sleep(Duration::from_millis(300));
        let now = server.process.peak_rss();
        if now == peak {
            break;
        }
        peak = now;
    }
    assert_eq!(server.process.open_files(), files + CONNECTIONS, "{route} must accept all connections");
    drop(stalled);
    (peak - before) as f64 / CONNECTIONS as f64
}
