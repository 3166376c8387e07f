use std::{fmt, sync::Arc};

use super::{ConfigError, Timestamp, VerifyErrorKind};
use crate::lower_hex;

/// The three header names under one prefix, in lower case.
#[derive(Clone, Debug)]
pub(crate) struct HeaderNames {
    signature: Box<str>,
    timestamp: Box<str>,
    nonce: Box<str>,
}

impl HeaderNames {
    pub(super) const DEFAULT_PREFIX: &str = "x-twenty-webhook";

    /// The maximum length of the prefix in bytes. Many servers limit a whole head to 8 KiB.
    const MAX_PREFIX: usize = 1024;

    pub(super) fn new(prefix: &str) -> Result<Self, ConfigError> {
        // RFC 9110, 5.6.2: a field name is a token.
        let is_token = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b);
        if !(1..=Self::MAX_PREFIX).contains(&prefix.len()) || !prefix.bytes().all(is_token) {
            return Err(ConfigError::InvalidHeaderPrefix);
        }
        Ok(Self::with_suffixes(&prefix.to_ascii_lowercase()))
    }

    pub(crate) fn signature(&self) -> &str {
        &self.signature
    }

    pub(crate) fn timestamp(&self) -> &str {
        &self.timestamp
    }

    pub(crate) fn nonce(&self) -> &str {
        &self.nonce
    }

    fn with_suffixes(prefix: &str) -> Self {
        let name = |suffix: &str| format!("{prefix}-{suffix}").into_boxed_str();
        Self { signature: name("signature"), timestamp: name("timestamp"), nonce: name("nonce") }
    }
}

impl Default for HeaderNames {
    fn default() -> Self {
        Self::with_suffixes(Self::DEFAULT_PREFIX)
    }
}

/// The parsed, well-formed signature headers of a delivery, from which a
/// [`Verification`](super::Verification) starts.
///
/// [`Verifier::parse_headers`](super::Verifier::parse_headers) creates them from received headers,
/// and a [`Signer`](super::Signer) creates new ones. They are well-formed, but not verified.
///
/// ```
/// use twenty_webhook::verify::{Signer, Timestamp, Verifier};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let sent = Timestamp::from_millis(1_790_932_471_733);
/// let headers = Signer::new("the secret")?.sign_at(sent, "{}");
/// assert_eq!(headers.timestamp(), sent);
/// let pairs = headers.pairs();
/// assert_eq!(pairs[0], ("x-twenty-webhook-timestamp".to_owned(), "1790932471733".to_owned()));
///
/// // Parsing does not verify, so headers of another secret are parsed, too. They will not verify.
/// assert_eq!(Verifier::new("another secret")?.parse_headers(pairs)?.timestamp(), sent);
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct SignatureHeaders {
    names: Arc<HeaderNames>,
    values: SignatureValues,
}

/// The values of the signature headers, without the names.
#[derive(Clone)]
pub(crate) struct SignatureValues {
    timestamp: TimestampHeader,
    signature: [u8; 32],
    nonce: Option<[u8; 16]>,
}

impl SignatureHeaders {
    pub(super) fn new(
        names: Arc<HeaderNames>,
        timestamp: TimestampHeader,
        signature: [u8; 32],
        nonce: [u8; 16],
    ) -> Self {
        Self { names, values: SignatureValues { timestamp, signature, nonce: Some(nonce) } }
    }

    pub(super) const fn named(names: Arc<HeaderNames>, values: SignatureValues) -> Self {
        Self { names, values }
    }

    pub(super) const fn values(&self) -> &SignatureValues {
        &self.values
    }

    pub(super) fn into_values(self) -> SignatureValues {
        self.values
    }

    /// Returns the time at which the delivery was signed, according to its header.
    #[must_use]
    pub fn timestamp(&self) -> Timestamp {
        self.values.timestamp()
    }

