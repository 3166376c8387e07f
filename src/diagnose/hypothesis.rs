//! Hypotheses about what was signed, and with which key.

use std::borrow::Cow;

use hmac::{KeyInit, Mac};
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use super::{
    Cause, Rewriting, SecretEncoding,
    capture::Capture,
    encoding::{
        base64_decode, base64_encode, form_value, from_utf16, from_windows_1252, hex_decode, log_decode,
        percent_decode, to_windows_1252,
    },
    json::{self, Style},
    proof::Proof,
    signature::Signature,
};
use crate::verify::{HmacSha256, Keys, Secret};

/// How a signature was made. The difference from [`AS_TWENTY`] is the cause.
#[derive(Clone, Copy)]
struct Hypothesis {
    key: Key,
    time: Time,
    join: Join,
    body: Body,
}

const AS_TWENTY: Hypothesis =
    Hypothesis { key: Key::AsGiven, time: Time::AsSent, join: Join::With(":"), body: Body::AsReceived };

const fn key(key: Key) -> Hypothesis {
    Hypothesis { key, ..AS_TWENTY }
}

const fn text(time: Time, join: Join) -> Hypothesis {
    Hypothesis { time, join, ..AS_TWENTY }
}

const fn body(body: Body) -> Hypothesis {
    Hypothesis { body, ..AS_TWENTY }
}

/// All hypotheses, each of which costs one MAC for every secret. If two of them explain the same
/// signature, the first one is reported, so simpler hypotheses come first. The documentation of
/// `Verifier::diagnose` contains their number.
const HYPOTHESES: [Hypothesis; 55] = [
    AS_TWENTY,
    key(Key::Trimmed),
    key(Key::Unquoted),
    key(Key::Padded("", "\n")),
    key(Key::Padded("", "\r\n")),
    key(Key::Padded("", " ")),
    key(Key::Padded(" ", "")),
    key(Key::Padded(" ", " ")),
    key(Key::Named),
    key(Key::Prefixed),
    key(Key::LowerCase),
    key(Key::UpperCase),
    key(Key::Decoded(SecretEncoding::Hex)),
    key(Key::Decoded(SecretEncoding::Base64)),
    key(Key::DecodedTrimmed(SecretEncoding::Hex)),
    key(Key::DecodedTrimmed(SecretEncoding::Base64)),
    key(Key::Encoded(SecretEncoding::Hex)),
    key(Key::Encoded(SecretEncoding::Base64)),
    text(Time::Millis, Join::With(":")),
    text(Time::Seconds, Join::With(":")),
    text(Time::Seconds, Join::With(".")),
    text(Time::Seconds, Join::With("")),
    text(Time::AsSent, Join::With(".")),
    text(Time::AsSent, Join::With("")),
    text(Time::AsSent, Join::With("\n")),
    text(Time::AsSent, Join::With("|")),
    text(Time::AsSent, Join::With("-")),
    text(Time::AsSent, Join::WithNonce),
    text(Time::AsSent, Join::BodyAlone),
    body(Body::Ended("\n")),
    body(Body::Ended("\r\n")),
    body(Body::WithoutEnd),
    body(Body::WithoutNul),
    body(Body::WithoutMark),
    body(Body::WithMark),
    body(Body::WithLineFeeds),
    body(Body::WithCarriageReturns),
    body(Body::Rewritten(Style::ONLY_SPACES, Rewriting::Spaces)),
    body(Body::Rewritten(Style::ONLY_STRINGS, Rewriting::Escapes)),
    body(Body::Rewritten(Style::ONLY_NUMBERS, Rewriting::Numbers)),
    body(Body::Rewritten(Style::JAVASCRIPT, Rewriting::Several)),
    body(Body::Reordered),
    body(Body::Spaced),
    body(Body::Stringified),
    body(Body::Parsed),
    body(Body::Utf8Of1252),
    body(Body::Utf8For1252),
    body(Body::PercentDecoded),
    body(Body::FormDecoded),
    body(Body::Base64Decoded),
    body(Body::LogDecoded),
    body(Body::InsideOfString),
    body(Body::LongestString),
    body(Body::FromUtf16),
    body(Body::FromUtf16WithoutEnd),
];

