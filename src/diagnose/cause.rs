use std::{fmt, sync::Arc, time::Duration};

/// One reason why a delivery does not verify.
///
/// `Display` says in one line what was found, [`advice`](Self::advice) what it means and what to do
/// about it. Neither shows a secret, a signature or any part of the body.
///
/// Each is shown by evidence: by a plain fact, such as a header that is missing, or by a signature
/// that does match once that one thing is undone. Causes whose name begins with `Signed` are the
/// sender's doing; Twenty itself is none that signs like that.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Cause {
    /// Neither signature nor timestamp header.
    Unsigned,
    /// A timestamp without a signature.
    MissingSignature,
    /// A signature without a timestamp.
    MissingTimestamp,
    /// Headers arrive with underscores for hyphens, or as CGI names them.
    HeadersRenamed {
        /// The name of one of them, escaped and at most 64 characters.
        found: Box<str>,
    },
    /// The signature matches, but arrives in headers of other names.
    OtherHeaderPrefix {
        /// The name of one of them, escaped and at most 64 characters.
        found: Box<str>,
    },
    /// More than one signature.
    RepeatedSignature,
    /// More than one timestamp.
    RepeatedTimestamp,
    /// A signature that is not 64 lower-case hexadecimal digits, for none of the reasons below.
    MalformedSignature,
    /// The signature matches, but has a prefix.
    SignaturePrefixed {
        /// The prefix, in lower case.
        prefix: &'static str,
    },
    /// The signature matches, but is in upper case.
    SignatureUpperCase,
    /// The signature matches, but is base64 or base64url.
    SignatureBase64,
    /// A timestamp that is not decimal milliseconds.
    MalformedTimestamp,
    /// The timestamp header is in seconds.
    TimestampInSeconds,
    /// The header is in milliseconds, but seconds were signed.
    SignedInSeconds,
    /// Timestamp and body were not joined by a colon.
    SignedWithSeparator {
        /// What joined them.
        separator: &'static str,
    },
    /// The nonce was signed, between timestamp and body.
    SignedWithNonce,
    /// The body alone was signed.
    SignedWithoutTimestamp,
    /// The configured secret has white space, or something else that cannot be seen, around it; the
    /// one that signed does not.
    SecretPadded,
    /// The configured secret has quotation marks around it; the one that signed does not.
    SecretQuoted,
    /// The secret that signed has white space around it; the configured one does not.
    SecretTrimmed,
    /// The configured secret has the name of a variable before it, such as `NAME=` or `export
    /// NAME=`.
    SecretNamed,
    /// The configured secret has a prefix that was not signed with, such as `whsec_`.
    SecretPrefixed,
    /// The configured secret is hexadecimal in another letter case than the one that signed.
    SecretLetterCase,
    /// What signed is what the configured secret decodes to.
    SecretEncoded {
        /// How the configured one is encoded.
        encoding: SecretEncoding,
    },
    /// What signed is an encoded form of the configured secret.
    SecretDecoded {
        /// How the one that signed is encoded.
        encoding: SecretEncoding,
    },
    /// A secret of other [`Keys`](crate::verify::Keys) signed: see
    /// [`Verifier::diagnose_among`](crate::Verifier::diagnose_among).
    OtherKeys {
        /// Their id.
        id: Arc<str>,
    },
    /// The body has a line end that was not signed.
    NewlineAdded,
    /// A line end was signed that the body lacks.
    NewlineCut,
    /// The body begins with a byte order mark that was not signed.
    ByteOrderMarkAdded,
    /// A byte order mark was signed that the body lacks.
    ByteOrderMarkCut,
    /// NUL bytes follow the body that was signed.
    NulAdded,
    /// CR LF became LF, or the reverse.
    LineEndsChanged,
    /// The same JSON, but written in another way than Twenty does.
    BodyRewritten {
        /// What differs.
        what: Rewriting,
    },
    /// The same JSON was signed, but written as Python's `json.dumps` does.
    SignedWithSpaces,
    /// The JSON text was made a JSON string, and that was signed.
    SignedStringifiedTwice,
    /// The body is a JSON string, which holds the JSON text that was signed.
    BodyStringifiedTwice,
    /// UTF-8 was taken for Latin-1 (or Windows-1252), or turned into it.
    CharactersReencoded,
    /// The body is percent-encoded, as an HTML form for one.
    BodyPercentEncoded,
    /// The body is base64.
    BodyBase64,
    /// The body has the escapes of a log or of a JSON string, such as `\x22` or `\"`.
    BodyEscaped,
    /// The body is another JSON text, and a string in it is what was signed.
    BodyInsideOfJson,
    /// The body is UTF-16 of what was signed.
    BodyUtf16,
    /// There is no body.
    BodyEmpty,
    /// The body ends within a JSON text.
    BodyIncomplete {
        /// The body's length.
        received: usize,
    },
    /// The body is no JSON text.
    BodyNotJson {
        /// Where it stops being one: the number of a byte, counted from 0.
        at: usize,
    },
    /// The body has U+FFFD in it, which decoders write in place of bytes that they cannot read.
    BodyHasReplacements,
    /// The body is compressed.
    BodyCompressed {
        /// How, as in `Content-Encoding`.
        coding: &'static str,
    },
    /// The headers say that the body is compressed, but it is JSON.
    BodyDecompressed {
        /// How it was compressed, as in `Content-Encoding`.
        coding: &'static str,
    },
    /// The body is not as long as its `Content-Length`.
    BodyLengthChanged {
        /// The `Content-Length`.
        declared: u64,
        /// The body's length.
        received: usize,
    },
    /// The body is longer than the verifier takes.
    BodyTooLong {
        /// The body's length.
        received: usize,
        /// The verifier's [limit](crate::verify::VerifierBuilder::body_limit).
        limit: usize,
    },
    /// The signature matches, but was made too long ago.
    TooOld {
        /// How long before the verifier's present.
        age: Duration,
    },
    /// The signature matches, but was made in the future.
    FromTheFuture {
        /// How long after the verifier's present.
        ahead: Duration,
    },
    /// Twenty did not send this: a tool for tests did.
    TestTool {
        /// Which one.
        tool: &'static str,
    },
    /// Nothing that is known explains the signature.
    Unexplained,
}

