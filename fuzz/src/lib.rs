//! Shared code of the fuzz targets: deliveries as text, and second implementations that use none of
//! the crate's code.

pub mod delivery;
pub mod json;
pub mod pattern;
pub mod route;

use std::sync::LazyLock;

use twenty_webhook::verify::{FixedClock, Secret, Signer, Timestamp, Verified, Verifier, VerifierBuilder};

/// The current secret, and the previous one.
pub const SECRETS: [&str; 2] = ["5b0c2f7d9e1a4c3b8d6f0e2a1c4b7d9f", "0f4e8b6a3d2c1957e8a0b4c6d2f19375"];

/// The current time.
pub const NOW: Timestamp = Timestamp::from_millis(1_790_932_471_733);

/// Returns the builder of a verifier that accepts both secrets at [`NOW`].
pub fn builder() -> VerifierBuilder {
    SECRETS
        .into_iter()
        .fold(Verifier::builder(), |builder, secret| builder.secret(Secret::new(secret).expect("not blank")))
        .clock(FixedClock::at(NOW))
}

/// Returns the HMAC-SHA256 of these pieces.
pub fn mac(key: &[u8], pieces: &[&[u8]]) -> [u8; 32] {
    let mut mac = hmac_sha256::HMAC::new(key);
    for piece in pieces {
        mac.update(piece);
    }
    mac.finalize()
}

/// Encodes bytes in lower-case hexadecimal.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Returns a verified delivery with this body.
pub fn verified(body: &[u8]) -> Verified {
    static PAIR: LazyLock<(Signer, Verifier)> = LazyLock::new(|| {
        let signer = Signer::new(SECRETS[0]).expect("not blank");
        (signer, builder().build().expect("two secrets"))
    });
    let (signer, verifier) = &*PAIR;
    let headers = signer.sign_at(NOW, body);
    verifier.verify(headers.pairs(), body.to_vec()).expect("a signed delivery")
}