    /// Returns the headers as (name, value) pairs for a request.
    #[must_use]
    pub fn pairs(&self) -> Vec<(String, String)> {
        let SignatureValues { timestamp, signature, nonce } = &self.values;
        let pair = |name: &str, value: String| (name.to_owned(), value);
        let nonce = nonce.map(|nonce| pair(&self.names.nonce, hex::encode(nonce)));
        let timestamp = String::from_utf8_lossy(timestamp.text()).into_owned();
        [pair(&self.names.timestamp, timestamp), pair(&self.names.signature, hex::encode(signature))]
            .into_iter()
            .chain(nonce)
            .collect()
    }
}

/// Shows no signature: even if this receiver rejects it because of a wrong secret, it can be a
/// valid credential.
impl fmt::Debug for SignatureHeaders {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SignatureHeaders").field("timestamp", &self.timestamp()).finish_non_exhaustive()
    }
}

impl SignatureValues {
    /// Parses the values. Signature and timestamp must each occur exactly once and be well-formed.
    /// A malformed nonce is not an error, because it is not signed.
    pub(super) fn parse<N, V>(
        names: &HeaderNames,
        headers: impl IntoIterator<Item = (N, V)>,
    ) -> Result<Self, VerifyErrorKind>
    where
        N: AsRef<[u8]>,
        V: AsRef<[u8]>,
    {
        let mut timestamp = None;
        let mut signature = None;
        let mut nonce = None;
        for (name, value) in headers {
            let name = name.as_ref();
            // Most names are shorter than the shortest of the three.
            if name.len() < names.nonce.len() {
                continue;
            }
            if is(name, &names.signature) {
                if signature.replace(parse_signature(value.as_ref())).is_some() {
                    return Err(VerifyErrorKind::RepeatedSignature);
                }
            } else if is(name, &names.timestamp) {
                if timestamp.replace(TimestampHeader::parse(value.as_ref())).is_some() {
                    return Err(VerifyErrorKind::RepeatedTimestamp);
                }
            } else if is(name, &names.nonce) {
                nonce = parse_lower_hex(value.as_ref());
            }
        }
        match (timestamp, signature) {
            (None, None) => Err(VerifyErrorKind::Unsigned),
            (Some(_), None) => Err(VerifyErrorKind::MissingSignature),
            (None, Some(_)) => Err(VerifyErrorKind::MissingTimestamp),
            (Some(timestamp), Some(signature)) => Ok(Self { timestamp: timestamp?, signature: signature?, nonce }),
        }
    }

    /// Returns the time at which the delivery was signed, according to its header.
    pub(super) const fn timestamp(&self) -> Timestamp {
        self.timestamp.value
    }

    pub(super) const fn timestamp_header(&self) -> &TimestampHeader {
        &self.timestamp
    }

    pub(super) const fn signature(&self) -> &[u8; 32] {
        &self.signature
    }

    /// Restores values that were [parsed](Self::parse) before, from their parts. Returns `None` if
    /// the timestamp's text is malformed.
    #[cfg(feature = "inbox")]
    #[cfg_attr(
        not(any(feature = "postgres", feature = "redb")),
        allow(dead_code, reason = "only durable stores use it")
    )]
    pub(crate) fn from_parts(timestamp: &[u8], signature: [u8; 32], nonce: Option<[u8; 16]>) -> Option<Self> {
        Some(Self { timestamp: TimestampHeader::parse(timestamp).ok()?, signature, nonce })
    }

    /// Returns the timestamp's text as it was sent, the signature, and the nonce.
    #[cfg(feature = "inbox")]
    pub(crate) fn parts(&self) -> (&[u8], &[u8; 32], Option<[u8; 16]>) {
        (self.timestamp.text(), &self.signature, self.nonce)
    }

    pub(super) const fn nonce(&self) -> Option<[u8; 16]> {
        self.nonce
    }
}

