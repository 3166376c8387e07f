use std::fmt;

use bytes::Bytes;

/// A delivery with its headers, ready to be sent. [`Delivery::sign`](super::Delivery::sign) and
/// [`Delivery::forge`](super::Delivery::forge) create it.
///
/// `Debug` shows lengths, but no content.
#[derive(Clone)]
pub struct SignedDelivery {
    signature: Vec<(String, String)>,
    body: Bytes,
}

/// The headers that axios, Twenty's HTTP client, sets.
const HEADERS: [(&str, &str); 3] = [
    ("accept", "application/json, text/plain, */*"),
    ("content-type", "application/json"),
    ("user-agent", "axios/1.21.1"),
];

impl SignedDelivery {
    pub(super) const fn new(body: Bytes, signature: Vec<(String, String)>) -> Self {
        Self { signature, body }
    }

    pub(super) fn with_body(self, body: Bytes) -> Self {
        Self { body, ..self }
    }

    /// Returns the headers that Twenty sends, as (name, value) pairs with names in lower case: the
    /// signature headers, `content-type`, `accept` and `user-agent`. It does not include headers of
    /// the connection, such as `host` and `content-length`.
    pub fn headers(&self) -> impl Iterator<Item = (&str, &str)> + Clone {
        HEADERS.into_iter().chain(self.signature.iter().map(|(name, value)| (&**name, &**value)))
    }

    /// Returns the body.
    #[must_use]
    pub const fn body(&self) -> &Bytes {
        &self.body
    }

    /// Returns a `POST` request for tower and `http`, such as axum's `Router::oneshot` or hyper's
    /// client.
    ///
    /// # Errors
    ///
    /// Returns an error if `uri` is malformed.
    #[cfg(feature = "tower")]
    pub fn into_http_request<B: From<Bytes>>(
        self,
        uri: impl TryInto<http::Uri, Error: Into<http::Error>>,
    ) -> http::Result<http::Request<B>> {
        let request = http::Request::post(uri);
        self.headers().fold(request, |request, (name, value)| request.header(name, value)).body(self.body.into())
    }

    /// Returns a `POST` request for `actix_web::test::call_service`; set its target with
    /// [`uri`](actix_web::test::TestRequest::uri).
    #[cfg(feature = "actix-web")]
    #[must_use]
    pub fn into_test_request(self) -> actix_web::test::TestRequest {
        let request = actix_web::test::TestRequest::post();
        self.headers().fold(request, |request, header| request.insert_header(header)).set_payload(self.body)
    }
}

impl fmt::Debug for SignedDelivery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SignedDelivery")
            .field("is_signed", &!self.signature.is_empty())
            .field("len", &self.body.len())
            .finish()
    }
}
