//! Reads a captured delivery's headers leniently, where verification is strict.

use super::{
    Cause, Header,
    proof::Proof,
    signature::{MAX_VALUES, Signature, parts},
};
use crate::verify::{HeaderNames, Timestamp, TimestampHeader, VerifyErrorKind, parse_signature};

/// The headers that a diagnosis looks at.
pub(super) struct Capture<'a> {
    signature: Found<'a>,
    timestamp: Found<'a>,
    nonce: Found<'a>,
    all: &'a [Header<'a>],
}

impl<'a> Capture<'a> {
    pub(super) fn new(names: &HeaderNames, headers: &'a [Header<'a>]) -> Self {
        let find = |expected, role| Found::new(headers, expected, role);
        Self {
            signature: find(names.signature(), "signature"),
            timestamp: find(names.timestamp(), "timestamp"),
            nonce: find(names.nonce(), "nonce"),
            all: headers,
        }
    }

    /// Returns the time in the timestamp header, in either unit.
    pub(super) fn timestamp(&self) -> Option<Timestamp> {
        let text = str::from_utf8(self.timestamp_text()?).ok()?;
        let number: u64 = text.parse().ok()?;
        Some(Timestamp::from_millis(if text.len() == 10 { number.checked_mul(1_000)? } else { number }))
    }

    /// Returns whether a MAC can match: there is exactly one signature and one timestamp, and both
    /// can be decoded.
    pub(super) fn is_comparable(&self) -> bool {
        self.signature.is_meant()
            && self.timestamp.is_meant()
            && !self.signatures().is_empty()
            && !self.has_several_signatures()
            && self.timestamp_cause().is_none()
    }

    /// Returns the decoded candidates for the signature.
    pub(super) fn signatures(&self) -> Vec<Signature> {
        self.signature.values.iter().flat_map(|value| Signature::candidates(value)).collect()
    }

    /// Returns the timestamp's text, which is signed.
    pub(super) fn timestamp_text(&self) -> Option<&'a [u8]> {
        Some(parts(self.timestamp.values.first()?).next().unwrap_or_default())
    }

    pub(super) fn nonce_text(&self) -> Option<&'a [u8]> {
        self.nonce.values.first().map(|value| value.trim_ascii())
    }

    /// Returns the value of another header, by its name in lower case.
    pub(super) fn header(&self, name: &str) -> Option<&'a [u8]> {
        let (_, value) = self.all.iter().find(|(other, _)| other.eq_ignore_ascii_case(name.as_bytes()))?;
        Some(value.trim_ascii())
    }

    /// Returns what is wrong with the headers. Headers with entirely different names count only if
    /// there is a proof.
    pub(super) fn causes(&self, proof: Option<&Proof>) -> Vec<Cause> {
        let is_there = |found: &Found<'_>, is_proven| found.is_meant() || (is_proven && found.likeness.is_some());
        let signature = is_there(&self.signature, proof.is_some());
        let timestamp = is_there(&self.timestamp, proof.is_some_and(|proof| proof.is_timestamp_signed));
        let missing = match (signature, timestamp) {
            (false, false) => Some(Cause::Unsigned),
            (false, true) => Some(Cause::MissingSignature),
            (true, false) => Some(Cause::MissingTimestamp),
            (true, true) => None,
        };
        let found = [(signature, &self.signature), (timestamp, &self.timestamp)];
        let renamed = found.into_iter().find_map(|(is_there, found)| found.renamed().filter(|_| is_there));
        let mut causes: Vec<Cause> = missing.into_iter().chain(renamed).collect();
        if signature {
            causes.extend(self.signature_causes(proof));
        }
        if timestamp {
            causes.extend(self.timestamp_cause());
        }
        causes
    }

    fn signature_causes(&self, proof: Option<&Proof>) -> Vec<Cause> {
        let written = proof.map(|proof| proof.signature.causes()).unwrap_or_default();
        let is_well_formed = || self.signature.values.first().is_some_and(|value| parse_signature(value).is_ok());
        if self.has_several_signatures() {
            [vec![Cause::RepeatedSignature], written].concat()
        } else if written.is_empty() && !is_well_formed() {
            vec![Cause::MalformedSignature]
        } else {
            written
        }
    }

    fn has_several_signatures(&self) -> bool {
        self.signature.is_repeated(|part| Signature::parse(part).is_some())
    }

    fn timestamp_cause(&self) -> Option<Cause> {
        if self.timestamp.is_repeated(|part| !part.is_empty() && part.iter().all(u8::is_ascii_digit)) {
            return Some(Cause::RepeatedTimestamp);
        }
        match TimestampHeader::parse(self.timestamp.values.first()?).err()? {
            VerifyErrorKind::TimestampInSeconds => Some(Cause::TimestampInSeconds),
            _ => Some(Cause::MalformedTimestamp),
        }
    }
}

