use super::Cause;

impl Cause {
    /// What it means and what to do about it.
    #[must_use]
    pub const fn advice(&self) -> &'static str {
        match self {
            Self::Unsigned => {
                "Twenty signs when the webhook has a secret: set one in Twenty's settings. If it has one, something \
                 on the way drops the headers: let the proxy pass X-Twenty-Webhook-Signature and -Timestamp on."
            }
            Self::MissingSignature | Self::MissingTimestamp => {
                "Twenty sends both headers or none, so something on the way, or the capture, dropped this one: let \
                 the proxy pass all X-Twenty-Webhook-* headers on, unchanged."
            }
            Self::HeadersRenamed { .. } => {
                "A proxy or CGI gateway renames headers: make it keep them, or give the verifier the original names \
                 (X-Twenty-Webhook-Signature, -Timestamp, -Nonce)."
            }
            Self::OtherHeaderPrefix { .. } => {
                "For a fork of Twenty under its own brand, name its prefix with \
                 Verifier::builder().header_prefix(..). Otherwise make the proxy keep the names."
            }
            Self::RepeatedSignature | Self::RepeatedTimestamp => {
                "Twenty sends each header once. A proxy adds a copy, or somebody on the way adds one of their own: \
                 only one may arrive."
            }
            Self::MalformedSignature => {
                "Twenty sends 64 lower-case hexadecimal digits and nothing else. Look for quotation marks, spaces, \
                 missing digits, or another service that posts to this address."
            }
            Self::SignaturePrefixed { .. } | Self::SignatureUpperCase | Self::SignatureBase64 => {
                "Twenty sends 64 lower-case hexadecimal digits without a prefix: change the sender, or what rewrites \
                 the header on the way."
            }
            Self::MalformedTimestamp => {
                "Twenty sends milliseconds since 1970 as decimal digits, such as 1790932471733, and nothing else: \
                 change the sender, or what rewrites the header on the way."
            }
            Self::TimestampInSeconds | Self::SignedInSeconds => {
                "Twenty sends and signs milliseconds since 1970 (13 digits): make the sender use Date.now() as it is, \
                 in the header and in the signed text."
            }
            Self::SignedWithSeparator { .. } | Self::SignedWithoutTimestamp => {
                "The secret is right. Twenty signs the timestamp header's text, a colon, and the body: make the \
                 sender join them like that."
            }
            Self::SignedWithNonce => {
                "The secret is right, but this sender is a fork: Twenty signs timestamp, colon, body, without the \
                 nonce. Change the fork; this signature is not supported."
            }
            Self::SecretPadded => {
                "Remove what surrounds the secret, such as the newline at the end of a secret file or a space that \
                 was pasted along. The secret is used as it is and never trimmed."
            }
            Self::SecretQuoted => {
                "Remove the quotation marks: docker --env-file and many secret stores keep them as a part of the \
                 value."
            }
            Self::SecretTrimmed => {
                "The secret in Twenty has white space around it. Save it there without, or configure it exactly as it \
                 is there."
            }
            Self::SecretNamed => {
                "Configure what follows the equals sign only: the secret without the variable's name, export or quotation \
                 marks."
            }
            Self::SecretPrefixed => {
                "Remove the prefix: Twenty's secrets have none, and Twenty uses the secret as it shows it."
            }
            Self::SecretLetterCase => {
                "Configure the secret in the letter case that Twenty shows: it is used as text, not as a number."
            }
            Self::SecretEncoded { .. } => {
                "Configure the secret as Twenty shows it, not an encoded copy of it (Kubernetes stores base64). If \
                 they are the same, the sender decodes it: Twenty keys the HMAC with the secret's text."
            }
            Self::SecretDecoded { .. } => {
                "Configure the secret as Twenty shows it, without decoding it: Twenty keys the HMAC with the secret's \
                 text, also when that looks like hexadecimal."
            }
            Self::OtherKeys { .. } => {
                "The delivery belongs to another webhook: check which target URL that webhook has in Twenty, and \
                 which secret this address is configured with."
            }
            Self::NewlineAdded
            | Self::NewlineCut
            | Self::ByteOrderMarkAdded
            | Self::ByteOrderMarkCut
            | Self::LineEndsChanged
            | Self::NulAdded => {
                "The secret is right. Verify the bytes as they came, before anything reads them as text; an editor, a \
                 shell or a text-mode copy changes ends like these in a saved capture."
            }
            Self::BodyRewritten { .. } => {
                "The body was parsed and written again. Verify the raw bytes before any JSON parser has them: in axum \
                 before Json<T>, in actix-web before web::Json<T>, and without a body-rewriting proxy."
            }
            Self::SignedWithSpaces => {
                "The secret is right, but the sender signs json.dumps(..) and sends other text. Sign the very bytes \
                 that are sent."
            }
            Self::SignedStringifiedTwice => {
                "The secret is right, but the sender calls JSON.stringify on text that is JSON already, as the sample \
                 in Twenty's documentation does. Twenty's server does not: sign the text itself."
            }
            Self::BodyStringifiedTwice => {
                "The secret is right, but something on the way called JSON.stringify on the body's text. Pass the \
                 text on as it is."
            }
            Self::CharactersReencoded => {
                "The secret is right, but text was read or written as Latin-1 on the way, or by the signer. Handle \
                 the body as bytes, or as UTF-8 throughout."
            }
            Self::BodyPercentEncoded => {
                "The secret is right, but something on the way sent the body as an HTML form. Pass it on as \
                 application/json, unchanged."
            }
            Self::BodyBase64 => {
                "The secret is right. Decode the body first: AWS API Gateway and Lambda hand it over as base64 \
                 (isBase64Encoded)."
            }
            Self::BodyEscaped => {
                "The secret is right. The body was copied from a log that escapes it (nginx: \\x22) or from inside of a \
                 JSON string: verify the raw bytes."
            }
            Self::BodyInsideOfJson => {
                "The secret is right. Something on the way, such as a queue or a gateway, puts Twenty's body into a \
                 message of its own: verify that string."
            }
            Self::BodyUtf16 => {
                "The secret is right. Something wrote the body as UTF-16, such as PowerShell's > and Out-File: verify \
                 the bytes as they came."
            }
            Self::BodyIncomplete { .. } => {
                "Twenty sends a whole JSON text, so something cut the body: a limit of a proxy or a log, or a connection \
                 that broke off. Capture the whole body before you look at the secret."
            }
            Self::BodyNotJson { .. } => {
                "Twenty sends JSON, so this is not the body that was signed: something on the way or the capture changed \
                 it. Capture the raw bytes before you look at the secret."
            }
            Self::BodyHasReplacements => {
                "Something decoded the body as text of a wrong encoding, and lost bytes that cannot be restored. Capture \
                 the raw bytes, unless the record has this character itself; check the secret after that."
            }
            Self::BodyEmpty => {
                "Twenty never sends an empty body. Something has read it before: in actix-web an extractor such as \
                 web::Json or web::Bytes, elsewhere a middleware or a redirect that turned POST into GET."
            }
            Self::BodyCompressed { .. } => {
                "Twenty does not compress, so a proxy did. Turn that off, or decompress before you verify."
            }
            Self::BodyDecompressed { .. } => {
                "Something on the way compressed the body, and something decompressed it. What comes out must be \
                 Twenty's bytes: turn compression off, or sign what is sent."
            }
            Self::BodyLengthChanged { .. } => {
                "The body was cut off, rewritten or decompressed after it had been sent. Compare what each proxy and \
                 middleware passes on; capture the raw bytes."
            }
            Self::BodyTooLong { .. } => {
                "If the delivery is genuine, raise Verifier::builder().body_limit(..), and the limits of the proxies \
                 before it."
            }
            Self::TooOld { .. } => {
                "An old capture: it was fine when it came; set the verifier's clock to that time to see. Fresh ones: \
                 set this machine's clock, or find what holds deliveries up, or raise tolerance(..)."
            }
            Self::FromTheFuture { .. } => {
                "This machine's clock is slow or Twenty's is fast: synchronise both (NTP). In tests, check what the \
                 verifier's clock is set to."
            }
            Self::TestTool { .. } => {
                "It tells nothing about Twenty's own deliveries. Sign the exact bytes that the tool sends (curl needs \
                 --data-binary, since -d drops line ends), or use this crate's Signer."
            }
            Self::Unexplained => {
                "Copy the secret from this webhook in Twenty again; after a change, list the previous one too. If it \
                 is right, the body or timestamp was altered on the way, or the delivery is forged."
            }
        }
    }
}
