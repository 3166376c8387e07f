//! What the tests of your receiver need: deliveries as Twenty sends them, and forgeries.
//!
//! [`Delivery`] is an event's JSON, as Twenty writes it: [a sample](Delivery::sample) of any event, [with members of your
//! choice](Delivery::set), or [a body of your own](Delivery::from_body). [`Delivery::sign`] signs it with a
//! [`Signer`](crate::verify::Signer), [`Delivery::forge`] does so wrongly, and the [`SignedDelivery`] becomes a request.
//!
//! ```
//! use twenty_webhook::{Verifier, WebhookEvent, event::record::Person, testing::{Delivery, Forgery}, verify::{Signer, VerifyErrorKind}};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let verifier = Verifier::new("secret")?;
//! let signer = Signer::new("secret")?;
//! let delivery = Delivery::sample("person.updated").set("record.jobTitle", "Countess")?;
//!
//! let signed = delivery.sign(&signer);
//! let event = WebhookEvent::<Person>::from_verified(verifier.verify(signed.headers(), signed.body().clone())?)?;
//! assert_eq!(event.record.job_title.as_deref(), Some("Countess"));
//! assert!(event.changed("jobTitle"));
//!
//! let forged = delivery.forge(Forgery::Tampered, &signer);
//! let refused = verifier.verify(forged.headers(), forged.body().clone()).unwrap_err();
//! assert_eq!(refused.kind(), VerifyErrorKind::SignatureMismatch);
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
pub use forgery::{Forgery, UnknownForgery};
pub use signed::SignedDelivery;