/// How similar a header's name is to the expected one, from most to least.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Likeness {
    Exact,
    /// The same name with underscores, or as CGI writes it.
    Respelled,
    /// `x-other-webhook-signature`.
    OtherBrand,
    /// `x-other-signature`.
    OtherPrefix,
}

impl Likeness {
    fn of(name: &[u8], expected: &str, role: &str) -> Option<Self> {
        if name.eq_ignore_ascii_case(expected.as_bytes()) {
            return Some(Self::Exact);
        }
        let spelled =
            |name: &[u8]| name.to_ascii_lowercase().iter().map(|b| if *b == b'_' { b'-' } else { *b }).collect();
        let (name, expected): (Vec<u8>, Vec<u8>) = (spelled(name), spelled(expected.as_bytes()));
        let prefix = name.strip_suffix(role.as_bytes())?;
        if name == expected || name.strip_prefix(b"http-") == Some(&expected) {
            Some(Self::Respelled)
        } else if prefix.ends_with(b"webhook-") {
            Some(Self::OtherBrand)
        } else {
            (prefix.is_empty() || prefix.ends_with(b"-")).then_some(Self::OtherPrefix)
        }
    }
}

/// The headers most similar to an expected one. All have the same likeness.
struct Found<'a> {
    likeness: Option<Likeness>,
    name: &'a [u8],
    /// The values of the first headers that were found.
    values: Vec<&'a [u8]>,
}

impl<'a> Found<'a> {
    fn new(headers: &[Header<'a>], expected: &str, role: &str) -> Self {
        let liked =
            || headers.iter().filter_map(|(name, value)| Some((Likeness::of(name, expected, role)?, *name, *value)));
        let best = liked().map(|(likeness, ..)| likeness).min();
        let (names, values): (Vec<_>, _) = liked()
            .filter(|(likeness, ..)| Some(*likeness) == best)
            .map(|(_, name, value)| (name, value))
            .take(MAX_VALUES)
            .unzip();
        Self { likeness: best, name: names.first().copied().unwrap_or_default(), values }
    }

    /// Returns whether the name alone identifies the header.
    fn is_meant(&self) -> bool {
        matches!(self.likeness, Some(Likeness::Exact | Likeness::Respelled))
    }

    fn renamed(&self) -> Option<Cause> {
        let found = || self.name.escape_ascii().map(char::from).take(Cause::MAX_NAME).collect();
        match self.likeness? {
            Likeness::Exact => None,
            Likeness::Respelled => Some(Cause::HeadersRenamed { found: found() }),
            Likeness::OtherBrand | Likeness::OtherPrefix => Some(Cause::OtherHeaderPrefix { found: found() }),
        }
    }

    /// Returns whether there is more than one header, or one with several values that a proxy may
    /// have joined with commas.
    fn is_repeated(&self, is_value: impl Fn(&[u8]) -> bool) -> bool {
        let is_joined = |value: &&[u8]| value.contains(&b',') && parts(value).all(&is_value);
        self.values.len() > 1 || self.values.iter().any(is_joined)
    }
}
