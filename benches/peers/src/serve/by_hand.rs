//! Verifies deliveries as a typical handwritten handler does.

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

pub fn is_genuine(secret: &str, timestamp: &str, signature: &str, body: &[u8]) -> bool {
    let Ok(body) = std::str::from_utf8(body) else { return false };
    let text = format!("{timestamp}:{body}");
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).expect("any length");
    mac.update(text.as_bytes());
    hex::encode(mac.finalize().into_bytes()) == signature
}
