//! Posts deliveries, and fetches responses.

use std::{
    error::Error,
    fmt,
    io::{self, ErrorKind},
    iter::successors,
    time::{Duration, Instant},
};

use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, Request, header, uri::Scheme};
use bytes::Bytes;
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::{
    client::legacy::{self, connect::HttpConnector},
    rt::TokioExecutor,
};
use tokio::time::timeout;
use twenty_webhook::verify::Signer;

use crate::{
    capture::FRAMING,
    output::{Failure, chain},
    target::Target,
};

/// How long Twenty waits for a response.
pub(crate) const TIMEOUT: Duration = Duration::from_secs(5);

/// The maximum number of bytes of a response's body that are read, so that the connection can be
/// used again.
const ANSWER_LIMIT: usize = 1 << 20;

/// The maximum size of a response's head, in bytes: as in Node.js, which runs Twenty.
///
/// hyper parses at most this much at a time. So a server that sends interim responses (1xx) without
/// end can prevent neither time limits nor other responses.
const HEAD_LIMIT: usize = 16 << 10;

/// The maximum number of bytes of a response's body that are kept if the status is 4xx or 5xx.
const KEPT: usize = 1 << 11;

/// A client for one address. Clones are cheap, and share the connections.
#[derive(Clone)]
pub(crate) struct Client {
    connections: Connections,
    target: Target,
}

/// The connections. Without TLS, no certificate authorities are loaded, so that `http://` works on
/// machines that have none.
#[derive(Clone)]
enum Connections {
    Plain(legacy::Client<HttpConnector, Full<Bytes>>),
    Tls(legacy::Client<HttpsConnector<HttpConnector>, Full<Bytes>>),
}

impl Connections {
    fn to(target: &Target) -> Result<Self, Failure> {
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        let mut builder = legacy::Client::builder(TokioExecutor::new());
        builder.http1_max_buf_size(HEAD_LIMIT);
        if target.uri().scheme() == Some(&Scheme::HTTP) {
            return Ok(Self::Plain(builder.build(connector)));
        }
        connector.enforce_http(false);
        let tls = HttpsConnectorBuilder::new().with_native_roots().map_err(|error| {
            Failure::about("https requires the certificate authorities of this machine, but none were found", &error)
        })?;
        Ok(Self::Tls(builder.build(tls.https_only().enable_http1().wrap_connector(connector))))
    }

    fn request(&self, request: Request<Full<Bytes>>) -> legacy::ResponseFuture {
        match self {
            Self::Plain(client) => client.request(request),
            Self::Tls(client) => client.request(request),
        }
    }
}

/// A response and its latency.
#[derive(Clone)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) latency: Duration,
    /// Where a redirect leads, as the target wrote it.
    pub(crate) location: Option<String>,
    /// The beginning of the body, if the status is 4xx or 5xx.
    pub(crate) body: Vec<u8>,
    /// The `Date` header.
    pub(crate) date: Option<HeaderValue>,
}

/// A whole response.
pub(crate) struct Response {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

/// Why there is no [`Response`].
#[derive(Debug)]
pub(crate) enum FetchError {
    Post(PostError),
    /// The body is longer than the limit.
    TooLong,
    /// The body was truncated.
    Truncated,
}

impl Answer {
    pub(crate) fn is_success(&self) -> bool {
        matches!(self.status, 200..=299)
    }
}

impl Client {
    /// Creates a client for this address.
    pub(crate) fn new(target: Target) -> Result<Self, Failure> {
        Ok(Self { connections: Connections::to(&target)?, target })
    }

    /// Sends a request with these headers, except the headers that the connection determines.
    pub(crate) async fn send(&self, method: Method, headers: &HeaderMap, body: Bytes) -> Result<Answer, PostError> {
        let request = self.request(method, headers, body);
        let began = Instant::now();
        let exchange = async {
            let response = self.connections.request(request).await?;
            let status = response.status();
            let location = response.headers().get(header::LOCATION).filter(|_| status.is_redirection());
            let location = location.map(|location| String::from_utf8_lossy(location.as_bytes()).into_owned());
            let date = response.headers().get(header::DATE).cloned();
            let is_error = status.is_client_error() || status.is_server_error();
            let mut rest = Limited::new(response.into_body(), ANSWER_LIMIT);
            let mut body = Vec::new();
            // The status is known even if the body is longer or truncated.
            while let Some(Ok(frame)) = rest.frame().await {
                let room = if is_error { KEPT.saturating_sub(body.len()) } else { 0 };
                body.extend(frame.data_ref().into_iter().flatten().take(room));
            }
            Ok((status.as_u16(), location, body, date))
        };
        match timeout(TIMEOUT, exchange).await {
            Ok(Ok((status, location, body, date))) => {
                Ok(Answer { status, latency: began.elapsed(), location, body, date })
            }
            Ok(Err(error)) => Err(PostError::Failed(error)),
            Err(_) => Err(PostError::TooLate),
        }
    }

