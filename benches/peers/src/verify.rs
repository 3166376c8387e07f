//! Compares `Verifier::verify` with other libraries that verify signatures.

use std::{
    cell::RefCell,
    time::{SystemTime, UNIX_EPOCH},
};

use aws_lc_rs::hmac as aws;
use bytes::Bytes;
use hmac::{Hmac, KeyInit, Mac};
use http::{HeaderMap, HeaderName};
use openssl::{md::Md, md_ctx::MdCtx, pkey::PKey};
use serde_json::{Value, json};
use sha2::Sha256;
use subtle::ConstantTimeEq;
use twenty_webhook::{Verifier, verify::Secret};
use webhook_verify::{CustomScheme, Encoding, HashAlg, Provider, VerifyOptions};

use crate::{
    delivery,
    race::{Contender, race},
};

const ROUNDS: usize = 300;
const SIZES: [usize; 6] = [256, 1 << 10, 4 << 10, 16 << 10, 64 << 10, 1 << 20];

pub fn run() -> Value {
    let mut cases = Vec::new();
    for secret_count in [1, 2, 4] {
        for size in SIZES {
            eprintln!("verify: {size} bytes, {secret_count} secrets");
            let secrets: Vec<String> = (0..secret_count).map(|index| format!("{}{index}", delivery::SECRET)).collect();
            let body = delivery::event_of(size);
            must_reject_forgeries(&secrets, &body);
            let contenders = contenders(&secrets, &body, &body);
            let contenders = contenders.into_iter().map(|(name, verify)| Contender::new(name, verify)).collect();
            cases.push(json!({ "bytes": size, "secrets": secret_count, "nanoseconds": race(contenders, ROUNDS) }));
        }
    }
    Value::Array(cases)
}

/// Checks that each contender accepts a genuine delivery, and rejects a changed body and the
/// signature of another secret.
fn must_reject_forgeries(secrets: &[String], body: &Bytes) {
    let mut changed = body.to_vec();
    let middle = changed.len() / 2;
    changed[middle] ^= 1;
    let other_secret = vec!["another secret".to_owned()];
    for (name, verify) in contenders(secrets, body, body) {
        assert!(verify(), "{name} rejects a genuine delivery");
    }
    for (name, verify) in contenders(secrets, body, &changed.into()) {
        assert!(!verify(), "{name} accepts a changed body");
    }
    let signed = |(_, verify): &(&str, Verify<'_>)| verify();
    let own = signers(secrets, body);
    let theirs = signers(&other_secret, body);
    assert!(verifiers(secrets, &own, body).iter().all(signed));
    for (name, verify) in verifiers(secrets, &theirs, body) {
        assert!(!verify(), "{name} accepts the signature of another secret");
    }
}

type Verify<'a> = Box<dyn Fn() -> bool + 'a>;

/// Returns the contenders. They verify `received`, with a signature of `sent` by the last secret.
fn contenders<'a>(secrets: &[String], sent: &Bytes, received: &Bytes) -> Vec<(&'static str, Verify<'a>)> {
    verifiers(secrets, &signers(secrets, sent), received)
}

/// The headers of one delivery in each scheme.
struct Signed {
    twenty: HeaderMap,
    timestamp: String,
    signature: String,
    standard: HeaderMap,
    svix: HeaderMap,
    in_seconds: HeaderMap,
}

fn signers(secrets: &[String], body: &Bytes) -> Signed {
    let secret = secrets.last().expect("one at least");
    let pairs = delivery::twenty(secret, body);
    let value = |name| pairs.iter().find(|pair| pair.0 == name).expect("a header").1.clone();
    // webhook-verify reads only seconds, so the timestamp for it is in seconds.
    let seconds = delivery::unix_seconds().to_string();
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).expect("any length");
    mac.update(format!("{seconds}:").as_bytes());
    mac.update(body);
    let in_seconds =
        [(TIMESTAMP.to_owned(), seconds), (SIGNATURE.to_owned(), hex::encode(mac.finalize().into_bytes()))];
    Signed {
        timestamp: value(TIMESTAMP),
        signature: value(SIGNATURE),
        twenty: delivery::request_headers(&pairs, body),
        standard: delivery::request_headers(&delivery::standard("webhook", secret, body), body),
        svix: delivery::request_headers(&delivery::standard("svix", secret, body), body),
        in_seconds: delivery::request_headers(&in_seconds, body),
    }
}

