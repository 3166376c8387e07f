use std::{
    future::{Future, Ready, poll_fn, ready},
    pin::Pin,
    rc::Rc,
};

use ::actix_web::{
    Error, HttpMessage as _, HttpResponse,
    body::{BoxBody, EitherBody, MessageBody},
    dev::{Extensions, Payload, Service, ServiceRequest, ServiceResponse, Transform, forward_ready},
    http::{
        ConnectionType, StatusCode, Version,
        header::{HeaderName, HeaderValue},
    },
    web::{Data, JsonConfig, PayloadConfig},
};
use futures_core::Stream as _;

use crate::{
    receiver::{Reading, Receiver, Refusal},
    verify::Verified,
};

/// Lets only verified deliveries through; see [the module](super).
#[derive(Clone, Debug)]
#[must_use]
pub struct WebhookMiddleware {
    receiver: Receiver,
}

impl WebhookMiddleware {
    /// Receives as the receiver says. A [`Verifier`](crate::Verifier) will do: it makes a receiver with the defaults.
    pub fn new(receiver: impl Into<Receiver>) -> Self {
        Self { receiver: receiver.into() }
    }
}

impl<S, B> Transform<S, ServiceRequest> for WebhookMiddleware
where
    S: Service<ServiceRequest, Response = ServiceResponse<B>, Error = Error> + 'static,
    B: MessageBody + 'static,
{
    type Response = ServiceResponse<EitherBody<B>>;
    type Error = Error;
    type Transform = WebhookMiddlewareService<S>;
    type InitError = ();
    type Future = Ready<Result<Self::Transform, ()>>;

    fn new_transform(&self, service: S) -> Self::Future {
        ready(Ok(WebhookMiddlewareService { service: Rc::new(service), receiver: self.receiver.clone() }))
    }
}

/// The service that [`WebhookMiddleware`] makes.
#[doc(hidden)]
#[derive(Debug)]
pub struct WebhookMiddlewareService<S> {
    service: Rc<S>,
    receiver: Receiver,
}

impl<S, B> Service<ServiceRequest> for WebhookMiddlewareService<S>
where
    S: Service<ServiceRequest, Response = ServiceResponse<B>, Error = Error> + 'static,
    B: MessageBody + 'static,
{
    type Response = ServiceResponse<EitherBody<B>>;
    type Error = Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Error>>>>;

    forward_ready!(service);

    fn call(&self, mut request: ServiceRequest) -> Self::Future {
        let service = Rc::clone(&self.service);
        let receiver = self.receiver.clone();
        Box::pin(async move {
            let mut payload = request.take_payload();
            let mut reading = Reading::begin(receiver.clone(), request.headers(), 0);
            match poll_fn(|cx| reading.poll(cx, |cx| Pin::new(&mut payload).poll_next(cx))).await {
                Ok(verified) => {
                    give_back(&mut request, verified);
                    Ok(service.call(request).await?.map_into_left_body())
                }
                Err(refusal) => Ok(refuse(request, payload, &receiver, &refusal).map_into_right_body()),
            }
        })
    }
}

/// actix-web's own limit for `Bytes` and `String`, unless configured, in bytes. That of `Json` is higher.
const DEFAULT_PAYLOAD_LIMIT: usize = 256 << 10;

fn give_back(request: &mut ServiceRequest, verified: Verified) {
    lift_limits(request, verified.body().len());
    request.set_payload(Payload::from(verified.body().clone()));
    request.extensions_mut().insert(verified);
}

/// The verifier has decided what is too long; actix-web's own limits must not decide again. With the default ones, a short body
/// has nothing to fear.
fn lift_limits(request: &mut ServiceRequest, len: usize) {
    let (payload, json) = (configured::<PayloadConfig>(request), configured::<JsonConfig>(request));
    if payload.is_none() && json.is_none() && len <= DEFAULT_PAYLOAD_LIMIT {
        return;
    }
    let mut config = Extensions::new();
    config.insert(payload.unwrap_or_default().limit(len));
    config.insert(json.unwrap_or_default().limit(len));
    request.add_data_container(Rc::new(config));
}

/// An extractor's configuration, found as actix-web finds it.
fn configured<T: Clone + 'static>(request: &ServiceRequest) -> Option<T> {
    let shared = || request.app_data::<Data<T>>().map(|config| &***config);
    request.app_data().or_else(shared).cloned()
}

/// What is left of a refused request's body. While it lives, actix knows that there is more to come and closes the connection
/// after the answer; had it been dropped, actix would read on for as long as chunks come.
struct Unread {
    _payload: Payload,
}

fn refuse(
    request: ServiceRequest,
    payload: Payload,
    receiver: &Receiver,
    refusal: &Refusal,
) -> ServiceResponse<BoxBody> {
    let (status, headers, body) = receiver.respond(refusal).into_parts(request.version() < Version::HTTP_2);
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut response = HttpResponse::with_body(status, BoxBody::new(body));
    for (name, value) in headers {
        if name == "connection" {
            // actix writes this header itself.
            response.head_mut().set_connection_type(ConnectionType::Close);
        } else if let Ok(value) = HeaderValue::from_str(value) {
            response.headers_mut().insert(HeaderName::from_static(name), value);
        }
    }
    response.extensions_mut().insert(*refusal);
    response.extensions_mut().insert(Unread { _payload: payload });
    request.into_response(response)
}
