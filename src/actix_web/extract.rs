use std::future::{Ready, ready};

use ::actix_web::{
    FromRequest, HttpMessage as _, HttpRequest, HttpResponse, ResponseError, dev::Payload, http::StatusCode,
};

use crate::{
    event::{FromRecord, WebhookEvent},
    receiver::WebhookRejection,
    verify::Verified,
};

/// Fails with [`WebhookRejection::MissingMiddleware`] if nothing was verified.
impl FromRequest for Verified {
    type Error = WebhookRejection;
    type Future = Ready<Result<Self, WebhookRejection>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        ready(request.extensions().get().cloned().ok_or(WebhookRejection::MissingMiddleware))
    }
}

/// Fails with a [`WebhookRejection`].
impl<T: FromRecord + 'static> FromRequest for WebhookEvent<T> {
    type Error = WebhookRejection;
    type Future = Ready<Result<Self, WebhookRejection>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let verified = Verified::from_request(request, payload).into_inner();
        ready(verified.and_then(|verified| Ok(Self::from_verified(verified)?)))
    }
}

/// The response has only the status. Its extensions contain the rejection.
impl ResponseError for WebhookRejection {
    fn status_code(&self) -> StatusCode {
        StatusCode::from_u16(self.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
    }

    fn error_response(&self) -> HttpResponse {
        self.log();
        let mut response = HttpResponse::new(self.status_code());
        response.extensions_mut().insert(self.clone());
        response
    }
}
