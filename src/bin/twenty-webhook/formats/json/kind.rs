//! Describes JSON texts without signature headers, for messages.

use serde_json::value::RawValue;

use super::{
    body_near::EVENT,
    value::{each, members},
};

/// Returns what a JSON text without signature headers looks like, or `None` if it may be Twenty's
/// body.
pub(super) fn kind(raw: &RawValue) -> Option<&'static str> {
    let Some(members) = members(raw) else {
        // An array is described by its first item.
        let mut first = None;
        each(raw, &mut |item| {
            first = Some(item);
            false
        });
        let first = first.filter(|item| item.get().starts_with('{')).and_then(kind);
        return first.or_else(|| raw.get().starts_with('[').then_some("a JSON array"));
    };
    let has = |wanted: &str| members.iter().any(|(name, _)| name == wanted);
    let inner = |outer: &str, wanted: &str| {
        let value = members.iter().find(|(name, _)| name == outer).and_then(|(_, value)| self::members(value));
        value.is_some_and(|inner| inner.iter().any(|(name, _)| name == wanted))
    };
    if EVENT.iter().any(|name| has(name)) && !has("headers") {
        None
    } else if inner("log", "entries") {
        Some("a HAR file")
    } else if has("requestContext") || has("isBase64Encoded") {
        Some("an event of AWS Lambda")
    } else if has("info") && has("item") {
        Some("a Postman collection")
    } else if has("Records") {
        Some("a batch of AWS records")
    } else if inner("request", "headers") || inner("request", "header") || inner("req", "headers") {
        Some("JSON of a request")
    } else if inner("_source", "layers") {
        Some("a packet capture of tshark (in which a stream with lost packets has no headers)")
    } else if has("headers") || has("multiValueHeaders") || has("rawHeaders") {
        Some("JSON of a request")
    } else {
        None
    }
}