const TIMESTAMP: &str = "x-twenty-webhook-timestamp";
const SIGNATURE: &str = "x-twenty-webhook-signature";

fn verifiers<'a>(secrets: &[String], signed: &Signed, body: &Bytes) -> Vec<(&'static str, Verify<'a>)> {
    vec![
        ("twenty-webhook", twenty_webhook(secrets, signed.twenty.clone(), body.clone())),
        ("hmac + sha2", bare(with_hmac(secrets), signed, body)),
        ("hmac + sha2, whole request", from_request(with_hmac(secrets), signed.twenty.clone(), body.clone())),
        ("ring", bare(with_ring(secrets), signed, body)),
        ("aws-lc-rs", bare(with_aws_lc_rs(secrets), signed, body)),
        ("openssl", bare(with_openssl(secrets), signed, body)),
        ("webhook-verify", webhook_verify(secrets, signed.in_seconds.clone(), body.clone())),
        ("standardwebhooks", standardwebhooks(secrets, signed.standard.clone(), body.clone())),
        ("svix", svix(secrets, signed.svix.clone(), body.clone())),
    ]
}

fn twenty_webhook<'a>(secrets: &[String], headers: HeaderMap, body: Bytes) -> Verify<'a> {
    let secrets = secrets.iter().map(|secret| Secret::new(secret).expect("a secret"));
    let verifier =
        secrets.fold(Verifier::builder(), |builder, secret| builder.secret(secret)).build().expect("8 at most");
    Box::new(move || verifier.verify(&headers, body.clone()).is_ok())
}

/// Returns a contender that gets the timestamp, the body and the decoded signature. So it neither
/// searches headers nor reads a clock.
fn bare<'a>(matches: impl Fn(&[u8], &[u8], &[u8; 32]) -> bool + 'a, signed: &Signed, body: &Bytes) -> Verify<'a> {
    let Signed { timestamp, signature, .. } = signed;
    let (timestamp, signature, body) = (timestamp.clone(), signature.clone(), body.clone());
    Box::new(move || {
        let mut expected = [0; 32];
        hex::decode_to_slice(&signature, &mut expected).is_ok() && matches(timestamp.as_bytes(), &body, &expected)
    })
}

/// Returns a contender that does the minimum for a request: it looks up the two headers, checks the
/// age and keeps the body.
fn from_request<'a>(
    matches: impl Fn(&[u8], &[u8], &[u8; 32]) -> bool + 'a,
    headers: HeaderMap,
    body: Bytes,
) -> Verify<'a> {
    let timestamp_name = HeaderName::from_static(TIMESTAMP);
    let signature_name = HeaderName::from_static(SIGNATURE);
    let tolerance = Verifier::DEFAULT_TOLERANCE.as_millis();
    let verify = move || {
        let timestamp = headers.get(&timestamp_name)?;
        let signed_at: u128 = timestamp.to_str().ok()?.parse().ok()?;
        let now = SystemTime::now().duration_since(UNIX_EPOCH).ok()?.as_millis();
        let mut expected = [0; 32];
        hex::decode_to_slice(headers.get(&signature_name)?, &mut expected).ok()?;
        let is_genuine = now.abs_diff(signed_at) <= tolerance && matches(timestamp.as_bytes(), &body, &expected);
        is_genuine.then(|| body.clone())
    };
    Box::new(move || verify().is_some())
}

fn with_hmac(secrets: &[String]) -> impl Fn(&[u8], &[u8], &[u8; 32]) -> bool + use<> {
    let keyed: Vec<_> =
        secrets.iter().map(|secret| Hmac::<Sha256>::new_from_slice(secret.as_bytes()).expect("any length")).collect();
    move |timestamp, body, expected| {
        keyed.iter().any(|keyed| {
            let mut mac = keyed.clone();
            mac.update(timestamp);
            mac.update(b":");
            mac.update(body);
            mac.finalize().into_bytes().ct_eq(expected).into()
        })
    }
}

