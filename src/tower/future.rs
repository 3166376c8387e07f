use std::{
    fmt,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http::{HeaderValue, Request, Response, StatusCode, Version, header::HeaderName, request::Parts};
use http_body::Body;
use pin_project_lite::pin_project;
use tower_service::Service;

use super::{ResponseBody, VerifiedBody, body::poll_chunk};
use crate::{
    receiver::{Arrival, Became, Delivered, Delivery, OutcomeKind, Reading, Receiver, Refusal, Route},
    verify::Verified,
};

pin_project! {
    /// The future that [`WebhookService`](super::WebhookService) returns.
    #[must_use = "a future does nothing unless it is polled"]
    pub struct ResponseFuture<S, B>
    where
        S: Service<Request<VerifiedBody>>,
    {
        #[pin]
        phase: Phase<S, B, S::Future, Result<S::Response, S::Error>>,
        receiver: Receiver,
    }
}

pin_project! {
    #[project = PhaseProjection]
    enum Phase<S, B, F, A> {
        /// Rejects the request, because an outer middleware also deduplicates or acknowledges.
        Refuse { refusal: Refusal, version: Version },
        /// Reads the body.
        Read { #[pin] body: B, reading: Reading, head: Option<Parts>, inner: Option<S>, arrival: Option<Arrival> },
        /// If only verification is configured, calls the inner service.
        Call { #[pin] call: Call<S, F> },
        /// If more than verification is configured, waits for the delivery.
        Deliver { future: Delivering<A>, version: Version },
    }
}

pin_project! {
    /// Waits until the inner service is ready, and calls it.
    #[project = CallProjection]
    enum Call<S, F> {
        Ready { inner: S, request: Option<Request<VerifiedBody>> },
        Respond { #[pin] future: F },
    }
}

impl<S: Service<Request<VerifiedBody>>> Call<S, S::Future> {
    fn new(inner: S, request: Request<VerifiedBody>) -> Self {
        Self::Ready { inner, request: Some(request) }
    }
}

impl<S: Service<Request<VerifiedBody>>> Future for Call<S, S::Future> {
    type Output = Result<S::Response, S::Error>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        if let CallProjection::Ready { inner, request } = self.as_mut().project() {
            ready!(inner.poll_ready(cx))?;
            let Some(request) = request.take() else { return Poll::Pending };
            let future = inner.call(request);
            self.set(Self::Respond { future });
        }
        match self.project() {
            CallProjection::Ready { .. } => Poll::Pending,
            CallProjection::Respond { future } => future.poll(cx),
        }
    }
}

type Delivering<A> = Pin<Box<dyn Future<Output = Delivered<A>> + Send>>;

impl<S, B> ResponseFuture<S, B>
where
    S: Service<Request<VerifiedBody>>,
{
    pub(super) fn new(head: Parts, body: B, reading: Reading, receiver: Receiver, inner: S) -> Self {
        let arrival = receiver.arrival();
        let phase = Phase::Read { body, reading, head: Some(head), inner: Some(inner), arrival };
        Self { phase, receiver }
    }

    /// Passes a delivery through, because the outer middleware belongs to the same receiver and has
    /// done everything.
    pub(super) fn pass_through(head: Parts, verified: &Verified, receiver: Receiver, inner: S) -> Self {
        let body = VerifiedBody::new(verified.body().clone());
        Self { phase: Phase::Call { call: Call::new(inner, Request::from_parts(head, body)) }, receiver }
    }

    pub(super) fn refuse(version: Version, refusal: Refusal, receiver: Receiver) -> Self {
        Self { phase: Phase::Refuse { refusal, version }, receiver }
    }
}

impl<S, B, R> Future for ResponseFuture<S, B>
where
    S: Service<Request<VerifiedBody>, Response = Response<R>, Error: Send, Future: Send> + Send + 'static,
    B: Body,
    R: Body<Data: From<Bytes>> + Send + 'static,
{
    type Output = Result<Response<ResponseBody<R>>, S::Error>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        loop {
            let next = match this.phase.as_mut().project() {
                PhaseProjection::Refuse { refusal, version } => {
                    return Poll::Ready(Ok(refuse(this.receiver, *refusal, *version, false)));
                }
                PhaseProjection::Read { mut body, reading, head, inner, arrival } => {
                    let verdict = ready!(reading.poll(this.receiver, cx, |cx| poll_chunk(body.as_mut(), cx)));
                    let (Some(head), Some(inner)) = (head.take(), inner.take()) else { return Poll::Pending };
                    let version = head.version;
                    match verdict {
                        Ok(verified) if this.receiver.only_verifies() => {
                            Phase::Call { call: Call::new(inner, verified_request(head, verified)) }
                        }
                        Ok(verified) => {
                            let future = deliver(this.receiver.clone(), inner, head, verified, arrival.take());
                            Phase::Deliver { future, version }
                        }
                        Err(refusal) => {
                            let is_unread = reading.leaves_body_unread();
                            return Poll::Ready(Ok(refuse(this.receiver, refusal, version, is_unread)));
                        }
                    }
                }
                PhaseProjection::Call { call } => {
                    let response = ready!(call.poll(cx))?;
                    return Poll::Ready(Ok(response.map(ResponseBody::inner)));
                }
                PhaseProjection::Deliver { future, version } => {
                    return Poll::Ready(match ready!(future.as_mut().poll(cx)) {
                        Delivered::Handled(answer) => answer.map(|response| response.map(ResponseBody::inner)),
                        Delivered::Duplicate => Ok(bare(StatusCode::OK)),
                        Delivered::Acknowledged => Ok(bare(StatusCode::ACCEPTED)),
                        Delivered::Refused(refusal) => Ok(refuse(this.receiver, refusal, *version, false)),
                    });
                }
            };
            this.phase.set(next);
        }
    }
}

/// Delivers a verified delivery if more than verification is configured.
fn deliver<S, R>(
    receiver: Receiver,
    inner: S,
    head: Parts,
    verified: Verified,
    arrival: Option<Arrival>,
) -> Delivering<Result<Response<R>, S::Error>>
where
    S: Service<Request<VerifiedBody>, Response = Response<R>, Error: Send, Future: Send> + Send + 'static,
    R: Send + 'static,
{
    let route = receiver.deduplicates().then(|| route(&head));
    let request = verified_request(head, verified.clone());
    let call = || Call::new(inner, request);
    let outcome = |answer: &Result<Response<R>, S::Error>| match answer {
        Ok(response) => OutcomeKind::of_answer(response.status().as_u16(), response.extensions().get::<Became>()),
        Err(_) => OutcomeKind::Failed { status: 500 },
    };
    let delivery = Delivery::begin(receiver, verified, route);
    let work = move |delivery: Delivery| delivery.run(call, outcome);
    match arrival {
        None => Box::pin(work(delivery)),
        Some(arrival) => Box::pin(arrival.deliver(delivery, work, tokio::spawn)),
    }
}

/// Returns the request's route. Its path is the one that was sent, even inside axum's `nest`, which
/// strips a prefix.
fn route(head: &Parts) -> Route {
    #[cfg(feature = "axum")]
    if let Some(axum::extract::OriginalUri(uri)) = head.extensions.get() {
        return Route::new(head.method.as_str(), uri.path());
    }
    Route::new(head.method.as_str(), head.uri.path())
}

fn verified_request(head: Parts, verified: Verified) -> Request<VerifiedBody> {
    let body = VerifiedBody::new(verified.body().clone());
    let mut request = Request::from_parts(head, body);
    request.extensions_mut().insert(verified);
    // The limit of axum itself is lifted, because the verifier has already checked the length.
    #[cfg(feature = "axum")]
    axum::extract::DefaultBodyLimit::disable().apply(&mut request);
    request
}

fn bare<R>(status: StatusCode) -> Response<ResponseBody<R>> {
    let mut response = Response::new(ResponseBody::own(Bytes::new()));
    *response.status_mut() = status;
    response
}

/// Returns the response to a rejected request. `is_unread` is whether part of its body was not
/// read.
fn refuse<R>(receiver: &Receiver, refusal: Refusal, version: Version, is_unread: bool) -> Response<ResponseBody<R>> {
    let (status, headers, body) = receiver.respond(&refusal).into_parts(version < Version::HTTP_2, is_unread);
    let mut response = Response::new(ResponseBody::own(body));
    *response.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    for (name, value) in headers {
        if let Ok(value) = HeaderValue::from_str(value) {
            response.headers_mut().insert(HeaderName::from_static(name), value);
        }
    }
    response.extensions_mut().insert(refusal);
    response
}

impl<S, B> fmt::Debug for ResponseFuture<S, B>
where
    S: Service<Request<VerifiedBody>>,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponseFuture").finish_non_exhaustive()
    }
}
