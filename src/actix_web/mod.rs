//! Middleware and extractors for actix-web.
//!
//! [`WebhookMiddleware`] wraps a resource, a scope or a whole app. It passes on verified requests,
//! with their payload, and rejects all others with a status from the table in
//! [`receiver`](crate::receiver). A rejection is an `Ok(response)`, so outer middleware (`Logger`,
//! CORS) sees an ordinary response. Handlers take a [`WebhookEvent`](crate::WebhookEvent) or a
//! [`Verified`](crate::Verified) as an argument.
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
//! // outside the closure, which `HttpServer::new` runs once per worker, so that all workers share it
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
//! Inside the middleware, `web::Bytes`, `String` and `web::Json` can still read the body, up to the
//! verifier's limit. A `PayloadConfig` or `JsonConfig` outside the middleware keeps its settings
//! except for the limit. A configuration inside the middleware (on a resource, with the middleware
//! around the app) keeps all its settings, including its limit.
//!
//! See [`EventRouter`] for a handler for each kind of event, and [`testing`](crate::testing) for
//! tests of your handlers.
//!
//! # Shutting down
//!
//! With [`acknowledge_within`](crate::Receiver::acknowledge_within), handlers outlive their
//! requests, but not the worker on which they run. So drain *before* the server stops; after
//! `server.await` the handlers have already been aborted:
//!
//! ```no_run
//! # use std::time::Duration;
//! # use twenty_webhook::Receiver;
//! use std::net::TcpListener;
//!
//! use actix_web::{App, HttpServer, http::KeepAlive, rt};
//! # #[cfg(target_os = "linux")]
//! use rustix::net::{Shutdown, shutdown};
//!
//! # async fn serve(receiver: Receiver, signal: impl Future<Output = ()> + 'static) -> std::io::Result<()> {
//! # let app = || App::new();
//! let listener = TcpListener::bind("127.0.0.1:3000")?;
//! let socket = listener.try_clone()?;
//! let server = HttpServer::new(app).keep_alive(KeepAlive::Disabled).disable_signals().shutdown_timeout(5);
//! let server = server.listen(listener)?.run();
//! let handle = server.handle();
//! rt::spawn(async move {
//!     signal.await;
//! #   #[cfg(target_os = "linux")]
//!     let _ = shutdown(&socket, Shutdown::Read); // Linux refuses new connections
//!     handle.pause().await; // actix-web stops accepting
//!     rt::time::sleep(Duration::from_secs(1)).await; // accepted connections send their requests
//!     let drained = receiver.drain(Duration::from_secs(10)).await;
//!     handle.stop(true).await;
//! #   let _ = drained;
//! });
//! server.await
//! # }
//! ```
//!
//! - A request on a connection that the server closes is lost, because neither Twenty nor a proxy
//!   retries. So the server keeps no connection alive, and gives new connections a second to send
//!   their request.
//! - `pause` alone leaves the socket open: the kernel keeps accepting connections, and resets them
//!   when the server stops. A load balancer tries the next server only if a connection is refused.
//!   Do not call `shutdown` on a socket that systemd holds.
//!
//! The example `actix_receiver` also accepts the connections that are waiting when the signal
//! arrives.
//!
//! # actix-web itself
//!
//! Note that `Option<WebhookEvent>` as an argument turns *every* failure into `None`, although the
//! middleware has verified the request. Also, actix panics if outer middleware keeps a clone of the
//! `HttpRequest` while it calls the inner service.

mod extract;
#[cfg(feature = "inbox")]
mod inbox;
mod middleware;
mod router;

pub use middleware::{WebhookMiddleware, WebhookMiddlewareService};
pub use router::{EventHandler, EventRouter};
