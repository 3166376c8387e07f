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

/// Dispatches events to services by the event's name. Builds an [`EventService`].
///
/// Put it inside a [`WebhookLayer`](super::WebhookLayer). The most specific pattern wins,
/// regardless of the order in which you add them: the whole name, then `person.*`, then
/// `*.created`, then `*.*`; see [`EventPattern`](crate::event::EventPattern). Unmatched events go
/// to the fallback. Without a fallback they are answered with 200, because Twenty does not retry in
/// any case.
///
/// An event with neither a matching pattern nor a fallback has the outcome
/// [`OutcomeKind::Unmatched`](crate::receiver::OutcomeKind::Unmatched). The first event of each
/// name is logged as a warning, so that you notice a misspelled pattern.
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
    /// Creates a router without services.
    pub fn new() -> Self {
        Self { routes: Routes::default() }
    }

    /// Calls `service` for the events that `pattern` matches. For each event, a clone of the
    /// service is driven to readiness and called.
    pub fn on<S>(mut self, pattern: &str, service: S) -> Self
    where
        S: Service<Request<B>, Response = Response<R>, Error = E, Future: Send> + Clone + Send + Sync + 'static,
    {
        self.routes.on(pattern, boxed(service));
        self
    }

    /// Calls `service` for unmatched events, and for deliveries without a name.
    pub fn fallback<S>(mut self, service: S) -> Self
    where
        S: Service<Request<B>, Response = Response<R>, Error = E, Future: Send> + Clone + Send + Sync + 'static,
    {
        self.routes.fallback(boxed(service));
        self
    }

    /// Builds the router.
    ///
    /// # Errors
    ///
    /// [`PatternError`] names the first pattern that is malformed, that can never match or that was
    /// added twice. A pattern whose action no known version of Twenty sends is only logged as a
    /// warning.
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

/// The service that an [`EventRouter`] builds. Put it inside a
/// [`WebhookLayer`](super::WebhookLayer).
#[must_use]
pub struct EventService<B, R, E> {
    routes: Arc<Routes<BoxedService<B, R, E>>>,
}

impl<B, R: Default + Send + 'static, E: Send + 'static> Service<Request<B>> for EventService<B, R, E> {
    type Response = Response<R>;
    type Error = E;
    type Future = ResponseFuture<R, E>;

    /// Always ready, because only the event decides which service is called.
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

/// Returns the response to a request of this HTTP version.
pub(super) fn reject<R: Default>(rejection: WebhookRejection, version: Version) -> Response<R> {
    rejection.log();
    let mut response = Response::<R>::default();
    *response.status_mut() = StatusCode::from_u16(rejection.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    if version < Version::HTTP_2 && rejection == WebhookRejection::MissingMiddleware {
        // The body stays unread, so the connection must close.
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
