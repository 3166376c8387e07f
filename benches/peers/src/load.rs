//! A sender of prepared requests, over connections that are kept alive, with one request at a time
//! on each.

use std::io::{ErrorKind, Read, Write};
use std::net::SocketAddr;
use std::ops::Range;
use std::time::{Duration, Instant};

use mio::{Events, Interest, Poll, Token, net::TcpStream};

use crate::{delivery, process::Server, serve::PATH};

/// Longer than any request takes.
const PATIENCE: Duration = Duration::from_secs(20);

/// Requests, ready to be written.
#[derive(Default)]
pub struct Requests {
    bytes: Vec<u8>,
    ranges: Vec<Range<usize>>,
}

impl Requests {
    /// Returns `count` different persons, signed now by `scheme`. Their ids begin with `first`.
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

/// The result of sending.
pub struct Run {
    pub elapsed: Duration,
    pub server_cpu: Duration,
    /// How long the sender had nothing to do.
    pub waited: Duration,
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

/// Sends all requests over `connections` and expects 200 for each. The first tenth warms up and
/// does not count.
///
/// The sender does not sleep while it waits: otherwise the server would spend time to wake it, above
/// all in a virtual machine, and this time would count as the server's.
pub fn send(requests: &Requests, server: &Server, connections: usize) -> Run {
    let mut poll = Poll::new().expect("a selector");
    let mut open: Vec<_> = (0..connections).map(|index| connect(&poll, requests.get(index), server, index)).collect();
    let mut buffer = [0; 4096];
    let mut events = Events::with_capacity(1024);
    let warm_up = connections + requests.len() / 10;
    let mut latencies = Vec::with_capacity(requests.len() - warm_up);
    let mut start = None;
    let mut waited = Duration::ZERO;
    let (mut next, mut answered) = (connections, connections);
    for connection in &mut open {
        post(connection, requests.get(next));
        next += 1;
    }
    while answered < requests.len() {
        let waiting = Instant::now();
        loop {
            poll.poll(&mut events, Some(Duration::ZERO)).expect("polled");
            if !events.is_empty() {
                break;
            }
            // Redis may run on this core.
            std::thread::yield_now();
            let is_late = waiting.elapsed() >= PATIENCE;
            assert!(!is_late, "{}: {answered} answers to {} requests", server.route, requests.len());
        }
        if start.is_some() {
            waited += waiting.elapsed();
        }
        for event in &events {
            let connection = &mut open[event.token().0];
            if !event.is_readable() || !has_answer(&mut connection.stream, &mut connection.answer, &mut buffer) {
                continue;
            }
            take_answer(&mut connection.answer, server);
            answered += 1;
            if answered > warm_up {
                latencies.push(connection.sent.elapsed().as_nanos() as u64);
            } else if answered == warm_up {
                start = Some((Instant::now(), server.process.cpu()));
            }
            if next < requests.len() {
                post(connection, requests.get(next));
                next += 1;
            }
        }
    }
    let (time, server_cpu) = start.expect("more requests than warm up");
    let elapsed = time.elapsed();
    latencies.sort_unstable();
    Run { elapsed, server_cpu: server.process.cpu() - server_cpu, waited, latencies }
}

/// Connects, and waits for the answer to a first request. If more connections are opened at once
/// than fit into the server's queue, some are dropped and retried only after a second.
fn connect(poll: &Poll, first: &[u8], server: &Server, index: usize) -> Connection {
    let mut stream = std::net::TcpStream::connect(server.address).expect("connected");
    stream.set_nodelay(true).expect("a socket");
    stream.write_all(first).expect("written");
    let mut answer = Vec::with_capacity(256);
    while !has_answer(&mut stream, &mut answer, &mut [0; 4096]) {}
    take_answer(&mut answer, server);
    stream.set_nonblocking(true).expect("a socket");
    let mut stream = TcpStream::from_std(stream);
    poll.registry().register(&mut stream, Token(index), Interest::READABLE).expect("registered");
    Connection { stream, sent: Instant::now(), answer }
}

/// Sends a request. It is small and the connection is idle, so the socket accepts it in one write.
fn post(connection: &mut Connection, request: &[u8]) {
    connection.sent = Instant::now();
    let written = connection.stream.write(request).expect("written");
    assert_eq!(written, request.len(), "written in part");
}

/// Reads, and returns whether the answer, which has no body, is complete.
fn has_answer(stream: &mut impl Read, answer: &mut Vec<u8>, buffer: &mut [u8]) -> bool {
    match stream.read(buffer) {
        Ok(0) => panic!("the server closed a connection"),
        Ok(read) => answer.extend_from_slice(&buffer[..read]),
        Err(error) if error.kind() == ErrorKind::WouldBlock => return false,
        Err(error) => panic!("{error}"),
    }
    answer.ends_with(b"\r\n\r\n")
}

/// Checks that the status is 200, and clears the buffer for the next answer.
fn take_answer(answer: &mut Vec<u8>, server: &Server) {
    assert!(answer.starts_with(b"HTTP/1.1 200"), "{}: {}", server.route, String::from_utf8_lossy(answer));
    answer.clear();
}

/// Sends one request over its own connection, and returns the status.
pub fn status_of(request: &[u8], address: SocketAddr) -> u16 {
    let mut stream = std::net::TcpStream::connect(address).expect("connected");
    stream.set_read_timeout(Some(PATIENCE)).expect("a socket");
    stream.write_all(request).expect("written");
    let mut head = [0; 12];
    stream.read_exact(&mut head).expect("a status line");
    String::from_utf8_lossy(&head[9..]).parse().expect("a status")
}
