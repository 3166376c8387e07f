use std::{fmt, pin::Pin, sync::Arc};

use axum::{extract::Request, handler::Handler, response::Response};

use super::reject;
use crate::{
    event::{PatternError, Routes},
    receiver::{Became, OutcomeKind, WebhookRejection},
    verify::Verified,
};

pub(super) type ResponseFuture = Pin<Box<dyn Future<Output = Response> + Send>>;
type BoxedHandler<S> = Box<dyn Fn(Request, S) -> ResponseFuture + Send + Sync>;

/// Dispatches events to handlers by the event's name. Builds an [`EventHandler`].
///
/// Handlers are ordinary axum handlers, with any extractors and state. The most specific pattern
/// wins, regardless of the order in which you add them: the whole name, then `person.*`, then
/// `*.created`, then `*.*`; see [`EventPattern`](crate::event::EventPattern). Unmatched events go
/// to the fallback. Without a fallback they are answered with 200, because Twenty does not retry in
/// any case.
///
/// An event with neither a matching pattern nor a fallback has the outcome
/// [`OutcomeKind::Unmatched`](crate::receiver::OutcomeKind::Unmatched). The first event of each
/// name is logged as a warning, so that you notice a misspelled pattern.
///
/// ```
/// use axum::{Router, http::StatusCode, routing::post};
/// use twenty_webhook::{
///     Verifier, WebhookEvent,
///     axum::EventRouter,
///     event::record::{Company, MetadataEvent, Person},
///     tower::WebhookLayer,
/// };
///
/// async fn person_created(event: WebhookEvent<Person>) {}
/// async fn company_changed(event: WebhookEvent<Company>) {}
/// async fn gone(event: WebhookEvent) {}
/// async fn schema_changed(event: WebhookEvent<MetadataEvent>) {}
/// async fn ignore() -> StatusCode { StatusCode::OK }
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let on_event = EventRouter::new()
///     .on("person.created", person_created)
///     .on("company.*", company_changed)
///     .on("*.deleted", gone)
///     .on("metadata.*.*", schema_changed)
///     .fallback(ignore)
///     .build()?;
/// let layer = WebhookLayer::new(Verifier::new("secret")?);
/// let app: Router = Router::new().route("/webhooks/twenty", post(on_event).layer(layer));
/// # let _ = app;
/// # Ok(())
/// # }
/// ```
#[must_use = "call `build`"]
pub struct EventRouter<S = ()> {
    routes: Routes<BoxedHandler<S>>,
}

impl<S: Send + 'static> EventRouter<S> {
    /// Creates a router without handlers.
    pub fn new() -> Self {
        Self { routes: Routes::default() }
    }

    /// Calls `handler` for the events that `pattern` matches.
    pub fn on<T: 'static>(mut self, pattern: &str, handler: impl Handler<T, S>) -> Self {
        self.routes.on(pattern, boxed(handler));
        self
    }

    /// Calls `handler` for unmatched events, and for deliveries without a name.
    pub fn fallback<T: 'static>(mut self, handler: impl Handler<T, S>) -> Self {
        self.routes.fallback(boxed(handler));
        self
    }

    /// Builds the router.
    ///
    /// # Errors
    ///
    /// [`PatternError`] names the first pattern that is malformed, that can never match or that was
    /// added twice. A pattern whose action no known version of Twenty sends is only logged as a
    /// warning.
    pub fn build(self) -> Result<EventHandler<S>, PatternError> {
        Ok(EventHandler { routes: Arc::new(self.routes.build()?) })
    }
}

fn boxed<S: 'static, T: 'static>(handler: impl Handler<T, S>) -> BoxedHandler<S> {
    Box::new(move |request, state| Box::pin(handler.clone().call(request, state)))
}

impl<S: Send + 'static> Default for EventRouter<S> {
    fn default() -> Self {
        Self::new()
    }
}

impl<S> fmt::Debug for EventRouter<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EventRouter").field("routes", &self.routes).finish()
    }
}

/// The handler that an [`EventRouter`] builds. Mount it like any other handler, inside the layer.
#[must_use]
pub struct EventHandler<S = ()> {
    routes: Arc<Routes<BoxedHandler<S>>>,
}

/// Distinguishes this implementation of [`Handler`] from axum's own.
#[doc(hidden)]
#[derive(Debug)]
pub struct ByEvent(());

// Errors about other handlers must not suggest this implementation.
#[diagnostic::do_not_recommend]
impl<S: Send + 'static> Handler<ByEvent, S> for EventHandler<S> {
    type Future = ResponseFuture;

    fn call(self, request: Request, state: S) -> ResponseFuture {
        let Some(verified) = request.extensions().get::<Verified>() else {
            let version = request.version();
            return Box::pin(async move { reject(WebhookRejection::MissingMiddleware, version) });
        };
        match self.routes.find(verified) {
            Some(handler) => handler(request, state),
            None => Box::pin(async {
                let mut response = Response::default();
                response.extensions_mut().insert(Became(OutcomeKind::Unmatched));
                response
            }),
        }
    }
}

impl<S> Clone for EventHandler<S> {
    fn clone(&self) -> Self {
        Self { routes: Arc::clone(&self.routes) }
    }
}

impl<S> fmt::Debug for EventHandler<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EventHandler").field("routes", &self.routes).finish()
    }
}
