//! HTTP/1 over a socket without a library, so that odd requests can be sent. Every wait is limited.

use std::{future::Future, io, net::SocketAddr, time::Duration};

use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::TcpStream,
    time::timeout,
};

use super::{SIGNATURE, TIMESTAMP, signed};

/// How long an operation may take before the test fails instead of hanging.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// Waits for a limited time.
#[track_caller]
pub fn soon<F: Future>(future: F) -> impl Future<Output = F::Output> {
    let caller = std::panic::Location::caller();
    async move { timeout(PATIENCE, future).await.unwrap_or_else(|_| panic!("waited too long at {caller}")) }
}

/// A request to be written.
#[derive(Clone)]
pub struct Request {
    line: String,
    headers: Vec<(String, Vec<u8>)>,
    body: Vec<u8>,
}

/// Returns a delivery as Twenty sends it, signed at [`NOW`](super::NOW).
pub fn delivery(body: impl AsRef<[u8]>) -> Request {
    unsigned(&body).with_all(signed(body))
}

/// Returns a delivery of a webhook without a secret.
pub fn unsigned(body: impl AsRef<[u8]>) -> Request {
    let body = body.as_ref().to_vec();
    Request { line: "POST /webhooks/twenty HTTP/1.1".into(), headers: Vec::new(), body: body.clone() }
        .with("host", "localhost")
        .with("content-type", "application/json")
        .with("content-length", body.len().to_string())
}

impl Request {
    pub fn line(mut self, line: &str) -> Self {
        self.line = line.into();
        self
    }

    /// Adds a header.
    pub fn with(mut self, name: &str, value: impl AsRef<[u8]>) -> Self {
        self.headers.push((name.into(), value.as_ref().to_vec()));
        self
    }

    pub fn with_all(self, headers: Vec<(String, String)>) -> Self {
        headers.into_iter().fold(self, |request, (name, value)| request.with(&name, value))
    }

    /// Writes the names of headers in upper case.
    pub fn in_capitals(mut self) -> Self {
        self.headers.iter_mut().for_each(|(name, _)| name.make_ascii_uppercase());
        self
    }

    pub fn without(mut self, name: &str) -> Self {
        self.headers.retain(|(n, _)| n != name);
        self
    }

    /// Replaces the header of this name.
    pub fn changed(self, name: &str, value: impl AsRef<[u8]>) -> Self {
        self.without(name).with(name, value)
    }

    pub fn signature(self, value: impl AsRef<[u8]>) -> Self {
        self.changed(SIGNATURE, value)
    }

    pub fn timestamp(self, value: impl AsRef<[u8]>) -> Self {
        self.changed(TIMESTAMP, value)
    }

    /// Returns the value of the header of this name.
    #[track_caller]
    pub fn get(&self, name: &str) -> Vec<u8> {
        self.headers.iter().find(|(n, _)| n == name).expect(name).1.clone()
    }

    /// Replaces the body, and keeps the headers.
    pub fn body(mut self, body: impl AsRef<[u8]>) -> Self {
        self.body = body.as_ref().to_vec();
        self
    }

    /// Sends the body in chunks of this size, without a declared length.
    pub fn chunked(self, size: usize) -> Self {
        let mut body = Vec::new();
        for chunk in self.body.chunks(size) {
            body.extend_from_slice(format!("{:x}\r\n", chunk.len()).as_bytes());
            body.extend_from_slice(chunk);
            body.extend_from_slice(b"\r\n");
        }
        body.extend_from_slice(b"0\r\n\r\n");
        self.without("content-length").with("transfer-encoding", "chunked").body(body)
    }

    pub fn head_bytes(&self) -> Vec<u8> {
        let mut bytes = format!("{}\r\n", self.line).into_bytes();
        for (name, value) in &self.headers {
            bytes.extend([name.as_bytes(), b": ", value, b"\r\n"].concat());
        }
        bytes.extend_from_slice(b"\r\n");
        bytes
    }

    pub fn bytes(&self) -> Vec<u8> {
        [self.head_bytes(), self.body.clone()].concat()
    }
}

/// A response.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Answer {
    /// Returns the only header of this name.
    #[track_caller]
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut values = self.headers.iter().filter(|(n, _)| n == name).map(|(_, value)| value.as_str());
        let value = values.next();
        assert_eq!(values.next(), None, "{name} more than once");
        value
    }
}

pub struct Connection {
    stream: BufReader<TcpStream>,
}

/// Posts a delivery on a new connection. Returns the status.
pub async fn status(address: SocketAddr, body: impl AsRef<[u8]>) -> u16 {
    let mut connection = Connection::open(address).await;
    connection.send(delivery(body).bytes()).await;
    connection.answer().await.unwrap().status
}

/// Sends a delivery without the last byte of its body.
pub async fn begun(address: SocketAddr, body: impl AsRef<[u8]>) -> Connection {
    let mut connection = Connection::open(address).await;
    let mut bytes = delivery(body).bytes();
    bytes.pop();
    connection.send(bytes).await;
    connection
}

/// Sends most of a long delivery until a short one no longer fits into the budget. If the short
/// delivery took the budget first and the long one was rejected, sends the long one again.
pub async fn begun_without_room_for(address: SocketAddr, long: &[u8], short: &[u8]) -> Connection {
    soon(async {
        let mut under_way = begun(address, long).await;
        while status(address, short).await != 503 {
            if under_way.is_answered().await {
                under_way = begun(address, long).await;
            }
        }
        under_way
    })
    .await
}

