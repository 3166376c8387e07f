//! Middleware and extractors for actix-web.
//!
//! [`WebhookMiddleware`] goes around a resource, a scope or a whole app. Requests that verify go on, with their payload whole; all others
//! are answered as the table in [`receiver`](crate::receiver) says, with `Ok(response)`, so that middleware outside (`Logger`, CORS) sees
//! an ordinary response. [`WebhookEvent`](crate::WebhookEvent) and [`Verified`](crate::Verified) are
//! handler arguments.
//!
//! ```
//! use actix_web::{App, HttpResponse, web};
//! use twenty_webhook::{WebhookEvent, actix_web::WebhookMiddleware, receiver::Receiver, verify::Verifier};
//!
//! async fn on_event(event: WebhookEvent) -> HttpResponse {
//!     println!("{}", event.name);
//!     HttpResponse::Ok().finish()
//! }
//!
//! // outside of the closure that `HttpServer::new` runs once a worker, so that all workers share it
//! let receiver = Receiver::new(Verifier::new("secret")?);
//! let app = move || {
//!     App::new().service(
//!         web::resource("/webhooks/twenty")
//!             .wrap(WebhookMiddleware::new(receiver.clone()))
//!             .route(web::post().to(on_event)),
//!     )
//! };
//! # let _ = app;
//! # Ok::<(), twenty_webhook::verify::ConfigError>(())
//! ```
//!
//! Behind the middleware, `web::Bytes`, `String` and `web::Json` still find the body, as long as the verifier's limit allows. A
//! `PayloadConfig` or `JsonConfig` that is set outside of the middleware keeps its say in all but the limit; one that is set inside
//! (on a resource, with the middleware around the app) has its own limit, too.
//!
//! Two things about actix-web itself. `Option<WebhookEvent>` as an argument turns *every* failure into `None`; the middleware has verified
//! the request all the same. And actix panics when a clone of the `HttpRequest` is kept across a call of the inner service, so keep none in
//! middleware outside of this one.

mod extract;
mod middleware;
mod router;

pub use middleware::{WebhookMiddleware, WebhookMiddlewareService};
pub use router::{EventHandler, EventRouter};