fn with_ring(secrets: &[String]) -> impl Fn(&[u8], &[u8], &[u8; 32]) -> bool + use<> {
    let keys: Vec<_> =
        secrets.iter().map(|secret| ring::hmac::Key::new(ring::hmac::HMAC_SHA256, secret.as_bytes())).collect();
    move |timestamp, body, expected| {
        keys.iter().any(|key| {
            let mut mac = ring::hmac::Context::with_key(key);
            mac.update(timestamp);
            mac.update(b":");
            mac.update(body);
            // ring has deprecated its own comparison.
            mac.sign().as_ref().ct_eq(expected).into()
        })
    }
}

fn with_aws_lc_rs(secrets: &[String]) -> impl Fn(&[u8], &[u8], &[u8; 32]) -> bool + use<> {
    let keys: Vec<_> = secrets.iter().map(|secret| aws::Key::new(aws::HMAC_SHA256, secret.as_bytes())).collect();
    move |timestamp, body, expected| {
        keys.iter().any(|key| {
            let mut mac = aws::Context::with_key(key);
            mac.update(timestamp);
            mac.update(b":");
            mac.update(body);
            aws_lc_rs::constant_time::verify_slices_are_equal(mac.sign().as_ref(), expected).is_ok()
        })
    }
}

/// Reuses one context per key, because creating a context and looking up the digest takes several
/// times as long.
fn with_openssl(secrets: &[String]) -> impl Fn(&[u8], &[u8], &[u8; 32]) -> bool + use<> {
    let digest = Md::fetch(None, "SHA256", None).expect("a digest");
    let keyed = |secret: &String| {
        let key = PKey::hmac(secret.as_bytes()).expect("a key");
        (key, RefCell::new(MdCtx::new().expect("a context")))
    };
    let keys: Vec<_> = secrets.iter().map(keyed).collect();
    move |timestamp, body, expected| {
        keys.iter().any(|(key, context)| {
            let mut mac = context.borrow_mut();
            let mut found = [0; 32];
            mac.digest_sign_init(Some(&digest), key).expect("keyed");
            mac.digest_sign_update(timestamp).expect("hashed");
            mac.digest_sign_update(b":").expect("hashed");
            mac.digest_sign_update(body).expect("hashed");
            mac.digest_sign_final(Some(&mut found)).expect("signed");
            openssl::memcmp::eq(&found, expected)
        })
    }
}

fn webhook_verify<'a>(secrets: &[String], headers: HeaderMap, body: Bytes) -> Verify<'a> {
    fn signed_text(headers: &dyn webhook_verify::HeaderMap, body: &[u8]) -> Vec<u8> {
        let timestamp = headers.get(TIMESTAMP).unwrap_or_default();
        let mut text = Vec::with_capacity(timestamp.len() + 1 + body.len());
        text.extend_from_slice(timestamp.as_bytes());
        text.push(b':');
        text.extend_from_slice(body);
        text
    }
    let scheme = CustomScheme {
        hash: HashAlg::Sha256,
        signature_header: SIGNATURE,
        timestamp_header: Some(TIMESTAMP),
        encoding: Encoding::Hex,
        prefix: None,
        signed_string: signed_text,
    };
    let secrets: Vec<_> = secrets.iter().map(webhook_verify::Secret::new).collect();
    Box::new(move || {
        let provider = Provider::Custom(scheme);
        match &secrets[..] {
            [secret] => webhook_verify::verify(provider, &headers, &body, secret, VerifyOptions::default()).is_ok(),
            secrets => webhook_verify::verify_any(provider, &headers, &body, secrets, VerifyOptions::default()).is_ok(),
        }
    })
}

fn standardwebhooks<'a>(secrets: &[String], headers: HeaderMap, body: Bytes) -> Verify<'a> {
    let webhook = |secret: &String| standardwebhooks::Webhook::from_bytes(secret.as_bytes().into()).expect("a secret");
    let webhooks: Vec<_> = secrets.iter().map(webhook).collect();
    Box::new(move || webhooks.iter().any(|webhook| webhook.verify(&body, &headers).is_ok()))
}

fn svix<'a>(secrets: &[String], headers: HeaderMap, body: Bytes) -> Verify<'a> {
    let webhook = |secret: &String| svix::webhooks::Webhook::from_bytes(secret.as_bytes().into()).expect("a secret");
    let webhooks: Vec<_> = secrets.iter().map(webhook).collect();
    Box::new(move || webhooks.iter().any(|webhook| webhook.verify(&body, &headers).is_ok()))
}