/// How bytes are written as text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum SecretEncoding {
    /// Hexadecimal.
    Hex,
    /// Base64, of either alphabet.
    Base64,
}

/// In what a JSON text differs from how Twenty writes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Rewriting {
    /// White space between the tokens.
    Spaces,
    /// Escapes in strings, such as `\u00e9` for `é` or `\/` for `/`.
    Escapes,
    /// Forms of numbers, such as `1.0` for `1`.
    Numbers,
    /// Several of these.
    Several,
    /// The order of the envelope's members, perhaps along with others of these. When the order
    /// inside of the record was changed as well, what was signed cannot be told from it any more:
    /// then this is no proof that the secret is right.
    Order,
}

impl Cause {
    /// How much of a header's name is kept.
    pub(super) const MAX_NAME: usize = 64;
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unsigned => f.write_str("neither a signature nor a timestamp header"),
            Self::MissingSignature => f.write_str("the signature header is missing, the timestamp is there"),
            Self::MissingTimestamp => f.write_str("the timestamp header is missing, the signature is there"),
            Self::HeadersRenamed { found } => write!(f, "headers were renamed on the way, such as {found}"),
            Self::OtherHeaderPrefix { found } => {
                write!(f, "the signature matches, but its headers have other names, such as {found}")
            }
            Self::RepeatedSignature => f.write_str("more than one signature"),
            Self::RepeatedTimestamp => f.write_str("more than one timestamp"),
            Self::MalformedSignature => f.write_str("the signature is not 64 lower-case hexadecimal digits"),
            Self::SignaturePrefixed { prefix } => {
                write!(f, "the signature matches, but has the prefix {prefix:?}")
            }
            Self::SignatureUpperCase => f.write_str("the signature matches, but is in upper case"),
            Self::SignatureBase64 => f.write_str("the signature matches, but is base64 instead of hexadecimal"),
            Self::MalformedTimestamp => f.write_str("the timestamp is not decimal milliseconds since 1970"),
            Self::TimestampInSeconds => f.write_str("the timestamp header is in seconds instead of milliseconds"),
            Self::SignedInSeconds => f.write_str("the timestamp was signed in seconds, but sent in milliseconds"),
            Self::SignedWithSeparator { separator: "" } => {
                f.write_str("timestamp and body were signed with nothing between them, instead of a colon")
            }
            Self::SignedWithSeparator { separator } => {
                write!(f, "timestamp and body were signed with {separator:?} between them, instead of a colon")
            }
            Self::SignedWithNonce => f.write_str("the nonce was signed too, between timestamp and body"),
            Self::SignedWithoutTimestamp => f.write_str("the body was signed without the timestamp"),
            Self::SecretPadded => {
                f.write_str("the configured secret has white space around it that was not signed with")
            }
            Self::SecretQuoted => f.write_str("the configured secret has quotation marks around it"),
            Self::SecretTrimmed => {
                f.write_str("the secret that signed has white space around it, the configured one does not")
            }
            Self::SecretNamed => f.write_str("the configured secret begins with the name of a variable"),
            Self::SecretPrefixed => f.write_str("the configured secret has a prefix that the one that signed lacks"),
            Self::SecretLetterCase => {
                f.write_str("the configured secret is hexadecimal in another letter case than the one that signed")
            }
            Self::SecretEncoded { encoding } => {
                write!(f, "what signed is what the configured secret decodes to as {encoding}")
            }
            Self::SecretDecoded { encoding } => write!(f, "what signed is the configured secret written as {encoding}"),
            Self::OtherKeys { id } => write!(f, "the secret of {id:?} signed, another than is configured here"),
            Self::NewlineAdded => f.write_str("a line end was added to the body"),
            Self::NewlineCut => f.write_str("a line end was cut off the body"),
            Self::ByteOrderMarkAdded => f.write_str("a byte order mark was added to the body"),
            Self::ByteOrderMarkCut => f.write_str("a byte order mark was cut off the body"),
            Self::NulAdded => f.write_str("NUL bytes were added to the body"),
            Self::LineEndsChanged => f.write_str("the body's line ends were changed between LF and CR LF"),
            Self::BodyRewritten { what } => write!(f, "the body is not the JSON text that was signed: {what}"),
            Self::SignedWithSpaces => {
                f.write_str("the JSON was signed as Python's json.dumps writes it, but sent in another way")
            }
            Self::SignedStringifiedTwice => f.write_str("the JSON was stringified twice before it was signed"),
            Self::BodyStringifiedTwice => f.write_str("the body is a JSON string that holds the signed JSON"),
            Self::CharactersReencoded => f.write_str("the body's characters were changed between UTF-8 and Latin-1"),
            Self::BodyPercentEncoded => f.write_str("the body is percent-encoded or an HTML form"),
            Self::BodyBase64 => f.write_str("the body is base64 of what was signed"),
            Self::BodyEscaped => f.write_str("the body has the escapes of a log or a string in it"),
            Self::BodyInsideOfJson => {
                f.write_str("the body is another JSON text that holds the signed one as a string")
            }
            Self::BodyUtf16 => f.write_str("the body is UTF-16 of what was signed"),
            Self::BodyEmpty => f.write_str("the body is empty"),
            Self::BodyIncomplete { received } => {
                write!(f, "the body is incomplete: its JSON does not end within its {received} bytes")
            }
            Self::BodyNotJson { at } => write!(f, "the body is not JSON, from byte {at} on"),
            Self::BodyHasReplacements => {
                f.write_str("the body has U+FFFD in it, in place of what could not be decoded")
            }
            Self::BodyCompressed { coding } => write!(f, "the body is compressed ({coding})"),
            Self::BodyDecompressed { coding } => write!(f, "the body was compressed ({coding}) and no longer is"),
            Self::BodyLengthChanged { declared, received } => {
                write!(f, "the body has {received} bytes, but was sent with {declared}")
            }
            Self::BodyTooLong { received, limit } => {
                write!(f, "the body has {received} bytes, more than the limit of {limit}")
            }
            Self::TooOld { age } => write!(f, "the signature matches, but was made {} ago", Rough(*age)),
            Self::FromTheFuture { ahead } => {
                write!(f, "the signature matches, but was made {} in the future", Rough(*ahead))
            }
            Self::TestTool { tool } => write!(f, "not sent by Twenty, but by a tool for tests: {tool}"),
            Self::Unexplained => {
                f.write_str("nothing known explains the signature: another secret signed, or the delivery was altered")
            }
        }
    }
}

