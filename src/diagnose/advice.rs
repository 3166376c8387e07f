use super::Cause;

impl Cause {
    /// Returns what the cause means and what to do.
    #[must_use]
    pub const fn advice(&self) -> &'static str {
        match self {
            Self::Unsigned => {
                "Twenty signs if the webhook has a secret: set one in Twenty's settings. If it has one, something on \
                 the way drops the headers: let the proxy pass on X-Twenty-Webhook-Signature and -Timestamp."
            }
            Self::MissingSignature | Self::MissingTimestamp => {
                "Twenty sends both headers or none, so something on the way, or the capture, dropped one: let the \
                 proxy pass on all X-Twenty-Webhook-* headers unchanged."
            }
            Self::HeadersRenamed { .. } => {
                "A proxy or a CGI gateway renames headers. Make it keep the names, or give the verifier the original \
                 names (X-Twenty-Webhook-Signature, -Timestamp, -Nonce)."
            }
            Self::OtherHeaderPrefix { .. } => {
                "If a fork of Twenty sent this under its own brand, set the prefix with \
                 Verifier::builder().header_prefix(..). Otherwise make the proxy keep the names."
            }
            Self::RepeatedSignature | Self::RepeatedTimestamp => {
                "Twenty sends each header once. A proxy or somebody on the way adds another one: only one may \
                 arrive."
            }
            Self::MalformedSignature => {
                "Twenty sends exactly 64 lower-case hexadecimal digits. Look for quotation marks, spaces, missing \
                 digits, or another service that posts to this address."
            }
            Self::SignaturePrefixed { .. } | Self::SignatureUpperCase | Self::SignatureBase64 => {
                "Twenty sends 64 lower-case hexadecimal digits without a prefix. Change the sender, or whatever \
                 rewrites the header on the way."
            }
            Self::MalformedTimestamp => {
                "Twenty sends only decimal digits, the milliseconds since 1970, such as 1790932471733. Change the \
                 sender, or whatever rewrites the header on the way."
            }
            Self::TimestampInSeconds | Self::SignedInSeconds => {
                "Twenty sends and signs milliseconds since 1970 (13 digits). Make the sender use Date.now() \
                 unchanged, both in the header and in the signed text."
            }
            Self::SignedWithSeparator { .. } | Self::SignedWithoutTimestamp => {
                "The secret is right. Twenty signs the timestamp header's text, a colon, and the body: make the \
                 sender sign the same text."
            }
            Self::SignedWithNonce => {
                "The secret is right, but this sender is a fork: Twenty signs the timestamp, a colon and the body, \
                 without the nonce. Change the fork, because this crate does not support such signatures."
            }
            Self::SecretPadded => {
                "Remove everything around the secret, such as the newline at the end of a secret file, or a space \
                 that was copied with it. The secret is used as it is and never trimmed."
            }
            Self::SecretQuoted => {
                "Remove the quotation marks: docker --env-file and many secret stores keep them as a part of the \
                 value."
            }
            Self::SecretTrimmed => {
                "The secret in Twenty has white space around it. Save it in Twenty without the white space, or \
                 configure it here with the white space."
            }
            Self::SecretNamed => {
                "Configure only the text after the equals sign, without the variable's name, export or quotation \
                 marks."
            }
            Self::SecretPrefixed => {
                "Remove the prefix: Twenty's secrets have none. Configure exactly the text that Twenty shows."
            }
            Self::SecretLetterCase => {
                "Configure the secret in the letter case that Twenty shows: it is used as text, not as a number."
            }
            Self::SecretEncoded { .. } => {
                "Configure the secret as Twenty shows it, not an encoded copy of it (Kubernetes stores base64). If it \
                 is already the same, the sender decodes it by mistake: the key of Twenty's HMAC is the secret's \
                 text."
            }
            Self::SecretDecoded { .. } => {
                "Configure the secret as Twenty shows it, without decoding it: the key of Twenty's HMAC is the \
                 secret's text, even if it looks like hexadecimal."
            }
            Self::OtherKeys { .. } => {
                "The delivery belongs to another webhook. Check the target URL of that webhook in Twenty, and the \
                 secret that is configured for this address."
            }
            Self::NewlineAdded
            | Self::NewlineCut
            | Self::ByteOrderMarkAdded
            | Self::ByteOrderMarkCut
            | Self::LineEndsChanged
            | Self::NulAdded => {
                "The secret is right. Verify the bytes as they arrived, before anything reads them as text. In a \
                 saved capture, an editor, a shell or a copy in text mode makes such changes."
            }
            Self::BodyRewritten { .. } => {
                "The body was parsed and serialized again. Verify the raw bytes before any JSON parser reads them: in \
                 axum before Json<T>, in actix-web before web::Json<T>. No proxy may rewrite bodies."
            }
            Self::SignedWithSpaces => {
                "The secret is right, but the sender signs json.dumps(..) and sends another text. Sign exactly the \
                 bytes that are sent."
            }
            Self::SignedStringifiedTwice => {
                "The secret is right, but the sender calls JSON.stringify on text that is already JSON, like the \
                 sample in Twenty's documentation. Twenty's server does not do this: sign the text itself."
            }
            Self::BodyStringifiedTwice => {
                "The secret is right, but something on the way called JSON.stringify on the body's text. Pass on the \
                 text unchanged."
            }
            Self::CharactersReencoded => {
                "The secret is right, but the signer or something on the way read or wrote the text as Latin-1. \
                 Handle the body as bytes, or use UTF-8 everywhere."
            }
            Self::BodyPercentEncoded => {
                "The secret is right, but something on the way sent the body as an HTML form. Pass it on unchanged, \
                 as application/json."
            }
            Self::BodyBase64 => {
                "The secret is right. Decode the body first: AWS API Gateway and Lambda provide it as base64 \
                 (isBase64Encoded)."
            }
            Self::BodyEscaped => {
                "The secret is right. The body was copied from a log that escapes it (nginx: \\x22) or from within a \
                 JSON string: verify the raw bytes."
            }
            Self::BodyInsideOfJson => {
                "The secret is right. Something on the way, such as a queue or a gateway, puts Twenty's body into its \
                 own message: verify the string in that message."
            }
            Self::BodyUtf16 => {
                "The secret is right. Something wrote the body as UTF-16, such as PowerShell's > and Out-File: verify \
                 the bytes as they arrived."
            }
            Self::BodyIncomplete { .. } => {
                "Twenty sends complete JSON, so something truncated the body: a limit of a proxy or a log, or a \
                 closed connection. Capture the whole body before you check the secret."
            }
            Self::BodyNotJson { .. } => {
                "Twenty sends JSON, so this is not the body that was signed: something on the way, or the capture, \
                 changed it. Capture the raw bytes before you check the secret."
            }
            Self::BodyHasReplacements => {
                "Something decoded the body with a wrong encoding, and lost bytes that cannot be restored. If the \
                 record itself contains this character, check the secret. Otherwise capture the raw bytes."
            }
            Self::BodyEmpty => {
                "Twenty never sends an empty body. Something has already read it: in actix-web an extractor such as \
                 web::Json or web::Bytes, elsewhere another middleware. Or a redirect turned POST into GET."
            }
            Self::BodyCompressed { .. } => {
                "Twenty does not compress, so a proxy did. Turn compression off, or decompress the body before you \
                 verify it."
            }
            Self::BodyDecompressed { .. } => {
                "Something on the way compressed the body, and something decompressed it. The result must be the \
                 bytes that Twenty sent: turn compression off. If the sender is yours, sign the bytes that it sends."
            }
            Self::BodyLengthChanged { .. } => {
                "The body was truncated, rewritten or decompressed after it was sent. Compare what each proxy and \
                 middleware passes on, and capture the raw bytes."
            }
            Self::BodyTooLong { .. } => {
                "If the delivery is genuine, raise Verifier::builder().body_limit(..), and the limits of the proxies \
                 in front of the receiver."
            }
            Self::TooOld { .. } => {
                "If this is an old capture, set the verifier's clock to the time of the capture. If deliveries are \
                 fresh, correct this machine's clock, find out what delays them, or raise tolerance(..)."
            }
            Self::FromTheFuture { .. } => {
                "This machine's clock is slow, or Twenty's is fast: synchronise both (NTP). In tests, check the time \
                 of the verifier's clock."
            }
            Self::TestTool { .. } => {
                "This says nothing about Twenty's own deliveries. Sign exactly the bytes that the tool sends (curl \
                 needs --data-binary, because -d drops line ends), or use this crate's Signer."
            }
            Self::Unexplained => {
                "Copy the secret from this webhook in Twenty again. If the secret was changed, configure the previous \
                 one, too. If the secret is right, the body or timestamp was altered on the way, or the \
                 delivery is forged."
            }
        }
    }
}
