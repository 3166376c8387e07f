use std::{
    cell::Cell,
    future::{Ready, poll_fn, ready},
    net::SocketAddr,
    pin::Pin,
    rc::Rc,
};

use ::actix_web::{
    Error, HttpMessage as _, HttpResponse,
    body::{BoxBody, EitherBody, MessageBody},
    dev::{Extensions, Payload, Service, ServiceRequest, ServiceResponse, Transform, forward_ready},
    http::{
        ConnectionType, Method, StatusCode, Uri, Version,
        header::{HeaderName, HeaderValue},
    },
    rt,
    test::TestRequest,
    web::{Data, JsonConfig, PayloadConfig},
};
use futures_core::Stream as _;

use crate::{
    receiver::{
        Arrival, Became, Delivered, Delivery, Nesting, OutcomeKind, Reading, Receiver, Refusal, Route, WebhookRejection,
    },
    verify::Verified,
};

/// Passes on only verified deliveries; see [the module](super).
///
/// ```
/// use std::time::Duration;
/// use actix_web::{App, HttpResponse, web};
/// use twenty_webhook::{Receiver, Verifier, WebhookEvent, actix_web::WebhookMiddleware};
///
/// async fn on_event(event: WebhookEvent) -> HttpResponse {
///     HttpResponse::Ok().finish()
/// }
///
/// // Create it once, outside the closure that each worker runs, so that the workers share its limits and its store.
/// let receiver = Receiver::new(Verifier::new("secret")?).acknowledge_within(Duration::from_millis(250));
/// let app = move || {
///     let resource = web::resource("/webhooks/twenty").wrap(WebhookMiddleware::new(receiver.clone()));
///     App::new().service(resource.route(web::post().to(on_event)))
/// };
/// # let _ = app;
/// # Ok::<(), twenty_webhook::verify::ConfigError>(())
/// ```
#[derive(Clone, Debug)]
#[must_use]
pub struct WebhookMiddleware {
    receiver: Receiver,
}

impl WebhookMiddleware {
    /// Creates middleware for this receiver. A [`Verifier`](crate::Verifier) converts into a
    /// receiver with the defaults.
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

/// The service that [`WebhookMiddleware`] creates.
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
        let arrival = receiver.arrival();
        Box::pin(async move {
            let nesting = receiver.nesting(request.extensions().get::<Verified>());
            let is_inside_managed = match nesting {
                Nesting::Verify { is_inside_managed } => is_inside_managed,
                Nesting::PassThrough(verified) => {
                    request.set_payload(Payload::from(verified.body().clone()));
                    return Ok(service.call(request).await?.map_into_left_body());
                }
                Nesting::Refuse(refusal) => return Ok(refuse(request, None, &receiver, refusal)),
            };
            let mut payload = request.take_payload();
            let target = request.uri().path_and_query().map_or("", |target| target.as_str());
            let mut reading = Reading::begin(&receiver, target, request.headers(), 0, is_inside_managed);
            match poll_fn(|cx| reading.poll(&receiver, cx, |cx| Pin::new(&mut payload).poll_next(cx))).await {
                Ok(verified) => {
                    give_back(&mut request, verified.clone());
                    if receiver.only_verifies() {
                        return Ok(service.call(request).await?.map_into_left_body());
                    }
                    // Boxed, because the size would otherwise be added to every request's future.
                    Box::pin(deliver(receiver, service, request, verified, arrival)).await
                }
                Err(refusal) => {
                    let unread = reading.leaves_body_unread().then_some(Unread(payload));
                    Ok(refuse(request, unread, &receiver, refusal))
                }
            }
        })
    }
}