impl fmt::Display for SecretEncoding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Hex => "hexadecimal",
            Self::Base64 => "base64",
        })
    }
}

impl fmt::Display for Rewriting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Spaces => "it has other white space",
            Self::Escapes => "it has other escapes in strings",
            Self::Numbers => "it has other forms of numbers",
            Self::Several => "it differs in white space, escapes or numbers",
            Self::Order => "its members are in another order",
        })
    }
}

/// A duration in its two largest units: `2 d 3 h`.
struct Rough(Duration);

impl fmt::Display for Rough {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const UNITS: [(&str, u128); 5] =
            [("d", 86_400_000), ("h", 3_600_000), ("min", 60_000), ("s", 1_000), ("ms", 1)];
        let mut rest = self.0.as_millis();
        let mut shown = 0_u8;
        for (unit, millis) in UNITS {
            let count = rest.checked_div(millis).unwrap_or_default();
            rest = rest.checked_rem(millis).unwrap_or_default();
            if count > 0 && shown < 2 {
                write!(f, "{}{count} {unit}", if shown > 0 { " " } else { "" })?;
            }
            // A smaller unit directly follows the largest one or is left out, also when there is
            // none of it.
            shown = shown.saturating_add(u8::from(count > 0 || shown > 0));
        }
        if shown == 0 { f.write_str("0 ms") } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_in_two_units() {
        for (millis, text) in [
            (0, "0 ms"),
            (1, "1 ms"),
            (1_001, "1 s 1 ms"),
            (300_001, "5 min"),
            (301_000, "5 min 1 s"),
            (86_400_001, "1 d"),
            (183_600_000, "2 d 3 h"),
        ] {
            assert_eq!(Rough(Duration::from_millis(millis)).to_string(), text);
        }
        assert!(Rough(Duration::MAX).to_string().starts_with("213503982334601 d"));
    }
}
