//! Finds out why a captured delivery does not verify.
//!
//! [`Verifier::diagnose`](crate::Verifier::diagnose) tries a table of hypotheses on the capture and
//! returns a
//! [`Diagnosis`]: the causes that evidence shows, each with advice.

// `capture` reads the headers leniently, `hypothesis` has the table, `circumstances` looks at plain
// facts when no hypothesis holds, `cause` names what was found and `advice` says what to do.

mod advice;
mod capture;
mod cause;
mod circumstances;
mod encoding;
mod hypothesis;
mod json;
mod proof;
mod signature;

use std::fmt;

use bytes::Bytes;

pub use self::cause::{Cause, Rewriting, SecretEncoding};
use self::{capture::Capture, hypothesis::Evidence, proof::Proof};
use crate::verify::{Keys, Timestamp, Verifier, VerifyError, VerifyErrorKind};

/// Why a delivery does not verify, and what to do about it. Made by [`Verifier::diagnose`].
///
/// `Display` is a short report for a terminal. Neither it nor `Debug` shows a secret, a signature
/// or any part of the body.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub struct Diagnosis {
    verdict: Result<(), VerifyError>,
    causes: Vec<Cause>,
}

impl Diagnosis {
    /// What [`Verifier::verify`] says to this delivery. It names the first thing it comes upon; the
    /// [causes](Self::causes) say what is behind it.
    ///
    /// # Errors
    ///
    /// Of any [kind](VerifyErrorKind).
    pub const fn verdict(&self) -> Result<(), VerifyError> {
        self.verdict
    }

    /// What was found, the first to look at first. Empty when the delivery verifies, and only then.
    ///
    /// Several hold at the same time: mend them all. [`Cause::Unexplained`] comes last.
    #[must_use]
    pub fn causes(&self) -> &[Cause] {
        &self.causes
    }
}

impl fmt::Display for Diagnosis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.verdict {
            Ok(()) => f.write_str("verifies: the delivery is genuine and in time")?,
            Err(error) => write!(f, "does not verify: {error}")?,
        }
        for (cause, number) in self.causes.iter().zip(1..) {
            write!(f, "\n{number}. {cause}\n   {}", cause.advice())?;
        }
        Ok(())
    }
}

impl Verifier {
    /// Tells why a captured delivery does not verify: for an operator's tools and tests, not for
    /// the path of requests.
    ///
    /// `headers` and `body` are those of [`verify`](Self::verify), as they were received. The
    /// present is that of this verifier's [clock](crate::verify::VerifierBuilder::clock): set a
    /// [`FixedClock`](crate::verify::FixedClock) to the time of the capture to judge it as of then.
    ///
    /// ```
    /// use twenty_webhook::{diagnose::Cause, verify::{Signer, Verifier}};
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let body = r#"{"eventName":"person.created","record":{}}"#;
    /// let headers = Signer::new("the secret")?.sign(body).pairs();
    ///
    /// let diagnosis = Verifier::new("the secret\n")?.diagnose(headers, body);
    ///
    /// assert_eq!(diagnosis.causes(), [Cause::SecretPadded]);
    /// println!("{diagnosis}"); // what was found, and what to do about it
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Cost
    ///
    /// Computes at most 56 HMACs for each secret: [`verify`](Self::verify)'s own, and one for each
    /// of 55 hypotheses until one explains the signature. Each is over at most about six times the
    /// body's length, and memory stays below 13 times of it, whatever was captured. So it is quick
    /// enough for a person who waits, and too slow for every forged request.
    ///
    /// # Security
    ///
    /// Do not send it in a response. It holds no secret, but it tells the sender what to try next.
    pub fn diagnose<N, V>(&self, headers: impl IntoIterator<Item = (N, V)>, body: impl AsRef<[u8]>) -> Diagnosis
    where
        N: AsRef<[u8]>,
        V: AsRef<[u8]>,
    {
        self.diagnose_among(headers, body, &[])
    }

