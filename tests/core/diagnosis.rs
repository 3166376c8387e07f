//! Corrupts real deliveries, each in one known way, and checks what the diagnosis finds.

use std::{collections::BTreeMap, fmt::Write as _, time::Duration};

use hmac::{Hmac, KeyInit as _, Mac as _};
use proptest::prelude::*;
use serde_json::{Value, value::RawValue};
use sha2::Sha256;
use twenty_webhook::{
    diagnose::{Cause, Diagnosis, Rewriting, SecretEncoding},
    verify::{FixedClock, Keys, Signer, Timestamp, Verifier, VerifyErrorKind},
};

use crate::support::{NONCE, SECRET, SIGNATURE, TIMESTAMP, secret, vector};

/// The bodies that each corruption is tried on: a plain one, one with emoji and long dashes, a
/// metadata event, a small one, and the sample of Twenty's documentation, which no server sends.
const BODIES: [&str; 5] = [
    "person.created",
    "opportunity.updated",
    "metadata.fieldMetadata.updated",
    "company.deleted.2025-partial",
    "documented.person.created",
];

const SAMPLE: Cause = Cause::TestTool { tool: "the sample in Twenty's documentation" };

fn mac(key: impl AsRef<[u8]>, message: impl AsRef<[u8]>) -> [u8; 32] {
    Hmac::<Sha256>::new_from_slice(key.as_ref()).unwrap().chain_update(message).finalize().into_bytes().into()
}

fn hex(bytes: impl AsRef<[u8]>) -> String {
    bytes.as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Encodes in base64, independently of the crate's implementation.
fn base64(bytes: impl AsRef<[u8]>) -> String {
    let bits: String = bytes.as_ref().iter().map(|byte| format!("{byte:08b}")).collect();
    let digit = |bits: &[u8]| {
        let index = usize::from_str_radix(&format!("{:0<6}", std::str::from_utf8(bits).unwrap()), 2).unwrap();
        b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"[index] as char
    };
    let digits: String = bits.as_bytes().chunks(6).map(digit).collect();
    format!("{digits:=<width$}", width = digits.len().next_multiple_of(4))
}

/// A captured delivery, and the settings of the verifier that rejects it.
#[derive(Clone)]
struct Capture {
    secret: String,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
    now: Timestamp,
    limit: usize,
    others: Vec<Keys>,
}

impl Capture {
    fn of(name: &str) -> Self {
        let vector = vector(name);
        Self {
            secret: vector.secret.clone(),
            headers: vector.headers().map(|(name, value)| (name.to_owned(), value.to_owned())).into(),
            body: vector.body().into(),
            now: vector.signed_at(),
            limit: Verifier::DEFAULT_BODY_LIMIT,
            others: Vec::new(),
        }
    }

    /// Returns a correctly signed delivery with this body.
    fn with_body(body: &str) -> Self {
        let mut capture = Self { body: body.into(), ..Self::of("person.created") };
        capture.resign(SECRET, |time, body| [time, b":", body].concat());
        capture
    }

    fn header(&mut self, name: &str) -> &mut String {
        &mut self.headers.iter_mut().find(|(other, _)| other == name).unwrap().1
    }

    fn value(&self, name: &str) -> &str {
        &self.headers.iter().find(|(other, _)| other == name).unwrap().1
    }

    /// Returns the signed text with this separator between timestamp and body.
    fn joined_with(&self, separator: &str) -> Vec<u8> {
        [self.value(TIMESTAMP).as_bytes(), separator.as_bytes(), &self.body].concat()
    }

    fn rename(&mut self, rename: impl Fn(&str) -> String) {
        self.headers.iter_mut().for_each(|(name, _)| *name = rename(name));
    }

    fn drop_header(&mut self, name: &str) {
        self.headers.retain(|(other, _)| other != name);
    }

    fn add_header(&mut self, name: &str, value: &str) {
        self.headers.push((name.to_owned(), value.to_owned()));
    }

    /// Signs another text, or with another key.
    fn resign(&mut self, key: impl AsRef<[u8]>, text: impl Fn(&[u8], &[u8]) -> Vec<u8>) {
        let text = text(self.value(TIMESTAMP).as_bytes(), &self.body);
        *self.header(SIGNATURE) = hex(mac(key, text));
    }

    fn resign_body(&mut self, body: impl AsRef<[u8]>) {
        self.resign(SECRET, |time, _| [time, b":", body.as_ref()].concat());
    }

    fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }

    fn diagnose(&self) -> Diagnosis {
        let verifier = Verifier::builder()
            .secret(secret("of nobody"))
            .secret(secret(&self.secret))
            .body_limit(self.limit)
            .clock(FixedClock::at(self.now))
            .build()
            .unwrap();
        let verdict = verifier.verify(self.headers.clone(), self.body.clone()).map(drop);
        let diagnosis = verifier.diagnose_among(self.headers.clone(), &self.body, &self.others);
        assert_eq!(diagnosis.verdict(), verdict);
        assert_eq!(diagnosis.causes().is_empty(), verdict.is_ok());
        self.assert_reveals_no_secret(&diagnosis);
        diagnosis
    }

    /// Checks that neither text nor `Debug` shows a secret, half of a signature, or a text of the
    /// body.
    fn assert_reveals_no_secret(&self, diagnosis: &Diagnosis) {
        let mut shown = format!("{diagnosis} {diagnosis:?}");
        diagnosis.causes().iter().for_each(|cause| write!(shown, "{cause} {}", cause.advice()).unwrap());
        let mut hidden = vec![self.secret.trim().to_owned(), SECRET.to_owned()];
        for (name, value) in &self.headers {
            if name.to_ascii_lowercase().ends_with("signature") && value.len() >= 64 {
                hidden.extend([value[value.len() - 32..].to_owned(), value[..32].to_owned()]);
            }
        }
        if let Ok(body) = serde_json::from_slice(&self.body) {
            texts(&body, &mut hidden);
        }
        for hidden in hidden.iter().filter(|text| text.len() >= 8) {
            assert!(!shown.contains(hidden), "{hidden} in {shown}");
        }
    }
}

/// Collects all texts in a JSON value.
fn texts(value: &Value, to: &mut Vec<String>) {
    match value {
        Value::String(text) => to.push(text.clone()),
        Value::Array(values) => values.iter().for_each(|value| texts(value, to)),
        Value::Object(members) => members.values().for_each(|value| texts(value, to)),
        _ => {}
    }
}

/// Corrupts every body in this way. Checks that the signature proves these causes and no others.
#[track_caller]
fn proves(causes: &[Cause], corrupt: impl Fn(&mut Capture)) {
    for name in BODIES {
        let mut capture = Capture::of(name);
        corrupt(&mut capture);
        assert_eq!(capture.diagnose().causes(), causes, "{name}");
    }
}

/// Corrupts every body in this way. Checks that these causes are found without proof by the
/// signature. For the sample of the documentation, one more cause is found.
#[track_caller]
fn shows(causes: &[Cause], corrupt: impl Fn(&mut Capture)) {
    for name in BODIES {
        let mut capture = Capture::of(name);
        corrupt(&mut capture);
        let mut causes = causes.to_vec();
        if capture.body.windows(10).any(|text| text == b"\"abc12345\"") {
            let at = causes.iter().position(|cause| *cause == Cause::Unexplained);
            causes.insert(at.unwrap_or(causes.len()), SAMPLE);
        }
        assert_eq!(capture.diagnose().causes(), causes, "{name}");
    }
}

#[track_caller]
fn proves_of(causes: &[Cause], capture: &Capture) {
    assert_eq!(capture.diagnose().causes(), causes);
}

#[test]
fn a_genuine_delivery_verifies() {
    for name in BODIES {
        let diagnosis = Capture::of(name).diagnose();
        assert_eq!(diagnosis.verdict(), Ok(()));
        assert_eq!(diagnosis.to_string(), "verifies: the delivery is genuine and fresh");
    }
}

mod headers {
    use super::*;

