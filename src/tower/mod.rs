//! The receiver as a tower layer, for axum, hyper and whatever else speaks tower.
//!
//! [`WebhookLayer`] goes around a route. Requests that verify reach the inner service, with their
//! body whole and a [`Verified`](crate::Verified) in their extensions; all others are answered as
//! the table in [`receiver`](crate::receiver) says.
//!
//! # axum
//!
//! Around one route, around all routes of a router, or around those it has so far:
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
//! let all_routes: Router = Router::new().route("/webhooks/twenty", post(on_event)).layer(layer.clone());
//! let those_so_far: Router = Router::new()
//!     .route("/webhooks/twenty", post(on_event))
//!     .route_layer(layer)
//!     .route("/health", get(|| async { "ok" }));
//! # let _ = (one_route, all_routes, those_so_far);
//! # }
//! # Ok::<(), twenty_webhook::verify::ConfigError>(())
//! ```
//!
//! # Among other layers
//!
//! The inner service gets a `Request<VerifiedBody>`. Axum's routes take that as they are; a layer
//! between that insists on axum's own body, such as `from_fn`, needs the one line that maps it:
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
//!     .map_request(|request: axum::http::Request<VerifiedBody>| request.map(Body::new)) // this one
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
//! # What it asks for
//!
//! A tokio runtime with its timer on, as `axum::serve` and every hyper server on tokio have: a body
//! that lets us wait is given [a deadline](crate::receiver::Receiver::body_deadline).
//!
//! The service is always ready: it reserves nothing of the inner service for a request that is not
//! verified yet, so a stranger who sends slowly does not use up an inner `concurrency_limit`. After
//! verification a clone of the inner service is made ready and called. A limit *outside* of the
//! layer does count unverified requests.
//!
//! For a service for each kind of event, see [`EventRouter`]; for the end of the program,
//! [`Receiver::drain`](crate::Receiver::drain).
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
