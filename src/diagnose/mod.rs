//! Explains why a captured delivery does not verify.
//!
//! [`Verifier::diagnose`](crate::Verifier::diagnose) tries a table of hypotheses on the capture. It
//! returns a [`Diagnosis`]: the causes for which there is evidence, each with advice.

// `capture` reads the headers leniently. `hypothesis` has the table. `circumstances` looks for
// plain facts when no hypothesis holds. `cause` names what was found, and `advice` says what to do.

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

/// Why a delivery does not verify, and what to do about it. [`Verifier::diagnose`] returns it.
///
/// `Display` writes a short report for a terminal. Neither `Display` nor `Debug` shows a secret, a
/// signature or any part of the body.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub struct Diagnosis {
    verdict: Result<(), VerifyError>,
    causes: Vec<Cause>,
}

impl Diagnosis {
    /// Returns the result of [`Verifier::verify`] for this delivery. Its error names only the first
    /// problem; the [causes](Self::causes) explain it.
    ///
    /// # Errors
    ///
    /// Any [`VerifyErrorKind`].
    pub const fn verdict(&self) -> Result<(), VerifyError> {
        self.verdict
    }

    /// Returns the causes, in the order in which you should check them. The list is empty if and
    /// only if the delivery verifies.
    ///
    /// If there are several causes, all of them apply: fix them all. [`Cause::Unexplained`] comes
    /// last.
    #[must_use]
    pub fn causes(&self) -> &[Cause] {
        &self.causes
    }
}

impl fmt::Display for Diagnosis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.verdict {
            Ok(()) => f.write_str("verifies: the delivery is genuine and fresh")?,
            Err(error) => write!(f, "does not verify: {error}")?,
        }
        for (cause, number) in self.causes.iter().zip(1..) {
            write!(f, "\n{number}. {cause}\n   {}", cause.advice())?;
        }
        Ok(())
    }
}

impl Verifier {
    /// Explains why a captured delivery does not verify. It is for operators' tools and for tests,
    /// not for use while a request is being handled.
    ///
    /// Pass the same `headers` and `body` as to [`verify`](Self::verify), as they were received.
    /// The age of the delivery is measured with this verifier's
    /// [clock](crate::verify::VerifierBuilder::clock). To diagnose the capture as of the time when
    /// it was captured, set a [`FixedClock`](crate::verify::FixedClock) to that time.
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
    /// Computes at most 56 HMACs for each secret: that of [`verify`](Self::verify), and one for
    /// each of 55 hypotheses until one explains the signature. For any capture, each HMAC covers at
    /// most about six times the body's length, and the memory stays below 13 times the body's
    /// length. This is fast enough for a person who waits, but too slow to do for every forged
    /// request.
    ///
    /// # Security
    ///
    /// Do not send the diagnosis in a response. It contains no secret, but it shows the sender what
    /// to try next.
    pub fn diagnose<N, V>(&self, headers: impl IntoIterator<Item = (N, V)>, body: impl AsRef<[u8]>) -> Diagnosis
    where
        N: AsRef<[u8]>,
        V: AsRef<[u8]>,
    {
        self.diagnose_among(headers, body, &[])
    }

    /// Like [`diagnose`](Self::diagnose), but also recognises a delivery that was signed with a
    /// secret of another webhook or tenant.
    ///
    /// `others` are their keys. This computes one more HMAC for each of their secrets.
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

    /// Returns the time at which the delivery was signed, according to its headers.
    ///
    /// Like [`diagnose`](Self::diagnose), it also reads a timestamp in seconds, a timestamp among
    /// joined values, and a timestamp in a header that was renamed on the way. The time is not
    /// verified. To diagnose a capture as of its own time, set a
    /// [`FixedClock`](crate::verify::FixedClock) to the returned time.
    ///
    /// Returns `None` if there is no readable timestamp. The diagnosis of such a delivery never
    /// contains [`Cause::TooOld`].
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

    /// Returns how far the signed timestamp is from the current time, if that is too far.
    fn untimely(&self, verdict: VerifyErrorKind, capture: &Capture<'_>) -> Option<Cause> {
        let (now, sent) = (self.now(), capture.timestamp()?);
        let (age, ahead) = (now.saturating_since(sent), sent.saturating_since(now));
        // The verdict also counts, because the clock may have advanced since it was determined.
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
