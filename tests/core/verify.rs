//! Checks which deliveries verify, and for which reason others are rejected.

use std::time::Duration;

use bytes::Bytes;
use hmac::{Hmac, KeyInit as _, Mac as _};
use proptest::prelude::*;
use sha2::Sha256;
use twenty_webhook::verify::{
    ConfigError, FixedClock, Keys, Secret, Signer, Timestamp, Verification, Verified, Verifier, VerifierBuilder,
    VerifyErrorKind,
};

use crate::support::{
    NONCE, NOW, SECRET, SIGNATURE, TIMESTAMP, Vector, builder, clock, data, secret, signed, signed_at, vector, vectors,
    verifier,
};

/// Computes HMAC-SHA256 in lower-case hexadecimal, independently of the crate's own code.
fn mac(key: impl AsRef<[u8]>, message: impl AsRef<[u8]>) -> String {
    hex(&Hmac::<Sha256>::new_from_slice(key.as_ref()).unwrap().chain_update(message).finalize().into_bytes())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn joined(parts: &[&[u8]]) -> Vec<u8> {
    parts.concat()
}

/// Returns the verdict on these headers and this body.
#[track_caller]
fn verdict(headers: &[(&str, &str)], body: impl Into<Bytes>) -> Result<Verified, VerifyErrorKind> {
    verifier().verify(headers.iter().copied(), body.into()).map_err(|error| error.kind())
}

/// The first vector, in which a test changes one thing.
struct Changed {
    vector: Vector,
    body: Vec<u8>,
}

fn changed(change: impl FnOnce(&mut Changed)) -> Result<Verified, VerifyErrorKind> {
    let vector = vector("person.created");
    let mut changed = Changed { body: vector.body().into(), vector };
    change(&mut changed);
    verdict(&changed.vector.headers(), changed.body)
}

#[track_caller]
fn refuses(kind: VerifyErrorKind, change: impl FnOnce(&mut Changed)) {
    assert_eq!(changed(change).unwrap_err(), kind);
}

mod vectors_of_twenty {
    use super::*;

    #[test]
    fn every_vector_verifies() {
        let vectors = vectors();
        assert_eq!(vectors.len(), 16);
        for vector in &vectors {
            let name = &vector.name;
            let keys = Keys::new("acme", [secret("another"), secret(&vector.secret)]).unwrap();
            let verifier = Verifier::builder().keys(keys).clock(FixedClock::at(vector.signed_at())).build().unwrap();
            let body = vector.body();
            assert_eq!(body.len(), vector.body_len, "{name}");

            let verified = verifier.verify(vector.headers(), body.clone()).unwrap_or_else(|e| panic!("{name}: {e}"));

            assert_eq!(*verified.body(), body, "{name}");
            assert_eq!(verified.timestamp(), vector.signed_at(), "{name}");
            assert_eq!(verified.fresh_until(), vector.signed_at().saturating_add(Duration::from_secs(300)), "{name}");
            assert_eq!(verified.keys_id(), "acme", "{name}");
            assert_eq!(verified.secret_index(), 1, "{name}");
            assert_eq!(verified.unsigned_nonce().map(|nonce| hex(&nonce)).as_ref(), Some(&vector.nonce), "{name}");
            assert_eq!(verified.into_body(), body, "{name}");
        }
    }

    #[test]
    fn the_signer_makes_the_same_signatures() {
        for vector in vectors() {
            let pairs = Signer::new(&*vector.secret).unwrap().sign_at(vector.signed_at(), vector.body()).pairs();
            let value = |name| pairs.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str());
            assert_eq!(value(SIGNATURE), Some(&*vector.signature), "{}", vector.name);
            assert_eq!(value(TIMESTAMP), Some(&*vector.timestamp), "{}", vector.name);
            assert_eq!(value(NONCE).map(str::len), Some(32), "{}", vector.name);
        }
    }

    #[test]
    fn an_unchanged_delivery_verifies() {
        assert!(changed(|_| {}).is_ok());
    }
}

mod changed_on_the_way {
    use super::*;
    use VerifyErrorKind::SignatureMismatch;

    #[test]
    fn a_timestamp_changed_by_a_millisecond_is_rejected() {
        refuses(SignatureMismatch, |delivery| delivery.vector.timestamp = "1790932471734".into());
    }

