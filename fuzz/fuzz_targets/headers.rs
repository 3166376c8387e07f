//! Verifies any headers and body. A delivery verifies if and only if it has exactly one signature,
//! is well-formed, and is neither too old nor from the future.
#![no_main]

use std::{sync::LazyLock, time::Duration};

use libfuzzer_sys::fuzz_target;
use twenty_webhook::verify::{Timestamp, Verifier, VerifyErrorKind};
use twenty_webhook_fuzz::{
    NOW, SECRETS, builder,
    delivery::{Delivery, NONCE, SIGNATURE, TIMESTAMP},
    hex, mac,
};

const BODY_LIMIT: usize = 256;
const TOLERANCE: Duration = Duration::from_secs(300);

static VERIFIER: LazyLock<Verifier> =
    LazyLock::new(|| builder().tolerance(TOLERANCE).body_limit(BODY_LIMIT).build().expect("two secrets"));

fuzz_target!(|text: &[u8]| {
    let mut delivery = Delivery::parse(text);
    delivery.sign();
    let result = VERIFIER.verify(delivery.headers.iter().map(|(name, value)| (name, value)), delivery.body.clone());
    match (&result, expected(&delivery)) {
        (Ok(verified), Ok((timestamp, secret))) => {
            assert_eq!(verified.body(), &delivery.body);
            assert_eq!(verified.timestamp(), timestamp);
            assert_eq!(verified.fresh_until(), timestamp.saturating_add(TOLERANCE));
            assert_eq!(verified.secret_index(), secret);
            let nonce = delivery.values(NONCE).last().filter(|nonce| nonce.len() == 32 && is_lower_hex(nonce));
            assert_eq!(verified.unsigned_nonce().map(|nonce| hex(&nonce).into_bytes()).as_deref(), nonce);
        }
        (Err(error), Err(kinds)) => assert!(kinds.contains(&error.kind()), "{error}, expected one of {kinds:?}"),
        (found, expected) => panic!("found {found:?}, expected {expected:?}"),
    }

    // Parsed headers can be written and parsed again.
    if let Ok(headers) = VERIFIER.parse_headers(delivery.headers.iter().map(|(name, value)| (name, value))) {
        let again = VERIFIER.parse_headers(headers.pairs()).expect("well-formed");
        assert_eq!(headers.pairs(), again.pairs());
        assert_eq!(VERIFIER.verify(again.pairs(), delivery.body).is_ok(), result.is_ok());
    }
});

/// Returns the time and the secret with which a delivery was signed, or the possible reasons for a
/// rejection.
fn expected(delivery: &Delivery) -> Result<(Timestamp, usize), Vec<VerifyErrorKind>> {
    use VerifyErrorKind::*;

    let signatures: Vec<_> = delivery.values(SIGNATURE).collect();
    let timestamps: Vec<_> = delivery.values(TIMESTAMP).collect();
    let (signature, timestamp) = match (&signatures[..], &timestamps[..]) {
        ([], []) => return Err(vec![Unsigned]),
        ([], [_]) => return Err(vec![MissingSignature]),
        ([_], []) => return Err(vec![MissingTimestamp]),
        ([signature], [timestamp]) => (*signature, *timestamp),
        ([_, _, ..], [_, _, ..]) => return Err(vec![RepeatedSignature, RepeatedTimestamp]),
        ([_, _, ..], _) => return Err(vec![RepeatedSignature]),
        (_, [_, _, ..]) => return Err(vec![RepeatedTimestamp]),
    };
    let digits =
        str::from_utf8(timestamp).ok().filter(|text| text.len() <= 20 && text.bytes().all(|b| b.is_ascii_digit()));
    let millis: u64 = digits.and_then(|text| text.parse().ok()).ok_or(vec![MalformedTimestamp])?;
    if timestamp.len() == 10 {
        return Err(vec![TimestampInSeconds]);
    }
    if signature.len() != 64 || !is_lower_hex(signature) {
        return Err(vec![MalformedSignature]);
    }
    let tolerance = 300_000;
    if millis < NOW.as_millis() - tolerance {
        return Err(vec![TooOld]);
    }
    if millis > NOW.as_millis() + tolerance {
        return Err(vec![FromTheFuture]);
    }
    if delivery.body.len() > BODY_LIMIT {
        return Err(vec![BodyTooLong]);
    }
    let signs =
        |secret: &&str| hex(&mac(secret.as_bytes(), &[timestamp, b":", &delivery.body])).as_bytes() == signature;
    let secret = SECRETS.iter().position(signs).ok_or(vec![SignatureMismatch])?;
    Ok((Timestamp::from_millis(millis), secret))
}

fn is_lower_hex(text: &[u8]) -> bool {
    text.iter().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}
