use std::fmt;

use hmac::{Hmac, KeyInit, Mac, digest::Key};
use sha2::Sha256;
use zeroize::Zeroizing;

use super::{ConfigError, headers::TimestampHeader};

/// The MAC under way: keyed once per secret, cloned per delivery.
pub(super) type HmacSha256 = Hmac<Sha256>;

/// A webhook's secret, as Twenty shows it under *Settings → APIs & Webhooks*.
///
/// The text is used as it is: never trimmed, never decoded (Twenty keys the HMAC with the text's UTF-8 bytes, also when the text
/// looks like hexadecimal). An empty or blank secret is refused: with an empty one Twenty sends no signature at all, and a
/// blank one is an environment variable gone wrong that anybody could guess.
///
/// `Debug` shows no part of it, and there is no `Display`. The memory of the text and of the hash states made of it is wiped on drop. A
/// `String` is taken over without a copy; other copies, the caller's or those that moves left on the stack, are out of reach.
///
/// ```
/// use twenty_webhook::verify::Secret;
///
/// let secret = Secret::new("5b0c2f7d9e1a4c3b")?;
/// assert_eq!(format!("{secret:?}"), "Secret(REDACTED)");
/// assert!(Secret::new("").is_err());
/// # Ok::<(), twenty_webhook::verify::ConfigError>(())
/// ```
#[derive(Clone)]
pub struct Secret {
    text: Zeroizing<String>,
    /// The key schedule, done once. Wiped by its own `Drop` (features `zeroize` of `hmac` and `sha2`).
    mac: HmacSha256,
}

impl Secret {
    /// Takes the secret's text.
    ///
    /// # Errors
    ///
    /// [`ConfigError::BlankSecret`] when the text is empty or has nothing but white space and NUL.
    pub fn new(text: impl Into<String>) -> Result<Self, ConfigError> {
        let text = Zeroizing::new(text.into());
        if text.chars().all(|c| c.is_whitespace() || c == '\0') {
            return Err(ConfigError::BlankSecret);
        }
        // HMAC takes a key of any length, so this does not fail; should that change, refusing is right.
        let mac = HmacSha256::new_from_slice(text.as_bytes()).map_err(|_| ConfigError::BlankSecret)?;
        Ok(Self { text, mac })
    }

    /// The empty secret, which nobody can have.
    pub(super) fn nobodys() -> Self {
        Self { text: Zeroizing::default(), mac: HmacSha256::new(&Key::<HmacSha256>::default()) }
    }

    /// The secret itself. Whoever calls this takes over the care for it: no log, no error, no response.
    #[must_use]
    pub fn expose_secret(&self) -> &str {
        &self.text
    }

    /// Starts the MAC over `timestamp ":" body`. The one place that says what is signed: the body's bytes come next.
    pub(super) fn begin(&self, timestamp: &TimestampHeader) -> HmacSha256 {
        let mut mac = self.mac.clone();
        mac.update(timestamp.signed());
        mac
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(REDACTED)")
    }
}

impl TryFrom<String> for Secret {
    type Error = ConfigError;

    fn try_from(text: String) -> Result<Self, ConfigError> {
        Self::new(text)
    }
}

impl TryFrom<&str> for Secret {
    type Error = ConfigError;

    fn try_from(text: &str) -> Result<Self, ConfigError> {
        Self::new(text)
    }
}

#[cfg(test)]
mod tests;