/// Delivers a verified delivery to the handler if more than verification is configured.
async fn deliver<S, B>(
    receiver: Receiver,
    service: Rc<S>,
    request: ServiceRequest,
    verified: Verified,
    arrival: Option<Arrival>,
) -> Result<ServiceResponse<EitherBody<B>>, Error>
where
    S: Service<ServiceRequest, Response = ServiceResponse<B>, Error = Error> + 'static,
    B: MessageBody + 'static,
{
    let head = Head::of(&request);
    let route = receiver.deduplicates().then(|| Route::new(request.method().as_str(), request.path()));
    // The handler takes the request when it starts. If no handler starts, the request is left for
    // the response.
    let request = Rc::new(Cell::new(Some(request)));
    let for_handler = Rc::clone(&request);
    let call = || async move {
        match for_handler.take() {
            Some(request) => service.call(request).await,
            None => Err(WebhookRejection::MissingMiddleware.into()),
        }
    };
    let outcome = |answer: &Result<ServiceResponse<B>, Error>| match answer {
        Ok(answer) => OutcomeKind::of_answer(answer.status().as_u16(), answer.response().extensions().get::<Became>()),
        Err(error) => OutcomeKind::of_answer(error.as_response_error().status_code().as_u16(), None),
    };
    let delivery = Delivery::begin(receiver.clone(), verified, route);
    let work = |delivery: Delivery| delivery.run(call, outcome);
    let delivered = match arrival {
        None => work(delivery).await,
        Some(arrival) => arrival.deliver(delivery, work, rt::spawn).await,
    };
    Ok(match delivered {
        Delivered::Handled(answer) => answer?.map_into_left_body(),
        // The request belongs to the handler, even if the handler has not started.
        Delivered::Acknowledged => head.into_request().into_response(HttpResponse::Accepted()).map_into_right_body(),
        Delivered::Duplicate => {
            let request = request.take().unwrap_or_else(|| head.into_request());
            request.into_response(HttpResponse::Ok()).map_into_right_body()
        }
        Delivered::Refused(refusal) => {
            let request = request.take().unwrap_or_else(|| head.into_request());
            refuse(request, None, &receiver, refusal)
        }
    })
}

/// A copy of a request's head, for a response that is sent while the handler owns the request. A
/// response requires a request, actix panics if a request is cloned before it is routed, and outer
/// middleware such as `Logger` reads the head.
struct Head {
    method: Method,
    uri: Uri,
    version: Version,
    peer: Option<SocketAddr>,
}

impl Head {
    fn of(request: &ServiceRequest) -> Self {
        Self {
            method: request.method().clone(),
            uri: request.uri().clone(),
            version: request.version(),
            peer: request.peer_addr(),
        }
    }

    fn into_request(self) -> ServiceRequest {
        let mut request = TestRequest::default().to_srv_request();
        let head = request.head_mut();
        head.method = self.method;
        head.uri = self.uri;
        head.version = self.version;
        head.peer_addr = self.peer;
        request
    }
}

/// actix-web's default limit for `Bytes` and `String`, in bytes. The limit for `Json` is higher.
const DEFAULT_PAYLOAD_LIMIT: usize = 256 << 10;

fn give_back(request: &mut ServiceRequest, verified: Verified) {
    lift_limits(request, verified.body().len());
    request.set_payload(Payload::from(verified.body().clone()));
    request.extensions_mut().insert(verified);
}

/// Lifts actix-web's own limits, because the verifier has already checked the length. A body below
/// the default limits requires no change.
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

/// Looks up an extractor's configuration as actix-web does.
fn configured<T: Clone + 'static>(request: &ServiceRequest) -> Option<T> {
    let shared = || request.app_data::<Data<T>>().map(|config| &***config);
    request.app_data().or_else(shared).cloned()
}

/// The rest of a rejected request's body. As long as it exists, actix knows that the body has not
/// ended, and closes the connection after the response. If it were dropped, actix would read for as
/// long as chunks arrive.
struct Unread(#[expect(dead_code, reason = "kept alive")] Payload);

fn refuse<B>(
    request: ServiceRequest,
    unread: Option<Unread>,
    receiver: &Receiver,
    refusal: Refusal,
) -> ServiceResponse<EitherBody<B>> {
    let response = receiver.respond(&refusal);
    let (status, headers, body) = response.into_parts(request.version() < Version::HTTP_2, unread.is_some());
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
    response.extensions_mut().insert(refusal);
    if let Some(unread) = unread {
        response.extensions_mut().insert(unread);
    }
    request.into_response(response).map_into_right_body()
}
