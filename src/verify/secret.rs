use std::{
    fmt,
    fs::File,
    io::{self, Read as _},
    path::Path,
};

use hmac::{Hmac, KeyInit, Mac, digest::Key};
use sha2::Sha256;
use zeroize::Zeroizing;

use super::{ConfigError, SecretFileError, headers::TimestampHeader};

/// The state of the MAC, which is keyed once per secret and cloned per delivery.
pub(crate) type HmacSha256 = Hmac<Sha256>;

/// A webhook's secret, as Twenty shows it under *Settings → APIs & Webhooks*.
///
/// The text is used as it is, without trimming or decoding: Twenty's HMAC key is the text in UTF-8,
/// even if the text looks like hexadecimal. An empty or blank secret is an error. With an empty
/// secret, Twenty sends no signature at all. A blank one comes from a broken environment variable,
/// and anyone could guess it.
///
/// `Debug` shows no part of it, and there is no `Display`. The text and the hash states that are
/// derived from it are wiped from memory on drop. A `String` is not copied. `Secret` cannot wipe
/// other copies, such as the caller's copy, or copies that moves leave on the stack.
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
    /// The key schedule, computed once. Wiped by its own `Drop` (features `zeroize` of `hmac` and
    /// `sha2`).
    mac: HmacSha256,
}

impl Secret {
    /// Creates a secret from its text.
    ///
    /// # Errors
    ///
    /// [`ConfigError::BlankSecret`] if the text is empty or consists of white space and NUL.
    pub fn new(text: impl Into<String>) -> Result<Self, ConfigError> {
        let text = Zeroizing::new(text.into());
        if text.chars().all(|c| c.is_whitespace() || c == '\0') {
            return Err(ConfigError::BlankSecret);
        }
        // HMAC accepts keys of any length, so this does not fail.
        let mac = HmacSha256::new_from_slice(text.as_bytes()).map_err(|_| ConfigError::BlankSecret)?;
        Ok(Self { text, mac })
    }

    /// Reads a secret from a file, as Docker and Kubernetes mount them.
    ///
    /// One newline at the end is stripped (`\n` or `\r\n`), because editors and `echo` append one.
    /// Everything else is part of the secret, as in [`new`](Self::new). The read buffer is wiped
    /// from memory, even if this fails.
    ///
    /// ```no_run
    /// use twenty_webhook::{Verifier, verify::Secret};
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let verifier = Verifier::new(Secret::from_file("/run/secrets/twenty_webhook")?)?;
    /// # let _ = verifier;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// [`SecretFileError`]: the file cannot be read, is longer than 64 KiB, is not UTF-8, or is
    /// empty or blank.
    pub fn from_file(path: impl AsRef<Path>) -> Result<Self, SecretFileError> {
        let path = path.as_ref();
        let bytes = read(path).map_err(|source| SecretFileError::Read { path: path.into(), source })?;
        if bytes.len() > MAX_FILE_LEN {
            return Err(SecretFileError::TooLong { path: path.into() });
        }
        // The error is dropped, because it would show where the first invalid byte is.
        let text = std::str::from_utf8(&bytes).map_err(|_| SecretFileError::NotUtf8 { path: path.into() })?;
        let text = text.strip_suffix('\n').map_or(text, |line| line.strip_suffix('\r').unwrap_or(line));
        Self::new(text).map_err(|_| SecretFileError::Blank { path: path.into() })
    }

    /// Returns a description of what looks misconfigured in the text, or an empty text.
    #[cfg(feature = "tracing")]
    pub(super) fn oddities(&self) -> String {
        let is_blank = |c: char| c.is_whitespace() || "\0\u{feff}\u{200b}".contains(c);
        let is_quote = |c: char| "\"'`\u{2018}\u{2019}\u{201c}\u{201d}".contains(c);
        let trimmed = self.text.trim_matches(is_blank);
        let oddities = [
            (self.text.contains(['\n', '\r']), "a line end"),
            (trimmed.len() < self.text.len(), "white space around it"),
            (trimmed.starts_with(is_quote) || trimmed.ends_with(is_quote), "a quotation mark around it"),
        ];
        let found: Vec<_> = oddities.iter().filter(|(is_there, _)| *is_there).map(|(_, what)| *what).collect();
        found.join(", ")
    }

    /// Returns the empty secret, which no webhook can have.
    pub(super) fn nobodys() -> Self {
        Self { text: Zeroizing::default(), mac: HmacSha256::new(&Key::<HmacSha256>::default()) }
    }

    /// Returns the secret's text. The caller must keep it out of logs, errors and responses.
    #[must_use]
    pub fn expose_secret(&self) -> &str {
        &self.text
    }

    /// Starts the MAC over `timestamp ":" body`; the body's bytes come next. Only this function
    /// defines what is signed.
    pub(super) fn begin(&self, timestamp: &TimestampHeader) -> HmacSha256 {
        let mut mac = self.mac.clone();
        mac.update(timestamp.signed());
        mac
    }
}

/// The maximum length of a secret's file, in bytes.
const MAX_FILE_LEN: usize = 64 << 10;

/// Returns the file's bytes, or one byte more than the maximum if the file is too long.
fn read(path: &Path) -> io::Result<Zeroizing<Vec<u8>>> {
    let mut file = File::open(path)?;
    // The buffer must not grow, because growing would leave an unwiped copy.
    let mut bytes = Zeroizing::new(vec![0; MAX_FILE_LEN + 1]);
    let mut len = 0_usize;
    loop {
        match file.read(bytes.get_mut(len..).unwrap_or_default()) {
            Ok(0) => break,
            Ok(read) => len = len.saturating_add(read),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    bytes.truncate(len);
    Ok(bytes)
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