    #[test]
    fn missing_headers_are_reported_as_unsigned() {
        shows(&[Cause::Unsigned], |capture| capture.headers.clear());
        shows(&[Cause::Unsigned], |capture| capture.headers = vec![("date".into(), "x".into())]);
    }

    #[test]
    fn a_dropped_header_is_reported() {
        shows(&[Cause::MissingSignature], |capture| capture.drop_header(SIGNATURE));
        shows(&[Cause::MissingTimestamp], |capture| capture.drop_header(TIMESTAMP));
        let mut capture = Capture::of("person.created");
        capture.drop_header(NONCE);
        assert_eq!(capture.diagnose().verdict(), Ok(()), "nothing depends on the nonce");
    }

    #[test]
    fn a_missing_timestamp_that_was_not_signed_is_reported() {
        proves(&[Cause::MissingTimestamp, Cause::SignedWithoutTimestamp], |capture| {
            capture.resign(SECRET, |_, body| body.to_vec());
            capture.drop_header(TIMESTAMP);
            // This header is not Twenty's.
            capture.add_header("x-amz-timestamp", "1790932471");
        });
    }

    #[test]
    fn the_configured_prefix_is_used() {
        let verifier = Verifier::builder().secret(secret("\tpadded")).header_prefix("x-acme-webhook").build().unwrap();
        let headers = Signer::new("padded").unwrap().header_prefix("x-acme-webhook").unwrap().sign("{}").pairs();
        assert_eq!(verifier.diagnose(headers, "{}").causes(), [Cause::SecretPadded]);
    }

    #[test]
    fn headers_renamed_by_a_gateway_are_recognised() {
        for found in
            ["x_twenty_webhook_signature", "HTTP_X_TWENTY_WEBHOOK_SIGNATURE", "Http-X-Twenty-Webhook-Signature"]
        {
            proves(&[Cause::HeadersRenamed { found: found.into() }], |capture| {
                capture.rename(|name| {
                    let role = name.rsplit('-').next().unwrap();
                    let role = if found.contains("SIGN") { role.to_uppercase() } else { role.to_owned() };
                    format!("{}{role}", &found[..found.len() - "signature".len()])
                });
                // The header gets exactly the name that the diagnosis must report, including its
                // letter case.
                capture.headers[1].0 = found.to_owned();
            });
        }
        let found = "x_twenty_webhook_timestamp";
        proves(&[Cause::HeadersRenamed { found: found.into() }], |capture| capture.headers[0].0 = found.to_owned());
        shows(&[Cause::HeadersRenamed { found: found.into() }, Cause::Unexplained], |capture| {
            capture.headers[0].0 = found.to_owned();
            capture.secret = "another".into();
        });
    }

    #[test]
    fn headers_of_another_brand_are_recognised() {
        for found in ["x-insuros-webhook-signature", "Webhook-Signature", "X-Hub-Signature", "signature"] {
            proves(&[Cause::OtherHeaderPrefix { found: found.into() }], |capture| {
                capture.headers[1].0 = found.to_owned();
            });
        }
        // Names alone prove nothing: the signature may be of another service.
        shows(&[Cause::Unsigned], |capture| {
            capture.rename(|name| name.replace("twenty", "acme"));
            capture.secret = "another".into();
        });
        shows(&[Cause::MissingSignature], |capture| {
            capture.headers[1].0 = "x-hub-signature".into();
            capture.body[0] = b'[';
        });
    }

    #[test]
    fn the_likelier_name_is_reported() {
        let found = "x-acme-webhook-signature";
        proves(&[Cause::OtherHeaderPrefix { found: found.into() }], |capture| {
            capture.headers[1].0 = found.into();
            capture.headers.insert(0, ("x-other-signature".into(), "0".repeat(64)));
            capture.headers.insert(0, ("x-amz-timestamp".into(), "1".into()));
        });
    }

    #[test]
    fn a_long_name_is_truncated_and_escaped() {
        let mut capture = Capture::of("person.created");
        capture.headers[1].0 = format!("\u{1b}[31m{}-signature", "x".repeat(1_000));
        let found = format!("\\x1b[31m{}", "x".repeat(56));
        proves_of(&[Cause::OtherHeaderPrefix { found: found.into() }], &capture);
    }

    #[test]
    fn repeated_headers_are_reported() {
        proves(&[Cause::RepeatedSignature], |capture| capture.headers.insert(0, (SIGNATURE.into(), "0".repeat(64))));
        proves(&[Cause::RepeatedTimestamp], |capture| capture.headers.push((TIMESTAMP.into(), "1".into())));
        proves(&[Cause::RepeatedSignature], |capture| {
            let signature = capture.header(SIGNATURE);
            *signature = format!("{}, {signature}", "0".repeat(64));
        });
        proves(&[Cause::RepeatedTimestamp], |capture| {
            let timestamp = capture.header(TIMESTAMP);
            *timestamp = format!("{timestamp},{timestamp}");
        });
        // The diagnosis cannot know which of the signatures is meant, so it does not report that
        // none matches.
        shows(&[Cause::RepeatedSignature], |capture| {
            capture.secret = "another".into();
            capture.add_header(SIGNATURE, &"0".repeat(64));
        });
        shows(&[Cause::RepeatedTimestamp], |capture| capture.headers.insert(0, (TIMESTAMP.into(), "1".into())));
    }

    #[test]
    fn a_malformed_signature_is_reported() {
        for value in
            ["", "0", "not a signature", &"0".repeat(63), &"0".repeat(65), &"0".repeat(66), "sha256=", ",,,", "é"]
        {
            shows(&[Cause::MalformedSignature], |capture| *capture.header(SIGNATURE) = value.to_owned());
        }
        proves(&[Cause::MalformedSignature], |capture| capture.header(SIGNATURE).push(' '));
        shows(&[Cause::MalformedSignature, Cause::Unexplained], |capture| *capture.header(SIGNATURE) = "A".repeat(64));
    }

    #[test]
    fn a_malformed_timestamp_is_reported() {
        for value in ["", "soon", "2026-10-02T11:30:45.207Z", "-1", "+1", "1.5", "17909324717330000000000", ",", "é"] {
            shows(&[Cause::MalformedTimestamp], |capture| *capture.header(TIMESTAMP) = value.to_owned());
        }
        proves(&[Cause::MalformedTimestamp], |capture| {
            *capture.header(TIMESTAMP) = "2026-10-02T11:30:45.207Z".into();
            capture.resign(SECRET, |time, body| [time, b":", body].concat());
        });
    }
}

mod signature_written_otherwise {
    use super::*;

    fn rewrite(capture: &mut Capture, write: impl Fn(&[u8]) -> String) {
        *capture.header(SIGNATURE) = write(&mac(SECRET, capture.joined_with(":")));
    }

    #[test]
    fn upper_case_is_recognised() {
        proves(&[Cause::SignatureUpperCase], |capture| rewrite(capture, |mac| hex(mac).to_uppercase()));
    }

    #[test]
    fn base64_in_either_alphabet_is_recognised() {
        proves(&[Cause::SignatureBase64], |capture| rewrite(capture, |mac| base64(mac)));
        proves(&[Cause::SignatureBase64], |capture| {
            rewrite(capture, |mac| base64(mac).replace('+', "-").replace('/', "_").replace('=', ""));
        });
    }

    #[test]
    fn a_prefix_is_recognised() {
        for prefix in ["sha256=", "v1=", "v1,", "hmac-sha256=", "sha256:", "v1:"] {
            proves(&[Cause::SignaturePrefixed { prefix }], |capture| capture.header(SIGNATURE).insert_str(0, prefix));
        }
        proves(&[Cause::SignaturePrefixed { prefix: "sha256=" }], |capture| {
            capture.header(SIGNATURE).insert_str(0, "SHA256= ");
        });
    }

