use std::{error::Error, fmt, str::FromStr, time::Duration};

use bytes::Bytes;

use super::{Delivery, SignedDelivery};
use crate::verify::{Signer, Timestamp};

/// A kind of forged delivery. A receiver must reject each kind.
///
/// It converts from and to text, for command lines and tables of cases: `tampered`, `stale`,
/// `unsigned`, `wrong-secret`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Forgery {
    /// A digit of the body was changed after signing. The body is still valid JSON.
    Tampered,
    /// Correctly signed, but [an hour ago](Self::STALE_BY), as in a replay. A verifier with a
    /// tolerance of less than an hour rejects it.
    Stale,
    /// Without signature headers, as from a webhook without a secret.
    Unsigned,
    /// Signed with another secret.
    WrongSecret,
}

impl Forgery {
    /// All kinds.
    pub const ALL: &'static [Self] = &[Self::Tampered, Self::Stale, Self::Unsigned, Self::WrongSecret];

    /// How long ago a [stale](Self::Stale) delivery was signed.
    pub const STALE_BY: Duration = Duration::from_secs(60 * 60);

    /// Returns its name, such as `wrong-secret`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Tampered => "tampered",
            Self::Stale => "stale",
            Self::Unsigned => "unsigned",
            Self::WrongSecret => "wrong-secret",
        }
    }

    pub(super) fn of(self, delivery: &Delivery, signer: &Signer, now: Timestamp) -> SignedDelivery {
        match self {
            Self::Tampered => delivery.sign_at(signer, now).with_body(tampered(delivery.body())),
            Self::Stale => delivery.sign_at(signer, now.saturating_sub(Self::STALE_BY)),
            Self::Unsigned => SignedDelivery::new(delivery.body().clone(), Vec::new()),
            Self::WrongSecret => delivery.sign_at(&signer.with_nobodys_secret(), now),
        }
    }
}

/// Changes the last digit, because any digit except zero can replace a digit in JSON. If there is
/// no digit, appends a space.
fn tampered(body: &[u8]) -> Bytes {
    let mut body = body.to_vec();
    match body.iter_mut().rfind(|byte| byte.is_ascii_digit()) {
        Some(digit) => *digit = if *digit == b'1' { b'2' } else { b'1' },
        None => body.push(b' '),
    }
    body.into()
}

impl fmt::Display for Forgery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for Forgery {
    type Err = ParseForgeryError;

    fn from_str(text: &str) -> Result<Self, ParseForgeryError> {
        Self::ALL.iter().copied().find(|forgery| forgery.as_str() == text).ok_or(ParseForgeryError(()))
    }
}

/// The error for a text that is not the name of a [`Forgery`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ParseForgeryError(());

impl fmt::Display for ParseForgeryError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("no such forgery: choose one of")?;
        for (index, forgery) in Forgery::ALL.iter().enumerate() {
            write!(f, "{}{forgery}", if index == 0 { " " } else { ", " })?;
        }
        Ok(())
    }
}

impl Error for ParseForgeryError {}
