use std::{
    fmt,
    future::poll_fn,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use http::{HeaderValue, Request, Response, StatusCode, Version, header::CONNECTION};
use tower_service::Service;

use crate::{
    event::{PatternError, Routes},
    receiver::{Became, OutcomeKind, WebhookRejection},
    verify::Verified,
};

type ResponseFuture<R, E> = Pin<Box<dyn Future<Output = Result<Response<R>, E>> + Send>>;
type BoxedService<B, R, E> = Box<dyn Fn(Request<B>) -> ResponseFuture<R, E> + Send + Sync>;

/// Calls one service or another, by the event's name. Builds an [`EventService`].
///
/// Goes inside of a [`WebhookLayer`](super::WebhookLayer). The most exact pattern wins, whatever
/// the order: the whole name, then `person.*`, then `*.created`, then `*.*`; see
/// [`EventPattern`](crate::event::EventPattern). What no pattern matches goes to the fallback, or
/// is answered with 200, since Twenty would not send it again anyway.
///
/// An unmatched event, with no pattern and no fallback for it, has an outcome of its own:
/// [`OutcomeKind::Unmatched`](crate::receiver::OutcomeKind::Unmatched). The first one of each name
/// is logged as a warning, so that a misspelled pattern is seen.
///
/// ```
/// use std::convert::Infallible;
/// use bytes::Bytes;
/// use http::{Request, Response};
/// use http_body_util::Full;
/// use tower::{Layer, service_fn};
/// use twenty_webhook::{Verifier, tower::{EventRouter, VerifiedBody, WebhookLayer}};
///
/// async fn person_created(request: Request<VerifiedBody>) -> Result<Response<Full<Bytes>>, Infallible> {
///     Ok(Response::default())
/// }
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let on_event = EventRouter::new().on("person.created", service_fn(person_created)).build()?;
/// let service = WebhookLayer::new(Verifier::new("secret")?).layer(on_event);
/// # let _ = service;
/// # Ok(())
/// # }
/// ```
#[must_use = "call `build`"]
pub struct EventRouter<B, R, E> {
    routes: Routes<BoxedService<B, R, E>>,
}

impl<B: Send + 'static, R, E> EventRouter<B, R, E> {
    /// A router without services.
    pub fn new() -> Self {
        Self { routes: Routes::default() }
    }

    /// Calls `service` for the events that `pattern` matches. For each event a clone of it is made
    /// ready and called.
    pub fn on<S>(mut self, pattern: &str, service: S) -> Self
    where
        S: Service<Request<B>, Response = Response<R>, Error = E, Future: Send> + Clone + Send + Sync + 'static,
    {
        self.routes.on(pattern, boxed(service));
        self
    }

    /// Calls `service` for the events that no pattern matches, and for deliveries without a name.
    pub fn fallback<S>(mut self, service: S) -> Self
    where
        S: Service<Request<B>, Response = Response<R>, Error = E, Future: Send> + Clone + Send + Sync + 'static,
    {
        self.routes.fallback(boxed(service));
        self
    }

    /// Builds it.
    ///
    /// # Errors
    ///
    /// [`PatternError`]: names the first pattern that is malformed, can never match or was given
    /// twice. A pattern whose action no known version of Twenty sends is logged as a warning.
    pub fn build(self) -> Result<EventService<B, R, E>, PatternError> {
        Ok(EventService { routes: Arc::new(self.routes.build()?) })
    }
}

fn boxed<S, B, R, E>(service: S) -> BoxedService<B, R, E>
where
    S: Service<Request<B>, Response = Response<R>, Error = E, Future: Send> + Clone + Send + Sync + 'static,
    B: Send + 'static,
{
    Box::new(move |request| {
        let mut service = service.clone();
        Box::pin(async move {
            poll_fn(|cx| service.poll_ready(cx)).await?;
            service.call(request).await
        })
    })
}

impl<B: Send + 'static, R, E> Default for EventRouter<B, R, E> {
    fn default() -> Self {
        Self::new()
    }
}

impl<B, R, E> fmt::Debug for EventRouter<B, R, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EventRouter").field("routes", &self.routes).finish()
    }
}

/// What an [`EventRouter`] builds: a service for the inside of a
/// [`WebhookLayer`](super::WebhookLayer).
#[must_use]
pub struct EventService<B, R, E> {
    routes: Arc<Routes<BoxedService<B, R, E>>>,
}

impl<B, R: Default + Send + 'static, E: Send + 'static> Service<Request<B>> for EventService<B, R, E> {
    type Response = Response<R>;
    type Error = E;
    type Future = ResponseFuture<R, E>;

    /// Always ready: which service has to be is known with the event.
    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), E>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let Some(verified) = request.extensions().get::<Verified>() else {
            let response = reject(WebhookRejection::MissingMiddleware, request.version());
            return Box::pin(async { Ok(response) });
        };
        match self.routes.find(verified) {
            Some(service) => service(request),
            None => Box::pin(async {
                let mut response = Response::<R>::default();
                response.extensions_mut().insert(Became(OutcomeKind::Unmatched));
                Ok(response)
            }),
        }
    }
}

/// The response to a request of this version.
pub(super) fn reject<R: Default>(rejection: WebhookRejection, version: Version) -> Response<R> {
    rejection.log();
    let mut response = Response::<R>::default();
    *response.status_mut() = StatusCode::from_u16(rejection.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    if version < Version::HTTP_2 && rejection == WebhookRejection::MissingMiddleware {
        // Nobody reads the body, so the connection cannot go on.
        response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    }
    response.extensions_mut().insert(rejection);
    response
}

impl<B, R, E> Clone for EventService<B, R, E> {
    fn clone(&self) -> Self {
        Self { routes: Arc::clone(&self.routes) }
    }
}

impl<B, R, E> fmt::Debug for EventService<B, R, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EventService").field("routes", &self.routes).finish()
    }
}
