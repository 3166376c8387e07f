use std::{
    fmt,
    future::Future,
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
    receiver::{Reading, Receiver, Refusal},
    verify::Verified,
};

pin_project! {
    /// What [`WebhookService`](super::WebhookService) answers.
    pub struct ResponseFuture<S, B>
    where
        S: Service<Request<VerifiedBody>>,
    {
        #[pin]
        phase: Phase<S, B, S::Future>,
        receiver: Receiver,
    }
}

pin_project! {
    #[project = PhaseProjection]
    enum Phase<S, B, F> {
        /// Reads the body.
        Read { #[pin] body: B, reading: Reading, head: Option<Parts>, inner: Option<S> },
        /// Waits until the inner service is ready.
        Ready { inner: S, request: Option<Request<VerifiedBody>> },
        /// Waits for the inner service's answer.
        Call { #[pin] future: F },
    }
}

impl<S, B> ResponseFuture<S, B>
where
    S: Service<Request<VerifiedBody>>,
{
    pub(super) const fn new(head: Parts, body: B, reading: Reading, receiver: Receiver, inner: S) -> Self {
        Self { phase: Phase::Read { body, reading, head: Some(head), inner: Some(inner) }, receiver }
    }
}

impl<S, B, R> Future for ResponseFuture<S, B>
where
    S: Service<Request<VerifiedBody>, Response = Response<R>>,
    B: Body,
    R: Body<Data: From<Bytes>>,
{
    type Output = Result<Response<ResponseBody<R>>, S::Error>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        loop {
            let next = match this.phase.as_mut().project() {
                PhaseProjection::Read { mut body, reading, head, inner } => {
                    let verdict = ready!(reading.poll(cx, |cx| poll_chunk(body.as_mut(), cx)));
                    let (Some(head), Some(inner)) = (head.take(), inner.take()) else { return Poll::Pending };
                    match verdict {
                        Ok(verified) => Phase::Ready { inner, request: Some(verified_request(head, verified)) },
                        Err(refusal) => return Poll::Ready(Ok(refuse(this.receiver, &refusal, head.version))),
                    }
                }
                PhaseProjection::Ready { inner, request } => {
                    ready!(inner.poll_ready(cx))?;
                    let Some(request) = request.take() else { return Poll::Pending };
                    Phase::Call { future: inner.call(request) }
                }
                PhaseProjection::Call { future } => {
                    let response = ready!(future.poll(cx))?;
                    return Poll::Ready(Ok(response.map(ResponseBody::inner)));
                }
            };
            this.phase.set(next);
        }
    }
}

fn verified_request(head: Parts, verified: Verified) -> Request<VerifiedBody> {
    let body = VerifiedBody::new(verified.body().clone());
    let mut request = Request::from_parts(head, body);
    request.extensions_mut().insert(verified);
    // The verifier has decided what is too long; axum's own limit must not decide again.
    #[cfg(feature = "axum")]
    axum::extract::DefaultBodyLimit::disable().apply(&mut request);
    request
}

fn refuse<R>(receiver: &Receiver, refusal: &Refusal, version: Version) -> Response<ResponseBody<R>> {
    let (status, headers, body) = receiver.respond(refusal).into_parts(version < Version::HTTP_2);
    let mut response = Response::new(ResponseBody::refusal(body));
    *response.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    for (name, value) in headers {
        if let Ok(value) = HeaderValue::from_str(value) {
            response.headers_mut().insert(HeaderName::from_static(name), value);
        }
    }
    response.extensions_mut().insert(*refusal);
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
