//! A sender: requests made beforehand, over connections that are kept alive, each with one request at a time.

use std::io::{ErrorKind, Read, Write};
use std::net::SocketAddr;
use std::ops::Range;
use std::time::{Duration, Instant};

use mio::{Events, Interest, Poll, Token, net::TcpStream};

use crate::{
    delivery,
    process::{Server, cpu_of},
    serve::PATH,
};

/// Long beyond what any request takes.
const PATIENCE: Duration = Duration::from_secs(20);

/// Requests, ready to be written.
#[derive(Default)]
pub struct Requests {
    bytes: Vec<u8>,
    ranges: Vec<Range<usize>>,
}

impl Requests {
    /// `count` persons, no two alike, signed now by `scheme`. Ids are counted from `first`.
    pub fn signed(first: u64, count: usize, scheme: fn(&[u8]) -> Vec<(String, String)>) -> Self {
        let template = delivery::recorded("person.created");
        const ID: &[u8] = b"2e6f6a2f-2f7e-4b0d-9a3b-5b6d1d2c9f01";
        let id = template.windows(ID.len()).position(|window| window == ID).expect("the record's id");
        let mut body = template.to_vec();
        let mut requests = Self::default();
        for number in (first..).take(count) {
            body[id..][..ID.len()].copy_from_slice(format!("2e6f6a2f-2f7e-4b0d-9a3b-{number:012x}").as_bytes());
            requests.push(&delivery::request_headers(&scheme(&body), &body), &body);
        }
        requests
    }

    pub fn push(&mut self, headers: &http::HeaderMap, body: &[u8]) {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(format!("POST {PATH} HTTP/1.1\r\n").as_bytes());
        for (name, value) in headers {
            for part in [name.as_str().as_bytes(), b": ", value.as_bytes(), b"\r\n"] {
                self.bytes.extend_from_slice(part);
            }
        }
        self.bytes.extend_from_slice(b"\r\n");
        self.bytes.extend_from_slice(body);
        self.ranges.push(start..self.bytes.len());
    }

    pub fn len(&self) -> usize {
        self.ranges.len()
    }

    pub fn get(&self, index: usize) -> &[u8] {
        &self.bytes[self.ranges[index].clone()]
    }
}

/// What sending came to.
pub struct Run {
    pub elapsed: Duration,
    pub server_cpu: Duration,
    pub sender_cpu: Duration,
    /// In nanoseconds, sorted.
    pub latencies: Vec<u64>,
}

impl Run {
    pub fn latency(&self, share: f64) -> u64 {
        self.latencies[((self.latencies.len() - 1) as f64 * share) as usize]
    }
}

struct Connection {
    stream: TcpStream,
    sent: Instant,
    answer: Vec<u8>,
}

/// Sends all requests over `connections` and expects 200 for each. The first tenth warms up and does not count.
pub fn send(requests: &Requests, server: &Server, connections: usize) -> Run {
    let mut poll = Poll::new().expect("a selector");
    let mut open = connect(&poll, server.address, connections);
    let mut events = Events::with_capacity(1024);
    let warm_up = (requests.len() / 10).max(connections);
    let mut latencies = Vec::with_capacity(requests.len() - warm_up);
    let mut buffer = [0; 4096];
    let mut start = None;
    let (mut next, mut answered) = (0, 0);
    for connection in &mut open {
        post(connection, requests.get(next));
        next += 1;
    }
    while answered < requests.len() {
        poll.poll(&mut events, Some(PATIENCE)).expect("polled");
        assert!(!events.is_empty(), "{}: {answered} answers to {} requests", server.route, requests.len());
        for event in &events {
            let connection = &mut open[event.token().0];
            if !event.is_readable() || !has_answer(connection, &mut buffer) {
                continue;
            }
            let answer = String::from_utf8_lossy(&connection.answer);
            assert!(answer.starts_with("HTTP/1.1 200"), "{}: {answer}", server.route);
            connection.answer.clear();
            answered += 1;
            if answered > warm_up {
                latencies.push(connection.sent.elapsed().as_nanos() as u64);
            } else if answered == warm_up {
                start = Some((Instant::now(), server.process.cpu(), cpu_of(std::process::id())));
            }
            if next < requests.len() {
                post(connection, requests.get(next));
                next += 1;
            }
        }
    }
    let (time, server_cpu, sender_cpu) = start.expect("more requests than warm up");
    let elapsed = time.elapsed();
    latencies.sort_unstable();
    Run {
        elapsed,
        server_cpu: server.process.cpu() - server_cpu,
        sender_cpu: cpu_of(std::process::id()) - sender_cpu,
        latencies,
    }
}

fn connect(poll: &Poll, address: SocketAddr, count: usize) -> Vec<Connection> {
    let connection = |index| {
        let stream = std::net::TcpStream::connect(address).expect("connected");
        stream.set_nodelay(true).expect("a socket");
        stream.set_nonblocking(true).expect("a socket");
        let mut stream = TcpStream::from_std(stream);
        poll.registry().register(&mut stream, Token(index), Interest::READABLE).expect("registered");
        Connection { stream, sent: Instant::now(), answer: Vec::with_capacity(256) }
    };
    (0..count).map(connection).collect()
}

/// A request is small, and nothing is under way on its connection: the socket takes it at once.
fn post(connection: &mut Connection, request: &[u8]) {
    connection.sent = Instant::now();
    let written = connection.stream.write(request).expect("written");
    assert_eq!(written, request.len(), "written in part");
}

/// Reads, and says whether the answer is complete: it has no body.
fn has_answer(connection: &mut Connection, buffer: &mut [u8]) -> bool {
    match connection.stream.read(buffer) {
        Ok(0) => panic!("the server closed a connection"),
        Ok(read) => connection.answer.extend_from_slice(&buffer[..read]),
        Err(error) if error.kind() == ErrorKind::WouldBlock => return false,
        Err(error) => panic!("{error}"),
    }
    connection.answer.ends_with(b"\r\n\r\n")
}

/// Sends one request over a connection of its own, and returns the status.
pub fn status_of(request: &[u8], address: SocketAddr) -> u16 {
    let mut stream = std::net::TcpStream::connect(address).expect("connected");
    stream.set_read_timeout(Some(PATIENCE)).expect("a socket");
    stream.write_all(request).expect("written");
    let mut head = [0; 12];
    stream.read_exact(&mut head).expect("a status line");
    String::from_utf8_lossy(&head[9..]).parse().expect("a status")
}