    #[test]
    fn several_differences_are_recognised_together() {
        proves(
            &[Cause::SignaturePrefixed { prefix: "v1," }, Cause::SignatureBase64, Cause::TimestampInSeconds],
            |capture| {
                capture.header(TIMESTAMP).truncate(10);
                rewrite(capture, |mac| format!("v1,{}", base64(mac)));
                capture.now = Timestamp::from_millis(capture.value(TIMESTAMP).parse::<u64>().unwrap() * 1_000);
            },
        );
        proves(&[Cause::SignatureUpperCase, Cause::SecretPadded], |capture| {
            rewrite(capture, |mac| hex(mac).to_uppercase());
            capture.secret.push('\n');
        });
        let found = "x-acme-webhook-signature";
        proves(
            &[
                Cause::OtherHeaderPrefix { found: found.into() },
                Cause::SignatureBase64,
                Cause::SignedWithSeparator { separator: "." },
            ],
            |capture| {
                *capture.header(SIGNATURE) = base64(mac(SECRET, capture.joined_with(".")));
                capture.rename(|name| name.replace("twenty", "acme"));
            },
        );
    }
}

mod signed_text {
    use super::*;

    #[test]
    fn a_timestamp_in_seconds_is_recognised() {
        proves(&[Cause::TimestampInSeconds], |capture| {
            capture.header(TIMESTAMP).truncate(10);
            capture.resign(SECRET, |time, body| [time, b":", body].concat());
        });
        proves(&[Cause::TimestampInSeconds], |capture| {
            capture.header(TIMESTAMP).truncate(10);
            capture.resign(SECRET, |time, body| [time, b"000:", body].concat());
        });
        proves(&[Cause::SignedInSeconds], |capture| {
            capture.resign(SECRET, |time, body| [&time[..10], b":", body].concat());
        });
        for separator in [".", ""] {
            proves(&[Cause::SignedInSeconds, Cause::SignedWithSeparator { separator }], |capture| {
                capture.resign(SECRET, |time, body| [&time[..10], separator.as_bytes(), body].concat());
            });
        }
        // The diagnosis cannot reconstruct the signed text, because the milliseconds are lost.
        shows(&[Cause::TimestampInSeconds], |capture| capture.header(TIMESTAMP).truncate(10));
    }

    #[test]
    fn another_separator_is_recognised() {
        for separator in [".", "", "\n", "|", "-"] {
            proves(&[Cause::SignedWithSeparator { separator }], |capture| {
                capture.resign(SECRET, |time, body| [time, separator.as_bytes(), body].concat());
            });
        }
    }

    #[test]
    fn a_signature_of_the_body_alone_is_recognised() {
        proves(&[Cause::SignedWithoutTimestamp], |capture| capture.resign(SECRET, |_, body| body.to_vec()));
    }

    #[test]
    fn a_signed_nonce_is_recognised() {
        proves(&[Cause::SignedWithNonce], |capture| {
            let nonce = capture.value(NONCE).to_owned();
            capture.resign(SECRET, |time, body| [time, b":", nonce.as_bytes(), b":", body].concat());
        });
    }

    #[test]
    fn a_signed_nonce_is_recognised_beside_another_nonce() {
        proves(&[Cause::SignedWithNonce], |capture| {
            capture.headers.insert(0, ("x-other-webhook-nonce".to_owned(), "another".to_owned()));
            let nonce = capture.value(NONCE).to_owned();
            capture.resign(SECRET, |time, body| [time, b":", nonce.as_bytes(), b":", body].concat());
        });
    }
}

mod secrets {
    use super::*;

    #[test]
    fn white_space_around_the_configured_secret_is_recognised() {
        for padded in ["{}\n", "{}\r\n", " {}", "\t{} ", "\u{feff}{}", "{}\u{200b}", "\u{a0}{}"] {
            proves(&[Cause::SecretPadded], |capture| capture.secret = padded.replace("{}", SECRET));
        }
    }

    #[test]
    fn quotes_around_the_configured_secret_are_recognised() {
        for quoted in ["\"{}\"", "'{}'", "`{}`", "\"{}\"\n"] {
            proves(&[Cause::SecretQuoted], |capture| capture.secret = quoted.replace("{}", SECRET));
        }
    }

    #[test]
    fn white_space_removed_from_the_secret_is_recognised() {
        for padded in ["{}\n", "{}\r\n", " {}", "{} "] {
            proves(&[Cause::SecretTrimmed], |capture| {
                capture.resign(padded.replace("{}", SECRET), |time, body| [time, b":", body].concat());
            });
        }
    }

    #[test]
    fn an_encoded_secret_is_recognised() {
        let hexadecimal = Cause::SecretEncoded { encoding: SecretEncoding::Hex };
        proves(std::slice::from_ref(&hexadecimal), |capture| capture.secret = hex(SECRET));
        proves(&[hexadecimal], |capture| {
            let key: Vec<u8> = (0..32).map(|i| u8::from_str_radix(&SECRET[i * 2..][..2], 16).unwrap()).collect();
            capture.resign(key, |time, body| [time, b":", body].concat());
        });
        proves(&[Cause::SecretEncoded { encoding: SecretEncoding::Base64 }], |capture| capture.secret = base64(SECRET));
    }

    #[test]
    fn a_decoded_secret_is_recognised() {
        for (encoding, encode) in [(SecretEncoding::Hex, hex as fn(_) -> _), (SecretEncoding::Base64, base64)] {
            proves(&[Cause::SecretDecoded { encoding }], |capture| {
                capture.secret = "a secret, decoded".to_owned();
                capture.resign(encode("a secret, decoded"), |time, body| [time, b":", body].concat());
            });
        }
    }

    /// Encoders may break lines, and `echo` appends a line end to the secret.
    #[test]
    fn a_secret_encoded_by_shell_tools_is_recognised() {
        let cause = |encoding| [Cause::SecretEncoded { encoding }];
        for end in ["", "\n", "\r\n"] {
            let encoded = base64(format!("{SECRET}{end}"));
            for wrapped in [encoded.clone(), encoded[..76].to_owned() + "\n" + &encoded[76..], encoded + "\n"] {
                proves(&cause(SecretEncoding::Base64), |capture| capture.secret = wrapped.clone());
            }
            proves(&cause(SecretEncoding::Hex), |capture| capture.secret = hex(format!("{SECRET}{end}")));
        }
    }

    #[test]
    fn a_variables_name_before_the_secret_is_recognised() {
        for line in [
            "TWENTY_WEBHOOK_SECRET={}",
            "export TWENTY_WEBHOOK_SECRET=\"{}\"\n",
            "secret: '{}'",
            "\"WEBHOOK_SECRET={}\"",
            "$env:SECRET = \"{}\"",
            "- SECRET={}",
            "\"secret\": \"{}\",",
        ] {
            proves(&[Cause::SecretNamed], |capture| capture.secret = line.replace("{}", SECRET));
        }
    }

    #[test]
    fn a_prefix_of_another_service_is_recognised() {
        for prefixed in ["whsec_{}", "whsec_{}\n", "'sk_{}'", "sha256={}", "Bearer {}", "0x{}"] {
            // `sha256=` could also be the name of a variable.
            let cause = if prefixed.contains('=') { Cause::SecretNamed } else { Cause::SecretPrefixed };
            proves(&[cause], |capture| capture.secret = prefixed.replace("{}", SECRET));
        }
    }

    #[test]
    fn another_letter_case_is_recognised() {
        proves(&[Cause::SecretLetterCase], |capture| capture.secret = SECRET.to_uppercase());
        proves(&[Cause::SecretLetterCase], |capture| {
            capture.resign(SECRET.to_uppercase(), |time, body| [time, b":", body].concat());
        });
        shows(&[Cause::Unexplained], |capture| capture.secret = "ABCX".to_owned());
    }

    #[test]
    fn spaces_removed_from_the_secret_are_recognised() {
        for spaces in [" {} ", " {}", "{} "] {
            proves(&[Cause::SecretTrimmed], |capture| {
                capture.resign(spaces.replace("{}", SECRET), |time, body| [time, b":", body].concat());
            });
        }
    }