    #[test]
    fn another_form_of_the_timestamp_is_rejected() {
        refuses(SignatureMismatch, |delivery| delivery.vector.timestamp.insert(0, '0'));
    }

    #[test]
    fn a_changed_last_byte_is_rejected() {
        refuses(SignatureMismatch, |delivery| *delivery.body.last_mut().unwrap() = b']');
    }

    #[test]
    fn any_flipped_bit_is_rejected() {
        let vector = vector("company.deleted.2025-partial");
        let verifier = Verifier::builder().secret(secret(SECRET)).clock(FixedClock::at(vector.signed_at())).build();
        let verifier = verifier.unwrap();
        for bit in 0..vector.body_len * 8 {
            let mut body = vector.body().to_vec();
            body[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(verifier.verify(vector.headers(), body).unwrap_err().kind(), SignatureMismatch, "bit {bit}");
        }
    }

    #[test]
    fn any_changed_digit_of_the_signature_is_rejected() {
        for digit in 0..64 {
            refuses(SignatureMismatch, |delivery| {
                let other = if &delivery.vector.signature[digit..=digit] == "0" { "1" } else { "0" };
                delivery.vector.signature.replace_range(digit..=digit, other);
            });
        }
    }

    #[test]
    fn an_appended_newline_is_rejected() {
        refuses(SignatureMismatch, |delivery| delivery.body.push(b'\n'));
    }

    #[test]
    fn a_truncated_body_is_rejected() {
        refuses(SignatureMismatch, |delivery| {
            delivery.body.pop();
        });
        refuses(SignatureMismatch, |delivery| delivery.body.clear());
    }

    #[test]
    fn a_body_with_sorted_members_is_rejected() {
        refuses(SignatureMismatch, |delivery| {
            let json: serde_json::Value = serde_json::from_slice(&delivery.body).unwrap();
            delivery.body = serde_json::to_vec(&json).unwrap();
        });
    }

    #[test]
    fn a_body_with_escaped_characters_is_rejected() {
        let vector = vector("opportunity.updated");
        let escaped: String = std::str::from_utf8(&vector.body())
            .unwrap()
            .chars()
            .map(|c| match c.is_ascii() {
                true => c.to_string(),
                false => c.encode_utf16(&mut [0; 2]).iter().map(|unit| format!("\\u{unit:04x}")).collect(),
            })
            .collect();
        let json = |body: &[u8]| serde_json::from_slice::<serde_json::Value>(body).unwrap();
        assert_eq!(json(escaped.as_bytes()), json(&vector.body()), "the same JSON");
        assert_ne!(escaped.as_bytes(), vector.body(), "in other bytes");
        let verifier = Verifier::builder().secret(secret(SECRET)).clock(FixedClock::at(vector.signed_at())).build();
        let verifier = verifier.unwrap();
        assert!(verifier.verify(vector.headers(), vector.body()).is_ok());
        assert_eq!(verifier.verify(vector.headers(), escaped).unwrap_err().kind(), SignatureMismatch);
    }
}

mod signed_in_another_way {
    use super::*;

    /// Checks that the first vector is rejected if `key` signs `message(timestamp, body)`.
    #[track_caller]
    fn is_a_mismatch(key: impl AsRef<[u8]>, message: impl FnOnce(&[u8], &[u8]) -> Vec<u8>) {
        refuses(VerifyErrorKind::SignatureMismatch, |delivery| {
            let message = message(delivery.vector.timestamp.as_bytes(), &delivery.body);
            delivery.vector.signature = mac(key, message);
        });
    }

    fn as_twenty_does(timestamp: &[u8], body: &[u8]) -> Vec<u8> {
        joined(&[timestamp, b":", body])
    }

    #[test]
    fn the_oracle_signs_like_twenty() {
        let vector = vector("person.created");
        assert_eq!(mac(SECRET, as_twenty_does(vector.timestamp.as_bytes(), &vector.body())), vector.signature);
    }

    #[test]
    fn a_signature_of_the_body_alone_is_rejected() {
        is_a_mismatch(SECRET, |_, body| body.to_vec());
    }

    #[test]
    fn a_dot_as_separator_is_rejected() {
        is_a_mismatch(SECRET, |timestamp, body| joined(&[timestamp, b".", body]));
    }