/// Compares a header's name with one of ours, ignoring case. Servers send names in lower case, so
/// the exact comparison comes first.
fn is(name: &[u8], ours: &str) -> bool {
    name == ours.as_bytes() || name.eq_ignore_ascii_case(ours.as_bytes())
}

/// A timestamp and the text in which it was sent. The signature covers the text, so `007` and `7`
/// must stay different.
#[derive(Clone, Copy)]
pub(crate) struct TimestampHeader {
    value: Timestamp,
    /// The text, followed by colons.
    text: [u8; Self::MAX_DIGITS + 1],
    len: u8,
}

impl TimestampHeader {
    /// The number of digits of `u64::MAX`.
    const MAX_DIGITS: usize = 20;

    pub(crate) fn parse(text: &[u8]) -> Result<Self, VerifyErrorKind> {
        let malformed = VerifyErrorKind::MalformedTimestamp;
        if text.is_empty() || text.len() > Self::MAX_DIGITS {
            return Err(malformed);
        }
        let mut buffer = [b':'; Self::MAX_DIGITS + 1];
        buffer.get_mut(..text.len()).ok_or(malformed)?.copy_from_slice(text);
        let len = u8::try_from(text.len()).map_err(|_| malformed)?;
        let is_digits = text.iter().fold(true, |all, byte| all & byte.is_ascii_digit());
        if !is_digits {
            return Err(malformed);
        }
        let digit = |byte: &u8| u64::from(byte.wrapping_sub(b'0'));
        let add = |millis: u64, byte| millis.checked_mul(10)?.checked_add(digit(byte));
        let millis = text.iter().try_fold(0_u64, add).ok_or(malformed)?;
        if len == 10 {
            return Err(VerifyErrorKind::TimestampInSeconds);
        }
        Ok(Self { value: Timestamp::from_millis(millis), text: buffer, len })
    }

    pub(crate) fn text(&self) -> &[u8] {
        self.text.get(..self.len.into()).unwrap_or_default()
    }

    /// Returns what is signed before the body: the text and a colon.
    pub(crate) fn signed(&self) -> &[u8] {
        self.text.get(..=self.len.into()).unwrap_or_default()
    }
}

impl From<Timestamp> for TimestampHeader {
    fn from(value: Timestamp) -> Self {
        let digits = value.to_string();
        let mut text = [b':'; Self::MAX_DIGITS + 1];
        text.iter_mut().zip(digits.bytes()).for_each(|(to, digit)| *to = digit);
        // At most `MAX_DIGITS`, so the length always fits.
        Self { value, text, len: u8::try_from(digits.len()).unwrap_or_default() }
    }
}

pub(crate) fn parse_signature(text: &[u8]) -> Result<[u8; 32], VerifyErrorKind> {
    parse_lower_hex(text).ok_or(VerifyErrorKind::MalformedSignature)
}

