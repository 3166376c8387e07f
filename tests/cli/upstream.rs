//! A receiver that records requests byte for byte and gives configured responses.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{TcpListener, TcpStream},
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::Duration,
};

/// A recorded request.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    pub(crate) line: String,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Request {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let mut values = self.headers.iter().filter(|(n, _)| n.eq_ignore_ascii_case(name));
        let value = values.next().map(|(_, value)| value.as_str());
        assert!(values.next().is_none(), "{name} more than once");
        value
    }
}

#[derive(Default)]
struct State {
    requests: Mutex<Vec<Request>>,
    under_way: AtomicUsize,
    most_at_once: AtomicUsize,
}

pub(crate) struct Upstream {
    pub(crate) url: String,
    state: Arc<State>,
}

impl Upstream {
    /// Starts a receiver that answers each request with this status after a while.
    pub(crate) fn start(status: u16, after: Duration) -> Self {
        Self::serve("http", status, after, |stream| stream)
    }

    /// Starts a receiver that waits until this many requests are open before it answers.
    pub(crate) fn start_for(at_once: usize, status: u16, after: Duration) -> Self {
        Self::serve_for(at_once, "http", status, after, |stream| stream)
    }

    /// Starts a receiver that converts each connection, for example to TLS.
    pub(crate) fn serve<S: Read + Write>(
        scheme: &str,
        status: u16,
        after: Duration,
        wrap: impl Fn(TcpStream) -> S + Clone + Send + 'static,
    ) -> Self {
        Self::serve_for(0, scheme, status, after, wrap)
    }

    fn serve_for<S: Read + Write>(
        awaited: usize,
        scheme: &str,
        status: u16,
        after: Duration,
        wrap: impl Fn(TcpStream) -> S + Clone + Send + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("{scheme}://localhost:{}/hooks?token=a", listener.local_addr().unwrap().port());
        let state = Arc::new(State::default());
        let shared = Arc::clone(&state);
        // The threads end with the test program.
        thread::spawn(move || {
            for stream in listener.incoming() {
                let (state, wrap) = (Arc::clone(&shared), wrap.clone());
                thread::spawn(move || {
                    let mut stream = BufReader::new(wrap(stream.unwrap()));
                    while let Some(request) = read(&mut stream) {
                        let at_once = state.under_way.fetch_add(1, Ordering::SeqCst) + 1;
                        state.most_at_once.fetch_max(at_once, Ordering::SeqCst);
                        state.requests.lock().unwrap().push(request);
                        while state.most_at_once.load(Ordering::SeqCst) < awaited {
                            thread::sleep(Duration::from_millis(1));
                        }
                        thread::sleep(after);
                        state.under_way.fetch_sub(1, Ordering::SeqCst);
                        let answer = format!("HTTP/1.1 {status} Whatever\r\ncontent-length: 2\r\n\r\nhi");
                        // The sender may have closed the connection.
                        let _ = stream.get_mut().write_all(answer.as_bytes());
                        let _ = stream.get_mut().flush();
                    }
                });
            }
        });
        Self { url, state }
    }

    pub(crate) fn requests(&self) -> Vec<Request> {
        self.state.requests.lock().unwrap().clone()
    }

    pub(crate) fn most_at_once(&self) -> usize {
        self.state.most_at_once.load(Ordering::SeqCst)
    }
}

pub(crate) fn read(stream: &mut impl BufRead) -> Option<Request> {
    let mut line = || {
        let mut line = String::new();
        stream.read_line(&mut line).ok()?;
        line.strip_suffix("\r\n").map(str::to_owned)
    };
    let mut request = Request { line: line()?, headers: Vec::new(), body: Vec::new() };
    while let Some(line) = line().filter(|line| !line.is_empty()) {
        let (name, value) = line.split_once(": ").unwrap();
        request.headers.push((name.to_owned(), value.to_owned()));
    }
    // A GET has no body. No request is sent in chunks.
    assert_eq!(request.header("transfer-encoding"), None);
    let length = request.header("content-length").map_or(0, |length| length.parse().unwrap());
    request.body = vec![0; length];
    stream.read_exact(&mut request.body).ok()?;
    Some(request)
}