/// The parts of a delivery on which hypotheses are tried.
pub(super) struct Evidence<'a> {
    signatures: Vec<Signature>,
    timestamp: Option<&'a [u8]>,
    nonce: Option<&'a [u8]>,
    body: &'a [u8],
}

impl<'a> Evidence<'a> {
    /// Collects the evidence. Returns `None` if there is no signature, so that nothing is hashed
    /// unnecessarily.
    pub(super) fn new(capture: &Capture<'a>, body: &'a [u8]) -> Option<Self> {
        let signatures = capture.signatures();
        let (timestamp, nonce) = (capture.timestamp_text(), capture.nonce_text());
        (!signatures.is_empty()).then_some(Self { signatures, timestamp, nonce, body })
    }

    /// Returns the first hypothesis under which one of the secrets gives one of the signatures.
    pub(super) fn explain(&self, secrets: &[Secret]) -> Option<Proof> {
        HYPOTHESES.iter().find_map(|hypothesis| self.test(hypothesis, secrets))
    }

    /// Returns a proof if a secret of these keys signed as Twenty does.
    pub(super) fn explain_by_others(&self, keys: &Keys) -> Option<Proof> {
        let proof = self.test(&AS_TWENTY, keys.secrets())?;
        Some(Proof { causes: vec![Cause::OtherKeys { id: keys.shared_id() }], ..proof })
    }

    fn test(&self, hypothesis: &Hypothesis, secrets: &[Secret]) -> Option<Proof> {
        let Hypothesis { key, time, join, body } = hypothesis;
        let signed = body.signed(self.body)?;
        let before = join.before_body(time.signed(self.timestamp), self.nonce)?;
        let signature = secrets.iter().find_map(|secret| {
            let mac = HmacSha256::new_from_slice(&key.used(secret.expose_secret())?).ok()?;
            self.is_signature(&mac.chain_update(&before).chain_update(&signed).finalize().into_bytes())
        })?;
        let causes = [key.cause(), time.cause(), join.cause(), body.cause()].into_iter().flatten().collect();
        Some(Proof { signature, is_timestamp_signed: !matches!(join, Join::BodyAlone), causes })
    }

    /// Compares in constant time, because the sender of the capture may be able to measure the time
    /// of its diagnosis.
    fn is_signature(&self, mac: &[u8]) -> Option<Signature> {
        self.signatures.iter().copied().find(|signature| signature.mac.ct_eq(mac).into())
    }
}

/// How the key was made from the configured secret.
#[derive(Clone, Copy)]
enum Key {
    AsGiven,
    Trimmed,
    Unquoted,
    /// The configured secret without the `NAME=` or `export NAME=` before it.
    Named,
    /// The configured secret without a prefix such as `whsec_`.
    Prefixed,
    /// A hexadecimal secret in the other letter case.
    LowerCase,
    UpperCase,
    /// The configured secret with these texts before and after it.
    Padded(&'static str, &'static str),
    Decoded(SecretEncoding),
    /// The configured secret, decoded and then trimmed, because `echo` appends a line feed to the
    /// text that it encodes.
    DecodedTrimmed(SecretEncoding),
    Encoded(SecretEncoding),
}

impl Key {
    /// Returns the key, or `None` if the hypothesis does not apply to this secret.
    fn used(self, secret: &str) -> Option<Zeroizing<Vec<u8>>> {
        let trimmed = trim(secret);
        let changed = |text: &str| (text != secret).then(|| text.as_bytes().to_vec());
        let key = match self {
            Self::AsGiven => secret.as_bytes().to_vec(),
            Self::Trimmed => changed(trimmed)?,
            Self::Unquoted => changed(unquoted(trimmed)?)?,
            Self::Named => changed(value_of_variable(trimmed)?)?,
            Self::Prefixed => {
                let text = unquoted(trimmed).unwrap_or(trimmed);
                changed(PREFIXES.into_iter().find_map(|prefix| strip_prefix(text, prefix))?.trim_start())?
            }
            Self::LowerCase => changed(&hexadecimal(trimmed)?.to_ascii_lowercase())?,
            Self::UpperCase => changed(&hexadecimal(trimmed)?.to_ascii_uppercase())?,
            Self::Padded(before, after) => [before, secret, after].concat().into_bytes(),
            Self::Decoded(SecretEncoding::Hex) => hex_decode(secret.as_bytes())?,
            Self::Decoded(SecretEncoding::Base64) => base64_decode(secret.as_bytes())?,
            Self::DecodedTrimmed(encoding) => {
                let text = Zeroizing::new(match encoding {
                    SecretEncoding::Hex => hex_decode(trimmed.as_bytes())?,
                    SecretEncoding::Base64 => base64_decode(trimmed.as_bytes())?,
                });
                text.trim_ascii().to_vec()
            }
            Self::Encoded(SecretEncoding::Hex) => hex::encode(secret.as_bytes()).into_bytes(),
            Self::Encoded(SecretEncoding::Base64) => base64_encode(secret.as_bytes()).into_bytes(),
        };
        Some(Zeroizing::new(key)).filter(|key| !key.is_empty())
    }

