//! Event routers whose handlers return their numbers.

use std::{
    convert::Infallible,
    future::{Ready, ready},
    pin::pin,
    task::{Context, Poll, Waker},
};

use http::{Request, Response, StatusCode};
use tower_service::Service;
use twenty_webhook::{
    event::PatternError,
    tower::{EventRouter, EventService},
    verify::Verified,
};

/// A router whose handlers return their numbers.
#[derive(Clone)]
pub struct Router(EventService<(), (), Infallible>);

impl Router {
    /// Creates a router with a handler for each pattern, and a fallback.
    pub fn new<'a>(patterns: impl IntoIterator<Item = &'a str>) -> Result<Self, PatternError> {
        let router = EventRouter::new().fallback(Numbered(Self::FALLBACK));
        patterns
            .into_iter()
            .zip(200..)
            .fold(router, |router, (pattern, status)| router.on(pattern, Numbered(status)))
            .build()
            .map(Self)
    }

    const FALLBACK: u16 = 500;

    /// Returns which pattern's handler was called, or `None` for the fallback.
    pub fn route(&self, verified: Verified) -> Option<usize> {
        let mut request = Request::new(());
        request.extensions_mut().insert(verified);
        let mut answer = pin!(self.0.clone().call(request));
        let Poll::Ready(Ok(response)) = answer.as_mut().poll(&mut Context::from_waker(Waker::noop())) else {
            panic!("a handler that is ready was not called");
        };
        match response.status().as_u16() {
            Self::FALLBACK => None,
            status => Some(usize::from(status - 200)),
        }
    }
}

#[derive(Clone)]
struct Numbered(u16);

impl Service<Request<()>> for Numbered {
    type Response = Response<()>;
    type Error = Infallible;
    type Future = Ready<Result<Response<()>, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Request<()>) -> Self::Future {
        let mut response = Response::new(());
        *response.status_mut() = StatusCode::from_u16(self.0).expect("a status");
        ready(Ok(response))
    }
}