    #[test]
    fn the_secret_of_another_webhook_is_recognised() {
        let keys = |id: &str, secrets: [&str; 2]| Keys::new(id, secrets.map(secret)).unwrap();
        proves(&[Cause::OtherKeys { id: "acme".into() }], |capture| {
            capture.secret = "of this webhook".to_owned();
            capture.others = vec![keys("globex", ["a", "b"]), keys("acme", ["c", SECRET])];
        });
        shows(&[Cause::Unexplained], |capture| {
            capture.secret = "of this webhook".to_owned();
            capture.others = vec![keys("globex", ["a", "b"]), keys("acme", ["c", "d"])];
        });
    }
}

mod body {
    use super::*;

    fn rewritten(what: Rewriting) -> [Cause; 1] {
        [Cause::BodyRewritten { what }]
    }

    /// Adds line breaks and indentation, and keeps the order of the members.
    fn pretty(text: &str) -> String {
        let (mut pretty, mut depth, mut in_string, mut escaped) = (String::new(), 0, false, false);
        for c in text.chars() {
            let line = |depth: usize| format!("\n{}", "  ".repeat(depth));
            match c {
                '{' | '[' if !in_string => {
                    depth += 1;
                    pretty += &format!("{c}{}", line(depth));
                }
                '}' | ']' if !in_string => {
                    depth -= 1;
                    pretty += &format!("{}{c}", line(depth));
                }
                ',' if !in_string => pretty += &format!(",{}", line(depth)),
                ':' if !in_string => pretty += ": ",
                c => pretty.push(c),
            }
            in_string ^= c == '"' && !escaped;
            escaped = c == '\\' && !escaped;
        }
        pretty
    }

    /// Escapes the first letter of every text value.
    fn escaped(text: &str) -> String {
        let parts = text.split("\":\"").enumerate();
        let escape = |(index, part): (usize, &str)| match part.chars().next() {
            Some(first) if index > 0 && first.is_ascii_alphanumeric() => {
                format!("\\u{:04X}{}", first as u32, &part[1..])
            }
            _ => part.to_owned(),
        };
        parts.map(escape).collect::<Vec<_>>().join("\":\"")
    }

    /// Sorts the members at every level, as `serde_json::Value` does.
    fn sorted(value: &Value) -> String {
        match value {
            Value::Object(members) => {
                let members: BTreeMap<_, _> = members.iter().collect();
                let members =
                    members.iter().map(|(name, value)| format!("{}:{}", Value::from(name.as_str()), sorted(value)));
                format!("{{{}}}", members.collect::<Vec<_>>().join(","))
            }
            Value::Array(values) => format!("[{}]", values.iter().map(sorted).collect::<Vec<_>>().join(",")),
            value => value.to_string(),
        }
    }

    #[test]
    fn an_added_or_removed_line_end_is_recognised() {
        for end in ["\n", "\r\n", "\n\n"] {
            proves(&[Cause::NewlineAdded], |capture| capture.body.extend(end.bytes()));
        }
        for end in ["\n", "\r\n"] {
            proves(&[Cause::NewlineCut], |capture| capture.resign_body([&capture.body, end.as_bytes()].concat()));
        }
    }

    #[test]
    fn an_added_or_removed_byte_order_mark_is_recognised() {
        let marked = |body: &[u8]| [b"\xef\xbb\xbf", body].concat();
        proves(&[Cause::ByteOrderMarkAdded], |capture| capture.body = marked(&capture.body));
        proves(&[Cause::ByteOrderMarkCut], |capture| capture.resign_body(marked(&capture.body)));
    }

    #[test]
    fn changed_line_ends_are_recognised() {
        let crlf = |text: &str| pretty(text).replace('\n', "\r\n");
        proves(&[Cause::LineEndsChanged], |capture| {
            capture.resign_body(pretty(capture.text()));
            capture.body = crlf(capture.text()).into();
        });
        proves(&[Cause::LineEndsChanged], |capture| {
            capture.resign_body(crlf(capture.text()));
            capture.body = pretty(capture.text()).into();
        });
    }

    #[test]
    fn changed_white_space_is_recognised() {
        proves(&rewritten(Rewriting::Spaces), |capture| capture.body = pretty(capture.text()).into());
        // The signed text may also differ from what `JSON.stringify` writes.
        proves(&rewritten(Rewriting::Spaces), |capture| {
            capture.body = escaped(capture.text()).into();
            capture.resign_body(capture.body.clone());
            capture.body = pretty(capture.text()).into();
        });
    }

