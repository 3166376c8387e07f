//! Compares the crate's HMAC with two other implementations: *ring*, which shares no code with this
//! crate, and Node, which runs Twenty's server.

use bytes::Bytes;
use proptest::prelude::*;
use ring::hmac::{self, HMAC_SHA256};
use serde::Deserialize;
use twenty_webhook::{
    WebhookEvent,
    verify::{FixedClock, Keys, Secret, Signer, Timestamp, Verified, Verifier, VerifyError, VerifyErrorKind},
};

use crate::support::{SIGNATURE, TIMESTAMP};

/// Returns a verifier whose clock shows the timestamp, so that only the signature decides.
fn verifier(secrets: impl IntoIterator<Item = Secret>, timestamp: u64) -> Verifier {
    let clock = FixedClock::at(Timestamp::from_millis(timestamp));
    Verifier::builder().keys(Keys::new("id", secrets).unwrap()).clock(clock).body_limit(4 << 20).build().unwrap()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Returns ring's signature of a delivery.
fn ring_tag(secret: &str, timestamp: u64, body: &[u8]) -> hmac::Tag {
    let mut context = hmac::Context::with_key(&hmac::Key::new(HMAC_SHA256, secret.as_bytes()));
    context.update(format!("{timestamp}:").as_bytes());
    context.update(body);
    context.sign()
}

fn verify(verifier: &Verifier, timestamp: u64, signature: &[u8], body: &[u8]) -> Result<Verified, VerifyError> {
    let headers = [(TIMESTAMP, timestamp.to_string()), (SIGNATURE, hex(signature))];
    verifier.verify(headers, body.to_vec())
}

/// Generates secrets of any characters that are not blank, including some longer than SHA-256's
/// block.
fn secret() -> impl Strategy<Value = String> {
    prop_oneof!["\\PC{1,80}", "[0-9a-f]{64}", "[ -~]{60,200}"]
        .prop_filter("a blank secret is refused", |text| Secret::new(text.as_str()).is_ok())
}

fn body() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        4 => proptest::collection::vec(any::<u8>(), 0..300),
        1 => (any::<u8>(), 0_usize..20_000).prop_map(|(byte, len)| vec![byte; len]),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(500) })]

    #[test]
    fn deliveries_signed_by_ring_verify(
        secrets in proptest::collection::vec(secret(), 1..4),
        signs in any::<prop::sample::Index>(),
        timestamp: u64,
        body in body(),
        cuts in proptest::collection::vec(any::<prop::sample::Index>(), 0..4),
    ) {
        let signs = signs.get(&secrets);
        let tag = ring_tag(signs, timestamp, &body);
        let verifier = verifier(secrets.iter().map(|text| Secret::new(text.as_str()).unwrap()), timestamp);
        let verified = verify(&verifier, timestamp, tag.as_ref(), &body).unwrap();
        prop_assert_eq!(verified.body(), &body);
        prop_assert_eq!(&secrets[verified.secret_index()], signs);

        let headers = [(TIMESTAMP, timestamp.to_string()), (SIGNATURE, hex(tag.as_ref()))];
        let mut verification = verifier.begin(verifier.parse_headers(headers).unwrap()).unwrap();
        let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(body.len() + 1)).collect();
        cuts.extend([0, body.len()]);
        cuts.sort_unstable();
        for chunk in cuts.windows(2) {
            verification.update(body[chunk[0]..chunk[1]].to_vec()).unwrap();
        }
        let verified = verification.finalize().unwrap();
        prop_assert_eq!(verified.body(), &body);
    }

    #[test]
    fn ring_verifies_what_the_signer_signs(secret in secret(), timestamp: u64, body in body()) {
        let pairs = Signer::new(&*secret).unwrap().sign_at(Timestamp::from_millis(timestamp), &body).pairs();
        let signature = &pairs.iter().find(|(name, _)| name == SIGNATURE).unwrap().1;
        prop_assert_eq!(signature, &hex(ring_tag(&secret, timestamp, &body).as_ref()));
    }

    /// One part of a delivery is changed, and both implementations reject the signature. So neither
    /// rejects it for a reason that the other one does not have.
    #[test]
    fn deliveries_that_ring_rejects_are_rejected(
        signed in secret(),
        verifies in secret(),
        timestamp: u64,
        body in body(),
        flipped in any::<prop::sample::Index>(),
        what in 0..4,
    ) {
        let mut tag = ring_tag(&signed, timestamp, &body).as_ref().to_vec();
        let (mut now, mut changed, mut key) = (timestamp, body.clone(), &signed);
        match what {
            0 => tag[flipped.index(32)] ^= 1 << flipped.index(8),
            1 => now = timestamp ^ (1 << flipped.index(8)),
            2 if !changed.is_empty() => *flipped.get_mut(&mut changed) ^= 1,
            _ => key = &verifies,
        }
        let ring = hmac::verify(
            &hmac::Key::new(HMAC_SHA256, key.as_bytes()),
            &[format!("{now}:").as_bytes(), &changed].concat(),
            &tag,
        );
        let ours = verify(&verifier([Secret::new(key.as_str()).unwrap()], now), now, &tag, &changed);
        prop_assert_eq!(ring.is_ok(), ours.is_ok());
        if let Err(error) = ours {
            prop_assert_eq!(error.kind(), VerifyErrorKind::SignatureMismatch);
        }
    }
}

/// A delivery that `tests/vectors/node.mjs` signed.
#[derive(Deserialize)]
struct Vector {
    name: String,
    secret: String,
    timestamp: String,
    body: Body,
    signature: String,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Body {
    Text(String),
    /// The head, a unit, the number of its repetitions, and the tail.
    Rule(String, String, usize, String),
}

impl Vector {
    fn body(&self) -> Bytes {
        match &self.body {
            Body::Text(text) => text.clone().into(),
            Body::Rule(head, unit, times, tail) => [head, &*unit.repeat(*times), tail].concat().into(),
        }
    }
}

#[test]
fn deliveries_signed_by_node_verify() {
    let vectors: Vec<Vector> = serde_json::from_str(include_str!("../vectors/node.json")).unwrap();
    assert_eq!(vectors.len(), 27);
    for vector in vectors {
        let name = &vector.name;
        let body = vector.body();
        let timestamp = Timestamp::from_millis(vector.timestamp.parse().unwrap());
        let verifier = verifier([Secret::new(&*vector.secret).unwrap()], timestamp.as_millis());
        let headers = || [(TIMESTAMP, &vector.timestamp), (SIGNATURE, &vector.signature)];
        let verified = verifier.verify(headers(), body.clone()).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(*verified.body(), body, "{name}");
        // The event keeps the JSON exactly as Node wrote it.
        let event: WebhookEvent = WebhookEvent::from_verified(verified).unwrap_or_else(|e| panic!("{name}: {e}"));
        assert_eq!(*event.body(), body, "{name}");
        assert_eq!(event.name == "note.created", body.len() > 4, "{name}");

        let mut changed = body.to_vec();
        changed.push(b'\n');
        assert!(verifier.verify(headers(), changed).is_err(), "{name}");
        let ring = ring_tag(&vector.secret, timestamp.as_millis(), &body);
        assert_eq!(hex(ring.as_ref()), vector.signature, "{name}: the two others are not at one");
    }
}
