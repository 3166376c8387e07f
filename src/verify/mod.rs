//! Bytes, time and keys: decides whether a delivery came from your Twenty workspace.
//!
//! This ring knows no framework. It takes header pairs and body bytes, and gives back [`Verified`]:
//! evidence that these exact bytes were signed with one of your secrets, recently. Nothing else can
//! make a `Verified`.
//!
//! ```
//! use twenty_webhook::verify::{Signer, Verifier};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let verifier = Verifier::new("the secret from Twenty's settings")?;
//! # let body = r#"{"eventName":"person.created"}"#;
//! # let signed = Signer::new("the secret from Twenty's settings")?.sign(body);
//! # let headers = signed.pairs();
//! // headers: any iterator of (name, value), `&http::HeaderMap` for one; body: the raw bytes, never a parsed and re-written form
//! let verified = verifier.verify(headers, body)?;
//! assert_eq!(verified.body(), body);
//! # Ok(())
//! # }
//! ```
//!
//! # What is signed
//!
//! Twenty signs `<timestamp header as sent> ":" <raw body>` with HMAC-SHA256. The key is the
//! secret's text as UTF-8 bytes: a generated secret looks like hexadecimal, but is *not* decoded.
//! Source: `call-webhook.job.ts` in Twenty's server, unchanged in every version that signs (since
//! January 2025).
//!
//! # When a delivery does not verify
//!
//! [`VerifyErrorKind`] says what was wrong. [`Verifier::diagnose`] says why, given the headers and
//! the body of such a delivery: a newline behind the secret, a body that was parsed and written
//! again, a proxy that renames headers. And what to do about it.

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
