use std::task::{Context, Poll};

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use tower_service::Service;

use super::{ResponseBody, ResponseFuture, VerifiedBody};
use crate::{
    receiver::{Nesting, Reading, Receiver},
    verify::Verified,
};

/// Passes on only verified deliveries to the inner service. [`WebhookLayer`](super::WebhookLayer)
/// creates it.
#[derive(Clone, Debug)]
#[must_use = "a service does nothing unless it is called"]
pub struct WebhookService<S> {
    inner: S,
    receiver: Receiver,
}

impl<S> WebhookService<S> {
    /// Wraps a service.
    pub fn new(inner: S, receiver: impl Into<Receiver>) -> Self {
        Self { inner, receiver: receiver.into() }
    }
}

impl<S, B, R> Service<Request<B>> for WebhookService<S>
where
    S: Service<Request<VerifiedBody>, Response = Response<R>, Error: Send, Future: Send> + Clone + Send + 'static,
    B: Body,
    R: Body<Data: From<Bytes>> + Send + 'static,
{
    type Response = Response<ResponseBody<R>>;
    type Error = S::Error;
    type Future = ResponseFuture<S, B>;

    /// Always ready. The inner service is polled only for a verified delivery.
    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let (head, body) = request.into_parts();
        let is_inside_managed = match self.receiver.nesting(head.extensions.get::<Verified>()) {
            Nesting::Verify { is_inside_managed } => is_inside_managed,
            Nesting::PassThrough(verified) => {
                return ResponseFuture::pass_through(head, &verified, self.receiver.clone(), self.inner.clone());
            }
            Nesting::Refuse(refusal) => return ResponseFuture::refuse(head.version, refusal, self.receiver.clone()),
        };
        let target = head.uri.path_and_query().map_or("", http::uri::PathAndQuery::as_str);
        let at_least = body.size_hint().lower();
        let reading = Reading::begin(&self.receiver, target, &head.headers, at_least, is_inside_managed);
        ResponseFuture::new(head, body, reading, self.receiver.clone(), self.inner.clone())
    }
}
