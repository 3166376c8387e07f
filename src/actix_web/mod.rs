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
//! For a handler for each kind of event, see [`EventRouter`]; for tests of your handlers, [`testing`](crate::testing).
//!
//! # Shutting down
//!
//! Under [`acknowledge_within`](crate::Receiver::acknowledge_within) handlers outlive their requests, but not the worker that they run on. So
//! drain *before* the server stops; after `server.await` it is too late, and nothing is left to wait for:
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
//!     handle.pause().await; // actix-web does not try to accept any
//!     rt::time::sleep(Duration::from_secs(1)).await; // connections that were accepted send their request
//!     let drained = receiver.drain(Duration::from_secs(10)).await;
//!     handle.stop(true).await;
//! #   let _ = drained;
//! });
//! server.await
//! # }
//! ```
//!
//! - A request on a connection that the server is closing is lost, and neither Twenty nor a proxy repeats it. So no connection is kept
//!   alive, and one that was just accepted has a second for its request.
//! - `pause` alone leaves the socket open: the system goes on to take connections, and resets them when the server stops. A load
//!   balancer tries its next server only if a connection is refused. Leave `shutdown` out for a socket that systemd holds.
//!
//! The example `actix_receiver` also accepts the connections that wait when the signal arrives.
//!
//! # actix-web itself
//!
//! Two things about it. `Option<WebhookEvent>` as an argument turns *every* failure into `None`; the middleware has verified
//! the request all the same. And actix panics when a clone of the `HttpRequest` is kept across a call of the inner service, so keep none in
//! middleware outside of this one.

mod extract;
#[cfg(feature = "inbox")]
mod inbox;
mod middleware;
mod router;

pub use middleware::{WebhookMiddleware, WebhookMiddlewareService};
pub use router::{EventHandler, EventRouter};
