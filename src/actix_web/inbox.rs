use ::actix_web::{Handler, HttpResponse, ResponseError as _};

use super::router::ResponseFuture;
use crate::{inbox::Inbox, verify::Verified};

/// Mounts the inbox like a handler, inside the middleware: `web::post().to(inbox)`.
impl Handler<(Verified,)> for Inbox {
    type Output = HttpResponse;
    type Future = ResponseFuture;

    fn call(&self, (verified,): (Verified,)) -> ResponseFuture {
        let inbox = self.clone();
        Box::pin(async move {
            match inbox.receive(Some(verified)).await {
                Ok(became) => {
                    let mut response = HttpResponse::Ok().finish();
                    response.extensions_mut().insert(became);
                    response
                }
                Err(rejection) => rejection.error_response(),
            }
        })
    }
}