    /// Like [`diagnose`](Self::diagnose), and also tells when a secret of another webhook or tenant
    /// signed.
    ///
    /// Computes one more HMAC for each secret of the others.
    ///
    /// ```
    /// use twenty_webhook::{diagnose::Cause, verify::{Keys, Secret, Signer, Verifier}};
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let acme = Keys::new("acme", [Secret::new("secret of acme")?])?;
    /// let headers = Signer::new("secret of acme")?.sign("{}").pairs();
    ///
    /// let diagnosis = Verifier::new("secret of globex")?.diagnose_among(headers, "{}", &[acme]);
    ///
    /// assert_eq!(diagnosis.causes(), [Cause::OtherKeys { id: "acme".into() }]);
    /// # Ok(())
    /// # }
    /// ```
    pub fn diagnose_among<N, V>(
        &self,
        headers: impl IntoIterator<Item = (N, V)>,
        body: impl AsRef<[u8]>,
        others: &[Keys],
    ) -> Diagnosis
    where
        N: AsRef<[u8]>,
        V: AsRef<[u8]>,
    {
        let headers: Vec<(N, V)> = headers.into_iter().collect();
        let headers: Vec<Header<'_>> = headers.iter().map(|(name, value)| (name.as_ref(), value.as_ref())).collect();
        let body = body.as_ref();
        match self.verify(headers.iter().copied(), Bytes::copy_from_slice(body)) {
            Ok(_) => Diagnosis { verdict: Ok(()), causes: Vec::new() },
            Err(error) => {
                let capture = Capture::new(self.names(), &headers);
                let causes = self.causes(error.kind(), &capture, body, others);
                Diagnosis { verdict: Err(error), causes }
            }
        }
    }

    /// The time at which captured headers say that the delivery was signed, as
    /// [`diagnose`](Self::diagnose) reads it: in seconds as well, among values that were joined,
    /// and under a name that something on the way changed.
    ///
    /// To judge a capture as of its own time, set a [`FixedClock`](crate::verify::FixedClock) to
    /// it. `None` when there is no timestamp, or none that can be read: then no diagnosis finds it
    /// too old. It is verified no more than the headers are.
    ///
    /// ```
    /// use twenty_webhook::verify::{Timestamp, Verifier};
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let headers = [("X_Twenty_Webhook_Timestamp", "1790932471733, 1790932471733")];
    /// let claimed = Verifier::new("the secret")?.claimed_timestamp(headers);
    /// assert_eq!(claimed, Some(Timestamp::from_millis(1_790_932_471_733)));
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn claimed_timestamp<N, V>(&self, headers: impl IntoIterator<Item = (N, V)>) -> Option<Timestamp>
    where
        N: AsRef<[u8]>,
        V: AsRef<[u8]>,
    {
        let headers: Vec<(N, V)> = headers.into_iter().collect();
        let headers: Vec<Header<'_>> = headers.iter().map(|(name, value)| (name.as_ref(), value.as_ref())).collect();
        Capture::new(self.names(), &headers).timestamp()
    }

    fn causes(&self, verdict: VerifyErrorKind, capture: &Capture<'_>, body: &[u8], others: &[Keys]) -> Vec<Cause> {
        let proof = Evidence::new(capture, body).and_then(|evidence| {
            let by_others = || others.iter().find_map(|keys| evidence.explain_by_others(keys));
            evidence.explain(self.keys().secrets()).or_else(by_others)
        });
        let mut causes = capture.causes(proof.as_ref());
        let limit = self.body_limit();
        let too_long = (body.len() > limit).then_some(Cause::BodyTooLong { received: body.len(), limit });
        match proof {
            Some(Proof { causes: proven, is_timestamp_signed, .. }) => {
                causes.extend(proven);
                causes.extend(too_long);
                if is_timestamp_signed {
                    causes.extend(self.untimely(verdict, capture));
                }
            }
            None => {
                causes.extend(too_long);
                causes.extend(circumstances::of(capture, body));
            }
        }
        causes
    }

    /// How far off the timestamp is, which was signed.
    fn untimely(&self, verdict: VerifyErrorKind, capture: &Capture<'_>) -> Option<Cause> {
        let (now, sent) = (self.now(), capture.timestamp()?);
        let (age, ahead) = (now.saturating_since(sent), sent.saturating_since(now));
        // The verdict counts as well, since the clock may have moved on meanwhile.
        if verdict == VerifyErrorKind::TooOld || age > self.tolerance() {
            Some(Cause::TooOld { age })
        } else if verdict == VerifyErrorKind::FromTheFuture || ahead > self.tolerance() {
            Some(Cause::FromTheFuture { ahead })
        } else {
            None
        }
    }
}

/// A name and a value.
type Header<'a> = (&'a [u8], &'a [u8]);