    const fn cause(self) -> Option<Cause> {
        match self {
            Self::AsGiven => None,
            Self::Trimmed => Some(Cause::SecretPadded),
            Self::Unquoted => Some(Cause::SecretQuoted),
            Self::Named => Some(Cause::SecretNamed),
            Self::Prefixed => Some(Cause::SecretPrefixed),
            Self::LowerCase | Self::UpperCase => Some(Cause::SecretLetterCase),
            Self::Padded(..) => Some(Cause::SecretTrimmed),
            Self::Decoded(encoding) | Self::DecodedTrimmed(encoding) => Some(Cause::SecretEncoded { encoding }),
            Self::Encoded(encoding) => Some(Cause::SecretDecoded { encoding }),
        }
    }
}

/// Prefixes of other services' secrets and signatures, which people copy together with a secret.
const PREFIXES: [&str; 11] =
    ["whsec_", "whsk_", "whs_", "wh_", "sk_", "secret_", "secret:", "Bearer ", "hmac-sha256=", "sha256=", "0x"];

fn trim(text: &str) -> &str {
    text.trim_matches(|c: char| c.is_whitespace() || "\0\u{feff}\u{200b}".contains(c))
}

fn unquoted(text: &str) -> Option<&str> {
    let unquoted = |quote: char| text.strip_prefix(quote)?.strip_suffix(quote);
    ['"', '\'', '`'].into_iter().find_map(unquoted)
}

/// Strips a prefix, ignoring the letter case.
fn strip_prefix<'a>(text: &'a str, prefix: &str) -> Option<&'a str> {
    let (start, rest) = text.split_at_checked(prefix.len())?;
    start.eq_ignore_ascii_case(prefix).then_some(rest)
}

/// Returns the value in `NAME=value`, `export NAME="value"` or `NAME: value`.
fn value_of_variable(line: &str) -> Option<&str> {
    let line = unquoted(line).unwrap_or(line);
    let words = ["export ", "set ", "SET ", "env ", "$env:", "- "];
    let line = words.into_iter().find_map(|word| line.strip_prefix(word)).unwrap_or(line).trim_start();
    let (name, value) = line.split_at_checked(line.find(['=', ':'])?)?;
    let is_name = |c: char| c.is_ascii_alphanumeric() || "_-.".contains(c);
    let name = name.trim_end();
    let name = unquoted(name).unwrap_or(name);
    let starts_well = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
    let value = trim(value.get(1..)?).trim_end_matches([';', ',']);
    (starts_well && name.chars().all(is_name)).then(|| unquoted(value).unwrap_or(value))
}

fn hexadecimal(text: &str) -> Option<&str> {
    text.bytes().all(|byte| byte.is_ascii_hexdigit()).then_some(text)
}

/// How the signed time was made from the timestamp header's text.
#[derive(Clone, Copy)]
enum Time {
    AsSent,
    /// The time was signed in seconds, and sent in milliseconds.
    Seconds,
    /// The time was signed in milliseconds, and sent in seconds.
    Millis,
}

impl Time {
    fn signed(self, sent: Option<&[u8]>) -> Option<Cow<'_, [u8]>> {
        let sent = sent?;
        match (self, sent.len()) {
            (Self::AsSent, _) => Some(sent.into()),
            (Self::Seconds, 13) => sent.get(..10).map(Cow::from),
            (Self::Millis, 10) => Some([sent, b"000"].concat().into()),
            (Self::Seconds | Self::Millis, _) => None,
        }
    }

    const fn cause(self) -> Option<Cause> {
        match self {
            Self::Seconds => Some(Cause::SignedInSeconds),
            // A header in seconds is reported regardless of what was signed.
            Self::AsSent | Self::Millis => None,
        }
    }
}

