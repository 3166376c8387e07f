//! Diagnoses any captured delivery. The diagnosis agrees with verification, explains the cause, and
//! shows no secret.
#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use twenty_webhook::{
    diagnose::Cause,
    verify::{Keys, Secret, Verifier},
};
use twenty_webhook_fuzz::{
    SECRETS, builder,
    delivery::{Delivery, SIGNATURE, TIMESTAMP},
    hex, mac,
};

/// The secret of another webhook.
const OTHER_SECRET: &str = "9c27d05b1e4f8a36";

/// A text in the bodies of the seeds. No report contains it.
const PRIVATE: &str = "Ada Lovelace";

static VERIFIER: LazyLock<Verifier> = LazyLock::new(|| builder().body_limit(1_024).build().expect("two secrets"));
static OTHERS: LazyLock<[Keys; 1]> =
    LazyLock::new(|| [Keys::new("another", Secret::new(OTHER_SECRET)).expect("one secret")]);

// The input is a letter, which chooses how the delivery is signed, and the delivery.
fuzz_target!(|text: &[u8]| {
    let Some((way, text)) = text.split_first() else { return };
    let mut delivery = Delivery::parse(text);
    let signature = sign(*way, &delivery);
    delivery.fill_in(&signature, &mac(SECRETS[1].as_bytes(), &[&delivery.timestamp(), b":", &delivery.body]));
    let headers = || delivery.headers.iter().map(|(name, value)| (name, value));

    let diagnosis = VERIFIER.diagnose_among(headers(), &delivery.body, &*OTHERS);
    let verdict = VERIFIER.verify(headers(), delivery.body.clone());
    assert_eq!(diagnosis.verdict(), verdict.map(drop));
    assert_eq!(diagnosis.causes().is_empty(), diagnosis.verdict().is_ok());
    let unexplained = diagnosis.causes().iter().position(|cause| matches!(cause, Cause::Unexplained));
    assert!(unexplained.is_none_or(|at| at + 1 == diagnosis.causes().len()));
    assert_eq!(VERIFIER.diagnose_among(headers(), &delivery.body, &*OTHERS), diagnosis);

    let is_plain = |name, is_value: &dyn Fn(&[u8]) -> bool| {
        let values: Vec<_> = delivery.values(name).collect();
        matches!(values[..], [value] if is_value(value))
    };
    let is_time = |value: &[u8]| value.len() == 13 && value.iter().all(u8::is_ascii_digit);
    if is_plain(SIGNATURE, &|value| value == hex(&signature).as_bytes()) && is_plain(TIMESTAMP, &is_time) {
        assert_eq!(unexplained, None, "{diagnosis}");
    }

    // The report shows nothing of the delivery except the escaped names of headers.
    let report = format!("{diagnosis}\n{diagnosis:?}");
    for private in [SECRETS[0], SECRETS[1], OTHER_SECRET, PRIVATE, &hex(&signature)] {
        let is_name = delivery.headers.iter().any(|(name, _)| name.escape_ascii().to_string().contains(private));
        assert!(is_name || !report.contains(private), "{report}");
    }
});

/// Signs the delivery correctly, or with one of the mistakes that the diagnosis knows.
fn sign(way: u8, delivery: &Delivery) -> [u8; 32] {
    let (secret, time, body) = (SECRETS[0].as_bytes(), &*delivery.timestamp(), &*delivery.body);
    match way {
        b'a' => mac(OTHER_SECRET.as_bytes(), &[time, b":", body]),
        b'b' => mac(secret, &[body]),
        b'c' => mac(&[secret, b"\n"].concat(), &[time, b":", body]),
        b'd' => mac(secret, &[time, b".", body]),
        b'e' => mac(secret, &[time, b":", body, b"\n"]),
        b'f' => mac(secret, &[time, b":", without_line_ends(body)]),
        b'g' => mac(secret, &[time, b":\xef\xbb\xbf", body]),
        b'h' => mac(secret, &[time.get(..10).unwrap_or(time), b":", body]),
        b'i' => mac(hex(secret).as_bytes(), &[time, b":", body]),
        b'j' => mac(&[b" ", secret, b" "].concat(), &[time, b":", body]),
        b'k' => mac(&secret.to_ascii_uppercase(), &[time, b":", body]),
        b'l' => mac(secret, &[time, b":", without_nul(body)]),
        _ => mac(secret, &[time, b":", body]),
    }
}

fn without_line_ends(text: &[u8]) -> &[u8] {
    let end = text.iter().rposition(|byte| !b"\r\n".contains(byte)).map_or(0, |last| last + 1);
    &text[..end]
}

fn without_nul(text: &[u8]) -> &[u8] {
    let end = text.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
    if end == 0 { text } else { &text[..end] }
}
