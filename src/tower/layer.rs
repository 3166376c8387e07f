use tower_layer::Layer;

use super::WebhookService;
use crate::receiver::Receiver;

/// Wraps a service so that only verified deliveries reach it; see [the module](super).
#[derive(Clone, Debug)]
#[must_use]
pub struct WebhookLayer {
    receiver: Receiver,
}

impl WebhookLayer {
    /// Receives as the receiver says. A [`Verifier`](crate::Verifier) will do: it makes a receiver with the defaults.
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