    #[test]
    fn changed_escapes_are_recognised() {
        proves(&rewritten(Rewriting::Escapes), |capture| capture.body = escaped(capture.text()).into());
        let mut capture = Capture::of("opportunity.updated");
        let unicode = |c: char| match c {
            '/' => "\\/".to_owned(),
            c if c.is_ascii() => c.to_string(),
            c => c.encode_utf16(&mut [0; 2]).iter().map(|unit| format!("\\u{unit:04x}")).collect(),
        };
        capture.body = capture.text().chars().map(unicode).collect::<String>().into();
        assert!(capture.text().contains("\\ud83d\\ude80") && capture.text().contains("https:\\/\\/"));
        proves_of(&rewritten(Rewriting::Escapes), &capture);
        // The body also contains every other escape of JSON.
        let mut capture = Capture::with_body(r#"{"eventName":"x","record":{"a":"/\b\f\n\r\t\"\\\u0001\ud800"}}"#);
        capture.body = capture.text().replace('/', "\\/").into();
        proves_of(&rewritten(Rewriting::Escapes), &capture);
    }

    #[test]
    fn changed_numbers_are_recognised() {
        let mut capture =
            Capture::with_body(r#"{"eventName":"x","record":{"a":1,"b":1e+21,"c":"1.0 1e21","d":[0.5,-2]}}"#);
        capture.body = br#"{"eventName":"x","record":{"a":1.0,"b":1e21,"c":"1.0 1e21","d":[0.50,-2.0]}}"#.into();
        proves_of(&rewritten(Rewriting::Numbers), &capture);
    }

    #[test]
    fn several_rewritings_are_recognised_together() {
        proves(&rewritten(Rewriting::Several), |capture| capture.body = pretty(&escaped(capture.text())).into());
    }

    #[test]
    fn a_changed_order_of_the_envelope_is_recognised() {
        proves(&rewritten(Rewriting::Order), |capture| {
            let sorted: BTreeMap<String, Box<RawValue>> = serde_json::from_slice(&capture.body).unwrap();
            capture.body = serde_json::to_vec_pretty(&sorted).unwrap();
        });
    }

    #[test]
    fn the_order_of_other_objects_is_not_guessed() {
        let members = (0..100).map(|i| format!("\"member {i}\":0")).collect::<Vec<_>>().join(",");
        for body in [
            format!(r#"{{"eventName":"a",{members},"targetUrl":"b"}}"#),
            r#"{"timestamp":1,"event":2}"#.to_owned(),
            r#"{"record":{},"id":1}"#.to_owned(),
            "[]".to_owned(),
        ] {
            let mut capture = Capture::with_body(&body);
            capture.secret = "another".to_owned();
            assert_eq!(capture.diagnose().causes(), [Cause::Unexplained], "{body}");
        }
    }

    #[test]
    fn a_changed_order_of_all_members_is_recognised() {
        shows(&rewritten(Rewriting::Order), |capture| {
            let value: Value = serde_json::from_slice(&capture.body).unwrap();
            capture.body = sorted(&value).into();
            // With a matching signature, the diagnosis could restore the order of the documented
            // body.
            *capture.header(SIGNATURE) = "0".repeat(64);
        });
        let mut capture = Capture::of("person.created");
        capture.body = sorted(&serde_json::from_slice(&capture.body).unwrap()).into();
        proves_of(&rewritten(Rewriting::Order), &capture);
    }

    #[test]
    fn a_body_stringified_twice_is_recognised() {
        let twice = |text: &str| serde_json::to_string(text).unwrap();
        proves(&[Cause::SignedStringifiedTwice], |capture| capture.resign_body(twice(capture.text())));
        proves(&[Cause::BodyStringifiedTwice], |capture| capture.body = twice(capture.text()).into());
    }

    #[test]
    fn json_written_by_python_is_recognised() {
        proves(&[Cause::SignedWithSpaces], |capture| {
            let (mut python, mut in_string) = (String::new(), false);
            for c in capture.text().chars() {
                in_string ^= c == '"';
                match c {
                    ',' | ':' if !in_string => python.extend([c, ' ']),
                    c if c.is_ascii() => python.push(c),
                    c => c.encode_utf16(&mut [0; 2]).iter().for_each(|unit| write!(python, "\\u{unit:04x}").unwrap()),
                }
            }
            capture.resign_body(python);
        });
    }

    #[test]
    fn reencoded_characters_are_recognised() {
        let latin_1 = |bytes: &[u8]| bytes.iter().map(|byte| char::from(*byte)).collect::<String>();
        let mut capture = Capture::of("opportunity.updated");
        capture.body = latin_1(&capture.body).into();
        proves_of(&[Cause::CharactersReencoded], &capture);

        // Windows-1252 reads `é — €` like this.
        let mut capture = Capture::with_body(r#"{"eventName":"é — €"}"#);
        capture.body = r#"{"eventName":"Ã© â€” â‚¬"}"#.into();
        proves_of(&[Cause::CharactersReencoded], &capture);

        let mut capture = Capture::with_body(r#"{"eventName":"é €"}"#);
        capture.body = b"{\"eventName\":\"\xe9 \x80\"}".into();
        proves_of(&[Cause::CharactersReencoded], &capture);
    }

    #[test]
    fn percent_encoding_is_recognised() {
        let percent = |body: &[u8], space: &str| {
            body.iter().fold(String::new(), |text, byte| match byte {
                b' ' => text + space,
                byte if byte.is_ascii_alphanumeric() => text + &char::from(*byte).to_string(),
                byte => text + &format!("%{byte:02X}"),
            })
        };
        proves(&[Cause::BodyPercentEncoded], |capture| capture.body = percent(&capture.body, "%20").into());
        proves(&[Cause::BodyPercentEncoded], |capture| {
            capture.body = format!("payload={}&more=1", percent(&capture.body, "+")).into();
        });
        proves(&[Cause::BodyPercentEncoded], |capture| {
            capture.body = format!("{}=", percent(&capture.body, "+")).into();
        });
        // An unencoded plus sign stays a plus sign.
        let mut capture = Capture::with_body(r#"{"eventName":"+"}"#);
        capture.body = b"{%22eventName%22:%22+%22}".into();
        proves_of(&[Cause::BodyPercentEncoded], &capture);
    }

    #[test]
    fn base64_is_recognised() {
        proves(&[Cause::BodyBase64], |capture| capture.body = base64(&capture.body).into());
    }

    #[test]
    fn an_empty_body_is_reported() {
        shows(&[Cause::BodyEmpty], |capture| {
            capture.add_header("content-length", &capture.body.len().to_string());
            capture.body.clear();
        });
    }

    #[test]
    fn the_body_is_not_blamed_if_no_signature_could_match() {
        shows(&[Cause::Unsigned], |capture| {
            capture.headers.clear();
            capture.add_header("content-length", "1");
        });
        proves(&[Cause::MalformedTimestamp], |capture| {
            *capture.header(TIMESTAMP) = "soon".into();
            capture.body.clear();
        });
    }

    #[test]
    fn the_most_certain_of_several_changes_is_reported() {
        let mut capture = Capture::of("person.created");
        capture.add_header("content-length", "1");
        capture.body = sorted(&serde_json::from_slice(&capture.body).unwrap()).into();
        proves_of(&rewritten(Rewriting::Order), &capture);
        capture.add_header("content-encoding", "gzip");
        proves_of(&[Cause::BodyDecompressed { coding: "gzip" }], &capture);
        capture.body.clear();
        proves_of(&[Cause::BodyEmpty], &capture);
    }

    #[test]
    fn compression_is_recognised() {
        shows(&[Cause::BodyCompressed { coding: "gzip" }], |capture| capture.body = b"\x1f\x8b\x08\0\0\0\0\0\0".into());
        shows(&[Cause::BodyCompressed { coding: "zstd" }], |capture| capture.body = b"\x28\xb5\x2f\xfd\0\0".into());
        shows(&[Cause::BodyCompressed { coding: "br" }], |capture| {
            capture.add_header("Content-Encoding", " BR ");
            capture.body = b"{\x80 no text".into();
        });
        shows(&[Cause::BodyDecompressed { coding: "deflate" }], |capture| {
            capture.add_header("content-encoding", "deflate");
            capture.resign_body("the compressed bytes");
        });
        // The content encoding is not reported if the signature proves another cause, or if it is
        // `identity`.
        proves(&[Cause::SecretPadded], |capture| {
            capture.add_header("content-encoding", "gzip");
            capture.secret.push('\n');
        });
        shows(&[Cause::Unexplained], |capture| {
            capture.add_header("content-encoding", "identity");
            capture.secret = "another".into();
        });
    }

    fn in_utf16(text: &str) -> Vec<u8> {
        text.encode_utf16().flat_map(u16::to_le_bytes).collect()
    }

    #[test]
    fn escapes_of_a_log_are_recognised() {
        // nginx escapes quotation marks, backslashes and all bytes that are not ASCII. Apache
        // writes `\"` for quotation marks.
        let hexadecimal = |byte: &u8| match byte {
            b'"' | b'\\' | 0..=31 | 127..=255 => format!("\\x{byte:02X}"),
            byte => char::from(*byte).to_string(),
        };
        let apache = |byte: &u8| match byte {
            b'"' | b'\\' => format!("\\{}", char::from(*byte)),
            0..=31 | 127..=255 => format!("\\x{byte:02x}"),
            byte => char::from(*byte).to_string(),
        };
        proves(&[Cause::BodyEscaped], |capture| {
            capture.body = capture.body.iter().map(hexadecimal).collect::<String>().into();
        });
        proves(&[Cause::BodyEscaped], |capture| {
            capture.body = capture.body.iter().map(apache).collect::<String>().into();
        });
        proves(&[Cause::BodyEscaped], |capture| {
            let string = Value::from(capture.text()).to_string();
            capture.body = string[1..string.len() - 1].into();
        });
    }

    #[test]
    fn a_body_inside_other_json_is_recognised() {
        for wrapper in ["{\"payload\":{}}", "{\"id\":\"a\",\"message\" : {},\"more\":[\"{}\"]}", "[{}]"] {
            proves(&[Cause::BodyInsideOfJson], |capture| {
                capture.body = wrapper.replacen("{}", &Value::from(capture.text()).to_string(), 1).into();
            });
        }
    }

    #[test]
    fn utf16_is_recognised() {
        proves(&[Cause::BodyUtf16], |capture| capture.body = in_utf16(capture.text()));
        proves(&[Cause::BodyUtf16], |capture| capture.body = in_utf16(&format!("\u{feff}{}\r\n", capture.text())));
    }

    #[test]
    fn added_nul_bytes_are_recognised() {
        proves(&[Cause::NulAdded], |capture| capture.body.extend([0; 3]));
    }

    /// Visible defects of the body are reported before the secret is suspected.
    #[test]
    fn incomplete_and_invalid_json_is_reported() {
        for end in [1, 10, 30] {
            shows(&[Cause::BodyIncomplete { received: end }], |capture| capture.body.truncate(end));
        }
        shows(&[Cause::BodyNotJson { at: 0 }], |capture| capture.body = b"<html>".to_vec());
        shows(&[Cause::BodyNotJson { at: 8 }], |capture| capture.body = b"{\n\"a\":1,}".to_vec());
        // The nesting is valid JSON.
        shows(&[Cause::Unexplained], |capture| capture.body = [b"[".repeat(200), b"]".repeat(200)].concat());
    }

    /// The record may contain the character itself, so another secret is reported as possible, too.
    #[test]
    fn replacement_characters_are_reported() {
        shows(&[Cause::BodyHasReplacements, Cause::Unexplained], |capture| {
            capture.body = "{\"a\":\"\u{fffd}\"}".into();
        });
    }

    #[test]
    fn another_length_than_declared_is_reported() {
        for name in BODIES {
            let mut capture = Capture::of(name);
            let declared = capture.body.len() as u64;
            capture.add_header("Content-Length", &declared.to_string());
            capture.body.truncate(100);
            assert_eq!(capture.diagnose().causes()[0], Cause::BodyLengthChanged { declared, received: 100 });
        }
        shows(&[Cause::Unexplained], |capture| {
            capture.add_header("content-length", &capture.body.len().to_string());
            capture.secret = "another".into();
        });
    }

    #[test]
    fn a_body_over_the_limit_is_reported() {
        for name in BODIES {
            let mut capture = Capture::of(name);
            capture.limit = capture.body.len() - 1;
            let too_long = Cause::BodyTooLong { received: capture.body.len(), limit: capture.limit };
            proves_of(std::slice::from_ref(&too_long), &capture);
            capture.secret.push(' ');
            proves_of(&[Cause::SecretPadded, too_long.clone()], &capture);
            capture.secret = "another".into();
            assert_eq!(capture.diagnose().causes()[0], too_long);

            let mut whole = Capture::of(name);
            whole.limit = whole.body.len();
            whole.secret.push(' ');
            proves_of(&[Cause::SecretPadded], &whole);
        }
    }
}

mod time {
    use super::*;

    const HOUR: Duration = Duration::from_secs(3600);

    #[test]
    fn a_wrong_time_is_reported() {
        proves(&[Cause::TooOld { age: HOUR }], |capture| capture.now = capture.now.saturating_add(HOUR));
        proves(&[Cause::FromTheFuture { ahead: HOUR }], |capture| capture.now = capture.now.saturating_sub(HOUR));
    }

    #[test]
    fn a_wrong_time_is_reported_with_other_causes() {
        proves(&[Cause::SecretPadded, Cause::TooOld { age: HOUR }], |capture| {
            capture.secret.push('\n');
            capture.now = capture.now.saturating_add(HOUR);
        });
        proves(&[Cause::SecretPadded, Cause::FromTheFuture { ahead: HOUR }], |capture| {
            capture.secret.push('\n');
            capture.now = capture.now.saturating_sub(HOUR);
        });
        proves(&[Cause::TimestampInSeconds, Cause::TooOld { age: HOUR }], |capture| {
            capture.header(TIMESTAMP).truncate(10);
            capture.resign(SECRET, |time, body| [time, b":", body].concat());
            let seconds: u64 = capture.value(TIMESTAMP).parse().unwrap();
            capture.now = Timestamp::from_millis(seconds * 1_000).saturating_add(HOUR);
        });
    }

    /// The age is reported although the verifier rejected the delivery for its form, before it
    /// checked the age.
    #[test]
    fn a_wrong_time_is_reported_with_a_malformed_signature() {
        for (now, cause) in [
            (Timestamp::saturating_add as fn(_, _) -> _, Cause::TooOld { age: HOUR }),
            (Timestamp::saturating_sub, Cause::FromTheFuture { ahead: HOUR }),
        ] {
            proves(&[Cause::SignatureUpperCase, cause], |capture| {
                capture.header(SIGNATURE).make_ascii_uppercase();
                capture.now = now(capture.now, HOUR);
            });
        }
    }

    #[test]
    fn the_time_is_not_blamed_within_the_tolerance() {
        let off_by = Verifier::DEFAULT_TOLERANCE;
        proves(&[Cause::SecretPadded], |capture| {
            capture.secret.push('\n');
            capture.now = capture.now.saturating_add(off_by);
        });
        proves(&[Cause::SecretPadded], |capture| {
            capture.secret.push('\n');
            capture.now = capture.now.saturating_sub(off_by);
        });
    }

    #[test]
    fn the_time_is_not_blamed_if_it_was_not_signed() {
        proves(&[Cause::SignedWithoutTimestamp], |capture| {
            capture.resign(SECRET, |_, body| body.to_vec());
            capture.now = capture.now.saturating_add(HOUR);
        });
    }

    #[test]
    fn the_time_is_not_blamed_if_the_signature_does_not_match() {
        shows(&[Cause::Unexplained], |capture| {
            capture.secret = "another".into();
            capture.now = capture.now.saturating_add(HOUR);
        });
    }
}

mod unexplained {
    use super::*;

    #[test]
    fn another_secret_is_unexplained() {
        shows(&[Cause::Unexplained], |capture| capture.secret = "another".to_owned());
    }

    #[test]
    fn an_altered_delivery_is_unexplained() {
        shows(&[Cause::Unexplained], |capture| capture.body[30] ^= 1);
        shows(&[Cause::Unexplained], |capture| *capture.header(SIGNATURE) = "0".repeat(64));
        shows(&[Cause::Unexplained], |capture| {
            let other = (capture.now.as_millis() + 1).to_string();
            *capture.header(TIMESTAMP) = other;
        });
        shows(&[Cause::BodyIncomplete { received: 190 }], |capture| capture.body.truncate(190));
    }

    #[test]
    fn a_test_tool_is_named() {
        for (user_agent, tool) in [
            ("curl/8.5.0", "curl"),
            ("Wget/1.2", "Wget"),
            ("HTTPie/3", "HTTPie"),
            ("PostmanRuntime/7.36.0", "Postman"),
            ("insomnia/8", "Insomnia"),
            ("bruno-runtime/1", "Bruno"),
            ("thunder client (https://www.thunderclient.com)", "Thunder Client"),
            ("vscode-restclient", "REST Client of VS Code"),
            ("IntelliJ HTTP Client/2026", "IntelliJ's HTTP client"),
            ("python-requests/2.31.0", "Python's requests"),
            ("python-httpx/0.27", "Python's httpx"),
        ] {
            // Only the first test tool is named, so the documented body adds no cause.
            let send = |capture: &mut Capture| capture.add_header("User-Agent", user_agent);
            proves(&[Cause::TestTool { tool }, Cause::Unexplained], |capture| {
                send(capture);
                capture.secret = "another".to_owned();
            });
            proves(&[Cause::Unsigned, Cause::TestTool { tool }], |capture| {
                capture.headers.clear();
                send(capture);
            });
            proves(&[Cause::SecretPadded], |capture| {
                send(capture);
                capture.secret.push('\n');
            });
        }
        shows(&[Cause::Unexplained], |capture| {
            capture.add_header("user-agent", "axios/1.21.0");
            capture.secret = "another".to_owned();
        });
    }
}

mod report {
    use super::*;

    #[test]
    fn the_report_has_causes_and_advice() {
        let mut capture = Capture::of("person.created");
        capture.secret.push('\n');
        capture.now = capture.now.saturating_add(Duration::from_secs(3725));
        let expected = format!(
            "does not verify: timestamp is older than the tolerance allows\n\
             1. {}\n   {}\n\
             2. the signature matches, but was made 1 h 2 min ago\n   {}",
            Cause::SecretPadded,
            Cause::SecretPadded.advice(),
            Cause::TooOld { age: Duration::ZERO }.advice(),
        );
        assert_eq!(capture.diagnose().to_string(), expected);
        let debug = format!("{:?}", capture.diagnose());
        assert_eq!(
            debug,
            "Diagnosis { verdict: Err(VerifyError { kind: TooOld }), causes: [SecretPadded, TooOld { age: 3725s }] }"
        );
    }

    #[test]
    fn each_cause_has_its_text_and_advice() {
        use Cause as C;
        let texts = [
            (C::Unsigned, "neither a signature nor a timestamp header"),
            (C::MissingSignature, "there is a timestamp header, but no signature header"),
            (C::MissingTimestamp, "there is a signature header, but no timestamp header"),
            (C::HeadersRenamed { found: "X".into() }, "headers were renamed on the way, such as X"),
            (
                C::OtherHeaderPrefix { found: "X".into() },
                "the signature matches, but its headers have other names, such as X",
            ),
            (C::RepeatedSignature, "more than one signature"),
            (C::RepeatedTimestamp, "more than one timestamp"),
            (C::MalformedSignature, "the signature is not 64 lower-case hexadecimal digits"),
            (C::SignaturePrefixed { prefix: "v1=" }, "the signature matches, but has the prefix \"v1=\""),
            (C::SignatureUpperCase, "the signature matches, but is in upper case"),
            (C::SignatureBase64, "the signature matches, but is base64 instead of hexadecimal"),
            (C::MalformedTimestamp, "the timestamp is not decimal milliseconds since 1970"),
            (C::TimestampInSeconds, "the timestamp header is in seconds instead of milliseconds"),
            (C::SignedInSeconds, "the timestamp was signed in seconds, but sent in milliseconds"),
            (
                C::SignedWithSeparator { separator: "\n" },
                "timestamp and body were signed with \"\\n\" between them, instead of a colon",
            ),
            (
                C::SignedWithSeparator { separator: "" },
                "timestamp and body were signed with nothing between them, instead of a colon",
            ),
            (C::SignedWithNonce, "the nonce was signed, too, between timestamp and body"),
            (C::SignedWithoutTimestamp, "the body was signed without the timestamp"),
            (C::SecretPadded, "the configured secret has white space around it, but the secret that signed has none"),
            (C::SecretQuoted, "the configured secret has quotation marks around it"),
            (C::SecretNamed, "the configured secret begins with the name of a variable"),
            (C::SecretPrefixed, "the configured secret has a prefix, but the secret that signed has none"),
            (
                C::SecretLetterCase,
                "the configured secret and the secret that signed differ only in the letter case of their digits",
            ),
            (C::NulAdded, "NUL bytes were added at the end of the body"),
            (C::BodyEscaped, "the body is escaped as in a log or in a JSON string"),
            (C::BodyInsideOfJson, "the body is another JSON text that contains the signed body as a string"),
            (C::BodyUtf16, "the body is the signed body in UTF-16"),
            (C::BodyIncomplete { received: 3 }, "the body is incomplete: its JSON does not end within its 3 bytes"),
            (C::BodyNotJson { at: 3 }, "the body is not JSON, from byte 3 on"),
            (C::BodyHasReplacements, "the body contains U+FFFD, in place of bytes that could not be decoded"),
            (C::SecretTrimmed, "the secret that signed has white space around it, but the configured secret has none"),
            (
                C::SecretEncoded { encoding: SecretEncoding::Base64 },
                "the key that signed is the configured secret, decoded from base64",
            ),
            (
                C::SecretDecoded { encoding: SecretEncoding::Hex },
                "the key that signed is the configured secret, encoded as hexadecimal",
            ),
            (
                C::OtherKeys { id: "a\n".into() },
                "the delivery was signed with the secret of \"a\\n\", which is not configured here",
            ),
            (C::NewlineAdded, "a newline was added at the end of the body"),
            (C::NewlineCut, "the newline at the end of the body was removed"),
            (C::ByteOrderMarkAdded, "a byte order mark was added at the beginning of the body"),
            (C::ByteOrderMarkCut, "the byte order mark at the beginning of the body was removed"),
            (C::LineEndsChanged, "the body's line ends were changed between LF and CR LF"),
            (
                C::BodyRewritten { what: Rewriting::Spaces },
                "the body is not the JSON text that was signed: it differs in white space",
            ),
            (
                C::BodyRewritten { what: Rewriting::Escapes },
                "the body is not the JSON text that was signed: it differs in the escapes in strings",
            ),
            (
                C::BodyRewritten { what: Rewriting::Numbers },
                "the body is not the JSON text that was signed: it differs in the forms of numbers",
            ),
            (
                C::BodyRewritten { what: Rewriting::Several },
                "the body is not the JSON text that was signed: it differs in white space, escapes or numbers",
            ),
            (
                C::BodyRewritten { what: Rewriting::Order },
                "the body is not the JSON text that was signed: it differs in the order of its members",
            ),
            (C::SignedWithSpaces, "the JSON was signed as Python's json.dumps writes it, but sent in another way"),
            (C::SignedStringifiedTwice, "the JSON was stringified twice before it was signed"),
            (C::BodyStringifiedTwice, "the body is a JSON string that contains the signed JSON"),
            (C::CharactersReencoded, "the body's characters were changed between UTF-8 and Latin-1"),
            (C::BodyPercentEncoded, "the body is percent-encoded or an HTML form"),
            (C::BodyBase64, "the body is the signed body in base64"),
            (C::BodyEmpty, "the body is empty"),
            (C::BodyCompressed { coding: "br" }, "the body is compressed (br)"),
            (C::BodyDecompressed { coding: "br" }, "the body was sent compressed (br), but arrived decompressed"),
            (C::BodyLengthChanged { declared: 2, received: 1 }, "the body has 1 bytes, but was sent with 2"),
            (C::BodyTooLong { received: 2, limit: 1 }, "the body has 2 bytes, more than the limit of 1"),
            (C::TooOld { age: Duration::from_secs(183_605) }, "the signature matches, but was made 2 d 3 h ago"),
            (
                C::FromTheFuture { ahead: Duration::from_millis(301_500) },
                "the signature matches, but was made 5 min 1 s in the future",
            ),
            (C::TestTool { tool: "curl" }, "not from Twenty, but from a test: curl"),
            (C::Unexplained, "no known mistake was found: the delivery was signed with another secret, or was altered"),
        ];
        for (cause, text) in texts {
            assert_eq!(cause.to_string(), text);
            assert!(cause.advice().ends_with('.') && !cause.advice().contains("  "), "{}", cause.advice());
        }
    }

    #[test]
    fn diagnoses_can_be_sent_between_threads_and_cloned() {
        fn check<T: Send + Sync + Unpin + Clone + 'static>() {}
        check::<Diagnosis>();
        check::<Cause>();
    }
}

/// The bodies are chosen so that rewriting them takes the most memory: up to six times their size,
/// in a buffer that doubles.
#[test]
fn memory_is_bounded_by_the_body() {
    const LEN: usize = 20_000;
    let mut capture = Capture::of("person.created");
    for part in [
        "\n",
        "\"",
        "\u{1}",
        "\"\u{1}",
        "é",
        "9e20,",
        ",",
        "{\"\":0,",
        "\"\":0,",
        "[",
        "%41",
        "QUJD",
        "{\"eventName\":",
    ] {
        for start in ["", "\"", "{"] {
            capture.body = format!("{start}{}", part.repeat(LEN / part.len())).into();
            let verifier = Verifier::new(&*capture.secret).unwrap();
            let mut diagnosis = None;
            let used = allocation_counter::measure(|| {
                diagnosis =
                    Some(verifier.diagnose(capture.headers.iter().map(|(name, value)| (name, value)), &capture.body));
            });
            let causes = diagnosis.unwrap().causes().to_vec();
            let is_fact = |cause: &Cause| matches!(cause, Cause::BodyIncomplete { .. } | Cause::BodyNotJson { .. });
            assert!(
                causes == [Cause::Unexplained] || (causes.len() == 1 && is_fact(&causes[0])),
                "{start}{part}: {causes:?}"
            );
            assert!(used.bytes_max < 13 * LEN as u64, "{} bytes for {start}{part}", used.bytes_max);
        }
    }
}

/// Returns whether only a matching signature can prove the cause.
fn is_proven(cause: &Cause) -> bool {
    !matches!(
        cause,
        Cause::Unsigned
            | Cause::MissingSignature
            | Cause::MissingTimestamp
            | Cause::HeadersRenamed { .. }
            | Cause::RepeatedSignature
            | Cause::RepeatedTimestamp
            | Cause::MalformedSignature
            | Cause::MalformedTimestamp
            | Cause::TimestampInSeconds
            | Cause::BodyRewritten { what: Rewriting::Order }
            | Cause::BodyEmpty
            | Cause::BodyIncomplete { .. }
            | Cause::BodyNotJson { .. }
            | Cause::BodyHasReplacements
            | Cause::BodyCompressed { .. }
            | Cause::BodyDecompressed { .. }
            | Cause::BodyLengthChanged { .. }
            | Cause::BodyTooLong { .. }
            | Cause::TestTool { .. }
            | Cause::Unexplained
    )
}

fn json_like() -> impl Strategy<Value = Vec<u8>> {
    let token = prop_oneof![
        Just("{"),
        Just("}"),
        Just("["),
        Just("]"),
        Just(","),
        Just(":"),
        Just("\""),
        Just("\\"),
        Just("\\u00e9"),
        Just("\\ud83d"),
        Just("1.0"),
        Just("-1e999"),
        Just("1e21"),
        Just("é"),
        Just("\u{feff}"),
        Just("\r\n"),
        Just(" "),
        Just("%7B"),
        Just("%"),
        Just("="),
        Just("&"),
        Just("\"eventName\""),
        Just("\"record\""),
        Just("null"),
    ];
    proptest::collection::vec(token, 0..40).prop_map(|tokens| tokens.concat().into_bytes())
}

fn any_body() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![any::<Vec<u8>>(), json_like(), ".*".prop_map(String::into_bytes)]
}

fn any_headers() -> impl Strategy<Value = Vec<(Vec<u8>, Vec<u8>)>> {
    let name = prop_oneof![
        Just(TIMESTAMP.as_bytes().to_vec()),
        Just(SIGNATURE.as_bytes().to_vec()),
        Just(b"HTTP_X_TWENTY_WEBHOOK_SIGNATURE".to_vec()),
        Just(b"x-other-webhook-timestamp".to_vec()),
        Just(b"content-encoding".to_vec()),
        Just(b"content-length".to_vec()),
        Just(b"user-agent".to_vec()),
        any::<Vec<u8>>(),
    ];
    let value = prop_oneof![
        "[0-9]{9,22}".prop_map(String::into_bytes),
        "[ \t]?(17[0-9]{8}|17[0-9]{11})[ \t]?(, ?(17[0-9]{11})?)?".prop_map(String::into_bytes),
        "(sha256=|v1,)?[0-9a-fA-F]{64}".prop_map(String::into_bytes),
        "[A-Za-z0-9+/_-]{43}=?".prop_map(String::into_bytes),
        "(gzip|br|[0-9]{1,30}|curl/)".prop_map(String::into_bytes),
        any::<Vec<u8>>(),
    ];
    proptest::collection::vec((name, value), 0..8)
}

fn any_secret() -> impl Strategy<Value = String> {
    "[ \"']?([0-9a-f]{2,64}|[A-Za-z0-9+/]{4,40}={0,2}|\\PC{1,20})[ \"'\n]?"
        .prop_filter("blank", |text| !text.trim().is_empty())
}

proptest! {
    #[test]
    fn random_input_proves_nothing_and_does_not_panic(
        text in any_secret(), headers in any_headers(), body in any_body(), now in any::<u64>(), limit in 0_usize..300,
    ) {
        let verifier = Verifier::builder().secret(secret(&text)).body_limit(limit);
        let verifier = verifier.clock(FixedClock::at(Timestamp::from_millis(now))).build().unwrap();
        let diagnosis = verifier.diagnose(headers, body);
        prop_assert!(!diagnosis.causes().is_empty());
        prop_assert!(!diagnosis.causes().iter().any(is_proven), "{diagnosis:?}");
        let _ = (diagnosis.to_string(), format!("{diagnosis:?}"));
    }

    /// A capture that is judged at its own timestamp is never too old, even if the header was
    /// changed. A capture without a timestamp is never reported as too old.
    #[test]
    fn no_capture_is_too_old_at_its_own_time(
        timestamp in "[ \t]?(17[0-9]{8}|17[0-9]{11})?[ \t]?(, ?(17[0-9]{11})?)?",
        name in prop_oneof![Just(TIMESTAMP), Just("HTTP_X_TWENTY_WEBHOOK_TIMESTAMP"), Just("x-other-timestamp"), Just("X-Time")],
        others in any_headers(), body in any_body(), now in any::<u64>(),
    ) {
        // A proxy may join several values. The first one is the signed one.
        let signed = timestamp.split(',').next().unwrap_or_default().trim();
        let signature = hex(mac(SECRET, [signed.as_bytes(), b":", &*body].concat()));
        let mut headers = vec![
            (name.as_bytes().to_vec(), timestamp.as_bytes().to_vec()),
            (SIGNATURE.as_bytes().to_vec(), signature.into_bytes()),
        ];
        headers.extend(others);
        let pairs = || headers.iter().map(|(name, value)| (name, value));
        let verifier = |now| Verifier::builder().secret(secret(SECRET)).clock(FixedClock::at(now)).build().unwrap();
        let now = Timestamp::from_millis(now);
        let claimed = verifier(now).claimed_timestamp(pairs());
        let diagnosis = verifier(claimed.unwrap_or(now)).diagnose(pairs(), &body);
        let is_untimely = |cause: &Cause| matches!(cause, Cause::TooOld { .. } | Cause::FromTheFuture { .. });
        prop_assert!(!diagnosis.causes().iter().any(is_untimely), "{:?}", diagnosis);
    }

    #[test]
    fn a_random_tamper_is_not_explained(
        text in any_secret(), body in any_body().prop_filter("empty", |body| !body.is_empty()), at: prop::sample::Index, which in 0..3,
    ) {
        let mut capture = Capture { secret: text.clone(), ..Capture::with_body("") };
        capture.body = body;
        capture.resign(&text, |time, body| [time, b":", body].concat());
        prop_assert_eq!(capture.diagnose().verdict(), Ok(()));
        match which {
            // Setting the highest bit cannot result in another plausible text.
            0 => *at.get_mut(&mut capture.body) ^= 0x80,
            1 => {
                let (at, signature) = (at.index(64), capture.header(SIGNATURE));
                let other = if &signature[at..=at] == "0" { "1" } else { "0" };
                signature.replace_range(at..=at, other);
            }
            _ => {
                let (at, timestamp) = (at.index(13), capture.header(TIMESTAMP));
                let other = if &timestamp[at..=at] == "9" { "8" } else { "9" };
                timestamp.replace_range(at..=at, other);
            }
        }
        let diagnosis = capture.diagnose();
        let order = Cause::BodyRewritten { what: Rewriting::Order };
        // A body made of random tokens can have an envelope in another order, or be invalid JSON.
        // Both are visible without a signature.
        let is_fact = |cause: &Cause| match cause {
            Cause::BodyIncomplete { .. } | Cause::BodyNotJson { .. } | Cause::BodyHasReplacements | Cause::Unexplained => true,
            cause => *cause == order,
        };
        prop_assert!(diagnosis.causes().iter().all(is_fact), "{:?}", diagnosis);
        prop_assert!(matches!(
            diagnosis.verdict().map_err(|error| error.kind()),
            Err(VerifyErrorKind::SignatureMismatch | VerifyErrorKind::TooOld | VerifyErrorKind::FromTheFuture)
        ));
    }

    /// The padding is recognised for any secret.
    #[test]
    fn any_padded_secret_is_recognised(text in "\\PC{1,40}", body in any_body()) {
        prop_assume!(!text.trim().is_empty() && text.trim() == text);
        let mut capture = Capture { secret: format!("{text}\n"), ..Capture::with_body("") };
        capture.body = body;
        capture.resign(&text, |time, body| [time, b":", body].concat());
        prop_assume!(!text.starts_with(['\u{feff}', '\u{200b}']) && !text.ends_with(['\u{feff}', '\u{200b}']));
        let verifier = Verifier::builder().secret(secret(&capture.secret)).clock(FixedClock::at(capture.now)).build().unwrap();
        let diagnosis = verifier.diagnose(capture.headers.clone(), &capture.body);
        prop_assert_eq!(diagnosis.causes(), [Cause::SecretPadded]);
    }
}
