//! Bodies for several benchmarks, and types into which they are read.
#![allow(dead_code, unreachable_pub, reason = "each benchmark uses a part of it")]

pub mod claims;
pub mod deliveries;

use std::path::Path;

use bytes::Bytes;
use serde::Deserialize;
use twenty_webhook::{
    Verified, Verifier,
    verify::{FixedClock, Secret, Signer, Timestamp},
};

pub const TIMESTAMP: &str = "x-twenty-webhook-timestamp";
pub const SIGNATURE: &str = "x-twenty-webhook-signature";

pub const SECRET: &str = "5b0c2f7d9e1a4c3b8d6f0e2a1c4b7d9f5b0c2f7d9e1a4c3b8d6f0e2a1c4b7d9f";

pub const NOW: Timestamp = Timestamp::from_millis(1_790_932_471_733);

/// Reads a file of `tests/data`. The name has no suffix.
pub fn delivery(name: &str) -> Bytes {
    // `checks/instructions` uses this function, too, and is deeper in the repository.
    let roots = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors();
    let path = roots.map(|root| root.join(format!("tests/data/{name}.json"))).find(|path| path.exists());
    let path = path.expect("a delivery of tests/data");
    std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display())).into()
}

/// Returns a note of about 200 kB, as Twenty's editor creates it. Its blocks are JSON in a JSON
/// string, so their quotes are escaped.
pub fn long_note() -> Bytes {
    let block = r#"{"id":"8f1c7a52-7f0e-4c57-9d0a-3c9b5f6e2d11","type":"paragraph","props":{"textColor":"default"},"content":[{"type":"text","text":"The analytical engine weaves algebraic patterns, just as the Jacquard loom weaves flowers and leaves.","styles":{}}],"children":[]}"#;
    let blocks = vec![block; 400].join(",");
    let markdown =
        "The analytical engine weaves algebraic patterns, just as the Jacquard loom weaves flowers and leaves.\n\n"
            .repeat(400);
    let mut note: serde_json::Value = serde_json::from_slice(&delivery("note.created")).unwrap();
    note["record"]["bodyV2"] = serde_json::json!({ "blocknote": format!("[{blocks}]"), "markdown": markdown });
    serde_json::to_vec(&note).unwrap().into()
}

pub fn verifier(secrets: &[&str]) -> Verifier {
    let secrets = secrets.iter().map(|&secret| Secret::new(secret).unwrap());
    secrets
        .fold(Verifier::builder().clock(FixedClock::at(NOW)), |builder, secret| builder.secret(secret))
        .build()
        .unwrap()
}

/// Returns the headers of a delivery as a server provides them. The signature headers are last.
pub fn headers(body: &[u8]) -> Vec<(String, String)> {
    let others = [
        ("host", "hooks.example.com"),
        ("accept", "application/json, text/plain, */*"),
        ("content-type", "application/json"),
        ("user-agent", "axios/1.13.5"),
        ("accept-encoding", "gzip, compress, deflate, br"),
        ("connection", "keep-alive"),
    ];
    let others = others.map(|(name, value)| (name.to_owned(), value.to_owned()));
    others.into_iter().chain(Signer::new(SECRET).unwrap().sign_at(NOW, body).pairs()).collect()
}

pub fn verified(body: Bytes) -> Verified {
    verifier(&[SECRET]).verify(headers(&body), body).unwrap()
}

/// The type that a program would use if it requires a person's name and address.
#[derive(Deserialize)]
#[serde(rename = "person", rename_all = "camelCase")]
pub struct FiveFields {
    pub id: Option<String>,
    pub name: Option<Name>,
    pub emails: Option<Emails>,
    pub job_title: Option<String>,
    pub company_id: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Name {
    pub first_name: Option<String>,
    pub last_name: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Emails {
    pub primary_email: Option<String>,
}

/// A type that reads only the event's name.
#[derive(Deserialize)]
#[serde(rename = "person")]
pub struct NoFields {}
