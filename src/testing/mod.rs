//! Deliveries for tests of your receiver: as Twenty sends them, and forged ones.
//!
//! [`Delivery`] is an event's JSON as Twenty writes it: [a sample](Delivery::sample) of any event,
//! [with members of your choice](Delivery::set), or [a body of your own](Delivery::from_body).
//! [`sign`](Delivery::sign) signs it with a [`Signer`](crate::verify::Signer), and
//! [`forge`](Delivery::forge) makes a forgery of it. Both return a [`SignedDelivery`], which you
//! convert into a request.
//!
//! # With axum
//!
//! `oneshot` calls a router as a server would. It is in the crate `tower`, with the feature `util`.
//!
//! ```
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # #[cfg(feature = "axum")] {
//! use axum::{Router, body::Body, http::StatusCode, routing::post};
//! use tower::ServiceExt;
//! use twenty_webhook::{
//!     Verifier, WebhookEvent,
//!     event::record::Person,
//!     testing::{Delivery, Forgery},
//!     tower::WebhookLayer,
//!     verify::Signer,
//! };
//!
//! async fn greet(event: WebhookEvent<Person>) -> String {
//!     format!("hello, {}", event.record.display_name().unwrap_or_default())
//! }
//!
//! let verifier = Verifier::new("secret")?;
//! let app: Router = Router::new().route("/webhooks/twenty", post(greet).layer(WebhookLayer::new(verifier)));
//!
//! let signer = Signer::new("secret")?;
//! let grace = Delivery::sample("person.created").set("record.name.firstName", "Grace")?;
//! let request = grace.sign(&signer).into_http_request::<Body>("/webhooks/twenty")?;
//! let answer = app.clone().oneshot(request).await?;
//! assert_eq!(answer.status(), StatusCode::OK);
//! assert_eq!(axum::body::to_bytes(answer.into_body(), 100).await?, "hello, Grace Lovelace");
//!
//! // an event that the handler does not accept
//! let request = Delivery::sample("company.created").sign(&signer).into_http_request::<Body>("/webhooks/twenty")?;
//! assert_eq!(app.clone().oneshot(request).await?.status(), StatusCode::UNPROCESSABLE_ENTITY);
//!
//! for &forgery in Forgery::ALL {
//!     let request = grace.forge(forgery, &signer).into_http_request::<Body>("/webhooks/twenty")?;
//!     assert_eq!(app.clone().oneshot(request).await?.status(), StatusCode::UNAUTHORIZED, "{forgery}");
//! }
//! # }
//! # Ok(())
//! # }
//! ```
//!
//! # With actix-web
//!
//! ```
//! # #[actix_web::main]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # #[cfg(feature = "actix-web")] {
//! use actix_web::{App, http::StatusCode, test, web};
//! use twenty_webhook::{
//!     Verifier, WebhookEvent,
//!     actix_web::WebhookMiddleware,
//!     testing::{Delivery, Forgery},
//!     verify::Signer,
//! };
//!
//! async fn on_event(event: WebhookEvent) -> String {
//!     event.name.to_string()
//! }
//!
//! let webhook = WebhookMiddleware::new(Verifier::new("secret")?);
//! let route = web::resource("/webhooks/twenty").wrap(webhook).route(web::post().to(on_event));
//! let app = test::init_service(App::new().service(route)).await;
//!
//! let signer = Signer::new("secret")?;
//! for delivery in Delivery::samples() {
//!     let request = delivery.sign(&signer).into_test_request().uri("/webhooks/twenty").to_request();
//!     assert_eq!(test::call_and_read_body(&app, request).await, delivery.name().as_str());
//!
//!     let request = delivery.forge(Forgery::Tampered, &signer).into_test_request().uri("/webhooks/twenty").to_request();
//!     assert_eq!(test::call_service(&app, request).await.status(), StatusCode::UNAUTHORIZED);
//! }
//! # }
//! # Ok(())
//! # }
//! ```
//!
//! # Without a framework, at a chosen time
//!
//! To test at a certain time, give the verifier a [`FixedClock`](crate::verify::FixedClock) and
//! sign deliveries with its time.
//!
//! ```
//! use std::time::Duration;
//! use twenty_webhook::{Verifier, WebhookEvent, testing::Delivery, verify::{Clock, FixedClock, Secret, Signer, Timestamp}};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let clock = FixedClock::at(Timestamp::from_millis(1_790_932_471_733));
//! let verifier = Verifier::builder().secret(Secret::new("secret")?).clock(clock.clone()).build()?;
//!
//! let signed = Delivery::sample("opportunity.updated").sign_at(&Signer::new("secret")?, clock.now());
//! let event: WebhookEvent = WebhookEvent::from_verified(verifier.verify(signed.headers(), signed.body().clone())?)?;
//! assert!(event.changed("stage"));
//!
//! clock.advance(Duration::from_secs(301));
//! assert!(verifier.verify(signed.headers(), signed.body().clone()).is_err());
//! # Ok(())
//! # }
//! ```

mod delivery;
mod edit;
mod forgery;
mod samples;
mod signed;

pub use delivery::Delivery;
pub use edit::SetError;
pub use forgery::{Forgery, ParseForgeryError};
pub use signed::SignedDelivery;
