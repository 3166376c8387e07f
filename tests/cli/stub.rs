//! A server whose responses come from a function.

use std::{
    io::{BufReader, Write},
    net::TcpListener,
    sync::{Arc, Mutex},
    thread,
};

use super::upstream::{Request, read};

/// The status, the headers and the body.
pub(crate) type Answer = (u16, Vec<(&'static str, String)>, String);

pub(crate) struct Stub {
    /// The scheme, the host and the port.
    pub(crate) url: String,
    requests: Arc<Mutex<Vec<Request>>>,
}

impl Stub {
    pub(crate) fn start(answer: impl Fn(&Request) -> Answer + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let requests = Arc::new(Mutex::new(Vec::new()));
        let (shared, answer) = (Arc::clone(&requests), Arc::new(answer));
        // The threads end with the test program.
        thread::spawn(move || {
            for stream in listener.incoming() {
                let (requests, answer) = (Arc::clone(&shared), Arc::clone(&answer));
                thread::spawn(move || {
                    let mut stream = BufReader::new(stream.unwrap());
                    while let Some(request) = read(&mut stream) {
                        let (status, headers, body) = answer(&request);
                        requests.lock().unwrap().push(request);
                        let headers: String =
                            headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
                        let length = body.len();
                        let head = format!("HTTP/1.1 {status} Whatever\r\n{headers}content-length: {length}\r\n\r\n");
                        // The client may close the connection before it has read everything.
                        let _ = stream.get_mut().write_all((head + &body).as_bytes());
                    }
                });
            }
        });
        Self { url, requests }
    }

    /// Starts a server that always gives the same response.
    pub(crate) fn saying(status: u16, body: &str) -> Self {
        let body = body.to_owned();
        Self::start(move |_| (status, Vec::new(), body.clone()))
    }

    pub(crate) fn requests(&self) -> Vec<Request> {
        self.requests.lock().unwrap().clone()
    }
}
