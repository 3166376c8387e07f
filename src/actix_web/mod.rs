//! Middleware and extractors for actix-web.
//!
//! [`WebhookMiddleware`] goes around a resource, a scope or a whole app. Requests that verify go
//! on, with their payload whole; all others are answered as the table in
//! [`receiver`](crate::receiver) says, with `Ok(response)`, so that middleware outside (`Logger`,
//! CORS) sees an ordinary response. [`WebhookEvent`](crate::WebhookEvent) and
//! [`Verified`](crate::Verified) are handler arguments.
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
//! Behind the middleware, `web::Bytes`, `String` and `web::Json` still find the body, as long as
//! the verifier's limit allows. A `PayloadConfig` or `JsonConfig` that is set outside of the
//! middleware keeps its say in all but the limit; one that is set inside (on a resource, with the
//! middleware around the app) has its own limit, too.
//!
//! For a handler for each kind of event, see [`EventRouter`]; for tests of your handlers,
//! [`testing`](crate::testing).
//!
//! # Shutting down
//!
//! Under [`acknowledge_within`](crate::Receiver::acknowledge_within) handlers outlive their
//! requests, but not the worker that they run on. So drain *before* the server stops; after
//! `server.await` it is too late, and nothing is left to wait for:
//!
//! ```no_run
//! # use std::time::Duration;
//! # use actix_web::{HttpServer, App, rt};
//! # use twenty_webhook::Receiver;
//! # async fn serve(receiver: Receiver, signal: impl Future<Output = ()> + 'static) -> std::io::Result<()> {
//! # let app = || App::new();
//! let server = HttpServer::new(app).disable_signals().shutdown_timeout(5).bind("127.0.0.1:3000")?.run();
//! let handle = server.handle();
//! rt::spawn(async move {
//!     signal.await;
//!     handle.pause().await; // no new connections
//!     let drained = receiver.drain(Duration::from_secs(10)).await;
//!     handle.stop(true).await;
//! #   let _ = drained;
//! });
//! server.await
//! # }
//! ```
//!
//! # actix-web itself
//!
//! Two things about it. `Option<WebhookEvent>` as an argument turns *every* failure into `None`;
//! the middleware has verified the request all the same. And actix panics when a clone of the
//! `HttpRequest` is kept across a call of the inner service, so keep none in middleware outside of
//! this one.

mod extract;
#[cfg(feature = "inbox")]
mod inbox;
mod middleware;
mod router;

pub use middleware::{WebhookMiddleware, WebhookMiddlewareService};
pub use router::{EventHandler, EventRouter};
