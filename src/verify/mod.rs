//! Verification: decides whether a delivery came from your Twenty workspace.
//!
//! This module depends on no framework. It takes header pairs and the bytes of the body, and
//! returns a [`Verified`], which proves that exactly these bytes were recently signed with one of
//! your secrets. Only an inbox also creates a `Verified`, when it reads a delivery that it has
//! stored, and `testing::Delivery::into_event`, for tests.
//!
//! ```
//! use twenty_webhook::verify::{Signer, Verifier};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let verifier = Verifier::new("the secret from Twenty's settings")?;
//! # let body = r#"{"eventName":"person.created"}"#;
//! # let signed = Signer::new("the secret from Twenty's settings")?.sign(body);
//! # let headers = signed.pairs();
//! // headers: an iterator of (name, value), such as `&http::HeaderMap`; body: the raw bytes as received
//! let verified = verifier.verify(headers, body)?;
//! assert_eq!(verified.body(), body);
//! # Ok(())
//! # }
//! ```
//!
//! # What is signed
//!
//! Twenty signs `<timestamp header as sent> ":" <raw body>` with HMAC-SHA256. The key is the
//! secret's text in UTF-8: a generated secret looks like hexadecimal, but is *not* decoded. The
//! source is `call-webhook.job.ts` in Twenty's server, which is the same in every version that
//! signs (since January 2025).
//!
//! # When a delivery does not verify
//!
//! [`VerifyErrorKind`] says what was wrong. [`Verifier::diagnose`] takes the headers and the body
//! of such a delivery, and explains the cause and what to do. For example, the secret ends with a
//! newline, the body was parsed and serialized again, or a proxy renames headers.

mod age;
mod clock;
mod error;
mod headers;
mod keys;
mod secret;
mod signer;
mod timestamp;
mod verification;
mod verified;
mod verifier;

pub use clock::{Clock, FixedClock, SystemClock};
pub use error::{ConfigError, SecretFileError, VerifyError, VerifyErrorKind};
pub use headers::SignatureHeaders;
#[cfg(feature = "receiver")]
pub(crate) use headers::SignatureValues;
pub(crate) use headers::{HeaderNames, TimestampHeader, parse_signature};
pub use keys::Keys;
pub(crate) use secret::HmacSha256;
pub use secret::Secret;
pub use signer::Signer;
pub use timestamp::Timestamp;
#[cfg(feature = "receiver")]
pub(crate) use timestamp::whole_millis;
pub use verification::Verification;
pub use verified::Verified;
#[cfg(feature = "receiver")]
pub(crate) use verified::VerifiedBy;
pub use verifier::{Verifier, VerifierBuilder};
