use tower_layer::Layer;

use super::WebhookService;
use crate::receiver::Receiver;

/// Wraps a service so that only verified deliveries reach it; see [the module](super).
///
/// ```
/// use std::{convert::Infallible, time::Duration};
/// use bytes::Bytes;
/// use http::{Request, Response};
/// use http_body_util::Full;
/// use tower::{Layer, service_fn};
/// use twenty_webhook::{Receiver, Verifier, tower::{VerifiedBody, WebhookLayer}};
///
/// async fn on_event(request: Request<VerifiedBody>) -> Result<Response<Full<Bytes>>, Infallible> {
///     Ok(Response::default())
/// }
///
/// let receiver = Receiver::new(Verifier::new("secret")?).acknowledge_within(Duration::from_millis(250));
/// let service = WebhookLayer::new(receiver).layer(service_fn(on_event));
/// # let _ = service;
/// # Ok::<(), twenty_webhook::verify::ConfigError>(())
/// ```
#[derive(Clone, Debug)]
#[must_use]
pub struct WebhookLayer {
    receiver: Receiver,
}

impl WebhookLayer {
    /// Creates a layer for this receiver. A [`Verifier`](crate::Verifier) converts into a receiver
    /// with the defaults.
    pub fn new(receiver: impl Into<Receiver>) -> Self {
        Self { receiver: receiver.into() }
    }
}

impl<S> Layer<S> for WebhookLayer {
    type Service = WebhookService<S>;

    fn layer(&self, inner: S) -> WebhookService<S> {
        WebhookService::new(inner, self.receiver.clone())
    }
}