/// Posts a delivery until the budget is large enough for it.
pub async fn accepted_at_last(address: SocketAddr, body: &[u8]) {
    soon(async { while status(address, body).await != 200 {} }).await;
}

impl Connection {
    #[track_caller]
    pub fn open(address: SocketAddr) -> impl Future<Output = Self> {
        let opened = soon(Self::try_open(address));
        async { opened.await.unwrap() }
    }

    /// Connects to a server that may have stopped.
    pub async fn try_open(address: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(Self { stream: BufReader::new(stream) })
    }

    /// Posts with these headers. Returns the status, or `None` if the connection was closed without
    /// a response.
    pub async fn post(&mut self, path: &str, headers: Vec<(String, String)>, body: impl AsRef<[u8]>) -> Option<u16> {
        self.send(unsigned(body).line(&format!("POST {path} HTTP/1.1")).with_all(headers).bytes()).await;
        Some(self.answer().await?.status)
    }

    /// Sends a GET request. Returns the body, or `None` if the connection was closed without a
    /// response.
    pub async fn get(&mut self, path: &str) -> Option<String> {
        self.send(format!("GET {path} HTTP/1.1\r\nhost: localhost\r\n\r\n")).await;
        Some(String::from_utf8(self.answer().await?.body).unwrap())
    }

    /// Writes. Ignores errors, because a server may already have answered and closed the
    /// connection.
    pub async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        let _ = soon(self.stream.get_mut().write_all(bytes.as_ref())).await;
    }

    /// Writes until there is a response to read. Returns whether everything was written.
    pub async fn try_send(&mut self, bytes: impl AsRef<[u8]>) -> bool {
        let (reading, mut writing) = self.stream.get_mut().split();
        tokio::select! {
            biased;
            _ = reading.readable() => false,
            written = writing.write_all(bytes.as_ref()) => written.is_ok(),
        }
    }

    /// Closes the client's half of the connection. Reading is still possible.
    pub async fn finish(&mut self) {
        let _ = soon(self.stream.get_mut().shutdown()).await;
    }

    /// Returns the next response, including interim ones (1xx), or `None` if the connection was
    /// closed without one.
    pub async fn answer_or_interim(&mut self) -> Option<Answer> {
        soon(self.read_answer(false)).await
    }

    /// Returns the response to a `HEAD`, which has no body whatever its headers say, or `None` if
    /// the connection was closed without one.
    pub async fn answer_to_head(&mut self) -> Option<Answer> {
        soon(self.read_answer(true)).await
    }

    /// Returns the next final response, or `None` if the connection was closed without one.
    pub async fn answer(&mut self) -> Option<Answer> {
        loop {
            match self.answer_or_interim().await {
                Some(answer) if answer.status < 200 => {}
                answer => return answer,
            }
        }
    }

    /// Returns whether a response has arrived or the connection has ended.
    async fn is_answered(&self) -> bool {
        timeout(Duration::ZERO, self.stream.get_ref().peek(&mut [0])).await.is_ok()
    }

    /// Returns whether the server closes the connection without sending more.
    pub async fn is_closed(&mut self) -> bool {
        let mut rest = Vec::new();
        // A reset closes the connection, too.
        let _ = soon(self.stream.read_to_end(&mut rest)).await;
        rest.is_empty()
    }

    async fn read_line(&mut self) -> Option<String> {
        let mut line = String::new();
        self.stream.read_line(&mut line).await.ok()?;
        line.strip_suffix("\r\n").map(str::to_owned)
    }

    async fn read_answer(&mut self, is_to_head: bool) -> Option<Answer> {
        let line = self.read_line().await?;
        let status = line.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status line");
        let mut headers = Vec::new();
        loop {
            let line = self.read_line().await?;
            if line.is_empty() {
                break;
            }
            let (name, value) = line.split_once(':').expect("a header");
            headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
        }
        let mut answer = Answer { status, headers, body: Vec::new() };
        // See RFC 9112, section 6.3.
        if is_to_head || matches!(status, 100..=199 | 204 | 304) {
            return Some(answer);
        }
        match answer.header("content-length").map(|length| length.parse().unwrap()) {
            Some(length) => {
                answer.body = vec![0; length];
                self.stream.read_exact(&mut answer.body).await.ok()?;
            }
            None => panic!("an answer without a length: {answer:?}"),
        }
        Some(answer)
    }
}

/// The way in which a client disconnects.
#[derive(Clone, Copy, Debug)]
pub enum Leave {
    Fin,
    Reset,
}

/// A client that sends a request, or a part of one, and does not wait for the response.
pub struct Leaving(TcpStream);

impl Leaving {
    pub async fn send(address: SocketAddr, bytes: impl AsRef<[u8]>) -> Self {
        let mut stream = soon(TcpStream::connect(address)).await.unwrap();
        soon(stream.write_all(bytes.as_ref())).await.unwrap();
        Self(stream)
    }

    pub fn leave(self, how: Leave) {
        if let Leave::Reset = how {
            self.0.set_zero_linger().unwrap();
        }
    }
}
