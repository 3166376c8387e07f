use std::fmt;

use bytes::Bytes;

/// A delivery with its headers, ready to be sent: made by [`Delivery::sign`](super::Delivery::sign)
/// and [`Delivery::forge`](super::Delivery::forge).
///
/// `Debug` shows lengths, no content.
#[derive(Clone)]
pub struct SignedDelivery {
    signature: Vec<(String, String)>,
    body: Bytes,
}

/// What axios sets, Twenty's client.
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

    /// The headers that Twenty sends, as (name, value) pairs with names in lower case: those of the
    /// signature, `content-type`, `accept` and `user-agent`. What belongs to a connection, such as
    /// `host` and `content-length`, is up to who sends it.
    pub fn headers(&self) -> impl Iterator<Item = (&str, &str)> + Clone {
        HEADERS.into_iter().chain(self.signature.iter().map(|(name, value)| (&**name, &**value)))
    }

    /// The body, as it is sent.
    #[must_use]
    pub const fn body(&self) -> &Bytes {
        &self.body
    }

    /// A `POST` of it, for anything that speaks tower or `http`: axum's `Router::oneshot`, hyper's
    /// client.
    ///
    /// # Errors
    ///
    /// When `uri` is none.
    #[cfg(feature = "tower")]
    pub fn into_http_request<B: From<Bytes>>(
        self,
        uri: impl TryInto<http::Uri, Error: Into<http::Error>>,
    ) -> http::Result<http::Request<B>> {
        let request = http::Request::post(uri);
        self.headers().fold(request, |request, (name, value)| request.header(name, value)).body(self.body.into())
    }

    /// A `POST` of it, for `actix_web::test::call_service`; say where to with
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
