//! Servers over loopback: one core for the sender, the other for the server.

use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

use crate::{
    delivery::{self, SECRET},
    load::{Requests, Run, send, status_of},
    process::{self, Redis, Server},
    serve::ROUTES,
};

/// The numbers of connections and of rounds, and the requests to each route in a round.
const RUNS: [(usize, usize, usize); 2] = [(32, 60, 2_500), (1_000, 16, 10_000)];
/// The routes that are also measured with wrk.
const CROSS_CHECKED: [&str; 4] = ["axum-bytes", "axum-value", "axum-person", "actix-person"];

pub fn run() -> Value {
    process::pin(process::SENDER);
    process::allow_connections();
    let redis = Redis::start(process::SENDER);
    // Each delivery is sent once, because a duplicate would not be handled.
    let mut sent = 0;
    let results = RUNS.map(|(connections, rounds_count, requests)| {
        let servers = ROUTES.map(|route| (route, Server::start(route, &redis.url())));
        for (route, server) in &servers {
            must_refuse_forgeries(route, server);
        }
        let mut rounds = Vec::new();
        for round in 0..rounds_count {
            eprintln!("end to end: {connections} connections, round {} of {rounds_count}", round + 1);
            let twenty = Requests::signed(sent, requests, by_twenty);
            let standard = Requests::signed(sent, requests, by_standard);
            sent += requests as u64;
            let mut figures = serde_json::Map::new();
            for turn in 0..servers.len() {
                let (route, server) = &servers[(round + turn) % servers.len()];
                let requests = if is_standard(route) { &standard } else { &twenty };
                let run = send(requests, server, connections);
                figures.insert((*route).to_owned(), figures_of(&run));
            }
            rounds.push(Value::Object(figures));
        }
        let peak_rss: serde_json::Map<_, _> =
            servers.iter().map(|(route, server)| ((*route).to_owned(), json!(server.process.peak_rss()))).collect();
        json!({ "connections": connections, "requests": requests, "rounds": rounds, "peak_rss": peak_rss })
    });
    // Both routes with Redis have claimed all deliveries, and the one of the check.
    assert_eq!(redis.keys(), 2 * (sent + 1), "deliveries that Redis remembers");
    json!({ "body_bytes": delivery::recorded("person.created").len(), "runs": results, "wrk": cross_check() })
}

fn by_twenty(body: &[u8]) -> Vec<(String, String)> {
    delivery::twenty(SECRET, body)
}

fn by_standard(body: &[u8]) -> Vec<(String, String)> {
    delivery::standard("webhook", SECRET, body)
}

fn by_nobody(body: &[u8]) -> Vec<(String, String)> {
    [delivery::twenty("another secret", body), delivery::standard("webhook", "another secret", body)].concat()
}

fn is_standard(route: &str) -> bool {
    route.ends_with("standardwebhooks")
}

/// Checks that a route that verifies accepts a genuine delivery and rejects a forged one.
fn must_refuse_forgeries(route: &str, server: &Server) {
    let scheme = if is_standard(route) { by_standard } else { by_twenty };
    // This delivery does not count in the results.
    let genuine = Requests::signed(u64::from(u32::MAX), 1, scheme);
    assert_eq!(status_of(genuine.get(0), server.address), 200, "{route} refuses a genuine delivery");
    let forged = Requests::signed(0, 1, by_nobody);
    let status = status_of(forged.get(0), server.address);
    let expected = match route.split_once('-') {
        Some((_, "bytes" | "value")) => 200,
        Some((_, "standardwebhooks")) => 400,
        _ => 401,
    };
    assert_eq!(status, expected, "{route}'s answer to a forged delivery");
}

fn figures_of(run: &Run) -> Value {
    let count = run.latencies.len() as f64;
    let seconds = run.elapsed.as_secs_f64();
    json!({
        "requests_per_second": count / seconds,
        "server_cpu_us": run.server_cpu.as_secs_f64() * 1e6 / count,
        "server_cpu_share": run.server_cpu.as_secs_f64() / seconds,
        "sender_share": 1.0 - run.waited.as_secs_f64() / seconds,
        "p50_us": run.latency(0.50) as f64 / 1e3,
        "p99_us": run.latency(0.99) as f64 / 1e3,
    })
}

/// Measures the same routes with wrk, an independent sender. It repeats deliveries, so routes that
/// deduplicate are left out.
fn cross_check() -> Value {
    const CONNECTIONS: usize = 32;
    let directory = std::env::temp_dir().join(format!("twenty-webhook-wrk-{}", std::process::id()));
    std::fs::create_dir_all(&directory).expect("a directory");
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("deliveries.lua");
    let mut figures = Vec::new();
    for round in 0..3 {
        let requests = Requests::signed(0, 20_000, by_twenty);
        let repeated = directory.join("requests");
        let lines = (0..1_000).map(|index| requests.get(index));
        std::fs::write(&repeated, lines.collect::<Vec<_>>().concat()).expect("written");
        for route in CROSS_CHECKED {
            eprintln!("end to end: wrk, round {}, {route}", round + 1);
            let server = Server::start(route, "");
            let own = figures_of(&send(&requests, &server, CONNECTIONS));
            let before = server.process.cpu();
            let output = Command::new("wrk")
                .args(["--threads", "1", "--connections", &CONNECTIONS.to_string(), "--duration", "1s", "--script"])
                .arg(&script)
                .arg(format!("http://{}", server.address))
                .arg("--")
                .arg(&repeated)
                .output()
                .expect("wrk (Debian package wrk) is needed");
            let cpu = server.process.cpu() - before;
            let output = String::from_utf8_lossy(&output.stdout).into_owned();
            let number = |label: &str| -> f64 {
                let line = output.lines().find_map(|line| line.strip_prefix(label));
                line.and_then(|line| line.trim().parse().ok()).unwrap_or_else(|| panic!("no {label} in {output}"))
            };
            assert_eq!(number("failed:"), 0.0, "{output}");
            let wrk = json!({
                "requests_per_second": number("requests:") / number("seconds:"),
                "server_cpu_us": cpu.as_secs_f64() * 1e6 / number("requests:"),
            });
            figures.push(json!({ "route": route, "own": own, "wrk": wrk }));
        }
    }
    let _ = std::fs::remove_dir_all(directory);
    Value::Array(figures)
}