/// The part of the signed text before the body.
#[derive(Clone, Copy)]
enum Join {
    With(&'static str),
    WithNonce,
    BodyAlone,
}

impl Join {
    fn before_body(self, time: Option<Cow<'_, [u8]>>, nonce: Option<&[u8]>) -> Option<Vec<u8>> {
        match self {
            Self::With(separator) => Some([&*time?, separator.as_bytes()].concat()),
            Self::WithNonce => Some([&*time?, nonce?, b""].join(&b':')),
            Self::BodyAlone => Some(Vec::new()),
        }
    }

    fn cause(self) -> Option<Cause> {
        match self {
            Self::With(":") => None,
            Self::With(separator) => Some(Cause::SignedWithSeparator { separator }),
            Self::WithNonce => Some(Cause::SignedWithNonce),
            Self::BodyAlone => Some(Cause::SignedWithoutTimestamp),
        }
    }
}

/// How the signed body was made from the received body.
#[derive(Clone, Copy)]
enum Body {
    AsReceived,
    /// The received body followed by this line end.
    Ended(&'static str),
    WithoutEnd,
    WithMark,
    WithoutMark,
    WithLineFeeds,
    WithCarriageReturns,
    Rewritten(Style, Rewriting),
    Reordered,
    Spaced,
    Stringified,
    Parsed,
    /// Each byte of the signed UTF-8 was read as one Windows-1252 character. This undoes it.
    Utf8Of1252,
    /// Each character of the signed text was written as one byte of Windows-1252. This undoes it.
    Utf8For1252,
    PercentDecoded,
    FormDecoded,
    Base64Decoded,
    WithoutNul,
    /// The received body without the escapes of a log: `\x22`, `\"`.
    LogDecoded,
    /// The received body without the escapes of the JSON string that contained it.
    InsideOfString,
    /// The longest string in the received body, which is another JSON text.
    LongestString,
    FromUtf16,
    FromUtf16WithoutEnd,
}

impl Body {
    const MARK: &[u8] = b"\xef\xbb\xbf";

    /// Returns the signed body, or `None` if it is the same as the received one or impossible.
    fn signed(self, received: &[u8]) -> Option<Cow<'_, [u8]>> {
        if let Self::AsReceived = self {
            return Some(received.into());
        }
        self.other_than(received).filter(|signed| **signed != *received)
    }

    fn other_than(self, received: &[u8]) -> Option<Cow<'_, [u8]>> {
        let text = || std::str::from_utf8(received).ok();
        let bytes = match self {
            Self::AsReceived => return None,
            Self::WithoutEnd => return Some(trim_line_ends(received).into()),
            Self::WithoutMark => return received.strip_prefix(Self::MARK).map(Cow::from),
            Self::Ended(end) => [received, end.as_bytes()].concat(),
            Self::WithMark => [Self::MARK, received].concat(),
            Self::WithLineFeeds => line_feeds(received),
            Self::WithCarriageReturns => carriage_returns(received),
            Self::Rewritten(style, _) => style.rewrite(text()?).into_bytes(),
            Self::Reordered => Style::JAVASCRIPT.rewrite(&json::reorder(text()?)?).into_bytes(),
            Self::Spaced => Style::PYTHON.rewrite(text()?).into_bytes(),
            Self::Stringified => json::stringify(text()?).into_bytes(),
            Self::Parsed => serde_json::from_slice::<String>(received).ok()?.into_bytes(),
            Self::Utf8Of1252 => to_windows_1252(text()?)?,
            Self::Utf8For1252 => from_windows_1252(received).into_bytes(),
            Self::PercentDecoded => percent_decode(received, false),
            Self::FormDecoded => form_value(received),
            Self::Base64Decoded => base64_decode(received)?,
            Self::WithoutNul => {
                let end = received.iter().rposition(|byte| *byte != 0)?.checked_add(1)?;
                return received.get(..end).map(Cow::from);
            }
            Self::LogDecoded => log_decode(received)?,
            Self::InsideOfString => json::inside_of_string(text()?)?.into_bytes(),
            Self::LongestString => json::longest_string(text()?)?.into_bytes(),
            Self::FromUtf16 => from_utf16(received)?.into_bytes(),
            Self::FromUtf16WithoutEnd => trim_line_ends(from_utf16(received)?.as_bytes()).to_vec(),
        };
        Some(bytes.into())
    }

