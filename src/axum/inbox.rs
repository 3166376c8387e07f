use axum::{extract::Request, handler::Handler, response::Response};

use super::{
    reject,
    router::{ByEvent, ResponseFuture},
};
use crate::inbox::Inbox;

/// Mounts the inbox like a handler: `post(inbox).layer(WebhookLayer::new(verifier))`.
// Errors about other handlers must not suggest this implementation.
#[diagnostic::do_not_recommend]
impl<S: Send + 'static> Handler<ByEvent, S> for Inbox {
    type Future = ResponseFuture;

    fn call(self, request: Request, _: S) -> ResponseFuture {
        let (verified, version) = (request.extensions().get().cloned(), request.version());
        Box::pin(async move {
            match self.receive(verified).await {
                Ok(became) => {
                    let mut response = Response::default();
                    response.extensions_mut().insert(became);
                    response
                }
                Err(rejection) => reject(rejection, version),
            }
        })
    }
}