    #[test]
    fn a_missing_separator_is_rejected() {
        is_a_mismatch(SECRET, |timestamp, body| joined(&[timestamp, body]));
    }

    #[test]
    fn a_body_stringified_twice_as_in_the_documented_sample_is_rejected() {
        is_a_mismatch(SECRET, |timestamp, body| {
            let text = serde_json::to_vec(std::str::from_utf8(body).unwrap()).unwrap();
            joined(&[timestamp, b":", &text])
        });
    }

    #[test]
    fn a_secret_decoded_from_hexadecimal_is_rejected() {
        let key: Vec<u8> =
            (0..SECRET.len()).step_by(2).map(|i| u8::from_str_radix(&SECRET[i..i + 2], 16).unwrap()).collect();
        is_a_mismatch(key, as_twenty_does);
    }

    #[test]
    fn a_secret_with_a_trailing_newline_is_rejected() {
        is_a_mismatch(format!("{SECRET}\n"), as_twenty_does);
    }

    #[test]
    fn the_secrets_text_is_the_key_byte_for_byte() {
        for text in [" spaces ", "newline\n", "pässwörd 🔑", &"long ".repeat(100), "\0nul"] {
            let signature = mac(text, as_twenty_does(b"1790932471733", b"{}"));
            let verifier = Verifier::builder().secret(secret(text)).clock(clock()).build().unwrap();
            let headers = [(TIMESTAMP, "1790932471733"), (SIGNATURE, &signature)];
            assert!(verifier.verify(headers, "{}").is_ok(), "{text:?}");
        }
    }
}

mod headers {
    use super::*;
    use VerifyErrorKind::*;

    const SIGNED: &str = "db637a878ed8ead21bf94f9127a53221bdf62d33d84522f53ebe55851df42aaf";
    const AT: &str = "1790932471733";

    #[track_caller]
    fn refused(headers: &[(&str, &str)]) -> VerifyErrorKind {
        verdict(headers, data("person.created.json")).unwrap_err()
    }

    #[test]
    fn malformed_timestamps_are_rejected() {
        for (text, kind) in [
            ("1790932471", TimestampInSeconds),
            ("", MalformedTimestamp),
            ("+1790932471733", MalformedTimestamp),
            (" 1790932471733", MalformedTimestamp),
            ("1790932471733 ", MalformedTimestamp),
            ("1790932 471733", MalformedTimestamp),
            ("17909324717330000000000", MalformedTimestamp),
            ("18446744073709551616", MalformedTimestamp),
            ("99999999999999999999", MalformedTimestamp),
            ("-1790932471733", MalformedTimestamp),
            ("1790932471733.0", MalformedTimestamp),
            ("1.790932471733e12", MalformedTimestamp),
            ("0x1A0FB8B6F75", MalformedTimestamp),
            ("2026-10-02T11:30:45.207Z", MalformedTimestamp),
            ("١٧٩٠٩٣٢٤٧١٧٣٣", MalformedTimestamp),
            ("1790932471733, 1790932471733", MalformedTimestamp),
            ("NaN", MalformedTimestamp),
        ] {
            refuses(kind, |delivery| delivery.vector.timestamp = text.into());
        }
    }

    #[test]
    fn malformed_signatures_are_rejected() {
        for text in [
            "",
            &SIGNED.to_uppercase(),
            &SIGNED[..63],
            &format!("{SIGNED}0"),
            &format!("{SIGNED}{SIGNED}"),
            &format!("sha256={SIGNED}"),
            &format!("v1,{SIGNED}"),
            &format!(" {SIGNED}"),
            &format!("{SIGNED} "),
            &format!("{SIGNED},{SIGNED}"),
            &format!("0x{}", &SIGNED[2..]),
            &format!("g{}", &SIGNED[1..]),
            "ä".repeat(32).as_str(),
        ] {
            refuses(MalformedSignature, |delivery| delivery.vector.signature = text.into());
        }
    }

    #[test]
    fn missing_headers_are_rejected() {
        assert_eq!(refused(&[]), Unsigned);
        assert_eq!(refused(&[(NONCE, "a51703b453420b6b21218bb3ccb37571")]), Unsigned);
        assert_eq!(refused(&[(TIMESTAMP, AT)]), MissingSignature);
        assert_eq!(refused(&[(SIGNATURE, SIGNED)]), MissingTimestamp);
    }

