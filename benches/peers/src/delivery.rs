//! Creates deliveries as Twenty sends them, and signs the same bodies in other schemes.

use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue};
use serde_json::{Value, json};
use standardwebhooks::Webhook;
use twenty_webhook::verify::Signer;

pub const SECRET: &str = "5b0c2f7d9e1a4c3b8d6f0e2a1c4b7d9f5b0c2f7d9e1a4c3b8d6f0e2a1c4b7d9f";

const MESSAGE_ID: &str = "msg_27UH4WbU6Z5A5EzD8u03UvzRbpk";

/// Reads a delivery of `tests/data`.
pub fn recorded(name: &str) -> Bytes {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("../../tests/data/{name}.json"));
    std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display())).into()
}

/// Returns a note of about 200 kB, as Twenty's editor creates it. It contains blocks as JSON in a
/// JSON string, and the same text as Markdown.
pub fn long_note() -> Bytes {
    const TEXT: &str = "The engine weaves algebraic patterns, just as the Jacquard loom weaves flowers and leaves.";
    let block = json!({
        "id": "8f1c7a52-7f0e-4c57-9d0a-3c9b5f6e2d11", "type": "paragraph",
        "props": { "textColor": "default", "backgroundColor": "default", "textAlignment": "left" },
        "content": [{ "type": "text", "text": TEXT, "styles": {} }], "children": [],
    });
    let mut note: Value = serde_json::from_slice(&recorded("note.created")).expect("JSON");
    note["record"]["bodyV2"] = json!({
        "blocknote": Value::Array(vec![block; 430]).to_string(),
        "markdown": format!("{TEXT}\n\n").repeat(430),
    });
    note.to_string().into()
}

/// Returns the body of an event with exactly this length in bytes.
pub fn event_of(length: usize) -> Bytes {
    const HEAD: &str = r#"{"eventName":"note.created","record":{"title":""#;
    const TAIL: &str = r#""}}"#;
    [HEAD, &"x".repeat(length - HEAD.len() - TAIL.len()), TAIL].concat().into()
}

/// Returns Twenty's signature headers.
pub fn twenty(secret: &str, body: &[u8]) -> Vec<(String, String)> {
    Signer::new(secret).expect("a secret").sign(body).pairs()
}

/// Returns the headers of a [Standard Webhooks](https://www.standardwebhooks.com) delivery. Their
/// names begin with `prefix`.
pub fn standard(prefix: &str, secret: &str, body: &[u8]) -> Vec<(String, String)> {
    let now = unix_seconds();
    let webhook = Webhook::from_bytes(secret.into()).expect("a secret");
    let signature = webhook.sign(MESSAGE_ID, now.cast_signed(), body).expect("a text");
    [("id", MESSAGE_ID.to_owned()), ("timestamp", now.to_string()), ("signature", signature)]
        .map(|(name, value)| (format!("{prefix}-{name}"), value))
        .into()
}

pub fn unix_seconds() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock after 1970").as_secs()
}

/// Returns the headers of a request of Twenty's server, including these signature headers.
pub fn request_headers(signature: &[(String, String)], body: &[u8]) -> HeaderMap {
    let length = body.len().to_string();
    let others = [
        ("accept", "application/json, text/plain, */*"),
        ("content-type", "application/json"),
        ("user-agent", "axios/1.13.5"),
        ("content-length", length.as_str()),
        ("accept-encoding", "gzip, compress, deflate, br"),
        ("host", "hooks.example.com"),
        ("connection", "keep-alive"),
    ];
    let signature = signature.iter().map(|(name, value)| (name.as_str(), value.as_str()));
    let pair =
        |(name, value)| (HeaderName::try_from(name).expect("a name"), HeaderValue::try_from(value).expect("a value"));
    others.into_iter().chain(signature).map(|(name, value): (&str, &str)| pair((name, value))).collect()
}
