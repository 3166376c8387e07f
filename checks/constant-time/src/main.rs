//! Checks whether the time of a rejection reveals how much of a signature was right.
//!
//! It follows dudect, with two classes of forgeries: the left ones are wrong from the first byte
//! on, the right ones from a later byte on. Body and signature are new for each, so that the
//! processor has seen no class's text before. It prints Welch's t for the two distributions of
//! times; above 5, they differ.

use std::hint::black_box;

use dudect_bencher::{
    BenchRng, Class, CtRunner, ctbench_main,
    rand::{Rng, RngExt},
};
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use twenty_webhook::verify::{FixedClock, Secret, Signer, Timestamp, Verifier};

const SAMPLES: usize = 1_000_000;
const BATCH: usize = 500;
const SECRET: &str = "5b0c2f7d9e1a4c3b8d6f0e2a1c4b7d9f";
const NOW: Timestamp = Timestamp::from_millis(1_790_932_471_733);

/// A forgery: its headers, and its body.
type Forgery = ([(&'static str, String); 2], Vec<u8>);

/// Returns a forgery whose signature has `right` right bytes and is wrong in the next.
fn forge(signer: &Signer, right: usize, rng: &mut BenchRng) -> Forgery {
    let mut body = vec![0; 64];
    rng.fill_bytes(&mut body);
    let pairs = signer.sign_at(NOW, &body).pairs();
    let genuine = hex::decode(&pairs[1].1).expect("hexadecimal");
    let mut signature = [0; 32];
    rng.fill_bytes(&mut signature);
    signature[..right].copy_from_slice(&genuine[..right]);
    while signature[right] == genuine[right] {
        signature[right] = rng.random();
    }
    let headers =
        [("x-twenty-webhook-timestamp", pairs[0].1.clone()), ("x-twenty-webhook-signature", hex::encode(signature))];
    (headers, body)
}

/// Times `verify` on forgeries of both classes, mixed. They are created in batches, because
/// creating one depends on its class and must not happen just before its measurement.
fn compare(
    runner: &mut CtRunner,
    rng: &mut BenchRng,
    right: impl Fn(Class, &mut BenchRng) -> usize,
    verify: impl Fn(&Forgery) -> bool,
) {
    let signer = Signer::new(SECRET).expect("not blank");
    for _ in 0..SAMPLES / BATCH {
        let mut forgery = || {
            let class = if rng.random() { Class::Left } else { Class::Right };
            (class, forge(&signer, right(class, rng), rng))
        };
        let batch: Vec<_> = (0..BATCH).map(|_| forgery()).collect();
        for (class, forgery) in batch {
            runner.run_one(class, || assert!(!verify(black_box(&forgery))));
        }
    }
}

/// None right, or all but the last byte.
fn none_or_nearly_all(class: Class, _: &mut BenchRng) -> usize {
    match class {
        Class::Left => 0,
        Class::Right => 31,
    }
}

/// None right, or any number.
fn none_or_any(class: Class, rng: &mut BenchRng) -> usize {
    match class {
        Class::Left => 0,
        Class::Right => rng.random_range(0..32),
    }
}

fn crate_verifier() -> impl Fn(&Forgery) -> bool {
    let secret = Secret::new(SECRET).expect("not blank");
    let verifier = Verifier::builder().secret(secret).clock(FixedClock::at(NOW)).build().expect("one secret");
    move |(headers, body)| verifier.verify(headers.iter().map(|(name, value)| (name, value)), body.clone()).is_ok()
}

/// The same work, with a comparison that ends at the first wrong byte.
fn leaky_verifier() -> impl Fn(&Forgery) -> bool {
    let keyed = Hmac::<Sha256>::new_from_slice(SECRET.as_bytes()).expect("any length");
    move |([(_, timestamp), (_, signature)], body)| {
        let mac = keyed.clone().chain_update(timestamp).chain_update(b":").chain_update(body.clone());
        let genuine = mac.finalize().into_bytes();
        let signature = hex::decode(signature).expect("hexadecimal");
        signature.iter().zip(genuine).all(|(given, genuine)| *black_box(given) == genuine)
    }
}

fn verify_none_or_nearly_all(runner: &mut CtRunner, rng: &mut BenchRng) {
    compare(runner, rng, none_or_nearly_all, crate_verifier());
}

fn verify_none_or_any(runner: &mut CtRunner, rng: &mut BenchRng) {
    compare(runner, rng, none_or_any, crate_verifier());
}

fn control_none_or_nearly_all(runner: &mut CtRunner, rng: &mut BenchRng) {
    compare(runner, rng, none_or_nearly_all, leaky_verifier());
}

fn control_none_or_any(runner: &mut CtRunner, rng: &mut BenchRng) {
    compare(runner, rng, none_or_any, leaky_verifier());
}

ctbench_main!(verify_none_or_nearly_all, verify_none_or_any, control_none_or_nearly_all, control_none_or_any);