    #[test]
    fn repeated_headers_are_rejected() {
        assert_eq!(refused(&[(TIMESTAMP, AT), (SIGNATURE, SIGNED), (SIGNATURE, SIGNED)]), RepeatedSignature);
        assert_eq!(refused(&[(TIMESTAMP, AT), (TIMESTAMP, AT), (SIGNATURE, SIGNED)]), RepeatedTimestamp);
        assert_eq!(refused(&[(TIMESTAMP, AT), ("X-TWENTY-webhook-Timestamp", AT)]), RepeatedTimestamp);
        assert_eq!(refused(&[(SIGNATURE, ""), (SIGNATURE, SIGNED), (TIMESTAMP, AT)]), RepeatedSignature);
    }

    #[test]
    fn headers_are_found_in_any_letter_case_and_among_others() {
        let headers = [
            ("Host", "example.com"),
            ("X-Twenty-Webhook-Signature", SIGNED),
            ("X-TWENTY-WEBHOOK-TIMESTAMP", AT),
            ("X-Twenty-Webhook-Signature-Version", "2"),
            ("Twenty-Webhook-Signature", "of something else"),
        ];
        assert!(verdict(&headers, data("person.created.json")).is_ok());
    }

    /// The nonce is not signed, so it does not influence the verdict.
    #[test]
    fn any_nonce_verifies() {
        let pair = |nonce: &[u8]| (NONCE.as_bytes().to_vec(), nonce.to_vec());
        let changed = [pair(b"00000000000000000000000000000000")];
        let odd: Vec<_> = [b"".as_slice(), b"xyz", b"A51703B453420B6B21218BB3CCB37571", b"\xff\xfe"].map(pair).into();
        for (nonces, found) in [
            (&[][..], None),
            (&changed, Some([0; 16])),
            (&odd[..1], None),
            (&odd[1..2], None),
            (&odd[2..3], None),
            (&odd[3..], None),
        ] {
            let signed = [(TIMESTAMP, AT), (SIGNATURE, SIGNED)];
            let signed = signed.map(|(name, value)| (name.as_bytes().to_vec(), value.as_bytes().to_vec()));
            let headers = signed.into_iter().chain(nonces.iter().cloned());
            let verified = verifier().verify(headers, data("person.created.json")).unwrap();
            assert_eq!(verified.unsigned_nonce(), found, "{nonces:?}");
        }
    }

    #[test]
    fn headers_with_a_forks_prefix_are_accepted() {
        let under = |prefix: &str| builder().header_prefix(prefix).build().unwrap();
        let fork = [("x-aston-webhook-timestamp", AT), ("x-aston-webhook-signature", SIGNED)];
        let twenty = [(TIMESTAMP, AT), (SIGNATURE, SIGNED)];
        let body = || data("person.created.json");
        assert!(under("X-Aston-Webhook").verify(fork, body()).is_ok());
        assert_eq!(under("X-Aston-Webhook").verify(twenty, body()).unwrap_err().kind(), Unsigned);
        assert!(under("x-twenty-webhook").verify(twenty, body()).is_ok());
        assert_eq!(verifier().verify(fork, body()).unwrap_err().kind(), Unsigned);
        let longest = "x".repeat(1024);
        let fork = [(format!("{longest}-timestamp"), AT), (format!("{longest}-signature"), SIGNED)];
        assert!(under(&longest).verify(fork, body()).is_ok());
        for prefix in ["", "x webhook", "x:webhook", "x-wébhook", "x\r\n", "\0", &(longest + "x")] {
            assert_eq!(builder().header_prefix(prefix).build().unwrap_err(), ConfigError::InvalidHeaderPrefix);
        }
    }
}

mod age {
    use super::*;

    /// Returns until when a delivery signed at `sent` is fresh, if it verifies at `now`.
    fn at(tolerance: Duration, now: u64, sent: u64) -> Result<Timestamp, VerifyErrorKind> {
        let verifier =
            builder().tolerance(tolerance).clock(FixedClock::at(Timestamp::from_millis(now))).build().unwrap();
        let verified = verifier.verify(signed_at(Timestamp::from_millis(sent), "{}"), "{}");
        verified.map(|verified| verified.fresh_until()).map_err(|error| error.kind())
    }

    const T: u64 = NOW.as_millis();