    const fn cause(self) -> Option<Cause> {
        Some(match self {
            Self::AsReceived => return None,
            Self::Ended(_) => Cause::NewlineCut,
            Self::WithoutEnd => Cause::NewlineAdded,
            Self::WithMark => Cause::ByteOrderMarkCut,
            Self::WithoutMark => Cause::ByteOrderMarkAdded,
            Self::WithLineFeeds | Self::WithCarriageReturns => Cause::LineEndsChanged,
            Self::Rewritten(_, what) => Cause::BodyRewritten { what },
            Self::Reordered => Cause::BodyRewritten { what: Rewriting::Order },
            Self::Spaced => Cause::SignedWithSpaces,
            Self::Stringified => Cause::SignedStringifiedTwice,
            Self::Parsed => Cause::BodyStringifiedTwice,
            Self::Utf8Of1252 | Self::Utf8For1252 => Cause::CharactersReencoded,
            Self::PercentDecoded | Self::FormDecoded => Cause::BodyPercentEncoded,
            Self::Base64Decoded => Cause::BodyBase64,
            Self::WithoutNul => Cause::NulAdded,
            Self::LogDecoded | Self::InsideOfString => Cause::BodyEscaped,
            Self::LongestString => Cause::BodyInsideOfJson,
            Self::FromUtf16 | Self::FromUtf16WithoutEnd => Cause::BodyUtf16,
        })
    }
}

fn trim_line_ends(mut text: &[u8]) -> &[u8] {
    while let Some(rest) = text.strip_suffix(b"\n").or_else(|| text.strip_suffix(b"\r")) {
        text = rest;
    }
    text
}

fn line_feeds(text: &[u8]) -> Vec<u8> {
    let followed_by = text.iter().skip(1).map(Some).chain([None]);
    let is_kept = |(byte, next): &(&u8, Option<&u8>)| !(**byte == b'\r' && *next == Some(&b'\n'));
    text.iter().zip(followed_by).filter(is_kept).map(|(byte, _)| *byte).collect()
}

fn carriage_returns(text: &[u8]) -> Vec<u8> {
    let mut written = Vec::with_capacity(text.len());
    for byte in line_feeds(text) {
        if byte == b'\n' {
            written.push(b'\r');
        }
        written.push(byte);
    }
    written
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_line_ends() {
        assert_eq!(trim_line_ends(b"a\n\r\n\n"), b"a");
        assert_eq!(line_feeds(b"\r\na\r\nb\rc\nd\r"), b"\na\nb\rc\nd\r");
        let signed = |body: Body, received: &'static str| body.signed(received.as_bytes());
        assert_eq!(signed(Body::WithCarriageReturns, "a\nb\r\nc").as_deref(), Some(&b"a\r\nb\r\nc"[..]));
        assert_eq!(signed(Body::WithCarriageReturns, "a\r\nb"), None);
        assert_eq!(signed(Body::WithLineFeeds, "a\nb"), None);
    }

    #[test]
    fn hypotheses_apply_only_to_secrets_that_they_fit() {
        let used = |key: Key, secret: &str| key.used(secret).map(|key| String::from_utf8_lossy(&key).into_owned());
        assert_eq!(used(Key::Trimmed, "a b"), None);
        assert_eq!(used(Key::Trimmed, "\u{feff} a b\r\n\0").as_deref(), Some("a b"));
        assert_eq!(used(Key::Unquoted, "\"a\"\n").as_deref(), Some("a"));
        assert_eq!(used(Key::Unquoted, "\"a'"), None);
        assert_eq!(used(Key::Unquoted, "\"\""), None, "anyone can sign with an empty key");
        assert_eq!(used(Key::Decoded(SecretEncoding::Hex), "616").as_deref(), None);
        assert_eq!(used(Key::Encoded(SecretEncoding::Hex), "a\u{ff}").as_deref(), Some("61c3bf"));
    }
}
