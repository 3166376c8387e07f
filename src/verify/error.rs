use std::{error::Error, fmt, io, path::PathBuf};

/// Why a delivery did not verify.
///
/// It contains no secret, signature or body, so you can log it. Match on its [`kind`](Self::kind)
/// to handle it; the sender gets only a status.
///
/// ```
/// use twenty_webhook::verify::{Signer, Verifier, VerifyErrorKind};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let headers = Signer::new("another secret")?.sign("{}").pairs();
/// let error = Verifier::new("the secret")?.verify(headers, "{}").unwrap_err();
/// assert_eq!(error.kind(), VerifyErrorKind::SignatureMismatch);
/// assert_eq!(error.to_string(), "no secret gives this signature for this timestamp and body");
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct VerifyError {
    kind: VerifyErrorKind,
}

impl VerifyError {
    /// Returns what was wrong.
    #[must_use]
    pub const fn kind(&self) -> VerifyErrorKind {
        self.kind
    }
}

impl From<VerifyErrorKind> for VerifyError {
    fn from(kind: VerifyErrorKind) -> Self {
        Self { kind }
    }
}

impl fmt::Display for VerifyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.kind.message())
    }
}

impl Error for VerifyError {}

/// The reason why a delivery did not verify.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum VerifyErrorKind {
    /// There is neither a signature nor a timestamp. Twenty sends no signature headers if the
    /// webhook has no secret.
    Unsigned,
    /// A timestamp without a signature.
    MissingSignature,
    /// A signature without a timestamp.
    MissingTimestamp,
    /// More than one signature header.
    RepeatedSignature,
    /// More than one timestamp header.
    RepeatedTimestamp,
    /// A signature that is not 64 lower-case hexadecimal digits.
    MalformedSignature,
    /// A timestamp that is not 1 to 20 ASCII digits, or does not fit 64 bits.
    MalformedTimestamp,
    /// Ten digits: seconds since 1970, where Twenty sends milliseconds.
    TimestampInSeconds,
    /// The timestamp is older than the tolerance allows: a replay, a delay on the way, or a wrong
    /// clock.
    TooOld,
    /// The timestamp is further in the future than the tolerance allows: a wrong clock.
    FromTheFuture,
    /// The body is longer than the limit. If the delivery was genuine, its event is lost: raise the
    /// limit.
    BodyTooLong,
    /// No secret gives this signature: the delivery is forged, its body was changed on the way, or
    /// the secret is not this webhook's.
    SignatureMismatch,
}

impl VerifyErrorKind {
    const fn message(self) -> &'static str {
        match self {
            Self::Unsigned => {
                "unsigned: neither signature nor timestamp header (a webhook without a secret sends none)"
            }
            Self::MissingSignature => "timestamp header without a signature header",
            Self::MissingTimestamp => "signature header without a timestamp header",
            Self::RepeatedSignature => "more than one signature header",
            Self::RepeatedTimestamp => "more than one timestamp header",
            Self::MalformedSignature => "signature header is not 64 lower-case hexadecimal digits",
            Self::MalformedTimestamp => "timestamp header is not decimal milliseconds since 1970",
            Self::TimestampInSeconds => "timestamp header is in seconds, expected milliseconds since 1970",
            Self::TooOld => "timestamp is older than the tolerance allows",
            Self::FromTheFuture => "timestamp is further in the future than the tolerance allows",
            Self::BodyTooLong => "body is longer than the limit",
            Self::SignatureMismatch => "no secret gives this signature for this timestamp and body",
        }
    }
}

/// Why a verifier, signer or receiver could not be set up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ConfigError {
    /// The secret is empty or consists of white space.
    BlankSecret,
    /// No secret was given.
    NoSecret,
    /// More than [`Keys::MAX_SECRETS`](super::Keys::MAX_SECRETS) secrets under one id.
    TooManySecrets,
    /// Both [`keys`](super::VerifierBuilder::keys) and [`secret`](super::VerifierBuilder::secret)
    /// were given.
    KeysAndSecrets,
    /// The header prefix is empty, longer than 1,024 bytes, or has characters that are not allowed
    /// in a header name.
    InvalidHeaderPrefix,
    /// The id of an expected workspace or webhook is empty or consists of white space.
    BlankId,
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::BlankSecret => "the webhook secret is empty or blank",
            Self::NoSecret => "no webhook secret: add at least one",
            Self::TooManySecrets => "more than 8 secrets under one id",
            Self::KeysAndSecrets => "both keys and single secrets were given: use only one kind",
            Self::InvalidHeaderPrefix => "the header prefix is not 1 to 1024 characters of a header name",
            Self::BlankId => "the id of the expected workspace or webhook is blank",
        })
    }
}

impl Error for ConfigError {}

/// Why [`Secret::from_file`](super::Secret::from_file) failed. It shows the path, and nothing of
/// the file's content.
#[derive(Debug)]
#[non_exhaustive]
pub enum SecretFileError {
    /// The file could not be opened or read; the source has the reason.
    Read {
        /// The file.
        path: PathBuf,
        /// The operating system's error.
        source: io::Error,
    },
    /// The file is longer than 64 KiB, so it cannot be a secret.
    TooLong {
        /// The file.
        path: PathBuf,
    },
    /// The file is not UTF-8 text.
    NotUtf8 {
        /// The file.
        path: PathBuf,
    },
    /// The file is empty, or consists of white space and NUL.
    Blank {
        /// The file.
        path: PathBuf,
    },
}

impl fmt::Display for SecretFileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Read { path, .. } => write!(f, "failed to read the webhook secret from {path:?}"),
            Self::TooLong { path } => write!(f, "the file of the webhook secret is longer than 64 KiB: {path:?}"),
            Self::NotUtf8 { path } => write!(f, "the file of the webhook secret is not UTF-8 text: {path:?}"),
            Self::Blank { path } => write!(f, "the file of the webhook secret is empty or blank: {path:?}"),
        }
    }
}

impl Error for SecretFileError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Read { source, .. } => Some(source),
            Self::TooLong { .. } | Self::NotUtf8 { .. } | Self::Blank { .. } => None,
        }
    }
}

/// Allows `Verifier::new(secret)?` with an existing [`Secret`](super::Secret), which cannot fail.
impl From<std::convert::Infallible> for ConfigError {
    fn from(never: std::convert::Infallible) -> Self {
        match never {}
    }
}