    /// Sends a request, and returns the whole response if it arrives within `patience` and its body
    /// has at most `limit` bytes. Redirects are not followed.
    pub(crate) async fn fetch(
        &self,
        method: Method,
        headers: &HeaderMap,
        body: Bytes,
        patience: Duration,
        limit: usize,
    ) -> Result<Response, FetchError> {
        let request = self.request(method, headers, body);
        let exchange = async {
            let response = self.connections.request(request).await;
            let (head, body) = response.map_err(|error| FetchError::Post(PostError::Failed(error)))?.into_parts();
            let body = Limited::new(body, limit).collect().await.map_err(|error| {
                if error.is::<LengthLimitError>() { FetchError::TooLong } else { FetchError::Truncated }
            })?;
            Ok(Response { status: head.status.as_u16(), headers: head.headers, body: body.to_bytes() })
        };
        timeout(patience, exchange).await.unwrap_or(Err(FetchError::Post(PostError::TooLate)))
    }

    fn request(&self, method: Method, headers: &HeaderMap, body: Bytes) -> Request<Full<Bytes>> {
        let mut request = Request::new(Full::new(body));
        *request.method_mut() = method;
        *request.uri_mut() = self.target.uri().clone();
        *request.headers_mut() = end_to_end(headers);
        request
    }

    pub(crate) const fn target(&self) -> &Target {
        &self.target
    }
}

/// Creates headers from (name, value) pairs.
///
/// # Errors
///
/// If HTTP does not allow one of them, or if there are more than a map can hold.
pub(crate) fn header_map<N: AsRef<[u8]>, V: AsRef<[u8]>>(
    pairs: impl IntoIterator<Item = (N, V)>,
) -> Result<HeaderMap, Failure> {
    let mut headers = HeaderMap::new();
    let mut append = |name: &[u8], value: &[u8]| -> Result<(), axum::http::Error> {
        // `append` and `collect` panic when there are too many.
        headers.try_append(HeaderName::from_bytes(name)?, HeaderValue::from_bytes(value)?)?;
        Ok(())
    };
    for (name, value) in pairs {
        append(name.as_ref(), value.as_ref()).map_err(|error| Failure::about("a header cannot be sent", &error))?;
    }
    Ok(headers)
}

/// Returns the headers with which a captured request is sent again. A signer replaces the
/// signature.
///
/// # Errors
///
/// The same as for [`header_map`].
pub(crate) fn headers_to_resend<N: AsRef<[u8]>, V: AsRef<[u8]>>(
    captured: impl IntoIterator<Item = (N, V)>,
    body: &[u8],
    signer: Option<&Signer>,
) -> Result<HeaderMap, Failure> {
    let mut headers = header_map(captured)?;
    // `Via` names the proxies of the captured request. If it stayed, the listener that forwarded
    // that request would detect a loop.
    headers.remove(header::VIA);
    // These headers describe the body as it was transferred. The client sets them again.
    for name in FRAMING {
        headers.remove(name);
    }
    if let Some(signer) = signer {
        for (name, value) in header_map(signer.sign(body).pairs())? {
            // Replaces all captured headers with this name.
            let inserted = name.map(|name| headers.try_insert(name, value)).transpose();
            inserted.map_err(|error| Failure::about("a header cannot be sent", &error))?;
        }
    }
    Ok(headers)
}

/// Removes the headers that apply to a single connection (RFC 9110, 7.6.1), and those that the
/// client sets: host and length.
fn end_to_end(headers: &HeaderMap) -> HeaderMap {
    const OF_THE_CONNECTION: [&str; 12] = [
        "connection",
        "content-length",
        "expect",
        "host",
        "keep-alive",
        "proxy-authenticate",
        "proxy-authorization",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    ];
    let named = headers.get_all(header::CONNECTION).iter().filter_map(|value| value.to_str().ok());
    let named = named.flat_map(|names| names.split(',')).map(str::trim);
    let mut left = headers.clone();
    // Each name takes one look-up, so that many names and many headers do not take quadratic time.
    for name in OF_THE_CONNECTION.into_iter().chain(named) {
        left.remove(name);
    }
    left
}

/// Why there is no response.
#[derive(Debug)]
pub(crate) enum PostError {
    Failed(legacy::Error),
    TooLate,
}

impl PostError {
    /// Returns whether the target's certificate is the reason.
    pub(crate) fn is_about_certificate(&self) -> bool {
        let mut errors = self.chain().filter_map(|error| error.downcast_ref());
        errors.any(|error| matches!(error, rustls::Error::InvalidCertificate(_)))
    }

