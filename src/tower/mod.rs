//! The receiver as a tower layer, for axum, hyper and other tower services.
//!
//! [`WebhookLayer`] wraps a route. Verified requests reach the inner service, with their complete
//! body and a [`Verified`](crate::Verified) in their extensions. All others are rejected with a
//! status from the table in [`receiver`](crate::receiver).
//!
//! # axum
//!
//! You can wrap one route, or the routes that a router has so far. `layer` also wraps the router's
//! fallback, so an unsigned request to an unknown path gets 401. With `route_layer` it gets 404:
//!
//! ```
//! # #[cfg(feature = "axum")] {
//! use axum::{Router, http::StatusCode, routing::{get, post}};
//! use twenty_webhook::{WebhookEvent, receiver::Receiver, tower::WebhookLayer, verify::Verifier};
//!
//! async fn on_event(event: WebhookEvent) -> StatusCode {
//!     println!("{}", event.name);
//!     StatusCode::OK
//! }
//!
//! let layer = WebhookLayer::new(Receiver::new(Verifier::new("secret")?));
//! let one_route: Router = Router::new().route("/webhooks/twenty", post(on_event).layer(layer.clone()));
//! let with_fallback: Router = Router::new().route("/webhooks/twenty", post(on_event)).layer(layer.clone());
//! let routes_only: Router = Router::new()
//!     .route("/webhooks/twenty", post(on_event))
//!     .route_layer(layer)
//!     .route("/health", get(|| async { "ok" }));
//! # let _ = (one_route, with_fallback, routes_only);
//! # }
//! # Ok::<(), twenty_webhook::verify::ConfigError>(())
//! ```
//!
//! # Among other layers
//!
//! The inner service gets a `Request<VerifiedBody>`, which axum's routes accept. A layer in between
//! that requires axum's own body, such as `from_fn`, needs one line that maps it:
//!
//! ```
//! # #[cfg(feature = "axum")] {
//! use axum::{Router, body::Body, extract::Request, middleware::{Next, from_fn}, response::Response, routing::post};
//! use tower::ServiceBuilder;
//! use tower_http::trace::TraceLayer;
//! use twenty_webhook::{WebhookEvent, tower::{VerifiedBody, WebhookLayer}, verify::Verifier};
//!
//! async fn before(request: Request, next: Next) -> Response { next.run(request).await }
//! async fn after(request: Request, next: Next) -> Response { next.run(request).await }
//! async fn on_event(event: WebhookEvent) {}
//!
//! let layers = ServiceBuilder::new()
//!     .layer(TraceLayer::new_for_http())
//!     .layer(from_fn(before))
//!     .layer(WebhookLayer::new(Verifier::new("secret")?))
//!     .map_request(|request: axum::http::Request<VerifiedBody>| request.map(Body::new)) // this line
//!     .layer(from_fn(after));
//! let app: Router = Router::new().route("/webhooks/twenty", post(on_event)).layer(layers);
//! # let _ = app;
//! # }
//! # Ok::<(), twenty_webhook::verify::ConfigError>(())
//! ```
//!
//! # hyper
//!
//! ```
//! use std::convert::Infallible;
//! use http::{Request, Response};
//! use http_body_util::Full;
//! use hyper::body::{Bytes, Incoming};
//! use hyper_util::service::TowerToHyperService;
//! use tower::{ServiceBuilder, service_fn};
//! use twenty_webhook::{Verified, WebhookEvent, tower::{VerifiedBody, WebhookLayer}, verify::Verifier};
//!
//! async fn on_event(request: Request<VerifiedBody>) -> Result<Response<Full<Bytes>>, Infallible> {
//!     if let Some(verified) = request.extensions().get::<Verified>() {
//!         let event: Result<WebhookEvent, _> = WebhookEvent::from_verified(verified.clone());
//!         println!("{event:?}");
//!     }
//!     Ok(Response::default())
//! }
//!
//! let service = ServiceBuilder::new().layer(WebhookLayer::new(Verifier::new("secret")?)).service_fn(on_event);
//! let hyper_service = TowerToHyperService::new(service); // for `hyper::server::conn`
//! # fn is_hyper_service<S: hyper::service::Service<Request<Incoming>>>(_: &S) {}
//! # is_hyper_service(&hyper_service);
//! # Ok::<(), twenty_webhook::verify::ConfigError>(())
//! ```
//!
//! # Requirements
//!
//! The layer requires a tokio runtime with an enabled timer, as in `axum::serve` and every hyper
//! server on tokio, because a body that does not arrive immediately has [a
//! deadline](crate::receiver::Receiver::body_deadline).
//!
//! The service is always ready. It reserves nothing in the inner service for an unverified request,
//! so an unauthenticated client that sends slowly cannot use up an inner `concurrency_limit`. After
//! verification, a clone of the inner service is driven to readiness and called. A limit *outside*
//! the layer does count unverified requests.
//!
//! See [`EventRouter`] for a service for each kind of event, and
//! [`Receiver::drain`](crate::Receiver::drain) for graceful shutdown.
//!
//! Trailers are not signed, so they do not reach the inner service.

mod body;
mod future;
#[cfg(feature = "inbox")]
mod inbox;
mod layer;
mod router;
mod service;

pub use body::{ResponseBody, VerifiedBody};
pub use future::ResponseFuture;
pub use layer::WebhookLayer;
pub use router::{EventRouter, EventService};
pub use service::WebhookService;
