use std::{fmt, sync::Arc, time::Duration};

/// One reason why a delivery does not verify.
///
/// `Display` says in one line what was found. [`advice`](Self::advice) says what it means and what
/// to do. Neither shows a secret, a signature or any part of the body.
///
/// There is evidence for each cause: a fact, such as a missing header, or a signature that matches
/// once this one change is undone. Causes whose name begins with `Signed` are mistakes of the
/// sender; Twenty itself never signs in these ways.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Cause {
    /// Neither signature nor timestamp header.
    Unsigned,
    /// A timestamp without a signature.
    MissingSignature,
    /// A signature without a timestamp.
    MissingTimestamp,
    /// The headers' names have underscores instead of hyphens, or are names of CGI variables.
    HeadersRenamed {
        /// The name of one of these headers, escaped and truncated to 64 characters.
        found: Box<str>,
    },
    /// The signature matches, but is in headers with other names.
    OtherHeaderPrefix {
        /// The name of one of these headers, escaped and truncated to 64 characters.
        found: Box<str>,
    },
    /// More than one signature.
    RepeatedSignature,
    /// More than one timestamp.
    RepeatedTimestamp,
    /// A signature that is not 64 lower-case hexadecimal digits, for a reason that no cause below
    /// describes.
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
    /// The configured secret has white space or other invisible characters around it. The secret
    /// that signed has none.
    SecretPadded,
    /// The configured secret has quotation marks around it. The secret that signed has none.
    SecretQuoted,
    /// The secret that signed has white space around it. The configured secret has none.
    SecretTrimmed,
    /// The configured secret has the name of a variable before it, such as `NAME=` or `export
    /// NAME=`.
    SecretNamed,
    /// The configured secret has a prefix that the secret that signed lacks, such as `whsec_`.
    SecretPrefixed,
    /// The configured secret is hexadecimal. It differs from the secret that signed only in letter
    /// case.
    SecretLetterCase,
    /// The key that signed is the decoded form of the configured secret.
    SecretEncoded {
        /// How the configured secret is encoded.
        encoding: SecretEncoding,
    },
    /// The key that signed is an encoded form of the configured secret.
    SecretDecoded {
        /// How the key that signed is encoded.
        encoding: SecretEncoding,
    },
    /// A secret of other [`Keys`](crate::verify::Keys) signed: see
    /// [`Verifier::diagnose_among`](crate::Verifier::diagnose_among).
    OtherKeys {
        /// Their id.
        id: Arc<str>,
    },
    /// The body ends with a newline that was not signed.
    NewlineAdded,
    /// The newline that was signed at the end of the body is missing.
    NewlineCut,
    /// The body begins with a byte order mark that was not signed.
    ByteOrderMarkAdded,
    /// The byte order mark that was signed is missing.
    ByteOrderMarkCut,
    /// The body ends with NUL bytes that were not signed.
    NulAdded,
    /// CR LF became LF, or the reverse.
    LineEndsChanged,
    /// The body is the same JSON, but written in another way than Twenty writes it.
    BodyRewritten {
        /// What differs.
        what: Rewriting,
    },
    /// The same JSON was signed, but as Python's `json.dumps` writes it.
    SignedWithSpaces,
    /// The JSON text was written as a JSON string, and this string was signed.
    SignedStringifiedTwice,
    /// The body is a JSON string that contains the JSON text that was signed.
    BodyStringifiedTwice,
    /// UTF-8 was read as Latin-1 (or Windows-1252), or was converted to it.
    CharactersReencoded,
    /// The body is percent-encoded, for example as an HTML form.
    BodyPercentEncoded,
    /// The body is the signed body in base64.
    BodyBase64,
    /// The body is escaped as in a log or in a JSON string, for example with `\x22` or `\"`.
    BodyEscaped,
    /// The body is another JSON text, which contains the signed body as a string.
    BodyInsideOfJson,
    /// The body is the signed body in UTF-16.
    BodyUtf16,
    /// There is no body.
    BodyEmpty,
    /// The body is JSON that ends too early.
    BodyIncomplete {
        /// The body's length.
        received: usize,
    },
    /// The body is not JSON.
    BodyNotJson {
        /// The position of the first byte that cannot be a part of JSON, from 0.
        at: usize,
    },
    /// The body contains U+FFFD, which decoders write in place of bytes that they cannot decode.
    BodyHasReplacements,
    /// The body is compressed.
    BodyCompressed {
        /// The compression, as in `Content-Encoding`.
        coding: &'static str,
    },
    /// The headers say that the body is compressed, but it is JSON.
    BodyDecompressed {
        /// The compression, as in `Content-Encoding`.
        coding: &'static str,
    },
    /// The body's length differs from its `Content-Length`.
    BodyLengthChanged {
        /// The `Content-Length`.
        declared: u64,
        /// The body's length.
        received: usize,
    },
    /// The body is longer than the verifier's limit.
    BodyTooLong {
        /// The body's length.
        received: usize,
        /// The verifier's [limit](crate::verify::VerifierBuilder::body_limit).
        limit: usize,
    },
    /// The signature matches, but was made too long ago.
    TooOld {
        /// The time from the signature to the verifier's current time.
        age: Duration,
    },
    /// The signature matches, but was made in the future.
    FromTheFuture {
        /// The time from the verifier's current time to the signature.
        ahead: Duration,
    },
    /// A test tool sent this delivery, not Twenty.
    TestTool {
        /// The tool.
        tool: &'static str,
    },
    /// No known mistake explains the signature.
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

