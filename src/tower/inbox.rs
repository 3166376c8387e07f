use std::{
    convert::Infallible,
    future::Future,
    pin::Pin,
    task::{Context, Poll},
};

use http::{Request, Response};
use tower_service::Service;

use super::router::reject;
use crate::inbox::Inbox;

type ResponseFuture = Pin<Box<dyn Future<Output = Result<Response<String>, Infallible>> + Send>>;

/// Put it inside a [`WebhookLayer`](super::WebhookLayer). It stores deliveries and responds with an
/// empty body.
impl<B> Service<Request<B>> for Inbox {
    type Response = Response<String>;
    type Error = Infallible;
    type Future = ResponseFuture;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> ResponseFuture {
        let (inbox, verified, version) = (self.clone(), request.extensions().get().cloned(), request.version());
        Box::pin(async move {
            Ok(match inbox.receive(verified).await {
                Ok(became) => {
                    let mut response = Response::default();
                    response.extensions_mut().insert(became);
                    response
                }
                Err(rejection) => reject(rejection, version),
            })
        })
    }
}