    /// Returns a short name, for counting.
    pub(crate) fn kind(&self) -> &'static str {
        match self {
            Self::TooLate => "no answer in time",
            Self::Failed(_) if self.io_kind() == Some(ErrorKind::ConnectionRefused) => "connection refused",
            Self::Failed(error) if error.is_connect() => "no connection",
            Self::Failed(_) => "connection lost",
        }
    }

    /// Returns the kind of the innermost I/O error.
    fn io_kind(&self) -> Option<ErrorKind> {
        self.chain().filter_map(|error| error.downcast_ref::<io::Error>()).last().map(io::Error::kind)
    }

    /// Returns the error and its sources.
    fn chain(&self) -> impl Iterator<Item = &(dyn Error + 'static)> {
        let first: Option<&(dyn Error + 'static)> = match self {
            Self::TooLate => None,
            Self::Failed(error) => Some(error),
        };
        successors(first, |&error| match error.downcast_ref::<io::Error>().and_then(io::Error::get_ref) {
            // `source` would return the source of the inner error, and skip the inner error itself.
            Some(inside) => Some(inside as &(dyn Error + 'static)),
            None => error.source(),
        })
    }

    /// Returns the probable cause if the error's text does not show it.
    fn advice(&self) -> Option<&'static str> {
        let Self::Failed(error) = self else { return None };
        let is_no_tls = |error: &rustls::Error| matches!(error, rustls::Error::InvalidMessage(_));
        if self.chain().filter_map(|error| error.downcast_ref()).any(is_no_tls) {
            return Some("the target does not speak TLS: use http://");
        }
        if error.is_connect() && self.io_kind() == Some(ErrorKind::UnexpectedEof) {
            return Some("the target ended the TLS handshake: if it does not speak TLS, use http://");
        }
        // hyper has no error kind for a response that is not HTTP.
        let is_no_http = |error: &(dyn Error + 'static)| error.to_string().starts_with("invalid HTTP version");
        self.chain().any(is_no_http).then_some("the target does not answer in HTTP: if it speaks TLS, use https://")
    }
}

impl fmt::Display for PostError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLate => write!(f, "no answer within {} s, after which Twenty gives up", TIMEOUT.as_secs()),
            Self::Failed(_) if self.io_kind() == Some(ErrorKind::ConnectionRefused) => {
                f.write_str("connection refused: nothing listens there")
            }
            Self::Failed(error) => match self.advice() {
                Some(advice) => write!(f, "{advice} ({})", chain(error)),
                None => f.write_str(&chain(error)),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_of_a_single_connection_are_removed() {
        let headers = header_map([
            ("connection", "keep-alive, X-Once"),
            ("x-once", "a"),
            ("keep-alive", "timeout=5"),
            ("transfer-encoding", "chunked"),
            ("host", "a"),
            ("content-type", "application/json"),
            ("x-twice", "b"),
            ("x-twice", "c"),
        ])
        .unwrap();
        let left = end_to_end(&headers);
        let mut left: Vec<_> = left.iter().map(|(name, value)| (name.as_str(), value.to_str().unwrap())).collect();
        left.sort_unstable();
        assert_eq!(left, [("content-type", "application/json"), ("x-twice", "b"), ("x-twice", "c")]);
    }

    #[test]
    fn too_many_headers_are_an_error() {
        for (count, distinct, is_ok) in [(1_000, true, true), (40_000, true, false), (40_000, false, true)] {
            let name = |number| if distinct { format!("x-{number}") } else { "x".to_owned() };
            let headers = header_map((0..count).map(|number| (name(number), "a")));
            assert_eq!(headers.map(|headers| headers.len()).ok(), is_ok.then_some(count), "{count} {distinct}");
        }
    }
}