/// How a JSON text differs from the text that Twenty writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Rewriting {
    /// White space between the tokens.
    Spaces,
    /// Escapes in strings, such as `\u00e9` for `é` or `\/` for `/`.
    Escapes,
    /// Forms of numbers, such as `1.0` for `1`.
    Numbers,
    /// Several of the differences above.
    Several,
    /// The order of the envelope's members, perhaps together with the differences above. If the
    /// order inside the record changed as well, the signed text cannot be restored, so this cause
    /// does not prove that the secret is right.
    Order,
}

impl Cause {
    /// The maximum length of a header's name.
    pub(super) const MAX_NAME: usize = 64;
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unsigned => f.write_str("neither a signature nor a timestamp header"),
            Self::MissingSignature => f.write_str("there is a timestamp header, but no signature header"),
            Self::MissingTimestamp => f.write_str("there is a signature header, but no timestamp header"),
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
            Self::SignedWithNonce => f.write_str("the nonce was signed, too, between timestamp and body"),
            Self::SignedWithoutTimestamp => f.write_str("the body was signed without the timestamp"),
            Self::SecretPadded => {
                f.write_str("the configured secret has white space around it, but the secret that signed has none")
            }
            Self::SecretQuoted => f.write_str("the configured secret has quotation marks around it"),
            Self::SecretTrimmed => {
                f.write_str("the secret that signed has white space around it, but the configured secret has none")
            }
            Self::SecretNamed => f.write_str("the configured secret begins with the name of a variable"),
            Self::SecretPrefixed => {
                f.write_str("the configured secret has a prefix, but the secret that signed has none")
            }
            Self::SecretLetterCase => f.write_str(
                "the configured secret and the secret that signed differ only in the letter case of their digits",
            ),
            Self::SecretEncoded { encoding } => {
                write!(f, "the key that signed is the configured secret, decoded from {encoding}")
            }
            Self::SecretDecoded { encoding } => {
                write!(f, "the key that signed is the configured secret, encoded as {encoding}")
            }
            Self::OtherKeys { id } => {
                write!(f, "the delivery was signed with the secret of {id:?}, which is not configured here")
            }
            Self::NewlineAdded => f.write_str("a newline was added at the end of the body"),
            Self::NewlineCut => f.write_str("the newline at the end of the body was removed"),
            Self::ByteOrderMarkAdded => f.write_str("a byte order mark was added at the beginning of the body"),
            Self::ByteOrderMarkCut => f.write_str("the byte order mark at the beginning of the body was removed"),
            Self::NulAdded => f.write_str("NUL bytes were added at the end of the body"),
            Self::LineEndsChanged => f.write_str("the body's line ends were changed between LF and CR LF"),
            Self::BodyRewritten { what } => write!(f, "the body is not the JSON text that was signed: {what}"),
            Self::SignedWithSpaces => {
                f.write_str("the JSON was signed as Python's json.dumps writes it, but sent in another way")
            }
            Self::SignedStringifiedTwice => f.write_str("the JSON was stringified twice before it was signed"),
            Self::BodyStringifiedTwice => f.write_str("the body is a JSON string that contains the signed JSON"),
            Self::CharactersReencoded => f.write_str("the body's characters were changed between UTF-8 and Latin-1"),
            Self::BodyPercentEncoded => f.write_str("the body is percent-encoded or an HTML form"),
            Self::BodyBase64 => f.write_str("the body is the signed body in base64"),
            Self::BodyEscaped => f.write_str("the body is escaped as in a log or in a JSON string"),
            Self::BodyInsideOfJson => {
                f.write_str("the body is another JSON text that contains the signed body as a string")
            }
            Self::BodyUtf16 => f.write_str("the body is the signed body in UTF-16"),
            Self::BodyEmpty => f.write_str("the body is empty"),
            Self::BodyIncomplete { received } => {
                write!(f, "the body is incomplete: its JSON does not end within its {received} bytes")
            }
            Self::BodyNotJson { at } => write!(f, "the body is not JSON, from byte {at} on"),
            Self::BodyHasReplacements => {
                f.write_str("the body contains U+FFFD, in place of bytes that could not be decoded")
            }
            Self::BodyCompressed { coding } => write!(f, "the body is compressed ({coding})"),
            Self::BodyDecompressed { coding } => {
                write!(f, "the body was sent compressed ({coding}), but arrived decompressed")
            }
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
            Self::TestTool { tool } => write!(f, "not from Twenty, but from a test: {tool}"),
            Self::Unexplained => {
                f.write_str("no known mistake was found: the delivery was signed with another secret, or was altered")
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
            Self::Spaces => "it differs in white space",
            Self::Escapes => "it differs in the escapes in strings",
            Self::Numbers => "it differs in the forms of numbers",
            Self::Several => "it differs in white space, escapes or numbers",
            Self::Order => "it differs in the order of its members",
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
            // Only the unit directly below the largest one is shown, and it is left out if it is
            // zero.
            shown = shown.saturating_add(u8::from(count > 0 || shown > 0));
        }
        if shown == 0 { f.write_str("0 ms") } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_show_their_two_largest_units() {
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