fn parse_lower_hex<const N: usize>(text: &[u8]) -> Option<[u8; N]> {
    let (digits, []) = text.as_chunks::<2>() else { return None };
    lower_hex::decode(digits.try_into().ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIGNATURE: &str = "db637a878ed8ead21bf94f9127a53221bdf62d33d84522f53ebe55851df42aaf";

    fn parse(headers: &[(&str, &str)]) -> Result<SignatureHeaders, VerifyErrorKind> {
        let values = SignatureValues::parse(&HeaderNames::default(), headers.iter().copied())?;
        Ok(SignatureHeaders::named(Arc::default(), values))
    }

    fn with_timestamp(text: &str) -> Result<SignatureHeaders, VerifyErrorKind> {
        parse(&[("x-twenty-webhook-timestamp", text), ("x-twenty-webhook-signature", SIGNATURE)])
    }

    fn with_signature(text: &str) -> Result<SignatureHeaders, VerifyErrorKind> {
        parse(&[("x-twenty-webhook-timestamp", "1790932471733"), ("x-twenty-webhook-signature", text)])
    }

    #[test]
    fn names_are_compared_without_case_and_the_text_is_kept() {
        let headers =
            parse(&[("X-Twenty-Webhook-SIGNATURE", SIGNATURE), ("x-TWENTY-webhook-timestamp", "0001790932471733")])
                .unwrap();
        assert_eq!(headers.timestamp(), Timestamp::from_millis(1_790_932_471_733));
        assert_eq!(headers.values.timestamp.text(), b"0001790932471733");
        assert_eq!(headers.values.nonce(), None);
    }

    #[test]
    fn pairs_return_the_parsed_values() {
        let pairs = [
            ("x-twenty-webhook-timestamp", "1790932471733"),
            ("x-twenty-webhook-signature", SIGNATURE),
            ("x-twenty-webhook-nonce", "a51703b453420b6b21218bb3ccb37571"),
        ];
        let written = parse(&pairs).unwrap().pairs();
        assert!(written.iter().map(|(n, v)| (n.as_str(), v.as_str())).eq(pairs));
    }

    #[test]
    fn rejects_malformed_timestamps() {
        for text in
            ["", "+1790932471733", "-1", " 1790932471733", "1790932471733 ", "17909324717330000000000", "1e12", "٣"]
        {
            assert_eq!(with_timestamp(text).unwrap_err(), VerifyErrorKind::MalformedTimestamp, "{text:?}");
        }
        // at most 20 digits, including leading zeros
        assert_eq!(with_timestamp("00000001790932471733").unwrap().timestamp().as_millis(), 1_790_932_471_733);
        assert_eq!(with_timestamp("000000001790932471733").unwrap_err(), VerifyErrorKind::MalformedTimestamp);
        assert_eq!(with_timestamp("18446744073709551616").unwrap_err(), VerifyErrorKind::MalformedTimestamp);
        assert_eq!(with_timestamp("18446744073709551615").unwrap().timestamp(), Timestamp::from_millis(u64::MAX));
        assert_eq!(with_timestamp("1790932471").unwrap_err(), VerifyErrorKind::TimestampInSeconds);
    }

    #[test]
    fn rejects_malformed_signatures() {
        let long = format!("{SIGNATURE}0");
        let prefixed = format!("sha256={SIGNATURE}");
        for text in ["", &SIGNATURE[1..], &long, &prefixed, &SIGNATURE.to_uppercase(), &SIGNATURE.replace('d', "g")] {
            assert_eq!(with_signature(text).unwrap_err(), VerifyErrorKind::MalformedSignature, "{text:?}");
        }
    }

    #[test]
    fn requires_each_header_exactly_once() {
        let timestamp = ("x-twenty-webhook-timestamp", "1790932471733");
        let signature = ("x-twenty-webhook-signature", SIGNATURE);
        assert_eq!(parse(&[("host", "x")]).unwrap_err(), VerifyErrorKind::Unsigned);
        assert_eq!(parse(&[timestamp]).unwrap_err(), VerifyErrorKind::MissingSignature);
        assert_eq!(parse(&[signature]).unwrap_err(), VerifyErrorKind::MissingTimestamp);
        assert_eq!(parse(&[timestamp, signature, signature]).unwrap_err(), VerifyErrorKind::RepeatedSignature);
        assert_eq!(parse(&[timestamp, signature, timestamp]).unwrap_err(), VerifyErrorKind::RepeatedTimestamp);
    }

    #[test]
    fn accepts_a_malformed_nonce() {
        for nonce in ["", "xyz", "A51703B453420B6B21218BB3CCB37571"] {
            let headers = parse(&[
                ("x-twenty-webhook-timestamp", "1790932471733"),
                ("x-twenty-webhook-signature", SIGNATURE),
                ("x-twenty-webhook-nonce", nonce),
            ]);
            assert_eq!(headers.unwrap().values.nonce(), None, "{nonce:?}");
        }
    }
}
