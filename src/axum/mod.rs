//! Extractors for axum. The middleware is [`WebhookLayer`](crate::tower::WebhookLayer).
//!
//! Handlers take a [`WebhookEvent`] or a [`Verified`] as an argument. These extractors read only
//! what the layer verified, so they need no state and can be combined with any other extractor:
//!
//! ```
//! use axum::{Router, body::Bytes, extract::State, http::StatusCode, routing::post};
//! use twenty_webhook::{
//!     Verified, WebhookEvent, event::record::Person, receiver::Receiver, tower::WebhookLayer, verify::Verifier,
//! };
//!
//! async fn on_person(State(greeting): State<String>, event: WebhookEvent<Person>) -> StatusCode {
//!     println!("{greeting}, {}", event.record.display_name().unwrap_or_default());
//!     StatusCode::OK
//! }
//!
//! async fn on_bytes(verified: Verified, body: Bytes) {
//!     assert_eq!(verified.body(), &body);
//! }
//!
//! let layer = WebhookLayer::new(Receiver::new(Verifier::new("secret")?));
//! let app: Router = Router::new()
//!     .route("/people", post(on_person))
//!     .route("/bytes", post(on_bytes))
//!     .layer(layer)
//!     .with_state("hello".to_owned());
//! # let _ = app;
//! # Ok::<(), twenty_webhook::verify::ConfigError>(())
//! ```
//!
//! See [`EventRouter`] for a handler for each kind of event,
//! [`Receiver::drain`](crate::Receiver::drain) for graceful shutdown, and
//! [`testing`](crate::testing) for tests of your handlers. A handler that takes
//! `Result<WebhookEvent, WebhookRejection>` gets rejected events, too.
//!
//! Inside the layer, `Bytes`, `String` and `Json` can still read the body, up to the verifier's
//! limit; axum's own limit is lifted.

#[cfg(feature = "inbox")]
mod inbox;
mod router;

use axum::{
    body::Body,
    extract::FromRequestParts,
    http::{HeaderValue, StatusCode, Version, header, request::Parts},
    response::{IntoResponse, Response},
};

use crate::{
    event::{FromRecord, WebhookEvent},
    receiver::WebhookRejection,
    verify::Verified,
};

pub use router::{ByEvent, EventHandler, EventRouter};

/// Fails with [`WebhookRejection::MissingMiddleware`] if nothing was verified.
impl<S: Sync> FromRequestParts<S> for Verified {
    type Rejection = WebhookRejection;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, WebhookRejection> {
        parts.extensions.get().cloned().ok_or(WebhookRejection::MissingMiddleware)
    }
}

/// Fails with a [`WebhookRejection`].
impl<S: Sync, T: FromRecord> FromRequestParts<S> for WebhookEvent<T> {
    type Rejection = WebhookRejection;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, WebhookRejection> {
        Ok(Self::from_verified(Verified::from_request_parts(parts, state).await?)?)
    }
}

/// The response has only the status. Its extensions contain the rejection.
impl IntoResponse for WebhookRejection {
    fn into_response(self) -> Response {
        self.log();
        let mut response = Response::new(Body::empty());
        *response.status_mut() = StatusCode::from_u16(self.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        if self == Self::MissingMiddleware {
            // The body stays unread, so the connection must close. On HTTP/2, hyper drops the
            // header.
            response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        response.extensions_mut().insert(self);
        response
    }
}

/// Returns the response to a request of this HTTP version, which may have no `Connection` header.
fn reject(rejection: WebhookRejection, version: Version) -> Response {
    let mut response = rejection.into_response();
    if version >= Version::HTTP_2 {
        response.headers_mut().remove(header::CONNECTION);
    }
    response
}