    #[test]
    fn deliveries_up_to_five_minutes_off_verify_in_both_directions() {
        const DEFAULT: Duration = Verifier::DEFAULT_TOLERANCE;
        assert_eq!(DEFAULT.as_millis(), 300_000);
        assert!(at(DEFAULT, T, T).is_ok());
        assert_eq!(at(DEFAULT, T, T - 300_000), Ok(NOW));
        assert_eq!(at(DEFAULT, T, T - 300_001), Err(VerifyErrorKind::TooOld));
        assert!(at(DEFAULT, T, T + 300_000).is_ok());
        assert_eq!(at(DEFAULT, T, T + 300_001), Err(VerifyErrorKind::FromTheFuture));
    }

    #[test]
    fn zero_tolerance_accepts_only_the_exact_time() {
        assert_eq!(at(Duration::ZERO, T, T), Ok(NOW));
        assert_eq!(at(Duration::ZERO, T, T - 1), Err(VerifyErrorKind::TooOld));
        assert_eq!(at(Duration::ZERO, T, T + 1), Err(VerifyErrorKind::FromTheFuture));
    }

    #[test]
    fn unlimited_tolerance_accepts_any_time() {
        for (now, sent) in [(T, 0), (0, T), (T, u64::MAX), (u64::MAX, 0), (0, u64::MAX), (u64::MAX, u64::MAX)] {
            assert_eq!(at(Duration::MAX, now, sent), Ok(Timestamp::from_millis(u64::MAX)), "{sent} at {now}");
        }
    }

    #[test]
    fn the_smallest_and_largest_timestamps_do_not_overflow() {
        let minutes = Verifier::DEFAULT_TOLERANCE;
        assert_eq!(at(minutes, T, u64::MAX), Err(VerifyErrorKind::FromTheFuture));
        assert_eq!(at(minutes, T, 0), Err(VerifyErrorKind::TooOld));
        assert_eq!(at(minutes, u64::MAX, u64::MAX), Ok(Timestamp::from_millis(u64::MAX)));
        assert_eq!(at(minutes, 0, 0), Ok(Timestamp::from_millis(300_000)));
    }

    #[test]
    fn the_clock_is_read_for_each_delivery() {
        let clock = clock();
        let verifier = builder().clock(clock.clone()).build().unwrap();
        let verdict = || verifier.verify(signed("{}"), "{}").map_err(|error| error.kind());
        assert!(verdict().is_ok());
        clock.advance(Duration::from_millis(300_001));
        assert_eq!(verdict().unwrap_err(), VerifyErrorKind::TooOld);
        clock.set(NOW);
        assert!(verdict().is_ok());
    }

    /// The delivery is rejected before any byte of its body is read.
    #[test]
    fn the_age_is_checked_before_the_body() {
        let verifier = builder().clock(FixedClock::at(Timestamp::from_millis(0))).build().unwrap();
        let headers = verifier.parse_headers(signed("{}")).unwrap();
        assert_eq!(verifier.begin(headers).unwrap_err().kind(), VerifyErrorKind::FromTheFuture);
    }

    #[test]
    fn the_system_clock_is_the_default() {
        let headers = Signer::new(SECRET).unwrap().sign("{}").pairs();
        assert!(Verifier::new(SECRET).unwrap().verify(headers, "{}").is_ok());
        assert_eq!(
            Verifier::new(SECRET).unwrap().verify(signed_at(Timestamp::from_millis(1), "{}"), "{}").unwrap_err().kind(),
            VerifyErrorKind::TooOld
        );
    }
}

mod rotation {
    use super::*;

    fn rotated(count: usize) -> Result<Verifier, ConfigError> {
        let secrets = (0..count).map(|i| secret(&format!("secret {i}")));
        secrets.fold(Verifier::builder().clock(clock()), VerifierBuilder::secret).build()
    }

    fn index_of(verifier: &Verifier, text: &str) -> Result<usize, VerifyErrorKind> {
        let headers = Signer::new(text).unwrap().sign_at(NOW, "{}").pairs();
        verifier.verify(headers, "{}").map(|verified| verified.secret_index()).map_err(|error| error.kind())
    }

    #[test]
    fn each_of_eight_secrets_is_reported_by_its_index() {
        let verifier = rotated(8).unwrap();
        for index in 0..8 {
            assert_eq!(index_of(&verifier, &format!("secret {index}")), Ok(index));
        }
    }

