use std::{pin::Pin, sync::Arc};

use ::actix_web::{
    FromRequest, Handler, HttpMessage as _, HttpRequest, HttpResponse, Responder, ResponseError as _, web::Payload,
};

use crate::{
    event::{PatternError, Routes},
    receiver::{Became, OutcomeKind, WebhookRejection},
    verify::Verified,
};

pub(super) type ResponseFuture = Pin<Box<dyn Future<Output = HttpResponse>>>;
type BoxedHandler = Box<dyn Fn(HttpRequest, Payload) -> ResponseFuture + Send + Sync>;

/// Dispatches events to handlers by the event's name. Builds an [`EventHandler`].
///
/// Handlers are ordinary actix handlers, with any extractors. The most specific pattern wins,
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
/// use actix_web::{App, HttpResponse, web};
/// use twenty_webhook::{
///     Verifier, WebhookEvent,
///     actix_web::{EventRouter, WebhookMiddleware},
///     event::record::{Company, MetadataEvent, Person},
/// };
///
/// async fn person_created(event: WebhookEvent<Person>) -> HttpResponse { HttpResponse::Ok().finish() }
/// async fn company_changed(event: WebhookEvent<Company>) -> HttpResponse { HttpResponse::Ok().finish() }
/// async fn gone(event: WebhookEvent) -> HttpResponse { HttpResponse::Ok().finish() }
/// async fn schema_changed(event: WebhookEvent<MetadataEvent>) -> HttpResponse { HttpResponse::Ok().finish() }
/// async fn ignore() -> HttpResponse { HttpResponse::Ok().finish() }
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let on_event = EventRouter::new()
///     .on("person.created", person_created)
///     .on("company.*", company_changed)
///     .on("*.deleted", gone)
///     .on("metadata.*.*", schema_changed)
///     .fallback(ignore)
///     .build()?;
/// let middleware = WebhookMiddleware::new(Verifier::new("secret")?);
/// let app = move || {
///     let resource = web::resource("/webhooks/twenty").wrap(middleware.clone());
///     App::new().service(resource.route(web::post().to(on_event.clone())))
/// };
/// # let _ = app;
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Default)]
#[must_use = "call `build`"]
pub struct EventRouter {
    routes: Routes<BoxedHandler>,
}

impl EventRouter {
    /// Creates a router without handlers.
    pub fn new() -> Self {
        Self::default()
    }

    /// Calls `handler` for the events that `pattern` matches.
    pub fn on<A>(mut self, pattern: &str, handler: impl Handler<A, Output: Responder> + Send + Sync) -> Self
    where
        A: FromRequest + 'static,
    {
        self.routes.on(pattern, boxed(handler));
        self
    }

    /// Calls `handler` for unmatched events, and for deliveries without a name.
    pub fn fallback<A>(mut self, handler: impl Handler<A, Output: Responder> + Send + Sync) -> Self
    where
        A: FromRequest + 'static,
    {
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
    pub fn build(self) -> Result<EventHandler, PatternError> {
        Ok(EventHandler { routes: Arc::new(self.routes.build()?) })
    }
}

fn boxed<A>(handler: impl Handler<A, Output: Responder> + Send + Sync) -> BoxedHandler
where
    A: FromRequest + 'static,
{
    Box::new(move |request, payload| {
        let handler = handler.clone();
        Box::pin(async move {
            match A::from_request(&request, &mut payload.into_inner()).await {
                Ok(arguments) => handler.call(arguments).await.respond_to(&request).map_into_boxed_body(),
                Err(error) => HttpResponse::from_error(error),
            }
        })
    })
}

/// The handler that an [`EventRouter`] builds. Mount it like any other handler, inside the
/// middleware.
#[derive(Clone, Debug)]
#[must_use]
pub struct EventHandler {
    routes: Arc<Routes<BoxedHandler>>,
}

impl Handler<(HttpRequest, Payload)> for EventHandler {
    type Output = HttpResponse;
    type Future = ResponseFuture;

    fn call(&self, (request, payload): (HttpRequest, Payload)) -> ResponseFuture {
        let Some(verified) = request.extensions().get::<Verified>().cloned() else {
            return Box::pin(async { WebhookRejection::MissingMiddleware.error_response() });
        };
        match self.routes.find(&verified) {
            Some(handler) => handler(request, payload),
            None => Box::pin(async {
                let mut response = HttpResponse::Ok().finish();
                response.extensions_mut().insert(Became(OutcomeKind::Unmatched));
                response
            }),
        }
    }
}
