//! Code that several test programs share.
#![allow(dead_code, unused_imports, unused_macros, unreachable_pub, reason = "each program uses a part")]

#[cfg(feature = "tower")]
pub mod bodies;
#[cfg(unix)]
pub mod child;
pub mod claim_store;
pub mod error;
pub mod event;
#[cfg(all(feature = "actix-web", feature = "axum"))]
pub mod frameworks;
#[cfg(all(target_os = "linux", feature = "actix-web", feature = "axum"))]
pub mod honest;
pub mod http1;
#[cfg(feature = "postgres")]
pub mod postgres;
pub mod process;
pub mod program;
#[cfg(feature = "redis")]
pub mod proxy;
#[cfg(feature = "redis")]
pub mod redis;
pub mod scripted_store;
pub mod source;
#[cfg(all(feature = "actix-web", feature = "axum"))]
pub mod stack;
#[cfg(all(target_os = "linux", feature = "actix-web", feature = "axum"))]
pub mod target;
#[cfg(all(feature = "metrics", feature = "tracing"))]
pub mod telemetry;

use std::path::{Path, PathBuf};

use bytes::Bytes;
use serde::Deserialize;
use twenty_webhook::verify::{FixedClock, Secret, Signer, Timestamp, Verifier, VerifierBuilder};

/// The secret of the test vectors.
pub const SECRET: &str = "5b0c2f7d9e1a4c3b8d6f0e2a1c4b7d9f5b0c2f7d9e1a4c3b8d6f0e2a1c4b7d9f";

/// The current time in tests: the first vector's timestamp.
pub const NOW: Timestamp = Timestamp::from_millis(1_790_932_471_733);

pub const TIMESTAMP: &str = "x-twenty-webhook-timestamp";
pub const SIGNATURE: &str = "x-twenty-webhook-signature";
pub const NONCE: &str = "x-twenty-webhook-nonce";

/// Returns the path of a file in `tests/data`.
pub fn data_path(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data").join(name)
}

/// Reads a file in `tests/data`.
#[track_caller]
pub fn data(name: &str) -> Bytes {
    let path = data_path(name);
    std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display())).into()
}

/// Reads a file in `tests/data` as text.
#[track_caller]
pub fn data_text(name: &str) -> String {
    String::from_utf8(data(name).into()).unwrap()
}

/// Returns the names of the files in `tests/data`.
pub fn data_names() -> Vec<String> {
    let files = std::fs::read_dir(data_path("")).unwrap();
    files.map(|file| file.unwrap().file_name().into_string().unwrap()).collect()
}

/// A delivery that is signed as by Twenty: see `tests/data/vectors.json`.
#[derive(Deserialize)]
pub struct Vector {
    pub name: String,
    pub secret: String,
    pub timestamp: String,
    pub signature: String,
    pub nonce: String,
    #[serde(rename = "bodyBytes")]
    pub body_len: usize,
}

impl Vector {
    pub fn body(&self) -> Bytes {
        data(&format!("{}.json", self.name))
    }

    pub fn signed_at(&self) -> Timestamp {
        Timestamp::from_millis(self.timestamp.parse().unwrap())
    }

    pub fn headers(&self) -> [(&'static str, &str); 3] {
        [(TIMESTAMP, &self.timestamp), (SIGNATURE, &self.signature), (NONCE, &self.nonce)]
    }
}

pub fn vectors() -> Vec<Vector> {
    serde_json::from_slice(&data("vectors.json")).unwrap()
}

/// Returns the vector of this name.
#[track_caller]
pub fn vector(name: &str) -> Vector {
    vectors().into_iter().find(|vector| vector.name == name).unwrap()
}

#[track_caller]
pub fn secret(text: &str) -> Secret {
    Secret::new(text).unwrap()
}

/// Returns a clock that shows [`NOW`].
pub fn clock() -> FixedClock {
    FixedClock::at(NOW)
}

/// Returns a builder with [`SECRET`] and a clock that shows [`NOW`].
pub fn builder() -> VerifierBuilder {
    builder_with(clock())
}

/// Returns a builder with [`SECRET`] and this clock.
pub fn builder_with(clock: FixedClock) -> VerifierBuilder {
    Verifier::builder().secret(secret(SECRET)).clock(clock)
}

/// Returns a verifier for what [`signed`] signs.
pub fn verifier() -> Verifier {
    builder().build().unwrap()
}

/// Returns the headers of this body, signed with [`SECRET`] at [`NOW`].
pub fn signed(body: impl AsRef<[u8]>) -> Vec<(String, String)> {
    signed_at(NOW, body)
}

/// Returns the headers of this body, signed with [`SECRET`].
pub fn signed_at(timestamp: Timestamp, body: impl AsRef<[u8]>) -> Vec<(String, String)> {
    Signer::new(SECRET).unwrap().sign_at(timestamp, body).pairs()
}

/// Returns an event's body of exactly this many bytes.
#[track_caller]
pub fn event_of(len: usize) -> Bytes {
    const HEAD: &str = r#"{"eventName":"note.created","record":{"title":""#;
    const TAIL: &str = r#""}}"#;
    let filler = len.checked_sub(HEAD.len() + TAIL.len()).expect("long enough for an event");
    [HEAD, &"x".repeat(filler), TAIL].concat().into()
}