    #[test]
    fn another_secret_than_the_configured_ones_is_rejected() {
        assert_eq!(index_of(&rotated(8).unwrap(), "secret 8"), Err(VerifyErrorKind::SignatureMismatch));
        assert_eq!(index_of(&rotated(1).unwrap(), "secret 1"), Err(VerifyErrorKind::SignatureMismatch));
    }

    #[test]
    fn the_first_of_equal_secrets_is_reported() {
        let twice = [secret("a"), secret("b"), secret("b")];
        let keys = Keys::new("id", twice).unwrap();
        assert_eq!(index_of(&Verifier::builder().keys(keys).clock(clock()).build().unwrap(), "b"), Ok(1));
    }

    #[test]
    fn one_to_eight_secrets_are_allowed() {
        assert_eq!(rotated(0).unwrap_err(), ConfigError::NoSecret);
        assert_eq!(rotated(9).unwrap_err(), ConfigError::TooManySecrets);
        assert_eq!(Keys::new("id", std::iter::repeat_with(|| secret("s"))).unwrap_err(), ConfigError::TooManySecrets);
    }

    #[test]
    fn the_id_does_not_depend_on_the_secret() {
        let verified = |secrets: [Secret; 2]| {
            let verifier = Verifier::builder().keys(Keys::new("acme", secrets).unwrap()).clock(clock()).build();
            verifier.unwrap().verify(signed("{}"), "{}").unwrap()
        };
        assert_eq!(verified([secret(SECRET), secret("old")]).keys_id(), "acme");
        assert_eq!(verified([secret("new"), secret(SECRET)]).keys_id(), "acme");
        assert_eq!(verifier().verify(signed("{}"), "{}").unwrap().keys_id(), "default");
    }

    #[test]
    fn keys_and_secrets_exclude_each_other() {
        let keys = Keys::new("acme", [secret("a")]).unwrap();
        assert_eq!(builder().keys(keys).build().unwrap_err(), ConfigError::KeysAndSecrets);
        assert_eq!(Verifier::new("").unwrap_err(), ConfigError::BlankSecret);
        assert_eq!(Signer::new(" \n").unwrap_err(), ConfigError::BlankSecret);
    }
}

mod body_limit {
    use super::*;
    use VerifyErrorKind::BodyTooLong;

    fn limited(limit: usize) -> Verifier {
        builder().body_limit(limit).build().unwrap()
    }

    #[test]
    fn a_body_of_exactly_the_limit_is_accepted() {
        let body = vec![b'x'; 1000];
        assert!(limited(1000).verify(signed(&body), body.clone()).is_ok());
        assert_eq!(limited(999).verify(signed(&body), body).unwrap_err().kind(), BodyTooLong);
        assert!(limited(0).verify(signed(""), "").is_ok());
        assert_eq!(limited(0).verify(signed("x"), "x").unwrap_err().kind(), BodyTooLong);
        assert!(limited(usize::MAX).verify(signed("x"), "x").is_ok());
    }

    #[test]
    fn the_default_is_two_mebibytes() {
        assert_eq!(verifier().body_limit(), 2 << 20);
        let body = vec![b'x'; 2 << 20];
        assert!(verifier().verify(signed(&body), body).is_ok());
    }

    #[test]
    fn the_limit_is_checked_on_each_update() {
        let verifier = limited(10);
        let mut verification = verifier.begin(verifier.parse_headers(signed("0123456789")).unwrap()).unwrap();
        verification.update("01234").unwrap();
        verification.update("").unwrap();
        assert_eq!(verification.update("567890").unwrap_err().kind(), BodyTooLong);
        assert_eq!(verification.received(), 5, "the chunk that was too long is not kept");
        verification.update("56789").unwrap();
        assert_eq!(verification.received(), 10);
        verification.update("").unwrap();
        assert_eq!(verification.update("x").unwrap_err().kind(), BodyTooLong);
        assert_eq!(verification.finalize().unwrap().body(), "0123456789");
    }
}

mod chunks {
    use super::*;

    #[track_caller]
    fn verification(body: &[u8]) -> Verification {
        let verifier = verifier();
        verifier.begin(verifier.parse_headers(signed(body)).unwrap()).unwrap()
    }

    #[test]
    fn a_body_in_one_piece_is_not_copied() {
        let body = data("person.created.json");
        let mut verification = verification(&body);
        for chunk in [Bytes::new(), body.clone(), Bytes::new()] {
            verification.update(chunk).unwrap();
        }
        assert_eq!(verification.finalize().unwrap().body().as_ptr(), body.as_ptr());
        assert_eq!(verifier().verify(signed(&body), body.clone()).unwrap().body().as_ptr(), body.as_ptr());
    }

    #[test]
    fn no_chunks_make_an_empty_body() {
        assert_eq!(verification(b"").finalize().unwrap().body(), "");
        assert_eq!(verification(b"x").finalize().unwrap_err().kind(), VerifyErrorKind::SignatureMismatch);
    }

    /// Generates a body and the positions at which it is split into chunks, some of them empty.
    fn cut_body() -> impl Strategy<Value = (Vec<u8>, Vec<usize>)> {
        proptest::collection::vec(any::<u8>(), 0..2000).prop_flat_map(|body| {
            let len = body.len();
            (Just(body), proptest::collection::vec(0..=len, 0..20))
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(512) })]

        /// The division of a body into chunks changes neither the verdict nor the body, whichever
        /// secret signed it.
        #[test]
        fn chunks_do_not_change_the_verdict(
            (body, mut cuts) in cut_body(),
            signer in 0_usize..5,
            limit in 0_usize..3000,
        ) {
            let secrets = (0..4).map(|i| secret(&format!("secret {i}")));
            let verifier = Verifier::builder().keys(Keys::new("id", secrets).unwrap()).clock(clock()).body_limit(limit);
            let verifier = verifier.build().unwrap();
            let headers = Signer::new(format!("secret {signer}")).unwrap().sign_at(NOW, &body);

            let one_shot = verifier.verify(headers.pairs(), body.clone());
            let mut incremental = || {
                cuts.extend([0, body.len()]);
                cuts.sort_unstable();
                let mut verification = verifier.begin(headers.clone())?;
                for cut in cuts.windows(2) {
                    verification.update(body[cut[0]..cut[1]].to_vec())?;
                }
                verification.finalize()
            };

            match (one_shot, incremental()) {
                (Ok(one_shot), Ok(incremental)) => {
                    prop_assert_eq!(one_shot.body(), &body);
                    prop_assert_eq!(incremental.body(), &body);
                    prop_assert_eq!(one_shot.secret_index(), signer);
                    prop_assert_eq!(incremental.secret_index(), signer);
                    prop_assert!(signer < 4 && body.len() <= limit);
                }
                (Err(one_shot), Err(incremental)) => {
                    prop_assert_eq!(one_shot, incremental);
                    prop_assert!(signer == 4 || body.len() > limit);
                }
                (one_shot, incremental) => prop_assert!(false, "{one_shot:?}, but {incremental:?}"),
            }
        }
    }
}

mod any_bytes {
    use super::*;

    /// Generates headers that are often similar to valid ones.
    fn header() -> impl Strategy<Value = (Vec<u8>, Vec<u8>)> {
        let name = prop_oneof![
            6 => proptest::sample::select(&[TIMESTAMP, SIGNATURE, NONCE]).prop_map(|name| name.as_bytes().to_vec()),
            1 => proptest::collection::vec(any::<u8>(), 0..40),
        ];
        let value = prop_oneof![
            2 => proptest::collection::vec(any::<u8>(), 0..80),
            2 => "[0-9]{0,22}".prop_map(String::into_bytes),
            2 => "[0-9a-f]{64}".prop_map(String::into_bytes),
            1 => any::<u64>().prop_map(|millis| millis.to_string().into_bytes()),
        ];
        (name, value)
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(2048) })]

        #[test]
        fn any_bytes_neither_panic_nor_verify(
            headers in proptest::collection::vec(header(), 0..5),
            body in proptest::collection::vec(any::<u8>(), 0..100),
            now in any::<u64>(),
            tolerance in any::<Duration>(),
        ) {
            let clock = FixedClock::at(Timestamp::from_millis(now));
            let verifier = builder().tolerance(tolerance).clock(clock).build().unwrap();
            prop_assert!(verifier.verify(headers, body).is_err());
        }
    }
}
